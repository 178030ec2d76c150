"""Chapter 00: what flattening costs, and what a shuffle costs."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from trlkit import CPTRL, TuckerTRL
from trlkit.course.chapters.ch00_welcome.networks import (
    one_bias,
    the_same_network,
    tied_to_an_embedding,
    twelve_modules,
)
from trlkit.course.checking import networks
from trlkit.course.checking.answer import RIGHT, Foreign, Recipe, Verdict, plain
from trlkit.course.checking.compare import describe
from trlkit.course.checking.exercise import Case, Draw, Exercise
from trlkit.lab.statistics import interval
from trlkit.ranks import cp_parameters, tucker_parameters


def flat_features(channels: int, height: int, width: int) -> int:
    return math.prod((channels, height, width))


def flat_features_cases(draw: Draw) -> Iterator[Case]:
    yield Case(draw.sizes(2, 3, 4))
    yield Case(draw.sizes(5, 1, 3))
    yield Case((512, 7, 7), "VGG16")
    yield Case((1, 1, 1))
    large = draw.choice((1, 4097, 4099), [(3, 2049, 2733), (5, 1833, 1833)])
    yield Case(large, "more than float32 can count")


def fc_share(model: nn.Module) -> tuple[int, int, float]:
    every = {id(p): p.numel() for p in model.parameters()}
    linear = {
        id(p): p.numel()
        for m in model.modules()
        if isinstance(m, nn.Linear)
        for p in m.parameters()
    }
    total = sum(every.values())
    return total, sum(linear.values()), sum(linear.values()) / total


def fc_share_cases(draw: Draw) -> Iterator[Case]:
    for builder in (networks.small_cnn, networks.nested_cnn, networks.frozen_cnn):
        yield Case((Recipe(builder, draw.sizes(4, 3)),))
    yield Case((Recipe(networks.one_linear, draw.sizes(3, 2)),), "one layer alone")
    yield Case((Recipe(networks.without_bias, draw.sizes(6, 3)),), "a layer without a bias")
    yield Case((Recipe(networks.convolutions_only, draw.sizes(4, 3)),), "no linear layer")
    yield Case((Recipe(networks.scaled, draw.sizes(4, 3)),), "a parameter that is in no layer")
    yield Case((Recipe(networks.tied, draw.sizes(4, 3)),), "two layers share their weight")
    yield Case((Recipe(networks.meta_cnn, draw.sizes(5, 7)),), "on the meta device")
    embedding = Recipe(tied_to_an_embedding, draw.sizes(7, 3))
    yield Case((embedding,), "a linear layer shares its weight with an embedding")
    yield Case((Recipe(twelve_modules, draw.sizes(4, 3)),), "others that are called linear")
    yield Case((Recipe(one_bias, draw.sizes(4, 3)),), "two layers share their bias")
    sizes = draw.sizes(4, 3)
    for note in ("a network", "the same network once more"):
        yield Case((Recipe(the_same_network, sizes),), note)


def cp_trl_parameters(input_shape: Sequence[int], num_classes: int, rank: int) -> int:
    factors = [size * rank for size in (*input_shape, num_classes)]
    return sum(factors) + num_classes


def cp_trl_cases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.sizes(2, 3, 4), *draw.sizes(5, 6)))
    yield Case((draw.sizes(8, 1, 1), *draw.sizes(3, 2)), "modes of size 1")
    yield Case((draw.sizes(2, 3), *draw.sizes(4, 1)), "two input modes")
    yield Case((draw.sizes(7), *draw.sizes(3, 4)), "one input mode")
    yield Case((draw.sizes(2, 3, 4, 5, 6, 7), *draw.sizes(3, 2)), "six input modes")
    yield Case(((4, 4, 4), *draw.sizes(1, 3)), "sizes that are equal, one class")
    yield Case(((512, 7, 7), 1000, draw.choice(100, (50, 200))), "VGG16's activation")
    large = (8191, 31, 31), 1000, draw.choice(2001, (1999, 2003))
    yield Case(large, "more than float32 can count")


# ---- tests that catch wrong counters ---------------------------------------------------------

COUNTERS: dict[str, Callable[[tuple[int, ...], int, int], int]] = {
    "forgets the bias": lambda s, c, r: r * (sum(s) + c),
    "counts a single bias for all classes": lambda s, c, r: r * (sum(s) + c) + 1,
    "looks at the first three modes only": lambda s, c, r: r * (sum(s[:3]) + c) + c,
    "puts the sizes into a set": lambda s, c, r: r * (sum(set(s)) + c) + c,
    "leaves out modes of size 1": lambda s, c, r: r * (sum(n for n in s if n > 1) + c) + c,
    "leaves out the class mode where there is one class": lambda s, c, r: (
        r * (sum(s) + c * (c > 1)) + c
    ),
    "has a special case for a single mode": lambda s, c, r: (
        s[0] * c + c if len(s) == 1 else r * (sum(s) + c) + c
    ),
}
KNOWN = len(COUNTERS)  # those above are told in the notebook
COUNTERS |= {
    "one bias for each component": lambda s, c, r: r * (sum(s) + c) + r,
    "no factor for the classes": lambda s, c, r: r * sum(s) + c,
    "sizes multiplied": lambda s, c, r: r * math.prod(s) * c + c,
    "the full weight": lambda s, c, r: math.prod(s) * c + c,
    "the last three modes only": lambda s, c, r: r * (sum(s[-3:]) + c) + c,
    "a rank above the smallest size is lowered": lambda s, c, r: min(r, min(s)) * (sum(s) + c) + c,
    "classes left out where a mode has their size": lambda s, c, r: (
        r * (sum(s) + c * (c not in s)) + c
    ),
}
MOST_TESTS = 2


def counter_tests() -> list[tuple]:
    calls = [((3, 1, 4, 3, 2, 5), 1, 7), ((6,), 4, 3)]
    return [(*call, cp_trl_parameters(*call)) for call in calls]


def counter_tests_probe(answer: Callable) -> Verdict:
    tests = plain(answer())
    if not isinstance(tests, list | tuple):
        return Verdict("no list", f"must return a list of tests, got {describe(tests)}")
    if not 1 <= len(tests) <= MOST_TESTS:
        if any(map(_test_fault, tests)):
            text = f"must return a list of one or two tests, got {describe(tests)}"
            return Verdict("no list of tests", text)
        kind = "too many tests" if tests else "no tests"
        return Verdict(kind, f"returns {len(tests)} tests; one or two are asked")
    for test in tests:
        fault = _test_fault(test)
        if fault:
            return Verdict("no test", f"{describe(test)} is no test: {fault}")
    for *call, parameters in tests:
        true = cp_trl_parameters(*call)
        if parameters != true:
            text = f"the test {(*call, parameters)!r} refuses a right counter, which gives {true:,}"
            return Verdict("wrong number", text)
    through = [
        number
        for number, counter in enumerate(COUNTERS.values())
        if all(counter(tuple(shape), c, r) == n for shape, c, r, n in tests)
    ]
    if not through:
        return RIGHT
    text = f"{len(through)} of {len(COUNTERS)} wrong counters get through"
    known = [name for name in itertools.islice(COUNTERS, KNOWN) if _number(name) in through]
    text += f", among them the one that {known[0]}" if known else ", none that was told to you"
    return Verdict(f"through: {through}", text)


def _number(name: str) -> int:
    return list(COUNTERS).index(name)


def _test_fault(test: Any) -> str:
    """Why something is no test, in words; nothing where it is one."""
    if not isinstance(test, list | tuple) or len(test) != 4:
        return "it has the parts input_shape, num_classes, rank, parameters"
    shape, *numbers = test
    if not isinstance(shape, list | tuple) or not 1 <= len(shape) <= 9:
        return "input_shape is a tuple of 1 to 9 sizes"
    if not all(type(number) is int for number in (*shape, *numbers)):
        return "its sizes and numbers are ints"
    if not all(1 <= number <= 1000 for number in (*shape, *numbers[:2])):
        return "sizes, classes and rank are from 1 to 1000"
    return ""


# ---- the experiment --------------------------------------------------------------------------


def made_up_scores(truth: dict[str, float], starts: float, noise: float, seed: int) -> Callable:
    """Scores of a layer that loses what ``truth`` says, from starts that are unlike each other."""

    def score(name: str, start: int) -> float:
        generator = torch.Generator().manual_seed(97 * seed + 1009 * start)
        own = starts * torch.randn((), generator=generator).item()
        generator.manual_seed(97 * seed + 1009 * start + sum(map(ord, name)))
        own += noise * torch.randn((), generator=generator).item()
        return 0.8 + own - (0.0 if name == "none" else truth[name])

    return score


def interval_of_the_mean() -> Callable:
    """The course's own, as the notebook imports it."""
    return interval


def interval_of_the_middle() -> Callable:
    """Another: from the smallest difference to the largest."""

    def middle(values: Sequence[float]) -> tuple[float, float]:
        low, high = min(values), max(values)
        return (low + high) / 2, (high - low) / 2

    return middle


def told_scores(table: dict[str, tuple[float, ...]]) -> Callable:
    """Scores out of a table, for seeds 0, 1, 2, ..."""

    def score(name: str, start: int) -> float:
        return table[name][start]

    return score


def shuffle_study(
    score: Callable, interval: Callable, names: Iterable[str], seeds: Sequence[int]
) -> dict[str, tuple[float, float, str]]:
    found = {}
    for name in names:
        loss, half = interval([score("none", seed) - score(name, seed) for seed in seeds])
        conclusion = "can't tell"
        if loss - half > 0:
            conclusion = "worse"
        if loss + half < 0:
            conclusion = "better"
        found[name] = (loss, half, conclusion)
    return found


def named(found: Any, args: tuple) -> dict[str, dict]:
    """A study with a word for each of its numbers, as the messages tell them."""
    _, _, names, _ = args
    if not isinstance(found, dict) or set(found) != set(names):
        raise ValueError(
            f"must return a dict with a key for each of {names}, got {describe(found)}"
        )
    for name, row in found.items():
        if not isinstance(row, list | tuple) or len(row) != 3:
            raise ValueError(f"{name}: must be (loss, half, conclusion), got {describe(row)}")
    parts = ("loss", "half", "conclusion")
    return {name: dict(zip(parts, found[name], strict=True)) for name in names}


def shuffle_study_cases(draw: Draw) -> Iterator[Case]:
    interval = Recipe(interval_of_the_mean, lent=True)
    seed = draw.choice(0, range(1, 500))
    unlike = {"rows and columns": 0.0, "transposed": -0.03, "all places": 0.04}

    def world(truth: dict[str, float], starts: float, noise: float) -> Recipe:
        return Recipe(made_up_scores, (truth, starts, noise, seed), lent=True)

    def case(scores: Recipe, names: list[str], seeds: list[int], note: str) -> Case:
        return Case((scores, interval, names, seeds), note)

    first = list(range(6))
    yield case(world({"all places": 0.04}, 0.0, 0.002), ["all places"], first, "starts alike")
    yield case(world(unlike, 0.08, 0.002), list(unlike), first, "starts unlike each other")
    yield case(world(unlike, 0.02, 0.4), list(unlike), first, "noise above all")
    yield case(world({"mirrored": 0.0}, 0.1, 0.0), ["mirrored"], [3, 1, 2], "no difference at all")
    yield case(world({"mirrored": 0.05}, 0.3, 0.0005), ["mirrored"], [40, 7], "two seeds")
    plain = draw.choice(0.8, (0.7, 0.75, 0.85))
    shuffled = tuple(plain - loss for loss in (0.06, 0.05, 0.07, 0.06, 0.05, -0.01))
    one = Recipe(told_scores, ({"none": (plain,) * 6, "mirrored": shuffled},), lent=True)
    yield case(one, ["mirrored"], first, "one seed gains")
    middle = Recipe(interval_of_the_middle, lent=True)
    told = {
        "none": (0.5, 0.75, 0.5),
        "rows and columns": (0.5, 0.5, 0.25),  # 0, 0.25, 0.25: from 0 up
        "transposed": (0.5, 1.0, 0.75),  # 0, -0.25, -0.25: up to 0
        "all places": (0.25, 0.25, 0.25),
        "mirrored": (0.75, 0.875, 0.75),
    }
    names = [name for name in told if name != "none"]
    note = "another interval, 0 on its border"
    yield Case((Recipe(told_scores, (told,), lent=True), middle, names, [2, 0, 1]), note)
    tiny = 2**-12
    told = {
        "none": (0.5, 0.75, 0.5),
        "rows and columns": (0.5 - tiny, 0.75 - 2 * tiny, 0.5 - tiny),
        "transposed": (0.5 + 2 * tiny, 0.75 + tiny, 0.5 + tiny),
        "all places": (0.5 - tiny, 0.75 - tiny, 0.5 - tiny),  # the same for each seed
        "mirrored": (0.5 + tiny, 0.75 + tiny, 0.5 + tiny),
    }
    note = "small differences, all on one side"
    yield Case((Recipe(told_scores, (told,), lent=True), middle, names, [2, 0, 1]), note)


# ---- what a layer of low rank cannot see -----------------------------------------------------


@cache
def _grids(height: int, width: int) -> frozenset[tuple[int, ...]]:
    """Every order of the places that leaves rank 1 what it is: tried out, not derived."""
    places = torch.arange(height * width).reshape(height, width)
    if 1 in (height, width):  # each weight of a single line is of rank 1
        return frozenset(itertools.permutations(range(height * width)))
    found = set()
    for rows in itertools.permutations(range(height)):
        for columns in itertools.permutations(range(width)):
            grid = places[list(rows)][:, list(columns)]
            found.add(tuple(grid.flatten().tolist()))
            if height == width:
                found.add(tuple(grid.T.flatten().tolist()))
    return frozenset(found)


def unnoticed(order: Tensor) -> bool:
    return tuple(order.flatten().tolist()) in _grids(*order.shape)


def unnoticed_probe(answer: Callable, orders: Tensor) -> Verdict:
    said = []
    for order in orders:
        value = plain(answer(order))
        if type(value) is not bool:
            text = f"must return True or False, got {describe(value)}"
            one = isinstance(value, Tensor) and value.numel() == 1
            if one or isinstance(value, Foreign) and value.type.startswith("numpy.bool"):
                text += "; bool(...) makes one of it"
            return Verdict("no bool", text)
        said.append(value)
    expected = [unnoticed(order) for order in orders]
    wrong = [k for k, pair in enumerate(zip(expected, said, strict=True)) if pair[0] != pair[1]]
    if not wrong:
        return RIGHT
    first = orders[wrong[0]].tolist()
    text = f"{len(wrong)} of {len(orders)} are wrong, the first of them {first}:\n"
    text += f"expected {expected[wrong[0]]}, got {said[wrong[0]]}"
    return Verdict(f"wrong: {wrong}", text)


def unnoticed_cases(draw: Draw) -> Iterator[Case]:
    def grid(height: int, width: int, orders: Iterable[Sequence[int]], note: str) -> Case:
        return Case((torch.tensor([*orders]).reshape(-1, height, width),), note)

    def some(height: int, width: int, count: int) -> list[list[int]]:
        """Orders that go unnoticed, those that miss it by little, and any."""
        good = sorted(_grids(height, width))
        chosen = [list(good[k]) for k in (draw.normal(len(good)).argsort()[:count]).tolist()]
        missed = []
        for order in chosen:
            one = list(order)  # two pixels exchanged
            one[0], one[-1] = one[-1], one[0]
            rows = torch.tensor(order).reshape(height, width)
            turned = torch.cat([rows[:1].roll(1, 1), rows[1:]])  # one row by itself
            down = torch.cat([rows[:, :1].roll(1, 0), rows[:, 1:]], 1)  # one column by itself
            missed += [one, turned.flatten().tolist(), down.flatten().tolist()]
            turned = torch.cat([rows[:-1], rows[-1:].roll(1, 1)])  # the last row by itself
            down = torch.cat([rows[:, :-1], rows[:, -1:].roll(1, 0)], 1)  # the last column
            missed += [turned.flatten().tolist(), down.flatten().tolist()]
        any_order = [draw.normal(height * width).argsort().tolist() for _ in range(count)]
        return [*chosen, *missed, *any_order]

    rows = [[2, 3, 0, 1], [1, 0, 3, 2], [1, 0, 2, 3], [0, 1, 2, 3]]
    yield grid(2, 2, rows if not draw.hidden else reversed(rows), "grids of 2 x 2")
    yield grid(2, 3, itertools.permutations(range(6)), "all orders of 2 x 3")
    yield grid(3, 2, some(3, 2, 8), "3 x 2")
    yield grid(4, 3, some(4, 3, 8), "4 x 3")
    yield grid(2, 2, itertools.permutations(range(4)), "all orders of 2 x 2")
    yield grid(3, 3, some(3, 3, 20), "3 x 3")
    cut = torch.arange(8).reshape(4, 2).T.reshape(-1).tolist()
    yield grid(2, 4, [cut, *some(2, 4, 6)], "2 x 4")
    yield grid(1, 5, some(1, 5, 3), "a single row")
    yield grid(4, 1, some(4, 1, 3), "a single column")
    square = torch.tensor(some(3, 3, 4)).reshape(-1, 3, 3)
    yield Case((square.mT,), "not contiguous in memory")


# ---- the challenge ---------------------------------------------------------------------------

BUDGET, SHARE = 250, 0.9


def tiny_head() -> tuple:
    return (8, 8), 8


def tiny_head_probe(answer: Callable, seeds: tuple[int, ...], least: float) -> Verdict:
    spec = plain(answer())
    fault = _head_fault(spec)
    if fault:
        return fault
    shape, rank = tuple(spec[0]), spec[1] if type(spec[1]) is int else tuple(spec[1])
    count = cp_parameters if type(rank) is int else tucker_parameters
    size = count((*shape, 10), rank) + 10
    if size > BUDGET:
        return Verdict("over the budget", f"{size:,} numbers; the point is at {BUDGET}")
    share = _read(shape, rank, seeds)
    if share < least:
        text = (
            f"{size} numbers read {share:.1%} of new digits from seeds {seeds}, asked: {least:.0%}"
        )
        return Verdict("reads too few", text)
    return RIGHT


def _head_fault(spec: Any) -> Verdict | None:
    """What is wrong with a shape and a rank before anything is trained."""
    if not isinstance(spec, list | tuple) or len(spec) != 2:
        return Verdict("no pair", f"must return a pair (shape, rank), got {describe(spec)}")
    shape, rank = spec
    if not isinstance(shape, list | tuple) or not all(type(n) is int and n > 0 for n in shape):
        return Verdict("no shape", f"the shape is a tuple of positive ints, got {describe(shape)}")
    text = f"the shape {tuple(shape)} has {len(shape)} modes and {math.prod(shape)} entries"
    text += "; at most 6 modes and 64 entries are asked"
    if math.prod(shape) != 64:
        return Verdict("other shape", text)
    if len(shape) > 6:
        return Verdict("too many modes", text)
    ranks = rank if isinstance(rank, list | tuple) else [rank]
    if not all(type(n) is int and n > 0 for n in ranks):
        text = f"the rank is a positive int or a tuple of them, got {describe(rank)}"
        return Verdict("no rank", text)
    if isinstance(rank, list | tuple) and len(rank) != len(shape) + 1:
        text = f"the rank {tuple(rank)} has {len(rank)} entries, the weight {len(shape) + 1} modes"
        return Verdict("other rank", text)
    return None


@cache
def _read(shape: tuple[int, ...], rank: int | tuple[int, ...], seeds: tuple[int, ...]) -> float:
    from trlkit.lab.shuffles import digits_right

    kind = CPTRL if type(rank) is int else TuckerTRL

    def make() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Unflatten(1, shape), kind(shape, 10, rank=rank))

    return sum(digits_right(make, seed=seed) for seed in seeds) / len(seeds)


def tiny_head_cases(draw: Draw) -> Iterator[Case]:
    # Hidden seeds get two standard errors of a mean over three.
    seeds = draw.choice((0, 1, 2), [(k, k + 1, k + 2) for k in range(3, 300, 3)])
    yield Case((seeds, SHARE - 0.02 if draw.hidden else SHARE))


EXERCISES = (
    Exercise(
        name="flat_features",
        signature=("channels", "height", "width"),
        oracle=flat_features,
        cases=flat_features_cases,
        gradients=False,
    ),
    Exercise(
        name="fc_share",
        signature=("model",),
        oracle=fc_share,
        cases=fc_share_cases,
        gradients=False,
    ),
    Exercise(
        name="cp_trl_parameters",
        signature=("input_shape", "num_classes", "rank"),
        oracle=cp_trl_parameters,
        cases=cp_trl_cases,
        gradients=False,
    ),
    Exercise(
        name="counter_tests",
        signature=(),
        oracle=counter_tests,
        cases=lambda draw: [Case(())],
        uses=("cp_trl_parameters",),
        gradients=False,
        probe=counter_tests_probe,
    ),
    Exercise(
        name="shuffle_study",
        signature=("score", "interval", "names", "seeds"),
        oracle=shuffle_study,
        cases=shuffle_study_cases,
        gradients=False,
        judged=named,
    ),
    Exercise(
        name="unnoticed",
        signature=("orders",),
        oracle=unnoticed,
        cases=unnoticed_cases,
        gradients=False,
        probe=unnoticed_probe,
    ),
    Exercise(
        name="tiny_head",
        signature=("trained_from_seeds", "least_share"),
        oracle=tiny_head,
        cases=tiny_head_cases,
        gradients=False,
        probe=tiny_head_probe,
    ),
)
