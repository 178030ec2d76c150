"""The right letters of the quizzes: the teacher's alone, read from the masters."""

import json
import re
from pathlib import Path

from trlkit.course.chapters import manifest
from trlkit.course.chapters.exercises import EXERCISES
from trlkit.course.checking.exercise import Quiz


def letters(solutions: Path) -> dict[str, str]:
    """The right letter of each quiz.

    Parameters
    ----------
    solutions : Path
        The folder of nbgrader's source notebooks.

    Raises
    ------
    ValueError
        If a quiz's letter is not there.
    """
    found = {}
    for chapter in manifest.chapters():
        path = solutions / chapter.name / f"{chapter.name}.ipynb"
        if not path.exists():
            raise ValueError(
                f"{path} is not there: grading needs the course's solutions/ (run it in the "
                "course's folder, or say --course FOLDER)"
            )
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
            if isinstance(EXERCISES.get(name), Quiz):
                said = re.search(rf'^\s*{name}\s*=\s*"(\w)"', "".join(cell["source"]), re.MULTILINE)
                if said is None:
                    raise ValueError(f"{path}: the cell {name} has no letter")
                found[name] = said[1].lower()
    return found
