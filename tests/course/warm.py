"""Kernels that are forked from a process which has imported what every chapter imports.

A kernel of its own spends most of its start on torch; a forked one is as fresh, and runs the same
program with the same arguments, environment and folder.
"""

import multiprocessing
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

PRELOADED = (
    "ipykernel.kernelapp",
    "torch._dynamo",
    "matplotlib",
    "trlkit.course.chapters.exercises",
)


class Kernel:
    """A forked kernel, as jupyter_client knows a :class:`subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: str | None):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        ready, started = context.Pipe(duplex=False)
        self._process = context.Process(target=_run, args=(command, dict(env), cwd, started))
        self._process.start()
        ready.recv()  # it has left this process's group, which gets the signals that it is sent
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("kernel", timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def launch_kernel(command, env=None, cwd=None, **options) -> Kernel:
    """In place of :func:`jupyter_client.launcher.launch_kernel`."""
    return Kernel(command, os.environ if env is None else env, cwd)


def _run(command: Sequence[str], env: Mapping[str, str], cwd: str | None, started) -> None:
    from ipykernel.kernelapp import IPKernelApp

    os.setsid()
    started.send(None)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd or os.curdir)
    arguments = command[command.index("ipykernel_launcher") + 1 :]
    parent = f"--IPKernelApp.parent_handle={os.getppid()}"  # with which the kernel ends, too
    IPKernelApp.launch_instance(argv=[*arguments, parent])
