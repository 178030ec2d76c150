"""What a learner reads of a graded submission: one page, complete in itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from trlkit.course.chapters import manifest
from trlkit.course.chapters.manifest import Chapter, Item
from trlkit.course.teacher import story
from trlkit.course.teacher.clean import cells, clean, joined
from trlkit.course.teacher.markup import line, picture, shown
from trlkit.course.teacher.pages import page as render
from trlkit.course.teacher.record import Given, Record, Row
from trlkit.course.teacher.story import Story

ROWS = 50
EMPTY = ("is not written yet", "NotImplementedError")
EXPLAINED = (  # words in Row.technical, and what they mean to who wrote the answer
    (
        ("time", "longer", "too long", "loop"),
        "It was stopped when its time was over. Most often a loop never ends, or one runs over "
        "entries where a single tensor operation does the work: try your function on a tensor "
        "of 2 x 3 entries, and print in the loop how far it is.",
    ),
    (
        ("memory", "oom"),
        "It asked for more memory than an answer gets. Most often a whole weight is built where "
        "its factors would do: print the shapes of what you build.",
    ),
    (
        ("ended python", "crash", "exit", "signal", "killed", "segmentation"),
        "Python itself ended while it ran. Look for exit(), os._exit() or a process killed, and "
        "restart the kernel and run all cells: it should end there too.",
    ),
    (
        ("output", "printed"),
        "It printed far more than can be kept. Take the print out of the loop.",
    ),
    (
        ("process", "thread", "fork"),
        "It started more processes or threads than an answer may have. None is needed here.",
    ),
    (
        ("disk", "file", "permission", "network"),
        "It asked for something that is not there when answers are graded: files of your own "
        "computer, the network, a large disk. An answer works on what it is given.",
    ),
)
CELL = re.compile(r"the cell of `\w+` (it (?:took|used|started|ended) [^\n]+)")
STOPPED = (
    "It was stopped before it gave a result, so nothing can be said of the answer itself. Restart "
    "the kernel, run all cells, and see whether this one comes to its end."
)


@dataclass(frozen=True)
class Part:
    """One exercise as the page shows it."""

    row: Row
    title: str
    named: str
    kind: str  # right, wrong, halt, open
    item: Item | None
    story: Story
    code: str
    picture: str
    alt: str
    technical: str
    explained: str
    again: str


def page(record: Record, notebook: Any = None, given: Sequence[Given] = ()) -> str:
    """The feedback page of one submission, as HTML.

    What the author of the submission wrote is shown as text; nothing of it is run, and the page
    asks no other place for anything. It holds what is in the record, and no more of the checks.

    Parameters
    ----------
    record : Record
        Its ``extra["answers"]`` maps exercises to the source of their answers.
    notebook : dict, optional
        The submission. Where given, answers that the record lacks are taken from it, and texts
        that a person reads are shown.
    given : sequence of Given
        What a person gave by now, beside the checks or in their place.
    """
    try:
        chapter = manifest.chapter(record.chapter)
    except ValueError:
        chapter = None
    content = clean(notebook) if notebook is not None else None
    answers = {**_sources(content), **_answers(record)}
    items = {item.name: item for item in chapter.exercises} if chapter else {}
    parts = [_part(row, items.get(row.exercise), answers) for row in record.rows[:ROWS]]
    return render(
        "feedback.html",
        record=record,
        chapter=chapter,
        title=chapter.title if chapter else line(record.chapter) or "?",
        file=f"{chapter.name if chapter else line(record.chapter)}.ipynb",
        parts=parts,
        right=[part for part in parts if part.kind == "right"],
        others=[part for part in parts if part.kind != "right"],
        first=_first(parts),
        after=_after(chapter),
        written=_written(content, notebook) if record.by_hand else [],
        given=[(items[g.exercise].title if g.exercise in items else "Your text", g) for g in given],
        waits=record.by_hand and all(g.points is None or g.exercise in items for g in given),
    )


def _part(row: Row, item: Item | None, answers: dict[str, str]) -> Part:
    title = line(row.title or (item.title if item else row.exercise)) or "an exercise"
    technical = _technical(row)
    message = "" if row.message == row.technical else row.message  # the badge says it
    return Part(
        row=row,
        title=title,
        named=story.named(row.mistake),
        kind=_kind(row),
        item=item,
        story=story.read(message, row.exercise, row.mistake),
        code=answers.get(row.exercise, ""),
        picture=picture("image/png", row.picture),
        alt=f"{title}: the expected numbers above yours, colored where they differ.",
        technical=line(technical),
        explained=_explained(technical),
        again=next((x for x in item.cell.split("\n") if x.startswith("check(")), "")
        if item
        else "",
    )


def _kind(row: Row) -> str:
    if row.points >= row.out_of:
        return "right"
    if _technical(row):
        return "halt"
    return "open" if any(word in row.message for word in EMPTY) else "wrong"


def _technical(row: Row) -> str:
    """What stopped an answer: as it was checked, or already as its cell ran."""
    found = CELL.search(row.message)
    return row.technical or (found[1] if found else "")


def _explained(technical: str) -> str:
    said = technical.lower()
    return next(
        (why for words, why in EXPLAINED if any(word in said for word in words)),
        STOPPED,
    )


def _first(parts: list[Part]) -> list[Part]:
    """The three exercises to take up first: what was begun, the easy before the hard."""
    ranks = {"wrong": 0, "halt": 1, "open": 2}
    waiting = [part for part in parts if part.kind in ranks]
    waiting.sort(key=lambda part: (ranks[part.kind], part.item.difficulty if part.item else 5))
    return waiting[:3]


def _after(chapter: Chapter | None) -> Chapter | None:
    """The chapter that follows."""
    every = manifest.chapters()
    at = every.index(chapter) + 1 if chapter in every else len(every)
    return every[at] if at < len(every) else None


def _answers(record: Record) -> dict[str, str]:
    answers = record.extra.get("answers")
    pairs = answers.items() if isinstance(answers, dict) else ()
    return {name: source for name, source in pairs if isinstance(source, str)}


def _sources(notebook: Any) -> dict[str, str]:
    """The answers in a notebook, by nbgrader's marks."""
    if notebook is None:
        return {}
    marked = [(cell.metadata.get("nbgrader", {}), cell) for cell in notebook.cells]
    return {
        marks["grade_id"]: cell.source
        for marks, cell in marked
        if cell.cell_type == "code" and marks.get("solution") and "grade_id" in marks
    }


def _written(content: Any, notebook: Any) -> list[Markup]:
    """The texts of a submission that a person reads, as HTML."""
    texts = []
    for cell, given in zip(content.cells if content else (), cells(notebook), strict=False):
        marks = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "markdown" and marks.get("solution"):
            html = shown(joined(given.get("source")), cell.get("attachments"))
            texts.append(Markup(re.sub(r"(</?)h[12]\b", r"\1h3", html)))
    return [text for text in texts if text.strip()]
