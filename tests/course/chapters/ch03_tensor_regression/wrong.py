"""Wrong answers of chapter 03 that only the rarer cases catch."""

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
def block_features(x, factors, mode):
    letters = "ijk"[: len(factors)]
    others = [k for k in range(len(factors)) if k != mode]
    terms = "".join(f",{letters[k]}r" for k in others)
    equation = f"z{letters}{terms}->z{letters[mode]}r"
    return torch.einsum(equation, x, *(factors[k] for k in others))


# %% wrong="block_features" name="divided"
# Divided by the own factor, which may be 0.
def block_features(x, factors, mode):
    letters = "ijklmn"[: len(factors)]
    terms = "".join(f",{letter}r" for letter in letters)
    return torch.einsum(f"z{letters}{terms}->z{letters[mode]}r", x, *factors) / factors[mode]


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


# %% wrong="balance_factors" name="two factors"
# The third one is left as it is.
def balance_factors(factors):
    first, second, *rest = factors
    ratio = (second.norm(dim=0) / first.norm(dim=0)).sqrt()
    return [first * ratio, second / ratio, *rest]


# %% wrong="balance_factors" name="rows"
# Rows in place of columns; it runs where the factors are square.
def balance_factors(factors):
    norms = [factor.norm(dim=1, keepdim=True) for factor in factors]
    common = math.prod(norms) ** (1 / len(factors))
    return [factor / norm * common for factor, norm in zip(factors, norms)]


# %% wrong="balance_factors" name="in place"
# The factors that came are changed.
def balance_factors(factors):
    norms = [factor.norm(dim=0) for factor in factors]
    common = math.prod(norms) ** (1 / len(factors))
    for factor, norm in zip(factors, norms):
        factor *= common / norm
    return factors


# %% wrong="update_block" name="in place"
# The list that came is changed.
def update_block(x, y, factors, mode):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    found = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]
    factors[mode].copy_(found[:-1].reshape(factors[mode].shape))
    return factors[mode], found[-1]


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
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], bias = update_block(x, y, factors, mode)
    return factors, bias.float()


# %% wrong="fit_cp_regression" name="loops swapped"
# One factor many times in a row.
def fit_cp_regression(x, y, rank, sweeps=30):
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for mode in range(len(factors)):
        for _ in range(sweeps):
            factors[mode], bias = update_block(x, y, factors, mode)
    return factors, bias


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


# %% wrong="cp_responses" name="two modes"
# Pictures only.
def cp_responses(x, factors, bias):
    return torch.einsum("bij,ir,jr,nr->bn", x, *factors) + bias


# %% wrong="cp_responses" name="three modes"
# No letter for the fourth input mode.
def cp_responses(x, factors, bias):
    letters = "ijk"[: len(factors) - 1]
    terms = ",".join(f"{letter}r" for letter in letters)
    return torch.einsum(f"b{letters},{terms},zr->bz", x, *factors) + bias


# %% wrong="cp_responses" name="bias by sample"
# Right shape only where there are as many outputs as samples.
def cp_responses(x, factors, bias):
    letters = "ijkl"[: len(factors) - 1]
    terms = ",".join(f"{letter}r" for letter in letters)
    y = torch.einsum(f"b{letters},{terms},nr->bn", x, *factors)
    return y + (bias[:, None] if len(bias) == len(x) else bias)
