"""Time and peak memory of forward and backward passes, many rivals in one run."""

import gc
import math
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from trlkit.contraction import native
from trlkit.contraction.captured import Program, capturing
from trlkit.regression import TRL

# A rival this many times slower than the one in question rests after the least number of rounds.
HOPELESS = 4


def prepare(device: str) -> None:
    """Build the native step of a GPU, unless ``TRLKIT_NATIVE=0`` does without it."""
    wanted = device == "cuda" and os.environ.get(native.VARIABLE) != "0"
    if not (wanted and torch.cuda.is_available()):
        return
    try:
        native.build()
    except (RuntimeError, OSError) as error:
        print(f"measured without what `trlkit native` builds: {error}", file=sys.stderr)


class Rival(NamedTuple):
    """A module with the batch that it takes and the direction of its backward pass.

    Attributes
    ----------
    module : Module
    x : Tensor of shape (B, *input_shape)
        It gets a gradient, as the activation of a network in training does.
    direction : Tensor of the output's shape
    """

    module: nn.Module
    x: Tensor
    direction: Tensor

    def forget(self) -> None:
        """Drop the gradients, so that every run allocates its own."""
        self.module.zero_grad(set_to_none=True)
        self.x.grad = None

    def run(self, mark: Callable[[], None] = lambda: None) -> Tensor:
        """Run forward, mark, run backward; the output (B, N) is returned."""
        y = self.module(self.x)
        mark()
        y.backward(self.direction)
        return y

    @property
    def grad(self) -> Tensor:
        """The batch's gradient of the last run."""
        return self.x.grad


class Replay:
    """A rival whose forward and backward pass is one CUDA graph, launched at once."""

    def __init__(self, rival: Rival):
        self.rival, self.x = rival, rival.x  # whose memory the graph reads
        side, now = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(now)
        with torch.cuda.stream(side):
            for _ in range(3):
                rival.forget()
                rival.run()
        now.wait_stream(side)
        rival.forget()
        self.graph = torch.cuda.CUDAGraph()
        with capturing(self.graph, side):
            self.y = rival.run()
        self.grad = rival.x.grad

    def forget(self) -> None:
        """The graph writes its gradients where it always does."""

    def run(self, mark: Callable[[], None] = lambda: None) -> Tensor:
        """Launch the graph; the output (B, N) is returned, which the next run overwrites."""
        self.graph.replay()
        mark()
        return self.y


class Ceilings(NamedTuple):
    """What a GPU does at best, in floating-point operations of float32 and bytes a second."""

    flops: float
    bytes: float

    def floor(self, flops: int, moved: int) -> float:
        """The milliseconds that a pass takes at least."""
        return 1e3 * max(flops / self.flops, moved / self.bytes)


def ceilings(size: int = 8192) -> Ceilings:
    """Measure them: a product of two square matrices, and a copy."""
    one, copy = torch.randn(2, size, size, device="cuda"), torch.empty(2**28, device="cuda")
    other = torch.empty_like(copy)

    def seconds(call: Callable[[], object]) -> float:
        return median(_elapsed(call) for _ in range(9))

    seconds(lambda: one[0] @ one[1])  # the GPU's clock goes up
    product, copied = seconds(lambda: one[0] @ one[1]), seconds(lambda: other.copy_(copy))
    return Ceilings(2 * size**3 / product, 2 * copy.nbytes / copied)


def _elapsed(call: Callable[[], object]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


class Timing(NamedTuple):
    """Medians in milliseconds, of forward alone and with backward; and in how many rounds."""

    forward: float
    both: float
    rounds: int


def interleaved(
    rivals: Mapping[str, Rival | Replay],
    about: str,
    seconds: float,
    least: int = 3,
    most: int = 300,
) -> dict[str, Timing]:
    """Time rivals in turn, round after round, so that a busy moment meets them all.

    Parameters
    ----------
    rivals : mapping of name to Rival
    about : str
        The rival in question: much slower ones take part in the first rounds alone.
    seconds : float
        No round begins after this long, once the least number is done.
    least, most : int
        Rounds.

    Returns
    -------
    dict of name to Timing
        Medians of the calmer half of the rounds: those in which the rivals together
        were the least slowed by whatever else the machine did.

    Examples
    --------
    >>> x, direction = torch.ones(2, 3, requires_grad=True), torch.ones(2, 4)
    >>> rivals = {"linear": Rival(nn.Linear(3, 4), x, direction)}
    >>> interleaved(rivals, "linear", seconds=0)["linear"].rounds
    3
    """
    rounds: list[dict[str, tuple[float, float]]] = []
    best, names, order = dict.fromkeys(rivals, math.inf), list(rivals), random.Random(0)
    started = time.perf_counter()
    while len(rounds) < most and (len(rounds) < least or time.perf_counter() - started < seconds):
        # Nobody always runs after the same rival, whose data may fill the caches.
        turns = order.sample(names, len(names))
        if len(rounds) >= least:
            turns = [name for name in turns if best[name] <= HOPELESS * best[about]]
        rounds.append({name: _timed(rivals[name]) for name in turns})
        for name, (_, both) in rounds[-1].items():
            best[name] = min(best[name], both)

    def slowed(found: dict[str, tuple[float, float]]) -> float:
        return sum(both / best[name] for name, (_, both) in found.items()) / len(found)

    rounds.sort(key=slowed)
    return {name: _timing([found[name] for found in rounds if name in found]) for name in names}


def peak_bytes(rival: Rival) -> int:
    """The most bytes that one forward and backward pass holds beside parameters and batch.

    Parameters
    ----------
    rival : Rival

    Returns
    -------
    int
        Output, gradients, all that is saved or temporary. On the CPU from the record
        of allocations of torch's profiler, on CUDA from the allocator's own peak.

    Examples
    --------
    >>> x, direction = torch.ones(2, 3, requires_grad=True), torch.ones(2, 4)
    >>> peak_bytes(Rival(nn.Linear(3, 4, bias=False), x, direction)) == 4 * (8 + 6 + 12)
    True
    """
    rival.forget()
    if rival.x.is_cuda:
        gc.collect()  # what goes of itself during the pass would be counted as its own
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        rival.run()
        peak = torch.cuda.max_memory_allocated() - before
        layers = [module for module in rival.module.modules() if isinstance(module, TRL)]
        return peak + sum(_kept(program) for layer in layers for program in layer._programs)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its notices are not about the measurement
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        rival.run()
    events = profiler.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    live = peak = 0
    for _, change in sorted(changes, key=lambda event: event[0]):
        live += change
        peak = max(peak, live)
    return peak


def _kept(program: Program) -> int:
    """The bytes of a program's matrices, gradients and all that its two graphs write between.

    They are in pools of the graphs' own, of which the allocator counts what is named alone: so
    what the graphs do is captured again. The scratch memory of matrix products is not counted,
    as it is not of other rivals, for whom it lies there before.
    """
    made: list[Tensor] = []
    recipe, inputs = program.recipe, program.inputs

    def peak(step: Callable[[], object]) -> int:
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated()

    with torch.enable_grad(), capturing(torch.cuda.CUDAGraph(), torch.cuda.Stream()):
        recipe.gradients(recipe.once(inputs, program.drawn), inputs)
        before = torch.cuda.memory_allocated()
        first = peak(lambda: made.extend(recipe.once(inputs, program.drawn))) - before
        between = torch.cuda.memory_allocated()
        second = peak(lambda: recipe.gradients(made, inputs)) - between
    copies = sum(tensor.nbytes for tensor in inputs) if program.copies else 0
    return first + second + copies


def _timing(calmest_first: list[tuple[float, float]]) -> Timing:
    half = calmest_first[: (len(calmest_first) + 1) // 2]
    return Timing(*(1e3 * median(column) for column in zip(*half, strict=True)), len(calmest_first))


def _timed(rival: Rival | Replay) -> tuple[float, float]:
    """Seconds of one forward pass, and of it with its backward pass."""
    rival.forget()
    if not rival.x.is_cuda:
        marks = [time.perf_counter()]
        rival.run(lambda: marks.append(time.perf_counter()))
        marks.append(time.perf_counter())
        return marks[1] - marks[0], marks[2] - marks[0]
    start, middle, end = (torch.cuda.Event(enable_timing=True) for _ in range(3))
    torch.cuda.synchronize()
    start.record()
    rival.run(middle.record)
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(middle) / 1e3, start.elapsed_time(end) / 1e3
