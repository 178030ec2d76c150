"""The course as nbgrader sees it: `nbgrader ...` in this folder, or formgrader in JupyterLab."""

import runpy
from importlib.util import find_spec
from pathlib import Path

# By its path: an import of it would first import all of trlkit, and torch, for every command.
setup = Path(find_spec("trlkit").origin).parent / "course" / "teacher" / "nbgrader_setup.py"

c = get_config()  # noqa: F821 (nbgrader gives it)
runpy.run_path(str(setup))["configure"](c, Path(__file__).resolve().parent)
