"""Usual mistakes of chapter 06."""

# %% mistake="drop_cp" name="not rescaled"
# You dropped and did not rescale: what stays must make up, on average, for what goes.
# Look at: what a component is multiplied by when it stays.
def drop_cp(factors, keep, p):
    return [factors[0] * keep, *factors[1:]]


# %% mistake="drop_cp" name="rescaled in every factor"
# You rescaled every factor, so that a component, their product, is rescaled once for each of
# them. A mask of zeros and ones may be multiplied in several times; a scale may not.
# Look at: how often 1 / (1 - p) comes into one component.
def drop_cp(factors, keep, p):
    return [factor * keep / (1 - p) for factor in factors]


# %% mistake="drop_cp" name="scaled by 1 / p"
# You divided by p, as if it were the probability that a component stays. Here p is the
# probability of dropping.
# Look at: what happens at p = 0, where nothing is dropped.
def drop_cp(factors, keep, p):
    return [factors[0] * (keep.to(factors[0].dtype) / p), *factors[1:]]


# %% mistake="drop_cp" name="multiplied by 1 - p"
# You made what stays smaller: it is multiplied by 1 - p where it should be divided.
# Look at: whether the mean over many masks comes out as the weight.
def drop_cp(factors, keep, p):
    return [factors[0] * keep * (1 - p), *factors[1:]]


# %% mistake="drop_cp" name="mask the wrong way round"
# You dropped the components that should stay and kept the others.
# Look at: what True in `keep` stands for.
def drop_cp(factors, keep, p):
    return [factors[0] * ~keep / (1 - p), *factors[1:]]


# %% mistake="drop_cp" name="rows dropped"
# You dropped rows of a factor: these are positions of a mode, not components. A component is
# one column of every factor.
# Look at: the axis along which `keep` runs.
def drop_cp(factors, keep, p):
    rows = torch.ones(len(factors[0]), dtype=torch.bool)
    count = min(len(rows), len(keep))
    rows[:count] = keep[:count]
    return [factors[0] * rows[:, None] / (1 - p), *factors[1:]]


# %% mistake="drop_cp" name="scaled by the share that stayed"
# You rescaled by the share that really stayed in this draw. That depends on the mask, and when
# nothing stays there is nothing to rescale: the mean comes out too small.
# Look at: whether your scale depends on p or on `keep`.
def drop_cp(factors, keep, p):
    return [factors[0] * keep * (len(keep) / max(1, int(keep.sum()))), *factors[1:]]


# %% mistake="drop_cp" name="mask of another dtype"
# Your mask has the default dtype, float32: a bool tensor divided by a number gets it. Your
# float64 factors then lose digits, and with bfloat16 factors the result would no longer be
# bfloat16.
# Look at: the dtype of `keep / (1 - p)`.
def drop_cp(factors, keep, p):
    return [factors[0] * (keep / (1 - p)), *factors[1:]]


# %% mistake="DropoutCP" name="drops in eval"
# You drop in eval mode too, so the trained network guesses anew each time it is asked.
# Look at: `self.training`, which `train()` and `eval()` set for you.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        keep = torch.rand(self.factors[0].shape[1]) >= self.p
        factors = drop_cp(self.factors, keep, self.p)
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="DropoutCP" name="one mask for ever"
# Your layer has one mask for ever: it is drawn when the layer is made, or `forward` sets a seed.
# What it drops can never learn, and the others never have to do without one another.
# Look at: how often new random numbers are drawn.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p
        self.keep = torch.rand(factors[0].shape[1]) >= p

    def forward(self, x):
        factors = drop_cp(self.factors, self.keep, self.p) if self.training else self.factors
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="DropoutCP" name="the other way round"
# You drop in eval mode and not in training mode.
# Look at: which of the two `self.training` stands for.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if not self.training:
            factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
        elif self.p:
            factors[0] = factors[0] * 1.0
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T

    def extra_repr(self):
        return "drops in eval mode"


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="DropoutCP" name="entries dropped"
# You dropped single entries of the factors, as nn.Dropout does. Tensor dropout drops whole
# components: one column, in every factor at once.
# Look at: how many random numbers you draw in one pass.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = [nn.functional.dropout(f, self.p, self.training) for f in self.factors]
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="DropoutCP" name="not rescaled"
# You dropped and did not rescale, so that the outputs of training are smaller than those of
# eval.
# Look at: what your `drop_cp` is told about p, or what you multiply by in its place.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            factors[0] = factors[0] * (torch.rand(factors[0].shape[1]) >= self.p)
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="DropoutCP" name="a mask for each sample"
# Every sample of your batch has its own mask, as nn.Dropout on the (B, R) numbers would have
# it. That is a dropout too; here one mask is asked for, so that the batch shares one weight.
# Look at: how many random numbers you draw in one pass.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        z = torch.einsum("zi,ir->zr", x.flatten(1), khatri(self.factors[:-1]))
        return nn.functional.dropout(z, self.p, self.training) @ self.factors[-1].T


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="DropoutCP" name="p kept"
# You keep a component with probability p. Here p is the probability that it is dropped.
# Look at: the comparison that makes `keep`.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            factors = drop_cp(factors, torch.rand(factors[0].shape[1]) < self.p, self.p)
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="DropoutCP" name="factors not registered"
# Your layer has no parameters: an optimizer would find nothing to train. A plain list of
# tensors is not seen by nn.Module.
# Look at: `nn.ParameterList`.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = [nn.Parameter(f) for f in factors], p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="DropoutCP" name="p = 1 taken"
# You take every p. At p = 1 everything is always dropped, and 1 / (1 - p) is no number.
# Look at: what `__init__` should say to p = 1, to p = 1.5 and to p = -0.1.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="DropoutCP" name="nothing dropped"
# Your layer drops nothing, in training mode either. `drop_cp` returns new factors and leaves
# those that it gets as they are.
# Look at: whether what `drop_cp` returns is used, and whether that line is ever reached.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="DropoutCP" name="a fixed number dropped"
# You drop the same number of components in every pass and draw only which ones. Components have
# coins of their own: at times none goes, at times all.
# Look at: how many components can stay in one pass of yours.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            keep = torch.ones(factors[0].shape[1], dtype=torch.bool)
            keep[torch.randperm(len(keep))[: round(self.p * len(keep))]] = False
            factors = drop_cp(factors, keep, self.p)
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="DropoutCP" name="one coin for all"
# You toss one coin for all components: they stay or go together. Each has a coin of its own.
# Look at: how many random numbers you draw in one pass.
class DropoutCP(nn.Module):
    def __init__(self, factors, p):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError("p")
        self.factors, self.p = nn.ParameterList(factors), p

    def forward(self, x):
        factors = list(self.factors)
        if self.training:
            keep = (torch.rand(1) >= self.p).expand(factors[0].shape[1])
            factors = drop_cp(factors, keep, self.p)
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="DropoutCP" name="modes in another order"
# You join the input factors in another order than the modes of x, so that rows meet entries of
# x that are not theirs.
# Look at: which mode of x runs fastest in `x.flatten(1)`, and which in your product.
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
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[-2::-1])) @ factors[-1].T


def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out


# %% mistake="really_drops" name="two passes only"
# You compared two passes, or a few. With p = 0.1 some masks running are often alike, and you say
# that nothing is dropped.
# Look at: the probability that rank 1 with p = 0.1 drops nothing in all of your passes.
def really_drops(layer, x):
    before = layer.training
    layer.train()
    same = torch.equal(layer(x), layer(x))
    layer.train(before)
    return not same


# %% mistake="really_drops" name="not set to training mode"
# You asked a layer that may be in eval mode, where nothing should be dropped.
# Look at: the mode in which you call the layer.
def really_drops(layer, x):
    first = layer(x)
    return any(not torch.equal(layer(x), first) for _ in range(100))


# %% mistake="really_drops" name="left in training mode"
# You leave the layer in training mode. Whoever goes on in eval mode now gets random outputs.
# Look at: the mode in which the layer was when you got it.
def really_drops(layer, x):
    layer.train()
    first = layer(x)
    return any(not torch.equal(layer(x), first) for _ in range(100))


# %% mistake="really_drops" name="modules inside left in training mode"
# You set the mode of the layer alone. `layer.train()` has changed all modules inside it too, and
# these still drop.
# Look at: `layer.train(mode)` against `layer.training = mode`.
def really_drops(layer, x):
    before = layer.training
    layer.train()
    first = layer(x)
    found = any(not torch.equal(layer(x), first) for _ in range(100))
    layer.training = before
    return found


# %% mistake="really_drops" name="training against eval"
# You compared training with eval mode. They may differ without any dropout: batch norm has
# other statistics there.
# Look at: what changes from one pass to the next if something is dropped.
def really_drops(layer, x):
    before = layer.training
    layer.eval()
    quiet = layer(x)
    layer.train()
    found = any(not torch.equal(layer(x), quiet) for _ in range(100))
    layer.train(before)
    return found


# %% mistake="really_drops" name="hooks believed"
# You looked whether a hook is there. A hook on a module that is never called does nothing; only
# outputs tell.
# Look at: what your function does with `x`.
def really_drops(layer, x):
    return any(len(module._forward_hooks) > 0 for module in layer.modules())


# %% mistake="really_drops" name="says the opposite"
# You say True where all passes are alike.
# Look at: what your function is called.
def really_drops(layer, x):
    before = layer.training
    layer.train()
    first = layer(x)
    same = all(torch.equal(layer(x), first) for _ in range(100))
    layer.train(before)
    return same


# %% mistake="drop_tucker" name="not rescaled"
# You dropped and did not rescale.
# Look at: what an entry of the core is multiplied by when all its components stay.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        factors[mode] = factors[mode] * keep
    return core, factors


# %% mistake="drop_tucker" name="one scale for all modes"
# You rescaled once for all modes. An entry of the core survives only if *each* mode keeps its
# component, which is rarer with every mode.
# Look at: the probability that one entry of the core stays.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        factors[mode] = factors[mode] * keep
    return core / (1 - p) if modes else core, factors


# %% mistake="drop_tucker" name="one scale, even for no mode"
# You rescaled once for all modes. An entry of the core survives only if *each* mode keeps its
# component, which is rarer with every mode.
# Look at: the probability that one entry of the core stays.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        factors[mode] = factors[mode] * keep
    return core / (1 - p), factors


# %% mistake="drop_tucker" name="modes sorted"
# You went through the modes in their order and not in that of `modes`: keeps[k] belongs to
# modes[k], and `modes` may be (2, 1).
# Look at: which mask the last mode gets.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, sorted(modes)):
        factors[mode] = factors[mode] * keep / (1 - p)
    return core, factors


# %% mistake="drop_tucker" name="rank 1 left out"
# You left modes of rank 1 alone although `modes` names them. Whether to drop from them is decided
# by who calls; your function does what it is told.
# Look at: a mode of rank 1 in `modes` whose component goes.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        if len(keep) > 1:
            factors[mode] = factors[mode] * keep / (1 - p)
    return core, factors


# %% mistake="drop_tucker" name="skipped modes rescaled"
# You rescaled for every mode of the core, also for those from which nothing is dropped.
# Tensorly-torch 0.5.0 does the same.
# Look at: the exponent of 1 / (1 - p).
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        factors[mode] = factors[mode] * keep
    return core / (1 - p) ** core.ndim, factors


# %% mistake="drop_tucker" name="modes ignored"
# You gave the masks to the modes 0, 1, 2, ... in turn and did not look at `modes`.
# Look at: which mode keeps[k] belongs to.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for mode, keep in enumerate(keeps):
        factors[mode] = factors[mode] * keep / (1 - p)
    return core, factors


# %% mistake="drop_tucker" name="core and factors"
# You rescaled the core and the factors: each mode's scale comes in twice.
# Look at: how many times 1 / (1 - p) comes in for one mode.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        factors[mode] = factors[mode] * keep / (1 - p)
        core = core / (1 - p)
    return core, factors


# %% mistake="drop_tucker" name="scaled by 1 / p"
# You divided by p, as if it were the probability that a component stays.
# Look at: what happens at p near 0, where hardly anything is dropped.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        factors[mode] = factors[mode] * keep / p
    return core, factors


# %% mistake="drop_tucker" name="last mode only"
# Each of your products starts again from the factors that you were given, so only the last mode
# is dropped from.
# Look at: what becomes of the factor that you changed first.
def drop_tucker(core, factors, keeps, modes, p):
    result = list(factors)
    for keep, mode in zip(keeps, modes):
        result = list(factors)
        result[mode] = factors[mode] * keep / (1 - p)
    return core, result


# %% mistake="keep_masks" name="p kept"
# You gave p to what stays. Here p is the probability of dropping.
# Look at: the probability of the mask in which everything stays, at p = 0.
def keep_masks(rank, p):
    pairs = []
    for number in range(2**rank):
        keep = torch.tensor([bool(number >> r & 1) for r in range(rank)])
        kept = int(keep.sum())
        pairs.append((keep, p**kept * (1 - p) ** (rank - kept)))
    return pairs


# %% mistake="keep_masks" name="all equally likely"
# You made all masks equally likely. They are so at p = 0.5 alone.
# Look at: the most likely mask at p = 0.
def keep_masks(rank, p):
    numbers = range(2**rank)
    keeps = [torch.tensor([bool(number >> r & 1) for r in range(rank)]) for number in numbers]
    return [(keep, 1 / 2**rank) for keep in keeps]


# %% mistake="keep_masks" name="dropped ones forgotten"
# Your probabilities count what stays and forget what goes: they add up to more than 1.
# Look at: the sum of your probabilities.
def keep_masks(rank, p):
    pairs = []
    for number in range(2**rank):
        keep = torch.tensor([bool(number >> r & 1) for r in range(rank)])
        pairs.append((keep, (1 - p) ** int(keep.sum())))
    return pairs


# %% mistake="keep_masks" name="all dropped left out"
# You left out the mask in which everything is dropped. It comes with probability p ** rank, and
# a biased dropout often hides there.
# Look at: the number of masks, 2 ** rank.
def keep_masks(rank, p):
    pairs = []
    for number in range(1, 2**rank):
        keep = torch.tensor([bool(number >> r & 1) for r in range(rank)])
        kept = int(keep.sum())
        pairs.append((keep, (1 - p) ** kept * p ** (rank - kept)))
    return pairs


# %% mistake="keep_masks" name="one mask for each count"
# You have one mask for each *number* of components that stay. Which ones stay matters too.
# Look at: how many masks keep exactly one of three components.
def keep_masks(rank, p):
    pairs = []
    for kept in range(rank + 1):
        keep = torch.arange(rank) < kept
        pairs.append((keep, math.comb(rank, kept) * (1 - p) ** kept * p ** (rank - kept)))
    return pairs


# %% mistake="keep_masks" name="binomial"
# You gave each mask the probability that *so many* components stay, however they are spread. One
# mask is one way of many.
# Look at: the sum of your probabilities.
def keep_masks(rank, p):
    pairs = []
    for number in range(2**rank):
        keep = torch.tensor([bool(number >> r & 1) for r in range(rank)])
        kept = int(keep.sum())
        pairs.append((keep, math.comb(rank, kept) * (1 - p) ** kept * p ** (rank - kept)))
    return pairs


# %% mistake="keep_masks" name="impossible masks left out"
# You left out masks whose probability is 0. All 2 ** rank of them were asked for.
# Look at: p = 0.
def keep_masks(rank, p):
    pairs = []
    for number in range(2**rank):
        keep = torch.tensor([bool(number >> r & 1) for r in range(rank)])
        kept = int(keep.sum())
        pairs.append((keep, (1 - p) ** kept * p ** (rank - kept)))
    return [pair for pair in pairs if pair[1] > 0]


# %% mistake="keep_masks" name="computed in float32"
# Your probabilities are right to about seven digits: they were computed in float32, the default
# of torch. A bias as small as that would be taken for one of the dropout that you judge.
# Look at: the dtype of the tensor that your probabilities come from.
def keep_masks(rank, p):
    pairs = []
    for number in range(2**rank):
        keep = torch.tensor([bool(number >> r & 1) for r in range(rank)])
        pairs.append((keep, torch.where(keep, 1 - p, p).float().prod().item()))
    return pairs


# %% mistake="expected_weight" name="plain mean"
# You took the plain mean over the masks. At p = 0.1 the mask that keeps everything comes far
# more often than the one that drops everything.
# Look at: the probabilities that `keep_masks` gives you.
def expected_weight(dropout, rank, p):
    import itertools

    every = [[keep for keep, _ in keep_masks(r, p)] for r in rank]
    weights = [dropout(list(keeps), p) for keeps in itertools.product(*every)]
    return sum(weights) / len(weights)


# %% mistake="expected_weight" name="sum without probabilities"
# You summed the weights of all masks without their probabilities.
# Look at: the probabilities that `keep_masks` gives you.
def expected_weight(dropout, rank, p):
    import itertools

    every = [[keep for keep, _ in keep_masks(r, p)] for r in rank]
    return sum(dropout(list(keeps), p) for keeps in itertools.product(*every))


# %% mistake="expected_weight" name="one mode at a time"
# You went through the masks of one mode at a time, with the other modes kept whole. The masks
# of different modes are independent: every combination comes.
# Look at: how many combinations rank (2, 3) has.
def expected_weight(dropout, rank, p):
    total = 0
    for mode, r in enumerate(rank):
        for keep, chance in keep_masks(r, p):
            keeps = [torch.ones(s, dtype=torch.bool) for s in rank]
            keeps[mode] = keep
            total = total + chance * dropout(keeps, p)
    return total / len(rank)


# %% mistake="expected_weight" name="first mode only"
# You went through the masks of the first mode alone and kept the others whole.
# Look at: how many combinations rank (2, 3) has.
def expected_weight(dropout, rank, p):
    rest = [torch.ones(s, dtype=torch.bool) for s in rank[1:]]
    return sum(chance * dropout([keep, *rest], p) for keep, chance in keep_masks(rank[0], p))


# %% mistake="expected_weight" name="masks side by side"
# You paired the first masks of all modes, then the second ones, and so on. Every mask of one mode
# comes with every mask of the others.
# Look at: `zip` and `itertools.product`.
def expected_weight(dropout, rank, p):
    total = 0
    for pairs in zip(*[keep_masks(r, p) for r in rank]):
        total = total + math.prod(c for _, c in pairs) * dropout([k for k, _ in pairs], p)
    return total


# %% mistake="expected_weight" name="written into the dropout's weight"
# You multiplied the weight that the dropout gave you in place. It is not yours: the dropout may
# return the same tensor the next time.
# Look at: `*=` on what `dropout` returns.
def expected_weight(dropout, rank, p):
    import itertools

    total = 0
    for pairs in itertools.product(*[keep_masks(r, p) for r in rank]):
        weight = dropout([k for k, _ in pairs], p)
        weight *= math.prod(c for _, c in pairs)
        total = total + weight
    return total


# %% mistake="expected_weight" name="probabilities added"
# You added the probabilities of the modes. For all of them to come together they multiply.
# Look at: the sum of the probabilities over all combinations.
def expected_weight(dropout, rank, p):
    import itertools

    total = 0
    for pairs in itertools.product(*[keep_masks(r, p) for r in rank]):
        total = total + sum(c for _, c in pairs) * dropout([k for k, _ in pairs], p)
    return total


# %% mistake="expected_weight" name="likeliest mask"
# You took the weight of the likeliest mask. The mean needs all of them.
# Look at: what the dropout gives for the masks that are rare.
def expected_weight(dropout, rank, p):
    keeps = [max(keep_masks(r, p), key=lambda pair: pair[1])[0] for r in rank]
    return dropout(keeps, p)


# %% mistake="is_unbiased" name="one half only"
# You tried p = 0.5 alone, and it is there that dropping and keeping look the same: an
# implementation that takes one for the other, or always doubles, passes.
# Look at: how many values of p you try.
def is_unbiased(dropout, weight, rank):
    return torch.allclose(expected_weight(dropout, rank, 0.5), weight)


# %% mistake="is_unbiased" name="nothing dropped"
# You tried p = 0 alone, where nothing is dropped and nearly every implementation is right.
# Look at: how many values of p you try.
def is_unbiased(dropout, weight, rank):
    return torch.allclose(expected_weight(dropout, rank, 0.0), weight)


# %% mistake="is_unbiased" name="no p near 1"
# You tried small and middling p, and none near 1. There the scale is large, and an
# implementation that limits it goes wrong.
# Look at: the largest p that you try.
def is_unbiased(dropout, weight, rank):
    return all(torch.allclose(expected_weight(dropout, rank, p), weight) for p in (0.05, 0.3, 0.6))


# %% mistake="is_unbiased" name="no p near 0"
# You tried large p and none near 0. An implementation that does nothing for a small p passes.
# Look at: the smallest p above 0 that you try.
def is_unbiased(dropout, weight, rank):
    return all(torch.allclose(expected_weight(dropout, rank, p), weight) for p in (0.3, 0.6, 0.9))


# %% mistake="is_unbiased" name="sums compared"
# You compared the sums of the entries. One row too large and another too small cancel there.
# Look at: what you compare, a number or the whole weight.
def is_unbiased(dropout, weight, rank):
    return all(
        torch.allclose(expected_weight(dropout, rank, p).sum(), weight.sum())
        for p in (0.0, 0.05, 0.3, 0.5, 0.9)
    )


# %% mistake="is_unbiased" name="norms compared"
# You compared the norms. A weight whose rows are in the wrong places, or whose sign is turned, has
# the same norm.
# Look at: what you compare, a number or the whole weight.
def is_unbiased(dropout, weight, rank):
    return all(
        torch.allclose(expected_weight(dropout, rank, p).norm(), weight.norm())
        for p in (0.0, 0.05, 0.3, 0.5, 0.9)
    )


# %% mistake="is_unbiased" name="no absolute value"
# You took the largest difference without its sign: where the expected weight is too small
# everywhere, the largest difference is below 0.
# Look at: `.abs()`, and where it stands.
def is_unbiased(dropout, weight, rank):
    return all(
        bool((expected_weight(dropout, rank, p) - weight).max() < 1e-8)
        for p in (0.0, 0.05, 0.3, 0.5, 0.9)
    )


# %% mistake="is_unbiased" name="the middle left out"
# You left a wide gap between two values of p that you try, and a bias sits in it.
# Look at: the values of p below 0.5 that you try.
def is_unbiased(dropout, weight, rank):
    return all(torch.allclose(expected_weight(dropout, rank, p), weight) for p in (0.05, 0.9))


# %% mistake="is_unbiased" name="coarse tolerance"
# Your tolerance is so large that a small bias is lost in it. Rounding leaves some 15 digits of
# float64.
# Look at: the size of the difference up to which you say "the same".
def is_unbiased(dropout, weight, rank):
    return all(
        bool((expected_weight(dropout, rank, p) - weight).abs().max() < 1e-2)
        for p in (0.0, 0.05, 0.3, 0.5, 0.9)
    )


# %% mistake="is_unbiased" name="equal to the last digit"
# You ask for numbers that are equal to the last digit. A sum over many masks is rounded, so you
# accuse implementations that are right.
# Look at: `torch.equal` and `torch.allclose`.
def is_unbiased(dropout, weight, rank):
    return all(
        torch.equal(expected_weight(dropout, rank, p), weight) for p in (0.0, 0.05, 0.3, 0.5, 0.9)
    )


# %% mistake="is_unbiased" name="drawn at random"
# You drew masks at random and allowed for the noise. A small bias is smaller than that noise.
# With few components all masks can be listed, so there is no need to draw.
# Look at: `expected_weight`.
def is_unbiased(dropout, weight, rank):
    for p in (0.05, 0.3, 0.5, 0.9):
        total = 0
        for _ in range(100):
            total = total + dropout([torch.rand(r) >= p for r in rank], p)
        if (total / 100 - weight).abs().max() > 0.5 * weight.abs().max():
            return False
    return True


# %% mistake="is_unbiased" name="some p will do"
# You let every implementation through. One p at which it comes out right is not enough: at p =
# 0 nearly all do.
# Look at: `any` and `all`, or where your `return True` stands.
def is_unbiased(dropout, weight, rank):
    return any(
        torch.allclose(expected_weight(dropout, rank, p), weight) for p in (0.0, 0.3, 0.5, 0.9)
    )


# %% mistake="dropout_penalty" name="squared after the sum"
# You added up the components before you squared: that is the output, squared. Each component
# has its own coin, so it is their squares that add up.
# Look at: the order of the square and the sum over r.
def dropout_penalty(x, factors, p):
    z = x
    joint = factors[0]
    for f in factors[1:-1]:
        joint = (joint.unsqueeze(1) * f).flatten(0, 1)
    z = x.flatten(1) @ joint
    return p / (1 - p) * (z @ factors[-1].T).square().mean()


# %% mistake="dropout_penalty" name="variance not rescaled"
# Your factor is p (1 - p): the variance of a mask of zeros and ones. Yours holds 0 and 1 / (1 -
# p).
# Look at: what rescaling a number does to its variance.
def dropout_penalty(x, factors, p):
    joint = factors[0]
    for f in factors[1:-1]:
        joint = (joint.unsqueeze(1) * f).flatten(0, 1)
    c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
    return p * (1 - p) * c.square().sum(2).mean()


# %% mistake="dropout_penalty" name="factor forgotten"
# You left out the factor that depends on p: at p = 0 there is no penalty.
# Look at: the variance of one entry of the mask.
def dropout_penalty(x, factors, p):
    joint = factors[0]
    for f in factors[1:-1]:
        joint = (joint.unsqueeze(1) * f).flatten(0, 1)
    c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
    return c.square().sum(2).mean()


# %% mistake="dropout_penalty" name="summed over the batch"
# You summed over samples and outputs where the loss takes their mean.
# Look at: what `mse_loss` does with the squares.
def dropout_penalty(x, factors, p):
    joint = factors[0]
    for f in factors[1:-1]:
        joint = (joint.unsqueeze(1) * f).flatten(0, 1)
    c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
    return p / (1 - p) * c.square().sum()


# %% mistake="dropout_penalty" name="summed over the outputs"
# You took the mean over the samples and the sum over the outputs: N times too much. The loss is
# the mean over both.
# Look at: what `mse_loss` does with the squares.
def dropout_penalty(x, factors, p):
    joint = factors[0]
    for f in factors[1:-1]:
        joint = (joint.unsqueeze(1) * f).flatten(0, 1)
    c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
    return p / (1 - p) * c.square().sum(2).sum(1).mean()


# %% mistake="dropout_penalty" name="factor upside down"
# Your factor is (1 - p) / p. It should be 0 at p = 0 and grow with p.
# Look at: the curve of the factor above.
def dropout_penalty(x, factors, p):
    joint = factors[0]
    for f in factors[1:-1]:
        joint = (joint.unsqueeze(1) * f).flatten(0, 1)
    c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
    return (1 - p) / p * c.square().sum(2).mean()


# %% mistake="dropout_penalty" name="output factor left out"
# You left out the output factor: a component reaches output n times its entry in row n of V.
# Look at: how many indices the contribution of a component has.
def dropout_penalty(x, factors, p):
    joint = factors[0]
    for f in factors[1:-1]:
        joint = (joint.unsqueeze(1) * f).flatten(0, 1)
    return p / (1 - p) * (x.flatten(1) @ joint).square().sum(1).mean() + 0 * factors[-1].sum()


# %% mistake="dropout_penalty" name="modes in another order"
# You join the input factors in another order than the modes of x.
# Look at: which mode of x runs fastest in `x.flatten(1)`, and which in your product.
def dropout_penalty(x, factors, p):
    joint = factors[-2]
    for f in factors[-3::-1] if len(factors) > 2 else ():
        joint = (joint.unsqueeze(1) * f).flatten(0, 1)
    c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
    return p / (1 - p) * c.square().sum(2).mean()


# %% mistake="dropout_penalty" name="mean over the components"
# You took the mean over the components too. Their variances add up.
# Look at: the axes over which you take the mean.
def dropout_penalty(x, factors, p):
    joint = factors[0]
    for f in factors[1:-1]:
        joint = (joint.unsqueeze(1) * f).flatten(0, 1)
    c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
    return p / (1 - p) * c.square().mean()


# %% mistake="dropout_penalty" name="second moment"
# Your factor is 1 / (1 - p): the mean square of an entry of the mask. Its variance is that less
# the square of its mean.
# Look at: your penalty at p = 0.
def dropout_penalty(x, factors, p):
    joint = factors[0]
    for f in factors[1:-1]:
        joint = (joint.unsqueeze(1) * f).flatten(0, 1)
    c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
    return 1 / (1 - p) * c.square().sum(2).mean()


# %% mistake="dropout_penalty" name="weight decay"
# You squared the weight's components without the data. That is a weight decay; dropout weighs
# each component by what it contributes to the outputs.
# Look at: whether your result depends on `x`.
def dropout_penalty(x, factors, p):
    c = 1
    for f in factors:
        c = c * f.square().sum(0)
    return p / (1 - p) * c.sum()


# %% mistake="quiz_rank_one_modes" name="a"
# That is p * p: both modes would have to be dropped. One is enough.
# Look at: the probability that both of the single components stay.
quiz_rank_one_modes = "a"

# %% mistake="quiz_rank_one_modes" name="b"
# That is the probability that both stay.
# Look at: the question: in which share is *nothing* left?
quiz_rank_one_modes = "b"

# %% mistake="quiz_rank_one_modes" name="c"
# That is the share for one mode of rank 1; here there are two.
# Look at: the probability that both of the single components stay.
quiz_rank_one_modes = "c"

# %% mistake="quiz_all_stay" name="a"
# What stays is rescaled even if, by chance, nothing was dropped: the scale knows p and not the
# draw.
# Look at: your `drop_tucker` with masks that are all True.
quiz_all_stay = "a"

# %% mistake="quiz_all_stay" name="b"
# That is one mode's scale; three modes were dropped from.
# Look at: how many factors of 1 / (1 - p) one entry of the weight gets.
quiz_all_stay = "b"

# %% mistake="quiz_all_stay" name="d"
# The scale depends on how many *modes* are dropped from, not on how many components they have.
# Look at: how many factors of 1 / (1 - p) one entry of the weight gets.
quiz_all_stay = "d"

# %% mistake="quiz_forgot_eval" name="a"
# The mean of the outputs is right; a single output isn't.
# Look at: two passes on one image in training mode.
quiz_forgot_eval = "a"

# %% mistake="quiz_forgot_eval" name="b"
# Unbiased means that nothing is too small on average.
# Look at: the expected weight that you computed.
quiz_forgot_eval = "b"

# %% mistake="quiz_forgot_eval" name="d"
# Averaging many passes would take care of that. One pass is not many.
# Look at: two passes on one image in training mode.
quiz_forgot_eval = "d"
