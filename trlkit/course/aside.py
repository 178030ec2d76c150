"""Write a file aside, then put it in place; and know again what was made of files."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Write a file whole: a reader finds the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_bytes(data)
    os.replace(aside, path)


def digest(files: Iterable[Path]) -> str:
    """What finds again that which was made of files: a word for their names and contents."""
    found = hashlib.sha256()
    for file in files:
        found.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()[:16]
