"""The networks of the course: their shapes, their weights, what learns."""

import warnings

import pytest
import torch
import torchvision
from torch import nn

from trlkit import CPTRL
from trlkit.lab.models import ConvNeuralNet, vgg16_trl


def test_the_activation_of_the_cnn_is_64_by_13_by_13():
    net = ConvNeuralNet(7, rank=100)
    seen = []
    net.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 7)
    assert seen == [(2, 64, 13, 13)]


def test_the_two_heads_cost_what_a_hand_counts():
    convolutions = 3 * 32 * 9 + 32 + 32 * 64 * 9 + 64
    linear = 64 * 13 * 13 * 128 + 128 + 128 * 10 + 10
    count = [sum(p.numel() for p in ConvNeuralNet(10, rank).parameters()) for rank in (None, 32)]
    assert count == [convolutions + linear, convolutions + 32 * (64 + 13 + 13 + 10) + 10]


def test_vgg16_learns_in_its_new_layer_alone():
    net = vgg16_trl(10, rank=50, dropout=0.3, weights=None, device="meta")
    assert isinstance(net.avgpool, CPTRL) and net.avgpool.dropout.p == 0.3
    assert [*net.classifier.children()] == []
    learning = {name for name, p in net.named_parameters() if p.requires_grad}
    assert learning == {f"avgpool.{name}" for name, _ in net.avgpool.named_parameters()}


@pytest.fixture(scope="module")
def saved_features(tmp_path_factory):
    """A state file whose every tensor is the small number of its place."""
    with torch.device("meta"):
        features = torchvision.models.vgg16().features
    state = {
        f"features.{name}": torch.full(tensor.shape, 1e-3 * place)
        for place, (name, tensor) in enumerate(features.state_dict().items())
    }
    path = tmp_path_factory.mktemp("weights") / "vgg16.pt"
    torch.save(state, path)
    return path


def test_weights_come_from_a_file_as_string_or_path(saved_features):
    for weights in (saved_features, str(saved_features)):
        net = vgg16_trl(10, rank=2, weights=weights)
        for place, tensor in enumerate(net.features.state_dict().values()):
            assert (tensor == 1e-3 * place).all()


def test_named_weights_are_torchvisions(monkeypatch, saved_features):
    state = torchvision.models.vgg16().state_dict()
    kind = type(torchvision.models.VGG16_Weights.IMAGENET1K_V1)
    monkeypatch.setattr(kind, "get_state_dict", lambda self, **options: state)
    net = vgg16_trl(10, rank=2)
    assert torch.equal(net.features[28].weight, state["features.28.weight"])


def test_without_named_weights_one_line_says_so(monkeypatch):
    def unreachable(self, **options):
        raise OSError("no route to host")

    kind = type(torchvision.models.VGG16_Weights.IMAGENET1K_V1)
    monkeypatch.setattr(kind, "get_state_dict", unreachable)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = vgg16_trl(10, rank=2, device="meta")
    (warning,) = caught
    assert str(warning.message) == (
        "VGG16's weights IMAGENET1K_V1 cannot be had (no route to host): its features are random"
    )
    assert isinstance(net, nn.Module)


def test_a_dropout_without_a_rank_is_refused():
    with pytest.raises(ValueError, match="dropout=0.4 drops components .*give a rank"):
        ConvNeuralNet(10, dropout=0.4)


def test_a_weight_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*nothing.pt"):
        vgg16_trl(10, weights=tmp_path / "nothing.pt")


def test_weights_of_an_unknown_name_are_refused():
    with pytest.raises(ValueError, match="'IMAGENET', but torchvision's weights of VGG16 are"):
        vgg16_trl(10, weights="IMAGENET")


def test_a_file_of_another_network_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(ValueError, match="holds no VGG16: it lacks features.0.bias and 25 more"):
        vgg16_trl(10, weights=tmp_path / "linear.pt")
