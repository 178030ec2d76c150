"""Chapter 05: projecting an activation, Tucker layers, and a pooling that learns."""

import copy
import functools
import itertools
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trlkit import layers
from trlkit.contraction import paths
from trlkit.course.checking.answer import RIGHT, Verdict
from trlkit.course.checking.compare import describe
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.course.checking.products import positions
from trlkit.course.checking.weights import tucker_weight
from trlkit.lab.statistics import interval

LETTERS, OTHERS = "cdefgh", "stuvwx"  # of the modes of a weight, and of its ranks


def project_input(x: Tensor, factors: Sequence[Tensor]) -> Tensor:
    n = len(factors)
    operands = ",".join(a + r for a, r in zip(LETTERS[:n], OTHERS, strict=False))
    return torch.einsum(f"b{LETTERS[:n]},{operands}->b{OTHERS[:n]}", x, *factors)


def project_input_cases(draw: Draw) -> Iterator[Case]:
    batch, *sizes = draw.sizes(2, 3, 4)
    yield Case((draw.counting(batch, *sizes), [draw.counting(size, 2) for size in sizes]))
    sizes, ranks = draw.sizes(5, 3, 4), draw.sizes(2, 4, 3)
    factors = [draw.normal(size, rank) for size, rank in zip(sizes, ranks, strict=True)]
    yield Case((draw.normal(6, *sizes), factors), "three modes")
    cube = [draw.normal(3, 3) for _ in range(3)]
    yield Case((draw.normal(3, 3, 3, 3), cube), "all sizes and ranks the same")
    pooling = [draw.normal(4, 2), *(torch.full((size, 1), 1.0).double() / size for size in (2, 3))]
    yield Case((draw.normal(1, 4, 2, 3), pooling), "a batch of one, the last two modes averaged")
    (size,) = draw.sizes(3)
    yield Case((draw.normal(2, size), [draw.normal(size, 4)]), "one mode")
    sizes = (2, 3, 1, 2, 3)
    factors = [draw.normal(size, rank) for size, rank in zip(sizes, (3, 1, 2, 2, 2), strict=True)]
    yield Case((draw.normal(2, *sizes), factors), "five modes")
    x, factors = draw.normal(2, 3, 4, 5), [draw.normal(size, 2) for size in (3, 4, 5)]
    lying = x.contiguous(memory_format=torch.channels_last), [f.T.contiguous().T for f in factors]
    yield Case(lying, "a channels_last batch, and factors that lie by columns")
    half = (
        draw.normal(3, 2, 3).sign().bfloat16(),
        [draw.normal(n, 2).sign().bfloat16() for n in (2, 3)],
    )
    yield Case(half, "in bfloat16")


def tucker_forward(x: Tensor, core: Tensor, factors: Sequence[Tensor], bias: Tensor) -> Tensor:
    weight = tucker_weight(core, factors)  # (*input_shape, N)
    return torch.tensordot(x, weight, dims=weight.ndim - 1) + bias


def tucker_forward_cases(draw: Draw) -> Iterator[Case]:
    def case(batch: int, sizes: Sequence[int], ranks: Sequence[int], note: str = "") -> Case:
        factors = [draw.normal(size, rank) for size, rank in zip(sizes, ranks, strict=True)]
        x, core = draw.normal(batch, *sizes[:-1]), draw.normal(*ranks)
        return Case((x, core, factors, draw.normal(sizes[-1])), note)

    yield case(2, draw.sizes(3, 4, 5), draw.sizes(2, 3, 4))
    yield case(4, draw.sizes(5, 2, 3, 6), draw.sizes(3, 2, 4, 5), "three input modes")
    yield case(4, (4, 4, 4, 4), (4, 4, 4, 4), "all sizes and ranks the same, the batch too")
    yield case(1, draw.sizes(6, 3, 4, 5), (2, 1, 1, 3), "a batch of one, ranks of 1")
    yield case(3, draw.sizes(5, 4), draw.sizes(3, 2), "one input mode")
    yield case(2, (2, 3, 1, 2, 3, 4), (3, 2, 2, 1, 2, 3), "five input modes")
    yield case(3, (2, 4, 1), (3, 2, 2), "one class, and more ranks than that")
    x, core, factors, bias = case(2, (3, 4, 5, 6), (2, 3, 2, 4)).args
    lying = x.contiguous(memory_format=torch.channels_last), core.mT.contiguous().mT
    yield Case((*lying, [f.T.contiguous().T for f in factors], bias), "another order in memory")
    x, core, factors, bias = case(3, (2, 3, 4), (2, 2, 3)).args
    half = [factor.sign().bfloat16() for factor in factors]
    yield Case(
        (x.sign().bfloat16(), core.sign().bfloat16(), half, bias.sign().bfloat16()), "in bfloat16"
    )


class TuckerTRL(nn.Module):
    def __init__(self, input_shape: Sequence[int], num_classes: int, rank: Sequence[int]) -> None:
        super().__init__()
        *inputs, output = rank
        self.core = nn.Parameter(torch.randn(*rank) / math.prod(inputs) ** 0.5)
        sizes = zip(input_shape, inputs, strict=True)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in sizes)
        self.factors.append(torch.randn(num_classes, output) / output**0.5)
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return tucker_forward(x, self.core, list(self.factors), self.bias)


class Started(layers.TuckerTRL):
    """trlkit's layer, which starts as ``nn.Linear`` does, with the start that is asked for."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        with torch.no_grad():
            self.core.mul_(3**0.5)
            self.bias.zero_()


def probe_tucker(
    answer: Any, input_shape: tuple, num_classes: int, rank: tuple, x: Tensor
) -> dict[str, Any]:
    """A Tucker regression layer: its parameters, its start, what it computes.

    Of a batch of no samples nothing can be computed: with it comes how outputs start.
    """
    sizes = zip((*input_shape, num_classes), rank, strict=True)
    shapes = {f"factors.{k}": pair for k, pair in enumerate(sizes)}
    shapes = {"core": rank, **shapes, "bias": (num_classes,)}
    if not len(x):
        layer = answer(input_shape, num_classes, rank)
        own = dict(layer.named_parameters()) if isinstance(layer, nn.Module) else {}
        # The course's own layer cuts ranks that are larger than they need to be.
        found = {name: tuple(own[name].shape) for name in shapes if name in own}
        made, start, spread = _parameters_verdict(layer, {**shapes, **found}), None, None
        arguments = (input_shape, num_classes, rank)
        if made == RIGHT and arguments == STARTS[0]:
            start = _start_verdict(answer, arguments)
        if made == RIGHT and start in (None, RIGHT):
            spread = _spread_verdict(answer, *arguments)
        return {"layer": made, "start": start, "spread": spread}
    return _tried(answer, (input_shape, num_classes, rank), shapes, x)


IN_EVAL = "output in eval mode"
CHANGED = "output after its parameters were changed in place (is something kept from earlier?)"


def _tried(answer: Any, arguments: tuple, shapes: Mapping[str, tuple], x: Tensor) -> dict[str, Any]:
    names = ("x", *shapes)
    found: dict[str, Any] = dict.fromkeys(("layer", "output", "graph"))
    found |= {f"gradient of {name}": None for name in names}
    found |= dict.fromkeys((IN_EVAL, CHANGED))
    layer = answer(*arguments)
    found["layer"] = _parameters_verdict(layer, shapes)
    if found["layer"] != RIGHT:
        return found
    generator = torch.Generator().manual_seed(x.numel())
    state = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(x)
        for name, shape in shapes.items()
    }
    layer = layer.to(x.dtype)
    layer.load_state_dict(state)
    given = x.detach().clone().requires_grad_()
    found["output"] = y = layer(given)
    if not isinstance(y, Tensor):
        return found
    leaves = [given, *(dict(layer.named_parameters())[name] for name in shapes)]
    grads = [None] * len(leaves)
    if y.requires_grad:
        weights = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y)
        grads = torch.autograd.grad((y * weights).sum(), leaves, allow_unused=True)
    cut = [name for name, grad in zip(names, grads, strict=True) if grad is None]
    text = "no gradient reaches " + ", ".join(f"`{name}`" for name in cut)
    text += ": something cuts the graph (.data, .detach(), torch.no_grad()), or it is not used"
    found["graph"] = Verdict("cut " + " ".join(cut), text) if cut else RIGHT
    found |= {f"gradient of {name}": grad for name, grad in zip(names, grads, strict=True)}
    with torch.no_grad():
        found[IN_EVAL] = layer.eval()(x)
        for parameter in layer.parameters():
            parameter.mul_(0.5)
        found[CHANGED] = layer(x)
    return found


def _parameters_verdict(layer: Any, shapes: Mapping[str, tuple]) -> Verdict:
    """Whether a layer owns parameters of these names and shapes, and no others."""
    if not isinstance(layer, nn.Module):
        text = f"it makes {describe(layer)}: write a class that derives from nn.Module"
        return Verdict("no module", text)
    own = dict(layer.named_parameters())
    asked = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    for name in shapes:
        if name not in own:
            return _missing(layer, name, own, asked)
    extra = [name for name in own if name not in shapes]
    if extra:
        text = f"has the parameters {', '.join(extra)} too; it needs {asked} and no other"
        return Verdict("extra " + " ".join(extra), text)
    for name, shape in shapes.items():
        got = tuple(own[name].shape)
        if got != shape:
            text = f"{name} has shape {got}, expected {shape}"
            if name.startswith("factors") and got == shape[::-1]:
                text += ": a factor has a row for each entry of its mode, a column for each rank"
            return Verdict(f"{name} {got}", text)
    frozen = [name for name in shapes if not own[name].requires_grad]
    if frozen:
        return Verdict("frozen", f"{', '.join(frozen)} must require gradients")
    return RIGHT


def _missing(layer: nn.Module, name: str, own: Mapping[str, Any], asked: str) -> Verdict:
    attribute, _, number = name.partition(".")
    value = getattr(layer, attribute, None)
    if isinstance(value, list | tuple):
        text = (
            f"`self.{attribute}` is a plain {type(value).__name__}: nn.Module looks into no "
            f"list, so .parameters(), .to() and state_dict() never see it"
        )
        return Verdict("plain list", text)
    if name in dict(layer.named_buffers()):
        return Verdict("buffer", f"`{name}` is a buffer: it is saved and moved, and never learns")
    if isinstance(value, Tensor) and not number:
        text = (
            f"`self.{attribute}` is a tensor and no nn.Parameter: an optimizer never sees it, "
            f"and it is not saved"
        )
        return Verdict(f"plain tensor {name}", text)
    text = f"has the parameters {', '.join(own)}" if own else "has no parameters"
    text += f"; its state_dict must hold {asked}"
    return Verdict(f"without {name} " + " ".join(own), text)


def _start_verdict(answer: Callable, arguments: tuple) -> Verdict:
    """Whether fresh layers turn an input of variance 1 into outputs of about that size."""
    call = f"TuckerTRL{arguments}"
    made, squares, y = [], [], None
    for seed in range(8):
        torch.default_generator.manual_seed(seed)
        x = torch.randn(64, *arguments[0])
        with torch.no_grad():
            made.append(answer(*arguments))
            y = made[-1](x)
        if not isinstance(y, Tensor) or y.ndim < 2:
            return Verdict("no tensor", f"{call} returns {describe(y)}")
        squares.append(y.flatten(1).var(0).mean().item())
    spread = (sum(squares) / len(squares)) ** 0.5
    measured = f"{call}, fresh, on an input of standard deviation 1: outputs of {spread:.3g}"
    sizes = {
        name: torch.stack([p.detach() for p in parameters]).pow(2).mean().sqrt().item()
        for name, parameters in _by_name(made).items()
    }
    if not all(math.isfinite(size) for size in (spread, *sizes.values())):
        odd = [name for name, size in sizes.items() if not math.isfinite(size)]
        text = f"{call}, fresh: {', '.join(odd) or 'its output'}: entries that are not finite"
        return Verdict("not finite " + " ".join(odd), text)
    if not spread > 1e-6:
        zero = [name for name, size in sizes.items() if name != "bias" and size < 1e-6]
        told = (f"; the root mean square of {name} is {sizes[name]:.3g}" for name in zero)
        text = f"{measured} in place of 1" + "".join(told)
        return Verdict("zero " + " ".join(zero), text)
    if any(layer.bias.detach().any() for layer in made):
        return Verdict("bias", "the bias of a fresh layer must start at 0")
    y = y.flatten(1)
    if torch.allclose(y, y[:, :1].expand_as(y), atol=1e-5):
        text = f"{call}, fresh: all scores of a sample are equal"
        return Verdict("all equal", text)
    drawn = {name: own for name, own in _by_name(made).items() if name != "bias"}
    same = [name for name, (one, other, *_) in drawn.items() if torch.equal(one, other)]
    if same:
        text = f"{call}: {', '.join(same)} had the same numbers in two fresh layers: draw them anew"
        return Verdict("same start " + " ".join(same), text)
    for name, own in drawn.items():
        entries = torch.stack([p.detach() for p in own])
        if entries.mean().abs() > 0.4 * sizes[name]:
            text = (
                f"{call}, fresh: the entries of {name} have the mean {entries.mean().item():.3g}, "
                f"their root mean square is {sizes[name]:.3g}; they must lie around 0"
            )
            return Verdict(f"one side {name}", text)
    with torch.no_grad():
        x = torch.randn(4, *arguments[0])
        before = made[0](x)
        for name, parameter in made[0].named_parameters():
            if name != "bias":
                parameter.add_(1)  # no common scale, which a layer may divide by
        if torch.equal(before, made[0](x)):
            text = "its outputs stay the same when its core and factors are changed in place"
            return Verdict("kept", f"{call}: {text}: something is computed once, and kept")
    return RIGHT


STARTS = (  # ranks that are large and unequal: no two wrong rules are right at all of them
    ((16, 6, 6), 100, (4, 2, 2, 100)),
    ((512, 7, 7), 10, (16, 3, 5, 8)),
    ((30, 20), 5, (25, 3, 2)),
    ((12,), 9, (5, 9)),
    ((4, 30), 5, (12, 2, 20)),
)


def _spread_verdict(answer: Callable, shape: tuple, classes: int, rank: tuple) -> Verdict:
    """Whether outputs start with variance 1, as the sizes of the entries tell."""
    made = []
    for seed in range(24):
        torch.default_generator.manual_seed(seed)
        made.append(answer(shape, classes, rank))
    squares = {
        name: torch.stack([p.detach() for p in parameters]).square().mean().item()
        for name, parameters in _by_name(made).items()
    }
    own = dict(made[0].named_parameters())
    variance = squares["core"] * own["core"].numel() * squares[f"factors.{len(shape)}"]
    for k, size in enumerate(shape):
        variance *= size * squares[f"factors.{k}"]
    if 0.7 < variance < 1.4:
        return RIGHT
    zero = [name for name in squares if name != "bias" and squares[name] < 1e-12]
    off = []
    for name in own.keys() - {"bias"}:
        plan = _planned(name, own[name], made[0]) ** 2
        rules = {"": plan, "=1": 1.0, "=plan**2": plan**2}  # of usual wrong ones, by name
        ratios = {rule: squares[name] / usual for rule, usual in rules.items()}
        rule = next((rule for rule, ratio in ratios.items() if 0.7 < ratio < 1.4), None)
        off += [f"{name}={squares[name]:.0e}" if rule is None else name + rule] * (rule != "")
    text = (
        f"TuckerTRL({shape}, {classes}, {rank}), fresh, on an input of variance 1: outputs of "
        f"variance {variance:.3g} (from the entries of {len(made)} layers); it must be 1"
    )
    if zero:
        return Verdict("zero " + " ".join(zero), text)
    return Verdict(f"{'too large' if variance > 1 else 'too small'} {' '.join(sorted(off))}", text)


def _by_name(made: Sequence[nn.Module]) -> dict[str, list[Tensor]]:
    return {name: [dict(m.named_parameters())[name] for m in made] for name in made[0].state_dict()}


def _planned(name: str, parameter: Tensor, layer: nn.Module) -> float:
    """The standard deviation of a parameter's entries as the text plans them."""
    if name == "core":
        return math.prod(parameter.shape[:-1]) ** -0.5
    last = hasattr(layer, "core") and name == f"factors.{len(layer.factors) - 1}"
    return parameter.shape[int(last)] ** -0.5


def tucker_trl_cases(draw: Draw) -> Iterator[Case]:
    shape = draw.sizes(4, 5)
    x = draw.normal(2, *shape)
    rank = draw.choice((3, 2, 2), [(2, 1, 2), (1, 2, 2)])
    yield Case((shape, draw.choice(3, (2, 4)), rank, x))
    shape = draw.sizes(6, 3, 4)
    rank = (draw.choice(4, (1, 2)), 2, 1, draw.choice(3, (4, 5)))
    yield Case((shape, 5, rank, draw.normal(6, *shape)), "three input modes")
    yield Case(((4, 4, 4), 4, (4, 4, 4, 4), draw.normal(2, 4, 4, 4)), "all sizes the same")
    yield Case(((4, 2, 3), 5, (4, 1, 1, 5), draw.normal(1, 4, 2, 3)), "a batch of one")
    shape = draw.sizes(4, 3)
    yield Case((shape, 3, (2, 2, 3), draw.normal(5, *shape).float()), "in float32")
    yield Case(((4,), 3, (2, 3), draw.normal(2, 4)), "one input mode")
    x = draw.normal(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    yield Case(((3, 4, 5), 4, (2, 3, 2, 3), x), "a channels_last batch")
    for shape, classes, rank in STARTS:
        yield Case((shape, classes, rank, draw.normal(0, *shape)), "how its outputs start")


def projection_flops(input_shape: Sequence[int], rank: Sequence[int], order: Sequence[int]) -> int:
    sizes, flops = list(input_shape), 0
    for mode in order:
        sizes_after = [*sizes[:mode], rank[mode], *sizes[mode + 1 :]]
        flops += math.prod(sizes_after) * 2 * sizes[mode]  # entries, each a sum of that many
        sizes = sizes_after
    return flops


def projection_flops_cases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.sizes(4, 3), draw.choice((2, 1), [(1, 3), (3, 2)]), (0, 1)))
    ranks = list(itertools.permutations(range(1, 6), 3))
    yield Case(((5, 3, 4), draw.choice((2, 3, 1), ranks), (0, 1, 2)))
    order = draw.choice((2, 0, 1), [(1, 2, 0), (2, 1, 0), (1, 0, 2)])
    yield Case((draw.sizes(7, 4, 5), (2, 3, 1), order), "another order")
    rank = draw.choice(200, range(50, 400)), 1, 1
    yield Case(((512, 7, 7), rank, (1, 2, 0)), "VGG16's activation")
    yield Case((draw.sizes(6), (2,), (0,)), "one mode")
    yield Case(((1, 4, 1), (1, 2, draw.choice(3, (5, 6))), (0, 1, 2)), "modes of size 1")
    big = ((2048, 99, 101), (draw.choice(1001, range(901, 1100, 2)), 7, 9), (0, 1, 2))
    yield Case(big, "a large number: count in Python's whole numbers")
    shape, first = (27, 31, 25, 29, 23, 21, 33, 19, 35, 39, 37, 47), draw.choice(5, (1, 3))
    rank = (first, 3, 5, 3, 5, 1, 3, 1, 5, 3, 5, 3)  # below 2 ** 63, for numpy's whole numbers
    yield Case((shape, rank, tuple(draw.order(12))), "twelve modes: a number above 2 ** 53")
    yield Case(((3, 8), (draw.choice(6, range(4, 20)), 2), (0, 1)), "a mode that grows")
    yield Case(((49, draw.choice(3, (2, 4))), (1, 2), (0, 1)), "a mode of 49 numbers averaged")


def best_order(input_shape: Sequence[int], rank: Sequence[int]) -> tuple[int, ...]:
    """The cheapest of all orders: for each set of modes, the cheapest way to have done them."""
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    for done in range(1, 2 ** len(rank)):
        ways = []
        for mode in range(len(rank)):
            if done >> mode & 1:
                cost, order = best[done & ~(1 << mode)]
                pairs = enumerate(zip(input_shape, rank, strict=True))
                left = (r if done >> k & 1 and k != mode else i for k, (i, r) in pairs)
                ways.append((cost + 2 * math.prod(left) * rank[mode], (*order, mode)))
        best[done] = min(ways)
    return best[2 ** len(rank) - 1][1]


@functools.cache
def _best(input_shape: tuple[int, ...], rank: tuple[int, ...]) -> tuple[int, ...]:
    return best_order(input_shape, rank)


PATIENCE = 3  # seconds of computing: a rule needs next to none, twelve modes have 12! orders


def in_time(answer: Callable, input_shape: tuple, rank: tuple) -> Any:
    """What an answer returns; a TimeoutError where it computes for much longer than a rule."""

    def late(number: int, frame: Any) -> None:
        raise TimeoutError(
            f"no order of {len(rank)} modes after {PATIENCE} seconds of computing; sorting them "
            f"by a number for each takes no time"
        )

    if (
        not hasattr(signal, "SIGVTALRM")
        or threading.current_thread() is not threading.main_thread()
    ):
        return answer(input_shape, rank)
    handler = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        return answer(input_shape, rank)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)


def order_cost(value: Any, args: tuple) -> Verdict:
    """What an order costs: of several that cost the least, each is right."""
    input_shape, rank = args
    modes = list(range(len(input_shape)))
    if not isinstance(value, tuple | list):
        raise ValueError(f"must return a tuple of int, the modes in order; got {describe(value)}")
    for mode in value:
        if type(mode) is not int:
            got = f"one that holds {describe(mode)}"
            raise ValueError(f"must return a tuple of int, the modes in order; got {got}")
    if sorted(value) != modes:
        raise ValueError(f"returns {tuple(value)}, but each of the modes {modes} comes once")
    cost = projection_flops(input_shape, rank, value)
    best = projection_flops(input_shape, rank, _best(tuple(input_shape), tuple(rank)))
    if cost == best:
        return RIGHT
    text = f"the order {tuple(value)} costs {cost:,} FLOPs a sample; there is one for {best:,}"
    return Verdict(str(cost), text)


# On each pair the usual rules of thumb (see the mistakes) all cost too much, each its own.
MISLEADING = (
    (((29, 9, 26, 6), (2, 1, 9, 5)), ((10, 24, 31, 6), (9, 5, 9, 2))),
    (((30, 4, 5, 14), (6, 3, 3, 10)), ((9, 22, 4, 21), (3, 14, 4, 12))),
    (((10, 3, 8, 13), (3, 1, 6, 9)), ((24, 20, 8, 31), (15, 14, 6, 12))),
    (((13, 29, 25, 8), (10, 9, 16, 5)), ((12, 28, 25, 29), (9, 14, 10, 7))),
    (((3, 4, 26, 14), (2, 2, 6, 12)), ((8, 19, 25, 3), (7, 2, 8, 1))),
    (((22, 28, 25, 14), (9, 14, 9, 9)), ((27, 3, 7, 4), (13, 2, 2, 1))),
)

CLOSE = (  # the mode to project first stands last; in float32 both have the same number
    ((2105, 2276), (1013, 1051)),
    ((2446, 2156), (1047, 990)),
    ((2842, 2911), (1090, 1100)),
    ((3168, 1058), (749, 509)),
    ((2889, 3212), (1597, 1691)),
)


def best_order_cases(draw: Draw) -> Iterator[Case]:
    yield Case(((512, 7, 7), (draw.choice(200, range(50, 400)), 1, 1)), "VGG16's activation")
    for shape, rank in draw.choice(MISLEADING[0], MISLEADING[1:]):
        yield Case((shape, rank), "four modes")
    yield Case(((4, 4, 4), (2, 2, 2)), "every order costs the same")
    yield Case(((512, 400, 300), (200, 150, 120)), "numbers that are close")
    yield Case(((2048, 1024, 512), (1000, 700, 300)), "large modes, whose numbers are small")
    yield Case(draw.choice(CLOSE[0], CLOSE[1:]), "numbers that differ in their eighth digit")
    yield Case(
        ((3, 8, 5), (draw.choice(9, (7, 12)), 2, 5)), "a mode that grows, and one that stays"
    )
    yield Case((draw.sizes(6, 3), (1, 2)), "two modes")
    yield Case((draw.sizes(5), (2,)), "one mode")
    yield Case(((4, 1, 4, 1, 6), (2, 1, 2, 3, 6)), "modes of size 1, and equal ones")
    shape, rank = (7, 2, 9, 4, 8, 3, 6, 5, 7, 9, 3, 4), (3, 1, 8, 4, 3, 2, 7, 1, 6, 3, 5, 2)
    places = draw.order(12)
    shape, rank = (tuple(sizes[k] for k in places) for sizes in (shape, rank))
    yield Case((shape, rank), "twelve modes: 479,001,600 orders")


def pooled_linear_as_tucker(
    weight: Tensor, input_shape: Sequence[int], window: Sequence[int]
) -> tuple[Tensor, list[Tensor]]:
    channels, *sizes = input_shape
    counts = [size // w for size, w in zip(sizes, window, strict=True)]
    core = weight.new_zeros(channels, *counts, len(weight))
    for n in range(len(weight)):
        for entry, index in enumerate(positions((channels, *counts))):
            core[(*index, n)] = weight[n, entry]
    pools = [weight.new_zeros(size, count) for size, count in zip(sizes, counts, strict=True)]
    for pool, w in zip(pools, window, strict=True):
        for row in range(len(pool)):
            pool[row, row // w] = 1 / w
    eye = torch.eye(max(channels, len(weight))).to(weight)
    return core, [eye[:channels, :channels], *pools, eye[: len(weight), : len(weight)]]


def pooled_weight(value: Any, args: tuple) -> dict[str, Any]:
    """The full weight of core and factors: different ones are equally right."""
    weight, input_shape, window = args
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"must return a pair (core, factors), got {describe(value)}")
    core, factors = value
    if not isinstance(core, Tensor):
        raise ValueError(f"core must be a tensor, got {describe(core)}")
    if not isinstance(factors, tuple | list) or len(factors) != len(input_shape) + 1:
        raise ValueError(
            f"factors must be a list of {len(input_shape) + 1} tensors, one for each mode of the "
            f"weight; got {describe(factors)}"
        )
    classes, (channels, *pooled) = len(weight), input_shape
    counts = [size // w for size, w in zip(pooled, window, strict=True)]
    rank = (channels, *counts, classes)
    wanted = {"core": rank}
    sizes = zip((*input_shape, classes), rank, strict=True)
    wanted |= {f"factors[{k}]": pair for k, pair in enumerate(sizes)}
    for (name, shape), tensor in zip(wanted.items(), (core, *factors), strict=True):
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name} must be a tensor, got {describe(tensor)}")
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {shape}")
        if tensor.dtype != weight.dtype:
            raise ValueError(
                f"{name} has dtype {tensor.dtype}, but weight has {weight.dtype}: a new tensor "
                f"takes dtype=weight.dtype"
            )
    return {"the full weight that core and factors make": tucker_weight(core, factors)}


def of_a_layer(answer: Callable, weight: Tensor, input_shape: tuple, window: tuple) -> Any:
    """What an answer makes of a weight that is a parameter, as that of a Linear is."""
    return answer(nn.Parameter(weight), input_shape, window)


def pooled_cases(draw: Draw) -> Iterator[Case]:
    def case(make: Callable, classes: int, shape: tuple, window: tuple, note: str = "") -> Case:
        pooled = zip(shape[1:], window, strict=True)
        entries = shape[0] * math.prod(size // w for size, w in pooled)
        return Case((make(classes, entries), shape, window), note)

    classes, *shape = draw.sizes(2, 3, 4, 5)
    yield case(draw.counting, classes, tuple(shape), tuple(shape[1:]), "one average of everything")
    w, v = draw.choice((2, 3), [(3, 2), (4, 2), (2, 5)])
    yield case(draw.normal, 3, (2, 2 * w, 3 * v), (w, v), "windows")
    yield case(
        draw.normal, 4, (4, 4, 6), (4, 2), "one average along one mode, three along the other"
    )
    yield case(draw.normal, 4, (4, 4, 4), (2, 2), "square windows of a square map")
    yield case(draw.normal, 3, (5, 6), draw.choice(((3,),), [((2,),)])[0], "one mode to average")
    yield case(draw.normal, 3, (2, 2, 3, 4), (1, 3, 2), "three modes to average, one window of 1")
    yield case(draw.normal, 2, (2, 1, 1), (1, 1), "nothing to average, and a square weight")

    def half(*sizes: int) -> Tensor:
        return draw.normal(*sizes).float()

    yield case(half, 2, (3, 4, 6), (2, 3), "in float32")


def fair_gains(
    runs: Sequence[tuple],
    rival: Callable,
    learn: Callable,
    labels: Tensor,
    truth: Tensor,
    steps: int,
) -> tuple[list[float], str]:
    gains = []
    for head, features, unseen in runs:
        shares = []
        for layer in (rival(head), copy.deepcopy(head)):
            learn(layer, features, labels, steps)
            with torch.no_grad():
                shares.append((layer(unseen).argmax(1) == truth).double().mean().item())
        gains.append(shares[0] - shares[1])
    return gains, ahead(gains)


def ahead(gains: Sequence[float]) -> str:
    mean, half = interval(gains)
    return "undecided" if abs(mean) <= half else "rival" if mean > 0 else "head"


class Scores(nn.Module):
    """A head to train: nothing about it is left to chance."""

    def __init__(self, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.linear = nn.Linear(4, 3).double()
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def fair_gains_cases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.choice(1, (2, 3, 5)), draw.choice(7, (5, 9)), 0.0), "five heads")
    yield Case((draw.choice(4, (6, 8)), 3, 2.0), "a rival that learns more")
    yield Case((draw.choice(10, (12, 14)), 2, -2.0), "a rival that learns less")
    seed = draw.choice(1, (11, 13, 16, 31))
    yield Case((seed, 3, 0.2), "each gain above 0, and 0 in the interval")
    seed = draw.choice(9, (20, 26, 33))
    yield Case((seed, 3, 0.2), "one gain of 0, and 0 outside of the interval")
    yield Case((draw.choice(2, (3, 5)), 4, 0.1), "a rival that learns as much as the head")
    inside = draw.choice((4, 3), [(21, 3), (56, 3), (85, 2), (97, 2), (119, 2), (25, 4)])
    yield Case((*inside, 0.2), "0 a little inside of the interval")
    outside = draw.choice((2, 3), [(22, 3), (71, 3), (11, 2), (43, 2), (18, 4), (117, 4)])
    yield Case((*outside, 0.2), "0 a little outside of the interval")


def compared(answer: Callable, seed: int, steps: int, lead: float) -> Verdict:
    """Whether a comparison is fair: the same start, as much training, the same measure.

    No head is trained here: ``learn`` notes what it is given, and moves a head by a known step
    towards (or, with a negative lead, away from) the labels.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    best = normal(3, 4)
    runs = [(Scores(seed + k), normal(40, 4), normal(60, 4)) for k in range(5)]
    labels = torch.randint(3, (40,), generator=generator)
    truth = (runs[0][2] @ best.T).argmax(1)
    if lead:  # the same unseen samples, so that a better layer is better in each run
        runs = [(head, features, runs[0][2]) for head, features, _ in runs]
    for k, (head, _, _) in enumerate(runs):
        head.train(k % 2 == 0)
    starts = [copy.deepcopy(head.state_dict()) for head, _, _ in runs]
    made: list[nn.Module] = []
    learned: list[tuple[nn.Module, Tensor, int | None, int | None]] = []
    ends: list[dict[str, Tensor]] = []
    faults: list[Verdict] = []

    def run_of(state: Mapping[str, Tensor]) -> int | None:
        return next((k for k, start in enumerate(starts) if _equal(start, state)), None)

    def rival(head: nn.Module) -> nn.Module:
        state = head.state_dict()
        if run_of(state) is None:  # a training may have left a head as it came
            if any(_equal(end, state) for end in ends):
                text = "the rival is made from a head that was trained before: it has a head start"
                faults.append(Verdict("late start", text))
            else:
                text = "the rival is made from a layer whose numbers are those of no head that came"
                faults.append(Verdict("other start", text))
        made.append(copy.deepcopy(head))
        return made[-1]

    def learn(layer: nn.Module, x: Tensor, y: Tensor, steps: int | None = None) -> nn.Module:
        given = None if steps is None else int(steps)
        learned.append((layer, x.detach().clone(), given, run_of(layer.state_dict())))
        if not torch.equal(y, labels):
            faults.append(Verdict("other labels", "learn is given other labels than `labels`"))
        if not torch.is_grad_enabled():
            text = "learn is called where torch records no gradients: it could train nothing there"
            faults.append(Verdict("no gradients", text))
        is_rival = any(layer is other for other in made)
        with torch.no_grad():
            layer.linear.weight.add_((lead if is_rival else 0.1) * (given or 0) * best)
        ends.append(copy.deepcopy(layer.state_dict()))
        return layer

    found = answer(list(runs), rival, learn, labels.clone(), truth.clone(), steps)
    for number, ((head, _, _), start) in enumerate(zip(runs, starts, strict=True)):
        if not _equal(start, head.state_dict()):
            text = f"head {number} is not what it was"
            if any(layer is head for layer, *_ in learned):
                return Verdict("head trained", f"{text}: it was trained, and no copy of it")
            text += ", though learn never got it: does what learn got share its parameters?"
            return Verdict("head changed", text)
    if faults:
        return faults[0]
    if len(made) != len(runs):
        text = (
            f"rival is called {len(made)} times for {len(runs)} heads; it has to make one for each"
        )
        return Verdict(f"made {len(made)}", text)
    counts = [sum(layer is other for layer, *_ in learned) for other in made]
    if len(learned) != 2 * len(runs) or counts != [1] * len(made):
        own = len(learned) - sum(counts)
        text = f"for {len(runs)} heads, learn trained a rival {sum(counts)} times and a head {own} "
        return Verdict(f"trained {sum(counts)} {own}", text + "times; each has to train once")
    asked = {given for _, _, given, _ in learned} - {steps}
    if None in asked:
        return Verdict("no steps", f"learn is called without steps; it has to get steps={steps}")
    if asked:
        text = f"with steps={steps}, learn was asked for {sorted(asked)} steps"
        return Verdict("other steps", text)
    for _, x, _, run in learned:
        if not any(torch.equal(x, features) for _, features, _ in runs):
            what = any(torch.equal(x, unseen) for _, _, unseen in runs)
            text = "learn is given " + ("`unseen`: what is measured on" if what else "other data")
            return Verdict("trained on unseen" if what else "other data", text)
        if run is None:
            text = "a layer starts to learn with other numbers than those of any head that came"
            return Verdict("another start", text)
        if not torch.equal(x, runs[run][1]):
            text = f"a layer that starts as head {run} learns on the features of another run"
            return Verdict("features of another run", text)
    for number, (head, _, _) in enumerate(runs):
        if any(module.training != (number % 2 == 0) for module in head.modules()):
            now = "eval" if number % 2 == 0 else "training"
            text = f"head {number} is left in {now} mode, in which it was not"
            return Verdict(f"left in {now} mode", text)
        if not all(parameter.requires_grad for parameter in head.parameters()):
            text = (
                f"head {number} is left with parameters that require no gradients; they did before"
            )
            return Verdict("left frozen", text)
    if not isinstance(found, tuple | list) or len(found) != 2:
        return Verdict("no pair", f"must return (gains, ahead), got {describe(found)}")
    gains, said = found
    numbers = isinstance(gains, tuple | list) and all(isinstance(g, int | float) for g in gains)
    if not numbers or len(gains) != len(runs):
        text = f"gains must be a list of {len(runs)} floats, got {describe(gains)}"
        return Verdict("no gains", text)
    expected = []
    for (head, _, unseen), start in zip(runs, starts, strict=True):
        shares = []
        for step in (lead, 0.1):
            layer = copy.deepcopy(head)
            layer.load_state_dict(start)
            with torch.no_grad():
                layer.linear.weight.add_(step * steps * best)
                shares.append((layer(unseen).argmax(1) == truth).double().mean().item())
        expected.append(shares[0] - shares[1])
    if max(abs(a - b) for a, b in zip(gains, expected, strict=True)) > 1e-6:
        text = "gains are " + ", ".join(f"{g:.3f}" for g in gains)
        text += "; expected " + ", ".join(f"{g:.3f}" for g in expected)
        flipped = max(abs(a + b) for a, b in zip(gains, expected, strict=True)) < 1e-6
        return Verdict("sign" if flipped else "gains", text)
    mean, half = interval(gains)
    if said != ahead(gains):
        text = f"you measured a mean gain of {mean:.3f} +- {half:.3f}, and conclude {said!r}"
        return Verdict(f"{said} for {ahead(gains)}", text)
    return RIGHT


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two states have the same numbers, names and dtypes."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


def tt_forward(x: Tensor, cores: Sequence[Tensor]) -> Tensor:
    weight = cores[0]
    for core in cores[1:]:
        weight = torch.tensordot(weight, core, dims=1)  # (1, I_0, ..., I_k, R)
    return torch.tensordot(x, weight[0, ..., 0], dims=x.ndim - 1)


def tt_forward_cases(draw: Draw) -> Iterator[Case]:
    def case(batch: int, sizes: Sequence[int], bonds: Sequence[int], note: str = "") -> Case:
        shapes = zip(bonds[:-1], sizes, bonds[1:], strict=True)
        cores = [draw.normal(*shape) for shape in shapes]
        return Case((draw.normal(batch, *sizes[:-1]), cores), note)

    yield case(3, draw.sizes(2, 4, 5), (1, *draw.sizes(3, 2), 1))
    yield case(2, draw.sizes(5, 3, 4, 6), (1, *draw.sizes(2, 4, 3), 1), "three input modes")
    yield case(3, (3, 3, 3, 3), (1, 3, 3, 3, 1), "all sizes and bonds the same")
    yield case(1, draw.sizes(4, 3, 5), (1, 1, 1, 1), "a batch of one, bonds of 1")
    yield case(4, draw.sizes(4, 3), (1, 2, 1), "one input mode")
    yield case(2, (2, 3, 1, 2, 3, 4), (1, 2, 3, 2, 1, 3, 1), "five input modes")
    yield case(3, (2, 4, 1), (1, 3, 2, 1), "one class")
    x, cores = case(2, (3, 4, 5, 6), (1, 2, 3, 2, 1)).args
    lying = x.contiguous(memory_format=torch.channels_last), [c.mT.contiguous().mT for c in cores]
    yield Case(lying, "a channels_last batch, and cores that lie in another order")
    x, cores = case(3, (2, 3, 4), (1, 2, 2, 1)).args
    yield Case((x.sign().bfloat16(), [core.sign().bfloat16() for core in cores]), "in bfloat16")


EXERCISES = (
    Exercise(
        "project_input",
        ("x", "factors"),
        project_input,
        project_input_cases,
        piece=paths.project,
    ),
    Exercise(
        "tucker_forward",
        ("x", "core", "factors", "bias"),
        tucker_forward,
        tucker_forward_cases,
        uses=("project_input",),
    ),
    Exercise(
        "TuckerTRL",
        ("input_shape", "num_classes", "rank", "x"),
        TuckerTRL,
        tucker_trl_cases,
        piece=Started,
        uses=("project_input", "tucker_forward"),
        gradients=False,
        probe=probe_tucker,
    ),
    Exercise(
        "projection_flops",
        ("input_shape", "rank", "order"),
        projection_flops,
        projection_flops_cases,
        gradients=False,
    ),
    Exercise(
        "best_order",
        ("input_shape", "rank"),
        best_order,
        best_order_cases,
        uses=("projection_flops",),
        gradients=False,
        probe=in_time,
        judged=order_cost,
    ),
    Exercise(
        "pooled_linear_as_tucker",
        ("weight", "input_shape", "window"),
        pooled_linear_as_tucker,
        pooled_cases,
        gradients=False,
        probe=of_a_layer,
        judged=pooled_weight,
    ),
    Exercise(
        "fair_gains",
        ("seed", "steps", "lead"),
        fair_gains,
        fair_gains_cases,
        gradients=False,
        probe=compared,
    ),
    Exercise("tt_forward", ("x", "cores"), tt_forward, tt_forward_cases),
    Quiz("quiz_ones", "abcd"),
    Quiz("quiz_pooling_rank", "abcd"),
    Quiz("quiz_rivals", "abcd"),
)
