"""What the tests compare with: dense float64 einsum, built from the factors letter by letter."""

import string

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st

from trlkit import CPTRL, TTTRL, TuckerTRL
from trlkit.contraction.costs import PATHS

# One body for both devices; the variant on the GPU is skipped where there is none.
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
        ],
    ),
]
LAYERS = {"cp": CPTRL, "tucker": TuckerTRL, "tt": TTTRL}
EVERY_PATH = [(name, path) for name, paths in PATHS.items() for path in paths]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 0.06, torch.float16: 0.01}
examples = settings(max_examples=40, deadline=None)


def close(found, expected, dtype=torch.float64):
    """Assert equality within the dtype's tolerance, beside the largest value expected."""
    scale = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
    torch.testing.assert_close(
        found.double(), expected.double(), rtol=0, atol=TOLERANCE[dtype] * scale
    )


def dense_weight(layer):
    """The full weight of a layer, in float64."""
    if layer.factorization == "tt":
        cores = [core.double() for core in layer.cores]
        bonds, modes = string.ascii_lowercase[: len(cores) + 1], string.ascii_uppercase
        terms = [bonds[k] + modes[k] + bonds[k + 1] for k in range(len(cores))]
        inner = torch.einsum(
            f"{','.join(terms)}->{bonds[0]}{modes[: len(cores)]}{bonds[-1]}", *cores
        )
        return inner.squeeze(0).squeeze(-1)
    factors = [factor.double() for factor in layer.factors]
    modes, ranks = string.ascii_uppercase[: len(factors)], string.ascii_lowercase
    if layer.factorization == "cp":
        terms = ",".join(mode + "r" for mode in modes)
        return torch.einsum(f"{terms}->{modes}", *factors)
    terms = ",".join(mode + ranks[k] for k, mode in enumerate(modes))
    core = layer.core.double()
    return torch.einsum(f"{ranks[: len(factors)]},{terms}->{modes}", core, *factors)


def dense_output(layer, x):
    """The output of a layer, in float64."""
    n = len(layer.input_shape)
    modes = string.ascii_uppercase[: n + len(layer.output_shape)]
    y = torch.einsum(f"b{modes[:n]},{modes}->b{modes[n:]}", x.double(), dense_weight(layer))
    return y if layer.bias is None else y + layer.bias.double()


def agrees(layer, x, dtype=torch.float64, run=lambda layer, x: layer(x)):
    """The layer's output and all of its gradients are those of a dense float64 einsum."""
    y, expected = run(layer, x), dense_output(layer, x)
    close(y, expected, dtype)
    wanted, direction = [x, *layer.parameters()], torch.randn_like(expected)
    before = [tensor.detach().clone() for tensor in wanted]
    found = torch.autograd.grad(y, wanted, direction.to(y.dtype))
    assert all(map(torch.equal, wanted, before))  # nothing was written over a factor
    for one, right in zip(found, torch.autograd.grad(expected, wanted, direction), strict=True):
        close(one, right, dtype)


@st.composite
def layers(draw, factorization=None, max_rank=5, **options):
    """A layer of 1 to 4 input modes, 0 to 3 output modes, any rank, sizes of 1 included."""
    torch.manual_seed(draw(st.integers(0, 2**20)))
    name = factorization or draw(st.sampled_from(sorted(LAYERS)))
    inputs = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    outputs = tuple(draw(st.lists(st.integers(1, 4), max_size=3)))
    ranks = st.integers(1, max_rank)
    order = len(inputs + outputs)
    if name == "cp":
        rank = draw(ranks)
    elif name == "tucker":
        rank = tuple(draw(st.lists(st.integers(1, 3), min_size=order, max_size=order)))
    else:
        rank = (1, *draw(st.lists(ranks, min_size=order - 1, max_size=order - 1)), 1)
    return LAYERS[name](inputs, outputs, rank, **options)
