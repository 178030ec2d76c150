"""Chapter 03: regression with a low-rank weight. Every oracle builds the weight."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from trlkit.course.checking.answer import Verdict
from trlkit.course.checking.compare import describe
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.course.checking.weights import cp_weight

NOISE = 0.02  # of the responses that a fit is judged on, whose weight has a norm of about 1
STARTS = 3  # random ones, of which the fit that suits its own samples best is judged
CLOSE = 0.1  # the largest relative error on held-out samples that counts as learned


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


def linear_response(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.stack([(sample * weight).sum() + bias for sample in x])


def fast_response(x: Tensor, factors: Sequence[Tensor], bias: Tensor) -> Tensor:
    """The same response by one einsum, for the answers that call it hundreds of times."""
    letters = "ijklmn"[: len(factors)]
    terms = ",".join(f"{letter}r" for letter in letters)
    return torch.einsum(f"z{letters},{terms}->z", x, *factors) + bias


def linear_response_cases(draw: Draw) -> Iterator[Case]:
    batch, height, width = draw.sizes(4, 2, 3)
    bias = number(draw)
    yield Case((draw.counting(batch, height, width), draw.counting(height, width), bias))
    yield Case((draw.normal(3, 3, 3), draw.normal(3, 3), number(draw)), "one size for all")
    shape = draw.sizes(5, 2, 3, 4)
    yield Case((draw.normal(*shape), draw.normal(*shape[1:]), number(draw)), "three modes")
    vectors = draw.normal(batch, width)
    yield Case((vectors, draw.normal(width), number(draw)), "vectors: the usual regression")
    one = draw.normal(1, height, width)
    yield Case((one, draw.normal(height, width), number(draw)), "a batch of one")
    shape = draw.sizes(3, 2, 4, 3, 2)
    args = draw.normal(*shape), draw.normal(*shape[1:]), number(draw)
    yield Case(tuple(map(single, args)), "four modes, float32")


def cp_response(x: Tensor, factors: Sequence[Tensor], bias: Tensor) -> Tensor:
    return linear_response(x, cp_weight(factors), bias)


def cp_response_cases(draw: Draw) -> Iterator[Case]:
    batch, height, width, rank = draw.sizes(4, 3, 5, 2)
    factors = [draw.counting(height, rank), draw.counting(width, rank)]
    yield Case((draw.counting(batch, height, width), factors, number(draw)))
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
    shape = draw.sizes(3, 2, 4, 3, 2)
    args = draw.normal(*shape), factors_of(draw, shape[1:], 2), number(draw)
    yield Case(tuple(map(single, args)), "four modes, float32")


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
            row.append(linear_response(x, cp_weight(columns), zero))
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
    shape = draw.sizes(3, 2, 4, 3, 2)
    args = draw.normal(*shape), factors_of(draw, shape[1:], 2), 2
    yield Case(tuple(map(single, args)), "four modes, float32")


def cp_gradient_step(
    x: Tensor, y: Tensor, factors: Sequence[Tensor], bias: Tensor, lr: float
) -> tuple[list[Tensor], Tensor]:
    leaves = [tensor.detach().clone().requires_grad_() for tensor in (*factors, bias)]
    loss = ((cp_response(x, leaves[:-1], leaves[-1]) - y) ** 2).mean()
    gradients = torch.autograd.grad(loss, leaves)
    *moved, new_bias = [
        leaf.detach() - lr * slope for leaf, slope in zip(leaves, gradients, strict=True)
    ]
    return moved, new_bias


def cp_gradient_step_cases(draw: Draw) -> Iterator[Case]:
    batch, height, width, rank = draw.sizes(6, 3, 5, 2)
    data = draw.normal(batch, height, width), draw.normal(batch)
    factors = factors_of(draw, (height, width), rank)
    yield Case((*data, factors, number(draw), 0.1))
    yield Case((*data, factors_of(draw, (height, width), 1), number(draw), 0.5), "rank 1")
    shape = draw.sizes(5, 2, 3, 4)
    data = draw.normal(*shape), draw.normal(shape[0])
    factors = factors_of(draw, shape[1:], 3)
    yield Case((*data, factors, number(draw), 0.01), "three modes")
    data = draw.normal(1, height, width), draw.normal(1)
    yield Case((*data, factors_of(draw, (height, width), 2), number(draw), 0.1), "a batch of one")
    data = draw.normal(batch, height, width), draw.normal(batch)
    args = *data, factors_of(draw, (height, width), rank), number(draw), 0.01
    yield Case(tuple(map(single, args)), "float32")


def two_steps(
    answer: Callable, x: Tensor, y: Tensor, factors: list[Tensor], bias: Tensor, lr: float
) -> dict:
    """What one step returns, and what a second one makes of that."""
    first, second = answer(x, y, factors, bias, lr), None
    if any(tensor.requires_grad for tensor in (x, y, *factors, bias)):
        text = (
            "the tensors that you were given require gradients afterwards: work on copies of them"
        )
        return {"result": Verdict("requires gradients", text), "second step": None}
    if isinstance(first, tuple | list) and len(first) == 2:
        try:
            second = answer(x, y, *first, lr)
        except Exception as error:
            if not any(isinstance(t, Tensor) and t.requires_grad for t in (*first[0], first[1])):
                raise
            text = (
                "the first step is made; a second one, from what it returned, raises "
                f"{type(error).__name__}: {error}\n"
                "what you return still hangs on the graph of the first step: detach it"
            )
            second = Verdict("on the graph", text)
    return {"result": first, "second step": second}


def balance_factors(factors: Sequence[Tensor]) -> list[Tensor]:
    columns = []
    for r in range(factors[0].shape[1]):
        norms = [(factor[:, r] ** 2).sum().sqrt() for factor in factors]
        common = torch.stack(norms).log().mean().exp()
        columns.append(
            [factor[:, r] / norm * common for factor, norm in zip(factors, norms, strict=True)]
        )
    return [torch.stack(of_one, dim=1) for of_one in zip(*columns, strict=True)]


def balance_factors_cases(draw: Draw) -> Iterator[Case]:
    height, width, rank = draw.sizes(3, 5, 2)
    yield Case(([draw.counting(height, rank), draw.counting(width, rank)],))
    uneven = [100 * draw.normal(height, rank), draw.normal(width, rank) / 100]
    yield Case((uneven,), "far from balanced")
    three = factors_of(draw, draw.sizes(2, 3, 4), 3)
    yield Case(([three[0] * 8, three[1], three[2] / 3],), "three factors")
    yield Case((factors_of(draw, (3, 3), 3),), "square factors")
    yield Case((factors_of(draw, draw.sizes(4, 2, 3), 1),), "rank 1")
    yield Case((single(factors_of(draw, draw.sizes(4, 2, 3, 5), 2)),), "four factors, float32")


def update_block(
    x: Tensor, y: Tensor, factors: Sequence[Tensor], mode: int
) -> tuple[Tensor, Tensor]:
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    *entries, bias = torch.linalg.pinv(table) @ y
    return torch.stack(entries).reshape(factors[mode].shape), bias


def fast_update(
    x: Tensor, y: Tensor, factors: Sequence[Tensor], mode: int
) -> tuple[Tensor, Tensor]:
    """The same least squares by a solver, for the answers that call it hundreds of times."""
    features = fast_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    solution = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]
    return solution[:-1].reshape(factors[mode].shape), solution[-1]


def update_block_cases(draw: Draw) -> Iterator[Case]:
    height, width = draw.sizes(3, 4)
    x = draw.normal(60, height, width)
    y = draw.normal(60) + 3
    for mode in (0, 1):
        yield Case((x, y, factors_of(draw, (height, width), 2), mode))
    yield Case((x, y, factors_of(draw, (height, width), 1), 1), "rank 1")
    shape = draw.sizes(2, 3, 4)
    x = draw.normal(60, *shape)
    for mode in (2, 1):
        yield Case((x, y, factors_of(draw, shape, 3), mode), "three modes")
    square = factors_of(draw, (3, 3), 3)
    yield Case((draw.normal(60, 3, 3), y, square, 0), "square factors")
    args = draw.normal(60, height, width), y, factors_of(draw, (height, width), 2), 0
    yield Case(tuple(map(single, args)), "float32")


def fit_cp_regression(
    x: Tensor, y: Tensor, rank: int, sweeps: int = 30
) -> tuple[list[Tensor], Tensor]:
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], bias = fast_update(x, y, factors, mode)
    return factors, bias


def low_rank_data(draw: Draw, samples: int, shape: Sequence[int], rank: int) -> tuple[Tensor, ...]:
    """Random inputs, and their noisy responses to a weight of exactly this rank and a bias."""
    factors = [torch.linalg.qr(draw.normal(size, rank)).Q for size in shape]
    factors[0] = factors[0] * torch.tensor([1.0, 0.8, 0.9][:rank], dtype=torch.float64)
    x = draw.normal(samples, *shape)
    bias = 2.0 + number(draw).abs()
    return x, cp_response(x, factors, bias) + NOISE * draw.normal(samples)


def fit_cp_regression_cases(draw: Draw) -> Iterator[Case]:
    for samples, shape, rank, note in (
        (120, draw.choice((12, 12), [(11, 13), (13, 11)]), 2, "fewer samples than pixels"),
        (150, draw.choice((5, 6, 7), [(6, 7, 5), (7, 5, 6)]), 2, "three modes"),
        (50, draw.choice((9, 7), [(7, 9), (10, 6)]), 1, "rank 1, float32"),
    ):
        x, y = low_rank_data(draw, samples + 200, shape, rank)
        if rank == 1:
            x, y = single(x), single(y)
        held_out = [x[samples:], y[samples:]]
        yield Case((x[:samples], y[:samples], rank, held_out), note)


def relative_error(y: Tensor, predicted: Tensor) -> float:
    """What is left of the responses, against always predicting their mean: 0 is perfect."""
    return ((y - predicted).norm() / (y - y.mean()).norm()).item()


def judged_fit(answer: Callable, x: Tensor, y: Tensor, rank: int, judged_on: list) -> dict:
    """Fit from a few random starts, look at what came, and judge it by samples not seen."""

    def fitted(start: int, responses: Tensor = y, **options) -> tuple:
        torch.default_generator.manual_seed(start)
        return answer(x, responses, rank, **options)

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
        if error <= CLOSE:
            return {"fit": Verdict("right")}
    kind, reason = _symptom(fitted, x, y, best[1], new_y, response)
    text = (
        f"judged on {len(new_y)} held-out samples, the relative error is {error:.2g}; expected at "
        f"most {CLOSE:g} (1 is no better than predicting the mean)\n"
        f"on the {len(y)} samples it was fitted to, it is {best[0]:.2g}"
    )
    return {"fit": Verdict(kind, f"{text}\n{reason}" if reason else text)}


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
) -> tuple[str, str]:
    """The kind of what is wrong with a fit that fails, and how to say it."""
    weight = cp_weight(factors)
    if not weight.isfinite().all():
        return "not finite", "the factors hold NaN or infinite numbers"
    if weight.abs().max() < 1e-9:
        return "zero", "the weight that your factors stand for is 0 everywhere"
    if relative_error(new_y, response + (new_y - response).mean()) <= CLOSE:
        return "bias", "the weight is right, the bias is not"
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


def cp_responses(x: Tensor, factors: Sequence[Tensor], bias: Tensor) -> Tensor:
    *inputs, outputs = factors
    columns = [
        linear_response(x, cp_weight([*inputs[:-1], inputs[-1] * row]), number)
        for row, number in zip(outputs, bias, strict=True)
    ]
    return torch.stack(columns, dim=1)


def cp_responses_cases(draw: Draw) -> Iterator[Case]:
    batch, height, width, outputs, rank = draw.sizes(4, 3, 5, 6, 2)
    factors = [draw.counting(size, rank) for size in (height, width, outputs)]
    yield Case((draw.counting(batch, height, width), factors, draw.normal(outputs)))
    three = factors_of(draw, (height, width, batch), rank)
    x = draw.normal(batch, height, width)
    yield Case((x, three, draw.normal(batch)), "as many outputs as samples")
    three = factors_of(draw, (height, width, 1), rank)
    yield Case((x, three, draw.normal(1)), "one output")
    yield Case((draw.normal(3, 3, 3), factors_of(draw, (3, 3, 3), 3), draw.normal(3)), "one size")
    shape = draw.sizes(5, 2, 3, 4)
    four = factors_of(draw, (*shape[1:], outputs), 3)
    yield Case((draw.normal(*shape), four, draw.normal(outputs)), "three input modes")
    three = factors_of(draw, (height, width, outputs), 1)
    yield Case((draw.normal(1, height, width), three, draw.normal(outputs)), "one sample, rank 1")
    shape = draw.sizes(3, 2, 4, 3, 2)
    args = draw.normal(*shape), factors_of(draw, (*shape[1:], 3), 2), draw.normal(3)
    yield Case(tuple(map(single, args)), "four input modes, float32")


EXERCISES = (
    Exercise("linear_response", ("x", "weight", "bias"), linear_response, linear_response_cases),
    Exercise(
        "cp_response",
        ("x", "factors", "bias"),
        cp_response,
        cp_response_cases,
        piece=fast_response,
        uses=("linear_response",),
    ),
    Exercise(
        "block_features",
        ("x", "factors", "mode"),
        block_features,
        block_features_cases,
        piece=fast_features,
        uses=("linear_response", "cp_response"),
    ),
    Exercise(
        "cp_gradient_step",
        ("x", "y", "factors", "bias", "lr"),
        cp_gradient_step,
        cp_gradient_step_cases,
        uses=("linear_response", "cp_response", "block_features"),
        gradients=False,
        probe=two_steps,
    ),
    Exercise("balance_factors", ("factors",), balance_factors, balance_factors_cases),
    Exercise(
        "update_block",
        ("x", "y", "factors", "mode"),
        update_block,
        update_block_cases,
        piece=fast_update,
        uses=("block_features",),
        gradients=False,
    ),
    Exercise(
        "fit_cp_regression",
        ("x", "y", "rank", "judged_on"),
        fit_cp_regression,
        fit_cp_regression_cases,
        uses=(
            "linear_response",
            "cp_response",
            "block_features",
            "cp_gradient_step",
            "balance_factors",
            "update_block",
        ),
        gradients=False,
        probe=judged_fit,
    ),
    Exercise(
        "cp_responses",
        ("x", "factors", "bias"),
        cp_responses,
        cp_responses_cases,
        uses=("linear_response", "cp_response", "block_features"),
    ),
    Quiz("quiz_dense_samples", "abcd"),
    Quiz("quiz_factor_scale", "abcd"),
    Quiz("quiz_low_rank_target", "abcd"),
)
