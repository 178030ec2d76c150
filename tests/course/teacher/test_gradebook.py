"""nbgrader's gradebook after grading: on SQLite, and on a PostgreSQL that is started here."""

import copy
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from filled import ROOT, filled, solutions
from nbconvert.exporters import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.api import Base, Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.apps.exportapp import ExportApp
from nbgrader.server_extensions.formgrader import handlers
from sqlalchemy import create_engine, text
from traitlets.config import Config

from trlkit.course.chapters import manifest
from trlkit.course.teacher import gradebook as gradebooks
from trlkit.course.teacher.autograded import rebuild
from trlkit.course.teacher.gradebook import ClassGradebook, load_config, prepared
from trlkit.course.teacher.record import ERROR, FAILED, GRADED, MISSING, Record, Row
from trlkit.course.teacher.roster import Roster, Student
from trlkit.course.teacher.submissions import Submission, find

pytestmark = pytest.mark.xdist_group("gradebook")

FIRST, LAST = "00_welcome", "09_capstone"
POINTS = {item.name: item.points for item in manifest.chapter(LAST).exercises}
REPORT = "capstone_report"
LATE = '\nc.LateSubmissionPlugin.penalty_method = "zero"\n'


def record(student, chapter=LAST, lost=(), **more):
    rows = tuple(
        Row(item.name, item.title, 0.0 if item.name in lost else item.points, item.points, "said")
        for item in manifest.chapter(chapter).exercises
    )
    by_hand = manifest.chapter(chapter).by_hand
    return Record(student, chapter, GRADED, rows=rows, by_hand=by_hand, **more)


def failure(student, chapter=LAST):
    return Record(student, chapter, FAILED, "is cut off in line 7")


def handed(report="My report.", chapter=LAST):
    answers = {REPORT: report} if report and chapter == LAST else {}
    return nbformat.writes(filled(chapter, answers)).encode()


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL server of this test's own, reached by a socket in its folder."""
    pytest.importorskip("psycopg")
    found = shutil.which("pg_ctl") or max(glob.glob("/usr/lib/postgresql/*/bin/pg_ctl"), default="")
    if not found:
        pytest.skip("PostgreSQL is not installed here")
    tools = Path(found).resolve().parent
    folder = tempfile.mkdtemp(prefix="pg-", dir="/tmp")
    user = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        if not shutil.which("runuser"):
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
        shutil.chown(folder, "postgres", "postgres")
        user = ["runuser", "-u", "postgres", "--"]

    def run(tool, *options):
        command = [*user, str(tools / tool), "-D", f"{folder}/data", *options]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    try:
        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-F -k {folder} -c listen_addresses='' -c shared_buffers=8MB"
        run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", options, "start")
        yield f"postgresql+psycopg://postgres@/{{name}}?host={folder}"
        run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course of two chapters whose gradebook has the tables and knows the chapters."""
    root = tmp_path_factory.mktemp("course")
    for folder in ("solutions", "notebooks"):
        for chapter in (FIRST, LAST):
            shutil.copytree(ROOT / folder / chapter, root / folder / chapter)
    for name in ("nbgrader_config.py", "autotests.yml"):
        shutil.copy(ROOT / name, root / name)
    with (root / "nbgrader_config.py").open("a") as stream:
        stream.write(LATE)
    define(root)
    return root


def define(root, url=None):
    with ClassGradebook(root, same, url) as book:
        for chapter in (FIRST, LAST):
            book.define(chapter)


def same(notebook):
    return notebook


@pytest.fixture(scope="module")
def template(server, course):
    """The name of a database on the server with the same."""
    sql(server, "CREATE DATABASE template")
    define(course, server.format(name="template").replace("+psycopg", ""))
    return "template"


def sql(server, command):
    engine = create_engine(server.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(command))
    engine.dispose()


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def place(request, course, tmp_path):
    """A fresh copy of the course, and the URL of its gradebook."""
    root = tmp_path / "course"
    shutil.copytree(course, root)
    if request.param == "SQLite":
        yield root, f"sqlite:///{root / 'build/gradebook.db'}"
        return
    server = request.getfixturevalue("server")
    source = request.getfixturevalue("template")
    sql(server, f"CREATE DATABASE own TEMPLATE {source}")
    url = server.format(name="own")
    with (root / "nbgrader_config.py").open("a") as stream:
        stream.write(f"c.CourseDirectory.db_url = {url!r}\n")
    yield root, url
    sql(server, "DROP DATABASE own WITH (FORCE)")


def merge(place, *records, contents=None, roster=None, clean=same, timestamp=None):
    root, url = place
    said = []
    with ClassGradebook(root, clean, url, roster) as book:
        for one in records:
            content = (contents or {}).get(one.student, handed(chapter=one.chapter))
            submission = Submission(one.student, one.chapter, content, timestamp=timestamp)
            said += book.merge(one, submission)
    return said


def contents_of(url):
    """All that a gradebook holds, by the names of things, not by their random ids."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = {
            table.name: [dict(row._mapping) for row in connection.execute(table.select())]
            for table in Base.metadata.sorted_tables
        }
    engine.dispose()
    names = {
        row["id"]: row.get("name") for table in rows.values() for row in table if row.get("id")
    }
    for row in rows["submitted_assignment"]:
        names[row["id"]] = (row["student_id"], names[row["assignment_id"]])
    for row in rows["submitted_notebook"]:
        names[row["id"]] = names[row["assignment_id"]]
    plain = {
        table: sorted(
            repr(
                sorted(
                    (k, names.get(v, v)) for k, v in row.items() if k != "id" or table == "student"
                )
            )
            for row in found
        )
        for table, found in rows.items()
        if table not in ("base_cell", "grade_cells", "solution_cells", "task_cells")
    }
    return plain, rows


def files_of(root):
    paths = sorted(path for path in (root / "build/autograded").rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def grades(url, student, chapter=LAST):
    with Gradebook(url) as book:
        notebook = book.find_submission_notebook(chapter, chapter, student)
        return {grade.name: grade.to_dict() for grade in notebook.grades}


def test_the_structure_is_what_nbgrader_itself_saves(course, tmp_path, monkeypatch):
    root = tmp_path / "other"
    shutil.copytree(course, root, ignore=shutil.ignore_patterns("build"))
    monkeypatch.chdir(root)
    config = load_config(root)
    done = NbGraderAPI(config=config).generate_assignment(FIRST, force=True, create=True)
    assert done["success"], done["log"]
    found = [cells_of(path / "build/gradebook.db") for path in (root, course)]
    assert found[0] == found[1] and len(found[0][2]) > 5


def cells_of(path):
    with Gradebook(f"sqlite:///{path}") as book:
        notebook = book.find_notebook(FIRST, FIRST)
        graded = {(c.name, c.max_score, c.cell_type) for c in notebook.grade_cells}
        solved = {c.name for c in notebook.solution_cells}
        keys = ("name", "cell_type", "locked", "source", "checksum")
        source = {tuple(c.to_dict()[key] for key in keys) for c in notebook.source_cells}
        return graded, solved, source, notebook.kernelspec


def test_formgrader_shows_the_scores_and_the_report_waits(place):
    root, url = place
    lost = "choose_trial"
    merge(place, record("ada"), record("ben", lost=[lost]), contents={"ben": handed("")})
    api = formgrader(root)
    shown = {row["student"]: row for row in api.get_submissions(LAST)}
    full = manifest.chapter(LAST).points
    assert (shown["ada"]["score"], shown["ada"]["max_score"]) == (full, full + 10)
    assert shown["ben"]["score"] == full - POINTS[lost]
    assert shown["ada"]["needs_manual_grade"] and not shown["ben"]["needs_manual_grade"]
    assert all(row["autograded"] and row["submitted"] for row in shown.values())
    told = grades(url, "ben")
    assert (told[REPORT]["auto_score"], told[REPORT]["needs_manual_grade"]) == (0, False)
    assert [name for name, grade in told.items() if grade["failed_tests"]] == [f"check_{lost}"]
    notebooks = {row["student"]: row for row in api.get_notebook_submissions(LAST, LAST)}
    assert set(notebooks) == {"ada", "ben"}
    with Gradebook(url) as book:
        comments = book.find_submission_notebook(LAST, LAST, "ben").comments
        assert {c.auto_comment for c in comments} == {"No response."}


def test_formgrader_takes_what_is_in_nbgraders_folders_as_graded(place):
    root, url = place
    folder = root / "build/submitted/ada" / LAST
    folder.mkdir(parents=True)
    (folder / f"{LAST}.ipynb").write_bytes(handed())
    (folder / "timestamp.txt").write_text("2026-03-02 17:30:00.5 Europe/Berlin\n")
    (folder / "submission_secret.txt").write_text("a1b2")
    (root / "build/submitted/ben" / LAST).mkdir(parents=True)
    (root / "build/submitted/ben" / LAST / "report.txt").write_text("My report.")
    intake = find(root / "build/submitted")
    with ClassGradebook(root, same, url) as book:
        for submission in intake.submissions:
            book.merge(record(submission.student), submission)
        for one, submission in intake.failed:
            book.merge(one, submission)
    shown = {row["student"]: row for row in formgrader(root).get_submissions(LAST)}
    assert shown["ada"]["autograded"] and shown["ada"]["score"] == 24
    assert shown["ben"]["autograded"] and shown["ben"]["needs_manual_grade"]
    assert shown["ada"]["timestamp"] == "2026-03-02T16:30:00.500000"
    autograded = root / "build/autograded/ada" / LAST
    assert (autograded / "submission_secret.txt").read_text() == "a1b2"
    assert (folder / f"{LAST}.ipynb").read_bytes() == handed()


def formgrader(root):
    return NbGraderAPI(config=load_config(root))


def test_formgraders_page_and_nbgraders_feedback_and_export(place, monkeypatch):
    root, url = place
    monkeypatch.chdir(root)
    message = "This is <b>not</b> & never <script>alert(1)</script> \x1b[31mred"
    rows = tuple(Row(row.exercise, row.title, 0.0, row.out_of, message) for row in record("x").rows)
    graded = Record("Lovelace, Ada <i>", LAST, GRADED, rows=rows, notes=("a <script>note",))
    merge(place, graded, contents={graded.student: handed("About **numbers**.")})
    failed = Record("ben", LAST, FAILED, "<script>alert(2)</script> [x](javascript:alert(3)) \0")
    merge(place, failed, contents={"ben": b"{"})
    api = formgrader(root)
    page = formgraders_page(root, graded.student)
    assert "About <strong>numbers</strong>" in page and 'id="capstone_report"' in page
    assert page.count("This is &lt;b&gt;not&lt;/b&gt; &amp; never") == len(rows)
    assert "<script>alert" not in page and "<script>note" not in page and "\x1b" not in page
    for item in manifest.chapter(LAST).exercises:
        assert f'id="check_{item.name}"' in page
    done = api.generate_feedback(LAST, force=True)
    assert done["success"], done["log"]
    feedback = root / "build/feedback" / graded.student / LAST / f"{LAST}.html"
    assert "This is &lt;b&gt;not" in feedback.read_text("utf-8")
    told = (root / "build/feedback/ben" / LAST / f"{LAST}.html").read_text("utf-8")
    assert "&lt;script&gt;alert(2)" in told and "could not be graded" in told
    assert "<script>alert" not in told and 'href="javascript:alert' not in told
    app = ExportApp(config=load_config(root))
    app.initialize([])
    app.start()
    assert f"{LAST},," in (root / "build/grades.csv").read_text("utf-8")


def formgraders_page(root, student):
    """The page that formgrader's handler renders."""
    config = Config()
    config.HTMLExporter.template_name = "formgrade"
    config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    path = root / "build/autograded" / student / LAST / f"{LAST}.ipynb"
    names = ("assignment_id", "notebook_id", "submission_id", "student", "base_url")
    given = dict.fromkeys((*names, "last_name", "first_name", "notebook_path"), "x")
    given |= {"index": 0, "total": 1}
    return HTMLExporter(config=config).from_filename(str(path), resources=given)[0]


def test_the_same_again_changes_nothing(place):
    root, url = place
    records = [record("ada"), record("ben", lost=["choose_trial"]), failure("cy")]
    when = datetime(2026, 3, 2, 17, 30)
    contents = {"cy": b"{"}
    merge(place, *records, contents=contents, timestamp=when)
    before = contents_of(url)[1], files_of(root)
    assert len(before[1]) == 6
    merge(place, *records, contents=contents, timestamp=when)
    assert (contents_of(url)[1], files_of(root)) == before


def by_hand(url, student, name, points, more=None, comment=None):
    """What formgrader does when a person writes points and a comment."""
    with Gradebook(url) as book:
        grade = book.find_grade(name, LAST, LAST, student)
        grade.manual_score, grade.extra_credit = points, more
        grade.needs_manual_grade = grade.manual_score is None and grade.auto_score is None
        if comment:
            book.find_comment(REPORT, LAST, LAST, student).manual_comment = comment
        book.db.commit()


def test_points_and_comments_by_hand_survive(place):
    root, url = place
    merge(place, record("ada"))
    by_hand(url, "ada", REPORT, 8.5, comment="Good evidence.")
    by_hand(url, "ada", "check_choose_trial", 0.5)
    by_hand(url, "ada", "check_pareto_front", None, more=1.0)
    before = contents_of(url)[1]
    merge(place, record("ada"))
    assert contents_of(url)[1] == before

    merge(place, record("ada", lost=["choose_trial", "split_indices"]))
    told = grades(url, "ada")
    assert told["check_choose_trial"]["manual_score"] == 0.5
    assert told["check_choose_trial"]["needs_manual_grade"]
    assert (told[REPORT]["manual_score"], told[REPORT]["needs_manual_grade"]) == (8.5, False)
    assert told["check_pareto_front"]["extra_credit"] == 1.0
    assert told["check_split_indices"]["auto_score"] == 0
    with Gradebook(url) as book:
        assert book.find_comment(REPORT, LAST, LAST, "ada").comment == "Good evidence."
        submission = book.find_submission(LAST, "ada")
        # one check is lost, one has 0.5 by hand; one point more, and 8.5 for the report
        own = 0.5 - POINTS["choose_trial"] - POINTS["split_indices"]
        assert submission.score == sum(POINTS.values()) + own + 1 + 8.5


def test_another_report_is_to_be_looked_at_again(place):
    url = place[1]
    merge(place, record("ada"))
    by_hand(url, "ada", REPORT, 8.5)
    merge(place, record("ada"), contents={"ada": handed("A better report.")})
    told = grades(url, "ada")[REPORT]
    assert (told["manual_score"], told["needs_manual_grade"]) == (8.5, True)


def test_a_failure_is_no_zero(place):
    root, url = place
    zero = record("ben", lost=[item.name for item in manifest.chapter(LAST).exercises])
    merge(place, failure("ada"), zero, contents={"ada": b'{"nbformat', "ben": handed("")})
    failed, graded = grades(url, "ada").values(), grades(url, "ben").values()
    assert {grade["auto_score"] for grade in failed} == {None}
    assert {grade["auto_score"] for grade in graded} == {0}
    assert all(grade["needs_manual_grade"] for grade in failed)
    assert not any(grade["needs_manual_grade"] for grade in graded)
    shown = {row["student"]: row for row in formgrader(root).get_notebook_submissions(LAST, LAST)}
    assert (shown["ada"]["flagged"], shown["ben"]["flagged"]) == (True, False)
    with Gradebook(url) as book:
        assert "could not be graded" in book.find_comment(REPORT, LAST, LAST, "ada").comment
    assert "is cut off in line 7" in formgraders_page(root, "ada")

    merge(place, record("ada"))
    with Gradebook(url) as book:
        notebook = book.find_submission_notebook(LAST, LAST, "ada")
        assert not notebook.flagged and notebook.score == 24
        assert {comment.auto_comment for comment in notebook.comments} <= {None, "No response."}


def test_points_by_hand_for_a_failure_and_a_flag_taken_away_survive(place):
    url = place[1]
    merge(place, failure("ada"), contents={"ada": b"{"})
    by_hand(url, "ada", REPORT, 5.0)
    with Gradebook(url) as book:
        book.find_submission_notebook(LAST, LAST, "ada").flagged = False
        book.db.commit()
    before = contents_of(url)[1]
    merge(place, failure("ada"), contents={"ada": b"{"})
    assert contents_of(url)[1] == before


def test_nobody_is_enrolled_against_the_roster(place):
    root, url = place
    roster = Roster([Student("ada", "Ada", "Lovelace", "a@x.org", "12"), Student("ben", "Ben")])
    missing = Record("ben", LAST, MISSING, "nothing was handed in")
    said = merge(place, record("ada"), record("lee"), missing, roster=roster)
    assert len(said) == 1 and said[0].startswith(f"lee {LAST}: not in the gradebook")
    with Gradebook(url) as book:
        told = {s.id: (s.first_name, s.last_name, s.email, s.lms_user_id) for s in book.students}
        assert told == {
            "ada": ("Ada", "Lovelace", "a@x.org", "12"),
            "ben": ("Ben", None, None, None),
        }
        assert [s.student_id for s in book.assignment_submissions(LAST)] == ["ada"]
    assert not (root / "build/autograded/lee").exists()


def test_what_was_handed_in_before_stays_when_nothing_is_there_now(place):
    url = place[1]
    merge(place, record("ada"))
    before = contents_of(url)
    (line,) = merge(place, Record("ada", LAST, MISSING, "nothing was handed in"))
    assert "earlier submission, which stays" in line and contents_of(url) == before


@pytest.mark.parametrize("url", ["mysql://x/y", "gradebook.db", "sqlite:////no/such/folder/x.db"])
def test_a_url_of_no_gradebook(course, url):
    with pytest.raises(ValueError, match="^--db: "):
        ClassGradebook(course, same, url)


@pytest.mark.parametrize("name", ["..", "a/../../b", "x\ny", "", "a" * 200])
def test_a_name_that_leads_elsewhere_gets_nowhere(course, tmp_path, name):
    root = tmp_path / "course"
    shutil.copytree(course, root)
    place = root, f"sqlite:///{root / 'build/gradebook.db'}"
    before = sorted(tmp_path.rglob("*"))
    (line,) = merge(place, record(name))
    assert "the student's name" in line and sorted(tmp_path.rglob("*")) == before


def test_an_infrastructures_failure_is_not_merged(place):
    url = place[1]
    before = contents_of(url)
    (line,) = merge(place, Record("ada", LAST, ERROR, "the disk is full"))
    assert "the disk is full; grade it again" in line and contents_of(url) == before


def test_late_penalties_and_extensions(place):
    root, url = place
    with Gradebook(url) as book:
        book.update_or_create_assignment(LAST, duedate="2026-03-02 17:00 UTC")
    merge(place, record("ada"), timestamp=datetime(2026, 3, 2, 16))
    merge(place, record("ben"), record("cy"), timestamp=datetime(2026, 3, 3))
    with Gradebook(url) as book:
        book.grant_extension(LAST, "cy", days=1)
    merge(place, record("cy"))
    assert penalties(url) == {"ada": 0, "ben": 24, "cy": 0}
    with ClassGradebook(root, same, url) as book:
        totals = {student: total.score for (student, _), total in book.totals().items()}
    assert totals == {"ada": 24, "ben": 0, "cy": 24}
    by_hand(url, "ben", REPORT, 6.0)
    merge(place, record("ben"))
    assert penalties(url)["ben"] == 30
    stamp = root / "build/autograded/ben" / LAST / "timestamp.txt"
    assert stamp.read_text() == "2026-03-03 00:00:00 UTC\n"


def penalties(url):
    with Gradebook(url) as book:
        submissions = book.assignment_submissions(LAST)
        return {s.student_id: s.late_submission_penalty for s in submissions}


def test_a_submission_is_in_whole_or_not_at_all(place, monkeypatch):
    root, url = place
    merge(place, record("ada"))
    before = contents_of(url)[1]

    def broken(*args):
        raise OSError("killed here")

    monkeypatch.setattr(ClassGradebook, "_penalize", broken)
    with pytest.raises(OSError, match="killed here"):
        merge(place, record("ben"))
    assert contents_of(url)[1] == before


@pytest.mark.parametrize("moment", ["_enroll", "_penalize", "_write"])
def test_a_run_that_is_killed_is_completed_by_the_next(place, tmp_path, moment):
    root, url = place
    records = [record("ada"), record("ben", lost=["choose_trial"]), failure("cy"), record("dee")]
    child = os.fork()
    if child == 0:
        try:
            kill_at(moment, 3)
            merge(place, *records)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    with Gradebook(url) as book:
        found = {
            s.student_id: len(s.notebooks[0].grades) for s in book.assignment_submissions(LAST)
        }
    assert "dee" not in found and set(found.values()) <= {len(POINTS) + 1}
    assert "ada" in found
    merge(place, *records)
    killed = contents_of(url)[0], {path: data for path, (data, _) in files_of(root).items()}
    shutil.rmtree(root / "build/autograded")
    for student in ("ada", "ben", "cy", "dee"):
        with Gradebook(url) as book:
            book.remove_student(student)
    merge(place, *records)
    undisturbed = contents_of(url)[0], {path: data for path, (data, _) in files_of(root).items()}
    assert killed == undisturbed


def kill_at(moment, times):
    """End this process without warning at the end of a function's n-th call."""
    holder = gradebooks if hasattr(gradebooks, moment) else ClassGradebook
    function, calls = getattr(holder, moment), []

    def deadly(*args):
        done = function(*args)
        calls.append(1)
        if len(calls) == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(holder, moment, deadly)


def test_a_gradebook_whose_making_was_killed_is_completed(course, tmp_path):
    root = tmp_path / "course"
    shutil.copytree(course, root)
    engine = create_engine(f"sqlite:///{root / 'build/gradebook.db'}")
    with engine.begin() as connection:
        (version,) = connection.execute(text("SELECT version_num FROM alembic_version")).one()
        connection.execute(text("DELETE FROM alembic_version"))
    define(root)
    with engine.begin() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).all()
    engine.dispose()
    assert found == [(version,)]


def test_a_chapter_that_lost_a_cell_after_grading_is_refused(course, tmp_path):
    root = tmp_path / "course"
    shutil.copytree(course, root)
    place = root, f"sqlite:///{root / 'build/gradebook.db'}"
    merge(place, record("ada"))
    path = root / f"solutions/{LAST}/{LAST}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id != "check-choose_trial"]
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match="start a new gradebook with --db"):
        merge(place, record("ben"))
    path.unlink()
    with pytest.raises(ValueError, match=f"is missing; trlkit build {LAST} makes it"):
        merge(place, record("ben"))


# What formgrader opens


@pytest.fixture(scope="module")
def structure(course):
    config = load_config(course)
    return prepared(gradebooks.CourseDirectory(config=config), config, LAST)


def rebuilt(notebook, structure, clean=same, one=None):
    made, own = rebuild(notebook, structure, one or record("ada"), clean)
    nbformat.validate(made)
    nbformat.writes(made).encode("utf-8")
    names = [cell.metadata.nbgrader.grade_id for cell in made.cells if "nbgrader" in cell.metadata]
    assert len(names) == len(set(names))
    checks = {f"check_{item.name}" for item in manifest.chapter(LAST).exercises}
    assert {*checks, REPORT} <= set(names)
    return made, own


def answered(**answers):
    return filled(LAST, {**solutions(LAST), REPORT: "My report.", **answers})


def source(made, name):
    return next(
        cell.source
        for cell in made.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == name
    )


def order(made):
    return [cell.metadata.nbgrader.grade_id for cell in made.cells if "nbgrader" in cell.metadata]


def test_an_honest_notebook_keeps_its_cells_and_gets_the_checks_words(structure):
    notebook = answered()
    made, own = rebuilt(notebook, structure)
    assert len(made.cells) == len(notebook.cells) and own[REPORT].source == "My report."
    told = {c.id: c.outputs[0].text for c in made.cells if c.id.startswith("check-")}
    assert told["check-choose_trial"] == "1 of 1 points\nsaid\n"
    assert source(made, "choose_trial") == solutions(LAST)["choose_trial"]
    assert "hidden=" in source(made, "check_choose_trial")


def test_no_control_character_of_a_message_reaches_a_terminal_or_a_page(structure):
    rows = (Row("choose_trial", "", 0.0, 2.0, "a\x1b[31m\x07\ud800\n\tb", technical="\x00"),)
    one = Record("ada", LAST, GRADED, rows=rows, notes=("\x9b31m",))
    made, _ = rebuilt(answered(), structure, one=one)
    told = {cell.id: cell.outputs[0].text for cell in made.cells if cell.get("outputs")}
    assert told["check-choose_trial"] == ("0 of 2 points\n\\x00\na\\x1b[31m\\x07\\ud800\n\tb\n")
    assert told["notes"] == "\\x9b31m\n"


@pytest.mark.parametrize("ids", [True, False])
def test_stripped_metadata_is_put_back(structure, ids):
    notebook = answered()
    for number, cell in enumerate(notebook.cells):
        cell.metadata = {}
        if not ids:
            cell.id = f"other-{number}"
    made, own = rebuilt(notebook, structure)
    whole, _ = rebuilt(answered(), structure)
    assert order(made) == order(whole)
    assert own[REPORT].source == "My report."


def test_foreign_and_forged_marks_are_not_believed(structure):
    notebook = answered()
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.metadata.nbgrader.update(points=1000, locked=False, schema_version=99, extra="x")
    notebook.cells += [
        new_code_cell("x", metadata={"nbgrader": mark})
        for mark in (
            {"grade": True, "grade_id": "mine", "points": 50},
            {"grade_id": ["a"]},
            "text",
            {"grade_id": "lock_imports_09"},
        )
    ]
    made, _ = rebuilt(notebook, structure)
    marks = {c.metadata.nbgrader.grade_id: c.metadata.nbgrader for c in made.cells if c.metadata}
    wanted = {
        c.metadata.nbgrader.grade_id: c.metadata.nbgrader for c in structure.cells if c.metadata
    }
    assert marks == wanted


def test_copied_and_deleted_cells(structure):
    notebook = answered()
    at = next(i for i, c in enumerate(notebook.cells) if c.id == "check-choose_trial")
    notebook.cells.insert(at, copy.deepcopy(notebook.cells[at]))
    notebook.cells = [
        c for c in notebook.cells if c.id not in ("check-pareto_front", "sturdy_head")
    ]
    made, _ = rebuilt(notebook, structure)
    names = order(made)
    assert names.index("check_pareto_front") == names.index("pareto_front") + 1
    assert names == order(structure)


def test_a_report_without_its_mark_waits_for_the_teacher(place, structure):
    url = place[1]
    notebook = answered()
    notebook.cells = [
        c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") != REPORT
    ]
    notebook.cells.insert(0, new_markdown_cell("My report."))
    contents = {"ada": nbformat.writes(notebook).encode()}
    (line,) = merge(place, record("ada"), contents=contents)
    assert f"{REPORT} was not found" in line
    told = grades(url, "ada")[REPORT]
    assert (told["auto_score"], told["needs_manual_grade"]) == (None, True)


def test_the_learners_cells_are_cleaned_and_a_cleaner_that_fails_shows_nothing(structure):
    def clean(notebook):
        for cell in notebook.cells:
            cell.source = cell.source.replace("My report.", "Cleaned.")
        return notebook

    made, own = rebuilt(answered(), structure, clean)
    assert own[REPORT].source == "Cleaned."

    def broken(notebook):
        raise RecursionError("deep")

    made, own = rebuilt(answered(), structure, broken)
    assert own == {} and "cannot be shown (RecursionError: deep)" in made.cells[0].outputs[0].text
    assert "My report." not in json.dumps(made)


def test_cells_that_no_reader_expects(structure):
    notebook = answered()
    notebook.cells[1].attachments = {"a": {"image/png": 7}}
    code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    code.outputs = [{"output_type": "nonsense"}, 7]
    notebook.cells += [
        nbformat.from_dict({"cell_type": "strange", "source": "x", "metadata": {}}),
        nbformat.from_dict({"cell_type": "code", "source": "\ud800", "metadata": {}, "outputs": 7}),
    ]
    made, _ = rebuilt(notebook, structure)
    assert [cell.cell_type for cell in made.cells[-2:]] == ["raw", "code"]
    assert not any(cell.get("outputs") for cell in made.cells if not cell.id.startswith("check-"))
    assert made.cells[-1].source == "?"


def test_more_than_anybody_reads_is_not_shown(structure):
    notebook = answered()
    code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    code.outputs = [new_output("stream", text="x")] * 5000
    made, own = rebuilt(notebook, structure)
    assert own == {} and "more than 5000 cells" in made.cells[0].outputs[0].text


def test_a_notebook_of_something_else_shows_its_cells_and_the_checks(structure):
    notebook = new_notebook(
        cells=[new_code_cell("1 + 1", outputs=[new_output("stream", text="2")])]
    )
    made, own = rebuilt(notebook, structure)
    assert own == {} and "1 + 1" in [cell.source for cell in made.cells]
