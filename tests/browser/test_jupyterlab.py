"""A learner's evening and a teacher's gradebook, in JupyterLab, in Chromium."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from urllib.error import URLError

import pytest
from filled import ROOT, chapter_names, released, solutions

from trlkit.course.chapters import bank, manifest

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("lab")]
SCREENSHOTS = ROOT / "build" / "screenshots"
TOKEN = "a-token-for-this-test"
CHAPTERS = (*chapter_names()[:2], chapter_names()[-1])


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A copy of three chapters of the course, which are in the gradebook."""
    root = tmp_path_factory.mktemp("course")
    for name in ("solutions", "notebooks"):
        for chapter in CHAPTERS:
            shutil.copytree(ROOT / name / chapter, root / name / chapter)
    for name in ("autotests.yml", "nbgrader_config.py"):
        shutil.copy(ROOT / name, root / name)
    for chapter in CHAPTERS:
        command = [sys.executable, "-m", "nbgrader", "generate_assignment", chapter, "--force"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def lab(course):
    """The address of a JupyterLab that `trlkit lab` has opened on the copy."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "trlkit.cli", "lab", "01_tensors", "--no-browser"]
    command += ["--port", str(port)]
    own = {
        "JUPYTER_TOKEN": TOKEN,
        "PYTHONPATH": str(ROOT),
        "JUPYTER_CONFIG_DIR": str(course / "home"),
        "JUPYTERLAB_SETTINGS_DIR": str(course / "home/settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(course / "home/workspaces"),
    }
    with (course / "lab.log").open("w") as log:
        server = subprocess.Popen(
            command,
            cwd=course,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | own,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=5).close()
                break
            except (URLError, OSError):
                assert server.poll() is None, (course / "lab.log").read_text()
                time.sleep(0.25)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGINT)
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


class Notebook:
    """What a learner does with the mouse and the keyboard."""

    def __init__(self, page, name):
        self.page, self.name = page, name
        self.sources = [cell.source for cell in released(name).cells]
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_selector("text=Python 3 (ipykernel) | Idle")

    def cell(self, start):
        """The cell that starts with this text; cells out of view are drawn only once seen."""
        number = next(i for i, source in enumerate(self.sources) if source.startswith(start))
        found = self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{number}"]')
        found.scroll_into_view_if_needed()
        found.locator(".cm-content").wait_for()
        return found

    def write(self, text, source):
        self.cell(text).locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)

    def run(self, text):
        cell = self.cell(text)
        cell.locator(".jp-InputPrompt").click()
        self.page.keyboard.press("Shift+Enter")
        cell.locator(".jp-InputPrompt", has_text=re.compile(r"\[\d+\]:")).wait_for()
        output = cell.locator(".jp-OutputArea")
        return output.inner_text() if output.count() else ""

    def look(self, step):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{self.name}-{step}.png")


def test_a_learner_is_told_the_mistake_and_then_passes(lab, page):
    page.goto(f"{lab}/?token={TOKEN}")
    notebook = Notebook(page, "01_tensors")
    assert page.locator(".jp-toastContainer").count() == 0
    assert page.locator(".MathJax, mjx-container").count() > 0
    notebook.look("opened")
    assert notebook.run("import functools") == ""
    notebook.run("plotting.unfoldings")
    picture = notebook.cell("plotting.unfoldings").locator("img")
    assert picture.evaluate("image => image.naturalWidth") > 300
    notebook.look("picture")

    notebook.run("prediction = (..., ...)  # the length")
    asked = "reveal(prediction, lambda: tuple(trlkit.unfold(torch.zeros(512, 7, 7), 0)"
    assert "Predict first" in notebook.run(asked)
    notebook.write("prediction = (..., ...)  # the length", "prediction = (512, 49)")
    notebook.run("prediction = (..., ...)  # the length")
    assert "and so it is" in notebook.run(asked)
    told = notebook.run('check("unfold", unfold)')
    assert "name 'unfold' is not defined" in told

    wrong = next(m for m in bank.mistakes("unfold") if m.name == "exchanged modes")
    notebook.write("def unfold", wrong.source)
    assert notebook.run("def unfold") == ""
    told = " ".join(notebook.run('check("unfold", unfold)').split())
    assert "expected" in told and " ".join(wrong.message.split()) in told
    assert "Traceback" not in told and "site-packages" not in told
    picture = notebook.cell('check("unfold", unfold)').locator("img")
    picture.wait_for()
    picture.scroll_into_view_if_needed()
    notebook.look("wrong")

    notebook.write("def unfold", solutions("01_tensors")["unfold"])
    assert notebook.run("def unfold") == ""
    told = notebook.run('check("unfold", unfold)')
    assert told.split() == "unfold ok: 13 cases, values and gradients 1/1".split()
    notebook.look("right")


def test_a_teacher_sees_the_chapters_with_their_points(lab, page):
    page.goto(f"{lab}/formgrader/gradebook?token={TOKEN}")
    for name in CHAPTERS:
        row = page.locator("tr", has_text=name)
        row.wait_for()
        points = manifest.chapter(name).points + manifest.chapter(name).by_hand
        assert re.search(rf"0(\.0)? / {points:g}\b", row.inner_text())
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "formgrader.png")
