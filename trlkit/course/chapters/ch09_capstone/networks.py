"""Layers that the checks of chapter 09 hand to an answer, by name."""

import math
import zlib
from typing import Any

import torch
from torch import Tensor, nn

from trlkit.layers import CPTRL, TuckerTRL
from trlkit.regression import TRL


def cptrl_with_weak_components(rank: int, p: float, seed: int) -> TRL:
    """A layer in training mode, each of whose components has a tenth of the one before."""
    return _weakened(CPTRL, rank, p, seed, 0.1).train()


def cptrl_with_opposed_components(p: float) -> TRL:
    """A layer in training mode, of whole numbers, whose two weak components nearly cancel."""
    options = {"dropout": p, "dtype": torch.float64, "contraction": "rebuild"}
    layer = CPTRL((4, 3, 2), 3, 3, **options)
    with torch.no_grad():
        for factor in layer.factors:
            factor.fill_(1.0)
        layer.factors[0].mul_(torch.tensor([4096.0, 8.0, -9.0], dtype=torch.float64))
    return layer.train()


def tuckertrl_with_weak_slices(rank: tuple[int, ...], p: float, seed: int) -> TRL:
    """A layer in eval mode whose core falls by twenty along its first mode."""
    return _weakened(TuckerTRL, rank, p, seed, 0.05).eval()


def _weakened(kind: type, rank: Any, p: float, seed: int, falling: float) -> TRL:
    """A layer whose components are weaker and weaker, with positive weights."""
    torch.default_generator.manual_seed(seed)
    # One path: a layer that chooses none is made, and pruned, faster.
    options = {"dropout": p, "dtype": torch.float64, "contraction": "rebuild"}
    layer = kind((4, 3, 2), 3, rank, **options)
    with torch.no_grad():
        tensors = [layer.core, *layer.factors] if kind is TuckerTRL else list(layer.factors)
        for tensor in tensors:
            tensor.uniform_(0.5, 1.0)
        if kind is CPTRL:
            strength = falling ** torch.arange(rank, dtype=torch.float64)
            layer.factors[0].mul_(strength[torch.randperm(rank)])
        else:
            strength = falling ** torch.arange(rank[0], dtype=torch.float64)
            layer.core.mul_(strength.reshape(-1, *[1] * (layer.core.ndim - 1)))
    return layer


class Wave(nn.Module):
    """The sine of each number."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sin()


class Counted(nn.Module):
    """Notes at how many images a gradient is taken; twice in a row at the same is once."""

    def __init__(self):
        super().__init__()
        self.register_buffer("taken", torch.zeros(2, dtype=torch.int64))  # how many; the last ones

    def forward(self, x: Tensor) -> Tensor:
        if not x.requires_grad:
            return x
        try:
            points = zlib.crc32(x.detach().numpy().tobytes())
        except RuntimeError:  # within a transformation of functions there are no numbers
            return x
        x = x * 1
        x.register_hook(lambda _: self.note(len(x), points))
        return x

    def note(self, images: int, points: int) -> None:
        if self.taken[1] != points:
            self.taken.copy_(torch.tensor([self.taken[0] + images, points]))


def waving_classifier(
    seed: int, scale: float, shift: float = 0.0, classes: int = 3, counted: bool = False
) -> nn.Module:
    """Classes of 8 x 8 images, in eval mode: the slope of a logit turns on a short way.

    All logits are ``shift`` higher, which changes nothing about the classes.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        steps = nn.Linear(64, 48), Wave(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, classes)
        net = nn.Sequential(nn.Flatten(), *[Counted()] * counted, *steps).double()
    with torch.no_grad():
        for parameter in net.parameters():
            spread = 3 / math.sqrt(parameter.shape[-1]) if parameter.ndim > 1 else 0.1
            parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
        net[-1].weight.mul_(scale)
        net[-1].bias.mul_(scale).add_(shift)
    return net.eval()
