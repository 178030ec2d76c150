"""A backbone with a head on it."""

import torch
from torch import Tensor, nn

from trlkit.experiments.heads import Head, make
from trlkit.lab.data import MEAN, STD
from trlkit.lab.models import CNN_ACTIVATION, ConvNeuralNet

VGG16_ACTIVATION = (512, 4, 4)


class Network(nn.Module):
    """Pictures in [0, 1], normalized, through a body and a head; without a body the head alone."""

    def __init__(self, body: nn.Module | None, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head
        self.register_buffer("mean", torch.tensor(MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).reshape(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Classify pictures (B, 3, 32, 32), or activations (B, C, H, W)."""
        if self.body is not None:
            x = self.body((x - self.mean) / self.std)
        return self.head(x)


def network(backbone: str, head: Head, shape: tuple[int, int, int], classes: int, seed: int):
    """Make a network whose backbone is the same for every head.

    Parameters
    ----------
    backbone : {"vgg16", "cnn", "frozen", "none"}
        The last two have no body: activations come in.
    head : Head
    shape : (C, H, W)
        What the head gets.
    classes : int
    seed : int

    Returns
    -------
    Network

    Examples
    --------
    >>> net = network("cnn", Head("CP", "cp", rank=10), (64, 13, 13), 10, seed=0)
    >>> net(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    torch.manual_seed(seed)
    body = {"vgg16": vgg16_body, "cnn": cnn_body}.get(backbone, lambda: None)()
    torch.manual_seed(seed)  # whatever the body drew, heads of one shape begin alike
    return Network(body, make(head, shape, classes))


def activation(backbone: str) -> tuple[int, int, int]:
    """Give the shape that a backbone hands to its head."""
    return CNN_ACTIVATION if backbone == "cnn" else VGG16_ACTIVATION


def vgg16_body() -> nn.Module:
    """Make torchvision's VGG16 with batch norm, the last two poolings left out.

    Returns
    -------
    Sequential
        (B, 3, 32, 32) -> (B, 512, 4, 4)
    """
    from torchvision.models.vgg import cfgs, make_layers

    layers = list(cfgs["D"])
    poolings = [k for k, layer in enumerate(layers) if layer == "M"]
    body = make_layers([v for k, v in enumerate(layers) if k not in poolings[-2:]], batch_norm=True)
    for module in body.modules():
        if isinstance(module, nn.Conv2d):  # as torchvision's VGG does
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return body


def cnn_body() -> nn.Module:
    """Make the convolutions of the small CNN: (B, 3, 32, 32) -> (B, 64, 13, 13)."""
    net = ConvNeuralNet(10, rank=1)
    return nn.Sequential(net.conv_layer1, net.max_pool1, net.conv_layer2)
