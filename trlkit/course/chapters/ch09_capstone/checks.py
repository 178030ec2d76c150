"""Chapter 09: splits, spreads, fronts, pruning, and heads that are judged by what comes of them."""

import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trlkit import CPTRL, TTTRL, TuckerTRL
from trlkit.course.chapters.ch09_capstone.networks import (
    cptrl_with_opposed_components,
    cptrl_with_weak_components,
    tuckertrl_with_weak_slices,
    waving_classifier,
)
from trlkit.course.checking.answer import RIGHT, Recipe, Verdict, plain
from trlkit.course.checking.compare import describe
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.course.checking.program import Program, Unfit
from trlkit.lab import capstone
from trlkit.lab.robustness import fgsm_accuracy, noise_accuracy
from trlkit.lab.training import evaluate
from trlkit.regression import TRL


def split_indices(count: int, sizes: Sequence[int], seed: int) -> tuple[Tensor, ...]:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order.split(list(sizes))


def split_probe(answer: Callable, count: int, sizes: Sequence[int], seed: int) -> Verdict:
    """Whether three parts are a random split that the seed alone decides."""
    torch.default_generator.manual_seed(1)
    # Some are drawn already: who seeds anew with the session's own seed does not bring them back.
    torch.rand(3), random.random(), np.random.rand()
    before = _global_numbers()
    parts = answer(count, sizes, seed)
    moved = [name for name, state in _global_numbers().items() if state != before[name]]
    if not isinstance(parts, tuple | list) or len(parts) != 3:
        return Verdict("not three", f"must return three tensors, got {describe(plain(parts))}")
    for part in parts:
        if not isinstance(part, Tensor) or part.ndim != 1:
            text = "each part must be a tensor of one mode with dtype torch.int64, got "
            return Verdict("type", text + describe(plain(part)))
        if part.numel() and part.dtype != torch.int64:  # an empty list has no dtype to keep
            return Verdict("type", f"each part must be of dtype torch.int64, got {part.dtype}")
    found = tuple(len(part) for part in parts)
    if found != tuple(sizes):
        return Verdict(f"sizes {found}", f"the parts have the sizes {found}, expected {sizes}")
    train, validation, test = (part.tolist() for part in parts)
    for name, part in (("train", train), ("validation", validation), ("test", test)):
        if len(set(part)) < len(part):
            twice = next(index for index in part if part.count(index) > 1)
            return Verdict("twice", f"sample {twice} is more than once in the {name} set")
        if not set(part) <= set(range(count)):
            return Verdict("outside", f"the {name} set has indices outside 0 to {count - 1}")
    for one, other, names in (
        (train, test, "the training and the test set"),
        (validation, test, "the validation and the test set"),
        (train, validation, "the training and the validation set"),
    ):
        both = set(one) & set(other)
        if both:
            return Verdict(
                f"overlap of {names}", f"{len(both)} of {count} samples are in {names} at once"
            )
    filled = [part for part in (train, test) if part]
    if any(set(part) == set(range(min(part), max(part) + 1)) for part in filled):
        text = f"the parts are neighbors in the data: the test set is {sorted(test)[:5]} ..."
        return Verdict("in order", text)
    if validation and test and (max(validation) < min(test) or max(test) < min(validation)):
        text = f"the validation set lies in {min(validation)} to {max(validation)}, the test set in"
        return Verdict("apart", f"{text} {min(test)} to {max(test)}: not split at random")
    torch.default_generator.manual_seed(2)
    if [part.tolist() for part in answer(count, sizes, seed)] != [train, validation, test]:
        return Verdict("another each time", f"two calls with seed={seed} give different splits")
    if [part.tolist() for part in answer(count, sizes, seed + 1)] == [train, validation, test]:
        return Verdict("seed unused", f"seed={seed} and seed={seed + 1} give the same split")
    if moved:
        text = f"the split changes {moved[0]}'s own random numbers, so what is drawn after it too"
        return Verdict("moves the generator", text)
    return RIGHT


def _global_numbers() -> dict[str, str]:
    """Where the generators of the session are."""
    return {
        "torch": str(torch.get_rng_state().tolist()),
        "Python": str(random.getstate()),
        "numpy": str(np.random.get_state()[1:3]) + str(np.random.get_state()[1].tolist()),
    }


def split_cases(draw: Draw) -> Iterator[Case]:
    seed = draw.choice(0, range(1, 1000))
    yield Case((60, (36, 12, 12), seed))
    yield Case((47, (21, 15, 11), seed + 3), "three sizes")
    yield Case((40, (29, 11, 0), seed + 7), "no test set")


def choose_trial(trials: Sequence[tuple[int, float, float]], budget: int) -> int | None:
    best = None
    for position, (parameters, validation, _) in enumerate(trials):
        if parameters > budget:
            continue
        if best is None:
            best = position
            continue
        least, highest, _ = trials[best]
        if validation > highest or (validation == highest and parameters < least):
            best = position
    return best


def choose_cases(draw: Draw) -> Iterator[Case]:
    shift = draw.choice(0, range(1, 40))
    # Five are equal: the first, the last, the largest, the smallest and the best on the test set.
    trials = [(170, 0.59, 0.6), (480, 0.93, 0.91), (990, 0.92, 0.95), (300, 0.91, 0.93)]
    trials += [(2570, 0.96, 0.96), (420, 0.93, 0.9), (600, 0.93, 0.92), (500, 0.93, 0.94)]
    trials += [(550, 0.93, 0.93)]
    trials = [(size + shift, validation, test) for size, validation, test in trials]
    orders = [[3, 8, 0, 4, 5, 7, 6, 1, 2], [2, 1, 6, 4, 7, 0, 5, 8, 3]]
    order = draw.choice(range(9), orders)
    trials = [trials[k] for k in order]
    yield Case((trials, 1000 + shift))
    yield Case((trials, 420 + shift), "one that just fits")
    yield Case((trials, 320 + shift), "a small budget")
    yield Case((trials, 250 + shift), "a single one fits")
    yield Case((trials, 100), "none fits")
    yield Case((trials, 10_000), "all fit")
    near = [(900 + shift, 0.9303, 0.9), (300 + shift, 0.93, 0.94), (100 + shift, 0.59, 0.6)]
    yield Case((near, 1000), "the best comes first, by little")
    yield Case(([(170 + shift, 0.0, 0.1)], 1000), "one trial, right on no digit")
    size = 300 + shift
    same = [(size, 0.8, 0.95), (size + 9, 0.9, 0.7), (size, 0.9, 0.8)]
    yield Case((same, 1000), "two trials of one size")


def pareto_front(points: Sequence[tuple[int, float]]) -> list[int]:
    def beats(one: tuple[int, float], other: tuple[int, float]) -> bool:
        no_worse = one[0] <= other[0] and one[1] >= other[1]
        return no_worse and (one[0] < other[0] or one[1] > other[1])

    return [
        position
        for position, point in enumerate(points)
        if not any(beats(other, point) for other in points)
    ]


def pareto_cases(draw: Draw) -> Iterator[Case]:
    shown = [(170, 0.59), (990, 0.92), (550, 0.93), (282, 0.91), (384, 0.9), (2570, 0.96)]
    step = draw.choice(0, range(3, 150))
    moved = [(size + step, round(share - step / 5000, 4)) for size, share in shown]
    middle = moved[2]
    points = [moved[k] for k in draw.order(len(moved))]
    yield Case((points,))
    yield Case(([*points, middle, (middle[0], middle[1] - 0.01)],), "two that are equal")
    yield Case(([*points, (middle[0] - 20, middle[1])],), "as accurate, but smaller")
    yield Case(([(400, 0.9), (400, 0.93), (400, 0.92)],), "one size")
    far = [(100, 0.9), (200, 0.5), (300, 0.6), (400, 0.904)]
    yield Case((far,), "beaten by one that is not the next, and better by little")
    yield Case(([(500, 0.9)],), "one head")
    yield Case(([(500, 0.0)],), "one head, right on no digit")
    yield Case(([(2**24 + 1, 0.9), (2**24, 0.9)],), "two large heads")


def fitting(trl: TRL, x: Tensor, most: float, tols: Sequence[float]) -> list[TRL]:
    """The pruned layers whose outputs are close enough."""
    training = trl.training
    with torch.no_grad():
        exact = trl.eval()(x)
        pruned = [trl.prune(tol).eval() for tol in tols]
        close = [layer for layer in pruned if (exact - layer(x)).abs().max() <= most]
    trl.train(training)
    return close


def prune_within(trl: TRL, x: Tensor, most: float, tols: Sequence[float]) -> TRL:
    return min(fitting(trl, x, most, tols), key=capstone.size, default=trl)


def prune_probe(answer: Callable, trl: TRL, x: Tensor, most: float, tols: list) -> dict | Verdict:
    torch.default_generator.manual_seed(0)
    none_fits = not fitting(trl, x, most, tols)
    before = [parameter.detach().clone() for parameter in trl.parameters()]
    dropout = trl.dropout
    pruned = answer(trl, x, most, tols)
    records = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    if not isinstance(pruned, TRL):
        return Verdict("no layer", f"must return a layer, got {describe(plain(pruned))}")
    if not all(map(torch.equal, before, trl.parameters())):
        after = "with other parameters"
    elif not all(parameter.requires_grad for parameter in trl.parameters()):
        after = "with parameters that no longer learn (requires_grad)"
    elif trl.dropout != dropout:
        after = f"with dropout {trl.dropout.p}, it had {dropout.p}"
    else:
        after = "unchanged"
    found = {
        "rank of what is returned": pruned.rank,
        "the layer you were given, afterwards": after,
        "its mode, afterwards": _mode(trl.training),
        "torch's recording of gradients, afterwards": "on" if records else "off",
    }
    if none_fits:
        other = Verdict("another", "no tolerance fits: return `trl` itself, not another layer")
        found["no tolerance fits"] = RIGHT if pruned is trl else other
    return found


def _mode(training: bool) -> str:
    return "training" if training else "eval"


def prune_cases(draw: Draw) -> Iterator[Case]:
    seed = draw.choice(0, range(1, 50))
    # The first and the last of those that fit are neither the layer itself nor the smallest.
    tols = [3e-4, 0.3, 2e-3, 1e-7, 0.06, 3e-5]
    row = draw.choice(2, range(1, 5))
    share = torch.full((5, 1, 1, 1), 0.1, dtype=torch.float64)
    share[row] = 10.0
    x = (draw.normal(5, 4, 3, 2).abs() + 0.2) * share
    exact = Recipe(cptrl_with_weak_components, (6, 0.3, seed))
    yield Case((exact, x, 0.5, tols))
    yield Case((exact, -x, 0.05, tols), "negative activations")
    yield Case((exact, x, 1e-9, tols), "nothing may go")
    yield Case((exact, x, 1e-9, [0.3, 0.06]), "no tolerance fits")
    tucker = Recipe(tuckertrl_with_weak_slices, ((4, 2, 2, 3), 0.2, seed))
    # Its ranks get smaller while the largest of them, that of the classes, stays.
    between = [3e-4, 0.3, 4e-3, 1e-7, 3e-5]
    yield Case((tucker, x, 20.0, between), "a Tucker layer, in eval mode")
    # Between the largest change of an output and the norm of all, and then a hair too little.
    many = draw.normal(40, 4, 3, 2).abs() + 0.2
    layer = exact.build().eval()
    with torch.no_grad():
        change = (layer(many) - layer.prune(0.06)(many)).abs().max().item()
    yield Case((exact, many, round(1.05 * change, 4), tols), "forty samples")
    yield Case((exact, many, change * (1 - 1e-6), tols), "a change just too large")
    # Whole numbers, so that outputs are exact: without the weakest component they change by eight
    # times the sum of x, without the two weakest by that sum alone.
    whole = draw.normal(5, 4, 3, 2).abs().round() + 1
    least = whole.sum((1, 2, 3)).max().item()
    against = Recipe(cptrl_with_opposed_components, (0.3,))
    yield Case((against, whole, 2 * least, [2e-3, 0.01, 1e-7]), "two components nearly cancel")
    yield Case((against, whole, least, [2e-3, 0.01, 1e-7]), "a change of just `most`")


def conv_as_tucker(
    conv_weight: Tensor,
    conv_bias: Tensor,
    linear_weight: Tensor,
    linear_bias: Tensor,
    input_shape: Sequence[int],
) -> tuple[Tensor, list[Tensor], Tensor]:
    _, height, width = input_shape
    mixed, channels = conv_weight.shape[:2]
    classes = len(linear_weight)
    core = conv_weight.new_zeros(mixed, height, width, classes)
    bias = linear_bias.clone()
    for k in range(mixed):
        for h in range(height):
            for w in range(width):
                column = linear_weight[:, (k * height + h) * width + w]
                core[k, h, w] = column
                bias += column * conv_bias[k]
    first = conv_weight.reshape(mixed, channels).T
    others = [torch.eye(size, dtype=core.dtype) for size in (height, width, classes)]
    return core, [first, *others], bias


def judged_tucker(value: Any, args: tuple) -> dict:
    """The weight and the bias that a core and its factors stand for, and the core's sizes."""
    conv_weight, _, linear_weight, _, (channels, height, width) = args
    sizes = (channels, height, width, len(linear_weight))
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise ValueError(f"must return a core, its factors and a bias, got {describe(value)}")
    core, factors, bias = value
    if not isinstance(factors, tuple | list) or len(factors) != 4:
        raise ValueError(f"must return four factors, got {describe(factors)}")
    for name, tensor in (("the core", core), ("the bias", bias)):
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name} must be a tensor, got {describe(tensor)}")
    rank = (len(conv_weight), *sizes[1:])
    if core.shape != rank:
        raise ValueError(f"the core must have the shape {rank}, it is {tuple(core.shape)}")
    weight = core
    for mode, (factor, size) in enumerate(zip(factors, sizes, strict=True)):
        if not isinstance(factor, Tensor) or factor.shape != (size, rank[mode]):
            text = f"must have the shape {(size, rank[mode])}, got {describe(factor)}"
            raise ValueError(f"the factor of mode {mode} {text}")
        if factor.dtype != conv_weight.dtype:
            raise ValueError(f"the factor of mode {mode} is {factor.dtype}, the weights are not")
        weight = torch.tensordot(weight, factor, ([0], [1]))  # the mode goes to the end
    return {"the weight that core and factors give": weight, "the bias": bias}


def conv_cases(draw: Draw) -> Iterator[Case]:
    def case(
        mixed: int, shape: tuple[int, int, int], classes: int, note: str = "", dtype=torch.float64
    ) -> Case:
        numbers = mixed * shape[1] * shape[2]
        conv = draw.counting(mixed, shape[0], 1, 1), draw.normal(mixed)
        linear = draw.normal(classes, numbers), draw.normal(classes)
        return Case((*(tensor.to(dtype) for tensor in (*conv, *linear)), shape), note)

    channels, height, width, classes = draw.sizes(4, 3, 2, 5)
    yield case(2, (channels, height, width), classes)
    yield case(3, (3, 2, 2), 3, "as many mixtures as channels")
    yield case(1, (channels, 2, 2), 2, "one mixture")
    yield case(2, (2, 2, 2), 2, "all sizes equal")
    yield case(3, (2, 1, 4), 1, "more mixtures than channels, one class, one row")
    yield case(2, (3, 2, 2), 4, "float32", torch.float32)


def attack(model: nn.Module, images: Tensor, labels: Tensor, strength: float, steps: int) -> Tensor:
    moved = images
    for _ in range(steps):
        x = moved.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(lead(model(x), labels).sum(), x)
        moved = moved - 2.5 * strength / steps * gradient.sign()
        moved = (images + (moved - images).clamp(-strength, strength)).clamp(0, 1)
    return moved.detach()


def lead(logits: Tensor, labels: Tensor) -> Tensor:
    """How far the right class's logit is above the best other one, for each sample."""
    right = F.one_hot(labels, logits.shape[1]).bool()
    return logits[right] - logits.masked_fill(right, -torch.inf).amax(1)


def fooled(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images that are told wrong."""
    with torch.no_grad():
        return (model(images).argmax(1) != labels).double().mean().item()


def attack_probe(
    answer: Callable,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    strength: float,
    steps: int,
) -> Verdict:
    model.requires_grad_(True)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    given = images.clone()
    moved = answer(model, given, labels, strength, steps)
    taken = sum(buffer[0].item() for buffer in model.buffers()) / len(images)
    if not isinstance(moved, Tensor) or moved.shape != images.shape:
        text = f"must return moved images of shape {tuple(images.shape)}, got "
        return Verdict("no images", text + describe(plain(moved)))
    if moved.requires_grad:
        return Verdict("a graph", "the moved images still hang on the graph of the last step")
    if moved.dtype != images.dtype:
        return Verdict("dtype", f"the images are {images.dtype}, the moved ones {moved.dtype}")
    if not all(map(torch.equal, before, model.parameters())):
        return Verdict("trained", "the attack changes the parameters of the model")
    if not all(parameter.requires_grad for parameter in model.parameters()):
        text = "the model's parameters no longer learn afterwards (requires_grad)"
        return Verdict("frozen", text)
    if not torch.equal(given, images):
        return Verdict("in place", "the images that were handed over are changed in place")
    if given.requires_grad:
        text = "the images that were handed over require gradients afterwards (requires_grad)"
        return Verdict("images learn", text)
    if model.training:
        return Verdict("mode", "the model is in training mode afterwards, it was in eval mode")
    farthest = (moved - images).abs().max().item()
    if not farthest <= strength + 1e-9:
        text = f"a pixel is moved by {farthest:.3g}, the strength is {strength:g}"
        return Verdict("too far", text)
    if moved.min() < 0 or moved.max() > 1:
        low, high = moved.min().item(), moved.max().item()
        return Verdict("no image", f"pixels run from {low:.3g} to {high:.3g}, not from 0 to 1")
    gradients = [parameter.grad for parameter in model.parameters()]
    if any(gradient is None or not gradient.any() for gradient in gradients):
        text = "the gradients that the model's parameters had before are gone"
        return Verdict("gradients gone", text)
    if any((gradient != 0.5).any() for gradient in gradients):
        text = "the model's parameters have other gradients afterwards than before"
        return Verdict("gradients left", text)
    if taken > steps:
        text = f"{taken:.3g} gradients are taken for each image, allowed are {steps}"
        return Verdict("more gradients", text)
    if strength == 0:
        return RIGHT
    wrong = fooled(model, moved, labels)
    least = fooled(model, attack(model, images, labels, strength, steps), labels)
    if wrong >= least - 0.04:
        return RIGHT
    text = f"{100 * wrong:.0f} % of the images are told wrong, the course's attack gets "
    text += f"{100 * least:.0f} %"
    with torch.no_grad():
        surer = lead(model(moved), labels).mean() > lead(model(images), labels).mean()
    if surer or wrong < 0.1:
        return Verdict("surer" if surer else "hardly any", text)
    straight = attack(model, images, labels, strength, 1)
    return Verdict("straight on" if torch.allclose(moved, straight) else "too weak", text)


def attack_cases(draw: Draw) -> Iterator[Case]:
    def case(
        seed: int, strength: float, steps: int, note: str = "", scale=1.0, shift=0.0, classes=3
    ) -> Case:
        images = _images(seed)
        with torch.no_grad():
            labels = waving_classifier(seed, scale, 0.0, classes)(images).argmax(1)
        model = Recipe(waving_classifier, (seed, scale, shift, classes, True))
        return Case((model, images, labels, strength, steps), note)

    first = draw.choice(0, range(20, 400))
    many = next(filter(_worth_many_steps, count(first)))
    yield case(many, 0.1, 10)
    yield case(first, 0.1, 10, "logits in the thousands", scale=1e4)
    yield case(many, 0.1, 10, "all logits far below 0", shift=-2e5)
    yield case(first + 1, 0.05, 1, "a single step")
    yield case(first + 3, 0.05, 2, "two classes, two steps", classes=2)
    yield case(first + 2, 0.0, 5, "no strength")
    model, images, labels, *rest = case(first + 1, 0.1, 10).args
    labels = torch.where(torch.arange(len(labels)) % 2 == 0, (labels + 1) % 3, labels)
    yield Case((model, images, labels, *rest), "half of the images told wrong from the start")


def _images(seed: int) -> Tensor:
    """Half of the pixels are black or white: there a step leads out of the image."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(120, 1, 8, 8, generator=generator, dtype=torch.float64)
    return (2 * x - 0.5).clamp(0, 1)


def _told(seed: int, scale: float, images: Tensor) -> Tensor:
    with torch.no_grad():
        return waving_classifier(seed, scale)(images).argmax(1)


@cache
def _worth_many_steps(seed: int) -> bool:
    """Whether ten steps fool clearly more than one, and one more than a few."""
    images, model = _images(seed), waving_classifier(seed, 1.0)
    labels = _told(seed, 1.0, images)
    one, ten = (fooled(model, attack(model, images, labels, 0.1, n), labels) for n in (1, 10))
    return 0.3 < one < ten - 0.08


class Lab:
    """A measuring device for the experiment: an invented world that notes what is measured."""

    def __init__(self, effects: Sequence[float], seed: int):
        self.effects = dict(zip(capstone.TASKS, effects, strict=True))
        self.seed, self.calls = seed, []

    def measure(self, head: str, task: str, seed: int) -> float:
        if head not in capstone.HEADS or task not in capstone.TASKS:
            text = f"measure(head, task, seed) takes a head of {capstone.HEADS} and a task of "
            raise ValueError(text + f"{capstone.TASKS}, got {head!r} and {task!r}")
        luck = random.Random(f"{self.seed} {task} {seed}").gauss(0, 0.03)
        own = random.Random(f"{self.seed} {task} {head} {seed}").gauss(0, 0.004)
        value = 0.75 + luck + own + self.effects[task] * (head == "tensor")
        self.calls.append((head, task, seed, value))
        return value


def run_experiment(measure: Callable) -> dict:
    found = {}
    for task in capstone.TASKS:
        gains = [measure("tensor", task, seed) - measure("linear", task, seed) for seed in range(8)]
        mean, error = statistics.mean(gains), statistics.stdev(gains) / math.sqrt(len(gains))
        word = "tensor" if mean > 2 * error else "linear" if mean < -2 * error else "not shown"
        found[task] = (mean, error, word)
    return found


def experiment_probe(answer: Callable, effects: Sequence[float], seed: int) -> dict | Verdict:
    lab = Lab(effects, seed)
    said = answer(lab.measure)
    if not isinstance(said, dict) or set(said) != set(capstone.TASKS):
        text = f"must return a dict with the keys {capstone.TASKS}, got {describe(plain(said))}"
        return Verdict("no dict", text)
    found = {task: _concluded(lab, task, said[task]) for task in capstone.TASKS}
    # Again where the same seeds give differences of so many errors: below the border of two, at it.
    worlds = {"below the border": (1.5, -0.5), "at the border": (1.98, -2.02)}
    names = [f"{task}, with a gain {where}" for where in worlds for task in capstone.TASKS]
    found |= dict.fromkeys(names, RIGHT)  # as long as nobody has looked
    for where, ratios in worlds.items():
        if any(verdict != RIGHT for verdict in found.values()):
            break
        pairs = zip(capstone.TASKS, ratios, strict=True)
        world = Lab([_gain_for(lab, task, ratio) for task, ratio in pairs], seed)
        said = answer(world.measure)
        if not isinstance(said, dict) or set(said) != set(capstone.TASKS):
            text = f"must return a dict with the keys {capstone.TASKS}, got "
            return Verdict("no dict", text + describe(plain(said)))
        for task in capstone.TASKS:
            found[f"{task}, with a gain {where}"] = _concluded(world, task, said[task])
    return found


def _gain_for(lab: "Lab", task: str, ratio: float) -> float:
    """The true gain with which what was measured of a task has a mean of so many errors."""
    values = {(head, seed): value for head, at, seed, value in lab.calls if at == task}
    seeds = sorted({seed for _, seed in values})
    gains = [values["tensor", seed] - values["linear", seed] for seed in seeds]
    error = statistics.stdev(gains) / math.sqrt(len(gains))
    return lab.effects[task] + ratio * error - statistics.mean(gains)


def _concluded(lab: Lab, task: str, said: Any) -> Verdict:
    """Whether what is said of a task follows from what was measured of it."""
    values: dict[str, dict[int, float]] = {head: {} for head in capstone.HEADS}
    for head, measured, seed, value in lab.calls:
        if measured == task:
            values[head][seed] = value
    seeds = {head: sorted(values[head]) for head in capstone.HEADS}
    linear, tensor = seeds["linear"], seeds["tensor"]
    if len(lab.calls) > 100:
        return Verdict("too many", f"{len(lab.calls)} trainings, each of which takes its time")
    if linear != tensor:
        text = f"the linear head was measured with the seeds {linear}, the tensor head with "
        return Verdict("other seeds", f"{text}{tensor}: no pairs")
    if not linear:
        text = "the `measure` that your function was given was not called for this task"
        return Verdict("not measured", text)
    if len(linear) < 6:
        text = f"measured with {len(linear)} different seeds, fewer than six"
        return Verdict("few seeds", text)
    if not isinstance(said, tuple | list) or len(said) != 3:
        text = f"must be (mean difference, its standard error, a word), got {describe(plain(said))}"
        return Verdict("no triple", text)
    mean, error, word = said
    if not all(isinstance(x, int | float) for x in (mean, error)) or not isinstance(word, str):
        text = f"must be (mean difference, its standard error, a word), got {describe(plain(said))}"
        return Verdict("no triple", text)
    gains = [values["tensor"][seed] - values["linear"][seed] for seed in linear]
    right = statistics.mean(gains), statistics.stdev(gains) / math.sqrt(len(gains))
    if abs(mean - right[0]) > 1e-6:
        kind = "turned round" if abs(mean + right[0]) <= 1e-6 else "another mean"
        text = f"you say a mean difference of {mean:.3g}; what you measured gives {right[0]:.3g}"
        return Verdict(kind, text)
    if abs(error - right[1]) > 1e-6:
        text = f"you say a standard error of {error:.3g}; the differences of your pairs give "
        return Verdict(_error_kind(error, values, gains), f"{text}{right[1]:.3g}")
    clear = "tensor" if mean > 2 * error else "linear" if mean < -2 * error else "not shown"
    if word != clear:
        text = f'you conclude "{word}" from a difference of {mean:.3g} +- {error:.3g}'
        text += f", which is {abs(mean) / error:.3g} errors" if error else ""
        return Verdict(f"{word[:20]} for {clear}", text)
    return RIGHT


def _error_kind(error: float, values: dict[str, dict[int, float]], gains: Sequence[float]) -> str:
    """Which other spread of the same measurements a wrong standard error is, if any."""
    pairs = len(gains)
    squares = [statistics.variance(values[head].values()) / pairs for head in capstone.HEADS]
    for kind, other in (
        ("unpaired", math.sqrt(sum(squares))),
        ("deviation", statistics.stdev(gains)),
        ("divided by n", statistics.pstdev(gains) / math.sqrt(pairs)),
    ):
        if abs(error - other) <= 1e-6:
            return kind
    return "another error"


def experiment_cases(draw: Draw) -> Iterator[Case]:
    seed = draw.choice(0, range(1, 1000))
    clear = draw.choice(0.015, [0.015, 0.02, 0.03])
    yield Case(((-clear, clear), seed))
    yield Case(((clear, -clear), seed + 1), "another world")
    yield Case(((0.0, -0.1), seed + 2), "no difference in one task")
    yield Case(((-0.0016, 0.2), seed + 3), "hardly any in one, a large one in the other")


@dataclass(frozen=True)
class Goal:
    """What a head must reach: numbers at most, shares of held-out digits right at least."""

    budget: int
    accuracy: float
    noise: float = 0.0
    fgsm: float = 0.0

    def hidden(self) -> "Goal":
        """What hidden seeds must reach: less by two standard errors of a mean over three seeds."""
        noise, fgsm = max(0.0, self.noise - 0.02), max(0.0, self.fgsm - 0.02)
        return replace(self, accuracy=self.accuracy - 0.024, noise=noise, fgsm=fgsm)


LIGHT, ACCURATE = Goal(270, 0.88), Goal(550, 0.925)
STURDY, SMALLEST = Goal(1300, 0.92, 0.82, 0.72), Goal(800, 0.915, 0.8, 0.69)


def light_head(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return CPTRL(input_shape, num_classes, rank=7)


def accurate_head(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    channels, height, width = input_shape
    mixing, linear = nn.Conv2d(channels, 3, 1), nn.Linear(3 * height * width, num_classes)
    return nn.Sequential(mixing, nn.Flatten(), linear)


def sturdy_head(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Dropout(0.3), CPTRL(input_shape, num_classes, rank=36))


def smallest_head(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Dropout(0.2), CPTRL(input_shape, num_classes, rank=20))


def light_probe(answer: Callable, *args: Any) -> Verdict:
    return tried(answer, LIGHT, *args)


def accurate_probe(answer: Callable, *args: Any) -> Verdict:
    return tried(answer, ACCURATE, *args)


def sturdy_probe(answer: Callable, *args: Any) -> Verdict:
    return tried(answer, STURDY, *args)


def smallest_probe(answer: Callable, *args: Any) -> Verdict:
    return tried(answer, SMALLEST, *args)


BATCHES = (capstone.SIZES["train"], 150)  # of a head's program, in training and in eval mode


def tried(
    answer: Callable, goal: Goal, shape: tuple[int, ...], classes: int, seeds: tuple, digits: str
) -> Verdict:
    """Build a head; with seeds train its program from each, and say what came of it."""
    fault = built(answer, goal, shape, classes, budget=bool(seeds))
    if fault or not seeds:
        return fault or RIGHT
    own = answer in (light_head, accurate_head, sturdy_head, smallest_head)
    return (_judged_once if own else judged)(answer, goal, seeds, digits)


def built(
    answer: Callable, goal: Goal, shape: tuple[int, ...], classes: int, budget: bool
) -> Verdict | None:
    """What is wrong with a head before it has learned anything."""
    heads, drawn = [], []
    for seed in (0, 1):
        torch.default_generator.manual_seed(seed)
        heads.append(answer(shape, classes))
        drawn.append(torch.get_rng_state())
    head = heads[0]
    if not isinstance(head, nn.Module):
        return Verdict("no module", f"must return an nn.Module, got {describe(plain(head))}")
    x = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = head.eval()(x)  # what it raises is told as its own
    if not isinstance(y, Tensor) or y.shape != (5, classes):
        text = f"takes {tuple(x.shape)} to {describe(plain(y))}, expected shape (5, {classes})"
        return Verdict("shape", text)
    try:
        program = Program(head, shape, BATCHES if budget else (5, 5))
    except Unfit as error:
        text = f"what it computes cannot be written down as steps on tensors: {error}"
        return Verdict("cannot be recorded", text)
    if program.strangers:
        text = f"computes with {program.strangers} parameters that are not the module's own"
        return Verdict("not registered", text)
    if budget and program.numbers > goal.budget:
        return _too_large(head, program, goal, math.prod(shape) * classes, classes)
    learning = [[p for p in head.parameters() if p.requires_grad] for head in heads]
    if not learning[0]:
        return Verdict("frozen", "no parameter of the head learns (requires_grad)")
    if {p.data_ptr() for p in learning[0]} & {p.data_ptr() for p in learning[1]}:
        text = "the heads of two calls share parameters, which go on learning where they were"
        return Verdict("one head", text)
    # A layer that starts at zeros is the same for all seeds, and rightly so.
    pairs = [(p, q) for p, q in zip(*learning, strict=True) if p.min() != p.max()]
    if (pairs and all(map(torch.equal, *zip(*pairs, strict=True)))) or torch.equal(*drawn):
        text = "two heads made from different seeds start from the same random numbers"
        return Verdict("same start", text)
    return _output_fault(head, program.eval(), x, classes)


def _too_large(head: nn.Module, program: Program, goal: Goal, full: int, classes: int) -> Verdict:
    numbers = program.numbers
    text = f"has {numbers:,} numbers, the budget is {goal.budget:,}"
    if program.constants > 1:
        text += f" ({program.constants:,} of them in tensors that are no parameters or buffers)"
    trl = any(isinstance(module, TRL) for module in head.modules())
    if trl and numbers - goal.budget <= classes:
        return Verdict("bias not counted", text)
    if 0.9 * full <= numbers <= 1.1 * full:
        return Verdict("a full weight's numbers" + ", without a TRL" * (not trl), text)
    return Verdict("over the budget", text)


def _output_fault(head: nn.Module, program: Program, x: Tensor, classes: int) -> Verdict | None:
    """What is wrong with the outputs of a head in eval mode.

    Only what follows from its program can be in its favor: its own gradient is asked for to see
    whether an attacker who trusts it would be led astray.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        y, again, alone = program(x), program(x), program(x[:1])
    if not torch.equal(y, again):
        return Verdict("random in eval mode", "two passes in eval mode give different outputs")
    sums = y.exp().sum(1) if (y <= 0).all() else y.sum(1)
    if torch.allclose(sums, torch.ones(5), atol=1e-4):
        if (y <= 0).all():
            text = "returns logarithms of probabilities, not logits"
            return Verdict("log-probabilities", text)
        return Verdict("probabilities", "returns numbers that sum to 1, probabilities, not logits")
    if ((y > 0) & (y < 1)).all():
        return Verdict("between 0 and 1", "returns numbers between 0 and 1, not logits")
    if not torch.allclose(alone, y[:1], rtol=1e-3, atol=1e-4):
        text = "in eval mode, the output for an activation depends on the others of its batch"
        return Verdict("neighbors", text)
    x = x.clone().requires_grad_()
    weights = torch.randn(5, classes, generator=generator)
    gradient = None
    with torch.enable_grad():
        score = (head(x) * weights).sum()
    if score.requires_grad:
        (gradient,) = torch.autograd.grad(score, x, allow_unused=True)
    gradient = torch.zeros_like(x) if gradient is None else gradient
    told, felt = [], []  # the slope along a direction, by the gradient and by two outputs
    for _ in range(8):
        way = torch.randn(x.shape, generator=generator) / 100
        told.append((gradient * way).sum())
        with torch.no_grad():
            felt.append(((program(x + way) - program(x - way)) * weights).sum() / 2)
    told, felt = torch.stack(told), torch.stack(felt)
    if (told - felt).norm() > 0.7 * felt.norm():
        text = "in eval mode its outputs follow the activation, but no gradient tells so"
        return Verdict("gradient masked", text)
    return None


def judged(answer: Callable, goal: Goal, seeds: tuple[int, ...], digits: str) -> Verdict:
    """Train the head's program from each seed and compare the means with what is wanted.

    The verdict names what falls short, not by how much: who reads the numbers of held-out
    digits chooses by them.
    """
    data, scores, attacks = capstone.part(digits), [], []
    goal = goal.hidden() if digits == "second half" else goal
    for seed in seeds:
        head: list[nn.Module] = []  # as it was handed out: what it says of itself names a mistake

        def make(shape: tuple[int, ...], classes: int, seed=seed, head=head) -> Program:
            head.append(answer(shape, classes))
            program = Program(head[0], shape, BATCHES, seed)
            torch.default_generator.manual_seed(seed)  # wherever drawing the head has left it
            return program

        model = capstone.train(make, seed)
        (noise,) = noise_accuracy(model, data, [capstone.NOISE], seed=seed)
        (fgsm,) = fgsm_accuracy(model, data, [capstone.FGSM])
        clean = evaluate(model, data).accuracy
        scores.append((clean, noise, fgsm, evaluate(model, capstone.part("train")).accuracy))
        if goal.fgsm:
            attacks.append(_by_margin(model, data))
    clean, noise, fgsm, fitted = (statistics.mean(column) for column in zip(*scores, strict=True))
    wanted = [("clean", clean, goal.accuracy)]
    if goal.noise:
        wanted += [("with noise", noise, goal.noise), ("attacked", fgsm, goal.fgsm)]
    if all(share >= least for _, share, least in wanted):
        if attacks and statistics.mean(attacks) < fgsm - 0.05:
            text = "FGSM is borne, but not the same step along the distance of two logits: the "
            text += "loss has no slope that FGSM could follow"
            return Verdict("gradient masked", text)
        return RIGHT
    shares = "\n".join(
        f"held-out digits, {name}: "
        + ("enough" if share >= least else f"fewer than {100 * least:g} % right")
        for name, share, least in wanted
    )
    text = f"{model[1].numbers:,} of {goal.budget:,} numbers\n{shares}\n"
    text += f"the training digits: {100 * fitted:.1f} % right"
    modules = list(head[0].modules())
    layers = [module for module in modules if isinstance(module, TRL)]
    if clean < goal.accuracy and any(kept(layer) < 0.4 for layer in layers):
        return Verdict("drops too much", text)
    dropout = any(layer.dropout.p for layer in layers)
    dropout |= any(isinstance(module, nn.modules.dropout._DropoutNd) for module in modules)
    if clean < goal.accuracy and fitted < goal.accuracy + 0.04:
        if _averages(model[1]):
            return Verdict("averages the places", text)
        full = model[1].numbers > 0.85 * goal.budget
        kind = "fits too little" + ", with dropout" * dropout + ", budget spent" * full
        return Verdict(kind, text)
    if clean < goal.accuracy:
        return Verdict("does not generalize", text)
    return Verdict("not sturdy" if dropout else "not sturdy, no dropout", text)


def _by_margin(model: nn.Module, data: Any) -> float:
    """The share right after a step that lessens the lead of the right class.

    That lead has a slope where the loss is flat, because the logits are far apart.
    """
    images, labels = data.tensors
    with torch.enable_grad():
        return 1 - fooled(model, attack(model, images, labels, capstone.FGSM, 1), labels)


def _averages(head: nn.Module) -> bool:
    """Whether a head looks at nothing but the mean over the places."""
    x = capstone.activations()[0][:20]
    means = x.mean((2, 3), keepdim=True).expand_as(x)
    with torch.no_grad():
        return torch.allclose(head(x), head(means), rtol=1e-3, atol=1e-3)


_judged_once = cache(judged)


def kept(layer: TRL) -> float:
    """The probability that a summand of a layer's weight stays, all its modes together."""
    ranks = {CPTRL: 1, TTTRL: len(layer.input_shape), TuckerTRL: len(layer.input_shape) + 1}
    modes = layer.dropout.modes
    return (1 - layer.dropout.p) ** (ranks.get(type(layer), 1) if modes is None else len(modes))


def head_cases(draw: Draw) -> Iterator[Case]:
    yield Case(((12, 5, 5), 7, (), "nothing"), "another activation, built and not trained")
    seeds = draw.choice((0, 1, 2), [(k, k + 1, k + 2) for k in range(3, 500, 3)])
    half = "second half" if draw.hidden else "first half"
    yield Case((capstone.ACTIVATION, capstone.CLASSES, seeds, half))


HEAD = ("input_shape", "num_classes", "trained_from_seeds", "judged_on")

EXERCISES = (
    Exercise(
        "split_indices",
        ("count", "sizes", "seed"),
        split_indices,
        split_cases,
        gradients=False,
        probe=split_probe,
    ),
    Exercise("choose_trial", ("trials", "budget"), choose_trial, choose_cases, gradients=False),
    Exercise("pareto_front", ("points",), pareto_front, pareto_cases, gradients=False),
    Exercise(
        "prune_within",
        ("trl", "x", "most", "tols"),
        prune_within,
        prune_cases,
        gradients=False,
        probe=prune_probe,
    ),
    Exercise(
        "conv_as_tucker",
        ("conv_weight", "conv_bias", "linear_weight", "linear_bias", "input_shape"),
        conv_as_tucker,
        conv_cases,
        gradients=False,
        judged=judged_tucker,
    ),
    Exercise(
        "attack",
        ("model", "images", "labels", "strength", "steps"),
        attack,
        attack_cases,
        gradients=False,
        probe=attack_probe,
    ),
    Exercise(
        "run_experiment",
        ("true_gains", "seed"),
        run_experiment,
        experiment_cases,
        gradients=False,
        probe=experiment_probe,
    ),
    Exercise("light_head", HEAD, light_head, head_cases, gradients=False, probe=light_probe),
    Exercise(
        "accurate_head", HEAD, accurate_head, head_cases, gradients=False, probe=accurate_probe
    ),
    Exercise("sturdy_head", HEAD, sturdy_head, head_cases, gradients=False, probe=sturdy_probe),
    Exercise(
        "smallest_head", HEAD, smallest_head, head_cases, gradients=False, probe=smallest_probe
    ),
    Quiz("quiz_capstone_error", "abcd"),
    Quiz("quiz_capstone_pooling", "abcd"),
)
