"""A pass through a layer on a GPU as one step of autograd, its factor side as two CUDA graphs.

The matrices that a batch is multiplied by depend on the factors alone, so the kernels that
make them, and those that turn the matrices' gradients into the factors', are always the same.
Started one by one from Python they take longer than the product with the batch.

The graphs read parameters where they are, and the gradients that they write are handed out as
they lie, for as long as nobody holds the last ones: neither is copied.

The step of autograd is :class:`_Pass`, or what :mod:`trlkit.contraction.native` has of it.
"""

import contextlib
import functools
import gc
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trlkit.contraction import narrow, native
from trlkit.contraction.narrow import MOST_OUTPUTS, runs_as_written
from trlkit.contraction.pairs import consuming, forked, transposed
from trlkit.contraction.paths import Matrices, linear_rows, through
from trlkit.dropout import TensorDropout, masks_of

MOST_PROGRAMS = 8  # of one layer: paths, precisions, devices and streams
MOST_MOVES = 4  # of a layer's parameters to other memory; from then on they are copied
# Whether torch can say that nobody holds a gradient any more, in whose memory the next is written.
LENDS = hasattr(torch._C, "_storage_Use_Count")
# From here on a kernel that Python starts is worth the wait for Python.
NATIVE_ELEMENTS = 2**26
# From tensors, and the random numbers of tensor dropout, to what is multiplied by.
Make = Callable[[Sequence[Tensor], Tensor | None], Matrices]


class Programs:
    """The captured programs of one layer, made as they are needed.

    Parameters
    ----------
    places : sequence of (str, str)
        Of each tensor of the layer's weight: the name of the module that has it, "" for the layer
        itself, and its own.
    input_shape, output_shape : tuple of int

    Attributes
    ----------
    calls : native.Calls or None
        ``calls.again(layer, x, drops)`` is the output where a call is like one before, else None;
        ``drops`` is whether tensor dropout has a part in it.
    """

    def __init__(
        self,
        places: Sequence[tuple[str, str]],
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
    ) -> None:
        self._layer = places, input_shape, output_shape
        self._made: dict[tuple, Program] = {}
        self._moves = 0
        self.calls: Any = None

    def __iter__(self) -> Iterator["Program"]:
        return iter(self._made.values())

    def __len__(self) -> int:
        return len(self._made)

    def contract(
        self,
        key: str,
        make: Make,
        tensors: Sequence[Tensor],
        x: Tensor,
        bias: Tensor | None,
        drawn: Tensor | None = None,
    ) -> Tensor:
        """Contract a batch by a program, which is captured the first time.

        Parameters
        ----------
        key : str
            Tells this ``make`` from the layer's others.
        make : callable
            From tensors like those given, and numbers like those drawn, to what
            :func:`~trlkit.contraction.paths.through` takes; it draws none itself.
        tensors : sequence of Tensor
            Of one dtype, on x's device.
        x : Tensor of shape (B, *input_shape)
            With the tensors, :func:`able` must be true of it.
        bias : Tensor, optional
        drawn : Tensor, optional
            The random numbers of this call.

        Returns
        -------
        Tensor of shape (B, N)
            Differentiable twice; in autocast's precision where that is on.
        """
        casts = torch.is_autocast_enabled("cuda")
        # Within autocast a graph would keep the casts of the factors that autocast has at hand.
        with torch.autocast("cuda", enabled=False) if casts else contextlib.nullcontext():
            dtype = torch.get_autocast_dtype("cuda") if casts else x.dtype  # as for a linear layer
            rows = x if x.dtype == torch.float64 else x.to(dtype)
            bias = None if bias is None else bias.reshape(-1)
            if _in_capture(x):
                within = Within(Recipe(make, rows.dtype))
                rows = rows.reshape(x.shape[0], math.prod(x.shape[1:]))
                return _Pass.apply(within, rows, bias, drawn, *tensors)
            program = self._program(key, make, tensors, rows, drawn)
            rows = rows.reshape(x.shape[0], program.matrix.shape[1])
            if program.native is not None:
                how = program.how(rows)
                y = program.native.run(*how, rows, bias, drawn, tensors)
            elif torch.is_grad_enabled():
                return _Pass.apply(program, rows, bias, drawn, *tensors)
            else:
                return program.forward_pass(tensors, drawn, None, rows, bias)[0]
        if not program.copies:
            calls = self.calls = self.calls or native.module().Calls(*self._layer)
            calls.keep(x, drawn is not None, program.native, *how)
        return y

    def _program(
        self, key: str, make: Make, tensors: Sequence[Tensor], x: Tensor, drawn: Tensor | None
    ) -> "Program":
        """The program of a batch in the precision that it is to be contracted in."""
        stream = torch._C._cuda_getCurrentRawStream(x.get_device()) if x.is_cuda else 0
        copies = self._moves > MOST_MOVES or not all(map(_stays, tensors))
        precision = x.dtype, torch.backends.cuda.matmul.allow_tf32
        place = key, drawn is not None, *precision, x.device, stream, copies
        program = self._made.get(place)
        if program is not None and not program.serves(tensors):
            self._moves, program = self._moves + 1, None
            self.calls = None
        if program is None:
            if len(self._made) >= MOST_PROGRAMS:
                self._made.clear()
                self.calls = None
            program = self._made[place] = Program(make, tensors, drawn, x.dtype, copies, LENDS)
        return program


def able(x: Tensor, tensors: Sequence[Tensor]) -> bool:
    """Whether a call with a batch may run captured programs.

    Examples
    --------
    >>> able(torch.ones(1), [])
    False
    """
    return (
        x.is_cuda
        and runs_as_written(x, *tensors)
        and (torch.is_grad_enabled() or not torch.cuda.is_current_stream_capturing())
    )


def _in_capture(x: Tensor) -> bool:
    """Whether somebody captures what is done with a batch."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


def _stays(tensor: Tensor) -> bool:
    """Whether a tensor is in the same memory at the next call, as far as can be told."""
    return type(tensor) is nn.Parameter and not tensor.is_inference()


def _apart(tensor: Tensor, others: Sequence[Tensor]) -> Tensor:
    """A tensor that is in none of the others' memory: a copy, if need be."""
    places = [other.untyped_storage().data_ptr() for other in others]
    return tensor.clone() if tensor.untyped_storage().data_ptr() in places else tensor


class _Call(NamedTuple):
    """A function where a CUDA graph is wanted."""

    replay: Callable[[], None]


_one_capture = threading.Lock()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """One thread captures at a time, as torch's random generator can take part in one capture.

    A backward pass stays in the thread that captures: autograd's own may be at work for another
    thread, and wait here. Garbage waits too: a graph among it would be destroyed, which ends a
    capture with an error.
    """
    with _one_capture, torch.autograd.set_multithreading_enabled(False):
        collects = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if collects:
                gc.enable()


@contextlib.contextmanager
def _own_scratch() -> Iterator[None]:
    """What is captured shares scratch memory with nothing else.

    torch keeps one piece of scratch memory for the matrix products of each stream, and may free it
    while a graph still writes there: so the first graph that needs one gets its own, in its pool.
    """
    torch._C._cuda_clearCublasWorkspaces()
    try:
        yield
    finally:
        torch._C._cuda_clearCublasWorkspaces()


@contextlib.contextmanager
def capturing(graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream) -> Iterator[None]:
    """Capture what follows in a graph that shares no scratch memory with anything else."""
    with _undisturbed(), _own_scratch(), _graph(graph, stream):
        yield


def _graph(graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream) -> torch.cuda.graph:
    return torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local")


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    # torch deals out 32 streams of each priority in turn: this one is dealt to hardly anybody else.
    return torch.cuda.Stream(device, priority=-1)


@dataclass(frozen=True)
class Recipe:
    """How the matrices of a program are made, kernel by kernel."""

    make: Make
    dtype: torch.dtype

    def outputs(self, tensors: Sequence[Tensor], drawn: Tensor | None) -> list[Tensor]:
        """The matrices (K, P) and (N, K) in the program's precision."""
        matrix, out = self.make(tensors, drawn)
        return [made.to(self.dtype) for made in (matrix.T, out) if made is not None]

    def once(self, inputs: Sequence[Tensor], drawn: Tensor | None) -> list[Tensor]:
        """The same for :meth:`gradients` to be called one time, laid out for products."""
        with consuming(inputs):
            matrix, out = self.make(inputs, drawn)
            # Rows of P are what a product with few columns reads fastest.
            rows = transposed(matrix) if matrix.shape[1] <= MOST_OUTPUTS else matrix.T
            if out is not None:  # columns, where a bias is added in the product's kernel
                out = out.T.contiguous().T
        # The gradients will be written over them: they cannot be factors themselves.
        made = [_apart(made, inputs) for made in (rows, out) if made is not None]
        return [output.to(self.dtype) for output in made]

    def gradients(self, made: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
        """Those of the inputs, from those of the outputs in the outputs' own memory."""
        grads = _differentiated(made, [output.detach() for output in made], inputs)
        return [_apart(grad.contiguous(), made) for grad in grads]

    def again(
        self,
        x: Tensor,
        tensors: Sequence[Tensor],
        drawn: Tensor | None,
        g: Tensor,
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """The gradients of x, the bias and the tensors, by expressions that autograd knows."""
        further = torch.is_grad_enabled()
        with torch.enable_grad():
            matrix, *rest = self.outputs(tensors, drawn)
            y = through(x, (matrix.T, rest[0] if rest else None), (-1,))
        for_x, for_bias, *for_tensors = needed
        wanted = [t for t, need in zip((x, *tensors), (for_x, *for_tensors), strict=True) if need]
        found = iter(torch.autograd.grad(y, wanted, g, create_graph=further) if wanted else ())
        dx = next(found) if for_x else None
        d_bias = g.sum(0) if for_bias else None
        return [dx, d_bias, *(next(found) if need else None for need in for_tensors)]


class Program:
    """Two CUDA graphs: matrices from factors, and the factors' gradients from the matrices'.

    Attributes
    ----------
    inputs : list of Tensor
        What the graphs read: the factors' own memory, or copies of them.
    drawn : Tensor or None
        And random numbers, which are copied here.
    matrix, out : Tensor of shape (K, P), and of shape (N, K) or None
        Of the tensors that were loaded last.
        The backward graph reads their gradients in the same memory, since the matrices
        themselves are of no use any more when those are known.
    grads : list of Tensor
        Where it writes those of the tensors that were loaded.
    """

    def __init__(
        self,
        make: Make,
        tensors: Sequence[Tensor],
        drawn: Tensor | None,
        dtype: torch.dtype,
        copies: bool,
        lends: bool,
    ) -> None:
        self.recipe, self.copies, self.lends = Recipe(make, dtype), copies, lends
        self.held: object = None  # whose matrices are in memory
        self.working = threading.Lock()  # of the thread whose matrices or gradients are there
        self._spare: Program | None = None
        self._how: dict[int, tuple[bool, bool, bool]] = {}
        with torch.inference_mode(False), torch.enable_grad():
            own = [torch.empty_like(t).copy_(t.detach()) if copies else t.detach() for t in tensors]
            self.inputs = [tensor.requires_grad_() for tensor in own]
            self.drawn = None if drawn is None else torch.empty_like(drawn).copy_(drawn.detach())
            self._targets = [tensor.detach() for tensor in self.inputs]  # the same memory
            self._places = [tensor.data_ptr() for tensor in self.inputs]
            device = tensors[0].device
            (self._capture if device.type == "cuda" else self._imitate)(device)
        self.native = self._in_native()  # which counts the uses of the gradients' memory itself
        counts = lends and self.native is None
        self._storages = [grad.untyped_storage() for grad in self.grads] if counts else []
        self._unused = self._uses()

    def _capture(self, device: torch.device) -> None:
        recipe, inputs = self.recipe, self.inputs
        with torch.cuda.device(device), _undisturbed():
            now, side = torch.cuda.current_stream(), _side_stream(device)
            side.wait_stream(now)
            with torch.cuda.stream(side):
                # Libraries set themselves up at a first call.
                recipe.gradients(recipe.once(inputs, self.drawn), inputs)
            self.forward, self.backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            # Each in a pool of its own: the forward graph must leave alone what is handed out.
            with _own_scratch():
                with _graph(self.forward, side):
                    made = recipe.once(inputs, self.drawn)
                with _graph(self.backward, side):
                    self.grads = recipe.gradients(made, inputs)
            now.wait_stream(side)
        self._keep(made)

    def _imitate(self, device: torch.device) -> None:
        """The same by Python at each replay, to test what surrounds the graphs without a GPU."""
        recipe, inputs, drawn = self.recipe, self.inputs, self.drawn
        made = recipe.once(inputs, drawn)
        self.grads = grads = recipe.gradients(made, inputs)
        self._keep([output.detach().clone() for output in made])
        memory = [self.matrix] if self.out is None else [self.matrix, self.out]

        def forward() -> None:
            with torch.inference_mode(False), torch.enable_grad():
                made[:] = recipe.once(inputs, drawn)
            torch._foreach_copy_(memory, [output.detach() for output in made])

        def backward() -> None:
            torch._foreach_copy_([output.detach() for output in made], memory)
            torch._foreach_copy_(grads, recipe.gradients(made, inputs))

        forward()
        self.forward, self.backward = _Call(forward), _Call(backward)

    def _in_native(self) -> Any:
        """The same for what was built of this module; None where nothing was."""
        built = native.module()
        if built is None:
            return None
        return built.Program(
            self.forward,
            self.backward,
            self.matrix,
            self.out,
            self._targets,
            self.drawn,
            self.grads,
            self.copies,
            self.lends,
            product,
            narrow.gradients,
            self.recipe.again,
            functools.partial(_spare, self.recipe, self.copies),
        )

    def how(self, rows: Tensor) -> tuple[bool, bool, bool]:
        """Whether Python's kernels run the products and their gradients, and the bias is apart."""
        batch = rows.shape[0]
        if batch not in self._how:
            wide, last = rows, self.matrix
            kernels = narrow.fits(rows, last, NATIVE_ELEMENTS)
            backward = kernels and last.shape[0] <= MOST_OUTPUTS
            if self.out is not None:
                wide, last = rows.new_empty(batch, self.out.shape[1]), self.out
                kernels = kernels or narrow.fits(wide, last, NATIVE_ELEMENTS)
            self._how[batch] = kernels, backward, narrow.adds_apart(wide, last)
        return self._how[batch]

    def _keep(self, made: Sequence[Tensor]) -> None:
        self.matrix, self.out = (*(output.detach() for output in made), None)[:2]

    def serves(self, tensors: Sequence[Tensor]) -> bool:
        """Whether the graphs read these tensors, or copies that can be made equal to them."""
        return self.copies or all(
            tensor.is_set_to(own) and tensor.data_ptr() == place
            for tensor, own, place in zip(tensors, self._targets, self._places, strict=True)
        )

    def load(self, tensors: Sequence[Tensor], drawn: Tensor | None, owner: object) -> None:
        """Make the matrices of these tensors and random numbers."""
        if self.copies:
            torch._foreach_copy_(self._targets, tensors)
        if drawn is not None:
            self.drawn.copy_(drawn)
        self.forward.replay()
        self.held = owner

    def _uses(self) -> list[int]:
        """How many tensors there are in the memory of each gradient."""
        return [torch._C._storage_Use_Count(storage._cdata) for storage in self._storages]

    def free(self) -> "Program":
        """This program, or another like it while somebody holds the gradients that it gave."""
        if not self.lends or self._uses() == self._unused:
            return self
        if self._spare is None:
            self._spare = _spare(self.recipe, self.copies, self._targets, self.drawn)
        return self._spare

    def give(self) -> Sequence[Tensor]:
        """The gradients of the inputs: where the graph writes them, or copies that outlive that."""
        self.backward.replay()
        if self.lends:
            return [grad.detach() for grad in self.grads]
        return torch._foreach_mul(self.grads, 1)  # copies of all in one launch

    def forward_pass(
        self,
        tensors: Sequence[Tensor],
        drawn: Tensor | None,
        owner: object,
        rows: Tensor,
        bias: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """The output (B, N) of rows (B, P), and what is between two products (B, K)."""
        bias = None if bias is None else bias.to(self.recipe.dtype)
        with self.working:
            self.load(tensors, drawn, owner)
            return product(rows, self.matrix, self.out, bias)

    def backward_pass(
        self,
        tensors: Sequence[Tensor],
        drawn: Tensor | None,
        owner: object,
        rows: Tensor,
        between: Tensor | None,
        g: Tensor,
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """The gradients of the rows, the bias and the tensors, where they are needed."""
        for_rows, for_bias, *for_tensors = needed
        learn, d_rows, d_bias = any(for_tensors), None, None
        with self.working:
            program = self.free() if learn else self
            if program.held is not owner:  # another forward pass came between
                program.load(tensors, drawn, owner)
            if learn:
                program.held = None  # gradients are written over the matrices
            between_g = g
            if program.out is not None:
                between_g = torch.mm(g, program.out)
                if learn:
                    torch.mm(g.t(), between, out=program.out)
            if for_rows and learn and narrow.at_once(rows, program.matrix):
                d_rows, d_bias = narrow.gradients(rows, program.matrix, between_g, program.matrix)
            else:
                if for_rows:
                    d_rows = torch.mm(between_g, program.matrix)
                if learn:
                    torch.mm(between_g.t(), rows, out=program.matrix)
            grads = program.give() if learn else [None] * len(tensors)
        if d_bias is None or self.out is not None:  # of what is between two products
            d_bias = g.sum(0, dtype=tensors[0].dtype) if for_bias else None
        return [d_rows, d_bias, *_chosen(grads, for_tensors)]


class Within:
    """A pass inside a graph that somebody else captures, for which alone it is made.

    What need not wait runs side by side: the gradient of the batch, as long as any other step,
    beside those of the factors.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._inputs: list[Tensor] = []
        self._made: list[Tensor] = []

    def serves(self, tensors: Sequence[Tensor]) -> bool:
        """True: it has no memory that tensors could have moved from."""
        return True

    def forward_pass(
        self,
        tensors: Sequence[Tensor],
        drawn: Tensor | None,
        owner: object,
        rows: Tensor,
        bias: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """As :meth:`Program.forward_pass`."""
        self._make(tensors, drawn)
        matrix, out = (*(made.detach() for made in self._made), None)[:2]
        return product(rows, matrix, out, None if bias is None else bias.to(rows.dtype))

    def backward_pass(
        self,
        tensors: Sequence[Tensor],
        drawn: Tensor | None,
        owner: object,
        rows: Tensor,
        between: Tensor | None,
        g: Tensor,
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """As :meth:`Program.backward_pass`."""
        for_rows, for_bias, *for_tensors = needed
        learn, d_rows, d_bias = any(for_tensors), None, None
        if not self._made:  # a second backward pass
            self._make(tensors, drawn)
        inputs, made, self._made = self._inputs, self._made, []
        matrix, out = (*(output.detach() for output in made), None)[:2]
        d_made = [torch.empty_like(output) for output in (matrix, out) if output is not None]
        between_g = g if out is None else torch.mm(g, out)
        at_once = for_rows and learn and narrow.at_once(rows, matrix)
        if at_once:
            d_rows, d_bias = narrow.gradients(rows, matrix, between_g, d_made[0])
        else:
            d_rows = torch.empty_like(rows) if for_rows else None
        sums = for_bias and not (at_once and out is None)
        if sums:
            d_bias = g.new_empty(g.shape[1], dtype=tensors[0].dtype)
        grads = [None] * len(tensors)
        with forked(rows.device, "batch") as beside:
            with beside:
                if for_rows and not at_once:
                    torch.mm(between_g, matrix, out=d_rows)
                if sums:
                    torch.sum(g, 0, dtype=d_bias.dtype, out=d_bias)
            if learn:
                with forked(rows.device, "out") as beside:
                    if out is not None:
                        with beside:
                            torch.mm(g.t(), between, out=d_made[1])
                    if not at_once:
                        torch.mm(between_g.t(), rows, out=d_made[0])
                grads = _differentiated(made, d_made, inputs)
        return [d_rows, d_bias if for_bias else None, *_chosen(grads, for_tensors)]

    def _make(self, tensors: Sequence[Tensor], drawn: Tensor | None) -> None:
        with torch.enable_grad():
            self._inputs = [tensor.detach().requires_grad_() for tensor in tensors]
            self._made = self.recipe.outputs(self._inputs, drawn)


def _differentiated(
    made: Sequence[Tensor], grads: Sequence[Tensor], inputs: Sequence[Tensor]
) -> Sequence[Tensor]:
    """The inputs' gradients from those of what was made; ones, of a lone number, need none."""
    known = [(y, g) for y, g in zip(made, grads, strict=True) if y.requires_grad]
    return torch.autograd.grad([y for y, _ in known], inputs, [g for _, g in known])


def _chosen(grads: Sequence[Tensor | None], needed: Sequence[bool]) -> list[Tensor | None]:
    return [grad if need else None for grad, need in zip(grads, needed, strict=True)]


def product(
    rows: Tensor, matrix: Tensor, out: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """(B, P) x (K, P), then x (N, K) where that is not None, plus a bias: and what is between."""
    if out is None:
        return linear_rows(rows, matrix, bias), None
    between = linear_rows(rows, matrix)
    return linear_rows(between, out, bias), between


def _spare(
    recipe: Recipe, copies: bool, tensors: Sequence[Tensor], drawn: Tensor | None
) -> Program:
    return Program(recipe.make, tensors, drawn, recipe.dtype, copies, lends=False)


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        program: Program,
        rows: Tensor,
        bias: Tensor | None,
        drawn: Tensor | None,
        *tensors: Tensor,
    ) -> Tensor:
        ctx.program, ctx.owner = program, object()
        y, between = program.forward_pass(tensors, drawn, ctx.owner, rows, bias)
        ctx.save_for_backward(rows, between, drawn, *tensors)
        return y

    @staticmethod
    def backward(ctx, g: Tensor):
        rows, between, drawn, *tensors = ctx.saved_tensors  # an error, if one was changed in place
        _, for_rows, for_bias, _, *for_tensors = ctx.needs_input_grad
        needed, program = (for_rows, for_bias, *for_tensors), ctx.program
        # Again, or for many directions, or for factors that have moved since: those of FSDP do.
        if torch.is_grad_enabled() or not (runs_as_written(g) and program.serves(tensors)):
            found = program.recipe.again(rows, tensors, drawn, g, needed)
        else:
            found = program.backward_pass(tensors, drawn, ctx.owner, rows, between, g, needed)
        d_rows, d_bias, *grads = found
        return None, d_rows, d_bias, None, *grads


def of(weight: object, path: str, n_inputs: int, dropout: TensorDropout) -> Make:
    """How a weight's tensors become the matrices of a path.

    Examples
    --------
    >>> from trlkit.weights.factorized import CPWeight
    >>> make = of(CPWeight.empty((2, 3), 4), "khatri_rao", 1, TensorDropout(0.5))
    >>> tensors, drawn = [torch.ones(2, 4), torch.ones(3, 4)], torch.tensor([[0.1, 0.7, 0.9, 0.4]])
    >>> make(tensors, None)[0].shape
    torch.Size([2, 4])
    >>> make(tensors, drawn)[0]
    tensor([[0., 2., 2., 0.],
            [0., 2., 2., 0.]])
    """
    kind = type(weight)

    def make(tensors: Sequence[Tensor], drawn: Tensor | None) -> Matrices:
        found = kind.of(tensors)
        if drawn is not None:
            found = found.masked(masks_of(dropout, found.rank_modes, drawn, tensors[0].dtype))
        return found.matrices(path, n_inputs)

    return make
