"""The work that each path of each factorization does, step by step.

A path is a list of steps, and the elements that it holds beside the batch, the
output and the factors. Every count is a constant plus a multiple of the batch
size.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from trlkit.orders import best_split, expansion_order, first_group, projection_order, tt_split


class Work(NamedTuple):
    """One step: floating-point operations, elements read and written, kernels."""

    flops: int
    elements: int
    kernels: int = 1


Works = dict[str, tuple[list[Work], int]]


def cp_work(
    inputs: tuple[int, ...], outputs: tuple[int, ...], rank: int, batch: int, training: bool
) -> Works:
    """The work of every path to contract a batch with a CP weight.

    Parameters
    ----------
    inputs, outputs : tuple of int
        The shapes without the batch.
    rank : int
    batch : int
    training : bool
        Whether a transposed batch is copied, as a gradient for the factors needs it.

    Returns
    -------
    dict of path to (steps of one forward pass, elements held)
    """
    p, n, shape = math.prod(inputs), math.prod(outputs), inputs + outputs
    cut = best_split(shape)
    left, held_left = _merge(shape[:cut], rank)
    right, held_right = _merge(shape[cut:], rank)
    columns, rows = math.prod(shape[:cut]), math.prod(shape[cut:])
    build = [*left, *right, _gemm(columns, rank, rows)]
    rebuild = [*build, _gemm(batch, p, n)], held_left + held_right + p * n

    merged, held = _merge(inputs, rank)
    ends, held_ends = _merge(outputs, rank)
    together = (
        [*merged, *ends, _gemm(batch, p, rank), _gemm(batch, rank, n)],
        held + held_ends + batch * rank,
    )

    start, stop = first_group(inputs)
    group, rest = inputs[start:stop], inputs[:start] + inputs[stop:]
    merged, held = _merge(group, rank)
    others, held_others = _merge(rest, rank)
    size, remaining = math.prod(group), math.prod(rest)
    steps = [*merged, *others, *ends, _gemm(batch * remaining, size, rank)]
    held += held_others + held_ends + batch * rank
    if remaining > 1:
        between = batch * remaining * rank
        steps.append(Work(2 * between, 3 * between, 2))
        held += 2 * between
        if start == 0 and training:
            steps.append(Work(0, 2 * batch * p))
            held += batch * p
    return {
        "rebuild": rebuild,
        "khatri_rao": together,
        "mode_by_mode": ([*steps, _gemm(batch, rank, n)], held),
    }


def tucker_work(
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    rank: tuple[int, ...],
    batch: int,
    training: bool,
) -> Works:
    """The work of every path to contract a batch with a Tucker weight.

    Parameters
    ----------
    inputs, outputs : tuple of int
        The shapes without the batch.
    rank : tuple of int
    batch : int
    training : bool
        Whether a transposed batch is copied, as a gradient for the factors needs it.

    Returns
    -------
    dict of path to (steps of one forward pass, elements held)
    """
    p, n, split = math.prod(inputs), math.prod(outputs), len(inputs)
    rho, sigma = math.prod(rank[:split]), math.prod(rank[split:])
    build, held = _expansion(1, inputs + outputs, rank)
    rebuild = [*build, _gemm(batch, p, n)], held

    current, projection, held = list(inputs), [], 0
    for start, stop, size, r in projection_order(inputs, rank[:split]):
        others = batch * math.prod(current) // size
        projection.append(_gemm(others, size, r))
        if training and math.prod(current[stop:]) > 1:
            projection.append(Work(0, 2 * others * size))
            held += others * size
        current[start:stop] = [r] + [1] * (stop - start - 1)
        held += others * r
    expand, held_expand = _expansion(batch, outputs, rank[split:])
    fold, held_fold = _expansion(rho, outputs, rank[split:])
    return {
        "rebuild": rebuild,
        "project": (
            [*projection, _gemm(batch, rho, sigma), *expand],
            held + batch * sigma + held_expand - (batch * n if outputs else 0),
        ),
        "project_folded": ([*projection, *fold, _gemm(batch, rho, n)], held + held_fold),
    }


def tt_work(
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    rank: tuple[int, ...],
    batch: int,
    training: bool,
) -> Works:
    """The work of every path to contract a batch with a TT weight.

    Parameters
    ----------
    inputs, outputs : tuple of int
        The shapes without the batch.
    rank : tuple of int
    batch : int
    training : bool
        Whether a transposed batch is copied, as a gradient for the factors needs it.

    Returns
    -------
    dict of path to (steps of one forward pass, elements held)
    """
    p, n, split, shape = math.prod(inputs), math.prod(outputs), len(inputs), inputs + outputs
    bond, cut = rank[split], tt_split(shape, rank)
    build, held = _tt_build(shape, rank, cut)
    rebuild = [*build, _gemm(batch, p, n)], held + p * n
    left, held_left = _tt_left(inputs, rank[: split + 1])
    right, held_right = _tt_right(outputs, rank[split:])
    last = [_gemm(batch, bond, n)] if outputs else []
    merged = [*left, *right, _gemm(batch, p, bond), *last], held_left + held_right + batch * bond

    steps, held, rest = [], 0, p
    for mode, size in enumerate(inputs):
        rest //= size
        steps.append(_gemm(batch * rest, rank[mode] * size, rank[mode + 1]))
        held += batch * rest * rank[mode + 1]
        if training and rest > 1:
            steps.append(Work(0, 2 * batch * rest * size * rank[mode]))
            held += batch * rest * size * rank[mode]
    rows = batch
    for mode, size in enumerate(outputs, start=split):
        steps.append(_gemm(rows, rank[mode], size * rank[mode + 1]))
        rows *= size
        held += rows * rank[mode + 1] if mode + 1 < split + len(outputs) else 0
    return {"rebuild": rebuild, "merged": merged, "left_to_right": (steps, held)}


def _gemm(m: int, k: int, n: int) -> Work:
    return Work(2 * m * k * n, m * k + k * n + m * n)


def _merge(sizes: Sequence[int], rank: int) -> tuple[list[Work], int]:
    """A Khatri-Rao product, and the elements that it holds."""
    if len(sizes) < 2:
        return [], 0
    elements = math.prod(sizes) * rank
    return [Work(elements, 2 * elements, len(sizes) - 1)], elements


def _expansion(rows: int, sizes: Sequence[int], rank: Sequence[int]) -> tuple[list[Work], int]:
    """Expand (rows, *rank) to (rows, *sizes); the elements held are the intermediates'."""
    current, steps, held = list(rank), [], 0
    for mode in expansion_order(sizes, rank):
        others = rows * math.prod(current) // current[mode]
        steps.append(_gemm(others, rank[mode], sizes[mode]))
        current[mode] = sizes[mode]
        held += rows * math.prod(current)
    return steps, held


def _tt_left(sizes: Sequence[int], rank: Sequence[int]) -> tuple[list[Work], int]:
    """Merge cores from the left to (product of sizes, last bond)."""
    steps, held, rows = [], 0, sizes[0]
    for size, before, after in zip(sizes[1:], rank[1:], rank[2:], strict=False):
        steps.append(_gemm(rows, before, size * after))
        rows *= size
        held += rows * after
    return steps, held


def _tt_right(sizes: Sequence[int], rank: Sequence[int]) -> tuple[list[Work], int]:
    """Merge cores from the right to (first bond, product of sizes)."""
    return _tt_left(sizes[::-1], rank[::-1]) if sizes else ([], 0)


def _tt_build(shape: Sequence[int], rank: Sequence[int], cut: int) -> tuple[list[Work], int]:
    """Merge the cores on both sides of a bond, then both halves."""
    left, held_left = _tt_left(shape[:cut], rank[: cut + 1])
    if cut == len(shape):
        return left, held_left
    right, held_right = _tt_right(shape[cut:], rank[cut:])
    whole = _gemm(math.prod(shape[:cut]), rank[cut], math.prod(shape[cut:]))
    return [*left, *right, whole], held_left + held_right
