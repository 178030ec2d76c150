"""Open the course in JupyterLab."""

import os
import socket
import subprocess
import sys
from pathlib import Path

FIRST_PORT = 8888


def find_notebooks() -> Path | None:
    """The folder with the learners' notebooks: here, above, or where trlkit's source lies."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).parents[3]):
        if list((folder / "notebooks").glob("[0-9][0-9]_*/*.ipynb")):
            return folder / "notebooks"
    return None


def start(chapter: str, port: int | None, browser: bool = True) -> int:
    """Run JupyterLab on a chapter until it is closed; say in one line why it cannot."""
    folder = find_notebooks()
    if folder is None:
        return _no("no notebooks here: run it in the folder of the course")
    names = sorted(path.parent.name for path in folder.glob("[0-9][0-9]_*/*.ipynb"))
    matches = [name for name in names if chapter in (name, name[:2], name[3:])]
    if not matches:
        return _no(f"no chapter is called {chapter!r}; there are {', '.join(names)}")
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        return _no('JupyterLab is not installed: pip install -e ".[course]"')
    if port is not None and not _free(port):
        return _no(f"port {port} is taken, perhaps by another JupyterLab: name another one")
    if port is None:
        port = next((p for p in range(FIRST_PORT, FIRST_PORT + 50) if _free(p)), None)
        if port is None:
            return _no(
                f"the ports {FIRST_PORT} to {FIRST_PORT + 49} are all taken: name a free one"
            )
        if port != FIRST_PORT:
            print(f"trlkit lab: port {FIRST_PORT} is taken, so this one is on {port}")
    path = f"{folder.name}/{matches[0]}/{matches[0]}.ipynb"
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={folder.parent}",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--LabApp.default_url=/lab/tree/{path}",
    ]
    if os.name != "nt":
        # A login shell, which its terminals are without a word, would set the path anew.
        shell = os.environ.get("SHELL", "/bin/sh")
        command.append(f"--ServerApp.terminado_settings=shell_command=['{shell}']")
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    try:
        return subprocess.run(command, cwd=folder.parent, env=surroundings()).returncode
    except KeyboardInterrupt:
        return 0


def surroundings() -> dict[str, str]:
    """The variables JupyterLab runs with: this environment's programs, and our few settings."""
    settings = Path(__file__).with_name("jupyter")
    before = {
        "PATH": str(Path(sys.executable).parent),
        "JUPYTER_CONFIG_PATH": str(settings),
    }
    joined = {
        name: os.pathsep.join(filter(None, (first, os.environ.get(name))))
        for name, first in before.items()
    }
    kept = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    return kept | joined  # a backend set from outside would hide the notebooks' pictures


def _free(port: int) -> bool:
    with socket.socket() as trial:
        if os.name != "nt":  # there it would allow a second owner
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _no(why: str) -> int:
    print(f"trlkit lab: {why}", file=sys.stderr)
    return 2
