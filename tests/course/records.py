"""Records as grading leaves them, and what their pages say."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

from payloads import PNG

from trlkit.course.chapters import bank, manifest
from trlkit.course.teacher.record import Record, Row

CHAPTER = "01_tensors"
RESHAPED = """\
unfold
  ok    unfold(x (2, 3, 4), mode=0)
  no    values differ: expected [[1, 5, 9, 13, ...], ...], got [[1, 2, 3, 4, ...], ...]
        first at [0, 1]: expected 5, got 2; largest difference 12 (torch.float64)

  You only reshaped. A reshape never moves an entry in memory, so its rows are fibers of no
  mode, unless the mode is already the first.
  Look at: which mode must stand in front before you reshape."""
CODE = "def unfold(x, mode):\n    # my own way\n    return x.reshape(x.shape[mode], -1)"


def full(student="ada", chapter=CHAPTER):
    """All right."""
    items = manifest.chapter(chapter).exercises
    rows = [
        Row(item.name, item.title, item.points, item.points, "ok", seconds=0.5) for item in items
    ]
    return Record(student, chapter, "graded", rows=tuple(rows), seconds=7.0, submission="ab" * 32)


def changed(record, exercise, **values):
    """The same but for one exercise, which has no points."""
    rows = [
        replace(row, points=0.0, **values) if row.exercise == exercise else row
        for row in record.rows
    ]
    return replace(record, rows=tuple(rows))


def mistaken(student="ben"):
    """A known mistake, an unknown one, a loop, an answer not begun."""
    record = full(student)
    record = changed(
        record, "unfold", message=RESHAPED, mistake="reshape alone", picture=PNG, seconds=0.7
    )
    record = changed(record, "fiber", message="fiber\n  no    raises ValueError: no\n\n  Read it.")
    record = changed(record, "khatri_rao", technical="took longer than 120 s", seconds=120.0)
    record = changed(record, "inner", message="inner\n  no    `inner` is not written yet")
    answers = {"unfold": CODE, "khatri_rao": "def khatri_rao(a, b):\n    while True: pass"}
    return replace(record, extra={"answers": answers})


def hostile(markup):
    """One that has the same markup wherever a stranger can write."""
    row = Row(
        markup, markup, 0.0, 1.0, message=f"{markup}\n  no    {markup}\n\n  {markup}",
        mistake=markup, picture=markup, technical=markup,
    )  # fmt: skip
    named = Row("unfold", markup, 0.0, 2.0, message=markup, mistake="reshape alone")
    return Record(
        markup, markup, "graded", reason=markup, rows=(row, named), notes=(markup,),
        submission=markup, extra={"answers": {markup: markup, "unfold": f"x = '{markup}'"}},
    )  # fmt: skip


def known(exercise, student, place=0):
    """One with a mistake of the bank, as its author would have written it."""
    mistake = bank.mistakes(exercise)[place]
    record = changed(full(student), exercise, message=mistake.message, mistake=mistake.name)
    return replace(record, extra={"answers": {exercise: mistake.source}})


def failed(student="ben"):
    """A file that cannot be graded."""
    reason = f"/srv/{student}/01_tensors/01_tensors.ipynb: is cut off in line 651"
    return Record(student, CHAPTER, "failed", reason)


MARKUP = [
    "<img src=x onerror=alert(1)>",
    "</style></title><script>alert(1)</script>",
    "\"'><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "</code></pre><iframe src=//ask.test>",
    "javascript:alert(1)",
]
OURS = set(
    "html head meta title style body header main footer section article h1 h2 h3 p ul ol li span "
    "strong svg rect a code pre div figure img b i nav table caption thead tbody tr th td small "
    "details summary line text em".split()
)


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= set(attributes)


def words(page, folded=True):
    """What a page says, with or without what is folded in."""
    if not folded:
        page = re.sub(r"<details>.*?</details>", " ", page, flags=re.DOTALL)
    page = re.sub(r"</?span[^>]*>", "", page)
    shown = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(shown).split())
