"""Factorize a full weight: tensorly's decompositions, in float64 on the CPU.

tensorly is imported when a weight is decomposed, and its backend is chosen for
the call alone: a program that uses tensorly with another backend sees no change.
"""

import warnings

import torch
from torch import Tensor

from trlkit.ranks import Rank, full_rank
from trlkit.weights.factorized import CPWeight, TTWeight, TuckerWeight, Weight


def decompose(weight: Tensor, rank: Rank, factorization: str) -> Weight:
    """Approximate a full weight by a factorized one.

    Parameters
    ----------
    weight : Tensor of shape (I_0, ..., I_N)
        Of any floating dtype, on any device.
    rank : int or tuple of int
        As :func:`trlkit.ranks.validate_rank` gives it.
    factorization : {"cp", "tucker", "tt"}

    Returns
    -------
    CPWeight, TuckerWeight or TTWeight
        In the weight's dtype, on its device.

    Raises
    ------
    TypeError
        If the weight is not a floating tensor.
    ValueError
        If it is a number or holds NaN or infinity, or the rank is above what the
        decomposition can give.

    Notes
    -----
    CP by alternating least squares (a matrix by its singular vectors), Tucker by
    higher-order orthogonal iteration, TT by successive singular value
    decompositions: Kolda and Bader (2009), sections 3 and 4; Oseledets (2011).

    Examples
    --------
    >>> matrix = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
    >>> torch.allclose(decompose(matrix, 1, "cp").dense(), matrix)
    True
    """
    possible = _possible_rank(weight, rank, factorization)
    if possible != rank:
        raise ValueError(
            f"rank={rank} is above what the {factorization} decomposition of a weight of shape "
            f"{tuple(weight.shape)} can give: use rank={possible}"
        )
    return decompose_up_to(weight, rank, factorization)


def decompose_up_to(weight: Tensor, rank: Rank, factorization: str) -> Weight:
    """Approximate a full weight by a factorized one, of a lower rank where that is all there is.

    Parameters
    ----------
    weight : Tensor of shape (I_0, ..., I_N)
    rank : int or tuple of int
    factorization : {"cp", "tucker", "tt"}

    Returns
    -------
    CPWeight, TuckerWeight or TTWeight
        See :meth:`CPWeight.padded` for the rank that is missing.

    Raises
    ------
    TypeError
        If the weight is not a floating tensor.
    ValueError
        If it holds NaN or infinity.

    Examples
    --------
    >>> decompose_up_to(torch.ones(2, 3), 100, "cp").rank
    2
    """
    rank = _possible_rank(weight, rank, factorization)
    weight64 = weight.detach().to("cpu", torch.float64)
    tensors = {"cp": _cp, "tucker": _tucker, "tt": _tt}[factorization](weight64, rank)
    kind = {"cp": CPWeight, "tucker": TuckerWeight, "tt": TTWeight}[factorization]
    return kind.of([tensor.to(weight).contiguous() for tensor in tensors])


def relative_error(weight: Tensor, approximation: Tensor) -> float:
    """Frobenius norm of the difference beside that of the weight; 0 when both are zero.

    Parameters
    ----------
    weight, approximation : Tensor of one shape

    Returns
    -------
    float

    Examples
    --------
    >>> relative_error(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 0.0]))
    0.8
    """
    weight, approximation = weight.detach().double(), approximation.detach().double()
    error = torch.linalg.vector_norm(weight - approximation)
    norm = torch.linalg.vector_norm(weight)
    return (error / norm).item() if norm > 0 else error.item()


def _possible_rank(weight: Tensor, rank: Rank, factorization: str) -> Rank:
    """The rank, or as much of it as the decomposition of a good weight can give."""
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        kind = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
        raise TypeError(f"a weight to decompose must be a floating tensor, got {kind}")
    if weight.ndim == 0:
        raise ValueError("a weight to decompose has at least one mode, but this is a number")
    wrong = weight.numel() - int(torch.isfinite(weight).sum())
    if wrong:
        raise ValueError(
            f"{wrong} of the {weight.numel()} entries of the weight are NaN or infinite; "
            f"a weight to decompose must be finite"
        )
    shape = tuple(weight.shape)
    if factorization == "cp":
        return min(rank, full_rank(shape, "cp"))
    if factorization == "tucker":
        return tuple(min(r, size) for r, size in zip(rank, shape, strict=True))
    possible = [1]
    for r, most, size in zip(rank[1:], full_rank(shape, "tt")[1:], shape, strict=True):
        possible.append(min(r, most, possible[-1] * size))
    return tuple(possible)


def _cp(weight: Tensor, rank: int) -> list[Tensor]:
    modes = [mode for mode, size in enumerate(weight.shape) if size > 1]
    squeezed = weight.squeeze()
    if len(modes) <= 2:
        # The best CP approximation of a matrix is known: no need to iterate.
        rows = squeezed.shape[0] if modes else 1
        left, values, right = torch.linalg.svd(
            squeezed.reshape(rows, squeezed.numel() // rows), full_matrices=False
        )
        found = [left[:, :rank] * values[:rank], right[:rank].T][: max(len(modes), 1)]
        if len(modes) < 2:
            found = [found[0] * right[:rank, 0]]
    else:
        tensorly, numpy_backend = _tensorly()
        from tensorly.decomposition import parafac

        array, starts = squeezed.numpy(), []
        with numpy_backend, warnings.catch_warnings():
            # tensorly fills up with random columns where a mode is smaller than the rank.
            warnings.filterwarnings("ignore", message="Trying to compute SVD")
            # Either start can stop at a saddle; seldom both do.
            for init in ("svd", "random"):
                weights, factors = parafac(
                    array, rank, init=init, n_iter_max=200, tol=1e-10, random_state=0
                )
                approximation = tensorly.cp_to_tensor((weights, factors))
                starts.append((((array - approximation) ** 2).sum(), weights, factors))
        _, weights, factors = min(starts, key=lambda start: start[0])
        found = [torch.from_numpy(factor) for factor in factors]
        found[0] = found[0] * torch.from_numpy(weights)
    factors = [torch.ones(1, rank, dtype=torch.float64) for _ in weight.shape]
    for mode, factor in zip(modes or [0], found, strict=True):
        factors[mode] = factor
    # Each component is spread evenly over its factors, so that they learn at one pace.
    columns = torch.stack([factor.norm(dim=0) for factor in factors])  # (N, R)
    even = columns.prod(0) ** (1 / len(factors))
    return [
        factor * torch.where(column > 0, even / column, 1.0)
        for factor, column in zip(factors, columns, strict=True)
    ]


def _tucker(weight: Tensor, rank: tuple[int, ...]) -> list[Tensor]:
    if weight.ndim == 1:  # tensorly has no Tucker tensor of one mode
        norm = weight.norm()
        vector = TuckerWeight(norm.reshape(1), (weight.unsqueeze(1) / (norm if norm > 0 else 1),))
        return list(vector.padded(rank).tensors)
    _, numpy_backend = _tensorly()
    from tensorly.decomposition import tucker

    # More columns than the unfolding has rank carry nothing: they are added afterwards.
    useful = list(map(min, rank, full_rank(weight.shape, "tucker")))
    with numpy_backend:
        core, factors = tucker(weight.numpy(), useful, random_state=0)
    found = TuckerWeight.of([torch.from_numpy(tensor.copy()) for tensor in (core, *factors)])
    return list(found.padded(rank).tensors)


def _tt(weight: Tensor, rank: tuple[int, ...]) -> list[Tensor]:
    if weight.ndim == 1:  # tensorly has no TT tensor of one mode
        return [weight.reshape(1, -1, 1)]
    _, numpy_backend = _tensorly()
    from tensorly.decomposition import tensor_train

    with numpy_backend:
        cores = tensor_train(weight.numpy(), list(rank))
    return [torch.from_numpy(core.copy()) for core in cores]


def _tensorly():
    """tensorly, and the context in which this thread uses it on numpy arrays."""
    try:
        import tensorly
    except ImportError as error:
        raise ImportError("decomposing a weight needs tensorly: pip install tensorly") from error
    return tensorly, tensorly.backend_context("numpy", local_threadsafe=True)
