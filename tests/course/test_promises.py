"""What every chapter keeps: solutions pass, blanks fail, each mistake costs its own points."""

import json
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from filled import ROOT, chapter_names, filled, released, save, solutions
from nbformat.v4 import new_code_cell, new_notebook

from trlkit.course import PASSED, build, chapters, masters, mistakes
from trlkit.course.answer import LocalAnswer
from trlkit.course.cells import Session
from trlkit.course.checks import EXERCISES, PIECES, judge
from trlkit.course.exercise import Quiz
from trlkit.course.runner import check_notebook, run_notebook

MISTAKES = {(m.exercise, m.name): m for m in mistakes.all_mistakes()}


def written(folder, kind):
    """The answers in a folder beside this file, by exercise and name."""
    files = sorted((Path(__file__).parent / folder).glob("[0-9]*.py"))
    answers = [answer for file in files for answer in mistakes.read_answers(file, kind)]
    return {(answer.exercise, answer.name): answer for answer in answers}


ANSWERS, WRONG = written("answers", "answer"), written("wrong", "wrong")


def chapter_of(exercise):
    return next(
        chapter.name
        for chapter in chapters.chapters()
        if any(item.name == exercise for item in chapter.exercises)
    )


def source_checks(chapter):
    """The check cells of nbgrader's source notebook, hidden tests included."""
    path = ROOT / "solutions" / chapter / f"{chapter}.ipynb"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return {
        cell["metadata"]["nbgrader"]["grade_id"].removeprefix("check_"): "".join(cell["source"])
        for cell in cells
        if cell["metadata"].get("nbgrader", {}).get("grade")
    }


def run_answers(chapter, answers, hidden):
    """Run the marked cells of a chapter in this process; what each check said, by exercise."""
    visible = {item.name: item.cell for item in chapters.chapter(chapter).exercises}
    checks = source_checks(chapter) if hidden else visible
    PASSED.clear()
    session = Session()
    said = {}
    for cell in filled(chapter, answers).cells:
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("grade"):
            name = marks["grade_id"].removeprefix("check_")
            said[name] = session.run(checks[name])
        elif marks:
            session.run(cell.source)
    return said


@pytest.mark.parametrize("key", MISTAKES, ids="-".join)
def test_mistake_loses_exactly_its_own_points_and_is_named(key):
    mistake = MISTAKES[key]
    chapter = chapter_of(mistake.exercise)
    said = run_answers(
        chapter, solutions(chapter) | {mistake.exercise: mistake.source}, hidden=False
    )
    assert {name for name, ran in said.items() if ran.error} == {mistake.exercise}
    ran = said[mistake.exercise]
    assert MISTAKES[mistake.exercise, ran.mistake].message == mistake.message
    told = " ".join(ran.story.split())
    assert " ".join(mistake.message.split()) in told


@pytest.mark.parametrize("key", ANSWERS, ids="-".join)
def test_different_right_answer_passes_hidden_tests_too(key):
    answer = ANSWERS[key]
    chapter = chapter_of(answer.exercise)
    said = run_answers(chapter, solutions(chapter) | {answer.exercise: answer.source}, hidden=True)
    assert {name: ran.error for name, ran in said.items() if ran.error} == {}


@pytest.mark.parametrize("key", WRONG, ids="-".join)
def test_answer_that_is_wrong_in_rare_cases_fails_on_the_shown_ones(key):
    answer = WRONG[key]
    report = judge(answer.exercise, LocalAnswer(answer.make(PIECES)))
    assert not report.passed


@pytest.mark.parametrize("name", EXERCISES)
def test_exercise_has_its_mistakes_and_other_answers(name):
    assert len(mistakes.mistakes(name)) >= 3
    others = sum(exercise == name for exercise, _ in ANSWERS)
    assert others >= 2 or isinstance(EXERCISES[name], Quiz)


def test_mistakes_and_answers_belong_to_exercises():
    table = [item.name for chapter in chapters.chapters() for item in chapter.exercises]
    assert set(table) == set(EXERCISES)
    assert {exercise for exercise, _ in (*MISTAKES, *ANSWERS, *WRONG)} <= set(table)
    count = Counter((m.exercise, m.name) for m in mistakes.all_mistakes())
    assert max(count.values()) == 1


@pytest.mark.parametrize("name", [n for n, e in EXERCISES.items() if not isinstance(e, Quiz)])
@pytest.mark.parametrize("seed", range(5))
def test_hidden_cases_name_mistakes_and_pass_the_oracle(name, seed):
    exercise = EXERCISES[name]
    for right in (exercise.oracle, exercise.piece):
        report = exercise.judge(LocalAnswer(right), seed)
        assert report.passed, report.render()
    for mistake in mistakes.mistakes(name):
        report = judge(name, LocalAnswer(mistake.make(PIECES)), seed)
        assert not report.passed and report.mistake, mistake.name
        assert MISTAKES[name, report.mistake].message == mistake.message
        hidden = report.hide().render()
        assert not any(text in hidden for _, text in report.lines)


@pytest.fixture
def no_network(tmp_path, monkeypatch):
    """Every Python started from here on refuses to open a connection."""
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n"
        "def cut(*args, **kwargs): raise OSError('the network is cut')\n"
        "socket.socket.connect = socket.socket.connect_ex = cut\n"
        "socket.getaddrinfo = socket.create_connection = cut\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize("chapter", chapter_names())
def test_solution_runs_whole_offline_and_gets_all_points(chapter, no_network):
    path = ROOT / "solutions" / chapter / f"{chapter}.ipynb"
    began = time.monotonic()
    result = run_notebook(path, chapters.chapter(chapter).exercises)
    assert (result.passed, result.errors, result.notes) == (True, {}, [])
    assert result.points == chapters.chapter(chapter).points
    assert time.monotonic() - began < 60


def test_no_network_is_real(no_network, tmp_path):
    cell = "import socket; socket.create_connection(('127.0.0.1', 9))"
    path = save(new_notebook(cells=[new_code_cell(cell)]), tmp_path / "calls.ipynb")
    assert run_notebook(path, ()).errors == {1: "OSError: the network is cut"}


@pytest.mark.parametrize("chapter", chapter_names())
def test_blank_gets_nothing(chapter):
    path = ROOT / "notebooks" / chapter / f"{chapter}.ipynb"
    before = path.read_bytes()
    _, result = check_notebook(path)
    assert [row.name for row in result.rows if row.passed] == []
    assert result.points == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("chapter", chapter_names())
def test_filled_notebook_gets_all_points(chapter, tmp_path):
    path = save(filled(chapter, solutions(chapter)), tmp_path / f"{chapter}.ipynb")
    _, result = check_notebook(path)
    assert (result.passed, result.notes) == (True, [])
    assert result.points == chapters.chapter(chapter).points


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
