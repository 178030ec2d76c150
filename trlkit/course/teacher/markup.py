"""Strangers' text, HTML, Markdown and pictures, made harmless for terminals and browsers.

What HTML may hold is decided by nh3 (the sanitizer ammonia): what is not listed here is dropped.
Markdown is rendered as nbconvert does, since formgrader and nbgrader's feedback render it so;
what stays the same under the sanitizer is left as its author wrote it.
"""

import base64
import io
import re
import unicodedata
from collections.abc import Mapping
from html import escape
from html.parser import HTMLParser
from typing import Any

import nh3
from PIL import Image

TEXT = 50_000  # characters that are kept of one text
RENDERED = 10_000  # characters of Markdown that are rendered; more is shown as it stands
PICTURE_BYTES = 2_000_000
PICTURE_PIXELS = 16_000_000
PICTURES = {"image/png": "PNG", "image/jpeg": "JPEG"}

SIMPLE = "b br code del details em i ins kbd s small strong sub summary sup u".split()
TAGS = {
    *SIMPLE,
    *"a blockquote caption center dd div dl dt h1 h2 h3 h4 h5 h6 hr img li mark ol p pre q".split(),
    *"samp span strike table tbody td tfoot th thead tr tt ul var".split(),
}
GONE = set(  # tags that go with all that they hold
    "applet audio canvas embed frameset iframe math noembed noframes noscript object picture "
    "plaintext script select style svg template textarea title video xmp".split()
)
ATTRIBUTES = {
    "*": {"class"},
    "a": {"href", "title"},
    "img": {"alt", "height", "src", "title", "width"},
    "ol": {"start"},
    "td": {"colspan", "rowspan", "style"},
    "th": {"colspan", "rowspan", "scope", "style"},
}
FORMULA_TAGS = set(
    "math menclose mfrac mi mn mo mover mpadded mphantom mroot mrow mspace msqrt mstyle msub "
    "msubsup msup mtable mtd mtext mtr munder munderover".split()
)
FORMULA_ATTRIBUTES = {  # and no style: the pages forbid it
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "math": {"display"},
    "mo": {"fence", "stretchy"},
    "mtable": {"columnalign"},
    "mfrac": {"linethickness"},
}
VALUES = {  # what an attribute may be; class is read word by word
    "class": re.compile(r"dataframe|highlight|language-\w{1,20}|[a-z]{1,2}\d?"),
    "href": re.compile(r"(https?://|mailto:|#).*", re.DOTALL | re.IGNORECASE),
    "style": re.compile(r"text-align: ?(left|right|center);?"),
    "scope": re.compile(r"row|col"),
    **dict.fromkeys(("colspan", "rowspan", "start"), re.compile(r"\d{1,3}")),
    **dict.fromkeys(("height", "width"), re.compile(r"\d{1,4}(px)?|\d{1,2}%|100%")),
}
DATA = re.compile(r"data:(image/\w+);base64,(.*)", re.DOTALL)
BARE = re.compile(rf"</?({'|'.join(SIMPLE)})>")
TAG = re.compile(r"<[A-Za-z/!?]")
# Commands with which TeX reaches beyond a formula: links, styles, classes, extensions.
REACHING = re.compile(
    r"\\+(?=(?:href|url|class|cssId|style|require|html\w*|data|includegraphics|unicode|bbox|mmlToken"
    r"|toggle|mathtip|texttip|FormInput)(?![A-Za-z]))"
)
SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?)")
COLOR = re.compile(r"(\x1b\[[0-9;]{0,20}m)")
JOINERS = "\u200c\u200d"  # of Persian, of Indian languages, of emoji


def text(value: Any, limit: int = TEXT, colors: bool = False) -> str:
    """Text without what a terminal or a browser obeys in place of showing it.

    Escape sequences, control characters but for line breaks and tabs, marks that turn the
    direction of writing, invisible characters and halves of surrogate pairs are dropped.

    Parameters
    ----------
    value : object
        A str, or anything to be shown by its ``str``.
    limit : int
        How many characters are kept; of longer text, the end is replaced by a remark.
    colors : bool
        Keep the sequences that color text.

    Examples
    --------
    >>> text("\\x1b]0;title\\x07a\\x1b[31mb\\r\\n\\u202egnp.exe\\x00")
    'ab\\ngnp.exe'
    """
    value = value if isinstance(value, str) else str(value)
    cut = len(value) - limit
    if cut > 0:
        remark = f" [... {cut:,} more characters]"
        value = value[: max(limit - len(remark), 0)] + remark
    if value.isascii() and value.replace("\n", "").replace("\t", "").isprintable():
        return value
    if colors:
        parts = COLOR.split(value)
        return "".join(part if COLOR.fullmatch(part) else text(part, limit) for part in parts)
    value = SEQUENCE.sub("", value).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(filter(_shown, value))


def line(value: Any, limit: int = 200) -> str:
    """The same as :func:`text`, in one line."""
    return " ".join(text(value, limit).split())


def _shown(character: str) -> bool:
    if character in "\n\t" or character in JOINERS:
        return True
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def picture(kind: Any, data: Any) -> str:
    """A PNG or JPEG in base64, or "" where it is none, or too large to be shown.

    Parameters
    ----------
    kind : str
        "image/png" or "image/jpeg".
    data : str
        Base64; blanks and line breaks in it don't count.
    """
    if kind not in PICTURES or not isinstance(data, str) or len(data) > 1.4 * PICTURE_BYTES:
        return ""
    data = "".join(data.split())
    try:
        content = base64.b64decode(data, validate=True)
        with Image.open(io.BytesIO(content), formats=[PICTURES[kind]]) as image:
            width, height = image.size
    except Exception:  # whatever a stranger's bytes make Pillow raise
        return ""
    return data if 0 < width * height <= PICTURE_PIXELS else ""


def html(fragment: str) -> str:
    """HTML without scripts, handlers, frames, forms, styles, outside pictures and bad links.

    Examples
    --------
    >>> html("<b onclick='x()'>bold</b><script>y()</script><a href='javascript:z()'>link</a>")
    '<b>bold</b><a>link</a>'
    """
    return _rewritten(_CLEANER.clean(text(fragment)))


def markdown(source: str, attachments: Mapping | None = None) -> str:
    """Markdown as it is where that is harmless; else the harmless part of what it renders to.

    Parameters
    ----------
    source : str
    attachments : mapping, optional
        The cell's attachments, cleaned.

    Examples
    --------
    >>> markdown("*fine*: $a < b$")
    '*fine*: $a < b$'
    >>> markdown("[x](javascript:y)")
    '<div><p><a>x</a></p></div>'
    """
    if _ours(source):
        return source
    source = text(source)
    rendered = _render(source, attachments or {})
    cleaned = _CLEANER.clean(rendered or verbatim(source))
    bare = rendered and not TAG.search(BARE.sub("", source))
    before, after = _Parts(rendered), _Parts(cleaned)
    if bare and before.parts == after.parts and not after.reaching:
        return source
    return _block(cleaned)


def verbatim(source: str) -> str:
    """Text as HTML that shows it as it stands.

    Examples
    --------
    >>> verbatim("<b>")
    '<pre>&lt;b&gt;</pre>'
    """
    return f"<pre>{escape(text(source))}</pre>"


def _ours(source: str) -> bool:
    """Whether :func:`markdown` has made this already."""
    return (
        source.startswith("<div>")
        and source.endswith("</div>")
        and len(source) <= 7 * TEXT
        and source == _rewritten(_CLEANER.clean(source))
    )


def _block(cleaned: str) -> str:
    body = _rewritten(cleaned.strip())
    whole = body.startswith("<div>") and body.endswith("</div>")
    return body if whole else f"<div>{body}</div>"


def shown(source: str, attachments: Mapping | None = None) -> str:
    """Markdown as HTML for a page without scripts: harmless, its formulas in MathML."""
    source = text(source)
    rendered = _render(source, attachments or {}, formulas=True)
    return _FORMULAS.clean(rendered or verbatim(source))


def mathml(latex: str, display: bool = False) -> str:
    """A formula as an element of HTML.

    The converter passes on what ``\\text`` and ``\\href`` hold: for a stranger's formula use
    :func:`shown`.

    Raises
    ------
    ValueError
        If the formula is not understood.

    Examples
    --------
    >>> "<msub>" in mathml("x_i")
    True
    """
    from latex2mathml.converter import convert

    try:
        return convert(latex, display="block" if display else "inline")
    except Exception as error:
        raise ValueError(f"no MathML for the formula {latex!r}: {error!r}") from error


def _render(source: str, attachments: Mapping, formulas: bool = False) -> str:
    """HTML as nbconvert makes it; "" where that fails or would take long."""
    from mistune import HTMLRenderer
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Formulas(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return _formula(body, True)

        def inline_math(self, body: str) -> str:
            return _formula(body, False)

        def latex_environment(self, name: str, body: str) -> str:
            return _formula(f"\\begin{{{name}}}{body}\\end{{{name}}}", True)

    kind: type[HTMLRenderer] = Formulas if formulas else IPythonRenderer
    renderer = kind(escape=False, attachments=attachments, exclude_anchor_links=True)
    if len(source) <= RENDERED:
        try:
            return MarkdownWithMath(renderer=renderer).render(source)
        except Exception:  # RecursionError, a missing attachment: whatever a stranger's text raises
            pass
    return ""


def _formula(latex: str, display: bool) -> str:
    try:
        return mathml(latex, display) if len(latex) <= 2000 else f"<code>{escape(latex)}</code>"
    except ValueError:
        return f"<code>{escape(latex)}</code>"


def _allowed(tag: str, attribute: str, value: str) -> str | None:
    """The value that an attribute may have, or None where it goes."""
    if attribute == "class":
        words = [word for word in value.split() if VALUES["class"].fullmatch(word)]
        return " ".join(words) or None
    if attribute == "src":
        found = DATA.fullmatch(value)
        kept = picture(found[1], found[2]) if found else ""
        return f"data:{found[1]};base64,{kept}" if kept else None
    pattern = VALUES.get(attribute)
    return text(value, 2000) if pattern is None or pattern.fullmatch(value) else None


def _cleaner(tags: set[str], attributes: Mapping[str, set[str]], gone: set[str]) -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=tags,
        clean_content_tags=gone,
        attributes=dict(attributes),
        attribute_filter=_allowed,
        link_rel=None,
        url_schemes={"http", "https", "mailto", "data"},
    )


_CLEANER = _cleaner(TAGS, ATTRIBUTES, GONE)
_FORMULAS = _cleaner(TAGS | FORMULA_TAGS, ATTRIBUTES | FORMULA_ATTRIBUTES, GONE - {"math"})


class _Parts(HTMLParser):
    """The tags and texts of HTML, to be compared; what TeX obeys in its texts."""

    def __init__(self, source: str):
        super().__init__(convert_charrefs=True)
        self.parts: list[tuple] = []
        self.reaching = False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.parts.append((tag, sorted((key, value or "") for key, value in attributes)))

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        self.handle_starttag(tag, attributes)  # <br /> is <br>

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(("/", tag))

    def handle_data(self, data: str) -> None:
        self.reaching = self.reaching or bool(REACHING.search(data))
        self.parts.append(("", data.strip("\n")))


class _Rewriter(HTMLParser):
    """Clean HTML in one line, in which Markdown finds no sign of its own and TeX no bad command."""

    def __init__(self, source: str):
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self.verbatim = 0  # TeX is not looked for in <pre> and <code>
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.verbatim += tag in ("pre", "code")
        written = (
            f' {key}="{_entities(value or "", "-/+=:;%?@_~#")}"' for key, value in attributes
        )
        self.out.append(f"<{tag}{''.join(written)}>")

    def handle_endtag(self, tag: str) -> None:
        self.verbatim -= tag in ("pre", "code")
        self.out.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        data = text(data)
        if self.out and self.out[-1].startswith("<pre"):  # where HTML drops the first line break
            data = data.lstrip("\n")
        self.out.append(_entities(data if self.verbatim else REACHING.sub("", data)))


def _rewritten(cleaned: str) -> str:
    return "".join(_Rewriter(cleaned).out)


def _entities(value: str, more: str = "") -> str:
    """Text with every sign but letters, digits, blanks, points and commas as its number."""
    kept = f" .,{more}"
    return "".join(
        sign if sign.isalnum() or sign in kept or sign > "\x7f" else f"&#{ord(sign)};"
        for sign in value
    )
