"""A pass through a layer on a GPU as one step of autograd, its factor side as two CUDA graphs.

The matrices that a batch is multiplied by depend on the factors alone, so the kernels that
make them, and those that turn the matrices' gradients into the factors', are always the same.
Started one by one from Python they take longer than the product with the batch.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trlkit.contraction import narrow
from trlkit.contraction.narrow import MOST_OUTPUTS, runs_as_written
from trlkit.contraction.paths import Matrices, linear_rows, through

MOST_PROGRAMS = 8  # of one layer: paths, precisions, devices and streams
Make = Callable[[Sequence[Tensor]], Matrices]


class Programs:
    """The captured programs of one layer, made as they are needed."""

    def __init__(self) -> None:
        self._made: dict[tuple, Program] = {}

    @property
    def bytes(self) -> int:
        """What the programs hold."""
        return sum(program.bytes for program in self._made.values())

    def contract(
        self, key: str, make: Make, tensors: Sequence[Tensor], x: Tensor, bias: Tensor | None
    ) -> Tensor:
        """Contract a batch by a program, which is captured the first time.

        Parameters
        ----------
        key : str
            Tells this ``make`` from the layer's others.
        make : callable
            From tensors like those given to what :func:`~trlkit.contraction.paths.through`
            takes; it draws no random numbers.
        tensors : sequence of Tensor
            Of one dtype, on x's device.
        x : Tensor of shape (B, *input_shape)
            With the tensors, :func:`able` must be true of it.
        bias : Tensor, optional

        Returns
        -------
        Tensor of shape (B, N)
            Differentiable twice; in autocast's precision where that is on.
        """
        dtype, casts = x.dtype, torch.is_autocast_enabled("cuda")
        if casts and dtype != torch.float64:  # as for a linear layer
            dtype = torch.get_autocast_dtype("cuda")
            x = x.to(dtype)
        stream = torch._C._cuda_getCurrentRawStream(x.get_device()) if x.is_cuda else 0
        place = key, dtype, torch.backends.cuda.matmul.allow_tf32, x.device, stream
        # Within autocast a graph would keep the casts of the factors that autocast has at hand.
        with torch.autocast("cuda", enabled=False) if casts else contextlib.nullcontext():
            program = self._made.get(place)
            if program is None:
                if len(self._made) >= MOST_PROGRAMS:
                    self._made.clear()
                program = self._made[place] = Program(make, tensors, dtype)
            rows = x.reshape(x.shape[0], program.matrix.shape[1])
            if bias is not None:
                bias = bias.reshape(-1)
            if torch.is_grad_enabled():
                return _Pass.apply(program, rows, bias, *tensors)
            program.load(tensors, None)
            return program.product(rows, bias)[0]


def able(x: Tensor, tensors: Sequence[Tensor]) -> bool:
    """Whether a call with a batch may run captured programs.

    Examples
    --------
    >>> able(torch.ones(1), [])
    False
    """
    return (
        x.is_cuda and runs_as_written(x, *tensors) and not torch.cuda.is_current_stream_capturing()
    )


class _Call(NamedTuple):
    """A function where a CUDA graph is wanted."""

    replay: Callable[[], None]


def _allocated(device: torch.device) -> int:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


@contextlib.contextmanager
def capturing(
    graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream, pool: tuple[int, int] | None = None
) -> Iterator[None]:
    """Capture what follows in a graph that shares no scratch memory with anything else.

    torch keeps one piece of scratch memory for the matrix products of each stream, and may free it
    while a graph still writes there: so the graph gets its own, in its own pool.
    """
    torch._C._cuda_clearCublasWorkspaces()
    try:
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            yield
    finally:
        torch._C._cuda_clearCublasWorkspaces()


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


class Program:
    """Two CUDA graphs on tensors of their own: matrices from factors, and gradients back.

    Attributes
    ----------
    matrix, out : Tensor of shape (K, P), and of shape (N, K) or None
        Of the tensors that were loaded last.
        The backward graph reads their gradients in the same memory, since the matrices
        themselves are of no use any more when those are known.
    grads : list of Tensor
        Where it writes those of the tensors that were loaded.
    bytes : int
        What all of these and the graphs' intermediates take.
    """

    def __init__(self, make: Make, tensors: Sequence[Tensor], dtype: torch.dtype) -> None:
        device = tensors[0].device
        self.make, self.dtype = make, dtype
        self.held: object = None  # whose tensors the graphs' own equal
        if device.type == "cuda":
            torch._C._cuda_clearCublasWorkspaces()  # which are no part of what is counted
        before = _allocated(device)
        with torch.inference_mode(False), torch.enable_grad():
            self.inputs = [torch.empty_like(t).copy_(t.detach()).requires_grad_() for t in tensors]
            self.targets = [tensor.detach() for tensor in self.inputs]  # the same memory
            (self._capture if device.type == "cuda" else self._imitate)(device)
        self.bytes = _allocated(device) - before

    def _prepare(self) -> None:
        """Run all of it once."""
        self._backward(self.outputs(self.inputs))

    def _capture(self, device: torch.device) -> None:
        with torch.cuda.device(device):
            now, side = torch.cuda.current_stream(), _side_stream(device)
            side.wait_stream(now)
            with torch.cuda.stream(side):
                self._prepare()  # libraries set themselves up at a first call
            pool = torch.cuda.graph_pool_handle()
            self.forward, self.backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            with capturing(self.forward, side, pool):
                made = self.outputs(self.inputs)
            with capturing(self.backward, side, pool):
                self._backward(made)
            now.wait_stream(side)
        self._keep(made)

    def _imitate(self, device: torch.device) -> None:
        """The same by Python at each replay, to test what surrounds the graphs without a GPU."""
        self._prepare()
        made: list[Tensor] = []

        def forward() -> None:
            with torch.enable_grad():
                made[:] = self.outputs(self.inputs)
            self._keep(made)

        forward()
        self.forward, self.backward = _Call(forward), _Call(lambda: self._backward(made))

    def _keep(self, made: Sequence[Tensor]) -> None:
        self.matrix, self.out = (*(output.detach() for output in made), None)[:2]

    def _backward(self, made: Sequence[Tensor]) -> None:
        made = [output for output in made if output.requires_grad]
        grads = torch.autograd.grad(made, self.inputs, [output.detach() for output in made])
        self.grads = [grad.contiguous() for grad in grads]

    def outputs(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The matrices (K, P) and (N, K), kernel by kernel, in the program's precision."""
        matrix, out = self.make(tensors)
        # Rows of P are what a product with few columns reads fastest.
        rows = matrix.T.contiguous() if matrix.shape[1] <= MOST_OUTPUTS else matrix.T
        if out is not None:  # columns, where a bias is added in the product's kernel
            out = out.T.contiguous().T
        return [made.to(self.dtype) for made in (rows, out) if made is not None]

    def load(self, tensors: Sequence[Tensor], owner: object) -> None:
        """Make the graphs' own tensors equal to these, and all that follows from them."""
        torch._foreach_copy_(self.targets, tensors)
        self.forward.replay()
        self.held = owner

    def product(self, rows: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The output (B, N) of rows (B, P), and what is between two products (B, K)."""
        bias = None if bias is None else bias.to(self.dtype)
        if self.out is None:
            return linear_rows(rows, self.matrix, bias), None
        between = linear_rows(rows, self.matrix)
        return linear_rows(between, self.out, bias), between


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, program: Program, rows: Tensor, bias: Tensor | None, *tensors: Tensor
    ) -> Tensor:
        ctx.program, ctx.owner = program, object()
        program.load(tensors, ctx.owner)
        y, between = program.product(rows, bias)
        ctx.save_for_backward(rows, between, *tensors)
        return y

    @staticmethod
    def backward(ctx, g: Tensor):
        program = ctx.program
        rows, between, *tensors = ctx.saved_tensors  # an error, if one was changed in place
        _, for_rows, for_bias, *for_tensors = ctx.needs_input_grad
        if torch.is_grad_enabled() or not runs_as_written(g):  # again, or for many directions
            return None, *_again(program, rows, tensors, g, ctx.needs_input_grad[1:])
        if program.held is not ctx.owner:  # another forward pass came between
            program.load(tensors, ctx.owner)
        learn, between_g = any(for_tensors), g
        if program.out is not None:
            between_g = torch.mm(g, program.out)
            if learn:
                torch.mm(g.t(), between, out=program.out)
        d_rows = None
        if for_rows and learn and narrow.fits(rows, program.matrix):
            d_rows = narrow.gradients(rows, program.matrix, between_g, program.matrix)
        else:
            if for_rows:
                d_rows = torch.mm(between_g, program.matrix)
            if learn:
                torch.mm(between_g.t(), rows, out=program.matrix)
        d_bias = g.sum(0, dtype=program.targets[0].dtype) if for_bias else None
        if not learn:
            return None, d_rows, d_bias, *[None] * len(tensors)
        program.backward.replay()
        program.held = None  # it works in the memory of what the forward graph made
        # Copies of all in one launch, since the next replay writes to the same place.
        grads = zip(torch._foreach_mul(program.grads, 1), for_tensors, strict=True)
        return None, d_rows, d_bias, *(grad if need else None for grad, need in grads)


def _again(
    program: Program, rows: Tensor, tensors: Sequence[Tensor], g: Tensor, needed: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients of the rows, the bias and the tensors, by expressions that autograd knows."""
    further = torch.is_grad_enabled()
    with torch.enable_grad():
        matrix, *rest = program.outputs(tensors)
        y = through(rows, (matrix.T, rest[0] if rest else None), (-1,))
    for_rows, for_bias, *for_tensors = needed
    wanted = [t for t, need in zip((rows, *tensors), (for_rows, *for_tensors), strict=True) if need]
    found = iter(torch.autograd.grad(y, wanted, g, create_graph=further) if wanted else ())
    d_rows = next(found) if for_rows else None
    d_bias = g.sum(0) if for_bias else None
    return [d_rows, d_bias, *(next(found) if need else None for need in for_tensors)]


def of(weight: object, path: str, n_inputs: int) -> Make:
    """How a weight's tensors become the matrices of a path.

    Examples
    --------
    >>> from trlkit.weights.factorized import CPWeight
    >>> make = of(CPWeight.empty((2, 3), 4), "khatri_rao", 1)
    >>> [matrix.shape for matrix in make([torch.ones(2, 4), torch.ones(3, 4)])]
    [torch.Size([2, 4]), torch.Size([3, 4])]
    """
    kind = type(weight)
    return lambda tensors: kind.of(tensors).matrices(path, n_inputs)
