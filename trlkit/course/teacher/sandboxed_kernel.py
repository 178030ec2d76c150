"""A kernel for `nbgrader autograde` that runs in a sandbox, by bubblewrap.

What its cells can see: the system and Python, read-only; a copy of the submission's folder, in
memory; the sockets that lead to nbgrader. No network, no other file, no other process.

Jupyter runs this file by its path, as :func:`write_kernelspec` tells it, in the submission's
folder; it imports nothing of trlkit, and becomes the kernel.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
ETC = ("alternatives", "fonts", "group", "ld.so.cache", "localtime", "nsswitch.conf", "passwd")
KEPT = ("LANG", "LC_ALL", "NBGRADER_EXECUTION", "OMP_NUM_THREADS", "PATH", "PYTHONPATH", "TZ")
FOLDER_BYTES, TMP_BYTES, FILE_BYTES = 500_000_000, 1_000_000_000, 1_000_000_000
ALONE = ("--unshare-all", "--die-with-parent", "--as-pid-1", "--cap-drop", "ALL", "--clearenv")
SILENT = ("sh", "-c", 'exec "$@" >/dev/null 2>&1', "sh")  # no way to the teacher's terminal
HOME = "/tmp"


def write_kernelspec(data: Path, name: str) -> None:
    """Write the kernelspec into a folder of Jupyter's data, one of those in JUPYTER_PATH."""
    content = {
        "argv": [sys.executable, str(Path(__file__).resolve()), "{connection_file}"],
        "display_name": "Python in a sandbox, for grading",
        "language": "python",
    }
    path = data / "kernels" / name / "kernel.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def probe() -> None:
    """Try a sandbox.

    Raises
    ------
    RuntimeError
        If there can be none here; it says how to mend that.
    """
    if shutil.which("bwrap") is None:
        raise RuntimeError(
            "the sandbox needs bubblewrap, and there is no bwrap on the PATH: install it "
            "(apt install bubblewrap, dnf install bubblewrap; Linux only)"
        )
    command = ["bwrap", *ALONE, *_system(), "--proc", "/proc", "--dev", "/dev", "true"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"bubblewrap cannot make a sandbox here ({done.stderr.strip()}): user namespaces are "
            "off (sysctl kernel.unprivileged_userns_clone or user.max_user_namespaces, AppArmor), "
            "or a container forbids them (allow them to it, or grade outside)"
        )


def command(connection_file: Path, folder: Path) -> Iterator[str]:
    """The words of bwrap's call, up to the kernel's own.

    Parameters
    ----------
    connection_file : Path
        As Jupyter wrote it, for ipc: its sockets are in a folder of their own.
    folder : Path
        The submission's, whose regular files are copied.
    """
    sockets = Path(json.loads(connection_file.read_text(encoding="utf-8"))["ip"]).parent
    yield from ("bwrap", *ALONE, "--proc", "/proc", "--dev", "/dev")
    yield from ("--size", str(TMP_BYTES), "--tmpfs", HOME, *_system(), *_python(folder))
    yield from ("--bind", str(sockets), str(sockets))
    yield from ("--ro-bind", str(connection_file), str(connection_file))
    yield from ("--size", str(FOLDER_BYTES), "--tmpfs", str(folder), *_copies(folder))
    yield from ("--remount-ro", "/")
    for name in KEPT:
        yield from ("--setenv", name, os.environ[name]) if name in os.environ else ()
    yield from ("--setenv", "HOME", HOME, "--setenv", "MPLBACKEND", "agg", "--chdir", str(folder))


def _system() -> Iterator[str]:
    for path in (*SYSTEM, *(f"/etc/{name}" for name in ETC)):
        yield from ("--ro-bind-try", path, path)


def _python(folder: Path) -> Iterator[str]:
    """Python, its packages and trlkit, but no folder that holds the course or a checkout of it."""
    package = Path(find_spec("trlkit").origin).parent
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parents[1]}
    found |= {Path(entry) for entry in sys.path[1:] if Path(entry).is_dir()}
    found -= {Path("/"), *folder.parents}
    if package.parent.name not in ("site-packages", "dist-packages"):
        found.discard(package.parent)
    for path in sorted(found | {package}):
        yield from ("--ro-bind", str(path), str(path))


def _copies(folder: Path) -> Iterator[str]:
    """Copies of the regular files; a link could lead anywhere."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            os.set_inheritable(file, True)
            yield from ("--file", str(file), str(path))


def main(connection_file: str, *more: str) -> None:
    """Become the kernel."""
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    file = Path(connection_file).resolve()
    kernel = (sys.executable, "-m", "ipykernel_launcher", "-f", str(file))
    quiet = "--HistoryManager.enabled=False"
    words = (*command(file, Path.cwd()), "--", *SILENT, *kernel, quiet, *more)
    os.execvp("bwrap", words)


if __name__ == "__main__":
    main(*sys.argv[1:])
