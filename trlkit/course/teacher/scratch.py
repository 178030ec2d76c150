"""Temporary folders that are gone in the end, even where their process was killed.

Each is locked by the process that uses it, and the kernel lifts the lock of one that has ended:
whoever makes the next folder removes what lies unlocked.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nothing is swept
    fcntl = None

PREFIX = "trlkit-grade-"
YOUNG = 60.0  # seconds in which a folder may not be locked yet


class Scratch:
    """A folder for temporary files, ``path``, until it is closed."""

    def __init__(self):
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = _locked(self.path)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def sweep() -> None:
    """Remove the folders that killed processes of this user have left."""
    for path in _left() if fcntl else ():
        with contextlib.suppress(OSError):
            lock = _locked(path)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _left() -> Iterator[Path]:
    """The folders of this user that are old enough to be locked if they are used."""
    now = time.time()
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            told = path.lstat()
            if path.is_symlink() or not path.is_dir() or told.st_uid != os.getuid():
                continue
            if now - told.st_ctime > YOUNG:
                yield path


def _locked(folder: Path) -> int | None:
    """A descriptor that holds a folder's lock; None where another process holds it."""
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    except OSError:
        os.close(descriptor)
        return None
