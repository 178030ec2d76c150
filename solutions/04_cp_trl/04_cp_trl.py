# %% [markdown]
# # 4. The CP tensor regression layer { minutes: 105, difficulty: 4 }
#
# **A layer with a hundredth of the numbers: is it faster? And does it learn from fewer examples?** Both seem plain. You
# will write the layer, `CPTRL`, and find out by counting, by the clock and by an experiment of your own design. One of
# the two answers is *it depends*, and you will derive on what; about the other most people would lose a bet.
#
# **After this chapter you can**
#
# - compute the layer without ever making a tensor that is larger than what it is given;
# - derive how its factors must start, and write it as a module that learns, saves and loads;
# - write a test that tells a sound layer from a broken one that looks like it;
# - say for a batch, a rank and a number of classes which way to compute it is cheaper, and against what it saves;
# - compare two layers so that chance and your hopes have no part in it.
#
# **You need** the Khatri-Rao product and `einsum` from chapter 1, the CP decomposition from chapter 2, and
# $\langle W, X\rangle + b$ from chapter 3. Of `trlkit`, the functions of chapter 1 may be used in your answers
# (`khatri_rao`, `outer`, `mode_dot`, `inner`, ...), but not `trlkit.CPTRL`: that is what you write. As everywhere, the
# checks also look at gradients, at the dtype (half precision too), at batches that lie in another order in memory, and at
# whether an argument was changed.

# %% lock="imports_04"
import copy
import math
import time
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import nn

import trlkit
from trlkit.course import check, explore, progress, reveal
from trlkit.course.checking.watch import Largest
from trlkit.lab import data, plotting
from trlkit.lab.statistics import interval

# %% [markdown]
# ## 4.1 A race { minutes: 5, difficulty: 1 }
#
# A batch of 128 activations (512, 7, 7), as VGG16 makes them, goes to class scores: by *flatten + Linear*, or by a CP tensor
# regression layer, whose weight is a sum of 100 rank-1 tensors. Here are the numbers that each has to store for 1000 classes:

# %%
plotting.flatten_against_trl((512, 7, 7), num_classes=1000, rank=100)

# %% [markdown]
# **Predict before you run.** Is the CP layer *faster* or *slower* than the Linear, forward, on your machine: for 10 classes,
# where it has a fifth of the numbers, and for 1000 classes, where it has less than a hundredth?

# %% predict="race"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # "faster" or "slower": for 10 classes, for 1000 classes
prediction = ("slower", "faster")
### END SOLUTION

# %%
def milliseconds(ways, *args, rounds=5):
    """The median time of each way on the same arguments; the ways take turns, after one round to warm up."""
    taken = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            with torch.no_grad():
                way(*args)
            taken[name].append(1e3 * (time.perf_counter() - began))
    return {name: median(times[1:]) for name, times in taken.items()}


def race(num_classes):
    x = torch.randn(128, 512, 7, 7)
    ways = {
        "Linear": nn.Sequential(nn.Flatten(), nn.Linear(25088, num_classes)),
        "CP": trlkit.CPTRL((512, 7, 7), num_classes, rank=100).train(),
    }
    times = milliseconds(ways, x)
    for name, way in ways.items():
        count = sum(p.numel() for p in way.parameters())
        print(f"{num_classes:>5} classes, {name:<7}{count:>11,} parameters{times[name]:>8.1f} ms")
    return "faster" if times["CP"] < times["Linear"] else "slower"


found = (race(10), race(1000))
reveal(prediction, lambda: found)
if prediction == ("faster", "faster") and found[0] == "slower":
    print("So few numbers, and yet more work: the layer has to be put together before a batch can meet it.")
if prediction == ("slower", "slower") and found[1] == "faster":
    print("It need not put together what it does not use: you will write that way in 4.3.")

# %% [markdown]
# Fewer numbers are not less work by themselves. Why it is slower here and faster there, and where it turns, is what you will
# be able to say in 4.9, from two lines of algebra.

# %% [markdown]
# ## 4.2 What the layer is { minutes: 4, difficulty: 1 }
#
# A batch of activations $X$ of shape $(B, I_0, \dots, I_N)$ meets a weight $W$ of shape $(I_0, \dots, I_N, C)$: one
# number for every entry of the activation and every class. Summed over all input modes and shifted by a bias, that is a
# linear layer on the flattened activation. A **CP tensor regression layer** stores the weight as one factor for
# each mode, $U_k$ of shape $(I_k, R)$, and $V$ of shape $(C, R)$ for the classes:
#
# $$W_{i_0 \dots i_N\, c} = \sum_{r=1}^{R} U_0[i_0, r] \cdots U_N[i_N, r]\; V[c, r]
# \qquad\qquad Y_{b\,c} = \sum_{i_0 \dots i_N} X_{b\, i_0 \dots i_N} W_{i_0 \dots i_N\, c} + b_c$$
#
# In the code, `factors` is the list $[U_0, \dots, U_N, V]$: those of the input modes in their order, then that of the
# classes. $P$ is the product of the input sizes (25088 for VGG16), $C$ the number of classes, $B$ the batch size
# and $R$ the rank.
#
# The plainest way to compute it takes the formulas literally. It is three lines, so here they are, and a function that tells
# the largest tensor that any way makes while it runs:

# %%
def cp_forward_rebuild(x, factors, bias):
    """A CP tensor regression of a batch, by building the full weight."""
    inputs = trlkit.khatri_rao(list(factors[:-1]))  # (P, R)
    weight = inputs @ factors[-1].T  # (P, R) x (R, C) -> (P, C)
    return x.flatten(1) @ weight + bias  # (B, P) x (P, C) -> (B, C)


def largest_tensor(way, batch_size, input_shape, num_classes, rank):
    """The numbers in the largest tensor that a forward makes, for random x and factors."""
    factors = [torch.randn(size, rank) for size in (*input_shape, num_classes)]
    with Largest() as largest:
        way(torch.randn(batch_size, *input_shape), factors, torch.zeros(num_classes))
    return largest.numbers


made = largest_tensor(cp_forward_rebuild, 4, (64, 7, 7), 1000, 50)
print(f"a batch of {4 * 64 * 7 * 7:,} numbers, {50 * (64 + 7 + 7 + 1000):,} in the factors, and a tensor of {made:,}")

# %% [markdown]
# ## 4.3 A puzzle: nothing larger than the batch { minutes: 12, difficulty: 4 }
#
# The weight is built anew in every step of the training, since the factors have changed. Need it be built at all? Pull the
# sums apart, and let the *batch* meet one factor after the other:
#
# $$Y_{b\,c} = \sum_r V[c, r] \sum_{i_N} U_N[i_N, r] \cdots \sum_{i_1} U_1[i_1, r] \sum_{i_0} U_0[i_0, r]\; X_{b\, i_0 i_1
# \dots i_N} \; + \; b_c$$
#
# Read it from the inside. The first sum turns the mode $i_0$ into the index $r$: (B, 512, 7, 7) becomes (B, 7, 7, R), as in a
# 1 x 1 convolution with $R$ filters. In the later ones $r$ stands in both operands *and in the result*.
#
# **Predict before you run.** How large may the rank be, so that after this first sum there are no more numbers than in the
# batch (B, 512, 7, 7) itself?

# %% predict="largest_rank"
### BEGIN SOLUTION
#~ prediction = ...
prediction = 512
### END SOLUTION

# %%
reveal(prediction, lambda: max(r for r in range(1, 2000) if r * 7 * 7 <= 512 * 7 * 7))

# %% [markdown]
# **The puzzle.** Write the forward for any number of input modes and *any rank*, so that no tensor that you make
# holds more numbers than the batch. (Larger ones are allowed only where what you are given, or what you return, is larger
# than the batch.) The check watches every tensor. Each line of the formula is allowed; the order of the modes is yours.

# %% solve="cp_forward_by_modes"
def cp_forward_by_modes(x, factors, bias):
    """A CP tensor regression of a batch in which no tensor is larger than the batch.

    x: Tensor of shape (B, I_0, ..., I_N), at least one input mode.
    factors: list of N + 2 Tensors: (I_0, R), ..., (I_N, R), and (num_classes, R) for the classes.
    bias: Tensor of shape (num_classes,).
    Returns a Tensor of shape (B, num_classes), of x's dtype: what cp_forward_rebuild returns.

    >>> x, factors = torch.ones(2, 3, 4), [torch.ones(3, 6), torch.ones(4, 6), torch.ones(5, 6)]
    >>> cp_forward_by_modes(x, factors, torch.ones(5))[0]
    tensor([73., 73., 73., 73., 73.])
    """
    ### BEGIN SOLUTION
    y = bias
    for part in zip(*(factor.split(x.shape[1], dim=1) for factor in factors)):
        z = torch.einsum("bi...,ir->b...r", x, part[0])  # the first mode becomes the rank
        for factor in part[1:-1]:
            z = torch.einsum("bi...r,ir->b...r", z, factor)  # column r meets column r
        y = y + z @ part[-1].T  # (B, r) x (r, C) -> (B, C)
    return y
    ### END SOLUTION

# %% check="cp_forward_by_modes" points=3
check("cp_forward_by_modes", cp_forward_by_modes)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Forget the limit first, and take two input modes. Which letters has the first product in its result, and which of them does
# the second one sum away?
# </details>
#
# <details><summary>Hint: after two modes I have two indices for the rank</summary>
# A second <code>tensordot</code> or <code>mode_dot</code> with a factor makes a new index. What does the formula say about
# the r of both?
# </details>
#
# <details><summary>Hint: only for a large rank is a tensor too large</summary>
# Which sum of the formula is over r? A sum may be taken in any pieces. How large may a piece be?
# </details>
#
# <details><summary>Hint: a tensor is too large from the start</summary>
# Does x take part in your first product? And does that product sum while it multiplies, or afterwards?
# </details>

# %%
for name, way in {"rebuild": cp_forward_rebuild, "by modes": cp_forward_by_modes}.items():
    made = largest_tensor(way, 4, (64, 7, 7), 1000, 200)
    print(f"{name:<9} largest tensor {made:>9,} numbers; the batch has {4 * 64 * 7 * 7:,}, a factor up to {1000 * 200:,}")

# %% [markdown]
# ## 4.4 A start that keeps the scale { minutes: 10, difficulty: 4 }
#
# A layer must start somewhere. Random factors are natural, but how large? Their entries are multiplied, and the products
# are summed over the rank and over all inputs. Take factors of spread (standard deviation) 1, an activation of
# independent entries of spread 1, and no bias.
#
# Two rules are enough. For *independent* numbers of mean 0, the variance of a **product** is the product of the
# variances, and the variance of a **sum** is the sum of the variances. (For sums it suffices that the terms are
# uncorrelated, as they are here though they share factors.)
#
# **Predict before you run.** VGG16's activation (512, 7, 7), rank 100, factors of spread 1: what is the spread of an
# output, about?

# %% predict="output_spread"
### BEGIN SOLUTION
#~ prediction = ...  # a whole number; within a tenth will do
prediction = 1600
### END SOLUTION

# %%
reveal(prediction, lambda: round(math.sqrt(25088 * 100)))
if prediction == 1:
    print("A spread of 1 stays 1 in a product. But how many products does one output sum?")
if prediction in (158, 10, 100):
    print("That is one of the two sums: an output runs over all inputs and over the rank.")

# %% [markdown]
# So it is, and not only on paper. Here are measured spreads for a smaller activation, beside those of
# `nn.Linear`, whose outputs keep to one scale whatever the size of the input:

# %%
def output_spread(std, rank, input_shape=(16, 7, 7), classes=50):
    """The spread of the outputs on random inputs, for factors of spread std."""
    factors = [std * torch.randn(size, rank) for size in (*input_shape, classes)]
    layer = trlkit.CPTRL.from_tensorly((None, factors))
    return layer(torch.randn(200, *input_shape)).std().item()


torch.manual_seed(0)
ranks = [1, 2, 5, 10, 20, 50, 100]
linear = nn.Linear(16 * 7 * 7, 50)(torch.randn(200, 16 * 7 * 7)).std().item()
lines = {
    "factors of spread 1": (ranks, [output_spread(1.0, rank) for rank in ranks]),
    "nn.Linear": (ranks, [linear] * len(ranks)),
}
plotting.curves(lines, "rank", "spread of the outputs", log="xy")

# %% [markdown]
# Scores of spread 100 and more make a softmax that is certain of everything and wrong: the first gradients are huge
# or useless. We want what `nn.Linear` does. It draws its weight evenly between $-1/\sqrt P$ and $1/\sqrt P$, so every
# weight has the **variance $1/(3P)$**, and outputs have the variance $1/3$.
#
# Let every entry of *every* factor (that of the classes too) be normal with mean 0 and one common standard deviation
# $\sigma$. Which $\sigma$ gives every entry of $W$ the variance $1/(3P)$? Derive it on paper, for any number of input modes.

# %% solve="cp_factor_std"
def cp_factor_std(input_shape, rank):
    """The standard deviation of the factors' entries at which the weight starts as nn.Linear's does.

    input_shape: tuple of int, the sizes of the input modes, without the batch.
    rank: int.
    Returns a Python float.

    >>> round(cp_factor_std((512, 7, 7), 100), 4)
    0.1382
    """
    ### BEGIN SOLUTION
    n_factors = len(input_shape) + 1
    variance = 1 / (3 * math.prod(input_shape))  # of one entry of the weight
    return (variance / rank) ** (1 / (2 * n_factors))
    ### END SOLUTION

# %% check="cp_factor_std" points=2
check("cp_factor_std", cp_factor_std)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Look at one entry of W in the formula of 4.2. How many numbers does one of its terms multiply, and how many terms are there?
# </details>
#
# <details><summary>Hint: where is the number of classes?</summary>
# Does any output sum over the classes? And is there an entry of the class factor in a term?
# </details>

# %% [markdown]
# The measurement again, with your spread. The two rules promise the variance 1/3 *on average* over draws. A single draw can be
# far from it, most of all at rank 1: a product of four normal numbers is often tiny and now and then large. There about two of
# three draws are below, and the rare large ones make up for it:

# %%
torch.manual_seed(1)
for rank in (1, 10, 100):
    std = cp_factor_std((16, 7, 7), rank)
    variances = [output_spread(std, rank) ** 2 for _ in range(200)]
    below = sum(variance < 1 / 3 for variance in variances) / 200
    print(f"rank {rank:>3}: mean variance {sum(variances) / 200:.2f}, {below:.0%} of the draws below 1/3")
print(f"nn.Linear:         {linear**2:.2f}")

# %% [markdown]
# `trlkit.CPTRL` therefore goes one step further: it draws the columns of the factors and then gives each of them the length
# that it should have on average. The variance is the one that you derived; most of the luck of the draw is gone.

# %% [markdown]
# ## 4.5 The layer { minutes: 8, difficulty: 3 }
#
# Now the module. Three things make an `nn.Module` learn: its tensors are `nn.Parameter`s, **it knows them**, and forward
# uses them as they are now. Here is a first version:

# %%
class Forgetful(nn.Module):
    def __init__(self):
        super().__init__()
        self.tensors = [nn.Parameter(torch.randn(size, 100)) for size in (512, 7, 7, 10)]
        self.shift = nn.Parameter(torch.zeros(10))


forgetful = Forgetful()

# %% [markdown]
# **Predict before you run.** The list holds 53,600 numbers, the shift 10. How many parameters does PyTorch find?

# %% predict="forgetful_parameters"
### BEGIN SOLUTION
#~ prediction = ...
prediction = 10
### END SOLUTION

# %%
reveal(prediction, lambda: sum(p.numel() for p in forgetful.parameters()))
if prediction in (53_610, 53_600):
    print("Being a Parameter is not enough: the module has to know of it.")

# %% [markdown]
# Here most first versions fail, without an error. A module sees what is assigned to it as an attribute: a Parameter, another module, or one of the containers
# made for this, `nn.ParameterList` and `nn.ModuleList`. It does not look into Python's own lists.
#
# Write `CPTRL` so that
#
# - `self.factors` is an `nn.ParameterList` of the factors, of shapes (I_0, rank), ..., (I_N, rank), (num_classes, rank)
#   (indexing, slicing and loops work as with a list);
# - `self.bias` is an `nn.Parameter` of shape (num_classes,), starting with zeros (or small, as `nn.Linear`'s);
# - these are all its parameters, and its `state_dict` holds nothing else;
# - they are float32, as `torch.randn` makes tensors if nobody says otherwise; `layer.double()` makes a float64 layer of it;
# - the factors start random around 0, independent of each other and other ones for each new layer, so that an entry of the
#   weight has the variance of 4.4;
# - `forward` takes (B, *input_shape) to (B, num_classes) for any B and any number of input modes, in the layer's
#   dtype, the same in training and in eval mode, with the factors as they are at that moment.
#
# You have everything it takes from 4.3 and 4.4. (Where one of those is not right yet, the check puts a right one in its place.)

# %% solve="CPTRL"
class CPTRL(nn.Module):
    """A tensor regression layer whose weight is a sum of rank-1 tensors.

    input_shape: tuple of int, without the batch; num_classes: int; rank: int.
    Parameters: factors, an nn.ParameterList of (I_0, rank), ..., (I_N, rank), (num_classes, rank);
    bias, of shape (num_classes,).

    >>> layer = CPTRL((512, 7, 7), 10, 100)
    >>> sum(p.numel() for p in layer.parameters())
    53610
    >>> layer(torch.randn(2, 512, 7, 7)).shape
    torch.Size([2, 10])
    """

    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        ### BEGIN SOLUTION
        std = cp_factor_std(input_shape, rank)
        sizes = (*input_shape, num_classes)
        self.factors = nn.ParameterList([std * torch.randn(size, rank) for size in sizes])
        self.bias = nn.Parameter(torch.zeros(num_classes))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return cp_forward_by_modes(x, list(self.factors), self.bias)
        ### END SOLUTION

# %% check="CPTRL" points=3
check("CPTRL", CPTRL)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# What has to be kept from one call to the next, and what follows from it? The first belongs into the constructor. For the
# second you have a function.
# </details>
#
# <details><summary>Hint: the check finds no factors</summary>
# Print <code>[name for name, _ in layer.named_parameters()]</code> for a layer of yours. <code>nn.ParameterList</code> takes a
# list of tensors and makes Parameters of them.
# </details>
#
# <details><summary>Hint: the output does not follow when the factors change</summary>
# Whatever is computed from the factors in <code>__init__</code> is computed once. It belongs into forward.
# </details>

# %% [markdown]
# ## 4.6 A test that no broken layer passes { minutes: 15, difficulty: 5 }
#
# Your layer has passed a check. Could you have written the check? A layer that is wrong rarely raises an error: it trains a
# little worse, or is fine until someone loads it, or calls `eval()`. Here is one, and a test of the sort that one writes first:

# %%
class Careless(CPTRL):
    def forward(self, x):
        return cp_forward_by_modes(x, [factor.abs() for factor in self.factors], self.bias)


def first_test(layer, x):
    return layer(x).shape == (len(x), len(layer.bias)) and layer(x).isfinite().all().item()


print("the careless layer passes it:", first_test(Careless((4, 4), 3, 5), torch.randn(2, 4, 4)))

# %% [markdown]
# Write a better one. It gets a layer that has the parameters of 4.5 (`layer.factors`, `layer.bias`) and a batch, and says
# whether the layer is **sound**: whatever its parameters hold, and whatever it was called with before, in training and in eval
# mode, for any batch, its output is the CP regression with the parameters *as they are now*; and the gradients of all
# parameters and of the batch are those of that regression. You may do anything to the layer, as long as it is afterwards what
# it was, numbers and mode; and the batch stays as it came.
#
# The check hands you sound layers of several makes (they sum in another order, or are in float32) and fifteen broken ones,
# no two with the same fault. It tells how many get past your test, and what gives one of them away. All must be told apart.

# %% solve="is_sound"
def is_sound(layer, x):
    """Whether a layer computes the CP regression of its parameters, always, with its gradients.

    layer: an nn.Module with layer.factors, an nn.ParameterList of N + 2 factors, and layer.bias, and
    no other parameters; x: Tensor of shape (B, I_0, ..., I_N) of their dtype, B >= 2.
    Returns True or False; the layer's parameters, its mode and x are afterwards what they were.

    For example, is_sound(CPTRL((4, 4), 3, 5), torch.randn(2, 4, 4)) is True for a right CPTRL.
    """
    ### BEGIN SOLUTION
    state, mode = copy.deepcopy(layer.state_dict()), layer.training
    parameters = list(layer.parameters())

    def agrees(part):
        part = part.detach().clone().requires_grad_()
        expected = cp_forward_by_modes(part, list(layer.factors), layer.bias)
        y = layer(part)
        if y.shape != expected.shape or not y.requires_grad:
            return False
        cotangent = torch.randn_like(y)
        wanted = torch.autograd.grad(expected, [part, *parameters], cotangent)
        got = torch.autograd.grad(y, [part, *parameters], cotangent, allow_unused=True)
        pairs = zip((y, *got), (expected, *wanted))
        return all(a is not None and torch.allclose(a, b, 1e-3, 1e-4) for a, b in pairs)

    try:
        for _ in range(2):  # what a layer keeps shows when its parameters change once more
            with torch.no_grad():  # new numbers, from outside
                for parameter in parameters:
                    parameter.copy_(torch.randn_like(parameter))
            for training in (True, False):
                layer.train(training)
                if not (agrees(x) and agrees(x[:1])):
                    return False
        return True
    finally:
        layer.load_state_dict(state)
        layer.train(mode)
    ### END SOLUTION

# %% check="is_sound" points=3
check("is_sound", is_sound)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# You have a function whose output is right. What do you have to compare, and under which conditions?
# </details>
#
# <details><summary>Hint: some broken layers still get past</summary>
# Read the definition of <i>sound</i> again and count its conditions. Is each of them tried, and in combination with the others?
# The check names a symptom of one that is left.
# </details>
#
# <details><summary>Hint: it refuses a sound layer</summary>
# Two right ways rarely agree to the last digit. And is what you compare with computed from the numbers that are in the layer
# at that moment?
# </details>
#
# ### Three layers, one function
#
# Your parameters have the names of trlkit's, so the two layers can load each other's state. `tltorch.TRL` is the layer of
# TensorLy-Torch; `to_tltorch` makes one of the same factors. (Importing `tltorch` sets TensorLy's backend to PyTorch in
# the whole process. Nothing in this course minds.) Your test on the first two, and the numbers of all three:

# %%
torch.manual_seed(0)
mine = CPTRL((16, 7, 7), 10, 20)
theirs = trlkit.CPTRL((16, 7, 7), 10, rank=20)
theirs.load_state_dict(mine.state_dict())
third = theirs.to_tltorch()

x = torch.randn(4, 16, 7, 7)
for name, layer in {"yours": mine, "trlkit's": theirs, "a careless one": Careless((16, 7, 7), 10, 20)}.items():
    print(f"sound: {name:<15}{is_sound(layer, x)}")
with torch.no_grad():
    y = mine(x)
    print("largest difference to trlkit.CPTRL:", f"{(y - theirs(x)).abs().max():.1e}")
    print("largest difference to tltorch.TRL: ", f"{(y - third(x)).abs().max():.1e}")
for name, layer in {"yours": mine, "trlkit.CPTRL": theirs, "tltorch.TRL": third}.items():
    print(f"{name:<13}{sum(p.numel() for p in layer.parameters()):>6} parameters")

# %% [markdown]
# Differences of some $10^{-7}$ are float32 summing in another order. The 20 parameters more of `tltorch.TRL` are a scale for
# each term, which the factors could take over. It also has no way mode by mode for CP: its forward always rebuilds
# the weight (read in its version 0.5.0).

# %% [markdown]
# ## 4.7 An experiment: do fewer numbers need fewer examples? { minutes: 18, difficulty: 4 }
#
# In chapter 3 a low-rank weight was found from far fewer samples than an unrestricted one. So a CP layer should beat a
# Linear when examples are few. Should it? Two sets of 8 x 8 images and 10 classes:
#
# - **planted**: noise, with labels that a weight of CP rank 2 has made;
# - **digits**: scikit-learn's, small real images. Nobody knows a weight for them, let alone its rank.

# %%
def planted(seed=1):
    """Noise images (n, 8, 8) and the labels that a weight of CP rank 2 gives them."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns, classes = (torch.randn(n, 2, generator=generator) for n in (8, 8, 10))
    x = torch.randn(1500, 8, 8, generator=generator)
    labels = torch.einsum("bhw,hr,wr,cr->bc", x, rows, columns, classes).argmax(1)
    return x[:1000], labels[:1000], x[1000:], labels[1000:]


parts, _, test = data.digits(8)  # the three channels are equal
digits = parts.tensors[0][:, 0], parts.tensors[1], test.tensors[0][:, 0], test.tensors[1]
images, labels, _, _ = digits
plotting.images({str(digit): images[labels == digit][0] for digit in range(10)}, rows=2)

# %% [markdown]
# The rivals: `CPTRL((8, 8), 10, rank)` and flatten + `nn.Linear(64, 10)`, trained by the same few lines, which you have
# written often enough.

# %% lock="train_04"
def train(head, images, labels, steps=60):
    """Train a head in place: Adam, all images at once."""
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(head(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return head


def linear_head():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


for rank in (2, 10):
    count = sum(p.numel() for p in CPTRL((8, 8), 10, rank).parameters())
    print(f"CPTRL of rank {rank}: {count} parameters; the Linear has {sum(p.numel() for p in linear_head().parameters())}")

# %% [markdown]
# **Predict before you measure.** Who reads more images that it has not seen: on *planted*, rank 2, from 100 examples; and on
# *digits*, rank 10, from 100 examples? Write "CP", "Linear" or "undecided" for each.

# %% predict="few_examples"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # planted, digits
prediction = ("CP", "Linear")
### END SOLUTION

# %% [markdown]
# Now the experiment. One run with one seed says little: images are drawn, and both heads start at random. So design it for
# **pairs**: in each run both heads learn from the same `count` images, drawn for that run; everything that chance draws in a
# run is settled by that run's seed, and by nothing else; what you keep of a run is a *difference*. Then
# `interval(differences)` gives their mean and half the width of its 95 % interval, and you name a winner only where 0 lies
# outside.
#
# Write it for any two heads: `first` and `second` are functions that make a fresh one when they are called. The check
# runs yours with makers of its own: where nobody can be right, from one example, the heads in both orders, and with heads that
# note what they learn from; and it compares your conclusion with what **you** measured.

# %% solve="compare_heads"
def compare_heads(first, second, images, labels, held_out, truth, count, seeds):
    """Compare two heads, each trained on the same few images, over several runs.

    first, second: functions without arguments; each call makes a fresh nn.Module, started at random,
    that maps images to class scores.
    images: Tensor (n, 8, 8) to draw from; labels: integer Tensor (n,).
    held_out, truth: such Tensors too, to measure on, and for nothing else.
    count: int, the number of images drawn for a run; seeds: list of int, one for each run.
    Returns (differences, ahead): differences is a list with a float for each seed, the share of
    held-out images that the first head reads minus the share that the second reads;
    ahead is "first", "second" or "undecided".
    """
    ### BEGIN SOLUTION
    differences = []
    for seed in seeds:
        torch.manual_seed(seed)
        some = torch.randperm(len(images))[:count]
        shares = []
        for make in (first, second):
            head = train(make(), images[some], labels[some])
            with torch.no_grad():  # it is measured, no more
                shares.append((head(held_out).argmax(1) == truth).double().mean().item())
        differences.append(shares[0] - shares[1])
    mean, half = interval(differences)  # over the runs
    return differences, "undecided" if abs(mean) <= half else "first" if mean > 0 else "second"
    ### END SOLUTION

# %% check="compare_heads" points=4
check("compare_heads", compare_heads)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Write one run for one seed first. What does chance draw in it, and in which order?
# </details>
#
# <details><summary>Hint: "undecided" or not?</summary>
# The interval reaches from mean - half to mean + half. Where is 0?
# </details>

# %%
ends = {}
for name, parts, rank in (("planted, rank 2", planted(), 2), ("digits, rank 10", digits, 10)):
    for count in (30, 100, 400):
        differences, ahead = compare_heads(partial(CPTRL, (8, 8), 10, rank), linear_head, *parts, count, range(6))
        mean, half = interval(differences)
        ends[name, count] = mean, {"first": "CP", "second": "Linear"}.get(ahead, ahead)
        print(f"{name}, {count:>3} examples: CP minus Linear {mean:+.1%} +- {half:.1%}: {ends[name, count][1]}")

# %%
lines = {
    name: ((30, 100, 400), [100 * ends[name, count][0] for count in (30, 100, 400)])
    for name in ("planted, rank 2", "digits, rank 10")
}
lines["as good as the Linear"] = ((30, 100, 400), (0, 0, 0))
plotting.curves(lines, "examples", "CP minus Linear, points", log="x")

# %%
found = (ends["planted, rank 2", 100][1], ends["digits, rank 10", 100][1])
reveal(prediction, lambda: found)
if prediction == ("CP", "CP") != found:
    print("A low rank helps where the answer has it. The digits' answer has not: what is left out is missed.")
if prediction[0] == "Linear" != found[0]:
    print("650 numbers from 100 labels leave much open; 52 + 10 of the right form leave little.")

# %% [markdown]
# So fewer numbers need fewer examples **if the weight that is looked for has that form**. Where it has not, the low rank is a
# loss, and with few examples it is not repaid by anything: the Linear reads more digits with more than twice the numbers. The
# gap closes as the examples become many. Most people bet on the CP layer in both.
#
# What a rank-10 layer has learned of the digits, from 600: a picture for each class, purple pixels speak for it, orange ones
# against it. (Pixels that are empty in nearly every image are left white: no image says what the weight should be there.)

# %%
torch.manual_seed(0)
layer = train(CPTRL((8, 8), 10, 10), images[:600], labels[:600])
rows, columns, classes = (factor.detach() for factor in layer.factors)
used = (images > 0).float().mean(0) > 0.1  # in more than a tenth of the images
weight = torch.einsum("hr,wr,cr->chw", rows, columns, classes) * used
plotting.images({str(digit): picture for digit, picture in enumerate(weight)}, rows=2, signed=True)

# %% [markdown]
# ## 4.8 What the two ways cost { minutes: 7, difficulty: 3 }
#
# Both give the same numbers. Which one is cheaper? Count operations: **a sum of $k$ products costs $2k$**, $k$
# multiplications and $k$ additions. Leave out the bias, and the Khatri-Rao product: its $P R$ multiplications are little beside
# a batch (though not beside one sample and one class, where they are as many as half of the rest).
#
# - *Rebuild*: every entry of the weight is a sum over the rank. Then every output is a sum over all $P$ inputs.
# - *Mode by mode*, the first mode first, then the second, ..., then the classes: after each, the mode is gone. What
#   comes out has one number for each sample, each remaining position and each $r$; each of these is a sum over
#   the mode that goes. (Whether the rank is cut in pieces makes no difference.)
#
# In the smallest example, `cp_flops(2, (3,), 4, 5)`, one input mode of 3, 4 classes, rank 5, batch 2: the weight has
# 12 entries, each a sum of 5: 120. The 2 x 4 outputs are sums of 3: 48. Together 168. Mode by mode: 2 x 5
# sums of 3 are 60, then 2 x 4 outputs that are sums of 5: 80. Together 140.

# %% solve="cp_flops"
def cp_flops(batch_size, input_shape, num_classes, rank):
    """Count the operations of both forwards of a CP tensor regression.

    batch_size, num_classes, rank: int; input_shape: tuple of int, without the batch.
    Returns a tuple of two ints: for rebuilding the weight, and for mode by mode.

    >>> cp_flops(2, (3,), 4, 5)
    (168, 140)
    """
    ### BEGIN SOLUTION
    inputs = math.prod(input_shape)
    rebuild = 2 * inputs * num_classes * rank + 2 * batch_size * inputs * num_classes
    by_modes, remaining = 2 * batch_size * rank * num_classes, inputs
    for size in input_shape:
        by_modes += 2 * batch_size * rank * remaining
        remaining //= size
    return rebuild, by_modes
    ### END SOLUTION

# %% check="cp_flops" points=2
check("cp_flops", cp_flops)

# %% [markdown]
# <details><summary>Hint: the first number is right, the second too large</summary>
# After the first mode: how many numbers are left of a sample, and how many terms did each of them sum?
# </details>
#
# <details><summary>Hint: both are off by a factor</summary>
# One product of a sum counts 2. And the weight is built once for the batch, not once for each sample.
# </details>

# %% [markdown]
# **Predict before you run.** VGG16's activation, batch 128, rank 100. Which way is cheaper for **10** classes, and which for
# **1000**? Decide before you compute.

# %% predict="cheaper_ways"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # "rebuild" or "by modes": for 10 classes, for 1000 classes
prediction = ("rebuild", "by modes")
### END SOLUTION

# %%
def cheaper(num_classes):
    rebuild, by_modes = cp_flops(128, (512, 7, 7), num_classes, 100)
    print(f"{num_classes:>5} classes: rebuild {rebuild / 1e6:>8,.0f} MFLOP,", end=" ")
    print(f"by modes {by_modes / 1e6:>6,.0f} MFLOP")
    return "rebuild" if rebuild < by_modes else "by modes"


reveal(prediction, lambda: (cheaper(10), cheaper(1000)))
if prediction == ("by modes", "by modes"):
    print("A weight for 10 classes is small: what costs is the rank, and mode by mode every sample pays for it.")

# %% [markdown]
# The cost over the classes and over the rank, on logarithmic axes:

# %%
counts = [2, 5, 10, 20, 50, 100, 200, 500, 1000]
costs = [cp_flops(128, (512, 7, 7), n, 100) for n in counts]
lines = {
    "rebuild": (counts, [rebuild / 1e9 for rebuild, _ in costs]),
    "mode by mode": (counts, [by_modes / 1e9 for _, by_modes in costs]),
}
plotting.curves(lines, "classes (rank 100, batch 128)", "GFLOP", log="xy")

# %%
ranks = [1, 3, 10, 30, 100, 300, 1000]
lines = {}
for n in (10, 1000):
    costs = [cp_flops(128, (512, 7, 7), n, rank) for rank in ranks]
    lines[f"rebuild, {n} classes"] = ranks, [rebuild / 1e9 for rebuild, _ in costs]
    lines[f"mode by mode, {n} classes"] = ranks, [by_modes / 1e9 for _, by_modes in costs]
plotting.curves(lines, "rank (batch 128)", "GFLOP", log="xy")

# %% [markdown]
# For rebuilding the classes multiply everything, and a small rank is nearly free; mode by mode the rank multiplies
# everything, and the classes are nearly free.

# %% [markdown]
# ## 4.9 Where they cross, and what the clock says { minutes: 10, difficulty: 4 }
#
# Somewhere between 10 and 1000 classes the lines cross. **Derive where**, for any number of input modes: write down *mode by mode
# < rebuild* in letters. The number of classes stands on both sides.
#
# Return the smallest number of classes at which mode by mode costs *fewer* operations. In all cases of the check
# there is one. A formula is what we are after; a loop over `cp_flops` also counts as right.

# %% solve="crossover_classes"
def crossover_classes(batch_size, input_shape, rank):
    """The smallest number of classes at which mode by mode costs fewer operations than rebuilding.

    batch_size, rank: int; input_shape: tuple of int, without the batch.
    Returns an int, at least 1.

    For example, crossover_classes(4, (3, 2), 2) is 3: with 2 classes rebuilding takes 144 operations
    and mode by mode 160, with 3 classes 216 and 176.
    """
    ### BEGIN SOLUTION
    inputs, modes, remaining = math.prod(input_shape), 0, math.prod(input_shape)
    for size in input_shape:
        modes += remaining
        remaining //= size
    both = batch_size * rank
    return both * modes // (inputs * (batch_size + rank) - both) + 1
    ### END SOLUTION

# %% check="crossover_classes" points=3
check("crossover_classes", crossover_classes)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Write both numbers of cp_flops with letters. What does not have C in it, and what is left of it when you divide by 2 B R?
# </details>
#
# <details><summary>Hint: it is off by one</summary>
# What if the crossing falls on a whole number? Which of <code>//</code>, <code>math.ceil</code> and <code>round</code> gives
# the next one there, too?
# </details>

# %% [markdown]
# Divided by $2BR$, the input modes cost $S = I_0 I_1 I_2 + I_1 I_2 + I_2$ for three of them, that is $P\,(1 + 1/I_0 + 1/(I_0
# I_1))$. If the first mode is large, as channels are, $S \approx P$, and if $P$ is large
# too, what is left is short enough to remember: mode by mode is cheaper when
#
# $$C > \frac{B R}{B + R}$$
#
# For $B = R$ that is half of either; it is always less than the smaller of the two. The exact numbers, as a map: on its line
# and above, mode by mode is cheaper for that batch size.

# %%
ranks = [1, 3, 10, 30, 100, 300, 1000]
lines = {
    f"batch {size}": (ranks, [crossover_classes(size, (512, 7, 7), rank) for rank in ranks])
    for size in (1, 8, 32, 128)
}
plotting.curves(lines, "rank", "classes from which on mode by mode is cheaper", log="xy")

# %% [markdown]
# Operations are not seconds. So measure, with the clock of 4.1: forward alone, batch 128, rank 100, for 10 classes, for the
# crossing, and for 1000.

# %%
torch.manual_seed(0)
x = torch.randn(128, 512, 7, 7)
ways = {"rebuild": cp_forward_rebuild, "by modes": cp_forward_by_modes}
print("classes   counted: rebuild / by modes   measured: rebuild    by modes   rebuild / by modes")
for n in (10, crossover_classes(128, (512, 7, 7), 100), 1000):
    counted = cp_flops(128, (512, 7, 7), n, 100)
    parts = [torch.randn(size, 100) for size in (512, 7, 7, n)]
    times = milliseconds(ways, x, parts, torch.zeros(n))
    print(f"{n:>7}{counted[0] / counted[1]:>30.2f}", end="")
    print("".join(f"{taken:>{width}.1f} ms" for taken, width in zip(times.values(), (17, 9))), end="")
    print(f"{times['rebuild'] / times['by modes']:>21.2f}")

# %% [markdown]
# Look at the two ratios of each row. Far from the crossing they should agree on which way is faster: below 1 for 10
# classes, well above it for 1000. **Near the crossing nobody should bet**: the count says 1.0, and the clock says
# what else there is: writing and reading the weight is no operation and takes time, and so does laying out tensors
# anew for an einsum; one large product runs closer to the machine's best than several small ones. In 51 timings on a
# CPU the count of operations named the faster way in 48; the other three were at the boundary. On an H200 the count tells little up
# to rank 100: at batch 128 the ways took 0.6 to 1.5 ms, forward and backward, since starting the kernels is what takes the time.
# Recorded as one CUDA graph, in which nothing is started one by one, the count is right again: 0.06 ms by rebuilding
# against 0.17 and 0.26 for 10 classes, 0.95 against 0.12 and 0.21 for 1000 (`results/cuda.md`, which has larger ranks too).
#
# `trlkit.CPTRL` has a cost model of its own, which counts the bytes as well, and takes the cheaper path for each batch size. Ask
# it:

# %%
print(trlkit.CPTRL((512, 7, 7), 10, rank=100).explain(batch_size=128))
print()
print(trlkit.CPTRL((512, 7, 7), 1000, rank=100).explain(batch_size=128))

# %% [markdown]
# These are forward and backward together: within a thousandth, three times the operations of `cp_flops`. `khatri_rao` is a
# third way: multiply the input factors with each other (but not with the classes'), then one matrix product with the batch.
# "MB held" is what training keeps beside batch, output and factors: another reason not to build a large weight.

# %% [markdown]
# ## 4.10 What is saved, and against what { minutes: 4, difficulty: 3 }
#
# Each term of a CP weight costs one column of each factor: $I_0 + \dots + I_N + C$ numbers. So above some rank the layer has
# as many parameters as what it replaces. Which rank depends on *what* it replaces.
#
# **Predict before you run.** Up to which rank has `CPTRL((512, 7, 7), 10, rank)` fewer parameters than one
# `nn.Linear(25088, 10)`? An estimate will do.

# %% predict="saving_rank_vgg"
### BEGIN SOLUTION
#~ prediction = ...
prediction = 468
### END SOLUTION

# %%
def saving_rank(input_shape, num_classes, baseline):
    """The largest rank at which a CPTRL, with its bias, has fewer parameters than a baseline."""
    return max((baseline - 1 - num_classes) // (sum(input_shape) + num_classes), 0)


reveal(prediction, lambda: saving_rank((512, 7, 7), 10, 25088 * 10 + 10))
if prediction in (25088, 25_088, 2508):
    print("A term costs a column of every factor, and the channels' alone has 512 numbers.")

# %% [markdown]
# (`trlkit.break_even_rank` gives the largest rank with *no more* numbers than the weight, without the biases. For VGG16 both are
# 468; for (3, 4, 5) and 6 classes it gives 20, and 19 has fewer.)
#
# A rank that has been tried on VGG16 for 10 classes is 10000. Here is what it saves, against two baselines: one linear
# layer from the activation to the classes, and a classifier of three as VGG16 has it, which a TRL can replace as a whole.

# %%
with torch.device("meta"):  # shapes without numbers
    one_linear = nn.Linear(25088, 10)
    vgg16_classifier = nn.Sequential(
        nn.Linear(25088, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 10)
    )
one, three = (sum(p.numel() for p in m.parameters()) for m in (one_linear, vgg16_classifier))
print(f"one Linear(25088, 10): {one:,} parameters;  three as in VGG16: {three:,}")
print(f"ranks that save: up to {saving_rank((512, 7, 7), 10, one):,}, and {saving_rank((512, 7, 7), 10, three):,}")
print("\n  rank   parameters   of one Linear   of three as in VGG16")
for rank in (100, 468, 490, 10_000):
    count = rank * (512 + 7 + 7 + 10) + 10
    print(f"{rank:>6,}{count:>13,}{count / one:>16.1%}{count / three:>23.2%}")

# %% [markdown]
# Both of these are true of rank 10000: it is **4.5 % of a classifier of three layers**, and it is **21 times one linear
# layer**. Whoever tells you a saving must say against what. And a linear layer is an honest baseline: it also replaces those three.
#
# (`tltorch.TRL`, with its scale for each term, stops saving one rank earlier, after 467.)
#
# There is a second limit. A tensor (512, 7, 7, 10) is 7 x 7 x 10 = 490 columns of 512 numbers, and each column, put in its place,
# is a rank-1 tensor. So **at rank 490 a CP weight can be any weight whatever**: beyond it there is nothing more to represent.
# (Whether a needlessly large rank makes the training easier, or tensor dropout better, is another question, one for
# measurements: chapters 6 and 8.)

# %% [markdown]
# ## 4.11 Open challenge: beat the planner on your own clock { minutes: 10, difficulty: 5 }
#
# `trlkit` chooses among three ways by counting operations and bytes. Your machine may know better. Write a forward that is
# faster than its choice in at least one of the settings below: another order of the modes, pieces of the batch or of the
# rank, two factors merged, whatever the cache of your processor likes. No points: the reward is the figure. Bound: no way
# can be faster than reading the batch once, which is measured beside it.

# %%
def my_forward(x, factors, bias):
    return cp_forward_by_modes(x, factors, bias)


# %%
note = ""  # a name for this try; then it is kept in tries_04.txt, beside the notebook
tries = Path("tries_04.txt")


def planner(x, factors, bias):
    layer = planned[len(bias)]
    return layer(x)


planned, told = {}, []
x = torch.randn(128, 512, 7, 7)
print("classes   planner     yours   reading x   planner / yours")
for n in (10, 100, 1000):
    planned[n] = trlkit.CPTRL((512, 7, 7), n, rank=100, bias=False)
    parts = [factor.detach() for factor in planned[n].factors]
    ways = {"planner": planner, "yours": my_forward, "reading x": lambda x, factors, bias: x.sum()}
    torch.testing.assert_close(my_forward(x, parts, torch.zeros(n)), planner(x, parts, torch.zeros(n)), atol=1e-3, rtol=1e-3)
    times = milliseconds(ways, x, parts, torch.zeros(n), rounds=7)
    ratio = times["planner"] / times["yours"]
    told.append(f"{ratio:.2f}")
    print(f"{n:>7}" + "".join(f"{times[name]:>{w}.1f} ms" for name, w in zip(ways, (7, 7, 9))) + f"{ratio:>15.2f}")
if note:
    with tries.open("a") as file:
        file.write(f"{note}: {', '.join(told)}\n")
if tries.exists():
    print("\nplanner / yours, for 10, 100 and 1000 classes, in earlier tries:\n" + tries.read_text())

# %% [markdown]
# ### Turn it: the cheapest path
#
# **Predict before you turn.**
# With 10 classes and rank 100: from which batch size on is it cheaper to rebuild the weight? And with 1000 classes? Write two
# numbers down, or "never", then turn. The gray band is the path that the layer takes: by time and memory, not by operations alone.

# %%
explore("the cheapest path")

# %% [markdown]
# ## 4.12 Quiz: rank 10000 { minutes: 1, difficulty: 2 }
#
# **In the place of one `nn.Linear(25088, 10)` stands `CPTRL((512, 7, 7), 10, 10000)`. What is right?**
#
# - **a** It has about 4 % of the parameters.
# - **b** It has about 21 times as many parameters, and can represent the same weights.
# - **c** It saves parameters, but fewer than rank 100 would.
# - **d** It has about 21 times as many parameters, and can represent weights that the Linear cannot.

# %% solve="quiz_rank_10000"
### BEGIN SOLUTION
#~ quiz_rank_10000 = ...  # "a", "b", "c" or "d"
quiz_rank_10000 = "b"
### END SOLUTION

# %% check="quiz_rank_10000" points=1
check("quiz_rank_10000", quiz_rank_10000)
### HASHED AUTOTEST quiz_rank_10000

# %% [markdown]
# ## 4.13 Quiz: a trained layer { minutes: 2, difficulty: 3 }
#
# **A `CPTRL((512, 7, 7), 10, 100)` is trained; its factors do not change any more. It now gets one image at a time,
# thousands of them. What costs the fewest operations for each image?**
#
# - **a** Mode by mode, as the weight is never built.
# - **b** Rebuilding the weight for each image.
# - **c** Mode by mode, or building the weight once and keeping it: these cost the same.
# - **d** Building the weight once, keeping it, and multiplying each image by it.

# %% solve="quiz_kept_weight"
### BEGIN SOLUTION
#~ quiz_kept_weight = ...  # "a", "b", "c" or "d"
quiz_kept_weight = "d"
### END SOLUTION

# %% check="quiz_kept_weight" points=1
check("quiz_kept_weight", quiz_kept_weight)
### HASHED AUTOTEST quiz_kept_weight

# %% [markdown]
# ## What to take away
#
# What you know now, and someone who only ever writes `nn.Linear` does not:
#
# - **Fewer numbers are not less work.** If the first mode is large, mode by mode is cheaper for about $C > BR/(B+R)$
#   classes, and rebuilding the weight below that. Once trained, the weight can be built once and kept: then the layer costs
#   what one Linear costs, which is less than mode by mode for about $C < R$ only.
# - **Fewer numbers do not need fewer examples**, unless the weight that is looked for has the form that they give it.
# - The index $r$ is shared by all factors, and the sum over it may be cut into pieces: no tensor needs to be larger than the
#   batch.
# - Factors of spread 1 make outputs of spread $\sqrt{PR}$; the right spread depends on the number of factors.
# - A Parameter in a Python list is none, and a layer that gives the right numbers once may be wrong after the next step: test
#   it with other parameters, in both modes, on one sample, and its gradients.
# - Say which baseline a saving is against. Above rank 468 the layer for VGG16 and 10 classes saves nothing against one Linear;
#   at 490 it can already be any weight.
#
# From here on `trlkit.CPTRL` stands for your layer; it adds dropout, several output modes, the choice of path, and conversions.
#
# ## To go further
#
# - Kossaifi, Lipton, Kolbeinsson, Khanna, Furlanello, Anandkumar: *Tensor Regression Networks*, JMLR 21 (2020). The layer, with
#   CP, Tucker and tensor-train weights.
# - Lebedev, Ganin, Rakhuba, Oseledets, Lempitsky: *Speeding-up Convolutional Neural Networks Using Fine-tuned
#   CP-Decomposition*, ICLR 2015. The same mode by mode, for convolutions.
# - Glorot, Bengio: *Understanding the Difficulty of Training Deep Feedforward Neural Networks*, AISTATS 2010. Where
#   the rule of keeping variances comes from.
# - Smith, Gray: *opt_einsum: A Python Package for Optimizing Contraction Order for Einsum-like Expressions*, Journal of
#   Open Source Software 3 (2018). The order of contraction, chosen by a program.
#
# **Next:** chapter 5, *The Tucker tensor regression layer*: one rank for each mode, an input that is projected, and average
# pooling as a special case.

# %%
progress()
