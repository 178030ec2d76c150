"""The points of a class as tables: our own, and those that Moodle and Canvas import."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trlkit.course import aside
from trlkit.course.chapters import manifest
from trlkit.course.teacher.record import GRADED, MISSING, Record
from trlkit.course.teacher.roster import Roster, Student

COLUMNS = ("student", "chapter", "score", "max_score", "status", "reason")
# Moodle's grading worksheet, for one assignment; it needs the first, the grade and the date.
WORKSHEET = (
    *("Identifier", "Full name", "Email address", "Status", "Grade", "Maximum grade"),
    *("Last modified (grade)", "Feedback comments"),
)
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are the wide ones

Cell = str | float | None


class Total(NamedTuple):
    """What a gradebook says of a submission: points by hand are in it, a late penalty is off."""

    score: float
    max_score: float
    waits: bool  # for a person


@dataclass(frozen=True)
class Line:
    """A student's points in a chapter; ``score`` is None where there is no grade."""

    student: str
    chapter: str
    score: float | None
    max_score: float | None
    status: str
    reason: str


def lines(
    records: Iterable[Record], totals: Mapping[tuple[str, str], Total] | None = None
) -> list[Line]:
    """The lines of the table, by chapter and student.

    Parameters
    ----------
    records : iterable of Record
    totals : mapping of (student, chapter) to Total, optional
        The gradebook's word on what was graded: it knows the points that a person gave.
    """
    told = [
        _line(record, (totals or {}).get((record.student, record.chapter))) for record in records
    ]
    return sorted(told, key=lambda line: (line.chapter, line.student))


def _line(record: Record, total: Total | None) -> Line:
    where = record.student, record.chapter
    reason = record.reason
    if record.status != GRADED:
        # What could not be graded has points once a person has given all of them.
        score = total.score if total and not total.waits else None
        return Line(*where, score, _full(record.chapter), record.status, reason)
    if total is None:
        total = Total(record.score, record.max_score + record.by_hand, record.by_hand > 0)
    if total.waits and not reason:
        by_hand = f"{record.by_hand:g} points" if record.by_hand else "some points"
        reason = f"{by_hand} wait for a person"
    score, full = round(float(total.score), 4), float(total.max_score)
    return Line(*where, score, full, record.status, reason)


def _full(chapter: str) -> float | None:
    found = [c for c in manifest.chapters() if c.name == chapter]
    return float(found[0].points + found[0].by_hand) if found else None


def write_grades(table: Sequence[Line], path: Path) -> None:
    """Write ``grades.csv``: text in quotes, numbers plain, no score where there is no grade."""
    rows = [[getattr(line, column) for column in COLUMNS] for line in table]
    write_table([list(COLUMNS), *rows], path)


def write_moodle(
    table: Sequence[Line],
    folder: Path,
    identifiers: Mapping[tuple[str, str], str],
    roster: Roster | None = None,
) -> list[Path]:
    """Write what Moodle imports, and return the files.

    ``moodle-CHAPTER.csv`` is the assignment's grading worksheet; it names students by Moodle's
    own number, and holds those whose number is known from the files' names. With a roster
    ``moodle.csv`` is for the course's *Grades > Import > CSV file*, a column a chapter; match the
    students by email address or ID number there. A student without a grade has an empty cell.
    """
    written = []
    by_chapter = defaultdict(list)
    for line in table:
        if number := identifiers.get((line.student, line.chapter)):
            by_chapter[line.chapter].append([*_worksheet(line, number, roster)])
    for chapter, rows in by_chapter.items():
        written.append(folder / f"moodle-{chapter}.csv")
        write_table([list(WORKSHEET), *rows], written[-1])
    if roster:
        chapters = _chapters(table)
        header = ["ID number", "First name", "Last name", "Email address", *chapters]
        scores = _scores(table)
        rows = [
            [s.id, s.first_name, s.last_name, s.email, *(scores.get((s.id, c)) for c in chapters)]
            for s in roster.students.values()
        ]
        written.append(folder / "moodle.csv")
        write_table([header, *rows], written[-1])
    return written


def _worksheet(line: Line, number: str, roster: Roster | None) -> list[Cell]:
    student = _student(line.student, roster)
    name = f"{student.first_name} {student.last_name}".strip() or line.student
    status = "No submission" if line.status == MISSING else "Submitted for grading"
    grade = line.score, line.max_score
    return [f"Participant {number}", name, student.email, status, *grade, "", line.reason]


def write_canvas(
    table: Sequence[Line],
    path: Path,
    identifiers: Mapping[tuple[str, str], str],
    roster: Roster | None = None,
    assignments: Mapping[str, str] | None = None,
) -> None:
    """Write what Canvas' gradebook imports: a row a student, a column a chapter.

    Parameters
    ----------
    table, path
    identifiers : mapping of (student, chapter) to str
        Canvas' numbers for the students, as :func:`~.submissions.find` leaves them.
    roster : Roster, optional
        Names and ``lms_user_id``, and its columns ``sis_user_id``, ``login`` and ``section``.
    assignments : mapping of str to str, optional
        The heading of each chapter's column in Canvas' own export, ``"Tensors (4711)"`` for
        ``"01_tensors"``. Without it Canvas asks which assignment a chapter is.
    """
    chapters = _chapters(table)
    full = {line.chapter: line.max_score for line in table}
    numbers = {student: number for (student, _), number in identifiers.items()}
    titles = [(assignments or {}).get(chapter, chapter) for chapter in chapters]
    rows: list[list[Cell]] = [
        [*CANVAS, *titles],
        [
            "    Points Possible",
            *[""] * (len(CANVAS) - 1),
            *(full[chapter] for chapter in chapters),
        ],
    ]
    scores = _scores(table)
    students = list(roster.students) if roster else sorted({line.student for line in table})
    for name in students:
        student = _student(name, roster)
        full_name = ", ".join(filter(None, (student.last_name, student.first_name))) or name
        number = student.lms_user_id or numbers.get(name, "")
        more = [student.more.get(key, "") for key in ("sis_user_id", "login", "section")]
        points = [scores.get((name, chapter)) for chapter in chapters]
        rows.append([full_name, number, *more, *points])
    write_table(rows, path)


def _student(name: str, roster: Roster | None) -> Student:
    return roster.students[name] if roster and name in roster else Student(name)


def _chapters(table: Sequence[Line]) -> list[str]:
    return sorted({line.chapter for line in table})


def _scores(table: Sequence[Line]) -> dict[tuple[str, str], float | None]:
    return {(line.student, line.chapter): line.score for line in table}


def write_table(rows: Iterable[Sequence[Cell]], path: Path) -> None:
    """Write a CSV that no spreadsheet runs: text is quoted, and a formula gets an apostrophe.

    The file appears whole or not at all.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerows([[_harmless(cell) for cell in row] for row in rows])
    aside.write(path, text.getvalue().encode())


def _harmless(cell: Cell) -> str | float:
    if not isinstance(cell, str):
        return "" if cell is None else cell
    cell = cell.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
