"""From masters to notebooks: nbgrader's source, the learner's release, the table of the course.

Everything is made aside, in a folder of its own, and only what is whole is put in place.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from trlkit.course import aside
from trlkit.course.author.masters import ANSWERS, BuildError, Cell, Master, heading, read_masters
from trlkit.course.chapters.manifest import FILE, Chapter
from trlkit.course.learner.runner import run_notebook
from trlkit.experiments.found import plain

TABLE = re.compile(r"(<!-- chapters -->\n).*?(<!-- /chapters -->)", re.DOTALL)
LEAK = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN|MARK)|#~")
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def build(root: Path, check: bool = False, only: Sequence[str] = ()) -> list[str]:
    """Make all that is generated from the masters in ``root``.

    Parameters
    ----------
    root : Path
        The course: the folder that holds ``solutions/``.
    check : bool
        Change nothing, try nothing out; say what differs from what a build would make.
    only : sequence of str
        The chapters to release anew; the others' notebooks stay as they are. By default all.

    Returns
    -------
    list of str
        A line for each file that was written (or differs), and for each notebook
        that was kept aside because somebody had worked in it.

    Raises
    ------
    BuildError
        If a master has a fault, or a notebook does not behave: nothing is changed then.
    ValueError
        If there is no chapter of a name in ``only``.
    """
    masters = read_masters(root)
    unknown = set(only) - {master.name for master in masters}
    if unknown:
        known = ", ".join(master.name for master in masters)
        raise ValueError(f"no chapter is called {', '.join(sorted(unknown))}; there are {known}")
    with tempfile.TemporaryDirectory(prefix="trlkit-build-") as folder:
        files = make(masters, root, Path(folder), only, try_out=not check)
    changed = {path: text for path, text in files.items() if _content(root / path) != text}
    if check:
        stray = {str(path.relative_to(root)) for path in root.glob("notebooks/*/*.ipynb")} - {
            *files
        }
        return [f"{path} differs from its master" for path in changed] + [
            f"{path} has no master" for path in sorted(stray)
        ]
    said = _keep_work(root, changed)
    for path, text in changed.items():
        aside.write(root / path, text.encode())
    return said + [f"wrote {path}" for path in changed]


def make(
    masters: list[Master], root: Path, stage: Path, only: Sequence[str], try_out: bool
) -> dict[str, str]:
    """The text of every generated file, by its path under ``root``; made in ``stage``."""
    shutil.copy(root / "autotests.yml", stage / "autotests.yml")
    files = {}
    for master in masters:
        path = f"solutions/{master.name}/{master.name}.ipynb"
        files[path] = dumps(source_notebook(master))
        aside.write(stage / path, files[path].encode())

    texts = {master.name: _content(root / _released(master)) for master in masters}
    fresh = [
        master
        for master in masters
        if not only or master.name in only or texts[master.name] is None
    ]
    hands = min(len(fresh), os.cpu_count() or 1)
    with ThreadPoolExecutor(max_workers=hands) as pool:
        shares = [fresh[start::hands] for start in range(hands)]
        for share in pool.map(lambda share: release(share, stage, try_out), shares):
            texts |= share
    files |= {_released(master): texts[master.name] for master in masters}
    table = [_chapter(master, files) for master in masters]
    course = json.dumps({"chapters": [asdict(chapter) for chapter in table]}, indent=1)
    files[f"trlkit/course/chapters/{FILE.name}"] = course + "\n"
    readme = _content(root / "README.md") or ""
    if TABLE.search(readme):
        files["README.md"] = TABLE.sub(lambda m: m[1] + readme_table(table) + m[2], readme)
    return files


def source_notebook(master: Master) -> nbformat.NotebookNode:
    """The notebook that nbgrader calls the source: solutions, hidden tests, points."""
    notebook = new_notebook(metadata=METADATA)
    taken: set[str] = set()
    for position, cell in enumerate(master.cells):
        if cell.kind == "markdown":
            text = heading(cell, _points_below(master.cells, position))
            made = new_markdown_cell(plain(text))
        else:
            made = new_code_cell(cell.source + hidden_tests(master, cell))
        made["id"] = _cell_id(cell, taken)
        if cell.role:
            made.metadata["nbgrader"] = _nbgrader(cell)
        notebook.cells.append(made)
    return notebook


def hidden_tests(master: Master, cell: Cell) -> str:
    """The hidden part of a check cell: the same check, on cases drawn with a seed."""
    call = (
        re.search(rf'check\(("{cell.name}"[^\n]*)\)', cell.source) if cell.role == "check" else None
    )
    if call is None or "AUTOTEST" in cell.source:
        return ""
    seed = int(hashlib.sha256(f"{master.name}/{cell.name}".encode()).hexdigest()[:6], 16)
    return (
        "\n### BEGIN HIDDEN TESTS\n"
        "from trlkit.course import check\n"
        f"check({call[1]}, hidden={seed})\n"
        "### END HIDDEN TESTS"
    )


def release(masters: Sequence[Master], stage: Path, try_out: bool) -> dict[str, str]:
    """The learners' notebooks, made by nbgrader in ``stage`` and, if asked, tried out there."""
    for master in masters if try_out else ():
        _try_out(master, stage / f"solutions/{master.name}/{master.name}.ipynb", solved=True)
    names = [master.name for master in masters]
    command = [sys.executable, "-m", "trlkit.course.author.release", *names]
    done = subprocess.run(command, cwd=stage, capture_output=True, text=True, env=_offline())
    texts = {}
    for master in masters:
        path = stage / _released(master)
        if not path.exists():  # it stops at the first that it cannot make
            raise BuildError([master.fault(1, "nbgrader refuses it:\n" + _tail(done.stderr))])
        notebook = nbformat.read(path, as_version=4)
        notebook.metadata = nbformat.from_dict(METADATA)
        texts[master.name] = text = dumps(notebook)
        leaks = [line for line in text.split("\n") if LEAK.search(line)]
        if leaks:
            raise BuildError([master.fault(1, f"a solution leaks: {leaks[0].strip()}")])
        aside.write(path, text.encode())
        if try_out:
            _try_out(master, path, solved=False)
    return texts


def readme_table(chapters: Sequence[Chapter], link: str = "notebooks/{name}/{name}.ipynb") -> str:
    """The chapters as a Markdown table, with their sums; each title leads to its ``link``."""
    rows = [
        "| chapter | minutes | difficulty | exercises | points |",
        "|---|---:|---:|---:|---:|",
    ]
    for chapter in chapters:
        title = f"[{chapter.title}]({link.format(name=chapter.name)})"
        exercises = len(chapter.exercises)
        rows.append(
            f"| {title} | {chapter.minutes} | {chapter.difficulty} of 5 | {exercises} "
            f"| {_points(chapter.points, chapter.by_hand)} |"
        )
    minutes = sum(chapter.minutes for chapter in chapters)
    exercises = sum(len(chapter.exercises) for chapter in chapters)
    points = sum(chapter.points for chapter in chapters)
    by_hand = sum(chapter.by_hand for chapter in chapters)
    rows.append(f"| together | {minutes} | | {exercises} | {_points(points, by_hand)} |")
    return "\n".join(rows) + "\n"


def _points(by_checks: float, by_hand: float) -> str:
    return f"{by_checks:g}" + f" and {by_hand:g} by hand" * bool(by_hand)


def dumps(notebook: nbformat.NotebookNode) -> str:
    """A notebook's text, the same for the same cells."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def _try_out(master: Master, path: Path, solved: bool) -> None:
    """A solved notebook must run whole and pass every check, a blank one must pass none."""
    result = run_notebook(path, master.items)
    lines = {cell.name: cell.line for cell in master.cells if cell.role == "check"}
    why = "the solution fails" if solved else "the blank notebook passes"
    faults = [
        master.fault(lines[row.name], f"{why} check={row.name!r}: {row.reason}".removesuffix(": "))
        for row in result.rows
        if row.passed != solved
    ]
    if solved:
        faults += [
            master.fault(master.cells[number - 1].line, f"the cell raises {error}")
            for number, error in result.errors.items()
        ]
        faults += [master.fault(1, note) for note in result.notes]
    if faults:
        raise BuildError(faults)


def _chapter(master: Master, files: dict[str, str]) -> Chapter:
    text = files[_released(master)]
    cells = {cell.id: cell.source for cell in nbformat.reads(text, as_version=4).cells}
    items = tuple(
        type(item)(**{**asdict(item), "cell": cells[f"check-{item.name}"]}) for item in master.items
    )
    digest = hashlib.sha256(text.encode()).hexdigest()
    facts = master.name, master.title, master.minutes, master.difficulty
    return Chapter(*facts, items, digest, master.by_hand)


def _released(master: Master) -> str:
    return f"notebooks/{master.name}/{master.name}.ipynb"


def _points_below(cells: list[Cell], position: int) -> float:
    """The points of the checks between a title and the next one of its level or above."""
    level = len(re.match("#*", cells[position].source)[0])
    points = 0.0
    for cell in cells[position + 1 :]:
        title = re.match("#+(?= )", cell.source) if cell.kind == "markdown" else None
        if title and len(title[0]) <= level:
            break
        points += cell.points
    return points


def _cell_id(cell: Cell, taken: set[str]) -> str:
    """An id that stays when other cells come and go."""
    digest = hashlib.sha256(cell.source.encode()).hexdigest()[:12]
    name = f"{cell.role}-{cell.name}"[:64] if cell.role else f"{cell.kind}-{digest}"
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    taken.add(unique)
    return unique


def _nbgrader(cell: Cell) -> dict:
    grade_id = cell.name if cell.role in ("solve", "manual") else f"{cell.role}_{cell.name}"
    graded = cell.role in ("check", "manual")
    metadata = {
        "grade": graded,
        "grade_id": grade_id,
        "locked": cell.role in ("check", "lock"),
        "schema_version": 3,
        "solution": cell.role in ANSWERS,
        "task": False,
    }
    return {**metadata, "points": cell.points} if graded else metadata


def _keep_work(root: Path, changed: dict[str, str]) -> list[str]:
    """Copy aside every notebook that is to be replaced and is not as the last build left it."""
    table = _content(root / "trlkit/course/chapters" / FILE.name)
    built = {row["digest"] for row in json.loads(table)["chapters"]} if table else set()
    said = []
    for path in changed:
        text = _content(root / path) if path.startswith("notebooks/") else None
        if text is not None and hashlib.sha256(text.encode()).hexdigest() not in built:
            digest = hashlib.sha256(text.encode()).hexdigest()[:8]
            kept = root / "build" / "kept" / f"{Path(path).stem}-{digest}.ipynb"
            aside.write(kept, text.encode())
            said.append(f"{path} had work in it: kept as {kept.relative_to(root)}")
    return said


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _offline() -> dict[str, str]:
    return {**os.environ, "MPLBACKEND": "agg", "PYTHONHASHSEED": "0"}


def _tail(text: str, lines: int = 15) -> str:
    return "\n".join(text.strip().split("\n")[-lines:])
