# %% [markdown]
# # 4. The CP tensor regression layer { minutes: 90, difficulty: 4 }
#
# In chapter 3 a regression learned a weight with few parameters. Here it becomes a layer that you can put into a
# network: `CPTRL`, an `nn.Module` of your own. It takes activations such as (512, 7, 7) and gives class scores,
# as *flatten + linear* does, with a weight that is a sum of $R$ rank-1 tensors.
#
# **After this chapter you can**
#
# - compute the layer in two ways, with the full weight and without ever building it;
# - start its factors so that the outputs of a deep network stay at their scale;
# - write it as a module that learns, saves, loads and agrees with `trlkit.CPTRL` and `tltorch.TRL`;
# - say for a batch size, a rank and a number of classes which way is cheaper, and check that with a clock;
# - say above which rank nothing is saved, and against what.
#
# **You need** the Khatri-Rao product and `einsum` from chapter 1, the CP decomposition from chapter 2, and
# $\langle W, X\rangle + b$ from chapter 3. Of `trlkit`, the functions of chapter 1 may be used in your answers
# (`khatri_rao`, `outer`, `mode_dot`, `inner`, ...), but not `trlkit.CPTRL`: that is what you write.

# %% lock="imports_04"
import math
import time
from statistics import median

import torch
from torch import nn

import trlkit
from trlkit.lab import data, plotting
from trlkit.course import check, reveal

# %% [markdown]
# ## 4.1 What the layer is { minutes: 3, difficulty: 1 }
#
# A batch of activations $X$ of shape $(B, I_0, \dots, I_N)$ meets a weight $W$ of shape $(I_0, \dots, I_N, C)$: one
# number for every entry of the activation and every class. Summed over all input modes and shifted by a bias, that is a
# linear layer on the flattened activation. A **CP tensor regression layer** stores the weight as one factor for
# each mode, $U_k$ of shape $(I_k, R)$, and $V$ of shape $(C, R)$ for the classes:
#
# $$W_{i_0 \dots i_N\, c} = \sum_{r=1}^{R} U_0[i_0, r] \cdots U_N[i_N, r]\; V[c, r]
# \qquad\qquad Y_{b\,c} = \sum_{i_0 \dots i_N} X_{b\, i_0 \dots i_N} W_{i_0 \dots i_N\, c} + b_c$$

# %%
plotting.flatten_against_trl((512, 7, 7), num_classes=1000, rank=100)

# %% [markdown]
# In the code, `factors` is the list $[U_0, \dots, U_N, V]$: those of the input modes in their order, then that of the
# classes. Below, $P$ is the product of the input sizes (25088 for VGG16), $C$ the number of classes, $B$ the batch size
# and $R$ the rank.

# %% [markdown]
# ## 4.2 Forward, by rebuilding the weight { minutes: 8, difficulty: 2 }
#
# The first way takes the formulas literally: build $W$ from its factors, then contract it with the batch. You
# can write that for one, two, three or more input modes at once. The check looks at the values and the gradients, and
# also **watches the tensors that you make**: one of them must be the weight, of $P \cdot C$ numbers in any shape.
#
# Mind the sum over $r$. Each term takes column $r$ of *every* factor, so $r$ is one index that all factors share.

# %% solve="cp_forward_rebuild"
def cp_forward_rebuild(x, factors, bias):
    """A CP tensor regression of a batch, by building the full weight.

    x: Tensor of shape (B, I_0, ..., I_N), at least one input mode.
    factors: list of N + 2 Tensors: (I_0, R), ..., (I_N, R), and (num_classes, R) for the classes.
    bias: Tensor of shape (num_classes,).
    Returns a Tensor of shape (B, num_classes), of x's dtype.

    >>> x, factors = torch.ones(2, 3, 4), [torch.ones(3, 6), torch.ones(4, 6), torch.ones(5, 6)]
    >>> cp_forward_rebuild(x, factors, torch.ones(5))[0]
    tensor([73., 73., 73., 73., 73.])
    """
    ### BEGIN SOLUTION
    inputs = trlkit.khatri_rao(list(factors[:-1]))  # (P, R)
    weight = inputs @ factors[-1].T  # (P, R) x (R, C) -> (P, C)
    return x.flatten(1) @ weight + bias
    ### END SOLUTION

# %% check="cp_forward_rebuild" points=2
check("cp_forward_rebuild", cp_forward_rebuild)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Row p of the Khatri-Rao product of the input factors belongs to one entry of the flattened activation. Which matrix
# product with the class factor gives the weight as a matrix (P, C)?
# </details>
#
# <details><summary>Hint: the shape is right and the numbers are too large</summary>
# For two factors and R = 2 the weight is a1 b1 + a2 b2. If you sum over the rank first you get (a1 + a2)(b1 + b2), which
# has four terms.
# </details>
#
# <details><summary>Hint: the right numbers, in the wrong places</summary>
# The flattened x has its last mode fastest, and so has <code>trlkit.khatri_rao</code> its last factor. Nothing needs
# to be reversed.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Khatri-Rao product of all factors but the last; a matrix product with the last one, transposed; the flattened batch
# times that, plus the bias: three lines.
# </details>

# %% [markdown]
# ## 4.3 Forward, mode by mode { minutes: 14, difficulty: 3 }
#
# The weight is built anew in every step of the training, since the factors have changed. There is another way: let the *batch* meet the factors, one mode after the other, and never
# build the weight. Pull the sums apart:
#
# $$Y_{b\,c} = \sum_r V[c, r] \sum_{i_N} U_N[i_N, r] \cdots \sum_{i_1} U_1[i_1, r] \sum_{i_0} U_0[i_0, r]\; X_{b\, i_0 i_1
# \dots i_N} \; + \; b_c$$
#
# Read it from the inside. The first sum is a matrix product and turns the mode $i_0$ into the index $r$. From the second
# on, $r$ stands *in both operands and in the result*: the entry $(b, r)$ meets column $r$ alone. With letters it is
# plain: `"bchw,cr->bhwr"`, then `"bhwr,hr->bwr"`, and so on. Here is the way of the shapes, for VGG16 and rank 100:
#
# | after | shape | what happened |
# |---|---|---|
# | the batch | (B, 512, 7, 7) | |
# | the channels | (B, 7, 7, 100) | 512 mixed to 100 at every pixel: a 1 x 1 convolution |
# | the rows | (B, 7, 100) | each of the 100 maps weighs its rows with a column of its own |
# | the columns | (B, 100) | and its columns |
# | the classes | (B, C) | the only matrix product that sums over $r$ |
#
# **Predict before you run.** For 1000 classes the full weight would have 25 million numbers. Batch 128, rank 100: how many has the
# largest tensor of the table (the batch itself aside)? An estimate within a tenth counts.

# %% predict="largest_tensors"
### BEGIN SOLUTION
#~ prediction = ...
prediction = 627_200
### END SOLUTION

# %%
reveal(prediction, lambda: 128 * 7 * 7 * 100)

# %% [markdown]
# Write it for any number of input modes, the first mode first or in another order. The check watches the tensors again: now
# none may be as large as the weight ($P \cdot C$ numbers) or as the Khatri-Rao product of all input factors ($P \cdot R$
# numbers), or larger. It uses a small batch, where mode by mode stays below both. For a large batch and few
# classes the first intermediate is larger than the weight: one reason why rebuilding can win (4.8).

# %% solve="cp_forward_by_modes"
def cp_forward_by_modes(x, factors, bias):
    """A CP tensor regression of a batch, one mode after the other, without the full weight.

    x: Tensor of shape (B, I_0, ..., I_N), at least one input mode.
    factors: list of N + 2 Tensors: (I_0, R), ..., (I_N, R), and (num_classes, R) for the classes.
    bias: Tensor of shape (num_classes,).
    Returns a Tensor of shape (B, num_classes), of x's dtype: what cp_forward_rebuild returns.

    >>> x, factors = torch.ones(2, 3, 4), [torch.ones(3, 6), torch.ones(4, 6), torch.ones(5, 6)]
    >>> cp_forward_by_modes(x, factors, torch.ones(5))[0]
    tensor([73., 73., 73., 73., 73.])
    """
    ### BEGIN SOLUTION
    z = torch.einsum("bi...,ir->b...r", x, factors[0])  # the first mode becomes the rank
    for factor in factors[1:-1]:
        z = torch.einsum("bi...r,ir->b...r", z, factor)  # r stays: column r meets column r
    return z @ factors[-1].T + bias  # (B, R) x (R, C) -> (B, C)
    ### END SOLUTION

# %% check="cp_forward_by_modes" points=3
check("cp_forward_by_modes", cp_forward_by_modes)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Write it for two input modes with three einsums. Then look at what would change for three: the <code>...</code> of
# <code>torch.einsum</code> stands for modes that are left as they are.
# </details>
#
# <details><summary>Hint: after two modes I have two indices for the rank</summary>
# A second <code>tensordot</code> or <code>mode_dot</code> with a factor makes a new index. Both operands have the r
# already: multiply entry by entry along it, and sum the mode alone. In einsum: the same letter r in both operands, and
# once behind the arrow.
# </details>
#
# <details><summary>Hint: the values are right, and it says that a tensor is too large</summary>
# If two factors are multiplied with each other before x comes in, that product grows with every mode. And
# <code>(x.unsqueeze(-1) * factor).sum(1)</code> makes the product of the whole batch with all columns before it
# sums: let the sum happen inside an einsum, a tensordot or a matrix product.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# One einsum for the first mode, a loop with one einsum over the other input modes, a matrix product with the class
# factor, plus the bias.
# </details>

# %% [markdown]
# ## 4.4 A start that keeps the scale { minutes: 13, difficulty: 4 }
#
# A layer must start somewhere. Random factors are natural, but how large? Their entries are multiplied, and the products
# are summed over the rank and over all inputs. Take factors of spread (standard deviation) 1, an activation of
# independent entries of spread 1, and no bias.
#
# Two rules are enough. For *independent* numbers of mean 0, the variance of a **product** is the product of the
# variances, and the variance of a **sum** is the sum of the variances. (The terms here share some factors, but they
# are uncorrelated, and for sums that suffices.)
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
# $\sigma$. Which $\sigma$ gives every entry of $W$ the variance $1/(3P)$? Work it out on paper: one entry of $W$ is a sum of
# $R$ terms, each a product of as many numbers as there are factors.

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
# If an entry has the variance s, which variance has a product of as many as there are factors? And a sum of R
# such products? Set that equal to 1 / (3 P) and solve for s.
# </details>
#
# <details><summary>Hint: where is the number of classes?</summary>
# Nowhere. It counts the outputs; no output sums over them. The class <i>factor</i> does count: each term multiplies one
# entry of it.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# (the variance asked, divided by the rank) to the power 1 / (2 x the number of factors). The 2 makes a standard
# deviation of a variance.
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
# ## 4.5 The layer { minutes: 18, difficulty: 4 }
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
# - they are made in PyTorch's default dtype (float32), as `torch.randn` does; `layer.double()` makes a float64 layer of it;
# - the factors start random around 0, other ones for each new layer, so that an entry of the weight has the variance of 4.4;
# - `forward` takes (B, *input_shape) to (B, num_classes) for any B and any number of input modes, in the layer's
#   dtype, the same in training and in eval mode, with the factors as they are at that moment.
#
# You have everything it takes from 4.2 to 4.4. (Where one of those is not right yet, the check puts a right one in its place.)

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

# %% check="CPTRL" points=4
check("CPTRL", CPTRL)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# The constructor makes tensors and keeps them; forward hands them to a function that you have. Begin with the bias:
# <code>self.bias = nn.Parameter(...)</code>. Then the factors, one for each of the sizes
# <code>(*input_shape, num_classes)</code>.
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
#
# <details><summary>Hint: a skeleton</summary>
# In <code>__init__</code>: the spread, a ParameterList of a random tensor times the spread for each size, the bias. In forward:
# one call.
# </details>

# %% [markdown]
# ## 4.6 Three layers, one function { minutes: 4, difficulty: 2 }
#
# Your parameters have the names of trlkit's, so the two layers can load each other's state. `tltorch.TRL` is the layer of
# TensorLy-Torch; `to_tltorch` makes one of the same factors. (Importing `tltorch` sets TensorLy's backend to PyTorch in
# the whole process. Nothing in this course minds.)

# %%
torch.manual_seed(0)
mine = CPTRL((16, 7, 7), 10, 20)
theirs = trlkit.CPTRL((16, 7, 7), 10, rank=20)
theirs.load_state_dict(mine.state_dict())
third = theirs.to_tltorch()

x = torch.randn(4, 16, 7, 7)
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
#
# And the other way round: trlkit's state into your layer.

# %%
mine.load_state_dict(trlkit.CPTRL((16, 7, 7), 10, rank=20).state_dict())

# %% [markdown]
# ## 4.7 It learns { minutes: 9, difficulty: 3 }
#
# Does it? Scikit-learn's digits are small real images, 8 x 8 pixels. Your layer takes them as they are, without a network
# in front and without flattening: two input modes, rows and columns.

# %%
train, _, test = data.digits(8)
images, labels = train.tensors[0][:, 0], train.tensors[1]  # the three channels are equal
held_out, held_out_labels = test.tensors[0][:, 0], test.tensors[1]
plotting.images({str(digit): images[labels == digit][0] for digit in range(10)}, rows=2)

# %% [markdown]
# Train a layer of the given rank. The check gives you 600 images (as above, in [0, 1]) and a rank of 10, and asks the layer
# that you return about 270 others: **it must read at least 85 % of them**. A right answer reaches 90 % and more in a second; so don't
# tune. How you train is up to you: Adam on the whole batch, a learning rate of about 0.05 and a hundred steps are
# plenty. (A second call, with another rank and few images, looks at the size alone.) The loss for class scores is `nn.functional.cross_entropy(scores, labels)`, which contains the softmax.

# %% solve="train_cptrl_digits"
def train_cptrl_digits(images, labels, rank):
    """Train a CPTRL to read digits.

    images: Tensor of shape (n, 8, 8), in [0, 1]; labels: integer Tensor of shape (n,), 0 to 9; rank: int.
    Returns a trained CPTRL((8, 8), 10, rank).

    For example, train_cptrl_digits(images[:600], labels[:600], 10)(images[:5]).shape is (5, 10).
    """
    ### BEGIN SOLUTION
    layer = CPTRL((8, 8), 10, rank)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(60):
        loss = nn.functional.cross_entropy(layer(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return layer
    ### END SOLUTION

# %% check="train_cptrl_digits" points=2
check("train_cptrl_digits", train_cptrl_digits)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Make the layer and <code>torch.optim.Adam</code> with its parameters. One step: scores, loss, old gradients to zero,
# backward, step.
# </details>
#
# <details><summary>Hint: it stays at 10 %</summary>
# Guessing has 10 %. Print the loss in the loop: it starts near 2.3, the loss of guessing. If it never moves, the step
# never reaches the layer: compare what the optimizer was given with <code>list(layer.parameters())</code>.
# </details>
#
# <details><summary>Hint: it gets stuck somewhere between</summary>
# More steps, or a larger learning rate; does the loss still fall at the end? And cross_entropy wants the plain scores:
# no softmax before it.
# </details>

# %% [markdown]
# And what did it learn? The weight of a digit is a picture: purple pixels speak for it, orange ones against it. (A digit 0 has a hole in
# the middle.) Pixels that are empty in nearly every image, the outer columns, are left white: no image says what the weight should be
# there, and a CP weight puts in what its columns, learned elsewhere, happen to give.

# %%
torch.manual_seed(0)
layer = train_cptrl_digits(images, labels, 10)
rows, columns, classes = (factor.detach() for factor in layer.factors)
used = (images > 0).float().mean(0) > 0.1  # in more than a tenth of the images
weight = torch.einsum("hr,wr,cr->chw", rows, columns, classes) * used
plotting.images({str(digit): picture for digit, picture in enumerate(weight)}, rows=2, signed=True)

# %% [markdown]
# Now beside one `nn.Linear` on the flattened pixels, trained on the same images, for three ranks. Which of them are a saving?

# %%
def share(model):
    """The share of held-out digits that a model reads."""
    with torch.no_grad():
        return (model(held_out).argmax(1) == held_out_labels).float().mean().item()


flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
adam = torch.optim.Adam(flat.parameters(), lr=0.05)
for _ in range(100):
    adam.zero_grad()
    nn.functional.cross_entropy(flat(images), labels).backward()
    adam.step()
models = {"flatten + Linear": flat, "rank 10": layer}
models |= {f"rank {rank}": train_cptrl_digits(images, labels, rank) for rank in (3, 40)}
for name, model in models.items():
    count = sum(p.numel() for p in model.parameters())
    print(f"{name:<18}{count:>6} parameters{share(model):>8.1%} of the held-out digits")

# %% [markdown]
# One run of each, with one seed: differences of a percent or two mean nothing here (one digit in 270 is 0.4 %). What you
# can say: three terms are too few, and less than half of the Linear's parameters suffice. Above some rank the layer has
# more parameters than what it replaces. Section 4.10 is about that.

# %% [markdown]
# ## 4.8 What the two ways cost { minutes: 9, difficulty: 3 }
#
# Both give the same numbers. Which one is cheaper? Count operations: **a sum of $k$ products costs $2k$**, $k$
# multiplications and $k$ additions. Leave out what costs little beside that: the bias, and the Khatri-Rao product.
#
# - *Rebuild*: every entry of the weight is a sum over the rank. Then every output is a sum over all $P$ inputs.
# - *Mode by mode*, the first mode first, then the second, ..., then the classes: after each, the mode is gone. What
#   comes out has one number for each sample, each remaining position and each $r$; each of these is a sum over
#   the mode that goes. (The table in 4.3 has the shapes.)
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
# For (2, 3): contracting the mode of size 2 leaves 3 positions, so it costs batch x rank x 3 sums of 2. The second mode
# leaves 1 position.
# </details>
#
# <details><summary>Hint: both are off by a factor</summary>
# One product of a sum counts 2. And the weight is built once for the batch, not once for each sample.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# The rebuilding is one line. For the modes: begin with the numbers of all inputs; in a loop add 2 x batch x rank x
# what is there, then divide it by the size that went. At the end the classes.
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
# ## 4.9 Where they cross, and what the clock says { minutes: 12, difficulty: 4 }
#
# Somewhere between 10 and 1000 classes the lines cross. **Derive where.** Write down the inequality *mode by mode < rebuild*
# with $P$, $C$, $B$, $R$ and $S$, where $S$ is what the input modes cost beside the factor $2BR$ (for three modes $S = I_0 I_1
# I_2 + I_1 I_2 + I_2$). The number of classes stands on both sides: bring it to one.
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

# %% check="crossover_classes" points=2
check("crossover_classes", crossover_classes)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Write both numbers of cp_flops with letters, and divide them by 2. Which terms have C in them?
# </details>
#
# <details><summary>Hint: I have the inequality</summary>
# Mode by mode is BRS + BRC; rebuilding is PC(B + R). Everything with C to the right, everything else to the left.
# </details>
#
# <details><summary>Hint: it is off by one</summary>
# Where the crossing falls on a whole number, both cost the same there, and the next one is asked. Whole-number
# division, <code>//</code>, rounds down: always right if you add 1 to it.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# S in a loop over the sizes. Then the largest whole number that is not above BRS / (P(B + R) - BR), plus 1.
# </details>

# %% [markdown]
# $S = P\,(1 + 1/I_0 + 1/(I_0 I_1) + \dots)$. If the first mode is large, as channels are, $S \approx P$, and if $P$ is large
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
# Operations are not seconds. So measure: both ways, taking turns, so that a busy moment of the machine meets both; one
# round to warm up, then the median. Forward alone, batch 128, rank 100, for 10 classes, for the
# crossing, and for 1000.

# %%
def milliseconds(ways, *args, rounds=5):
    """The median time of each way on the same arguments; the ways take turns."""
    taken = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way(*args)
            taken[name].append(1e3 * (time.perf_counter() - began))
    return {name: median(times[1:]) for name, times in taken.items()}


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
# CPU the count of operations named the faster way in 48; the other three were at the boundary. On an H100 the count tells little up
# to rank 100: at batch 128 every way took 0.9 to 1.9 ms, forward and backward, since starting the kernels is what takes the time
# (`results/cuda.md`, which has the larger ranks too).
#
# `trlkit.CPTRL` has a cost model of its own, which counts the bytes as well, and takes the cheaper path for each batch size. Ask
# it:

# %%
print(trlkit.CPTRL((512, 7, 7), 10, rank=100).explain(batch_size=128))
print()
print(trlkit.CPTRL((512, 7, 7), 1000, rank=100).explain(batch_size=128))

# %% [markdown]
# These are forward and backward together: three times the operations of `cp_flops`, and a little for the Khatri-Rao
# products. `khatri_rao` is a third way: multiply the input factors with each other (but not with the classes'), then one
# matrix product with the batch. "MB held" is what training keeps beside batch, output and factors: another reason not to build
# a large weight.

# %% [markdown]
# ## 4.10 What is saved, and against what { minutes: 7, difficulty: 3 }
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
def fewer(rank):
    return rank * (512 + 7 + 7 + 10) + 10 < 25088 * 10 + 10


reveal(prediction, lambda: max(rank for rank in range(1000) if fewer(rank)))

# %% [markdown]
# Write it for any baseline, given as its number of parameters. Count the layer's bias too.

# %% solve="cp_saving_rank"
def cp_saving_rank(input_shape, num_classes, baseline):
    """The largest rank at which a CPTRL has fewer parameters than a baseline.

    input_shape: tuple of int, without the batch; num_classes: int.
    baseline: int, the number of parameters of what the layer replaces.
    Returns an int; 0 if the layer has fewer at no rank.

    >>> cp_saving_rank((8, 8), 10, 650)  # against nn.Linear(64, 10), with its bias
    24
    """
    ### BEGIN SOLUTION
    for_terms = baseline - 1 - num_classes  # fewer than the baseline, and the bias
    return max(for_terms // (sum(input_shape) + num_classes), 0)
    ### END SOLUTION

# %% check="cp_saving_rank" points=2
check("cp_saving_rank", cp_saving_rank)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# How many parameters has the layer at rank 1, and how many more with each further rank? Then it is one division, rounded
# down.
# </details>
#
# <details><summary>Hint: it is off by one in a rare case</summary>
# What if the counts are equal at some rank? That is no saving.
# </details>

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
print(f"ranks that save: up to {cp_saving_rank((512, 7, 7), 10, one):,}, and {cp_saving_rank((512, 7, 7), 10, three):,}")
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
# ## 4.11 Quiz: the shared index { minutes: 1, difficulty: 2 }
#
# **Mode by mode, why does the sum over $r$ have to wait for the last step?**
#
# - **a** Summed earlier, it would cost more operations.
# - **b** The bias has to be added first.
# - **c** Summed earlier, columns of different $r$ would be multiplied with each other.
# - **d** It need not wait: sums can be exchanged.

# %% solve="quiz_rank_index"
### BEGIN SOLUTION
#~ quiz_rank_index = ...  # "a", "b", "c" or "d"
quiz_rank_index = "c"
### END SOLUTION

# %% check="quiz_rank_index" points=1
check("quiz_rank_index", quiz_rank_index)
### HASHED AUTOTEST quiz_rank_index

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
# - A CP TRL is a linear layer whose weight is a sum of $R$ rank-1 tensors. The index $r$ is shared by all factors: it stays to
#   the end.
# - There is more than one way to compute it, with the same result. If the first mode is large, mode by mode is cheaper for
#   about $C > BR/(B+R)$. Once trained, the weight can be built once and kept: then the layer costs what one Linear costs, which
#   is less than mode by mode for about $C < R$ only.
# - Factors start with $\sigma = (3PR)^{-1/(2n)}$, $n$ the number of factors; spread 1 makes outputs of spread $\sqrt{PR}$.
# - A Parameter in a Python list is none. Count your parameters whenever you have written a layer.
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
