"""Networks that the checks of chapter 00 hand to an answer, by name."""

from functools import cache

import torch
from torch import nn


def tied_to_an_embedding(entries: int = 7, features: int = 3) -> nn.Module:
    """An embedding and, behind it, a linear layer that holds the same weight."""
    embedding, head = nn.Embedding(entries, features), nn.Linear(features, entries)
    head.weight = embedding.weight
    return nn.Sequential(embedding, nn.Tanh(), head)


def one_bias(features: int = 4, classes: int = 3) -> nn.Module:
    """Four linear layers with weights of their own; the first and the third share their bias."""
    first, second, third = (nn.Linear(features, features) for _ in range(3))
    third.bias = first.bias
    layers = (first, nn.ReLU(), second, nn.ReLU(), third, nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(features, classes))


@cache
def the_same_network(features: int = 4, classes: int = 3) -> nn.Module:
    """One network, however often it is asked for."""
    return nn.Sequential(nn.Conv2d(1, features, 1), nn.Flatten(), nn.Linear(features, classes))


class PlainLinear(nn.Module):
    """Called linear, with features, and no nn.Linear."""

    def __init__(self, features: int):
        super().__init__()
        self.in_features = self.out_features = features
        self.weight = nn.Parameter(torch.ones(features))


def twelve_modules(features: int = 4, classes: int = 3) -> nn.Module:
    """A linear layer at place 1, and two others, which are not nn.Linear, at 10 and 11."""
    layers = [nn.Identity() for _ in range(12)]
    layers[1] = nn.Linear(features, classes)
    layers[10] = nn.Bilinear(classes, classes, 2)
    layers[11] = PlainLinear(2)
    return nn.Sequential(*layers)
