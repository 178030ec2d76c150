"""Tables of points: for people, for Moodle, for Canvas; none of them runs in a spreadsheet."""

import csv

import pytest

from trlkit.course import aside
from trlkit.course.chapters import manifest
from trlkit.course.teacher.grades import Total, lines, write_canvas, write_grades, write_moodle
from trlkit.course.teacher.record import ERROR, FAILED, GRADED, MISSING, Record, Row
from trlkit.course.teacher.roster import Roster, Student

FULL = {chapter.name: chapter.points + chapter.by_hand for chapter in manifest.chapters()}
LAST = manifest.chapters()[-1]


def graded(student, points, chapter="01_tensors", by_hand=0.0, reason=""):
    rows = (Row("one", "One", points, 20.0), Row("two", "Two", 0.0, 2.0))
    return Record(student, chapter, GRADED, reason, rows, by_hand)


RECORDS = [
    graded("cy", 0.0),
    graded("ada", 12.5),
    Record("ben", "01_tensors", FAILED, "is cut off in line 7"),
    Record("dee", "01_tensors", MISSING, "nothing was handed in"),
    Record("eve", "01_tensors", ERROR, "the disk is full"),
]


def read(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def test_failed_missing_and_zero_are_told_apart(tmp_path):
    write_grades(lines(RECORDS), tmp_path / "grades.csv")
    header, *rows = read(tmp_path / "grades.csv")
    assert header == ["student", "chapter", "score", "max_score", "status", "reason"]
    assert [(row[0], row[2], row[4]) for row in rows] == [
        ("ada", "12.5", "graded"),
        ("ben", "", "failed"),
        ("cy", "0.0", "graded"),
        ("dee", "", "missing"),
        ("eve", "", "error"),
    ]
    assert {row[3] for row in rows} == {"22.0"} == {str(float(FULL["01_tensors"]))}
    assert rows[1][5] == "is cut off in line 7"


def test_the_order_does_not_depend_on_who_was_graded_first(tmp_path):
    records = [*RECORDS, graded("ada", 1.0, "00_welcome")]
    write_grades(lines(records), tmp_path / "one.csv")
    write_grades(lines(records[::-1]), tmp_path / "two.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert read(tmp_path / "one.csv")[1][1] == "00_welcome"


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_no_text_is_a_formula_and_numbers_stay_numbers(tmp_path, sign):
    evil = sign + 'HYPERLINK("http://x","y")'
    records = [graded(evil, -1.5), Record("b", "01_tensors", FAILED, evil)]
    write_grades(lines(records), tmp_path / "grades.csv")
    _, *rows = read(tmp_path / "grades.csv")
    told = {row[4]: row for row in rows}
    assert told["graded"][0] == told["failed"][5] == "'" + evil
    assert told["graded"][2] == "-1.5"
    text = (tmp_path / "grades.csv").read_text("utf-8")
    assert "\"'" in text and ",-1.5,22.0," in text


@pytest.mark.parametrize("name", ["Lovelace, Ada", 'say "x"', "two\nlines", "a;b", "\udcff\0"])
def test_a_name_never_shifts_its_row(tmp_path, name):
    write_grades(lines([graded(name, 1.0)]), tmp_path / "grades.csv")
    _, row = read(tmp_path / "grades.csv")
    assert len(row) == 6 and row[1:3] == ["01_tensors", "1.0"]
    if "\0" not in name:
        assert row[0] == name


def test_points_by_hand_wait_until_the_gradebook_has_them(tmp_path):
    record = graded("ada", 20.0, LAST.name, by_hand=10.0)
    (line,) = lines([record])
    assert (line.score, line.max_score) == (20.0, 32.0)
    assert line.reason == "10 points wait for a person"
    key = "ada", LAST.name
    (line,) = lines([record], {key: Total(26.0, 34.0, False)})
    assert (line.score, line.max_score, line.reason) == (26.0, 34.0, "")
    (line,) = lines([record], {key: Total(20.0, 34.0, True)})
    assert "wait" in line.reason


def test_a_failure_has_points_once_a_person_gave_all_of_them():
    record, key = RECORDS[2], ("ben", "01_tensors")
    assert lines([record], {key: Total(0.0, 22.0, True)})[0].score is None
    (line,) = lines([record], {key: Total(7.0, 22.0, False)})
    assert (line.score, line.status) == (7.0, "failed")


def test_a_table_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "grades.csv"
    write_grades(lines(RECORDS), path)
    before = path.read_bytes()

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(aside.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_grades(lines(RECORDS[:1]), path)
    assert path.read_bytes() == before


ROSTER = Roster(
    [
        Student("ada", "Ada", "Lovelace", "ada@x.org", "12", {"login": "al", "section": "S1"}),
        Student("ben", "Ben", "Bell", "ben@x.org", "13"),
        Student("zoe", "Zoë", "Zuse", "=zoe@x.org", "14"),
    ]
)


def test_moodles_worksheet(tmp_path):
    numbers = {("ada", "01_tensors"): "1234567", ("ben", "01_tensors"): "1234568"}
    (path,) = write_moodle(lines(RECORDS), tmp_path, numbers)
    assert path.name == "moodle-01_tensors.csv"
    header, *rows = read(path)
    # What Moodle's importer looks for, with its own spelling.
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(header)
    told = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["Identifier"], row["Grade"]) for row in told] == [
        ("Participant 1234567", "12.5"),
        ("Participant 1234568", ""),
    ]
    assert told[1]["Feedback comments"] == "is cut off in line 7"
    assert told[0]["Maximum grade"] == "22.0"


def test_moodles_course_import_has_the_class_and_a_column_a_chapter(tmp_path):
    records = [*RECORDS, graded("ada", 3.0, "00_welcome")]
    (path,) = write_moodle(lines(records), tmp_path, {}, ROSTER)
    header, *rows = read(path)
    assert header[3:] == ["Email address", "00_welcome", "01_tensors"]
    assert rows == [
        ["ada", "Ada", "Lovelace", "ada@x.org", "3.0", "12.5"],
        ["ben", "Ben", "Bell", "ben@x.org", "", ""],
        ["zoe", "Zoë", "Zuse", "'=zoe@x.org", "", ""],
    ]


def test_canvas_import(tmp_path):
    path = tmp_path / "canvas.csv"
    heading = {"01_tensors": "Tensors (4711)"}
    write_canvas(lines(RECORDS), path, {}, ROSTER, heading)
    header, points, *rows = read(path)
    assert header == [
        *("Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Tensors (4711)"),
    ]
    assert "Points Possible" in points[0] and points[-1] == "22.0"
    assert rows == [
        ["Lovelace, Ada", "12", "", "al", "S1", "12.5"],
        ["Bell, Ben", "13", "", "", "", ""],
        ["Zuse, Zoë", "14", "", "", "", ""],
    ]


def test_canvas_import_without_a_roster_takes_the_numbers_of_the_files(tmp_path):
    write_canvas(lines(RECORDS[:2]), tmp_path / "c.csv", {("ada", "01_tensors"): "99"})
    assert [row[:2] for row in read(tmp_path / "c.csv")[2:]] == [["ada", "99"], ["cy", ""]]
