"""The table of all runs: one row a finished run, written as it comes."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from trlkit.experiments.measure import ATTACKS, LATENCIES

KEY = ("plan", "stage", "case", "head", "seed", "rate", "decay")
MADE = ("backbone", "kind", "p", "parameters", "samples", "steps", "precision", "graphed")
FOUND = ("validation", "accuracy", "ece", *ATTACKS, *LATENCIES, "head_share", "peak_mb")
ABOUT = ("seconds", "hardware", "versions", "revision")
COLUMNS = (*KEY, *MADE, *FOUND, *ABOUT)


def read(path: Path) -> list[dict[str, str]]:
    """Read a table; a line that a stopped run left unfinished is no row.

    Parameters
    ----------
    path : Path
        It need not be there.

    Returns
    -------
    list of dict
        Of text, as it stands.

    Raises
    ------
    ValueError
        If the columns are others.
    """
    if not path.exists() or not path.stat().st_size:
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    reader = csv.reader(line for line in lines if line.endswith("\n"))
    head = tuple(next(reader, ()))
    if head != COLUMNS:
        strange = sorted(set(head) ^ set(COLUMNS))
        raise ValueError(
            f"{path} has other columns than this version of trlkit writes (see {strange[:3]}): "
            f"move it away, or name another file with --out"
        )
    return [dict(zip(COLUMNS, row, strict=True)) for row in reader if len(row) == len(COLUMNS)]


def key(row: Mapping[str, str]) -> tuple:
    """What names a row, as :attr:`trlkit.experiments.plan.Run.key` does."""
    chosen = (float(row["rate"]), float(row["decay"])) if row["stage"] == "trial" else ()
    return (row["plan"], row["stage"], row["case"], row["head"], int(row["seed"]), *chosen)


class Table:
    """A table that grows row by row.

    Parameters
    ----------
    path : Path
        What is there stays; an unfinished line at its end goes.

    Attributes
    ----------
    rows : list of dict
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = read(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".part")
        with aside.open("w", newline="", encoding="utf-8") as file:
            _writer(file).writerows([dict(zip(COLUMNS, COLUMNS, strict=True)), *self.rows])
        aside.replace(path)

    def add(self, row: Mapping[str, object]) -> None:
        """Write a row, at once."""
        text = {name: _text(row.get(name)) for name in COLUMNS}
        with self.path.open("a", newline="", encoding="utf-8") as file:
            _writer(file).writerow(text)
        self.rows.append(text)

    def done(self) -> set[tuple]:
        """The keys of all rows."""
        return {key(row) for row in self.rows}


def merged(tables: Iterable[Path], out: Path) -> int:
    """Add to a table the rows of others that it lacks; return how many."""
    table = Table(out)
    done, count = table.done(), 0
    for path in tables:
        for row in read(path):
            if key(row) not in done:
                table.add(row)
                done.add(key(row))
                count += 1
    return count


def _writer(file) -> csv.DictWriter:
    return csv.DictWriter(file, COLUMNS, lineterminator="\n")


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
