# %% [markdown]
# # 6. Tensor dropout { minutes: 95, difficulty: 4 }
#
# Dropout makes a network learn not to lean on any single unit: in training, units are switched off at random. In
# a tensor regression layer there is something better to switch off than units: the *components* that the weight
# is made of. This is **tensor dropout**. It is a few lines of code, and it is remarkably easy to get subtly wrong;
# so you will write it, and then write the test that tells a right implementation from a wrong one.
#
# **After this chapter you can**
#
# - drop components of a CP weight and of a Tucker weight, and rescale what stays;
# - compute the expected weight exactly, over *all* masks, and catch a biased dropout;
# - notice a dropout that is switched on and drops nothing;
# - say which regularizer tensor dropout implies, and measure what it does under noise and attack.
#
# **You need** CP and Tucker weights (chapters 2, 4 and 5), and expectation and variance of a coin toss. The
# answers here need plain `torch`; `trlkit`'s functions for weights may help.

# %% lock="imports_06"
import itertools
import math
import time
import warnings

import torch
from torch import nn
from torch.nn import functional as F

import trlkit
from trlkit import CPTRL, TuckerTRL
from trlkit.lab import data, plotting, robustness
from trlkit.course import check, reveal

# %% [markdown]
# ## 6.1 Drop components of a CP { minutes: 9, difficulty: 2 }
#
# A CP weight is a sum of $R$ rank-1 tensors, its **components**. Component $r$ is the outer product of the
# columns $r$ of all factors. Toss a coin for each component: with probability $p$ it is dropped. What stays is
# multiplied by $1 / (1 - p)$:
#
# $$\tilde W = \sum_{r=1}^{R} m_r\; a_r \circ b_r \circ \cdots \circ z_r, \qquad
# m_r = \begin{cases} 0 & \text{with probability } p \\ \frac{1}{1-p} & \text{with probability } 1-p\end{cases}$$
#
# Here is a sum of four components, and what three masks leave of it at $p = 0.5$:

# %%
rows, columns = torch.linspace(0, 3, 40), torch.linspace(0, 3, 40)
a = torch.stack([torch.sin((r + 1) * rows) for r in range(4)], dim=1)
b = torch.stack([torch.cos((r + 1) * columns) for r in range(4)], dim=1)
shown = {"the whole weight": a @ b.T}
for keep in ([1, 1, 0, 1], [0, 1, 0, 0], [1, 0, 1, 1]):
    shown[f"keep {keep}"] = (a * torch.tensor(keep) / 0.5) @ b.T
plotting.images(shown, signed=True)

# %% [markdown]
# Whole patterns appear and vanish. Dropping single *entries* of the factors, as `nn.Dropout` would, is something else.
#
# **Predict before you run.** How many different masks does a CP weight of rank 10 have, and with $p = 0.5$, in how many of 1024
# training steps is, on average, *everything* dropped?

# %% predict="mask_count"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # masks; steps of 1024 in which everything is dropped
prediction = (1024, 1)
### END SOLUTION

# %%
reveal(prediction, lambda: (2**10, round(1024 * 0.5**10)))

# %% [markdown]
# For the layer you do not need a new kind of weight: *factors* that make the dropped weight will do. Write the
# function that returns them. The coins are tossed already: `keep` says which components stay.
#
# Two things to mind. Keep the dtype of the factors (what is the dtype of a bool tensor divided by a number?). And
# leave the factors that you are given as they are.

# %% solve="drop_cp"
def drop_cp(factors, keep, p):
    """Drop components of a CP weight and rescale the others.

    factors: list of at least one Tensor, factors[k] of shape (I_k, R).
    keep: bool Tensor of shape (R,), True for the components that stay; p: float in [0, 1).
    Returns a list of as many factors. The CP weight that they make is the sum of the components
    that stay, each multiplied by 1 / (1 - p). Any factors that make this weight are right.

    >>> a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]])
    >>> first, second = drop_cp([a, b], torch.tensor([True, False]), 0.5)
    >>> first @ second.T                   # 1 * 3 stays, twice; 2 * 5 is dropped
    tensor([[6.]])
    """
    ### BEGIN SOLUTION
    mask = keep.to(factors[0].dtype) / (1 - p)
    return [factors[0] * mask, *factors[1:]]
    ### END SOLUTION

# %% check="drop_cp" points=2
check("drop_cp", drop_cp)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# A component is a product of one column of each factor. To multiply a product by a number, how many of its terms
# must you multiply?
# </details>
#
# <details><summary>Hint: with three factors my result is far too large</summary>
# By which power of 1 / (1 - p)? Zeros and ones may come in several times without harm; the scale may not.
# </details>
#
# <details><summary>Hint: the difference is tiny, or the dtype is wrong</summary>
# <code>keep / (1 - p)</code> is float32, whatever your factors are. <code>keep.to(dtype)</code> comes first.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Make a mask of numbers from <code>keep</code>; multiply the columns of one factor by it; return the list.
# </details>

# %% [markdown]
# ## 6.2 A layer that drops { minutes: 11, difficulty: 3 }
#
# Now the coins. A layer with dropout behaves in two ways: in **training mode** it tosses new coins for every
# batch; in **eval mode** it drops nothing and rescales nothing. Thanks to the scale in training, the weight of eval
# mode is already the mean of those of training. `layer.train()` and `layer.eval()` set `self.training` in every module below;
# reading it is all that you have to do.
#
# At $p = 0$ nothing is dropped. Towards $p = 1$ less and less stays, and it is multiplied by more and more; at $p = 1$ nothing
# would be left and the scale has no value, so a layer refuses it. How wild does it get on the way? Below, `trlkit`'s
# layers see one batch many times, and the spread of an output over the passes is compared to the size of the outputs:

# %%
torch.manual_seed(0)
x = torch.randn(64, 8, 8)
ps = [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
layers = {
    "CP, rank 4": CPTRL((8, 8), 5, rank=4, bias=False),
    "CP, rank 64": CPTRL((8, 8), 5, rank=64, bias=False),
    "Tucker, rank (5, 5, 5), all modes": TuckerTRL((8, 8), 5, rank=(5, 5, 5), bias=False),
}
lines = {}
for name, layer in layers.items():
    size, spread = layer.eval()(x).square().mean().sqrt(), []
    for p in ps:
        trlkit.tensor_dropout(layer, p).train()
        with torch.no_grad():
            passes = torch.stack([layer(x) for _ in range(200)])
        spread.append((passes.var(0).mean().sqrt() / size).item())
    lines[name] = (ps, spread)
plotting.curves(lines, "p, the probability of dropping", "spread of an output / size of the outputs", log="y")

# %% [markdown]
# At $p = 0.5$ the noise of these fresh, random CPs is about as large as the signal, whatever the rank (6.8 says why); where three
# modes are dropped from, it is larger still. Towards $p = 1$ both
# grow without bound, and the noise drowns whatever there is to learn.
#
# Write the layer for a CP weight, without a bias. One mask for the whole batch. For the coins `torch.rand(R)` and a
# comparison are enough; your `drop_cp` does the rest.

# %% solve="DropoutCP"
class DropoutCP(nn.Module):
    """A regression layer with a CP weight and tensor dropout.

    DropoutCP(factors, p): factors is a list of K + 1 Tensors, factors[k] of shape (I_k, R) for the
    K input modes, the last one of shape (N, R) for the N outputs. They are the layer's only
    parameters. p: float in [0, 1), any other p is refused with a ValueError.

    layer(x): x of shape (B, I_0, ..., I_(K-1)), of the factors' dtype, gives (B, N), also of that
    dtype: the inner product of each sample with the weight. In training mode each call drops each component with probability p.

    >>> layer = DropoutCP([torch.ones(3, 5), torch.ones(2, 5)], p=0.5)
    >>> layer.eval()(torch.ones(1, 3))
    tensor([[15., 15.]], grad_fn=...)
    """

    def __init__(self, factors, p):
        super().__init__()
        ### BEGIN SOLUTION
        if not 0 <= p < 1:
            raise ValueError(f"p={p}, but it must be in [0, 1)")
        self.factors = nn.ParameterList(nn.Parameter(factor) for factor in factors)
        self.p = p
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        factors = list(self.factors)
        if self.training:
            keep = torch.rand(factors[0].shape[1]) >= self.p
            factors = drop_cp(factors, keep, self.p)
        z = x.flatten(1) @ trlkit.khatri_rao(factors[:-1])  # (B, R)
        return z @ factors[-1].T
        ### END SOLUTION

# %% check="DropoutCP" points=3
check("DropoutCP", DropoutCP)

# %% [markdown]
# <details><summary>Hint: I don't know how to make the output</summary>
# For each component, contract the sample with the columns of the input factors: one number for each sample and
# component, (B, R). Then the last factor spreads it over the outputs. <code>trlkit.khatri_rao</code> joins the
# input factors to one matrix, as in chapter 4; or rebuild the weight.
# </details>
#
# <details><summary>Hint: the layer has no parameters</summary>
# <code>nn.Module</code> looks into attributes that are parameters or modules, not into lists.
# <code>nn.ParameterList</code> is a list that it looks into.
# </details>
#
# <details><summary>Hint: how often each mask comes is wrong</summary>
# For p = 0 every number that <code>torch.rand</code> can give, 0 included, has to mean "stays". And is the mask
# drawn in <code>forward</code>, once for each component?
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# <code>__init__</code>: refuse p, a ParameterList, keep p. <code>forward</code>: the factors; if
# training: draw <code>keep</code>, drop; then two matrix products.
# </details>

# %% [markdown]
# ## 6.3 Does it drop at all? { minutes: 9, difficulty: 3 }
#
# Switching dropout on is no proof that anything is dropped. In tensorly-torch 0.5.0, `tensor_dropout` puts a **forward
# hook** on the weight: a function that PyTorch runs whenever the weight is *called*, as `weight()`. But the forward
# of its regression layer reads the weight and never calls it.
#
# **Predict before you run.** Its layer with $p = 0.9$, in training mode, gets one batch 100 times. How many of
# the 99 later outputs differ from the first?

# %% predict="hook_outputs"
### BEGIN SOLUTION
#~ prediction = ...
prediction = 0
### END SOLUTION

# %%
import tltorch
from tltorch.tensor_hooks import tensor_dropout as tltorch_dropout

torch.manual_seed(0)
theirs = tltorch.TRL((8, 8), (10,), rank=20, factorization="cp")
tltorch_dropout(theirs.weight, p=0.9)
ours = CPTRL((8, 8), 10, rank=20, dropout=0.9)


def differing(module):
    outputs = [module.train()(x) for _ in range(100)]
    return sum(not torch.equal(output, outputs[0]) for output in outputs[1:])


print(f"tltorch {tltorch.__version__}: {len(theirs.weight._forward_hooks)} hook is there")
reveal(prediction, lambda: differing(theirs))
print("trlkit's layer:", differing(ours), "of 99 differ")

# %% [markdown]
# (Why not 99 for the other? At $p = 0.9$ all 20 components go at once in $0.9^{20}$ = 12 % of the passes. The first pass was one of
# these, and later ones gave the same output: the bias alone.)
#
# No error, no warning, a loss that goes down as ever: such a fault can sit in an experiment for years. The only
# way to notice is to look at what the layer *does*. Write that test: `True` for a layer whose outputs, in training mode, change from
# pass to pass.
#
# - The layer may come to you in eval mode. Ask it in training mode, and leave it, and all modules in it, in the mode in which it came.
# - Two passes may draw the same mask by chance. A layer of rank 1 with $p = 0.1$ must be found out too, with a probability of at
#   least 999 in 1000. How many passes does that take?
# - Compare passes with each other. Training and eval mode may differ without any dropout: batch norm does.

# %% solve="really_drops"
def really_drops(layer, x):
    """Whether a layer's outputs in training mode change from pass to pass.

    layer: nn.Module, it and all modules in it in training mode, or all in eval mode; afterwards
    they are in that mode again.
    x: a batch that it takes.
    Returns a bool.

    >>> really_drops(nn.Dropout(0.5), torch.ones(8)), really_drops(nn.Linear(8, 2), torch.ones(8))
    (True, False)
    """
    ### BEGIN SOLUTION
    before = layer.training
    layer.train()
    first = layer(x)
    found = any(not torch.equal(layer(x), first) for _ in range(100))
    layer.train(before)
    return found
    ### END SOLUTION

# %% check="really_drops" points=2
check("really_drops", really_drops)

# %% [markdown]
# <details><summary>Hint: how many passes?</summary>
# In one pass a layer of rank 1 with p = 0.1 drops nothing with probability 0.9. Suppose the first one dropped
# nothing. For which n is 0.9 to the n below 0.001?
# </details>
#
# <details><summary>Hint: the mode is wrong afterwards</summary>
# <code>layer.training</code> is a bool that you can remember, and <code>layer.train(mode)</code> takes one. Is
# there a <code>return</code> before you set it back?
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Remember the mode; training mode; a first output; many more, each compared with the first by
# <code>torch.equal</code>; set the mode back; return.
# </details>

# %% [markdown]
# ## 6.4 Drop in each mode of a Tucker { minutes: 9, difficulty: 3 }
#
# A Tucker weight $W = G \times_0 U_0 \times_1 U_1 \cdots$ has a rank for *each* mode: $R_k$ columns in the factor of mode $k$, and
# $R_k$ slices of the core that go with them. Tensor dropout tosses coins for each mode on its own: a mask $m^{(k)}$ of length
# $R_k$.
#
# $$\tilde W = G \times_0 \big(U_0\, \mathrm{diag}(m^{(0)})\big) \times_1 \big(U_1\, \mathrm{diag}(m^{(1)})\big) \cdots$$
#
# Every entry of the core belongs to one component of *each* mode and survives only if all of them stay. Where the 16
# entries of a core (4, 4) survive, for three
# draws at $p = 0.5$ (whole rows and columns go; a dark entry is multiplied by 4, a light one by 0):

# %%
generator = torch.Generator().manual_seed(140)
shown = {}
for n in range(1, 4):
    first, second = (torch.rand(2, 4, generator=generator) >= 0.5) / 0.5
    drawn = torch.outer(first, second).repeat_interleave(12, 0).repeat_interleave(12, 1)
    drawn[::12], drawn[:, ::12] = -1, -1  # lines between the entries
    shown[f"draw {n}"] = drawn
plotting.images(shown, signed=True)

# %% [markdown]
# Not every mode has to be dropped from. A mode of rank 1 has a single component, and dropping it erases the whole
# weight (the quiz asks how often). Such modes should be **skipped**: tensorly-torch does so by itself, `trlkit` leaves the choice to you
# (`modes=(0, 3)`) and drops from all modes if you say nothing. A skipped mode must not be rescaled either: there is nothing to make up for.
#
# **Predict before you run.** A Tucker weight has four modes; two are dropped from at $p = 0.5$, two are
# skipped. Someone rescales by $1 / (1 - p)$ for all four. How many times too large is the expected weight?

# %% predict="skipped_modes"
### BEGIN SOLUTION
#~ prediction = ...
prediction = 4
### END SOLUTION

# %%
reveal(prediction, lambda: int((1 / (1 - 0.5)) ** 4 * (1 - 0.5) ** 2))

# %% [markdown]
# It happens in real code: in tensorly-torch 0.5.0 modes of a rank up to `min_dim` (3 by default) are skipped, and the scale
# counts all modes. Here we call its weight by hand, so that the hook of 6.3 does run, and take the mean over many draws:

# %%
their_weight = tltorch.TRL((6, 5, 4), (6,), rank=(6, 2, 2, 6), factorization="tucker").weight
whole = their_weight.to_tensor().detach()
tltorch_dropout(their_weight, p=0.5)
with torch.no_grad(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    mean = sum(their_weight().to_tensor() for _ in range(3000)) / 3000
print(f"the mean of 3000 draws is about {((mean * whole).sum() / whole.square().sum()).item():.1f} times the weight")

# %% [markdown]
# Now write it right. There is one `keep` for each mode that is dropped from, and `modes` says which these are:
# `keeps[k]` belongs to mode `modes[k]`. All other modes are skipped. Whoever calls decides: a mode of rank 1 in `modes` is dropped from too.

# %% solve="drop_tucker"
def drop_tucker(core, factors, keeps, modes, p):
    """Drop components of some modes of a Tucker weight and rescale what stays.

    core: Tensor of shape (R_0, ..., R_N); factors: list of N + 1 Tensors, factors[k] of (I_k, R_k).
    keeps: list of bool Tensors, keeps[k] of shape (R_modes[k],), True for what stays; may be empty.
    modes: tuple of int, all different: the modes that are dropped from.   p: float in [0, 1).
    Returns (core, factors), a pair. The weight that they make has, for each mode in modes, only the
    components that stay, multiplied by 1 / (1 - p). Any core and factors that make it are right.

    >>> core, factors = torch.ones(1, 2), [torch.ones(1, 1), torch.ones(1, 2)]
    >>> g, (u, v) = drop_tucker(core, factors, [torch.tensor([True, False])], (1,), 0.5)
    >>> u @ g @ v.T                        # of two ones, one stays, twice
    tensor([[2.]])
    """
    ### BEGIN SOLUTION
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        factors[mode] = factors[mode] * (keep.to(core.dtype) / (1 - p))
    return core, factors
    ### END SOLUTION

# %% check="drop_tucker" points=2
check("drop_tucker", drop_tucker)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Dropping from one mode is what <code>drop_cp</code> does to the columns of one factor. Do that for each mode in
# <code>modes</code>.
# </details>
#
# <details><summary>Hint: it is right for one mode and too small or too large for several</summary>
# An entry of the core stays if all its components stay. With two modes that has probability (1 - p) squared. With which
# scale is its mean right?
# </details>
#
# <details><summary>Hint: the list of factors that I was given is changed</summary>
# <code>factors[mode] = ...</code> writes into the caller's list. Copy the list first.
# </details>

# %% [markdown]
# ## 6.5 List all masks { minutes: 7, difficulty: 2 }
#
# Above, a mean over 3000 draws gave "about 4". How sure is "about"? With a small bias or few draws, not sure at all: the error of a mean shrinks
# only with the square root of the number of draws. But coins are simple. With $R$ components there are $2^R$ masks, and
# the probability of each is known. For small $R$ one can list them all and get the expectation **exactly**, in a few lines.
#
# **Predict before you run.** Rank 2, $p = 0.25$. What are the probabilities of the masks (drop, drop), (drop, keep), (keep, drop) and (keep, keep)?
# With all four digits after the point, or as fractions such as `1 / 3`.

# %% predict="mask_chances"
### BEGIN SOLUTION
#~ prediction = (..., ..., ..., ...)
prediction = (0.0625, 0.1875, 0.1875, 0.5625)
### END SOLUTION

# %%
reveal(prediction, lambda: tuple(a * b for a in (0.25, 0.75) for b in (0.25, 0.75)))

# %% solve="keep_masks"
def keep_masks(rank, p):
    """All masks of a rank mode, with their probabilities.

    rank: int, at least 1; p: float in [0, 1), the probability that a component is dropped.
    Returns a list of 2 ** rank pairs (keep, probability), in any order, also those of probability 0:
    keep a bool Tensor of shape (rank,), True for what stays; probability a Python float, with all
    its digits (torch computes in float32 unless told otherwise).

    >>> sorted((keep.tolist(), probability) for keep, probability in keep_masks(1, 0.25))
    [([False], 0.25), ([True], 0.75)]
    """
    ### BEGIN SOLUTION
    pairs = []
    for keep in itertools.product([False, True], repeat=rank):
        probability = math.prod(1 - p if stays else p for stays in keep)
        pairs.append((torch.tensor(keep), probability))
    return pairs
    ### END SOLUTION

# %% check="keep_masks" points=2
check("keep_masks", keep_masks)

# %% [markdown]
# <details><summary>Hint: how do I list the masks?</summary>
# <code>itertools.product([False, True], repeat=3)</code> runs through all triples. Or count from 0 to 2 ** rank - 1
# and read the binary digits.
# </details>
#
# <details><summary>Hint: the probabilities do not add up to 1</summary>
# A mask is a story about <i>every</i> component: those that stay bring a factor, and those that go bring one too.
# </details>

# %% [markdown]
# ## 6.6 The expected weight { minutes: 9, difficulty: 3 }
#
# To put *any* implementation to the test, we need one form for all. From here on, a **dropout** is a function
#
# `dropout(keeps, p)`: the weight that is left,
#
# where `keeps` is a list with one mask for each rank mode: one for a CP, one for each mode for a Tucker. Yours of 6.1,
# for example, and one that forgets to rescale:

# %%
torch.manual_seed(0)
a, b = torch.randn(4, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)


def rescaled(keeps, p):
    return (a * keeps[0] / (1 - p)) @ b.T


def not_rescaled(keeps, p):
    return (a * keeps[0]) @ b.T


# %% [markdown]
# Its expected weight is $\mathbb{E}[\tilde W] = \sum P(\text{masks})\, \tilde W(\text{masks})$, over every combination of masks of all
# rank modes. The modes toss their own coins, so the probability of a combination is a product.
#
# Rank (2, 3) has $2^2 \cdot 2^3 = 32$ combinations. (For rank 512 there are more than atoms in the universe. A test
# needs small ranks, and small ranks are enough: the mistakes are the same.)

# %% solve="expected_weight"
def expected_weight(dropout, rank, p):
    """The mean of the weights that a dropout leaves, over all masks.

    dropout: function; dropout(keeps, p) takes a list with a bool Tensor of shape (rank[k],) for each
    rank mode k and returns the weight that is left, a Tensor (leave it as it is).
    rank: tuple of int, the sizes of the rank modes, (R,) for a CP; p: float in [0, 1).
    Returns a Tensor of the weight's shape.

    >>> expected_weight(lambda keeps, p: 10.0 * keeps[0], (2,), 0.25)
    tensor([7.5000, 7.5000])
    """
    ### BEGIN SOLUTION
    total = 0
    for pairs in itertools.product(*[keep_masks(size, p) for size in rank]):
        probability = math.prod(chance for _, chance in pairs)
        total = total + probability * dropout([keep for keep, _ in pairs], p)
    return total
    ### END SOLUTION

# %% check="expected_weight" points=2
check("expected_weight", expected_weight)

# %% [markdown]
# <details><summary>Hint: one mode I can do, but several?</summary>
# <code>itertools.product(*lists)</code> runs through every way to take one entry of each list. What lists do you
# give it?
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# total = 0; for each combination of pairs: multiply their probabilities, call the dropout with the list of
# their masks, add.
# </details>

# %% [markdown]
# ## 6.7 A test that catches a biased dropout { minutes: 14, difficulty: 4 }
#
# Now you are the one who judges. A dropout is **unbiased** if the expected weight is the full weight, for *every* $p$ in $[0, 1)$. Why it matters: the network
# is trained with dropped weights and used with the full one; a bias means that it is used with another weight than it was trained for,
# and nothing tells you.
#
# Write `is_unbiased`. The check gives it some two dozen implementations, some right and some broken, and says which
# broken one your test let through and which right one it accused. A good test does neither. Among them:
#
# - right ones that look unusual: the scale may be spread over the factors, the dropped columns may be left out instead of set to zero, a
#   component may be exempt from dropping as long as it is not rescaled;
# - broken ones whose bias is large, or small, or hidden: there are biases that show only for a $p$ below 0.1, or only
#   above 0.8, or only between 0.2 and 0.45, or everywhere but at 0.5; some sit in a single component, some cancel in a sum, or in a norm.
#
# Sums are rounded, so "the same" has to mean *the same up to rounding*. All weights are float64: rounding leaves some 15 digits, and
# a difference in the fifth is a bias. Never ask for $p = 1$, nor one dropout for more than 4000 weights.
#
# **Predict before you run.** An implementation keeps one component where the coins would drop them all. (It sounds
# sensible: a layer without any weight learns nothing in that step.) Is it biased?

# %% predict="one_left_biased"
### BEGIN SOLUTION
#~ prediction = ...  # True or False
prediction = True
### END SOLUTION

# %%
def keeps_one(keeps, p):
    keep = keeps[0] if keeps[0].any() else torch.tensor([True, False, False])
    return (a * keep / (1 - p)) @ b.T


masks = [torch.tensor(keep) for keep in itertools.product([False, True], repeat=3)]
chances = [0.9 ** (3 - keep.sum().item()) * 0.1 ** keep.sum().item() for keep in masks]
mean = sum(chance * keeps_one([keep], 0.9) for keep, chance in zip(masks, chances))
print(f"at p = 0.9 the expected weight has {(mean.norm() / (a @ b.T).norm()).item():.1f} times the norm of the weight")
reveal(prediction, lambda: not torch.allclose(mean, a @ b.T))

# %% solve="is_unbiased"
def is_unbiased(dropout, weight, rank):
    """Whether a dropout leaves the weight as it is on average, at every p in [0, 1).

    dropout: function; dropout(keeps, p) returns the weight that is left, as in 6.6.
    weight: float64 Tensor, the full weight; rank: tuple of int, the sizes of the rank modes.
    Returns a bool.

    >>> is_unbiased(rescaled, a @ b.T, (3,)), is_unbiased(not_rescaled, a @ b.T, (3,))
    (True, False)
    """
    ### BEGIN SOLUTION
    for p in (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95):
        if not torch.allclose(expected_weight(dropout, rank, p), weight):
            return False
    return True
    ### END SOLUTION

# %% check="is_unbiased" points=4
check("is_unbiased", is_unbiased)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# <code>expected_weight</code> gives the mean for one p. Compare it with the weight; then do so for several p.
# </details>
#
# <details><summary>Hint: it accuses a right one</summary>
# By how much do the two weights differ? <code>torch.allclose</code> compares up to rounding. And if you draw masks
# at random: list them.
# </details>
#
# <details><summary>Hint: it lets a broken one through</summary>
# The name of the broken one says where its bias is: at which p, or in which entries. Does your test look there? And does one p that comes
# out right suffice for you?
# </details>

# %% [markdown]
# `trlkit`'s own layers are tested in this way: CP, Tucker and TT, over all masks, at several $p$ (`tests/test_dropout.py` in its
# repository). An enumeration is short, exact and never flickers, which is all that one can ask of a test.

# %% [markdown]
# ## 6.8 The regularizer that it implies { minutes: 13, difficulty: 4 }
#
# The weight is unbiased. Is the *loss* too? Take a squared error. For one output $\tilde y = \sum_r m_r c_r$, where $c_r$ is
# what component $r$ contributes, and any target $t$:
#
# $$\mathbb{E}\big[(\tilde y - t)^2\big] = \big(\mathbb{E}[\tilde y] - t\big)^2 + \mathrm{Var}[\tilde y]
# = (y - t)^2 + \sum_r \mathrm{Var}[m_r]\, c_r^2$$
#
# The first step is true of any random number; the second uses that the coins are independent, so that variances add. A mask
# entry is $\frac{1}{1-p}$ with probability $1-p$ and else 0: its mean is 1, its mean square $\frac{1}{1-p}$, and so its
# variance $\frac{1}{1-p} - 1 = \frac{p}{1-p}$. Hence
#
# $$\mathbb{E}[\text{loss with dropout}] = \text{loss} + \underbrace{\frac{p}{1-p} \sum_r c_r^2}_{\text{the penalty, averaged like the loss}}$$
#
# On average, training with tensor dropout *is* training without it on a loss with a penalty: it does not like
# components that contribute much. Large ones that cancel one another cost as much as large ones that add up, and give
# the output nothing. The penalty needs no target; it depends on the data through $c_r$, which a weight decay does not. (For a
# cross-entropy this holds only approximately.) Its factor is 1 at $p = 0.5$: the variance is then $\sum_r c_r^2$, on average the
# square of the output itself if the $c_r$ are random, independent and of mean 0, as in 6.2.

# %%
ps = [number / 100 for number in range(0, 95, 5)]
plotting.curves({"p / (1 - p)": (ps, [p / (1 - p) for p in ps])}, "p, the probability of dropping", "factor of the penalty")

# %% [markdown]
# **Predict before you run.** One output, two components that contribute $c = (3, -3)$: the output is 0. How large is the
# penalty at $p = 0.5$?

# %% predict="penalty_value"
### BEGIN SOLUTION
#~ prediction = ...
prediction = 18
### END SOLUTION

# %%
reveal(prediction, lambda: int(0.5 / (1 - 0.5) * (3**2 + (-3) ** 2)))

# %% [markdown]
# Write the penalty for a batch. The loss is `F.mse_loss(y, t)`, the mean over all $B \cdot N$ squared errors; so the
# penalty is the mean over all samples and outputs of $\frac{p}{1-p} \sum_r c_r^2$. Sample $b$ has for component $r$ and
# output $n$
#
# $$c_{b n r} = \langle X_b,\; a_r \circ b_r \circ \cdots \rangle\; v_{n r}$$
#
# with the columns $r$ of the input factors, and the output factor $V$, which is the last one. The check computes it the other way: as the mean
# of the loss over all masks, less the loss without dropout.

# %% solve="dropout_penalty"
def dropout_penalty(x, factors, p):
    """What tensor dropout adds, on average, to the mean squared error of a CP layer.

    x: Tensor of shape (B, I_0, ..., I_(K-1)).
    factors: list of K + 1 Tensors, factors[k] of shape (I_k, R), the last one of shape (N, R).
    p: float in [0, 1).
    Returns a Tensor of shape ().

    >>> x, factors = torch.ones(1, 1), [torch.tensor([[1.0, 1.0]]), torch.tensor([[3.0, -3.0]])]
    >>> dropout_penalty(x, factors, 0.75)
    tensor(54.)
    """
    ### BEGIN SOLUTION
    z = x.flatten(1) @ trlkit.khatri_rao(factors[:-1])  # (B, R)
    contributions = z.unsqueeze(1) * factors[-1]  # (B, N, R)
    return p / (1 - p) * contributions.square().sum(dim=2).mean()
    ### END SOLUTION

# %% check="dropout_penalty" points=3
check("dropout_penalty", dropout_penalty)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# First the numbers (B, R) that you had in 6.2: each sample with each component's input part. Times the output factor, but not yet
# summed over r: (B, N, R).
# </details>
#
# <details><summary>Hint: my result is too small or too large by a round factor</summary>
# Sum over r, mean over b and n. By which number does your result differ: B, N, R, or something made of p?
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# (B, P) times the Khatri-Rao product of the input factors; broadcast with the last factor; square, sum over
# the components, mean over the rest, times p / (1 - p).
# </details>

# %% [markdown]
# ## 6.9 Robustness, measured { minutes: 10, difficulty: 2 }
#
# Kolbeinsson and others report that tensor dropout makes networks more robust to noise and to adversarial
# attack. Let us see on a small scale, honestly: real digits, 8 by 8, one convolution and a CP layer of
# rank 30, trained with and without dropout from the same four seeds, and judged on digits that were not trained on.
#
# Why should it help? No component can count on the others, and large contributions cost (6.8): the answer is spread over many small ones, so
# a disturbance that upsets some of them should do less harm. That is a hope and no proof. What do you expect to gain more: accuracy under noise, or under attack?

# %%
train, validation, _ = data.digits(8)
images, labels = train.tensors[0][:, :1].contiguous(), train.tensors[1]  # the channels are equal
held_out = torch.utils.data.TensorDataset(validation.tensors[0][:, :1], validation.tensors[1])


def trained(p, seed, steps=150):
    torch.manual_seed(seed)
    conv = nn.Conv2d(1, 16, 3, padding=1)
    net = nn.Sequential(conv, nn.ReLU(), CPTRL((16, 8, 8), 10, rank=30, dropout=p))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(steps):
        batch = torch.randint(len(images), (128,))
        optimizer.zero_grad()
        F.cross_entropy(net(images[batch]), labels[batch]).backward()
        optimizer.step()
    return net.eval()


# %%
seeds, began = range(4), time.perf_counter()
nets = {p: [trained(p, seed) for seed in seeds] for p in (0.0, 0.4)}
print(f"trained {2 * len(seeds)} networks in {time.perf_counter() - began:.0f} s")

# %% [markdown]
# Two ways to make it hard. **Noise**: Gaussian numbers are added to the pixels, which lie between 0 and 1.
# **FGSM** (the fast gradient sign method): every pixel is moved by the same small step in the direction in which the loss grows, which
# does far more harm than noise of that size. Here is a digit, a noisy and an attacked version of it, and what a network
# without dropout takes them for:

# %%
plain, label = nets[0.0][0], held_out.tensors[1][:1]
digit = held_out.tensors[0][:1].clone().requires_grad_()
gradient = torch.autograd.grad(F.cross_entropy(plain(digit), label), digit)[0]
noisy = digit.detach() + 0.2 * torch.randn(digit.shape, generator=torch.Generator().manual_seed(0))
attacked = (digit.detach() + 0.1 * gradient.sign()).clamp(0, 1)
named = {"as it is": digit.detach(), "noise 0.2": noisy, "FGSM 0.1": attacked}
gray = {f"{n}: said to be {plain(v).argmax().item()}": v[0].expand(3, 8, 8) for n, v in named.items()}
plotting.images(gray)

# %%
noise, attack = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]
under_noise = {
    p: torch.tensor([robustness.noise_accuracy(net, held_out, noise) for net in some]) for p, some in nets.items()
}
under_attack = {
    p: torch.tensor([robustness.fgsm_accuracy(net, held_out, attack, bounds=(0, 1)) for net in some])
    for p, some in nets.items()
}
names = {0.0: "no dropout", 0.4: "tensor dropout, p = 0.4"}
plotting.curves(
    {names[p]: (noise, found.mean(0).tolist()) for p, found in under_noise.items()},
    "standard deviation of the noise",
    "accuracy on 270 held-out digits, mean of 4 seeds",
)

# %%
plotting.curves(
    {names[p]: (attack, found.mean(0).tolist()) for p, found in under_attack.items()},
    "step of FGSM",
    "accuracy on 270 held-out digits, mean of 4 seeds",
)

# %% [markdown]
# A difference of two curves means little without its spread. Each seed gave a pair of networks that started alike; here is what dropout
# gained for each pair, in percentage points:

# %%
for title, strengths, found in (("noise", noise, under_noise), ("FGSM", attack, under_attack)):
    print(f"{title:6} gain: mean (least to most of the 4 pairs)")
    gain = 100 * (found[0.4] - found[0.0])
    for strength, column in zip(strengths, gain.T):
        print(f"  {strength:5.2f}  {column.mean():+5.1f}  ({column.min():+5.1f} to {column.max():+5.1f})")

# %% [markdown]
# How to read such a table:
#
# - One digit of 270 is 0.4 points. Where the range reaches from below 0 to above it, the mean proves nothing. Where it does not, it proves little:
#   of 4 pairs all have the same sign by chance in one row of 8.
# - When we ran it, dropout changed nothing for sure on clean digits, gained at most a point or two under noise, hardly more
#   than the pairs differ, and several under strong attack. It is no armor: the attack still wins. Look at your own numbers before you believe ours.
# - It is a small network on small images, with one $p$, one rank and one optimizer; for larger ones see the paper below.
# - FGSM is a single step along one gradient, the weakest of attacks. Train twice as long (`steps=300`) and attack with a step of
#   0.15, and you may see the order of the curves turn. A claim of robustness needs more settings and stronger attacks than these.
#
# In chapter 9 you choose rank and $p$ by such measurements yourself, and defend the choice.

# %% [markdown]
# ## 6.10 Quiz: modes of rank 1 { minutes: 2, difficulty: 2 }
#
# **`TuckerTRL(..., rank=(20, 1, 1, 20), dropout=0.4)` is told no `modes`, so it drops from all four. In about which share of the
# training steps is the whole weight 0?** (The modes of rank 20 hardly ever lose all.)
#
# - **a** 16 %
# - **b** 36 %
# - **c** 40 %
# - **d** 64 %

# %% solve="quiz_rank_one_modes"
### BEGIN SOLUTION
#~ quiz_rank_one_modes = ...  # "a", "b", "c" or "d"
quiz_rank_one_modes = "d"
### END SOLUTION

# %% check="quiz_rank_one_modes" points=1
check("quiz_rank_one_modes", quiz_rank_one_modes)
### HASHED AUTOTEST quiz_rank_one_modes

# %% [markdown]
# ## 6.11 Quiz: everything stays { minutes: 1, difficulty: 2 }
#
# **A Tucker weight of rank (4, 5, 6) is dropped from in all three modes at p = 0.5. By chance every component
# stays. The weight of this step is the full weight times ...**
#
# - **a** 1
# - **b** 2
# - **c** 8
# - **d** 2 to the power of 15

# %% solve="quiz_all_stay"
### BEGIN SOLUTION
#~ quiz_all_stay = ...  # "a", "b", "c" or "d"
quiz_all_stay = "c"
### END SOLUTION

# %% check="quiz_all_stay" points=1
check("quiz_all_stay", quiz_all_stay)
### HASHED AUTOTEST quiz_all_stay

# %% [markdown]
# ## 6.12 Quiz: eval() forgotten { minutes: 1, difficulty: 2 }
#
# **You measure the accuracy of a network with unbiased tensor dropout and forget `eval()`. What do you measure?**
#
# - **a** the same accuracy, since the dropout is unbiased
# - **b** a lower accuracy, since all outputs are too small by a factor of 1 - p
# - **c** usually a lower accuracy, and another one each time, since each batch is judged with a random weight
# - **d** the same accuracy, since the mean over all masks is taken

# %% solve="quiz_forgot_eval"
### BEGIN SOLUTION
#~ quiz_forgot_eval = ...  # "a", "b", "c" or "d"
quiz_forgot_eval = "c"
### END SOLUTION

# %% check="quiz_forgot_eval" points=1
check("quiz_forgot_eval", quiz_forgot_eval)
### HASHED AUTOTEST quiz_forgot_eval

# %% [markdown]
# ## What to take away
#
# - Tensor dropout switches off whole **components**: columns, the same ones in every factor of a CP; in a Tucker, each mode on its own.
# - What stays is multiplied by $1/(1-p)$, **once for each mode that is dropped from**: not once for each factor of a CP, and not for modes that are skipped.
# - Modes of rank 1 should be skipped; in `trlkit` it is you who says so, by `modes`.
# - An expectation over coins can be computed **exactly** for small ranks. Good intentions, such as keeping at least one component, are biases.
# - A dropout that is never called looks just like one that works. Two passes in training mode tell.
# - On a squared error it is a penalty, $\frac{p}{1-p}$ times the squared contributions of the components.
# - Robustness is a measurement: several seeds, pairs, a spread, and an attack that you have checked.
#
# In `trlkit`: `CPTRL(..., dropout=0.4)`, `TuckerTRL(..., dropout=TensorDropout(0.4, modes=(0, 3)))`,
# `tensor_dropout(layer, p)`, `remove_tensor_dropout(layer)`, and `robustness.uncertainty` for what many passes say of one input.
#
# ## To go further
#
# - Kolbeinsson, Kossaifi, Panagakis, Bulat, Anandkumar, Tzoulaki, Matthews: *Tensor Dropout for Robust Learning*, arXiv 1902.10758.
# - Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov: *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*,
#   JMLR 15 (2014).
# - Kossaifi, Lipton, Kolbeinsson, Khanna, Furlanello, Anandkumar: *Tensor Regression Networks*, JMLR 21 (2020).
# - Goodfellow, Shlens, Szegedy: *Explaining and Harnessing Adversarial Examples*, arXiv 1412.6572.
# - Gal, Ghahramani: *Dropout as a Bayesian Approximation*, arXiv 1506.02142.
#
# **Next:** chapter 7, *A CNN with a TRL*: the layer takes its place in a network.
