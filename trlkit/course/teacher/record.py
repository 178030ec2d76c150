"""What grading leaves of one submission: a record, and the JSON that it is kept as."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

GRADED, FAILED, MISSING, ERROR = "graded", "failed", "missing", "error"
STATUSES = (GRADED, FAILED, MISSING, ERROR)


@dataclass(frozen=True)
class Row:
    """One exercise of a submission.

    ``message`` is what its author may read: no hidden case, no right answer. ``mistake`` is the
    name of the known mistake that the answer agrees with, ``picture`` a PNG in base64 with the
    target beside the answer, for a case that the notebook shows too. ``technical`` tells a crash,
    a loop or a limit from a wrong answer.
    """

    exercise: str
    title: str
    points: float
    out_of: float
    message: str = ""
    mistake: str = ""
    seconds: float = 0.0
    picture: str = ""
    technical: str = ""


@dataclass(frozen=True)
class Given:
    """What a person gave an exercise: points, a comment, or both."""

    exercise: str
    points: float | None = None
    out_of: float = 0.0
    comment: str = ""


@dataclass(frozen=True)
class Record:
    """What came of one submission.

    ``status`` is "graded"; "failed", where the file cannot be graded by its author's doing, which
    ``reason`` explains and another try would not change; "missing", where none was handed in; or
    "error", an infrastructure's failure, which is worth another try. ``by_hand`` are the points
    that wait for a person. ``notes`` are remarks of one line. ``submission`` is the SHA-256 of what
    was graded, ``rules`` that of all that judged it.
    """

    student: str
    chapter: str
    status: str
    reason: str = ""
    rows: tuple[Row, ...] = ()
    by_hand: float = 0.0
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    submission: str = ""
    rules: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The points that the checks gave."""
        return sum(row.points for row in self.rows)

    @property
    def max_score(self) -> float:
        """The points that the checks could give."""
        return sum(row.out_of for row in self.rows)

    def timeless(self) -> "Record":
        """The same without times: equal for equal submissions, wherever they were graded."""
        rows = tuple(replace(row, seconds=0.0) for row in self.rows)
        return replace(self, rows=rows, seconds=0.0)

    def to_json(self) -> str:
        """The record as JSON, with its sums beside it for whoever reads the file alone."""
        content = {"version": 1, "score": self.score, "max_score": self.max_score, **asdict(self)}
        return json.dumps(content, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """The record in the text of a file that :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is no such file.
        """
        try:
            content = json.loads(text)
            for key in ("version", "score", "max_score"):
                del content[key]
            content["rows"] = tuple(Row(**row) for row in content["rows"])
            content["notes"] = tuple(content["notes"])
            return cls(**content)
        except (KeyError, TypeError, ValueError) as error:
            kind = type(error).__name__
            raise ValueError(f"not a record of trlkit grade ({kind}: {error})") from None
