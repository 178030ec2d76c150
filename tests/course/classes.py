"""Small classes to be graded: a course's folder, submissions, and a worker that always dies."""

import json
import os
import shutil
import signal
from pathlib import Path

from filled import ROOT, filled, save, solutions

from trlkit.course.chapters import bank
from trlkit.course.teacher import workers

SECRET = "5" * 64


def course(folder: Path) -> Path:
    """A course's folder with the real solutions, and a secret that is always the same."""
    folder.mkdir(parents=True)
    for name in ("solutions", "notebooks"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    (folder / "build/grading").mkdir(parents=True)
    (folder / "build/grading/secret").write_text(SECRET, encoding="ascii")
    return folder


def solved(chapter, **others):
    """A solved notebook with other answers in place of some."""
    return filled(chapter, {**solutions(chapter), **others})


def mistaken(chapter, *names):
    """A solved notebook with the first known mistake of each of these exercises."""
    return solved(chapter, **{name: bank.mistakes(name)[0].source for name in names})


def submit(notebook, root, student, chapter):
    """Put a notebook where nbgrader collects it."""
    return save(notebook, root / student / chapter / f"{chapter}.ipynb")


def submit_text(content, root, student, chapter):
    """Put there what may be no notebook."""
    text = content if isinstance(content, str) else json.dumps(content)
    path = root / student / chapter / f"{chapter}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def dies_of_eve(job):
    """In place of :func:`trlkit.course.teacher.workers.run`: one submission ends its worker."""
    if job.submission.student == "eve":
        os.kill(os.getpid(), signal.SIGKILL)
    return workers.run(job)
