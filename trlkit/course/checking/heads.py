"""What the checks of several chapters ask of a head, before it is trained."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trlkit.course.checking.answer import RIGHT, Verdict, plain
from trlkit.course.checking.compare import describe
from trlkit.course.checking.watch import ends


def held(head: nn.Module) -> list[Tensor]:
    """What counts as a head's numbers: its parameters and buffers."""
    return [*head.parameters(), *head.buffers()]


def size(head: nn.Module) -> int:
    """How many numbers a head has."""
    return sum(tensor.numel() for tensor in held(head))


def form(
    answer: Callable, shape: tuple[int, ...], classes: int, most: int | None = None
) -> Verdict:
    """Whether an answer makes a new head at each call, which can be trained and hides nothing.

    Parameters
    ----------
    answer : callable
        ``answer(shape, classes)`` makes a head.
    shape : tuple of int
        Of an activation, without the batch.
    classes : int
    most : int, optional
        The budget.
    """
    torch.default_generator.manual_seed(0)
    head = answer(shape, classes)
    if not isinstance(head, nn.Module):
        text = f"must return an nn.Module, got {describe(plain(head))}"
        return Verdict("no module", text)
    numbers = size(head)
    if most is not None and numbers > most:
        text = f"has {numbers:,} numbers, parameters and buffers; the budget is {most:,}"
        return Verdict(f"over the budget by {numbers - most}", text)
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = head(x)
    if not isinstance(y, Tensor) or y.shape != (3, classes):
        text = f"takes {tuple(x.shape)} to {describe(plain(y))}, expected shape (3, {classes})"
        return Verdict("shape", text)
    if y.min() >= 0 and torch.allclose(y.sum(1), torch.ones(3), atol=1e-4):
        text = "gives rows of numbers that add up to 1: probabilities, and logits are asked for"
        return Verdict("probabilities", text)
    if ends([y]) - {id(x), *map(id, head.parameters())}:
        text = "its output depends on tensors that learn and are no parameters of the module"
        return Verdict("not registered", text)
    if not any(parameter.requires_grad for parameter in head.parameters()):
        return Verdict("nothing learns", "no parameter of the head learns (requires_grad)")
    other = answer(shape, classes)
    if {*map(id, head.parameters())} & {*map(id, other.parameters())}:
        text = "a second call gives the same parameters: each head must be a new one"
        return Verdict("the same head", text)
    head.eval()
    other.eval()
    with torch.no_grad():
        one, twice = head(x[:1]), (head(x), head(x))
        for old, new in zip(held(other), held(head), strict=True):
            old.copy_(new)
        same = torch.allclose(other(x), twice[0], rtol=1e-3, atol=1e-3)
    if not isinstance(one, Tensor) or one.shape != (1, classes):
        text = f"takes {(1, *shape)} to {describe(plain(one))}, expected shape (1, {classes})"
        return Verdict("a batch of one", text)
    if not torch.allclose(*twice, rtol=1e-3, atol=1e-3, equal_nan=True):
        text = "in eval mode it gives other logits when the same activations come a second time"
        return Verdict("other logits the second time", text)
    if not same:
        text = "two heads with the same parameters and buffers give different outputs\n"
        text += "so other numbers are in them, which count too and are kept nowhere"
        return Verdict("hidden numbers", text)
    return RIGHT
