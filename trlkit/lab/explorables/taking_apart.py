"""Tensors unfolded and cut down (chapters 1, 2 and 5)."""

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trlkit.lab import capstone, data, plotting
from trlkit.lab.explorables.explorable import Knob, explorable, sized
from trlkit.lab.plotting import Picture
from trlkit.lab.training import evaluate
from trlkit.ranks import cp_parameters, tt_parameters, tucker_parameters
from trlkit.tensors import unfold
from trlkit.weights.decomposition import decompose, relative_error

CUBE = (3, 2, 4)  # not the chapter's own, whose unfoldings it has shown
MODES = ("channels", "rows", "columns", "classes")  # of a head's weight, (16, 4, 4, 10)


@explorable(
    "an unfolding, fiber by fiber",
    "01_tensors",
    Knob("mode", (0, 1, 2), 0),
    Knob("fibers", tuple(range(1, 13)), 3),
)
def unfolding(mode: int, fibers: int) -> Picture:
    """The fibers of a mode become columns one after the other."""
    every = torch.Size(CUBE).numel() // CUBE[mode]
    return sized(plotting.unfolding(CUBE, mode, min(fibers, every)), 5.6, 4.4)


@explorable(
    "the rank of a photograph",
    "02_decompositions",
    Knob("numbers", (400, 800, 1600, 3200, 6400), 400),
)
def photograph(numbers: int) -> Picture:
    """The photograph from each form, the largest rank that so many numbers allow."""
    photo = _photograph()
    pictures = {}
    for name, form in _forms(numbers).items():
        stored = sum(tensor.numel() for tensor in form.tensors)
        shown = form.dense().reshape(photo.shape)
        pictures[f"{name}: {stored:,} numbers\nerror {relative_error(photo, shown):.3f}"] = shown
    says = f"At most {numbers:,} numbers instead of {photo.numel():,}"
    return sized(plotting.images(pictures, rows=2), 5.6, 4.6, says)


@cache
def _photograph() -> Tensor:
    flower = data.photographs()["flower"].movedim(-1, 0)
    return F.avg_pool2d(flower, 8).movedim(0, -1).double()  # (53, 80, 3)


@cache
def _forms(numbers: int) -> dict:
    photo = _photograph()
    high, wide, colors = photo.shape
    matrix = photo.reshape(high, wide * colors)
    cp = _largest(lambda r: cp_parameters(photo.shape, r), numbers)
    svd = _largest(lambda r: cp_parameters(matrix.shape, r), numbers)
    r = _largest(lambda r: tucker_parameters(photo.shape, (r, r, colors)), numbers)
    tucker = _possible((r, r, colors))
    tt = _largest(lambda r: tt_parameters(photo.shape, (1, r, colors, 1)), numbers)
    return {
        f"matrix SVD {svd}": decompose(matrix, svd, "cp"),
        f"CP {cp}": decompose(photo, cp, "cp"),
        f"Tucker {tucker}": decompose(photo, tucker, "tucker"),
        f"TT {(1, tt, colors, 1)}": decompose(photo, (1, tt, colors, 1), "tt"),
    }


def _largest(count, numbers: int) -> int:
    """The largest rank for which ``count`` is within ``numbers``; at least 1."""
    rank = 1
    while count(rank + 1) <= numbers:
        rank += 1
    return rank


@explorable(
    "a rank for each mode",
    "05_tucker_trl",
    Knob("channels", (2, 6, 16), 16),
    Knob("rows and columns", (1, 2, 4), 4),
    Knob("classes", (3, 6, 10), 10),
)
def ranks(channels: int, places: int, classes: int) -> Picture:
    """The singular values of a trained weight, those that a Tucker form keeps, what is left."""
    weight, bias = _trained()
    rank = _possible((channels, places, places, classes))
    small = decompose(weight, rank, "tucker").dense()
    kept = {
        name: (torch.linalg.svdvals(unfold(weight, mode)), rank[mode])
        for mode, name in enumerate(MODES)
    }
    numbers, right = tucker_parameters(weight.shape, rank), _accuracy(small, bias)
    says = f"{numbers:,} numbers instead of {weight.numel():,}: {right:.1%} of the digits right"
    return sized(plotting.spectra(kept), 5.6, 3.2, says)


def _possible(rank: tuple[int, ...]) -> tuple[int, ...]:
    """A Tucker rank without what no core can use: none is above the product of the others."""
    return tuple(min(r, math.prod(rank[:k] + rank[k + 1 :])) for k, r in enumerate(rank))


@cache
def _trained() -> tuple[Tensor, Tensor]:
    """Weight (16, 4, 4, 10) and bias (10,) of a linear head, trained on the capstone's digits."""
    linear = capstone.train(capstone.flat)[1][1]
    weight = linear.weight.detach().reshape(-1, *capstone.ACTIVATION)
    return weight.movedim(0, -1), linear.bias.detach()


def _accuracy(weight: Tensor, bias: Tensor) -> float:
    linear = nn.Linear(bias.numel(), bias.numel())
    linear.weight.data, linear.bias.data = weight.flatten(0, -2).T, bias
    model = nn.Sequential(capstone.backbone(), nn.Flatten(), linear)
    return evaluate(model, capstone.part("validation")).accuracy
