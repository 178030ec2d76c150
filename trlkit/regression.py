"""The layer that :class:`CPTRL`, :class:`TuckerTRL` and :class:`TTTRL` are kinds of."""

import dataclasses
import math
import operator
import warnings
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, fx, nn

from trlkit.contraction import captured
from trlkit.contraction.costs import (
    CAPTURED_BYTES,
    KEPT_ELEMENTS,
    PATHS,
    PER_SAMPLE_PATHS,
    Plan,
    columns_of,
    plan,
    scheduled,
)
from trlkit.contraction.paths import (
    as_rows,
    learns,
    linear_rows,
    planned_batch,
)
from trlkit.dropout import TensorDropout, draw, masks_of
from trlkit.ranks import Rank, as_shape, useful_rank
from trlkit.tensors import sizes_of
from trlkit.weights.conversion import Convertible
from trlkit.weights.factorized import Weight
from trlkit.weights.parameters import assign, fill_, settable

Shape = int | Sequence[int]

# The ways a forward pass is run: for each a choice of path is tabulated.
_SETTINGS = {
    "training": {"training": True, "kept": False},
    "eval": {"training": False, "kept": False},
    "kept": {"training": False, "kept": True},
    "graphed training": {"training": True, "kept": False, "graphed": True},
    "graphed eval": {"training": False, "kept": False, "graphed": True},
}


class Layer(nn.Module):
    """How torch's ways to capture a network see a layer of trlkit."""

    def __prepare_scriptable__(self) -> None:
        raise TypeError(
            f"torch.jit.script cannot compile a {type(self).__name__}, which chooses its path in "
            f"Python: use torch.jit.trace(model, x), torch.export.export or torch.compile"
        )

    def _recorded(self, x: fx.Proxy) -> fx.Proxy | None:
        """The call of this layer for torch.fx to record; None where it is itself what is traced."""
        if x.tracer.root is self:
            return None
        return x.tracer.create_proxy("call_module", x.tracer.path_of_module(self), (x,), {})


class TRL(Convertible, Layer):
    """What :class:`CPTRL`, :class:`TuckerTRL` and :class:`TTTRL` share.

    A batch ``x`` of shape (B, *input_shape) gives <x, weight> + bias of shape
    (B, *output_shape), where the weight (*input_shape, *output_shape) is
    factorized and, as a rule, never built.

    Parameters
    ----------
    input_shape : int or sequence of int
        Without the batch; at least one mode.
    output_shape : int or sequence of int
        ``()`` for one number a sample.
    rank : int, sequence of int, float in (0, 1], or "same"
        See :func:`trlkit.ranks.validate_rank`; Tucker's and TT's are cut to what the shape
        can use.
    bias : bool
    dropout : float or TensorDropout
        The probability of dropping a component of the weight.
    contraction : str
        "auto", or the path to take for every batch: see :data:`trlkit.contraction.costs.PATHS`.
    device, dtype : optional
        As in :class:`torch.nn.Linear`.

    Raises
    ------
    TypeError, ValueError
        If a shape, rank, dropout or contraction is not one, with the mend.

    Notes
    -----
    In eval mode without gradients, on the CPU, a path that rebuilds the weight
    keeps it for the next batch. It is used only where every factor still has the
    values that it was built from, which are compared each time: so it follows an
    optimizer, ``load_state_dict``, ``.to()`` and edits through ``.data`` alike. On
    other devices comparing would wait for the device, so nothing is kept there.

    The weight starts with the variance that :class:`torch.nn.Linear` gives its own,
    1 / (3 P) for P inputs, at every rank.
    """

    factorization: ClassVar[str]
    _kind: ClassVar[type[Weight]]

    def __init__(
        self,
        input_shape: Shape,
        output_shape: Shape,
        rank: int | float | str | Sequence[int],
        bias: bool = True,
        dropout: float | TensorDropout = 0.0,
        contraction: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_shape = as_shape(input_shape, "input_shape")
        self.output_shape = as_shape(output_shape, "output_shape")
        if not self.input_shape:
            raise ValueError("input_shape=(), but a layer needs at least one input mode")
        shape = self.input_shape + self.output_shape
        self.rank: Rank = useful_rank(shape, rank, self.factorization)
        if self.factorization == "tucker" and isinstance(rank, float):
            self._tell_of_one_direction(rank)
        weight = self._kind.empty(shape, self.rank, device=device, dtype=floating(dtype))
        self._own(weight)
        like = weight.tensors[0]
        self.bias = nn.Parameter(like.new_empty(self.output_shape)) if bias else None
        self._choose_paths(contraction, dropout)
        self.reset_parameters()

    def _tell_of_one_direction(self, rank: float) -> None:
        """Warn where a fraction leaves an output mode a rank of 1, which nobody asked for."""
        n = len(self.input_shape)
        for size, own in zip(self.output_shape, self.rank[n:], strict=True):
            if own == 1 < size:
                offer = (*self.rank[:n], *self.output_shape)
                warnings.warn(
                    f"rank={rank} gives {self.rank}, so that all {size} outputs are multiples of "
                    f"one number: a tuple says more, as rank={offer}",
                    stacklevel=4,
                )
                return

    def reset_parameters(self) -> None:
        """Draw the weight and the bias anew, with the variances of :class:`torch.nn.Linear`."""
        bound = 1 / math.sqrt(math.prod(self.input_shape))
        with torch.no_grad():
            own = self._weight()
            drawn = own.of([torch.empty_like(tensor) for tensor in own.tensors])
            drawn.initialize_(math.sqrt(math.prod(self.output_shape) / 3))
            self._assign(drawn.tensors)
            if self.bias is not None:
                bias = torch.empty_like(self.bias)
                fill_(bias, lambda drawn: drawn.uniform_(-bound, bound))
                assign(self, "bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Contract a batch with the weight.

        Parameters
        ----------
        x : Tensor of shape (B, *input_shape)

        Returns
        -------
        Tensor of shape (B, *output_shape)
            Of x's dtype; under autocast of autocast's, as from :class:`torch.nn.Linear`.

        Raises
        ------
        TypeError
            If ``x`` is not floating, or of another dtype than the layer.
        ValueError
            If ``x`` has another shape, no batch mode, or is on another device.
        """
        dropout = self._dropout
        drops = dropout.p > 0 and (self.training or dropout.drop_test)
        if not torch.compiler.is_compiling():
            calls = self._programs.calls
            if calls is not None and not torch.cuda.is_current_stream_capturing():
                y = calls.again(self, x, drops)  # all that follows, where it is as it was before
                if y is not None:
                    return y
        weight, drawn = self._weight(), None
        if isinstance(x, fx.Proxy):
            if (recorded := self._recorded(x)) is not None:
                return recorded
            if drops:
                raise TypeError(
                    "torch.fx would draw the masks of tensor dropout once for all batches: trace "
                    "the layer in eval mode, or inside the network that it belongs to"
                )
            return weight.contract(x, self._path(None, "training", weight), self.bias, None)
        check_input(x, self.input_shape, weight.tensors[0])
        if drops:
            drawn = draw(dropout, weight.rank_modes, x.shape[0], x.device)
        elif self._keeps(weight, x):
            path = self._path(x.shape[0], "kept", weight)
            if path == "rebuild":
                rows = x.reshape(x.shape[0], math.prod(self.input_shape))  # (B, P)
                y = linear_rows(rows, self._kept_rows(weight), self.bias)  # (B, P) x (N, P)
                return y.reshape(x.shape[0], *self.output_shape)
            return weight.contract(x, path, self.bias, None)
        passes = "training" if learns() else "eval"
        runs = x.is_cuda and not torch.compiler.is_compiling()
        if runs and torch.cuda.is_current_stream_capturing():
            passes = f"graphed {passes}"
        path = self._path(x.shape[0], passes, weight)
        if runs and (y := self._captured_pass(x, path, weight, drawn)) is not None:
            return as_linear(y, x)
        masks = None
        if drawn is not None:
            masks = masks_of(dropout, weight.rank_modes, drawn, weight.tensors[0].dtype)
            if not dropout.per_sample:
                weight, masks = weight.masked(masks), None
        return as_linear(weight.contract(x, path, self.bias, masks), x)

    def _captured_pass(
        self, x: Tensor, path: str, weight: Weight, drawn: Tensor | None
    ) -> Tensor | None:
        """A forward pass whose factor side is one launch; None where something speaks against it.

        ``drawn`` are the random numbers of tensor dropout.
        """
        dropout = self._dropout
        if drawn is not None and dropout.per_sample:
            return None
        if path not in self._captured or not captured.able(x, weight.tensors):
            return None
        make = captured.of(weight, path, len(self.input_shape), dropout)
        y = self._programs.contract(path, make, weight.tensors, x, self.bias, drawn)
        return y.reshape(x.shape[0], *self.output_shape)

    @property
    def rank_modes(self) -> tuple[int, ...]:
        """The sizes of the modes that tensor dropout and :meth:`prune` work on."""
        return self._weight().rank_modes

    @property
    def dropout(self) -> TensorDropout:
        """The tensor dropout in force; a number sets its ``p`` with the other defaults."""
        return self._dropout

    @dropout.setter
    def dropout(self, dropout: float | TensorDropout) -> None:
        self._choose_paths(self._contraction, dropout)

    @property
    def contraction(self) -> str:
        """The path that every batch takes; "auto" where the cost model chooses."""
        return self._contraction

    @contraction.setter
    def contraction(self, contraction: str) -> None:
        self._choose_paths(contraction, self._dropout)

    def explain(self, batch_size: int) -> Plan:
        """Compare the paths for a batch size, in the mode that the layer is in.

        Parameters
        ----------
        batch_size : int

        Returns
        -------
        Plan
            Prints as a table, with a mark at the path that such a batch takes.

        Raises
        ------
        ValueError
            If there is no sample in the batch.

        Examples
        --------
        >>> from trlkit import CPTRL
        >>> print(CPTRL((512, 7, 7), 1000, rank=100).eval().explain(batch_size=32))
        cp (512, 7, 7) -> (1000,), rank 100: forward of 32 samples on cpu
          path                   MFLOP    MB moved     MB held     est. ms
          ...
        """
        device = self._weight().tensors[0].device.type
        kept = not self.training and device == "cpu"
        size = operator.index(batch_size)
        if size < 1:
            raise ValueError(f"batch_size={size}, but a batch has at least one sample")
        found = self._plan(size, training=self.training, kept=kept)
        if self._contraction != "auto":
            found = dataclasses.replace(found, path=self._contraction)
        return found

    def to_dense(self) -> Tensor:
        """Build the full weight.

        Returns
        -------
        Tensor of shape (*input_shape, *output_shape)
            Differentiable with respect to the factors.

        Examples
        --------
        >>> from trlkit import TTTRL
        >>> TTTRL((4, 5), 3, rank=2).to_dense().shape
        torch.Size([4, 5, 3])
        """
        return self._weight().dense()

    def extra_repr(self) -> str:
        """The shapes, the rank and what is set, as the constructor takes them."""
        parts = [
            f"input_shape={self.input_shape}",
            f"output_shape={self.output_shape}",
            f"rank={self.rank}",
            f"bias={self.bias is not None}",
        ]
        default = TensorDropout(self._dropout.p)
        if self._dropout.p > 0:
            parts.append(f"dropout={default.p if self._dropout == default else self._dropout}")
        if self._contraction != "auto":
            parts.append(f"contraction={self._contraction!r}")
        parts += [f"{name}={value}" for name, value in self._options().items() if value]
        return ", ".join(parts)

    def train(self, mode: bool = True) -> "TRL":
        """As :meth:`torch.nn.Module.train`; a weight that was kept is let go."""
        self._kept = None
        return super().train(mode)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_kept": None, "_programs": self._new_programs()}

    def _apply(self, fn, recurse: bool = True) -> "TRL":
        super()._apply(fn, recurse)
        self._choose_paths(self._contraction, self._dropout)
        return self

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing, unexpected, errors
    ) -> None:
        found = {name: state_dict.get(prefix + name) for name, _ in self.named_parameters()}
        shapes = {name: tuple(saved.shape) for name, saved in found.items() if saved is not None}
        wrong = [name for name, shape in shapes.items() if shape != self.get_parameter(name).shape]
        if wrong:
            # torch lists every wrong shape below; what they have in common is said once.
            errors.append(
                f"the saved {prefix}{wrong[0]} has shape {shapes[wrong[0]]}, which is not of "
                f"{type(self).__name__}({self.extra_repr()}): make the layer with the shapes and "
                f"rank that were saved"
            )
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing, unexpected, errors
        )

    def _assign(self, tensors: Sequence[Tensor]) -> None:
        """Set the tensors of the weight, all or none."""
        for module, name in self._places():
            settable(module, name)
        for (module, name), tensor in zip(self._places(), tensors, strict=True):
            assign(module, name, tensor)

    def _options(self) -> dict:
        """Constructor arguments that this class alone has."""
        return {}

    def _allowed(self, contraction: str, dropout: TensorDropout) -> tuple[str, ...]:
        """The paths to choose from; a ValueError if a name or combination is wrong."""
        known = PATHS[self.factorization]
        if contraction != "auto" and contraction not in known:
            raise ValueError(f'contraction={contraction!r}, but it must be "auto" or in {known}')
        allowed = known if contraction == "auto" else (contraction,)
        if not (dropout.per_sample and dropout.p > 0):
            return allowed
        able = PER_SAMPLE_PATHS[self.factorization]
        both = tuple(path for path in allowed if path in able)
        if not both:
            raise ValueError(
                f"contraction={contraction!r} shares one weight in the batch, so it cannot drop "
                f'per sample: contraction="auto" or one of {able} can'
            )
        return both

    def _what(self) -> tuple[tuple, dict]:
        """What :func:`plan` and :func:`scheduled` take of the layer."""
        own = self._weight().tensors[0]
        paths = self._paths if self._contraction == "auto" else None
        options = {"device": own.device.type, "itemsize": own.dtype.itemsize, "paths": paths}
        return (self.factorization, self.input_shape, self.output_shape, self.rank), options

    def _plan(self, batch_size: int, training: bool, kept: bool) -> Plan:
        what, options = self._what()
        return plan(*what, batch_size, training=training, kept=kept, **options)

    def _choose_paths(self, contraction: str, dropout: float | TensorDropout) -> None:
        """Tabulate the choice of path once, so that a forward pass only looks it up."""
        dropout = dropout if isinstance(dropout, TensorDropout) else TensorDropout(dropout)
        weight = self._weight()
        dropout.modes_of(weight.rank_modes)
        self._paths = self._allowed(contraction, dropout)
        self._contraction, self._dropout = contraction, dropout
        # The full weight as rows, and copies of the factors that it was built from.
        self._kept: tuple[Tensor, list[Tensor]] | None = None
        self._programs = self._new_programs()
        most = CAPTURED_BYTES // (weight.tensors[0].itemsize * math.prod(self.input_shape))
        what, options = self._what()
        self._captured = {p for p in self._paths if 0 < columns_of(p, *what) <= most}
        self._tabulated_for = _place(weight)
        self._schedules = {
            name: scheduled(*what, **options, **setting)
            if len(self._paths) > 1
            else ((1, self._paths[0]),)
            for name, setting in _SETTINGS.items()
            if not (setting.get("graphed") and self._tabulated_for[0] == "cpu")
        }

    def _new_programs(self) -> captured.Programs:
        names = {id(module): name for name, module in self.named_children()}
        places = [(names.get(id(module), ""), name) for module, name in self._places()]
        return captured.Programs(places, self.input_shape, self.output_shape)

    def _path(self, batch_size: object, setting: str, weight: Weight | None = None) -> str:
        # Parameters can be exchanged without _apply: by load_state_dict(assign=True), for one.
        known = batch_size is not None and not torch.compiler.is_compiling()
        if known and self._tabulated_for != _place(weight or self._weight()):
            self._choose_paths(self._contraction, self._dropout)
        size = planned_batch(batch_size)
        for last, path in self._schedules[setting]:
            if size <= last:
                return path
        return path

    def _keeps(self, weight: Weight, x: Tensor) -> bool:
        """Whether the full weight may outlive this forward pass."""
        if self.training or torch.is_grad_enabled():
            return False
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return False
        if torch.is_autocast_enabled("cpu"):
            return False  # what is built here has a lower precision than a later batch may need
        if type(x.new_empty(0)) is not Tensor:
            return False  # a fake tensor, or a mode that makes others than it is given
        # Tensors put in a parameter's place by torch.func are of another type.
        own = all(type(t) is nn.Parameter and t.device.type == "cpu" for t in weight.tensors)
        small = math.prod(weight.shape) <= KEPT_ELEMENTS
        return own and (small or self._contraction == "rebuild")

    def _kept_rows(self, weight: Weight) -> Tensor:
        """The full weight (N, P), built anew unless the factors equal those it was built from."""
        kept = self._kept
        if kept is None or not all(map(_equal, weight.tensors, kept[1])):
            rows = as_rows(weight.dense(), len(self.input_shape))
            kept = rows, [tensor.detach().clone() for tensor in weight.tensors]
            self._kept = kept
        return kept[0]


def autocasts(x: Tensor) -> bool:
    """Whether autocast lowers the precision of a linear layer's output on x's device.

    Examples
    --------
    >>> with torch.autocast("cpu", dtype=torch.bfloat16):
    ...     autocasts(torch.ones(1)), autocasts(torch.ones(1, dtype=torch.float64))
    (True, False)
    """
    kind = x.device.type
    return kind != "meta" and x.dtype != torch.float64 and torch.is_autocast_enabled(kind)


def as_linear(y: Tensor, x: Tensor) -> Tensor:
    """An output in the dtype that :class:`torch.nn.Linear` gives for x: autocast's, where it is on.

    Examples
    --------
    >>> with torch.autocast("cpu", dtype=torch.bfloat16):
    ...     as_linear(torch.ones(1), torch.ones(1)).dtype
    torch.bfloat16
    """
    return y.to(torch.get_autocast_dtype(x.device.type)) if autocasts(x) else y


def check_input(x: Tensor, input_shape: tuple[int, ...], own: Tensor) -> None:
    """Raise an error that says what is wrong with a batch for a layer, and how to mend it.

    Parameters
    ----------
    x : Tensor of shape (B, *input_shape)
    input_shape : tuple of int
    own : Tensor
        One of the layer's, for its dtype and device.

    Raises
    ------
    TypeError
        If ``x`` is not floating, or of another dtype where autocast does not change both.
    ValueError
        If ``x`` has another shape, no batch mode, or is on another device.
    """
    if not isinstance(x, Tensor):
        mend = f"torch.as_tensor(x, dtype={own.dtype}, device={str(own.device)!r})"
        mend = "give it the activation" if x is None else mend
        raise TypeError(f"x is a {type(x).__name__}, but a layer takes a floating tensor: {mend}")
    if not x.is_floating_point():
        mend = "x.real or x.abs()" if x.is_complex() else f"x.to({own.dtype})"
        raise TypeError(f"x is {x.dtype}, but a layer takes a floating tensor: {mend}")
    shape = sizes_of(x)
    if not shape or shape[1:] != input_shape:
        expected = ", ".join(["B", *map(str, input_shape)])
        mend = "input_shape is of other inputs, or what comes before the layer has changed"
        if shape == input_shape:
            mend = "it has no batch mode, which x.unsqueeze(0) adds"
        elif len(shape) <= 2:
            mend = "a layer takes the activation before it is flattened"
        raise ValueError(f"x has shape {shape}, but the layer takes ({expected}): {mend}")
    if x.device != own.device:
        raise ValueError(
            f"x is on {x.device}, but the layer on {own.device}: x.to({str(own.device)!r})"
        )
    if x.dtype != own.dtype and (own.dtype == torch.float64 or not autocasts(x)):
        raise TypeError(f"x is {x.dtype}, but the layer {own.dtype}: x.to({own.dtype})")


def floating(dtype: torch.dtype | None) -> torch.dtype | None:
    """The dtype, or a TypeError if parameters cannot have it.

    Examples
    --------
    >>> floating(torch.float64)
    torch.float64
    """
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype={dtype!r}, but it must be one of torch's, as torch.float32")
    if dtype is not None and not dtype.is_floating_point:
        raise TypeError(f"dtype={dtype}, but the parameters must be floating, as torch.float32")
    return dtype


def _place(weight: Weight) -> tuple[str, torch.dtype]:
    own = weight.tensors[0]
    return own.device.type, own.dtype


def _equal(tensor: Tensor, other: Tensor) -> bool:
    return (
        tensor.dtype == other.dtype and tensor.shape == other.shape and torch.equal(tensor, other)
    )
