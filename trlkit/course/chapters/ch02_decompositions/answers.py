"""Known answers of chapter 02."""

# %% right="cp_to_tensor"
def cp_to_tensor(factors):
    shape = [len(factor) for factor in factors]
    return fold(factors[0] @ khatri_rao(factors[1:]).T, 0, shape)

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
#- 1:
#+ :0:-1

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

# %% right="cp_als_sweep"
def cp_als_sweep(x, factors):
    factors = list(factors)
    for mode in range(x.ndim):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
    return factors

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

# %% mistake="cp_als_sweep" name="grams forgotten"
# You multiply the unfolding by the Khatri-Rao product and stop there. That would be the least
# squares solution only if the columns of K were orthonormal; the Gram matrices of the other
# factors say how far they are from that.
# Look at: the V in F V = unfold(x, n) K.
#- factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
#+ factors[mode] = unfold(x, mode) @ khatri_rao(others)

# %% mistake="cp_als_sweep" name="old factors"
# Every update uses the factors that were given. Each should use the newest: mode 1 the factor 0
# that you have just computed. (With old ones for all, the error may even grow.)
# Look at: from which list the other factors of the next mode come.
#- factors = list(factors)
#+ given, factors = factors, list(factors)
#- enumerate(factors)
#+ enumerate(given)

# %% mistake="cp_als_sweep" name="own gram included"
# Your V also holds the Gram matrix of the factor that you are about to replace. V belongs to K,
# and K is made of the *other* factors.
# Look at: which k the product of the Gram matrices runs over.
#-         factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
#+         gram = math.prod(factor.T @ factor for factor in factors)
#+         right = unfold(x, mode) @ khatri_rao(others)
#+         factors[mode] = right @ torch.linalg.pinv(gram)

# %% mistake="cp_als_sweep" name="grams by matrix product"
# You multiplied the Gram matrices as matrices. The Gram matrix of a Khatri-Rao product is their
# product entry by entry.
# Look at: @ and *.
#-         factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
#+         gram = torch.eye(others[0].shape[1], dtype=x.dtype)
#+         for factor in others:
#+             gram = gram @ (factor.T @ factor)
#+         right = unfold(x, mode) @ khatri_rao(others)
#+         factors[mode] = right @ torch.linalg.pinv(gram)

# %% mistake="cp_als_sweep" name="grams added"
# You added the Gram matrices. The Gram matrix of a Khatri-Rao product is their product, entry by
# entry.
# Look at: the operator between them.
#-         factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
#+         gram = sum(factor.T @ factor for factor in others)
#+         right = unfold(x, mode) @ khatri_rao(others)
#+         factors[mode] = right @ torch.linalg.pinv(gram)

# %% mistake="cp_als_sweep" name="grams before the loop"
# Your Gram matrices are those of the factors that were given. When a factor is replaced, its Gram
# matrix changes, too; only your K is made of the newest factors.
# Look at: the place of your Gram matrices, before the loop or in it.
#- factors = list(factors)
#+ given, factors = factors, list(factors)
#- torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
#+ unfold(x, mode) @ khatri_rao(others) @ torch.linalg.pinv(
#+             math.prod(factor.T @ factor for k, factor in enumerate(given) if k != mode)
#+         )

# %% mistake="cp_als_sweep" name="gram of the rows"
# You multiply a factor by its own transpose from the right, F F^T: that compares its rows and has
# shape (I_k, I_k). The Gram matrix of its columns is (R, R).
# Look at: the side on which the transposed factor stands.
#-         factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
#+         gram = math.prod(factor @ factor.T for factor in others)
#+         factors[mode] = unfold(x, mode) @ khatri_rao(others) @ torch.linalg.pinv(gram)

# %% mistake="cp_als_sweep" name="last mode left out"
# You updated all modes but the last. A sweep gives every mode its turn.
# Look at: the end of your range.
#- ndim
#+ ndim - 1

# %% mistake="cp_als_sweep" name="khatri-rao reversed"
# Your Khatri-Rao product runs through the factors from the last to the first, as Kolda and
# Bader's formula does for their column-major unfolding. Ours takes them in their own order.
# Look at: the order of the other factors.
#- = mode]
#+ = mode][::-1]

# %% mistake="cp_als_sweep" name="from the last mode"
# You update the last mode first. The order matters, since each update uses the ones before.
# Look at: the direction of your loop.
#- range(x.ndim
#+ reversed(range(x.ndim)

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
#-         factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
#+         solution = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
#+         factors[mode] = solution / solution.norm(dim=0)

# %% mistake="cp_als_sweep" name="into the given list"
# Your numbers are right, but what was given is not as it was: the list, its tensors, or x. Their
# owner may still need them.
# Look at: the list that you assign into (`list(factors)` makes a new one, of the same tensors), and
# what writes into a tensor.
#-     factors = list(factors)

# %% wrong="cp_als_sweep" name="sizes of 1 left alone"
# A factor of one row needs its turn, too.
#-         others =
#+         if x.shape[mode] == 1:
#+             continue
#+         others =

# %% wrong="cp_als_sweep" name="always float64"
# More precise, but another dtype.
#- factors = list(factors)
#+ x, factors = x.double(), [factor.double() for factor in factors]

# %% wrong="cp_als_sweep" name="squeezed"
# Modes of size 1 are lost.
#- factors = list(factors)
#+ x, factors = x.squeeze(), list(factors)

# %% wrong="cp_als_sweep" name="three modes"
# The fourth mode is never updated.
#- range(x.ndim)
#+ range(min(x.ndim, 3))

# %% wrong="cp_als_sweep" name="gradient step"
# A step downhill in place of the solution.
#- factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
#+ error = factors[mode] @ khatri_rao(others).T - unfold(x, mode)
#+         factors[mode] = factors[mode] - 0.01 * error @ khatri_rao(others)

# %% wrong="cp_als_sweep" name="two sweeps"
# One round too many.
#- range(x.ndim)
#+ [*range(x.ndim), *range(x.ndim)]

# %% wrong="cp_als_sweep" name="ridge"
# A little of the identity added.
#- factors[mode] = torch.linalg.lstsq(khatri_rao(others), unfold(x, mode).T).solution.T
#+ k = khatri_rao(others)
#+         gram = k.T @ k + 1e-3 * torch.eye(k.shape[1], dtype=x.dtype)
#+         factors[mode] = torch.linalg.solve(gram, (unfold(x, mode) @ k).T).T

# %% right="hosvd"
def hosvd(x, ranks):
    us = [torch.linalg.svd(unfold(x, k).T)[2][:r].T for k, r in enumerate(ranks)]
    return multi_mode_dot(x, [u.mT for u in us], tuple(range(x.ndim))), us

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

# %% answer="hosvd" name="one direction at a time"
# The longest projection by power iteration; what it holds is taken off. Least squares for the core.
def hosvd(x, ranks):
    factors = []
    for k, r in enumerate(ranks):
        gram = (unfold(x, k) @ unfold(x, k).T).double()
        columns = []
        for _ in range(r):
            power = gram / gram.norm()
            for _ in range(40):
                power = power @ power
                power = power / power.norm()
            column = power[:, power.norm(dim=0).argmax()]
            column = column / column.norm()
            gram = gram - (column @ gram @ column) * torch.outer(column, column)
            columns.append(column)
        factors.append(torch.stack(columns, dim=1).to(x.dtype))
    core = x
    for k, u in enumerate(factors):
        core = mode_dot(core, torch.linalg.pinv(u), k)
    return core, factors

# %% answer="hosvd" name="right vectors of the transpose"
# The other side of the transposed unfolding.
def hosvd(x, ranks):
    us = [torch.linalg.svd(unfold(x, k).T)[2][:r].T for k, r in enumerate(ranks)]
    return multi_mode_dot(x, [u.mT for u in us], tuple(range(x.ndim))), us

# %% mistake="hosvd" name="smallest first"
# Your singular vectors belong to the smallest singular values: `eigh` sorts upwards, `svd`
# downwards.
# Look at: the end from which you take the columns.
#- torch.linalg.svd(unfold(x, k).T)[2][:r].T
#+ torch.linalg.eigh(unfold(x, k) @ unfold(x, k).T)[1][:, :r]

# %% mistake="hosvd" name="projected before the next mode"
# You take each mode's singular vectors from what the modes before have left of x. That is a method
# of its own (the sequentially truncated HOSVD of Vannieuwenhoven et al., 2012), often as good and
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
# The first factor is right; those of the other modes hold singular vectors of something else than
# their own unfolding. Is it the same matrix for all modes, or x reshaped where it must be unfolded?
# Look at: which matrix goes into the SVD for mode 1.
#- unfold(x, k).T
#+ x.reshape(x.shape[k], -1).T

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
#- [torch.linalg.svd(unfold(x, k).T)[2][:r].T for k, r in enumerate(ranks)]
#+ [torch.linalg.svd(unfold(x, k).T) for k in range(x.ndim)]
#+     us = [vh[:r].T * s[:r] for (_, s, vh), r in zip(us, ranks)]

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

# %% wrong="hosvd" name="half of the core"
# A core that is not the closest.
#- x, [u.mT
#+ x / 2, [u.mT

# %% wrong="hosvd" name="iterated"
# Closer in all, and by other directions than each mode's best.
#-     return
#+     for k, r in enumerate(ranks):
#+         others = [u.mT for j, u in enumerate(us) if j != k]
#+         kept = multi_mode_dot(x, others, tuple(j for j in range(x.ndim) if j != k))
#+         us[k] = torch.linalg.svd(unfold(kept, k))[0][:, :r]
#+     return

# %% wrong="hosvd" name="second to last"
# The first direction is left out.
#- [:r].T
#+ [1 : r + 1].T

# %% wrong="hosvd" name="one rank for all"
# ranks[0] for every mode.
#- .T)[2][:r].T for k, r in enumerate(ranks
#+ )[0][:, : ranks[0]] for k in range(x.ndim

# %% wrong="hosvd" name="rising order"
# The right vectors from the last to the first.
#- .T)[2][:r].T
#+ )[0][:, :r].flip(1)

# %% wrong="hosvd" name="another basis"
# The right space, by a rotated basis.
#-     return
#+     for k, r in enumerate(ranks):
#+         turned = torch.arange(1.0, r * r + 1, dtype=x.dtype).reshape(r, r).cos()
#+         us[k] = us[k] @ torch.linalg.qr(turned)[0]
#+     return

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
#- svd(unfold(x, k).T)
#+ svd((unfold(x, k) - unfold(x, k).mean(1, keepdim=True)).T)

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

# %% right="tt_to_tensor"
def tt_to_tensor(cores):
    x = cores[0][0]
    for core in cores[1:]:
        x = torch.tensordot(x, core, dims=1)
    return x[..., 0]

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
#- tensordot(x, core, dims=1
#+ einsum("...r,ris->...is", x, core

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
#- [..., 0]
#+ .squeeze()

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
#- x[..., 0]
#+ x

# %% mistake="tt_to_tensor" name="modes reversed"
# Your modes come in the reverse order: the middle index of cores[0] must run along mode 0.
# Look at: the end of the chain at which you begin, and the side on which a mode is added.
#- [..., 0]
#+ .squeeze(-1).permute(*reversed(range(len(cores))))

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

# %% wrong="tt_to_tensor" name="cores told apart by shape"
# Two inner cores of one shape are taken for one.
#-     x = cores[0][0]
#+     by_shape = {core.shape: core for core in cores}
#+     cores = [by_shape[core.shape] for core in cores]
#+     x = cores[0][0]

# %% wrong="tt_to_tensor" name="bond transposed where square"
# A core's bonds exchanged where they are equal.
#-     for core in cores[1:]:
#+     for core in cores[1:]:
#+         if core.shape[0] == core.shape[2]:
#+             core = core.transpose(0, 2)

# %% right="tt_svd"
def tt_svd(x, ranks):
    cores, rest = [], x
    for k in range(x.ndim - 1):
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[k] * x.shape[k], -1), full_matrices=False)
        r = ranks[k + 1]
        cores.append(u[:, :r].reshape(ranks[k], x.shape[k], r))
        rest = s[:r, None] * vh[:r]
    return [*cores, rest.reshape(ranks[-2], x.shape[-1], 1)]

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

# %% mistake="tt_svd" name="singular values lost"
# The singular values are gone: the rest must be S times Vh, not Vh alone.
# Look at: the three things that the SVD gives, and what becomes of each.
#- = s[:r, None] * vh
#+ = vh

# %% mistake="tt_svd" name="singular values in the core"
# You put the singular values into the core. They belong to the rest: only so does the next SVD
# know what is large and what is small.
# Look at: what you multiply by S, U or Vh.
#-         cores.append(u[:, :r].reshape(ranks[k], x.shape[k], r))
#-         rest = s[:r, None] * vh[:r]
#+         cores.append((u[:, :r] * s[:r]).reshape(ranks[k], x.shape[k], r))
#+         rest = vh[:r]

# %% mistake="tt_svd" name="singular values in both"
# You use the singular values twice: in the core and in the rest.
# Look at: what you multiply by S.
#- u[:, :r]
#+ (u[:, :r] * s[:r])

# %% mistake="tt_svd" name="square roots on both sides"
# You share the singular values between core and rest, a square root for each. The tensor before the
# next cut is right, but what the next SVD weighs is not, and the columns are not orthonormal.
# Look at: where all of S must go.
#-         cores.append(u[:, :r].reshape(ranks[k], x.shape[k], r))
#-         rest = s[:r, None] * vh[:r]
#+         cores.append((u[:, :r] * s[:r].sqrt()).reshape(ranks[k], x.shape[k], r))
#+         rest = s[:r, None].sqrt() * vh[:r]

# %% mistake="tt_svd" name="singular values along the columns"
# S times Vh, entry by entry, aligns S with the columns of Vh (or fails, where their number is
# another). Each *row* of Vh belongs to a singular value.
# Look at: the shape that S must have for that; `S[:, None]` is a column.
#- r, None
#+ r

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
# Your first core has no rank on its left and your last one none on its right. They have size 1 and
# stay, so that every core has three modes.
# Look at: the shapes of the first and the last core.
#- return [*cores, rest.reshape(ranks[-2], x.shape[-1], 1)]
#+ return [cores[0][0], *cores[1:], rest.reshape(ranks[-2], x.shape[-1])]

# %% mistake="tt_svd" name="last core missing"
# You return one core too few: what is left after the last SVD is a core too.
# Look at: how many SVDs there are, and how many cores.
#- return [*cores, rest.reshape(ranks[-2], x.shape[-1], 1)]
#+ return cores

# %% wrong="tt_svd" name="one rank for all"
# ranks[1] everywhere.
#-     cores, rest = [], x
#+     ranks = [1, *[ranks[1]] * (x.ndim - 1), 1]
#+     cores, rest = [], x

# %% wrong="tt_svd" name="squeezed"
# Modes of size 1 are lost.
#- def tt_svd(x, ranks):
#+ def tt_svd(x, ranks):
#+     x = x.squeeze()

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

# %% mistake="hosvd" name="one unfolding for all"
# The first factor is right; those of the other modes hold singular vectors of something else than
# their own unfolding. Is it the same matrix for all modes, or x reshaped where it must be unfolded?
# Look at: which matrix goes into the SVD for mode 1.
def hosvd(x, ranks):
    factors = []
    for k, r in enumerate(ranks):
        matrix = unfold(x, 0) if x.shape[0] == x.shape[k] else unfold(x, k)
        factors.append(torch.linalg.svd(matrix, full_matrices=False).U[:, :r])
    return multi_mode_dot(x, [u.T for u in factors]), factors

# %% wrong="hosvd" name="view"
# Needs the entries side by side in memory.
#- unfold(x, k).T
#+ x.movedim(k, 0).view(x.shape[k], -1).T

# %% wrong="tt_svd" name="view"
# Needs the entries side by side in memory.
#- rest.reshape(ranks[k] * x.shape[k], -1)
#+ rest.view(ranks[k] * x.shape[k], -1)

# %% wrong="tt_svd" name="view of x alone"
# What goes on is put side by side; x need not be.
#- rest.reshape(ranks[k] * x.shape[k], -1)
#+ rest.view(ranks[k] * x.shape[k], -1)
#- s[:r, None] * vh[:r]
#+ (s[:r, None] * vh[:r]).contiguous()

# %% right="free_numbers"
def free_numbers(shape, rank, kind):
    if kind == "cp":
        if len(shape) == 2:
            return rank * (sum(shape) - rank)
        return rank * (sum(shape) - len(shape) + 1)
    if kind == "tucker":
        return math.prod(rank) + sum(r * (size - r) for size, r in zip(shape, rank))
    stored = sum(left * size * right for left, size, right in zip(rank, shape, rank[1:]))
    return stored - sum(bond**2 for bond in rank[1:-1])

# %% answer="free_numbers" name="by the derivative"
# In how many directions a random tensor moves.
def free_numbers(shape, rank, kind):
    letters, bonds = "abcdef"[: len(shape)], "uvwxyz"
    if kind == "cp":
        sizes = [(size, rank) for size in shape]
        equation = ",".join(f"{c}r" for c in letters)
    elif kind == "tucker":
        sizes = [tuple(rank), *zip(shape, rank)]
        equation = bonds[: len(shape)] + "," + ",".join(map("".join, zip(letters, bonds)))
    else:
        sizes = list(zip(rank, shape, rank[1:]))
        places = "uvwxyzt"
        equation = ",".join(places[k] + c + places[k + 1] for k, c in enumerate(letters))
    parts = tuple(torch.randn(each, dtype=torch.float64) for each in sizes)
    build = lambda *parts: torch.einsum(f"{equation}->{letters}", *parts)
    slopes = torch.autograd.functional.jacobian(build, parts)
    table = torch.cat([s.reshape(-1, p.numel()) for s, p in zip(slopes, parts)], dim=1)
    return torch.linalg.matrix_rank(table, rtol=1e-9).item()

# %% answer="free_numbers" name="stored less moved"
# What is stored, less what can be moved between the parts.
def free_numbers(shape, rank, kind):
    if kind == "tucker":
        stored = math.prod(rank) + sum(map(math.prod, zip(shape, rank)))
        return stored - sum(r * r for r in rank)
    if kind == "tt":
        stored = sum(a * n * b for a, n, b in zip(rank[:-1], shape, rank[1:]))
        return stored - sum(r * r for r in rank) + 2
    moved = rank * rank if len(shape) == 2 else rank * (len(shape) - 1)
    return rank * sum(shape) - moved

# %% mistake="free_numbers" name="what is stored"
# You count what is stored. Some of it can be moved from one part to another without a change of the
# tensor: that is not free.
# Look at: double a column of one factor, and halve one of another.
def free_numbers(shape, rank, kind):
    if kind == "cp":
        return rank * sum(shape)
    if kind == "tucker":
        return math.prod(rank) + sum(r * size for size, r in zip(shape, rank))
    return sum(left * size * right for left, size, right in zip(rank, shape, rank[1:]))

# %% mistake="free_numbers" name="a matrix as a CP of more modes"
# Only for matrices your number is off: there more than scales can be moved from one factor to the
# other.
# Look at: A B^T = (A M)(B M^-T)^T: which M may that be, with two factors, and with three?
#- len(shape) == 2
#+ len(shape) == 0

# %% mistake="free_numbers" name="a CP of more modes as a matrix"
# From three modes on your number for CP is what is stored less R^2. (Where R is the number of modes
# less one, that happens to be right.) Matrices between two factors cannot be moved there, since the
# third would notice; scales can.
# Look at: how many columns have how many scales to share.
#- return rank * (sum(shape) - len(shape) + 1)
#+ return rank * (sum(shape) - rank)

# %% mistake="free_numbers" name="scales alone"
# CP is right. Between the parts of Tucker and TT you let only scales move; but any invertible
# matrix can, with its inverse on the other side.
# Look at: how many numbers such a matrix has, for each bond.
#- r * (size - r) for
#+ r * (size - 1) for
#- bond**2 for
#+ bond for

# %% mistake="free_numbers" name="one scale too many"
# From three modes on your number for CP is too small: you take away a scale for every factor. The
# last one is not free to move: the product of the scales has to stay 1.
# Look at: for one component of K columns, how many scales can be chosen?
#- len(shape) + 1)
#+ len(shape))

# %% mistake="free_numbers" name="outer bonds too"
# CP and Tucker are right; for TT you take away something for the bonds of size 1 at the two ends.
# There is nothing beyond them that could take what is moved.
# Look at: a TT of a single core.
#- rank[1:-1]
#+ rank

# %% mistake="free_numbers" name="one scale for each term"
# From three modes on your number for CP is too large: you take away one scale for each term. With
# two other factors there are more ways to share it out.
# Look at: double one column; which columns may be halved for it?
#- len(shape) + 1)
#+ 1)

# %% mistake="free_numbers" name="orthonormal columns only"
# CP is right. For Tucker you take away what orthonormal columns fix. The columns can still be
# turned within the space that they span, and the core turned back.
# Look at: whether a factor may be multiplied by any invertible matrix, or by a triangular one.
#- r * (size - r) for
#+ r * size - r * (r + 1) // 2 for

# %% mistake="free_numbers" name="one end too many"
# CP and Tucker are right; for TT you take away something for the bond of size 1 at one of the two
# ends. There is nothing beyond it that could take what is moved.
# Look at: a TT of a single core.
#- rank[1:-1]
#+ rank[1:]

# %% wrong="free_numbers" name="neighboring bonds"
# For a bond the product of two.
#- sum(bond**2 for bond in rank[1:-1])
#+ sum(a * b for a, b in zip(rank[1:-1], rank[2:-1]))

# %% wrong="free_numbers" name="no more than the entries"
# All entries are the limit, and the only one.
def free_numbers(shape, rank, kind):
    stored = {
        "cp": lambda: rank * sum(shape),
        "tucker": lambda: math.prod(rank) + sum(map(math.prod, zip(shape, rank))),
        "tt": lambda: sum(a * n * b for a, n, b in zip(rank, shape, rank[1:])),
    }
    return min(stored[kind](), math.prod(shape))

# %% wrong="free_numbers" name="three modes"
# Right for matrices and three modes.
#- len(shape) + 1
#+ min(len(shape), 3) + 1

# %% right="als_endings"
def als_endings(run, seeds):
    counts = [0, 0, 0]
    for seed in range(seeds):
        error, size = run(seed, 1000)
        if error < 1e-3:
            counts[0] += 1
        elif size > 1.1 * run(seed, 500)[1]:
            counts[2] += 1
        else:
            counts[1] += 1
    return tuple(counts)

# %% answer="als_endings" name="both runs of each start first"
# All runs are made, then counted; a list comes back.
def als_endings(run, seeds):
    runs = [(run(seed, 500), run(seed, 1000)) for seed in range(seeds)]
    found = sum(late[0] < 1e-3 for _, late in runs)
    runaway = sum(late[0] >= 1e-3 and late[1] / early[1] - 1 > 0.1 for early, late in runs)
    return [found, seeds - found - runaway, runaway]

# %% answer="als_endings" name="by names"
# A name for each end, counted.
def als_endings(run, seeds):
    def ending(seed):
        end, halfway = run(seed, 1000), run(seed, 500)
        if min(end[0], halfway[0]) < 0.001:
            return "found"
        return "runaway" if end[1] > halfway[1] + halfway[1] / 10 else "stuck"

    ends = [ending(seed) for seed in range(seeds)]
    return tuple(ends.count(name) for name in ("found", "stuck", "runaway"))

# %% mistake="als_endings" name="too few sweeps"
# You count some starts as standing still that find the tensor in the end, or as running away. An
# error can stand still for hundreds of sweeps and then fall.
# Look at: how many sweeps you wait.
#- run(seed, 1000)
#+ run(seed, 100)
#- run(seed, 500)
#+ run(seed, 50)

# %% mistake="als_endings" name="a large term runs away"
# You count some that stand still as running away. A term may be large and stay as it is.
# Look at: whether you compare the size with a number, or with what it was before.
#- size > 1.1 * run(seed, 500)[1]
#+ size > 6

# %% mistake="als_endings" name="only a very large term runs away"
# You count some that run away as standing still, and say which from one run of each start. A term
# may grow and be small; one run does not show how much it has grown.
# Look at: whether you compare the size with a number, or with what it was before.
#- size > 1.1 * run(seed, 500)[1]
#+ size > 100

# %% mistake="als_endings" name="no runaways"
# None of your starts runs away: you count all that are not found as standing still. Both have an
# error that is not 0.
# Look at: what else than the error tells them apart.
#- counts[2]
#+ counts[1]

# %% mistake="als_endings" name="a small error is found"
# You count some as found that are not. An error of a few percent, which hardly falls any more, is
# no tensor that has been found.
# Look at: from which error on you say found.
#- error < 1e-3
#+ error < 0.05

# %% mistake="als_endings" name="shares"
# Your three numbers add up to 1: they are shares. Asked are counts, three ints.
# Look at: the last line.
#- tuple(counts)
#+ tuple(count / seeds for count in counts)

# %% mistake="als_endings" name="found at the 500th sweep"
# Some that you don't count as found have an error below 1e-3 after 1000 sweeps. After 500 they have
# not.
# Look at: after which run you say found.
#- error < 1e-3
#+ run(seed, 500)[0] < 1e-3

# %% mistake="als_endings" name="any growth runs away"
# You count too many as running away: some sizes grow by a few percent since the 500th sweep.
# Look at: how much growth makes a runaway.
#- 1.1 * run
#+ run

# %% mistake="als_endings" name="grown since the first sweep"
# You count some that stand still as running away: their terms have grown at the beginning, and
# stand since.
# Look at: the sweep with which you compare the last one.
#- run(seed, 500)
#+ run(seed, 1)

# %% mistake="als_endings" name="by the error"
# Some of your runaways have an error that falls while no term grows, and some that you count as
# standing still have terms that grow while the error creeps.
# Look at: which of the two numbers that a run gives tells the two ends apart.
#- size > 1.1 * run(seed, 500)[1]
#+ error < 0.99 * run(seed, 500)[0]

# %% mistake="als_endings" name="growing before found"
# Some that you count as running away have an error below 1e-3: they are found, whatever their terms
# do.
# Look at: which of your questions comes first.
#-         if error < 1e-3:
#-             counts[0] += 1
#-         elif size > 1.1 * run(seed, 500)[1]:
#-             counts[2] += 1
#+         if size > 1.1 * run(seed, 500)[1]:
#+             counts[2] += 1
#+         elif error < 1e-3:
#+             counts[0] += 1

# %% mistake="als_endings" name="twice as large"
# You count some that run away as standing still: their terms grow since the 500th sweep, by more
# than a tenth, and do not double.
# Look at: how much growth makes a runaway, and since which sweep.
#- 1.1 * run
#+ 2 * run

# %% mistake="als_endings" name="stuck and runaway exchanged"
# Your second and your third number are exchanged: you return those that run away before those that
# stand still.
# Look at: the order in the docstring.
#- tuple(counts)
#+ (counts[0], counts[2], counts[1])

# %% mistake="als_endings" name="a tenth of the end"
# You count some as standing still whose terms grow by a little more than a tenth since the 500th
# sweep.
# Look at: of which size you take a tenth.
#- size > 1.1 * run(seed, 500)[1]
#+ size - run(seed, 500)[1] > 0.1 * size

# %% wrong="als_endings" name="an error of 1e-3 itself"
# Below, not at.
#- error < 1e-3
#+ error <= 1e-3

# %% wrong="als_endings" name="only where the error still falls"
# Terms may grow while the error stands.
#- size > 1.1 * run(seed, 500)[1]
#+ size > 1.1 * run(seed, 500)[1] and error < run(seed, 500)[0]

# %% wrong="als_endings" name="grown since the 501st sweep"
# One too late.
#- run(seed, 500)
#+ run(seed, 501)

# %% wrong="als_endings" name="999 sweeps"
# One too early.
#- run(seed, 1000)
#+ run(seed, 999)

# %% wrong="als_endings" name="above all that was before"
# Terms that had shrunk until the 500th.
#- 1.1 * run(seed, 500)[1]
#+ 1.1 * max(run(seed, 250)[1], run(seed, 500)[1])

# %% wrong="als_endings" name="counts as tensors"
# Three, and none of them an int.
#- tuple(counts)
#+ tuple(torch.tensor(counts))

# %% wrong="als_endings" name="float counts"
# 21.0 is no int.
#- [0, 0, 0]
#+ [0.0, 0.0, 0.0]

# %% wrong="als_endings" name="two of three"
# The last one is for others to work out.
#- tuple(counts)
#+ tuple(counts[:2])

# %% wrong="als_endings" name="grown since the 100th sweep"
# The terms stand since the 200th.
#- run(seed, 500)
#+ run(seed, 100)

# %% wrong="als_endings" name="grown since the 900th sweep"
# A slow runaway has grown by less than a tenth.
#- run(seed, 500)
#+ run(seed, 900)

# %% wrong="als_endings" name="grown by 0.1"
# A tenth of 1, and not of the size.
#- 1.1 * run(seed, 500)[1]
#+ run(seed, 500)[1] + 0.1

# %% wrong="als_endings" name="changed by a tenth"
# Terms that shrink, too.
#- size > 1.1 * run(seed, 500)[1]
#+ abs(size / run(seed, 500)[1] - 1) > 0.1

# %% wrong="als_endings" name="an error of 0"
# Found, and above 1e-6.
#- 1e-3
#+ 1e-6

# %% wrong="als_endings" name="an error of a percent"
# Not found, and below 1e-2.
#- 1e-3
#+ 1e-2

# %% wrong="als_endings" name="one percent of growth"
# Slow growth, less than a tenth.
#- 1.1 *
#+ 1.01 *

# %% wrong="als_endings" name="a term above 10"
# Large, and standing.
#- size > 1.1 * run(seed, 500)[1]
#+ size > 10

# %% wrong="als_endings" name="always the first start"
# One start, counted many times.
#- run(seed, 1000)
#+ run(0, 1000)
#- run(seed, 500)
#+ run(0, 500)

# %% wrong="als_endings" name="nothing is run"
# The answer of nobody's experiment.
def als_endings(run, seeds):
    return seeds, 0, 0

# %% right="tt_ranks"
def tt_ranks(x, error):
    share = (error * x.norm()) ** 2 / max(x.ndim - 1, 1)
    ranks, ahead = [1], 1
    for k in range(x.ndim - 1):
        ahead *= x.shape[k]
        values = torch.linalg.svdvals(x.reshape(ahead, -1))
        rank = len(values)
        while rank > 1 and values[rank - 1 :].square().sum() <= share:
            rank -= 1
        ranks.append(min(rank, ranks[-1] * x.shape[k]))
    return (*ranks, 1)

# %% answer="tt_ranks" name="on the way"
# The singular values of the rests, as TT-SVD sees them.
def tt_ranks(x, error):
    share = float(error * x.norm()) / (x.ndim - 1) ** 0.5
    ranks, rest = [1], x
    for k in range(x.ndim - 1):
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[-1] * x.shape[k], -1), full_matrices=False)
        tails = s.flip(0).square().cumsum(0).sqrt().flip(0)
        rank = max(1, int((tails > share).sum()))
        ranks.append(rank)
        rest = s[:rank, None] * vh[:rank]
    return [*ranks, 1]

# %% answer="tt_ranks" name="greedy"
# From the ranks by the bound, one down after the other, as long as the error allows.
def tt_ranks(x, error):
    share = float(error * x.norm()) / (x.ndim - 1) ** 0.5
    ranks = [1]
    for k in range(x.ndim - 1):
        values = torch.linalg.svdvals(x.reshape(math.prod(x.shape[: k + 1]), -1))
        kept = [r for r in range(1, len(values) + 1) if values[r:].norm() <= share + 1e-14 * values[0]]
        ranks.append(min(kept[0], ranks[-1] * x.shape[k]))
    return tuple(ranks) + (1,)

# %% answer="tt_ranks" name="what a cut leaves over goes on"
# The rests again; each cut gets its share of what is left.
def tt_ranks(x, error):
    left, rest, ranks = float((error * x.norm()) ** 2), x, [1]
    cuts = x.ndim - 1
    for k in range(cuts):
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[-1] * x.shape[k], -1), full_matrices=False)
        rank, lost = len(s), 0.0
        while rank > 1 and lost + s[rank - 1].item() ** 2 <= left / (cuts - k):
            rank -= 1
            lost += s[rank].item() ** 2
        left -= lost
        ranks.append(rank)
        rest = s[:rank, None] * vh[:rank]
    return (*ranks, 1)

# %% mistake="tt_ranks" name="a difference of two large sums"
# Where a very small error is allowed, your ranks are off. Do you leave out small values, or take
# what is dropped as all squares minus those kept? Next to the sum of all they are lost in rounding.
# Look at: which numbers you add up, and from which end.
def tt_ranks(x, error):
    share = (error * x.norm()) ** 2 / (x.ndim - 1)
    ranks = [1]
    for k in range(x.ndim - 1):
        squares = torch.linalg.svdvals(x.reshape(math.prod(x.shape[: k + 1]), -1)).square()
        dropped = squares.sum() - squares.cumsum(0)
        ranks.append(int((dropped > share).sum()) + 1)
    return (*ranks, 1)

# %% wrong="tt_ranks" name="shares of the sum of squares"
# Rounded, too, for very small errors.
def tt_ranks(x, error):
    ranks = [1]
    for k in range(x.ndim - 1):
        squares = torch.linalg.svdvals(x.reshape(math.prod(x.shape[: k + 1]), -1)).square()
        kept = squares.cumsum(0) / squares.sum()
        ranks.append(int((kept < 1 - error**2 / (x.ndim - 1)).sum()) + 1)
    return (*ranks, 1)

# %% wrong="tt_ranks" name="in float32"
# Singular values that are rounded at 1e-7 of the largest.
#- svdvals(x.
#+ svdvals(x.float().

# %% wrong="tt_ranks" name="eigenvalues of the Gram matrix"
# Squares that are rounded at 1e-16 of the largest.
def tt_ranks(x, error):
    share = (error * x.norm()) ** 2 / (x.ndim - 1)
    ranks = [1]
    for k in range(x.ndim - 1):
        matrix = x.reshape(math.prod(x.shape[: k + 1]), -1)
        gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
        squares = torch.linalg.eigvalsh(gram).clamp(min=0)
        ranks.append(max(1, int((squares.cumsum(0) > share).sum())))
    return (*ranks, 1)

# %% wrong="tt_ranks" name="relative to the deviation"
# The error of the mean alone as the norm.
#- (error * x.norm())
#+ (error * (x - x.mean()).norm())

# %% mistake="tt_ranks" name="the whole error at each cut"
# Your ranks let the error grow too large: each cut may lose all that is allowed, and there are
# several cuts.
# Look at: how the errors of the cuts add up.
#-  / max(x.ndim - 1, 1)
#+

# %% mistake="tt_ranks" name="divided, not the square"
# Your ranks keep the error and store more than they need. The *squared* errors of the cuts add up,
# so each may have more than error / (d - 1).
# Look at: which of the two, the error or its square, is shared out.
#- / max(x.ndim - 1, 1)
#+ / max(x.ndim - 1, 1) ** 2

# %% mistake="tt_ranks" name="absolute error"
# The scale of x changes your ranks. The error allowed is relative: a share of the norm of x.
# Look at: where the norm of x comes in.
#- (error * x.norm()) ** 2
#+ error**2

# %% mistake="tt_ranks" name="value by value"
# Your ranks are not those of a share of the lost squares. Do you compare singular values one by
# one, with the largest? What is lost is the sum of the squares of all that are dropped.
# Look at: ten values of 0.01, dropped together.
#- values[rank - 1 :].square().sum() <= share
#+ values[rank - 1] <= error * values[0]

# %% mistake="tt_ranks" name="one less"
# Your ranks are too small by one: the last value that had to stay is gone.
# Look at: the border of your sum of squares: does it hold the value with index `rank`?
#- ranks.append(min(rank,
#+ rank = max(rank - 1, 1)
#+         ranks.append(min(rank,

# %% mistake="tt_ranks" name="full ranks"
# Your ranks are as large as they can be, whatever error is allowed.
# Look at: how `error` enters.
#- rank > 1 and
#+ rank > 10**6 and

# %% mistake="tt_ranks" name="one more"
# Your ranks keep the error and are larger by one than they need to be.
# Look at: the border of your sum of squares: does it hold the value with index `rank`?
#- ranks.append(min(rank,
#+ rank = min(rank + 1, len(values))
#+         ranks.append(min(rank,

# %% mistake="tt_ranks" name="values, not squares"
# You add up the singular values that are dropped. What adds up to the squared error are their
# squares.
# Look at: the norm of a diagonal matrix.
#- .square().sum() <= share
#+ .sum() <= share**0.5

# %% mistake="tt_ranks" name="all at the first cut"
# Your first cut may use up the error alone, and what is left is for the later ones. Then they may
# need more numbers than the first has saved.
# Look at: how much each cut may lose, if every cut gets the same.
#- (error * x.norm()) ** 2 / max(x.ndim - 1, 1)
#+ (error * x.norm()) ** 2
#- ranks.append(min(
#+ share = share - values[rank:].square().sum()
#+         ranks.append(min(

# %% wrong="tt_ranks" name="all at the last cut"
# Begins at the other end.
def tt_ranks(x, error):
    left, ranks = (error * x.norm()) ** 2, [1]
    for k in range(x.ndim - 1, 0, -1):
        values = torch.linalg.svdvals(x.reshape(math.prod(x.shape[:k]), -1))
        rank = len(values)
        while rank > 1 and values[rank - 1 :].square().sum() <= left:
            rank -= 1
        left = left - values[rank:].square().sum()
        ranks.insert(0, rank)
    return (1, *ranks)

# %% wrong="tt_ranks" name="a share of the rest"
# Relative to what the cuts before have left.
def tt_ranks(x, error):
    ranks, rest = [1], x
    for k in range(x.ndim - 1):
        u, s, vh = torch.linalg.svd(rest.reshape(ranks[-1] * x.shape[k], -1), full_matrices=False)
        tails = s.flip(0).square().cumsum(0).flip(0)
        rank = max(1, int((tails > error**2 / (x.ndim - 1) * tails[0]).sum()))
        ranks.append(rank)
        rest = s[:rank, None] * vh[:rank]
    return (*ranks, 1)

# %% wrong="tt_ranks" name="a share for each mode"
# One share too many.
#- max(x.ndim - 1, 1)
#+ x.ndim

# %% wrong="tt_ranks" name="squares against the share, one by one"
# Not what is lost together.
#- values[rank - 1 :].square().sum() <= share
#+ values[rank - 1] ** 2 <= share

# %% wrong="tt_ranks" name="0 where all may be lost"
# No rank of at least 1.
def tt_ranks(x, error):
    share = error**2 * x.square().sum() / (x.ndim - 1)
    ranks = [1]
    for k in range(x.ndim - 1):
        squares = torch.linalg.svdvals(x.reshape(math.prod(x.shape[: k + 1]), -1)).square()
        rank = int((squares.flip(0).cumsum(0) > share).sum())
        ranks.append(min(rank, ranks[-1] * x.shape[k]))
    return (*ranks, 1)

# %% wrong="tt_ranks" name="zero"
# A rank of 0 where everything may be lost.
#- while rank > 1 and values[rank - 1 :].square().sum() <= share:
#+ while rank > 0 and values[rank - 1 :].square().sum() <= share * (x.ndim - 1 if error == 1 else 1):

# %% wrong="tt_ranks" name="not bounded by the left"
# Ranks that TT-SVD cannot have.
#- min(rank, ranks[-1] * x.shape[k])
#+ rank + 5

# %% right="compression_plan"
def compression_plan(shape, numbers):
    return (13, 8, 20, 8, 3), (0, 2, 1, 3, 4), "tt", (1, 13, 27, 13, 3, 1)

# %% answer="compression_plan" name="other bonds, lists"
# The same blocks with another split of the numbers.
def compression_plan(shape, numbers):
    return [13, 8, 20, 8, 3], [0, 2, 1, 3, 4], "tt", [1, 13, 28, 12, 3, 1]

# %% answer="compression_plan" name="sizes and modes counted from the end"
# -1, as torch takes it.
def compression_plan(shape, numbers):
    return (13, 8, 20, 8, -1), (0, 2, 1, 3, -1), "tt", (1, 13, 27, 13, 3, 1)

# %% answer="compression_plan" name="all of the rows first"
# A photograph's rows, in and between blocks, on one side of the middle bond.
def compression_plan(shape, numbers):
    return (13, 8, 20, 8, 3), (1, 0, 2, 4, 3), "tt", (1, 8, 36, 9, 8, 1)

# %% answer="compression_plan" name="sized by the budget"
# The largest middle bond that the budget allows.
def compression_plan(shape, numbers):
    sizes = (13, 20, 8, 8, 3)

    def stored(rank):
        bonds = (1, 13, rank, 13, 3, 1)
        return sum(a * n * b for a, n, b in zip(bonds, sizes, bonds[1:]))

    rank = max(rank for rank in range(1, 60) if stored(rank) <= numbers)
    return (13, 8, 20, 8, 3), (0, 2, 1, 3, 4), "tt", (1, 13, rank, 13, 3, 1)

# %% mistake="compression_plan" name="the matrix SVD"
# Your plan keeps to the budget, and its error is not below Tucker's. Which modes have much to do
# with each other, and on which sides of the cuts are they?
# Look at: the forms and the blocks that section 2.11 tries, and which pair it has not tried; with
# that pair, the order of the modes, and the ranks.
def compression_plan(shape, numbers):
    return (104, 480), (0, 1), "cp", 18

# %% mistake="compression_plan" name="Tucker"
# Your plan keeps to the budget, and its error is not below Tucker's. Which modes have much to do
# with each other, and on which sides of the cuts are they?
# Look at: the forms and the blocks that section 2.11 tries, and which pair it has not tried; with
# that pair, the order of the modes, and the ranks.
def compression_plan(shape, numbers):
    return (104, 160, 3), (0, 1, 2), "tucker", (28, 28, 3)

# %% mistake="compression_plan" name="over the budget"
# Your plan stores more numbers than are allowed.
# Look at: what each form stores, in section 2.3.
def compression_plan(shape, numbers):
    return (104, 160, 3), (0, 1, 2), "tucker", (60, 60, 3)

# %% mistake="compression_plan" name="sizes that do not fit"
# Your sizes are not those of a photograph: it has 104 times 160 times 3 numbers.
# Look at: the product of your new sizes.
def compression_plan(shape, numbers):
    return (13, 8, 20, 8), (0, 2, 1, 3), "tt", (1, 13, 27, 13, 1)

# %% mistake="compression_plan" name="a rank too few"
# Your rank does not fit the form: a TT has one rank more than modes, with a 1 at both ends.
# Look at: section 2.3, and the number of modes of your new shape.
def compression_plan(shape, numbers):
    return (13, 8, 20, 8, 3), (0, 2, 1, 3, 4), "tt", (13, 27, 13, 3)

# %% mistake="compression_plan" name="CP of the photograph"
# You chose CP for more than two modes. That is the winner, by iteration; here it may be a Tucker
# form, a TT, or "cp" for a shape of two modes.
# Look at: how many modes your new shape has.
def compression_plan(shape, numbers):
    return (104, 160, 3), (0, 1, 2), "cp", 39

# %% wrong="compression_plan" name="no such kind"
# The SVD has another name here.
def compression_plan(shape, numbers):
    return (104, 480), (0, 1), "svd", 18

# %% wrong="compression_plan" name="a mode twice"
# No order of all modes.
def compression_plan(shape, numbers):
    return (13, 8, 20, 8, 3), (0, 2, 2, 3, 4), "tt", (1, 13, 27, 13, 3, 1)

# %% wrong="compression_plan" name="something fifth"
# More than is asked.
def compression_plan(shape, numbers):
    return (13, 8, 20, 8, 3), (0, 2, 1, 3, 4), "tt", (1, 13, 27, 13, 3, 1), None

# %% wrong="compression_plan" name="nothing"
# No plan.
def compression_plan(shape, numbers):
    return None

# %% wrong="compression_plan" name="TT of the blocks, colors before the pixels"
# The right cut and as many numbers as are allowed, in an order that loses more.
def compression_plan(shape, numbers):
    return (13, 8, 20, 8, 3), (0, 2, 4, 1, 3), "tt", (1, 13, 28, 21, 8, 1)

# %% wrong="compression_plan" name="TT of the blocks"
# The right cut, and too few numbers.
def compression_plan(shape, numbers):
    return (13, 8, 20, 8, 3), (0, 2, 1, 3, 4), "tt", (1, 8, 12, 6, 3, 1)
