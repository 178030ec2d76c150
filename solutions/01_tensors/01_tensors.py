# %% [markdown]
# # 1. Tensors { minutes: 120, difficulty: 3 }
#
# **The question of this chapter.** A 1 x 1 convolution, a linear layer on a flattened block and the heads of this course
# look like three different things. *How many operations are they?* And what does an operation cost when it is written
# in another way?
#
# Below are three pictures made from one photograph by one and the same operation, each time with another small matrix
# along another side. You will have written it in half an hour.

# %% lock="imports_01"
import functools
import math
import time

import torch
from torch import nn

import trlkit
from trlkit.lab.statistics import interval
from trlkit.lab import data, plotting
from trlkit.course import check, explore, progress, reveal

# %%
photo = data.photographs()["flower"]  # rows, columns, colors: (427, 640, 3)
gray = torch.tensor([[0.3, 0.6, 0.1]])
coarse = torch.kron(torch.eye(40), torch.full((1, 16), 1 / 16))
blur = torch.ones(427, 427).tril(15).triu(-15)
blur = blur / blur.sum(1, keepdim=True)
plotting.images({
    "the photograph": photo,
    "one product": trlkit.mode_dot(photo, gray, 2)[..., 0],
    "another": trlkit.mode_dot(photo, blur, 0),
    "and a third": trlkit.mode_dot(photo, coarse, 1).repeat_interleave(16, 1),
}, rows=2)

# %% [markdown]
# **After this chapter you can**
#
# - tell order, rank, mode, fiber and slice apart;
# - unfold a tensor, multiply its modes, contract two tensors, and test whether somebody else's code does;
# - time two ways fairly;
# - use a matrix that is too large to exist, and multiply with fewer products than school taught.
#
# **You need** chapter 0, and matrix products. No network is trained here.
#
# **What the checks ask of every answer:** stay in torch, keep the dtype, leave the arguments as they are, take tensors
# that are not contiguous in memory (those of real networks often are not), and let gradients through, since all this will
# be part of layers that learn. Write your own: where an exercise asks for `unfold`, calling `trlkit.unfold` doesn't
# count; in later chapters you may use it.

# %% [markdown]
# ## 1.1 Modes, fibers and slices { minutes: 5, difficulty: 1 }
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
# <details><summary>I said (49, 512), or (7, 512)</summary>
# The mode of a fiber is the one that <i>runs</i>, not one that is fixed; and there is a fiber for every pair of a row and
# a column.
# </details>
#
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

# %% [markdown]
# ## 1.2 Unfold { minutes: 7, difficulty: 2 }
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

# %% [markdown]
# <details><summary>I said (7, 519), or (3584, 7)</summary>
# There is a column for each <i>combination</i> of a channel and a column of the image, so the sizes multiply; and the
# fibers, which have 7 entries here, stand upright.
# </details>

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

# %% check="unfold" points=1
check("unfold", unfold)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# If the mode were the first one, which single call would do? And if it is not?
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

# %% [markdown]
# ### Would your test have caught it? { minutes: 12, difficulty: 4 }
#
# A colleague hands you an `unfold`. Does it work? Write the test that you would trust. Some candidates are right, each in
# another way; most are wrong. Among the wrong ones: one exchanges two modes instead of moving one; one knows no
# more than three modes; one mixes up modes of one size; one returns float32 whatever it is given; one cuts the
# gradient; one writes into `x`; one can take contiguous tensors only. **There are others that you are not told.** Your test
# gets each of them, and has to be right about all.

# %% solve="is_unfold"
def is_unfold(candidate):
    """Whether a function does what unfold is to do, for any tensor.

    candidate: function; candidate(x, mode) is to return what unfold(x, mode) returns, for x of any order from 1 to 6,
      any sizes from 1 on, any floating dtype and any strides, without changing x, and with gradients.
      A wrong one may return something else, or raise an error.
    Returns a bool. It may call your own unfold, and takes at most 2000 calls of the candidate.
    """
    ### BEGIN SOLUTION
    every = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
    for shape in [(4,), (2, 3), (3, 1, 3), (2, 3, 4, 5), (2, 3, 2, 2, 3, 2)]:
        for mode in range(len(shape)):
            for dtype in every if len(shape) == 2 else every[:1]:  # a dtype that fails, fails for matrices
                turned = torch.randn(shape[::-1], dtype=dtype).permute(*reversed(range(len(shape))))
                for x in (torch.randn(shape, dtype=dtype), turned):
                    x.requires_grad_()
                    before = x.detach().clone()
                    try:
                        y = candidate(x, mode)
                    except Exception:
                        return False
                    right = unfold(before, mode)
                    if y.shape != right.shape or y.dtype != dtype or not torch.equal(y, right):
                        return False
                    if not torch.equal(x, before) or not y.requires_grad:
                        return False
                    y.backward(right)  # each entry of x gets what stands at its place: itself
                    if not torch.equal(x.grad, before):
                        return False
    return True
    ### END SOLUTION

# %% check="is_unfold" points=3
check("is_unfold", is_unfold)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# A right one agrees with yours. On which tensors would a wrong one agree as well, by luck? Those are not worth a call.
# </details>
#
# <details><summary>Hint: wrong ones get through, and the numbers agree</summary>
# What else was promised besides the numbers? Look at <code>x</code> after the call, and at what the result knows of
# where it came from.
# </details>
#
# <details><summary>Hint: one gets through that I cannot imagine</summary>
# Have you called it twice? And with numbers of both signs?
# </details>

# %% [markdown]
# ### Turn it: an unfolding, fiber by fiber
#
# **Predict before you turn.**
# `x` has shape (3, 2, 4) and holds 1 to 24 in order. Which two numbers stand in column 5 of its unfolding along mode 1 (the
# first column is 0)? Write them down, then turn *mode* to 1 and *fibers* to 6.

# %%
explore("an unfolding, fiber by fiber")

# %% [markdown]
# ## 1.3 Fold { minutes: 6, difficulty: 2 }
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

# %% check="fold" points=1
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

# %% [markdown]
# ## 1.4 Multiply along one mode { minutes: 7, difficulty: 2 }
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
# on the unfoldings.
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

# %% check="mode_dot" points=1
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

# %% [markdown]
# **Predict before you run.** A convolution with 1 x 1 kernels and no bias takes a batch of activations. Its weight has
# the shape (16, 512, 1, 1). Along which mode of the batch, of shape (8, 512, 7, 7), is it a mode product?

# %% predict="one_by_one"
### BEGIN SOLUTION
#~ prediction = ...  # a mode
prediction = 1
### END SOLUTION

# %%
convolution = nn.Conv2d(512, 16, kernel_size=1, bias=False)
x = torch.randn(8, 512, 7, 7).to(memory_format=torch.channels_last)  # as fast networks keep them
mode = x.shape.index(convolution.in_channels)
mine = mode_dot(x, convolution.weight[:, :, 0, 0], mode)
reveal(prediction, mode)
print("the same as the convolution:", torch.allclose(mine, convolution(x), atol=1e-4))

# %% [markdown]
# <details><summary>I said 0, or 2 and 3</summary>
# Mode 0 is the batch: no layer mixes its images. And 1 x 1 says just that no place is mixed with another, so nothing
# happens along rows and columns.
# </details>
#
# The first of the three layers is a mode product, and your function computes it.

# %% [markdown]
# ## 1.5 Multiply several modes { minutes: 4, difficulty: 2 }
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
    matrices: list of at least one Tensor, matrices[k] of shape (J_k, I_modes[k]).
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

# %% check="multi_mode_dot" points=1
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
# ### Which order is faster? An experiment { minutes: 12, difficulty: 4 }
#
# The result does not depend on the order; the cost does. Take an activation of 512 x 14 x 14, the channels to 16 and the
# columns to 3.
#
# **Predict before you run.** Counted in multiplications, channels first takes how many times as many as columns
# first, or how many times fewer? Write (channels first) / (columns first). And which of the two will the *clock* like better?

# %% predict="order_cost"
### BEGIN SOLUTION
#~ ratio = ...  # multiplications, channels first / columns first
#~ clock = ...  # "channels" or "columns"
ratio = 2.5
clock = "channels"
### END SOLUTION

# %%
channels_first = 16 * 512 * 14 * 14 + 3 * 14 * 16 * 14
columns_first = 3 * 14 * 512 * 14 + 16 * 512 * 14 * 3
reveal(ratio, round(channels_first / columns_first, 2))

# %% [markdown]
# <details><summary>I said 1, since the results are equal</summary>
# What one product leaves over, the next one has to work on: 16 of 512 channels are left in one case, and 3 of 14 columns
# in the other. What counts beside that is how large the first product is itself, and it meets the whole block.
# </details>
#
# Now the clock. A machine is a bad witness: its **first** calls are slow, every now and then **another program** takes it
# away for a while, and while you measure it may get **slower and slower**, since it gets warm. Write an experiment that is
# fooled by none of these. How you arrange the calls is up to you.

# %% solve="faster"
def faster(first, second, interval):
    """How many times as long the second way takes as the first, and what may be concluded.

    first, second: functions without arguments; each call does the work once and returns its seconds.
    interval: function; interval(numbers) takes a list of floats and returns (mean, half), two floats:
      the true mean is between mean - half and mean + half, 95 % sure, if the numbers are alike.
    Returns (low, high, conclusion): the ratio (seconds of the second) / (seconds of the first) is between
      low and high, two floats, high at most 1.3 times low; conclusion, a str, follows from these two:
      "first" if low > 1 (the first is faster), "second" if high < 1, else "can't tell".
    At most 1000 calls of both together.
    """
    ### BEGIN SOLUTION
    def best(way):
        return min(way() for _ in range(5))

    ratios = []
    for turn in range(16):
        if turn % 2:
            late, early = best(second), best(first)
        else:
            early, late = best(first), best(second)
        ratios.append(late / early)
    mean, half = interval(ratios[1:])
    low, high = mean - half, mean + half
    return low, high, "first" if low > 1 else "second" if high < 1 else "can't tell"
    ### END SOLUTION

# %% [markdown]
# The check lends you machines of which it knows the truth, and up to sixty of one kind, to count how often your interval holds it.

# %% check="faster" points=2
check("faster", faster)

# %% [markdown]
# <details><summary>Hint: two equal ways come out as unequal</summary>
# When were the calls of the one made, and when those of the other? What if the machine slowed down between?
# </details>
#
# <details><summary>Hint: my interval is far too wide</summary>
# One call of twenty took ten times as long. What of several calls is not moved by that?
# </details>
#
# <details><summary>Hint: what do I give to <code>interval</code>?</summary>
# Numbers that are each a fair ratio: what would be a pair here?
# </details>

# %%
x = torch.randn(512, 14, 14)
mix, columns = torch.randn(16, 512), torch.randn(3, 14)


def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


low, high, conclusion = faster(
    lambda: timed(lambda: mode_dot(mode_dot(x, mix, 0), columns, 2)),
    lambda: timed(lambda: mode_dot(mode_dot(x, columns, 2), mix, 0)),
    interval,
)
print(f"columns first takes {low:.3f} to {high:.3f} times as long as channels first: {conclusion}")
print(f"its multiplications alone would make that {columns_first / channels_first:.2f}")
reveal(clock, {"first": "channels", "second": "columns"}.get(conclusion, conclusion))
for rows, matrix, mode in ((16, mix, 0), (3, columns, 2)):
    seconds = min(timed(functools.partial(mode_dot, x, matrix, mode)) for _ in range(50))
    print(f"{rows} rows times x: {rows * x.numel() / seconds / 1e9:.1f} billion multiplications a second")

# %% [markdown]
# <details><summary>I said that the clock follows the multiplications</summary>
# The multiplications are done inside a matrix product, and how many of them it does in a second depends on its sizes and on
# how the numbers lie in memory. Look at the last two lines: the product with 3 rows does far fewer of them in a second
# than the one with 16, which uses each number that it fetches 16 times. And where an unfolding has to move numbers, that
# costs time and no multiplication. Counting is where a decision starts; the clock ends it (chapter 4). Did yours say
# otherwise, or nothing? Another machine, or a busy one: look at the width of your interval.
# </details>

# %% [markdown]
# ## 1.6 Contract two tensors { minutes: 8, difficulty: 2 }
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

# %% [markdown]
# <details><summary>I said (128, 7, 7, 10)</summary>
# That is what contracting the channels alone would leave. Three modes of each are summed over, and none of them comes
# back.
# </details>

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

# %% check="inner" points=1
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
# <details><summary>Hint: it raises "view size is not compatible"</summary>
# What does <code>view</code> need that a batch from a network may not have? Which other call does the same?
# </details>
#
# That is the second of the three layers:

# %%
linear = nn.Linear(512 * 7 * 7, 10, bias=False)
x = torch.randn(8, 512, 7, 7)
weight = linear.weight.T.reshape(512, 7, 7, 10)
print("the same as nn.Linear after a flatten:", torch.allclose(inner(x, weight, 3), linear(x.flatten(1)), atol=1e-4))
both = inner(convolution.weight[:, :, 0, 0], x[0], 1), mode_dot(x[0], convolution.weight[:, :, 0, 0], 0)
print("and a mode product is an inner product:", torch.allclose(*both, atol=1e-4))

# %% [markdown]
# ## 1.7 Outer products { minutes: 4, difficulty: 1 }
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
# ### Three products instead of four { minutes: 10, difficulty: 5 }
#
# What are rank-1 tensors good for? Here is something that school taught you to do with four multiplications:
#
# $$(x_0 + x_1 i)(y_0 + y_1 i) = (x_0 y_0 - x_1 y_1) + (x_0 y_1 + x_1 y_0)\, i$$
#
# Write it as a tensor: $z_k = \sum_{ij} T_{ijk}\, x_i\, y_j$. The table $T$ has 2 x 2 x 2 entries, each 1, -1 or 0. If $T$
# is a sum of $R$ outer products of vectors $a_r$, $b_r$ and $c_r$, then
#
# $$z_k = \sum_{r=1}^{R} c_{rk}\; \big(a_r \cdot x\big)\big(b_r \cdot y\big),$$
#
# and that takes $R$ multiplications of something of $x$ with something of $y$; what is left are a few fixed
# coefficients, such as 1 and -1. The usual way is $R = 4$, one outer product for each entry of $T$ that is not 0.
#
# **Three are enough.** Which? (Two are not: so the *rank* of this tensor is 3.)

# %% solve="complex_product"
def complex_product():
    """The product of two complex numbers by three real multiplications.

    Returns a list of at most three triples (a, b, c) of vectors, each a list of two numbers: with
      p = (a[0] * x0 + a[1] * x1) * (b[0] * y0 + b[1] * y1) for each triple, the real part of the product
      is the sum of all c[0] * p, and the imaginary part the sum of all c[1] * p.

    For example, ([1, 0], [1, 0], [1, 0]) stands for x0 * y0, which goes into the real part.
    """
    ### BEGIN SOLUTION
    return [
        ([1, 0], [1, 0], [1, -1]),
        ([0, 1], [0, 1], [-1, -1]),
        ([1, 1], [1, 1], [0, 1]),
    ]
    ### END SOLUTION

# %% check="complex_product" points=2
check("complex_product", complex_product)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# The imaginary part needs x0 * y1 + x1 * y0. Which product of two sums contains both of them? What else is in it, and is
# that of any use?
# </details>
#
# <details><summary>Hint: it is nearly right</summary>
# Write down what each of your three products contributes to the real and to the imaginary part.
# </details>

# %% [markdown]
# ## 1.8 Kronecker and Khatri-Rao { minutes: 8, difficulty: 3 }
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

# %% check="khatri_rao" points=1
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

# %% [markdown]
# ## 1.9 The unfolding of a product { minutes: 8, difficulty: 4 }
#
# Now the identity behind every tensor layer. Take a small **core** $G$ and a **factor** $U_k$ of shape
# $(I_k, R_k)$ for each mode, and multiply them all: $X = G \times_0 U_0 \times_1 U_1 \cdots \times_N U_N$. Its unfolding
# is a product of three matrices:
#
# $$X_{[n]} = U_n\; G_{[n]}\; K^{\mathsf T},$$
#
# and $K$ is a Kronecker product of factors. For a matrix it is the familiar $U_0\, G\, U_1^{\mathsf T}$. **Find $K$**:
# which factors, and in which order? (Other books have another order. It follows from which index of the unfolding runs
# fastest; you can derive it, or try.)

# %% solve="other_factors"
def other_factors(factors, mode):
    """The matrix K with unfold(X, mode) = factors[mode] @ unfold(core, mode) @ K.T, whatever the core.

    factors: list of at least two Tensors, factors[k] of shape (I_k, R_k); X is the core with every mode k
      multiplied by factors[k].
    mode: int.
    Returns a Tensor of shape (product of the other I_k, product of the other R_k).

    >>> other_factors([torch.ones(2, 1), torch.ones(3, 1), torch.ones(4, 1)], 1).shape
    torch.Size([8, 1])
    """
    ### BEGIN SOLUTION
    others = [factor.contiguous() for k, factor in enumerate(factors) if k != mode]
    product = others[0]
    for factor in others[1:]:
        product = torch.kron(product, factor)
    return product
    ### END SOLUTION

# %% check="other_factors" points=1
check("other_factors", other_factors)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Make a small core and factors of different sizes, unfold what comes of them, and compare with your guess. Which shapes
# would fit at all?
# </details>
#
# <details><summary>Hint: <code>torch.kron</code> raises "view size is not compatible"</summary>
# It does so for some transposed matrices; <code>.contiguous()</code> mends it.
# </details>

# %% [markdown]
# ### The matrix that is too large { minutes: 10, difficulty: 5 }
#
# $K$ is large: three factors of 100 x 100 make a matrix of a million rows and columns. A product with it is still easy,
# if it never exists. Read the identity backwards: what is $(A \otimes B)\, v$, when the long vector $v$ is the unfolding
# of something?

# %% solve="kron_dot"
def kron_dot(matrices, x):
    """The Kronecker product of matrices, times x, without making it.

    matrices: list of at least one Tensor, matrices[k] of shape (J_k, I_k).
    x: Tensor of shape (product of all I_k, S).
    Returns a Tensor of shape (product of all J_k, S): (matrices[0] kron matrices[1] kron ...) @ x.
    No tensor on the way may have more numbers than twice the largest of: x, the result, and what x becomes
      when some of the I_k have been replaced by their J_k.

    >>> kron_dot([torch.ones(2, 3), torch.ones(4, 5)], torch.ones(15, 1)).shape
    torch.Size([8, 1])
    """
    ### BEGIN SOLUTION
    y = x.reshape(*[matrix.shape[1] for matrix in matrices], x.shape[1])
    y = multi_mode_dot(y, matrices, range(len(matrices)))
    return y.reshape(-1, x.shape[1])
    ### END SOLUTION

# %% check="kron_dot" points=3
check("kron_dot", kron_dot)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# A row of the big matrix belongs to a pair (j, l), a column to a pair (i, k). So which indices does x have, in truth?
# Which product of this chapter sums over each of them alone?
# </details>
#
# <details><summary>Hint: the right numbers, in the wrong places</summary>
# Which index of a Kronecker product runs fastest, and which index of your reshaped x?
# </details>

# %%
matrices = [torch.randn(100, 100) for _ in range(3)]
x = torch.randn(100**3, 1)
began = time.perf_counter()
y = kron_dot(matrices, x)
print(f"a matrix of {100.0**6 * 4 / 1e9:,.0f} GB, multiplied in {time.perf_counter() - began:.2f} s")

# %% [markdown]
# That is the third of the three layers: its weight is a matrix like this one, and chapter 4 is about never making it.

# %% [markdown]
# ## 1.10 Einsum, one notation for all products { minutes: 6, difficulty: 3 }
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

# %% check="mode_dot_equation" points=1
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
# ## 1.11 Challenge: the rank of the matrix product { minutes: 10, difficulty: 5 }
#
# Two matrices of 2 x 2: `Z = X @ Y` takes eight multiplications, as everybody knows. In 1969 it came as a shock that everybody
# was wrong. Again the product is a tensor, of 4 x 4 x 4 entries now; again its rank is the number of multiplications
# that are needed; and again it is smaller than it looks. **How many do you need?** Seven is known, and that six are
# too few is proven: that is the bound. (For 3 x 3 nobody knows the rank.)
#
# The point is yours at seven. Think, look it up, or let a computer search: all of these are fair, and the check only
# measures.

# %% solve="matrix_product"
def matrix_product():
    """The product of two matrices of 2 x 2 by as few multiplications as you can.

    Returns a list of triples (a, b, c) of vectors, each a list of four numbers, which belong to the entries
      (0, 0), (0, 1), (1, 0), (1, 1) of X, of Y and of Z: with p = (a . X) * (b . Y) for each triple,
      entry k of Z = X @ Y is the sum of all c[k] * p.

    For example, ([1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]) stands for X[0, 0] * Y[0, 0], which goes into Z[0, 0].
    """
    ### BEGIN SOLUTION
    return [
        ([1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 1]),
        ([0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 1, -1]),
        ([1, 0, 0, 0], [0, 1, 0, -1], [0, 1, 0, 1]),
        ([0, 0, 0, 1], [-1, 0, 1, 0], [1, 0, 1, 0]),
        ([1, 1, 0, 0], [0, 0, 0, 1], [-1, 1, 0, 0]),
        ([-1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]),
        ([0, 1, 0, -1], [0, 0, 1, 1], [1, 0, 0, 0]),
    ]
    ### END SOLUTION

# %% check="matrix_product" points=1
check("matrix_product", matrix_product)

# %% [markdown]
# Applied to blocks instead of numbers, and to blocks of blocks, each product saved is saved again:

# %%
products = len(matrix_product())
sizes = [2**k for k in range(1, 13)]
lines = {
    "eight products": (sizes, [8.0**k for k in range(1, 13)]),
    f"yours: {products} products": (sizes, [float(products) ** k for k in range(1, 13)]),
    "the bound: seven": (sizes, [7.0**k for k in range(1, 13)]),
}
plotting.curves(lines, "rows of the matrices", "multiplications", log="xy")

# %% [markdown]
# ## 1.12 Quiz: order and rank { minutes: 1, difficulty: 1 }
#
# **`x = outer([a, b, c])` with vectors of the lengths 2, 3 and 4. What is the *order* of `x`?** (The lines with `sha1`
# under the check compare your letter with the right one without showing it. You need not read them.)
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
# ## What you know now that users of `nn.Linear` don't
#
# - How many operations are the three layers? **One**: multiply entries and sum over the indices that both have. A 1 x 1
#   convolution does it along one mode, a linear layer on a block along all but the batch; flattening is only one way to
#   compute it. Einsum writes them all.
# - The **order** counts the modes. The **rank** counts simple pieces, and it is what a product costs: three for complex
#   numbers, seven for matrices of 2 x 2.
# - The unfolding of a product of small pieces is a product of small matrices, and a Kronecker product need not exist to
#   be used. That is where the savings come from.
# - Multiplications are counted, seconds are measured: in turns, several times, with an interval.
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
# - Strassen: *Gaussian Elimination is not Optimal*, Numerische Mathematik 13 (1969). The seven products, in three pages.
#   Winograd: *On Multiplication of 2 x 2 Matrices*, Linear Algebra and its Applications 4 (1971). Why not six.
# - Rogozhnikov: *Einops: Clear and Reliable Tensor Manipulations with Einstein-like Notation*, ICLR 2022.
#
# **Next:** chapter 2, *Decompositions*: which small pieces a given tensor is made of.

# %%
progress()
