"""All exercises of the course, by name: a folder a chapter, ``chNN_topic``, found by its name."""

import functools
import importlib
from collections.abc import Sequence
from pathlib import Path

from trlkit.course.chapters.bank import mistakes
from trlkit.course.checking.answer import Answer, LocalAnswer, Remembered
from trlkit.course.checking.exercise import Exercise
from trlkit.course.checking.mistake import Mistake
from trlkit.course.checking.report import Report

CHAPTERS = sorted(path.parent.name for path in Path(__file__).parent.glob("ch*/checks.py"))
EXERCISES = {
    exercise.name: exercise
    for chapter in CHAPTERS
    for exercise in importlib.import_module(f"{__package__}.{chapter}.checks").EXERCISES
}
PIECES = {
    name: exercise.piece for name, exercise in EXERCISES.items() if isinstance(exercise, Exercise)
}


def used(name: str) -> tuple[str, ...]:
    """The earlier exercises that an answer may call, and those that they may call."""
    direct = EXERCISES[name].uses
    return tuple(dict.fromkeys([*direct, *(far for near in direct for far in used(near))]))


def judge(
    name: str, answer: Answer, seed: int | None = None, doubtful: Sequence[str] = ()
) -> Report:
    """Judge the answer to an exercise, wherever it runs.

    Parameters
    ----------
    name : str
        The exercise.
    answer : Answer
    seed : int, optional
        Draw hidden cases with this seed.
    doubtful : sequence of str
        Earlier exercises whose functions are not right: the course's take their place.
    """
    exercise = EXERCISES[name]
    answer = answer.with_pieces({use: PIECES[use] for use in doubtful})
    if isinstance(exercise, Exercise) and (
        exercise.by_hand or exercise.piece is not exercise.oracle
    ):
        answer = answer.watching(exercise.piece)
    return exercise.judge(answer, seed, lambda: known_mistakes(name))


@functools.cache
def known_mistakes(name: str) -> list[tuple[Mistake, Answer]]:
    """The known mistakes of an exercise, each ready to be called."""
    return [(mistake, Remembered(LocalAnswer(mistake.make(PIECES)))) for mistake in mistakes(name)]
