"""Chapter 03: regression with a low-rank weight. Every oracle builds the weight."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from trlkit.course.checking.answer import RIGHT, Verdict
from trlkit.course.checking.compare import describe
from trlkit.course.checking.exercise import Case, Draw, Exercise
from trlkit.course.checking.weights import cp_weight
from trlkit.lab.data import drawings

NOISE = 0.02  # of the responses that a fit is judged on, whose weight has a norm of about 1
STARTS = 3  # random ones, of which the fit that suits its own samples best is judged
APART = 7_000_000  # between the seeds of starts and those that cases are drawn with
CLOSE = 0.1  # the largest relative error on held-out samples that counts as learned
FEW = 1.3  # the same with fewer samples than degrees of freedom; 1 is predicting the mean
HIGHER = 1.15  # times what alternating updates reach: the largest penalized loss of a fit
LUCK = 0.995  # of the error to be beaten: more than a lucky start makes of it
MOST_UPDATES = 200  # calls that a test of an update may make
MOST_FITS = 400  # experiments that may be made in one world


def factors_of(draw: Draw, sizes: Sequence[int], rank: int) -> list[Tensor]:
    return [draw.normal(size, rank) for size in sizes]


def number(draw: Draw) -> Tensor:
    """A random tensor of shape ()."""
    return draw.normal(1).squeeze(0)


def single(value: object) -> object:
    """The same tensors in float32, all else as it is."""
    if isinstance(value, Tensor):
        return value.float()
    return [single(item) for item in value] if isinstance(value, list) else value


def not_contiguous(tensor: Tensor) -> Tensor:
    """The same numbers, which do not lie in memory in the order of their places."""
    return tensor.mT.contiguous().mT


def fast_response(x: Tensor, factors: Sequence[Tensor], bias: Tensor) -> Tensor:
    """The same response by one einsum, for the answers that call it hundreds of times."""
    letters = "ijklmn"[: len(factors)]
    terms = ",".join(f"{letter}r" for letter in letters)
    return torch.einsum(f"z{letters},{terms}->z", x, *factors) + bias


def whole(draw: Draw, *shape: int) -> Tensor:
    """Small whole numbers in bfloat16: sums of products of a few are exact in any order."""
    return draw.normal(*shape).clamp(-2, 2).round().bfloat16()


def cp_response(x: Tensor, factors: Sequence[Tensor], bias: Tensor) -> Tensor:
    return torch.stack([(sample * cp_weight(factors)).sum() + bias for sample in x])


def cp_response_cases(draw: Draw) -> Iterator[Case]:
    batch, height, width, rank = draw.sizes(4, 3, 5, 2)
    factors = [draw.counting(height, rank), draw.counting(width, rank)]
    bias = draw.choice(1000.0, [1.0]) * number(draw)  # of the size of all the rest
    yield Case((draw.counting(batch, height, width), factors, bias))
    x = draw.normal(batch, height, width)
    yield Case((x, factors_of(draw, (height, width), 1), number(draw)), "rank 1")
    square = factors_of(draw, (3, 3), 3)
    yield Case((draw.normal(3, 3, 3), square, number(draw)), "one size for all")
    shape = draw.sizes(5, 2, 3, 4)
    yield Case((draw.normal(*shape), factors_of(draw, shape[1:], 3), number(draw)), "three modes")
    one = draw.normal(1, height, width)
    yield Case((one, factors_of(draw, (height, width), 3), number(draw)), "a batch of one")
    vectors = draw.normal(batch, width)
    yield Case((vectors, factors_of(draw, (width,), rank), number(draw)), "one mode")
    strided = draw.normal(batch, width, height).mT
    factors = factors_of(draw, (height, width), 7)
    yield Case((strided, factors, number(draw)), "not contiguous in memory, rank above the sizes")
    one = draw.normal(batch, height, 1, 1)
    yield Case((one, factors_of(draw, (height, 1, 1), rank), number(draw)), "modes of size 1")
    args = whole(draw, batch, height, width), [whole(draw, height, 2), whole(draw, width, 2)]
    yield Case((*args, whole(draw, 1).squeeze(0)), "bfloat16")
    shape = draw.sizes(3, 2, 4, 3, 2)
    args = draw.normal(*shape), factors_of(draw, shape[1:], 2), number(draw)
    yield Case(tuple(map(single, args)), "four modes, float32")
    shape = 2, *(2,) * 6
    args = draw.normal(*shape), factors_of(draw, shape[1:], 2), number(draw)
    yield Case(args, "six modes")


def block_features(x: Tensor, factors: Sequence[Tensor], mode: int) -> Tensor:
    size, rank = factors[mode].shape
    zero = x.new_zeros(())
    rows = []
    for i in range(size):
        unit = torch.eye(size, dtype=x.dtype)[:, i : i + 1]
        row = []
        for r in range(rank):
            columns = [factor[:, r : r + 1] for factor in factors]
            columns[mode] = unit
            row.append(cp_response(x, columns, zero))
        rows.append(torch.stack(row, dim=-1))
    return torch.stack(rows, dim=1)


def fast_features(x: Tensor, factors: Sequence[Tensor], mode: int) -> Tensor:
    """The same features by one einsum, for the answers that call it hundreds of times."""
    letters = "ijklmn"[: len(factors)]
    others = [k for k in range(len(factors)) if k != mode]
    terms = "".join(f",{letters[k]}r" for k in others)
    equation = f"z{letters}{terms}->z{letters[mode]}r"
    return torch.einsum(equation, x, *(factors[k] for k in others))


def block_features_cases(draw: Draw) -> Iterator[Case]:
    batch, height, width, rank = draw.sizes(4, 3, 5, 2)
    x = draw.counting(batch, height, width)
    factors = [draw.counting(height, rank), draw.counting(width, rank)]
    for mode in (0, 1):
        yield Case((x, factors, mode))
    shape = draw.sizes(5, 2, 3, 4)
    x, factors = draw.normal(*shape), factors_of(draw, shape[1:], 3)
    for mode in (1, 0, 2):
        yield Case((x, factors, mode), "three modes")
    yield Case((draw.normal(3, 3, 3), factors_of(draw, (3, 3), 3), 1), "one size for all")
    one = draw.normal(1, height, width)
    yield Case((one, factors_of(draw, (height, width), 1), 0), "one sample, rank 1")
    x, factors = draw.normal(batch, height, width), factors_of(draw, (height, width), rank)
    factors[1] = torch.zeros_like(factors[1])
    yield Case((x, factors, 1), "factors[1] is 0, and plays no part")
    strided = draw.normal(batch, width, height).mT
    yield Case((strided, factors_of(draw, (height, width), 7), 1), "not contiguous, rank 7")
    wide = draw.normal(batch, height, 1, width)
    for mode in (1, 2):
        yield Case((wide, factors_of(draw, (height, 1, width), rank), mode), "a mode of size 1")
    args = whole(draw, batch, height, width), [whole(draw, height, 2), whole(draw, width, 2)], 0
    yield Case(args, "bfloat16")
    shape = draw.sizes(3, 2, 4, 3, 2)
    args = draw.normal(*shape), factors_of(draw, shape[1:], 2), 2
    yield Case(tuple(map(single, args)), "four modes, float32")
    shape = 2, *(2,) * 6
    yield Case((draw.normal(*shape), factors_of(draw, shape[1:], 2), 4), "six modes")


def balance_factors(factors: Sequence[Tensor]) -> list[Tensor]:
    found = [torch.zeros_like(factor) for factor in factors]
    for r in range(factors[0].shape[1]):
        norms = [(factor[:, r] ** 2).sum().sqrt() for factor in factors]
        if min(norms) > 0:
            common = torch.stack(norms).log().mean().exp()
            for place, factor, norm in zip(found, factors, norms, strict=True):
                place[:, r] = factor[:, r] / norm * common
    return found


def balance_factors_cases(draw: Draw) -> Iterator[Case]:
    height, width, rank = draw.sizes(3, 5, 2)
    yield Case(([draw.counting(height, rank), draw.counting(width, rank)],))
    uneven = [100 * draw.normal(height, rank), draw.normal(width, rank) / 100]
    yield Case((uneven,), "far from even")
    three = factors_of(draw, draw.sizes(2, 3, 4), 3)
    yield Case(([three[0] * 8, three[1], three[2] / 3],), "three factors")
    yield Case((factors_of(draw, (3, 3), 3),), "square factors")
    yield Case((factors_of(draw, draw.sizes(4, 2, 3), 1),), "rank 1")
    yield Case((single(factors_of(draw, draw.sizes(4, 2, 3, 5), 2)),), "four factors, float32")
    yield Case((factors_of(draw, draw.sizes(4), 3),), "one factor: there is nothing to move")
    strided = [draw.normal(rank, height).mT, draw.normal(rank, width).mT]
    yield Case((strided,), "not contiguous in memory")
    gone = factors_of(draw, (height, width, 2), 3)
    gone[1][:, 1] = 0
    yield Case((gone,), "a column of zeros: its term is 0, at any scale of the others")
    small = factors_of(draw, (height, width), rank)
    small[0][:, 0] *= 1e-9
    small[1][:, 0] *= 1e-4
    yield Case((small,), "a small term")


def update_block(
    x: Tensor, y: Tensor, factors: Sequence[Tensor], mode: int, ridge: float = 0.0
) -> tuple[Tensor, Tensor]:
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    count = features.shape[1]
    penalty = math.sqrt(ridge) * torch.eye(count, count + 1, dtype=x.dtype)
    *entries, bias = torch.linalg.pinv(torch.cat([table, penalty])) @ torch.cat(
        [y, y.new_zeros(count)]
    )
    return torch.stack(entries).reshape(factors[mode].shape), bias


def fast_update(
    x: Tensor, y: Tensor, factors: Sequence[Tensor], mode: int, ridge: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The same least squares by a solver, for the answers that call it hundreds of times."""
    if ridge:
        return _centered(x, y, factors, mode, ridge)  # whose factor is 0 where all features are
    features = fast_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    solution = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]
    return solution[:-1].reshape(factors[mode].shape), solution[-1]


def update_block_cases(draw: Draw) -> Iterator[Case]:
    height, width = draw.sizes(3, 4)
    x = draw.normal(60, height, width)
    y = draw.normal(60) + 3
    for mode in (0, 1):
        yield Case((x, y, factors_of(draw, (height, width), 2), mode, 0.0))
    yield Case((x, y, factors_of(draw, (height, width), 2), 1, 7.0), "with a penalty")
    yield Case((x, y, factors_of(draw, (height, width), 2), 0, 0.3), "a small penalty")
    yield Case((x, y, factors_of(draw, (height, width), 1), 1, 0.0), "rank 1")
    shape = draw.sizes(2, 3, 4)
    x = draw.normal(60, *shape)
    for mode in (2, 1):
        yield Case((x, y, factors_of(draw, shape, 3), mode, 0.0), "three modes")
    square = factors_of(draw, (3, 3), 3)
    yield Case((draw.normal(60, 3, 3), y, square, 0, 0.0), "square factors")
    few = draw.normal(5, width, height).mT, draw.normal(5) - 4
    args = *few, factors_of(draw, (height, width), 2), 1, 2.0
    yield Case(args, "fewer samples than unknowns, not contiguous")
    args = draw.normal(60, height, width), y, factors_of(draw, (height, width), 2), 0, 1.0
    yield Case(tuple(map(single, args)), "float32")


# ---- a test of an update ---------------------------------------------------------------------


def penalized_loss(x, y, factors, mode, ridge, factor, bias) -> Tensor:
    """What the best factor and bias make least."""
    features = fast_features(x, factors, mode)
    error = (features * factor).sum((1, 2)) + bias - y
    return (error**2).sum() + ridge * (factor**2).sum()


def is_best_update(update: Callable) -> bool:
    draw = Draw(0)
    for shape in ((3, 5), (4, 2), (2, 4, 3)):
        for mode in range(len(shape)):
            for ridge in (0.0, 0.5, 4.0):
                factors = factors_of(draw, shape, 2)
                x, y = draw.normal(60, *shape), draw.normal(60) + 3
                factor, bias = (
                    t.clone().requires_grad_() for t in update(x, y, factors, mode, ridge)
                )
                loss = penalized_loss(x, y, factors, mode, ridge, factor, bias)
                slopes = torch.autograd.grad(loss, (factor, bias))
                if any((slope.abs() > 1e-6).any() for slope in slopes):
                    return False
    return True


def _normal(x, y, factors, mode, ridge, bias_too: bool = False) -> tuple[Tensor, Tensor]:
    """The same by the normal equations, the bias first."""
    features = fast_features(x, factors, mode).flatten(1)
    table = torch.cat([torch.ones_like(features[:, :1]), features], dim=1)
    penalty = ridge * torch.eye(table.shape[1], dtype=x.dtype)
    penalty[0, 0] *= bias_too
    gram = table.T @ table + penalty
    found, singular = torch.linalg.solve_ex(gram, table.T @ y)
    bias, *entries = torch.linalg.pinv(gram) @ (table.T @ y) if singular else found
    return torch.stack(entries).reshape(factors[mode].shape), bias


def _centered(x, y, factors, mode, ridge) -> tuple[Tensor, Tensor]:
    features = fast_features(x, factors, mode).flatten(1)
    mean = features.mean(0)
    gram = (features - mean).T @ (features - mean)
    gram += ridge * torch.eye(len(gram), dtype=x.dtype)
    found = torch.linalg.solve(gram, (features - mean).T @ (y - y.mean()))
    return found.reshape(factors[mode].shape), y.mean() - mean @ found


def _with(change: Callable) -> Callable:
    """An update whose answer is changed: ``change(factor, bias, x, y, factors, mode, ridge)``."""

    def update(x, y, factors, mode, ridge):
        return change(*_normal(x, y, factors, mode, ridge), x, y, factors, mode, ridge)

    return update


def _last_kept(factor, bias, x, y, factors, mode, ridge):
    """The last component stays what it was, and the others are right for all that."""
    if factor.shape[1] == 1:
        return factor, bias
    rest = y - (fast_features(x, factors, mode)[:, :, -1] * factors[mode][:, -1]).sum(1)
    others, bias = _normal(x, rest, [f[:, :-1] for f in factors], mode, ridge)
    return torch.cat([others, factors[mode][:, -1:]], dim=1), bias


def _swapped_others(factor, bias, x, y, factors, mode, ridge):
    """From three modes on, the factors of two modes of one size meet each other's mode."""
    others = [k for k in range(len(factors)) if k != mode]
    if len(others) < 2:
        return factor, bias
    mixed = list(factors)
    mixed[others[0]] = mixed[others[0]].flip(0)
    return _normal(x, y, mixed, mode, ridge)


def _all_alike(factor, bias, x, y, factors, mode, ridge):
    """The best of the factors whose numbers are all the same: the slopes at it add up to 0."""
    total = fast_features(x, factors, mode).sum((1, 2))
    centered = total - total.mean()
    one = centered @ y / (centered @ centered + ridge * factor.numel())
    return torch.full_like(factor, one.item()), y.mean() - one * total.mean()


def _sum_charged(factor, bias, x, y, factors, mode, ridge):
    """As if the sum of the numbers were charged, too: all the slopes are -0.08."""
    features = fast_features(x, factors, mode).flatten(1)
    mean = features.mean(0)
    gram = (features - mean).T @ (features - mean)
    gram += ridge * torch.eye(len(gram), dtype=x.dtype)
    moved = 0.04 * (torch.linalg.pinv(gram) @ torch.ones_like(mean))
    return factor - moved.reshape(factor.shape), bias + mean @ moved


def _transposed(factor, bias, *given):
    return factor.T.reshape(factor.shape), bias


UPDATES: dict[str, tuple[bool, Callable]] = {  # whether each is right, and the update
    "normal equations": (True, _normal),
    "centered": (True, _centered),
    "by a solver": (True, lambda *given: fast_update(*given)),
    "penalizes the bias": (False, lambda *given: _normal(*given, bias_too=True)),
    "no penalty": (False, lambda *given: _normal(*given[:4], 0.0)),
    "penalty times samples": (False, lambda x, *given: _normal(x, *given[:3], given[3] * len(x))),
    "a penalty always": (False, lambda *given: _normal(*given[:4], given[4] or 0.1)),
    "a whole number for the penalty": (False, lambda *given: _normal(*given[:4], given[4] // 1)),
    "a penalty of 1 at most": (False, lambda *given: _normal(*given[:4], min(given[4], 1.0))),
    "all numbers alike": (False, _with(_all_alike)),
    "slopes below 0": (False, _with(_sum_charged)),
    "penalty squared": (False, lambda *given: _normal(*given[:4], given[4] ** 2)),
    "mean for bias": (False, _with(lambda f, b, x, y, *given: (f, y.mean()))),
    "no bias": (False, _with(lambda f, b, x, y, *given: (f, torch.zeros_like(b)))),
    "entries in other places": (False, _with(_transposed)),
    "mode 0 alone": (
        False,
        _with(lambda f, b, x, y, fs, mode, r: (f if mode == 0 else fs[mode], b)),
    ),
    "all modes but 0": (
        False,
        _with(lambda f, b, x, y, fs, mode, r: (f if mode else fs[mode], b)),
    ),
    "all modes but the last": (
        False,
        _with(lambda f, b, x, y, fs, mode, r: (f if mode + 1 < len(fs) else fs[mode], b)),
    ),
    "modes 0 and 1 alone": (
        False,
        _with(lambda f, b, *given: _swapped_others(f, b, *given) if given[3] > 1 else (f, b)),
    ),
    "two modes alone": (False, _with(_swapped_others)),
    "one component stays": (False, _with(_last_kept)),
    "half of the samples": (
        False,
        lambda x, y, *given: _normal(x[: len(x) // 2 + 1], y[: len(x) // 2 + 1], *given),
    ),
    "a little short": (False, _with(lambda f, b, *given: (0.999 * f, b))),
    "a little more bias": (False, _with(lambda f, b, *given: (f, b + 0.001))),
}


def is_best_update_probe(answer: Callable, kind: str) -> Verdict:
    torch.default_generator.manual_seed(0)
    right, update = UPDATES[kind]
    calls = Counter()
    dtypes: dict[torch.dtype, None] = {}  # that are not the one asked for, in their order

    def counted(x, y, factors, mode, ridge=0.0):
        others = [t.dtype for t in (x, y, *factors) if t.dtype != torch.float64]
        dtypes.update(dict.fromkeys(others))
        calls[tuple(x.shape[1:]), mode, float(ridge)] += 1
        if calls.total() > MOST_UPDATES:
            raise RuntimeError(f"the update is called more than {MOST_UPDATES} times")
        return update(x.detach(), y.detach(), [f.detach() for f in factors], mode, float(ridge))

    said = answer(counted)
    if type(said) is not bool:
        return Verdict("no bool", f"must return True or False, got {describe(said)}")
    if said == right:
        return RIGHT
    tried = _tried(calls)
    if dtypes:
        tried += f", with tensors of {_some(list(dtypes))}; asked is torch.float64"
    if right:
        kind = "accused, not in float64" if dtypes else "accused"
        return Verdict(kind, f"says False of an update that is right ({tried})")
    return Verdict("let through", f"says True of an update that is wrong ({tried})")


def _tried(calls: Counter) -> str:
    """What a test has called an update with."""
    if not calls:
        return "which it never called"
    shapes, modes, ridges = (list(dict.fromkeys(part)) for part in zip(*calls, strict=True))
    told = _some(shapes), _some(sorted(modes)), _some([f"{ridge:g}" for ridge in sorted(ridges)])
    return "called with samples of shape {}, mode {}, ridge {}".format(*told)


def _some(values: Sequence, most: int = 6) -> str:
    """The first few of the values, and how many there are besides."""
    more = [f"{len(values) - most} more"] if len(values) > most else []
    return " and ".join([*map(str, values[:most]), *more])


def is_best_update_cases(draw: Draw) -> Iterator[Case]:
    kinds = list(UPDATES)
    for kind in kinds if not draw.hidden else draw.choice(None, [kinds[::-1], kinds]):
        yield Case((kind,))


def fit_cp_regression(
    x: Tensor, y: Tensor, rank: int, ridge: float = 0.0, sweeps: int = 30
) -> tuple[list[Tensor], Tensor]:
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], bias = fast_update(x, y, factors, mode, ridge)
    return factors, bias


def low_rank_data(draw: Draw, samples: int, shape: Sequence[int], rank: int) -> tuple[Tensor, ...]:
    """Random inputs, and their noisy responses to a weight of exactly this rank and a bias."""
    factors = [torch.linalg.qr(draw.normal(size, rank)).Q for size in shape]
    factors[0] = factors[0] * torch.tensor([1.0, 0.8, 0.9][:rank], dtype=torch.float64)
    x = draw.normal(samples, *shape)
    bias = 2.0 + number(draw).abs()
    return x, cp_response(x, factors, bias) + NOISE * draw.normal(samples)


def fit_cp_regression_cases(draw: Draw) -> Iterator[Case]:
    few = "fewer samples than freedoms, not contiguous"
    for samples, shape, rank, ridge, note in (
        (120, draw.choice((12, 12), [(11, 13), (13, 11)]), 2, 0.0, "fewer samples than pixels"),
        (150, draw.choice((5, 6, 7), [(6, 7, 5), (7, 5, 6)]), 2, 0.0, "three modes"),
        (50, draw.choice((9, 7), [(7, 9), (10, 6)]), 1, 0.0, "rank 1, float32"),
        (30, draw.choice((12, 12), [(11, 13), (13, 11)]), 2, 10.0, few),
    ):
        x, y = low_rank_data(draw, samples + 200, shape, rank)
        if rank == 1:
            x, y = single(x), single(y)
        held_out = [x[samples:], y[samples:]]
        seen = not_contiguous(x[:samples]) if ridge else x[:samples]
        yield Case((seen, y[:samples], rank, ridge, held_out), note)


def relative_error(y: Tensor, predicted: Tensor) -> float:
    """What is left of the responses, against always predicting their mean: 0 is perfect."""
    return ((y - predicted).norm() / (y - y.mean()).norm()).item()


def judged_fit(
    answer: Callable, x: Tensor, y: Tensor, rank: int, ridge: float, judged_on: list
) -> dict:
    """Fit from a few random starts, look at what came, and judge it by samples not seen."""

    def fitted(start: int, responses: Tensor = y, strength: float = ridge, **options) -> tuple:
        torch.default_generator.manual_seed(APART + start)  # else a start may be the truth
        return answer(x, responses, rank, ridge=strength, **options)

    asked = CLOSE if not ridge else FEW

    best = None
    for start in range(STARTS):
        found = fitted(start)
        fault = _fault(found, x, rank)
        if fault:
            return fault
        factors, bias = [factor.detach() for factor in found[0]], torch.as_tensor(found[1]).detach()
        seen = relative_error(y, cp_response(x, factors, bias))
        if best is None or not seen >= best[0]:
            best = seen, factors, bias
        new_x, new_y = judged_on
        response = cp_response(new_x, best[1], best[2])
        error = relative_error(new_y, response)
        if error <= asked:
            if ridge:
                return {"fit": _penalty_counts(fitted, x, y, ridge, best[1], best[2])}
            if rank == 1:
                return _fault(fitted(0, sweeps=1), x, rank) or {"fit": RIGHT}
            return {"fit": RIGHT}
    kind, reason = _symptom(fitted, x, y, best[1], new_y, response, asked)
    text = (
        f"judged on {len(new_y)} held-out samples, the relative error is {error:.2g}; expected at "
        f"most {asked:g} (1 is no better than predicting the mean)\n"
        f"on the {len(y)} samples it was fitted to, it is {best[0]:.2g}"
    )
    return {"fit": Verdict(kind, f"{text}\n{reason}" if reason else text)}


def _penalty_counts(
    fitted: Callable, x: Tensor, y: Tensor, ridge: float, factors: Sequence[Tensor], bias: Tensor
) -> Verdict:
    """Whether the penalized loss is small, and a huge penalty leaves nothing of the weight."""

    def charged(factors: Sequence[Tensor], bias: Tensor) -> float:
        squares = sum(factor.square().sum() for factor in factors)
        return ((cp_response(x, factors, bias) - y).square().sum() + ridge * squares).item()

    found = fitted(0, strength=1e8)
    size = cp_weight([factor.detach() for factor in found[0]]).norm().item()
    if size >= 0.01:
        text = f"with ridge=1e8 the weight still has the norm {size:.2g}, expected nearly 0"
        return Verdict("penalty does nothing", text)
    torch.default_generator.manual_seed(APART)
    rank = factors[0].shape[1]
    ours = min(charged(*fit_cp_regression(x, y, rank, ridge)) for _ in range(STARTS))
    yours = charged(factors, bias)
    if yours <= HIGHER * ours:
        return RIGHT
    text = (
        f"with ridge={ridge:g} the penalized loss (the sum of the squared errors, plus ridge times "
        f"the sum of all squared numbers of the factors) is {yours:.3g}; expected at most "
        f"{HIGHER * ours:.3g}, a little more than updates with that penalty reach"
    )
    return Verdict("penalized loss", text)


def _fault(found: object, x: Tensor, rank: int) -> dict | None:
    """What is wrong with the form of what a fit returned."""
    pair = isinstance(found, tuple | list) and len(found) == 2
    if not pair or not isinstance(found[0], tuple | list):
        text = f"must return (factors, bias), the factors in a list; got {describe(found)}"
        return {"fit": Verdict("no pair", text)}
    factors, bias = found
    if not all(isinstance(factor, Tensor) for factor in factors):
        return {"fit": Verdict("no tensors", f"the factors must be tensors, got {factors!r:.80}")}
    shapes, wanted = [tuple(factor.shape) for factor in factors], [(n, rank) for n in x.shape[1:]]
    if shapes != wanted:
        text = f"the factors have the shapes {shapes}, expected {wanted}"
        return {"fit": Verdict(f"shapes {shapes}", text)}
    if any(factor.dtype != x.dtype for factor in factors):
        text = f"the factors have dtype {factors[0].dtype}, expected that of x, {x.dtype}"
        return {"fit": Verdict("dtype", text)}
    if not isinstance(bias, int | float) and not (isinstance(bias, Tensor) and bias.ndim == 0):
        text = f"the bias must be one number, a tensor of shape (); got {describe(bias)}"
        return {"fit": Verdict("bias shape", text)}
    if isinstance(bias, Tensor) and bias.dtype != x.dtype:
        text = f"the bias has dtype {bias.dtype}, expected that of x, {x.dtype}"
        return {"fit": Verdict("bias dtype", text)}
    return None


def _symptom(
    fitted: Callable,
    x: Tensor,
    y: Tensor,
    factors: list[Tensor],
    new_y: Tensor,
    response: Tensor,
    asked: float,
) -> tuple[str, str]:
    """The kind of what is wrong with a fit that fails, and how to say it."""
    weight = cp_weight(factors)
    if not weight.isfinite().all():
        return "not finite", "the factors hold NaN or infinite numbers"
    if weight.abs().max() < 1e-9:
        return "zero", "the weight that your factors stand for is 0 everywhere"
    if relative_error(new_y, response + (new_y - response).mean()) <= asked:
        return "bias", "the weight is right, the bias is not"
    if asked == FEW:
        without = fitted(0, strength=0.0)[0]
        if all(torch.equal(*pair) for pair in zip(fitted(0)[0], without, strict=True)):
            return "no ridge", "with ridge=0 the factors come out the same"
    pairs = list(zip(fitted(0)[0], fitted(0, y.flip(0))[0], strict=True))
    same = [k for k, pair in enumerate(pairs) if torch.equal(*pair)]
    if same:
        names = " and ".join(f"factors[{k}]" for k in same)
        return f"unlearned {same}", f"with other responses y, {names} comes out the same"
    rank = factors[0].shape[1]
    for mode, factor in enumerate(factors):
        spread = torch.linalg.svdvals(factor / factor.norm())
        if rank > 1 and spread[1] < 1e-6:
            return "equal", f"all columns of factors[{mode}] are multiples of one"
    try:
        history = [fitted(0, sweeps=count) for count in (1, 2, 3, 4, 5, 6)]
    except TypeError:
        return "far", ""
    if all(torch.equal(*pair) for pair in zip(history[0][0], history[-1][0], strict=True)):
        return "sweeps", "1 sweep and 6 sweeps give the same factors"
    errors = [relative_error(y, cp_response(x, *found)) for found in history]
    if any(after > before + 1e-6 for before, after in zip(errors, errors[1:], strict=False)):
        told = ", ".join(f"{error:.2g}" for error in errors)
        return "rises", f"after 1, 2, ... 6 sweeps the error on the fitted samples is {told}"
    return "far", ""


# ---- what a loss says ------------------------------------------------------------------------


def expected_losses(noise: float, samples: int, unknowns: int) -> tuple[float, float]:
    """By the matrix that takes the responses to the fitted ones."""
    table = Draw(0).normal(samples, unknowns)
    fitted = (
        table @ torch.linalg.pinv(table) if unknowns else torch.zeros(samples, samples).double()
    )
    left = torch.eye(samples, dtype=torch.float64) - fitted
    variance = noise**2
    training = variance * round(left.square().sum().item(), 9) / samples
    return training, variance * (1 + fitted.square().sum().item() / samples)


def expected_losses_cases(draw: Draw) -> Iterator[Case]:
    yield Case((1.0, draw.choice(10, range(11, 30)), 3))
    yield Case((0.1, draw.choice(40, range(41, 80)), draw.choice(12, range(5, 20))), "little noise")
    yield Case((2.0, 20, draw.choice(19, (17, 18))), "hardly more samples than unknowns")
    yield Case((0.5, 15, 15), "as many unknowns as samples")
    yield Case((0.5, 10, draw.choice(30, range(21, 60))), "fewer samples than unknowns")
    yield Case((3.0, 8, 0), "nothing is fitted")


# ---- the experiment --------------------------------------------------------------------------

UNITS: dict[str, Callable] = {
    "pixels": lambda rows, columns, rank: rows * columns,
    "freedom": lambda rows, columns, rank: rank * (rows + columns - rank),
    "sides": lambda rows, columns, rank: rows + columns,
    "rank": lambda rows, columns, rank: rank,
}
NEEDS = {"pixels": (0.4, 0.9), "freedom": (1.2, 2.5), "sides": (1.5, 4.0), "rank": (20.0, 60.0)}
LUCKY, STEEP = 0.95, 6  # the most seeds that ever succeed; how sharply that begins


def need(world: str) -> tuple[str, float]:
    """What decides in a world, and how many samples it takes per unit of that."""
    name, _, luck = world.partition(", ")
    return name, random.Random(f"{name} {luck}").uniform(*NEEDS[name])


def made_up_error(world: str, rows: int, columns: int, rank: int, samples: int, seed: int) -> float:
    """The relative error of a fit in a made-up world: half of the seeds succeed at its need."""
    name, factor = need(world)
    asked = factor * UNITS[name](rows, columns, rank)
    lucky = random.Random(f"{world} {rows} {columns} {rank} {seed}").random() < LUCKY
    luck = random.Random(f"{world} {rows} {columns} {rank} {samples} {seed}")
    chance = 1 / (1 + (2 * LUCKY - 1) * (asked / samples) ** STEEP)
    good, size = lucky and luck.random() < chance, luck.random()
    return 0.29 - 0.24 * size**4 if good else 0.61 + 9 * size**16  # most near the two bounds


def what_decides(error: Callable) -> tuple[str, float, float]:
    def needed(*setting: int) -> float:
        low, high = 5.0, 4000.0
        for _ in range(9):
            middle = (low * high) ** 0.5
            found = sum(error(*setting, round(middle), seed) < 0.5 for seed in range(9))
            low, high = (low, middle) if found >= 5 else (middle, high)
        return (low * high) ** 0.5

    settings = ((8, 8, 1), (24, 24, 1), (24, 24, 3), (8, 24, 2))
    found = [needed(*setting) for setting in settings]
    ratios = {
        name: sorted(count / unit(*setting) for count, setting in zip(found, settings, strict=True))
        for name, unit in UNITS.items()
    }
    best = min(ratios, key=lambda name: ratios[name][-1] / ratios[name][0])
    center = (ratios[best][0] * ratios[best][-1]) ** 0.5
    return best, center / 1.4, center * 1.4


def what_decides_probe(answer: Callable, world: str) -> dict[str, Verdict]:
    torch.default_generator.manual_seed(0)
    calls: Counter = Counter()
    first: list[int] = []

    def counted(rows: int, columns: int, rank: int, samples: int, seed: int) -> float:
        rows, columns, rank, samples, seed = map(int, (rows, columns, rank, samples, seed))
        small = min(rows, columns)
        if small < 4 or max(rows, columns) > 40 or not 1 <= rank <= small / 2:
            raise ValueError(f"no weight of {rows} x {columns} and rank {rank} can be tried")
        if not 1 <= samples <= 4000:
            raise ValueError(f"samples={samples} is not between 1 and 4000")
        calls[rows, columns, rank] += 1
        if calls.total() > MOST_FITS:
            raise RuntimeError(f"more than {MOST_FITS} experiments in one world")
        first.append(seed)
        if seed == first[0] and int(world.split()[-1]) % 3 == 0:
            return 0.65  # in a third of the worlds the first seed is one that never succeeds
        return made_up_error(world, rows, columns, rank, samples, seed)

    found = answer(counted)
    if not isinstance(found, tuple | list) or len(found) != 3 or not isinstance(found[0], str):
        text = f"must return (name, low, high), got {describe(found)}"
        return {"conclusion": Verdict("no triple", text), "interval": Verdict("no triple", text)}
    said, low, high = found
    name, factor = need(world)
    tried = f"after {calls.total()} experiments with {_settings(calls)}"
    result = {"conclusion": RIGHT, "interval": RIGHT}
    if said != name:
        text = (
            f"in a made-up world where the need grows with {name!r}, it concludes {said!r}, {tried}"
        )
        result["conclusion"] = Verdict(f"{said} for {name}", text)
    numbers = all(isinstance(end, int | float) and end > 0 for end in (low, high))
    if not numbers or not low <= high <= 2 * low:
        text = (
            "low and high must be two positive numbers, high at most twice low; "
            f"got {low!r:.20} and {high!r:.20}"
        )
        result["interval"] = Verdict("no interval", text)
    elif said == name and not low <= factor <= high:
        text = (
            f"in this world it takes {factor:.3g} samples per unit of {name!r}; the interval is "
            f"{low:.3g} to {high:.3g}, {tried}"
        )
        result["interval"] = Verdict(f"too {'low' if high < factor else 'high'}", text)
    return result


def _settings(calls: Counter) -> str:
    told = [f"{rows} x {columns} of rank {rank}" for rows, columns, rank in list(calls)[:4]]
    more = f" and {len(calls) - 4} more" if len(calls) > 4 else ""
    return (", ".join(told) or "no weight at all") + more


def what_decides_cases(draw: Draw) -> Iterator[Case]:
    for number, kind in enumerate(
        draw.choice((*UNITS, *UNITS, "freedom", "sides"), [(*UNITS, *UNITS, "sides", "freedom")])
    ):
        yield Case((f"{kind}, luck {draw.choice(number, range(100, 900))}",))


# ---- the challenge ---------------------------------------------------------------------------


def best_weight(x: Tensor, y: Tensor) -> Tensor:
    """Low rank, or ridge regression on blurred pictures: whichever predicts held-out samples."""

    def smooth(x: Tensor, y: Tensor) -> Tensor:
        place = torch.arange(x.shape[1], dtype=x.dtype)
        blur = torch.exp(-((place[:, None] - place) ** 2) / 4.5)
        centered = x - x.mean(0)
        blurred = blur @ centered @ blur
        gram = blurred.flatten(1) @ centered.flatten(1).T
        dual = torch.linalg.solve(gram + 3 * torch.eye(len(x), dtype=x.dtype), y - y.mean())
        return torch.tensordot(dual, blurred, dims=1)

    def low(x: Tensor, y: Tensor) -> Tensor:
        return cp_weight(fit_cp_regression(x, y, 2, 3.0, sweeps=15)[0])

    def missed(method: Callable) -> float:
        left = y[80:] - (x[80:] * method(x[:80], y[:80])).sum((1, 2))
        return left.var().item()

    return min((smooth, low), key=missed)(x, y)


def best_weight_probe(answer: Callable, xs: list, ys: list, seed: int) -> Verdict:
    """The mean error over some drawings, against that of the chapter's own fit."""
    truths, ours, yours = drawings(seed).values(), [], []
    torch.default_generator.manual_seed(0)
    for truth, x, y in zip(truths, xs, ys, strict=True):
        weight = answer(x, y)
        if not isinstance(weight, Tensor) or weight.shape != truth.shape:
            text = f"must return a tensor of shape {tuple(truth.shape)}, got {describe(weight)}"
            return Verdict("shape", text)
        if weight.dtype != x.dtype:
            text = f"the weight has dtype {weight.dtype}, expected that of x, {x.dtype}"
            return Verdict("dtype", text)
        yours.append((weight.detach() - truth).norm().item())
    torch.default_generator.manual_seed(0)
    for truth, x, y in zip(truths, xs, ys, strict=True):
        factors = [torch.randn(size, 8, dtype=x.dtype) for size in truth.shape]
        for _ in range(30):
            for mode in (0, 1):
                factors[mode], _ = _normal(x, y, factors, mode, 10.0)
        ours.append((cp_weight(factors) - truth).norm().item())
    mean, limit = sum(yours) / len(yours), sum(ours) / len(ours)
    if mean < LUCK * limit:
        return RIGHT
    text = (
        f"over {len(ours)} drawings your mean error is {mean:.3f}; asked is less than what "
        f"`fit_cp_regression` of rank 8 with ridge=10 gets on the same samples, {limit:.3f}, by "
        f"half a percent at least"
    )
    told = ", ".join(
        f"{name} {error:.2f}" for name, error in zip(drawings(seed), yours, strict=True)
    )
    kind = "zeros" if abs(mean - 1) < 1e-6 else "beyond zeros" if mean > 1 else "not better"
    return Verdict(kind, f"{text}\nyours: {told}")


def best_weight_cases(draw: Draw) -> Iterator[Case]:
    seed = draw.choice(0, range(100, 900))
    xs = [not_contiguous(draw.normal(120, 16, 16)) for _ in drawings(seed)]
    ys = [
        (x * weight).sum((1, 2)) + 0.5 + 0.1 * draw.normal(120)
        for x, weight in zip(xs, drawings(seed).values(), strict=True)
    ]
    yield Case((xs, ys, seed))


EXERCISES = (
    Exercise(
        "cp_response", ("x", "factors", "bias"), cp_response, cp_response_cases, piece=fast_response
    ),
    Exercise(
        "block_features",
        ("x", "factors", "mode"),
        block_features,
        block_features_cases,
        piece=fast_features,
        uses=("cp_response",),
    ),
    Exercise(
        "balance_factors", ("factors",), balance_factors, balance_factors_cases, gradients=False
    ),
    Exercise(
        "is_best_update",
        ("update",),
        is_best_update,
        is_best_update_cases,
        uses=("cp_response", "block_features"),
        gradients=False,
        probe=is_best_update_probe,
    ),
    Exercise(
        "update_block",
        ("x", "y", "factors", "mode", "ridge"),
        update_block,
        update_block_cases,
        piece=fast_update,
        uses=("block_features",),
        gradients=False,
    ),
    Exercise(
        "fit_cp_regression",
        ("x", "y", "rank", "ridge", "judged_on"),
        fit_cp_regression,
        fit_cp_regression_cases,
        uses=("cp_response", "block_features", "balance_factors", "update_block"),
        gradients=False,
        probe=judged_fit,
    ),
    Exercise(
        "expected_losses",
        ("noise", "samples", "unknowns"),
        expected_losses,
        expected_losses_cases,
        gradients=False,
    ),
    Exercise(
        "what_decides",
        ("error",),
        what_decides,
        what_decides_cases,
        gradients=False,
        probe=what_decides_probe,
    ),
    Exercise(
        "best_weight",
        ("x", "y", "drawings"),
        best_weight,
        best_weight_cases,
        uses=(
            "cp_response",
            "block_features",
            "balance_factors",
            "update_block",
            "fit_cp_regression",
        ),
        gradients=False,
        probe=best_weight_probe,
    ),
)
