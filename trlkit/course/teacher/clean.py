"""A submission's notebook without anything that a browser would run or fetch.

For formgrader, nbgrader's feedback and the pages of ``trlkit grade``: none of these asks whether
the notebook that it shows is trusted.
"""

import re
from collections.abc import Callable
from typing import Any

import nbformat

from trlkit.course.teacher.markup import (
    PICTURES,
    REACHING,
    TEXT,
    html,
    line,
    markdown,
    picture,
    text,
    verbatim,
)

__all__ = ["cells", "clean", "joined", "line", "text"]

CELLS = 1000
OUTPUTS = 50  # of one cell
SOURCE = 7 * TEXT  # characters of one cell: Markdown made harmless may have grown so much
SOURCES = 1_000_000  # characters of all cells
RENDERED = 200_000  # characters of Markdown and of HTML, each, that are read: that takes time
SHOWN = 8_000_000  # characters of all outputs
METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
MARKS = {  # nbgrader's marks on a cell, and what each may be
    **dict.fromkeys(("grade", "locked", "solution", "task"), lambda mark: isinstance(mark, bool)),
    "grade_id": lambda mark: _word(mark, r"[\w-]{1,100}"),
    "checksum": lambda mark: _word(mark, r"[0-9a-f]{1,64}"),
    "cell_type": lambda mark: mark in ("code", "markdown"),
    "schema_version": lambda mark: type(mark) is int and 0 < mark < 100,
    "points": lambda mark: type(mark) in (int, float) and 0 <= mark <= 1000,
}


def clean(notebook: Any) -> nbformat.NotebookNode:
    """A copy of a notebook that is harmless to show, and still holds what is harmless in it.

    Code stays (but for characters that nobody sees), so do texts, tables, pictures in PNG and
    JPEG, formulas, and nbgrader's marks. What is harmless already is left as it is, so that
    nbgrader's checksums stay true. Everything is bounded: where something was cut, it says so.

    Parameters
    ----------
    notebook : dict
        A notebook of nbformat 4, or whatever its author made of it: nothing here raises.

    Returns
    -------
    nbformat.NotebookNode
        A valid notebook of nbformat 4.5.
    """
    left = {"source": SOURCES, "markdown": RENDERED, "html": RENDERED, "shown": SHOWN}
    given = cells(notebook)
    kept = [_cell(cell, left) for cell in given[:CELLS]]
    if len(given) > CELLS:
        kept.append(_remark(f"{len(given) - CELLS:,} more cells are not shown."))
    seen: set[str] = set()
    for number, cell in enumerate(kept):
        if cell["id"] in seen or not cell["id"]:
            cell["id"] = next(
                name
                for count in range(len(kept) + 1)
                if (name := f"cell-{number}-{count}") not in seen
            )
        seen.add(cell["id"])
    content = {"cells": kept, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return nbformat.from_dict(content)


def cells(notebook: Any) -> list[dict]:
    """The cells of a stranger's notebook, in the order in which :func:`clean` keeps them."""
    return [cell for cell in _list(_dict(notebook).get("cells")) if isinstance(cell, dict)]


def joined(value: Any) -> str:
    """A text of a notebook, which may be a list of its lines."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _cell(cell: dict, left: dict[str, int]) -> dict:
    kind = cell.get("cell_type")
    kind = kind if kind in ("code", "markdown") else "raw"
    source = joined(cell.get("source"))
    kept = {
        "cell_type": kind,
        "id": cell.get("id") if _word(cell.get("id"), r"[\w-]{1,64}") else "",
        "metadata": _metadata(_dict(cell.get("metadata"))),
    }
    source = text(source, min(SOURCE, left["source"]))
    left["source"] -= len(source)
    if kind == "code":
        outputs = _list(cell.get("outputs"))
        shown = [_output(output, left) for output in outputs[:OUTPUTS]]
        if len(outputs) > OUTPUTS:
            shown.append(_said(f"{len(outputs) - OUTPUTS:,} more outputs are not shown."))
        kept["outputs"] = [output for output in shown if output]
        kept["execution_count"] = _count(cell.get("execution_count"))
    elif kind == "raw":  # exported to HTML as it stands
        source = re.sub(r"<(?=[A-Za-z/!?])", "< ", REACHING.sub("", text(source)))
    else:
        attachments = _attachments(cell.get("attachments"), left)
        source = _markdown(source, left, attachments)
        if attachments and "attachment:" in source:
            kept["attachments"] = attachments
    return {**kept, "source": source}


def _markdown(source: str, left: dict[str, int], attachments: dict | None = None) -> str:
    left["markdown"] -= len(source)
    return markdown(source if left["markdown"] > 0 else verbatim(source), attachments)


def _html(fragment: str, left: dict[str, int]) -> str:
    left["html"] -= len(fragment)
    return html(fragment) if len(fragment) <= TEXT and left["html"] > 0 else ""


def _metadata(metadata: dict) -> dict:
    """Whether the cell can be edited, its tags, and nbgrader's marks."""
    kept: dict[str, Any] = {
        key: metadata[key]
        for key in ("deletable", "editable")
        if isinstance(metadata.get(key), bool)
    }
    tags = [tag for tag in _list(metadata.get("tags")) if _word(tag, r"[\w-]{1,50}")]
    if tags:
        kept["tags"] = list(dict.fromkeys(tags))[:20]
    marks = _dict(metadata.get("nbgrader"))
    known = {key: marks[key] for key, fits in MARKS.items() if key in marks and fits(marks[key])}
    needed = {"grade", "grade_id", "solution"}
    if known.get("grade") or known.get("task"):
        needed |= {"points"}
    if needed <= known.keys():  # formgrader stops at a notebook with half of them
        kept["nbgrader"] = known
    return kept


def _output(output: Any, left: dict[str, int]) -> dict | None:
    """One output of a cell; None where nothing of it can be shown."""
    output = _dict(output)
    kind = output.get("output_type")
    if left["shown"] <= 0:
        return None
    if kind == "stream":
        said = text(joined(output.get("text")), colors=True)
        left["shown"] -= len(said)
        return {
            "output_type": "stream",
            "name": "stderr" if output.get("name") == "stderr" else "stdout",
            "text": said,
        }
    if kind == "error":
        lines = [text(joined(part), 5000, True) for part in _list(output.get("traceback"))[:100]]
        left["shown"] -= sum(map(len, lines))
        return {
            "output_type": "error",
            "ename": line(output.get("ename", "")),
            "evalue": text(joined(output.get("evalue")), 5000),
            "traceback": lines,
        }
    if kind not in ("display_data", "execute_result"):
        return None
    data = _data(_dict(output.get("data")), left)
    left["shown"] -= sum(map(len, data.values()))
    sizes = _dict(output.get("metadata"))
    kept = {"output_type": kind, "data": data, "metadata": _sizes(sizes, data)}
    if kind == "execute_result":
        kept["execution_count"] = _count(output.get("execution_count"))
    return kept


def _data(data: dict, left: dict[str, int]) -> dict[str, str]:
    """What can be shown of an output, by its type; else a word about what cannot."""
    makers: dict[str, Callable[[str], str]] = {
        "text/plain": lambda value: text(value, colors=True),
        "text/html": lambda value: _html(value, left),
        "text/markdown": lambda value: _markdown(value, left),
        "text/latex": lambda value: REACHING.sub("", text(value)),
        **{kind: lambda value, kind=kind: picture(kind, value) for kind in PICTURES},
    }
    kept = {kind: make(joined(data[kind])) for kind, make in makers.items() if kind in data}
    kept = {kind: value for kind, value in kept.items() if value}
    if data and not kept:
        kinds = ", ".join(line(kind, 60) for kind in list(data)[:3])
        kept["text/plain"] = f"[an output that is not shown: {kinds}]"
    return kept


def _sizes(metadata: dict, data: dict) -> dict:
    """The sizes of pictures, and the words that stand in for them."""
    kept = {}
    for kind in PICTURES:
        told = _dict(metadata.get(kind))
        sizes = {
            key: told[key]
            for key in ("height", "width")
            if type(told.get(key)) is int and 0 < told[key] < 5000
        }
        if isinstance(told.get("alt"), str):
            sizes["alt"] = line(told["alt"], 2000)
        if sizes and kind in data:
            kept[kind] = sizes
    return kept


def _attachments(attachments: Any, left: dict[str, int]) -> dict:
    """The pictures attached to a cell."""
    kept = {}
    for name, bundle in list(_dict(attachments).items())[:20]:
        if not _word(name, r"[\w][\w .-]{0,100}"):
            continue
        for kind in PICTURES:
            data = picture(kind, _dict(bundle).get(kind))
            if data and len(data) <= left["shown"]:
                left["shown"] -= len(data)
                kept[name] = {kind: data}
    return kept


def _remark(words: str) -> dict:
    return {"cell_type": "markdown", "id": "", "metadata": {}, "source": words}


def _said(words: str) -> dict:
    return {"output_type": "stream", "name": "stdout", "text": words}


def _count(number: Any) -> int | None:
    return number if type(number) is int and 0 <= number < 1_000_000 else None


def _word(value: Any, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []
