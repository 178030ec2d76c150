"""The networks of the course: a small CNN, and VGG16, each with a tensor regression layer."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from trlkit.dropout import TensorDropout
from trlkit.layers import CPTRL

Rank = int | float | str
# The activation of each: what its head takes.
CNN_ACTIVATION = (64, 13, 13)
VGG16_ACTIVATION = (512, 7, 7)


class ConvNeuralNet(nn.Module):
    """Two convolutions with a pooling between, then linear layers or a CP regression layer.

    Parameters
    ----------
    num_classes : int
    rank : int, float in (0, 1], "same", or None
        Of the tensor regression layer; None for a flatten and two linear layers.
    dropout : float or TensorDropout
        Tensor dropout; only with a rank.

    Raises
    ------
    ValueError
        If there is a ``dropout`` without a ``rank``.

    Examples
    --------
    >>> x = torch.randn(2, 3, 32, 32)
    >>> ConvNeuralNet(10, rank=32)(x).shape
    torch.Size([2, 10])
    >>> [sum(p.numel() for p in ConvNeuralNet(10, rank).parameters()) for rank in (None, 32)]
    [1405258, 22602]
    """

    def __init__(
        self, num_classes: int, rank: Rank | None = None, dropout: float | TensorDropout = 0.0
    ) -> None:
        super().__init__()
        if rank is None and dropout != 0.0:
            raise ValueError(
                f"dropout={dropout} drops components of a tensor regression layer, but rank=None "
                f"makes linear layers: give a rank, or no dropout"
            )
        self.conv_layer1 = nn.Conv2d(3, 32, kernel_size=3)
        self.max_pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
        if rank is None:
            self.head = nn.Sequential(
                nn.Flatten(), nn.Linear(64 * 13 * 13, 128), nn.ReLU(), nn.Linear(128, num_classes)
            )
        else:
            self.head = CPTRL(CNN_ACTIVATION, num_classes, rank, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images.

        Parameters
        ----------
        x : Tensor of shape (B, 3, 32, 32)

        Returns
        -------
        Tensor of shape (B, num_classes)
        """
        x = self.conv_layer1(x)  # (B, 32, 30, 30)
        x = self.max_pool1(x)  # (B, 32, 15, 15)
        x = self.conv_layer2(x)  # (B, 64, 13, 13)
        return self.head(x)


def vgg16_trl(
    num_classes: int,
    rank: Rank = 100,
    dropout: float | TensorDropout = 0.4,
    weights: str | Path | None = "IMAGENET1K_V1",
    device: torch.device | str | None = None,
) -> nn.Module:
    """Make a frozen VGG16 with an empty classifier and a CP regression layer for its pooling.

    Parameters
    ----------
    num_classes : int
    rank : int, float in (0, 1], or "same"
    dropout : float or TensorDropout
        Tensor dropout.
    weights : str, Path or None
        The name of torchvision's weights, which are downloaded once; or a file with
        the ``state_dict`` of a VGG16; or None for random ones. Where named weights
        cannot be had, a warning says so and they are random.
    device : optional

    Returns
    -------
    torchvision.models.VGG
        It takes (B, 3, 224, 224). Only the new layer, ``avgpool``, learns.

    Raises
    ------
    FileNotFoundError
        If a weight file is not there.
    ValueError
        If torchvision has no weights of that name, or a file holds another network.

    Notes
    -----
    Simonyan and Zisserman, "Very Deep Convolutional Networks" (arXiv 1409.1556).
    :func:`trlkit.replace_classifier` does the same to any network.

    Examples
    --------
    >>> net = vgg16_trl(10, rank=100, weights=None, device="meta")
    >>> net(torch.randn(2, 3, 224, 224, device="meta")).shape
    torch.Size([2, 10])
    >>> sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    53610
    """
    from torchvision.models import vgg16

    with torch.device(device or torch.get_default_device()):
        net = vgg16()
        trl = CPTRL(VGG16_ACTIVATION, num_classes, rank, dropout=dropout)
    if weights is not None:
        _load(net, weights)
    for parameter in net.parameters():
        parameter.requires_grad = False
    net.classifier = nn.Sequential()
    net.avgpool = trl
    return net


def _load(net: nn.Module, weights: str | Path) -> None:
    """Give a VGG16 the weights of a name or a file."""
    from torchvision.models import VGG16_Weights

    if str(weights) in VGG16_Weights.__members__:
        try:
            state = VGG16_Weights[str(weights)].get_state_dict(progress=True, check_hash=True)
        except (OSError, RuntimeError) as error:  # no network, or a broken file
            warnings.warn(
                f"VGG16's weights {weights} cannot be had ({error}): its features are random",
                stacklevel=3,
            )
            return
        net.load_state_dict(state)
        return
    path = Path(weights)
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            raise FileNotFoundError(f"weights={str(weights)!r}: there is no file {path.absolute()}")
        names = ", ".join(VGG16_Weights.__members__)
        raise ValueError(
            f"weights={str(weights)!r}, but torchvision's weights of VGG16 are {names}; a file is "
            f"given by its path, None makes random ones"
        )
    state = torch.load(path, map_location="cpu", weights_only=True)
    # A file of the features alone will do: the classifier goes.
    expected = {name for name in net.state_dict() if name.startswith("features.")}
    if not isinstance(state, dict) or not expected <= state.keys():
        missing = sorted(expected - set(state if isinstance(state, dict) else ()))
        raise ValueError(
            f"{path} holds no VGG16: it lacks {missing[0]} and {len(missing) - 1} more; save one "
            f"with torch.save(net.state_dict(), path)"
        )
    net.load_state_dict({name: state[name] for name in expected}, strict=False)
