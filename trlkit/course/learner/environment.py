"""Set up the course's virtual environment: ``python3 trlkit/course/learner/environment.py course``.

Run as a program, before anything is installed: it needs the standard library alone,
and says in one line why it cannot go on. A second run finds the work done.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "trlkit.json"
LOG = ROOT / "build" / "setup.log"
OLDEST = (3, 10)
EXTRAS = ("course", "dev")  # each holds the ones before it
NO_NETWORK = (
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "name resolution",
    "Network is unreachable",
    "Could not fetch URL",
    "ProxyError",
    "(from versions: none)",
)


class SetupError(Exception):
    """Why there is no environment, in one line."""


def main(extra):
    """Make the environment with an extra of pyproject.toml, unless it is there already."""
    if extra not in EXTRAS:
        raise SetupError(f"an environment is one of {', '.join(EXTRAS)}, got {extra!r}")
    python = new_enough(sys.version_info[:2], sys.executable)
    wanted = digest()
    if ready(wanted, extra):
        return
    print("Setting up .venv (the first time some minutes and about 6 GB) ...", flush=True)
    LOG.parent.mkdir(exist_ok=True)
    if (
        subprocess.call([str(PYTHON), "-c", ""], stderr=subprocess.DEVNULL)
        if PYTHON.exists()
        else 1
    ):
        run([python, "-m", "venv", "--clear", str(VENV)])
    install = ["install", "--editable", f".[{extra}]", "--constraint", "constraints.txt"]
    run([str(PYTHON), "-m", "pip", "--disable-pip-version-check", *install])
    STAMP.write_text(json.dumps({"digest": wanted, "extra": extra}), encoding="utf-8")


def new_enough(version, executable, which=shutil.which):
    """The Python to use: this one, or a newer one on the path."""
    if version >= OLDEST:
        return executable
    for minor in range(20, OLDEST[1] - 1, -1):
        found = which(f"python3.{minor}")
        if found and works(Path(found)):
            return found
    raise SetupError(
        f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, this is {version[0]}.{version[1]}: "
        "install one, or name it: make PYTHON=..."
    )


def digest():
    """What the environment is made from, as a hash."""
    files = [ROOT / name for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def ready(wanted, extra):
    """Whether the environment is there, whole, and of these files."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    enough = EXTRAS.index(stamp["extra"]) >= EXTRAS.index(extra)
    return enough and stamp["digest"] == wanted and PYTHON.exists()


def works(python):
    """Whether a Python starts: its own base may be gone."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return python.exists() and subprocess.call([str(python), "-c", ""], **quiet) == 0


def run(command):
    """Run a command with its output in the log; one line says why it failed."""
    with LOG.open("w", encoding="utf-8") as log:
        code = subprocess.call(command, cwd=str(ROOT), stdout=log, stderr=subprocess.STDOUT)
    if code:
        raise SetupError(f"{reason(LOG.read_text('utf-8', 'replace'))} (all of it: {LOG})")


def reason(log):
    """Why pip or venv failed, told from its output."""
    if any(sign in log for sign in NO_NETWORK):
        return "the Python package index cannot be reached: is there a network?"
    if "No space left" in log:
        return "the disk is full"
    if "ensurepip" in log:
        return "this Python has no venv: on Debian and Ubuntu, apt install python3-venv"
    errors = [line for line in log.splitlines() if line.startswith("ERROR")]
    return errors[-1] if errors else "the set-up failed"


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "course")
    except SetupError as error:
        sys.exit(f"trlkit: {error}")
    except KeyboardInterrupt:
        sys.exit("trlkit: interrupted; the next run goes on")
