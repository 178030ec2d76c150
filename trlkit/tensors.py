"""The words of the field: unfoldings and products of tensors.

Modes are counted from 0 and unfoldings are row-major, as in tensorly: the
columns of an unfolding run over the remaining modes in their own order, the
last one fastest. Kolda and Bader ("Tensor Decompositions and Applications",
SIAM Review 51, 2009) count from 1 and let the first remaining mode run
fastest, so their Kronecker and Khatri-Rao products appear in reversed order.
"""

import math
import operator
import warnings
from collections.abc import Iterable, Sequence
from functools import reduce

import torch
from torch import Tensor


def unfold(x: Tensor, mode: int) -> Tensor:
    """Lay the fibers of one mode side by side as the columns of a matrix.

    Parameters
    ----------
    x : Tensor of shape (I_0, ..., I_N)
    mode : int
        The mode whose fibers become columns; a negative one counts from the end.

    Returns
    -------
    Tensor of shape (I_mode, product of the other sizes)

    Raises
    ------
    ValueError
        If ``x`` has no such mode.

    Notes
    -----
    Kolda and Bader (2009), section 2.4, with the remaining modes in row-major order.

    Examples
    --------
    >>> unfold(torch.arange(8).reshape(2, 2, 2), 1)
    tensor([[0, 1, 4, 5],
            [2, 3, 6, 7]])
    """
    mode = _mode(mode, x.ndim)
    rest = x.shape[:mode] + x.shape[mode + 1 :]
    return x.movedim(mode, 0).reshape(x.shape[mode], math.prod(rest))


def fold(matrix: Tensor, mode: int, shape: Sequence[int]) -> Tensor:
    """Undo :func:`unfold`: make a tensor of ``shape`` from its unfolding along ``mode``.

    Parameters
    ----------
    matrix : Tensor of shape (I_mode, product of the other sizes)
    mode : int
    shape : sequence of int
        (I_0, ..., I_N), the shape of the tensor.

    Returns
    -------
    Tensor of shape ``shape``

    Raises
    ------
    ValueError
        If ``matrix`` is not the unfolding of a tensor of that shape.

    Examples
    --------
    >>> x = torch.arange(24).reshape(2, 3, 4)
    >>> torch.equal(fold(unfold(x, 1), 1, (2, 3, 4)), x)
    True
    """
    shape = tuple(shape)
    mode = _mode(mode, len(shape))
    rest = shape[:mode] + shape[mode + 1 :]
    if matrix.shape != (shape[mode], math.prod(rest)):
        raise ValueError(
            f"the mode-{mode} unfolding of a tensor of shape {shape} is a matrix of shape "
            f"{(shape[mode], math.prod(rest))}, but the matrix is {tuple(matrix.shape)}"
        )
    return matrix.reshape(shape[mode], *rest).movedim(0, mode)


def mode_dot(x: Tensor, matrix: Tensor, mode: int) -> Tensor:
    """Multiply every fiber of one mode by a matrix, or by a vector.

    Parameters
    ----------
    x : Tensor of shape (I_0, ..., I_N)
    matrix : Tensor of shape (J, I_mode) or (I_mode,)
    mode : int

    Returns
    -------
    Tensor of x's shape with I_mode replaced by J
        With a vector the mode is gone.

    Raises
    ------
    ValueError
        If the last size of ``matrix`` is not ``I_mode``.

    Notes
    -----
    The mode-n product of Kolda and Bader (2009), section 2.5.

    Examples
    --------
    >>> mode_dot(torch.ones(2, 3), torch.ones(4, 3), mode=1).shape
    torch.Size([2, 4])
    """
    mode = _mode(mode, x.ndim)
    if matrix.ndim not in (1, 2) or matrix.shape[-1] != x.shape[mode]:
        raise ValueError(
            f"mode {mode} of x has size {x.shape[mode]}, so it takes a matrix of shape "
            f"(J, {x.shape[mode]}) or a vector ({x.shape[mode]},), got {tuple(matrix.shape)}"
        )
    product = torch.tensordot(x, matrix, dims=([mode], [matrix.ndim - 1]))
    return product.movedim(-1, mode) if matrix.ndim == 2 else product


def multi_mode_dot(
    x: Tensor, matrices: Sequence[Tensor], modes: Sequence[int] | None = None
) -> Tensor:
    """Multiply several modes, each by its own matrix.

    Parameters
    ----------
    x : Tensor of shape (I_0, ..., I_N)
    matrices : sequence of Tensor
        ``matrices[k]`` of shape (J_k, I_{modes[k]}).
    modes : sequence of int, optional
        Each mode at most once; by default 0, 1, ... in the order of ``matrices``.

    Returns
    -------
    Tensor of x's shape with I_{modes[k]} replaced by J_k

    Raises
    ------
    ValueError
        If a mode comes twice, or the numbers of matrices and modes differ.

    Examples
    --------
    >>> x = torch.ones(2, 3, 4)
    >>> multi_mode_dot(x, [torch.ones(5, 2), torch.ones(6, 4)], modes=[0, 2]).shape
    torch.Size([5, 3, 6])
    """
    modes = range(len(matrices)) if modes is None else modes
    if len(modes) != len(matrices):
        raise ValueError(f"{len(matrices)} matrices need as many modes, got modes={list(modes)}")
    modes = [_mode(mode, x.ndim) for mode in modes]
    if len(set(modes)) < len(modes):
        raise ValueError(f"each mode can be multiplied once, got modes={modes}")
    if any(matrix.ndim != 2 for matrix in matrices):
        shapes = [tuple(matrix.shape) for matrix in matrices]
        raise ValueError(f"every factor must be a matrix (J, I_mode), got the shapes {shapes}")
    for matrix, mode in zip(matrices, modes, strict=True):
        x = mode_dot(x, matrix, mode)
    return x


def inner(x: Tensor, y: Tensor, n_modes: int | None = None) -> Tensor:
    """Contract the last modes of ``x`` with the first modes of ``y``.

    Parameters
    ----------
    x : Tensor of shape (*batch, I_0, ..., I_N)
    y : Tensor of shape (I_0, ..., I_N, *outputs)
    n_modes : int, optional
        How many modes to contract; by default all of them, which must then agree.

    Returns
    -------
    Tensor of shape (*batch, *outputs)
        A scalar tensor when every mode is contracted.

    Raises
    ------
    ValueError
        If the contracted sizes differ.

    Notes
    -----
    With ``n_modes`` this is a whole tensor regression without its bias: Kossaifi
    et al., "Tensor Regression Networks", JMLR 21 (2020).

    Examples
    --------
    >>> inner(torch.ones(2, 3), torch.ones(2, 3))
    tensor(6.)
    >>> inner(torch.ones(8, 2, 3), torch.ones(2, 3, 10), n_modes=2).shape
    torch.Size([8, 10])
    """
    if n_modes is None:
        if x.shape != y.shape:
            raise ValueError(
                f"without n_modes both tensors must have one shape, got {tuple(x.shape)} "
                f"and {tuple(y.shape)}; with n_modes only that many modes are contracted"
            )
        n_modes = x.ndim
    if not 0 <= n_modes <= min(x.ndim, y.ndim):
        raise ValueError(
            f"n_modes={n_modes}, but x has {x.ndim} modes and y has {y.ndim}: "
            f"between 0 and {min(x.ndim, y.ndim)} can be contracted"
        )
    last, first = x.shape[x.ndim - n_modes :], y.shape[:n_modes]
    if last != first:
        raise ValueError(
            f"the last {n_modes} modes of x have sizes {tuple(last)}, "
            f"the first {n_modes} of y {tuple(first)}; they must be the same"
        )
    return torch.tensordot(x, y, dims=n_modes)


def outer(tensors: Iterable[Tensor]) -> Tensor:
    """Multiply every entry of each tensor with every entry of the others.

    Parameters
    ----------
    tensors : iterable of Tensor
        At least one. Vectors of sizes I_0, ..., I_N give a rank-1 tensor.

    Returns
    -------
    Tensor whose shape is the shapes of ``tensors``, one after the other

    Raises
    ------
    ValueError
        If there is no tensor.

    Examples
    --------
    >>> outer([torch.tensor([1, 2]), torch.tensor([1, 10, 100])])
    tensor([[  1,  10, 100],
            [  2,  20, 200]])
    """
    return reduce(lambda x, y: torch.tensordot(x, y, dims=0), _some(tensors, "outer"))


def kronecker(matrices: Iterable[Tensor]) -> Tensor:
    """Kronecker product of matrices (I_k, J_k): a matrix (prod I_k, prod J_k).

    Parameters
    ----------
    matrices : iterable of Tensor of shape (I_k, J_k)

    Returns
    -------
    Tensor of shape (product of I_k, product of J_k)
        The index of the last matrix runs fastest.

    Raises
    ------
    ValueError
        If there is no matrix, or one is not a matrix.

    Notes
    -----
    Kolda and Bader (2009), section 2.6.

    Examples
    --------
    >>> kronecker([torch.tensor([[1, 10]]), torch.tensor([[1, 2]])])
    tensor([[ 1,  2, 10, 20]])
    """
    return reduce(
        # Not torch.kron, which the ONNX exporter that traces does not know.
        lambda x, y: (x[:, None, :, None] * y[None, :, None, :]).flatten(0, 1).flatten(1, 2),
        _matrices(matrices, "kronecker"),
    )  # (I, 1, J, 1) * (1, K, 1, L) -> (IK, JL)


def khatri_rao(matrices: Iterable[Tensor]) -> Tensor:
    """Khatri-Rao product: the Kronecker product taken column by column.

    Parameters
    ----------
    matrices : iterable of Tensor of shape (I_k, R)
        All with the same number R of columns.

    Returns
    -------
    Tensor of shape (product of I_k, R)
        Column r is the Kronecker product of the columns r.

    Raises
    ------
    ValueError
        If there is no matrix, or the numbers of columns differ.

    Notes
    -----
    Kolda and Bader (2009), section 2.6.

    Examples
    --------
    >>> khatri_rao([torch.tensor([[1, 2], [10, 20]]), torch.tensor([[1, 1], [3, 5]])])
    tensor([[  1,   2],
            [  3,  10],
            [ 10,  20],
            [ 30, 100]])
    """
    matrices = _matrices(matrices, "khatri_rao")
    columns = [sizes_of(matrix)[1] for matrix in matrices]
    if len(set(columns)) > 1:
        raise ValueError(f"khatri_rao needs one number of columns, got {columns}")
    return reduce(
        lambda x, y: (x.unsqueeze(1) * y.unsqueeze(0)).flatten(0, 1),  # (I, J, R) -> (IJ, R)
        matrices,
    )


def sizes_of(x: Tensor) -> tuple[int, ...]:
    """The shape in plain numbers, also where ``torch.jit.trace`` makes tensors of the sizes.

    Examples
    --------
    >>> sizes_of(torch.ones(2, 3))
    (2, 3)
    """
    if not torch.jit.is_tracing():
        return tuple(x.shape)
    with warnings.catch_warnings():
        # That the sizes are constants of the trace is what is wanted.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return tuple(map(int, x.shape))


def _mode(mode: int, order: int) -> int:
    """``mode`` as an index from 0, or a ValueError."""
    mode = operator.index(mode)
    if not -order <= mode < order:
        modes = f"the modes 0 to {order - 1}" if order else "no modes"
        raise ValueError(f"mode={mode}, but the tensor has {modes}")
    return mode % order


def _some(tensors: Iterable[Tensor], name: str) -> list[Tensor]:
    tensors = list(tensors)
    if not tensors:
        raise ValueError(f"{name} needs at least one tensor, got none")
    return tensors


def _matrices(matrices: Iterable[Tensor], name: str) -> list[Tensor]:
    matrices = _some(matrices, name)
    for position, matrix in enumerate(matrices):
        if matrix.ndim != 2:
            raise ValueError(
                f"{name} multiplies matrices, but number {position} has shape {tuple(matrix.shape)}"
            )
    return matrices
