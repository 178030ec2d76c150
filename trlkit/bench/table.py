"""``trlkit bench``: the layers against tltorch, ``nn.Linear`` and each fixed path.

A case is a factorization, shapes, a rank and a batch size. All its rivals get the
same numbers and must give the same numbers; then one run times them in turn.
"""

import copy
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import nn

from trlkit.bench.measure import (
    HOPELESS,
    Ceilings,
    Replay,
    Rival,
    Timing,
    ceilings,
    interleaved,
    peak_bytes,
)
from trlkit.contraction.costs import PATHS, plan
from trlkit.layers import CPTRL, TTTRL, TuckerTRL
from trlkit.ranks import (
    Rank,
    cp_parameters,
    full_rank,
    tt_parameters,
    tucker_parameters,
    validate_rank,
)
from trlkit.regression import TRL

LAYERS: dict[str, type[TRL]] = {"cp": CPTRL, "tucker": TuckerTRL, "tt": TTTRL}
# What may differ between rivals, beside the largest number: rounding in another order.
TOLERANCE = 1e-3
# A result this near to a bound is measured again, for longer.
NEAR_SPEED, NEAR_REGRET, LONGER = 1.1, 1.15, 4
# A result with more noise is measured again, too.
NOISE, TRIES = 1.1, 3
# To time the rivals of one case.
SECONDS = {"cpu": 1.0, "cuda": 0.15}
# Runs in which a compiled rival is compiled and records its CUDA graphs.
RECORDS = 4
# Compiling takes seconds, so it is tried at these alone.
COMPILED = {
    f"(512, 7, 7) N={outputs} R={rank} B={batch}"
    for outputs, ranks in ((10, (100, (100, 7, 7, 10))), (1000, (100, (200, 3, 3, 200))))
    for rank in ranks
    for batch in (128, 1024)
}


class Case(NamedTuple):
    """One point of the grid; ``rank`` as asked for, before :func:`rank_of` caps it."""

    factorization: str
    input_shape: tuple[int, ...]
    outputs: int
    rank: int | tuple[int, ...]
    batch: int

    def __str__(self) -> str:
        return f"{self.factorization} {self.place}"

    @property
    def place(self) -> str:
        """The case without its factorization."""
        return f"{self.input_shape} N={self.outputs} R={self.rank} B={self.batch}"

    @property
    def words(self) -> tuple[str, ...]:
        """What ``--only`` selects by."""
        shape = "x".join(map(str, self.input_shape))
        numbers = (f"N={self.outputs}", f"R={self.rank_words}", f"B={self.batch}")
        return (self.factorization, shape, *numbers)

    @property
    def rank_words(self) -> str:
        """The rank as the tables have it."""
        return str(self.rank) if isinstance(self.rank, int) else "x".join(map(str, self.rank))


@dataclass(frozen=True)
class Result:
    """What was measured of one case.

    Attributes
    ----------
    case : Case
    rank : int or tuple of int
        That all rivals had.
    path : str
        The path that "auto" took.
    times : dict of rival to Timing
    peaks : dict of rival to bytes
        What is graphed or compiled has none: it keeps its memory between runs.
    notes : list of str
        Who did not run, and why.
    """

    case: Case
    rank: Rank
    path: str
    times: dict[str, Timing]
    peaks: dict[str, int]
    notes: list[str] = field(default_factory=list)
    ceilings: Ceilings | None = None

    @property
    def floor(self) -> float | None:
        """Milliseconds that the GPU needs at least: for the least operations, or the bytes.

        The batch is read once forward and once backward, its gradient and those of the factors
        are written, the output and its gradient moved; all else could stay on the chip.
        """
        if self.ceilings is None:
            return None
        case = self.case
        inputs = math.prod(case.input_shape)
        costs = plan(
            case.factorization, case.input_shape, (case.outputs,), self.rank, case.batch
        ).costs
        count = {"cp": cp_parameters, "tucker": tucker_parameters, "tt": tt_parameters}
        factors = count[case.factorization]((*case.input_shape, case.outputs), self.rank)
        moved = 3 * case.batch * inputs + 2 * case.batch * case.outputs + 2 * factors
        return self.ceilings.floor(min(cost.flops for cost in costs), 4 * moved)

    @property
    def graphed_regret(self) -> float | None:
        """The time of "graphed" beside that of the best fixed path in a graph."""
        fixed = [t.both for name, t in self.times.items() if name in graphed_paths(self.case)]
        return (
            self.times["graphed"].both / min(fixed) if fixed and "graphed" in self.times else None
        )

    @property
    def speed(self) -> float | None:
        """How many times faster than tltorch."""
        return self._ratio("tltorch")

    @property
    def speed_of_linear(self) -> float | None:
        """How many times faster than ``nn.Linear``."""
        return self._ratio("linear")

    @property
    def regret(self) -> float:
        """The time of "auto" beside that of the best fixed path."""
        fixed = [
            self.times[path].both for path in PATHS[self.case.factorization] if path in self.times
        ]
        return self.times["auto"].both / min(fixed)

    @property
    def noise(self) -> float:
        """How much slower one of two runs of one program was: "auto", and its path by name."""
        own = self.times["auto"].both
        ratio = self.times[self.path].both / own if self.path in self.times else 1.0
        return max(ratio, 1 / ratio)

    @property
    def memory(self) -> float | None:
        """The peak memory of "auto" beside tltorch's."""
        return self.peaks["auto"] / self.peaks["tltorch"] if "tltorch" in self.peaks else None

    def _ratio(self, rival: str) -> float | None:
        return self.times[rival].both / self.times["auto"].both if rival in self.times else None


def graphed_paths(case: Case) -> list[str]:
    """The rivals that are one path each, as a CUDA graph."""
    return [f"{path} graphed" for path in PATHS[case.factorization]]


def gpu_grid(quick: bool = False) -> list[Case]:
    """The cases for a GPU: an activation of VGG16, up to batches that fill the chip.

    Examples
    --------
    >>> len(gpu_grid()), len(gpu_grid(quick=True))
    (48, 12)
    """
    ranks = {
        10: {
            "cp": [100, 1000, 10000],
            "tucker": [(100, 7, 7, 10)],
            "tt": [(1, 64, 64, 10, 1), 1000],
        },
        1000: {"cp": [100, 1000], "tucker": [(200, 3, 3, 200)], "tt": [100, 1000]},
    }
    ranks[1000]["tucker"].append((100, 7, 7, 100))
    return [
        Case(name, (512, 7, 7), outputs, rank, batch)
        for name in PATHS
        for outputs, some in ranks.items()
        for rank in (some[name][:1] if quick else some[name])
        for batch in ((32, 1024) if quick else (1, 32, 128, 1024))
    ]


def grid(quick: bool = False) -> list[Case]:
    """The cases, without those whose capped rank is that of a lower one.

    Examples
    --------
    >>> len(grid()), len(grid(quick=True))
    (213, 24)
    """
    shapes = [(512, 7, 7)] if quick else [(512, 7, 7), (64, 13, 13)]
    ranks = [8, 100] if quick else [8, 32, 100, 1000, 10000]
    cases, seen = [], set()
    for factorization in PATHS:
        for shape in shapes:
            for outputs in (10, 1000) if quick else (7, 10, 1000):
                for rank in ranks:
                    for batch in (1, 128) if quick else (1, 32, 128):
                        case = Case(factorization, shape, outputs, rank, batch)
                        same = case._replace(rank=0), rank_of(case)
                        if same not in seen and (rank < 10000 or outputs == 10):
                            cases.append(case)
                            seen.add(same)
    return cases


def rank_of(case: Case) -> Rank:
    """The case's rank, in every mode or bond no more than the shape can use.

    CP's is not capped: more components than needed are allowed there.

    Examples
    --------
    >>> rank_of(Case("tucker", (512, 7, 7), 10, 100, 1))
    (100, 7, 7, 10)
    >>> rank_of(Case("tt", (512, 7, 7), 10, 100, 1))
    (1, 100, 70, 10, 1)
    """
    shape = (*case.input_shape, case.outputs)
    if not isinstance(case.rank, int):
        return case.rank
    rank = validate_rank(shape, case.rank, case.factorization)
    if case.factorization == "cp":
        return rank
    return tuple(map(min, rank, full_rank(shape, case.factorization)))


def only(cases: Sequence[Case], words: Iterable[str]) -> list[Case]:
    """The cases that have the words; of words of one kind ("N=10", "N=7") any one.

    Raises
    ------
    ValueError
        If no case has one of the words.

    Examples
    --------
    >>> [str(case) for case in only(grid(), ["cp", "512x7x7", "R=8", "N=7", "B=1", "B=32"])]
    ['cp (512, 7, 7) N=7 R=8 B=1', 'cp (512, 7, 7) N=7 R=8 B=32']
    """
    known = [
        list(dict.fromkeys(kind)) for kind in zip(*(case.words for case in cases), strict=True)
    ]
    wanted = [set(kind) & set(words) or set(kind) for kind in known]
    for word in words:
        if not any(word in kind for kind in known):
            raise ValueError(f"--only {word} is in no case: choose from {' '.join(sum(known, []))}")
    return [case for case in cases if all(map(set.__contains__, wanted, case.words))]


def measure(
    case: Case, device: str = "cpu", seconds: float = 1.0, best: Ceilings | None = None
) -> Result:
    """Time and weigh all rivals of one case, after making sure that they agree.

    Parameters
    ----------
    case : Case
    device : {"cpu", "cuda"}
    seconds : float
        To time all rivals of the case, if three rounds fit in it.
    best : Ceilings, optional
        The GPU's, for the floor.

    Returns
    -------
    Result

    Raises
    ------
    ArithmeticError
        If a rival gives other numbers than a linear layer of the full weight.
    MemoryError
        If the layer itself does not fit.
    """
    torch.manual_seed(0)
    layer = LAYERS[case.factorization](case.input_shape, case.outputs, rank_of(case), device=device)
    x = torch.randn(case.batch, *case.input_shape, device=device, requires_grad=True)
    direction = torch.randn(case.batch, case.outputs, device=device)
    rivals, peaks, notes = {}, {}, []
    expected = None
    for name, make in _makers(case, layer, x):
        needed, free = _needed(case, layer, name), _free(device)
        if needed > free:
            notes.append(f"{name}: needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
            continue
        once = "graphed" in name or "compiled" in name  # keeps its memory between runs
        try:
            rival = Rival(make(), x, direction)
            if "graphed" in name:
                rival = Replay(rival)
            for _ in range(RECORDS if "compiled" in name else 1):
                rival.forget()
                found = rival.run().detach().clone(), rival.grad
            peak = None if once else peak_bytes(rival)
        except ImportError:
            notes.append("no tltorch here")
        except Exception as error:
            if not once and not _is_out_of_memory(error):
                raise
            notes.append(f"{name}: {type(error).__name__}")
        else:
            expected = expected or found
            _agree(case, name, found, expected)
            rivals[name] = rival
            if peak is not None:
                peaks[name] = peak
    if "auto" not in rivals:
        raise MemoryError("; ".join(notes))
    path = layer._path(case.batch, "training")

    times = interleaved(rivals, "auto", seconds)
    found = Result(case, layer.rank, path, times, peaks, notes, best)
    for _ in range(TRIES):
        near = (found.speed or math.inf) < NEAR_SPEED or found.regret > NEAR_REGRET
        if not near and found.noise < NOISE:
            break
        own = times["auto"].both
        close = {name: rivals[name] for name in rivals if times[name].both <= HOPELESS * own}
        times.update(interleaved(close, "auto", LONGER * seconds))
        if found.noise < NOISE:
            break
    return found


def bench(
    cases: Sequence[Case], device: str = "cpu", seconds: float | None = None
) -> Iterator[Result]:
    """Measure the cases one after the other, and say on the terminal what came out.

    A case that does not fit in memory is left out, and an interrupt ends the measurement.

    Parameters
    ----------
    cases : sequence of Case
    device : {"cpu", "cuda"}
    seconds : float, optional
        As in :func:`measure`; by default :data:`SECONDS`.

    Yields
    ------
    Result

    Raises
    ------
    ValueError
        If the device is not here.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda, but torch finds no GPU here: use --device cpu")
    best = ceilings() if device == "cuda" else None
    for number, case in enumerate(cases, start=1):
        try:
            found = measure(case, device, SECONDS[device] if seconds is None else seconds, best)
        except MemoryError as error:
            print(f"{number}/{len(cases)} {case} left out; {error}", file=sys.stderr, flush=True)
            continue
        except KeyboardInterrupt:
            print(f"interrupted after {number - 1} of {len(cases)} cases", file=sys.stderr)
            return
        beside = (
            "" if found.speed is None else f"speed {found.speed:.2f}, memory {found.memory:.2f}, "
        )
        said = f"{number}/{len(cases)} {case}: {found.path}, {beside}regret {found.regret:.2f}"
        print("; ".join([said, *found.notes]), file=sys.stderr, flush=True)
        yield found


def _makers(
    case: Case, layer: TRL, x: torch.Tensor
) -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """Every rival's name, and what makes it; the linear layer comes first."""
    yield "linear", lambda: _linear(layer)
    yield "tltorch", layer.to_tltorch
    yield "auto", lambda: layer
    for path in PATHS[case.factorization]:
        yield path, lambda path=path: _fixed(layer, path)
    if x.is_cuda:
        yield "linear graphed", lambda: _linear(layer)
        yield "graphed", lambda: copy.deepcopy(layer)
        for path in PATHS[case.factorization]:
            yield f"{path} graphed", lambda path=path: _fixed(layer, path)
        if case.place in COMPILED:
            torch.compiler.reset()  # the programs of other cases count towards a limit
            yield "compiled", lambda: _compiled(copy.deepcopy(layer))
            yield "tltorch compiled", lambda: _compiled(layer.to_tltorch())


def _linear(layer: TRL) -> nn.Module:
    """The dense layer that a TRL stands for."""
    with torch.no_grad():
        weight = layer.to_dense().reshape(math.prod(layer.input_shape), -1).T.contiguous()
        linear = nn.utils.skip_init(nn.Linear, *weight.shape[::-1], device=weight.device)
        linear.weight.copy_(weight)
        linear.bias.copy_(layer.bias.reshape(-1))
    return nn.Sequential(nn.Flatten(), linear)


def _fixed(layer: TRL, path: str) -> TRL:
    fixed = copy.deepcopy(layer)
    fixed.contraction = path
    return fixed


def _compiled(layer: nn.Module) -> nn.Module:
    return torch.compile(layer, mode="reduce-overhead")


def _agree(case: Case, name: str, found: Sequence, expected: Sequence) -> None:
    """Raise an error unless outputs and the batch's gradient are those expected."""
    for what, one, other in zip(("output", "gradient"), found, expected, strict=True):
        off = ((one - other).abs().max() / other.abs().max()).item()
        if not off <= TOLERANCE:
            raise ArithmeticError(
                f"{case}: the {what} of {name} is {off:.1e} of the largest number away from that "
                f"of a linear layer, but rounding explains only {TOLERANCE:.0e}: mend this path "
                f"before timing it"
            )


def _needed(case: Case, layer: TRL, name: str) -> int:
    """About how many bytes a rival's run takes."""
    inputs = math.prod(case.input_shape)
    elements = 3 * case.batch * inputs + 3 * inputs * case.outputs * (name == "linear")
    if name.startswith("tltorch"):
        elements += 8 * inputs * case.outputs
        if case.factorization == "cp":
            elements += 3 * inputs // case.input_shape[0] * case.outputs * case.rank
    name = name.removesuffix(" graphed")
    auto = name in ("auto", "graphed", "compiled")
    path = layer._path(case.batch, "training") if auto else name
    own = [cost.memory for cost in layer.explain(case.batch).costs if cost.path == path]
    return 4 * elements + max(own, default=0)


def _free(device: str) -> float:
    """Bytes that can be allocated."""
    if device == "cuda":
        cached = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return torch.cuda.mem_get_info()[0] + cached
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not a system that says so
        return math.inf


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
