"""A bank file: whole code, changes to the right answer, and what is said of a bad cell."""

import pytest

from trlkit.course.checking.mistake import read_bank

RIGHT = """\"\"\"Known answers.\"\"\"

# %% right="total"
def total(x):
    y = 0
    for part in x:
        y = y + part
    return y

"""
CELL = '# %% mistake="total" name="off"\n# You are off.\n'


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        file = tmp_path / "answers.py"
        file.write_text(text, encoding="utf-8")
        return read_bank(file)

    return read_text


def test_whole_code_and_changes(read):
    whole = "def total(x):\n    return 1\n\n"
    change = (
        "#- y = 0\n#+ y = 1\n#-     for part in x:\n#-         y = y + part\n#\n"
        "#- return y\n#+ if y:\n#+         return y\n"
    )
    right, code, changed = read(RIGHT + CELL + whole + CELL.replace("off", "on") + change)
    assert (right.kind, right.name, right.make({})([3, 4])) == ("right", "", 7)
    assert (code.name, code.message, code.make({})([3, 4])) == ("off", "You are off.", 1)
    assert changed.source == ("def total(x):\n    y = 1\n    if y:\n        return y")
    assert changed.make({})([3, 4]) == 1


@pytest.mark.parametrize(
    "text, line, says",
    [
        (RIGHT + CELL + "#- y = 5\n#+ y = 6\n", 10, "'y = 5' is absent"),
        (RIGHT + CELL + "#- part\n#+ x\n", 10, "'part' occurs 2 times"),
        (RIGHT + CELL + "#- y = 0\n#+ y = 1\n#- y = 0\n#+ y = 2\n", 10, "'y = 0' is absent"),
        (CELL + "#- y = 0\n#+ y = 1\n", 1, 'no cell right="total" is above it'),
        (RIGHT + CELL + "#- y = 0\n#+ y = 1\nx = 1\n", 10, "both a change and code"),
        (RIGHT + CELL + "x = 1\n#- y = 0\n#+ y = 1\n", 10, "both a change and code"),
        (RIGHT + CELL + "#+ y = 1\n", 10, '"#-" lines are followed by "#+" lines'),
        (RIGHT + CELL + "#- y = 0\n# And more.\n", 10, "the message is above them"),
        (RIGHT + CELL, 10, "needs a message in comments and then a change or code"),
        (RIGHT + RIGHT, 12, "is there once for an exercise"),
        (RIGHT + '# %% mistake="total"\n# No name.\nx = 1\n', 10, "a cell starts with"),
    ],
)
def test_bad_cell_is_named_by_file_and_line(read, text, line, says):
    with pytest.raises(ValueError) as caught:
        read(text)
    assert f"answers.py:{line}: " in str(caught.value)
    assert says in str(caught.value)
