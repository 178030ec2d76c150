import math

import torch
from torch import nn

from trlkit.lab import features


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(features.SHAPE), features.CLASSES))


def test_activations_are_those_of_fixed_convolutions_and_leave_the_generator_alone():
    features.activations.cache_clear()
    torch.manual_seed(3)
    parts = features.activations()
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 1257,
        "validation": 270,
        "test": 270,
    }
    assert all(part.tensors[0].shape[1:] == features.SHAPE for part in parts.values())


def test_heads_of_one_seed_share_start_and_batches():
    (one, losses), (other, again) = (features.train_head(linear, 4, 0.01, steps=3) for _ in "ab")
    assert losses == again and not one.training
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    _, others = features.train_head(linear, 4, 0.02, steps=3)
    assert others[0] == losses[0] != features.train_head(linear, 5, 0.01, steps=1)[1][0]


def test_accuracy_counts_what_is_read_right():
    images, labels = features.activations()["test"].tensors
    head, _ = features.train_head(linear, 0, 0.01, steps=5)
    right = sum(int(head(x[None]).argmax()) == int(y) for x, y in zip(images, labels, strict=True))
    assert math.isclose(features.accuracy(head, "test"), 100 * right / len(labels))
