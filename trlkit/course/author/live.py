"""A Sphinx extension: pictures and numbers of a page come from Python that runs when it is built.

``{picture}`` shows the picture that its code ends in, ``{run}`` its code and what it prints,
``{explorable}`` every state of the one that it names, behind sliders::

    ```{picture} plotting.flatten_against_trl((512, 7, 7), 1000, 100)
    ```

    ```{run}
    :hide-code:
    :markdown:
    print("| rank | parameters |")
    ```

    ```{explorable} the rank of a photograph
    ```

The code of one page shares its names, in their order, beside torch, trlkit and its modules.
"""

import ast
import hashlib
import io
from contextlib import redirect_stdout
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def setup(app: Sphinx) -> dict:
    """Offer the directives."""
    app.add_directive("picture", PictureDirective)
    app.add_directive("run", RunDirective)
    app.add_directive("explorable", ExplorableDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class Live(SphinxDirective):
    """Run the directive's argument or content."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True

    @property
    def code(self) -> str:
        return "\n".join([*self.arguments, *self.content])

    def result(self) -> tuple:
        """What the code's last expression is, and what it has printed."""
        space = self.env.temp_data.setdefault("trlkit names", {})
        try:
            return run(self.code, space)
        except Exception as error:
            raise self.error(f"the code of this page fails: {error!r}") from error


class PictureDirective(Live):
    """Draw a picture and show it, with the words that stand in for it."""

    option_spec = {"width": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        picture, _ = self.result()
        if not hasattr(picture, "alt"):
            raise self.error(f"draw a picture of trlkit.lab.plotting here, got {picture!r}")
        name = f"{hashlib.sha256((self.env.docname + self.code).encode()).hexdigest()[:16]}.svg"
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


class ExplorableDirective(SphinxDirective):
    """Show what can be explored, by its name."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        from trlkit.course.author.explored import explored

        try:
            html = explored(Path(self.env.srcdir).parent, self.arguments[0])
        except (KeyError, ValueError) as error:
            raise self.error(f"this cannot be explored: {error}") from error
        return [nodes.raw("", html, format="html")]


class RunDirective(Live):
    """Show code with what it prints, or with the value it ends in."""

    option_spec = {"hide-code": directives.flag, "markdown": directives.flag}

    def run(self) -> list[nodes.Node]:
        value, said = self.result()
        said += "" if value is None else f"{value!r}\n"
        if not said:
            raise self.error("this code prints nothing: a plain code block shows it")
        shown = []
        if "hide-code" not in self.options:
            shown.append(nodes.literal_block(self.code, self.code, language="python"))
        if "markdown" in self.options:
            place = nodes.container()
            lines = StringList(said.splitlines(), self.env.docname)
            self.state.nested_parse(lines, self.content_offset, place)
            return [*shown, *place.children]
        return [*shown, nodes.literal_block(said, said, language="text")]


def run(code: str, space: dict | None = None) -> tuple:
    """Run Python beside torch and trlkit; return its last expression's value, and what it printed.

    Examples
    --------
    >>> run("shape = (2, 3, 4)\\nprint(len(shape))\\nmath.prod(shape)")
    (24, '3\\n')
    """
    import math

    import torch

    import trlkit
    from trlkit import ranks
    from trlkit.lab import data, models, plotting, robustness, training

    space = {} if space is None else space
    for module in (math, torch, trlkit, data, models, plotting, ranks, robustness, training):
        space.setdefault(module.__name__.rpartition(".")[2], module)
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(tree, "<page>", "exec"), space)
        value = last and eval(compile(ast.Expression(last.value), "<page>", "eval"), space)
    return value, printed.getvalue()
