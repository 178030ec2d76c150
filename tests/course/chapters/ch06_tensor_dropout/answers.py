"""Right answers of chapter 06 that are not the course's own."""

# %% answer="drop_cp" name="last factor"
# The mask comes into the last factor.
def drop_cp(factors, keep, p):
    mask = factors[-1].new_full(keep.shape, 1 / (1 - p)).where(keep, 0)
    return [*factors[:-1], factors[-1] * mask[None, :]]


# %% answer="drop_cp" name="columns left out"
# Only the columns that stay.
def drop_cp(factors, keep, p):
    left = [factor[:, keep] for factor in factors]
    left[0] = left[0] / (1 - p)
    return left


# %% answer="drop_cp" name="zeros everywhere, scale once"
# Every factor is masked, one is rescaled; a tuple.
def drop_cp(factors, keep, p):
    first, *rest = [factor * keep for factor in factors]
    return (first / (1 - p), *rest)


# %% answer="drop_cp" name="diagonal matrix"
# A product with a diagonal matrix.
def drop_cp(factors, keep, p):
    factors = list(factors)
    factors[0] = factors[0] @ torch.diag(keep.to(factors[0].dtype)) / (1.0 - p)
    return factors


# %% answer="drop_cp" name="columns of plain zeros"
# Where everything goes, no gradient reaches the first factor: it would be 0.
def drop_cp(factors, keep, p):
    first = factors[0]
    columns = [
        first[:, r] / (1 - p) if keep[r] else torch.zeros_like(first[:, r]) for r in range(len(keep))
    ]
    return [torch.stack(columns, 1)] + [f.clone() for f in factors[1:]]


# %% answer="drop_cp" name="all zeros if nothing stays"
# New zeros for all factors where everything goes.
def drop_cp(factors, keep, p):
    if not keep.any():
        return [torch.zeros_like(factor) for factor in factors]
    return [factors[0] * (keep.to(factors[0].dtype) / (1 - p)), *factors[1:]]


# %% answer="DropoutCP" name="einsum over the rebuilt weight"
# bernoulli and einsum.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if p < 0 or p >= 1:
            raise ValueError("p must be in [0, 1)")
        self.p = p
        for k, factor in enumerate(factors):
            self.register_parameter(f"factor{k}", nn.Parameter(factor.clone()))
        self.count = len(factors)

    def forward(self, x):
        factors = [getattr(self, f"factor{k}") for k in range(self.count)]
        rank = factors[0].shape[1]
        mask = torch.ones(rank, dtype=x.dtype)
        if self.training:
            mask = torch.bernoulli(torch.full((rank,), 1 - self.p, dtype=x.dtype)) / (1 - self.p)
        letters = "abcdefgh"[: self.count - 1]
        inputs = ",".join(letter + "r" for letter in letters)
        return torch.einsum(f"z{letters},{inputs},nr,r->zn", x, *factors, mask)


# %% answer="DropoutCP" name="nn.Dropout on the components"
# PyTorch's dropout on ones: a mask of the right values.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if p == 1:
            raise ValueError("p = 1")
        self.factors = nn.ParameterList(factors)
        self.drop = nn.Dropout(p)

    def forward(self, x):
        z = x
        mask = self.drop(torch.ones(self.factors[0].shape[1], dtype=x.dtype))
        z = torch.tensordot(z, self.factors[0] * mask, dims=([1], [0]))
        for factor in self.factors[1:-1]:
            z = (z * factor.unsqueeze(0).reshape(1, len(factor), *[1] * (z.ndim - 3), -1)).sum(1)
        return z @ self.factors[-1].T


# %% answer="really_drops" name="list of outputs"
# All outputs stacked.
def really_drops(layer, x):
    mode = layer.training
    with torch.no_grad():
        outputs = torch.stack([layer.train()(x) for _ in range(120)])
    layer.train(mode)
    return bool((outputs != outputs[0]).any())


# %% answer="really_drops" name="try and finally"
# Stops at the first difference.
def really_drops(layer, x):
    was_training = layer.training
    try:
        layer.train()
        first = layer(x)
        for _ in range(99):
            if not torch.allclose(layer(x), first):
                return True
        return False
    finally:
        if not was_training:
            layer.eval()


# %% answer="really_drops" name="a copy"
# A copy is asked, so that the layer's mode never changes; 66 passes.
def really_drops(layer, x):
    import copy

    layer = copy.deepcopy(layer).train()
    outputs = [layer(x) for _ in range(66)]
    return any(not torch.equal(output, outputs[0]) for output in outputs)


# %% answer="really_drops" name="pairs"
# Each pass against the one before, none made once one differs.
def really_drops(layer, x):
    modes = {module: module.training for module in layer.modules()}
    layer.train()
    last, found = layer(x), False
    for _ in range(80):
        now = layer(x)
        if (now != last).any():
            found = True
            break
        last = now
    for module, mode in modes.items():
        module.training = mode
    return found


# %% answer="drop_tucker" name="plain zeros"
# Columns one by one.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        old = factors[mode]
        columns = [
            old[:, r] / (1 - p) if keep[r] else torch.zeros_like(old[:, r]) for r in range(len(keep))
        ]
        factors[mode] = torch.stack(columns, 1)
    return core, factors


# %% answer="drop_tucker" name="the core masked"
# Slices of the core instead of columns.
def drop_tucker(core, factors, keeps, modes, p):
    for keep, mode in zip(keeps, modes):
        shape = [1] * core.ndim
        shape[mode] = -1
        core = core * keep.reshape(shape) / (1 - p)
    return core, factors


# %% answer="drop_tucker" name="scale in the core"
# Zeros in the factors, one scale in the core, a list.
def drop_tucker(core, factors, keeps, modes, p):
    kept = dict(zip(modes, keeps))
    out = [f * kept[k] if k in kept else f for k, f in enumerate(factors)]
    return [core / (1 - p) ** len(modes), out]


# %% answer="drop_tucker" name="columns left out"
# Core and factors become smaller.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        index = keep.nonzero().flatten()
        factors[mode] = factors[mode][:, index]
        core = core.index_select(mode, index) / (1 - p)
    return core, factors


# %% answer="drop_tucker" name="with drop_cp"
# One factor at a time by drop_cp.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for k, mode in enumerate(modes):
        (factors[mode],) = drop_cp([factors[mode]], keeps[k], p)
    return core, factors


# %% answer="keep_masks" name="binary digits"
# Count and read the digits; one product for the probability.
def keep_masks(rank, p):
    pairs = []
    for number in range(2**rank):
        keep = torch.tensor([bool(number >> r & 1) for r in range(rank)])
        pairs.append((keep, (keep.double() * (1 - 2 * p) + p).prod().item()))
    return pairs


# %% answer="keep_masks" name="recursion"
# One component more.
def keep_masks(rank, p):
    if rank == 0:
        return [(torch.zeros(0, dtype=torch.bool), 1.0)]
    pairs = []
    for keep, chance in keep_masks(rank - 1, p):
        pairs.append((torch.cat([keep, torch.tensor([True])]), chance * (1 - p)))
        pairs.append((torch.cat([keep, torch.tensor([False])]), chance * p))
    return pairs


# %% answer="expected_weight" name="mode by mode"
# Recursion over the modes.
def expected_weight(dropout, rank, p):
    def mean(keeps):
        if len(keeps) == len(rank):
            return dropout(keeps, p)
        return sum(chance * mean([*keeps, keep]) for keep, chance in keep_masks(rank[len(keeps)], p))

    return mean([])


# %% answer="expected_weight" name="one long mask"
# All modes at once, then split.
def expected_weight(dropout, rank, p):
    pairs = keep_masks(sum(rank), p)
    return torch.stack([chance * dropout(keep.split(rank), p) for keep, chance in pairs]).sum(0)


# %% answer="is_unbiased" name="largest difference"
# A bound on the largest difference.
def is_unbiased(dropout, weight, rank):
    worst = 0.0
    for p in [0, 0.001, 0.02, 0.07, 0.2, 0.4, 0.6, 0.85, 0.95]:
        worst = max(worst, (expected_weight(dropout, rank, p) - weight).abs().max().item())
    return worst < 1e-6


# %% answer="is_unbiased" name="all"
# One expression.
def is_unbiased(dropout, weight, rank):
    return all(
        torch.allclose(expected_weight(dropout, rank, p), weight, rtol=1e-4, atol=1e-6)
        for p in torch.linspace(0, 0.95, 11).tolist()
    )


# %% answer="is_unbiased" name="torch bool"
# A bool made of a tensor.
def is_unbiased(dropout, weight, rank):
    gaps = [(expected_weight(dropout, rank, p) - weight).norm() for p in (0.03, 0.3, 0.5, 0.9)]
    return bool(torch.stack(gaps).max() < 1e-8)


# %% answer="dropout_penalty" name="squares first"
# Squares of both parts, contracted.
def dropout_penalty(x, factors, p):
    z = x
    for k, factor in enumerate(factors[:-1]):
        if k == 0:
            z = torch.tensordot(z, factor, dims=([1], [0]))
        else:
            z = torch.einsum("zi...r,ir->z...r", z, factor)
    squares = z.square() @ factors[-1].square().T
    return squares.mean() * p / (1 - p)


# %% answer="dropout_penalty" name="loop"
# Component by component.
def dropout_penalty(x, factors, p):
    total = 0
    for r in range(factors[0].shape[1]):
        z = x
        for factor in factors[:-1]:
            z = torch.tensordot(z, factor[:, r], dims=([1], [0]))
        total = total + torch.outer(z, factors[-1][:, r]).pow(2).mean()
    return p / (1 - p) * total


# %% answer="dropout_penalty" name="all masks"
# The mean over all masks, less the loss without dropout.
def dropout_penalty(x, factors, p):
    def square(factors):
        joint = factors[0]
        for f in factors[1:-1]:
            joint = (joint.unsqueeze(1) * f).flatten(0, 1)
        return (x.flatten(1) @ joint @ factors[-1].T).square().mean()

    pairs = keep_masks(factors[0].shape[1], p)
    return sum(c * square(drop_cp(factors, keep, p)) for keep, c in pairs) - square(factors)
