"""Train, evaluate, and compute features once: on one CPU, several GPUs or several nodes.

A script that calls :func:`fit` runs as it is on one device, and under ``torchrun
--nproc-per-node 8 script.py`` on eight, through Lightning Fabric.
"""

import math
import os
import random
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    Sampler,
    TensorDataset,
    get_worker_info,
)

from trlkit.regression import TRL
from trlkit.surgery.heads import evaluating

Loss = Callable[[Tensor, Tensor], Tensor]


class Score(NamedTuple):
    """The mean loss, and the share of samples that are classified right."""

    loss: float
    accuracy: float


@dataclass
class History:
    """What each epoch gave, to plot or tabulate.

    Attributes
    ----------
    train_loss, validation_loss, validation_accuracy, learning_rate, seconds : list of float
        One entry for each epoch.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 0, of the highest accuracy; of equal ones that of the lowest loss.

        Examples
        --------
        >>> History(validation_loss=[2, 1, 3], validation_accuracy=[0.1, 0.9, 0.9]).best_epoch
        1
        """
        return max(
            range(len(self.validation_loss)),
            key=lambda epoch: (self.validation_accuracy[epoch], -self.validation_loss[epoch]),
        )


def fit(
    model: nn.Module,
    train: Dataset,
    validation: Dataset,
    epochs: int,
    batch_size: int = 64,
    optimizer: Optimizer | None = None,
    scheduler: LRScheduler | None = None,
    loss: Loss = F.cross_entropy,
    folder: str | Path | None = None,
    patience: int | None = None,
    precision: str = "32-true",
    accelerator: str = "auto",
    num_workers: int = 0,
    seed: int = 0,
    progress: bool = True,
) -> History:
    """Train a model, and go on where an earlier call was stopped.

    Parameters
    ----------
    model : Module
        Trained in place; it ends with the weights of the last epoch, on the device
        that it was trained on.
    train, validation : Dataset of (Tensor, int)
    epochs : int
        In all, those of an earlier call included.
    batch_size : int
        On each device.
    optimizer : Optimizer, optional
        By default Adam on the parameters that learn.
    scheduler : LRScheduler, optional
        Of that optimizer; steps once an epoch.
    loss : callable
        Takes outputs (B, classes) and labels (B,).
    folder : str or Path, optional
        Where ``last.pt`` and ``best.pt`` are written after each epoch, each at once or
        not at all. A call that finds ``last.pt`` there goes on after its epoch.
    patience : int, optional
        Stop after as many epochs without a better one.
    precision : str
        Fabric's: "32-true", "bf16-mixed", "16-mixed", ...
    accelerator : str
        Fabric's: "auto", "cpu", "cuda", ...
    num_workers : int
        Processes that load the data, on each device.
    seed : int
        Every random number in an epoch is a function of this, the epoch and the device.
    progress : bool
        Whether a bar is shown.

    Returns
    -------
    History

    Raises
    ------
    ImportError
        If lightning-fabric or tqdm is not installed.
    TypeError, ValueError
        If an argument is not one, or ``last.pt`` is of another network or optimizer.
    FloatingPointError
        If the loss is no longer finite; nothing of that epoch is saved.

    Examples
    --------
    >>> from trlkit import CPTRL
    >>> x = torch.randn(64, 4, 5)
    >>> data = TensorDataset(x, (x.mean((1, 2)) > 0).long())
    >>> history = fit(CPTRL((4, 5), 2, rank=1), data, data, epochs=2, progress=False)
    >>> len(history.train_loss)
    2
    """
    _check(train, validation, epochs, batch_size, patience)
    fabric = _fabric(precision, accelerator)
    optimizer = optimizer or torch.optim.Adam(_learning(model))
    wrapped, stepper = fabric.setup(model, optimizer)
    places = {"num_replicas": fabric.world_size, "rank": fabric.global_rank}
    sampler = DistributedSampler(train, seed=seed, **places)
    own = range(fabric.global_rank, len(validation), fabric.world_size)
    loader, scored = (
        DataLoader(
            _Sown(data, seed, fabric.global_rank, part),
            batch_size,
            sampler=_Numbered(order),
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            # Starting processes draws a number, which is none of the model's.
            generator=torch.Generator() if num_workers else None,
            pin_memory=fabric.device.type == "cuda",  # copied to the GPU beside the computing
        )
        for part, data, order in (("train", train, sampler), ("validation", validation, own))
    )
    parts = {"model": model, "optimizer": optimizer, "precision": fabric.strategy.precision}
    if scheduler is not None:
        parts["scheduler"] = scheduler
    history = _resumed(folder, parts)
    start = len(history.seconds)
    with _bar(fabric, epochs * len(loader), start * len(loader), progress) as bar:
        for epoch in range(start, epochs):
            if patience is not None and epoch and epoch - 1 - history.best_epoch >= patience:
                break
            began = time.perf_counter()
            _seed(seed, epoch, fabric.global_rank)
            sampler.set_epoch(epoch)
            loader.sampler.epoch = scored.sampler.epoch = epoch
            bar.set_description(f"epoch {epoch + 1}/{epochs}")
            wrapped.train()
            total = torch.zeros(2, dtype=torch.float64, device=fabric.device)
            for batch in loader:
                x, labels = fabric.to_device(batch)
                stepper.zero_grad()
                value = loss(wrapped(x), labels)
                fabric.backward(value)
                stepper.step()
                one = value.detach().double()  # nothing here waits for the GPU
                total += torch.stack([one * len(x), torch.full_like(one, len(x))])
                bar.update()
            summed, count = fabric.all_reduce(total, reduce_op="sum").tolist()
            if not math.isfinite(summed):
                raise FloatingPointError(
                    f"the loss of epoch {epoch + 1} is {summed / count}: use a lower learning "
                    f"rate, and look for NaN in the data"
                )
            history.learning_rate.append(optimizer.param_groups[0]["lr"])
            if scheduler is not None:
                scheduler.step()
            score = _validated(fabric, wrapped, scored, loss)
            history.train_loss.append(summed / count)
            history.validation_loss.append(score.loss)
            history.validation_accuracy.append(score.accuracy)
            history.seconds.append(time.perf_counter() - began)
            bar.set_postfix(loss=f"{summed / count:.3f}", accuracy=f"{score.accuracy:.3f}")
            if folder is not None:
                _save(fabric, Path(folder), parts, history)
    return history


def load(model: nn.Module, path: str | Path) -> nn.Module:
    """Give a model the weights of a checkpoint that :func:`fit` wrote.

    Parameters
    ----------
    model : Module
        Changed in place.
    path : str or Path
        ``best.pt`` or ``last.pt`` in the folder.

    Returns
    -------
    The same model
    """
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
    return model


def evaluate(
    model: nn.Module,
    data: Dataset | DataLoader,
    batch_size: int = 256,
    loss: Loss = F.cross_entropy,
) -> Score:
    """Measure a model in eval mode, on its own device.

    Parameters
    ----------
    model : Module
        It returns to the mode that it was in.
    data : Dataset or DataLoader of (Tensor, int)
    batch_size : int
        For a Dataset.
    loss : callable

    Returns
    -------
    Score of (loss, accuracy)

    Examples
    --------
    >>> data = TensorDataset(torch.eye(2), torch.tensor([0, 0]))
    >>> evaluate(nn.Identity(), data).accuracy
    0.5
    """
    with evaluating(model):
        summed, right, count = _sums(model, batches(model, data, batch_size), loss).tolist()
    return Score(summed / count, right / count)


def features(
    model: nn.Module,
    data: Dataset | DataLoader,
    batch_size: int = 64,
    at: str | None = None,
) -> TensorDataset:
    """Compute once what a frozen backbone makes of every sample.

    Parameters
    ----------
    model : Module
        A backbone, or a whole network.
    data : Dataset or DataLoader of (Tensor, int)
    batch_size : int
        For a Dataset.
    at : str, optional
        The layer whose input is wanted, by name. By default the network's tensor
        regression layer; of a network without one, the output is given.

    Returns
    -------
    TensorDataset of (Tensor, int)
        On the CPU, in the order of ``data``; train the layer alone on it with :func:`fit`.

    Raises
    ------
    ValueError
        If the network has no layer of that name, or several tensor regression layers.

    Examples
    --------
    >>> from trlkit.lab.models import ConvNeuralNet
    >>> data = TensorDataset(torch.randn(8, 3, 32, 32), torch.zeros(8, dtype=torch.long))
    >>> features(ConvNeuralNet(10, rank=4), data).tensors[0].shape
    torch.Size([8, 64, 13, 13])
    """
    layer, seen = _layer(model, at), []
    hook = (
        model.register_forward_hook(lambda _, inputs, output: seen.append(output))
        if layer is None
        else layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    )
    activations, labels = [], []
    try:
        with evaluating(model):
            for x, label in batches(model, data, batch_size):
                model(x)
                activations.append(seen.pop().cpu())
                labels.append(label.cpu())
    finally:
        hook.remove()
    return TensorDataset(torch.cat(activations), torch.cat(labels))


def descend(
    model: nn.Module, optimizer: Optimizer, x: Tensor, labels: Tensor, steps: Iterable
) -> list[float]:
    """Take one step of an optimizer along the cross entropy of each batch.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
    x : Tensor of shape (samples, ...)
    labels : Tensor of shape (samples,)
    steps : iterable of Tensor or slice
        For each step, which samples it sees.

    Returns
    -------
    list of float
        The loss of each batch, before its step.

    Examples
    --------
    >>> model = nn.Linear(2, 2)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> x, labels = torch.eye(2), torch.tensor([0, 1])
    >>> first, second = descend(model, optimizer, x, labels, 2 * [slice(2)])
    >>> first > second
    True
    """
    losses = []
    for step in steps:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[step]), labels[step])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def batches(
    model: nn.Module, data: Dataset | DataLoader, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Go through data once, in its order, on the device of a model.

    Parameters
    ----------
    model : Module
    data : Dataset or DataLoader of (Tensor, int)
    batch_size : int
        For a Dataset.

    Yields
    ------
    (Tensor of shape (B, ...), Tensor of shape (B,))

    Examples
    --------
    >>> data = TensorDataset(torch.eye(3), torch.tensor([0, 1, 2]))
    >>> [labels.tolist() for x, labels in batches(nn.Identity(), data, 2)]
    [[0, 1], [2]]
    """
    if not isinstance(data, DataLoader):
        # Its own generator, because a loader draws a number from the global one.
        data = DataLoader(data, batch_size, generator=torch.Generator())
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    for x, labels in data:
        yield x.to(device), labels.to(device)


def _layer(model: nn.Module, at: str | None) -> nn.Module | None:
    found = {name: module for name, module in model.named_modules() if isinstance(module, TRL)}
    if at is not None:
        modules = dict(model.named_modules())
        if at not in modules:
            raise ValueError(
                f"at={at!r}, but the network has no such module; its children are "
                f"{', '.join(name for name, _ in model.named_children())}"
            )
        return modules[at]
    if len(found) > 1:
        raise ValueError(
            f"the network has {len(found)} tensor regression layers: name one of "
            f"{', '.join(found)} as at"
        )
    return next(iter(found.values()), None)


def _check(train, validation, epochs: int, batch_size: int, patience: int | None) -> None:
    for name, data in {"train": train, "validation": validation}.items():
        if isinstance(data, DataLoader) or not hasattr(data, "__len__"):
            raise TypeError(
                f"{name} is a {type(data).__name__}, but fit takes a Dataset with a length and "
                f"makes its own batches: a loader's is loader.dataset"
            )
        if len(data) == 0:
            raise ValueError(f"{name} is empty")
    least = {"epochs": epochs, "batch_size": batch_size, "patience": patience}
    for name, value in least.items():
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}, but it must be at least 1")


def _learning(model: nn.Module) -> list[nn.Parameter]:
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not learning:
        raise ValueError(
            "no parameter of the model learns: set requires_grad on those of its new layer"
        )
    return learning


def _fabric(precision: str, accelerator: str):
    """Fabric on one device, or on those that torchrun started processes for."""
    try:
        import tqdm  # noqa: F401
        from lightning_fabric import Fabric
    except ImportError as error:
        raise ImportError(
            "training needs lightning-fabric and tqdm: pip install trlkit[course], or these two"
        ) from error
    world = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    fabric = Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision=precision,
    )
    fabric.launch()
    return fabric


def _bar(fabric, total: int, initial: int, progress: bool):
    from tqdm import tqdm

    # On stdout: in a graded cell a line on stderr counts as an error.
    shown = progress and fabric.is_global_zero
    return tqdm(total=total, initial=initial, file=sys.stdout, disable=not shown, unit="batch")


def _seed(*parts: int | str) -> None:
    """Make every generator a function of the epoch, so that none has to be saved."""
    drawn = random.Random(" ".join(map(str, parts))).getrandbits(32)
    torch.manual_seed(drawn)
    random.seed(drawn)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(drawn)


class _Numbered(Sampler):
    """An order of samples, each with the epoch that it is loaded for."""

    def __init__(self, order: Collection[int]) -> None:
        self.order, self.epoch = order, 0

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, index) for index in self.order)


class _Sown(Dataset):
    """Data whose loading processes outlive an epoch, and are seeded anew for each."""

    def __init__(self, data: Dataset, *parts: int | str) -> None:
        self.data, self.parts, self.epoch = data, parts, -1

    def __len__(self) -> int:
        return len(self.data)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Sequence:
        epoch, worker = keys[0][0], get_worker_info()
        if worker is not None and epoch != self.epoch:
            self.epoch = epoch
            _seed(*self.parts, epoch, worker.id)
        indices = [index for _, index in keys]
        together = getattr(self.data, "__getitems__", None)
        return together(indices) if together else [self.data[index] for index in indices]


def _sums(model, batches, loss: Loss) -> Tensor:
    """(summed loss, number right, number)."""
    sums = None
    for x, labels in batches:
        y = model(x)
        right = (y.argmax(1) == labels).sum().double()
        value = loss(y, labels).double() * len(x)
        batch = torch.stack([value, right, torch.full_like(value, len(x))])
        sums = batch if sums is None else sums + batch
    return sums


def _validated(fabric, model, loader: DataLoader, loss: Loss):
    """The score over all devices, each sample counted once."""
    sums = torch.zeros(3, dtype=torch.float64, device=fabric.device)
    if len(loader):
        with evaluating(model):
            sums += _sums(model, map(fabric.to_device, loader), loss)
    summed, right, count = fabric.all_reduce(sums, reduce_op="sum").tolist()
    return Score(summed / count, right / count)


def _save(fabric, folder: Path, parts: dict, history: History) -> None:
    """Write last.pt, and best.pt if this epoch is; a kill leaves the old or the new file."""
    if fabric.is_global_zero:
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: part.state_dict() for name, part in parts.items()}
        state["history"] = asdict(history)
        names = ["last.pt"]
        if history.best_epoch == len(history.seconds) - 1:
            # First, so that a last.pt never speaks of a best epoch that was not written.
            names.insert(0, "best.pt")
        for name in names:
            unfinished = folder / f"{name}.unfinished"
            torch.save(state, unfinished)
            os.replace(unfinished, folder / name)
    fabric.barrier()


def _resumed(folder: str | Path | None, parts: dict) -> History:
    """Load last.pt, if there is one, and give its history."""
    path = Path(folder or "") / "last.pt"
    if folder is None or not path.exists():
        return History()
    state = torch.load(path, map_location="cpu", weights_only=True)
    history = History(**state.pop("history"))
    if state.keys() != parts.keys():
        raise ValueError(
            f"{path} has {', '.join(state)}, but this call {', '.join(parts)}: go on with the "
            f"same, or in another folder"
        )
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"{path} is of another network or optimizer: go on with the same, or in another "
            f"folder ({error})"
        ) from error
    return history
