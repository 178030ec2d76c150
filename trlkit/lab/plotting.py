"""The pictures of the course. Every function returns a :class:`Picture` to show or save.

A picture says in words what it shows, for those who cannot see it; its colors come from
palettes that color-blind readers can tell apart.
"""

import base64
import io
import sys
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import FuncFormatter, LogLocator
from torch import Tensor, nn

from trlkit.ranks import cp_parameters, tt_parameters, tucker_parameters
from trlkit.tensors import mode_dot, unfold

BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#E69F00", "#009E73", "#BBBBBB"
LINES = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#D55E00")
MARKERS = "osD^vP*X<>ph"
FIBERS = plt.get_cmap("viridis")
DEPTH = (0.5, 0.38)  # how far the next mode-0 slice stands to the right and up


class Picture(Figure):
    """A matplotlib figure with a text that stands in for it.

    Attributes
    ----------
    what : str
        What it shows as a whole.

    Examples
    --------
    >>> curves({"CP": ([1, 10], [0.5, 0.125])}, "parameters", "error").alt
    'Curves. error over parameters: CP from 0.5 at 1 to 0.125 at 10.'
    """

    what: str = ""

    @property
    def alt(self) -> str:
        """What the picture shows, in words and numbers."""
        return ". ".join(filter(None, [self.what, *map(_said, self.axes)])) + "."

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        """The picture for a notebook, with its text."""
        png = io.BytesIO()
        self.savefig(png, format="png", dpi=100)
        data = base64.b64encode(png.getvalue()).decode("ascii")
        return {"image/png": data, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


def unfoldings(shape: Sequence[int] = (2, 3, 4)) -> Picture:
    """A tensor 1, 2, 3, ... and its three unfoldings; entries of one fiber share a color.

    Parameters
    ----------
    shape : (I_0, I_1, I_2)
        Mode 0 goes into the page, mode 1 down, mode 2 to the right.
    """
    x = torch.arange(1, 1 + torch.Size(shape).numel()).reshape(*shape)
    figure, rows = _figure(3, 2, (10, 8), "A tensor and its unfoldings", width_ratios=[1, 1.9])
    for mode, (left, right) in enumerate(rows):
        fibers = _fiber_numbers(shape, mode)
        _cube(left, x, fibers)
        left.set_title(f"the mode-{mode} fibers of x {tuple(shape)}", fontsize=11)
        _grid(right, unfold(x, mode), unfold(fibers, mode))
        right.set_title(f"unfold(x, {mode})  {tuple(unfold(x, mode).shape)}", fontsize=11)
    return figure


def unfolding(shape: Sequence[int], mode: int, fibers: int) -> Picture:
    """A tensor 1, 2, 3, ... of three modes and the first columns of one of its unfoldings.

    Parameters
    ----------
    shape : (I_0, I_1, I_2)
        As for :func:`unfoldings`.
    mode : int
    fibers : int
        How many of the fibers are already columns. In the tensor these are colored.
    """
    x = torch.arange(1, 1 + torch.Size(shape).numel()).reshape(*shape)
    numbers = _fiber_numbers(shape, mode)
    last = numbers.max()
    taken = torch.where(numbers < fibers, numbers, -1)
    figure, ((left,), (below,)) = _figure(2, 1, (6, 5), "A tensor and one of its unfoldings")
    _cube(left, x, taken, most=last.item())
    left.set_title(f"x {tuple(shape)}: {fibers} of {last + 1} mode-{mode} fibers", fontsize=11)
    matrix, columns = unfold(x, mode), unfold(taken, mode)
    _grid(below, matrix, columns, numbers=columns >= 0, most=last.item())
    below.set_title(f"unfold(x, {mode})  {tuple(matrix.shape)}", fontsize=11)
    return figure


def spectra(values: Mapping[str, tuple[Tensor, int]]) -> Picture:
    """Falling bars beside each other, the first ones of each in another color.

    Parameters
    ----------
    values : mapping of str to (Tensor of shape (I,), int)
        For each name the singular values of an unfolding, and how many of them are kept.
    """
    figure, (row,) = _figure(1, len(values), (6, 3), "Singular values of unfoldings", sharey=True)
    for axes, (name, (heights, kept)) in zip(row, values.items(), strict=True):
        places = range(1, 1 + len(heights))
        colors = [BLUE if place <= kept else GRAY for place in places]
        axes.bar(places, heights.tolist(), color=colors, width=0.8)
        axes.set_title(f"{name}\n{kept} of {len(heights)}", fontsize=10)
        axes.set_xticks([1, len(heights)])
        axes.spines[["top", "right"]].set_visible(False)
    row[0].set_ylabel("singular value")
    return figure


def fibers_and_slices(shape: Sequence[int] = (3, 4, 5)) -> Picture:
    """Above the fibers of the three modes, below the slices; each one in a color of its own."""
    x = torch.arange(1, 1 + torch.Size(shape).numel()).reshape(*shape)
    figure, (above, below) = _figure(2, 3, (10, 6.5), "The fibers and the slices of a tensor")
    for mode in range(3):
        _cube(above[mode], x, _fiber_numbers(shape, mode), numbers=False)
        above[mode].set_title(f"mode-{mode} fibers: all indices fixed but one", fontsize=9)
        index = torch.arange(shape[mode]).reshape([-1 if k == mode else 1 for k in range(3)])
        _cube(below[mode], x, index.expand(*shape), numbers=False)
        below[mode].set_title(f"slices along mode {mode}: one index fixed", fontsize=9)
    return figure


def mode_product(shape: Sequence[int] = (2, 3, 4), rows: int = 5, mode: int = 1) -> Picture:
    """A tensor, the matrix that multiplies its mode, and the tensor that comes out."""
    x = torch.ones(*shape)
    y = mode_dot(x, torch.ones(rows, shape[mode]), mode)
    figure, ((left, middle, right),) = _figure(
        1, 3, (10, 3.4), "A tensor times a matrix along one mode"
    )
    _cube(left, x, _fiber_numbers(shape, mode), numbers=False)
    left.set_title(f"x  {tuple(shape)}: its mode-{mode} fibers")
    matrix = torch.zeros(rows, shape[mode])
    _grid(middle, matrix, torch.full_like(matrix, -1), numbers=False)
    middle.set_title(f"the matrix  ({rows}, {shape[mode]})")
    _cube(right, y, _fiber_numbers(y.shape, mode), numbers=False)
    right.set_title(f"mode_dot(x, matrix, {mode})  {tuple(y.shape)}")
    return figure


def khatri_rao_columns(rows: Sequence[int] = (2, 3), rank: int = 4) -> Picture:
    """Two matrices and their Khatri-Rao product; columns that belong together share a color."""
    figure, ((left, middle, right),) = _figure(
        1, 3, (9, 3.6), "Two matrices and their Khatri-Rao product"
    )
    sizes = (rows[0], rows[1], rows[0] * rows[1])
    titles = ("A", "B", "khatri_rao([A, B])")
    for axes, size, title in zip((left, middle, right), sizes, titles, strict=True):
        columns = torch.arange(rank).expand(size, rank)
        _grid(axes, columns, columns, numbers=False)
        axes.set_title(f"{title}  {(size, rank)}")
        axes.set_ylim(max(sizes) + 0.1, -0.1)
    return figure


def decompositions(
    shape: Sequence[int], cp: int, tucker: Sequence[int], tt: Sequence[int]
) -> Picture:
    """The stored tensors of a CP, a Tucker and a TT form; a line between two is a rank.

    Parameters
    ----------
    shape : sequence of int
    cp : int
    tucker : sequence of int, one for each mode
    tt : sequence of int
        With a one at both ends.
    """
    figure, ((left, middle, right),) = _figure(1, 3, (10, 2.6), "Three forms of one tensor")
    places = [(2.0 * k, 0.0) for k in range(len(shape))]
    top = (len(shape) - 1.0, 1.7)
    factors = [(size, cp) for size in shape]
    _network(left, places, factors, shape)
    left.plot(*top, "o", color="#333333", markersize=6)
    left.text(top[0], top[1] + 0.2, f"one index r < {cp}", ha="center", fontsize=9)
    _network(middle, places, list(zip(shape, tucker, strict=True)), shape)
    _box(middle, top, tuple(tucker), ORANGE)
    for (x, y), r in zip(places, tucker, strict=True):
        for axes, label in ((left, ""), (middle, str(r))):
            axes.plot([top[0], x], [top[1], y], color="#333333", zorder=1)
            middle_x, middle_y = (top[0] + x) / 2, (top[1] + y) / 2
            side = -1 if x < top[0] else 1
            how = {"ha": "right" if x < top[0] else "left", "fontsize": 9}
            axes.text(middle_x + 0.12 * side, middle_y + 0.06, label, **how)
    cores = list(zip(tt[:-1], shape, tt[1:], strict=True))
    _network(right, places, cores, shape)
    for (x, y), r in zip(places[:-1], tt[1:-1], strict=True):
        right.plot([x, x + 2], [y, y], color="#333333", zorder=1)
        right.text(x + 1, y + 0.12, str(r), ha="center", fontsize=9)
    counts = (cp_parameters(shape, cp), tucker_parameters(shape, tucker), tt_parameters(shape, tt))
    names = (f"CP, rank {cp}", f"Tucker, rank {tuple(tucker)}", f"TT, rank {tuple(tt)}")
    for axes, name, count in zip((left, middle, right), names, counts, strict=True):
        axes.set_title(f"{name}: {count} numbers", fontsize=10)
        axes.set(xlim=(-0.9, 2 * len(shape) - 1.1), ylim=(-1.2, 2.2), aspect="equal")
        axes.axis("off")
    return figure


def _network(
    axes: Axes, places: Sequence[tuple], sizes: Sequence[tuple], shape: Sequence[int]
) -> None:
    """A row of boxes, each with a leg for its mode."""
    for (x, y), box, size in zip(places, sizes, shape, strict=True):
        axes.plot([x, x], [y, y - 0.8], color="#333333", zorder=1)
        axes.text(x, y - 1.05, str(size), ha="center", fontsize=9)
        _box(axes, (x, y), box, BLUE)


def _box(axes: Axes, place: tuple[float, float], sizes: tuple, color: str) -> None:
    """A stored tensor, told by its shape."""
    style = {"boxstyle": "round,pad=0.45", "facecolor": color, "edgecolor": "none"}
    text = " x ".join(map(str, sizes))
    axes.text(*place, text, ha="center", va="center", fontsize=9, color="white", bbox=style)


def parameter_bars(counts: Mapping[str, Mapping[str, int]]) -> Picture:
    """Stacked bars of parameter counts, one bar for each network.

    Parameters
    ----------
    counts : mapping of str to mapping of str to int
        For each network its parts and their parameters, such as
        ``{"VGG16": {"convolutions": 14_714_688, "fully connected": 123_642_856}}``.
    """
    what = "Bars of parameter counts, in millions"
    figure, ((axes,),) = _figure(1, 1, (9, 1.1 + 0.55 * len(counts)), what)
    parts = list(dict.fromkeys(part for count in counts.values() for part in count))
    colors = dict(zip(parts, (BLUE, ORANGE, GREEN, GRAY) * len(parts), strict=False))
    for row, count in enumerate(counts.values()):
        left = 0.0
        for part, number in count.items():
            axes.barh(row, number / 1e6, left=left, color=colors[part], edgecolor="white")
            left += number / 1e6
        total = f"{left:,.1f}" if left >= 1 else f"{left:.2g}"
        axes.text(left, row, f" {total} M", va="center", fontsize=9)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colors[part]) for part in parts]
    figure.legend(handles, parts, loc="outside lower center", ncols=len(parts), frameon=False)
    axes.set_yticks(range(len(counts)), list(counts))
    _million_parameters(axes)
    return figure


def _million_parameters(axes: Axes) -> None:
    """The axes of horizontal bars that count parameters, the first bar on top."""
    axes.invert_yaxis()
    axes.set_xlabel("million parameters")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)


def parameters_by_layer(model: nn.Module) -> Picture:
    """A bar for each layer of a network that has parameters of its own."""
    layers = [
        (name, type(layer).__name__, sum(p.numel() for p in layer.parameters(recurse=False)))
        for name, layer in model.named_modules()
        if any(True for _ in layer.parameters(recurse=False))
    ]
    what = "Bars of the parameters of each layer"
    figure, ((axes,),) = _figure(1, 1, (9, 0.6 + 0.24 * len(layers)), what)
    kinds = list(dict.fromkeys(kind for _, kind, _ in layers))
    colors = dict(zip(kinds, (BLUE, ORANGE, GREEN, GRAY) * len(kinds), strict=False))
    for row, (_, kind, number) in enumerate(layers):
        axes.barh(row, number / 1e6, color=colors[kind])
        axes.text(number / 1e6, row, f" {number:,}", va="center", fontsize=8)
    axes.set_yticks(range(len(layers)), [f"{name}  {kind}" for name, kind, _ in layers], fontsize=8)
    _million_parameters(axes)
    return figure


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x: str,
    y: str,
    log: str = "",
    marks: Mapping[str, float] | None = None,
) -> Picture:
    """One or more curves with a legend.

    Parameters
    ----------
    lines : mapping of str to (xs, ys)
        The points of each curve, by its name.
    x, y : str
        What the axes show, with units.
    log : {"", "x", "y", "xy"}
        The logarithmic axes.
    marks : mapping of str to float, optional
        Upright lines, by name, where on the x axis they stand.
    """
    figure, ((axes,),) = _figure(1, 1, (8, 4.2), "Curves")
    for number, (name, (xs, ys)) in enumerate(lines.items()):
        color, marker = LINES[number % len(LINES)], MARKERS[number % 6]
        axes.plot(xs, ys, marker=marker, markersize=5, color=color, label=name)
    for number, (name, place) in enumerate((marks or {}).items()):
        axes.axvline(place, color="#555555", linestyle=("--", ":", "-.")[number % 3], label=name)
    axes.set(xlabel=x, ylabel=y)
    for name in log:
        _logarithmic(axes, name)
    axes.grid(color="#E5E5E5")
    axes.spines[["top", "right"]].set_visible(False)
    if len(lines) + len(marks or ()) > 1:
        axes.legend(frameon=False)
    return figure


def images(pictures: Mapping[str, Tensor], rows: int = 1, signed: bool = False) -> Picture:
    """Pictures beside each other, each under its name.

    Parameters
    ----------
    pictures : mapping of str to Tensor of shape (H, W), (H, W, 3) or (3, H, W)
        Color pictures have values from 0 to 1.
    rows : int
        How many rows to lay them out in.
    signed : bool
        Draw the numbers of (H, W) pictures in two colors around 0, on one scale for all,
        instead of each from its least to its greatest number in gray.
    """
    columns = -(-len(pictures) // rows)
    width = min(10 / columns, 3.4)
    first = next(iter(pictures.values()))
    height, across = first.shape[:2] if first.shape[-1] == 3 else first.shape[-2:]
    size = (width * columns, (width * height / across + 0.4) * rows)
    figure, grid = _figure(rows, columns, size, "Pictures beside each other")
    limit = max(picture.abs().max().item() for picture in pictures.values())
    style = {"cmap": "PuOr", "vmin": -limit, "vmax": limit} if signed else {"cmap": "gray"}
    places = [axes for row in grid for axes in row]
    for axes in places:
        axes.axis("off")
    for axes, (name, picture) in zip(places, pictures.items(), strict=False):
        picture = picture.detach().cpu()
        color = picture.ndim == 3
        if color and picture.shape[-1] != 3:
            picture = picture.movedim(0, -1)
        axes.imshow((picture.clamp(0, 1) if color else picture).numpy(), **({} if color else style))
        axes.set_title(name, fontsize=10)
    return figure


def tradeoff(
    points: Mapping[str, tuple[float, float]],
    front: Sequence[str],
    x: str,
    y: str,
    errors: Mapping[str, float] | None = None,
) -> Picture:
    """Points with their names, and a staircase through those on the Pareto front.

    Parameters
    ----------
    points : mapping of str to (x, y)
        Less of x is better, and more of y. The x axis is logarithmic.
    front : sequence of str
        The names of those that no other beats.
    x, y : str
        What the axes show, with units.
    errors : mapping of str to float, optional
        Half the width of the interval of y, by name. The names stand in a legend then.
    """
    steps = sorted(points[name] for name in front)
    order = sorted(points, key=lambda name: points[name])
    told = [f"{name} {points[name][1]:.3g} at {points[name][0]:g}" for name in order]
    figure, ((axes,),) = _figure(
        1,
        1,
        (9, 5),
        f"Points of {y} over {x}: {', '.join(told)}. On the front: {', '.join(front) or 'none'}",
    )
    if steps:
        style = {"where": "post", "color": BLUE, "linewidth": 1, "label": "the front"}
        axes.step(*zip(*steps, strict=True), **style)
    for number, name in enumerate(order if errors else ()):
        low_and_high = _around(points[name][1], errors[name])
        style = {"color": LINES[number % len(LINES)], "marker": MARKERS[number % len(MARKERS)]}
        axes.vlines(points[name][0], *low_and_high, color=style["color"], linewidth=1)
        axes.scatter(*points[name], **style, zorder=2, label=name)
    for name in () if errors else order:
        on_front = name in front
        axes.scatter(*points[name], color=BLUE if on_front else GRAY, zorder=2)
        # Above on the front and below elsewhere: neighbors write over each other less.
        place, up, across = ((-3, 5), "bottom", "right") if on_front else ((3, -5), "top", "left")
        axes.annotate(
            name, points[name], place, textcoords="offset points", fontsize=8, va=up, ha=across
        )
    if errors:
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set(xlabel=x, ylabel=y)
    axes.margins(x=0.14)
    _logarithmic(axes, "x")
    axes.grid(color="#E5E5E5")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def intervals(rows: Mapping[str, Mapping[str, tuple[float, float] | None]], x: str) -> Picture:
    """A row for each name, and in it a point with its interval for each kind; a line at 0.

    Parameters
    ----------
    rows : mapping of str to mapping of str to (middle, half) or None
        By row and kind: the middle of an interval and half its width.
    x : str
        What the axis shows, with units.
    """
    kinds = list(dict.fromkeys(kind for row in rows.values() for kind in row))
    told = [
        f"{name}: {', '.join(f'{kind} {p[0]:+.1f} ± {p[1]:.1f}' for kind, p in row.items() if p)}"
        for name, row in rows.items()
    ]
    size = (9, 1.2 + 0.42 * len(rows))
    figure, ((axes,),) = _figure(1, 1, size, f"Intervals of {x}. {'; '.join(told)}")
    axes.axvline(0, color="#555555", linewidth=1)
    for number, kind in enumerate(kinds):
        offset = 0.22 * (number - (len(kinds) - 1) / 2)
        seen = [(k, row[kind]) for k, row in enumerate(rows.values()) if row.get(kind)]
        axes.errorbar(
            [middle for _, (middle, _) in seen],
            [place + offset for place, _ in seen],
            xerr=[half for _, (_, half) in seen],
            fmt=MARKERS[number % 6],
            color=LINES[number % len(LINES)],
            markersize=5,
            label=kind,
        )
    axes.set_yticks(range(len(rows)), list(rows), fontsize=9)
    axes.set(xlabel=x)
    axes.invert_yaxis()
    axes.grid(axis="x", color="#E5E5E5")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(kinds))
    return figure


def slider(draw: Callable[..., Picture], label: str, options: Sequence, value):
    """A slider and the picture that it chooses, as an ipywidgets box.

    Parameters
    ----------
    draw : callable
        Takes one of the options, returns a picture. It runs once at once, with ``value``; where
        no browser shows the slider, that picture stands in its place.
    label : str
    options : sequence
    value : one of the options

    Notes
    -----
    Not by ``ipywidgets.interact``: where no browser listens, its Output widget keeps nbclient 0.11
    (nbconvert, nbgrader) waiting until the cell's time limit, in two of three runs.
    """
    from ipywidgets import Image, SelectionSlider, VBox

    def png(bundle: dict) -> bytes:
        return base64.b64decode(bundle["image/png"])

    def redraw(change) -> None:
        picture.value = png(draw(change["new"])._repr_mimebundle_()[0])

    still, words = draw(value)._repr_mimebundle_()
    chooser = SelectionSlider(options=options, value=value, description=label)
    picture = Image(value=png(still), layout={"max_width": "100%", "align_self": "flex-start"})
    chooser.observe(redraw, "value")

    class Slider(VBox):
        def _repr_mimebundle_(self, **options) -> tuple[dict, dict]:
            return {**still, **super()._repr_mimebundle_(**options)}, words

    return Slider([chooser, picture])


def target_and_yours(expected: Tensor, got: Tensor) -> Picture:
    """The expected tensor, the one that came, and where they differ.

    Tensors of more than two modes are shown unfolded along mode 0.
    """
    shape = tuple(expected.shape)
    matrices = [_matrix(expected), _matrix(got)]
    wrong = ~torch.isclose(*matrices, rtol=1e-5, atol=1e-8)
    rows, columns = wrong.shape
    size = (min(1.4 + 0.9 * columns, 12), min(0.9 + 0.9 * rows, 9))
    figure, axes = _figure(2, 1, size, "The expected tensor above yours")
    numbers = wrong.numel() <= 120
    _grid(axes[0][0], matrices[0], torch.where(wrong, 0.5, -1), numbers)
    _grid(axes[1][0], matrices[1], torch.where(wrong, 0.5, -1), numbers)
    how = "" if len(shape) == 2 else f" of shape {shape}, unfolded along mode 0"
    axes[0][0].set_title(f"expected{how}", fontsize=10, loc="left")
    axes[1][0].set_title("yours (colored where it differs)", fontsize=10, loc="left")
    return figure


def flatten_against_trl(
    input_shape: Sequence[int] = (512, 7, 7), num_classes: int = 1000, rank: int = 100
) -> Picture:
    """Two ways from an activation to classes, and their parameters: flatten + Linear, CP TRL."""
    figure, rows = _figure(
        2, 3, (9, 5), "From an activation to classes", width_ratios=[1, 1.5, 0.8]
    )
    dense = torch.Size(input_shape).numel() * num_classes + num_classes
    sizes = (*input_shape, num_classes)
    low = rank * sum(sizes) + num_classes
    for axes in (row[0] for row in rows):
        block = torch.zeros(5, 3, 3)
        _cube(axes, block, torch.arange(5).reshape(5, 1, 1).expand(5, 3, 3), numbers=False)
        axes.set_title("activation " + " x ".join(map(str, input_shape)), fontsize=10)
    _bars(rows[0][1], {f"{dense - num_classes:,} weights": (8.0, 7.0)}, ORANGE)
    rows[0][1].set_title(f"flatten, then one Linear: {dense:,} parameters", fontsize=10)
    heights = [7.0 * (size / max(sizes)) ** 0.5 for size in sizes]
    factors = {f"{size} x {rank}" + " " * k: (0.7, heights[k]) for k, size in enumerate(sizes)}
    _bars(rows[1][1], factors, GREEN)
    rows[1][1].set_title(f"TRL, a factor for each mode: {low:,} parameters", fontsize=10)
    for axes in (row[2] for row in rows):
        _bars(axes, {f"{num_classes} classes": (0.7, 7.0)}, BLUE)
    return figure


def _bars(
    axes: Axes, sizes: Mapping[str, tuple[float, float]], color: str, gap: float = 2.4
) -> None:
    """Upright bars of (width, height) beside each other, centered, a label under each."""
    left = -(sum(width + gap for width, _ in sizes.values()) - gap) / 2
    for label, (width, height) in sizes.items():
        axes.add_patch(
            plt.Rectangle((left, -height / 2), width, height, facecolor=color, edgecolor="#333333")
        )
        axes.text(
            left + width / 2, -height / 2 - 0.3, label.strip(), ha="center", va="top", fontsize=8
        )
        left += width + gap
    axes.set(xlim=(-7, 7), ylim=(-4.6, 4), aspect="equal")
    axes.axis("off")


def _figure(
    rows: int, columns: int, size: tuple[float, float], what: str, sharey: bool = False, **grid
) -> tuple[Picture, list[list[Axes]]]:
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=size,
        layout="constrained",
        squeeze=False,
        sharey=sharey,
        gridspec_kw=grid or None,
        FigureClass=Picture,
    )
    plt.close(figure)  # pyplot would show it a second time
    figure.what = what
    return figure, axes.tolist()


def _logarithmic(axes: Axes, name: str) -> None:
    """Make an axis logarithmic, with numbers as one says them: 20 and 5,000, no powers of ten."""
    axes.set(**{f"{name}scale": "log"})
    low, high = getattr(axes, f"get_{name}lim")()
    axis = getattr(axes, f"{name}axis")
    shown = FuncFormatter(lambda number, _: _number(number))
    axis.set_major_formatter(shown)
    if high / low < 500:
        axis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.set_minor_formatter(shown)


def _around(middle: float, half: float) -> tuple[float, float]:
    return middle - half, middle + half


def _number(number: float) -> str:
    if number >= 1e6:
        return f"{number / 1e6:,g} million"
    return f"{number:,.0f}" if number >= 1 else f"{number:g}"


def _said(axes: Axes) -> str:
    """What one part of a picture says: its titles, bars, and where each curve starts and ends."""
    words = [axes.get_title(loc) for loc in ("left", "center", "right")]
    if axes.axison and axes.containers:  # bars
        names = [label.get_text() for label in axes.get_yticklabels()]
        words += [
            f"{name}: {text.get_text().strip()}"
            for name, text in zip(names, axes.texts, strict=False)
        ]
    curves = []
    for line in axes.lines if axes.axison else ():
        points = [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)]
        if not points:
            continue
        (x, y), (last_x, last_y) = points[0], points[-1]
        if len(points) == 1:
            curves.append(f"{line.get_label()}: {y:.3g} at {x:g}")
        elif x == last_x:
            curves.append(f"{line.get_label()} at {x:g}")
        else:
            curves.append(f"{line.get_label()} from {y:.3g} at {x:g} to {last_y:.3g} at {last_x:g}")
    if curves:
        words.append(f"{axes.get_ylabel()} over {axes.get_xlabel()}: {'; '.join(curves)}")
    return ", ".join(filter(None, words))


def _fiber_numbers(shape: Sequence[int], mode: int) -> Tensor:
    """For each entry of a tensor the number of its mode-``mode`` fiber."""
    rest = [1 if k == mode else size for k, size in enumerate(shape)]
    return torch.arange(torch.Size(rest).numel()).reshape(rest).expand(*shape)


def _matrix(x: Tensor) -> Tensor:
    x = x.detach().double()
    return x.reshape(1, -1) if x.ndim < 2 else unfold(x, 0)


def _color(group: float, groups: float) -> tuple:
    return (1.0, 1.0, 1.0, 1.0) if group < 0 else FIBERS(0.12 + 0.85 * group / max(groups, 1))


def _ink(color: tuple) -> str:
    red, green, blue, _ = color
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"


def _grid(
    axes: Axes,
    matrix: Tensor,
    groups: Tensor,
    numbers: bool | Tensor = True,
    most: float | None = None,
) -> None:
    """A matrix as a grid of cells, colored by ``groups`` (-1: white), the last being ``most``."""
    most = groups.max().item() if most is None else most
    numbered = torch.as_tensor(numbers).expand(matrix.shape)
    for (i, j), group in zip(
        torch.cartesian_prod(*map(torch.arange, matrix.shape)).tolist(),
        groups.flatten().tolist(),
        strict=True,
    ):
        color = _color(group, most)
        axes.add_patch(plt.Rectangle((j, i), 1, 1, facecolor=color, edgecolor="#333333", lw=0.8))
        if numbered[i, j]:
            axes.text(
                j + 0.5,
                i + 0.5,
                f"{matrix[i, j].item():.3g}",
                ha="center",
                va="center",
                fontsize=9,
                color=_ink(color),
            )
    rows, columns = matrix.shape
    axes.set(xlim=(-0.1, columns + 0.1), ylim=(rows + 0.1, -0.1), aspect="equal")
    axes.axis("off")


def _cube(
    axes: Axes, x: Tensor, groups: Tensor, numbers: bool = True, most: float | None = None
) -> None:
    """A tensor of three modes as little cubes, the first mode-0 slice in front."""
    deep, high, wide = x.shape
    dx, dy = DEPTH
    most = groups.max().item() if most is None else most
    for i in reversed(range(deep)):
        for j in reversed(range(high)):
            for k in range(wide):
                color = _color(groups[i, j, k].item(), most)
                a, b = k + i * dx, -j + i * dy
                front = [(a, b), (a + 1, b), (a + 1, b - 1), (a, b - 1)]
                top = [(a, b), (a + dx, b + dy), (a + 1 + dx, b + dy), (a + 1, b)]
                side = [(a + 1, b), (a + 1 + dx, b + dy), (a + 1 + dx, b - 1 + dy), (a + 1, b - 1)]
                for face in (front, top, side):
                    axes.add_patch(Polygon(face, facecolor=color, edgecolor="#333333", lw=0.8))
                if numbers and i == 0:
                    axes.text(
                        a + 0.5,
                        b - 0.5,
                        f"{x[i, j, k].item():g}",
                        ha="center",
                        va="center",
                        fontsize=9,
                        color=_ink(color),
                    )
    axes.set(xlim=(-0.2, wide + deep * dx + 0.2), ylim=(-high - 0.2, deep * dy + 0.2))
    axes.set_aspect("equal")
    axes.axis("off")


if __name__ == "__main__":
    plt.rcParams["svg.hashsalt"] = "trlkit"
    flatten_against_trl().savefig(sys.argv[1], metadata={"Date": None})
