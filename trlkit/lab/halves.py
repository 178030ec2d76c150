"""What a frozen VGG16 sees in photographs, halved anew by a seed, and heads trained on a half."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from trlkit.lab import data
from trlkit.lab.training import descend

SHAPE, CLASSES = (512, 4, 4), 10
EPOCHS, BATCH, RATE = 40, 50, 5e-3


@cache
def _all() -> tuple[Tensor, Tensor]:
    """The 460 photographs' activations, and their labels."""
    parts = data.cifar10_features()
    return tuple(torch.cat([part.tensors[k] for part in parts]) for k in (0, 1))


def drawn(seed: int, mixed: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw which half of the photographs is there to learn from, as many of each class.

    Parameters
    ----------
    seed : int
    mixed : bool
        Whether the 512 channels come in an order that the seed draws too.

    Returns
    -------
    tuple of Tensor
        The activations (230, 512, 4, 4) and the labels to learn from; those of the other half. Both
        halves come in a random order.

    Examples
    --------
    >>> x, labels, unseen, truth = drawn(0)
    >>> x.shape, labels.bincount().tolist() == truth.bincount().tolist() == [23] * 10
    (torch.Size([230, 512, 4, 4]), True)
    """
    x, labels = _all()
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=generator)
    halves = [], []
    for label in range(CLASSES):
        own = order[labels[order] == label]
        halves[0].append(own[: len(own) // 2])
        halves[1].append(own[len(own) // 2 :])
    one, other = (torch.cat(half) for half in halves)
    # Sorted by class, the place of a photograph would tell it.
    one, other = (k[torch.randperm(len(k), generator=generator)] for k in (one, other))
    if mixed:
        x = x[:, torch.randperm(x.shape[1], generator=generator)]
    return x[one], labels[one], x[other], labels[other]


def shuffled(x: Tensor, seed: int) -> Tensor:
    """Put the places of each photograph in another order: one for all its channels, its own.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
    seed : int

    Examples
    --------
    >>> x = torch.arange(8.0).reshape(1, 2, 2, 2)
    >>> y = shuffled(x, 0)
    >>> sorted(y[0, 0].flatten().tolist()), (y[0, 1] - y[0, 0]).flatten().tolist()
    ([0.0, 1.0, 2.0, 3.0], [4.0, 4.0, 4.0, 4.0])
    """
    generator = torch.Generator().manual_seed(seed)
    flat = x.flatten(2)
    order = torch.rand(len(x), flat.shape[2], generator=generator).argsort(1).to(x.device)
    return flat.gather(2, order[:, None].expand_as(flat)).reshape(x.shape)


def trained(make: Callable[[], nn.Module], x: Tensor, labels: Tensor, seed: int) -> nn.Module:
    """Make a head and train it by Adam for 40 epochs, in batches of 50.

    Parameters
    ----------
    make : callable
        Makes a head that takes (B, 512, 4, 4) and gives logits (B, 10).
    x, labels : Tensor
    seed : int
        Of its start, and of the order of the photographs, which heads of one seed share.

    Returns
    -------
    Module
        The head in eval mode.

    Examples
    --------
    >>> x, labels, unseen, truth = drawn(0)
    >>> head = trained(lambda: nn.Sequential(nn.Flatten(), nn.Linear(8192, 10)), x, labels, 0)
    >>> accuracy(head, unseen, truth) > 50
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = make().train()
        optimizer = torch.optim.Adam([p for p in head.parameters() if p.requires_grad], lr=RATE)
        generator = torch.Generator().manual_seed(seed)
        orders = (torch.randperm(len(x), generator=generator) for _ in range(EPOCHS))
        descend(head, optimizer, x, labels, (part for o in orders for part in o.split(BATCH)))
    return head.eval()


def accuracy(head: nn.Module, x: Tensor, labels: Tensor) -> float:
    """The share of photographs that a head reads right, in percent.

    Examples
    --------
    >>> x, labels, _, _ = drawn(0)
    >>> accuracy(nn.Sequential(nn.Flatten(), nn.Linear(8192, 10)), x, labels) < 60
    True
    """
    with torch.no_grad():
        return 100 * (head(x).argmax(1) == labels).double().mean().item()


class NineChannels(nn.Module):
    """A head of 100 numbers: the means of the first nine channels, and a linear layer.

    Parameters
    ----------
    shape : tuple of int
        Of an activation; nine channels at least.
    classes : int

    Examples
    --------
    >>> sum(parameter.numel() for parameter in NineChannels().parameters())
    100
    """

    def __init__(self, shape: tuple[int, ...] = SHAPE, classes: int = CLASSES):
        super().__init__()
        self.linear = nn.Linear(9, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x[:, :9].mean((2, 3)))
