"""Run notebook cells in this process, one after the other, as Jupyter would.

:func:`serve` takes its cells as JSON from standard input and writes an event for each start
and end, one JSON object a line; :mod:`trlkit.course.learner.runner` watches it from outside.
"""

import contextlib
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from trlkit import course
from trlkit.course.checking.answer import Bounded
from trlkit.course.checking.report import CheckFailed, Report

PRINTED = 10_000  # characters of a cell's output that are kept


@dataclass(frozen=True)
class Ran:
    """What one cell did: its error in words ("" when there was none) and its output."""

    error: str = ""
    story: str = ""  # a failed check's whole report
    mistake: str = ""
    printed: str = ""
    lines: int = 0  # how many lines it printed, kept or not
    passed: tuple[str, ...] = ()  # the exercises that the judge has found right


class Session:
    """A fresh notebook session: names defined by one cell are there for the next."""

    def __init__(self):
        config = Config()
        config.HistoryManager.enabled = False
        InteractiveShell.clear_instance()
        self.shell = InteractiveShell.instance(config=config, user_ns={})
        self.shell.showtraceback = self.shell.showsyntaxerror = lambda *args, **kwargs: None
        self.shell._tee = lambda channel: (
            contextlib.nullcontext()
        )  # would store all that is printed

    def run(self, source: str) -> Ran:
        """Run one cell; whatever it does short of ending Python comes back as a result."""
        printed = Bounded(PRINTED)
        reports: list[Report] = []
        course.LISTENERS[:] = [reports.append]
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            result = self.shell.run_cell(source, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        text, lines = printed.getvalue(), printed.lines
        if error is None:
            passed = tuple(report.exercise for report in reports if report.passed is True)
            return Ran(printed=text, lines=lines, passed=passed)
        if isinstance(error, CheckFailed):
            report = error.report
            return Ran(_reason(report), report.render(), report.mistake, text, lines)
        return Ran(_raised(error), "", "", text, lines)


def _raised(error: BaseException) -> str:
    """An exception in one line: its type, and the first line of its text."""
    try:
        first = str(error).strip().split("\n")[0]
    except Exception as other:
        first = f"its text raises {type(other).__name__}"
    return f"{type(error).__name__}: {first}".rstrip(": ")


def _reason(report: Report) -> str:
    """A failed report in one line: the known mistake's first sentence, or what differs."""
    if report.mistake:
        return " ".join(report.advice[0].split()).split(". ")[0].rstrip(".") + "."
    return next(text for verdict, text in report.lines if verdict == "no").replace("\n", ": ", 1)


def main(job: dict[str, Any], events: TextIO) -> None:
    """Run the cells of ``job`` but those in its ``skip``; write what happens to ``events``."""

    def say(**event: Any) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    session = Session()
    for number, source in enumerate(job["cells"]):
        if number in job["skip"]:
            continue
        say(start=number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            ran = session.run(source)
        except KeyboardInterrupt:
            ran = Ran("KeyboardInterrupt")
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        say(end=number, **asdict(ran))


def serve() -> None:
    """Run the cells that standard input holds, tell standard output, and end this process."""
    from trlkit.course.chapters import exercises  # noqa: F401 (before any cell can be in the way)

    task = json.load(sys.stdin)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    sys.path.append("")  # a cell may import what lies beside the notebook; nothing is hidden by it
    main(task, channel)
    os._exit(0)  # whatever threads the cells left behind
