"""What runs in the sandbox: a warm process that forks one for each submission.

``python child.py SOCKET`` imports torch once and then waits. For each submission it forks
twice: a keeper, which watches and ends what goes too far, and the process that runs the cells,
alone in its own namespaces, on a file system of its own, without the right to make another
process. Nothing in here decides anything: what comes out are values, which the grader judges.
"""

import array
import builtins
import contextlib
import ctypes
import ctypes.util
import importlib
import importlib.abc
import importlib.machinery
import io
import json
import linecache
import os
import platform
import resource
import signal
import socket
import struct
import sys
import time
import traceback
import types
from collections.abc import Callable
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWPID, CLONE_NEWNET, CLONE_THREAD = 0x20000000, 0x40000000, 0x10000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 24, 22, 38
POLL = 0.02  # seconds between two looks of a keeper
THREADS = 64
PRINTED = 2000
WORK, SCRATCH = "/notebook", "/scratch"

# What a learner's process may not ask of the kernel: new processes and programs, other name
# spaces, mounts, other processes' memory, networks, and the kernel's larger doors.
FORBIDDEN = {
    "x86_64": (
        *(57, 58, 59, 322, 435),  # fork, vfork, execve, execveat, clone3
        *(165, 166, 155, 272, 308, 428, 429, 430, 431, 432, 433, 442),  # mounts, namespaces
        *(101, 310, 311, 312, 321, 298, 323, 246, 320, 175, 313, 176),  # ptrace ... modules
        *(41, 53, 425, 426, 427, 248, 249, 250, 167, 168, 169, 161, 163),  # sockets, io_uring
        *(319, 447, 29, 68),  # memory that belongs to no process: memfd, shmget, msgget
    ),
    "aarch64": (
        *(221, 281, 435),  # execve, execveat, clone3
        *(39, 40, 41, 97, 268, 428, 429, 430, 431, 432, 433, 442),
        *(117, 270, 271, 272, 280, 241, 282, 104, 294, 105, 273, 106),
        *(198, 199, 425, 426, 427, 217, 218, 219, 224, 225, 142, 51, 89),
        *(279, 447, 194, 186),
    ),
}
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE = {"x86_64": 56, "aarch64": 220}
MMAP = {"x86_64": 9, "aarch64": 222}
MAP_SHARED = 1
CLONE3 = 435
ENOSYS, EPERM = 38, 1

libc = ctypes.CDLL(None, use_errno=True)


def main(descriptor: int) -> None:
    """Import what chapters import, then fork a process for each request."""
    import torch

    torch.set_num_threads(1)
    warm_up()
    line = socket.socket(fileno=descriptor)
    threads = len(os.listdir("/proc/self/task"))
    line.sendall(json.dumps({"ready": os.getpid(), "threads": threads}).encode() + b"\n")
    while True:
        text, descriptors = _receive(line)
        bury()
        if not text:
            os._exit(0)
        job = json.loads(text)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                line.close()
                keep(job, *descriptors)
                status = 0
            finally:
                os._exit(status)
        for number in descriptors:
            os.close(number)


def bury() -> None:
    """Take note of the keepers that have ended: their times are added to this process's."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def warm_up() -> None:
    """Import once what the chapters' first cells import."""
    import math  # noqa: F401
    import random  # noqa: F401
    import statistics  # noqa: F401

    import numpy  # noqa: F401
    import torch
    from IPython.core.inputtransformer2 import TransformerManager  # noqa: F401

    for name in ("torch.nn.functional", "torch.utils.data", "torch.func", "torch._dynamo"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for name in ("torchvision.models", "sklearn.linear_model", "sklearn.datasets"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    importlib.import_module("trlkit.course.teacher.peer")
    x = torch.ones(2, 2, requires_grad=True)
    optimizer = torch.optim.Adam([x])
    (x @ x).sum().backward()
    optimizer.step()
    from trlkit.course.checking.program import record

    record(torch.nn.Linear(1, 1), (1,), (1, 1))  # after a backward pass: else that starts threads


def _receive(line: socket.socket) -> tuple[bytes, list[int]]:
    numbers = array.array("i")
    text, extra, _, _ = line.recvmsg(65536, socket.CMSG_SPACE(2 * numbers.itemsize))
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    return text, list(numbers)


# ---- the keeper -----------------------------------------------------------------------------


def keep(job: dict, talk: int, control: int) -> None:
    """Start a learner's process, watch it, and say how it ended.

    ``talk`` is the learner's line to the grader, ``control`` the keeper's own.
    """
    line = socket.socket(fileno=control)
    before = set(_processes())
    _call("unshare", CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET)
    pid = os.fork()
    if pid == 0:
        line.close()
        learn(job, talk)
        os._exit(0)
    os.close(talk)
    line.setblocking(False)
    base = _resident(pid)
    most, peak, why = job["memory"], 0, ""
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        mine = [p for p in _processes() if p not in before and p != os.getpid()]
        peak = max(peak, sum(max(0, _resident(p) - base) for p in mine))
        if peak > most:
            why = "memory"
        elif sum(map(_threads, mine)) > THREADS:
            why = "threads"
        try:
            if line.recv(100) in (b"", b"end\n"):
                why = "asked"
        except BlockingIOError:
            pass
        except OSError:
            why = "asked"
        if why:
            os.kill(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, 0)
            break
        time.sleep(POLL)
    line.setblocking(True)
    with contextlib.suppress(OSError):
        line.sendall(json.dumps({"status": status, "why": why, "peak": peak}).encode() + b"\n")


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _resident(pid: int) -> int:
    """The memory of a process that is no file's, in bytes."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            _, resident, shared, *_ = map(int, file.read().split())
        return (resident - shared) * resource.getpagesize()
    except (OSError, ValueError):
        return 0


def _threads(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


# ---- confinement ----------------------------------------------------------------------------


def learn(job: dict, talk: int) -> None:
    """Confine this process, then serve the grader until it hangs up."""
    confine(job, talk)
    os.chdir(WORK)
    sys.path[:] = [*sys.path, WORK]
    line = socket.socket(fileno=talk)
    with contextlib.suppress(BaseException):
        serve(line)
    os._exit(0)


def confine(job: dict, talk: int) -> None:
    """Take from this process all that an answer to an exercise does not need."""
    _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    data = data_now()
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount(f"/trees/{job['tree']}", "/course", None, MS_BIND | MS_REC)
    for folder, size in ((WORK, job["disk"]), (SCRATCH, job["disk"]), ("/dev/shm", 1 << 24)):
        mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size},mode=700")
    for folder in ("/trees", "/proc"):
        mount("tmpfs", folder, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k")
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.closerange(3, talk)
    os.closerange(talk + 1, 4096)
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, job["disk"]),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CPU, job["seconds"]),
        (resource.RLIMIT_DATA, data + job["memory"]),
    ):
        resource.setrlimit(kind, (most, most))
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break
    header = struct.pack("=Ii", 0x20080522, 0)
    _call("capset", header, bytes(24))
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    forbid()
    os.environ.clear()
    os.environ.update(HOME=WORK, TMPDIR=SCRATCH, PATH="/usr/bin", MPLBACKEND="agg", LANG="C.UTF-8")


def data_now() -> int:
    """The size of this process's data, in bytes, as RLIMIT_DATA counts it."""
    with open("/proc/self/status") as file:
        for text in file:
            if text.startswith("VmData:"):
                return int(text.split()[1]) * 1024
    return 1 << 32


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind)]
    _call("mount", *encoded, ctypes.c_ulong(flags), data.encode())


def _call(name: str, *args: Any) -> None:
    if getattr(libc, name)(*args) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def forbid() -> None:
    """Have the kernel refuse what is FORBIDDEN, and every new process that is no thread.

    Memory is counted as a process's own; what is shared, though by nobody, would not count.
    """
    machine = platform.machine()
    load, jump_equal, jump_least, jump_set, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000
    program = [
        (load, 0, 0, 4),  # the architecture of the call
        (jump_equal, 1, 0, ARCHITECTURE[machine]),
        (give, 0, 0, refuse | EPERM),
        (load, 0, 0, 0),  # the call's number
        (jump_least, 0, 1, 0x40000000),  # another set of numbers for the same calls
        (give, 0, 0, refuse | EPERM),
        (jump_equal, 0, 1, CLONE3),
        (give, 0, 0, refuse | ENOSYS),  # so that the C library makes threads by clone
        (jump_equal, 0, 4, CLONE[machine]),
        (load, 0, 0, 16),  # its first argument: the flags
        (jump_set, 1, 0, CLONE_THREAD),
        (give, 0, 0, refuse | EPERM),
        (load, 0, 0, 0),
        (jump_equal, 0, 4, MMAP[machine]),
        (load, 0, 0, 40),  # its fourth argument: the flags
        (jump_set, 0, 1, MAP_SHARED),
        (give, 0, 0, refuse | EPERM),
        (load, 0, 0, 0),
    ]
    for number in FORBIDDEN[machine]:
        program += [(jump_equal, 0, 1, number), (give, 0, 0, refuse | EPERM)]
    program.append((give, 0, 0, allow))
    text = b"".join(struct.pack("=HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(text)
    head = struct.pack("=HxxxxxxQ", len(program), ctypes.addressof(buffer))
    _call("prctl", PR_SET_SECCOMP, 2, head, 0, 0)


# ---- the learner's process ------------------------------------------------------------------


def serve(line: socket.socket) -> None:
    """Run cells and lend the grader what they define."""
    from trlkit.course.teacher import peer, wire

    notebook = Notebook()
    own = peer.Peer(
        wire.Line(line),
        trusting=True,
        serve=lambda kind, value: notebook.answer(own, kind, value),
        describe=describe,
        where=where,
    )
    own.listen()


def describe(module: Any) -> dict | None:
    """How a layer of trlkit can be built again; None for other modules."""
    layers = sys.modules.get("trlkit.layers")
    kinds = [getattr(layers, name, None) for name in ("CPTRL", "TuckerTRL", "TTTRL")]
    if type(module) not in kinds or "forward" in vars(module):
        return None
    dropout = module.dropout
    return {
        "input_shape": list(module.input_shape),
        "output_shape": list(module.output_shape),
        "rank": list(module.rank) if isinstance(module.rank, tuple) else module.rank,
        "bias": module.bias is not None,
        "dropout": [
            float(dropout.p),
            None if dropout.modes is None else list(dropout.modes),
            bool(dropout.per_sample),
            bool(dropout.drop_test),
        ],
    }


def where(error: BaseException) -> str:
    """The last lines of the learner's own code on the way to an error."""
    places = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if name.startswith("<cell"):
            text = linecache.getline(name, line).strip()
            places.append(f"in {frame.f_code.co_name}, line {line} of its cell: {text}")
    return "\n".join(places[-2:])


class Notebook:
    """The names that a notebook's cells define, and what the grader asks of them."""

    def __init__(self):
        from IPython.core.inputtransformer2 import TransformerManager

        self.module = types.ModuleType("__main__")
        sys.modules["__main__"] = self.module
        self.space = vars(self.module)
        shell = types.SimpleNamespace(
            run_line_magic=_nothing, run_cell_magic=_nothing, system=_nothing, getoutput=_lines
        )
        self.space.update(
            __builtins__=builtins, get_ipython=lambda: shell, display=_nothing, In=[], Out={}
        )
        self.transform = TransformerManager().transform_cell
        self.replaced: dict[str, Any] = {}
        self.cells = 0

    def answer(self, peer: Any, kind: str, value: Any) -> Any:
        if kind == "cell":
            return self.cell(value)
        if kind == "begin":
            name, pieces = value
            self.pieces(pieces)
            return self.look(name)
        if kind == "make":
            module, name, args = value
            return getattr(importlib.import_module(module), name)(*args)
        if kind == "file":
            return self.file(*value)
        raise ValueError(f"{kind!r} is not asked here")

    def cell(self, source: str) -> tuple[str, str]:
        """Run a cell; its error in one line, or nothing, and what it printed."""
        self.cells += 1
        name, printed, error = f"<cell {self.cells}>", io.StringIO(), ""
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                code = self.transform(source)
                linecache.cache[name] = (len(code), None, code.splitlines(True), name)
                exec(compile(code, name, "exec"), self.space)
            except BaseException as raised:
                first = str(raised).strip().split("\n")[0]
                error = f"{type(raised).__name__}: {first}".rstrip(": ")
        return error[:PRINTED], printed.getvalue()[:PRINTED]

    def look(self, name: str) -> tuple[str, Any]:
        """What a name stands for: "missing", "callable" and it, or "value" and it."""
        value = self.space.get(name)
        if value is None or value is Ellipsis:
            return "missing", None
        return ("callable", value) if callable(value) else ("value", value)

    def pieces(self, pieces: dict[str, Callable]) -> None:
        """Put these in place of the learner's functions of their names, and take the last back."""
        for name, before in self.replaced.items():
            if before is None:
                self.space.pop(name, None)
            else:
                self.space[name] = before
        names = [n for n in pieces if n not in self.space or callable(self.space[n])]
        self.replaced = {name: self.space.get(name) for name in names}
        self.space.update({name: pieces[name] for name in names})

    def file(self, name: str, data: list[int]) -> None:
        """Write one of the submission's own files beside the notebook."""
        os.makedirs(os.path.dirname(os.path.join(WORK, name)), exist_ok=True)
        with open(os.path.join(WORK, name), "wb") as file:
            file.write(bytes(data.tolist()))


def _nothing(*args: Any, **kwargs: Any) -> None:
    """What a magic does when points count."""


def _lines(*args: Any, **kwargs: Any) -> list[str]:
    return []


class Absent(type):
    """What trlkit holds and this chapter asks for: it is not there when points count."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise ImportError(
            f"{cls.__name__} is not there where this chapter is graded: write it yourself"
        )

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{cls.__name__}.{name}", (), {})


class AbsentFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module of absent things for each module of trlkit that the chapter lacks."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.startswith("trlkit."):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        return types.ModuleType(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        def absent(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return Absent(f"{module.__name__}.{name}", (), {})

        module.__path__ = []
        module.__getattr__ = absent


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[2])
    sys.meta_path.append(AbsentFinder())
    main(int(sys.argv[1]))
