import copy

import pytest
import torch
from torch import nn

from trlkit import CPTRL, graphed

GPU = pytest.mark.gpu
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
}


def network(device, dropout=0.0):
    torch.manual_seed(0)
    # No bias before the normalization: its gradient is rounding, which Adam makes large.
    layers = (nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(*layers, CPTRL((8, 6, 6), 5, 4, dropout=dropout)).to(device)


def batches(device, count=8):
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        x = torch.randn(16, 3, 8, 8, generator=generator).to(device)
        yield x, torch.randint(5, (16,), generator=generator).to(device)


def plain(model, optimizer, x, target):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), target)
    loss.backward()
    optimizer.step()
    return loss.detach()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_trains_as_plain_steps_do(name, device):
    model = network(device)
    other = copy.deepcopy(model)
    optimizer, usual = (OPTIMIZERS[name](m.parameters()) for m in (model, other))
    step = graphed(model, nn.functional.cross_entropy, optimizer)
    for number, (x, target) in enumerate(batches(device)):
        if number == 3:  # the last batch of an epoch
            x, target = x[:5], target[:5]
        if number == 5:
            for group in (*optimizer.param_groups, *usual.param_groups):
                group["lr"] *= 0.1
        expected = plain(other, usual, x, target)
        torch.testing.assert_close(step(x, target), expected, rtol=1e-4, atol=1e-5)
    for (key, one), right in zip(
        model.state_dict().items(), other.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, right, rtol=1e-3, atol=1e-4, msg=key)


@GPU
def test_within_autocast_it_trains_as_plain_steps_do():
    model = network("cuda")
    other = copy.deepcopy(model)
    optimizer, usual = (OPTIMIZERS["sgd"](m.parameters()) for m in (model, other))
    step = graphed(model, nn.functional.cross_entropy, optimizer)
    given, first = list(batches("cuda")), []
    with torch.autocast("cuda", dtype=torch.bfloat16):
        for x, target in given:
            first.append(step(x, target))
    for (x, target), found in zip(given, first, strict=True):
        with torch.autocast("cuda", dtype=torch.bfloat16):  # each with casts of its own
            loss = nn.functional.cross_entropy(other(x), target)
        usual.zero_grad()
        loss.backward()
        usual.step()
        torch.testing.assert_close(found, loss.detach(), rtol=0.02, atol=0.02)
    for one, right in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, right, rtol=0.05, atol=0.01)


@GPU
def test_a_step_after_others_goes_on_from_their_state():
    model = network("cuda")
    other = copy.deepcopy(model)
    optimizer, usual = (OPTIMIZERS["adam"](m.parameters()) for m in (model, other))
    given = list(batches("cuda"))
    for x, target in given[:3]:
        plain(model, optimizer, x, target)
        plain(other, usual, x, target)
    step = graphed(model, nn.functional.cross_entropy, optimizer)
    for x, target in given[3:]:
        expected = plain(other, usual, x, target)
        torch.testing.assert_close(step(x, target), expected, rtol=1e-3, atol=1e-4)


@GPU
def test_dropout_draws_anew_at_every_step():
    model = network("cuda", dropout=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    step = graphed(model, nn.functional.cross_entropy, optimizer)
    x, target = next(batches("cuda"))
    assert len({step(x, target).item() for _ in range(8)}) > 4


@GPU
def test_what_waits_for_the_gpu_is_told_and_changes_nothing():
    model = network("cuda")
    before = copy.deepcopy(model.state_dict())

    def loss(y, target):
        return y.square().mean() if y.sum().item() > 0 else y.mean()

    step = graphed(model, loss, torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(RuntimeError, match="waits for the GPU"):
        step(*next(batches("cuda")))
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_an_optimizer_of_another_model_is_refused():
    one, other = network("cpu"), network("cpu")
    with pytest.raises(ValueError, match="not the model's"):
        graphed(one, nn.functional.cross_entropy, torch.optim.SGD(other.parameters(), lr=0.1))
