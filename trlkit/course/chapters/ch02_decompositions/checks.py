"""Chapter 02: CP, Tucker and TT. The tensors are summed by loops, the rest follows definitions."""

import functools
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from trlkit.contraction import paths
from trlkit.course.checking.answer import RIGHT, Verdict
from trlkit.course.checking.compare import describe
from trlkit.course.checking.exercise import Case, Draw, Exercise
from trlkit.course.checking.products import multi_mode_dot, unfold
from trlkit.course.checking.weights import cp_weight, tucker_weight
from trlkit.lab.data import photographs
from trlkit.ranks import tt_parameters
from trlkit.weights.decomposition import decompose, relative_error


def outer(vectors: Sequence[Tensor]) -> Tensor:
    return functools.reduce(lambda x, vector: torch.tensordot(x, vector, dims=0), vectors)


def cp_factors(draw: Draw, sizes: Sequence[int], rank: int) -> list[Tensor]:
    return [draw.normal(size, rank) for size in sizes]


def cp_to_tensor_cases(draw: Draw) -> Iterator[Case]:
    rows, more = draw.sizes(2, 3)
    yield Case(([draw.counting(rows, 2), draw.counting(more, 2)],), "a matrix: A B^T")
    yield Case((cp_factors(draw, draw.sizes(3, 4, 2), 2),))
    yield Case((cp_factors(draw, draw.sizes(2, 3, 2, 4), 3),), "four modes")
    yield Case((cp_factors(draw, draw.sizes(4, 2, 3), 1),), "rank 1")
    yield Case((cp_factors(draw, (3, 3, 3), 3),), "a cube, and as many terms")
    yield Case((cp_factors(draw, draw.sizes(2, 3, 2), 5),), "a rank above every size")
    yield Case((cp_factors(draw, draw.sizes(3, 1, 4), 2),), "a mode of size 1")
    yield Case((cp_factors(draw, (2, 3, 2, 2, 3), 2),), "five modes")
    factors = [draw.normal(2, size).mT for size in draw.sizes(3, 2, 4)]
    yield Case((factors,), "not contiguous in memory")
    factors = [f.clamp(-2, 2).round().bfloat16() for f in cp_factors(draw, draw.sizes(3, 2), 2)]
    yield Case((factors,), "bfloat16")
    factors = [factor.float() for factor in cp_factors(draw, draw.sizes(3, 2, 4), 2)]
    yield Case((factors,), "float32")


def random_parts(shape: Sequence[int], rank: Any, kind: str) -> list[Tensor]:
    """Random factors or cores, the core of a Tucker form first."""
    if kind == "cp":
        sizes = [(size, rank) for size in shape]
    elif kind == "tucker":
        sizes = [tuple(rank), *zip(shape, rank, strict=True)]
    else:
        sizes = list(zip(rank[:-1], shape, rank[1:], strict=True))
    draw = Draw(0)
    return [draw.normal(*each) for each in sizes]


def free_numbers(shape: Sequence[int], rank: Any, kind: str) -> int:
    """The rank of the derivative of the tensor with respect to all numbers that are stored."""

    def build(*parts: Tensor) -> Tensor:
        if kind == "cp":
            return cp_weight(parts)
        return tucker_weight(parts[0], parts[1:]) if kind == "tucker" else paths.tt_dense(parts)

    parts = random_parts(shape, rank, kind)
    slopes = torch.autograd.functional.jacobian(build, tuple(parts), vectorize=True)
    columns = [slope.reshape(-1, part.numel()) for slope, part in zip(slopes, parts, strict=True)]
    return torch.linalg.matrix_rank(torch.cat(columns, dim=1), rtol=1e-9).item()


def free_numbers_cases(draw: Draw) -> Iterator[Case]:
    pairs, triples = (list(itertools.permutations(range(4, 9), count)) for count in (2, 3))
    yield Case((draw.choice((4, 5, 6), triples), 2, "cp"))
    yield Case((draw.choice((6, 4), pairs), 1, "cp"), "a matrix of rank 1")
    yield Case((draw.choice((6, 4), pairs), 3, "cp"), "a matrix of rank 3")
    yield Case((draw.choice((3, 4, 3, 5), [(4, 3, 5, 3)]), 3, "cp"), "four modes")
    yield Case((draw.choice((3, 2, 2, 3, 2), [(2, 3, 2, 2, 3)]), 2, "cp"), "five modes")
    yield Case((draw.choice((4, 5, 6), triples), (2, 3, 4), "tucker"))
    yield Case((draw.choice((5, 4), pairs), (3, 3), "tucker"), "a matrix")
    yield Case(((3, 3, 3), (3, 3, 3), "tucker"), "as many as there are entries")
    yield Case((draw.choice((3, 2, 4, 3), [(4, 2, 3, 3)]), (2, 2, 3, 1), "tucker"), "four modes")
    yield Case((draw.choice((4, 5, 6), triples), (1, 2, 4, 1), "tt"))
    yield Case((draw.choice((5, 4), pairs), (1, 3, 1), "tt"), "a matrix")
    yield Case((draw.choice((2, 3, 2, 3, 2), [(3, 2, 3, 2, 2)]), (1, 2, 3, 3, 2, 1), "tt"))
    yield Case((draw.sizes(5), (1, 1), "tt"), "a single core")


def cp_als_sweep(x: Tensor, factors: Sequence[Tensor]) -> list[Tensor]:
    factors = list(factors)
    for mode in range(x.ndim):
        terms = []  # the other factors' rank-1 tensors, each as one long vector
        for r in range(factors[0].shape[1]):
            others = [factor[:, r] for k, factor in enumerate(factors) if k != mode]
            terms.append(outer(others).reshape(-1))
        design = torch.stack(terms, dim=1)
        factors[mode] = torch.linalg.lstsq(design, unfold(x, mode).T, driver="gelsd").solution.T
    return factors


def cp_als_sweep_cases(draw: Draw) -> Iterator[Case]:
    shape = draw.sizes(4, 5, 3)
    yield Case((draw.normal(*shape), cp_factors(draw, shape, 2)))
    yield Case((draw.normal(3, 3, 3), cp_factors(draw, (3, 3, 3), 3)), "a cube, and as many terms")
    shape = draw.sizes(3, 2, 4, 5)
    yield Case((draw.normal(*shape), cp_factors(draw, shape, 3)), "four modes")
    shape = draw.sizes(5, 4)
    yield Case((draw.normal(*shape), cp_factors(draw, shape, 2)), "a matrix")
    shape = draw.sizes(4, 2, 5)
    yield Case((draw.normal(*shape), cp_factors(draw, shape, 1)), "rank 1")
    shape = draw.choice((2, 3, 4), [(3, 4, 2), (4, 2, 3)])
    yield Case((draw.normal(*shape), cp_factors(draw, shape, 4)), "a rank above some sizes")
    shape = draw.sizes(3, 4, 5)
    exact = cp_factors(draw, shape, 2)
    start = [*cp_factors(draw, shape[:1], 2), *exact[1:]]
    yield Case((cp_weight(exact), start), "a tensor of this rank, one factor forgotten")
    shape = draw.choice((4, 1, 5), [(5, 1, 4), (6, 1, 4)])
    yield Case((draw.normal(*shape), cp_factors(draw, shape, 2)), "a mode of size 1")
    shape = draw.choice((1, 4, 5), [(1, 5, 4), (1, 4, 6)])
    yield Case((draw.normal(*shape), cp_factors(draw, shape, 2)), "the first mode has size 1")
    shape = draw.choice((4, 5, 6), [(6, 4, 5), (5, 6, 4)])
    factors = [factor.float() for factor in cp_factors(draw, shape, 2)]
    yield Case((draw.normal(*shape).float(), factors), "float32")
    strided = draw.normal(shape[1], shape[2], shape[0]).movedim(-1, 0)
    yield Case((strided, cp_factors(draw, shape, 3)), "not contiguous in memory")


# ---- how alternating least squares ends ------------------------------------------------------

LONGEST = 1000  # sweeps that a run may take
MOST_RUNS = 4  # runs for each start
# What the starts of a world do (see made_up_run), and what is said of it.
WORLDS = {
    "world 1": (
        ("fast", "swamp", "stuck"),
        "an error may stand still for 400 sweeps and then fall",
    ),
    "world 2": (
        ("fast", "swamp", "stuck", "large", "runaway", "rush"),
        "a term may be large and stay as it is",
    ),
    "world 3": (
        ("late", "low", "fast", "small", "stuck", "runaway"),
        "an error may fall after the 500th sweep, or end at 0.0002, or stay at 0.005",
    ),
    "world 4": (
        ("slow", "grown", "shrunk", "quiet", "rush", "runaway"),
        "since the 500th sweep a size may grow by 5 %, by 15 % or to its double, or shrink",
    ),
    "world 5": (
        ("fast", "late", "outgrows", *("falls",) * 3, "creeps", "quiet", "stuck", "runaway"),
        "a size may grow while the error falls to 0, and an error may fall while no size grows",
    ),
    "world 6": (
        ("brink", "under", "over", "fast", "stuck"),
        "an error may be 1e-3, and since the 500th sweep a size may grow by 9.6 or by 10.4 %",
    ),
    "world 7": (
        ("last", "leaps", "dips", "silent", "fast", "stuck"),
        "a size may shrink until the 500th sweep, or leap in the next one, or grow while the error "
        "stands still, and an error may fall in the last sweep",
    ),
}


@functools.cache
def _starts(world: str, seeds: int) -> tuple[str, ...]:
    """What each start does: of all kinds in this world two or more."""
    kinds = WORLDS[world.partition(",")[0]][0]
    luck = random.Random(world)
    starts = [*kinds * 2, *luck.choices(kinds, k=seeds)][:seeds]
    return tuple(luck.sample(starts, seeds))


def made_up_run(world: str, seeds: int, seed: int, sweeps: int) -> tuple[float, float]:
    """The error of a start in a made-up world, and the size of its largest term."""
    kind, luck = _starts(world, seeds)[seed], random.Random(f"{world} {seed}")
    level, pace, size = luck.uniform(0.02, 0.4), luck.uniform(4, 9), luck.uniform(0.8, 3.0)
    share, time = luck.random(), sweeps / LONGEST
    settled = level * (1 + math.exp(-sweeps / pace))
    fallen = max(level * math.exp(-sweeps / pace), 1e-12)
    creeping, growing = level * sweeps**-0.35, size * (1 + sweeps) ** (0.2 + 0.2 * share)
    waits = {"swamp": 60 + 340 * share, "late": 520 + 380 * share}.get(kind, 0)
    if waits:  # the error stands still for so long
        if sweeps < waits:
            return level * (1 + 0.1 / (1 + sweeps)), size
        return max(level * math.exp(-(sweeps - waits) / pace), 1e-12), size
    half = LONGEST // 2
    later = max(0, sweeps - half) / half  # 0 up to the 500th sweep, 1 at the end
    return {
        "fast": (fallen, size),
        "brink": (max(fallen, 1e-3), size),
        "under": (settled, size * (1 + 0.096 * later)),
        "over": (creeping, size * (1 + 0.104 * later)),
        "dips": (creeping, size * (1.5 - min(time, 0.5) + 0.2 * later)),  # 1.2 at the end
        "silent": (settled, growing),
        "last": (1e-6 if sweeps == LONGEST else settled, size),
        "leaps": (creeping, size * (1.2 if sweeps > half else 1)),
        "low": (1e-5 + 7e-4 * share + fallen, size),  # found, and above 0
        "outgrows": (fallen, growing),
        "stuck": (settled, size),
        "large": (settled, 8 * size),
        "small": (1.5e-3 + 7e-3 * share + fallen, size),  # an error of less than 0.01
        "slow": (
            settled,
            4 * size * (1 + (0.06 + 0.1 * share) * time),
        ),  # below 8 % in the 2nd half
        "grown": (settled, size * (1 + (2 + 2 * share) * (1 - math.exp(-sweeps / 60)))),
        "shrunk": (settled, size * (1 + 2 * math.exp(-sweeps / 400))),
        "falls": (creeping, size),
        "runaway": (creeping, growing),
        "quiet": (creeping, size / 10 * (1 + (0.3 + 0.3 * share) * time)),  # 13 % and more
        "creeps": (level * (1 + 0.01 / sweeps), growing),
        "rush": (creeping, size * (1 + sweeps) ** 1.2),
    }[kind]


def als_endings(run: Callable, seeds: int) -> tuple[int, int, int]:
    found = stuck = runaway = 0
    for seed in range(seeds):
        error, size = run(seed, LONGEST)
        if error < 1e-3:
            found += 1
        elif size > 1.1 * run(seed, LONGEST // 2)[1]:
            runaway += 1
        else:
            stuck += 1
    return found, stuck, runaway


def als_endings_probe(answer: Callable, world: str, seeds: int) -> Verdict:
    torch.default_generator.manual_seed(0)
    calls: Counter = Counter()

    def counted(seed: int, sweeps: int) -> tuple[float, float]:
        seed, sweeps = int(seed), int(sweeps)
        if not (0 <= seed < seeds and 1 <= sweeps <= LONGEST):
            raise ValueError(f"seed={seed}, sweeps={sweeps}: 0 to {seeds - 1}, 1 to {LONGEST}")
        calls[sweeps] += 1
        if calls.total() > MOST_RUNS * seeds:
            raise RuntimeError(f"more than {MOST_RUNS} runs for each of {seeds} starts")
        return made_up_run(world, seeds, seed, sweeps)

    said = answer(counted, seeds)
    right = als_endings(functools.partial(made_up_run, world, seeds), seeds)
    if not isinstance(said, tuple | list) or [type(count) for count in said] != [int] * 3:
        text = f"must return three ints, got {describe(said)}"
        return Verdict("shares" if _add_up_to_1(said) else "no triple", text)
    if tuple(said) == right:
        return RIGHT
    longest = f"runs of {', '.join(map(str, sorted(calls)[-4:]))} sweeps" if calls else "no run"
    text = (
        f"of {seeds} starts {right[0]} find the tensor, {right[1]} stand still and {right[2]} run "
        f"away; got {said[0]}, {said[1]}, {said[2]}, by {longest}"
    )
    if sum(said) != seeds:
        return Verdict("another sum", f"{text}\nthe three do not add up to {seeds}")
    text += f"\nIn this world {WORLDS[world.partition(',')[0]][1]}."
    if calls and max(calls) < LONGEST:
        return Verdict("too short", text)
    once = " by one run" if len(calls) == 1 and said[2] else ""  # growth takes two to see
    return Verdict(f"got {tuple(said)}{once}", text)


def _add_up_to_1(said: Any) -> bool:
    """Whether there are three numbers, shares of a whole."""
    triple = isinstance(said, tuple | list) and len(said) == 3
    return triple and all(type(x) in (int, float) for x in said) and abs(sum(said) - 1) < 1e-6


def als_endings_cases(draw: Draw) -> Iterator[Case]:
    for world in WORLDS:
        yield Case((f"{world}, luck {draw.choice(0, range(100, 900))}", 40))


def hosvd(x: Tensor, ranks: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    factors = [leading(unfold(x, mode), rank) for mode, rank in enumerate(ranks)]
    return multi_mode_dot(x, [factor.T for factor in factors], range(x.ndim)), factors


def leading(matrix: Tensor, rank: int) -> Tensor:
    """The left singular vectors of the ``rank`` largest singular values."""
    return torch.linalg.svd(matrix, full_matrices=False).U[:, :rank]


def hosvd_cases(draw: Draw) -> Iterator[Case]:
    shape = draw.sizes(4, 5, 3)
    yield Case((draw.normal(*shape), tuple(size - 1 for size in shape)))
    shape = draw.choice((5, 4, 6), [(6, 5, 4), (4, 6, 5), (7, 4, 5)])
    yield Case(
        (draw.normal(*shape), draw.choice((2, 3, 4), [(3, 2, 1), (1, 3, 2)])), "unequal ranks"
    )
    yield Case((draw.normal(4, 4, 4), (2, 2, 2)), "a cube")
    factors = [draw.normal(size, 2) for size in shape]
    exact = multi_mode_dot(draw.normal(2, 2, 2), factors, range(3))
    yield Case((exact, (2, 2, 2)), "a tensor of these ranks: nothing is lost")
    shape = draw.sizes(3, 4, 2, 5)
    yield Case((draw.normal(*shape), (2, 1, 2, 2)), "four modes")
    shape = draw.sizes(6, 4)
    rank = min(shape) - 1
    yield Case((draw.normal(*shape), (rank, rank)), "a matrix")
    yield Case((draw.normal(3, 4, 5), (3, 4, 5)), "full ranks: nothing is lost")
    yield Case((draw.normal(4, 3, 5).movedim(-1, 0), (2, 3, 2)), "not contiguous in memory")
    yield Case((draw.normal(5, 4, 3).float(), (2, 3, 2)), "float32")


def judged_hosvd(value: Any, args: tuple) -> Any:
    """The pair (core, factors), judged by what it must satisfy: signs are free."""
    x, ranks = args
    form = _pair_of_tensors(value, x, ranks)
    if form != RIGHT:
        return {"form": form, "values": None}
    core, factors = value[0], list(value[1])
    close = 1e-3 if x.dtype == torch.float32 else 1e-6
    norm = x.norm().item()
    orthonormal = subspace = projected = RIGHT
    for mode, (factor, rank) in enumerate(zip(factors, ranks, strict=True)):
        gap = (factor.T @ factor - torch.eye(rank, dtype=x.dtype)).abs().max().item()
        if not gap <= close:
            text = (
                f"the columns of factors[{mode}] are not orthonormal: factors[{mode}].T @ "
                f"factors[{mode}] is off the identity by up to {gap:.3g}"
            )
            orthonormal = Verdict(f"factors[{mode}] not orthonormal", text)
            break
        best = leading(unfold(x, mode), rank)
        kept, most = (  # of the squared norm of x, by the first column, by two, and so on
            ((u.T @ unfold(x, mode)).square().sum(dim=1).cumsum(0) / norm**2).tolist()
            for u in (factor, best)
        )
        if not (factor @ factor.T - best @ best.T).abs().max() <= 10 * close:
            text = (
                f"the columns of factors[{mode}] are orthonormal, but not those asked for: along "
                f"mode {mode} they keep {kept[-1]:.2%} of the squared norm of x, and {rank} "
                f"columns can keep {most[-1]:.2%}"
            )
            subspace = Verdict(f"factors[{mode}] not the best", text)
            break
        rows = (factor.T @ unfold(x, mode)).norm(dim=1)
        values = (best.T @ unfold(x, mode)).norm(dim=1)
        if not (rows - values).abs().max().item() <= 10 * close * max(1.0, norm):
            count = 1 + max(range(rank), key=lambda k: most[k] - kept[k])
            text = (
                f"together the columns of factors[{mode}] keep as much as they can; the first "
                f"{count} by {'itself' if count == 1 else 'themselves'}: {kept[count - 1]:.2%} of "
                f"the squared norm of x, and {count} can keep {most[count - 1]:.2%}"
            )
            subspace = Verdict(f"factors[{mode}] another basis", text)
            break
    if orthonormal == subspace == RIGHT:
        wanted = multi_mode_dot(x, [factor.T for factor in factors], range(x.ndim))
        gap = (core - wanted).abs().max().item()
        if not gap <= close * max(1.0, norm):
            gaps = [(x - multi_mode_dot(g, factors, range(x.ndim))).norm() for g in (core, wanted)]
            text = (
                "the factors are right, the core is not the closest one for them: the relative "
                f"error is {gaps[0] / norm:.3f} with it, and can be {gaps[1] / norm:.3f}"
            )
            projected = Verdict("core", text)
    values = {
        "orthonormal columns": orthonormal,
        "best directions": subspace,
        "core": projected,
        "factors[k] @ factors[k].T": [factor @ factor.T for factor in factors],
        "the tensor that they make": multi_mode_dot(core, factors, range(x.ndim)),
    }
    return {"form": form, "values": values}


def _pair_of_tensors(value: Any, x: Tensor, ranks: Sequence[int]) -> Verdict:
    """What is wrong with the form of a pair (core, factors), if anything is."""
    pair = isinstance(value, tuple | list) and len(value) == 2
    if not pair or not isinstance(value[1], tuple | list):
        text = f"expected a pair (core, list of factors), got {_what(value)}"
        return Verdict(f"no pair: {_what(value)}", text)
    return _forms(
        [value[0], *value[1]],
        [tuple(ranks), *zip(x.shape, ranks, strict=True)],
        ["core", *(f"factors[{mode}]" for mode in range(max(len(value[1]), x.ndim)))],
        x.dtype,
    )


def _what(value: Any) -> str:
    """What came, a list or a tuple by what stands in it."""
    if not isinstance(value, tuple | list):
        return describe(value)
    listed = (
        f"a {type(v).__name__}" if isinstance(v, tuple | list) else describe(v) for v in value
    )
    return f"a {type(value).__name__} of " + (" and ".join(listed) or "nothing")


def _forms(
    tensors: Sequence[Any], shapes: Sequence[tuple], names: Sequence[str], dtype: torch.dtype
) -> Verdict:
    """What is wrong with the number, the shapes and the dtypes of tensors, if anything is."""
    if not all(isinstance(tensor, Tensor) for tensor in tensors):
        wrong = next(k for k, tensor in enumerate(tensors) if not isinstance(tensor, Tensor))
        text = f"{names[wrong]} must be a tensor, got {describe(tensors[wrong])}"
        return Verdict(f"{names[wrong]} is no tensor", text)
    got = [tuple(tensor.shape) for tensor in tensors]
    if got != list(shapes):
        if len(got) != len(shapes):
            text = (
                f"returns {len(got)} tensors in all, expected {len(shapes)}: the shapes are {got}"
            )
        else:
            wrong = next(k for k in range(len(got)) if got[k] != shapes[k])
            text = f"{names[wrong]} has shape {got[wrong]}, expected {shapes[wrong]}"
        return Verdict(f"shapes {got}", text)
    for name, tensor in zip(names, tensors, strict=False):
        if tensor.dtype != dtype:
            text = f"{name} has dtype {tensor.dtype}, expected x's own, {dtype}"
            return Verdict(f"dtype {tensor.dtype}", text)
    return RIGHT


def tt_to_tensor(cores: Sequence[Tensor]) -> Tensor:
    x = cores[0].new_zeros([core.shape[1] for core in cores])
    for index in itertools.product(*map(range, x.shape)):
        product = cores[0][:, index[0]]
        for core, i in zip(cores[1:], index[1:], strict=True):
            product = product @ core[:, i]
        x[index] = product[0, 0]
    return x


def tt_cores(draw: Draw, shape: Sequence[int], bonds: Sequence[int]) -> list[Tensor]:
    return [draw.normal(*sizes) for sizes in zip(bonds[:-1], shape, bonds[1:], strict=True)]


def tt_to_tensor_cases(draw: Draw) -> Iterator[Case]:
    rows, columns = draw.sizes(3, 4)
    yield Case(([draw.counting(1, rows, 2), draw.counting(2, columns, 1)],), "a matrix: A B")
    yield Case((tt_cores(draw, draw.sizes(3, 4, 2), (1, 2, 3, 1)),))
    yield Case((tt_cores(draw, draw.sizes(2, 3, 2, 4), (1, 2, 3, 2, 1)),), "four modes")
    yield Case((tt_cores(draw, (3, 3, 3), (1, 3, 3, 1)),), "a cube, equal bonds")
    yield Case((tt_cores(draw, (2, 2, 2, 2), (1, 3, 3, 3, 1)),), "inner cores of one shape")
    yield Case((tt_cores(draw, draw.sizes(3, 1, 4), (1, 2, 2, 1)),), "a mode of size 1")
    yield Case((tt_cores(draw, draw.sizes(2, 4, 3), (1, 1, 1, 1)),), "bonds of 1: rank 1")
    yield Case((tt_cores(draw, draw.sizes(5), (1, 1)),), "a single core")
    strided = [core.mT.contiguous().mT for core in tt_cores(draw, (3, 4, 2), (1, 2, 3, 1))]
    yield Case((strided,), "not contiguous in memory")
    cores = [core.float() for core in tt_cores(draw, draw.sizes(3, 4, 2), (1, 2, 2, 1))]
    yield Case((cores,), "float32")


def tt_svd(x: Tensor, ranks: Sequence[int]) -> list[Tensor]:
    cores, rest = [], x
    for mode, size in enumerate(x.shape[:-1]):
        rest = rest.reshape(ranks[mode] * size, -1)
        left = leading(rest, ranks[mode + 1])
        cores.append(left.reshape(ranks[mode], size, ranks[mode + 1]))
        rest = left.T @ rest
    return [*cores, rest.reshape(ranks[-2], x.shape[-1], 1)]


def truncated_in_turn(x: Tensor, ranks: Sequence[int]) -> Tensor:
    """The tensor that TT-SVD makes: each splitting of the modes cut to its rank in turn."""
    for cut in range(1, x.ndim):
        matrix = x.reshape(math.prod(x.shape[:cut]), -1)
        left = leading(matrix, ranks[cut])
        x = (left @ (left.T @ matrix)).reshape(x.shape)
    return x


def bonds_below(shape: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """The wanted inner bonds with ones at both ends, each no more than the modes allow."""
    bonds = [1]
    for k, bond in enumerate(wanted):
        bonds.append(min(bond, bonds[-1] * shape[k], math.prod(shape[k + 1 :])))
    return (*bonds, 1)


def tt_svd_cases(draw: Draw) -> Iterator[Case]:
    shape = draw.choice((4, 5, 3), [(3, 6, 4), (5, 4, 3), (5, 3, 4), (4, 6, 5)])
    yield Case((draw.normal(*shape), draw.choice((1, 3, 2, 1), [(1, 2, 3, 1), (1, 1, 2, 1)])))
    shape = draw.sizes(3, 4, 2, 5)
    bonds = bonds_below(shape, (2, 3, 2))
    yield Case((draw.normal(*shape), bonds), "four modes")
    yield Case((draw.normal(4, 4, 4), (1, 2, 2, 1)), "a cube")
    shape = draw.choice((4, 5, 6), [(5, 4, 3), (3, 6, 5)])
    exact = tt_cores(draw, shape, (1, 2, 3, 1))
    exact = torch.einsum("aib,bjc,ckd->ijk", *exact)
    yield Case((exact, (1, 2, 3, 1)), "a tensor of these ranks: nothing is lost")
    shape = draw.sizes(5, 4)
    yield Case((draw.normal(*shape), (1, min(shape) - 1, 1)), "a matrix")
    yield Case((draw.normal(3, 4, 5), (1, 3, 5, 1)), "full ranks: nothing is lost")
    shape = draw.choice((4, 1, 5), [(5, 1, 4), (3, 1, 6)])
    yield Case((draw.normal(*shape), (1, 2, 2, 1)), "a mode of size 1")
    yield Case((draw.normal(5, 3), (1, 3, 1)), "a matrix: nothing is lost")
    yield Case((draw.normal(4, 3, 5).mT, (1, 3, 2, 1)), "not contiguous in memory")
    yield Case((draw.normal(4, 5, 3).float(), (1, 2, 2, 1)), "float32")


def judged_tt(value: Any, args: tuple) -> Any:
    """The cores, judged by what they must satisfy: signs are free."""
    x, ranks = args
    if not isinstance(value, tuple | list):
        text = f"expected a list of {x.ndim} cores, got {_what(value)}"
        return {"form": Verdict(f"no list: {_what(value)}", text), "values": None}
    names = [f"cores[{k}]" for k in range(max(len(value), x.ndim))]
    shapes = list(zip(ranks[:-1], x.shape, ranks[1:], strict=True))
    form = _forms(list(value), shapes, names, x.dtype)
    if form != RIGHT:
        return {"form": form, "values": None}
    close = 1e-3 if x.dtype == torch.float32 else 1e-6
    norm = x.norm().item()
    made = value[0][0]
    for core in value[1:]:
        made = torch.tensordot(made, core, dims=1)
    made = made.squeeze(-1)
    orthonormal = near = RIGHT
    for k, core in enumerate(value[:-1]):
        left = core.reshape(-1, ranks[k + 1])
        gap = (left.T @ left - torch.eye(ranks[k + 1], dtype=x.dtype)).abs().max().item()
        if not gap <= close:
            text = (
                f"cores[{k}], reshaped to {tuple(left.shape)}, must have orthonormal columns: its "
                f"transpose times itself is off the identity by up to {gap:.3g}"
            )
            orthonormal = Verdict(f"cores[{k}] not orthonormal", text)
            break
    best = truncated_in_turn(x, ranks)
    if not (made - best).abs().max() <= 10 * close * max(1.0, norm):
        errors = [((x - y).norm() / norm).item() for y in (made, best)]
        text = (
            f"the cores have the right shapes, but the tensor they make has relative error "
            f"{errors[0]:.3g}; with TT-SVD's it is {errors[1]:.3g}"
        )
        if errors[0] < errors[1] + 1e-3:  # another way to be as good, or better
            text = "the cores have the right shapes, but they make another tensor than TT-SVD's do"
        near = Verdict("another tensor", text)
    values = {"orthonormal columns": orthonormal, "error": near, "the tensor that they make": made}
    return {"form": form, "values": values}


def tt_ranks(x: Tensor, error: float) -> tuple[int, ...]:
    """An equal share of the squared error for each cut."""
    share = error * x.norm().item() / math.sqrt(max(x.ndim - 1, 1))
    wanted = []
    for cut in range(1, x.ndim):
        values = torch.linalg.svdvals(x.reshape(math.prod(x.shape[:cut]), -1))
        tails = [values[rank:].norm().item() for rank in range(1, len(values) + 1)]
        slack = share + 1e-12 * x.norm().item()
        wanted.append(1 + next(k for k, tail in enumerate(tails) if tail <= slack))
    return bonds_below(x.shape, wanted)


def tt_ranks_cases(draw: Draw) -> Iterator[Case]:
    def smooth(*shape: int) -> Tensor:
        """A tensor whose singular values fall fast, with unequal modes."""
        grids = torch.meshgrid(*(torch.linspace(0, 1, n).double() for n in shape), indexing="ij")
        phase = draw.choice(0.3, [0.1, 0.5, 0.7])
        return torch.cos(3 * sum(grids) + phase) + 1 / (1 + sum(grids) ** 2 + grids[0] * phase)

    x = smooth(*draw.choice((6, 5, 7), [(5, 7, 6), (7, 6, 5)]))
    yield Case((x, 0.01))
    yield Case((x, draw.choice(0.1, [0.05, 0.2])), "a generous error")
    noisy = draw.normal(*draw.choice((4, 5, 3, 4), [(3, 4, 5, 4)]))
    yield Case((noisy, draw.choice(0.5, [0.4, 0.6])), "four modes, random numbers")
    cores = tt_cores(draw, draw.choice((4, 5, 6), [(5, 6, 4)]), (1, 2, 3, 1))
    exact = torch.einsum("aib,bjc,ckd->ijk", *cores)
    yield Case((100 * exact, 1e-6), "a tensor of low TT ranks, times 100")
    yield Case((noisy, 1.0), "everything may be lost: a rank is at least 1")
    shape = draw.choice((6, 7, 8), [(7, 6, 8), (8, 6, 7)])
    single = outer([draw.normal(size).sign() for size in shape])
    yield Case((single + 0.1 * draw.normal(*shape), 0.08), "one large term, and much that is small")
    yield Case((draw.normal(6, 4), 0.3), "a matrix")
    yield Case((draw.normal(3, 1, 4).mT, 0.2), "a mode of size 1, not contiguous")
    yield Case((smooth(3, 4, 3, 4, 3), 0.02), "five modes")
    numbers = draw.choice((4.0, 3.0), [(12.0, 5.0), (3.0, 4.0), (8.0, 6.0)])
    all_lost = torch.diag(torch.tensor(numbers).double())
    yield Case((all_lost, 1.0), "a matrix of which all may be lost")
    x = _two_and_many(draw, 10, 0.85, 0.061)
    yield Case((x, 0.1), "a first cut that could use up the error alone")
    yield Case((x.movedim((0, 1, 2), (2, 1, 0)), 0.1), "a last cut that could use it up")
    x = _two_and_many(draw, math.sqrt(0.42), math.sqrt(0.3), 0.035)
    yield Case((x, 0.8), "a large error: much is lost at the first cut")
    shape = draw.choice((4, 6, 5), [(5, 4, 6), (6, 5, 4)])
    core = torch.zeros(4, 4, 4, dtype=torch.float64)
    for k, size in enumerate((1.0, draw.choice(0.5, [0.3, 0.7]), 3e-9, 1e-10)):
        core[k, k, k] = size
    turns = [torch.linalg.qr(draw.normal(size, 4)).Q for size in shape]
    yield Case((multi_mode_dot(core, turns, range(3)), 1e-9), "a very small error")
    far = draw.choice(10, [8, 12]) + draw.normal(*shape)
    yield Case((far, 0.08), "numbers far from 0, that vary little")


def _two_and_many(draw: Draw, first: float, second: float, each: float) -> Tensor:
    """Two terms, and eight small ones, of squares near ``each``, with the first's mode 0."""
    x = torch.zeros(2, 10, 10, dtype=torch.float64)
    x[0, 0, 0], x[1, 1, 1] = first, second
    for k in range(8):
        x[0, 2 + k, 2 + k] = math.sqrt(each * (0.93 + 0.02 * k))
    turns = [torch.linalg.qr(draw.normal(size, size)).Q for size in x.shape]
    return multi_mode_dot(x, turns, range(3))


def judged_ranks(value: Any, args: tuple) -> dict[str, Verdict]:
    """The ranks, judged by the TT-SVD that they give: its error, and its numbers."""
    x, error = args
    if not isinstance(value, tuple | list) or [type(r) for r in value] != [int] * (x.ndim + 1):
        text = f"expected a tuple of {x.ndim + 1} ints, got {describe(value)}"
        return {"form": Verdict("no ranks", text), "error": RIGHT, "numbers": RIGHT}
    ranks, most = tuple(value), bonds_below(x.shape, [10**6] * (x.ndim - 1))
    whole = bonds_below(x.shape, ranks[1:-1])
    if ranks != whole or min(ranks) < 1:
        text = (
            f"got the ranks {ranks}; each is at least 1, the outer ones are 1, and R_(k+1) is at "
        )
        text += f"most R_k I_k and the product of the sizes behind (so at most {most})"
        return {"form": Verdict("impossible", text), "error": RIGHT, "numbers": RIGHT}
    left = ((x - truncated_in_turn(x, ranks)).norm() / x.norm()).item()
    best = tt_ranks(x, error)
    counts = [tt_parameters(x.shape, given) for given in (ranks, best)]
    found = {"form": RIGHT, "error": RIGHT, "numbers": RIGHT}
    if left > error * (1 + 1e-9) + 1e-12:
        text = (
            f"TT-SVD with the ranks {ranks} has the relative error {left:.3g}, allowed is {error:g}"
        )
        found["error"] = Verdict(f"too large: {ranks}", text)
    elif counts[0] > counts[1]:
        text = (
            f"the ranks {ranks} keep the error ({left:.3g} of {error:g}) but store {counts[0]:,} "
            f"numbers; {counts[1]:,} are enough by the bound alone"
        )
        found["numbers"] = Verdict(f"too many: {ranks}", text)
    return found


# ---- the challenge ---------------------------------------------------------------------------

PHOTO, TUCKER = (104, 160, 3), (30, 30, 3)  # a photograph, and the rank of the rival


def stored_by(shape: Sequence[int], rank: Any, kind: str) -> int:
    """What a form stores."""
    return sum(part.numel() for part in random_parts(shape, rank, kind))


def photo(name: str) -> Tensor:
    """One of the two photographs, as the chapter makes it small."""
    small = torch.nn.functional.avg_pool2d(photographs()[name].movedim(-1, 0), 4)
    return small.movedim(0, -1)[: PHOTO[0]].double()


def compression_plan(shape: Sequence[int], numbers: int) -> tuple:
    return (13, 8, 20, 8, 3), (0, 2, 1, 3, 4), "tt", (1, 13, 27, 13, 3, 1)


def compression_probe(answer: Callable, shape: tuple, numbers: int, name: str) -> Verdict:
    plan = answer(shape, numbers)
    if not isinstance(plan, tuple | list) or len(plan) != 4:
        text = f"expected four things, (sizes, order, kind, rank), got {_what(plan)}"
        return Verdict("not four", text)
    sizes, order, kind, rank = plan
    if kind not in ("cp", "tucker", "tt"):
        return Verdict("no kind", f'the kind is {kind!r}; it may be "tucker", "tt" or "cp"')
    step = "reshape"
    try:
        tensor = photo(name).reshape(*sizes)
        step = "order"
        tensor = tensor.permute(*order)
        step = "rank"
        if kind == "cp" and tensor.ndim > 2:
            text = (
                f'"cp" is for a matrix here, and the photograph, reshaped to {tuple(sizes)}, has '
                f"{tensor.ndim} modes"
            )
            return Verdict("cp of more modes", text)
        rank = rank if isinstance(rank, int) else tuple(rank)
        wanted = {"tucker": tensor.ndim, "tt": tensor.ndim + 1}.get(kind)
        if wanted and (isinstance(rank, int) or len(rank) != wanted):
            text = f"the rank {rank} does not fit: {kind!r} of {tensor.ndim} modes has {wanted}"
            return Verdict(f"ranks of {kind}", text)
        if stored_by(tensor.shape, rank, kind) > numbers:
            text = (
                f"stores {stored_by(tensor.shape, rank, kind):,} numbers; allowed are {numbers:,}"
            )
            return Verdict("too many", text)
        form = decompose(tensor, rank, kind)
    except Exception as error:
        wrong = {
            "reshape": f"the sizes {sizes}",
            "order": f"the order {order} of the modes",
            "rank": f"the rank {rank} for {kind!r}",
        }[step]
        text = f"{wrong} cannot be carried out: {type(error).__name__}: {error}"
        return Verdict(f"no {step}", text)
    stored = sum(part.numel() for part in form.tensors)
    yours = relative_error(tensor, form.dense())
    limit = relative_error(photo(name), decompose(photo(name), TUCKER, "tucker").dense())
    if yours < limit:
        return RIGHT
    text = f"{stored:,} numbers, relative error {yours:.4f}; Tucker {TUCKER} has {limit:.4f}"
    return Verdict("not better", text)


def compression_plan_cases(draw: Draw) -> Iterator[Case]:
    yield Case((PHOTO, 10_650, "china"))
    if draw.hidden:
        yield Case((PHOTO, 10_650, "flower"))


EXERCISES = (
    Exercise(
        "cp_to_tensor",
        ("factors",),
        cp_weight,
        cp_to_tensor_cases,
        piece=paths.cp_dense,
        picture=True,
    ),
    Exercise(
        "free_numbers",
        ("shape", "rank", "kind"),
        free_numbers,
        free_numbers_cases,
        gradients=False,
    ),
    Exercise(
        "cp_als_sweep",
        ("x", "factors"),
        cp_als_sweep,
        cp_als_sweep_cases,
        uses=("cp_to_tensor",),
        gradients=False,
        by_hand=True,
    ),
    Exercise(
        "als_endings",
        ("run", "seeds"),
        als_endings,
        als_endings_cases,
        gradients=False,
        probe=als_endings_probe,
    ),
    Exercise(
        "hosvd",
        ("x", "ranks"),
        hosvd,
        hosvd_cases,
        gradients=False,
        by_hand=True,
        judged=judged_hosvd,
    ),
    Exercise(
        "tt_to_tensor",
        ("cores",),
        tt_to_tensor,
        tt_to_tensor_cases,
        piece=paths.tt_dense,
        picture=True,
    ),
    Exercise(
        "tt_svd",
        ("x", "ranks"),
        tt_svd,
        tt_svd_cases,
        uses=("tt_to_tensor",),
        gradients=False,
        by_hand=True,
        judged=judged_tt,
    ),
    Exercise(
        "tt_ranks",
        ("x", "error"),
        tt_ranks,
        tt_ranks_cases,
        uses=("tt_to_tensor", "tt_svd"),
        gradients=False,
        by_hand=True,
        judged=judged_ranks,
    ),
    Exercise(
        "compression_plan",
        ("shape", "numbers", "photograph"),
        compression_plan,
        compression_plan_cases,
        gradients=False,
        probe=compression_probe,
    ),
)
