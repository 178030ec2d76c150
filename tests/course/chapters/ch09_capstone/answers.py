"""Right answers of chapter 09 that are not the course's own."""

# %% answer="split_indices" name="slices"
# Slices of one permutation.
def split_indices(count, sizes, seed):
    generator = torch.Generator()
    generator.manual_seed(seed)
    order = torch.randperm(count, generator=generator)
    a, b, _ = sizes
    return [order[:a], order[a : a + b], order[a + b :]]


# %% answer="split_indices" name="random.Random, sorted"
# A generator of Python's; each part sorted, which does no harm.
def split_indices(count, sizes, seed):
    import random

    order = list(range(count))
    random.Random(seed).shuffle(order)
    parts = []
    for size in sizes:
        parts.append(torch.tensor(sorted(order[:size])))
        order = order[size:]
    return tuple(parts)


# %% answer="split_indices" name="numpy"
# numpy's generator.
def split_indices(count, sizes, seed):
    import numpy as np

    order = np.random.default_rng(seed).permutation(count)
    cuts = np.cumsum(sizes)[:-1]
    return tuple(torch.from_numpy(part) for part in np.split(order, cuts))


# %% answer="mean_and_error" name="statistics"
# The standard library.
def mean_and_error(scores):
    import statistics

    return statistics.mean(scores), (statistics.variance(scores) / len(scores)) ** 0.5


# %% answer="mean_and_error" name="torch"
# torch divides by n - 1.
def mean_and_error(scores):
    scores = torch.tensor(scores, dtype=torch.float64)
    return scores.mean().item(), (scores.std() / math.sqrt(len(scores))).item()


# %% answer="choose_trial" name="key"
# One min with a key of three.
def choose_trial(trials, budget):
    fitting = [(-v, size, k) for k, (size, v, _) in enumerate(trials) if size <= budget]
    return min(fitting)[2] if fitting else None


# %% answer="choose_trial" name="two sorts"
# Sorting is stable: the less important key first.
def choose_trial(trials, budget):
    order = sorted(range(len(trials)), key=lambda k: trials[k][0])
    order = sorted(order, key=lambda k: trials[k][1], reverse=True)
    for k in order:
        if trials[k][0] <= budget:
            return k


# %% answer="pareto_front" name="sweep"
# Sorted by size, the front is where the accuracy rises.
def pareto_front(points):
    front, best = [], None
    for k in sorted(range(len(points)), key=lambda k: (points[k][0], -points[k][1])):
        if best is None or points[k][1] > best[1] or points[k] == best:
            front.append(k)
            best = points[k]
    return sorted(front)


# %% answer="pareto_front" name="not equal"
# No worse in both and not the same.
def pareto_front(points):
    front = []
    for k, point in enumerate(points):
        beaten = False
        for other in points:
            if other[0] <= point[0] and other[1] >= point[1] and other != point:
                beaten = True
        if not beaten:
            front.append(k)
    return tuple(front)


# %% answer="prune_within" name="smallest first"
# From the largest tolerance down: the first that fits is the smallest.
def prune_within(trl, x, most, tols):
    training = trl.training
    trl.eval()
    try:
        with torch.no_grad():
            exact = trl(x)
            for tol in sorted(tols, reverse=True):
                pruned = trl.prune(tol)
                if torch.all((pruned(x) - exact).abs() <= most):
                    return pruned
        return trl
    finally:
        trl.train(training)


# %% answer="prune_within" name="a copy in eval mode"
# The layer that was given is never touched.
def prune_within(trl, x, most, tols):
    import copy

    still = copy.deepcopy(trl).eval()
    layers = [trl] + [still.prune(tol) for tol in tols]
    fitting = [
        layer
        for layer in layers
        if layer is trl or torch.allclose(layer(x), still(x), rtol=0, atol=most)
    ]
    return min(fitting, key=lambda layer: sum(p.numel() for p in layer.parameters()))


# %% answer="light_head" name="by hand"
# A module of one's own around one einsum.
class light_head(nn.Module):
    def __init__(self, input_shape, num_classes):
        super().__init__()
        sizes = (*input_shape, num_classes)
        draws = (torch.randn(size, 10) * 0.2 for size in sizes)
        self.factors = nn.ParameterList(nn.Parameter(draw) for draw in draws)
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return torch.einsum("bchw,cr,hr,wr,nr->bn", x, *self.factors) + self.bias


# %% answer="light_head" name="CP by its budget"
# The bias is taken off the budget.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL, rank_for_budget

    rank = rank_for_budget(input_shape, num_classes, "cp", max_params=350 - num_classes)
    return CPTRL(input_shape, num_classes, rank)


# %% answer="accurate_head" name="CP"
# Rank 26 of CP.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=26)


# %% answer="accurate_head" name="TCL and Linear"
# A contraction layer, then a full linear layer on the small core: a Tucker TRL in two steps.
def accurate_head(input_shape, num_classes):
    from trlkit import TCL

    rank = (8, 3, 3)
    return nn.Sequential(
        TCL(input_shape, rank, bias=False), nn.Flatten(), nn.Linear(math.prod(rank), num_classes)
    )


# %% answer="sturdy_head" name="CP, three tenths dropped"
# A high rank and three tenths of it dropped.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=46, dropout=0.3)


# %% answer="sturdy_head" name="ordinary dropout"
# Entries of the activation are dropped in place of components.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL

    return nn.Sequential(nn.Dropout(0.3), CPTRL(input_shape, num_classes, rank=46))


# %% answer="sturdy_head" name="a class"
# A module of one's own around the layer.
class sturdy_head(nn.Module):
    def __init__(self, input_shape, num_classes):
        from trlkit import CPTRL

        super().__init__()
        self.trl = CPTRL(input_shape, num_classes, rank=44, dropout=0.3)

    def forward(self, x):
        return self.trl(x)
