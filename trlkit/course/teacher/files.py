"""The files that were handed in, from a folder or a zip: none is followed, none is unpacked."""

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

FILE_BYTES = 20_000_000
TOTAL_BYTES = 2_000_000_000
MANY = 100_000
DEEPEST = 30
# What systems and editors leave; nobody hands it in.
LEFT = {".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX", ".ipynb_checkpoints"}
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError)


class Refused(ValueError):
    """A file is not read; the text says why, in words that follow its name."""


@dataclass(frozen=True)
class File:
    """A file, or an empty folder, below what was handed in.

    ``parts`` are the names from the source down, ``refused`` is why it is not to be read, and
    ``path`` where it lies, None in a zip.
    """

    parts: tuple[str, ...]
    modified: float = 0.0
    refused: str = ""
    path: Path | None = None
    open: Callable[[int], bytes] | None = None

    def __str__(self) -> str:
        return shown("/".join(self.parts))

    def read(self, limit: int = FILE_BYTES) -> bytes:
        """The content.

        Raises
        ------
        Refused
            If it cannot be read, or is longer than ``limit`` bytes.
        """
        if self.refused:
            raise Refused(self.refused)
        try:
            content = self.open(limit + 1)
        except OSError as error:
            raise Refused(f"cannot be read ({error.strerror or error})") from None
        except _ZIP_ERRORS as error:
            raise Refused(f"cannot be read from the zip ({shown(str(error))})") from None
        if len(content) > limit:
            raise Refused(
                f"is larger than {limit / 1e6:g} MB: clear the outputs (Edit > Clear Outputs of "
                "All Cells), save, and hand it in again"
            )
        return content


def shown(text: str) -> str:
    """A name or a message as one line of printable text."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@contextmanager
def files_in(source: Path) -> Iterator[list[File]]:
    """What is in a folder or a zip, in the order of the names, to be read inside the block.

    Symbolic links, and entries of a zip that point out of it or stand in it twice, come as
    refused files.

    Raises
    ------
    ValueError
        If ``source`` is neither, or a zip that unpacks to more than any class hands in.
    """
    if source.is_dir():
        yield list(_in_folder(source, ()))
    elif not source.exists():
        raise ValueError(f"{source}: there is no such folder or zip")
    elif zipfile.is_zipfile(source):
        try:
            archive = zipfile.ZipFile(source)
        except _ZIP_ERRORS as error:
            raise ValueError(f"{source}: is a damaged zip ({error}); fetch it again") from None
        with archive:
            yield list(_in_zip(archive, source))
    else:
        raise ValueError(
            f"{source}: is neither a folder nor a zip; give the folder that holds the submissions"
        )


def _in_folder(folder: Path, above: tuple[str, ...]) -> Iterator[File]:
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    if above and not entries:
        yield File(above, refused="is an empty folder")
    for entry in entries:
        parts = (*above, entry.name)
        if entry.name in LEFT:
            continue
        if entry.is_symlink():
            yield File(parts, refused="is a symbolic link, which is not followed")
        elif len(parts) > DEEPEST:
            yield File(parts, refused=f"lies in more than {DEEPEST} folders")
        elif entry.is_dir(follow_symlinks=False):
            try:
                yield from _in_folder(Path(entry.path), parts)
            except PermissionError:
                yield File(parts, refused="cannot be opened (permission denied)")
        elif not entry.is_file(follow_symlinks=False):
            yield File(parts, refused="is no file, but a device or a pipe")
        else:
            path = Path(entry.path)
            modified = entry.stat(follow_symlinks=False).st_mtime
            yield File(parts, modified, path=path, open=lambda most, path=path: _read(path, most))


def _read(path: Path, most: int) -> bytes:
    """The first bytes of a file, of no link and no pipe that took its place meanwhile."""
    safe = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, os.O_RDONLY | safe), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError("no plain file")
        return stream.read(most)


def _in_zip(archive: zipfile.ZipFile, source: Path) -> Iterator[File]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MANY or total > TOTAL_BYTES:
        raise ValueError(
            f"{source}: unpacks to {len(entries):,} files of {total / 1e6:,.0f} MB together; at "
            f"most {MANY:,} files of {TOTAL_BYTES / 1e6:,.0f} MB are taken: split it"
        )
    seen: set[tuple[str, ...]] = set()
    for entry in sorted(entries, key=_name):
        name = _name(entry)
        parts = PurePosixPath(name).parts
        if not parts or LEFT & set(parts):
            continue
        refused = _fault(entry, name)
        if parts in seen:
            refused = "stands in the zip twice; the first one is taken"
        seen.add(parts)
        modified = float("".join(f"{number:02}" for number in entry.date_time))
        yield File(parts, modified, refused, open=lambda most, e=entry: _unzip(archive, e, most))


def _fault(entry: zipfile.ZipInfo, name: str) -> str:
    """Why an entry of a zip is not taken: "" for most."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or ":" in parts[0] or "\0" in entry.orig_filename:
        return "points out of the zip"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a symbolic link, which is not followed"
    return ""


def _name(entry: zipfile.ZipInfo) -> str:
    """An entry's name, in UTF-8 also where the zip forgets to say so, with slashes."""
    name = entry.filename
    if not entry.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    return name.replace("\\", "/")


def _unzip(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    with archive.open(entry) as stream:
        return stream.read(most)
