"""Summaries: every factor counted, what dense layers would have had, torchsummary beside it."""

import contextlib
import io
import sys

import pytest
import torch
import torchsummary
import torchvision
from oracles import DEVICES, LAYERS
from torch import nn

from trlkit import TCL, TensorDropout, replace_classifier, summary
from trlkit.lab.models import ConvNeuralNet, vgg16_trl


def ours():
    """Every model of ours, small: the layers, the CNN with each head, networks after surgery."""
    networks = {
        name: (nn.Sequential(make((3, 8, 8), 5, 3, dropout=TensorDropout(0.4))), (3, 8, 8))
        for name, make in LAYERS.items()
    }
    networks["tcl"] = nn.Sequential(TCL((3, 8, 8), 2)), (3, 8, 8)
    networks["cnn"] = ConvNeuralNet(10), (3, 32, 32)
    networks["cnn_trl"] = ConvNeuralNet(10, rank=8, dropout=0.4), (3, 32, 32)
    for factorization in LAYERS:
        net = torchvision.models.squeezenet1_1()
        replace_classifier(net, 10, factorization, rank=4, input_size=(3, 64, 64))
        networks[f"squeezenet_{factorization}"] = net, (3, 64, 64)
    return networks


@pytest.mark.parametrize("name", ours())
def test_every_parameter_is_counted(name):
    net, size = ours()[name]
    found = summary(net, size).statistics
    assert found.total_params == sum(p.numel() for p in net.parameters())
    assert found.trainable_params == sum(p.numel() for p in net.parameters() if p.requires_grad)
    assert found.total_param_bytes == 4 * found.total_params


@pytest.mark.parametrize("name", ours())
def test_torchsummary_runs(name):
    net, size = ours()[name]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        torchsummary.summary(net, size, device="cpu")
    assert "Total params" in printed.getvalue()


def test_vgg16_is_summarized_on_the_meta_device():
    table = summary(vgg16_trl(10, rank=100, weights=None, device="meta"), (3, 224, 224))
    assert table.statistics.total_params == 14_714_688 + 53_610
    assert table.statistics.trainable_params == 53_610


def test_a_layer_is_shown_with_rank_and_dense_parameters():
    text = repr(summary(ConvNeuralNet(7, rank=100), (3, 32, 32)))
    assert "CPTRL (head)" in text
    assert text.endswith(
        "head: CPTRL (64, 13, 13) -> (7,), rank 100: 9,707 parameters; dense: 75,719"
    )


def test_the_work_of_a_layer_is_among_the_multiplications():
    net = ConvNeuralNet(7, rank=1)
    convolutions = 30 * 30 * 32 * (27 + 1) + 13 * 13 * 64 * (288 + 1)
    dense = 64 * 13 * 13 * 7
    found = summary(net, (3, 32, 32)).statistics.total_mult_adds - convolutions
    assert 64 * 13 * 13 <= found <= 3 * dense


@pytest.mark.parametrize("device", DEVICES)
def test_mode_dtype_and_device_are_left_alone(device):
    net = ConvNeuralNet(7, rank=4).to(device, torch.float64).train()
    net.conv_layer1.eval()
    summary(net, (3, 32, 32))
    assert [net.training, net.conv_layer1.training, net.head.training] == [True, False, True]
    assert {(p.dtype, p.device.type) for p in net.parameters()} == {(torch.float64, device)}


def test_an_example_batch_is_taken_too():
    assert summary(ConvNeuralNet(7, rank=4), torch.randn(5, 3, 32, 32)).statistics.input_size


def test_a_wrong_size_is_named():
    with pytest.raises(ValueError, match=r"on an input of shape \(1, 4, 32, 32\).*one sample's"):
        summary(ConvNeuralNet(7, rank=4), (4, 32, 32))


def test_without_torchinfo_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchinfo", None)
    with pytest.raises(ImportError, match="needs torchinfo: pip install"):
        summary(ConvNeuralNet(7, rank=4), (3, 32, 32))
