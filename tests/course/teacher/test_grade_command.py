"""``trlkit grade`` as a command: what the guide says of it, and what it says of bad input."""

import re
import shlex

import classes
import nbformat
import pytest
from filled import ROOT
from nbgrader.apps import NbGraderAPI
from records import words

from trlkit import cli
from trlkit.course.chapters import manifest
from trlkit.course.teacher import gradebook, place
from trlkit.course.teacher.classroom import _keep
from trlkit.course.teacher.clean import clean
from trlkit.course.teacher.record import FAILED, GRADED, Record, Row
from trlkit.course.teacher.submissions import Submission

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/guide").glob("*.md"))]
COMMANDS = re.compile(r"^ *(trlkit grade [^\n#]*)|`(trlkit grade [^`\n]*)`", re.MULTILINE)
GIVEN = [
    (page.name, words)
    for page in PAGES
    for words in (a or b for a, b in COMMANDS.findall(page.read_text("utf-8")))
]


@pytest.fixture
def asked(monkeypatch):
    """What the command line was understood to say, in place of grading."""
    found = []
    monkeypatch.setattr(cli, "_grade", lambda options: found.append(options) or 0)
    return found


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A folder without anything in it, on a machine that could grade."""
    monkeypatch.setattr(place, "fault", lambda unsafe_local: "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_the_guide_shows_the_command():
    assert {"README.md", "grading.md", "hub.md", "cluster.md"} <= {page for page, _ in GIVEN}


@pytest.mark.parametrize(("page", "words"), GIVEN)
def test_the_commands_of_the_pages_are_understood(page, words, asked):
    assert cli.main(shlex.split(words)[1:]) == 0
    assert len(asked) == 1


def test_the_options_of_the_guides_table_exist(asked, capsys):
    text = (ROOT / "docs/guide/grading.md").read_text("utf-8")
    told = set(re.findall(r"^\| `(--[\w-]+)", text, re.MULTILINE))
    with pytest.raises(SystemExit):
        cli.main(["grade", "--help"])
    offered = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    assert len(told) >= 7
    assert told <= offered


@pytest.mark.parametrize("options", [["--workers", "0"], ["--workers", "2", "--scheduler", "x"]])
def test_it_refuses_options_that_mean_nothing(options, asked, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["grade", "submitted", *options])
    assert ended.value.code == 2
    assert not asked


def test_without_a_course_it_says_so_and_makes_nothing(empty, capsys):
    assert cli.main(["grade", "empty"]) == 2
    assert "needs the course's solutions/" in capsys.readouterr().err
    assert [path.name for path in empty.iterdir()] == ["empty"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nowhere"], "nowhere: there is no such folder or zip"),
        (["empty"], "empty: holds no submission; expected STUDENT/CHAPTER/CHAPTER.ipynb"),
        (["empty", "--roster", "none.csv"], "none.csv: the roster cannot be read"),
        (["empty", "--roster", "latin.csv"], "latin.csv: the roster is not in UTF-8"),
        (["empty", "--db", "mysql://x"], "expected sqlite:///FILE or postgresql://"),
    ],
)
def test_bad_input_is_told_with_the_mend(given, said, empty, capsys):
    root = classes.course(empty / "course")
    (empty / "latin.csv").write_bytes("id,last_name\nada,M\u00fcller\n".encode("latin-1"))
    assert cli.main(["grade", "--course", str(root), *given]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("secret", ["", "5-secret"])
def test_feedback_goes_where_release_feedback_takes_it_if_it_came_by_the_exchange(secret, tmp_path):
    root = classes.course(tmp_path / "course")
    record = Record("ada", "00_welcome", FAILED, "is cut off")
    handed = Submission("ada", "00_welcome", b"{", secret=secret)
    with gradebook.ClassGradebook(root, clean) as book:
        _keep(record, handed, tmp_path / "out", book)
    folder = root / "build/feedback/ada/00_welcome"
    assert folder.exists() == bool(secret)
    if secret:
        page = (tmp_path / "out/ada/00_welcome.html").read_text("utf-8")
        assert (folder / "00_welcome.html").read_text("utf-8") == page
        assert (folder / "submission_secret.txt").read_text("utf-8") == secret


def test_feedback_has_what_the_teacher_gave_and_comes_back_where_nbgrader_wrote_its_own(tmp_path):
    root = classes.course(tmp_path / "course")
    content = nbformat.writes(classes.solved("09_capstone", capstone_report="My words.")).encode()
    handed = Submission("ada", "09_capstone", content, secret="a1")
    rows = tuple(
        Row(item.name, item.title, item.points, item.points)
        for item in manifest.chapter("09_capstone").exercises
    )
    record = Record("ada", "09_capstone", GRADED, rows=rows, by_hand=10)
    page = root / "build/feedback/ada/09_capstone/09_capstone.html"
    with gradebook.ClassGradebook(root, clean) as book:
        _keep(record, handed, tmp_path / "out", book)
        assert "10 more points wait for a person" in words(page.read_text("utf-8"))
        where = "09_capstone", "09_capstone", "ada"
        told = book.gradebook
        told.find_grade("capstone_report", *where).manual_score = 7.5
        told.find_comment("capstone_report", *where).manual_comment = "Name <b>one</b> & more."
        told.find_grade(f"check_{rows[0].exercise}", *where).manual_score = 0.5
        told.db.commit()
        _keep(record, handed, tmp_path / "out", book)
    ours = page.read_text("utf-8")
    said = words(ours)
    assert "From your teacher" in said and "Your text 7.5 of 10 points" in said
    assert "Name <b>one</b> & more." in said and "<b>one</b>" not in ours
    assert f"{rows[0].title} 0.5 of" in said and "wait for a person" not in said
    done = NbGraderAPI(config=gradebook.load_config(root)).generate_feedback(
        "09_capstone", force=True
    )
    assert done["success"] and "ada 09_capstone was graded by trlkit grade" in done["log"]
    assert page.read_text("utf-8") != ours
    with gradebook.ClassGradebook(root, clean) as book:
        _keep(record, handed, tmp_path / "out", book)
    assert page.read_text("utf-8") == ours
