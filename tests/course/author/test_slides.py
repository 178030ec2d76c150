import subprocess

import pytest

from trlkit.course.author import slides

pytest.importorskip("sphinx_revealjs")


@pytest.fixture
def root(tmp_path):
    for name in ("slides/00.md", "trlkit/ranks.py", "results/cpu.csv", "constraints.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("one", encoding="utf-8")
    return tmp_path


@pytest.fixture
def builds(monkeypatch):
    """Each command that would have run."""
    found = []
    monkeypatch.setattr(subprocess, "run", lambda command, **options: found.append(command))
    return found


def test_decks_of_the_same_files_stay(root, builds):
    assert slides.build(root) == slides.build(root) == root / "build/slides/html"
    assert len(builds) == 1


@pytest.mark.parametrize("name", ["slides/00.md", "trlkit/ranks.py", "results/cpu.csv"])
def test_decks_of_other_files_are_built_anew(root, builds, name):
    slides.build(root)
    (root / name).write_text("two", encoding="utf-8")
    slides.build(root)
    assert len(builds) == 2


def test_what_a_failed_build_left_is_not_taken(root, builds, monkeypatch):
    def fails(command, **options):
        raise subprocess.CalledProcessError(1, command)

    with monkeypatch.context() as patch, pytest.raises(subprocess.CalledProcessError):
        patch.setattr(subprocess, "run", fails)
        slides.build(root)
    slides.build(root)
    assert len(builds) == 1
