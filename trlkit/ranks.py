"""Ranks: how many parameters they cost, and how to say them.

A rank is an int for CP, one int for each mode for Tucker, and the bonds with a
one at both ends for TT. Wherever a rank is asked for, an int, a tuple, a
fraction of the dense parameters and ``"same"`` are understood, with tensorly's
meanings. The shape is always that of the weight: the input modes, then the
output modes.
"""

import math
import numbers
import operator
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial

Rank = int | tuple[int, ...]
# Of a weight that needs no such rank: beyond this many parameters it is a slip.
LARGEST = 2**30


def as_shape(shape: int | Sequence[int], name: str) -> tuple[int, ...]:
    """Make a tuple of an int or a sequence of sizes, all at least 1.

    Parameters
    ----------
    shape : int or sequence of int
    name : str
        What an error calls it.

    Returns
    -------
    tuple of int

    Raises
    ------
    TypeError
        If a size is not an int.
    ValueError
        If a size is below 1.

    Examples
    --------
    >>> as_shape(10, "output_shape")
    (10,)
    """
    sizes = (shape,) if not isinstance(shape, Sequence) or isinstance(shape, str) else shape
    sizes = tuple(_integer(size, name, shape) for size in sizes)
    if any(size < 1 for size in sizes):
        raise ValueError(f"{name}={shape!r}, but every size must be at least 1")
    return sizes


def cp_parameters(shape: Sequence[int], rank: int) -> int:
    """Count the parameters of a CP weight: one column of each factor for each component.

    Parameters
    ----------
    shape : sequence of int
    rank : int

    Returns
    -------
    int

    Examples
    --------
    >>> cp_parameters((512, 7, 7, 10), 100)
    53600
    """
    return rank * sum(shape)


def tucker_parameters(shape: Sequence[int], rank: Sequence[int]) -> int:
    """Count the parameters of a Tucker weight: the core and a factor for each mode.

    Parameters
    ----------
    shape : sequence of int
    rank : sequence of int, one for each mode

    Returns
    -------
    int

    Examples
    --------
    >>> tucker_parameters((512, 7, 7, 10), (64, 3, 3, 10))
    38670
    """
    return math.prod(rank) + sum(size * r for size, r in zip(shape, rank, strict=True))


def tt_parameters(shape: Sequence[int], rank: Sequence[int]) -> int:
    """Count the parameters of a TT weight: a core (left bond, size, right bond) for each mode.

    Parameters
    ----------
    shape : sequence of int
    rank : sequence of int
        The bonds, with a one at both ends.

    Returns
    -------
    int

    Examples
    --------
    >>> tt_parameters((512, 7, 7, 10), (1, 20, 20, 10, 1))
    14540
    """
    return sum(a * size * b for size, a, b in zip(shape, rank[:-1], rank[1:], strict=True))


def full_rank(shape: Sequence[int], factorization: str) -> Rank:
    """Give the rank at which a factorization represents every weight of a shape.

    Parameters
    ----------
    shape : sequence of int
    factorization : {"cp", "tucker", "tt"}

    Returns
    -------
    int or tuple of int
        More is never needed. For CP it is an upper bound: the product of all
        sizes but the largest.

    Raises
    ------
    ValueError
        If the factorization has another name.

    Examples
    --------
    >>> full_rank((512, 7, 7, 10), "cp"), full_rank((512, 7, 7, 10), "tt")
    (490, (1, 490, 70, 10, 1))
    """
    _known(factorization)
    if factorization == "cp":
        return math.prod(shape) // max(shape)
    if factorization == "tucker":
        return tuple(min(size, max(math.prod(shape) // size, 1)) for size in shape)
    cuts = range(len(shape) + 1)
    return tuple(min(math.prod(shape[:cut]), math.prod(shape[cut:])) for cut in cuts)


def validate_rank(
    shape: Sequence[int], rank: int | float | str | Sequence[int], factorization: str
) -> Rank:
    """Derive the rank that a user's ``rank`` means for a weight.

    Parameters
    ----------
    shape : sequence of int
        The weight's: input sizes, then output sizes.
    rank : int, sequence of int, float in (0, 1], or "same"
        An int is CP's rank, or the rank of every mode (Tucker) or inner bond
        (TT). A sequence is taken as it is. A float asks for about that fraction
        of the dense parameters, "same" for as many as the dense weight has.
    factorization : {"cp", "tucker", "tt"}

    Returns
    -------
    int (CP) or tuple of int (Tucker: one for each mode; TT: the bonds)

    Raises
    ------
    TypeError
        If ``rank`` is of another type.
    ValueError
        If an entry is below 1, there are too many or too few, a TT rank does
        not start and end with 1, or a fraction is outside (0, 1].

    Notes
    -----
    Fractions are solved as ``tensorly.cp_tensor.validate_cp_rank``,
    ``validate_tucker_rank`` and ``validate_tt_rank`` do (tensorly 0.10): ranks
    proportional to the sizes of the modes (Tucker) or to the mean of the two
    sizes beside a bond (TT). Unlike there, no rank is rounded to 0.

    Examples
    --------
    >>> validate_rank((512, 7, 7, 10), "same", "cp")
    468
    >>> validate_rank((512, 7, 7, 10), 0.5, "tucker")
    (226, 3, 3, 4)
    >>> validate_rank((512, 7, 7, 10), 8, "tt")
    (1, 8, 8, 8, 1)
    """
    _known(factorization)
    shape = tuple(shape)
    if isinstance(rank, str):
        if rank != "same":
            raise ValueError(f'rank={rank!r}, but the only rank with a name is "same"')
        rank = 1.0
    if isinstance(rank, numbers.Real) and not isinstance(rank, numbers.Integral):
        if not 0.0 < rank <= 1.0:
            raise ValueError(
                f"rank={rank} is a float, so a fraction of the dense parameters, and must be in "
                f"(0, 1]; for a rank write an int"
            )
        return _FROM_FRACTION[factorization](shape, float(rank))
    if not isinstance(rank, Sequence):
        given = _integer(rank, "rank", rank)
        if given < 1:
            raise ValueError(f"rank={rank}, but a rank is at least 1")
        if factorization == "tt":
            return (1, *[given] * (len(shape) - 1), 1)
        return (given,) * len(shape) if factorization == "tucker" else given
    return _validate_tuple(shape, tuple(_integer(r, "rank", rank) for r in rank), factorization)


def useful_rank(
    shape: Sequence[int], rank: int | float | str | Sequence[int], factorization: str
) -> Rank:
    """Derive the rank of a new layer: no more than a weight of its shape can use.

    Parameters
    ----------
    shape : sequence of int
    rank : int, sequence of int, float in (0, 1], or "same"
        See :func:`validate_rank`.
    factorization : {"cp", "tucker", "tt"}

    Returns
    -------
    int (CP) or tuple of int (Tucker: one for each mode; TT: the bonds)
        Tucker ranks above the size of their mode, and TT ranks above :func:`full_rank`, are cut
        to it, with a warning where they were given as numbers. CP's are not: more components
        than needed can be dropped and pruned.

    Raises
    ------
    TypeError, ValueError
        As :func:`validate_rank`, or if a CP rank is above the full rank and has more than
        2**30 parameters.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     useful_rank((12, 5, 5, 7), 5000, "tt")
    (1, 12, 35, 7, 1)
    >>> print(caught[0].message)
    rank=5000 is above the full rank (1, 12, 35, 7, 1) of a tt weight of shape (12, 5, 5, 7), ...
    """
    wanted, full = validate_rank(shape, rank, factorization), full_rank(shape, factorization)
    if factorization == "cp":
        if wanted > full and cp_parameters(shape, wanted) > LARGEST:
            raise ValueError(
                f"rank={rank} has {cp_parameters(shape, wanted):,} parameters, but at the full "
                f"rank {full} a cp weight of shape {tuple(shape)} can be any: use no more"
            )
        return wanted
    # A factor of a mode's own size may be the identity, as for average pooling.
    most = tuple(shape) if factorization == "tucker" else full
    useful = tuple(map(min, wanted, most))
    if useful != wanted and not isinstance(rank, (float, str)):
        warnings.warn(
            f"rank={rank} is above the full rank {most} of a {factorization} weight of shape "
            f"{tuple(shape)}, at which it can be any: rank={useful} is used",
            stacklevel=_outside(),
        )
    return useful


def _outside() -> int:
    """How far up the stack, seen from the caller, the code stands that is not trlkit's."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("trlkit."):
        frame, level = frame.f_back, level + 1
    return level


def rank_for_budget(
    input_shape: int | Sequence[int],
    output_shape: int | Sequence[int],
    factorization: str,
    max_params: int,
) -> Rank:
    """Give the largest rank whose weight has at most ``max_params`` parameters.

    Tucker and TT ranks are equal in every mode and bond as far as its
    :func:`full_rank` allows; what the budget leaves goes to the lowest entry that
    can still grow, until none can.

    Parameters
    ----------
    input_shape, output_shape : int or sequence of int
    factorization : {"cp", "tucker", "tt"}
    max_params : int
        For the weight; the bias is not counted.

    Returns
    -------
    int (CP) or tuple of int (Tucker: one for each mode; TT: the bonds)

    Raises
    ------
    ValueError
        If even rank 1 has more parameters.

    Examples
    --------
    >>> rank_for_budget((512, 7, 7), 10, "cp", max_params=50_000)
    93
    >>> rank_for_budget((512, 7, 7), 10, "tt", max_params=10_000)
    (1, 14, 16, 10, 1)
    """
    if isinstance(max_params, bool) or not isinstance(max_params, numbers.Integral):
        raise TypeError(f"max_params={max_params!r}, but it must be an int: how many numbers")
    shape = as_shape(input_shape, "input_shape") + as_shape(output_shape, "output_shape")
    full = full_rank(shape, factorization)
    least = validate_rank(shape, 1, factorization)
    count = partial(COUNT[factorization], shape)
    if count(least) > max_params:
        raise ValueError(
            f"max_params={max_params}, but a {factorization} weight of shape {shape} has "
            f"{count(least)} parameters at rank 1; allow at least these"
        )
    if factorization == "cp":
        return min(max_params // sum(shape), full)

    def equal(r: float) -> tuple[int, ...]:
        return tuple(min(int(r), most) for most in full)

    rank = equal(_bisect(lambda r: count(equal(r)) - max_params, max(full)))
    while True:
        grown = [
            (r, rank[:k] + (r + 1,) + rank[k + 1 :])
            for k, (r, most) in enumerate(zip(rank, full, strict=True))
            if r < most
        ]
        grown = [(r, larger) for r, larger in grown if count(larger) <= max_params]
        if not grown:
            return rank
        rank = min(grown)[1]


def break_even_rank(
    input_shape: int | Sequence[int], output_shape: int | Sequence[int], factorization: str
) -> Rank:
    """Give the largest rank that has no more parameters than the dense weight.

    Parameters
    ----------
    input_shape, output_shape : int or sequence of int
    factorization : {"cp", "tucker", "tt"}

    Returns
    -------
    int (CP) or tuple of int (Tucker: one for each mode; TT: the bonds)
        As :func:`rank_for_budget` finds it with the dense weight as the budget.

    Raises
    ------
    ValueError
        If even rank 1 has more parameters than the dense weight.

    Examples
    --------
    >>> break_even_rank((512, 7, 7), 10, "cp")
    468
    """
    shape = as_shape(input_shape, "input_shape") + as_shape(output_shape, "output_shape")
    return rank_for_budget(input_shape, output_shape, factorization, math.prod(shape))


def _cp_from_fraction(shape: tuple[int, ...], fraction: float) -> int:
    return max(round(math.prod(shape) * fraction / sum(shape)), 1)


def _tucker_from_fraction(shape: tuple[int, ...], fraction: float) -> tuple[int, ...]:
    """Ranks ``scale * I_k``: a core of scale^N prod(I) and factors of scale * sum(I^2)."""
    dense, squares = math.prod(shape), sum(size**2 for size in shape)
    scale = _bisect(
        lambda scale: dense * scale ** len(shape) + squares * scale - fraction * dense, 1.0
    )
    return tuple(max(round(size * scale), 1) for size in shape)


def _tt_from_fraction(shape: tuple[int, ...], fraction: float) -> tuple[int, ...]:
    """Bonds ``scale * mean of the two sizes beside it``: a scale^2 + b scale = the parameters."""
    if len(shape) == 1:
        return (1, 1)
    bonds = _bond_sizes(shape)
    if len(shape) == 2:
        # A matrix has no inner core; tensorly counts this one in its place.
        quadratic = bonds[0] ** 2 * shape[0]
    else:
        inner = zip(bonds[:-1], shape[1:-1], bonds[1:], strict=True)
        quadratic = sum(left * size * right for left, size, right in inner)
    linear = shape[0] * bonds[0] + shape[-1] * bonds[-1]
    root = math.sqrt(linear**2 + 4 * quadratic * fraction * math.prod(shape))
    scale = (root - linear) / (2 * quadratic)
    return (1, *[max(round(bond * scale), 1) for bond in bonds], 1)


def _bond_sizes(shape: tuple[int, ...]) -> list[float]:
    return [(left + right) / 2 for left, right in zip(shape[:-1], shape[1:], strict=True)]


def _bisect(increasing: Callable[[float], float], high: float) -> float:
    """The largest argument in [0, high] at which ``increasing`` is not above 0."""
    low = 0.0
    if increasing(high) <= 0:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if increasing(middle) <= 0 else (low, middle)
    return low


COUNT = {"cp": cp_parameters, "tucker": tucker_parameters, "tt": tt_parameters}
_FROM_FRACTION = {
    "cp": _cp_from_fraction,
    "tucker": _tucker_from_fraction,
    "tt": _tt_from_fraction,
}


def _validate_tuple(shape: tuple[int, ...], rank: tuple[int, ...], factorization: str) -> Rank:
    if factorization == "cp":
        raise TypeError(f"rank={rank}, but CP has one rank for all modes: write an int")
    if factorization == "tucker" and len(rank) != len(shape):
        raise ValueError(
            f"rank={rank} has {len(rank)} entries, but the weight {shape} has {len(shape)} modes"
        )
    if factorization == "tt" and len(rank) != len(shape) + 1:
        raise ValueError(
            f"rank={rank} has {len(rank)} entries, but the weight {shape} has {len(shape) + 1} "
            f"bonds, a one at both ends among them"
        )
    if any(r < 1 for r in rank):
        raise ValueError(f"rank={rank}, but every entry must be at least 1")
    if factorization == "tt" and (rank[0], rank[-1]) != (1, 1):
        raise ValueError(f"rank={rank}, but a TT rank starts and ends with 1")
    return rank


def _integer(value: object, name: str, given: object) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{name}={given!r}, but a bool is not a number here: write an int")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name}={given!r} has the entry {value!r} of type {type(value).__name__}, "
            f"but every entry must be an int"
        ) from None


def _known(factorization: str) -> None:
    if factorization not in COUNT:
        raise ValueError(f'factorization={factorization!r}, but it must be "cp", "tucker" or "tt"')
