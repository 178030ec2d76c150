"""The outputs of the solution notebooks: each run once, without a network, and kept."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from filelock import FileLock
from nbclient import NotebookClient

from trlkit.course import aside
from trlkit.course.checking import waiting

OFFLINE = """\
import socket

def cut(*args, **kwargs):
    raise OSError("a chapter runs without a network, and this cell asks for one")

socket.socket.connect = socket.socket.connect_ex = cut
socket.getaddrinfo = socket.create_connection = cut
"""
CELL_SECONDS = 300


def executed(root: Path, name: str) -> nbformat.NotebookNode:
    """A chapter's solution notebook with its outputs, from ``build/executed`` or run now.

    Parameters
    ----------
    root : Path
        The course. What is kept is found again by the content of the notebook, of trlkit and of
        constraints.txt, the versions that the course is tested with.
    name : str
        The chapter.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises: a check that fails, a connection that is asked for.
    """
    path = root / "solutions" / name / f"{name}.ipynb"
    files = [path, root / "constraints.txt", *sorted(root.glob("trlkit/**/*.py"))]
    kept = root / "build/executed" / f"{name}-{aside.digest(files)}.ipynb"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            aside.write(kept, nbformat.writes(run(path, kept.parent)).encode())
    return nbformat.read(kept, as_version=4)


def run(path: Path, aside: Path) -> nbformat.NotebookNode:
    """A notebook with the outputs of its cells, run in a kernel that reaches no network.

    It runs in an empty folder, so that what its cells write, such as a learner's tries, never
    lies among the sources. ``aside`` is a folder for what the kernel loads first.
    """
    offline = aside / "offline"
    offline.mkdir(exist_ok=True)
    (offline / "sitecustomize.py").write_text(OFFLINE, encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    places = filter(None, [str(offline), environment.get("PYTHONPATH", "")])
    environment["PYTHONPATH"] = os.pathsep.join(places)
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=CELL_SECONDS, resources=resources)
        client.execute(env=environment)
    for cell in notebook.cells:
        if "outputs" in cell:  # what said how long a check took is blank by now
            cell.outputs = [out for out in cell.outputs if out.get("data") != waiting.BLANK]
    return notebook
