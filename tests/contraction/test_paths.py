import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import DEVICES, EVERY_PATH, LAYERS, close, dense_output, dense_weight, examples, layers
from torch.utils._python_dispatch import TorchDispatchMode

from trlkit.bench import table
from trlkit.contraction.costs import (
    KEPT_ELEMENTS,
    PATHS,
    PER_SAMPLE_PATHS,
    RATES,
    plan,
    schedule,
)
from trlkit.contraction.orders import MOVE, expansion_order, projection_order, tt_split
from trlkit.contraction.paths import contract_dense, project


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("factorization", "path"), EVERY_PATH)
@examples
@given(data=st.data(), batch=st.integers(0, 4))
def test_every_path_gives_the_values_and_gradients_of_a_dense_einsum(
    device, factorization, path, data, batch
):
    layer = data.draw(layers(factorization, dtype=torch.float64, device=device))
    layer.contraction = path
    x = torch.randn(batch, *layer.input_shape, dtype=torch.float64, device=device)
    x.requires_grad_()
    wanted = [x, *layer.parameters()]
    y, expected = layer(x), dense_output(layer, x)
    assert y.shape == (batch, *layer.output_shape)
    close(y, expected)
    direction = torch.randn_like(expected)
    found = torch.autograd.grad(y, wanted, direction)
    for gradient, right in zip(
        found, torch.autograd.grad(expected, wanted, direction), strict=True
    ):
        close(gradient, right)
    with torch.no_grad():
        close(layer(x), expected)
        close(layer.eval()(x), expected)
        close(layer.to_dense(), dense_weight(layer))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("factorization", "path"), EVERY_PATH)
def test_every_path_works_in_every_dtype(factorization, path, dtype, device):
    layer = LAYERS[factorization]((16, 3, 3), 5, 4, contraction=path, dtype=dtype, device=device)
    x = torch.randn(8, 16, 3, 3, dtype=dtype, device=device)
    y = layer(x)
    assert y.dtype == dtype
    close(y, dense_output(layer, x), dtype)
    y.square().mean().backward()
    for parameter in layer.parameters():
        assert parameter.grad.dtype == dtype and parameter.grad.isfinite().all()


@pytest.mark.parametrize(("factorization", "path"), EVERY_PATH)
def test_a_batch_in_channels_last_memory_gives_the_same(factorization, path):
    layer = LAYERS[factorization]((6, 3, 4), (2, 5), 3, contraction=path, dtype=torch.float64)
    x = torch.randn(8, 6, 3, 4, dtype=torch.float64)
    close(layer(x.to(memory_format=torch.channels_last)), layer(x))


@pytest.mark.parametrize("sizes", [(3, 4, 20), (20, 4, 3), (2, 30, 2), (3, 3, 3, 3), (1, 5)])
def test_mode_by_mode_is_right_whichever_modes_are_contracted_first(sizes):
    layer = LAYERS["cp"](sizes, 3, 4, contraction="mode_by_mode", dtype=torch.float64)
    x = torch.randn(5, *sizes, dtype=torch.float64)
    close(layer(x), dense_output(layer, x))


def test_a_dense_contraction_is_an_einsum():
    x, weight, bias = torch.randn(2, 3, 4), torch.randn(3, 4, 5, 6), torch.randn(5, 6)
    expected = torch.einsum("bij,ijkl->bkl", x, weight)
    torch.testing.assert_close(contract_dense(x, weight), expected)
    torch.testing.assert_close(contract_dense(x, weight, bias), expected + bias)


@examples
@given(data=st.data(), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_projection_is_an_einsum_and_its_order_is_the_cheapest(data, sizes):
    rank = [data.draw(st.integers(1, size)) for size in sizes]
    factors = [torch.randn(size, r) for size, r in zip(sizes, rank, strict=True)]
    x = torch.randn(2, *sizes)
    expected = x
    for mode, factor in enumerate(factors):
        expected = torch.tensordot(expected, factor, dims=([mode + 1], [0])).movedim(-1, mode + 1)
    torch.testing.assert_close(project(x, factors), expected, rtol=1e-4, atol=1e-4)


def operations(sizes, groups):
    """Twice the multiplications of projecting groups of modes, and the elements moved."""
    current, multiplied, moved = list(sizes), 0, 0
    for start, stop, size, r in groups:
        before = math.prod(current)
        multiplied += before * r
        current[start:stop] = [r] + [1] * (stop - start - 1)
        moved += before + before // size * r
    return multiplied, moved


@examples
@given(data=st.data(), sizes=st.lists(st.integers(2, 9), min_size=1, max_size=4))
def test_projection_takes_the_fewest_operations_of_all_orders(data, sizes):
    rank = [data.draw(st.integers(1, size)) for size in sizes]
    groups = projection_order(sizes, rank)
    found, _ = operations(sizes, groups)
    assert found == min(operations(sizes, order)[0] for order in itertools.permutations(groups))
    assert expansion_order(sizes, rank) == groups[::-1]


@examples
@given(data=st.data(), sizes=st.lists(st.integers(2, 9), min_size=2, max_size=2))
def test_two_modes_are_projected_together_where_that_costs_less(data, sizes):
    rank = [data.draw(st.integers(1, size)) for size in sizes]
    together = [(0, 2, math.prod(sizes), math.prod(rank))]
    apart = [(mode, mode + 1, sizes[mode], rank[mode]) for mode in range(2)]
    apart = min((apart, apart[::-1]), key=lambda order: operations(sizes, order)[0])

    def cost(groups):
        multiplied, moved = operations(sizes, groups)
        return multiplied + MOVE / 2 * moved

    chosen = projection_order(sizes, rank)
    assert cost(chosen) <= 1.0001 * min(cost(together), cost(apart))


@examples
@given(data=st.data(), shape=st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_a_train_is_cut_where_merging_costs_least(data, shape):
    rank = [1, *(data.draw(st.integers(1, 9)) for _ in shape[1:]), 1]

    def merging(cut):
        left, right, total = shape[0], shape[-1], 0
        for mode in range(1, cut):
            left *= shape[mode]
            total += left * rank[mode] * rank[mode + 1]
        for mode in range(len(shape) - 2, cut - 1, -1):
            right *= shape[mode]
            total += right * rank[mode] * rank[mode + 1]
        return total + left * rank[cut] * right

    cuts = range(1, len(shape))
    assert merging(tt_split(shape, rank)) == min(merging(cut) for cut in cuts)


def test_costs_count_the_operations_of_the_published_formulas():
    batch, p, n, rank = 128, 512 * 49, 1000, 1000
    costs = {
        cost.path: cost.flops
        for cost in plan("cp", (512, 7, 7), (n,), rank, batch, training=False).costs
    }
    assert costs["rebuild"] == pytest.approx(2 * p * n * (batch + rank), rel=0.01)
    factorized = 2 * batch * rank * (p + n)
    assert costs["khatri_rao"] == pytest.approx(factorized + p * rank, rel=0.01)
    assert costs["mode_by_mode"] == pytest.approx(factorized, rel=0.01)
    costs = {
        cost.path: cost.flops
        for cost in plan("tucker", (512, 7, 7), (n,), (200, 1, 1, 200), 1, training=False).costs
    }
    assert costs["project"] == pytest.approx(0.74e6, rel=0.01)
    costs = {
        cost.path: cost.flops
        for cost in plan("tt", (512, 7, 7), (n,), (1, 8, 9, 10, 1), 2, training=False).costs
    }
    left_to_right = 2 * 2 * (p * 8 + 49 * 8 * 9 + 7 * 9 * 10 + 10 * n)
    assert costs["left_to_right"] == left_to_right


@pytest.mark.parametrize("factorization", sorted(PATHS))
@pytest.mark.parametrize("training", [True, False])
@examples
@given(
    outputs=st.sampled_from([1, 7, 10, 1000]),
    rank=st.sampled_from([1, 8, 100, 1000]),
    batch=st.integers(1, 300),
)
def test_the_choice_never_holds_more_than_rebuilding(factorization, training, outputs, rank, batch):
    from trlkit.ranks import tucker_parameters, validate_rank

    shape = (512, 7, 7, outputs)
    rank = validate_rank(shape, rank, factorization)
    found = plan(factorization, (512, 7, 7), (outputs,), rank, batch, training=training)
    costs = {cost.path: cost for cost in found.costs}
    limit = costs["rebuild"].memory
    if training:
        weight = 25088 * outputs
        mode_after_mode = {
            "cp": lambda: 2 * weight,
            "tt": lambda: 2 * weight + 25088 * rank[3],
            "tucker": lambda: (
                2 * weight
                + sum(math.prod(shape[:k] + rank[k:]) for k in range(1, 4))
                - tucker_parameters(shape, rank)
            ),
        }[factorization]()
        limit = max(limit, 4 * mode_after_mode)
    assert costs[found.path].memory <= limit
    fitting = [cost for cost in found.costs if cost.memory <= limit]
    assert costs[found.path].seconds("cpu") == min(cost.seconds("cpu") for cost in fitting)


def test_a_gpu_counts_launches_outside_of_a_graph_and_work_inside():
    what = ("cp", (512, 7, 7), (10,), 100, 1)
    outside = {cost.path: cost for cost in plan(*what, device="cuda").costs}
    inside = {cost.path: cost for cost in plan(*what, device="cuda", graphed=True).costs}
    for path, cost in outside.items():
        assert inside[path].launches == 0 < cost.launches
        assert inside[path].seconds("cuda") < cost.seconds("cuda")
        assert cost.seconds("cuda") >= cost.launches * RATES["cuda"].launch
    # A captured factor side is the same few launches whatever the path.
    assert outside["rebuild"].launches == outside["khatri_rao"].launches
    assert outside["rebuild"].launches < outside["mode_by_mode"].launches
    large = plan("cp", (512, 7, 7), (10,), 1000, 1, device="cuda").costs
    assert {c.path: c.launches for c in large}["khatri_rao"] != outside["khatri_rao"].launches


def test_a_kept_weight_costs_one_matrix_product_and_a_large_one_is_not_kept():
    fresh = plan("cp", (512, 7, 7), (10,), 100, 32, training=False).costs[0]
    kept = plan("cp", (512, 7, 7), (10,), 100, 32, training=False, kept=True).costs[0]
    linear = 2 * 32 * 25088 * 10
    assert linear <= kept.flops < 1.01 * linear < fresh.flops
    outputs = KEPT_ELEMENTS // 25088 + 1
    large = [
        plan("cp", (512, 7, 7), (outputs,), 100, 32, training=False, kept=kept).costs
        for kept in (True, False)
    ]
    assert large[0] == large[1]


@examples
@given(switch=st.integers(1, 5000))
def test_a_schedule_switches_where_the_choice_does(switch):
    table = schedule(lambda batch: "before" if batch <= switch else "after")
    assert table == ((switch, "before"), (2**16, "after"))


@pytest.mark.parametrize("factorization", sorted(PATHS))
@pytest.mark.parametrize("batch", [1, 2, 7, 32, 33, 128, 1000])
def test_a_forward_pass_takes_the_path_that_explain_marks(factorization, batch):
    layer = LAYERS[factorization]((64, 7, 7), 100, 32, device="meta")
    assert layer._path(batch, "training") == layer.explain(batch).path


def test_a_plan_prints_the_costs_of_every_path_and_marks_one():
    text = str(LAYERS["cp"]((512, 7, 7), 10, 100, device="meta").explain(batch_size=128))
    title, head, *rows = text.splitlines()
    assert title == (
        "cp (512, 7, 7) -> (10,), rank 100: forward and backward of 128 samples on meta"
    )
    assert head.split() == ["path", "MFLOP", "MB", "moved", "MB", "held", "est.", "ms"]
    assert [row.lstrip("> ").split()[0] for row in rows] == list(PATHS["cp"])
    assert sum(row.startswith(">") for row in rows) == 1


def test_a_fixed_contraction_is_what_explain_marks():
    layer = LAYERS["tucker"]((8, 3), 5, 2, contraction="project_folded")
    assert layer.explain(4).path == "project_folded"


@pytest.mark.parametrize("factorization", sorted(PER_SAMPLE_PATHS))
@examples
@given(data=st.data())
def test_per_sample_masks_act_on_each_sample_alone(factorization, data):
    layer = data.draw(layers(factorization, dtype=torch.float64))
    weight, batch = layer._weight(), 3
    masks = [torch.rand(batch, r, dtype=torch.float64) for r in weight.rank_modes]
    if masks:
        masks[data.draw(st.integers(0, len(masks) - 1))] = None
    x = torch.randn(batch, *layer.input_shape, dtype=torch.float64)
    for path in PER_SAMPLE_PATHS[factorization]:
        together = weight.contract(x, path, layer.bias, masks)
        for sample in range(batch):
            own = [None if mask is None else mask[sample] for mask in masks]
            one = weight.masked(own).contract(x[sample : sample + 1], "rebuild", layer.bias, None)
            close(together[sample : sample + 1], one)


VIEWS = set(
    "view permute t transpose expand unsqueeze squeeze detach alias as_strided _unsafe_view "
    "_reshape_alias numpy_T select slice empty empty_strided new_empty_strided split unbind".split()
)


class Kernels(TorchDispatchMode):
    """Counts the operations that are no views: on a GPU each starts a kernel."""

    count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += operation._schema.name.removeprefix("aten::") not in VIEWS
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("case", table.grid(), ids=str)
def test_the_model_counts_the_kernels_that_run(case):
    rank = table.rank_of(case)
    costs = plan(
        case.factorization, case.input_shape, (case.outputs,), rank, case.batch, device="cuda"
    ).costs
    with torch.device("meta"):
        layer = table.LAYERS[case.factorization](case.input_shape, case.outputs, rank)
        x = torch.empty(case.batch, *case.input_shape, requires_grad=True)
        direction = torch.empty(case.batch, case.outputs)
    for cost in costs:
        layer.contraction, x.grad = cost.path, None
        layer.zero_grad()
        with Kernels() as kernels:
            layer(x).backward(direction)
        assert abs(cost.kernels - kernels.count) <= 4, cost
