"""Wrong answers that only the rarer cases catch."""

# %% wrong="drop_cp" name="two factors rescaled"
# Right in scale for two factors if each gets the root; not for three.
def drop_cp(factors, keep, p):
    return [factor * keep / (1 - p) ** 0.5 for factor in factors]


# %% wrong="drop_cp" name="columns unless none"
# Where everything goes the first component stays.
def drop_cp(factors, keep, p):
    if not keep.any():
        keep = torch.arange(len(keep)) == 0
    return [factors[0] * keep / (1 - p), *factors[1:]]


# %% wrong="drop_cp" name="scale only if something went"
# No scale where everything stays.
def drop_cp(factors, keep, p):
    scale = 1 if keep.all() else 1 / (1 - p)
    return [factors[0] * keep * scale, *factors[1:]]


# %% wrong="drop_cp" name="in place"
# Changes the factor that it got.
def drop_cp(factors, keep, p):
    with torch.no_grad():
        factors[0][:, ~keep] = 0
    return [factors[0] / (1 - p), *factors[1:]]


# %% wrong="DropoutCP" name="one left"
# Keeps a component where all would go.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            keep = torch.rand(factors[0].shape[1]) >= self.p
            if not keep.any():
                keep[0] = True
            factors = drop_cp(factors, keep, self.p)
        joint = factors[0]
        for f in factors[1:-1]:
            joint = (joint.unsqueeze(1) * f).flatten(0, 1)
        return x.flatten(1) @ joint @ factors[-1].T


# %% wrong="DropoutCP" name="one coin for all"
# All components share one coin.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            factors = drop_cp(factors, (torch.rand(1) >= self.p).expand(factors[0].shape[1]), self.p)
        joint = factors[0]
        for f in factors[1:-1]:
            joint = (joint.unsqueeze(1) * f).flatten(0, 1)
        return x.flatten(1) @ joint @ factors[-1].T


# %% wrong="DropoutCP" name="p = 1 taken for all"
# Only p above 1 is refused.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if p > 1 or p < 0:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
        joint = factors[0]
        for f in factors[1:-1]:
            joint = (joint.unsqueeze(1) * f).flatten(0, 1)
        return x.flatten(1) @ joint @ factors[-1].T


# %% wrong="DropoutCP" name="detached"
# No gradient reaches the factors.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = [f.data for f in self.factors[:-1]] + [self.factors[-1]]
        if self.training:
            factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
        joint = factors[0]
        for f in factors[1:-1]:
            joint = (joint.unsqueeze(1) * f).flatten(0, 1)
        return x.flatten(1) @ joint @ factors[-1].T


# %% wrong="DropoutCP" name="two input modes at most"
# A third one is not thought of.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
        if len(factors) == 2:
            return x @ factors[0] @ factors[1].T
        return torch.einsum("bij,ir,jr,nr->bn", x, *factors)


# %% wrong="DropoutCP" name="mask in float32"
# Seven digits of fifteen.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            keep = torch.rand(factors[0].shape[1]) >= self.p
            factors[0] = factors[0] * (keep / (1 - self.p))
        joint = factors[0]
        for f in factors[1:-1]:
            joint = (joint.unsqueeze(1) * f).flatten(0, 1)
        return x.flatten(1) @ joint @ factors[-1].T


# %% wrong="DropoutCP" name="x in float32"
# The batch loses digits on the way.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
        joint = factors[0]
        for f in factors[1:-1]:
            joint = (joint.unsqueeze(1) * f).flatten(0, 1)
        return x.float().to(joint.dtype).flatten(1) @ joint @ factors[-1].T


# %% wrong="DropoutCP" name="p above 1 taken"
# Only p = 1 itself is refused.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if p < 0 or p == 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
        joint = factors[0]
        for f in factors[1:-1]:
            joint = (joint.unsqueeze(1) * f).flatten(0, 1)
        return x.flatten(1) @ joint @ factors[-1].T


# %% wrong="DropoutCP" name="a bias"
# A parameter that is no factor.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p
        self.bias = nn.Parameter(torch.zeros(len(factors[-1]), dtype=factors[-1].dtype))

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
        joint = factors[0]
        for f in factors[1:-1]:
            joint = (joint.unsqueeze(1) * f).flatten(0, 1)
        return x.flatten(1) @ joint @ factors[-1].T + self.bias


# %% wrong="DropoutCP" name="seeded"
# The same random numbers in every pass.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            torch.manual_seed(0)
            factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
        joint = factors[0]
        for f in factors[1:-1]:
            joint = (joint.unsqueeze(1) * f).flatten(0, 1)
        return x.flatten(1) @ joint @ factors[-1].T


# %% wrong="really_drops" name="thirty passes"
# Too few for p = 0.1, though they often find it.
def really_drops(layer, x):
    before = layer.training
    layer.train()
    first = layer(x)
    found = any(not torch.equal(layer(x), first) for _ in range(30))
    layer.train(before)
    return found


# %% wrong="really_drops" name="one too few"
# 65 passes in all.
def really_drops(layer, x):
    before = layer.training
    layer.train()
    outputs = torch.stack([layer(x) for _ in range(65)])
    layer.train(before)
    return bool((outputs != outputs[0]).any())


# %% wrong="really_drops" name="training set by hand"
# The layer alone is put in training mode; what is inside stays in eval mode.
def really_drops(layer, x):
    before, layer.training = layer.training, True
    first = layer(x)
    found = any(not torch.equal(layer(x), first) for _ in range(100))
    layer.training = before
    return found


# %% wrong="really_drops" name="ten passes"
# Too few for p = 0.1.
def really_drops(layer, x):
    before = layer.training
    layer.train()
    first = layer(x)
    found = any(not torch.equal(layer(x), first) for _ in range(3))
    layer.train(before)
    return found


# %% wrong="really_drops" name="left in eval mode"
# Always eval afterwards.
def really_drops(layer, x):
    layer.train()
    first = layer(x)
    found = any(not torch.equal(layer(x), first) for _ in range(100))
    layer.eval()
    return found


# %% wrong="drop_tucker" name="first modes skipped"
# Modes of size 1 are found by size.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep in keeps:
        mode = [f.shape[1] for f in factors].index(len(keep))
        factors[mode] = factors[mode] * keep / (1 - p)
    return core, factors


# %% wrong="drop_tucker" name="no mode, still scaled"
# With no mode a scale is left.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        factors[mode] = factors[mode] * keep
    return core / (1 - p) ** max(1, len(modes)), factors


# %% wrong="drop_tucker" name="in place"
# Writes into the list that it was given.
def drop_tucker(core, factors, keeps, modes, p):
    for keep, mode in zip(keeps, modes):
        factors[mode] = factors[mode] * keep / (1 - p)
    return core, factors


# %% wrong="keep_masks" name="duplicates"
# Every mask twice with half its probability.
def keep_masks(rank, p):
    pairs = []
    for number in range(2**rank):
        keep = torch.tensor([bool(number >> r & 1) for r in range(rank)])
        kept = int(keep.sum())
        pairs += [(keep, 0.5 * (1 - p) ** kept * p ** (rank - kept))] * 2
    return pairs


# %% wrong="keep_masks" name="scaled masks"
# Numbers instead of bools.
def keep_masks(rank, p):
    pairs = []
    for number in range(2**rank):
        keep = torch.tensor([bool(number >> r & 1) for r in range(rank)])
        kept = int(keep.sum())
        pairs.append((keep / (1 - p), (1 - p) ** kept * p ** (rank - kept)))
    return pairs


# %% wrong="expected_weight" name="all dropped left out"
# The mask of Falses is left out.
def expected_weight(dropout, rank, p):
    import itertools

    total = 0
    for pairs in itertools.product(*[keep_masks(r, p) for r in rank]):
        if all(keep.any() for keep, _ in pairs):
            chance = math.prod(c for _, c in pairs)
            total = total + chance * dropout([k for k, _ in pairs], p)
    return total


# %% wrong="expected_weight" name="right by definition"
# Believes that every dropout is unbiased.
def expected_weight(dropout, rank, p):
    return dropout([torch.ones(r, dtype=torch.bool) for r in rank], 0.0)


# %% wrong="expected_weight" name="drawn"
# Draws masks at random.
def expected_weight(dropout, rank, p):
    draws = [dropout([torch.rand(r) >= p for r in rank], p) for _ in range(1000)]
    return sum(draws) / len(draws)


# %% wrong="is_unbiased" name="always True"
# Trusts everyone.
def is_unbiased(dropout, weight, rank):
    return True


# %% wrong="is_unbiased" name="always False"
# Trusts no one.
def is_unbiased(dropout, weight, rank):
    return False


# %% wrong="is_unbiased" name="everything stays"
# Looks at the mask that keeps everything.
def is_unbiased(dropout, weight, rank):
    keeps = [torch.ones(r, dtype=torch.bool) for r in rank]
    p = 0.5
    return torch.allclose(dropout(keeps, p) * (1 - p) ** len(rank), weight)


# %% wrong="is_unbiased" name="norms compared"
# A rotation would pass; at these p it lets nothing else through but a shifted weight is caught.
def is_unbiased(dropout, weight, rank):
    return all(
        abs(expected_weight(dropout, rank, p).norm() / weight.norm() - 1) < 0.2
        for p in (0.05, 0.3, 0.5, 0.9)
    )


# %% wrong="is_unbiased" name="no abs, too small"
# Says True of what is too small.
def is_unbiased(dropout, weight, rank):
    for p in (0.03, 0.05, 0.3, 0.5, 0.85, 0.95):
        mean = expected_weight(dropout, rank, p)
        if not (mean - weight).max() < 1e-8:
            return False
    return True


# %% wrong="is_unbiased" name="no abs, too large"
# Says True of what is too large.
def is_unbiased(dropout, weight, rank):
    for p in (0.03, 0.05, 0.3, 0.5, 0.85, 0.95):
        mean = expected_weight(dropout, rank, p)
        if not (weight - mean).max() < 1e-8:
            return False
    return True


# %% wrong="is_unbiased" name="close norms"
# Rows in other places.
def is_unbiased(dropout, weight, rank):
    for p in (0.03, 0.05, 0.3, 0.5, 0.85, 0.95):
        mean = expected_weight(dropout, rank, p)
        if not torch.allclose(mean.norm(), weight.norm()):
            return False
    return True


# %% wrong="is_unbiased" name="norm and sum"
# Rows in other places keep both.
def is_unbiased(dropout, weight, rank):
    for p in (0.03, 0.05, 0.3, 0.5, 0.85, 0.95):
        mean = expected_weight(dropout, rank, p)
        if not (torch.allclose(mean.norm(), weight.norm()) and torch.allclose(mean.sum(), weight.sum())):
            return False
    return True


# %% wrong="is_unbiased" name="off by a hundredth"
# A small bias is lost.
def is_unbiased(dropout, weight, rank):
    for p in (0.03, 0.05, 0.3, 0.5, 0.85, 0.95):
        mean = expected_weight(dropout, rank, p)
        if not (mean - weight).abs().max() < 1e-2:
            return False
    return True


# %% wrong="is_unbiased" name="off by a thousandth"
# A small bias is lost.
def is_unbiased(dropout, weight, rank):
    for p in (0.03, 0.05, 0.3, 0.5, 0.85, 0.95):
        mean = expected_weight(dropout, rank, p)
        if not (mean - weight).norm() < 1e-3 * weight.norm():
            return False
    return True


# %% wrong="is_unbiased" name="p in 0.05, 0.85"
# Nothing between 0.2 and 0.45.
def is_unbiased(dropout, weight, rank):
    for p in (0.05, 0.85):
        mean = expected_weight(dropout, rank, p)
        if not torch.allclose(mean, weight):
            return False
    return True


# %% wrong="is_unbiased" name="p in 0.01, 0.99"
# Nothing between 0.2 and 0.45.
def is_unbiased(dropout, weight, rank):
    for p in (0.01, 0.99):
        mean = expected_weight(dropout, rank, p)
        if not torch.allclose(mean, weight):
            return False
    return True


# %% wrong="is_unbiased" name="p in 0.001, 0.999"
# Nothing between 0.2 and 0.45.
def is_unbiased(dropout, weight, rank):
    for p in (0.001, 0.999):
        mean = expected_weight(dropout, rank, p)
        if not torch.allclose(mean, weight):
            return False
    return True


# %% wrong="is_unbiased" name="p in 0.09, 0.5, 0.81"
# Nothing between 0.2 and 0.45.
def is_unbiased(dropout, weight, rank):
    for p in (0.09, 0.5, 0.81):
        mean = expected_weight(dropout, rank, p)
        if not torch.allclose(mean, weight):
            return False
    return True


# %% wrong="is_unbiased" name="any of six"
# One p that comes out right is enough.
def is_unbiased(dropout, weight, rank):
    return any(
        torch.allclose(expected_weight(dropout, rank, p), weight)
        for p in (0.05, 0.2, 0.3, 0.5, 0.7, 0.9)
    )


# %% wrong="is_unbiased" name="the first p decides"
# Returns in the first round.
def is_unbiased(dropout, weight, rank):
    for p in (0.05, 0.3, 0.5, 0.9):
        return torch.allclose(expected_weight(dropout, rank, p), weight)


# %% wrong="dropout_penalty" name="two input modes"
# Only the first two input factors.
def dropout_penalty(x, factors, p):
    joint = (factors[0].unsqueeze(1) * factors[1]).flatten(0, 1)
    c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
    return p / (1 - p) * c.square().sum(2).mean()


# %% wrong="dropout_penalty" name="detached"
# No gradient reaches the factors.
def dropout_penalty(x, factors, p):
    joint = factors[0]
    for f in factors[1:-1]:
        joint = (joint.unsqueeze(1) * f).flatten(0, 1)
    c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
    return p / (1 - p) * c.detach().square().sum(2).mean()
