"""The course as a web site: executed chapters, the reference, the guide; nothing from the network.

A chapter's page is the learner's notebook with what its cells give once they are solved.
The answers themselves are not on it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from trlkit.course import chapters

WIDGETS = "application/vnd.jupyter.widget-view+json"


def build(root: Path) -> Path:
    """Build the site of the course in ``root``; return its folder, ``build/site/html``.

    Parameters
    ----------
    root : Path
        The folder with ``docs/``, ``notebooks/`` and ``solutions/``.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If a picture has no text that stands in for it.
    subprocess.CalledProcessError
        If Sphinx finds anything to warn of; it has said what.
    """
    source, html = root / "build/site/source", root / "build/site/html"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(root / "docs", source)
    (source / "results").mkdir()
    for path in root.glob("results/*.md"):
        shutil.copy(path, source / "results")
    (source / "chapters").mkdir()
    for chapter in chapters.chapters():
        page = chapter_page(root, chapter.name)
        nbformat.write(page, source / "chapters" / f"{chapter.name}.ipynb")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    subprocess.run([*command, str(source), str(html)], check=True, cwd=root)
    return html


def chapter_page(root: Path, name: str) -> nbformat.NotebookNode:
    """A chapter for readers: its released cells, with the outputs that its solution gives."""
    solved = executed(root, name)
    page = nbformat.read(root / "notebooks" / name / f"{name}.ipynb", as_version=4)
    outputs = {cell.id: cell.outputs for cell in solved.cells if cell.cell_type == "code"}
    for number, cell in enumerate(page.cells):
        if cell.cell_type != "code":
            continue
        marks = cell.metadata.get("nbgrader", {})
        told = "reveal(" in cell.source or marks.get("grade") or marks.get("solution")
        cell.outputs = [] if told else [_readable(output, name) for output in outputs[cell.id]]
        alt = [output.metadata.get("image/png", {}).get("alt") for output in cell.outputs
               if "image/png" in output.get("data", {})]
        if None in alt:
            raise ValueError(
                f"{name}: the picture of cell {number} has no text that stands in for it: draw it "
                f"with trlkit.plotting"
            )
        if alt:
            cell.metadata["mystnb"] = {"image": {"alt": " ".join(alt)}}
    page.metadata.pop("widgets", None)
    return page


def executed(root: Path, name: str) -> nbformat.NotebookNode:
    """A chapter's solution notebook with its outputs; run anew only when it has changed."""
    path = root / "solutions" / name / f"{name}.ipynb"
    version = "".join(file.read_text("utf-8") for file in sorted(root.glob("trlkit/*.py")))
    digest = hashlib.sha256(path.read_bytes() + version.encode()).hexdigest()[:16]
    kept = root / "build/site/executed" / f"{name}-{digest}.ipynb"
    if not kept.exists():
        notebook = nbformat.read(path, as_version=4)
        environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
        client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}})
        client.execute(env=environment)
        kept.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, kept)
    return nbformat.read(kept, as_version=4)


def _readable(output: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """An output without what needs a running kernel."""
    if output.output_type in ("display_data", "execute_result"):
        output.data.pop(WIDGETS, None)
    return output
