"""Calling a learner's code: what comes back is plain, quiet and leaves nothing behind."""

import cProfile
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from trlkit import tensors
from trlkit.course.checking import networks
from trlkit.course.checking.answer import Bounded, Foreign, LocalAnswer, Recipe, Verdict, plain, run


class Liar:
    def __eq__(self, other):
        return True

    def __repr__(self):
        raise RuntimeError("no")


class NamedFloat(float):
    def __eq__(self, other):
        return True


def test_values_come_back_plain():
    x = torch.nn.Parameter(torch.ones(2))
    value = plain((x, [1, True, None, "a"], {"k": 2.5}, torch.Size([3])))
    assert type(value[0]) is torch.Tensor and not value[0].requires_grad
    assert value[1:] == ([1, True, None, "a"], {"k": 2.5}, (3,))


def test_objects_that_pretend_become_foreign():
    assert plain(Liar()) == Foreign(f"{__name__}.Liar", "<its repr raises RuntimeError>")
    assert plain(np.ones(1)).type == "numpy.ndarray"
    assert type(plain(NamedFloat(2.0))) is float


def test_the_copy_is_not_the_learners_tensor():
    x = torch.ones(2)
    assert plain(x).data_ptr() != x.data_ptr()


def test_prints_and_warnings_are_caught_and_bounded():
    def noisy(x):
        for _ in range(100_000):
            print("line")
        warnings.warn("careful", stacklevel=1)
        return x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = run(noisy, [torch.ones(2)])
    assert outcome.problem is None
    assert outcome.printed.startswith("line\nline\n") and len(outcome.printed) <= 2000


def test_bounded_counts_what_it_drops():
    text = Bounded(5)
    text.write("abc\n")
    text.write("def\n")
    assert (text.getvalue(), text.dropped, text.lines) == ("abc\nd", 3, 2)


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), NotImplementedError()])
def test_whatever_is_raised_comes_back_as_a_problem(error):
    def raises(x):
        raise error

    problem = run(raises, [torch.ones(1)]).problem
    assert (problem.type, problem.message) == (type(error).__name__, str(error))
    assert problem.where.startswith("in raises, line ")
    assert problem.where.endswith("of its cell: raise error")


def test_interrupting_a_check_interrupts_it():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupted, [])


def test_arguments_are_fresh_and_changes_are_noticed():
    def clears(x, others):
        x.zero_()
        return x

    x = torch.ones(2)
    outcome = run(clears, [x, [torch.ones(1)]])
    assert outcome.changed and torch.equal(x, torch.ones(2))
    assert run(lambda x, others: others.pop(), [x, [torch.ones(1)]]).changed
    assert not run(lambda x, others: x + 1, [x, [torch.ones(1)]]).changed
    assert run(lambda numbers: numbers.sort(), [[3, 1, 2]]).changed
    assert run(lambda numbers: numbers.pop("a"), [{"a": 1, "b": 2}]).changed
    assert run(lambda x: x.data.copy_(torch.zeros(2)), [torch.ones(2)], gradient=True).changed
    assert not run(sorted, [[3, 1, float("nan"), None, ("a", True)][:2]]).changed
    assert not run(len, [[float("nan"), None, ("a", True)]]).changed


@pytest.mark.parametrize(
    "leave, said",
    [
        (lambda: torch.set_grad_enabled(False), "use `with torch.no_grad():`"),
        (lambda: torch.set_default_dtype(torch.float64), "default dtype"),
    ],
)
def test_a_setting_of_torch_is_put_back_and_told(leave, said):
    outcome = run(leave, [])
    assert said in outcome.problem.message and torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert run(lambda: torch.no_grad()(lambda: torch.ones(1))(), []).problem is None


def test_gradients_come_for_every_floating_tensor_in_order():
    args = [torch.ones(2), [torch.full((2,), 3.0), torch.tensor([1, 2])]]
    outcome = run(lambda x, others: x * others[0], args, gradient=True)
    weights = torch.randn(2, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(outcome.gradients[0], 3 * weights)
    assert torch.allclose(outcome.gradients[1], weights)
    assert len(outcome.gradients) == 2


def test_a_cut_graph_gives_no_gradient():
    assert run(lambda x: x.detach() * 2, [torch.ones(2)], gradient=True).gradients == (None,)


def test_gradients_are_taken_where_a_learner_has_switched_them_off():
    with torch.no_grad():
        outcome = run(lambda x: 2 * x, [torch.ones(2)], gradient=True)
    assert outcome.gradients[0] is not None


def test_a_call_leaves_the_random_state_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    run(lambda: torch.manual_seed(1) and torch.rand(3), [])
    assert torch.equal(state, torch.get_rng_state())


def test_recipes_are_built_for_each_call():
    seen = []
    for _ in range(2):
        run(lambda model: seen.append(model), [Recipe(networks.small_cnn, (4, 3))])
    assert seen[0] is not seen[1] and seen[0][-1].out_features == 3


@pytest.mark.parametrize("answer, kind", [(None, "missing"), (..., "missing"), (3, "value"),
                                          (len, "callable")])  # fmt: skip
def test_kinds_of_answers(answer, kind):
    assert LocalAnswer(answer).kind == kind


def test_pieces_stand_in_for_a_learners_functions_during_a_call_only():
    space = {"torch": torch}
    exec("def unfold(x, mode): return 'wrong'\ndef mine(x): return unfold(x, 0)", space)
    wrong = space["unfold"]
    answer = LocalAnswer(space["mine"]).with_pieces(
        {"unfold": tensors.unfold, "fold": tensors.fold}
    )
    outcome = answer.call([torch.ones(2, 2)])
    assert outcome.value.shape == (2, 2) and outcome.pieces == {"unfold"}
    assert space["unfold"] is wrong and "fold" not in space
    assert answer.sees("unfold") is wrong and answer.sees("fold") is None


def test_a_variable_under_a_pieces_name_stays():
    space = {"unfold": 3}
    exec("def mine(): return unfold", space)
    assert LocalAnswer(space["mine"]).with_pieces({"unfold": tensors.unfold}).call([]).value == 3


def half_of(answer, x):
    return {"half": answer(x) / 2, "verdict": Verdict("right", "as it should be")}


def test_a_probe_runs_where_the_answer_runs():
    x = torch.tensor([2.0, 4.0])
    outcome = LocalAnswer(torch.exp).call([x], gradient=True, probe=half_of)
    assert torch.equal(outcome.value["half"], x.exp() / 2)
    assert outcome.value["verdict"] == Verdict("right", "told in other words")
    assert outcome.gradients[0] is not None


def test_a_class_is_an_answer_and_may_stand_in_for_a_learners():
    space = {"nn": nn}
    exec(
        "class Layer(nn.Module):\n    def forward(self, x): return x\n"
        "class Net(nn.Sequential):\n    def grown(self): return Layer()\n"
        "def mine(): return Layer()(1), isinstance(Layer(), Layer), Net().grown()(1)\n",
        space,
    )

    class Better(nn.Module):
        def __init__(self):
            super().__init__()

        def forward(self, x):
            return x + 1

    answer = LocalAnswer(space["mine"]).with_pieces({"Layer": Better})
    assert answer.kind == "callable" and LocalAnswer(space["Net"]).sees("Layer") is space["Layer"]
    outcome = answer.call([])
    assert outcome.value == (2, True, 2) and outcome.pieces == {"Layer"}


def test_a_subclass_of_what_it_is_meant_to_be_is_noticed():
    class Mine(nn.Linear):
        pass

    watching = LocalAnswer(Mine).watching(nn.Linear)
    assert watching.call([2, 3]).borrowed
    assert not LocalAnswer(nn.Identity).watching(nn.Linear).call([]).borrowed


@pytest.mark.parametrize("watched", [False, True])
def test_a_profiler_works_on_after_a_call(watched):
    answer = LocalAnswer(tensors.unfold)
    answer = answer.watching(tensors.fold) if watched else answer
    profile = cProfile.Profile()
    profile.enable()
    try:
        before = sys.getprofile()
        outcome = answer.call([torch.ones(2, 3), 1])
        assert sys.getprofile() is before
    finally:
        profile.disable()
    assert outcome.problem is None and not outcome.borrowed
