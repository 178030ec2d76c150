"""A class with hostile submissions, graded by the command: nobody gains, nothing is harmed."""

import csv
import hashlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from classes import course, mistaken, solved, submit
from filled import ROOT, filled, released, solutions
from hostile import ATTACKS, CHAPTER, LASTING, reaching

import trlkit
from trlkit.course.chapters import manifest
from trlkit.course.teacher import sandbox
from trlkit.course.teacher.record import FAILED, Record

pytestmark = [pytest.mark.xdist_group("attacked"), pytest.mark.timeout(1800)]

PACKAGE = Path(trlkit.__file__).parent
LOST = ("fold", "outer", "khatri_rao")
ALL = manifest.chapter(CHAPTER).points
LOSES = sum(i.points for i in manifest.chapter(CHAPTER).exercises if i.name in LOST)
HONEST = {"ada": ALL, "mia": ALL - LOSES, "zoe": 0}
QUICK = (
    "import functools, sys\n"
    "from trlkit import cli\n"
    "from trlkit.course.teacher import classroom\n"
    "from trlkit.course.teacher.sandbox import Limits\n"
    "classroom.Rules = functools.partial(\n"
    "    classroom.Rules, cell_seconds=20.0, exercise_seconds=20.0,\n"
    "    limits=Limits(memory=1_000_000_000, disk=32_000_000, seconds=60))\n"
    "sys.exit(cli.main(sys.argv[1:]))"
)


def hashes(*places):
    """The SHA-256 of each file in some folders, and where each link leads."""
    found = {}
    for path in (path for place in places for path in [place, *sorted(place.rglob("*"))]):
        if path.is_symlink():
            found[path] = os.readlink(path)
        elif "__pycache__" in path.parts and PACKAGE in path.parents:
            continue  # other tests' processes may write there meanwhile
        elif path.is_file():
            found[path] = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mode
        else:
            found[path] = ""
    return found


def hand_in_hostile(root, home):
    """A submission for each attack; the names of their authors, with the attack's."""
    submitted, own = root / "submitted", solutions(CHAPTER)
    reached = reaching(root, home, submitted / "ada" / CHAPTER)
    attacks = {**{n: a for n, a in ATTACKS.items() if n not in LASTING}, **reached}
    names = {}
    for number, (name, attack) in enumerate(sorted(attacks.items())):
        student = f"{'bnz'[number % 3]}{number:03}"  # honest ones come before, between and after
        names[student] = name
        answers = {"fiber": own["fiber"], "unfold": attack}
        path = submit(filled(CHAPTER, answers), submitted, student, CHAPTER)
        if "a link" in name:
            (path.parent / "link.txt").symlink_to(home / "notes.txt")
    for student in ("=HYPERLINK(1)", "<img src=x onerror=alert(1)>", "a, b", "$(touch owned)"):
        names[student] = "a name"
        path = submit(filled(CHAPTER, {"fiber": own["fiber"]}), submitted, student, CHAPTER)
        for module in ("trlkit/__init__.py", "torch.py", "trlkit/course/learner/cells.py"):
            (path.parent / module).parent.mkdir(parents=True, exist_ok=True)
            (path.parent / module).write_text("raise SystemExit\n", encoding="utf-8")
        os.mkfifo(path.parent / "pipe")
    linked = submitted / "linked" / CHAPTER / f"{CHAPTER}.ipynb"
    linked.parent.mkdir(parents=True)
    linked.symlink_to(submitted / "ada" / CHAPTER / f"{CHAPTER}.ipynb")
    names["linked"] = "a link to a neighbor's notebook"
    (submitted / "double").symlink_to(submitted / "ada")
    for student in ("grades.csv", "class.html", ".canvas.csv.new"):  # what grading writes itself
        submit(released(CHAPTER), submitted, student, CHAPTER)
    return names


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """The class after it was graded: its folder, who attacked how, and all hashes, twice."""
    try:
        sandbox.probe()
    except sandbox.NoSandbox as error:
        pytest.skip(str(error))
    base = tmp_path_factory.mktemp("attacked")
    root, home, scratch = course(base / "course"), base / "home", base / "scratch"
    for place, text in (("notes.txt", "mine"), (".ssh/id", "a key"), (".bashrc", "true")):
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_text(text, encoding="utf-8")
    scratch.mkdir()
    submit(solved(CHAPTER), root / "submitted", "ada", CHAPTER)
    submit(mistaken(CHAPTER, *LOST), root / "submitted", "mia", CHAPTER)
    submit(released(CHAPTER), root / "submitted", "zoe", CHAPTER)
    names = hand_in_hostile(root, home)
    own = root / "submitted", root / "build/grading", home, PACKAGE
    places = *own, ROOT / "solutions", ROOT / "notebooks"
    before = hashes(*places)
    given = ["grade", root / "submitted", "--course", root, "--out", base / "out", "--workers", "1"]
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(scratch)}
    environment |= {"MPLCONFIGDIR": str(base / "mpl"), "PYTHONPATH": str(ROOT)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", QUICK, *map(str, given)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=base)
    assert done.returncode == 0, done.stderr[-3000:]
    return base, names, before, hashes(*places), done.stdout + done.stderr


def records(base):
    found = {}
    for path in (base / "out").glob(f"*/{CHAPTER}.json"):
        found[path.parent.name] = Record.from_json(path.read_text(encoding="utf-8"))
    return found


def test_it_is_a_few_dozen_attacks_and_each_has_a_result(attacked):
    base, names, *_ = attacked
    found = records(base)
    assert len(names) >= 60
    assert set(found) == {*names, *HONEST}
    assert [who for who in names if found[who].status == FAILED] == ["linked"]


def test_whom_it_cannot_grade_it_names(attacked):
    unknown = [line for line in attacked[-1].split("\n") if "unknown:" in line]
    for student in ("grades.csv", "class.html", ".canvas.csv.new", "double"):
        assert any(student in line for line in unknown)


def test_the_honest_ones_get_what_they_deserve(attacked):
    found = records(attacked[0])
    assert {name: found[name].score for name in HONEST} == HONEST
    assert {row.exercise for row in found["mia"].rows if row.mistake} == set(LOST)


def test_no_attack_gains_a_point_over_its_honest_work(attacked):
    base, names, *_ = attacked
    found = records(base)
    gained = {names[who]: found[who].score for who in names if found[who].score > 1}
    assert not gained
    with (base / "out/grades.csv").open(encoding="utf-8", newline="") as file:
        table = {row["student"]: float(row["score"] or 0) for row in csv.DictReader(file)}
    table["=HYPERLINK(1)"] = table.pop("'=HYPERLINK(1)")  # no spreadsheet's formula
    assert table == {who: record.score for who, record in found.items()}


def test_the_gradebook_says_the_same_and_is_whole(attacked):
    base, *_ = attacked
    with sqlite3.connect(base / "course/build/gradebook.db") as book:
        assert book.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = book.execute(
            "SELECT s.student_id, TOTAL(g.auto_score), TOTAL(g.manual_score) "
            "FROM submitted_assignment s JOIN submitted_notebook n ON n.assignment_id = s.id "
            "JOIN grade g ON g.notebook_id = n.id GROUP BY s.id"
        ).fetchall()
    assert {who: auto for who, auto, _ in rows} == {w: r.score for w, r in records(base).items()}
    assert not any(by_hand for _, _, by_hand in rows)


def test_nothing_outside_was_touched(attacked):
    _, _, before, after, _ = attacked
    assert len(before) > 300
    assert {path: after.get(path) for path in before} == before
    assert set(after) == set(before)


def test_nothing_is_left_behind(attacked):
    base = attacked[0]
    assert not list((base / "scratch").glob("trl*"))
    left = []
    for process in psutil.process_iter():
        try:
            left += [process] * (str(base) in " ".join(process.cmdline()))
        except psutil.Error:
            pass
    assert not left


def test_no_word_of_theirs_reaches_the_terminal_as_it_is(attacked):
    said = attacked[-1].replace("\r", "").replace("\x1b[A", "")  # the bar's own
    assert all(letter.isprintable() or letter == "\n" for letter in said)
