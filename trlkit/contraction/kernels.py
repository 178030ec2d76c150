"""Triton kernels for a batch and few outputs, and for gradients of products of factors.

Imported where a GPU uses them.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

COLUMNS = 16  # of the padded matrix: the least that a product of Triton takes
PROGRAMS = 256  # wanted at once: about two for each multiprocessor
BLOCK = 64  # of P at a time
# Precise enough for float32 and on the tensor cores: each product in three of lower precision.
PRECISE, FAST = "tf32x3", "tf32"


@triton.jit
def _forward(
    x, w, bias, parts, batch, p, chunk, row_stride, place_stride,
    N: tl.constexpr, BIAS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
    WIDE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One block of rows times one chunk of P: a summand of the output."""
    row, column = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, WIDE)
    first = tl.program_id(1) * chunk
    total = tl.zeros((ROWS, WIDE), tl.float32)
    for start in range(first, min(first + chunk, p), BLOCK):
        place = start + tl.arange(0, BLOCK)
        inside = (row[:, None] < batch) & (place[None, :] < p)
        a = tl.load(x + row[:, None].to(tl.int64) * p + place[None, :], mask=inside, other=0.0)
        inside = (place[:, None] < p) & (column[None, :] < N)
        entry = column[None, :] * row_stride + place[:, None] * place_stride
        b = tl.load(w + entry, mask=inside, other=0.0)
        total = tl.dot(a, b, total, input_precision=PRECISION)
    if BIAS and tl.program_id(1) == 0:
        total += tl.load(bias + column, mask=column < N, other=0.0).to(tl.float32)[None, :]
    place = (tl.program_id(1) * batch + row[:, None]).to(tl.int64) * N + column[None, :]
    tl.store(parts + place, total, mask=(row[:, None] < batch) & (column[None, :] < N))


@triton.jit
def _backward(
    x, w, g, dx, dw, db, batch, p,
    row_stride, place_stride, row_stride_out, place_stride_out,
    N: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """One block of P for the whole batch, which is read once for both gradients."""
    place, column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, WIDE)
    own = (place[None, :] < p) & (column[:, None] < N)
    entry = column[:, None] * row_stride + place[None, :] * place_stride
    b = tl.load(w + entry, mask=own, other=0.0)  # (WIDE, BLOCK)
    total, bias = tl.zeros((WIDE, BLOCK), tl.float32), tl.zeros((WIDE,), tl.float32)
    for start in range(0, batch, ROWS):
        row = start + tl.arange(0, ROWS)
        at = row[:, None].to(tl.int64) * p + place[None, :]
        inside = (row[:, None] < batch) & (place[None, :] < p)
        a = tl.load(x + at, mask=inside, other=0.0)
        known = (row[:, None] < batch) & (column[None, :] < N)
        c = tl.load(g + row[:, None] * N + column[None, :], mask=known, other=0.0)
        tl.store(dx + at, tl.dot(c, b, input_precision=PRECISION), mask=inside)
        total = tl.dot(tl.trans(c), a, total, input_precision=PRECISION)
        bias += tl.sum(c.to(tl.float32), 0)
    entry = column[:, None] * row_stride_out + place[None, :] * place_stride_out
    tl.store(dw + entry, total, mask=own)  # it may be the memory of w, of which no other reads this
    if tl.program_id(0) == 0:
        tl.store(db + column, bias, mask=column < N)


@triton.jit
def _sum(
    g, other, out, first, stride, size, columns,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One row of a Khatri-Rao product's gradient: that of every ``stride``-th row of g."""
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, size, ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row[:, None] < size) & (column[None, :] < columns)
        at = (first + row * stride).to(tl.int64)[:, None] * columns + column[None, :]
        one = tl.load(g + at, mask=inside, other=0.0).to(tl.float32)
        place = row[:, None] * columns + column[None, :]
        total += tl.sum(one * tl.load(other + place, mask=inside, other=0.0).to(tl.float32), 0)
    tl.store(out + column, total, mask=column < columns)


@triton.jit
def _khatri_rao_backward(
    a, b, g, da, db, i_size, j_size, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """(I, R), (J, R) and (I J, R): one row of the gradient of the first, or of the second."""
    i = tl.program_id(0)
    if i < i_size:
        _sum(g, b, da + i * columns, i * j_size, 1, j_size, columns, ROWS, BLOCK)
    else:
        j = i - i_size
        _sum(g, a, db + j * columns, j, j_size, i_size, columns, ROWS, BLOCK)


@triton.jit
def _total(g, other, out, first, row_stride, stride, size, width, BLOCK: tl.constexpr):
    """One entry of a Kronecker product's gradient."""
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        place = first + (at // width) * row_stride + (at % width) * stride
        one = tl.load(g + place, mask=at < size, other=0.0).to(tl.float32)
        total += one * tl.load(other + at, mask=at < size, other=0.0).to(tl.float32)
    tl.store(out, tl.sum(total, 0))


@triton.jit
def _kronecker_backward(a, b, g, da, db, i_size, j_size, k_size, l_size, BLOCK: tl.constexpr):
    """(I, J), (K, L) and (I K, J L): one entry of the gradient of the first, or of the second."""
    entry, columns = tl.program_id(0), j_size * l_size
    if entry < i_size * j_size:
        first = (entry // j_size) * k_size * columns + (entry % j_size) * l_size
        _total(g, b, da + entry, first, columns, 1, k_size * l_size, l_size, BLOCK)
    else:
        entry -= i_size * j_size
        first = (entry // l_size) * columns + entry % l_size
        _total(g, a, db + entry, first, k_size * columns, l_size, i_size * j_size, j_size, BLOCK)


def forward(x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
    """(B, P) x (N, P) -> (B, N), plus a bias (N,), N at most :data:`COLUMNS`; x contiguous."""
    (batch, p), n = x.shape, w.shape[0]
    rows = 64 if batch >= 64 else 16
    blocks = triton.cdiv(batch, rows)
    splits = max(1, min(64, PROGRAMS // blocks))
    chunk = triton.cdiv(triton.cdiv(p, splits), BLOCK) * BLOCK
    parts = torch.empty(splits, batch, n, dtype=torch.float32, device=x.device)
    _forward[blocks, splits](
        *(x, w, w if bias is None else bias, parts, batch, p, chunk, *w.stride()),
        *(n, bias is not None, rows, BLOCK, COLUMNS, _precision()),
        num_warps=4,
        num_stages=4,
    )
    return (parts.sum(0) if splits > 1 else parts[0]).to(x.dtype)


def backward(x: Tensor, w: Tensor, g: Tensor, dw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of :func:`forward` for x (B, P), w (N, P), into ``dw``, and the bias (N,).

    ``dw`` may be w itself; x and g (B, N) are contiguous.
    """
    (batch, p), n = x.shape, w.shape[0]
    dx, db = torch.empty_like(x), w.new_empty(n)
    _backward[(triton.cdiv(p, BLOCK),)](
        *(x, w, g, dx, dw, db, batch, p, *w.stride(), *dw.stride()),
        *(n, 32, BLOCK, COLUMNS, _precision()),
        num_warps=4,
        num_stages=3,
    )
    return dx, dw, db


def khatri_rao_backward(a: Tensor, b: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of a (I, R) and b (J, R) from that of their Khatri-Rao product, (I J, R)."""
    (i, columns), j = a.shape, b.shape[0]
    da, db = torch.empty_like(a), torch.empty_like(b)
    _khatri_rao_backward[i + j, triton.cdiv(columns, 32)](
        *(a, b, g, da, db, i, j, columns, 64, 32), num_warps=4
    )
    return da, db


def kronecker_backward(a: Tensor, b: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of a (I, J) and b (K, L) from that of their Kronecker product, (I K, J L)."""
    da, db = torch.empty_like(a), torch.empty_like(b)
    _kronecker_backward[(a.numel() + b.numel(),)](
        *(a, b, g, da, db, *a.shape, *b.shape, 64), num_warps=2
    )
    return da, db


def _precision() -> str:
    return FAST if torch.backends.cuda.matmul.allow_tf32 else PRECISE
