"""Temporary folders of killed processes are removed, and no others."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from trlkit.course.teacher import scratch

pytestmark = pytest.mark.skipif(scratch.fcntl is None, reason="locks of POSIX")
HOLD = (
    "import sys; from trlkit.course.teacher.scratch import Scratch\n"
    "made = Scratch(); (made.path / 'in it').touch()\n"
    "print(made.path, flush=True); sys.stdin.read()"
)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A place of its own for temporary folders, which are locked as soon as they are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "YOUNG", -1.0)
    return tmp_path


def holder(place):
    """A process that uses a folder, and the folder."""
    environment = {**os.environ, "TMPDIR": str(place)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLD], env=environment, **pipes)
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed_by_the_next(place):
    process, folder = holder(place)
    assert (folder / "in it").exists() and folder.parent == place
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert folder.exists()
    with scratch.Scratch() as own:
        assert list(place.iterdir()) == [own]
    assert not list(place.iterdir())


def test_what_a_process_uses_stays(place):
    process, folder = holder(place)
    with scratch.Scratch() as own:
        assert set(place.iterdir()) == {own, folder}
        scratch.sweep()
        assert set(place.iterdir()) == {own, folder}
    process.communicate("")
    assert process.returncode == 0


def test_what_is_young_or_no_folder_of_ours_stays(place, monkeypatch):
    named = f"{scratch.PREFIX}file", f"{scratch.PREFIX}link", "another"
    (place / named[0]).touch()
    (place / named[2]).mkdir()
    (place / named[1]).symlink_to(place / named[2])
    (place / f"{scratch.PREFIX}new").mkdir()
    monkeypatch.setattr(scratch, "YOUNG", 3600.0)
    scratch.sweep()
    assert {path.name for path in place.iterdir()} == {*named, f"{scratch.PREFIX}new"}
    monkeypatch.setattr(scratch, "YOUNG", -1.0)
    scratch.sweep()
    assert {path.name for path in place.iterdir()} == set(named)
