"""The capstone's task: heads for digits on a fixed backbone, one training recipe, one measure.

The 1797 digits of scikit-learn are cut into four parts: 600 to train on, 297 to choose
by, and twice 450 that only the checks look at, those of a notebook at the first half and
those of the grader at the second. ``python -m trlkit.lab.capstone`` prints the table that
the bands of the chapter were set by, from seeds that no check trains from.
"""

import contextlib
import json
import math
import statistics
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from trlkit import CPTRL, TTTRL, TuckerTRL, rank_penalty
from trlkit.lab.robustness import fgsm_accuracy, noise_accuracy
from trlkit.lab.training import evaluate
from trlkit.regression import TRL

ACTIVATION = (16, 4, 4)  # what a head takes
CLASSES = 10
SIZES = {"train": 600, "validation": 297, "first half": 450, "second half": 450}
SPLIT = 10  # a seed at which the last three parts are about equally hard
NOISE, FGSM = 0.25, 0.05  # of images in [0, 1]
STEPS, LEARNING_RATE = 80, 0.03
TASKS = ("plenty", "poor")  # of :func:`measure`
HEADS = ("linear", "tensor")
SEEDS = range(1000, 1024)  # for the table that the bands were set by

MakeHead = Callable[[tuple[int, ...], int], nn.Module]


class Trial(NamedTuple):
    """What came of a head, trained from several seeds.

    Attributes
    ----------
    name : str
    parameters : int
        And buffers.
    accuracies, noises, fgsms : tuple of float
        The share of validation digits classified right, for each seed: clean ones, with Gaussian
        noise of standard deviation 0.25, and attacked by FGSM of strength 0.05.
    milliseconds : float
        One training.
    """

    name: str
    parameters: int
    accuracies: tuple[float, ...]
    noises: tuple[float, ...]
    fgsms: tuple[float, ...]
    milliseconds: float

    @property
    def accuracy(self) -> float:
        """The mean of the clean ones."""
        return statistics.mean(self.accuracies)

    @property
    def noise(self) -> float:
        """The mean of those with noise."""
        return statistics.mean(self.noises)

    @property
    def fgsm(self) -> float:
        """The mean of those attacked."""
        return statistics.mean(self.fgsms)


def part(name: str) -> TensorDataset:
    """A part of the digits: images (1, 8, 8) in [0, 1] and labels, a copy for each call.

    Examples
    --------
    >>> len(part("train")), part("train")[0][0].shape
    (600, torch.Size([1, 8, 8]))
    """
    return TensorDataset(*(tensor.clone() for tensor in _part(name)))


@cache
def _part(name: str) -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = torch.randperm(
        len(bunch.target), generator=torch.Generator().manual_seed(SPLIT), device="cpu"
    )
    chosen = dict(zip(SIZES, order.split(list(SIZES.values())), strict=True))[name]
    images = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16  # (1797, 1, 8, 8)
    return images[chosen], torch.from_numpy(bunch.target).long()[chosen]


def filters() -> Tensor:
    """Sixteen filters (16, 1, 5, 5): edges in eight directions, bright and dark lines in four."""
    steps = torch.arange(-2.0, 3.0)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    window = torch.exp(-(x**2 + y**2) / 2)
    made = []
    for k in range(8):
        angle = 2 * math.pi * k / 8
        made.append((math.cos(angle) * x + math.sin(angle) * y) * window)
    for k in range(4):
        angle = math.pi * k / 4
        line = ((math.cos(angle) * x + math.sin(angle) * y) ** 2 - 1) * window
        made += [line - line.mean(), line.mean() - line]
    stacked = torch.stack(made)
    return (stacked / stacked.flatten(1).norm(dim=1)[:, None, None]).unsqueeze(1)


@cache
def backbone() -> nn.Module:
    """The fixed backbone: filters, ReLU, average pooling, and one scale for all activations.

    Examples
    --------
    >>> backbone()(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 16, 4, 4])
    """
    with torch.random.fork_rng(devices=[]):  # the layer draws weights, which go at once
        convolution = nn.Conv2d(1, 16, kernel_size=5, padding=2, bias=False)
    convolution.weight.data = filters()
    net = nn.Sequential(convolution, nn.ReLU(), nn.AvgPool2d(2)).requires_grad_(False)
    scale = 1 / net(part("train").tensors[0]).std()
    convolution.weight.data *= scale  # ReLU and pooling commute with it
    return net.eval()


def activations() -> tuple[Tensor, Tensor]:
    """What the backbone makes of the training digits: (600, 16, 4, 4), and their labels.

    A copy for each call: a head may work in place.
    """
    x, labels = _activations()
    return x.clone(), labels.clone()


@cache
def _activations() -> tuple[Tensor, Tensor]:
    images, labels = part("train").tensors
    return backbone()(images), labels


def train(make: MakeHead, seed: int = 0, penalty: float = 0.0) -> nn.Module:
    """Make a head and train it: 80 steps of Adam on all training digits at once.

    Parameters
    ----------
    make : callable
        Takes the activation's shape and the number of classes, returns the head.
    seed : int
        Of the head's first values and of its dropout.
    penalty : float
        How much of the :func:`~trlkit.rank_penalty` of its layers is added to the loss.

    Returns
    -------
    Module in eval mode
        The backbone with the head: images (B, 1, 8, 8) to (B, 10).

    Examples
    --------
    >>> model = train(lambda shape, classes: CPTRL(shape, classes, rank=16))
    >>> evaluate(model, part("validation")).accuracy > 0.85
    True
    """
    x, labels = activations()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        head = make(ACTIVATION, CLASSES)
        _learn(head, x, labels, penalty)
    return nn.Sequential(backbone(), head).eval()


def _learn(head: nn.Module, x: Tensor, labels: Tensor, penalty: float = 0.0) -> None:
    """The recipe: STEPS steps of Adam on all samples at once."""
    layers = [module for module in head.modules() if isinstance(module, TRL)]
    learning = [parameter for parameter in head.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS)
    head.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = F.cross_entropy(head(x), labels)
        if penalty:
            loss = loss + penalty * sum(rank_penalty(layer) for layer in layers)
        loss.backward()
        optimizer.step()
        schedule.step()
    head.eval()


def measure(head: str, task: str, seed: int) -> float:
    """Train a head on one of two tasks and give its share of validation digits classified right.

    Parameters
    ----------
    head : str
        "linear": flatten and Linear; "tensor": a 1x1 convolution to eight channels, then the same.
    task : str
        "plenty": the digits of the chapter, 600 to train on, a (16, 4, 4) activation.
        "poor": 100 digits, drawn by the seed, of twice the size, with Gaussian noise of standard
        deviation 0.5, and no pooling: a (16, 16, 16) activation.
    seed : int
        Of the head's first values, and of the digits and the noise, which are those of the
        other head too.

    Raises
    ------
    ValueError
        If there is no such head or task.

    Examples
    --------
    >>> measure("linear", "plenty", seed=0) > 0.9
    True
    """
    if head not in HEADS or task not in TASKS:
        raise ValueError(f"a head of {HEADS} and a task of {TASKS}, got {head!r} and {task!r}")
    (images, labels), (others, truth) = (part(name).tensors for name in ("train", "validation"))
    generator = torch.Generator().manual_seed(seed)
    if task == "plenty":
        x, y = backbone()(images), backbone()(others)
    else:
        chosen = torch.randperm(len(images), generator=generator)[:100]
        labels = labels[chosen]
        x, y = (_poor(these, generator) for these in (images[chosen], others))
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        net = (flat if head == "linear" else mixed)(tuple(x.shape[1:]), CLASSES)
        _learn(net, x, labels)
    with torch.no_grad():
        return (net(y).argmax(1) == truth).double().mean().item()


def _poor(images: Tensor, generator: torch.Generator) -> Tensor:
    large = F.interpolate(images, scale_factor=2)
    return backbone()[:2](large + 0.5 * torch.randn(large.shape, generator=generator))


def size(head: nn.Module) -> int:
    """Count the numbers that a head keeps: parameters and buffers.

    Examples
    --------
    >>> size(nn.Linear(256, 10))
    2570
    """
    return sum(t.numel() for t in (*head.parameters(), *head.buffers()))


def attempt(
    name: str, make: MakeHead, seeds: Iterable[int] = (0, 1, 2), on: str = "validation"
) -> Trial:
    """Train a head from several seeds and measure it on the validation digits.

    Parameters
    ----------
    name : str
    make : callable
        As for :func:`train`.
    seeds : iterable of int
    on : str
        The part of the digits to measure on.

    Returns
    -------
    Trial

    Examples
    --------
    >>> trial = attempt("CP 8", lambda shape, classes: CPTRL(shape, classes, rank=8))
    >>> trial.parameters, len(trial.accuracies)
    (282, 3)
    """
    data, scores = part(on), []
    _warm_up()
    began = time.perf_counter()
    models = [train(make, seed) for seed in seeds]
    seconds = (time.perf_counter() - began) / len(models)
    for model in models:
        (noise,), (fgsm,) = noise_accuracy(model, data, [NOISE]), fgsm_accuracy(model, data, [FGSM])
        scores.append((evaluate(model, data).accuracy, noise, fgsm))
    return Trial(name, size(models[0][1]), *zip(*scores, strict=True), 1000 * seconds)


@cache
def _warm_up() -> None:
    """Train once before the clock starts: the first training of a session takes far longer."""
    train(flat)


def table(trials: Iterable[Trial]) -> str:
    """Trials as text, a line for each: means, and their standard errors over the seeds.

    Examples
    --------
    >>> print(table([Trial("CP 8", 282, (0.9, 0.92), (0.8, 0.81), (0.5, 0.54), 80.0)]))
    head                    numbers      accuracy         noise          FGSM  training
    CP 8                        282  91.0 +-1.0 %  80.5 +-0.5 %  52.0 +-2.0 %     80 ms
    """
    words = "".join(f"{word:>14}" for word in ("accuracy", "noise", "FGSM"))
    lines = [f"{'head':<24}{'numbers':>7}{words}{'training':>10}"]
    for trial in trials:
        shares = "".join(map(_share, (trial.accuracies, trial.noises, trial.fgsms)))
        lines.append(f"{trial.name:<24}{trial.parameters:>7,}{shares}{trial.milliseconds:>7.0f} ms")
    return "\n".join(lines)


def remember(trial: Trial, path: str = "tries.json") -> list[Trial]:
    """Add a trial to a file, and give all that are in it, the smallest head first.

    Parameters
    ----------
    trial : Trial
    path : str
        A file of JSON; one that cannot be read is begun anew.

    Examples
    --------
    >>> trial = Trial("CP 8", 282, (0.9, 0.92), (0.8, 0.81), (0.5, 0.54), 80.0)
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     [len(remember(trial, folder + "/tries.json")) for _ in range(2)]
    [1, 1]
    """
    file, found = Path(path), []
    with contextlib.suppress(OSError, ValueError, TypeError):
        told = json.loads(file.read_text(encoding="utf-8"))
        found = [Trial(*(tuple(x) if isinstance(x, list) else x for x in row)) for row in told]
    alike = [other for other in found if other[:5] != trial[:5]]
    found = sorted([*alike, trial], key=lambda other: other.parameters)
    with contextlib.suppress(OSError):
        file.write_text(json.dumps(found), encoding="utf-8")
    return found


def _share(values: tuple[float, ...]) -> str:
    error = ""
    if len(values) > 1:
        error = f" +-{100 * statistics.stdev(values) / math.sqrt(len(values)):.1f}"
    return f"{100 * statistics.mean(values):.1f}{error} %".rjust(14)


def pooled(shape: tuple[int, ...], classes: int) -> nn.Module:
    """The baseline that keeps no place: global average pooling, then a Linear."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape[0], classes))


def flat(shape: tuple[int, ...], classes: int) -> nn.Module:
    """The baseline that keeps every place: flatten, then a Linear."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def mixed(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Eight mixtures of the channels at each place, then a Linear: a 1x1 convolution in front."""
    places = math.prod(shape[1:])
    return nn.Sequential(nn.Conv2d(shape[0], 8, 1), nn.Flatten(), nn.Linear(8 * places, classes))


def dropped(shape: tuple[int, ...], classes: int) -> nn.Module:
    """The full linear layer behind ordinary dropout: what tensor dropout is to be compared with."""
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(math.prod(shape), classes))


def _grid() -> Iterable[tuple[str, MakeHead]]:
    """The choices that the bands were set by."""
    yield "pooling + Linear", pooled
    yield "flatten + Linear", flat
    yield "dropout + Linear", dropped
    ranks = {
        (CPTRL, "CP"): (1, 4, 8, 10, 16, 20, 24, 29, 46),
        (TuckerTRL, "Tucker"): (
            (4, 2, 2, 4),
            (5, 3, 3, 6),
            (6, 3, 3, 6),
            (6, 4, 4, 6),
            (6, 4, 4, 8),
            (8, 3, 3, 8),
            (8, 3, 3, 10),
            (8, 4, 4, 10),
        ),
        (TTTRL, "TT"): ((1, 4, 6, 6, 1), (1, 4, 8, 8, 1), (1, 6, 12, 10, 1), (1, 8, 12, 10, 1)),
    }
    for (kind, name), choices in ranks.items():
        for rank in choices:
            for p in (0.0, 0.1, 0.2, 0.4, 0.8):
                yield (
                    f"{name} {rank} p={p}",
                    lambda shape, classes, kind=kind, rank=rank, p=p: kind(
                        shape, classes, rank, dropout=p
                    ),
                )


if __name__ == "__main__":
    for number, (name, make) in enumerate(_grid()):
        trials = [
            attempt(f"{name[:20]} {on[0]}", make, SEEDS, on)
            for on in ("validation", "first half", "second half")
        ]
        print("\n".join(table(trials).split("\n")[(number > 0) :]), flush=True)
