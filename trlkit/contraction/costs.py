"""What each way to contract a batch with a factorized weight costs, and the choice among them.

A plan counts floating-point operations, elements moved, kernels and the
elements held at once, turns them to seconds with the rates of a device, and
takes the fastest path that holds no more than rebuilding the weight does.
Nothing is contracted here: :mod:`trlkit.contraction.paths` runs the path.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trlkit.contraction.work import UNGRAPHED, Work, by_rows, cp_work, tt_work, tucker_work
from trlkit.ranks import Rank, cp_parameters, tt_parameters, tucker_parameters

PATHS = {
    "cp": ("rebuild", "khatri_rao", "mode_by_mode"),
    "tucker": ("rebuild", "merged", "project", "project_folded"),
    "tt": ("rebuild", "merged", "left_to_right"),
}
# The paths on which each sample can have its own masks.
PER_SAMPLE_PATHS = {
    "cp": ("khatri_rao", "mode_by_mode"),
    "tucker": ("project",),
    "tt": ("left_to_right",),
}


class Rates(NamedTuple):
    """What a device does in a second; the seconds that a kernel takes at least, and its launch.

    Launches go on beside the kernels that run: the longer of the two is what a pass takes.
    """

    flops: float
    bytes: float
    kernel: float
    launch: float


# Measured: two cores of a server CPU in float32; an H200 in float32, launches from Python.
# There, a kernel of a training step takes its share of autograd's work with it.
RATES = {
    "cpu": Rates(150e9, 25e9, 4e-6, 0.0),
    "cuda": Rates(45e12, 3.5e12, 4e-6, 60e-6),
}
# Paths whose factor side a GPU runs as CUDA graphs (:mod:`trlkit.contraction.captured`), and
# how many launches then take as long as the pass, and the largest matrix that a program holds:
# with a larger one the GPU, not Python, takes the time.
CAPTURED_PATHS, CAPTURED_LAUNCHES, CAPTURED_BYTES = ("rebuild", "khatri_rao", "merged"), 6, 2**25
# How much more than rebuilding a path may hold in a CUDA graph, which keeps its memory anyway.
GRAPHED_MEMORY = 1.5
# A weight above this is not kept in eval mode unless contraction="rebuild" asks for it.
KEPT_ELEMENTS = 2**23


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
    launches : int
        One after the other, from Python; 0 in a CUDA graph.
    """

    path: str
    flops: int
    bytes: int
    memory: int
    kernels: int
    launches: int

    def seconds(self, device: str) -> float:
        """Estimate the time on ``"cpu"`` or ``"cuda"``; other devices count as the latter."""
        rates = RATES.get(device, RATES["cuda"])
        work = self.flops / rates.flops + self.bytes / rates.bytes + self.kernels * rates.kernel
        return max(work, self.launches * rates.launch)


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
    graphed: bool = False,
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
    graphed : bool
        Whether the pass is captured in a CUDA graph, where launches take no time.

    Returns
    -------
    Plan

    Notes
    -----
    A path that holds more memory than rebuilding the weight, mode after mode in
    training, is chosen only where rebuilding is not among ``paths``; in a CUDA graph, one that
    holds more than one and a half times as much. The backward
    pass of a product is two products, so training counts every step three times, and
    every tensor that is held twice: once for its gradient.

    Examples
    --------
    >>> plan("cp", (512, 7, 7), (1000,), 1000, batch_size=128).path
    'mode_by_mode'
    >>> plan("cp", (512, 7, 7), (10,), 1000, batch_size=128).path
    'rebuild'
    """
    input_shape, output_shape = tuple(input_shape), tuple(output_shape)
    work = {"cp": cp_work, "tucker": tucker_work, "tt": tt_work}[factorization]
    passes = 3 if training else 1
    keeps = kept and math.prod(input_shape + output_shape) <= KEPT_ELEMENTS
    costs = []
    for path, (steps, memory) in work(
        input_shape, output_shape, rank, batch_size, training
    ).items():
        if path == "rebuild" and keeps:
            count = {"cp": cp_parameters, "tucker": tucker_parameters, "tt": tt_parameters}
            factors = count[factorization](input_shape + output_shape, rank)
            p, n = math.prod(input_shape), math.prod(output_shape)
            # The kept weight is used where the factors equal those it was built from; comparing
            # runs at half the rate of a copy, and takes some calls a factor.
            same = Work(factors, 4 * factors, 3 * len(input_shape + output_shape))
            steps, memory = [*by_rows(batch_size, p, n), same], p * n + factors
        if paths is None or path in paths:
            takes = ("", device) if graphed else ("", device, UNGRAPHED)
            steps = [step for step in steps if step.only in takes]
            kernels = sum(step.kernels + training * step.backward for step in steps)
            columns = columns_of(path, factorization, input_shape, output_shape, rank)
            captured = 0 < columns * math.prod(input_shape) * itemsize <= CAPTURED_BYTES
            launches = CAPTURED_LAUNCHES if captured else kernels
            costs.append(
                Cost(
                    path,
                    passes * sum(step.flops for step in steps),
                    passes * sum(step.elements for step in steps) * itemsize,
                    (2 if training else 1) * memory * itemsize,
                    kernels,
                    0 if graphed else launches,
                )
            )
    limit = next((cost.memory for cost in costs if cost.path == "rebuild"), math.inf)
    if training:
        limit = max(limit, itemsize * _rebuilt(factorization, input_shape, output_shape, rank))
    limit *= GRAPHED_MEMORY if graphed else 1
    fitting = [cost for cost in costs if cost.memory <= limit]
    best = min(fitting, key=lambda cost: cost.seconds(device))
    passes_run = "forward and backward" if training else "forward"
    title = (
        f"{factorization} {input_shape} -> {output_shape}, rank {rank}: "
        f"{passes_run} of {batch_size} samples on {device}"
        + (", weight kept between batches" if keeps else "")
    )
    return Plan(title, device, tuple(costs), best.path)


def columns_of(
    path: str,
    factorization: str,
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    rank: Rank,
) -> int:
    """By how many columns a path multiplies the batch first; 0 where that is no single product.

    Examples
    --------
    >>> columns_of("rebuild", "cp", (512, 7, 7), (10,), 100)
    10
    >>> columns_of("khatri_rao", "cp", (512, 7, 7), (10,), 100)
    100
    """
    if path not in CAPTURED_PATHS:
        return 0
    if path == "rebuild":
        return math.prod(output_shape)
    if factorization == "cp":
        return rank
    if factorization == "tt":
        return rank[len(input_shape)]
    return math.prod(rank[len(input_shape) :]) if len(output_shape) < 2 else 0


def _rebuilt(
    factorization: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...], rank: Rank
) -> int:
    """The elements that rebuilding mode after mode, first to last, holds in training.

    As measured of tensorly-torch 0.5.0: the weight, its gradient and the intermediates,
    while factors and core have no gradient yet.
    """
    shape = input_shape + output_shape
    held = 2 * math.prod(shape)
    if factorization == "tt":
        held += math.prod(input_shape) * rank[len(input_shape)]
    if factorization == "tucker":
        elements = math.prod(rank)
        for size, r in zip(shape[:-1], rank[:-1], strict=True):
            elements = elements // r * size
            held += elements
        held -= tucker_parameters(shape, rank)
    return held


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


@functools.lru_cache(maxsize=1024)
def scheduled(
    factorization: str,
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    rank: Rank,
    **options: object,
) -> tuple[tuple[int, str], ...]:
    """The :func:`schedule` of what :func:`plan` chooses, computed once for layers that are alike.

    Parameters
    ----------
    factorization, input_shape, output_shape, rank
        As for :func:`plan`.
    **options
        The others of :func:`plan`, all hashable.

    Returns
    -------
    tuple of (last batch size, path), in order

    Examples
    --------
    >>> scheduled("cp", (16, 4, 4), (10,), 5, device="cpu")[-1]
    (65536, 'rebuild')
    """
    what = factorization, input_shape, output_shape, rank
    return schedule(lambda size: plan(*what, size, **options).path)
