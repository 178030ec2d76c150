"""The known answers of every exercise, a file a chapter: ``chNN_topic/answers.py``.

A file holds, exercise by exercise, cells such as these::

    # %% right="double"
    def double(x):
        return 2 * x

    # %% answer="double" name="sum"
    # Added to itself.
    #- 2 * x
    #+ x + x

    # %% mistake="double" name="squared"
    # You squared x.
    # Look at: what comes of 3.
    def double(x):
        return x**2

- ``right``: the right answer, code alone, once. A quiz has none: its letter stands nowhere.
- ``answer``: another right answer. It must pass, hidden cases too.
- ``mistake``: a usual wrong answer. Its message is what a learner who wrote it is told.
- ``wrong``: an answer that is nearly right. It must not pass.

All but ``right`` have a name and a message, the first comment lines; then comes the answer,
as whole code or as a change to the right answer that is above it.

A change consists of lines ``#- old`` and ``#+ new``, one space and then text. Neighbouring
lines of a sign form one fragment of several lines, with their indentation; ``#-`` lines
without ``#+`` delete. An old fragment is any part of the text, from within one line to within
another, and occurs exactly once in the right answer as changed so far. Where whole lines are
deleted, their line break goes too. Several changes follow each other and are made in this
order; a lone ``#`` parts a deletion from the next one.

A file that breaks these rules gives a ValueError with the file and the line of the cell.
"""

from functools import cache
from pathlib import Path

from trlkit.course.checking.mistake import Mistake, read_bank


@cache
def answers(kind: str) -> tuple[Mistake, ...]:
    """All known answers of one kind, chapter by chapter."""
    files = sorted(Path(__file__).parent.glob("ch*/answers.py"))
    return tuple(answer for file in files for answer in read_bank(file) if answer.kind == kind)


def all_mistakes() -> tuple[Mistake, ...]:
    """Every known mistake, chapter by chapter."""
    return answers("mistake")


def mistakes(exercise: str) -> list[Mistake]:
    """The known mistakes of one exercise, in the order of their file."""
    return [mistake for mistake in all_mistakes() if mistake.exercise == exercise]
