# %% [markdown]
# # 1. Tensors { minutes: 90, difficulty: 2 }
#
# Everything in this course is made of a handful of operations on tensors: laying a tensor out as a matrix,
# multiplying one of its modes, contracting two tensors. Here you write each of them once, so that later nothing
# is magic.
#
# **After this chapter you can**
#
# - tell order, rank, mode, fiber and slice apart;
# - unfold a tensor along any mode, and fold it back;
# - multiply one mode or several, contract two tensors, and build tensors and matrices from smaller ones with the
#   outer, Kronecker and Khatri-Rao products;
# - write the products as an `einsum`.
#
# **You need** chapter 0, and matrix products. No network is trained here.
#
# **What the checks ask of every answer:** stay in torch, keep the dtype, leave the arguments as they are, and let
# gradients through, since all this will be part of layers that learn. Write your own: where an exercise asks for
# `unfold`, calling `trlkit.unfold` doesn't count; in later chapters you may use it.

# %% lock="imports_01"
import math

import torch

import trlkit
from trlkit.lab import plotting
from trlkit.course import check, reveal

# %% [markdown]
# ## 1.1 Modes, fibers and slices { minutes: 7, difficulty: 1 }
#
# An activation of a convolutional network is a block of numbers with three indices: channel, row, column. That
# makes it a tensor of **order** 3: the order is the number of indices that point at one entry. Each index runs
# along a **mode**; we count modes from 0, as Python does. (Some texts call the order the *rank*. Here rank
# always means something else: how many simple pieces a tensor is a sum of. Chapter 2 is about it.)
#
# Two kinds of pieces have names:
#
# - a **fiber** has every index fixed but one. A mode-$n$ fiber is a vector that runs along mode $n$. The columns
#   of a matrix are its mode-0 fibers, its rows the mode-1 fibers.
# - a **slice** along a mode has only that one index fixed. Slice `x[3]` of an activation is its channel 3.
#
# In the picture, mode 0 goes into the page, mode 1 down, mode 2 to the right; each fiber, and below each slice, has
# a color of its own.

# %%
plotting.fibers_and_slices((3, 4, 5))

# %% [markdown]
# **Predict before you run.** In an activation of shape (512, 7, 7), what is the length of a mode-0 fiber, and
# how many mode-0 fibers are there?

# %% predict="fibers"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # the length, and how many
prediction = (512, 49)
### END SOLUTION

# %%
reveal(prediction, lambda: tuple(trlkit.unfold(torch.zeros(512, 7, 7), 0).shape))

# %% [markdown]
# A mode-0 fiber of an activation is what the network says about *one pixel*, in all channels. Write the function
# that takes one fiber out of a tensor of any order.
#
# `index` holds the fixed indices, one for each of the other modes, in their own order. For a tensor of order 3:
# with `mode=1`, `index=(i, k)` asks for the numbers at `x[i, 0, k]`, `x[i, 1, k]`, `x[i, 2, k]`, ...

# %% solve="fiber"
def fiber(x, mode, index):
    """Take one fiber out of a tensor.

    x: Tensor of shape (I_0, ..., I_N), so its order is N + 1; mode: int, 0 <= mode <= N.
    index: tuple of N ints, the fixed indices of the other modes, in order.
    Returns a Tensor of shape (I_mode,).

    >>> x = torch.arange(6.0).reshape(2, 3)
    >>> fiber(x, 0, (1,))
    tensor([1., 4.])
    """
    ### BEGIN SOLUTION
    return x[(*index[:mode], slice(None), *index[mode:])]
    ### END SOLUTION

# %% check="fiber" points=1
check("fiber", fiber)

# %% [markdown]
# <details><summary>Hint: I know x[1, :, 0], but the place of the colon depends on mode</summary>
# A tuple can be an index: <code>x[(1, slice(None), 0)]</code> is <code>x[1, :, 0]</code>. So build a tuple.
# </details>
#
# <details><summary>Hint: it is right for mode 0 and wrong for the others</summary>
# Which entries of <code>index</code> belong in front of the free index, and which behind it?
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# One tuple of three parts: the entries of <code>index</code> before <code>mode</code>, the free index, the rest.
# </details>

# %% [markdown]
# ## 1.2 Unfold { minutes: 9, difficulty: 2 }
#
# Linear algebra has matrices, and good libraries for them. To use them on a tensor, lay the tensor out as a
# matrix: the **unfolding** along mode $n$, written $X_{[n]}$, has the mode-$n$ fibers as its columns, side by
# side. (`torch.Tensor.unfold` and `nn.Unfold` are something else: sliding windows.)

# %%
plotting.unfoldings((2, 3, 4))

# %% [markdown]
# The fibers need an order. We take the remaining indices in their own order and let **the last one run
# fastest**, as PyTorch lays tensors out in memory (row-major), and as TensorLy does. Follow the colors once: the second
# column of `unfold(x, 1)` starts with `x[0, 0, 1]`, which is 2; the fifth with `x[1, 0, 0]`, which is 13. (Kolda
# and Bader's survey, and MATLAB, let the *first* remaining index run fastest. Mind that when you compare.)
#
# **Predict before you run.** `x` has shape (512, 7, 7). What is the shape of its unfolding along mode 1?

# %% predict="unfolding_shape"
### BEGIN SOLUTION
#~ prediction = (..., ...)
prediction = (7, 3584)
### END SOLUTION

# %%
reveal(prediction, lambda: tuple(trlkit.unfold(torch.zeros(512, 7, 7), 1).shape))

# %% solve="unfold"
def unfold(x, mode):
    """Lay the fibers of one mode side by side as the columns of a matrix.

    x: Tensor of shape (I_0, ..., I_N); mode: int, 0 <= mode <= N.
    Returns a Tensor of shape (I_mode, product of the other sizes), the last remaining index fastest.
    A vector has a single fiber: its unfolding has shape (I_0, 1).

    >>> unfold(torch.arange(8).reshape(2, 2, 2), 1)
    tensor([[0, 1, 4, 5],
            [2, 3, 6, 7]])
    """
    ### BEGIN SOLUTION
    return x.movedim(mode, 0).reshape(x.shape[mode], -1)
    ### END SOLUTION

# %% check="unfold" points=2
check("unfold", unfold)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# If the mode were the first one, which single call would do? So bring it to the front first.
# </details>
#
# <details><summary>Hint: right for a matrix and for mode 1, wrong for mode 2</summary>
# Exchanging two modes (<code>transpose</code>) also moves the one that stood in front. Moving one mode
# (<code>movedim</code>, or <code>permute</code> with the full order) leaves the others as they were.
# </details>
#
# <details><summary>Hint: the right numbers, in the wrong places</summary>
# <code>reshape</code> never moves a number; it only cuts the sequence of numbers into other rows. Whatever must
# move has to move before it.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Move the mode to the front, reshape to two modes: one line.
# </details>

# %% [markdown]
# ## 1.3 Fold { minutes: 8, difficulty: 2 }
#
# Folding is the way back: from the unfolding, its mode and the shape of the tensor, the tensor. You compute with
# matrices in between, so without it you would be stuck in two modes.
#
# Whatever `unfold` does, `fold` undoes *in the reverse order*. The example to have in mind:
# `fold(unfold(x, 1), 1, x.shape)` is `x`.

# %% solve="fold"
def fold(matrix, mode, shape):
    """Undo unfold: the tensor of the given shape whose unfolding along mode is the matrix.

    matrix: Tensor of shape (I_mode, product of the other sizes).
    mode: int.   shape: tuple of int, (I_0, ..., I_N).
    Returns a Tensor of that shape.

    >>> x = torch.arange(24).reshape(2, 3, 4)
    >>> torch.equal(fold(trlkit.unfold(x, 1), 1, (2, 3, 4)), x)
    True
    """
    ### BEGIN SOLUTION
    rest = [size for k, size in enumerate(shape) if k != mode]
    return matrix.reshape(shape[mode], *rest).movedim(0, mode)
    ### END SOLUTION

# %% check="fold" points=2
check("fold", fold)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Just before the reshape in <code>unfold</code>, which shape did the tensor have? That is where to go back to
# first.
# </details>
#
# <details><summary>Hint: right for mode 0 only</summary>
# In the unfolding the mode stands in front. For mode 0 that is where it belongs. And for the others?
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# The sizes of the other modes; reshape to the mode's size followed by them; move the front mode to its place.
# </details>

# %% [markdown]
# ## 1.4 Multiply along one mode { minutes: 10, difficulty: 2 }
#
# A network hands you 512 channels on a 7 x 7 grid, and you want 16 mixtures of the channels at every pixel.
# Height and width should not change. That is a **mode-$n$ product**: a matrix that acts on the fibers of
# one mode and on no other.

# %%
plotting.mode_product((2, 3, 4), rows=5, mode=1)

# %% [markdown]
# For $X$ of shape $(I_0, \dots, I_N)$ and a matrix $M$ of shape $(J, I_n)$,
#
# $$(X \times_n M)_{i_0 \dots j \dots i_N} = \sum_{i_n} M_{j\, i_n}\, X_{i_0 \dots i_n \dots i_N}
# \qquad\text{which is}\qquad Y_{[n]} = M\, X_{[n]}$$
#
# on the unfoldings. (A convolution with 1 x 1 kernels and no bias is exactly this, along the channels.)
#
# **Predict before you run.** `x` is (512, 7, 7) and the matrix is (16, 512). What is the shape of
# `mode_dot(x, matrix, 0)`?

# %% predict="mode_dot_shape"
### BEGIN SOLUTION
#~ prediction = (..., ..., ...)
prediction = (16, 7, 7)
### END SOLUTION

# %%
reveal(prediction, lambda: trlkit.mode_dot(torch.zeros(512, 7, 7), torch.zeros(16, 512), 0).shape)

# %% solve="mode_dot"
def mode_dot(x, matrix, mode):
    """Multiply every fiber of one mode by a matrix.

    x: Tensor of shape (I_0, ..., I_N); matrix: Tensor of shape (J, I_mode); mode: int, 0 <= mode <= N.
    Returns a Tensor of x's shape with I_mode replaced by J.

    >>> mode_dot(torch.ones(2, 3), torch.ones(4, 3), mode=1).shape
    torch.Size([2, 4])
    """
    ### BEGIN SOLUTION
    shape = list(x.shape)
    shape[mode] = matrix.shape[0]
    return fold(matrix @ unfold(x, mode), mode, shape)
    ### END SOLUTION

# %% check="mode_dot" points=2
check("mode_dot", mode_dot)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# The formula on the unfoldings is one matrix product. You have <code>unfold</code> for the way in and
# <code>fold</code> for the way out. (Should one of them not be right yet: the check puts a right one in its
# place, so go on.)
# </details>
#
# <details><summary>Hint: the right numbers, in the wrong places</summary>
# Look at the mode and at the shape that you give to <code>fold</code>: one entry of the shape is no longer x's.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# The new shape; unfold, multiply from the left, fold: three lines. <code>torch.tensordot</code> or
# <code>torch.einsum</code> do it too.
# </details>

# %% [markdown]
# ## 1.5 Multiply several modes { minutes: 5, difficulty: 2 }
#
# From 512 x 7 x 7 to 16 x 7 x 3: mix the channels with one matrix and the columns with another. Products along
# *different* modes do not disturb each other, so their order changes the cost and not the result:
#
# $$X \times_0 A \times_2 B = X \times_2 B \times_0 A$$
#
# A Tucker decomposition (chapter 2) is nothing else: a small core, multiplied along every mode.

# %% solve="multi_mode_dot"
def multi_mode_dot(x, matrices, modes):
    """Multiply several modes, each by its own matrix.

    x: Tensor of shape (I_0, ..., I_N).
    matrices: list of Tensors, matrices[k] of shape (J_k, I_modes[k]).
    modes: tuple of int, all different: matrices[k] multiplies mode modes[k].
    Returns a Tensor of x's shape with I_modes[k] replaced by J_k.

    >>> multi_mode_dot(torch.ones(2, 3, 4), [torch.ones(5, 2), torch.ones(6, 4)], (0, 2)).shape
    torch.Size([5, 3, 6])
    """
    ### BEGIN SOLUTION
    for matrix, mode in zip(matrices, modes):
        x = mode_dot(x, matrix, mode)
    return x
    ### END SOLUTION

# %% check="multi_mode_dot" points=2
check("multi_mode_dot", multi_mode_dot)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# One product after the other: what comes out of the first goes into the second. <code>zip</code> gives each
# matrix with its mode.
# </details>
#
# <details><summary>Hint: only the last product seems to have happened</summary>
# What do you multiply the second time: x, or what came out of the first time?
# </details>

# %% [markdown]
# ## 1.6 Contract two tensors { minutes: 9, difficulty: 2 }
#
# Here is where regression begins. A linear layer gives each class one number: the activation times a weight of
# the same shape, entry by entry, summed. Written for tensors, with a batch $X$ of shape
# $(B, I_0, \dots, I_N)$ and a weight $W$ of shape $(I_0, \dots, I_N, C)$:
#
# $$Y_{b\,c} = \sum_{i_0 \dots i_N} X_{b\, i_0 \dots i_N}\, W_{i_0 \dots i_N\, c}$$
#
# Nothing was flattened. (`nn.Linear` keeps its weight as (out, in); here the classes come last.) The **inner product** in general contracts the last `n_modes` modes of one tensor
# with the first `n_modes` of the other, pair by pair in their order; what is left of the first comes before what is left of the second.
# With all modes contracted, a single number is left: a tensor of shape `()`.
#
# **Predict before you run.** `x` is (128, 512, 7, 7), a batch of 128 activations; `w` is (512, 7, 7, 10).
# What is the shape of `inner(x, w, 3)`?

# %% predict="inner_shape"
### BEGIN SOLUTION
#~ prediction = (..., ...)
prediction = (128, 10)
### END SOLUTION

# %%
reveal(prediction, lambda: trlkit.inner(torch.zeros(128, 512, 7, 7), torch.zeros(512, 7, 7, 10), 3).shape)

# %% solve="inner"
def inner(x, y, n_modes):
    """Contract the last n_modes modes of x with the first n_modes modes of y.

    x: Tensor of shape (*left, I_0, ..., I_N); y: Tensor of shape (I_0, ..., I_N, *right),
    with n_modes = N + 1 modes in common.
    Returns a Tensor of shape (*left, *right); with nothing left, of shape ().

    >>> inner(torch.ones(2, 3), torch.ones(2, 3), 2)
    tensor(6.)
    >>> inner(torch.ones(8, 2, 3), torch.ones(2, 3, 10), 2).shape
    torch.Size([8, 10])
    """
    ### BEGIN SOLUTION
    left, right = x.shape[: x.ndim - n_modes], y.shape[n_modes:]
    size = math.prod(y.shape[:n_modes])
    return (x.reshape(-1, size) @ y.reshape(size, -1)).reshape((*left, *right))
    ### END SOLUTION

# %% check="inner" points=2
check("inner", inner)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Reshape both to matrices so that the contracted modes become <i>one</i> index of each; then it is a matrix
# product. Which sizes are left of x, and which of y?
# </details>
#
# <details><summary>Hint: it fails when every mode is contracted</summary>
# Then the result has no mode at all: reshape to <code>()</code>, not to <code>(1, 1)</code>.
# </details>
#
# <details><summary>Hint: the shape is right and the numbers are not</summary>
# The modes keep their order on both sides: the first of the contracted modes of x meets the first mode of y.
# </details>
#
# <details><summary>Hint: in one line</summary>
# Read what <code>torch.tensordot</code> does with an int for <code>dims</code>.
# </details>

# %% [markdown]
# ## 1.7 Outer products { minutes: 5, difficulty: 1 }
#
# The other direction: from vectors to a tensor. The **outer product** of a vector for each mode multiplies one
# entry of each:
#
# $$X_{i_0 i_1 \dots i_N} = a_{i_0}\, b_{i_1} \cdots z_{i_N}$$
#
# Such a tensor of $I_0 \cdots I_N$ entries is determined by only $I_0 + \dots + I_N$ numbers: it has **rank 1**. A CP
# tensor regression layer of rank $R$ has a weight that is the sum of $R$ of them.

# %% solve="outer"
def outer(vectors):
    """The outer product of vectors: a tensor of rank 1.

    vectors: list of at least one Tensor, vectors[k] of shape (I_k,); one vector alone stays as it is.
    Returns a Tensor of shape (I_0, ..., I_N), in the order of the vectors.

    >>> outer([torch.tensor([1, 2]), torch.tensor([1, 10, 100])])
    tensor([[  1,  10, 100],
            [  2,  20, 200]])
    """
    ### BEGIN SOLUTION
    x = vectors[0]
    for vector in vectors[1:]:
        x = x.unsqueeze(-1) * vector
    return x
    ### END SOLUTION

# %% check="outer" points=1
check("outer", outer)

# %% [markdown]
# <details><summary>Hint: two vectors I can do, but any number of them?</summary>
# Begin with the first and give what you have one more mode at the end for each further vector: broadcasting
# does the rest.
# </details>
#
# <details><summary>Hint: the modes come out in the wrong order</summary>
# <code>x.unsqueeze(-1) * v</code> and <code>x * v.reshape(-1, 1, 1)</code> put the new mode in different places.
# </details>

# %% [markdown]
# ## 1.8 Kronecker and Khatri-Rao { minutes: 10, difficulty: 3 }
#
# Two products of matrices let us write unfoldings as plain matrix algebra.
#
# The **Kronecker product** $A \otimes B$ puts a copy of $B$ in the place of every entry of $A$, multiplied by that
# entry. PyTorch has it, `torch.kron`:

# %%
A, B = torch.tensor([[1, 10], [100, 1000]]), torch.tensor([[1, 2], [3, 4]])
torch.kron(A, B)

# %% [markdown]
# From matrices (I, J) and (K, L) comes one of shape (IK, JL), with a row for each pair (i, k) and a column for each
# pair (j, l), the last index fastest.
#
# The **Khatri-Rao product** takes matrices with *the same number $R$ of columns* and pairs only column with
# column: column $r$ of the result is the Kronecker product of the columns $r$. The number of rows multiplies, with the
# rows of the last matrix fastest; the columns stay:

# %%
plotting.khatri_rao_columns((2, 3), rank=4)

# %% [markdown]
# **Predict before you run.** Two factors have the shape (7, 100) each. What is the shape of their Khatri-Rao product,
# and of their Kronecker product?

# %% predict="khatri_rao_shape"
### BEGIN SOLUTION
#~ prediction = ((..., ...), (..., ...))  # Khatri-Rao, Kronecker
prediction = ((49, 100), (49, 10000))
### END SOLUTION

# %%
factor = torch.zeros(7, 100)
reveal(prediction, lambda: (trlkit.khatri_rao([factor, factor]).shape, torch.kron(factor, factor).shape))

# %% solve="khatri_rao"
def khatri_rao(matrices):
    """The Khatri-Rao product: the Kronecker product taken column by column.

    matrices: list of at least one Tensor, matrices[k] of shape (I_k, R); one alone stays as it is.
    Returns a Tensor of shape (product of all I_k, R), the rows of the last matrix fastest.

    >>> khatri_rao([torch.tensor([[1, 2], [10, 20]]), torch.tensor([[1, 1], [3, 5]])])
    tensor([[  1,   2],
            [  3,  10],
            [ 10,  20],
            [ 30, 100]])
    """
    ### BEGIN SOLUTION
    x = matrices[0]
    for matrix in matrices[1:]:
        x = (x.unsqueeze(1) * matrix.unsqueeze(0)).reshape(-1, x.shape[1])
    return x
    ### END SOLUTION

# %% check="khatri_rao" points=2
check("khatri_rao", khatri_rao)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# For two matrices: first make a tensor (I, J, R) whose entry (i, j, r) is A[i, r] * B[j, r]. Then join its first
# two modes.
# </details>
#
# <details><summary>Hint: my result has R * R columns</summary>
# That is the Kronecker product: it also multiplies column 0 with column 1. The index r must be shared.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Begin with the first matrix; for each further one: broadcast to three modes, multiply, reshape to two.
# </details>

# %% [markdown]
# ## 1.9 The unfolding of a product { minutes: 13, difficulty: 4 }
#
# Now the identity behind every tensor layer. Take a small **core** $G$ and a **factor** $U_k$ of shape
# $(I_k, R_k)$ for each mode, and multiply them all: $X = G \times_0 U_0 \times_1 U_1 \cdots \times_N U_N$. What
# is its unfolding? One could build $X$ and unfold it. But it is also
#
# $$X_{[n]} = U_n\; G_{[n]}\; \big(U_0 \otimes \dots \otimes U_{n-1} \otimes U_{n+1} \otimes \dots \otimes
# U_N\big)^{\mathsf T}$$
#
# with the Kronecker product of all factors *but the mode's own*, in their order. For a matrix it is the familiar
# $U_0\, G\, U_1^{\mathsf T}$. (Kolda and Bader have the factors in the reverse order, since in their unfolding the
# first index runs fastest.) It says that a big unfolded tensor is a product of three matrices, and a product can be
# computed in several orders. From chapter 4 on you will choose the order in which the big one never appears.
#
# Write the right side. `torch.kron(A, B)` is the Kronecker product of two matrices.

# %% solve="unfolded_tucker"
def unfolded_tucker(core, factors, mode):
    """The unfolding of core x_0 factors[0] x_1 factors[1] ..., by Kronecker products.

    core: Tensor of shape (R_0, ..., R_N), N >= 1.
    factors: list of N + 1 Tensors, factors[k] of shape (I_k, R_k).
    mode: int, 0 <= mode <= N.
    Returns a Tensor of shape (I_mode, product of the other I_k).

    >>> core, factors = torch.ones(1, 1, 1), [torch.ones(2, 1), torch.ones(3, 1), torch.ones(4, 1)]
    >>> unfolded_tucker(core, factors, 1).shape
    torch.Size([3, 8])
    """
    ### BEGIN SOLUTION
    others = [factor for k, factor in enumerate(factors) if k != mode]
    product = others[0]
    for factor in others[1:]:
        product = torch.kron(product, factor)
    return factors[mode] @ unfold(core, mode) @ product.T
    ### END SOLUTION

# %% check="unfolded_tucker" points=3
check("unfolded_tucker", unfolded_tucker)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Write down the shapes of the three matrices for a core (2, 3, 2), factors (4, 2), (5, 3), (3, 2) and mode 1. They
# must fit.
# </details>
#
# <details><summary>Hint: the right numbers, in the wrong places</summary>
# The order of the factors in the Kronecker product must be that of the columns of your unfolding: last one
# fastest.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# The factors but one; their Kronecker product in a loop; a product of three matrices, the last one transposed.
# </details>
#
# Here are both sides for a tensor the size of a small activation, and how few numbers it is made of. (The Kronecker
# product itself is large; chapter 4 uses the identity without ever building it.)

# %%
core, factors = torch.randn(3, 2, 2), [torch.randn(64, 3), torch.randn(7, 2), torch.randn(7, 2)]
whole = trlkit.multi_mode_dot(core, factors)
print("the whole tensor has       ", whole.numel(), "numbers")
print("core and factors have      ", core.numel() + sum(f.numel() for f in factors))
entry = trlkit.unfold(whole, 0)[10, 20]
formula = factors[0][10] @ trlkit.unfold(core, 0) @ torch.kron(factors[1], factors[2])[20]
print(f"one entry of its unfolding: {entry:.4f}, and by the formula: {formula:.4f}")

# %% [markdown]
# ## 1.10 Einsum, one notation for all products { minutes: 8, difficulty: 3 }
#
# One notation covers all products of this chapter: give every mode a letter, and sum over the letters that do not come
# back on the right of the arrow. (Reshaping, as in `unfold`, is beyond it.) You can try each line of the table:

# %%
A, B = torch.randn(2, 3), torch.randn(3, 4)
torch.allclose(torch.einsum("ij,jk->ik", A, B), A @ B)

# %% [markdown]
# | product | `torch.einsum` |
# |---|---|
# | matrix product | `"ij,jk->ik"` |
# | inner, all modes of two matrices | `"ij,ij->"` |
# | outer | `"i,j,k->ijk"` |
# | Khatri-Rao, before the rows are joined | `"ir,jr->ijr"` |
# | a linear layer on an activation | `"bchw,chwn->bn"` |
#
# Write the one for `mode_dot`, for a tensor of any order up to 10. The first operand is the tensor, the second the
# matrix (J, I_mode). Which letters you take is up to you: the check runs your equation.

# %% solve="mode_dot_equation"
def mode_dot_equation(order, mode):
    """The einsum equation of mode_dot.

    order: int, the order of the tensor, 1 to 10; mode: int, 0 <= mode < order.
    Returns a str, for torch.einsum(equation, x, matrix).

    For example, a right answer to mode_dot_equation(2, 1) is "ab,cb->ac".
    """
    ### BEGIN SOLUTION
    letters = "abcdefghij"[:order]
    return f"{letters},z{letters[mode]}->{letters.replace(letters[mode], 'z')}"
    ### END SOLUTION

# %% check="mode_dot_equation" points=2
check("mode_dot_equation", mode_dot_equation)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Write the equations for order 3 by hand, once for each mode. What changes?
# </details>
#
# <details><summary>Hint: the new mode is in the wrong place</summary>
# On the right of the arrow the new letter stands exactly where the contracted one stood on the left.
# </details>

# %% [markdown]
# ## 1.11 Quiz: order and rank { minutes: 1, difficulty: 1 }
#
# **`x = outer([a, b, c])` with vectors of the lengths 2, 3 and 4. What is the *order* of `x`?**
#
# - **a** 4
# - **b** 1
# - **c** 3
# - **d** 24

# %% solve="quiz_order"
### BEGIN SOLUTION
#~ quiz_order = ...  # "a", "b", "c" or "d"
quiz_order = "c"
### END SOLUTION

# %% check="quiz_order" points=1
check("quiz_order", quiz_order)
### HASHED AUTOTEST quiz_order

# %% [markdown]
# ## 1.12 Quiz: unfoldings { minutes: 1, difficulty: 1 }
#
# **A batch of activations has shape (32, 512, 7, 7). What is the shape of its unfolding along mode 1?**
#
# - **a** (32, 25088)
# - **b** (512, 1568)
# - **c** (512, 46)
# - **d** (1568, 512)

# %% solve="quiz_unfolding"
### BEGIN SOLUTION
#~ quiz_unfolding = ...  # "a", "b", "c" or "d"
quiz_unfolding = "b"
### END SOLUTION

# %% check="quiz_unfolding" points=1
check("quiz_unfolding", quiz_unfolding)
### HASHED AUTOTEST quiz_unfolding

# %% [markdown]
# ## 1.13 Quiz: the same mode twice { minutes: 2, difficulty: 2 }
#
# Along *different* modes the order does not matter. And along the same one?
#
# **`mode_dot(mode_dot(x, a, 0), b, 0)` is the same as ...**
#
# - **a** `mode_dot(x, b @ a, 0)`
# - **b** `mode_dot(x, a @ b, 0)`
# - **c** `mode_dot(mode_dot(x, b, 0), a, 0)`
# - **d** `mode_dot(x, a + b, 0)`

# %% solve="quiz_commute"
### BEGIN SOLUTION
#~ quiz_commute = ...  # "a", "b", "c" or "d"
quiz_commute = "a"
### END SOLUTION

# %% check="quiz_commute" points=1
check("quiz_commute", quiz_commute)
### HASHED AUTOTEST quiz_commute

# %% [markdown]
# ## What to take away
#
# - The **order** counts the modes. The **rank** counts simple pieces. They have nothing to do with each other.
# - Every product along a mode is a matrix product on the unfolding: unfold, multiply, fold.
# - A linear layer on an activation is an **inner product** that contracts all modes but the batch; flattening is
#   only one way to compute it.
# - The unfolding of a product of small pieces is a product of small matrices. That is where the savings come
#   from.
#
# All functions of this chapter are in `trlkit`, with good error messages and a few more options:
# `trlkit.unfold`, `fold`, `mode_dot`, `multi_mode_dot`, `inner`, `outer`, `kronecker`, `khatri_rao`. The next
# chapters start from those, so you can go on even if a check above is still failing.
#
# ## To go further
#
# - Kolda, Bader: *Tensor Decompositions and Applications*, SIAM Review 51 (2009), section 2. The standard
#   introduction; mind its column-major unfoldings.
# - Kossaifi, Panagakis, Anandkumar, Pantic: *TensorLy: Tensor Learning in Python*, JMLR 20 (2019).
# - Rogozhnikov: *Einops: Clear and Reliable Tensor Manipulations with Einstein-like Notation*, ICLR 2022.
#
# **Next:** chapter 2, *Decompositions*: which small pieces a given tensor is made of.
