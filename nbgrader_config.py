"""The course as nbgrader sees it: `nbgrader ...` in this folder, or formgrader in JupyterLab."""

from pathlib import Path

from trlkit.course.teacher import nbgrader_setup

c = get_config()  # noqa: F821 (nbgrader gives it)
nbgrader_setup.configure(c, Path(__file__).resolve().parent)
