"""What every chapter keeps: solutions pass, blanks fail, each mistake costs its own points."""

import json
import re
from collections import Counter
from functools import cache

import pytest
from filled import ROOT, chapter_names, filled, released, save, solutions
from known import TOLD, judged
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from trlkit.course import PASSED
from trlkit.course.author import build, masters
from trlkit.course.author.executed import executed, run
from trlkit.course.chapters import bank, manifest
from trlkit.course.chapters.exercises import EXERCISES, known_mistakes, used
from trlkit.course.checking.answer import LocalAnswer
from trlkit.course.checking.exercise import Quiz
from trlkit.course.checking.mistake import KINDS
from trlkit.course.learner.cells import Session
from trlkit.course.learner.runner import check_notebook

RIGHT = {answer.exercise: answer for answer in bank.answers("right")}
ANSWERS, MISTAKES, WRONG = (
    {(answer.exercise, answer.name): answer for answer in bank.answers(kind)}
    for kind in ("answer", "mistake", "wrong")
)


def chapter_of(exercise):
    for chapter in manifest.chapters():
        if any(item.name == exercise for item in chapter.exercises):
            return chapter.name
    raise LookupError(f"{exercise} is in no chapter that was built: run trlkit build first")


def source_checks(chapter):
    """The check cells of nbgrader's source notebook, hidden tests included."""
    path = ROOT / "solutions" / chapter / f"{chapter}.ipynb"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return {
        cell["metadata"]["nbgrader"]["grade_id"].removeprefix("check_"): "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and cell["metadata"].get("nbgrader", {}).get("grade")
    }


class Solved:
    """A session in which a chapter is solved, for one other answer after another."""

    def __init__(self, chapter):
        self.solutions = solutions(chapter)
        self.visible = {item.name: item.cell for item in manifest.chapter(chapter).exercises}
        self.hidden = source_checks(chapter)
        PASSED.clear()
        self.session = Session()
        for cell in filled(chapter, self.solutions).cells:
            if cell.cell_type == "code" and cell.metadata.get("nbgrader"):
                ran = self.session.run(cell.source)
                assert not ran.error, ran.story or ran.error
        self.last = None

    def says(self, exercise, source, hidden=False, all_others=False):
        """What the checks say of one other answer: its own, and those of answers that use it."""
        if self.last not in (exercise, None):  # the other answers have left nothing behind
            assert not self.session.run(self.visible[self.last]).error
        self.last = exercise
        cells = self.hidden if hidden else self.visible
        names = list(cells)
        later = names[names.index(exercise) + 1 :]
        others = [name for name in later if all_others or exercise in used(name)]
        try:
            self.session.run(source)
            return {name: self.session.run(cells[name]) for name in (exercise, *others)}
        finally:
            assert not self.session.run(self.solutions[exercise]).error
            PASSED[exercise] = self.session.shell.user_ns[exercise]  # as its check has left it


@cache
def solved(chapter):
    solved.cache_clear()  # IPython has one session at a time
    return Solved(chapter)


def by_chapter(answers):
    """The answers' keys, those of one chapter for the same worker."""
    return [
        pytest.param(
            key, marks=pytest.mark.xdist_group(chapter_of(key[0])), id="-".join(key).strip("-")
        )
        for key in sorted(answers, key=lambda key: chapter_of(key[0]))
    ]


CHAPTERS = [
    pytest.param(chapter, marks=pytest.mark.xdist_group(chapter)) for chapter in chapter_names()
]


@pytest.mark.parametrize("key", by_chapter(MISTAKES))
def test_mistake_loses_exactly_its_own_points_and_is_named(key):
    mistake = MISTAKES[key]
    first = bank.mistakes(mistake.exercise)[0] == mistake
    chapter = solved(chapter_of(mistake.exercise))
    said = chapter.says(mistake.exercise, mistake.source, all_others=first)
    assert {name for name, ran in said.items() if ran.error} == {mistake.exercise}
    ran = said[mistake.exercise]
    TOLD[mistake.exercise, "mistake", mistake.name] = False, ran.mistake, ran.story
    assert MISTAKES[mistake.exercise, ran.mistake].message == mistake.message
    told = " ".join(ran.story.split())
    assert " ".join(mistake.message.split()) in told


@pytest.mark.parametrize("key", by_chapter((name, "right", "") for name in RIGHT))
def test_right_answer_passes(key):
    report = judged(key)
    assert report.passed, report.render()


@pytest.mark.parametrize("key", by_chapter(ANSWERS))
def test_different_right_answer_passes_hidden_tests_too(key):
    answer = ANSWERS[key]
    said = solved(chapter_of(answer.exercise)).says(answer.exercise, answer.source, hidden=True)
    assert {name: ran.error for name, ran in said.items() if ran.error} == {}


@pytest.mark.parametrize("key", by_chapter((name, "wrong", rare) for name, rare in WRONG))
def test_answer_that_is_wrong_in_rare_cases_fails_on_the_shown_ones(key):
    assert not judged(key).passed


@pytest.mark.parametrize("name", EXERCISES)
def test_exercise_has_its_mistakes_and_other_answers(name):
    quiz = isinstance(EXERCISES[name], Quiz)
    early = chapter_of(name) in ("00_welcome", "01_tensors")
    least = 3 if quiz or early else 4
    found = len(bank.mistakes(name))
    if found < least:
        pytest.fail(f"{name} has {found} mistakes in its chapter's answers.py; it needs {least}")
    others = sum(exercise == name for exercise, _ in ANSWERS)
    if others < 2 and not quiz:
        pytest.fail(f"{name} has {others} other right answers in answers.py; it needs 2")


def test_mistakes_and_answers_belong_to_exercises():
    table = [item.name for chapter in manifest.chapters() for item in chapter.exercises]
    assert set(table) == set(EXERCISES)
    assert {exercise for exercise, _ in (*MISTAKES, *ANSWERS, *WRONG)} <= set(table)
    assert set(RIGHT) == {n for n, e in EXERCISES.items() if not isinstance(e, Quiz)}
    count = Counter((a.kind, a.exercise, a.name) for kind in KINDS for a in bank.answers(kind))
    assert max(count.values()) == 1


@pytest.mark.parametrize("name", [n for n, e in EXERCISES.items() if not isinstance(e, Quiz)])
@pytest.mark.parametrize("seed", range(5))
def test_hidden_cases_name_mistakes_and_pass_the_oracle(name, seed):
    exercise = EXERCISES[name]
    for right in {exercise.oracle, exercise.piece}:  # often the same
        report = exercise.judge(LocalAnswer(right), seed)
        assert report.passed, report.render()
    for mistake, answer in known_mistakes(name):
        report = exercise.judge(answer, seed, lambda: known_mistakes(name))
        assert not report.passed and report.mistake, mistake.name
        assert MISTAKES[name, report.mistake].message == mistake.message
        hidden = report.hide().render()
        assert not any(text in hidden for _, text in report.lines)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_solution_runs_whole_offline_and_gets_all_points(chapter):
    cells = executed(ROOT, chapter).cells  # raises where a cell does, a failed check too
    graded = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")]
    points = {cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader.points for cell in graded}
    table = manifest.chapter(chapter)
    assert sum(points.values()) == table.points + table.by_hand
    assert {f"check_{item.name}": item.points for item in table.exercises}.items() <= points.items()
    outputs = [(cell.id, out) for cell in cells for out in cell.get("outputs", ())]
    assert [name for name, out in outputs if out.output_type == "error"] == []
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code" and cell.source)


def test_no_network_is_real(tmp_path):
    cell = "import socket; socket.create_connection(('127.0.0.1', 9))"
    path = save(new_notebook(cells=[new_code_cell(cell)]), tmp_path / "calls.ipynb")
    with pytest.raises(CellExecutionError, match="runs without a network"):
        run(path, tmp_path)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_blank_gets_nothing(chapter):
    path = ROOT / "notebooks" / chapter / f"{chapter}.ipynb"
    before = path.read_bytes()
    _, result = check_notebook(path)
    assert [row.name for row in result.rows if row.passed] == []
    assert result.points == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("chapter", chapter_names()[:2])
def test_filled_notebook_gets_all_points(chapter, tmp_path):
    path = save(filled(chapter, solutions(chapter)), tmp_path / f"{chapter}.ipynb")
    _, result = check_notebook(path)
    assert (result.passed, result.notes) == (True, [])
    assert result.points == manifest.chapter(chapter).points


@pytest.mark.parametrize("chapter", chapter_names())
def test_no_solution_or_hidden_test_is_released(chapter):
    master, _ = masters.read_master(ROOT / "solutions" / chapter / f"{chapter}.py")
    code = [cell.source for cell in released(chapter).cells if cell.cell_type == "code"]
    text = "\n".join(cell.source for cell in released(chapter).cells)
    assert not re.search(r"(BEGIN|END) (SOLUTION|HIDDEN|MARK)|hidden=|#~", text)
    for cell in master.cells:
        region = re.search(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", cell.source, re.DOTALL)
        for line in region[1].split("\n") if region else ():
            if len(line.strip()) > 12 and not line.strip().startswith("#~"):
                assert not any(line.strip() in source for source in code), line
    assert not list((ROOT / "notebooks").rglob("*.py"))


def test_committed_files_are_what_the_masters_make():
    assert build.build(ROOT, check=True) == []
