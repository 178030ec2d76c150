"""Networks and batches that the checks of chapter 08 hand to an answer, by name."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from trlkit.course.checking.answer import MARKED
from trlkit.layers import CPTRL


class SmallVGG(nn.Module):
    """Features, a pooling to a fixed grid, a flatten, a classifier: a VGG made small."""

    def __init__(self, features: nn.Module, channels: int, num_classes: int = 6):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((3, 3))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 9, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def small_vgg(channels: int, halvings: int = 2) -> nn.Module:
    """As VGG16: convolutions, and a pooling that halves the image a few times."""
    torch.default_generator.manual_seed(0)
    layers, before = [], 3
    for _ in range(halvings):
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        before = channels
    return SmallVGG(nn.Sequential(*layers), channels)


def small_vgg_bn(channels: int) -> nn.Module:
    """As VGG16 with batch normalization; its scales and shifts already learned, and moved."""
    torch.default_generator.manual_seed(0)
    network = SmallVGG(small_backbone(channels), channels)
    network.features[-1].weight.requires_grad = False
    return network


def small_backbone(channels: int) -> nn.Module:
    """Convolution, batch normalization, dropout, a block with a block in it, in training mode."""
    torch.default_generator.manual_seed(0)
    inner = nn.Sequential(nn.ReLU(), nn.Dropout(0.5))
    block = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), inner)
    backbone = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.5),
        block,
        nn.BatchNorm2d(channels),
    )
    for layer in (backbone[1], backbone[6]):  # not the statistics that a fresh one has
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2.0)
        layer.num_batches_tracked.fill_(5)
    return backbone


def pooled_backbone(channels: int) -> nn.Module:
    """The backbone and an average behind it: one place of each channel is left."""
    return nn.Sequential(small_backbone(channels), nn.AdaptiveAvgPool2d(1))


def double_backbone(channels: int) -> nn.Module:
    """The backbone in float64."""
    return small_backbone(channels).double()


class Dropping(nn.Module):
    """A convolution, and a dropout that no layer makes: it asks for the network's own mode."""

    def __init__(self, channels: int):
        super().__init__()
        self.layer = nn.Conv2d(3, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(self.layer(x), 0.5, self.training)


def dropping(channels: int) -> nn.Module:
    """A network that behaves by its own mode, not by that of its layers."""
    torch.default_generator.manual_seed(0)
    return Dropping(channels)


def half_frozen_backbone(channels: int) -> nn.Module:
    """The backbone with a few layers in eval mode already, and a few frozen."""
    backbone = small_backbone(channels)
    backbone[0].requires_grad_(False)
    backbone[1].eval()
    return backbone


class ScaledTRL(nn.Module):
    """A regression layer and a parameter beside it, in no layer."""

    def __init__(self, channels: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.trl = CPTRL((channels, 3, 2), 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.trl(self.scale * x)


def scaled_trl(channels: int) -> nn.Module:
    """A regression layer with a scale of each channel."""
    torch.default_generator.manual_seed(0)
    return ScaledTRL(channels)


def image_batches(samples: int, batch_size: int) -> DataLoader:
    """Small random images and their labels, batch by batch; the last batch may be smaller."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(samples, 3, 8, 6, generator=generator)
    labels = torch.randint(10, (samples,), generator=generator)
    return DataLoader(TensorDataset(images, labels), batch_size)


def double_batches(samples: int, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """The same batches in float64."""
    return [(x.double(), labels) for x, labels in image_batches(samples, batch_size)]


def batches_once(samples: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches, one after the other, without a length: they can be gone through once."""
    for x, labels in image_batches(samples, batch_size):
        before = x.clone()
        yield x, labels
        if not torch.equal(x, before):
            raise ValueError("the images of the batch before have been changed in place")


class Far(Tensor):
    """Stands for a tensor on a GPU; all that is computed of it does so, until it is moved."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        result = super().__torch_function__(function, types, args, kwargs or {})
        where = {str(arg) for arg in (*args[1:], *(kwargs or {}).values()) if not is_tensor(arg)}
        home = function is Tensor.cpu or (function is Tensor.to and "cpu" in where)
        return result.as_subclass(Tensor) if home else result


MARKED["Far"] = Far


def is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


class FarBatches:
    """The same batches, as if they lay on a GPU; they can be gone through once."""

    def __init__(self, samples: int, batch_size: int):
        self.near = image_batches(samples, batch_size)
        self.left = ((x.as_subclass(Far), labels.as_subclass(Far)) for x, labels in self.near)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.left


def far_batches(samples: int, batch_size: int) -> FarBatches:
    """Batches that a learner's own code must bring to the CPU."""
    return FarBatches(samples, batch_size)


class Pooling(nn.Module):
    """Features, a CP regression layer, and nothing behind it."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.features = small_backbone(channels).requires_grad_(False)
        self.avgpool = CPTRL((channels, 4, 4), classes, 3, dropout=0.4)

    def forward(self, x: Tensor) -> Tensor:
        return self.avgpool(self.features(x))


def trl_network(channels: int, classes: int = 5) -> nn.Module:
    """A network that learns in a CP regression layer alone."""
    return Pooling(channels, classes).eval()


def two_learning_parts(channels: int, classes: int = 5) -> nn.Module:
    """A network that learns in its last layer and in one batch normalization."""
    network = nn.ModuleDict({"body": small_backbone(channels), "fc": nn.Linear(channels, classes)})
    network.requires_grad_(False)
    network["fc"].requires_grad_(True)
    network["body"][1].requires_grad_(True)
    return network


def double_network(channels: int, classes: int = 5) -> nn.Module:
    """A network of float64 parameters that learns in its last layer."""
    return two_learning_parts(channels, classes).double()


class OneBias(nn.Module):
    """A scale of the network itself, and two layers; of the last one the bias alone learns."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.body = nn.Linear(channels, channels).requires_grad_(False)
        self.fc = nn.Linear(channels, classes)
        self.fc.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.scale * self.body(x))


def one_bias(channels: int, classes: int = 5) -> nn.Module:
    """A network that learns in a parameter of its own and in one bias."""
    torch.default_generator.manual_seed(0)
    return OneBias(channels, classes)
