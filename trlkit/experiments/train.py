"""One training: AdamW on the device, the whole step in one CUDA graph."""

import copy
import warnings
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trlkit.experiments import data as source

RISE = 0.2  # the share of the steps in which the learning rate goes up


def fit(
    net: nn.Module,
    part: source.Part,
    rows: Tensor,
    rate: float,
    decay: float,
    seed: int,
    precision: str,
    graph: bool = True,
    compiled: bool = False,
) -> bool:
    """Train a network in place.

    Parameters
    ----------
    net : Module
        On the device of ``part``.
    part : Part
    rows : Tensor of shape (steps, B, 4)
        Of :func:`trlkit.experiments.data.schedule`.
    rate, decay : float
        The peak of the learning rate, the weight decay.
    seed : int
        Of dropout.
    precision : {"bf16", "float32"}
    graph : bool
        Capture the step in a CUDA graph; where that fails, a warning says why.
    compiled : bool
        Run the network through torch.compile.

    Returns
    -------
    bool
        Whether the step was captured.
    """
    device = part.labels.device
    rows, part = rows.to(device), source.padded(part) if part.x.dtype == torch.uint8 else part
    gpu = device.type == "cuda"
    net.train()
    lr = torch.zeros((), device=device) if gpu else 0.0
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=lr, weight_decay=decay, fused=gpu or None, capturable=gpu
    )
    forward = torch.compile(net) if compiled else net
    now = rows[0].clone()

    def step() -> None:
        x, labels = source.batch(part, now)
        with autocast(device, precision):
            loss = F.cross_entropy(forward(x), labels)
        loss.backward()
        optimizer.step()

    once, captured = _captured(step, net, optimizer, graph and gpu)
    torch.manual_seed(seed)
    for k in range(len(rows)):
        now.copy_(rows[k])
        _set_rate(optimizer, rate * one_cycle(k, len(rows)))
        once()
    return captured


def one_cycle(step: int, steps: int) -> float:
    """Give the share of the peak learning rate at a step.

    Examples
    --------
    >>> [one_cycle(step, 10) for step in (0, 1, 2, 9)]
    [0.5, 1.0, 0.875, 0.0]
    """
    top = max(round(RISE * steps), 1) - 1
    if step <= top:
        return (step + 1) / (top + 1)
    return (steps - 1 - step) / (steps - 1 - top)


def autocast(device: torch.device, precision: str):
    """The context of a forward pass: bf16 on a GPU where asked for, else float32."""
    if device.type != "cuda" or precision != "bf16":
        return nullcontext()
    # Without the cache of cast weights: a graph would keep those of its capture.
    return torch.autocast("cuda", torch.bfloat16, cache_enabled=False)


def deterministic() -> None:
    """Ask for algorithms that give the same numbers every time.

    ``CUBLAS_WORKSPACE_CONFIG`` must be set before. Max pooling's backward pass has no such
    algorithm; where windows do not overlap, as here, it adds nothing up, and is one.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    warnings.filterwarnings("ignore", ".*does not have a deterministic implementation.*")


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _captured(
    step: Callable[[], None], net: nn.Module, optimizer: torch.optim.Optimizer, graph: bool
) -> tuple[Callable[[], None], bool]:
    """A function that does one step, and whether it replays a graph."""

    def eager() -> None:
        optimizer.zero_grad(set_to_none=True)
        step()

    if not graph:
        return eager, False
    before = copy.deepcopy(net.state_dict())
    try:
        replay = _capture(step, optimizer)
    except RuntimeError as error:
        warnings.warn(f"no CUDA graph of the training step ({error})", stacklevel=3)
        replay = None
    torch.cuda.synchronize()
    # The steps that warmed up are undone, in place: the graph knows these very tensors.
    net.load_state_dict(before)
    for state in optimizer.state.values():
        for tensor in state.values():
            tensor.zero_()
    return (eager, False) if replay is None else (replay, True)


def _capture(step: Callable[[], None], optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            step()
    torch.cuda.current_stream().wait_stream(side)
    optimizer.zero_grad(set_to_none=True)  # so that the backward pass writes, and adds nothing
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
