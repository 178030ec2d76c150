"""The pictures draw, show what they claim, and leave pyplot as it was."""

import base64

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from trlkit.lab import plotting

MODEL = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(8, 2))
PICTURES = {
    "unfoldings": lambda: plotting.unfoldings((2, 3, 4)),
    "fibers_and_slices": lambda: plotting.fibers_and_slices((3, 4, 5)),
    "mode_product": lambda: plotting.mode_product((2, 3, 4), rows=5, mode=2),
    "khatri_rao_columns": lambda: plotting.khatri_rao_columns((2, 3), rank=4),
    "decompositions": lambda: plotting.decompositions((4, 5, 6), 3, (2, 3, 2), (1, 2, 3, 1)),
    "parameter_bars": lambda: plotting.parameter_bars({"A": {"x": 10**6, "y": 2 * 10**6}}),
    "parameters_by_layer": lambda: plotting.parameters_by_layer(MODEL),
    "target_and_yours": lambda: plotting.target_and_yours(
        torch.ones(2, 3, 4), torch.zeros(2, 3, 4)
    ),
    "flatten_against_trl": plotting.flatten_against_trl,
    "tradeoff": lambda: plotting.tradeoff(
        {"small": (10, 0.5), "beaten": (30, 0.4), "large": (40, 0.9)}, ["large", "small"], "x", "y"
    ),
    "curves": lambda: plotting.curves(
        {"CP": ([1, 10], [0.5, 0.1]), "TT": ([2, 20], [0.4, 0.2])},
        "parameters",
        "error",
        log="xy",
        marks={"dense": 15},
    ),
    "images": lambda: plotting.images(
        {"gray": torch.rand(4, 6), "color": torch.rand(4, 6, 3), "planes": torch.rand(3, 4, 6)},
        rows=2,
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture_draws_whole(name, tmp_path):
    figure = PICTURES[name]()
    assert isinstance(figure, Figure) and plt.get_fignums() == []
    figure.savefig(tmp_path / "picture.png")
    figure.canvas.draw()
    edge = figure.bbox
    for axes in figure.axes:
        for text in [*axes.texts, axes.title]:
            box = text.get_window_extent()
            assert not text.get_text() or (box.x0 >= edge.x0 - 2 and box.x1 <= edge.x1 + 2), text


@pytest.mark.parametrize("name", PICTURES)
def test_picture_says_what_it_shows(name):
    picture = PICTURES[name]()
    data, metadata = picture._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == data["text/plain"] == picture.alt
    assert picture.what and picture.alt.startswith(picture.what) and len(picture.alt) < 1500
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")


def test_words_of_a_picture_hold_its_numbers():
    assert PICTURES["parameter_bars"]().alt == ("Bars of parameter counts, in millions. A: 3.0 M.")
    assert "0.weight" not in PICTURES["parameters_by_layer"]().alt
    assert "0  Conv2d: 112, 2  Linear: 18" in PICTURES["parameters_by_layer"]().alt
    said = PICTURES["curves"]().alt
    assert "error over parameters: CP from 0.5 at 1 to 0.1 at 10; TT from 0.4 at 2" in said
    assert "dense at 15" in said
    single = plotting.curves({"one": ([3], [0.25]), "none": ([], [])}, "x", "y").alt
    assert single == "Curves. y over x: one: 0.25 at 3."
    assert PICTURES["images"]().alt.endswith("gray. color. planes.")


def words(figure):
    return " ".join(t.get_text() for axes in figure.axes for t in [*axes.texts, axes.title])


def test_numbers_in_the_pictures_are_computed():
    assert "25,089,000 parameters" in words(PICTURES["flatten_against_trl"]())
    shown = words(PICTURES["decompositions"]())
    assert all(f"{count} numbers" in shown for count in (45, 12 + 8 + 15 + 12, 8 + 30 + 18))
    assert "153,600 parameters" in words(PICTURES["flatten_against_trl"]())
    assert "112" in words(PICTURES["parameters_by_layer"]())  # 4 * 3 * 9 + 4
    assert "3.0 M" in words(PICTURES["parameter_bars"]())


def test_entries_of_one_fiber_share_a_color():
    left, right = plotting.unfoldings((2, 3, 4)).axes[2:4]  # mode 1
    columns = {}
    for patch in right.patches:
        columns.setdefault(round(patch.get_x()), set()).add(patch.get_facecolor())
    assert len(columns) == 8 and all(len(colors) == 1 for colors in columns.values())
    assert {patch.get_facecolor() for patch in left.patches} == {
        color for colors in columns.values() for color in colors
    }


def test_curves_have_the_points_and_the_scales_asked_for():
    (axes,) = PICTURES["curves"]().axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    names = {line.get_label(): list(line.get_xdata()) for line in axes.lines}
    assert names == {"CP": [1, 10], "TT": [2, 20], "dense": [15, 15]}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(names)


def test_the_front_is_a_staircase_upwards_and_every_point_has_its_name():
    (axes,) = PICTURES["tradeoff"]().axes
    assert axes.lines[0].get_xydata().tolist() == [[10, 0.5], [40, 0.9]]
    assert {text.get_text() for text in axes.texts} == {"small", "beaten", "large"}
    told = "small 0.5 at 10, beaten 0.4 at 30, large 0.9 at 40. On the front: large, small"
    assert told in PICTURES["tradeoff"]().alt


def test_signed_images_share_a_scale_around_zero():
    figure = plotting.images({"a": torch.tensor([[1.0]]), "b": torch.tensor([[-3.0]])}, signed=True)
    assert [axes.images[0].get_clim() for axes in figure.axes] == [(-3, 3), (-3, 3)]


def test_only_the_entries_that_differ_are_colored():
    expected, got = torch.ones(2, 3), torch.ones(2, 3)
    got[1, 2] = 5
    top = plotting.target_and_yours(expected, got).axes[0]
    colored = [p.get_xy() for p in top.patches if p.get_facecolor() != (1.0, 1.0, 1.0, 1.0)]
    assert colored == [(2, 1)]


def test_slider_draws_once_at_once_and_again_when_it_moves():
    drawn = []

    def draw(rank):
        drawn.append(rank)
        return PICTURES["curves"]()

    box = plotting.slider(draw, "rank", [5, 10, 20], 10)
    chooser, picture = box.children
    data, words = box._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert base64.b64decode(data["image/png"]) == picture.value
    assert words["image/png"]["alt"] == PICTURES["curves"]().alt
    first = bytes(picture.value)
    assert drawn == [10] and first.startswith(b"\x89PNG")
    chooser.value = 20
    assert drawn == [10, 20]


def test_a_logarithmic_axis_says_its_numbers_as_one_does():
    near = plotting.curves({"a": ([3, 90], [1, 2])}, "rank", "error", log="x")
    far = plotting.curves({"a": ([3, 2e6], [1e-3, 2e-3])}, "rank", "error", log="xy")
    for picture in (near, far):
        picture.canvas.draw()

    def told(axis):
        low, high = axis.get_view_interval()
        texts = {tick: label.get_text() for tick, label in zip(
            [*axis.get_majorticklocs(), *axis.get_minorticklocs()],
            [*axis.get_majorticklabels(), *axis.get_minorticklabels()], strict=False)}  # fmt: skip
        return [texts[tick] for tick in sorted(texts) if low <= tick <= high and texts[tick]]

    assert told(near.axes[0].xaxis) == ["5", "10", "20", "50", "100"]
    assert told(far.axes[0].xaxis) == ["10", "100", "1,000", "10,000", "100,000", "1 million"]
    assert "0.001" in told(far.axes[0].yaxis)
