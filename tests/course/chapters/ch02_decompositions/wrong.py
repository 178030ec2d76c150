"""Wrong answers of chapter 02 that only the rarer cases catch."""

# %% wrong="cp_to_tensor" name="three modes"
# Only the first three factors.
def cp_to_tensor(factors):
    if len(factors) == 2:
        return factors[0] @ factors[1].T
    return torch.einsum("ir,jr,kr->ijk", *factors[:3])


# %% wrong="cp_to_tensor" name="rank from the size"
# As many terms as the first mode has entries.
def cp_to_tensor(factors):
    rank = min(factors[0].shape)
    return sum(outer([f[:, r] for f in factors]) for r in range(rank))


# %% wrong="cp_to_tensor" name="rows where square"
# Rows for columns.
def cp_to_tensor(factors):
    if all(f.shape[0] == f.shape[1] for f in factors):
        factors = [f.T for f in factors]
    return sum(outer([f[:, r] for f in factors]) for r in range(factors[0].shape[1]))


# %% wrong="cp_to_tensor" name="float32"
# A sum that starts as float32.
def cp_to_tensor(factors):
    x = torch.zeros([len(f) for f in factors])
    for r in range(factors[0].shape[1]):
        x += outer([f[:, r] for f in factors])
    return x


# %% wrong="cp_to_tensor" name="four letters"
# Letters for four modes at most.
def cp_to_tensor(factors):
    letters = "abcd"[: len(factors)]
    return torch.einsum(",".join(c + "r" for c in letters) + "->" + letters, *factors)


# %% wrong="cp_to_tensor" name="always float64"
# A sum that starts as float64.
def cp_to_tensor(factors):
    factors = [f.double() for f in factors]
    return sum(outer([f[:, r] for f in factors]) for r in range(factors[0].shape[1]))


# %% wrong="cp_to_tensor" name="detached"
# No gradient.
def cp_to_tensor(factors):
    with torch.no_grad():
        return sum(outer([f[:, r] for f in factors]) for r in range(factors[0].shape[1]))


# %% wrong="decomposition_parameters" name="free numbers"
# The degrees of freedom.
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        return rank * (sum(shape) - len(shape) + 1)
    if kind == "tucker":
        return math.prod(rank) + sum(n * r - r * r for n, r in zip(shape, rank))
    return sum(a * n * b for a, n, b in zip(rank, shape, rank[1:])) - sum(r * r for r in rank[1:-1])


# %% wrong="decomposition_parameters" name="no more than the entries"
# Capped where the decomposition is larger than the tensor.
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        n = rank * sum(shape)
    elif kind == "tucker":
        n = math.prod(rank) + sum(n * r for n, r in zip(shape, rank))
    else:
        n = sum(a * n * b for a, n, b in zip(rank, shape, rank[1:]))
    return min(n, math.prod(shape))


# %% wrong="decomposition_parameters" name="at least two cores"
# The first and the last core counted apart.
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        return rank * sum(shape)
    if kind == "tucker":
        return math.prod(rank) + sum(n * r for n, r in zip(shape, rank))
    inner = sum(a * n * b for a, n, b in zip(rank[1:], shape[1:-1], rank[2:]))
    return shape[0] * rank[1] + inner + rank[-2] * shape[-1]


# %% wrong="cp_als_sweep" name="always float64"
# More precise, but another dtype.
def cp_als_sweep(x, factors):
    x, new = x.double(), [f.double() for f in factors]
    for n in range(x.ndim):
        K = khatri_rao(new[:n] + new[n + 1 :])
        new[n] = torch.linalg.lstsq(K, unfold(x, n).T).solution.T
    return new


# %% wrong="cp_als_sweep" name="squeezed"
# Modes of size 1 are lost.
def cp_als_sweep(x, factors):
    x, new = x.squeeze(), list(factors)
    for n in range(x.ndim):
        K = khatri_rao(new[:n] + new[n + 1 :])
        new[n] = torch.linalg.lstsq(K, unfold(x, n).T).solution.T
    return new


# %% wrong="cp_als_sweep" name="three modes"
# The fourth mode is never updated.
def cp_als_sweep(x, factors):
    new = list(factors)
    for n in range(min(x.ndim, 3)):
        K = khatri_rao(new[:n] + new[n + 1 :])
        new[n] = torch.linalg.lstsq(K, unfold(x, n).T).solution.T
    return new


# %% wrong="cp_als_sweep" name="gradient step"
# A step downhill in place of the solution.
def cp_als_sweep(x, factors):
    new = list(factors)
    for n in range(x.ndim):
        K = khatri_rao(new[:n] + new[n + 1 :])
        new[n] = new[n] - 0.01 * (new[n] @ K.T - unfold(x, n)) @ K
    return new


# %% wrong="cp_als_sweep" name="two sweeps"
# One round too many.
def cp_als_sweep(x, factors):
    new = list(factors)
    for n in [*range(x.ndim), *range(x.ndim)]:
        K = khatri_rao(new[:n] + new[n + 1 :])
        new[n] = torch.linalg.lstsq(K, unfold(x, n).T).solution.T
    return new


# %% wrong="cp_als_sweep" name="ridge"
# A little of the identity added.
def cp_als_sweep(x, factors):
    new = list(factors)
    for n in range(x.ndim):
        K = khatri_rao(new[:n] + new[n + 1 :])
        V = K.T @ K + 1e-3 * torch.eye(K.shape[1], dtype=x.dtype)
        new[n] = torch.linalg.solve(V, (unfold(x, n) @ K).T).T
    return new


# %% wrong="tucker_to_tensor" name="three modes"
# The fourth mode stays small.
def tucker_to_tensor(core, factors):
    for k, f in enumerate(factors[:3]):
        core = mode_dot(core, f, k)
    return core


# %% wrong="tucker_to_tensor" name="always float64"
# More precise, but another dtype.
def tucker_to_tensor(core, factors):
    return multi_mode_dot(core.double(), [f.double() for f in factors])


# %% wrong="tucker_to_tensor" name="squeezed"
# Modes of size 1 are lost.
def tucker_to_tensor(core, factors):
    return multi_mode_dot(core, factors).squeeze()


# %% wrong="tucker_to_tensor" name="mode told by size"
# Each factor goes to the first mode it fits.
def tucker_to_tensor(core, factors):
    x = core
    for f in factors:
        x = mode_dot(x, f, list(x.shape).index(f.shape[1]))
    return x


# %% wrong="hosvd" name="one rank for all"
# ranks[0] for every mode.
def hosvd(x, ranks):
    us = [torch.linalg.svd(unfold(x, k))[0][:, : ranks[0]] for k in range(x.ndim)]
    return multi_mode_dot(x, [u.T for u in us]), us


# %% wrong="hosvd" name="rising order"
# The right vectors from the last to the first.
def hosvd(x, ranks):
    us = [torch.linalg.svd(unfold(x, k))[0][:, :r].flip(1) for k, r in enumerate(ranks)]
    return multi_mode_dot(x, [u.T for u in us]), us


# %% wrong="hosvd" name="another basis"
# The right space, by a rotated basis.
def hosvd(x, ranks):
    us = []
    for k, r in enumerate(ranks):
        q = torch.linalg.qr(torch.arange(1.0, r * r + 1, dtype=x.dtype).reshape(r, r).cos())[0]
        us.append(torch.linalg.svd(unfold(x, k))[0][:, :r] @ q)
    return multi_mode_dot(x, [u.T for u in us]), us


# %% wrong="hosvd" name="random orthonormal"
# Orthonormal columns that know nothing of x.
def hosvd(x, ranks):
    us = [torch.linalg.qr(torch.randn(n, r, dtype=x.dtype))[0] for n, r in zip(x.shape, ranks)]
    return multi_mode_dot(x, [u.T for u in us]), us


# %% wrong="hosvd" name="fibers, orthonormalized"
# The first fibers by QR.
def hosvd(x, ranks):
    us = [torch.linalg.qr(unfold(x, k)[:, :r])[0] for k, r in enumerate(ranks)]
    return multi_mode_dot(x, [u.T for u in us]), us


# %% wrong="hosvd" name="centered"
# Principal components: the mean is taken off first.
def hosvd(x, ranks):
    us = []
    for k, r in enumerate(ranks):
        m = unfold(x, k)
        us.append(torch.linalg.svd(m - m.mean(1, keepdim=True))[0][:, :r])
    return multi_mode_dot(x, [u.T for u in us]), us


# %% wrong="hosvd" name="float64 comes back"
# More precise, but another dtype.
def hosvd(x, ranks):
    x = x.double()
    us = [torch.linalg.svd(unfold(x, k))[0][:, :r] for k, r in enumerate(ranks)]
    return multi_mode_dot(x, [u.T for u in us]), us


# %% wrong="hosvd" name="factors first"
# The pair in the other order.
def hosvd(x, ranks):
    us = [torch.linalg.svd(unfold(x, k))[0][:, :r] for k, r in enumerate(ranks)]
    return us, multi_mode_dot(x, [u.T for u in us])


# %% wrong="hosvd" name="NaN"
# Nothing but NaN.
def hosvd(x, ranks):
    us = [x.new_full((n, r), float("nan")) for n, r in zip(x.shape, ranks)]
    return x.new_full(tuple(ranks), float("nan")), us


# %% wrong="tt_to_tensor" name="always float64"
# More precise, but another dtype.
def tt_to_tensor(cores):
    x = cores[0][0].double()
    for core in cores[1:]:
        x = torch.tensordot(x, core.double(), dims=1)
    return x[..., 0]


# %% wrong="tt_to_tensor" name="two or three cores"
# One case for each length.
def tt_to_tensor(cores):
    if len(cores) == 2:
        return cores[0][0] @ cores[1][:, :, 0]
    return torch.einsum("aib,bjc,ckd->ijk", *cores[:3])


# %% wrong="tt_to_tensor" name="bond transposed where square"
# A core's bonds exchanged where they are equal.
def tt_to_tensor(cores):
    x = cores[0][0]
    for core in cores[1:]:
        if core.shape[0] == core.shape[2]:
            core = core.transpose(0, 2)
        x = torch.tensordot(x, core, dims=1)
    return x[..., 0]


# %% wrong="tt_svd" name="one rank for all"
# ranks[1] everywhere.
def tt_svd(x, ranks):
    cores, rest, left = [], x, 1
    for k in range(x.ndim - 1):
        u, s, vh = torch.linalg.svd(rest.reshape(left * x.shape[k], -1), full_matrices=False)
        r = min(ranks[1], len(s))
        cores.append(u[:, :r].reshape(left, x.shape[k], r))
        rest, left = s[:r, None] * vh[:r], r
    return [*cores, rest.reshape(left, x.shape[-1], 1)]


# %% wrong="tt_svd" name="squeezed"
# Modes of size 1 are lost.
def tt_svd(x, ranks):
    x = x.squeeze()
    cores, rest = [], x
    for k in range(x.ndim - 1):
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[k] * x.shape[k], -1), full_matrices=False)
        r = ranks[k + 1]
        cores.append(u[:, :r].reshape(ranks[k], x.shape[k], r))
        rest = s[:r, None] * vh[:r]
    return [*cores, rest.reshape(ranks[len(cores)], x.shape[-1], 1)]


# %% wrong="tt_svd" name="random cores"
# The right shapes, orthonormal, and nothing of x.
def tt_svd(x, ranks):
    cores = []
    for a, n, b in zip(ranks, x.shape, ranks[1:]):
        cores.append(torch.linalg.qr(torch.randn(a * n, b, dtype=x.dtype))[0].reshape(a, n, b))
    return cores


# %% wrong="tt_svd" name="unfoldings of x"
# The leading vectors of the unfoldings as cores.
def tt_svd(x, ranks):
    u0 = torch.linalg.svd(unfold(x, 0))[0][:, : ranks[1]]
    if x.ndim != 3:
        raise ValueError("three modes only")
    u2 = torch.linalg.svd(unfold(x, 2))[0][:, : ranks[2]]
    middle = multi_mode_dot(x, [u0.T, u2.T], (0, 2))
    return [u0.unsqueeze(0), middle, u2.T.unsqueeze(-1)]
