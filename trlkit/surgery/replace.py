"""Put a tensor regression layer in the place of a network's flatten and linear layers."""

import math
import numbers
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from trlkit.dropout import TensorDropout
from trlkit.layers import CPTRL, TTTRL, TuckerTRL
from trlkit.ranks import COUNT, Rank, break_even_rank, full_rank, rank_for_budget
from trlkit.regression import TRL
from trlkit.surgery.conventions import adapt, fixed, follows, gone
from trlkit.surgery.forwards import linear_node, put, replace_head
from trlkit.surgery.heads import DROPOUTS, Head, TwoWays, find_head, probing, several

PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
LAYERS = {"cp": CPTRL, "tucker": TuckerTRL, "tt": TTTRL}


@dataclass(frozen=True, repr=False)
class Report:
    """What a replacement did; it prints itself as a table.

    Attributes
    ----------
    model : Module
        The network, changed in place.
    trl : CPTRL, TuckerTRL or TTTRL
    name : str
        The layer's name in the network.
    activation_shape : tuple of int
        Of what the layer takes, without the batch.
    parameters : dict of str to (int, int)
        Before and after, for each child of the network.
    flops : (int, int)
        Before and after, forward, for one sample.
    error : float or None
        With ``init="pretrained"`` the relative error of the weight.
    notes : tuple of str
        What else was changed, and what is no more as it was.
    """

    model: nn.Module
    trl: TRL
    name: str
    activation_shape: tuple[int, ...]
    parameters: dict[str, tuple[int, int]]
    flops: tuple[int, int]
    error: float | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        trl, counts = self.trl, self.parameters.values()
        dense = math.prod(trl.input_shape + trl.output_shape) + math.prod(trl.output_shape)
        trainable = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        lines = [
            f"{type(self.model).__name__}: the activation {self.activation_shape} goes to "
            f"{self.name}, a {type(trl).__name__} of rank {trl.rank}",
            f"  {'parameters':<20}{'before':>14}{'after':>14}",
            *(
                f"  {part:<20}{before:>14,}{after:>14,}"
                for part, (before, after) in self.parameters.items()
            ),
            f"  {'in all':<20}{sum(b for b, _ in counts):>14,}{sum(a for _, a in counts):>14,}",
            f"  {'that learn':<20}{'':>14}{trainable:>14,}",
            f"  {'MFLOP for a sample':<20}"
            + "".join(f"{count / 1e6:>14,.2f}" for count in self.flops),
            f"  One linear layer in the same place: {dense:,} parameters.",
        ]
        if self.error is not None:
            lines.append(f"  Relative error of the weight: {self.error:.1e}")
        lines += [
            textwrap.fill(note, 60, initial_indent="  ", subsequent_indent="    ")
            for note in self.notes
        ]
        return "\n".join(lines)


def replace_classifier(
    model: nn.Module,
    num_classes: int,
    factorization: str = "cp",
    rank: int | float | str | Sequence[int] | None = None,
    dropout: float | TensorDropout = 0.0,
    freeze: bool = True,
    init: str = "random",
    input_size: Sequence[int] | Tensor = (3, 224, 224),
    at: str | Sequence[str] | None = None,
) -> Report:
    """Replace a network's flatten and the linear layers after it by a tensor regression layer.

    Parameters
    ----------
    model : Module
        It maps a batch to (B, classes). Changed in place, or left as it was on an error.
    num_classes : int
    factorization : {"cp", "tucker", "tt"}
    rank : int, sequence of int, float in (0, 1], or "same"
        With ``init="pretrained"`` by default the lowest at which the weight is exact.
    dropout : float or TensorDropout
    freeze : bool
        Whether the parameters of everything but the new layer stop learning.
        Batch normalizations go on following their batches in training mode.
    init : {"random", "pretrained"}
        "pretrained" starts as the network's own single linear layer, with the global
        average pooling before it if there is one.
    input_size : sequence of int, or Tensor of shape (B, ...)
        Of one sample, without the batch; or an example batch. The new layer takes
        the activation of inputs of this size alone.
    at : str or sequence of str, optional
        The modules to replace, by name, where the place cannot be found: the first
        becomes the new layer, the others nothing.

    Returns
    -------
    Report
        Prints as a table; the network is its ``model``.

    Raises
    ------
    TypeError, ValueError
        If the head cannot be found, or an argument is not one, with the mend.

    Notes
    -----
    Kossaifi et al., "Tensor Regression Networks", JMLR 21 (2020). Where the
    network's own ``forward`` holds the flatten, its class becomes a subclass with
    another ``forward``; ``deepcopy`` and ``pickle`` know it.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 36, 10))
    >>> print(replace_classifier(net, 7, rank=20, input_size=(3, 8, 8)))
    Sequential: the activation (64, 6, 6) goes to 2, a CPTRL of rank 20
      parameters                  before         after
      0                            1,792         1,792
      2                                0         1,667
      3                           23,050             0
      in all                      24,842         3,459
      that learn                                 1,667
      MFLOP for a sample            0.17          0.22
      One linear layer in the same place: 16,135 parameters.
      Gone with the head: 3 (Linear).
    """
    _check(num_classes, factorization, init, at)
    num_classes = int(num_classes)
    _check_network(model)
    example = _example(model, input_size)
    before = _counts(model)
    try:
        flops = _flops(model, example)
        with probing(model):
            output = model(example)
    except Exception as error:
        raise ValueError(
            f"the network does not run on an input of shape {tuple(example.shape)}, so give "
            f"input_size, without the batch, or an example batch on its device ({error})"
        ) from error
    if not isinstance(output, Tensor):
        raise ValueError(several(model, output))
    linear, pooled, told = None, False, []
    if at is None:
        try:
            head = find_head(model, example)
            owner, edit = head.owner, partial(replace_head, head)
            told = [*gone(head), *fixed(head)]
        except TwoWays:
            # As with auxiliary heads: the forward pass stays, and modules are exchanged.
            head = find_head(model, example, both=False)
            owner, names = model, _modules_alone(head)
            if names is None:
                raise
            edit = partial(_by_hand, model, names)
        shape, likeness = head.shape, head.module(linear_node(head))
        if init == "pretrained":
            linear, pooled = _only_linear(head), head.pooling is not None
    else:
        names = [at] if isinstance(at, str) else list(at)
        owner, shape, edit = (
            model,
            _shape_at(model, names, example),
            partial(_by_hand, model, names),
        )
        likeness = model.get_submodule(names[0])
    like = next(likeness.parameters(), example)
    if linear is not None and linear.out_features != num_classes:
        raise ValueError(
            f'num_classes={num_classes}, but init="pretrained" starts as a linear layer of '
            f"{linear.out_features} outputs: num_classes={linear.out_features}, or "
            f'init="random"'
        )
    if rank is None:
        rank = _default_rank(shape, num_classes, factorization, linear, pooled)
    options = {"dropout": dropout, "device": like.device, "dtype": like.dtype}
    trl = LAYERS[factorization](shape, num_classes, rank, **options).train(likeness.training)
    error = None
    if linear is not None:
        modes = range(1, len(shape)) if pooled else ()
        error = trl.init_from_linear(linear.weight, linear.bias, tuple(modes))
    if all(size == 1 for size in shape[1:]):
        warnings.warn(
            f"the activation {shape} has no mode beside its channels, so the layer is one of "
            f"low rank on a vector: name modules before the pooling in at to keep the map",
            stacklevel=2,
        )
    modules = dict(model.named_modules())
    with _undone_on_error(owner):
        edit(trl)
        _run_with(model, example, num_classes)
    new, notes = adapt(model, modules, trl, output.shape[-1], num_classes)
    notes += told if at is None else follows(model, trl)
    if freeze:
        model.requires_grad_(False)
        for module in (trl, *new):
            module.requires_grad_(True)
    name = next(name for name, module in model.named_modules() if module is trl)
    flops = flops, _flops(model, example, trl)
    trl.train(trl.training)  # lets go of the weight that it kept for these passes
    after = _counts(model)
    parts = {part: (before.get(part, 0), after.get(part, 0)) for part in {**before, **after}}
    parts = {part: counts for part, counts in parts.items() if any(counts)}
    return Report(model, trl, name, shape, parts, flops, error, tuple(notes))


def _check(num_classes: int, factorization: str, init: str, at: object) -> None:
    if (
        isinstance(num_classes, bool)
        or not isinstance(num_classes, numbers.Integral)
        or num_classes < 1
    ):
        raise ValueError(f"num_classes={num_classes!r}, but it must be an int of at least 1")
    if factorization not in LAYERS:
        raise ValueError(f'factorization={factorization!r}, but it must be "cp", "tucker" or "tt"')
    if init not in ("random", "pretrained"):
        raise ValueError(f'init={init!r}, but it must be "random" or "pretrained"')
    named = [at] if isinstance(at, str) else at
    if at is not None and not (
        isinstance(named, list | tuple) and named and all(isinstance(n, str) for n in named)
    ):
        raise TypeError(
            f"at={at!r}, but it must be the name of a module, or a list of names: the first "
            f"becomes the new layer"
        )
    if at is not None and init == "pretrained":
        raise ValueError(
            'init="pretrained" starts as the linear layer that is found, but at names the place '
            "by hand: leave at out, or call init_from_linear on report.trl"
        )


def _check_network(model: nn.Module) -> None:
    """Raise an error for a network that stands inside something, or is not whole yet."""
    if not isinstance(model, nn.Module):
        kind = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"the network is {kind}, but it must be a torch.nn.Module")
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(
            f"the network is a {type(model).__name__}, whose forward pass is compiled: replace the "
            f"classifier of the network that it was made from, and trace or script that again"
        )
    for name, around in (
        ("_orig_mod", "_orig_mod" in model._modules),  # what torch.compile puts around a network
        ("module", isinstance(model, PARALLEL)),
    ):
        if around:
            raise ValueError(
                f"the network is inside a {type(model).__name__}: give what is inside, "
                f"model.{name}, and put that around it again"
            )
    lazy = [name for name, p in model.named_parameters() if nn.parameter.is_lazy(p)]
    if lazy:
        raise ValueError(f"{lazy[0]} has no shape yet: run the network once on a batch first")


def _example(model: nn.Module, input_size: Sequence[int] | Tensor) -> Tensor:
    """Two samples of the input, of the model's dtype and on its device."""
    if isinstance(input_size, Tensor):
        if not input_size.ndim or not len(input_size):
            raise ValueError(
                f"input_size is a tensor of shape {tuple(input_size.shape)}, but an example batch "
                f"has at least one sample: a tensor of shape (1, ...)"
            )
        return input_size[:1].expand(2, *input_size.shape[1:])
    own = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    return own.detach().new_zeros(2, *input_size)


def _default_rank(
    shape: tuple[int, ...],
    num_classes: int,
    factorization: str,
    linear: nn.Linear | None,
    pooled: bool,
) -> Rank:
    """The lowest exact rank of a linear layer; without one, a ValueError with an offer."""
    if linear is None:
        offer = break_even_rank(shape, num_classes, factorization)
        raise ValueError(
            f"rank=None, but a new layer needs one: above {offer} the {factorization} weight of "
            f"shape {(*shape, num_classes)} has more parameters than one linear layer"
        )
    kept = (shape[0], *(1 for _ in shape[1:])) if pooled else shape
    rank = full_rank((*kept, num_classes), factorization)
    own = COUNT[factorization]((*shape, num_classes), rank)
    if own > linear.weight.numel():
        dense = linear.weight.numel()
        offer = ""
        with suppress(ValueError):  # raised where even rank 1 has more
            paying = rank_for_budget(shape, num_classes, factorization, dense)
            offer = (
                f". Up to rank={paying} it has no more, and the report tells the relative error "
                f"of such a start"
            )
        warnings.warn(
            f"an exact start takes the {factorization} rank {rank}, which does not pay: it has "
            f"{own:,} parameters, the linear layer {dense:,}{offer}",
            stacklevel=3,
        )
    return rank


def _only_linear(head: Head) -> nn.Linear:
    """The linear layer, if the head has only that beside a pooling, the flatten and dropouts."""
    linear = head.module(head.chain[-1])
    known = (head.pooling, head.flatten, head.chain[-1])
    others = [
        node.target if isinstance(node.target, str) else f"{node.target.__name__}()"
        for node in head.chain
        if node not in known and not isinstance(head.module(node), DROPOUTS)
    ]
    if others or not isinstance(linear, nn.Linear):
        raise ValueError(
            f'init="pretrained" needs one linear layer after the flatten or the global average '
            f"pooling, but the activation {head.shape} goes through {', '.join(others)} too: "
            f'use init="random"'
        )
    if linear.weight.is_meta:
        raise ValueError(
            'init="pretrained" needs the values of the linear layer, but it is on the meta '
            'device: load the weights first, or use init="random"'
        )
    return linear


@contextmanager
def _undone_on_error(owner: nn.Module) -> Iterator[None]:
    """Give every module its children and its class back if the block raises."""
    children = [(module, dict(module._modules)) for module in owner.modules()]
    kind = type(owner)
    try:
        yield
    except BaseException:
        owner.__class__ = kind
        for module, own in children:
            module._modules.clear()
            module._modules.update(own)
        raise


def _run_with(model: nn.Module, example: Tensor, num_classes: int) -> None:
    """Run the changed network once; a ValueError if what follows the layer does not fit."""
    expected = (len(example), num_classes)
    mend = "name the modules that follow it in at too"
    try:
        with probing(model):
            output = model(example)
    except Exception as error:
        raise ValueError(
            f"with the new layer the network does not run, because what follows takes no "
            f"{expected}: {mend} ({str(error) or type(error).__name__})"
        ) from error
    if output.shape != expected:
        raise ValueError(
            f"with the new layer the output has shape {tuple(output.shape)}, not {expected}: {mend}"
        )


def _shape_at(model: nn.Module, names: list[str], example: Tensor) -> tuple[int, ...]:
    """The shape of what the first module named by hand takes, without the batch."""
    known = dict(model.named_modules())
    for name in names:
        if not name or name not in known:
            raise ValueError(
                f"at={name!r}, but the network has no such module; its children are "
                f"{', '.join(name for name, _ in model.named_children())}"
            )
    calls = []
    hook = known[names[0]].register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    try:
        with probing(model):
            model(example)
    finally:
        hook.remove()
    if len(calls) != 1 or len(calls[0]) != 1 or not isinstance(calls[0][0], Tensor):
        raise ValueError(
            f"at={names[0]!r} must name a module that is called once, with one tensor; it is "
            f"called {len(calls)} times"
            + (f", with {len(calls[0])} arguments" if len(calls) == 1 else "")
        )
    shape = tuple(calls[0][0].shape)
    if len(shape) < 3:
        raise ValueError(
            f"at={names[0]!r} takes a matrix {shape}, but a tensor regression layer takes the "
            f"activation before it is flattened: name the module that takes that first"
        )
    return shape[1:]


def _modules_alone(head: Head) -> list[str] | None:
    """The names of a head's modules, if nothing but a flatten stands between them."""
    first, *others = head.chain
    flat = (torch.flatten, "flatten")
    plain = all(node.op == "call_module" or node.target in flat for node in others)
    if first.op != "call_module" or head.kept or not plain:
        return None
    prefix = f"{head.path}." if head.path else ""
    return [prefix + node.target for node in head.region if node.op == "call_module"]


def _by_hand(model: nn.Module, names: list[str], trl: TRL) -> None:
    put(model, names[0], trl)
    for name in names[1:]:
        put(model, name, nn.Identity())


def _counts(model: nn.Module) -> dict[str, int]:
    """The parameters of each child of a network, and those of its own."""
    counts = {
        name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()
    }
    own = sum(p.numel() for p in model.parameters(recurse=False))
    return {**counts, "(its own)": own} if own else counts


def _flops(model: nn.Module, example: Tensor, trl: TRL | None = None) -> int:
    """Operations of a forward pass for one sample, in convolutions and products of matrices."""
    from torch.utils.flop_counter import FlopCounterMode

    def counted(module: nn.Module, x: Tensor) -> int:
        with probing(module), FlopCounterMode(display=False) as counter:
            module(x)
        return counter.get_total_flops() // len(x)

    count = counted(model, example)
    if trl is not None:
        # The layer may have kept its weight; the cost model counts a pass that does not.
        like = next(trl.parameters())
        count -= counted(trl, like.new_zeros(len(example), *trl.input_shape))
        plan = trl._plan(1, training=False, kept=False)
        count += next(cost.flops for cost in plan.costs if cost.path == plan.path)
    return count
