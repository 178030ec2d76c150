"""Find what was handed in: nbgrader's folders, or what Moodle and Canvas export."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import nbformat

from trlkit.course.learner.runner import NotANotebook, chapter_of, notebook_in
from trlkit.course.teacher.files import File, Refused, files_in, shown
from trlkit.course.teacher.places import (
    CANVAS,
    MOODLE,
    NBGRADER,
    Place,
    chapter_called,
    chapter_named,
    chapters,
    depth_of,
    place_of,
)
from trlkit.course.teacher.record import FAILED, MISSING, Record
from trlkit.course.teacher.roster import Roster, unfit

TIMESTAMP = re.compile(r"[0-9][0-9T:.+-]*( [0-9:.]+)?( [A-Za-z+-][\w+-]*(/[\w+-]+)*)?", re.ASCII)
SECRET = re.compile(r"[\w-]{1,200}", re.ASCII)
EXCHANGE = ("timestamp.txt", "submission_secret.txt")  # what nbgrader's exchange writes beside
_NO_PLACE = (
    "is not where a submission is looked for: STUDENT/CHAPTER/CHAPTER.ipynb, or a file named as "
    "Moodle or Canvas names it"
)


@dataclass(frozen=True)
class Submission:
    """A notebook that was handed in, read once.

    ``chapter`` is None where neither its name nor its cells say which it is. ``folder`` is where
    it lies, with what its author put beside it; None in a zip, and in a folder of all students.
    ``timestamp`` is in UTC, without a zone as nbgrader keeps it; ``secret`` is what nbgrader's
    exchange finds the feedback by. ``platform_id`` is the platform's number for the student:
    Moodle's participant, Canvas' user. ``remarks`` are for the teacher.
    """

    student: str
    chapter: str | None
    content: bytes = b""
    file: str = ""
    folder: Path | None = None
    timestamp: datetime | None = None
    secret: str = ""
    late: bool = False
    platform: str = NBGRADER
    platform_id: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 of the content."""
        return sha256(self.content).hexdigest()


@dataclass
class Intake:
    """What became of every file: a submission, a failure or a line in ``unknown``.

    ``failed`` holds what cannot be read, each as its record and a submission without content;
    ``missing`` the records of students on the roster who handed in nothing.
    """

    submissions: list[Submission] = field(default_factory=list)
    failed: list[tuple[Record, Submission]] = field(default_factory=list)
    missing: list[Record] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def handed(self) -> list[Submission]:
        """Everything that somebody handed in, readable or not."""
        return [*self.submissions, *(submission for _, submission in self.failed)]

    @property
    def identifiers(self) -> dict[tuple[str, str], str]:
        """The platform's numbers by student and chapter, for the forms that it imports."""
        return {(s.student, s.chapter): s.platform_id for s in self.handed if s.platform_id}


@dataclass(frozen=True)
class _Found:
    """A file of a student; ``refused`` is why it cannot be graded."""

    student: str
    chapter: str | None
    place: Place
    file: File
    content: bytes = b""
    refused: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def age(self) -> tuple:
        """Sorts the files of one student and chapter, the one to take last."""
        exact = self.place.folder != "" and self.place.file == f"{self.chapter}.ipynb"
        return exact, self.place.order, self.file.modified, self.file.parts


def find(
    source: Path,
    chapter: str | None = None,
    roster: Roster | None = None,
    known: Collection[str] = (),
) -> Intake:
    """Find the submissions in a folder or a zip.

    Parameters
    ----------
    source : Path
        nbgrader's ``submitted`` folder, or a folder or zip of notebooks as Moodle and Canvas
        export them.
    chapter : str, optional
        Take this chapter alone, by its name or number; a platform's file that does not say which
        chapter it is belongs to it.
    roster : Roster, optional
        The class. A file of nobody in it is reported; who is in it and handed in nothing is
        missing in the chapter asked for, or else in each that somebody handed in.
    known : collection of str
        The gradebook's students: without a roster, a remark tells who is not among them.

    Returns
    -------
    Intake
        Everything by chapter and student.

    Raises
    ------
    ValueError
        If the source is neither folder nor zip, or there is no such chapter.
    """
    wanted = chapter_called(chapter) if chapter else None
    intake = Intake()
    small: dict[tuple[str, ...], bytes] = {}
    found = []
    with files_in(source) as files:
        depth = 1 if source.is_dir() else depth_of(file.parts for file in files)
        for file in files:
            place = place_of(file.parts, depth)
            if place is None:
                intake.unknown.append(f"{file}: {file.refused or _NO_PLACE}")
            elif not (wanted and place.folder != wanted and place.folder in chapters()):
                try:
                    found.append(_look(file, place, _student(place, roster), wanted))
                except LookupError as error:
                    who = shown(file.parts[depth - 1]) if place.folder else file
                    intake.unknown.append(f"{who}: {error.args[0]}")
                if place.beside and place.file in EXCHANGE:
                    small[file.parts] = _content(file, 300)[0]
    groups = defaultdict(list)
    for one in _apart(found):
        groups[one.student, one.chapter].append(one)
    for group in groups.values():
        _choose(group, small, intake)
    if roster:
        _tell_missing(roster, wanted, intake)
    elif known:
        _tell_new(set(known), intake)
    intake.unknown = list(dict.fromkeys(intake.unknown))
    intake.submissions.sort(key=lambda s: (s.chapter or "", s.student))
    intake.failed.sort(key=lambda pair: (pair[0].chapter, pair[0].student))
    return intake


def parse(content: bytes, name: str = "the notebook") -> nbformat.NotebookNode:
    """The notebook in a file's content.

    Raises
    ------
    NotANotebook
        If it is none; the text starts with ``name`` and says why.
    """
    try:
        return notebook_in(content.decode("utf-8"), name)
    except UnicodeDecodeError:
        raise NotANotebook(f"{name}: is no notebook, but a binary file") from None


def _student(place: Place, roster: Roster | None) -> str:
    """The student's id, or a LookupError that says why there is none."""
    if roster and place.platform == NBGRADER:
        student = roster.find(place.name).id
    elif roster:
        user = place.number if place.platform == CANVAS else ""
        student = roster.named(place.name, user).id
    elif place.platform == CANVAS and place.number:
        student = f"{place.name}_{place.number}"
    else:
        student = place.name
    if fault := unfit(student):
        raise LookupError(f"the student's name {fault}")
    return student


_NO_NOTEBOOK = "is no notebook"


def _look(file: File, place: Place, student: str, wanted: str | None) -> _Found:
    """A file with its content, or with why it cannot be graded."""
    if place.beside:
        return _Found(student, place.folder, place, file, refused=file.refused or _NO_NOTEBOOK)
    content, refused = b"", file.refused or _NO_NOTEBOOK
    if place.is_notebook:
        content, refused = _content(file)
    chapter = _chapter(place, content)
    if wanted and chapter and chapter != wanted:
        if place.platform == NBGRADER:
            raise LookupError(f"{file} is chapter {chapter}, and {wanted} was asked for")
        refused = f"is chapter {chapter}, and {wanted} was asked for"
        content, chapter = b"", wanted
    return _Found(student, chapter or wanted, place, file, content, refused)


def _chapter(place: Place, content: bytes) -> str | None:
    """The chapter by the folder, the file's name or the cells."""
    if place.folder in chapters():
        return place.folder
    if named := chapter_named(place.file):
        return named
    try:
        return chapter_of(parse(content), Path()).name
    except Exception:  # whatever stands in the metadata of a stranger's cells
        return None


def _content(file: File, *limit: int) -> tuple[bytes, str]:
    try:
        return file.read(*limit), ""
    except Refused as error:
        return b"", str(error)


def _apart(found: list[_Found]) -> list[_Found]:
    """Tell two students of one name apart, by Moodle's number where there is no roster."""
    numbers = defaultdict(set)
    for one in found:
        if one.place.platform == MOODLE and one.student == one.place.name:
            numbers[one.student, one.chapter].add(one.place.number)
    same = {student for (student, _), told in numbers.items() if len(told) > 1}
    remark = "another student has the same name: Moodle's number was added; use a roster"
    return [
        replace(one, student=f"{one.student}_{one.place.number}", remarks=(remark,))
        if one.place.platform == MOODLE and one.student in same
        else one
        for one in found
    ]


def _choose(group: list[_Found], small: dict[tuple[str, ...], bytes], intake: Intake) -> None:
    """One submission or failure of the files of one student and chapter."""
    group = sorted(group, key=lambda one: one.age)
    good = [one for one in group if not one.refused]
    bad = [one for one in group if one.refused and not one.place.beside]
    beside = [one for one in group if one.place.beside and not one.file.refused]
    taken = (good or bad or beside or [None])[-1]
    for one in group:
        if one.refused and one is not taken and (one.file.refused or not one.place.beside):
            intake.unknown.append(f"{one.file}: {one.refused}")
    if taken is None:
        return
    submission = _submission(taken, good[:-1], small)
    if not taken.refused:
        intake.submissions.append(submission)
    elif taken.chapter is None:
        intake.unknown.append(f"{taken.file}: {taken.refused}")
    else:
        reason = f"{taken.file} {taken.refused}"
        reason += "" if taken.place.is_notebook else ", and no notebook was handed in"
        record = Record(taken.student, taken.chapter, FAILED, reason, notes=submission.remarks)
        intake.failed.append((record, submission))


def _submission(
    one: _Found, older: list[_Found], small: dict[tuple[str, ...], bytes]
) -> Submission:
    folder = one.file.parts[:-1]
    time, secret = (small.get((*folder, name), b"").decode("utf-8", "replace") for name in EXCHANGE)
    timestamp, fault = _timestamp(time.strip())
    own = one.file.path is not None and one.place.alone
    return Submission(
        student=one.student,
        chapter=one.chapter,
        content=one.content,
        file=str(one.file),
        folder=one.file.path.parent if own else None,
        timestamp=timestamp,
        secret=secret.strip() if SECRET.fullmatch(secret.strip()) else "",
        late=one.place.late,
        platform=one.place.platform,
        platform_id=one.place.number,
        remarks=(*one.remarks, *_remarks(one, older), *[fault] * bool(fault)),
    )


def _remarks(one: _Found, older: list[_Found]) -> Iterator[str]:
    place = one.place
    if one.chapter is None:
        yield "neither its name nor its cells say which chapter it is"
    for other in older:
        yield f"{other.file} is of the same chapter: {one.file} was taken"
    if place.folder and not place.beside and place.file != f"{one.chapter}.ipynb":
        yield f"{one.file} should be called {one.chapter}.ipynb"
    elif place.folder and place.folder != one.chapter:
        yield f"its folder {shown(place.folder)} should be called {one.chapter}"
    if place.late:
        yield "Canvas calls it late; nbgrader has no time to count a penalty from"


def _tell_missing(roster: Roster, wanted: str | None, intake: Intake) -> None:
    handed = {(s.student, s.chapter) for s in intake.handed}
    names = [wanted] if wanted else sorted({name for _, name in handed if name})
    for name in names:
        for student in roster.students:
            if (student, name) not in handed:
                intake.missing.append(Record(student, name, MISSING, "nothing was handed in"))


def _tell_new(known: set[str], intake: Intake) -> None:
    remark = f"new to the gradebook, which has {len(known)} students: is the name right?"
    intake.submissions = [
        one if one.student in known else replace(one, remarks=(*one.remarks, remark))
        for one in intake.submissions
    ]


def _timestamp(told: str) -> tuple[datetime | None, str]:
    """The time in nbgrader's ``timestamp.txt``, and what is wrong with it."""
    if not told:
        return None, ""
    from nbgrader.utils import parse_utc

    try:
        if TIMESTAMP.fullmatch(told):
            return parse_utc(told), ""
    except (ValueError, OverflowError, AttributeError, TypeError):
        pass
    return None, f"its timestamp.txt holds no time, but {shown(told[:40])!r}: nobody is late then"
