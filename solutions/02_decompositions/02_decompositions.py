# %% [markdown]
# # 2. Decompositions { minutes: 85, difficulty: 4 }
#
# **What is the least that a picture is made of?** Chapter 1 built big tensors from small pieces. This chapter goes the other way: given a
# tensor, which small pieces is it made of, how many does it take, and what is lost if you keep fewer? There are three answers
# in daily use, **CP**, **Tucker** and **tensor train** (TT), and each has its own notion of *rank*. The weight of
# every tensor regression layer in this course has one of these three forms.
#
# **After this chapter you can**
#
# - tell the order of a tensor from its CP rank, its multilinear rank and its TT ranks;
# - count what a form can express, which is less than what it stores;
# - compute the decompositions: CP by alternating least squares, Tucker by the HOSVD, TT by the TT-SVD, and ranks for an error that you allow;
# - find out how often alternating least squares fails, and tell a bad place from an endless way;
# - compress a photograph, and say what decides how well: the form, the order of the modes, or the blocks.
#
# **You need** chapter 1, and the singular value decomposition (SVD) of a matrix.
#
# **What the checks ask of every answer:** stay in torch, keep the dtype (bfloat16 too, where nothing is solved), take tensors that are not
# contiguous in memory, leave the arguments as they are. The functions that rebuild a tensor must let gradients through; those that
# decompose one need not. The functions of chapter 1 come from `trlkit` now, and you may use them everywhere; finished decompositions
# (`decompose`, tensorly's) are for looking, not for answers.

# %% lock="imports_02"
import math

import torch

import trlkit
from trlkit import fold, khatri_rao, mode_dot, multi_mode_dot, outer, unfold
from trlkit.lab import plotting
from trlkit.course import check, explore, progress, reveal
from trlkit.lab.data import photographs
from trlkit.weights.decomposition import decompose, relative_error

# %% [markdown]
# ## 2.1 One order, several ranks
#
# Look first. A photograph is a tensor of three modes: rows, columns, colors. Here is one of 49,920 numbers, and what is left of it
# with about 10,600, a fifth: by the SVD of a matrix, as you knew it before, with rows on one side and everything else on the other; and by a Tucker form.

# %%
china = photographs()["china"].movedim(-1, 0)  # (3, 427, 640), one of two that come with scikit-learn
small = torch.nn.functional.avg_pool2d(china, 4)  # (3, 106, 160), so that all is quick
photo = small.movedim(0, -1)[:104].double()  # (104, 160, 3)


def numbers(form):
    return sum(tensor.numel() for tensor in form.tensors)


forms = {"matrix SVD": decompose(photo.reshape(104, 480), 18, "cp"), "Tucker": decompose(photo, (30, 30, 3), "tucker")}
pictures = {f"photo: {photo.numel():,} numbers": photo}
for name, form in forms.items():
    picture = form.dense().reshape(photo.shape)
    pictures[f"{name}: {numbers(form):,}, error {relative_error(photo, picture):.3f}"] = picture
plotting.images(pictures)

# %% [markdown]
# Can one do better with as many numbers? At the end of the chapter that is for you to find out. Words first.
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
# ## 2.2 CP: a sum of rank-1 tensors { minutes: 5, difficulty: 2 }
#
# The canonical polyadic decomposition (CP; also CANDECOMP, PARAFAC) is the shortest of all: a sum of $R$ outer
# products. The vectors of mode $n$ are kept side by side as the columns of a **factor** $F_n$ of shape
# $(I_n, R)$:
#
# $$X_{i_0 \dots i_N} = \sum_{r=1}^{R} (F_0)_{i_0 r}\, (F_1)_{i_1 r} \cdots (F_N)_{i_N r}$$
#
# which is
#
# $$X_{[n]} = F_n\, \big(F_0 \odot \dots \odot F_{n-1} \odot F_{n+1} \odot \dots \odot F_N\big)^{\mathsf T}$$
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
usual = {
    2_508_800: "That is 100 times the tensor: each component has only one vector for each mode.",
    51_200: "That is the first factor alone. The other two are small, but they are stored, too.",
}
reveal(prediction, lambda: sum(torch.zeros(size, 100).numel() for size in (512, 7, 7)), usual)

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

# %% check="cp_to_tensor" points=1
check("cp_to_tensor", cp_to_tensor)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# How many terms are there, and which columns does term r take? Which function of chapter 1 makes a rank-1 tensor of vectors?
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

# %% [markdown]
# ## 2.3 Count what is free { minutes: 12, difficulty: 4 }
#
# What each form *stores* for a tensor of shape $(I_0, \dots, I_N)$, as in the picture of 2.1:
#
# - **CP** of rank $R$: a factor $(I_k, R)$ for each mode.
# - **Tucker** of rank $(R_0, \dots, R_N)$: a factor $(I_k, R_k)$ for each mode, and a core of shape
#   $(R_0, \dots, R_N)$.
# - **TT** of rank $(1, R_1, \dots, R_N, 1)$: a core of shape $(R_k, I_k, R_{k+1})$ for each mode. There is one
#   rank more than there are modes; the first and the last are 1.
#
# `trlkit.ranks` counts that: `cp_parameters`, `tucker_parameters`, `tt_parameters`. But not every stored number is a freedom. One can double a column of $F_0$ and halve
# the same column of $F_1$, and the CP tensor does not notice. In how many directions can the tensor really move, when all that
# is stored moves a little? That is what a form can express, and (chapter 3) what decides how many samples it takes to learn one.
#
# **Derive the rule for each form.** What can be moved from one part to another? The check does not know your rule: it takes random parts and
# computes the rank of the derivative of the tensor with respect to everything that is stored.

# %% solve="free_numbers"
def free_numbers(shape, rank, kind):
    """In how many directions a tensor of this form can move, near one with random parts.

    shape: tuple of int, (I_0, ..., I_N).   kind: "cp", "tucker" or "tt".
    rank: for "cp" an int, at most the smallest size, of two or more modes; for "tucker" a tuple
    (R_0, ..., R_N), R_k at most I_k and at most the product of the others; for "tt" a tuple
    (1, R_1, ..., R_N, 1) that TT-SVD can give (N >= 0).
    Returns an int.

    >>> free_numbers((4, 5, 6), 1, "cp")
    13
    """
    ### BEGIN SOLUTION
    if kind == "cp":
        moved = rank**2 if len(shape) == 2 else rank * (len(shape) - 1)
        return rank * sum(shape) - moved
    if kind == "tucker":
        return math.prod(rank) + sum(r * (size - r) for size, r in zip(shape, rank))
    stored = sum(left * size * right for left, size, right in zip(rank, shape, rank[1:]))
    return stored - sum(bond**2 for bond in rank[1:-1])
    ### END SOLUTION

# %% check="free_numbers" points=3
check("free_numbers", free_numbers)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Two boxes joined by a line of rank r, as in the picture: which matrices can be put on the line, together with what, without a change of the whole?
# </details>
#
# <details><summary>Hint: Tucker and TT are right, CP is not</summary>
# In CP one index is shared by all factors. Which matrices may be moved from one factor to another if a third one must not notice? And if there
# is no third one?
# </details>
#
# <details><summary>Hint: I want to see what the check sees</summary>
# <code>torch.autograd.functional.jacobian</code> of a function that builds the tensor, and <code>torch.linalg.matrix_rank</code>.
# </details>

# %% [markdown]
# ## 2.4 CP by alternating least squares { minutes: 10, difficulty: 4 }
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
usual = {
    ((480, 20), (480, 480)): "V multiplies factors with R columns: it is the Gram matrix of the columns of K, not of its rows.",
    ((160, 20), (20, 20)): "K_0 has a row for each column of the unfolding, and that has 160 times 3.",
    ((163, 20), (20, 20)): "The rows multiply: each pixel's column meets each color.",
}
reveal(prediction, lambda: (khatri_rao(others).shape, (others[0].T @ others[0]).shape), usual)

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

# %% check="cp_als_sweep" points=2
check("cp_als_sweep", cp_als_sweep)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# For one mode: which three things stand in F V = M, and which factors are each made of? What must the next mode see?
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

# %% [markdown]
# Let your sweep work on a tensor that *is* of CP rank 3, from random factors. (The cells up to the end of 2.5 use your
# function; all later ones do without.)

# %%
def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


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
# ### How often does it fail, and what does it look like? { minutes: 15, difficulty: 5 }
#
# From a random start, alternating least squares can end in three ways:
#
# - **found**: the error goes to 0;
# - **stuck**: error and terms stand still, at an error above 0;
# - **runaway**: no end; the terms grow and grow, and the error creeps.
#
# Before you blame a method, count. You get a function `run`; `run(seed, sweeps)` gives the relative error after so many sweeps from
# the start `seed`, and the size of the largest term. Beware: an error can stand still for hundreds of sweeps, in a *swamp*, and then fall to 0; and terms may be large
# without growing. **The check runs your experiment in made-up worlds**, in which the ends are known; then you point it at real tensors.
# Some starts lie close to the borders that the docstring draws: keep to them.

# %% solve="als_endings"
def als_endings(run, seeds):
    """Count how alternating least squares ends from random starts.

    run: a function; run(seed, sweeps) returns (error, size), two floats: the relative error after so many
    sweeps, 1 <= sweeps <= 1000, and the norm of the largest term. It may be called 4 times for each start.
    seeds: int, the starts are 0, 1, ..., seeds - 1.
    Returns (found, stuck, runaway), three ints that sum to seeds: where a start stands after 1000 sweeps. Found: an
    error below 1e-3. Runaway: not found, and the size has grown by more than a tenth since the 500th sweep. Stuck: all others.

    >>> als_endings(lambda seed, sweeps: (0.1, 1.0 + sweeps * seed), 3)
    (0, 1, 2)
    """
    ### BEGIN SOLUTION
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
    ### END SOLUTION

# %% check="als_endings" points=4
check("als_endings", als_endings)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Which one number tells found from the others? Which two tell stuck from runaway?
# </details>
#
# <details><summary>Hint: it finds too few</summary>
# How long do you wait?
# </details>
#
# **Predict before you run.** Three tensors: `w`, to be approximated by two terms; one of rank 3 from random factors; and one of rank 3 whose
# factors have nearly equal columns (a cosine near 0.9 between any two). From 10 random starts each, which end is the most frequent for the three?
# (To count takes some seconds for each tensor.)

# %% predict="endings"
### BEGIN SOLUTION
#~ prediction = (..., ..., ...)  # "found", "stuck" or "runaway" for w, random, nearly equal
prediction = ("runaway", "found", "found")
### END SOLUTION

# %%
torch.manual_seed(2)
alike = [random(size, 1) + 0.33 * random(size, 3) for size in (6, 6, 6)]
targets = {
    "w, two terms": (w, 2),
    "random, rank 3": (torch.einsum("ir,jr,kr->ijk", *[random(6, 3) for _ in range(3)]), 3),
    "nearly equal, rank 3": (torch.einsum("ir,jr,kr->ijk", *alike), 3),
}


def runner(tensor, rank):
    """The function `run` for a tensor; each start is run once, and remembered."""
    known = {}

    def run(seed, sweeps):
        if (seed, sweeps) not in known:
            torch.manual_seed(seed)
            factors = [random(size, rank) for size in tensor.shape]
            for sweep in range(1, 1001):
                factors = cp_als_sweep(tensor, factors)
                if sweep in (100, 500, 1000, sweeps):
                    error = relative_error(tensor, torch.einsum("ir,jr,kr->ijk", *factors))
                    terms = math.prod(factor.norm(dim=0) for factor in factors)
                    known[seed, sweep] = error, terms.max().item()
        return known[seed, sweeps]

    return run


runs = {name: runner(tensor, rank) for name, (tensor, rank) in targets.items()}
ends = {}
print("of 10 starts        found  stuck  runaway")
for name, run in runs.items():
    ends[name] = als_endings(run, 10)
    print(f"{name:20s}" + "".join(f"{count:5d}  " for count in ends[name]))
    low, high = (max(0, min(1, ends[name][0] / 10 + side * 1 / math.sqrt(10))) for side in (-1, 1))
    print(f"{'':20s}found with a chance of {low:.0%} to {high:.0%} (95 %: at most 1 / sqrt(10) to either side)")

usual = {
    ("runaway", "found", "stuck"): "So it looks for a long time; that is the swamp. Patience gets most of them out.",
    ("stuck", "found", "found"): "There is no place to be stuck at: each approximation of w by two terms can be bettered.",
    ("stuck", "found", "stuck"): "There is no place to be stuck at for w, and from a swamp patience gets most of them out.",
}
names = ("found", "stuck", "runaway")
reveal(prediction, lambda: tuple(names[counts.index(max(counts))] for counts in ends.values()), usual)

# %%
for name, run in runs.items():
    early = sum(run(seed, 100)[0] < 1e-3 for seed in range(10))
    print(f"{name:20s} found after 100 sweeps: {early} of 10, after 1000: {ends[name][0]}")

# %% [markdown]
# (A runaway can be so slow that it counts as stuck.) An error that creeps, and factors that grow without end: when you see both in a layer that you train, it need not be your
# learning rate. A lower rank, a penalty on the factors (weight decay), or a Tucker form help: the set of tensors of bounded
# multilinear rank (or TT ranks) is closed, so there a best approximation always exists.

# %% [markdown]
# ## 2.6 Tucker: a core and a factor for each mode
#
# The Tucker form is chapter 1's product along several modes: a small **core** $G$ of shape $(R_0, \dots, R_N)$, and for
# each mode a factor $U_k$ of shape $(I_k, R_k)$:
#
# $$X = G \times_0 U_0 \times_1 U_1 \cdots \times_N U_N$$
#
# Each mode has its own rank; the core says how strongly each combination of columns counts. (CP is the special case of a
# core with ones at $g_{rr \dots r}$ and zeros elsewhere.) With `trlkit` it is one call:
# `multi_mode_dot(core, factors)`.

# %% [markdown]
# ## 2.7 Tucker by the HOSVD { minutes: 9, difficulty: 4 }
#
# How to find core and factors? One mode at a time. Take a matrix $F$ of shape $(I_k, j)$ with orthonormal columns. The norm of
# $X \times_k F^{\mathsf T}$ says how much of $X$ its columns **keep**: at most all of it. What is asked of the factors:
#
# 1. Each $U_k$ has orthonormal columns. Its first column keeps as much as one column can, its first two as much as two can, and
#    so on, of $X$ itself, whatever the other modes do.
# 2. The core $G$ is the one that comes closest to $X$, with these factors.
#
# This is the (truncated) **higher-order SVD**, HOSVD (De Lathauwer, De Moor and Vandewalle 2000; Tucker 1966). Nothing is iterated.
#
# **Derive both rules.** What keeps the most of a *matrix*, and which matrix has the fibers of mode $k$ as its columns? And which
# core is left to choose?
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
# The columns are defined up to their sign, so the check does not compare your numbers with its own: it tests that the
# columns are orthonormal, that the first one, two, three keep as much as one, two, three can, and that no core comes closer.

# %% solve="hosvd"
def hosvd(x, ranks):
    """The truncated higher-order SVD.

    x: Tensor of shape (I_0, ..., I_N); ranks: tuple of N + 1 ints, ranks[k] at most the rank of unfold(x, k).
    Returns (core, factors): a Tensor of shape ranks, and a list of N + 1 Tensors, factors[k] of shape
    (I_k, ranks[k]), orthonormal columns: of all such, for each j, the first j keep the most of x itself along mode k.
    The core: of all, the one for which multi_mode_dot(core, factors) is closest to x.

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

# %% check="hosvd" points=2
check("hosvd", hosvd)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Unfold both sides of X &times;<sub>k</sub> F<sup>T</sup> along mode k: what stands there, and how large is it when F has one column? Which
# decomposition of a matrix answers that?
# </details>
#
# <details><summary>Hint: my factors keep less than they can</summary>
# Does <code>torch.linalg.eigh</code> sort upwards or downwards? And do you unfold x, or only reshape it? And is it always x that
# you unfold, or what the modes before have left of it?
# </details>
#
# <details><summary>Hint: the core is not the closest one</summary>
# With one mode: which G makes U G closest to X, when the columns of U are orthonormal? And with two modes?
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
# Let us see that on the photograph.

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
# ## 2.8 Tensor train: a chain of cores { minutes: 4, difficulty: 2 }
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
usual = {
    360: "That would be ten cores of (3, 4, 3). The two at the ends have a bond of 1 on one side.",
    120: "That would be CP's count. A core has a bond on both sides.",
}
reveal(prediction, lambda: trlkit.ranks.tt_parameters((4,) * 10, (1, *(3,) * 9, 1)), usual)

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

# %% check="tt_to_tensor" points=1
check("tt_to_tensor", tt_to_tensor)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Which mode of what you have meets which mode of the next core? It is an inner product over one mode (exercise 1.6).
# </details>
#
# <details><summary>Hint: my result has two modes too many, or one too few</summary>
# The ranks at the two ends are modes of size 1 and must go, they alone: <code>squeeze()</code> without a number takes every mode
# of size 1, also one that belongs to the tensor.
# </details>

# %% [markdown]
# ## 2.9 TT by successive SVDs { minutes: 8, difficulty: 4 }
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

# %% check="tt_svd" points=2
check("tt_svd", tt_svd)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# With three modes: which matrix has the first mode as rows? What of its SVD is core 0, what goes on, and which rows and columns does that have?
# </details>
#
# <details><summary>Hint: shapes do not fit at the second core</summary>
# From the second step on, the rest has a bond on its left. It belongs to the rows, in front of the mode.
# </details>
#
# <details><summary>Hint: the shapes are right, and the error is too large</summary>
# Where did the singular values go? They belong to the rest, once and whole.
# </details>

# %% [markdown]
# ## 2.10 Ranks for an error that you allow { minutes: 12, difficulty: 4 }
#
# Mostly one does not know the ranks; one knows the error that one can live with. The squared error of the TT-SVD is the sum of what its SVDs cut off, and
# each of these is at most what the same cut would lose on $X$ itself, reshaped to a matrix. So the singular values of these matrices, one for each cut, are all you need.
#
# **Find ranks** that keep a relative error, and store no more than this bound asks for, if every cut gets the same share. Less is welcome.

# %% solve="tt_ranks"
def tt_ranks(x, error):
    """Ranks with which TT-SVD keeps a relative error.

    x: Tensor of shape (I_0, ..., I_N), N >= 1, not 0; error: float, 0 < error <= 1.
    Returns a tuple of N + 2 ints, (1, R_1, ..., R_N, 1), each at least 1, with R_{k+1} <= min(R_k I_k, I_{k+1} ... I_N): ranks
    for which the TT-SVD x' of x has norm(x - x') <= error * norm(x).

    >>> tt_ranks(torch.diag(torch.tensor([3.0, 2.0, 0.1])), 0.1)
    (1, 2, 1)
    """
    ### BEGIN SOLUTION
    share = (error * x.norm()) ** 2 / (x.ndim - 1)  # of the squared error, for each cut
    ranks, ahead = [1], 1
    for k in range(x.ndim - 1):
        ahead *= x.shape[k]
        values = torch.linalg.svdvals(x.reshape(ahead, -1))
        rank = len(values)
        while rank > 1 and values[rank - 1 :].square().sum() <= share:
            rank -= 1
        ranks.append(min(rank, ranks[-1] * x.shape[k]))
    return (*ranks, 1)
    ### END SOLUTION

# %% check="tt_ranks" points=3
check("tt_ranks", tt_ranks)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# With a single cut, a matrix: how many singular values must stay? Then two cuts: what may each lose, if the squares add up?
# </details>
#
# <details><summary>Hint: the error is right and there are too many numbers</summary>
# What is shared out equally, the error or its square?
# </details>

# %% [markdown]
# ## 2.11 The photograph, three ways
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
usual = {
    ("tt", "tucker", "cp"): "TT is for many modes; with three, the last of size 3, its first cut is a plain matrix.",
    ("tucker", "cp", "tt"): "Close: Tucker's core costs 2,700 numbers that CP spends on more terms.",
    ("tucker", "tt", "cp"): "CP has no core to pay for, and its terms need not be orthogonal.",
}
reveal(prediction, lambda: tuple(sorted(same, key=lambda name: error(same[name]))), usual)

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
# - **TT in this order brings nothing.** With the last mode of size 3, its first cut *is* the matrix SVD, and the second cuts nothing
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
    "TT of rows, colors, columns": (photo.permute(0, 2, 1), (1, 30, 30, 1), "tt"),
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
# Read it slowly. With the colors in the *middle*, TT of the whole photograph is as good as Tucker: the order of the modes did it. A plain SVD of
# the matrix of blocks comes near. **How you cut a tensor into modes matters as much as which form you choose.**
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
# ### Turn it: the rank of a photograph
#
# **Predict before you turn.**
# SVD, CP, Tucker and TT get equally many numbers for a small photograph. Which one is best with 6,400 of them, and which two
# give the same picture all the way? Write it down, then turn. The ranks in the titles say why nobody should compare at equal *rank*.

# %%
explore("the rank of a photograph")

# %% [markdown]
# ## 2.12 Open challenge: a better cut { minutes: 10, difficulty: 4 }
#
# CP wins the race, after hundreds of sweeps. Without any iteration, Tucker (30, 30, 3) is the one to beat: **an error below Tucker's, with at most 10,650 numbers**, by a Tucker form, a TT or
# the SVD of a matrix. One reshape, whichever you like, then any order of the modes, any ranks. (So a matrix is the photograph reshaped to two modes; one of
# blocks would need a second reshape, which no plan has.) None of the lines above does it. One point for getting there; the real reward is the figure. (Hidden, your plan meets
# another photograph, too, beside that one's Tucker form.)

# %% solve="compression_plan"
def compression_plan(shape, numbers):
    """How to compress a photograph: what to reshape it to, how to order the modes, and the form.

    shape: (104, 160, 3); numbers: int, the most that may be stored.
    Returns (sizes, order, kind, rank), for photo.reshape(sizes).permute(order) and `decompose`: sizes and
    order are tuples of int, kind is "tucker" or "tt", or "cp" for a matrix (that is the SVD); rank is as in 2.3.

    >>> sizes, order, kind, rank = compression_plan((104, 160, 3), 10_650)
    >>> sorted(order) == list(range(len(sizes)))
    True
    """
    ### BEGIN SOLUTION
    return (13, 8, 20, 8, 3), (0, 2, 1, 3, 4), "tt", (1, 13, 27, 13, 3, 1)
    ### END SOLUTION

# %%
def carried_out(plan):
    sizes, order, kind, rank = plan
    tensor = photo.reshape(sizes).permute(order)
    form = decompose(tensor, rank, kind)
    back = torch.empty_like(photo).reshape(sizes)
    back.permute(order).copy_(form.dense())
    return numbers(form), back.reshape(photo.shape)


plans = {
    "yours": compression_plan((104, 160, 3), 10_650),
    "Tucker": ((104, 160, 3), (0, 1, 2), "tucker", (30, 30, 3)),
    "matrix SVD": ((104, 480), (0, 1), "cp", 18),
}
pictures = {"photo": photo}
for name, plan in plans.items():
    count, picture = carried_out(plan)
    pictures[f"{name}: {count:,}, error {relative_error(photo, picture):.4f}"] = picture
plotting.images(pictures, rows=2)

# %% check="compression_plan" points=1
check("compression_plan", compression_plan)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Which modes have much to do with each other, and on which sides of the cuts are they? Which form has not met the blocks yet?
# </details>

# %% [markdown]
# ## What to take away
#
# | | stores | computed by | promise |
# |---|---|---|---|
# | CP | $R \sum_k I_k$ | ALS, iterated | often unique; a best one may not exist |
# | Tucker | $\prod_k R_k + \sum_k I_k R_k$ | HOSVD: an SVD for each mode | error at most $\sqrt{d}$ times the best |
# | TT | $\sum_k R_k I_k R_{k+1}$ | TT-SVD: an SVD for each cut | error at most $\sqrt{d-1}$ times the best |
#
# What you know now, and who uses `nn.Linear` need not know:
#
# - A form expresses less than it stores; what can be moved between its parts is not free.
# - Alternating least squares fails in two ways that look alike at first: look at the size of the terms, and wait.
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

# %%
progress()
