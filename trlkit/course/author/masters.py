"""Masters: the one place where a chapter is written, and what its markers mean.

A master is a jupytext percent script with a marker on the cells that matter::

    # %% lock="imports"               a cell that learners cannot edit
    # %% predict="shape"              an answer that is not graded
    # %% solve="unfold"               the learner's answer
    # %% check="unfold" points=2      what grades it
    # %% [markdown] manual="report" points=10   text that a person grades

A title may carry ``{ minutes: 10, difficulty: 2 }``. In a solve or predict cell the lines
between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` are kept from learners; those among
them that start with ``#~`` are what learners get in their place. A markdown cell with
``lock="..."`` may hold a ``### BEGIN MARK SCHEME`` region, which graders alone see.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jupytext

from trlkit.course.chapters.manifest import Item

MARKERS = {
    "lock": set(),
    "predict": set(),
    "solve": set(),
    "check": {"points"},
    "manual": {"points"},
}
ANSWERS = ("solve", "predict", "manual")  # cells that learners fill in
TITLE = re.compile(r"^(?P<level>#{1,6}) (?P<text>.*?)\s*(?:\{(?P<facts>[^}]*)\})?\s*$")
CHAPTER = re.compile(r"^\d\d_[a-z0-9_]+$")


class BuildError(ValueError):
    """What is wrong with the masters, a line for each fault, with file and line."""

    def __init__(self, faults: list[str]):
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass
class Cell:
    """A cell of a master: its text, its marker if any, and where it stands."""

    kind: str  # "markdown" or "code"
    source: str
    line: int
    role: str = ""  # a key of MARKERS, or ""
    name: str = ""
    points: float = 0


@dataclass
class Master:
    """A chapter as it is written."""

    path: Path
    cells: list[Cell]
    title: str = ""
    minutes: int = 0
    difficulty: int = 0
    items: list[Item] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def by_hand(self) -> float:
        """The points that a person gives."""
        return sum(cell.points for cell in self.cells if cell.role == "manual")

    def fault(self, line: int, text: str) -> str:
        return f"{self.path.parent.name}/{self.path.name}:{line}: {text}"


def find_masters(root: Path) -> list[Path]:
    """The masters under ``root``, chapter by chapter."""
    return sorted(path for path in root.glob("solutions/*/*.py") if path.stem == path.parent.name)


def read_masters(root: Path) -> list[Master]:
    """Read every master; a :class:`BuildError` lists all that is wrong with them."""
    masters, faults, seen = [], [], {}
    for path in find_masters(root):
        master, found = read_master(path)
        masters.append(master)
        faults += found
        for cell in master.cells:
            if cell.role and (cell.role, cell.name) in seen and cell.role != "lock":
                first = seen[cell.role, cell.name]
                text = f"{cell.role}={cell.name!r} is used before, in {first}"
                faults.append(master.fault(cell.line, text))
            seen.setdefault((cell.role, cell.name), f"{path.name}:{cell.line}")
    if not masters:
        faults.append(f"{root}: no master solutions/NN_topic/NN_topic.py is there")
    if faults:
        raise BuildError(faults)
    return masters


def read_master(path: Path) -> tuple[Master, list[str]]:
    """A master and its faults."""
    text = path.read_text(encoding="utf-8")
    lines = [number for number, line in enumerate(text.split("\n"), 1) if line.startswith("# %%")]
    cells = jupytext.reads(text, fmt="py:percent").cells
    master = Master(path, [])
    if len(cells) != len(lines):
        return master, [master.fault(1, 'every cell must start with a line "# %%"')]
    faults = []
    for number, cell in zip(lines, cells, strict=True):
        made = Cell(cell.cell_type, cell.source, number)
        faults += [master.fault(number, fault) for fault in _mark(made, dict(cell.metadata))]
        master.cells.append(made)
    if not CHAPTER.match(path.stem):
        faults.append(master.fault(1, f"a chapter is called NN_topic, got {path.stem!r}"))
    return master, [*faults, *_describe(master), *_pair(master)]


def _mark(cell: Cell, metadata: dict) -> Iterator[str]:
    """Take the marker out of a cell's metadata; yield what is wrong with it."""
    metadata.pop("lines_to_next_cell", None)
    roles = [key for key in metadata if key in MARKERS]
    allowed = {*roles[:1], *(MARKERS[roles[0]] if roles else ())}
    for key in metadata.keys() - allowed:
        known = ", ".join(MARKERS)
        yield f"unknown marker {key!r}; there are {known}, and points on check and manual"
    if roles:
        cell.role, cell.name = roles[0], metadata[roles[0]]
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", str(cell.name)):
            yield f"{cell.role}={cell.name!r}: a name has letters, digits and _"
        if cell.kind != "code" and cell.role not in ("lock", "manual"):
            yield f"{cell.role}={cell.name!r} marks a markdown cell; it belongs on a code cell"
        if cell.kind == "code" and cell.role == "manual":
            yield f"manual={cell.name!r} marks a code cell; it belongs on a markdown cell"
    if cell.role in ("check", "manual"):
        cell.points = metadata.get("points", 0)
        if not isinstance(cell.points, int | float) or not cell.points > 0:
            yield f"{cell.role}={cell.name!r} needs points=, a number above 0"
    yield from _regions(cell)


def _regions(cell: Cell) -> Iterator[str]:
    """What is wrong with the BEGIN and END lines of a cell."""
    opened = ""
    found = Counter()
    for line in cell.source.split("\n"):
        marker = re.search(r"### (BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)", line)
        if marker is None:
            continue
        edge, what = marker.groups()
        if edge == "BEGIN":
            if opened:
                yield f"BEGIN {what} inside another region"
            opened = what
            found[what] += 1
        elif opened != what:
            yield f"END {what} without its BEGIN"
        else:
            opened = ""
    if opened:
        yield f"BEGIN {opened} without its END"
    if cell.role in ANSWERS and not found["SOLUTION"]:
        yield f"{cell.role}={cell.name!r} has no ### BEGIN SOLUTION ... ### END SOLUTION"
    if cell.role not in ANSWERS and found["SOLUTION"]:
        yield f"a solution stands in a cell that is not marked {', '.join(ANSWERS)}"
    if found["MARK SCHEME"] and (cell.role, cell.kind) != ("lock", "markdown"):
        yield 'a mark scheme stands in a cell that is not a markdown cell marked lock="..."'
    if found["HIDDEN TESTS"]:
        yield "hidden tests are added by the build; a master has none"
    if cell.role == "check" and f'check("{cell.name}"' not in cell.source:
        yield f'check={cell.name!r} must call check("{cell.name}", ...)'


def _pair(master: Master) -> Iterator[str]:
    """Solves without checks, checks without solves or before them."""
    cells = {role: {} for role in MARKERS}
    for position, cell in enumerate(master.cells):
        if cell.role:
            cells[cell.role].setdefault(cell.name, (position, cell))
    for name, (position, cell) in cells["solve"].items():
        if name not in cells["check"]:
            yield master.fault(cell.line, f"solve={name!r} has no check={name!r}")
        elif cells["check"][name][0] < position:
            yield master.fault(cell.line, f"solve={name!r} stands after its check")
    for name, (_, cell) in cells["check"].items():
        if name not in cells["solve"]:
            yield master.fault(cell.line, f"check={name!r} has no solve={name!r}")


def _describe(master: Master) -> Iterator[str]:
    """Read titles and their facts; yield what is missing."""
    title, facts, exercise = "", {}, Counter()
    for cell in master.cells:
        for number, line in enumerate(cell.source.split("\n")):
            inside = TITLE.match(line) if cell.kind == "markdown" and number else None
            if inside and inside["facts"]:
                fault = f"the title {inside['text']!r} stands inside a cell: it starts one"
                yield master.fault(cell.line + 1 + number, fault)
        match = TITLE.match(cell.source.split("\n")[0]) if cell.kind == "markdown" else None
        if match:
            title, facts = match["text"], {}
            for entry in filter(None, (match["facts"] or "").split(",")):
                key, _, value = entry.partition(":")
                if key.strip() not in ("minutes", "difficulty") or not value.strip().isdigit():
                    fault = f"a title's facts are {{ minutes: 10, difficulty: 2 }}, got {entry!r}"
                    yield master.fault(cell.line, fault)
                else:
                    facts[key.strip()] = int(value)
            if match["level"] == "#" and not master.title:
                master.title = title
                master.minutes, master.difficulty = (
                    facts.get(k, 0) for k in ("minutes", "difficulty")
                )
        if cell.role == "check" and not exercise[cell.name]:
            exercise[cell.name] += 1
            if not facts:
                fault = f"check={cell.name!r}: its title has no {{ minutes: .., difficulty: .. }}"
                yield master.fault(cell.line, fault)
            master.items.append(
                Item(
                    cell.name,
                    title,
                    cell.points,
                    facts.get("minutes", 0),
                    facts.get("difficulty", 0),
                    cell.source,
                )
            )
    if not (master.title and master.minutes and master.difficulty):
        fault = "a chapter starts with a title: # 1. Tensors { minutes: 60, difficulty: 2 }"
        yield master.fault(1, fault)


def heading(cell: Cell, points: float) -> str:
    """A markdown cell with its title's facts written out for the reader."""
    first, *rest = cell.source.split("\n")
    match = TITLE.match(first)
    if not match or not match["facts"]:
        return cell.source
    facts = dict(entry.split(":") for entry in match["facts"].split(","))
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    parts = [f"difficulty {facts['difficulty']} of 5"] if "difficulty" in facts else []
    parts += [f"about {_count(int(facts['minutes']), 'minute')}"] if "minutes" in facts else []
    parts += [_count(points, "point")] if points else []
    return "\n".join([f"{match['level']} {match['text']}", "", f"*{', '.join(parts)}*", *rest])


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'s' * (number != 1)}"
