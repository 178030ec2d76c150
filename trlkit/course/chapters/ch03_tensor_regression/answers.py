"""Usual mistakes of chapter 03."""

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
def cp_response(x, factors, bias):
    import trlkit

    return (x.flatten(1) @ trlkit.khatri_rao(factors)).sum(1).squeeze() + bias


# %% mistake="cp_response" name="factors reversed"
# Your Khatri-Rao product has the factors in the opposite order: its rows belong to other pixels
# than the entries of the flattened batch.
# Look at: which index runs fastest in x.flatten(1), and which in your product.
def cp_response(x, factors, bias):
    import trlkit

    return (x.flatten(1) @ trlkit.khatri_rao(factors[::-1])).sum(1) + bias


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
def block_features(x, factors, mode):
    letters = "ijkl"[: len(factors)]
    others = [k for k in range(len(factors)) if k != mode]
    terms = ",".join(f"{letters[k]}r" for k in others)
    equation = f"b{letters},{terms}->b{letters[mode]}"
    return torch.einsum(equation, x, *[factors[k] for k in others])


# %% mistake="block_features" name="rank before mode"
# Your features are in the order (B, R, I). They are to match the factor, which is (I, R).
# Look at: the last two modes of your result.
def block_features(x, factors, mode):
    letters = "ijkl"[: len(factors)]
    others = [k for k in range(len(factors)) if k != mode]
    terms = ",".join(f"{letters[k]}r" for k in others)
    equation = f"b{letters},{terms}->br{letters[mode]}"
    return torch.einsum(equation, x, *[factors[k] for k in others])


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


# %% mistake="cp_gradient_step" name="summed over the batch"
# Your gradient is the one of the *sum* of the squared errors: it is B times too large, and a
# step size that suits 10 samples explodes with 1000.
# Look at: the 1/B in the loss.
def cp_gradient_step(x, y, factors, bias, lr):
    error = cp_response(x, factors, bias) - y
    new = [
        factor - lr * 2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k))
        for k, factor in enumerate(factors)
    ]
    return new, bias - lr * 2 * error.sum()


# %% mistake="cp_gradient_step" name="uphill"
# You went uphill: you added the gradient where gradient descent subtracts it. (An error taken as
# y minus response has the same effect.)
# Look at: the sign of the step, and of your error.
def cp_gradient_step(x, y, factors, bias, lr):
    error = y - cp_response(x, factors, bias)
    new = [
        factor - lr * 2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
        for k, factor in enumerate(factors)
    ]
    return new, bias - lr * 2 * error.mean()


# %% mistake="cp_gradient_step" name="factor 2 missing"
# Your gradient is half of the right one: the derivative of a square has a factor 2.
# Look at: the derivative of (response - y)^2.
def cp_gradient_step(x, y, factors, bias, lr):
    error = cp_response(x, factors, bias) - y
    new = [
        factor - lr * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
        for k, factor in enumerate(factors)
    ]
    return new, bias - lr * error.mean()


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
def cp_gradient_step(x, y, factors, bias, lr):
    error = cp_response(x, factors, bias) - y
    new = [
        factor - lr * 2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
        for k, factor in enumerate(factors)
    ]
    return new, bias - lr * 2 * error.sum()


# %% mistake="cp_gradient_step" name="bias uphill"
# The factors are right; the bias goes uphill. Its gradient is subtracted like all the others.
# Look at: the sign of the step of the bias.
def cp_gradient_step(x, y, factors, bias, lr):
    error = cp_response(x, factors, bias) - y
    new = [
        factor - lr * 2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
        for k, factor in enumerate(factors)
    ]
    return new, bias + lr * 2 * error.mean()


# %% mistake="cp_gradient_step" name="bias without lr"
# The factors are right; the step of the bias has another length than `lr` times its gradient.
# Look at: whether `lr` stands in the step of the bias.
def cp_gradient_step(x, y, factors, bias, lr):
    error = cp_response(x, factors, bias) - y
    new = [
        factor - lr * 2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
        for k, factor in enumerate(factors)
    ]
    return new, bias - 2 * error.mean()


# %% mistake="cp_gradient_step" name="bias half"
# The factors are right; the gradient of the bias has lost its factor 2.
# Look at: the second formula.
def cp_gradient_step(x, y, factors, bias, lr):
    error = cp_response(x, factors, bias) - y
    new = [
        factor - lr * 2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
        for k, factor in enumerate(factors)
    ]
    return new, bias - lr * error.mean()


# %% mistake="cp_gradient_step" name="without lr"
# Your step is the whole gradient: the step size `lr` has no part in it.
# Look at: what multiplies your gradients.
def cp_gradient_step(x, y, factors, bias, lr):
    error = cp_response(x, factors, bias) - y
    new = [
        factor - 2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
        for k, factor in enumerate(factors)
    ]
    return new, bias - 2 * error.mean()


# %% mistake="cp_gradient_step" name="bias first"
# You moved the bias first and computed the error for the factors with the new one. All gradients
# are taken at the same point, before anything moves.
# Look at: which bias your error is computed from.
def cp_gradient_step(x, y, factors, bias, lr):
    bias = bias - lr * 2 * (cp_response(x, factors, bias) - y).mean()
    error = cp_response(x, factors, bias) - y
    new = [
        factor - lr * 2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
        for k, factor in enumerate(factors)
    ]
    return new, bias


# %% mistake="cp_gradient_step" name="bias stays"
# Your bias does not move. It has a gradient too: twice the mean error.
# Look at: the second thing that you return.
def cp_gradient_step(x, y, factors, bias, lr):
    error = cp_response(x, factors, bias) - y
    new = [
        factor - lr * 2 * torch.einsum("b,bir->ir", error, block_features(x, factors, k)) / len(x)
        for k, factor in enumerate(factors)
    ]
    return new, bias.clone()


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
def balance_factors(factors):
    norms = [factor.norm() for factor in factors]
    common = math.prod(norms) ** (1 / len(factors))
    return [factor / norm * common for factor, norm in zip(factors, norms)]


# %% mistake="balance_factors" name="square root always"
# You took the square root of the product of the norms. That is right for two factors; with K
# factors the scale is shared by K.
# Look at: the exponent, for three factors.
def balance_factors(factors):
    norms = [factor.norm(dim=0) for factor in factors]
    common = math.prod(norms).sqrt()
    return [factor / norm * common for factor, norm in zip(factors, norms)]


# %% mistake="balance_factors" name="arithmetic mean"
# You gave all columns the average of their norms. Norms multiply in the weight, so it is their
# product that has to stay, not their sum.
# Look at: two columns of norms 1 and 9: which equal norms have the same product?
def balance_factors(factors):
    norms = [factor.norm(dim=0) for factor in factors]
    common = sum(norms) / len(norms)
    return [factor / norm * common for factor, norm in zip(factors, norms)]


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
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    found = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]
    size, rank = factors[mode].shape
    return found[:-1].reshape(rank, size).T, found[-1]


# %% mistake="update_block" name="features transposed"
# You flattened the features as (R, I_mode) and reshaped the solution as (I_mode, R): right
# numbers in the wrong places. The solution has the order in which the features were flattened.
# Look at: the order of the last two modes before you flatten.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).transpose(1, 2).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    found = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]
    return found[:-1].reshape(factors[mode].shape), found[-1]


# %% mistake="update_block" name="ones first, bias last"
# Your column of ones stands first, but you take the bias from the end of the solution. The
# unknowns have the order of the columns.
# Look at: which entry of the solution belongs to the column of ones.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([torch.ones_like(features[:, :1]), features], 1)
    found = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]
    return found[:-1].reshape(factors[mode].shape), found[-1]


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
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    gram = table.T @ table + torch.eye(table.shape[1], dtype=x.dtype)
    found = torch.linalg.solve(gram, table.T @ y)
    return found[:-1].reshape(factors[mode].shape), found[-1]


# %% mistake="update_block" name="start added"
# You added the old factor to the solution. Least squares gives the new factor itself; it is no
# step from the old one.
# Look at: what you do with the solution.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    found = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]
    return factors[mode] + found[:-1].reshape(factors[mode].shape), found[-1]


# %% mistake="fit_cp_regression" name="zeros at the start"
# Your factors came out as 0. Where all factors start at 0, all features are 0, and no update
# ever sees the data.
# Look at: the numbers that you start from.
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [torch.zeros(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], bias = update_block(x, y, factors, mode)
    return factors, bias


# %% mistake="fit_cp_regression" name="ones at the start"
# The columns of your factors are all alike, so they stand for a weight of rank 1. Columns that
# start equal get equal updates and stay equal.
# Look at: how the columns of one factor differ at the start.
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [torch.ones(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], bias = update_block(x, y, factors, mode)
    return factors, bias


# %% mistake="fit_cp_regression" name="one sweep"
# After the first round more sweeps change nothing: you return inside the loop, or `sweeps` is not
# used, or one factor is updated many times in a row (a second update of the same one does nothing).
# Look at: how far your `return` is indented, and which of the two loops is the inner one.
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], bias = update_block(x, y, factors, mode)
        return factors, bias


# %% mistake="fit_cp_regression" name="first factor only"
# You learned the first factor only; the others are still what you started from.
# Look at: the modes that your inner loop runs over.
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        factors[0], bias = update_block(x, y, factors, 0)
    return factors, bias


# %% mistake="fit_cp_regression" name="updates not kept"
# None of your factors has learned anything: you compute the new factors but return the ones that
# you started from.
# Look at: where the result of an update goes.
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factor, bias = update_block(x, y, factors, mode)
    return factors, bias


# %% mistake="fit_cp_regression" name="bias not returned"
# Your weight is right and your bias is not: it came out of the last update, together with the
# factor, or it is the mean error of the response without a bias.
# Look at: which bias you return.
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], _ = update_block(x, y, factors, mode)
    return factors, torch.zeros((), dtype=x.dtype)


# %% mistake="fit_cp_regression" name="all from the old factors"
# From one sweep to the next your error on the samples goes up and down. An exact update of one
# factor, the others as they are now, cannot raise it; updates that all start from the old factors
# can, and so can steps that are too long.
# Look at: whether the update of the second factor already uses the new first one.
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        found = [update_block(x, y, factors, mode) for mode in range(len(factors))]
        factors, bias = [factor for factor, _ in found], found[-1][1]
    return factors, bias


# %% mistake="fit_cp_regression" name="rank 1"
# Your factors have one column, whatever `rank` is.
# Look at: the shapes of the factors that you start from.
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [torch.randn(size, 1, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], bias = update_block(x, y, factors, mode)
    return factors, bias


# %% mistake="cp_responses" name="outputs transposed"
# Your result has the outputs first. The batch comes first: shape (B, C).
# Look at: the order of the last product.
def cp_responses(x, factors, bias):
    letters = "ijkl"[: len(factors) - 1]
    terms = ",".join(f"{letter}r" for letter in letters)
    meets = torch.einsum(f"b{letters},{terms}->br", x, *factors[:-1])
    return factors[-1] @ meets.T + bias[:, None]


# %% mistake="cp_responses" name="rank summed too early"
# You summed over the components before the last factor met them, so all outputs are multiples of
# one number. Every output mixes the R components in its own way.
# Look at: which step removes the index r: the product with the last factor.
def cp_responses(x, factors, bias):
    letters = "ijkl"[: len(factors) - 1]
    terms = ",".join(f"{letter}r" for letter in letters)
    meets = torch.einsum(f"b{letters},{terms}->b", x, *factors[:-1])
    return meets[:, None] * factors[-1].sum(1) + bias


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
def cp_responses(x, factors, bias):
    letters = "ijkl"[: len(factors) - 1]
    terms = ",".join(f"{letter}r" for letter in letters)
    meets = torch.einsum(f"b{letters},{terms}->br", x, *factors[:-1])
    return (meets @ factors[-1].T + bias).sum(1)


# %% mistake="cp_responses" name="one bias for all"
# You gave every output the same bias; bias[c] belongs to output c.
# Look at: the shape of what you add.
def cp_responses(x, factors, bias):
    letters = "ijkl"[: len(factors) - 1]
    terms = ",".join(f"{letter}r" for letter in letters)
    meets = torch.einsum(f"b{letters},{terms}->br", x, *factors[:-1])
    return meets @ factors[-1].T + bias.sum()


# %% mistake="cp_responses" name="bias forgotten"
# Your responses have no bias.
# Look at: the last term of the formula.
def cp_responses(x, factors, bias):
    letters = "ijkl"[: len(factors) - 1]
    terms = ",".join(f"{letter}r" for letter in letters)
    meets = torch.einsum(f"b{letters},{terms}->br", x, *factors[:-1])
    return meets @ factors[-1].T


# %% mistake="cp_responses" name="components for outputs"
# Your result has one number for each component, (B, R): the last factor has not been used as a
# matrix. It turns R components into C outputs.
# Look at: the shape of your result beside the one asked for.
def cp_responses(x, factors, bias):
    letters = "ijkl"[: len(factors) - 1]
    terms = ",".join(f"{letter}r" for letter in letters)
    return torch.einsum(f"b{letters},{terms},nr->br", x, *factors) + bias.sum()


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
