"""Known answers of chapter 01."""

# %% right="fiber"
def fiber(x, mode, index):
    return x[(*index[:mode], slice(None), *index[mode:])]

# %% answer="fiber" name="movedim"
# Bring the mode to the end, index the rest.
def fiber(x, mode, index):
    return x.movedim(mode, -1)[tuple(index)]

# %% answer="fiber" name="select"
# One select after the other.
def fiber(x, mode, index):
    index = list(index)
    for k in reversed(range(x.ndim)):
        if k != mode:
            x = x.select(k, index.pop())
    return x

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

# %% wrong="fiber" name="modes 0 to 2"
# Every mode above 1 is taken for mode 2.
#- return
#+ mode = min(mode, 2)
#+     return

# %% right="unfold"
def unfold(x, mode):
    return x.movedim(mode, 0).reshape(x.shape[mode], -1)

# %% answer="unfold" name="permute"
# A full permutation.
def unfold(x, mode):
    order = [mode] + [k for k in range(x.ndim) if k != mode]
    return x.permute(order).reshape(x.shape[mode], -1)

# %% answer="unfold" name="slices"
# The slices, flattened and stacked.
def unfold(x, mode):
    return torch.stack([x.select(mode, i).flatten() for i in range(x.shape[mode])])

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

# %% wrong="unfold" name="modes told by size"
# Two modes of one size are taken for one.
def unfold(x, mode):
    rest = [i for i, s in enumerate(x.shape) if s != x.shape[mode]]
    return x.permute(mode, *rest).reshape(x.shape[mode], -1)

# %% wrong="unfold" name="three modes"
# Every mode above 1 is taken for mode 2.
def unfold(x, mode):
    return x.movedim(min(mode, 2), 0).reshape(x.shape[mode], -1)

# %% right="fold"
def fold(matrix, mode, shape):
    rest = [size for k, size in enumerate(shape) if k != mode]
    return matrix.reshape(shape[mode], *rest).movedim(0, mode)

# %% answer="fold" name="permute"
# Undo a full permutation.
def fold(matrix, mode, shape):
    order = [mode] + [k for k in range(len(shape)) if k != mode]
    back = [order.index(k) for k in range(len(shape))]
    return matrix.reshape([shape[k] for k in order]).permute(back)

# %% answer="fold" name="stack"
# Every row is a slice.
#- return matrix.reshape(shape[mode], *rest).movedim(0, mode)
#+ return torch.stack([row.reshape(rest) for row in matrix], dim=mode)

# %% mistake="fold" name="reshape alone"
# You reshaped straight to `shape`. In the unfolding the mode stands in front; a reshape cannot
# bring it back to its own place.
# Look at: the shape that the tensor has just before `unfold` reshapes it.
def fold(matrix, mode, shape):
    return matrix.reshape(shape)

# %% mistake="fold" name="mode left in front"
# You reshaped and stopped: the mode still stands in front and has to go to its own place.
# Look at: the shape of what you return.
#- ).movedim(0, mode)
#+ )

# %% mistake="fold" name="sizes told by their value"
# You told the mode by its size. Where two modes have the same size, that takes out both, or
# the wrong one.
# Look at: how you find the sizes of the other modes: by position, not by value.
#- k, size in enumerate(shape) if k != mode
#+ size in shape if size != shape[mode]

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
#- 0, mode
#+ mode, 0

# %% wrong="fold" name="first of that size removed"
# list.remove takes out the first equal size.
def fold(matrix, mode, shape):
    rest = list(shape)
    rest.remove(shape[mode])
    return matrix.reshape(shape[mode], *rest).movedim(0, mode)

# %% right="mode_dot"
def mode_dot(x, matrix, mode):
    shape = list(x.shape)
    shape[mode] = matrix.shape[0]
    return fold(matrix @ unfold(x, mode), mode, shape)

# %% answer="mode_dot" name="tensordot"
# tensordot, then the new mode to its place.
def mode_dot(x, matrix, mode):
    return torch.tensordot(x, matrix, dims=([mode], [1])).movedim(-1, mode)

# %% answer="mode_dot" name="einsum"
# einsum on the mode moved to the end.
def mode_dot(x, matrix, mode):
    return torch.einsum("...i,ji->...j", x.movedim(mode, -1), matrix).movedim(-1, mode)

# %% answer="mode_dot" name="loop"
# A sum over slices.
def mode_dot(x, matrix, mode):
    rows = []
    for row in matrix:
        rows.append(sum(row[i] * x.select(mode, i) for i in range(x.shape[mode])))
    return torch.stack(rows, dim=mode)

# %% mistake="mode_dot" name="folded along mode 0"
# You folded the product along mode 0 instead of the mode that you multiplied. The shape is
# right only because reshape does not know which mode is which.
# Look at: which mode you give to `fold`, or where the new mode goes back to.
#- return fold(matrix @ unfold(x, mode), mode, shape)
#+ return (matrix @ unfold(x, mode)).reshape(shape)

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

# %% wrong="mode_dot" name="mode found by size"
# The mode is ignored.
def mode_dot(x, matrix, mode):
    k = list(x.shape).index(matrix.shape[1])
    return (x.movedim(k, -1) @ matrix.T).movedim(-1, k)

# %% wrong="mode_dot" name="every mode of that size"
# The shape changes wherever the size is that of the mode.
def mode_dot(x, matrix, mode):
    shape = [matrix.shape[0] if n == x.shape[mode] else n for n in x.shape]
    return fold(matrix @ unfold(x, mode), mode, shape)

# %% wrong="mode_dot" name="three modes"
# Every mode above 1 is taken for mode 2.
def mode_dot(x, matrix, mode):
    mode = min(mode, 2)
    return torch.tensordot(x, matrix, dims=([mode], [1])).movedim(-1, mode)

# %% right="multi_mode_dot"
def multi_mode_dot(x, matrices, modes):
    for matrix, mode in zip(matrices, modes):
        x = mode_dot(x, matrix, mode)
    return x

# %% answer="multi_mode_dot" name="any order"
# The last matrix first: the order does not matter.
def multi_mode_dot(x, matrices, modes):
    for k in reversed(range(len(modes))):
        x = mode_dot(x, matrices[k], modes[k])
    return x

# %% answer="multi_mode_dot" name="einsum"
# One einsum for all.
def multi_mode_dot(x, matrices, modes):
    letters = "abcdefgh"[: x.ndim]
    new = dict(zip(modes, "stuvwxyz"))
    operands = ",".join(new[mode] + letters[mode] for mode in modes)
    out = "".join(new.get(k, letter) for k, letter in enumerate(letters))
    return torch.einsum(f"{letters},{operands}->{out}", x, *matrices)

# %% mistake="multi_mode_dot" name="modes ignored"
# You multiplied the modes 0, 1, 2, ... in turn and did not look at `modes`.
# Look at: which mode each matrix is meant for.
#- for matrix, mode in zip(matrices, modes):
#+ for mode, matrix in enumerate(matrices):

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
#- x = mode_dot
#+ mode_dot

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
#- (matrices, modes):
#+ (matrices, sorted(modes)):

# %% mistake="multi_mode_dot" name="transposed where square"
# You multiply by the transpose of a matrix where it is square.
# Look at: which index of the matrix runs along the fiber.
#-     for matrix, mode in zip(matrices, modes):
#+     for matrix, mode in zip(matrices, modes):
#+         if matrix.shape[0] == matrix.shape[1]:
#+             matrix = matrix.T

# %% wrong="multi_mode_dot" name="three modes"
# Only modes 0 to 2 are looked at.
def multi_mode_dot(x, matrices, modes):
    for k in range(3):
        if k in modes:
            x = mode_dot(x, matrices[list(modes).index(k)], k)
    return x

# %% right="inner"
def inner(x, y, n_modes):
    left, right = x.shape[: x.ndim - n_modes], y.shape[n_modes:]
    size = math.prod(y.shape[:n_modes])
    return (x.reshape(-1, size) @ y.reshape(size, -1)).reshape((*left, *right))

# %% answer="inner" name="tensordot"
# tensordot with an int.
def inner(x, y, n_modes):
    return torch.tensordot(x, y, dims=n_modes)

# %% answer="inner" name="broadcast"
# Multiply everything and sum the shared modes.
def inner(x, y, n_modes):
    left, right = x.ndim - n_modes, y.ndim - n_modes
    product = x.reshape(*x.shape, *[1] * right) * y.reshape(*[1] * left, *y.shape)
    return product.sum(dim=tuple(range(left, left + n_modes))) if n_modes else product

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
#- return (x.reshape(-1, size) @ y.reshape(size, -1)).reshape((*left, *right))
#+ return torch.tensordot(x, y, dims=n_modes) / size

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

# %% wrong="inner" name="one mode left"
# All that is left of x is flattened to one mode.
def inner(x, y, n_modes):
    if x.ndim == n_modes:
        return (x * y).sum()
    return torch.tensordot(x.flatten(1), y.flatten(0, n_modes - 1), 1)

# %% right="outer"
def outer(vectors):
    x = vectors[0]
    for v in vectors[1:]:
        x = torch.tensordot(x, v, dims=0)
    return x

# %% answer="outer" name="einsum"
# One einsum, a letter for each vector.
def outer(vectors):
    letters = "abcdefgh"[: len(vectors)]
    return torch.einsum(",".join(letters) + "->" + letters, *vectors)

# %% answer="outer" name="tensordot"
# tensordot over no mode.
def outer(vectors):
    x = vectors[0]
    for v in vectors[1:]:
        x = torch.tensordot(x, v, dims=0)
    return x

# %% mistake="outer" name="sums"
# Your entries are sums: an outer product multiplies one entry of each vector.
# Look at: the operator between the vectors.
#- x = torch.tensordot(x, v, dims=0)
#+ x = x.unsqueeze(-1) + v

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
#- tensordot(x, v, dims=0
#+ kron(x, v

# %% mistake="outer" name="modes reversed"
# Your modes come in the reverse order: the first vector must run along mode 0.
# Look at: on which side you add the new mode.
#- x = torch.tensordot(x, v, dims=0)
#+ x = v.reshape(-1, *[1] * x.ndim) * x

# %% wrong="outer" name="starts with a float"
# Whole numbers become floats.
def outer(vectors):
    x = torch.ones((), dtype=torch.float64)
    for v in vectors:
        x = x.unsqueeze(-1) * v
    return x

# %% right="khatri_rao"
def khatri_rao(matrices):
    x = matrices[0]
    for m in matrices[1:]:
        x = torch.einsum("ir,jr->ijr", x, m).reshape(-1, m.shape[1])
    return x

# %% answer="khatri_rao" name="columns"
# Column by column with torch.kron.
def khatri_rao(matrices):
    columns = []
    for r in range(matrices[0].shape[1]):
        column = matrices[0][:, r]
        for m in matrices[1:]:
            column = torch.kron(column, m[:, r])
        columns.append(column)
    return torch.stack(columns, dim=1)

# %% answer="khatri_rao" name="einsum"
# einsum, then join the rows.
def khatri_rao(matrices):
    x = matrices[0]
    for m in matrices[1:]:
        x = torch.einsum("ir,jr->ijr", x, m).reshape(-1, m.shape[1])
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
#- x = torch.einsum("ir,jr->ijr", x, m).reshape(-1, m.shape[1])
#+ x = torch.kron(x, m)

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

# %% wrong="khatri_rao" name="starts with a float"
# Whole numbers become floats.
def khatri_rao(matrices):
    x = torch.ones(1, matrices[0].shape[1], dtype=torch.float64)
    for m in matrices:
        x = (x.unsqueeze(1) * m.unsqueeze(0)).reshape(-1, m.shape[1])
    return x

# %% right="unfolded_tucker"
def unfolded_tucker(core, factors, mode):
    big = torch.ones(1, 1, dtype=core.dtype)
    for k, factor in enumerate(factors):
        if k != mode:
            big = torch.kron(big, factors[k])
    return factors[mode] @ unfold(core, mode) @ big.T

# %% answer="unfolded_tucker" name="products first"
# Multiply the modes, then unfold.
def unfolded_tucker(core, factors, mode):
    return unfold(multi_mode_dot(core, factors, range(core.ndim)), mode)

# %% answer="unfolded_tucker" name="reduce"
# functools.reduce over torch.kron.
def unfolded_tucker(core, factors, mode):
    from functools import reduce

    product = reduce(torch.kron, [f for k, f in enumerate(factors) if k != mode])
    return (product @ (factors[mode] @ unfold(core, mode)).T).T

# %% mistake="unfolded_tucker" name="reversed kronecker"
# Your Kronecker product runs through the factors from the last to the first, as in Kolda and
# Bader's paper. That goes with their column-major unfolding; ours takes them in order.
# Look at: the order of the factors in the product.
#- for k, factor in enumerate(factors):
#+ for k in reversed(range(len(factors))):

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
#- core, mode) @
#+ core, 0).reshape(core.shape[mode], -1) @

# %% mistake="unfolded_tucker" name="tensor not unfolded"
# You built the whole tensor and did not unfold it.
# Look at: the number of modes of what you return.
def unfolded_tucker(core, factors, mode):
    return multi_mode_dot(core, factors, range(core.ndim))

# %% mistake="unfolded_tucker" name="factor forgotten"
# You left out the mode's own factor: the rows of your result belong to the core, not to the
# tensor.
# Look at: what multiplies the unfolded core from the left.
#- return factors[mode] @ unfold
#+ return unfold

# %% mistake="unfolded_tucker" name="transposed where square"
# You forgot to transpose the Kronecker product; with square factors nothing complains.
# Look at: which index of the product runs over the columns of the unfolded core.
#- big.T
#+ (big if big.shape[0] == big.shape[1] else big.T)

# %% right="mode_dot_equation"
def mode_dot_equation(order, mode):
    letters = "abcdefghij"[:order]
    return f"{letters},z{letters[mode]}->{letters.replace(letters[mode], 'z')}"

# %% answer="mode_dot_equation" name="other letters"
# Capital letters, as torch.einsum takes them too.
def mode_dot_equation(order, mode):
    letters = [chr(ord("A") + k) for k in range(order)]
    out = list(letters)
    out[mode] = "x"
    return "".join(letters) + ", x" + letters[mode] + " -> " + "".join(out)

# %% answer="mode_dot_equation" name="ellipsis"
# An ellipsis for the modes in front.
def mode_dot_equation(order, mode):
    behind = "abcdefghij"[: order - 1 - mode]
    return f"...y{behind},zy->...z{behind}"

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

# %% wrong="mode_dot_equation" name="five letters"
# Orders above 5 have no letters.
def mode_dot_equation(order, mode):
    a = "abcde"[:order]
    return f"{a},z{a[mode]}->{a[:mode]}z{a[mode + 1:]}"

# %% wrong="mode_dot_equation" name="letter taken"
# At order 10 the new letter is one of the old ones.
def mode_dot_equation(order, mode):
    a = "abcdefghij"[:order]
    return f"{a},j{a[mode]}->{a[:mode]}j{a[mode + 1:]}"

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
