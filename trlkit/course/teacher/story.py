"""A check's message, taken apart: what was tried, what it means, where to look."""

import re
from dataclasses import dataclass, field

from trlkit.course.chapters import bank
from trlkit.course.teacher.markup import line, text

VERDICT = re.compile(r"  (ok|no) {4}(.*)")
LOOK = "Look at:"


@dataclass
class Story:
    """What :class:`trlkit.course.checking.report.Report` has written.

    ``tried`` are pairs of a verdict, "ok" or "no", and a text; ``says`` are paragraphs, each a
    pair of "prose" or "plain" (with its line breaks) and a text; ``look`` is where to look.
    """

    tried: list[tuple[str, str]] = field(default_factory=list)
    says: list[tuple[str, str]] = field(default_factory=list)
    look: str = ""


def read(message: str, exercise: str, mistake: str = "") -> Story:
    """Take a message apart; where it doesn't explain a known mistake, the bank does."""
    story = Story()
    rest: list[str] = []
    lines = text(message, 8000).split("\n")
    if lines[0].strip() == exercise:
        del lines[0]
    for row in lines:
        verdict = VERDICT.fullmatch(row)
        if verdict and not any(map(str.strip, rest)):
            story.tried.append((verdict[1], verdict[2]))
        elif story.tried and not rest and row.startswith(" " * 8):
            kind, said = story.tried[-1]
            story.tried[-1] = kind, f"{said}\n{row[8:]}"
        else:
            rest.append(row.removeprefix("  "))
    known = explanation(exercise, mistake)
    if known and LOOK not in "\n".join(rest):
        rest = [*rest, "", *known.split("\n")]
    for paragraph in _paragraphs(rest):
        if paragraph.startswith(LOOK):
            story.look = " ".join(paragraph.removeprefix(LOOK).split())
        else:
            aligned = re.search(r"\S {2,}\S|^ ", paragraph, re.MULTILINE)
            kind = "plain" if aligned else "prose"
            story.says.append((kind, paragraph if aligned else " ".join(paragraph.split())))
    return story


def explanation(exercise: str, mistake: str) -> str:
    """What the bank tells who made a known mistake; "" where it has none of that name."""
    known = (item.message for item in bank.mistakes(exercise) if item.name == mistake)
    return next(known, "")


def named(mistake: str) -> str:
    """A mistake's name as a reader meets it: a quiz's is its letter."""
    return f"the answer {mistake}" if len(mistake) == 1 else line(mistake, 120)


def sentence(message: str) -> str:
    """The first sentence of a message.

    Examples
    --------
    >>> sentence("You only reshaped. A reshape moves\\nnothing.")
    'You only reshaped.'
    """
    told = " ".join(message.split(LOOK)[0].split())
    first = re.match(r".*?[.!?](?= [A-Z`*\"]|$)", told)
    return first[0] if first else told


def _paragraphs(lines: list[str]) -> list[str]:
    """Lines between blank ones, or from one "Look at:" on, together."""
    broken = re.sub(rf"\n(?={LOOK})", "\n\n", "\n".join(lines))
    return [part.strip("\n") for part in re.split(r"\n\s*\n", broken) if part.strip()]
