"""Known answers of chapter 03."""

# %% right="linear_response"
import trlkit

def linear_response(x, weight, bias):
    return trlkit.inner(x, weight, weight.ndim) + bias

# %% answer="linear_response" name="flatten"
# Flatten, then a matrix-vector product.
def linear_response(x, weight, bias):
    return x.flatten(1) @ weight.flatten() + bias

# %% answer="linear_response" name="tensordot"
# All modes of the weight at once.
def linear_response(x, weight, bias):
    return torch.tensordot(x, weight, dims=weight.ndim) + bias

# %% answer="linear_response" name="sample by sample"
# A loop over the batch.
def linear_response(x, weight, bias):
    return torch.stack([torch.sum(sample * weight) + bias for sample in x])

# %% answer="linear_response" name="dims"
# The sum over a tuple of modes.
def linear_response(x, weight, bias):
    return (x * weight).sum(dim=tuple(range(1, x.ndim))) + bias

# %% mistake="linear_response" name="batch summed"
# You summed over the batch too, so all samples together get one number. Each sample has a
# response of its own: shape (B,).
# Look at: which modes your sum runs over; the first one is not among them.
def linear_response(x, weight, bias):
    return (x * weight).sum() + bias

# %% mistake="linear_response" name="mean for sum"
# You averaged the products of entries; an inner product sums them.
# Look at: the sum in the formula: nothing divides it.
def linear_response(x, weight, bias):
    return (x * weight).flatten(1).mean(1) + bias

# %% mistake="linear_response" name="bias in every entry"
# You added the bias to every product before summing, so it counts once for each entry of the
# weight. It belongs to the response, once.
# Look at: what stands inside your sum.
def linear_response(x, weight, bias):
    return (x * weight + bias).flatten(1).sum(1)

# %% mistake="linear_response" name="bias forgotten"
# Your response has no bias: it is always 0 where x is 0.
# Look at: the last term of the formula.
def linear_response(x, weight, bias):
    return (x * weight).flatten(1).sum(1)

# %% mistake="linear_response" name="squeezed"
# Your result has lost a mode: with a batch of one it is () where (1,) is asked for.
# Look at: `squeeze` without a dim removes *every* mode of size 1.
def linear_response(x, weight, bias):
    return (x * weight).flatten(1).sum(1).squeeze() + bias

# %% mistake="linear_response" name="last mode only"
# You summed over the last mode only, so a sample still has several numbers.
# Look at: how many modes of x are left in your result; only the batch should be.
def linear_response(x, weight, bias):
    return (x * weight).sum(-1) + bias

# %% wrong="linear_response" name="two modes"
# Pictures only.
def linear_response(x, weight, bias):
    return torch.einsum("bij,ij->b", x, weight) + bias

# %% wrong="linear_response" name="three modes"
# A sample of four modes keeps the last one.
def linear_response(x, weight, bias):
    return (x * weight).sum(dim=(1, 2, 3)[: weight.ndim]) + bias

# %% wrong="linear_response" name="float64"
# Whatever comes, float64 goes.
def linear_response(x, weight, bias):
    return (x.double() * weight).flatten(1).sum(1) + bias

# %% wrong="linear_response" name="detached bias"
# No gradient reaches the bias.
def linear_response(x, weight, bias):
    return (x * weight).flatten(1).sum(1) + bias.item()

# %% right="cp_response"
def cp_response(x, factors, bias):
    import trlkit

    return (x.flatten(1) @ trlkit.khatri_rao(factors)).sum(dim=1) + bias

# %% answer="cp_response" name="weight built"
# Building the weight is right too.
def cp_response(x, factors, bias):
    weight = 0
    for r in range(factors[0].shape[1]):
        term = factors[0][:, r]
        for factor in factors[1:]:
            term = term[..., None] * factor[:, r]
        weight = weight + term
    return linear_response(x, weight, bias)

# %% answer="cp_response" name="component by component"
# From the last mode, one component at a time.
def cp_response(x, factors, bias):
    total = bias
    for r in range(factors[0].shape[1]):
        term = x
        for factor in reversed(factors):
            term = term @ factor[:, r]
        total = total + term
    return total

# %% answer="cp_response" name="einsum interleaved"
# torch.einsum with numbers for letters.
def cp_response(x, factors, bias):
    n = len(factors)
    operands = [x, [n, *range(n)]]
    for k, factor in enumerate(factors):
        operands += [factor, [k, n + 1]]
    return torch.einsum(*operands, [n]) + bias

# %% answer="cp_response" name="khatri rao"
# The Khatri-Rao product on the flattened batch.
def cp_response(x, factors, bias):
    import trlkit

    return (x.flatten(1) @ trlkit.khatri_rao(factors)).sum(dim=1) + bias

# %% mistake="cp_response" name="rank summed too early"
# You combined every column with every column (a Kronecker product, or a sum of each factor over
# its columns first). That multiplies column 0 of one factor with column 1 of another; column r
# belongs with column r alone.
# Look at: where the sum over r stands in the formula: outside all the products.
def cp_response(x, factors, bias):
    for factor in reversed(factors):
        x = x @ factor.sum(1)
    return x + bias

# %% mistake="cp_response" name="bias for each component"
# You added the bias before the sum over the components, so it counts R times.
# Look at: the order of the last two steps.
def cp_response(x, factors, bias):
    y = 0
    for r in range(factors[0].shape[1]):
        term = x
        for factor in reversed(factors):
            term = term @ factor[:, r]
        y = y + term + bias
    return y

# %% mistake="cp_response" name="first component"
# You used column 0 of every factor only: a weight of rank 1.
# Look at: whether every column of the factors has a part in your result.
def cp_response(x, factors, bias):
    for factor in reversed(factors):
        x = x @ factor[:, 0]
    return x + bias

# %% mistake="cp_response" name="components averaged"
# You averaged over the components where the formula sums.
# Look at: what you do with the mode of size R at the end.
def cp_response(x, factors, bias):
    y = x.unsqueeze(-1) * factors[0].reshape(-1, *[1] * (len(factors) - 1), factors[0].shape[1])
    for k, factor in enumerate(factors[1:], 1):
        shape = [1] * len(factors) + [factor.shape[1]]
        shape[k] = factor.shape[0]
        y = y * factor.reshape(shape)
    return y.flatten(1, -2).sum(1).mean(1) + bias

# %% mistake="cp_response" name="bias forgotten"
# Your response has no bias.
# Look at: the last term of the formula.
def cp_response(x, factors, bias):
    y = 0
    for r in range(factors[0].shape[1]):
        term = x
        for factor in reversed(factors):
            term = term @ factor[:, r]
        y = y + term
    return y

# %% mistake="cp_response" name="squeezed"
# Your result has lost a mode: with a batch of one it is () where (1,) is asked for.
# Look at: `squeeze` without a dim removes *every* mode of size 1.
#- dim=1
#+ 1).squeeze(

# %% mistake="cp_response" name="factors reversed"
# Your Khatri-Rao product has the factors in the opposite order: its rows belong to other pixels
# than the entries of the flattened batch.
# Look at: which index runs fastest in x.flatten(1), and which in your product.
#- )).sum(dim=
#+ [::-1])).sum(

# %% mistake="cp_response" name="modes apart"
# You summed x over all modes but one, met each factor with what was left, and multiplied the
# results. A rank-1 weight has to meet x entry by entry, all modes at once.
# Look at: contract x with the first vector and *go on with what comes out*, not with x.
def cp_response(x, factors, bias):
    y = 1
    for k, factor in enumerate(factors):
        others = tuple(m + 1 for m in range(len(factors)) if m != k)
        y = y * ((x.sum(others) if others else x) @ factor)
    return y.sum(1) + bias

# %% wrong="cp_response" name="two modes"
# Pictures only.
def cp_response(x, factors, bias):
    return torch.einsum("bij,ir,jr->b", x, *factors) + bias

# %% wrong="cp_response" name="reversed factors"
# The first factor meets the last mode: right where the sizes are equal and nothing else is.
def cp_response(x, factors, bias):
    y = 0
    for r in range(factors[0].shape[1]):
        term = x
        for factor in factors:
            term = term @ factor[:, r] if term.shape[-1] == len(factor) else term.mT @ factor[:, r]
        y = y + term
    return y + bias

# %% right="block_features"
def block_features(x, factors, mode):
    letters = "ijkl"[: len(factors)]
    others = [k for k in range(len(factors)) if k != mode]
    terms = "".join(f",{letters[k]}r" for k in others)
    equation = f"z{letters}{terms}->z{letters[mode]}r"
    return torch.einsum(equation, x, *(factors[k] for k in others))

# %% answer="block_features" name="einsum"
# One einsum.
#- ijkl
#+ ijklmn

# %% answer="block_features" name="khatri rao"
# Unfolding and Khatri-Rao product.
def block_features(x, factors, mode):
    import trlkit

    others = [factor for k, factor in enumerate(factors) if k != mode]
    rows = x.movedim(mode + 1, 1).flatten(2)
    return rows @ trlkit.khatri_rao(others)

# %% answer="block_features" name="component by component"
# For each component all other modes contracted.
def block_features(x, factors, mode):
    parts = []
    for r in range(factors[mode].shape[1]):
        part = x.movedim(mode + 1, 1)
        for k in reversed(range(len(factors))):
            if k != mode:
                part = part @ factors[k][:, r]
        parts.append(part)
    return torch.stack(parts, dim=-1)

# %% answer="block_features" name="broadcast"
# Everything multiplied out, then summed.
def block_features(x, factors, mode):
    y = x.movedim(mode + 1, 1).unsqueeze(-1)
    others = [f for k, f in enumerate(factors) if k != mode]
    for n, factor in enumerate(others):
        shape = [1] * (len(others) + 3)
        shape[2 + n], shape[-1] = factor.shape
        y = y * factor.reshape(shape)
    return y.sum(dim=tuple(range(2, y.ndim - 1)))

# %% mistake="block_features" name="own factor used"
# You multiplied with the factor of the mode itself too. It is the unknown: the features are all
# that it will be multiplied with.
# Look at: which factors take part for mode k: all but factors[k].
def block_features(x, factors, mode):
    letters = "ijkl"[: len(factors)]
    terms = ",".join(f"{letter}r" for letter in letters)
    return torch.einsum(f"b{letters},{terms}->b{letters[mode]}r", x, *factors)

# %% mistake="block_features" name="index of the mode summed"
# You summed over the index of the mode as well. Each of its entries is a feature of its own.
# Look at: which indices are still there in your result: b, i and r.
def block_features(x, factors, mode):
    letters = "ijkl"[: len(factors)]
    others = [k for k in range(len(factors)) if k != mode]
    terms = ",".join(f"{letters[k]}r" for k in others)
    return torch.einsum(f"b{letters},{terms}->br", x, *[factors[k] for k in others])

# %% mistake="block_features" name="components summed"
# You summed over the components. Column r of the factor meets only component r, so each r
# keeps a feature of its own.
# Look at: which indices are still there in your result: b, i and r.
#-     terms = "".join(f",{letters[k]}r" for k in others)
#-     equation = f"z{letters}{terms}->z{letters[mode]}r"
#+     terms = ",".join(f"{letters[k]}r" for k in others)
#+     equation = f"b{letters},{terms}->b{letters[mode]}"

# %% mistake="block_features" name="rank before mode"
# Your features are in the order (B, R, I). They are to match the factor, which is (I, R).
# Look at: the last two modes of your result.
#-     terms = "".join(f",{letters[k]}r" for k in others)
#-     equation = f"z{letters}{terms}->z{letters[mode]}r"
#+     terms = ",".join(f"{letters[k]}r" for k in others)
#+     equation = f"b{letters},{terms}->br{letters[mode]}"

# %% mistake="block_features" name="mode 0 always"
# You gave the features of factors[0] whatever `mode` is.
# Look at: whether your result depends on `mode`.
def block_features(x, factors, mode):
    letters = "ijkl"[: len(factors)]
    terms = ",".join(f"{letter}r" for letter in letters[1:])
    return torch.einsum(f"b{letters},{terms}->b{letters[0]}r", x, *factors[1:])

# %% mistake="block_features" name="others reversed"
# With three modes, the other factors meet the modes of x in the opposite order: the rows of your
# Khatri-Rao product belong to other entries than those of the unfolded batch.
# Look at: which index runs fastest in the flattened modes, and which in your product.
def block_features(x, factors, mode):
    import trlkit

    others = [factor for k, factor in enumerate(factors) if k != mode][::-1]
    return x.movedim(mode + 1, 1).flatten(2) @ trlkit.khatri_rao(others)

# %% mistake="block_features" name="modes swapped"
# You swapped two modes, so for mode 2 of three the others stand in another order than their
# factors. Moving one mode to the front leaves the order of the rest.
# Look at: the order of the modes of x after your swap: (0, 1, 2) becomes (2, 1, 0).
def block_features(x, factors, mode):
    import trlkit

    others = [factor for k, factor in enumerate(factors) if k != mode]
    return x.swapaxes(mode + 1, 1).flatten(2) @ trlkit.khatri_rao(others)

# %% mistake="block_features" name="batch not counted"
# You moved mode `mode` of the whole batch, in which the samples are mode 0: mode k of a sample is
# mode k + 1 of x.
# Look at: which mode of x it is that you move.
def block_features(x, factors, mode):
    import trlkit

    others = [factor for k, factor in enumerate(factors) if k != mode]
    return x.movedim(mode, 1).flatten(2) @ trlkit.khatri_rao(others)

# %% mistake="block_features" name="rank summed too early"
# You summed the other factors over their columns, so all components have the same features.
# Column r of the features is made of column r of the other factors alone.
# Look at: how your result depends on r.
def block_features(x, factors, mode):
    letters = "ijkl"[: len(factors)]
    others = [k for k in range(len(factors)) if k != mode]
    terms = ",".join(letters[k] for k in others)
    sums = [factors[k].sum(1) for k in others]
    meets = torch.einsum(f"b{letters},{terms}->b{letters[mode]}", x, *sums)
    return meets[:, :, None].expand(-1, -1, factors[mode].shape[1])

# %% mistake="block_features" name="only the last other factor"
# You contracted one of the other factors only and just summed x over the remaining modes: with
# two modes it looks right, with three it is not.
# Look at: how many factors meet x when there are three modes.
def block_features(x, factors, mode):
    others = [k for k in range(len(factors)) if k != mode]
    letters = "ijkl"[: len(factors)]
    last = letters[others[-1]]
    return torch.einsum(f"b{letters},{last}r->b{letters[mode]}r", x, factors[others[-1]])

# %% wrong="block_features" name="two modes"
# Pictures only.
def block_features(x, factors, mode):
    if mode == 0:
        return torch.einsum("bij,jr->bir", x, factors[1])
    return torch.einsum("bij,ir->bjr", x, factors[0])

# %% wrong="block_features" name="cyclic order"
# The other modes start behind the mode, the factors do not.
def block_features(x, factors, mode):
    import trlkit

    n = len(factors)
    others = [factors[(mode + 1 + k) % n] for k in range(n - 1)]
    return x.movedim(mode + 1, 1).flatten(2) @ trlkit.khatri_rao(others)

# %% wrong="block_features" name="three modes"
# No letter for the fourth mode.
#- ijkl
#+ ijk

# %% wrong="block_features" name="divided"
# Divided by the own factor, which may be 0.
def block_features(x, factors, mode):
    letters = "ijklmn"[: len(factors)]
    terms = "".join(f",{letter}r" for letter in letters)
    return torch.einsum(f"z{letters}{terms}->z{letters[mode]}r", x, *factors) / factors[mode]

# %% right="cp_gradient_step"
def cp_gradient_step(x, y, factors, bias, lr):
    error = cp_response(x, factors, bias) - y
    new = [
        factor - lr * 2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
        for k, factor in enumerate(factors)
    ]
    return new, bias - lr * 2 * error.mean()

# %% answer="cp_gradient_step" name="autograd"
# By autograd.
def cp_gradient_step(x, y, factors, bias, lr):
    factors = [factor.clone().requires_grad_() for factor in factors]
    bias = bias.clone().requires_grad_()
    loss = ((cp_response(x, factors, bias) - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        return [f - lr * f.grad for f in factors], bias - lr * bias.grad

# %% answer="cp_gradient_step" name="sgd"
# By torch.optim.
def cp_gradient_step(x, y, factors, bias, lr):
    factors = [nn.Parameter(factor.clone()) for factor in factors]
    bias = nn.Parameter(bias.clone())
    optimizer = torch.optim.SGD([*factors, bias], lr=lr)
    nn.functional.mse_loss(cp_response(x, factors, bias), y).backward()
    optimizer.step()
    return tuple(factors), bias

# %% answer="cp_gradient_step" name="autograd detached"
# By autograd, and detached behind it.
def cp_gradient_step(x, y, factors, bias, lr):
    leaves = [tensor.detach().clone().requires_grad_() for tensor in (*factors, bias)]
    ((cp_response(x, leaves[:-1], leaves[-1]) - y) ** 2).mean().backward()
    *moved, bias = [(leaf - lr * leaf.grad).detach() for leaf in leaves]
    return moved, bias

# %% mistake="cp_gradient_step" name="summed over the batch"
# Your gradient is the one of the *sum* of the squared errors: it is B times too large, and a
# step size that suits 10 samples explodes with 1000.
# Look at: the 1/B in the loss.
#- ) / len(x)
#+ )
#- mean
#+ sum

# %% mistake="cp_gradient_step" name="uphill"
# You went uphill: you added the gradient where gradient descent subtracts it. (An error taken as
# y minus response has the same effect.)
# Look at: the sign of the step, and of your error.
#- error = cp_response(x, factors, bias) - y
#+ error = y - cp_response(x, factors, bias)

# %% mistake="cp_gradient_step" name="factor 2 missing"
# Your gradient is half of the right one: the derivative of a square has a factor 2.
# Look at: the derivative of (response - y)^2.
#- * 2 * torch
#+ * torch
#- * 2 * error
#+ * error

# %% mistake="cp_gradient_step" name="one factor after the other"
# You moved one factor and computed the next gradient with the moved one. That is another method;
# in one step of gradient descent all gradients are taken at the same point.
# Look at: which factors the second gradient is computed from.
def cp_gradient_step(x, y, factors, bias, lr):
    factors = list(factors)
    for k in range(len(factors)):
        error = cp_response(x, factors, bias) - y
        slope = 2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
        factors[k] = factors[k] - lr * slope
    error = cp_response(x, factors, bias) - y
    return factors, bias - lr * 2 * error.mean()

# %% mistake="cp_gradient_step" name="features of moved factors"
# You computed the error once, but the features of the later factors from the earlier ones that
# had moved already. All gradients are taken at the same point.
# Look at: what your list of factors holds when you ask for the second features.
def cp_gradient_step(x, y, factors, bias, lr):
    factors = list(factors)
    error = cp_response(x, factors, bias) - y
    for k in range(len(factors)):
        slope = 2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
        factors[k] = factors[k] - lr * slope
    return factors, bias - lr * 2 * error.mean()

# %% mistake="cp_gradient_step" name="bias summed"
# The factors are right; the gradient of the bias is the one of the *sum* of the squared errors. It
# is a mean over the samples too.
# Look at: the 1/B in the second formula.
#- mean
#+ sum

# %% mistake="cp_gradient_step" name="bias uphill"
# The factors are right; the bias goes uphill. Its gradient is subtracted like all the others.
# Look at: the sign of the step of the bias.
#- bias - lr
#+ bias + lr

# %% mistake="cp_gradient_step" name="bias without lr"
# The factors are right; the step of the bias has another length than `lr` times its gradient.
# Look at: whether `lr` stands in the step of the bias.
#- bias - lr * 2 *
#+ bias - 2 *

# %% mistake="cp_gradient_step" name="bias half"
# The factors are right; the gradient of the bias has lost its factor 2.
# Look at: the second formula.
#- * 2 * error
#+ * error

# %% mistake="cp_gradient_step" name="without lr"
# Your step is the whole gradient: the step size `lr` has no part in it.
# Look at: what multiplies your gradients.
#- factor - lr * 2 *
#+ factor - 2 *
#- - lr * 2
#+ - 2

# %% mistake="cp_gradient_step" name="bias first"
# You moved the bias first and computed the error for the factors with the new one. All gradients
# are taken at the same point, before anything moves.
# Look at: which bias your error is computed from.
#- def cp_gradient_step(x, y, factors, bias, lr):
#+ def cp_gradient_step(x, y, factors, bias, lr):
#+     bias = bias - lr * 2 * (cp_response(x, factors, bias) - y).mean()
#- bias - lr * 2 * error.mean()
#+ bias

# %% mistake="cp_gradient_step" name="bias stays"
# Your bias does not move. It has a gradient too: twice the mean error.
# Look at: the second thing that you return.
#- bias - lr * 2 * error.mean
#+ bias.clone

# %% wrong="cp_gradient_step" name="on the graph"
# What is returned requires gradients, so a second step finds no leaves.
def cp_gradient_step(x, y, factors, bias, lr):
    factors = [factor.clone().requires_grad_() for factor in factors]
    bias = bias.clone().requires_grad_()
    ((cp_response(x, factors, bias) - y) ** 2).mean().backward()
    return [f - lr * f.grad for f in factors], bias - lr * bias.grad

# %% wrong="cp_gradient_step" name="gradients on the given"
# The tensors that came require gradients afterwards.
def cp_gradient_step(x, y, factors, bias, lr):
    for tensor in [*factors, bias]:
        tensor.requires_grad_()
    ((cp_response(x, factors, bias) - y) ** 2).mean().backward()
    with torch.no_grad():
        return [f - lr * f.grad for f in factors], bias - lr * bias.grad

# %% wrong="cp_gradient_step" name="in place"
# The factors that came are changed.
def cp_gradient_step(x, y, factors, bias, lr):
    error = cp_response(x, factors, bias) - y
    slopes = [2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
              for k in range(len(factors))]
    for factor, slope in zip(factors, slopes):
        factor -= lr * slope
    return factors, bias - 2 * lr * error.mean()

# %% wrong="cp_gradient_step" name="mean over entries"
# Divided by the entries of x, not by the samples.
def cp_gradient_step(x, y, factors, bias, lr):
    error = cp_response(x, factors, bias) - y
    new = [f - 2 * lr * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / x.numel()
           for k, f in enumerate(factors)]
    return new, bias - 2 * lr * error.mean()

# %% right="balance_factors"
def balance_factors(factors):
    norms = [factor.norm(dim=0) for factor in factors]
    common = math.prod(norms) ** (1 / len(factors))
    return [factor / norm * common for factor, norm in zip(factors, norms)]

# %% answer="balance_factors" name="logarithms"
# Norms by logarithms.
def balance_factors(factors):
    logs = torch.stack([factor.norm(dim=0).log() for factor in factors])
    return [f * (logs.mean(0) - log).exp() for f, log in zip(factors, logs)]

# %% answer="balance_factors" name="columns"
# Column by column.
def balance_factors(factors):
    found = [[] for _ in factors]
    for r in range(factors[0].shape[1]):
        norms = [torch.linalg.vector_norm(f[:, r]) for f in factors]
        common = math.prod(norms) ** (1 / len(norms))
        for place, f, norm in zip(found, factors, norms):
            place.append(f[:, r] * common / norm)
    return tuple(torch.stack(columns, 1) for columns in found)

# %% mistake="balance_factors" name="norms set to 1"
# You gave every column norm 1 and dropped the norms: the factors are balanced, but they stand for
# another weight.
# Look at: the product of the norms of one component, before and after.
def balance_factors(factors):
    return [factor / factor.norm(dim=0) for factor in factors]

# %% mistake="balance_factors" name="all norms in the first factor"
# The weight is unchanged, but one factor carries all of the scale: that is as unbalanced as can
# be.
# Look at: the norms of the columns of each factor that you return.
def balance_factors(factors):
    units = [factor / factor.norm(dim=0) for factor in factors]
    norms = math.prod(factor.norm(dim=0) for factor in factors)
    return [units[0] * norms, *units[1:]]

# %% mistake="balance_factors" name="all norms in the last factor"
# The weight is unchanged, but one factor carries all of the scale: that is as unbalanced as can
# be.
# Look at: the norms of the columns of each factor that you return.
def balance_factors(factors):
    units = [factor / factor.norm(dim=0) for factor in factors]
    norms = math.prod(factor.norm(dim=0) for factor in factors)
    return [*units[:-1], units[-1] * norms]

# %% mistake="balance_factors" name="whole factors"
# You balanced the factors as wholes: the norm of all entries together. Each component has a
# scale of its own, so it goes column by column.
# Look at: the `dim` of your norm.
#- (dim=0
#+ (

# %% mistake="balance_factors" name="square root always"
# You took the square root of the product of the norms. That is right for two factors; with K
# factors the scale is shared by K.
# Look at: the exponent, for three factors.
#- ) ** (1 / len(factors)
#+ ).sqrt(

# %% mistake="balance_factors" name="arithmetic mean"
# You gave all columns the average of their norms. Norms multiply in the weight, so it is their
# product that has to stay, not their sum.
# Look at: two columns of norms 1 and 9: which equal norms have the same product?
#- common = math.prod(norms) ** (1 / len(factors))
#+ common = sum(norms) / len(norms)

# %% wrong="balance_factors" name="two factors"
# The third one is left as it is.
def balance_factors(factors):
    first, second, *rest = factors
    ratio = (second.norm(dim=0) / first.norm(dim=0)).sqrt()
    return [first * ratio, second / ratio, *rest]

# %% wrong="balance_factors" name="rows"
# Rows in place of columns; it runs where the factors are square.
#- =0
#+ =1, keepdim=True

# %% wrong="balance_factors" name="in place"
# The factors that came are changed.
#-     return [factor / norm * common for factor, norm in zip(factors, norms)]
#+     for factor, norm in zip(factors, norms):
#+         factor *= common / norm
#+     return factors

# %% right="update_block"
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    found = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]
    return found[:-1].reshape(factors[mode].shape), found[-1]

# %% answer="update_block" name="centered"
# Centered features and responses, then the bias.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    mean = features.mean(0)
    found = torch.linalg.lstsq(features - mean, (y - y.mean())[:, None]).solution[:, 0]
    return found.reshape(factors[mode].shape), y.mean() - mean @ found

# %% answer="update_block" name="normal equations"
# The normal equations, the bias first.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode)
    table = torch.cat([torch.ones(len(x), 1, dtype=x.dtype), features.flatten(1)], dim=1)
    bias, *entries = torch.linalg.solve(table.T @ table, table.T @ y)
    return torch.stack(entries).view_as(factors[mode]), bias

# %% answer="update_block" name="Cholesky"
# The normal equations by a Cholesky factor.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    lower = torch.linalg.cholesky(table.T @ table)
    found = torch.cholesky_solve((table.T @ y)[:, None], lower)[:, 0]
    return found[:-1].reshape(factors[mode].shape), found[-1]

# %% mistake="update_block" name="no bias column"
# You fitted the factor without a bias and took the bias afterwards from what was left. Both have
# to be found at once: the best factor depends on the bias.
# Look at: the number of unknowns of your least squares: I_mode * R, and one more.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    found = torch.linalg.lstsq(features, y[:, None]).solution[:, 0]
    return found.reshape(factors[mode].shape), (y - features @ found).mean()

# %% mistake="update_block" name="mean first"
# You took the mean of y for the bias and fitted the factor to the rest. The features have a mean
# too, so the bias that goes with the best factor is another.
# Look at: whether the bias is among the unknowns of your least squares.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    found = torch.linalg.lstsq(features, (y - y.mean())[:, None]).solution[:, 0]
    return found.reshape(factors[mode].shape), y.mean()

# %% mistake="update_block" name="bias zero"
# You fitted no bias at all.
# Look at: the column of ones that stands for the bias.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    found = torch.linalg.lstsq(features, y[:, None]).solution[:, 0]
    return found.reshape(factors[mode].shape), y.new_zeros(())

# %% mistake="update_block" name="reshaped the wrong way"
# The numbers are right, their places are not: the flattened features run over i first and over r
# fastest, and the solution has the same order.
# Look at: the shape that you give to reshape; it is not (R, I_mode), transposed.
#-     return found[:-1].reshape(factors[mode].shape), found[-1]
#+     size, rank = factors[mode].shape
#+     return found[:-1].reshape(rank, size).T, found[-1]

# %% mistake="update_block" name="features transposed"
# You flattened the features as (R, I_mode) and reshaped the solution as (I_mode, R): right
# numbers in the wrong places. The solution has the order in which the features were flattened.
# Look at: the order of the last two modes before you flatten.
#- .flatten
#+ .transpose(1, 2).flatten

# %% mistake="update_block" name="ones first, bias last"
# Your column of ones stands first, but you take the bias from the end of the solution. The
# unknowns have the order of the columns.
# Look at: which entry of the solution belongs to the column of ones.
#- features, torch.ones_like(features[:, :1])
#+ torch.ones_like(features[:, :1]), features

# %% mistake="update_block" name="only y centered"
# You centered y, fitted the factor to the rest and took the bias from what was left. The features
# have a mean too: center both, or make the bias one of the unknowns.
# Look at: what the factor is fitted to, and with which columns.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    found = torch.linalg.lstsq(features, (y - y.mean())[:, None]).solution[:, 0]
    return found.reshape(factors[mode].shape), (y - features @ found).mean()

# %% mistake="update_block" name="ridge"
# Your factor is shrunk: you added a multiple of the identity to the normal equations. That is
# ridge regression; asked is plain least squares.
# Look at: what you solve: the normal equations have nothing added.
#-     found = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]
#+     gram = table.T @ table + torch.eye(table.shape[1], dtype=x.dtype)
#+     found = torch.linalg.solve(gram, table.T @ y)

# %% mistake="update_block" name="start added"
# You added the old factor to the solution. Least squares gives the new factor itself; it is no
# step from the old one.
# Look at: what you do with the solution.
#- return found
#+ return factors[mode] + found

# %% wrong="update_block" name="in place"
# The list that came is changed.
#-     return found[:-1].reshape(factors[mode].shape), found[-1]
#+     factors[mode].copy_(found[:-1].reshape(factors[mode].shape))
#+     return factors[mode], found[-1]

# %% wrong="update_block" name="component by component"
# Each component fitted to y on its own.
def update_block(x, y, factors, mode):
    columns = []
    for r in range(factors[mode].shape[1]):
        features = block_features(x, factors, mode)[:, :, r]
        table = torch.cat([features, torch.ones_like(features[:, :1])], 1)
        found = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]
        columns.append(found[:-1])
    return torch.stack(columns, 1), found[-1]

# %% wrong="update_block" name="float32"
# The numbers are computed in float32.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], 1).float()
    found = torch.linalg.lstsq(table, y[:, None].float()).solution[:, 0].double()
    return found[:-1].reshape(factors[mode].shape), found[-1]

# %% wrong="update_block" name="float64"
# Whatever comes, float64 goes.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], 1).double()
    found = torch.linalg.lstsq(table, y[:, None].double()).solution[:, 0]
    return found[:-1].reshape(factors[mode].shape), found[-1]

# %% right="fit_cp_regression"
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], bias = update_block(x, y, factors, mode)
    return factors, bias

# %% answer="fit_cp_regression" name="adam"
# Gradient descent with Adam.
def fit_cp_regression(x, y, rank, sweeps=30):
    sizes = x.shape[1:]
    factors = [nn.Parameter(0.3 * torch.randn(n, rank, dtype=x.dtype)) for n in sizes]
    bias = nn.Parameter(y.mean())
    optimizer = torch.optim.Adam([*factors, bias], lr=0.03)
    for _ in range(20 * sweeps):
        loss = ((cp_response(x, factors, bias) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return factors, bias

# %% answer="fit_cp_regression" name="balanced"
# Last mode first, uniform numbers, balanced after each sweep.
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [torch.rand(size, rank).to(x) - 0.5 for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in reversed(range(len(factors))):
            factors[mode], bias = update_block(x, y, factors, mode)
        factors = balance_factors(factors)
    return factors, bias.item()

# %% answer="fit_cp_regression" name="random starts"
# The best of three starts.
def fit_cp_regression(x, y, rank, sweeps=30):
    best = None
    for _ in range(3):
        factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
        for _ in range(sweeps):
            for mode in range(len(factors)):
                factors[mode], bias = update_block(x, y, factors, mode)
        loss = ((cp_response(x, factors, bias) - y) ** 2).mean()
        if best is None or loss < best[0]:
            best = loss, factors, bias
    return best[1], best[2]

# %% mistake="fit_cp_regression" name="zeros at the start"
# Your factors came out as 0. Where all factors start at 0, all features are 0, and no update
# ever sees the data.
# Look at: the numbers that you start from.
#- randn
#+ zeros

# %% mistake="fit_cp_regression" name="ones at the start"
# The columns of your factors are all alike, so they stand for a weight of rank 1. Columns that
# start equal get equal updates and stay equal.
# Look at: how the columns of one factor differ at the start.
#- randn
#+ ones

# %% mistake="fit_cp_regression" name="one sweep"
# After the first round more sweeps change nothing: you return inside the loop, or `sweeps` is not
# used, or one factor is updated many times in a row (a second update of the same one does nothing).
# Look at: how far your `return` is indented, and which of the two loops is the inner one.
#-     return factors, bias
#+         return factors, bias

# %% mistake="fit_cp_regression" name="first factor only"
# You learned the first factor only; the others are still what you started from.
# Look at: the modes that your inner loop runs over.
#-         for mode in range(len(factors)):
#-             factors[mode], bias = update_block(x, y, factors, mode)
#+         factors[0], bias = update_block(x, y, factors, 0)

# %% mistake="fit_cp_regression" name="updates not kept"
# None of your factors has learned anything: you compute the new factors but return the ones that
# you started from.
# Look at: where the result of an update goes.
#- factors[mode]
#+ factor

# %% mistake="fit_cp_regression" name="bias not returned"
# Your weight is right and your bias is not: it came out of the last update, together with the
# factor, or it is the mean error of the response without a bias.
# Look at: which bias you return.
#-             factors[mode], bias = update_block(x, y, factors, mode)
#-     return factors, bias
#+             factors[mode], _ = update_block(x, y, factors, mode)
#+     return factors, torch.zeros((), dtype=x.dtype)

# %% mistake="fit_cp_regression" name="all from the old factors"
# From one sweep to the next your error on the samples goes up and down. An exact update of one
# factor, the others as they are now, cannot raise it; updates that all start from the old factors
# can, and so can steps that are too long.
# Look at: whether the update of the second factor already uses the new first one.
#-         for mode in range(len(factors)):
#-             factors[mode], bias = update_block(x, y, factors, mode)
#+         found = [update_block(x, y, factors, mode) for mode in range(len(factors))]
#+         factors, bias = [factor for factor, _ in found], found[-1][1]

# %% mistake="fit_cp_regression" name="rank 1"
# Your factors have one column, whatever `rank` is.
# Look at: the shapes of the factors that you start from.
#- size, rank, dtype
#+ size, 1, dtype

# %% wrong="fit_cp_regression" name="in place"
# The responses that came are changed.
def fit_cp_regression(x, y, rank, sweeps=30):
    mean = y.mean()
    y -= mean
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], bias = update_block(x, y, factors, mode)
    return factors, bias + mean

# %% wrong="fit_cp_regression" name="float32 bias"
# The bias has another dtype than the factors.
#- factors, bias
#+ factors, bias.float()

# %% wrong="fit_cp_regression" name="loops swapped"
# One factor many times in a row.
#-     for _ in range(sweeps):
#-         for mode in range(len(factors)):
#+     for mode in range(len(factors)):
#+         for _ in range(sweeps):

# %% wrong="fit_cp_regression" name="dense"
# The least-norm weight, cut to the rank: far fewer samples than pixels do not determine it.
def fit_cp_regression(x, y, rank, sweeps=30):
    table = torch.cat([x.flatten(1), torch.ones_like(y)[:, None]], 1)
    found = torch.linalg.lstsq(table, y[:, None], driver="gelsd").solution[:, 0]
    u, s, v = torch.linalg.svd(found[:-1].reshape(x.shape[1:]), full_matrices=False)
    return [u[:, :rank] * s[:rank], v[:rank].T], found[-1]

# %% wrong="fit_cp_regression" name="slow descent"
# Far too few steps.
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [0.3 * torch.randn(n, rank, dtype=x.dtype) for n in x.shape[1:]]
    bias = y.mean()
    for _ in range(sweeps):
        factors, bias = cp_gradient_step(x, y, factors, bias, 0.001)
    return factors, bias

# %% wrong="fit_cp_regression" name="explodes"
# A step size at which gradient descent runs away.
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [10 * torch.randn(n, rank, dtype=x.dtype) for n in x.shape[1:]]
    bias = y.mean()
    for _ in range(sweeps):
        factors, bias = cp_gradient_step(x, y, factors, bias, 0.5)
    return factors, bias

# %% wrong="fit_cp_regression" name="one tensor"
# The weight in place of its factors.
def fit_cp_regression(x, y, rank, sweeps=30):
    return torch.zeros(x.shape[1:], dtype=x.dtype), y.mean()

# %% right="cp_responses"
def cp_responses(x, factors, bias):
    letters = "ijkl"[: len(factors) - 1]
    terms = ",".join(f"{letter}r" for letter in letters)
    return torch.einsum(f"b{letters},{terms},zr->bz", x, *factors) + bias

# %% answer="cp_responses" name="one output at a time"
# The last factor's rows weigh the components.
def cp_responses(x, factors, bias):
    columns = []
    for row, number in zip(factors[-1], bias):
        columns.append(cp_response(x, [factors[0] * row, *factors[1:-1]], number))
    return torch.stack(columns, dim=1)

# %% answer="cp_responses" name="khatri rao"
# The Khatri-Rao product of the input factors.
def cp_responses(x, factors, bias):
    import trlkit

    return x.flatten(1) @ trlkit.khatri_rao(factors[:-1]) @ factors[-1].mT + bias

# %% answer="cp_responses" name="einsum"
# One einsum.
#- ijkl
#+ ijklmn

# %% mistake="cp_responses" name="outputs transposed"
# Your result has the outputs first. The batch comes first: shape (B, C).
# Look at: the order of the last product.
#-     return torch.einsum(f"b{letters},{terms},zr->bz", x, *factors) + bias
#+     meets = torch.einsum(f"b{letters},{terms}->br", x, *factors[:-1])
#+     return factors[-1] @ meets.T + bias[:, None]

# %% mistake="cp_responses" name="rank summed too early"
# You summed over the components before the last factor met them, so all outputs are multiples of
# one number. Every output mixes the R components in its own way.
# Look at: which step removes the index r: the product with the last factor.
#-     return torch.einsum(f"b{letters},{terms},zr->bz", x, *factors) + bias
#+     meets = torch.einsum(f"b{letters},{terms}->b", x, *factors[:-1])
#+     return meets[:, None] * factors[-1].sum(1) + bias

# %% mistake="cp_responses" name="factors reversed"
# Your Khatri-Rao product has the input factors in the opposite order: its rows belong to other
# pixels than the entries of the flattened batch.
# Look at: which index runs fastest in x.flatten(1), and which in your product.
def cp_responses(x, factors, bias):
    import trlkit

    return x.flatten(1) @ trlkit.khatri_rao(factors[-2::-1]) @ factors[-1].T + bias

# %% mistake="cp_responses" name="outputs summed"
# You summed over the outputs: one number for each sample.
# Look at: which index of the last factor is left in your result.
#-     return torch.einsum(f"b{letters},{terms},zr->bz", x, *factors) + bias
#+     meets = torch.einsum(f"b{letters},{terms}->br", x, *factors[:-1])
#+     return (meets @ factors[-1].T + bias).sum(1)

# %% mistake="cp_responses" name="one bias for all"
# You gave every output the same bias; bias[c] belongs to output c.
# Look at: the shape of what you add.
#-     return torch.einsum(f"b{letters},{terms},zr->bz", x, *factors) + bias
#+     meets = torch.einsum(f"b{letters},{terms}->br", x, *factors[:-1])
#+     return meets @ factors[-1].T + bias.sum()

# %% mistake="cp_responses" name="bias forgotten"
# Your responses have no bias.
# Look at: the last term of the formula.
#-     return torch.einsum(f"b{letters},{terms},zr->bz", x, *factors) + bias
#+     meets = torch.einsum(f"b{letters},{terms}->br", x, *factors[:-1])
#+     return meets @ factors[-1].T

# %% mistake="cp_responses" name="components for outputs"
# Your result has one number for each component, (B, R): the last factor has not been used as a
# matrix. It turns R components into C outputs.
# Look at: the shape of your result beside the one asked for.
#- zr->bz", x, *factors) + bias
#+ nr->br", x, *factors) + bias.sum()

# %% wrong="cp_responses" name="two modes"
# Pictures only.
def cp_responses(x, factors, bias):
    return torch.einsum("bij,ir,jr,nr->bn", x, *factors) + bias

# %% wrong="cp_responses" name="three modes"
# No letter for the fourth input mode.
#- ijkl
#+ ijk

# %% wrong="cp_responses" name="bias by sample"
# Right shape only where there are as many outputs as samples.
#-     return torch.einsum(f"b{letters},{terms},zr->bz", x, *factors) + bias
#+     y = torch.einsum(f"b{letters},{terms},nr->bn", x, *factors)
#+     return y + (bias[:, None] if len(bias) == len(x) else bias)

# %% mistake="quiz_dense_samples" name="a"
# That is one number for each row. The weight image has a number for each pixel, and every one of
# them is an unknown.
# Look at: how many unknowns the equations <W, x> + beta = y have.
quiz_dense_samples = "a"

# %% mistake="quiz_dense_samples" name="b"
# That many suit the low-rank weight. The dense one does not know that its rows have anything to
# do with each other.
# Look at: how many unknowns the equations <W, x> + beta = y have.
quiz_dense_samples = "b"

# %% mistake="quiz_dense_samples" name="d"
# More samples than unknowns are good against noise, but without noise each sample is one equation
# that holds exactly.
# Look at: how many equations determine that many unknowns.
quiz_dense_samples = "d"

# %% mistake="quiz_factor_scale" name="a"
# The weight is a product of the two: 10 times one and a tenth of the other cancel.
# Look at: the response with factors (10 a, b / 10), by the formula.
quiz_factor_scale = "a"

# %% mistake="quiz_factor_scale" name="c"
# The gradient of one factor holds the *other* factors: where those are 10 times larger, so is it.
# Look at: what block_features for one factor is made of.
quiz_factor_scale = "c"

# %% mistake="quiz_factor_scale" name="d"
# Least squares for one factor finds the same response whatever the scale of the other one.
# Look at: what happens to the best factor if all its features are divided by 10.
quiz_factor_scale = "d"

# %% mistake="quiz_low_rank_target" name="b"
# More sweeps go on with the same rank-2 weight; no weight of rank 2 is close to this one.
# Look at: the curve for the random weight, and at what it comes close to with many samples.
quiz_low_rank_target = "b"

# %% mistake="quiz_low_rank_target" name="c"
# The step size matters for gradient descent. The error that is left comes from what a weight of
# rank 2 can be at all.
# Look at: the curve for the random weight, and at what it comes close to with many samples.
quiz_low_rank_target = "c"

# %% mistake="quiz_low_rank_target" name="d"
# Balancing changes the factors and not the weight that they stand for.
# Look at: what balance_factors leaves as it was.
quiz_low_rank_target = "d"
