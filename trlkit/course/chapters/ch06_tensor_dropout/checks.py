"""Chapter 06: tensor dropout, judged over all masks; the oracles enumerate."""

import copy
import functools
import itertools
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from trlkit.course.checking.answer import RIGHT, Recipe, Verdict, plain, tensors_in
from trlkit.course.checking.compare import describe
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.course.checking.weights import cp_weight, tucker_weight
from trlkit.lab import robustness, sturdy
from trlkit.lab.statistics import interval

DRAWS = 200  # forward passes whose masks are counted
ENOUGH = 66  # passes that find rank 1 with p = 0.1 in 999 of 1000 times: 0.9**66 < 0.001
MOST = 4000  # calls of one dropout that is judged
FEW = 4000  # operations on tensors: enough for a formula, too few for a list of masks
ZERO = 5528393  # a seed after which the first number of torch.rand(3) is exactly 0
SIZES = (3, 2, 4)  # of the weights that are dropped from


# ---- weights --------------------------------------------------------------------------------


def every_keep(size: int) -> list[Tensor]:
    return [torch.tensor(keep) for keep in itertools.product([False, True], repeat=size)]


def chance(keep: Tensor, p: float) -> float:
    return math.prod(1 - p if stays else p for stays in keep.tolist())


# ---- dropping from a CP ---------------------------------------------------------------------


def drop_cp(factors: Sequence[Tensor], keep: Tensor, p: float) -> list[Tensor]:
    columns = [
        factors[0][:, r] / (1 - p) if keep[r] else 0 * factors[0][:, r] for r in range(len(keep))
    ]
    return [torch.stack(columns, dim=1), *factors[1:]]


def put_together(
    returned: Any,
    make: Callable[[], Tensor],
    asked: str,
    good: bool,
    dtype: torch.dtype,
    given: Sequence[Tensor] = (),
) -> dict[str, Any]:
    """The weight that returned pieces make, and a verdict on their form.

    A weight of which nothing stays is 0 whatever the ``given`` tensors are: pieces made of plain
    zeros are as right as others, so it gets their gradient, which is 0.
    """
    found = {"what you return": RIGHT, "the weight of the pieces that you return": None}
    if not good:
        text = f"expected {asked}, got {describe(returned)}"
        return found | {"what you return": Verdict("other pieces", text)}
    dtypes = {tensor.dtype for tensor in tensors_in(returned)} - {dtype}
    if dtypes:
        text = f"of pieces of {dtype} you make some of {dtypes.pop()}"
        return found | {"what you return": Verdict("another dtype", text)}
    try:
        weight = make() + sum(0 * tensor.sum() for tensor in given)
        if not weight.isfinite().all():
            text = "the weight of the pieces that you return has entries that are inf or NaN"
            return found | {"what you return": Verdict("not finite", text)}
        return found | {"the weight of the pieces that you return": weight}
    except (RuntimeError, ValueError):
        text = f"the pieces that you return do not fit together: {describe(returned)}"
        return found | {"what you return": Verdict("do not fit", text)}


def _tensors_all(value: Any, count: int) -> bool:
    """Whether a value is a list of so many matrices."""
    return (
        isinstance(value, list | tuple | nn.ParameterList)
        and len(value) == count
        and all(isinstance(item, Tensor) and item.ndim == 2 for item in value)
    )


def drop_cp_probe(answer, factors: Sequence[Tensor], keep: Tensor, p: float) -> dict[str, Any]:
    returned = answer(factors, keep, p)
    good = _tensors_all(returned, len(factors))
    asked = f"a list of {len(factors)} factors"
    nothing = () if keep.any() else factors
    dtype = factors[0].dtype
    return put_together(returned, lambda: cp_weight(returned), asked, good, dtype, nothing)


def drop_cp_cases(draw: Draw) -> Iterator[Case]:
    rank = 4
    factors = [draw.counting(size, rank) for size in draw.sizes(2, 3)]
    yield Case((factors, torch.tensor([True, False, True, True]), 0.5))
    factors = [draw.normal(size, 3) for size in draw.sizes(3, 4, 2)]
    yield Case((factors, torch.tensor([False, True, False]), 0.2), "three modes")
    yield Case((factors, torch.tensor([True, True, True]), 0.75), "every component stays")
    yield Case((factors, torch.tensor([False, False, False]), 0.2), "every component goes")
    yield Case((factors, torch.tensor([True, False, True]), 0.0), "p = 0: no scale, one goes")
    square = [draw.normal(3, 3) for _ in range(3)]
    yield Case((square, torch.tensor([True, False, True]), 0.4), "square factors")
    many = [draw.normal(2, 5) for _ in range(4)]
    keep = torch.tensor(draw.choice([True, False, False, True, True], [[False, True] * 2 + [True]]))
    yield Case((many, keep, 0.9), "four modes, p near 1")
    half = [draw.normal(3, size).bfloat16().T for size in draw.sizes(4, 2)]
    yield Case((half, torch.tensor([True, False, True]), 0.5), "bfloat16, not contiguous")
    yield Case(([draw.normal(3, 4)], torch.tensor([True, False, True, True]), 0.3), "one factor")


# ---- a layer that drops ---------------------------------------------------------------------


class DropoutCP(nn.Module):
    """The layer of exercise 6.2, written component by component."""

    def __init__(self, factors: Sequence[Tensor], p: float):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p={p} must be in [0, 1)")
        self.factors = nn.ParameterList(nn.Parameter(factor.clone()) for factor in factors)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        factors = list(self.factors)
        if self.training:
            keep = torch.rand(factors[0].shape[1]) >= self.p
            factors = drop_cp(factors, keep, self.p)
        return regress(x, cp_weight(factors))


def regress(x: Tensor, weight: Tensor) -> Tensor:
    return torch.tensordot(x, weight, dims=x.ndim - 1)


def layer_probe(answer, factors: Sequence[Tensor], p: float, x: Tensor) -> Verdict:
    """Count what a layer does in eval mode and over many passes in training mode."""
    torch.default_generator.manual_seed(0)
    if not 0 <= p < 1:
        try:
            answer(factors, p)
        except ValueError:
            return RIGHT
        return Verdict("takes p", f"p={p} is taken: it must be refused with a ValueError")
    layer = answer([factor.clone() for factor in factors], p)
    if not isinstance(layer, nn.Module):
        return Verdict("no module", f"DropoutCP(...) must be an nn.Module, it is {type(layer)}")
    numbers = sum(parameter.numel() for parameter in layer.parameters())
    wanted = sum(factor.numel() for factor in factors)
    if numbers != wanted:
        text = f"layer.parameters() hold {numbers} numbers, expected {wanted}: those of the factors"
        if numbers > wanted:
            text += ". Is there a bias, or p, or another parameter that is no factor?"
        return Verdict("parameters" if numbers else "no parameters", text)
    plain = regress(x, cp_weight(factors))
    if x.dtype == torch.float32:
        for mode, y in (("eval", layer.eval()(x)), ("training", layer.train()(x))):
            form = _form(y, plain)
            if form:
                return Verdict(form.kind, f"in {mode} mode: {form.text}")
        return RIGHT
    layer.eval()
    given = x.clone().requires_grad_()
    quiet = [layer(given) for _ in range(20)]
    wrong = _form(quiet[0], plain)
    if wrong:
        return wrong
    if any(not torch.equal(quiet[0], other) for other in quiet):
        layer.train()
        text = "in eval mode, two passes on one batch give two outputs"
        if all(torch.allclose(layer(x), plain) for _ in range(20)):
            return Verdict("drops in eval alone", f"{text}; in training mode all are alike")
        return Verdict("drops in eval", text)
    gap = (quiet[0] - plain).abs().max() / plain.abs().max()
    if not gap <= 3e-6:
        swapped = x.flatten(1) @ cp_weight([*factors[-2::-1], factors[-1]]).flatten(0, -2)
        if torch.allclose(quiet[0], swapped):
            text = "the input factors are joined in another order than the modes of x"
            return Verdict("mode order", f"in eval mode: {_told(plain, quiet[0])}: {text}")
        return Verdict("eval output", f"in eval mode: {_told(plain, quiet[0])}")
    if gap > 1e-10:
        text = "in eval mode: right to some 7 digits of 15. Is a float32 on the way?"
        return Verdict("float32", text)
    if _no_gradient(layer, [quiet[0]]):
        text = "in eval mode, no gradient reaches some of the factors"
        return Verdict("no gradient in eval", text)
    if given.grad is None:
        return Verdict("x cut in eval", "in eval mode, no gradient reaches x")
    layer.train()
    held = [parameter.detach().clone() for parameter in layer.parameters()]
    given = x.clone().requires_grad_()
    passes = [layer(given) for _ in range(20)]  # one pass may drop everything
    if not layer.training:
        text = "after some passes in training mode, the layer is in eval mode"
        return Verdict("mode changed", text)
    if not all(map(torch.equal, held, layer.parameters())):
        text = "a pass in training mode changes the numbers in the layer's parameters"
        return Verdict("parameters changed", text)
    if _no_gradient(layer, passes):
        return Verdict("no gradient", "in training mode, no gradient reaches some of the factors")
    if given.grad is None:
        return Verdict("x cut", "in training mode, no gradient reaches x")
    return _masks_seen(layer, x, factors, p, quiet[0]) or _follows(layer, x, factors) or RIGHT


def _no_gradient(layer: nn.Module, outputs: Sequence[Tensor]) -> bool:
    """Whether some parameters of a layer get no gradient from its outputs."""
    layer.zero_grad()
    total = sum(output.sum() for output in outputs)
    if total.requires_grad:
        total.backward()
    missing = any(parameter.grad is None for parameter in layer.parameters())
    layer.zero_grad()
    return missing or not total.requires_grad


def _follows(layer: nn.Module, x: Tensor, factors) -> Verdict | None:
    """Whether the output changes with the parameters, as after a step of an optimizer."""
    with torch.no_grad():
        before = layer.eval()(x)
        for parameter in layer.parameters():
            parameter.mul_(2)
        gap = (layer(x) - 2 ** len(factors) * before).abs().max()
    if gap <= 1e-9 * before.abs().max() * 2 ** len(factors):
        return None
    text = "after its factors were doubled in place, as an optimizer changes them, the output in"
    return Verdict("stale", f"{text} eval mode is not {2 ** len(factors)} times what it was")


def _form(got: Any, expected: Tensor) -> Verdict | None:
    if not isinstance(got, Tensor) or got.shape != expected.shape:
        text = f"layer(x) gives {describe(got)}, expected {describe(expected)}"
        return Verdict("output shape", text)
    if got.dtype != expected.dtype:
        return Verdict("output dtype", f"layer(x) is {got.dtype}, expected {expected.dtype}")
    return None


def _told(expected: Tensor, got: Tensor) -> str:
    first, other = expected.flatten()[0], got.flatten()[0]
    return f"expected an output that starts with {first:.4g}, got {other:.4g}"


def _masks_seen(layer: nn.Module, x: Tensor, factors, p: float, quiet: Tensor) -> Verdict | None:
    """How often each mask came in training mode, against how often it should."""
    masks = every_keep(factors[0].shape[1])
    outputs = torch.stack([regress(x, cp_weight(drop_cp(factors, keep, p))) for keep in masks])
    passes = []
    with torch.no_grad():
        for count in range(DRAWS):
            torch.default_generator.manual_seed(
                ZERO + count
            )  # the same masks wherever the layer runs
            passes.append(layer(x))
    passes = torch.stack(passes)
    form = _form(passes[0], quiet)
    if form:
        return Verdict(form.kind, f"in training mode: {form.text}")
    if p > 0 and (passes == passes[0]).all():
        if torch.allclose(passes[0], quiet):
            return Verdict("nothing dropped", f"{DRAWS} passes in training mode drop nothing")
        text = f"in training mode, {DRAWS} passes on one batch all give the same output"
        return Verdict("never another mask", text)
    gaps = (passes.unsqueeze(1) - outputs).abs().flatten(2).amax(2)  # (DRAWS, masks)
    nearest, which = gaps.min(1)
    size = max(1, outputs.abs().max().item())
    if not (nearest <= 1e-6 * size).all():
        return _no_mask(passes, outputs, p, 1e-6 * size)
    if (nearest > 1e-10 * size).any():
        text = "in training mode: right to some 7 digits of 15. Is a float32 on the way?"
        return Verdict("float32", text)
    return _masks_counted(torch.stack(masks), which, p)


def _masks_counted(masks: Tensor, which: Tensor, p: float) -> Verdict | None:
    """Whether masks (masks, R) came as often as they should, and what is wrong if not."""
    counts = which.bincount(minlength=len(masks))
    for keep, count in zip(masks, counts.tolist(), strict=True):
        share = chance(keep, p)
        if abs(count - DRAWS * share) > 6 * math.sqrt(DRAWS * share * (1 - share)) + 1e-9:
            break
    else:
        return _masks_repeated(masks, which, p)
    stays = [r for r, kept in enumerate(keep.tolist()) if kept]
    what = f"components {stays} stay" if stays else "every component goes"
    if p == 0 and counts[-1] > DRAWS // 2:
        text = f"with p=0, {DRAWS - counts[-1]} of {DRAWS} passes in training mode drop something"
        return Verdict("drops at p = 0", f"{text}. What if torch.rand gives exactly 0?")
    text = (
        f"of {DRAWS} passes in training mode with p={p}, {count} had the mask in which "
        f"{what}; expected about {DRAWS * share:.0f}"
    )
    drawn = masks[which]  # (DRAWS, R)
    kept, noise = drawn.double().mean(0), 5 * math.sqrt(p * (1 - p) / DRAWS) + 1e-9
    if (kept - p).abs().max() <= noise:
        low, high = (100 * kept.aminmax()[end].item() for end in (0, 1))
        text += f". Each component stayed in {low:.0f} to {high:.0f} % of the passes"
        return Verdict("p kept", text)
    if (drawn.sum(1) == drawn[0].sum()).all():
        text += f". In every pass {drawn[0].sum()} stayed: each needs a coin of its own"
        return Verdict("a fixed number", text)
    if not counts[0] and DRAWS * p ** masks.shape[1] > 4:
        return Verdict("one left", f"{text}. Do you keep one where all would go?")
    if (kept - (1 - p)).abs().max() <= noise:
        text += ". Each alone stays as often as it should: is there a coin for each of them?"
        together = (drawn == drawn[:, :1]).all()
        return Verdict("one coin" if together else "no coins of their own", text)
    return Verdict("other masks", text)


def _masks_repeated(masks: Tensor, which: Tensor, p: float) -> Verdict | None:
    """Whether a pass has the mask of the one before it more often than by chance."""
    share = sum(chance(keep, p) ** 2 for keep in masks)
    count = (which[1:] == which[:-1]).sum().item()
    if count <= (DRAWS - 1) * share + 6 * math.sqrt(DRAWS * share * (1 - share)) + 1e-9:
        return None
    text = (
        f"in training mode, {count} of {DRAWS - 1} passes with p={p} have the mask of the pass "
        f"before them; expected about {DRAWS * share:.0f}"
    )
    return Verdict("masks repeated", text)


def _no_mask(passes: Tensor, outputs: Tensor, p: float, exact: float) -> Verdict:
    """In what way outputs (DRAWS, B, N) belong to none of the masks, (masks, B, N)."""
    pairs = passes.unsqueeze(1), outputs

    def belong(one: Tensor, other: Tensor) -> bool:
        return ((one - other).abs().flatten(2).amax(2).amin(1) <= exact).all().item()

    if belong(pairs[0], pairs[1] * (1 - p)):
        text = f"in training mode what stays is not multiplied by 1 / (1 - p) = {1 / (1 - p):.4g}"
        return Verdict("not rescaled", text)
    if ((pairs[0] - pairs[1]).abs().amax(3).amin(1) <= exact).all():
        return Verdict("a mask for each sample", "in one pass, different samples have other masks")
    scale = (pairs[0] * pairs[1]).sum((2, 3)) / pairs[1].square().sum((1, 2)).clamp_min(1e-30)
    if belong(pairs[0], scale[..., None, None] * pairs[1]):
        text = f"in training mode what stays must be multiplied by 1 / (1 - p) = {1 / (1 - p):.4g}"
        return Verdict("another scale", f"{text}, and it is multiplied by another number")
    text = f"in training mode some outputs belong to none of the {len(outputs)} masks"
    return Verdict("no mask", text)


def layer_cases(draw: Draw) -> Iterator[Case]:
    height, width, classes = draw.sizes(3, 4, 2)
    x = draw.normal(5, height, width)
    factors = [draw.normal(size, 3) for size in (height, width, classes)]
    yield Case((factors, draw.choice(0.25, [0.2, 0.3]), x))
    yield Case((factors, 0.0, x), "p = 0 drops nothing")
    two = [draw.normal(size, 2) for size in (height, classes)]
    yield Case((two, 0.6, draw.normal(1, height)), "a batch of one, p above a half")
    many = [draw.normal(size, 2) for size in (3, 2, 4, 3)]
    yield Case((many, 0.4, draw.normal(2, 4, 3, 2).movedim(1, 3)), "three modes, not contiguous")
    single = [factor.float() for factor in two]
    yield Case((single, 0.6, draw.normal(2, height).float()), "float32")
    for p in (1.0, -0.1, 1.5):
        yield Case((factors, p, x), "refused")


# ---- does it drop at all? -------------------------------------------------------------------


class HookedCP(nn.Module):
    """Dropout sits in a hook on the weight; only with ``calls`` does forward call it."""

    passes = 0  # of all of them: a copy of a layer counts too

    def __init__(self, rank: int, p: float, calls: bool):
        super().__init__()
        torch.default_generator.manual_seed(0)
        self.weight = CPPieces([torch.randn(size, rank) for size in (12, 2)])
        self.calls = calls
        self.drops = calls and p > 0

        def hook(module, args, factors):
            if not module.training:
                return factors
            mask = (torch.rand(rank) >= p) / (1 - p)
            return [factors[0] * mask, *factors[1:]]

        self.weight.register_forward_hook(hook)

    def forward(self, x: Tensor) -> Tensor:
        HookedCP.passes += 1
        factors = self.weight() if self.calls else self.weight.factors
        return x.flatten(1) @ factors[0] @ factors[1].T


class Beside(nn.Module):
    """Outputs that always stay as they are, and behind them those of a layer that drops."""

    def __init__(self):
        super().__init__()
        self.still, self.dropped = nn.Linear(12, 2), HookedCP(4, 0.5, calls=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.still(x.flatten(1)), self.dropped(x)], dim=1)


class BothSigns(nn.Module):
    """Each output of a layer that drops, and less itself: all of them add up to 0."""

    def __init__(self):
        super().__init__()
        self.dropped = HookedCP(4, 0.5, calls=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropped(x)
        return torch.stack([y, -y], dim=2).flatten(1)


class Small(nn.Module):
    """The outputs of a layer that drops, times 1e-12."""

    def __init__(self):
        super().__init__()
        self.dropped = HookedCP(4, 0.5, calls=True)

    def forward(self, x: Tensor) -> Tensor:
        return 1e-12 * self.dropped(x)


class Faint(nn.Module):
    """Two outputs, and what a layer that drops adds to them: some ten-millionths."""

    def __init__(self):
        super().__init__()
        self.dropped = HookedCP(4, 0.5, calls=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([2.5, 1.5], dtype=torch.float64) + 1e-7 * self.dropped(x).double()


class InTurn(nn.Module):
    """1 for one output and 0 for the other; which is which, a coin says."""

    def __init__(self):
        super().__init__()
        self.dropped = HookedCP(1, 0.5, calls=True)

    def forward(self, x: Tensor) -> Tensor:
        kept = (self.dropped(x)[:, :1] != 0).to(x.dtype)
        return torch.cat([kept, 1 - kept], dim=1)


class CPPieces(nn.Module):
    """The input factors of a CP weight, joined, and the output's: a module that returns them."""

    def __init__(self, factors):
        super().__init__()
        self.factors = nn.ParameterList(factors)

    def forward(self) -> list[Tensor]:
        return list(self.factors)


LAYERS = {
    "a CP layer with p = 0.5": lambda: HookedCP(4, 0.5, calls=True).train(),
    "a CP layer with p = 0.5, in eval mode": lambda: HookedCP(4, 0.5, calls=True).eval(),
    "a CP layer of rank 1 with p = 0.1": lambda: HookedCP(1, 0.1, calls=True).train(),
    "a CP layer of rank 2 with p = 0.9": lambda: HookedCP(2, 0.9, calls=True).eval(),
    "a hook that is never called, p = 0.9": lambda: HookedCP(4, 0.9, calls=False).train(),
    "a CP layer with p = 0": lambda: HookedCP(4, 0.0, calls=True).train(),
    "batch norm and a linear layer": lambda: nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 2)
    ).eval(),
    "a frozen CP layer with p = 0.5, in eval mode": lambda: (
        HookedCP(4, 0.5, calls=True).requires_grad_(False).eval()
    ),
    "batch norm and a CP layer with p = 0.5, in eval mode": lambda: nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(12), HookedCP(4, 0.5, calls=True)
    ).eval(),
    "a layer of which some outputs are never dropped from": lambda: Beside().train(),
    "a layer with p = 0.5 whose outputs come with both signs": lambda: BothSigns().train(),
    "a layer with p = 0.5 whose outputs are about 1e-12": lambda: Small().train(),
    "a layer whose outputs change by less than one part in a million": lambda: Faint().train(),
    "a layer of which two outputs, 0 and 1, change places": lambda: InTurn().train(),
}


def layer_of(kind: str) -> nn.Module:
    torch.default_generator.manual_seed(0)
    return LAYERS[kind]()


def really_drops(layer: nn.Module, x: Tensor) -> bool:
    layer = copy.deepcopy(layer).train()
    first = layer(x)
    return not all(torch.equal(layer(x), first) for _ in range(100))


def really_drops_probe(answer, layer: nn.Module, x: Tensor) -> dict[str, Any]:
    torch.default_generator.manual_seed(1)
    drops = any(inner.drops for inner in layer.modules() if isinstance(inner, HookedCP))
    before = {name: module.training for name, module in layer.named_modules()}
    held = {name: value.clone() for name, value in layer.state_dict().items()}
    learns = [parameter.requires_grad for parameter in layer.parameters()]
    HookedCP.passes = 0
    said, passes = answer(layer, x), HookedCP.passes
    found = dict.fromkeys(("what it says", "the passes", "the mode", "the state"), RIGHT)
    few = (
        f"{passes} passes of a layer of rank 1 with p = 0.1 are all alike with a probability of "
        f"about {100 * (0.9**passes + 0.1**passes):.2g} %"
        if passes
        else "it makes no pass through the layer"
    )
    if type(said) is not bool:
        text = f"must return True or False, got {describe(plain(said))}"
        return found | {"what it says": Verdict("no bool", text)}
    if said != drops:
        text = f"expected {drops}, got {said}"
        if drops and passes < ENOUGH:
            text += f"; {few}"
        found["what it says"] = Verdict(f"{said} is wrong", text)
    elif isinstance(layer, HookedCP) and not drops and passes < ENOUGH:
        found["the passes"] = Verdict("too few passes", f"{few}; at most 0.1 % is asked")
    for name, module in layer.named_modules():
        if module.training != before[name]:
            now = "training" if module.training else "eval"
            which = "a module inside the layer" if name else "the layer"
            text = f"leaves {which} in {now} mode, in which it was not"
            kind = "inner mode changed" if name else "mode changed"
            found["the mode"] = Verdict(kind, text)
            break
    moved = [name for name, value in layer.state_dict().items() if not value.equal(held[name])]
    if moved:
        text = f"leaves {moved[0]} of the layer other than it was"
        counted = all(name.endswith("num_batches_tracked") for name in moved)
        found["the state"] = Verdict("counter changed" if counted else "state changed", text)
    elif learns != [parameter.requires_grad for parameter in layer.parameters()]:
        text = "leaves `requires_grad` of some parameters other than it was"
        found["the state"] = Verdict("requires_grad changed", text)
    return found


def really_drops_cases(draw: Draw) -> Iterator[Case]:
    x = draw.normal(*([5, 3, 4] if not draw.hidden else [draw.choice(5, [2, 4, 6]), 3, 4])).float()
    for kind in LAYERS:
        yield Case((Recipe(layer_of, (kind,), lent=True), x))
    last = torch.cat([torch.zeros_like(x[:-1]), x[-1:]])
    kind = draw.choice("a CP layer with p = 0.5", ["a CP layer of rank 2 with p = 0.9"])
    yield Case((Recipe(layer_of, (kind,), lent=True), last), "all samples but the last are 0")


# ---- dropping from a Tucker -----------------------------------------------------------------


def drop_tucker(core, factors, keeps, modes, p: float) -> tuple[Tensor, list[Tensor]]:
    factors = list(factors)
    for keep, mode in zip(keeps, modes, strict=True):
        factors[mode] = drop_cp([factors[mode]], keep, p)[0]
    return core, factors


def drop_tucker_probe(answer, core, factors, keeps, modes, p: float) -> dict[str, Any]:
    returned = answer(core, factors, keeps, modes, p)
    good = (
        isinstance(returned, list | tuple)
        and len(returned) == 2
        and isinstance(returned[0], Tensor)
        and returned[0].ndim == core.ndim
        and _tensors_all(returned[1], len(factors))
    )
    asked = f"a pair: a core of {core.ndim} modes and a list of {len(factors)} factors"
    nothing = () if all(keep.any() for keep in keeps) else [core, *factors]
    return put_together(
        returned, lambda: tucker_weight(*returned), asked, good, core.dtype, nothing
    )


def keeps_of(draw: Draw, sizes: Sequence[int]) -> list[Tensor]:
    """Masks in which something stays, and something goes where there is more than one."""
    return [
        torch.tensor([(r + shift) % 2 == 0 if size > 1 else True for r in range(size)])
        for shift, size in enumerate(sizes, draw.choice(0, [0, 1]))
    ]


def drop_tucker_cases(draw: Draw) -> Iterator[Case]:
    rank = draw.sizes(2, 3, 4)
    core = draw.counting(*rank)
    factors = [draw.normal(size, r) for size, r in zip((5, 4, 3), rank, strict=True)]
    yield Case((core, factors, keeps_of(draw, rank), (0, 1, 2), 0.5), "every mode")
    yield Case((core, factors, keeps_of(draw, rank[::2]), (0, 2), 0.2), "mode 1 is skipped")
    yield Case((core, factors, keeps_of(draw, rank[1:2]), (1,), 0.2), "one mode")
    yield Case((core, factors, keeps_of(draw, rank[2:0:-1]), (2, 1), 0.4), "last mode first")
    yield Case((core, factors, [], (), 0.4), "no mode: nothing changes")
    keeps = keeps_of(draw, rank[:2])
    yield Case((core, factors, keeps, (0, 1), 0.0), "p = 0: no scale, some go")
    cube, square = draw.normal(3, 3, 3), [draw.normal(3, 3) for _ in range(3)]
    keeps = [torch.tensor([True, False, True]), torch.tensor([False, True, True])]
    yield Case((cube, square, keeps, (0, 2), 0.4), "a cube and square factors")
    flat = draw.normal(4, 1, 1, 2)
    four = [draw.normal(3, r) for r in flat.shape]
    keeps = [torch.tensor([True, False, True, True]), torch.tensor([True, False])]
    yield Case((flat, four, keeps, (0, 3), 0.75), "rank (4, 1, 1, 2), the 1s skipped")
    keeps = [torch.tensor([True]), torch.tensor([False, True])]
    yield Case((flat, four, keeps, (2, 3), 0.4), "rank (4, 1, 1, 2), a 1 is in modes and stays")
    keeps = [torch.tensor([True, False, True, True]), torch.tensor([False])]
    yield Case((flat, four, keeps, (0, 1), 0.4), "rank (4, 1, 1, 2), a 1 is in modes and goes")
    half, pair = draw.normal(2, 3).bfloat16().T, [draw.normal(2, r).bfloat16() for r in (3, 2)]
    keeps = [torch.tensor([True, True, False])]
    yield Case((half, pair, keeps, (0,), 0.5), "bfloat16, not contiguous")


# ---- implementations to judge ---------------------------------------------------------------


def pieces(rank: Sequence[int]) -> tuple[Tensor | None, list[Tensor]]:
    """A core (none for a CP, whose rank has one entry) and factors, the same every time."""
    generator = torch.Generator().manual_seed(sum(7**k * size for k, size in enumerate(rank)))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    if len(rank) == 1:
        return None, [normal(size, rank[0]) for size in SIZES]
    return normal(*rank), [normal(size, r) for size, r in zip(SIZES, rank, strict=False)]


def pieces_of(kind: str, rank: Sequence[int]) -> tuple[Tensor | None, list[Tensor]]:
    core, factors = pieces(rank)
    if kind in POSITIVE:
        factors = [factor.abs() for factor in factors]
    if "tiny" in kind:
        factors = [factors[0] * 1e-12, *factors[1:]]
    if kind == CANCELLED:
        factors = [factor.clone() for factor in factors]
        for factor in factors[1:]:
            factor[:, 1] = factor[:, 0]
        factors[0][1:, 2:] = 0
        factors[0][1:, 0] = 100 * factors[0][1:, 0].sign()
        factors[0][1:, 1] = -(1 - 1e-12) * factors[0][1:, 0]
    return core, factors


def full_weight(kind: str, rank: Sequence[int]) -> Tensor:
    core, factors = pieces_of(kind, rank)
    return cp_weight(factors) if core is None else tucker_weight(core, factors)


def _last_unscaled(keep: Tensor, p: float) -> Tensor:
    mask = keep / (1 - p)
    return torch.cat([mask[:-1], keep[-1:]])


def _one_left(keep: Tensor) -> Tensor:
    if keep.any():
        return keep
    return (torch.arange(len(keep)) == 0).to(keep)


CP_MASKS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "CP, right": lambda keep, p: keep / (1 - p),
    "CP, right: never drops the first component, nor rescales it": lambda keep, p: torch.cat(
        [torch.ones_like(keep[:1]), keep[1:] / (1 - p)]
    ),
    "CP: rescales nothing": lambda keep, p: keep,
    "CP: rescales by 1 / p": lambda keep, p: keep / p if p else keep,
    "CP: rescales each of the factors": lambda keep, p: keep / (1 - p) ** 3,
    "CP: keeps one component where all would go": lambda keep, p: _one_left(keep) / (1 - p),
    "CP: rescales by the share that really stayed": lambda keep, p: (
        keep * (len(keep) / max(1, int(keep.sum())))
    ),
    "CP: rescales by 2 at every p": lambda keep, p: keep * 2.0,
    "CP: adds 0.00001 to 1 - p, lest it be 0": lambda keep, p: keep / (1 - p + 1e-5),
    "CP: forgets to rescale the last component": _last_unscaled,
}
TUCKER_MASKS: dict[str, Callable[[list[Tensor], float], list[Tensor]]] = {
    "Tucker, right": lambda keeps, p: [keep / (1 - p) for keep in keeps],
    "Tucker, right: modes of rank 1 are skipped, not rescaled": lambda keeps, p: [
        keep / (1 - p) if len(keep) > 1 else torch.ones_like(keep) for keep in keeps
    ],
    "Tucker: rescales nothing": lambda keeps, p: keeps,
    "Tucker: rescales once for all modes": lambda keeps, p: [
        keep / (1 - p) if k == 0 else keep for k, keep in enumerate(keeps)
    ],
    "Tucker: rescales the modes that it skips too (rank 1 and 2), as tensorly-torch 0.5.0": (
        lambda keeps, p: [
            (keep if len(keep) > 2 else torch.ones_like(keep)) / (1 - p) for keep in keeps
        ]
    ),
    "Tucker: keeps one component where a mode would lose all": lambda keeps, p: [
        _one_left(keep) / (1 - p) for keep in keeps
    ],
    "Tucker: forgets the scale of the last mode": lambda keeps, p: [
        keep / (1 - p) if k < len(keeps) - 1 else keep for k, keep in enumerate(keeps)
    ],
}
POSITIVE = {
    "CP of positive factors: rescales nothing": lambda keep, p: keep,
    "CP of positive factors: rescales twice": lambda keep, p: keep / (1 - p) ** 2,
}
TINY = {
    "CP of tiny numbers, right": lambda keep, p: keep / (1 - p),
    "CP of tiny numbers: rescales nothing": lambda keep, p: keep,
    "CP of tiny numbers: two parts in a hundred thousand too large": lambda keep, p: (
        1.00002 * keep / (1 - p)
    ),
}
WINDOW = re.compile(r"CP: does not rescale between p = (\S+) and (\S+)")
LIMIT = re.compile(r"CP: rescales by (\S+) at most")
LAST_ROW = "CP: rescales all but the last row"
SHIFTED = "CP: errs in two rows, and not in their sum"
SWAPPED = "CP: returns the rows in another order"
FLIPPED = "CP: turns the sign of the weight where p is above a half"
SLIGHT = {
    "CP: its first entry is off by one part in a hundred thousand": 0,
    "CP: its last entry is off by one part in a hundred thousand": -1,
}
WAVE = "CP: is too large where p is below a half, too small where it is above"
COLUMNS = "CP: errs in all columns, and in no sum of a row"
ACROSS = "CP: adds a part that is at a right angle to the weight"
CANCELLED = "CP, right: large components cancel in two rows"
STORED = "drops nothing: it returns the one weight that it has"
SINGLE = "CP, right, in float32"
GATHERED = "CP, right: leaves out the columns that are dropped"
SPREAD = "CP, right: spreads the scale over the factors"


def cp_mask(kind: str, keep: Tensor, p: float) -> Tensor:
    """What a dropout of a CP multiplies the components by."""
    window, limit = WINDOW.match(kind), LIMIT.match(kind)
    if window:
        low, high = map(float, window.groups())
        return keep if low <= p <= high else keep / (1 - p)
    if limit:
        return keep * min(float(limit[1]), 1 / (1 - p))
    return (CP_MASKS | POSITIVE | TINY).get(kind, CP_MASKS["CP, right"])(keep, p)


def implementation(kind: str, rank: Sequence[int]) -> Callable[[Sequence[Tensor], float], Tensor]:
    """A tensor dropout: given a mask for each rank mode and p, the weight that is left."""
    rank = tuple(rank)
    whole = full_weight(kind, rank)

    def dropout(keeps: Sequence[Tensor], p: float) -> Tensor:
        if not 0 <= p < 1:
            raise ValueError(f"a dropout is asked for p={p}, but p must be in [0, 1)")
        for k, keep in enumerate(keeps):
            if keep.dtype != torch.bool:
                raise ValueError(f"keeps[{k}] is of {keep.dtype}, but masks are bool Tensors")
        if [keep.shape for keep in keeps] != [(size,) for size in rank]:
            shapes = [tuple(keep.shape) for keep in keeps]
            raise ValueError(f"keeps of shapes {shapes}, but the rank is {rank}")
        if kind == STORED:
            return whole
        return weight_left(kind, rank, tuple(tuple(keep.tolist()) for keep in keeps), p).clone()

    return dropout


@functools.lru_cache(maxsize=2**13)  # a search over p asks for the same ones again and again
def weight_left(
    kind: str, rank: tuple[int, ...], keeps: tuple[tuple[bool, ...], ...], p: float
) -> Tensor:
    """What an implementation leaves of the weight; nobody writes into it."""
    core, factors, joint, whole = _prepared(kind, rank)
    masks = [torch.tensor(keep, dtype=torch.float64) for keep in keeps]
    if core is not None:
        masks = TUCKER_MASKS[kind](masks, p)
        return tucker_weight(core, [f * m for f, m in zip(factors, masks, strict=True)])
    keep, scale = masks[0], 1 / (1 - p)
    if kind == GATHERED:
        return _rebuilt(factors[0][:, keep > 0], joint[:, keep > 0]) * scale
    if kind == SPREAD:
        root = scale**0.5
        return _rebuilt(factors[0] * keep * root, joint * keep * root)
    weight = _rebuilt(factors[0] * cp_mask(kind, keep, p), joint)
    if kind == SINGLE:
        return weight.float()
    if kind in SLIGHT:
        entry = torch.zeros_like(whole)
        entry.flatten()[SLIGHT[kind]] = 1.000001e-5 * whole.abs().max()
        return weight + entry
    if kind == WAVE:
        return (1 + 0.1 * math.sin(2 * math.pi * p)) * weight
    if kind == COLUMNS:
        return (1 - p) * weight + p * weight.roll(1, 2)
    if kind == LAST_ROW:
        return torch.cat([weight[:-1], (1 - p) * weight[-1:]])
    if kind == SWAPPED:
        return weight.roll(1, 0)
    if kind == FLIPPED:
        return -weight if p > 0.5 else weight
    if kind == ACROSS:
        other = whole.roll(1, 0)
        other = other - (other * whole).sum() / whole.square().sum() * whole
        return weight + p * other
    return (1 - p) * weight + p * weight.roll(1, 0) if kind == SHIFTED else weight


@functools.cache
def _prepared(kind: str, rank: tuple[int, ...]) -> tuple:
    """A core or None, the factors, the Khatri-Rao product of all but the first, the weight."""
    core, factors = pieces_of(kind, rank)
    joint = torch.einsum("br,cr->bcr", *factors[1:]).flatten(0, 1) if core is None else None
    return core, factors, joint, full_weight(kind, rank)


def _rebuilt(first: Tensor, rest: Tensor) -> Tensor:
    return (first @ rest.T).reshape(SIZES)


CP_KINDS = (*CP_MASKS, *POSITIVE, *TINY, GATHERED, SPREAD, LAST_ROW, SHIFTED, SWAPPED)
CP_KINDS += (FLIPPED, ACROSS, CANCELLED, COLUMNS, WAVE, *SLIGHT)


def expected_weight(dropout: Callable, rank: Sequence[int], p: float) -> Tensor:
    total = 0
    for keeps in itertools.product(*map(_every_keep, rank)):
        share = math.prod(chance(keep, p) for keep in keeps)
        total = total + share * dropout([keep.clone() for keep in keeps], p)
    return total


_every_keep = functools.cache(every_keep)  # whoever hands them out copies them


def agrees_in_kind(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype) == (other.shape, other.dtype)


def expected_weight_probe(answer, kind: str, rank: tuple, p: float) -> dict[str, Any]:
    dropout, calls = implementation(kind, rank), []

    def counted(keeps: Sequence[Tensor], p: float) -> Tensor:
        calls.append(p)
        return dropout(keeps, p)

    expected, exact = answer(counted, rank, p), expected_weight(dropout, rank, p)
    found = {"the dropout": RIGHT, "the digits": RIGHT, "the expected weight": expected}
    if isinstance(expected, Tensor) and (expected.shape, expected.dtype) == (
        exact.shape,
        exact.dtype,
    ):
        gap = (expected - exact).abs().max() / exact.abs().max()
        if 1e-12 < gap < 1e-6 and exact.dtype == torch.float64:
            text = "the expected weight is right to some 7 digits of 15"
            found["the digits"] = Verdict("float32", text)
    if kind == STORED:
        kept = dropout(every_keep(rank[0])[:1], p)
        if not torch.equal(kept, full_weight(kind, rank)):
            text = "you changed the weight that the dropout gave you, and it has no other"
            found["the dropout"] = Verdict("changed", text)
    count = 2 ** sum(rank)
    if len(calls) > 4 * count:
        text = (
            f"you asked the dropout for {len(calls)} weights, but rank {rank} has {count} "
            f"combinations of masks: list them, and draw none at random"
        )
        found["the dropout"] = Verdict("drawn at random", text)
    return found


def expected_weight_cases(draw: Draw) -> Iterator[Case]:
    share = [number / 100 for number in range(10, 70)]
    right = "CP, right", (draw.choice(3, [2, 4]),), draw.choice(0.3, share)
    yield Case(right, "the weight itself")
    yield Case(("CP: rescales nothing", (3,), draw.choice(0.25, share)))
    yield Case(("CP: keeps one component where all would go", (2,), draw.choice(0.5, share)))
    rank = draw.choice((2, 3, 1), [(3, 1, 2), (2, 2, 1), (3, 2, 1)])
    yield Case(("Tucker, right", rank, draw.choice(0.4, share)), "three rank modes")
    yield Case(("Tucker: rescales nothing", rank, draw.choice(0.2, share)), "three rank modes")
    one_left = "Tucker: keeps one component where a mode would lose all"
    yield Case((one_left, (2, 3), draw.choice(0.4, share)))
    yield Case(("CP: rescales by 1 / p", (2,), 0.0), "p = 0")
    yield Case((STORED, (2,), 0.3))
    yield Case((one_left, (2, 3), draw.choice(0.03, [0.02, 0.04])), "masks that are rare")
    yield Case((SINGLE, (3,), 0.3), "a weight in float32")


def is_unbiased(dropout: Callable, weight: Tensor, rank: Sequence[int]) -> bool:
    return all(_bias(dropout, weight, rank, number / 20) < 1e-9 for number in range(20))


def is_unbiased_probe(answer, kind: str, weight: Tensor, rank: tuple) -> Verdict:
    torch.default_generator.manual_seed(0)
    dropout, calls = implementation(kind, rank), Counter()

    def counted(keeps: Sequence[Tensor], p: float) -> Tensor:
        calls[p] += 1
        if calls.total() > MOST:
            raise RuntimeError(
                f"a dropout is asked for more than {MOST} weights: rank {rank} has "
                f"{2 ** sum(rank)} combinations of masks, and p had {len(calls)} values so far"
            )
        return dropout(keeps, p)

    said = answer(counted, weight, rank)
    if type(said) is not bool:
        return Verdict("no bool", f"must return True or False, got {describe(said)}")
    if said == ("right" in kind.partition(":")[0]):
        return (said and _gap_in(calls)) or RIGHT
    gaps = {p: _bias(dropout, weight, rank, p) for p in sorted(calls)}
    if not said:
        text = "says False: it accuses a dropout that is unbiased"
        if not gaps:
            return Verdict("accused unseen", f"{text}, which it never called")
        text += f"; expected weight and weight differ by {max(gaps.values()):.1g} at most"
        return Verdict("accused", text)
    asked = ", ".join(f"{p:.4g}" for p in list(gaps)[:12]) + ", ..." * (len(gaps) > 12)
    text = "says True: it lets a biased dropout through, "
    text += f"which it asked for weights at p = {asked} only" if gaps else "which it never called"
    seen = [p for p, gap in gaps.items() if gap > 1e-8]
    if not seen:
        return Verdict("let through: one p" if len(gaps) == 1 else "let through", text)
    p = max(seen, key=gaps.get)
    text += f"; at p = {p:.4g} its expected weight is off by {gaps[p]:.2g}"
    return Verdict("let through, though off", f"{text} (of the weight's largest entry)")


def _gap_in(asked: Iterable[float]) -> Verdict | None:
    """Where a bias on a stretch of p that is 0.1 wide would not be seen."""
    values = sorted({0.0, 1.0, *asked})
    low, high = max(itertools.pairwise(values), key=lambda pair: pair[1] - pair[0])
    if high - low <= 0.1 + 1e-6:
        return None
    text = f"says True and is right, but asks for no weight between p = {low:.4g} and {high:.4g}: "
    kind = "one p" if len(set(asked)) == 1 else "some p" if asked else "never called"
    return Verdict(f"a gap, {kind}", text + "a bias on a stretch of 0.1 in there would not be seen")


def _bias(dropout: Callable, weight: Tensor, rank: Sequence[int], p: float) -> float:
    """How far off the expected weight is, as a share of the weight's largest entry."""
    gap = (expected_weight(dropout, rank, p) - weight).abs().max()
    return (gap / weight.abs().max()).item()


def is_unbiased_cases(draw: Draw) -> Iterator[Case]:
    """All kinds, and drawn ones: a bias may sit anywhere, in a stretch of p that is 0.1 wide."""
    middle = draw.choice(0.62, [number / 100 for number in range(12, 75)])
    near = draw.choice(0.88, [0.85, 0.86, 0.87, 0.89])
    limit = draw.choice(6.5, [2.5, 3.5, 5.5, 7.5])
    windows = ((0.0, 0.1), (middle, round(middle + 0.1, 2)), (near, 1.0))
    drawn = [f"CP: does not rescale between p = {low} and {high}" for low, high in windows]
    for kind in (*CP_KINDS, *drawn, f"CP: rescales by {limit} at most"):
        rank = (3,) if kind == CANCELLED else (draw.choice(3, [2, 3]),)
        yield Case((kind, full_weight(kind, rank), rank))
    for kind in TUCKER_MASKS:
        rank = draw.choice((1, 3), [(3, 1), (1, 3)])
        yield Case((kind, full_weight(kind, rank), rank))
    yield Case(("Tucker, right", full_weight("Tucker, right", (3, 3)), (3, 3)))


# ---- the penalty ----------------------------------------------------------------------------


def dropout_penalty(x: Tensor, factors: Sequence[Tensor], p: float) -> Tensor:
    """What dropout adds to a squared loss, over all masks; the target here is 0."""
    dtype, x, factors = x.dtype, x.double(), [factor.double() for factor in factors]

    def loss(factors: Sequence[Tensor]) -> Tensor:
        return regress(x, cp_weight(factors)).square().mean()

    expected = 0
    for keep in every_keep(factors[0].shape[1]):
        expected = expected + chance(keep, p) * loss(drop_cp(factors, keep, p))
    return (expected - loss(factors)).to(dtype)


def dropout_penalty_cases(draw: Draw) -> Iterator[Case]:
    height, width, classes = draw.sizes(2, 3, 4)
    x = draw.counting(5, height, width)
    factors = [draw.normal(size, 3) for size in (height, width, classes)]
    yield Case((x, factors, 0.25))
    yield Case((x, factors, 0.8), "p above a half")
    yield Case((x, factors, 0.0), "p = 0: no penalty")
    one = [draw.normal(size, 1) for size in (height, width, classes)]
    yield Case((draw.normal(2, height, width), one, 0.4), "rank 1")
    flat = [draw.normal(height, 4), draw.normal(classes, 4)]
    yield Case((draw.normal(1, height), flat, 0.5), "one input mode, a batch of one")
    many = [draw.normal(size, 2) for size in (2, 2, 3, 2)]
    x = draw.normal(3, 3, 2, 2).movedim(1, 3)
    yield Case((x, many, 0.1), "three input modes, not contiguous")
    single = [factor.float() for factor in flat]
    yield Case((draw.normal(2, height).float(), single, 0.4), "float32")


# ---- several modes --------------------------------------------------------------------------


class Counted(TorchDispatchMode):
    """Counts operations on tensors, and stops at ``FEW``."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        if self.count > FEW:
            text = "a formula needs no list of masks, and none that are drawn"
            raise RuntimeError(f"more than {FEW} operations: {text}")
        return func(*args, **(kwargs or {}))


def output_variance(c: Tensor, p: float) -> Tensor:
    """Over all masks where they can be listed, else from the mean of all products of two masks."""
    if sum(c.shape) <= 8:
        mean = square = 0
        for keeps in itertools.product(*map(every_keep, c.shape)):
            y = c
            for keep in reversed(keeps):
                y = y @ (keep.to(c.dtype) / (1 - p))
            probability = math.prod(chance(keep, p) for keep in keeps)
            mean, square = mean + probability * y, square + probability * y * y
        return square - mean * mean
    other = c
    for mode, size in enumerate(c.shape):
        both = torch.ones(size, size, dtype=c.dtype) + p / (1 - p) * torch.eye(size, dtype=c.dtype)
        other = torch.tensordot(other, both, dims=([mode], [0])).movedim(-1, mode)
    return (c * other).sum() - c.sum() ** 2


def output_variance_probe(answer, c: Tensor, p: float) -> Any:
    if answer is output_variance:
        return answer(c, p)
    with Counted():
        return answer(c, p)


def output_variance_cases(draw: Draw) -> Iterator[Case]:
    yield Case((torch.ones(2, 2, dtype=torch.float64), draw.choice(0.5, [0.2, 0.75])), "all alike")
    yield Case((draw.normal(*draw.sizes(3)), 0.2), "one mode, as in 6.7")
    yield Case((draw.normal(*draw.sizes(3, 4)), 0.4), "two modes")
    yield Case((draw.normal(2, 3, 3), draw.choice(0.3, [0.2, 0.6])), "three modes, two alike")
    yield Case((draw.normal(2, 1, 3, 2), 0.5), "four modes, one of size 1")
    yield Case((draw.normal(3, 2).T, 0.0), "p = 0, not contiguous")
    yield Case((draw.normal(20, 30), 0.4), "too many masks to list")
    yield Case((draw.normal(2, 3).float(), 0.25), "float32")


# ---- pairs of networks ----------------------------------------------------------------------


def paired_gain(train: Callable, judge: Callable, seeds: Sequence[int], p: float) -> tuple:
    return interval([judge(train(seed, p)) - judge(train(seed, 0.0)) for seed in seeds])


def paired_gain_probe(answer, seeds: Sequence[int], p: float, gains: Sequence[float]) -> Any:
    """Networks that differ far more from seed to seed than dropout changes them."""
    made: list[tuple[int, float]] = []

    def train(seed: int, p: float) -> str:
        if len(made) > 4 * len(seeds):
            raise RuntimeError(f"trains more than {4 * len(seeds)} networks for {len(seeds)} seeds")
        made.append((seed, p))
        return f"network {len(made)}"

    def judge(network: str) -> float:
        if not isinstance(network, str):
            raise ValueError("judge takes a network that train has returned, and nothing else")
        seed, dropped = made[int(network.split()[1]) - 1]
        gain = gains[seeds.index(seed)] if seed in seeds else 0.0
        return 60 + 29 * math.sin(7 * seed) + (gain if dropped == p else 0.0)

    found = answer(train, judge, list(seeds), p)
    own = {(seed, q) for seed in seeds for q in (0.0, p)}
    text = "trains " + ", ".join(f"{seed} at p = {q}" for seed, q in dict.fromkeys(made))
    asked = RIGHT if set(made) == own else Verdict(f"other networks {sorted({*made})}", text)
    return {"the seeds of the networks": asked, "mean and half": found}


def paired_gain_cases(draw: Draw) -> Iterator[Case]:
    def gains(count: int) -> list[float]:
        return [round(2 + 1.5 * gain, 3) for gain in draw.normal(count).tolist()]

    yield Case(([0, 1, 2, 3], 0.4, draw.choice([1.0, 3.0, -2.0, 4.0], [gains(4), gains(4)])))
    yield Case(([5, 3], 0.6, gains(2)), "two seeds")
    yield Case(([7, 1, 8, 2, 9, 4], 0.2, gains(6)), "six seeds")


LARGEST = {"noise": 1.0, "fgsm": 0.3, "pgd": 0.3}
LONGEST = 300


@functools.cache
def one_network(seed: int, steps: int, p: float) -> nn.Module:
    return sturdy.trained(seed, steps, p)


def where_it_turns() -> tuple:
    return 0.6, 200, ("pgd", 0.1, 11.0), ("fgsm", 0.2, -6.0)


def where_it_turns_probe(answer, seeds: Sequence[int]) -> dict[str, Any]:
    said = plain(answer())
    fault = _claim_fault(said)
    if fault:
        return {"the claim": fault}
    p, steps, *claims = said

    def measured(q: float, disturbance: str, strength: float) -> list[float]:
        networks = [one_network(seed, steps, q) for seed in seeds]
        return [sturdy.disturbed_accuracy(net, disturbance, strength) for net in networks]

    least = min(statistics.fmean(measured(q, "noise", 0.0)) for q in (0.0, p))
    if least < 90:
        text = f"undisturbed, one of the two reads {least:.0f} % of the digits; 90 are asked for"
        return {"the claim": Verdict("reads too little", text)}
    for sign, (disturbance, strength, told) in zip((1, -1), claims, strict=True):
        pairs = zip(*(measured(q, disturbance, strength) for q in (p, 0.0)), strict=True)
        gains = [one - other for one, other in pairs]
        mean, error = statistics.fmean(gains), statistics.stdev(gains) / math.sqrt(len(gains))
        name = f"{disturbance} {strength}"
        text = f"under {name}, on {len(gains)} seeds of the check, dropout gains {mean:+.1f} points"
        text += f", with a standard error of {error:.1f}"
        if abs(mean) < 2 or abs(mean) < 2 * error:
            text += "; two points and two standard errors are asked for"
            return {"the claim": Verdict(f"nothing shown, {sign}", text)}
        if sign * mean < 0:
            return {"the claim": Verdict(f"the other way, {sign}", text)}
        if not abs(told - mean) <= 8:
            text += f"; you tell {told:+.1f}"
            return {"the claim": Verdict(f"another number, {sign}", text)}
    return {"the claim": RIGHT}


def _claim_fault(said: Any) -> Verdict | None:
    """What is wrong with a claim before anything is trained."""

    def number(value: Any) -> bool:
        return type(value) in (int, float)

    form = isinstance(said, tuple | list) and len(said) == 4
    form = form and number(said[0]) and type(said[1]) is int
    form = form and all(
        isinstance(claim, tuple | list)
        and len(claim) == 3
        and claim[0] in sturdy.DISTURBANCES
        and number(claim[1])
        and number(claim[2])
        for claim in said[2:]
    )
    if not form:
        names = ", ".join(f'"{name}"' for name in sturdy.DISTURBANCES)
        text = "expected (p, steps, helps, hurts), the last two (disturbance, strength, gain): p, "
        text += f"strengths and gains are numbers, steps is an int, a disturbance is one of {names}"
        return Verdict("form", f"{text}; got {describe(said)}")
    p, steps, *claims = said
    if not 0 < p <= 0.8 or not 1 <= steps <= LONGEST:
        text = f"p={p} and steps={steps}, but p is above 0 and at most 0.8, steps at most {LONGEST}"
        return Verdict("limits", text)
    for disturbance, strength, _ in claims:
        if not 0 < strength <= LARGEST[disturbance]:
            text = f"{disturbance} of {strength}: at most {LARGEST[disturbance]}, and above 0"
            return Verdict("strength", text)
    helps, hurts = (claim[2] for claim in claims)
    if not (helps > 0 and hurts < 0):
        text = f"you tell {helps:+.1f} points in helps and {hurts:+.1f} in hurts; a gain is "
        return Verdict(
            "signs", text + "positive in helps and negative in hurts. Are the two exchanged?"
        )
    return None


def where_it_turns_cases(draw: Draw) -> Iterator[Case]:
    first = draw.choice(100, [104, 108])
    yield Case((range(first, first + 4),))


# ---- which digits to doubt ------------------------------------------------------------------

HANDED = 0.6  # of what chance leaves and the best order would not


@functools.cache
def opinions(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities of many masks (S, B, N) and of eval mode (B, N), and what is misread (B,)."""
    images, labels = sturdy.digits()[1].tensors
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    network = sturdy.trained(seed, p=0.4)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        single = network(images + 0.3 * noise).softmax(1)
        network.train()
        passes = torch.stack([network(images + 0.3 * noise).softmax(1) for _ in range(32)])
    return passes, single, single.argmax(1) != labels


def doubt(passes: Tensor, single: Tensor) -> Tensor:
    return -single.max(dim=1).values


def doubt_probe(answer, passes: Tensor, single: Tensor, seed: int) -> dict[str, Any]:
    score = answer(passes, single)
    text = f"must return a tensor of shape {tuple(single.shape[:1])}, got "
    if not isinstance(score, Tensor):
        return {"the doubts": Verdict("no tensor", f"{text}a {type(plain(score)).__name__}")}
    if score.shape != single.shape[:1]:
        classes = score.shape[-1:] == single.shape[1:]
        kind = "a number for each class" if classes else "form"
        return {"the doubts": Verdict(kind, text + describe(plain(score)))}
    if not score.isfinite().all():
        zeros = (single == 0).sum().item()
        text = f"some doubts are inf or NaN; {zeros} of the probabilities in `single` are exactly 0"
        return {"the doubts": Verdict("not finite", text)}
    wrong = opinions(seed)[2][: len(single)]
    mine, best = (robustness.kept_error(s, wrong) for s in (score, wrong.double()))
    random = wrong.double().mean().item()
    text = (
        f"on average {mine:.3f} of the digits that you keep are misread; the best order leaves "
        f"{best:.3f}, a random one {random:.3f}"
    )
    if mine <= random - HANDED * (random - best):
        return {"the doubts": RIGHT}
    values = len(score.unique())
    if values <= len(score) // 4:
        text += f". Your {len(score)} doubts are "
        text += f"{values} different numbers" if values > 1 else "all the same number"
    gain = (random - mine) / (random - best)  # 0 for a random order, 1 for the best
    kind = "worse than chance" if gain < -0.4 else "like chance" if gain < 0.4 else "too many"
    return {"the doubts": Verdict(kind, text)}


def doubt_cases(draw: Draw) -> Iterator[Case]:
    seed = draw.choice(200, [201, 202])
    passes, single, _ = opinions(seed)
    yield Case((passes, single, seed))
    passes, single = (chances[..., :250, :] for chances in (passes, single))
    passes, single = (chances.where(chances > 1e-4, 0) for chances in (passes, single))
    yield Case((passes, single, seed), "fewer digits, and probabilities that are exactly 0")
    passes, single = (nn.functional.pad(chances, (0, 1)) for chances in (passes[:20], single))
    yield Case((passes, single, seed), "fewer masks, and a class that nothing is")


EXERCISES = (
    Exercise(
        "really_drops",
        ("layer", "x"),
        really_drops,
        really_drops_cases,
        gradients=False,
        probe=really_drops_probe,
    ),
    Exercise("drop_cp", ("factors", "keep", "p"), drop_cp, drop_cp_cases, probe=drop_cp_probe),
    Exercise(
        "DropoutCP",
        ("factors", "p", "x"),
        DropoutCP,
        layer_cases,
        uses=("drop_cp",),
        gradients=False,
        probe=layer_probe,
    ),
    Exercise(
        "drop_tucker",
        ("core", "factors", "keeps", "modes", "p"),
        drop_tucker,
        drop_tucker_cases,
        uses=("drop_cp",),
        probe=drop_tucker_probe,
    ),
    Exercise(
        "expected_weight",
        ("dropout", "rank", "p"),
        expected_weight,
        expected_weight_cases,
        gradients=False,
        probe=expected_weight_probe,
    ),
    Exercise(
        "is_unbiased",
        ("dropout", "weight", "rank"),
        is_unbiased,
        is_unbiased_cases,
        uses=("expected_weight",),
        gradients=False,
        probe=is_unbiased_probe,
    ),
    Exercise(
        "dropout_penalty",
        ("x", "factors", "p"),
        dropout_penalty,
        dropout_penalty_cases,
        uses=("drop_cp",),
    ),
    Exercise(
        "output_variance",
        ("c", "p"),
        output_variance,
        output_variance_cases,
        probe=output_variance_probe,
    ),
    Exercise(
        "paired_gain",
        ("seeds", "p", "gains"),
        paired_gain,
        paired_gain_cases,
        gradients=False,
        probe=paired_gain_probe,
    ),
    Exercise(
        "where_it_turns",
        ("seeds",),
        where_it_turns,
        where_it_turns_cases,
        gradients=False,
        probe=where_it_turns_probe,
    ),
    Exercise(
        "doubt",
        ("passes", "single", "seed"),
        doubt,
        doubt_cases,
        gradients=False,
        probe=doubt_probe,
    ),
    Quiz("quiz_rank_one_modes", "abcd"),
)
