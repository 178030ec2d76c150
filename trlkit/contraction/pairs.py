"""Products of matrices that a CUDA graph makes: their gradients in less time and memory.

By autograd's own steps each gradient of a Khatri-Rao or Kronecker product takes two kernels,
as many as all the rest of a pass has: in a graph all are one. Outside of a graph their
launches are few beside Python.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trlkit import tensors
from trlkit.contraction import narrow

MOST_SUMMANDS = 1024  # of an entry of a gradient: one program of a kernel adds them up
MOST_ENTRIES, MOST_TOGETHER = 2**17, 2**11  # of a column, and of the last two matrices' product


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
    """A product of matrices, each of whose entries is one entry of each of them.

    Attributes
    ----------
    product : callable
        Of any number of matrices, by expressions that autograd knows.
    most : int
        Of how many matrices a kernel takes the gradients.
    kernel, backward : str
        What makes the product and the gradients in :mod:`trlkit.contraction.kernels`; "" where
        torch's own expression is as quick.
    fits : callable
        Whether matrices are what the kernels are made for.
    """

    product: Callable[[Sequence[Tensor]], Tensor]
    most: int
    kernel: str
    backward: str
    fits: Callable[[Sequence[Tensor]], bool]


def _columns_fit(matrices: Sequence[Tensor]) -> bool:
    rows = [matrix.shape[0] for matrix in matrices]
    return math.prod(rows) <= MOST_ENTRIES and math.prod(rows[1:]) <= MOST_TOGETHER


def _summands_fit(matrices: Sequence[Tensor]) -> bool:
    return max(matrix.numel() for matrix in matrices) <= MOST_SUMMANDS


KHATRI_RAO = Kind(tensors.khatri_rao, 3, "khatri_rao", "khatri_rao_backward", _columns_fit)
KRONECKER = Kind(tensors.kronecker, 2, "", "kronecker_backward", _summands_fit)


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


@contextlib.contextmanager
def forked(device: torch.device, branch: str) -> Iterator[AbstractContextManager]:
    """What is in the context that this gives runs beside what follows, until the end of this one.

    Parameters
    ----------
    device : torch.device
        On all others than a GPU one thing is done after the other.
    branch : str
        What is apart in one branch is done one after the other.

    Examples
    --------
    >>> with forked(torch.device("cpu"), "one") as beside:
    ...     with beside:
    ...         first = torch.ones(1)
    ...     second = torch.ones(1)
    """
    if device.type != "cuda":
        yield contextlib.nullcontext()
        return
    now, side = torch.cuda.current_stream(device), _branch(device, branch)
    side.wait_stream(now)
    try:
        yield torch.cuda.stream(side)
    finally:
        now.wait_stream(side)


@functools.cache
def _branch(device: torch.device, branch: str) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def product(left: Tensor, right: Tensor) -> Tensor:
    """(M, K) x (K, N) -> (M, N).

    Examples
    --------
    >>> product(torch.ones(2, 3), torch.ones(3, 4)).shape
    torch.Size([2, 4])
    """
    if _consumable(right, left):
        return _Product.apply(left, right)
    # Where nothing may be written over, somebody captures who waits for the graph as a whole.
    if _captured_here(left, right) and _kept.get() is None:
        return _Beside.apply(left, right)
    return left @ right


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


class _Beside(torch.autograd.Function):
    @staticmethod
    def forward(ctx, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        return left @ right

    @staticmethod
    def backward(ctx, g: Tensor):
        left, right = ctx.saved_tensors
        if torch.is_grad_enabled() or not (all(ctx.needs_input_grad) and narrow.runs_as_written(g)):
            return g @ right.T, left.T @ g
        d_right = torch.empty_like(right)
        with forked(g.device, "factors") as beside:
            with beside:
                torch.mm(left.T, g, out=d_right)
            d_left = g @ right.T
        return d_left, d_right


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
    # From the right: the last modes are small, and so are the sums of the gradients then.
    while len(matrices) > 1:
        last = matrices[-kind.most :]
        whole = _Joined.apply(kind, *last) if kind.fits(last) else kind.product(last)
        matrices = [*matrices[: -kind.most], whole]
    return matrices[0]


def _captured_here(*matrices: Tensor) -> bool:
    return (
        matrices[0].is_cuda
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and torch.cuda.is_current_stream_capturing()
        and narrow.runs_as_written(*matrices)
    )


def _fits(matrices: Sequence[Tensor]) -> bool:
    first = matrices[0]
    return (
        len(matrices) > 1
        and _captured_here(*matrices)
        and first.dtype in narrow.DTYPES
        and all(matrix.dtype == first.dtype for matrix in matrices)
        and narrow.kernels_of(first.device) is not None
    )


class _Joined(torch.autograd.Function):
    @staticmethod
    def forward(ctx, kind: Kind, *matrices: Tensor) -> Tensor:
        ctx.kind = kind
        ctx.save_for_backward(*matrices)
        if not kind.kernel:
            return kind.product(matrices)
        return getattr(narrow.kernels_of(matrices[0].device), kind.kernel)(matrices)

    @staticmethod
    def backward(ctx, g: Tensor):
        matrices, needed = ctx.saved_tensors, ctx.needs_input_grad[1:]
        if all(needed) and not torch.is_grad_enabled() and narrow.runs_as_written(g):
            return None, *getattr(narrow.kernels_of(g.device), ctx.kind.backward)(matrices, g)
        further = torch.is_grad_enabled()  # or for many directions, or for some matrices alone
        with torch.enable_grad():
            made = ctx.kind.product(matrices)
        wanted = [tensor for tensor, need in zip(matrices, needed, strict=True) if need]
        found = iter(torch.autograd.grad(made, wanted, g, create_graph=further))
        return None, *(next(found) if need else None for need in needed)
