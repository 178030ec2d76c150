"""The classroom: what a notebook imports.

``check`` judges an answer at once; ``reveal`` shows a result once it was predicted; ``explore``
gives a picture knobs to turn; ``progress`` shows what is done and what comes next.
"""

import ast
import contextlib
import difflib
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from trlkit.course.chapters import manifest
from trlkit.course.checking.answer import LocalAnswer, plain
from trlkit.course.checking.compare import describe, difference
from trlkit.course.checking.report import CheckFailed, Report
from trlkit.course.checking.waiting import waiting

__all__ = ["CheckFailed", "check", "explore", "progress", "reveal"]

LISTENERS: list[Callable[[Report], None]] = []
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
PASSED: dict[str, Any] = {}  # the answers that have passed in this session, by exercise


def check(name: str, answer: Any, *, hidden: int | None = None) -> None:
    """Check the answer to an exercise and say what came of it.

    Parameters
    ----------
    name : str
        The exercise, as the notebook calls it. Where its answer calls the functions of
        earlier exercises, those that have not passed their own check are replaced by the
        course's, so that one mistake is not told twice.
    answer : object
        The learner's function, class or value.
    hidden : int, optional
        Judge on cases drawn with this seed, and show none of their numbers.

    Raises
    ------
    CheckFailed
        If the answer is not right yet; its text says what came, what was expected,
        and the usual mistake that the answer agrees with.
    ValueError
        If there is no such exercise.
    """
    with waiting(f"checking `{name}`") if _in_notebook() else contextlib.nullcontext():
        report = _judged(name, answer, hidden)
    for listener in LISTENERS:
        listener(report)
    PASSED.pop(name, None)
    if not report.passed:
        _draw(report)
        raise CheckFailed(report)
    PASSED[name] = answer
    if hidden is None:
        print(report.render(color=_in_notebook()))


def _judged(name: str, answer: Any, hidden: int | None) -> Report:
    """The report on an answer, with what it is worth."""
    from trlkit.course.chapters.exercises import EXERCISES, judge, used

    if name not in EXERCISES:
        near = difflib.get_close_matches(name, EXERCISES, 5, 0.4)
        raise ValueError(
            f"no exercise is called {name!r}"
            + (f"; is it {' or '.join(near)}?" if near else "")
            + " A new one needs a line in EXERCISES of its chapter's checks.py"
        )
    local = LocalAnswer(answer)
    proven = {use for use in PASSED if local.sees(use) is PASSED[use]}
    doubtful = [use for use in used(name) if use not in proven]
    report = judge(name, local, hidden, doubtful)
    report.points = manifest.points(name)
    return report if hidden is None else report.hide()


def reveal(prediction: Any, truth: Any, usual: Mapping[Any, str] | None = None) -> None:
    """Show what a prediction was about, once there is a prediction.

    Parameters
    ----------
    prediction : object
        What the learner wrote; ``...`` stands for "not yet".
    truth : object or callable
        The result, or a function that computes it. For a large number an estimate
        within a tenth of it counts as right, for a fraction one within a twentieth;
        for a word, its capitals don't matter. Numbers may come as a tensor or as text.
    usual : mapping, optional
        What to say of a usual wrong prediction.

    Examples
    --------
    >>> reveal((..., 7), (16, 7))
    Predict first: replace the dots in the cell above, run it, and run this cell again.
    >>> reveal((7, 16, 7), lambda: (16, 7, 7))
    You predicted (7, 16, 7). It is (16, 7, 7). What made the difference?
    >>> reveal(50_000, 53_610)
    You predicted 50,000. It is 53,610: well estimated.
    >>> reveal((0.06, 0.94), (0.0625, 0.9375))
    You predicted (0.06, 0.94). It is (0.0625, 0.9375): well estimated.
    >>> reveal("rank", "freedom", {"rank": "Longer profiles have more numbers."})
    You predicted 'rank'. It is 'freedom'. Longer profiles have more numbers.
    """
    if _dotted(prediction):
        print("Predict first: replace the dots in the cell above, run it, and run this cell again.")
        return
    prediction, truth = _read(prediction), plain(truth() if callable(truth) else truth)
    numbers = type(truth) is int and isinstance(prediction, int | float)
    said, shown = (f"{x:,}" if numbers else describe(x) for x in (prediction, truth))
    if difference(*map(_loosely, (truth, prediction))) is None:
        print(f"You predicted {said}, and so it is.")
    elif _near(prediction, truth):
        print(f"You predicted {said}. It is {shown}: well estimated.")
    elif type(truth) is int and not numbers:
        print(f"You predicted {said}: write it as a number, such as 1_000_000.")
    else:
        why = [
            text for wrong, text in (usual or {}).items() if _loosely(wrong) == _loosely(prediction)
        ]
        print(f"You predicted {said}. It is {shown}. {(*why, 'What made the difference?')[0]}")


def explore(name: str, **own: Any) -> Any:
    """Show a picture with knobs to turn: see :func:`trlkit.lab.explorables.explore`.

    Nothing is drawn where nobody looks: outside of a notebook, and where nbgrader runs it.
    """
    if not _in_notebook() or os.environ.get("NBGRADER_EXECUTION"):
        return None
    from trlkit.lab import explorables

    return explorables.explore(name, **own)


def progress() -> Any:
    """Show the course as a small map: chapters and exercises done, and what comes next.

    An exercise counts as done where its check has passed in this session, or where the saved
    notebook shows that it did. Nothing is run.
    """
    from trlkit.course.learner.way import way

    return way(PASSED)


def _read(prediction: Any) -> Any:
    """A prediction as plain values: those of a tensor, or those that a text spells."""
    if hasattr(prediction, "tolist"):
        return _read(prediction.tolist())
    if isinstance(prediction, tuple | list):
        return tuple(map(_read, prediction))
    if isinstance(prediction, str):
        with contextlib.suppress(ValueError, SyntaxError):
            return plain(ast.literal_eval(THOUSANDS.sub("", prediction.strip())))
    return plain(prediction)


def _near(prediction: Any, truth: Any) -> bool:
    """Whether large numbers are estimated to a tenth, and fractions to a twentieth."""
    if isinstance(truth, tuple | list):
        alike = isinstance(prediction, tuple) and len(prediction) == len(truth)
        return alike and all(map(_near, prediction, truth))
    if not {type(prediction), type(truth)} <= {int, float}:
        return type(prediction) is type(truth) and prediction == truth
    share = 0.05 if type(truth) is float else 0.1 if truth > 100 else 0
    return abs(prediction - truth) <= share * abs(truth)


def _loosely(value: Any) -> Any:
    """A prediction without what makes no difference: 10.0 for 10, capitals of words."""
    if isinstance(value, tuple | list):
        return tuple(map(_loosely, value))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.strip().lower() if isinstance(value, str) else value


def _dotted(prediction: Any) -> bool:
    """Whether dots are left in a prediction, at any depth."""
    if isinstance(prediction, tuple | list):
        return any(map(_dotted, prediction))
    return prediction is Ellipsis or prediction is None or str(prediction) == "..."


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def _draw(report: Report) -> None:
    """In a notebook, the target and the answer side by side."""
    if report.picture and _in_notebook():
        from IPython.display import display

        from trlkit.lab import plotting

        display(plotting.target_and_yours(*report.picture))
