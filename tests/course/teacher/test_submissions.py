"""What is found in folders and zips, and what becomes of everything else there."""

import json
import os
import stat
import subprocess
import zipfile
from datetime import datetime

import nbformat
import pytest
from filled import released
from nbformat.v4 import new_code_cell, new_notebook

from trlkit.course.teacher import files
from trlkit.course.teacher.files import files_in
from trlkit.course.teacher.places import chapter_called
from trlkit.course.teacher.roster import read_roster, unfit
from trlkit.course.teacher.submissions import find

ONE = nbformat.writes(released("01_tensors")).encode()
FOUR = nbformat.writes(released("04_cp_trl")).encode()
BARE = nbformat.writes(new_notebook(cells=[new_code_cell("1 + 1")])).encode()
NAMES = "id,first_name,last_name,email,lms_user_id\n"


def put(root, handed):
    for name, content in handed.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def packed(path, handed):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in handed.items():
            archive.writestr(name, content)
    return path


def roster(tmp_path, *lines):
    path = tmp_path / "roster.csv"
    path.write_text(NAMES + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return read_roster(path)


def taken(intake):
    return [(s.student, s.chapter) for s in intake.submissions]


@pytest.fixture(params=["folder", "zip"])
def source(request, tmp_path):
    """Makes what was handed in, as a folder or as a zip."""

    def make(handed):
        if request.param == "zip":
            return packed(tmp_path / "handed.zip", handed)
        return put(tmp_path / "handed", handed)

    return make


def test_nbgraders_folders(source):
    intake = find(
        source(
            {
                "lee/04_cp_trl/04_cp_trl.ipynb": FOUR,
                "ada/01_tensors/01_tensors.ipynb": ONE,
                "ada/01_tensors/timestamp.txt": b"2026-03-02 17:30:00.5 Europe/Berlin\n",
                "ada/01_tensors/data/01_tensors.ipynb": FOUR,
            }
        )
    )
    assert taken(intake) == [("ada", "01_tensors"), ("lee", "04_cp_trl")]
    assert intake.submissions[0].content == ONE
    assert intake.submissions[0].timestamp == datetime(2026, 3, 2, 16, 30, 0, 500_000)
    assert intake.submissions[1].timestamp is None
    assert intake.unknown == [] and intake.failed == []


def test_moodles_names_with_folders_and_without(source):
    intake = find(
        source(
            {
                "Ada Lovelace_1234567_assignsubmission_file_/01_tensors.ipynb": ONE,
                "Zoë O Neil_1234568_assignsubmission_file/mine.ipynb": ONE,
                "Lee Smith_1234569_assignsubmission_file_01_tensors.ipynb": ONE,
                "Lee Smith_1234569_assignsubmission_onlinetext_onlinetext.html": b"<p>hello",
            }
        )
    )
    students = ["Ada Lovelace", "Lee Smith", "Zoë O Neil"]
    assert taken(intake) == [(student, "01_tensors") for student in students]
    assert intake.identifiers["Lee Smith", "01_tensors"] == "1234569"
    assert [line.split(": ")[1] for line in intake.unknown] == ["is no notebook"]


def test_canvas_names_and_the_newest_of_several(source):
    intake = find(
        source(
            {
                "lovelaceada_LATE_12_345_01_tensors.ipynb": ONE,
                "smithlee_13_900_01_tensors-9.ipynb": BARE,
                "smithlee_13_1001_01_tensors-1.ipynb": ONE,
                "anon_aB3x9_77_01_tensors.ipynb": ONE,
            }
        )
    )
    assert taken(intake) == [
        ("anon_aB3x9", "01_tensors"),
        ("lovelaceada_12", "01_tensors"),
        ("smithlee_13", "01_tensors"),
    ]
    _, ada, lee = intake.submissions
    assert (ada.late, lee.late) == (True, False)
    assert lee.content == ONE and any("smithlee_13_900" in remark for remark in lee.remarks)
    assert intake.identifiers["smithlee_13", "01_tensors"] == "13"


def test_a_folder_of_all_is_never_given_as_one_students_own(tmp_path):
    handed = {
        "lovelaceada_12_345_01_tensors.ipynb": ONE,
        "Lee_1_assignsubmission_file_01_tensors.ipynb": ONE,
        "Zoe_2_assignsubmission_file_/01_tensors.ipynb": ONE,
    }
    folders = {s.student: s.folder for s in find(put(tmp_path, handed)).submissions}
    own = tmp_path / "Zoe_2_assignsubmission_file_"
    assert folders == {"lovelaceada_12": None, "Lee": None, "Zoe": own}


@pytest.mark.parametrize(
    "name",
    [
        "01_tensors (2).ipynb",
        "Copy of 01_tensors.ipynb",
        "01-Tensors-Ada.ipynb",
        "01_tensors.ipynb.txt",
        "homework.ipynb",
    ],
)
def test_the_chapter_is_told_by_the_name_or_else_by_the_cells(tmp_path, name):
    content = ONE if "homework" in name else BARE
    put(tmp_path, {f"Ada_1_assignsubmission_file_/{name}": content})
    assert taken(find(tmp_path)) == [("Ada", "01_tensors")]


def test_a_notebook_of_no_chapter(tmp_path):
    put(tmp_path, {"Ada_1_assignsubmission_file_/x.ipynb": BARE})
    (only,) = find(tmp_path).submissions
    assert only.chapter is None and "which chapter" in only.remarks[0]
    assert taken(find(tmp_path, "1")) == [("Ada", "01_tensors")]


def test_notebooks_that_break_readers_are_still_submissions(tmp_path):
    deep = b'{"nbformat": 4, "cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    number = b'{"nbformat": ' + b"9" * 10_000 + b"}"
    handed = {"Ada_1": deep, "Ben_2": number, "Cy_3": b"\xff\xfe", "Dee_4": ONE[:500], "Eve_5": b""}
    put(tmp_path, {f"{who}_assignsubmission_file_/x.ipynb": text for who, text in handed.items()})
    assert [s.chapter for s in find(tmp_path).submissions] == [None] * 5
    assert [s.chapter for s in find(tmp_path, "01_tensors").submissions] == ["01_tensors"] * 5


def test_another_chapter_than_asked_for(source):
    handed = source({"Ada_1_assignsubmission_file_/04_cp_trl.ipynb": FOUR})
    ((record, _),) = find(handed, "01_tensors").failed
    assert (record.student, record.chapter, record.status) == ("Ada", "01_tensors", "failed")
    assert "04_cp_trl" in record.reason


def test_a_file_of_another_chapter_beside_the_right_one_takes_no_points(source):
    folder = "Ada_1_assignsubmission_file_"
    handed = source(
        {
            f"{folder}/04_cp_trl.ipynb": FOUR,
            f"{folder}/01_tensors.ipynb": ONE,
            f"{folder}/x.pdf": b"",
        }
    )
    intake = find(handed, "01_tensors")
    assert taken(intake) == [("Ada", "01_tensors")] and intake.submissions[0].content == ONE
    assert intake.failed == []
    assert [line.split(": is ")[1][:5] for line in intake.unknown] == ["chapt", "no no"]


def test_nbgraders_other_chapters_are_passed_over(source):
    handed = source({"ada/01_tensors/01_tensors.ipynb": ONE, "ada/04_cp_trl/04_cp_trl.ipynb": FOUR})
    intake = find(handed, "04")
    assert taken(intake) == [("ada", "04_cp_trl")] and not intake.failed and not intake.unknown


def test_renamed_and_doubled_notebooks_in_nbgraders_folders(source):
    intake = find(
        source(
            {
                "ada/01_tensors/my work.ipynb": ONE,
                "ben/01_tensors/01_tensors-Copy1.ipynb": BARE,
                "ben/01_tensors/01_tensors.ipynb": ONE,
                "cy/01_tensor/01_tensors.ipynb": ONE,
            }
        )
    )
    assert taken(intake) == [(who, "01_tensors") for who in ("ada", "ben", "cy")]
    ada, ben, cy = intake.submissions
    assert "should be called 01_tensors.ipynb" in ada.remarks[0]
    assert ben.content == ONE and "Copy1" in ben.remarks[0]
    assert "01_tensor should be called 01_tensors" in cy.remarks[0]


def test_no_notebook_is_a_recorded_failure_and_an_empty_folder_none(tmp_path):
    put(
        tmp_path,
        {
            "ada/01_tensors/notes.txt": b"hello",
            "Ben_2_assignsubmission_file_/01_tensors.pdf": b"%PDF",
        },
    )
    (tmp_path / "cy/01_tensors").mkdir(parents=True)
    intake = find(tmp_path)
    told = {(record.student, record.chapter): record.reason for record, _ in intake.failed}
    assert set(told) == {("ada", "01_tensors"), ("Ben", "01_tensors")}
    assert "notes.txt is no notebook" in told["ada", "01_tensors"]
    assert intake.unknown == ["cy/01_tensors: is an empty folder"]


def test_a_file_too_large_is_a_recorded_failure(source, monkeypatch):
    monkeypatch.setattr(files.File.read, "__defaults__", (1000,))
    intake = find(source({"ada/01_tensors/01_tensors.ipynb": ONE}))
    ((record, _),) = intake.failed
    assert "larger than 0.001 MB" in record.reason and not intake.submissions


def test_links_and_pipes_are_not_followed(tmp_path):
    secret = tmp_path / "secret.ipynb"
    secret.write_bytes(ONE)
    root = put(tmp_path / "handed", {"ben/01_tensors/01_tensors.ipynb": ONE})
    (root / "ada/01_tensors").mkdir(parents=True)
    (root / "ada/01_tensors/01_tensors.ipynb").symlink_to(secret)
    (root / "cy").symlink_to(root / "ben")
    (root / "dee/01_tensors").mkdir(parents=True)
    os.mkfifo(root / "dee/01_tensors/01_tensors.ipynb")
    intake = find(root)
    assert taken(intake) == [("ben", "01_tensors")]
    reasons = {record.student: record.reason for record, _ in intake.failed}
    assert "symbolic link" in reasons["ada"] and "pipe" in reasons["dee"]
    assert intake.unknown == ["cy: is a symbolic link, which is not followed"]


def test_a_link_that_takes_a_files_place_is_not_followed(tmp_path):
    secret = tmp_path / "secret.ipynb"
    secret.write_bytes(ONE)
    path = put(tmp_path / "handed", {"a.ipynb": BARE}) / "a.ipynb"
    with files_in(tmp_path / "handed") as (file,):
        path.unlink()
        path.symlink_to(secret)
        with pytest.raises(files.Refused, match="cannot be read"):
            file.read()


def test_a_student_hands_in_for_nobody_else(source):
    lee = "Lee Smith_9_assignsubmission_file_/01_tensors.ipynb"
    intake = find(
        source(
            {
                f"ada/01_tensors/{lee}": BARE,
                "ada/01_tensors/smithlee_13_1001_01_tensors.ipynb": BARE,
                "ada/01_tensors/01_tensors.ipynb": ONE,
                "ben/notes/lee/01_tensors/01_tensors.ipynb": BARE,
                f"Cy_3_assignsubmission_file_/{lee}": ONE,
                f"Dee_4_assignsubmission_file_{lee.replace('/', '_')}": ONE,
                "eve_5_6_smithlee_13_1001_01_tensors.ipynb": ONE,
            }
        )
    )
    assert {s.student for s in intake.submissions} == {"ada", "Cy", "Dee", "eve_5"}
    assert all(s.content == ONE for s in intake.submissions)
    assert intake.unknown[0].startswith("ben/notes/lee/01_tensors/01_tensors.ipynb: is not where")


ODD = [
    "<script>x",
    "Lovelace, Ada",
    '=HYPERLINK("x")',
    "{student_id}",
    "*",
    "a' or '1'='1",
    "名前",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_taken_as_they_are(source, name):
    assert taken(find(source({f"{name}/01_tensors/01_tensors.ipynb": ONE}))) == [
        (name, "01_tensors")
    ]
    moodle = f"{name}_1_assignsubmission_file_01_tensors.ipynb"
    handed = source({moodle: ONE})
    assert (name, "01_tensors") in taken(find(handed))


@pytest.mark.parametrize(
    "name", ["..", ".", "a\nb", "a\x1b[31mb", " ", "x" * 129, "a\\b", "\udcff"]
)
def test_names_that_are_no_name_of_a_folder_or_a_row_are_reported(tmp_path, name):
    assert unfit(name)
    if name == "\udcff":
        root = put(tmp_path / "handed", {f"{name}_1_assignsubmission_file_x.ipynb": ONE})
    else:
        handed = {f"{name}_1_assignsubmission_file_01_tensors.ipynb": ONE}
        root = packed(tmp_path / "handed.zip", handed)
    intake = find(root)
    if name == "a\\b":  # a zip from Windows: a folder and a file
        assert taken(intake) == [("b", "01_tensors")]
        return
    assert not intake.submissions and not intake.failed
    (line,) = intake.unknown
    assert line.isprintable()


def test_entries_of_a_zip_that_point_elsewhere(tmp_path):
    path = tmp_path / "handed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../ada/01_tensors/01_tensors.ipynb", ONE)
        archive.writestr("/ben/01_tensors/01_tensors.ipynb", ONE)
        archive.writestr("C:/cy/01_tensors/01_tensors.ipynb", ONE)
        archive.writestr("dee\\..\\..\\x\\01_tensors\\01_tensors.ipynb", ONE)
        link = zipfile.ZipInfo("eve/01_tensors/01_tensors.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("fay/01_tensors/01_tensors.ipynb", ONE)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("fay/01_tensors/01_tensors.ipynb", BARE)
    before = set(tmp_path.rglob("*"))
    intake = find(path)
    assert taken(intake) == [("fay", "01_tensors")] and intake.submissions[0].content == ONE
    told = " ".join([*intake.unknown, *(record.reason for record, _ in intake.failed)])
    assert told.count("points out of the zip") == 4
    assert told.count("symbolic link") == 1 and told.count("twice") == 1
    assert set(tmp_path.rglob("*")) == before


def test_zips_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    handed = {f"s{n}/01_tensors/01_tensors.ipynb": b" " * 1_000_000 for n in range(3)}
    path = packed(tmp_path / "bomb.zip", handed)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(files, "TOTAL_BYTES", 2_500_000)
    with pytest.raises(ValueError, match="unpacks to 3 files of 3 MB together"):
        find(path)
    monkeypatch.setattr(files, "TOTAL_BYTES", 3_500_000)
    monkeypatch.setattr(files, "MANY", 2)
    with pytest.raises(ValueError, match="at most 2 files"):
        find(path)


def test_a_zip_that_lies_about_a_size_or_is_damaged(tmp_path):
    path = packed(tmp_path / "handed.zip", {"ada/01_tensors/01_tensors.ipynb": b"x" * 5000})
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    data[central + 24 : central + 28] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    ((record, _),) = find(path).failed
    assert "cannot be read from the zip" in record.reason


def test_folders_without_end(tmp_path):
    put(tmp_path, {"ada/01_tensors/01_tensors.ipynb": ONE})
    deep = os.open(tmp_path / "ada/01_tensors", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=deep)
        above, deep = deep, os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(above)
    os.close(deep)
    intake = find(tmp_path)
    assert taken(intake) == [("ada", "01_tensors")]
    assert "in more than 30 folders" in intake.unknown[0]
    subprocess.run(["rm", "-r", tmp_path / "ada"], check=True)  # shutil cannot


def test_what_is_no_source(tmp_path):
    with pytest.raises(ValueError, match="there is no such folder or zip"):
        find(tmp_path / "nowhere")
    path = tmp_path / "one.ipynb"
    path.write_bytes(ONE)
    with pytest.raises(ValueError, match="neither a folder nor a zip"):
        find(path)
    path = packed(tmp_path / "cut.zip", {"ada/01_tensors/01_tensors.ipynb": ONE})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02")] = 0
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged zip"):
        find(path)
    with pytest.raises(ValueError, match="no chapter is called '77'"):
        chapter_called("77")


def test_with_a_roster_nobody_else_gets_in_and_who_is_missing_is_told(tmp_path):
    names = roster(tmp_path, "ada,Ada,Lovelace,,", "ben,Ben,Bell,,", "cy,Cy,Cole,,")
    handed = {"ada/01_tensors/01_tensors.ipynb": ONE, "bne/01_tensors/01_tensors.ipynb": ONE}
    intake = find(put(tmp_path / "handed", handed), roster=names)
    assert taken(intake) == [("ada", "01_tensors")]
    assert intake.unknown == ["bne: is no student of the roster (is it ben?)"]
    assert [(r.student, r.chapter, r.status) for r in intake.missing] == [
        ("ben", "01_tensors", "missing"),
        ("cy", "01_tensors", "missing"),
    ]


def test_a_roster_knows_the_platforms_names(tmp_path):
    names = roster(
        tmp_path,
        "al1,Ada,Lovelace,,12",
        "zo2,Zoë,O'Neil-Wu,,",
        "ls3,Lee,Smith,,",
        "ls4,Lee,Smith,,14",
    )
    handed = {
        "Lovelace Ada_1_assignsubmission_file_01_tensors.ipynb": ONE,
        "Zoe\u0308 ONeil-Wu_2_assignsubmission_file_/01_tensors.ipynb": ONE,
        "Lee Smith_3_assignsubmission_file_01_tensors.ipynb": ONE,
        "lovelaceada_12_100_04_cp_trl.ipynb": FOUR,
        "smithlee_14_101_04_cp_trl.ipynb": FOUR,
        "smithlee_99_102_04_cp_trl.ipynb": FOUR,
        "nobody_98_102_04_cp_trl.ipynb": FOUR,
    }
    intake = find(put(tmp_path / "handed", handed), roster=names)
    assert taken(intake) == [
        ("al1", "01_tensors"),
        ("zo2", "01_tensors"),
        ("al1", "04_cp_trl"),
        ("ls3", "04_cp_trl"),
        ("ls4", "04_cp_trl"),
    ]
    same, nobody = intake.unknown
    assert "ls3, ls4" in same and "is no student" in nobody


def test_without_a_roster_two_of_one_name_are_told_apart_and_new_ones_are_told(tmp_path):
    handed = {
        "Lee Smith_1_assignsubmission_file_01_tensors.ipynb": ONE,
        "Lee Smith_2_assignsubmission_file_01_tensors.ipynb": BARE,
        "Ada_3_assignsubmission_file_01_tensors.ipynb": ONE,
        "Ada_4_assignsubmission_file_04_cp_trl.ipynb": FOUR,
    }
    intake = find(put(tmp_path, handed), known=["Ada"])
    assert [s.student for s in intake.submissions] == ["Ada", "Lee Smith_1", "Lee Smith_2", "Ada"]
    assert not intake.submissions[0].remarks
    assert "which has 1 students" in intake.submissions[1].remarks[-1]


@pytest.mark.parametrize(
    "text, fault",
    [
        ("name,email\nada,x\n", "it needs id"),
        ("id\nada\nada\n", "twice"),
        ("id\n..\n", "is no name"),
        ("id,email\nada," + "x" * 200 + "\n", "more than 128"),
    ],
)
def test_faults_of_a_roster(tmp_path, text, fault):
    path = tmp_path / "roster.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=fault):
        read_roster(path)


def test_a_roster_as_a_spreadsheet_saves_it(tmp_path):
    path = tmp_path / "roster.csv"
    path.write_text('\ufeffID;First Name;Section\r\nada;"Ada;\nA";7\r\n', encoding="utf-8")
    student = read_roster(path).find("ada")
    assert student.first_name == "Ada;\nA" and student.more == {"section": "7"}


@pytest.mark.parametrize(
    "text", ["soon", "2026-03-02 10:00 /etc/passwd", "2026-03-02 1 ../../x", "9" * 150]
)
def test_a_timestamp_that_is_none(tmp_path, text):
    handed = {
        "ada/01_tensors/01_tensors.ipynb": ONE,
        "ada/01_tensors/timestamp.txt": text.encode(),
    }
    (only,) = find(put(tmp_path, handed)).submissions
    assert only.timestamp is None and "holds no time" in only.remarks[0]


def test_json_that_is_no_notebook_stays_with_its_student(tmp_path):
    put(tmp_path, {"ada/01_tensors/01_tensors.ipynb": json.dumps([1]).encode()})
    assert taken(find(tmp_path)) == [("ada", "01_tensors")]
