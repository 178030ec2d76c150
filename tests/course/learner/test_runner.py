"""``trlkit check`` on files and cells that misbehave: one line each, in bounded time."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from functools import partial

import nbformat
import psutil
import pytest
from filled import ROOT, filled, released, save, solutions
from nbformat.v4 import new_code_cell, new_notebook

from trlkit import cli
from trlkit.course.chapters import manifest
from trlkit.course.checking.answer import RIGHT, LocalAnswer, Verdict
from trlkit.course.checking.exercise import Case, Exercise
from trlkit.course.checking.report import Report
from trlkit.course.learner import progress, runner

CHAPTER = "01_tensors"
ALL = f"{manifest.chapter(CHAPTER).points:g}"
OF = {item.name: item.points for item in manifest.chapter(CHAPTER).exercises}
MORE = f"{manifest.chapter(CHAPTER).points - OF['unfold']:g}"
NONE = f"0/{OF['unfold']}"
RELEASED = ROOT / "notebooks" / CHAPTER / f"{CHAPTER}.ipynb"


def check(path, capsys, *options):
    before = path.read_bytes() if path.exists() else None
    code = cli.main(["check", str(path), *options])
    assert before == (path.read_bytes() if path.exists() else None)
    captured = capsys.readouterr()
    return code, re.sub(" {2,}", " ", captured.out), captured.err


def notebook_with(tmp_path, *cells):
    """A solved chapter with these cells put in front of its first check."""
    notebook = filled(CHAPTER, solutions(CHAPTER))
    at = next(i for i, cell in enumerate(notebook.cells) if cell.id.startswith("check-"))
    notebook.cells[at:at] = [new_code_cell(cell) for cell in cells]
    return save(notebook, tmp_path / f"{CHAPTER}.ipynb"), at + 1


NOT_A_NOTEBOOK = {
    "there is no such file": None,
    "is empty; look into .ipynb_checkpoints": b"",
    "is no notebook, but a binary file": b"\x89PNG\r\n\x1a\n\xff\xfe",
    "is no notebook: Expecting value": b"print('hello')\n",
    "is no notebook, though it is JSON": b'{"cells": []}',
    "is a damaged notebook (AttributeError: cells)": b'{"nbformat": 4, "nbformat_minor": 5}',
    "holds no exercise of this course": json.dumps(new_notebook()).encode(),
    "is cut off in line": RELEASED.read_bytes()[:5000],
}


@pytest.mark.parametrize("message", NOT_A_NOTEBOOK)
def test_what_is_no_notebook_is_told_in_one_line(message, tmp_path, capsys):
    path = tmp_path / "mine.ipynb"
    if NOT_A_NOTEBOOK[message] is not None:
        path.write_bytes(NOT_A_NOTEBOOK[message])
    code, out, err = check(path, capsys)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and message in err and str(path) in err


def test_a_folder_is_no_notebook(tmp_path, capsys):
    with pytest.raises(runner.NotANotebook, match="cannot be read"):
        runner.read_notebook(tmp_path)


def test_an_old_notebook_format_is_read(tmp_path):
    path = tmp_path / "old.ipynb"
    cell = {"cell_type": "code", "input": ["1 / 0"], "outputs": [], "language": "python",
            "metadata": {}, "collapsed": False}  # fmt: skip
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""},
           "worksheets": [{"cells": [cell], "metadata": {}}]}  # fmt: skip
    path.write_text(json.dumps(old))
    assert runner.run_notebook(path, ()).errors == {1: "ZeroDivisionError: division by zero"}


def test_a_blank_and_a_solved_notebook(tmp_path, capsys):
    code, out, _ = check(RELEASED, capsys)
    assert code == 1 and f" no unfold {NONE} `unfold` is not written yet" in out
    assert f" 0 of {ALL} points" in out
    code, out, _ = check(ROOT / "solutions" / CHAPTER / f"{CHAPTER}.ipynb", capsys, "--json")
    (result,) = json.loads(out)
    assert (code, result["points"], result["notes"]) == (0, manifest.chapter(CHAPTER).points, [])


def test_one_wrong_answer_costs_itself_and_is_explained(tmp_path, capsys):
    wrong = "def unfold(x, mode):\n    return x.reshape(x.shape[mode], -1)"
    path = save(filled(CHAPTER, solutions(CHAPTER) | {"unfold": wrong}), tmp_path / "mine.ipynb")
    code, out, _ = check(path, capsys)
    assert code == 1 and f" no unfold {NONE} You only reshaped." in out
    assert f" {MORE} of {ALL} points" in out
    _, out, _ = check(path, capsys, "--verbose")
    assert "Look at: which mode must stand in front before you reshape." in out


def test_cells_that_loop_exit_flood_and_die_cost_nothing_but_themselves(tmp_path, capsys):
    cells = {
        "while True: pass": "took longer than 10 s",
        "import sys; sys.exit(3)": "",
        "for i in range(1_000_000): print('line', i)": (
            "printed 1,000,000 lines; only the first were kept"
        ),
        "exit()": "",
        "input('your name?')": "",
        "raise KeyboardInterrupt": "",
        "import os; os._exit(5)": "ended Python (exit code 5)",
        "this is no python": "",
        "import ctypes; ctypes.string_at(0)": "ended Python (SIGSEGV)",
    }
    path, first = notebook_with(
        tmp_path,
        *cells,
    )
    code, out, _ = check(path, capsys, "--all", "--timeout", "10")
    assert code == 0 and f"{ALL} of {ALL} points" in out
    notes = [f"cell {first + i} ({cell}) {cells[cell]}" for i, cell in enumerate(cells)]
    expected = [note for note, said in zip(notes, cells.values(), strict=True) if said]
    said = re.findall("note: (.*)", out)
    raised = [note for note in said if "which is not graded" in note]
    assert [note for note in raised if "raises SystemExit: 3, and 4 more" in note] == raised != []
    assert all(re.match(r"cell \d+ \(.+\), which is not graded", note) for note in raised)
    assert sorted(set(said) - {*raised}) == sorted(expected)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_cell_that_will_not_be_interrupted_is_ended(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runner, "GRACE_SECONDS", 1.0)
    path, first = notebook_with(
        tmp_path,
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    )
    code, out, _ = check(path, capsys, "--all", "--timeout", "5")
    assert code == 0 and f"note: cell {first} (while True:) took longer than 5 s" in out


def test_an_answer_that_loops_costs_its_own_points(tmp_path, capsys):
    loops = "def unfold(x, mode):\n    while True: pass"
    path = save(filled(CHAPTER, solutions(CHAPTER) | {"unfold": loops}), tmp_path / "mine.ipynb")
    code, out, _ = check(path, capsys, "--timeout", "5")
    assert code == 1 and f" no unfold {NONE} took longer than 5 s" in out
    assert f" {MORE} of {ALL} points" in out


def test_an_answer_that_does_not_run_is_told_by_its_own_error(tmp_path, capsys):
    answers = {"unfold": "def unfold(x, mode:\n    return x", "quiz_order": "quiz_order = c"}
    path = save(filled(CHAPTER, solutions(CHAPTER) | answers), tmp_path / "mine.ipynb")
    _, out, _ = check(path, capsys)
    assert f" no unfold {NONE} its cell raises SyntaxError: '(' was never closed" in out
    assert " no quiz_order 0/1 its cell raises NameError: name 'c' is not defined" in out


def test_cells_that_no_answer_needs_are_not_run(tmp_path, capsys):
    ran = tmp_path / "ran"
    path, first = notebook_with(tmp_path, f"open({str(ran)!r}, 'w').close(); 1 / 0")
    code, out, _ = check(path, capsys)
    assert (code, ran.exists()) == (0, False) and f"{ALL} of {ALL} points" in out
    code, out, _ = check(path, capsys, "--all")
    assert (code, ran.exists()) == (0, True) and f"{ALL} of {ALL} points" in out
    assert f"note: cell {first} (open(" in out and "raises ZeroDivisionError" in out


@pytest.mark.parametrize("answer", ["RIGHT", 'Verdict("")', 'Verdict("", "")'])
def test_an_answer_that_is_a_verdict_does_not_pass(answer, tmp_path, capsys):
    source = "def unfold(x, mode):\n    from trlkit.course.checking.answer import RIGHT, Verdict\n"
    wrong = {"unfold": f"{source}    return {answer}"}
    path = save(filled(CHAPTER, solutions(CHAPTER) | wrong), tmp_path / "mine.ipynb")
    code, out, _ = check(path, capsys)
    assert (
        code == 1 and f" no unfold {NONE} takes unfold" not in out and f" no unfold {NONE} " in out
    )
    assert f" {MORE} of {ALL} points" in out


@pytest.mark.parametrize("given", [RIGHT, Verdict("right", "x"), {"a": [RIGHT]}])
def test_an_answers_own_verdict_is_no_verdict(given):
    def judged(value, args):
        return value if value != 1 else RIGHT if given == RIGHT else {"a": [RIGHT]}

    exercise = Exercise("one", ("x",), lambda x: 1, lambda draw: [Case((0,))],
                        gradients=False, judged=judged)  # fmt: skip
    assert exercise.judge(LocalAnswer(lambda x: 1)).passed is True
    assert exercise.judge(LocalAnswer(lambda x: given)).passed is False


def test_a_judge_that_is_stopped_midway_has_passed_nothing():
    def judged(value, args):
        if value == 1:
            return value
        raise RuntimeError("midway")

    reports = []
    exercise = Exercise("one", ("x",), lambda x: 1, lambda draw: [Case((0,))],
                        gradients=False, judged=judged)  # fmt: skip
    with pytest.raises(RuntimeError, match="midway"):
        reports.append(exercise.judge(LocalAnswer(lambda x: 2)))
    assert reports == [] and Report("one").passed is False
    halfway = Report("one")
    halfway.ok("the first case")
    assert halfway.passed is False


def test_a_check_that_is_never_made_is_not_passed(tmp_path, capsys):
    path, _ = notebook_with(tmp_path, "check = lambda *args, **kwargs: None")
    code, out, _ = check(path, capsys)
    assert code == 1 and " no fiber 0/1 its check cell ran, and no check was made" in out


def test_a_quiz_takes_a_capital_and_spaces(tmp_path, capsys):
    given = {"quiz_order": 'quiz_order = " C "'}
    path = save(filled(CHAPTER, solutions(CHAPTER) | given), tmp_path / "mine.ipynb")
    code, out, _ = check(path, capsys)
    assert (code, f"{ALL} of {ALL} points" in out) == (0, True)


def test_what_lies_beside_the_notebook_is_found_and_stands_in_for_nothing(tmp_path, monkeypatch):
    for name in ("trlkit/__init__", "trlkit/course/learner/cells", "torch", "json", "psutil"):
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("raise SystemExit('not the checker')")
    (tmp_path / "mine.py").write_text("x = 7")
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", "") + os.pathsep)
    cells = ["import mine; assert mine.x == 7", "import trlkit, torch, json, difflib, psutil"]
    path = save(new_notebook(cells=[new_code_cell(cell) for cell in cells]), tmp_path / "n.ipynb")
    result = runner.run_notebook(path, ())
    assert (result.errors, result.notes) == ({}, [])


@pytest.mark.parametrize("way", ["module", "command"])
def test_the_checker_imports_nothing_from_the_notebooks_folder(way, tmp_path):
    path = save(new_notebook(), tmp_path / "mine.ipynb")
    beside = ["torch", "json", "nbformat", "psutil", "platformdirs", "argparse"]
    for name in [*beside, *(["trlkit/__init__", "trlkit/cli"] if way == "command" else [])]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not the checker')")
    command = [sys.executable, "-m", "trlkit.cli"]
    if way == "command":
        command = [shutil.which("trlkit", path=sysconfig.get_path("scripts"))]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, "check", path.name], cwd=tmp_path, env=env,
                          capture_output=True, text=True)  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "trlkit check: mine.ipynb: holds no exercise of this course\n"


def event(**other):
    """What a notebook's process tells of a cell, and what else is said."""
    told = {"end": 1, "error": "", "story": "", "mistake": "", "printed": "", "lines": 0}
    return {**told, "passed": [], **other}


@pytest.mark.parametrize(
    "other",
    [
        {"end": 2},
        {"end": True},
        {"lines": -1},
        {"lines": 10**4000},
        {"lines": 1.0},
        {"passed": "unfold"},
        {"passed": [1]},
        {"error": None},
        {"more": 1},
    ],
)
def test_an_event_of_the_wrong_kind_or_size_tells_nothing(other):
    assert runner._ran(event(**other), 1) is None
    assert runner._ran(event(), 1) == runner.Ran()


def test_what_an_event_tells_is_cut_to_what_a_report_holds():
    ran = runner._ran(event(error="x\n" * 900_000, mistake="x" * 900_000), 1)
    assert max(len(ran.error), len(ran.mistake)) <= runner.REASON and "\n" not in ran.error


PIPE = """import os
def tell(text):
    for n in range(3, 64):
        try:
            if os.readlink(f"/proc/self/fd/{n}").startswith("pipe"): os.write(n, text)
        except OSError: pass
"""
JUNK = [
    "tell(b'no json\\n')",
    "tell(b'null\\n')",
    "tell(b'\\xff\\xfe\\n')",
    "tell(b'[' * 100_000 + b'\\n')",
    """tell(b'{"end": "1"}\\n')""",
    """tell(b'{"start": 99}\\n')""",
    """tell(b'{"start": true}\\n')""",
    """tell(b'{"end": 1, "error": 5, "story": [], "mistake": {}, "printed": 0}\\n')""",
    "tell(b'x' * 3_000_000)",
    "os.closerange(3, 64); import time; time.sleep(600)",
]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize("junk", JUNK)
def test_what_no_checker_tells_is_a_failure_of_that_cell(junk, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "GRACE_SECONDS", 1.0)
    cells = [PIPE, junk, "1 / 0"]
    path = save(new_notebook(cells=[new_code_cell(cell) for cell in cells]), tmp_path / "n.ipynb")
    result = runner.run_notebook(path, ())
    assert result.errors[2].startswith("meddled with the pipe")
    assert result.errors[3] == "ZeroDivisionError: division by zero"  # what follows is judged


def test_learners_text_moves_no_cursor(tmp_path, capsys):
    wrong = {"unfold": "def unfold(x, mode):\n    raise ValueError('\\x1b]0;owned\\x07\\r\\x9b2J')"}
    notebook = filled(CHAPTER, solutions(CHAPTER) | wrong)
    path = save(notebook, tmp_path / "mine.ipynb")
    _, out, err = check(path, capsys, "--verbose")
    assert "owned" in out and all(c == "\n" or c.isprintable() for c in out + err)


@pytest.mark.skipif(sys.platform != "linux", reason="orphans come back on Linux only")
@pytest.mark.parametrize("then", ["", "os._exit(3)", "while True: pass"])
def test_what_a_notebook_leaves_running_is_ended(then, tmp_path):
    pids = tmp_path / "pids"
    cell = f"""import os, time
for sessions in (0, 1):
    if os.fork() == 0:
        if sessions:
            os.setsid()
            if os.fork(): os._exit(0)
        open({str(pids)!r}, "a").write(f"{{os.getpid()}}\\n")
        time.sleep(600)
        os._exit(0)
while not os.path.exists({str(pids)!r}) or len(open({str(pids)!r}).read().split()) < 2:
    time.sleep(0.01)
{then}"""
    path = save(new_notebook(cells=[new_code_cell(cell)]), tmp_path / "n.ipynb")
    runner.run_notebook(path, (), cell_seconds=5)
    found = [int(pid) for pid in pids.read_text().split()]
    assert len(found) >= 2 and not any(psutil.pid_exists(pid) for pid in found)


def test_a_notebook_is_given_up_after_its_own_limit(tmp_path):
    cells = [new_code_cell("import time; time.sleep(600)") for _ in range(3)]
    path = save(new_notebook(cells=cells), tmp_path / "slow.ipynb")
    result = runner.run_notebook(path, (), notebook_seconds=6)
    assert result.notes == ["the notebook took too long; what follows was not run"]


def test_python_ended_again_and_again_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "RESTARTS", 1)
    cells = [new_code_cell("import os; os._exit(1)") for _ in range(4)]
    result = runner.run_notebook(save(new_notebook(cells=cells), tmp_path / "dies.ipynb"), ())
    assert "Python was ended 2 times; what follows was not run" in result.notes


def test_another_kernel_a_copied_cell_an_edited_and_a_lost_check_are_told(tmp_path, capsys):
    notebook = filled(CHAPTER, solutions(CHAPTER))
    notebook.metadata.kernelspec = {"name": "ir", "language": "R", "display_name": "R"}
    at = next(i for i, cell in enumerate(notebook.cells) if cell.id == "solve-unfold")
    notebook.cells.append(nbformat.from_dict({**notebook.cells[at], "id": "copy"}))
    edited = next(cell for cell in notebook.cells if cell.id == "check-fold")
    edited.source = "print('fine')"
    notebook.cells = [cell for cell in notebook.cells if cell.id != "check-outer"]
    path = save(notebook, tmp_path / "mine.ipynb")
    code, out, _ = check(path, capsys)
    assert code == 0 and f"{ALL} of {ALL} points" in out
    notes = [line for line in out.split("\n") if line.startswith(" note: ")]
    assert "saved with the kernel 'ir' (R), run here as Python" in notes[0]
    assert f"is a copy of cell {at + 1} (unfold): nbgrader takes one only" in notes[1]
    assert "the check of fold was edited; the course's was run" in notes[2]
    assert "the check cell of outer is missing; it was run at the end" in notes[3]


def test_a_wrong_answer_with_an_edited_check_still_fails(tmp_path, capsys):
    notebook = filled(CHAPTER, solutions(CHAPTER) | {"fold": "def fold(*args): return 1"})
    next(cell for cell in notebook.cells if cell.id == "check-fold").source = "pass"
    code, out, _ = check(save(notebook, tmp_path / "mine.ipynb"), capsys)
    assert code == 1 and f"{manifest.chapter(CHAPTER).points - OF['fold']:g} of {ALL} points" in out


def test_stripped_metadata_is_told_and_the_exercises_found_by_their_text(tmp_path, capsys):
    notebook = filled(CHAPTER, solutions(CHAPTER))
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
    code, out, _ = check(save(notebook, tmp_path / "renamed.ipynb"), capsys)
    assert code == 0 and f"{ALL} of {ALL} points" in out
    assert "note: the nbgrader metadata is gone" in out


def test_cells_see_what_stands_beside_the_notebook_and_cannot_change_it(tmp_path):
    data = tmp_path / "numbers.txt"
    data.write_text("7")
    cells = ["assert open('numbers.txt').read() == '7'",
             "open('numbers.txt', 'w').write('8')",
             "open('n.ipynb', 'w').write('gone')"]  # fmt: skip
    path = save(new_notebook(cells=[new_code_cell(cell) for cell in cells]), tmp_path / "n.ipynb")
    before = path.read_bytes()
    assert runner.run_notebook(path, ()).errors == {}
    assert (data.read_text(), path.read_bytes()) == ("7", before)


def test_several_notebooks_one_of_them_bad(tmp_path, capsys):
    bad = tmp_path / "bad.ipynb"
    bad.write_text("")
    assert cli.main(["check", str(bad), str(RELEASED)]) == 2
    captured = capsys.readouterr()
    assert "is empty" in captured.err and f"0 of {ALL} points" in captured.out


def test_progress_of_blank_and_solved_folders(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    some = [*manifest.chapters()[:2], manifest.chapters()[-1]]  # test_promises runs every chapter
    monkeypatch.setattr(manifest, "chapters", lambda: some)
    for chapter in some:
        save(filled(chapter.name, solutions(chapter.name)),
             tmp_path / "solved" / chapter.name / f"{chapter.name}.ipynb")  # fmt: skip
        save(released(chapter.name), tmp_path / "blank" / f"{chapter.name}.ipynb")
    total = sum(chapter.points for chapter in some)
    assert cli.main(["progress", str(tmp_path / "solved")]) == 0
    assert f"{total:g}/{total:g}" in capsys.readouterr().out
    assert cli.main(["progress", str(tmp_path / "blank")]) == 1
    assert f"0/{total:g}" in capsys.readouterr().out
    with monkeypatch.context() as patch:  # what is known is not run again
        patch.delattr(runner, "run_notebook")
        assert cli.main(["progress", str(tmp_path / "solved")]) == 0
    assert cli.main(["progress", str(tmp_path / "none")]) == 2
    assert "no notebooks in" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert cli.main(["progress", str(tmp_path / "empty")]) == 1
    assert "01_tensors.ipynb is not there" in capsys.readouterr().out


def test_progress_runs_again_what_may_come_out_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    chapter = manifest.chapter(CHAPTER)
    save(released(CHAPTER), tmp_path / f"{CHAPTER}.ipynb")
    results = [runner.Result(complete=False), *(runner.Result() for _ in range(3))]
    left = iter(results)
    monkeypatch.setattr(runner, "check_notebook", lambda path, threads: (chapter, next(left)))

    counts = partial(progress._counts, tmp_path, chapter, 1)
    counts(), counts()  # the first was cut short: not remembered
    counts()
    (tmp_path / "mine.py").write_text("x = 1")  # a cell may import it
    counts()
    monkeypatch.setattr(progress, "_course", lambda: "another course")
    counts(), counts()
    assert len([*left]) == 0


def test_the_command_line_says_its_commands():
    done = subprocess.run([sys.executable, "-m", "trlkit.cli"], capture_output=True, text=True)
    assert done.returncode == 2
    assert all(name in done.stderr for name in ("lab", "doctor", "check", "progress", "build"))


@pytest.mark.skipif(sys.platform != "linux", reason="there is a keeper on Linux alone")
def test_cells_end_with_a_checker_that_is_killed():
    ours, theirs = os.pipe()  # its other end stays open: no end of input tells the cells
    code = (
        "import subprocess, sys, time\n"
        f"command = [sys.executable, {str(runner.KEEPER)!r}]\n"
        f"kept = subprocess.Popen(command, stdin={ours}, stdout=subprocess.DEVNULL)\n"
        "print(kept.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    started = [sys.executable, "-c", code]
    options = {"pass_fds": [ours], "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(started, **options) as checker:
        keeper = psutil.Process(int(checker.stdout.readline()))
        for _ in range(600):
            if cells := keeper.children():
                break
            time.sleep(0.1)
        checker.kill()
    _, alive = psutil.wait_procs([keeper, *cells], timeout=60)
    os.close(ours)
    os.close(theirs)
    assert not alive
