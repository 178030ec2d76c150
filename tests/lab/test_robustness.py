"""Robustness: noise and attacks of known effect, the same every time, nothing left behind."""

import copy

import pytest
import torch
from oracles import DEVICES
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from trlkit import CPTRL, TensorDropout, TuckerTRL
from trlkit.lab.models import ConvNeuralNet
from trlkit.lab.robustness import fgsm_accuracy, noise_accuracy, uncertainty


def margins(sizes):
    """Samples of class 0 whose first number leads by these sizes."""
    x = torch.stack([torch.tensor(sizes), torch.zeros(len(sizes))], dim=1)
    return TensorDataset(x, torch.zeros(len(sizes), dtype=torch.long))


def images(number=20):
    x = torch.rand(number, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, torch.arange(number) % 5)


def test_fgsm_moves_each_number_by_the_strength():
    # Both numbers are moved towards each other: a lead of d is lost when 2 * strength > d.
    data = margins([0.1, 0.3, 0.5, 0.7])
    assert fgsm_accuracy(nn.Identity(), data, [0, 0.1, 0.2, 0.3, 0.4]) == [1, 0.75, 0.5, 0.25, 0]


def test_fgsm_stays_in_its_bounds():
    data = margins([0.9])
    # The second number may not rise above 0.2, nor the first fall below 0.
    assert fgsm_accuracy(nn.Identity(), data, [0.6], bounds=(0, 1)) == [0.0]
    assert fgsm_accuracy(nn.Identity(), margins([0.9]), [0.6], bounds=(0.5, 0.5)) == [1.0]


def test_noise_flips_as_many_as_its_distribution_says():
    # The lead is less than the difference of two normal numbers: P(N(0, 2 s^2) > 1).
    data = margins([1.0] * 20_000)
    (found,) = noise_accuracy(nn.Identity(), data, [0.7])
    normal = torch.distributions.Normal(0, 0.7 * 2**0.5)
    expected = normal.cdf(torch.tensor(1.0)).item()
    spread = (expected * (1 - expected) / 20_000) ** 0.5
    assert abs(found - expected) < 4 * spread


def test_noise_does_not_depend_on_what_was_drawn_before_nor_disturb_it():
    torch.manual_seed(0)
    model, data = ConvNeuralNet(5, rank=3), images()
    expected = noise_accuracy(model, data, [0.5, 2.0])
    state = torch.get_rng_state()
    assert noise_accuracy(model, data, [0.5, 2.0]) == expected
    assert torch.equal(torch.get_rng_state(), state)
    assert noise_accuracy(model, data, [2.0]) == expected[1:]


@pytest.mark.parametrize("measure", [noise_accuracy, fgsm_accuracy])
@pytest.mark.parametrize("device", DEVICES)
def test_the_model_is_left_as_it_was(measure, device):
    model = ConvNeuralNet(5, rank=3, dropout=0.5).to(device).train()
    model.conv_layer1.eval()
    before = copy.deepcopy(model.state_dict())
    measure(model, images(), [0.1])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [model.training, model.conv_layer1.training] == [True, False]


@pytest.mark.parametrize("measure", [noise_accuracy, fgsm_accuracy])
def test_at_no_strength_it_is_the_accuracy(measure):
    model, data = ConvNeuralNet(5, rank=3).eval(), images()
    with torch.no_grad():
        right = (model(data.tensors[0]).argmax(1) == data.tensors[1]).double().mean().item()
    assert measure(model, data, [0.0]) == [right]
    assert measure(model, DataLoader(data, 7), [0.0]) == [right]


@pytest.mark.parametrize("measure", [noise_accuracy, fgsm_accuracy])
def test_a_frozen_network_is_measured_too(measure):
    assert len(measure(ConvNeuralNet(5, rank=3).requires_grad_(False), images(), [0.1, 0.2])) == 2


@pytest.mark.parametrize("measure", [noise_accuracy, fgsm_accuracy])
def test_a_negative_strength_is_refused(measure):
    with pytest.raises(ValueError, match="has the entry -0.1, but none can be negative"):
        measure(nn.Identity(), margins([1.0]), [0.1, -0.1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("make", [CPTRL, TuckerTRL])
def test_predictions_differ_by_the_dropped_components_alone(make, device):
    model = make((4, 5), 3, 6, dropout=TensorDropout(0.5, modes=(0,))).to(device).train()
    x = torch.randn(2, 4, 5, device=device)
    found = uncertainty(model, x, samples=50)
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(2, device=device))
    assert (found.disagreement > 0).all() and (found.disagreement < found.entropy).all()
    assert model.dropout == TensorDropout(0.5, modes=(0,)) and model.training
    again = uncertainty(model, x, samples=50)
    assert all(torch.equal(one, two) for one, two in zip(found, again, strict=True))


def test_predictions_that_agree_have_no_disagreement():
    model = CPTRL((4, 5), 3, rank=6, dropout=0.5)
    with torch.no_grad():
        model.factors[0].zero_()
        model.bias.zero_()
    found = uncertainty(model, torch.randn(2, 4, 5))
    torch.testing.assert_close(found.probabilities, torch.full((2, 3), 1 / 3))
    torch.testing.assert_close(found.entropy, torch.full((2,), 3.0).log())
    torch.testing.assert_close(found.disagreement, torch.zeros(2), atol=1e-6, rtol=0)


def test_uncertainty_without_dropout_or_samples_is_refused():
    with pytest.raises(ValueError, match="no tensor regression layer .*tensor_dropout"):
        uncertainty(ConvNeuralNet(5, rank=3), torch.randn(1, 3, 32, 32))
    with pytest.raises(ValueError, match="samples=0"):
        uncertainty(CPTRL((4, 5), 3, 6, dropout=0.5), torch.randn(2, 4, 5), samples=0)
