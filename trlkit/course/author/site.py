"""The course as a web site: executed chapters, the guide, the reference, the slides.

A chapter's page is the learner's notebook with what its cells give once they are solved.
The answers themselves are not on it.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from trlkit.course.author import build as masters
from trlkit.course.author import slides
from trlkit.course.author.executed import executed
from trlkit.course.author.explored import explored
from trlkit.course.chapters import manifest

WIDGETS = "application/vnd.jupyter.widget-view+json"
EXPLORES = re.compile(r'^explore\("([^"]+)"', re.MULTILINE)


def build(root: Path) -> Path:
    """Build the site of the course in ``root``; return its folder, ``build/site/html``.

    Parameters
    ----------
    root : Path
        The folder with ``docs/``, ``notebooks/``, ``results/``, ``slides/`` and ``solutions/``.

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
    for old in (source, html):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(root / "docs", source)
    shutil.copytree(
        root / "results",
        source / "results",
        ignore=shutil.ignore_patterns("*.csv"),
        dirs_exist_ok=True,  # the experiments have a page there
    )
    shutil.copy(root / "CHANGELOG.md", source / "changelog.md")
    shutil.copytree(slides.build(root), source / "extra/slides")
    for chapter in manifest.chapters():
        path = source / "chapters" / f"{chapter.name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(chapter_page(root, chapter), path)
    table = masters.readme_table(manifest.chapters(), "chapters/{name}.ipynb")
    (source / "chapters.txt").write_text(table, encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    subprocess.run([*command, str(source), str(html)], check=True, cwd=root)
    return html


def chapter_page(root: Path, chapter: manifest.Chapter) -> nbformat.NotebookNode:
    """A chapter for readers: its released cells, with the outputs that its solution gives."""
    name = chapter.name
    solved = executed(root, name)
    page = nbformat.read(root / "notebooks" / name / f"{name}.ipynb", as_version=4)
    outputs = {cell.id: cell.outputs for cell in solved.cells if cell.cell_type == "code"}
    for cell in page.cells:
        if cell.cell_type == "code":
            marks = cell.metadata.get("nbgrader", {})
            told = "reveal(" in cell.source or marks.get("grade") or marks.get("solution")
            mine = cell.source.startswith("progress(")  # a learner's own
            cell.outputs = [] if told or mine else _readable(outputs[cell.id])
            if shown := EXPLORES.search(cell.source):
                html = {"text/html": explored(root, shown[1])}
                cell.outputs = [nbformat.v4.new_output("display_data", html)]
            if alt := [_alt(output, name) for output in cell.outputs if _is_picture(output)]:
                cell.metadata["mystnb"] = {"image": {"alt": " ".join(alt)}}
    page.cells.insert(1, nbformat.v4.new_markdown_cell(_ways_in(name), id="ways-in"))
    page.metadata.pop("widgets", None)
    return page


def _ways_in(name: str) -> str:
    return (
        f'<p class="ways-in">This page is for reading. To write, run and be checked: '
        f"<code>make lab CHAPTER={name}</code>. "
        f'To lecture: <a href="../slides/{name}.html">the slides</a>.</p>'
    )


def _readable(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Outputs without what needs a running kernel, and without progress bars and warnings."""
    for output in outputs:
        output.get("data", {}).pop(WIDGETS, None)
    return [output for output in outputs if output.get("name") != "stderr"]


def _is_picture(output: nbformat.NotebookNode) -> bool:
    return "image/png" in output.get("data", {})


def _alt(output: nbformat.NotebookNode, name: str) -> str:
    alt = output.metadata.get("image/png", {}).get("alt")
    if not alt:
        raise ValueError(
            f"{name}: a picture has no text that stands in for it: draw it with trlkit.lab.plotting"
        )
    return alt
