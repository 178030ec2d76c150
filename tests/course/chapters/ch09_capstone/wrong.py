"""Wrong answers that only the rarer cases catch."""

# %% wrong="split_indices" name="blocks shuffled inside"
# Shuffled within each part only.
def split_indices(count, sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    parts = torch.arange(count).split(list(sizes))
    return [part[torch.randperm(len(part), generator=generator)] for part in parts]


# %% wrong="split_indices" name="train and validation exchanged"
# The sizes of the first two parts are exchanged.
def split_indices(count, sizes, seed):
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    validation, train, test = order.split([sizes[1], sizes[0], sizes[2]])
    return validation, train, test


# %% wrong="split_indices" name="masks"
# Boolean masks for indices.
def split_indices(count, sizes, seed):
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    masks = []
    for part in order.split(list(sizes)):
        mask = torch.zeros(count, dtype=torch.bool)
        mask[part] = True
        masks.append(mask)
    return masks


# %% wrong="split_indices" name="seeds Python"
# The random numbers of Python's own generator start anew.
def split_indices(count, sizes, seed):
    import random

    random.seed(seed)
    order = torch.tensor(random.sample(range(count), count))
    return order.split(list(sizes))


# %% wrong="split_indices" name="seeds numpy"
# Those of numpy.
def split_indices(count, sizes, seed):
    import numpy as np

    np.random.seed(seed)
    return torch.from_numpy(np.random.permutation(count)).split(list(sizes))


# %% wrong="mean_and_error" name="mean of squares"
# Equal scores have a variance a little below 0 in this way.
def mean_and_error(scores):
    n = len(scores)
    mean = sum(scores) / n
    variance = (sum(s * s for s in scores) / n - mean * mean) * n / (n - 1)
    return mean, math.sqrt(variance / n)


# %% wrong="mean_and_error" name="always three seeds"
# The root of three is written in.
def mean_and_error(scores):
    import statistics

    return statistics.mean(scores), statistics.stdev(scores) / math.sqrt(3)


# %% wrong="choose_trial" name="0 for none"
# None and position 0 are confused.
def choose_trial(trials, budget):
    best = 0
    for k, (size, v, _) in enumerate(trials):
        if size <= budget and (trials[best][0] > budget or v > trials[best][1]):
            best = k
    return best


# %% wrong="choose_trial" name="None for the first"
# Position 0 counts as false.
def choose_trial(trials, budget):
    fitting = [(-v, size, k) for k, (size, v, _) in enumerate(trials) if size <= budget]
    return (min(fitting)[2] or None) if fitting else None


# %% wrong="choose_trial" name="0 for nothing yet"
# Position 0 counts as nothing yet, so that the next trial takes its place.
def choose_trial(trials, budget):
    best = None
    for k, (size, v, _) in enumerate(trials):
        if size <= budget and (not best or (v, -size) > (trials[best][1], -trials[best][0])):
            best = k
    return best


# %% wrong="choose_trial" name="rounded"
# Accuracies are compared in whole percent.
def choose_trial(trials, budget):
    fitting = [k for k, trial in enumerate(trials) if trial[0] <= budget]
    return min(fitting, key=lambda k: (-round(trials[k][1], 2), trials[k][0]), default=None)


# %% wrong="choose_trial" name="a price for each parameter"
# A tie is broken by a small price, which also decides where there is none.
def choose_trial(trials, budget):
    fitting = [k for k, trial in enumerate(trials) if trial[0] <= budget]
    return max(fitting, key=lambda k: trials[k][1] - 1e-6 * trials[k][0], default=None)


# %% wrong="choose_trial" name="better than nothing"
# A trial that is right on no digit is never taken.
def choose_trial(trials, budget):
    best, highest, least = None, 0.0, 0
    for k, (size, v, _) in enumerate(trials):
        if size <= budget and (v > highest or (v == highest and size < least)):
            best, highest, least = k, v, size
    return best


# %% wrong="pareto_front" name="one for each size"
# The best of each size.
def pareto_front(points):
    return [k for k, p in enumerate(points) if p[1] == max(a for s, a in points if s == p[0])]


# %% wrong="prune_within" name="no default"
# Where no tolerance fits, there is nothing to take the least of.
def prune_within(trl, x, most, tols):
    training = trl.training
    with torch.no_grad():
        exact = trl.eval()(x)
        layers = [trl.prune(tol).eval() for tol in tols]
        fits = [layer for layer in layers if (layer(x) - exact).abs().max() <= most]
    trl.train(training)
    return min(fits, key=lambda layer: sum(p.numel() for p in layer.parameters()))


# %% wrong="prune_within" name="a copy for itself"
# Where no tolerance fits, a copy is returned.
def prune_within(trl, x, most, tols):
    import copy

    training = trl.training
    with torch.no_grad():
        exact = trl.eval()(x)
        layers = [trl.prune(tol).eval() for tol in tols]
        fits = [layer for layer in layers if (layer(x) - exact).abs().max() <= most]
    trl.train(training)
    fits.append(copy.deepcopy(trl))
    return min(fits, key=lambda layer: sum(p.numel() for p in layer.parameters()))


# %% wrong="prune_within" name="allclose with its own tolerance"
# torch.allclose adds a share of the output to what is allowed.
def prune_within(trl, x, most, tols):
    training = trl.training
    with torch.no_grad():
        exact = trl.eval()(x)
        layers = [trl.prune(tol).eval() for tol in tols]
        fits = [layer for layer in layers if torch.allclose(layer(x), exact, atol=most)]
    trl.train(training)
    return min(fits, key=lambda m: sum(p.numel() for p in m.parameters()), default=trl)


# %% wrong="prune_within" name="the first sample"
# Only the first sample is compared.
def prune_within(trl, x, most, tols):
    training = trl.training
    with torch.no_grad():
        exact = trl.eval()(x)
        layers = [trl.prune(tol).eval() for tol in tols]
        fits = [m for m in layers if (m(x) - exact)[:1].abs().max() <= most]
    trl.train(training)
    return min(fits, key=lambda m: sum(p.numel() for p in m.parameters()), default=trl)


# %% wrong="prune_within" name="frozen"
# The layer's parameters no longer learn.
def prune_within(trl, x, most, tols):
    trl.requires_grad_(False)
    training = trl.training
    with torch.no_grad():
        exact = trl.eval()(x)
        layers = [trl.prune(tol).eval() for tol in tols]
        fits = [m for m in layers if (m(x) - exact).abs().max() <= most]
    trl.train(training)
    return min(fits, key=lambda m: sum(p.numel() for p in m.parameters()), default=trl)


# %% wrong="prune_within" name="no gradients any more"
# Gradients stay switched off for the whole session.
def prune_within(trl, x, most, tols):
    torch.set_grad_enabled(False)
    training = trl.training
    with torch.no_grad():
        exact = trl.eval()(x)
        layers = [trl.prune(tol).eval() for tol in tols]
        fits = [m for m in layers if (m(x) - exact).abs().max() <= most]
    trl.train(training)
    return min(fits, key=lambda m: sum(p.numel() for p in m.parameters()), default=trl)


# %% wrong="light_head" name="a new wrapper"
# A new Sequential each time, around one and the same layer.
_core = []


def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    if not _core or _core[0].input_shape != tuple(input_shape):
        _core[:] = [CPTRL(input_shape, num_classes, rank=10)]
    return nn.Sequential(_core[0])


# %% wrong="light_head" name="a copied template"
# The same first weights for each seed.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CPTRL(input_shape, num_classes, rank=10)


# %% wrong="light_head" name="one bias for all"
# A parameter that all heads have in common.
_bias = nn.Parameter(torch.zeros(10))


def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    head = CPTRL(input_shape, num_classes, rank=10)
    if num_classes == 10:
        head.bias = _bias
    return head


# %% wrong="light_head" name="sigmoid"
# A sigmoid at the end.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    return nn.Sequential(CPTRL(input_shape, num_classes, rank=10), nn.Sigmoid())


# %% wrong="light_head" name="minus the mean of the batch"
# A prediction depends on its neighbors.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    class Head(CPTRL):
        def forward(self, x):
            return super().forward(x - x.mean(0))

    return Head(input_shape, num_classes, rank=10)


# %% wrong="light_head" name="too large by a buffer"
# What a head keeps as a buffer counts too.
def light_head(input_shape, num_classes):
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            size = math.prod(input_shape)
            self.register_buffer("mix", torch.randn(size, 30, generator=generator) / 16)
            self.linear = nn.Linear(30, num_classes)

        def forward(self, x):
            return self.linear(x.flatten(1) @ self.mix)

    return Head()


# %% wrong="accurate_head" name="log-probabilities"
# A log-softmax at the end.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL

    return nn.Sequential(CPTRL(input_shape, num_classes, rank=24), nn.LogSoftmax(dim=1))


# %% wrong="accurate_head" name="labels"
# The class in place of a number for each.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL

    class Head(CPTRL):
        def forward(self, x):
            return super().forward(x).argmax(1)

    return Head(input_shape, num_classes, rank=24)


# %% wrong="accurate_head" name="the light head"
# Good for a third of the numbers, and not accurate enough.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=9)


# %% wrong="sturdy_head" name="Tucker without dropout"
# As large as the budget allows, and nothing dropped.
def sturdy_head(input_shape, num_classes):
    from trlkit import TuckerTRL

    return TuckerTRL(input_shape, num_classes, rank=(8, 4, 4, num_classes))


# %% wrong="sturdy_head" name="a softmax without slope"
# Outputs so large that the loss has no gradient.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL

    class Head(CPTRL):
        def forward(self, x):
            y = super().forward(x)
            return y if self.training else 1e4 * y

    return Head(input_shape, num_classes, rank=46)


# %% wrong="sturdy_head" name="Tucker with much dropout"
# The masks of four modes multiply.
def sturdy_head(input_shape, num_classes):
    from trlkit import TuckerTRL

    return TuckerTRL(input_shape, num_classes, rank=(8, 4, 4, 10), dropout=0.4)
