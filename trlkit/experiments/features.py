"""``trlkit experiments features``: what a frozen backbone sees in a few hundred pictures."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trlkit.experiments import data as source
from trlkit.experiments import plan as plans
from trlkit.experiments import run
from trlkit.experiments.worker import Setting, Worker

FROM = {"train": "validation", "test": "test"}  # the backbone has learned from neither


def make(
    data: Path | None,
    out: Path,
    cache: Path,
    revision: str | None,
    each: int,
    small: bool = False,
) -> Path:
    """Write features that heads can learn from: as many of each class in both parts.

    The backbone is that of the plan ``transfer``: it learned eight of the ten classes, from
    pictures that are not in the file.

    Parameters
    ----------
    data : Path or None
        Of the pictures, as for a plan.
    out : Path
        An .npz: ``train``, ``test`` of shape (N, 512, 4, 4) in float16, ``train_labels``,
        ``test_labels``, and ``about``, what made it.
    cache : Path
        The folder for decoded pictures and the backbone.
    revision : str or None
        Of the code; by default what git says.
    each : int
        Pictures of each class in a part.
    small : bool
        Train the backbone for a few steps alone.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If the pictures are not there.
    ValueError
        If a class has fewer pictures.
    """
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    decoded = source.read(data, cache)
    setting = Setting(plans.load("transfer", small), decoded, run.revision(revision))
    worker = Worker(setting, device)
    worker.prepare()
    arrays = {}
    for part, of in FROM.items():
        x, labels = getattr(worker.features(), of)
        kept = _balanced(labels.cpu(), worker.features().classes, each)
        arrays[part] = x[kept.to(device)].half().cpu().numpy()
        arrays[f"{part}_labels"] = labels.cpu()[kept].byte().numpy()
    about = f"CIFAR-10, {worker.hardware}; {worker.versions}; {setting.revision}"
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, about=about, **arrays)
    return out


def _balanced(labels: Tensor, classes: int, each: int) -> Tensor:
    """The first of every class, in their order."""
    found = []
    for label in range(classes):
        own = (labels == label).nonzero().flatten()
        if len(own) < each:
            raise ValueError(f"class {label} has {len(own)} pictures, {each} were asked for")
        found.append(own[:each])
    return torch.cat(found).sort().values
