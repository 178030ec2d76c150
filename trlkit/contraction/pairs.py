"""Products of two matrices that a CUDA graph makes: their gradients in less time and memory.

By autograd's own steps each gradient of a Khatri-Rao or Kronecker product takes two kernels,
as many as all the rest of a pass has: in a graph both are one. Outside of a graph their
launches are few beside Python.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trlkit import tensors
from trlkit.contraction import narrow

MOST_SUMMANDS = 1024  # of an entry of a gradient: one program of a kernel adds them up


def khatri_rao(matrices: Sequence[Tensor]) -> Tensor:
    """As :func:`trlkit.khatri_rao`.

    Examples
    --------
    >>> khatri_rao([torch.ones(2, 3), torch.ones(4, 3)]).shape
    torch.Size([8, 3])
    """
    return _joined(KHATRI_RAO, matrices)


def kronecker(matrices: Sequence[Tensor]) -> Tensor:
    """As :func:`trlkit.kronecker`.

    Examples
    --------
    >>> kronecker([torch.ones(2, 3), torch.ones(4, 5)]).shape
    torch.Size([8, 15])
    """
    return _joined(KRONECKER, matrices)


class Kind(NamedTuple):
    """A product of two matrices, each of whose entries is one entry of either.

    Attributes
    ----------
    product : callable
        Of any number of matrices, by expressions that autograd knows.
    kernel : str
        What makes both gradients in :mod:`trlkit.contraction.kernels`.
    summands : callable
        Of how many products an entry of the other matrix' gradient is the sum.
    """

    product: Callable[[Sequence[Tensor]], Tensor]
    kernel: str
    summands: Callable[[Tensor], int]


KHATRI_RAO = Kind(tensors.khatri_rao, "khatri_rao_backward", lambda matrix: matrix.shape[0])
KRONECKER = Kind(tensors.kronecker, "kronecker_backward", lambda matrix: matrix.numel())


_kept: ContextVar[Sequence[Tensor] | None] = ContextVar(
    "what may not be written over", default=None
)


@contextlib.contextmanager
def consuming(kept: Sequence[Tensor]) -> Iterator[None]:
    """Let the gradients of a :func:`product`'s second matrix, and of a matrix that
    :func:`transposed` copies, be written over them.

    So there can be one backward pass for a forward pass, and autograd says so at a second.

    Parameters
    ----------
    kept : sequence of Tensor
        Whose memory is not written to.
    """
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)


def product(left: Tensor, right: Tensor) -> Tensor:
    """(M, K) x (K, N) -> (M, N).

    Examples
    --------
    >>> product(torch.ones(2, 3), torch.ones(3, 4)).shape
    torch.Size([2, 4])
    """
    return _Product.apply(left, right) if _consumable(right, left) else left @ right


def transposed(matrix: Tensor) -> Tensor:
    """(P, N) -> (N, P), laid out row by row.

    Examples
    --------
    >>> transposed(torch.ones(3, 4)).stride()
    (3, 1)
    """
    if matrix.T.is_contiguous() or not _consumable(matrix):
        return matrix.T.contiguous()
    return _Transposed.apply(matrix)


def _consumable(tensor: Tensor, *others: Tensor) -> bool:
    if torch.compiler.is_compiling() or (kept := _kept.get()) is None:
        return False
    place = tensor.untyped_storage().data_ptr()
    return all(other.untyped_storage().data_ptr() != place for other in (*others, *kept))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        return left @ right

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor):
        left, right = ctx.saved_tensors
        d_left = g @ right.T
        return d_left, torch.mm(left.T, g, out=right)


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(matrix)
        return matrix.T.contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor):
        (matrix,) = ctx.saved_tensors
        return matrix.copy_(g.T)


def _joined(kind: Kind, matrices: Sequence[Tensor]) -> Tensor:
    if not _fits(matrices):
        return kind.product(matrices)
    # From the right: the last modes are small, and so are the sums of both gradients then.
    return reduce(lambda right, left: _pair(kind, left, right), reversed(matrices))


def _pair(kind: Kind, left: Tensor, right: Tensor) -> Tensor:
    if max(kind.summands(left), kind.summands(right)) > MOST_SUMMANDS:
        return kind.product([left, right])
    return _Pair.apply(kind, left, right)


def _fits(matrices: Sequence[Tensor]) -> bool:
    first = matrices[0]
    return (
        len(matrices) > 1
        and first.is_cuda
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and torch.cuda.is_current_stream_capturing()
        and narrow.runs_as_written(*matrices)
        and first.dtype in narrow.DTYPES
        and all(matrix.dtype == first.dtype for matrix in matrices)
        and narrow.kernels_of(first.device) is not None
    )


class _Pair(torch.autograd.Function):
    @staticmethod
    def forward(ctx, kind: Kind, left: Tensor, right: Tensor) -> Tensor:
        ctx.kind = kind
        ctx.save_for_backward(left, right)
        return kind.product([left, right])

    @staticmethod
    def backward(ctx, g: Tensor):
        pair, needed = ctx.saved_tensors, ctx.needs_input_grad[1:]
        if all(needed) and not torch.is_grad_enabled() and narrow.runs_as_written(g):
            kernel = getattr(narrow.kernels_of(g.device), ctx.kind.kernel)
            return None, *kernel(*(tensor.contiguous() for tensor in (*pair, g)))
        further = torch.is_grad_enabled()  # or for many directions, or for one matrix alone
        with torch.enable_grad():
            made = ctx.kind.product(pair)
        wanted = [tensor for tensor, need in zip(pair, needed, strict=True) if need]
        found = iter(torch.autograd.grad(made, wanted, g, create_graph=further))
        return None, *(next(found) if need else None for need in needed)
