"""Data sets: what they hold, that their parts are apart, what is said when files are missing."""

import pickle
import sys

import numpy
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader

from trlkit.lab.data import cifar10, digits, fer2013, image_folder, photographs

GRAY = tuple((128 / 255 - m) / s for m, s in [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)])


def test_the_digits_are_all_of_scikit_learns_each_once():
    from sklearn.datasets import load_digits

    parts = digits(size=8)
    images = torch.cat([part.tensors[0] for part in parts])
    assert [len(part) for part in parts] == [1257, 270, 270]
    bunch = load_digits()
    expected = sorted(map(tuple, bunch.images.reshape(-1, 64) / 16))
    for channel in range(3):
        assert sorted(map(tuple, images[:, channel].double().reshape(-1, 64).tolist())) == expected
    labels = torch.cat([part.tensors[1] for part in parts])
    assert labels.bincount().tolist() == numpy.bincount(bunch.target).tolist()


def test_digits_keep_their_labels():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    label_of = {
        tuple(image.ravel() / 16): label
        for image, label in zip(bunch.images, bunch.target, strict=True)
    }
    for part in digits(size=8):
        for image, label in part:
            assert label_of[tuple(image[0].double().ravel().tolist())] == label


def test_the_digits_are_split_the_same_way_every_time():
    torch.manual_seed(1)
    first = digits()
    torch.manual_seed(2)
    second = digits()
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.tensors[0], other.tensors[0])
        assert torch.equal(one.tensors[1], other.tensors[1])


def test_digits_are_upsampled_between_their_pixels():
    small, large = digits(size=8).test.tensors[0], digits(size=32).test.tensors[0]
    assert large.shape == (270, 3, 32, 32) and 0 <= large.min() and large.max() <= 1
    torch.testing.assert_close(F.avg_pool2d(large, 4).mean(), small.mean(), rtol=0.02, atol=0)


def test_the_photographs_are_color_images():
    for image in photographs().values():
        assert image.shape == (427, 640, 3) and image.dtype == torch.float32
        assert image.min() >= 0 and 0.5 < image.max() <= 1


@pytest.fixture
def unsigned(monkeypatch):
    """Lets torchvision read files that are not the ones it knows the checksums of."""
    from pathlib import Path

    for module in ("cifar", "fer2013"):
        monkeypatch.setattr(
            f"torchvision.datasets.{module}.check_integrity",
            lambda path, md5=None: Path(path).exists(),
        )


def test_cifar10_is_read_by_torchvision(tmp_path, unsigned):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
        batch = {"data": numpy.full((4, 3072), 128, numpy.uint8), "labels": [0, 1, 2, 3]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["a", "b", "c", "d"]}))
    parts = cifar10(tmp_path, size=16)
    assert [len(part) for part in parts] == [18, 2, 4]
    image, label = parts.test[2]
    assert image.shape == (3, 16, 16) and label == 2
    torch.testing.assert_close(image[:, 0, 0], torch.tensor(GRAY))


def test_fer2013_is_read_by_torchvision(tmp_path, unsigned):
    folder = tmp_path / "fer2013"
    folder.mkdir()
    pixels = " ".join(["128"] * 48 * 48)
    usages = ["Training"] * 10 + ["PublicTest", "PrivateTest"]
    rows = [f"{k % 7},{pixels},{usage}" for k, usage in enumerate(usages)]
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    parts = fer2013(tmp_path)
    assert [len(part) for part in parts] == [9, 1, 2]
    image, label = parts.test[1]
    assert image.shape == (3, 48, 48) and label == 11 % 7
    torch.testing.assert_close(image[:, 0, 0], torch.tensor(GRAY))


def test_fer2013_without_test_labels_is_refused(tmp_path, unsigned):
    folder = tmp_path / "fer2013"
    folder.mkdir()
    pixels = " ".join(["128"] * 48 * 48)
    (folder / "train.csv").write_text(f"emotion,pixels\n1,{pixels}\n")
    (folder / "test.csv").write_text(f"pixels\n{pixels}\n")
    with pytest.raises(FileNotFoundError, match="test.csv, which has no labels: put fer2013.csv"):
        fer2013(tmp_path)


def write_images(folder, number, color):
    folder.mkdir(parents=True)
    for k in range(number):
        Image.new("RGB", (20, 10), color).save(folder / f"{k}.png")


def test_a_folder_of_class_folders_is_split(tmp_path):
    write_images(tmp_path / "cats", 10, (128, 128, 128))
    write_images(tmp_path / "dogs", 10, (0, 0, 0))
    parts = image_folder(tmp_path, size=8)
    assert [len(part) for part in parts] == [14, 3, 3]
    seen = sorted(index for part in parts for index in part.indices)
    assert seen == list(range(20))
    again = image_folder(tmp_path, size=8)
    assert [part.indices for part in again] == [part.indices for part in parts]
    for image, label in parts.train:
        assert image.shape == (3, 8, 8)
        assert torch.allclose(image[:, 0, 0], torch.tensor(GRAY)) == (label == 0)


@pytest.mark.parametrize("validation", [True, False])
def test_folders_for_the_parts_are_kept(tmp_path, validation):
    for part, number in [("train", 10), ("test", 3)] + [("val", 2)] * validation:
        write_images(tmp_path / part / "cats", number, (9, 9, 9))
    parts = image_folder(tmp_path, size=8)
    assert [len(part) for part in parts] == ([10, 2, 3] if validation else [9, 1, 3])


def test_images_are_loaded_in_worker_processes(tmp_path):
    write_images(tmp_path / "cats", 20, (9, 9, 9))
    loader = DataLoader(
        image_folder(tmp_path, size=8).train, 7, num_workers=1, multiprocessing_context="spawn"
    )
    assert [images.shape[0] for images, _ in loader] == [7, 7]


@pytest.mark.parametrize(
    "load, place",
    [(cifar10, "cifar-10-batches-py"), (fer2013, "fer2013"), (image_folder, "nowhere")],
)
def test_missing_files_are_said_with_their_place(load, place, tmp_path):
    root = tmp_path / "nowhere"
    with pytest.raises(FileNotFoundError, match=f"was looked for in {tmp_path}.*{place}"):
        load(root)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "cats").mkdir()
    with pytest.raises(FileNotFoundError, match="ImageFolder was looked for in .*cats"):
        image_folder(tmp_path)


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match="come with scikit-learn: pip install"):
        digits()
