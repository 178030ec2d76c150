"""Tensor regression and contraction layers: thin modules over factorized weights."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from trlkit.contraction import contract_dense, project
from trlkit.costs import PATHS, PER_SAMPLE_PATHS, Plan, plan, schedule
from trlkit.decomposition import decompose, decompose_up_to, relative_error
from trlkit.dropout import TensorDropout, draw_masks
from trlkit.factorized import CPWeight, TTWeight, TuckerWeight, Weight, root
from trlkit.orders import NOMINAL_BATCH
from trlkit.ranks import Rank, as_shape, validate_rank

Shape = int | Sequence[int]


class TRL(nn.Module):
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
        See :func:`trlkit.ranks.validate_rank`.
    bias : bool
    dropout : float or TensorDropout
        The probability of dropping a component of the weight.
    contraction : str
        "auto", or the path to take for every batch: see :data:`trlkit.costs.PATHS`.
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
        self.rank: Rank = validate_rank(shape, rank, self.factorization)
        weight = self._kind.empty(shape, self.rank, device=device, dtype=_floating(dtype))
        self._own(weight)
        like = weight.tensors[0]
        self.bias = nn.Parameter(like.new_empty(self.output_shape)) if bias else None
        self._contraction = "auto"
        self._dropout = TensorDropout(0.0)
        self._kept: tuple[Tensor, list[Tensor]] | None = None
        self.contraction = contraction
        self.dropout = dropout
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight and the bias anew, with the variances of :class:`torch.nn.Linear`."""
        bound = 1 / math.sqrt(math.prod(self.input_shape))
        with torch.no_grad():
            self._weight().initialize_(math.sqrt(math.prod(self.output_shape) / 3))
            if self.bias is not None:
                self.bias.uniform_(-bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Contract a batch with the weight.

        Parameters
        ----------
        x : Tensor of shape (B, *input_shape)

        Returns
        -------
        Tensor of shape (B, *output_shape)

        Raises
        ------
        TypeError
            If ``x`` is not floating, or of another dtype than the layer.
        ValueError
            If ``x`` has another shape, no batch mode, or is on another device.
        """
        weight = self._weight()
        check_input(x, self.input_shape, weight.tensors[0])
        dropout, masks = self._dropout, None
        if dropout.p > 0 and (self.training or dropout.drop_test):
            masks = draw_masks(dropout, weight.rank_modes, x.shape[0], weight.tensors[0])
            if not dropout.per_sample:
                weight, masks = weight.masked(masks), None
        elif self._keeps(weight):
            path = self._path(x.shape[0], "kept")
            if path == "rebuild":
                return contract_dense(x, self._kept_dense(weight), self.bias)
            return weight.contract(x, path, self.bias, None)
        passes = "training" if torch.is_grad_enabled() else "eval"
        return weight.contract(x, self._path(x.shape[0], passes), self.bias, masks)

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
        dropout = dropout if isinstance(dropout, TensorDropout) else TensorDropout(dropout)
        dropout.modes_of(self.rank_modes)
        self._choose_paths(self._contraction, dropout)

    @property
    def contraction(self) -> str:
        """ "auto", or the path that every batch takes."""
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

        Examples
        --------
        >>> print(CPTRL((512, 7, 7), 1000, rank=100).eval().explain(batch_size=32))
        cp (512, 7, 7) -> (1000,), rank 100: forward of 32 samples on cpu
          path                   MFLOP    MB moved     MB held     est. ms
          ...
        """
        device = self._weight().tensors[0].device.type
        kept = not self.training and device == "cpu"
        found = self._plan(batch_size, training=self.training, kept=kept)
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
        >>> TTTRL((4, 5), 3, rank=2).to_dense().shape
        torch.Size([4, 5, 3])
        """
        return self._weight().dense()

    @classmethod
    def from_dense(
        cls,
        weight: Tensor,
        rank: int | float | str | Sequence[int],
        n_outputs: int = 1,
        bias: Tensor | None = None,
        **options,
    ) -> "TRL":
        """Make a layer that approximates a full weight.

        Parameters
        ----------
        weight : Tensor of shape (*input_shape, *output_shape)
        rank : int, sequence of int, float in (0, 1], or "same"
        n_outputs : int
            How many of the last modes of ``weight`` are outputs.
        bias : Tensor of shape output_shape, optional
        **options
            ``dropout``, ``contraction`` and, for Tucker, ``project_input``.

        Returns
        -------
        TRL of this class

        Raises
        ------
        TypeError
            If ``weight`` is not a floating tensor.
        ValueError
            If it holds NaN, or the rank is above what the decomposition can give.

        Examples
        --------
        >>> weight = torch.ones(4, 5, 3)
        >>> torch.allclose(TTTRL.from_dense(weight, rank=1).to_dense(), weight)
        True
        """
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else ()
        rank = validate_rank(shape, rank, cls.factorization) if shape else rank
        found = decompose(weight, rank, cls.factorization)
        return cls._from_weight(found, n_outputs, bias, **options)

    @classmethod
    def from_tensorly(
        cls, decomposition, n_outputs: int = 1, bias: Tensor | None = None, **options
    ) -> "TRL":
        """Make a layer of a tensorly decomposition: a CP, Tucker or TT tensor.

        Parameters
        ----------
        decomposition : CPTensor, TuckerTensor or TTTensor of tensorly, or the equal tuple
            ``(weights, factors)``, ``(core, factors)`` or ``[cores]``, of torch or
            numpy arrays; as the layer's class asks for.
        n_outputs : int
            How many of the last modes are outputs.
        bias : Tensor of shape output_shape, optional
        **options
            ``dropout``, ``contraction`` and, for Tucker, ``project_input``.

        Returns
        -------
        TRL of this class

        Examples
        --------
        >>> factors = [torch.ones(4, 2), torch.ones(5, 2), torch.ones(3, 2)]
        >>> CPTRL.from_tensorly((None, factors)).rank
        2
        """
        return cls._from_weight(cls._of_tensorly(decomposition), n_outputs, bias, **options)

    @classmethod
    def from_tltorch(cls, layer: nn.Module, **options) -> "TRL":
        """Make a layer with the weight and bias of a ``tltorch.TRL``.

        Parameters
        ----------
        layer : tltorch.TRL
        **options
            ``dropout``, ``contraction`` and, for Tucker, ``project_input``.

        Returns
        -------
        TRL of this class

        Raises
        ------
        TypeError
            If ``layer`` has no factorized weight.
        ValueError
            If its weight is factorized in another way.
        """
        weight = getattr(layer, "weight", None)
        name = getattr(weight, "name", None)
        if not isinstance(name, str):
            raise TypeError(f"from_tltorch needs a tltorch.TRL, got a {type(layer).__name__}")
        if name.lower() != cls.factorization:
            mend = {"cp": "CPTRL", "tucker": "TuckerTRL", "tt": "TTTRL"}.get(name.lower())
            raise ValueError(
                f"{cls.__name__} is {cls.factorization}, but the layer's weight is {name}"
                + (f": use {mend}.from_tltorch" if mend else "")
            )
        parts = weight.decomposition
        found = cls._of_tensorly(parts if name == "TT" else (parts[0], list(parts[1])))
        return cls._from_weight(found, len(layer.output_shape), layer.bias, **options)

    def to_tltorch(self) -> nn.Module:
        """Make a ``tltorch.TRL`` with copies of this layer's weight and bias.

        Returns
        -------
        tltorch.TRL

        Notes
        -----
        Needs tensorly-torch, whose import sets tensorly's backend to PyTorch.
        Tensor dropout has no effect on its layers, so none is carried over.
        """
        import tltorch

        copies = [nn.Parameter(tensor.detach().clone()) for tensor in self._weight().tensors]
        if self.factorization == "cp":
            weight = tltorch.CPTensor(nn.Parameter(copies[0].new_ones(self.rank)), copies)
        elif self.factorization == "tucker":
            weight = tltorch.TuckerTensor(copies[0], copies[1:])
        else:
            weight = tltorch.TTTensor(copies)
        like = copies[0]
        layer = tltorch.TRL(
            self.input_shape,
            self.output_shape,
            bias=self.bias is not None,
            factorization=weight,
            device=like.device,
            dtype=like.dtype,
        )
        if self.bias is not None:
            with torch.no_grad():
                layer.bias.copy_(self.bias)
        return layer

    def init_from_linear(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        pooling_modes: Sequence[int] = (),
    ) -> float:
        """Start as a linear layer, after an average pooling of some input modes if asked.

        The parameters keep their identity, so an optimizer goes on with them. Rank
        that the linear layer does not need starts with no effect, and can learn.

        Parameters
        ----------
        weight : Tensor of shape (N, product of the sizes of the input modes not pooled)
            As in :class:`torch.nn.Linear`; N is the product of ``output_shape``.
        bias : Tensor of shape (N,), optional
            Without one the layer's bias becomes zero.
        pooling_modes : sequence of int
            The input modes, counted from 0, whose mean the linear layer saw.

        Returns
        -------
        float
            The relative error of the weight, in the Frobenius norm; 0 where the rank suffices.

        Raises
        ------
        TypeError
            If ``weight`` is not a floating tensor.
        ValueError
            If a shape or a mode does not fit, ``weight`` holds NaN, or there is a
            ``bias`` and the layer has none.

        Examples
        --------
        >>> linear = nn.Linear(10, 12)
        >>> trl = TuckerTRL((10, 4, 4), 12, rank=(10, 1, 1, 12))
        >>> error = trl.init_from_linear(linear.weight, linear.bias, pooling_modes=(1, 2))
        >>> x = torch.randn(2, 10, 4, 4)
        >>> torch.allclose(trl(x), linear(x.mean((2, 3))), atol=1e-5)
        True
        """
        n_inputs = len(self.input_shape)
        pooled = tuple(pooling_modes)
        if len(set(pooled)) < len(pooled) or any(not 0 <= mode < n_inputs for mode in pooled):
            raise ValueError(
                f"pooling_modes={pooled}, but the layer has the input modes 0 to {n_inputs - 1}, "
                f"and each can be pooled once"
            )
        if not isinstance(weight, Tensor):
            raise TypeError(
                f"weight is a {type(weight).__name__}, but init_from_linear takes the tensors "
                f"of a linear layer: linear.weight and linear.bias"
            )
        sizes = [1 if m in pooled else size for m, size in enumerate(self.input_shape)]
        outputs = math.prod(self.output_shape)
        if weight.shape != (outputs, math.prod(sizes)):
            raise ValueError(
                f"weight has shape {tuple(weight.shape)}, but with pooling_modes={pooled} the "
                f"layer stands for a linear layer of weight {(outputs, math.prod(sizes))}"
            )
        if bias is not None and self.bias is None:
            raise ValueError("bias was given, but the layer has none: make it with bias=True")
        if bias is not None and bias.numel() != outputs:
            raise ValueError(f"bias has shape {tuple(bias.shape)}, but it must be ({outputs},)")
        small = weight.detach().double().T.reshape(*sizes, *self.output_shape)
        found = decompose_up_to(small, self.rank, self.factorization)
        error = relative_error(small, found.dense())
        for mode in pooled:
            found = found.repeated(mode, self.input_shape[mode])
        # One factor takes the means of all pooled modes: (1 / I_k) for each.
        share = math.prod(self.input_shape[mode] for mode in pooled)
        first, *others = found.padded(self.rank).tensors
        with torch.no_grad():
            for own, tensor in zip(self._weight().tensors, (first / share, *others), strict=True):
                own.copy_(tensor)
            if self.bias is not None:
                self.bias.zero_() if bias is None else self.bias.copy_(bias.view_as(self.bias))
        return error

    def prune(self, tol: float) -> "TRL":
        """Make a smaller layer without the components that are small beside the largest.

        Parameters
        ----------
        tol : float in [0, 1)
            A component goes if the norm of what it adds to the weight is at most
            ``tol`` times the largest in its rank mode.

        Returns
        -------
        TRL of this class
            With copies of the parameters that stay; this layer is left as it is.

        Raises
        ------
        ValueError
            If ``tol`` is outside [0, 1).

        Examples
        --------
        >>> trl = CPTRL((4, 5), 3, rank=6)
        >>> with torch.no_grad():
        ...     _ = trl.factors[0][:, :4].zero_()
        >>> trl.prune(tol=1e-3).rank
        2
        """
        if not 0 <= tol < 1:
            raise ValueError(f"tol={tol}, but it must be in [0, 1): a share of the largest norm")
        weight = self._weight()
        with torch.no_grad():
            kept = [_largest(norms, tol) for norms in weight.norms()]
            smaller = weight.selected(kept)
            return self._from_weight(
                smaller,
                len(self.output_shape),
                self.bias,
                dropout=self._dropout,
                contraction=self._contraction,
                **self._options(),
            ).train(self.training)

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
        return {**self.__dict__, "_kept": None}

    def _apply(self, fn, recurse: bool = True) -> "TRL":
        super()._apply(fn, recurse)
        self._choose_paths(self._contraction, self._dropout)
        return self

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        for name, own in self.named_parameters():
            saved = state_dict.get(prefix + name)
            if saved is not None and saved.shape != own.shape:
                raise ValueError(
                    f"the saved {name} has shape {tuple(saved.shape)}, but in this layer it is "
                    f"{tuple(own.shape)}: make the layer with the shapes and rank that were saved "
                    f"(here rank={self.rank}), or load before prune"
                )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @classmethod
    def _from_weight(cls, weight: Weight, n_outputs: int, bias: Tensor | None, **options) -> "TRL":
        """A layer that owns copies of these tensors."""
        shape = weight.shape
        if not 0 <= n_outputs < len(shape):
            raise ValueError(
                f"n_outputs={n_outputs}, but of the {len(shape)} modes of the weight {shape} "
                f"0 to {len(shape) - 1} can be outputs"
            )
        split = len(shape) - n_outputs
        if bias is not None and tuple(bias.shape) != shape[split:]:
            raise ValueError(f"bias has shape {tuple(bias.shape)}, but it must be {shape[split:]}")
        layer = cls(
            shape[:split], shape[split:], weight.rank, bias is not None, device="meta", **options
        )
        layer._own(weight.of([tensor.detach().clone() for tensor in weight.tensors]))
        if bias is not None:
            layer.bias = nn.Parameter(bias.detach().to(weight.tensors[0], copy=True))
        layer._choose_paths(layer._contraction, layer._dropout)
        return layer

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

    def _plan(self, batch_size: int, training: bool, kept: bool) -> Plan:
        own = self._weight().tensors[0]
        return plan(
            self.factorization,
            self.input_shape,
            self.output_shape,
            self.rank,
            batch_size,
            training=training,
            kept=kept,
            device=own.device.type,
            itemsize=own.dtype.itemsize,
            paths=self._paths if self._contraction == "auto" else None,
        )

    def _choose_paths(self, contraction: str, dropout: TensorDropout) -> None:
        """Tabulate the choice of path once, so that a forward pass only looks it up."""
        self._paths = self._allowed(contraction, dropout)
        self._contraction, self._dropout, self._kept = contraction, dropout, None
        self._schedules = {
            name: schedule(lambda size, setting=setting: self._plan(size, **setting).path)
            if len(self._paths) > 1
            else ((1, self._paths[0]),)
            for name, setting in _SETTINGS.items()
        }

    def _path(self, batch_size: int, setting: str) -> str:
        if _is_exporting() or not isinstance(batch_size, int):
            # A comparison would restrict the program to the batch sizes of one path.
            batch_size = NOMINAL_BATCH
        for last, path in self._schedules[setting]:
            if batch_size <= last:
                return path
        return path

    def _keeps(self, weight: Weight) -> bool:
        """Whether the full weight may outlive this forward pass."""
        return not (
            self.training
            or torch.is_grad_enabled()
            or torch.compiler.is_compiling()
            or torch.jit.is_tracing()
        ) and all(
            # Tensors put in a parameter's place by torch.func are of another type.
            type(tensor) is nn.Parameter and tensor.device.type == "cpu"
            for tensor in weight.tensors
        )

    def _kept_dense(self, weight: Weight) -> Tensor:
        """The full weight, built anew unless the factors equal those it was built from."""
        kept = self._kept
        if kept is None or not all(map(_equal, weight.tensors, kept[1])):
            kept = weight.dense(), [tensor.detach().clone() for tensor in weight.tensors]
            self._kept = kept
        return kept[0]


class CPTRL(TRL):
    """Tensor regression layer whose weight is a sum of ``rank`` rank-1 tensors.

    Parameters
    ----------
    input_shape : int or sequence of int
        Without the batch.
    output_shape : int or sequence of int
    rank : int, float in (0, 1], or "same"
        The number of components, or the fraction of the dense parameters.
    bias : bool
    dropout : float or TensorDropout
    contraction : {"auto", "rebuild", "khatri_rao", "mode_by_mode"}
    device, dtype : optional

    Attributes
    ----------
    factors : ParameterList of (I_k, rank)
        For the input modes, then the output modes.
    bias : Parameter of shape output_shape, or None

    Raises
    ------
    TypeError, ValueError
        If a shape, rank, dropout or contraction is not one, with the mend.

    Notes
    -----
    Kossaifi et al., "Tensor Regression Networks", JMLR 21 (2020), with a CP weight.
    For keeping the full weight in eval mode see :class:`TRL`.

    Examples
    --------
    >>> trl = CPTRL((512, 7, 7), 10, rank=100, dropout=0.4)
    >>> trl(torch.randn(2, 512, 7, 7)).shape
    torch.Size([2, 10])
    >>> sum(parameter.numel() for parameter in trl.parameters())
    53610
    """

    factorization = "cp"
    _kind = CPWeight

    def _own(self, weight: CPWeight) -> None:
        self.factors = nn.ParameterList(weight.factors)

    def _weight(self) -> CPWeight:
        return CPWeight(tuple(self.factors))

    @staticmethod
    def _of_tensorly(decomposition) -> CPWeight:
        weights, factors = decomposition
        first, *others = map(torch.as_tensor, factors)
        return CPWeight((first if weights is None else first * torch.as_tensor(weights), *others))


class TuckerTRL(TRL):
    """Tensor regression layer whose weight is a core with a factor for each mode.

    Parameters
    ----------
    input_shape : int or sequence of int
        Without the batch.
    output_shape : int or sequence of int
    rank : int, sequence of int, float in (0, 1], or "same"
        One for each mode of the weight: input modes, then output modes.
    bias : bool
    dropout : float or TensorDropout
    contraction : {"auto", "rebuild", "project", "project_folded"}
    project_input : bool
        Never rebuild the weight: project the input's modes by the factors.
    device, dtype : optional

    Attributes
    ----------
    core : Parameter of shape rank
    factors : ParameterList of (I_k, rank[k])
        For the input modes, then the output modes.
    bias : Parameter of shape output_shape, or None

    Raises
    ------
    TypeError, ValueError
        If a shape, rank, dropout or contraction is not one, with the mend.

    Notes
    -----
    Kossaifi et al., "Tensor Regression Networks", JMLR 21 (2020).
    For keeping the full weight in eval mode see :class:`TRL`.

    Examples
    --------
    >>> trl = TuckerTRL((10, 4, 4), (12,), rank=(10, 1, 1, 12), project_input=True)
    >>> trl(torch.randn(2, 10, 4, 4)).shape
    torch.Size([2, 12])
    """

    factorization = "tucker"
    _kind = TuckerWeight

    def __init__(
        self,
        input_shape: Shape,
        output_shape: Shape,
        rank: int | float | str | Sequence[int],
        bias: bool = True,
        dropout: float | TensorDropout = 0.0,
        contraction: str = "auto",
        project_input: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        # Set before nn.Module's own set-up, because the paths are chosen in it.
        self.__dict__["project_input"] = project_input
        super().__init__(input_shape, output_shape, rank, bias, dropout, contraction, device, dtype)

    def _own(self, weight: TuckerWeight) -> None:
        self.core = nn.Parameter(weight.core)
        self.factors = nn.ParameterList(weight.factors)

    def _weight(self) -> TuckerWeight:
        return TuckerWeight(self.core, tuple(self.factors))

    def _options(self) -> dict:
        return {"project_input": self.project_input}

    def _allowed(self, contraction: str, dropout: TensorDropout) -> tuple[str, ...]:
        if self.project_input and contraction == "rebuild":
            raise ValueError(
                'contraction="rebuild" does not project the input: leave project_input=False'
            )
        allowed = super()._allowed(contraction, dropout)
        if self.project_input:
            allowed = tuple(path for path in allowed if path != "rebuild")
        return allowed

    @staticmethod
    def _of_tensorly(decomposition) -> TuckerWeight:
        core, factors = decomposition
        return TuckerWeight(torch.as_tensor(core), tuple(map(torch.as_tensor, factors)))


class TTTRL(TRL):
    """Tensor regression layer whose weight is a tensor train.

    Parameters
    ----------
    input_shape : int or sequence of int
        Without the batch.
    output_shape : int or sequence of int
    rank : int, sequence of int, float in (0, 1], or "same"
        The bonds, with a one at both ends.
    bias : bool
    dropout : float or TensorDropout
    contraction : {"auto", "rebuild", "merged", "left_to_right"}
    device, dtype : optional

    Attributes
    ----------
    cores : ParameterList of (rank[k], I_k, rank[k + 1])
        For the input modes, then the output modes.
    bias : Parameter of shape output_shape, or None

    Raises
    ------
    TypeError, ValueError
        If a shape, rank, dropout or contraction is not one, with the mend.

    Notes
    -----
    Kossaifi et al., "Tensor Regression Networks", JMLR 21 (2020), with the weight of
    Oseledets, "Tensor-Train Decomposition", SIAM J. Sci. Comput. 33 (2011).
    For keeping the full weight in eval mode see :class:`TRL`.

    Examples
    --------
    >>> trl = TTTRL((512, 7, 7), 10, rank=(1, 20, 20, 10, 1))
    >>> trl(torch.randn(2, 512, 7, 7)).shape
    torch.Size([2, 10])
    """

    factorization = "tt"
    _kind = TTWeight

    def _own(self, weight: TTWeight) -> None:
        self.cores = nn.ParameterList(weight.cores)

    def _weight(self) -> TTWeight:
        return TTWeight(tuple(self.cores))

    @staticmethod
    def _of_tensorly(decomposition) -> TTWeight:
        return TTWeight(tuple(torch.as_tensor(core) for core in decomposition))


class TCL(nn.Module):
    """Tensor contraction layer: multiply every mode of the activation by a small matrix.

    Parameters
    ----------
    input_shape : int or sequence of int
        Without the batch.
    rank : int or sequence of int
        The output's sizes, one for each input mode; an int for all.
    bias : bool
    device, dtype : optional

    Attributes
    ----------
    factors : ParameterList of (I_k, rank[k])
    bias : Parameter of shape rank, or None

    Raises
    ------
    TypeError, ValueError
        If a shape or a rank is not one, with the mend.

    Notes
    -----
    Kossaifi et al., "Tensor Contraction Layers for Parsimonious Deep Nets", CVPR
    workshops (2017). The output starts with the variance of :class:`torch.nn.Linear`'s.

    Examples
    --------
    >>> TCL((512, 7, 7), rank=(64, 3, 3))(torch.randn(2, 512, 7, 7)).shape
    torch.Size([2, 64, 3, 3])
    """

    def __init__(
        self,
        input_shape: Shape,
        rank: int | Sequence[int],
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_shape = as_shape(input_shape, "input_shape")
        if not self.input_shape:
            raise ValueError("input_shape=(), but a layer needs at least one input mode")
        if isinstance(rank, (float, str)):
            raise TypeError(
                f"rank={rank!r}, but the rank of a TCL is the shape of its output: "
                f"write an int or a tuple of ints"
            )
        self.rank = validate_rank(self.input_shape, rank, "tucker")
        sizes = zip(self.input_shape, self.rank, strict=True)
        options = {"device": device, "dtype": _floating(dtype)}
        self.factors = nn.ParameterList(torch.empty(size, **options) for size in sizes)
        self.bias = nn.Parameter(torch.empty(self.rank, **options)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the factors and the bias anew, with the variances of :class:`torch.nn.Linear`."""
        bound = 1 / math.sqrt(math.prod(self.input_shape))
        spread = (1 / 3) ** (1 / (2 * len(self.factors)))
        with torch.no_grad():
            for factor in self.factors:
                factor.normal_(0, spread / math.sqrt(factor.shape[0]))
            if self.bias is not None:
                self.bias.uniform_(-bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Project a batch.

        Parameters
        ----------
        x : Tensor of shape (B, *input_shape)

        Returns
        -------
        Tensor of shape (B, *rank)

        Raises
        ------
        TypeError, ValueError
            As :meth:`TRL.forward`.
        """
        check_input(x, self.input_shape, self.factors[0])
        y = project(x, list(self.factors))
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """The shapes, as the constructor takes them."""
        return f"input_shape={self.input_shape}, rank={self.rank}, bias={self.bias is not None}"


def rank_penalty(trl: TRL) -> Tensor:
    """A lasso on the components of a weight: added to a loss, it empties some whole.

    Parameters
    ----------
    trl : CPTRL, TuckerTRL or TTTRL

    Returns
    -------
    Tensor of shape ()
        The sum of the norms of all components, each to the power 1 / n, where n is
        the number of tensors that it has a slice in (CP: the modes; Tucker and TT:
        2). Differentiable; the components are those that :meth:`TRL.prune` removes.

    Notes
    -----
    Where a component's slices have one norm, as training leads them to, the n-th
    root of its own is that norm: a group lasso on slices, which does not weaken
    as they get small. The norms alone would not tell one component from two
    parallel ones of half the size.

    Examples
    --------
    >>> trl = CPTRL.from_tensorly((None, [torch.ones(4, 2), torch.ones(1, 2)]))
    >>> round(rank_penalty(trl).item(), 4)  # two components of norm 2
    2.8284
    """
    weight = trl._weight()
    nothing = weight.tensors[0].new_zeros(())  # a TT weight of one mode has no bonds
    return sum((root(norms, weight.n_slices).sum() for norms in weight.norms()), nothing)


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
        If ``x`` is not floating, or of another dtype while autocast is off.
    ValueError
        If ``x`` has another shape, no batch mode, or is on another device.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x is {kind}, but a layer takes a floating tensor: x.to({own.dtype})")
    if x.ndim == 0 or tuple(x.shape[1:]) != input_shape:
        expected = ", ".join(["B", *map(str, input_shape)])
        mend = "a layer takes the activation before it is flattened"
        if tuple(x.shape) == input_shape:
            mend = "it has no batch mode, which x.unsqueeze(0) adds"
        raise ValueError(f"x has shape {tuple(x.shape)}, but the layer takes ({expected}): {mend}")
    if x.device != own.device:
        raise ValueError(
            f"x is on {x.device}, but the layer on {own.device}: x.to({str(own.device)!r})"
        )
    if x.dtype != own.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"x is {x.dtype}, but the layer {own.dtype}: x.to({own.dtype})")


# The ways a forward pass is run: for each a choice of path is tabulated.
_SETTINGS = {
    "training": {"training": True, "kept": False},
    "eval": {"training": False, "kept": False},
    "kept": {"training": False, "kept": True},
}

# Newer than the oldest torch that trlkit runs on.
_is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)


def _floating(dtype: torch.dtype | None) -> torch.dtype | None:
    if dtype is not None and not dtype.is_floating_point:
        raise TypeError(f"dtype={dtype}, but the parameters must be floating, as torch.float32")
    return dtype


def _equal(tensor: Tensor, other: Tensor) -> bool:
    return (
        tensor.dtype == other.dtype and tensor.shape == other.shape and torch.equal(tensor, other)
    )


def _largest(norms: Tensor, tol: float) -> Tensor:
    """The indices of the norms above tol times the largest; at least that one."""
    kept = norms > tol * norms.max()
    kept[norms.argmax()] = True
    return kept.nonzero().squeeze(1)
