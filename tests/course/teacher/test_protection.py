"""The table of what is left to trust names every exercise, as its check judges it."""

import re

from filled import ROOT

from trlkit.course.chapters import manifest
from trlkit.course.chapters.exercises import EXERCISES
from trlkit.course.checking.exercise import Quiz
from trlkit.course.teacher import peer, wire
from trlkit.course.teacher.sandbox import Limits

GUIDE = (ROOT / "docs/guide/protection.md").read_text(encoding="utf-8")
TABLE = GUIDE[GUIDE.index("| exercises | what is judged") : GUIDE.index("A quiz is judged")]
ROWS = [row.strip("|").split("|") for row in TABLE.strip().split("\n")[2:]]
NAMED = [(re.findall(r"`(\w+)`", names), judged, left) for names, judged, left in ROWS]


def test_every_exercise_stands_in_the_table_once():
    graded = [item.name for chapter in manifest.chapters() for item in chapter.exercises]
    functions = [name for name in graded if not isinstance(EXERCISES[name], Quiz)]
    told = [name for names, _, _ in NAMED for name in names]
    assert sorted(told) == sorted(functions)


def test_what_is_judged_by_values_alone_leaves_nothing_to_trust():
    plain = {"values": (False, False), "values, gradients": (True, False)}
    for names, judged, left in NAMED:
        for exercise in map(EXERCISES.get, names):
            ways = exercise.gradients, exercise.judged is not None
            if exercise.probe is None:
                assert left.strip() == "nothing"
                assert ways == plain.get(judged.strip(), (False, True)), exercise.name
            else:
                assert judged.strip() not in plain or left.strip() != "nothing", exercise.name


def test_the_numbers_are_those_of_the_code():
    limits = Limits()
    for text in (
        f"| memory | {limits.memory / 1e9:g} GB beyond",
        f"| files | {limits.disk / 1e6:g} MB |",
        f"| memory of the grader | {limits.grader / 1e9:g} GB |",
        f"{limits.seconds // 60} min of CPU time",
        f"a message has at most\n{wire.MOST_BYTES / 1e6:g} MB",
        f"at most {peer.MOST_DEEP} deep",
    ):
        assert text in GUIDE, text
