"""``trlkit experiments report``: the page and the figures, of the rows alone."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

import matplotlib.pyplot as plt

from trlkit.experiments import plan as plans
from trlkit.experiments import rows as table
from trlkit.experiments.heads import RIVALS
from trlkit.lab.plotting import Picture, curves, tradeoff

Row = Mapping[str, str]
SHOWN = ("CP", "CP, p = 0.4", "FC", "Linear", "GAP + Linear", "1x1 conv + Linear")
NONDETERMINISM = (
    "Seeds fix the weights, the subset, the order and the cuts of the pictures, and dropout on one "
    "kind of device; cuDNN and cuBLAS are asked for deterministic algorithms. What is left: other "
    "hardware or library versions round otherwise, and a CPU draws other dropout than a GPU."
)


def paired_interval(differences: Sequence[float]) -> tuple[float, float]:
    """Give the mean of paired differences and half the width of its 95 % interval.

    Parameters
    ----------
    differences : sequence of float
        One for each seed.

    Returns
    -------
    (float, float)
        By Student's t; the half width is infinite for fewer than two.

    Examples
    --------
    >>> [round(number, 4) for number in paired_interval([1.0, 2.0, 3.0])]
    [2.0, 2.4841]
    """
    from scipy.stats import t

    n = len(differences)
    if n < 2:
        return mean(differences), math.inf
    half = t.ppf(0.975, n - 1) * stdev(differences) / math.sqrt(n)
    return mean(differences), float(half)


def write(source: Path, out: Path) -> list[Path]:
    """Write ``experiments.md`` and its figures; the same rows give the same bytes.

    Parameters
    ----------
    source : Path
        The table.
    out : Path
        The folder.

    Returns
    -------
    list of Path

    Raises
    ------
    FileNotFoundError
        If there are no rows.
    """
    rows = table.read(source)
    if not rows:
        raise FileNotFoundError(f"{source} holds no rows: trlkit experiments run PLAN writes them")
    out.mkdir(parents=True, exist_ok=True)
    parts, written = [_opening(rows)], []
    for name in plans.NAMES:
        plan = plans.load(name)
        own = [row for row in rows if row["plan"] == name]
        parts.append(_section(plan, own))
        if not any(row["stage"] == "final" for row in own):
            continue
        for label, picture in _figures(plan, own):
            path = out / f"experiments-{name}-{label}.svg"
            _save(picture, path)
            written.append(path)
            parts.append(f"![{picture.alt}]({path.name})")
    page = out / "experiments.md"
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return [page, *written]


def by_seed(rows: Sequence[Row], case: str, head: str, column: str = "accuracy") -> dict:
    """Give the final runs' numbers of a head, by their seeds."""
    return {
        row["seed"]: float(row[column])
        for row in rows
        if (row["stage"], row["case"], row["head"]) == ("final", case, head) and row[column]
    }


def difference(rows: Sequence[Row], case: str, head: str, other: str, column: str = "accuracy"):
    """Give head minus other over the seeds both have: mean, half width, seeds; None for none."""
    ours, theirs = by_seed(rows, case, head, column), by_seed(rows, case, other, column)
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return None
    return (*paired_interval([ours[seed] - theirs[seed] for seed in seeds]), len(seeds))


def _opening(rows: Sequence[Row]) -> str:
    about = [sorted({row[name] for row in rows}) for name in ("hardware", "versions", "revision")]
    return "\n\n".join(
        [
            "# What a TRL buys",
            f"`trlkit experiments report`, from {len(rows)} rows. "
            f"{'; '.join(map(', '.join, about))}.",
            "A validation part of the training pictures chose each head's learning rate and "
            "weight decay, with the same tries for every head; the test pictures were read once. "
            "Accuracies are means over seeds in %; differences are head minus CP over the same "
            "seeds, with their 95 % interval, one at a time: of twenty, one misses by chance.",
            NONDETERMINISM,
        ]
    )


def _section(plan: plans.Plan, rows: Sequence[Row]) -> str:
    expected = "\n".join(f"- {line}" for line in plan.expected)
    parts = [f"## {plan.name}", plan.question, f"Expected before the run:\n\n{expected}"]
    wanted = list(plans.runs(plan))
    done = {table.key(row) for row in rows}
    parts.append(f"{sum(run.key in done for run in wanted)} of {len(wanted)} runs are done.")
    for case in plan.cases:
        lines = [_line(plan, case, rows, head.name) for head in plan.heads]
        lines = [line for line in lines if line]
        if lines:
            head = ["head", "parameters", "seeds", "accuracy", "minus CP", "ECE"]
            parts += [f"### {case.name}", _markdown(head, lines)]
    parts += _attacked(plan, rows) + _speed(plan, rows) + _control(plan, rows) + _wins(plan, rows)
    return "\n\n".join(parts)


def _line(plan: plans.Plan, case: plans.Case, rows: Sequence[Row], head: str) -> list[str] | None:
    found = by_seed(rows, case.name, head)
    if not found:
        return None
    size = next(
        row["parameters"] for row in rows if (row["case"], row["head"]) == (case.name, head)
    )
    off = None if head == "CP" else difference(rows, case.name, head, "CP")
    ece = mean(by_seed(rows, case.name, head, "ece").values())
    percent = f"{100 * mean(found.values()):.1f}"
    return [head, f"{int(size):,}", str(len(found)), percent, _said(off), f"{ece:.3f}"]


def _attacked(plan: plans.Plan, rows: Sequence[Row]) -> list[str]:
    if not plan.attacks or not any(row["stage"] == "final" for row in rows):
        return []
    lines, case = [], plan.cases[0].name
    for head in plan.heads:
        found = [by_seed(rows, case, head.name, column) for column in table.ATTACKS]
        if all(found):
            lines.append([head.name, *(f"{100 * mean(f.values()):.1f}" for f in found)])
    return ["### Under noise and attack, %", _markdown(["head", *table.ATTACKS], lines)]


def _speed(plan: plans.Plan, rows: Sequence[Row]) -> list[str]:
    columns = (*table.LATENCIES, "head_share", "peak_mb")
    lines = [
        [row["head"], *(f"{float(row[c]):.3g}" if row[c] else "-" for c in columns)]
        for row in rows
        if row["stage"] == "speed"
    ]
    return ["### Speed", _markdown(["head", *columns], lines)] if lines else []


def _control(plan: plans.Plan, rows: Sequence[Row]) -> list[str]:
    lines = []
    for row in rows:
        same = by_seed(rows, row["case"], row["head"]).get(row["seed"])
        if row["stage"] == "control" and same is not None:
            off = 100 * (float(row["accuracy"]) - same)
            lines.append([row["head"], row["seed"], f"{100 * same:.2f}", f"{off:+.2f}"])
    head = ["head", "seed", "bf16", "float32 minus bf16"]
    return ["### Control in float32", _markdown(head, lines)] if lines else []


def _wins(plan: plans.Plan, rows: Sequence[Row]) -> list[str]:
    """Where CP beats every rival of its size: the interval of each difference above 0."""
    rivals = [head.name for head in plan.heads if head.kind in RIVALS]
    lines, won = [], []
    for case in plan.cases:
        found = {rival: difference(rows, case.name, "CP", rival) for rival in rivals}
        if rivals and all(found.values()):
            lines.append([case.name, *map(_said, found.values())])
            if all(off - half > 0 for off, half, _ in found.values()):
                won.append(case.name)
    if not lines:
        return []
    verdict = f"CP beats all three in: {', '.join(won)}." if won else "CP beats all three nowhere."
    return ["### CP minus each rival of its size", _markdown(["case", *rivals], lines), verdict]


def _figures(plan: plans.Plan, rows: Sequence[Row]) -> list[tuple[str, Picture]]:
    """Accuracy over parameters; over the cases' samples; over the strength of noise and attack."""
    found = []
    if plan.name == "heads":
        case, points = plan.cases[0].name, {}
        for head in plan.heads:
            line = _line(plan, plan.cases[0], rows, head.name)
            if line:
                accuracy = 100 * mean(by_seed(rows, case, head.name).values())
                points[head.name] = (float(line[1].replace(",", "")), accuracy)
        front = [
            a
            for a, (size, good) in points.items()
            if not any(
                s <= size and g >= good and (s, g) != (size, good) for s, g in points.values()
            )
        ]
        axes = ("parameters of the head", "test accuracy, %")
        found.append(("frontier", tradeoff(points, front, *axes)))
    if plan.name == "samples":
        lines = _lines(
            plan,
            lambda head: [
                (100 * case.fraction, by_seed(rows, case.name, head)) for case in plan.cases
            ],
        )
        found.append(("curves", curves(lines, "training pictures, %", "test accuracy, %", log="x")))
    if plan.attacks:
        for kind in ("noise", "pixels", "fgsm", "pgd"):
            columns = [c for c in table.ATTACKS if c.startswith(f"{kind}_")]
            case = plan.cases[0].name
            lines = _lines(
                plan,
                lambda head, columns=columns, case=case: [
                    (float(c.split("_")[1]), by_seed(rows, case, head, c)) for c in columns
                ],
            )
            found.append((kind, curves(lines, f"strength of {kind}", "test accuracy, %")))
    return found


def _lines(plan: plans.Plan, points: Callable[[str], list]) -> dict:
    lines = {}
    for head in plan.heads:
        if head.name in SHOWN:
            some = [(x, 100 * mean(found.values())) for x, found in points(head.name) if found]
            if some:
                lines[head.name] = tuple(zip(*some, strict=True))
    return lines


def _save(picture: Picture, path: Path) -> None:
    with plt.rc_context({"svg.hashsalt": "trlkit"}):
        picture.savefig(path, metadata={"Date": None}, facecolor="white")


def _said(found: tuple[float, float, int] | None) -> str:
    if found is None:
        return ""
    return f"{100 * found[0]:+.1f} ± {100 * found[1]:.1f}"


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))
