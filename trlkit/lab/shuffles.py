"""Pictures with their places exchanged, and how well a small layer reads them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trlkit.lab import data
from trlkit.lab.training import descend

SHUFFLES = ("rows and columns", "transposed", "all places")
LEARN, STEPS, LEARNING_RATE = 600, 80, 0.03


def shuffled(x: Tensor, shuffle: str, seed: int = 0) -> Tensor:
    """Exchange the places of pictures, in the same way for all of them.

    Parameters
    ----------
    x : Tensor of shape (..., H, W)
    shuffle : {"none", "rows and columns", "transposed", "all places"}
        Rows among themselves and columns among themselves; rows for columns; or every place
        with any other.
    seed : int
        Of the order.

    Returns
    -------
    Tensor of shape (..., H, W), transposed (..., W, H)

    Raises
    ------
    ValueError
        If the shuffle has another name.

    Examples
    --------
    >>> shuffled(torch.tensor([[1, 2, 3], [4, 5, 6]]), "transposed")
    tensor([[1, 4],
            [2, 5],
            [3, 6]])
    """
    generator = torch.Generator().manual_seed(seed)
    if shuffle == "none":
        return x
    if shuffle == "rows and columns":
        rows, columns = (torch.randperm(size, generator=generator) for size in x.shape[-2:])
        return x[..., rows, :][..., columns]
    if shuffle == "transposed":
        return x.mT
    if shuffle == "all places":
        order = torch.randperm(x.shape[-2:].numel(), generator=generator)
        return x.flatten(-2)[..., order].reshape(x.shape)
    raise ValueError(f"shuffle={shuffle!r}, but it is one of {('none', *SHUFFLES)}")


def share_right(make: Callable[[], nn.Module], x: Tensor, labels: Tensor, seed: int = 0) -> float:
    """Train a layer on the first 600 samples; the share of all others that it reads right.

    Parameters
    ----------
    make : callable
        Makes the layer, which takes ``x`` and gives a score for each class.
    x : Tensor of shape (samples, ...), more than 600
    labels : Tensor of shape (samples,)
    seed : int
        Of the layer's first values.

    Returns
    -------
    float
        After 80 steps of Adam on all 600 at once.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        layer = make()
        optimizer = torch.optim.Adam(layer.parameters(), lr=LEARNING_RATE)
        descend(layer, optimizer, x, labels, STEPS * [slice(LEARN)])
    with torch.no_grad():
        right = layer.eval()(x[LEARN:]).argmax(1) == labels[LEARN:]
    return right.double().mean().item()


def digits_right(make: Callable[[], nn.Module], shuffle: str = "none", seed: int = 0) -> float:
    """Train a layer on 8 x 8 digits, shuffled or not; the share of new ones that it reads right.

    Parameters
    ----------
    make : callable
        Makes the layer: (B, 8, 8) to (B, 10).
    shuffle : str
        As for :func:`shuffled`.
    seed : int
        Of the layer's first values and of the shuffle.

    Returns
    -------
    float
        Of 657 digits. Chapter 9's held-out digits are not looked at.

    Examples
    --------
    >>> linear = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> digits_right(linear) > 0.9, digits_right(linear, "all places") > 0.9
    (True, True)
    """
    images, labels = data.digits(8).train.tensors
    return share_right(make, shuffled(images[:, 0], shuffle, seed).contiguous(), labels, seed)
