"""Grade without a sandbox: as ``trlkit check`` does, with all that this leaves open."""

import time

from trlkit.course.learner import runner
from trlkit.course.teacher import clean
from trlkit.course.teacher.record import FAILED, GRADED, Record, Row
from trlkit.course.teacher.scratch import Scratch
from trlkit.course.teacher.workers import Job


def grade(job: Job) -> Record:
    """What ``trlkit check`` says of a submission, as a record."""
    submission, began = job.submission, time.monotonic()
    digests = {"submission": submission.digest, "rules": job.rules.digest}
    with Scratch() as folder:
        path = folder / f"{submission.chapter or 'notebook'}.ipynb"
        path.write_bytes(submission.content)
        for name, data in job.files:
            (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
            (path.parent / name).write_bytes(data)
        try:
            chapter, result = runner.check_notebook(path)
        except runner.NotANotebook as error:
            reason = clean.text(str(error).replace(str(folder), ""))[:500]
            name = submission.chapter or ""
            return Record(submission.student, name, FAILED, reason, **digests)
    titles = {item.name: item.title for item in chapter.exercises}
    rows = tuple(
        Row(
            exercise=row.name,
            title=titles[row.name],
            points=row.points if row.passed else 0.0,
            out_of=row.points,
            message="" if row.passed else clean.text(row.story or row.reason)[:10_000],
            mistake=row.mistake,
        )
        for row in result.rows
    )
    notes = (*submission.remarks, *result.notes, "graded without a sandbox")
    return Record(
        submission.student,
        chapter.name,
        GRADED,
        rows=rows,
        by_hand=chapter.by_hand,
        notes=tuple(clean.text(note)[:500] for note in notes),
        seconds=round(time.monotonic() - began, 3),
        **digests,
    )
