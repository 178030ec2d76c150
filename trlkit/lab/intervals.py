"""How sure a mean of a few runs is."""

import math
import statistics
from collections.abc import Sequence

T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # Student's, of 2 to 10 runs


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """The mean of differences, and the ends of its 95 % interval by Student's t.

    Parameters
    ----------
    differences : sequence of 2 to 10 float

    Returns
    -------
    (float, float, float)
        Mean, low and high.

    Raises
    ------
    ValueError
        If there are fewer than 2 or more than 10 differences.

    Examples
    --------
    >>> [round(number, 2) for number in interval([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]
    """
    count = len(differences)
    if not 2 <= count <= 10:
        raise ValueError(f"differences has {count} entries, but it must have 2 to 10")
    mean = statistics.fmean(differences)
    half = T95[count - 2] * statistics.stdev(differences) / math.sqrt(count)
    return mean, mean - half, mean + half
