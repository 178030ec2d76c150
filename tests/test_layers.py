"""The layers: what they take, keep, convert to and refuse."""

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import DEVICES, LAYERS, close, dense_output, dense_weight, examples, layers
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn.utils import prune

from trlkit import (
    CPTRL,
    TCL,
    TTTRL,
    TensorDropout,
    TuckerTRL,
    rank_for_budget,
    rank_penalty,
)

each_factorization = pytest.mark.parametrize("factorization", sorted(LAYERS))
each_device = pytest.mark.parametrize("device", DEVICES)


def trl(factorization, **options):
    return LAYERS[factorization]((6, 3, 3), (4,), 3, **options)


# What the layers take


@each_factorization
def test_shapes_are_ints_or_sequences(factorization):
    make = LAYERS[factorization]
    assert make(6, 4, 3)(torch.randn(2, 6)).shape == (2, 4)
    assert make([6, 5], [4], 3)(torch.randn(2, 6, 5)).shape == (2, 4)
    assert make((6, 5), (), 3)(torch.randn(2, 6, 5)).shape == (2,)
    assert make((6, 5), (2, 3, 4), 3)(torch.randn(2, 6, 5)).shape == (2, 2, 3, 4)


@each_factorization
def test_a_rank_is_what_ranks_make_of_it(factorization):
    from trlkit.ranks import validate_rank

    for rank in (2, 0.5, "same"):
        layer = LAYERS[factorization]((6, 5), 4, rank)
        assert layer.rank == validate_rank((6, 5, 4), rank, factorization)
        assert layer._weight().rank == layer.rank


@each_factorization
def test_an_empty_batch_gives_an_empty_output(factorization):
    assert trl(factorization)(torch.randn(0, 6, 3, 3)).shape == (0, 4)


@examples
@given(data=st.data(), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_contraction_layer_is_an_einsum(data, sizes):
    rank = tuple(data.draw(st.integers(1, 4)) for _ in sizes)
    layer = TCL(sizes, rank, dtype=torch.float64)
    x = torch.randn(3, *sizes, dtype=torch.float64)
    inputs, outputs = "ijkl"[: len(sizes)], "abcd"[: len(sizes)]
    terms = ",".join(i + a for i, a in zip(inputs, outputs, strict=True))
    expected = torch.einsum(f"z{inputs},{terms}->z{outputs}", x, *layer.factors) + layer.bias
    close(layer(x), expected)
    direction = torch.randn_like(expected)
    wanted = list(layer.parameters())
    found = torch.autograd.grad(layer(x), wanted, direction)
    for gradient, right in zip(
        found, torch.autograd.grad(expected, wanted, direction), strict=True
    ):
        close(gradient, right)


def test_a_contraction_layer_takes_one_rank_for_all_modes():
    assert TCL((6, 5), 3, bias=False)(torch.randn(2, 6, 5)).shape == (2, 3, 3)
    assert TCL(6, 3)(torch.randn(2, 6)).shape == (2, 3)


def test_layers_say_their_shape():
    assert CPTRL((6, 5), 4, 3).extra_repr() == (
        "input_shape=(6, 5), output_shape=(4,), rank=3, bias=True"
    )
    layer = TuckerTRL(
        (6, 5), 4, 3, bias=False, dropout=0.4, contraction="project", project_input=True
    )
    assert layer.extra_repr() == (
        "input_shape=(6, 5), output_shape=(4,), rank=(3, 3, 3), bias=False, dropout=0.4, "
        "contraction='project', project_input=True"
    )
    assert (
        "drop_test=True" in TTTRL(6, 4, 3, dropout=TensorDropout(0.4, drop_test=True)).extra_repr()
    )
    assert TCL((6, 5), 3).extra_repr() == "input_shape=(6, 5), rank=(3, 3), bias=True"


def test_projecting_the_input_never_rebuilds():
    layer = TuckerTRL((64, 7, 7), 10, 5, project_input=True)
    for batch in (1, 32, 10_000):
        assert layer.explain(batch).path != "rebuild"
        assert layer._path(batch, "training") != "rebuild"


# The weight that is kept in eval mode


def edits():
    def step(layer):
        for parameter in layer.parameters():
            parameter.grad = torch.ones_like(parameter)
        torch.optim.SGD(layer.parameters(), lr=0.1).step()

    def load(layer):
        layer.load_state_dict(trl(layer.factorization).state_dict())

    def assign(layer):
        layer.load_state_dict(trl(layer.factorization).state_dict(), assign=True)

    def in_place(layer):
        next(layer.parameters()).mul_(2)

    def data(layer):
        next(layer.parameters()).data.add_(1)

    def replaced(layer):
        tensor = layer._weight().tensors[0]
        tensor.data = tensor.data + 1

    def numpy(layer):
        layer._weight().tensors[0].detach().numpy()[:] += 1

    def moved(layer):
        layer.double().float()
        in_place(layer)

    def linear(layer):
        layer.init_from_linear(torch.randn(4, 54))

    def reset(layer):
        layer.reset_parameters()

    return [step, load, assign, in_place, data, replaced, numpy, moved, linear, reset]


@pytest.mark.parametrize("edit", edits(), ids=lambda edit: edit.__name__)
@each_factorization
def test_a_kept_weight_follows_every_change_of_a_factor(factorization, edit):
    layer, x = trl(factorization, contraction="rebuild").eval(), torch.randn(5, 6, 3, 3)
    with torch.no_grad():
        before = layer(x)
        kept = layer._kept[0]
        layer(x)
        assert layer._kept[0] is kept
        edit(layer)
        close(layer(x), dense_output(layer, x), torch.float32)
        assert not torch.equal(layer(x), before)


def test_a_weight_is_kept_only_where_it_is_safe():
    layer, x = trl("cp", contraction="rebuild"), torch.randn(5, 6, 3, 3)
    with torch.no_grad():
        layer(x)
    assert layer._kept is None  # training
    layer.eval()(x)
    assert layer._kept is None  # gradients
    with torch.inference_mode():
        layer(x)
    assert layer._kept is not None
    with torch.no_grad():
        close(layer(x), dense_output(layer, x), torch.float32)
    for change in (layer.train, layer.double, lambda: layer.to("meta")):
        layer.eval()
        layer._kept = (torch.ones(1), [])
        change()
        assert layer._kept is None


def test_a_large_weight_is_kept_only_when_rebuilding_is_asked_for(monkeypatch):
    monkeypatch.setattr("trlkit.regression.KEPT_ELEMENTS", 6 * 3 * 3 * 4 - 1)
    layer, x = trl("cp").eval(), torch.randn(500, 6, 3, 3)
    with torch.no_grad():
        layer(x)
        assert layer._kept is None
        layer.contraction = "rebuild"
        layer(x)
        assert layer._kept is not None


def test_gradients_flow_in_eval_mode_after_a_weight_was_kept():
    layer, x = trl("cp", contraction="rebuild").eval(), torch.randn(5, 6, 3, 3)
    with torch.inference_mode():
        layer(x)
    x.requires_grad_()
    layer(x).sum().backward()
    assert x.grad.isfinite().all() and layer.factors[0].grad.abs().sum() > 0


@each_factorization
def test_the_kept_weight_is_not_saved(factorization):
    layer = trl(factorization, contraction="rebuild").eval()
    with torch.no_grad():
        layer(torch.randn(5, 6, 3, 3))
    assert set(layer.state_dict()) == {name for name, _ in layer.named_parameters()}
    assert layer.__getstate__()["_kept"] is None


# From and to what users have


@each_device
@each_factorization
def test_from_dense_and_to_dense(factorization, device):
    weight = torch.randn(4, 3, 2, 5, dtype=torch.float64, device=device)
    full = {"cp": 24, "tucker": (4, 3, 2, 5), "tt": (1, 4, 10, 5, 1)}[factorization]
    bias = torch.randn(2, 5, dtype=torch.float64, device=device)
    layer = LAYERS[factorization].from_dense(weight, full, 2, bias, dropout=0.3)
    assert (layer.input_shape, layer.output_shape) == ((4, 3), (2, 5))
    assert layer.dropout.p == 0.3 and torch.equal(layer.bias, bias)
    close(layer.to_dense(), dense_weight(layer))
    error = (layer.to_dense() - weight).norm() / weight.norm()
    assert error < (0.05 if factorization == "cp" else 1e-10)
    assert all(isinstance(parameter, nn.Parameter) for parameter in layer.parameters())
    layer.eval()(torch.randn(2, 4, 3, dtype=torch.float64, device=device)).sum().backward()


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_from_tensorlys_decompositions(backend):
    import tensorly
    from tensorly.random import random_cp, random_tt, random_tucker

    def arrays(tensors):
        return [torch.from_numpy(t) for t in tensors] if backend == "torch" else list(tensors)

    with tensorly.backend_context("numpy", local_threadsafe=True):
        cp = random_cp((4, 3, 2), 5, random_state=0)
        tucker = random_tucker((4, 3, 2), (2, 3, 2), random_state=0)
        tt = random_tt((4, 3, 2), (1, 2, 2, 1), random_state=0)
        cp.weights = cp.weights + 1
        expected = [tensorly.cp_to_tensor(cp), tucker.to_tensor(), tt.to_tensor()]
        cores = list(tt.factors)
    (weights, core), factors = arrays([cp.weights, tucker.core]), arrays(cp.factors)
    found = [
        CPTRL.from_tensorly((weights, factors)),
        TuckerTRL.from_tensorly((core, arrays(tucker.factors)), n_outputs=2),
        TTTRL.from_tensorly(arrays(cores), bias=torch.zeros(2)),
    ]
    for layer, right in zip(found, expected, strict=True):
        close(layer.to_dense(), torch.from_numpy(right))
    assert found[1].input_shape == (4,) and found[1].output_shape == (3, 2)


@pytest.mark.parametrize("bias", [True, False])
@each_factorization
def test_round_trip_through_tltorch(factorization, bias):
    tltorch = pytest.importorskip("tltorch")
    warnings.filterwarnings("ignore", message="Given only one int")
    kind = LAYERS[factorization]
    torch.manual_seed(0)
    theirs = tltorch.TRL((6, 3), (4, 2), rank=3, factorization=factorization, bias=bias)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.uniform_(0.1, 0.5)
    x = torch.randn(5, 6, 3)
    ours = kind.from_tltorch(theirs, dropout=0.2).eval()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    back = ours.to_tltorch()
    torch.testing.assert_close(back(x), ours(x), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        next(back.parameters()).zero_()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    other = LAYERS[{"cp": "tt", "tt": "tucker", "tucker": "cp"}[factorization]]
    with pytest.raises(ValueError, match=f"use {kind.__name__}.from_tltorch"):
        other.from_tltorch(theirs)


@each_device
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rank", ["enough", "more"])
@each_factorization
def test_init_from_linear_starts_as_the_pooled_linear_layer(factorization, rank, dtype, device):
    rank = {
        "cp": {"enough": 8, "more": 20},
        "tucker": {"enough": (10, 1, 1, 8), "more": (10, 2, 4, 8)},
        "tt": {"enough": (1, 8, 8, 8, 1), "more": (1, 12, 9, 11, 1)},
    }[factorization][rank]
    options = {"dtype": dtype, "device": device}
    linear = nn.Linear(10, 8, **options)
    layer = LAYERS[factorization]((10, 4, 4), 8, rank, **options)
    before = {name: id(parameter) for name, parameter in layer.named_parameters()}
    error = layer.init_from_linear(linear.weight, linear.bias, pooling_modes=(1, 2))
    assert isinstance(error, float) and error < 0.01
    assert {name: id(parameter) for name, parameter in layer.named_parameters()} == before
    x = torch.randn(3, 10, 4, 4, **options)
    expected = linear.double()(x.double().mean((2, 3)))
    close(layer(x), expected, torch.bfloat16 if dtype == torch.bfloat16 else torch.float32)


@each_factorization
def test_init_from_linear_without_pooling_takes_every_mode(factorization):
    rank = {"cp": 12, "tucker": (3, 2, 2, 4), "tt": (1, 3, 6, 4, 1)}[factorization]
    layer = LAYERS[factorization]((3, 2, 2), 4, rank)
    linear = nn.Linear(12, 4)
    assert layer.init_from_linear(linear.weight, linear.bias) < 1e-3
    x = torch.randn(5, 3, 2, 2)
    torch.testing.assert_close(layer(x), linear(x.flatten(1)), rtol=0, atol=1e-3)


@each_factorization
def test_init_from_linear_returns_the_relative_error_of_the_weight(factorization):
    linear = nn.Linear(10, 8)
    rank = {"cp": 3, "tucker": (3, 1, 1, 3), "tt": (1, 3, 3, 3, 1)}[factorization]
    layer = LAYERS[factorization]((10, 4, 4), 8, rank)
    error = layer.init_from_linear(linear.weight, linear.bias, pooling_modes=(1, 2))
    values = torch.linalg.svdvals(linear.weight.detach())
    assert error == pytest.approx((values[3:].norm() / values.norm()).item(), rel=1e-4)
    dense = (linear.weight.detach().T / 16).reshape(10, 1, 1, 8).expand(10, 4, 4, 8)
    assert error == pytest.approx(
        ((layer.to_dense() - dense).norm() / dense.norm()).item(), rel=1e-4
    )


def test_an_optimizer_goes_on_after_init_from_linear():
    layer, linear = TuckerTRL((10, 4, 4), 8, (10, 1, 1, 8)), nn.Linear(10, 8)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer.init_from_linear(linear.weight, linear.bias, pooling_modes=(1, 2))
    before = layer.to_dense().detach()
    layer(torch.randn(3, 10, 4, 4)).square().sum().backward()
    optimizer.step()
    assert not torch.equal(layer.to_dense(), before)
    assert not layer.bias.data_ptr() == linear.bias.data_ptr()


# Pruning


@each_factorization
def test_pruning_removes_components_that_are_zero_and_nothing_else(factorization):
    layer = trl(factorization, dtype=torch.float64, dropout=0.1, contraction="rebuild").eval()
    with torch.no_grad():
        layer._weight().tensors[-1].select(0 if factorization == "tt" else -1, 1).zero_()
    smaller = layer.prune(tol=1e-6)
    expected = {"cp": 2, "tucker": (3, 3, 3, 2), "tt": (1, 3, 3, 2, 1)}[factorization]
    assert smaller.rank == expected and layer._weight().rank_modes == layer.rank_modes
    x = torch.randn(5, 6, 3, 3, dtype=torch.float64)
    close(smaller(x), layer(x))
    assert not smaller.training and smaller.contraction == "rebuild" and smaller.dropout.p == 0.1
    smaller.load_state_dict(smaller.state_dict())


@each_factorization
def test_pruning_keeps_at_least_one_component(factorization):
    layer = trl(factorization)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    assert layer.prune(0.5)._weight().rank_modes == (1,) * len(layer.rank_modes)
    assert layer.prune(0.0)(torch.randn(2, 6, 3, 3)).abs().sum() == 0


@each_factorization
def test_a_rank_penalty_and_pruning_find_the_rank_of_the_data(factorization):
    torch.manual_seed(0)
    planted = {"cp": 2, "tucker": (2, 2, 2), "tt": (1, 2, 2, 1)}[factorization]
    truth = LAYERS[factorization]((6, 5), 4, planted, bias=False)
    x = torch.randn(400, 6, 5)
    y = truth(x).detach()
    layer = LAYERS[factorization]((6, 5), 4, 4, bias=False)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    for _ in range(800):
        optimizer.zero_grad()
        ((layer(x) - y).square().mean() + 0.01 * rank_penalty(layer)).backward()
        optimizer.step()
    layer = layer.prune(tol=0.05)
    assert layer.rank == planted
    assert (layer(x) - y).square().mean() < 0.01 * y.square().mean()


@each_factorization
def test_the_rank_penalty_has_finite_gradients_at_zero(factorization):
    layer = trl(factorization)
    with torch.no_grad():
        layer._weight().tensors[0].zero_()
    rank_penalty(layer).backward()
    assert all(t.grad.isfinite().all() for t in layer._weight().tensors)


def test_a_tensor_train_of_one_mode_has_nothing_to_penalize_or_prune():
    layer = TTTRL(6, (), "same")
    assert rank_penalty(layer) == 0
    assert layer.prune(0.5).rank == (1, 1)


# Bad input


@each_factorization
def test_wrong_batches_are_refused(factorization):
    layer = trl(factorization)
    with pytest.raises(ValueError, match=r"no batch mode, which x.unsqueeze\(0\) adds"):
        layer(torch.randn(6, 3, 3))
    with pytest.raises(ValueError, match=r"takes \(B, 6, 3, 3\): .* before it is flattened"):
        layer(torch.randn(2, 54))
    with pytest.raises(ValueError, match=r"\(2, 6, 3, 4\), but .*: input_shape is of other inputs"):
        layer(torch.randn(2, 6, 3, 4))
    with pytest.raises(ValueError, match=r"x has shape \(\)"):
        layer(torch.tensor(1.0))
    with pytest.raises(TypeError, match=r"x is torch.int64, but .*: x.to\(torch.float32\)"):
        layer(torch.ones(2, 6, 3, 3, dtype=torch.int64))
    with pytest.raises(TypeError, match="x is a list, but a layer takes a floating tensor"):
        layer([1.0])
    with pytest.raises(TypeError, match=r"x is torch.float64, but the layer torch.float32: x.to"):
        layer(torch.randn(2, 6, 3, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"x is on meta, but the layer on cpu: x.to\('cpu'\)"):
        layer(torch.randn(2, 6, 3, 3, device="meta"))


def test_a_contraction_layer_refuses_wrong_batches_and_ranks():
    with pytest.raises(ValueError, match="no batch mode"):
        TCL((6, 5), 3)(torch.randn(6, 5))
    for rank in (0.5, "same"):
        with pytest.raises(TypeError, match="the rank of a TCL is the shape of its output"):
            TCL((6, 5), rank)
    with pytest.raises(ValueError, match="input_shape=\\(\\), but a layer needs"):
        TCL((), 3)


@each_factorization
def test_wrong_constructor_arguments_are_refused(factorization):
    make = LAYERS[factorization]
    with pytest.raises(ValueError, match=r"input_shape=\(\), but a layer needs at least one"):
        make((), 4, 3)
    with pytest.raises(ValueError, match="every size must be at least 1"):
        make((6, 0), 4, 3)
    with pytest.raises(ValueError, match="a rank is at least 1"):
        make((6, 5), 4, 0)
    with pytest.raises(ValueError, match=r"contraction='fast', but it must be \"auto\" or in"):
        make((6, 5), 4, 3, contraction="fast")
    with pytest.raises(TypeError, match="dtype=torch.int32, but the parameters must be floating"):
        make((6, 5), 4, 3, dtype=torch.int32)


def test_projecting_the_input_and_rebuilding_contradict():
    with pytest.raises(ValueError, match="does not project the input"):
        TuckerTRL((6, 5), 4, 3, project_input=True, contraction="rebuild")


@each_factorization
def test_a_saved_state_of_another_rank_is_refused(factorization):
    saved = LAYERS[factorization]((6, 3, 3), 4, 2).state_dict()
    with pytest.raises(RuntimeError, match=r"saved .* has shape .*, which is not of .*rank"):
        trl(factorization).load_state_dict(saved)
    network = nn.Sequential(trl(factorization))
    saved = {f"0.{name}": tensor for name, tensor in saved.items()}
    for strict in (True, False):
        with pytest.raises(RuntimeError, match="make the layer with the shapes and rank") as error:
            network.load_state_dict(saved, strict=strict)
        wrong = [name for name, own in network.named_parameters() if own.shape != saved[name].shape]
        assert len(wrong) > 1
        assert all(f"size mismatch for {name}" in str(error.value) for name in wrong)


def test_wrong_linear_layers_are_refused():
    layer, linear = TuckerTRL((10, 4, 4), 8, (10, 1, 1, 8)), nn.Linear(10, 8)
    with pytest.raises(ValueError, match=r"weight has shape \(8, 10\), but .* weight \(8, 160\)"):
        layer.init_from_linear(linear.weight)
    for modes in ((1, 1), (3,), (-4,), (0, -3)):
        with pytest.raises(ValueError, match="has the input modes 0 to 2"):
            layer.init_from_linear(linear.weight, pooling_modes=modes)
    with pytest.raises(TypeError, match="weight is a Linear, .* linear.weight and linear.bias"):
        layer.init_from_linear(linear)
    with pytest.raises(ValueError, match=r"bias has shape \(9,\), but it must be \(8,\)"):
        layer.init_from_linear(linear.weight, torch.ones(9), pooling_modes=(1, 2))
    bare = TuckerTRL((10, 4, 4), 8, (10, 1, 1, 8), bias=False)
    with pytest.raises(ValueError, match="the layer has none: make it with bias=True"):
        bare.init_from_linear(linear.weight, linear.bias, pooling_modes=(1, 2))
    with pytest.raises(ValueError, match="are NaN or infinite"):
        layer.init_from_linear(torch.full((8, 10), math.nan), pooling_modes=(1, 2))


@each_factorization
def test_wrong_full_weights_are_refused(factorization):
    make = LAYERS[factorization].from_dense
    with pytest.raises(ValueError, match="n_outputs=3, but of the 3 modes"):
        make(torch.randn(4, 3, 2), 1, n_outputs=3)
    with pytest.raises(ValueError, match=r"bias has shape \(3,\), but it must be \(2,\)"):
        make(torch.randn(4, 3, 2), 1, bias=torch.ones(3))
    with pytest.raises(TypeError, match="must be a floating tensor, got list"):
        make([[1.0]], 1)
    with pytest.raises(ValueError, match="is above what the .* decomposition"):
        make(torch.randn(4, 3, 2), 30)


def test_tensors_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match=r"the shapes .*\(3, 2\)\], but these have .*\(3, 5\)"):
        CPTRL.from_tensorly((None, [torch.ones(4, 2), torch.ones(3, 5)]))
    with pytest.raises(TypeError, match="dtype=torch.int64, but the parameters must be floating"):
        TTTRL.from_tensorly([torch.ones(1, 4, 2).long(), torch.ones(2, 3, 1).long()])
    with pytest.raises(ValueError, match="at least one mode, but this is a number"):
        CPTRL.from_dense(torch.tensor(1.0), 1)


def test_other_layers_are_not_converted():
    with pytest.raises(TypeError, match="from_tltorch needs a tltorch.TRL, got a Linear"):
        CPTRL.from_tltorch(nn.Linear(3, 2))


def test_a_tolerance_outside_of_0_to_1_is_refused():
    for tol in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"tol=.*, but it must be in \[0, 1\)"):
            trl("cp").prune(tol)


# The snippets that the course starts from


def test_a_random_layer_of_the_same_size():
    input_shape, output_shape, batch_size = (4, 5), (6, 2), 2
    x = torch.randn((batch_size, *input_shape), dtype=torch.float32, device="cpu")
    layer = TuckerTRL(input_shape, output_shape, rank="same")
    assert layer(x).shape == (2, 6, 2)


def test_a_block_of_pooling_and_linear_layer_becomes_a_layer():
    in_features, out_features, batch_size, spatial_size = 10, 12, 2, 4

    class Block(nn.Module):
        def __init__(self, in_features, out_features):
            super().__init__()
            self.pooling = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(in_features, out_features, bias=False)

        def forward(self, x):
            return self.fc(self.pooling(x).squeeze())

    block = Block(in_features, out_features)
    layer = TuckerTRL(
        (in_features, spatial_size, spatial_size),
        (out_features,),
        rank=(in_features, 1, 1, out_features),
        project_input=True,
    )
    layer.init_from_linear(block.fc.weight, None, pooling_modes=(1, 2))
    x = torch.randn((batch_size, in_features, spatial_size, spatial_size))
    torch.testing.assert_close(layer(x), block(x), rtol=1e-4, atol=1e-5)


def test_a_network_with_a_regression_layer_in_place_of_the_flatten():
    class ConvNeuralNet(nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.conv_layer1 = nn.Conv2d(in_channels=3, out_channels=32, kernel_size=3)
            self.max_pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
            self.conv_layer2 = nn.Conv2d(in_channels=32, out_channels=64, kernel_size=3)
            self.trl = CPTRL(input_shape=(64, 13, 13), output_shape=(num_classes), rank=100)

        def forward(self, x):
            out = self.conv_layer1(x)
            out = self.max_pool1(out)
            out = self.conv_layer2(out)
            return self.trl(out)

    model = ConvNeuralNet(num_classes=7)
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    assert model.trl.factors[0].grad.shape == (64, 100)


def test_torchsummary_runs():
    torchsummary = pytest.importorskip("torchsummary")
    network = nn.Sequential(nn.Conv2d(3, 8, 3), CPTRL((8, 6, 6), 5, rank=3))
    torchsummary.summary(network, (3, 8, 8), device="cpu")


@examples
@given(layer=layers(dropout=0.3))
def test_every_layer_prints_itself(layer):
    assert f"rank={layer.rank}" in repr(layer) and "dropout=0.3" in repr(layer)


@each_factorization
def test_a_weight_built_under_autocast_does_not_outlive_it(factorization):
    layer, x = trl(factorization, contraction="rebuild").eval(), torch.randn(8, 6, 3, 3)
    with torch.no_grad():
        expected = layer(x)
        layer._kept = None
        with torch.autocast("cpu", torch.bfloat16):
            layer(x)
        assert torch.equal(layer(x), expected)


@each_factorization
def test_fake_tensors_leave_nothing_behind(factorization):
    layer, x = trl(factorization, contraction="rebuild").eval(), torch.randn(5, 6, 3, 3)
    expected = dense_output(layer, x)
    for kept in (False, True):
        if kept:
            with torch.no_grad():
                layer(x)
        with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
            for batch in (mode.from_tensor(x), x):
                assert isinstance(layer(batch), FakeTensor)
        with torch.no_grad():
            close(layer(x), expected, torch.float32)
            close(layer(x), expected, torch.float32)


@each_factorization
def test_paths_are_chosen_for_the_device_and_dtype_that_the_parameters_have_now(factorization):
    def paths(layer):
        with torch.no_grad():
            layer(torch.randn(1, 64, 7, 7, dtype=layer.bias.dtype))
        return layer._schedules

    def make(**options):
        return LAYERS[factorization]((64, 7, 7), 300, 8, **options).eval()

    right, layer = make(), make(device="meta")
    layer.load_state_dict(right.state_dict(), assign=True)
    assert paths(layer) == paths(right)
    double = make(dtype=torch.float64)
    layer.load_state_dict(double.state_dict(), assign=True)
    assert paths(layer) == paths(double)
    assert layer.explain(1).path == double.explain(1).path


def parametrized(layer):
    *_, (module, name) = layer._places()
    return module, name


@each_factorization
def test_a_parametrized_factor_learns_and_is_set_through_its_parametrization(factorization):
    layer, x = trl(factorization), torch.randn(5, 6, 3, 3)
    module, name = parametrized(layer)
    expected = dense_output(layer, x)
    nn.utils.parametrizations.weight_norm(module, name)
    close(layer(x), expected, torch.float32)
    linear = nn.Linear(54, 4)
    error = layer.init_from_linear(linear.weight, linear.bias)
    dense = linear.weight.detach().T.reshape(6, 3, 3, 4)
    found = (layer.to_dense() - dense).norm() / dense.norm()
    assert error == pytest.approx(found.item(), rel=1e-4)
    plain = trl(factorization)
    assert error == pytest.approx(plain.init_from_linear(linear.weight, linear.bias), rel=1e-3)
    layer.reset_parameters()
    assert not torch.allclose(layer.to_dense(), dense, atol=0.01)
    learns(layer, x)


class Halved(nn.Module):
    """What is set is not what comes out."""

    def forward(self, tensor):
        return tensor / 2

    def right_inverse(self, tensor):
        return tensor


@each_factorization
def test_the_error_of_a_start_is_that_of_the_weight_which_a_parametrization_leaves(factorization):
    layer, linear = trl(factorization), nn.Linear(6, 4)
    nn.utils.parametrize.register_parametrization(*parametrized(layer), Halved())
    error = layer.init_from_linear(linear.weight, linear.bias, pooling_modes=(1, 2))
    dense = linear.weight.detach().T.reshape(6, 1, 1, 4).expand(6, 3, 3, 4) / 9
    found = (layer.to_dense() - dense).norm() / dense.norm()
    assert error == pytest.approx(found.item(), rel=1e-4) and error > 0.4


def learns(layer, x):
    """Three steps of an optimizer lower a loss."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = layer(x).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True) and losses[2] < losses[0]


@pytest.mark.parametrize(
    "put_on",
    [
        lambda module, name: prune.l1_unstructured(module, name, 0.5),
        lambda module, name: nn.utils.weight_norm(module, name),
        lambda module, name: nn.utils.spectral_norm(module, name),
    ],
    ids=["prune", "weight_norm", "spectral_norm"],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
@each_factorization
def test_hooks_that_compute_a_factor_run_before_every_pass(factorization, put_on):
    layer, x = trl(factorization), torch.randn(5, 6, 3, 3)
    put_on(*parametrized(layer))
    learns(layer, x)
    layer.eval()
    with torch.no_grad():
        for _ in range(2):
            close(layer(x), dense_output(layer, x), torch.float32)
            next(layer.parameters()).mul_(2)
    before = [parameter.clone() for parameter in layer.parameters()]
    with pytest.raises(TypeError, match="computed by a hook"):
        layer.init_from_linear(torch.randn(4, 54))
    assert all(map(torch.equal, before, layer.parameters()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda trl: trl([[1.0]]), r"x is a list, .*torch.as_tensor\(x, dtype=torch.float32"),
        (lambda trl: trl(None), "x is a NoneType, .*give it the activation"),
        (lambda trl: trl(torch.ones(2, 4, 5, dtype=torch.complex64)), "x.real or x.abs"),
        (lambda trl: trl(torch.ones(2, 4, 5, dtype=torch.long)), r"x.to\(torch.float32\)"),
        (lambda trl: trl.prune("0.1"), "tol='0.1', but it must be a number"),
        (lambda trl: trl.explain(0), "batch_size=0, but a batch has at least one sample"),
        (lambda trl: rank_penalty(torch.nn.Linear(2, 2)), "takes a CPTRL, .*not a Linear"),
        (lambda trl: CPTRL((4, 5), 3, 2, dtype="float32"), "dtype='float32', .*torch.float32"),
        (lambda trl: rank_for_budget((4, 5), 3, "cp", "100"), "max_params='100', .*an int"),
    ],
)
def test_what_is_no_number_no_tensor_and_no_layer_is_told(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(CPTRL((4, 5), 3, rank=2))


def test_pooling_modes_count_from_the_end_too():
    linear, layers = torch.nn.Linear(4, 3), [CPTRL((4, 5, 6), 3, rank=4) for _ in range(3)]
    for layer, modes in zip(layers, [(1, 2), (-1, -2), (2, 1)], strict=True):
        layer.init_from_linear(linear.weight, linear.bias, modes)
        x = torch.randn(2, 4, 5, 6)
        torch.testing.assert_close(layer(x), linear(x.mean((2, 3))), rtol=1e-4, atol=1e-4)
    linear = torch.nn.Linear(20, 3)
    layer = CPTRL((4, 5, 6), 3, rank=12)
    layer.init_from_linear(linear.weight, linear.bias, 2)
    x = torch.randn(2, 4, 5, 6)
    close(layer(x), linear(x.mean(3).flatten(1)), torch.float32)


def test_a_fraction_that_leaves_the_outputs_one_direction_is_told():
    with pytest.warns(UserWarning, match=r"gives \(9, 4, 1\), .*all 4 outputs .*rank=\(9, 4, 4\)"):
        TuckerTRL((24, 10), 4, rank=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TuckerTRL((24, 10), 4, rank=(9, 4, 1))
        TuckerTRL((24, 10), 4, rank=0.9)
