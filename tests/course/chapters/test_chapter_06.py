"""The oracles of chapter 06 that another way of computing must confirm."""

import itertools
import math

import pytest
import torch

from trlkit.course.chapters.ch06_tensor_dropout import checks
from trlkit.course.chapters.exercises import EXERCISES
from trlkit.course.checking.answer import LocalAnswer
from trlkit.course.checking.exercise import Draw


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 3), (3, 2, 2)])
@pytest.mark.parametrize("p", (0.0, 0.3, 0.9))
def test_variance_without_a_list_of_masks_is_that_of_the_list(shape, p, monkeypatch):
    c = Draw(1).normal(*shape)
    listed = checks.output_variance(c, p)
    monkeypatch.setattr(checks, "sum", lambda sizes: math.inf, raising=False)
    torch.testing.assert_close(checks.output_variance(c, p), listed)


def test_a_list_of_masks_is_stopped_where_there_are_too_many():
    def listing(c, p):
        mean = square = 0
        for coins in itertools.product([0.0, 1.0], repeat=sum(c.shape)):
            y, left = c, list(coins)
            for size in reversed(c.shape):
                keep = [left.pop() for _ in range(size)][::-1]
                y = y @ torch.tensor(keep, dtype=c.dtype) / (1 - p)
            chance = math.prod(1 - p if stays else p for stays in coins)
            mean, square = mean + chance * y, square + chance * y * y
        return square - mean * mean

    report = EXERCISES["output_variance"].judge(LocalAnswer(listing))
    assert not report.passed
    assert "a formula needs no list of masks" in report.render()


@pytest.mark.parametrize("seed", [None, *range(20)])
def test_each_judged_dropout_is_what_its_name_says(seed):
    for case in checks.is_unbiased_cases(Draw(seed)):
        kind, weight, rank = case.args
        dropout = checks.implementation(kind, rank)
        gaps = [checks._bias(dropout, weight, rank, k / 40) for k in range(40)]
        assert (max(gaps) < 1e-12) == ("right" in kind.partition(":")[0]), kind


def test_torch_rand_gives_zero_after_that_seed():
    torch.manual_seed(checks.ZERO)
    assert torch.rand(3)[0] == 0
