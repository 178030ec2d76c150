"""Right answers of chapter 02 that are not the course's own."""

# %% answer="cp_to_tensor" name="sum of outer products"
# The definition.
def cp_to_tensor(factors):
    return sum(outer([f[:, r] for f in factors]) for r in range(factors[0].shape[1]))


# %% answer="cp_to_tensor" name="einsum"
# One letter for the rank.
def cp_to_tensor(factors):
    letters = "abcdefg"[: len(factors)]
    return torch.einsum(",".join(c + "r" for c in letters) + "->" + letters, *factors)


# %% answer="cp_to_tensor" name="in place"
# Columns by zip, added into zeros of the right dtype.
def cp_to_tensor(factors):
    x = torch.zeros([len(f) for f in factors], dtype=factors[0].dtype)
    for columns in zip(*[f.T for f in factors]):
        x += outer(list(columns))
    return x


# %% answer="cp_to_tensor" name="last mode folded"
# The formula on another unfolding.
def cp_to_tensor(factors):
    n = len(factors) - 1
    return fold(factors[n] @ khatri_rao(factors[:n]).T, n, [f.shape[0] for f in factors])


# %% answer="decomposition_parameters" name="loops"
# Counted core by core.
def decomposition_parameters(shape, rank, kind):
    total = 0
    for k, size in enumerate(shape):
        if kind == "cp":
            total += size * rank
        elif kind == "tucker":
            total += size * rank[k]
        else:
            total += rank[k] * size * rank[k + 1]
    if kind == "tucker":
        core = 1
        for r in rank:
            core *= r
        total += core
    return total


# %% answer="decomposition_parameters" name="tensors on meta"
# Tensors of these shapes, counted.
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        shapes = [(n, rank) for n in shape]
    elif kind == "tucker":
        shapes = [rank] + list(zip(shape, rank))
    elif kind == "tt":
        shapes = [(rank[k], shape[k], rank[k + 1]) for k in range(len(shape))]
    return sum(torch.empty(s, device="meta").numel() for s in shapes)


# %% answer="cp_als_sweep" name="lstsq"
# Without Gram matrices.
def cp_als_sweep(x, factors):
    new = [f.clone() for f in factors]
    for n in range(len(new)):
        K = khatri_rao(new[:n] + new[n + 1 :])
        new[n] = torch.linalg.lstsq(K, unfold(x, n).T).solution.T
    return new


# %% answer="cp_als_sweep" name="pinv of the gram"
# The formula of the books.
def cp_als_sweep(x, factors):
    new = list(factors)
    for n in range(x.ndim):
        V = torch.ones(new[0].shape[1], new[0].shape[1], dtype=x.dtype)
        for k, f in enumerate(new):
            if k != n:
                V = V * (f.T @ f)
        others = [f for k, f in enumerate(new) if k != n]
        new[n] = unfold(x, n) @ khatri_rao(others) @ torch.linalg.pinv(V)
    return new


# %% answer="cp_als_sweep" name="tuple, cholesky"
# A tuple comes back; the normal equations by Cholesky.
def cp_als_sweep(x, factors):
    new = tuple(factors)
    for n in range(x.ndim):
        K = khatri_rao([*new[:n], *new[n + 1 :]])
        L = torch.linalg.cholesky(K.T @ K)
        new = (*new[:n], torch.cholesky_solve((unfold(x, n) @ K).T, L).T, *new[n + 1 :])
    return new


# %% answer="cp_als_sweep" name="pinv of khatri-rao"
# The pseudoinverse of K transposed.
def cp_als_sweep(x, factors):
    new = list(factors)
    for n in range(x.ndim):
        K = khatri_rao([new[k] for k in range(x.ndim) if k != n])
        new[n] = unfold(x, n) @ torch.linalg.pinv(K.T)
    return new


# %% answer="tucker_to_tensor" name="multi_mode_dot"
# Chapter 1's product.
def tucker_to_tensor(core, factors):
    return multi_mode_dot(core, factors, range(core.ndim))


# %% answer="tucker_to_tensor" name="einsum"
# Capital letters for the tensor's modes.
def tucker_to_tensor(core, factors):
    low = "abcdefg"[: core.ndim]
    pairs = ",".join(c.upper() + c for c in low)
    return torch.einsum(f"{low},{pairs}->{low.upper()}", core, *factors)


# %% answer="tucker_to_tensor" name="tensordot"
# The first mode is used up each time, and comes back at the end.
def tucker_to_tensor(core, factors):
    for f in factors:
        core = torch.tensordot(core, f, dims=([0], [1]))
    return core


# %% answer="hosvd" name="eigh"
# Eigenvectors of the Gram matrix, turned round.
def hosvd(x, ranks):
    factors = []
    for k, r in enumerate(ranks):
        m = unfold(x, k)
        vectors = torch.linalg.eigh(m @ m.T)[1].flip(1)
        factors.append(vectors[:, :r])
    core = x
    for k, u in enumerate(factors):
        core = mode_dot(core, u.T, k)
    return core, factors


# %% answer="hosvd" name="other signs, tuple"
# Signs are free; lists and tuples alike.
def hosvd(x, ranks):
    us = tuple(-torch.svd(unfold(x, k))[0][:, :r] for k, r in enumerate(ranks))
    letters = "abcdefg"[: x.ndim]
    pairs = ",".join(c + c.upper() for c in letters)
    return [torch.einsum(f"{letters},{pairs}->{letters.upper()}", x, *us), us]


# %% answer="hosvd" name="right vectors of the transpose"
# The other side of the transposed unfolding.
def hosvd(x, ranks):
    us = [torch.linalg.svd(unfold(x, k).T)[2][:r].T for k, r in enumerate(ranks)]
    return multi_mode_dot(x, [u.mT for u in us], tuple(range(x.ndim))), us


# %% answer="tt_to_tensor" name="matrix products"
# Flat on the left, then the shape.
def tt_to_tensor(cores):
    x = cores[0].reshape(-1, cores[0].shape[2])
    for core in cores[1:]:
        x = (x @ core.reshape(core.shape[0], -1)).reshape(-1, core.shape[2])
    return x.reshape([core.shape[1] for core in cores])


# %% answer="tt_to_tensor" name="from the right"
# The chain from its other end.
def tt_to_tensor(cores):
    x = cores[-1][:, :, 0]
    for core in reversed(cores[:-1]):
        x = torch.tensordot(core, x, dims=1)
    return x[0]


# %% answer="tt_to_tensor" name="einsum"
# With an ellipsis for what is already there.
def tt_to_tensor(cores):
    x = cores[0][0]
    for core in cores[1:]:
        x = torch.einsum("...r,ris->...is", x, core)
    return x[..., 0]


# %% answer="tt_svd" name="projected"
# The rest as the transpose of U times what was.
def tt_svd(x, ranks):
    cores = []
    rest = x.reshape(x.shape[0], -1)
    for k in range(x.ndim - 1):
        rest = rest.reshape(ranks[k] * x.shape[k], -1)
        u = torch.linalg.svd(rest)[0][:, : ranks[k + 1]]
        cores.append(u.reshape(ranks[k], -1, ranks[k + 1]))
        rest = u.T @ rest
    cores.append(rest.reshape(-1, x.shape[-1], 1))
    return cores


# %% answer="tt_svd" name="diag, all modes in one loop"
# The last step is the loop's last turn; signs turned; a tuple.
def tt_svd(x, ranks):
    cores, rest = (), x
    for k, size in enumerate(x.shape):
        rest = rest.reshape(ranks[k] * size, -1)
        if k == x.ndim - 1:
            return cores + (rest.reshape(ranks[k], size, 1),)
        u, s, v = torch.svd(rest)
        r = ranks[k + 1]
        cores = cores + (-u[:, :r].reshape(ranks[k], size, r),)
        rest = -torch.diag(s[:r]) @ v[:, :r].T


# %% answer="tt_svd" name="recursive"
# Cut off one mode, and go on with what is left.
def tt_svd(x, ranks):
    def split(rest, sizes, ranks):
        if len(sizes) == 1:
            return [rest.reshape(ranks[0], sizes[0], 1)]
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[0] * sizes[0], -1), full_matrices=False)
        r = ranks[1]
        core = u[:, :r].reshape(ranks[0], sizes[0], r)
        return [core] + split(s[:r].unsqueeze(1) * vh[:r], sizes[1:], ranks[1:])

    return split(x, list(x.shape), list(ranks))
