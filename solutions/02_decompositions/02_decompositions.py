# %% [markdown]
# # 2. Decompositions { minutes: 75, difficulty: 3 }
#
# Chapter 1 built big tensors from small pieces. This chapter goes the other way: given a tensor, which small
# pieces is it made of, how many of them does it take, and what is lost if you keep fewer? There are three answers
# in daily use, **CP**, **Tucker** and **tensor train** (TT), and each has its own notion of *rank*. The weight of
# every tensor regression layer in this course has one of these three forms.
#
# **After this chapter you can**
#
# - tell the order of a tensor from its CP rank, its multilinear rank and its TT ranks;
# - rebuild a tensor from CP factors, from a Tucker core with factors, and from TT cores, and count their numbers;
# - compute the decompositions: CP by alternating least squares, Tucker by the HOSVD, TT by the TT-SVD;
# - say how large their errors can become, when CP is unique, and when a best CP approximation does not exist;
# - compress a photograph three ways and judge fairly which is best.
#
# **You need** chapter 1, and the singular value decomposition (SVD) of a matrix.
#
# **What the checks ask of every answer:** stay in torch, keep the dtype, leave the arguments as they are. The
# functions that rebuild a tensor must let gradients through; those that decompose one need not. The functions
# of chapter 1 come from `trlkit` now, and you may use them everywhere.

# %% lock="imports_02"
import math

import torch

import trlkit
from trlkit import fold, khatri_rao, mode_dot, multi_mode_dot, outer, unfold
from trlkit.lab import plotting
from trlkit.course import check, reveal
from trlkit.lab.data import photographs
from trlkit.weights.decomposition import decompose, relative_error

# %% [markdown]
# ## 2.1 One order, several ranks
#
# The **order** of a tensor counts its modes; you read it off the shape. A **rank** says how much is going on
# inside. A matrix has one rank, and many definitions that agree. For more modes they part ways:
#
# | rank | what it is | of a matrix of rank $r$ |
# |---|---|---|
# | CP rank | the least number of rank-1 tensors that sum to the tensor | $r$ |
# | multilinear rank (Tucker) | for each mode, the rank of the unfolding along it | $(r, r)$ |
# | TT ranks | for each cut between two modes, the rank of the matrix with all modes before the cut as rows, the others as columns; with a 1 at both ends | $(1, r, 1)$ |
#
# In the picture a box is a stored tensor, a line between boxes is an index that is summed over (a rank), and a
# line that ends below is a mode of the tensor.

# %%
plotting.decompositions((4, 5, 6), cp=3, tucker=(2, 3, 2), tt=(1, 2, 3, 1))

# %% [markdown]
# Here is a small tensor in which the ranks differ. Two of the three kinds are ranks of matrices, and can be
# computed:

# %%
a, b = torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, 1.0]).double()
w = outer([a, a, b]) + outer([a, b, a]) + outer([b, a, a])

print("order           ", w.ndim)
print("multilinear rank", tuple(torch.linalg.matrix_rank(unfold(w, mode)).item() for mode in range(3)))
cuts = [torch.linalg.matrix_rank(w.reshape(2**cut, -1)).item() for cut in (1, 2)]
print("TT ranks        ", (1, *cuts, 1))

# %% [markdown]
# Its CP rank is 3: the three terms above cannot be replaced by two, and section 2.5 shows what happens when one
# tries. No SVD computes a CP rank; to find it is NP-hard in general (Håstad 1990; Hillar and Lim 2013). In
# practice the rank is a number that *you* choose, and "rank" is short for "the rank of the approximation".

# %% [markdown]
# ## 2.2 CP: a sum of rank-1 tensors { minutes: 7, difficulty: 2 }
#
# The canonical polyadic decomposition (CP; also CANDECOMP, PARAFAC) is the shortest of all: a sum of $R$ outer
# products. The vectors of mode $n$ are kept side by side as the columns of a **factor** $F_n$ of shape
# $(I_n, R)$:
#
# $$X_{i_0 \dots i_N} = \sum_{r=1}^{R} (F_0)_{i_0 r}\, (F_1)_{i_1 r} \cdots (F_N)_{i_N r}
# \qquad\text{which is}\qquad
# X_{[n]} = F_n\, \big(F_0 \odot \dots \odot F_{n-1} \odot F_{n+1} \odot \dots \odot F_N\big)^{\mathsf T}$$
#
# on the unfoldings, with the Khatri-Rao product $\odot$ of all factors but the mode's own, in their order. (Kolda
# and Bader write the same with the factors in reverse order, since their unfoldings let the first index run
# fastest. Their formulas and ours agree on the tensor; from three modes on, not on the columns of its unfolding.)
#
# **Predict before you run.** The factors of a CP tensor of shape (512, 7, 7) and rank 100: how many numbers do they
# hold together? The tensor itself holds 25,088.

# %% predict="cp_numbers"
### BEGIN SOLUTION
#~ prediction = ...  # how many numbers
prediction = 52_600
### END SOLUTION

# %%
reveal(prediction, lambda: sum(torch.zeros(size, 100).numel() for size in (512, 7, 7)))

# %% [markdown]
# That is more than the tensor has. A CP form saves numbers only as long as $R \sum_k I_k$ is below $\prod_k I_k$; a rank that
# sounds modest may be beyond that. Always compare. Now write the sum:

# %% solve="cp_to_tensor"
def cp_to_tensor(factors):
    """The tensor that CP factors stand for: the sum over r of the outer products of their columns r.

    factors: list of at least two Tensors, factors[k] of shape (I_k, R).
    Returns a Tensor of shape (I_0, ..., I_N).

    >>> cp_to_tensor([torch.tensor([[1., 0.], [0., 1.]]), torch.tensor([[1., 2.], [3., 4.], [5., 6.]])])
    tensor([[1., 3., 5.],
            [2., 4., 6.]])
    """
    ### BEGIN SOLUTION
    shape = [len(factor) for factor in factors]
    return fold(factors[0] @ khatri_rao(factors[1:]).T, 0, shape)
    ### END SOLUTION

# %% check="cp_to_tensor" points=2
check("cp_to_tensor", cp_to_tensor)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Term r is <code>outer</code> of the columns r, one column from every factor. How do you take column r of a matrix? And
# how many terms are there?
# </details>
#
# <details><summary>Hint: there are far too many terms in my sum</summary>
# Column 0 of one factor meets column 0 of the others, and no other column. In an <code>einsum</code>, all factors
# share one letter for r, and it is not on the right of the arrow.
# </details>
#
# <details><summary>Hint: the right numbers, in the wrong places</summary>
# If you take the formula on the unfoldings: which mode do you fold, and in which order do the factors stand in the
# Khatri-Rao product?
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Either a sum of <code>outer([...])</code> over r; or, with mode 0, one matrix product of factors[0] with a transposed
# Khatri-Rao product, and <code>fold</code>.
# </details>

# %% [markdown]
# ## 2.3 Count what is stored { minutes: 6, difficulty: 2 }
#
# What each form stores for a tensor of shape $(I_0, \dots, I_N)$, as in the picture above:
#
# - **CP** of rank $R$: a factor $(I_k, R)$ for each mode.
# - **Tucker** of rank $(R_0, \dots, R_N)$: a factor $(I_k, R_k)$ for each mode, and a core of shape
#   $(R_0, \dots, R_N)$.
# - **TT** of rank $(1, R_1, \dots, R_N, 1)$: a core of shape $(R_k, I_k, R_{k+1})$ for each mode. There is one
#   rank more than there are modes; the first and the last are 1.

# %% solve="decomposition_parameters"
def decomposition_parameters(shape, rank, kind):
    """How many numbers a decomposition stores.

    shape: tuple of int, (I_0, ..., I_N).   kind: "cp", "tucker" or "tt".
    rank: for "cp" an int; for "tucker" a tuple (R_0, ..., R_N); for "tt" a tuple (1, R_1, ..., R_N, 1).
    Returns an int.

    >>> decomposition_parameters((4, 5, 6), 2, "cp")
    30
    >>> decomposition_parameters((4, 5, 6), (2, 2, 2), "tucker")
    38
    >>> decomposition_parameters((4, 5, 6), (1, 2, 2, 1), "tt")
    40
    """
    ### BEGIN SOLUTION
    if kind == "cp":
        return rank * sum(shape)
    if kind == "tucker":
        return math.prod(rank) + sum(size * r for size, r in zip(shape, rank))
    return sum(left * size * right for left, size, right in zip(rank, shape, rank[1:]))
    ### END SOLUTION

# %% check="decomposition_parameters" points=2
check("decomposition_parameters", decomposition_parameters)

# %% [markdown]
# <details><summary>Hint: my number for Tucker is too small</summary>
# The core is stored too. How many entries has a tensor of shape (R_0, ..., R_N)?
# </details>
#
# <details><summary>Hint: TT, and the ranks have one entry too many</summary>
# Core k stands between rank[k] and rank[k + 1]. Write the shapes of the three cores of the last example.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Three cases. <code>math.prod</code> multiplies the entries of a tuple; <code>zip(shape, rank)</code> pairs them.
# </details>

# %% [markdown]
# Not every stored number is a freedom. One can double a column of $F_0$ and halve the same column of $F_1$, and the
# CP tensor does not notice. How many directions are really left? They can be counted: the rank of the derivative
# of the tensor with respect to all stored numbers.

# %%
def freedom(build, *tensors):
    """How many numbers are stored, and in how many directions the tensor they build can move."""
    derivative = torch.autograd.functional.jacobian(build, tensors)
    columns = [part.reshape(-1, tensor.numel()) for part, tensor in zip(derivative, tensors)]
    matrix = torch.cat(columns, dim=1)
    return matrix.shape[1], torch.linalg.matrix_rank(matrix).item()


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def tucker(core, f, g, h):
    return torch.einsum("abc,ia,jb,kc->ijk", core, f, g, h)


torch.manual_seed(0)
cp = [random(size, 2) for size in (4, 5, 6)]
print("CP      stored, free:", freedom(lambda f, g, h: torch.einsum("ir,jr,kr->ijk", f, g, h), *cp))
print("Tucker  stored, free:", freedom(tucker, random(2, 2, 2), *cp))
tt = [random(1, 4, 2), random(2, 5, 2), random(2, 6, 1)]
print("TT      stored, free:", freedom(lambda f, g, h: torch.einsum("aib,bjc,ckd->ijk", f, g, h), *tt))

# %% [markdown]
# CP loses $R$ scales for all modes but one, here $2 \cdot 2$. Tucker loses an invertible $(R_k, R_k)$ matrix for each
# mode, which can be moved from the factor into the core: $\sum_k R_k^2 = 12$. TT loses one for each inner rank,
# $R_k^2$ numbers between two cores: $4 + 4$. The counts of stored numbers stay what memory costs; the free ones are
# what the form can express. (CP and Tucker both end at 26, since the tensors of CP rank 2 fill a whole volume of the
# 2 x 2 x 2 cores. From rank 3 on Tucker reaches farther.)

# %% [markdown]
# ## 2.4 CP by alternating least squares { minutes: 14, difficulty: 4 }
#
# Which factors come closest to a given $X$? For all factors at once that is a hard problem. But if every factor is held
# fixed *but one*, it is plain least squares, by the formula on the unfoldings: find $F_n$ that makes
# $F_n K_n^{\mathsf T}$ closest to $X_{[n]}$, where $K_n$ is the Khatri-Rao product of the others. Its normal equations are
#
# $$F_n\, V_n = X_{[n]}\, K_n, \qquad
# V_n = K_n^{\mathsf T} K_n = \textstyle{\Large *}_{k \neq n}\, F_k^{\mathsf T} F_k$$
#
# where $*$ multiplies entry by entry. The second equation is what makes the method fast: $V_n$ is only $(R, R)$, made
# from the Gram matrices $F_k^{\mathsf T} F_k$ of *the other* factors. **Alternating least squares** (ALS) updates
# mode 0, then mode 1, and so on; each update uses the newest factors. One round is a **sweep**. No update can make the
# error larger.
#
# **Predict before you run.** `x` is (104, 160, 3) and the rank is 20. Which shapes have $K_0$ and $V_0$?

# %% predict="als_shapes"
### BEGIN SOLUTION
#~ prediction = ((..., ...), (..., ...))  # K_0, V_0
prediction = ((480, 20), (20, 20))
### END SOLUTION

# %%
others = [torch.zeros(160, 20), torch.zeros(3, 20)]
reveal(prediction, lambda: (khatri_rao(others).shape, (others[0].T @ others[0]).shape))

# %% solve="cp_als_sweep"
def cp_als_sweep(x, factors):
    """One sweep of alternating least squares: update every factor once.

    x: Tensor of shape (I_0, ..., I_N); factors: list of Tensors, factors[k] of shape (I_k, R).
    Modes 0, 1, ..., N in this order. The update of mode n replaces factors[n] by the solution F of
    F V = unfold(x, n) K, from the newest factors of the other modes; no column is rescaled. (V is
    invertible in all cases here.)
    Returns a new list of the updated factors; the list that was given stays as it is.

    >>> x = outer([torch.tensor([1., 2.]), torch.tensor([3., 4.])])
    >>> cp_als_sweep(x, [torch.ones(2, 1), torch.ones(2, 1)])
    [tensor([[3.5000],
            [7.0000]]), tensor([[0.8571],
            [1.1429]])]
    """
    ### BEGIN SOLUTION
    factors = list(factors)
    for mode in range(x.ndim):
        others = [factor for k, factor in enumerate(factors) if k != mode]
        gram = math.prod(factor.T @ factor for factor in others)
        right = unfold(x, mode) @ khatri_rao(others)
        factors[mode] = torch.linalg.solve(gram, right.T).T
    return factors
    ### END SOLUTION

# %% check="cp_als_sweep" points=3
check("cp_als_sweep", cp_als_sweep)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Copy the list first. Then one loop over the modes, and in it: the list of the other factors; their Khatri-Rao product
# K; their V; the solution; and put it into your list before the next mode's turn.
# </details>
#
# <details><summary>Hint: how do I solve F V = M?</summary>
# <code>torch.linalg.solve(A, B)</code> solves A F = B. Transpose both sides of yours; V is symmetric. Or multiply by
# <code>torch.linalg.pinv(V)</code> from the right. Or skip V: <code>torch.linalg.lstsq(K, unfold(x, n).T)</code>.
# </details>
#
# <details><summary>Hint: mode 0 is right and the others are not</summary>
# For mode 1, which factor of mode 0 goes into K and V: the one that was given, or the one that you have just computed?
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Five lines in the loop: <code>others</code>, <code>gram</code> (Gram matrices multiplied entry by entry),
# <code>right = unfold(x, mode) @ khatri_rao(others)</code>, solve, store.
# </details>

# %% [markdown]
# Let your sweep work on a tensor that *is* of CP rank 3, from random factors. (The cells up to the end of 2.5 use your
# function; all later ones do without.)

# %%
torch.manual_seed(1)
hidden = [random(size, 3) for size in (8, 9, 10)]
x = torch.einsum("ir,jr,kr->ijk", *hidden)
factors, errors = [random(size, 3) for size in (8, 9, 10)], []
for _ in range(60):
    factors = cp_als_sweep(x, factors)
    errors.append(relative_error(x, torch.einsum("ir,jr,kr->ijk", *factors)))
plotting.curves({"ALS, rank 3": (range(1, 61), errors)}, "sweeps", "relative error", log="y")

# %% [markdown]
# The error falls to nothing (from another start it may take longer): the tensor is found again. Are the *factors* found again,
# too? Compare their columns by the cosine of the angle between them, the hidden ones down, yours to the right:

# %%
normed = [[f / f.norm(dim=0) for f in pieces] for pieces in (hidden, factors)]
for mode in range(3):
    print(f"mode {mode}", (normed[0][mode].T @ normed[1][mode]).numpy().round(3).tolist())

# %% [markdown]
# In every row one number is 1 or -1, at the same place for all modes: your columns *are* the hidden ones, in another
# order and with other lengths and signs. That is remarkable. A matrix has no such luck: $A B^{\mathsf T}$ equals
# $(A Q)(B Q^{-\mathsf T})^{\mathsf T}$ for every invertible $Q$, so its factors say nothing by themselves. With three
# modes, Kruskal (1977) found a condition under which the factors are **unique**, up to what must remain free:
#
# - the order of the terms (a sum does not care), and
# - the lengths and signs within a term (as long as their product stays).
#
# The condition for three modes is $k_0 + k_1 + k_2 \ge 2R + 2$. Here $k_n$, the *k-rank* of $F_n$, is the largest $k$ such
# that *any* $k$ columns are linearly independent. Random factors have $k_n = \min(I_n, R)$ with probability
# one. For $d$ modes ($d = N + 1$ in our formulas) the right side is $2R + d - 1$ (Sidiropoulos and Bro 2000). The condition is
# sufficient; for three modes and $R = 2$ or $3$ also necessary, beyond that not (ten Berge and Sidiropoulos 2002).

# %% [markdown]
# ## 2.5 When there is no best approximation
#
# Truncating the SVD gives the best rank-$r$ approximation of a matrix (Eckart and Young 1936), so there always is
# one. For CP there may be **none**. Remember `w` of section 2.1, a sum of three terms. Take instead only two,
#
# $$Y_n = n \left(a + \tfrac1n b\right) \otimes \left(a + \tfrac1n b\right) \otimes \left(a + \tfrac1n b\right)
# \;-\; n\; a \otimes a \otimes a$$
#
# Multiply out: the terms with $n$ cancel, those with $n^0$ are exactly `w`, and the rest has $1/n$ and less.

# %%
print("      n   distance from w   norm of each term")
for n in (1, 10, 100, 1000, 10_000):
    first, second = n * outer([a + b / n] * 3), -n * outer([a] * 3)
    print(f"{n:7}   {(w - first - second).norm():15.7f}   {first.norm():11.3f} {second.norm():9.3f}")

# %% [markdown]
# Two terms come as close to `w` as you like, and never reach it, since its rank is 3. One says that `w` has **border
# rank** 2. A "best approximation of rank 2" does not exist: each can be bettered. The price stands on the right: two
# huge terms, almost opposite, that cancel. De Silva and Lim (2008) show that this is no oddity: *no* real
# 2 x 2 x 2 tensor of rank 3 has a best approximation of rank 2, and those tensors fill a whole volume, not a thin set.
# Your ALS, not knowing better, sets out on the endless way:

# %%
torch.manual_seed(0)
factors, errors, norms = [random(2, 2) for _ in range(3)], [], []
sweeps = [1, 3, 10, 30, 100, 300, 1000]
for sweep in range(1, 1001):
    factors = cp_als_sweep(w, factors)
    if sweep in sweeps:
        errors.append(relative_error(w, torch.einsum("ir,jr,kr->ijk", *factors)))
        norms.append(math.prod(factor[:, 0].norm().item() for factor in factors))
first, second = (outer([factor[:, r] for factor in factors]) for r in range(2))
cosine = (first * second).sum() / (first.norm() * second.norm())
print(f"norms at the end {first.norm():.2f} and {second.norm():.2f}, cosine of their angle {cosine:.4f}")
lines = {"relative error": (sweeps, errors), "norm of the first term": (sweeps, norms)}
plotting.curves(lines, "sweeps", "error, norm", log="xy")

# %% [markdown]
# An error that creeps, and factors that grow without end: when you see both in a layer that you train, it need not be your
# learning rate. A lower rank, a penalty on the factors (weight decay), or a Tucker form help: the set of tensors of bounded
# multilinear rank (or TT ranks) is closed, so there a best approximation always exists.

# %% [markdown]
# ## 2.6 Tucker: a core and a factor for each mode { minutes: 4, difficulty: 1 }
#
# The Tucker form is chapter 1's product along several modes: a small **core** $G$ of shape $(R_0, \dots, R_N)$, and for
# each mode a factor $U_k$ of shape $(I_k, R_k)$:
#
# $$X = G \times_0 U_0 \times_1 U_1 \cdots \times_N U_N$$
#
# Each mode has its own rank; the core says how strongly each combination of columns counts. (CP is the special case of a
# core with ones at $g_{rr \dots r}$ and zeros elsewhere.)

# %% solve="tucker_to_tensor"
def tucker_to_tensor(core, factors):
    """The tensor that a Tucker core and factors stand for.

    core: Tensor of shape (R_0, ..., R_N); factors: list of N + 1 Tensors, factors[k] of shape (I_k, R_k).
    Returns a Tensor of shape (I_0, ..., I_N).

    >>> tucker_to_tensor(torch.tensor([[2.]]), [torch.tensor([[1.], [10.]]), torch.tensor([[1.], [3.], [5.]])])
    tensor([[  2.,   6.,  10.],
            [ 20.,  60., 100.]])
    """
    ### BEGIN SOLUTION
    for mode, factor in enumerate(factors):
        core = mode_dot(core, factor, mode)
    return core
    ### END SOLUTION

# %% check="tucker_to_tensor" points=1
check("tucker_to_tensor", tucker_to_tensor)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Exercise 1.5, with a matrix for every mode.
# </details>
#
# <details><summary>Hint: it fails, or only works where every rank equals the size</summary>
# factors[k] takes fibers of length R_k to fibers of length I_k: it multiplies from the left, as it is.
# </details>

# %% [markdown]
# ## 2.7 Tucker by the HOSVD { minutes: 12, difficulty: 3 }
#
# How to find core and factors? The factor $U_k$ should span what the mode-$k$ fibers of $X$ span, as well as $R_k$
# directions can; and the mode-$k$ fibers are the columns of the unfolding. So:
#
# 1. for every mode, $U_k$ = the $R_k$ leading left singular vectors of $X_{[k]}$;
# 2. $G = X \times_0 U_0^{\mathsf T} \times_1 U_1^{\mathsf T} \cdots \times_N U_N^{\mathsf T}$: since the columns are orthonormal,
#    that is the best core for these factors.
#
# This is the (truncated) **higher-order SVD**, HOSVD (De Lathauwer, De Moor and Vandewalle 2000; Tucker 1966). Nothing is iterated.
#
# **Predict before you run.** `x` has shape (104, 160, 3) and `ranks` is (20, 30, 2). Which shapes have
# the core and the factor of mode 1?

# %% predict="hosvd_shapes"
### BEGIN SOLUTION
#~ prediction = ((..., ..., ...), (..., ...))  # the core, factors[1]
prediction = ((20, 30, 2), (160, 30))
### END SOLUTION

# %%
shape, ranks = (104, 160, 3), (20, 30, 2)
reveal(prediction, lambda: (ranks, (shape[1], ranks[1])))

# %% [markdown]
# Singular vectors are defined up to their sign, so the check does not compare your numbers with its own: it tests that the
# columns are orthonormal, that they span the right space in falling order of the singular values, and that the core goes with
# them.

# %% solve="hosvd"
def hosvd(x, ranks):
    """The truncated higher-order SVD.

    x: Tensor of shape (I_0, ..., I_N); ranks: tuple of N + 1 ints, ranks[k] at most the rank of unfold(x, k).
    Returns (core, factors): a Tensor of shape ranks, and a list of N + 1 Tensors, factors[k] of shape
    (I_k, ranks[k]): the leading left singular vectors of the unfolding of x itself along mode k.

    >>> core, factors = hosvd(torch.randn(4, 5, 6), (2, 3, 2))
    >>> core.shape, factors[1].shape
    (torch.Size([2, 3, 2]), torch.Size([5, 3]))
    """
    ### BEGIN SOLUTION
    factors = []
    for mode, rank in enumerate(ranks):
        left, _, _ = torch.linalg.svd(unfold(x, mode), full_matrices=False)
        factors.append(left[:, :rank])
    core = multi_mode_dot(x, [factor.T for factor in factors])
    return core, factors
    ### END SOLUTION

# %% check="hosvd" points=3
check("hosvd", hosvd)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# <code>torch.linalg.svd(matrix, full_matrices=False)</code> returns U, S, Vh, with the singular values in falling order. Which
# of the three holds the left singular vectors, and are they its rows or its columns?
# </details>
#
# <details><summary>Hint: my factors keep less than the leading vectors do</summary>
# Does <code>torch.linalg.eigh</code> sort upwards or downwards? And do you unfold x, or only reshape it? And is it always x that
# you unfold, or what the modes before have left of it?
# </details>
#
# <details><summary>Hint: the core does not go with the factors</summary>
# Multiply x along <i>every</i> mode, by the <i>transposed</i> factor.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# A loop over the modes that appends the first <code>ranks[k]</code> columns of U; then one <code>multi_mode_dot</code>.
# </details>

# %% [markdown]
# ### How good is it?
#
# For mode $k$ let $\varepsilon_k^2$ be the sum of the squared singular values of $X_{[k]}$ that were cut off. *No* tensor of these ranks can be
# closer to $X$ than the largest $\varepsilon_k$ (Eckart and Young, on that unfolding). And the HOSVD's squared error is at most the sum
# of all $\varepsilon_k^2$, which is at most $d$ times the largest, for $d = N + 1$ modes. So
#
# $$\max_k \varepsilon_k \;\le\; \text{best error} \;\le\; \text{error of the HOSVD} \;\le\; \sqrt{\textstyle\sum_k \varepsilon_k^2}
# \;\le\; \sqrt{d}\; \cdot\, \text{best error}$$
#
# Let us see that on a real photograph, one of two that come with scikit-learn, made smaller so that all is quick:

# %%
china = photographs()["china"].movedim(-1, 0)  # (3, 427, 640)
small = torch.nn.functional.avg_pool2d(china, 4)  # (3, 106, 160)
photo = small.movedim(0, -1)[:104].double()  # (104, 160, 3)
print("photo", tuple(photo.shape), "=", f"{photo.numel():,}", "numbers")
plotting.images({"photo": photo})

# %% [markdown]
# "Best found" is by HOOI, an iteration that starts from the HOSVD and improves it; `trlkit`'s `decompose` runs TensorLy's.

# %%
spectra = [torch.linalg.svdvals(unfold(photo, mode)) for mode in range(3)]
print("ranks          largest cut   best found   HOSVD    bound   HOSVD / best found (at most 1.73)")
for ranks in ((2, 2, 1), (5, 5, 2), (10, 20, 2), (20, 20, 3), (40, 40, 3)):
    factors = [torch.linalg.svd(unfold(photo, k), full_matrices=False).U[:, :r] for k, r in enumerate(ranks)]
    projected = multi_mode_dot(photo, [u @ u.T for u in factors])
    ours = (photo - projected).norm()
    best = (photo - decompose(photo, ranks, "tucker").dense()).norm()
    cut = torch.stack([values[r:].square().sum() for values, r in zip(spectra, ranks)])
    row = (cut.max().sqrt(), best, ours, cut.sum().sqrt())
    print(f"{str(ranks):14} {row[0]:11.3f} {row[1]:12.3f} {row[2]:7.3f} {row[3]:8.3f} {ours / best:8.3f}")

# %% [markdown]
# The bound holds, and real life is kinder: the HOSVD is within a few percent of the best that was found. (None of these ranks
# is above the product of the other two: a core of shape (10, 40, 2) would waste half of its 40.)

# %% [markdown]
# ## 2.8 Tensor train: a chain of cores { minutes: 6, difficulty: 2 }
#
# A Tucker core has $R_0 R_1 \cdots R_N$ entries: with ten modes of rank 2 that is 1,024, with rank 10 it is ten billion. A
# **tensor train** avoids it. Each mode has one core $G_k$ of shape $(R_k, I_k, R_{k+1})$, and each core knows only its two
# neighbors:
#
# $$X_{i_0 i_1 \dots i_N} = G_0[:, i_0, :]\; G_1[:, i_1, :] \cdots G_N[:, i_N, :]$$
#
# For fixed indices the slices are matrices, the first with one row ($R_0 = 1$) and the last with one column ($R_{N+1} = 1$), so
# their product is a number: an entry of $X$. The ranks between the cores are also called **bonds**.
#
# **Predict before you run.** A TT of ten modes of size 4, every inner rank 3: how many numbers does it store, of the
# $4^{10} = 1{,}048{,}576$ of the tensor?

# %% predict="tt_numbers"
### BEGIN SOLUTION
#~ prediction = ...  # how many numbers
prediction = 312
### END SOLUTION

# %%
reveal(prediction, lambda: trlkit.ranks.tt_parameters((4,) * 10, (1, *(3,) * 9, 1)))

# %% solve="tt_to_tensor"
def tt_to_tensor(cores):
    """The tensor that TT cores stand for.

    cores: list of at least one Tensor, cores[k] of shape (R_k, I_k, R_{k+1}), with R_0 = 1 and the last rank 1.
    Returns a Tensor of shape (I_0, ..., I_N).

    >>> tt_to_tensor([torch.tensor([[[1.], [2.]]]), torch.tensor([[[1.], [3.], [5.]]])])
    tensor([[ 1.,  3.,  5.],
            [ 2.,  6., 10.]])
    """
    ### BEGIN SOLUTION
    x = cores[0]
    for core in cores[1:]:
        x = torch.tensordot(x, core, dims=1)
    return x.squeeze(0).squeeze(-1)
    ### END SOLUTION

# %% check="tt_to_tensor" points=2
check("tt_to_tensor", tt_to_tensor)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Contract the last mode of what you have with the first mode of the next core: an inner product over one mode (exercise
# 1.6). Go through the chain from the left.
# </details>
#
# <details><summary>Hint: my result has two modes too many, or one too few</summary>
# The ranks at the two ends are modes of size 1 and must go, they alone: <code>squeeze()</code> without a number takes every mode
# of size 1, also one that belongs to the tensor.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Start with the first core; in a loop <code>torch.tensordot(x, core, dims=1)</code>; at the end drop the first and the last mode.
# </details>

# %% [markdown]
# ## 2.9 TT by successive SVDs { minutes: 12, difficulty: 4 }
#
# The **TT-SVD** (Oseledets 2011) cuts the modes off one by one, from the left. Keep a matrix, the `rest`, at first all of $X$. For
# each mode $k$ but the last:
#
# 1. reshape the rest to $(R_k I_k,\ \text{everything behind})$: the bond to the left and mode $k$ are the rows;
# 2. take its SVD, and keep the $R_{k+1}$ largest singular values: rest $\approx U S V^{\mathsf T}$;
# 3. $U$, reshaped to $(R_k, I_k, R_{k+1})$, is core $k$; $S V^{\mathsf T}$ is the new rest.
#
# What is left at the end, reshaped to $(R_N, I_N, 1)$, is the last core. Note that all of $S$ travels on to the right. So every
# core but the last, reshaped to a matrix with $R_k I_k$ rows, has orthonormal columns.

# %% solve="tt_svd"
def tt_svd(x, ranks):
    """The TT-SVD, from the left to the right.

    x: Tensor of shape (I_0, ..., I_N), N >= 1.
    ranks: tuple of N + 2 ints, (1, R_1, ..., R_N, 1), with R_{k+1} <= min(R_k I_k, I_{k+1} ... I_N).
    Returns a list of N + 1 Tensors, cores[k] of shape (ranks[k], I_k, ranks[k + 1]); each but the last,
    reshaped to (ranks[k] * I_k, ranks[k + 1]), has orthonormal columns.

    >>> [tuple(core.shape) for core in tt_svd(torch.randn(4, 5, 6), (1, 3, 2, 1))]
    [(1, 4, 3), (3, 5, 2), (2, 6, 1)]
    """
    ### BEGIN SOLUTION
    cores, rest = [], x
    for k in range(x.ndim - 1):
        left, values, right = torch.linalg.svd(rest.reshape(ranks[k] * x.shape[k], -1), full_matrices=False)
        rank = ranks[k + 1]
        cores.append(left[:, :rank].reshape(ranks[k], x.shape[k], rank))
        rest = values[:rank, None] * right[:rank]
    return [*cores, rest.reshape(ranks[-2], x.shape[-1], 1)]
    ### END SOLUTION

# %% check="tt_svd" points=3
check("tt_svd", tt_svd)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Do it by hand for three modes: (I_0, I_1 I_2), SVD, core 0; then (R_1 I_1, I_2), SVD, core 1; what is left is core 2. Then
# make a loop of it.
# </details>
#
# <details><summary>Hint: shapes do not fit at the second core</summary>
# From the second step on, the rest has a bond on its left. It belongs to the rows, in front of the mode.
# </details>
#
# <details><summary>Hint: the shapes are right, and the error is too large</summary>
# Where did the singular values go? They belong to the rest, once and whole.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# In the loop: reshape, <code>torch.linalg.svd(..., full_matrices=False)</code>, append a core, make the new rest from the first
# rows of Vh, each times its singular value.
# </details>

# %% [markdown]
# The squared error is the sum of what the SVDs on the way cut off. Each of these is at most what the same cut would lose on
# $X$ itself, hence at most the square of the best possible error: $d - 1$ times that in all. Since you see the singular values
# *before* you cut, you can also choose the ranks by the error that you are willing to make.

# %% [markdown]
# ## 2.10 The photograph, three ways
#
# Now let the forms compete on the photograph, for the same number of stored numbers. In the race:
#
# - **CP** of rank $R$;
# - **Tucker** of rank $(r, r, 3)$, by HOOI: colors are kept whole, there are only three;
# - **TT** of rank $(1, r, 3, 1)$;
# - as the one to beat, what you knew before this chapter: the **SVD of a matrix**, the photograph with rows on one side, columns and colors
#   together on the other.
#
# **Predict before you run.** With about 10,600 numbers of the 49,920, which of the three has the smallest error, which comes second, which
# third?

# %% predict="photo_order"
### BEGIN SOLUTION
#~ prediction = (..., ..., ...)  # "cp", "tucker", "tt" in your order, the best first
prediction = ("cp", "tucker", "tt")
### END SOLUTION

# %% [markdown]
# The next cell takes some seconds; nearly all of them go to CP, which needs the most sweeps, up to 200
# from each of two starting points.

# %%
def error(form):
    return relative_error(photo, form.dense().reshape(photo.shape))


def numbers(form):
    return sum(tensor.numel() for tensor in form.tensors)


race = {
    "cp": {r: decompose(photo, r, "cp") for r in (5, 10, 20, 40)},
    "tucker": {r: decompose(photo, (r, r, 3), "tucker") for r in (5, 10, 20, 30, 40)},
    "tt": {r: decompose(photo, (1, r, 3, 1), "tt") for r in (3, 5, 10, 18, 20, 40)},
}
# The best CP of a matrix is its truncated SVD.
race["matrix SVD"] = {r: decompose(photo.reshape(104, 480), r, "cp") for r in (3, 5, 10, 18, 40)}

# %%
same = {"cp": race["cp"][40], "tucker": race["tucker"][30], "tt": race["tt"][18]}
for name, form in same.items():
    print(f"{name:8} {numbers(form):7,} numbers   relative error {error(form):.4f}")
reveal(prediction, lambda: tuple(sorted(same, key=lambda name: error(same[name]))))

# %%
lines = {
    name: ([numbers(form) for form in forms.values()], [error(form) for form in forms.values()])
    for name, forms in race.items()
}
plotting.curves(lines, "numbers stored (the photograph: 49,920)", "relative error", log="xy")

# %% [markdown]
# What to read from the picture, honestly:
#
# - **CP** is the most frugal here, **Tucker** comes next; at few numbers the two are close. CP is also the slowest by
#   far, and it promises nothing: another start may end elsewhere.
# - **TT brings nothing here.** With three modes, the last of size 3, its first cut *is* the matrix SVD, and the second cuts nothing
#   off. Their curves lie on each other. Both depend on the order of the modes, as CP and Tucker do not: see below.
# - None of this is what a camera does. JPEG works on blocks of 8 x 8 pixels with fixed cosines, and spends its bits where
#   eyes look.
#
# TT was made for many modes. Cut the photograph into blocks of 8 x 8 pixels, which makes it a tensor of five modes: 13 x 20 blocks, 8 x 8
# pixels, 3 colors. Only the order of the numbers has changed.

# %%
blocks = photo.reshape(13, 8, 20, 8, 3).permute(0, 2, 1, 3, 4)  # (13, 20, 8, 8, 3)
turned = photo.movedim(1, 0)  # (160, 104, 3)
tries = {
    "TT of the blocks": (blocks, (1, 13, 27, 13, 3, 1), "tt"),
    "SVD of the blocks, 260 x 192": (blocks.reshape(260, 192), 24, "cp"),
    "SVD, columns x (rows, colors)": (turned.reshape(160, 312), 22, "cp"),
}
results = {f"{name} of the photograph": (numbers(f), error(f)) for name, f in same.items()}
for name, (tensor, rank, kind) in tries.items():
    form = decompose(tensor, rank, kind)
    results[name] = numbers(form), relative_error(tensor, form.dense())
for name, (count, wrong) in results.items():
    print(f"{name:30} {count:7,} numbers   relative error {wrong:.4f}")

# %% [markdown]
# TT now passes Tucker and stays behind CP; a plain SVD of the block matrix gains nearly as much. Even without blocks, the matrix
# with the photograph's *columns* on one side is better than the one in the race. **How you cut a tensor into modes matters
# as much as which form you choose.** (CP can have the blocks, too: `decompose(blocks, 60, "cp")` takes its time.)
#
# And is it the method that compresses, or the photograph? Here are the photograph's own numbers, shuffled: the same values and
# the same norm, but no neighbors.

# %%
torch.manual_seed(0)
shuffled = photo.flatten()[torch.randperm(photo.numel())].reshape(photo.shape)
form = decompose(shuffled, (30, 30, 3), "tucker")
print(f"error of Tucker (30, 30, 3), photograph: {error(race['tucker'][30]):.4f}")
print(f"error of Tucker (30, 30, 3), shuffled:   {relative_error(shuffled, form.dense()):.4f}")
print(f"error of the mean alone, for both:       {relative_error(photo, photo.mean().expand_as(photo)):.4f}")

# %% [markdown]
# A photograph is smooth, and that is why few numbers do; shuffled, 10,600 numbers do not get far beyond a single one, the
# mean. Whether the weight of a trained network is more like the one or the other is not known beforehand, and cutting it
# down may cost accuracy. A tensor regression layer does not ask: it *learns* its factors from the start, so that whatever it learns has a low rank.
#
# Look at the numbers as pictures. This is rank 10:

# %%
def compressed(rank):
    """The photograph from each form of this rank, and what it takes."""
    pictures = {f"photo: {photo.numel():,} numbers": photo}
    for name in ("cp", "tucker", "tt"):
        form = race[name][rank]
        pictures[f"{name}: {numbers(form):,} numbers, error {error(form):.3f}"] = form.dense()
    return plotting.images(pictures, rows=2)


compressed(10)

# %% [markdown]
# And here with a slider for the rank. Mind what the titles say: at one *rank* the three are of very different sizes.

# %%
plotting.slider(compressed, "rank", options=[5, 10, 20, 40], value=10)

# %% [markdown]
# ## 2.11 Quiz: one tensor, four answers { minutes: 1, difficulty: 2 }
#
# **`x` has shape (5, 5, 5) and is 0 but for `x[0, 0, 0] = x[1, 1, 1] = 1`. What are its order, CP rank, multilinear rank and TT ranks?**
#
# - **a** 3; 3; (3, 3, 3); (1, 3, 3, 1)
# - **b** 3; 2; (5, 5, 5); (1, 5, 5, 1)
# - **c** 3; 8; (2, 2, 2); (1, 2, 2, 1)
# - **d** 3; 2; (2, 2, 2); (1, 2, 2, 1)

# %% solve="quiz_four_ranks"
### BEGIN SOLUTION
#~ quiz_four_ranks = ...  # "a", "b", "c" or "d"
quiz_four_ranks = "d"
### END SOLUTION

# %% check="quiz_four_ranks" points=1
check("quiz_four_ranks", quiz_four_ranks)
### HASHED AUTOTEST quiz_four_ranks

# %% [markdown]
# ## 2.12 Quiz: Kruskal's condition { minutes: 2, difficulty: 3 }
#
# **A tensor of shape (3, 4, 5) is made from random CP factors of rank $R$. Up to which $R$ does Kruskal's condition promise that ALS, if its
# error reaches 0, has found those factors (up to order and lengths)?**
#
# - **a** 3
# - **b** 5
# - **c** 12
# - **d** 6

# %% solve="quiz_kruskal"
### BEGIN SOLUTION
#~ quiz_kruskal = ...  # "a", "b", "c" or "d"
quiz_kruskal = "b"
### END SOLUTION

# %% check="quiz_kruskal" points=1
check("quiz_kruskal", quiz_kruskal)
### HASHED AUTOTEST quiz_kruskal

# %% [markdown]
# ## 2.13 Quiz: factors that grow { minutes: 1, difficulty: 2 }
#
# **You fit a CP of rank 8 to a tensor. From sweep to sweep the error falls a little, always less, and two of the terms grow and grow,
# with opposite signs. What is the likely reason?**
#
# - **a** More sweeps are needed; the terms will settle.
# - **b** The sweep has a bug: when the error falls, factors cannot grow.
# - **c** There is no best approximation of this rank, and the terms run away toward one of higher rank.
# - **d** The tensor has CP rank 8, and the two terms are those that are not unique.

# %% solve="quiz_border_rank"
### BEGIN SOLUTION
#~ quiz_border_rank = ...  # "a", "b", "c" or "d"
quiz_border_rank = "c"
### END SOLUTION

# %% check="quiz_border_rank" points=1
check("quiz_border_rank", quiz_border_rank)
### HASHED AUTOTEST quiz_border_rank

# %% [markdown]
# ## What to take away
#
# | | stores | computed by | promise |
# |---|---|---|---|
# | CP | $R \sum_k I_k$ | ALS, iterated | often unique; a best one may not exist |
# | Tucker | $\prod_k R_k + \sum_k I_k R_k$ | HOSVD: an SVD for each mode | error at most $\sqrt{d}$ times the best |
# | TT | $\sum_k R_k I_k R_{k+1}$ | TT-SVD: an SVD for each cut | error at most $\sqrt{d-1}$ times the best |
#
# - The **order** is read off the shape. Each form has its **rank**, and the same number means something else in each.
# - Everything reduces to matrices: least squares and SVDs on unfoldings.
# - What can be compressed depends on the tensor, and on how it is cut into modes; compare at equal numbers stored, and with a
#   plain matrix SVD beside it.
#
# ## To go further
#
# - Kolda, Bader: *Tensor Decompositions and Applications*, SIAM Review 51 (2009), sections 3 and 4. Uniqueness, ALS, HOSVD, HOOI.
# - De Silva, Lim: *Tensor Rank and the Ill-Posedness of the Best Low-Rank Approximation Problem*, SIAM J. Matrix Anal. Appl. 30 (2008).
# - De Lathauwer, De Moor, Vandewalle: *A Multilinear Singular Value Decomposition*, SIAM J. Matrix Anal. Appl. 21 (2000).
# - Oseledets: *Tensor-Train Decomposition*, SIAM J. Sci. Comput. 33 (2011).
# - Kruskal: *Three-Way Arrays: Rank and Uniqueness of Trilinear Decompositions*, Linear Algebra Appl. 18 (1977); Sidiropoulos, Bro: *On the
#   Uniqueness of Multilinear Decomposition of N-Way Arrays*, J. Chemometrics 14 (2000).
# - Ten Berge, Sidiropoulos: *On Uniqueness in CANDECOMP/PARAFAC*, Psychometrika 67 (2002).
# - Hillar, Lim: *Most Tensor Problems Are NP-Hard*, J. ACM 60 (2013). Vannieuwenhoven, Vandebril, Meerbergen: *A New Truncation
#   Strategy for the Higher-Order Singular Value Decomposition*, SIAM J. Sci. Comput. 34 (2012).
#
# **Next:** chapter 3, *Tensor regression*: the factors are no longer cut out of a tensor, but learned from data.
