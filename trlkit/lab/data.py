"""Images to learn from: digits and photographs offline, and the data sets of torchvision."""

import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset, random_split

DIGITS_SPLIT = (1257, 270, 270)  # of the 1797 digits: train, validation, test
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what torchvision's weights expect


class Split(NamedTuple):
    """The three parts of a data set. The test set is for the last look alone."""

    train: Dataset
    validation: Dataset
    test: Dataset


def digits(size: int = 32) -> Split:
    """Load scikit-learn's 1797 handwritten digits, offline, the same split every time.

    Parameters
    ----------
    size : int
        The images, 8 by 8, are upsampled to this height and width.

    Returns
    -------
    Split of TensorDataset
        Images (3, size, size) in [0, 1], the three channels equal; labels 0 to 9.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> train, validation, test = digits()
    >>> len(train), len(validation), len(test), train[0][0].shape
    (1257, 270, 270, torch.Size([3, 32, 32]))
    """
    bunch = _sklearn().load_digits()
    images = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16  # (1797, 1, 8, 8)
    images = nn.functional.interpolate(images, size=(size, size), mode="bilinear")
    images = images.expand(-1, 3, -1, -1)
    labels = torch.from_numpy(bunch.target).long()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0), device="cpu")
    parts = order.split(DIGITS_SPLIT)
    return Split(*(TensorDataset(images[part], labels[part]) for part in parts))


CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer")
CIFAR10_CLASSES += ("dog", "frog", "horse", "ship", "truck")


def cifar10_features() -> tuple[TensorDataset, TensorDataset]:
    """Load what a frozen VGG16 sees in a few hundred pictures of CIFAR-10, offline.

    Returns
    -------
    (TensorDataset, TensorDataset)
        To learn from and to test with: activations (512, 4, 4), labels 0 to 9, as many of
        each of :data:`CIFAR10_CLASSES`.

    Notes
    -----
    The backbone is torchvision's VGG16 with batch normalization for pictures of 32 x 32, its last
    two poolings left out. It learned the first eight classes from 36,000 training pictures; none
    of them is here. ``trlkit experiments features --data CIFAR10 --each 23`` made the file. The
    pictures are of A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.

    Examples
    --------
    >>> train, test = cifar10_features()
    >>> len(train), len(test), train[0][0].shape
    (230, 230, torch.Size([512, 4, 4]))
    """
    with np.load(Path(__file__).with_name("cifar10_features.npz")) as file:
        parts = [(file[name], file[f"{name}_labels"]) for name in ("train", "test")]
    train, test = (
        TensorDataset(torch.from_numpy(x).float(), torch.from_numpy(labels).long())
        for x, labels in parts
    )
    return train, test


def photographs() -> dict[str, Tensor]:
    """Load the two sample photographs that scikit-learn carries, offline.

    Returns
    -------
    dict of str to Tensor of shape (427, 640, 3)
        "china" and "flower", in [0, 1].

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> {name: tuple(image.shape) for name, image in photographs().items()}
    {'china': (427, 640, 3), 'flower': (427, 640, 3)}
    """
    samples = _sklearn().load_sample_images()
    return {
        Path(name).stem: torch.tensor(image) / 255
        for name, image in zip(samples.filenames, samples.images, strict=True)
    }


def drawings(seed: int = 0, size: int = 16) -> dict[str, Tensor]:
    """Simple pictures of norm 1: two of bars, two disks, two rings, two diagonal stripes.

    Parameters
    ----------
    seed : int
        Places, sizes and directions are drawn by it.
    size : int
        Height and width; some of the pictures lie partly outside if it is below 12.

    Returns
    -------
    dict of str to Tensor of shape (size, size)
        In float64.

    Examples
    --------
    >>> list(drawings())[:3], drawings()["a disk"].shape
    (['bars', 'a disk', 'a ring'], torch.Size([16, 16]))
    """
    draw = random.Random(seed)
    place = torch.arange(size, dtype=torch.float64)
    found = {}
    for name in ("bars", "a disk", "a ring", "a stripe", "more bars", "another disk",
                 "another ring", "another stripe"):  # fmt: skip
        down, across = ((size - 1) / 2 + draw.uniform(-2, 2) for _ in range(2))
        distance = ((place[:, None] - down) ** 2 + (place - across) ** 2).sqrt()
        if "bars" in name:
            picture = torch.zeros(size, size, dtype=torch.float64)
            for _ in range(3):
                top, left = draw.randint(1, size // 2 - 2), draw.randint(1, size // 2 - 2)
                height, width = draw.choice([(3, 9), (9, 3)])
                picture[top : top + height, left : left + width] = 1
        elif "disk" in name:
            picture = (distance < size * draw.uniform(0.25, 0.35)).double()
        elif "ring" in name:
            outer = size * draw.uniform(0.32, 0.42)
            picture = ((distance < outer) & (distance > outer - 3)).double()
        else:
            shifted = place[:, None] - place - draw.uniform(-2, 2)
            picture = (shifted.abs() < 2).double()
            picture = picture.flip(1) if draw.random() < 0.5 else picture
        found[name] = picture / picture.norm()
    return found


def cifar10(root: str | Path, size: int = 32, download: bool = False) -> Split:
    """Load CIFAR-10 by torchvision: 45,000 images to train on, 5,000 to validate, 10,000 to test.

    Parameters
    ----------
    root : str or Path
        The folder that holds ``cifar-10-batches-py``.
    size : int
        Height and width to resize to.
    download : bool

    Returns
    -------
    Split
        Images (3, size, size) with the mean and spread of ImageNet; labels 0 to 9.

    Raises
    ------
    FileNotFoundError
        If the files are not there, with where they were looked for.
    """
    from torchvision.datasets import CIFAR10

    options = {"transform": _transform(size), "download": download}
    parts = [
        _found(CIFAR10, Path(root) / CIFAR10.base_folder, root, train=train, **options)
        for train in (True, False)
    ]
    return Split(*_without_a_tenth(parts[0]), parts[1])


def fer2013(root: str | Path, size: int = 48) -> Split:
    """Load FER2013, faces with 7 emotions, by torchvision.

    Parameters
    ----------
    root : str or Path
        The folder that holds ``fer2013/icml_face_data.csv`` or ``fer2013/fer2013.csv``
        of Kaggle's facial expression recognition challenge, which asks for an account.
    size : int
        Height and width to resize to.

    Returns
    -------
    Split
        A tenth of the training images are the validation set. Images (3, size, size)
        with the mean and spread of ImageNet; labels 0 to 6: angry, disgust, fear,
        happy, sad, surprise, neutral.

    Raises
    ------
    FileNotFoundError
        If the file is not there, or has no labels, with where it was looked for.
    """
    from torchvision.datasets import FER2013

    options = {"transform": _transform(size)}
    folder = Path(root) / "fer2013"
    train, test = (
        _found(FER2013, folder, root, split=split, **options) for split in ("train", "test")
    )
    if test[0][1] is None:
        raise FileNotFoundError(
            f"{folder} holds test.csv, which has no labels: put fer2013.csv or "
            f"icml_face_data.csv of the same challenge there"
        )
    return Split(*_without_a_tenth(train), test)


def image_folder(root: str | Path, size: int = 224) -> Split:
    """Load a folder of images by torchvision, one folder for each class.

    Parameters
    ----------
    root : str or Path
        It holds a folder for each class; or ``train``, ``test`` and, if there is one,
        ``val``, each with a folder for each class.
    size : int
        Height and width to resize to.

    Returns
    -------
    Split
        Images (3, size, size) with the mean and spread of ImageNet; the labels count
        the classes in alphabetical order. Without ``train`` and ``test``, 70, 15 and
        15 % of the images; without ``val``, a tenth of ``train`` is the validation set.
        The same split every time.

    Raises
    ------
    FileNotFoundError
        If there is no folder, or no image in it, with where it was looked for.
    """
    from torchvision.datasets import ImageFolder

    root, options = Path(root), {"transform": _transform(size)}
    if not (root / "train").is_dir():
        whole = _found(ImageFolder, root, root, **options)
        return Split(*_split(whole, (0.7, 0.15, 0.15)))
    train, test = (
        _found(ImageFolder, root / part, root / part, **options) for part in ("train", "test")
    )
    if not (root / "val").is_dir():
        return Split(*_without_a_tenth(train), test)
    return Split(train, _found(ImageFolder, root / "val", root / "val", **options), test)


def _found(kind: type[Dataset], place: Path, root: str | Path, **options) -> Dataset:
    """One of torchvision's data sets, or an error that says where it was looked for."""
    try:
        return kind(root, **options)
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"{kind.__name__} was looked for in {place.absolute()}: {str(error).strip()}"
        ) from error


def _without_a_tenth(dataset: Dataset) -> list[Dataset]:
    return _split(dataset, (0.9, 0.1))


def _split(dataset: Dataset, shares: tuple[float, ...]) -> list[Dataset]:
    return random_split(dataset, shares, generator=torch.Generator().manual_seed(0))


def _transform(size: int):
    """Images of any kind to (3, size, size), as torchvision's weights expect them."""
    from torchvision import transforms

    steps = [
        transforms.Lambda(_rgb),
        transforms.Resize((size, size)),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return transforms.Compose(steps)


def _rgb(image):
    return image.convert("RGB")


def _sklearn():
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            "digits and photographs come with scikit-learn: pip install trlkit[course], or "
            "scikit-learn"
        ) from error
    return datasets
