"""What grading costs: ``trlkit grade`` beside ``nbgrader autograde``, and as a class grows.

``python -m trlkit.course.teacher.measure`` hands in a class whose notebooks are solved, blank or
have known mistakes, grades it both ways in turn, and writes a page of tables.
"""

import argparse
import datetime
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import nbformat
import psutil
from nbgrader.api import Gradebook

from trlkit.bench.results import _markdown_table, environment
from trlkit.course.chapters import bank, manifest
from trlkit.course.teacher.places import chapter_called

SOLVED, BLANK = 0.2, 0.1  # shares of a class; the others have one to four mistakes
REST = 0.2  # seconds between two looks at the memory


class Cost(NamedTuple):
    """What a command took of the machine's processors and of the clock, in seconds."""

    cpu: float
    wall: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.cpu + other.cpu, self.wall + other.wall)


class Pair(NamedTuple):
    """Both ways on the same files: their costs, and how many submissions got the same points."""

    count: int
    ours: Cost
    theirs: Cost
    same: int


class Course:
    """A copy of the course in a folder of its own, with a class of one chapter."""

    def __init__(self, folder: Path, course: Path, chapter: str):
        self.folder, self.source, self.chapter = folder, course, chapter
        for name in ("solutions", "notebooks"):
            shutil.copytree(course / name, folder / name)
        for name in ("nbgrader_config.py", "autotests.yml"):
            shutil.copy(course / name, folder)

    def hand_in(self, place: str, students: Sequence[int], seed: int) -> Path:
        """Write the submissions of students into a folder, as nbgrader collects them."""
        root = self.folder / place
        for student in students:
            path = root / f"s{student:04}" / self.chapter / f"{self.chapter}.ipynb"
            path.parent.mkdir(parents=True)
            path.write_text(handed_in(self.source, self.chapter, student, seed), encoding="utf-8")
        return root

    def grade(self, submitted: Path, workers: int, out: str = "out") -> list[str]:
        """The command of ``trlkit grade`` for a folder."""
        return [
            *(sys.executable, "-m", "trlkit.cli", "grade", str(submitted)),
            *("--course", str(self.folder), "--out", str(self.folder / out)),
            *("--workers", str(workers)),
        ]

    def points(self) -> dict[str, float]:
        """The points of each student in the course's gradebook."""
        with Gradebook(f"sqlite:///{self.folder / 'build/gradebook.db'}", "trl") as book:
            return {row["student"]: row["score"] for row in book.submission_dicts(self.chapter)}


def handed_in(course: Path, chapter: str, student: int, seed: int) -> str:
    """A student's notebook: solved, blank, or with known mistakes, drawn by the seed."""
    chance = random.Random(f"{seed} {student}")
    notebook = nbformat.read(course / "notebooks" / chapter / f"{chapter}.ipynb", as_version=4)
    kind = chance.random()
    answers = {} if kind < BLANK else _solutions(course, chapter)
    if kind >= BLANK + SOLVED:
        names = [item.name for item in manifest.chapter(chapter).exercises]
        for name in chance.sample(names, min(len(names), chance.randint(1, 4))):
            answers[name] = chance.choice(bank.mistakes(name)).source
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = answers.get(name, cell.source)
    return nbformat.writes(notebook)


def _solutions(course: Path, chapter: str) -> dict[str, str]:
    path = course / "solutions" / chapter / f"{chapter}.ipynb"
    return {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution")
    }


def cost(command: Sequence[str], folder: Path) -> Cost:
    """Run a command; the processor time that the whole machine spent meanwhile.

    A sandbox's processes end as nobody's children, so that no process is told their times.
    """
    before, began = _spent(), time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    after, ended = _spent(), time.monotonic()
    if done.returncode != 0:
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-800:]}"
        )
    return Cost(after - before, ended - began)


def _spent() -> float:
    """Seconds of all processors on all programs, since the machine's start."""
    times = psutil.cpu_times()
    return times.user + times.system + getattr(times, "nice", 0.0)


def beside(
    folder: Path, course: Path, chapter: str, count: int, workers: int, rounds: int, seed: int
) -> Pair:
    """Grade the same submissions both ways, a part of them in each round."""
    ours, theirs = (Course(folder / name, course, chapter) for name in ("ours", "theirs"))
    nbgrader = [sys.executable, "-m", "nbgrader"]
    cost([*nbgrader, "generate_assignment", chapter, "--force"], theirs.folder)
    totals = [Cost(0.0, 0.0), Cost(0.0, 0.0)]
    for turn in range(rounds):
        students = range(turn, count, rounds)
        submitted = ours.hand_in(f"submitted-{turn}", students, seed)
        theirs.hand_in("build/submitted", students, seed)
        ways: list[Callable[[], Cost]] = [
            lambda at=submitted: cost(ours.grade(at, workers), ours.folder),
            lambda: cost([*nbgrader, "autograde", chapter], theirs.folder),
        ]
        for way in (0, 1) if turn % 2 == 0 else (1, 0):
            took = ways[way]()
            totals[way] += took
            print(f"{len(students)} submissions, way {way}: {took}", file=sys.stderr, flush=True)
    points = ours.points(), theirs.points()
    same = sum(points[1].get(student) == value for student, value in points[0].items())
    return Pair(count, *totals, same)


def growth(
    folder: Path, course: Path, chapter: str, sizes: Sequence[int], workers: int, seed: int
) -> Iterator[tuple[int, Cost]]:
    """What classes of several sizes cost, each in a course of its own."""
    for size in sizes:
        own = Course(folder / f"class-{size}", course, chapter)
        submitted = own.hand_in("submitted", range(size), seed)
        took = cost(own.grade(submitted, workers), own.folder)
        print(f"a class of {size}: {took}", file=sys.stderr, flush=True)
        yield size, took


def memory(folder: Path, course: Path, chapter: str, seed: int) -> dict[str, tuple[int, int]]:
    """The most memory of each process of a run with one worker: RSS and PSS, in bytes."""
    own = Course(folder / "memory", course, chapter)
    submitted = own.hand_in("submitted", range(12), seed)
    most: dict[str, tuple[int, int]] = {}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(own.grade(submitted, 1), cwd=own.folder, **quiet) as process:
        while process.poll() is None:
            for name, rss, pss in _seen(psutil.Process(process.pid)):
                had = most.get(name, (0, 0))
                most[name] = max(had[0], rss), max(had[1], pss)
            time.sleep(REST)
    return most


def _seen(root: psutil.Process) -> Iterator[tuple[str, int, int]]:
    """The processes of a run by what they are, with their memory now."""
    try:
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in tree:
        try:
            words, above = process.cmdline(), process.parent()
            told = process.memory_full_info()
            warm = any(word.endswith("teacher/child.py") for word in words)
            if process == root:
                name = "the command"
            elif "--multiprocessing-fork" in words:
                name = "a worker"
            elif warm and words[0] == sys.executable:
                name = "its sandbox"
                if above is not None and above.cmdline()[:1] == words[:1]:
                    name = "a submission's processes"
            else:
                continue
            yield name, told.rss, told.pss
        except (psutil.Error, IndexError):  # it has ended meanwhile
            continue


def page(
    command: str,
    chapter: str,
    workers: int,
    pair: Pair,
    grown: Sequence[tuple[int, Cost]],
    most: dict[str, tuple[int, int]],
) -> str:
    """The figures as a Markdown page."""
    count, ours, theirs, same = pair
    versions = f"nbgrader {metadata.version('nbgrader')}, {os.cpu_count()} cores in the machine"
    rows = [
        [name, f"{took.cpu / count:.2f}", f"{took.wall / count:.2f}", f"{took.cpu:.0f}"]
        for name, took in (
            (f"`trlkit grade`, {workers} workers", ours),
            ("`nbgrader autograde`, one run", theirs),
        )
    ]
    ratio = [f"{theirs.cpu / ours.cpu:.1f}", f"{theirs.wall / ours.wall:.1f}", ""]
    sizes = [
        [str(n), f"{c.cpu:.0f}", f"{c.cpu / n:.2f}", f"{c.wall:.0f}", f"{c.wall / n:.2f}"]
        for n, c in grown
    ]
    parts = [
        "# What grading costs",
        f"`{command}`, {datetime.date.today()}. {environment('cpu')}, {versions}.",
        f"{count} submissions of {chapter}: solved, blank, and with known mistakes, the same files "
        "both ways, in turn. CPU time is the whole machine's while the command ran, its start "
        f"included. {same} of {count} got the same points both ways.",
        _markdown_table(
            ["", "CPU, s each", "wall, s each", "CPU, s"], [*rows, ["times faster", *ratio]]
        ),
        "## As a class grows",
        _markdown_table(["submissions", "CPU, s", "CPU, s each", "wall, s", "wall, s each"], sizes),
        "## Memory",
        "The most of each process, with one worker. PSS counts what processes share in parts.",
        _markdown_table(
            ["", "RSS, MB", "PSS, MB"],
            [[name, *(f"{b / 1e6:.0f}" for b in found)] for name, found in most.items()],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="trlkit.course.teacher.measure", description=__doc__)
    parser.add_argument("--chapter", default="04")
    parser.add_argument("--submissions", type=int, default=200, help="graded both ways")
    parser.add_argument("--sizes", type=int, nargs="*", default=[50, 100, 200, 400])
    parser.add_argument("--rounds", type=int, default=4, help="in which both ways take turns")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--course", type=Path, default=Path(), help="the course's folder")
    parser.add_argument("--out", type=Path, default=Path("results/grading.md"))
    given = parser.parse_args(arguments)
    chapter, course = chapter_called(given.chapter), given.course.resolve()
    command = "python -m trlkit.course.teacher.measure " + " ".join(arguments or sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="trlkit-measure-") as folder:
        place, what = Path(folder), (course, chapter)
        pair = beside(place, *what, given.submissions, given.workers, given.rounds, given.seed)
        grown = list(growth(place, *what, given.sizes, given.workers, given.seed))
        most = memory(place, *what, given.seed)
    text = page(command.strip(), chapter, given.workers, pair, grown, most)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
