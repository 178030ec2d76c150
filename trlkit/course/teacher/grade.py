"""Grade one submission: run what its answers need in the sandbox, judge them here."""

import base64
import contextlib
import hashlib
import hmac
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import torch

import trlkit
from trlkit.course.chapters import manifest
from trlkit.course.chapters.exercises import EXERCISES, judge, used
from trlkit.course.chapters.manifest import Chapter, Item
from trlkit.course.checking.answer import Lost
from trlkit.course.checking.exercise import Quiz
from trlkit.course.checking.report import Report
from trlkit.course.learner import runner
from trlkit.course.learner.needed import makes, needed
from trlkit.course.teacher import clean
from trlkit.course.teacher.files import Refused, files_in
from trlkit.course.teacher.record import FAILED, GRADED, Record, Row
from trlkit.course.teacher.remote import RemoteAnswer
from trlkit.course.teacher.sandbox import Child, Limits, Sandbox, explained
from trlkit.course.teacher.submissions import Submission, parse
from trlkit.course.teacher.wire import Broken, Writer

CELL_SECONDS = 60.0
EXERCISE_SECONDS = 90.0
SUBMISSION_SECONDS = 600.0
STARTS = 12  # processes that one submission may use up
PICTURES = 200  # that are kept: a class makes the same mistakes, and drawing takes its time
FILES, FILE_BYTES = 50, 20_000_000  # that may lie beside a notebook
_PICTURES: dict[bytes, str] = {}


@dataclass(frozen=True)
class Rules:
    """What a submission is judged by.

    Attributes
    ----------
    secret : str
        The instructor's overlay: from it the seeds of the hidden cases are made.
    letters : dict
        The right letter of each quiz.
    limits : Limits
    cell_seconds, exercise_seconds, submission_seconds : float
    """

    secret: str
    letters: dict[str, str]
    limits: Limits = field(default_factory=Limits)
    cell_seconds: float = CELL_SECONDS
    exercise_seconds: float = EXERCISE_SECONDS
    submission_seconds: float = SUBMISSION_SECONDS

    def seed(self, exercise: str) -> int:
        """The seed of an exercise's hidden cases: nobody without the secret can tell it."""
        made = hmac.new(self.secret.encode(), exercise.encode(), hashlib.sha256)
        return int.from_bytes(made.digest()[:6], "big")

    @property
    def digest(self) -> str:
        """What a grade depends on besides the submission: these rules, and the course's code."""
        text = f"{code_digest()} {self.secret} {sorted(self.letters.items())} {self.limits} "
        text += f"{self.cell_seconds} {self.exercise_seconds} {self.submission_seconds}"
        return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_digest() -> str:
    """The SHA-256 of all files of the package."""
    root, made = Path(trlkit.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".json") and path.is_file():
            made.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return made.hexdigest()


def grade(
    submission: Submission,
    rules: Rules,
    sandbox: Sandbox,
    files: Sequence[tuple[str, bytes]] = (),
) -> Record:
    """Grade a submission. The same submission under the same rules gets the same points.

    Parameters
    ----------
    submission : Submission
        Read, never run here.
    rules : Rules
    sandbox : Sandbox
        A warm one, for one submission at a time.
    files : sequence of (str, bytes)
        What lies beside the notebook, from :func:`files_of`.

    Returns
    -------
    Record
        "graded", or "failed" where the file cannot be graded, with the reason.

    Raises
    ------
    NoSandbox, OSError
        What is no learner's doing, and is worth another try.
    """
    began = time.monotonic()
    try:
        notebook = parse(submission.content, f"{submission.chapter or 'the notebook'}.ipynb")
        chapter = chapter_of(notebook, submission.chapter)
    except ValueError as error:
        return Record(
            submission.student,
            submission.chapter or "",
            FAILED,
            clean.text(str(error))[:500],
            submission=submission.digest,
            rules=rules.digest,
        )
    run = Run(notebook, chapter, files, rules, sandbox)
    with _left_as_it_was():
        try:
            rows = run.judged()
        finally:
            run.end()
    return Record(
        student=submission.student,
        chapter=chapter.name,
        status=GRADED,
        rows=rows,
        by_hand=chapter.by_hand,
        notes=tuple(clean.text(note)[:500] for note in (*submission.remarks, *run.notes)),
        seconds=round(time.monotonic() - began, 3),
        submission=submission.digest,
        rules=rules.digest,
        extra={"answers": run.answers()},
    )


@contextlib.contextmanager
def _left_as_it_was() -> Iterator[None]:
    """Leave random numbers and torch's settings where they were, whatever an answer does to them.

    It may come to its end, or its time be over, anywhere.
    """
    states = random.getstate(), np.random.get_state()
    gradients, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    strict = torch.are_deterministic_algorithms_enabled()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_grad_enabled(gradients)
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(strict)


def chapter_of(notebook: nbformat.NotebookNode, name: str | None) -> Chapter:
    """The chapter of a notebook: by its name, else by its cells."""
    if name is not None:
        return manifest.chapter(name)
    return runner.chapter_of(notebook, Path("the notebook"))


class Run:
    """One submission on its way through the sandbox."""

    def __init__(
        self,
        notebook: nbformat.NotebookNode,
        chapter: Chapter,
        files: Sequence[tuple[str, bytes]],
        rules: Rules,
        sandbox: Sandbox,
    ):
        self.chapter, self.files, self.rules, self.sandbox = chapter, files, rules, sandbox
        self.notes: list[str] = list(runner.remarks(notebook))
        self.sources = _sources(notebook, chapter)
        names = [item.name for item in chapter.exercises]
        wanted = needed(self.sources, names)
        self.cells = [source for k, source in enumerate(self.sources) if k in wanted]
        made = [makes(source) for source in self.cells]
        self.makers = {name: [k for k, own in enumerate(made) if name in own] for name in names}
        self.lost: dict[int, str] = {}  # cells that are not run any more, and why
        self.errors: dict[int, str] = {}
        self.child: Child | None = None
        self.starts = 0
        self.until = time.monotonic() + rules.submission_seconds

    def end(self) -> None:
        """End the learner's process, if there is one."""
        if self.child is not None:
            self.child.end()
            self.child = None

    def judged(self) -> tuple[Row, ...]:
        """A row for each exercise of the chapter."""
        rows, passed = [], set()
        for item in self.chapter.exercises:
            began = time.monotonic()
            report, technical = self._try(item, passed)
            if report is not None and report.passed:
                passed.add(item.name)
            rows.append(_row(item, report, technical, time.monotonic() - began))
        return tuple(rows)

    def answers(self) -> dict[str, str]:
        """The source of each answer, for whoever reads the feedback."""
        return {
            name: "\n\n".join(self.cells[k] for k in makers)[:20_000]
            for name, makers in self.makers.items()
            if makers
        }

    def _try(self, item: Item, passed: set[str]) -> tuple[Report | None, str]:
        """The report on one exercise; or none, and what went wrong on the way."""
        while True:
            if self.starts >= STARTS or time.monotonic() > self.until:
                return None, "not judged: the notebook took too long or ended Python too often"
            running: int | None = None
            try:
                if self.child is None:
                    self.starts += 1
                    self.child = self.sandbox.fork(self.chapter.name)
                    with self.child.within(self.rules.cell_seconds):
                        for name, data in self.files:
                            self.child.file(name, data)
                    for running, source in enumerate(self.cells):
                        if running in self.lost:
                            continue
                        with self.child.within(self._seconds(self.rules.cell_seconds)):
                            error, _ = self.child.run(source)
                        self.errors[running] = error
                    running = None
                with self.child.within(self._seconds(self.rules.exercise_seconds)):
                    try:
                        return self._judge(item, passed), ""
                    except (MemoryError, OSError):
                        raise
                    except Exception as error:  # a value that no check has thought of
                        kind = type(error).__name__
                        raise Broken(f"its value cannot be compared: {kind}") from error
            except Lost as lost:
                child, self.child = self.child, None
                seconds = (
                    self.rules.cell_seconds
                    if running is not None
                    else (self.rules.exercise_seconds)
                )
                why = explained(lost, child.fate(), seconds)
                child.end()
                if running is None:
                    return None, why
                self.lost[running] = why
                first = self.cells[running].strip().split("\n")[0][:60]
                self.notes.append(f"a cell ({first}) was given up: {why}")

    def _seconds(self, most: float) -> float:
        return max(0.1, min(most, self.until - time.monotonic()))

    def _judge(self, item: Item, passed: set[str]) -> Report:
        """The report on an answer: on the visible cases, and if it stands, on hidden ones."""
        name = item.name
        answer = RemoteAnswer(self.child, name)
        lost = [self.lost[k] for k in self.makers[name] if k in self.lost]
        errors = [self.errors.get(k, "") for k in self.makers[name]]
        if answer.kind == "missing" and (lost or any(errors)):
            report = Report(name)
            why = lost[-1] if lost else f"raises {[e for e in errors if e][-1]}"
            return report.no(f"the cell of `{name}` {why}")
        if isinstance(EXERCISES[name], Quiz):
            return self._quiz(name, answer)
        doubtful = [use for use in used(name) if use not in passed]
        report = judge(name, answer, None, doubtful)
        if report.passed:
            hidden = judge(name, answer, self.rules.seed(name), doubtful)
            report = report if hidden.passed else hidden.hide()
        return report

    def _quiz(self, name: str, answer: RemoteAnswer) -> Report:
        report = judge(name, answer)
        given = answer.value
        right = self.rules.letters[name]
        if report.passed and not (isinstance(given, str) and given.strip().lower() == right):
            return Report(name).no(f'"{given}" is not the answer')
        return report


def _row(item: Item, report: Report | None, technical: str, seconds: float) -> Row:
    passed = report is not None and report.passed
    picture = ""
    if report is not None and report.picture is not None and not passed:
        picture = drawn(*report.picture)
    message = technical if report is None else "" if passed else report.render()
    return Row(
        exercise=item.name,
        title=item.title,
        points=item.points if passed else 0.0,
        out_of=item.points,
        message=clean.text(message)[:10_000],
        mistake="" if report is None else report.mistake,
        seconds=round(seconds, 3),
        picture=picture,
        technical=clean.text(technical)[:500],
    )


def drawn(expected: Any, got: Any) -> str:
    """The target beside an answer, as a PNG in base64; nothing where they cannot be drawn."""
    writer = Writer()
    told = json.dumps(writer.tree([expected, got])).encode()
    key = hashlib.sha256(b"".join([told, *writer.buffers])).digest()
    if key not in _PICTURES:
        while len(_PICTURES) >= PICTURES:
            _PICTURES.pop(next(iter(_PICTURES)))
        _PICTURES[key] = _draw(expected, got)
    return _PICTURES[key]


def _draw(expected: Any, got: Any) -> str:
    import io

    from trlkit.lab import plotting

    try:
        picture, file = plotting.target_and_yours(expected, got), io.BytesIO()
        picture.savefig(file, format="png", dpi=80, metadata={"Software": None})
    except (AttributeError, ValueError, TypeError, RuntimeError, MemoryError):
        return ""
    return base64.b64encode(file.getvalue()).decode()


def _sources(notebook: nbformat.NotebookNode, chapter: Chapter) -> list[str]:
    """The code cells of a notebook but its checks, in order."""
    checks = {item.name for item in chapter.exercises}
    return [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and runner.exercise_of(cell) not in checks
    ]


def files_of(submission: Submission) -> tuple[tuple[str, bytes], ...]:
    """What lies beside a notebook in its folder: no link, nothing hidden, and not too much."""
    if submission.folder is None:
        return ()
    found, left = [], FILE_BYTES
    with files_in(submission.folder) as files:
        for file in files:
            hidden = any(part.startswith(".") for part in file.parts)
            if file.refused or hidden or file.parts[-1].endswith(".ipynb"):
                continue
            try:
                content = file.read(left)
            except Refused:
                break
            left -= len(content)
            found.append(("/".join(file.parts), content))
            if len(found) >= FILES:
                break
    return tuple(found)
