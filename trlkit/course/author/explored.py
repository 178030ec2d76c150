"""What can be explored, drawn for pages without Python: each once, and kept."""

from pathlib import Path

from filelock import FileLock

from trlkit.course import aside
from trlkit.lab.explorables import explorables, page


def explored(root: Path, name: str) -> str:
    """An explorable as HTML, from ``build/explored`` or drawn now.

    Parameters
    ----------
    root : Path
        The course. What is kept is found again by the content of trlkit, but for its room
        ``course``, and of constraints.txt.
    name : str

    Raises
    ------
    KeyError
        If there is none of this name.
    ValueError
        If it takes more than a page should load.
    """
    explorable = explorables()[name]
    code = (
        path for path in root.glob("trlkit/**/*.py") if root / "trlkit/course" not in path.parents
    )
    files = [root / "constraints.txt", *sorted(code)]
    kept = root / "build/explored" / f"{explorable.chapter}-{aside.digest(files)}.html"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            aside.write(kept, page.html(explorable).encode())
    return kept.read_text(encoding="utf-8")
