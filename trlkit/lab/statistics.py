"""What a few measured numbers say of the mean behind them."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of a few values, and how far off it may be: half of its 95 % interval.

    Parameters
    ----------
    values : sequence of float
        One for each independent run. For a comparison, the differences of pairs of runs that
        share what chance has drawn.

    Returns
    -------
    tuple of float
        The mean, and half the width of Student's interval around it; infinite for one value.

    Raises
    ------
    ValueError
        If there is no value.

    Notes
    -----
    Student, *The Probable Error of a Mean*, Biometrika 6 (1908).

    Examples
    --------
    >>> mean, half = interval([0.25, 0.5, 0.75])
    >>> print(f"{mean:.2f} +- {half:.2f}")
    0.50 +- 0.62
    """
    from scipy.special import stdtrit

    values = [float(value) for value in values]
    if not values:
        raise ValueError("interval needs one value at least, got none")
    count = len(values)
    if count == 1:
        return fmean(values), math.inf
    return fmean(values), float(stdtrit(count - 1, 0.975)) * stdev(values) / math.sqrt(count)
