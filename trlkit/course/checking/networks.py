"""Small networks that the checks hand to an answer, by name."""

import torch
from torch import nn


def small_cnn(channels: int = 4, classes: int = 3) -> nn.Module:
    """Convolution, batch norm, and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(3, channels, kernel_size=3),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(channels * 9, 5),
        nn.ReLU(),
        nn.Linear(5, classes),
    )


def nested_cnn(channels: int = 4, classes: int = 3) -> nn.Module:
    """The same layers, as features and classifier, some levels further down."""
    layers = small_cnn(channels, classes)
    head = nn.ModuleDict({"pool": nn.Identity(), "fc": layers[4:]})
    return nn.ModuleDict({"features": layers[:4], "classifier": nn.Sequential(head)})


def frozen_cnn(channels: int = 4, classes: int = 3) -> nn.Module:
    """A network of which only the last layer learns."""
    network = nested_cnn(channels, classes).requires_grad_(False)
    list(network.modules())[-1].requires_grad_(True)
    return network


def one_linear(features: int = 3, classes: int = 2) -> nn.Module:
    """A linear layer that is the whole network."""
    return nn.Linear(features, classes)


def without_bias(features: int = 6, classes: int = 3) -> nn.Module:
    """Linear layers, the first without a bias."""
    return nn.Sequential(nn.Linear(features, 4, bias=False), nn.Tanh(), nn.Linear(4, classes))


def convolutions_only(channels: int = 4, classes: int = 3) -> nn.Module:
    """No linear layer at all."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3), nn.BatchNorm2d(channels), nn.Conv2d(channels, classes, 1)
    )


def meta_cnn(channels: int = 4, classes: int = 3) -> nn.Module:
    """A network on the meta device: shapes without numbers."""
    with torch.device("meta"):
        return nested_cnn(channels, classes)


class Scaled(nn.Module):
    """A linear layer and, beside it, a parameter that belongs to no layer."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))
        self.fc = nn.Linear(features, classes)


def scaled(features: int = 4, classes: int = 3) -> nn.Module:
    """A network with a parameter of its own."""
    return nn.Sequential(Scaled(features, classes), nn.Linear(classes, 2))


def tied(features: int = 4, classes: int = 3) -> nn.Module:
    """Linear layers of which two share their weight; their biases are equal, but two."""
    first, second = nn.Linear(features, features), nn.Linear(features, features)
    second.weight = first.weight
    for layer in (first, second):
        nn.init.zeros_(layer.bias)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(features, classes))
