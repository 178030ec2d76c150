"""nbgrader's step from source to release, for several chapters in one process.

``python -m trlkit.course.author.release NAME ...`` runs in the folder that holds
``solutions/``; it leaves ``notebooks/`` there and stops at the first chapter that nbgrader
refuses. A command of nbgrader's for each chapter would start Python and import torch anew.
"""

import sys
from pathlib import Path

from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from trlkit.course.teacher import nbgrader_setup


def main(names: list[str], root: Path) -> None:
    """Release the chapters without a gradebook."""
    config = Config()
    nbgrader_setup.configure(config, root)
    config.SaveCells.enabled = False
    config.GenerateAssignment.no_database = True
    for name in names:
        place = CourseDirectory(config=config)
        place.assignment_id = name
        GenerateAssignment(coursedir=place, config=config).start()


if __name__ == "__main__":
    main(sys.argv[1:], Path.cwd())
