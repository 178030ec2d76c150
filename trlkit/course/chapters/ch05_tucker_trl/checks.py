"""Chapter 05: projecting an activation, Tucker layers, and a pooling that learns."""

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trlkit import layers
from trlkit.contraction import paths
from trlkit.course.checking.answer import RIGHT, Verdict
from trlkit.course.checking.compare import describe
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.course.checking.weights import tucker_weight

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
    yield case(2, (4, 4, 4, 4), (4, 4, 4, 4), "all sizes and ranks the same")
    yield case(1, draw.sizes(6, 3, 4, 5), (2, 1, 1, 3), "a batch of one, ranks of 1")
    yield case(3, draw.sizes(5, 4), draw.sizes(3, 2), "one input mode")


class TCL(nn.Module):
    def __init__(self, input_shape: Sequence[int], rank: Sequence[int]) -> None:
        super().__init__()
        sizes = zip(input_shape, rank, strict=True)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in sizes)
        self.bias = nn.Parameter(torch.zeros(*rank))

    def forward(self, x: Tensor) -> Tensor:
        return project_input(x, list(self.factors)) + self.bias


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


def probe_tcl(answer: Any, input_shape: tuple, rank: tuple, x: Tensor) -> dict[str, Any]:
    """A tensor contraction layer: its parameters, its start, what it computes."""
    shapes = {f"factors.{k}": pair for k, pair in enumerate(zip(input_shape, rank, strict=True))}
    start = (answer, ((64, 8, 8), (4, 2, 2)), "TCL((64, 8, 8), (4, 2, 2))")
    return _tried(answer, (input_shape, rank), {**shapes, "bias": rank}, x, start)


def probe_tucker(
    answer: Any, input_shape: tuple, num_classes: int, rank: tuple, x: Tensor
) -> dict[str, Any]:
    """A Tucker regression layer: its parameters, its start, what it computes."""
    sizes = zip((*input_shape, num_classes), rank, strict=True)
    shapes = {f"factors.{k}": pair for k, pair in enumerate(sizes)}
    shapes = {"core": rank, **shapes, "bias": (num_classes,)}
    arguments = ((16, 6, 6), 4, (4, 2, 2, 100))
    start = (answer, arguments, "TuckerTRL((16, 6, 6), 4, (4, 2, 2, 100))")
    return _tried(answer, (input_shape, num_classes, rank), shapes, x, start)


IN_EVAL = "output in eval mode"
CHANGED = "output after its parameters were changed in place (is something kept from earlier?)"


def _tried(
    answer: Any, arguments: tuple, shapes: Mapping[str, tuple], x: Tensor, start: tuple
) -> dict[str, Any]:
    names = ("x", *shapes)
    found: dict[str, Any] = dict.fromkeys(("layer", "start", "output", "graph"))
    found |= {f"gradient of {name}": None for name in names}
    found |= dict.fromkeys((IN_EVAL, CHANGED))
    layer = answer(*arguments)
    found["layer"] = _parameters_verdict(layer, shapes)
    if found["layer"] != RIGHT:
        return found
    found["start"] = _start_verdict(*start)
    if found["start"] != RIGHT:
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


def _start_verdict(answer: Callable, arguments: tuple, call: str) -> Verdict:
    """Whether fresh layers turn an input of variance 1 into outputs of about that size."""
    made, squares, y = [], [], None
    for seed in range(8):
        torch.default_generator.manual_seed(seed)  # alone; torch.manual_seed is slow without a GPU
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
    if not spread > 1e-6:
        zero = [name for name, size in sizes.items() if name != "bias" and size < 1e-6]
        text = f"{measured}. A product with a zero in it also has gradient 0: it cannot learn"
        return Verdict("zero " + " ".join(zero), text)
    if not 0.4 <= spread <= 2.5:
        off = [
            name
            for name, parameters in _by_name(made).items()
            if name != "bias"
            and not 0.6 < sizes[name] / _planned(name, parameters[0], made[0]) < 1.7
        ]
        text = f"{measured}; it must be about 1 (0.4 to 2.5). How did you scale the entries"
        text += f" of {', '.join(off)}?" if off else "?"
        return Verdict(f"{'too large' if spread > 1 else 'too small'} {' '.join(off)}", text)
    if made[0].bias.detach().abs().max() > 0.1:
        return Verdict("bias", "the bias of a fresh layer must start at 0")
    y = y.flatten(1)
    if torch.allclose(y, y[:, :1].expand_as(y), atol=1e-5):
        text = f"{call}, fresh: all its outputs are equal, and would stay so in training"
        return Verdict("all equal", text)
    if all(
        torch.equal(p, q) for p, q in zip(made[0].parameters(), made[1].parameters(), strict=True)
    ):
        text = f"{call} starts with the same numbers each time: draw them anew, and set no seed"
        return Verdict("same start", text)
    return RIGHT


def _by_name(made: Sequence[nn.Module]) -> dict[str, list[Tensor]]:
    return {name: [dict(m.named_parameters())[name] for m in made] for name in made[0].state_dict()}


def _planned(name: str, parameter: Tensor, layer: nn.Module) -> float:
    """The standard deviation of a parameter's entries as the text plans them."""
    if name == "core":
        return math.prod(parameter.shape[:-1]) ** -0.5
    last = hasattr(layer, "core") and name == f"factors.{len(layer.factors) - 1}"
    return parameter.shape[int(last)] ** -0.5


def tcl_cases(draw: Draw) -> Iterator[Case]:
    batch, *shape = draw.sizes(2, 3, 4)
    rank = draw.sizes(2, 3)
    yield Case((tuple(shape), rank, draw.counting(batch, *shape)))
    shape = draw.sizes(5, 3, 4)
    yield Case((shape, draw.sizes(2, 4, 3), draw.normal(6, *shape)), "three modes")
    yield Case(((3, 3, 3), (3, 3, 3), draw.normal(3, 3, 3, 3)), "all sizes the same")
    yield Case(((4, 2, 3), (2, 1, 1), draw.normal(1, 4, 2, 3)), "a batch of one, ranks of 1")
    shape = draw.sizes(4, 3)
    yield Case((shape, (2, 2), draw.normal(5, *shape).float()), "in float32")
    yield Case(((4,), (3,), draw.normal(2, 4)), "one mode")


def tucker_trl_cases(draw: Draw) -> Iterator[Case]:
    shape = draw.sizes(4, 5)
    x = draw.normal(2, *shape)
    yield Case((shape, draw.choice(3, (2, 4)), (3, 2, 2), x))
    shape = draw.sizes(6, 3, 4)
    rank = (draw.choice(4, (1, 2)), 2, 1, draw.choice(3, (4, 5)))
    yield Case((shape, 5, rank, draw.normal(6, *shape)), "three input modes")
    yield Case(((4, 4, 4), 4, (4, 4, 4, 4), draw.normal(2, 4, 4, 4)), "all sizes the same")
    yield Case(((4, 2, 3), 5, (4, 1, 1, 5), draw.normal(1, 4, 2, 3)), "a batch of one")
    shape = draw.sizes(4, 3)
    yield Case((shape, 3, (2, 2, 3), draw.normal(5, *shape).float()), "in float32")
    yield Case(((4,), 3, (2, 3), draw.normal(2, 4)), "one input mode")


def projection_flops(input_shape: Sequence[int], rank: Sequence[int], order: Sequence[int]) -> int:
    sizes, flops = list(input_shape), 0
    for mode in order:
        sizes_after = [*sizes[:mode], rank[mode], *sizes[mode + 1 :]]
        flops += math.prod(sizes_after) * 2 * sizes[mode]  # entries, each a sum of that many
        sizes = sizes_after
    return flops


def projection_flops_cases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.sizes(4, 3), draw.choice((2, 1), [(1, 3), (3, 2)]), (0, 1)))
    yield Case(((5, 3, 4), draw.choice((2, 3, 1), [(3, 2, 1), (4, 1, 3)]), (0, 1, 2)))
    order = draw.choice((2, 0, 1), [(1, 2, 0), (2, 1, 0), (1, 0, 2)])
    yield Case((draw.sizes(7, 4, 5), (2, 3, 1), order), "another order")
    yield Case(((512, 7, 7), (draw.choice(200, (100, 64)), 1, 1), (1, 2, 0)), "VGG16's activation")
    yield Case((draw.sizes(6), (2,), (0,)), "one mode")
    yield Case(((1, 4, 1), (1, 2, draw.choice(3, (5, 6))), (0, 1, 2)), "modes of size 1")
    big = ((2048, 99, 101), (draw.choice(1001, (1003, 999)), 7, 9), (0, 1, 2))
    yield Case(big, "a large number: count in Python's whole numbers")
    yield Case(((3, 8), (draw.choice(6, (5, 7)), 2), (0, 1)), "a mode that grows")


def best_order(input_shape: Sequence[int], rank: Sequence[int]) -> tuple[int, ...]:
    orders = itertools.permutations(range(len(input_shape)))
    return min(orders, key=lambda order: projection_flops(input_shape, rank, order))


def order_cost(value: Any, args: tuple) -> Verdict:
    """What an order costs: of several that cost the least, each is right."""
    input_shape, rank = args
    modes = list(range(len(input_shape)))
    if not isinstance(value, tuple | list) or any(type(mode) is not int for mode in value):
        raise ValueError(f"must return a tuple of int, the modes in order; got {describe(value)}")
    if sorted(value) != modes:
        raise ValueError(f"returns {tuple(value)}, but each of the modes {modes} comes once")
    cost = projection_flops(input_shape, rank, value)
    best = projection_flops(input_shape, rank, best_order(input_shape, rank))
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


def best_order_cases(draw: Draw) -> Iterator[Case]:
    yield Case(((512, 7, 7), (draw.choice(200, (100, 300)), 1, 1)), "VGG16's activation")
    for shape, rank in draw.choice(MISLEADING[0], MISLEADING[1:]):
        yield Case((shape, rank), "four modes")
    yield Case(((4, 4, 4), (2, 2, 2)), "every order costs the same")
    yield Case(((512, 400, 300), (200, 150, 120)), "numbers that are close")
    yield Case(
        ((3, 8, 5), (draw.choice(9, (7, 12)), 2, 5)), "a mode that grows, and one that stays"
    )
    yield Case((draw.sizes(6, 3), (1, 2)), "two modes")
    yield Case((draw.sizes(5), (2,)), "one mode")


def pooled_linear_as_tucker(
    weight: Tensor, input_shape: Sequence[int]
) -> tuple[Tensor, list[Tensor]]:
    classes, channels = weight.shape
    core = weight.new_zeros(channels, *[1 for _ in input_shape[1:]], classes)
    for n in range(classes):
        for c in range(channels):
            core[(c, *[0 for _ in input_shape[1:]], n)] = weight[n, c]
    means = [weight.new_ones(size, 1) / size for size in input_shape[1:]]
    eye = torch.eye(max(channels, classes)).to(weight)
    return core, [eye[:channels, :channels], *means, eye[:classes, :classes]]


def pooled_weight(value: Any, args: tuple) -> dict[str, Any]:
    """The full weight of core and factors: different ones are equally right."""
    weight, input_shape = args
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
    classes, channels = weight.shape
    rank = (channels, *[1] * (len(input_shape) - 1), classes)
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


def pooled_cases(draw: Draw) -> Iterator[Case]:
    classes, *shape = draw.sizes(2, 3, 4, 5)
    yield Case((draw.counting(classes, shape[0]), tuple(shape)))
    yield Case((draw.normal(4, 4), (4, *draw.sizes(3, 2))), "as many channels as classes")
    yield Case((draw.normal(3, 5), (5, *draw.sizes(6))), "one mode to average")
    yield Case((draw.normal(3, 2), (2, *draw.sizes(2, 3, 4))), "three modes to average")
    yield Case((draw.normal(2, 3).float(), (3, *draw.sizes(4, 5))), "in float32")
    yield Case((draw.normal(3, 2), (2, 1, 1)), "nothing to average: sizes of 1")


def learn_pooling(trl: nn.Module, x: Tensor, labels: Tensor, steps: int = 300) -> nn.Module:
    return _trained(trl, x, labels, steps)


def _trained(
    trl: nn.Module,
    x: Tensor,
    labels: Tensor,
    steps: int,
    loss_of: Callable = F.cross_entropy,
    anew: bool = False,
) -> nn.Module:
    """Full-batch Adam; with ``anew`` each step has a new optimizer."""
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        if anew:
            optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
        optimizer.zero_grad()
        loss_of(trl(x), labels).backward()
        optimizer.step()
    return trl


def probe_learning(answer: Any, seed: int) -> Verdict:
    """Train a layer for a few steps: Adam on all samples leaves nothing to chance."""
    for scale in (3.0, 1e-6):  # with tiny features the size of the gradients shows in Adam's steps
        verdict = _learning_verdict(answer, seed, scale)
        if verdict != RIGHT:
            return verdict
    return RIGHT


def _learning_verdict(answer: Any, seed: int, scale: float) -> Verdict:
    torch.manual_seed(seed)
    start = layers.TuckerTRL((4, 3, 2), 3, rank=(2, 1, 2, 3)).double()
    x = scale * torch.randn(50, 4, 3, 2, dtype=torch.float64)
    labels = torch.randint(3, (50,))
    ended = {}
    for steps in (1, 2, 7):
        trl = copy.deepcopy(start)
        returned = answer(trl, x.clone(), labels.clone(), steps)
        verdict = _movement_verdict(start, trl, returned)
        if verdict != RIGHT:
            return verdict
        ended[steps] = trl
    right = {steps: _run(start, x, labels, steps) for steps in (1, 2, 3, 6, 7, 8)}
    gaps = {steps: _gap(ended[steps], right[steps]) for steps in ended}
    if max(gaps.values()) < 1e-7:
        return RIGHT
    if _gap(ended[2], ended[7]) < 1e-7:
        once = _gap(ended[7], right[1]) < 1e-7
        text = "steps=2 and steps=7 leave the layer with the same parameters"
        return Verdict("one step" if once else "steps ignored", text)
    for more, kind in ((1, "one step more"), (-1, "one step less")):
        if _gap(ended[7], right[7 + more]) < 1e-7:
            return Verdict(kind, f"steps=7 trains the layer for {7 + more} steps")
    others = {
        "softmax first": {"loss_of": lambda scores, n: F.cross_entropy(scores.softmax(1), n)},
        "optimizer anew": {"anew": True},
    }
    steps = next(steps for steps, gap in gaps.items() if gap >= 1e-7)
    text = (
        f"after steps={steps} a parameter is {gaps[steps]:.2g} away from where this recipe leads: "
        f"torch.optim.Adam with lr=0.03, each step on all features as they are, "
        f"F.cross_entropy of the scores as they are"
    )
    for kind, other in others.items():
        if _gap(ended[7], _run(start, x, labels, 7, **other)) < 1e-7:
            return Verdict(kind, text)
    return Verdict("recipe " + " ".join(f"{gap:.3g}" for gap in gaps.values()), text)


def _run(start: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    return _trained(copy.deepcopy(start), *args, **kwargs)


def _gap(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max((p.detach() - q.detach()).abs().max().item() for p, q in pairs)


def _movement_verdict(start: nn.Module, trl: nn.Module, returned: Any) -> Verdict:
    """Whether the layer itself was trained, whole, and is otherwise as it was."""
    if any(not p.isfinite().all() for p in trl.parameters()):
        return Verdict("not finite", "there are NaN or infinite numbers in the trained parameters")
    pairs = zip(start.named_parameters(), trl.parameters(), strict=True)
    still = [name for (name, before), p in pairs if torch.equal(p, before)]
    if len(still) == len(list(trl.parameters())):
        text = "none of the layer's parameters has moved"
        if isinstance(returned, nn.Module) and returned is not trl:
            return Verdict("a copy", f"{text}: you trained another layer than the one given")
        return Verdict("not moved", text)
    if still:
        return Verdict("still " + " ".join(still), f"these did not move: {', '.join(still)}")
    if returned is not trl:
        return Verdict(
            "returned", f"must return the layer that it was given, got {describe(returned)}"
        )
    if not trl.training:
        return Verdict("eval", "the layer came in training mode and is in eval mode now")
    if not all(p.requires_grad for p in trl.parameters()):
        return Verdict("frozen", "parameters of the layer no longer require gradients")
    return RIGHT


def learning_cases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.choice(3, (4, 7, 8)),), "parameter by parameter after 1, 2 and 7 steps")


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


EXERCISES = (
    Exercise(
        "project_input",
        ("x", "factors"),
        project_input,
        project_input_cases,
        piece=paths.project,
    ),
    Exercise(
        "TCL",
        ("input_shape", "rank", "x"),
        TCL,
        tcl_cases,
        piece=layers.TCL,
        uses=("project_input",),
        gradients=False,
        probe=probe_tcl,
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
        piece=layers.TuckerTRL,
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
        judged=order_cost,
    ),
    Exercise(
        "pooled_linear_as_tucker",
        ("weight", "input_shape"),
        pooled_linear_as_tucker,
        pooled_cases,
        gradients=False,
        judged=pooled_weight,
    ),
    Exercise(
        "learn_pooling",
        ("seed",),
        learn_pooling,
        learning_cases,
        gradients=False,
        probe=probe_learning,
    ),
    Exercise("tt_forward", ("x", "cores"), tt_forward, tt_forward_cases),
    Quiz("quiz_ones", "abcd"),
    Quiz("quiz_pooling_rank", "abcd"),
    Quiz("quiz_rivals", "abcd"),
)
