"""Contract a batch with the factors of a weight, without or with rebuilding it.

Each function runs the paths that :mod:`trlkit.contraction.costs` compares; all give the
same values. They are a few large matrix products on views of the batch, and
nothing in them depends on data, so they compile and export whole.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trlkit.contraction import narrow
from trlkit.contraction.orders import (
    NARROW,
    NOMINAL_BATCH,
    batched,
    best_split,
    expansion_order,
    first_group,
    in_order,
    projection_order,
    tt_split,
    turned,
)
from trlkit.contraction.pairs import khatri_rao, kronecker, product
from trlkit.tensors import sizes_of

Masks = Sequence[Tensor | None]


Matrices = tuple[Tensor, Tensor | None]


def through(
    x: Tensor,
    matrices: Matrices,
    output_shape: Sequence[int],
    bias: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Contract every mode but the batch's by one matrix product, or by two.

    Parameters
    ----------
    x : Tensor of shape (B, *input_shape)
    matrices : (Tensor of shape (P, K), Tensor of shape (N, K) or None)
        For P inputs and N outputs; without the second, K is N.
    output_shape : sequence of int
    bias : Tensor of shape output_shape, optional
    mask : Tensor of shape (B, K), optional
        What is between the two products is multiplied by it.

    Returns
    -------
    Tensor of shape (B, *output_shape)

    Examples
    --------
    >>> through(torch.ones(2, 3, 4), (torch.ones(12, 6), torch.ones(5, 6)), (5,)).shape
    torch.Size([2, 5])
    """
    matrix, out = matrices
    rows = x.reshape(x.shape[0], sizes_of(matrix)[0])
    if out is None:
        y = multiply(rows, matrix, bias)  # (B, P) x (P, N) -> (B, N)
    else:
        z = multiply(rows, matrix)  # (B, P) x (P, K) -> (B, K)
        y = linear_rows(z if mask is None else z * mask, out, bias)  # (B, K) x (N, K) -> (B, N)
    return y.reshape(x.shape[0], *output_shape)


def contract_dense(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Contract every mode but the batch's with a full weight, by one matrix product.

    Parameters
    ----------
    x : Tensor of shape (B, *input_shape)
    weight : Tensor of shape (*input_shape, *output_shape)
    bias : Tensor of shape output_shape, optional

    Returns
    -------
    Tensor of shape (B, *output_shape)

    Notes
    -----
    The tensor regression layer of Kossaifi et al., "Tensor Regression Networks",
    JMLR 21 (2020).

    Examples
    --------
    >>> contract_dense(torch.ones(2, 3, 4), torch.ones(3, 4, 5)).shape
    torch.Size([2, 5])
    """
    n_inputs = x.ndim - 1
    return through(x, as_matrix(weight, n_inputs), sizes_of(weight)[n_inputs:], bias)


def as_matrix(weight: Tensor, n_inputs: int) -> Matrices:
    """A full weight as what :func:`through` takes.

    Examples
    --------
    >>> as_matrix(torch.ones(3, 4, 5), n_inputs=2)[0].shape
    torch.Size([12, 5])
    """
    sizes = sizes_of(weight)
    return weight.reshape(math.prod(sizes[:n_inputs]), math.prod(sizes[n_inputs:])), None


def as_rows(weight: Tensor, n_inputs: int) -> Tensor:
    """Lay a full weight out as the weight of a linear layer.

    Parameters
    ----------
    weight : Tensor of shape (*input_shape, *output_shape)
    n_inputs : int
        How many of the first modes are inputs.

    Returns
    -------
    Tensor of shape (N, P)
        On the CPU in row-major memory where N is small: products with a narrow
        matrix take less time in this layout.

    Examples
    --------
    >>> as_rows(torch.ones(3, 4, 5), n_inputs=2).shape
    torch.Size([5, 12])
    """
    sizes = sizes_of(weight)
    n = math.prod(sizes[n_inputs:])
    rows = weight.reshape(math.prod(sizes[:n_inputs]), n).T
    return rows.contiguous() if weight.device.type == "cpu" and n < NARROW else rows


def multiply(rows: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """(B, P) x (P, N) -> (B, N), plus a bias of N entries in any shape, in one product.

    On the CPU few columns are first laid out as rows, where the batch is worth that copy.

    Examples
    --------
    >>> multiply(torch.ones(2, 3), torch.ones(3, 4)).shape
    torch.Size([2, 4])
    """
    few = matrix.device.type == "cpu" and turned(sizes_of(matrix)[1], planned_batch(rows.shape[0]))
    return linear_rows(rows, matrix.T.contiguous() if few else matrix.T, bias)


def planned_batch(batch: object) -> int:
    """A batch size to decide by: a nominal one where a decision would bind a captured program.

    Examples
    --------
    >>> planned_batch(8), planned_batch(torch.tensor(8))
    (8, 32)
    """
    known = isinstance(batch, int) and not torch.compiler.is_exporting()
    return batch if known else NOMINAL_BATCH


def linear_rows(rows: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """(B, P) x (N, P) -> (B, N), plus a bias of N entries in any shape.

    Examples
    --------
    >>> linear_rows(torch.ones(2, 3), torch.ones(4, 3)).shape
    torch.Size([2, 4])
    """
    bias = None if bias is None else bias.reshape(sizes_of(matrix)[0])
    if narrow.fits(rows, matrix):
        return narrow.linear(rows, matrix, bias)
    if bias is not None and narrow.adds_apart(rows, matrix):
        y = rows @ matrix.T
        return y + bias.to(y.dtype)
    return torch.nn.functional.linear(rows, matrix, bias)


def cp_dense(factors: Sequence[Tensor]) -> Tensor:
    """Build the full weight of CP factors (I_k, R) by one matrix product.

    Parameters
    ----------
    factors : sequence of Tensor of shape (I_k, R)

    Returns
    -------
    Tensor of shape (I_0, ..., I_N)

    Notes
    -----
    The sum over r of the outer products of the columns r: Kolda and Bader (2009), section 3.

    Examples
    --------
    >>> cp_dense([torch.ones(2, 3), torch.ones(4, 3)])
    tensor([[3., 3., 3., 3.],
            [3., 3., 3., 3.]])
    """
    shape = [sizes_of(factor)[0] for factor in factors]
    if len(factors) == 1:
        return factors[0].sum(1)
    cut = best_split(shape)
    left, right = khatri_rao(factors[:cut]), khatri_rao(factors[cut:])
    return product(left, right.T).reshape(shape)  # (I_0 .., R) x (R, .. I_N)


def tucker_dense(core: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """Build the full weight of a Tucker core and factors (I_k, R_k).

    Parameters
    ----------
    core : Tensor of shape (R_0, ..., R_N)
    factors : sequence of Tensor of shape (I_k, R_k)

    Returns
    -------
    Tensor of shape (I_0, ..., I_N)

    Notes
    -----
    The core multiplied along every mode: Kolda and Bader (2009), section 4.

    Examples
    --------
    >>> tucker_dense(torch.ones(2, 2), [torch.ones(1, 2), torch.ones(3, 2)])
    tensor([[4., 4., 4.]])
    """
    return _expand(core.unsqueeze(0), factors).squeeze(0)


def tt_dense(cores: Sequence[Tensor]) -> Tensor:
    """Build the full weight of TT cores (R_k, I_k, R_{k+1}).

    Parameters
    ----------
    cores : sequence of Tensor of shape (R_k, I_k, R_{k+1}), with R_0 = 1 and the last bond 1

    Returns
    -------
    Tensor of shape (I_0, ..., I_N)

    Notes
    -----
    Oseledets, "Tensor-Train Decomposition", SIAM J. Sci. Comput. 33 (2011).

    Examples
    --------
    >>> tt_dense([torch.ones(1, 2, 3), torch.ones(3, 2, 1)])
    tensor([[3., 3.],
            [3., 3.]])
    """
    shape = [sizes_of(core)[1] for core in cores]
    cut = tt_split(shape, [*[sizes_of(core)[0] for core in cores], 1])
    weight = _merge_left(cores[:cut])
    if cut < len(cores):
        weight = product(weight, _merge_right(cores[cut:]))  # (I_0 .., R) x (R, .. I_N)
    return weight.reshape(shape)


def contract_cp(
    x: Tensor,
    factors: Sequence[Tensor],
    path: str,
    bias: Tensor | None = None,
    masks: Masks | None = None,
) -> Tensor:
    """Contract a batch with a CP weight.

    Parameters
    ----------
    x : Tensor of shape (B, *input_shape)
    factors : sequence of Tensor of shape (I_k, R)
        Those of the input modes, then those of the output modes.
    path : {"rebuild", "khatri_rao", "mode_by_mode"}
    bias : Tensor of shape output_shape, optional
    masks : sequence of one Tensor of shape (B, R), optional
        What each sample's components are multiplied by; not when rebuilding.

    Returns
    -------
    Tensor of shape (B, *output_shape)

    Examples
    --------
    >>> x, factors = torch.ones(2, 3, 4), [torch.ones(size, 6) for size in (3, 4, 5)]
    >>> contract_cp(x, factors, "mode_by_mode").shape
    torch.Size([2, 5])
    """
    batch, inputs, outputs = x.shape[0], factors[: x.ndim - 1], factors[x.ndim - 1 :]
    output_shape = [sizes_of(factor)[0] for factor in outputs]
    mask = None if masks is None else masks[0]
    if path != "mode_by_mode":
        return through(x, cp_matrices(factors, x.ndim - 1, path), output_shape, bias, mask)
    sizes = [sizes_of(factor)[0] for factor in inputs]
    start, stop = first_group(sizes)
    matrix = khatri_rao(inputs[start:stop])  # (G, R)
    group, rest = math.prod(sizes[start:stop]), [*inputs[:start], *inputs[stop:]]
    remaining = math.prod(sizes) // group
    if start == 0:
        z = _project(x.reshape(batch, group, remaining), matrix)  # (B, G, S) -> (B, R, S)
    else:
        z = x.reshape(batch * remaining, group)
        z = multiply(z, matrix).reshape(batch, remaining, sizes_of(matrix)[1])
        z = z.transpose(1, 2)  # (B S, G) x (G, R) -> (B, R, S)
    if rest:
        scale = khatri_rao(rest)  # (S, R)
        if z.stride(2) != 1:  # then as z lies in memory, which is much larger
            scale = scale.contiguous()
        z = (z * scale.T).sum(2)  # (B, R)
    else:
        z = z.squeeze(2)
    if mask is not None:
        z = z * mask
    if not outputs:
        y = z.sum(1)  # (B, R) -> (B,)
        return y if bias is None else y + bias
    y = linear_rows(z, khatri_rao(outputs), bias)  # (B, R) x (N, R) -> (B, N)
    return y.reshape(batch, *output_shape)


def cp_matrices(factors: Sequence[Tensor], n_inputs: int, path: str) -> Matrices:
    """What :func:`through` takes of a CP weight, on the paths that are one or two products.

    Parameters
    ----------
    factors : sequence of Tensor of shape (I_k, R)
    n_inputs : int
        How many of the first modes are inputs.
    path : {"rebuild", "khatri_rao"}

    Returns
    -------
    (Tensor of shape (P, K), Tensor of shape (N, K) or None)

    Examples
    --------
    >>> factors = [torch.ones(size, 6) for size in (3, 4, 5)]
    >>> [matrix.shape for matrix in cp_matrices(factors, 2, "khatri_rao")]
    [torch.Size([12, 6]), torch.Size([5, 6])]
    """
    if path == "rebuild":
        return as_matrix(cp_dense(factors), n_inputs)
    outputs = factors[n_inputs:]
    out = khatri_rao(outputs) if outputs else torch.ones_like(factors[0][:1])
    return khatri_rao(factors[:n_inputs]), out


def contract_tucker(
    x: Tensor,
    core: Tensor,
    factors: Sequence[Tensor],
    path: str,
    bias: Tensor | None = None,
    masks: Masks | None = None,
) -> Tensor:
    """Contract a batch with a Tucker weight.

    Parameters
    ----------
    x : Tensor of shape (B, *input_shape)
    core : Tensor of shape (R_0, ..., R_N)
    factors : sequence of Tensor of shape (I_k, R_k)
        Those of the input modes, then those of the output modes.
    path : {"rebuild", "merged", "project", "project_folded"}
    bias : Tensor of shape output_shape, optional
    masks : sequence of (Tensor of shape (B, R_k) or None), optional
        What each sample's ranks are multiplied by; with "project" alone.

    Returns
    -------
    Tensor of shape (B, *output_shape)

    Examples
    --------
    >>> factors = [torch.ones(3, 2), torch.ones(4, 1), torch.ones(5, 6)]
    >>> contract_tucker(torch.ones(8, 3, 4), torch.ones(2, 1, 6), factors, "project").shape
    torch.Size([8, 5])
    """
    n_inputs = x.ndim - 1
    inputs, outputs = factors[:n_inputs], factors[n_inputs:]
    output_shape = [sizes_of(factor)[0] for factor in outputs]
    if path == "rebuild" or (path == "merged" and len(outputs) < 2):
        return through(x, tucker_matrices(core, factors, n_inputs, path), output_shape, bias)
    batch, rank = x.shape[0], sizes_of(core)
    masks = [None] * core.ndim if masks is None else masks
    if path == "merged":
        matrix = _merge_inputs(core, inputs)  # (sigma, P)
        y = linear_rows(x.reshape(batch, sizes_of(matrix)[1]), matrix)  # (B, P) -> (B, sigma)
    else:
        z = _masked(project(x, inputs), masks[:n_inputs])
        rho = math.prod(rank[:n_inputs])
        z = z.reshape(batch, rho)  # (B, rho)
        if path == "project_folded":
            folded = _expand(core.reshape(rho, *rank[n_inputs:]), outputs)
            matrix = folded.reshape(rho, math.prod(output_shape))
            y = multiply(z, matrix, bias)  # (B, rho) x (rho, N) -> (B, N)
            return y.reshape(batch, *output_shape)
        y = z @ core.reshape(rho, math.prod(rank[n_inputs:]))  # (B, rho) -> (B, sigma)
    y = _masked(y.reshape(batch, *rank[n_inputs:]), masks[n_inputs:])
    if len(outputs) == 1:
        return linear_rows(y, outputs[0], bias)
    y = _expand(y, outputs)  # (B, O_0, ..)
    return y if bias is None else y + bias


def tucker_matrices(core: Tensor, factors: Sequence[Tensor], n_inputs: int, path: str) -> Matrices:
    """What :func:`through` takes of a Tucker weight, on the paths that are one or two products.

    Parameters
    ----------
    core : Tensor of shape (R_0, ..., R_N)
    factors : sequence of Tensor of shape (I_k, R_k)
    n_inputs : int
        How many of the first modes are inputs.
    path : {"rebuild", "merged"}
        Merged, with one output mode at most.

    Returns
    -------
    (Tensor of shape (P, K), Tensor of shape (N, K) or None)

    Examples
    --------
    >>> factors = [torch.ones(3, 2), torch.ones(4, 1), torch.ones(5, 6)]
    >>> [matrix.shape for matrix in tucker_matrices(torch.ones(2, 1, 6), factors, 2, "merged")]
    [torch.Size([12, 6]), torch.Size([5, 6])]
    """
    if path == "rebuild":
        return as_matrix(tucker_dense(core, factors), n_inputs)
    outputs = factors[n_inputs:]
    return _merge_inputs(core, factors[:n_inputs]).T, outputs[0] if outputs else None


def contract_tt(
    x: Tensor,
    cores: Sequence[Tensor],
    path: str,
    bias: Tensor | None = None,
    masks: Masks | None = None,
) -> Tensor:
    """Contract a batch with a TT weight.

    Parameters
    ----------
    x : Tensor of shape (B, *input_shape)
    cores : sequence of Tensor of shape (R_k, I_k, R_{k+1})
        Those of the input modes, then those of the output modes.
    path : {"rebuild", "merged", "left_to_right"}
    bias : Tensor of shape output_shape, optional
    masks : sequence of (Tensor of shape (B, R_{k+1}) or None), optional
        What each sample's inner bonds are multiplied by; with "left_to_right" alone.

    Returns
    -------
    Tensor of shape (B, *output_shape)

    Examples
    --------
    >>> cores = [torch.ones(1, 3, 2), torch.ones(2, 4, 2), torch.ones(2, 5, 1)]
    >>> contract_tt(torch.ones(8, 3, 4), cores, "left_to_right").shape
    torch.Size([8, 5])
    """
    batch, inputs, outputs = x.shape[0], cores[: x.ndim - 1], cores[x.ndim - 1 :]
    sizes = [sizes_of(core)[1] for core in inputs]
    output_shape = [sizes_of(core)[1] for core in outputs]
    if path != "left_to_right":
        return through(x, tt_matrices(cores, x.ndim - 1, path), output_shape, bias)
    masks = [None] * (len(cores) - 1) if masks is None else masks
    z, rest = x, math.prod(sizes)
    for bond, (core, size) in enumerate(zip(inputs, sizes, strict=True)):
        rest //= size
        before, _, after = sizes_of(core)
        z = z.reshape(batch, before * size, rest)  # (B, a I, S)
        z = _project(z, core.reshape(before * size, after))  # (B, b, S)
        if bond < len(masks) and masks[bond] is not None:
            z = z * masks[bond].unsqueeze(2)
    z, rows = z.squeeze(2), 1  # (B, a)
    for bond, core in enumerate(outputs, start=len(inputs)):
        before, size, after = sizes_of(core)
        z = z.reshape(batch * rows, before) @ core.reshape(before, size * after)
        rows = rows * size  # (B rows, O b) -> (B, rows O, b)
        z = z.reshape(batch, rows, after)
        if bond < len(masks) and masks[bond] is not None:
            z = z * masks[bond].unsqueeze(1)
    y = z.reshape(batch, *output_shape)
    return y if bias is None else y + bias


def tt_matrices(cores: Sequence[Tensor], n_inputs: int, path: str) -> Matrices:
    """What :func:`through` takes of a TT weight, on the paths that are one or two products.

    Parameters
    ----------
    cores : sequence of Tensor of shape (R_k, I_k, R_{k+1})
    n_inputs : int
        How many of the first modes are inputs.
    path : {"rebuild", "merged"}

    Returns
    -------
    (Tensor of shape (P, K), Tensor of shape (N, K) or None)

    Examples
    --------
    >>> cores = [torch.ones(1, 3, 2), torch.ones(2, 4, 6), torch.ones(6, 5, 1)]
    >>> [matrix.shape for matrix in tt_matrices(cores, 2, "merged")]
    [torch.Size([12, 6]), torch.Size([5, 6])]
    """
    if path == "rebuild":
        return as_matrix(tt_dense(cores), n_inputs)
    outputs = cores[n_inputs:]
    return _merge_left(cores[:n_inputs]), _merge_right(outputs).T if outputs else None


def project(x: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """Project the modes after the batch's by the transposed factors, in the cheapest order.

    Parameters
    ----------
    x : Tensor of shape (B, I_0, ..., I_N)
    factors : sequence of Tensor of shape (I_k, R_k)

    Returns
    -------
    Tensor of shape (B, R_0, ..., R_N)

    Notes
    -----
    The tensor contraction layer of Kossaifi et al., "Tensor Contraction Layers for
    Parsimonious Deep Nets", CVPR workshops (2017).

    Examples
    --------
    >>> project(torch.ones(2, 3, 4), [torch.ones(3, 5), torch.ones(4, 1)]).shape
    torch.Size([2, 5, 1])
    """
    batch, shapes = x.shape[0], [sizes_of(factor) for factor in factors]
    sizes, rank = [size for size, _ in shapes], [r for _, r in shapes]
    for start, stop, size, r in projection_order(sizes, rank):
        before, after = math.prod(sizes[:start]), math.prod(sizes[stop:])
        x = x.reshape(batch * before, size, after)
        x = _project(x, kronecker(factors[start:stop]))  # (B A, I, S) -> (B A, R, S)
        sizes[start:stop] = [r] + [1] * (stop - start - 1)
    return x.reshape(batch, *rank)


def learns() -> bool:
    """Whether gradients may be asked for: also of a trace, whose checks run without them.

    Examples
    --------
    >>> with torch.no_grad():
    ...     learns()
    False
    """
    return torch.is_grad_enabled() or torch.jit.is_tracing()


def _project(x: Tensor, matrix: Tensor) -> Tensor:
    """(B, I, S) x (I, R) -> (B, R, S), with as few copies as may be."""
    batch, rest = x.shape[0], sizes_of(x)[2]
    size, rank = sizes_of(matrix)
    if rest == 1:
        return multiply(x.squeeze(2), matrix).unsqueeze(2)
    alone = not isinstance(batch, Tensor) and batch == 1  # a tensor while torch.jit.trace records
    if alone or batched(size, rank, rest, learns()):
        return torch.bmm(matrix.T.expand(batch, rank, size), x)
    return (x.transpose(1, 2) @ matrix).transpose(1, 2)


def _expand(x: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """(B, R_0, ..., R_N) with factors (I_k, R_k) -> (B, I_0, ..., I_N), in the cheapest order."""
    batch, shapes = x.shape[0], [sizes_of(factor) for factor in factors]
    sizes, current = [size for size, _ in shapes], [r for _, r in shapes]
    for start, stop, size, r in expansion_order(sizes, current):
        before, after = math.prod(current[:start]), math.prod(current[stop:])
        x = x.reshape(batch * before, r, after)
        x = _project(x, kronecker(factors[start:stop]).T)  # (B A, R, S) -> (B A, I, S)
        current[start:stop] = [size] + [1] * (stop - start - 1)
    return x.reshape(batch, *sizes)


def _merge_inputs(core: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """A Tucker core with the factors of its first modes, to a matrix (sigma, product of I_k)."""
    whole, sizes = sizes_of(core), [sizes_of(factor)[0] for factor in factors]
    rank, rows = whole[: len(factors)], math.prod(whole[len(factors) :])
    if core.is_cuda or not in_order(sizes, rank):  # a GPU is slow at many small products
        x = core.reshape(math.prod(rank), rows).T.reshape(rows, *rank)
        return _expand(x, factors).reshape(rows, math.prod(sizes))
    elements = math.prod(whole) // rank[0]
    x = core.reshape(rank[0], elements).T @ factors[0].T  # (R_1 .. sigma, I_0)
    elements, before = elements * sizes[0], 1
    for factor in factors[1:]:
        size, r = sizes_of(factor)
        x = _project(x.reshape(before, r, elements // (before * r)), factor.T)
        elements, before = elements // r * size, before * size
    return x.reshape(before, rows * sizes[0]).T.reshape(rows, math.prod(sizes))


def _merge_left(cores: Sequence[Tensor]) -> Tensor:
    """TT cores (R_k, I_k, R_{k+1}), the first bond 1, to a matrix (product of I_k, last bond)."""
    merged = cores[0].squeeze(0)  # (I, b)
    rows = sizes_of(cores[0])[1]
    for core in cores[1:]:
        _, size, bond = sizes_of(core)
        rows *= size
        merged = product(merged, core.flatten(1)).reshape(rows, bond)  # (I.., a) x (a, I b)
    return merged


def _merge_right(cores: Sequence[Tensor]) -> Tensor:
    """TT cores (R_k, I_k, R_{k+1}), the last bond 1, to a matrix (first bond, product of I_k)."""
    merged = cores[-1].squeeze(2)  # (a, I)
    columns = sizes_of(cores[-1])[1]
    for core in reversed(cores[:-1]):
        bond, size, _ = sizes_of(core)
        columns *= size
        merged = product(core.flatten(0, 1), merged).reshape(bond, columns)  # (a I, b) x (b, I..)
    return merged


def _masked(x: Tensor, masks: Masks) -> Tensor:
    """Multiply each mode k of (B, R_0, ...) by its mask (B, R_k)."""
    for mode, mask in enumerate(masks):
        if mask is not None:
            shape = [1] * (x.ndim - 1)
            shape[mode] = sizes_of(mask)[1]
            x = x * mask.reshape(mask.shape[0], *shape)
    return x
