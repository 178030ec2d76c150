"""How nbgrader treats the course: its folders, the learner's stubs, the feedback."""

import os
import re
import sys
from pathlib import Path
from textwrap import indent
from typing import Any

from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    GetGrades,
    IncludeHeaderFooter,
    InstantiateTests,
    LockCells,
    SaveCells,
)
from nbgrader.utils import is_grade

from trlkit.course.checking.report import CheckFailed

STUB = "# YOUR CODE HERE\nraise NotImplementedError"
REGION = re.compile(
    r"^(?P<indent>[ \t]*)### BEGIN SOLUTION\n(?P<body>.*?)^[ \t]*### END SOLUTION$",
    re.DOTALL | re.MULTILINE,
)
KEPT = re.compile(r"^([ \t]*)#~ ?(.*)$", re.MULTILINE)


class LeaveStubs(ClearSolutions):
    """Put the lines that a master marks with ``#~``, or the usual stub, in a solution's place."""

    def _replace_solution_region(self, cell: Any, language: str) -> bool:
        usual = STUB if cell.cell_type == "code" else self.text_stub
        source = REGION.sub(lambda region: _stub(region, usual), cell.source)
        changed = source != cell.source
        cell.source = source
        return super()._replace_solution_region(cell, language) or changed


def _stub(region: re.Match, usual: str) -> str:
    kept = KEPT.findall(region["body"])
    return "\n".join(space + text for space, text in kept) or indent(usual, region["indent"])


class InstantiateOwnTests(InstantiateTests):
    """Make the tests of ``### AUTOTEST`` lines from the cells that they speak of, running no other.

    A snippet sees the chapter's locked cells and the answers that it names; nbgrader's own
    class runs the whole chapter, trainings and all, for a quiz's letter.
    """

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        lines = [line for cell in nb.cells for line in cell.source.split("\n")]
        self._named = set(re.findall(r"\w+", "\n".join(x for x in lines if "AUTOTEST" in x)))
        return super().preprocess(nb, resources)

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        marks = cell.metadata.get("nbgrader", {})
        wanted = (
            self.autotest_delimiter in cell.source
            or str(marks.get("grade_id", "")).startswith("lock_")
            or (marks.get("solution") and marks.get("grade_id") in self._named)
        )
        return super().preprocess_cell(cell, resources, index) if wanted else (cell, resources)


class ClearFeedback(ClearHiddenTests):
    """Keep hidden tests out of the feedback: their source, and where a traceback shows it."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        if is_grade(cell):
            for output in cell.get("outputs", []):
                if output.output_type == "error" and output.ename != CheckFailed.__name__:
                    output.traceback = [f"{output.ename}: {output.evalue}"]
        return super().preprocess_cell(cell, resources, cell_index)


def configure(c: Any, root: Path) -> None:
    """Fill nbgrader's configuration ``c`` for the course in ``root``."""
    # nbgrader calls alembic by name, also where this environment is not activated.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    build = root / "build"
    build.mkdir(exist_ok=True)
    c.CourseDirectory.root = str(root)
    c.CourseDirectory.course_id = "trl"
    c.CourseDirectory.source_directory = "solutions"
    c.CourseDirectory.release_directory = "notebooks"
    c.CourseDirectory.submitted_directory = "build/submitted"
    c.CourseDirectory.autograded_directory = "build/autograded"
    c.CourseDirectory.feedback_directory = "build/feedback"
    c.CourseDirectory.solution_directory = "build/solution"
    c.ZipCollectApp.downloaded_directory = "build/downloaded"
    c.CourseDirectory.source_with_tests_directory = "build/source_with_tests"
    c.CourseDirectory.db_url = f"sqlite:///{build / 'gradebook.db'}?timeout=60"
    c.CsvExportPlugin.to = str(build / "grades.csv")
    # nbgrader copies whatever stands beside a source notebook: the master must stay here.
    c.CourseDirectory.ignore = ["*.py", "*.pyc", "__pycache__", ".ipynb_checkpoints", "*.db"]
    c.ClearSolutions.code_stub = {"python": STUB}
    c.GenerateAssignment.preprocessors = [
        IncludeHeaderFooter,
        InstantiateOwnTests,
        LockCells,
        LeaveStubs,
        ClearOutput,
        CheckCellMetadata,
        ComputeChecksums,
        SaveCells,
        ClearHiddenTests,
        ClearMarkScheme,
        ComputeChecksums,
        CheckCellMetadata,
    ]
    # Autograding shows a mark scheme to the grader, in the locked cell above the answer.
    c.ClearMarkScheme.enforce_metadata = False
    c.GenerateFeedback.preprocessors = [
        GetGrades,
        ClearFeedback,
        ClearMarkScheme,
        CSSHTMLHeaderPreprocessor,
    ]
    c.Autograde.create_student = True
    c.Execute.timeout = 120
    c.Execute.iopub_timeout = 60
    c.Execute.interrupt_on_timeout = True
