"""The feedback page says what is right, what is not and why, and what to do; and no more."""

import re
from dataclasses import replace

import pytest
import records
from filled import ROOT, chapter_names, kept_lines, released
from payloads import PNG, code, markdown, notebook
from records import MARKUP, OURS, Tags, words

from trlkit.course.chapters import bank, manifest
from trlkit.course.checking.report import Report
from trlkit.course.teacher import feedback, story
from trlkit.course.teacher.record import Record, Row


@pytest.mark.parametrize("markup", MARKUP)
def test_strangers_words_are_words(markup):
    page = feedback.page(records.hostile(markup), notebook(markdown(markup), code(source=markup)))
    found = Tags(page)
    assert found.tags <= OURS
    for name, value in found.attributes:
        assert not name.startswith("on") and name != "style"
        assert name not in ("href", "src") or re.match(r"#part-\d+$|data:image/png;base64,", value)
    assert markup.replace(" ", "") in words(page).replace(" ", "")


def test_marks_of_direction_and_control_are_gone():
    page = feedback.page(records.hostile("a\u202eb\x1b[31mc\x00\u2066"))
    assert "abc" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", page)


def test_what_is_right_comes_first():
    said = words(feedback.page(records.mistaken()))
    lost = ("unfold", "fiber", "khatri_rao", "inner")
    items = manifest.chapter("01_tensors").exercises
    points = sum(item.points for item in items if item.name not in lost)
    assert f"{points} of 22 points" in said
    assert "12 right 2 not right yet 1 stopped 1 not answered" in said
    order = ["What is right", "1.3 Fold", "What to do next", "What is not right yet", "1.2 Unfold"]
    assert [said.index(part) for part in order[:4]] == sorted(said.index(p) for p in order[:4])
    assert said.rindex("1.2 Unfold") > said.index("What is not right yet") > said.index("1.3 Fold")


def test_a_known_mistake_is_told_with_the_picture_the_code_and_what_to_do():
    page = feedback.page(records.mistaken())
    said = words(page)
    assert "A known mistake: reshape alone" in said
    assert "its rows are fibers of no mode, unless the mode is already the first." in said
    assert "Look at which mode must stand in front before you reshape." in said
    assert "expected [[1, 5, 9, 13, ...], ...], got [[1, 2, 3, 4, ...], ...]" in said
    assert f'src="data:image/png;base64,{PNG}" alt="1.2 Unfold: the expected numbers' in page
    assert "# my own way" in said and '<span class="k">def</span>' in page
    assert 'check("unfold", unfold)' in said


def test_a_loop_is_explained():
    said = words(feedback.page(records.mistaken()))
    assert "Stopped: took longer than 120 s" in said
    assert "Most often a loop never ends" in said


@pytest.mark.parametrize(
    "technical",
    ["took longer than 120 s", "ran out of memory", "ended Python (exit code 0)", "printed 2 GB",
     "started 4,000 processes", "filled its disk"],
)  # fmt: skip
def test_every_ending_has_its_own_explanation(technical):
    assert feedback._explained(technical) != feedback.STOPPED


@pytest.mark.parametrize(
    "why",
    [
        "it took longer than 60 s",
        "it used more memory than it is given",
        "it started more threads than it is given",
        "it ended Python (SIGSEGV)",
    ],
)
def test_an_answer_stopped_as_its_cell_ran_is_explained(why):
    message = f"fold\n  no    the cell of `fold` {why}"
    said = words(feedback.page(records.changed(records.full(), "fold", message=message)))
    assert f"Stopped: {why}" in said and feedback._explained(why) in said
    assert feedback._explained(why) != feedback.STOPPED


def test_what_stopped_an_answer_is_said_once():
    why = "not judged: the notebook took too long or ended Python too often"
    record = records.changed(records.full(), "fold", message=why, technical=why)
    said = words(feedback.page(record))
    assert said.count(why) == 1 and "Most often a loop never ends" in said


def test_a_cell_as_handed_out_is_not_called_wrong():
    message = "fold\n  no    `fold` is not written yet"
    said = words(feedback.page(records.changed(records.full(), "fold", message=message)))
    assert "15 right 1 not answered" in said and "Not right yet" not in said


def test_an_ending_of_another_kind_is_explained_too():
    assert feedback._explained("?") == feedback.STOPPED


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("failed", "This file could not be graded"),
        ("missing", "No file has arrived"),
        ("error", "This is no fault of your file"),
    ],
)
def test_a_submission_without_points_says_why_and_what_to_do(status, says):
    said = words(feedback.page(Record("ben", "01_tensors", status, "<reason>")))
    assert says in said and "<reason>" in said and "of 0" not in said
    assert status == "error" or "What to do next" in said


def test_a_chapter_that_is_not_in_the_course_has_a_page_too():
    assert "0 of 0 points" in words(feedback.page(Record("ben", "../x", "graded")))


def test_everything_right_leads_on():
    assert "The next chapter is 2. Decompositions" in words(feedback.page(records.full()))
    assert "Everything" in words(feedback.page(records.full(chapter="09_capstone")))


def test_a_text_for_a_grader_is_shown_with_its_formulas():
    marks = {"grade": True, "solution": True, "grade_id": "report", "points": 10}
    cell = markdown(r"# Cost" + "\n\n" + r"$x_i$ <script>alert(1)</script> $\text{<b onclick=y>}$")
    cell["metadata"] = {"nbgrader": marks}
    record = replace(records.full(), by_hand=10.0)
    page = feedback.page(record, notebook(cell))
    assert "10 more points wait for a person" in words(page)
    assert "<msub><mi>x</mi><mi>i</mi></msub>" in page and "<h3>Cost</h3>" in page
    assert "alert(1)" not in page and "onclick" not in page
    assert "Your text" not in words(feedback.page(records.full(), notebook(cell)))


def test_the_answer_comes_from_the_notebook_where_the_record_lacks_it():
    cell = code(source="def unfold(x, mode):\n    return 'from the notebook'")
    cell["metadata"] = {"nbgrader": {"grade": False, "solution": True, "grade_id": "unfold"}}
    record = replace(records.mistaken(), extra={})
    assert "from the notebook" in words(feedback.page(record, notebook(cell)))
    assert "from the notebook" not in words(feedback.page(records.mistaken(), notebook(cell)))


@pytest.mark.parametrize("chapter", chapter_names())
def test_no_right_answer_hidden_test_or_mark_scheme_is_shown(chapter):
    rows = [
        Row(item.name, item.title, 0, item.points, mistake=bank.mistakes(item.name)[-1].name)
        for item in manifest.chapter(chapter).exercises
    ]
    record = Record("ben", chapter, "graded", rows=tuple(rows), by_hand=10.0)
    said = words(feedback.page(record, released(chapter)))
    kept = [" ".join(line.split()) for line in kept_lines(chapter)]
    assert [line for line in kept if len(line) > len("return False") and line in said] == []
    assert not re.search(r"MARK SCHEME|HIDDEN TESTS|BEGIN SOLUTION|hidden=|sha1", said)


def test_mark_schemes_in_what_is_shown_to_graders_stay_out():
    import nbformat

    path = ROOT / "solutions/09_capstone/09_capstone.ipynb"
    content = nbformat.read(path, as_version=4)
    assert "MARK SCHEME" in path.read_text("utf-8")
    record = replace(records.full(chapter="09_capstone"), by_hand=10.0)
    page = feedback.page(record, content)
    assert "HIDDEN TESTS" not in page
    assert "half points" not in page


def test_reports_lose_nothing_when_they_are_taken_apart():
    for mistake in bank.all_mistakes():
        report = Report(mistake.exercise)
        report.ok("takes f(x (2, 3))")
        report.no("values differ: expected 1,\ngot 2", mistake.message)
        read = story.read(report.render(), mistake.exercise, mistake.name)
        assert read.tried == [
            ("ok", "takes f(x (2, 3))"),
            ("no", "values differ: expected 1,\ngot 2"),
        ]
        told = " ".join(said for _, said in read.says)
        assert f"{told} {read.look}".split() == mistake.message.replace("Look at:", "").split()


def test_the_bank_speaks_where_a_message_is_short():
    read = story.read("right on the cases shown", "unfold", "reshape alone")
    assert read.says[0] == ("prose", "right on the cases shown")
    assert read.says[1][1].startswith("You only reshaped.")
    assert read.look == "which mode must stand in front before you reshape."


def test_aligned_lines_stay_aligned():
    read = story.read("f\n  no    differs\n\n  a    b\n  1    2", "f")
    assert read.says == [("plain", "a    b\n1    2")]


def test_whatever_its_length_the_page_stays_small():
    record = records.hostile("x = 1\n" * 100_000)
    many = replace(record, rows=record.rows * 500, notes=record.notes * 500)
    assert len(feedback.page(many)) < 3_000_000
    assert len(feedback.page(record)) < 200_000
    assert "more lines]" in feedback.page(
        replace(records.mistaken(), extra={"answers": {"unfold": "x = 1\n" * 1000}})
    )


def test_a_record_read_from_its_file_gives_the_same_page():
    record = records.mistaken()
    assert feedback.page(Record.from_json(record.to_json())) == feedback.page(record)
