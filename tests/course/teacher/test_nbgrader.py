"""nbgrader's own loop, by its own API: release, submissions, grades, feedback, export."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from filled import MARKS, ROOT, chapter_names, filled, kept_lines, released, save, solutions
from jupyter_client.provisioning import local_provisioner
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.apps import NbGraderAPI
from nbgrader.apps.exportapp import ExportApp
from nbgrader.apps.zipcollectapp import ZipCollectApp
from nbgrader.preprocessors import Execute
from traitlets.config import Config

from trlkit.course import check
from trlkit.course.author.build import METADATA
from trlkit.course.author.executed import executed
from trlkit.course.chapters import bank, manifest
from trlkit.course.teacher import nbgrader_setup


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in chapter_names()],
)
def course(request, tmp_path_factory):
    """A course of one chapter, with three submissions, graded."""
    chapter, root = request.param, tmp_path_factory.mktemp("course")
    shutil.copytree(ROOT / "solutions" / chapter, root / "solutions" / chapter)
    for name in ("autotests.yml", "nbgrader_config.py"):
        shutil.copy(ROOT / name, root / name)
    config = Config()
    nbgrader_setup.configure(config, root)
    here = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(sys, "argv", ["nbgrader"])
        patch.setattr(local_provisioner, "launch_kernel", warm.launch_kernel)
        api = NbGraderAPI(config=config)
        done = api.generate_assignment(chapter, force=True, create=True)
        assert done["success"], done["log"]
        for student, notebook in submissions(chapter).items():
            save(notebook, root / "build/submitted" / student / chapter / f"{chapter}.ipynb")
            with patch.context() as known:
                if student == "solved":
                    known.setattr(Execute, "preprocess", outputs_of_the_solution)
                done = api.autograde(chapter, student, force=True, create=True)
            assert done["success"], done["log"]
        done = api.generate_feedback(chapter, force=True)
        assert done["success"], done["log"]
        yield chapter, root, api, config
    assert Path.cwd() == here


def outputs_of_the_solution(execute, notebook, resources, kernel=None):
    """In place of a kernel: the outputs that the source notebook gave, where the code is its own.

    A quiz's hashed test is the one thing that the source notebook has not run: it runs here.
    """
    chapter = resources["nbgrader"]["assignment"]
    known = {cell.id: cell for cell in executed(ROOT, chapter).cells}
    quiz = {"check": check}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        source = MARKS.sub("", known[cell.id].source).strip()
        cell.execution_count, cell.outputs = known[cell.id].execution_count, known[cell.id].outputs
        if "### HASHED AUTOTEST" in source:
            exec(cell.source, quiz)
        else:
            assert cell.source.strip() == source
            if cell.id.startswith("solve-quiz"):
                exec(source, quiz)
    return notebook, resources


def submissions(chapter):
    solved = solutions(chapter)
    wrong = solved | {mistake.exercise: mistake.source for mistake in chosen(chapter)}
    wrong |= {emptied(chapter): "# I deleted my answer"}
    return {
        "solved": filled(chapter, solved),
        "blank": released(chapter),
        "wrong": without_examples(filled(chapter, wrong)),
    }


def without_examples(notebook):
    """A submission whose author deleted the examples, which take long and count for nothing."""
    notebook.cells = [
        cell for cell in notebook.cells if cell.cell_type != "code" or cell.metadata.get("nbgrader")
    ]
    return notebook


def chosen(chapter):
    """The last known mistake of every other exercise."""
    names = [item.name for item in manifest.chapter(chapter).exercises][::2]
    return [bank.mistakes(name)[-1] for name in names]


def emptied(chapter):
    """An exercise without any answer: its check cell then knows no such name."""
    return manifest.chapter(chapter).exercises[1].name


def scores(api, chapter, student):
    with api.gradebook as gradebook:
        notebook = gradebook.find_submission_notebook(chapter, chapter, student)
        return {
            grade.cell.name.removeprefix("check_"): (grade.score, grade.max_score)
            for grade in notebook.grades
            if grade.cell.name.startswith("check_")
        }


def test_release_made_by_nbgrader_is_the_committed_one(course):
    chapter, root, _, _ = course
    path = f"notebooks/{chapter}/{chapter}.ipynb"
    assert (root / path).read_text("utf-8") == (ROOT / path).read_text("utf-8")
    assert [path.name for path in (root / "notebooks" / chapter).iterdir()] == [f"{chapter}.ipynb"]


def test_solved_gets_all_points_and_blank_none(course):
    chapter, _, api, _ = course
    full = {item.name: item.points for item in manifest.chapter(chapter).exercises}
    assert scores(api, chapter, "solved") == {name: (n, n) for name, n in full.items()}
    assert scores(api, chapter, "blank") == {name: (0, n) for name, n in full.items()}


def test_each_mistake_costs_the_points_of_its_own_exercise(course):
    chapter, _, api, _ = course
    full = {item.name: item.points for item in manifest.chapter(chapter).exercises}
    lost = {mistake.exercise for mistake in chosen(chapter)} | {emptied(chapter)}
    expected = {name: (0 if name in lost else n, n) for name, n in full.items()}
    assert scores(api, chapter, "wrong") == expected


def test_what_is_graded_by_hand_waits_for_a_grader_who_alone_sees_the_mark_scheme(course):
    chapter, root, api, _ = course
    if not manifest.chapter(chapter).by_hand:
        pytest.skip("nothing is graded by hand here")
    with api.gradebook as gradebook:
        for student, waits in (("solved", True), ("blank", False)):
            notebook = gradebook.find_submission_notebook(chapter, chapter, student)
            by_hand = [g for g in notebook.grades if not g.cell.name.startswith("check_")]
            assert sum(grade.max_score for grade in by_hand) == manifest.chapter(chapter).by_hand
            assert [bool(grade.needs_manual_grade) for grade in by_hand] == [waits] * len(by_hand)
            assert all(grade.score == 0 for grade in by_hand)
    autograded = root / "build/autograded/solved" / chapter / f"{chapter}.ipynb"
    assert "MARK SCHEME" in autograded.read_text("utf-8")
    feedback = root / "build/feedback/solved" / chapter / f"{chapter}.html"
    assert "MARK SCHEME" not in feedback.read_text("utf-8")
    assert "MARK SCHEME" not in (ROOT / "notebooks" / chapter / f"{chapter}.ipynb").read_text(
        "utf-8"
    )


def test_feedback_names_the_mistake_and_hides_tests_and_solutions(course):
    chapter, root, _, _ = course
    secret = re.compile(r"check\(.*hidden=|HIDDEN TESTS|BEGIN SOLUTION|#~")
    pages = {
        student: (root / "build/feedback" / student / chapter / f"{chapter}.html").read_text(
            "utf-8"
        )
        for student in ("solved", "blank", "wrong")
    }
    for page in pages.values():
        assert not secret.search(re.sub(r"<style.*?</style>|<[^>]+>", "", page, flags=re.DOTALL))
    text = " ".join(re.sub(r"<[^>]+>", "", pages["wrong"]).split())
    for mistake in chosen(chapter):
        told = " ".join(mistake.message.split("\n")[0].split()[:5])
        assert escape(told) in text
    blank = re.sub(r"<[^>]+>", "", pages["blank"])
    assert [line for line in kept_lines(chapter) if escape(line) in blank] == []


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def test_export_lists_every_submission(course):
    chapter, root, _, config = course
    app = ExportApp(config=config)
    app.initialize([])
    app.start()
    rows = list(csv.DictReader((root / "build/grades.csv").open()))
    got = {
        (row["student_id"], row["assignment"]): float(row["score"]) for row in rows if row["score"]
    }
    assert got["solved", chapter] == manifest.chapter(chapter).points
    assert got["blank", chapter] == 0


def test_gradebook_and_submissions_stay_under_build(course):
    chapter, root, _, _ = course
    assert {path.name for path in root.iterdir()} <= {
        "solutions", "notebooks", "build", "autotests.yml", "nbgrader_config.py",
        ".nbgrader.log",
    }  # fmt: skip
    assert (root / "build/gradebook.db").exists()


def test_files_from_a_learning_platform_are_collected_under_build(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config()
    nbgrader_setup.configure(config, tmp_path)
    config.CourseDirectory.assignment_id = "01_tensors"
    config.FileNameCollectorPlugin.named_regexp = r".*/(?P<student_id>[a-z]+)_(?P<file_id>\d\d_\w+)"
    handed_in = tmp_path / "build/downloaded/01_tensors/archive/ada_01_tensors.ipynb"
    save(released("01_tensors"), handed_in)
    app = ZipCollectApp(config=config)
    app.initialize([])
    app.start()
    assert (tmp_path / "build/submitted/ada/01_tensors/01_tensors.ipynb").exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"build", ".nbgrader.log"}


def test_the_configuration_imports_no_torch(tmp_path):
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    load = (
        "import sys; from traitlets.config.loader import PyFileConfigLoader; "
        "c = PyFileConfigLoader('nbgrader_config.py').load_config(); "
        "print(c.CourseDirectory.root, 'torch' in sys.modules, 'trlkit' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", load], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(tmp_path.resolve()), "False", "False"]


@pytest.mark.parametrize(
    "answer, value, needs", [("x = 'c'", '"""c"""', False), ("x = math.pi", '"""3.1416"""', True)]
)
def test_a_test_is_made_with_the_locked_cells_where_its_answer_needs_them(
    answer, value, needs, tmp_path, monkeypatch
):
    monkeypatch.setattr(local_provisioner, "launch_kernel", warm.launch_kernel)
    shutil.copy(ROOT / "autotests.yml", tmp_path)
    marks = {
        "lock_imports": {"locked": True},
        "x": {"solution": True},
        "check_x": {"grade": True, "locked": True},
    }
    sources = ["import math\nopen('ran', 'w').close()", answer, 'check("x", x)\n### AUTOTEST x']
    cells = [
        new_code_cell(source, metadata={"nbgrader": {"grade_id": name, **facts}})
        for source, (name, facts) in zip(sources, marks.items(), strict=True)
    ]
    notebook = new_notebook(cells=cells, metadata=METADATA)
    resources = {"metadata": {"path": str(tmp_path)}}
    made, _ = nbgrader_setup.InstantiateOwnTests().preprocess(notebook, resources)
    assert value in made.cells[-1].source
    assert made.cells[-1].source.startswith('check("x", x)\n')
    assert (tmp_path / "ran").exists() == needs
