"""The way through the course as a small map: what is done, and what comes next.

It runs nothing: an exercise is done where this session's check passed it, or where the saved
notebook shows that it did. ``trlkit progress`` runs the notebooks and counts anew.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from html import escape
from pathlib import Path

from trlkit.course.chapters import manifest
from trlkit.course.chapters.manifest import Chapter, Item
from trlkit.course.learner.lab import find_notebooks

LEFT = "text-align: left; white-space: normal"
COLOR = re.compile(r"\x1b\[[\d;]*m")
OK = re.compile(r"^(\w+) +ok: ", re.MULTILINE)  # as a report says it


@dataclass(frozen=True)
class Way:
    """The chapters with the exercises that are done; it shows itself as a map.

    Attributes
    ----------
    done : frozenset of str
        Exercises.
    here : str
        The chapter to go on from.
    folder : Path or None
        Where the chapters lie.
    """

    done: frozenset[str]
    here: str = ""
    folder: Path | None = None

    def next(self) -> tuple[Chapter, Item] | None:
        """The first open exercise of this chapter, of those after it, or of those before it."""
        chapters = manifest.chapters()
        start = next((k for k, chapter in enumerate(chapters) if chapter.name == self.here), 0)
        for chapter in chapters[start:] + chapters[:start]:
            for item in chapter.exercises:
                if item.name not in self.done:
                    return chapter, item
        return None

    def _rows(self) -> list[tuple[Chapter, list[bool]]]:
        return [
            (chapter, [item.name in self.done for item in chapter.exercises])
            for chapter in manifest.chapters()
        ]

    def _said(self) -> str:
        return "Next: {1.title}, about {1.minutes} min" if self.next() else "All exercises are done"

    def __repr__(self) -> str:
        following = self.next()
        lines = []
        for chapter, squares in self._rows():
            mark = ">" if following and following[0] is chapter else " "
            drawn = "".join("■" if done else "□" for done in squares)
            count = f"{sum(squares)}/{len(squares)}"
            lines.append(f"{mark} {chapter.title[:44]:44s} {count:>6s}  {drawn}")
        return "\n".join([*lines, self._said().format(*following or ())])

    def _repr_html_(self) -> str:
        following = self.next()
        rows = []
        for chapter, squares in self._rows():
            drawn = "".join(
                f'<span title="{escape(item.title)}">{"■" if done else "□"}</span>'
                for item, done in zip(chapter.exercises, squares, strict=True)
            )
            title = escape(chapter.title)
            if following and following[0] is chapter:
                title = f"<strong>{title}</strong>"
            rows.append(
                f'<tr><td style="{LEFT}">{self._linked(chapter, title)}</td>'
                f'<td style="{LEFT}; white-space: nowrap">{sum(squares)} of {len(squares)}</td>'
                f'<td style="{LEFT}; word-break: break-all; min-width: 5em" '
                f'aria-hidden="true">{drawn}</td></tr>'
            )
        said = escape(self._said().format(*following or ()))
        if following:
            said = self._linked(following[0], said)
        return f"<table>{''.join(rows)}</table><p>{said}</p>"

    def _linked(self, chapter: Chapter, text: str) -> str:
        """A text that leads to a chapter, where it lies beside this one."""
        path = f"{chapter.name}/{chapter.name}.ipynb"
        there = self.folder and (self.folder / path).exists()
        return f'<a href="../{path}">{text}</a>' if there else text


def way(passed: Collection[str]) -> Way:
    """The way of a learner whose session has passed these exercises, the last one last."""
    here = Path.cwd()
    beside = list(here.parent.glob("[0-9][0-9]_*/*.ipynb"))
    folder = here.parent if beside else find_notebooks()
    names = {
        item.name: chapter.name for chapter in manifest.chapters() for item in chapter.exercises
    }
    saved = _saved(folder) if folder else set()
    chapter = names.get(next(reversed(list(passed)), ""), here.name)
    return Way(frozenset(names.keys() & (saved | {*passed})), chapter, folder)


def _saved(folder: Path) -> set[str]:
    """The exercises that passed, as the outputs in the chapters' notebooks show it."""
    found: set[str] = set()
    for chapter in manifest.chapters():
        path = folder / chapter.name / f"{chapter.name}.ipynb"
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            texts = [
                "".join(output.get("text", ""))
                for cell in cells
                for output in cell.get("outputs", ())
            ]
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue  # a notebook that cannot be read shows nothing
        found |= {name for text in texts for name in OK.findall(COLOR.sub("", text))}
    return found
