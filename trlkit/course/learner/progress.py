"""The tables of ``trlkit check`` and ``trlkit progress``."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

from platformdirs import user_cache_path

import trlkit
from trlkit.course.chapters import manifest
from trlkit.course.chapters.manifest import Chapter
from trlkit.course.checking.report import printable
from trlkit.course.learner import runner
from trlkit.course.learner.lab import find_notebooks

AT_ONCE = 2  # notebooks; each takes about a gigabyte


def table(path: Path, chapter: Chapter, result: runner.Result, verbose: bool = False) -> str:
    """A result as lines of text: an exercise a line, then the sum, then what was odd."""
    rows = [f"{chapter.name}: {chapter.title}   ({path})"]
    width = max(len(row.name) for row in result.rows)
    for row in result.rows:
        score = f"{row.points if row.passed else 0:g}/{row.points:g}"
        verdict = "ok" if row.passed else "no"
        rows.append(f"  {verdict}  {row.name:{width}s}  {score:>5s}   {row.reason}".rstrip())
        if verbose and row.story:
            rows += [f"      {line}" for line in row.story.split("\n")]
    rows += [f"  note: {note}" for note in result.notes]
    for number, error in list(result.raised.items())[:1]:
        others = f", and {len(result.raised) - 1} more" * (len(result.raised) > 1)
        rows.append(f"  note: {result.places[number]}, which is not graded, raises {error}{others}")
    rows.append(f"  {result.points:g} of {result.out_of:g} points, {result.seconds:.0f} s")
    return printable("\n".join(rows))


def as_dict(path: Path, chapter: Chapter, result: runner.Result) -> dict:
    """A result as plain values, for ``--json`` and the cache."""
    return {
        "file": str(path),
        "chapter": chapter.name,
        "points": result.points,
        "out_of": result.out_of,
        **asdict(result),
    }


def show(folder: Path | None) -> int:
    """Print how far each chapter in a folder of notebooks is; 0 when every exercise is right."""
    folder = find_notebooks() if folder is None else folder
    if folder is None or not folder.is_dir():
        where = folder or "here"
        print(f"trlkit progress: no notebooks in {where}; name their folder: trlkit progress DIR")
        return 2
    print(f"{'chapter':44s} {'exercises':>9s} {'points':>9s}")
    got = out_of = 0.0
    cores = os.cpu_count() or 1
    pool = ThreadPoolExecutor(min(AT_ONCE, cores))
    counts = partial(_counts, folder, threads=max(1, cores // AT_ONCE))
    counted = [pool.submit(counts, chapter) for chapter in manifest.chapters()]
    for chapter, future in zip(manifest.chapters(), counted, strict=True):
        title = f"{chapter.name}  {chapter.title}"[:44]
        out_of += chapter.points
        try:
            done, points = future.result()
        except runner.NotANotebook as error:
            print(f"{title:44s}   {printable(str(error))}")
            continue
        got += points
        exercises, score = f"{done}/{len(chapter.exercises)}", f"{points:g}/{chapter.points:g}"
        hand = f"  and {chapter.by_hand:g} by hand" if chapter.by_hand else ""
        print(f"{title:44s} {exercises:>9s} {score:>9s}  {_bar(chapter, points)}{hand}")
    print(f"{'together':44s} {'':9s} {f'{got:g}/{out_of:g}':>9s}")
    return 0 if got == out_of else 1


def _find(folder: Path, chapter: Chapter) -> Path:
    for path in (folder / chapter.name / f"{chapter.name}.ipynb", folder / f"{chapter.name}.ipynb"):
        if path.exists():
            return path
    raise runner.NotANotebook(f"{chapter.name}.ipynb is not there")


def _counts(folder: Path, chapter: Chapter, threads: int) -> tuple[int, float]:
    """Exercises and points of a notebook; run anew only when it or the course has changed."""
    path = _find(folder, chapter)
    modules = sorted(path.parent.glob("*.py"))  # cells may import these
    content = _digest([path, *modules]) + _course()
    known = user_cache_path("trlkit") / "progress" / f"{content}.json"
    try:
        done, points = json.loads(known.read_text(encoding="utf-8"))
        return done, points
    except (OSError, ValueError, TypeError):
        pass
    _, result = runner.check_notebook(path, threads=threads)
    counts = sum(row.passed for row in result.rows), result.points
    if not result.complete:
        return counts  # on a machine with more time there may be more
    try:
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps(counts), encoding="utf-8")
    except OSError:
        pass  # a cache that cannot be written only costs time
    return counts


def _digest(files: list[Path]) -> str:
    """A short name for what files hold."""
    parts = (hashlib.sha256(file.read_bytes()).digest() for file in files if file.is_file())
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


@cache
def _course() -> str:
    """A short name for the course's own code and tables: all that decides a verdict."""
    folder = Path(trlkit.__file__).parent
    return _digest(sorted([*folder.rglob("*.py"), *folder.rglob("course.json")]))


def _bar(chapter: Chapter, points: float, width: int = 20) -> str:
    full = int(width * points / chapter.points)
    return "#" * full + "." * (width - full)
