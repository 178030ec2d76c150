"""Where numbers and operations go: nothing is trained here (chapters 0, 4 and 8)."""

import math
from functools import cache

import torch
from torch import nn

from trlkit.contraction.costs import PATHS, plan
from trlkit.lab import plotting
from trlkit.lab.explorables.explorable import Knob, explorable, sized
from trlkit.lab.plotting import Picture
from trlkit.ranks import cp_parameters

CLASSES = 1000
NETWORKS = {  # what goes into the head, before it is flattened or averaged
    "alexnet": (256, 6, 6),
    "vgg16": (512, 7, 7),
    "resnet50": (2048, 7, 7),
}
HEADS = ("its own", "average + Linear", "flatten + Linear", "CP TRL, rank 100")
VGG_HEADS = {
    "its own": None,
    "flatten + Linear": 512 * 7 * 7 * 10 + 10,
    "average + Linear": 512 * 10 + 10,
} | {f"CP, rank {r:,}": cp_parameters((512, 7, 7, 10), r) + 10 for r in (10, 100, 490, 10_000)}
BATCHES = tuple(2**k for k in range(13))


@explorable(
    "where a network's numbers sit",
    "00_welcome",
    Knob("network", tuple(NETWORKS), "vgg16"),
    Knob("head", HEADS, HEADS[0]),
)
def blocks(network: str, head: str) -> Picture:
    """The parameters of each block, first to last; the head in another color."""
    counts = _blocks(network)
    first = next(i for i, (_, linear, _) in enumerate(counts) if linear)
    bars = {name: {"the network": number} for name, _, number in counts[:first]}
    if head == HEADS[0]:
        bars |= {name: {"the head": number} for name, linear, number in counts[first:] if linear}
    else:
        shape = NETWORKS[network]
        into = {HEADS[1]: shape[0], HEADS[2]: math.prod(shape)}
        cp = cp_parameters((*shape, CLASSES), 100) + CLASSES
        bars[head] = {"the head": into[head] * CLASSES + CLASSES if head in into else cp}
    total = sum(sum(bar.values()) for bar in bars.values())
    share = sum(bar.get("the head", 0) for bar in bars.values()) / total
    says = f"{network}: {total / 1e6:,.1f} million parameters, {share:.1%} of them in the head"
    return sized(plotting.parameter_bars(bars), 6, 4.6, says)


@cache
def _blocks(network: str) -> list[tuple[str, bool, int]]:
    """Name, whether it is linear, and parameters of each block of a network of torchvision."""
    from torchvision import models

    with torch.device("meta"):
        model = getattr(models, network)()
    found = []
    for name, child in model.named_children():
        inner = child.named_children() if len(list(child.children())) > 4 else ()
        parts = [(f"{name}.{k}", part) for k, part in inner] or [(name, child)]
        for part, module in parts:
            number = sum(p.numel() for p in module.parameters())
            found += [(part, isinstance(module, nn.Linear), number)] if number else []
    return found


@explorable(
    "the cheapest path",
    "04_cp_trl",
    Knob("classes", (10, 100, 1000), 10),
    Knob("rank", (10, 100, 1000), 100),
    Knob("pass", ("forward", "training"), "training"),
)
def paths(classes: int, rank: int, run: str) -> Picture:
    """The operations of each path over the batch, and those of the path that the layer takes."""
    training = run == "training"  # else a weight once built is kept, as the layer does
    plans = [
        plan("cp", (512, 7, 7), (classes,), rank, batch, training, kept=not training)
        for batch in BATCHES
    ]
    lines = {
        path: (BATCHES, [_flops(each, path) / b for each, b in zip(plans, BATCHES, strict=True)])
        for path in PATHS["cp"]
    }
    chosen = [_flops(each, each.path) / b for each, b in zip(plans, BATCHES, strict=True)]
    picture = plotting.curves(lines, "samples in a batch", "million operations a sample", log="xy")
    (axes,) = picture.axes
    axes.plot(BATCHES, chosen, color="#999999", linewidth=9, alpha=0.5, zorder=0, label="taken")
    axes.legend(frameon=False)
    takes = list(dict.fromkeys(each.path for each in plans))
    says = f"{classes:,} classes, rank {rank:,}: {', then '.join(takes)}"
    return sized(picture, 6, 4, says)


def _flops(plan, path: str) -> float:
    return next(cost.flops for cost in plan.costs if cost.path == path) / 1e6


@explorable(
    "where VGG16's numbers go",
    "08_vgg16_with_trl",
    Knob("head", tuple(VGG_HEADS), "its own"),
    Knob("training", ("everything", "the head alone"), "everything"),
)
def stored(head: str, learns: str) -> Picture:
    """What training with Adam keeps for ten classes: weights, gradients, averages; and a file."""
    from torchvision import models

    with torch.device("meta"):
        net = models.vgg16(num_classes=10)
    features, own = (sum(p.numel() for p in x.parameters()) for x in (net.features, net.classifier))
    last = own if VGG_HEADS[head] is None else VGG_HEADS[head]
    learned = features * (learns == "everything")

    def bar(times: int, below: int) -> dict:
        return {"convolutions": times * below, "head": times * last}

    bars = {
        "weights": bar(1, features),
        "gradients": bar(1, learned),
        "Adam's averages": bar(2, learned),
        "what to save": bar(1, learned),
    }
    kept = sum(sum(bars[name].values()) for name in list(bars)[:3])
    says = f"{kept / 1e6:,.1f} million numbers while training; the head holds {last:,}"
    picture = plotting.parameter_bars(bars)
    picture.axes[0].set_xlabel("million numbers")
    return sized(picture, 6, 3.2, says)
