"""Chapter 06: tensor dropout, judged over all masks; the oracles enumerate."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trlkit.course.checking.answer import RIGHT, Recipe, Verdict
from trlkit.course.checking.compare import describe
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.course.checking.weights import cp_weight, tucker_weight

DRAWS = 400  # forward passes whose masks are counted
ENOUGH = 66  # passes that find rank 1 with p = 0.1 in 999 of 1000 times: 0.9**66 < 0.001
MOST = 4000  # calls of one dropout that is judged
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
    returned: Any, make: Callable[[], Tensor], asked: str, good: bool, given: Sequence[Tensor] = ()
) -> dict[str, Any]:
    """The weight that returned pieces make, and a verdict on their form.

    A weight of which nothing stays is 0 whatever the ``given`` tensors are: pieces made of plain
    zeros are as right as others, so it gets their gradient, which is 0.
    """
    found = {"what you return": RIGHT, "the weight of the pieces that you return": None}
    if not good:
        text = f"expected {asked}, got {describe(returned)}"
        return found | {"what you return": Verdict("other pieces", text)}
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
    return put_together(returned, lambda: cp_weight(returned), asked, good, nothing)


def drop_cp_cases(draw: Draw) -> Iterator[Case]:
    rank = 4
    factors = [draw.counting(size, rank) for size in draw.sizes(2, 3)]
    yield Case((factors, torch.tensor([True, False, True, True]), 0.5))
    factors = [draw.normal(size, 3) for size in draw.sizes(3, 4, 2)]
    yield Case((factors, torch.tensor([False, True, False]), 0.2), "three modes")
    yield Case((factors, torch.tensor([True, True, True]), 0.75), "every component stays")
    yield Case((factors, torch.tensor([False, False, False]), 0.2), "every component goes")
    yield Case((factors, torch.tensor([True, True, True]), 0.0), "p = 0 changes nothing")
    square = [draw.normal(3, 3) for _ in range(3)]
    yield Case((square, torch.tensor([True, False, True]), 0.4), "square factors")
    many = [draw.normal(2, 5) for _ in range(4)]
    keep = torch.tensor(draw.choice([True, False, False, True, True], [[False, True] * 2 + [True]]))
    yield Case((many, keep, 0.9), "four modes, p near 1")


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
    torch.manual_seed(0)
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
    layer.eval()
    quiet = [layer(x) for _ in range(20)]
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
    layer.train()
    sum(layer(x).sum() for _ in range(20)).backward()  # one pass may drop everything
    if any(parameter.grad is None for parameter in layer.parameters()):
        return Verdict("no gradient", "in training mode, no gradient reaches some of the factors")
    return _masks_seen(layer, x, factors, p, quiet[0]) or RIGHT


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
    with torch.no_grad():
        passes = torch.stack([layer(x) for _ in range(DRAWS)])
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
        return None
    stays = [r for r, kept in enumerate(keep.tolist()) if kept]
    what = f"components {stays} stay" if stays else "every component goes"
    text = (
        f"of {DRAWS} passes in training mode with p={p}, {count} had the mask in which "
        f"{what}; expected about {DRAWS * share:.0f}"
    )
    drawn = masks[which]  # (DRAWS, R)
    kept, noise = drawn.double().mean(0), 5 * math.sqrt(p * (1 - p) / DRAWS) + 1e-9
    if (kept - p).abs().max() <= noise:
        return Verdict("p kept", f"{text}. Each component stayed with probability p")
    if (drawn.sum(1) == drawn[0].sum()).all():
        text += f". In every pass {drawn[0].sum()} stayed: each needs a coin of its own"
        return Verdict("a fixed number", text)
    if not counts[0] and DRAWS * p ** masks.shape[1] > 4:
        return Verdict("one left", f"{text}. Do you keep one where all would go?")
    if (kept - (1 - p)).abs().max() <= noise:
        text += ". Each alone stays as often as it should: is there a coin for each of them?"
        return Verdict("no coins of their own", text)
    return Verdict("other masks", text)


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
    yield Case((many, 0.4, draw.normal(2, 3, 2, 4)), "three input modes")
    for p in (1.0, -0.1, 1.5):
        yield Case((factors, p, x), "refused")


# ---- does it drop at all? -------------------------------------------------------------------


class HookedCP(nn.Module):
    """Dropout sits in a hook on the weight; only with ``calls`` does forward call it."""

    passes = 0  # of all of them: a copy of a layer counts too

    def __init__(self, rank: int, p: float, calls: bool):
        super().__init__()
        torch.manual_seed(0)
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
    "batch norm and a CP layer with p = 0.5, in eval mode": lambda: nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(12), HookedCP(4, 0.5, calls=True)
    ).eval(),
}


def layer_of(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return LAYERS[kind]()


def really_drops(layer: nn.Module, x: Tensor) -> bool:
    before = layer.training
    layer.train()
    first = layer(x)
    same = all(torch.equal(layer(x), first) for _ in range(100))
    layer.train(before)
    return not same


def really_drops_probe(answer, layer: nn.Module, x: Tensor) -> dict[str, Any]:
    torch.manual_seed(1)
    drops = any(inner.drops for inner in layer.modules() if isinstance(inner, HookedCP))
    before = {name: module.training for name, module in layer.named_modules()}
    HookedCP.passes = 0
    said, passes = answer(layer, x), HookedCP.passes
    found = {"what it says": RIGHT, "the passes": RIGHT, "the layer's mode": RIGHT}
    few = (
        f"in {passes} passes, a layer of rank 1 with p = 0.1 is missed with a probability of "
        f"about {100 * 0.9**passes:.2g} %"
    )
    if type(said) is not bool:
        text = f"must return True or False, got {describe(said)}"
        return found | {"what it says": Verdict("no bool", text)}
    if said != drops:
        text = f"expected {drops}, got {said}"
        if drops and passes < ENOUGH:
            text += f"; {few}"
        found["what it says"] = Verdict(f"{said} is wrong", text)
    elif isinstance(layer, HookedCP) and not drops and passes < ENOUGH:
        found["the passes"] = Verdict("too few passes", f"{few}, and at most 0.1 % is asked")
    for name, module in layer.named_modules():
        if module.training != before[name]:
            now = "training" if module.training else "eval"
            which = "a module inside the layer" if name else "the layer"
            text = f"leaves {which} in {now} mode, in which it was not"
            kind = "inner mode changed" if name else "mode changed"
            found["the layer's mode"] = Verdict(kind, text)
            break
    return found


def really_drops_cases(draw: Draw) -> Iterator[Case]:
    x = draw.normal(*([5, 3, 4] if not draw.hidden else [draw.choice(5, [2, 4, 6]), 3, 4])).float()
    for kind in LAYERS:
        yield Case((Recipe(layer_of, (kind,), lent=True), x))


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
    return put_together(returned, lambda: tucker_weight(*returned), asked, good, nothing)


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


# ---- all masks ------------------------------------------------------------------------------


def keep_masks(rank: int, p: float) -> list[tuple[Tensor, float]]:
    return [(keep, chance(keep, p)) for keep in every_keep(rank)]


def masks_in_order(value: Any, args: tuple) -> dict[str, Any]:
    """Masks and probabilities in one order: any order is right."""
    rank, _ = args
    if not isinstance(value, list | tuple):
        raise ValueError(f"must return a list of pairs, got {describe(value)}")
    rows = []
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ValueError(f"each entry must be a pair (keep, probability), got {describe(pair)}")
        keep, probability = pair
        if not isinstance(keep, Tensor) or keep.dtype != torch.bool or keep.shape != (rank,):
            got = describe(keep) + (f" and {keep.dtype}" if isinstance(keep, Tensor) else "")
            raise ValueError(f"a mask must be a bool tensor of shape ({rank},), got {got}")
        if not isinstance(probability, int | float | Tensor):
            raise ValueError(f"a probability must be a float, got {describe(probability)}")
        rows.append((tuple(map(int, keep.tolist())), float(probability)))
    rows.sort()
    found = {
        "the number of masks": len(rows),
        "the masks, sorted": torch.tensor([row[0] for row in rows]),
        "the probabilities, from no component kept to all kept": torch.tensor(
            [row[1] for row in rows],
            dtype=torch.float64,
        ),
    }
    return found


def keep_masks_cases(draw: Draw) -> Iterator[Case]:
    yield Case((2, draw.choice(0.25, [0.2, 0.3])))
    yield Case((3, draw.choice(0.4, [0.1, 0.35])))
    yield Case((1, 0.9), "rank 1")
    yield Case((2, 0.0), "p = 0: every mask is still listed")
    yield Case((draw.choice(5, [4, 6]), 0.5), "p = 0.5: all are equally likely")


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
    return core, [factor.abs() for factor in factors] if kind in POSITIVE else factors


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
    "CP: rescales by 4 at most": lambda keep, p: keep * min(4.0, 1 / (1 - p)),
    "CP: rescales by 2 at every p": lambda keep, p: keep * 2.0,
    "CP: does not rescale below p = 0.1": lambda keep, p: keep / (1 - p if p >= 0.1 else 1),
    "CP: does not rescale between p = 0.2 and 0.45": lambda keep, p: (
        keep / (1 if 0.2 < p < 0.45 else 1 - p)
    ),
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
SHIFTED = "CP: errs in two rows, and not in their sum"
SWAPPED = "CP: returns the rows in another order"
STORED = "drops nothing: it returns the one weight that it has"
GATHERED = "CP, right: leaves out the columns that are dropped"
SPREAD = "CP, right: spreads the scale over the factors"


def implementation(kind: str, rank: Sequence[int]) -> Callable[[Sequence[Tensor], float], Tensor]:
    """A tensor dropout: given a mask for each rank mode and p, the weight that is left."""
    core, factors = pieces_of(kind, rank)
    whole = full_weight(kind, rank)
    joint = torch.einsum("br,cr->bcr", *factors[1:]).flatten(0, 1) if core is None else None

    def rebuilt(first: Tensor, rest: Tensor) -> Tensor:
        return (first @ rest.T).reshape(SIZES)

    def dropout(keeps: Sequence[Tensor], p: float) -> Tensor:
        if not 0 <= p < 1:
            raise ValueError(f"a dropout is asked for p={p}, but p must be in [0, 1)")
        keeps = [keep.double() for keep in keeps]
        if [keep.shape for keep in keeps] != [(size,) for size in rank]:
            shapes = [tuple(keep.shape) for keep in keeps]
            raise ValueError(f"keeps of shapes {shapes}, but the rank is {tuple(rank)}")
        if core is not None:
            masks = TUCKER_MASKS[kind](keeps, p)
            return tucker_weight(core, [f * m for f, m in zip(factors, masks, strict=True)])
        if kind == STORED:
            return whole
        keep, scale = keeps[0], 1 / (1 - p)
        if kind == GATHERED:
            return rebuilt(factors[0][:, keep > 0], joint[:, keep > 0]) * scale
        if kind == SPREAD:
            root = scale**0.5
            return rebuilt(factors[0] * keep * root, joint * keep * root)
        mask = (CP_MASKS | POSITIVE).get(kind, CP_MASKS["CP, right"])(keep, p)
        weight = rebuilt(factors[0] * mask, joint)
        if kind == SWAPPED:
            return weight.roll(1, 0)
        return (1 - p) * weight + p * weight.roll(1, 0) if kind == SHIFTED else weight

    return dropout


CP_KINDS = (*CP_MASKS, *POSITIVE, GATHERED, SPREAD, SHIFTED, SWAPPED)


def expected_weight(dropout: Callable, rank: Sequence[int], p: float) -> Tensor:
    total = 0
    for keeps in itertools.product(*map(every_keep, rank)):
        total = total + math.prod(chance(keep, p) for keep in keeps) * dropout(list(keeps), p)
    return total


def expected_weight_probe(answer, kind: str, rank: tuple, p: float) -> dict[str, Any]:
    dropout, calls = implementation(kind, rank), []

    def counted(keeps: Sequence[Tensor], p: float) -> Tensor:
        calls.append(p)
        return dropout(keeps, p)

    expected = answer(counted, rank, p)
    found = {"the dropout": RIGHT, "the expected weight": expected}
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
    yield Case(("CP, right", (draw.choice(3, [2, 4]),), 0.25), "the weight itself")
    yield Case(("CP: rescales nothing", (3,), draw.choice(0.25, [0.2, 0.4])))
    yield Case(("CP: keeps one component where all would go", (2,), 0.5))
    rank = draw.choice((2, 3, 1), [(3, 1, 2), (2, 2, 1), (3, 2, 1)])
    yield Case(("Tucker, right", rank, 0.4), "three rank modes")
    yield Case(("Tucker: rescales nothing", rank, 0.2), "three rank modes")
    yield Case(("Tucker: keeps one component where a mode would lose all", (2, 3), 0.4))
    yield Case(("CP: rescales by 1 / p", (2,), 0.0), "p = 0")
    yield Case((STORED, (2,), 0.3))


def is_unbiased(dropout: Callable, weight: Tensor, rank: Sequence[int]) -> bool:
    return all(
        torch.allclose(expected_weight(dropout, rank, p), weight)
        for p in (0.0, 0.05, 0.3, 0.5, 0.7, 0.9)
    )


def is_unbiased_probe(answer, kind: str, weight: Tensor, rank: tuple) -> Verdict:
    torch.manual_seed(0)
    dropout, calls = implementation(kind, rank), Counter()

    def counted(keeps: Sequence[Tensor], p: float) -> Tensor:
        calls[p] += 1
        if calls.total() > MOST:
            raise RuntimeError(
                f"a dropout is asked for more than {MOST} weights, but rank {rank} has "
                f"{2 ** sum(rank)} combinations of masks: list them, and draw none at random"
            )
        return dropout(keeps, p)

    said = answer(counted, weight, rank)
    if type(said) is not bool:
        return Verdict("no bool", f"must return True or False, got {describe(said)}")
    if said == ("right" in kind.partition(":")[0]):
        return RIGHT
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


def _bias(dropout: Callable, weight: Tensor, rank: Sequence[int], p: float) -> float:
    """How far off the expected weight is, as a share of the weight's largest entry."""
    gap = (expected_weight(dropout, rank, p) - weight).abs().max()
    return (gap / weight.abs().max()).item()


def is_unbiased_cases(draw: Draw) -> Iterator[Case]:
    for kind in CP_KINDS:
        rank = (draw.choice(3, [2, 3]),)
        yield Case((kind, full_weight(kind, rank), rank))
    for kind in TUCKER_MASKS:
        rank = draw.choice((1, 3), [(3, 1), (1, 4), (1, 3)])
        yield Case((kind, full_weight(kind, rank), rank))


# ---- the penalty ----------------------------------------------------------------------------


def dropout_penalty(x: Tensor, factors: Sequence[Tensor], p: float) -> Tensor:
    """What dropout adds to a squared loss, over all masks; the target here is 0."""

    def loss(factors: Sequence[Tensor]) -> Tensor:
        return regress(x, cp_weight(factors)).square().mean()

    expected = 0
    for keep in every_keep(factors[0].shape[1]):
        expected = expected + chance(keep, p) * loss(drop_cp(factors, keep, p))
    return expected - loss(factors)


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
    yield Case((draw.normal(3, 2, 2, 3), many, 0.1), "three input modes")


EXERCISES = (
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
        "really_drops",
        ("layer", "x"),
        really_drops,
        really_drops_cases,
        gradients=False,
        probe=really_drops_probe,
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
        "keep_masks",
        ("rank", "p"),
        keep_masks,
        keep_masks_cases,
        gradients=False,
        judged=masks_in_order,
    ),
    Exercise(
        "expected_weight",
        ("dropout", "rank", "p"),
        expected_weight,
        expected_weight_cases,
        uses=("keep_masks",),
        gradients=False,
        probe=expected_weight_probe,
    ),
    Exercise(
        "is_unbiased",
        ("dropout", "weight", "rank"),
        is_unbiased,
        is_unbiased_cases,
        uses=("keep_masks", "expected_weight"),
        gradients=False,
        probe=is_unbiased_probe,
    ),
    Exercise(
        "dropout_penalty",
        ("x", "factors", "p"),
        dropout_penalty,
        dropout_penalty_cases,
        uses=("keep_masks", "drop_cp"),
    ),
    Quiz("quiz_rank_one_modes", "abcd"),
    Quiz("quiz_all_stay", "abcd"),
    Quiz("quiz_forgot_eval", "abcd"),
)
