# %% [markdown]
# # 3. Tensor regression { minutes: 95, difficulty: 4 }
#
# **How few samples does a weight need?** A regression gives each picture a number: a risk from a brain scan, a
# grade from a photograph. `nn.Linear` flattens the picture, learns a weight for every pixel, and wants about as many samples as
# pixels. If the weight itself is simple, far fewer will do. How many, what decides it, and what happens below? You
# will measure it.
#
# **After this chapter you can**
#
# - compute a regression from the CP factors of its weight, and fit them, one at a time, with a penalty;
# - test a function that minimizes something, without knowing the minimum;
# - say what a training loss below the noise means, and how far below it should be;
# - design an experiment that finds out what the number of samples grows with, and that could have told you otherwise;
# - say when a low rank is the wrong belief, and what to do then.
#
# **You need** chapter 1, the CP decomposition from chapter 2 (a sum of outer products, one for each column of the
# factors), and what least squares is.
#
# **What the checks ask of every answer:** keep the dtype (in 3.2 and 3.3 bfloat16 too), take tensors that are not contiguous in memory, leave the
# arguments as they are, and stay in torch. Gradients must get through in 3.2 and 3.3. You may use all of `trlkit` here.

# %% lock="imports_03"
import itertools
import math

import torch
from sklearn.linear_model import RidgeCV
from torch import nn

import trlkit
from trlkit.lab import data, plotting
from trlkit.course import check, explore, progress, reveal

# %% [markdown]
# ## 3.1 One number for a picture
#
# A linear regression on a sample $X$ of any order is chapter 1's inner product with a weight $W$ of the same shape, and a bias:
#
# $$\hat y = \langle W, X\rangle + \beta = \sum_{i_0 \dots i_N} W_{i_0 \dots i_N}\, X_{i_0 \dots i_N} + \beta$$
#
# So for pictures the weight *is* a picture, and one can look at it. Here is one to be found again: a
# cross of 32 x 32 pixels, and two of the samples, which look like nothing at all. What is known of the cross
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
    return x, trlkit.inner(x, weight, weight.ndim) + 0.5 + noise * error


x, y = measured(cross(), 2)
samples = {f"a sample: y = {value:.2f}": sample for sample, value in zip(x, y)}
plotting.images({"the weight, times 30": 30 * cross(), **samples}, signed=True)

# %% [markdown]
# Before you write anything, let two finished tools look for it, with the same 300 samples: **ridge regression**, which learns 1024
# weights and is kept from running wild by a penalty on their size (`RidgeCV` chooses its strength by cross-validation), and one
# of trlkit's layers, whose weight can only be of rank 2.

# %%
def ridge_weight(x, y):
    alphas = torch.logspace(-1, 4, 11).tolist()
    ridge = RidgeCV(alphas).fit(x.flatten(1).numpy(), y.numpy())
    return torch.from_numpy(ridge.coef_).reshape(x.shape[1:])


def weight_error(weight, truth):
    return ((weight - truth).norm() / truth.norm()).item()


x, y = measured(cross(), 300)
torch.manual_seed(0)
layer = trlkit.CPTRL((32, 32), (), rank=2).double()
optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
for _ in range(400):
    loss = (layer(x) - y).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
found = {"a layer of rank 2": layer.to_dense().detach(), "ridge regression": ridge_weight(x, y)}
pictures = {f"{name}: error {weight_error(w, cross()):.2f}": w for name, w in found.items()}
plotting.images({"true weight": cross(), **pictures}, signed=True)

# %% [markdown]
# An error of 0 would be the cross itself, an error of 1 is what a weight of zeros has. In this chapter you build the thing on
# the left from nothing, without a learning rate, and find out how few samples it can live on.

# %% [markdown]
# ## 3.2 A weight in pieces { minutes: 5, difficulty: 2 }
#
# The cross has 1024 pixels. But look at it row by row: there are only three kinds, the empty one, the one through the
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

# %% solve="cp_response"
def cp_response(x, factors, bias):
    """The response of a regression whose weight is given by CP factors.

    x: Tensor of shape (B, I_0, ..., I_N).
    factors: list of N + 1 Tensors, factors[k] of shape (I_k, R); there may be a single one.
    bias: Tensor of shape ().
    Returns a Tensor of shape (B,), the same as with the weight built (which you may do, though it
    isn't needed).

    >>> cp_response(torch.ones(4, 2, 3), [torch.ones(2, 5), torch.ones(3, 5)], torch.tensor(0.5))
    tensor([30.5000, 30.5000, 30.5000, 30.5000])
    """
    ### BEGIN SOLUTION
    z = torch.tensordot(x, factors[-1], dims=1)  # (B, I_0, ..., I_N-1, R)
    for factor in reversed(factors[:-1]):
        z = (z * factor).sum(-2)  # the last mode meets its factor, column r with component r
    return z.sum(-1) + bias
    ### END SOLUTION

# %% check="cp_response" points=1
check("cp_response", cp_response)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# What does one component make of one sample, and how many numbers are left after each vector?
# </details>
#
# <details><summary>Hint: right for rank 1, wrong for rank 2</summary>
# Can column 0 of one factor meet column 1 of another in your code? Where is r summed?
# </details>
#
# <details><summary>Hint: in one line</summary>
# Which product of chapter 2 has a row for every pixel and a column for every component? (Which way is the fastest: chapter 4.)
# </details>

# %% [markdown]
# ## 3.3 All factors but one hold still { minutes: 5, difficulty: 3 }
#
# How can the factors be learned? $\hat y$ is a product of unknowns, not linear in them. But hold all factors but
# $U_k$ still, and it is linear in $U_k$: every entry of $U_k$ multiplies something that the data and the other
# factors determine,
#
# $$\hat y_b = \sum_{i r} F_{b\,i\,r}\; U_k[i, r] + \beta, \qquad
# F_{b\,i\,r} = \sum_{\text{all indices but } i_k = i} X_{b\, i_0 \dots i_N} \prod_{m \ne k} U_m[i_m, r]$$
#
# So for one factor, we are back at an ordinary linear regression with $I_k R$ **features** for each sample.

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

# %% check="block_features" points=1
check("block_features", block_features)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Which factor of <code>cp_response</code> plays no part now, and which two of its indices are no longer summed?
# </details>
#
# <details><summary>Hint: right for two modes, wrong for three</summary>
# Does every other factor still meet its own mode of x, after what you did with the modes?
# </details>

# %% [markdown]
# ## 3.4 The cheapest scale { minutes: 10, difficulty: 4 }
#
# Multiply one factor by 5 and divide the other by 5. The weight is the same, so is every response, and so is the
# loss.
#
# **Predict before you run.** Gradient descent from a random start, and from the same start with the first factor times 5 and the
# second divided by 5; the same step size. Will it end with a loss that is about the `"same"`, somewhat `"higher"`, or `"not finite"`?

# %% predict="unbalanced_start"
### BEGIN SOLUTION
#~ prediction = "..."  # "same", "higher" or "not finite"
prediction = "not finite"
### END SOLUTION

# %%
x, y = measured(cross(), 400)
torch.manual_seed(0)
start = [0.3 * torch.randn(32, 2, dtype=torch.float64) for _ in range(2)]


def end(factors, lr, steps=300):
    """The loss after gradient descent on the factors and the bias."""
    leaves = [tensor.clone().requires_grad_() for tensor in (*factors, y.mean())]
    optimizer = torch.optim.SGD(leaves, lr=lr)
    for _ in range(steps):
        loss = (cp_response(x, leaves[:-1], leaves[-1]) - y).square().mean()
        if not loss.isfinite():
            return "not finite"
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return f"{loss.item():.3g}"


uneven = [5 * start[0], start[1] / 5]
ends = {scale: end([scale * start[0], start[1] / scale], lr=0.1) for scale in (1, 5)}
print(f"loss at the end, from the start as it is: {ends[1]}")
usual = {
    "same": "The responses are the same, the gradients are not: that of one factor is made of the other one.",
    "higher": "A step 5 times too long, for a factor 5 times too small, does worse than that.",
}
reveal(prediction, lambda: ends[5], usual)

# %%
print("loss at the end")
print("scale  " + "".join(f"lr = {lr:<12g}" for lr in (0.1, 0.01, 0.002)))
for c in (1, 5, 10):
    ends = [end([c * start[0], start[1] / c], lr) for lr in (0.1, 0.01, 0.002)]
    print(f"{c:5d}  " + "".join(f"{loss:17s}" for loss in ends))

# %% [markdown]
# Read each row at the best of its step sizes: the more uneven the start, the worse. (At 0.002 all three are hardly under way.)
# The gradient of one factor is made of the *other* one. A step size that is small enough not to explode is too small for the
# large factor: it stands nearly still, and only the small one learns. A network with a layer of factors has many such scales.
#
# Which scale would be best? Say that factors *cost* the sum of the squares of all their numbers (that is what weight decay
# charges). Each column may be multiplied by a positive number, as long as the weight does not change. **Find the scales
# at which the cost is least**: a rule to derive, not to look up. Two columns and a piece of paper will do to begin with.

# %% solve="balance_factors"
def balance_factors(factors):
    """The cheapest factors of the same weight that can be had by scaling columns.

    factors: list of K >= 1 Tensors, factors[k] of shape (I_k, R).
    Returns a new list of K Tensors of the same shapes: every column is the old one times a number
    that is not negative, the weight is the same, and the sum of the squares of all numbers is the least
    possible. (A term in which one column is 0 is 0, whatever its other columns are.)
    Gradients are not asked for.

    >>> balance_factors([torch.tensor([[8.0]]), torch.tensor([[2.0]])])
    [tensor([[4.]]), tensor([[4.]])]
    """
    ### BEGIN SOLUTION
    norms = torch.stack([factor.norm(dim=0) for factor in factors])  # (K, R)
    common = norms.prod(dim=0) ** (1 / len(factors))  # (R,)
    scales = torch.where(norms > 0, common / norms, 0)
    return [factor * scale for factor, scale in zip(factors, scales)]
    ### END SOLUTION

# %% check="balance_factors" points=2
check("balance_factors", balance_factors)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# One component of two columns with the norms 8 and 2: the cost is 68. Move scale from one to the other; how does the cost
# change, and where does it stop falling?
# </details>
#
# <details><summary>Hint: right for two factors, wrong for three</summary>
# What must three equal norms be for their product to stay?
# </details>
#
# <details><summary>Hint: NaN</summary>
# What is the cheapest way to write a term that is 0?
# </details>

# %%
mended = balance_factors(uneven)
print(f"loss at the end: {end(uneven, lr=0.1)} from the uneven start, {end(mended, lr=0.1)} from the balanced one")

# %% [markdown]
# At the least cost a term of two columns whose product has the norm $\lambda$ costs $2\lambda$: charging the *squares* of the factors is
# charging the plain *size* of each term. Such a charge (the nuclear norm of the weight) does not just shrink all terms, it drops the small
# ones altogether. That is a penalty made for low ranks, and the next sections use it.

# %% [markdown]
# ## 3.5 The test before the function { minutes: 12, difficulty: 4 }
#
# With all other factors held still, the best $U_k$ and the best bias minimize
#
# $$\ell(U_k, \beta) = \sum_b \Big(\sum_{i r} F_{b\,i\,r}\, U_k[i, r] + \beta - y_b\Big)^2 + \rho\, \sum_{i r} U_k[i, r]^2$$
#
# with a penalty $\rho \ge 0$ on the factor, not on the bias. In 3.6 you write the function that finds them. First write the
# **test** for it: given *some* update, is what it returns the best? You do not know the minimum. But what is true at a minimum and
# nowhere else?
#
# The check hands your test more than a dozen updates: right ones of different makes, which agree to nine digits, and wrong ones. Some wrong ones are
# wrong only now and then. It doesn't say how; your test has to draw inputs that bring it to light.

# %% solve="is_best_update"
def is_best_update(update):
    """Whether an update finds the factor and the bias that make the penalized loss least.

    update: a function; update(x, y, factors, mode, ridge) returns (factor, bias), as in 3.6, all in
    float64: x of shape (B, I_0, ..., I_N), y (B,), factors a list of N + 1 Tensors (I_k, R), mode an int,
    ridge a float, the penalty. You choose what to call it with, up to 200 times; give it more
    samples than the factor has numbers.
    Returns True or False, a Python bool.

    >>> is_best_update(lambda x, y, factors, mode, ridge: (0 * factors[mode], y.mean()))
    False
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(1)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    for shape in ((3, 5), (4, 2), (2, 3, 4)):
        for mode in range(len(shape)):
            for ridge in (0.0, 0.7, 5.0):
                x, y = random(60, *shape), random(60) + 3
                factors = [random(size, 2) for size in shape]
                found = update(x, y, factors, mode, ridge)
                factor, bias = (tensor.clone().requires_grad_() for tensor in found)
                factors[mode] = factor
                loss = (cp_response(x, factors, bias) - y).square().sum() + ridge * factor.square().sum()
                slopes = torch.autograd.grad(loss, [factor, bias])
                if any((slope.abs() > 1e-6).any() for slope in slopes):
                    return False
    return True
    ### END SOLUTION

# %% check="is_best_update" points=3
check("is_best_update", is_best_update)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# You can compute the loss at what came, with autograd. What is its gradient at the best place? Is that enough, for a loss that is
# quadratic?
# </details>
#
# <details><summary>Hint: it lets wrong ones through</summary>
# What is the same in all your calls? The message says what was tried: shapes, modes, penalties.
# </details>
#
# <details><summary>Hint: it accuses right ones</summary>
# Which digits of two right answers agree?
# </details>

# %% [markdown]
# ## 3.6 One factor by least squares { minutes: 7, difficulty: 3 }
#
# Now the function. No step size, no iteration: the features of 3.3, one row a sample, are the table of a linear
# least-squares problem, and its solution is the factor. Two questions are left to you. How does the bias get among the
# unknowns? And how does a penalty get into a least-squares problem, without touching the bias?

# %% solve="update_block"
def update_block(x, y, factors, mode, ridge=0.0):
    """The best factor for one mode, and the best bias, with the other factors held still.

    x: Tensor of shape (B, I_0, ..., I_N), N >= 1; y: Tensor of shape (B,).
    factors: list of N + 1 Tensors, factors[k] of shape (I_k, R); mode: int, 0 <= mode <= N.
    ridge: float, at least 0. Either it is above 0, or there are enough samples for a unique solution.
    Returns (factor, bias): a Tensor of shape (I_mode, R) and a Tensor of shape (), which together
    make the sum of the squared errors, plus ridge times the sum of the squares of the factor, least.
    factors stays as it is.

    >>> x = torch.tensor([[[0.0]], [[1.0]], [[2.0]]])
    >>> factor, bias = update_block(x, torch.tensor([1.0, 3.0, 5.0]), [torch.ones(1, 1)] * 2, 0)
    >>> factor.round(decimals=3), bias.round(decimals=3)
    (tensor([[2.]]), tensor(1.))
    """
    ### BEGIN SOLUTION
    features = block_features(x, factors, mode).flatten(1)  # (B, I_mode * R)
    mean = features.mean(0)
    centered = features - mean
    gram = centered.T @ centered + ridge * torch.eye(len(mean), dtype=x.dtype)
    right = centered.T @ (y - y.mean())
    found = torch.linalg.lstsq(gram, right[:, None]).solution[:, 0]  # singular is no matter
    return found.reshape(factors[mode].shape), y.mean() - mean @ found
    ### END SOLUTION

# %% check="update_block" points=2
check("update_block", update_block)

# %%
print("your own test says of your update:", is_best_update(update_block))

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Without a penalty it is <code>torch.linalg.lstsq(A, Y)</code>, whose Y must be a matrix. Which table A, and which Y?
# </details>
#
# <details><summary>Hint: what about the bias?</summary>
# What is its feature, for every sample? Or: what is left to find once everything has mean 0?
# </details>
#
# <details><summary>Hint: the penalty</summary>
# A squared number is a squared error. Of which sample, with which features and which response? Or set the derivative of the
# loss to 0 and look at what the penalty adds to the Gram matrix.
# </details>

# %% [markdown]
# ## 3.7 Fit all factors { minutes: 6, difficulty: 3 }
#
# Now take turns: the best first factor, then with it the best second one, and so on, and around again. One round
# through the modes is a **sweep**. No update can raise the penalized loss, so it goes down and down. (It is the alternating
# least squares of chapter 2, for a regression in place of a decomposition.) What to start from is for you to think about.
#
# **Judged by what it does.** The check calls your function on noisy data whose true weight has the rank asked for, and measures it on samples
# that it has never seen, by the relative error $\lVert y - \hat y\rVert / \lVert y - \bar y\rVert$. With more samples than the weight has degrees of
# freedom (though fewer than entries) it must be at most 0.1. In one case there are fewer, and a penalty: then it must be at most
# 1.3, that is, not much worse than knowing nothing, and the penalized loss about as low as such sweeps make it. (It tries up to three
# random starts, and takes the one that fits its own samples best. If you seed inside, all three are the same.)

# %% solve="fit_cp_regression"
def fit_cp_regression(x, y, rank, ridge=0.0, sweeps=30):
    """Fit a regression with a CP weight.

    x: Tensor of shape (B, I_0, ..., I_N), N >= 1; y: Tensor of shape (B,).
    rank: int, R.   ridge: float, the penalty on the squares of the factors.
    sweeps: int, how often to go through all modes (if your way has no sweeps, take it as a budget).
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
            factors[mode], bias = update_block(x, y, factors, mode, ridge)
    return factors, bias
    ### END SOLUTION

# %% check="fit_cp_regression" points=3
check("fit_cp_regression", fit_cp_regression)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# What would <code>update_block</code> find if all factors started at 0? And if all columns of a factor were alike, what could the
# first update find out about them?
# </details>
#
# <details><summary>Hint: it fits its own samples and fails on the others</summary>
# Print the error after each sweep. Does it go on falling, or does it stand still at a bad place? Such places exist.
# </details>
#
# <details><summary>Hint: the error goes up and down</summary>
# Which first factor does the second update see?
# </details>

# %% [markdown]
# ## 3.8 A loss below the noise { minutes: 8, difficulty: 4 }
#
# Here it looks for the cross. (All numbers below are made by your functions; a cell stops where one is still missing.) The noise that
# was added to the responses has the variance 0.01, so the *true* weight has a mean squared error of about that.
#
# **Predict before you run.** With 400 samples, will the training loss of your fit be `"above"` 0.01, `"equal"` to it up to a
# few percent, or `"below"`?

# %% predict="training_loss"
### BEGIN SOLUTION
#~ prediction = "..."  # "above", "equal" or "below"
prediction = "below"
### END SOLUTION

# %%
def training_loss(samples, seed):
    x, y = measured(cross(), samples, seed=seed)
    torch.manual_seed(1000 + seed)
    factors, bias = fit_cp_regression(x, y, rank=2)
    return (cp_response(x, factors, bias) - y).square().mean().item()


losses = [training_loss(400, seed) for seed in range(5)]
print("training losses of five fits:", ", ".join(f"{loss:.5f}" for loss in losses))
mean = sum(losses) / len(losses)
usual = {
    "above": "The fit is not perfect, but it was chosen to be good on these very samples.",
    "equal": "That is the loss of the true weight. Yours was chosen after seeing the noise.",
}
reveal(prediction, lambda: "below" if mean < 0.0095 else "above" if mean > 0.0105 else "equal", usual)

# %% [markdown]
# Better than the truth: that is overfitting, and every low training loss has a part of it. How large is that part? It can be
# derived for plain least squares, with $n$ samples, $p$ unknowns (the bias is one) and noise of variance $\sigma^2$ on the responses of a true weight
# that the unknowns can express. The fitted responses are a projection of $y$ on a space of $p$ dimensions; what does a projection do to a random
# vector's squared length?
#
# The check knows no formula: it makes tables and takes their projections.

# %% solve="expected_losses"
def expected_losses(noise, samples, unknowns):
    """The expected mean squared errors of least squares, on its own samples and on new noise.

    noise: float, the standard deviation of the noise; samples: int, n >= 1; unknowns: int, p >= 0.
    The features are random, so any min(n, p) rows of the table are linearly independent; where the solution is not
    unique, any exact fit will do.
    Returns (training, fresh), two floats: the expected mean squared error on the responses that it was fitted to, and on
    responses of the same n inputs with new, independent noise.

    >>> expected_losses(1.0, 1000, 0)
    (1.0, 1.0)
    """
    ### BEGIN SOLUTION
    share = min(unknowns / samples, 1)
    return noise**2 * (1 - share), noise**2 * (1 + share)
    ### END SOLUTION

# %% check="expected_losses" points=2
check("expected_losses", expected_losses)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Two borders first: what are both for p = 0, and what is the training loss for p = n?
# </details>
#
# <details><summary>Hint: in between</summary>
# A random vector of n numbers, projected on p of n perpendicular directions: which share of its squared length is left?
# </details>
#
# <details><summary>Hint: on new noise</summary>
# Two errors add up there: the new noise, and what the fit has kept of the old one. Are they independent?
# </details>
#
# How many unknowns has the CP fit? Its two factors hold 128 numbers. But an
# invertible 2 x 2 matrix can be moved from one factor to the other ($U V^{\mathsf T} = (U M)(V M^{-\mathsf T})^{\mathsf T}$), and these 4 numbers change
# nothing: the weight has 128 - 4 = 124 **degrees of freedom**, in general $R(I_0 + I_1) - R^2$. The bias is one more. (For three modes and more,
# if the rank is not too large, only the scales can be moved: $R\,(\sum_k I_k - N)$ with $N + 1$ modes.) The problem is not linear, so
# your formula is only a good guess. How good?

# %%
freedom = 2 * (32 + 32) - 2**2
print(f"mean training loss of the five fits: {mean:.5f}; by your formula: {expected_losses(0.1, 400, freedom + 1)[0]:.5f}")
x, y = measured(cross(), 400)
ridge = RidgeCV(torch.logspace(-1, 4, 11).tolist()).fit(x.flatten(1).numpy(), y.numpy())
error = torch.from_numpy(ridge.predict(x.flatten(1).numpy())) - y
print(f"ridge regression's training loss: {error.square().mean():.5f}, with the penalty {ridge.alpha_:g} that it chose")

# %% [markdown]
# So a training loss tells more than it seems to: how far it lies below the noise counts the unknowns that were really used, where nothing
# holds the fit back. Ridge's loss does not lie below the noise: its penalty keeps it from the true weight, too, and that error is in the loss.
# Of the truth a training loss tells nothing; only samples that were held back do.

# %% [markdown]
# ## 3.9 The experiment: what decides? { minutes: 20, difficulty: 5 }
#
# The question of the chapter. A weight of shape (rows, columns) and some rank is to be found from samples. With what does the number of samples
# that it takes grow?
#
# - `"pixels"`: rows x columns, as for `nn.Linear`;
# - `"freedom"`: rank x (rows + columns - rank);
# - `"sides"`: rows + columns;
# - `"rank"`: the rank alone.
#
# Write the experiment that finds out. You get a function `error`; one call of it is one fit of one random weight to random samples, and what a
# `seed` decides is luck. Some seeds end in a bad place however many samples there are. You decide which
# weights to try, with how many samples and seeds, and what to conclude.
#
# **An instrument is tested where the truth is known.** So the check runs your experiment in made-up worlds: in one the need grows
# with the pixels, in another with the rank alone, and so on, each with luck of its own. Your experiment must say what decides in *each* of them, and how
# many samples it takes per unit of that. Only then point it at the real thing.

# %% solve="what_decides"
def what_decides(error):
    """Find out by experiment what the number of samples that a low-rank weight takes grows with.

    error: a function; error(rows, columns, rank, samples, seed) is the relative error of one fit, a
    float: below 0.3 where the weight was found, above 0.6 where it was not. rows, columns: 4 to 40;
    rank: 1 to half the smaller of them; samples: 1 to 4000; seed: any int, a new one is new luck.
    At most 400 calls.
    Call the *need* of a weight the number of samples with which half of the seeds find it.
    Returns (name, low, high): "pixels", "freedom", "sides" or "rank", whichever the need is
    proportional to; and an interval, high <= 2 * low, in which the samples needed per unit of it lie.

    >>> found = what_decides(lambda rows, columns, rank, samples, seed: float(samples < 30 * rank))
    >>> found[0], found[1] < 30 < found[2]
    ('rank', True)
    """
    ### BEGIN SOLUTION
    def needed(*setting):
        low, high = 5.0, 4000.0  # halve the range of the need, on a log scale
        for _ in range(9):
            middle = math.sqrt(low * high)
            found = sum(error(*setting, round(middle), seed) < 0.5 for seed in range(9))
            low, high = (low, middle) if found >= 5 else (middle, high)
        return math.sqrt(low * high)

    needs = {setting: needed(*setting) for setting in ((8, 8, 1), (24, 24, 1), (24, 24, 3), (8, 24, 2))}
    units = {
        "pixels": lambda rows, columns, rank: rows * columns,
        "freedom": lambda rows, columns, rank: rank * (rows + columns - rank),
        "sides": lambda rows, columns, rank: rows + columns,
        "rank": lambda rows, columns, rank: rank,
    }

    def ratios(name):
        return sorted(count / units[name](*setting) for setting, count in needs.items())

    best = min(units, key=lambda name: ratios(name)[-1] / ratios(name)[0])
    center = math.sqrt(ratios(best)[0] * ratios(best)[-1])
    return best, center / 1.4, center * 1.4
    ### END SOLUTION

# %% check="what_decides" points=4
check("what_decides", what_decides)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# First one weight: how do you find its need with few calls? Then: which two weights differ in their pixels and not in their rank? Which in their
# rank alone? What does each answer predict for the two?
# </details>
#
# <details><summary>Hint: my conclusion changes with luck</summary>
# How many seeds decide that half of them succeed? And by what factor do your weights differ in what you want to tell apart?
# </details>
#
# <details><summary>Hint: the right number lies beside my interval</summary>
# How far apart are the ratios of your different weights? The truth is known no better than they agree.
# </details>
#
# **Predict before you run.** Now the real thing: your own fit, of random weights with noise. What will your experiment say? The
# formula of the layer lets you guess; write down your guess.

# %% predict="real_world"
### BEGIN SOLUTION
#~ prediction = "..."  # "pixels", "freedom", "sides" or "rank"
prediction = "freedom"
### END SOLUTION

# %%
fits = itertools.count(1)


def real_error(rows, columns, rank, samples, seed, apart=1000):
    """One experiment: a random weight, samples of it, a fit from a random start; seeds apart."""
    torch.manual_seed(seed)
    u, v = (torch.randn(size, rank, dtype=torch.float64) for size in (rows, columns))
    truth = torch.linalg.qr(u).Q @ torch.linalg.qr(v).Q.T / math.sqrt(rank)
    x, y = measured(truth, samples, seed=seed + apart)
    torch.manual_seed(seed + 2 * apart)
    (u, v), _ = fit_cp_regression(x, y, rank, ridge=0.01, sweeps=12)
    if next(fits) % 25 == 0:
        print(".", end="", flush=True)  # some seconds for all of them
    return min(weight_error(u @ v.T, truth), 2.0)


name, low, high = what_decides(real_error)
print(f"\nit grows with {name!r}: {low:.2f} to {high:.2f} samples for each unit of it")
usual = {
    "pixels": "That is what a dense weight needs, whose pixels know nothing of each other.",
    "sides": "So it would be at rank 1. Each further component has its own profiles to be found.",
    "rank": "A component of a larger picture has longer profiles, and each number of them must be found.",
}
reveal(prediction, lambda: name, usual)

# %% [markdown]
# That is your law: **with what, and how many times**. Keep the numbers; the capstone's layers obey it, too.
#
# Experiments can fool you without any error message. In `real_error` the true weight and the start of the fit get seeds that are `apart`. See what happens
# if one forgets that, with exactly as many samples as degrees of freedom:

# %%
for apart in (1000, 0):
    found = sum(real_error(16, 16, 2, 60, seed, apart) < 0.5 for seed in range(8))
    print(f"  seeds apart by {apart}: {found} of 8 weights found")

# %% [markdown]
# The same generator with the same seed drew the truth and the start: the fit began at the answer. Results that are too good ask for
# a look at the seeds.

# %% [markdown]
# ## 3.10 Below the law, and the penalty that mends it { minutes: 6, difficulty: 2 }
#
# Your law says how many samples it takes. What if you have fewer? First without a penalty.
#
# **Predict before you run.** From 100 samples of the cross, fewer than its 124 degrees of freedom: will the error of your weight be about `0.3`,
# about `1`, or about `2`? (1 is what a weight of zeros has.)

# %% predict="too_few"
### BEGIN SOLUTION
#~ prediction = ...  # 0.3, 1 or 2
prediction = 2
### END SOLUTION

# %%
def cp_weight(x, y, rank=2, ridge=0.0, starts=2):
    """The weight learned by fit_cp_regression, from the start that fits the samples best."""
    fits = []
    for seed in range(starts):
        torch.manual_seed(5000 + seed)
        factors, bias = fit_cp_regression(x, y, rank, ridge)
        loss = ((cp_response(x, factors, bias) - y) ** 2).mean().item()
        fits.append((loss, (factors[0] @ factors[1].T).detach()))
    return min(fits, key=lambda fit: fit[0])[1]


METHODS = {
    "rank 2": cp_weight,
    "rank 2, penalty 10": lambda x, y: cp_weight(x, y, 2, 10.0),
    "rank 8, penalty 10": lambda x, y: cp_weight(x, y, 8, 10.0, starts=1),
    "ridge on pixels": ridge_weight,
}


def errors(truth, count, seeds):
    """For each method the mean error over seeds, and the worst."""
    found = {}
    for name, method in METHODS.items():
        each = [weight_error(method(*measured(truth, count, seed=7 * count + s)), truth) for s in range(seeds)]
        found[name] = sum(each) / seeds, max(each)
    return found


at_100 = errors(cross(), 100, seeds=3)
print("error at 100 samples, mean of 3 (and the worst)")
for name, (mean, worst) in at_100.items():
    print(f"  {name:20s} {mean:.2f} ({worst:.2f})")
plain = at_100["rank 2"][0]
usual = {
    0.3: "There are fewer equations than unknowns: many weights fit, and it has found one of them.",
    1: "It could have been 1, by answering with zeros. But nothing holds the factors back.",
}
reveal(prediction, lambda: min((0.3, 1, 2), key=lambda value: abs(math.log(value / plain))), usual)

# %% [markdown]
# **With too few samples, the low-rank fit is worse than useless.** The penalty of 3.4 mends that: it makes large terms cost. Now the whole curve (some
# seconds, a line for each number of samples):

# %%
counts = (60, 100, 140, 180, 250, 400, 700)


def error_curves(truth, seeds=2):
    print("samples" + "".join(f"{name:>22s}" for name in METHODS))
    rows = {}
    for count in counts:
        rows[count] = errors(truth, count, seeds)
        print(f"{count:7d}" + "".join(f"{mean:15.2f} ({worst:.2f})" for mean, worst in rows[count].values()))
    return {name: (counts, [rows[count][name][0] for count in counts]) for name in METHODS}


cross_errors = error_curves(cross())
plotting.curves(
    cross_errors,
    "samples",
    "relative error of the weight",
    log="xy",
    marks={"degrees of freedom: 124": 124},
)

# %% [markdown]
# Left of the mark a penalty keeps the error at 1 or below, where the plain fit is lost. Right of it the plain fit of rank 2 catches up, and is best from
# about one and a half times the degrees of freedom on: your law. There the penalty costs a little, and so does a rank that is too high. Ridge on pixels would need a
# number of samples like that of the pixels, 1024. (Yours may differ a little, near the mark most: there it is a matter of luck.)

# %% [markdown]
# ## 3.11 Where it ends: weights that are not low-rank { minutes: 6, difficulty: 3 }
#
# Rank 2 was the truth so far. Here are two weights that you have not tried: a disk, and a diagonal stripe. Both are as simple to the eye as the cross.

# %%
def disk(size=32):
    place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weight = (place[:, None] ** 2 + place**2 < (0.3 * size) ** 2).double()
    return weight / weight.norm()


def stripe(size=32):
    place = torch.arange(size)
    weight = ((place[:, None] - place).abs() < size // 8).double()
    return weight / weight.norm()


plotting.images({"disk": disk(), "stripe": stripe()}, signed=True)

# %% [markdown]
# **Predict before you run.** The best weight of rank 2 misses the disk by some share of its norm, and the stripe by another: is the share `0.0`, `0.25`, `0.5`
# or `0.75`? Look at the rows: how many kinds are there?

# %% predict="rank_two_misses"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # the disk's share, the stripe's
prediction = (0.25, 0.75)
### END SOLUTION

# %%
for name, truth in {"cross": cross(), "disk": disk(), "stripe": stripe()}.items():
    values = torch.linalg.svdvals(truth)
    rank, missed = (values > 1e-10).sum().item(), values[2:].norm().item()
    print(f"{name:7s} rank {rank:2d}; the best weight of rank 2 misses it by {missed:.2f}")
usual = {
    (0.25, 0.25): "Both look simple. But no two rows of the stripe are alike: each is a step further.",
    (0.5, 0.5): "The disk is flat inside, so most of its rows are nearly one; no two rows of the stripe are alike.",
    (0.0, 0.0): "Simple to the eye is not low in rank: curves and diagonals take many profiles.",
}


def nearest(truth):
    missed = torch.linalg.svdvals(truth)[2:].norm().item()
    return min((0.0, 0.25, 0.5, 0.75), key=lambda share: abs(share - missed))


reveal(prediction, lambda: (nearest(disk()), nearest(stripe())), usual)

# %%
disk_errors = error_curves(disk())

# %%
stripe_errors = error_curves(stripe())

# %%
names = ("rank 2", "rank 8, penalty 10", "ridge on pixels")
lines = {f"disk: {name}": disk_errors[name] for name in names}
lines |= {f"stripe: {name}": stripe_errors[name] for name in names}
plotting.curves(lines, "samples", "relative error of the weight", log="xy")

# %% [markdown]
# Read it as a trade. For the disk, rank 2 is wrong but not by much, and its error stops falling where the singular values that are cut off say so; a
# generous rank with a penalty finds more of it as samples come in. For the stripe, no fit of rank 2 is worth its samples, and none can get below
# three quarters. All that is safe there is a penalty, on pixels or on factors of a generous rank.
#
# A low rank is a *belief about the weight*. It pays where it is about right and where samples are few. And it depends on the axes: a stripe along a side has rank 1.

# %% [markdown]
# ## 3.12 Open challenge: eight drawings { minutes: 10, difficulty: 4 }
#
# Bars, disks, rings and stripes of 16 x 16 pixels, and 120 noisy samples for each. Which method is best over all of them? Any
# method goes; your function does not know which drawing it is looking for. What do all of them have in common, beside or beyond a low rank?
#
# One point for a mean error below that of this chapter's best all-rounder, a generous rank of 8 with a penalty of 10 (by half a percent: its start alone changes less). The figure is the real reward. The
# last line is a bound of a kind: least squares when told *which* pixels belong to the drawing.

# %% solve="best_weight"
def best_weight(x, y):
    """The weight that you believe in, given samples of an unknown drawing.

    x: Tensor of shape (120, 16, 16), float64, random numbers; y: Tensor of shape (120,), the inner products with the
    drawing, which has norm 1, plus a bias and noise of 0.1.
    Returns a Tensor of shape (16, 16). The check calls it for eight drawings like those of `data.drawings(seed)`.
    """
    ### BEGIN SOLUTION
    def smooth(x, y):  # neighbors have to do with each other
        place = torch.arange(x.shape[1], dtype=x.dtype)
        blur = torch.exp(-((place[:, None] - place) ** 2) / 4.5)
        centered = x - x.mean(0)
        blurred = blur @ centered @ blur
        gram = blurred.flatten(1) @ centered.flatten(1).T + 3 * torch.eye(len(x), dtype=x.dtype)
        return torch.tensordot(torch.linalg.solve(gram, y - y.mean()), blurred, dims=1)

    def low(x, y):
        (u, v), _ = fit_cp_regression(x, y, 2, 3.0, sweeps=15)
        return u @ v.T

    def missed(method):  # on the third of the samples that it has not seen
        left = y[80:] - trlkit.inner(x[80:], method(x[:80], y[:80]), 2)
        return left.var().item()

    return min((smooth, low), key=missed)(x, y)
    ### END SOLUTION

# %%
def told_where(x, y, truth):
    """Least squares on the pixels of the drawing alone."""
    inside = truth > 0
    table = torch.cat([x[:, inside], torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    weight = torch.zeros_like(truth)
    weight[inside] = torch.linalg.lstsq(table, y[:, None]).solution[:-1, 0]
    return weight


def compare(tries, seed=1):
    """The error of each method for each drawing, and its mean."""
    print(" " * 22 + "".join(f"{name:>16s}" for name in data.drawings(seed)) + "    mean")
    for name, method in tries.items():
        row = []
        for number, truth in enumerate(data.drawings(seed).values()):
            x, y = measured(truth, 120, seed=100 * seed + number)
            torch.manual_seed(0)
            row.append(weight_error(method(x, y, truth), truth))
        print(f"{name:22s}" + "".join(f"{error:16.2f}" for error in row) + f"{sum(row) / len(row):8.3f}")


compare(
    {
        "yours": lambda x, y, truth: best_weight(x, y),
        "rank 2, penalty 3": lambda x, y, truth: cp_weight(x, y, 2, 3.0, starts=1),
        "rank 8, penalty 10": lambda x, y, truth: cp_weight(x, y, 8, 10.0, starts=1),
        "ridge on pixels": lambda x, y, truth: ridge_weight(x, y),
        "told where": told_where,
    }
)

# %% check="best_weight" points=1
check("best_weight", best_weight)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Which of the drawings does the chapter's fit miss? What would your eye use, if it had to guess a pixel from its neighbors?
# </details>
#
# <details><summary>Hint: one method is good for some drawings, another for the others</summary>
# Which samples could tell you which one to trust, without knowing the drawing?
# </details>

# %% [markdown]
# ## 3.13 Several outputs: a layer
#
# Ten classes want ten responses. One more mode for the weight, one more factor: $V$ of shape $(C, R)$ for $C$ outputs, the last in the
# list. All outputs share the $R$ patterns of the input factors, and output $c$ mixes them by row $c$ of $V$:
#
# $$\hat y_{b\,c} = \sum_r V[c, r] \Big( \sum_{i_0 i_1 \dots} X_{b\, i_0 i_1 \dots}\; U_0[i_0, r]\, U_1[i_1, r] \cdots \Big) + \beta_c$$
#
# That is the **CP tensor regression layer**: chapter 4 makes a module of it. Here trlkit's own, on
# scikit-learn's handwritten digits of 8 x 8 pixels, for which a dense regression has 650 numbers. All predict ten
# numbers (1 for the digit's own class, 0 for the others), and the largest counts.

# %%
def pixels_and_classes(part):
    images, labels = part.tensors
    return images[:, 0].double(), labels


train, _, test = (pixels_and_classes(part) for part in data.digits(8))


def train_cp(x, targets, rank, seed, decay, steps=200):
    torch.manual_seed(seed)
    layer = trlkit.CPTRL((8, 8), 10, rank=rank).double()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.03, weight_decay=decay)
    for _ in range(steps):
        loss = (layer(x) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return layer


def accuracy(scores):
    right = torch.as_tensor(scores).argmax(1) == test[1]
    return 100 * right.double().mean().item()


def compare_digits(count, seeds=3):
    """The mean and the range of the accuracies, over seeds that choose the digits and the start."""
    found = {}
    for seed in range(seeds):
        chosen = torch.randperm(len(train[1]), generator=torch.Generator().manual_seed(seed))[:count]
        x, targets = train[0][chosen], nn.functional.one_hot(train[1][chosen], 10).double()
        ridge = RidgeCV(torch.logspace(-3, 3, 13).tolist()).fit(x.flatten(1).numpy(), targets.numpy())
        scores = {"ridge, 650 numbers": ridge.predict(test[0].flatten(1).numpy())}
        for rank, decay in ((20, 0.0), (20, 0.5)):
            layer = train_cp(x, targets, rank, seed, decay)
            size = sum(p.numel() for p in layer.parameters())
            scores[f"rank {rank}, {size} numbers" + ", decay" * bool(decay)] = layer(test[0]).detach()
        for name, score in scores.items():
            found.setdefault(name, []).append(accuracy(score))
    return found


results = {}
for count in (100, 300, 1257):
    results[count] = compare_digits(count)
    print(f"trained on {count} samples, three times")

# %%
print("accuracy on 270 test digits: mean (least to most)")
print(" " * 30 + "".join(f"{count:12d} samples   " for count in results))
for name in results[100]:
    told = [(sum(a) / len(a), min(a), max(a)) for a in (row[name] for row in results.values())]
    print(f"{name:30s}" + "".join(f"{mean:8.1f} ({low:.1f} to {high:.1f})" for mean, low, high in told))

# %% [markdown]
# Be honest about it: one digit in 270 is 0.4 %, and with 64 pixels there is little to save. Nothing says that the weights of ten digits are made of a few patterns,
# each a column profile times a row profile. What the low rank buys here is size. From chapter 7 on, the input is no longer pixels but an
# activation (of 25088 numbers in chapter 8), and the layers before it learn along. Even there, ask for the baseline.

# %% [markdown]
# ### Turn it: the learned weight as the rank grows
#
# **Predict before you turn.**
# A disk in 16 x 16 pixels, and 200 samples. At which rank is the learned weight nearest to the disk, and is rank 10 better or
# worse than that? And which rank does a diagonal need, which is so easy to draw? Write it down, then turn.

# %%
explore("the learned weight as the rank grows")

# %% [markdown]
# ## What to take away
#
# What you know now, and who uses `nn.Linear` need not know:
#
# - The number of samples that a weight takes grows with its **degrees of freedom**, not with its pixels; how many times, you have measured.
#   Below that number a low-rank fit is worse than zeros, unless a penalty holds it.
# - The scale of a component can sit in any factor. The response does not care, gradient descent does; and at the cheapest scale, weight decay on
#   factors charges the size of each term: it prefers low ranks.
# - In one factor at a time it is an ordinary linear regression: so least squares fits it, without a learning rate.
# - A training loss lies below the noise by the share of unknowns to samples. It says how much was fitted, not how well.
# - A low rank is a belief. A disk nearly keeps to it, a stripe does not, and a smoother may beat it.
# - An experiment is worth as much as its power to say no: try it where the truth is known, and look at the seeds.
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

# %%
progress()
