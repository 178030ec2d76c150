"""Write a file aside, then put it in place."""

import os
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Write a file whole: a reader finds the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_bytes(data)
    os.replace(aside, path)
