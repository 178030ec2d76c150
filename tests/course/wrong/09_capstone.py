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


# %% wrong="pareto_front" name="rising accuracy"
# The sweep leaves out the second of two equal points.
def pareto_front(points):
    front, best = [], -1.0
    for k in sorted(range(len(points)), key=lambda k: (points[k][0], -points[k][1])):
        if points[k][1] > best:
            front.append(k)
            best = points[k][1]
    return sorted(front)


# %% wrong="pareto_front" name="one for each size"
# The best of each size.
def pareto_front(points):
    return [k for k, p in enumerate(points) if p[1] == max(a for s, a in points if s == p[0])]


# %% wrong="prune_within" name="always back to training mode"
# The layer in eval mode ends in training mode.
def prune_within(trl, x, most, tols):
    best = trl
    exact = trl.eval()(x)
    for tol in sorted(tols):
        pruned = trl.prune(tol)
        if (pruned(x) - exact).abs().max() <= most:
            best = pruned
    trl.train()
    return best


# %% wrong="prune_within" name="relative to the largest output"
# The change is taken relative to the outputs.
def prune_within(trl, x, most, tols):
    training, best = trl.training, trl
    exact = trl.eval()(x)
    for tol in sorted(tols):
        pruned = trl.prune(tol).eval()
        if (pruned(x) - exact).abs().max() / exact.abs().max() <= most:
            best = pruned
    trl.train(training)
    return best


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


# %% wrong="sturdy_head" name="Tucker with much dropout"
# The masks of four modes multiply.
def sturdy_head(input_shape, num_classes):
    from trlkit import TuckerTRL

    return TuckerTRL(input_shape, num_classes, rank=(8, 4, 4, 10), dropout=0.4)
