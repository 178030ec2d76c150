"""A Chromium that reaches this machine only."""

import os
import re

import pytest

from trlkit.course.author import slides

playwright = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="session")
def browser():
    try:
        path = slides.chromium()
    except FileNotFoundError:
        if os.environ.get("CI"):
            raise
        pytest.skip("no Chromium on this machine: .ci/run installs Debian's")
    with playwright.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=path, args=[*slides.FLAGS])
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    """A page that reaches this machine only, and says what it asked for elsewhere."""
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.set_default_timeout(60_000)
    outside = []

    def stay(route):
        if re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|file:///", route.request.url):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    page.route("**/*", stay)
    yield page
    page.close()
    assert outside == []
