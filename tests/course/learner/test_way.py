"""The map of the course shows what is done, and runs nothing."""

import json

import nbformat
import pytest
from filled import released, save

from trlkit import course
from trlkit.course.chapters import manifest
from trlkit.course.checking.report import Report
from trlkit.course.learner.way import Way, way

CHAPTERS = manifest.chapters()
NAMES = [item.name for chapter in CHAPTERS for item in chapter.exercises]


@pytest.fixture
def learner(tmp_path, monkeypatch):
    """A folder with two chapters, the second one open; the first shows two checks that ran."""
    for chapter in CHAPTERS[:2]:
        notebook = released(chapter.name)
        if chapter is CHAPTERS[0]:
            right, wrong = chapter.exercises[:2]
            for item, said in (
                (right, Report(right.name).right("3 cases").render(color=True)),
                (wrong, Report(wrong.name).no("values differ").render(color=True)),
            ):
                cell = next(
                    cell for cell in notebook.cells if cell.get("id") == f"check-{item.name}"
                )
                cell.outputs = [nbformat.v4.new_output("stream", text=said + "\n")]
        save(notebook, tmp_path / chapter.name / f"{chapter.name}.ipynb")
    monkeypatch.chdir(tmp_path / CHAPTERS[1].name)
    return tmp_path


def test_saved_notebooks_and_this_session_say_what_is_done(learner):
    first, second = CHAPTERS[0].exercises[0], CHAPTERS[1].exercises[0]
    assert way([]).done == {first.name}
    assert way([second.name, "no such exercise"]).done == {first.name, second.name}


def test_what_comes_next_is_the_first_that_is_open_from_here_on(learner):
    here = CHAPTERS[1]
    assert way([]).next() == (here, here.exercises[0])
    passed = [item.name for item in here.exercises]
    assert way(passed[:1]).next() == (here, here.exercises[1])
    assert way(passed).next() == (CHAPTERS[2], CHAPTERS[2].exercises[0])
    last = frozenset(NAMES) - {CHAPTERS[0].exercises[1].name}
    assert Way(last, CHAPTERS[5].name).next() == (CHAPTERS[0], CHAPTERS[0].exercises[1])
    assert Way(frozenset(NAMES)).next() is None
    assert "All exercises are done" in repr(Way(frozenset(NAMES)))


def test_the_map_has_a_square_for_each_exercise_and_links_where_a_chapter_lies(learner):
    found = way([CHAPTERS[1].exercises[0].name])
    text, html = repr(found), found._repr_html_()
    assert text.count("■") == html.count("■") == 2
    assert text.count("□") == html.count("□") == len(NAMES) - 2
    lines = text.split("\n")
    assert len(lines) == len(CHAPTERS) + 1
    assert [line[0] for line in lines[:3]] == [" ", ">", " "]
    for k, chapter in enumerate(CHAPTERS):
        assert chapter.title[:40] in lines[k] and chapter.title in html
        assert (f'href="../{chapter.name}/{chapter.name}.ipynb"' in html) == (k < 2)
        assert f"{1 if k < 2 else 0} of {len(chapter.exercises)}" in html
    assert f"Next: {CHAPTERS[1].exercises[1].title}" in text


def test_a_notebook_that_cannot_be_read_shows_nothing_and_stops_nobody(learner):
    path = learner / CHAPTERS[0].name / f"{CHAPTERS[0].name}.ipynb"
    for text in ("", "[]", '{"cells": 3}', json.dumps({"cells": [{"outputs": [{"text": 3}]}]})):
        path.write_text(text)
        assert way([]).done == frozenset()


def test_progress_knows_what_passed_in_this_session(learner, monkeypatch):
    monkeypatch.setattr(course, "PASSED", {CHAPTERS[1].exercises[2].name: None})
    assert CHAPTERS[1].exercises[2].name in course.progress().done
