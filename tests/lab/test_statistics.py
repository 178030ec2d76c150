"""What a few measured numbers say of the mean behind them."""

import math

import pytest
import scipy.stats
import torch

from trlkit.lab.statistics import interval


def test_an_interval_is_that_of_a_hand_computation():
    # 1, 3, 5, 7: mean 4, variance 20/3, t(0.975, 3) = 3.182446
    center, half = interval([1.0, 3.0, 5.0, 7.0])
    assert center == 4.0
    assert half == pytest.approx(3.182446 * math.sqrt(20 / 3 / 4), rel=1e-6)


@pytest.mark.parametrize("count", range(2, 11))
def test_an_interval_is_students(count):
    runs = torch.randn(count, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    mean, half = interval(runs.tolist())
    error = runs.std().item() / math.sqrt(count)
    low, high = scipy.stats.t.interval(0.95, count - 1, runs.mean().item(), error)
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_one_value_tells_nothing_of_its_spread():
    assert interval([2.0]) == (2.0, math.inf)


def test_of_nothing_there_is_no_interval():
    with pytest.raises(ValueError, match="one value at least"):
        interval([])
