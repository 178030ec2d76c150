"""Which modes are contracted first: shared by the contractions and by the count of their work."""

import math
from collections.abc import Sequence

# The batch size that CP's input modes are grouped for, and that is assumed where the
# size is not known when a path is chosen: in a program exported for every batch size.
NOMINAL_BATCH = 32
# Half the operations that take as long as to move one element of a tensor. Measured with
# modes of 7 to 13, whose products are far from the rate of large ones.
MOVE = 64
# A CPU multiplies a batch by fewer columns than this at a tenth of the rate at which it reads the
# batch, whatever their number; with the columns laid out as rows the rate is that of their number.
NARROW = 16


def best_split(sizes: Sequence[int]) -> int:
    """Where to cut a sequence of modes so that the two Khatri-Rao factors are smallest.

    Examples
    --------
    >>> best_split((512, 7, 7, 10))
    1
    """
    cuts = range(1, max(len(sizes), 2))
    return 1 + _cheapest([math.prod(sizes[:cut]) + math.prod(sizes[cut:]) for cut in cuts])


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
    merged = [math.prod(input_shape[start:stop]) for start, stop in groups]
    return groups[_cheapest([size + NOMINAL_BATCH * (whole // size) for size in merged])]


def projection_order(sizes: Sequence[int], rank: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """In which order Tucker multiplies the modes by its factors, as (start, stop, size, rank).

    The group with the largest 1 / rank - 1 / size comes first, which costs the
    fewest operations. Neighboring modes are one group, multiplied by the Kronecker
    product of their factors, where that costs less than to move the intermediate.

    Examples
    --------
    >>> projection_order((512, 7, 7), (200, 1, 1))
    [(1, 3, 49, 1), (0, 1, 512, 200)]
    """
    groups: list[tuple[int, int, int, int]] = []
    for mode, (size, r) in enumerate(zip(sizes, rank, strict=True)):
        start, stop, grouped = mode, mode + 1, (size, r)
        if groups:
            before = groups[-1][2:]
            first, second = sorted((before, grouped), key=_saved)
            if second[1] * (1 - 1 / first[0]) <= 1 + MOVE / first[0]:
                start = groups.pop()[0]
                grouped = before[0] * size, before[1] * r
        groups.append((start, stop, *grouped))
    return sorted(groups, key=lambda group: _saved(group[2:]))


def expansion_order(sizes: Sequence[int], rank: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """In which order Tucker expands modes from rank to size: the projection's, reversed.

    Examples
    --------
    >>> expansion_order((512, 7, 7), (200, 1, 1))
    [(0, 1, 512, 200), (1, 3, 49, 1)]
    """
    return projection_order(sizes, rank)[::-1]


def in_order(sizes: Sequence[int], rank: Sequence[int]) -> bool:
    """Whether Tucker's core is expanded mode after mode, first to last.

    That takes one copy in all, but not the fewest operations.

    Examples
    --------
    >>> in_order((64, 13, 13), (64, 13, 13)), in_order((7, 7, 512), (1, 1, 200))
    (True, False)
    """

    def cost(steps, move):
        total, elements = 0, math.prod(rank)
        for size, r in steps:
            elements = elements // r * size
            total += elements * (r + move)
        return total

    best = [group[2:] for group in expansion_order(sizes, rank)]
    return cost(list(zip(sizes, rank, strict=True)), MOVE) <= cost(best, 2 * MOVE)


def batched(size: int, rank: int, rest: int, training: bool) -> bool:
    """Whether (B, size, rest) x (size, rank) is one product a sample, not one for the batch.

    One product for the batch copies it with its last two modes swapped; one a
    sample takes it as it is, but gives the matrix a gradient for each sample.

    Examples
    --------
    >>> batched(512, 8, 49, training=True), batched(512, 1000, 49, training=True)
    (True, False)
    """
    return size * rank * rest >= 1024 and (rank <= rest or not training)


def turned(columns: int, batch: int) -> bool:
    """Whether a CPU multiplies a batch faster by few columns once they are laid out as rows.

    That copy is a slow one, so a small batch does without. Measured for 2 to 15 columns.

    Examples
    --------
    >>> turned(10, batch=4), turned(10, batch=32), turned(100, batch=32)
    (False, True, False)
    """
    return columns < NARROW and 2 * batch > 3 * columns


def tt_split(shape: Sequence[int], rank: Sequence[int]) -> int:
    """The bond at which the two halves of a TT weight are merged with the fewest operations.

    Examples
    --------
    >>> tt_split((512, 7, 7, 10), (1, 100, 49, 10, 1))
    1
    """

    def merged(sizes, bonds):
        """Multiplications of merging cores from the left."""
        total, rows = 0, sizes[0]
        for size, before, after in zip(sizes[1:], bonds[1:-1], bonds[2:], strict=True):
            rows *= size
            total += rows * before * after
        return total

    def both(cut):
        left = merged(shape[:cut], rank[: cut + 1])
        right = merged(shape[: cut - 1 : -1], rank[: cut - 1 : -1])
        return left + right + math.prod(shape) * rank[cut]

    return 1 + _cheapest([both(cut) for cut in range(1, len(shape))] or [0])


def _cheapest(costs: Sequence[int]) -> int:
    """The index of the lowest cost; older compilers know no ``min`` with a key."""
    return costs.index(min(costs))


def _saved(group: tuple[int, int]) -> float:
    """1 / size - 1 / rank of a group: the lower, the earlier it is projected."""
    return 1 / group[0] - 1 / group[1]
