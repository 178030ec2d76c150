"""Nothing of a submission runs in a browser, and everyone can read what grading says of it."""

from dataclasses import replace
from pathlib import Path

import nbformat
import nbgrader
import pytest
import records
from axe_playwright_python.sync_playwright import Axe
from nbconvert.exporters import HTMLExporter
from payloads import PAYLOADS, markdown, notebook, together

from trlkit.course.teacher import classreport, feedback
from trlkit.course.teacher.clean import clean

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("submissions")]
BASIC = HTMLExporter(template_name="basic")
LOUD = {name: does for name, (_, does) in PAYLOADS.items() if does != "here"}
TEMPLATES = Path(nbgrader.__file__).parent / "server_extensions/formgrader/templates"
RESOURCES = {
    "base_url": "http://127.0.0.1:1", "submission_id": "1", "notebook_id": "n",
    "assignment_id": "a",
    "index": 0, "total": 1, "student": "s", "last_name": "", "first_name": "", "notebook_path": "n",
    "nbgrader": {"notebook": "n", "score": 0, "max_score": 0, "late_penalty": 0},
}  # fmt: skip
FORMULA = (
    r"$\mathcal{X} \times_1 U^{(1)}$ and $\text{<script>alert(1)</script>} \href{javascript:x}{y}$"
)
REPORT = {"grade": True, "solution": True, "grade_id": "capstone_report", "points": 10}


class Watched:
    """Pages, one at a time, that fetch nothing; it notes what they tried: dialogs, requests."""

    def __init__(self, browser):
        self.browser = browser
        self.open()

    def open(self):
        self.page = self.browser.new_page()
        self.seen = []
        self.page.on("dialog", self.note)
        self.page.route("**/*", self.stop)

    def note(self, dialog):
        self.seen.append("a dialog")
        dialog.dismiss()

    def stop(self, route):
        self.seen.append(route.request.url)
        route.fulfill(status=204)  # a page that asks to go elsewhere stays

    def show(self, html):
        self.page.close()  # what stood there may still be on its way elsewhere
        self.open()
        self.page.set_content(html, wait_until="commit")

    def click(self):
        self.page.evaluate("document.querySelectorAll('a').forEach(a => a.click())")

    def wait(self, tenths):
        """Until something was noted; some tenths of a second where nothing is."""
        for _ in range(10 * tenths):
            if self.seen:
                return
            self.page.wait_for_timeout(10)


@pytest.fixture
def watched(browser):
    watched = Watched(browser)
    yield watched
    watched.page.close()


def exported(content, exporter=BASIC):
    return exporter.from_notebook_node(nbformat.from_dict(content), resources=dict(RESOURCES))[0]


@pytest.mark.parametrize("does", sorted(set(LOUD.values())))
def test_without_cleaning_a_submission_does_what_it_wants(watched, does):
    quiet = []
    for name in (name for name in LOUD if LOUD[name] == does):
        watched.show(exported(PAYLOADS[name][0]))
        if does == "click":
            watched.click()
        watched.wait(50)
        if not watched.seen or (does != "asks" and "a dialog" not in watched.seen):
            quiet.append(name)
    assert quiet == []


def test_cleaned_submissions_do_nothing(watched):
    cleaned = [exported(clean(content)) for content, _ in PAYLOADS.values()]
    watched.show("<!DOCTYPE html>" + "<hr>".join(cleaned))
    watched.wait(10)
    assert watched.seen == []
    for link in watched.page.locator("a").all():
        address = link.get_attribute("href") or "#"
        assert address.startswith(("http://ask.test/", "#"))
    assert "alert(1)" in watched.page.content()  # as text: what is checked was there


@pytest.mark.parametrize("template", ["lab", "feedback", "formgrade"])
def test_cleaned_submissions_do_nothing_in_the_pages_of_nbconvert_and_nbgrader(watched, template):
    exporter = HTMLExporter(
        template_name=template,
        extra_template_basedirs=[str(TEMPLATES)],
        extra_template_paths=[str(TEMPLATES.parent / "static/node_modules/bootstrap/dist/css")],
    )
    asked = []
    for content in (notebook(), together()):
        watched.show(exported(clean(content), exporter))
        watched.page.wait_for_timeout(700)
        assert "a dialog" not in watched.seen
        asked.append({address for address in watched.seen if not address.startswith("blob:")})
    assert asked[1] <= asked[0]


def pages():
    hand_in = markdown(FORMULA + "\n\n# Result\n\n| a | b |\n|--:|---|\n| 1 | 2 |", id="x")
    hand_in["metadata"] = {"nbgrader": REPORT}
    report = replace(records.full(chapter="09_capstone"), by_hand=10.0)
    class_ = [records.mistaken(f"s{number}") for number in range(7)]
    class_ += [records.full("ada"), records.known("fold", "ben"), records.failed("eve")]
    return {
        "mistakes": feedback.page(records.mistaken()),
        "all right, and a text": feedback.page(report, notebook(hand_in)),
        "failed": feedback.page(records.failed()),
        "hostile": feedback.page(records.hostile("<img src=x onerror=alert(1)>")),
        "class": classreport.page(class_, {"ada": "Ada Lovelace", "zoe": "Zoe"}),
        "hostile class": classreport.page([records.hostile("<script>alert(1)</script>")]),
    }


@pytest.mark.parametrize("name", pages())
def test_page_reads_for_everyone_light_and_dark_wide_and_narrow(page, tmp_path, name):
    file = tmp_path / "page.html"
    file.write_text(pages()[name], encoding="utf-8")
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("dialog", lambda dialog: errors.append("a dialog"))
    page.goto(file.as_uri())
    for scheme, width in (("light", 1300), ("dark", 400)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page).response["violations"]
        assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found] == []
    assert errors == []
    assert [url for url in asked if not url.startswith("data:image/png")] == [file.as_uri()]
    assert page.locator("h1").count() == 1
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth || !i.alt).length") == 0


def test_a_page_is_printed_dark_on_light(page, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(feedback.page(records.mistaken()), encoding="utf-8")
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(file.as_uri())
    ink = page.evaluate("getComputedStyle(document.querySelector('h1')).color")
    paper = page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor")
    assert (ink, paper) == ("rgb(27, 33, 39)", "rgb(255, 255, 255)")


def test_the_second_wall_holds_where_the_first_has_a_hole(watched):
    """A page of ours with markup let in runs and fetches none of it."""
    hole = "<script>alert(1)</script><img src=http://ask.test/ onerror=alert(1)><style>h1{}</style>"
    watched.show(f"<main>{hole}</main>")
    watched.wait(50)
    assert watched.seen != []
    watched.show(feedback.page(records.full()).replace("<main>", f"<main>{hole}"))
    watched.page.wait_for_timeout(500)
    assert watched.seen == []
