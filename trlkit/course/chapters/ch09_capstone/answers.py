"""Known answers of chapter 09."""

# %% right="split_indices"
def split_indices(count, sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator).split(list(sizes))

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

# %% mistake="split_indices" name="not shuffled"
# You cut the data where they lie. Folders of images come sorted by class: then the test set
# holds classes that were never trained on.
# Look at: the order of the indices before you cut.
def split_indices(count, sizes, seed):
    return torch.arange(count).split(list(sizes))

# %% mistake="split_indices" name="shuffled three times"
# You shuffled anew for each part, so that most test samples are in the training set too.
# Look at: how many permutations you draw. One is to be cut in three.
#- return torch.randperm(count, generator=generator).split(list(sizes))
#+ return [torch.randperm(count, generator=generator)[:size] for size in sizes]

# %% mistake="split_indices" name="drawn with replacement"
# You drew each index by itself, so that some come twice and others never.
# Look at: the difference between drawing numbers and shuffling them.
#- return torch.randperm(count, generator=generator).split(list(sizes))
#+ return [torch.randint(0, count, (size,), generator=generator) for size in sizes]

# %% mistake="split_indices" name="no seed"
# Your split is another one each time, so that yesterday's test samples are trained on today.
# Look at: where `seed` is used.
def split_indices(count, sizes, seed):
    return torch.randperm(count).split(list(sizes))

# %% mistake="split_indices" name="fixed seed"
# Your split is the same whatever `seed` is.
# Look at: which number your generator starts from.
#- (seed
#+ (0

# %% mistake="split_indices" name="seeds the session"
# Your split moves random numbers of the whole session: what is drawn from them after it is then
# decided by it too. Seeding torch's gives every network the same first weights: ten runs are one.
# Look at: torch.Generator, a generator of your own.
def split_indices(count, sizes, seed):
    torch.manual_seed(seed)
    return torch.randperm(count).split(list(sizes))

# %% mistake="split_indices" name="test within validation"
# Your test set begins where the validation set begins, so the two share samples.
# Look at: the index at which each part starts: it is the sum of the sizes before it.
def split_indices(count, sizes, seed):
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    a, b, c = sizes
    return order[:a], order[a : a + b], order[a : a + c]

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

# %% wrong="split_indices" name="seeds the session and seeds it back"
# torch.initial_seed() is where the session began, not where it is.
def split_indices(count, sizes, seed):
    old = torch.initial_seed()
    torch.manual_seed(seed)
    order = torch.randperm(count)
    torch.manual_seed(old)
    return order.split(list(sizes))

# %% wrong="split_indices" name="the rest in order"
# Drawn for training only: what is left is cut where it lies.
def split_indices(count, sizes, seed):
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    train, rest = order[: sizes[0]], order[sizes[0] :].sort().values
    return train, rest[: sizes[1]], rest[sizes[1] :]

# %% wrong="split_indices" name="the last so many"
# Of no test samples, the last -0 are all.
def split_indices(count, sizes, seed):
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    a, b, c = sizes
    return order[:a], order[a : a + b], order[-c:]

# %% right="choose_trial"
def choose_trial(trials, budget):
    fitting = [k for k, (parameters, _, _) in enumerate(trials) if parameters <= budget]
    return min(fitting, key=lambda k: (-trials[k][1], trials[k][0]), default=None)

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

# %% mistake="choose_trial" name="by the test set"
# You chose by the test accuracy. From then on it says nothing about new images: it is the
# highest of several, so it is too high.
# Look at: which of the three numbers of a trial your comparison reads.
#- [1
#+ [2

# %% mistake="choose_trial" name="budget ignored"
# You took the best of all trials, whether it fits the budget or not.
# Look at: where `budget` is used.
def choose_trial(trials, budget):
    return min(range(len(trials)), key=lambda k: (-trials[k][1], trials[k][0]), default=None)

# %% mistake="choose_trial" name="below the budget"
# You left out the trial that has exactly as many parameters as the budget allows.
# Look at: the comparison with the budget.
#- (parameters, _, _) in enumerate(trials) if parameters <=
#+ trial in enumerate(trials) if trial[0] <

# %% mistake="choose_trial" name="first of equals"
# Of trials with the same validation accuracy you took the first, whatever its size.
# Look at: how ties are decided.
#- return min(fitting, key=lambda k: (-trials[k][1], trials[k][0]), default=None)
#+ return max(fitting, key=lambda k: (trials[k][1], -k), default=None)

# %% mistake="choose_trial" name="last of equals"
# Of trials with the same validation accuracy you took the last, whatever its size.
# Look at: how ties are decided.
#- return min(fitting, key=lambda k: (-trials[k][1], trials[k][0]), default=None)
#+ return max(fitting, key=lambda k: (trials[k][1], k), default=None)

# %% mistake="choose_trial" name="largest of equals"
# Of trials with the same validation accuracy you took the largest.
# Look at: which way each of the two numbers is better.
#- return min(fitting, key=lambda k: (-trials[k][1], trials[k][0]), default=None)
#+ return max(fitting, key=lambda k: (trials[k][1], trials[k][0]), default=None)

# %% mistake="choose_trial" name="ties by the test set"
# Of trials with the same validation accuracy you took that with the highest test accuracy. Even a
# tie decided by the test set is a look at it. (So does `max` of whole tuples.)
# Look at: what decides where the validation accuracies are equal.
#- return min(fitting, key=lambda k: (-trials[k][1], trials[k][0]), default=None)
#+ return max(fitting, key=lambda k: trials[k][1:], default=None)

# %% mistake="choose_trial" name="best of all, then the budget"
# You took the best of all trials, and asked only then whether it fits: if not, you have none.
# Look at: which trials your comparison should see at all.
def choose_trial(trials, budget):
    best = min(range(len(trials)), key=lambda k: (-trials[k][1], trials[k][0]))
    return best if trials[best][0] <= budget else None

# %% mistake="choose_trial" name="smallest"
# You took the smallest trial. Within the budget, size costs nothing: the accuracy decides.
# Look at: what is compared first.
#- -trials[k][1], trials[k][0
#+ trials[k][0], -trials[k][1

# %% mistake="choose_trial" name="largest that fits"
# You took the trial that fills the budget best. More parameters are not more accuracy.
# Look at: what is compared first.
#- return min(fitting, key=lambda k: (-trials[k][1], trials[k][0]), default=None)
#+ return max(fitting, key=lambda k: trials[k][0], default=None)

# %% mistake="choose_trial" name="place among those that fit"
# You returned the place in the shorter list of trials that fit, not in `trials`.
# Look at: what your index counts.
def choose_trial(trials, budget):
    fitting = [trial for trial in trials if trial[0] <= budget]
    if not fitting:
        return None
    return fitting.index(min(fitting, key=lambda trial: (-trial[1], trial[0])))

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

# %% wrong="choose_trial" name="found again by its size"
# Of two trials of one size the first is meant, whatever its accuracy.
def choose_trial(trials, budget):
    fitting = [(-v, size) for size, v, _ in trials if size <= budget]
    return [size for size, _, _ in trials].index(min(fitting)[1]) if fitting else None

# %% wrong="choose_trial" name="found again by its accuracy"
# Of two trials of one accuracy the first is meant, whatever its size.
def choose_trial(trials, budget):
    fitting = [v for size, v, _ in trials if size <= budget]
    return [v for _, v, _ in trials].index(max(fitting)) if fitting else None

# %% wrong="choose_trial" name="rounded"
# Accuracies are compared in whole percent.
#- trials[k][1]
#+ round(trials[k][1], 2)

# %% wrong="choose_trial" name="a price for each parameter"
# A tie is broken by a small price, which also decides where there is none.
#- return min(fitting, key=lambda k: (-trials[k][1], trials[k][0]), default=None)
#+ return max(fitting, key=lambda k: trials[k][1] - 1e-6 * trials[k][0], default=None)

# %% wrong="choose_trial" name="better than nothing"
# A trial that is right on no digit is never taken.
def choose_trial(trials, budget):
    best, highest, least = None, 0.0, 0
    for k, (size, v, _) in enumerate(trials):
        if size <= budget and (v > highest or (v == highest and size < least)):
            best, highest, least = k, v, size
    return best

# %% right="pareto_front"
def pareto_front(points):
    def beats(one, other):
        return one[0] <= other[0] and one[1] >= other[1] and one != other

    return [k for k, point in enumerate(points) if not any(beats(p, point) for p in points)]

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

# %% mistake="pareto_front" name="both must be better"
# You removed a point only where another is better in *both* numbers. One that is as accurate and
# larger, or as large and less accurate, then stays.
# Look at: when one point beats another that it equals in one number.
def pareto_front(points):
    return [
        k
        for k, (size, share) in enumerate(points)
        if not any(s < size and a > share for s, a in points)
    ]

# %% mistake="pareto_front" name="equals remove each other"
# You let a point be beaten by one that is exactly equal. Two equal points then remove each
# other, although nothing is better than they are.
# Look at: what must be strictly better for a point to be beaten.
def pareto_front(points):
    return [
        k
        for k, (size, share) in enumerate(points)
        if not any(s <= size and a >= share for m, (s, a) in enumerate(points) if m != k)
    ]

# %% mistake="pareto_front" name="beaten by itself"
# You compare each point with itself too, and "no larger, no less accurate" is true of a point
# and itself: so none is left.
# Look at: what must be strictly better for a point to be beaten.
def pareto_front(points):
    return [
        k
        for k, (size, share) in enumerate(points)
        if not any(s <= size and a >= share for s, a in points)
    ]

# %% mistake="pareto_front" name="large is good"
# You have the direction of the parameters turned round: fewer are better.
# Look at: the comparison of the first numbers.
#-         return one[0] <= other[0] and one[1] >= other[1] and one != other
#+         no_worse = one[0] >= other[0] and one[1] >= other[1]
#+         return no_worse and one != other

# %% mistake="pareto_front" name="small error is good"
# You treat the second number as an error, where less is better. It is an accuracy.
# Look at: the comparison of the second numbers.
#-         return one[0] <= other[0] and one[1] >= other[1] and one != other
#+         no_worse = one[0] <= other[0] and one[1] <= other[1]
#+         return no_worse and one != other

# %% mistake="pareto_front" name="sorted by size"
# Your positions come in the order of the sizes. They are asked for in increasing order.
# Look at: the order in which you collect them.
#-     return [k for k, point in enumerate(points) if not any(beats(p, point) for p in points)]
#+     front = [k for k, point in enumerate(points) if not any(beats(p, point) for p in points)]
#+     return sorted(front, key=lambda k: (points[k][0], -k))

# %% mistake="pareto_front" name="one of equals lost"
# Of two equal points you keep one. Nothing beats the other either, so both are on the front. (A
# sweep that wants a higher accuracy loses it; so do a set, a dict and `index`.)
# Look at: the case with two equal points.
def pareto_front(points):
    front, best = [], -1.0
    for k in sorted(range(len(points)), key=lambda k: (points[k][0], -points[k][1])):
        if points[k][1] > best:
            front.append(k)
            best = points[k][1]
    return sorted(front)

# %% mistake="pareto_front" name="best ratio"
# You ranked the points by accuracy per parameter, and kept one. The front keeps every point that
# is the best for *some* budget.
# Look at: how many points your result can have.
def pareto_front(points):
    return [max(range(len(points)), key=lambda k: points[k][1] / points[k][0])]

# %% wrong="pareto_front" name="one for each size"
# The best of each size.
def pareto_front(points):
    return [k for k, p in enumerate(points) if p[1] == max(a for s, a in points if s == p[0])]

# %% wrong="pareto_front" name="the next smaller one"
# Compared with the neighbor by size only.
def pareto_front(points):
    order = sorted(range(len(points)), key=lambda k: (points[k][0], -points[k][1]))
    front = order[:1]
    for before, k in zip(order, order[1:]):
        if points[k][1] > points[before][1] or points[k] == points[before]:
            front.append(k)
    return sorted(front)

# %% wrong="pareto_front" name="rounded"
# Accuracies are compared in whole percent.
#- return one[0] <= other[0] and one[1] >= other[1] and one != other
#+ one, other = ((p[0], round(p[1], 2)) for p in (one, other))
#+         return one[0] <= other[0] and one[1] >= other[1] and one != other

# %% wrong="pareto_front" name="a set of positions"
# Equal points have one position.
#-     return [k for k, point in enumerate(points) if not any(beats(p, point) for p in points)]
#+     front = [point for point in points if not any(beats(p, point) for p in points)]
#+     return sorted({points.index(point) for point in front})

# %% wrong="pareto_front" name="float32"
# A count of parameters above 2 ** 24 is rounded.
def pareto_front(points):
    size, share = torch.tensor(points, dtype=torch.float32).T
    no_worse = (size[:, None] <= size) & (share[:, None] >= share)
    better = (size[:, None] < size) | (share[:, None] > share)
    return (~(no_worse & better).any(0)).nonzero().flatten().tolist()

# %% wrong="pareto_front" name="better than nothing"
# A head that is right on no digit is never on the front.
def pareto_front(points):
    front, best = [], (0, 0.0)
    for k in sorted(range(len(points)), key=lambda k: (points[k][0], -points[k][1])):
        if points[k][1] > best[1] or points[k] == best:
            front.append(k)
            best = points[k]
    return sorted(front)

# %% right="prune_within"
def prune_within(trl, x, most, tols):
    training, best = trl.training, trl
    with torch.no_grad():
        exact = trl.eval()(x)
        for tol in sorted(tols):
            pruned = trl.prune(tol).eval()
            if (pruned(x) - exact).abs().max() <= most:
                best = pruned
    trl.train(training)
    return best

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

# %% mistake="prune_within" name="dropout still on"
# You compared the layers as they came, in training mode: tensor dropout changes their outputs
# far more than pruning does, so that hardly anything is allowed.
# Look at: the mode of both layers when their outputs are compared.
def prune_within(trl, x, most, tols):
    best = trl
    with torch.no_grad():
        for tol in tols:
            pruned = trl.prune(tol)
            size = sum(p.numel() for p in pruned.parameters())
            if (pruned(x) - trl(x)).abs().max() <= most:
                if size < sum(p.numel() for p in best.parameters()):
                    best = pruned
    return best

# %% mistake="prune_within" name="mode left changed"
# You put the layer that you were given into eval mode and left it there: its dropout no longer
# works in the training that follows.
# Look at: `trl.training` before and after.
#- training, best = trl.training, trl
#+ best = trl
#-     trl.train(training)

# %% mistake="prune_within" name="always back to training mode"
# You put the layer into training mode at the end. It need not have been in it before.
# Look at: `trl.training` at the start.
#- training, best = trl.training, trl
#+ best = trl
#- (training
#+ (

# %% mistake="prune_within" name="dropout switched off"
# You switched the dropout of the layer that you were given off, and left it so: its owner trains
# on without it.
# Look at: the mode in which a layer does not drop anyway.
def prune_within(trl, x, most, tols):
    from trlkit import tensor_dropout

    tensor_dropout(trl, 0.0)
    with torch.no_grad():
        exact, layers = trl(x), [trl.prune(tol) for tol in tols]
        fitting = [layer for layer in layers if (layer(x) - exact).abs().max() <= most]
    return min(fitting, key=lambda m: sum(p.numel() for p in m.parameters()), default=trl)

# %% mistake="prune_within" name="mean change"
# You allowed a *mean* change. One sample can then change by much, hidden among many that do not.
# Look at: which single entry must stay within `most`.
#- max
#+ mean

# %% mistake="prune_within" name="norm of the change"
# What you compared with `most` is larger than the largest change of an output in eval mode: a
# smaller layer would have been allowed. A norm over many entries is larger, and so is a change that
# is measured with dropout on.
# Look at: what you take of all the differences, and the mode of both layers.
#- abs().max
#+ norm

# %% mistake="prune_within" name="relative change"
# You divided the change by the largest output. `most` is an absolute change.
# Look at: what `most` is compared with.
#- most:
#+ most * exact.abs().max():

# %% mistake="prune_within" name="only upwards"
# You compared differences with their sign: an output that falls by much counts as a small change.
# Look at: the sign of the change of each output.
#- .abs().
#+ .

# %% mistake="prune_within" name="first that fits"
# You returned the first layer that is close enough. `tols` comes in any order, and a later one may
# be smaller.
# Look at: when your loop ends.
#- sorted(tols)
#+ tols
#- best = pruned
#+ best = pruned
#+                 break

# %% mistake="prune_within" name="last that fits"
# You kept the last layer that is close enough, in the order of `tols`. It need not be the
# smallest of them.
# Look at: how a layer that fits is compared with the best so far.
#- sorted(tols)
#+ tols

# %% mistake="prune_within" name="tol taken for the change"
# Your result is that of taking `most` for the tolerance of `prune`. That one is a share of the
# largest component; what it does to the outputs depends on the activation.
# Look at: what `most` is compared with.
def prune_within(trl, x, most, tols):
    fitting = [tol for tol in tols if tol <= most]
    return trl.prune(max(fitting)) if fitting else trl

# %% wrong="prune_within" name="no default"
# Where no tolerance fits, there is nothing to take the least of.
#- training, best = trl.training, trl
#+ training = trl.training

# %% wrong="prune_within" name="a copy for itself"
# Where no tolerance fits, a copy is returned.
#-     training, best = trl.training, trl
#+     import copy
#+
#+     training, best = trl.training, copy.deepcopy(trl)

# %% wrong="prune_within" name="allclose with its own tolerance"
# torch.allclose adds a share of the output to what is allowed.
#- (pruned(x) - exact).abs().max() <= most
#+ torch.allclose(pruned(x), exact, atol=most)

# %% wrong="prune_within" name="the first sample"
# Only the first sample is compared.
#- (pruned(x) - exact).abs()
#+ (pruned(x) - exact)[:1].abs()

# %% wrong="prune_within" name="frozen"
# The layer's parameters no longer learn.
#- training, best = trl.training, trl
#+ training, best = trl.training, trl.requires_grad_(False)

# %% wrong="prune_within" name="no gradients any more"
# Gradients stay switched off for the whole session.
#-     training, best = trl.training, trl
#+     torch.set_grad_enabled(False)
#+     training, best = trl.training, trl

# %% wrong="prune_within" name="less than most"
# A change of exactly `most` is not allowed.
#- .abs().max() <= most
#+ .abs().max() < most

# %% wrong="prune_within" name="the largest rank decides"
# Of a Tucker layer's ranks only the largest is looked at.
def prune_within(trl, x, most, tols):
    training, best = trl.training, None
    with torch.no_grad():
        exact = trl.eval()(x)
        for tol in tols:
            pruned = trl.prune(tol).eval()
            rank = pruned.rank if isinstance(pruned.rank, int) else max(pruned.rank)
            if (pruned(x) - exact).abs().max() <= most and (best is None or rank < least):
                best, least = pruned, rank
    trl.train(training)
    return trl if best is None else best

# %% wrong="prune_within" name="the largest tolerance or none"
# One tolerance is tried.
#- sorted(tols)
#+ [max(tols)]

# %% wrong="prune_within" name="norm of a row"
# The changes of one sample's outputs are added up.
#- (pruned(x) - exact).abs().max() <=
#+ (pruned(x) - exact).norm(dim=1).max() <=

# %% wrong="prune_within" name="until one does not fit"
# The search ends at the first tolerance that is too large; a larger one may fit again.
#-                 best = pruned
#+                 best = pruned
#+             else:
#+                 break

# %% right="conv_as_tucker"
def conv_as_tucker(conv_weight, conv_bias, linear_weight, linear_bias, input_shape):
    mixed, (_, height, width) = len(conv_weight), input_shape
    weight = linear_weight.reshape(-1, mixed, height, width)  # (N, K, H, W)
    core = weight.movedim(0, -1)
    factors = [conv_weight.flatten(1).T]
    factors += [torch.eye(size, dtype=core.dtype) for size in core.shape[1:]]
    bias = linear_bias + weight.sum((2, 3)) @ conv_bias
    return core, factors, bias

# %% answer="conv_as_tucker" name="the class mode in the factor"
# Another core and another last factor give the same weight.
def conv_as_tucker(conv_weight, conv_bias, linear_weight, linear_bias, input_shape):
    mixed, (_, height, width) = len(conv_weight), input_shape
    core = 2 * linear_weight.T.reshape(mixed, height, width, -1)
    eyes = [torch.eye(size).to(core) for size in (height, width, len(linear_weight))]
    bias = torch.einsum("khwn,k->n", core / 2, conv_bias) + linear_bias
    return core, [conv_weight[:, :, 0, 0].T / 2, *eyes], bias

# %% answer="conv_as_tucker" name="the bias by a batch of zeros"
# What the two layers give for zeros is the bias.
def conv_as_tucker(conv_weight, conv_bias, linear_weight, linear_bias, input_shape):
    from torch.nn import functional as F

    zeros = conv_weight.new_zeros(1, *input_shape)
    y = F.conv2d(zeros, conv_weight, conv_bias).flatten(1)
    (bias,) = F.linear(y, linear_weight, linear_bias)
    core = linear_weight.T.unflatten(0, (len(conv_weight), *input_shape[1:]))
    eyes = tuple(torch.eye(size, dtype=core.dtype) for size in core.shape[1:])
    return [core, (conv_weight.squeeze((2, 3)).mT, *eyes), bias]

# %% mistake="conv_as_tucker" name="bias of the convolution lost"
# Your weight is right. The bias is that of the linear layer alone: what the convolution adds to
# each of its channels goes through the linear layer too.
# Look at: what the two layers give for an activation of zeros.
#- bias = linear_bias + weight.sum((2, 3)) @ conv_bias
#+ bias = linear_bias

# %% mistake="conv_as_tucker" name="bias at one place"
# Your weight is right. The bias of the convolution comes once to your bias; the convolution adds
# it at every place, and each place has weights of its own.
# Look at: what the two layers give for an activation of zeros.
#- weight.sum((2, 3)) @
#+ weight.mean((2, 3)) @

# %% mistake="conv_as_tucker" name="core reshaped"
# Your core has the numbers of the linear weight in the order in which they lie there. The weight
# has a row for each class: the class is its first mode, and the core's last.
# Look at: which mode must move, and where.
#- core = weight.movedim(0, -1)
#+ core = linear_weight.reshape(mixed, height, width, -1)

# %% mistake="conv_as_tucker" name="channels last"
# You read the columns of the linear weight as places first, mixtures last. `nn.Flatten` puts the
# channels first.
# Look at: the order of (K, H, W) in a flattened activation.
#- linear_weight.reshape(-1, mixed, height, width)
#+ linear_weight.reshape(-1, height, width, mixed).movedim(3, 1)

# %% mistake="conv_as_tucker" name="factor not transposed"
# Your first factor has a row for each mixture. A factor takes the core's mode to the activation's:
# it has a row for each channel. Where both numbers agree, only the values tell.
# Look at: the shape (I_0, R_0) of a factor.
#- [conv_weight.flatten(1).T]
#+ [conv_weight.flatten(1)]

# %% wrong="conv_as_tucker" name="height and width exchanged"
# Right where the map is square and symmetric only.
#- core = weight.movedim(0, -1)
#+ core = linear_weight.reshape(-1, mixed, width, height).permute(1, 3, 2, 0)

# %% wrong="conv_as_tucker" name="float32 eyes"
# Factors of another dtype than the weights.
#- torch.eye(size, dtype=core.dtype)
#+ torch.eye(size)

# %% wrong="conv_as_tucker" name="the class first"
# The core's modes are those of the linear weight.
#- core = weight.movedim(0, -1)
#+ core = weight

# %% wrong="conv_as_tucker" name="float64 eyes"
# Of one dtype, whatever the weights are.
#- torch.eye(size, dtype=core.dtype)
#+ torch.eye(size, dtype=torch.float64)

# %% wrong="conv_as_tucker" name="nothing compressed"
# The product is formed, and the channel mode is as large as before.
def conv_as_tucker(conv_weight, conv_bias, linear_weight, linear_bias, input_shape):
    mixed, (_, height, width) = len(conv_weight), input_shape
    weight = linear_weight.reshape(-1, mixed, height, width)
    core = torch.einsum("nkhw,kc->chwn", weight, conv_weight.flatten(1))
    factors = [torch.eye(size, dtype=core.dtype) for size in core.shape]
    return core, factors, linear_bias + weight.sum((2, 3)) @ conv_bias

# %% right="attack"
def attack(model, images, labels, strength, steps):
    right = nn.functional.one_hot(labels, model(images).shape[1]).bool()
    moved = images.clone()
    for _ in range(steps):
        x = moved.clone().requires_grad_()
        logits = model(x)
        lead = logits[right] - logits.masked_fill(right, -torch.inf).amax(1)
        (gradient,) = torch.autograd.grad(lead.sum(), x)
        moved = moved - 2.5 * strength / steps * gradient.sign()
        moved = torch.clamp(moved, images - strength, images + strength).clamp(0, 1)
    return moved

# %% answer="attack" name="the second best by topk"
# The best other class is the second of the two best, or the first.
def attack(model, images, labels, strength, steps):
    moved, step = images, 2 * strength / max(steps, 1)
    for _ in range(steps):
        x = moved.detach().requires_grad_()
        logits = model(x)
        best, where = logits.topk(2, 1)
        other = torch.where(where[:, 0] == labels, best[:, 1], best[:, 0])
        lead = logits.gather(1, labels[:, None]).squeeze(1) - other
        (gradient,) = torch.autograd.grad(lead.sum(), x)
        moved = x.detach() - step * gradient.sign()
        moved = images + (moved - images).clamp(-strength, strength)
        moved = moved.clamp(0, 1)
    return moved.clone()

# %% answer="attack" name="softmax of cooled logits"
# Divided by their own spread, the logits are never too far apart for the cross entropy.
def attack(model, images, labels, strength, steps):
    moved = images
    for _ in range(steps):
        x = moved.clone().requires_grad_()
        logits = model(x)
        logits = logits / logits.detach().std(1, keepdim=True)
        loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
        moved = moved + 2.5 * strength / steps * gradient.sign()
        moved = (images + (moved - images).clamp(-strength, strength)).clamp(0, 1)
    return moved

# %% answer="attack" name="each image by itself"
# One image after the other, and the best of what was found.
def attack(model, images, labels, strength, steps):
    found = []
    for image, label in zip(images.split(1), labels):
        moved = image
        for _ in range(steps):
            x = moved.detach().requires_grad_()
            logits = model(x)[0]
            others = [logits[k] for k in range(len(logits)) if k != label]
            lead = logits[label] - torch.stack(others).max()
            moved = x.detach() - 2.5 * strength / steps * torch.autograd.grad(lead, x)[0].sign()
            moved = torch.clamp(moved, image - strength, image + strength).clamp(0, 1)
        found.append(moved)
    return torch.cat(found).detach().clone()

# %% mistake="attack" name="along the loss"
# Where the logits are in the thousands, your attack finds next to nothing. There the softmax is 1
# and 0s, and whatever goes through it, the loss too, has no slope left: the sign of its gradient is
# 0. That head is not sturdy, only silent.
# Look at: something with a slope wherever the logits have one.
#-         (gradient,) = torch.autograd.grad(lead.sum(), x)
#+         loss = -nn.functional.cross_entropy(logits, labels, reduction="sum")
#+         (gradient,) = torch.autograd.grad(loss, x)

# %% mistake="attack" name="one step"
# Your images are where the first gradient alone leads, straight on. It tells what holds near an
# image; on the way its sign turns.
# Look at: where each new gradient is taken.
def attack(model, images, labels, strength, steps):
    right = nn.functional.one_hot(labels, model(images).shape[1]).bool()
    x = images.clone().requires_grad_()
    logits = model(x)
    lead = logits[right] - logits.masked_fill(right, -torch.inf).amax(1)
    (gradient,) = torch.autograd.grad(lead.sum(), x)
    return (images - strength * gradient.sign()).clamp(0, 1)

# %% mistake="attack" name="no way back into the ball"
# After several steps a pixel has moved farther than `strength`.
# Look at: what a step must be followed by, so that the sum of all steps is small enough.
#- torch.clamp(moved, images - strength, images + strength).clamp(0, 1)
#+ moved.clamp(0, 1)

# %% mistake="attack" name="no image any more"
# Some of your pixels are darker than black or brighter than white: no camera gives such an image.
# Look at: the range of a pixel.
#- .clamp(0, 1)

# %% mistake="attack" name="the wrong way"
# Your steps make the model surer of the right class.
# Look at: the sign of your step, and whether what you follow is to rise or to fall.
#- moved - 2.5
#+ moved + 2.5

# %% mistake="attack" name="gradients left behind"
# A backward pass leaves gradients in the model's parameters: whoever trains it next adds to them.
# Look at: `torch.autograd.grad`, which asks for one gradient only.
#-         (gradient,) = torch.autograd.grad(lead.sum(), x)
#+         lead.sum().backward()
#+         gradient = x.grad

# %% wrong="attack" name="every step from the image"
# The gradient is always that of the first image.
#- x = moved.clone().requires_grad_()
#+ x = images.clone().requires_grad_()

# %% wrong="attack" name="at random"
# Noise of the same strength.
def attack(model, images, labels, strength, steps):
    noise = strength * torch.randn_like(images).sign()
    return (images + noise).clamp(0, 1)

# %% wrong="attack" name="the graph stays"
# The images hang on all steps.
#- moved - 2.5
#+ x - 2.5

# %% mistake="attack" name="gradients cleared"
# Afterwards the parameters have no gradients, and before they had some: whoever trains the model
# has lost them.
# Look at: `torch.autograd.grad`, which leaves `grad` as it is.
#-         (gradient,) = torch.autograd.grad(lead.sum(), x)
#+         lead.sum().backward()
#+         gradient = x.grad
#+         model.zero_grad()

# %% wrong="attack" name="small steps"
# Steps of strength / steps: each gradient is new, and there is no way to turn back.
#- 2.5 * strength / steps
#+ strength / steps

# %% wrong="attack" name="full steps"
# Each step is as long as the strength.
#- 2.5 * strength / steps
#+ strength

# %% wrong="attack" name="frozen model"
# The parameters no longer learn.
#-     moved = images.clone()
#+     moved = images.clone()
#+     model.requires_grad_(False)

# %% wrong="attack" name="the images learn"
# The caller's images require gradients afterwards.
#- x = moved.clone().requires_grad_()
#+ images.requires_grad_()
#+         x = moved.detach().clone().requires_grad_()
#- return moved
#+ return moved.detach()

# %% wrong="attack" name="ten steps always"
# As many gradients as suit the attack.
#- range(steps)
#+ range(10)

# %% wrong="attack" name="a step more"
# One gradient more than allowed.
#- range(steps)
#+ range(steps + 1)

# %% wrong="attack" name="what the model says"
# Away from the class that the model tells, be it right or wrong.
#- one_hot(labels, model(images).shape[1]).bool()
#+ one_hot(model(images).argmax(1), model(images).shape[1]).bool()

# %% wrong="attack" name="masked by a number"
# Right where another logit is above it.
#- masked_fill(right, -torch.inf)
#+ masked_fill(right, -1000.0)

# %% wrong="attack" name="projected at the end"
# The steps lead out of what is allowed, and the end is brought back.
#- moved = torch.clamp(moved, images - strength, images + strength).clamp(0, 1)
#-     return moved
#+ moved = moved.clamp(0, 1)
#+     return torch.clamp(moved, images - strength, images + strength)

# %% wrong="attack" name="squeezed"
# With two classes the best of the others is one number for all images.
#- logits.masked_fill(right, -torch.inf).amax(1)
#+ logits[~right].view(len(x), -1).squeeze().amax(-1)

# %% wrong="attack" name="in place"
# The images that were handed over are moved too.
#- return moved
#+ return images.copy_(moved)

# %% right="run_experiment"
def run_experiment(measure):
    import statistics

    said = {}
    for task in ("plenty", "poor"):
        pairs = [(measure("linear", task, s), measure("tensor", task, s)) for s in range(8)]
        gains = [tensor - linear for linear, tensor in pairs]
        mean = statistics.mean(gains)
        error = statistics.stdev(gains) / math.sqrt(len(gains))
        word = "not shown"
        if abs(mean) > 2 * error:
            word = "tensor" if mean > 0 else "linear"
        said[task] = (mean, error, word)
    return said

# %% answer="run_experiment" name="torch"
# Ten seeds, and torch's standard deviation.
def run_experiment(measure):
    def of(task):
        heads = ("tensor", "linear")
        scores = [[measure(head, task, s) for s in range(10)] for head in heads]
        gains = torch.tensor(scores[0], dtype=torch.float64) - torch.tensor(
            scores[1], dtype=torch.float64
        )
        mean, error = gains.mean().item(), (gains.std() / len(gains) ** 0.5).item()
        word = "not shown" if abs(mean) <= 2 * error else ["linear", "tensor"][mean > 0]
        return mean, error, word

    return {"plenty": of("plenty"), "poor": of("poor")}

# %% answer="run_experiment" name="six other seeds"
# Seeds of one's own, and numpy with ddof.
def run_experiment(measure):
    import numpy as np

    said = {}
    for task in ("plenty", "poor"):
        seeds = range(100, 106)
        linear = np.array([measure("linear", task, s) for s in seeds])
        tensor = np.array([measure("tensor", task, s) for s in seeds])
        gain = tensor - linear
        mean, error = float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(len(gain)))
        words = {-1: "linear", 0: "not shown", 1: "tensor"}
        said[task] = [mean, error, words[int(np.sign(mean)) * (abs(mean) > 2 * error)]]
    return said

# %% mistake="run_experiment" name="unpaired"
# Your error is that of two separate means. Head and head had the same digits and the same seed, so
# that luck is the same for both and goes out of each *difference*; your error keeps it, and hides a
# difference that is there.
# Look at: the spread of the differences, not of the scores.
#-         error = statistics.stdev(gains) / math.sqrt(len(gains))
#+         linear, tensor = zip(*pairs)
#+         spread = statistics.variance(linear) + statistics.variance(tensor)
#+         error = math.sqrt(spread / len(pairs))

# %% mistake="run_experiment" name="other seeds for the other head"
# You measured the two heads with different seeds. Each seed has its own digits and its own luck,
# which then stand in the difference.
# Look at: which seeds the two heads of a pair get.
#- measure("tensor", task, s)
#+ measure("tensor", task, s + 8)

# %% mistake="run_experiment" name="three seeds"
# From so few seeds the error itself is hardly known.
# Look at: how many pairs are asked for.
#- range(8)
#+ range(3)

# %% mistake="run_experiment" name="turned round"
# Your difference is linear minus tensor. Asked for is what the tensor head gains.
# Look at: the order of the two in your difference.
#- tensor - linear for
#+ linear - tensor for

# %% mistake="run_experiment" name="standard deviation"
# You gave the standard deviation of the differences. The error of their mean is smaller by the root
# of their number.
# Look at: what the standard deviation is divided by.
#- statistics.stdev(gains) / math.sqrt(len(gains))
#+ statistics.stdev(gains)

# %% mistake="run_experiment" name="by the sign"
# You conclude from the sign of the mean alone: a difference of any size, however uncertain, counts.
# Look at: the rule of two standard errors.
#- abs(mean) > 2 * error
#+ mean

# %% mistake="run_experiment" name="divides by n"
# Your standard deviation divides by n, as if the mean had been known before.
# Look at: numpy's `std`, or statistics.pstdev: which of the two does each divide by?
#- statistics.stdev(gains)
#+ statistics.pstdev(gains)

# %% wrong="run_experiment" name="what the chapter found"
# The words are written in.
#- said[task] = (mean, error, word)
#+ said[task] = (mean, error, "tensor" if task == "poor" else "not shown")

# %% wrong="run_experiment" name="one error"
# A difference of one standard error is called clear.
#- 2 * error
#+ error

# %% wrong="run_experiment" name="three errors"
# A difference of two and a half errors is not called clear.
#- 2 * error
#+ 3 * error

# %% wrong="run_experiment" name="1.96 errors"
# The normal distribution's number in place of two.
#- 2 * error
#+ 1.96 * error

# %% wrong="run_experiment" name="without its sign"
# The mean of how far the heads are apart.
#- mean = statistics.mean(gains)
#+ mean = statistics.mean(map(abs, gains))

# %% wrong="run_experiment" name="the first six of eight"
# Measured with eight seeds, told of six.
#- mean = statistics.mean(gains)
#+ mean = statistics.mean(gains[:6])

# %% wrong="run_experiment" name="until it is clear"
# New seeds until the difference is clear.
def run_experiment(measure):
    import statistics

    said = {}
    for task in ("plenty", "poor"):
        gains = []
        while len(gains) < 40:
            s = len(gains)
            gains.append(measure("tensor", task, s) - measure("linear", task, s))
            if len(gains) > 2:
                mean = statistics.mean(gains)
                error = statistics.stdev(gains) / math.sqrt(len(gains))
                if abs(mean) > 2 * error:
                    break
        word = "tensor" if mean > 2 * error else "linear" if mean < -2 * error else "not shown"
        said[task] = (mean, error, word)
    return said

# %% wrong="run_experiment" name="n - 1 twice"
# The deviation, which has n - 1 in it already, is divided by the root of n - 1.
#- math.sqrt(len(gains))
#+ math.sqrt(len(gains) - 1)

# %% wrong="run_experiment" name="another device"
# The chapter's own device is asked, not the one that was handed over.
def run_experiment(measure):
    return {task: (0.0, 0.01, "not shown") for task in ("plenty", "poor")}

# %% right="light_head"
def light_head(input_shape, num_classes):
    return CPTRL(input_shape, num_classes, rank=7)

# %% answer="light_head" name="by hand"
# A module of one's own around one einsum.
class light_head(nn.Module):
    def __init__(self, input_shape, num_classes):
        super().__init__()
        sizes = (*input_shape, num_classes)
        draws = (torch.randn(size, 7) * 0.2 for size in sizes)
        self.factors = nn.ParameterList(nn.Parameter(draw) for draw in draws)
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return torch.einsum("bchw,cr,hr,wr,nr->bn", x, *self.factors) + self.bias

# %% answer="light_head" name="CP by its budget"
# The bias is taken off the budget.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL, rank_for_budget

    rank = rank_for_budget(input_shape, num_classes, "cp", max_params=270 - num_classes)
    return CPTRL(input_shape, num_classes, rank)

# %% mistake="light_head" name="flatten and Linear"
# As many numbers as the full linear layer, one for every activation and class: far too many.
# Look at: which factorization describes the same weight by fewer numbers.
def light_head(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), num_classes))

# %% mistake="light_head" name="global average pooling"
# Averaging over the places throws away where a stroke is, and what is left does not tell
# digits apart; behind a *deep* backbone it does well. Even the training digits are not fitted.
# Look at: a layer that regresses on the activation as it is.
def light_head(input_shape, num_classes):
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(input_shape[0], num_classes)
    )

# %% mistake="light_head" name="rank too low"
# Your rank is too low: even the training digits are not fitted, so that more data or more steps
# would not help. You have numbers left in the budget.
# Look at: `rank_for_budget`.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=3)

# %% mistake="light_head" name="dropout for so few components"
# You drop most of the few components that there are. What is left in a step cannot describe ten
# classes, so the layer learns little.
# Look at: how many components stay in a step, on average.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=7, dropout=0.8)

# %% mistake="light_head" name="layers in a list"
# Your head computes with a layer that it does not own: one in a plain list, or outside the class,
# is not registered. Its parameters are not counted, and no optimizer sees them.
# Look at: `list(head.parameters())`; nn.ModuleList registers what is in it.
def light_head(input_shape, num_classes):
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(math.prod(input_shape), num_classes, bias=False)]
            self.bias = nn.Parameter(torch.zeros(num_classes))

        def forward(self, x):
            return self.layers[0](x.flatten(1)) + self.bias

    return Head()

# %% mistake="light_head" name="seed inside"
# Your function starts from the same weights, whatever the seed of the run. Then the runs are not
# independent, and the error of their mean says too little.
# Look at: a call of torch.manual_seed, or a copy of a layer made before. (That was 9.2's warning.)
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    torch.manual_seed(3)
    return CPTRL(input_shape, num_classes, rank=7)

# %% mistake="light_head" name="softmax"
# The outputs of your head sum to 1, as those of a softmax do. Cross entropy applies one itself;
# after two of them the gradients are small, and the head learns slowly.
# Look at: what `F.cross_entropy` takes.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    return nn.Sequential(CPTRL(input_shape, num_classes, rank=7), nn.Softmax(dim=1))

# %% mistake="light_head" name="made once"
# Your function hands out the same parameters each time, and they go on learning where the run
# before them ended. Then the runs are not independent, and their spread says nothing.
# Look at: where the layers are made. It must be inside the function.
_heads = {}

def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    if input_shape not in _heads:
        _heads[input_shape] = CPTRL(input_shape, num_classes, rank=7)
    return _heads[input_shape]

# %% mistake="light_head" name="sizes written in"
# You wrote the sizes of the activation into the head. It is to be made for any activation.
# Look at: `input_shape` and `num_classes`.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL((16, 4, 4), 10, rank=7)

# %% wrong="light_head" name="a new wrapper"
# A new Sequential each time, around one and the same layer.
_core = []

def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    if not _core or _core[0].input_shape != tuple(input_shape):
        _core[:] = [CPTRL(input_shape, num_classes, rank=7)]
    return nn.Sequential(_core[0])

# %% wrong="light_head" name="a copied template"
# The same first weights for each seed.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CPTRL(input_shape, num_classes, rank=7)

# %% wrong="light_head" name="one bias for all"
# A parameter that all heads have in common.
_bias = nn.Parameter(torch.zeros(10))

def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    head = CPTRL(input_shape, num_classes, rank=7)
    if num_classes == 10:
        head.bias = _bias
    return head

# %% wrong="light_head" name="sigmoid"
# A sigmoid at the end.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    return nn.Sequential(CPTRL(input_shape, num_classes, rank=7), nn.Sigmoid())

# %% wrong="light_head" name="log-softmax"
# The logarithms of probabilities.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    return nn.Sequential(CPTRL(input_shape, num_classes, rank=7), nn.LogSoftmax(dim=1))

# %% wrong="light_head" name="minus the mean of the batch"
# A prediction depends on its neighbors.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    class Head(CPTRL):
        def forward(self, x):
            return super().forward(x - x.mean(0))

    return Head(input_shape, num_classes, rank=7)

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

# %% wrong="light_head" name="the highest rank, with dropout"
# The rank that the budget allows, and a third of its few components dropped.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=7, dropout=0.3)

# %% right="accurate_head"
def accurate_head(input_shape, num_classes):
    channels, height, width = input_shape
    mixing, linear = nn.Conv2d(channels, 3, 1), nn.Linear(3 * height * width, num_classes)
    return nn.Sequential(mixing, nn.Flatten(), linear)

# %% answer="accurate_head" name="CP"
# Rank 15 of CP.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=15)

# %% answer="accurate_head" name="TCL and Linear"
# A contraction layer, then a full linear layer on the small core: a Tucker TRL in two steps.
def accurate_head(input_shape, num_classes):
    from trlkit import TCL

    rank = (4, 3, 3)
    return nn.Sequential(
        TCL(input_shape, rank, bias=False), nn.Flatten(), nn.Linear(math.prod(rank), num_classes)
    )

# %% mistake="accurate_head" name="break-even rank"
# You took the rank at which a factorization has as many numbers as the full weight: it saves
# nothing, and is over the budget.
# Look at: `rank_for_budget`, which asks for a budget of yours.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL, break_even_rank

    return CPTRL(input_shape, num_classes, break_even_rank(input_shape, num_classes, "cp"))

# %% mistake="accurate_head" name="rank too low"
# Even the training digits are not fitted: the rank is too low, with most of the budget left.
# Look at: what the next higher ranks give on the validation digits.
def accurate_head(input_shape, num_classes):
    from trlkit import TuckerTRL

    return TuckerTRL(input_shape, num_classes, rank=(3, 2, 2, 3))

# %% mistake="accurate_head" name="dropout on four modes"
# That is too much dropout for a Tucker layer. It drops from every mode by itself: at p = 0.5 an
# entry of the core stays with probability 0.5 * 0.5 * 0.5 * 0.5, which is 6 %.
# Look at: (1 - p) to the power of the number of modes.
def accurate_head(input_shape, num_classes):
    from trlkit import TuckerTRL

    return TuckerTRL(input_shape, num_classes, rank=(4, 3, 3, 8), dropout=0.5)

# %% mistake="accurate_head" name="dropout in eval too"
# Your head drops at random in eval mode too, so that two passes over one image differ.
# Look at: `nn.functional.dropout`, which drops always unless it is told `training=self.training`.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.trl = CPTRL(input_shape, num_classes, rank=15)

        def forward(self, x):
            return self.trl(nn.functional.dropout(x, 0.2))

    return Head()

# %% mistake="accurate_head" name="frozen"
# You froze the head itself: none of its parameters learns.
# Look at: `requires_grad`. The backbone is frozen already.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=15).requires_grad_(False)

# %% mistake="accurate_head" name="a dict of choices"
# You returned a description of the layer. The check wants the layer itself.
# Look at: what your function returns.
def accurate_head(input_shape, num_classes):
    return {"factorization": "cp", "rank": 24, "dropout": 0.1}

# %% wrong="accurate_head" name="log-probabilities"
# A log-softmax at the end.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL

    return nn.Sequential(CPTRL(input_shape, num_classes, rank=15), nn.LogSoftmax(dim=1))

# %% wrong="accurate_head" name="labels"
# The class in place of a number for each.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL

    class Head(CPTRL):
        def forward(self, x):
            return super().forward(x).argmax(1)

    return Head(input_shape, num_classes, rank=15)

# %% wrong="accurate_head" name="the light head"
# Good for a third of the numbers, and not accurate enough.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=9)

# %% right="sturdy_head"
def sturdy_head(input_shape, num_classes):
    return nn.Sequential(nn.Dropout(0.3), CPTRL(input_shape, num_classes, rank=36))

# %% answer="sturdy_head" name="a lower rank"
# Six ranks less, and as much dropped.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL

    return nn.Sequential(nn.Dropout(0.3), CPTRL(input_shape, num_classes, rank=30))

# %% answer="sturdy_head" name="ordinary dropout"
# Entries of the activation are dropped in place of components.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL

    return nn.Sequential(nn.Dropout(0.3), CPTRL(input_shape, num_classes, rank=37))

# %% answer="sturdy_head" name="a class"
# A module of one's own around the layer.
class sturdy_head(nn.Module):
    def __init__(self, input_shape, num_classes):
        from trlkit import CPTRL

        super().__init__()
        self.drop = nn.Dropout(0.3)
        self.trl = CPTRL(input_shape, num_classes, rank=35)

    def forward(self, x):
        return self.trl(self.drop(x))

# %% mistake="sturdy_head" name="no dropout"
# It is accurate on clean digits, and falls behind on attacked or noisy ones. Your head has no
# dropout at all.
# Look at: the columns "noise" and "FGSM" of your own trials with and without dropout, of either kind.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=37)

# %% mistake="sturdy_head" name="bias not counted"
# `rank_for_budget` counts the weight alone. With the bias, a number for each class, you are just
# over the budget.
# Look at: the budget that you hand it.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL, rank_for_budget

    rank = rank_for_budget(input_shape, num_classes, "cp", max_params=1300)
    return CPTRL(input_shape, num_classes, rank, dropout=0.3)

# %% mistake="sturdy_head" name="too much dropout"
# More dropout is not always sturdier: with so much of it the layer no longer learns the clean
# digits either.
# Look at: the accuracy on clean digits for a smaller p.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=37, dropout=0.85)

# %% mistake="sturdy_head" name="too few components to drop"
# There are too few components for the dropout to leave something useful: the training digits are
# not fitted. Dropout wants a higher rank than one would take without it.
# Look at: the rank that the budget allows.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=5, dropout=0.3)

# %% mistake="sturdy_head" name="masked gradient"
# In eval mode no gradient reaches the activation, though the outputs follow it. FGSM moves the
# pixels by that gradient, so that it attacks nothing: the head is not sturdy, its attacker is blind.
# Look at: `detach`, or outputs so large that the softmax has no slope left.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL

    class Head(CPTRL):
        def forward(self, x):
            y = super().forward(x)
            return y if self.training else y.detach() + 0 * x.sum()

    return Head(input_shape, num_classes, rank=24)

# %% mistake="sturdy_head" name="flatten and Linear"
# The full linear layer would do it: in this task it is the sturdiest of all. But it has 2,570
# numbers, and the budget is 1,300.
# Look at: how far a TRL comes with half of them.
def sturdy_head(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), num_classes))

# %% wrong="sturdy_head" name="Tucker without dropout"
# As large as the budget allows, and nothing dropped.
def sturdy_head(input_shape, num_classes):
    from trlkit import TuckerTRL

    return TuckerTRL(input_shape, num_classes, rank=(7, 4, 4, 8))

# %% wrong="sturdy_head" name="a softmax without slope"
# Outputs so large that the loss has no gradient.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL

    class Head(CPTRL):
        def forward(self, x):
            y = super().forward(x)
            return y if self.training else 1e4 * y

    return Head(input_shape, num_classes, rank=37)

# %% wrong="sturdy_head" name="Tucker with much dropout"
# The masks of four modes multiply.
def sturdy_head(input_shape, num_classes):
    from trlkit import TuckerTRL

    return TuckerTRL(input_shape, num_classes, rank=(7, 4, 4, 8), dropout=0.4)

# %% right="smallest_head"
def smallest_head(input_shape, num_classes):
    return nn.Sequential(nn.Dropout(0.2), CPTRL(input_shape, num_classes, rank=20))

# %% answer="smallest_head" name="1x1 convolution"
# Four mixtures of the channels, behind dropout.
def smallest_head(input_shape, num_classes):
    channels, height, width = input_shape
    return nn.Sequential(
        nn.Dropout(0.2),
        nn.Conv2d(channels, 4, 1, bias=False),
        nn.Flatten(),
        nn.Linear(4 * height * width, num_classes),
    )

# %% answer="smallest_head" name="one rank less"
# CP 19 instead of 20.
def smallest_head(input_shape, num_classes):
    from trlkit import CPTRL

    return nn.Sequential(nn.Dropout(0.25), CPTRL(input_shape, num_classes, rank=19))

# %% mistake="smallest_head" name="the sturdy head"
# That head has more numbers than may be spent here, where the budget is 800.
# Look at: how the accuracies of your trials fall when the rank does.
def smallest_head(input_shape, num_classes):
    from trlkit import CPTRL

    return nn.Sequential(nn.Dropout(0.3), CPTRL(input_shape, num_classes, rank=36))

# %% mistake="smallest_head" name="no dropout"
# It is accurate on clean digits and falls under attack. Your head has no dropout at all.
# Look at: the column "FGSM" of your own trials with and without dropout, of either kind.
def smallest_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=20)

# %% mistake="smallest_head" name="global average pooling"
# An average over the places is small and throws away where a stroke is: even the training digits
# are not fitted.
# Look at: what your head knows of the places.
def smallest_head(input_shape, num_classes):
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(input_shape[0], num_classes)
    )

# %% mistake="smallest_head" name="too much dropout"
# You drop so many components that what is left of a small layer learns too little.
# Look at: the accuracy on clean digits for a smaller p.
def smallest_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=20, dropout=0.7)

# %% mistake="quiz_capstone_error" name="a"
# The difference is smaller than the error of either mean: another three seeds could turn it
# round.
# Look at: the difference beside the two errors.
quiz_capstone_error = "a"

# %% mistake="quiz_capstone_error" name="c"
# No difference was shown. That is not a proof that there is none.
# Look at: what you would pay for the larger head, and what you know you get for it.
quiz_capstone_error = "c"

# %% mistake="quiz_capstone_error" name="d"
# One seed less does not make an estimate better, and choosing which to leave out makes it
# biased.
# Look at: what leaving out the worst of three runs does to a mean.
quiz_capstone_error = "d"

# %% mistake="quiz_capstone_pooling" name="a"
# Not always. Behind a deep backbone global average pooling with a linear layer is small and strong.
# Look at: what the paper of Cao and Rabusseau found on CIFAR-10.
quiz_capstone_pooling = "a"

# %% mistake="quiz_capstone_pooling" name="c"
# On these filters it loses by far, but they are shallow: each channel sees 5 x 5 pixels.
# Look at: what a channel of a deep network's last activation has seen of the image.
quiz_capstone_pooling = "c"

# %% mistake="quiz_capstone_pooling" name="d"
# Fewer parameters in the head do not say anything about the accuracy.
# Look at: what you would have to measure.
quiz_capstone_pooling = "d"
