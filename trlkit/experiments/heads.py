"""The heads that the plans compare, and rivals with as many parameters as a TRL."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trlkit.layers import CPTRL, TTTRL, TuckerTRL
from trlkit.ranks import cp_parameters, rank_for_budget

RIVALS = ("bottleneck", "conv1x1", "pooled")
WIDTHS = {(512, 4, 4): (4096, 4096)}  # VGG16's own classifier; else the small CNN's (128,)


@dataclass(frozen=True)
class Head:
    """What stands on a backbone.

    Attributes
    ----------
    name : str
    kind : {"fc", "linear", "gap", "bottleneck", "conv1x1", "pooled", "cp", "tucker", "tt"}
    rank : int
        Of CP; 0 for the rank at which the three rivals come out at its size. Every other
        sized head (Tucker, TT, the rivals) has the parameters of that CP head.
    p : float
        Tensor dropout of a TRL; ordinary dropout of the hidden layers of "fc".
    """

    name: str
    kind: str
    rank: int = 0
    p: float = 0.0


class Pooled(nn.Module):
    """Average a map down to (a, b), then one Linear.

    The averages are a matrix product: adaptive pooling's backward pass is not
    deterministic on a GPU.
    """

    def __init__(self, shape: tuple[int, int, int], size: tuple[int, int], classes: int) -> None:
        super().__init__()
        channels, *sides = shape
        rows, columns = (
            nn.functional.adaptive_avg_pool1d(torch.eye(side), to)
            for side, to in zip(sides, size, strict=True)
        )
        averages = torch.kron(rows.contiguous(), columns.contiguous())  # (HW, ab)
        self.register_buffer("averages", averages, persistent=False)
        self.linear = nn.Linear(channels * size[0] * size[1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify activations (B, C, H, W)."""
        x = x.flatten(2) @ self.averages  # (B, C, HW) x (HW, ab) -> (B, C, ab)
        return self.linear(x.flatten(1))


def make(head: Head, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Make a head for activations of a shape.

    Parameters
    ----------
    head : Head
    shape : (C, H, W)
    classes : int

    Returns
    -------
    Module
        (B, C, H, W) -> (B, classes)

    Raises
    ------
    ValueError
        If the kind has another name.

    Examples
    --------
    >>> for kind in ("cp", *RIVALS):
    ...     print(kind, parameters(make(Head(kind, kind), (512, 4, 4), 10)))
    cp 15910
    bottleneck 16414
    conv1x1 16138
    pooled 15370
    """
    flat = shape[0] * shape[1] * shape[2]
    rank = head.rank or fair_rank(shape, classes)
    budget = cp_parameters((*shape, classes), rank)
    if head.kind == "fc":
        return _fc(flat, WIDTHS.get(shape, (128,)), classes, head.p)
    if head.kind == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(flat, classes))
    if head.kind == "gap":
        return Pooled(shape, (1, 1), classes)
    if head.kind == "bottleneck":
        width = nearest_bottleneck(shape, classes, budget)
        first = nn.Linear(flat, width, bias=False)
        return nn.Sequential(nn.Flatten(), first, nn.Linear(width, classes))
    if head.kind == "conv1x1":
        width = nearest_channels(shape, classes, budget)
        first = nn.Conv2d(shape[0], width, 1, bias=False)
        last = nn.Linear(width * shape[1] * shape[2], classes)
        return nn.Sequential(first, nn.Flatten(), last)
    if head.kind == "pooled":
        return Pooled(shape, nearest_map(shape, classes, budget), classes)
    if head.kind == "cp":
        return CPTRL(shape, classes, rank, dropout=head.p)
    kinds = {"tucker": TuckerTRL, "tt": TTTRL}
    if head.kind not in kinds:
        known = ", ".join(("fc", "linear", "gap", *RIVALS, "cp", *kinds))
        raise ValueError(f"kind={head.kind!r}, but a head is one of {known}")
    rank = rank_for_budget(shape, classes, head.kind, budget)
    return kinds[head.kind](shape, classes, rank, dropout=head.p)


def parameters(module: nn.Module) -> int:
    """Count what a module learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def fair_rank(shape: tuple[int, int, int], classes: int) -> int:
    """Give the lowest CP rank whose three rivals all come within 4 % of its parameters.

    The sizes of the rivals are coarse: one more neuron of a bottleneck costs a whole row.
    Ranks go up to half the parameters of one Linear; where none will do, the one is taken
    whose worst rival is nearest.

    Parameters
    ----------
    shape : (C, H, W)
    classes : int

    Returns
    -------
    int

    Examples
    --------
    >>> fair_rank((64, 13, 13), 10)
    105
    """
    dense = shape[0] * shape[1] * shape[2] * classes

    def gap(rank: int) -> float:
        size = cp_parameters((*shape, classes), rank) + classes
        return max(abs(rival / size - 1) for rival in rival_sizes(shape, classes, rank))

    most = max(dense // (2 * (sum(shape) + classes)), 1)
    gaps = {rank: gap(rank) for rank in range(1, most + 1)}
    within = [rank for rank, off in gaps.items() if off <= 0.04]
    return min(within) if within else min(gaps, key=gaps.get)


def rival_sizes(shape: tuple[int, int, int], classes: int, rank: int) -> tuple[int, int, int]:
    """Count the parameters of the bottleneck, the 1x1 convolution and the pooled map."""
    channels, height, width = shape
    budget = cp_parameters((*shape, classes), rank)
    neurons = nearest_bottleneck(shape, classes, budget)
    kept = nearest_channels(shape, classes, budget)
    rows, columns = nearest_map(shape, classes, budget)
    return (
        neurons * (channels * height * width + classes) + classes,
        kept * (channels + height * width * classes) + classes,
        channels * rows * columns * classes + classes,
    )


def nearest_bottleneck(shape: tuple[int, int, int], classes: int, budget: int) -> int:
    """Give the neurons of a bottleneck Linear whose weights come nearest to a budget."""
    return max(round(budget / (shape[0] * shape[1] * shape[2] + classes)), 1)


def nearest_channels(shape: tuple[int, int, int], classes: int, budget: int) -> int:
    """Give the channels of a 1x1 convolution before a Linear, nearest to a budget."""
    kept = round(budget / (shape[0] + shape[1] * shape[2] * classes))
    return min(max(kept, 1), shape[0])


def nearest_map(shape: tuple[int, int, int], classes: int, budget: int) -> tuple[int, int]:
    """Give the pooled map whose Linear comes nearest to a budget; of equals the squarest."""
    channels, height, width = shape
    sizes = [(a, b) for a in range(1, height + 1) for b in range(a, width + 1)]
    return min(sizes, key=lambda s: (abs(channels * s[0] * s[1] * classes - budget), s[1] - s[0]))


def _fc(flat: int, widths: tuple[int, ...], classes: int, p: float) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for width in widths:
        layers += [nn.Linear(flat, width), nn.ReLU(), nn.Dropout(p)]
        flat = width
    return nn.Sequential(*layers, nn.Linear(flat, classes))
