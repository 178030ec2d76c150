"""Parameters of a layer: drawn, read and set, whatever torch's reparametrizations do to them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized


def fill_(tensor: Tensor, draw: Callable[[Tensor], Tensor]) -> None:
    """Fill a tensor with what is drawn in float32 on its device, whatever its own dtype.

    A coarser dtype has too few values to draw from, and many kernels lack it.

    Parameters
    ----------
    tensor : Tensor of any shape
        Changed in place; on the meta device nothing is drawn.
    draw : callable
        Takes an empty float32 tensor of that shape, returns the values.

    Examples
    --------
    >>> half = torch.empty(2, dtype=torch.float16)
    >>> fill_(half, lambda drawn: drawn.fill_(3))
    >>> half
    tensor([3., 3.], dtype=torch.float16)
    """
    if tensor.device.type != "meta":
        with torch.no_grad():
            tensor.copy_(draw(torch.empty_like(tensor, dtype=torch.float32)))


def listed(tensors: nn.ParameterList) -> tuple[Tensor, ...]:
    """The tensors of a list, computed anew by the hooks that pruning puts before its forward pass.

    A list has no forward pass of its own, so nobody else runs them.

    Examples
    --------
    >>> listed(nn.ParameterList([torch.ones(2)]))[0].shape
    torch.Size([2])
    """
    for hook in tensors._forward_pre_hooks.values():
        # Others only watch, and wait for a call: torchinfo's, for one.
        if type(hook).__module__.startswith("torch.nn.utils."):
            hook(tensors, ())
    # One by one: the compiler of torch 2.7 makes no tuple of a list of parameters.
    return tuple([tensors[position] for position in range(len(tensors))])


def settable(module: nn.Module, name: str) -> None:
    """Raise an error where the values of a tensor cannot be set.

    Raises
    ------
    TypeError
        If the tensor is computed by a hook, as those of pruning.

    Examples
    --------
    >>> settable(nn.Linear(2, 1), "weight")
    """
    if not isinstance(getattr(module, name), nn.Parameter) and not is_parametrized(module, name):
        raise TypeError(
            f"tensor {name!r} of the {type(module).__name__} is computed by a hook, as those of "
            f"pruning and of the old weight_norm: set the layer's values first, then put it on"
        )


def assign(module: nn.Module, name: str, value: Tensor) -> None:
    """Give a parameter a value, also where a parametrization computes it from others.

    Parameters
    ----------
    module : Module
    name : str
    value : Tensor of the parameter's shape

    Raises
    ------
    TypeError
        As :func:`settable`.

    Examples
    --------
    >>> linear = nn.Linear(2, 1)
    >>> assign(linear, "bias", torch.ones(1))
    >>> linear.bias.item()
    1.0
    """
    settable(module, name)
    own = getattr(module, name)
    with torch.no_grad():
        if isinstance(own, nn.Parameter):
            own.copy_(value)
        else:
            setattr(module, name, value.to(own))
