"""What the plans learn from: CIFAR-10 in one file, and what is made of it, on the device."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trlkit.experiments.plan import Case

VALIDATION = 5000
TEACHER = {"train": 10_000, "validation": 2000, "test": 4000}  # of random activations
SMALL = {"train": 64, "validation": 32, "test": 32}
PADDING = 4
ANIMALS = (2, 3, 4, 5, 6, 7)
LABELS = ("train_labels", "test_labels")


class Part(NamedTuple):
    """Inputs and labels; pictures are (N, 32, 32, 3) bytes, activations (N, C, H, W)."""

    x: Tensor
    labels: Tensor

    def take(self, index: Tensor) -> "Part":
        """Give some of them."""
        index = index.to(self.labels.device)
        return Part(self.x[index], self.labels[index])


@dataclass
class Data:
    """The three parts; the test part is for the last look alone."""

    train: Part
    validation: Part
    test: Part
    classes: int

    @property
    def pictures(self) -> bool:
        """Whether the inputs are pictures."""
        return self.train.x.dtype == torch.uint8


def read(source: Path | None, cache: Path) -> Path:
    """Decode a data set once, into a file that every process maps.

    Parameters
    ----------
    source : Path or None
        An .npz with JPEG files end to end: ``train_bytes``, ``train_offsets``, ``train_labels``
        and the same of ``test``; or a folder with CIFAR-10 as torchvision downloads it.
    cache : Path
        The folder of the decoded file.

    Returns
    -------
    Path
        An uncompressed .npz of ``train``, ``train_labels``, ``test``, ``test_labels``.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is not there, or in another form.
    """
    if source is None:
        raise ValueError(
            "the plans learn from CIFAR-10: name it with --data, an .npz of JPEG files or a folder "
            "where torchvision.datasets.CIFAR10(folder, download=True) has put it"
        )
    if not source.exists():
        raise FileNotFoundError(
            f"--data {source}: there is no such file or folder; give an .npz of JPEG files, or a "
            f"folder where torchvision.datasets.CIFAR10(folder, download=True) has put CIFAR-10"
        )
    stat = source.stat()
    decoded = cache / f"{source.stem}-{stat.st_size}-{stat.st_mtime_ns}.npz"
    if not decoded.exists():
        arrays = _folder(source) if source.is_dir() else _jpeg(source)
        cache.mkdir(parents=True, exist_ok=True)
        aside = decoded.with_suffix(".part.npz")
        np.savez(aside, **arrays)
        aside.replace(decoded)
    return decoded


def load(decoded: Path, device: torch.device, small: bool) -> Data:
    """Put pictures on the device, with a validation part cut from the training pictures.

    Parameters
    ----------
    decoded : Path
        What :func:`read` returned.
    device : torch.device
    small : bool
        Take a few hundred alone.

    Returns
    -------
    Data
    """
    with np.load(decoded) as arrays:
        parts = {name: torch.from_numpy(arrays[name]) for name in ("train", "test", *LABELS)}
    order = _order(len(parts["train"]), 0)
    held = min(VALIDATION, len(order) // 10)
    split = {"train": order[held:], "validation": order[:held], "test": None}
    found = {}
    for name, index in split.items():
        of = "test" if name == "test" else "train"
        index = torch.arange(len(parts[of])) if index is None else index
        index = index[: SMALL[name]] if small else index
        labels = parts[f"{of}_labels"][index].long()
        found[name] = Part(parts[of][index].to(device), labels.to(device))
    return Data(**found, classes=10)


def of_case(case: Case, pictures: Data | None, seed: int, device: torch.device, small: bool):
    """Make what a case learns from.

    Parameters
    ----------
    case : Case
    pictures : Data or None
        The case's source; None where it is of random activations.
    seed : int
        Of the subset of the training pictures, and of the teacher.
    device : torch.device
    small : bool

    Returns
    -------
    Data
    """
    if case.data == "tensors":
        return _taught(case, seed, device, small)
    change = {"pictures": lambda part, _: part, "placed": _placed, "permuted": _permuted}
    parts = {
        name: change[case.data](getattr(pictures, name), number)
        for number, name in enumerate(("train", "validation", "test"))
    }
    count = len(parts["train"].labels)
    kept = min(case.samples or round(case.fraction * count), count)
    parts["train"] = parts["train"].take(_order(count, seed + 1)[: max(kept, 2)])
    return Data(**parts, classes=8 if case.data == "placed" else pictures.classes)


def schedule(count: int, batch: int, steps: int, augment: bool, seed: int) -> Tensor:
    """Draw which samples each step sees, and how each is moved: the same on every device.

    Parameters
    ----------
    count : int
        Of samples.
    batch, steps : int
    augment : bool
        Move pictures by up to 4 pixels, and mirror every second.
    seed : int

    Returns
    -------
    Tensor of shape (steps, B, 4)
        Index, row, column, mirror; B is the batch, or all there are.

    Examples
    --------
    >>> schedule(4, 2, 2, False, 0)[..., 0].flatten().sort().values.tolist()
    [0, 1, 2, 3]
    """
    generator = torch.Generator().manual_seed(seed)
    batch = min(batch, count)
    each = count // batch  # whole batches of an epoch
    epochs = [
        torch.randperm(count, generator=generator)[: each * batch].reshape(each, batch)
        for _ in range(-(-steps // each))
    ]
    index = torch.cat(epochs)[:steps]
    if augment:
        move = torch.randint(0, 2 * PADDING + 1, (*index.shape, 2), generator=generator)
        mirror = torch.randint(0, 2, (*index.shape, 1), generator=generator)
    else:
        move = torch.full((*index.shape, 2), PADDING)
        mirror = torch.zeros(*index.shape, 1, dtype=torch.long)
    return torch.cat([index.unsqueeze(-1), move, mirror], -1)


def padded(part: Part) -> Part:
    """Give pictures a margin, so that they can be moved."""
    return Part(F.pad(part.x, (0, 0, PADDING, PADDING, PADDING, PADDING)), part.labels)


def batch(part: Part, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Gather one step's samples, moved and mirrored.

    Parameters
    ----------
    part : Part
        Pictures that :func:`padded` returned, or activations.
    rows : Tensor of shape (B, 4)
        Of :func:`schedule`.

    Returns
    -------
    (Tensor of shape (B, C, H, W), Tensor of shape (B,))
        Pictures in [0, 1], channels last in memory.
    """
    index, top, left, mirror = rows.unbind(-1)
    if part.x.dtype != torch.uint8:
        return part.x[index], part.labels[index]
    place = torch.arange(part.x.shape[1] - 2 * PADDING, device=rows.device)
    columns = torch.where(mirror.unsqueeze(1) == 1, place.flip(0), place) + left.unsqueeze(1)
    lines = place + top.unsqueeze(1)  # (B, 32)
    x = part.x[index[:, None, None], lines[:, :, None], columns[:, None, :]]  # (B, 32, 32, 3)
    return as_input(x), part.labels[index]


def as_input(x: Tensor) -> Tensor:
    """Make bytes (B, H, W, 3) floats (B, 3, H, W) in [0, 1]; activations stay."""
    return x.permute(0, 3, 1, 2).float() / 255 if x.dtype == torch.uint8 else x


def _taught(case: Case, seed: int, device: torch.device, small: bool) -> Data:
    """Random activations and the class that a teacher's weight gives each."""
    generator = torch.Generator().manual_seed(seed)
    weight = teacher(case, generator)
    sizes = SMALL if small else {**TEACHER, "train": case.samples}
    parts = {}
    for name, count in sizes.items():
        x = torch.randn(count, *case.shape, generator=generator)
        labels = (x.flatten(1) @ weight.flatten(0, 2)).argmax(1)
        parts[name] = Part(x.to(device), labels.to(device))
    return Data(**parts, classes=case.classes)


def teacher(case: Case, generator: torch.Generator) -> Tensor:
    """Draw the weight (C, H, W, classes) that labels a case's activations.

    Parameters
    ----------
    case : Case
        "rough": every number for itself; "smooth": blurred over the map, a quarter of it wide;
        "uniform": the same everywhere on the map; "low-rank": a CP weight of rank 5.
    generator : torch.Generator

    Returns
    -------
    Tensor
        Each class of length 1.
    """
    channels, height, width = case.shape
    if case.weight == "low-rank":
        factors = [
            torch.randn(size, 5, generator=generator) for size in (*case.shape, case.classes)
        ]
        weight = torch.einsum("cr,hr,wr,nr->chwn", *factors)
    else:
        weight = torch.randn(channels, height, width, case.classes, generator=generator)
    if case.weight == "smooth":
        rows, columns = (_blur(side) for side in (height, width))
        weight = torch.einsum("ih,jw,chwn->cijn", rows, columns, weight)
    if case.weight == "uniform":
        weight = weight.mean((1, 2), keepdim=True).expand_as(weight)
    return weight / weight.flatten(0, 2).norm(dim=0)


def _blur(side: int) -> Tensor:
    place = torch.arange(side).float()
    return torch.exp(-((place - place.unsqueeze(1)) ** 2) / (2 * (side / 4) ** 2))


def _placed(part: Part, number: int) -> Part:
    """Pictures of 8 x 8 in one of four corners, on gray; animal or vehicle, and which corner."""
    count = len(part.labels)
    corner = torch.randint(0, 4, (count,), generator=torch.Generator().manual_seed(number))
    corner = corner.to(part.x.device)
    tiny = part.x.reshape(count, 8, 4, 8, 4, 3).float().mean((2, 4)).round().to(torch.uint8)
    canvas = torch.full_like(part.x, 128)
    for k, (top, left) in enumerate(((4, 4), (4, 20), (20, 4), (20, 20))):
        there = corner == k
        canvas[there, top : top + 8, left : left + 8] = tiny[there]
    animal = torch.isin(part.labels, torch.tensor(ANIMALS, device=part.x.device))
    return Part(canvas, animal.long() * 4 + corner)


def _permuted(part: Part, _: int) -> Part:
    """The pixels of every picture in one random order."""
    size = part.x.shape[1] * part.x.shape[2]
    order = _order(size, 0).to(part.x.device)
    return Part(part.x.flatten(1, 2)[:, order].reshape(part.x.shape), part.labels)


def _order(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _jpeg(source: Path) -> dict[str, np.ndarray]:
    arrays = {}
    with np.load(source) as packed:
        for part in ("train", "test"):
            missing = {f"{part}_{what}" for what in ("bytes", "offsets", "labels")} - set(packed)
            if missing:
                raise ValueError(
                    f"--data {source} lacks {min(missing)}: it must hold the bytes of JPEG files, "
                    f"where each begins, and the labels, of train and test"
                )
            files, offsets = packed[f"{part}_bytes"], packed[f"{part}_offsets"]
            spans = zip(offsets[:-1], offsets[1:], strict=True)
            with ThreadPoolExecutor() as pool:  # Pillow decodes without Python's lock
                images = list(pool.map(_image, (files[a:b].tobytes() for a, b in spans)))
            arrays[part] = np.stack(images)
            arrays[f"{part}_labels"] = packed[f"{part}_labels"]
    return arrays


def _image(file: bytes) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError:
        from torchvision.io import decode_jpeg

        found = decode_jpeg(torch.frombuffer(bytearray(file), dtype=torch.uint8))
        return found.permute(1, 2, 0).numpy()
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def _folder(source: Path) -> dict[str, np.ndarray]:
    from torchvision.datasets import CIFAR10

    arrays = {}
    for part in ("train", "test"):
        found = CIFAR10(source, train=part == "train")
        arrays[part], arrays[f"{part}_labels"] = found.data, np.array(found.targets)
    return arrays
