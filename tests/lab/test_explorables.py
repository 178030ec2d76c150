"""What can be explored draws what it says in every state, and hangs no kernel."""

import base64
import io
import itertools
import json
import os
import re
import sys
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image
from torch import nn
from torchvision import models

from trlkit import CPTRL, course
from trlkit.lab import capstone, explorables, plotting
from trlkit.lab.explorables import counting, learning, live, page, taking_apart
from trlkit.lab.explorables.explorable import Explorable, Knob

ALL = explorables.explorables()


@pytest.fixture(scope="module")
def drawn():
    """The picture of every state, each drawn once."""
    return {
        name: {state: explorable(*state) for state in explorable.states()}
        for name, explorable in ALL.items()
    }


def headline(picture):
    return picture._suptitle.get_text()


def numbers(text):
    return [float(n.replace(",", "")) for n in re.findall(r"-?\d[\d,]*\.?\d*", text)]


def test_each_chapter_has_one_and_names_are_said_once():
    assert [explorable.chapter[:2] for explorable in ALL.values()] == [f"{k:02}" for k in range(10)]


@pytest.mark.parametrize("name", ALL)
def test_every_state_draws_whole_and_says_what_it_shows(drawn, name):
    assert plt.get_fignums() == []
    said = set()
    for state, picture in drawn[name].items():
        picture.canvas.draw()
        edge = picture.bbox
        texts = [text for axes in picture.axes for text in [*axes.texts, axes.title]]
        for text in [*texts, *picture.texts]:
            box = text.get_window_extent()
            assert box.x0 >= edge.x0 - 2 and box.x1 <= edge.x1 + 2, (state, text)
        assert picture.get_figwidth() <= 6 and 10 < len(picture.alt) < 1500
        said.add(picture.alt)
    assert len(said) > len(drawn[name]) / 2  # words change as the picture does


def test_parameters_of_blocks_are_those_of_the_networks(drawn):
    for (network, head), picture in drawn[counting.blocks.name].items():
        with torch.device("meta"):
            net = getattr(models, network)()
            shape = counting.NETWORKS[network]
            new = {
                "its own": None,
                "average + Linear": nn.Linear(shape[0], 1000),
                "flatten + Linear": nn.Linear(torch.Size(shape).numel(), 1000),
                "CP TRL, rank 100": CPTRL(shape, 1000, rank=100),
            }[head]
        linear = sum(
            p.numel() for m in net.modules() if isinstance(m, nn.Linear) for p in m.parameters()
        )
        rest = sum(p.numel() for p in net.parameters()) - linear
        head_size = linear if new is None else sum(p.numel() for p in new.parameters())
        widths = {}
        for bar in picture.axes[0].patches:
            color = bar.get_facecolor()
            widths[color] = widths.get(color, 0) + bar.get_width()
        assert list(widths.values()) == pytest.approx([rest / 1e6, head_size / 1e6])
        share = numbers(headline(picture))[-1]
        assert share == pytest.approx(100 * head_size / (rest + head_size), abs=0.06)


def test_columns_appear_fiber_by_fiber(drawn):
    x = torch.arange(1, 25).reshape(3, 2, 4)
    for (mode, fibers), picture in drawn[taking_apart.unfolding.name].items():
        cube, matrix = picture.axes
        others = [range(size) for k, size in enumerate(x.shape) if k != mode]
        columns = []
        for rest in itertools.product(*others):
            at = list(rest)
            at.insert(mode, slice(None))
            columns.append(x[tuple(at)].tolist())
        shown = {}
        for text in matrix.texts:
            column, row = (int(place) for place in text.get_position())
            shown.setdefault(column, {})[row] = int(text.get_text())
        every = min(fibers, len(columns))
        assert shown == {k: dict(enumerate(columns[k])) for k in range(every)}
        white = (1.0, 1.0, 1.0, 1.0)
        colors = [patch.get_facecolor() for patch in matrix.patches]
        assert len(colors) == 24 and colors.count(white) == 24 - every * x.shape[mode]
        assert {*colors} - {white} == {p.get_facecolor() for p in cube.patches} - {white}


def test_forms_of_the_photograph_stay_within_their_numbers(drawn):
    photo = taking_apart._photograph()
    svd = torch.linalg.svdvals(photo.reshape(53, 240))
    for (budget,), picture in drawn[taking_apart.photograph.name].items():
        errors = {}
        for axes in picture.axes:
            name, stored = axes.get_title().rsplit(": ", 1)
            stored, error = numbers(stored)
            shown = torch.from_numpy(axes.images[0].get_array().data)
            assert stored <= budget
            clamped = (photo - shown).norm() / photo.norm()
            assert clamped <= error + 6e-4  # the picture is cut to [0, 1], which is nearer
            errors[name.split()[0]] = error
            if name.startswith("matrix SVD"):
                rank = int(name.split()[-1])
                assert stored == rank * 293 and (rank + 1) * 293 > budget
                best = svd[rank:].norm() / svd.norm()
                assert error == pytest.approx(best.item(), abs=6e-4)
        assert list(errors) == ["matrix", "CP", "Tucker", "TT"]
        assert errors["CP"] <= min(errors["matrix"], errors["TT"])


def test_learned_weights_have_the_rank_and_miss_by_what_is_said(drawn):
    error = {}
    for (true, rank), picture in drawn[learning.learned.name].items():
        weight, found = (torch.from_numpy(axes.images[0].get_array().data) for axes in picture.axes)
        assert {*weight.flatten().tolist()} == {0.0, 1.0}
        assert torch.linalg.matrix_rank(found) == rank
        error[true, rank] = ((found - weight).norm() / weight.norm()).item()
        said = numbers(headline(picture))
        assert said == pytest.approx([32 * rank, 200, error[true, rank]], abs=0.006)
    assert error["cross", 1] > 0.3 > 0.05 > error["cross", 2]
    assert error["disk", 4] < 0.05 < 0.2 < error["disk", 10]  # too many numbers for the samples
    assert min(error["diagonal", r] for r in (1, 2, 4, 10)) > 0.8


def test_the_path_that_is_taken_is_the_layers(drawn):
    for (classes, rank, run), picture in drawn[counting.paths.name].items():
        layer = CPTRL((512, 7, 7), classes, rank=rank).train(run == "training")
        lines = {line.get_label(): line.get_xydata() for line in picture.axes[0].lines}
        taken = lines.pop("taken")
        for k, batch in enumerate(counting.BATCHES):
            plan = layer.explain(batch)
            flops = {cost.path: cost.flops / 1e6 / batch for cost in plan.costs}
            assert {path: line[k][1] for path, line in lines.items()} == pytest.approx(flops)
            assert taken[k].tolist() == pytest.approx([batch, flops[plan.path]])
        assert headline(picture).split(": ")[1].split(", then ")[0] == layer.explain(1).path


def test_singular_values_and_digits_are_those_of_the_trained_weight(drawn):
    model = capstone.train(capstone.flat)
    weight = model[1][1].weight.detach().reshape(10, 16, 4, 4).permute(1, 2, 3, 0)
    bars = [
        torch.linalg.svdvals(weight.movedim(k, 0).reshape(size, -1))
        for k, size in enumerate(weight.shape)
    ]
    images, labels = capstone.part("validation").tensors
    right = (model(images).argmax(1) == labels).float().mean().item()
    for (channels, places, classes), picture in drawn[taking_apart.ranks.name].items():
        asked, kept = (channels, places, places, classes), []
        for axes, values in zip(picture.axes, bars, strict=True):
            assert [bar.get_height() for bar in axes.patches] == pytest.approx(values.tolist())
            colors = [bar.get_facecolor() for bar in axes.patches]
            kept.append(colors.count(colors[0]))
            if kept[-1] < len(colors):
                assert len({*colors}) == 2
        for k, rank in enumerate(kept):
            rest = asked[:k] + asked[k + 1 :]
            assert rank == min(asked[k], torch.Size(rest).numel())
        count, dense, share = numbers(headline(picture))
        sizes = sum(size * r for size, r in zip((16, 4, 4, 10), kept, strict=True))
        assert (count, dense) == (torch.Size(kept).numel() + sizes, 2560)
        if asked == (16, 4, 4, 10):
            assert share == pytest.approx(100 * right, abs=0.06)


def test_accuracies_under_a_disturbance_are_means_over_the_seeds(drawn):
    images, labels = capstone.part("validation").tensors
    for (p, by), picture in drawn[learning.dropout.name].items():
        lines = [line.get_xydata() for line in picture.axes[0].lines]
        for line, share in zip(lines, (0.0, p), strict=True):
            clean = [
                (capstone.train(
                    lambda s, c, share=share: CPTRL(s, c, rank=40, dropout=share), seed
                )(images).argmax(1) == labels).float().mean().item()
                for seed in range(3)
            ] if by == "noise" else []  # fmt: skip
            assert line[:, 0].tolist() == list(learning.STRENGTHS[by])
            assert not clean or line[0][1] == pytest.approx(sum(clean) / 3)
            assert line[-1][1] < line[0][1]
        gains = numbers(headline(picture))[1:3]
        without, dropped = lines
        assert gains == pytest.approx(
            [100 * (dropped[k][1] - without[k][1]) for k in (0, 3)], abs=0.06
        )


def test_components_are_outer_products_and_learning_starts_from_one_place(drawn):
    pictures = drawn[learning.factors.name]
    for (rate, step), picture in pictures.items():
        *components, classes = (
            torch.from_numpy(a.images[0].get_array().data) for a in picture.axes
        )
        assert len(components) == 9 and classes.shape == (10, 9)
        for component in components:
            assert component.shape == (8, 8) and torch.linalg.matrix_rank(component) == 1
        for shown in (*components, classes):
            assert shown.abs().max() == pytest.approx(1)
        (right,) = numbers(headline(picture).split(": ")[1])
        factors, _ = learning._snapshots(rate)[step]
        images, labels = capstone.part("validation").tensors
        logits = torch.einsum("bij,ir,jr,cr->bc", images[:, 0], *factors)
        told = (logits.argmax(1) == labels).float().mean().item()
        assert right == pytest.approx(100 * told, abs=0.06)
        scale = (classes / factors[2]).flatten()
        assert torch.allclose(scale, scale[0].expand_as(scale), rtol=1e-4)
        for r, component in enumerate(components):
            outer = torch.outer(factors[0][:, r], factors[1][:, r])
            assert torch.allclose(component, outer / outer.abs().max())
    for rate in (0.001, 0.1):
        both = zip(learning._snapshots(rate)[0][0], learning._snapshots(0.01)[0][0], strict=True)
        assert all(map(torch.equal, *zip(*both, strict=True)))
    assert learning._snapshots(0.1)[10][1] > learning._snapshots(0.001)[100][1]


def test_what_training_keeps_is_counted(drawn):
    with torch.device("meta"):
        net = models.vgg16(num_classes=10)
        heads = {
            "its own": net.classifier,
            "flatten + Linear": nn.Linear(25088, 10),
            "average + Linear": nn.Linear(512, 10),
        } | {f"CP, rank {r:,}": CPTRL((512, 7, 7), 10, rank=r) for r in (10, 100, 490, 10_000)}
    below = sum(p.numel() for p in net.features.parameters())
    for (head, learns), picture in drawn[counting.stored.name].items():
        last = sum(p.numel() for p in heads[head].parameters())
        trained = below if learns == "everything" else 0
        expected = [below, last, trained, last, 2 * trained, 2 * last, trained, last]
        widths = [bar.get_width() for bar in picture.axes[0].patches]
        assert widths == pytest.approx([number / 1e6 for number in expected])
        kept, size = numbers(headline(picture))
        assert kept == pytest.approx(sum(expected[:6]) / 1e6, abs=0.06) and size == last


def on_front(points):
    return [
        name
        for name, (size, share) in points.items()
        if all(
            not (s <= size and a >= share and (s < size or a > share)) for s, a in points.values()
        )
    ]


def test_the_front_holds_whom_nobody_beats(drawn):
    fields = {"clean": 2, "noise": 3, "FGSM": 4}
    trials = learning._some_heads()
    for (judged, budget), picture in drawn[learning.front.name].items():
        points = {
            trial.name: (trial.parameters, sum(trial[fields[judged]]) / len(trial[2]))
            for trial in trials
        }
        (axes,) = picture.axes
        shown = {tuple(dots.get_offsets()[0].tolist()) for dots in axes.collections}
        assert shown == {tuple(point) for point in points.values()}
        allowed = {name: point for name, point in points.items() if point[0] <= budget}
        front = {points[name] for name in on_front(allowed)}
        assert numbers(headline(picture)) == [len(front), len(allowed), budget]
        assert {tuple(point) for point in axes.lines[0].get_xydata().tolist()} == front


def test_the_front_can_be_ones_own():
    mine = [
        capstone.Trial("mine", 100, (0.9,), (0.8,), (0.7,), 1.0),
        capstone.Trial("other", 200, (0.5,), (0.9,), (0.1,), 1.0),
    ]
    assert headline(learning.front("clean", 2600, trials=mine)).startswith("1 of 2")
    assert headline(learning.front("noise", 2600, trials=mine)).startswith("2 of 2")
    none = learning.front("clean", 300, trials=[mine[0]._replace(parameters=10**6)])
    assert headline(none).startswith("0 of 0") and none.axes[0].lines[:] == []


@pytest.fixture
def toy():
    def draw(x, y, shift=0):
        calls.append((x, y))
        return plotting.curves({"line": ([0, 1], [x, y + shift])}, "a", "b")

    calls = []
    knobs = Knob("x", (1, 1000), 1), Knob("y <&>", ("2", "3"), "3")
    yield Explorable("toy", "00", knobs, lambda x, y, **own: draw(x, int(y), **own)), calls


def test_live_draws_a_state_when_it_is_turned_to_and_once(toy):
    explorable, calls = toy
    box = live.show(explorable, shift=5)
    x, y, picture, words = box.children
    first = bytes(picture.value)
    assert calls == [(1, 3)] and first.startswith(b"\x89PNG")
    assert "line from 1 at 0 to 8 at 1" in words.value
    x.value = 1000
    assert calls == [(1, 3), (1000, 3)] and bytes(picture.value) != first
    assert "line from 1e+03 at 0" in words.value
    x.value = 1
    assert bytes(picture.value) == first and len(calls) == 2
    data, alt = box._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert base64.b64decode(data["image/png"]) == first and alt["image/png"]["alt"]


def test_page_holds_every_state_and_asks_for_nothing(toy):
    explorable, _ = toy
    text = page.html(explorable)
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text)[1])
    assert [alt for _, alt in data["states"]] == [explorable(*s).alt for s in explorable.states()]
    for image, _ in data["states"]:
        shown = Image.open(io.BytesIO(base64.b64decode(data["images"][image])))
        assert shown.width > 500 and len(shown.convert("RGB").getcolors(10**6)) <= 256
    first = data["images"][data["states"][1][0]]  # (1, "3")
    assert f'<img src="data:image/png;base64,{first}" alt="{explorable().alt}">' in text
    assert "<span>y &lt;&amp;&gt;</span>" in text and "1,000" in text
    assert not re.search(r"https?:|<link|src=\"(?!data:)", text)


def test_a_page_that_is_too_heavy_is_refused(toy, monkeypatch):
    monkeypatch.setattr(page, "LIMIT", 2000)
    with pytest.raises(ValueError, match="toy takes .* fewer states"):
        page.html(toy[0])


def test_without_widgets_a_still_picture_and_without_a_notebook_nothing(monkeypatch, capsys):
    name = taking_apart.unfolding.name
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert course.explore(name) is None
    shell = SimpleNamespace(kernel=None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    still = course.explore(name)
    assert isinstance(still, plotting.Picture) and still.alt == ALL[name]().alt
    assert "still picture" in capsys.readouterr().out
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert course.explore(name) is None


def run(monkeypatch, source):
    """The outputs of a cell, in a kernel that nobody watches."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(env=dict(os.environ))
    return notebook.cells[0].outputs


def test_no_kernel_waits_for_a_browser_and_graders_draw_nothing(monkeypatch):
    source = 'from trlkit.course import explore\nexplore("an unfolding, fiber by fiber")'
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    (output,) = run(monkeypatch, source)
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= {*output.data}
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert run(monkeypatch, source) == []
