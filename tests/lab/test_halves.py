import torch
from torch import nn

from trlkit.lab import halves


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(8192, halves.CLASSES))


def test_a_seed_halves_every_class_and_no_photograph_is_in_both():
    x, labels, unseen, truth = halves.drawn(3)
    assert labels.bincount().tolist() == truth.bincount().tolist() == [23] * 10
    sums = {round(one.double().sum().item(), 6) for one in (*x, *unseen)}
    assert len(sums) > 450  # few sums of different photographs are the same
    assert labels.tolist() != labels.sort().values.tolist()
    assert not torch.equal(x, halves.drawn(4)[0])
    assert all(map(torch.equal, halves.drawn(3), (x, labels, unseen, truth)))


def test_mixed_channels_are_the_same_in_both_halves():
    plain, mixed = halves.drawn(5), halves.drawn(5, mixed=True)
    assert torch.equal(plain[1], mixed[1]) and not torch.equal(plain[0], mixed[0])
    both = [torch.cat([part[0], part[2]]).sum((0, 2, 3)) for part in (plain, mixed)]
    assert torch.allclose(*(one.sort().values for one in both))


def test_shuffled_places_are_one_order_for_all_channels_and_each_photograph_its_own():
    x = torch.arange(2.0 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    y = halves.shuffled(x, 1)
    for before, after in zip(x, y, strict=True):
        pillars = {tuple(pillar.tolist()) for pillar in before.flatten(1).T}
        assert {tuple(pillar.tolist()) for pillar in after.flatten(1).T} == pillars
    orders = [after[0].flatten() - before.min() for before, after in zip(x, y, strict=True)]
    assert not torch.equal(*orders)


def test_heads_of_one_seed_share_start_and_batches_and_leave_the_generator_alone():
    x, labels, unseen, truth = halves.drawn(0)
    torch.manual_seed(3)
    one, other = (halves.trained(linear, x[:60], labels[:60], 4) for _ in "ab")
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1)) and not one.training
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    right = sum(int(one(k[None]).argmax()) == int(y) for k, y in zip(unseen, truth, strict=True))
    assert abs(halves.accuracy(one, unseen, truth) - 100 * right / len(truth)) < 1e-9
