"""A network as a table, layer by layer: torchinfo's, with every factor of a TRL counted."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trlkit.regression import TRL
from trlkit.surgery.heads import probing


def summary(model: nn.Module, input_size: Sequence[int] | Tensor, depth: int = 3):
    """Tabulate the layers of a network, and beside them what dense ones would have had.

    Parameters
    ----------
    model : Module
        Left as it is.
    input_size : sequence of int, or Tensor of shape (B, ...)
        Of one sample, without the batch; or an example batch.
    depth : int
        How many levels of modules inside modules to show.

    Returns
    -------
    Summary
        It prints itself; ``statistics`` is torchinfo's ``ModelStatistics``.

    Raises
    ------
    ImportError
        If torchinfo is not installed.
    TypeError
        If an argument is not one, with the mend.
    ValueError
        If the network does not run on such an input.

    Examples
    --------
    >>> from trlkit.lab.models import ConvNeuralNet
    >>> table = summary(ConvNeuralNet(10, rank=100), (3, 32, 32))
    >>> table.statistics.total_params
    29402
    >>> print(table)
    ===...
    head: CPTRL (64, 13, 13) -> (10,), rank 100: 10,010 parameters; dense: 108,170
    """
    try:
        import torchinfo
    except ImportError as error:
        raise ImportError(
            "a summary needs torchinfo: pip install trlkit[course], or torchinfo"
        ) from error
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}, but a summary is of a torch.nn.Module")
    if isinstance(input_size, int):
        raise TypeError(
            f"input_size={input_size}, but it must be a sequence of int, as ({input_size},)"
        )
    given = (
        {"input_data": input_size}
        if isinstance(input_size, Tensor)
        else {"input_size": (1, *input_size), "dtypes": [_like(model).dtype]}
    )
    try:
        with probing(model):
            statistics = torchinfo.summary(
                model,
                **given,
                depth=depth,
                device=_like(model).device,
                verbose=0,
                col_names=("output_size", "num_params", "trainable"),
                row_settings=("depth", "var_names"),
            )
    except RuntimeError as error:
        cause = error.__cause__ or error
        shape = tuple(given["input_data"].shape if "input_data" in given else given["input_size"])
        raise ValueError(
            f"the network does not run on an input of shape {shape}: {cause}; input_size is one "
            f"sample's, without the batch"
        ) from error
    _complete(statistics, model)
    return Summary(model, statistics)


class Summary:
    """torchinfo's table, and a line for each tensor regression layer.

    Attributes
    ----------
    statistics : torchinfo.ModelStatistics
    layers : list of (str, CPTRL, TuckerTRL or TTTRL)
        The tensor regression layers, by name.
    """

    def __init__(self, model: nn.Module, statistics) -> None:
        self.statistics = statistics
        self.layers = [(n, m) for n, m in model.named_modules() if isinstance(m, TRL)]

    def __repr__(self) -> str:
        return "\n".join([str(self.statistics), *(_line(name, trl) for name, trl in self.layers)])


def _line(name: str, trl: TRL) -> str:
    own = sum(parameter.numel() for parameter in trl.parameters())
    dense = math.prod(trl.input_shape + trl.output_shape)
    dense += 0 if trl.bias is None else math.prod(trl.output_shape)
    return (
        f"{name or 'itself'}: {type(trl).__name__} {trl.input_shape} -> {trl.output_shape}, "
        f"rank {trl.rank}: {own:,} parameters; dense: {dense:,}"
    )


def _complete(statistics, model: nn.Module) -> None:
    """Put right what torchinfo misses of a ParameterList: its bytes, and the work with it."""
    own = list(model.parameters())
    statistics.total_params = sum(p.numel() for p in own)
    statistics.trainable_params = sum(p.numel() for p in own if p.requires_grad)
    statistics.total_param_bytes = sum(p.numel() * p.element_size() for p in own)
    for info in statistics.summary_list:
        if isinstance(info.module, TRL):
            batch = info.output_size[0]
            plan = info.module._plan(batch, training=False, kept=False)
            flops = next(cost.flops for cost in plan.costs if cost.path == plan.path)
            counted = info.macs if info.is_leaf_layer else 0
            statistics.total_mult_adds += flops // 2 - counted


def _like(model: nn.Module) -> Tensor:
    """A tensor of the model's dtype, on its device."""
    return next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
