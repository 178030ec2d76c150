"""Known answers, and how a bank file is read.

What such a file looks like is told in :mod:`trlkit.course.chapters.bank`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("right", "answer", "mistake", "wrong")
MARKER = re.compile(
    rf'# %% (?P<kind>{"|".join(KINDS)})="(?P<exercise>\w+)"(?: name="(?P<name>[^"]+)")?'
)
CHANGES = ("#-", "#+")


@dataclass(frozen=True)
class Mistake:
    """A known answer, mostly a usual wrong one: what a learner would write, what to tell them.

    Parameters
    ----------
    kind : str
        One of ``KINDS``: the right answer, another right answer, a usual mistake, or an
        answer that is nearly right.
    exercise, name : str
        The name is empty for the right answer.
    message : str
        What the learner is told of a mistake.
    source : str
        The whole code.
    """

    kind: str
    exercise: str
    name: str
    message: str
    source: str

    def make(self, pieces: Mapping[str, Callable]) -> Any:
        """Run the code beside the course's pieces; return what it defines for the exercise."""
        space: dict[str, Any] = dict(pieces)
        exec("import math\nimport torch\nfrom torch import nn\n", space)
        exec(compile(self.source, f"<{self.kind} {self.name}>", "exec"), space)
        return space[self.exercise]


def read_bank(file: Path) -> list[Mistake]:
    """The answers of one bank file; a ValueError names the file and the line of a bad cell."""
    text = file.read_text(encoding="utf-8")
    rights: dict[str, str] = {}
    answers = []
    line = 1
    for cell in re.split(r"^(?=# %%)", text, flags=re.MULTILINE):
        if cell.startswith("# %%"):
            try:
                answers.append(_read(cell, rights))
            except ValueError as error:
                raise ValueError(f"{file}:{line}: {error}") from None
        line += cell.count("\n")
    return answers


def change(text: str, old: str, new: str) -> str:
    """``text`` with the fragment ``old``, which it has exactly once, replaced by ``new``.

    Where whole lines are replaced by nothing, their line break goes too.
    """
    count = text.count(old)
    if count != 1:
        found = f"occurs {count} times" if count else "is absent"
        mend = "a longer fragment is unique" if count else "copy it with its spaces"
        raise ValueError(f"the fragment {old!r} {found} in the right answer; {mend}")
    if not new:
        before, after = (f"\n{text}\n").split(old)
        if before.endswith("\n") and after.startswith("\n"):
            return (before + after[1:])[1:-1]
    return text.replace(old, new)


def _read(cell: str, rights: dict[str, str]) -> Mistake:
    head, _, body = cell.partition("\n")
    marker = MARKER.fullmatch(head)
    if marker is None or (marker["kind"] == "right") != (marker["name"] is None):
        kinds = ", ".join(KINDS[1:])
        raise ValueError(
            f'a cell starts with "# %% right=..." or "# %% kind=... name=...", '
            f"a kind of {kinds}, got {head!r}"
        )
    kind, exercise, name = marker["kind"], marker["exercise"], marker["name"] or ""
    lines = body.strip("\n").split("\n")
    count = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    start = next((i for i in range(count) if lines[i].startswith(CHANGES)), count)
    message = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:start])
    hunks = _hunks(lines[start:count])
    source = "\n".join(lines[count:]).strip()
    if kind == "right":
        if message or hunks or not source or exercise in rights:
            raise ValueError(f"{head!r} is there once for an exercise, and holds code alone")
        rights[exercise] = source
    elif hunks:
        if source:
            raise ValueError(f"{head!r} has both a change and code: keep one of them")
        if exercise not in rights:
            raise ValueError(f'{head!r} is a change, but no cell right="{exercise}" is above it')
        source = rights[exercise]
        for old, new in hunks:
            source = change(source, old, new)
    elif any(line.startswith(CHANGES) for line in lines[count:]):
        raise ValueError(f"{head!r} has both a change and code: keep one of them")
    if kind != "right" and not (message and source):
        raise ValueError(f"{head!r} needs a message in comments and then a change or code")
    return Mistake(kind, exercise, name, message, source)


def _hunks(lines: list[str]) -> list[tuple[str, str]]:
    """The pairs of an old and a new fragment that the lines of a change stand for."""
    hunks: list[tuple[list[str], list[str]]] = []
    before = "#"
    for line in lines:
        sign, text = line[:2], line[2:].removeprefix(" ")
        if sign == "#-":
            if before != "#-":
                hunks.append(([], []))
            hunks[-1][0].append(text)
        elif sign == "#+" and before in CHANGES:
            hunks[-1][1].append(text)
        elif sign != "#":
            raise ValueError(
                f'"#-" lines are followed by "#+" lines, the message is above them; got {line!r}'
            )
        before = sign
    return [("\n".join(old), "\n".join(new)) for old, new in hunks]
