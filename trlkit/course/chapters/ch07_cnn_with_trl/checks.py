"""Chapter 07: a CNN with a TRL. Oracles run torch's own layers and optimizers."""

import copy
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trlkit.course.chapters.ch07_cnn_with_trl.networks import (
    adam,
    conv_flatten_linear,
    filled,
    frozen_with_old_gradients,
    linear_batchnorm_dropout_linear,
    linear_batchnorm_linear,
    linear_in_a_sequential,
    linear_model,
    linear_with_old_gradients,
    partly_frozen,
    sgd,
    some_chain,
    some_cp,
    some_dropout,
    some_linear,
    some_named,
    some_partly_frozen,
    with_gradients,
)
from trlkit.course.checking import heads
from trlkit.course.checking.answer import RIGHT, Recipe, Verdict, plain
from trlkit.course.checking.compare import describe, difference
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.lab import features
from trlkit.lab.statistics import interval
from trlkit.layers import CPTRL


def activation_shape(
    layers: Sequence[tuple], input_shape: tuple[int, int, int]
) -> tuple[int, int, int]:
    x = torch.empty(1, *input_shape, device="meta")
    for kind, *numbers in layers:
        if kind == "conv":
            made = nn.Conv2d(x.shape[1], *numbers, device="meta")
        else:
            made = nn.MaxPool2d(*numbers)
        x = made(x)
    return tuple(x.shape[1:])


def activation_shape_cases(draw: Draw) -> Iterator[Case]:
    more, most = draw.choice(32, range(5, 32)), draw.choice(64, range(33, 64))
    course = [("conv", more, 3, 1, 0), ("pool", 2, 2), ("conv", most, 3, 1, 0)]
    yield Case((course[:1], (3, 32, 32)), "one convolution")
    yield Case((course, (3, 32, 32)), "the network of this chapter")
    yield Case((course, (3, draw.choice(29, range(21, 60, 2)), 40)), "images that are not square")
    overlapping = [("pool", 3, 2), ("conv", 8, 5, 2, 2), ("pool", 3, 3)]
    yield Case((overlapping, (4, draw.choice(64, range(58, 90)), 56)), "other windows and strides")
    padded = [("conv", 8, 3, 1, 1), ("conv", 8, 3, 1, 1), ("pool", 2, 2)] * 2
    yield Case((padded, (1, 28, draw.choice(20, range(22, 60, 2)))), "padding, as in VGG")
    yield Case(
        ([("pool", 3, 2)], (5, draw.choice(9, range(7, 40, 2)), 10)), "an overlapping pooling last"
    )
    yield Case(
        ([("pool", 2, 3)], (2, draw.choice(8, range(11, 60, 3)), 7)), "a stride past the window"
    )
    yield Case(
        ([("conv", 6, 11, 4, 2)], (3, 224, draw.choice(227, range(228, 300)))), "as in AlexNet"
    )
    yield Case(
        ([("conv", 1, 4, 3, 1)], (1, 5, draw.choice(10, (11, 13, 14, 16, 17, 19, 20)))),
        "the last does not fit",
    )
    yield Case(([("conv", 7, 5, 1, 0)], (1, 5, 6)), "one window")
    yield Case(([], (3, 17, 9)), "no layer")


def head_parameters(
    input_shape: Sequence[int], hidden: int, num_classes: int, rank: int
) -> tuple[int, int]:
    first = nn.Linear(math.prod(input_shape), hidden, device="meta")
    last = nn.Linear(hidden, num_classes, device="meta")
    factors = [torch.empty(size, rank, device="meta") for size in (*input_shape, num_classes)]
    linear = sum(p.numel() for layer in (first, last) for p in layer.parameters())
    return linear, sum(factor.numel() for factor in factors) + num_classes


def head_parameters_cases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.sizes(4, 3, 2), *draw.sizes(5, 6, 7)))
    rank = draw.choice(100, (20, 50, 80))
    yield Case(((64, 13, 13), 128, 10, rank), "the network of this chapter")
    yield Case((draw.sizes(9, 5), *draw.sizes(8, 3, 1)), "two input modes")
    yield Case(((64, 21, 21), 128, 7, rank), "faces of 48 x 48 pixels")
    yield Case((draw.sizes(6), *draw.sizes(4, 3, 2)), "one input mode")
    yield Case(((3, 1, 2, 5, 4), 1, *draw.sizes(4, 3)), "five input modes")


class CNNWithTRL(nn.Module):
    def __init__(self, num_classes, rank, image_size=32):
        super().__init__()
        self.conv_layer1 = nn.Conv2d(3, 32, kernel_size=3)
        self.max_pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
        self.trl = CPTRL(_activation(image_size), num_classes, rank)

    def forward(self, x):
        return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))


def _activation(image_size: int) -> tuple[int, int, int]:
    layers = [("conv", 32, 3, 1, 0), ("pool", 2, 2), ("conv", 64, 3, 1, 0)]
    return activation_shape(layers, (3, image_size, image_size))


def network_cases(draw: Draw) -> Iterator[Case]:
    classes, rank = draw.sizes(10, 6)
    yield Case((classes, rank, 32))
    yield Case((7, draw.choice(3, (4, 5)), 24), "other images, other classes")
    yield Case((draw.choice(4, (3, 5)), 8, 17), "images of an odd size")
    yield Case((3, 1, 20), "rank 1")


def tried_network(answer: Callable, num_classes: int, rank: int, image_size: int) -> dict:
    """What a network of these sizes is made of and gives, and which gradients it passes on."""
    found = dict.fromkeys(("parameters", "output", "x afterwards", "gradient reaches all"))
    found |= dict.fromkeys(("gradient of conv_layer1.weight", "in eval mode", "a batch of one"))
    torch.default_generator.manual_seed(0)
    network = answer(num_classes, rank, image_size)
    shapes = {
        name: tuple(value.shape)
        for name, value in CNNWithTRL(num_classes, rank, image_size).named_parameters()
    }
    found["parameters"] = parameters_verdict(network, shapes, _activation(image_size))
    if found["parameters"] != RIGHT:
        return found
    network = network.double().train()
    filled(network, seed=1)
    x = Draw(0).normal(2, 3, image_size, image_size)
    given = x.clone()
    found["output"] = output = network(given)
    same = torch.equal(given, x)
    found["x afterwards"] = RIGHT if same else Verdict("changed", "forward changes x in place")
    if not isinstance(output, Tensor) or output.shape != (2, num_classes):
        return found
    network.zero_grad()
    if output.requires_grad:
        torch.sin(output).sum().backward()
    lost = [name for name, value in network.named_parameters() if value.grad is None]
    if lost:
        text = f"no gradient reaches {', '.join(lost)}"
        found["gradient reaches all"] = Verdict("no gradient", text)
        return found
    found["gradient reaches all"] = RIGHT
    found["gradient of conv_layer1.weight"] = network.conv_layer1.weight.grad
    with torch.no_grad():
        found["in eval mode"] = network.eval()(x.clone())
        found["a batch of one"] = network(x[:1].clone())
    return found


def parameters_verdict(network: Any, expected: dict[str, tuple], activation: tuple) -> Verdict:
    if not isinstance(network, nn.Module):
        text = "CNNWithTRL(...) is no nn.Module: start with `class CNNWithTRL(nn.Module):`"
        return Verdict("no module", text)
    found = {name: tuple(value.shape) for name, value in network.named_parameters()}
    kept = [name for name, _ in network.named_children() if name in ("fc1", "relu1", "fc2")]
    if found == expected and not kept:
        return RIGHT
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    kind = "parameters " + str(sorted(found.items() ^ expected.items()))
    if linear:
        text = (
            f"a linear layer is left in the network: {', '.join(linear)}\n"
            f"the TRL takes the place of the flatten and of every linear layer"
        )
        return Verdict("linear layers " + str(sorted(linear)), text)
    if found == expected:
        text = f"{', '.join(kept)} of the old head is left in the network; all of it goes"
        return Verdict("kept " + str(kept), text)
    if found.keys() == expected.keys():
        wrong = [name for name in found if found[name] != expected[name]]
        text = "\n".join(
            f"its parameter {name} has shape {found[name]}, expected {expected[name]}"
            for name in wrong
        )
        sizes = [f"trl.factors.{mode}" for mode in range(len(activation))]
        if any(found[name][:1] != expected[name][:1] for name in sizes):
            text += f"\nthe convolutions and the pooling of CNNWithFC give {activation} here"
        return Verdict(kind, text)
    missing = [name for name in expected if name not in found]
    more = [name for name in found if name not in expected]
    text = "its parameters are not those that the text asks for"
    text += f"\nmissing: {', '.join(missing)}" * bool(missing)
    text += f"\nand more than asked for: {', '.join(more)}" * bool(more)
    return Verdict(kind, text)


def state(model: nn.Module) -> dict[str, tuple]:
    """What a call that only looks at a model must leave as it was."""
    return {
        name: (value.requires_grad, value.detach().clone(), copy.deepcopy(value.grad))
        for name, value in model.named_parameters()
    } | {name: (module.training,) for name, module in model.named_modules()}


def state_verdict(model: nn.Module, before: dict[str, tuple]) -> Verdict:
    """Whether a model is as it was, and if not, what has changed and what comes of it."""
    after = state(model)
    if any(before[name][0] != after[name][0] for name, _ in model.named_parameters()):
        text = "after the call `requires_grad` of the parameters is another: whoever wants"
        return Verdict("frozen", f"{text}\nto go on training cannot, or trains what was frozen")
    for name, value in model.named_parameters():
        _, weight, gradient = before[name]
        if not torch.equal(value, weight):
            return Verdict("parameters", f"the parameter {name} is not what it was")
        if (value.grad is None) != (gradient is None) or (
            gradient is not None and not torch.equal(value.grad, gradient)
        ):
            text = f"the gradient of {name} is not what it was; an optimizer may still need it"
            return Verdict("gradients", text)
    if any(before[name] != after[name] for name, _ in model.named_modules()):
        return Verdict("mode", "the call leaves the network in another mode than it came in")
    return RIGHT


def train_on_batch(model: nn.Module, optimizer: Any, x: Tensor, labels: Tensor) -> float:
    model.train()
    for parameter in model.parameters():
        parameter.grad = None
    loss = -torch.log_softmax(model(x), dim=1)[range(len(labels)), labels].mean()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter, gradient in zip(learning, torch.autograd.grad(loss, learning), strict=True):
        parameter.grad = gradient
    optimizer.step()
    return loss.item()


def stepped(
    answer: Callable, model: nn.Module, make_optimizer: Callable, x: Tensor, labels: Tensor
) -> dict:
    """What three calls on one batch return, and what they leave behind."""
    optimizer = make_optimizer(model.parameters())
    found = {}
    for call in ("first", "second", "third"):
        found[f"the loss that the {call} call returns"] = answer(model, optimizer, x, labels)
    for name, value in model.named_parameters():
        found[f"the parameter {name} after three calls"] = value
    for name, value in model.named_buffers():
        found[f"the buffer {name} after three calls"] = value
    found["mode"] = mode_verdict(model, training=True)
    found["what learns"] = ", ".join(n for n, p in model.named_parameters() if p.requires_grad)
    return found


def mode_verdict(model: nn.Module, training: bool) -> Verdict:
    """Whether every module is in the mode that is expected."""
    if all(module.training == training for module in model.modules()):
        return RIGHT
    modes = ("eval", "training")
    which = "some of its modules are" if model.training == training else "the model is"
    found = f"{which} in {modes[not training]} mode"
    return Verdict(found, f"after the call {found}, expected {modes[training]} mode")


def train_on_batch_cases(draw: Draw) -> Iterator[Case]:
    batch, features, classes = draw.sizes(6, 4, 3)

    def labels(count: int, among: int = classes) -> Tensor:
        return (draw.normal(count).abs() * 100).long() % among

    sizes = (features, classes)
    x, y = draw.normal(batch, features), labels(batch)
    yield Case((Recipe(linear_model, sizes), Recipe(sgd, (0.1,)), x, y))
    x, y = draw.normal(batch + 2, features), labels(batch + 2, classes - 1)
    case = (Recipe(linear_model, sizes), Recipe(adam, (0.05,)), x, y)
    yield Case(case, "Adam, and a batch without the last class")
    x, y = draw.normal(batch + 1, features), labels(batch + 1)
    case = (Recipe(linear_batchnorm_linear, sizes), Recipe(sgd, (0.2,)), x, y)
    yield Case(case, "a batch norm, and the model comes in eval mode")
    x, y = draw.normal(batch, features), labels(batch)
    case = (Recipe(linear_with_old_gradients, sizes), Recipe(sgd, (0.1,)), x, y)
    yield Case(case, "there are gradients before the first call")
    x, y = draw.normal(batch, 3, 8, 8), labels(batch)
    case = (Recipe(conv_flatten_linear, sizes), Recipe(sgd, (0.1,)), x, y)
    yield Case(case, "images, not yet flattened")
    case = (Recipe(partly_frozen, sizes), Recipe(sgd, (0.1,)), *case[2:])
    yield Case(case, "a frozen convolution")
    case = (Recipe(frozen_with_old_gradients, sizes), *case[1:])
    yield Case(case, "the same, and there are gradients before the first call")
    x, y = 10_000 * draw.normal(batch + 2, features), labels(batch + 2)
    case = (Recipe(linear_model, sizes), Recipe(sgd, (0.1,)), x, y)
    yield Case(case, "large logits")


def accuracy_of(model: nn.Module, x: Tensor, labels: Tensor) -> float:
    was = model.training
    model.eval()
    right = 0
    with torch.no_grad():
        for scores, label in zip(model(x).tolist(), labels.tolist(), strict=True):
            right += scores.index(max(scores)) == label
    model.train(was)
    return right / len(labels)


def accuracy_cases(draw: Draw) -> Iterator[Case]:
    features, classes = draw.sizes(4, 3)
    sizes = (features, classes)

    def case(
        recipe: Recipe, note: str, count: int = 61, shape: tuple = (features,), size: int = 2
    ) -> Case:
        x = size * draw.normal(count, *shape)
        with torch.no_grad():
            scores = recipe.build().eval()(x)
        # The greatest logit of all stands in the first row: an argmax over the whole batch is a
        # class then, and gives another share than the comparison of logits with labels, 0.
        first = int(scores.max(1).values.argmax())
        x, scores = x.roll(-first, 0), scores.roll(-first, 0)
        labels = scores.argmax(1)
        # Among those that are classified wrong the label is at the second logit or at the last.
        order = scores[-(count // 5) :].argsort(1, descending=True)
        labels[-(count // 5) :] = order[:, 1]
        labels[-(count // 5) :: 2] = order[::2, -1]
        return Case((recipe, x, labels), note)

    dropout = linear_batchnorm_dropout_linear
    yield case(Recipe(linear_in_a_sequential, sizes), "one linear layer")
    yield case(Recipe(dropout, (*sizes, "train")), "a model with dropout, in training mode")
    yield case(Recipe(dropout, (*sizes, "eval")), "the same model, in eval mode")
    yield case(Recipe(dropout, (*sizes, "train")), "ten samples", count=10)
    yield case(Recipe(conv_flatten_linear, sizes), "images, not yet flattened", shape=(3, 8, 8))
    *frozen, labels = case(Recipe(partly_frozen, sizes), "", shape=(3, 8, 8)).args
    note = "a frozen convolution, and no label is the last class"
    yield Case((*frozen, labels.clamp(max=classes - 2)), note)
    yield case(Recipe(linear_in_a_sequential, sizes), "large logits", size=10_000)


def measured(answer: Callable, model: nn.Module, x: Tensor, labels: Tensor) -> dict:
    """The accuracy that comes back, and what the call did to the model."""
    torch.default_generator.manual_seed(0)
    training, before = model.training, state(with_gradients(model))
    found = {"accuracy": answer(model, x, labels), "mode": mode_verdict(model, training)}
    text = "the forward pass recorded everything for a backward pass that never comes"
    found["gradients"] = Verdict("recorded", text) if model.recorded else RIGHT
    if not torch.is_grad_enabled():
        torch.set_grad_enabled(True)
        text = "after the call gradients are switched off for all that comes: no training works"
        found["gradients"] = Verdict("switched off", text)
    with torch.no_grad():
        answer(model, x, labels)
        if torch.is_grad_enabled():
            text = "called where gradients are switched off, it leaves them switched on"
            found["gradients"] = Verdict("switched on", text)
    found["the model"] = state_verdict(model, before)
    for name, value in model.named_buffers():
        found[f"the buffer {name} afterwards"] = value
    return found


# ---- what a step does -----------------------------------------------------------------------


def first_step(gradients: Sequence[Tensor], rate: float, optimizer: str) -> float:
    """Make the step with torch's optimizer, on a loss that is linear."""
    parameters = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    makers = {"sgd": torch.optim.SGD, "adam": functools.partial(torch.optim.Adam, eps=1e-200)}
    makers[optimizer](parameters, lr=rate).step()
    both = zip(gradients, parameters, strict=True)
    return sum((gradient * moved.detach()).sum().item() for gradient, moved in both)


def first_step_cases(draw: Draw) -> Iterator[Case]:
    one = [torch.tensor([3.0, -4.0], dtype=torch.float64)]
    rate = draw.choice(0.1, (0.02, 0.3))
    for optimizer in ("sgd", "adam"):
        yield Case((one, rate, optimizer))
    several = [draw.normal(*draw.sizes(4, 3)), draw.normal(3).abs() * 100, draw.normal(2, 2, 2)]
    for optimizer in ("adam", "sgd"):
        yield Case((several, rate, optimizer), "several parameters")
    none = [torch.zeros(2, dtype=torch.float64), draw.normal(3, 2).T]
    for optimizer in ("sgd", "adam"):
        yield Case((none, 1e-3, optimizer), "a parameter without influence")
    yield Case(([1e20 * draw.normal(3)], 1e-3, "sgd"), "large, and no float32 on the way")


class Quick(nn.Module):
    def __init__(self, layer: nn.Module, times: float):
        super().__init__()
        self.layer, self.times = copy.deepcopy(layer), times
        with torch.no_grad():
            for parameter in self.layer.parameters():
                parameter.div_(times)

    def forward(self, x: Tensor) -> Tensor:
        larger = {name: self.times * p for name, p in self.layer.named_parameters()}
        return torch.func.functional_call(self.layer, larger, (x,))


def quick_probe(answer: Callable, layer: nn.Module, times: float, rate: float, x: Tensor) -> Any:
    """Train both by Adam, the quick one at ``rate``, the other at ``times`` the rate."""
    parts = "the module", "the layer that it was given", "modes", "at the start"
    found = dict.fromkeys((*parts, "the gradient of x"), RIGHT) | {"after five steps": None}
    reference, before = copy.deepcopy(layer), state(layer)
    quick = answer(layer, times)
    if not isinstance(quick, nn.Module):
        text = f"Quick(layer, times) must be an nn.Module, it is {describe(plain(quick))}"
        return found | {"the module": Verdict("no module", text)}
    sizes = [sum(p.numel() for p in module.parameters()) for module in (quick, layer)]
    if sizes[0] != sizes[1]:
        text = f"it has {sizes[0]} parameters, expected {sizes[1]}, as many as the layer"
        return found | {"the module": Verdict(f"{sizes[0]} parameters", text)}
    sizes = [sum(p.numel() for p in _learning(module)) for module in (quick, layer)]
    if sizes[0] != sizes[1]:
        text = f"{sizes[0]} of its parameters learn (requires_grad), expected {sizes[1]}, "
        text += "as many as in the layer"
        return found | {"the module": Verdict(f"{sizes[0]} learn", text)}
    found["the layer that it was given"] = state_verdict(layer, before)
    if found["the layer that it was given"] != RIGHT:
        return found
    if _draws(quick, x) != (drops := _draws(reference, x)):
        text = "the layer comes in eval mode, and quick draws (dropout) before any quick.train()"
        if drops:
            text = "the layer's dropout draws as it comes, and that of quick does not before any\n"
            text += "quick.train()"
        return found | {"modes": Verdict(f"at first {'no ' * drops}draws", text)}
    drops = _draws(reference.train(), x)
    if _draws(quick.eval(), x):
        text = "after quick.eval() two calls with the same x give different outputs\n"
        text += "dropout draws on: the mode does not arrive at the layer inside"
        return found | {"modes": Verdict("draws in eval mode", text)}
    if drops and not _draws(quick.train(), x):
        text = "after quick.train() the layer's dropout does not draw: the mode does not arrive\n"
        text += "at the layer inside"
        return found | {"modes": Verdict("no draws in training mode", text)}
    reference.eval()
    quick.eval()
    with torch.no_grad():
        gap = difference(reference(x), quick(x))
    if gap:
        text = f"before any step it gives something else than the layer: {gap.text}"
        return found | {"at the start": Verdict("another start " + _how(reference, quick, x), text)}
    gradients = []
    for module in (reference, quick):
        given = x.clone().requires_grad_()
        output = module(given).square().sum()
        found_one = torch.autograd.grad(output, given, allow_unused=True)[0]
        gradients.append(torch.zeros_like(x) if found_one is None else found_one)
    gap = difference(*gradients)
    if gap:
        text = f"the gradient that reaches x is not that of the layer: {gap.text}"
        return found | {"the gradient of x": Verdict("another gradient", text)}
    if _learning(quick) and not quick(x).requires_grad:
        text = "no gradient reaches the parameters of quick: as autograd sees it,\n"
        text += "what it gives does not depend on them"
        return found | {"the parameters": Verdict("no gradient", text)}
    target = torch.sin(torch.arange(1.0, 1 + reference(x).numel(), dtype=x.dtype))
    for module, lr in ((reference, times * rate), (quick, rate)):
        optimizer = torch.optim.Adam(module.parameters(), lr=lr, eps=1e-30)
        for _ in range(5):
            optimizer.zero_grad()
            (module(x).flatten() - target).square().sum().backward()
            optimizer.step()
    with torch.no_grad():
        expected, got = reference(x), quick(x)
    gap = difference(expected, got)
    if gap:
        text = f"after five steps it is not where the layer is at {times:g} times the rate"
        kind = f"other steps {got.flatten()[0].item():.6g}"
        return found | {"after five steps": Verdict(kind, f"{text}\n{gap.text}")}
    left = state_verdict(layer, before)
    if left != RIGHT:
        text = "quick was called, and trained for five steps; now the layer that it was given\n"
        text += "is not as it was:\n"
        text += left.text
        return found | {"the layer that it was given": Verdict(f"{left.kind} later", text)}
    return found | {"after five steps": RIGHT}


def _learning(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _draws(module: nn.Module, x: Tensor) -> bool:
    """Whether a module gives something else each time."""
    with torch.no_grad():
        return difference(module(x), module(x)) is not None


def _how(one: nn.Module, other: nn.Module, x: Tensor) -> str:
    with torch.no_grad():
        return f"{(other(x).flatten()[0] / one(x).flatten()[0]).item():.4g}"


def quick_cases(draw: Draw) -> Iterator[Case]:
    seed = draw.choice(1, range(2, 20))
    times = draw.choice(10.0, (5.0, 20.0))
    x = draw.normal(4, 6)
    yield Case((Recipe(some_linear, (6, 3, seed)), times, 0.003, x), "one linear layer")
    x = draw.normal(4, 5, 4, 3).movedim(1, 3)
    uneven = draw.choice(2.5, (1.5, 3.5))
    yield Case((Recipe(some_cp, ((4, 3, 5), 3, seed)), uneven, 0.004, x), "a CP TRL")
    x = draw.normal(2, 3, 8, 8)
    layer = Recipe(some_chain, (seed,))
    yield Case((layer, 4.0, 0.001, x), "a convolution, a ReLU and a linear layer")
    layer = Recipe(some_partly_frozen, (seed,))
    yield Case((layer, 4.0, 0.001, x), "the same, the convolution frozen")
    layer = Recipe(some_dropout, (6, 3, seed))
    yield Case((layer, times, 0.001, draw.normal(4, 6)), "a layer with dropout")
    layer = Recipe(some_dropout, (6, 3, seed, "eval"))
    yield Case((layer, times, 0.001, draw.normal(4, 6)), "the same, and it comes in eval mode")
    layer = Recipe(some_named, (6, 3, seed))
    yield Case((layer, times, 0.001, draw.normal(4, 6)), "layers named layer_1 and layer_2")


# ---- two heads, compared --------------------------------------------------------------------


def fair_comparison(
    score: Callable, rates: Sequence[float], choosing: Sequence[int], judging: Sequence[int]
) -> tuple:
    best = [
        max(rates, key=lambda rate: sum(score(head, rate, seed) for seed in choosing))
        for head in ("first", "second")
    ]
    gains = [score("first", best[0], seed) - score("second", best[1], seed) for seed in judging]
    mean, half = interval(gains)
    says = "first" if mean > half else "second" if mean < -half else "not shown"
    return (*best, mean, half, says)


def comparison_probe(
    answer: Callable, rates: Sequence[float], choosing: Sequence, judging: Sequence, peaks: tuple
) -> Any:
    """Heads of which each likes a rate of its own, and single seeds like others.

    Two heads that like the same, and are as good, are the same head.
    """
    asked: list[tuple] = []

    def score(head: str, rate: float, seed: int) -> float:
        if len(asked) > 8 * len(rates) * (len(choosing) + len(judging)):
            raise RuntimeError("far more trainings than the question needs")
        asked.append((head, rate, seed))
        peak, gain = peaks[head == "second"]
        place = sorted(rates).index(rate)
        luck = 9 * math.sin(3.7 * seed) + (8.0 if place == seed % len(rates) else 0.0)
        own = math.sin(11 * seed + (head == "first" and peaks[0] != peaks[1]))
        return 50 + gain - 3 * abs(place - peak) + luck + own

    given = list(rates), list(choosing), list(judging)
    found = answer(score, *given)
    names = ("rate of the first", "rate of the second", "mean", "half", "what it says")
    if not isinstance(found, tuple | list) or len(found) != 5:
        text = f"must return five values, {', '.join(names)}; got {describe(plain(found))}"
        return {"the form": Verdict("form", text)}
    lists = RIGHT
    if given != (list(rates), list(choosing), list(judging)):
        text = "the call changes a list that it was given (`sort`, `append`, `pop`); work on a copy"
        lists = Verdict("lists changed", text)
    return {"the form": RIGHT, "the lists": lists, **dict(zip(names, found, strict=True))}


def comparison_cases(draw: Draw) -> Iterator[Case]:
    rates, gain = [0.001, 0.003, 0.01, 0.03], draw.choice(5.0, (4.0, 6.0))
    ahead = draw.choice(24.0, (22.0, 23.0))
    yield Case((rates, [0, 1, 2], [10, 14, 18, 13], ((1, gain), (2, 0.0))), "another rate each")
    yield Case((rates, [0, 1, 2], [20, 21, 22], ((2, 0.0), (1, 0.2))), "as good as each other")
    seeds = [4, 5, 6], [7, 8, 9, 10, 11]
    yield Case((rates[:3], *seeds, ((0, 0.0), (2, gain))), "the second ahead, and not shown")
    yield Case((rates[:3], *seeds, ((0, 0.0), (2, ahead))), "the second better")
    yield Case((rates[:3], *seeds, ((2, ahead), (0, 0.0))), "the first better")
    yield Case((rates, *seeds, ((2, gain), (2, gain))), "the same head twice")
    yield Case((rates[1:], [3], [1, 2], ((1, gain), (1, 0.0))), "one seed to choose by")
    # The seeds of the choice make a second peak, and the gain is one and a half times `half`.
    mixed, narrow = [0.01, 0.001, 0.03, 0.003], draw.choice(5.0, (4.9, 5.1, 5.2))
    seeds = [3, 7, 11], [10, 14, 18, 13]
    yield Case((mixed, *seeds, ((1, narrow), (0, -3.0))), "rates in no order, and a narrow win")
    yield Case((mixed, *seeds, ((0, -2.0), (1, narrow))), "the second wins as narrowly")
    case = (rates, [0, 3, 7], [10, 14], ((1, gain), (2, 0.0)))
    yield Case(case, "more seeds to choose by than to judge by")


# ---- a head of at most 2,000 numbers --------------------------------------------------------

BUDGET, ENOUGH, RATE = 2000, 85.0, 0.03
LYING = "activations that are not contiguous in memory"


def small_head(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return CPTRL(input_shape, num_classes, rank=16)


def small_head_probe(answer: Callable, shape: tuple, classes: int, seeds: tuple, part: str) -> Any:
    form = heads.form(answer, shape, classes, BUDGET if seeds else None)
    if form == RIGHT and part == LYING:
        return lying_verdict(answer(shape, classes), shape)
    if form != RIGHT or not seeds:
        return form
    torch.default_generator.manual_seed(0)
    head = answer(shape, classes).eval()
    share = features.accuracy(head, part)
    if share > 50:
        text = f"reads {share:.0f} % before it is trained: the check trains it, in 60 steps"
        return Verdict("trained already", text)
    trained = [features.train_head(lambda: answer(shape, classes), seed, RATE)[0] for seed in seeds]
    share = sum(features.accuracy(head, part) for head in trained) / len(trained)
    if share >= ENOUGH:
        return RIGHT
    text = f"{heads.size(head):,} numbers read {share:.1f} % of digits not seen before; "
    text += f"{ENOUGH:g} are asked"
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    means = x.mean((2, 3), keepdim=True).expand_as(x)
    with torch.no_grad():
        y = trained[0](x)
        if torch.allclose(y, y[:1].expand_as(y), rtol=1e-6, atol=1e-6):
            text += "\nthree activations that differ get the same logits"
            return Verdict("blind", text)
        blind = torch.allclose(y, trained[0](means), rtol=1e-3, atol=1e-3)
        blind &= not torch.allclose(y, trained[0](2 * x), rtol=1e-3, atol=1e-3)
    return Verdict("blind to places" if blind else "reads too little", text)


def lying_verdict(head: nn.Module, shape: tuple[int, ...]) -> Verdict:
    """Whether a head takes an activation that lies in another order in memory as the same."""
    channels, height, width = shape
    drawn = torch.rand(3, width, height, channels, generator=torch.Generator().manual_seed(0))
    x = drawn.permute(0, 3, 2, 1)  # no view joins its modes
    head.eval()
    with torch.no_grad():
        gap = difference(head(x.contiguous()), head(x))
    if gap:
        text = f"an activation that is not contiguous in memory gives something else: {gap.text}"
        return Verdict("another output", text)
    return RIGHT


def small_head_cases(draw: Draw) -> Iterator[Case]:
    yield Case(((6, 4, 3), 4, (), "nothing"), "another activation, not trained")
    yield Case(((6, 4, 3), 4, (), LYING), "the same, in another order in memory")
    seeds, part = draw.choice((100, 101), [(102, 103)]), "test" if draw.hidden else "validation"
    yield Case((features.SHAPE, features.CLASSES, seeds, part))


EXERCISES = (
    Exercise(
        "activation_shape",
        ("layers", "input_shape"),
        activation_shape,
        activation_shape_cases,
        gradients=False,
    ),
    Exercise(
        "head_parameters",
        ("input_shape", "hidden", "num_classes", "rank"),
        head_parameters,
        head_parameters_cases,
        gradients=False,
    ),
    Exercise(
        "CNNWithTRL",
        ("num_classes", "rank", "image_size"),
        CNNWithTRL,
        network_cases,
        uses=("activation_shape",),
        gradients=False,
        probe=tried_network,
    ),
    Exercise(
        "train_on_batch",
        ("model", "optimizer", "x", "labels"),
        train_on_batch,
        train_on_batch_cases,
        gradients=False,
        probe=stepped,
    ),
    Exercise(
        "accuracy_of",
        ("model", "x", "labels"),
        accuracy_of,
        accuracy_cases,
        gradients=False,
        probe=measured,
    ),
    Exercise(
        "first_step",
        ("gradients", "rate", "optimizer"),
        first_step,
        first_step_cases,
        gradients=False,
    ),
    Exercise(
        "Quick",
        ("layer", "times", "rate", "x"),
        Quick,
        quick_cases,
        gradients=False,
        probe=quick_probe,
    ),
    Exercise(
        "fair_comparison",
        ("rates", "choosing", "judging", "peaks"),
        fair_comparison,
        comparison_cases,
        gradients=False,
        probe=comparison_probe,
    ),
    Exercise(
        "small_head",
        ("input_shape", "num_classes", "trained_from_seeds", "judged_on"),
        small_head,
        small_head_cases,
        gradients=False,
        probe=small_head_probe,
    ),
    Quiz("quiz_nonlinear", "abcd"),
)
