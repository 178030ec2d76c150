"""The kernels for few outputs, and for products of factors, on a GPU."""

import math
import os
import subprocess
import sys

import pytest
import torch
from oracles import LAYERS, agrees, close
from torch import nn

import trlkit
from trlkit.contraction import captured, narrow, native, pairs

GPU = pytest.mark.gpu


def layer_of(path, shape):
    return LAYERS["cp"](shape, 5, 4, contraction=path, device="cuda")


def batch(layer, size):
    return torch.randn(size, *layer.input_shape, device="cuda", requires_grad=True)


@GPU
@pytest.mark.parametrize("size", [16, 33, 100, 512])
@pytest.mark.parametrize(
    ("inputs", "outputs"), [(1024, 10), (4100, 16), (25088, 7), (2000, 2), (25088, 100), (2000, 17)]
)
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
@pytest.mark.parametrize("step", ["python", "native"])
@pytest.mark.parametrize("layout", ["whole", "every second", "repeated", "channels last"])
def test_few_outputs_of_a_layer_whatever_the_batch_is_a_part_of(
    path, layout, step, monkeypatch, built
):
    monkeypatch.setattr(native, "module", lambda: built if step == "native" else None)
    monkeypatch.setattr(narrow, "LEAST_ELEMENTS", 0)
    monkeypatch.setattr(captured, "NATIVE_ELEMENTS", 0)
    layer = layer_of(path, (64, 5, 5))
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
@pytest.mark.parametrize("size", [20, 64, 300, 700])
@pytest.mark.parametrize("memory", ["rows", "columns"])
def test_up_to_128_outputs_in_the_memory_of_either_order(memory, size, monkeypatch):
    monkeypatch.setattr(narrow, "LEAST_ELEMENTS", 0)
    rows, matrix = torch.randn(size, 3000, device="cuda"), torch.randn(3000, 90, device="cuda").T
    matrix = matrix.contiguous() if memory == "rows" else matrix
    assert narrow.fits(rows, matrix)
    assert not narrow.at_once(rows, matrix)
    close(narrow.linear(rows, matrix), rows.double() @ matrix.double().T, torch.float32)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    assert not narrow.fits(rows, matrix)  # then a library's product is as fast


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
    d_rows, d_bias = narrow.gradients(rows.detach(), over, g, over)
    close(d_rows, right[0], torch.float32)
    close(over, right[1], torch.float32)
    close(d_bias, g.double().sum(0), torch.float32)


INTERPRETED = """
import torch, trlkit
from trlkit.contraction import kernels

def near(found, right):
    torch.testing.assert_close(found, right, rtol=0, atol=1e-4)

def product(ours, plain, backward, shapes):
    matrices = [torch.randn(shape, requires_grad=True) for shape in shapes]
    right = plain(matrices)
    g = torch.randn_like(right)
    with torch.no_grad():
        if ours:
            near(ours(matrices), right)
        found = backward(matrices, g)
    for one, other in zip(found, torch.autograd.grad(right, matrices, g), strict=True):
        near(one, other)

torch.manual_seed(0)
for columns, sizes in ((4, (5, 7, 3)), (3, (6, 5)), (5, (1, 2, 1))):
    shapes = [(size, columns) for size in sizes]
    product(kernels.khatri_rao, trlkit.khatri_rao, kernels.khatri_rao_backward, shapes)
product(None, trlkit.kronecker, kernels.kronecker_backward, [(2, 3), (4, 5)])
for batch, n in ((20, 10), (40, 33)):
    x, w, bias, g = (torch.randn(s) / 4 for s in ((batch, 1100), (n, 1100), (n,), (batch, n)))
    for memory in (w, w.T.contiguous().T):
        near(kernels.forward(x, memory, bias), x @ w.T + bias)
    if n <= kernels.COLUMNS:
        dx, dw, db = kernels.backward(x, w, g, torch.empty_like(w))
        near(dx, g @ w)
        near(dw, g.T @ x)
        near(db, g.sum(0))
"""


def test_the_kernels_are_right_where_triton_interprets_them():
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-c", INTERPRETED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
@pytest.mark.parametrize(
    "sizes",
    [(7, 7, 10), (512, 7, 7), (1, 5), (3, 1, 2), (2000, 3), (70, 70), (2, 3, 4, 5), (3, 9, 300)],
)
@pytest.mark.parametrize("columns", [1, 10, 33, 100, 2100])
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

    monkeypatch.setattr(kernels, "khatri_rao", broken)
    monkeypatch.setattr(narrow, "LEAST_ELEMENTS", 0)
    monkeypatch.setattr(captured, "NATIVE_ELEMENTS", 0)
    narrow.kernels_of.cache_clear()
    layer = layer_of("rebuild", (64, 5, 5))
    with pytest.warns(UserWarning, match="without its Triton kernels.*C compiler"):
        agrees(layer, batch(layer, 64), torch.float32)
    narrow.kernels_of.cache_clear()
