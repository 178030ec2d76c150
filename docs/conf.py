"""Sphinx's configuration of the course's site."""

import re

import trlkit

project = "Tensor regression layers"
author = "the course's authors"
version = release = trlkit.__version__
extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "trlkit.course.author.mathml",
]
html_theme = "furo"
html_title = "Tensor regression layers: a course"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_extra_path = ["extra"]
html_css_files = ["course.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {
    "sidebar_hide_name": False,
    "light_css_variables": {"color-brand-primary": "#005A9C", "color-brand-content": "#005A9C"},
    "dark_css_variables": {"color-brand-primary": "#8CC8FF", "color-brand-content": "#8CC8FF"},
}
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_merge_streams = True
numpydoc_show_class_members = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
templates_path = []
exclude_patterns = ["extra", "package.md"]


def leave_stars(app, what, name, obj, options, lines):
    """``*input_shape`` in a shape is Python's star, not the start of emphasized words."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[number] = re.sub(r"(?<![`*\w])\*(?=[a-z_])", r"\\*", line)


FOR_ALL = {  # what those who listen, or have no mouse, need beside what Sphinx writes
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
}


def reach_all(app, page, template, context, doctree):
    for name in ("furo_navigation_tree", "body"):
        for written, reached in FOR_ALL.items():
            context[name] = (context.get(name) or "").replace(written, reached)


def setup(app):
    app.connect("autodoc-process-docstring", leave_stars, priority=100)
    app.connect("html-page-context", reach_all, priority=900)
