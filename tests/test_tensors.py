"""trlkit.tensors against plain loops and against tensorly."""

import itertools
import math

import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorly import tenalg

import trlkit

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def normal(*shape, seed=0, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device)


def loop_unfold(x, mode):
    rest = [range(size) for k, size in enumerate(x.shape) if k != mode]
    columns = []
    for index in itertools.product(*rest):
        columns.append([x[(*index[:mode], i, *index[mode:])].item() for i in range(x.shape[mode])])
    return torch.tensor(columns, dtype=x.dtype).T


@given(SHAPES, st.data())
def test_unfold_lays_fibers_side_by_side(shape, data):
    mode = data.draw(st.integers(0, len(shape) - 1))
    x = normal(*shape)
    assert torch.equal(trlkit.unfold(x, mode), loop_unfold(x, mode))
    assert torch.equal(trlkit.unfold(x, mode - len(shape)), trlkit.unfold(x, mode))


@given(SHAPES, st.data())
def test_fold_undoes_unfold(shape, data):
    mode = data.draw(st.integers(0, len(shape) - 1))
    x = normal(*shape)
    assert torch.equal(trlkit.fold(trlkit.unfold(x, mode), mode, shape), x)


@given(SHAPES, st.integers(1, 4), st.data())
def test_mode_dot_multiplies_each_fiber(shape, rows, data):
    mode = data.draw(st.integers(0, len(shape) - 1))
    x, matrix = normal(*shape), normal(rows, shape[mode], seed=1)
    y = trlkit.mode_dot(x, matrix, mode)
    for index in itertools.product(*(range(size) for size in y.shape)):
        fiber = [x[(*index[:mode], i, *index[mode + 1 :])].item() for i in range(shape[mode])]
        expected = sum(matrix[index[mode], i].item() * entry for i, entry in enumerate(fiber))
        assert math.isclose(y[index].item(), expected, abs_tol=1e-12)
    vector = trlkit.mode_dot(x, matrix[0], mode)
    assert torch.allclose(vector, y.select(mode, 0))


@given(SHAPES, st.data())
def test_multi_mode_dot_is_one_product_after_the_other_in_any_order(shape, data):
    modes = data.draw(st.permutations(range(len(shape))))
    x = normal(*shape)
    matrices = [normal(3, shape[mode], seed=mode) for mode in modes]
    expected = x
    for matrix, mode in zip(matrices, modes, strict=True):
        expected = trlkit.mode_dot(expected, matrix, mode)
    assert torch.allclose(trlkit.multi_mode_dot(x, matrices, modes), expected)
    pairs = sorted(zip(modes, matrices, strict=True), key=lambda pair: pair[0])
    assert torch.allclose(trlkit.multi_mode_dot(x, [matrix for _, matrix in pairs]), expected)


@given(SHAPES, SHAPES, st.data())
def test_inner_sums_over_the_shared_modes(left, right, data):
    shared = data.draw(SHAPES)
    left, right = left[:2], right[:2]
    x, y = normal(*left, *shared), normal(*shared, *right, seed=1)
    expected = torch.zeros(*left, *right, dtype=x.dtype)
    for index in itertools.product(*(range(size) for size in shared)):
        one, other = x[(..., *index)], y[index]
        expected += one.reshape(*left, *[1] * len(right)) * other
    assert torch.allclose(trlkit.inner(x, y, len(shared)), expected)


def test_inner_without_n_modes_is_the_sum_of_products():
    x, y = normal(2, 3), normal(2, 3, seed=1)
    assert math.isclose(trlkit.inner(x, y).item(), (x * y).sum().item())


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_outer_multiplies_entries(sizes):
    vectors = [normal(size, seed=size) for size in sizes]
    x = trlkit.outer(vectors)
    assert x.shape == tuple(sizes)
    for index in itertools.product(*(range(size) for size in sizes)):
        expected = math.prod(v[i].item() for v, i in zip(vectors, index, strict=True))
        assert math.isclose(x[index].item(), expected, abs_tol=1e-12)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 3))
def test_khatri_rao_is_kronecker_column_by_column(rows, rank):
    matrices = [normal(size, rank, seed=size) for size in rows]
    product = trlkit.khatri_rao(matrices)
    for r in range(rank):
        column = trlkit.kronecker([matrix[:, r : r + 1] for matrix in matrices])
        assert torch.allclose(product[:, r : r + 1], column)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=2, max_size=3), st.data())
def test_unfolding_of_a_product_is_a_product_of_kronecker(sizes, data):
    mode = data.draw(st.integers(0, len(sizes) - 1))
    core = normal(*(rank for _, rank in sizes))
    factors = [normal(size, rank, seed=k) for k, (size, rank) in enumerate(sizes)]
    others = trlkit.kronecker([factor for k, factor in enumerate(factors) if k != mode])
    expected = factors[mode] @ trlkit.unfold(core, mode) @ others.T
    x = trlkit.multi_mode_dot(core, factors)
    assert torch.allclose(trlkit.unfold(x, mode), expected)


@pytest.mark.parametrize("device", DEVICES)
def test_agrees_with_tensorly(device):
    x, matrices = normal(2, 3, 4), [normal(5, size, seed=size) for size in (2, 3, 4)]
    on = [tensor.to(device) for tensor in (x, *matrices)]
    factors = [normal(size, 6, seed=size) for size in (2, 3, 4)]
    # Other tests import tltorch, which sets tensorly's backend to PyTorch.
    with tensorly.backend_context("numpy", local_threadsafe=True):
        pairs = [
            (trlkit.unfold(on[0], 1), tensorly.unfold(x.numpy(), 1)),
            (trlkit.mode_dot(on[0], on[2], 1), tenalg.mode_dot(x.numpy(), matrices[1].numpy(), 1)),
            (
                trlkit.multi_mode_dot(on[0], on[1:]),
                tenalg.multi_mode_dot(x.numpy(), [matrix.numpy() for matrix in matrices]),
            ),
            (
                trlkit.khatri_rao([factor.to(device) for factor in factors]),
                tenalg.khatri_rao([factor.numpy() for factor in factors]),
            ),
            (trlkit.kronecker(on[1:3]), tenalg.kronecker([m.numpy() for m in matrices[:2]])),
            (
                trlkit.outer([on[1], on[2]]),
                tenalg.outer([matrices[0].numpy(), matrices[1].numpy()]),
            ),
            (
                trlkit.inner(on[1], on[1].T, 1),
                tenalg.inner(matrices[0].numpy(), matrices[0].numpy().T, n_modes=1),
            ),
        ]
    for ours, theirs in pairs:
        assert torch.allclose(ours.cpu(), torch.as_tensor(theirs.copy()))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "function",
    [
        lambda x, m: trlkit.unfold(x, 1),
        lambda x, m: trlkit.fold(trlkit.unfold(x, 1), 1, x.shape),
        lambda x, m: trlkit.mode_dot(x, m, 1),
        lambda x, m: trlkit.multi_mode_dot(x, [m, m], [1, 2]),
        lambda x, m: trlkit.inner(x, m.T, 1),
        lambda x, m: trlkit.outer([x, m]),
        lambda x, m: trlkit.khatri_rao([x[0], m]),
        lambda x, m: trlkit.kronecker([x[0], m]),
    ],
)
def test_gradients(function, device):
    x, m = normal(2, 3, 3, device=device), normal(4, 3, seed=1, device=device)
    assert torch.autograd.gradcheck(function, (x.requires_grad_(), m.requires_grad_()))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: trlkit.unfold(x, 3), "mode=3, but the tensor has the modes 0 to 2"),
        (lambda x: trlkit.unfold(x.sum(), 0), "mode=0, but the tensor has no modes"),
        (
            lambda x: trlkit.fold(x[0], 1, (2, 3, 4)),
            "is a matrix of shape (3, 8), but the matrix is",
        ),
        (lambda x: trlkit.mode_dot(x, x[0], 1), "mode 1 of x has size 3, so it takes a matrix of"),
        (lambda x: trlkit.multi_mode_dot(x, [x[0]], [0, 1]), "1 matrices need as many modes, got"),
        (
            lambda x: trlkit.multi_mode_dot(x, [x[0], x[0]], [1, -2]),
            "each mode can be multiplied once",
        ),
        (lambda x: trlkit.multi_mode_dot(x, [x[0, 0]], [2]), "every factor must be a matrix"),
        (lambda x: trlkit.inner(x, x[0]), "without n_modes both tensors must have one shape"),
        (lambda x: trlkit.inner(x, x, 4), "n_modes=4, but x has 3 modes and y has 3"),
        (lambda x: trlkit.inner(x, x, 1), "the last 1 modes of x have sizes (4,)"),
        (lambda x: trlkit.outer([]), "outer needs at least one tensor, got none"),
        (lambda x: trlkit.kronecker([x]), "number 0 has shape (2, 3, 4)"),
        (lambda x: trlkit.khatri_rao([x[0], x[0].T]), "needs one number of columns, got [4, 3]"),
    ],
)
def test_bad_input_says_what_came_and_what_was_expected(call, message):
    with pytest.raises(ValueError) as caught:
        call(normal(2, 3, 4))
    assert message in str(caught.value)


def test_empty_modes_keep_their_shapes():
    x = torch.zeros(2, 0, 3)
    assert trlkit.unfold(x, 1).shape == (0, 6)
    assert trlkit.unfold(x, 0).shape == (2, 0)
    assert trlkit.fold(trlkit.unfold(x, 1), 1, (2, 0, 3)).shape == (2, 0, 3)
