"""``trlkit grade``: a class's submissions, from what was handed in to grades and reports."""

import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trlkit.course import aside
from trlkit.course.teacher import classreport, clean, feedback, grades, workers
from trlkit.course.teacher.grade import Rules, files_of
from trlkit.course.teacher.gradebook import ClassGradebook
from trlkit.course.teacher.letters import letters
from trlkit.course.teacher.record import ERROR, GRADED, STATUSES, Record
from trlkit.course.teacher.roster import Roster, read_roster, unfit
from trlkit.course.teacher.submissions import Intake, Submission, find, parse
from trlkit.course.teacher.workers import Job

SECRET = "build/grading/secret"


@dataclass(frozen=True)
class Options:
    """What the command line says; see ``trlkit grade --help``."""

    submitted: Path
    course: Path = Path()
    chapter: str | None = None
    workers: int | None = None
    scheduler: str | None = None
    db: str | None = None
    resume: bool = False
    out: Path | None = None
    roster: Path | None = None
    unsafe_local: bool = False


def grade_class(options: Options) -> int:
    """Grade what was handed in; 0 when every submission has a result, 1 when some have none."""
    course = options.course.resolve()
    out = (options.out or course / "build" / "graded").resolve()
    roster = read_roster(options.roster) if options.roster else None
    right = letters(course / "solutions")  # first: nothing is made where there is no course
    if not options.submitted.exists():
        raise ValueError(f"{options.submitted}: there is no such folder or zip")
    rules = Rules(secret(course / SECRET), right)
    with ClassGradebook(course, clean.clean, options.db, roster) as book:
        intake = find(options.submitted, options.chapter, roster, book.students)
        if not (intake.handed or intake.missing or intake.unknown):
            raise ValueError(
                f"{options.submitted}: holds no submission; expected "
                "STUDENT/CHAPTER/CHAPTER.ipynb, or notebooks as Moodle or Canvas exports them"
            )
        kept = _kept(out, intake.submissions, rules) if options.resume else {}
        waiting = [s for s in intake.submissions if (s.student, s.chapter) not in kept]
        _tell(intake, len(waiting))
        handed = {(s.student, s.chapter): s for s in intake.handed}
        records = [record for record, _ in intake.failed] + intake.missing
        said: list[str] = []
        for record in (*records, *kept.values()):
            said += _keep(record, handed.get((record.student, record.chapter)), out, book)
        jobs = (Job(submission, files_of(submission), rules) for submission in waiting)
        for job, record in _progress(_graded(jobs, len(waiting), options), len(waiting)):
            said += _keep(record, job.submission, out, book)
            records.append(record)
        records += kept.values()
        records.sort(key=lambda record: (record.chapter, record.student))
        table = grades.lines(records, book.totals())
    out.mkdir(parents=True, exist_ok=True)
    grades.write_grades(table, out / "grades.csv")
    grades.write_moodle(table, out, intake.identifiers, roster)
    grades.write_canvas(table, out / "canvas.csv", intake.identifiers, roster)
    report = classreport.page(records, _names(roster))
    aside.write(out / "class.html", report.encode("utf-8", "replace"))
    for line in said:
        print(f"  {line}")
    _summary(records, len(kept), out)
    return 1 if any(record.status == ERROR for record in records) else 0


def secret(path: Path) -> str:
    """The instructor's overlay, made at the first run: whoever reads it can tell hidden cases."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f".{path.name}.new")
        made.touch(mode=0o600)
        made.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
        os.replace(made, path)
        print(f"made {path}: the hidden cases come from it. Keep it to yourself, and keep it.")
    return path.read_text(encoding="ascii").strip()


def _graded(jobs: Iterable[Job], number: int, options: Options) -> Iterator[tuple[Job, Record]]:
    if options.unsafe_local:
        from trlkit.course.teacher import unsafe

        return ((job, unsafe.grade(job)) for job in jobs)
    if options.scheduler:
        return workers.scheduled(jobs, options.scheduler)
    count = options.workers or len(os.sched_getaffinity(0))
    return workers.local(jobs, max(1, min(count, number)))


def _progress(graded: Iterable[tuple[Job, Record]], count: int) -> Iterator[tuple[Job, Record]]:
    from tqdm import tqdm

    with tqdm(graded, total=count, unit="submission", disable=not count) as bar:
        for job, record in bar:
            bar.set_postfix_str(f"{record.student[:20]} {record.score:g}/{record.max_score:g}")
            yield job, record


def _keep(
    record: Record, submission: Submission | None, out: Path, book: ClassGradebook
) -> list[str]:
    """Write a record, its feedback and its place in the gradebook; what is to be told."""
    if not record.chapter or unfit(record.student):
        return [f"{clean.text(record.student)}: {record.reason}"]
    folder = out / record.student
    aside.write(folder / f"{record.chapter}.json", record.to_json().encode())
    notebook = None
    if submission is not None and record.status == GRADED:
        notebook = parse(submission.content)
    said = book.merge(record, submission)
    page = feedback.page(record, notebook, book.given(record))
    aside.write(folder / f"{record.chapter}.html", page.encode("utf-8", "replace"))
    book.hand_back(record, page)
    return said


def _kept(
    out: Path, submissions: Iterable[Submission], rules: Rules
) -> dict[tuple[str, str | None], Record]:
    """What an earlier run left of the same submissions under the same rules."""
    kept, digest = {}, rules.digest
    for submission in submissions:
        if submission.chapter is None or unfit(submission.student):
            continue
        path = out / submission.student / f"{submission.chapter}.json"
        try:
            record = Record.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        same = (record.submission, record.rules) == (submission.digest, digest)
        if same and record.status != ERROR:
            kept[submission.student, submission.chapter] = record
    return kept


def _names(roster: Roster | None) -> dict[str, str] | None:
    if roster is None:
        return None
    return {
        student.id: f"{student.first_name} {student.last_name}".strip() or student.id
        for student in roster.students.values()
    }


def _tell(intake: Intake, waiting: int) -> None:
    kept = len(intake.submissions) - waiting
    before = f"{kept} kept from before, " if kept else ""
    others = f"{len(intake.missing)} not handed in, {len(intake.unknown)} unknown"
    print(f"{waiting} to grade, {before}{len(intake.failed)} that cannot be read, {others}")
    for line in intake.unknown[:20]:
        print(f"  unknown: {clean.text(line)}")
    if len(intake.unknown) > 20:
        print(f"  and {len(intake.unknown) - 20} more")


def _summary(records: list[Record], kept: int, out: Path) -> None:
    counts = {status: sum(r.status == status for r in records) for status in STATUSES}
    words = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    more = f" ({kept} kept from before)" if kept else ""
    print(f"{words or 'nothing was handed in'}{more}")
    print(f"grades: {out / 'grades.csv'}   the class: {out / 'class.html'}")
    for record in records:
        if record.status == ERROR:
            print(f"  {record.student} {record.chapter}: {record.reason}", file=sys.stderr)
