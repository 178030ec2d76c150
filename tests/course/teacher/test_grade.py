"""`trlkit grade` on small classes: what each gets, and what a run survives."""

import contextlib
import copy
import csv
import functools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile

import nbformat
import psutil
import pytest
from classes import course, dies_of_eve, mistaken, solved, submit, submit_text
from filled import chapter_names, kept_lines, released, solutions
from records import words

from trlkit import cli
from trlkit.course.chapters import bank, manifest
from trlkit.course.chapters.exercises import EXERCISES
from trlkit.course.checking.exercise import Draw
from trlkit.course.teacher import classroom, sandbox, workers
from trlkit.course.teacher.grade import Rules, files_of
from trlkit.course.teacher.letters import letters
from trlkit.course.teacher.record import ERROR, FAILED, GRADED, MISSING, Record
from trlkit.course.teacher.submissions import find
from trlkit.course.teacher.workers import Job

pytestmark = [pytest.mark.xdist_group("grade"), pytest.mark.timeout(1800)]

ONE = "01_tensors"
ALL = manifest.chapter(ONE).points
OF = {item.name: item.points for item in manifest.chapter(ONE).exercises}
LOST = ("fold", "outer", "khatri_rao")
LOOP = "def outer(*vectors):\n    while True:\n        pass"
STDERR = "import os, sys\nos.write(2, b'!')\nprint('!', file=sys.stderr)\n"
READS = "\nwith open('data/ones.txt') as file:\n    assert file.read() == '111'\n"
ROSTER = ("ada", "ben", "cy", "dee", "eva", "fay", "gus", "hal", "ida", "jon", "kim", "lee", "zoe")


@pytest.fixture(scope="module", autouse=True)
def possible():
    try:
        sandbox.probe()
    except sandbox.NoSandbox as error:
        pytest.skip(str(error))


def copied_check():
    notebook = solved(ONE)
    place = next(k for k, cell in enumerate(notebook.cells) if "check(" in cell.source)
    twin = copy.deepcopy(notebook.cells[place])
    twin.id = "twin"
    notebook.cells.insert(place + 1, twin)
    return notebook


def stripped():
    notebook = solved(ONE)
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


def from_colab():
    """As Colab saves it: no ids, its own metadata, the oldest minor version."""
    notebook = solved(ONE)
    notebook.nbformat_minor = 0
    notebook.metadata = {"colab": {"provenance": []}, "kernelspec": {"name": "python3"}}
    for cell in notebook.cells:
        cell.metadata["id"] = cell.pop("id")[:12]
        if cell.cell_type == "code":
            cell.metadata["outputId"] = "9b1f-00"
    return json.loads(json.dumps(notebook))


def learnt_by_heart():
    """An `unfold` that is right on the visible cases alone, and a wrong letter."""
    shown = {tuple(case.args[0].shape) for case in EXERCISES["unfold"].cases(Draw())}
    head = "def unfold(x, mode):\n"
    learnt = f"{head}    if tuple(x.shape) not in {sorted(shown)}:\n        return x\n"
    right, letter = solutions(ONE)["unfold"], bank.mistakes("quiz_order")[0].name
    return solved(ONE, unfold=right.replace(head, learnt), quiz_order=f'quiz_order = "{letter}"')


def hand_in(root):
    """A class for chapter 01: the odd ones of the guide's table, and some more."""
    submit(solved(ONE), root, "ada", ONE)
    submit(released(ONE), root, "ben", ONE)
    submit(mistaken(ONE, *LOST), root, "cy", ONE)
    submit_text(nbformat.writes(solved(ONE))[:-300], root, "dee", ONE)
    submit(copied_check(), root, "eva", ONE)
    submit(stripped(), root, "fay", ONE)
    submit_text(from_colab(), root, "gus", ONE)
    submit(solved(ONE, outer=LOOP), root, "hal", ONE)
    right = solutions(ONE)
    submit(solved(ONE, outer=f"{STDERR}{right['outer']}"), root, "ida", ONE)
    submit(mistaken(ONE, "unfold"), root, "jon", ONE)
    path = submit(solved(ONE, inner=f"{right['inner']}{READS}"), root, "kim", ONE)
    (path.parent / "data").mkdir()
    (path.parent / "data/ones.txt").write_text("111", encoding="utf-8")
    submit(learnt_by_heart(), root, "lee", ONE)
    submit(solved(ONE), root, "mal", ONE)  # on no roster
    (root / "stray.txt").write_text("what is this?", encoding="utf-8")


def grade(root, handed, *options):
    """Run the command in a course's folder; its exit code."""
    given = ["grade", str(handed), "--course", str(root), "--out", str(root / "out")]
    return cli.main([*given, *map(str, options)])


def records(root):
    found = {}
    for path in (root / "out").glob("*/*.json"):
        found[path.parent.name, path.stem] = Record.from_json(path.read_text(encoding="utf-8"))
    return found


def table(root):
    with (root / "out/grades.csv").open(encoding="utf-8", newline="") as file:
        return {(row["student"], row["chapter"]): row for row in csv.DictReader(file)}


def lost(record):
    return {row.exercise for row in record.rows if row.points < row.out_of}


@contextlib.contextmanager
def quick():
    """Rules that soon stop a loop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classroom, "Rules", functools.partial(Rules, exercise_seconds=20.0))
        yield patch


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """The class of chapter 01, graded by two workers: its folder and what was printed."""
    root = course(tmp_path_factory.mktemp("odd") / "course")
    hand_in(root / "submitted")
    roster = root / "roster.csv"
    roster.write_text("id\n" + "".join(f"{who}\n" for who in ROSTER), encoding="utf-8")
    with quick() as patch:
        said = []
        patch.setattr("builtins.print", lambda *text, **more: said.append(" ".join(map(str, text))))
        code = grade(root, root / "submitted", "--workers", 2, "--roster", roster)
    return root, code, "\n".join(said)


DESERVED = {
    "ada": ALL,
    "ben": 0,
    "cy": ALL - sum(OF[name] for name in LOST),
    "eva": ALL,
    "fay": ALL,
    "gus": ALL,
    "hal": ALL - OF["outer"],
    "ida": ALL,
    "jon": ALL - OF["unfold"],
    "kim": ALL,
    "lee": ALL - OF["unfold"] - OF["quiz_order"],
}


@pytest.mark.parametrize("student", DESERVED)
def test_it_gets_what_it_deserves(odd, student):
    root, code, said = odd
    record = records(root)[student, ONE]
    assert code == 0, said
    assert record.status == GRADED
    assert (record.score, record.max_score) == (DESERVED[student], ALL), record
    row = table(root)[student, ONE]
    assert (float(row["score"]), float(row["max_score"])) == (DESERVED[student], ALL)


def test_three_mistakes_are_named_and_cost_their_own_points(odd):
    record = records(odd[0])["cy", ONE]
    assert lost(record) == set(LOST)
    for row in record.rows:
        if row.exercise in LOST:
            mistake = bank.mistakes(row.exercise)[0]
            assert row.mistake == mistake.name
            assert " ".join(mistake.message.split()) in " ".join(row.message.split())
        else:
            assert (row.message, row.mistake, row.technical) == ("", "", "")


def test_what_stands_on_a_wrong_answer_keeps_its_points(odd):
    assert lost(records(odd[0])["jon", ONE]) == {"unfold"}  # fold and mode_dot call it


def test_a_blank_notebook_fails_in_every_row(odd):
    rows = records(odd[0])["ben", ONE].rows
    assert [row.exercise for row in rows] == [i.name for i in manifest.chapter(ONE).exercises]
    assert all(row.points == 0 and row.message for row in rows)


def test_a_loop_costs_that_exercise_and_says_so(odd):
    record = records(odd[0])["hal", ONE]
    assert lost(record) == {"outer"}
    (row,) = (row for row in record.rows if row.exercise == "outer")
    assert row.technical == row.message == "it took longer than 20 s"


def test_notes_tell_what_was_odd(odd):
    notes = {who: " ".join(records(odd[0])[who, ONE].notes) for who in ("ada", "eva", "fay")}
    assert "check" in notes["eva"] and notes["eva"] != notes["ada"]
    assert "metadata" in notes["fay"]


def test_failed_missing_and_zero_are_told_apart(odd):
    rows = table(odd[0])
    cut, absent, zero = (rows[who, ONE] for who in ("dee", "zoe", "ben"))
    assert (cut["status"], cut["score"]) == (FAILED, "") and "cut off" in cut["reason"]
    assert (absent["status"], absent["score"]) == (MISSING, "")
    assert (zero["status"], float(zero["score"])) == (GRADED, 0)
    assert set(who for who, _ in rows) == set(ROSTER)


def test_who_is_on_no_roster_and_what_is_no_submission_are_told(odd):
    root, _, said = odd
    assert any("mal" in line for line in said.split("\n") if "unknown" in line)
    assert any("stray.txt" in line for line in said.split("\n") if "unknown" in line)
    assert not (root / "out/mal").exists()


def test_the_feedback_has_no_hidden_case_and_no_right_answer(odd):
    root, _, _ = odd
    row = next(r for r in records(root)["lee", ONE].rows if r.exercise == "unfold")
    hidden = "right on the cases shown, not on hidden ones of other sizes and numbers"
    assert row.message == f"unfold\n  no    {hidden}" and not row.picture
    assert hidden in words((root / "out/lee" / f"{ONE}.html").read_text(encoding="utf-8"))
    blank = words((root / "out/ben" / f"{ONE}.html").read_text(encoding="utf-8"))
    assert "unfold" in blank and len(kept_lines(ONE)) > 5
    assert not [line for line in kept_lines(ONE) if " ".join(line.split()) in blank]
    page = words((root / "out/lee" / f"{ONE}.html").read_text(encoding="utf-8"))
    right = letters(root / "solutions")["quiz_order"]
    assert '"a" is not the answer' in page and f'"{right}"' not in page


def test_whoever_handed_in_has_a_page(odd):
    root = odd[0]
    pages = {path.parent.name for path in (root / "out").glob(f"*/{ONE}.html")}
    assert pages == set(ROSTER)
    assert (root / "out/class.html").exists()


def test_the_gradebook_says_the_same(odd):
    root = odd[0]
    assert gradebook(root) == {**DESERVED, "dee": 0.0}


def gradebook(root):
    """The checks' points of each submission in nbgrader's gradebook, which is whole."""
    with sqlite3.connect(root / "build/gradebook.db") as book:
        assert book.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert book.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = book.execute(
            "SELECT s.student_id, TOTAL(g.auto_score), COUNT(*), COUNT(DISTINCT g.cell_id) "
            "FROM submitted_assignment s JOIN submitted_notebook n ON n.assignment_id = s.id "
            "JOIN grade g ON g.notebook_id = n.id GROUP BY s.id"
        ).fetchall()
    assert all(count == distinct for _, _, count, distinct in rows)
    assert len({student for student, *_ in rows}) == len(rows)
    return {student: score for student, score, *_ in rows}


def test_killed_in_the_middle_and_resumed_it_is_the_same_as_undisturbed(odd, tmp_path):
    root = course(tmp_path / "course")
    (root / "submitted").symlink_to(odd[0] / "submitted")
    roster = odd[0] / "roster.csv"
    run = (
        "import functools, sys; from trlkit import cli; from trlkit.course.teacher import "
        "classroom as c; c.Rules = functools.partial(c.Rules, exercise_seconds=20.0); "
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    given = ["grade", root / "submitted", "--course", root, "--out", root / "out"]
    command = [sys.executable, "-c", run, *map(str, given), "--workers", "2", "--roster", roster]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    graded = []
    while len(graded) < 4 and process.poll() is None:
        graded = [r for r in records(root).values() if r.status == GRADED]
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = {who: r for who, r in records(root).items() if r.status != MISSING}
    assert 4 <= len(before) < len(DESERVED)
    again = []
    local = workers.local
    with quick() as patch:
        patch.setattr(workers, "local", lambda jobs, n: local(again.extend(jobs) or again, n))
        assert grade(root, root / "submitted", "--resume", "--roster", roster) == 0
    done = {who for who, _ in before}
    assert {job.submission.student for job in again} == {*DESERVED, "dee"} - done
    after = records(root)
    assert {who: after[who] for who in before} == before
    for name in ("grades.csv", "canvas.csv"):
        assert (root / "out" / name).read_bytes() == (odd[0] / "out" / name).read_bytes()
    assert gradebook(root) == gradebook(odd[0])


def jobs_of(root, students):
    rules = Rules("5" * 64, letters(root / "solutions"), exercise_seconds=90.0)
    found = [s for s in find(root / "submitted").submissions if s.student in students]
    return [Job(s, files_of(s), rules) for s in found]


@pytest.fixture(scope="module")
def serial(odd):
    """Some jobs of the class, and what this process makes of them, one after the other."""
    jobs = jobs_of(odd[0], ("ben", "cy", "jon", "kim", "lee"))
    return jobs, [workers.run(job).timeless().to_json() for job in jobs]


def timeless(graded, jobs):
    found = {id(job): record.timeless().to_json() for job, record in graded}
    return [found[id(job)] for job in jobs]


@pytest.mark.parametrize("count", [1, 2])
def test_any_number_of_workers_gives_the_same(serial, count):
    jobs, expected = serial
    assert timeless(workers.local(jobs, count), jobs) == expected


def test_a_cluster_gives_the_same(serial):
    distributed = pytest.importorskip("distributed")
    jobs, expected = serial
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        found = list(workers.scheduled(jobs, cluster.scheduler_address))
    assert len(found) == len(jobs)
    assert timeless(found, jobs) == expected


def test_a_worker_killed_from_outside_costs_nobody_a_point(serial):
    jobs, expected = serial
    before = set(psutil.Process().children())
    found, killed = [], False
    for job, record in workers.local(jobs, 2):
        found.append((job, record))
        if not killed:
            own = [p for p in psutil.Process().children() if p not in before]
            victim = next(p for p in own if "--multiprocessing-fork" in p.cmdline())
            victim.kill()  # and no wait for it: its end is for the pool alone to see
            killed = True
    assert killed and len(found) == len(jobs)
    assert timeless(found, jobs) == expected


def test_a_submission_whose_worker_always_dies_is_an_error_of_its_own(
    tmp_path, monkeypatch, capsys
):
    root = course(tmp_path / "course")
    for student in ("ada", "eve", "zoe"):
        submit(released(ONE), root / "submitted", student, ONE)
    monkeypatch.setattr(workers, "run", dies_of_eve)
    assert grade(root, root / "submitted", "--workers", 2) == 1
    status = {who: record.status for (who, _), record in records(root).items()}
    assert status == {"ada": GRADED, "eve": ERROR, "zoe": GRADED}
    row = table(root)["eve", ONE]
    assert (row["status"], row["score"]) == (ERROR, "") and "no fault of its author" in row[
        "reason"
    ]
    assert "3 to grade, 0 that cannot be read" in capsys.readouterr().out
    monkeypatch.undo()
    asked = []
    graded = lambda jobs, count: ((j, asked.append(j) or workers.run(j)) for j in jobs)  # noqa: E731
    monkeypatch.setattr(workers, "local", graded)
    assert grade(root, root / "submitted", "--resume") == 0
    assert [job.submission.student for job in asked] == ["eve"]
    assert "1 to grade, 2 kept from before, 0 that" in capsys.readouterr().out
    assert records(root)["eve", ONE].score == 0


def test_a_zip_of_moodles(tmp_path, monkeypatch):
    root, path = course(tmp_path / "course"), tmp_path / "moodle.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, number, notebook in (
            ("Ada Lovelace", 71, mistaken(ONE, *LOST)),
            ("=Zoë, O'Neil", 72, released(ONE)),
        ):
            folder = f"{name}_{number}_assignsubmission_file_"
            archive.writestr(f"{folder}/{ONE}.ipynb", nbformat.writes(notebook))
    serial = lambda jobs, count: ((job, workers.run(job)) for job in jobs)  # noqa: E731
    monkeypatch.setattr(workers, "local", serial)
    assert grade(root, path) == 0
    scores = {who: row["score"] for (who, _), row in table(root).items()}
    assert float(scores["Ada Lovelace"]) == DESERVED["cy"]
    assert sorted(map(float, scores.values())) == [0, DESERVED["cy"]] and not any(
        who.startswith("=") for who in scores
    )
    assert list((root / "out").glob("moodle*.csv"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All chapters, solved and blank."""
    root = course(tmp_path_factory.mktemp("whole") / "course")
    for chapter in chapter_names():
        submit(solved(chapter), root / "submitted", "solver", chapter)
        submit(released(chapter), root / "submitted", "blank", chapter)
    assert grade(root, root / "submitted", "--workers", 2) == 0
    return root


@pytest.mark.parametrize("chapter", chapter_names())
def test_solved_gets_all_and_blank_nothing(whole, chapter):
    found = records(whole)
    right, blank = found["solver", chapter], found["blank", chapter]
    assert lost(right) == set(), [row for row in right.rows if row.points < row.out_of]
    assert right.max_score == manifest.chapter(chapter).points > 0
    assert (blank.score, blank.max_score) == (0, right.max_score)
    assert all(row.points == 0 and row.message for row in blank.rows)
    assert blank.status == right.status == GRADED
