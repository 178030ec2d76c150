# %% [markdown]
# # 6. Tensor dropout { minutes: 110, difficulty: 4 }
#
# Two libraries, one setting: `p = 0.9`. Both layers are in training mode, both get the same batch forty times; below is
# one output of each, pass by pass. **A layer says that it drops. How would you know, and what would it buy you?** That is the
# question of this chapter. You write tensor dropout, then the tests that tell a right one from a wrong one, and in the end the
# experiment that says whether it helped.
#
# **You need** CP and Tucker weights (chapters 2, 4 and 5), and mean and variance of a coin toss. The
# answers need plain `torch`; `trlkit`'s functions for weights may help. As in all chapters, checks try values, gradients
# and dtypes, inputs that are not contiguous, and whether what you are given stays as it was.

# %% lock="imports_06"
import itertools
import math
import sys
import warnings
from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

import trlkit
from trlkit import CPTRL, TuckerTRL
from trlkit.lab import plotting, robustness, sturdy
from trlkit.lab.statistics import interval
from trlkit.course import check, explore, progress, reveal

# %%
import tltorch
from tltorch.tensor_hooks import tensor_dropout as tltorch_dropout

torch.manual_seed(0)
x = torch.randn(64, 8, 8)
layers = {"layer A": CPTRL((8, 8), 10, rank=20, dropout=0.9)}
layers["layer B"] = tltorch.TRL((8, 8), (10,), rank=20, factorization="cp")
tltorch_dropout(layers["layer B"].weight, p=0.9)
with torch.no_grad():
    outputs = {name: [layer.train()(x)[0, 0].item() for _ in range(40)] for name, layer in layers.items()}
lines = {n: (range(40), [y / max(map(abs, ys)) for y in ys]) for n, ys in outputs.items()}
plotting.curves(lines, "pass", "one output, as a share of its largest")

# %% [markdown]
# Layer A is `trlkit`'s, layer B is one of tensorly-torch 0.5.0. Its `tensor_dropout` puts a **forward hook** on the weight: a
# function that PyTorch runs whenever the weight is *called*, as `weight()`. But the forward of that layer reads the
# weight and never calls it. No error, no warning, a loss that goes down as ever: such a fault can sit in an experiment for years.

# %% [markdown]
# ## 6.1 Does it drop at all? { minutes: 10, difficulty: 3 }
#
# The only way to notice is to look at what a layer *does*. Before you write that test:
#
# **Predict before you run.** A layer of rank 1 drops its only component with $p = 0.1$. Two passes give the same output and
# you conclude that nothing is dropped. In how many percent of the cases are you wrong?

# %% predict="same_twice"
### BEGIN SOLUTION
#~ prediction = ...  # percent
prediction = 82
### END SOLUTION

# %%
reveal(prediction, lambda: round(100 * (0.9 * 0.9 + 0.1 * 0.1)))

# %% [markdown]
# <details><summary>If you predicted 81, or 90</summary>
# 90 % is one pass that drops nothing, 81 % are two. And two passes that both drop are alike, too.
# </details>
#
# Write the test: `True` for a layer whose outputs, in training mode, change from pass to pass.
#
# - Two passes may draw the same mask by chance. A layer of rank 1 with $p = 0.1$ must be found out with a probability of at
#   least 999 in 1000. How many passes does that take?
# - Compare passes with each other. Training and eval mode may differ without any dropout: batch norm does.
# - The layer comes in either mode and is afterwards what it was: the mode of all modules in it, what it has stored, what learns.

# %% solve="really_drops"
def really_drops(layer, x):
    """Whether a layer's outputs in training mode change from pass to pass.

    layer: nn.Module, it and all modules in it in training mode, or all in eval mode. Afterwards
    its modes, parameters and buffers (a batch norm's statistics) are what they were.
    x: a batch that it takes.
    Returns a bool.

    >>> really_drops(nn.Dropout(0.5), torch.ones(8)), really_drops(nn.Linear(8, 2), torch.ones(8))
    (True, False)
    """
    ### BEGIN SOLUTION
    from copy import deepcopy

    asked = deepcopy(layer).train()
    first = asked(x)
    return any(not torch.equal(asked(x), first) for _ in range(100))
    ### END SOLUTION

# %% check="really_drops" points=2
check("really_drops", really_drops)

# %%
print({name: really_drops(layer, x) for name, layer in layers.items()})

# %% [markdown]
# <details><summary>Hint: how many passes?</summary>
# Suppose the first pass dropped nothing. With which probability does none of the next n drop anything either?
# </details>
#
# <details><summary>Hint: the mode, or a batch norm, is not what it was</summary>
# What does a pass in training mode leave behind, beside an output? And must it be <i>this</i> layer that you ask?
# </details>

# %% [markdown]
# ## 6.2 Drop components of a CP { minutes: 7, difficulty: 2 }
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

# %% check="drop_cp" points=1
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

# %% [markdown]
# ## 6.3 A layer that drops { minutes: 9, difficulty: 3 }
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
# At $p = 0.5$ the noise of these fresh, random CPs is about as large as the signal, whatever the rank (6.7 says why); where three
# modes are dropped from, it is larger still. Towards $p = 1$ both
# grow without bound, and the noise drowns whatever there is to learn.
#
# Write the layer for a CP weight, without a bias. One mask for the whole batch. For the coins `torch.rand(R, device=x.device)` and
# a comparison are enough (without the device, a layer on a GPU fails); your `drop_cp` does the rest.

# %% solve="DropoutCP"
class DropoutCP(nn.Module):
    """A regression layer with a CP weight and tensor dropout.

    DropoutCP(factors, p): factors is a list of K + 1 Tensors, factors[k] of shape (I_k, R) for the
    K input modes, the last one of shape (N, R) for the N outputs. They are the layer's only
    parameters. p: float in [0, 1), any other number is refused with a ValueError.

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
            keep = torch.rand(factors[0].shape[1], device=x.device) >= self.p
            factors = drop_cp(factors, keep, self.p)
        z = x.flatten(1) @ trlkit.khatri_rao(factors[:-1])  # (B, R)
        return z @ factors[-1].T
        ### END SOLUTION

# %% check="DropoutCP" points=2
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
# Which numbers can <code>torch.rand</code> give, the ends included, and what becomes of each at p = 0? And is the mask
# drawn in <code>forward</code>, once for each component?
# </details>

# %% [markdown]
# ## 6.4 Drop in each mode of a Tucker { minutes: 7, difficulty: 3 }
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
# <details><summary>If you predicted 16, or 2</summary>
# 16 are all four scales, but two of them were needed. And each of the two others brings its own factor.
# </details>
#
# It happens in real code: in tensorly-torch 0.5.0 modes of a rank up to `min_dim` (3 by default) are skipped, and the scale
# counts all modes. Here we call its weight by hand, so that the hook of 6.1 does run, and take the mean over many draws:

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

# %% check="drop_tucker" points=1
check("drop_tucker", drop_tucker)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# To the columns of which factor does <code>keeps[k]</code> belong? And which function drops columns already?
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
# ## 6.5 The expected weight { minutes: 10, difficulty: 3 }
#
# Above, a mean over 3000 draws gave "about 4". How sure is "about"? The error of a mean shrinks
# only with the square root of the number of draws. But coins are simple: for a small rank all masks can be listed, the probability of
# each is known, and the expectation comes out **exactly**.
#
# To put *any* implementation to the test, we need one form for all. From here on, a **dropout** is a function
#
# `dropout(keeps, p)`: the weight that is left,
#
# where `keeps` is a list with one mask for each rank mode: one for a CP, one for each mode for a Tucker. Yours of 6.2,
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
# rank modes.
#
# **Predict before you run.** How many combinations has a Tucker weight of rank (2, 3, 1)? And at $p = 0.25$, how probable is the one in
# which everything is dropped?

# %% predict="combinations"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # combinations; a probability, such as 1 / 3
prediction = (64, 0.25**6)
### END SOLUTION

# %%
reveal(prediction, lambda: (2 ** (2 + 3 + 1), 0.25 ** (2 + 3 + 1)))

# %% [markdown]
# <details><summary>If you predicted 12 or 14 combinations</summary>
# 14 adds the masks of the modes up; but each mask of one mode comes with each of the others. 12 counts two for each entry of the core.
# </details>

# %% solve="expected_weight"
def expected_weight(dropout, rank, p):
    """The mean of the weights that a dropout leaves, over all masks.

    dropout: function; dropout(keeps, p) takes a list with a bool Tensor of shape (rank[k],) for each
    rank mode k and returns the weight that is left, a Tensor (leave it as it is).
    rank: tuple of int, the sizes of the rank modes, (R,) for a CP; p: float in [0, 1), the
    probability that a component is dropped.
    Returns a Tensor of the weight's shape and dtype, with all its digits.

    >>> expected_weight(lambda keeps, p: 10.0 * keeps[0], (2,), 0.25)
    tensor([7.5000, 7.5000])
    """
    ### BEGIN SOLUTION
    total = 0
    for coins in itertools.product([False, True], repeat=sum(rank)):
        probability = math.prod(1 - p if stays else p for stays in coins)
        keeps = torch.tensor(coins).split(list(rank))
        total = total + probability * dropout(list(keeps), p)
    return total
    ### END SOLUTION

# %% check="expected_weight" points=1
check("expected_weight", expected_weight)

# %% [markdown]
# <details><summary>Hint: how do I list masks?</summary>
# <code>itertools.product</code> runs through all ways to take one entry of each of several lists. Of which lists?
# </details>
#
# <details><summary>Hint: the probabilities do not add up to 1</summary>
# A mask is a story about <i>every</i> component: those that stay bring a factor, and those that go bring one too.
# </details>

# %% [markdown]
# ## 6.6 A test that catches a biased dropout { minutes: 15, difficulty: 5 }
#
# Now you are the one who judges. A dropout is **unbiased** if the expected weight is the full weight, for *every* $p$ in $[0, 1)$. The network
# is trained with dropped weights and used with the full one; a bias means that it is used with another weight than it was trained for,
# and nothing tells you.
#
# **Predict before you run.** An implementation keeps the first component where the coins would drop them all. (It sounds
# sensible: a layer without any weight learns nothing in that step.) The rank is 3 and $p = 0.9$. By what is the first component
# multiplied, on average?

# %% predict="one_left_mean"
### BEGIN SOLUTION
#~ prediction = ...  # such as 1.0
prediction = 8.29
### END SOLUTION

# %%
def keeps_one(keeps, p):
    keep = keeps[0] if keeps[0].any() else torch.tensor([True, False, False])
    return keep.double() / (1 - p)  # what the three components are multiplied by


reveal(prediction, lambda: round(expected_weight(keeps_one, (3,), 0.9)[0].item(), 2))

# %% [markdown]
# <details><summary>If you predicted 1.0, or something near it</summary>
# How often are all three dropped? And what is the component multiplied by that comes in then?
# </details>
#
# Write `is_unbiased`. The check gives it some forty implementations, right ones and broken ones, and says which
# broken one your test let through and which right one it accused. Some are drawn anew for the hidden check. What you are told of them:
#
# - Right ones may look unusual. Nothing counts but the expected weight, at every $p$.
# - A bias may sit in one entry, in one row, in one component; it may cancel in a sum or in a norm. It may be as small as
#   one part in a hundred thousand, and show only on a stretch of $p$, anywhere, which is at least 0.1 wide.
# - The weight is float64, of any size: its entries may be about 1 or about $10^{-12}$. Sums are rounded, also those in
#   which large components cancel, so "the same" means *the same up to rounding*.
# - Never ask for $p = 1$, nor one dropout for more than 4000 weights.

# %% solve="is_unbiased"
def is_unbiased(dropout, weight, rank):
    """Whether a dropout leaves the weight as it is on average, at every p in [0, 1).

    dropout: function; dropout(keeps, p) returns the weight that is left, as in 6.5.
    weight: float64 Tensor, the full weight, not 0; rank: tuple of int, the sizes of the rank modes.
    Returns a bool.

    >>> is_unbiased(rescaled, a @ b.T, (3,)), is_unbiased(not_rescaled, a @ b.T, (3,))
    (True, False)
    """
    ### BEGIN SOLUTION
    for p in [0, 0.01, 0.05, *(number / 20 for number in range(2, 20))]:
        gap = (expected_weight(dropout, rank, p) - weight).abs().max()
        if gap > 1e-9 * weight.abs().max():
            return False
    return True
    ### END SOLUTION

# %% check="is_unbiased" points=4
check("is_unbiased", is_unbiased)

# %% [markdown]
# <details><summary>Hint: it accuses a right one</summary>
# By how much do the two weights differ, as a share of the weight? And if you draw masks at random: do you have to?
# </details>
#
# <details><summary>Hint: it lets a broken one through</summary>
# At which p does its bias show, and in which entries? Does your test look there?
# </details>
#
# ### Real patients
#
# `trlkit`'s own layers are tested in this way, over all masks (`tests/test_dropout.py` in its
# repository). What does your test say of tensorly-torch 0.5.0? Its code draws coins with `torch.bernoulli`; below these are
# replaced by the masks of your test, for the modes that it draws for. The last patient is the layer B of the first picture.

# %%
def patient(weight, forward=None):
    """A dropout in the form of 6.5, made of a weight of tensorly-torch."""
    whole = weight.double().to_tensor().detach()

    def dropout(keeps, p):
        coins = iter(keeps)
        for hook in list(weight._forward_hooks):
            del weight._forward_hooks[hook]
        tltorch_dropout(weight.train(), p=p)
        with (
            torch.no_grad(),
            warnings.catch_warnings(),
            mock.patch("torch.bernoulli", lambda *args, **options: next(coins)),
        ):
            warnings.simplefilter("ignore")
            return (forward or (lambda: weight().to_tensor()))()

    return dropout, whole


torch.manual_seed(0)
cp = tltorch.TRL((6, 5), (4,), rank=4, factorization="cp").weight
tucker = tltorch.TRL((6, 5), (4,), rank=(4, 2, 2), factorization="tucker").weight
unread = tltorch.TRL((6, 5), (4,), rank=4, factorization="cp")
patients = {
    "CP, rank 4": patient(cp),
    "Tucker, rank (4, 2, 2), which skips ranks up to 3": patient(tucker),
    "the weight that layer B's forward reads": patient(unread.weight, lambda: unread.weight.to_tensor()),
}
for name, (dropout, whole) in patients.items():
    mean = sum(expected_weight(dropout, (4,), 0.9) for _ in range(100)) / 100  # which one is kept is drawn
    share = (mean * whole).sum() / whole.square().sum()
    unbiased = is_unbiased(dropout, whole, (4,))
    print(f"{name:50s} unbiased: {unbiased!s:5s}   mean / weight at p = 0.9: {share:.2f}")

# %% [markdown]
# Two are biased: the first keeps at least one component, the second rescales modes that it skips. And the third? It drops nothing,
# which is perfectly unbiased. **Neither test finds all three. Together they do.**

# %% [markdown]
# ## 6.7 The regularizer that it implies { minutes: 8, difficulty: 3 }
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
# square of the output itself if the $c_r$ are random, independent and of mean 0, as in 6.3.

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
# <details><summary>If you predicted 0</summary>
# The output is 0 as long as both stay, or both go. What is it when one goes alone, and how often does that happen?
# </details>
#
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

# %% check="dropout_penalty" points=1
check("dropout_penalty", dropout_penalty)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Which indices has a contribution, and which of them are summed when the layer makes its output?
# </details>
#
# <details><summary>Hint: my result is too small or too large by a round factor</summary>
# Sum over r, mean over b and n. By which number does your result differ: B, N, R, or something made of p?
# </details>
#
# Is it true? CP layers of one start learn digits by the squared error, with the same batches: one without dropout, one with your penalty
# added to its loss, and two with tensor dropout, of which the last takes the mean loss over eight masks in each step. **Which curve do you expect to lie on which?**

# %%
images, labels = sturdy.digits()[0].tensors
targets, pixels = F.one_hot(labels, 10).double(), images[:, 0].double()
arms = {"no dropout": (0.0, 0, 1), "your penalty": (0.0, 0.5, 1)}
arms |= {"dropout, one mask a step": (0.5, 0, 1), "dropout, eight masks a step": (0.5, 0, 8)}
lines = {}
for name, (p, penalty, masks) in tqdm(arms.items(), file=sys.stdout):
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(size, 16, generator=generator, dtype=torch.float64) for size in (8, 8, 10)]
    layer = DropoutCP([0.3 * factor for factor in start], p)
    factors = list(layer.parameters())
    optimizer, losses = torch.optim.Adam(factors, lr=0.01), []
    for step in range(201):
        if step % 20 == 0:
            losses.append(F.mse_loss(layer.eval()(pixels), targets).item())
        batch = torch.randint(len(pixels), (128,), generator=generator)
        x, y = pixels[batch], targets[batch]
        loss = sum(F.mse_loss(layer.train()(x), y) for _ in range(masks)) / masks
        if penalty:
            loss = loss + dropout_penalty(x, factors, penalty)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    lines[name] = (range(0, 201, 20), losses)
plotting.curves(lines, "step", "squared error on the training digits, in eval mode", log="y")

# %% [markdown]
# A penalty is what dropout is *on average*. A single mask in each step is noise besides, and noise costs something; with more masks a step the curve
# moves onto that of your penalty.

# %% [markdown]
# ## 6.8 Where the formula breaks { minutes: 15, difficulty: 5 }
#
# A Tucker weight is dropped from in several modes. One output is $y = \sum_{r, s, \ldots} c_{rs\cdots}$: entry by entry of the core, what
# it contributes. With a mask for each mode,
#
# $$\tilde y = \sum_{r, s, \ldots} m_r\, n_s \cdots c_{rs\cdots}$$
#
# **Predict before you run.** Two modes, $c$ is 2 x 2 and all ones, $p = 0.5$. What is the variance of $\tilde y$? (For a CP with four such
# components it would be 4.)

# %% predict="tucker_variance"
### BEGIN SOLUTION
#~ prediction = ...
prediction = 20
### END SOLUTION

# %%
def listed_variance():
    outputs = [4 * m * n for m in (0, 1, 1, 2) for n in (0, 1, 1, 2)]  # of 16 masks, all equally likely
    return round(sum(y * y for y in outputs) / 16 - (sum(outputs) / 16) ** 2)


reveal(prediction, listed_variance)

# %% [markdown]
# <details><summary>If you predicted 4</summary>
# That would be four coins. Here are two for the rows and two for the columns, and a row takes two entries with it.
# </details>
#
# <details><summary>If you predicted 12</summary>
# Each entry by itself has the variance 3. But entries of one row stay and go together, and variances of numbers that depend on each other
# do not add up.
# </details>
#
# Find the rule, for any number of modes, and write it as a function. It cannot list masks: the largest case of the check has $2^{50}$ of
# them. A way to begin: the variance is the mean of $\tilde y^2$ less $y^2$, and a square of a sum is a sum over *pairs* of entries.
# For one mode, what is the mean of $m_r m_{r'}$, for $r = r'$ and for $r \ne r'$?

# %% solve="output_variance"
def output_variance(c, p):
    """The variance of an output under tensor dropout in every mode.

    c: Tensor of shape (R_0, ..., R_K), K >= 0: what each entry of the core contributes to the output.
    p: float in [0, 1).
    Returns a Tensor of shape (). At most 4000 operations on tensors.

    >>> output_variance(torch.tensor([3.0, -3.0]), 0.75)      # one mode: the penalty of 6.7
    tensor(54.)
    """
    ### BEGIN SOLUTION
    total = 0
    for shared in itertools.product([False, True], repeat=c.ndim):  # modes in which a pair agrees
        if any(shared):
            free = [mode for mode in range(c.ndim) if not shared[mode]]
            sums = c.sum(dim=free) if free else c
            total = total + (p / (1 - p)) ** sum(shared) * sums.square().sum()
    return total
    ### END SOLUTION

# %% check="output_variance" points=4
check("output_variance", output_variance)

# %% [markdown]
# <details><summary>Hint: what do I do with the mean of a product of two mask entries?</summary>
# It has the form 1 + q for the same entry and 1 for two different ones. What is q? With two modes, multiply two such numbers out: which
# pairs of entries does each of the terms reach?
# </details>
#
# <details><summary>Hint: two modes are right, three are not</summary>
# How many terms has a product of three brackets, and for which of them did you find sums over c?
# </details>
#
# So rows and columns of the core are pushed towards sums of 0, not only towards small entries, and the more modes are dropped from,
# the louder it gets. That is why Tucker layers want a smaller $p$, or fewer `modes`.

# %% [markdown]
# ## 6.9 Does it help? { minutes: 10, difficulty: 4 }
#
# Kolbeinsson and others report that tensor dropout makes networks more robust to noise and to adversarial
# attack. You find out, on real digits of 8 by 8 pixels. `sturdy.trained(seed, steps, p)` trains a convolution and a CP layer of rank 30;
# start and batches depend on the seed alone, not on `p`. `sturdy.disturbed_accuracy(network, disturbance, strength)` is its accuracy, in percent, on
# 270 digits that it has not seen, which are disturbed:
#
# - `"noise"`: Gaussian numbers of that standard deviation are added to the pixels, which lie between 0 and 1;
# - `"fgsm"` (the fast gradient sign method): every pixel is moved by that much in the direction in which the loss grows;
# - `"pgd"`: the same in ten smaller steps, each along a new gradient, and no pixel further away than that.

# %%
plain = sturdy.trained(0)
digit, label = (tensor[:1] for tensor in sturdy.digits()[1].tensors)
digit = digit.clone().requires_grad_()
(gradient,) = torch.autograd.grad(F.cross_entropy(plain(digit), label), digit)
digit = digit.detach()
noisy = digit + 0.2 * torch.randn(digit.shape, generator=torch.Generator().manual_seed(0))
named = {"as it is": digit, "noise 0.2": noisy, "FGSM 0.1": (digit + 0.1 * gradient.sign()).clamp(0, 1)}
gray = {f"{n}: said to be {plain(v).argmax().item()}": v[0].expand(3, 8, 8) for n, v in named.items()}
plotting.images(gray)

# %% [markdown]
# One network proves nothing: another seed gives another accuracy, by more than dropout changes it. Networks of one seed share
# that luck, so **compare them pair by pair**. `interval(differences)` gives the mean of a few numbers and half of its
# 95 % interval: the true mean is between `mean - half` and `mean + half`. Write the experiment for any network and any measure.

# %% solve="paired_gain"
def paired_gain(train, judge, seeds, p):
    """What dropout gains, measured on pairs of networks that differ in nothing else.

    train: function; train(seed, p) trains a network, with p = 0.0 one without dropout.
    judge: function; judge(network) is its accuracy in percent.
    seeds: list of 2 to 10 int; p: float in (0, 1).
    Returns (mean, half): the gain in points, positive where dropout is better, and half of its interval.

    >>> paired_gain(lambda seed, p: (seed, p), lambda pair: 50 + pair[0] + 20 * pair[1], [0, 1], 0.5)
    (10.0, 0.0)
    """
    ### BEGIN SOLUTION
    gains = [judge(train(seed, p)) - judge(train(seed, 0.0)) for seed in seeds]
    return interval(gains)
    ### END SOLUTION

# %% check="paired_gain" points=2
check("paired_gain", paired_gain)

# %% [markdown]
# <details><summary>Hint: what is a pair?</summary>
# Two networks that share all but one thing. Which numbers go into an interval: scores, or what one pair differs by?
# </details>
#
# Who else could get the credit? Ordinary dropout of the activation and a weight decay are rivals that cost nothing to try. **Write down what you expect**:
# which of the four gains most, under noise, and under attack?

# %%
my_guess = ...  # "tensor dropout", "ordinary dropout", "weight decay" or "none of them"

# %%
seeds, tests = [0, 1, 2], [("noise", 0.0), ("noise", 0.4), ("fgsm", 0.1), ("pgd", 0.1)]
arms = {
    "no dropout": {},
    "tensor dropout, p = 0.4": {"p": 0.4},
    "ordinary dropout, p = 0.4": {"units": 0.4},
    "weight decay 0.3": {"decay": 0.3},
}
runs = {
    arm: [[sturdy.disturbed_accuracy(net, *test) for test in tests] for net in (sturdy.trained(s, **how) for s in seeds)]
    for arm, how in tqdm(arms.items(), file=sys.stdout)
}
print(f"{'gain in points, and its interval':34s}" + "".join(f"{d + ' ' + str(s):>22s}" for d, s in tests))
for arm in list(arms)[1:]:
    print(f"{arm:34s}", end="")
    for column in range(len(tests)):
        pairs = zip(runs[arm], runs["no dropout"])
        mean, half = interval([one[column] - other[column] for one, other in pairs])
        print(f"{mean:+6.1f} +- {half:4.1f}".rjust(22), end="")
    print()

# %% [markdown]
# Read it as a skeptic. An interval that holds 0 shows nothing, and three seeds make wide ones. Where tensor dropout gains, does ordinary
# dropout gain less? Only a difference between *these two* would say that it is the *tensor* that helps.

# %% [markdown]
# ## 6.10 Helped and hurt by the same dropout { minutes: 10, difficulty: 4 }
#
# Here is your experiment. Choose one $p$ (at most 0.8) and one number of steps (at most 300), and two disturbances with strengths, such that **the
# same networks** are helped by dropout under the one and hurt under the other. Noise goes up to 1, the attacks up to 0.3. Undisturbed, all of them should read
# 90 % at least.
#
# **Predict before you run**, and keep it: is there a setting in which FGSM and PGD, two attacks along the same gradient, contradict each other?

# %%
contradiction = ...  # True or False

# %%
def train(seed, p):
    return sturdy.trained(seed, 150, p)


def judge(network):
    return sturdy.disturbed_accuracy(network, "noise", 0.3)


print("gain {:+.1f} +- {:.1f}".format(*paired_gain(train, judge, [0, 1], 0.4)))

# %% [markdown]
# That is one measurement; change it, and measure until your intervals keep clear of 0. The check repeats your claim on four seeds of its own, and trains
# eight networks for it, which takes some seconds. Your result counts as shown if the mean gain of its pairs is two points and two standard errors away
# from 0, on the side that you say, and as measured if your number is within eight points of its own.

# %% solve="where_it_turns"
def where_it_turns():
    """A setting in which the same dropout helps under one disturbance and hurts under another.

    Returns (p, steps, helps, hurts), p a float and steps an int; helps and hurts are each
    (disturbance, strength, gain): "noise", "fgsm" or "pgd", its strength, and the mean gain in
    points that you have measured, positive in helps and negative in hurts.
    """
    ### BEGIN SOLUTION
    return 0.6, 200, ("pgd", 0.1, 11.0), ("fgsm", 0.2, -6.0)
    ### END SOLUTION

# %% check="where_it_turns" points=3
check("where_it_turns", where_it_turns)

# %% [markdown]
# <details><summary>Hint: I find nothing that hurts</summary>
# What grows with the strength of one large step, and what does one of many small steps do that a single one cannot?
# </details>
#
# <details><summary>Hint: my networks read too little</summary>
# Dropout learns more slowly. How many steps do you give it?
# </details>
#
# Which of the two attacks do you believe? The accuracy of one network without dropout, against the strength:

# %%
network, strengths = sturdy.trained(0, 300), [0, 0.03, 0.06, 0.09, 0.12, 0.15, 0.2, 0.25, 0.3]
lines = {
    name: (strengths, [sturdy.disturbed_accuracy(network, name, s) for s in strengths]) for name in ("fgsm", "pgd")
}
plotting.curves(lines, "strength", "accuracy in percent")

# %% [markdown]
# Whatever one large step can do, ten small ones can do as well. So where the curve of FGSM lies above that of PGD, it tells how weak the attack is, and
# not how strong the network. **A claim of
# robustness is as good as the strongest attack that was tried.** Many papers have been corrected on this point (Athalye and others, below).

# %% [markdown]
# ## 6.11 Open challenge: which digits would you hand over? { minutes: 8, difficulty: 3 }
#
# A trained layer that still drops gives another opinion with every mask. A network may hand the digits that it is least sure of to a person. Which
# ones? You get what 32 masks say of 270 noisy digits, and what eval mode says; you never see the labels. The first $k$ digits by your doubt are handed over, for
# every $k$; what counts is the share of errors among those that are kept, averaged over all $k$.

# %%
def opinions(seed, p=0.4, noise=0.3):
    """Probabilities of 32 masks (32, B, 10) and of eval mode (B, 10), and what eval mode misreads (B,)."""
    network = sturdy.trained(seed, p=p)
    images, labels = sturdy.digits()[1].tensors
    noisy = images + noise * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        single = network(noisy).softmax(1)
        passes = torch.stack([network.train()(noisy).softmax(1) for _ in range(32)])
    return passes, single, single.argmax(1) != labels


passes, single, wrong = opinions(seed=7)
print(f"eval mode misreads {wrong.sum().item()} of {len(wrong)}")

# %% solve="doubt"
def doubt(passes, single):
    """How doubtful each digit is.

    passes: Tensor of shape (S, B, N), the probabilities of N classes for B digits, by S masks.
    single: Tensor of shape (B, N), the probabilities in eval mode: its class is what is said.
    A probability may be exactly 0.
    Returns a Tensor of shape (B,), the higher the more doubtful.

    >>> easy, hard = [0.9, 0.1], [0.5, 0.5]
    >>> doubt(torch.tensor([[easy, hard]] * 4), torch.tensor([easy, hard])).argmax()
    tensor(1)
    """
    ### BEGIN SOLUTION
    first, second = single.topk(2, dim=1).values.T
    return second - first
    ### END SOLUTION

# %% check="doubt" points=1
check("doubt", doubt)

# %% [markdown]
# The point is yours once six tenths are gone of what a random order has too much. What remains is for the sport; the lowest line is what nobody can beat. **Predict
# first:** do 32 masks know more than one softmax?

# %%
orders = {
    "yours": doubt(passes, single),
    "one softmax: 1 less its largest": 1 - single.max(1).values,
    "entropy of the 32 masks' mean": torch.special.entr(passes.mean(0)).sum(1),
    "disagreement of the masks": passes.var(0).sum(1),
    "best possible": wrong.double(),
}
kept, lines = range(len(wrong), 20, -10), {}
for name, order in orders.items():
    errors = wrong[order.argsort(stable=True)].double().cumsum(0)
    lines[f"{name}: {robustness.kept_error(order, wrong):.3f}"] = (
        [len(wrong) - k for k in kept],
        [100 * errors[k - 1].item() / k for k in kept],
    )
plotting.curves(lines, "digits handed over", "errors among the digits kept, in percent")

# %% [markdown]
# Try `opinions` with other seeds before you believe an order of close lines: 270 digits are few. `robustness.uncertainty` does the many passes for a
# network with layers of `trlkit`.

# %% [markdown]
# ### Turn it: dropout against noise
#
# **Predict before you turn.**
# Which p is the best with noise of 0.3, and which one under an attack of 0.06? And what does it cost on clean digits? Write two
# numbers down, then turn.

# %%
explore("dropout against noise")

# %% [markdown]
# ## 6.12 Quiz: modes of rank 1 { minutes: 1, difficulty: 2 }
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
# ## What to take away
#
# What you know now that users of `nn.Linear` and `nn.Dropout` mostly don't:
#
# - Tensor dropout switches off whole **components**; what stays is multiplied by $1/(1-p)$ **once for each mode that is dropped from**.
# - An expectation over coins can be computed **exactly** for small ranks. Good intentions, such as keeping one component, are biases.
# - A dropout that is never called is perfectly unbiased. It takes two tests to trust one layer.
# - Dropout *is* a penalty on squared contributions, as long as each has its own coin; with several modes, sums over rows and columns are
#   penalized too.
# - Whether it helped is a matter of pairs, an interval, rivals of the same cost, and an attack that deserves the name.
# - On CIFAR-10, a small CNN with a CP TRL, five pairs: p = 0.4 changes the accuracy by <!--fact robustness; all; CP, p = 0.4; minus CP-->-2.7 ± 0.5<!--/fact--> points on clean photographs, <!--fact robustness; all; CP, p = 0.4; noise_0.1 minus CP-->-2.0 ± 2.1<!--/fact--> under noise of 0.1,
#   <!--fact robustness; all; CP, p = 0.4; fgsm_2 minus CP-->+1.3 ± 1.2<!--/fact--> under FGSM of 2/255, <!--fact robustness; all; CP, p = 0.4; pgd_2 minus CP-->+1.6 ± 1.2<!--/fact--> under PGD. Ordinary dropout of 0.4 in a fully connected head: <!--fact robustness; all; FC, dropout 0.4; minus FC-->-3.6 ± 0.5<!--/fact-->, <!--fact robustness; all; FC, dropout 0.4; noise_0.1 minus FC-->-7.4 ± 2.6<!--/fact-->, <!--fact robustness; all; FC, dropout 0.4; fgsm_2 minus FC-->+0.5 ± 0.8<!--/fact--> and <!--fact robustness; all; FC, dropout 0.4; pgd_2 minus FC-->+0.3 ± 0.5<!--/fact-->.
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
# - Athalye, Carlini, Wagner: *Obfuscated Gradients Give a False Sense of Security*, arXiv 1802.00420. Defenses that a better attack broke.
# - Madry, Makelov, Schmidt, Tsipras, Vladu: *Towards Deep Learning Models Resistant to Adversarial Attacks*, arXiv 1706.06083. PGD.
# - Gal, Ghahramani: *Dropout as a Bayesian Approximation*, arXiv 1506.02142.
#
# **Next:** chapter 7, *A CNN with a TRL*: the layer takes its place in a network.

# %%
progress()
