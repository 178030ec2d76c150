"""``trlkit experiments report``: the page and the figures, of the rows alone."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt

from trlkit.experiments import found
from trlkit.experiments import plan as plans
from trlkit.experiments import rows as table
from trlkit.experiments.found import Difference, Row, by_seed, difference, size
from trlkit.experiments.heads import RIVALS
from trlkit.lab.plotting import Picture, curves, intervals, tradeoff
from trlkit.lab.statistics import interval

TRLS = ("cp", "tucker", "tt")
SHOWN = ("CP", "CP, p = 0.4", "FC", "Linear", "GAP + Linear", "1x1 conv + Linear")
STRENGTHS = {
    "noise": "standard deviation of the noise, of pixels in [0, 1]",
    "pixels": "share of the pixels that are dropped",
    "fgsm": "strength of FGSM, 1/255",
    "pgd": "strength of PGD, 1/255",
}
SHORT = """\
Points of accuracy, with the 95 % interval of the paired differences. Networks are trained from \
scratch, for eight epochs; what a longer training would change is not measured.

- A CP TRL of rank 10 behind VGG16 on CIFAR-10 ({heads; all; CP, rank 10; parameters} parameters) \
is at {heads; all; CP, rank 10; minus FC} against VGG16's own classifier, which has \
{heads; all; CP, rank 10; times FC} times as many parameters; at \
{heads; all; CP, rank 10; minus Linear} against one Linear, \
{heads; all; CP, rank 10; times Linear} times as many; at \
{heads; all; CP, rank 10; minus GAP + Linear} against GAP + Linear, as many.
- Of the rivals of a CP TRL's size two are its equals or ahead somewhere. A 1x1 convolution + \
Linear, which is Tucker with only the channel mode compressed, is at \
{heads; all; 1x1 conv + Linear; minus CP} \
behind VGG16 and at {samples; 100 %; 1x1 conv + Linear; minus CP} behind the small CNN; a pooled \
map + Linear is at {heads; all; pooled map + Linear; minus CP} and \
{samples; 100 %; pooled map + Linear; minus CP}, and with 1,000 pictures at \
{pays; pictures, 1,000; pooled map + Linear; minus CP}.
- Behind the small CNN a classifier with a hidden layer is at {samples; 100 %; FC; minus CP} \
against CP with all pictures. With 1 % of them it is at {samples; 1 %; FC; minus CP}, with \
ordinary dropout at {samples; 1 %; FC, dropout 0.5; minus CP}, and one Linear at \
{samples; 1 %; Linear; minus CP}.
- On frozen features GAP + Linear is at {transfer; 1 %; GAP + Linear; minus CP} against CP with \
1 % of the pictures, at {transfer; 100 %; GAP + Linear; minus CP} with all; one Linear, \
{transfer; 100 %; CP; times Linear} times CP's size, at {transfer; 1 %; Linear; minus CP} and \
{transfer; 100 %; Linear; minus CP}.
- Tensor dropout of 0.4 in CP: {robustness; all; CP, p = 0.4; minus CP} on clean pictures, \
{robustness; all; CP, p = 0.4; fgsm_2 minus CP} under FGSM of 2/255, \
{robustness; all; CP, p = 0.4; noise_0.1 minus CP} under noise of 0.1. Of 0.7: \
{robustness; all; CP, p = 0.7; minus CP}, {robustness; all; CP, p = 0.7; fgsm_2 minus CP} and \
{robustness; all; CP, p = 0.7; noise_0.1 minus CP}.
- Where the truth is itself a weight of low rank, drawn so, CP is ahead of every rival of its \
size, of the next one by {pays; low-rank weight; CP; minus 1x1 conv + Linear}. That region is \
made, not found: with pictures CP is ahead of all three in one case alone, behind the small CNN \
with all of them, of the next one by {samples; 100 %; CP; minus pooled map + Linear}."""
NONDETERMINISM = (
    "Seeds fix the weights, the subset, the order and the cuts of the pictures, and dropout on one "
    "kind of device; cuDNN and cuBLAS are asked for deterministic algorithms. What is left: other "
    "hardware or library versions round otherwise, and a CPU draws other dropout than a GPU."
)


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
        pictures = []
        if any(row["stage"] == "final" for row in own):
            for label, picture in _figures(plan, own):
                path = out / f"experiments-{name}-{label}.svg"
                _save(picture, path)
                written.append(path)
                pictures.append(f"![{picture.alt}]({path.name})")
        parts.append(_section(plan, own, pictures))
    page = out / "experiments.md"
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return [page, *written]


def requote(source: Path, root: Path = Path()) -> list[Path]:
    """Set the numbers that the course's texts quote to what the rows say.

    Parameters
    ----------
    source : Path
        The table.
    root : Path
        The course's folder.

    Returns
    -------
    list of Path
        Of the files that changed.

    Raises
    ------
    ValueError
        If a text quotes a number that is not there.
    """
    rows, changed = table.read(source), []
    for path in found.quoting(root):
        text = path.read_text(encoding="utf-8")
        try:
            quoted = found.quote(text, rows)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if quoted != text:
            path.write_text(quoted, encoding="utf-8")
            changed.append(path)
    return changed


def _opening(rows: Sequence[Row]) -> str:
    about = [sorted({row[name] for row in rows}) for name in ("hardware", "versions", "revision")]
    marked = re.sub(r"\{(.*?)\}", r"<!--fact \1--><!--/fact-->", SHORT)
    try:
        short = [found.plain(found.quote(marked, rows))]
    except ValueError:  # a plan has not been run yet
        short = []
    return "\n\n".join(
        [
            "# What a TRL buys",
            *short,
            "## How it was measured",
            f"`trlkit experiments report`, from {len(rows):,} rows of `results/experiments.csv`. "
            f"{'; '.join(map(', '.join, about))}. Each row names its own.",
            "A validation part of the training pictures chose each head's learning rate and "
            "weight decay, with the same tries for every head; the test pictures were read once. "
            "Accuracies are means over seeds in %, differences are over the same seeds, with their "
            "95 % interval, one at a time: of twenty, one misses by chance. *More* and *less*: the "
            "interval is on one side of 0; *equal*: it lies within one point of accuracy; "
            "*open*: the seeds do not decide.",
            NONDETERMINISM,
        ]
    )


def _section(plan: plans.Plan, rows: Sequence[Row], pictures: Sequence[str]) -> str:
    wanted = list(plans.runs(plan))
    done = {table.key(row) for row in rows}
    count = sum(run.key in done for run in wanted)
    training = plan.training
    recipe = (
        f"{plan.seeds} seeds; {training.epochs} epochs in batches of {training.batch}"
        f"{f', at least {training.least_steps} steps' if training.least_steps else ''}; "
        f"{len(training.tries)} tries of the learning rate and the weight decay for each head."
    )
    parts = [f"## {plan.name}", plan.question, recipe, *pictures, *_expected(plan, rows)]
    parts += [*_trade(plan, rows), *_wins(plan, rows)]
    parts += [f"### Every head\n\n{count:,} of {len(wanted):,} runs are done."]
    for case in plan.cases:
        lines = [_line(case, rows, head.name) for head in plan.heads]
        lines = [line for line in lines if line]
        if lines:
            head = ["head", "parameters", "seeds", "accuracy", "minus CP", "ECE"]
            parts += [f"#### {case.name}"] * (len(plan.cases) > 1) + [_markdown(head, lines)]
    parts += _attacked(plan, rows) + _speed(plan, rows) + _control(plan, rows)
    return "\n\n".join(parts)


def _expected(plan: plans.Plan, rows: Sequence[Row]) -> list[str]:
    """What was expected, beside the differences that speak to it."""
    lines = []
    for sentence in plan.expected:
        told = [(claim, claim.found(rows)) for claim in sentence.claims]
        seen = [f"{claim}: {value}" for claim, value in told if value]
        holds = [claim.holds(value) for claim, value in told if value]
        verdict = "no" if False in holds else "open" if None in holds or not holds else "yes"
        lines.append([str(sentence), "; ".join(seen), verdict])
    return [
        "### Expected, and what came",
        "The sentences were written before the run; the differences that test them, after it.",
        _markdown(["expected before the run", "differences, points", "came?"], lines),
    ]


def _trade(plan: plans.Plan, rows: Sequence[Row]) -> list[str]:
    """What each TRL loses and gains against each baseline."""
    trls = [head.name for head in plan.heads if head.kind in TRLS]
    others = [head.name for head in plan.heads if head.kind not in (*TRLS, *RIVALS)]
    speed = {row["head"]: row for row in rows if row["stage"] == "speed"}
    lines = []
    for case in plan.cases:
        for head in trls:
            for other in others:
                off = difference(rows, case.name, head, other)
                if off is None or case.data == "tensors":
                    continue
                fewer = size(rows, case.name, other) / size(rows, case.name, head)
                times = f"{fewer:,.0f}" if fewer >= 10 else f"{fewer:.2g}"
                line = [case.name] * (len(plan.cases) > 1) + [head, other, times]
                lines.append([*line, str(off), off.verdict, *_slower(speed, head, other)])
    if not lines or plan.attacks:
        return []
    first = ["case"] * (len(plan.cases) > 1)
    last = ["its time, graphed, batch 256"] * bool(speed)
    titles = [*first, "TRL", "baseline", "parameters saved, times", "accuracy", "is", *last]
    return ["### What a TRL gains and loses, against which baseline", _markdown(titles, lines)]


def _slower(speed: dict[str, Row], head: str, other: str) -> list[str]:
    if not speed:
        return []
    ours, theirs = (float(speed[name]["latency_256_graphed_us"] or 0) for name in (head, other))
    return [f"{ours / theirs:.2f} times" if ours and theirs else ""]


def _line(case: plans.Case, rows: Sequence[Row], head: str) -> list[str] | None:
    accuracies = by_seed(rows, case.name, head)
    if not accuracies:
        return None
    off = None if head == "CP" else difference(rows, case.name, head, "CP")
    ece = mean(by_seed(rows, case.name, head, "ece").values())
    percent = f"{100 * mean(accuracies.values()):.1f}"
    count = f"{size(rows, case.name, head):,}"
    return [head, count, str(len(accuracies)), percent, str(off or ""), f"{ece:.3f}"]


def _attacked(plan: plans.Plan, rows: Sequence[Row]) -> list[str]:
    if not plan.attacks or not any(row["stage"] == "final" for row in rows):
        return []
    lines, case = [], plan.cases[0].name
    for head in plan.heads:
        seen = [by_seed(rows, case, head.name, column) for column in table.ATTACKS]
        if all(seen):
            lines.append([head.name, *(f"{100 * mean(f.values()):.1f}" for f in seen)])
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
    lines, won = [], []
    for case, offs in _against_rivals(plan, rows).items():
        lines.append([case, *(f"{off} ({off.verdict})" for off in offs.values())])
        if all(off.verdict == "more" for off in offs.values()):
            won.append(case)
    if not lines:
        return []
    verdict = f"CP beats all three in: {'; '.join(won)}." if won else "CP beats all three nowhere."
    rivals = [head.name for head in plan.heads if head.kind in RIVALS]
    return ["### CP minus each rival of its size", _markdown(["case", *rivals], lines), verdict]


def _against_rivals(plan: plans.Plan, rows: Sequence[Row]) -> dict[str, dict[str, Difference]]:
    rivals = [head.name for head in plan.heads if head.kind in RIVALS]
    offs = {
        case.name: {rival: difference(rows, case.name, "CP", rival) for rival in rivals}
        for case in plan.cases
    }
    return {case: seen for case, seen in offs.items() if seen and all(seen.values())}


def _figures(plan: plans.Plan, rows: Sequence[Row]) -> list[tuple[str, Picture]]:
    """What a plan is about, drawn: two of its columns, or its differences with intervals."""
    drawn = []
    if plan.name == "heads":
        drawn.append(("frontier", _frontier(plan, rows)))
    if plan.name == "samples":
        lines = _lines(
            plan,
            lambda head: [
                (100 * case.fraction, by_seed(rows, case.name, head)) for case in plan.cases
            ],
        )
        drawn.append(("curves", curves(lines, "training pictures, %", "test accuracy, %", log="x")))
    if plan.attacks:
        for kind in STRENGTHS:
            columns = [c for c in table.ATTACKS if c.startswith(f"{kind}_")]
            case = plan.cases[0].name
            lines = _lines(
                plan,
                lambda head, columns=columns, case=case: [
                    (float(c.split("_")[1]), by_seed(rows, case, head, c)) for c in columns
                ],
            )
            drawn.append((kind, curves(lines, STRENGTHS[kind], "test accuracy, %")))
        drawn.append(("dropping", _over_p(plan, rows)))
    if plan.name == "transfer":
        offs = {
            head.name: {
                case.name: _points(difference(rows, case.name, head.name, "CP"))
                for case in plan.cases
            }
            for head in plan.heads
            if head.name != "CP"
        }
        drawn.append(("minus-cp", intervals(offs, "accuracy minus that of CP, points")))
    if plan.name == "pays":
        offs = {
            case: {rival: _points(off) for rival, off in seen.items()}
            for case, seen in _against_rivals(plan, rows).items()
        }
        drawn.append(("wins", intervals(offs, "accuracy of CP minus that of the rival, points")))
    return drawn


def _frontier(plan: plans.Plan, rows: Sequence[Row]) -> Picture:
    case, points, errors = plan.cases[0].name, {}, {}
    for head in plan.heads:
        accuracies = [100 * value for value in by_seed(rows, case, head.name).values()]
        if accuracies:
            middle, errors[head.name] = interval(accuracies)
            points[head.name] = float(size(rows, case, head.name)), middle
    front = [
        a
        for a, (count, good) in points.items()
        if not any(s <= count and g >= good and (s, g) != (count, good) for s, g in points.values())
    ]
    return tradeoff(points, front, "parameters of the head", "test accuracy, %", errors)


def _over_p(plan: plans.Plan, rows: Sequence[Row]) -> Picture:
    case, lines = plan.cases[0].name, {}
    kinds = {"cp": "CP, tensor dropout", "fc": "FC, ordinary dropout"}
    shown = {"accuracy": "clean", "noise_0.1": "noise 0.1", "fgsm_2": "FGSM 2/255"}
    for kind, name in kinds.items():
        heads = sorted((head for head in plan.heads if head.kind == kind), key=lambda head: head.p)
        for column, told in shown.items():
            seen = [(head.p, by_seed(rows, case, head.name, column)) for head in heads]
            points = [(p, 100 * mean(some.values())) for p, some in seen if some]
            lines[f"{name}: {told}"] = tuple(zip(*points, strict=True))
    return curves(lines, "probability of dropping p", "test accuracy, %")


def _points(off: Difference | None) -> tuple[float, float] | None:
    return off and (100 * off.mean, 100 * off.half)


def _lines(plan: plans.Plan, points: Callable[[str], list]) -> dict:
    lines = {}
    for head in plan.heads:
        if head.name in SHOWN:
            some = [(x, 100 * mean(seen.values())) for x, seen in points(head.name) if seen]
            if some:
                lines[head.name] = tuple(zip(*some, strict=True))
    return lines


def _save(picture: Picture, path: Path) -> None:
    with plt.rc_context({"svg.hashsalt": "trlkit"}):
        picture.savefig(path, metadata={"Date": None}, facecolor="white")


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))
