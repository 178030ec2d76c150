"""Learners' notebooks with answers written into them."""

import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
MARKS = re.compile(r"^\s*(### (BEGIN|END) SOLUTION|#~).*\n?", re.MULTILINE)


def chapter_names() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("solutions/*/*.ipynb"))


def released(chapter: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "notebooks" / chapter / f"{chapter}.ipynb", as_version=4)


def solutions(chapter: str) -> dict[str, str]:
    """The solution of each exercise and prediction of a chapter, by the cell's grade_id."""
    path = ROOT / "solutions" / chapter / f"{chapter}.ipynb"
    return {
        cell.metadata.nbgrader.grade_id: MARKS.sub("", cell.source).strip()
        for cell in nbformat.read(path, as_version=4).cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }


def kept_lines(chapter: str) -> list[str]:
    """What the solutions return, line by line, without what the released notebook shows anyway."""
    given = "\n".join(cell.source for cell in released(chapter).cells)
    lines = re.findall(
        r"^ *(return (?!NotImpl)[^\n]+)", "\n".join(solutions(chapter).values()), re.MULTILINE
    )
    return [line.strip() for line in lines if line.strip() not in given]


def filled(chapter: str, answers: dict[str, str]) -> nbformat.NotebookNode:
    """The released notebook with these answers in its cells."""
    notebook = released(chapter)
    waiting = set(answers)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in answers:
            cell.source = answers[name]
            waiting.discard(name)
    assert not waiting, f"no cell for {waiting}"
    return notebook


def save(notebook: nbformat.NotebookNode, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path
