"""Unfoldings and products along modes, as checks compute them: loops over indices."""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def positions(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every index of a tensor of this shape, the last entry fastest."""
    return itertools.product(*(range(size) for size in shape))


def fiber_positions(shape: Sequence[int], mode: int) -> list[tuple]:
    """An index for every mode-``mode`` fiber of a tensor of this shape."""
    rest = (*shape[:mode], *shape[mode + 1 :])
    return [(*index[:mode], slice(None), *index[mode:]) for index in positions(rest)]


def unfold(x: Tensor, mode: int) -> Tensor:
    """The matrix whose columns are the mode-``mode`` fibers.

    Examples
    --------
    >>> unfold(torch.tensor([[1, 2, 3], [4, 5, 6]]), 1)
    tensor([[1, 4],
            [2, 5],
            [3, 6]])
    """
    return torch.stack([x[index] for index in fiber_positions(x.shape, mode)], dim=1)


def mode_dot(x: Tensor, matrix: Tensor, mode: int) -> Tensor:
    """The tensor whose mode-``mode`` fibers are those of ``x``, each multiplied by the matrix.

    Examples
    --------
    >>> mode_dot(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 1.0]]), 0)
    tensor([[4., 6.]])
    """
    y = x.new_zeros(*x.shape[:mode], len(matrix), *x.shape[mode + 1 :])
    for index in fiber_positions(x.shape, mode):
        y[index] = matrix @ x[index]
    return y


def multi_mode_dot(x: Tensor, matrices: Sequence[Tensor], modes: Sequence[int]) -> Tensor:
    """:func:`mode_dot` along one mode after another.

    Examples
    --------
    >>> ones = torch.ones(1, 2)
    >>> multi_mode_dot(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), [ones, ones], (0, 1))
    tensor([[10.]])
    """
    for matrix, mode in zip(matrices, modes, strict=True):
        x = mode_dot(x, matrix, mode)
    return x
