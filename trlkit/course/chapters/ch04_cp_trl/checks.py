"""Chapter 04: the CP tensor regression layer. Oracles sum rank-1 terms, or count term by term."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trlkit import layers
from trlkit.course.checking.answer import RIGHT, Verdict
from trlkit.course.checking.compare import describe, difference
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.course.checking.watch import Largest
from trlkit.course.checking.weights import cp_weight

HELD_OUT = 0.85  # of the held-out digits; right answers reach 0.90 and more
FEW = 20  # images, too few to learn from
LETTERS = "abcdefgh"


def cp_forward_rebuild(x: Tensor, factors: Sequence[Tensor], bias: Tensor) -> Tensor:
    weight = cp_weight(factors)
    return torch.tensordot(x, weight, dims=x.ndim - 1) + bias


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
    batch, channels, height, width, classes, rank = draw.sizes(2, 3, 4, 5, 6, 7)
    sizes = (batch, (channels, height, width), classes, rank)
    yield Case(layer_tensors(draw, *sizes), "three input modes")
    yield Case(layer_tensors(draw, 3, draw.sizes(3, 2, 2, 4), 5, 2), "four input modes")
    yield Case(layer_tensors(draw, 4, draw.sizes(6), 3, 2), "one input mode")
    yield Case(layer_tensors(draw, 1, (channels, height), classes, rank), "a batch of one")
    yield Case(layer_tensors(draw, 3, (channels, height), classes, 1), "rank 1")
    yield Case(layer_tensors(draw, 3, (channels, height), 1, rank), "one class")
    yield Case(layer_tensors(draw, 3, (3, 3, 3), 3, 3), "all sizes equal")
    x, factors, bias = layer_tensors(draw, 4, (5, 3), 6, 2)
    yield Case((in_other_order(x), factors, bias), "a batch that lies in another order in memory")


def in_other_order(x: Tensor) -> Tensor:
    """The same numbers, the last mode slowest in memory, as transposing leaves them."""
    return x.movedim(-1, 0).contiguous().movedim(0, -1)


def economy_cases(draw: Draw) -> Iterator[Case]:
    shape = draw.choice((6, 5, 4), [(7, 5, 4), (5, 7, 4), (4, 6, 7), (6, 4, 5)])
    yield from forward_cases(draw)
    yield Case(layer_tensors(draw, 2, shape, 9, 8), "and no large tensor on the way")
    if draw.hidden:  # the full weight would take some 5 GB, more than a process is given
        large = layer_tensors(draw, 1, (80, 80, 80), 1200, 2)
        yield Case(large, "a weight that does not fit in memory", confined=True)


def rebuilt(answer: Callable, x: Tensor, factors: Sequence[Tensor], bias: Tensor) -> dict:
    """The output, and whether the full weight was made on the way."""
    with Largest() as largest:
        output = answer(x, factors, bias)
    built = RIGHT
    if right_numbers(output, x, factors, bias):
        built = weight_verdict(largest.counts, x, factors)
    return {"output": output, "weight": built}


def economical(answer: Callable, x: Tensor, factors: Sequence[Tensor], bias: Tensor) -> dict:
    """The output, and whether a tensor as large as the weight was made on the way."""
    with Largest() as largest:
        output = answer(x, factors, bias)
    size = RIGHT
    if right_numbers(output, x, factors, bias):
        size = size_verdict(largest.numbers, x, factors)
    return {"output": output, "largest tensor": size}


def right_numbers(output: Any, x: Tensor, factors: Sequence[Tensor], bias: Tensor) -> bool:
    with torch.no_grad():
        return difference(cp_forward_by_modes(x, factors, bias), output) is None


def weight_verdict(counts: set[int], x: Tensor, factors: Sequence[Tensor]) -> Verdict:
    batch, *sizes = x.shape
    classes, rank = factors[-1].shape
    inputs = math.prod(sizes)
    weight = inputs * classes
    others = {batch * inputs, inputs * rank, batch * classes}
    for k in range(len(sizes)):
        others |= {
            batch * rank * math.prod(part) for part in (sizes[:k], sizes[k:], sizes[k + 1 :])
        }
    if weight in counts or weight in others:  # or it could not be told from another tensor
        return RIGHT
    text = (
        f"the numbers are right, but no tensor of {inputs} x {classes} = {weight} numbers was made "
        f"on the way: the weight was never built"
    )
    return Verdict("never built", text)


def size_verdict(numbers: int, x: Tensor, factors: Sequence[Tensor]) -> Verdict:
    batch, inputs = x.shape[0], math.prod(x.shape[1:])
    classes, rank = factors[-1].shape
    needed = max(x.numel(), batch * rank * inputs // min(x.shape[1:]))
    least = inputs * min(classes, rank)
    if least <= needed or numbers < least:
        return RIGHT
    named = {
        inputs * classes: "the full weight: input sizes x classes",
        inputs * rank: "the outer product of all input factors: input sizes x rank",
        batch * inputs * rank: "the batch times a factor before any sum: batch x inputs x rank",
    }
    what = named.get(numbers, "more than the full weight or the outer product of input factors")
    text = (
        f"the numbers are right, but on the way it builds a tensor of {numbers:,} numbers "
        f"({what});\nmode by mode, no tensor needs more than {needed:,} here"
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
    yield Case(((512, 7, 7), draw.choice(100, [64, 128, 200])))
    yield Case((draw.sizes(8, 6), 10))
    yield Case((draw.sizes(3, 4, 5, 6), 20), "four input modes")
    yield Case((draw.sizes(30), 4), "one input mode")
    yield Case((draw.sizes(5, 9, 2), 1), "rank 1")


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


def tried_layer(answer: Callable, input_shape: tuple, num_classes: int, rank: int) -> dict:
    """What a layer of these sizes is made of, starts with and gives, and whether it follows."""
    found = dict.fromkeys(
        ("parameters", "factors changed", "start", "output", "x afterwards", "gradient")
        + ("gradients", "in eval mode", "a batch of one", "float32", "a copy by state_dict")
        + ("memory", "factors changed in eval mode")
    )
    torch.manual_seed(0)
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
        text = "its output stays the same when its factors change: forward uses what they were once"
        return Verdict("stale", text)
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
    elif "bias" not in found and isinstance(vars(layer).get("bias"), Tensor):
        kind = "bias no parameter"
        text += "\n`self.bias` is a tensor and no nn.Parameter: no optimizer will find it"
    return Verdict(kind, text)


def start_verdict(answer: Callable) -> Verdict:
    """Whether the weight starts with the variance of nn.Linear's."""
    for shape, classes, rank in (((64, 7, 7), 10, 50), ((30, 20), 20, 50)):
        # Memory that nobody has set holds NaN in this mode.
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)
        try:
            layer, other = answer(shape, classes, rank), answer(shape, classes, rank)
        finally:
            torch.use_deterministic_algorithms(before)
        found = scale_verdict(layer, shape, classes, rank)
        if found != RIGHT:
            return found
    if all(map(torch.equal, layer.factors, other.factors)):
        text = "two new layers start with the very same factors"
        return Verdict("start the same", text)
    return RIGHT


def scale_verdict(layer: nn.Module, shape: tuple[int, ...], classes: int, rank: int) -> Verdict:
    call = f"CPTRL({shape}, {classes}, {rank})"
    values = {name: value.detach() for name, value in layer.named_parameters()}
    for name, value in values.items():
        if not value.isfinite().all():
            text = "torch.empty gives whatever stood in memory: set it"
            return Verdict(f"{name} not set", f"`{name}` starts with numbers nobody set: {text}")
    letters = LETTERS[: len(shape) + 1]
    equation = ",".join(letter + "r" for letter in letters) + "->" + letters
    weight = torch.einsum(equation, *(values[f"factors.{k}"] for k in range(len(letters))))
    ratio = weight.square().mean().item() * 3 * math.prod(shape)
    share = weight.mean().item() ** 2 * 3 * math.prod(shape) / max(ratio, 1e-30)
    if ratio >= 1e-6 and share > 0.1:
        text = (
            f"{call} starts with a weight whose mean is {weight.mean().item():.2g}, its spread "
            f"{weight.std().item():.2g}; expected a mean of about 0"
        )
        return Verdict("start not around 0", text)
    if not 0.5 < ratio < 2:
        text = (
            f"{call} starts with a weight whose variance is {ratio:.3g} times that of nn.Linear's; "
            f"expected about 1"
        )
        bounds = {1e-6: "about nothing", 1: "small", 5.5: "three times", 25: "large", 100: "rank"}
        kind = next((kind for bound, kind in bounds.items() if ratio < bound), "huge")
        return Verdict(f"start {kind}, {len(shape)} modes", text)
    if values["bias"].abs().mean() > 0.2:
        spread = values["bias"].abs().mean().item()
        text = f"the bias of {call} starts at {spread:.2g} on average; start it at 0 or close to it"
        return Verdict("start of bias", text)
    return RIGHT


def gradient_verdict(layer: nn.Module, output: Tensor) -> Verdict:
    """Whether a gradient of the output reaches every parameter; it is left there."""
    names = [name for name, _ in layer.named_parameters()]
    if output.requires_grad:
        torch.sin(output).sum().backward()
        names = [name for name, value in layer.named_parameters() if value.grad is None]
    if names:
        return Verdict("no gradient", f"no gradient reaches {', '.join(names)}")
    return RIGHT


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


def train_cptrl_digits(images: Tensor, labels: Tensor, rank: int) -> nn.Module:
    layer = CPTRL(tuple(images.shape[1:]), 10, rank)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(layer(images), labels).backward()
        optimizer.step()
    return layer


def train_cptrl_digits_cases(draw: Draw) -> Iterator[Case]:
    images, labels, _, _ = digits()
    start = draw.choice(0, range(100, 600, 100))
    part = slice(start, start + 600)
    yield Case((images[part], labels[part], draw.choice(10, (11, 12, 13))))
    few = images[:FEW], labels[:FEW], draw.choice(3, (2, 4, 6))
    yield Case(few, "another rank; with so few images, only the size of the layer is looked at")


def trained(answer: Callable, images: Tensor, labels: Tensor, rank: int) -> dict[str, Verdict]:
    """Whether what comes is a CP TRL of that rank that reads held-out digits."""
    torch.manual_seed(0)
    layer = answer(images, labels, rank)
    found = {"size": RIGHT, "held out": RIGHT}
    if not isinstance(layer, nn.Module):
        kind = "tensor" if isinstance(layer, Tensor) else type(layer).__name__
        got = f"a {kind} of {len(layer)}" if isinstance(layer, tuple | list) else describe(layer)
        text = f"must return the trained layer and nothing else, got {got}"
        return {**found, "size": Verdict(f"returns {kind}", text)}
    count = sum(parameter.numel() for parameter in layer.parameters())
    expected = rank * (8 + 8 + 10) + 10
    if count != expected:
        text = (
            f"the layer that comes back has {count:,} parameters; CPTRL((8, 8), 10, {rank}) has "
            f"{expected:,}"
        )
        return {**found, "size": Verdict("size", text)}
    if len(images) == FEW:
        return found
    _, _, others, theirs = digits()
    # Anybody can look these digits up; what counts is what was learned, in a layer made here.
    learned = CPTRL(tuple(images.shape[1:]), 10, rank)
    try:
        learned.load_state_dict({name: value for name, value in layer.named_parameters()})
    except RuntimeError:
        text = "the layer that comes back has other parameters than CPTRL((8, 8), 10, rank)"
        return {**found, "held out": Verdict("another layer", text)}
    with torch.no_grad():
        scores = learned(others)
        changed = {
            "transposed": learned(others.mT.contiguous()),
            "normalized": learned((others - images.mean()) / images.std()),
        }
    if not scores.isfinite().all():
        text = "its outputs are NaN or infinite: the training diverged"
        return {**found, "held out": Verdict("diverged", text)}
    accuracy = (scores.argmax(1) == theirs).double().mean().item()
    if accuracy < HELD_OUT:
        loss = nn.functional.cross_entropy(scores, theirs).item()
        kind = "halfway" if accuracy > 0.3 else "worse" if loss > 5 else "untrained"
        for name, other in changed.items():
            if (other.argmax(1) == theirs).double().mean() >= HELD_OUT:
                kind = name
        text = (
            f"reads {accuracy:.1%} of {len(theirs)} digits that it has never seen; expected at "
            f"least {HELD_OUT:.0%}\nits loss on them is {loss:.3g}; that of guessing is 2.3"
        )
        if kind in changed:
            text += f"\n{kind} ones it reads well"
        found["held out"] = Verdict(kind, text)
    return found


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
    yield Case((draw.choice(128, [64, 256]), (512, 7, 7), 10, 100))
    yield Case((draw.choice(128, [64, 256]), (512, 7, 7), 1000, 100))
    batch, *shape, classes, rank = draw.sizes(8, 3, 4, 5, 6, 7, 9)
    yield Case((batch, tuple(shape), classes, rank), "four input modes")
    yield Case((batch, tuple(shape[:1]), classes, rank), "one input mode")
    yield Case((3, (3, 3, 3), 3, 3), "all sizes equal")


def crossover_classes(batch_size: int, input_shape: Sequence[int], rank: int) -> int:
    classes = 1
    while True:
        rebuild, by_modes = cp_flops(batch_size, input_shape, classes, rank)
        if by_modes < rebuild:
            return classes
        classes += 1


def crossover_classes_cases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.choice(128, [64, 96, 256]), (512, 7, 7), 100))
    yield Case((draw.choice(32, [16, 48]), (512, 7, 7), 1000))
    yield Case((draw.choice(500, [300, 400]), (64, 7, 7), 40))
    yield Case((draw.choice(3000, [2500, 4000]), (512, 7, 7), 3000), "well above 1000 classes")
    yield Case((draw.choice(128, [64, 96]), (7, 7, 64), 100), "a small first mode")
    yield Case((draw.choice(8, [9, 10]), (3, 4, 5), 12), "a small activation")
    yield Case((2, (2,), 2), "equal costs at 2 classes: not yet fewer")
    yield Case((1, (8, 8), 1), "a batch of one, rank 1")


def cp_saving_rank(input_shape: Sequence[int], num_classes: int, baseline: int) -> int:
    rank, each = 0, sum(input_shape) + num_classes
    while (rank + 1) * each + num_classes < baseline:
        rank += 1
    return rank


def cp_saving_rank_cases(draw: Draw) -> Iterator[Case]:
    yield Case(((512, 7, 7), 10, 250_890), "one Linear(25088, 10)")
    yield Case(((512, 7, 7), 1000, 25_089_000), "one Linear(25088, 1000)")
    yield Case(((512, 7, 7), 10, 119_586_826), "three Linears: 25088 to 4096 to 4096 to 10")
    shape, classes = draw.sizes(3, 4, 5), 6
    size = sum(shape) + classes
    middle, most = draw.choice(7, (4, 5, 9)), draw.choice(3, (2, 4, 6))
    yield Case((shape, classes, most * size + classes + middle))
    yield Case((shape, classes, most * size + classes), "as many parameters are no saving")
    yield Case((shape, classes, most * size + classes + 1), "one fewer is")
    yield Case((shape, classes, classes - 1), "no rank saves anything: 0")
    yield Case(((8, 8), 10, 650), "a Linear on the digits")


EXERCISES = (
    Exercise(
        "cp_forward_rebuild",
        ("x", "factors", "bias"),
        cp_forward_rebuild,
        forward_cases,
        probe=rebuilt,
    ),
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
        uses=("cp_forward_rebuild", "cp_forward_by_modes", "cp_factor_std"),
        gradients=False,
        probe=tried_layer,
    ),
    Exercise(
        "train_cptrl_digits",
        ("images", "labels", "rank"),
        train_cptrl_digits,
        train_cptrl_digits_cases,
        uses=("cp_forward_rebuild", "cp_forward_by_modes", "cp_factor_std", "CPTRL"),
        gradients=False,
        probe=trained,
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
    Exercise(
        "cp_saving_rank",
        ("input_shape", "num_classes", "baseline"),
        cp_saving_rank,
        cp_saving_rank_cases,
        gradients=False,
    ),
    Quiz("quiz_rank_index", "abcd"),
    Quiz("quiz_rank_10000", "abcd"),
    Quiz("quiz_kept_weight", "abcd"),
)
