"""The capstone's task: digits in four parts, the same training each time, bands within reach."""

import pytest
import torch
from torch import nn

from trlkit import CPTRL
from trlkit.course import capstone
from trlkit.course.checks import ch09_capstone as chapter
from trlkit.course.exercise import Draw


def test_the_parts_share_no_image_and_leave_none_out():
    images = [
        tuple(image.flatten().tolist())
        for name in capstone.SIZES
        for image in capstone.part(name).tensors[0]
    ]
    assert len(images) == len(set(images)) == 1797


def test_shown_and_hidden_checks_judge_on_different_digits():
    halves = {list(chapter.head_cases(Draw(seed)))[-1].args[-1] for seed in (None, 1, 2)}
    assert halves == {"first half", "second half"}


def test_training_depends_on_the_seed_alone_and_leaves_the_session_as_it_was():
    def make(shape, classes):
        return CPTRL(shape, classes, rank=3, dropout=0.2)

    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, same, other = (capstone.train(make, seed)[1].factors[0] for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_a_penalty_empties_components():
    ranks = [
        capstone.train(lambda shape, classes: CPTRL(shape, classes, 20), penalty=penalty)[1]
        .prune(0.05)
        .rank
        for penalty in (0.0, 0.1)
    ]
    assert ranks[1] < ranks[0]


def test_size_counts_parameters_and_buffers():
    assert capstone.size(nn.BatchNorm1d(4)) == 4 * 4 + 1


# The oracle of a check passes it whatever it does: so here is where the bands are proved.
@pytest.mark.parametrize("seed", [None, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("name", ["light", "accurate", "sturdy"])
def test_the_courses_own_heads_are_within_the_bands(name, seed):
    own, goal = getattr(chapter, f"{name}_head"), getattr(chapter, name.upper())
    case = list(chapter.head_cases(Draw(seed)))[-1]
    shape, classes, seeds, digits = case.args
    assert chapter.built(own, goal, shape, classes, budget=True) is None
    verdict = chapter.judged(own, goal, seeds, digits)
    assert verdict == chapter.RIGHT, verdict.text
