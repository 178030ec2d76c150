"""An answer that runs in the sandbox, handled like one that runs here."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trlkit.course.checking.answer import Outcome, noting, plain, run
from trlkit.course.teacher.sandbox import Child


class RemoteAnswer:
    """A learner's answer in a child's notebook, by its name there.

    Whatever a probe does to it is asked of the child: a call, a backward pass, a state. The probe
    itself, what it draws, what it expects and what it concludes stay in this process.
    """

    confined = True

    def __init__(self, child: Child, name: str, pieces: Mapping[str, Callable] | None = None):
        self.child, self.name, self.pieces = child, name, dict(pieces or {})
        self.kind, found = child.begin(name, {})
        self._value = plain(found)

    @property
    def value(self) -> Any:
        return self._value

    def call(
        self, args: Sequence[Any], gradient: bool = False, probe: Callable | None = None
    ) -> Outcome:
        used: set[str] = set()
        pieces = {name: noting(name, piece, used) for name, piece in self.pieces.items()}
        _, function = self.child.begin(self.name, pieces)
        if probe:
            function = functools.partial(probe, function)
        try:
            outcome = run(function, args, gradient, self.child.make)
        finally:
            self.child.peer.restore()
        return replace(outcome, pieces=frozenset(used))

    def with_pieces(self, pieces: Mapping[str, Callable]) -> "RemoteAnswer":
        return RemoteAnswer(self.child, self.name, pieces) if pieces else self

    def watching(self, function: Callable) -> "RemoteAnswer":
        return self  # what it is meant to be is not there to be called
