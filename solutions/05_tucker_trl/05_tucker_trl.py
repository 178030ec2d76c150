# %% [markdown]
# # 5. The Tucker tensor regression layer { minutes: 100, difficulty: 4 }
#
# **Half of today's networks end with an average over the pixels and a linear layer. The average has nothing to learn. What if
# it had?** Two things make that a question worth an evening. That head *is* a tensor regression layer, of a special Tucker
# rank: you will prove it. And whether the learned one is better is easy to get wrong: the first comparison that comes to
# mind says yes for a reason that has nothing to do with pooling.
#
# **After this chapter you can**
#
# - shrink an activation mode by mode, and find the order in which that is cheapest;
# - derive how core and factors must start, and write a Tucker regression layer;
# - turn any average pooling + `nn.Linear` into a Tucker layer that gives the same numbers;
# - compare a head that goes on from another one so that the comparison is fair.
#
# **You need** mode products and the inner product (chapter 1), and an idea of the Tucker decomposition (chapter 2).
#
# In this chapter a **factor** of mode $k$ always has the shape $(I_k, R_k)$: a row for each entry of the mode, a
# column for each of the $R_k$ things it is projected to. As everywhere, the checks also look at gradients, at the dtype (half
# precision too), at batches that lie in another order in memory, and at whether an argument was changed.

# %% lock="imports_05"
import copy
import math
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

import trlkit
from trlkit import ranks
from trlkit.course import check, explore, progress, reveal
from trlkit.lab import data, plotting, training
from trlkit.lab.statistics import interval

# %% [markdown]
# ## 5.1 Project every mode { minutes: 8, difficulty: 2 }
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

# %% check="project_input" points=1
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

# %% [markdown]
# ## 5.2 A layer that contracts { minutes: 4, difficulty: 1 }
#
# With factors that learn, the projection is a layer: the **tensor contraction layer** (TCL). Put between the
# convolutions and the head, it makes a small activation of a big one and keeps its modes. There is nothing in it that you have
# not written: a factor for each mode, a bias for each output number, and `project_input`.
#
# **Predict before you run.** From (512, 7, 7) to (64, 3, 3), how many times more numbers has an `nn.Linear` between the same
# shapes than the TCL, about: 4, 40, 400 or 40000 times?

# %% predict="tcl_size"
### BEGIN SOLUTION
#~ prediction = ...
prediction = 400
### END SOLUTION

# %%
tcl = trlkit.TCL((512, 7, 7), rank=(64, 3, 3))
for name, parameter in tcl.named_parameters():
    print(f"{name:10s} {tuple(parameter.shape)}")

flat, small = 512 * 7 * 7 * 64 * 3 * 3 + 64 * 3 * 3, sum(p.numel() for p in tcl.parameters())
print(f"together {small:,}; a Linear between the same shapes has {flat:,}, {flat / small:.0f} times as many")
reveal(prediction, lambda: min((4, 40, 400, 40_000), key=lambda n: abs(math.log(flat / small / n))))

# %% [markdown]
# ## 5.3 From the projection to classes { minutes: 8, difficulty: 3 }
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

# %% [markdown]
# ## 5.4 The Tucker regression layer { minutes: 15, difficulty: 4 }
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
# Now the module, and its start. An input of variance 1 has to give outputs of variance 1, at **any** sizes and ranks, with
# entries that are random around 0. Follow the three steps of 5.3: of how many products is a number of each result the sum, and
# which variance of the entries makes up for that? Zeros are no start: in one of the tensors they make every output the bias, and
# in two nothing but the bias ever learns, since the gradient of each is a product with all the others.

# %% solve="TuckerTRL"
class TuckerTRL(nn.Module):
    """A tensor regression layer with a Tucker weight.

    input_shape: tuple of N + 1 ints (I_0, ..., I_N), without the batch.   num_classes: int, C.
    rank: tuple of N + 2 ints (R_0, ..., R_N, R_out).
    Parameters: core, of shape rank; bias, of shape (C,); factors, an nn.ParameterList of N + 2:
    factors[k] of shape (I_k, R_k), the last one of shape (C, R_out).
    A fresh layer turns inputs of variance 1 into outputs of variance 1, whatever the sizes and
    ranks (as a mean over many fresh layers, each with new entries around 0); the bias starts at 0.
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

# %% check="TuckerTRL" points=4
check("TuckerTRL", TuckerTRL)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Which tensors does the layer keep from one call to the next, and which of them are in a list? For forward you have a function.
# </details>
#
# <details><summary>Hint: list indices must be integers or slices, or the last factor is lost</summary>
# <code>list(self.factors)</code> makes a plain list of a ParameterList, with all that a list can do.
# </details>
#
# <details><summary>Hint: my outputs start far too large or too small</summary>
# Take the steps of 5.3 one at a time, with sizes and ranks that all differ. Which step changes the variance, and by what?
# </details>

# %% [markdown]
# ## 5.5 What a projection costs { minutes: 8, difficulty: 2 }
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

# %%
shape, rank = (512, 7, 7), (200, 1, 1)
costs = {order: projection_flops(shape, rank, order) for order in [(0, 1, 2), (1, 0, 2), (1, 2, 0)]}
for order, flops in costs.items():
    print(f"order {order}: {flops / 1e6:6.2f} MFLOP a sample")
reveal(prediction, lambda: ("last", round(costs[0, 1, 2] / costs[1, 2, 0])))
if prediction[0] == "first":
    print("The channels are the largest mode, but their step is done at every pixel that is still there.")

# %% [markdown]
# A loop over the modes as they come has the channels first: the dearest of all orders. Core
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
# ## 5.6 The best order { minutes: 15, difficulty: 5 }
#
# Three modes have 6 orders, and one can try them all. Twelve have 479,001,600. **Find a rule**: a number for each
# mode, computed from its own $I_k$ and $R_k$ alone, by which one has only to sort.
#
# Is there one? Take two modes that are projected one right after the other, in the middle of some order. Exchange
# them: which terms of the whole cost change? Write both, cancel what they have in common, and try to bring all that belongs to
# $k$ to one side and all that belongs to $l$ to the other.
#
# **Predict before you derive.** Sizes (100, 10), ranks (50, 4): which mode goes first, 0 or 1? And sizes (100, 10), ranks (20, 9)?

# %% predict="first_mode"
### BEGIN SOLUTION
#~ prediction = (..., ...)
prediction = (1, 0)
### END SOLUTION

# %%
def cheaper_first(sizes, rank):
    return min((0, 1), key=lambda k: projection_flops(sizes, rank, (k, 1 - k)))


reveal(prediction, lambda: (cheaper_first((100, 10), (50, 4)), cheaper_first((100, 10), (20, 9))))
if prediction == (0, 0):
    print("Not simply the larger one: in the first example its step costs more than its shrinking saves.")
if prediction == (1, 1):
    print("Not simply the smaller rank: a mode that hardly shrinks saves nothing for the others.")

# %% solve="best_order"
def best_order(input_shape, rank):
    """The order of projections that costs the fewest FLOPs.

    input_shape: tuple of int (I_0, ..., I_N), a dozen or so.   rank: tuple of int (R_0, ..., R_N).
    Returns a tuple of int: the modes 0, ..., N in the order to project them. Where several orders
    cost the least, any of them is right.

    >>> best_order((512, 7), (100, 1))
    (1, 0)
    """
    ### BEGIN SOLUTION
    modes = range(len(rank))
    return tuple(sorted(modes, key=lambda k: 1 / input_shape[k] - 1 / rank[k]))
    ### END SOLUTION

# %% check="best_order" points=3
check("best_order", best_order)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# The cost of k then l is proportional to I_k R_k I_l + R_k I_l R_l. What is that of l then k? By what can you divide both, so
# that each term is left with one mode?
# </details>
#
# <details><summary>Hint: my order is exactly the wrong way round</summary>
# <code>sorted</code> starts with the smallest.
# </details>
#
# <details><summary>Hint: the largest mode first seems right to me</summary>
# Whatever comes first meets the full sizes of all the others. What makes its step cheap, and what makes it worth while?
# </details>

# %% [markdown]
# With two modes the rule reads: $k$ first if $1/R_k - 1/I_k > 1/R_l - 1/I_l$. It holds for any neighbors in any order, so
# sorting by that number, the largest first, is the best of all orders: any other has two neighbors that are better exchanged. A
# mode that shrinks to rank 1 leads (its number is 1/2 or more), a mode that grows comes last.

# %% [markdown]
# ## 5.7 Any average pooling and a Linear are a Tucker layer { minutes: 15, difficulty: 4 }
#
# ResNets, and most networks since, end like this: average each channel over its pixels, then one Linear with a weight
# $L$ of shape $(N, C)$, for $C$ channels of $H \times W$ pixels and $N$ classes:
#
# $$Y_{bn} = \sum_c L_{nc} \cdot \frac{1}{HW} \sum_{h,w} X_{b\,c\,h\,w} + b_n
# \qquad\text{so}\qquad W_{c\,h\,w\,n} = L_{nc} \cdot \frac{1}{H} \cdot \frac{1}{W}$$
#
# Along $h$ and $w$ that weight is constant: it has rank 1 there. VGG's head averages over **windows** and keeps a map, of 7 x 7
# windows, say; then it flattens, channel by channel, and the Linear has a number for each channel, window and class. That is a
# Tucker weight too. Of which rank? Find core and factors for any number of pooled modes and any windows that fit; one
# window that is as large as the map is the global average above. There is more than one right answer; the check looks at the
# shapes and at the weight that they make.

# %% solve="pooled_linear_as_tucker"
def pooled_linear_as_tucker(weight, input_shape, window):
    """Average pooling in windows, flatten and a Linear, as core and factors of a Tucker weight.

    input_shape: tuple of int (C, I_1, ..., I_M): all modes but the channels are averaged; M >= 1.
    window: tuple of int (w_1, ..., w_M), each dividing its I_k; J_k = I_k / w_k windows lie beside each other.
    weight: Tensor of shape (N, C * J_1 * ... * J_M), of the Linear behind the pooled, flattened activation.
    Returns (core, factors):
      core, a Tensor of shape (C, J_1, ..., J_M, N);
      factors, a list of M + 2 Tensors of the shapes (C, C), (I_1, J_1), ..., (I_M, J_M), (N, N).
    All of weight's dtype.

    >>> core, factors = pooled_linear_as_tucker(torch.ones(10, 6 * 2), (6, 4, 4), (2, 4))
    >>> core.shape, [tuple(factor.shape) for factor in factors]
    (torch.Size([6, 2, 1, 10]), [(6, 6), (4, 2), (4, 1), (10, 10)])
    """
    ### BEGIN SOLUTION
    channels, *sizes = input_shape
    counts = [size // w for size, w in zip(sizes, window)]
    like = {"dtype": weight.dtype, "device": weight.device}
    core = weight.T.reshape(channels, *counts, len(weight))
    pools = [torch.kron(torch.eye(j, **like), torch.full((w, 1), 1 / w, **like)) for j, w in zip(counts, window)]
    return core, [torch.eye(channels, **like), *pools, torch.eye(len(weight), **like)]
    ### END SOLUTION

# %% check="pooled_linear_as_tucker" points=4
check("pooled_linear_as_tucker", pooled_linear_as_tucker)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Begin with one window. Which matrix leaves 512 channels as they are? What is left for the two averages, and what for the core?
# </details>
#
# <details><summary>Hint: windows</summary>
# Look at the factors of the photograph in 5.1. Which rows of column j are not 0?
# </details>
#
# <details><summary>Hint: right shapes, wrong numbers</summary>
# In which order does the flattened activation run, and where does the weight of a Linear have its classes? A reshape moves no
# number.
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

core, factors = pooled_linear_as_tucker(fc.weight, (512, 7, 7), (7, 7))
yours = tucker_forward(activations, core, factors, fc.bias)
print(f"and with your core and factors {(yours - pooled).abs().max().item():.1e}")

fc4 = nn.Linear(512 * 2 * 2, 10)
maps = torch.randn(16, 512, 8, 8)
core, factors = pooled_linear_as_tucker(fc4.weight, (512, 8, 8), (4, 4))
error = (tucker_forward(maps, core, factors, fc4.bias) - fc4(F.avg_pool2d(maps, 4).flatten(1))).abs().max().item()
print(f"four windows, rank {tuple(core.shape)}: {error:.1e}")

# %% [markdown]
# ## 5.8 An experiment: let the average learn { minutes: 18, difficulty: 4 }
#
# An average pooling has nothing to learn. The same thing written as a Tucker layer has: its two pooling
# factors are parameters like any other. Start as the trained head, with not one output changed, and train on.
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


def learn(layer, x, labels, steps=300):
    """Train a layer on features, in place: Adam, all features in each step."""
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
    for _ in range(steps):
        loss = F.cross_entropy(layer(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return layer


def tucker_head(spatial_rank, head):
    """A Tucker layer that starts as a trained average + Linear, with spatial_rank ** 2 poolings."""
    trl = trlkit.TuckerTRL((16, 7, 7), 10, rank=(16, spatial_rank, spatial_rank, 10))
    trl.init_from_linear(head[2].weight, head[2].bias, pooling_modes=(1, 2))
    return trl


runs = []
for seed in range(4):
    network = train_whole(seed, average_head)
    with torch.no_grad():
        runs.append((network[1], network[0](digits_x), network[0](held_out)))
        share = (network(held_out).argmax(1) == truth).double().mean().item()
    print(f"seed {seed}: average + Linear reads {share:.1%} of the held-out digits")

# %% [markdown]
# `tucker_head(1, head)` is such a rival: one pooling, that learns. `tucker_head(2, head)` has two row factors times two column
# factors, so four poolings; it starts as the same head.
#
# **Predict before you measure.** After 100 steps for both sides, seed by seed: is one learned pooling ahead of the average
# ("rival"), behind it ("head"), or is it "undecided"? And four poolings?

# %% predict="pooling_gain"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # one pooling, four poolings: "rival", "head" or "undecided"
prediction = ("undecided", "rival")
### END SOLUTION

# %% [markdown]
# Now the comparison. Here is one that is quickly written and looks convincing: measure the head, then train a rival that starts
# as this head, and measure that. It is *not* fair, and you will see by how much. Write one that is: for each run both sides
# start from the head as it came, both get as much training on the same features, both are measured on the unseen ones, and
# what you keep is the difference. `interval(gains)` gives the mean and half the width of its 95 % interval; name a winner
# only where 0 lies outside.
#
# The check gives you heads, and a `rival` and a `learn` of its own, which note what you do with them; and it compares
# your conclusion with what **you** measured.

# %% solve="fair_gains"
def fair_gains(runs, rival, learn, labels, truth, steps):
    """What a rival gains over going on with the head that it starts as.

    runs: list of (head, features, unseen): a trained nn.Module, and Tensors that it maps to class scores.
    rival: a function; rival(head) makes a new layer that starts as this head.
    learn: a function; learn(layer, features, labels, steps) trains a layer in place.
    labels, truth: integer Tensors, of the features and of the unseen samples of every run.
    steps: int, the steps of training for each side.
    Returns (gains, ahead): gains is a list with a float for each run, the share of unseen samples that
    the trained rival reads minus that of the head, trained on; ahead is "rival", "head" or "undecided".
    The heads are afterwards what they were.
    """
    ### BEGIN SOLUTION
    gains = []
    for head, features, unseen in runs:  # one start for both sides
        shares = []
        for layer in (rival(head), copy.deepcopy(head)):
            learn(layer, features, labels, steps)  # as much for one as for the other
            with torch.no_grad():  # it is measured, no more
                shares.append((layer(unseen).argmax(1) == truth).double().mean().item())
        gains.append(shares[0] - shares[1])
    mean, half = interval(gains)  # over the runs
    return gains, "undecided" if abs(mean) <= half else "rival" if mean > 0 else "head"
    ### END SOLUTION

# %% check="fair_gains" points=4
check("fair_gains", fair_gains)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Take one run. How many layers have to be trained, from which start, and which object must not be touched?
# </details>
#
# <details><summary>Hint: when is the rival made?</summary>
# What does the head look like at that moment, and what should it look like?
# </details>

# %%
torch.manual_seed(0)  # what four poolings have more than one starts at random
outcome = {}
for poolings, steps in ((1, 100), (1, 300), (2, 100)):
    gains, ahead = fair_gains(runs, partial(tucker_head, poolings), learn, labels, truth, steps)
    outcome[poolings, steps] = gains, ahead
    mean, half = interval(gains)
    each = ", ".join(f"{100 * gain:+.1f}" for gain in gains)
    print(f"{poolings**2} pooling(s), {steps} steps: {mean:+.1%} +- {half:.1%} ({each}): {ahead}")

unfair = []
for head, features, unseen in runs:
    with torch.no_grad():
        before = (head(unseen).argmax(1) == truth).double().mean().item()
    trained = learn(tucker_head(1, head), features, labels, 100)
    unfair.append((trained(unseen).argmax(1) == truth).double().mean().item() - before)
print(f"the unfair comparison, 1 pooling, 100 steps: {sum(unfair) / len(unfair):+.1%}")
found = outcome[1, 100][1], outcome[2, 100][1]
reveal(prediction, lambda: found)
if prediction[0] == "rival" != found[0]:
    print("The unfair comparison says so. Most of its gain is the training, which the average gets as well.")

# %% [markdown]
# Read the lines as a judge would. The unfair number is what a rival shows beside a head that stood still. Seed by seed, at
# equal steps, what is left of it is the first two lines. Is 0 inside the interval? Then four runs have not shown that one learned
# pooling is better than the average that it starts as. Four poolings are another matter: they can tell *where* on the image
# something is, which no average can. They have a price: 1,034 numbers, and the average has 170.
#
# All of them had to live with features that were made for an average. What if the convolutions train *with* the
# pooling, from scratch? Three networks for 30 epochs each: average + Linear; a Tucker layer of rank (16, 1, 1, 10) that
# starts at random; and, to see what is due to what, the same with its two pooling factors held at 1/7. That last one
# computes what average + Linear can, only written as a product.

# %%
def accuracy(network, inputs):
    with torch.no_grad():
        return (network(inputs).argmax(1) == truth).double().mean().item()


def random_head():
    return trlkit.TuckerTRL((16, 7, 7), 10, rank=(16, 1, 1, 10))


def frozen_head():
    """A Tucker head whose two pooling factors are the average and stay so."""
    trl = random_head()
    for factor in (trl.factors[1], trl.factors[2]):
        nn.init.constant_(factor, 1 / 7).requires_grad_(False)
    return trl


together = {"average + Linear": [accuracy(head, unseen) for head, _, unseen in runs[:3]]}
for name, head in {"Tucker, frozen average": frozen_head, "Tucker, all learned": random_head}.items():
    together[name] = [accuracy(train_whole(seed, head), held_out) for seed in range(3)]
for name, values in together.items():
    each = ", ".join(f"{value:.1%}" for value in values)
    print(f"{name:24s}{sum(values) / len(values):.1%}   ({each})")

# %% [markdown]
# The network with the learned pooling learns faster in these 30 epochs. A part of that is not the
# pooling: compare the frozen average, which is an average and no more; Adam takes other steps
# where a weight is a product. And a part is time: 30 epochs are few for the plain head. That is a shallow network, whose
# features see only a patch of the image each, on few images. It does not carry over to every
# network: Cao and Rabusseau (2017) found a TRL (with dropout) ahead for shallow networks and few samples, and the
# *reverse* for a deep one on CIFAR-10, where the plain average beat it. So set it against the average, each time.

# %% [markdown]
# ### What has it learned?
#
# Row factor and column factor of the rank-1 layer make one picture: the weight of each pixel in the pooling. It began
# as 1/49 everywhere. A sign or a size can move from a factor to the core without changing the layer, so the picture is
# divided by its sum; it is drawn in multiples of 1/49, so that 1 is the average.

# %%
head, features, _ = runs[0]
learned, four = (learn(tucker_head(rank, head), features, labels, 200) for rank in (1, 2))
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


rows, columns = (basis(four.factors[k]) for k in (1, 2))
names = ("nearly an average", "a column profile", "a row profile", "both")
products = [torch.outer(rows[:, i], columns[:, j]) for i in (0, 1) for j in (0, 1)]
plotting.images(dict(zip(names, products)), signed=True)

# %% [markdown]
# The second and third set some columns or rows against others, which no average can: what is purple counts one way, what
# is orange the other.

# %% [markdown]
# ### Open challenge: beat the average, seed by seed
#
# Find a head that starts as the average head, gets the same 100 steps, and is ahead of it on **every** seed, with as few numbers
# as you can. The course's own: `tucker_head(2, head)`, on the line below. Or show that none with fewer than 200 numbers does. No
# points: the figure is yours. (The average has 170 numbers.)

# %%
def my_rival(head):
    return tucker_head(2, head)


gains, ahead = fair_gains(runs, my_rival, learn, labels, truth, 100)
count = sum(p.numel() for p in my_rival(runs[0][0]).parameters())
print(f"{count:,} numbers; least gain {100 * min(gains):+.1f} points, mean {100 * sum(gains) / len(gains):+.1f}: {ahead}")

# %% [markdown]
# ## 5.9 Bonus: a tensor train { minutes: 6, difficulty: 3 }
#
# The core of a Tucker weight has as many modes as the weight, so at fixed ranks it grows exponentially in their number. A **tensor
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

# %% check="tt_forward" points=1
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

# %% [markdown]
# ### Turn it: a rank for each mode
#
# **Predict before you turn.**
# A linear head was trained on digits, and its weight, (16, 4, 4, 10), is cut down to a Tucker form *afterwards*. Which costs more
# of the digits: to keep 6 of the 16 channels, or 2 of the 4 rows and columns? Write it down, then turn.

# %%
explore("a rank for each mode")

# %% [markdown]
# ## 5.10 Quiz: ones { minutes: 1, difficulty: 1 }
#
# **You build the Tucker layer of 5.7 for (512, 7, 7) and one window, but fill the two pooling factors with 1 in place of 1/7. Beside
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
# What you know now, and someone who only ever writes `nn.Linear` does not:
#
# - **Average pooling + Linear is a Tucker layer** of rank $(C, J_1, J_2, N)$, a rank for each window along a mode. So
#   a Tucker layer can start as the trained head, and learn from there.
# - **A rival that trains on beats a head that stands still**, whatever it is. Give both the same start, the same steps and the
#   same measure, and read the differences seed by seed.
# - Project the input, and the full weight never exists. The order changes no number and much time: the largest
#   $1/R_k - 1/I_k$ first.
# - A start is right if each step keeps the variance: what counts is of how many products a number is the sum.
# - Is the average beaten elsewhere? On CIFAR-10, five seeds, average + Linear minus Tucker: <!--fact heads; all; GAP + Linear; minus Tucker-->-1.0 ± 0.5<!--/fact--> points behind a VGG16 that learns with its head; minus
#   CP, <!--fact samples; 100 %; GAP + Linear; minus CP-->-16.2 ± 0.7<!--/fact--> behind a small CNN, and <!--fact transfer; 1 %; GAP + Linear; minus CP-->+0.7 ± 0.2<!--/fact--> on frozen features with few photographs. It depends on what stands before it.
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

# %%
progress()
