"""What the build refuses, each fault by its file and line; and what it makes of a small master."""

import json
import re
import shutil

import nbformat
import pytest
from filled import ROOT

from trlkit.course.author import build, masters
from trlkit.course.chapters import manifest

GOOD = """\
# %% [markdown]
# # 1. Small { minutes: 5, difficulty: 1 }
# A chapter.

# %% lock="imports"
from trlkit.course import check

# %% [markdown]
# ## 1.1 Unfold { minutes: 5, difficulty: 2 }

# %% solve="unfold"
def unfold(x, mode):
    ### BEGIN SOLUTION
    return x.movedim(mode, 0).reshape(x.shape[mode], -1)
    ### END SOLUTION

# %% check="unfold" points=2
check("unfold", unfold)
"""
LINE = {line: number for number, line in enumerate(GOOD.split("\n"), 1)}
SOLVE, CHECK = LINE['# %% solve="unfold"'], LINE['# %% check="unfold" points=2']


def write(root, text, name="01_small"):
    path = root / "solutions" / name / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    for file in ("autotests.yml", "nbgrader_config.py"):
        shutil.copy(ROOT / file, root / file)
    return path


FAULTS = [
    ('# %% check="unfold" points=2\ncheck("unfold", unfold)', "", SOLVE,
     "solve='unfold' has no check='unfold'"),
    ('solve="unfold"', 'predict="unfold"', CHECK, "check='unfold' has no solve='unfold'"),
    (" points=2", "", CHECK, "check='unfold' needs points=, a number above 0"),
    ("points=2", "points=0", CHECK, "check='unfold' needs points=, a number above 0"),
    ("points=2", "pionts=2", CHECK, "unknown marker 'pionts'"),
    ("    ### END SOLUTION\n", "", SOLVE, "BEGIN SOLUTION without its END"),
    ("    ### BEGIN SOLUTION\n", "", SOLVE, "END SOLUTION without its BEGIN"),
    ("### BEGIN SOLUTION", "### BEGIN SOLUTION\n    ### BEGIN SOLUTION", SOLVE,
     "inside another region"),
    ("# %% lock", "# %% solve", 5, "solve='imports' has no ### BEGIN SOLUTION"),
    ('# %% lock="imports"', "# %%\n### BEGIN SOLUTION\n### END SOLUTION", 5,
     "a solution stands in a cell that is not marked"),
    ('check("unfold", unfold)', "assert unfold", CHECK, "must call check(\"unfold\", ...)"),
    ('check("unfold", unfold)', 'check("unfold", 1)\n### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS',
     CHECK, "hidden tests are added by the build"),
    ('"unfold" points', '"Unfold!" points', CHECK, "a name has letters, digits and _"),
    ("# %% [markdown]\n# ## 1.1", '# %% [markdown] solve="a"\n# ## 1.1', 8,
     "marks a markdown cell"),
    ("# %% [markdown]\n# ## 1.1", '# %% [markdown] manual="a" points=1\n# ## 1.1', 8,
     "manual='a' has no ### BEGIN SOLUTION"),
    ("# %% [markdown]\n# ## 1.1", '# %% [markdown] manual="a"\n# ## 1.1', 8,
     "manual='a' needs points="),
    ('# %% lock="imports"', '# %% manual="a" points=1', 5, "belongs on a markdown cell"),
    ("# ## 1.1", "# ### BEGIN MARK SCHEME\n# ### END MARK SCHEME\n# ## 1.1", 8,
     "a mark scheme stands in a cell that is not a markdown cell marked lock"),
    (" { minutes: 5, difficulty: 2 }", "", CHECK, "its title has no { minutes"),
    ("# ## 1.1", "# First words.\n#\n# ## 1.1", 11, "stands inside a cell: it starts one"),
    ("minutes: 5, difficulty: 2", "minutes: soon", 8, "a title's facts are"),
    (" { minutes: 5, difficulty: 1 }", "", 1, "a chapter starts with a title"),
]  # fmt: skip


@pytest.mark.parametrize("old, new, line, message", FAULTS, ids=[fault[3] for fault in FAULTS])
def test_build_refuses_by_file_and_line(tmp_path, old, new, line, message):
    assert old in GOOD
    write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(masters.BuildError) as caught:
        build.build(tmp_path)
    place = f"01_small/01_small.py:{line}: "
    assert any(f.startswith(place) and message in f for f in caught.value.faults), (
        caught.value.faults
    )
    assert not (tmp_path / "notebooks").exists()


def test_a_name_used_twice_is_refused_in_one_chapter_and_across(tmp_path):
    write(tmp_path, GOOD)
    write(tmp_path, GOOD.replace("1. Small", "2. Small"), "02_small")
    with pytest.raises(masters.BuildError) as caught:
        build.build(tmp_path)
    assert (
        f"02_small/02_small.py:{SOLVE}: solve='unfold' is used before, in 01_small.py:{SOLVE}"
        in (caught.value.faults)
    )
    twice = GOOD[GOOD.index("# %% solve") :]
    shutil.rmtree(tmp_path / "solutions")
    write(tmp_path, GOOD + "\n" + twice)
    with pytest.raises(masters.BuildError, match="check='unfold' is used before"):
        build.build(tmp_path)


def test_a_solve_behind_its_check_is_refused(tmp_path):
    start, middle, end = re.split(r"(?=# %% solve)|(?=# %% check)", GOOD)
    write(tmp_path, start + end + "\n" + middle)
    with pytest.raises(masters.BuildError, match="stands after its check"):
        build.build(tmp_path)


def test_an_empty_course_and_a_bad_chapter_name_are_refused(tmp_path):
    with pytest.raises(masters.BuildError, match="no master"):
        build.build(tmp_path)
    write(tmp_path, GOOD, "small")
    with pytest.raises(masters.BuildError, match="a chapter is called NN_topic, got 'small'"):
        build.build(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A small course, built once; its file texts by path."""
    root = tmp_path_factory.mktemp("small")
    write(root, GOOD)
    (root / "README.md").write_text("x\n<!-- chapters -->\nold\n<!-- /chapters -->\ny\n")
    said = build.build(root)
    return root, said


def contents(root):
    names = ("solutions/**/*.ipynb", "notebooks/**/*.ipynb", "trlkit/**/*.json", "README.md")
    return {path: path.read_text("utf-8") for name in names for path in root.glob(name)}


def test_build_makes_both_notebooks_the_table_and_the_readme(built):
    root, said = built
    assert said == [
        "wrote solutions/01_small/01_small.ipynb",
        "wrote notebooks/01_small/01_small.ipynb",
        "wrote trlkit/course/chapters/course.json",
        "wrote README.md",
    ]
    released = nbformat.read(root / "notebooks/01_small/01_small.ipynb", as_version=4)
    assert [cell.id for cell in released.cells if cell.id.startswith(("solve", "check"))] == [
        "solve-unfold", "check-unfold",
    ]  # fmt: skip
    solve = next(cell for cell in released.cells if cell.id == "solve-unfold")
    assert solve.source == (
        "def unfold(x, mode):\n    # YOUR CODE HERE\n    raise NotImplementedError"
    )
    assert "*difficulty 2 of 5, about 5 minutes, 2 points*" in released.cells[2].source
    source = nbformat.read(root / "solutions/01_small/01_small.ipynb", as_version=4)
    hidden = source.cells[-1].source
    assert hidden.startswith('check("unfold", unfold)\n### BEGIN HIDDEN TESTS\n')
    assert "| [1. Small](notebooks/01_small/01_small.ipynb) | 5 | 1 of 5 | 1 | 2 |" in (
        (root / "README.md").read_text()
    )


def test_two_builds_are_byte_identical_and_check_finds_nothing(built, tmp_path):
    root, _ = built
    write(tmp_path, GOOD)
    (tmp_path / "README.md").write_text("x\n<!-- chapters -->\n<!-- /chapters -->\ny\n")
    build.build(tmp_path)
    one, two = ({path.relative_to(base): text for path, text in contents(base).items()}
                for base in (root, tmp_path))  # fmt: skip
    assert one == two
    assert build.build(root, check=True) == []


def test_one_chapter_is_built_anew_and_the_others_stay(built, tmp_path, capsys):
    root = tmp_path / "two"
    shutil.copytree(built[0], root)
    second = GOOD.replace("unfold(x, mode)", "fiber(x, mode, index)").replace("unfold", "fiber")
    second = second.replace(
        "movedim(mode, 0).reshape(x.shape[mode], -1)", "movedim(mode, -1)[index]"
    )
    write(root, second.replace("1. Small", "2. Small"), "02_small")
    broken = root / "solutions/01_small/01_small.py"
    broken.write_text(GOOD.replace("x.movedim(mode, 0)", "x.transpose(0, mode)"))
    before = (root / "notebooks/01_small/01_small.ipynb").read_text()
    build.build(root, only=["02_small"])
    assert (root / "notebooks/02_small/02_small.ipynb").exists()
    assert (root / "notebooks/01_small/01_small.ipynb").read_text() == before
    with pytest.raises(ValueError, match="no chapter is called 03_none; there are 01_small, 02_s"):
        build.build(root, only=["03_none"])


@pytest.fixture
def copy(built, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(built[0], root)
    return root


def test_check_tells_an_edited_and_a_stray_notebook_and_changes_nothing(copy):
    path = copy / "notebooks/01_small/01_small.ipynb"
    path.write_text(path.read_text("utf-8") + " ", encoding="utf-8")
    (copy / "notebooks/02_gone").mkdir()
    shutil.copy(path, copy / "notebooks/02_gone/02_gone.ipynb")
    before = contents(copy)
    assert build.build(copy, check=True) == [
        "notebooks/01_small/01_small.ipynb differs from its master",
        "notebooks/02_gone/02_gone.ipynb has no master",
    ]
    assert contents(copy) == before


def test_build_keeps_a_notebook_that_somebody_worked_in(copy):
    path = copy / "notebooks/01_small/01_small.ipynb"
    work = path.read_text("utf-8").replace("raise NotImplementedError", "return x  # my work")
    path.write_text(work, encoding="utf-8")
    said = build.build(copy)
    assert "had work in it: kept as build/kept/01_small-" in said[0]
    kept = list((copy / "build/kept").glob("*.ipynb"))
    assert [file.read_text("utf-8") for file in kept] == [work]
    assert "my work" not in path.read_text("utf-8")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("x.movedim(mode, 0)", "x.transpose(0, mode)", "the solution fails check='unfold'"),
        ("from trlkit.course import check", "from trlkit.course import check\n1 / 0",
         "the cell raises ZeroDivisionError"),
        ("    ### BEGIN", "    return x.movedim(mode, 0).reshape(x.shape[mode], -1)\n    ### BEGIN",
         "the blank notebook passes check='unfold'"),
    ],
)  # fmt: skip
def test_failed_build_leaves_the_old_notebooks(copy, old, new, message):
    before = contents(copy)
    write(copy, GOOD.replace(old, new))
    with pytest.raises(masters.BuildError) as caught:
        build.build(copy)
    assert message in str(caught.value)
    assert contents(copy) == before


REPORT = """
# %% [markdown] lock="report_task"
# ## 1.2 Report { minutes: 9, difficulty: 2 }
#
# Say what you chose.
#
# ### BEGIN MARK SCHEME
# Two marks for a number of their own.
# ### END MARK SCHEME

# %% [markdown] manual="report" points=4
# ### BEGIN SOLUTION
# I chose rank 8.
# ### END SOLUTION
"""


def test_a_report_is_graded_by_hand_and_its_mark_scheme_is_not_released(tmp_path):
    write(tmp_path, GOOD + REPORT)
    (tmp_path / "README.md").write_text("<!-- chapters -->\n<!-- /chapters -->\n")
    build.build(tmp_path)
    source, release = (
        json.loads((tmp_path / folder / "01_small/01_small.ipynb").read_text())["cells"][-2:]
        for folder in ("solutions", "notebooks")
    )
    assert "MARK SCHEME" in str(source) and "rank 8" in str(source)
    task, answer = ("".join(cell["source"]) for cell in release)
    assert "difficulty 2 of 5, about 9 minutes, 4 points" in task and "marks for" not in task
    assert answer == "YOUR ANSWER HERE"
    marks = release[1]["metadata"]["nbgrader"]
    assert (marks["grade"], marks["solution"], marks["locked"]) == (True, True, False)
    assert (marks["grade_id"], marks["points"]) == ("report", 4)
    (chapter,) = manifest.read((tmp_path / "trlkit/course/chapters/course.json").read_text())
    assert (chapter.points, chapter.by_hand) == (2, 4)
    assert "| 2 and 4 by hand |" in (tmp_path / "README.md").read_text()


def test_course_table_names_every_exercise(built):
    table = json.loads((built[0] / "trlkit/course/chapters/course.json").read_text())["chapters"]
    (chapter,) = table
    assert (chapter["name"], chapter["minutes"], chapter["difficulty"]) == ("01_small", 5, 1)
    (item,) = chapter["exercises"]
    assert (item["name"], item["title"], item["points"]) == ("unfold", "1.1 Unfold", 2)
