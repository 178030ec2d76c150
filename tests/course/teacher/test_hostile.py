"""No attack wins a point, harms a neighbor or ends the batch."""

from dataclasses import replace

import nbformat
import pytest
from filled import released, solutions
from hostile import ATTACKS, CHAPTER, HEADS, points, state, submission

from trlkit.course.teacher.grade import grade
from trlkit.course.teacher.submissions import Submission


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_wins_nothing(name, rules, sandbox):
    own = solutions(CHAPTER)
    before = state()
    record = grade(submission({"fiber": own["fiber"], "unfold": ATTACKS[name]}), rules, sandbox)
    assert record.status == "graded"
    assert points(record) in ({"fiber": 1.0}, {}), points(record)
    assert all(row.message for row in record.rows if not row.points)
    text = record.to_json()
    assert len(text) < 300_000
    said = "".join(row.message + row.technical for row in record.rows) + "".join(record.notes)
    assert all(letter.isprintable() or letter == "\n" for letter in said)
    assert state() == before
    neighbor = grade(submission({"fiber": own["fiber"], "inner": own["inner"]}), rules, sandbox)
    assert points(neighbor) == {"fiber": 1.0, "inner": 1.0}


@pytest.mark.parametrize("name", HEADS)
def test_no_head_passes_by_what_its_own_process_says(name, rules, sandbox):
    slow = {"cell_seconds": 120.0, "exercise_seconds": 240.0, "submission_seconds": 600.0}
    chapter, patient = "09_capstone", replace(rules, **slow)
    exercise = "light_head" if "light_head(" in HEADS[name] else "sturdy_head"
    answers = {"pareto_front": solutions(chapter)["pareto_front"], exercise: HEADS[name]}
    before = state()
    record = grade(submission(answers, chapter=chapter), patient, sandbox)
    assert set(points(record)) == {"pareto_front"}
    row = next(row for row in record.rows if row.exercise == exercise)
    assert row.message and "not written" not in row.message
    assert state() == before


@pytest.mark.parametrize(
    "name",
    ["a loop", "a loop in the cell", "memory", "the end of Python", "processes", "a crash"],
)
def test_what_ends_one_answer_leaves_the_others(name, rules, sandbox):
    own = solutions(CHAPTER)
    answers = {**own, "unfold": ATTACKS[name]}
    answers = {key: value for key, value in answers.items() if key != "prediction"}
    record = grade(submission(answers), rules, sandbox)
    assert set(points(record)) == {row.exercise for row in record.rows} - {"unfold"}
    row = next(row for row in record.rows if row.exercise == "unfold")
    assert row.message


def test_files_beside_a_notebook_change_nothing(rules, sandbox):
    poison = b"raise SystemExit\n"
    files = [(name, poison) for name in ("torch.py", "trlkit/__init__.py", "json.py", "math.py")]
    files += [("trlkit/course/learner/cells.py", poison), ("data.csv", b"1,2\n")]
    answers = {"fiber": solutions(CHAPTER)["fiber"]}
    record = grade(submission(answers), rules, sandbox, files)
    assert points(record) == {"fiber": 1.0}


def test_what_is_left_behind_is_gone(rules, sandbox):
    leave = (
        "import os, pathlib\n"
        "for place in ('/notebook', '/dev/shm', os.environ['TMPDIR']):\n"
        "    path = pathlib.Path(place, 'left')\n"
        "    assert not path.exists()\n    path.write_text('x')\n\n"
    )
    answers = {"fiber": leave + solutions(CHAPTER)["fiber"]}
    for _ in range(2):
        assert points(grade(submission(answers), rules, sandbox)) == {"fiber": 1.0}


def stripped(notebook):
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})


def copied(notebook):
    check = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade"))
    notebook.cells.append(nbformat.from_dict(dict(check)))


def colab(notebook):
    notebook.metadata = nbformat.from_dict({"colab": {"provenance": []}, "kernelspec": {}})
    for number, cell in enumerate(notebook.cells):
        cell.metadata["id"] = f"x{number}"
        cell.metadata["outputId"] = "y"


def schema(notebook):
    for cell in notebook.cells:
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader["schema_version"] = 99


def magics(notebook):
    code = "%matplotlib inline\n%timeit 1 + 1\n!rm -rf /\n"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(code))
    first = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("solution"))
    first.source = "%time\n!ls\n" + first.source


def mistyped(notebook):
    notebook.metadata = nbformat.from_dict({"kernelspec": "x", "language_info": [1]})
    odd = (5, "x", {"grade_id": ["x"]}, {"grade_id": {}}, None)
    texts = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    for cell, marks in zip(texts, odd, strict=False):
        cell.metadata["nbgrader"] = marks
    texts[-1].metadata = []


def silenced(notebook):
    for cell in notebook.cells:
        cell.metadata["tags"] = ["skip-execution", "raises-exception"]


@pytest.mark.parametrize("change", [stripped, copied, colab, schema, magics, silenced, mistyped])
def test_odd_notebooks_get_what_their_answers_deserve(change, rules, sandbox):
    own = solutions(CHAPTER)
    names = {
        c.metadata.nbgrader.grade_id
        for c in released(CHAPTER).cells
        if c.metadata.get("nbgrader", {}).get("solution")
    }
    answers = {name: own[name] for name in own if name in names}
    record = grade(submission(answers, change=change), rules, sandbox)
    assert record.score == record.max_score == 22


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2]", b'{"nbformat": 4}'])
def test_a_file_that_is_no_notebook_is_a_recorded_failure(content, rules, sandbox):
    record = grade(Submission("mallory", CHAPTER, content), rules, sandbox)
    assert record.status == "failed" and record.reason and record.score == 0


def test_the_last_page_of_a_cut_notebook(rules, sandbox):
    whole = nbformat.writes(released(CHAPTER)).encode()
    record = grade(Submission("mallory", CHAPTER, whole[: len(whole) // 2]), rules, sandbox)
    assert record.status == "failed" and "cut off" in record.reason
