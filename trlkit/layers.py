"""The layers: CP, Tucker and TT regression, tensor contraction, and the rank penalty."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

from trlkit.contraction.paths import project
from trlkit.dropout import TensorDropout
from trlkit.ranks import as_shape, validate_rank
from trlkit.regression import TRL, Layer, Shape, as_linear, check_input, floating
from trlkit.weights.factorized import CPWeight, TTWeight, TuckerWeight, root
from trlkit.weights.parameters import assign, fill_, listed

fx.wrap("project")  # torch.fx records it whole, where a TCL itself is traced


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
        return CPWeight(listed(self.factors))

    def _places(self) -> list[tuple[nn.Module, str]]:
        return [(self.factors, str(mode)) for mode in range(len(self.factors))]

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
    contraction : {"auto", "rebuild", "merged", "project", "project_folded"}
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
        return TuckerWeight(self.core, listed(self.factors))

    def _places(self) -> list[tuple[nn.Module, str]]:
        return [(self, "core"), *((self.factors, str(mode)) for mode in range(len(self.factors)))]

    def _options(self) -> dict:
        return {"project_input": self.project_input}

    def _allowed(self, contraction: str, dropout: TensorDropout) -> tuple[str, ...]:
        if self.project_input and contraction in ("rebuild", "merged"):
            raise ValueError(
                f"contraction={contraction!r} does not project the input: leave project_input=False"
            )
        allowed = super()._allowed(contraction, dropout)
        if self.project_input:
            allowed = tuple(path for path in allowed if path.startswith("project"))
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
        return TTWeight(listed(self.cores))

    def _places(self) -> list[tuple[nn.Module, str]]:
        return [(self.cores, str(mode)) for mode in range(len(self.cores))]

    @staticmethod
    def _of_tensorly(decomposition) -> TTWeight:
        return TTWeight(tuple(torch.as_tensor(core) for core in decomposition))


class TCL(Layer):
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
        options = {"device": device, "dtype": floating(dtype)}
        self.factors = nn.ParameterList(torch.empty(size, **options) for size in sizes)
        self.bias = nn.Parameter(torch.empty(self.rank, **options)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the factors and the bias anew, with the variances of :class:`torch.nn.Linear`."""
        bound = 1 / math.sqrt(math.prod(self.input_shape))
        spread = (1 / 3) ** (1 / (2 * len(self.factors)))
        with torch.no_grad():
            for mode, factor in enumerate(listed(self.factors)):
                std, drawn = spread / math.sqrt(factor.shape[0]), torch.empty_like(factor)
                fill_(drawn, lambda drawn, std=std: drawn.normal_(0, std))
                assign(self.factors, str(mode), drawn)
            if self.bias is not None:
                bias = torch.empty_like(self.bias)
                fill_(bias, lambda drawn: drawn.uniform_(-bound, bound))
                assign(self, "bias", bias)

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
        factors = listed(self.factors)
        if isinstance(x, fx.Proxy):
            if (recorded := self._recorded(x)) is not None:
                return recorded
            y = project(x, factors)
            return y if self.bias is None else y + self.bias
        check_input(x, self.input_shape, factors[0])
        y = project(x, factors)
        return as_linear(y if self.bias is None else y + self.bias, x)

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
    if not isinstance(trl, TRL):
        raise TypeError(
            f"rank_penalty takes a CPTRL, TuckerTRL or TTTRL, not a {type(trl).__name__}: "
            f"sum it over the layers of a network that are one"
        )
    weight = trl._weight()
    nothing = weight.tensors[0].new_zeros(())  # a TT weight of one mode has no bonds
    return sum((root(norms, weight.n_slices).sum() for norms in weight.norms()), nothing)
