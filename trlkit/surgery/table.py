"""What one call of ``replace_classifier`` does to well-known networks, as a table.

``python -m trlkit.surgery.table docs/results/networks.md``; timm's are there where timm is.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from trlkit.surgery.replace import replace_classifier

TORCHVISION = (
    *("alexnet", "vgg16", "vgg16_bn", "squeezenet1_1", "resnet50", "resnext50_32x4d"),
    *("wide_resnet50_2", "densenet121", "googlenet", "inception_v3", "shufflenet_v2_x1_0"),
    *("mobilenet_v2", "mobilenet_v3_large", "mnasnet1_0", "efficientnet_b0", "efficientnet_v2_s"),
    *("regnet_y_400mf", "convnext_tiny", "vit_b_16", "swin_t", "swin_v2_t", "maxvit_t"),
)
TIMM = (
    *("resnet50", "efficientnet_b0", "tf_efficientnet_b0", "mobilenetv3_large_100"),
    *("convnext_tiny", "vit_base_patch16_224", "swin_tiny_patch4_window7_224", "regnety_008"),
    *("densenet121", "vgg16", "efficientnet_lite0", "resnetv2_50"),
)
RANK = 20


def networks() -> Iterator[tuple[str, str, torch.nn.Module, int]]:
    """Library, name, network without values, and the side of its pictures."""
    import torchvision

    for name in TORCHVISION:
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        model = _empty(partial(torchvision.models.get_model, name, **options))
        yield "torchvision", name, model, 299 if name == "inception_v3" else 224
    try:
        import timm
    except ImportError:
        return
    for name in TIMM:
        yield "timm", name, _empty(partial(timm.create_model, name)), 224


def _empty(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """A network without values, also where its constructor computes with tensors."""
    try:
        with torch.device("meta"):
            return make()
    except (NotImplementedError, RuntimeError):
        return make().to("meta")


def row(library: str, name: str, model: torch.nn.Module, side: int) -> str:
    """One line: where the layer goes, or why it does not."""
    before = sum(p.numel() for p in model.parameters())
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            report = replace_classifier(model, 10, rank=RANK, input_size=(3, side, side))
    except ValueError as error:
        return f"| {library} | {name} | | | {str(error).replace('|', '/')} |"
    after = sum(p.numel() for p in model.parameters())
    said = [str(warning.message) for warning in caught if "activation" in str(warning.message)]
    notes = " ".join([*said, *report.notes])
    shape = " x ".join(map(str, report.activation_shape))
    return f"| {library} | {name} | {shape} | {before:,} to {after:,} | {notes} |"


def table() -> str:
    """The page."""
    lines = [
        "# Surgery on well-known networks",
        "",
        "`replace_classifier(model, 10, rank=20)`, one call and nothing else. Made by "
        "`python -m trlkit.surgery.table docs/results/networks.md`.",
        "",
        "| library | network | activation | parameters | to know |",
        "|---|---|---|---:|---|",
        *(row(*network) for network in networks()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8")
