"""The site in Chromium: everyone can read it, on a phone too, and nothing is fetched."""

import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser

import pytest
from axe_playwright_python.sync_playwright import Axe
from filled import ROOT, chapter_names, kept_lines

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("slides")]
PAGES = [
    "index",
    "guide",
    "glossary",
    "reference",
    "results",
    "changelog",
    *[f"chapters/{name}" for name in chapter_names()],
    *[
        f"{path.relative_to(ROOT / 'docs').with_suffix('')}"
        for path in (ROOT / "docs").glob("*/*.md")
    ],
    *[f"results/{path.stem}" for path in (ROOT / "results").glob("*.md")],
]


@pytest.fixture(scope="session")
def html():
    """The site as `trlkit site` makes it."""
    command = [sys.executable, "-m", "trlkit.cli", "site"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "build/site/html"


class Names(HTMLParser):
    """The links of a page, and the names that others can link to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        self.links |= {found[key] for key in ("href", "src") if found.get(key)}


def test_links_lead_somewhere(html):
    pages = {path: Names(path.read_text("utf-8")) for path in html.rglob("*.html")}
    lost = []
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"(https?|mailto|data|javascript):|#/|//", link):
                continue
            target, _, anchor = unescape(link).partition("#")
            there = (path.parent / target.partition("?")[0]).resolve() if target else path
            if there.is_dir():
                there /= "index.html"
            known = pages[there].ids if there in pages else set()
            if not there.exists() or (anchor and there in pages and anchor not in known):
                lost.append(f"{path.relative_to(html)}: {link}")
    assert lost == []
    assert len(pages) > len(PAGES)


def severe(page):
    """What axe-core holds against a page: each rule, with the start of the first place."""
    return [
        (rule["id"], rule["nodes"][0]["html"][:200])
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in ("serious", "critical")
    ]


WIDE = """() => [...document.querySelectorAll('.formula')]
    .filter(f => f.scrollWidth > f.clientWidth).map(f => f.textContent.slice(0, 60))"""
LOADED = """() => document.fonts.ready.then(fonts =>
    [...fonts].filter(f => f.status === 'loaded').map(f => f.family.replaceAll('"', '')))"""


@pytest.mark.parametrize("name", PAGES)
def test_page_reads_on_a_desk_and_on_a_phone_and_for_everyone(page, html, name):
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_viewport_size({"width": 1300, "height": 900})
    page.goto((html / f"{name}.html").as_uri())
    assert page.locator("math").count() == 0 or "Course Math" in page.evaluate(LOADED)
    assert page.evaluate(WIDE) == []
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src)") == []
    assert page.evaluate("[...document.images].filter(i => !i.alt).map(i => i.src)") == []
    assert page.locator("h1").count() == 1
    assert severe(page) == []
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert errors == []


@pytest.mark.parametrize("name", chapter_names())
def test_chapter_shows_what_its_cells_give_and_no_answer(html, name):
    text = (html / "chapters" / f"{name}.html").read_text("utf-8")
    words = unescape(re.sub(r"<[^>]+>", "", text))
    assert 'class="cell_output' in text and "<img" in text and "<math" in text
    assert "BEGIN SOLUTION" not in words and "hidden=" not in words
    assert [line for line in kept_lines(name) if line in words] == []


def test_search_finds_a_word_of_the_field(page, html):
    page.goto((html / "search.html").as_uri() + "?q=Khatri")
    page.wait_for_selector("ul.search li a")
    found = page.locator("ul.search li a").all_inner_texts()
    assert any("Tensors" in title for title in found)


def test_dark_pages_can_be_read_too(page, html):
    page.emulate_media(color_scheme="dark")
    for name in ("index", f"chapters/{chapter_names()[1]}", "reference/layers"):
        page.goto((html / f"{name}.html").as_uri())
        assert severe(page) == []
