"""What ``trlkit bench`` found, as tables."""

import csv
import datetime
import io
import math
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median

import torch

from trlkit.bench.table import Result, graphed_paths
from trlkit.contraction import native
from trlkit.contraction.costs import PATHS

WORST = 5


def write(
    results: Sequence[Result], command: str, device: str, out: Path, planned: int
) -> list[Path]:
    """Write a Markdown or a CSV file, or both into a folder.

    Parameters
    ----------
    results : sequence of Result
    command : str
        That made them.
    device : str
    out : Path
        Ends in .md or .csv, or is a folder.
    planned : int
        How many cases the command has.

    Returns
    -------
    list of Path
        The files written.
    """
    texts = {
        ".md": lambda: markdown(results, command, device, planned),
        ".csv": lambda: as_csv(results),
    }
    paths = [out] if out.suffix in texts else [out / f"{device}{suffix}" for suffix in texts]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path.suffix](), encoding="utf-8")
    return paths


def markdown(results: Sequence[Result], command: str, device: str, planned: int) -> str:
    """The summary and every case, as a Markdown page that says how many of the planned it holds."""
    missing = f", {len(results)} of its {planned} cases" if len(results) < planned else ""
    parts = [
        f"# Speed and peak memory, {'GPU' if device == 'cuda' else 'CPU'}",
        f"`{command}`, {datetime.date.today()}{missing}. {_conditions(device)}.",
        "Forward and backward of one batch in float32, which gets a gradient too. All rivals of a "
        "case have the same numbers and give the same numbers, and were timed in turn in one run; "
        "times are medians of the calmer half of the rounds. Memory is the most that one pass "
        "holds beside the parameters and the batch: output, gradients, everything saved or "
        "temporary.",
        summary(results),
    ]
    for name in PATHS:
        some = [result for result in results if result.case.factorization == name]
        if some:
            parts += [f"## {name}", table(some)]
    notes = [f"- {result.case}: {note}" for result in results for note in result.notes]
    parts += ["## Not run", "\n".join(notes)] if notes else []
    return "\n\n".join(parts) + "\n"


def summary(results: Sequence[Result]) -> str:
    """Speed, regret and memory of "auto" in a few lines, with the worst cases.

    Parameters
    ----------
    results : sequence of Result

    Returns
    -------
    str
        In Markdown.
    """
    rows = []
    for name in ("all", *PATHS):
        some = [result for result in results if name in ("all", result.case.factorization)]
        if some:
            speeds = [result.speed for result in some if result.speed]
            linear = [result.speed_of_linear for result in some if result.speed_of_linear]
            memory = [result.memory for result in some if result.memory]
            regret = [result.regret for result in some]
            rows.append(
                [
                    name,
                    str(len(some)),
                    _number(_mean(speeds)),
                    _number(min(speeds, default=None)),
                    str(sum(speed < 0.95 for speed in speeds)),
                    _number(_mean(linear)),
                    _number(_mean(regret), 3),
                    _number(max(regret)),
                    _number(_mean(memory)),
                    _number(max(memory, default=None), 3),
                ]
            )
    head = ["", "cases", "speed, mean", "least", "below 0.95", "beside Linear, mean"]
    head += ["regret, mean", "most", "memory, mean", "most"]
    lines = [
        "Of the automatic choice: *speed*, the time of tltorch over its own, and the same "
        "*beside Linear*; *regret*, its time over that of the best fixed path; *memory*, its peak "
        "over tltorch's. Means are geometric.",
        _markdown_table(head, rows),
    ]
    for what, value, sign in (
        ("Slowest beside tltorch", lambda result: result.speed, 1),
        ("Furthest from the best fixed path", lambda result: result.regret, -1),
        ("Most memory beside tltorch", lambda result: result.memory, -1),
    ):
        lines.append(_worst(results, what, value, sign))
    noise = [100 * (result.noise - 1) for result in results]
    lines.append(
        f"Noise: two runs of one program, the automatic choice and the same path by its name, "
        f"differ by {median(noise):.0f} % in the median and {max(noise):.0f} % at most."
    )
    lines += _in_graphs(results)
    large = [r for r in results if (r.case.outputs, r.case.rank) == (1000, 1000) and r.memory]
    if large:
        most = max(result.memory for result in large)
        lines.append(f"Memory beside tltorch at N=1000, R=1000: at most {most:.2f}.")
    return "\n\n".join(lines)


def _in_graphs(results: Sequence[Result]) -> list[str]:
    """What CUDA graphs, compiled rivals and the GPU's own limits say; nothing on a CPU."""
    some = [result for result in results if "graphed" in result.times]
    if not some:
        return []
    best = some[0].ceilings
    lines = [
        f"The GPU at best, measured in the same run: {best.flops / 1e12:.1f} TFLOP/s in float32, "
        f"{best.bytes / 1e12:.2f} TB/s. The *floor* of a case is the longer of the least "
        "operations of all paths, and of reading the batch twice and writing its gradient once, "
        "with output, factors and their gradients. *Graphed*: the whole pass as one CUDA graph."
    ]
    rows = []
    for name, one, other in (
        ("tltorch, eager, over graphed", "tltorch", "graphed"),
        ("tltorch, compiled, over graphed", "tltorch compiled", "graphed"),
        ("tltorch, compiled, over compiled", "tltorch compiled", "compiled"),
        ("eager over compiled", "auto", "compiled"),
        ("linear, graphed, over graphed", "linear graphed", "graphed"),
    ):
        ratios = [
            r.times[one].both / r.times[other].both
            for r in some
            if one in r.times and other in r.times
        ]
        rows.append([name, *_spread(ratios)])
    few = [1 / r.speed_of_linear for r in some if r.case.outputs == 10 and r.speed_of_linear]
    rows.append(["eager over linear, eager, N=10", *_spread(few)])
    rows.append(["regret, graphed", *_spread([r.graphed_regret for r in some if r.graphed_regret])])
    far = [r.times["graphed"].both / r.floor for r in some if r.floor > 0.1]
    rows.append(["graphed over the floor, where that is above 100 us", *_spread(far)])
    lines.append(_markdown_table(["times", "cases", "mean", "least", "most"], rows))
    near = [1e3 * (r.times["graphed"].both - r.floor) for r in some if r.floor <= 0.1]
    if near:
        lines.append(
            f"Where the floor is at most 100 us, graphed takes {median(near):.0f} us more in the "
            f"median, {min(near):.0f} to {max(near):.0f}."
        )
    lines.append(
        _worst(some, "Furthest from the best path, graphed", lambda r: r.graphed_regret, -1)
    )
    return lines


def _spread(values: Sequence[float]) -> list[str]:
    ends = min(values, default=None), max(values, default=None)
    return [str(len(values)), *map(_number, (_mean(values), *ends))]


def table(results: Sequence[Result]) -> str:
    """One row a case of one factorization, in milliseconds and MB.

    Parameters
    ----------
    results : sequence of Result
        All of one factorization.

    Returns
    -------
    str
        In Markdown; of the fixed paths, the one that "auto" took is bold.
    """
    paths = PATHS[results[0].case.factorization]
    timed = ["tltorch", "linear", "auto", *paths]
    extra = ["linear graphed", "graphed", *graphed_paths(results[0].case)]
    extra += ["compiled", "tltorch compiled"]
    extra = [name for name in extra if any(name in result.times for result in results)]
    head = ["shape", "N", "R", "B", *(f"{name}, ms" for name in [*timed, *extra])]
    head += ["floor, ms", "graphed regret"] if extra else []
    head += ["speed", "regret", "tltorch, MB", "linear, MB", "auto, MB", "memory"]
    rows = []
    for result in results:
        _, shape, n, _, batch = result.case
        row = ["x".join(map(str, shape)), str(n), result.case.rank_words, str(batch)]
        for name in [*timed, *extra]:
            cell = _number(result.times[name].both, 3) if name in result.times else "-"
            row.append(f"**{cell}**" if name == result.path else cell)
        row += [_number(result.floor, 3), _number(result.graphed_regret)] if extra else []
        row += [_number(result.speed), _number(result.regret)]
        for name in ("tltorch", "linear", "auto"):
            row.append(f"{result.peaks[name] / 1e6:.2f}" if name in result.peaks else "-")
        rows.append([*row, _number(result.memory)])
    return _markdown_table(head, rows)


def as_csv(results: Iterable[Result]) -> str:
    """One line for each rival of each case."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        "factorization input_shape outputs rank_asked rank batch rival forward_ms "
        "forward_backward_ms rounds peak_bytes chosen".split()
    )
    for result in results:
        factorization, shape, outputs, _, batch = result.case
        rank = [result.rank] if isinstance(result.rank, int) else result.rank
        asked = result.case.rank_words
        place = ["x".join(map(str, shape)), outputs, asked, "x".join(map(str, rank)), batch]
        for name, (forward, both, rounds) in result.times.items():
            measured = [f"{forward:.4f}", f"{both:.4f}", rounds, result.peaks.get(name, "")]
            writer.writerow([factorization, *place, name, *measured, int(name == result.path)])
    return text.getvalue()


def publish(
    title: str,
    command: str,
    device: str,
    about: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    out: Path | None = None,
) -> None:
    """Print a page of one table, and write it where that is asked for.

    Parameters
    ----------
    title, about : str
    command, device : str
        That made the rows, and on what.
    head : sequence of str
    rows : sequence of sequence of str
    out : Path, optional
    """
    made = f"`{command}`, {datetime.date.today()}. {_conditions(device)}."
    text = "\n\n".join([f"# {title}", made, about, _markdown_table(head, rows)])
    print(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")


def _conditions(device: str) -> str:
    step = f", {'with' if native.module() else 'without'} `trlkit native`"
    return environment(device) + step * (device == "cuda")


def environment(device: str) -> str:
    """The hardware and the versions that a measurement depends on."""
    versions = [f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    for package in ("tensorly", "tensorly-torch"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"no {package}")
    if device == "cuda":
        hardware = torch.cuda.get_device_name()
    else:
        hardware = f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores"
    return f"{hardware}; {', '.join(versions)}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux
        return platform.processor() or platform.machine()


def _worst(
    results: Sequence[Result], what: str, value: Callable[[Result], float | None], sign: int
) -> str:
    some = sorted((r for r in results if value(r)), key=lambda result: sign * value(result))
    cases = [f"{result.case} ({result.path}) {value(result):.2f}" for result in some[:WORST]]
    return f"{what}: {'; '.join(cases) or 'nothing to compare with'}."


def _mean(values: Sequence[float]) -> float | None:
    """The geometric mean."""
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if values else None


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---:" if k else "---" for k in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
