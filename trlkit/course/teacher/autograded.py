"""A submission as formgrader opens it: the learner's cells, and the checks with what they said."""

from collections.abc import Callable, Iterator, Sequence

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output

from trlkit.course.learner.runner import CHECK
from trlkit.course.teacher.record import Record, Row

Clean = Callable[[NotebookNode], NotebookNode]
MANY = 5000  # cells and outputs that are shown; to validate one takes about a millisecond


def rebuild(
    notebook: NotebookNode | None, structure: NotebookNode, record: Record, clean: Clean
) -> tuple[NotebookNode, dict[str, NotebookNode]]:
    """The notebook for formgrader, and the learner's own cells in it by their ``grade_id``.

    Parameters
    ----------
    notebook : NotebookNode, optional
        What was handed in, None where it is no notebook.
    structure : NotebookNode
        The chapter with nbgrader's marks and checksums, as the gradebook holds it.
    record : Record
        Its messages become the outputs of the checks, as text.
    clean : callable
        Takes out of the learner's cells what a browser would run.
    """
    marked = {_name(cell): cell for cell in structure.cells if _name(cell)}
    notes = [record.reason] * bool(record.reason) + list(record.notes)
    cells = []
    try:
        if notebook is not None and _size(notebook) > MANY:
            notes.append(f"the notebook cannot be shown: it has more than {MANY} cells and outputs")
        elif notebook is not None:
            cells = list(clean(_copied(notebook, structure, marked)).cells)
    except Exception as error:  # whatever is wrong with what a stranger wrote
        why = f"{type(error).__name__}: {error}"
        notes.append(f"the notebook cannot be shown ({why[:300]})")
    names = {cell.id: name for name, cell in marked.items()}
    own = {names[cell.id]: cell for cell in cells if cell.id in names}
    for name, cell in own.items():
        cell.metadata = nbformat.from_dict({"nbgrader": marked[name].metadata.nbgrader})
        if cell.metadata.nbgrader.locked or _is_check(cell):
            cell.source = marked[name].source
    cells = _completed(cells, structure, own)
    rows = {f"check_{row.exercise}": row for row in record.rows}
    for cell in cells:
        if _is_check(cell):
            cell.outputs = [_told(rows[_name(cell)])] if _name(cell) in rows else []
    if notes:
        text = "\n".join(notes)
        cells.insert(
            0, new_code_cell("# Notes on this submission", id="notes", outputs=[_out(text)])
        )
    made = _notebook(cells, structure)
    made.metadata = nbformat.from_dict({**structure.metadata, "trlkit": {"graded": True}})
    return _valid(made), own


def _notebook(cells: list[NotebookNode], structure: NotebookNode) -> NotebookNode:
    """A notebook that need not be valid yet."""
    versions = {"nbformat": 4, "nbformat_minor": 5}
    return nbformat.from_dict({"cells": cells, "metadata": structure.metadata, **versions})


def _name(cell: NotebookNode) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def _is_check(cell: NotebookNode) -> bool:
    marks = cell.metadata.get("nbgrader", {})
    return bool(marks.get("grade")) and not marks.get("solution") and cell.cell_type == "code"


def _size(notebook: NotebookNode) -> int:
    outputs = [cell.get("outputs") for cell in notebook.cells]
    return len(outputs) + sum(len(told) for told in outputs if isinstance(told, list))


def _copied(
    notebook: NotebookNode, structure: NotebookNode, marked: dict[str, NotebookNode]
) -> NotebookNode:
    """The learner's cells, made anew with nothing but text and outputs, and with the marks' ids."""
    names = _names(notebook.cells, structure, marked)
    cells = []
    for number, (cell, name) in enumerate(zip(notebook.cells, names, strict=True)):
        kind = marked[name].cell_type if name else cell.cell_type
        kind = kind if kind in ("code", "markdown") else "raw"
        made = {
            "cell_type": kind,
            "id": marked[name].id if name else f"cell-{number}",
            "metadata": {"nbgrader": marked[name].metadata.nbgrader} if name else {},
            "source": cell.source.encode("utf-8", "replace").decode("utf-8"),  # no lone surrogates
        }
        if kind == "code":
            outputs = cell.get("outputs")
            outputs = outputs if isinstance(outputs, list) else []
            made |= {"outputs": outputs, "execution_count": None}
        elif kind == "markdown" and isinstance(cell.get("attachments"), dict):
            made["attachments"] = cell.attachments
        cells.append(nbformat.from_dict(made))
    return _notebook(cells, structure)


def _names(
    cells: Sequence[NotebookNode], structure: NotebookNode, marked: dict[str, NotebookNode]
) -> list[str]:
    """Which of the structure's cells each of the learner's is: by mark, or what is left of it.

    A copied cell keeps the mark in its last copy alone, as with nbgrader.
    """
    ids = {cell.id: name for name, cell in marked.items()}
    pairs = _pairs(structure.cells)
    above = {(*_title(before), cell.cell_type): _name(cell) for before, cell in pairs}
    told = [_marks(cell) for cell in cells], [ids.get(str(cell.get("id")), "") for cell in cells]
    checks = [CHECK.search(cell.source) if cell.cell_type == "code" else None for cell in cells]
    given = {_title(cell) for cell in structure.cells if not _name(cell)}
    follows = [
        "" if _title(cell) in given else above.get((*_title(before), cell.cell_type), "")
        for before, cell in _pairs(cells)
    ]
    names = [""] * len(cells)
    for way in (*told, [f"check_{found[1]}" if found else "" for found in checks], ["", *follows]):
        for number in reversed(range(len(cells))):
            if way[number] in marked and not names[number] and way[number] not in names:
                names[number] = way[number]
    return names


def _marks(cell: NotebookNode) -> str:
    marks = cell.metadata.get("nbgrader") if isinstance(cell.metadata, dict) else None
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    return name if isinstance(name, str) else ""


def _pairs(cells: Sequence[NotebookNode]) -> Iterator[tuple[NotebookNode, NotebookNode]]:
    return zip(cells, cells[1:], strict=False)


def _title(cell: NotebookNode) -> tuple[str, str]:
    return cell.cell_type, cell.source.strip().split("\n")[0]


def _completed(
    cells: list[NotebookNode], structure: NotebookNode, own: dict[str, NotebookNode]
) -> list[NotebookNode]:
    """The cells with the graded ones that are missing, each behind the one that it follows."""
    made, last = list(cells), -1
    for cell in structure.cells:
        name = _name(cell)
        if name in own:
            last = next(i for i, one in enumerate(made) if one is own[name])
        elif name and cell.metadata.nbgrader.grade:
            last += 1
            made.insert(last, nbformat.from_dict(cell))
    return made


def _told(row: Row) -> NotebookNode:
    """What a check said, where nbgrader would show what it printed."""
    passed = row.points >= row.out_of
    text = f"{row.points:g} of {row.out_of:g} points"
    text += "".join(f"\n{part}" for part in (row.technical, row.message) if part)
    return _out(text, "stdout" if passed else "stderr")


def _out(text: str, name: str = "stdout") -> NotebookNode:
    shown = "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
    return new_output("stream", name=name, text=shown + "\n")


def _valid(made: NotebookNode) -> NotebookNode:
    """The notebook, without the learner's outputs and attachments where it is invalid with them."""
    try:
        nbformat.validate(made)
        nbformat.writes(made).encode("utf-8")
    except Exception:
        for cell in made.cells:
            cell.pop("attachments", None)
            if cell.cell_type == "code" and not _is_check(cell) and cell.id != "notes":
                cell.outputs = []
    return made
