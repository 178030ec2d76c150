"""nbgrader's gradebook: what grading found, beside what a person gave."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from nbgrader import utils
from nbgrader.api import (
    Grade,
    Gradebook,
    MissingEntry,
    SubmittedAssignment,
    SubmittedNotebook,
    get_alembic_version,
)
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import AssignLatePenalties, InstantiateTests, SaveCells
from sqlalchemy import inspect, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from trlkit.course import aside
from trlkit.course.learner.runner import NotANotebook
from trlkit.course.teacher import nbgrader_setup
from trlkit.course.teacher.autograded import Clean, rebuild
from trlkit.course.teacher.grades import Total
from trlkit.course.teacher.record import ERROR, FAILED, MISSING, Given, Record
from trlkit.course.teacher.roster import Roster, unfit
from trlkit.course.teacher.submissions import Submission, parse

# nbgrader shows comments as Markdown and HTML: no word of a stranger's is in this one.
NOT_GRADED = "This could not be graded; the note at the notebook's head says why."


class ClassGradebook:
    """The one writer of nbgrader's gradebook, and of the notebooks that formgrader opens.

    To be used in one thread; each submission is a transaction of its own.

    Parameters
    ----------
    root : Path
        The course's folder: its ``nbgrader_config.py`` says where things are, and what being
        late costs.
    clean : callable
        Takes out of a learner's notebook what a browser would run.
    url : str, optional
        ``sqlite:///FILE`` or ``postgresql://USER@HOST/DATABASE``; by default nbgrader's own.
    roster : Roster, optional
        The class: nobody else gets into the gradebook.
    """

    def __init__(
        self, root: Path, clean: Clean, url: str | None = None, roster: Roster | None = None
    ):
        self.config = load_config(root)
        self.place = CourseDirectory(config=self.config)
        self.url = _complete(url or self.place.db_url)
        self.clean = clean
        self.roster = roster
        self.penalties = AssignLatePenalties(config=self.config)
        self.penalties.init_plugin()
        self.gradebook = _open(self.url, self.place.course_id)
        self._structures: dict[str, NotebookNode] = {}

    def __enter__(self) -> "ClassGradebook":
        return self

    def __exit__(self, *error: object) -> None:
        self.gradebook.close()

    @property
    def students(self) -> set[str]:
        """The ids of all students in the gradebook."""
        return {student.id for student in self.gradebook.students}

    def merge(self, record: Record, submission: Submission | None = None) -> list[str]:
        """Write a record into the gradebook, and the notebook for formgrader beside it.

        The same record again changes nothing. A failure has no points from the checks, where a
        zero has 0; it waits for a person and is flagged, its comments say so, and its reason stands
        at the notebook's head. Who handed in nothing has no submission.

        Parameters
        ----------
        record : Record
        submission : Submission, optional
            What was handed in. Where it has no timestamp, the gradebook's own stays.

        Returns
        -------
        list of str
            What the teacher should know, a line each.
        """
        where = f"{record.student} {record.chapter}"
        fault = unfit(record.student)
        if fault:
            return [f"{where}: not in the gradebook: the student's name {fault}"]
        if self.roster and record.student not in self.roster:
            return [f"{where}: not in the gradebook: no student of the roster is called so"]
        if record.status == ERROR:
            return [f"{where}: not in the gradebook: {record.reason}; grade it again"]
        if record.status == MISSING:
            return self._miss(record)
        structure = self.define(record.chapter)
        handed = submission or Submission(record.student, record.chapter)
        try:
            notebook = parse(handed.content) if handed.content else None
        except NotANotebook:
            notebook = None
        made, own = rebuild(notebook, structure, record, self.clean)
        path = self._autograded(record) / f"{record.chapter}.ipynb"
        with _transaction(self.gradebook):
            changed = _answers(made).items() - _answers(_before(path)).items()
            said = self._submit(record, own, {name for name, _ in changed}, handed.timestamp)
            time = self.gradebook.find_submission(record.chapter, record.student).timestamp
        # nbgrader's feedback goes by these two.
        _write(path.with_name("timestamp.txt"), f"{time} UTC\n" if time else "")
        _write(path.with_name("submission_secret.txt"), handed.secret)
        _write(path, nbformat.writes(made))
        return [f"{where}: {line}" for line in said]

    def hand_back(self, record: Record, page: str) -> None:
        """Put a feedback page where ``nbgrader release_feedback`` looks for it.

        Only for what came through nbgrader's exchange: its secret is what the page is found by, and
        release_feedback stops at a submission that has none.
        """
        if unfit(record.student) or (self.roster and record.student not in self.roster):
            return
        autograded = self._autograded(record)
        if not (autograded / "submission_secret.txt").exists():
            return
        step = self.place.feedback_directory
        folder = Path(self.place.format_path(step, record.student, record.chapter))
        for name in ("timestamp.txt", "submission_secret.txt"):
            if (autograded / name).exists():
                _write(folder / name, (autograded / name).read_text(encoding="utf-8"))
        _write(folder / f"{record.chapter}.html", page)

    def given(self, record: Record) -> tuple[Given, ...]:
        """What a person gave a submission by now, in the order of the notebook's cells."""
        where = record.chapter, record.student
        found: dict[str, Given] = {}
        try:
            notebook = self.gradebook.find_submission_notebook(record.chapter, *where)
        except MissingEntry:
            return ()
        for grade in notebook.grades:
            if grade.manual_score is not None or grade.extra_credit:
                name = grade.name.removeprefix("check_")
                found[name] = Given(name, float(grade.score), float(grade.max_score))
        for comment in notebook.comments:
            if comment.manual_comment:
                had = found.get(comment.name, Given(comment.name))
                found[comment.name] = replace(had, comment=comment.manual_comment)
        self.gradebook.db.remove()
        return tuple(found.values())

    def define(self, chapter: str) -> NotebookNode:
        """The chapter's notebook with nbgrader's marks, which the gradebook then knows too.

        Raises
        ------
        ValueError
            If the gradebook has submissions of a chapter with other cells.
        """
        if chapter not in self._structures:
            structure = prepared(self.place, self.config, chapter)
            book = self.gradebook
            with _transaction(book):
                try:
                    book.find_assignment(chapter)
                except MissingEntry:
                    book.add_assignment(chapter)
            if not _is_defined(book, chapter, structure):
                book.db.remove()
                names = {"notebook": chapter, "assignment": chapter, "db_url": self.url}
                try:
                    SaveCells(config=self.config)(structure, {"nbgrader": names})
                except RuntimeError as error:
                    raise ValueError(
                        f"{chapter}: {error}; grade with the chapter as it was handed out, or "
                        "start a new gradebook with --db"
                    ) from None
            self._structures[chapter] = structure
        return self._structures[chapter]

    def totals(self) -> dict[tuple[str, str], Total]:
        """What each submission has by now, for :func:`trlkit.course.teacher.grades.lines`."""
        found = {}
        for assignment in self.gradebook.assignments:
            lost = {s.student_id: s.late_submission_penalty for s in assignment.submissions}
            for row in self.gradebook.submission_dicts(assignment.name):
                score = max(0.0, row["score"] - lost[row["student"]])
                total = Total(score, row["max_score"], bool(row["needs_manual_grade"]))
                found[row["student"], assignment.name] = total
        self.gradebook.db.remove()
        return found

    def _miss(self, record: Record) -> list[str]:
        with _transaction(self.gradebook):
            if self.roster:
                self._enroll(record.student)
            try:
                self.gradebook.find_submission(record.chapter, record.student)
            except MissingEntry:
                return []
        return [
            f"{record.student} {record.chapter}: {record.reason}, but the gradebook has an "
            "earlier submission, which stays"
        ]

    def _enroll(self, student: str) -> None:
        told = self.roster.students[student] if self.roster else None
        names = ("first_name", "last_name", "email", "lms_user_id")
        given = {name: getattr(told, name) for name in names if told and getattr(told, name)}
        self.gradebook.update_or_create_student(student, **given)

    def _submit(
        self,
        record: Record,
        own: dict[str, NotebookNode],
        changed: set[str],
        timestamp: datetime | None,
    ) -> list[str]:
        where = record.chapter, record.student
        self._enroll(record.student)
        given = {"timestamp": timestamp} if timestamp else {}
        with self.gradebook.db.no_autoflush:
            submission = self.gradebook.update_or_create_submission(*where, **given)
        notebook = self.gradebook.find_submission_notebook(record.chapter, *where)
        failed = record.status == FAILED
        if failed != _was_failed(notebook):
            notebook.flagged = failed
        for comment in notebook.comments:
            comment.auto_comment = _comment(record, own.get(comment.name))
        points = {f"check_{row.exercise}": row.points for row in record.rows}
        said = []
        for grade in notebook.grades:
            by_hand = grade.name not in points and not grade.name.startswith("check_")
            cell = own.get(grade.name)
            auto = None if failed else _by_stub(cell) if by_hand else points.get(grade.name)
            if by_hand and cell is None and not failed:
                said.append(f"{grade.name} was not found in the notebook: look for it by eye")
            _settle(grade, auto, by_hand and grade.name in changed)
        self._penalize(submission, notebook)
        return said

    def _penalize(self, submission: SubmittedAssignment, notebook: SubmittedNotebook) -> None:
        """What nbgrader's AssignLatePenalties does, within this transaction."""
        self.gradebook.db.flush()
        self.gradebook.db.refresh(notebook, ["score"])
        seconds, penalty = submission.total_seconds_late, None
        if seconds > 0:
            plugin = self.penalties.plugin_inst
            penalty = plugin.late_submission_penalty(submission.student_id, notebook.score, seconds)
        if penalty is not None:
            penalty = self.penalties._check_late_penalty(notebook, penalty)
        notebook.late_submission_penalty = penalty

    def _autograded(self, record: Record) -> Path:
        step = self.place.autograded_directory
        return Path(self.place.format_path(step, record.student, record.chapter))


def load_config(root: Path) -> Config:
    """nbgrader's configuration for the course in ``root``: its file's, or else the course's own."""
    if (root / "nbgrader_config.py").exists():
        return PyFileConfigLoader("nbgrader_config.py", str(root)).load_config()
    config = Config()
    nbgrader_setup.configure(config, root.resolve())
    return config


def prepared(place: CourseDirectory, config: Config, chapter: str) -> NotebookNode:
    """A chapter's source as ``nbgrader generate_assignment`` saves it in the gradebook.

    Tests of ``### AUTOTEST`` lines come from the released notebook, where nbgrader made them:
    making them anew would start a kernel.
    """
    paths = [
        Path(place.format_path(step, ".", chapter)) / f"{chapter}.ipynb"
        for step in (place.source_directory, place.release_directory)
    ]
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path}: is missing; trlkit build {chapter} makes it")
    notebook, released = (nbformat.read(path, as_version=4) for path in paths)
    tests = {cell.id: cell.source for cell in released.cells}
    for cell in notebook.cells:
        if "### AUTOTEST" in cell.source or "### HASHED AUTOTEST" in cell.source:
            if cell.id not in tests:
                raise ValueError(f"{paths[1]}: has no cell {cell.id}; trlkit build {chapter}")
            cell.source = tests[cell.id]
    resources = {"nbgrader": {"notebook": chapter, "assignment": chapter, "student": "."}}
    for step in config.GenerateAssignment.preprocessors:
        if step is SaveCells:
            break
        if not issubclass(step, InstantiateTests):
            notebook, _ = step(config=config)(notebook, resources)
    return notebook


def _complete(url: str) -> str:
    """The URL with what nbgrader's default leaves to chance: PostgreSQL's driver, and patience.

    SQLAlchemy's driver for ``postgresql://`` depends on its version, and SQLite gives up after
    5 s of somebody else's writing.
    """
    try:
        told = make_url(url)
    except ArgumentError:
        told = None
    kind = told.get_backend_name() if told is not None else ""
    if kind not in ("sqlite", "postgresql"):
        raise ValueError(
            f"--db: {kind or 'this'} is no database for the gradebook; expected sqlite:///FILE or "
            "postgresql://USER@HOST/DATABASE"
        )
    if kind == "sqlite" and "timeout" not in told.query:
        told = told.update_query_dict({"timeout": "60"})
    if told.drivername == "postgresql":
        told = told.set(drivername="postgresql+psycopg")
    return told.render_as_string(hide_password=False)


def _open(url: str, course: str) -> Gradebook:
    try:
        book = Gradebook(url, course)
    except ModuleNotFoundError as error:
        raise ValueError(f"--db: {error.name} is missing; pip install 'psycopg[binary]'") from None
    except OperationalError as error:
        raise ValueError(f"--db: the gradebook cannot be opened: {error.orig}") from None
    # Where a process was killed while it made the tables, nbgrader never adds their version.
    with book.engine.begin() as connection:
        if "alembic_version" not in inspect(connection).get_table_names():
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        if not connection.execute(text("SELECT version_num FROM alembic_version")).first():
            row = {"version": get_alembic_version()}
            connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), row)
    return book


@contextmanager
def _transaction(book: Gradebook) -> Iterator[None]:
    """One transaction for what the API's methods would each commit."""
    book.db.remove()
    try:
        with book.engine.begin() as connection:
            book.db.configure(bind=connection, join_transaction_mode="rollback_only")
            yield
            book.db.commit()
    finally:
        book.db.remove()
        book.db.configure(bind=book.engine, join_transaction_mode="conditional_savepoint")


def _is_defined(book: Gradebook, chapter: str, structure: NotebookNode) -> bool:
    """Whether the gradebook has these cells as they are."""
    try:
        notebook = book.find_notebook(chapter, chapter)
    except MissingEntry:
        return False
    wanted = [cell for cell in structure.cells if "nbgrader" in cell.metadata]
    graded = {
        (cell.metadata.nbgrader.grade_id, float(cell.metadata.nbgrader.points), cell.cell_type)
        for cell in wanted
        if utils.is_grade(cell) or utils.is_task(cell)
    }
    solved = {cell.metadata.nbgrader.grade_id for cell in wanted if utils.is_solution(cell)}
    sources = {
        (cell.metadata.nbgrader.grade_id, cell.metadata.nbgrader.get("checksum"), cell.source)
        for cell in wanted
    }
    cells = [*notebook.grade_cells, *notebook.task_cells]
    return (
        {(cell.name, cell.max_score, cell.cell_type) for cell in cells} == graded
        and {cell.name for cell in notebook.solution_cells} == solved
        and {(cell.name, cell.checksum, cell.source) for cell in notebook.source_cells} == sources
    )


def _settle(grade: Grade, auto: float | None, anew: bool) -> None:
    """Set the checks' points; a person's stay, and are to be looked at if anything changed."""
    changed = anew or grade.auto_score != auto
    grade.auto_score = auto
    if grade.manual_score is None:
        grade.needs_manual_grade = auto is None
    elif changed:
        grade.needs_manual_grade = True


def _by_stub(cell: NotebookNode | None) -> float | None:
    """0 for an answer to be graded by hand that nobody wrote, None for one that waits."""
    if cell is None:
        return None
    return 0.0 if not cell.source.strip() else utils.determine_grade(cell)[0]


def _comment(record: Record, cell: NotebookNode | None) -> str | None:
    if record.status == FAILED:
        return NOT_GRADED
    untouched = cell and cell.metadata.nbgrader.get("checksum") == utils.compute_checksum(cell)
    return "No response." if untouched else None


def _was_failed(notebook: SubmittedNotebook) -> bool:
    return any(comment.auto_comment == NOT_GRADED for comment in notebook.comments)


def _before(path: Path) -> NotebookNode:
    """The notebook that was written for formgrader before, if there is one."""
    return nbformat.read(path, as_version=4) if path.exists() else new_notebook()


def _answers(notebook: NotebookNode) -> dict[str, str]:
    marked = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    return {cell.metadata.nbgrader.grade_id: cell.source for cell in marked}


def _write(path: Path, content: str) -> None:
    """Write a file whole, or remove it if there is nothing to say; leave it if it is the same."""
    if not content:
        path.unlink(missing_ok=True)
        return
    data = content.encode("utf-8", "replace")
    if path.exists() and path.read_bytes() == data:
        return
    aside.write(path, data)
