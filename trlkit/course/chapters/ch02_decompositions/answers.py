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

# %% right="decomposition_parameters"
def decomposition_parameters(shape, rank, kind):
    if kind == "cp":
        return rank * sum(shape)
    if kind == "tucker":
        return math.prod(rank) + sum(n * r for n, r in zip(shape, rank))
    return sum(a * n * b for a, n, b in zip(rank, shape, rank[1:]))

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

# %% mistake="decomposition_parameters" name="CP by the entries"
# For CP you multiplied the sizes: R times all entries, as if each rank-1 term were stored
# whole. It is stored as one vector for each mode.
# Look at: the shape of one factor, and how many factors there are.
#- * sum(
#+ * math.prod(

# %% mistake="decomposition_parameters" name="core forgotten"
# For Tucker you counted the factors and forgot the core.
# Look at: the orange box of the picture.
#- return math.prod(rank) + sum
#+ return sum

# %% mistake="decomposition_parameters" name="core by the sum"
# For Tucker you counted the core by the sum of the ranks. It has an entry for every combination
# of them.
# Look at: how many entries a tensor of shape `rank` has.
#- math.prod
#+ sum

# %% mistake="decomposition_parameters" name="right bond only"
# For TT you counted size times the rank on the right. A core has the rank on its left as well.
# Look at: the three sizes of a core.
#- (a * n * b for a, n, b in zip(rank, shape
#+ (n * b for n, b in zip(shape

# %% mistake="decomposition_parameters" name="left bond only"
# For TT you counted size times the rank on the left. A core has the rank on its right as well.
# Look at: the three sizes of a core.
#- return sum(a * n * b for a, n, b in zip(rank, shape, rank[1:]))
#+ return sum(n * a for n, a in zip(shape, rank))

# %% mistake="decomposition_parameters" name="one rank squared"
# For TT you used one rank twice in each core. The ranks on the two sides of a core are two entries
# of `rank`.
# Look at: the shape of core 0.
#- return sum(a * n * b for a, n, b in zip(rank, shape, rank[1:]))
#+ return sum(n * r * r for n, r in zip(shape, rank))

# %% mistake="decomposition_parameters" name="CP with a full core"
# For CP you also counted a core of R ** order numbers. CP has no core: its terms need no
# combinations, which is what sets it apart from Tucker.
# Look at: the left part of the picture.
#- shape)
#+ shape) + rank ** len(shape)

# %% mistake="decomposition_parameters" name="order for the rank"
# For CP you took the order, the number of modes, for the rank. The order is the number of factors; the
# rank is how many columns each has.
# Look at: what the argument `rank` says, and what `len(shape)` says.
#- return rank *
#+ return len(shape) *

# %% wrong="decomposition_parameters" name="free numbers"
# The degrees of freedom.
#- sum(shape)
#+ (sum(shape) - len(shape) + 1)
#- n * r for
#+ n * r - r * r for
#- rank[1:]))
#+ rank[1:])) - sum(r * r for r in rank[1:-1])

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
#-     return sum(a * n * b for a, n, b in zip(rank, shape, rank[1:]))
#+     inner = sum(a * n * b for a, n, b in zip(rank[1:], shape[1:-1], rank[2:]))
#+     return shape[0] * rank[1] + inner + rank[-2] * shape[-1]

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
# Every update uses the factors that were given. Each should use the newest: mode 1 the factor 0 that
# you have just computed. (With old ones for all, the error may even grow.)
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
# Your numbers are right, but you wrote them into the list that was given, or into its tensors. Its
# owner may still need them.
# Look at: the list that you assign into; `list(factors)` makes a new one.
#-     factors = list(factors)

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

# %% right="tucker_to_tensor"
def tucker_to_tensor(core, factors):
    for mode, factor in enumerate(factors):
        core = mode_dot(core, factor, mode)
    return core

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

# %% mistake="tucker_to_tensor" name="transposed where square"
# You multiply by transposed factors. factors[k] of shape (I_k, R_k) takes the ranks of the core to
# the sizes of the tensor as it is.
# Look at: which index of the factor you sum over.
#-     for mode, factor in enumerate(factors):
#+     for mode, factor in enumerate(factors):
#+         if factor.shape[0] == factor.shape[1]:
#+             factor = factor.T

# %% mistake="tucker_to_tensor" name="core unfolded along mode 0"
# You lay the core out along mode 0 whatever mode you multiply; a reshape then hides it.
# Look at: the mode that you unfold, and the fibers that factors[k] acts on.
#-         core = mode_dot(core, factor, mode)
#+         shape = list(core.shape)
#+         shape[mode] = factor.shape[0]
#+         core = (factor @ unfold(core, 0).reshape(core.shape[mode], -1)).reshape(shape)

# %% mistake="tucker_to_tensor" name="folded along mode 0"
# You unfold the right mode, multiply, and then reshape: that puts the new mode in front, not in
# its place.
# Look at: the way back from the unfolding, and the mode it is given.
#-         core = mode_dot(core, factor, mode)
#+         shape = list(core.shape)
#+         shape[mode] = factor.shape[0]
#+         core = (factor @ unfold(core, mode)).reshape(shape)

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
# You share the singular values between core and rest, a square root for each. The tensor before the next
# cut is right, but what the next SVD weighs is not, and the columns are not orthonormal.
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
# Your first core has no rank on its left and your last one none on its right. They have size 1 and stay,
# so that every core has three modes.
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
