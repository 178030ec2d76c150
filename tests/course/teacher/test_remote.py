"""Every known answer is told the same by the grader's sandbox as by the notebook's own check."""

import contextlib
import re
from functools import cache

import pytest
import torch
from known import CHAPTER_OF, KNOWN, imports, in_words, told

from trlkit.course.chapters import bank, manifest
from trlkit.course.chapters.exercises import EXERCISES, PIECES, judge, used
from trlkit.course.checking.exercise import Draw, Quiz
from trlkit.course.checking.mistake import KINDS
from trlkit.course.teacher import sandbox
from trlkit.course.teacher.remote import RemoteAnswer

SECONDS = 240  # for one answer, on a busy machine
SEED = 11
SAMPLE = {key for place, key in enumerate(sorted(KNOWN)) if place % 8 == 0}
HIDDEN = [k for k in KNOWN if k[1] == "right" or k in SAMPLE and k[0] in PIECES]


def by_chapter(keys):
    """Keys of known answers, those of one chapter for the same worker."""
    found = []
    for key in sorted(keys, key=lambda key: CHAPTER_OF[key[0]]):
        marks = [pytest.mark.xdist_group(CHAPTER_OF[key[0]])]
        found.append(pytest.param(key, marks=marks, id="-".join(filter(None, key))))
    return found


@cache
def warm():
    """The worker's sandbox: it ends with this process."""
    try:
        sandbox.probe()
    except sandbox.NoSandbox as error:
        pytest.skip(str(error))
    torch.set_num_threads(1)
    return sandbox.Sandbox()


@cache
def earlier(name):
    """The right answers above an exercise in its notebook."""
    names = [item.name for item in manifest.chapter(CHAPTER_OF[name]).exercises]
    above = [(other, "right", "") for other in names[: names.index(name)]]
    return "\n\n".join(KNOWN[key].source for key in above if key in KNOWN)


def said(text):
    """A report's text, but for numbers, addresses and the line of the learner's code."""
    text = re.sub(r"(?m)^ *in [\w<>]+, line .*\n?", "", text)
    text = re.sub(r"<function .*>", "<function>", text)
    return re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?(e[-+]?\d+)?", "#", text).strip()


class Lent:
    """A child in which the cells above an exercise have run, for a few answers to it in turn."""

    MOST = 8
    now = None

    def __init__(self, name):
        self.name, self.left = name, self.MOST
        self.child = warm().fork(CHAPTER_OF[name])
        with self.child.within(SECONDS):
            for source in (imports(CHAPTER_OF[name]), earlier(name)):
                assert self.child.run(source)[0] == ""

    @classmethod
    @contextlib.contextmanager
    def to(cls, name):
        if cls.now and (cls.now.name != name or not cls.now.left):
            cls.end()
        cls.now = cls.now or cls(name)
        cls.now.left -= 1
        try:
            with cls.now.child.within(SECONDS):
                yield cls.now.child
        except BaseException:  # what it has left there is nobody's to know
            cls.end()
            raise

    @classmethod
    def end(cls):
        child, cls.now = cls.now.child, None
        child.end()


def remotely(key, seed):
    """The report on a known answer in the sandbox, with the course's pieces."""
    answer = KNOWN[key]
    name = answer.exercise
    with Lent.to(name) as child:
        assert child.run(answer.source)[0] == ""
        return judge(name, RemoteAnswer(child, name), seed, used(name))


def compared(key, seed):
    passed, mistake, here = told(key, seed)
    remote = remotely(key, seed)
    _, _, there = in_words(remote)
    assert (remote.passed, remote.mistake) == (passed, mistake), there
    assert without_confined(said(there), key[0], seed) == said(here)
    return remote


def without_confined(text, name, seed):
    """What is said of the cases that both try: some need limits, which a notebook has not."""
    if isinstance(EXERCISES[name], Quiz):
        return text
    notes = {case.note for case in EXERCISES[name].cases(Draw(seed)) if case.confined}
    return "\n".join(line for line in text.split("\n") if line.rpartition(": ")[2] not in notes)


@pytest.mark.parametrize("key", by_chapter(KNOWN))
def test_it_is_told_the_same_as_in_the_notebook(key):
    remote = compared(key, None)
    assert remote.passed is (key[1] in ("right", "answer"))
    if key[1] == "mistake":
        messages = {m.name: m.message for m in bank.mistakes(key[0])}
        assert messages[remote.mistake] == KNOWN[key].message


@pytest.mark.parametrize("key", by_chapter(HIDDEN))
def test_on_hidden_cases_too(key):
    remote = compared(key, SEED)
    if key[1] != "wrong":  # wrong in rare cases, which need not be among these
        assert remote.passed is (key[1] != "mistake")


def test_every_exercise_has_answers_that_are_compared():
    assert {exercise for exercise, _, _ in KNOWN} == set(EXERCISES)
    functions = {name for name, e in EXERCISES.items() if not isinstance(e, Quiz)}
    assert {exercise for exercise, kind, _ in HIDDEN if kind == "right"} == functions
    assert {kind for _, kind, _ in HIDDEN} == set(KINDS)
