"""One small network on 8 x 8 digits, trained with and without dropout, and disturbed."""

from functools import cache

import torch
from torch import nn
from torch.utils.data import TensorDataset

from trlkit import CPTRL
from trlkit.lab import data, robustness
from trlkit.lab.training import descend

DISTURBANCES = ("noise", "fgsm", "pgd")


@cache
def digits() -> tuple[TensorDataset, TensorDataset]:
    """Digits (1, 8, 8) to train on, and others to look at.

    Examples
    --------
    >>> [len(part) for part in digits()]
    [1257, 270]
    """
    parts = data.digits(8)[:2]
    return tuple(TensorDataset(x[:, :1].contiguous(), y) for x, y in (p.tensors for p in parts))


def trained(
    seed: int, steps: int = 150, p: float = 0.0, units: float = 0.0, decay: float = 0.0
) -> nn.Module:
    """Train a convolution and a CP regression layer of rank 30 on digits.

    Parameters
    ----------
    seed : int
        Of the start and of the batches, which two networks of one seed share.
    steps : int
        Batches of 128 digits.
    p : float
        The tensor dropout of the layer.
    units : float
        The ordinary dropout of the activation in front of it.
    decay : float
        The weight decay of AdamW.

    Returns
    -------
    Module
        In eval mode; takes (B, 1, 8, 8) and gives logits (B, 10).

    Examples
    --------
    >>> trained(0, steps=1)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    images, labels = digits()[0].tensors
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Dropout(units),
            CPTRL((16, 8, 8), 10, rank=30, dropout=p),
        )
        drawn = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=decay)
        batches = (torch.randint(len(images), (128,), generator=drawn) for _ in range(steps))
        descend(network, optimizer, images, labels, batches)
    return network.eval()


def disturbed_accuracy(network: nn.Module, disturbance: str, strength: float) -> float:
    """The accuracy on the other digits, disturbed, in percent.

    Parameters
    ----------
    network : Module
    disturbance : {"noise", "fgsm", "pgd"}
        Gaussian noise; one step, or ten, along the sign of the loss's gradient.
    strength : float
        The standard deviation of the noise, or how far a pixel moves at most.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no such disturbance.

    Examples
    --------
    >>> disturbed_accuracy(trained(0, steps=20), "noise", 0.0) > 50
    True
    """
    if disturbance not in DISTURBANCES:
        raise ValueError(f"disturbance={disturbance!r}, but it must be one of {DISTURBANCES}")
    others = digits()[1]
    if disturbance == "noise":
        (share,) = robustness.noise_accuracy(network, others, [strength])
    else:
        measure = getattr(robustness, f"{disturbance}_accuracy")
        (share,) = measure(network, others, [strength], bounds=(0, 1))
    return 100 * share
