"""Training VGG16 with a TRL as its head on several GPUs: images a second beside one GPU's.

``python -m trlkit.bench.gpus`` runs :func:`trlkit.lab.training.fit` under ``torchrun`` on one
GPU, on two, and so on by doubling, and prints a table in Markdown.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from torch.utils.data import Dataset

from trlkit.bench.results import publish
from trlkit.lab.models import VGG16_ACTIVATION, vgg16_trl
from trlkit.lab.training import fit

BATCH, CLASSES, SIZE = 128, 10, 224
RECIPES = {"the TRL alone": False, "all of the network": True}  # what learns


class Drawn(Dataset):
    """Images (3, 224, 224) that cost nothing to load: a few drawn ones, again and again."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.images = torch.randn(32, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index % len(self.images)], index % CLASSES


def train(
    folder: Path, accelerator: str, samples: int, epochs: int, batch_size: int, workers: int
) -> None:
    """Train both recipes in this process, one of several; the first writes what it measured."""
    found = {}
    for name, whole in RECIPES.items():
        torch.manual_seed(0)
        model = vgg16_trl(CLASSES, rank=100, weights=None)
        for parameter in model.features.parameters():
            parameter.requires_grad = whole
        history = fit(
            model,
            Drawn(samples),
            Drawn(batch_size),
            epochs,
            batch_size,
            accelerator=accelerator,
            num_workers=workers,
            progress=False,
        )
        found[name] = {"seconds": history.seconds, "loss": history.train_loss}
    if os.environ["RANK"] == "0":
        (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")


def measure(
    processes: int, accelerator: str, samples: int, epochs: int, batch_size: int, workers: int
) -> dict:
    """Train on so many devices at once; seconds and loss of each epoch of each recipe."""
    numbers = [samples, epochs, batch_size, workers]
    with tempfile.TemporaryDirectory(prefix="trlkit-gpus-") as folder:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={processes}", "-m", "trlkit.bench.gpus"]
        command += ["--train", folder, accelerator, *map(str, numbers)]
        run = subprocess.run(command, capture_output=True, text=True)
        written = Path(folder, "found.json")
        if not written.exists():  # gloo can abort a process that has finished
            raise RuntimeError(f"training on {processes} devices ended early:\n{run.stderr}")
        return json.loads(written.read_text("utf-8"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(prog="trlkit.bench.gpus", description=__doc__)
    parser.add_argument("--samples", type=int, default=4096)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=BATCH, help="on each device")
    parser.add_argument("--workers", type=int, default=8, help="that load images, on each device")
    parser.add_argument("--most", type=int, default=torch.cuda.device_count())
    parser.add_argument("--accelerator", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--train", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.train is not None:
        folder, accelerator, *numbers = given.train
        train(Path(folder), accelerator, *map(int, numbers))
        return
    if given.most < 1:
        raise SystemExit("no GPU is seen here: --accelerator cpu --most 2 tries it on the CPU")
    counts = [2**k for k in range(given.most.bit_length()) if 2**k <= given.most]
    numbers = given.samples, given.epochs, given.batch, given.workers
    measured = {count: measure(count, given.accelerator, *numbers) for count in counts}
    rows = []
    for name in RECIPES:
        speeds = {
            count: given.samples / median(found[name]["seconds"][1:])
            for count, found in measured.items()
        }
        rows += [
            [name, str(count), f"{speed:.0f}", f"{speed / speeds[counts[0]]:.2f}"]
            for count, speed in speeds.items()
        ]
    publish(
        "Training VGG16 with a TRL on several GPUs",
        "python -m trlkit.bench.gpus",
        given.accelerator,
        f"`fit` on {given.samples} drawn images (3, {SIZE}, {SIZE}), {given.batch} a batch on "
        f"each device and {given.workers} processes to load them, CPTRL {VGG16_ACTIVATION} of rank "
        "100 in place of the classifier, Adam, float32; loading and validation included. Medians "
        f"of the {given.epochs - 1} epochs after the first.",
        ["what learns", "devices", "images a second", "over one"],
        rows,
        given.out,
    )


if __name__ == "__main__":
    main()
