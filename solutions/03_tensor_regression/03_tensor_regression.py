# %% [markdown]
# # 3. Tensor regression { minutes: 85, difficulty: 3 }
#
# A regression gives each picture a number: a risk from a brain scan, a grade from a photograph. The usual one
# flattens the picture and learns a weight for every pixel, so it wants about as many samples as pixels. If the
# weight itself is simple, a low-rank one, far fewer will do. In this chapter you write such a regression, watch it
# find a hidden picture, and see where it ends.
#
# **After this chapter you can**
#
# - write a regression as an inner product with a weight tensor, and compute it from CP factors;
# - take its gradients by hand, and say why a bad scale of the factors makes them explode;
# - fit the factors, one at a time, by least squares;
# - say how many samples a low-rank weight needs, and when ridge regression is the better choice;
# - give it several outputs: then it is a tensor regression layer.
#
# **You need** chapter 1, the CP decomposition from chapter 2 (a sum of outer products, one for each column of the
# factors), and what least squares is.
#
# **What the checks ask of every answer:** keep the dtype, leave the arguments as they are, and stay in torch, so that gradients get
# through (3.4, 3.6 and 3.7 are not tested for that). You may use all of `trlkit` here.

# %% lock="imports_03"
import math

import torch
from sklearn.linear_model import LinearRegression, RidgeCV
from torch import nn

import trlkit
from trlkit.lab import data, plotting
from trlkit.course import check, reveal

# %% [markdown]
# ## 3.1 One number for a picture { minutes: 5, difficulty: 1 }
#
# A linear regression on a sample $X$ of any order multiplies it with a weight $W$ of the same shape, entry by entry,
# and adds a bias $\beta$:
#
# $$\hat y = \langle W, X\rangle + \beta = \sum_{i_0 \dots i_N} W_{i_0 \dots i_N}\, X_{i_0 \dots i_N} + \beta$$
#
# So for pictures the weight *is* a picture, and one can look at it. Here is one that we will try to find again: a
# cross of 32 x 32 pixels, and three of the samples, which look like nothing at all. What is known of the cross
# is only the number that each sample makes with it, with some noise.

# %%
def cross(size=32):
    weight = torch.zeros(size, size, dtype=torch.float64)
    weight[6 * size // 32 : 26 * size // 32, 14 * size // 32 : 18 * size // 32] = 1
    weight[14 * size // 32 : 18 * size // 32, 6 * size // 32 : 26 * size // 32] = 1
    return weight / weight.norm()


def measured(weight, samples, noise=0.1, seed=0):
    """Random pictures x, and y = <weight, x> + 0.5 + noise for each."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, *weight.shape, generator=generator, dtype=torch.float64)
    error = torch.randn(samples, generator=generator, dtype=torch.float64)
    return x, x.flatten(1) @ weight.flatten() + 0.5 + noise * error


x, y = measured(cross(), 3)
samples = {f"a sample: y = {value:.2f}": sample for sample, value in zip(x, y)}
plotting.images({"the weight, times 30": 30 * cross(), **samples}, signed=True)

# %% [markdown]
# **Predict before you run.** `x` is a batch of shape (200, 32, 32) and `weight` is (32, 32). What is the shape of
# the responses?

# %% predict="response_shape"
### BEGIN SOLUTION
#~ prediction = (...,)
prediction = (200,)
### END SOLUTION

# %%
reveal(prediction, lambda: tuple(trlkit.inner(torch.zeros(200, 32, 32), torch.zeros(32, 32), 2).shape))

# %% solve="linear_response"
def linear_response(x, weight, bias):
    """The response of a linear regression to each sample of a batch.

    x: Tensor of shape (B, I_0, ..., I_N), B samples of any order, one mode at least.
    weight: Tensor of shape (I_0, ..., I_N); bias: Tensor of shape ().
    Returns a Tensor of shape (B,): <weight, x[b]> + bias for each sample b.

    >>> linear_response(torch.ones(4, 2, 3), torch.ones(2, 3), torch.tensor(0.5))
    tensor([6.5000, 6.5000, 6.5000, 6.5000])
    """
    ### BEGIN SOLUTION
    return trlkit.inner(x, weight, weight.ndim) + bias
    ### END SOLUTION

# %% check="linear_response" points=1
check("linear_response", linear_response)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# It is the <code>inner</code> of chapter 1, with all modes of the weight contracted. Or flatten: then it is a
# matrix times a vector.
# </details>
#
# <details><summary>Hint: I get one number for the whole batch</summary>
# The sum runs over all modes <i>but the first</i>.
# </details>
#
# <details><summary>Hint: right for pictures, an error for other orders</summary>
# How many modes there are is written in <code>weight.ndim</code>.
# </details>

# %% [markdown]
# ## 3.2 A weight in pieces { minutes: 8, difficulty: 2 }
#
# The cross has 1024 pixels. But look at the picture above row by row: there are only three kinds, the empty one, the one through the
# upright bar and the one through both. It is a vertical profile times a horizontal one, plus another such pair:
# **rank 2**. In general a CP weight of rank $R$ has a factor $U_k$ of shape $(I_k, R)$ for each mode, and
#
# $$W = \sum_{r} u_0^{(r)} \circ u_1^{(r)} \circ \dots \circ u_N^{(r)}$$
#
# with column $r$ of each factor. Put that into $\langle W, X\rangle$: the inner product with one outer product
# contracts $X$ with one vector after the other,
#
# $$\hat y = \sum_r \Big( \sum_{i_0 \dots i_N} X_{i_0 \dots i_N}\; u_0^{(r)}[i_0] \cdots u_N^{(r)}[i_N] \Big) + \beta$$
#
# and the weight need never be built.
#
# **Predict before you run.** How many numbers do the two factors of a 32 x 32 weight of rank 2 hold together?

# %% predict="cross_numbers"
### BEGIN SOLUTION
#~ prediction = ...
prediction = 128
### END SOLUTION

# %%
reveal(prediction, lambda: sum(torch.zeros(size, 2).numel() for size in (32, 32)))

# %% solve="cp_response"
def cp_response(x, factors, bias):
    """The response of a regression whose weight is given by CP factors.

    x: Tensor of shape (B, I_0, ..., I_N).
    factors: list of N + 1 Tensors, factors[k] of shape (I_k, R); there may be a single one.
    bias: Tensor of shape ().
    Returns a Tensor of shape (B,), the same as linear_response with the weight built (which you may
    do, though it isn't needed).

    >>> cp_response(torch.ones(4, 2, 3), [torch.ones(2, 5), torch.ones(3, 5)], torch.tensor(0.5))
    tensor([30.5000, 30.5000, 30.5000, 30.5000])
    """
    ### BEGIN SOLUTION
    z = torch.tensordot(x, factors[-1], dims=1)  # (B, I_0, ..., I_N-1, R)
    for factor in reversed(factors[:-1]):
        z = (z * factor).sum(-2)  # the last mode meets its factor, column r with component r
    return z.sum(-1) + bias
    ### END SOLUTION

# %% check="cp_response" points=2
check("cp_response", cp_response)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Take one component: <code>x @ vector</code> contracts the last mode of x. Do that for every mode, from the last to
# the first, and you have one number for each sample. Then sum over the components.
# </details>
#
# <details><summary>Hint: right for rank 1, wrong for rank 2</summary>
# Column 0 of one factor must never meet column 1 of another. So r is an index that all share, and the sum over it
# is the very last one.
# </details>
#
# <details><summary>Hint: in one line</summary>
# One einsum can do it: each factor brings the letter of its mode, and all share r. For any number of modes, put the equation
# together from letters. Or flatten the batch: which product of chapter 2 has the same rows? (Which way is the fastest: chapter 4.)
# </details>

# %% [markdown]
# ## 3.3 All factors but one hold still { minutes: 8, difficulty: 3 }
#
# How can the factors be learned? $\hat y$ is a product of unknowns, not linear in them. But hold all factors but
# $U_k$ still, and it is linear in $U_k$: every entry of $U_k$ multiplies something that the data and the other
# factors determine,
#
# $$\hat y_b = \sum_{i r} F_{b\,i\,r}\; U_k[i, r] + \beta, \qquad
# F_{b\,i\,r} = \sum_{\text{all indices but } i_k = i} X_{b\, i_0 \dots i_N} \prod_{m \ne k} U_m[i_m, r]$$
#
# So for one factor, we are back at an ordinary linear regression with $I_k R$ **features** for each sample. They are good for two
# things: $F$ is the derivative of the response with respect to $U_k$, which is what gradient descent needs (3.4), and
# it makes least squares possible (3.6).

# %% solve="block_features"
def block_features(x, factors, mode):
    """What each entry of factors[mode] is multiplied with in the response of each sample.

    x: Tensor of shape (B, I_0, ..., I_N), N >= 1.
    factors: list of N + 1 Tensors, factors[k] of shape (I_k, R).
    mode: int, 0 <= mode <= N. The numbers in factors[mode] play no part, only its shape.
    Returns a Tensor of shape (B, I_mode, R).

    >>> block_features(torch.ones(4, 2, 3), [torch.ones(2, 5), 7 * torch.ones(3, 5)], 0).shape
    torch.Size([4, 2, 5])
    >>> block_features(torch.ones(4, 2, 3), [torch.ones(2, 5), 7 * torch.ones(3, 5)], 0)[0, 0, 0]
    tensor(21.)
    """
    ### BEGIN SOLUTION
    z = x.movedim(mode + 1, 1)  # (B, I_mode, the other modes)
    others = [factor for k, factor in enumerate(factors) if k != mode]
    z = torch.tensordot(z, others[-1], dims=1)
    for factor in reversed(others[:-1]):
        z = (z * factor).sum(-2)
    return z
    ### END SOLUTION

# %% check="block_features" points=2
check("block_features", block_features)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# It is <code>cp_response</code> with one factor left out, and without the last sum: the index of the mode and the
# index r stay.
# </details>
#
# <details><summary>Hint: right for two modes, wrong for three</summary>
# Every other factor must meet its own mode of x. If you move the mode to the front of x, the others keep their
# order: so must the factors.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Move the mode to place 1; contract the other modes from the last to the first, as in <code>cp_response</code>. Or one
# einsum: the equation of <code>cp_response</code> without the own factor, and with two letters more on the right.
# </details>

# %% [markdown]
# ## 3.4 One step of gradient descent { minutes: 8, difficulty: 3 }
#
# The loss is the mean of the squared errors over the $B$ samples, $L = \frac1B \sum_b (\hat y_b - y_b)^2$. With the features from 3.3
# its gradients are
#
# $$\frac{\partial L}{\partial U_k[i, r]} = \frac2B \sum_b (\hat y_b - y_b)\, F^{(k)}_{b\,i\,r}
# \qquad\qquad \frac{\partial L}{\partial \beta} = \frac2B \sum_b (\hat y_b - y_b)$$
#
# A step of gradient descent moves *everything at once* from the same point: all gradients are taken before
# anything moves.

# %% solve="cp_gradient_step"
def cp_gradient_step(x, y, factors, bias, lr):
    """One step of gradient descent on the mean squared error of a CP regression.

    x: Tensor of shape (B, I_0, ..., I_N), N >= 1; y: Tensor of shape (B,).
    factors: list of N + 1 Tensors, factors[k] of shape (I_k, R); bias: Tensor of shape ().
    lr: float, the step size.
    Returns (factors, bias): a new list of Tensors of the same shapes, and a new Tensor of shape ():
    what the next step can start from. What you are given stays as it is.

    >>> one = torch.ones(1, 1)
    >>> cp_gradient_step(torch.ones(4, 1, 1), torch.zeros(4), [one, one], torch.tensor(0.0), 0.1)
    ([tensor([[0.8000]]), tensor([[0.8000]])], tensor(-0.2000))
    """
    ### BEGIN SOLUTION
    error = cp_response(x, factors, bias) - y  # (B,)
    moved = []
    for k, factor in enumerate(factors):
        features = block_features(x, factors, k)  # (B, I_k, R)
        moved.append(factor - lr * 2 / len(x) * torch.tensordot(error, features, dims=1))
    return moved, bias - lr * 2 * error.mean()
    ### END SOLUTION

# %% check="cp_gradient_step" points=2
check("cp_gradient_step", cp_gradient_step)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# First the error of every sample, shape (B,). Then for each factor: every sample's features, times its error,
# averaged over the samples, times 2.
# </details>
#
# <details><summary>Hint: my step is too long by a factor</summary>
# The loss is a mean. Where is your 1/B?
# </details>
#
# <details><summary>Hint: the first factor is right, the second is not</summary>
# When you computed the second gradient, had the first factor moved already? Collect the new ones in a new list.
# </details>
#
# <details><summary>Hint: may I use autograd?</summary>
# Yes: <code>detach().clone().requires_grad_()</code> for each, <code>backward()</code>, and detach what you return. Once by hand
# is worth it, though.
# </details>
#
# Here it looks for the cross with 400 samples, less than half as many as there are pixels. (All numbers below are made by
# your functions; a cell stops where one is still missing.)

# %%
def descend(x, y, factors, lr, steps):
    """The losses before each step, and where gradient descent ends."""
    bias, losses = y.mean(), []
    for _ in range(steps):
        losses.append(((cp_response(x, factors, bias) - y) ** 2).mean().item())
        if not math.isfinite(losses[-1]):
            break
        factors, bias = cp_gradient_step(x, y, factors, bias, lr)
    return losses, [factor.detach() for factor in factors]


torch.manual_seed(0)
start = [0.3 * torch.randn(32, 2, dtype=torch.float64) for _ in range(2)]
x, y = measured(cross(), 400)
losses, factors = descend(x, y, start, lr=0.1, steps=200)
print(f"loss: {losses[0]:.3g} at the start, {losses[-1]:.3g} at the end (the noise alone: 0.01)")
print(f"loss of always predicting the mean of y: {y.var():.3g}")
plotting.images({"true": cross(), "learned from 400": factors[0] @ factors[1].T}, signed=True)

# %% [markdown]
# ## 3.5 The scale that explodes { minutes: 9, difficulty: 3 }
#
# Multiply one factor by 5 and divide the other by 5. The weight is the same, so is every response, and so is the
# loss.
#
# **Predict before you run.** The same start as above, but with `5 * start[0]` and `start[1] / 5`; the same
# step size. Will gradient descent end with a loss that is about the `"same"`, somewhat `"higher"`, or `"not finite"`?

# %% predict="unbalanced_start"
### BEGIN SOLUTION
#~ prediction = "..."  # "same", "higher" or "not finite"
prediction = "not finite"
### END SOLUTION

# %%
def end(factors, lr, steps=200):
    loss = descend(x, y, factors, lr, steps)[0][-1]
    return f"{loss:.3g}" if math.isfinite(loss) else "not finite"


uneven = [5 * start[0], start[1] / 5]
reveal(prediction, lambda: end(uneven, lr=0.1))

# %%
print("loss after 500 steps")
print("scale  " + "".join(f"lr = {lr:<12g}" for lr in (0.1, 0.01, 0.002)))
for c in (1, 5, 10):
    ends = [end([c * start[0], start[1] / c], lr, steps=500) for lr in (0.1, 0.01, 0.002)]
    print(f"{c:5d}  " + "".join(f"{loss:17s}" for loss in ends))

# %% [markdown]
# The gradient of one factor is made of the *other* one. Where that is 5 times too large, the step is 5 times too
# long, for a factor that is 5 times too small. A step size that is small enough not to explode is too small for the
# large factor: it stands nearly still, and only the small one learns. That is what the losses of about 0.75 mean: it is the best that the small
# factor can do alone, and not far from predicting the mean. A network with a layer of factors has many such scales.
#
# The cure: spread the scale evenly. For each component $r$, give column $r$ of all factors the same norm, and keep the product of
# the norms, so the weight does not change. Only the lengths change, not the directions (nor signs).

# %% solve="balance_factors"
def balance_factors(factors):
    """Factors of the same weight, in which column r has the same norm in every factor.

    factors: list of K >= 2 Tensors, factors[k] of shape (I_k, R), no column of them 0
    (so no epsilon is needed).
    Returns a new list of K Tensors of the same shapes: every column is the old one times a
    positive number.

    >>> balance_factors([torch.tensor([[8.0]]), torch.tensor([[2.0]])])
    [tensor([[4.]]), tensor([[4.]])]
    """
    ### BEGIN SOLUTION
    norms = [factor.norm(dim=0) for factor in factors]  # K tensors (R,)
    common = math.prod(norms) ** (1 / len(factors))  # (R,)
    return [factor * (common / norm) for factor, norm in zip(factors, norms)]
    ### END SOLUTION

# %% check="balance_factors" points=2
check("balance_factors", balance_factors)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# For one component, K columns with the norms n_0, n_1, ... Which common norm has the same product?
# </details>
#
# <details><summary>Hint: right for two factors, wrong for three</summary>
# The geometric mean of K numbers is the K-th root of their product.
# </details>
#
# <details><summary>Hint: my columns don't get the same norm</summary>
# The norm of a whole factor is one number; the norms of its columns are R numbers: <code>dim=0</code>.
# </details>

# %%
mended = balance_factors(uneven)
print(f"loss after 200 steps: {end(uneven, lr=0.1)}, balanced first: {end(mended, lr=0.1)}")

# %% [markdown]
# ## 3.6 One factor by least squares { minutes: 8, difficulty: 3 }
#
# No step size at all: with the other factors held still, the best $U_k$ and the best bias are the solution of a linear
# least-squares problem, with the features from 3.3 as its table, one row a sample,
#
# $$\min_{U_k,\, \beta}\; \sum_b \Big(\sum_{i r} F_{b\,i\,r}\, U_k[i, r] + \beta - y_b\Big)^2$$
#
# The scale takes care of itself here: with the other factor 5 times larger, the best $U_k$ is 5 times smaller.

# %% solve="update_block"
def update_block(x, y, factors, mode):
    """The best factor for one mode, and the best bias, with the other factors held still.

    x: Tensor of shape (B, I_0, ..., I_N), N >= 1; y: Tensor of shape (B,).
    factors: list of N + 1 Tensors, factors[k] of shape (I_k, R); mode: int, 0 <= mode <= N.
    There are enough samples for a unique solution.
    Returns (factor, bias): a Tensor of shape (I_mode, R) and a Tensor of shape (), which together
    make the sum of the squared errors least. factors stays as it is.

    >>> x = torch.tensor([[[0.0]], [[1.0]], [[2.0]]])
    >>> factor, bias = update_block(x, torch.tensor([1.0, 3.0, 5.0]), [torch.ones(1, 1)] * 2, 0)
    >>> factor.round(decimals=3), bias.round(decimals=3)
    (tensor([[2.]]), tensor(1.))
    """
    ### BEGIN SOLUTION
    features = block_features(x, factors, mode).flatten(1)  # (B, I_mode * R)
    table = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    solution = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]
    return solution[:-1].reshape(factors[mode].shape), solution[-1]
    ### END SOLUTION

# %% check="update_block" points=2
check("update_block", update_block)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Flatten the features to one row for each sample. <code>torch.linalg.lstsq(A, Y)</code> finds the solution of
# least squares; <code>Y</code> must be a matrix, so give y a second mode.
# </details>
#
# <details><summary>Hint: what about the bias?</summary>
# It is one more unknown, whose feature is 1 for every sample: a column of ones.
# </details>
#
# <details><summary>Hint: the right numbers, in the wrong places</summary>
# You flattened (I_mode, R). Reshape the solution to the same.
# </details>

# %% [markdown]
# ## 3.7 Fit all factors { minutes: 12, difficulty: 4 }
#
# Now take turns: the best first factor, then with it the best second one, and so on, and around again. One round
# through the modes is a **sweep**. No update can raise the error, so it goes down and down. (It is the alternating
# least squares of chapter 2, for a regression in place of a decomposition.)
#
# What to start from? Think about what happens if all factors start at 0, and if all columns start the same.
#
# **Judged by what it does.** The check calls your function on noisy data whose true weight has the rank asked for, with fewer
# samples than entries in the weight, and measures it on samples that it has never seen: the relative error
# $\lVert y - \hat y\rVert / \lVert y - \bar y\rVert$ must be at most 0.1. The way there is up to you. (It tries up to three
# random starts, and takes the one that fits its own samples best. If you seed inside, all three are the same.)

# %% solve="fit_cp_regression"
def fit_cp_regression(x, y, rank, sweeps=30):
    """Fit a regression with a CP weight.

    x: Tensor of shape (B, I_0, ..., I_N), N >= 1; y: Tensor of shape (B,).
    rank: int, R.   sweeps: int, how often to go through all modes (if your way has no sweeps,
    take it as a budget).
    Returns (factors, bias): a list of N + 1 Tensors, factors[k] of shape (I_k, R), and a Tensor of
    shape (), all of the dtype of x. x and y stay as they are.

    >>> factors, bias = fit_cp_regression(torch.randn(90, 4, 5), torch.randn(90), rank=2)
    >>> [tuple(factor.shape) for factor in factors], bias.shape
    ([(4, 2), (5, 2)], torch.Size([]))
    """
    ### BEGIN SOLUTION
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], bias = update_block(x, y, factors, mode)
    return factors, bias
    ### END SOLUTION

# %% check="fit_cp_regression" points=3
check("fit_cp_regression", fit_cp_regression)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# A list of random factors. Then two loops: over the sweeps, and inside over the modes, with one
# <code>update_block</code> whose result goes back into the list.
# </details>
#
# <details><summary>Hint: it fits its own samples and fails on the others</summary>
# Print the error after each sweep. Does it go on falling? If it stands still at a bad place, another random start will
# usually not: such places exist.
# </details>
#
# <details><summary>Hint: the error goes up and down</summary>
# The second update must see the first factor as it is <i>now</i>.
# </details>

# %% [markdown]
# ## 3.8 A picture from fewer samples than pixels { minutes: 8, difficulty: 2 }
#
# Now the question of this chapter, beside the standard tool: **ridge regression** flattens the pictures, learns 1024
# weights, and is kept from running wild by a penalty on their size. `RidgeCV` of scikit-learn chooses the strength of that penalty
# by itself, by cross-validation. Both get the same 200 samples.

# %%
def ridge_weight(x, y):
    alphas = torch.logspace(-1, 4, 11).tolist()
    ridge = RidgeCV(alphas).fit(x.flatten(1).numpy(), y.numpy())
    return torch.from_numpy(ridge.coef_).reshape(x.shape[1:])


def cp_weight(x, y, rank=2, starts=2):
    """The weight learned by fit_cp_regression, from the start that fits the samples best."""
    fits = []
    for seed in range(starts):
        torch.manual_seed(seed)
        factors, bias = fit_cp_regression(x, y, rank)
        loss = ((cp_response(x, factors, bias) - y) ** 2).mean().item()
        fits.append((loss, (factors[0] @ factors[1].T).detach()))
    return min(fits, key=lambda fit: fit[0])[1]


def weight_error(weight, truth):
    return ((weight - truth).norm() / truth.norm()).item()


x, y = measured(cross(), 200)
found = {"CP, rank 2": cp_weight(x, y), "ridge": ridge_weight(x, y)}
pictures = {f"{name}: error {weight_error(w, cross()):.2f}": w for name, w in found.items()}
plotting.images({"true weight": cross(), **pictures}, signed=True)

# %% [markdown]
# With 200 equations for 1024 unknowns, ridge can only find the part of the weight that lies in the span of its 200 samples, and
# what it misses is nearly all. The CP weight has 128 unknowns.
#
# To be exact: fewer count. In 3.5 you moved scale from one factor to the other and the weight stayed. For two factors any
# invertible 2 x 2 matrix can be moved like that ($U V^{\mathsf T} = (U M)(V M^{-\mathsf T})^{\mathsf T}$), which is 4 numbers that change nothing: 128 - 4 =
# 124 **degrees of freedom**, $R(I_0 + I_1) - R^2$. (The bias is one more. For three modes and more,
# if the rank is not too large, only the scales can be moved: $R\,(\sum_k I_k - N)$ with $N + 1$ modes.)
#
# **Predict before you run.** From about how many samples on will the CP fit find the cross: `60`, `250` or `1000`?

# %% predict="samples_needed"
### BEGIN SOLUTION
#~ prediction = ...  # 60, 250 or 1000
prediction = 250
### END SOLUTION

# %%
counts = (80, 100, 140, 180, 250, 400, 700, 1200)


def error_curves(truth):
    """For each number of samples the error of the CP and of the ridge weight."""
    errors = {"CP, rank 2": [], "ridge": []}
    print("samples  " + "  ".join(errors))
    for count in counts:
        x, y = measured(truth, count, seed=count)
        for fitted, found in ((cp_weight(x, y), "CP, rank 2"), (ridge_weight(x, y), "ridge")):
            errors[found].append(weight_error(fitted, truth))
        print(f"{count:7d}" + "".join(f"{values[-1]:10.2f}" for values in errors.values()))
    return errors


cross_errors = error_curves(cross())
found = zip(counts, cross_errors["CP, rank 2"])
enough = next((count for count, error in found if error < 0.2), counts[-1])
nearest = min((60, 250, 1000), key=lambda option: abs(math.log(option / enough)))
reveal(prediction, lambda: nearest)

# %%
plotting.curves(
    {name: (counts, errors) for name, errors in cross_errors.items()},
    "samples",
    "relative error of the weight",
    log="xy",
    marks={"degrees of freedom: 124": 124, "pixels: 1024": 1024},
)

# %% [markdown]
# The left end is as important as the middle. **With too few samples, the low-rank fit is worse than useless**: its error is
# larger than 1, the error of a weight of zeros. Below the degrees of freedom, many weights of rank 2 fit the samples, and it has found one of
# them. Look at a fit to 100 samples, and what it makes of 1000 others:

# %%
torch.manual_seed(0)
few_x, few_y = measured(cross(), 100)
new_x, new_y = measured(cross(), 1000, seed=1)
factors, bias = fit_cp_regression(few_x, few_y, rank=2)
for name, (x, y) in {"its own": (few_x, few_y), "new": (new_x, new_y)}.items():
    error = (y - cp_response(x, factors, bias)).norm() / (y - y.mean()).norm()
    print(f"relative error on {name} samples: {error:.3f}")

# %% [markdown]
# Ridge shrinks towards 0 when it knows little, so it is never much worse than nothing. And with a few more than 124 samples a fit from
# random starts still gets stuck in bad places: it takes one and a half to two times the degrees of freedom. (At 180 samples it is a matter of luck,
# and yours may differ; at 250 hardly any more.)

# %% [markdown]
# ## 3.9 Where it ends: a weight that is not low-rank { minutes: 8, difficulty: 2 }
#
# Rank 2 was the truth in 3.8. Two other truths: a disk, whose outline no two profiles can draw, and random
# numbers, which have full rank.

# %%
def disk(size=32):
    place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weight = (place[:, None] ** 2 + place**2 < (0.3 * size) ** 2).double()
    return weight / weight.norm()


torch.manual_seed(0)
noise_picture = torch.randn(32, 32, dtype=torch.float64)
noise_picture /= noise_picture.norm()
for name, truth in {"cross": cross(), "disk": disk(), "random": noise_picture}.items():
    values = torch.linalg.svdvals(truth)
    rank, missed = (values > 1e-10).sum().item(), values[2:].norm().item()
    print(f"{name:7s} rank {rank:2d}; the best weight of rank 2 misses it by {missed:.2f}")

# %% [markdown]
# The last column is known from chapter 2: the singular values that are cut off. No number of samples gets a rank-2 fit below
# it.

# %%
disk_errors = error_curves(disk())

# %%
random_errors = error_curves(noise_picture)

# %%
plotting.curves(
    {
        "disk: CP, rank 2": (counts, disk_errors["CP, rank 2"]),
        "disk: ridge": (counts, disk_errors["ridge"]),
        "random: CP, rank 2": (counts, random_errors["CP, rank 2"]),
        "random: ridge": (counts, random_errors["ridge"]),
    },
    "samples",
    "relative error of the weight",
    log="x",
)

# %%
x, y = measured(disk(), 500, seed=500)
found = {"CP, rank 2": cp_weight(x, y), "ridge": ridge_weight(x, y)}
pictures = {f"{name}: error {weight_error(w, disk()):.2f}": w for name, w in found.items()}
plotting.images({"true weight, 500 samples": disk(), **pictures}, signed=True)

# %% [markdown]
# Read it as a trade. For the disk, rank 2 is wrong but not by much: between about 180 and 1000 samples its bias costs less than
# ridge's ignorance, and from about as many samples as pixels on, ridge wins. For the random weight the low rank is simply wrong, and ridge is
# the better choice at every size.
#
# A low rank is a *belief about the weight*. It pays where it is about right and where samples are few.

# %% [markdown]
# ## 3.10 Several outputs { minutes: 8, difficulty: 2 }
#
# Ten classes want ten responses. One more mode for the weight, one more factor: $V$ of shape $(C, R)$ for $C$ outputs, the last in the
# list. All outputs share the $R$ patterns of the input factors, and output $c$ mixes them by row $c$ of $V$:
#
# $$\hat y_{b\,c} = \sum_r V[c, r] \Big( \sum_{i_0 i_1 \dots} X_{b\, i_0 i_1 \dots}\; U_0[i_0, r]\, U_1[i_1, r] \cdots \Big) + \beta_c$$
#
# You have just met the **CP tensor regression layer**: chapter 4 makes a module of it.

# %% solve="cp_responses"
def cp_responses(x, factors, bias):
    """The responses of a CP regression with several outputs.

    x: Tensor of shape (B, I_0, ..., I_N), N >= 1.
    factors: list of N + 2 Tensors, one of shape (I_k, R) for each mode of a sample, and as the
    last one (C, R) for the C outputs.
    bias: Tensor of shape (C,).
    Returns a Tensor of shape (B, C).

    >>> factors = [torch.ones(2, 5), torch.ones(3, 5), torch.ones(10, 5)]
    >>> cp_responses(torch.ones(4, 2, 3), factors, torch.zeros(10)).shape
    torch.Size([4, 10])
    """
    ### BEGIN SOLUTION
    *inputs, outputs = factors
    patterns = block_features(x, inputs, 0)  # (B, I_0, R)
    patterns = (patterns * inputs[0]).sum(1)  # (B, R)
    return patterns @ outputs.T + bias
    ### END SOLUTION

# %% check="cp_responses" points=2
check("cp_responses", cp_responses)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# First what each sample makes with each pattern, shape (B, R): <code>cp_response</code> without its last sum. Then a
# matrix product with the last factor.
# </details>
#
# <details><summary>Hint: all my outputs are multiples of each other</summary>
# Then the sum over r came before the last factor.
# </details>
#
# ### Real digits, and who wins
#
# scikit-learn's handwritten digits are 8 x 8 pixels, ten classes, which makes 650 numbers for a dense regression. Both regressions predict ten
# numbers (1 for the digit's own class, 0 for the others), and the largest counts. The factors are trained with Adam, the gradients come from
# autograd through your function.

# %%
def pixels_and_classes(part):
    images, labels = part.tensors
    return images[:, 0].double(), labels


train, _, test = (pixels_and_classes(part) for part in data.digits(8))


def train_cp(x, targets, rank, steps=400):
    torch.manual_seed(0)
    sizes = (*x.shape[1:], targets.shape[1])
    factors = [nn.Parameter(0.3 * torch.randn(n, rank, dtype=x.dtype)) for n in sizes]
    bias = nn.Parameter(targets.mean(0))
    optimizer = torch.optim.Adam([*factors, bias], lr=0.03)
    for _ in range(steps):
        loss = ((cp_responses(x, factors, bias) - targets) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return lambda new: cp_responses(new, factors, bias)

# %%
def accuracy(predict):
    right = torch.as_tensor(predict(test[0])).argmax(1) == test[1]
    return right.double().mean().item()


def compare(count):
    x, targets = train[0][:count], nn.functional.one_hot(train[1][:count], 10).double()
    found = {f"CP, rank {rank}": train_cp(x, targets, rank) for rank in (5, 10, 20)}
    ridge = RidgeCV(torch.logspace(-3, 3, 13).tolist()).fit(x.flatten(1).numpy(), targets.numpy())
    dense = LinearRegression().fit(x.flatten(1).numpy(), targets.numpy())
    found["ridge"] = lambda new: ridge.predict(new.flatten(1).numpy())
    found["no penalty"] = lambda new: dense.predict(new.flatten(1).numpy())
    with torch.no_grad():
        return {name: accuracy(predict) for name, predict in found.items()}


results = {}
for count in (100, 300, 1257):
    results[count] = compare(count)
    print(f"trained on {count} samples")

# %%
sizes = {f"CP, rank {rank}": rank * 26 + 10 for rank in (5, 10, 20)}
sizes |= {"ridge": 650, "no penalty": 650}
print("accuracy on 270 test digits")
print("             numbers" + "".join(f"{count:6d} samples" for count in results))
for name, size in sizes.items():
    print(f"{name:12s} {size:7d}" + "".join(f"{100 * row[name]:12.1f} %" for row in results.values()))

# %% [markdown]
# With 100 samples ridge wins, by its penalty: the same dense weight without one (last row) does no better than the factors, which have none
# either. (They can: give Adam a `weight_decay`.) With more samples, rank 20 is nearly as good (one digit in 270 is 0.4 %). That is
# not the cross: with 64 pixels there is little to save, and nothing says that the weights of ten digits are made of a few patterns, each a column profile times a row profile. What the
# low rank buys here is size: rank 10 has 270 numbers in place of 650.
#
# That is the honest state of a *linear* model on *small* pictures. From chapter 7 on, the input is no longer pixels but an
# activation (of 25088 numbers in chapter 8), and the layers before it learn along. Even there, ask for the baseline.

# %% [markdown]
# ## 3.11 Quiz: how many samples { minutes: 1, difficulty: 1 }
#
# **Without noise, how many random samples determine a dense (unpenalized) 32 x 32 weight and its bias?**
#
# - **a** 33
# - **b** 125
# - **c** 1025
# - **d** 10250

# %% solve="quiz_dense_samples"
### BEGIN SOLUTION
#~ quiz_dense_samples = ...  # "a", "b", "c" or "d"
quiz_dense_samples = "c"
### END SOLUTION

# %% check="quiz_dense_samples" points=1
check("quiz_dense_samples", quiz_dense_samples)
### HASHED AUTOTEST quiz_dense_samples

# %% [markdown]
# ## 3.12 Quiz: the scale of the factors { minutes: 1, difficulty: 2 }
#
# **You multiply the first factor by 10 and divide the second by 10. What changes?**
#
# - **a** the responses
# - **b** the next step of gradient descent
# - **c** nothing at all
# - **d** what `update_block` for the first factor does to the responses

# %% solve="quiz_factor_scale"
### BEGIN SOLUTION
#~ quiz_factor_scale = ...  # "a", "b", "c" or "d"
quiz_factor_scale = "b"
### END SOLUTION

# %% check="quiz_factor_scale" points=1
check("quiz_factor_scale", quiz_factor_scale)
### HASHED AUTOTEST quiz_factor_scale

# %% [markdown]
# ## 3.13 Quiz: an error that stays { minutes: 1, difficulty: 2 }
#
# **With 5000 samples and little noise, your rank-2 fit of a 32 x 32 weight still has a relative error of 0.9, from every random start. What would help?**
#
# - **a** a higher rank, or a dense weight
# - **b** more sweeps
# - **c** a smaller step size
# - **d** balancing the factors

# %% solve="quiz_low_rank_target"
### BEGIN SOLUTION
#~ quiz_low_rank_target = ...  # "a", "b", "c" or "d"
quiz_low_rank_target = "a"
### END SOLUTION

# %% check="quiz_low_rank_target" points=1
check("quiz_low_rank_target", quiz_low_rank_target)
### HASHED AUTOTEST quiz_low_rank_target

# %% [markdown]
# ## What to take away
#
# - A linear regression on a picture has a picture for a weight. Given as CP factors it has $R \sum_k I_k$ numbers in place of
#   $\prod_k I_k$, and the response is computed without building it.
# - In one factor at a time it is an ordinary linear regression: so its gradient is easy, and so is least squares.
# - The scale of a component can sit in any factor. The response does not care; gradient descent does. Keep the factors
#   balanced, and chapter 4 will *start* them so.
# - Samples: one and a half to two times the degrees of freedom, if the true weight is low-rank. If it is not, an error stays that no data
#   takes away. With too few, a low-rank fit is worse than ridge.
# - Several outputs are one more factor: that is a CP tensor regression layer.
#
# ## To go further
#
# - Zhou, Li, Zhu: *Tensor Regression with Applications in Neuroimaging Data Analysis*, Journal of the American
#   Statistical Association 108 (2013). CP regression for medical images, fitted by the alternation of this chapter; its
#   experiments too recover two-dimensional shapes.
# - Kossaifi, Lipton, Kolbeinsson, Khanna, Furlanello, Anandkumar: *Tensor Regression Networks*, JMLR 21 (2020). The regression as the last
#   layer of a network, trained along with it.
# - Guo, Kotsia, Patras: *Tensor Learning for Regression*, IEEE Transactions on Image Processing 21 (2012). With ridge and
#   support vector versions.
#
# **Next:** chapter 4, *CP tensor regression layers*: the same as a module, its start, its cost, and where it breaks even.
