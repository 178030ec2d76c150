"""What the rows say: numbers of a head, differences over seeds, and quotations of both."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from trlkit.lab.statistics import interval

Row = Mapping[str, str]
EQUAL = 0.01  # of accuracy: what is called equal, one point
QUOTED = re.compile(r"<!--fact (?P<what>[^>]*?)-->(?P<text>.*?)<!--/fact-->", re.DOTALL)
PLACES = ("README.md", "docs/*.md", "docs/guide/*.md", "slides/*.md", "solutions/*/*.py")


class Difference(NamedTuple):
    """A mean of paired differences, half the width of its 95 % interval, and how many pairs."""

    mean: float
    half: float
    pairs: int

    def __str__(self) -> str:
        return f"{100 * self.mean:+.1f} ± {100 * self.half:.1f}"

    @property
    def equal(self) -> bool:
        """Whether the interval lies within one point of accuracy."""
        return abs(self.mean) + self.half <= EQUAL

    @property
    def verdict(self) -> str:
        """What the interval allows to be said: "more", "less", "equal" or "open"."""
        if abs(self.mean) > self.half:
            return "more" if self.mean > 0 else "less"
        return "equal" if self.equal else "open"


def by_seed(rows: Sequence[Row], case: str, head: str, column: str = "accuracy") -> dict:
    """Give the final runs' numbers of a head, by their seeds."""
    return {
        row["seed"]: float(row[column])
        for row in rows
        if (row["stage"], row["case"], row["head"]) == ("final", case, head) and row[column]
    }


def difference(
    rows: Sequence[Row], case: str, head: str, other: str, column: str = "accuracy"
) -> Difference | None:
    """Give head minus other over the seeds both have; None for none."""
    ours, theirs = by_seed(rows, case, head, column), by_seed(rows, case, other, column)
    seeds = sorted(ours.keys() & theirs.keys())
    offs = [ours[seed] - theirs[seed] for seed in seeds]
    return Difference(*interval(offs), len(offs)) if offs else None


def size(rows: Sequence[Row], case: str, head: str) -> int:
    """Give the parameters of a head."""
    return next(int(r["parameters"]) for r in rows if (r["case"], r["head"]) == (case, head))


def fact(rows: Sequence[Row], what: str) -> str:
    """Give one number of the table, as a text quotes it.

    Parameters
    ----------
    rows : sequence of Row
    what : str
        ``PLAN; CASE; HEAD; NUMBER``, where the number is ``parameters``, ``times OTHER`` (how many
        times as many parameters the other head has), ``accuracy`` or another column in %,
        or ``minus OTHER``, the paired difference with its interval; a column may stand before it.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If there is no such number.

    Examples
    --------
    >>> row = {"plan": "heads", "stage": "final", "case": "all", "parameters": "20"}
    >>> rows = [{**row, "head": h, "seed": s, "accuracy": a} for h, s, a in
    ...     [("CP", "0", ".81"), ("CP", "1", ".82"), ("FC", "0", ".8"), ("FC", "1", ".8")]]
    >>> fact(rows, "heads; all; CP; accuracy"), fact(rows, "heads; all; CP; minus FC")
    ('81.5', '+1.5 ± 6.4')
    """
    try:
        plan, case, head, number = (part.strip() for part in what.split(";"))
        own = [row for row in rows if row["plan"] == plan]
        if number == "parameters":
            return f"{size(own, case, head):,}"
        if number.startswith("times "):
            times = size(own, case, number.removeprefix("times ")) / size(own, case, head)
            return f"{times:,.0f}" if times >= 10 else f"{times:.1f}"
        column, minus, other = number.rpartition("minus ")
        if minus:
            found = difference(own, case, head, other, column.strip() or "accuracy")
            return str(found) if found else _nothing(what)
        return f"{100 * mean(by_seed(own, case, head, number).values()):.1f}"
    except (ValueError, KeyError, StopIteration):
        _nothing(what)


def _nothing(what: str):
    raise ValueError(
        f"the table of the experiments has no number for {what!r}: it is named by plan, case, head "
        f"and a column, as in 'heads; all; CP; accuracy'"
    )


def quote(text: str, rows: Sequence[Row]) -> str:
    """Set every quoted number of a text to what the rows say now.

    ``<!--fact heads; all; CP; accuracy-->83.8<!--/fact-->`` is one; see :func:`fact`.
    """
    return QUOTED.sub(
        lambda mark: f"<!--fact {mark['what']}-->{fact(rows, mark['what'])}<!--/fact-->", text
    )


def plain(text: str) -> str:
    """A text with its quoted numbers alone, the marks gone."""
    return QUOTED.sub(lambda mark: mark["text"], text)


def quoting(root: Path) -> list[Path]:
    """The files of the course that quote a number."""
    places = (path for pattern in PLACES for path in sorted(root.glob(pattern)))
    return [path for path in places if QUOTED.search(path.read_text(encoding="utf-8"))]
