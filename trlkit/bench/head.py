"""Training VGG16's new head on kept features: seconds an epoch beside its rivals.

``python -m trlkit.bench.head`` runs on a GPU and prints a table in Markdown.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from trlkit import CPTRL, TuckerTRL, graphed
from trlkit.bench.measure import prepare
from trlkit.bench.results import publish

SHAPE, CLASSES, BATCH = (512, 7, 7), 10, 128


def heads() -> dict[str, Callable[[], nn.Module]]:
    """The heads by their names; tensorly-torch's have the numbers of ours."""
    inputs = SHAPE[0] * SHAPE[1] * SHAPE[2]
    layers = {
        "CP, rank 100": lambda: CPTRL(SHAPE, CLASSES, 100, dropout=0.3),
        "Tucker (100, 7, 7, 10)": lambda: TuckerTRL(SHAPE, CLASSES, (100, 7, 7, 10), dropout=0.3),
    }
    made = dict(layers)
    for name, layer in layers.items():
        made[f"{name}, tltorch"] = lambda layer=layer: layer().to_tltorch()
    made["Linear"] = lambda: nn.Sequential(nn.Flatten(), nn.Linear(inputs, CLASSES))
    made["VGG16's classifier"] = lambda: nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(inputs, 4096), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
        nn.Linear(4096, CLASSES),
    )
    return made


def epoch(step: Callable[[Tensor, Tensor], object], features: Tensor, labels: Tensor) -> float:
    """Seconds of one epoch, in shuffled batches."""
    order = torch.randperm(len(labels), device=labels.device)
    torch.cuda.synchronize()
    began = time.perf_counter()
    for some in order.split(BATCH):
        step(features[some], labels[some])
    torch.cuda.synchronize()
    return time.perf_counter() - began


def plain(head: nn.Module) -> Callable[[Tensor, Tensor], object]:
    """A training step as chapter 8 has it."""
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)

    def step(x: Tensor, target: Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(x), target).backward()
        optimizer.step()

    return step


def measure(samples: int, rounds: int) -> dict[str, list[float]]:
    """Seconds an epoch of each head, plain and graphed, in turn."""
    torch.manual_seed(0)
    features = torch.relu(torch.randn(samples, *SHAPE, device="cuda"))
    labels = torch.randint(CLASSES, (samples,), device="cuda")
    steps: dict[str, Callable[[Tensor, Tensor], object]] = {}
    for name, make in heads().items():
        try:
            steps[name] = plain(make().cuda())
        except ImportError:  # no tensorly-torch here
            continue
        if "tltorch" not in name:
            head = make().cuda()
            optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
            steps[f"{name}, graphed"] = graphed(head, nn.functional.cross_entropy, optimizer)
    found: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            took = epoch(step, features, labels)
            if turn:  # the first is for warming up, and for capturing
                found[name].append(took)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(prog="trlkit.bench.head", description=__doc__)
    parser.add_argument("--samples", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    prepare("cuda")
    found = {name: median(times) for name, times in measure(given.samples, given.rounds).items()}
    least = found["Linear"]
    rows = [
        [name, f"{1e3 * took:.1f}", f"{1e6 * took / (given.samples / BATCH):.0f}"]
        + [f"{took / least:.2f}"]
        for name, took in found.items()
    ]
    publish(
        "An epoch of VGG16's new head on kept features",
        "python -m trlkit.bench.head",
        "cuda",
        f"{given.samples} features {SHAPE} on the GPU, {CLASSES} classes, batches of {BATCH}, "
        f"Adam, float32; shuffling and gathering included. Medians of {given.rounds} epochs, "
        "the heads in turn. The TRLs drop 0.3 of their ranks, tensorly-torch's none: its dropout "
        "has no effect on them. *Graphed*: `trlkit.graphed`, one launch a step.",
        ["head", "ms an epoch", "us a step", "over Linear"],
        rows,
        given.out,
    )


if __name__ == "__main__":
    main()
