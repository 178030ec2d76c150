# %% [markdown]
# # 5. The Tucker tensor regression layer { minutes: 100, difficulty: 4 }
#
# A CP layer (chapter 4) has one rank for all modes. But the modes of an activation are not alike: 512 channels hold
# many things that you want to keep apart, 7 rows perhaps two or three. A **Tucker** layer has a rank for each mode.
# At one special rank it *is* the head that half of today's networks end with: average pooling and a linear layer. Here
# you prove that, then let the average learn, and look at what it has become.
#
# **After this chapter you can**
#
# - shrink an activation mode by mode, as a layer (`TCL`) and inside a regression layer (`TuckerTRL`);
# - say in which order to do it, and what a wrong order costs;
# - turn average pooling + `nn.Linear` into a Tucker layer that gives the same numbers, train it on, and judge fairly
#   what that has brought.
#
# **You need** mode products and the inner product (chapter 1), and an idea of the Tucker decomposition (chapter 2).
#
# In this chapter a **factor** of mode $k$ always has the shape $(I_k, R_k)$: a row for each entry of the mode, a
# column for each of the $R_k$ things it is projected to.

# %% lock="imports_05"
import copy
import math

import torch
from torch import nn
from torch.nn import functional as F

import trlkit
from trlkit import ranks
from trlkit.lab import data, plotting, training
from trlkit.course import check, reveal

# %% [markdown]
# ## 5.1 Project every mode { minutes: 10, difficulty: 2 }
#
# To average a column of 7 numbers is to multiply it by a vector of seven 1/7. To average it in blocks is to multiply it
# by a matrix. So average pooling is a mode product with a very plain factor. Here it is on a photograph: a factor for
# the rows, (427, 61), a factor for the columns, (640, 80), with one block of equal numbers in each column.

# %%
photo = data.photographs()["china"].mean(-1)  # (427, 640), gray
rows = torch.kron(torch.eye(61), torch.full((7, 1), 1 / 7))  # (427, 61)
columns = torch.kron(torch.eye(80), torch.full((8, 1), 1 / 8))  # (640, 80)
small = trlkit.multi_mode_dot(photo, [rows.T, columns.T], modes=(0, 1))
plotting.images({f"{tuple(photo.shape)}": photo, f"projected to {tuple(small.shape)}": small})

# %% [markdown]
# Nothing says that the numbers in a factor have to be 1/7 and 0. Any factor **projects** its mode from $I_k$ numbers to
# $R_k$, and a network can learn which projection serves it best. For a batch $X$ of shape
# $(B, I_0, \dots, I_N)$ and factors $U_k$ of shape $(I_k, R_k)$:
#
# $$Z_{b\, r_0 \dots r_N} = \sum_{i_0 \dots i_N} X_{b\, i_0 \dots i_N}\; (U_0)_{i_0 r_0} \cdots (U_N)_{i_N r_N}$$
#
# Each sample is projected on its own: the batch has no factor.
#
# **Predict before you run.** `x` is a batch of 128 activations, (128, 512, 7, 7), and the factors are (512, 64), (7, 3)
# and (7, 3). Which shape has the projected batch?

# %% predict="projected_shape"
### BEGIN SOLUTION
#~ prediction = (..., ..., ..., ...)
prediction = (128, 64, 3, 3)
### END SOLUTION

# %%
x, factors = torch.zeros(128, 512, 7, 7), [torch.zeros(64, 512), torch.zeros(3, 7), torch.zeros(3, 7)]
reveal(prediction, lambda: tuple(trlkit.multi_mode_dot(x, factors, modes=(1, 2, 3)).shape))

# %% [markdown]
# Mind two things when you write it: `trlkit.mode_dot(x, matrix, mode)` sums over the *second* index of its matrix,
# a factor has the mode as its *first*; and mode $k$ of a sample is not mode $k$ of the batch.

# %% solve="project_input"
def project_input(x, factors):
    """Project every mode of each sample by its factor.

    x: Tensor of shape (B, I_0, ..., I_N); any number of modes after the batch.
    factors: list of N + 1 Tensors, factors[k] of shape (I_k, R_k).
    Returns a Tensor of shape (B, R_0, ..., R_N).

    >>> x, factors = torch.ones(8, 2, 3), [torch.ones(2, 5), torch.full((3, 1), 1 / 3)]
    >>> project_input(x, factors).shape, project_input(x, factors)[0, 0, 0]
    (torch.Size([8, 5, 1]), tensor(2.))
    """
    ### BEGIN SOLUTION
    for k, factor in enumerate(factors):
        x = trlkit.mode_dot(x, factor.T, k + 1)
    return x
    ### END SOLUTION

# %% check="project_input" points=2
check("project_input", project_input)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# One factor first. Which mode of <code>x</code> does <code>factors[0]</code> belong to, and which of its two indices has
# to be summed over? Then a loop.
# </details>
#
# <details><summary>Hint: it says that sizes do not match</summary>
# Print the shape of x and of the matrix just before the product that fails. The first mode of x is the batch.
# </details>
#
# <details><summary>Hint: only the case in which all sizes are the same is wrong</summary>
# There a transposed factor and a wrong mode go unnoticed by the shapes. Write down for one entry of the result what is
# summed over.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# A loop over <code>enumerate(factors)</code> with one <code>trlkit.mode_dot</code> in it; or one
# <code>torch.einsum</code>; or one <code>torch.tensordot</code> a factor, which moves modes to the end.
# </details>

# %% [markdown]
# ## 5.2 A layer that contracts { minutes: 13, difficulty: 3 }
#
# With factors that learn, the projection is a layer: the **tensor contraction layer** (TCL). Put between the
# convolutions and the head, it makes a small activation of a big one and keeps its modes. From (512, 7, 7) to (64, 3, 3)
# it takes one factor for each mode and a bias for each output number:

# %%
tcl = trlkit.TCL((512, 7, 7), rank=(64, 3, 3))
for name, parameter in tcl.named_parameters():
    print(f"{name:10s} {tuple(parameter.shape)}")

flat = 512 * 7 * 7 * 64 * 3 * 3 + 64 * 3 * 3
print(f"together {sum(p.numel() for p in tcl.parameters()):,}; a Linear between the same shapes has {flat:,}")

# %% [markdown]
# **How to begin.** Each output number is a sum of $I_0 \cdots I_N$ products. If the entries of factor $k$ are drawn with
# variance $1/I_k$ (`torch.randn(...) / I_k ** 0.5`), an input of variance 1 gives an output of variance about 1. With
# entries of variance 1, the outputs of this layer would have a standard deviation of $\sqrt{512 \cdot 7 \cdot 7} \approx
# 158$, and with zeros (and two modes or more) no factor
# could ever learn: the gradient of a factor is a product with all the others.
#
# Write the layer. Its parameters must be called as those above, so that the state of a `trlkit.TCL` can be loaded into
# yours: `self.factors`, an `nn.ParameterList`, and `self.bias`.

# %% solve="TCL"
class TCL(nn.Module):
    """A tensor contraction layer: every mode of the activation projected by a factor that learns.

    input_shape: tuple of N + 1 ints (I_0, ..., I_N), without the batch.
    rank: tuple of N + 1 ints (R_0, ..., R_N): the shape of the output.
    Parameters: factors, an nn.ParameterList, factors[k] of shape (I_k, R_k); bias, of shape rank.
    A fresh layer turns inputs of variance 1 into outputs of variance about 1; the bias starts at 0.
    forward: x, a Tensor (B, I_0, ..., I_N) of the parameters' dtype, to a Tensor (B, R_0, ..., R_N).

    >>> TCL((8, 5, 4), (3, 2, 2))(torch.zeros(6, 8, 5, 4)).shape
    torch.Size([6, 3, 2, 2])
    """

    def __init__(self, input_shape, rank):
        super().__init__()
        ### BEGIN SOLUTION
        sizes = zip(input_shape, rank)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in sizes)
        self.bias = nn.Parameter(torch.zeros(rank))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return project_input(x, self.factors) + self.bias
        ### END SOLUTION

# %% check="TCL" points=3
check("TCL", TCL)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# <code>__init__</code> makes the parameters, <code>forward</code> is <code>project_input</code> and a sum. Look at
# <code>nn.ParameterList</code>: it takes a list of tensors.
# </details>
#
# <details><summary>Hint: the check says that the layer has no parameters</summary>
# A plain Python list hides its tensors from <code>nn.Module</code>. And a tensor becomes a parameter by
# <code>nn.Parameter(tensor)</code>.
# </details>
#
# <details><summary>Hint: it works in float32 and not after .double()</summary>
# <code>.double()</code> converts parameters. Whatever else you made in <code>__init__</code> stays as it was.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# In <code>__init__</code>: <code>super().__init__()</code>, a ParameterList with one scaled
# <code>torch.randn(i, r)</code> for each pair of sizes, a Parameter of zeros. In <code>forward</code>: one line.
# </details>

# %% [markdown]
# ## 5.3 From the projection to classes { minutes: 11, difficulty: 3 }
#
# A Tucker regression goes one step further: to class scores. Its weight $W$ of shape $(I_0, \dots, I_N, C)$ is a small
# **core** $G$ of shape $(R_0, \dots, R_N, R_{out})$, multiplied along each mode by a factor; the last factor $V$, of
# shape $(C, R_{out})$, belongs to the classes:
#
# $$W = G \times_0 U_0 \times_1 U_1 \cdots \times_N U_N \times_{N+1} V,
# \qquad Y = \langle X, W \rangle + b$$
#
# One can build $W$ and contract it with the batch. But all of this is linear, so the factors can as well be moved over
# to the input: *project the input*, contract it with the small core, and expand what comes to the classes.
#
# $$Y \;=\; \underbrace{\langle \underbrace{X \times_1 U_0^{\mathsf T} \cdots \times_{N+1} U_N^{\mathsf T}}_{(B,\, R_0,
# \dots,\, R_N)},\; G \rangle}_{(B,\, R_{out})}\; V^{\mathsf T} + b$$
#
# The big weight never exists. Write it either way; the second is what the rest of the chapter is about.

# %% solve="tucker_forward"
def tucker_forward(x, core, factors, bias):
    """Tucker regression: the class scores of a batch.

    x: Tensor of shape (B, I_0, ..., I_N).
    core: Tensor of shape (R_0, ..., R_N, R_out).
    factors: list of N + 2 Tensors: factors[k] of shape (I_k, R_k), the last one of shape (C, R_out).
    bias: Tensor of shape (C,).
    Returns a Tensor of shape (B, C).

    >>> core, factors = torch.ones(1, 1, 1), [torch.ones(2, 1), torch.ones(3, 1), torch.ones(4, 1)]
    >>> tucker_forward(torch.ones(1, 2, 3), core, factors, torch.zeros(4))
    tensor([[6., 6., 6., 6.]])
    """
    ### BEGIN SOLUTION
    z = project_input(x, factors[:-1])  # (B, R_0, ..., R_N)
    y = trlkit.inner(z, core, core.ndim - 1)  # (B, R_out)
    return y @ factors[-1].T + bias
    ### END SOLUTION

# %% check="tucker_forward" points=2
check("tucker_forward", tucker_forward)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Three steps, with their shapes in the formula above. You have the first as <code>project_input</code>; the second is
# <code>trlkit.inner(z, core, n_modes)</code>; the third is a matrix product.
# </details>
#
# <details><summary>Hint: which factors go where?</summary>
# All but the last belong to the modes of the input. The last one has as many rows as there are classes.
# </details>
#
# <details><summary>Hint: I would rather build the weight</summary>
# <code>trlkit.multi_mode_dot(core, factors)</code> is W: here the factors (I_k, R_k) fit as they are. Then
# <code>trlkit.inner(x, W, ...)</code>.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Project by <code>factors[:-1]</code>; contract all modes but the batch with the core; multiply by the transposed last
# factor and add the bias.
# </details>

# %% [markdown]
# ## 5.4 The Tucker regression layer { minutes: 13, difficulty: 3 }
#
# Before the layer, its size. A core and a factor for each mode:
# $R_0 \cdots R_N R_{out} + \sum_k I_k R_k + C R_{out} + C$ numbers. The core is a *product* of ranks: it is what grows.
#
# **Predict before you run.** ResNet-101 ends with an activation of (2048, 7, 7) and 1000 classes. Its own head, average
# pooling and a Linear, has 2,049,000 parameters. How many has a Tucker layer of rank (200, 1, 1, 200) in its place?
# Within a tenth will do.

# %% predict="tucker_size"
### BEGIN SOLUTION
#~ prediction = ...  # a number, such as 1_000_000
prediction = 650_000
### END SOLUTION

# %%
def tucker_size(rank):
    return ranks.tucker_parameters((2048, 7, 7, 1000), rank) + 1000  # the bias


reveal(prediction, lambda: tucker_size((200, 1, 1, 200)))

# %%
for r in (200, 150, 100, 50):
    size = tucker_size((r, 1, 1, r))
    print(f"rank ({r}, 1, 1, {r}): {size:9,d} parameters, {1 - size / 2_049_000:.1%} less than the Linear")
print(f"rank (2048, 1, 1, 1000): {tucker_size((2048, 1, 1, 1000)):,} parameters")

# %% [markdown]
# These ranks are those of the paper that introduced the layer (Kossaifi et al., 2020). Mind the last line: at
# *full* rank in channels and classes the layer has far more parameters than what it replaces. A Tucker layer saves by
# its low ranks, not by being a Tucker layer.
#
# Now the module. The start as before: an entry of an input factor has variance $1/I_k$; an entry of the core
# $1/(R_0 \cdots R_N)$, since each number of its output sums that many products; an entry of the last factor
# $1/R_{out}$.

# %% solve="TuckerTRL"
class TuckerTRL(nn.Module):
    """A tensor regression layer with a Tucker weight.

    input_shape: tuple of N + 1 ints (I_0, ..., I_N), without the batch.   num_classes: int, C.
    rank: tuple of N + 2 ints (R_0, ..., R_N, R_out).
    Parameters: core, of shape rank; bias, of shape (C,); factors, an nn.ParameterList of N + 2:
    factors[k] of shape (I_k, R_k), the last one of shape (C, R_out).
    A fresh layer turns inputs of variance 1 into outputs of variance about 1; the bias starts at 0.
    forward: x, a Tensor (B, I_0, ..., I_N) of the parameters' dtype, to a Tensor (B, C).

    >>> TuckerTRL((8, 5, 4), 10, (3, 2, 2, 6))(torch.zeros(6, 8, 5, 4)).shape
    torch.Size([6, 10])
    """

    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        ### BEGIN SOLUTION
        *inputs, output = rank
        self.core = nn.Parameter(torch.randn(rank) / math.prod(inputs) ** 0.5)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, inputs))
        self.factors.append(nn.Parameter(torch.randn(num_classes, output) / output**0.5))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return tucker_forward(x, self.core, list(self.factors), self.bias)
        ### END SOLUTION

# %% check="TuckerTRL" points=3
check("TuckerTRL", TuckerTRL)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Take your <code>TCL</code>: the factors of the inputs are the same. Add the core, the factor of the classes, and
# another bias.
# </details>
#
# <details><summary>Hint: list indices must be integers or slices, or the last factor is lost</summary>
# <code>list(self.factors)</code> makes a plain list of a ParameterList, with all that a list can do.
# </details>
#
# <details><summary>Hint: my outputs start far too large or too small</summary>
# Multiply the variances of the three steps, each times the number of products that are summed. Which one is missing?
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Four attributes: <code>core</code>, <code>factors</code> (in a ParameterList, the last one appended),
# <code>bias</code>; in <code>forward</code> one call of <code>tucker_forward</code>.
# </details>

# %% [markdown]
# ## 5.5 What a projection costs { minutes: 9, difficulty: 2 }
#
# Products along different modes commute: any order gives the same numbers. But not at the same price, since each one
# works on what the earlier ones have left.
#
# Count it for one sample in floating-point operations (FLOPs). Projecting a mode from $I$ to $R$ gives $R$ numbers for
# each position of the other modes, each a sum of $I$ products: $I$ multiplications and, as is usual, $I$
# additions, so $2\, I R$ times the number of positions that the other modes have *at that moment*.
#
# **Predict before you run.** (512, 7, 7) is projected to rank (200, 1, 1). Which is cheaper: the channels (mode 0)
# first, or the channels last? And about how many times cheaper?

# %% predict="cheaper_order"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # "first" or "last"; how many times, rounded
prediction = ("last", 38)
### END SOLUTION

# %% solve="projection_flops"
def projection_flops(input_shape, rank, order):
    """The FLOPs of projecting one sample, one mode after the other.

    input_shape: tuple of int (I_0, ..., I_N), without the batch.
    rank: tuple of int (R_0, ..., R_N).
    order: tuple of int, the modes in the order in which they are projected.
    Returns an int; a product and its addition are 2 FLOPs.

    >>> projection_flops((4, 3), (2, 1), (0, 1))  # 2 * 4 * 2 * 3, then 2 * 3 * 1 * 2
    60
    """
    ### BEGIN SOLUTION
    sizes, flops = list(input_shape), 0
    for mode in order:
        flops += 2 * math.prod(sizes) * rank[mode]
        sizes[mode] = rank[mode]
    return flops
    ### END SOLUTION

# %% check="projection_flops" points=2
check("projection_flops", projection_flops)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Do the example by hand: (4, 3) with mode 0 first becomes (2, 3). Which numbers were multiplied? Then the second step.
# </details>
#
# <details><summary>Hint: it is right for the first step only</summary>
# After a step one of the sizes is no longer the input's. Keep a list of the sizes as they are now.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# A list of the current sizes and a sum; for each mode in order: add 2 x (current sizes multiplied) x its rank, then
# replace its size by its rank.
# </details>

# %%
shape, rank = (512, 7, 7), (200, 1, 1)
costs = {order: projection_flops(shape, rank, order) for order in [(0, 1, 2), (1, 0, 2), (1, 2, 0)]}
for order, flops in costs.items():
    print(f"order {order}: {flops / 1e6:6.2f} MFLOP a sample")
reveal(prediction, lambda: ("last", round(costs[0, 1, 2] / costs[1, 2, 0])))

# %% [markdown]
# A loop over the modes as they come, as in the skeleton of 5.1, has the channels first: the dearest of all orders. Core
# and classes come on top, here as $R_{out} = 200$ and 1000 classes, and are the same for every order. Over the rank of the
# channels, for one sample, with the whole weight applied as a matrix for comparison:

# %%
R = [8, 16, 32, 64, 128, 200, 256, 400, 512]
behind = [2 * r * 200 + 2 * 200 * 1000 for r in R]  # the core, then the classes
worst = [projection_flops(shape, (r, 1, 1), (0, 1, 2)) + more for r, more in zip(R, behind)]
best = [projection_flops(shape, (r, 1, 1), (1, 2, 0)) + more for r, more in zip(R, behind)]
matrix = [2 * 512 * 7 * 7 * 1000] * len(R)
lines = {"the weight as a matrix": matrix, "channels first": worst, "channels last": best}
plotting.curves({name: (R, y) for name, y in lines.items()}, "rank of the channels", "FLOPs a sample", log="xy")

# %% [markdown]
# ## 5.6 The best order { minutes: 9, difficulty: 3 }
#
# With three modes one can try all 6 orders. There is a rule too. Take two modes that are projected one right after the
# other. Whether $k$ should come before $l$ depends on these two alone: write both costs, cancel what they have in
# common, and what is left is: $k$ first is cheaper exactly if
#
# $$\frac{1}{R_k} - \frac{1}{I_k} \;>\; \frac{1}{R_l} - \frac{1}{I_l}$$
#
# So sort by that number, the largest first. A mode that shrinks to rank 1 always leads: its number is 1/2 or more, and
# with a rank of 2 or more it is less. A mode that grows comes last. Try to derive it: the cost of $k$ then $l$ is proportional to $I_k R_k I_l + R_k I_l R_l$; divide by
# $I_k R_k I_l R_l$.
#
# Write it, by the rule or by trying all orders.

# %% solve="best_order"
def best_order(input_shape, rank):
    """The order of projections that costs the fewest FLOPs.

    input_shape: tuple of at most 6 ints (I_0, ..., I_N).   rank: tuple of int (R_0, ..., R_N).
    Returns a tuple of int: the modes 0, ..., N in the order to project them. Where several orders
    cost the least, any of them is right.

    >>> best_order((512, 7), (100, 1))
    (1, 0)
    """
    ### BEGIN SOLUTION
    modes = range(len(rank))
    return tuple(sorted(modes, key=lambda k: 1 / input_shape[k] - 1 / rank[k]))
    ### END SOLUTION

# %% check="best_order" points=2
check("best_order", best_order)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# <code>sorted(modes, key=...)</code> sorts by a number computed from each mode; or take <code>min</code> over
# <code>itertools.permutations(modes)</code> with your <code>projection_flops</code> as the key.
# </details>
#
# <details><summary>Hint: my order is exactly the wrong way round</summary>
# <code>sorted</code> starts with the smallest.
# </details>
#
# <details><summary>Hint: the largest mode first seems right to me</summary>
# Whatever comes first meets the full sizes of all the others. What makes a first step cheap is its rank. What makes it
# worth while is how much it shrinks. The rule weighs one against the other.
# </details>

# %% [markdown]
# ## 5.7 Average pooling and a Linear are a Tucker layer { minutes: 12, difficulty: 4 }
#
# ResNets, and most networks since, end like this: average each channel over its pixels, then one Linear with a weight
# $L$ of shape $(N, C)$. Write it out for $C$ channels of $H \times W$ pixels and $N$ classes:
#
# $$Y_{bn} = \sum_c L_{nc} \cdot \frac{1}{HW} \sum_{h,w} X_{b\,c\,h\,w} + b_n
# \qquad\text{so}\qquad W_{c\,h\,w\,n} = L_{nc} \cdot \frac{1}{H} \cdot \frac{1}{W}$$
#
# That weight does not depend on $h$ and $w$: along these two modes it has rank 1. It can be written as a Tucker weight of rank
# $(C, 1, 1, N)$, with a core that is nearly $L$, and factors of the rows and columns that are nothing but the average.
#
# Find core and factors. There is more than one right answer; the check looks at the shapes and at the weight that
# they make.

# %% solve="pooled_linear_as_tucker"
def pooled_linear_as_tucker(weight, input_shape):
    """Global average pooling followed by a Linear, as core and factors of a Tucker weight.

    weight: Tensor of shape (N, C), as in nn.Linear(C, N).
    input_shape: tuple of int (C, I_1, ..., I_M): all modes but the channels are averaged; M >= 1.
    Returns (core, factors):
      core, a Tensor of shape (C, 1, ..., 1, N);
      factors, a list of M + 2 Tensors of the shapes (C, C), (I_1, 1), ..., (I_M, 1), (N, N).
    All of weight's dtype.

    >>> core, factors = pooled_linear_as_tucker(torch.ones(10, 6), (6, 4, 4))
    >>> core.shape, [tuple(factor.shape) for factor in factors]
    (torch.Size([6, 1, 1, 10]), [(6, 6), (4, 1), (4, 1), (10, 10)])
    """
    ### BEGIN SOLUTION
    classes, channels = weight.shape
    pooled = input_shape[1:]
    like = {"dtype": weight.dtype, "device": weight.device}
    core = weight.T.reshape(channels, *[1] * len(pooled), classes)
    means = [torch.full((size, 1), 1 / size, **like) for size in pooled]
    return core, [torch.eye(channels, **like), *means, torch.eye(classes, **like)]
    ### END SOLUTION

# %% check="pooled_linear_as_tucker" points=3
check("pooled_linear_as_tucker", pooled_linear_as_tucker)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Leave the channels and the classes as they are: which matrix projects 512 channels to the same 512? Then only the two
# averages are left, and a core that says how channels meet classes.
# </details>
#
# <details><summary>Hint: my scores are 49 times too large</summary>
# A factor of ones sums. What has each of the two to be so that together they average?
# </details>
#
# <details><summary>Hint: right shapes, wrong numbers</summary>
# The weight of a Linear is (N, C), the core has the channels first. A reshape moves no number.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# The core is the transposed weight with a 1 in the shape for each pooled mode; the factors are an identity, a column of
# 1 / size for each pooled mode, an identity.
# </details>
#
# ### Proof by numbers
#
# `trlkit`'s layers do that for you, at any rank and from the tensors of the Linear itself. Here for the head of a
# ResNet-18 with 10 classes, on random activations. `project_input=True` computes as in 5.3, without the full weight;
# `init_from_linear` returns how far its weight is from the Linear's: nothing here, something at a lower rank. (Its
# factors differ from yours: a Tucker weight can be rotated inside without changing what it computes.)

# %%
fc = nn.Linear(512, 10)
activations = torch.randn(16, 512, 7, 7)
pooled = fc(activations.mean(dim=(2, 3)))

trl = trlkit.TuckerTRL((512, 7, 7), 10, rank=(512, 1, 1, 10), project_input=True)
error = trl.init_from_linear(fc.weight, fc.bias, pooling_modes=(1, 2))
difference = (trl(activations) - pooled).abs().max()
print(f"relative error of the weight {error:.1e}, largest difference of the outputs {difference.item():.1e}")

core, factors = pooled_linear_as_tucker(fc.weight, (512, 7, 7))
yours = tucker_forward(activations, core, factors, fc.bias)
print(f"and with your core and factors {(yours - pooled).abs().max().item():.1e}")

# %% [markdown]
# ## 5.8 Let the average learn { minutes: 13, difficulty: 3 }
#
# An average pooling has nothing to learn. The same thing written as a Tucker layer has: its two pooling
# factors are parameters like any other. Start as the trained head, with not one output changed, and train on.
#
# First the function that trains. The rivals below are compared fairly only if each is trained by the same recipe, so
# follow it to the letter: full batch, Adam with this rate, this loss. Nothing in it is left to chance, and the check
# compares every parameter after 1, 2 and 7 steps.

# %% solve="learn_pooling"
def learn_pooling(trl, x, labels, steps=300):
    """Train a layer on features, in place, all its parameters.

    trl: an nn.Module that maps x to class scores (B, C).
    x: Tensor of shape (B, *input_shape), all features.   labels: Tensor of shape (B,), ints.
    steps: int: that many steps of torch.optim.Adam with lr=0.03, otherwise as it comes, each on
    all features as they are; the loss is F.cross_entropy of the scores, averaged over the samples.
    Returns the same trl, its mode (train or eval) and its requires_grad as they were.
    """
    ### BEGIN SOLUTION
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = F.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl
    ### END SOLUTION

# %% check="learn_pooling" points=2
check("learn_pooling", learn_pooling)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# One step is: scores, loss, old gradients away, <code>backward</code>, <code>optimizer.step()</code>. The optimizer is
# made once, before the loop.
# </details>
#
# <details><summary>Hint: nothing moves</summary>
# Gradients come from <code>loss.backward()</code>, movement from <code>optimizer.step()</code>. And it has to be the layer
# that was given, not a copy.
# </details>
#
# <details><summary>Hint: it gets worse with every step</summary>
# PyTorch adds new gradients to the old ones until someone clears them.
# </details>
#
# ### On real digits
#
# Now the whole story. A small network with average pooling is trained on 1257 handwritten digits; 540 others are held
# out to measure with, and nothing is chosen by them.

# %%
train, validation, test = data.digits(14)
digits_x, labels = train.tensors  # (1257, 3, 14, 14), (1257,)
held_out, truth = (torch.cat(pair) for pair in zip(validation.tensors, test.tensors))


def train_whole(seed, head, epochs=30):
    """Two convolutions to (16, 7, 7) and a head, trained together, in batches of 128."""
    torch.manual_seed(seed)
    convolutions = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 1, 1), nn.ReLU()]
    network = nn.Sequential(nn.Sequential(*convolutions), head())
    options = {"optimizer": torch.optim.Adam(network.parameters(), lr=0.01), "seed": seed}
    training.fit(network, train, validation, epochs, 128, accelerator="cpu", progress=False, **options)
    return network.eval()


def average_head():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


# %% [markdown]
# The rivals, all on the features of the same convolutions, and all trained for the same 150 steps by your function.
# Anything else would be unfair: a layer that was trained longer is better for that alone.
#
# - average pooling + Linear, trained on;
# - Tucker of rank (16, 1, 1, 10), which starts as that head: one pooling, learned;
# - Tucker of rank (16, 2, 2, 10), which starts as that head too: two row factors times two column factors make
#   four poolings;
# - a Linear on all 784 flattened features, from scratch.

# %%
def tucker_head(spatial_rank=1, linear=None):
    trl = trlkit.TuckerTRL((16, 7, 7), 10, rank=(16, spatial_rank, spatial_rank, 10))
    if linear is not None:
        trl.init_from_linear(linear.weight, linear.bias, pooling_modes=(1, 2))
    return trl


def rivals(head):
    return {
        "average, trained on": copy.deepcopy(head),
        "Tucker (16, 1, 1, 10)": tucker_head(1, head[2]),
        "Tucker (16, 2, 2, 10)": tucker_head(2, head[2]),
        "Linear on flattened": nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
    }


def accuracy(network, inputs):
    with torch.no_grad():
        return (network(inputs).argmax(1) == truth).double().mean().item()


# %% [markdown]
# **Predict before you run.** The network with its average gets about four of five held-out digits right. Which gains more:
# that the *same* head trains on, or, beyond that, *one* pooling that learns in the average's place? And the rival with
# four poolings: does it get more than 90 % right, as a mean of three seeds?

# %% predict="pooling_gain"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # "training on" or "learned pooling"; True or False
prediction = ("training on", True)
### END SOLUTION

# %%
results, heads = {}, {}
for seed in range(3):
    network = train_whole(seed, average_head)
    with torch.no_grad():
        features, unseen = network[0](digits_x), network[0](held_out)
    results.setdefault("average, as it was", []).append(accuracy(network[1], unseen))
    torch.manual_seed(seed)  # the flattened Linear starts at random
    for name, head in rivals(network[1]).items():
        if "Tucker" in name:
            assert torch.allclose(head(unseen), network[1](unseen), atol=1e-4), "not the same start"
        heads[name] = learn_pooling(head, features, labels, steps=150)
        results.setdefault(name, []).append(accuracy(head, unseen))
        print(f"seed {seed}, {name}: {results[name][-1]:.1%}")

# %%
def table(results, heads):
    for name, values in results.items():
        size = sum(p.numel() for p in heads.get(name, average_head()).parameters())
        each = ", ".join(f"{value:.1%}" for value in values)
        print(f"{name:24s}{size:6,d} parameters   {sum(values) / len(values):.1%}   ({each})")


table(results, heads)
mean = {name: sum(values) / len(values) for name, values in results.items()}
on, one = mean["average, trained on"], mean["Tucker (16, 1, 1, 10)"]
gain = "training on" if on - mean["average, as it was"] > one - on else "learned pooling"
reveal(prediction, lambda: (gain, mean["Tucker (16, 2, 2, 10)"] > 0.9))

# %% [markdown]
# Read it as a judge would. Against the head *as it was*, one learned pooling looks like a step. Against the same head
# trained for as long, compare seed by seed: after 150 steps sometimes one leads, sometimes the other. But that is a
# verdict on 150 steps. With `steps=600` (try it, it takes a little longer) we measured 90.0 % for the average and 92.5 %
# for one pooling, by seed 0.0, 4.8 and 2.8 points more: a small gain that needs time. Four poolings are another matter: a thousand parameters come closer to the flattened Linear with its eight thousand, because they can tell
# where on the image something is.
#
# All of them had to live with features that were made for an average. What if the convolutions train *with* the
# pooling, from scratch? Three networks for 30 epochs each: average + Linear; a Tucker layer of rank (16, 1, 1, 10) that
# starts at random; and, to see what is due to what, the same with its two pooling factors held at 1/7. That last one
# computes what average + Linear can, only written as a product.

# %%
def frozen_head():
    """A Tucker head whose two pooling factors are the average and stay so."""
    trl = tucker_head()
    for factor in (trl.factors[1], trl.factors[2]):
        nn.init.constant_(factor, 1 / 7).requires_grad_(False)
    return trl


together = {"average + Linear": results["average, as it was"]}
for name, head in {"Tucker, frozen average": frozen_head, "Tucker, all learned": tucker_head}.items():
    together[name] = [accuracy(train_whole(seed, head), held_out) for seed in range(3)]
table(together, {"Tucker, frozen average": frozen_head(), "Tucker, all learned": tucker_head()})

# %% [markdown]
# In these 30 epochs the network with the learned pooling learns much faster, on every seed. A part of that is not the
# pooling: with the average held fixed, the Tucker layer gets ahead of average + Linear too, since Adam takes other steps
# where a weight is a product. And a part is time: for 240 epochs, average + Linear gets 95.7 % and 90.6 % (seeds 0 and
# 1). That is a shallow network, whose features see only a patch of the image each, on few images. It does not carry over to every
# network: Cao and Rabusseau (2017) found a TRL (with dropout) ahead for shallow networks and few samples, and the
# *reverse* for a deep one on CIFAR-10, where the plain average beat it. So set it against the average, each time.

# %% [markdown]
# ### What has it learned?
#
# Row factor and column factor of the rank-1 layer make one picture: the weight of each pixel in the pooling. It began
# as 1/49 everywhere. A sign or a size can move from a factor to the core without changing the layer, so the picture is
# divided by its sum; it is drawn in multiples of 1/49, so that 1 is the average.

# %%
learned = heads["Tucker (16, 1, 1, 10)"]
pooling = learned.factors[1] @ learned.factors[2].T  # (7, 1) x (1, 7)
pictures = {"at the start: 1": torch.ones(7, 7), "learned": 49 * pooling / pooling.sum()}
plotting.images(pictures, signed=True)

# %% [markdown]
# It still is a product of a row profile and a column profile, the same for every channel and class. At rank
# (16, 2, 2, 10) there are four products, which the core mixes differently for each channel and class. As factors can be
# rotated, single columns mean little; their span does. So take an orthonormal basis of each factor's columns, the first
# vector as near to constant as can be, and look at the four products.

# %%
def basis(factor):
    """Two orthonormal columns that span the factor's, the first nearest to constant."""
    q = torch.linalg.qr(factor.detach()).Q  # (7, 2)
    flat = q.T @ torch.ones(7)
    first = q @ flat / flat.norm()
    second = q @ torch.stack([-flat[1], flat[0]]) / flat.norm()
    return torch.stack([first, second], dim=1)


rows, columns = (basis(heads["Tucker (16, 2, 2, 10)"].factors[k]) for k in (1, 2))
names = ("nearly an average", "a column profile", "a row profile", "both")
products = [torch.outer(rows[:, i], columns[:, j]) for i in (0, 1) for j in (0, 1)]
plotting.images(dict(zip(names, products)), signed=True)

# %% [markdown]
# The second and third set some columns or rows against others, which no average can: what is purple counts one way, what
# is orange the other.

# %% [markdown]
# ## 5.9 Bonus: a tensor train { minutes: 7, difficulty: 3 }
#
# The core of a Tucker weight has as many modes as the weight, so it grows exponentially in their number. A **tensor
# train** (TT) has a core of three modes for each mode of the weight, $A_k$ of shape $(R_k, I_k, R_{k+1})$, each
# holding hands with the next; the first and last bond are 1:
#
# $$W_{i_0 \dots i_N\, n} = \sum (A_0)_{1\, i_0\, r_1} (A_1)_{r_1 i_1 r_2} \cdots (A_{N+1})_{r_{N+1}\, n\, 1}$$
#
# Again the batch can go through the cores from left to right, and the weight never exists: at each step one bond and one
# mode are summed over, and one bond appears. (For 3 or 4 modes a Tucker layer with small spatial ranks is usually the
# better choice; a TT comes into its own with many modes.)

# %% solve="tt_forward"
def tt_forward(x, cores):
    """Tensor-train regression without a bias: the class scores of a batch.

    x: Tensor of shape (B, I_0, ..., I_N).
    cores: list of N + 2 Tensors: cores[k] of shape (R_k, I_k, R_k+1), the last one (R_N+1, C, 1);
    the first one has R_0 = 1.
    Returns a Tensor of shape (B, C).

    >>> tt_forward(torch.ones(8, 2, 3), [torch.ones(1, 2, 5), torch.ones(5, 3, 4), torch.ones(4, 10, 1)]).shape
    torch.Size([8, 10])
    """
    ### BEGIN SOLUTION
    z = x.unsqueeze(1)  # (B, R_0, I_0, ..., I_N)
    for core in cores[:-1]:
        z = torch.einsum("bri...,ris->bs...", z, core)
    return z @ cores[-1][:, :, 0]
    ### END SOLUTION

# %% check="tt_forward" points=2
check("tt_forward", tt_forward)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Give x a bond of size 1 behind the batch: (B, 1, I_0, ..., I_N). Then every step looks alike: the bond and the first
# mode go, a new bond comes to the same place.
# </details>
#
# <details><summary>Hint: what about the last core?</summary>
# Its middle mode is the output: nothing is left of x to sum it with. Only the bond is summed, and its last mode of size
# 1 has to go.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# unsqueeze; a loop over <code>cores[:-1]</code> with one einsum that has an ellipsis; a matrix product with the last
# core.
# </details>

# %% [markdown]
# ## 5.10 Quiz: ones { minutes: 1, difficulty: 1 }
#
# **You build the Tucker layer of 5.7 for (512, 7, 7), but fill the two pooling factors with 1 in place of 1/7. Beside
# average pooling + Linear, its scores are ...**
#
# - **a** the same: the core makes up for it
# - **b** 7 times as large
# - **c** 49 times as large, bias included
# - **d** 49 times as large but for the bias, which is as before

# %% solve="quiz_ones"
### BEGIN SOLUTION
#~ quiz_ones = ...  # "a", "b", "c" or "d"
quiz_ones = "d"
### END SOLUTION

# %% check="quiz_ones" points=1
check("quiz_ones", quiz_ones)
### HASHED AUTOTEST quiz_ones

# %% [markdown]
# ## 5.11 Quiz: what rank 1 cannot { minutes: 1, difficulty: 2 }
#
# **A Tucker layer of rank (512, 1, 1, 10), trained from average pooling on. What can it *not* learn?**
#
# - **a** to count some pixels more than others
# - **b** to look *only* at the upper half for one class and *only* at the lower half for another
# - **c** to count some pixels against a class
# - **d** another mixture of the channels for each class

# %% solve="quiz_pooling_rank"
### BEGIN SOLUTION
#~ quiz_pooling_rank = ...  # "a", "b", "c" or "d"
quiz_pooling_rank = "b"
### END SOLUTION

# %% check="quiz_pooling_rank" points=1
check("quiz_pooling_rank", quiz_pooling_rank)
### HASHED AUTOTEST quiz_pooling_rank

# %% [markdown]
# ## 5.12 Quiz: what is saved { minutes: 1, difficulty: 2 }
#
# **A network ends with (2048, 7, 7), average pooling and `Linear(2048, 1000)`. Which of these heads has *fewer*
# parameters than that?**
#
# - **a** a Tucker layer of rank (2048, 1, 1, 1000)
# - **b** a Linear on the flattened activation
# - **c** a Tucker layer of rank (100, 1, 1, 100)
# - **d** a Tucker layer of rank (200, 7, 7, 200)

# %% solve="quiz_rivals"
### BEGIN SOLUTION
#~ quiz_rivals = ...  # "a", "b", "c" or "d"
quiz_rivals = "c"
### END SOLUTION

# %% check="quiz_rivals" points=1
check("quiz_rivals", quiz_rivals)
### HASHED AUTOTEST quiz_rivals

# %% [markdown]
# ## What to take away
#
# - A factor projects a mode. A TCL is a factor for each mode; a Tucker layer adds a core and a factor for the classes.
# - Project the input, and the full weight never exists. The order costs nothing but time, and a lot of it: the largest
#   $1/R_k - 1/I_k$ first.
# - Average pooling + Linear is a Tucker layer of rank $(C, 1, 1, N)$ with pooling factors of $1/H$ and $1/W$. So
#   it can start as the trained head, and learn from there.
# - Judge it against a head that was trained for as long, and against the average with features that may learn.
#
# In `trlkit`: `TCL`, `TuckerTRL` (its `explain(batch_size=128)` prints what each way to compute costs, and which one
# it takes), `TTTRL`, `init_from_linear`.
#
# ## To go further
#
# - Kossaifi, Lipton, Kolbeinsson, Khanna, Furlanello, Anandkumar: *Tensor Regression Networks*, JMLR 21 (2020). The
#   layer of this chapter, with ranks (r, 1, 1, r) in ResNets.
# - Kossaifi, Khanna, Lipton, Furlanello, Anandkumar: *Tensor Contraction Layers for Parsimonious Deep Nets*, CVPR
#   workshops (2017). The TCL.
# - Cao, Rabusseau: *Tensor Regression Networks with various Low-Rank Tensor Approximations*, arXiv 1712.09520 (2017). The
#   counterpoint: where global average pooling is the better head.
# - Oseledets: *Tensor-Train Decomposition*, SIAM Journal on Scientific Computing 33 (2011).
#
# **Next:** chapter 6, *Tensor dropout*: a regularizer that drops parts of a weight's rank.
