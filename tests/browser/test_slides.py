"""Every slide of every deck, in Chromium: all of it can be seen, and nothing is fetched."""

import re
import subprocess
import sys

import pytest
from filled import ROOT, chapter_names

from trlkit.course.author import slides

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("slides")]
DECKS = ["guide", *chapter_names()]
FAULTS = """
() => {
  const slide = Reveal.getCurrentSlide(), found = [];
  const frame = document.querySelector('.reveal .slides').getBoundingClientRect();
  const start = (element) => (element.alt || element.textContent).trim().slice(0, 60);
  const say = (element, fault) =>
    found.push(`${fault}: <${element.tagName.toLowerCase()}> ${start(element)}`);
  for (const element of slide.querySelectorAll('*')) {
    if (element.closest('aside') || element.parentElement.closest('math')) continue;
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    if (box.right > frame.right + 2 || box.left < frame.left - 2) say(element, 'too wide');
    if (box.bottom > frame.bottom + 2 || box.top < frame.top - 2) say(element, 'too high');
    if (['PRE', 'CODE'].includes(element.tagName) && element.clientWidth)
      if (element.scrollWidth > element.clientWidth + 2) say(element, 'code is cut');
    if (element.tagName === 'IMG') {
      if (!element.naturalWidth) say(element, 'broken picture');
      if (!element.alt) say(element, 'a picture without words');
    }
  }
  if (!slide.querySelector('h1, h2, h3')) found.push('no title');
  return found;
}
"""


@pytest.fixture(scope="session")
def html(browser):
    """The decks as `trlkit slides --pdf` makes them."""
    command = [sys.executable, "-m", "trlkit.cli", "slides", "--pdf"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "build/slides/html"


def faults(page, deck):
    """What is wrong with a deck: lines that name the slide; and how many slides it has."""
    page.set_viewport_size({"width": slides.WIDTH, "height": slides.HEIGHT})
    page.goto(deck.as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    found, count = [], page.evaluate("Reveal.getTotalSlides()")
    for number in range(count):
        where = page.evaluate("Reveal.getIndices()")
        said = page.evaluate(FAULTS)
        found += [f"slide {number + 1} ({where['h']}/{where['v']}): {line}" for line in said]
        page.evaluate("Reveal.next()")
    return found, count


def test_every_chapter_has_a_deck_and_the_guide_is_beside_them(html):
    assert [deck.stem for deck in slides.decks(html)] == sorted(DECKS)


@pytest.mark.parametrize("name", DECKS)
def test_every_slide_can_be_read_and_nothing_is_fetched(page, html, name):
    found, count = faults(page, html / f"{name}.html")
    assert found == []
    assert 10 <= count <= 18


@pytest.mark.parametrize("name", DECKS)
def test_most_slides_have_notes_for_the_speaker(page, html, name):
    page.goto((html / f"{name}.html").as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    silent = page.evaluate("Reveal.getSlides().filter(s => !s.querySelector('aside.notes')).length")
    assert silent <= 2


def test_the_check_of_slides_finds_what_is_wrong(page, html, tmp_path):
    text = (html / f"{DECKS[1]}.html").read_text("utf-8")
    static = (html / "_static").as_uri()
    bad = '<div style="width: 3000px">wide</div><img src="gone.svg" width="9" height="9">'
    deck = tmp_path / "deck.html"
    for name in ("src", "href"):
        text = text.replace(f'{name}="_static', f'{name}="{static}')
    start = '<div class="slides" role="main">'
    deck.write_text(text.replace(start, f"{start}<section>{bad}</section>"), "utf-8")
    found, _ = faults(page, deck)
    told = " ".join(line for line in found if line.startswith("slide 1 "))
    for fault in ("too wide", "broken picture", "without words", "no title"):
        assert fault in told


@pytest.mark.parametrize("name", chapter_names())
def test_a_picture_is_explored_and_the_deck_stays_until_it_is_left(page, html, name):
    page.goto((html / f"{name}.html").as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    page.evaluate(
        "Reveal.slide(...Object.values("
        "Reveal.getIndices(document.querySelector('.explorable').closest('section'))))"
    )
    figure = page.locator("section.present .explorable").last
    knob, picture = figure.locator("input").last, figure.locator("img")
    where, start = page.evaluate("Reveal.getState()"), picture.get_attribute("src")
    knob.focus()
    page.keyboard.press("ArrowLeft" if knob.input_value() != "0" else "ArrowRight")
    assert picture.get_attribute("src") != start
    assert page.evaluate("Reveal.getState()") == where
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.getState()") != where
    assert not page.evaluate("Reveal.isOverview()")


@pytest.mark.parametrize("name", DECKS)
def test_a_deck_is_printed_a_slide_a_page(page, html, name):
    page.goto((html / f"{name}.html").as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    printed = (html.parent / "pdf" / f"{name}.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type */Page\b", printed)) == page.evaluate("Reveal.getTotalSlides()")
