"""Tensor dropout: masks on the ranks of a factorized weight.

A component that is dropped, with probability p, is multiplied by 0, and one that
stays by 1 / (1 - p), so that the expected weight is the weight. Masks have a
static shape: unlike gathering the components that stay, they compile whole.
"""

import numbers
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)


@dataclass(frozen=True)
class TensorDropout:
    """What tensor dropout does to a layer.

    Attributes
    ----------
    p : float in [0, 1)
        The probability of dropping each component.
    modes : tuple of int, optional
        The rank modes that are dropped from; by default all. CP has one, Tucker
        one for each mode of the weight, TT the inner bonds (bond k lies between
        the modes k and k + 1). A negative one counts from the end.
    per_sample : bool
        Whether each sample has its own masks, or the batch shares them.
    drop_test : bool
        Whether components are dropped in eval mode too, for Monte Carlo uncertainty.

    Raises
    ------
    TypeError
        If ``p`` is not a number.
    ValueError
        If ``p`` is outside [0, 1).

    Notes
    -----
    Kolbeinsson et al., "Tensor Dropout for Robust Learning" (arXiv 1902.10758).

    Examples
    --------
    >>> TensorDropout(0.4, modes=(0,))
    TensorDropout(p=0.4, modes=(0,), per_sample=False, drop_test=False)
    """

    p: float
    modes: tuple[int, ...] | None = None
    per_sample: bool = False
    drop_test: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.p, bool) or not isinstance(self.p, numbers.Real):
            raise TypeError(
                f"p={self.p!r} is a {type(self.p).__name__}, but the probability of dropping "
                f"is a number in [0, 1)"
            )
        if not 0 <= self.p < 1:
            raise ValueError(
                f"p={self.p}, but the probability of dropping must be in [0, 1): "
                f"at 1 nothing would be left to scale up"
            )
        object.__setattr__(self, "p", self.p if isinstance(self.p, int) else float(self.p))
        if self.modes is not None:
            object.__setattr__(self, "modes", tuple(map(operator.index, self.modes)))

    def modes_of(self, rank: Sequence[int]) -> tuple[int, ...]:
        """The modes dropped from, counted from 0, for a weight with these rank modes."""
        if self.modes is None:
            return tuple(range(len(rank)))
        for mode in self.modes:
            if not -len(rank) <= mode < len(rank):
                raise ValueError(
                    f"modes={self.modes} has the entry {mode}, but the weight has "
                    f"{len(rank)} rank modes: 0 to {len(rank) - 1}"
                )
        return tuple(sorted({mode % len(rank) for mode in self.modes}))


def scaled(keep: Tensor, p: float, dtype: torch.dtype) -> Tensor:
    """Make a mask of what stays: 1 / (1 - p) where ``keep``, 0 elsewhere.

    Parameters
    ----------
    keep : bool Tensor of any shape
    p : float
        The probability with which entries of ``keep`` are False.
    dtype : torch.dtype

    Returns
    -------
    Tensor of keep's shape

    Examples
    --------
    >>> scaled(torch.tensor([True, False, True]), 0.5, torch.float32)
    tensor([2., 0., 2.])
    """
    return keep.to(dtype) / (1 - p)


def draw(
    dropout: TensorDropout, rank: Sequence[int], batch_size: int, device: torch.device
) -> Tensor:
    """Draw the random numbers of one forward pass, from which :func:`masks_of` makes its masks.

    Parameters
    ----------
    dropout : TensorDropout
    rank : sequence of int
        The sizes of the rank modes.
    batch_size : int
    device : torch.device

    Returns
    -------
    Tensor of shape (1, numbers), or (batch_size, numbers) per sample
        Uniform in [0, 1). In float32 whatever the layer's dtype: a coarser one has too few steps
        for a p.

    Examples
    --------
    >>> draw(TensorDropout(0.5, modes=(1, 2)), (3, 4, 5), 8, torch.device("cpu")).shape
    torch.Size([1, 9])
    """
    numbers = sum(rank[mode] for mode in dropout.modes_of(rank))
    rows = batch_size if dropout.per_sample else 1
    return torch.rand(rows, numbers, dtype=torch.float32, device=device)


def masks_of(
    dropout: TensorDropout, rank: Sequence[int], drawn: Tensor, dtype: torch.dtype
) -> list[Tensor | None]:
    """Make the masks of one forward pass from its random numbers.

    Parameters
    ----------
    dropout : TensorDropout
    rank : sequence of int
        The sizes of the rank modes.
    drawn : Tensor
        By :func:`draw`.
    dtype : torch.dtype

    Returns
    -------
    list of (Tensor or None), one for each rank mode
        Of shape (R_k,), or (batch_size, R_k) per sample; None where nothing is dropped.

    Examples
    --------
    >>> drawn = torch.tensor([[0.2, 0.9, 0.5]])
    >>> masks_of(TensorDropout(0.5, modes=(1,)), (2, 3), drawn, torch.float32)
    [None, tensor([0., 2., 2.])]
    """
    masks: list[Tensor | None] = [None] * len(rank)
    drawn = drawn if dropout.per_sample else drawn.squeeze(0)
    made, modes = scaled(drawn >= dropout.p, dropout.p, dtype), dropout.modes_of(rank)
    for mode, mask in zip(modes, made.split([rank[mode] for mode in modes], -1), strict=True):
        masks[mode] = mask
    return masks


def tensor_dropout(
    trl: Layer,
    p: float,
    modes: Sequence[int] | None = None,
    per_sample: bool = False,
    drop_test: bool = False,
) -> Layer:
    """Drop components of a tensor regression layer's weight from now on.

    Parameters
    ----------
    trl : CPTRL, TuckerTRL or TTTRL
        Changed in place.
    p : float in [0, 1)
    modes : sequence of int, optional
        See :class:`TensorDropout`.
    per_sample, drop_test : bool

    Returns
    -------
    The same layer

    Raises
    ------
    TypeError
        If ``trl`` is no tensor regression layer, or ``p`` no number.
    ValueError
        If ``p`` is outside [0, 1), the weight lacks one of ``modes``, or the
        layer's contraction cannot drop per sample.

    Examples
    --------
    >>> from trlkit import CPTRL
    >>> tensor_dropout(CPTRL((4, 5), 3, rank=6), p=0.4).dropout.p
    0.4
    """
    _check_layer(trl)
    modes = None if modes is None else tuple(modes)
    trl.dropout = TensorDropout(p, modes, per_sample, drop_test)
    return trl


def remove_tensor_dropout(trl: Layer) -> Layer:
    """Drop no more components of a tensor regression layer's weight.

    Parameters
    ----------
    trl : CPTRL, TuckerTRL or TTTRL
        Changed in place.

    Returns
    -------
    The same layer

    Raises
    ------
    TypeError
        If ``trl`` is no tensor regression layer.

    Examples
    --------
    >>> from trlkit import CPTRL
    >>> remove_tensor_dropout(CPTRL((4, 5), 3, rank=6, dropout=0.4)).dropout.p
    0.0
    """
    _check_layer(trl)
    trl.dropout = 0.0
    return trl


def _check_layer(trl: nn.Module) -> None:
    if not hasattr(trl, "rank_modes"):
        raise TypeError(
            f"tensor dropout needs a CPTRL, TuckerTRL or TTTRL, got a {type(trl).__name__}; "
            f"convert a tltorch layer with from_tltorch first"
        )
