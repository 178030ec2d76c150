"""Networks and optimizers that the checks of chapter 07 hand to an answer, by name."""

import functools
import math
import zlib
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trlkit.layers import CPTRL


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


def partly_frozen(channels: int = 4, classes: int = 3) -> nn.Module:
    """The same, with a convolution that does not learn."""
    network = conv_flatten_linear(channels, classes)
    network[0].requires_grad_(False)
    return network


def frozen_with_old_gradients(channels: int = 4, classes: int = 3) -> nn.Module:
    """The same, and every parameter has a gradient from somewhere else, the frozen ones too."""
    return with_gradients(partly_frozen(channels, classes))


def some_linear(features: int, classes: int, seed: int) -> nn.Module:
    """One linear layer, in float64."""
    return filled(nn.Linear(features, classes).double(), seed)


def some_cp(input_shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
    """A CP regression layer of rank 2, in float64, with a bias."""
    layer = CPTRL(input_shape, classes, rank=2, dtype=torch.float64, contraction="rebuild")
    return filled(layer, seed)


def some_chain(seed: int) -> nn.Module:
    """A convolution, a ReLU and a linear layer for images (3, 8, 8), in float64."""
    layers = nn.Conv2d(3, 2, 3, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)
    return filled(nn.Sequential(*layers).double(), seed)


def some_partly_frozen(seed: int) -> nn.Module:
    """The same, with a convolution that does not learn."""
    layer = some_chain(seed)
    layer[0].requires_grad_(False)
    return layer


def some_named(features: int, classes: int, seed: int) -> nn.Module:
    """Two linear layers whose names have underscores, in float64."""
    first, last = nn.Linear(features, 4), nn.Linear(4, classes)
    layers = OrderedDict(layer_1=first, relu=nn.ReLU(), layer_2=last)
    return filled(nn.Sequential(layers).double(), seed)


def some_dropout(features: int, classes: int, seed: int, mode: str = "train") -> nn.Module:
    """Two linear layers with dropout between, in float64, in training or in eval mode."""
    layers = nn.Linear(features, 8), nn.Dropout(0.5), nn.Linear(8, classes)
    return filled(nn.Sequential(*layers).double(), seed).train(mode == "train")
