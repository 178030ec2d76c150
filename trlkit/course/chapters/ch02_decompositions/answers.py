"""Usual mistakes of chapter 02."""

# %% mistake="cp_to_tensor" name="every column with every column"
# Your sum runs over every combination of columns: column 0 of one factor also meets column 1
# of another. In CP, column r meets the columns r alone.
# Look at: how many rank-1 terms there are; one index r is shared by all factors.
def cp_to_tensor(factors):
    return outer([factor.sum(dim=1) for factor in factors])


# %% mistake="cp_to_tensor" name="first term only"
# You return the first of the rank-1 terms.
# Look at: where the other columns come in, and the indentation of your `return`.
def cp_to_tensor(factors):
    return outer([factor[:, 0] for factor in factors])


# %% mistake="cp_to_tensor" name="last term only"
# You return the last of the rank-1 terms: each one replaces the one before.
# Look at: = and +=.
def cp_to_tensor(factors):
    return outer([factor[:, -1] for factor in factors])


# %% mistake="cp_to_tensor" name="averaged"
# You averaged the rank-1 terms where they are to be summed.
# Look at: mean and sum.
def cp_to_tensor(factors):
    rank = factors[0].shape[1]
    return sum(outer([factor[:, r] for factor in factors]) for r in range(rank)) / rank


# %% mistake="cp_to_tensor" name="left unfolded"
# You return the product of the unfoldings: a matrix. It has to be folded to a tensor.
# Look at: the number of modes of what you return.
def cp_to_tensor(factors):
    return factors[0] @ khatri_rao(factors[1:]).T


# %% mistake="cp_to_tensor" name="khatri-rao reversed"
# Your Khatri-Rao product runs through the factors from the last to the first, as Kolda and
# Bader's column-major unfolding needs it. Ours takes them in their own order.
# Look at: the order of the factors in `khatri_rao`.
def cp_to_tensor(factors):
    shape = [len(factor) for factor in factors]
    return fold(factors[0] @ khatri_rao(factors[:0:-1]).T, 0, shape)


# %% mistake="cp_to_tensor" name="modes reversed"
# Your modes come in the reverse order: the rows of factors[0] must run along mode 0.
# Look at: the order of the vectors in your outer product.
def cp_to_tensor(factors):
    return sum(
        outer([factor[:, r] for factor in reversed(factors)]) for r in range(factors[0].shape[1])
    )


# %% mistake="cp_to_tensor" name="terms not summed"
# You return every rank-1 term by itself; the tensor is their sum.
# Look at: the mode of size R in what you return.
def cp_to_tensor(factors):
    rank = factors[0].shape[1]
    return torch.stack([outer([factor[:, r] for factor in factors]) for r in range(rank)])


# %% mistake="decomposition_parameters" name="CP by the entries"
# For CP you multiplied the sizes: R times all entries, as if each rank-1 term were stored
# whole. It is stored as one vector for each mode.
# Look at: the shape of one factor, and how many factors there are.
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        return rank * math.prod(shape)
    if kind == "tucker":
        return math.prod(rank) + sum(n * r for n, r in zip(shape, rank))
    return sum(a * n * b for a, n, b in zip(rank, shape, rank[1:]))


# %% mistake="decomposition_parameters" name="core forgotten"
# For Tucker you counted the factors and forgot the core.
# Look at: the orange box of the picture.
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        return rank * sum(shape)
    if kind == "tucker":
        return sum(n * r for n, r in zip(shape, rank))
    return sum(a * n * b for a, n, b in zip(rank, shape, rank[1:]))


# %% mistake="decomposition_parameters" name="core by the sum"
# For Tucker you counted the core by the sum of the ranks. It has an entry for every combination
# of them.
# Look at: how many entries a tensor of shape `rank` has.
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        return rank * sum(shape)
    if kind == "tucker":
        return sum(rank) + sum(n * r for n, r in zip(shape, rank))
    return sum(a * n * b for a, n, b in zip(rank, shape, rank[1:]))


# %% mistake="decomposition_parameters" name="right bond only"
# For TT you counted size times the rank on the right. A core has the rank on its left as well.
# Look at: the three sizes of a core.
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        return rank * sum(shape)
    if kind == "tucker":
        return math.prod(rank) + sum(n * r for n, r in zip(shape, rank))
    return sum(n * b for n, b in zip(shape, rank[1:]))


# %% mistake="decomposition_parameters" name="left bond only"
# For TT you counted size times the rank on the left. A core has the rank on its right as well.
# Look at: the three sizes of a core.
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        return rank * sum(shape)
    if kind == "tucker":
        return math.prod(rank) + sum(n * r for n, r in zip(shape, rank))
    return sum(n * a for n, a in zip(shape, rank))


# %% mistake="decomposition_parameters" name="one rank squared"
# For TT you used one rank twice in each core. The ranks on the two sides of a core are two entries
# of `rank`.
# Look at: the shape of core 0.
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        return rank * sum(shape)
    if kind == "tucker":
        return math.prod(rank) + sum(n * r for n, r in zip(shape, rank))
    return sum(n * r * r for n, r in zip(shape, rank))


# %% mistake="decomposition_parameters" name="CP with a full core"
# For CP you also counted a core of R ** order numbers. CP has no core: its terms need no
# combinations, which is what sets it apart from Tucker.
# Look at: the left part of the picture.
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        return rank * sum(shape) + rank ** len(shape)
    if kind == "tucker":
        return math.prod(rank) + sum(n * r for n, r in zip(shape, rank))
    return sum(a * n * b for a, n, b in zip(rank, shape, rank[1:]))


# %% mistake="decomposition_parameters" name="order for the rank"
# For CP you took the order, the number of modes, for the rank. The order is the number of factors; the
# rank is how many columns each has.
# Look at: what the argument `rank` says, and what `len(shape)` says.
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        return len(shape) * sum(shape)
    if kind == "tucker":
        return math.prod(rank) + sum(n * r for n, r in zip(shape, rank))
    return sum(a * n * b for a, n, b in zip(rank, shape, rank[1:]))


# %% mistake="cp_als_sweep" name="grams forgotten"
# You multiply the unfolding by the Khatri-Rao product and stop there. That would be the least
# squares solution only if the columns of K were orthonormal; the Gram matrices of the other
# factors say how far they are from that.
# Look at: the V in F V = unfold(x, n) K.
def cp_als_sweep(x, factors):
    factors = list(factors)
    for mode in range(x.ndim):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        factors[mode] = unfold(x, mode) @ khatri_rao(others)
    return factors


# %% mistake="cp_als_sweep" name="old factors"
# Every update uses the factors that were given. Each should use the newest: mode 1 the factor 0 that
# you have just computed. (With old ones for all, the error may even grow.)
# Look at: from which list the other factors of the next mode come.
def cp_als_sweep(x, factors):
    updated = []
    for mode in range(x.ndim):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        updated.append(torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T)
    return updated


# %% mistake="cp_als_sweep" name="own gram included"
# Your V also holds the Gram matrix of the factor that you are about to replace. V belongs to K,
# and K is made of the *other* factors.
# Look at: which k the product of the Gram matrices runs over.
def cp_als_sweep(x, factors):
    factors = list(factors)
    for mode in range(x.ndim):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        gram = math.prod(factor.T @ factor for factor in factors)
        right = unfold(x, mode) @ khatri_rao(others)
        factors[mode] = right @ torch.linalg.pinv(gram)
    return factors


# %% mistake="cp_als_sweep" name="grams by matrix product"
# You multiplied the Gram matrices as matrices. The Gram matrix of a Khatri-Rao product is their
# product entry by entry.
# Look at: @ and *.
def cp_als_sweep(x, factors):
    factors = list(factors)
    for mode in range(x.ndim):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        gram = torch.eye(others[0].shape[1], dtype=x.dtype)
        for factor in others:
            gram = gram @ (factor.T @ factor)
        right = unfold(x, mode) @ khatri_rao(others)
        factors[mode] = right @ torch.linalg.pinv(gram)
    return factors


# %% mistake="cp_als_sweep" name="grams added"
# You added the Gram matrices. The Gram matrix of a Khatri-Rao product is their product, entry by
# entry.
# Look at: the operator between them.
def cp_als_sweep(x, factors):
    factors = list(factors)
    for mode in range(x.ndim):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        gram = sum(factor.T @ factor for factor in others)
        right = unfold(x, mode) @ khatri_rao(others)
        factors[mode] = right @ torch.linalg.pinv(gram)
    return factors


# %% mistake="cp_als_sweep" name="grams before the loop"
# Your Gram matrices are those of the factors that were given. When a factor is replaced, its Gram
# matrix changes, too; only your K is made of the newest factors.
# Look at: the place of your Gram matrices, before the loop or in it.
def cp_als_sweep(x, factors):
    factors = list(factors)
    grams = [factor.T @ factor for factor in factors]
    for mode in range(x.ndim):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        gram = math.prod(gram for k, gram in enumerate(grams) if k != mode)
        factors[mode] = unfold(x, mode) @ khatri_rao(others) @ torch.linalg.pinv(gram)
    return factors


# %% mistake="cp_als_sweep" name="gram of the rows"
# You multiply a factor by its own transpose from the right, F F^T: that compares its rows and has
# shape (I_k, I_k). The Gram matrix of its columns is (R, R).
# Look at: the side on which the transposed factor stands.
def cp_als_sweep(x, factors):
    factors = list(factors)
    for mode in range(x.ndim):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        gram = math.prod(factor @ factor.T for factor in others)
        factors[mode] = unfold(x, mode) @ khatri_rao(others) @ torch.linalg.pinv(gram)
    return factors


# %% mistake="cp_als_sweep" name="last mode left out"
# You updated all modes but the last. A sweep gives every mode its turn.
# Look at: the end of your range.
def cp_als_sweep(x, factors):
    factors = list(factors)
    for mode in range(x.ndim - 1):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
    return factors


# %% mistake="cp_als_sweep" name="khatri-rao reversed"
# Your Khatri-Rao product runs through the factors from the last to the first, as Kolda and
# Bader's formula does for their column-major unfolding. Ours takes them in their own order.
# Look at: the order of the other factors.
def cp_als_sweep(x, factors):
    factors = list(factors)
    for mode in range(x.ndim):
        others = [factor for k, factor in enumerate(factors) if k != mode][::-1]
        factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
    return factors


# %% mistake="cp_als_sweep" name="from the last mode"
# You update the last mode first. The order matters, since each update uses the ones before.
# Look at: the direction of your loop.
def cp_als_sweep(x, factors):
    factors = list(factors)
    for mode in reversed(range(x.ndim)):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
    return factors


# %% mistake="cp_als_sweep" name="mode 0 only"
# You updated mode 0 and returned. A sweep gives every mode its turn.
# Look at: the indentation of your `return`.
def cp_als_sweep(x, factors):
    solution = torch.linalg.lstsq(khatri_rao(factors[1:]), unfold(x, 0).T).solution.T
    return [solution, *factors[1:]]


# %% mistake="cp_als_sweep" name="columns rescaled"
# You divide the new columns by their lengths. Some programs do, and keep the lengths as weights
# of the terms; here nothing keeps them, and the tensor is lost.
# Look at: what you do to a factor after it is solved for.
def cp_als_sweep(x, factors):
    factors = list(factors)
    for mode in range(x.ndim):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        solution = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
        factors[mode] = solution / solution.norm(dim=0)
    return factors


# %% mistake="cp_als_sweep" name="into the given list"
# Your numbers are right, but you wrote them into the list that was given, or into its tensors. Its
# owner may still need them.
# Look at: the list that you assign into; `list(factors)` makes a new one.
def cp_als_sweep(x, factors):
    for mode in range(x.ndim):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
    return factors


# %% mistake="tucker_to_tensor" name="transposed where square"
# You multiply by transposed factors. factors[k] of shape (I_k, R_k) takes the ranks of the core to
# the sizes of the tensor as it is.
# Look at: which index of the factor you sum over.
def tucker_to_tensor(core, factors):
    for mode, factor in enumerate(factors):
        if factor.shape[0] == factor.shape[1]:
            factor = factor.T
        core = mode_dot(core, factor, mode)
    return core


# %% mistake="tucker_to_tensor" name="core unfolded along mode 0"
# You lay the core out along mode 0 whatever mode you multiply; a reshape then hides it.
# Look at: the mode that you unfold, and the fibers that factors[k] acts on.
def tucker_to_tensor(core, factors):
    for mode, factor in enumerate(factors):
        shape = list(core.shape)
        shape[mode] = factor.shape[0]
        core = (factor @ unfold(core, 0).reshape(core.shape[mode], -1)).reshape(shape)
    return core


# %% mistake="tucker_to_tensor" name="folded along mode 0"
# You unfold the right mode, multiply, and then reshape: that puts the new mode in front, not in
# its place.
# Look at: the way back from the unfolding, and the mode it is given.
def tucker_to_tensor(core, factors):
    for mode, factor in enumerate(factors):
        shape = list(core.shape)
        shape[mode] = factor.shape[0]
        core = (factor @ unfold(core, mode)).reshape(shape)
    return core


# %% mistake="tucker_to_tensor" name="kronecker reversed"
# Your Kronecker product runs through the factors from the last to the first, as the books' formula
# does for a column-major unfolding. Ours takes them in their own order.
# Look at: the order of the factors behind the unfolded core.
def tucker_to_tensor(core, factors):
    long = torch.ones(1, 1, dtype=core.dtype)
    for factor in factors[:0:-1]:
        long = torch.kron(long, factor)
    return fold(factors[0] @ unfold(core, 0) @ long.T, 0, [len(factor) for factor in factors])


# %% mistake="tucker_to_tensor" name="diagonal of the core"
# You only used the diagonal of the core, entries with equal indices. That is CP; in Tucker each
# column of one factor meets each column of the others.
# Look at: how many terms there are.
def tucker_to_tensor(core, factors):
    x = 0
    for r in range(min(core.shape)):
        x = x + core[(r,) * core.ndim] * outer([factor[:, r] for factor in factors])
    return x


# %% mistake="tucker_to_tensor" name="core ignored"
# You combine the factors and forget the numbers of the core: as if they were all 1.
# Look at: where `core` comes in.
def tucker_to_tensor(core, factors):
    return outer([factor.sum(dim=1) for factor in factors])


# %% mistake="tucker_to_tensor" name="mode 0 only"
# You multiplied mode 0 only, or returned too early.
# Look at: the indentation of your `return`.
def tucker_to_tensor(core, factors):
    return mode_dot(core, factors[0], 0)


# %% mistake="tucker_to_tensor" name="started again from the core"
# Each of your products starts again from the core, so only the last one is left.
# Look at: what the next product multiplies.
def tucker_to_tensor(core, factors):
    for mode, factor in enumerate(factors):
        x = mode_dot(core, factor, mode)
    return x


# %% mistake="hosvd" name="smallest first"
# Your singular vectors belong to the smallest singular values: `eigh` sorts upwards, `svd`
# downwards.
# Look at: the end from which you take the columns.
def hosvd(x, ranks):
    factors = []
    for k, r in enumerate(ranks):
        m = unfold(x, k)
        factors.append(torch.linalg.eigh(m @ m.T).eigenvectors[:, :r])
    return multi_mode_dot(x, [u.T for u in factors]), factors


# %% mistake="hosvd" name="projected before the next mode"
# You take each mode's singular vectors from what the modes before have left of x. That is a
# method of its own (the sequentially truncated HOSVD of Vannieuwenhoven et al., 2012), often as good and
# faster; but here every factor comes from x itself.
# Look at: the tensor that you unfold.
def hosvd(x, ranks):
    factors = []
    for k, r in enumerate(ranks):
        u = torch.linalg.svd(unfold(x, k), full_matrices=False).U[:, :r]
        factors.append(u)
        x = mode_dot(x, u.T, k)
    return x, factors


# %% mistake="hosvd" name="reshaped, not unfolded"
# You reshape x where it must be unfolded. The rows are then fibers of no mode, unless the mode is
# already the first.
# Look at: `x.reshape` and `unfold`.
def hosvd(x, ranks):
    factors = []
    for k, r in enumerate(ranks):
        m = x.reshape(x.shape[k], -1)
        factors.append(torch.linalg.svd(m, full_matrices=False).U[:, :r])
    return multi_mode_dot(x, [u.T for u in factors]), factors


# %% mistake="hosvd" name="rows of U"
# You took rows of U. The singular vectors are its columns.
# Look at: which of the two indices of U you cut at ranks[k].
def hosvd(x, ranks):
    factors = []
    for k, r in enumerate(ranks):
        factors.append(torch.linalg.svd(unfold(x, k), full_matrices=False).U[:r].T)
    return multi_mode_dot(x, [u.T for u in factors]), factors


# %% mistake="hosvd" name="scaled by the singular values"
# You multiplied the singular vectors by their singular values. The columns of the factors must be
# orthonormal; how much each direction counts is said by the core.
# Look at: what else than U went into your factors.
def hosvd(x, ranks):
    factors = []
    for k, r in enumerate(ranks):
        u, s, _ = torch.linalg.svd(unfold(x, k), full_matrices=False)
        factors.append(u[:, :r] * s[:r])
    return multi_mode_dot(x, [u.T for u in factors]), factors


# %% mistake="hosvd" name="core cut out of x"
# Your core is a corner of x. The core is what x is *in the directions of the factors*: x multiplied
# along every mode.
# Look at: how your core depends on the factors.
def hosvd(x, ranks):
    factors = []
    for k, r in enumerate(ranks):
        factors.append(torch.linalg.svd(unfold(x, k), full_matrices=False).U[:, :r])
    return x[tuple(slice(r) for r in ranks)], factors


# %% mistake="hosvd" name="not cut off"
# You kept every singular vector: the ranks are not used.
# Look at: how many columns each factor has.
def hosvd(x, ranks):
    factors = [torch.linalg.svd(unfold(x, k), full_matrices=False).U for k in range(x.ndim)]
    return multi_mode_dot(x, [u.T for u in factors]), factors


# %% mistake="hosvd" name="factors transposed"
# Your factors are transposed, or rows of U: factors[k] has shape (I_k, R_k), the singular vectors
# are its columns. It is for the core that they are transposed.
# Look at: the index of U that you cut, the list that you return, and the one you multiply x by.
def hosvd(x, ranks):
    factors = []
    for k, r in enumerate(ranks):
        factors.append(torch.linalg.svd(unfold(x, k), full_matrices=False).U[:, :r].T)
    return multi_mode_dot(x, factors), factors


# %% mistake="hosvd" name="tensor, not core"
# You return the approximation of x, at its full size, in place of the core.
# Look at: the shape of what you return first; x is multiplied by the transposed factors, once.
def hosvd(x, ranks):
    factors = []
    for k, r in enumerate(ranks):
        factors.append(torch.linalg.svd(unfold(x, k), full_matrices=False).U[:, :r])
    return multi_mode_dot(x, [u @ u.T for u in factors]), factors


# %% mistake="tt_to_tensor" name="bonds left"
# You left the ranks at the two ends: modes of size 1 that are none of the tensor's.
# Look at: the number of modes of what you return.
def tt_to_tensor(cores):
    x = cores[0]
    for core in cores[1:]:
        x = torch.tensordot(x, core, dims=1)
    return x


# %% mistake="tt_to_tensor" name="sizes of 1 dropped"
# You drop every mode of size 1 (`squeeze()`), also one that belongs to the tensor. Only the first
# and the last must go.
# Look at: the cases with a mode of size 1.
def tt_to_tensor(cores):
    x = cores[0]
    for core in cores[1:]:
        x = torch.tensordot(x, core, dims=1)
    return x.squeeze()


# %% mistake="tt_to_tensor" name="bonds summed apart"
# You sum each core over its ranks by itself and multiply the sums. A bond is one index that two
# neighbors share: it is summed once, over the product of the two.
# Look at: the letter of a bond in both cores.
def tt_to_tensor(cores):
    return outer([core.sum(dim=(0, 2)) for core in cores])


# %% mistake="tt_to_tensor" name="first index of the bonds"
# You took only the first index of each bond and summed nothing.
# Look at: where the other slices of the cores come in.
def tt_to_tensor(cores):
    return outer([core[0, :, 0] for core in cores])


# %% mistake="tt_to_tensor" name="last bond left"
# You dropped the rank at the left end; the one at the right end is still there.
# Look at: the last mode of what you return.
def tt_to_tensor(cores):
    x = cores[0][0]
    for core in cores[1:]:
        x = torch.tensordot(x, core, dims=1)
    return x


# %% mistake="tt_to_tensor" name="modes reversed"
# Your modes come in the reverse order: the middle index of cores[0] must run along mode 0.
# Look at: the end of the chain at which you begin, and the side on which a mode is added.
def tt_to_tensor(cores):
    x = cores[0][0]
    for core in cores[1:]:
        x = torch.tensordot(x, core, dims=1)
    return x.squeeze(-1).permute(*reversed(range(len(cores))))


# %% mistake="tt_svd" name="singular values lost"
# The singular values are gone: the rest must be S times Vh, not Vh alone.
# Look at: the three things that the SVD gives, and what becomes of each.
def tt_svd(x, ranks):
    cores, rest = [], x
    for k in range(x.ndim - 1):
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[k] * x.shape[k], -1), full_matrices=False)
        r = ranks[k + 1]
        cores.append(u[:, :r].reshape(ranks[k], x.shape[k], r))
        rest = vh[:r]
    return [*cores, rest.reshape(ranks[-2], x.shape[-1], 1)]


# %% mistake="tt_svd" name="singular values in the core"
# You put the singular values into the core. They belong to the rest: only so does the next SVD
# know what is large and what is small.
# Look at: what you multiply by S, U or Vh.
def tt_svd(x, ranks):
    cores, rest = [], x
    for k in range(x.ndim - 1):
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[k] * x.shape[k], -1), full_matrices=False)
        r = ranks[k + 1]
        cores.append((u[:, :r] * s[:r]).reshape(ranks[k], x.shape[k], r))
        rest = vh[:r]
    return [*cores, rest.reshape(ranks[-2], x.shape[-1], 1)]


# %% mistake="tt_svd" name="singular values in both"
# You use the singular values twice: in the core and in the rest.
# Look at: what you multiply by S.
def tt_svd(x, ranks):
    cores, rest = [], x
    for k in range(x.ndim - 1):
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[k] * x.shape[k], -1), full_matrices=False)
        r = ranks[k + 1]
        cores.append((u[:, :r] * s[:r]).reshape(ranks[k], x.shape[k], r))
        rest = s[:r, None] * vh[:r]
    return [*cores, rest.reshape(ranks[-2], x.shape[-1], 1)]


# %% mistake="tt_svd" name="square roots on both sides"
# You share the singular values between core and rest, a square root for each. The tensor before the next
# cut is right, but what the next SVD weighs is not, and the columns are not orthonormal.
# Look at: where all of S must go.
def tt_svd(x, ranks):
    cores, rest = [], x
    for k in range(x.ndim - 1):
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[k] * x.shape[k], -1), full_matrices=False)
        r = ranks[k + 1]
        cores.append((u[:, :r] * s[:r].sqrt()).reshape(ranks[k], x.shape[k], r))
        rest = s[:r, None].sqrt() * vh[:r]
    return [*cores, rest.reshape(ranks[-2], x.shape[-1], 1)]


# %% mistake="tt_svd" name="singular values along the columns"
# S times Vh, entry by entry, aligns S with the columns of Vh (or fails, where their number is
# another). Each *row* of Vh belongs to a singular value.
# Look at: the shape that S must have for that; `S[:, None]` is a column.
def tt_svd(x, ranks):
    cores, rest = [], x
    for k in range(x.ndim - 1):
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[k] * x.shape[k], -1), full_matrices=False)
        r = ranks[k + 1]
        cores.append(u[:, :r].reshape(ranks[k], x.shape[k], r))
        rest = s[:r] * vh[:r]
    return [*cores, rest.reshape(ranks[-2], x.shape[-1], 1)]


# %% mistake="tt_svd" name="from the right"
# You go from the right to the left, so it is the later cores that have orthonormal rows. That is as
# good a TT, but not the one asked for: begin with mode 0.
# Look at: the direction of your loop.
def tt_svd(x, ranks):
    cores, rest = [], x
    for k in range(x.ndim - 1, 0, -1):
        u, s, vh = torch.linalg.svd(rest.reshape(-1, x.shape[k] * ranks[k + 1]), full_matrices=False)
        r = ranks[k]
        cores.insert(0, vh[:r].reshape(r, x.shape[k], ranks[k + 1]))
        rest = u[:, :r] * s[:r]
    return [rest.reshape(1, x.shape[0], ranks[1]), *cores]


# %% mistake="tt_svd" name="ends cut off"
# Your first core has no rank on its left and your last one none on its right. They have size 1 and stay,
# so that every core has three modes.
# Look at: the shapes of the first and the last core.
def tt_svd(x, ranks):
    cores, rest = [], x
    for k in range(x.ndim - 1):
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[k] * x.shape[k], -1), full_matrices=False)
        r = ranks[k + 1]
        cores.append(u[:, :r].reshape(ranks[k], x.shape[k], r))
        rest = s[:r, None] * vh[:r]
    return [cores[0][0], *cores[1:], rest.reshape(ranks[-2], x.shape[-1])]


# %% mistake="tt_svd" name="last core missing"
# You return one core too few: what is left after the last SVD is a core too.
# Look at: how many SVDs there are, and how many cores.
def tt_svd(x, ranks):
    cores, rest = [], x
    for k in range(x.ndim - 1):
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[k] * x.shape[k], -1), full_matrices=False)
        r = ranks[k + 1]
        cores.append(u[:, :r].reshape(ranks[k], x.shape[k], r))
        rest = s[:r, None] * vh[:r]
    return cores


# %% mistake="quiz_four_ranks" name="a"
# You took the order for the rank. Three modes do not make three terms.
# Look at: how many outer products of unit vectors you need to write x.
quiz_four_ranks = "a"

# %% mistake="quiz_four_ranks" name="b"
# You took the sizes for the ranks. A matrix of size 5 x 25 need not have rank 5.
# Look at: how many rows of unfold(x, 0) are not zero.
quiz_four_ranks = "b"

# %% mistake="quiz_four_ranks" name="c"
# You took the entries of the Tucker core, 2 x 2 x 2, for CP terms. Most of them are 0 here.
# Look at: how many outer products of unit vectors you need to write x.
quiz_four_ranks = "c"

# %% mistake="quiz_kruskal" name="a"
# The rank of a tensor may be above its smallest size, and the condition allows it.
# Look at: the k-ranks of random factors (3, R), (4, R), (5, R) for R = 4.
quiz_kruskal = "a"

# %% mistake="quiz_kruskal" name="c"
# 12 is the largest sum of the k-ranks, the left side of the condition.
# Look at: the right side.
quiz_kruskal = "c"

# %% mistake="quiz_kruskal" name="d"
# You left out the 2 on the right side, or rounded up.
# Look at: 2 R + 2 for R = 6.
quiz_kruskal = "d"

# %% mistake="quiz_border_rank" name="a"
# The terms need not settle: an error can fall for ever toward a value that no factors reach.
# Look at: section 2.5, and the axis of the sweeps in its picture.
quiz_border_rank = "a"

# %% mistake="quiz_border_rank" name="b"
# They can: two large terms of opposite signs cancel, and only their small difference is left.
# Look at: the norms in the table of section 2.5.
quiz_border_rank = "b"

# %% mistake="quiz_border_rank" name="d"
# At the true rank there are factors of a finite size that give error 0; the freedom of order and lengths
# makes no term grow from sweep to sweep.
# Look at: section 2.5.
quiz_border_rank = "d"
