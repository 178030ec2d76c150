"""A Sphinx extension: formulas become MathML, which browsers draw without a script.

Its font comes with the pages, for a reader may have none with the measures of formulas.
"""

from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

from trlkit.course.teacher.markup import mathml

FONTS = Path(__file__).parent / "fonts"


def setup(app: Sphinx) -> dict:
    """Offer the renderer, ``html_math_renderer = "mathml"`` chooses it, and bring its font."""
    app.connect("config-inited", _add_font)
    app.add_html_math_renderer("mathml", (_visit(False), None), (_visit(True), None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _add_font(app: Sphinx, config: Config) -> None:
    """Copy the font beside the pages, of the site as of the slides."""
    for kind in ("html", "revealjs"):
        if f"{kind}_static_path" in config:
            config[f"{kind}_static_path"].append(str(FONTS))
            config[f"{kind}_css_files"].append("math.css")


def _visit(display: bool):
    def visit(translator, node) -> None:
        try:
            formula = mathml(node.astext(), display)
        except ValueError as error:
            raise ExtensionError(str(error)) from error
        if display:
            number = (
                f'<span class="eqno">({escape(node["number"])})</span>'
                if node.get("number")
                else ""
            )
            formula = f'<div class="formula" tabindex="0">{number}{formula}</div>'
        translator.body.append(formula)
        raise nodes.SkipNode

    return visit
