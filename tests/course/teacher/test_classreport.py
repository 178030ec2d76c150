"""The class report: what the class got wrong, and of whom nothing is told."""

import ast
import re

import pytest
import records
from records import MARKUP, OURS, Tags, words

from trlkit.course.chapters import bank
from trlkit.course.teacher import classreport
from trlkit.course.teacher.anonymous import anonymous
from trlkit.course.teacher.record import Record


def a_class():
    """Four with one mistake, two with another, one with all right; one failed, one absent."""
    made = [records.known("unfold", f"u{number}", 1) for number in range(4)]
    made += [records.known("fold", f"f{number}", 0) for number in range(2)]
    made += [records.full("ada"), records.failed("eve")]
    return [*made, Record("ivy", "01_tensors", "missing")]


ROSTER = {"u0": "Ulla", "ada": "Ada Lovelace", "zoe": "Zoe Zimt", "ivy": "Ivy"}


def test_exercises_come_by_the_difficulty_found():
    said = words(classreport.page(a_class()))
    table = said[said.index("Exercises, the hardest first") :]
    assert table.index("1.2 Unfold") < table.index("1.3 Fold") < table.index("1.1 Modes")
    assert "1.2 Unfold 43 % (3 of 7) 0.57 of 1 7 min" in table
    assert "1.3 Fold 71 % (5 of 7) 0.29 of 1 6 min" in table
    assert "1.1 Modes, fibers and slices 100 % (7 of 7) 0 of 1 5 min 1 0.5 to 0.5" in table


def test_mistakes_come_by_their_counts_with_the_banks_words_and_an_example():
    said = words(classreport.page(a_class()))
    assert said.index("4 of 7, 1.2 Unfold") < said.index("2 of 7, 1.3 Fold")
    assert "reshape alone" in said and "You only reshaped." in said
    assert "return x.reshape(x.shape[mode], -1)" in said
    assert "4 of 7 in 1.2 Unfold: You only reshaped." in said


def test_who_has_not_submitted_and_what_failed():
    said = words(classreport.page(a_class(), ROSTER))
    assert "7 of 10 graded" in said
    assert "2 students have not submitted Their names Ivy (ivy) Zoe Zimt (zoe)" in said
    assert "1 × is cut off in line 651 Whose (1) eve:" in said


def test_loops_are_counted_by_their_exercise():
    said = words(classreport.page([records.mistaken("ben"), records.mistaken("eve")]))
    assert "2 × 1.8 Kronecker and Khatri-Rao: took longer than 120 s" in said
    assert "0.5 to 120" not in said and "120 to 120" in said
    assert "4 more answers are wrong in a way that has no name" in said


def test_what_can_be_shown_to_the_class_names_nobody():
    named = records.known("unfold", "lovelace-4711")
    named.extra["answers"]["unfold"] = (
        "# by Ada Lovelace, 4711234, /home/ada\n"
        "def unfold(x, mode):\n"
        '    """Ada\'s"""\n'
        "    ada_lovelace = x.transpose(0, mode)\n"
        "    print('Ada', f'lovelace', 4711234)\n"
        "    return ada_lovelace.reshape(x.shape[mode], -1)\n"
    )
    class_ = [named, records.failed("lovelace-4711-b"), Record("lovelace", "01_tensors", "missing")]
    page = classreport.page(class_, {"lovelace": "Ada Lovelace", "x": "Lovelace"})
    shown = words(page, folded=False)
    assert not re.search("ada|lovelace|4711|/home|/srv", shown, re.IGNORECASE)
    assert "name_1 = x.transpose(0, mode)" in shown
    assert "Ada Lovelace (lovelace)" in words(page)


@pytest.mark.parametrize("markup", MARKUP)
def test_strangers_words_are_words(markup):
    roster = {markup: markup, "b": markup}
    class_ = [records.hostile(markup), Record(markup, markup + "2", "failed", markup)]
    found = Tags(classreport.page(class_, roster))
    assert found.tags <= OURS
    for name, value in found.attributes:
        assert not name.startswith("on") and name != "style"
        assert name not in ("href", "src") or re.match(r"#chapter-\d+$", value)


def test_one_submission_and_none():
    assert "1 submission graded in 1 chapter" in words(classreport.page([records.full()]))
    assert "No submission was found." in words(classreport.page([]))
    only = classreport.page([Record("ivy", "01_tensors", "missing")])
    assert "1 student has not submitted" in words(only)


def test_a_thousand_submissions_make_a_page_of_bounded_size():
    few = [records.mistaken(f"s{number:04d}") for number in range(50)]
    many = [records.mistaken(f"s{number:04d}") for number in range(1000)]
    roster = [f"t{number:04d}" for number in range(2000)]
    small, large = classreport.page(few), classreport.page(many, roster)
    assert "1,000 submissions graded" in words(large)
    assert len(large) - len(small) < 250_000


def test_of_two_records_of_a_student_the_last_counts():
    said = words(classreport.page([records.failed("ada"), records.full("ada")]))
    assert "1 submission graded" in said and "0 technical failures" in said


def test_chapters_stand_in_their_order():
    class_ = [records.full("a", "04_cp_trl"), records.full("a"), Record("a", "zz", "graded")]
    said = words(classreport.page(class_))
    assert said.index("1. Tensors") < said.index("4. The CP") < said.index("zz")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import lee.park as kim", "import name_1.name_2 as name_3"),
        ("from torch import nn as lee", "from torch import nn as name_1"),
        ("def f(x, *lee, kim=2, **park): return lee", "def f(x, *name_1, name_2=2, **name_3)"),
        ("x.lee = lee.reshape(2)", "x.name_1 = name_1.reshape(2)"),
        ("global lee\ntry:\n    x\nexcept kim as park: x", "global name_1"),
        ("match x:\n    case {'lee': y, **kim}: y", "**name_1"),
        ("match x:\n    case Lee(kim=3): x", "case name_2(name_1=3)"),
        ("x = 'lee', b'lee', f'lee{x}', 20251234, 'a'", "x = ('...', b'...', '...', 0, 'a')"),
        ("torch.einsum('lee,ek->lk', x, y)", "torch.einsum('abb,bc->ac', x, y)"),
        ("x = 25088 + 1e-12", "x = 25088 + 1e-12"),
    ],
)
def test_an_answer_told_of_nobody(source, told):
    found = anonymous(source)
    assert "lee" not in found.lower()
    assert told in found
    assert ast.parse(found)


def test_the_courses_own_answers_stay_readable():
    for mistake in bank.all_mistakes():
        assert not re.search(r"name_\d", anonymous(mistake.source))


@pytest.mark.parametrize(
    "source",
    ["(" * 3999, "-" * 3998 + "1", "a" + "()" * 1990, "x = \x00", "\ud800", "def f(:", "x" * 9999]
    + ["lambda: " * 450 + "1", "1" + "+1" * 1900, "f'{" * 500, "9" * 3999 + "if"],
)
def test_what_is_no_answer_is_none(source):
    assert anonymous(source) in ("", "pass", "name_1()", "...") or len(anonymous(source)) < 9000
