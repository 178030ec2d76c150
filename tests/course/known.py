"""The answers that the course knows, each judged once a process by the notebook's own check."""

from functools import cache

from filled import released

from trlkit.course.chapters import bank, manifest
from trlkit.course.chapters.exercises import PIECES, judge, used
from trlkit.course.checking.answer import LocalAnswer
from trlkit.course.checking.mistake import KINDS

CHAPTER_OF = {item.name: c.name for c in manifest.chapters() for item in c.exercises}
KNOWN = {(a.exercise, a.kind, a.name): a for kind in KINDS for a in bank.answers(kind)}


@cache
def imports(chapter):
    """What a chapter's notebook and the answers of the bank import."""
    code = (cell.source for cell in released(chapter).cells if cell.cell_type == "code")
    first = next(code)
    return f"import math\nimport torch\nfrom torch import nn\n{first}"


@cache
def imported(chapter):
    space = {}
    exec(imports(chapter), space)
    return space


@cache
def judged(key, seed=None):
    """The report on a known answer, with the course's pieces."""
    name = key[0]
    answer = KNOWN[key].make({**imported(CHAPTER_OF[name]), **PIECES})
    return judge(name, LocalAnswer(answer), seed, used(name))


# What a notebook's session was told of a known mistake: whether it passed, its name, the report.
TOLD: dict[tuple[str, str, str], tuple[bool, str, str]] = {}


def told(key, seed=None):
    """What the notebook's own check says of a known answer, in a session where it ran in one.

    Where an answer may call earlier ones, the session has those, and here are the course's pieces.
    """
    if seed is None and key in TOLD and not used(key[0]):
        return TOLD[key]
    return in_words(judged(key, seed))


def in_words(report):
    """Whether a report is a pass, the name of the mistake, and all that it says."""
    report.points = manifest.points(report.exercise)
    return report.passed, report.mistake, report.render()
