"""Which modes are contracted first: shared by the contractions and by the count of their work."""

import math
from collections.abc import Sequence

# The batch size that CP's input modes are grouped for, and that is assumed where the
# size is not known when a path is chosen: in a program exported for every batch size.
NOMINAL_BATCH = 32


def best_split(sizes: Sequence[int]) -> int:
    """Where to cut a sequence of modes so that the two Khatri-Rao factors are smallest.

    Examples
    --------
    >>> best_split((512, 7, 7, 10))
    1
    """
    cuts = range(1, max(len(sizes), 2))
    return min(cuts, key=lambda cut: math.prod(sizes[:cut]) + math.prod(sizes[cut:]))


def first_group(input_shape: Sequence[int]) -> tuple[int, int]:
    """The leading or trailing input modes that CP contracts by a matrix product, as [start, stop).

    The other modes remain as an axis of the intermediate (batch, rank, rest), so
    the group is as large as the size of its own Khatri-Rao factor allows.

    Examples
    --------
    >>> first_group((512, 7, 7)), first_group((7, 7, 512))
    ((0, 1), (2, 3))
    """
    n, whole = len(input_shape), math.prod(input_shape)
    if n == 1:
        return 0, 1
    groups = [(0, stop) for stop in range(1, n)] + [(start, n) for start in range(1, n)]

    def held(group: tuple[int, int]) -> int:
        size = math.prod(input_shape[slice(*group)])
        return size + NOMINAL_BATCH * (whole // size)

    return min(groups, key=held)


def projection_order(
    input_shape: Sequence[int], rank: Sequence[int]
) -> list[tuple[int, int, int, int]]:
    """The order in which Tucker projects the input modes, as (start, stop, size, rank).

    The group with the largest 1/rank - 1/size comes first, which costs the fewest
    operations; neighboring modes of rank 1 are projected together.

    Examples
    --------
    >>> projection_order((512, 7, 7), (200, 1, 1))
    [(1, 3, 49, 1), (0, 1, 512, 200)]
    """
    groups: list[tuple[int, int, int, int]] = []
    for mode, (size, r) in enumerate(zip(input_shape, rank, strict=True)):
        if groups and r == groups[-1][3] == 1:
            start, _, before, _ = groups.pop()
            groups.append((start, mode + 1, before * size, 1))
        else:
            groups.append((mode, mode + 1, size, r))
    return sorted(groups, key=lambda group: 1 / group[2] - 1 / group[3])


def expansion_order(sizes: Sequence[int], rank: Sequence[int]) -> list[int]:
    """The order in which Tucker expands modes from rank to size: the projection's, reversed.

    Examples
    --------
    >>> expansion_order((512, 7, 7), (200, 1, 1))
    [0, 2, 1]
    """
    modes = sorted(range(len(sizes)), key=lambda mode: 1 / sizes[mode] - 1 / rank[mode])
    return modes[::-1]


def tt_split(shape: Sequence[int], rank: Sequence[int]) -> int:
    """The bond at which the two halves of a TT weight are merged with the fewest operations.

    Examples
    --------
    >>> tt_split((512, 7, 7, 10), (1, 100, 49, 10, 1))
    1
    """

    def merged(sizes: Sequence[int], bonds: Sequence[int]) -> int:
        """Multiplications of merging cores from the left."""
        total, rows = 0, sizes[0]
        for size, before, after in zip(sizes[1:], bonds[1:-1], bonds[2:], strict=True):
            rows *= size
            total += rows * before * after
        return total

    def both(cut: int) -> int:
        left = merged(shape[:cut], rank[: cut + 1])
        right = merged(shape[: cut - 1 : -1], rank[: cut - 1 : -1])
        return left + right + math.prod(shape) * rank[cut]

    return min(range(1, len(shape)), key=both, default=1)
