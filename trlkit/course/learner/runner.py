"""Run a learner's notebook from outside and say which exercises are right.

The notebook runs in a child process, on a copy of its folder, each cell under a
time limit. A cell that loops is interrupted, one that ends Python costs its own
result: the cells around it run again without it.
"""

import contextlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat

from trlkit.course.chapters import manifest
from trlkit.course.chapters.manifest import Chapter, Item
from trlkit.course.learner.cells import PRINTED, Ran
from trlkit.course.learner.needed import needed, reads

CELL_SECONDS = 120.0
GRACE_SECONDS = 5.0
START_SECONDS = 180.0
NOTEBOOK_SECONDS = 1800.0
RESTARTS = 5
MANY_LINES = 1000
FOLDER_BYTES = 50_000_000
EVENT = 1_000_000  # characters of the longest line that is read from a notebook's process
LINES = 10**12  # more than any cell can print
REASON, STORY = 1000, 100_000
KEEPER = Path(__file__).with_name("keeper.py")
CHECK = re.compile(r'^\s*check\(\s*"(\w+)"', re.MULTILINE)


class NotANotebook(ValueError):
    """The file cannot be run; the text says why in one line."""


@dataclass(frozen=True)
class Row:
    """One exercise of a result."""

    name: str
    points: float
    passed: bool
    reason: str = ""
    story: str = ""
    mistake: str = ""


@dataclass
class Result:
    """What came of a notebook: a row for each exercise, and remarks of one line.

    ``errors`` holds the errors of the cells that grade nothing, by cell number from 1, and
    ``places`` says which cells these are.
    """

    rows: list[Row] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    complete: bool = True  # each cell had its time: no limit of the whole notebook came first

    @property
    def raised(self) -> dict[int, str]:
        """The errors without those of cells that were stopped: a note tells each of these."""
        return {n: error for n, error in self.errors.items() if not error.startswith(_STOPPED)}

    @property
    def points(self) -> float:
        return sum(row.points for row in self.rows if row.passed)

    @property
    def out_of(self) -> float:
        return sum(row.points for row in self.rows)

    @property
    def passed(self) -> bool:
        return all(row.passed for row in self.rows)


@dataclass
class _Cell:
    """A code cell as it will run; ``number`` is its place in the notebook, from 1."""

    number: int
    source: str
    item: Item | None = None
    solves: str = ""
    ran: Ran | None = None

    @property
    def place(self) -> str:
        first = next((line for line in self.source.split("\n") if line.strip()), "")
        first = first if len(first) <= 50 else first[:47] + "..."
        return f"cell {self.number} ({first})" if self.number else "the check added at the end"


def check_notebook(path: Path, everything: bool = False, **limits: float) -> tuple[Chapter, Result]:
    """Run a notebook of the course and grade it by the course's own checks.

    Parameters
    ----------
    path : Path
    everything : bool
        Run every cell, not only those that the answers need.
    **limits
        As for :func:`run_notebook`.

    Returns
    -------
    (Chapter, Result)

    Raises
    ------
    NotANotebook
        If the file is no notebook of the course.
    """
    notebook = read_notebook(path)
    chapter = chapter_of(notebook, path)
    result = run_notebook(path, chapter.exercises, True, not everything, **limits)
    return chapter, result


def run_notebook(
    path: Path,
    items: Sequence[Item],
    trusted: bool = False,
    sparing: bool = False,
    cell_seconds: float = CELL_SECONDS,
    notebook_seconds: float = NOTEBOOK_SECONDS,
    threads: int | None = None,
) -> Result:
    """Run a notebook and say of each item whether its check passed.

    Parameters
    ----------
    path : Path
        Read, never written.
    items : sequence of Item
        The exercises to look for.
    trusted : bool
        Run the items' own check cells in place of the notebook's.
    sparing : bool
        Run only the cells that the items' answers need.
    cell_seconds, notebook_seconds : float
        Time limits in seconds.
    threads : int, optional
        For torch's work; by default as many as it takes.

    Raises
    ------
    NotANotebook
        If the file is no notebook.
    """
    began = time.monotonic()
    notebook = read_notebook(path)
    result = Result()
    result.notes += remarks(notebook)
    cells = _plan(notebook, items, trusted, result.notes)
    if sparing:
        cells = _needed(cells)
    with tempfile.TemporaryDirectory(prefix="trlkit-check-") as folder:
        _copy_folder(path.resolve().parent, Path(folder))
        until = began + notebook_seconds
        result.complete = _run(cells, Path(folder), cell_seconds, until, result.notes, threads)
    for item in items:
        runs = [cell.ran or Ran("was not run") for cell in cells if cell.item is item]
        failed = next(
            (ran for ran in runs if ran.error), None if runs else Ran("has no check cell")
        )
        if failed is None and not all(item.name in ran.passed for ran in runs):
            failed = Ran("its check cell ran, and no check was made")
        if failed is not None and failed.error.startswith("NameError"):
            own = [c.ran.error for c in cells if c.solves == item.name and c.ran and c.ran.error]
            failed = replace(failed, error=f"its cell raises {own[-1]}") if own else failed
        if failed is None:
            result.rows.append(Row(item.name, item.points, True))
        else:
            result.rows.append(
                Row(item.name, item.points, False, failed.error, failed.story, failed.mistake)
            )
    raising = [cell for cell in cells if cell.item is None and cell.ran and cell.ran.error]
    result.errors = {cell.number: cell.ran.error for cell in raising}
    result.places = {cell.number: cell.place for cell in raising}
    result.seconds = time.monotonic() - began
    return result


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook in a file, or a :class:`NotANotebook` that says in one line why not."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotANotebook(f"{path}: there is no such file") from None
    except UnicodeDecodeError:
        raise NotANotebook(f"{path}: is no notebook, but a binary file") from None
    except OSError as error:
        raise NotANotebook(f"{path}: cannot be read ({error.strerror})") from None
    return notebook_in(text, str(path))


def notebook_in(text: str, name: str) -> nbformat.NotebookNode:
    """The notebook in a file's text, or a :class:`NotANotebook` that starts with its name."""
    if not text.strip():
        raise NotANotebook(f"{name}: is empty; {_MEND}")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{") and not text.rstrip().endswith("}"):
            raise NotANotebook(f"{name}: is cut off in line {error.lineno}; {_MEND}") from None
        raise NotANotebook(f"{name}: is no notebook: {error}") from None
    except (RecursionError, ValueError) as error:
        kind = type(error).__name__
        raise NotANotebook(f"{name}: is no notebook that can be read ({kind})") from None
    if not isinstance(content, dict) or "nbformat" not in content:
        raise NotANotebook(f"{name}: is no notebook, though it is JSON: it has no nbformat")
    try:
        notebook = nbformat.from_dict(content)
        if notebook.nbformat != 4:
            notebook = nbformat.convert(notebook, 4)
        _in_order(notebook, ("kernelspec", "language_info"), ("name", "language"))
        for cell in notebook.cells:
            cell.source = "".join(cell.source)
            cell.cell_type  # noqa: B018 (a cell without a type is no cell)
            _in_order(cell, ("nbgrader",), ("grade_id",))
    except Exception as error:
        kind = type(error).__name__
        raise NotANotebook(f"{name}: is a damaged notebook ({kind}: {error}); {_MEND}") from None
    return notebook


def _in_order(holder: Any, tables: Sequence[str], texts: Sequence[str]) -> None:
    """Drop from metadata the tables that are none, and those with a number where a text belongs."""
    found = holder.get("metadata")
    holder.metadata = found if isinstance(found, dict) else nbformat.from_dict({})
    for name in tables:
        table = holder.metadata.get(name, {})
        plain = isinstance(table, dict) and all(isinstance(table.get(t, ""), str) for t in texts)
        if not plain:
            del holder.metadata[name]


_STOPPED = ("took longer", "ended Python", "meddled")
_MEND = "look into .ipynb_checkpoints beside it, or take a fresh copy of the chapter"


def chapter_of(notebook: nbformat.NotebookNode, path: Path) -> Chapter:
    """The chapter whose exercises a notebook holds."""
    names = {exercise_of(cell) for cell in notebook.cells}
    best = max(
        manifest.chapters(),
        key=lambda chapter: sum(item.name in names for item in chapter.exercises),
        default=None,
    )
    if best and any(item.name in names for item in best.exercises):
        return best
    for chapter in manifest.chapters():
        if chapter.name == path.stem:
            return chapter
    raise NotANotebook(f"{path}: holds no exercise of this course")


def exercise_of(cell: nbformat.NotebookNode) -> str:
    """The exercise that a cell grades, by its metadata or, where they are gone, its text."""
    if cell.cell_type != "code":
        return ""
    marks = cell.metadata.get("nbgrader", {})
    if marks.get("grade"):
        return str(marks.get("grade_id", "")).removeprefix("check_")
    found = CHECK.search(cell.source)
    return found[1] if found and not marks else ""


def remarks(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """What is odd about a notebook and does not stop it from running."""
    kernel = notebook.metadata.get("kernelspec", {})
    language = kernel.get("language") or notebook.metadata.get("language_info", {}).get("name")
    if language and language.lower() != "python":
        yield (
            f"saved with the kernel {kernel.get('name', language)!r} ({language}), run here as "
            "Python: in JupyterLab choose Kernel > Change Kernel... > Python 3, and save"
        )
    seen: dict[str, int] = {}
    marked = False
    for number, cell in enumerate(notebook.cells, 1):
        marks = cell.metadata.get("nbgrader", {})
        name = marks.get("grade_id")
        marked = marked or bool(name)
        if name in seen:
            yield (
                f"cell {number} is a copy of cell {seen[name]} ({name}): nbgrader takes one only; "
                "delete one of the two"
            )
        elif name:
            seen[name] = number
    if not marked and any(exercise_of(cell) for cell in notebook.cells):
        yield (
            "the nbgrader metadata is gone; the exercises were found by their text: before you "
            "hand in, copy your answers into a fresh copy of the chapter"
        )


def _plan(
    notebook: nbformat.NotebookNode, items: Sequence[Item], trusted: bool, notes: list[str]
) -> list[_Cell]:
    """The cells to run: the notebook's, with the course's checks in place of its own."""
    wanted = {item.name: item for item in items}
    cells, found = [], set()
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "code":
            continue
        item = wanted.get(exercise_of(cell))
        if item is None or (trusted and item.name in found):
            marks = cell.metadata.get("nbgrader", {})
            solves = marks.get("grade_id", "") if marks.get("solution") else ""
            cells.append(_Cell(number, cell.source, solves=solves))
            continue
        found.add(item.name)
        edited = cell.source.strip() != item.cell.strip()
        source = bool(re.search("### (BEGIN HIDDEN TESTS|HASHED AUTOTEST|AUTOTEST)", cell.source))
        if not trusted or source:
            cells.append(_Cell(number, cell.source, item))
        if trusted:
            cells.append(_Cell(number, item.cell, item))
        if trusted and edited and not source:
            notes.append(
                f"cell {number}: the check of {item.name} was edited; the course's was run"
            )
    for item in items:
        if trusted and item.name not in found:
            notes.append(f"the check cell of {item.name} is missing; it was run at the end")
            cells.append(_Cell(0, item.cell, item))
    return cells


def _needed(cells: list[_Cell]) -> list[_Cell]:
    """The checks, the cells that are to hold their answers, and what these need."""
    graded = {cell.item.name for cell in cells if cell.item}
    names = {name for cell in cells if cell.item for name in reads(cell.source)} | graded
    others = [cell for cell in cells if cell.item is None]
    kept = {id(others[k]) for k in needed([cell.source for cell in others], names)}
    return [c for c in cells if c.item or c.solves in graded or id(c) in kept]


def _run(
    cells: list[_Cell],
    folder: Path,
    cell_seconds: float,
    until: float,
    notes: list[str],
    threads: int | None = None,
) -> bool:
    """Run the cells in child processes until each has a result or is given up.

    False where it was not a cell that ended the run.
    """
    skip: set[int] = set()
    complete = True
    for attempt in range(RESTARTS + 1):
        stopped = _run_once(cells, folder, skip, cell_seconds, until, threads)
        if stopped is None:
            break
        number, why = stopped
        if number is None:
            notes.append(why)
            complete = False
            break
        cells[number].ran = Ran(why)
        skip = {
            i for i, cell in enumerate(cells) if cell.ran and cell.ran.error.startswith(_STOPPED)
        }
        if attempt == RESTARTS:
            notes.append(f"Python was ended {RESTARTS + 1} times; what follows was not run")
    for cell in cells:
        ran = cell.ran
        if ran and ran.error.startswith(_STOPPED):
            notes.append(f"{cell.place} {ran.error}")
        if ran and ran.lines > MANY_LINES:
            notes.append(f"{cell.place} printed {ran.lines:,} lines; only the first were kept")
    return complete


def _run_once(
    cells: list[_Cell],
    folder: Path,
    skip: set[int],
    cell_seconds: float,
    until: float,
    threads: int | None = None,
) -> tuple[int | None, str] | None:
    """One child's life. The cell that ended it and why; None when all cells ran."""
    child = subprocess.Popen(
        [sys.executable, str(KEEPER)],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        env=_environment(threads),
    )
    events: queue.Queue[Any] = queue.Queue()
    to_run = [number for number in range(len(cells)) if number not in skip]
    listener = threading.Thread(
        target=_listen, args=(child.stdout, events, 2 * len(to_run)), daemon=True
    )
    listener.start()
    running: int | None = None
    last: int | None = None
    limit = START_SECONDS
    interrupted = False
    try:
        with_input = json.dumps({"cells": [cell.source for cell in cells], "skip": sorted(skip)})
        threading.Thread(target=_feed, args=(child.stdin, with_input), daemon=True).start()
        while True:
            left = until - time.monotonic()
            try:
                event = events.get(timeout=max(min(limit, left), 0.01))
            except queue.Empty:
                if time.monotonic() >= until:
                    return None, "the notebook took too long; what follows was not run"
                if running is None:
                    return None, "Python did not start in time; is trlkit[course] installed here?"
                if interrupted or os.name == "nt":
                    return running, f"took longer than {cell_seconds:g} s"
                os.killpg(child.pid, signal.SIGINT)
                interrupted, limit = True, GRACE_SECONDS
                continue
            if event is None:
                if running is None:
                    return (None, "Python ended between two cells") if to_run else None
                try:
                    code = child.wait(timeout=GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    return running, _MEDDLED
                how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
                return running, f"ended Python ({how})"
            if running is None and to_run and event == {"start": to_run[0]}:
                running = last = to_run.pop(0)
                limit, interrupted = cell_seconds, False
                continue
            ran = None if running is None else _ran(event, running)
            if ran is None:
                return last, _MEDDLED
            if interrupted:
                ran = replace(ran, error=f"took longer than {cell_seconds:g} s", passed=())
            cells[running].ran = ran
            running, limit, interrupted = None, START_SECONDS, False
    finally:
        _end(child)


_MEDDLED = "meddled with the pipe on which the results are told"


def _environment(threads: int | None) -> dict[str, str]:
    """The variables of a notebook's process: no path of it leads to the notebook's folder."""
    found = {**os.environ, "MPLBACKEND": "agg"}
    paths = [path for path in found.pop("PYTHONPATH", "").split(os.pathsep) if path]
    if paths:
        found["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, paths))
    if threads is not None:
        found.setdefault("OMP_NUM_THREADS", str(threads))
    return found


def _ran(event: Any, number: int) -> Ran | None:
    """The result of the cell ``number`` that an event tells, or None if it tells none."""
    kinds = {"end": int, "lines": int, "passed": list} | dict.fromkeys(
        ("error", "story", "mistake", "printed"), str
    )
    if not isinstance(event, dict) or event.keys() != kinds.keys():
        return None
    if any(type(event[key]) is not kind for key, kind in kinds.items()):
        return None
    if event.pop("end") != number or not 0 <= event["lines"] <= LINES:
        return None
    if not all(type(name) is str for name in event["passed"]):
        return None
    first = " ".join(event["error"].split("\n"))[:REASON]
    cut = {"error": first, "story": event["story"][:STORY], "printed": event["printed"][:PRINTED]}
    cut["mistake"] = event["mistake"][:REASON]
    return Ran(**{**event, **cut, "passed": tuple(event["passed"])})


def _listen(stream, events: queue.Queue, most: int) -> None:
    """Put at most so many events into the queue; what is no JSON comes as a text."""
    for _ in range(most):
        line = stream.readline(EVENT)
        if not line:
            break
        try:
            event = json.loads(line)
            events.put("null" if event is None else event)
        except (ValueError, RecursionError):
            events.put("no JSON")
            break
    events.put(None)


def _feed(stream, text: str) -> None:
    try:
        with stream:
            stream.write(text)
    except OSError:
        pass  # the child is gone: its silence is the answer


def _end(child: subprocess.Popen) -> None:
    """End a child and what it started."""
    if os.name == "nt":
        child.kill()
    else:
        if sys.platform == "linux" and child.poll() is None:
            child.terminate()  # the keeper ends what is below it, whatever its session
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=2 * GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()


def _copy_folder(source: Path, target: Path) -> None:
    """What stands beside the notebook, so that cells read it and cannot change it."""
    files = [file for file in source.rglob("*") if file.is_file() and not file.is_symlink()]
    if sum(file.stat().st_size for file in files) > FOLDER_BYTES:
        return
    for file in files:
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
