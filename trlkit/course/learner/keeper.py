"""The process around a notebook's cells: it waits for them, and ends what they leave running.

A program for :mod:`trlkit.course.learner.runner`, run by its path, so that no module beside the
notebook stands in for one of the checker's.
"""

import os
import signal
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
SECONDS = 5.0  # to end what is left
LOOK = 1.0  # seconds between two looks at whether the checker is still there


def main() -> None:
    """Run the cells; on Linux in a process of their own, whose orphans come back to this one."""
    del sys.path[0]  # this file's folder
    root = str(Path(__file__).resolve().parents[3])
    if root not in sys.path:
        sys.path.insert(0, root)
    if sys.platform == "linux":
        _keep()
    from trlkit.course.learner import cells

    cells.serve()


def _keep() -> None:
    """Return in a new process; the old one stays behind and ends as that one does."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    checker = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    worker = os.fork()
    if worker == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        return
    signal.signal(signal.SIGTERM, lambda *_: _end_all() or os._exit(1))
    os.closerange(0, 3)
    done, status = 0, 0
    while done != worker:
        signal.sigtimedwait({signal.SIGCHLD}, LOOK)
        done, status = os.waitpid(worker, os.WNOHANG)
        if os.getppid() != checker:  # it was killed, and nobody waits for the cells any more
            _end_all()
            os._exit(1)
    _end_all()
    if os.WIFSIGNALED(status):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL) if os.WTERMSIG(status) != 9 else None
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def _end_all() -> None:
    """Kill every process below this one; there may be new ones while it does."""
    import psutil

    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        left = psutil.Process().children(recursive=True)
        for process in left:
            try:
                process.kill()
            except psutil.Error:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


if __name__ == "__main__":
    main()
