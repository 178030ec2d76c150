"""Where a learner's code runs, and what comes back of it.

A check hands arguments to an :class:`Answer` and gets an :class:`Outcome`: plain
values, never the learner's objects. So a check does not know whether the code ran
in this process or in another one.
"""

import contextlib
import copy
import functools
import inspect
import io
import linecache
import os
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import CodeType
from typing import Any, Protocol

import torch
from torch import Tensor

PRINTED = 2000  # characters of a learner's prints that an outcome keeps
REMEMBERED = 64  # outcomes that are kept of an answer that never changes
SETTINGS = (  # of torch, for a whole process, and what is said of code that leaves one changed
    (
        torch.is_grad_enabled,
        "leaves gradients switched off for all that runs after it: use `with torch.no_grad():`",
    ),
    (
        torch.get_default_dtype,
        "changes torch's default dtype for everything that runs after it: give tensors their own",
    ),
)
FINISHED = (  # files whose functions decompose a tensor for whoever calls them
    f"{os.sep}tensorly{os.sep}",
    os.path.join("trlkit", "weights", "decomposition.py"),
)
LIBRARIES = (  # files that are not the learner's
    str(Path(__file__).parents[2]),
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    "<frozen",
)


@dataclass(frozen=True)
class Recipe:
    """An argument that is no plain value: built, fresh for each call, where the answer runs.

    Parameters
    ----------
    builder : callable
        A function of a module of trlkit, which another process can import too.
    args : tuple
        Its plain arguments.
    lent : bool
        Built where the check runs, and lent: each use of it is seen by the check.
    """

    builder: Callable
    args: tuple = ()
    lent: bool = False

    def build(self) -> Any:
        return self.builder(*self.args)


@dataclass(frozen=True)
class Foreign:
    """A returned object that is no plain value, told by its type and its text."""

    type: str
    text: str


# Kinds of tensors that a chapter's networks make, by name: they stay what they are in answers.
MARKED: dict[str, type[Tensor]] = {}


class Lost(BaseException):
    """The process in which an answer runs is gone, or no longer keeps to the rules."""


class Elsewhere:
    """Stands here for an object of another process: its type and its text."""

    def __init__(self, type: str, text: str):
        self.type, self.text = type, text


@dataclass(frozen=True)
class Verdict:
    """What is said of a value for which no single right one exists, such as a trained layer.

    ``kind`` is short and the same for all that went wrong in the same way ("right" for a
    right one); ``text``, which no comparison looks at, tells the learner what came and what
    was expected.
    """

    kind: str
    text: str = field(default="", compare=False)


RIGHT = Verdict("right")


@dataclass(frozen=True)
class Problem:
    """An exception in a learner's code."""

    type: str
    message: str
    where: str = ""


@dataclass(frozen=True)
class Outcome:
    """What one call of a learner's code gave.

    ``gradients`` has one entry for each floating tensor among the arguments, in
    order, None where no gradient arrived; it is None where none was asked for.
    ``changed`` tells whether the call altered its arguments, ``pieces`` which of the
    course's pieces it used in place of the learner's own functions, ``borrowed`` whether
    it called the function of trlkit that it is meant to be.
    """

    value: Any = None
    gradients: tuple[Tensor | None, ...] | None = None
    problem: Problem | None = None
    printed: str = ""
    changed: bool = False
    pieces: frozenset[str] = frozenset()
    borrowed: bool = False


class Answer(Protocol):
    """A learner's answer to one exercise, wherever it runs."""

    kind: str  # "missing", "callable" or "value"
    value: Any  # the plain value of an answer that is no callable

    def call(
        self, args: Sequence[Any], gradient: bool = False, probe: Callable | None = None
    ) -> Outcome:
        """Call the answer on fresh copies of plain arguments (and recipes).

        A ``probe``, a function of a module of trlkit, is called where the answer runs,
        with the answer before the arguments, and what it returns is the outcome.
        """

    def with_pieces(self, pieces: Mapping[str, Callable]) -> "Answer":
        """The same answer, with these in place of the learner's functions of their names."""

    def watching(self, function: Callable) -> "Answer":
        """The same answer, watched for calls of a function that it is meant to be."""


@dataclass(frozen=True)
class LocalAnswer:
    """An answer that runs here, in the learner's own kernel."""

    answer: Any
    pieces: dict[str, Callable] = field(default_factory=dict)
    watched: CodeType | None = None

    @property
    def kind(self) -> str:
        if self.answer is None or self.answer is Ellipsis:
            return "missing"
        return "callable" if callable(self.answer) else "value"

    @property
    def value(self) -> Any:
        return plain(self.answer)

    def call(
        self, args: Sequence[Any], gradient: bool = False, probe: Callable | None = None
    ) -> Outcome:
        function = functools.partial(probe, self.answer) if probe else self.answer
        with (
            _replaced(_globals(self.answer), self.pieces) as used,
            _watched(self.watched) as borrowed,
        ):
            outcome = run(function, args, gradient)
        return replace(outcome, pieces=frozenset(used), borrowed=bool(borrowed))

    def with_pieces(self, pieces: Mapping[str, Callable]) -> "LocalAnswer":
        space = _globals(self.answer)
        replaceable = [name for name in pieces if name not in space or callable(space[name])]
        return replace(self, pieces={name: pieces[name] for name in replaceable})

    def watching(self, function: Callable) -> "LocalAnswer":
        code = getattr(function, "__code__", None) or function.__init__.__code__
        return replace(self, watched=code)

    def sees(self, name: str) -> Any:
        """What ``name`` stands for in the learner's code, None where it is nothing."""
        return _globals(self.answer).get(name)


class Remembered:
    """An answer that is always the same, such as an oracle: calls of it are made once.

    Arguments are known by their identity, so they must be kept and not changed by who calls;
    so many outcomes are held that a check, which tries an answer twice, finds them again.
    """

    def __init__(self, answer: "Answer"):
        self.answer = answer
        self._kept: dict[tuple, tuple[Sequence[Any], Outcome]] = {}

    @property
    def kind(self) -> str:
        return self.answer.kind

    @property
    def value(self) -> Any:
        return self.answer.value

    def call(
        self, args: Sequence[Any], gradient: bool = False, probe: Callable | None = None
    ) -> Outcome:
        key = id(args), gradient, probe
        if key not in self._kept:
            while len(self._kept) >= REMEMBERED:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = args, self.answer.call(args, gradient, probe)
        return self._kept[key][1]


def run(
    function: Callable,
    args: Sequence[Any],
    gradient: bool = False,
    build: Callable[[Recipe], Any] = Recipe.build,
) -> Outcome:
    """Call ``function`` on fresh copies of ``args``, recipes built, and describe what came.

    With ``gradient``, the result is multiplied by a fixed random tensor and summed,
    and the gradient of that sum is taken for every floating tensor in ``args``. A setting
    of torch that the function leaves changed for everybody is put back, and is a problem.
    """
    fresh = _fresh(args, gradient, build)
    given = tensors_in(fresh)
    leaves = [tensor for tensor in given if tensor.requires_grad]
    printed = Bounded(PRINTED)
    with contextlib.ExitStack() as quiet:
        quiet.enter_context(contextlib.redirect_stdout(printed))
        quiet.enter_context(contextlib.redirect_stderr(printed))
        quiet.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        quiet.enter_context(torch.random.fork_rng(devices=[]))
        quiet.enter_context(torch.set_grad_enabled(True))
        quiet.callback(torch.set_default_dtype, torch.get_default_dtype())
        found = [read() for read, _ in SETTINGS]
        try:
            result = function(*fresh)
            for (read, said), was in zip(SETTINGS, found, strict=True):
                if read() != was:
                    return Outcome(problem=Problem("", said), printed=printed.getvalue())
            value = plain(result)
            gradients = _gradients(result, leaves) if gradient else None
        except (KeyboardInterrupt, Lost):
            raise
        except BaseException as error:
            return Outcome(problem=_problem(error), printed=printed.getvalue())
    learning = [tensor for tensor in given if tensor.requires_grad]
    changed = not _equal(args, fresh) or len(learning) != len(leaves)
    return Outcome(value, gradients, None, printed.getvalue(), changed)


def plain(value: Any) -> Any:
    """A copy of ``value`` made of plain values alone; what is none becomes :class:`Foreign`."""
    if value is None or isinstance(value, bool):
        return value
    if type(value) is Verdict:
        return Verdict(str(value.kind), str(value.text))
    if isinstance(value, Elsewhere):
        return Foreign(value.type, value.text)
    if isinstance(value, Tensor):
        return value.detach().as_subclass(Tensor).clone()
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, tuple | list):
        items = [plain(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return Foreign(*described(value))


def described(value: Any) -> tuple[str, str]:
    """The name of a value's type, and the start of its text."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    try:
        text = repr(value)
    except Exception as error:
        text = f"<its repr raises {type(error).__name__}>"
    return str(name)[:200], str(text)[:PRINTED]


def unjudged(value: Any) -> Any:
    """A plain value whose verdicts are :class:`Foreign`: where no probe judges, none is ours."""
    if isinstance(value, Verdict):
        return Foreign("Verdict", repr(value)[:PRINTED])
    if isinstance(value, tuple | list):
        return type(value)(unjudged(item) for item in value)
    if isinstance(value, dict):
        return {unjudged(key): unjudged(item) for key, item in value.items()}
    return value


class Bounded(io.StringIO):
    """Text that keeps its first ``limit`` characters and counts the rest."""

    def __init__(self, limit: int):
        super().__init__()
        self.room, self.lines, self.dropped = limit, 0, 0

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        kept = super().write(text[: self.room]) if self.room else 0
        self.room -= kept
        self.dropped += len(text) - kept
        return len(text)


def _fresh(value: Any, gradient: bool, build: Callable[[Recipe], Any]) -> Any:
    if isinstance(value, Tensor):
        value = value.detach().clone()
        return value.requires_grad_() if gradient and value.is_floating_point() else value
    if isinstance(value, tuple | list):
        return type(value)([_fresh(item, gradient, build) for item in value])
    return build(value) if isinstance(value, Recipe) else copy.deepcopy(value)


def _equal(before: Any, after: Any) -> bool:
    """Whether an argument of plain values is what it was; what a recipe builds is not looked at."""
    if isinstance(before, Tensor):
        return before.dtype == after.dtype and torch.equal(before, after)
    if isinstance(before, tuple | list):
        return len(before) == len(after) and all(map(_equal, before, after))
    if isinstance(before, dict):
        return list(before) == list(after) and _equal([*before.values()], [*after.values()])
    return not isinstance(before, str | int | float) or before == after or before != before


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in a value of tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in tensors_in(item)]
    if isinstance(value, dict):
        return tensors_in(list(value.values()))
    return []


def _gradients(result: Any, leaves: list[Tensor]) -> tuple[Tensor | None, ...]:
    outputs = [tensor for tensor in tensors_in(result) if tensor.requires_grad]
    if not outputs or not leaves:
        return (None,) * len(leaves)
    generator = torch.Generator().manual_seed(0)
    weights = []
    for out in outputs:
        drawn = torch.randn(out.shape, generator=generator, dtype=torch.float32)
        # In half precision a sum depends on its order, but not one of whole numbers.
        weights.append((drawn.sign() if out.dtype.itemsize == 2 else drawn).to(out.dtype))
    grads = torch.autograd.grad(outputs, leaves, weights, allow_unused=True)
    return tuple(None if grad is None else grad.detach().clone() for grad in grads)


def _problem(error: BaseException) -> Problem:
    """The error, and the lines of the learner's own code on its way."""
    if hasattr(error, "where"):  # told by the process that raised it
        return Problem(type(error).__name__, str(error)[:PRINTED], error.where)
    places = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        text = linecache.getline(frame.f_code.co_filename, line).strip()
        if text and not frame.f_code.co_filename.startswith(LIBRARIES):
            places.append(f"in {frame.f_code.co_name}, line {line} of its cell: {text}")
    return Problem(type(error).__name__, str(error)[:PRINTED], "\n".join(places[-2:]))


def noting(name: str, piece: Callable, used: set[str]) -> Callable:
    """A piece that adds its name to a set when it is used."""
    if isinstance(piece, type):
        made = noting(name, piece.__init__, used)
        return type(piece.__name__, (piece,), {"__init__": made, "__doc__": piece.__doc__})

    @functools.wraps(piece)
    def noted(*args: Any, **kwargs: Any) -> Any:
        used.add(name)
        return piece(*args, **kwargs)

    return noted


def _globals(answer: Any) -> dict[str, Any]:
    answer = inspect.unwrap(answer) if callable(answer) else answer
    own = list(vars(answer).values()) if isinstance(answer, type) else []
    for code in (answer, getattr(answer, "func", None), *own):
        space = getattr(code, "__globals__", None)
        if space is not None:
            return space
    return {}


@contextlib.contextmanager
def _replaced(space: dict[str, Any], pieces: dict[str, Callable]) -> Iterator[set[str]]:
    """For the time of a call, put pieces under their names; yield the names of those called."""
    used: set[str] = set()
    own = {name: space[name] for name in pieces if name in space}
    space.update({name: noting(name, piece, used) for name, piece in pieces.items()})
    try:
        yield used
    finally:
        for name in pieces:
            del space[name]
        space.update(own)


@contextlib.contextmanager
def _watched(code: CodeType | None) -> Iterator[list[bool]]:
    """For the time of a call, note whether a function is called, under whatever name.

    What is already there to be called in its place, a finished decomposition, counts too.
    """
    called: list[bool] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and (
            frame.f_code is code or any(part in frame.f_code.co_filename for part in FINISHED)
        ):
            called.append(True)

    if code is None:
        yield called
        return
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield called
    finally:
        # A profiler written in C, cProfile's, can be put back by its own `enable` alone.
        getattr(before, "enable", lambda: sys.setprofile(before))()
