"""Triton kernels for a batch (B, P) and few rows of P numbers; imported where a GPU uses them."""

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
    x, w, bias, parts, batch, p, chunk,
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
        b = tl.load(w + column[None, :] * p + place[:, None], mask=inside, other=0.0)
        total = tl.dot(a, b, total, input_precision=PRECISION)
    if BIAS and tl.program_id(1) == 0:
        total += tl.load(bias + column, mask=column < N, other=0.0).to(tl.float32)[None, :]
    place = (tl.program_id(1) * batch + row[:, None]).to(tl.int64) * N + column[None, :]
    tl.store(parts + place, total, mask=(row[:, None] < batch) & (column[None, :] < N))


@triton.jit
def _backward(
    x, w, g, dx, dw, db, batch, p,
    N: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """One block of P for the whole batch, which is read once for both gradients."""
    place, column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, WIDE)
    own = (place[None, :] < p) & (column[:, None] < N)
    b = tl.load(w + column[:, None] * p + place[None, :], mask=own, other=0.0)  # (WIDE, BLOCK)
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
    tl.store(dw + column[:, None] * p + place[None, :], total, mask=own)
    if tl.program_id(0) == 0:
        tl.store(db + column, bias, mask=column < N)


def forward(x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
    """(B, P) x (N, P) -> (B, N), plus a bias (N,); all contiguous, N at most :data:`COLUMNS`."""
    (batch, p), n = x.shape, w.shape[0]
    rows = 64 if batch >= 64 else 16
    blocks = triton.cdiv(batch, rows)
    splits = max(1, min(64, PROGRAMS // blocks))
    chunk = triton.cdiv(triton.cdiv(p, splits), BLOCK) * BLOCK
    parts = torch.empty(splits, batch, n, dtype=torch.float32, device=x.device)
    _forward[blocks, splits](
        *(x, w, w if bias is None else bias, parts, batch, p, chunk),
        *(n, bias is not None, rows, BLOCK, COLUMNS, _precision()),
        num_warps=4,
        num_stages=4,
    )
    return (parts.sum(0) if splits > 1 else parts[0]).to(x.dtype)


def backward(x: Tensor, w: Tensor, g: Tensor, dw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of :func:`forward` for x (B, P), w (N, P), into ``dw``, and the bias (N,)."""
    (batch, p), n = x.shape, w.shape[0]
    dx, db = torch.empty_like(x), w.new_empty(n)
    _backward[(triton.cdiv(p, BLOCK),)](
        *(x, w, g, dx, dw, db, batch, p),
        *(n, 32, BLOCK, COLUMNS, _precision()),
        num_warps=4,
        num_stages=3,
    )
    return dx, dw, db


def _precision() -> str:
    return FAST if torch.backends.cuda.matmul.allow_tf32 else PRECISE
