"""CP, Tucker and TT weights: their tensors, and what a layer does with them.

A weight here is a frozen view of tensors that somebody else owns, parameters as
a rule. Nothing below changes them, but ``initialize_``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from trlkit.contraction.paths import (
    Masks,
    Matrices,
    contract_cp,
    contract_tt,
    contract_tucker,
    cp_dense,
    cp_matrices,
    tt_dense,
    tt_matrices,
    tucker_dense,
    tucker_matrices,
)
from trlkit.tensors import multi_mode_dot, sizes_of
from trlkit.weights.parameters import fill_

# torch.fx records these whole, where a layer itself is traced.
for _name in ("contract_cp", "contract_tucker", "contract_tt"):
    fx.wrap(_name)


@dataclass(frozen=True)
class CPWeight:
    """A sum of R rank-1 tensors, from factors (I_k, R).

    Attributes
    ----------
    factors : tuple of Tensor of shape (I_k, R)

    Examples
    --------
    >>> weight = CPWeight.empty((2, 3), rank=4)
    >>> weight.shape, weight.rank, weight.rank_modes
    ((2, 3), 4, (4,))
    """

    factors: tuple[Tensor, ...]

    @classmethod
    def empty(cls, shape: Sequence[int], rank: int, **options) -> "CPWeight":
        """Tensors of the right shapes, with whatever values are there."""
        return cls(tuple(torch.empty(size, rank, **options) for size in shape))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.factors

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> "CPWeight":
        """The weight of these ``tensors``."""
        return cls(tuple(tensors))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(sizes_of(factor)[0] for factor in self.factors)

    @property
    def rank(self) -> int:
        return sizes_of(self.factors[0])[1]

    @property
    def rank_modes(self) -> tuple[int, ...]:
        """The sizes of the modes that can be dropped from and pruned."""
        return (self.rank,)

    def dense(self) -> Tensor:
        """The full weight (I_0, ..., I_N)."""
        return cp_dense(self.factors)

    def contract(self, x: Tensor, path: str, bias: Tensor | None, masks: Masks | None) -> Tensor:
        """(B, *input_shape) to (B, *output_shape) by one path, each sample with its masks."""
        return contract_cp(x, self.factors, path, bias, masks)

    def matrices(self, path: str, n_inputs: int) -> Matrices:
        """What :func:`trlkit.contraction.paths.through` takes, for a path that is such products."""
        return cp_matrices(self.factors, n_inputs, path)

    def masked(self, masks: Masks) -> "CPWeight":
        """The weight whose components are multiplied by a mask (R,)."""
        smallest = self.shape.index(min(self.shape))  # torch 2.11 compiles no min with a key
        return CPWeight(_replaced(self.factors, smallest, masks[0]))

    def initialize_(self, norm: float) -> None:
        """Draw factors whose weight has this Frobenius norm, in the mean of its square."""
        column = (norm / math.sqrt(self.rank)) ** (1 / len(self.factors))
        for factor in self.factors:
            fill_(factor, lambda drawn: column * nn.functional.normalize(drawn.normal_(), dim=0))

    @property
    def n_slices(self) -> int:
        """In how many of the tensors a component has a slice."""
        return len(self.factors)

    def norms(self) -> list[Tensor]:
        """The norm of each rank-1 component, (R,)."""
        columns = [torch.linalg.vector_norm(factor, dim=0) for factor in self.factors]
        return [torch.stack(columns).prod(0)]

    def selected(self, kept: Sequence[Tensor]) -> "CPWeight":
        """The weight of the components whose indices are kept."""
        return CPWeight(tuple(factor[:, kept[0]] for factor in self.factors))

    def repeated(self, mode: int, size: int) -> "CPWeight":
        """The weight whose mode of size 1 is repeated."""
        factor = self.factors[mode].expand(size, self.rank)
        return CPWeight((*self.factors[:mode], factor, *self.factors[mode + 1 :]))

    def padded(self, rank: int) -> "CPWeight":
        """The same weight at a higher rank: components that are zero, but can learn."""
        *free, last = self.factors
        extra = rank - self.rank
        free = [torch.cat([factor, _columns(factor, extra)], dim=1) for factor in free]
        return CPWeight((*free, nn.functional.pad(last, (0, extra))))


@dataclass(frozen=True)
class TuckerWeight:
    """A core (R_0, ..., R_N) multiplied along each mode by a factor (I_k, R_k).

    Attributes
    ----------
    core : Tensor of shape (R_0, ..., R_N)
    factors : tuple of Tensor of shape (I_k, R_k)

    Examples
    --------
    >>> weight = TuckerWeight.empty((2, 3), rank=(2, 1))
    >>> weight.shape, weight.rank, weight.rank_modes
    ((2, 3), (2, 1), (2, 1))
    """

    core: Tensor
    factors: tuple[Tensor, ...]

    @classmethod
    def empty(cls, shape: Sequence[int], rank: Sequence[int], **options) -> "TuckerWeight":
        """Tensors of the right shapes, with whatever values are there."""
        factors = (torch.empty(sizes, **options) for sizes in zip(shape, rank, strict=True))
        return cls(torch.empty(tuple(rank), **options), tuple(factors))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.core, *self.factors)

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> "TuckerWeight":
        """The weight of these ``tensors``."""
        return cls(tensors[0], tuple(tensors[1:]))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(sizes_of(factor)[0] for factor in self.factors)

    @property
    def rank(self) -> tuple[int, ...]:
        return sizes_of(self.core)

    @property
    def rank_modes(self) -> tuple[int, ...]:
        """The sizes of the modes that can be dropped from and pruned."""
        return self.rank

    def dense(self) -> Tensor:
        """The full weight (I_0, ..., I_N)."""
        return tucker_dense(self.core, self.factors)

    def contract(self, x: Tensor, path: str, bias: Tensor | None, masks: Masks | None) -> Tensor:
        """(B, *input_shape) to (B, *output_shape) by one path, each sample with its masks."""
        return contract_tucker(x, self.core, self.factors, path, bias, masks)

    def matrices(self, path: str, n_inputs: int) -> Matrices:
        """What :func:`trlkit.contraction.paths.through` takes, for a path that is such products."""
        return tucker_matrices(self.core, self.factors, n_inputs, path)

    def masked(self, masks: Masks) -> "TuckerWeight":
        """The weight whose ranks of mode k are multiplied by a mask (R_k,)."""
        factors = self.factors
        for mode, mask in enumerate(masks):
            factors = _replaced(factors, mode, mask)
        return TuckerWeight(self.core, factors)

    def initialize_(self, norm: float) -> None:
        """Draw semi-orthogonal factors and a core that give the weight this Frobenius norm."""
        for factor in self.factors:
            _semi_orthogonal_(factor)
        _gaussian_(self.core, norm)

    n_slices = 2  # of the core and a factor

    def norms(self) -> list[Tensor]:
        """For each mode the norms (R_k,) of the terms that its ranks add to the weight."""
        grams = [factor.T.double() @ factor.double() for factor in self.factors]  # (R_k, R_k)
        core, norms = self.core.double(), []
        for mode, gram in enumerate(grams):
            others = [other for other in range(core.ndim) if other != mode]
            product = multi_mode_dot(core, [grams[other] for other in others], others) * core
            squares = product.movedim(mode, 0).reshape(gram.shape[0], -1).sum(1) * gram.diagonal()
            norms.append(root(squares, 2).to(self.core.dtype))
        return norms

    def selected(self, kept: Sequence[Tensor]) -> "TuckerWeight":
        """The weight of the ranks whose indices are kept, for each mode."""
        core = self.core
        for mode, indices in enumerate(kept):
            core = core.index_select(mode, indices)
        factors = zip(self.factors, kept, strict=True)
        return TuckerWeight(core, tuple(factor[:, indices] for factor, indices in factors))

    def repeated(self, mode: int, size: int) -> "TuckerWeight":
        """The weight whose mode of size 1 is repeated."""
        factor = self.factors[mode].expand(size, self.rank[mode])
        return TuckerWeight(self.core, (*self.factors[:mode], factor, *self.factors[mode + 1 :]))

    def padded(self, rank: Sequence[int]) -> "TuckerWeight":
        """The same weight at a higher rank: new columns that the core does not use yet."""
        core = self.core.new_zeros(tuple(rank))
        core[tuple(slice(r) for r in self.rank)] = self.core
        factors = zip(self.factors, rank, strict=True)
        return TuckerWeight(
            core,
            tuple(
                torch.cat([factor, _columns(factor, r - factor.shape[1])], dim=1)
                for factor, r in factors
            ),
        )


@dataclass(frozen=True)
class TTWeight:
    """A chain of cores (R_k, I_k, R_{k+1}) whose first and last bonds are 1.

    Attributes
    ----------
    cores : tuple of Tensor of shape (R_k, I_k, R_{k+1})

    Examples
    --------
    >>> weight = TTWeight.empty((2, 3), rank=(1, 2, 1))
    >>> weight.shape, weight.rank, weight.rank_modes
    ((2, 3), (1, 2, 1), (2,))
    """

    cores: tuple[Tensor, ...]

    @classmethod
    def empty(cls, shape: Sequence[int], rank: Sequence[int], **options) -> "TTWeight":
        """Tensors of the right shapes, with whatever values are there."""
        shapes = zip(rank[:-1], shape, rank[1:], strict=True)
        return cls(tuple(torch.empty(sizes, **options) for sizes in shapes))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.cores

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> "TTWeight":
        """The weight of these ``tensors``."""
        return cls(tuple(tensors))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(sizes_of(core)[1] for core in self.cores)

    @property
    def rank(self) -> tuple[int, ...]:
        return (*(sizes_of(core)[0] for core in self.cores), 1)

    @property
    def rank_modes(self) -> tuple[int, ...]:
        """The sizes of the inner bonds, which can be dropped from and pruned."""
        return self.rank[1:-1]

    def dense(self) -> Tensor:
        """The full weight (I_0, ..., I_N)."""
        return tt_dense(self.cores)

    def contract(self, x: Tensor, path: str, bias: Tensor | None, masks: Masks | None) -> Tensor:
        """(B, *input_shape) to (B, *output_shape) by one path, each sample with its masks."""
        return contract_tt(x, self.cores, path, bias, masks)

    def matrices(self, path: str, n_inputs: int) -> Matrices:
        """What :func:`trlkit.contraction.paths.through` takes, for a path that is such products."""
        return tt_matrices(self.cores, n_inputs, path)

    def masked(self, masks: Masks) -> "TTWeight":
        """The weight whose inner bond k is multiplied by a mask (R_{k+1},)."""
        cores = self.cores
        for bond, mask in enumerate(masks):
            cores = _replaced(cores, bond, mask)
        return TTWeight(cores)

    def initialize_(self, norm: float) -> None:
        """Draw semi-orthogonal cores and a last one that give the weight this Frobenius norm."""
        for core in self.cores[:-1]:
            _semi_orthogonal_(core.flatten(0, 1))
        _gaussian_(self.cores[-1], norm)

    n_slices = 2  # of the cores on the two sides of a bond

    def norms(self) -> list[Tensor]:
        """For each inner bond the norms (R_k,) of the terms that its indices add to the weight."""
        cores = [core.double() for core in self.cores]
        left = [cores[0].new_ones(1, 1)]  # Gram matrices of everything to the left of a bond
        for core in cores[:-1]:
            left.append(torch.einsum("ab,aic,bid->cd", left[-1], core, core))
        right = [cores[0].new_ones(1, 1)]  # and of everything to the right
        for core in cores[:0:-1]:
            right.append(torch.einsum("cd,aic,bid->ab", right[-1], core, core))
        pairs = zip(left[1:], right[:0:-1], strict=True)
        return [
            root(before.diagonal() * after.diagonal(), 2).to(self.cores[0].dtype)
            for before, after in pairs
        ]

    def selected(self, kept: Sequence[Tensor]) -> "TTWeight":
        """The weight of the indices that are kept, for each inner bond."""
        cores = list(self.cores)
        for bond, indices in enumerate(kept):
            cores[bond] = cores[bond][:, :, indices]
            cores[bond + 1] = cores[bond + 1][indices]
        return TTWeight(tuple(cores))

    def repeated(self, mode: int, size: int) -> "TTWeight":
        """The weight whose mode of size 1 is repeated."""
        core = self.cores[mode]
        core = core.expand(core.shape[0], size, core.shape[2])
        return TTWeight((*self.cores[:mode], core, *self.cores[mode + 1 :]))

    def padded(self, rank: Sequence[int]) -> "TTWeight":
        """The same weight with larger bonds: new columns that the next core does not use yet."""
        cores = []
        for core, before, after in zip(self.cores, rank[:-1], rank[1:], strict=True):
            extra = after - core.shape[2]
            core = torch.cat([core, _columns(core, extra)], dim=2)
            cores.append(nn.functional.pad(core, (0, 0, 0, 0, 0, before - core.shape[0])))
        return TTWeight(tuple(cores))


Weight = CPWeight | TuckerWeight | TTWeight


def root(x: Tensor, degree: int) -> Tensor:
    """The root of each entry, with gradient 0 instead of infinity where it is 0.

    Parameters
    ----------
    x : Tensor of any shape
    degree : int

    Returns
    -------
    Tensor of x's shape
        0 where ``x`` is not above 0.

    Examples
    --------
    >>> root(torch.tensor([8.0, 0.0]), 3)
    tensor([2., 0.])
    """
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0) ** (1 / degree), 0.0)


def _replaced(
    tensors: tuple[Tensor, ...], position: int, mask: Tensor | None
) -> tuple[Tensor, ...]:
    """The tensors, one of them with its last mode multiplied by a mask."""
    if mask is None:
        return tensors
    return (*tensors[:position], tensors[position] * mask, *tensors[position + 1 :])


def _columns(tensor: Tensor, extra: int) -> Tensor:
    """Random entries to put after the last mode, in the mean of norm 1 for each index."""
    shape = (*tensor.shape[:-1], extra)
    drawn = torch.randn(shape, dtype=torch.float32, device=tensor.device)
    return drawn.to(tensor) / math.sqrt(math.prod(tensor.shape[:-1]))


def _semi_orthogonal_(matrix: Tensor) -> None:
    """Fill (I, R) with orthonormal columns, or rows where I < R; its squared norm is R."""
    rows, columns = matrix.shape
    fill_(matrix, lambda drawn: math.sqrt(max(1.0, columns / rows)) * nn.init.orthogonal_(drawn))


def _gaussian_(tensor: Tensor, norm: float) -> None:
    """Fill with a random direction of the given norm."""
    fill_(tensor, lambda drawn: norm / drawn.normal_().norm() * drawn)
