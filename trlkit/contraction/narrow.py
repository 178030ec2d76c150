"""A linear layer of few outputs on a GPU, where the batch is read once in each direction.

A library's matrix product reads such a batch at a fraction of the memory's rate forward,
and twice backward: once for the gradient of the batch and once for that of the matrix.
"""

import functools
import types
import warnings

import torch
from torch import Tensor
from torch.autograd import forward_ad

MOST_OUTPUTS, LEAST_BATCH, LEAST_INPUTS = 16, 16, 1024
MOST_FORWARD = 128  # outputs in float32, whose gradients a library makes faster
FORWARD_MEMORY = 200_000  # bytes of shared memory that they take
# From here on the GPU, not Python, takes the time of a product that is not part of a graph.
LEAST_ELEMENTS = 2**23
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def runs_as_written(*tensors: Tensor) -> bool:
    """Whether a call is what it looks like: no trace, transform or mode stands between.

    Examples
    --------
    >>> runs_as_written(torch.ones(1)), runs_as_written(torch.ones(1, device="meta"))
    (True, True)
    """
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._are_functorch_transforms_active()
        and torch._C._len_torch_dispatch_stack() == 0
        and forward_ad._current_level < 0
        and all(type(tensor) in (Tensor, torch.nn.Parameter) for tensor in tensors)
        # In a backward pass the transform itself cannot be seen, but what it hands in can.
        and not any(map(torch._C._functorch.is_functorch_wrapped_tensor, tensors))
        and not any(map(torch._C._functorch.is_legacy_batchedtensor, tensors))
    )


def fits(rows: Tensor, matrix: Tensor, least: int | None = None) -> bool:
    """Whether (B, P) x (N, P) is run by the kernels of this module.

    ``least`` is how many elements rows have at least, :data:`LEAST_ELEMENTS` by default.

    Examples
    --------
    >>> fits(torch.ones(2, 3), torch.ones(4, 3))
    False
    """
    if not rows.is_cuda or rows.ndim != 2:
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # sizes may be no numbers
        return False
    batch, inputs = rows.shape
    # The quick refusals first: small batches are where every microsecond of Python counts.
    return (
        2 <= matrix.shape[0] <= MOST_FORWARD
        and batch >= LEAST_BATCH
        and inputs >= LEAST_INPUTS
        and rows.dtype in DTYPES
        and (
            batch * inputs >= (least or LEAST_ELEMENTS) or torch.cuda.is_current_stream_capturing()
        )
        and runs_as_written(rows, matrix)
        and (matrix.shape[0] <= MOST_OUTPUTS or _is_wide(rows))
        and (rows.dtype == matrix.dtype or torch.is_autocast_enabled("cuda"))
        and kernels_of(rows.device) is not None
    )


def _is_wide(rows: Tensor) -> bool:
    """Whether more than :data:`MOST_OUTPUTS` are worth a kernel: in float32 itself alone."""
    return (
        rows.dtype == torch.float32
        and not torch.backends.cuda.matmul.allow_tf32
        and not torch.is_autocast_enabled("cuda")
        and _has_room(rows.device)
    )


@functools.cache
def _has_room(device: torch.device) -> bool:
    """Whether a multiprocessor holds a block of rows and of :data:`MOST_FORWARD` outputs."""
    properties = torch.cuda.get_device_properties(device)
    return getattr(properties, "shared_memory_per_block_optin", 0) >= FORWARD_MEMORY


def at_once(rows: Tensor, matrix: Tensor) -> bool:
    """Whether one kernel makes both gradients of (B, P) x (N, P), by :func:`gradients`.

    Examples
    --------
    >>> at_once(torch.ones(2, 3), torch.ones(4, 3))
    False
    """
    return matrix.shape[0] <= MOST_OUTPUTS and fits(rows, matrix)


def adds_apart(rows: Tensor, matrix: Tensor) -> bool:
    """Whether (B, P) x (N, P) plus a bias is quicker in two kernels than in one.

    cuBLAS shares a long sum among the whole chip only where no bias is added in the same kernel.

    Examples
    --------
    >>> adds_apart(torch.ones(2, 3), torch.ones(4, 3))
    False
    """
    if not rows.is_cuda or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    batch, inputs = rows.shape
    if inputs >= LEAST_INPUTS:
        return batch >= 8
    return batch >= 32 and matrix.shape[0] <= MOST_OUTPUTS and matrix.is_contiguous()


def linear(rows: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """(B, P) x (N, P) -> (B, N), plus a bias (N,), as :func:`torch.nn.functional.linear`.

    Parameters
    ----------
    rows : Tensor of shape (B, P)
    matrix : Tensor of shape (N, P)
        For which :func:`fits` is true.
    bias : Tensor of shape (N,), optional

    Returns
    -------
    Tensor of shape (B, N)
        Differentiable twice. In float32 each product is exact to a rounding of float32, or of
        TF32 where ``torch.backends.cuda.matmul.allow_tf32`` is set.
    """
    if torch.is_autocast_enabled("cuda"):
        dtype = torch.get_autocast_dtype("cuda")
        rows, matrix = rows.to(dtype), matrix.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    rows = rows.contiguous()
    if not torch.is_grad_enabled():
        return kernels_of(rows.device).forward(rows, matrix, bias)
    return _Narrow.apply(rows, matrix, bias)


def gradients(rows: Tensor, matrix: Tensor, g: Tensor, d_matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients (B, P) of the rows and (N,) of a bias, from that of the output, g (B, N).

    The matrix' gradient (N, P) is written into ``d_matrix``, which may be the matrix itself.
    Differentiable no further; where :func:`at_once` is true.
    """
    rows, g = rows.contiguous(), g.contiguous()  # a part of a batch has gaps between its rows
    d_rows, _, d_bias = kernels_of(rows.device).backward(rows, matrix, g, d_matrix)
    return d_rows, d_bias


class _Narrow(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, matrix)
        return kernels_of(rows.device).forward(rows, matrix, bias)

    @staticmethod
    def backward(ctx, g: Tensor):
        rows, matrix = ctx.saved_tensors
        for_rows, for_matrix, for_bias = ctx.needs_input_grad
        whole = for_rows and for_matrix and matrix.shape[0] <= MOST_OUTPUTS
        if torch.is_grad_enabled() or not (whole and runs_as_written(g)):
            return (
                g @ matrix if for_rows else None,
                g.T @ rows if for_matrix else None,
                g.sum(0) if for_bias else None,
            )
        d_matrix = torch.empty_like(matrix)
        dx, dw, db = kernels_of(rows.device).backward(rows, matrix, g.contiguous(), d_matrix)
        return dx, dw, db if for_bias else None


@functools.cache
def kernels_of(device: torch.device) -> types.ModuleType | None:
    """The module of kernels; None where Triton or the GPU cannot run them.

    Triton may be there and lack what it builds kernels with, a C compiler for one: so the
    first call runs one, and a failure is told once.

    Examples
    --------
    >>> kernels_of(torch.device("cpu")) is None
    True
    """
    if device.type != "cuda" or torch.version.cuda is None:
        return None
    if torch.cuda.get_device_capability(device) < (8, 0):
        return None
    try:
        from trlkit.contraction import kernels
    except ImportError:
        return None
    try:
        kernels.khatri_rao([torch.ones(1, 1, device=device)] * 2)
    except Exception as error:
        warnings.warn(
            f"trlkit goes on without its Triton kernels, since Triton could not build or run "
            f"one on {device}: {type(error).__name__}: {str(error).splitlines()[0][:200]}. "
            f"Triton needs a C compiler (gcc) that it finds",
            stacklevel=2,
        )
        return None
    return kernels
