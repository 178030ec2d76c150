"""Chapter 01: unfoldings and products. Every oracle is plain loops over indices."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from trlkit import tensors
from trlkit.course.checking.compare import describe
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.course.checking.products import (
    fiber_positions,
    mode_dot,
    multi_mode_dot,
    positions,
    unfold,
)


def fiber(x: Tensor, mode: int, index: Sequence[int]) -> Tensor:
    full = list(index)
    full.insert(mode, slice(None))
    return x[tuple(full)]


def fiber_cases(draw: Draw) -> Iterator[Case]:
    shape = draw.sizes(2, 3, 4)
    x = draw.counting(*shape)
    yield Case((x, 0, (shape[1] - 1, 0)))
    yield Case((x, 1, (1, 0)))
    yield Case((x, 2, (0, 1)))
    four = draw.normal(*draw.sizes(2, 3, 4, 5))
    yield Case((four, 2, (1, 0, 1)), "four modes")
    yield Case((four, 3, (1, 0, 1)), "four modes")
    yield Case((draw.normal(*draw.sizes(4, 3)), 0, (1,)), "a matrix: its columns")
    yield Case((draw.normal(*draw.sizes(3)), 0, ()), "a vector is its own fiber")


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
    shape = draw.sizes(2, 3, 4, 5)
    pair = [draw.normal(2, shape[3]), draw.normal(3, shape[1])]
    yield Case((draw.normal(*shape), pair, (3, 1)), "four modes")


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
    yield Case(([draw.normal(3, 3), draw.normal(3, 3)],), "square matrices")
    yield Case(([draw.normal(rows, 1), draw.normal(more, 1)],), "rank 1")
    yield Case(([draw.normal(rows, rank)],), "one matrix stays as it is")
    whole = [torch.tensor([[1, 2], [10, 20]]), torch.tensor([[1, 1], [3, 5]])]
    yield Case((whole,), "whole numbers")


def unfolded_tucker(core: Tensor, factors: Sequence[Tensor], mode: int) -> Tensor:
    return unfold(multi_mode_dot(core, factors, range(core.ndim)), mode)


def unfolded_tucker_cases(draw: Draw) -> Iterator[Case]:
    ranks = draw.sizes(2, 3, 2)
    core = draw.counting(*ranks)
    factors = [
        draw.normal(size, rank) for size, rank in zip(draw.sizes(4, 5, 3), ranks, strict=True)
    ]
    for mode in (0, 1, 2):
        yield Case((core, factors, mode))
    square = [draw.normal(3, 3) for _ in range(3)]
    yield Case((draw.normal(3, 3, 3), square, 1), "a cube and square factors")
    ranks = draw.sizes(2, 3, 2, 4)
    factors = [draw.normal(2, rank) for rank in ranks]
    for mode in (2, 3):
        yield Case((draw.normal(*ranks), factors, mode), "four modes")
    ranks = draw.sizes(2, 3)
    factors = [draw.normal(4, rank) for rank in ranks]
    yield Case((draw.normal(*ranks), factors, 0), "a matrix: U G V^T")


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
    yield Case(draw.choice((1, 0), [(1, 0), (4, 3), (7, 2), (10, 9)]))


EXERCISES = (
    Exercise("fiber", ("x", "mode", "index"), fiber, fiber_cases),
    Exercise("unfold", ("x", "mode"), unfold, unfold_cases, piece=tensors.unfold, picture=True),
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
        "khatri_rao",
        ("matrices",),
        khatri_rao,
        khatri_rao_cases,
        piece=tensors.khatri_rao,
        uses=("outer",),
        picture=True,
    ),
    Exercise(
        "unfolded_tucker",
        ("core", "factors", "mode"),
        unfolded_tucker,
        unfolded_tucker_cases,
        uses=("unfold", "fold", "mode_dot", "multi_mode_dot"),
        picture=True,
    ),
    Exercise(
        "mode_dot_equation",
        ("order", "mode"),
        mode_dot_equation,
        mode_dot_equation_cases,
        gradients=False,
        judged=contracted,
    ),
    Quiz("quiz_order", "abcd"),
    Quiz("quiz_unfolding", "abcd"),
    Quiz("quiz_commute", "abcd"),
)
