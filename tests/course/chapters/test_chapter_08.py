"""The cell of chapter 08 that loads VGG16's weights: from torchvision's file, or random."""

import pytest
import torch
import torchvision
from filled import ROOT
from torchvision import models

from trlkit.course.author import masters
from trlkit.course.chapters.ch08_vgg16_with_trl import checks

CHAPTER = "08_vgg16_with_trl"


@pytest.fixture
def loading_cell():
    master, _ = masters.read_master(ROOT / "solutions" / CHAPTER / f"{CHAPTER}.py")
    (cell,) = [cell for cell in master.cells if "get_state_dict(" in cell.source]
    return cell.source


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty folder for torchvision's downloads, and no way to fill it."""

    def unreachable(*args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path))
    yield tmp_path
    torch.hub.set_dir(before)


def test_the_cell_loads_the_file_that_torchvision_would_download(loading_cell, hub, capsys):
    with torch.device("meta"):
        shapes = {n: t.shape for n, t in torchvision.models.vgg16().state_dict().items()}
    # Expanded tensors are saved with the one number that they hold: a file of some kilobytes.
    state = {name: torch.tensor(1e-3 * k).expand(s) for k, (name, s) in enumerate(shapes.items())}
    name = models.VGG16_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    (hub / "checkpoints").mkdir()
    torch.save(state, hub / "checkpoints" / name)
    space = {"torch": torch, "models": models}
    exec(loading_cell, space)
    assert space["pretrained"]
    for layer, tensor in space["vgg"].features.state_dict().items():
        assert torch.equal(tensor, state[f"features.{layer}"])
    assert capsys.readouterr().out == "The features are ImageNet's.\n"


def test_without_a_network_the_cell_says_so_in_one_line(loading_cell, hub, capsys):
    space = {"torch": torch, "models": models}
    exec(loading_cell, space)
    assert not space["pretrained"]
    downloading, line = capsys.readouterr().out.splitlines()
    assert downloading.startswith("Downloading: ")
    assert line == "The features are random (ImageNet's cannot be had: no route to host)."


SAID = {
    "used and needed": "needed",
    "used, not needed": "used",
    "in the way": "in the way",
    "as much luck as loss": "not shown",
    "blind to places": "not shown",
    "better for a shuffling": "not shown",
}


@pytest.mark.parametrize("name", checks.WORLDS)
def test_a_world_is_what_its_name_says_for_each_number_and_each_list_of_seeds(name):
    for number in checks.NUMBERS[name]:
        for seeds in checks.SEEDS:
            world = checks.World(name, number, seeds)
            found = checks.worth_of_places(world.split, world.learn, world.shuffle, seeds)
            assert (found[2], world.faults) == (SAID[name], [])


@pytest.mark.parametrize("seeds", checks.JUDGED)
def test_the_head_of_signs_is_ahead_of_nine_channels_in_every_draw(seeds):
    args = checks.halves.SHAPE, checks.halves.CLASSES, seeds
    assert checks.hundred_probe(checks.hundred_numbers, *args) == checks.RIGHT
    rival = checks.hundred_probe(checks.halves.NineChannels, *args)
    assert rival.kind == "not ahead"
