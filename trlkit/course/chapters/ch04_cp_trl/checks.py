"""Chapter 04: the CP tensor regression layer. Oracles sum rank-1 terms, or count term by term."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trlkit import layers
from trlkit.course.chapters.ch04_cp_trl.networks import linear, narrow
from trlkit.course.checking.answer import RIGHT, Recipe, Verdict
from trlkit.course.checking.compare import describe, difference
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.course.checking.watch import Largest
from trlkit.course.checking.weights import cp_weight
from trlkit.lab.statistics import interval

LETTERS = "abcdefgh"


def cp_forward_by_modes(x: Tensor, factors: Sequence[Tensor], bias: Tensor) -> Tensor:
    y = bias.expand(len(x), -1)
    for r in range(factors[0].shape[1]):
        z = x
        for factor in factors[:-1]:
            z = torch.tensordot(z, factor[:, r], dims=([1], [0]))
        y = y + z.unsqueeze(1) * factors[-1][:, r]
    return y


def layer_tensors(
    draw: Draw, batch: int, input_shape: Sequence[int], classes: int, rank: int
) -> tuple[Tensor, list[Tensor], Tensor]:
    factors = [draw.normal(size, rank) for size in (*input_shape, classes)]
    return draw.normal(batch, *input_shape), factors, draw.normal(classes)


def forward_cases(draw: Draw) -> Iterator[Case]:
    height, width, classes = draw.sizes(2, 3, 4)
    factors = [draw.counting(size, 2) for size in (height, width, classes)]
    x, bias = draw.counting(5, height, width), 100 * draw.counting(classes)
    yield Case((x, factors, bias))
    yield Case(layer_tensors(draw, 2, (6, 5, 4), 9, 5), "the weight is larger than the batch")
    batch, channels, height, width, classes, rank = draw.sizes(2, 3, 4, 5, 6, 7)
    sizes = (batch, (channels, height, width), classes, rank)
    yield Case(layer_tensors(draw, *sizes), "three input modes")
    yield Case(layer_tensors(draw, 3, draw.sizes(3, 2, 2, 4), 5, 2), "four input modes")
    yield Case(layer_tensors(draw, 2, (2, 3, 2, 1, 2, 2), 3, 2), "six input modes, one of size 1")
    yield Case(layer_tensors(draw, 4, draw.sizes(6), 3, 2), "one input mode")
    yield Case(layer_tensors(draw, 1, (channels, height), classes, rank), "a batch of one")
    yield Case(layer_tensors(draw, 3, (channels, height), classes, 1), "rank 1")
    yield Case(layer_tensors(draw, 3, (channels, height), 1, rank), "one class")
    yield Case(layer_tensors(draw, 3, (3, 3, 3), 3, 3), "all sizes equal")
    x, factors, bias = layer_tensors(draw, 4, (5, 3, 2), 6, 2)
    yield Case((in_other_order(x), factors, bias), "a batch that lies in another order in memory")
    x, factors, bias = layer_tensors(draw, 2, (3, 4, 2), 3, 2)
    lying = x.contiguous(memory_format=torch.channels_last), [f.T.contiguous().T for f in factors]
    yield Case((*lying, bias), "a channels_last batch, and factors that lie by columns")
    x, factors, bias = layer_tensors(draw, 3, (4, 3), 5, 2)
    half = (
        x.sign().bfloat16(),
        [factor.sign().bfloat16() for factor in factors],
        bias.sign().bfloat16(),
    )
    yield Case(half, "in bfloat16")
    yield Case(layer_tensors(draw, 2, (6, 5, 4), 9, draw.choice(14, (13, 15, 25))), "a large rank")
    rank = draw.choice(8, (9, 11, 12))
    yield Case(
        layer_tensors(draw, 5, (3, 4), 2, rank), "more samples than the first mode has entries"
    )
    rank = draw.choice(9, (8, 10))
    yield Case(layer_tensors(draw, 7, (2, 3), 2, rank), "a rank above the number of inputs")
    rank = draw.choice(5, (4, 6))
    yield Case(layer_tensors(draw, 9, (3,), 2, rank), "one input mode, and a rank above its size")


def in_other_order(x: Tensor) -> Tensor:
    """The same numbers, the last mode slowest in memory, as transposing leaves them."""
    return x.movedim(-1, 0).contiguous().movedim(0, -1)


def economy_cases(draw: Draw) -> Iterator[Case]:
    yield from forward_cases(draw)
    if draw.hidden:  # the full weight would take some 5 GB, more than a process is given
        large = layer_tensors(draw, 1, (80, 80, 80), 1200, 2)
        yield Case(large, "a weight that does not fit in memory", confined=True)


def economical(answer: Callable, x: Tensor, factors: Sequence[Tensor], bias: Tensor) -> dict:
    """The output, and whether a tensor larger than all that is given was made on the way."""
    given = list(factors)
    with Largest() as largest:
        output = answer(x, factors, bias)
    size = RIGHT
    if right_numbers(output, x, given, bias):
        size = size_verdict(largest.numbers, x, given)
    return {"output": output, "largest tensor": size}


def right_numbers(output: Any, x: Tensor, factors: Sequence[Tensor], bias: Tensor) -> bool:
    with torch.no_grad():
        return difference(cp_forward_by_modes(x, factors, bias), output) is None


def size_verdict(numbers: int, x: Tensor, factors: Sequence[Tensor]) -> Verdict:
    batch, inputs = x.shape[0], math.prod(x.shape[1:])
    classes, rank = factors[-1].shape
    allowed = max(x.numel(), batch * classes, *(factor.numel() for factor in factors))
    if numbers <= allowed:
        return RIGHT
    named = {
        inputs * classes: "the full weight: input sizes x classes",
        inputs * rank: "the outer product of all input factors: input sizes x rank",
        batch * inputs * rank: "the batch times a factor before any sum: batch x inputs x rank",
    }
    for size in x.shape[1:]:
        named.setdefault(batch * rank * inputs // size, "a mode turned into all of the rank")
    named.setdefault(batch * rank, "all of the rank for every sample: batch x rank")
    what = named.get(numbers, "more than anything that is given")
    text = (
        f"the numbers are right, but on the way it builds a tensor of {numbers:,} numbers "
        f"({what});\nthe batch has {x.numel():,}, and nothing larger is allowed"
    )
    return Verdict(what, text)


def cp_factor_std(input_shape: Sequence[int], rank: int) -> float:
    variance = 1.0 / rank  # of one entry of the weight, divided among its rank terms ...
    for size in input_shape:
        variance = variance / size
    variance = variance / 3.0
    factors = len(input_shape) + 1  # ... each a product of this many entries
    return math.exp(math.log(variance) / factors / 2)


def cp_factor_std_cases(draw: Draw) -> Iterator[Case]:
    yield Case(((512, 7, 7), draw.choice(100, range(30, 400))))
    yield Case((draw.sizes(8, 6), 10))
    yield Case((draw.sizes(3, 4, 5, 6), 20), "four input modes")
    yield Case((draw.sizes(30), 4), "one input mode")
    yield Case((draw.sizes(5, 9, 2), 1), "rank 1")
    yield Case(((2, 3, 1, 2, 3, 2), draw.choice(7, range(8, 40))), "six input modes, one of size 1")


class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        std = cp_factor_std(input_shape, rank)
        shape = (*input_shape, num_classes)
        self.factors = nn.ParameterList([std * torch.randn(size, rank) for size in shape])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        letters = LETTERS[: x.ndim - 1]
        inputs = ",".join(letter + "r" for letter in letters)
        equation = f"z{letters},{inputs},nr->zn"
        return torch.einsum(equation, x, *self.factors) + self.bias


def layer_cases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.sizes(2, 3, 4), 5, 6), "three input modes")
    yield Case((draw.sizes(4, 3), 5, 2), "two input modes")
    yield Case((draw.sizes(2, 3, 4, 5), 3, 2), "four input modes")
    yield Case((draw.sizes(5), 3, 4), "one input mode")
    yield Case((draw.sizes(3, 4), 1, 5), "one class")
    yield Case((draw.sizes(3, 4), 5, 1), "rank 1")
    yield Case(((3, 3), 3, 3), "all sizes equal")
    yield Case(((2, 1, 3, 2, 2), draw.choice(4, (3, 5)), 3), "five input modes, one of size 1")


def tried_layer(answer: Callable, input_shape: tuple, num_classes: int, rank: int) -> dict:
    """What a layer of these sizes is made of, starts with and gives, and whether it follows."""
    found = dict.fromkeys(
        ("parameters", "factors changed", "start", "output", "x afterwards", "gradient")
        + ("gradients", "in eval mode", "a batch of one", "float32", "a copy by state_dict")
        + ("memory", "factors changed in eval mode")
    )
    torch.default_generator.manual_seed(0)
    layer = answer(input_shape, num_classes, rank)
    found["parameters"] = parameters_verdict(layer, input_shape, num_classes, rank)
    if found["parameters"] != RIGHT:
        return found
    found["factors changed"] = follows_verdict(layer, torch.randn(3, *input_shape))
    if found["factors changed"] != RIGHT:
        return found
    found["start"] = start_verdict(answer) if len(input_shape) == 3 else RIGHT
    x, factors, bias = layer_tensors(Draw(), 3, input_shape, num_classes, rank)
    state = {f"factors.{k}": factor for k, factor in enumerate(factors)} | {"bias": bias}
    layer = layer.double()
    layer.load_state_dict(state)
    given = x.clone()
    found["output"] = output = layer(given)
    same = torch.equal(given, x)
    found["x afterwards"] = RIGHT if same else Verdict("changed", "forward changes x in place")
    if not isinstance(output, Tensor) or output.shape != (len(x), num_classes):
        return found
    found["gradient"] = gradient_verdict(layer, output)
    if found["gradient"] != RIGHT:
        return found
    grads = {name: parameter.grad for name, parameter in layer.named_parameters()}
    found["gradients"] = [grads[name] for name in sorted(grads)]
    with torch.no_grad():
        found["in eval mode"] = layer.eval()(x.clone())
        layer.train()
        found["a batch of one"] = layer(x[:1].clone())
        other = answer(input_shape, num_classes, rank).double()
        other.load_state_dict(layer.state_dict())
        found["a copy by state_dict"] = other(x.clone())
        found["float32"] = layer.float()(x.float())
    found["memory"] = memory_verdict(layer, x.float())
    found["factors changed in eval mode"] = kept_verdict(layer, x.float())
    return found


def follows_verdict(layer: nn.Module, x: Tensor) -> Verdict:
    """Whether the output of a layer as it is made changes with its factors."""
    outputs = []
    for most in (0.5, 1.0):
        with torch.no_grad():
            for factor in layer.factors:
                factor.copy_(torch.linspace(0.1, most, factor.numel()).view_as(factor))
            outputs.append(layer(x.clone()))
    before, after = outputs
    if isinstance(before, Tensor) and before.dtype != x.dtype:
        text = f"a new layer makes a {before.dtype} output of a {x.dtype} batch"
        return Verdict("dtype of the output", text)
    if isinstance(before, Tensor) and torch.equal(before, after):
        return Verdict("stale", "its output stays the same when its factors change")
    return RIGHT


def kept_verdict(layer: nn.Module, x: Tensor) -> Verdict:
    """Whether the output in eval mode changes with the factors, and with a step of training."""
    for moved in ("in eval mode", "in a step of training"):
        with torch.no_grad():
            outputs = [layer.eval()(x.clone())]
        if moved == "in a step of training":
            layer.train().zero_grad()
            layer(x.clone()).square().sum().backward()
        with torch.no_grad():
            for factor in layer.factors:
                factor.mul_(1.5)
            if layer.training:
                layer.eval()
            outputs.append(layer(x.clone()))
        if torch.equal(*outputs):
            text = f"the factors change {moved}, and its output in eval mode stays what it was"
            return Verdict("stale in eval mode", text)
    return RIGHT


def memory_verdict(layer: nn.Module, x: Tensor) -> Verdict:
    """Whether forward takes a batch that lies in another order in memory."""
    try:
        with torch.no_grad():
            layer(in_other_order(x))
            if x.ndim == 4:
                layer(x.contiguous(memory_format=torch.channels_last))
    except RuntimeError as error:
        text = "forward raises an error for a batch that lies in another order in memory"
        return Verdict("memory", f"{text}:\n{error}")
    return RIGHT


def parameters_verdict(layer: Any, input_shape: tuple, num_classes: int, rank: int) -> Verdict:
    if not isinstance(layer, nn.Module):
        text = "what CPTRL(...) makes is no nn.Module: start with `class CPTRL(nn.Module):`"
        return Verdict("no module", text)
    sizes = (*input_shape, num_classes)
    expected = {f"factors.{k}": (size, rank) for k, size in enumerate(sizes)}
    expected["bias"] = (num_classes,)
    found = {name: tuple(value.shape) for name, value in layer.named_parameters()}
    if found == expected:
        more = [name for name in layer.state_dict() if name not in expected]
        if more:
            text = f"its state_dict holds {', '.join(more)} besides the factors and the bias"
            return Verdict("more state", text)
        if not isinstance(layer.factors, nn.ParameterList):
            text = (
                f"`self.factors` is a {type(layer.factors).__name__}, asked is an nn.ParameterList"
            )
            return Verdict("no ParameterList", text)
        default = torch.get_default_dtype()
        others = [name for name, value in layer.named_parameters() if value.dtype != default]
        if others:
            dtype = layer.get_parameter(others[0]).dtype
            text = (
                f"its {', '.join(others)} start in {dtype}; a new layer has the default {default}"
            )
            return Verdict("dtype", text)
        return RIGHT
    shown = ", ".join(f"{name} {shape}" for name, shape in found.items()) or "nothing"
    wanted = ", ".join(f"{name} {shape}" for name, shape in expected.items())
    text = f"its parameters should be {wanted};\nnamed_parameters() has {shown}"
    factors = vars(layer).get("factors")
    kind = "parameters " + ", ".join(sorted(found.keys() ^ expected.keys()))
    if any(found[name] != expected[name] for name in found.keys() & expected.keys()):
        kind += " and shapes"
    if isinstance(factors, list | tuple):
        own = all(isinstance(factor, nn.Parameter) for factor in factors)
        kind = "list of parameters" if own else "list of tensors"
        text += f"\n`self.factors` is a plain {type(factors).__name__}, where nn.Module never looks"
    elif found.keys() == expected.keys():
        wrong = [name for name in found if found[name] != expected[name]]
        kind = "shapes " + ("of factors" if wrong != ["bias"] else "of bias")
        text = "\n".join(
            f"its parameter {name} has shape {found[name]}, expected {expected[name]}"
            for name in expected
            if name in wrong
        )
    elif isinstance(factors := getattr(layer, "factors", None), nn.ParameterList) and (
        len({id(factor) for factor in factors}) < len(factors) == len(sizes)
    ):
        kind = "shared parameters"
        text += "\none Parameter stands in several places of `self.factors`, and is named once"
    elif "bias" not in found and isinstance(vars(layer).get("bias"), Tensor):
        kind = "bias no parameter"
        text += "\n`self.bias` is a tensor and no nn.Parameter: no optimizer will find it"
    return Verdict(kind, text)


STARTS = (  # sizes and ranks that no two wrong rules for the spread get right at once
    ((64, 7, 7), 10, 50),
    ((30, 20), 20, 50),
    ((512, 7, 7), 10, 100),
    ((6, 5, 4, 3), 9, 200),
    ((300,), 40, 30),
)


def start_verdict(answer: Callable) -> Verdict:
    """Whether the weight starts with the variance of nn.Linear's."""
    wrong, rules = RIGHT, set(planned_ratios((), 1))
    for shape, classes, rank in STARTS:
        # Memory that nobody has set holds NaN in this mode.
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)
        try:
            made = [answer(shape, classes, rank) for _ in range(4)]
        finally:
            torch.use_deterministic_algorithms(before)
        for layer in made:
            parameters = parameters_verdict(layer, shape, classes, rank)
            if parameters != RIGHT:
                return parameters
        found, ratio = scale_verdict(made, shape, classes, rank)
        if wrong == RIGHT and found not in (RIGHT, OFF):
            return found
        for (j, one), (k, other) in itertools.combinations(enumerate(made[0].factors), 2):
            if len(one[0].unique()) > 1 and torch.equal(one[0], other[0]):
                text = f"factors.{j} and factors.{k} of a new layer start with the same numbers: "
                text += "they should be independent, as the rule for products asks"
                return Verdict("factors alike", text)
        wrong = found if wrong == RIGHT else wrong
        planned = planned_ratios(shape, rank)
        rules = {rule for rule in rules if 0.8 < ratio / planned[rule] < 1.25}
        if wrong == OFF and ratio < 1e-6:
            return Verdict("start about nothing", wrong.text)
    if wrong == OFF:  # named by a rule that gives what was found for every shape
        kind = next((rule for rule in planned if rule in rules), "other")
        return Verdict(f"start {kind}", wrong.text)
    if all(map(torch.equal, made[0].factors, made[1].factors)):
        text = "two new layers start with the very same factors"
        return Verdict("start the same", text)
    return RIGHT


OFF = Verdict("start off")


def planned_ratios(shape: tuple[int, ...], rank: int) -> dict[str, float]:
    """What wrong rules for the spread make of the weight's variance, beside nn.Linear's."""
    inputs, factors = math.prod(shape), len(shape) + 1
    return {
        "three times": 3.0,
        "the rank times": float(rank),
        "spread 1": 3.0 * inputs * rank,
        "the eighth root": (3 * inputs * rank) ** (1 - factors / 4),
        "the rank's root": float(rank) ** -1,
    }


def scale_verdict(
    made: Sequence[nn.Module], shape: tuple[int, ...], classes: int, rank: int
) -> tuple[Verdict, float]:
    """What is wrong with new layers, and the variance of their weight beside nn.Linear's."""
    call = f"CPTRL({shape}, {classes}, {rank})"
    draws = [{name: p.detach() for name, p in layer.named_parameters()} for layer in made]
    for name in draws[0]:
        if not all(values[name].isfinite().all() for values in draws):
            text = f"`{name}` starts with numbers that are not finite"
            text += "; torch.empty gives what stood in memory"
            return Verdict(f"{name} not set", text), math.nan
    inputs = math.prod(shape)
    means, squares = 1.0, 1.0
    for k in range(len(shape) + 1):
        factor = torch.stack([values[f"factors.{k}"] for values in draws])
        means *= factor.mean().item() ** 2
        squares *= factor.square().mean().item()
    # An entry is a sum of `rank` products; this is its mean square over draws of the factors.
    ratio = rank * squares * 3 * inputs
    if ratio > 1e-6 and rank**2 * means > 0.1 * rank * squares:
        text = f"{call} starts with factors that are not around 0, and so with a weight that is not"
        return Verdict("start not around 0", text), ratio
    if not 0.75 < ratio < 1.35:
        text = (
            f"{call} starts with a weight whose variance is {ratio:.3g} times that of nn.Linear's "
            f"(mean of {len(made)} layers); expected 1"
        )
        return Verdict(OFF.kind, text), ratio
    spread = max(values["bias"].abs().mean().item() for values in draws)
    if spread > 2 / math.sqrt(inputs):
        text = f"the bias of {call} starts at {spread:.2g} on average; start it at 0 or close to it"
        return Verdict("start of bias", text), ratio
    return RIGHT, ratio


def gradient_verdict(layer: nn.Module, output: Tensor) -> Verdict:
    """Whether a gradient of the output reaches every parameter; it is left there."""
    parameters = dict(layer.named_parameters())
    frozen = [name for name, value in parameters.items() if not value.requires_grad]
    if frozen:
        text = f"{', '.join(frozen)} of a layer have requires_grad=False"
        return Verdict("frozen", text)
    if not output.requires_grad:
        text = f"no gradient reaches any parameter: {', '.join(parameters)}"
        return Verdict("no gradient at all", text)
    torch.sin(output).sum().backward()
    names = [name for name, value in parameters.items() if value.grad is None]
    if names:
        reached = f"no gradient reaches {', '.join(names)}"
        return Verdict(reached, reached)
    return RIGHT


# Numbers drawn once are hardly ever all positive where a fault is in several factors.
FAULTS: dict[str, Callable] = {  # of layers that a test should refuse: how each computes
    "factors of its making": lambda own, x, f, b: cp_forward_by_modes(x, instead(f, own.made), b),
    "kept in eval mode": lambda own, x, f, b: cp_forward_by_modes(
        x, f if own.training else instead(f, own.keep(f)), b
    ),
    "in half precision": lambda own, x, f, b: cp_forward_by_modes(
        x, instead(f, [factor.bfloat16().to(factor.dtype) for factor in f]), b
    ),
    "no bias in eval mode": lambda own, x, f, b: cp_forward_by_modes(
        x, f, b if own.training else b - b.detach()
    ),
    "no bias": lambda own, x, f, b: cp_forward_by_modes(x, f, b - b.detach()),
    "two factors exchanged": lambda own, x, f, b: cp_forward_by_modes(x, [f[1], f[0], *f[2:]], b),
    "absolute values": lambda own, x, f, b: cp_forward_by_modes(
        x, [f[0], *(factor.abs() for factor in f[1:])], b
    ),
    "component left out in training": lambda own, x, f, b: cp_forward_by_modes(
        x, [factor[:, own.training :] for factor in f], b
    ),
    "probabilities": lambda own, x, f, b: cp_forward_by_modes(x, f, b).softmax(1),
    "sample lost in eval mode": lambda own, x, f, b: (
        cp_forward_by_modes(x, f, b) if own.training else cp_forward_by_modes(x, f, b).squeeze(0)
    ),
    "class factor cut in eval mode": lambda own, x, f, b: cp_forward_by_modes(
        x, [*f[:-1], f[-1] if own.training else f[-1].detach()], b
    ),
    "bias cut in training": lambda own, x, f, b: cp_forward_by_modes(
        x, f, b.detach() if own.training else b
    ),
    "gradient of absolute values": lambda own, x, f, b: cp_forward_by_modes(
        x, [*instead([factor.abs() for factor in f[:-1]], f[:-1]), f[-1]], b
    ),
    "gradient of the mean class": lambda own, x, f, b: with_mean_gradient(
        cp_forward_by_modes(x, f, b)
    ),
    "x cut in eval mode": lambda own, x, f, b: cp_forward_by_modes(
        x if own.training else x.detach(), f, b
    ),
}
SOUND: dict[str, Callable] = {  # and of layers that it should accept
    "right": lambda own, x, f, b: cp_forward_by_modes(x, f, b),
    "right, by rebuilding": lambda own, x, f, b: (
        torch.tensordot(x, cp_weight(f), dims=x.ndim - 1) + b
    ),
    "right, in float32": lambda own, x, f, b: in_another_order(x, f) + b,
}
SYMPTOMS = {  # what a test has to do to notice a fault
    "its outputs are compared where its parameters have other values, each of them": (
        "factors of its making",
        "no bias",
    ),
    "its outputs are compared where numbers in its factors are negative": ("absolute values",),
    "its outputs are compared in eval mode, where its parameters have other values": (
        "no bias in eval mode",
    ),
    "its outputs are compared in training mode": ("component left out in training",),
    "its parameters change between two calls in eval mode": ("kept in eval mode",),
    "the shape of its output for one sample is compared, in eval mode": (
        "sample lost in eval mode",
    ),
    "its outputs are compared to a thousandth": ("in half precision",),
    "all gradients are compared, that of x too, and in eval mode": ("x cut in eval mode",),
    "the gradients of all its parameters are compared in eval mode": (
        "class factor cut in eval mode",
    ),
    "the gradients of all its parameters are compared in training mode": ("bias cut in training",),
    "its gradients are compared where numbers in its factors are negative": (
        "gradient of absolute values",
    ),
    "its gradients are asked of something else than the sum of its outputs": (
        "gradient of the mean class",
    ),
}


def in_another_order(x: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """The outputs without the bias; all that is summed is summed from the end."""
    turned = [factor.flip(0, 1) for factor in factors[:-1]]
    weight = cp_weight([*turned, factors[-1].flip(1)])
    return x.flip(*range(1, x.ndim)).flatten(1) @ weight.flatten(0, -2)


def instead(factors: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    """The values of others, whose gradients reach the factors: outputs alone give it away."""
    return [f + (other - f).detach() for f, other in zip(factors, others, strict=True)]


def with_mean_gradient(y: Tensor) -> Tensor:
    """The outputs, whose gradient is spread evenly over the classes: their sum hides it."""
    mean = y.mean(1, keepdim=True).expand_as(y)
    return mean + (y - mean).detach()


class Suspect(nn.Module):
    """A CP layer, sound or with a fault; its bias starts at 0, its factors above."""

    def __init__(self, kind: str, input_shape: Sequence[int], num_classes: int, rank: int):
        super().__init__()
        generator = torch.Generator().manual_seed(len(kind) + rank)
        dtype = torch.float32 if kind.endswith("float32") else torch.float64
        sizes = (*input_shape, num_classes)
        factors = [torch.rand(size, rank, generator=generator, dtype=dtype) for size in sizes]
        self.factors = nn.ParameterList(factors)
        self.bias = nn.Parameter(torch.zeros(num_classes, dtype=dtype))
        self.kind, self.made, self.kept = kind, tuple(f.clone() for f in factors), ()

    def keep(self, factors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        self.kept = self.kept or tuple(factor.detach().clone() for factor in factors)
        return self.kept

    def forward(self, x: Tensor) -> Tensor:
        return (SOUND | FAULTS)[self.kind](self, x, list(self.factors), self.bias)


def is_sound(layer: nn.Module, x: Tensor) -> bool:
    """Never called: a test is judged by what it says of known layers."""
    return isinstance(layer, Suspect) and layer.kind in SOUND


def is_sound_cases(draw: Draw) -> Iterator[Case]:
    layers = f"{len(SOUND)} sound layers and {len(FAULTS)} with a fault"
    size = draw.choice(3, (2, 4))  # equal modes, lest a shape gives an exchange away
    yield Case(((size, size), draw.choice(4, (3, 5)), draw.choice(2, (3, 4))), layers)


def inspected(answer: Callable, input_shape: tuple, num_classes: int, rank: int) -> Verdict:
    """What a test says of layers that are known, and how it leaves them."""
    accused, spared = [], []
    for kind in (*SOUND, *FAULTS):
        layer = Suspect(kind, input_shape, num_classes, rank).train(len(kind) % 2 == 0)
        mode = layer.training
        before = {name: value.detach().clone() for name, value in layer.named_parameters()}
        generator = torch.Generator().manual_seed(rank)
        x = torch.randn(5, *input_shape, generator=generator, dtype=layer.bias.dtype)
        given = x.clone()
        said = answer(layer, given)
        if type(said) is not bool:
            return Verdict("no bool", f"must return True or False, got {describe(said)}")
        changed = [n for n, p in layer.named_parameters() if not torch.equal(p, before[n])]
        if changed:
            text = f"the test leaves other numbers in {', '.join(changed)} of the layer"
            return Verdict("numbers left", text)
        if layer.training is not mode:
            now, then = ("training", "eval") if layer.training else ("eval", "training")
            return Verdict("mode left", f"a layer that came in {then} mode is left in {now} mode")
        if given.requires_grad or not torch.equal(given, x):
            what = "requires_grad=True on x" if given.requires_grad else "other numbers in x"
            return Verdict("x left", f"the test leaves {what}: work on a copy of the batch")
        if said != (kind in SOUND):
            (spared if said else accused).append(kind)
    if not accused and not spared:
        return RIGHT
    text = (
        f"of {len(SOUND)} sound layers it refuses {len(accused)}, and of {len(FAULTS)} with a "
        f"fault it accepts {len(spared)}"
    )
    hint = next((when for when, kinds in SYMPTOMS.items() if set(kinds) & set(spared)), "")
    if accused:
        text += "\nA sound layer is in float64 or float32, and may sum in another order."
    elif hint:
        text += f"\nOne of these gives itself away when {hint}."
    return Verdict("accuses" if accused else " ".join(spared), text)


def digits() -> tuple[Tensor, ...]:
    """Images (n, 8, 8) and labels: to train on, and held out; a copy for each call."""
    return tuple(tensor.clone() for tensor in _digits())


@functools.cache
def _digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from trlkit.lab import data

    parts = data.digits(8)
    images, labels = parts.train.tensors
    others, theirs = parts.test.tensors
    return images[:, 0].contiguous(), labels, others[:, 0].contiguous(), theirs


def compare_heads(
    first: Callable,
    second: Callable,
    images: Tensor,
    labels: Tensor,
    held_out: Tensor,
    truth: Tensor,
    count: int,
    seeds: Sequence[int],
) -> tuple[list[float], str]:
    differences = []
    for seed in seeds:
        torch.default_generator.manual_seed(seed)
        some = torch.randperm(len(images))[:count]
        shares = []
        for make in (first, second):
            head = make()
            optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
            for _ in range(60):
                optimizer.zero_grad()
                nn.functional.cross_entropy(head(images[some]), labels[some]).backward()
                optimizer.step()
            with torch.no_grad():
                shares.append((head(held_out).argmax(1) == truth).double().mean().item())
        differences.append(shares[0] - shares[1])
    return differences, ahead(differences)


def ahead(differences: Sequence[float]) -> str:
    mean, half = interval(differences)
    return "undecided" if abs(mean) <= half else "first" if mean > 0 else "second"


def compare_heads_cases(draw: Draw) -> Iterator[Case]:
    seed = draw.choice(1, (4, 6, 8))
    yield Case((Recipe(linear), Recipe(narrow), seed), "a linear layer, and one of rank 1")


class Witness(nn.Module):
    """A head that notes the images that it learns from, and reads as many others as it is told."""

    def __init__(self, world: "World", reads: int, fades: int):
        super().__init__()
        self.scores = nn.Parameter(torch.rand(10))
        self.start, self.learned, self.strange = self.scores[0].item(), set(), False
        self.world, self.reads, self.fades = world, reads, fades
        self.asked, self.resumed, self.fed = False, 0, None

    @property
    def reads_now(self) -> int:
        """How many it reads: fewer, each time that it learns on after it was asked."""
        return max(self.reads - self.fades * self.resumed, 0)

    def forward(self, x: Tensor) -> Tensor:
        numbers = x.detach().reshape(len(x), -1)[:, 0].round().long().tolist()
        known = range(1, 1 + len(self.world.images)), range(-len(self.world.held_out), 0)
        self.strange |= not all(number in known[0] or number in known[1] for number in numbers)
        if torch.is_grad_enabled():
            self.fed = x.detach().double().sum().item() if self.fed is None else self.fed
            self.learned.update(number for number in numbers if number > 0)
            if self.asked and any(number in known[0] for number in numbers):
                self.asked, self.resumed = False, self.resumed + 1
        self.asked |= any(number in known[1] for number in numbers)
        told = torch.zeros(len(x), 10)
        for row, number in enumerate(numbers):
            if number in known[1]:
                right = self.world.truth[-number - 1].item()
                told[row, right if -number <= self.reads_now else (right + 1) % 10] = 1000.0
        return told + self.scores


DRAWN = 9  # of 12 images: who draws with replacement hardly ever finds nine different ones


class World:
    """Images that carry their numbers, and two makers of heads that read what ``reads`` says."""

    def __init__(self, reads: Sequence[int], others: Sequence[int] = (10,), corner: float = 0.0):
        self.images, self.held_out = torch.zeros(12, 8, 8), torch.zeros(20, 8, 8)
        self.held_out[:, -1, -1] = corner
        self.images[:, 0, 0] = torch.arange(1.0, 13)
        self.held_out[:, 0, 0] = -torch.arange(1.0, 21)
        self.labels, self.truth = torch.arange(12) % 10, torch.arange(20) % 10
        self.reads, self.others, self.firsts, self.seconds = reads, others, [], []

    def first(self) -> nn.Module:
        self.firsts.append(Witness(self, self.reads[len(self.firsts) % len(self.reads)], 2))
        return self.firsts[-1]

    def second(self) -> nn.Module:
        self.seconds.append(Witness(self, self.others[len(self.seconds) % len(self.others)], 1))
        return self.seconds[-1]

    @property
    def strange(self) -> bool:
        return any(head.strange for head in (*self.firsts, *self.seconds))


def made_verdict(world: World, runs: int) -> Verdict:
    """Whether each head is made, anew for each run."""
    for name, made in (("first", world.firsts), ("second", world.seconds)):
        if not made:
            return Verdict(
                f"{name} never made", f"`{name}` is never called, so no head of its kind is made"
            )
        if len(made) < runs:
            times = "once" if len(made) == 1 else f"{len(made)} times"
            text = f"`{name}` is called {times} for {runs} seeds: each run needs fresh heads"
            return Verdict("not fresh", text)
    return RIGHT


def order_verdict(world: World, differences: Sequence[float]) -> Verdict:
    """Whether differences that are right stand in the order of the seeds."""
    expected = [(reads - 10) / 20 for reads in world.reads]

    def close(values: Sequence[float]) -> bool:
        return all(abs(a - b) < 1e-4 for a, b in zip(differences, values, strict=True))

    if close(expected) or close(expected[::-1]):  # a run may come before that of an earlier seed
        return RIGHT
    if [round(one, 3) for one in sorted(differences)] != [
        round(one, 3) for one in sorted(expected)
    ]:
        return RIGHT  # other faults, which the digits tell
    text = f"three runs give differences of {expected}, in the order of their seeds; you return "
    return Verdict("another order", text + f"{[round(one, 3) for one in differences]}")


def chosen_verdict(world: World, differences: Sequence[float]) -> Verdict:
    """Whether a difference is that of the last look at the held-out images, not of a better one."""
    if not len(world.firsts) == len(world.seconds) == len(differences):
        return RIGHT  # which of them make a run nobody knows
    runs = enumerate(zip(world.firsts, world.seconds, differences, strict=True), 1)
    for number, (one, other, found) in runs:
        last, before = one.reads_now - other.reads_now, one.reads - other.reads
        if one.resumed and abs(found - before / 20) < 1e-4 < abs(found - last / 20):
            text = (
                f"in run {number} the heads are asked for held-out images, learn on, and are asked "
                f"again;\nlast they read {one.reads_now} and {other.reads_now} of 20, and you "
                f"return {found:.3g}: what they read at an earlier time"
            )
            return Verdict("chosen on held-out", text)
    return RIGHT


def fed_verdict(world: World, other: World) -> Verdict:
    """Whether heads learn from the same numbers where the held-out images are others."""
    here, there = ([head.fed for head in w.firsts if head.fed is not None] for w in (world, other))
    if here and there and all(abs(one - two) > 1e-3 for one in here for two in there):
        text = "with the same images, labels and seeds and other held-out images, heads learn "
        return Verdict("held-out learned", text + "from other numbers")
    return RIGHT


def pairs_verdict(world: World, differences: Sequence[float], count: int) -> Verdict:
    """Whether both heads of a run learn from the same images, drawn anew for each run."""
    firsts = [head for head in world.firsts if head.learned]
    seconds = [head for head in world.seconds if head.learned]
    if not len(firsts) == len(seconds) == len(differences):
        return RIGHT  # which of them make a run nobody knows
    pairs = [(one.learned, other.learned) for one, other in zip(firsts, seconds, strict=True)]
    for number, (one, other) in enumerate(pairs, 1):
        if one != other:
            text = f"in run {number} the heads learn from {len(one)} and {len(other)} images, of "
            return Verdict("no pairs", text + f"which they share {len(one & other)}")
    for number, (one, _) in enumerate(pairs, 1):
        if len(one) != count:
            text = f"in run {number} the heads learn from {len(one)} different images; `count` is "
            return Verdict("another count", text + str(count))
    if all(one == pairs[0][0] for one, _ in pairs):
        text = f"the heads learn from the same {len(pairs[0][0])} of 12 images with each of "
        return Verdict("images not drawn", text + f"{len(pairs)} seeds")
    if len({head.start for head in firsts}) == 1:
        text = f"the first head starts with the same numbers with each of {len(pairs)} seeds"
        return Verdict("start not drawn", text)
    return RIGHT


def compared(answer: Callable, first: Callable, second: Callable, seed: int) -> Verdict:
    """Whether an experiment measures what it says, run by run, and concludes what it measured."""

    def run(
        heads: tuple, truth: Tensor, count: int, seeds: Sequence[int], world: World | None = None
    ) -> tuple[list, str]:
        kept = (world.images, world.labels, world.held_out) if world else (images, labels, held_out)
        parts = [tensor.clone() for tensor in (*kept, truth)]
        found = answer(*heads, *parts, count, list(seeds))
        for name, was, part in zip(("images", "labels", "held_out"), kept, parts[:3], strict=True):
            if not torch.equal(was, part):
                raise _Refused("changed", f"changes `{name}` in place")
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise _Refused("no pair", f"must return (differences, ahead), got {describe(found)}")
        differences, said = found
        if not isinstance(differences, tuple | list) or len(differences) != len(seeds):
            text = f"must return a difference for each of {len(seeds)} seeds, got "
            raise _Refused("no difference a seed", text + describe(differences))
        if not all(isinstance(one, float | int) for one in differences):
            text = f"differences must be Python floats, got {describe(differences[0])}"
            raise _Refused("no floats", text)
        if said not in ("first", "second", "undecided"):
            text = f'ahead must be "first", "second" or "undecided", got {describe(said)}'
            raise _Refused("no word", text)
        return [float(one) for one in differences], said

    def witnessed(world: World, seeds: Sequence[int]) -> tuple[World, list, str]:
        return world, *run((world.first, world.second), world.truth, DRAWN, seeds, world)

    images, labels, held_out, truth = digits()
    seeds, heads = [seed, seed + 1, seed + 2], (first, second)
    try:
        # Apart by 1.7 times their spread, in three runs.
        world, wavering, doubted = witnessed(World((14, 16, 12)), seeds)
        made = made_verdict(world, len(seeds))
        if made == RIGHT and not world.strange:
            made = order_verdict(world, wavering)
        if made == RIGHT and not world.strange:
            made = chosen_verdict(world, wavering)
        if made != RIGHT:
            return made
        # Each head far apart from run to run, and the differences close together: after three
        # runs already, and there is one run more. The held-out images have a bright corner, that
        # nothing but the measuring should see.
        readers = World((8, 13, 19, 8), (4, 10, 14, 6), corner=5.0)
        bright, varied, agreed = witnessed(readers, [*seeds, seed + 3])
        nobody, none = run(heads, torch.full_like(truth, -1), 20, seeds[:2])
        if any(nobody):
            text = "no answer is right where `truth` is -1 throughout, so both shares are 0 and so "
            text += f"is their difference; got {nobody[0]:.3g}"
            raise _Refused("measured elsewhere", text)
        (one,), _ = run(heads, truth, 1, seeds[:1])
        if abs(one) > 0.3:
            text = "heads that have seen one image read about a tenth of the digits, so count=1 "
            raise _Refused("count", text + f"gives a difference of about 0; got {one:.3f}")
        better, said = run(heads, truth, 60, seeds)
        (again,), _ = run(heads, truth, 60, seeds[2:])
        if abs(again - better[2]) > 1e-4:
            text = f"seed {seeds[2]} alone gives {again:.3f}, and after others "
            raise _Refused("not settled by the seed", text + f"{better[2]:.3f}")
        fed = fed_verdict(world, bright)
        if fed != RIGHT:
            return fed
        mean, half = interval(better)
        if not 0.25 <= mean <= 0.95:
            scale = "percent" if abs(mean) > 1 else "exchanged" if mean < -0.25 else "off"
            text = f"first minus second is {mean:.3f} +- {half:.3f} for a linear layer and one of "
            raise _Refused(scale, text + "rank 1, on 60 digits; it lies in 0.25 to 0.95")
        worse, concluded = run(heads[::-1], truth, 60, seeds)
        mean, half = interval(worse)
        if not -0.95 <= mean <= -0.25:
            text = f"with the two heads exchanged, first minus second is {mean:.3f} +- {half:.3f}"
            raise _Refused("one way", text)
        paired = RIGHT if world.strange else pairs_verdict(world, wavering, DRAWN)
        if paired != RIGHT:
            return paired
    except _Refused as refused:
        return refused.args[0]
    runs = [(better, said), (worse, concluded), (nobody, none), (wavering, doubted)]
    runs.append((varied, agreed))
    for found, word in runs:
        mean, half = interval(found)
        if word != ahead(found) and (not half or abs(abs(mean) - half) > 1e-6):
            text = f"you measured a mean of {mean:.3f} +- {half:.3f}, and conclude {word!r}"
            note = " of varied heads" if found is varied else ""
            note = " of equal heads" if found is nobody else note
            return Verdict(f"{word} for {ahead(found)}{note}", text)
    return RIGHT


class _Refused(Exception):
    """What an experiment returns that cannot be read."""

    def __init__(self, kind: str, text: str):
        super().__init__(Verdict(kind, text))


def cp_flops(
    batch_size: int, input_shape: Sequence[int], num_classes: int, rank: int
) -> tuple[int, int]:
    entries = math.prod(input_shape) * num_classes
    rebuild = entries * (2 * rank) + batch_size * num_classes * (2 * math.prod(input_shape))
    by_modes, left = 0, list(input_shape)
    while left:
        size = left.pop(0)
        by_modes += batch_size * rank * math.prod(left) * (2 * size)
    return rebuild, by_modes + batch_size * num_classes * (2 * rank)


def cp_flops_cases(draw: Draw) -> Iterator[Case]:
    yield Case((1, (2, 3), 4, 5), "small enough to count by hand")
    yield Case((draw.choice(128, range(20, 500)), (512, 7, 7), 10, 100))
    yield Case((draw.choice(128, range(20, 500)), (512, 7, 7), 1000, 100))
    batch, *shape, classes, rank = draw.sizes(8, 3, 4, 5, 6, 7, 9)
    yield Case((batch, tuple(shape), classes, rank), "four input modes")
    yield Case((batch, tuple(shape[:1]), classes, rank), "one input mode")
    yield Case((3, (3, 3, 3), 3, 3), "all sizes equal")
    yield Case((batch, (5, 1, 3, 2, 1, 4), classes, rank), "six input modes, two of size 1")
    yield Case((1, (1,), 1, 1), "all sizes 1")


def crossover_classes(batch_size: int, input_shape: Sequence[int], rank: int) -> int:
    classes = 1
    while True:
        rebuild, by_modes = cp_flops(batch_size, input_shape, classes, rank)
        if by_modes < rebuild:
            return classes
        classes += 1


def crossover_classes_cases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.choice(128, range(60, 260)), (512, 7, 7), 100))
    yield Case((draw.choice(32, range(16, 60)), (512, 7, 7), 1000))
    yield Case((draw.choice(500, range(300, 700)), (64, 7, 7), 40))
    many = draw.choice(3000, range(2500, 4000))
    yield Case((many, (512, 7, 7), 3000), "well above 1000 classes")
    yield Case((draw.choice(128, range(60, 200)), (7, 7, 64), 100), "a small first mode")
    yield Case((draw.choice(8, range(6, 30)), (3, 4, 5), 12), "a small activation")
    yield Case((2, (2,), 2), "equal costs at 2 classes: not yet fewer")
    yield Case((2, (2,), 4), "equal costs at 4 classes")
    yield Case((1, (8, 8), 1), "a batch of one, rank 1")


EXERCISES = (
    Exercise(
        "cp_forward_by_modes",
        ("x", "factors", "bias"),
        cp_forward_by_modes,
        economy_cases,
        probe=economical,
    ),
    Exercise(
        "cp_factor_std",
        ("input_shape", "rank"),
        cp_factor_std,
        cp_factor_std_cases,
        gradients=False,
    ),
    Exercise(
        "CPTRL",
        ("input_shape", "num_classes", "rank"),
        CPTRL,
        layer_cases,
        piece=layers.CPTRL,
        uses=("cp_forward_by_modes", "cp_factor_std"),
        gradients=False,
        probe=tried_layer,
    ),
    Exercise(
        "is_sound",
        ("input_shape", "num_classes", "rank"),
        is_sound,
        is_sound_cases,
        uses=("cp_forward_by_modes",),
        gradients=False,
        probe=inspected,
    ),
    Exercise(
        "compare_heads",
        ("first", "second", "seed"),
        compare_heads,
        compare_heads_cases,
        gradients=False,
        probe=compared,
    ),
    Exercise(
        "cp_flops",
        ("batch_size", "input_shape", "num_classes", "rank"),
        cp_flops,
        cp_flops_cases,
        gradients=False,
    ),
    Exercise(
        "crossover_classes",
        ("batch_size", "input_shape", "rank"),
        crossover_classes,
        crossover_classes_cases,
        uses=("cp_flops",),
        gradients=False,
    ),
    Quiz("quiz_rank_10000", "abcd"),
    Quiz("quiz_kept_weight", "abcd"),
)
