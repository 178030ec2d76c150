"""Chapter 07: a CNN with a TRL. Oracles count windows, or run torch's own layers."""

import copy
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trlkit.course.chapters.ch07_cnn_with_trl.networks import (
    adam,
    cnn_with_cp,
    cnn_with_tucker,
    conv_flatten_linear,
    filled,
    linear_batchnorm_dropout_linear,
    linear_batchnorm_linear,
    linear_in_a_sequential,
    linear_model,
    linear_with_old_gradients,
    nested_with_cp,
    recurrent,
    scaled,
    sgd,
    with_gradients,
)
from trlkit.course.checking import networks
from trlkit.course.checking.answer import RIGHT, Recipe, Verdict, plain
from trlkit.course.checking.compare import difference
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.layers import CPTRL


def conv_output_size(size: int, kernel_size: int, stride: int, padding: int) -> int:
    starts = range(-padding, size + padding, stride)
    return sum(start + kernel_size <= size + padding for start in starts)


def conv_output_size_cases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.choice(32, (24, 28, 30)), 3, 1, 0))
    yield Case((30, 2, 2, 0), "a pooling")
    yield Case((10, 3, 2, 0), "the last window does not fit")
    yield Case((draw.choice(15, (9, 10, 16)), 3, 1, 1), "with padding")
    yield Case((224, 11, 4, 2), "the first layer of AlexNet")
    yield Case((5, 5, 1, 0), "one window")
    yield Case((draw.choice(7, (9, 12, 13)), 1, 3, 0), "a stride larger than the kernel")


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
    more, most = draw.choice((32, 64), [(16, 48), (24, 40)])
    course = [("conv", more, 3, 1, 0), ("pool", 2, 2), ("conv", most, 3, 1, 0)]
    yield Case((course[:1], (3, 32, 32)), "one convolution")
    yield Case((course, (3, 32, 32)), "the network of this chapter")
    yield Case((course, (3, draw.choice(29, (25, 27)), 40)), "images that are not square")
    overlapping = [("pool", 3, 2), ("conv", 8, 5, 2, 2), ("pool", 3, 3)]
    yield Case((overlapping, (4, draw.choice(64, (60, 72)), 56)), "other windows and strides")
    padded = [("conv", 8, 3, 1, 1), ("conv", 8, 3, 1, 1), ("pool", 2, 2)] * 2
    yield Case((padded, (1, 28, draw.choice(20, (22, 26)))), "padding, as in VGG")
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
    torch.manual_seed(0)
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
        text = f"{', '.join(kept)} of the old head is left in the network, and nothing needs it"
        return Verdict("kept " + str(kept), text)
    if found.keys() == expected.keys():
        wrong = [name for name in found if found[name] != expected[name]]
        text = "\n".join(
            f"its parameter {name} has shape {found[name]}, expected {expected[name]}"
            for name in wrong
        )
        if any(name.startswith("trl.factors") for name in wrong):
            text += f"\nhere conv_layer2 gives an activation of {activation}"
        return Verdict(kind, text)
    missing = [name for name in expected if name not in found]
    more = [name for name in found if name not in expected]
    text = "its parameters are not those that the text asks for"
    text += f"\nmissing: {', '.join(missing)}" * bool(missing)
    text += f"\nand more than asked for: {', '.join(more)}" * bool(more)
    return Verdict(kind, text)


def torchsummary_misses(model: nn.Module) -> tuple[int, int]:
    seen = 0
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name in ("weight", "bias"):
                seen += parameter.numel()
    return seen, sum(parameter.numel() for parameter in model.parameters()) - seen


def torchsummary_cases(draw: Draw) -> Iterator[Case]:
    channels, classes = draw.sizes(4, 3)
    yield Case((Recipe(cnn_with_cp, (channels, classes)),))
    yield Case((Recipe(networks.nested_cnn, (channels, classes)),), "linear layers alone")
    yield Case((Recipe(cnn_with_cp, (channels, classes, False)),), "a TRL without a bias")
    yield Case((Recipe(nested_with_cp, (channels, classes)),), "some levels down, partly frozen")
    yield Case((Recipe(cnn_with_tucker, (channels, classes)),), "a Tucker TRL has a core")
    yield Case((Recipe(recurrent, (channels, classes)),), "parameters of other names")
    yield Case((Recipe(scaled, (channels, classes)),), "names that only contain the word")


def looked_at(answer: Callable, model: nn.Module) -> dict:
    """Whether the two numbers are right, and whether the network is as it was."""
    expected, before = torchsummary_misses(model), state(model)
    entries = [f"{name} {value.numel()}" for name, value in model.named_parameters()]
    got = plain(answer(model))
    found = {"result": RIGHT, "the network": state_verdict(model, before)}
    differs = difference(expected, got)
    if differs is not None:
        text = "\n".join(filter(None, (f"result: {differs.text}", differs.hint)))
        listed = "the network's parameters and their entries: " + ", ".join(entries)
        kind = str(tuple(got) if isinstance(got, list) else got)
        found["result"] = Verdict(kind, f"{text}\n{textwrap.fill(listed, 90)}")
    return found


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
            return Verdict("parameters", f"the call changes the parameter {name}")
        if (value.grad is None) != (gradient is None) or (
            gradient is not None and not torch.equal(value.grad, gradient)
        ):
            text = f"the call changes the gradient of {name}, which an optimizer may still need"
            return Verdict("gradients", text)
    if any(before[name] != after[name] for name, _ in model.named_modules()):
        return Verdict("mode", "the call leaves the network in another mode than it came in")
    return RIGHT


def train_on_batch(model: nn.Module, optimizer: Any, x: Tensor, labels: Tensor) -> float:
    model.train()
    loss = -torch.log_softmax(model(x), dim=1)[range(len(labels)), labels].mean()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
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

    def labels(count: int) -> Tensor:
        return (draw.normal(count).abs() * 100).long() % classes

    sizes = (features, classes)
    x, y = draw.normal(batch, features), labels(batch)
    yield Case((Recipe(linear_model, sizes), Recipe(sgd, (0.1,)), x, y))
    x, y = draw.normal(batch + 2, features), labels(batch + 2)
    yield Case((Recipe(linear_model, sizes), Recipe(adam, (0.05,)), x, y), "Adam")
    x, y = draw.normal(batch + 1, features), labels(batch + 1)
    case = (Recipe(linear_batchnorm_linear, sizes), Recipe(sgd, (0.2,)), x, y)
    yield Case(case, "a batch norm, and the model comes in eval mode")
    x, y = draw.normal(batch, features), labels(batch)
    case = (Recipe(linear_with_old_gradients, sizes), Recipe(sgd, (0.1,)), x, y)
    yield Case(case, "there are gradients before the first call")
    x, y = draw.normal(batch, 3, 8, 8), labels(batch)
    case = (Recipe(conv_flatten_linear, sizes), Recipe(sgd, (0.1,)), x, y)
    yield Case(case, "images, not yet flattened")


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

    def case(recipe: Recipe, note: str, count: int = 61, shape: tuple = (features,)) -> Case:
        x = 2 * draw.normal(count, *shape)
        with torch.no_grad():
            scores = recipe.build().eval()(x)
        # The greatest logit of all stands in the first row: an argmax over the whole batch is a
        # class then, and gives another share than the comparison of logits with labels, 0.
        first = int(scores.max(1).values.argmax())
        x, scores = x.roll(-first, 0), scores.roll(-first, 0)
        labels = scores.argmax(1)
        labels[-(count // 5) :] = scores[-(count // 5) :].argmin(1)
        return Case((recipe, x, labels), note)

    dropout = linear_batchnorm_dropout_linear
    yield case(Recipe(linear_in_a_sequential, sizes), "one linear layer")
    yield case(Recipe(dropout, (*sizes, "train")), "a model with dropout, in training mode")
    yield case(Recipe(dropout, (*sizes, "eval")), "the same model, in eval mode")
    yield case(Recipe(dropout, (*sizes, "train")), "ten samples", count=10)
    yield case(Recipe(conv_flatten_linear, sizes), "images, not yet flattened", shape=(3, 8, 8))


def measured(answer: Callable, model: nn.Module, x: Tensor, labels: Tensor) -> dict:
    """The accuracy that comes back, and what the call did to the model."""
    torch.manual_seed(0)
    training, before = model.training, state(with_gradients(model))
    found = {"accuracy": answer(model, x, labels), "mode": mode_verdict(model, training)}
    text = "the forward pass recorded everything for a backward pass that never comes"
    found["gradients"] = Verdict("recorded", text) if model.recorded else RIGHT
    if not torch.is_grad_enabled():
        torch.set_grad_enabled(True)
        text = "after the call gradients are switched off for all that comes: no training works"
        found["gradients"] = Verdict("switched off", text)
    found["the model"] = state_verdict(model, before)
    for name, value in model.named_buffers():
        found[f"the buffer {name} afterwards"] = value
    return found


EXERCISES = (
    Exercise(
        "conv_output_size",
        ("size", "kernel_size", "stride", "padding"),
        conv_output_size,
        conv_output_size_cases,
        gradients=False,
    ),
    Exercise(
        "activation_shape",
        ("layers", "input_shape"),
        activation_shape,
        activation_shape_cases,
        uses=("conv_output_size",),
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
        uses=("conv_output_size", "activation_shape"),
        gradients=False,
        probe=tried_network,
    ),
    Exercise(
        "torchsummary_misses",
        ("model",),
        torchsummary_misses,
        torchsummary_cases,
        gradients=False,
        probe=looked_at,
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
    Quiz("quiz_faces_shape", "abcd"),
    Quiz("quiz_without_eval", "abcd"),
    Quiz("quiz_nonlinear", "abcd"),
)
