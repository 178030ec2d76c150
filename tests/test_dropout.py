"""Tensor dropout by enumeration: every mask of small ranks, weighted by its probability."""

import itertools
import math

import pytest
import torch
from oracles import DEVICES, LAYERS, close, dense_output, dense_weight
from torch import nn

from trlkit import CPTRL, TTTRL, TensorDropout, TuckerTRL, remove_tensor_dropout, tensor_dropout
from trlkit.dropout import draw, masks_of, scaled

CASES = [
    ("cp", 1),
    ("cp", 2),
    ("cp", 5),
    ("tucker", (1, 1, 1)),
    ("tucker", (2, 1, 2)),
    ("tucker", (3, 2, 2)),
    ("tt", (1, 1, 1, 1)),
    ("tt", (1, 3, 1, 1)),
    ("tt", (1, 3, 4, 1)),
]
each_case = pytest.mark.parametrize(("factorization", "rank"), CASES)
each_factorization = pytest.mark.parametrize("factorization", sorted(LAYERS))
each_device = pytest.mark.parametrize("device", DEVICES)


def layer_of(factorization, rank=3, **options):
    return LAYERS[factorization]((4, 3), 2, rank, dtype=torch.float64, **options)


def drawn_masks(dropout, rank, batch_size, like):
    return masks_of(dropout, rank, draw(dropout, rank, batch_size, like.device), like.dtype)


def every_mask(rank_modes, p, modes):
    """All masks of the chosen modes, and the probability of each."""
    choices = [
        list(itertools.product([False, True], repeat=r)) if mode in modes else [None]
        for mode, r in enumerate(rank_modes)
    ]
    for keeps in itertools.product(*choices):
        flat = [entry for keep in keeps if keep is not None for entry in keep]
        probability = math.prod((1 - p) if entry else p for entry in flat)
        masks = [
            None if keep is None else scaled(torch.tensor(keep), p, torch.float64) for keep in keeps
        ]
        yield probability, masks


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@each_case
def test_dropout_is_unbiased_over_all_masks(factorization, rank, p):
    layer = layer_of(factorization, rank)
    weight = layer._weight()
    subsets = itertools.chain.from_iterable(
        itertools.combinations(range(len(weight.rank_modes)), n)
        for n in range(len(weight.rank_modes) + 1)
    )
    for modes in subsets:
        mean, total = torch.zeros(4, 3, 2, dtype=torch.float64), 0.0
        for probability, masks in every_mask(weight.rank_modes, p, modes):
            mean += probability * weight.masked(masks).dense()
            total += probability
        assert total == pytest.approx(1)
        close(mean, dense_weight(layer))


@each_case
def test_per_sample_dropout_is_unbiased_over_all_masks(factorization, rank):
    layer, p = layer_of(factorization, rank), 0.4
    weight, x = layer._weight(), torch.randn(1, 4, 3, dtype=torch.float64)
    paths = {"cp": "mode_by_mode", "tucker": "project", "tt": "left_to_right"}
    mean = 0
    for probability, masks in every_mask(weight.rank_modes, p, range(len(weight.rank_modes))):
        masks = [mask.unsqueeze(0) for mask in masks]
        mean = mean + probability * weight.contract(x, paths[factorization], layer.bias, masks)
    close(mean, dense_output(layer, x))


@each_device
@each_case
def test_a_forward_pass_applies_exactly_the_masks_drawn(factorization, rank, device):
    layer = layer_of(factorization, rank, dropout=0.5, device=device)
    x = torch.randn(6, 4, 3, dtype=torch.float64, device=device)
    torch.manual_seed(3)
    y = layer(x)
    torch.manual_seed(3)
    weight = layer._weight()
    masks = drawn_masks(layer.dropout, weight.rank_modes, 6, x)
    expected = torch.einsum("bij,ijk->bk", x, weight.masked(masks).dense()) + layer.bias
    close(y, expected)


@each_device
@each_case
def test_a_forward_pass_applies_each_sample_its_own_masks(factorization, rank, device):
    dropout = TensorDropout(0.5, per_sample=True)
    layer = layer_of(factorization, rank, dropout=dropout, device=device)
    x = torch.randn(6, 4, 3, dtype=torch.float64, device=device)
    torch.manual_seed(3)
    y = layer(x)
    torch.manual_seed(3)
    weight = layer._weight()
    masks = drawn_masks(layer.dropout, weight.rank_modes, 6, x)
    for sample in range(6):
        own = weight.masked([mask[sample] for mask in masks]).dense()
        expected = torch.einsum("ij,ijk->k", x[sample], own) + layer.bias
        close(y[sample], expected)


def test_masks_have_the_shapes_of_the_ranks():
    like = torch.ones(1)
    masks = drawn_masks(TensorDropout(0.5, modes=(0, -1)), (2, 3, 4), 5, like)
    assert [None if mask is None else tuple(mask.shape) for mask in masks] == [(2,), None, (4,)]
    masks = drawn_masks(TensorDropout(0.5, per_sample=True), (2, 3), 5, like)
    assert [tuple(mask.shape) for mask in masks] == [(5, 2), (5, 3)]


def test_masks_drop_with_probability_p():
    torch.manual_seed(0)
    (mask,) = drawn_masks(TensorDropout(0.3), (100_000,), 1, torch.ones(1))
    assert mask.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert (mask == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@each_factorization
def test_outputs_keep_the_dtype(factorization, dtype):
    for per_sample in (False, True):
        dropout = TensorDropout(0.5, per_sample=per_sample)
        layer = LAYERS[factorization]((4, 3), 2, 3, dropout=dropout, dtype=dtype)
        assert layer(torch.randn(5, 4, 3, dtype=dtype)).dtype == dtype


@each_factorization
def test_p_0_is_the_identity_and_draws_nothing(factorization):
    layer = layer_of(factorization, dropout=0.0)
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    state = torch.get_rng_state()
    close(layer(x), dense_output(layer, x))
    assert torch.equal(torch.get_rng_state(), state)


@each_factorization
def test_eval_mode_drops_only_when_asked(factorization):
    layer = layer_of(factorization, dropout=0.5).eval()
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            close(layer(x), dense_output(layer, x))
            tensor_dropout(layer, 0.5, drop_test=True)
            drawn = torch.stack([layer(x) for _ in range(30)])
            assert len(drawn.unique(dim=0)) > 1
            tensor_dropout(layer, 0.5)


@each_factorization
def test_dropout_is_put_on_and_taken_off_in_place(factorization):
    layer = layer_of(factorization)
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    assert tensor_dropout(layer, 0.9, modes=[0]) is layer
    assert layer.dropout == TensorDropout(0.9, modes=(0,))
    assert len(torch.stack([layer(x) for _ in range(30)]).unique(dim=0)) > 1
    assert remove_tensor_dropout(layer) is layer
    close(layer(x), dense_output(layer, x))


@each_factorization
def test_modes_can_be_left_out(factorization):
    layer = layer_of(factorization, dropout=TensorDropout(0.9, modes=()))
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    close(layer(x), dense_output(layer, x))


def test_gradients_reach_only_the_components_that_stay():
    torch.manual_seed(0)
    layer = CPTRL((4, 3), 2, rank=50, dropout=0.5)
    layer(torch.randn(5, 4, 3)).square().sum().backward()
    alive = [(factor.grad.abs().sum(0) > 0) for factor in layer.factors]
    assert all(torch.equal(alive[0], other) for other in alive)
    assert 0 < alive[0].sum() < 50


@pytest.mark.parametrize("p", [1, 1.0, 1.5, -0.1, float("nan"), float("inf")])
def test_p_outside_of_0_to_1_is_refused(p):
    for make in (lambda: CPTRL(4, 3, 2, dropout=p), lambda: tensor_dropout(CPTRL(4, 3, 2), p)):
        with pytest.raises(ValueError, match=r"the probability of dropping must be in \[0, 1\)"):
            make()


@pytest.mark.parametrize("p", ["0.5", True, None])
def test_p_of_another_type_is_refused(p):
    with pytest.raises(TypeError, match=f"p={p!r} is a .*, but the probability of dropping"):
        TensorDropout(p)


def test_a_mode_that_the_weight_lacks_is_refused():
    with pytest.raises(ValueError, match=r"entry 1, but the weight has 1 rank modes: 0 to 0"):
        tensor_dropout(CPTRL((4, 3), 2, rank=2), 0.5, modes=(1,))
    with pytest.raises(ValueError, match=r"entry -3, but the weight has 2 rank modes: 0 to 1"):
        tensor_dropout(TTTRL((4, 3), 2, rank=2), 0.5, modes=(-3,))


def test_a_path_that_shares_one_weight_cannot_drop_per_sample():
    message = 'contraction="auto" or one of .*project.* can'
    with pytest.raises(ValueError, match=message):
        tensor_dropout(TuckerTRL((4, 3), 2, rank=2, contraction="rebuild"), 0.5, per_sample=True)
    layer = TuckerTRL((4, 3), 2, rank=2, dropout=TensorDropout(0.5, per_sample=True))
    with pytest.raises(ValueError, match=message):
        layer.contraction = "project_folded"


def test_other_modules_are_refused():
    for change in (lambda module: tensor_dropout(module, 0.5), remove_tensor_dropout):
        with pytest.raises(TypeError, match="needs a CPTRL, TuckerTRL or TTTRL, got a Linear"):
            change(nn.Linear(2, 2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_coarse_dtype_drops_as_often_as_a_fine_one(dtype):
    dropout = TensorDropout(0.001, per_sample=True)
    kept = []
    for like in (torch.ones(1, dtype=dtype), torch.ones(1, dtype=torch.float64)):
        before = torch.get_default_dtype()
        torch.set_default_dtype(like.dtype)
        try:
            torch.manual_seed(0)
            (mask,) = drawn_masks(dropout, (200,), 1000, like)
        finally:
            torch.set_default_dtype(before)
        kept.append(mask != 0)
    assert torch.equal(*kept)
