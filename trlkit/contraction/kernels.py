"""Triton kernels for a batch and few outputs, and for gradients of products of factors.

Imported where a GPU uses them.
"""

from collections.abc import Sequence

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
def _sum(parts, y, size, count, COUNT: tl.constexpr, BLOCK: tl.constexpr):
    """(count, size) -> (size,)."""
    part, place = tl.arange(0, COUNT), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = (part[:, None] < count) & (place[None, :] < size)
    at = part[:, None].to(tl.int64) * size + place[None, :]
    tl.store(y + place, tl.sum(tl.load(parts + at, mask=inside, other=0.0), 0), mask=place < size)


@triton.jit
def _khatri_rao(
    a, b, c, out, size, columns, j_size, k_size,
    a_row, a_column, b_row, b_column, c_row, c_column,
    THREE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One block of one column of (I, R), (J, R) and (K, R), to (R, I J K)."""
    column, place = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    i, j, k = place // (j_size * k_size), place // k_size % j_size, place % k_size
    total = tl.load(a + i * a_row + column * a_column, mask=inside).to(tl.float32)
    total *= tl.load(b + j * b_row + column * b_column, mask=inside).to(tl.float32)
    if THREE:
        total *= tl.load(c + k * c_row + column * c_column, mask=inside).to(tl.float32)
    tl.store(out + column.to(tl.int64) * size + place, total, mask=inside)


@triton.jit
def _khatri_rao_backward(
    a, b, c, g, da, db, dc, columns, i_size, j_size, k_size,
    a_row, a_column, b_row, b_column, c_row, c_column,
    THREE: tl.constexpr, EACH: tl.constexpr,
    I_BLOCK: tl.constexpr, J_BLOCK: tl.constexpr, K_BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradients of some columns of all three, from (R, I J K), which is read once."""
    for each in tl.static_range(EACH):
        column = tl.program_id(0) * EACH + each
        j, k = tl.arange(0, J_BLOCK), tl.arange(0, K_BLOCK)
        j_inside, k_inside = (j < j_size) & (column < columns), (k < k_size) & (column < columns)
        two = tl.load(b + j * b_row + column * b_column, mask=j_inside, other=0.0).to(tl.float32)
        if THREE:
            three = tl.load(c + k * c_row + column * c_column, mask=k_inside, other=0.0)
            three = three.to(tl.float32)
        else:
            three = tl.full((K_BLOCK,), 1.0, tl.float32)
        both = two[:, None] * three[None, :]
        own, within = j_inside[:, None] & k_inside[None, :], j[:, None] * k_size + k[None, :]
        total = tl.zeros((J_BLOCK, K_BLOCK), tl.float32)
        for start in range(0, i_size, I_BLOCK):
            i = start + tl.arange(0, I_BLOCK)
            i_inside = (i < i_size) & (column < columns)
            row = (column * i_size + i).to(tl.int64)
            at = row[:, None, None] * (j_size * k_size) + within[None, :, :]
            inside = i_inside[:, None, None] & own[None, :, :]
            part = tl.load(g + at, mask=inside, other=0.0).to(tl.float32)
            found = tl.sum(tl.sum(part * both[None, :, :], 2), 1)
            tl.store(da + i * columns + column, found, mask=i_inside)
            one = tl.load(a + i * a_row + column * a_column, mask=i_inside, other=0.0)
            total += tl.sum(part * one.to(tl.float32)[:, None, None], 0)
        tl.store(db + j * columns + column, tl.sum(total * three[None, :], 1), mask=j_inside)
        if THREE:
            tl.store(dc + k * columns + column, tl.sum(total * two[:, None], 0), mask=k_inside)


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
    """(B, P) x (N, P) -> (B, N), plus a bias (N,); x contiguous.

    N is at most :data:`COLUMNS`, or 128 where a multiprocessor has room for so many.
    """
    (batch, p), n = x.shape, w.shape[0]
    if n <= COLUMNS:
        rows, block, warps, stages = 64 if batch >= 64 else 16, BLOCK, 4, 4
    else:
        w = w if batch <= 256 else w.contiguous()  # a copy that so much work is worth
        if batch <= 32 or w.stride(1) != 1:
            rows, block, warps, stages = 32, 32, 4, 3
        elif batch <= 512:
            rows, block, warps, stages = 64, BLOCK, 4, 3
        else:
            rows, block, warps, stages = 128, BLOCK, 8, 3
    blocks = triton.cdiv(batch, rows)
    splits = max(1, min(64, PROGRAMS // blocks))
    chunk = triton.cdiv(triton.cdiv(p, splits), block) * block
    splits = triton.cdiv(p, chunk)
    parts = torch.empty(splits, batch, n, dtype=torch.float32, device=x.device)
    _forward[blocks, splits](
        *(x, w, w if bias is None else bias, parts, batch, p, chunk, *w.stride()),
        *(n, bias is not None, rows, block, triton.next_power_of_2(max(n, COLUMNS)), _precision()),
        num_warps=warps,
        num_stages=stages,
    )
    if splits == 1:
        return parts[0].to(x.dtype)
    y = torch.empty(batch, n, dtype=x.dtype, device=x.device)
    _sum[(triton.cdiv(y.numel(), 32),)](
        *(parts, y, y.numel(), splits, triton.next_power_of_2(splits), 32), num_warps=1
    )
    return y


def backward(x: Tensor, w: Tensor, g: Tensor, dw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of :func:`forward` for x (B, P), w (N, P), into ``dw``, and the bias (N,).

    N is at most :data:`COLUMNS`; ``dw`` may be w itself; x and g (B, N) are contiguous. The
    bias' is in float32.
    """
    (batch, p), n = x.shape, w.shape[0]
    dx, db = torch.empty_like(x), torch.empty(n, dtype=torch.float32, device=x.device)
    _backward[(triton.cdiv(p, BLOCK),)](
        *(x, w, g, dx, dw, db, batch, p, *w.stride(), *dw.stride()),
        *(n, 32, BLOCK, COLUMNS, _precision()),
        num_warps=4,
        num_stages=3,
    )
    return dx, dw, db


def khatri_rao(matrices: Sequence[Tensor]) -> Tensor:
    """The Khatri-Rao product of two or three matrices (I, R), as the transpose of (R, I J K)."""
    (a, b, c), (i, j, k) = _three(matrices)
    columns, size = a.shape[1], i * j * k
    out = torch.empty(columns, size, dtype=a.dtype, device=a.device)
    _khatri_rao[columns, triton.cdiv(size, 1024)](
        *(a, b, c, out, size, columns, j, k, *a.stride(), *b.stride(), *c.stride()),
        *(len(matrices) == 3, 1024),
        num_warps=2,
    )
    return out.T


def khatri_rao_backward(matrices: Sequence[Tensor], g: Tensor) -> list[Tensor]:
    """The gradients of :func:`khatri_rao`'s matrices, from that of the product (I J K, R)."""
    (a, b, c), (i, j, k) = _three(matrices)
    columns = a.shape[1]
    grads = [torch.empty(matrix.shape, dtype=a.dtype, device=a.device) for matrix in matrices]
    blocks = [triton.next_power_of_2(size) for size in (i, j, k)]
    # A multiprocessor runs few large programs or many small ones.
    many = columns >= 2 * PROGRAMS and blocks[1] * blocks[2] <= 1024
    tile, warps = (2048, 1) if many else (16384, 8)
    each = 4 if columns >= 16 * PROGRAMS else 1  # neighbors in memory, where there are enough
    _khatri_rao_backward[(triton.cdiv(columns, each),)](
        *(a, b, c, g.T.contiguous(), *(*grads, a)[:3], columns, i, j, k),
        *(*a.stride(), *b.stride(), *c.stride(), len(matrices) == 3, each),
        *(max(1, min(blocks[0], tile // (blocks[1] * blocks[2]))), *blocks[1:]),
        num_warps=warps,
    )
    return grads


def _three(matrices: Sequence[Tensor]) -> tuple[list[Tensor], list[int]]:
    """Three matrices, of which the last counts for nothing where two were given; their rows."""
    three = [*matrices, matrices[0]][:3]
    rows = [*(matrix.shape[0] for matrix in matrices), 1][:3]
    return three, rows


def kronecker_backward(matrices: Sequence[Tensor], g: Tensor) -> list[Tensor]:
    """The gradients of (I, J) and (K, L) from that of their Kronecker product, (I K, J L)."""
    a, b = (matrix.contiguous() for matrix in matrices)
    g, da, db = g.contiguous(), torch.empty_like(a), torch.empty_like(b)
    _kronecker_backward[(a.numel() + b.numel(),)](
        *(a, b, g, da, db, *a.shape, *b.shape, 64), num_warps=2
    )
    return [da, db]


def _precision() -> str:
    return FAST if torch.backends.cuda.matmul.allow_tf32 else PRECISE
