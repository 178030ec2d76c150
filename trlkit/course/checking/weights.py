"""The full weights that factors stand for, as the checks of every chapter compute them."""

from collections.abc import Sequence

import torch
from torch import Tensor

MODES, RANKS = "abcdefgh", "rstuvwxy"


def cp_weight(factors: Sequence[Tensor]) -> Tensor:
    """The sum over the components r of the outer products of the columns r.

    Examples
    --------
    >>> cp_weight([torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])])
    tensor([[3., 4.],
            [6., 8.]])
    """
    modes = MODES[: len(factors)]
    return torch.einsum(f"{','.join(mode + 'r' for mode in modes)}->{modes}", *factors)


def tucker_weight(core: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """The core, multiplied along each mode by that mode's factor.

    Examples
    --------
    >>> tucker_weight(torch.tensor([[2.0]]), [torch.ones(2, 1), torch.tensor([[3.0], [4.0]])])
    tensor([[6., 8.],
            [6., 8.]])
    """
    modes, ranks = MODES[: len(factors)], RANKS[: len(factors)]
    pairs = ",".join(mode + rank for mode, rank in zip(modes, ranks, strict=True))
    return torch.einsum(f"{ranks},{pairs}->{modes}", core, *factors)
