"""Chapter 09: splits, spreads, fronts, pruning, and heads that are judged by what comes of them."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from trlkit import CPTRL, TTTRL, TuckerTRL
from trlkit.course import capstone
from trlkit.course.answer import RIGHT, Recipe, Verdict, plain
from trlkit.course.compare import describe
from trlkit.course.exercise import Case, Draw, Exercise, Quiz
from trlkit.regression import TRL
from trlkit.robustness import fgsm_accuracy, noise_accuracy
from trlkit.training import evaluate


def split_indices(count: int, sizes: Sequence[int], seed: int) -> tuple[Tensor, ...]:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order.split(list(sizes))


def split_probe(answer: Callable, count: int, sizes: Sequence[int], seed: int) -> Verdict:
    """Whether three parts are a random split that the seed alone decides."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    parts = answer(count, sizes, seed)
    moved = not torch.equal(before, torch.get_rng_state())
    if not isinstance(parts, tuple | list) or len(parts) != 3:
        return Verdict("not three", f"must return three tensors, got {describe(plain(parts))}")
    for part in parts:
        if not isinstance(part, Tensor) or part.dtype != torch.int64 or part.ndim != 1:
            text = "each part must be a tensor of one mode with dtype torch.int64, got "
            return Verdict("type", text + describe(plain(part)))
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
    if any(set(part) == set(range(min(part), max(part) + 1)) for part in (train, test)):
        text = f"the parts are neighbors in the data: the test set is {sorted(test)[:5]} ..."
        return Verdict("in order", text)
    torch.manual_seed(2)
    if [part.tolist() for part in answer(count, sizes, seed)] != [train, validation, test]:
        return Verdict("another each time", f"two calls with seed={seed} give different splits")
    if [part.tolist() for part in answer(count, sizes, seed + 1)] == [train, validation, test]:
        return Verdict("seed unused", f"seed={seed} and seed={seed + 1} give the same split")
    if moved:
        text = "the split changes torch's own random numbers, so what is drawn after it too"
        return Verdict("moves the generator", text)
    return RIGHT


def split_cases(draw: Draw) -> Iterator[Case]:
    seed = draw.choice(0, range(1, 1000))
    yield Case((60, (36, 12, 12), seed))
    yield Case((47, (21, 15, 11), seed + 3), "three sizes")


def mean_and_error(scores: Sequence[float]) -> tuple[float, float]:
    return statistics.fmean(scores), statistics.stdev(scores) / math.sqrt(len(scores))


def mean_and_error_cases(draw: Draw) -> Iterator[Case]:
    def scores(count: int) -> list[float]:
        return [round(0.9 + 0.02 * x, 3) for x in draw.normal(count).tolist()]

    yield Case((draw.choice([0.5, 0.7, 0.9], [scores(3), scores(3), scores(3)]),))
    yield Case((scores(5),), "five seeds")
    yield Case((scores(2),), "two seeds")
    yield Case((scores(8),), "eight seeds")


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
    trials = [(170, 0.59, 0.6), (550, 0.93, 0.91), (990, 0.92, 0.95), (300, 0.91, 0.93)]
    trials = [(size + shift, validation, test) for size, validation, test in trials]
    trials += [(2570 + shift, 0.96, 0.96), (420 + shift, 0.93, 0.9), (600 + shift, 0.93, 0.92)]
    order = draw.choice([0, 1, 2, 3, 4, 5, 6], [[3, 6, 0, 4, 1, 5, 2], [2, 1, 6, 4, 0, 3, 5]])
    trials = [trials[k] for k in order]
    yield Case((trials, 1000 + shift))
    yield Case((trials, 420 + shift), "one that just fits")
    yield Case((trials, 320 + shift), "a small budget")
    yield Case((trials, 250 + shift), "a single one fits")
    yield Case((trials, 100), "none fits")
    yield Case((trials, 10_000), "all fit")


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
    others = [
        [(size + step, round(share - step / 5000, 4)) for size, share in reversed(shown)]
        for step in range(3, 30, 3)
    ]
    points = draw.choice(shown, others)
    yield Case((points,))
    yield Case(([*points, points[2], (points[2][0], points[2][1] - 0.01)],), "two that are equal")
    yield Case(([*points, (points[2][0] - 20, points[2][1])],), "as accurate, but smaller")
    yield Case(([(400, 0.9), (400, 0.93), (400, 0.92)],), "one size")
    yield Case(([(500, 0.9)],), "one head")


def weakened(kind: type, rank: Any, p: float, seed: int, falling: float, training: bool) -> TRL:
    """A layer whose components are weaker and weaker, with positive weights."""
    torch.manual_seed(seed)
    # One path: a layer that chooses none is made, and pruned, faster.
    options = {"dropout": p, "dtype": torch.float64, "contraction": "rebuild"}
    layer = kind((4, 3, 2), 3, rank, **options).train(training)
    with torch.no_grad():
        tensors = [layer.core, *layer.factors] if kind is TuckerTRL else list(layer.factors)
        for tensor in tensors:
            tensor.uniform_(0.5, 1.0)
        if kind is CPTRL:
            strength = falling ** torch.arange(rank, dtype=torch.float64)
            layer.factors[0].mul_(strength[torch.randperm(rank)])
        else:
            strength = falling ** torch.arange(rank[0], dtype=torch.float64)
            layer.core.mul_(strength.reshape(-1, *[1] * (layer.core.ndim - 1)))
    return layer


def prune_within(trl: TRL, x: Tensor, most: float, tols: Sequence[float]) -> TRL:
    training = trl.training
    best = trl
    with torch.no_grad():
        exact = trl.eval()(x)
        for tol in tols:
            pruned = trl.prune(tol).eval()
            change = (exact - pruned(x)).abs().max()
            if change <= most and capstone.size(pruned) < capstone.size(best):
                best = pruned
    trl.train(training)
    return best


def prune_probe(answer: Callable, trl: TRL, x: Tensor, most: float, tols: list) -> dict | Verdict:
    torch.manual_seed(0)
    before = [parameter.detach().clone() for parameter in trl.parameters()]
    pruned = answer(trl, x, most, tols)
    if not isinstance(pruned, TRL):
        return Verdict("no layer", f"must return a layer, got {describe(plain(pruned))}")
    same = all(map(torch.equal, before, trl.parameters()))
    return {
        "rank of what is returned": pruned.rank,
        "the layer you were given, afterwards": ("unchanged" if same else "with other parameters"),
        "its mode, afterwards": "training" if trl.training else "eval",
    }


def prune_cases(draw: Draw) -> Iterator[Case]:
    seed = draw.choice(0, range(1, 50))
    tols = [1e-7, 0.3, 2e-3, 0.06, 3e-4]
    x = draw.normal(5, 4, 3, 2).abs() + 0.2
    x = x * torch.tensor([10.0, 0.1, 0.1, 0.1, 0.1], dtype=torch.float64).reshape(5, 1, 1, 1)
    exact = Recipe(weakened, (CPTRL, 6, 0.3, seed, 0.1, True))
    yield Case((exact, x, 0.5, tols))
    yield Case((exact, -x, 0.5, tols), "negative activations")
    yield Case((exact, x, 1e-9, tols), "nothing may go")
    tucker = Recipe(weakened, (TuckerTRL, (4, 2, 2, 3), 0.2, seed, 0.05, False))
    yield Case((tucker, x, 20.0, tols), "a Tucker layer, in eval mode")


@dataclass(frozen=True)
class Goal:
    """What a head must reach: numbers at most, shares of held-out digits right at least."""

    budget: int
    accuracy: float
    noise: float = 0.0
    fgsm: float = 0.0


LIGHT, ACCURATE, STURDY = Goal(400, 0.86), Goal(1000, 0.91), Goal(1600, 0.9, 0.79, 0.66)


def light_head(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return CPTRL(input_shape, num_classes, rank=10)


def accurate_head(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return TuckerTRL(input_shape, num_classes, rank=(8, 3, 3, num_classes))


def sturdy_head(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return TuckerTRL(input_shape, num_classes, rank=(8, 4, 4, num_classes), dropout=0.1)


def light_probe(answer: Callable, *args: Any) -> Verdict:
    return tried(answer, LIGHT, *args)


def accurate_probe(answer: Callable, *args: Any) -> Verdict:
    return tried(answer, ACCURATE, *args)


def sturdy_probe(answer: Callable, *args: Any) -> Verdict:
    return tried(answer, STURDY, *args)


def tried(
    answer: Callable, goal: Goal, shape: tuple[int, ...], classes: int, seeds: tuple, digits: str
) -> Verdict:
    """Build a head; with seeds train it from each, and say what came of it."""
    fault = built(answer, goal, shape, classes, budget=bool(seeds))
    if fault or not seeds:
        return fault or RIGHT
    own = answer in (light_head, accurate_head, sturdy_head)
    return (_judged_once if own else judged)(answer, goal, seeds, digits)


def built(
    answer: Callable, goal: Goal, shape: tuple[int, ...], classes: int, budget: bool
) -> Verdict | None:
    """What is wrong with a head before it has learned anything."""
    torch.manual_seed(0)
    head = answer(shape, classes)
    if not isinstance(head, nn.Module):
        return Verdict("no module", f"must return an nn.Module, got {describe(plain(head))}")
    if answer(shape, classes) is head:
        text = "two calls return the very same head, so that it goes on learning where it was"
        return Verdict("one head", text)
    count = capstone.size(head)
    if budget and count > goal.budget:
        trl = any(isinstance(module, TRL) for module in head.modules())
        near = trl and count - goal.budget <= classes
        text = f"has {count:,} numbers, the budget is {goal.budget:,}"
        return Verdict("bias not counted" if near else "over the budget", text)
    if not any(parameter.requires_grad for parameter in head.parameters()):
        return Verdict("frozen", "no parameter of the head learns (requires_grad)")
    x = torch.rand(5, *shape)
    head.eval()
    with torch.no_grad():
        y, again = head(x), head(x)
    if not isinstance(y, Tensor) or y.shape != (5, classes):
        text = f"takes {tuple(x.shape)} to {describe(plain(y))}, expected shape (5, {classes})"
        return Verdict("shape", text)
    if not torch.equal(y, again):
        return Verdict("random in eval mode", "two passes in eval mode give different outputs")
    sums = y.exp().sum(1) if (y <= 0).all() else y.sum(1)
    if torch.allclose(sums, torch.ones(5), atol=1e-4):
        return Verdict("probabilities", "returns probabilities (or their logarithms), not logits")
    return None


def judged(answer: Callable, goal: Goal, seeds: tuple[int, ...], digits: str) -> Verdict:
    """Train the head from each seed and compare the means with what is wanted."""
    data, scores = capstone.part(digits), []
    for seed in seeds:
        model = capstone.train(answer, seed)
        (noise,) = noise_accuracy(model, data, [capstone.NOISE], seed=seed)
        (fgsm,) = fgsm_accuracy(model, data, [capstone.FGSM])
        clean = evaluate(model, data).accuracy
        scores.append((clean, noise, fgsm, evaluate(model, capstone.part("train")).accuracy))
    clean, noise, fgsm, fitted = (statistics.mean(column) for column in zip(*scores, strict=True))
    wanted = [("clean", clean, goal.accuracy)]
    if goal.noise:
        wanted += [("with noise", noise, goal.noise), ("attacked", fgsm, goal.fgsm)]
    if all(share >= least for _, share, least in wanted):
        return RIGHT
    shares = "\n".join(
        f"held-out digits, {name}: {100 * share:.1f} % right, wanted {100 * least:g} %"
        for name, share, least in wanted
    )
    text = f"{capstone.size(model[1]):,} of {goal.budget:,} numbers\n{shares}\n"
    text += f"the training digits: {100 * fitted:.1f} % right"
    layers = [module for module in model.modules() if isinstance(module, TRL)]
    if clean < goal.accuracy and any(kept(layer) < 0.4 for layer in layers):
        return Verdict("drops too much", text)
    if clean < goal.accuracy and fitted < goal.accuracy + 0.04:
        return Verdict("fits too little" + " without a TRL" * (not layers), text)
    if clean < goal.accuracy:
        return Verdict("does not generalize", text)
    dropout = any(layer.dropout.p for layer in layers)
    return Verdict("not sturdy" if dropout else "not sturdy, no dropout", text)


_judged_once = cache(judged)


def kept(layer: TRL) -> float:
    """The probability that a summand of a layer's weight stays, all its modes together."""
    ranks = {CPTRL: 1, TTTRL: len(layer.input_shape), TuckerTRL: len(layer.input_shape) + 1}
    modes = layer.dropout.modes
    return (1 - layer.dropout.p) ** (ranks.get(type(layer), 1) if modes is None else len(modes))


def head_cases(draw: Draw) -> Iterator[Case]:
    yield Case(((12, 5, 5), 7, (), "nothing"), "another activation, built and not trained")
    seeds = draw.choice((0, 1), [(k, k + 1) for k in range(2, 500, 2)])
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
    Exercise("mean_and_error", ("scores",), mean_and_error, mean_and_error_cases, gradients=False),
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
    Exercise("light_head", HEAD, light_head, head_cases, gradients=False, probe=light_probe),
    Exercise(
        "accurate_head", HEAD, accurate_head, head_cases, gradients=False, probe=accurate_probe
    ),
    Exercise("sturdy_head", HEAD, sturdy_head, head_cases, gradients=False, probe=sturdy_probe),
    Quiz("quiz_capstone_peek", "abcd"),
    Quiz("quiz_capstone_error", "abcd"),
    Quiz("quiz_capstone_pooling", "abcd"),
)
