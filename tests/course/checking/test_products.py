"""The products that checks expect, entry by entry."""

import math

import pytest
import torch

from trlkit.course.checking.products import mode_dot, multi_mode_dot, positions, unfold

SHAPES = [(3,), (2, 5), (4, 1, 3), (2, 3, 2, 3)]


def test_positions_are_counted_with_the_last_entry_fastest():
    assert list(positions((2, 1, 2))) == [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1)]
    assert list(positions(())) == [()]


@pytest.mark.parametrize("shape", SHAPES)
def test_unfold_counts_columns_with_the_last_mode_fastest(shape):
    x = torch.arange(math.prod(shape)).reshape(shape)
    for mode in range(len(shape)):
        matrix = unfold(x, mode)
        assert matrix.shape == (shape[mode], x.numel() // shape[mode])
        for index in positions(shape):
            column = 0
            for k, i in enumerate(index):
                column = column if k == mode else column * shape[k] + i
            assert matrix[index[mode], column] == x[index]


@pytest.mark.parametrize("shape", SHAPES)
def test_mode_dot_sums_over_the_mode(shape):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    for mode in range(len(shape)):
        matrix = torch.randn(2, shape[mode], dtype=torch.float64)
        y = mode_dot(x, matrix, mode)
        assert y.shape == (*shape[:mode], 2, *shape[mode + 1 :])
        for index in positions(y.shape):
            row = matrix[index[mode]]
            entry = sum(
                float(row[i]) * float(x[(*index[:mode], i, *index[mode + 1 :])])
                for i in range(shape[mode])
            )
            assert math.isclose(float(y[index]), entry, rel_tol=1e-9, abs_tol=1e-12)


def test_multi_mode_dot_is_a_matrix_on_each_side_of_a_matrix():
    torch.manual_seed(0)
    x, a, b = (torch.randn(2, 2, dtype=torch.float64) for _ in range(3))
    torch.testing.assert_close(multi_mode_dot(x, [a, b], (0, 1)), a @ x @ b.T)
    torch.testing.assert_close(multi_mode_dot(x, [b, a], (1, 0)), a @ x @ b.T)
    torch.testing.assert_close(multi_mode_dot(x, [a, b], (0, 0)), b @ a @ x)
