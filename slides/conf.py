"""Sphinx's configuration of the slides."""

from trlkit.course.author.slides import HEIGHT, WIDTH

root_doc = "index"
project = "Tensor regression layers"
extensions = [
    "myst_parser",
    "sphinx_revealjs",
    "trlkit.course.author.mathml",
    "trlkit.course.author.live",
]
myst_enable_extensions = ["colon_fence", "dollarmath"]
html_math_renderer = "mathml"
revealjs_style_theme = "white"
revealjs_static_path = ["_static"]
revealjs_css_files = ["course.css"]
revealjs_script_plugins = [
    {"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"},
    {"name": "RevealHighlight", "src": "revealjs/plugin/highlight/highlight.js"},
]
revealjs_script_conf = {
    "hash": True,
    "slideNumber": "c/t",
    "width": WIDTH,
    "height": HEIGHT,
    "margin": 0.05,
    "center": False,
    "transition": "none",
}
