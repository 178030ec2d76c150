import math
import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import LAYERS, examples
from torch import nn

from trlkit import (
    CPTRL,
    TCL,
    TTTRL,
    TensorDropout,
    fold,
    replace_classifier,
    tensor_dropout,
    unfold,
)
from trlkit.ranks import (
    as_shape,
    break_even_rank,
    cp_parameters,
    full_rank,
    rank_for_budget,
    tt_parameters,
    tucker_parameters,
    validate_rank,
)

COUNT = {"cp": cp_parameters, "tucker": tucker_parameters, "tt": tt_parameters}
FACTORIZATIONS = tuple(COUNT)
shapes = st.lists(st.integers(1, 12), min_size=1, max_size=6).map(tuple)


def raises(error, message):
    return pytest.raises(error, match=message)


@pytest.mark.parametrize("factorization", FACTORIZATIONS)
@examples
@given(shape=shapes, rank=st.integers(1, 9))
def test_parameters_are_those_of_the_factors_laid_out(factorization, shape, rank):
    rank = validate_rank(shape, rank, factorization)
    if factorization == "cp":
        factors = [(size, rank) for size in shape]
    elif factorization == "tucker":
        factors = [rank, *zip(shape, rank, strict=True)]
    else:
        factors = list(zip(rank[:-1], shape, rank[1:], strict=True))
    assert COUNT[factorization](shape, rank) == sum(math.prod(factor) for factor in factors)


@pytest.mark.parametrize("factorization", FACTORIZATIONS)
@examples
@given(shape=st.lists(st.integers(1, 40), min_size=2, max_size=5).map(tuple), data=st.data())
def test_fractions_mean_what_tensorly_means(factorization, shape, data):
    cp_tensor = pytest.importorskip("tensorly.cp_tensor")
    from tensorly import tt_tensor, tucker_tensor

    oracle = {
        "cp": cp_tensor.validate_cp_rank,
        "tucker": tucker_tensor.validate_tucker_rank,
        "tt": tt_tensor.validate_tt_rank,
    }[factorization]
    rank = data.draw(st.just("same") | st.integers(1, 99).map(lambda percent: percent / 100))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = oracle(shape, rank)
    if factorization == "cp":
        assert validate_rank(shape, rank, factorization) == max(expected, 1)
    else:
        assert validate_rank(shape, rank, factorization) == tuple(expected)


def test_a_vector_has_the_only_tt_rank():
    assert validate_rank((5,), "same", "tt") == validate_rank((5,), 3, "tt") == (1, 1)


def test_an_int_is_the_rank_of_every_mode_and_bond():
    assert validate_rank((4, 5, 6), 3, "cp") == 3
    assert validate_rank((4, 5, 6), 3, "tucker") == (3, 3, 3)
    assert validate_rank((4, 5, 6), 3, "tt") == (1, 3, 3, 1)


@pytest.mark.parametrize("factorization", FACTORIZATIONS)
@examples
@given(shape=shapes, budget=st.integers(1, 5000))
def test_a_budget_is_kept_and_no_entry_can_grow(factorization, shape, budget):
    count, full = COUNT[factorization], full_rank(shape, factorization)
    if count(shape, validate_rank(shape, 1, factorization)) > budget:
        with raises(ValueError, "at rank 1; allow at least these"):
            rank_for_budget(shape, (), factorization, budget)
        return
    rank = rank_for_budget(shape, (), factorization, budget)
    assert count(shape, rank) <= budget
    if factorization == "cp":
        assert rank == full or count(shape, rank + 1) > budget
        return
    for k, (r, most) in enumerate(zip(rank, full, strict=True)):
        assert r <= most
        assert r == most or count(shape, rank[:k] + (r + 1,) + rank[k + 1 :]) > budget


@pytest.mark.parametrize("factorization", FACTORIZATIONS)
def test_break_even_is_the_largest_rank_with_no_more_than_the_dense_parameters(factorization):
    rank = break_even_rank((512, 7, 7), 10, factorization)
    dense = 512 * 7 * 7 * 10
    assert COUNT[factorization]((512, 7, 7, 10), rank) <= dense
    if factorization == "cp":
        assert rank == dense // (512 + 7 + 7 + 10) == 468


def test_break_even_needs_a_weight_that_can_be_saved_on():
    with raises(ValueError, "has 3 parameters at rank 1"):
        break_even_rank((1, 1), 1, "cp")


def test_full_rank_is_what_represents_every_weight():
    assert full_rank((512, 7, 7, 10), "cp") == 490
    assert full_rank((3, 4, 15), "tucker") == (3, 4, 12)
    assert full_rank((2, 3, 50), "tt") == (1, 2, 6, 1)


@pytest.mark.parametrize(
    ("rank", "factorization", "error", "message"),
    [
        (0, "cp", ValueError, "rank=0, but a rank is at least 1"),
        (-2, "tt", ValueError, "rank=-2, but a rank is at least 1"),
        (0.0, "cp", ValueError, r"must be in \(0, 1\]; for a rank write an int"),
        (100.0, "tucker", ValueError, r"rank=100.0 is a float, so a fraction"),
        ("full", "cp", ValueError, 'the only rank with a name is "same"'),
        (True, "cp", TypeError, "a bool is not a number here"),
        (None, "cp", TypeError, "entry None of type NoneType"),
        ((2, 2.5, 2, 2), "tucker", TypeError, "entry 2.5 of type float"),
        ((8, 7, 7), "cp", TypeError, "CP has one rank for all modes: write an int"),
        ((8, 7, 7), "tucker", ValueError, "has 3 entries, but the weight .* has 4 modes"),
        ((8, 7, 7, 10), "tt", ValueError, "has 4 entries, but the weight .* has 5 bonds"),
        ((8, 0, 7, 7), "tucker", ValueError, "every entry must be at least 1"),
        ((2, 8, 7, 7, 1), "tt", ValueError, "a TT rank starts and ends with 1"),
        (3, "parafac", ValueError, 'it must be "cp", "tucker" or "tt"'),
    ],
)
def test_a_wrong_rank_says_what_came_and_what_is_expected(rank, factorization, error, message):
    with raises(error, message):
        validate_rank((512, 7, 7, 10), rank, factorization)


def test_a_wrong_shape_says_what_came():
    with raises(ValueError, r"input_shape=\(4, 0\), but every size must be at least 1"):
        as_shape((4, 0), "input_shape")
    with raises(TypeError, "output_shape='10' has the entry '10' of type str"):
        as_shape("10", "output_shape")


@pytest.mark.parametrize("factorization", ["tucker", "tt"])
def test_a_layer_of_an_immense_rank_has_the_full_rank_and_says_so(factorization):
    full = full_rank((12, 5, 5, 7), factorization)
    immense = {"tucker": (5000, 5, 5, 10**9), "tt": (1, 5000, 10**9, 7, 1)}[factorization]
    for rank in (5000, immense):
        with pytest.warns(UserWarning, match=re.escape(f"full rank {full}")) as caught:
            layer = LAYERS[factorization]((12, 5, 5), 7, rank)
        assert caught[0].filename == __file__
        assert layer.rank == full and layer(torch.randn(2, 12, 5, 5)).shape == (2, 7)


def test_a_rank_given_as_a_fraction_is_cut_without_a_word():
    for factorization, make in LAYERS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            layer = make((3, 2), 20, "same")
        full = full_rank((3, 2, 20), factorization)
        assert all(
            map(int.__le__, *((r,) if isinstance(r, int) else r for r in (layer.rank, full)))
        )


def test_more_cp_components_than_needed_are_a_choice_but_not_a_slip():
    assert CPTRL((4, 3), 2, 100).rank == 100
    with pytest.raises(ValueError, match="full rank 175"):
        CPTRL((12, 5, 5), 7, 10**10)


def test_tensors_of_a_higher_rank_than_needed_are_kept_as_they_are():
    cores = [torch.randn(1, 3, 9), torch.randn(9, 2, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer = TTTRL.from_tensorly(cores)
    assert layer.rank == (1, 9, 1)
    torch.testing.assert_close(layer.to_dense(), torch.einsum("aib,bjc->ij", *cores))


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8])
def test_numpys_numbers_are_numbers(integer):
    inputs, n = tuple(map(integer, (6, 3, 3))), integer(4)
    assert rank_for_budget(inputs, n, "tt", np.int64(90)) == rank_for_budget((6, 3, 3), 4, "tt", 90)
    for make in LAYERS.values():
        for rank in (integer(2), np.float32(0.5)):
            layer = make(inputs, n, rank, dropout=np.float32(0.5))
            plain = make((6, 3, 3), 4, int(rank) if rank > 1 else 0.5, dropout=0.5)
            assert repr(layer) == repr(plain)
        assert layer.explain(integer(5)).path == plain.explain(5).path
        dense = torch.randn(6, 3, 3, 4)
        again = make.from_dense(dense, integer(1), n_outputs=integer(2))
        assert again.output_shape == (3, 4)
        layer.init_from_linear(torch.randn(4, 6), pooling_modes=map(integer, (1, 2)))
        dropped = tensor_dropout(layer, np.float64(0.5), modes=[integer(0)])
        assert dropped.dropout == TensorDropout(0.5, modes=(0,))
    assert TCL(inputs, integer(2))(torch.ones(1, 6, 3, 3)).shape == (1, 2, 2, 2)
    x = torch.arange(24).reshape(2, 3, 4)
    assert torch.equal(fold(unfold(x, integer(1)), integer(1), map(integer, (2, 3, 4))), x)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten(), nn.Linear(216, 4))
    report = replace_classifier(net, n, rank=integer(2), input_size=map(integer, (3, 8, 8)))
    assert report.trl.output_shape == (4,)
