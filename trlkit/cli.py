"""``trlkit``: the command line of the course."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

# What the extra "dev" brings and "course" does not.
FOR_AUTHORS = ("anybadge", "furo", "myst_nb", "playwright", "sphinx", "sphinx_revealjs")


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code is 0 when all is well, 1 when not, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="trlkit", description=__doc__.split(": ")[1])
    commands = parser.add_subparsers(dest="command", required=True)

    lab = commands.add_parser("lab", help="open the course in JupyterLab")
    lab.add_argument("chapter", nargs="?", default="00_welcome")
    lab.add_argument("--port", type=int, help="a free port; by default the first from 8888 on")
    lab.add_argument("--no-browser", action="store_true")

    doctor = commands.add_parser("doctor", help="say whether this environment is ready")
    doctor.add_argument("--strict", action="store_true", help="versions must be the tested ones")

    check = commands.add_parser("check", help="run a notebook and list its exercises and points")
    check.add_argument("notebook", type=Path, nargs="+")
    check.add_argument(
        "--all", action="store_true", help="run every cell, not only what the answers need"
    )
    check.add_argument("--timeout", type=float, default=None, help="seconds for one cell")
    check.add_argument("--json", action="store_true", help="print the result as JSON")
    check.add_argument("--verbose", action="store_true", help="show the whole report of a failure")

    progress = commands.add_parser("progress", help="show how far every chapter is")
    progress.add_argument("folder", type=Path, nargs="?", help="by default the course's notebooks")

    grade = commands.add_parser(
        "grade",
        help="grade a class's submissions in a sandbox, into nbgrader's gradebook",
        description="Grade a class's submissions in a sandbox, into nbgrader's gradebook. "
        "Run it in the course's folder. It leaves grades.csv, class.html, and for each "
        "submission a record and a feedback page.",
        epilog="The exit code is 0 when every submission has a result, 1 when some are to be "
        "graded again (--resume), 2 for bad input.",
    )
    grade.add_argument(
        "submitted",
        type=Path,
        help="submitted/STUDENT/CHAPTER/CHAPTER.ipynb, or Moodle's or Canvas' folder or zip",
    )
    grade.add_argument("--chapter", metavar="NN", help="grade this one alone, such as 01")
    where = grade.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="processes of this machine; by default as many as cores",
    )
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="a dask.distributed scheduler, whose workers grade instead",
    )
    grade.add_argument(
        "--db",
        metavar="URL",
        help="the gradebook, sqlite:///FILE or postgresql://USER@HOST/DATABASE; by default "
        "build/gradebook.db",
    )
    grade.add_argument("--resume", action="store_true", help="keep what an earlier run has graded")
    grade.add_argument(
        "--out", type=Path, metavar="DIR", help="the results' folder; by default build/graded"
    )
    grade.add_argument(
        "--roster",
        type=Path,
        metavar="FILE",
        help="a CSV of the class with the column id, and first_name, last_name, email, "
        "lms_user_id; nobody else is enrolled",
    )
    grade.add_argument(
        "--course",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the course's folder, with solutions/; by default this one",
    )
    grade.add_argument(
        "--unsafe-local",
        action="store_true",
        help="without a sandbox: submissions run as you, can read and change what you can, and "
        "can give themselves points",
    )

    build = commands.add_parser("build", help="make the notebooks from the masters")
    build.add_argument("chapter", nargs="*", help="by default all")
    build.add_argument("--check", action="store_true", help="only say what would change")
    build.add_argument("--root", type=Path, default=Path(), help="the folder with solutions/")

    slides = commands.add_parser("slides", help="build the slides, to build/slides")
    slides.add_argument("--pdf", action="store_true", help="print them too, with Chromium")

    commands.add_parser("site", help="build the web site, to build/site/html")

    bench = commands.add_parser("bench", help="time and weigh the layers against their rivals")
    bench.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    bench.add_argument("--quick", action="store_true", help="few shapes, ranks and batch sizes")
    bench.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="such as: cp tt 512x7x7 N=10 R=8 B=32"
    )
    bench.add_argument("--seconds", type=float, help="to time the rivals of one case")
    bench.add_argument("--out", type=Path, help="a .md or .csv file, or a folder for both")

    native = commands.add_parser(
        "native",
        help="build the C++ part of the layers on a GPU, once for each torch",
        description="Build the C++ part of the layers on a GPU, once for each torch and Python: "
        "a small step then takes as long as nn.Linear's. It needs a C++ compiler and ninja.",
    )
    native.add_argument("--verbose", action="store_true", help="show what the compiler says")

    experiments = commands.add_parser(
        "experiments", help="train many heads on one backbone, and report what they cost and bring"
    )
    doing = experiments.add_subparsers(dest="action", required=True)
    run = doing.add_parser("run", help="do what is left of a plan")
    run.add_argument("plan", help="heads, samples, robustness, transfer or pays")
    run.add_argument("--out", type=Path, default=Path("results/experiments.csv"))
    run.add_argument("--seconds", type=float, help="begin no run that would end later than this")
    run.add_argument("--processes", type=int, help="runs at a time on one GPU")
    run.add_argument("--eager", action="store_true", help="without CUDA graphs")
    run.add_argument("--compile", action="store_true", help="with torch.compile")
    features = doing.add_parser(
        "features", help="keep what a frozen backbone sees in a few hundred pictures"
    )
    for one in (run, features):
        one.add_argument(
            "--data", type=Path, help="CIFAR-10: an .npz of JPEG files, or torchvision's folder"
        )
        one.add_argument("--cache", type=Path, default=Path("build/experiments"))
        one.add_argument("--revision", help="the code's, where git's history is not at hand")
        one.add_argument("--smoke", action="store_true", help="a few steps of a few heads")
    features.add_argument("--out", type=Path, default=Path("trlkit/lab/cifar10_features.npz"))
    features.add_argument("--each", type=_positive, default=25, help="pictures of a class, twice")
    report = doing.add_parser("report", help="make the page and its figures of the rows alone")
    report.add_argument("--rows", type=Path, default=Path("results/experiments.csv"))
    report.add_argument("--out", type=Path, default=Path("docs/results"))

    options = parser.parse_args(argv)
    try:
        return globals()[f"_{options.command}"](options)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "trlkit"):
            raise
        print(
            f"trlkit {options.command}: {missing} is missing: "
            f'pip install "trlkit[{"dev" if missing in FOR_AUTHORS else "course"}]"',
            file=sys.stderr,
        )
        return 2


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of processes; at least 1")
    return number


def _lab(options: argparse.Namespace) -> int:
    from trlkit.course.learner import lab

    return lab.start(options.chapter, options.port, browser=not options.no_browser)


def _doctor(options: argparse.Namespace) -> int:
    from trlkit.course.learner import doctor

    return doctor.examine(strict=options.strict)


def _check(options: argparse.Namespace) -> int:
    from trlkit.course.checking.report import printable
    from trlkit.course.learner import progress, runner

    limits = {} if options.timeout is None else {"cell_seconds": options.timeout}
    worst, found = 0, []
    for path in options.notebook:
        try:
            chapter, result = runner.check_notebook(path, options.all, **limits)
        except runner.NotANotebook as error:
            print(f"trlkit check: {printable(str(error))}", file=sys.stderr)
            worst = 2
            continue
        worst = max(worst, 0 if result.passed else 1)
        found.append(progress.as_dict(path, chapter, result))
        if not options.json:
            print(progress.table(path, chapter, result, options.verbose))
    if options.json:
        print(json.dumps(found, indent=1))
    return worst


def _progress(options: argparse.Namespace) -> int:
    from trlkit.course.learner import progress

    return progress.show(options.folder)


def _grade(options: argparse.Namespace) -> int:
    from trlkit.course.teacher import place

    fault = place.fault(options.unsafe_local)
    if fault:
        print(f"trlkit grade: {fault}", file=sys.stderr)
        return 2
    from trlkit.course.teacher import classroom

    given = {name: value for name, value in vars(options).items() if name != "command"}
    try:
        return classroom.grade_class(classroom.Options(**given))
    except (ValueError, OSError) as error:
        print(f"trlkit grade: {error}", file=sys.stderr)
        return 2


def _build(options: argparse.Namespace) -> int:
    from trlkit.course.author import build, masters

    what = ", ".join(options.chapter) or "all chapters"
    what += " against their masters" if options.check else "; about a minute a chapter"
    print(f"trlkit build: {what} ...", file=sys.stderr, flush=True)
    try:
        said = build.build(options.root, options.check, options.chapter)
    except masters.BuildError as error:
        print("\n".join(f"trlkit build: {fault}" for fault in error.faults), file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"trlkit build: {error}", file=sys.stderr)
        return 2
    print("\n".join(said) or "everything is as its master says")
    return 1 if options.check and said else 0


def _slides(options: argparse.Namespace) -> int:
    from trlkit.course.author import slides

    try:
        html = slides.build(Path().resolve())
        print(f"the slides: {html / 'index.html'}")
        for path in slides.pdf(html) if options.pdf else ():
            print(f"printed: {path}")
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        print(f"trlkit slides: {error}", file=sys.stderr)
        return 1
    return 0


def _site(options: argparse.Namespace) -> int:
    from trlkit.course.author import site

    try:
        print(f"the site: {site.build(Path().resolve()) / 'index.html'}")
    except (ValueError, subprocess.CalledProcessError) as error:
        print(f"trlkit site: {error}", file=sys.stderr)
        return 1
    return 0


def _bench(options: argparse.Namespace) -> int:
    from trlkit.bench import results, table
    from trlkit.bench.measure import prepare

    command = f"trlkit bench --device {options.device}" + " --quick" * options.quick
    command += "".join(f" --only {' '.join(options.only)}" for _ in options.only[:1])
    command += "" if options.seconds is None else f" --seconds {options.seconds:g}"
    try:
        grid = table.gpu_grid if options.device == "cuda" else table.grid
        cases = table.only(grid(options.quick), options.only)
        prepare(options.device)
        found = list(table.bench(cases, options.device, options.seconds))
    except (ArithmeticError, ValueError) as error:
        print(f"trlkit bench: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    print(results.markdown(found, command, options.device, len(cases)))
    if options.out is not None:
        for path in results.write(found, command, options.device, options.out, len(cases)):
            print(f"written: {path}")
    return 0


def _native(options: argparse.Namespace) -> int:
    from trlkit.contraction import native

    try:
        print(f"built: {native.build(options.verbose)}")
    except (RuntimeError, OSError) as error:
        print(f"trlkit native: {error}", file=sys.stderr)
        return 1
    return 0


def _experiments(options: argparse.Namespace) -> int:
    from trlkit.experiments import plan

    try:
        if options.action == "report":
            from trlkit.experiments import report

            for path in [*report.write(options.rows, options.out), *report.requote(options.rows)]:
                print(f"written: {path}")
            return 0
        # Before CUDA starts: without it cuBLAS may give other numbers every time.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if options.action == "features":
            from trlkit.experiments import features

            wanted = (options.data, options.out, options.cache, options.revision, options.each)
            print(f"written: {features.make(*wanted, small=options.smoke)}")
            return 0
        from trlkit.experiments import run

        left, failed = run.run_plan(
            plan.load(options.plan, options.smoke),
            options.data,
            options.out,
            options.cache,
            options.seconds,
            options.processes,
            options.revision,
            not options.eager,
            options.compile,
        )
    except (ValueError, FileNotFoundError) as error:
        print(f"trlkit experiments: {error}", file=sys.stderr)
        return 2
    print(f"{options.plan}: {left} runs left, {failed} failed; the rows are in {options.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
