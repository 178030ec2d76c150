"""The class: who is a student, and under which name a learning platform knows them."""

import csv
import difflib
import io
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MADE = (".csv", ".html", ".new")  # ends of what grading writes beside the students' folders
FIELDS = ("id", "first_name", "last_name", "email", "lms_user_id")  # as nbgrader's import has them
LONGEST = 128  # what nbgrader's gradebook holds


@dataclass(frozen=True)
class Student:
    """A line of the roster; ``more`` holds the columns that nbgrader does not have."""

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """The names that a platform may show, compressed: see :func:`compressed`."""
        first, last = self.first_name, self.last_name
        told = {first + last, last + first, self.more.get("full_name", "")}
        return {compressed(name) for name in told} - {""}


class Roster:
    """The students of a class, in the order of the file."""

    def __init__(self, students: list[Student]):
        self.students = {student.id: student for student in students}
        self._named: dict[str, list[Student]] = defaultdict(list)
        for student in students:
            for name in student.names:
                self._named[name].append(student)

    def __contains__(self, student: str) -> bool:
        return student in self.students

    def named(self, name: str, lms_user_id: str = "") -> Student:
        """The student with a platform's id, or else with this name.

        Raises
        ------
        LookupError
            If there is none, or more than one: the text says which.
        """
        students = self.students.values()
        same = [s for s in students if lms_user_id and s.lms_user_id == lms_user_id]
        if not same:
            called = self._named.get(compressed(name), [])
            same = [s for s in called if not (s.lms_user_id and lms_user_id)]
        if len(same) == 1:
            return same[0]
        if same:
            ids = ", ".join(student.id for student in same)
            raise LookupError(f"more than one student of the roster has this name: {ids}")
        raise LookupError(f"is no student of the roster{self._nearest(name)}")

    def find(self, student: str) -> Student:
        """The student with this id, or a LookupError with the nearest one."""
        if student not in self:
            raise LookupError(f"is no student of the roster{self._nearest(student)}")
        return self.students[student]

    def _nearest(self, name: str) -> str:
        keys = {compressed(student): student for student in self.students}
        keys |= {key: students[0].id for key, students in self._named.items()}
        near = difflib.get_close_matches(compressed(name), keys, n=1)
        return f" (is it {keys[near[0]]}?)" if near else ""


def compressed(name: str) -> str:
    """A name's letters and digits in lower case: platforms drop the rest, each in its own way."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in folded if c.isalnum())


def read_roster(path: Path) -> Roster:
    """The roster in a CSV with the column ``id``, and what there is of nbgrader's other columns.

    A column ``full_name`` helps where Moodle shows names in a form of its own; ``lms_user_id`` is
    Canvas' number for the student.

    Raises
    ------
    ValueError
        If there is no such column, or an id is missing, stands there twice or cannot be one.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: the roster is not in UTF-8; save it as CSV UTF-8") from None
    except OSError as error:
        raise ValueError(
            f"{path}: the roster cannot be read ({error.strerror}); expected a CSV with the "
            "column id"
        ) from None
    header = text.split("\n", 1)[0]
    delimiter = ";" if ";" in header else ","
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [name.strip().lower().replace(" ", "_") for name in rows.fieldnames or []]
    if "id" not in columns:
        raise ValueError(
            f"{path}: the roster has the columns {', '.join(columns) or 'none'}; it needs id, and "
            f"may have {', '.join(FIELDS[1:])}"
        )
    rows.fieldnames = columns
    students: dict[str, Student] = {}
    for row in rows:
        cells = {key: (value or "").strip() for key, value in row.items() if key is not None}
        student = cells["id"]
        fault = unfit(student) or ("stands there twice" if student in students else "")
        if fault or max(map(len, cells.values())) > LONGEST:
            fault = fault or f"has a cell of more than {LONGEST} characters"
            raise ValueError(f"{path}: line {rows.line_num}: the id {student!r} {fault}")
        own = {name: cells.get(name, "") for name in FIELDS}
        students[student] = Student(
            **own, more={key: cells[key] for key in cells if key not in FIELDS}
        )
    return Roster(list(students.values()))


def unfit(student: str) -> str:
    """Why a text cannot be a student's id, which names a folder and a row: "" where it can."""
    if not student.strip() or student in (".", ".."):
        return "is empty" if not student.strip() else "is no name"
    if not student.isprintable() or "/" in student or "\\" in student:
        return "holds a slash or a character that cannot be shown: rename it"
    if student.casefold().endswith(MADE):
        return "ends like a file that grading makes: rename it"
    if len(student) > LONGEST or len(student.encode("utf-8")) > 250:
        return f"is longer than {LONGEST} characters"
    return ""
