"""What the README shows runs, and its comments are what comes out."""

import re
from pathlib import Path

import pytest
import torch

import trlkit
from trlkit.course.author import badges

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_code_runs_and_its_comments_are_true(block):
    space = {}
    torch.manual_seed(0)
    for line in block.split("\n"):
        exec(line, space)
        code, _, comment = line.partition("  #")
        claim = re.match(r" *(torch\.Size\(.*\)|True)", comment)
        if claim:
            assert str(eval(code, space)) == claim[1]
        counted = re.match(r" *([\d,]+) parameters", comment)
        if counted:
            parameters = sum(p.numel() for p in space["trl"].parameters())
            assert f"{parameters:,}" == counted[1]


def test_the_names_it_lists_exist():
    names = re.findall(r"`(\w+)(?:\([^`]*\))?`", README[README.index("- Layers:") :])
    ours = [name for name in names if name not in ("rank", "p", "LICENSE")]
    assert len(ours) > 12
    assert [name for name in ours if not hasattr(trlkit, name)] == []


def test_badges_say_what_is_true():
    root = Path(__file__).parents[1]
    project = (root / "pyproject.toml").read_text("utf-8")
    said = badges.texts()
    assert f'requires-python = ">={said["python"][1].split()[0]}"' in project
    assert f'license = "{said["license"][1]}"' in project
    for name, svg in badges.draw().items():
        if (root / f"docs/badges/{name}.svg").read_text("utf-8") != svg:
            pytest.fail(f"docs/badges/{name}.svg is out of date: run make picture")
        assert f"![{': '.join(said[name])}](docs/badges/{name}.svg)" in README


def test_commands_and_files_it_names_exist():
    root = Path(__file__).parents[1]
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", (root / "Makefile").read_text(), re.MULTILINE)
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (root / link).exists(), link
