"""Activations of an untrained CNN on digits, and heads that are trained on them in a second."""

from collections.abc import Callable
from functools import cache

import torch
from torch import nn
from torch.utils.data import TensorDataset

from trlkit.lab import data
from trlkit.lab.training import descend

SHAPE, CLASSES = (64, 5, 5), 10
BATCH = 64


@cache
def activations() -> dict[str, TensorDataset]:
    """Activations (64, 5, 5) of the digits at 16 x 16 pixels, and labels.

    The convolutions are those of chapter 7, as a fixed seed starts them: they never learn.

    Returns
    -------
    dict of str to TensorDataset
        "train", "validation" and "test".

    Examples
    --------
    >>> activations()["validation"][0][0].shape
    torch.Size([64, 5, 5])
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = nn.Sequential(nn.Conv2d(3, 32, 3), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3))
    parts = data.digits(16)._asdict()
    with torch.no_grad():
        return {n: TensorDataset(body(p.tensors[0]), p.tensors[1]) for n, p in parts.items()}


def train_head(
    make: Callable[[], nn.Module], seed: int, rate: float, steps: int = 60
) -> tuple[nn.Module, list[float]]:
    """Make a head and train it by Adam on the activations.

    Parameters
    ----------
    make : callable
        Makes a head that takes (B, 64, 5, 5) and gives logits (B, 10).
    seed : int
        Of its start, and of the batches of 64, which heads of one seed share.
    rate : float
        Adam's learning rate.
    steps : int

    Returns
    -------
    (Module, list of float)
        The head in eval mode, and the loss of each batch.

    Examples
    --------
    >>> head, losses = train_head(lambda: nn.Sequential(nn.Flatten(), nn.Linear(1600, 10)), 0, 0.01)
    >>> len(losses), losses[-1] < losses[0]
    (60, True)
    """
    images, labels = activations()["train"].tensors
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = make().train()
        optimizer = torch.optim.Adam([p for p in head.parameters() if p.requires_grad], lr=rate)
        drawn = torch.Generator().manual_seed(seed)
        batches = (torch.randint(len(images), (BATCH,), generator=drawn) for _ in range(steps))
        losses = descend(head, optimizer, images, labels, batches)
    return head.eval(), losses


def accuracy(head: nn.Module, part: str = "validation") -> float:
    """The share of a part of the digits that a head reads right, in percent.

    Examples
    --------
    >>> head, _ = train_head(lambda: nn.Sequential(nn.Flatten(), nn.Linear(1600, 10)), 0, 0.01)
    >>> accuracy(head) > 80
    True
    """
    images, labels = activations()[part].tensors
    with torch.no_grad():
        return 100 * (head(images).argmax(1) == labels).double().mean().item()
