"""A layer's factor side as CUDA graphs, and the kernels for few outputs.

Without a GPU the graphs are functions, so that all that surrounds them is tested.
"""

import copy
import math
import pickle

import pytest
import torch
from oracles import DEVICES, LAYERS, close, dense_output
from torch import nn

import trlkit
from trlkit import TensorDropout
from trlkit.contraction import captured, narrow, pairs
from trlkit.contraction.costs import CAPTURED_PATHS, PATHS
from trlkit.dropout import draw_masks

GPU = pytest.mark.gpu
CAPTURED = [(n, path) for n, paths in PATHS.items() for path in paths if path in CAPTURED_PATHS]
EACH = pytest.mark.parametrize(("factorization", "path"), CAPTURED)
ON_EACH = pytest.mark.parametrize("device", DEVICES)


def made(
    factorization, path, shape=(16, 3, 3), outputs=5, dtype=torch.float64, device="cuda", **options
):
    return LAYERS[factorization](
        shape, outputs, 4, contraction=path, dtype=dtype, device=device, **options
    )


def batch(layer, size=6):
    like = next(layer.parameters())
    return torch.randn(size, *layer.input_shape).to(like).requires_grad_()


def run(layer, x):
    """The layer's output by a captured program, which on a GPU is what its forward pass takes."""
    if x.is_cuda:
        return layer(x)
    weight, path = layer._weight(), layer.contraction
    if layer.training and layer.dropout.p > 0:
        weight = weight.masked(draw_masks(layer.dropout, weight.rank_modes, len(x), x))
    make = captured.of(weight, path, len(layer.input_shape))
    y = layer._programs.contract(path, make, weight.tensors, x, layer.bias)
    return y.reshape(len(x), *layer.output_shape)


def agrees(layer, x, dtype=torch.float64):
    """The layer's output and all of its gradients are those of a dense float64 einsum."""
    y, expected = run(layer, x), dense_output(layer, x)
    close(y, expected, dtype)
    wanted, direction = [x, *layer.parameters()], torch.randn_like(expected)
    before = [tensor.detach().clone() for tensor in wanted]
    found = torch.autograd.grad(y, wanted, direction.to(y.dtype))
    assert all(map(torch.equal, wanted, before))  # nothing was written over a factor
    for one, right in zip(found, torch.autograd.grad(expected, wanted, direction), strict=True):
        close(one, right, dtype)


@ON_EACH
@EACH
@pytest.mark.parametrize("shape", [(16, 3, 3), (1, 5, 1), (7,), (2, 3, 2, 3)])
def test_a_program_gives_what_a_dense_einsum_gives(factorization, path, shape, device):
    layer = made(factorization, path, shape, device=device)
    x = batch(layer)
    agrees(layer, x)
    assert len(layer._programs) == 1
    agrees(layer, x)  # once more, by the graphs that are there
    if len(shape) == 3:
        agrees(layer, x.detach().to(memory_format=torch.channels_last).requires_grad_())
        agrees(layer, x.detach()[::2].requires_grad_())
    assert run(layer, x[:0]).shape == (0, 5)


@ON_EACH
@EACH
def test_it_follows_whatever_changes_the_factors(factorization, path, device):
    layer = made(factorization, path, device=device)
    x = batch(layer)
    agrees(layer, x)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    run(layer, x).square().sum().backward()
    optimizer.step()
    agrees(layer, x)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.data.mul_(1.5)
    agrees(layer, x)
    layer.reset_parameters()
    agrees(layer, x)
    layer.load_state_dict(made(factorization, path, device=device).state_dict(), assign=True)
    agrees(layer, x)


@ON_EACH
@EACH
def test_passes_may_come_between_a_forward_and_its_backward(factorization, path, device):
    layer = made(factorization, path, dropout=0.5, device=device)
    x, other = batch(layer), batch(layer)
    wanted = list(layer.parameters())
    torch.manual_seed(0)
    first = run(layer, x)
    second = run(layer, other)  # other masks, in the same buffers
    with torch.no_grad():
        run(layer, x)
    found = torch.autograd.grad(first.sum() + 2 * second.sum(), wanted)
    torch.manual_seed(0)
    one = torch.autograd.grad(run(layer, x).sum(), wanted)
    two = torch.autograd.grad(run(layer, other).sum(), wanted)
    for whole, part, rest in zip(found, one, two, strict=True):
        close(whole, part + 2 * rest)


@ON_EACH
@EACH
def test_gradients_that_are_kept_do_not_change_at_later_passes(factorization, path, device):
    layer = made(factorization, path, device=device)
    x, kept = batch(layer), []
    wanted = list(layer.parameters())
    for scale in (1, 2, 3, 4):
        grads = torch.autograd.grad(run(layer, x).sum() * scale, wanted)
        kept.append(grads[1:] if scale == 2 else grads)  # the second time all but one
        with torch.no_grad():
            run(layer, x)
    for scale, grads in zip((1, 2, 3, 4), kept, strict=True):
        right = torch.autograd.grad(dense_output(layer, x).sum() * scale, wanted)
        for one, expected in zip(grads, right[1:] if scale == 2 else right, strict=True):
            close(one, expected)


@ON_EACH
@EACH
def test_gradients_add_up_and_are_where_the_graph_writes_them(factorization, path, device):
    layer = made(factorization, path, device=device)
    x, tensors = batch(layer), layer._weight().tensors
    for times in (1, 2, 3):
        run(layer, x).sum().backward()
        right = torch.autograd.grad(dense_output(layer, x).sum(), tensors)
        for tensor, expected in zip(tensors, right, strict=True):
            close(tensor.grad, times * expected)
    (program,) = layer._programs
    places = {grad.data_ptr() for grad in program.grads}
    assert {tensor.grad.data_ptr() for tensor in tensors} == places
    y = run(layer, x)  # the usual loops: before or after the forward pass they are let go
    layer.zero_grad()
    y.sum().backward()
    assert {tensor.grad.data_ptr() for tensor in tensors} == places
    for tensor, expected in zip(tensors, right, strict=True):
        close(tensor.grad, expected)
    elsewhere = [tensor.grad for tensor in tensors]
    layer.zero_grad()
    run(layer, x).sum().backward()
    assert places.isdisjoint(tensor.grad.data_ptr() for tensor in tensors)
    for tensor, held, expected in zip(tensors, elsewhere, right, strict=True):
        close(tensor.grad, expected)
        close(held, expected)


@ON_EACH
@EACH
def test_without_a_count_of_uses_gradients_are_copied(factorization, path, device, monkeypatch):
    monkeypatch.setattr(captured, "LENDS", False)
    layer = made(factorization, path, device=device)
    x = batch(layer)
    run(layer, x).sum().backward()
    (program,) = layer._programs
    tensors = layer._weight().tensors
    places = {grad.data_ptr() for grad in program.grads}
    assert places.isdisjoint(tensor.grad.data_ptr() for tensor in tensors)
    right = torch.autograd.grad(dense_output(layer, x).sum(), tensors)
    for tensor, expected in zip(tensors, right, strict=True):
        close(tensor.grad, expected)


@ON_EACH
@EACH
def test_parameters_that_move_are_followed_and_at_last_copied(factorization, path, device):
    layer = made(factorization, path, device=device)
    x = batch(layer)
    held = []
    for _ in range(captured.MOST_MOVES + 3):
        agrees(layer, x)
        for parameter in layer.parameters():
            held.append(parameter.data)
            parameter.data = torch.randn_like(parameter)
    *_, program = layer._programs
    assert program.copies
    assert len(layer._programs) == 2
    agrees(layer, x)


@ON_EACH
@EACH
def test_parameters_may_be_gone_between_the_passes_and_come_back_elsewhere(
    factorization, path, device
):
    layer = made(factorization, path, device=device)
    x = batch(layer)
    wanted = [x, *layer.parameters()]
    right = torch.autograd.grad(dense_output(layer, x).sum(), wanted)
    for _ in range(2):
        y, blockers = run(layer, x), []
        for parameter in layer.parameters():  # as fully sharded training does
            values, storage = parameter.detach().clone(), parameter.untyped_storage()
            size = storage.nbytes()
            storage.resize_(0)
            blockers.append(torch.full((size,), 77, dtype=torch.uint8, device=device))
            storage.resize_(size)
            parameter.data.copy_(values)
        for one, expected in zip(torch.autograd.grad(y.sum(), wanted), right, strict=True):
            close(one, expected)


@ON_EACH
def test_a_factor_laid_out_anew_in_its_own_memory_is_followed(device):
    layer = made("cp", "rebuild", (4, 4), outputs=4, device=device)
    x = batch(layer)
    agrees(layer, x)
    layer.factors[0].data = layer.factors[0].data.T
    agrees(layer, x)


@ON_EACH
@EACH
def test_a_factor_changed_in_place_before_the_backward_pass_is_an_error(
    factorization, path, device
):
    layer = made(factorization, path, device=device)
    y = run(layer, batch(layer))
    with torch.no_grad():
        layer._weight().tensors[0].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@ON_EACH
@EACH
def test_it_is_differentiable_twice(factorization, path, device):
    layer = made(factorization, path, shape=(3, 2, 2), outputs=2, device=device)
    x = batch(layer, 2)
    tensors = [x, *layer.parameters()]

    def penalty(y):
        grads = torch.autograd.grad(y.square().sum(), tensors, create_graph=True)
        return sum(grad.square().sum() for grad in grads)

    found = torch.autograd.grad(penalty(run(layer, x)), tensors)
    expected = torch.autograd.grad(penalty(dense_output(layer, x)), tensors)
    for one, right in zip(found, expected, strict=True):
        close(one, right)


@ON_EACH
@EACH
def test_many_directions_at_once(factorization, path, device):
    layer = made(factorization, path, device=device)
    x = batch(layer)
    tensors, directions = (
        [x, *layer.parameters()],
        torch.randn(3, 6, 5, dtype=torch.float64, device=device),
    )
    found = torch.autograd.grad(run(layer, x), tensors, directions, is_grads_batched=True)
    for number, direction in enumerate(directions):
        expected = torch.autograd.grad(dense_output(layer, x), tensors, direction)
        for one, right in zip(found, expected, strict=True):
            close(one[number], right)


@GPU
@EACH
def test_what_captures_or_transforms_a_call_goes_round_the_programs(factorization, path):
    layer = made(factorization, path, dtype=torch.float32)
    x = batch(layer).detach()
    expected, parameters = dense_output(layer, x), dict(layer.named_parameters())

    def output(values, one):
        return torch.func.functional_call(layer, values, (one[None],))[0]

    layer._programs = captured.Programs()
    close(torch.func.vmap(output, (None, 0))(parameters, x), expected, torch.float32)
    torch.func.grad(lambda values: output(values, x[0]).sum())(parameters)
    torch.func.jvp(lambda one: output(parameters, one), (x[0],), (x[1],))
    close(torch.compile(layer, fullgraph=True)(x), expected, torch.float32)
    close(torch.export.export(layer, (x,)).module()(x), expected, torch.float32)
    assert len(layer._programs) == 0
    close(torch.jit.trace(layer, (x,))(x), expected, torch.float32)


@ON_EACH
@EACH
def test_copies_have_programs_of_their_own(factorization, path, device):
    layer = made(factorization, path, device=device)
    x = batch(layer)
    agrees(layer, x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert len(other._programs) == 0
        with torch.no_grad():
            next(other.parameters()).mul_(2)
        agrees(other, x)
    agrees(layer, x)
    moved = copy.deepcopy(layer).cpu()
    close(moved(x.cpu()), dense_output(moved, x.cpu()))


@ON_EACH
@EACH
def test_a_backward_pass_can_be_run_again(factorization, path, device):
    layer = made(factorization, path, device=device)
    x = batch(layer)
    y, tensors = run(layer, x), [x, *layer.parameters()]
    first = torch.autograd.grad(y.sum(), tensors, retain_graph=True)
    for one, other in zip(first, torch.autograd.grad(y.sum(), tensors), strict=True):
        assert torch.equal(one, other)


@ON_EACH
@pytest.mark.parametrize("path", ["rebuild", "khatri_rao"])
def test_one_number_a_sample(path, device):
    layer = made("cp", path, outputs=(), device=device)
    agrees(layer, batch(layer))


@ON_EACH
@EACH
def test_frozen_factors_and_frozen_inputs(factorization, path, device):
    layer = made(factorization, path, device=device)
    x = batch(layer)
    layer.requires_grad_(False)
    (found,) = torch.autograd.grad(run(layer, x).sum(), x)
    (expected,) = torch.autograd.grad(dense_output(layer, x).sum(), x)
    close(found, expected)
    last = list(layer.parameters())[-2].requires_grad_()
    (found,) = torch.autograd.grad(run(layer, x.detach()).sum(), last)
    (expected,) = torch.autograd.grad(dense_output(layer, x).sum(), last)
    close(found, expected)
    with torch.inference_mode():
        close(run(layer, x), dense_output(layer, x))


@GPU
@EACH
def test_under_autocast_it_computes_as_a_linear_layer_does(factorization, path):
    layer = made(factorization, path, dtype=torch.float32)
    x = batch(layer)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    close(y, dense_output(layer, x), torch.bfloat16)
    y.float().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in (x, *layer.parameters()))
    agrees(layer, x, torch.float32)


@GPU
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@EACH
def test_under_autocast_it_follows_the_factors_and_their_gradients_are_right(
    factorization, path, dtype
):
    layer = made(factorization, path, dtype=torch.float32)
    for _ in range(3):
        x = batch(layer)
        with torch.autocast("cuda", dtype=dtype):
            y = layer(x)
        expected, direction = dense_output(layer, x), torch.randn_like(y)
        close(y, expected, torch.bfloat16)
        wanted = [x, *layer.parameters()]
        found = torch.autograd.grad(y, wanted, direction)
        grads = torch.autograd.grad(expected, wanted, direction.to(expected))
        for one, right in zip(found, grads, strict=True):
            assert (one - right).norm() < 0.02 * right.norm()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(torch.randn_like(parameter))


@GPU
def test_masks_of_a_sample_work_with_a_program():
    layer = made("cp", "khatri_rao", dropout=TensorDropout(0.5, per_sample=True))
    x = batch(layer)
    torch.manual_seed(0)
    y = layer(x)
    with torch.random.fork_rng(devices=["cuda"]):
        torch.manual_seed(0)
        mask = (torch.rand(6, 4, device="cuda") >= 0.5).double() / 0.5
    a, b, c, d = layer.factors
    expected = torch.einsum("nijk,ir,jr,kr,nr,or->no", x, a, b, c, mask, d) + layer.bias
    close(y, expected)


@GPU
def test_on_another_stream_and_in_a_thread_it_is_right():
    layer = made("cp", "rebuild")
    x = batch(layer)
    agrees(layer, x)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        agrees(layer, x)
    torch.cuda.current_stream().wait_stream(side)
    agrees(layer, x)


@GPU
def test_a_user_may_capture_the_layer():
    layer = made("tucker", "auto", (64, 4, 4), dtype=torch.float32)
    x = batch(layer, 32)
    expected = dense_output(layer, x).detach()
    whole = torch.cuda.make_graphed_callables(layer, (x,))
    close(whole(x), expected, torch.float32)


@GPU
@pytest.mark.parametrize("size", [16, 33, 100, 512])
@pytest.mark.parametrize(("inputs", "outputs"), [(1024, 10), (4100, 16), (25088, 7), (2000, 2)])
def test_few_outputs_as_exactly_as_a_library_has_them(size, inputs, outputs, monkeypatch):
    monkeypatch.setattr(narrow, "LEAST_ELEMENTS", 0)
    torch.manual_seed(size + inputs)
    rows = torch.randn(size, inputs, device="cuda", requires_grad=True)
    matrix = torch.randn(outputs, inputs, device="cuda", requires_grad=True)
    bias = torch.randn(outputs, device="cuda", requires_grad=True)
    assert narrow.fits(rows, matrix)
    wanted, direction = (rows, matrix, bias), torch.randn(size, outputs, device="cuda")

    def found(function, *tensors):
        y = function(*tensors)
        return [y, *torch.autograd.grad(y, tensors, direction.to(y.dtype))]

    exact = found(nn.functional.linear, *(t.detach().double().requires_grad_() for t in wanted))
    ours, library = found(narrow.linear, *wanted), found(nn.functional.linear, *wanted)
    for one, theirs, right in zip(ours, library, exact, strict=True):
        off, usual = ((made - right).abs().max().item() for made in (one, theirs))
        scale = right.abs().max().item()
        assert off <= max(2 * usual, 1e-6 * scale)
    for dtype in (torch.bfloat16, torch.float16):
        low = [t.detach().to(dtype).requires_grad_() for t in wanted]
        for one, right in zip(found(narrow.linear, *low), exact, strict=True):
            close(one, right, dtype)


@GPU
@pytest.mark.parametrize("path", ["rebuild", "khatri_rao"])
@pytest.mark.parametrize("layout", ["whole", "every second", "repeated", "channels last"])
def test_few_outputs_of_a_layer_whatever_the_batch_is_a_part_of(path, layout, monkeypatch):
    monkeypatch.setattr(narrow, "LEAST_ELEMENTS", 0)
    layer = made("cp", path, (64, 5, 5), dtype=torch.float32)
    x = batch(layer, 64).detach()
    x = {
        "whole": lambda: x,
        "every second": lambda: x[::2],
        "repeated": lambda: x[:1].expand(32, -1, -1, -1),
        "channels last": lambda: x.to(memory_format=torch.channels_last),
    }[layout]()
    assert narrow.fits(x.reshape(len(x), -1), torch.empty(5, 1600, device="cuda"))
    agrees(layer, x.requires_grad_(), torch.float32)


@GPU
def test_few_outputs_are_differentiable_twice(monkeypatch):
    monkeypatch.setattr(narrow, "LEAST_ELEMENTS", 0)
    rows = torch.randn(16, 1024, device="cuda", requires_grad=True)
    matrix = torch.randn(3, 1024, device="cuda", requires_grad=True)

    def penalty(function):
        y = function(rows, matrix) / math.sqrt(1024)
        grads = torch.autograd.grad(y.square().sum(), (rows, matrix), create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in grads), (rows, matrix))

    for one, right in zip(penalty(narrow.linear), penalty(nn.functional.linear), strict=True):
        close(one, right, torch.float32)


@GPU
@pytest.mark.parametrize("memory", ["rows", "columns"])
def test_few_outputs_in_the_memory_of_either_order_and_over_the_matrix(memory, monkeypatch):
    monkeypatch.setattr(narrow, "LEAST_ELEMENTS", 0)
    rows = torch.randn(64, 2000, device="cuda", requires_grad=True)
    matrix, g = torch.randn(2000, 7, device="cuda").T, torch.randn(64, 7, device="cuda")
    matrix = (matrix.contiguous() if memory == "rows" else matrix).requires_grad_()
    y = narrow.linear(rows, matrix)
    close(y, rows.double() @ matrix.double().T, torch.float32)
    found = torch.autograd.grad(y, (rows, matrix), g)
    right = g.double() @ matrix.double(), g.double().T @ rows.double()
    for one, expected in zip(found, right, strict=True):
        close(one, expected, torch.float32)
    over = matrix.detach().clone()
    close(narrow.gradients(rows.detach(), over, g, over), right[0], torch.float32)
    close(over, right[1], torch.float32)


def _captured(function):
    """What a function of no arguments gives in a CUDA graph."""
    graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    with captured.capturing(graph, side):
        found = function()
    graph.replay()
    torch.cuda.synchronize()
    return found


@GPU
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("sizes", [(7, 7, 10), (512, 7, 7), (1, 5), (3, 1, 2), (2000, 3), (70, 70)])
@pytest.mark.parametrize("columns", [1, 10, 33, 100])
def test_a_khatri_rao_product_and_its_gradients_in_a_graph(sizes, columns, dtype):
    _product_in_a_graph(
        pairs.khatri_rao, trlkit.khatri_rao, [(size, columns) for size in sizes], dtype
    )


@GPU
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    "shapes",
    [
        [(7, 7), (7, 3)],
        [(7, 3), (7, 3), (10, 2)],
        [(1, 4), (5, 1)],
        [(40, 40), (2, 3)],
        [(3, 300)] * 2,
    ],
)
def test_a_kronecker_product_and_its_gradients_in_a_graph(shapes, dtype):
    _product_in_a_graph(pairs.kronecker, trlkit.kronecker, shapes, dtype)


def _product_in_a_graph(ours, plain, shapes, dtype):
    matrices = [torch.randn(*shape, device="cuda").to(dtype).requires_grad_() for shape in shapes]
    exact = [matrix.detach().double().requires_grad_() for matrix in matrices]
    right = plain(exact)
    direction = torch.randn_like(right)

    def both(wanted):
        y = ours(matrices)
        return y, torch.autograd.grad(y, wanted, direction.to(dtype))

    for wanted in (range(len(shapes)), range(1)):
        y, grads = _captured(lambda wanted=wanted: both([matrices[k] for k in wanted]))
        close(y, right, dtype)
        expected = torch.autograd.grad(
            right, [exact[k] for k in wanted], direction, retain_graph=True
        )
        for one, other in zip(grads, expected, strict=True):
            close(one, other, dtype)


@GPU
def test_a_product_in_a_graph_is_differentiable_twice():
    matrices = [torch.randn(size, 6, device="cuda", requires_grad=True) for size in (3, 4, 5)]

    def penalty(product):
        y = product(matrices)
        grads = torch.autograd.grad(y.square().sum(), matrices, create_graph=True)
        return torch.autograd.grad(sum(grad.square().sum() for grad in grads), matrices)

    found, expected = _captured(lambda: penalty(pairs.khatri_rao)), penalty(trlkit.khatri_rao)
    for one, right in zip(found, expected, strict=True):
        close(one, right.double(), torch.float32)


@GPU
def test_without_a_compiler_for_kernels_a_layer_goes_on_and_says_so(monkeypatch):
    from trlkit.contraction import kernels

    def broken(*tensors):
        raise RuntimeError("Failed to find C compiler.\nPlease specify one")

    monkeypatch.setattr(kernels, "khatri_rao_backward", broken)
    monkeypatch.setattr(narrow, "LEAST_ELEMENTS", 0)
    narrow.kernels_of.cache_clear()
    layer = made("cp", "rebuild", (64, 5, 5), dtype=torch.float32)
    with pytest.warns(UserWarning, match="without its Triton kernels.*C compiler"):
        agrees(layer, batch(layer, 64), torch.float32)
    narrow.kernels_of.cache_clear()
