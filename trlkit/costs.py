"""What each way to contract a batch with a factorized weight costs, and the choice among them.

A plan counts floating-point operations, elements moved, kernels and the
elements held at once, turns them to seconds with the rates of a device, and
takes the fastest path that holds no more than rebuilding the weight would.
Nothing is contracted here: :mod:`trlkit.contraction` runs the path.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trlkit.ranks import Rank, cp_parameters, tt_parameters, tucker_parameters

PATHS = {
    "cp": ("rebuild", "khatri_rao", "mode_by_mode"),
    "tucker": ("rebuild", "project", "project_folded"),
    "tt": ("rebuild", "merged", "left_to_right"),
}
# The paths on which each sample can have its own masks.
PER_SAMPLE_PATHS = {
    "cp": ("khatri_rao", "mode_by_mode"),
    "tucker": ("project",),
    "tt": ("left_to_right",),
}


class Rates(NamedTuple):
    """What a device does in a second, and the seconds that starting a kernel takes."""

    flops: float
    bytes: float
    kernel: float


# Measured: two cores of a server CPU in float32; an H100 in float32, launches from Python.
RATES = {"cpu": Rates(150e9, 25e9, 4e-6), "cuda": Rates(40e12, 2.5e12, 8e-6)}
# A weight above this is not kept in eval mode unless contraction="rebuild" asks for it.
KEPT_ELEMENTS = 2**23
# The batch size that the split of CP's input modes is made for, and that a plan assumes
# where the size is not known when it is made (an exported program of any batch size).
NOMINAL_BATCH = 32


class Work(NamedTuple):
    """One step: floating-point operations, elements read and written, kernels."""

    flops: int
    elements: int
    kernels: int = 1


@dataclass(frozen=True)
class Cost:
    """What one path costs.

    Attributes
    ----------
    path : str
    flops : int
    bytes : int
        Read and written.
    memory : int
        Bytes held beside the batch, the output and the factors.
    kernels : int
    """

    path: str
    flops: int
    bytes: int
    memory: int
    kernels: int

    def seconds(self, device: str) -> float:
        """Estimate the time on ``"cpu"`` or ``"cuda"``; other devices count as the latter."""
        rates = RATES.get(device, RATES["cuda"])
        return self.flops / rates.flops + self.bytes / rates.bytes + self.kernels * rates.kernel


@dataclass(frozen=True, repr=False)
class Plan:
    """The costs of every path, and the path to take; it prints itself as a table.

    Attributes
    ----------
    title : str
    device : str
    costs : tuple of Cost
    path : str
    """

    title: str
    device: str
    costs: tuple[Cost, ...]
    path: str

    def __repr__(self) -> str:
        head = f"  {'path':<16}{'MFLOP':>12}{'MB moved':>12}{'MB held':>12}{'est. ms':>12}"
        rows = [
            f"{'>' if cost.path == self.path else ' '} {cost.path:<16}{cost.flops / 1e6:>12,.2f}"
            f"{cost.bytes / 1e6:>12,.2f}{cost.memory / 1e6:>12,.2f}"
            f"{cost.seconds(self.device) * 1e3:>12,.3f}"
            for cost in self.costs
        ]
        return "\n".join([self.title, head, *rows])


def plan(
    factorization: str,
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    rank: Rank,
    batch_size: int,
    training: bool = True,
    kept: bool = False,
    device: str = "cpu",
    itemsize: int = 4,
    paths: Sequence[str] | None = None,
) -> Plan:
    """Compare the paths for one batch size and choose.

    Parameters
    ----------
    factorization : {"cp", "tucker", "tt"}
    input_shape, output_shape : sequence of int
    rank : int or tuple of int
        As :func:`trlkit.ranks.validate_rank` gives it.
    batch_size : int
    training : bool
        Forward and backward, or forward alone.
    kept : bool
        Whether the full weight may be kept from one batch to the next.
    device : str
        "cpu" or "cuda".
    itemsize : int
        Bytes of one element.
    paths : sequence of str, optional
        The paths to choose from; by default all of the factorization's.

    Returns
    -------
    Plan

    Notes
    -----
    A path that holds more memory than rebuilding the weight is chosen only where
    rebuilding is not among ``paths``. The backward pass of a product is two
    products, so training counts every step three times.

    Examples
    --------
    >>> plan("cp", (512, 7, 7), (1000,), 1000, batch_size=128).path
    'mode_by_mode'
    >>> plan("cp", (512, 7, 7), (10,), 1000, batch_size=128).path
    'rebuild'
    """
    input_shape, output_shape = tuple(input_shape), tuple(output_shape)
    work = {"cp": _cp_work, "tucker": _tucker_work, "tt": _tt_work}[factorization]
    passes = 3 if training else 1
    keeps = kept and math.prod(input_shape + output_shape) <= KEPT_ELEMENTS
    costs = []
    for path, (steps, memory) in work(
        input_shape, output_shape, rank, batch_size, training
    ).items():
        if path == "rebuild" and keeps:
            count = {"cp": cp_parameters, "tucker": tucker_parameters, "tt": tt_parameters}
            factors = count[factorization](input_shape + output_shape, rank)
            # The kept weight is used where the factors equal those it was built from.
            steps = [steps[-1], Work(factors, 2 * factors, len(input_shape + output_shape))]
            memory = math.prod(input_shape + output_shape) + factors
        if paths is None or path in paths:
            flops, elements, kernels = (sum(column) for column in zip(*steps, strict=True))
            costs.append(
                Cost(
                    path,
                    passes * flops,
                    passes * elements * itemsize,
                    memory * itemsize,
                    passes * kernels,
                )
            )
    limit = next((cost.memory for cost in costs if cost.path == "rebuild"), math.inf)
    fitting = [cost for cost in costs if cost.memory <= limit]
    best = min(fitting, key=lambda cost: cost.seconds(device))
    passes_run = "forward and backward" if training else "forward"
    title = (
        f"{factorization} {input_shape} -> {output_shape}, rank {rank}: "
        f"{passes_run} of {batch_size} samples on {device}"
        + (", weight kept between batches" if keeps else "")
    )
    return Plan(title, device, tuple(costs), best.path)


def schedule(path_at: Callable[[int], str], largest: int = 2**16) -> tuple[tuple[int, str], ...]:
    """Tabulate a choice: up to which batch size each path is taken.

    Every cost is a constant plus a multiple of the batch size, so few switches are
    to be found, and a traced program compares its batch size with these alone.

    Parameters
    ----------
    path_at : callable
        Takes a batch size, returns a path.
    largest : int
        From here on the path does not change.

    Returns
    -------
    tuple of (last batch size, path), in order

    Examples
    --------
    >>> schedule(lambda batch_size: "small" if batch_size <= 100 else "large")
    ((100, 'small'), (65536, 'large'))
    """
    switches, size, path = [], 1, path_at(1)
    while size < largest:
        double, last = 2 * size, path_at(2 * size)
        if last != path:
            low, high = size, double
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if path_at(middle) == path else (low, middle)
            switches.append((low, path))
        size, path = double, last
    return (*switches, (largest, path))


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
    cuts = range(1, max(len(shape), 2))
    return min(cuts, key=lambda cut: sum(work.flops for work in _tt_build(shape, rank, cut)[0]))


Works = dict[str, tuple[list[Work], int]]


def _gemm(m: int, k: int, n: int) -> Work:
    return Work(2 * m * k * n, m * k + k * n + m * n)


def _merge(sizes: Sequence[int], rank: int) -> tuple[list[Work], int]:
    """A Khatri-Rao product, and the elements that it holds."""
    if len(sizes) < 2:
        return [], 0
    elements = math.prod(sizes) * rank
    return [Work(elements, 2 * elements, len(sizes) - 1)], elements


def _cp_work(
    inputs: tuple[int, ...], outputs: tuple[int, ...], rank: int, batch: int, training: bool
) -> Works:
    p, n, shape = math.prod(inputs), math.prod(outputs), inputs + outputs
    cut = best_split(shape)
    left, held_left = _merge(shape[:cut], rank)
    right, held_right = _merge(shape[cut:], rank)
    columns, rows = math.prod(shape[:cut]), math.prod(shape[cut:])
    build = [*left, *right, _gemm(columns, rank, rows)]
    rebuild = [*build, _gemm(batch, p, n)], held_left + held_right + p * n

    merged, held = _merge(inputs, rank)
    ends, held_ends = _merge(outputs, rank)
    together = (
        [*merged, *ends, _gemm(batch, p, rank), _gemm(batch, rank, n)],
        held + held_ends + batch * rank,
    )

    start, stop = first_group(inputs)
    group, rest = inputs[start:stop], inputs[:start] + inputs[stop:]
    merged, held = _merge(group, rank)
    others, held_others = _merge(rest, rank)
    size, remaining = math.prod(group), math.prod(rest)
    steps = [*merged, *others, *ends, _gemm(batch * remaining, size, rank)]
    held += held_others + held_ends + batch * rank
    if remaining > 1:
        between = batch * remaining * rank
        steps.append(Work(2 * between, 3 * between, 2))
        held += 2 * between
        if start == 0 and training:
            steps.append(Work(0, 2 * batch * p))
            held += batch * p
    return {
        "rebuild": rebuild,
        "khatri_rao": together,
        "mode_by_mode": ([*steps, _gemm(batch, rank, n)], held),
    }


def _expansion(rows: int, sizes: Sequence[int], rank: Sequence[int]) -> tuple[list[Work], int]:
    """Expand (rows, *rank) to (rows, *sizes); the elements held are the intermediates'."""
    current, steps, held = list(rank), [], 0
    for mode in expansion_order(sizes, rank):
        others = rows * math.prod(current) // current[mode]
        steps.append(_gemm(others, rank[mode], sizes[mode]))
        current[mode] = sizes[mode]
        held += rows * math.prod(current)
    return steps, held


def _tucker_work(
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    rank: tuple[int, ...],
    batch: int,
    training: bool,
) -> Works:
    p, n, split = math.prod(inputs), math.prod(outputs), len(inputs)
    rho, sigma = math.prod(rank[:split]), math.prod(rank[split:])
    build, held = _expansion(1, inputs + outputs, rank)
    rebuild = [*build, _gemm(batch, p, n)], held

    current, projection, held = list(inputs), [], 0
    for start, stop, size, r in projection_order(inputs, rank[:split]):
        others = batch * math.prod(current) // size
        projection.append(_gemm(others, size, r))
        if training and math.prod(current[stop:]) > 1:
            projection.append(Work(0, 2 * others * size))
            held += others * size
        current[start:stop] = [r] + [1] * (stop - start - 1)
        held += others * r
    expand, held_expand = _expansion(batch, outputs, rank[split:])
    fold, held_fold = _expansion(rho, outputs, rank[split:])
    return {
        "rebuild": rebuild,
        "project": (
            [*projection, _gemm(batch, rho, sigma), *expand],
            held + batch * sigma + held_expand - (batch * n if outputs else 0),
        ),
        "project_folded": ([*projection, *fold, _gemm(batch, rho, n)], held + held_fold),
    }


def _tt_left(sizes: Sequence[int], rank: Sequence[int]) -> tuple[list[Work], int]:
    """Merge cores from the left to (product of sizes, last bond)."""
    steps, held, rows = [], 0, sizes[0]
    for size, before, after in zip(sizes[1:], rank[1:], rank[2:], strict=False):
        steps.append(_gemm(rows, before, size * after))
        rows *= size
        held += rows * after
    return steps, held


def _tt_right(sizes: Sequence[int], rank: Sequence[int]) -> tuple[list[Work], int]:
    """Merge cores from the right to (first bond, product of sizes)."""
    return _tt_left(sizes[::-1], rank[::-1]) if sizes else ([], 0)


def _tt_build(shape: Sequence[int], rank: Sequence[int], cut: int) -> tuple[list[Work], int]:
    """Merge the cores on both sides of a bond, then both halves."""
    left, held_left = _tt_left(shape[:cut], rank[: cut + 1])
    if cut == len(shape):
        return left, held_left
    right, held_right = _tt_right(shape[cut:], rank[cut:])
    whole = _gemm(math.prod(shape[:cut]), rank[cut], math.prod(shape[cut:]))
    return [*left, *right, whole], held_left + held_right


def _tt_work(
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    rank: tuple[int, ...],
    batch: int,
    training: bool,
) -> Works:
    p, n, split, shape = math.prod(inputs), math.prod(outputs), len(inputs), inputs + outputs
    bond, cut = rank[split], tt_split(shape, rank)
    build, held = _tt_build(shape, rank, cut)
    rebuild = [*build, _gemm(batch, p, n)], held + p * n
    left, held_left = _tt_left(inputs, rank[: split + 1])
    right, held_right = _tt_right(outputs, rank[split:])
    last = [_gemm(batch, bond, n)] if outputs else []
    merged = [*left, *right, _gemm(batch, p, bond), *last], held_left + held_right + batch * bond

    steps, held, rest = [], 0, p
    for mode, size in enumerate(inputs):
        rest //= size
        steps.append(_gemm(batch * rest, rank[mode] * size, rank[mode + 1]))
        held += batch * rest * rank[mode + 1]
        if training and rest > 1:
            steps.append(Work(0, 2 * batch * rest * size * rank[mode]))
            held += batch * rest * size * rank[mode]
    rows = batch
    for mode, size in enumerate(outputs, start=split):
        steps.append(_gemm(rows, rank[mode], size * rank[mode + 1]))
        rows *= size
        held += rows * rank[mode + 1] if mode + 1 < split + len(outputs) else 0
    return {"rebuild": rebuild, "merged": merged, "left_to_right": (steps, held)}
