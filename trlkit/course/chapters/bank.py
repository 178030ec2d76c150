"""The usual wrong answers, a file a chapter: cells as a learner would write them.

A cell is marked ``# %% mistake="exercise" name="short name"``; its first comment
lines are what the learner is told, the rest is the code.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

MARKER = re.compile(r'^# %% (?P<kind>\w+)="(?P<exercise>\w+)" name="(?P<name>[^"]+)"$')


@dataclass(frozen=True)
class Mistake:
    """A usual wrong answer: the code a learner would write, and what to tell them."""

    exercise: str
    name: str
    message: str
    source: str

    def make(self, pieces: Mapping[str, Callable]) -> Any:
        """Run the code beside the course's pieces; return what it defines for the exercise."""
        space: dict[str, Any] = dict(pieces)
        exec("import math\nimport torch\nfrom torch import nn\n", space)
        exec(compile(self.source, f"<mistake {self.name}>", "exec"), space)
        return space[self.exercise]


def mistakes(exercise: str) -> list[Mistake]:
    """The known mistakes of one exercise, in the order of their file."""
    return [mistake for mistake in all_mistakes() if mistake.exercise == exercise]


@cache
def all_mistakes() -> tuple[Mistake, ...]:
    """Every known mistake, chapter by chapter."""
    files = sorted(Path(__file__).parent.glob("ch*/answers.py"))
    return tuple(mistake for file in files for mistake in read_answers(file, "mistake"))


def read_answers(file: Path, kind: str) -> list[Mistake]:
    """The cells of one file, all marked with ``kind``; a ValueError names one that is not."""
    text = file.read_text(encoding="utf-8")
    start = text.find("# %%")
    cells = re.split(r"^(?=# %%)", text[start:], flags=re.MULTILINE)[1:] if start >= 0 else []
    return [_read(cell, kind, file.name) for cell in cells]


def _read(cell: str, kind: str, file: str) -> Mistake:
    head, _, body = cell.partition("\n")
    marker = MARKER.match(head)
    if marker is None or marker["kind"] != kind:
        raise ValueError(f'{file}: a cell starts with "# %% {kind}=... name=...", got {head!r}')
    lines = body.strip().split("\n")
    count = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    message = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:count])
    source = "\n".join(lines[count:]).strip()
    if not message or not source:
        raise ValueError(f"{file}: {head!r} needs a message in comments and then code")
    return Mistake(marker["exercise"], marker["name"], message, source)
