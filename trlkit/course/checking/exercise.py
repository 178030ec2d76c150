"""Exercises: what is asked, on which inputs, and how an answer is judged."""

import functools
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from trlkit.course.checking.answer import (
    Answer,
    LocalAnswer,
    Outcome,
    Problem,
    Recipe,
    Remembered,
    unjudged,
)
from trlkit.course.checking.compare import agrees, describe, difference
from trlkit.course.checking.mistake import Mistake
from trlkit.course.checking.report import Report

Bank = Callable[[], Iterable[tuple[Mistake, Answer]]]  # known mistakes, each ready to be called


@dataclass(frozen=True)
class Case:
    """One call of the answer: plain arguments (and recipes), and what is special about them.

    A ``confined`` case is tried only where the answer runs within limits of its own.
    """

    args: tuple
    note: str = ""
    confined: bool = False


class Draw:
    """The source of a check's inputs.

    Without a seed the sizes are those that the check names and the first tensors
    count 1, 2, 3, ..., so that a learner can follow them by hand. With a seed, sizes
    and numbers are drawn at random: those are the hidden cases.
    """

    def __init__(self, seed: int | None = None):
        self.hidden = seed is not None
        self._random = random.Random(seed)
        self._torch = torch.Generator().manual_seed(seed or 0)

    def sizes(self, *shown: int) -> tuple[int, ...]:
        """The sizes ``shown``; hidden, as many other ones, all different; a 1 stays a 1."""
        if not self.hidden:
            return shown
        others = self._random.sample(range(2, 4 + len(shown)), len(shown))
        return tuple(1 if size == 1 else other for size, other in zip(shown, others, strict=True))

    def counting(self, *shape: int) -> Tensor:
        """A float64 tensor 1, 2, 3, ...; hidden, a random one."""
        if self.hidden:
            return self.normal(*shape)
        return torch.arange(1.0, 1 + torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)

    def normal(self, *shape: int) -> Tensor:
        """A float64 tensor of independent normal entries."""
        return torch.randn(*shape, generator=self._torch, dtype=torch.float64)

    def order(self, count: int) -> list[int]:
        """The numbers below ``count``, counted up; hidden, shuffled."""
        numbers = range(count)
        return self._random.sample(numbers, count) if self.hidden else list(numbers)

    def choice(self, shown: Any, others: Iterable[Any]) -> Any:
        """The value ``shown``; hidden, one of ``others``."""
        return self._random.choice(list(others)) if self.hidden else shown


@dataclass(frozen=True)
class Exercise:
    """A function or a class that a learner writes.

    Parameters
    ----------
    name : str
        The exercise, and the answer's name in the notebook.
    signature : tuple of str
        The names of its arguments, for the messages.
    oracle : callable
        The answer, written to be obviously right.
    cases : callable
        Takes a :class:`Draw`, yields a :class:`Case` for each call.
    piece : callable, optional
        What later exercises use in place of a learner's own function; by default the oracle.
    uses : tuple of str
        Earlier exercises whose functions an answer may call.
    gradients : bool
        Whether the answer must let gradients through.
    probe : callable, optional
        A function of its module that is called where the answer runs, as
        ``probe(answer, *args)``, in place of the answer itself; it puts a class or a long
        computation to the test and returns plain values or a verdict, or both in a dict
        whose keys are words.
    judged : callable, optional
        Turns the value that came (or is expected) into what is compared, where different
        values are equally right: ``judged(value, args)`` returns what both have in common,
        or a :class:`~trlkit.course.checking.answer.Verdict`; a ValueError says why a value is none.
    picture : bool
        Whether a failing check draws the target beside the answer.
    by_hand : bool
        Whether an answer must do without finished decompositions, of trlkit or of tensorly.
    """

    name: str
    signature: tuple[str, ...]
    oracle: Callable
    cases: Callable[[Draw], Iterable[Case]]
    piece: Callable = None
    uses: tuple[str, ...] = ()
    gradients: bool = True
    probe: Callable | None = None
    judged: Callable[[Any, tuple], Any] = None
    picture: bool = False
    by_hand: bool = False

    def __post_init__(self):
        if isinstance(self.signature, str):
            raise TypeError(f"{self.name}: the signature is a tuple: ({self.signature!r},)")
        object.__setattr__(self, "piece", self.piece or self.oracle)

    def judge(self, answer: Answer, seed: int | None = None, bank: Bank = tuple) -> Report:
        """Try the answer on every case until one fails; say what came of it.

        ``bank`` gives the known mistakes, asked for where the answer fails only.
        """
        report = Report(self.name)
        if answer.kind == "missing":
            return report.no(f"`{self.name}` is not written yet")
        if answer.kind == "value":
            what = "class" if isinstance(self.oracle, type) else "function"
            text = f"`{self.name}` must be a {what}, it is {describe(answer.value)}"
            return report.no(text, f"Is a variable called `{self.name}` hiding your {what}?")
        confined = getattr(answer, "confined", False)
        cases = [case for case in _cases(self, seed) if confined or not case.confined]
        answer = Remembered(answer)
        pieces: set[str] = set()
        for case in cases:
            expected, got = self._both(answer, case)
            pieces |= got.pieces
            if not self._accepts(report, case, expected, got):
                break
            if self.gradients:
                expected, got = self._both(answer, case, gradient=True)
                if not self._passes_gradients(report, case, expected, got):
                    break
        else:
            kinds = "values and gradients" if self.gradients else "values"
            count = f"{'hidden ' * (seed is not None)}case{'s' * (len(cases) != 1)}"
            report.right(f"{len(cases)} {count}, {kinds}")
        if report.passed:
            if pieces:
                names = " and ".join(f"`{name}`" for name in sorted(pieces))
                report.advice.append(
                    f"(with the course's {names}: yours has not passed in this session)"
                )
            return report
        if got.problem and pieces:
            report.pieces = tuple(sorted(pieces))
            names = " and ".join(f"`{name}`" for name in report.pieces)
            report.advice.append(f"The course's {names} stood in for yours, not yet checked.")
        mistake = self.recognize(answer, seed, bank())
        if mistake:
            report.mistake = mistake.name
            report.advice[:] = [mistake.message]
        if got.printed and seed is None:
            report.advice.append("\nYour code printed:\n" + got.printed.rstrip())
        return report

    def recognize(
        self, answer: Answer, seed: int | None, known: Iterable[tuple[Mistake, Answer]]
    ) -> Mistake | None:
        """The known mistake that gives what ``answer`` gives.

        Where the answer raises, anything may stand beside it as long as its wrong values
        are those of the mistake; where it has no wrong value, both must be right and raise
        in the same cases, with the same kind of error.
        """
        cases = [case for case in _cases(self, seed) if not case.confined]
        calls = [(c, gradient) for c in cases for gradient in (False, True)[: 1 + self.gradients]]
        if all(self._call(answer, *call).problem for call in calls):
            return None  # before a mistake is called, which may take long
        left, wrong_values = [(mistake, wrong, True) for mistake, wrong in known], False
        for case, gradient in calls:
            if not left:  # no call more of an answer that is like none of them
                return None
            expected, got = self._both(answer, case, gradient)
            wrong_values |= expected is not None and not _same(expected, got)
            alike = (
                (mistake, wrong, so_far, _same(got, self._call(wrong, case, gradient)))
                for mistake, wrong, so_far in left
            )
            left = [
                (mistake, wrong, so_far and same)
                for mistake, wrong, so_far, same in alike
                if same or got.problem
            ]
        return next((mistake for mistake, _, same in left if same or wrong_values), None)

    def _accepts(self, report: Report, case: Case, expected: Outcome | None, got: Outcome) -> bool:
        call, note, problem = self._written(case), _noted(case), got.problem
        if problem and problem.type == "NotImplementedError" and not problem.message:
            report.no(f"`{self.name}` is not written yet")
        elif got.borrowed:
            text = f"`{self.name}` calls a library's own function: write it yourself"
            report.no(text, "From the next chapters on you may use trlkit's.")
        elif got.problem:
            report.no(f"{call}{note}\n{_raises(got)}")
        elif got.changed:
            text = "Work on a copy, or use operations that make a new tensor."
            report.no(f"{call}{note}\nchanges its arguments in place", text)
        else:
            found = difference(expected.value, got.value)
            if found is None:
                report.ok(f"{call}{note}")
                return True
            if found.layer == "values":
                if self.probe is None:
                    kind = _kind(got.value)
                    text = f"takes {call}" if self.judged else f"{call} returns {kind}"
                    report.ok(f"{text}{note}")
                    report.no(f"values differ: {found.text}", found.hint)
                else:
                    report.ok(f"takes {call}{note}")
                    report.no(found.text, found.hint)
                if self.picture:
                    report.picture = (expected.value, got.value)
            else:
                report.ok(f"takes {call}{note}")
                bare = self.probe is not None or found.layer == "verdict"
                report.no(found.text if bare else f"result: {found.text}", found.hint)
        return False

    def _passes_gradients(
        self, report: Report, case: Case, expected: Outcome | None, got: Outcome
    ) -> bool:
        call = self._written(case) + _noted(case)
        if got.problem:
            report.no(f"{call}, with inputs that require gradients\n{_raises(got)}")
            return False
        names = self._differentiable(case)
        for name, want, have in zip(names, expected.gradients, got.gradients, strict=True):
            if want is not None and have is None:
                report.no(
                    f"{call}\nno gradient reaches `{name}`",
                    "Something cuts the graph: `.detach()`, `torch.no_grad()`, `.data`, `.item()`, "
                    "numpy, a new tensor made from numbers with torch.tensor(...), "
                    "a derivative without create_graph=True; or the result was kept from an "
                    "earlier call.",
                )
                return False
            found = difference(want, have) if want is not None else None
            if found:
                report.no(f"{call}\nthe gradient of `{name}`: {found.text}")
                return False
        return True

    def _differentiable(self, case: Case) -> list[str]:
        """The names of the floating tensors among the arguments, in order."""
        names = []
        for name, arg in zip(self.signature, case.args, strict=True):
            if isinstance(arg, Tensor):
                names += [name] * arg.is_floating_point()
            elif isinstance(arg, tuple | list):
                names += [
                    f"{name}[{position}]"
                    for position, item in enumerate(arg)
                    if isinstance(item, Tensor) and item.is_floating_point()
                ]
        return names

    def _both(
        self, answer: Answer, case: Case, gradient: bool = False
    ) -> tuple[Outcome | None, Outcome]:
        """The expected outcome, unless the answer has a problem, and the one of the answer."""
        got = self._call(answer, case, gradient)
        if got.problem:
            return None, got
        expected = self._call(_oracle(self), case, gradient)
        if expected.problem:
            raise RuntimeError(f"the oracle of {self.name} fails: {_raises(expected)}")
        return expected, got

    def _call(self, answer: Answer, case: Case, gradient: bool) -> Outcome:
        outcome = answer.call(case.args, gradient, self.probe)
        if self.probe is None:
            outcome = replace(outcome, value=unjudged(outcome.value))
        if self.judged is None or outcome.problem:
            return outcome
        try:
            return replace(outcome, value=self.judged(outcome.value, case.args))
        except ValueError as refused:
            return replace(outcome, problem=Problem("", str(refused)))

    def _written(self, case: Case) -> str:
        """The call as a learner would write it, tensors told by their shapes."""
        parts = (
            f"{name} {_shape(arg)}" if _holds_tensors(arg) else f"{name}={_plain(arg)}"
            for name, arg in zip(self.signature, case.args, strict=True)
        )
        return f"{self.name}({', '.join(parts)})"


@dataclass(frozen=True)
class Quiz:
    """A question whose answer is one letter. Which one is right is not known here.

    Every wrong letter is a known mistake with its own message; the right one is
    judged by the hashed test in the same notebook cell.
    """

    name: str
    letters: str
    uses: tuple[str, ...] = field(default=(), init=False)

    def judge(self, answer: Answer, seed: int | None = None, bank: Bank = tuple) -> Report:
        report = Report(self.name)
        if answer.kind == "missing":
            return report.no(f"`{self.name}` is not answered yet")
        choices = ", ".join(f'"{letter}"' for letter in self.letters)
        given = answer.value
        if isinstance(given, str):
            given = str.lower(str.strip(given))
        if not isinstance(given, str) or given not in list(self.letters):
            return report.no(f"`{self.name}` must be one of {choices}, got {describe(given)}")
        for mistake, wrong in bank():
            if wrong.value == given:
                report.mistake = mistake.name
                return report.no(f'"{given}" is not the answer', mistake.message)
        return report.right(f'"{given}"')


@functools.lru_cache(maxsize=256)
def _cases(exercise: Exercise, seed: int | None) -> tuple[Case, ...]:
    times: Counter[str] = Counter()
    cases = [replace(c, args=_known(c.args, times)) for c in exercise.cases(Draw(seed))]
    if seed is not None:  # no answer is to know them by their order
        random.Random(seed).shuffle(cases)
    return tuple(cases)


_KNOWN: dict[tuple[str, int], tuple] = {}


def _known(args: tuple, times: Counter[str]) -> tuple:
    """The same object for the same plain arguments, by which what was computed is found again.

    Where one check has a case twice, the second is a call of its own.
    """
    if not _is_plain(args):
        return args
    text = repr(args)  # 1, 1.0 and True are equal, and not the same
    times[text] += 1
    while len(_KNOWN) >= 2**14:
        _KNOWN.pop(next(iter(_KNOWN)))
    return _KNOWN.setdefault((text, times[text]), args)


def _is_plain(value: Any) -> bool:
    if isinstance(value, Recipe):
        return _is_plain(value.args)
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


@functools.cache
def _oracle(exercise: Exercise) -> Remembered:
    return Remembered(LocalAnswer(exercise.oracle))


def _noted(case: Case) -> str:
    """What is special about a case, to stand behind its call."""
    return case.note and f": {case.note}"


def _same(one: Outcome, other: Outcome) -> bool:
    if one.problem or other.problem:
        return bool(one.problem and other.problem) and one.problem.type == other.problem.type
    return agrees(
        (one.value, one.gradients, one.changed), (other.value, other.gradients, other.changed)
    )


def _raises(outcome: Outcome) -> str:
    problem = outcome.problem
    raised = f"raises {problem.type}: {problem.message}" if problem.type else problem.message
    return raised + (problem.where and f"\n{problem.where}")


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Tensor) or (
        isinstance(value, tuple | list) and any(isinstance(item, Tensor) for item in value)
    )


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    return "[" + ", ".join(_shape(item) for item in value) + "]"


def _plain(value: Any) -> str:
    if isinstance(value, Recipe):
        return value.builder.__name__ + (str(value.args) if value.args else "")
    return repr(value)


def _kind(value: Any) -> str:
    article = "an" if isinstance(value, int) else "a"
    return describe(value) if _holds_tensors(value) else f"{article} {type(value).__name__}"
