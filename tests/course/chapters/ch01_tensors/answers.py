"""Right answers of chapter 01 that are not the course's own."""

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


# %% answer="unfold" name="permute"
# A full permutation.
def unfold(x, mode):
    order = [mode] + [k for k in range(x.ndim) if k != mode]
    return x.permute(order).reshape(x.shape[mode], -1)


# %% answer="unfold" name="slices"
# The slices, flattened and stacked.
def unfold(x, mode):
    return torch.stack([x.select(mode, i).flatten() for i in range(x.shape[mode])])


# %% answer="fold" name="permute"
# Undo a full permutation.
def fold(matrix, mode, shape):
    order = [mode] + [k for k in range(len(shape)) if k != mode]
    back = [order.index(k) for k in range(len(shape))]
    return matrix.reshape([shape[k] for k in order]).permute(back)


# %% answer="fold" name="stack"
# Every row is a slice.
def fold(matrix, mode, shape):
    rest = [size for k, size in enumerate(shape) if k != mode]
    return torch.stack([row.reshape(rest) for row in matrix], dim=mode)


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
