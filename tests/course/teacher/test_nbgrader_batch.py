"""One `nbgrader autograde` for a class with odd submissions: each gets what it deserves."""

import copy
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from filled import ROOT, save
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.apps import NbGraderAPI
from traitlets.config import Config

from trlkit.course.teacher import nbgrader_setup, sandboxed_kernel

pytestmark = pytest.mark.xdist_group("batch")

NAMES = ("one", "two", "three")
POINTS = {"one": 1, "two": 2, "three": 4}
REPORT = 8
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def marks(name, **more):
    plain = {"grade": False, "locked": False, "solution": False, "task": False, "schema_version": 3}
    return {"nbgrader": {**plain, "grade_id": name, **more}}


def source():
    """A chapter of three exercises and a report; the answer to each is a function of its name."""
    cells = []
    for name in NAMES:
        answer = f"### BEGIN SOLUTION\ndef {name}():\n    return '{name}'\n### END SOLUTION"
        test = f"assert {name}() == '{name}'"
        graded = marks(f"check_{name}", grade=True, locked=True, points=POINTS[name])
        cells += [
            new_code_cell(answer, metadata=marks(name, solution=True), id=f"solve-{name}"),
            new_code_cell(test, metadata=graded, id=f"check-{name}"),
        ]
    by_hand = marks("report", grade=True, solution=True, points=REPORT)
    cells.append(new_markdown_cell("Write here.", metadata=by_hand, id="report"))
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def solved(release):
    notebook = copy.deepcopy(release)
    for cell in notebook.cells:
        name = cell.metadata.nbgrader.grade_id
        if name in NAMES:
            cell.source = f"def {name}():\n    return '{name}'"
    return notebook


def at(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name)


def copied_check(notebook):
    twin = copy.deepcopy(at(notebook, "check-one"))
    twin.id = "twin"
    notebook.cells.insert(3, twin)


def copied_answer(notebook):
    twin = copy.deepcopy(at(notebook, "solve-two"))
    twin.id, twin.source = "twin", "def two():\n    return 'my first try'"
    notebook.cells.insert(0, twin)


def stripped(notebook):
    for cell in notebook.cells:
        cell.metadata = {}


def stripped_of_ids_too(notebook):
    stripped(notebook)
    notebook.nbformat_minor = 4
    for cell in notebook.cells:
        del cell["id"]


def of_another_schema(notebook):
    for number, cell in enumerate(notebook.cells):
        cell.metadata.nbgrader.schema_version = 99 * (number % 2)


def with_rewritten_metadata(notebook):
    at(notebook, "check-one").metadata.nbgrader.points = 100
    at(notebook, "check-two").metadata["nbgrader"] = ["?"]
    at(notebook, "check-three").metadata.nbgrader.grade_id = {"a": 1}


def without_a_check(notebook):
    notebook.cells.remove(at(notebook, "check-two"))


def loops(notebook):
    at(notebook, "solve-two").source = (
        "def two():\n    while True:\n        try:\n            import time; time.sleep(60)\n"
        "        except KeyboardInterrupt:\n            pass"
    )


def ends_python(notebook):
    at(notebook, "solve-two").source = "import os; os._exit(0)"


def ends_python_always(notebook):
    ends = [new_code_cell("import os; os._exit(0)", id=f"end-{n}") for n in range(3)]
    notebook.cells[2:2] = ends


def writes_to_stderr(notebook):
    at(notebook, "solve-one").source += "\nimport os, sys"
    at(
        notebook, "solve-two"
    ).source = (
        "def two():\n    print('!', file=sys.stderr)\n    os.write(2, b'!')\n    return 'two'"
    )


def skips_the_checks(notebook):
    for cell in notebook.cells:
        cell.metadata["tags"] = ["skip-execution"]
        if cell.metadata.nbgrader.grade_id in NAMES:
            cell.source = ""


ALL = sum(POINTS.values())
CASES = {
    copied_check: ALL,
    copied_answer: ALL,
    stripped: ALL,
    stripped_of_ids_too: ALL,
    of_another_schema: ALL,
    with_rewritten_metadata: ALL,
    without_a_check: ALL,
    loops: ALL - POINTS["two"],
    ends_python: ALL - POINTS["two"],
    ends_python_always: POINTS["one"],
    writes_to_stderr: ALL,
    skips_the_checks: 0,
}


def submit(notebook, root, student):
    place = root / "build/submitted" / student / "01_small/01_small.ipynb"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(notebook), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    root = tmp_path_factory.mktemp("course")
    save(source(), root / "solutions/01_small/01_small.ipynb")
    config = Config()
    nbgrader_setup.configure(config, root)
    config.Execute.timeout = 5
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(sys, "argv", ["nbgrader"])
        patch.setattr(nbgrader_setup, "RESTARTS", 2)
        api = NbGraderAPI(config=config)
        done = api.generate_assignment("01_small", force=True, create=True)
        assert done["success"], done["log"]
        yield root, api


def released(root):
    return nbformat.read(root / "notebooks/01_small/01_small.ipynb", as_version=4)


@pytest.fixture(scope="module")
def batch(course):
    """The log of one run over all submissions, the ones that cannot be read among them."""
    root, api = course
    for case in CASES:
        notebook = solved(released(root))
        case(notebook)
        submit(notebook, root, case.__name__)
    cut = submit(solved(released(root)), root, "a_truncated_one")
    cut.write_text(cut.read_text(encoding="utf-8")[:-100], encoding="utf-8")
    return api.autograde("01_small", "*", force=False, create=True)


def grades(api, student):
    with api.gradebook as gradebook:
        notebook = gradebook.find_submission_notebook("01_small", "01_small", student)
        return {grade.cell.name: grade for grade in notebook.grades}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_gets_what_it_deserves(course, batch, case):
    root, api = course
    scores = {name: grade.score for name, grade in grades(api, case.__name__).items()}
    assert sum(scores.values()) == CASES[case], batch["log"]
    assert (root / "build/autograded" / case.__name__ / "01_small/01_small.ipynb").exists()


def test_one_that_cannot_be_read_fails_by_name_and_stops_no_other(course, batch):
    root, _ = course
    assert not batch["success"]
    failed = [line for line in batch["log"].splitlines() if "for student" in line]
    assert len(failed) == 1 and "'a_truncated_one'" in failed[0]
    assert not (root / "build/autograded/a_truncated_one").exists()


def test_a_report_is_found_by_its_id_where_the_metadata_is_gone(course):
    root, api = course
    notebook = solved(released(root))
    at(notebook, "report").source = "My report."
    stripped(notebook)
    submit(notebook, root, "reporter")
    done = api.autograde("01_small", "reporter", force=True, create=True)
    assert done["success"], done["log"]
    assert grades(api, "reporter")["report"].needs_manual_grade


def test_a_run_that_was_killed_is_no_grade(course):
    root, api = course
    notebook, student = solved(released(root)), "killer"
    at(notebook, "solve-three").source += (
        "\nimport os, signal"
        f"\nif os.environ.get('KILL'):\n    os.kill(os.getppid(), signal.{signal.SIGKILL.name})"
    )
    submit(notebook, root, student)
    run = (
        "import sys; from pathlib import Path; from traitlets.config import Config; "
        "from nbgrader.apps import NbGraderAPI; import runpy; c = Config(); "
        f"runpy.run_path({nbgrader_setup.__file__!r})['configure'](c, Path.cwd()); "
        "done = NbGraderAPI(config=c).autograde('01_small', 'killer', force=False); "
        "print(done['log']); sys.exit(not done['success'])"
    )
    command = [sys.executable, "-c", run]
    killed = subprocess.run(command, cwd=root, env={**os.environ, "KILL": "1"})
    assert killed.returncode == -signal.SIGKILL
    assert (root / "build/autograded/killer/01_small/01_small.ipynb").exists()
    again = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr
    scores = {name: grade.score for name, grade in grades(api, student).items()}
    assert sum(scores.values()) == ALL


def test_a_run_that_is_still_going_is_left_alone(tmp_path):
    graded = tmp_path / "build/autograded/ada/01_small/01_small.ipynb"
    notebook = [str(tmp_path / "build/submitted/ada/01_small/01_small.ipynb")]
    graded.parent.mkdir(parents=True)
    graded.touch()
    config = Config()
    nbgrader_setup.configure(config, tmp_path)
    config.Autograde.pre_convert_hook(assignment="01_small", student="*", notebooks=notebook)
    nbgrader_setup.configure(Config(), tmp_path)
    assert graded.exists()
    config.Autograde.post_convert_hook(assignment="01_small", student="*", notebooks=notebook)
    assert list(Path(tmp_path, "build/grading").glob("*/*")) == []


TRIES = {
    "reads the solutions": "open(f'{root}/solutions/01_small/01_small.ipynb').read()",
    "lists the others": "os.listdir(f'{root}/build/submitted')",
    "opens the gradebook": "open(f'{root}/build/gradebook.db', 'r+b').close()",
    "connects": "socket.create_connection(('127.0.0.1', port), 5).close()",
    "sees another process": "os.kill(process, 0)",
    "reads a secret": "os.environ['SECRET']",
    "writes to the terminal": "open(terminal(), 'w').close()",
    "leaves a link": "os.remove('01_small.ipynb'); os.symlink(f'{root}/victim', '01_small.ipynb')",
}
TRY_ALL = """
import json, os, socket
def terminal():  # the standard error of whoever started the kernel
    others = {process, 1} - {os.getpid()}
    return next(path for path in (f'/proc/{one}/fd/2' for one in others) if os.path.exists(path))
worked = []
for name, attempt in tries.items():
    try:
        exec(attempt)
        worked.append(name)
    except (OSError, KeyError, StopIteration):
        pass
print(json.dumps(worked))
"""


@pytest.mark.parametrize("sandbox", [False, True])
def test_in_the_sandbox_a_submission_reaches_its_own_folder_only(course, monkeypatch, sandbox):
    root, _ = course
    if sandbox:
        try:
            sandboxed_kernel.probe()
        except RuntimeError as error:
            pytest.skip(str(error))
    monkeypatch.setenv("JUPYTER_PATH", "")
    monkeypatch.setenv("SECRET", "of the teacher")
    config, student = Config(), f"intruder_{sandbox}"
    nbgrader_setup.configure(config, root, sandbox)
    (root / "victim").write_text("mine", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        given = {"root": str(root), "port": server.getsockname()[1], "process": os.getpid()}
        names = "\n".join(
            f"{name} = {value!r}" for name, value in (given | {"tries": TRIES}).items()
        )
        notebook = solved(released(root))
        notebook.cells.insert(0, new_code_cell(names + TRY_ALL, id="attack"))
        submit(notebook, root, student)
        api = NbGraderAPI(config=config)
        done = api.autograde("01_small", student, force=True, create=True)
    assert done["success"], done["log"]
    graded = root / "build/autograded" / student / "01_small/01_small.ipynb"
    worked = json.loads(nbformat.read(graded, as_version=4).cells[0].outputs[0].text)
    assert worked == (["leaves a link"] if sandbox else list(TRIES))  # in its own copy
    assert ((root / "victim").read_text(encoding="utf-8") == "mine") is sandbox
    assert sum(grade.score for grade in grades(api, student).values()) == ALL


def test_where_there_can_be_no_sandbox_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="no bwrap on the PATH: install it"):
        nbgrader_setup.configure(Config(), tmp_path, sandbox=True)


def test_the_guide_shows_the_last_line_of_the_configuration():
    last = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8").splitlines()[-1]
    guide = (ROOT / "docs/guide/protection.md").read_text(encoding="utf-8")
    assert f"{last.removesuffix(')')}, sandbox=True)\n" in guide
