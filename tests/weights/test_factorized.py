"""Factorized weights and decompositions against their dense tensors."""

import math
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import DEVICES, LAYERS, close, dense_weight, examples, layers
from torch import nn

from trlkit import TCL
from trlkit.ranks import full_rank, validate_rank
from trlkit.weights.decomposition import decompose, decompose_up_to, relative_error
from trlkit.weights.factorized import CPWeight, TTWeight, TuckerWeight

KINDS = {"cp": CPWeight, "tucker": TuckerWeight, "tt": TTWeight}
each_factorization = pytest.mark.parametrize("factorization", sorted(KINDS))
each_device = pytest.mark.parametrize("device", DEVICES)
few = {"cp": 2, "tucker": (2, 3, 2), "tt": (1, 2, 2, 1)}


def root_mean_square(make, input_shape, at_least=5):
    """Over as many seeds as bring the standard error of its square below 4 %."""
    squares = []
    for seed in range(200):
        torch.manual_seed(seed)
        with torch.no_grad():
            squares.append(make()(torch.randn(64, *input_shape)).square().mean().item())
        if seed + 1 >= at_least:
            found = torch.tensor(squares)
            if found.std() / math.sqrt(len(squares)) < 0.04 * found.mean():
                break
    return math.sqrt(sum(squares) / len(squares))


@pytest.mark.parametrize("rank", [1, 2, 10, 100, 1000])
@pytest.mark.parametrize(
    ("inputs", "outputs"), [((64, 7, 7), (10,)), ((16, 5), (4, 6)), ((40,), (1, 3))]
)
@each_factorization
def test_outputs_start_with_the_spread_of_a_linear_layer(factorization, inputs, outputs, rank):
    order = len(inputs + outputs)
    if factorization == "tucker":
        rank = tuple(min(rank, size + 2) for size in inputs + outputs)
    elif factorization == "tt":
        rank = (1, *[min(rank, 200)] * (order - 1), 1)
    flat = math.prod(inputs)
    expected = root_mean_square(lambda: nn.Linear(flat, math.prod(outputs)), (flat,))
    found = root_mean_square(lambda: LAYERS[factorization](inputs, outputs, rank), inputs)
    assert found == pytest.approx(expected, rel=0.15)


def test_outputs_of_a_contraction_layer_start_with_the_spread_of_a_linear_layer():
    expected = root_mean_square(lambda: nn.Linear(64 * 49, 10), (64 * 49,))
    found = root_mean_square(lambda: TCL((64, 7, 7), (16, 3, 3)), (64, 7, 7), at_least=20)
    assert found == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@each_factorization
def test_every_dtype_starts_alike(factorization, dtype):
    torch.manual_seed(1)
    layer = LAYERS[factorization]((8, 3), 4, 3, dtype=dtype)
    torch.manual_seed(1)
    single = LAYERS[factorization]((8, 3), 4, 3)
    expected = dense_weight(single)
    close(dense_weight(layer), expected, torch.float16 if dtype == torch.float64 else dtype)


@each_factorization
@examples
@given(data=st.data())
def test_padding_keeps_the_weight_and_lets_it_learn(factorization, data):
    layer = data.draw(layers(factorization, dtype=torch.float64))
    weight = layer._weight()
    if factorization == "cp":
        rank = weight.rank + 2
    elif factorization == "tucker":
        rank = tuple(r + 1 for r in weight.rank)
    else:
        rank = (1, *(r + 2 for r in weight.rank[1:-1]), 1)
    padded = weight.padded(rank)
    assert padded.rank == rank and padded.shape == weight.shape
    close(padded.dense(), dense_weight(layer))
    if factorization != "tt" or len(weight.shape) > 1:
        tensors = [tensor.detach().requires_grad_() for tensor in padded.tensors]
        weight.of(tensors).dense().sum().backward()
        before = [tensor.shape for tensor in weight.tensors]
        extra = 0.0
        for tensor, shape in zip(tensors, before, strict=True):
            grown = tensor.grad.clone()
            grown[tuple(slice(size) for size in shape)] = 0
            extra += grown.abs().sum().item()
        assert extra > 0


@each_factorization
@examples
@given(data=st.data())
def test_selecting_components_is_masking_the_others(factorization, data):
    layer = data.draw(layers(factorization, dtype=torch.float64))
    weight = layer._weight()
    kept = [
        torch.tensor(sorted(data.draw(st.sets(st.integers(0, r - 1), min_size=1))))
        for r in weight.rank_modes
    ]
    masks = [
        torch.zeros(r, dtype=torch.float64).index_fill(0, indices, 1)
        for r, indices in zip(weight.rank_modes, kept, strict=True)
    ]
    smaller = weight.selected(kept)
    assert smaller.rank_modes == tuple(len(indices) for indices in kept)
    close(smaller.dense(), weight.masked(masks).dense())


@each_factorization
@examples
@given(data=st.data())
def test_norms_are_those_of_what_a_component_adds_to_the_weight(factorization, data):
    weight = data.draw(layers(factorization, dtype=torch.float64))._weight()
    for mode, (norms, r) in enumerate(zip(weight.norms(), weight.rank_modes, strict=True)):
        for index in range(r):
            kept = [torch.arange(size) for size in weight.rank_modes]
            kept[mode] = torch.tensor([index])
            close(norms[index], weight.selected(kept).dense().norm())


def test_repeating_a_mode_repeats_the_weight():
    for factorization, layer in LAYERS.items():
        weight = layer((4, 1), 2, 3 if factorization != "tucker" else (2, 3, 2))._weight()
        close(weight.repeated(1, 5).dense(), weight.dense().expand(4, 5, 2), torch.float32)


@each_device
@each_factorization
def test_a_weight_of_low_rank_is_found_again(factorization, device):
    torch.manual_seed(0)
    planted = LAYERS[factorization]((6, 5), 4, few[factorization], device=device)
    weight = planted.to_dense().detach()
    found = decompose(weight, few[factorization], factorization)
    assert found.tensors[0].device == weight.device and found.rank == planted.rank
    assert relative_error(weight, found.dense()) < 1e-3


@examples
@given(
    data=st.data(),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    factorization=st.sampled_from(["tucker", "tt"]),
)
def test_full_rank_decompositions_are_exact(data, shape, factorization):
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    weight = torch.randn(shape, dtype=torch.float64)
    found = decompose(weight, full_rank(shape, factorization), factorization)
    assert relative_error(weight, found.dense()) < 1e-10


@examples
@given(
    ones=st.lists(st.integers(0, 4), max_size=2),
    sizes=st.lists(st.integers(2, 6), max_size=2),
    rank=st.integers(1, 6),
)
def test_cp_of_a_matrix_is_its_best_approximation(ones, sizes, rank):
    torch.manual_seed(0)
    weight = torch.randn(sizes, dtype=torch.float64)
    values = torch.linalg.svdvals(weight.reshape(sizes[0] if sizes else 1, -1))
    for position in ones:
        weight = weight.unsqueeze(min(position, weight.ndim))
    if weight.ndim == 0:
        return
    rank = min(rank, full_rank(weight.shape, "cp"))
    found = decompose(weight, rank, "cp")
    close((weight - found.dense()).norm(), values[rank:].norm())
    columns = torch.stack([factor.norm(dim=0) for factor in found.factors])
    close(columns, columns[:1].expand_as(columns))


def test_tucker_columns_beyond_the_rank_of_the_unfolding_carry_nothing():
    weight = torch.randn(10, 12, dtype=torch.float64)
    found = decompose(weight, (10, 12), "tucker")
    assert found.rank == (10, 12)
    assert relative_error(weight, found.dense()) < 1e-10


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@each_factorization
def test_decompositions_keep_the_dtype(factorization, dtype):
    weight = torch.randn(4, 3, 2).to(dtype)
    rank = validate_rank((4, 3, 2), 1, factorization)
    assert decompose(weight, rank, factorization).tensors[0].dtype == dtype


@pytest.mark.parametrize("backend", ["numpy", "pytorch"])
@each_factorization
def test_tensorlys_backend_is_left_alone(factorization, backend):
    import tensorly

    before = tensorly.get_backend()
    tensorly.set_backend(backend)
    try:
        seen = []
        decompose(torch.randn(4, 3, 2), validate_rank((4, 3, 2), 2, factorization), factorization)
        other = threading.Thread(target=lambda: seen.append(tensorly.get_backend()))
        other.start()
        other.join()
        assert [tensorly.get_backend(), *seen] == [backend, backend]
    finally:
        tensorly.set_backend(before)


def test_relative_error_of_nothing_is_zero():
    assert relative_error(torch.zeros(3), torch.zeros(3)) == 0.0


@pytest.mark.parametrize(
    ("shape", "rank", "factorization", "possible"),
    [
        ((4, 3, 2), 7, "cp", "6"),
        ((4, 3, 2), (5, 3, 2), "tucker", r"\(4, 3, 2\)"),
        ((4, 3, 2), (1, 5, 2, 1), "tt", r"\(1, 4, 2, 1\)"),
        ((4, 3, 9), (1, 1, 5, 1), "tt", r"\(1, 1, 3, 1\)"),
    ],
)
def test_a_rank_above_what_a_decomposition_gives_is_refused(shape, rank, factorization, possible):
    weight = torch.randn(shape)
    with pytest.raises(ValueError, match=f"is above what the .* can give: use rank={possible}"):
        decompose(weight, rank, factorization)
    assert relative_error(weight, decompose_up_to(weight, rank, factorization).dense()) < 1.0


@each_factorization
def test_a_weight_with_nan_is_refused(factorization):
    weight = torch.ones(4, 3, 2)
    weight[0, 0, 0], weight[1, 0, 0] = float("nan"), float("inf")
    with pytest.raises(ValueError, match="2 of the 24 entries of the weight are NaN or infinite"):
        decompose(weight, validate_rank((4, 3, 2), 1, factorization), factorization)


@pytest.mark.parametrize("weight", [torch.ones(4, 3, dtype=torch.int64), [[1.0]]])
def test_a_weight_that_is_no_floating_tensor_is_refused(weight):
    with pytest.raises(TypeError, match="must be a floating tensor, got"):
        decompose(weight, 1, "cp")


@pytest.fixture
def default_dtype(request):
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", [None, torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "default_dtype", [torch.bfloat16, torch.float16, torch.float64], indirect=True
)
@pytest.mark.parametrize("make", [*LAYERS.values(), TCL])
def test_start_values_are_drawn_alike_whatever_the_default_dtype(make, default_dtype, dtype):
    arguments = ((12, 5, 5), 4) if make is TCL else ((12, 5, 5), 7, 4)
    torch.manual_seed(2)
    layer = make(*arguments, dtype=dtype)
    torch.manual_seed(2)
    single = make(*arguments, dtype=torch.float32)
    for found, expected in zip(layer.parameters(), single.parameters(), strict=True):
        assert found.dtype == (dtype or default_dtype)
        assert torch.equal(found, expected.to(found.dtype))


@pytest.mark.parametrize("default_dtype", [torch.bfloat16, torch.float16], indirect=True)
@each_factorization
def test_every_conversion_works_in_a_coarse_default_dtype(factorization, default_dtype):
    layer = LAYERS[factorization]((6, 2, 2), 5, 2)
    linear = nn.Linear(6, 5)
    layer.init_from_linear(linear.weight, linear.bias, pooling_modes=(1, 2))
    again = type(layer).from_dense(layer.to_dense(), 2).prune(1e-3)
    x = torch.randn(3, 6, 2, 2)
    assert layer(x).dtype == again(x).dtype == default_dtype
