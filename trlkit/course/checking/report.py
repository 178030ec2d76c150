"""What a check says: its lines, and the exception that carries them."""

import textwrap
from dataclasses import dataclass, field

WIDTH = 100
WRAP = textwrap.TextWrapper(
    WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
)
FULL = 76  # a longer line of a message was filled, not ended
GREEN, RED, BOLD, PLAIN = "\x1b[32m", "\x1b[1;31m", "\x1b[1m", "\x1b[0m"


def printable(text: str) -> str:
    r"""Text for a terminal: what would be obeyed and not shown is spelled out.

    Examples
    --------
    >>> printable("\x1b[31mred\r\n")
    '\\x1b[31mred\\r\n'
    """
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def joined(lines: list[str]) -> list[str]:
    """Lines of text, those put together that only their writer's margin had parted.

    Examples
    --------
    >>> long = "This line goes on to where its writer's margin was, and the text that it tells"
    >>> [len(line) for line in joined([long, "goes on.", "", "A short line.", "  x = 1"])]
    [87, 0, 13, 7]
    """
    found: list[str] = []
    for line in lines:
        ends = not line[:1].strip() or line.startswith("Look at:")
        if found and not ends and found[-1][:1].strip() and len(found[-1]) > FULL:
            found[-1] += f" {line}"
        else:
            found.append(line)
    return found


@dataclass
class Report:
    """The result of one check.

    ``lines`` are (verdict, text) pairs, one for each thing tried; the verdict is
    "ok" or "no". ``mistake`` is the name of the known mistake that the answer agrees
    with, ``advice`` the paragraphs under the lines, ``picture`` the expected value and
    the one that came, where seeing them side by side says more. ``passed`` is what the
    judge has decided: no line, and no text of an answer, makes a report pass. ``pieces`` are
    the course's functions that stood in for earlier answers where this one raised an error.
    """

    exercise: str
    lines: list[tuple[str, str]] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    summary: str = ""
    mistake: str = ""
    picture: tuple | None = None
    points: float | None = None
    passed: bool = False
    pieces: tuple[str, ...] = ()

    def right(self, summary: str) -> "Report":
        self.passed, self.summary = True, summary
        return self

    def ok(self, text: str) -> None:
        self.lines.append(("ok", text))

    def no(self, text: str, *advice: str) -> "Report":
        self.passed = False
        self.lines.append(("no", text))
        self.advice.extend(line for line in advice if line)
        return self

    def hide(self) -> "Report":
        """The same verdict without the hidden inputs and numbers."""
        if self.passed:
            return self
        known = self.advice if self.mistake else []
        text = "right on the cases shown, not on hidden ones of other sizes and numbers"
        hidden = Report(self.exercise, mistake=self.mistake, points=self.points)
        return hidden.no(text, *known)

    def render(self, color: bool = False) -> str:
        """The report as text: one line when it passed, the whole story when not."""
        green, red, bold, plain = (GREEN, RED, BOLD, PLAIN) if color else ("",) * 4
        if self.passed:
            points = "" if self.points is None else f"   {self.points:g}/{self.points:g}"
            story = "".join(f"\n  {line}" for line in self.advice)
            return f"{bold}{self.exercise}{plain}   {green}ok{plain}: {self.summary}{points}{story}"
        rows = [f"{bold}{self.exercise}{plain}"]
        for verdict, text in self.lines:
            tint = green if verdict == "ok" else red
            first, *rest = text.split("\n")
            rows.append(f"  {tint}{verdict}{plain}    {first}")
            rows.extend(f"        {line}" for line in rest)
        rows.append("")
        for line in joined("\n".join(self.advice).strip("\n").split("\n")):
            rows += WRAP.wrap(line) or [""]
        return "\n".join(rows).rstrip()


class CheckFailed(AssertionError):
    """An answer is not right yet. Shown as its report, without a traceback."""

    def __init__(self, report: Report):
        super().__init__(report.render())
        self.report = report

    def _render_traceback_(self) -> list[str]:
        return self.report.render(color=True).split("\n")
