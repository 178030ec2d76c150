"""A Sphinx extension: formulas become MathML, which browsers draw without a script or a font."""

from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from trlkit.course.teacher.markup import mathml


def setup(app: Sphinx) -> dict:
    """Offer the renderer; ``html_math_renderer = "mathml"`` chooses it."""
    app.add_html_math_renderer("mathml", (_visit(False), None), (_visit(True), None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


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
