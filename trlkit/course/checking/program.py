"""What a module computes, recorded as steps, and run again without it.

Where an answer runs in another process, whatever a module of it gives back, outputs and
gradients alike, is what that process says. :func:`record` has the module's steps written down
there; :class:`Program` reads them here as a stranger's text, and runs them: a few operations of
ATen on tensors that are all known, each of whose numbers is counted. What is trained and judged
is the program, so that no number can lie outside it, and gradients are taken here.
"""

import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

STEPS = 500  # of a recording
HELD = 20_000_000  # numbers in all tensors that one pass makes
FLOPS = 2_000_000_000  # of one pass
LITERALS = 20  # numbers that are written into the steps and not counted

SHAPES = """view _unsafe_view reshape expand permute t transpose squeeze unsqueeze select slice
    split split_with_sizes chunk unbind cat stack flip roll alias clone constant_pad_nd repeat
    diagonal unfold im2col index index_select lift_fresh_copy detach _to_copy copy_ zero_ tril triu
    lift_fresh reflection_pad2d replication_pad2d pixel_shuffle pixel_unshuffle"""
PRODUCTS = "mm bmm addmm baddbmm mv dot convolution"
ARITHMETIC = """add sub rsub mul div neg pow sqrt rsqrt exp log log1p expm1 abs reciprocal square
    sin cos tanh sigmoid relu gelu silu elu leaky_relu hardtanh hardswish hardsigmoid softplus
    threshold clamp clamp_min clamp_max maximum minimum where lerp erf _softmax _log_softmax
    logsumexp mish addcmul addcdiv fill masked_fill _prelu_kernel"""
REDUCTIONS = """mean sum amax amin max min var var_mean std linalg_vector_norm norm prod cumsum
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
    native_layer_norm native_group_norm _fused_rms_norm _adaptive_avg_pool2d avg_pool2d
    max_pool2d_with_indices adaptive_max_pool2d"""
RANDOM = "rand rand_like randn randn_like bernoulli native_dropout"
MADE = """zeros ones full zeros_like ones_like full_like empty empty_like new_zeros new_ones
    new_full new_empty arange eye scalar_tensor linspace"""
ASKED = "ge gt le lt eq ne logical_not bitwise_not logical_and bitwise_and bitwise_or logical_or"
OPERATIONS = frozenset(
    " ".join((SHAPES, PRODUCTS, ARITHMETIC, REDUCTIONS, RANDOM, MADE, ASKED)).split()
)
COUNTED = frozenset(" ".join((ARITHMETIC, MADE)).split())  # whose plain arguments are numbers
# What memory held before must not matter.
ZEROED = {"empty": "zeros", "empty_like": "zeros_like", "new_empty": "new_zeros"}
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    + (torch.bool, torch.int64, torch.int32, torch.uint8)
}
WORDS = ("none", "tanh")  # the only texts among arguments: gelu's
PLACES = ("device", "layout", "pin_memory", "memory_format")  # arguments that are not recorded


class Unfit(ValueError):
    """A module that cannot be recorded, or a recording that is not run."""


# ---- where the module is --------------------------------------------------------------------


@functools.singledispatch
def record(module: nn.Module, shape: Sequence[int], batches: Sequence[int]) -> dict:
    """Write down what a module does in training and in eval mode.

    Parameters
    ----------
    module : Module
        Stays as it is.
    shape : sequence of int
        Of one input.
    batches : (int, int)
        How many inputs there are in a batch, in training and in eval mode.

    Returns
    -------
    dict of plain values
        ``train`` and ``eval``, the steps in the two modes; ``constants``, the tensors that are
        neither made by a step nor parameters or buffers; ``learning``, which of these require
        gradients.

    Raises
    ------
    Unfit
        If it computes something that is not decided by tensors alone.

    Examples
    --------
    >>> found = record(nn.Linear(2, 3), (2,), (4, 1))
    >>> [name for name, _, _ in found["eval"]["steps"]]
    ['t.default', 'addmm.default']
    """
    constants: list[Tensor] = []
    found = {}
    training = module.training
    try:
        for name, batch in zip(("train", "eval"), batches, strict=True):
            module.train(name == "train")
            found[name] = _recorded(module, (batch, *shape), constants)
    finally:
        module.train(training)
    learning = [bool(tensor.requires_grad) for tensor in constants]
    return {**found, "constants": [tensor.detach() for tensor in constants], "learning": learning}


def _recorded(module: nn.Module, shape: Sequence[int], constants: list[Tensor]) -> dict:
    from torch._guards import TracingContext, tracing
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    state = dict(_state(module))
    copies = {name: tensor.detach().clone() for name, tensor in state.items()}
    for name, tensor in state.items():
        copies[name].requires_grad_(tensor.requires_grad)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))

    def run(copies: dict[str, Tensor], x: Tensor) -> Tensor:
        y = torch.func.functional_call(module, copies, (x,))
        if not isinstance(y, Tensor):
            raise Unfit(f"returns a {type(y).__name__}, no tensor")
        return y

    try:
        # One mode for what is noted at each step; by itself it is made anew every time.
        noted = TracingContext(FakeTensorMode(allow_fallback_kernels=True))
        with tracing(noted), torch.enable_grad(), torch.random.fork_rng(devices=[]):
            traced = make_fx(run)(copies, x)
    except Unfit:
        raise
    except Exception as error:
        raise Unfit(f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}") from None
    values: dict[Any, list] = {}
    places = iter([*(["s", name] for name in copies), ["x"]])
    steps, output = [], None
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            values[node] = next(places)
        elif node.op == "get_attr":
            values[node] = ["c", _place(getattr(traced, node.target), constants)]
        elif node.op == "output":
            (result,) = tree_leaves(node.args)
            output = _told(result, values)
        else:
            name = str(node.target).removeprefix("aten.")
            name = "getitem" if node.target is operator.getitem else name
            kwargs = {
                key: _told(value, values)
                for key, value in node.kwargs.items()
                if key not in PLACES or (name, key) == ("clone.default", "memory_format")
            }
            values[node] = ["v", len(steps)]
            steps.append([name, [_told(arg, values) for arg in node.args], kwargs])
    return {"steps": steps, "output": output}


def _state(module: nn.Module) -> Iterable[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _place(tensor: Tensor, constants: list[Tensor]) -> int:
    for k, other in enumerate(constants):
        if other is tensor or (
            other.data_ptr() == tensor.data_ptr() and other.shape == tensor.shape
        ):
            return k
    constants.append(tensor)
    return len(constants) - 1


def _told(value: Any, values: dict) -> Any:
    """An argument in plain values: what is no number is a list that begins with a sign."""
    if isinstance(value, torch.fx.Node):
        return values[value]
    if isinstance(value, tuple | list):
        return ["l", *(_told(item, values) for item in value)]
    if isinstance(value, torch.dtype):
        return ["d", str(value).removeprefix("torch.")]
    if isinstance(value, torch.memory_format):
        return ["m"]
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise Unfit(f"a step has an argument of the type {type(value).__name__}")


# ---- where the program is run ---------------------------------------------------------------


class Program(nn.Module):
    """A module made of what was recorded of another: its steps, and all numbers in them.

    Parameters
    ----------
    module : Module
        Or its stand-in for one of another process: its parameters and buffers are copied.
    shape : sequence of int
        Of one input.
    batches : (int, int)
        How many inputs make a batch, in training and in eval mode. In eval mode inputs go
        through in such batches, the last one filled up with zeros.
    seed : int, optional
        Each mode of each tensor is shuffled, by this seed: numbers that were drawn are as good
        in any order, numbers that were learned or prepared are not.

    Attributes
    ----------
    numbers : int
        In parameters, buffers and constants, and those written into the steps beyond LITERALS.
    strangers : int
        Constants that require gradients: parameters which the module does not own.
    constants : int
        Numbers in tensors that are neither parameters nor buffers.

    Raises
    ------
    Unfit
        If a step is none of OPERATIONS, or the whole is too large.

    Examples
    --------
    >>> program = Program(nn.Sequential(nn.Dropout(), nn.Linear(2, 3)), (2,), (4, 2)).eval()
    >>> program.numbers, program(torch.ones(5, 2)).shape
    (9, torch.Size([5, 3]))
    """

    def __init__(
        self,
        module: nn.Module,
        shape: Sequence[int],
        batches: Sequence[int],
        seed: int | None = None,
    ):
        super().__init__()
        told = record(module, shape, batches)
        self.shape, self.batches = tuple(shape), tuple(batches)
        self._names: dict[str, str] = {}
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        for name, tensor in _state(module):
            learns = tensor.requires_grad
            self._keep(f"s{name}", _shuffled(tensor, generator), learns)
        constants = told.get("constants") if isinstance(told, dict) else None
        if not isinstance(constants, list) or not all(isinstance(c, Tensor) for c in constants):
            raise Unfit("no recording")
        for k, tensor in enumerate(constants):
            self._keep(f"c{k}", _shuffled(tensor, generator), False)
        learning = told.get("learning")
        self.strangers = learning.count(True) if isinstance(learning, list) else 0
        self.constants = sum(tensor.numel() for tensor in constants)
        self._steps = {mode: self._read(told.get(mode)) for mode in ("train", "eval")}
        literals = max(literals for _, _, literals in self._steps.values())
        held = sum(tensor.numel() for _, tensor in _state(self))
        self.numbers = held + max(0, literals - LITERALS)
        for mode, batch in zip(self._steps, self.batches, strict=True):
            self._measure(mode, batch)

    def _keep(self, name: str, tensor: Tensor, learns: bool) -> None:
        self._names[name] = f"kept{len(self._names)}"
        if learns and tensor.is_floating_point():
            self.register_parameter(self._names[name], nn.Parameter(tensor))
        else:
            self.register_buffer(self._names[name], tensor)

    def _read(self, told: Any) -> tuple[list, Any, int]:
        """Steps as functions and arguments, what they give, and how many numbers stand in them."""
        steps = told.get("steps") if isinstance(told, dict) else None
        if not isinstance(steps, list) or len(steps) > STEPS:
            raise Unfit(f"more than {STEPS} steps")
        read, literals = [], 0
        for k, step in enumerate(steps):
            if not isinstance(step, list) or len(step) != 3 or not isinstance(step[0], str):
                raise Unfit("no step")
            name, args, kwargs = step
            if not isinstance(args, list) or not isinstance(kwargs, dict):
                raise Unfit("no step")
            function = _function(name)
            for value in (*args, *kwargs.values()):
                self._look(value, k)
            if name.split(".")[0].removesuffix("_") in COUNTED:
                plain = [v for a in (*args, *kwargs.values()) for v in _leaves(a)]
                literals += sum(type(value) in (int, float) for value in plain)
            read.append((name, function, args, kwargs))
        self._look(told.get("output"), len(steps))
        return read, told["output"], literals

    def _look(self, value: Any, before: int, depth: int = 0) -> None:
        """Refuse an argument that is none."""
        if value is None or type(value) in (bool, int, float) or value in WORDS:
            return
        if isinstance(value, list) and value and depth < 4:
            sign, *rest = value
            if sign == "l" and len(rest) < 1000:
                for item in rest:
                    self._look(item, before, depth + 1)
                return
            one = rest[0] if len(rest) == 1 else None
            if (
                (sign in ("x", "m") and not rest)
                or (sign == "v" and type(one) is int and 0 <= one < before)
                or (sign in ("s", "c") and f"{sign}{one}" in self._names)
                or (sign == "d" and isinstance(one, str) and one in DTYPES)
            ):
                return
        raise Unfit("a step has an argument that is none")

    def forward(self, x: Tensor) -> Tensor:
        mode = "train" if self.training else "eval"
        batch = self.batches[mode == "eval"]
        if self.training:
            if len(x) != batch:
                raise ValueError(f"was recorded for {batch} inputs, got {len(x)}")
            y = self._run(mode, x.clone())
            for name, tensor in self.named_buffers():  # it need not require gradients yet
                self._buffers[name] = tensor.detach()
            return y
        outputs = []
        for part in x.split(batch):
            missing = batch - len(part)
            filled = torch.cat([part, part.new_zeros(missing, *part.shape[1:])])
            outputs.append(self._run(mode, filled)[: len(part)])
        return torch.cat(outputs)

    def _run(self, mode: str, x: Tensor) -> Any:
        steps, output, _ = self._steps[mode]
        state = {name: getattr(self, own) for name, own in self._names.items()}
        if mode == "eval":  # what a pass leaves in a buffer is gone after it
            buffers = dict(self.named_buffers())
            state = {
                name: buffers[own].clone() if (own := self._names[name]) in buffers else tensor
                for name, tensor in state.items()
            }
        return _followed(steps, output, x, state)

    def _measure(self, mode: str, batch: int) -> None:
        """Refuse a program that takes too long, or too much memory, before it is run."""
        from torch.utils.flop_counter import FlopCounterMode

        steps, output, _ = self._steps[mode]
        state = {n: getattr(self, own).detach().to("meta") for n, own in self._names.items()}
        x, held = torch.empty(batch, *self.shape, device="meta"), [0]
        try:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                y = _followed(steps, output, x, state, held)
        except Unfit:
            raise
        except Exception as error:
            raise Unfit(f"{type(error).__name__}: {str(error).splitlines()[0][:200]}") from None
        if counter.get_total_flops() > FLOPS:
            raise Unfit(f"more than {FLOPS:,} operations for {batch} inputs")
        if not isinstance(y, Tensor):
            raise Unfit("returns no tensor")


def _shuffled(tensor: Tensor, generator: torch.Generator | None) -> Tensor:
    """A copy, shuffled along each mode: orthogonal columns stay orthogonal."""
    tensor = tensor.detach().clone(memory_format=torch.contiguous_format)
    for mode, size in enumerate(tensor.shape if generator is not None else ()):
        tensor = tensor.index_select(mode, torch.randperm(size, generator=generator))
    return tensor


@functools.cache
def _function(name: str) -> Any:
    """The operation of a step's name."""
    if name == "getitem":
        return None
    packet, _, overload = name.partition(".")
    if (packet.removesuffix("_") if packet not in OPERATIONS else packet) not in OPERATIONS:
        raise Unfit(f"uses `{packet[:50]}`, which no head may be made of here")
    found = getattr(torch.ops.aten, ZEROED.get(packet, packet), None)
    overload = "default" if packet == "empty" else overload
    if found is None or overload not in found.overloads() or "out" in overload:
        raise Unfit(f"uses `{name[:50]}`, which no head may be made of here")
    return getattr(found, overload)


def _leaves(value: Any) -> list:
    """The plain values in an argument."""
    if isinstance(value, list):
        return [x for item in value[1:] for x in _leaves(item)] if value[0] == "l" else []
    return [value]


def _followed(
    steps: list,
    output: Any,
    x: Tensor,
    state: dict[str, Tensor],
    held: list[int] | None = None,
) -> Any:
    """Follow the steps; `detach` cuts no gradient, since no attacker would let it."""
    made: list[Any] = []

    def value(told: Any) -> Any:
        if not isinstance(told, list):
            return told
        sign, *rest = told
        if sign == "l":
            return [value(item) for item in rest]
        if sign == "x":
            return x
        if sign == "v":
            return made[rest[0]]
        if sign == "d":
            return DTYPES[rest[0]]
        return torch.contiguous_format if sign == "m" else state[f"{sign}{rest[0]}"]

    for name, function, args, kwargs in steps:
        args = [value(arg) for arg in args]
        kwargs = {key: value(arg) for key, arg in kwargs.items()}
        if function is None:
            if len(args) != 2 or not isinstance(args[0], tuple | list) or type(args[1]) is not int:
                raise Unfit("no step")
            result = args[0][args[1]]
        elif name == "detach.default":
            (result,) = args
        else:
            if any(argument.name == "device" for argument in function._schema.arguments):
                kwargs["device"] = x.device
            result = function(*args, **kwargs)
        if held is not None:
            tensors = result if isinstance(result, tuple | list) else [result]
            held[0] += sum(t.numel() for t in tensors if isinstance(t, Tensor))
            if held[0] > HELD:
                raise Unfit(f"more than {HELD:,} numbers are held for {len(x)} inputs")
        made.append(result)
    return value(output)
