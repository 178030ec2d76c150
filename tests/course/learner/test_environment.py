"""Setting up: the files agree with each other, and what goes wrong is one line."""

import ast
import os
import re
import shutil
import socket
import subprocess
import sys
from importlib import metadata

import pytest
import yaml
from filled import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from trlkit import cli
from trlkit.course.learner import doctor, environment, lab


def asked(extra):
    lines = metadata.requires("trlkit")
    requirements = [Requirement(line) for line in lines]
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": extra})]


@pytest.mark.parametrize("extra", ["course", "dev"])
def test_every_asked_package_has_a_pin_that_fits(extra):
    pins = doctor.pinned()
    for requirement in asked(extra):
        if requirement.name != "trlkit":
            name = canonicalize_name(requirement.name)
            assert pins[name] in requirement.specifier, name


def test_the_pins_are_what_is_tested_here():
    for name, version in doctor.pinned().items():
        try:
            found = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            continue  # only another platform or Python asks for it
        assert found == version, name


def test_pins_hold_no_address_and_no_path():
    text = (ROOT / "constraints.txt").read_text()
    assert not re.search(r"://|@|/|\\", text.split("\n", 1)[1])


def test_conda_users_get_the_same():
    wanted = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert [entry for entry in wanted if isinstance(entry, str)] == ["python=3.11", "pip"]
    (pip,) = [entry["pip"] for entry in wanted if isinstance(entry, dict)]
    assert pip == ["--constraint constraints.txt", "--editable .[course]"]
    oldest = metadata.metadata("trlkit")["Requires-Python"]
    assert oldest == ">=3.10" and environment.OLDEST == (3, 10)


@pytest.fixture
def project(tmp_path):
    """The files that a set-up needs, in a folder of their own."""
    for name in ("pyproject.toml", "constraints.txt", "Makefile", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "trlkit/course/learner").mkdir(parents=True)
    shutil.copy(ROOT / "trlkit/course/learner/environment.py", tmp_path / "trlkit/course/learner")
    return tmp_path


def make(project, target, **env):
    command = ["make", "-s", target, f"PYTHON={sys.executable}"]
    env = {**os.environ, **env}
    return subprocess.run(command, cwd=project, capture_output=True, text=True, env=env)


def test_without_network_make_says_so_in_one_line(project):
    env = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE":
           os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}  # fmt: skip
    done = make(project, "lab", **env)
    assert done.returncode
    first = done.stderr.strip().split("\n")[0]
    assert first.startswith(
        "trlkit: the Python package index cannot be reached: is there a network? (all of it: "
    )
    assert "Traceback" not in done.stderr
    assert not (project / ".venv/trlkit.json").exists()


def test_a_second_run_installs_nothing(project):
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").symlink_to(sys.executable)
    (project / ".venv/bin/trlkit").write_text("#!/bin/sh\necho opened $@\n")
    (project / ".venv/bin/trlkit").chmod(0o755)
    stamp = "import environment as e, json; e.STAMP.write_text(json.dumps(dict(digest=e.digest(), "
    command = [sys.executable, "-c", stamp + "extra='dev')))"]
    subprocess.run(command, cwd=project / "trlkit/course/learner", check=True)
    done = make(project, "lab", PORT="9999", CHAPTER="01")
    assert (done.returncode, done.stdout) == (0, "opened lab 01 --port 9999\n")
    assert not (project / "build/setup.log").exists()  # nothing was installed


def test_a_change_of_what_is_asked_for_is_noticed(project, monkeypatch):
    for name in ("ROOT", "STAMP", "PYTHON"):
        place = {"ROOT": project, "STAMP": project / "stamp", "PYTHON": project / "README.md"}[name]
        monkeypatch.setattr(environment, name, place)
    wanted = environment.digest()
    assert not environment.ready(wanted, "course")
    environment.STAMP.write_text(f'{{"digest": "{wanted}", "extra": "course"}}')
    assert environment.ready(wanted, "course")
    assert not environment.ready(wanted, "dev")
    (project / "constraints.txt").write_text("# changed\n")
    assert not environment.ready(environment.digest(), "course")


def test_an_old_python_looks_for_a_newer_one_and_says_what_it_needs(tmp_path):
    broken = tmp_path / "python3.13"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    path = {"python3.13": str(broken), "python3.12": sys.executable}
    assert environment.new_enough((3, 8), "old", path.get) == sys.executable
    assert environment.new_enough((3, 10), "this", {}.get) == "this"
    needed = r"Python 3.10 or newer is needed, this is 3.8: install one, or name it: make PYTHON="
    with pytest.raises(environment.SetupError, match=needed):
        environment.new_enough((3, 8), "old", {}.get)


def test_the_setup_script_is_read_by_an_old_python_too():
    source = (ROOT / "trlkit/course/learner/environment.py").read_text()
    ast.parse(source, feature_version=(3, 7))


@pytest.mark.parametrize(
    "log, why",
    [
        ("WARNING: Retrying ... NewConnectionError(...)", "the Python package index cannot be"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("because ensurepip is not available", "apt install python3-venv"),
        ("x\nERROR: Cannot install a and b\nmore", "ERROR: Cannot install a and b"),
        ("ERROR: no version of x (from versions: none)", "the Python package index cannot be"),
        ("", "the set-up failed"),
    ],
)
def test_reasons_are_told_in_words(log, why):
    assert why in environment.reason(log)


def test_an_unknown_extra_is_refused():
    with pytest.raises(environment.SetupError, match="one of course, dev, got 'all'"):
        environment.main("all")


def test_doctor_finds_this_environment_ready(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "[OK] torch computes" in out and out.endswith("ready\n")


def test_doctor_names_what_is_missing_and_other_versions(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "requirements", lambda extra: ["no-such-package", "tqdm"])
    monkeypatch.setattr(doctor, "pinned", lambda: {"tqdm": "0.0.1"})
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert '[FAIL] no-such-package is missing: pip install -e ".[course]"' in out
    assert "[NOTE] tqdm" in out and "tested with 0.0.1" in out
    assert cli.main(["doctor", "--strict"]) == 1
    assert "[FAIL] tqdm" in capsys.readouterr().out


def test_lab_says_in_one_line_why_it_cannot_start(capsys, monkeypatch, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["lab", "--port", str(port), "--no-browser"]) == 2
    assert f"port {port} is taken" in capsys.readouterr().err
    assert cli.main(["lab", "99_nothing"]) == 2
    err = capsys.readouterr().err
    assert "no chapter is called '99_nothing'; there are 00_welcome" in err
    monkeypatch.setattr(lab, "find_notebooks", lambda: None)
    assert cli.main(["lab"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_importing_trlkit_needs_torch_alone():
    code = (
        "import torch, sys; before = set(sys.modules); import trlkit;"
        "print(*(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert {name.split(".")[0] for name in loaded} <= {"trlkit"} | set(sys.stdlib_module_names)
    assert not any(re.match(r"trlkit\.(course|lab|bench)\b", name) for name in loaded)
