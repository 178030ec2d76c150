"""What tensor regression layers are made from and turned into."""

import math
import numbers
import operator
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from trlkit.ranks import validate_rank
from trlkit.weights.decomposition import decompose, decompose_up_to, relative_error
from trlkit.weights.factorized import Weight
from trlkit.weights.parameters import assign

Layer = TypeVar("Layer", bound="Convertible")


class Convertible:
    """The conversions of :class:`trlkit.regression.TRL`, whose layers these all are."""

    @classmethod
    def from_dense(
        cls: type[Layer],
        weight: Tensor,
        rank: int | float | str | Sequence[int],
        n_outputs: int = 1,
        bias: Tensor | None = None,
        **options,
    ) -> Layer:
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
        Layer of this class

        Raises
        ------
        TypeError
            If ``weight`` is not a floating tensor.
        ValueError
            If it holds NaN, or the rank is above what the decomposition can give.

        Examples
        --------
        >>> from trlkit import TTTRL
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
        cls: type[Layer], decomposition, n_outputs: int = 1, bias: Tensor | None = None, **options
    ) -> Layer:
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
        Layer of this class

        Examples
        --------
        >>> from trlkit import CPTRL
        >>> factors = [torch.ones(4, 2), torch.ones(5, 2), torch.ones(3, 2)]
        >>> CPTRL.from_tensorly((None, factors)).rank
        2
        """
        return cls._from_weight(cls._of_tensorly(decomposition), n_outputs, bias, **options)

    @classmethod
    def from_tltorch(cls: type[Layer], layer: nn.Module, **options) -> Layer:
        """Make a layer with the weight and bias of a ``tltorch.TRL``.

        Parameters
        ----------
        layer : tltorch.TRL
        **options
            ``dropout``, ``contraction`` and, for Tucker, ``project_input``.

        Returns
        -------
        Layer of this class

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

        Raises
        ------
        ImportError
            If tensorly-torch is not installed.

        Notes
        -----
        Needs tensorly-torch, whose import sets tensorly's backend to PyTorch.
        Tensor dropout has no effect on its layers, so none is carried over.
        """
        try:
            import tltorch
        except ImportError as error:
            raise ImportError(
                'to_tltorch needs tensorly-torch: pip install "trlkit[course]", or tensorly-torch'
            ) from error

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
        pooling_modes: int | Sequence[int] = (),
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
        pooling_modes : int or sequence of int
            The input modes, counted from 0, whose mean the linear layer saw; a negative one
            counts from the last.

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
        >>> from trlkit import TuckerTRL
        >>> linear = nn.Linear(10, 12)
        >>> trl = TuckerTRL((10, 4, 4), 12, rank=(10, 1, 1, 12))
        >>> error = trl.init_from_linear(linear.weight, linear.bias, pooling_modes=(1, 2))
        >>> x = torch.randn(2, 10, 4, 4)
        >>> torch.allclose(trl(x), linear(x.mean((2, 3))), atol=1e-5)
        True
        """
        n_inputs = len(self.input_shape)
        modes = [pooling_modes] if isinstance(pooling_modes, numbers.Integral) else pooling_modes
        modes = tuple(map(operator.index, modes))
        pooled = tuple(mode + n_inputs if mode < 0 else mode for mode in modes)
        if len(set(pooled)) < len(pooled) or any(not 0 <= mode < n_inputs for mode in pooled):
            raise ValueError(
                f"pooling_modes={modes}, but the layer has the input modes 0 to {n_inputs - 1}, "
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
            wanted = (first / share, *others)
            self._assign(wanted)
            if self.bias is not None:
                start = torch.zeros_like(self.bias) if bias is None else bias.view_as(self.bias)
                assign(self, "bias", start)
            own = self._weight()
            if not all(isinstance(tensor, nn.Parameter) for tensor in own.tensors):
                # What parametrizations make of the values may be something else.
                whole = small.expand(*self.input_shape, *self.output_shape) / share
                error = relative_error(whole, own.dense())
        return error

    def prune(self: Layer, tol: float) -> Layer:
        """Make a smaller layer without the components that are small beside the largest.

        Parameters
        ----------
        tol : float in [0, 1)
            A component goes if the norm of what it adds to the weight is at most
            ``tol`` times the largest in its rank mode.

        Returns
        -------
        Layer of this class
            With copies of the parameters that stay; this layer is left as it is.

        Raises
        ------
        TypeError
            If ``tol`` is no number.
        ValueError
            If ``tol`` is outside [0, 1).

        Examples
        --------
        >>> from trlkit import CPTRL
        >>> trl = CPTRL((4, 5), 3, rank=6)
        >>> with torch.no_grad():
        ...     _ = trl.factors[0][:, :4].zero_()
        >>> trl.prune(tol=1e-3).rank
        2
        """
        if isinstance(tol, bool) or not isinstance(tol, numbers.Real):
            raise TypeError(f"tol={tol!r}, but it must be a number in [0, 1)")
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

    @classmethod
    def _from_weight(cls, weight: Weight, n_outputs: int, bias: Tensor | None, **options) -> Layer:
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
        own = weight.tensors[0]
        options = {**options, "device": "meta", "dtype": own.dtype}
        layer = cls(shape[:split], shape[split:], 1, bias is not None, **options)
        layer.rank = validate_rank(shape, weight.rank, cls.factorization)
        empty = cls._kind.empty(shape, layer.rank, device="meta")
        expected = [tuple(tensor.shape) for tensor in empty.tensors]
        found = [tuple(tensor.shape) for tensor in weight.tensors]
        if found != expected:
            raise ValueError(
                f"the tensors of a {cls.factorization} weight of shape {shape} and rank "
                f"{weight.rank} have the shapes {expected}, but these have {found}"
            )
        layer._own(weight.of([tensor.detach().clone() for tensor in weight.tensors]))
        if bias is not None:
            layer.bias = nn.Parameter(bias.detach().to(own, copy=True))
        layer._choose_paths(layer._contraction, layer._dropout)
        return layer


def _largest(norms: Tensor, tol: float) -> Tensor:
    """The indices of the norms above tol times the largest; at least that one."""
    kept = norms > tol * norms.max()
    kept[norms.argmax()] = True
    return kept.nonzero().squeeze(1)
