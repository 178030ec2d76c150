"""Networks and optimizers that the checks of chapter 07 hand to an answer, by name."""

import functools
import math
import zlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trlkit.layers import CPTRL, TuckerTRL


def filled(network: nn.Module, seed: int) -> nn.Module:
    """The network with numbers drawn by name, whatever the order of its layers."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                generator = torch.Generator().manual_seed(seed + zlib.crc32(name.encode()))
                drawn = torch.randn(value.shape, generator=generator, dtype=torch.float64)
                drawn = drawn / math.sqrt(value[0].numel()) if value.ndim > 1 else drawn
                value.copy_(1 + drawn.abs() if "running_var" in name else drawn)
    return network


def cnn_with_cp(channels: int = 4, classes: int = 3, bias: bool = True) -> nn.Module:
    """Convolution, batch norm, pooling, and a CP regression layer."""
    return nn.Sequential(
        nn.Conv2d(3, channels, kernel_size=3),
        nn.BatchNorm2d(channels),
        nn.MaxPool2d(2),
        CPTRL((channels, 3, 3), classes, rank=5, bias=bias),
    )


def nested_with_cp(channels: int = 4, classes: int = 3) -> nn.Module:
    """The same layers some levels further down, the convolution frozen."""
    layers = cnn_with_cp(channels, classes)
    layers[0].requires_grad_(False)
    head = nn.ModuleDict({"pool": layers[2], "trl": layers[3]})
    return nn.ModuleDict({"features": layers[:2], "head": nn.Sequential(head)})


def cnn_with_tucker(channels: int = 4, classes: int = 3) -> nn.Module:
    """A convolution and a Tucker regression layer: a core beside its factors."""
    trl = TuckerTRL((channels, 3, 3), classes, rank=(2, 2, 2, 2))
    return nn.Sequential(nn.Conv2d(3, channels, kernel_size=3), nn.MaxPool2d(2), trl)


def recurrent(features: int = 4, classes: int = 3) -> nn.Module:
    """A recurrent and a linear layer; the first has weight_ih_l0 and the like."""
    return nn.Sequential(nn.RNN(3, features), nn.Linear(features, classes))


class Scaled(nn.Module):
    """A layer with a weight, and with parameters whose names only contain the word."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, features))
        self.in_weight = nn.Parameter(torch.zeros(features, 2))
        self.bias_scale = nn.Parameter(torch.zeros(classes))
        self.gain = nn.Parameter(torch.zeros(features))


def scaled(features: int = 4, classes: int = 3) -> nn.Module:
    """Parameters called in_weight, bias_scale and gain beside a weight."""
    return nn.Sequential(Scaled(features, classes), nn.Linear(classes, classes))


def linear_model(features: int = 4, classes: int = 3) -> nn.Module:
    """One linear layer, in float64."""
    return filled(nn.Sequential(nn.Linear(features, classes)).double(), seed=2)


def linear_with_old_gradients(features: int = 4, classes: int = 3) -> nn.Module:
    """One linear layer, in float64, whose parameters have gradients from somewhere else."""
    return with_gradients(linear_model(features, classes))


def with_gradients(model: nn.Module) -> nn.Module:
    """The model with a gradient of ones for each parameter."""
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return model


def conv_flatten_linear(channels: int = 4, classes: int = 3) -> nn.Module:
    """A convolution, a pooling and a linear layer for images (3, 8, 8), in float64."""
    layers = nn.Conv2d(3, channels, 3), nn.MaxPool2d(2), nn.Flatten()
    return filled(Watched(*layers, nn.Linear(9 * channels, classes)).double(), seed=6)


def linear_batchnorm_linear(features: int = 4, classes: int = 3) -> nn.Module:
    """Two linear layers with a batch norm between, in float64 and in eval mode."""
    layers = nn.Linear(features, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, classes)
    return filled(nn.Sequential(*layers).double(), seed=3).eval()


def sgd(learning_rate: float) -> Callable:
    """Stochastic gradient descent, still to be given the parameters."""
    return functools.partial(torch.optim.SGD, lr=learning_rate)


def adam(learning_rate: float) -> Callable:
    """Adam, still to be given the parameters."""
    return functools.partial(torch.optim.Adam, lr=learning_rate)


class Watched(nn.Sequential):
    """Layers that note whether a pass through them recorded gradients."""

    recorded = False

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        self.recorded = self.recorded or y.requires_grad
        return y


def linear_batchnorm_dropout_linear(
    features: int = 4, classes: int = 3, mode: str = "train"
) -> nn.Module:
    """In float64, in training or in eval mode."""
    layers = nn.Linear(features, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, classes)
    return filled(Watched(*layers).double(), seed=4).train(mode == "train")


def linear_in_a_sequential(features: int = 4, classes: int = 3) -> nn.Module:
    """One linear layer, in float64, in training mode."""
    return filled(Watched(nn.Linear(features, classes)).double(), seed=5)
