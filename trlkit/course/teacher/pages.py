"""The pages of ``trlkit grade``: one look, nothing loaded from elsewhere, nothing that runs."""

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from trlkit.course.teacher.markup import line, text

TEMPLATES = Path(__file__).with_name("templates")
LINES = 120  # of an answer that are shown


def page(template: str, **values: Any) -> str:
    """A whole page from a template, under a policy that lets it fetch and run nothing."""
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    values |= {"style": Markup(style), "policy": policy}
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": code, "line": line, "number": number, "prose": prose}
    environment.globals |= {"bar": bar, "plural": plural}
    return environment


def number(value: float) -> str:
    """A number as one says it.

    Examples
    --------
    >>> number(2.0), number(0.5), number(12345.678)
    ('2', '0.5', '12,346')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{round(value, 2):g}"


def plural(count: float, word: str, words: str = "") -> str:
    """A count with its word.

    Examples
    --------
    >>> plural(1, "point"), plural(3, "point"), plural(2, "person", "people")
    ('1 point', '3 points', '2 people')
    """
    return f"{number(count)} {word if count == 1 else words or word + 's'}"


def bar(parts: Iterable[tuple[str, float]], whole: float, label: str, thin: bool = False) -> Markup:
    """A bar of parts, each a kind ("right", "wrong", "halt", "rest") and a length of ``whole``."""
    drawn, at = [], 0.0
    scale = 1000 / whole if whole > 0 else 0.0
    for kind, length in parts:
        width = length * scale
        if kind != "rest" and width > 0:
            drawn.append(
                f'<rect class="{escape(kind)}" x="{at:.1f}" width="{width:.1f}" height="9"/>'
            )
        at += width
        if at < 999:
            drawn.append(f'<rect class="gap" x="{at - 1.5:.1f}" width="3" height="9"/>')
    shape = "bar thin" if thin else "bar"
    return Markup(
        f'<svg class="{shape}" viewBox="0 0 1000 9" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{"".join(drawn)}</svg>'
    )


def code(source: str, label: str = "code") -> Markup:
    """Python in colors; what is longer than a page is cut."""
    lines = text(source, 12_000).strip("\n").split("\n")
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"# [... {len(lines) - LINES:,} more lines]"]
    colored = highlight("\n".join(lines), PythonLexer(), HtmlFormatter(nowrap=True))
    return Markup(
        f'<pre tabindex="0" role="group" aria-label="{escape(label)}"><code>{colored}</code></pre>'
    )


def prose(value: str) -> Markup:
    """A sentence of a check or of the bank: ``code`` in back quotes, *emphasis* in stars.

    Examples
    --------
    >>> prose("use `x < y`, *not* <b>")
    Markup('use <code>x &lt; y</code>, <em>not</em> &lt;b&gt;')
    """
    parts = re.split(r"(`[^`\n]+`)", text(value, 6000))
    return Markup("").join(
        Markup("<code>{}</code>").format(part[1:-1]) if number % 2 else _emphasized(part)
        for number, part in enumerate(parts)
    )


def _emphasized(value: str) -> Markup:
    parts = re.split(r"(?<![\w*])\*(\w[^*\n]{0,80}?)\*(?![\w*])", value)
    return Markup("").join(
        Markup("<em>{}</em>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )
