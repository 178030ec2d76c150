"""Chapter 01: unfoldings and products. Every oracle is plain loops over indices."""

import functools
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from trlkit import tensors
from trlkit.course.chapters.ch01_tensors.networks import one_twice
from trlkit.course.checking.answer import RIGHT, Recipe, Verdict, plain
from trlkit.course.checking.compare import describe, difference
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.course.checking.products import (
    fiber_positions,
    mode_dot,
    multi_mode_dot,
    positions,
    unfold,
)
from trlkit.course.checking.watch import Largest
from trlkit.lab.statistics import interval


def fiber(x: Tensor, mode: int, index: Sequence[int]) -> Tensor:
    full = list(index)
    full.insert(mode, slice(None))
    return x[tuple(full)]


def fiber_cases(draw: Draw) -> Iterator[Case]:
    shape = draw.sizes(2, 3, 4)
    x = draw.counting(*shape)
    yield Case((x, 0, (shape[1] - 1, 0)))
    yield Case((x, 0, (0, 1)))
    yield Case((x, 1, (1, 0)))
    yield Case((x, 2, (0, 1)))
    four = draw.normal(*draw.sizes(2, 3, 4, 5))
    yield Case((four, 2, (1, 0, 1)), "four modes")
    yield Case((four, 3, (1, 0, 1)), "four modes")
    yield Case((draw.normal(*draw.sizes(4, 3)), 0, (1,)), "a matrix: its columns")
    yield Case((draw.normal(*draw.sizes(3)), 0, ()), "a vector is its own fiber")
    yield Case((draw.normal(3, 3, 3), 1, (2, 0)), "a cube")
    yield Case((draw.normal(2, 2, 3, 2, 2, 2), 4, (1, 0, 2, 1, 0)), "six modes")
    yield Case((draw.normal(*draw.sizes(3, 1, 2)), 1, (1, 0)), "a mode of size 1")
    turned = draw.normal(*draw.sizes(4, 2, 3)).movedim(0, 2)
    yield Case((turned, 1, (1, 0)), "not contiguous in memory")
    yield Case((draw.normal(*draw.sizes(2, 3, 4)).bfloat16(), 1, (1, 0)), "bfloat16")


def unfold_cases(draw: Draw) -> Iterator[Case]:
    x = draw.counting(*draw.sizes(2, 3, 4))
    for mode in (1, 0, 2):
        yield Case((x, mode))
    four = draw.normal(*draw.sizes(2, 3, 4, 5))
    yield Case((four, 2), "four modes")
    yield Case((four, 3), "four modes")
    yield Case((draw.normal(3, 2, 3), 2), "two modes of one size")
    yield Case((draw.normal(*draw.sizes(3, 5)), 1), "a matrix")
    yield Case((draw.normal(*draw.sizes(4)), 0), "a vector: one column")
    yield Case((draw.normal(*draw.sizes(3, 1, 2)), 1), "a mode of size 1")
    yield Case((draw.normal(*draw.sizes(4, 2, 3)).movedim(0, 2), 1), "not contiguous in memory")
    yield Case((draw.normal(*draw.sizes(4, 2, 3)).movedim(0, 2), 0), "not contiguous in memory")
    yield Case((draw.normal(2, 1, 2, 3, 1, 2), 4), "six modes")
    yield Case((draw.normal(*draw.sizes(2, 3, 4)).bfloat16(), 1), "bfloat16")


def fold(matrix: Tensor, mode: int, shape: Sequence[int]) -> Tensor:
    x = matrix.new_zeros(shape)
    for column, index in enumerate(fiber_positions(shape, mode)):
        x[index] = matrix[:, column]
    return x


def fold_cases(draw: Draw) -> Iterator[Case]:
    shape = draw.sizes(2, 3, 4)
    x = draw.counting(*shape)
    for mode in (1, 0, 2):
        yield Case((unfold(x, mode), mode, shape))
    shape = draw.sizes(2, 3, 4, 5)
    for mode in (2, 3):
        yield Case((unfold(draw.normal(*shape), mode), mode, shape), "four modes")
    for shape, mode in (((3, 2, 3), 2), ((2, 3, 3), 1), ((3, 3, 2), 1)):
        yield Case((unfold(draw.normal(*shape), mode), mode, shape), "two modes of one size")
    shape = draw.sizes(3, 5)
    yield Case((unfold(draw.normal(*shape), 1), 1, shape), "a matrix")
    shape = draw.sizes(3, 1, 2)
    yield Case((unfold(draw.normal(*shape), 1), 1, shape), "a mode of size 1")
    shape = draw.sizes(2, 3, 4)
    turned = unfold(draw.normal(*shape), 1).T.contiguous().T
    yield Case((turned, 1, shape), "not contiguous in memory")
    yield Case((draw.normal(4, 1), 0, (4,)), "a vector")
    shape = (2, 1, 2, 3, 1, 2)
    yield Case((unfold(draw.normal(*shape), 3), 3, shape), "six modes")
    shape = draw.sizes(2, 3, 4)
    yield Case((unfold(draw.normal(*shape), 2).bfloat16(), 2, shape), "bfloat16")


def mode_dot_cases(draw: Draw) -> Iterator[Case]:
    shape = draw.sizes(2, 3, 4)
    x = draw.counting(*shape)
    (rows,) = draw.sizes(5)
    for mode in (1, 0, 2):
        yield Case((x, draw.counting(rows, shape[mode]), mode))
    shape = draw.sizes(2, 3, 4, 5)
    for mode in (2, 3):
        yield Case((draw.normal(*shape), draw.normal(6, shape[mode]), mode), "four modes")
    for mode in (1, 2):
        yield Case((draw.normal(5, 3, 3), draw.normal(2, 3), mode), "two modes of one size")
    shape = draw.sizes(3, 4)
    yield Case((draw.normal(*shape), draw.normal(2, shape[1]), 1), "a matrix")
    shape = draw.sizes(2, 4, 3)
    yield Case((draw.normal(*shape), draw.normal(shape[1], shape[1]), 1), "a square matrix")
    yield Case((draw.normal(*shape), draw.normal(1, shape[0]), 0), "one row")
    yield Case((draw.normal(3, 3, 3), draw.normal(3, 3), 0), "a cube and a square matrix")
    images = draw.normal(2, 3, 4, 4).to(memory_format=torch.channels_last)
    for mode in (1, 0, 3):
        matrix = draw.normal(5, images.shape[mode])
        yield Case((images, matrix, mode), "a batch that is channels_last")
    turned = draw.normal(shape[2], 5).T
    yield Case((draw.normal(*shape), turned, 2), "a matrix that is not contiguous")
    yield Case((draw.normal(4), draw.normal(3, 4), 0), "a vector")
    low = draw.normal(*shape).bfloat16()
    yield Case((low, draw.normal(2, shape[1]).bfloat16(), 1), "bfloat16")


def multi_mode_dot_cases(draw: Draw) -> Iterator[Case]:
    shape = draw.sizes(2, 3, 4)
    x = draw.counting(*shape)
    yield Case((x, [draw.counting(5, shape[0]), draw.counting(2, shape[2])], (0, 2)))
    yield Case((x, [draw.normal(2, shape[2]), draw.normal(5, shape[0])], (2, 0)), "last mode first")
    yield Case((x, [draw.normal(6, size) for size in shape], (0, 1, 2)), "every mode")
    yield Case((x, [draw.normal(6, shape[1])], (1,)), "one mode")
    cube = draw.normal(3, 3, 3)
    square = [draw.normal(3, 3), draw.normal(3, 3)]
    yield Case((cube, square, (2, 0)), "a cube and square matrices")
    yield Case((cube, square, (0, 1)), "a cube and square matrices")
    shape = draw.sizes(2, 3, 4, 5)
    pair = [draw.normal(2, shape[3]), draw.normal(3, shape[1])]
    yield Case((draw.normal(*shape), pair, (3, 1)), "four modes")
    four = [draw.normal(2, 2), draw.normal(3, 2), draw.normal(4, 2), draw.normal(2, 3)]
    yield Case((draw.normal(2, 3, 2, 3, 2), four, (4, 0, 2, 3)), "four matrices")
    rows = [draw.normal(1, shape[0]), draw.normal(3, shape[1])]
    yield Case((draw.normal(*shape), rows, (0, 1)), "a matrix of one row")
    twice = Recipe(one_twice, ((3, 3), (0, 0), draw.choice(0, range(99))))
    yield Case((cube, twice, (2, 0)), "one matrix for two modes")
    turned = draw.normal(shape[2], shape[0], shape[1]).movedim(0, 2)
    pair = [draw.normal(2, shape[0]), draw.normal(3, shape[2])]
    yield Case((turned, pair, (0, 2)), "not contiguous in memory")
    low = draw.normal(*shape[:3]).bfloat16()
    yield Case((low, [draw.normal(2, shape[1]).bfloat16()], (1,)), "bfloat16")


def inner(x: Tensor, y: Tensor, n_modes: int) -> Tensor:
    total = 0
    for index in positions(y.shape[:n_modes]):
        total = total + torch.tensordot(x[(..., *index)], y[index], dims=0)
    return total


def inner_cases(draw: Draw) -> Iterator[Case]:
    batch, height, width, classes = draw.sizes(4, 2, 3, 5)
    x, y = draw.counting(batch, height, width), draw.counting(height, width, classes)
    yield Case((x, y, 2))
    same = draw.sizes(2, 3)
    yield Case((draw.normal(*same), draw.normal(*same), 2), "every mode: a number")
    yield Case((draw.normal(batch, height), draw.normal(height, classes), 1), "the matrix product")
    yield Case((draw.normal(3, 3, 3), draw.normal(3, 3, 3), 2), "two cubes")
    shape = (height, width, 2, classes)
    yield Case((draw.normal(batch, height, width), draw.normal(*shape), 2), "two output modes")
    one = draw.normal(1, height, width)
    yield Case((one, draw.normal(height, width, classes), 2), "a batch of one")
    two = draw.normal(2, batch, height)
    yield Case((two, draw.normal(height, classes), 1), "two modes left of x")
    images = draw.normal(2, 3, 4, 4).to(memory_format=torch.channels_last)
    yield Case((images, draw.normal(3, 4, 4, 5), 3), "a batch that is channels_last")
    weight = draw.normal(3, classes, 4, 4).movedim(1, -1)  # no view joins its modes
    yield Case((draw.normal(2, 3, 4, 4), weight, 3), "a weight that is not contiguous")
    low = draw.normal(batch, height, width).bfloat16()
    yield Case((low, draw.normal(height, width, classes).bfloat16(), 2), "bfloat16")


def outer(vectors: Sequence[Tensor]) -> Tensor:
    x = vectors[0].new_zeros([len(vector) for vector in vectors])
    for index in positions(x.shape):
        entry = vectors[0][index[0]]
        for vector, i in zip(vectors[1:], index[1:], strict=True):
            entry = entry * vector[i]
        x[index] = entry
    return x


def outer_cases(draw: Draw) -> Iterator[Case]:
    sizes = draw.sizes(2, 3, 4)
    yield Case(([draw.counting(size) for size in sizes[:2]],), "two vectors")
    yield Case(([draw.counting(size) for size in sizes],))
    yield Case(([draw.normal(size) for size in draw.sizes(2, 3, 1, 4)],), "four vectors")
    yield Case(([draw.normal(4)],), "one vector stays as it is")
    yield Case(([torch.tensor([1, 2]), torch.tensor([1, 10, 100])],), "whole numbers")
    yield Case(([draw.normal(3), draw.normal(3), draw.normal(3)],), "vectors of one size")
    yield Case(([draw.normal(4, 2)[:, 1], draw.normal(3)],), "a vector that is not contiguous")
    yield Case(([draw.normal(4).bfloat16(), draw.normal(3).bfloat16()],), "bfloat16")
    yield Case(([draw.normal(2) for _ in range(6)],), "six vectors")
    thrice = Recipe(one_twice, ((3,), (0, 0, 1, 0), draw.choice(0, range(99))))
    yield Case((thrice,), "one vector three times")


def khatri_rao(matrices: Sequence[Tensor]) -> Tensor:
    columns = []
    for r in range(matrices[0].shape[1]):
        column = matrices[0][:, r]
        for matrix in matrices[1:]:
            column = torch.stack([a * b for a in column for b in matrix[:, r]])
        columns.append(column)
    return torch.stack(columns, dim=1)


def khatri_rao_cases(draw: Draw) -> Iterator[Case]:
    rows, more, rank = draw.sizes(2, 3, 4)
    yield Case(([draw.counting(rows, rank), draw.counting(more, rank)],))
    yield Case(([draw.normal(size, rank) for size in draw.sizes(3, 2, 4)],), "three matrices")
    yield Case(([draw.normal(size, rank) for size in (2, 3, 2, 2)],), "four matrices")
    yield Case(([draw.normal(3, 3), draw.normal(3, 3)],), "square matrices")
    yield Case(([draw.normal(rows, 1), draw.normal(more, 1)],), "rank 1")
    yield Case(([draw.normal(rows, rank)],), "one matrix stays as it is")
    whole = [torch.tensor([[1, 2], [10, 20]]), torch.tensor([[1, 1], [3, 5]])]
    yield Case((whole,), "whole numbers")
    yield Case(([draw.normal(2, 3).T, draw.normal(2, 4).T],), "matrices that are not contiguous")
    low = [draw.normal(rows, rank).bfloat16(), draw.normal(more, rank).bfloat16()]
    yield Case((low,), "bfloat16")
    twice = Recipe(one_twice, ((3, 2), (0, 0, 1), draw.choice(0, range(99))))
    yield Case((twice,), "one matrix twice")


def other_factors(factors: Sequence[Tensor], mode: int) -> Tensor:
    others = [factor for k, factor in enumerate(factors) if k != mode]
    rows = itertools.product(*(range(len(factor)) for factor in others))
    columns = list(itertools.product(*(range(factor.shape[1]) for factor in others)))
    entries = []
    for row in rows:
        for column in columns:
            places = zip(others, row, column, strict=True)
            entries.append(functools.reduce(torch.mul, (u[i, r] for u, i, r in places)))
    return torch.stack(entries).reshape(-1, len(columns))


def other_factors_cases(draw: Draw) -> Iterator[Case]:
    factors = [draw.counting(size, rank) for size, rank in ((3, 2), (2, 3), (2, 2))]
    for mode in (1, 0, 2):
        yield Case((factors, mode))
    four = [draw.normal(size, 2) for size in draw.sizes(2, 3, 4, 5)]
    for mode in (2, 1, 3):
        yield Case((four, mode), "four modes")
    yield Case(([draw.normal(3, 3) for _ in range(3)], 1), "square factors")
    pair = [draw.normal(*draw.sizes(4, 2)), draw.normal(*draw.sizes(3, 5))]
    yield Case((pair, 0), "a matrix: the other factor alone")
    yield Case(([torch.ones(2, 1).double(), draw.normal(3, 1), draw.normal(4, 1)], 0), "rank 1")
    turned = [draw.normal(2, 3), draw.normal(3, 2).T, draw.normal(2, 2)]
    yield Case((turned, 0), "a factor that is not contiguous")
    yield Case((turned, 2), "a factor that is not contiguous")
    low = [draw.normal(size, 2).bfloat16() for size in (2, 3, 2)]
    yield Case((low, 2), "bfloat16")
    twice = Recipe(one_twice, ((3, 2), (0, 0, 1), draw.choice(0, range(99))))
    for mode in (0, 2):
        yield Case((twice, mode), "one factor for two modes")


def kron_dot(matrices: Sequence[Tensor], x: Tensor) -> Tensor:
    y = x.reshape(*(matrix.shape[1] for matrix in matrices), x.shape[1])
    return multi_mode_dot(y, matrices, range(len(matrices))).reshape(-1, x.shape[1])


def most_numbers(matrices: Sequence[Tensor], columns: int) -> int:
    """Twice the largest tensor that some order of the products makes at some time."""
    sizes = ((matrix.shape[0], matrix.shape[1]) for matrix in matrices)
    return 2 * columns * math.prod(max(pair) for pair in sizes)


def kron_dot_probe(answer: Callable, matrices: list[Tensor], x: Tensor) -> dict[str, Any]:
    given = list(matrices)
    with Largest() as largest:
        result = answer(matrices, x)
    found = {"result": result, "the largest tensor": RIGHT}
    most = most_numbers(given, x.shape[1])
    large = largest.numbers > most
    if large and difference(kron_dot(given, x).detach(), plain(result)) is None:
        text = f"a tensor of {largest.numbers:,} numbers is made; {most:,} are allowed"
        full = math.prod(matrix.numel() for matrix in given)
        if largest.numbers >= full:
            text += f", and the Kronecker product has {full:,}"
        found["the largest tensor"] = Verdict("too large", text)
    return found


def kron_dot_cases(draw: Draw) -> Iterator[Case]:
    two = [draw.counting(2, 3), draw.counting(2, 2)]
    yield Case((two, draw.counting(6, 1)))
    two = [draw.normal(*draw.sizes(4, 3)), draw.normal(*draw.sizes(2, 5))]
    columns = two[0].shape[1] * two[1].shape[1]
    yield Case((two, draw.normal(columns, 3)), "several columns")
    three = [draw.normal(2, 3), draw.normal(3, 2), draw.normal(2, 4)]
    yield Case((three, draw.normal(24, 2)), "three matrices")
    yield Case(([draw.normal(3, 3) for _ in range(3)], draw.normal(27, 1)), "square matrices")
    yield Case(([draw.normal(3, 4)], draw.normal(4, 2)), "one matrix alone")
    thin = [draw.normal(3, 1), draw.normal(2, 4)]
    yield Case((thin, draw.normal(4, 1)), "a matrix of one column")
    turned = draw.normal(3, 8).T
    yield Case(([draw.normal(4, 2).T, draw.normal(3, 2)], turned), "not contiguous in memory")
    large = [draw.normal(20, 20) for _ in range(2)]
    yield Case((large, draw.normal(400, 1)), "a matrix of 160,000 numbers")
    four = [draw.normal(5, 5) for _ in range(4)]
    yield Case((four, draw.normal(625, 1)), "a matrix of 390,625 numbers")
    two = [draw.normal(2, 3).float(), draw.normal(3, 2).float()]
    yield Case((two, draw.normal(6, 2).float()), "float32")
    if draw.hidden:  # the matrix would take 65 GB
        huge = [draw.normal(300, 300) for _ in range(2)]
        yield Case((huge, draw.normal(90_000, 1)), "a matrix that does not fit", confined=True)


# ---- a test of unfold ------------------------------------------------------------------------


def _by_slices(x: Tensor, mode: int) -> Tensor:
    return torch.stack([x.select(mode, i).flatten() for i in range(x.shape[mode])])


def _by_permute(x: Tensor, mode: int) -> Tensor:
    order = [mode, *(k for k in range(x.ndim) if k != mode)]
    return x.permute(order).reshape(x.shape[mode], -1)


def _by_size(x: Tensor, mode: int) -> Tensor:
    """Modes of one size are taken for one."""
    return tensors.unfold(x, list(x.shape).index(x.shape[mode]))


def _into_x(x: Tensor, mode: int) -> Tensor:
    y = tensors.unfold(x, mode).clone()
    x.data.zero_()
    return y


def _column_major(x: Tensor, mode: int) -> Tensor:
    rest = [k for k in range(x.ndim) if k != mode]
    return x.permute(mode, *reversed(rest)).reshape(x.shape[mode], -1)


def _cyclic(x: Tensor, mode: int) -> Tensor:
    """The modes come round: right for the first and the last one."""
    order = [*range(mode, x.ndim), *range(mode)]
    return x.permute(order).reshape(x.shape[mode], -1)


def _viewed(x: Tensor, mode: int) -> Tensor:
    return tensors.unfold(x.view(-1).view(x.shape), mode)


def _remembering() -> Callable:
    """Gives for a shape and a mode what it gave the first time."""
    kept: dict[tuple, Tensor] = {}

    def unfolded(x: Tensor, mode: int) -> Tensor:
        return kept.setdefault((*x.shape, mode), tensors.unfold(x, mode))

    return unfolded


def _without_ones(x: Tensor, mode: int) -> Tensor:
    y = tensors.unfold(x, mode)
    return y.squeeze() if 1 in y.shape and x.ndim > 1 else y


def _half_as_float(x: Tensor, mode: int) -> Tensor:
    exact = x.dtype in (torch.float32, torch.float64)
    return tensors.unfold(x if exact else x.float(), mode)


def _first_fiber_learns(x: Tensor, mode: int) -> Tensor:
    y = tensors.unfold(x, mode)
    return torch.cat([y[:, :1], y[:, 1:].detach()], dim=1)


CANDIDATES: dict[str, Callable[[], Callable]] = {  # whether it is right is told by the name
    "right, by slices": lambda: _by_slices,
    "exchanges two modes": lambda: lambda x, mode: x.transpose(0, mode).reshape(x.shape[mode], -1),
    "knows three modes": lambda: lambda x, mode: tensors.unfold(x, min(mode, 2)),
    "mixes up modes of one size": lambda: _by_size,
    "returns float32": lambda: lambda x, mode: tensors.unfold(x, mode).float(),
    "cuts the gradient": lambda: lambda x, mode: tensors.unfold(x, mode).detach(),
    "writes into x": lambda: _into_x,
    "takes contiguous tensors only": lambda: _viewed,
    "right, by a permutation": lambda: _by_permute,
    "number 10": lambda: _column_major,
    "number 11": lambda: _remembering(),
    "number 12": lambda: lambda x, mode: tensors.unfold(x, mode).abs(),
    "number 13": lambda: _without_ones,
    "number 14": lambda: lambda x, mode: tensors.unfold(x, mode).T,
    "number 15": lambda: (
        lambda x, mode: tensors.unfold(x, mode).flip(1) if x.ndim > 4 else tensors.unfold(x, mode)
    ),
    "number 16": lambda: lambda x, mode: x.reshape(x.shape[mode], -1),
    "right, number 17": lambda: lambda x, mode: 1 * tensors.unfold(x, mode),
    "number 18": lambda: lambda x, mode: tensors.unfold(x, mode).double(),
    "number 19": lambda: _half_as_float,
    "number 20": lambda: lambda x, mode: x.movedim(mode, 0).flatten(1),  # a vector has no mode 1
    "number 21": lambda: lambda x, mode: tensors.unfold(x, min(mode, 4)),
    "number 22": lambda: _first_fiber_learns,
    "number 23": lambda: lambda x, mode: tensors.unfold(x, mode)[None],
    "number 24": lambda: _cyclic,
    "number 25": lambda: lambda x, mode: (1 + 1e-7) * tensors.unfold(x, mode),
}
MOST_CALLS = 2000
FLOATING = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def is_unfold(candidate: Callable) -> bool:
    generator = torch.Generator().manual_seed(0)
    shapes = [(4,), (2, 3), (3, 1, 3), (2, 3, 4, 5), (2, 3, 2, 2, 3, 2)]
    for shape in shapes:
        for mode in range(len(shape)):
            for turned, dtype in itertools.product((False, True), FLOATING):
                x = torch.randn(
                    shape[:: -1 if turned else 1], generator=generator, dtype=torch.float64
                ).to(dtype)
                x = (x.permute(*reversed(range(x.ndim))) if turned else x).requires_grad_()
                before = x.detach().clone()
                try:
                    y = candidate(x, mode)
                except Exception:
                    return False
                if difference(unfold(before, mode), plain(y)) or not torch.equal(x, before):
                    return False
                if not y.requires_grad:
                    return False
                weight = torch.randn(y.shape, generator=generator).to(dtype)
                (found,) = torch.autograd.grad(y, x, weight)
                if difference(weight, unfold(found, mode)):
                    return False
    return True


def is_unfold_probe(answer: Callable, kind: str) -> Verdict:
    torch.default_generator.manual_seed(0)
    candidate, calls = CANDIDATES[kind](), 0

    def counted(x: Tensor, mode: int) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > MOST_CALLS:
            raise RuntimeError(f"a candidate is called more than {MOST_CALLS} times")
        return candidate(x, mode)

    said = plain(answer(counted))
    if calls > MOST_CALLS:  # what the test makes of the error is no answer
        text = f"calls the candidate more than {MOST_CALLS} times"
        return Verdict("too many calls", text)
    if type(said) is not bool:
        return Verdict("no bool", f"must return True or False, got {describe(said)}")
    if said == kind.startswith("right"):
        return RIGHT
    never = "" if calls else ", which it never called"
    if said:
        return Verdict("let through", f"says True: it lets a wrong one through{never}")
    return Verdict("refused", f"says False: it refuses a right one{never}")


def is_unfold_cases(draw: Draw) -> Iterator[Case]:
    for kind in CANDIDATES:
        yield Case((kind,))


# ---- a fair clock ----------------------------------------------------------------------------

MACHINES = {  # seconds of the second way, for one of the first; what goes wrong meanwhile
    "quiet": (1.5, 0.0, 0.0, 1.0),
    "slow at first": (0.8, 0.0, 0.0, 30.0),
    "getting slower": (1.0, 0.006, 0.0, 1.0),
    "hardly slower": (1.03, 0.0, 0.0, 1.0),
    "interrupted": (1.4, 0.0, 0.08, 1.0),
    "all of it": (0.7, 0.004, 0.08, 20.0),
    "restless ones": (1.1, 0.0, 0.0, 1.0),
}
RESTLESS = {"restless ones": 0.08}  # how far seconds are off at random; 0.01 for the others
TRUST = {"getting slower": 0.01}  # how far outside of the interval the truth may be; else 0.03
MOST_TIMED, WIDEST = 1000, 1.3
FEW, SURELY, HARDLY = 20, 18, 12  # of so few machines so many hold the truth: that is clear
MANY, MOSTLY = 60, 49
CONCLUSIONS = ("first", "second", "can't tell")


def faster(first: Callable, second: Callable, interval: Callable) -> tuple[float, float, str]:
    def best(way: Callable) -> float:
        return min(way() for _ in range(5))

    ratios = []
    for turn in range(16):
        pair = (best(first), best(second))
        if turn % 2:
            pair = tuple(reversed((best(second), best(first))))
        ratios.append(pair[1] / pair[0])
    mean, half = interval(ratios[1:])
    return mean - half, mean + half, _conclusion(mean - half, mean + half)


def _conclusion(low: float, high: float) -> str:
    return "first" if low > 1 else "second" if high < 1 else "can't tell"


def faster_probe(answer: Callable, machine: str, seed: int) -> Verdict:
    if machine != "restless ones":
        return _on_one_machine(answer, machine, random.Random(seed))
    held = 0
    for copy in range(MANY):
        if held >= (SURELY if copy <= FEW else MOSTLY):
            return RIGHT
        if copy == FEW and held < HARDLY:
            break
        verdict = _on_one_machine(answer, machine, random.Random(1000 * seed + copy))
        if verdict.kind == "does not follow" or verdict.kind.startswith("no "):
            return verdict
        held += verdict.kind in ("right", "too wide")
    else:
        copy = MANY
        if held >= MOSTLY:
            return RIGHT
    text = f"the true ratio is in your interval on {held} of {copy} machines; "
    text += f"95 % sure would be about {95 * copy // 100}"
    return Verdict("not sure enough", text)


def _on_one_machine(answer: Callable, machine: str, numbers: random.Random) -> Verdict:
    ratio, drift, interrupted, cold = MACHINES[machine]
    off, calls = RESTLESS.get(machine, 0.01), {"first": 0, "second": 0}
    trust = 0.0 if machine in RESTLESS else TRUST.get(machine, 0.03)

    def way(name: str, seconds: float) -> Callable:
        def call() -> float:
            before = sum(calls.values())
            if before >= MOST_TIMED:
                raise RuntimeError(f"the two ways are called more than {MOST_TIMED} times")
            calls[name] += 1
            taken = seconds * (1 + drift * before) * numbers.uniform(1 - off, 1 + off)
            if before < 3:
                taken *= cold
            if numbers.random() < interrupted:
                taken *= numbers.uniform(5, 30)
            return taken

        return call

    found = plain(answer(way("first", 0.01), way("second", 0.01 * ratio), interval))
    if not isinstance(found, list | tuple) or len(found) != 3:
        return Verdict("no triple", f"must return (low, high, conclusion), got {describe(found)}")
    low, high, conclusion = found
    if not all(type(number) in (int, float) for number in (low, high)) or not low <= high:
        text = f"low and high are two floats, low the smaller, got {low!r} and {high!r}"
        return Verdict("no interval", text)
    told = f"after {sum(calls.values())} calls, the ratio is said to be {low:.4g} to {high:.4g}"
    if not isinstance(conclusion, str) or conclusion not in CONCLUSIONS:
        text = f'conclusion is "first", "second" or "can\'t tell", got {describe(conclusion)}'
        return Verdict("no conclusion", text)
    if conclusion != _conclusion(low, high):
        text = f"{told}, but the conclusion is {describe(conclusion)}"
        return Verdict("does not follow", text)

    def holds(value: float) -> bool:
        return 0 < low * (1 - trust) <= value <= high * (1 + trust)

    if not holds(ratio):
        turned = "the other way round" if holds(1 / ratio) else ""
        side = "above the truth" if low > ratio else "below the truth"
        kind = turned or ("near 1" if ratio != 1 and holds(1) else side)
        return Verdict(kind, f"{told}; in truth it is {ratio}")
    if high > WIDEST * low:
        return Verdict("too wide", f"{told}; high is more than {WIDEST} times low")
    return RIGHT


def faster_cases(draw: Draw) -> Iterator[Case]:
    for machine in MACHINES:
        yield Case((machine, draw.choice(0, range(1, 500))))


# ---- products by few multiplications ---------------------------------------------------------


def product_table(multiply: Callable[[Tensor, Tensor], Tensor], count: int) -> Tensor:
    """The tensor T with z_k = sum of T[i, j, k] x_i y_j, tried out on unit vectors."""
    units = torch.eye(count, dtype=torch.float64)
    return torch.stack([torch.stack([multiply(x, y) for y in units]) for x in units])


def complex_table() -> Tensor:
    def multiply(x: Tensor, y: Tensor) -> Tensor:
        return torch.view_as_real(torch.view_as_complex(x) * torch.view_as_complex(y))

    return product_table(multiply, 2)


def matrix_table() -> Tensor:
    return product_table(lambda x, y: (x.reshape(2, 2) @ y.reshape(2, 2)).flatten(), 4)


def complex_product() -> list[tuple]:
    return [([1, 0], [1, 0], [1, -1]), ([0, 1], [0, 1], [-1, -1]), ([1, 1], [1, 1], [0, 1])]


def matrix_product() -> list[tuple]:
    """Strassen's."""
    return [
        ([1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 1]),
        ([0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 1, -1]),
        ([1, 0, 0, 0], [0, 1, 0, -1], [0, 1, 0, 1]),
        ([0, 0, 0, 1], [-1, 0, 1, 0], [1, 0, 1, 0]),
        ([1, 1, 0, 0], [0, 0, 0, 1], [-1, 1, 0, 0]),
        ([-1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]),
        ([0, 1, 0, -1], [0, 0, 1, 1], [1, 0, 0, 0]),
    ]


def complex_product_probe(answer: Callable) -> Verdict:
    return few_products(answer, complex_table(), 3, "{}{}".format, ("real", "imaginary"))


def matrix_product_probe(answer: Callable) -> Verdict:
    def entry(name: str, k: int) -> str:
        return f"{name.upper()}[{k // 2}, {k % 2}]"

    places = [entry("z", k) for k in range(4)]
    return few_products(answer, matrix_table(), 7, entry, places)


def few_products(
    answer: Callable,
    table: Tensor,
    most: int,
    entry: Callable[[str, int], str],
    names: Sequence[str],
) -> Verdict:
    """Whether few outer products sum to a table: first whether they do, then whether few."""
    found = plain(answer())
    size = len(table)
    if not isinstance(found, list | tuple):
        return Verdict("no list", f"must return a list of triples, got {describe(found)}")
    total, idle = torch.zeros_like(table), 0
    for number, triple in enumerate(found):
        try:
            a, b, c = (torch.as_tensor(part, dtype=torch.float64) for part in triple)
            assert a.shape == b.shape == c.shape == (size,)
        except (AssertionError, RuntimeError, TypeError, ValueError):
            text = f"entry {number} is no triple of vectors of {size} numbers: {describe(triple)}"
            return Verdict("no triple", text)
        product = a[:, None, None] * b[None, :, None] * c
        total += product
        idle += not product.any()
    off = ~((total - table).abs() <= 1e-6)  # also where it is NaN
    if off.any():
        wrong = [names[k] for k in off.flatten(0, 1).any(0).nonzero().flatten().tolist()]
        places = off.nonzero().tolist()
        where = tuple(places[0])
        got, expected = total[where].item(), table[where].item()
        digits = 4 if f"{got:.4g}" != f"{expected:.4g}" else 8
        text = f"{len(found)} products, but not yet the right ones: {' and '.join(wrong)} "
        text += f"{'is' if len(wrong) == 1 else 'are'} wrong; "
        text += f"{entry('x', where[0])} * {entry('y', where[1])} counts "
        text += f"{got:.{digits}g} times in {names[where[2]]}, expected {expected:.4g}"
        counts = [round(total[tuple(place)].item(), 3) for place in places]
        return Verdict(f"wrong: {places} {counts}", text)
    if len(found) > most:
        text = f"right, with {len(found)} products; asked: at most {most}"
        if idle:
            return Verdict("too many, some idle", f"{text}; always 0: {idle} of them")
        return Verdict("too many", text)
    return RIGHT


def no_arguments(draw: Draw) -> Iterator[Case]:
    yield Case(())


def mode_dot_equation(order: int, mode: int) -> str:
    letters = "abcdefghijklm"[:order]
    return f"{letters},z{letters[mode]}->{letters[:mode]}z{letters[mode + 1 :]}"


def contracted(equation: Any, args: tuple) -> Any:
    """What ``torch.einsum`` makes of an equation: different letters are equally right."""
    order, mode = args
    if not isinstance(equation, str):
        raise ValueError(f"must return a str, got {describe(equation)}")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn([2 + k % 3 for k in range(order)], generator=generator, dtype=torch.float64)
    matrix = torch.randn(x.shape[mode], x.shape[mode], generator=generator, dtype=torch.float64)
    try:
        return torch.einsum(equation, x, matrix)
    except RuntimeError as error:
        raise ValueError(f'returns "{equation}", which torch.einsum refuses:\n{error}') from None


def mode_dot_equation_cases(draw: Draw) -> Iterator[Case]:
    for order, mode in ((3, 1), (3, 0), (3, 2), (2, 1), (5, 3), (6, 5), (10, 4)):
        yield Case((order, mode))
    order = draw.choice(1, range(4, 11))
    yield Case((order, draw.choice(0, range(order))))


EXERCISES = (
    Exercise("fiber", ("x", "mode", "index"), fiber, fiber_cases),
    Exercise("unfold", ("x", "mode"), unfold, unfold_cases, piece=tensors.unfold, picture=True),
    Exercise(
        "is_unfold",
        ("candidate",),
        is_unfold,
        is_unfold_cases,
        uses=("unfold",),
        gradients=False,
        probe=is_unfold_probe,
    ),
    Exercise(
        "fold",
        ("matrix", "mode", "shape"),
        fold,
        fold_cases,
        piece=tensors.fold,
        uses=("unfold",),
        picture=True,
    ),
    Exercise(
        "mode_dot",
        ("x", "matrix", "mode"),
        mode_dot,
        mode_dot_cases,
        piece=tensors.mode_dot,
        uses=("unfold", "fold"),
        picture=True,
    ),
    Exercise(
        "multi_mode_dot",
        ("x", "matrices", "modes"),
        multi_mode_dot,
        multi_mode_dot_cases,
        piece=tensors.multi_mode_dot,
        uses=("unfold", "fold", "mode_dot"),
    ),
    Exercise(
        "faster",
        ("machine", "seed"),
        faster,
        faster_cases,
        gradients=False,
        probe=faster_probe,
    ),
    Exercise(
        "inner",
        ("x", "y", "n_modes"),
        inner,
        inner_cases,
        piece=tensors.inner,
        uses=("unfold", "fold"),
    ),
    Exercise(
        "outer",
        ("vectors",),
        outer,
        outer_cases,
        piece=tensors.outer,
        uses=("inner",),
        picture=True,
    ),
    Exercise(
        "complex_product",
        (),
        complex_product,
        no_arguments,
        gradients=False,
        probe=complex_product_probe,
    ),
    Exercise(
        "khatri_rao",
        ("matrices",),
        khatri_rao,
        khatri_rao_cases,
        piece=tensors.khatri_rao,
        uses=("outer",),
        picture=True,
    ),
    Exercise(
        "other_factors", ("factors", "mode"), other_factors, other_factors_cases, picture=True
    ),
    Exercise(
        "kron_dot",
        ("matrices", "x"),
        kron_dot,
        kron_dot_cases,
        uses=("unfold", "fold", "mode_dot", "multi_mode_dot"),
        probe=kron_dot_probe,
    ),
    Exercise(
        "mode_dot_equation",
        ("order", "mode"),
        mode_dot_equation,
        mode_dot_equation_cases,
        gradients=False,
        judged=contracted,
    ),
    Exercise(
        "matrix_product",
        (),
        matrix_product,
        no_arguments,
        gradients=False,
        probe=matrix_product_probe,
    ),
    Quiz("quiz_order", "abcd"),
)
