"""Wrong answers that only the rarer cases catch."""

# %% wrong="fiber" name="modes 0 to 2"
# Every mode above 1 is taken for mode 2.
def fiber(x, mode, index):
    if mode == 0:
        return x[(slice(None), *index)]
    if mode == 1:
        return x[(index[0], slice(None), *index[1:])]
    return x[(index[0], index[1], slice(None), *index[2:])]


# %% wrong="unfold" name="modes told by size"
# Two modes of one size are taken for one.
def unfold(x, mode):
    rest = [i for i, s in enumerate(x.shape) if s != x.shape[mode]]
    return x.permute(mode, *rest).reshape(x.shape[mode], -1)


# %% wrong="unfold" name="three modes"
# Every mode above 1 is taken for mode 2.
def unfold(x, mode):
    return x.movedim(min(mode, 2), 0).reshape(x.shape[mode], -1)


# %% wrong="fold" name="first of that size removed"
# list.remove takes out the first equal size.
def fold(matrix, mode, shape):
    rest = list(shape)
    rest.remove(shape[mode])
    return matrix.reshape(shape[mode], *rest).movedim(0, mode)


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


# %% wrong="multi_mode_dot" name="three modes"
# Only modes 0 to 2 are looked at.
def multi_mode_dot(x, matrices, modes):
    for k in range(3):
        if k in modes:
            x = mode_dot(x, matrices[list(modes).index(k)], k)
    return x


# %% wrong="inner" name="one mode left"
# All that is left of x is flattened to one mode.
def inner(x, y, n_modes):
    if x.ndim == n_modes:
        return (x * y).sum()
    return torch.tensordot(x.flatten(1), y.flatten(0, n_modes - 1), 1)


# %% wrong="outer" name="starts with a float"
# Whole numbers become floats.
def outer(vectors):
    x = torch.ones((), dtype=torch.float64)
    for v in vectors:
        x = x.unsqueeze(-1) * v
    return x


# %% wrong="khatri_rao" name="starts with a float"
# Whole numbers become floats.
def khatri_rao(matrices):
    x = torch.ones(1, matrices[0].shape[1], dtype=torch.float64)
    for m in matrices:
        x = (x.unsqueeze(1) * m.unsqueeze(0)).reshape(-1, m.shape[1])
    return x


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
