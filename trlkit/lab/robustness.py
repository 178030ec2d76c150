"""How a classifier bears noise and attack, and how sure it is of what it says."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from trlkit.lab.training import batches
from trlkit.regression import TRL
from trlkit.surgery.heads import evaluating


def noise_accuracy(
    model: nn.Module,
    data: Dataset | DataLoader,
    strengths: Sequence[float],
    batch_size: int = 256,
    seed: int = 0,
) -> list[float]:
    """Measure the accuracy on inputs with Gaussian noise.

    Parameters
    ----------
    model : Module
        Run in eval mode; it returns to the mode that it was in.
    data : Dataset or DataLoader of (Tensor, int)
    strengths : sequence of float
        The standard deviations of the noise, in the units of the inputs.
    batch_size : int
        For a Dataset.
    seed : int
        The same noise every time: of one direction for all strengths.

    Returns
    -------
    list of float
        The share classified right, for each strength.

    Raises
    ------
    ValueError
        If a strength is negative.

    Examples
    --------
    >>> data = torch.utils.data.TensorDataset(torch.eye(2), torch.tensor([0, 1]))
    >>> noise_accuracy(nn.Identity(), data, [0.0, 0.01])
    [1.0, 1.0]
    """
    generator = torch.Generator()

    def noisy(x: Tensor, labels: Tensor, strength: float) -> Tensor:
        # Drawn on the CPU, so that every device sees the same.
        return x + strength * torch.randn(
            x.shape, generator=generator, dtype=torch.float32, device="cpu"
        ).to(x)

    return _accuracies(
        model, data, strengths, batch_size, noisy, partial(generator.manual_seed, seed)
    )


def fgsm_accuracy(
    model: nn.Module,
    data: Dataset | DataLoader,
    strengths: Sequence[float],
    batch_size: int = 256,
    bounds: tuple[float, float] | None = None,
) -> list[float]:
    """Measure the accuracy on inputs that are moved to raise the loss, by the sign of its gradient.

    Parameters
    ----------
    model : Module
        Run in eval mode; it returns to the mode that it was in, its gradients as they were.
    data : Dataset or DataLoader of (Tensor, int)
    strengths : sequence of float
        How far each number of an input is moved, in its units.
    batch_size : int
        For a Dataset.
    bounds : (float, float), optional
        What inputs are cut off at, such as (0, 1) for images.

    Returns
    -------
    list of float
        The share classified right, for each strength.

    Raises
    ------
    ValueError
        If a strength is negative.

    Notes
    -----
    The fast gradient sign method: Goodfellow, Shlens and Szegedy, "Explaining and
    Harnessing Adversarial Examples" (arXiv 1412.6572).

    Examples
    --------
    >>> data = torch.utils.data.TensorDataset(torch.eye(2), torch.tensor([0, 1]))
    >>> fgsm_accuracy(nn.Identity(), data, [0.0, 0.4, 0.6])
    [1.0, 1.0, 0.0]
    """

    def attacked(x: Tensor, labels: Tensor, strength: float) -> Tensor:
        moved = x + strength * _loss_gradient(model, x, labels).sign()
        return moved if bounds is None else moved.clamp(*bounds)

    return _accuracies(model, data, strengths, batch_size, attacked, lambda: None)


def pgd_accuracy(
    model: nn.Module,
    data: Dataset | DataLoader,
    strengths: Sequence[float],
    batch_size: int = 256,
    bounds: tuple[float, float] | None = None,
    steps: int = 10,
) -> list[float]:
    """Measure the accuracy on inputs that were moved in many steps, each to raise the loss.

    Parameters
    ----------
    model : Module
        Run in eval mode; it returns to the mode that it was in, its gradients as they were.
    data : Dataset or DataLoader of (Tensor, int)
    strengths : sequence of float
        How far each number of an input may be moved at most, in its units.
    batch_size : int
        For a Dataset.
    bounds : (float, float), optional
        What inputs are cut off at, such as (0, 1) for images.
    steps : int
        Each of 2.5 strengths over the number of steps, from the input itself.

    Returns
    -------
    list of float
        The share classified right, for each strength.

    Raises
    ------
    ValueError
        If a strength is negative.

    Notes
    -----
    Projected gradient descent: Madry et al., "Towards Deep Learning Models Resistant to
    Adversarial Attacks" (arXiv 1706.06083), without its random start.

    Examples
    --------
    >>> data = torch.utils.data.TensorDataset(torch.eye(2), torch.tensor([0, 1]))
    >>> pgd_accuracy(nn.Identity(), data, [0.0, 0.4, 0.6])
    [1.0, 1.0, 0.0]
    """

    def attacked(x: Tensor, labels: Tensor, strength: float) -> Tensor:
        moved = x
        for _ in range(steps):
            gradient = _loss_gradient(model, moved, labels)
            moved = moved + 2.5 * strength / steps * gradient.sign()
            moved = x + (moved - x).clamp(-strength, strength)
            moved = moved if bounds is None else moved.clamp(*bounds)
        return moved

    return _accuracies(model, data, strengths, batch_size, attacked, lambda: None)


def pixel_dropout_accuracy(
    model: nn.Module,
    data: Dataset | DataLoader,
    shares: Sequence[float],
    batch_size: int = 256,
    seed: int = 0,
) -> list[float]:
    """Measure the accuracy on images with pixels set to 0, all channels of each.

    Parameters
    ----------
    model : Module
        Run in eval mode; it returns to the mode that it was in.
    data : Dataset or DataLoader of (Tensor of shape (C, H, W), int)
    shares : sequence of float in [0, 1]
        How probable it is that a pixel is dropped.
    batch_size : int
        For a Dataset.
    seed : int
        The same pixels every time: those dropped at one share are dropped at all above.

    Returns
    -------
    list of float
        The share classified right, for each share of pixels.

    Raises
    ------
    ValueError
        If a share is negative.

    Examples
    --------
    >>> images = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1) * torch.ones(2, 2, 1, 1)
    >>> data = torch.utils.data.TensorDataset(images, torch.tensor([0, 0]))
    >>> pixel_dropout_accuracy(nn.Flatten(), data, [0.0, 1.0])
    [1.0, 1.0]
    """
    generator = torch.Generator()

    def holed(x: Tensor, labels: Tensor, share: float) -> Tensor:
        shape = (len(x), 1, *x.shape[2:])
        kept = torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu") >= share
        return x * kept.to(x)

    return _accuracies(model, data, shares, batch_size, holed, partial(generator.manual_seed, seed))


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Measure how far a classifier's confidence is from its accuracy.

    Parameters
    ----------
    probabilities : Tensor of shape (B, classes)
    labels : Tensor of shape (B,)
    bins : int
        Of equal width, of the probability of the class that is told.

    Returns
    -------
    float
        The expected calibration error: the mean over all samples of the distance between
        accuracy and mean confidence of their bin.

    Notes
    -----
    Guo et al., "On Calibration of Modern Neural Networks" (arXiv 1706.04599), equation 3.

    Examples
    --------
    >>> sure = torch.tensor([[0.8, 0.2], [0.8, 0.2]])
    >>> round(calibration_error(sure, torch.tensor([0, 1])), 6)
    0.3
    """
    confidence, told = probabilities.double().max(1)
    right = (told == labels).double()
    bin_of = (confidence * bins).long().clamp(max=bins - 1)
    gaps = [(right - confidence)[bin_of == k].sum().abs() for k in range(bins)]
    return (torch.stack(gaps).sum() / len(labels)).item()


def kept_error(doubts: Tensor, wrong: Tensor) -> float:
    """Measure how well doubts tell which predictions are wrong.

    Parameters
    ----------
    doubts : Tensor of shape (B,)
        The higher, the earlier a sample is handed to somebody else.
    wrong : bool Tensor of shape (B,)
        Whether the prediction is wrong.

    Returns
    -------
    float
        The share of wrong ones among those kept, averaged over keeping 1, 2, ..., B: the area
        under the risk-coverage curve. Doubts that tell nothing give the share of all.

    Notes
    -----
    Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural
    Classifiers" (arXiv 1805.08206).

    Examples
    --------
    >>> wrong = torch.tensor([True, False])
    >>> kept_error(torch.tensor([0.9, 0.1]), wrong), kept_error(torch.tensor([0.1, 0.9]), wrong)
    (0.25, 0.75)
    """
    errors = wrong[doubts.argsort(stable=True)].double()
    return (errors.cumsum(0) / torch.arange(1, 1 + len(errors))).mean().item()


class Uncertainty(NamedTuple):
    """What many forward passes with tensor dropout say of each sample.

    Attributes
    ----------
    probabilities : Tensor of shape (B, classes)
        Their mean.
    entropy : Tensor of shape (B,)
        Of the mean, in nats: how unsure the prediction is.
    disagreement : Tensor of shape (B,)
        The entropy of the mean without the mean of the entropies: how much of it
        comes from the weights that were dropped.
    """

    probabilities: Tensor
    entropy: Tensor
    disagreement: Tensor


def uncertainty(model: nn.Module, x: Tensor, samples: int = 32, seed: int = 0) -> Uncertainty:
    """Predict many times with tensor dropout at work, and see how far the predictions differ.

    Parameters
    ----------
    model : Module
        With tensor dropout in its tensor regression layers; all else is in eval mode.
        Left as it was.
    x : Tensor of shape (B, ...)
    samples : int
    seed : int

    Returns
    -------
    Uncertainty

    Raises
    ------
    ValueError
        If no layer has tensor dropout, or ``samples`` is below 1.

    Notes
    -----
    Gal and Ghahramani, "Dropout as a Bayesian Approximation" (arXiv 1506.02142), with
    the components of the weight in the place of units.

    Examples
    --------
    >>> from trlkit import CPTRL
    >>> found = uncertainty(CPTRL((4, 5), 3, rank=6, dropout=0.4), torch.randn(2, 4, 5))
    >>> found.probabilities.shape, found.entropy.shape
    (torch.Size([2, 3]), torch.Size([2]))
    """
    if samples < 1:
        raise ValueError(f"samples={samples}, but it must be at least 1")
    layers = [m for m in model.modules() if isinstance(m, TRL) and m.dropout.p > 0]
    if not layers:
        raise ValueError(
            "no tensor regression layer of the model has tensor dropout, so that all predictions "
            "would be one: add it with tensor_dropout(trl, p)"
        )
    settings = [layer.dropout for layer in layers]
    devices = [x.device] if x.device.type == "cuda" else []
    try:
        for layer in layers:
            layer.dropout = replace(layer.dropout, drop_test=True)
        with evaluating(model), torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            each = torch.stack([model(x).softmax(1) for _ in range(samples)])  # (samples, B, N)
    finally:
        for layer, setting in zip(layers, settings, strict=True):
            layer.dropout = setting
    mean = each.mean(0)
    entropy = _entropy(mean)
    return Uncertainty(mean, entropy, entropy - _entropy(each).mean(0))


def _entropy(probabilities: Tensor) -> Tensor:
    return torch.special.entr(probabilities).sum(-1)


def _accuracies(
    model: nn.Module,
    data: Dataset | DataLoader,
    strengths: Sequence[float],
    batch_size: int,
    change: Callable[[Tensor, Tensor, float], Tensor],
    start: Callable[[], object],
) -> list[float]:
    """The accuracy on changed inputs, for each strength; ``start`` is called before each."""
    for strength in strengths:
        if strength < 0:
            raise ValueError(f"strengths has the entry {strength}, but none can be negative")
    accuracies = []
    with evaluating(model):
        for strength in strengths:
            right = count = 0
            start()
            for x, labels in batches(model, data, batch_size):
                right += (model(change(x, labels, strength)).argmax(1) == labels).sum().item()
                count += len(x)
            accuracies.append(right / count)
    return accuracies


def _loss_gradient(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the loss with respect to the inputs, and to nothing else."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        loss = F.cross_entropy(model(x), labels, reduction="sum")
        return torch.autograd.grad(loss, x)[0]
