"""The work that each path of each factorization does, step by step.

A path is a list of steps of the forward pass, and the elements that it holds
beside the batch, the output and the factors. Every count is a constant plus a multiple of the batch
size.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from trlkit.contraction.orders import (
    NARROW,
    batched,
    best_split,
    expansion_order,
    first_group,
    in_order,
    projection_order,
    tt_split,
    turned,
)


class Work(NamedTuple):
    """One step: floating-point operations, elements moved, kernels forward and backward.

    Operations and elements are those of the forward pass; the backward pass of a
    product is two products. A step that one kind of device alone takes names it, or
    :data:`UNGRAPHED`.
    """

    flops: int
    elements: int
    kernels: int = 1
    backward: int = 2
    only: str = ""


# A CUDA graph has fewer kernels, and some of them run beside others.
UNGRAPHED = "ungraphed"

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
        Whether gradients for the factors are needed: they decide how a batch is read.

    Returns
    -------
    dict of path to (steps of one forward pass, elements held)
    """
    p, n, shape = math.prod(inputs), math.prod(outputs), inputs + outputs
    cut = best_split(shape)
    left, held_left = _merge(shape[:cut], rank, training)
    right, held_right = _merge(shape[cut:], rank, training)
    columns, rows = math.prod(shape[:cut]), math.prod(shape[cut:])
    build = [*left, *right, _gemm(columns, rank, rows)]
    rebuild = [*build, *_multiply(batch, p, n)], held_left + held_right + p * n

    merged, held = _merge(inputs, rank, training)
    ends, held_ends = _merge(outputs, rank, training)
    together = (
        [*merged, *ends, *_multiply(batch, p, rank), *_last(batch, rank, n)],
        held + held_ends + batch * rank,
    )

    start, stop = first_group(inputs)
    group, rest = inputs[start:stop], inputs[:start] + inputs[stop:]
    merged, held = _merge(group, rank, training)
    others, held_others = _merge(rest, rank, training)
    size, remaining = math.prod(group), math.prod(rest)
    if start == 0:
        product, held_product = _product(batch, size, remaining, rank, training)
    else:
        product, held_product = _multiply(batch * remaining, size, rank), 0
    steps = [*merged, *others, *ends, *product]
    held += held_others + held_ends + held_product + batch * rank
    if remaining > 1:
        between = batch * remaining * rank
        steps.append(Work(2 * between, 3 * between, 2, 3))
        held += 2 * between
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
        Whether gradients for the factors are needed: they decide how a batch is read.

    Returns
    -------
    dict of path to (steps of one forward pass, elements held)
    """
    p, n, split = math.prod(inputs), math.prod(outputs), len(inputs)
    rho, sigma = math.prod(rank[:split]), math.prod(rank[split:])
    build, held = _expansion(1, inputs + outputs, rank, training)
    rebuild = [*build, *_multiply(batch, p, n)], held

    current, projection, held = list(inputs), [], 0
    for start, stop, size, r in projection_order(inputs, rank[:split]):
        before, after = math.prod(current[:start]), math.prod(current[stop:])
        steps, held_step = _product(batch * before, size, after, r, training)
        projection += [*_kronecker(stop - start, size * r), *steps]
        held += held_step + batch * before * r * after
        current[start:stop] = [r] + [1] * (stop - start - 1)
    expand, held_expand = _expansion(batch, outputs, rank[split:], training)
    held_expand += batch * sigma - (batch * n if outputs else 0)
    fold, held_fold = _expansion(rho, outputs, rank[split:], training)
    merge, held_merge = _merge_inputs(inputs, rank[:split], sigma, training)
    return {
        "rebuild": rebuild,
        "merged": ([*merge, *by_rows(batch, p, sigma), *expand], held_merge + held_expand),
        "project": ([*projection, _gemm(batch, rho, sigma), *expand], held + held_expand),
        "project_folded": ([*projection, *fold, *_multiply(batch, rho, n)], held + held_fold),
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
        Whether gradients for the factors are needed: they decide how a batch is read.

    Returns
    -------
    dict of path to (steps of one forward pass, elements held)
    """
    p, n, split, shape = math.prod(inputs), math.prod(outputs), len(inputs), inputs + outputs
    bond, cut = rank[split], tt_split(shape, rank)
    build, held = _tt_build(shape, rank, cut)
    rebuild = [*build, *_multiply(batch, p, n)], held + p * n
    left, held_left = _tt_left(inputs, rank[: split + 1])
    right, held_right = _tt_right(outputs, rank[split:])
    last = _last(batch, bond, n) if outputs else []
    merged = (
        [*left, *right, *_multiply(batch, p, bond), *last],
        held_left + held_right + batch * bond,
    )

    steps, held, rest = [Work(0, 0, 1, 1)], 0, p  # the bias is no part of a product here
    for mode, size in enumerate(inputs):
        if mode and not (
            batch == 1 or batched(rank[mode - 1] * inputs[mode - 1], rank[mode], rest, training)
        ):
            steps.append(Work(0, 2 * batch * rest * rank[mode], 1, 1))  # swap its modes back
        rest //= size
        product, held_step = _product(batch, rank[mode] * size, rest, rank[mode + 1], training)
        steps += product
        held += held_step + batch * rest * rank[mode + 1]
    rows = batch
    for mode, size in enumerate(outputs, start=split):
        steps.append(_gemm(rows, rank[mode], size * rank[mode + 1]))
        rows *= size
        held += rows * rank[mode + 1] if mode + 1 < split + len(outputs) else 0
    return {"rebuild": rebuild, "merged": merged, "left_to_right": (steps, held)}


def _gemm(m: int, k: int, n: int) -> Work:
    return Work(2 * m * k * n, m * k + k * n + m * n)


def _last(m: int, k: int, n: int) -> list[Work]:
    """The product that follows one with the batch; in a graph its matrix' gradient is beside."""
    return [_gemm(m, k, n)._replace(backward=1), Work(0, 0, 0, 1, UNGRAPHED)]


def by_rows(m: int, k: int, n: int) -> list[Work]:
    """The product of (m, k) with n rows of k entries: slower on a CPU where n is small.

    Parameters
    ----------
    m, k, n : int

    Returns
    -------
    list of Work
    """
    again = [Work(0, m * k, 0, 0, "cpu")] if n < NARROW else []
    return [*again, _gemm(m, k, n)]


def _multiply(m: int, k: int, n: int) -> list[Work]:
    """(m, k) x (k, n), as :func:`trlkit.contraction.paths.multiply` runs it."""
    if turned(n, m):
        return [Work(0, 6 * k * n, 1, 1, "cpu"), *by_rows(m, k, n)]
    again = [Work(0, 8 * m * k, 0, 0, "cpu")] if n < NARROW else []
    return [*again, _gemm(m, k, n)]


def _merge(sizes: Sequence[int], rank: int, training: bool) -> tuple[list[Work], int]:
    """A Khatri-Rao product, and the elements that it holds.

    Its backward pass multiplies the gradient elementwise: a third tensor of its size.
    """
    if len(sizes) < 2:
        return [], 0
    elements = math.prod(sizes) * rank
    held = elements + elements // 2 if training else elements
    # Backward, each product is two, and each of them is summed over the other's rows. In a graph
    # a kernel joins three factors, and another makes all their gradients.
    count = len(sizes) - 1
    joined = (count + 1) // 2
    more = Work(0, 0, count - joined, 4 * count - joined, UNGRAPHED)
    return [Work(elements, 2 * elements, joined, joined), more], held


def _kronecker(count: int, elements: int) -> list[Work]:
    """The Kronecker product of the factors of a group, with so many elements."""
    return [Work(elements, 2 * elements, count - 1, 4 * (count - 1))] if count > 1 else []


def _product(batch: int, size: int, rest: int, rank: int, training: bool) -> tuple[list[Work], int]:
    """(batch, size, rest) x (size, rank), and what it holds beside the result.

    A plan counts what is held twice in training, for its gradient. What is held
    here is one tensor, with no gradient beside it, and so counts half.
    """
    if rest == 1:
        return _multiply(batch, size, rank), 0
    steps = [_gemm(batch * rest, size, rank)]
    if batch == 1 or batched(size, rank, rest, training):
        gradients = batch * size * rank if training and batch > 1 else 0
        return [*steps, Work(0, gradients, 0, 2)], gradients // 2
    copy = batch * size * rest
    return [*steps, Work(0, 2 * copy, 1, 1)], copy // 2 if training else copy


def _expansion(
    rows: int, sizes: Sequence[int], rank: Sequence[int], training: bool
) -> tuple[list[Work], int]:
    """Expand (rows, *rank) to (rows, *sizes); the elements held are the intermediates'."""
    current, steps, held = list(rank), [], 0
    for start, stop, size, r in expansion_order(sizes, rank):
        before, after = math.prod(current[:start]), math.prod(current[stop:])
        product, held_step = _product(rows * before, r, after, size, training)
        steps += [*_kronecker(stop - start, size * r), *product]
        current[start:stop] = [size] + [1] * (stop - start - 1)
        held += held_step + rows * math.prod(current)
    return steps, held


def _merge_inputs(
    sizes: Sequence[int], rank: Sequence[int], rows: int, training: bool
) -> tuple[list[Work], int]:
    """Merge a Tucker core (*rank, rows) with its input factors to (rows, product of sizes)."""
    if not in_order(sizes, rank):
        copied = rows * math.prod(rank)
        steps, held = _expansion(rows, sizes, rank, training)
        return [Work(0, 2 * copied), *steps], copied + held
    elements, before = rows * math.prod(rank[1:]) * sizes[0], 1
    steps, held = [_gemm(elements // sizes[0], rank[0], sizes[0])], elements
    for size, r in zip(sizes[1:], rank[1:], strict=True):
        product, held_step = _product(before, r, elements // (before * r), size, training)
        steps += product
        elements, before = elements // r * size, before * size
        held += held_step + elements
    if training:
        # Beside the results, gradients of no more than two of them are held at once.
        held = (held + elements) // 2
    return ([*steps, Work(0, 2 * elements)] if len(sizes) > 1 else steps), held


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
