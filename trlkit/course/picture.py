"""A Sphinx extension: ``{picture}`` draws with trlkit.plotting when the page is built.

The directive's argument, or its content, is Python whose last expression is a picture::

    ```{picture} plotting.flatten_against_trl((512, 7, 7), 1000, 100)
    ```
"""

import ast
import hashlib
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def setup(app: Sphinx) -> dict:
    """Offer the directive."""
    app.add_directive("picture", PictureDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class PictureDirective(SphinxDirective):
    """Draw a picture and show it, with the words that stand in for it."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = {"width": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        code = "\n".join([*self.arguments, *self.content])
        try:
            picture = draw(code)
        except Exception as error:
            raise self.error(f"the picture cannot be drawn: {error!r}") from error
        name = f"{hashlib.sha256(code.encode()).hexdigest()[:16]}.svg"
        folder = Path(self.env.app.outdir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        picture.savefig(folder / name, metadata={"Date": None})
        up = "../" * (len(Path(self.env.docname).parts) - 1)
        width = self.options.get("width", "100%")
        html = (
            f'<img class="picture" src="{up}pictures/{name}" alt="{escape(picture.alt)}"'
            f' style="width: {escape(width)}">'
        )
        return [nodes.raw("", html, format="html")]


def draw(code: str):
    """Run Python that ends in an expression, beside torch and trlkit; return the expression's value.

    Examples
    --------
    >>> draw("shape = (2, 3, 4)\\nplotting.unfoldings(shape)").what
    'A tensor and its unfoldings'
    """
    import torch

    import trlkit
    from trlkit import data, models, plotting, ranks

    space = {"torch": torch, "trlkit": trlkit, "data": data, "models": models,
             "plotting": plotting, "ranks": ranks}
    tree = ast.parse(code)
    last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, "<picture>", "exec"), space)
    return eval(compile(last, "<picture>", "eval"), space)

