"""The weights that checks expect, against loops over every index."""

import itertools
import math

import pytest
import torch

from trlkit.course.checking.weights import cp_weight, tucker_weight


@pytest.mark.parametrize("sizes", [(3,), (2, 5), (4, 1, 3), (2, 3, 2, 3)])
@pytest.mark.parametrize("rank", [1, 4])
def test_cp_weight_is_a_sum_over_components(sizes, rank):
    torch.manual_seed(0)
    factors = [torch.randn(size, rank, dtype=torch.float64) for size in sizes]
    weight = cp_weight(factors)
    assert weight.shape == sizes
    for index in itertools.product(*map(range, sizes)):
        entry = sum(
            math.prod(float(u[i, r]) for u, i in zip(factors, index, strict=True))
            for r in range(rank)
        )
        assert math.isclose(float(weight[index]), entry, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("sizes, ranks", [((3,), (2,)), ((2, 5), (3, 1)), ((4, 1, 3), (2, 2, 3))])
def test_tucker_weight_is_a_sum_over_the_entries_of_the_core(sizes, ranks):
    torch.manual_seed(0)
    core = torch.randn(ranks, dtype=torch.float64)
    factors = [torch.randn(n, r, dtype=torch.float64) for n, r in zip(sizes, ranks, strict=True)]
    weight = tucker_weight(core, factors)
    assert weight.shape == sizes
    for index in itertools.product(*map(range, sizes)):
        entry = sum(
            float(core[place])
            * math.prod(float(u[i, r]) for u, i, r in zip(factors, index, place, strict=True))
            for place in itertools.product(*map(range, ranks))
        )
        assert math.isclose(float(weight[index]), entry, rel_tol=1e-9, abs_tol=1e-12)
