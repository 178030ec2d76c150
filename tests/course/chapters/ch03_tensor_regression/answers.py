"""Right answers of chapter 03 that are not the course's own."""

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


# %% answer="block_features" name="einsum"
# One einsum.
def block_features(x, factors, mode):
    letters = "ijklmn"[: len(factors)]
    others = [k for k in range(len(factors)) if k != mode]
    terms = "".join(f",{letters[k]}r" for k in others)
    equation = f"z{letters}{terms}->z{letters[mode]}r"
    return torch.einsum(equation, x, *(factors[k] for k in others))


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
def cp_responses(x, factors, bias):
    letters = "ijklmn"[: len(factors) - 1]
    terms = ",".join(f"{letter}r" for letter in letters)
    return torch.einsum(f"b{letters},{terms},zr->bz", x, *factors) + bias
