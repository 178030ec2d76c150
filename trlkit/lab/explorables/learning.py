"""What is learned: weights, factors, and heads that are compared (chapters 3, 6, 7 and 9).

Everything is trained when it is first asked for, in a second or two, and kept.
"""

from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from trlkit.lab import capstone, plotting
from trlkit.lab.explorables.explorable import Knob, explorable, sized
from trlkit.lab.plotting import Picture
from trlkit.lab.robustness import fgsm_accuracy, noise_accuracy
from trlkit.layers import CPTRL, TuckerTRL

SIZE, SAMPLES, NOISE, SWEEPS = 16, 200, 0.1, 20  # of chapter 3's pictures
STRENGTHS = {"noise": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), "FGSM": (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)}
RANK, SEEDS = 40, range(3)
SNAPSHOTS = (0, 3, 10, 30, 100, 300)
COMPONENTS = 9
BUDGETS = (300, 600, 1200, 2600)
MEASURES = {"clean": "accuracy", "noise": "noise", "FGSM": "fgsm"}


@explorable(
    "the learned weight as the rank grows",
    "03_tensor_regression",
    Knob("true weight", ("cross", "disk", "diagonal"), "cross"),
    Knob("rank", (1, 2, 3, 4, 6, 8, 10), 1),
)
def learned(true: str, rank: int) -> Picture:
    """A weight image, and what a regression of this rank makes of 200 samples."""
    weight, found = _weight(true), _regression(true, rank)
    error = ((found - weight).norm() / weight.norm()).item()
    pictures = {"the true weight": weight, f"learned, rank {rank}": found}
    says = f"{2 * SIZE * rank} numbers from {SAMPLES} samples: relative error {error:.2f}"
    return sized(plotting.images(pictures, signed=True), 5.6, 3.2, says)


def _weight(name: str) -> Tensor:
    """A picture (16, 16) of zeros and ones."""
    y, x = torch.meshgrid(*2 * [torch.arange(SIZE) - (SIZE - 1) / 2], indexing="ij")
    shapes = {
        "cross": (x.abs() < 2) & (y.abs() < 6) | (y.abs() < 2) & (x.abs() < 6),
        "disk": x**2 + y**2 < 36,
        "diagonal": (x - y).abs() < 2,
    }
    return shapes[name].double()


@cache
def _regression(name: str, rank: int) -> Tensor:
    """The weight (16, 16) of least squared error, one factor after the other."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(SAMPLES, SIZE, SIZE, generator=generator, dtype=torch.float64)
    noise = torch.randn(SAMPLES, generator=generator, dtype=torch.float64)
    y = torch.einsum("bij,ij->b", x, _weight(name)) + NOISE * noise
    rows = torch.randn(SIZE, rank, generator=generator, dtype=torch.float64)
    for _ in range(SWEEPS):
        columns = _solved(torch.einsum("bij,ir->bjr", x, torch.linalg.qr(rows)[0]), y)
        rows = _solved(torch.einsum("bij,jr->bir", x, columns), y)
    return rows @ columns.T


def _solved(features: Tensor, y: Tensor) -> Tensor:
    """The factor (I, R) that features (B, I, R) ask for."""
    return torch.linalg.lstsq(features.flatten(1), y[:, None]).solution.reshape(features.shape[1:])


@explorable(
    "dropout against noise",
    "06_tensor_dropout",
    Knob("p", (0.1, 0.2, 0.4, 0.6, 0.8), 0.1),
    Knob("disturbed by", tuple(STRENGTHS), "noise"),
)
def dropout(p: float, by: str) -> Picture:
    """The accuracy of a head with tensor dropout and of one without, over the disturbance."""
    lines = {
        name: (STRENGTHS[by], _accuracies(share, by))
        for name, share in (("without dropout", 0.0), (f"tensor dropout, p = {p}", p))
    }
    picture = plotting.curves(lines, f"strength ({by})", "share of the digits right")
    picture.axes[0].set_ylim(0, 1)
    gain = lines[f"tensor dropout, p = {p}"][1][3] - lines["without dropout"][1][3]
    clean = lines[f"tensor dropout, p = {p}"][1][0] - lines["without dropout"][1][0]
    says = f"rank {RANK}: {clean:+.1%} clean, {gain:+.1%} at {by} of {STRENGTHS[by][3]}"
    return sized(picture, 5.6, 3.6, says)


@cache
def _accuracies(p: float, by: str) -> tuple[float, ...]:
    """The mean over the seeds, for each strength."""
    measure = {"noise": noise_accuracy, "FGSM": fgsm_accuracy}[by]
    found = [measure(m, capstone.part("validation"), STRENGTHS[by]) for m in _heads(p)]
    return tuple(torch.tensor(found).mean(0).tolist())


@cache
def _heads(p: float) -> list:
    def make(shape, classes):
        return CPTRL(shape, classes, rank=RANK, dropout=p)

    return [capstone.train(make, seed) for seed in SEEDS]


@explorable(
    "factors while they learn",
    "07_cnn_with_trl",
    Knob("learning rate", (0.001, 0.01, 0.1), 0.01),
    Knob("step", SNAPSHOTS, 0),
)
def factors(rate: float, step: int) -> Picture:
    """Each component of a CP TRL on the pixels of digits, and the vectors of the classes."""
    (rows, columns, classes), right = _snapshots(rate)[step]
    pictures = {f"component {r}": torch.outer(rows[:, r], columns[:, r]) for r in range(COMPONENTS)}
    pictures = {name: picture / picture.abs().max() for name, picture in pictures.items()}
    pictures["classes"] = classes / classes.abs().max()
    says = f"after {step} steps at {rate}: {right:.1%} of the digits right"
    return sized(plotting.images(pictures, rows=2, signed=True), 5.6, 3.2, says)


@cache
def _snapshots(rate: float) -> dict[int, tuple[list[Tensor], float]]:
    """The factors (8, R), (8, R) and (10, R), and the accuracy, after some steps of Adam."""
    images, labels = capstone.part("train").tensors
    held, answers = capstone.part("validation").tensors
    found = {}
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        layer = CPTRL((8, 8), 10, rank=COMPONENTS, bias=False)
        optimizer = torch.optim.Adam(layer.parameters(), lr=rate)
        for step in range(SNAPSHOTS[-1] + 1):
            if step in SNAPSHOTS:
                right = (layer(held[:, 0]).argmax(1) == answers).float().mean().item()
                found[step] = [f.detach().clone() for f in layer.factors], right
            optimizer.zero_grad()
            F.cross_entropy(layer(images[:, 0]), labels).backward()
            optimizer.step()
    return found


@explorable(
    "your runs on the front",
    "09_capstone",
    Knob("judged by", tuple(MEASURES), "clean"),
    Knob("numbers allowed", BUDGETS, BUDGETS[-1]),
)
def front(judged: str, budget: int, trials: Iterable[capstone.Trial] = ()) -> Picture:
    """Trials by their numbers and one measure, those within the budget against each other.

    Without trials, those of some heads of the course.
    """
    points = {
        trial.name: (trial.parameters, getattr(trial, MEASURES[judged]))
        for trial in tuple(trials) or _some_heads()
    }
    allowed = {name: point for name, point in points.items() if point[0] <= budget}
    best = [
        name
        for name, point in allowed.items()
        if not any(n <= point[0] and a >= point[1] and (n, a) != point for n, a in allowed.values())
    ]
    says = f"{len(best)} of {len(allowed)} heads within {budget:,} numbers are on the front"
    share = f"share of the digits right, {judged}"
    return sized(plotting.tradeoff(points, best, "numbers in the head", share), 5.6, 4, says)


@cache
def _some_heads() -> tuple[capstone.Trial, ...]:
    """Baselines and a few TRLs, each from two seeds."""
    makes = {
        "average": capstone.pooled,
        "flatten": capstone.flat,
        "dropout": capstone.dropped,
        "CP 8": lambda shape, classes: CPTRL(shape, classes, 8),
        "CP 24": lambda shape, classes: CPTRL(shape, classes, 24),
        "CP 46": lambda shape, classes: CPTRL(shape, classes, 46, dropout=0.2),
        "Tucker": lambda shape, classes: TuckerTRL(shape, classes, (8, 4, 4, 10)),
    }
    return tuple(capstone.attempt(name, make, range(2)) for name, make in makes.items())
