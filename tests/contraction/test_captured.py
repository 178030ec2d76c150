"""A layer's factor side as CUDA graphs, by Python's step of autograd and by the native one.

Without a GPU the graphs are functions, so that all that surrounds them is tested.
"""

import copy
import functools
import gc
import pickle
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import oracles
import pytest
import torch
from oracles import DEVICES, LAYERS, close, dense_output
from torch import nn
from torch.nn.utils import parametrize, prune
from torch.utils._python_dispatch import TorchDispatchMode

from trlkit import TensorDropout
from trlkit.contraction import captured, native
from trlkit.contraction.costs import CAPTURED_PATHS, PATHS
from trlkit.dropout import draw, masks_of

GPU = pytest.mark.gpu
CAPTURED = [(n, path) for n, paths in PATHS.items() for path in paths if path in CAPTURED_PATHS]
EACH = pytest.mark.parametrize(("factorization", "path"), CAPTURED)
PYTHON = pytest.mark.parametrize("step", ["python"], indirect=True)
NATIVE = pytest.mark.parametrize("step", ["native"], indirect=True)
ON_EACH = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture(params=["python", "native"], autouse=True)
def step(request, monkeypatch):
    """Whose step of autograd the programs take."""
    found = request.getfixturevalue("built") if request.param == "native" else None
    monkeypatch.setattr(native, "module", lambda: found)
    return request.param


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
    weight, calls = layer._weight(), layer._programs.calls
    drops = layer.training and layer.dropout.p > 0
    if calls is not None and (y := calls.again(layer, x, drops)) is not None:
        return y
    drawn = draw(layer.dropout, weight.rank_modes, len(x), x.device) if drops else None
    make = captured.of(weight, layer.contraction, len(layer.input_shape), layer.dropout)
    y = layer._programs.contract(layer.contraction, make, weight.tensors, x, layer.bias, drawn)
    return y.reshape(len(x), *layer.output_shape)


agrees = functools.partial(oracles.agrees, run=run)


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

    layer._programs = layer._new_programs()
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


@ON_EACH
@EACH
@pytest.mark.parametrize("outputs", [5, ()])
def test_tensor_dropout_is_a_part_of_the_program(factorization, path, outputs, device, step):
    layer = made(factorization, path, outputs=outputs, dropout=0.4, device=device)
    x, parameters = batch(layer), list(layer.parameters())

    def gradients(y, **options):
        return torch.autograd.grad(y.square().sum(), [x, *parameters], **options)

    def expected(seed):
        """The output of the masked weight as one dense layer, and its gradients."""
        torch.manual_seed(seed)
        weight = layer._weight()
        drawn = draw(layer.dropout, weight.rank_modes, len(x), x.device)
        masks = masks_of(layer.dropout, weight.rank_modes, drawn, x.dtype)
        dense = weight.masked(masks).dense()
        y = x.flatten(1) @ dense.reshape(x[0].numel(), -1) + layer.bias.reshape(-1)
        y = y.reshape(len(x), *layer.output_shape)
        return y, gradients(y, retain_graph=True)

    def found(seed):
        torch.manual_seed(seed)
        return run(layer, x)

    for seed in range(3):
        y, own = found(seed), expected(seed)
        close(y, own[0])
        found(seed + 10)  # whose masks come between
        held = gradients(y, retain_graph=True)
        for one, other in zip(held, own[1], strict=True):
            close(one, other)
        again = gradients(y, create_graph=True)
        further = torch.autograd.grad(again[0].sum(), parameters[0])
        twice = gradients(own[0], create_graph=True)
        close(further[0], torch.autograd.grad(twice[0].sum(), parameters[0])[0])
        for one, other in zip(held, own[1], strict=True):
            close(one, other)  # still
    with torch.no_grad():
        y = found(7)
    close(y, expected(7)[0])
    assert len(layer._programs) == 1 and not any(program.copies for program in layer._programs)
    if step == "native":
        torch.manual_seed(8)
        kept = layer._programs.calls.again(layer, x, True)
        close(kept, expected(8)[0])
        assert layer._programs.calls.again(layer, x, False) is None
    close(run(layer.eval(), x), dense_output(layer, x))


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


@pytest.mark.parametrize("streams", ["one stream", pytest.param("streams", marks=GPU)])
@ON_EACH
@EACH
def test_threads_may_train_one_layer_at_once(factorization, path, device, streams):
    layer = made(factorization, path, device=device)
    batches, parameters = [batch(layer) for _ in range(4)], list(layer.parameters())

    def gradients(x, y):
        return torch.autograd.grad(y.square().sum(), [x, *parameters])

    expected = [gradients(x, dense_output(layer, x)) for x in batches]
    interval = sys.getswitchinterval()

    def train(x, own):
        with torch.cuda.stream(torch.cuda.Stream() if streams == "streams" else None):
            for _ in range(12):
                y = run(layer, x)
                run(layer, x.detach() * 2)  # whose matrices come between
                for found, one in zip(gradients(x, y), own, strict=True):
                    close(found, one)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(len(batches)) as threads:
            list(threads.map(train, batches, expected))
    finally:
        sys.setswitchinterval(interval)


def test_garbage_waits_until_a_capture_is_over():
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            with pytest.raises(RuntimeError, match="on purpose"), captured._undisturbed():
                assert not gc.isenabled()
                raise RuntimeError("on purpose")
            assert gc.isenabled() == enabled
        finally:
            gc.enable()


@pytest.fixture
def within(monkeypatch):
    """Passes run as inside a graph that somebody else captures."""
    monkeypatch.setattr(captured, "_in_capture", lambda x: True)


@PYTHON
@pytest.mark.parametrize("shape", [(16, 3, 3), (1, 5, 1), (7,), (2, 3, 2, 3)])
@pytest.mark.parametrize(
    ("factorization", "path", "outputs"),
    [
        (*of, outputs)
        for of in CAPTURED
        for outputs in (5, (), (2, 3))
        if (*of, outputs) != ("tucker", "merged", (2, 3))  # is no single product
    ],
)
def test_within_a_graph_a_pass_is_right(factorization, path, shape, outputs, within):
    layer = made(factorization, path, shape, outputs, device="cpu")
    for size in (1, 6, 0):
        agrees(layer, batch(layer, size))
    assert len(layer._programs) == 0
    x, tensors = batch(layer), list(layer.parameters())
    y = run(layer, x)
    first, second = (torch.autograd.grad(y.sum(), [x, *tensors], retain_graph=k) for k in (1, 0))
    for one, other in zip(first, second, strict=True):
        close(one, other)
    for some in ([x], [layer.bias], tensors[:1], [x, tensors[-1]]):
        asked = [tensor for tensor in (x, *tensors) if any(tensor is one for one in some)]
        for tensor in (x, *tensors):
            tensor.requires_grad_(any(tensor is one for one in asked))
        right = dict(zip(map(id, (x, *tensors)), first, strict=True))
        for one, tensor in zip(torch.autograd.grad(run(layer, x).sum(), asked), asked, strict=True):
            close(one, right[id(tensor)])


@PYTHON
@EACH
def test_within_a_graph_a_pass_is_differentiable_twice(factorization, path, within):
    layer = made(factorization, path, (3, 2), 2, device="cpu")
    x, tensors = batch(layer, 2), list(layer.parameters())

    def penalty(found):
        grads = torch.autograd.grad(found.square().sum(), [x, *tensors], create_graph=True)
        return torch.autograd.grad(sum(grad.square().sum() for grad in grads), [x, *tensors])

    found, right = penalty(run(layer, x)), penalty(dense_output(layer, x))
    for one, other in zip(found, right, strict=True):
        close(one, other)


@GPU
@PYTHON
@EACH
@pytest.mark.parametrize(("inputs", "size"), [((64, 4, 4), 32), ((64, 4, 4), 1), ((256, 5, 5), 64)])
@pytest.mark.parametrize("dropout", [0, 0.5])
def test_a_user_may_capture_the_layer(factorization, path, inputs, size, dropout):
    layer = made(factorization, path, inputs, 20, dtype=torch.float32).eval()
    x, tensors = batch(layer, size), list(layer.parameters())
    direction = torch.randn(size, 20, device="cuda")
    graph = torch.cuda.CUDAGraph()
    torch.autograd.grad(layer(x), [x, *tensors], direction)  # libraries set themselves up
    programs = len(layer._programs)
    gc.collect()  # a graph among the garbage may not be destroyed while another is captured
    with torch.cuda.graph(graph):
        y = layer(x)
        grads = torch.autograd.grad(y, [x, *tensors], direction)
    assert len(layer._programs) == programs
    for _ in range(3):
        with torch.no_grad():
            for tensor in (x, direction, *tensors):
                tensor.copy_(torch.randn_like(tensor))
        right = dense_output(layer, x)
        expected = torch.autograd.grad(right, [x, *tensors], direction.double())
        graph.replay()
        for one, other in zip((y, *grads), (right, *expected), strict=True):
            close(one, other, torch.float32)
    layer.train().dropout = dropout
    gc.collect()
    whole = torch.cuda.make_graphed_callables(layer, (x.detach().requires_grad_(),))
    torch.cuda.synchronize()
    seen = torch.stack([whole(x).detach().clone() for _ in range(20)])
    if not dropout:
        close(seen[-1], dense_output(layer, x), torch.float32)
    else:
        assert (seen[0] != seen[1]).any()


def called(device):
    """A layer that has been called, with its batch and the calls that are kept of it."""
    layer = made("cp", "khatri_rao", device=device)
    x = batch(layer)
    run(layer, x)
    return layer, x, layer._programs.calls


@NATIVE
@ON_EACH
@EACH
@pytest.mark.parametrize("outputs", [5, (), (2, 3)])
def test_a_call_like_one_before_is_run_whole(factorization, path, outputs, device, step):
    if (factorization, path) == ("tucker", "merged") and outputs == (2, 3):
        outputs = (6,)  # that path has one output mode at most
    layer = LAYERS[factorization](
        (6, 3), outputs, 2, contraction=path, dtype=torch.float64, device=device
    )
    x = batch(layer)
    run(layer, x)
    calls = layer._programs.calls
    for _ in range(2):
        y = calls.again(layer, x, False)
        close(y, dense_output(layer, x))
        assert y.shape == (6, *layer.output_shape)
        wanted = [x, *layer.parameters()]
        found = torch.autograd.grad(y.square().sum(), wanted)
        expected = torch.autograd.grad(dense_output(layer, x).square().sum(), wanted)
        for one, right in zip(found, expected, strict=True):
            close(one, right)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.add_(torch.randn_like(parameter))
    assert "trlkit" in y.grad_fn.name()


class Same(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


@NATIVE
@ON_EACH
def test_a_call_unlike_those_before_is_left_to_python(device, step):
    layer, x, calls = called(device)
    assert calls.again(layer, x, False) is not None
    for other in (
        x[:3],
        x.float(),
        x.detach()[0],
        x.detach()[:, :, :2],
        x.detach().to("meta"),
        x.detach().to_sparse(),
        nn.Parameter(x.detach()).as_subclass(type("Own", (torch.Tensor,), {})),
        x.detach().numpy(force=True),
        None,
    ):
        assert calls.again(layer, other, False) is None
    with torch.no_grad():
        assert calls.again(layer, x, False) is None  # a pass of another kind
        run(layer, x)
        assert calls.again(layer, x, False) is not None
    with Same():
        assert calls.again(layer, x, False) is None
    with torch.autograd.forward_ad.dual_level():
        assert (
            calls.again(layer, torch.autograd.forward_ad.make_dual(x.detach(), x.detach()), False)
            is None
        )
    assert torch.func.vmap(lambda one: torch.ones(()) * (calls.again(layer, one, False) is None))(
        x
    ).all()
    values = {name: value.detach().clone() for name, value in layer.named_parameters()}
    run(layer, x.detach())
    seen = torch.func.functional_call(
        Asks(layer), {f"layer.{n}": v for n, v in values.items()}, (x,)
    )
    assert seen is None
    with torch.autocast(device, dtype=torch.bfloat16):
        assert calls.again(layer, x.detach(), False) is not None  # float64 is not lowered


class Asks(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer._programs.calls.again(self.layer, x, False)


@NATIVE
@ON_EACH
def test_a_layer_that_has_changed_is_left_to_python(device, step):
    layer, x, calls = called(device)
    factor, bias = layer.factors[0], layer.bias
    layer.factors[0] = nn.Parameter(torch.randn_like(factor))
    assert calls.again(layer, x, False) is None
    layer.factors[0] = factor
    assert calls.again(layer, x, False) is not None
    layer.bias = None
    close(calls.again(layer, x, False), dense_output(layer, x))
    layer.bias = nn.Parameter(2 * bias.detach())
    close(calls.again(layer, x, False), dense_output(layer, x))
    factors, layer.factors = (
        layer.factors,
        nn.ParameterList([torch.randn_like(factor) for factor in layer.factors]),
    )
    assert calls.again(layer, x, False) is None
    layer.factors = factors
    assert calls.again(layer, x, False) is not None
    prune.l1_unstructured(layer.factors, "0", 0.5)
    assert calls.again(layer, x, False) is None
    prune.remove(layer.factors, "0")
    agrees(layer, x)
    parametrize.register_parametrization(layer, "bias", nn.Identity())
    assert layer._programs.calls.again(layer, x, False) is None


@NATIVE
@ON_EACH
def test_dropout_and_another_path_are_seen(device, step):
    layer, x, calls = called(device)
    layer.contraction = "rebuild"
    assert layer._programs.calls is None
    layer.dropout = 0.5
    torch.manual_seed(0)
    found = {layer(x).sum().item() for _ in range(4)}
    assert len(found) > 1
    layer.eval()
    close(run(layer, x), dense_output(layer, x))


@ON_EACH
def test_a_layer_that_is_gone_can_still_be_differentiated_and_leaves_nothing(device, step):
    layer = made("tucker", "merged", device=device)
    x = batch(layer)
    wanted = [x, *layer.parameters()]
    right = torch.autograd.grad(dense_output(layer, x).square().sum(), wanted)
    y = run(layer, x)
    y = run(layer, x)
    programs = weakref.ref(layer._programs)
    made_of_it = [weakref.ref(program) for program in layer._programs]
    del layer
    if step == "native":
        gc.collect()
        assert programs() is None
        assert not any(one() for one in made_of_it)
    twice = torch.autograd.grad(y.square().sum(), wanted, create_graph=True)
    for one, expected in zip(twice, right, strict=True):
        close(one, expected)
    for one, expected in zip(torch.autograd.grad(y.square().sum(), wanted), right, strict=True):
        close(one, expected)


@ON_EACH
@EACH
def test_gradients_add_up_when_the_layer_is_gone(factorization, path, device):
    layer = made(factorization, path, device=device)
    x, tensors = batch(layer), layer._weight().tensors
    wanted = torch.autograd.grad(3 * dense_output(layer, x).sum(), tensors)
    run(layer, x)
    first, second = run(layer, x), run(layer, x)
    first.sum().backward()
    del layer
    gc.collect()
    second.sum().backward(torch.tensor(2.0, dtype=x.dtype, device=device))
    for tensor, expected in zip(tensors, wanted, strict=True):
        close(tensor.grad, expected)


def test_compiled_autograd_takes_it(step):
    layer = made("cp", "khatri_rao", device="cpu")
    x = batch(layer)
    wanted = [x, *layer.parameters()]
    expected = torch.autograd.grad(dense_output(layer, x).square().sum(), wanted)
    for _ in range(3):
        total = run(layer, x).square().sum()
        with torch._dynamo.config.patch(compiled_autograd=True):
            torch.compile(lambda total: total.backward(), backend="eager")(total)
        for tensor, right in zip(wanted, expected, strict=True):
            close(tensor.grad, right)
            tensor.grad = None


@NATIVE
def test_an_error_of_python_in_a_backward_pass_is_raised_as_it_is(step, monkeypatch):
    def broken(*given):
        raise ArithmeticError("as it is")

    monkeypatch.setattr(captured.Recipe, "again", broken)
    layer = made("cp", "khatri_rao", device="cpu")
    x = batch(layer)
    with pytest.raises(ArithmeticError, match="as it is"):
        torch.autograd.grad(run(layer, x).sum(), x, create_graph=True)
