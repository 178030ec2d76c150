"""What a check says: every layer has its words, and no number of a hidden case shows."""

import itertools
import linecache

import pytest
import torch

from trlkit.course import CheckFailed, check, reveal
from trlkit.course.chapters.ch05_tucker_trl import checks as ch05
from trlkit.course.chapters.exercises import EXERCISES, used
from trlkit.course.checking.answer import LocalAnswer, Verdict
from trlkit.course.checking.compare import difference
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.weights.decomposition import decompose


def story(name, answer, **options):
    with pytest.raises(CheckFailed) as caught:
        check(name, answer, **options)
    return str(caught.value)


def not_written(x, mode):
    raise NotImplementedError


def no_return(x, mode):
    x.movedim(mode, 0)


def in_numpy(x, mode):
    return x.detach().movedim(mode, 0).reshape(x.shape[mode], -1).numpy()


def other_shape(x, mode):
    return x


def other_dtype(x, mode):
    return x.movedim(mode, 0).reshape(x.shape[mode], -1).float()


def flipped(x, mode):
    return x.movedim(mode, 0).reshape(x.shape[mode], -1).flip(1)


def doubled(x, mode):
    return 2 * x.movedim(mode, 0).reshape(x.shape[mode], -1)


def in_place(x, mode):
    return x.mul_(1.0).add_(1.0).movedim(mode, 0).reshape(x.shape[mode], -1)


def broken(x, mode):
    return x.nothing


def few_arguments(x):
    return x


def wrong_gradient(x, mode):
    y = x.movedim(mode, 0).reshape(x.shape[mode], -1)
    return 2 * y - y.detach()


def left_learning(x, mode):
    return x.requires_grad_().movedim(mode, 0).reshape(x.shape[mode], -1)


def empty(x, mode):
    return torch.zeros_like(x.movedim(mode, 0).reshape(x.shape[mode], -1))


@pytest.mark.parametrize(
    "answer, words",
    [
        (..., "`unfold` is not written yet"),
        (None, "`unfold` is not written yet"),
        (torch.ones(3), "`unfold` must be a function, it is a tensor of shape (3,)"),
        (not_written, "`unfold` is not written yet"),
        (no_return, "expected a tensor of shape (3, 8), got None\n\n  Is there a `return`"),
        (in_numpy, "expected a tensor of shape (3, 8), got a numpy.ndarray\n\n  Stay in torch"),
        (other_shape, "result: has shape (2, 3, 4), expected (3, 8)\n\n  The number of entries is"),
        (other_dtype, "has dtype torch.float32, expected torch.float64\n\n  Keep the dtype"),
        (flipped, "right numbers, in the wrong places"),
        (doubled, "Your result is 2 times the expected one."),
        (empty, "Every entry of your result is 0."),
        (in_place, "changes its arguments in place"),
        (left_learning, "changes its arguments in place"),
        (
            broken,
            "'Tensor' object has no attribute 'nothing'\n        in broken, line ",
        ),
        (few_arguments, "raises TypeError: few_arguments() takes 1 positional argument but 2 were"),
        (wrong_gradient, "the gradient of `x`: expected"),
    ],
)
def test_every_layer_has_its_words(answer, words):
    assert words in story("unfold", answer)


def test_right_lines_come_before_the_wrong_one():
    text = story("unfold", lambda x, mode: x.transpose(0, mode).reshape(x.shape[mode], -1))
    lines = [line.split()[0] for line in text.split("\n")[1:] if line[2:4] in ("ok", "no")]
    assert lines == ["ok", "ok", "ok", "no"]
    assert "You exchanged mode 0 with the mode that you unfold." in text


def test_passing_says_one_line(capsys):
    check("unfold", EXERCISES["unfold"].oracle)
    assert capsys.readouterr().out == "unfold   ok: 13 cases, values and gradients   1/1\n"


@pytest.mark.parametrize("name", ["unfold", "mode_dot", "outer"])
def test_trlkits_own_function_is_no_answer_under_any_name(name):
    library = EXERCISES[name].piece

    def hidden_behind_another(*args):
        return library(*args)

    for answer in (library, hidden_behind_another):
        assert "calls a library's own function: write it yourself" in story(name, answer)


def trlkits_tucker(x, ranks):
    form = decompose(x, ranks, "tucker")
    return form.core, form.factors


def tensorlys_train(x, ranks):
    from tensorly.decomposition import tensor_train

    return [torch.as_tensor(core) for core in tensor_train(x.numpy(), list(ranks))]


@pytest.mark.parametrize(
    ("name", "answer"), [("hosvd", trlkits_tucker), ("tt_svd", tensorlys_train)]
)
def test_a_finished_decomposition_is_no_answer(name, answer):
    assert "calls a library's own function: write it yourself" in story(name, answer)


def test_a_mistake_is_named_where_the_answer_also_raises():
    def unfold(x, mode):
        return x.swapaxes(0, mode).flatten(1)  # raises for a vector

    assert "You exchanged mode 0 with the mode that you unfold." in story("unfold", unfold)


def test_what_torch_has_not_implemented_is_an_error_and_no_empty_answer():
    def moved_off_meta(x, mode):
        return torch.empty(2, 3, device="meta").cpu()

    text = story("unfold", moved_off_meta)
    assert "not written yet" not in text
    assert "raises NotImplementedError: Cannot copy out of meta tensor" in text


def test_an_error_names_the_functions_it_came_through():
    space = {}
    source = "def helper(x):\n    return x.nothing\ndef unfold(x, mode):\n    return helper(x)\n"
    linecache.cache["cell"] = (len(source), None, source.splitlines(True), "cell")
    exec(compile(source, "cell", "exec"), space)
    text = story("unfold", space["unfold"])
    assert "in unfold, line 4 of its cell: return helper(x)" in text
    assert "in helper, line 2 of its cell: return x.nothing" in text


def test_an_equation_that_is_none_is_told_what_it_must_be():
    assert "must return a str, got None" in story("mode_dot_equation", lambda order, mode: None)
    text = story("mode_dot_equation", lambda order, mode: "ab")
    assert 'returns "ab", which torch.einsum refuses:' in text


def test_equal_previews_are_not_shown():
    expected, got = torch.arange(40.0).reshape(2, 20), torch.arange(40.0).reshape(2, 20)
    got[1, 3] = 0
    text = difference(expected, got).text
    assert "[[" not in text and text.startswith("first at [1, 3]: expected 23, got 0")


def test_hidden_failure_shows_no_hidden_number():
    def right_on_shown_shapes(x, mode):
        y = x.movedim(mode, 0).reshape(x.shape[mode], -1)
        return y if 2 in x.shape or x.ndim < 3 else y.flip(1)

    text = story("unfold", right_on_shown_shapes, hidden=3)
    assert "right on the cases shown, not on hidden ones" in text
    assert "tensor" not in text and "[[" not in text


def test_a_learners_prints_are_shown_on_failure_only(capsys):
    def noisy(x, mode):
        print("here", mode)
        return x

    assert "Your code printed:\n  here 1" in story("unfold", noisy)
    assert "here" not in story("unfold", noisy, hidden=1)


OWN = """
def unfold(x, mode): return {unfold}
def fold(m, mode, shape): raise NotImplementedError
def mode_dot(x, matrix, mode):
    shape = list(x.shape)
    shape[mode] = len(matrix)
    return fold(matrix @ unfold(x, mode), mode, shape)
"""


@pytest.mark.parametrize("unfold", ["x.reshape(x.shape[mode], -1)", "1 / 0"])
def test_a_wrong_earlier_function_does_not_cost_a_later_exercise(unfold, capsys):
    space = {}
    exec(OWN.format(unfold=unfold), space)
    story("unfold", space["unfold"])
    check("mode_dot", space["mode_dot"])
    assert "(with the course's `fold` and `unfold`: yours has not passed in this session)" in (
        capsys.readouterr().out
    )


def test_an_earlier_function_that_passed_is_used_itself(capsys):
    space = {}
    exec(OWN.format(unfold="x.movedim(mode, 0).reshape(x.shape[mode], -1)"), space)
    check("unfold", space["unfold"])
    check("mode_dot", space["mode_dot"])
    assert "(with the course's `fold`: yours" in capsys.readouterr().out


def test_an_earlier_function_with_arguments_of_its_own_is_used_where_the_courses_fails():
    space = {}
    flat = "def unfold(x, mode, flat=True): return x.movedim(mode, 0).reshape(x.shape[mode], -1)\n"
    exec("import torch\n" + flat, space)
    call = "def mode_dot(x, matrix, mode):\n    y = matrix @ unfold(x, mode, flat={flat})\n"
    back = "    rest = [*x.shape[:mode], *x.shape[mode + 1:]]\n"
    back += "    return y.reshape(len(matrix), *rest).movedim(0, mode)\n"
    exec(call.format(flat=True) + back, space)
    check("mode_dot", space["mode_dot"])
    exec(call.format(flat=True) + back.replace("0, mode", "0, -1"), space)
    assert "The course's `unfold` stood in for yours" in story("mode_dot", space["mode_dot"])


def test_an_answer_that_uses_no_earlier_function_is_not_told_about_pieces(capsys):
    def mode_dot(x, matrix, mode):
        return torch.tensordot(x, matrix, dims=([mode], [1])).movedim(-1, mode)

    check("mode_dot", mode_dot)
    assert "course's" not in capsys.readouterr().out


def test_an_unknown_exercise_is_told_with_the_names():
    with pytest.raises(ValueError, match="no exercise is called 'unflod'; is it unfold"):
        check("unflod", len)


def test_a_failed_check_shows_its_report_and_no_traceback():
    with pytest.raises(CheckFailed) as caught:
        check("unfold", None)
    shown = "\n".join(caught.value._render_traceback_())
    assert "not written yet" in shown and "Traceback" not in shown


def test_quiz_names_the_wrong_letters_and_leaves_the_right_one_to_the_hash():
    assert 'must be one of "a", "b", "c", "d", got \'e\'' in story("quiz_order", "e")
    assert "must be one of" in story("quiz_order", ["c"])
    assert "is not answered yet" in story("quiz_order", ...)
    assert "4 is the size of the last mode" in story("quiz_order", "a")
    assert isinstance(EXERCISES["quiz_order"], Quiz)
    check("quiz_order", "c")


def test_hidden_sizes_differ_from_the_shown_and_keep_ones():
    shown, hidden = Draw().sizes(2, 3, 1), [Draw(seed).sizes(2, 3, 1) for seed in range(20)]
    assert shown == (2, 3, 1)
    assert all(sizes[2] == 1 and sizes[0] != sizes[1] for sizes in hidden)
    assert len(set(hidden)) > 5
    assert torch.equal(Draw().counting(2, 2), torch.tensor([[1, 2], [3, 4]], dtype=torch.float64))
    assert not torch.equal(Draw(1).counting(2, 2), Draw(2).counting(2, 2))


def test_a_check_that_any_answer_passes_is_not_possible_by_accident():
    exercise = Exercise("f", ("x",), lambda x: x, lambda draw: [Case((draw.normal(2),))])
    assert not exercise.judge(LocalAnswer(lambda x: x + 1e-3)).passed
    assert not exercise.judge(LocalAnswer(lambda x: x * float("nan"))).passed
    assert exercise.judge(LocalAnswer(lambda x: x + 1e-12)).passed


@pytest.mark.parametrize(
    "expected, got, layer",
    [
        (3, 3, None),
        (3, 4, "values"),
        (3, 3.0, "type"),
        (3, True, "type"),
        (0.5, 0.5 + 1e-9, None),
        (1.0, 1, None),
        (0.5, float("nan"), "values"),
        ((1, 2), [1, 2], None),
        ((1, 2), (1, 2, 3), "shape"),
        ((1, 2), (1, 3), "values"),
        ((1, 2), 1, "type"),
        ("a", "a", None),
        ("a", "b", "values"),
        (torch.ones(2), torch.ones(2) + 1e-6, None),
        (torch.ones(2), torch.tensor([1.0, float("nan")]), "values"),
        (torch.ones(2), torch.tensor([1.0, float("inf")]), "values"),
        (torch.ones(2), torch.ones(1, 2), "shape"),
        (torch.ones(2), torch.ones(2).double(), "dtype"),
        (torch.ones(2), 1.0, "type"),
        (1.0, torch.ones(()), "type"),
    ],
)
def test_difference_names_the_first_layer(expected, got, layer):
    found = difference(expected, got)
    assert (found and found.layer) == layer


def test_reveal_waits_for_a_prediction(capsys):
    for dots in ((..., 2), ((1, 2), (..., 4)), ..., None):
        reveal(dots, lambda: 1 / 0)
        assert "Predict first" in capsys.readouterr().out
    reveal(100_000_000, 102_764_544)
    assert "It is 102,764,544: well estimated." in capsys.readouterr().out
    reveal(10_000_000, 102_764_544)
    assert "It is 102,764,544. What made" in capsys.readouterr().out
    reveal("100 million", 102_764_544)
    assert capsys.readouterr().out.endswith("write it as a number, such as 1_000_000.\n")
    reveal((16, 7, 7), torch.zeros(16, 7, 7).shape)
    assert capsys.readouterr().out == "You predicted (16, 7, 7), and so it is.\n"
    reveal([7, 16, 7], lambda: torch.zeros(16, 7, 7).shape)
    assert "It is (16, 7, 7). What made the difference?" in capsys.readouterr().out


def test_a_verdict_speaks_for_itself_whatever_was_expected():
    wrong = Verdict("too large", "spreads 12 times as wide as it should")
    for expected in (Verdict("right"), torch.ones(2), {"spread": Verdict("right")}, 3):
        got = {"spread": wrong} if isinstance(expected, dict) else wrong
        found = difference(expected, got)
        assert (found.layer, found.text) == ("verdict", wrong.text)
    assert difference(Verdict("right"), Verdict("right", "as it should be")) is None
    assert difference(Verdict("right"), torch.ones(2)).layer == "type"


@pytest.mark.parametrize(
    "prediction, truth",
    [
        (10.0, 10),
        ("Rebuild", "rebuild"),
        (("By modes ", 3.0), ("by modes", 3)),
        ([2, 3], (2, 3)),
        (torch.tensor([30, 15]), (30, 15)),
        ("30, 15, 13", (30, 15, 13)),
        ("2,570", 2570),
        ("1.5", 1.5),
        ("True", True),
    ],
)
def test_a_prediction_is_right_whatever_its_capitals_and_points(prediction, truth, capsys):
    reveal(prediction, truth)
    assert "and so it is" in capsys.readouterr().out


@pytest.mark.parametrize(
    "prediction, truth, near",
    [
        ((0.06, 0.19), (0.0625, 0.1875), True),
        ((0.06, 0.29), (0.0625, 0.1875), False),
        (1.46, 1.5, True),
        (64, 63, False),
        ((110_000, "up"), (107_000, "up"), True),
        (1, True, False),
    ],
)
def test_an_estimate_is_near_or_not(prediction, truth, near, capsys):
    reveal(prediction, truth)
    assert ("well estimated" in capsys.readouterr().out) == near


def test_a_rounding_size_difference_is_called_nearly_right():
    expected = torch.tensor([1.0, -2.0], dtype=torch.float64)
    found = difference(expected, expected * (1 + 1e-6))
    assert found.hint.startswith("Nearly right")
    assert difference(expected, expected.flip(0)).hint.startswith("These are the right numbers")
    assert difference(expected[0], 3 * expected[0]).hint == ""


def test_what_an_earlier_answer_calls_is_replaced_too():
    assert set(used("kron_dot")) >= {"unfold", "fold", "mode_dot", "multi_mode_dot"}
    for name, exercise in EXERCISES.items():
        assert set(exercise.uses) <= set(used(name)) and name not in used(name)


def test_an_oracle_that_fails_is_told_to_its_author():
    def nothing(x):
        raise TypeError("no shape")

    exercise = Exercise("double", ("x",), nothing, lambda draw: [Case((draw.normal(2),))])
    with pytest.raises(RuntimeError, match="the oracle of double fails: raises TypeError: no sha"):
        exercise.judge(LocalAnswer(lambda x: 2 * x))


def test_a_search_through_all_orders_comes_to_an_end(monkeypatch):
    def best_order(input_shape, rank):
        orders = itertools.permutations(range(len(rank)))
        return min(orders, key=lambda order: ch05.projection_flops(input_shape, rank, order))

    monkeypatch.setattr(ch05, "PATIENCE", 0.5)
    assert "no order of 12 modes after 0.5 seconds" in story("best_order", best_order)


@pytest.mark.parametrize("asked", ["value", "shape", "error", "gradient"])
def test_the_line_that_fails_says_what_is_special_about_its_case(asked):
    def answer(x):
        if len(x) < 3:
            return 2 * x
        if asked == "error":
            raise KeyError("three")
        return {"value": 3 * x, "shape": 2 * x[:2], "gradient": 2 * x.detach()}[asked]

    cases = [Case((torch.ones(2),)), Case((torch.ones(3),), "three entries")]
    exercise = Exercise("twice", ("x",), lambda x: 2 * x, lambda draw: cases)
    lines = exercise.judge(LocalAnswer(answer)).lines
    assert not any("three entries" in text for _, text in lines[:1])
    assert any("three entries" in text for _, text in lines[1:])
    assert lines[-1][0] == "no"


def test_a_case_that_several_seeds_draw_is_computed_once_and_equal_is_not_the_same():
    asked = []

    def oracle(value):
        asked.append(value)
        return str(value)

    def cases(draw):
        yield Case((draw.choice(0, (1, True, 1.0)),))

    exercise = Exercise("told", ("value",), oracle, cases, gradients=False)
    for seed in range(40):
        assert exercise.judge(LocalAnswer(str), seed).passed
    assert sorted(map(repr, asked)) == ["1", "1.0", "True"]


def test_a_case_that_a_check_has_twice_is_called_twice():
    asked = []

    def counted(value):
        asked.append(value)
        return value

    exercise = Exercise(
        "told", ("value",), abs, lambda draw: [Case((1,)), Case((1,))], gradients=False
    )
    for calls in (2, 4):
        assert exercise.judge(LocalAnswer(counted)).passed
        assert len(asked) == calls
