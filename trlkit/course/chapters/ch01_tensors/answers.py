"""Usual mistakes of chapter 01."""

# %% mistake="fiber" name="slice in front"
# Your free index always stands in front, so you return a mode-0 fiber whatever `mode` is.
# Look at: where the `:` belongs among the other indices.
def fiber(x, mode, index):
    return x[(slice(None), *index)]


# %% mistake="fiber" name="slice at the end"
# Your free index always stands at the end, so you return a fiber of the last mode whatever
# `mode` is.
# Look at: where the `:` belongs among the other indices.
def fiber(x, mode, index):
    return x[(*index, slice(None))]


# %% mistake="fiber" name="one index fixed"
# You fixed one index only, so you return a slice. A fiber has every index fixed but one.
# Look at: how many entries of `index` your code uses.
def fiber(x, mode, index):
    return x.movedim(mode, 0)[:, index[0]]


# %% mistake="fiber" name="indices exchanged"
# You took the entries of `index` in the reverse order.
# Look at: which mode each entry of `index` belongs to: the modes that remain, in their own order.
def fiber(x, mode, index):
    full = list(reversed(index))
    full.insert(mode, slice(None))
    return x[tuple(full)]


# %% mistake="fiber" name="index shifted"
# You left out one entry of `index` behind the free mode: `index` has no entry for the mode
# itself, so what follows it starts at index[mode], not at index[mode + 1].
# Look at: how many entries `index` has for a tensor of order 3.
def fiber(x, mode, index):
    return x[(*index[:mode], slice(None), *index[mode + 1 :])]


# %% mistake="fiber" name="exchanged modes"
# You exchanged the mode with the last one; the other modes then no longer stand in their own
# order, and your indices meet the wrong ones.
# Look at: the difference between exchanging two modes and moving one.
def fiber(x, mode, index):
    return x.transpose(mode, -1)[tuple(index)]


# %% mistake="unfold" name="exchanged modes"
# You exchanged mode 0 with the mode that you unfold. That puts mode 0 where the other mode
# was, so the remaining modes come in the wrong order; for mode 0 and 1 it looks right.
# Look at: the difference between exchanging two modes and moving one to the front.
def unfold(x, mode):
    return x.transpose(0, mode).reshape(x.shape[mode], -1)


# %% mistake="unfold" name="reshape alone"
# You only reshaped. A reshape never moves an entry in memory, so its rows are fibers of no
# mode, unless the mode is already the first.
# Look at: which mode must stand in front before you reshape.
def unfold(x, mode):
    return x.reshape(x.shape[mode], -1)


# %% mistake="unfold" name="column-major"
# Your columns are right but in another order: you let the first remaining mode run fastest
# (column-major, as in Kolda and Bader's paper, MATLAB and Fortran). Here the last one does.
# Look at: the order in which the remaining modes stand when you reshape.
def unfold(x, mode):
    rest = [k for k in range(x.ndim) if k != mode]
    return x.permute(mode, *reversed(rest)).reshape(x.shape[mode], -1)


# %% mistake="unfold" name="transposed"
# You return the transpose: your fibers are the rows. They should be the columns.
# Look at: which of the two sizes of the result is I_mode.
def unfold(x, mode):
    return x.movedim(mode, 0).reshape(x.shape[mode], -1).T


# %% mistake="unfold" name="mode at the end"
# You moved the mode to the end and then reshaped it to the front: after the reshape the rows
# are no fibers.
# Look at: where the mode stands at the moment of the reshape.
def unfold(x, mode):
    return x.movedim(mode, -1).reshape(x.shape[mode], -1)


# %% mistake="unfold" name="rows and columns exchanged"
# You gave `reshape` the two sizes in the other order: that cuts the fibers into pieces.
# Look at: which of the two sizes of the result is I_mode.
def unfold(x, mode):
    return x.movedim(mode, 0).reshape(-1, x.shape[mode])


# %% mistake="unfold" name="cut gradient"
# The numbers are right, but no gradient comes through: your result is a new tensor that has
# forgotten where it came from.
# Look at: `.detach()`, `.data`, `torch.tensor(...)`, `.numpy()`.
def unfold(x, mode):
    return x.detach().movedim(mode, 0).reshape(x.shape[mode], -1)


# %% mistake="fold" name="reshape alone"
# You reshaped straight to `shape`. In the unfolding the mode stands in front; a reshape cannot
# bring it back to its own place.
# Look at: the shape that the tensor has just before `unfold` reshapes it.
def fold(matrix, mode, shape):
    return matrix.reshape(shape)


# %% mistake="fold" name="mode left in front"
# You reshaped and stopped: the mode still stands in front and has to go to its own place.
# Look at: the shape of what you return.
def fold(matrix, mode, shape):
    rest = [size for k, size in enumerate(shape) if k != mode]
    return matrix.reshape(shape[mode], *rest)


# %% mistake="fold" name="sizes told by their value"
# You told the mode by its size. Where two modes have the same size, that takes out both, or
# the wrong one.
# Look at: how you find the sizes of the other modes: by position, not by value.
def fold(matrix, mode, shape):
    rest = [size for size in shape if size != shape[mode]]
    return matrix.reshape(shape[mode], *rest).movedim(0, mode)


# %% mistake="fold" name="exchanged modes"
# You brought the mode back by exchanging it with mode 0; the modes between them end up in the
# wrong places.
# Look at: the difference between exchanging two modes and moving one.
def fold(matrix, mode, shape):
    rest = [size for k, size in enumerate(shape) if k != mode]
    exchanged = list(shape)
    exchanged[0], exchanged[mode] = exchanged[mode], exchanged[0]
    return matrix.reshape(exchanged).transpose(0, mode)


# %% mistake="fold" name="column-major"
# You let the first remaining mode run fastest, as in Kolda and Bader's paper; the unfolding
# of this course lets the last one run fastest.
# Look at: the order of the remaining sizes in your reshape.
def fold(matrix, mode, shape):
    rest = [k for k in range(len(shape)) if k != mode]
    x = matrix.reshape(shape[mode], *[shape[k] for k in reversed(rest)])
    order = [mode, *reversed(rest)]
    return x.permute([order.index(k) for k in range(len(shape))])


# %% mistake="fold" name="moved the wrong way"
# You moved the modes the way `unfold` does, once more; folding needs the way back.
# Look at: which move undoes that one: movedim with its arguments exchanged, permute with the
# inverse order.
def fold(matrix, mode, shape):
    rest = [size for k, size in enumerate(shape) if k != mode]
    return matrix.reshape(shape[mode], *rest).movedim(mode, 0)


# %% mistake="mode_dot" name="folded along mode 0"
# You folded the product along mode 0 instead of the mode that you multiplied. The shape is
# right only because reshape does not know which mode is which.
# Look at: which mode you give to `fold`, or where the new mode goes back to.
def mode_dot(x, matrix, mode):
    shape = list(x.shape)
    shape[mode] = matrix.shape[0]
    return (matrix @ unfold(x, mode)).reshape(shape)


# %% mistake="mode_dot" name="folded to the old shape"
# You fold to the shape of x. The mode that you multiplied has J entries now, the number of
# rows of the matrix.
# Look at: the shape that you give to `fold`.
def mode_dot(x, matrix, mode):
    rest = [size for k, size in enumerate(x.shape) if k != mode]
    return (matrix @ unfold(x, mode)).reshape(x.shape[mode], *rest).movedim(0, mode)


# %% mistake="mode_dot" name="folded to the old shape, by fold"
# You fold to the shape of x. The mode that you multiplied has J entries now, the number of
# rows of the matrix.
# Look at: the shape that you give to `fold`.
def mode_dot(x, matrix, mode):
    return fold(matrix @ unfold(x, mode), mode, x.shape)


# %% mistake="mode_dot" name="not folded"
# You return the product of the unfoldings: a matrix. It has to be folded to a tensor again.
# Look at: the number of modes of what you return.
def mode_dot(x, matrix, mode):
    return matrix @ unfold(x, mode)


# %% mistake="mode_dot" name="last but one mode"
# `matrix @ x` multiplies the last but one mode, whatever `mode` is.
# Look at: whether your result depends on `mode`.
def mode_dot(x, matrix, mode):
    return matrix @ x


# %% mistake="mode_dot" name="mode left at the end"
# You left the new mode at the end: torch.tensordot puts what remains of x first and what
# remains of the matrix last.
# Look at: the shape that tensordot (or your einsum) returns, against the one that is asked.
def mode_dot(x, matrix, mode):
    return torch.tensordot(x, matrix, dims=([mode], [1]))


# %% mistake="mode_dot" name="mode left in front"
# You left the new mode in front: the product of the unfoldings still has to be folded back.
# Look at: the mode to which the rows of the product belong.
def mode_dot(x, matrix, mode):
    rest = [size for k, size in enumerate(x.shape) if k != mode]
    return (matrix @ unfold(x, mode)).reshape(len(matrix), *rest)


# %% mistake="mode_dot" name="transposed where square"
# With a square matrix you multiply by its transpose: you contract its first index where the
# sizes allow it. The second index of the matrix runs along the fiber.
# Look at: which index of `matrix` you sum over.
def mode_dot(x, matrix, mode):
    if matrix.shape[0] == x.shape[mode]:
        matrix = matrix.T
    return torch.tensordot(x, matrix, dims=([mode], [1])).movedim(-1, mode)


# %% mistake="mode_dot" name="last mode always"
# You multiply the last mode whatever `mode` is: `x @ matrix.T` knows no other.
# Look at: whether your result depends on `mode`.
def mode_dot(x, matrix, mode):
    return x @ matrix.T


# %% mistake="multi_mode_dot" name="modes ignored"
# You multiplied the modes 0, 1, 2, ... in turn and did not look at `modes`.
# Look at: which mode each matrix is meant for.
def multi_mode_dot(x, matrices, modes):
    for mode, matrix in enumerate(matrices):
        x = mode_dot(x, matrix, mode)
    return x


# %% mistake="multi_mode_dot" name="started again from x"
# Each of your products starts again from the original x, so only the last one is left.
# Look at: what the next product multiplies.
def multi_mode_dot(x, matrices, modes):
    for matrix, mode in zip(matrices, modes):
        result = mode_dot(x, matrix, mode)
    return result


# %% mistake="multi_mode_dot" name="results thrown away"
# You compute the products and throw them away: x is still what it was.
# Look at: what becomes of the value that `mode_dot` returns.
def multi_mode_dot(x, matrices, modes):
    for matrix, mode in zip(matrices, modes):
        mode_dot(x, matrix, mode)
    return x


# %% mistake="multi_mode_dot" name="first only"
# You multiplied by the first matrix and returned.
# Look at: the indentation of your `return`.
def multi_mode_dot(x, matrices, modes):
    for matrix, mode in zip(matrices, modes):
        return mode_dot(x, matrix, mode)


# %% mistake="multi_mode_dot" name="sorted modes"
# You sorted the modes and left the matrices as they were: each matrix now meets the mode of
# another.
# Look at: what still ties matrices[k] to modes[k].
def multi_mode_dot(x, matrices, modes):
    for matrix, mode in zip(matrices, sorted(modes)):
        x = mode_dot(x, matrix, mode)
    return x


# %% mistake="multi_mode_dot" name="transposed where square"
# You multiply by the transpose of a matrix where it is square.
# Look at: which index of the matrix runs along the fiber.
def multi_mode_dot(x, matrices, modes):
    for matrix, mode in zip(matrices, modes):
        if matrix.shape[0] == matrix.shape[1]:
            matrix = matrix.T
        x = mode_dot(x, matrix, mode)
    return x


# %% mistake="inner" name="first modes of both"
# You contracted the first modes of both tensors. Of x it is the *last* ones: the batch, which
# stands in front, must stay.
# Look at: the indices of x that you sum over.
def inner(x, y, n_modes):
    modes = list(range(n_modes))
    return torch.tensordot(x, y, dims=(modes, modes))


# %% mistake="inner" name="one mode only"
# You contracted a single mode, as a matrix product does.
# Look at: how many pairs of modes `n_modes` asks for.
def inner(x, y, n_modes):
    return torch.tensordot(x, y, dims=1)


# %% mistake="inner" name="modes reversed"
# You paired the modes in the reverse order: the last one of x with the first one of y. The
# modes keep their order on both sides.
# Look at: which index of x stands for the height, and which of y.
def inner(x, y, n_modes):
    last = [x.ndim - 1 - k for k in range(n_modes)]
    return torch.tensordot(x, y, dims=(last, list(range(n_modes))))


# %% mistake="inner" name="averaged"
# You averaged over the contracted entries where they are to be summed.
# Look at: mean and sum.
def inner(x, y, n_modes):
    size = math.prod(y.shape[:n_modes])
    return torch.tensordot(x, y, dims=n_modes) / size


# %% mistake="inner" name="one-element tensor"
# When every mode is contracted the result is a number: a tensor of shape (), not (1, 1).
# Look at: the sizes that are left when nothing is left.
def inner(x, y, n_modes):
    size = math.prod(y.shape[:n_modes])
    left = x.reshape(-1, size) @ y.reshape(size, -1)
    rest = [*x.shape[: x.ndim - n_modes], *y.shape[n_modes:]]
    return left.reshape(rest) if rest else left


# %% mistake="inner" name="sizes of 1 dropped"
# You drop every mode of size 1 (`squeeze`), also those that belong there: a batch of one is
# still a batch.
# Look at: when the result has no mode at all, and when it has one of size 1.
def inner(x, y, n_modes):
    return torch.tensordot(x, y, dims=n_modes).squeeze()


# %% mistake="outer" name="sums"
# Your entries are sums: an outer product multiplies one entry of each vector.
# Look at: the operator between the vectors.
def outer(vectors):
    x = vectors[0]
    for v in vectors[1:]:
        x = x.unsqueeze(-1) + v
    return x


# %% mistake="outer" name="first two only"
# You used only the first two vectors.
# Look at: how often your product is repeated.
def outer(vectors):
    if len(vectors) == 1:
        return vectors[0]
    return vectors[0][:, None] * vectors[1][None, :]


# %% mistake="outer" name="flattened"
# Your numbers are right and all in one vector: that is the Kronecker product of the vectors.
# Look at: the shape, one mode for each vector.
def outer(vectors):
    x = vectors[0]
    for v in vectors[1:]:
        x = torch.kron(x, v)
    return x


# %% mistake="outer" name="modes reversed"
# Your modes come in the reverse order: the first vector must run along mode 0.
# Look at: on which side you add the new mode.
def outer(vectors):
    x = vectors[0]
    for v in vectors[1:]:
        x = v.reshape(-1, *[1] * x.ndim) * x
    return x


# %% mistake="khatri_rao" name="by rows"
# You took the products row by row. The Khatri-Rao product keeps the columns: column r comes
# from the columns r of all matrices.
# Look at: which index the two matrices share.
def khatri_rao(matrices):
    x = matrices[0].T
    for m in matrices[1:]:
        x = (x.unsqueeze(2) * m.T.unsqueeze(1)).reshape(x.shape[0], -1)
    return x


# %% mistake="khatri_rao" name="kronecker"
# That is the Kronecker product: it also multiplies columns that do not belong together.
# Look at: the number of columns, which must stay R.
def khatri_rao(matrices):
    x = matrices[0]
    for m in matrices[1:]:
        x = torch.kron(x, m)
    return x


# %% mistake="khatri_rao" name="reversed"
# Your rows come in another order: you let the first matrix run fastest, as Kolda and Bader's
# unfolding would need. With this course's unfolding the last one does.
# Look at: which row index changes from one row to the next.
def khatri_rao(matrices):
    x = matrices[-1]
    for m in reversed(matrices[:-1]):
        x = (x.unsqueeze(1) * m.unsqueeze(0)).reshape(-1, x.shape[1])
    return x


# %% mistake="khatri_rao" name="first two only"
# You used only the first two matrices.
# Look at: how often your product is repeated.
def khatri_rao(matrices):
    if len(matrices) == 1:
        return matrices[0]
    x, m = matrices[:2]
    return (x.unsqueeze(1) * m.unsqueeze(0)).reshape(-1, x.shape[1])


# %% mistake="unfolded_tucker" name="reversed kronecker"
# Your Kronecker product runs through the factors from the last to the first, as in Kolda and
# Bader's paper. That goes with their column-major unfolding; ours takes them in order.
# Look at: the order of the factors in the product.
def unfolded_tucker(core, factors, mode):
    big = torch.ones(1, 1, dtype=core.dtype)
    for k in reversed(range(len(factors))):
        if k != mode:
            big = torch.kron(big, factors[k])
    return factors[mode] @ unfold(core, mode) @ big.T


# %% mistake="unfolded_tucker" name="cyclic order"
# Your Kronecker product starts behind the mode and comes round to the front. Ours takes the
# other factors in their own order, whatever the mode.
# Look at: the first factor of your product when `mode` is 1.
def unfolded_tucker(core, factors, mode):
    big = torch.ones(1, 1, dtype=core.dtype)
    for factor in [*factors[mode + 1 :], *factors[:mode]]:
        big = torch.kron(big, factor)
    return factors[mode] @ unfold(core, mode) @ big.T


# %% mistake="unfolded_tucker" name="core unfolded along mode 0"
# You unfolded the core along mode 0 whatever `mode` is.
# Look at: the mode that factors[mode] multiplies.
def unfolded_tucker(core, factors, mode):
    big = torch.ones(1, 1, dtype=core.dtype)
    for k, factor in enumerate(factors):
        if k != mode:
            big = torch.kron(big, factor)
    return factors[mode] @ unfold(core, 0).reshape(core.shape[mode], -1) @ big.T


# %% mistake="unfolded_tucker" name="tensor not unfolded"
# You built the whole tensor and did not unfold it.
# Look at: the number of modes of what you return.
def unfolded_tucker(core, factors, mode):
    return multi_mode_dot(core, factors, range(core.ndim))


# %% mistake="unfolded_tucker" name="factor forgotten"
# You left out the mode's own factor: the rows of your result belong to the core, not to the
# tensor.
# Look at: what multiplies the unfolded core from the left.
def unfolded_tucker(core, factors, mode):
    big = torch.ones(1, 1, dtype=core.dtype)
    for k, factor in enumerate(factors):
        if k != mode:
            big = torch.kron(big, factor)
    return unfold(core, mode) @ big.T


# %% mistake="unfolded_tucker" name="transposed where square"
# You forgot to transpose the Kronecker product; with square factors nothing complains.
# Look at: which index of the product runs over the columns of the unfolded core.
def unfolded_tucker(core, factors, mode):
    big = torch.ones(1, 1, dtype=core.dtype)
    for k, factor in enumerate(factors):
        if k != mode:
            big = torch.kron(big, factor)
    if big.shape[0] != big.shape[1]:
        big = big.T
    return factors[mode] @ unfold(core, mode) @ big


# %% mistake="mode_dot_equation" name="new letter at the end"
# Your new letter stands at the end of the result: the new mode goes where the old one was.
# Look at: the order of the letters of the result.
def mode_dot_equation(order, mode):
    a = "abcdefghijklm"[:order]
    return f"{a},z{a[mode]}->{a[:mode]}{a[mode + 1:]}z"


# %% mistake="mode_dot_equation" name="new letter in front"
# Your new letter stands in front of the result: the new mode goes where the old one was.
# Look at: the order of the letters of the result.
def mode_dot_equation(order, mode):
    a = "abcdefghijklm"[:order]
    return f"{a},z{a[mode]}->z{a[:mode]}{a[mode + 1:]}"


# %% mistake="mode_dot_equation" name="letter of the matrix exchanged"
# You contract the first index of the matrix; the second one runs along the fiber.
# Look at: the two letters of the matrix.
def mode_dot_equation(order, mode):
    a = "abcdefghijklm"[:order]
    return f"{a},{a[mode]}z->{a[:mode]}z{a[mode + 1:]}"


# %% mistake="mode_dot_equation" name="nothing summed"
# The letter of the old mode is still in the result, so nothing is summed over it.
# Look at: which letters stand on the left of the arrow and not on the right.
def mode_dot_equation(order, mode):
    a = "abcdefghijklm"[:order]
    return f"{a},z{a[mode]}->z{a}"


# %% mistake="mode_dot_equation" name="mode 0 always"
# You contract mode 0 whatever `mode` is.
# Look at: whether your letters depend on `mode`.
def mode_dot_equation(order, mode):
    a = "abcdefghijklm"[:order]
    return f"{a},z{a[0]}->z{a[1:]}"


# %% mistake="quiz_order" name="a"
# 4 is the size of the last mode.
# Look at: how many numbers you need to point at one entry.
quiz_order = "a"

# %% mistake="quiz_order" name="b"
# You gave the rank. It is 1, since the tensor is an outer product, but the order counts modes.
# Look at: how many numbers you need to point at one entry.
quiz_order = "b"

# %% mistake="quiz_order" name="d"
# 24 is the number of entries.
# Look at: how many numbers you need to point at one entry.
quiz_order = "d"

# %% mistake="quiz_unfolding" name="a"
# That is the unfolding along mode 0: the batch is a mode too, and it is the first.
# Look at: which mode has the number 1.
quiz_unfolding = "a"

# %% mistake="quiz_unfolding" name="c"
# The columns count every combination of the *other* indices, not their sum.
# Look at: how many mode-1 fibers the tensor has.
quiz_unfolding = "c"

# %% mistake="quiz_unfolding" name="d"
# You have the two sizes exchanged: the fibers are the columns.
# Look at: the length of one mode-1 fiber.
quiz_unfolding = "d"

# %% mistake="quiz_commute" name="b"
# `a` acts first, so it stands next to the fiber: the product is b times (a times the fiber).
# Look at: the formula on the unfoldings, written twice.
quiz_commute = "b"

# %% mistake="quiz_commute" name="c"
# Along one mode the two matrices meet, and matrix products do not commute; often the sizes would
# not even fit.
# Look at: the formula on the unfoldings, written twice.
quiz_commute = "c"

# %% mistake="quiz_commute" name="d"
# One product after the other multiplies; nothing is added.
# Look at: the formula on the unfoldings, written twice.
quiz_commute = "d"
