"""What the name of a file that was handed in says: whose it is, and of which chapter.

nbgrader has ``STUDENT/CHAPTER/CHAPTER.ipynb``. Moodle names a file ``Ada Lovelace_1234567_``
``assignsubmission_file_/NAME``, or without folders ``Ada Lovelace_1234567_assignsubmission_file_``
``NAME``; the number is the participant's in this one assignment. Canvas names it
``lovelaceada_LATE_USER_FILE_NAME``, with ``LATE`` only where it was, the user's number, and the
file's, which grows with every file that is handed in.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from trlkit.course.chapters import manifest

NBGRADER, MOODLE, CANVAS = "nbgrader", "Moodle", "Canvas"
MOODLE_FOLDER = re.compile(r"(?P<name>.+)_(?P<id>[0-9]+)_assignsubmission_[a-z]+_?", re.DOTALL)
MOODLE_FILE = re.compile(
    r"(?P<name>.+?)_(?P<id>[0-9]+)_assignsubmission_[a-z]+_(?P<file>.+)", re.DOTALL
)
CANVAS_FILE = re.compile(
    r"((LATE_)?(?P<anonymous>anon_[A-Za-z0-9]+)|(?P<name>\w+?)_(LATE_)?(?P<id>[0-9]+))"
    r"_(?P<number>[0-9]+)_(?P<file>.+)",
    re.DOTALL,
)
# Browsers add an ending of their own to a notebook that they save.
NOTEBOOK = re.compile(r"\.ipynb(\.(json|txt))?\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """What the names on the way to a file say."""

    platform: str
    name: str  # the student's: an id in nbgrader's folders, a name on a platform
    file: str  # the file's name as its author chose it
    number: str = ""
    order: int = 0  # grows with every file that is handed in
    late: bool = False
    folder: str = ""  # nbgrader's chapter folder
    beside: bool = False  # it is no submission, but stands beside one
    alone: bool = True  # its folder holds files of this student only

    @property
    def is_notebook(self) -> bool:
        return bool(NOTEBOOK.search(self.file))


def place_of(parts: tuple[str, ...], depth: int = 1) -> Place | None:
    """What the names from the source down to a file say; None where they say nothing.

    They are read from above, since what a student may name stands below the rest. ``depth`` is
    where the chapters' folders stand: see :func:`depth_of`.
    """
    *folders, name = parts
    known = chapters()
    for above, folder in enumerate(folders):
        if match := MOODLE_FOLDER.fullmatch(folder):
            return Place(MOODLE, match["name"], name, match["id"])
        if above == depth and folder in known:
            break
    if len(parts) > depth and parts[depth] in known:
        beside = len(parts) > depth + 2 or not NOTEBOOK.search(name)
        return Place(NBGRADER, parts[depth - 1], name, folder=parts[depth], beside=beside)
    if match := MOODLE_FILE.fullmatch(name):
        return Place(MOODLE, match["name"], match["file"], match["id"], alone=False)
    if match := CANVAS_FILE.fullmatch(name):
        who, number = match["anonymous"] or match["name"], match["id"] or ""
        late, order = "_LATE_" in f"_{name[: match.start('number')]}", int(match["number"])
        return Place(CANVAS, who, match["file"], number, order, late, alone=False)
    if len(folders) == 2 and NOTEBOOK.search(name):
        return Place(NBGRADER, folders[0], name, folder=folders[1])
    return None


def depth_of(paths: Iterable[tuple[str, ...]]) -> int:
    """Where in a zip the chapters' folders stand: a student's own folders lie deeper."""
    known = chapters()
    depths = [d for parts in paths for d, name in enumerate(parts) if d and name in known]
    return min(depths, default=1)


def chapters() -> list[str]:
    """The names of the course's chapters."""
    return [chapter.name for chapter in manifest.chapters()]


def chapter_called(text: str) -> str:
    """The name of the chapter with this name or number, "01" or "1" for "01_tensors"."""
    for name in chapters():
        number = name.split("_")[0]
        if text in (name, number, number.lstrip("0") or "0"):
            return name
    raise ValueError(f"no chapter is called {text!r}; there are {', '.join(chapters())}")


def chapter_named(file: str) -> str | None:
    """The one chapter that a file's name holds, in whatever form browsers and people give it."""
    told = re.sub(r"[\s-]+", "_", file.casefold())
    found = [n for n in chapters() if re.search(rf"(?<![0-9]){re.escape(n)}(?![0-9a-z])", told)]
    return found[0] if len(found) == 1 else None
