"""A cleaned notebook holds nothing that a browser would run or fetch, and all that is harmless."""

import copy
import json
import re
from html.parser import HTMLParser

import nbformat
import pytest
from filled import chapter_names, filled, released, solutions
from hypothesis import given, settings
from hypothesis import strategies as st
from nbconvert.exporters import HTMLExporter
from payloads import PAYLOADS, PNG, code, markdown, notebook, output, raw, result, together

from trlkit.course.teacher import markup
from trlkit.course.teacher.clean import CELLS, SHOWN, clean, line, text

EXPORTER = HTMLExporter(template_name="basic")
RUNNING = set(
    "applet audio base button embed form frame frameset iframe input link math meta noscript "
    "object portal script select style svg template textarea title video".split()
)


class Dangers(HTMLParser):
    """What in a page would run, ask, cover or imitate."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag in RUNNING or "-" in tag:
            self.found.append(tag)
        for name, value in attributes:
            if not self.harmless(name, value or ""):
                self.found.append(f"{tag} {name}={value}")

    def harmless(self, name, value):
        match name:
            case "href":
                return re.match(r"(https?://|mailto:|#)", value)
            case "src":
                return re.fullmatch(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+", value)
            case "style":
                return re.fullmatch(r"text-align: ?(left|right|center);?", value)
            case "id":
                return re.fullmatch(r"cell-id=[\w-]+", value)
            case "class":
                return "credit" not in value and not re.search(r"[^\w -]", value)
        return name in (
            "alt",
            "title",
            "width",
            "height",
            "colspan",
            "rowspan",
            "scope",
            "tabindex",
        )


def exported(content):
    return EXPORTER.from_notebook_node(nbformat.from_dict(content))[0]


@pytest.mark.parametrize("name", PAYLOADS)
def test_nothing_that_runs_is_left(name):
    content = PAYLOADS[name][0]
    before = copy.deepcopy(content)
    cleaned = clean(content)
    assert content == before
    nbformat.validate(cleaned)
    assert Dangers(exported(cleaned)).found == []
    assert clean(cleaned) == cleaned


# Python's parser ends the comment elsewhere than a browser: that one is tried in Chromium alone.
LOUD = [name for name, (_, does) in PAYLOADS.items() if does != "here" and "comment" not in name]


@pytest.mark.parametrize("name", LOUD)
def test_without_cleaning_it_would_be_there(name):
    assert Dangers(exported(PAYLOADS[name][0])).found != []


def test_no_formula_reaches_beyond_itself():
    kept = "".join(json.dumps(cell) for cell in clean(together()).cells)
    for command in ("href", "style", "class", "cssId"):
        assert not re.search(rf"\\+{command}\b|&#92;{command}\b", kept)
    assert r"\frac{a}{b}" in clean(notebook(markdown(r"$\frac{a}{b}$"))).cells[0].source


@pytest.mark.parametrize("chapter", chapter_names())
def test_the_courses_own_cells_and_honest_answers_stay_as_they_are(chapter):
    for content in (released(chapter), filled(chapter, solutions(chapter))):
        assert clean(content) == content


def test_what_is_harmless_stays():
    table = (
        '<table border="1" class="dataframe"><tbody><tr><th>a</th><td>1</td></tr></tbody></table>'
    )
    cleaned = clean(
        notebook(
            markdown("# Head\n\n- *a*\n\n| a | b |\n|--:|---|\n| 1 | `x < y` |\n\n$a_i < b$"),
            markdown("![mine](attachment:a.png)", attachments={"a.png": {"image/png": PNG}}),
            code(result("image/png", PNG + "\n"), source="if a < b:\n\tprint('<b>')"),
            code(output("text/html", f"<style scoped>td {{}}</style>{table}")),
            code({"output_type": "stream", "name": "stderr", "text": ["a\x1b[31mb", "\x1b[0m\n"]}),
            code(result("text/plain", "tensor([1., 2.])"), output("text/latex", "$x^2$")),
        )
    ).cells
    assert cleaned[0].source.startswith("# Head")
    assert cleaned[1].source == "![mine](attachment:a.png)"
    assert cleaned[1].attachments == {"a.png": {"image/png": PNG}}
    assert cleaned[2].source == "if a < b:\n\tprint('<b>')"
    assert cleaned[2].outputs[0].data == {"image/png": PNG}
    assert cleaned[3].outputs[0].data["text/html"] == table.replace(' border="1"', "")
    assert cleaned[4].outputs[0].text == "a\x1b[31mb\x1b[0m\n"
    assert cleaned[5].outputs[0].data == {"text/plain": "tensor([1., 2.])"}
    assert cleaned[5].outputs[1].data == {"text/latex": "$x^2$"}


def test_raw_html_in_an_answer_looks_as_it_did():
    page = exported(clean(notebook(markdown("a <b>bold</b> <span>word</span>\n\n* `[x](y)`"))))
    assert "a <b>bold</b> <span>word</span>" in page
    assert "<li><code>[x](y)</code></li>" in page


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
KEYS = st.sampled_from(
    "cell_type id metadata source outputs execution_count attachments output_type data name text "
    "traceback evalue nbgrader tags text/html image/png text/markdown".split()
)
CELL = st.dictionaries(KEYS, JSON | st.sampled_from(["code", "markdown", "error", "stream"]))


@given(JSON | st.fixed_dictionaries({"cells": st.lists(CELL, max_size=3) | JSON, "metadata": JSON}))
@settings(max_examples=150, deadline=None)
def test_whatever_comes_a_valid_notebook_leaves(content):
    cleaned = clean(content)
    nbformat.validate(cleaned)
    assert clean(cleaned) == cleaned


def test_a_large_notebook_becomes_small_and_says_so():
    many = [output("text/plain", "x" * 60_000)] * 60
    cells = [code(*many, source="y" * 10_000) for _ in range(CELLS + 5)]
    cleaned = clean(notebook(*cells))
    assert len(json.dumps(cleaned)) < 1.3 * SHOWN
    assert "more characters]" in cleaned.cells[0].outputs[0].data["text/plain"]
    assert cleaned.cells[0].outputs[-1].text == "10 more outputs are not shown."
    assert cleaned.cells[-1].source == "5 more cells are not shown."


def test_markdown_that_would_take_long_is_shown_as_it_was_written():
    source = "[" * (markup.RENDERED + 1)
    assert clean(notebook(markdown(source))).cells[0].source.startswith("<div><pre>&#91;")
    cells = [markdown("word " * 1000) for _ in range(60)]
    assert clean(notebook(*cells)).cells[-1].source.startswith("<div><pre>word")


def test_a_picture_of_too_many_pixels_is_none():
    start = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
    huge = (60_000).to_bytes(4, "big")
    content = start + huge + huge + b"\x08\x02\x00\x00\x00" + b"\x00" * 4
    assert markup.picture("image/png", markup.base64.b64encode(content).decode()) == ""
    assert markup.picture("image/png", PNG) == PNG
    assert markup.picture("image/jpeg", PNG) == ""


def test_nbgraders_marks_stay_whole_or_go():
    marks = {"grade": True, "grade_id": "check_unfold", "solution": False, "points": 2}
    assert clean(notebook(code(nbgrader=marks))).cells[0].metadata.nbgrader == marks
    for lost in marks:
        half = {key: value for key, value in marks.items() if key != lost}
        assert "nbgrader" not in clean(notebook(code(nbgrader=half))).cells[0].metadata


def test_raw_cells_hold_no_tag():
    assert clean(notebook(raw("a < b <script>"))).cells[0].source == "a < b < script>"
    assert clean(notebook(raw("<\\style>"))).cells[0].source == "< style>"


def test_a_line_break_that_html_drops_is_dropped_at_once():
    cleaned = clean(notebook(markdown("~~~mermaid\n\n\n~~~")))
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[2J\x1b[1;1Hcleared", "cleared"),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b", "ab"),
        ("a\x08\x08b\x00\x7f\x9b31mc", "ab31mc"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("\u202egnp.exe\u2066\u200b\ufeff\u2028", "gnp.exe"),
        ("half \ud800", "half "),
        ("n\u0303 \u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f680", None),
        (7, "7"),
    ],
)
def test_text_holds_only_what_is_seen(given, kept):
    assert text(given) == (given if kept is None else kept)


def test_text_is_cut_to_its_limit():
    assert len(text("x" * 1000, 100)) == 100
    assert text("x" * 1000, 100).endswith("[... 900 more characters]")
    assert line(" a\n\n b\x1b[0m\tc ") == "a b c"
