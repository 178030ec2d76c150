"""Find what was handed in: nbgrader's folders, or what Moodle and Canvas export.

Moodle names a file ``Ada Lovelace_1234567_assignsubmission_file_/NAME``, or without folders
``Ada Lovelace_1234567_assignsubmission_file_NAME``; the number is the participant's in this one
assignment. Canvas names it ``lovelaceada_LATE_USER_FILE_NAME``, with ``LATE`` only where it was,
the user's number, and the file's, which grows with every file that is handed in.
"""

import re
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import nbformat

from trlkit.course.chapters import manifest
from trlkit.course.learner.runner import NotANotebook, _chapter_of, read_notebook
from trlkit.course.teacher.files import File, Refused, files_in, shown
from trlkit.course.teacher.record import FAILED, MISSING, Record
from trlkit.course.teacher.roster import Roster, unfit

NBGRADER, MOODLE, CANVAS = "nbgrader", "Moodle", "Canvas"
MOODLE_FOLDER = re.compile(r"(?P<name>.+)_(?P<id>[0-9]+)_assignsubmission_[a-z]+_?", re.DOTALL)
MOODLE_FILE = re.compile(
    r"(?P<name>.+?)_(?P<id>[0-9]+)_assignsubmission_[a-z]+_(?P<file>.+)", re.DOTALL
)
CANVAS_FILE = re.compile(
    r"((LATE_)?(?P<anonymous>anon_[A-Za-z0-9]+)|(?P<name>\w+?)_(LATE_)?(?P<id>[0-9]+))"
    r"_(?P<number>[0-9]+)_(?P<file>.+)",
    re.DOTALL,
)
# Browsers add an ending of their own to a notebook that they save.
NOTEBOOK = re.compile(r"\.ipynb(\.(json|txt))?", re.IGNORECASE)
TIMESTAMP = re.compile(
    r"[0-9][0-9T:.+-]*( [0-9:.]+)?( [A-Za-z+-][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*)?"
)


@dataclass(frozen=True)
class Submission:
    """A notebook that was handed in, read once.

    ``chapter`` is None where neither its name nor its cells say which it is. ``folder`` is where
    it lies, with what stands beside it, None in a zip. ``timestamp`` is in UTC, without a zone as
    nbgrader keeps it. ``platform`` names the platform and ``platform_id`` its number for the
    student: Moodle's participant, Canvas' user. ``remarks`` are for the teacher.
    """

    student: str
    chapter: str | None
    content: bytes
    file: str
    folder: Path | None = None
    timestamp: datetime | None = None
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

    ``failed`` and ``missing`` are records as grading leaves them: of files that cannot be read,
    and of students on the roster who handed in nothing. ``identifiers`` are a platform's numbers
    by student and chapter, for the forms that it imports.
    """

    submissions: list[Submission] = field(default_factory=list)
    failed: list[Record] = field(default_factory=list)
    missing: list[Record] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    identifiers: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Place:
    """What the names on the way to a file say."""

    platform: str
    name: str  # the student's: an id in nbgrader's folders, a name on a platform
    file: str  # the file's name as its author chose it
    number: str = ""
    order: int = 0  # grows with every file that is handed in
    late: bool = False
    folder: str = ""  # nbgrader's chapter folder
    beside: bool = False  # it is no submission, but stands beside one
    alone: bool = True  # its folder holds files of this student only


@dataclass(frozen=True)
class _Found:
    student: str
    chapter: str | None
    place: _Place
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
    beside: dict[tuple[str, ...], _Found] = {}
    times: dict[tuple[str, ...], bytes] = {}
    found, others = [], []
    with files_in(source) as files:
        depth = 1 if source.is_dir() else _depth(files)
        for file in files:
            place = _place(file.parts, depth)
            if place is None:
                intake.unknown.append(f"{file}: {file.refused or _NO_PLACE}")
                continue
            if wanted and place.folder != wanted and place.folder in _chapters():
                continue
            try:
                student = _student(place, roster)
            except LookupError as error:
                who = shown(file.parts[depth - 1]) if place.folder else file
                intake.unknown.append(f"{who}: {error.args[0]}")
                continue
            if place.beside and file.refused:
                intake.unknown.append(f"{file}: {file.refused}")
            elif place.beside:
                one = _Found(student, place.folder, place, file)
                beside.setdefault(file.parts[: depth + 1], one)
                if place.file == "timestamp.txt":
                    times[file.parts[:-1]] = _content(file, 200)[0]
            elif file.refused or not NOTEBOOK.search(place.file):
                others.append(_Found(student, _chapter(place, b"", wanted), place, file))
            else:
                content, refused = _content(file)
                named = _chapter(place, content, wanted)
                found.append(_Found(student, named, place, file, content, refused))
    found = _apart(found)
    _sort_out(found, wanted, times, intake)
    _tell_others(others, list(beside.values()), wanted, intake)
    if roster:
        _tell_missing(roster, wanted, intake)
    elif known:
        _tell_new(set(known), intake)
    intake.unknown = list(dict.fromkeys(intake.unknown))
    intake.submissions.sort(key=lambda s: (s.chapter or "", s.student))
    intake.failed.sort(key=lambda record: (record.chapter, record.student))
    return intake


def chapter_called(text: str) -> str:
    """The name of the chapter with this name or number, "01" or "1" for "01_tensors"."""
    names = _chapters()
    for name in names:
        number = name.split("_")[0]
        if text in (name, number, number.lstrip("0") or "0"):
            return name
    raise ValueError(f"no chapter is called {text!r}; there are {', '.join(names)}")


def parse(content: bytes, name: str = "the notebook") -> nbformat.NotebookNode:
    """The notebook in a file's content.

    Raises
    ------
    NotANotebook
        If it is none; the text starts with ``name`` and says why.
    """
    with tempfile.TemporaryDirectory(prefix="trlkit-") as folder:
        path = Path(folder) / "notebook.ipynb"
        path.write_bytes(content)
        try:
            return read_notebook(path)
        except NotANotebook as error:
            raise NotANotebook(str(error).replace(str(path), name)) from None
        except (RecursionError, ValueError) as error:
            kind = type(error).__name__
            raise NotANotebook(f"{name}: is no notebook that can be read ({kind})") from None


_NO_PLACE = (
    "is not where a submission is looked for: STUDENT/CHAPTER/CHAPTER.ipynb, or a file named as "
    "Moodle or Canvas names it"
)


def _chapters() -> list[str]:
    return [chapter.name for chapter in manifest.chapters()]


def _depth(files: list[File]) -> int:
    """Where in a zip the chapters' folders stand: a student's own folders lie deeper."""
    chapters = _chapters()
    depths = [d for file in files for d, name in enumerate(file.parts) if d and name in chapters]
    return min(depths, default=1)


def _place(parts: tuple[str, ...], depth: int) -> _Place | None:
    """What the names say, read from above: what a student may name stands below the rest."""
    *folders, name = parts
    chapters = _chapters()
    for above, folder in enumerate(folders):
        if match := MOODLE_FOLDER.fullmatch(folder):
            return _Place(MOODLE, match["name"], name, match["id"])
        if above == depth and folder in chapters:
            break
    if len(parts) > depth and parts[depth] in chapters:
        beside = len(parts) > depth + 2 or not NOTEBOOK.search(name)
        return _Place(NBGRADER, parts[depth - 1], name, folder=parts[depth], beside=beside)
    if match := MOODLE_FILE.fullmatch(name):
        return _Place(MOODLE, match["name"], match["file"], match["id"], alone=False)
    if match := CANVAS_FILE.fullmatch(name):
        who, number = match["anonymous"] or match["name"], match["id"] or ""
        late, order = "_LATE_" in f"_{name[: match.start('number')]}", int(match["number"])
        return _Place(CANVAS, who, match["file"], number, order, late, alone=False)
    if len(folders) == 2 and NOTEBOOK.search(name):
        return _Place(NBGRADER, folders[0], name, folder=folders[1])
    return None


def _student(place: _Place, roster: Roster | None) -> str:
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


def _chapter(place: _Place, content: bytes, wanted: str | None) -> str | None:
    """The chapter by the folder, the file's name or the cells; ``wanted`` where none says it."""
    names = _chapters()
    if place.folder in names:
        return place.folder
    told = re.sub(r"[\s-]+", "_", place.file.casefold())
    named = [n for n in names if re.search(rf"(?<![0-9]){re.escape(n)}(?![0-9a-z])", told)]
    if len(named) == 1:
        return named[0]
    try:
        return _chapter_of(parse(content), Path()).name
    except Exception:  # whatever stands in the metadata of a stranger's cells
        return wanted


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
    return [
        _Found(
            f"{one.student}_{one.place.number}",
            *(one.chapter, one.place, one.file, one.content, one.refused),
            ("another student has the same name: Moodle's number was added; use a roster",),
        )
        if one.place.platform == MOODLE and one.student in same and one.student == one.place.name
        else one
        for one in found
    ]


def _sort_out(
    found: Iterable[_Found],
    wanted: str | None,
    times: dict[tuple[str, ...], bytes],
    intake: Intake,
) -> None:
    """One submission or failure for each student and chapter."""
    groups = defaultdict(list)
    for one in found:
        groups[one.student, one.chapter].append(one)
    for (student, chapter), group in groups.items():
        *older, taken = sorted(group, key=lambda one: one.age)
        remarks = list(taken.remarks)
        if chapter is None:
            remarks.append("neither its name nor its cells say which chapter it is")
        for one in older:
            remarks.append(f"{one.file} is of the same chapter: {taken.file} was taken")
        if taken.place.folder and taken.place.file != f"{chapter}.ipynb":
            remarks.append(f"{taken.file} should be called {chapter}.ipynb")
        elif taken.place.folder and taken.place.folder != chapter:
            remarks.append(f"its folder {shown(taken.place.folder)} should be called {chapter}")
        timestamp, fault = _timestamp(times.get(taken.file.parts[:-1], b""))
        remarks += [fault] if fault else []
        if taken.place.number and chapter:
            intake.identifiers[student, chapter] = taken.place.number
        if taken.place.late:
            remarks.append("Canvas calls it late; nbgrader has no time to count a penalty from")
        if wanted and chapter != wanted:
            _tell_other_chapter(taken, wanted, intake)
        elif taken.refused and chapter:
            reason = f"{taken.file} {taken.refused}"
            intake.failed.append(Record(student, chapter, FAILED, reason, notes=tuple(remarks)))
        elif taken.refused:
            intake.unknown.append(f"{taken.file}: {taken.refused}")
        else:
            own = taken.file.path.parent if taken.file.path and taken.place.alone else None
            intake.submissions.append(
                Submission(
                    student,
                    chapter,
                    taken.content,
                    str(taken.file),
                    own,
                    timestamp,
                    taken.place.late,
                    taken.place.platform,
                    taken.place.number,
                    tuple(remarks),
                )
            )


def _tell_other_chapter(one: _Found, wanted: str, intake: Intake) -> None:
    """nbgrader's folders hold all chapters, a platform's export what was asked for."""
    if one.place.platform == NBGRADER:
        return
    reason = f"{one.file} is chapter {one.chapter}, and {wanted} was asked for"
    intake.failed.append(Record(one.student, wanted, FAILED, reason))


def _tell_others(
    others: list[_Found], beside: list[_Found], wanted: str | None, intake: Intake
) -> None:
    """A failure for who handed in something, but no notebook; else a line for each file."""
    handed = {(s.student, s.chapter) for s in intake.submissions}
    handed |= {(record.student, record.chapter) for record in intake.failed}
    for one in [*others, *beside]:
        why = one.file.refused or "is no notebook"
        if one.chapter is None or (one.student, one.chapter) in handed:
            intake.unknown += [f"{one.file}: {why}"] if not one.place.beside else []
        elif not wanted or one.chapter == wanted:
            handed.add((one.student, one.chapter))
            reason = f"{one.file} {why}, and no notebook was handed in"
            intake.failed.append(Record(one.student, one.chapter, FAILED, reason))


def _tell_missing(roster: Roster, wanted: str | None, intake: Intake) -> None:
    handed = {(s.student, s.chapter) for s in intake.submissions}
    handed |= {(record.student, record.chapter) for record in intake.failed}
    chapters = [wanted] if wanted else sorted({name for _, name in handed if name})
    for chapter in chapters:
        for student in roster.students:
            if (student, chapter) not in handed:
                reason = "nothing was handed in"
                intake.missing.append(Record(student, chapter, MISSING, reason))


def _tell_new(known: set[str], intake: Intake) -> None:
    for position, one in enumerate(intake.submissions):
        if one.student not in known:
            remark = f"new to the gradebook, which has {len(known)} students: is the name right?"
            changed = {**vars(one), "remarks": (*one.remarks, remark)}
            intake.submissions[position] = Submission(**changed)


def _timestamp(text: bytes) -> tuple[datetime | None, str]:
    """The time in nbgrader's ``timestamp.txt``, and what is wrong with it."""
    if not text:
        return None, ""
    from nbgrader.utils import parse_utc

    told = text.decode("utf-8", "replace").strip()
    try:
        if TIMESTAMP.fullmatch(told):
            return parse_utc(told), ""
    except (ValueError, OverflowError, AttributeError, TypeError):
        pass
    return None, f"its timestamp.txt holds no time, but {shown(told[:40])!r}: nobody is late then"
