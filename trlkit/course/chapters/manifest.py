"""The table of the course: chapters, exercises, minutes and points.

``trlkit build`` writes it to ``course.json`` from the masters; everything else reads it here.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("course.json")


@dataclass(frozen=True)
class Item:
    """One graded exercise of a chapter."""

    name: str
    title: str
    points: float
    minutes: int
    difficulty: int
    cell: str  # the source of the learner's check cell


@dataclass(frozen=True)
class Chapter:
    """One chapter, as its master describes it."""

    name: str
    title: str
    minutes: int
    difficulty: int
    exercises: tuple[Item, ...]
    digest: str  # SHA-256 of the learner's notebook as built
    by_hand: float = 0  # the points that a person gives, beside those of the checks

    @property
    def points(self) -> float:
        """The points that the checks give."""
        return sum(item.points for item in self.exercises)


def read(text: str) -> tuple[Chapter, ...]:
    """The chapters in the text of a ``course.json``."""
    return tuple(
        Chapter(**{**chapter, "exercises": tuple(Item(**item) for item in chapter["exercises"])})
        for chapter in json.loads(text)["chapters"]
    )


@cache
def chapters() -> tuple[Chapter, ...]:
    """The chapters of the installed course, in order; none before the first build."""
    return read(FILE.read_text(encoding="utf-8")) if FILE.exists() else ()


def chapter(name: str) -> Chapter:
    """The chapter called ``name``, or a ValueError that lists the names."""
    for candidate in chapters():
        if candidate.name == name:
            return candidate
    names = ", ".join(candidate.name for candidate in chapters())
    raise ValueError(f"no chapter is called {name!r}; there are {names}")


def points(exercise: str) -> Any:
    """The points of an exercise, or None where the table does not have it."""
    return next(
        (
            item.points
            for chapter in chapters()
            for item in chapter.exercises
            if item.name == exercise
        ),
        None,
    )
