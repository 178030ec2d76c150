"""The slides: each deck a text in ``slides/``, built to HTML that needs no network, and to PDF."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from trlkit.course import aside

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTH, HEIGHT = 1280, 720  # of a slide, in CSS pixels


def build(root: Path) -> Path:
    """Build the decks of the course in ``root``; return their folder, ``build/slides/html``.

    Parameters
    ----------
    root : Path
        The folder with ``slides/``. Decks that were made of the same files stay as they are.

    Returns
    -------
    Path

    Raises
    ------
    ModuleNotFoundError
        If Sphinx or its builder of slides is not installed.
    subprocess.CalledProcessError
        If Sphinx finds anything to warn of; it has said what.
    """
    import sphinx_revealjs  # noqa: F401

    html = root / "build/slides/html"
    made_of = html / ".made-of"
    folders = (root / name for name in ("slides", "trlkit", "results"))
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts]
    now = aside.digest([root / "constraints.txt", *files])
    if made_of.exists() and made_of.read_text("utf-8") == now:
        return html
    made_of.unlink(missing_ok=True)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "revealjs"]
    subprocess.run([*command, str(root / "slides"), str(html)], check=True, cwd=root)
    aside.write(made_of, now.encode())
    return html


def decks(html: Path) -> list[Path]:
    """The pages of the decks in a folder that :func:`build` has made."""
    return sorted(path for path in html.glob("*.html") if path.stem != "index")


def pdf(html: Path) -> Iterator[Path]:
    """Print every deck to ``../pdf``, a slide a page; yield the files.

    Raises
    ------
    FileNotFoundError
        If there is no Chromium to print with.
    """
    from playwright.sync_api import sync_playwright

    folder = html.parent / "pdf"
    folder.mkdir(exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=[*FLAGS])
        for deck in decks(html):
            page = browser.new_page()
            page.goto(f"{deck.as_uri()}?print-pdf")
            page.wait_for_selector(".pdf-page")
            path = folder / f"{deck.stem}.pdf"
            page.pdf(path=path, prefer_css_page_size=True, print_background=True)
            page.close()
            yield path
        browser.close()


def chromium() -> str:
    """The path of a Chromium on this machine.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    for name in CHROMIUM:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(
        f"none of {', '.join(CHROMIUM)} is on the path: install Chromium "
        "(Debian: apt-get install chromium)"
    )
