"""How nbgrader treats the course: its folders, the learner's stubs, the feedback.

``nbgrader_config.py`` runs this file by its path, so it imports nothing of trlkit.
"""

import ast
import builtins
import os
import platform
import re
import runpy
import shutil
import sys
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from textwrap import indent
from typing import Any

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    Execute,
    GetGrades,
    IgnorePattern,
    IncludeHeaderFooter,
    InstantiateTests,
    LimitOutput,
    LockCells,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
    SaveCells,
)
from nbgrader.utils import is_grade, is_solution
from traitlets import Unicode

STUB = "# YOUR CODE HERE\nraise NotImplementedError"
REGION = re.compile(
    r"^(?P<indent>[ \t]*)### BEGIN SOLUTION\n(?P<body>.*?)^[ \t]*### END SOLUTION$",
    re.DOTALL | re.MULTILINE,
)
RESTARTS = 5
SANDBOXED = "trl-sandbox"  # the kernel that trlkit/course/teacher/sandboxed_kernel.py makes
SKIPPED = "skip-execution"  # the tag of a cell that nbclient does not run
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

    A snippet sees the answers that it names and, where these need more than Python has, the
    chapter's locked cells; nbgrader's own class runs the whole chapter, trainings and all, for
    a quiz's letter. The check above a test is not run: the build tries it out.
    """

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        lines = [line for cell in nb.cells for line in cell.source.split("\n")]
        snippets = [line.partition("AUTOTEST")[2].strip() for line in lines if "AUTOTEST" in line]
        self._named = set(re.findall(r"\w+", "\n".join(snippets)))
        answers = [cell.source for cell in nb.cells if self._is_named(cell)]
        self._locked = not _stands_alone("\n".join([*answers, *snippets]))
        return super().preprocess(nb, resources)

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        locked = str(cell.metadata.get("nbgrader", {}).get("grade_id", "")).startswith("lock_")
        tests = self.autotest_delimiter in cell.source
        wanted = tests or self._is_named(cell) or (locked and self._locked)
        return super().preprocess_cell(cell, resources, index) if wanted else (cell, resources)

    def _is_named(self, cell: Any) -> bool:
        marks = cell.metadata.get("nbgrader", {})
        return bool(marks.get("solution")) and marks.get("grade_id") in self._named

    def _execute_code_snippet(self, code: str) -> Any:
        return None if code.startswith("check(") else super()._execute_code_snippet(code)


def _stands_alone(code: str) -> bool:
    """Whether code uses no name but those that it binds and Python's own."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # one of IPython's own lines, or a fault: the kernel will say
        return False
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    return {node.id for node in names} <= bound | set(dir(builtins))


class RestoreMarks(NbGraderPreprocessor):
    """Give a submission's cells the metadata that they were released with, and no other.

    A cell is known by its grade_id or, where its metadata is gone, by its id. Of several copies
    the last counts, as nbgrader has it, and a check that is missing is run at the end. What
    else a submission says about its cells (a schema version, points, a tag) has no effect.
    """

    released = Unicode(help="The folder of the released chapters.").tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        place = resources["nbgrader"]
        path = Path(self.released, place["assignment"], f"{place['notebook']}.ipynb")
        marked = [cell for cell in nbformat.read(path, as_version=4).cells if _name(cell)]
        names = {cell.id: _name(cell) for cell in marked}
        missing = {_name(cell): cell for cell in marked}
        for cell in reversed(nb.cells):
            name = _name(cell) or names.get(cell.get("id"))
            known = missing.pop(name, None)
            cell.metadata = nbformat.from_dict({}) if known is None else deepcopy(known.metadata)
        for name, cell in missing.items():
            if is_grade(cell) and not is_solution(cell):
                self.log.warning("The check %s is missing; it is run at the end", name)
                nb.cells.append(cell if nb.nbformat_minor >= 5 else _without_id(cell))
        return nb, resources


def _name(cell: Any) -> str:
    """A cell's grade_id; a submission's metadata may be anything."""
    marks = cell.metadata.get("nbgrader")
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    return name if isinstance(name, str) else ""


def _without_id(cell: Any) -> Any:
    return nbformat.from_dict({key: value for key, value in cell.items() if key != "id"})


class ExecuteOn(Execute):
    """Run a submission; a cell that ends Python, or does not end, costs its own points alone.

    The notebook is run again without it, a few times; then what follows is not run.
    """

    def create_kernel_manager(self) -> Any:
        manager = super().create_kernel_manager()
        if self.kernel_name == SANDBOXED:  # no network: sockets in a folder of this kernel's own
            self._sockets = tempfile.TemporaryDirectory(prefix="trl-", ignore_cleanup_errors=True)
            manager.transport, manager.ip = "ipc", f"{self._sockets.name}/ipc"
        return manager

    def preprocess(self, nb: Any, resources: Any, km: Any = None) -> tuple[Any, Any]:
        for restart in range(RESTARTS + 1):
            try:
                nb, resources = super().preprocess(nb, resources, km)
                break
            except (DeadKernelError, CellTimeoutError) as error:
                name = type(error).__name__
                self.log.warning("Cell %d is left out: %s", self._running + 1, name)
                last = self._running + 1 if restart < RESTARTS - 1 else len(nb.cells)
                for cell in _code(nb.cells[self._running : last]):
                    cell.metadata["tags"] = [SKIPPED]
                    cell.outputs = [_stopped(name)]
                    name = "NotRun"
        else:
            raise DeadKernelError(f"Python was ended {RESTARTS + 1} times, not by the same cells")
        for cell in _code(nb.cells):
            cell.metadata.pop("tags", None)
        return nb, resources

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        self._running = index
        return super().preprocess_cell(cell, resources, index)


def _code(cells: list[Any]) -> Iterator[Any]:
    return (cell for cell in cells if cell.cell_type == "code")


def _stopped(name: str) -> Any:
    text = {
        "DeadKernelError": "this cell ended Python; the notebook was run again without it",
        "CellTimeoutError": "this cell took too long; the notebook was run again without it",
        "NotRun": "this cell was not run: Python was ended too often before",
    }[name]
    return nbformat.v4.new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])


class ClearFeedback(ClearHiddenTests):
    """Keep hidden tests out of the feedback: their source, and where a traceback shows it."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        if is_grade(cell):
            for output in cell.get("outputs", []):
                if output.output_type == "error" and output.ename != "CheckFailed":
                    output.traceback = [f"{output.ename}: {output.evalue}"]
        return super().preprocess_cell(cell, resources, cell_index)


class TellWhose(NbGraderPreprocessor):
    """Say where nbgrader's feedback takes the place of ``trlkit grade``'s page."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        if nb.metadata.get("trlkit", {}).get("graded"):
            place = resources["nbgrader"]
            self.log.warning(
                "%s %s was graded by trlkit grade: this page is nbgrader's. "
                "`trlkit grade --resume` writes its own again, with what you gave by hand",
                *(place["student"], place["assignment"]),
            )
        return nb, resources


def configure(c: Any, root: Path, sandbox: bool = False) -> None:
    """Fill nbgrader's configuration ``c`` for the course in ``root``.

    With ``sandbox``, autograde runs learners' code in the kernel of
    :mod:`trlkit.course.teacher.sandboxed_kernel`; where there can be none, a RuntimeError says so.
    """
    # nbgrader calls alembic by name, also where this environment is not activated.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    build = root / "build"
    build.mkdir(exist_ok=True)
    _forget_unfinished(build)
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
        TellWhose,
        GetGrades,
        ClearFeedback,
        ClearMarkScheme,
        CSSHTMLHeaderPreprocessor,
    ]
    c.Autograde.create_student = True
    c.Autograde.sanitize_preprocessors = [
        ClearOutput,
        RestoreMarks,
        OverwriteKernelspec,
        OverwriteCells,
        CheckCellMetadata,
    ]
    c.Autograde.autograde_preprocessors = [
        ExecuteOn,
        IgnorePattern,
        LimitOutput,
        SaveAutoGrades,
        AssignLatePenalties,
        CheckCellMetadata,
    ]
    c.Autograde.pre_convert_hook = lambda notebooks, **_: _begin(_marker(build, notebooks))
    c.Autograde.post_convert_hook = lambda notebooks, **_: _marker(build, notebooks).unlink()
    c.RestoreMarks.released = str(root / "notebooks")
    c.Execute.timeout = 120
    c.Execute.iopub_timeout = 60
    c.ExecuteOn.interrupt_on_timeout = False
    # A failed check raises; for nbgrader a check that writes to stderr has failed, too.
    c.IgnorePattern.enabled = True
    c.IgnorePattern.pattern = ".*"
    if sandbox:
        kernel = runpy.run_path(str(Path(__file__).with_name("sandboxed_kernel.py")))
        kernel["probe"]()
        kernel["write_kernelspec"](build / "jupyter", SANDBOXED)
        places = [str(build / "jupyter"), os.environ.get("JUPYTER_PATH", "")]
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, places))
        c.ExecuteOn.kernel_name = SANDBOXED


def _marker(build: Path, notebooks: list[str]) -> Path:
    """The file that says who is grading a submission: there from its start to its end."""
    student, chapter = Path(notebooks[0]).parts[-3:-1]
    return build / "grading" / student / chapter


def _begin(marker: Path) -> None:
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(f"{os.getpid()} {platform.node()}", encoding="utf-8")


def _forget_unfinished(build: Path) -> None:
    """Remove what a killed run left in build/autograded: nbgrader takes it for graded, with 0."""
    for marker in build.glob("grading/*/*"):
        if not _alive(marker):
            student, chapter = marker.parts[-2:]
            shutil.rmtree(build / "autograded" / student / chapter, ignore_errors=True)
            marker.unlink(missing_ok=True)


def _alive(marker: Path) -> bool:
    """Whether the process that wrote the marker may still be there; of another machine's it may."""
    import psutil

    try:
        number, machine = marker.read_text(encoding="utf-8").split(" ", 1)
        if machine != platform.node():
            return True
        return psutil.Process(int(number)).create_time() <= marker.stat().st_mtime
    except (OSError, ValueError, psutil.Error):
        return False
