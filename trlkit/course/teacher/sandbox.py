"""The sandbox: a process under bubblewrap that imports torch once and forks for each submission.

Nothing of this machine is in there but Python, its packages and the chapter's part of trlkit,
all read-only: no network, no home, no submission but one's own. See ``teacher/child.py`` for
what a learner's process may do inside, and docs/guide/protection.md for what that protects.
"""

import contextlib
import ctypes
import json
import os
import platform
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from trlkit import layers
from trlkit.course.checking.answer import Lost, Recipe
from trlkit.course.teacher import child, place, trees
from trlkit.course.teacher.peer import Opaque, Peer, RemoteError
from trlkit.course.teacher.scratch import Scratch
from trlkit.course.teacher.wire import Broken, Greedy, Late, Line
from trlkit.dropout import TensorDropout
from trlkit.regression import TRL

START_SECONDS, END_SECONDS = 180.0, 3.0
GRACE = 2.0  # seconds that the grader may be busy after a limit
HIDDEN = ("tensorly", "tltorch", "trlkit", "nbgrader")  # packages that hold answers, or a door
LARGEST = 50_000_000  # numbers in a layer that a submission asks the grader to build


class NoSandbox(RuntimeError):
    """This machine cannot make a sandbox; the text says what to do."""


@dataclass(frozen=True)
class Limits:
    """What one submission's process may use.

    Attributes
    ----------
    memory : int
        In bytes, beyond what Python and torch take.
    disk : int
        In bytes, all files together and each alone.
    seconds : int
        Of CPU time.
    grader : int
        In bytes of memory, what it may take of the grader's process: by what it sends, and by
        what it has the grader's own objects do.
    """

    memory: int = 3_000_000_000
    disk: int = 64_000_000
    seconds: int = 900
    grader: int = 1_000_000_000


class Sandbox:
    """A warm process in a sandbox, and what it forks. Use as a context manager."""

    def __init__(self, limits: Limits | None = None):
        self.limits = limits or Limits()
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the warm process and all that it forked."""
        if self._process is not None:
            self._line.close()  # it ends by itself then
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
            self._folder.close()

    def start(self) -> None:
        """Start the warm process, where it does not run yet."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._folder = Scratch()
        trees.plant(self._folder.path)
        self._line, theirs = socket.socketpair()
        code = "/course/trlkit/course/teacher/child.py"
        paths = ["/course", *_library_paths()]
        program = [sys.executable, "-I", "-S", code, str(theirs.fileno()), json.dumps(paths)]
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [*command(self._folder.path), *program],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
        )
        theirs.close()
        self._line.settimeout(START_SECONDS)
        try:
            answer = json.loads(self._line.recv(1000) or b"{}")
        except (OSError, ValueError):
            answer = {}
        if "ready" not in answer:
            self._process.kill()
            self._errors.seek(0)
            text = self._errors.read().decode(errors="replace").strip()[-2000:]
            self.close()
            raise NoSandbox(f"the sandbox does not start: {text or 'it said nothing'}")
        if answer["threads"] != 1:
            self.close()
            raise NoSandbox(f"{answer['threads']} threads run in the sandbox before it forks")

    def fork(self, chapter: str) -> "Child":
        """A process of its own for one submission."""
        self.start()
        ours, theirs = socket.socketpair()
        control, keeper = socket.socketpair()
        job = {"tree": chapter, **asdict(self.limits)}
        try:
            socket.send_fds(
                self._line, [json.dumps(job).encode()], [theirs.fileno(), keeper.fileno()]
            )
        except OSError as error:
            raise NoSandbox(f"the sandbox is gone ({error.strerror})") from None
        finally:
            theirs.close()
            keeper.close()
        return Child(ours, control, child.data_now() + self.limits.grader, chapter)


@contextlib.contextmanager
def _unrefused() -> Iterator[None]:
    """An exception of the other side, where an honest one raises none, breaks the rules."""
    try:
        yield
    except RemoteError as error:
        raise Broken(f"a refusal: {type(error).__name__}") from None


@contextlib.contextmanager
def _interrupted(seconds: float) -> Iterator[None]:
    """Raise :class:`Late` here where this process, asked by a child, is busy for too long."""
    seconds = max(0.1, seconds)
    if threading.current_thread() is threading.main_thread():
        waiting = _by_signal(seconds)
    else:
        waiting = _by_thread(seconds)
    with waiting:
        yield


@contextlib.contextmanager
def _by_signal(seconds: float) -> Iterator[None]:
    def late(*received: object) -> None:
        raise Late

    handler = signal.signal(signal.SIGALRM, late)
    before, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, before)
        signal.signal(signal.SIGALRM, handler)


@contextlib.contextmanager
def _by_thread(seconds: float) -> Iterator[None]:
    """The same in a thread that gets no signals, such as a cluster's worker has."""
    own = ctypes.c_ulong(threading.get_ident())
    throw = ctypes.pythonapi.PyThreadState_SetAsyncExc
    timer = threading.Timer(seconds, throw, (own, ctypes.py_object(Late)))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        throw(own, None)  # where it came too late


@contextlib.contextmanager
def _bounded(most: int) -> Iterator[None]:
    """Let this process have no more than so many bytes of data; beyond it is :class:`Greedy`."""
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_least(most, before, hard), hard))
    try:
        yield
    except MemoryError:
        raise Greedy("it takes more memory of the grader than it is given") from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def _least(*limits: int) -> int:
    return min(limit for limit in limits if limit != resource.RLIM_INFINITY)


def command(folder: Path) -> list[str]:
    """The command line of bubblewrap around the warm process; ``folder`` holds the trees."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise NoSandbox(missing())
    words = [bwrap, "--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534"]
    words += ["--hostname", "sandbox", "--cap-drop", "ALL"]
    words += ["--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETPCAP"]
    words += ["--die-with-parent", "--new-session", "--clearenv"]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        words += ["--setenv", name, "1"]
    words += ["--setenv", "PYTHONDONTWRITEBYTECODE", "1", "--setenv", "TMPDIR", child.SCRATCH]
    words += ["--setenv", "MPLBACKEND", "agg", "--setenv", "PYTHONHASHSEED", "0"]
    for path in ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache"):
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            words += ["--ro-bind", path, path]
    for path in dict.fromkeys((sys.base_prefix, sys.prefix)):
        if not path.startswith("/usr/") and path != "/usr":
            words += ["--ro-bind", path, path]
    for package in _hidden():
        words += ["--tmpfs", package]
    words += ["--proc", "/proc", "--dev", "/dev"]
    words += ["--dir", child.WORK, "--tmpfs", child.SCRATCH, "--chdir", "/"]
    words += ["--ro-bind", str(folder / "base"), "/course", "--ro-bind", str(folder), "/trees"]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--"]


def _hidden() -> list[str]:
    """The folders of HIDDEN packages, also of the Python that an environment was made from."""
    whole = {"base": sys.base_prefix, "platbase": sys.base_prefix}
    libraries = [sysconfig.get_path(n, vars=v) for n in ("purelib", "platlib") for v in (whole, {})]
    found = [os.path.join(path, name) for path in dict.fromkeys(libraries) for name in HIDDEN]
    return [path for path in found if os.path.isdir(path)]


def _library_paths() -> list[str]:
    """Where Python's standard library and its packages lie."""
    standard = [path for path in sys.path if path.startswith(sys.base_prefix)]
    packages = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    found = [*standard, *packages]
    if sys.prefix != sys.base_prefix:  # not the packages of the Python that the venv came from
        found = [p for p in found if "site-packages" not in p or p.startswith(sys.prefix)]
    return list(dict.fromkeys(found))


def missing() -> str:
    """Why there is no sandbox here, and what to do."""
    return place.elsewhere() or (
        "bubblewrap is not installed: apt install bubblewrap (Debian, Ubuntu), dnf install "
        "bubblewrap (Fedora), pacman -S bubblewrap (Arch)"
    )


def probe() -> None:
    """Try whether this machine lets bubblewrap do what grading needs.

    Raises
    ------
    NoSandbox
        If not, with what is missing and the mend.
    """
    bwrap = shutil.which("bwrap")
    if platform.system() != "Linux" or bwrap is None:
        raise NoSandbox(missing())
    if platform.machine() not in child.ARCHITECTURE:
        raise NoSandbox(
            f"no filter of system calls is written for {platform.machine()}: "
            f"there is one for {' and '.join(child.ARCHITECTURE)}"
        )
    words = [bwrap, "--unshare-all", "--unshare-user", "--cap-add", "CAP_SYS_ADMIN"]
    words += ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", "/bin/sh", "-c"]
    inner = "unshare --mount --pid --fork true" if shutil.which("unshare") else "true"
    tried = subprocess.run([*words, inner], capture_output=True, text=True)
    if tried.returncode != 0:
        said = tried.stderr.strip().split("\n")[-1][:300]
        raise NoSandbox(
            f"bubblewrap is here, but this machine does not let it make a sandbox: {said}\n"
            "In a container, allow user namespaces (docker run --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined, or a "
            "virtual machine); on Ubuntu 24.04 and later, sysctl "
            "kernel.apparmor_restrict_unprivileged_userns=0; where user namespaces are off, "
            "sysctl kernel.unprivileged_userns_clone=1 and user.max_user_namespaces=10000"
        )


class Child:
    """One submission's process, as the grader holds it, with ``most`` bytes of data of its own.

    A layer of trlkit is built here where the chapter's answers may use trlkit's; elsewhere it is
    what they are to write, and runs there.
    """

    def __init__(self, talk: socket.socket, control: socket.socket, most: int, chapter: str):
        self._talk, self._control, self._most = talk, control, most
        build = built if "layers.py" in trees.ALLOWED.get(chapter, ()) else lambda *said: None
        self.line = Line(talk)
        self.peer = Peer(self.line, trusting=False, build=build, refresh=refreshed)
        self.ended: dict | None = None

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def _ask(self, kind: str, value: Any, fresh: bool = False) -> Any:
        """Ask for what an honest child never refuses."""
        with _unrefused():
            return self.peer.request(kind, value, fresh)

    @contextlib.contextmanager
    def within(self, seconds: float):
        """Give what is asked inside so many seconds; then it is :class:`Late`.

        It must not take more memory here than it is given, either: then it is :class:`Greedy`.
        """
        before = self.line.until
        until = time.monotonic() + seconds
        self.line.until = until if before is None else min(before, until)
        waiting = _interrupted(self.line.until - time.monotonic() + GRACE)
        with _bounded(self._most), waiting:
            try:
                yield
            finally:
                self.line.until = before

    def file(self, name: str, data: bytes) -> None:
        """Put one of the submission's own files beside the notebook."""
        import torch

        self._ask("file", [name, torch.frombuffer(bytearray(data), dtype=torch.uint8)])

    def run(self, source: str) -> tuple[str, str]:
        """Run a cell: its error in a line, or nothing, and what it printed."""
        found = self._ask("cell", source)
        if (
            not isinstance(found, tuple)
            or len(found) != 2
            or not all(isinstance(text, str) for text in found)
        ):
            raise Broken("a cell gave no result")
        return found

    def begin(self, name: str, pieces: Mapping[str, Any]) -> tuple[str, Any]:
        """Look at what a name stands for: "missing", "callable" or a "value", and it.

        All that was lent before is dropped. The pieces take the place of the learner's functions
        of their names until the next beginning.
        """
        found = self._ask("begin", [name, dict(pieces)], fresh=True)
        if not isinstance(found, tuple) or len(found) != 2:
            raise Broken("a name stands for nothing")
        if found[0] not in ("missing", "callable", "value"):
            raise Broken("a name stands for nothing")
        return found

    def make(self, recipe: Recipe) -> Any:
        """What a recipe builds there; a module is built here too, and kept like it."""
        made = recipe.build()
        if recipe.lent:
            return made
        value = [recipe.builder.__module__, recipe.builder.__name__, recipe.args]
        with _unrefused():
            there = self.peer.make(value, made)
        if isinstance(there, Opaque):
            there.here = made
        return there

    def end(self) -> dict:
        """End the process, and say how it ended: its status, why, and its peak of memory."""
        if self.ended is None:
            with contextlib.suppress(OSError):
                self._control.sendall(b"end\n")
            self.ended = self._last_words(10.0)
            self._talk.close()
            self._control.close()
        return self.ended

    def fate(self) -> dict:
        """How a process ended that is lost; it is given a moment to be found dead."""
        if self.ended is None:
            said = self._last_words(1.0)
            if not said:
                return self.end()
            self.ended = said
            self._talk.close()
            self._control.close()
        return self.ended

    def _last_words(self, seconds: float) -> dict:
        ready, _, _ = select.select([self._control], [], [], seconds)
        try:
            return json.loads(self._control.recv(1000)) if ready else {}
        except (OSError, ValueError):
            return {}


def explained(lost: Lost, fate: dict, seconds: float) -> str:
    """Why a learner's process was lost, for the learner."""
    if fate.get("why") == "memory":
        return "it used more memory than it is given"
    if fate.get("why") == "threads":
        return "it started more threads than it is given"
    if isinstance(lost, Greedy):
        return str(lost)
    if isinstance(lost, Late):
        return f"it took longer than {seconds:g} s"
    status = fate.get("status")
    if isinstance(status, int) and fate.get("why") == "":
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            with contextlib.suppress(ValueError):
                return f"it ended Python ({signal.Signals(number).name})"
        if os.WIFEXITED(status):
            return f"it ended Python (exit code {os.WEXITSTATUS(status)})"
    return f"what came of it cannot be read ({lost})"


def refreshed(module: nn.Module, config: dict) -> None:
    """Give a layer of trlkit the dropout that a submission says it has by now."""
    if not isinstance(module, TRL):
        return
    try:
        dropout = _dropout(config)
        if module.dropout != dropout:
            module.dropout = dropout
    except (KeyError, TypeError, ValueError):
        raise Broken("no dropout of a layer") from None


def _dropout(config: dict) -> TensorDropout:
    p, modes, per_sample, drop_test = config["dropout"]
    return TensorDropout(p, modes and tuple(modes), bool(per_sample), bool(drop_test))


def built(kind: str, config: dict) -> nn.Module | None:
    """A layer of trlkit as a submission describes one, or None where it is none."""
    cls = {"CPTRL": layers.CPTRL, "TuckerTRL": layers.TuckerTRL, "TTTRL": layers.TTTRL}.get(kind)
    if cls is None:
        return None
    try:
        dropout = _dropout(config)
        rank = config["rank"]
        rank = tuple(rank) if isinstance(rank, list) else rank
        sizes = config["input_shape"], config["output_shape"]
        layer = cls(*map(tuple, sizes), rank, bool(config["bias"]), dropout, device="meta")
        if sum(parameter.numel() for parameter in layer.parameters()) > LARGEST:
            return None
        return layer
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError):
        return None
