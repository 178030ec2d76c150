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
# You seeded the generator of the whole session: whatever is drawn after your split, such as the
# first weights of a network, is then decided by it too, and ten "different" runs are one.
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

# %% right="mean_and_error"
def mean_and_error(scores):
    import statistics

    return statistics.mean(scores), (statistics.variance(scores) / len(scores)) ** 0.5

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

# %% mistake="mean_and_error" name="divides by n"
# You took the spread of these scores as if they were all there are: divided by n. They are a
# sample, and the mean was estimated from it too.
# Look at: the division in the variance. torch.var and statistics.variance divide by n - 1,
# numpy's var and std by n.
def mean_and_error(scores):
    n = len(scores)
    mean = sum(scores) / n
    return mean, math.sqrt(sum((s - mean) ** 2 for s in scores) / n) / math.sqrt(n)

# %% mistake="mean_and_error" name="standard deviation"
# You returned the standard deviation: how far one score lies from the mean. The standard error
# says how far the *mean* may be off, which gets smaller with more seeds.
# Look at: what is divided by the root of the number of scores.
def mean_and_error(scores):
    n = len(scores)
    mean = sum(scores) / n
    return mean, math.sqrt(sum((s - mean) ** 2 for s in scores) / (n - 1))

# %% mistake="mean_and_error" name="no root"
# You divided the standard deviation by n. The error of a mean falls with the root of n: four
# times as many seeds halve it.
# Look at: what you divide the standard deviation by.
def mean_and_error(scores):
    n = len(scores)
    mean = sum(scores) / n
    return mean, math.sqrt(sum((s - mean) ** 2 for s in scores) / (n - 1)) / n

# %% mistake="mean_and_error" name="variance"
# You left the variance: its unit is that of the scores, squared.
# Look at: where a square root is missing.
def mean_and_error(scores):
    n = len(scores)
    mean = sum(scores) / n
    return mean, sum((s - mean) ** 2 for s in scores) / (n - 1) / n

# %% mistake="mean_and_error" name="range"
# You returned half the range. It grows with more seeds, since it takes only one odd run.
# Look at: a measure that uses every score.
def mean_and_error(scores):
    return sum(scores) / len(scores), (max(scores) - min(scores)) / 2

# %% mistake="mean_and_error" name="best score"
# Your first number is the best of the scores. Among enough seeds there is always a lucky one.
# Look at: what the first number should say about the next run.
def mean_and_error(scores):
    n = len(scores)
    mean = sum(scores) / n
    return max(scores), math.sqrt(sum((s - mean) ** 2 for s in scores) / (n - 1) / n)

# %% mistake="mean_and_error" name="n - 1 twice"
# You divided by n - 1 for the variance, rightly, and under the second root again.
# Look at: the root in front of the formula.
def mean_and_error(scores):
    n = len(scores)
    mean = sum(scores) / n
    return mean, math.sqrt(sum((s - mean) ** 2 for s in scores)) / (n - 1)

# %% wrong="mean_and_error" name="mean of squares"
# Equal scores have a variance a little below 0 in this way.
def mean_and_error(scores):
    n = len(scores)
    mean = sum(scores) / n
    variance = (sum(s * s for s in scores) / n - mean * mean) * n / (n - 1)
    return mean, math.sqrt(variance / n)

# %% wrong="mean_and_error" name="always three seeds"
# The root of three is written in.
#- (statistics.variance(scores) / len(scores)) ** 0.5
#+ statistics.stdev(scores) / math.sqrt(3)

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
# Of two trials with the same validation accuracy you took the larger one, because it comes first.
# Look at: how ties are decided.
#- return min(fitting, key=lambda k: (-trials[k][1], trials[k][0]), default=None)
#+ return max(fitting, key=lambda k: (trials[k][1], -k), default=None)

# %% mistake="choose_trial" name="last of equals"
# Of trials with the same validation accuracy you took the last, whatever its size.
# Look at: how ties are decided.
#- return min(fitting, key=lambda k: (-trials[k][1], trials[k][0]), default=None)
#+ return max(fitting, key=lambda k: (trials[k][1], k), default=None)

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
# You sweep by size and keep a point whose accuracy is higher than all before. Of two equal points
# the second is lost so, though nothing beats it.
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
# You compared the norm of the whole difference with `most`. It grows with the number of samples;
# asked for is each entry by itself.
# Look at: what is reduced over all entries, and how.
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

# %% right="light_head"
def light_head(input_shape, num_classes):
    return CPTRL(input_shape, num_classes, rank=10)

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

    return CPTRL(input_shape, num_classes, rank=10, dropout=0.8)

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
    return CPTRL(input_shape, num_classes, rank=10)

# %% mistake="light_head" name="softmax"
# Your head ends with a softmax. Cross entropy applies one itself; after two of them the
# gradients are small, and the head learns slowly.
# Look at: what `F.cross_entropy` takes.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    return nn.Sequential(CPTRL(input_shape, num_classes, rank=10), nn.Softmax(dim=1))

# %% mistake="light_head" name="made once"
# Your function hands out the same parameters each time, and they go on learning where the run
# before them ended. Then the runs are not independent, and their spread says nothing.
# Look at: where the layers are made. It must be inside the function.
_heads = {}

def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    if input_shape not in _heads:
        _heads[input_shape] = CPTRL(input_shape, num_classes, rank=10)
    return _heads[input_shape]

# %% mistake="light_head" name="sizes written in"
# You wrote the sizes of the activation into the head. It is to be made for any activation.
# Look at: `input_shape` and `num_classes`.
def light_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL((16, 4, 4), 10, rank=10)

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

# %% right="accurate_head"
def accurate_head(input_shape, num_classes):
    return TuckerTRL(input_shape, num_classes, rank=(8, 3, 3, num_classes))

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

    return TuckerTRL(input_shape, num_classes, rank=(8, 3, 3, 8), dropout=0.5)

# %% mistake="accurate_head" name="dropout in eval too"
# Your head drops at random in eval mode too, so that two passes over one image differ.
# Look at: `nn.functional.dropout`, which drops always unless it is told `training=self.training`.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.trl = CPTRL(input_shape, num_classes, rank=24)

        def forward(self, x):
            return self.trl(nn.functional.dropout(x, 0.2))

    return Head()

# %% mistake="accurate_head" name="frozen"
# You froze the head itself: none of its parameters learns.
# Look at: `requires_grad`. The backbone is frozen already.
def accurate_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=24).requires_grad_(False)

# %% mistake="accurate_head" name="a dict of choices"
# You returned a description of the layer. The check wants the layer itself.
# Look at: what your function returns.
def accurate_head(input_shape, num_classes):
    return {"factorization": "cp", "rank": 24, "dropout": 0.1}

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

# %% right="sturdy_head"
def sturdy_head(input_shape, num_classes):
    return CPTRL(input_shape, num_classes, rank=46, dropout=0.2)

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

# %% mistake="sturdy_head" name="no tensor dropout"
# It is accurate on clean digits, and falls behind on attacked or noisy ones. Your head has no
# dropout at all.
# Look at: the columns "noise" and "FGSM" of your own trials with and without it.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=46)

# %% mistake="sturdy_head" name="bias not counted"
# `rank_for_budget` counts the weight alone. With the bias, a number for each class, you are just
# over the budget.
# Look at: the budget that you hand it.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL, rank_for_budget

    rank = rank_for_budget(input_shape, num_classes, "cp", max_params=1600)
    return CPTRL(input_shape, num_classes, rank, dropout=0.3)

# %% mistake="sturdy_head" name="too much dropout"
# More dropout is not always sturdier: with so much of it the layer no longer learns the clean
# digits either.
# Look at: the accuracy on clean digits for a smaller p.
def sturdy_head(input_shape, num_classes):
    from trlkit import CPTRL

    return CPTRL(input_shape, num_classes, rank=43, dropout=0.85)

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
# numbers, and the budget is 1,600.
# Look at: how far a TRL comes with two thirds of them.
def sturdy_head(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), num_classes))

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

# %% mistake="quiz_capstone_peek" name="a"
# It would be, if you had tried a single head. You reported the highest of forty.
# Look at: the curve of the best of many heads that are all equally good.
quiz_capstone_peek = "a"

# %% mistake="quiz_capstone_peek" name="b"
# Nothing learned from the test images makes new ones easier.
# Look at: which of forty equally good heads wins on 450 images, and why.
quiz_capstone_peek = "b"

# %% mistake="quiz_capstone_peek" name="d"
# 450 images are enough for one look, with an error of about one point. It is the forty looks that
# spoil it.
# Look at: which of forty equally good heads wins on 450 images, and why.
quiz_capstone_peek = "d"

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
