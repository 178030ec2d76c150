"""A Sphinx extension: formulas become MathML, which browsers draw without a script or a font."""

from html import escape

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError


def setup(app: Sphinx) -> dict:
    """Offer the renderer; ``html_math_renderer = "mathml"`` chooses it."""
    app.add_html_math_renderer("mathml", (_visit(False), None), (_visit(True), None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mathml(latex: str, display: bool = False) -> str:
    """A formula as an element of HTML.

    Raises
    ------
    ExtensionError
        If the formula is not understood.

    Examples
    --------
    >>> "<msub>" in mathml("x_i")
    True
    """
    try:
        return convert(latex, display="block" if display else "inline")
    except Exception as error:
        raise ExtensionError(f"no MathML for the formula {latex!r}: {error!r}") from error


def _visit(display: bool):
    def visit(translator, node) -> None:
        formula = mathml(node.astext(), display)
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
