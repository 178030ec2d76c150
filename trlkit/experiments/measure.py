"""What a trained network is asked: accuracy, calibration, noise, attack, speed."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset

from trlkit.experiments.data import Part, as_input
from trlkit.experiments.networks import Network
from trlkit.experiments.train import autocast
from trlkit.lab.robustness import (
    calibration_error,
    fgsm_accuracy,
    noise_accuracy,
    pgd_accuracy,
    pixel_dropout_accuracy,
)
from trlkit.surgery.heads import evaluating

NOISE = (0.05, 0.1, 0.2)  # standard deviations of pictures in [0, 1]
PIXELS = (0.1, 0.3, 0.5)
ATTACK = (1, 2, 4)  # of 255
ATTACKED = 2000  # test pictures, the first
LATENCIES = tuple(f"latency_{size}_{how}_us" for size in (1, 256) for how in ("eager", "graphed"))
ATTACKS = tuple(
    f"{name}_{strength:g}"
    for name, strengths in (
        ("noise", NOISE),
        ("pixels", PIXELS),
        ("fgsm", ATTACK),
        ("pgd", ATTACK),
    )
    for strength in strengths
)


def predict(net: nn.Module, part: Part, precision: str, batch_size: int = 1000) -> Tensor:
    """Give the probabilities (N, classes) of a part, in float32."""
    with evaluating(net), autocast(part.labels.device, precision):
        found = [net(as_input(x)).float().softmax(1) for x in part.x.split(batch_size)]
    return torch.cat(found)


def accuracy(probabilities: Tensor, labels: Tensor) -> float:
    """Give the share classified right.

    Examples
    --------
    >>> accuracy(torch.eye(2), torch.tensor([0, 0]))
    0.5
    """
    return (probabilities.argmax(1) == labels).double().mean().item()


def final(net: nn.Module, part: Part, precision: str) -> dict[str, float]:
    """Read the test part once: accuracy and calibration."""
    probabilities = predict(net, part, precision)
    return {
        "accuracy": accuracy(probabilities, part.labels),
        "ece": calibration_error(probabilities, part.labels),
    }


def attacked(net: nn.Module, part: Part, precision: str) -> dict[str, float]:
    """Measure the accuracy on the first test pictures under noise and attack, at all strengths."""
    pictures = TensorDataset(as_input(part.x[:ATTACKED]), part.labels[:ATTACKED])
    sampler = BatchSampler(SequentialSampler(pictures), 500, drop_last=False)
    loader = DataLoader(pictures, sampler=sampler, batch_size=None, generator=torch.Generator())
    strengths = [strength / 255 for strength in ATTACK]
    with autocast(part.labels.device, precision):
        found = noise_accuracy(net, loader, NOISE) + pixel_dropout_accuracy(net, loader, PIXELS)
        found += fgsm_accuracy(net, loader, strengths, bounds=(0, 1))
        found += pgd_accuracy(net, loader, strengths, bounds=(0, 1))
    return dict(zip(ATTACKS, found, strict=True))


def speed(net: Network, x: Tensor, precision: str) -> dict[str, float]:
    """Time the head alone, and weigh a step of the whole.

    Parameters
    ----------
    net : Network
    x : Tensor of shape (B, C, H, W)
        One batch of training.
    precision : {"bf16", "float32"}

    Returns
    -------
    dict
        The head's microseconds forward at batch 1 and 256, eager and replayed as a CUDA
        graph; its share of a training step (forward and backward, graphed where that can
        be), and the most megabytes that one step holds beside parameters and batch.
    """
    device = x.device
    with torch.no_grad(), autocast(device, precision):
        activation = x if net.body is None else net.body(x)
    found = {}
    for size in (1, 256):
        few = activation.repeat(-(-size // len(activation)), 1, 1, 1)[:size].contiguous()
        with evaluating(net), autocast(device, precision):
            found[f"latency_{size}_eager_us"] = _microseconds(lambda few=few: net.head(few))
            if device.type == "cuda":
                replay = _graphed(lambda few=few: net.head(few))
                found[f"latency_{size}_graphed_us"] = _microseconds(replay)
    net.train()
    whole = _step(net, x, precision)
    activation = activation.detach().requires_grad_(True)
    head = _step(net.head, activation, precision)
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        whole()
        found["peak_mb"] = (torch.cuda.max_memory_allocated() - before) / 1e6
        whole, head = _graphed(whole), _graphed(head)
    found["head_share"] = _microseconds(head) / _microseconds(whole)
    return found


def _step(module: nn.Module, x: Tensor, precision: str) -> Callable[[], None]:
    """Forward and backward of a copy, whose gradients are written anew."""
    module = copy.deepcopy(module)

    def step() -> None:
        module.zero_grad(set_to_none=True)
        x.grad = None
        with autocast(x.device, precision):
            y = module(x)
        y.float().logsumexp(1).sum().backward()

    return step


def _graphed(call: Callable[[], object]) -> Callable[[], None]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def _microseconds(call: Callable[[], object]) -> float:
    """The median, the device's work awaited."""
    timer = Timer("call()", globals={"call": call})
    return 1e6 * timer.blocked_autorange(min_run_time=0.2).median
