"""Known answers of chapter 06."""

# %% right="drop_cp"
def drop_cp(factors, keep, p):
    mask = keep.to(factors[0].dtype) / (1 - p)
    return [factors[0] * mask, *factors[1:]]

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

# %% right="DropoutCP"
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
        return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T

def khatri(factors):
    out = factors[0]
    for f in factors[1:]:
        out = (out.unsqueeze(1) * f).flatten(0, 1)
    return out

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

# %% mistake="DropoutCP" name="drops in eval"
# You drop in eval mode too, so the trained network guesses anew each time it is asked.
# Look at: `self.training`, which `train()` and `eval()` set for you.
#-         factors = list(self.factors)
#-         if self.training:
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+         keep = torch.rand(self.factors[0].shape[1]) >= self.p
#+         factors = drop_cp(self.factors, keep, self.p)

# %% mistake="DropoutCP" name="one mask for ever"
# Your layer has one mask for ever: it is drawn when the layer is made, or `forward` sets a seed.
# What it drops can never learn, and the others never have to do without one another.
# Look at: how often new random numbers are drawn.
#-         self.factors, self.p = nn.ParameterList(factors), p
#+         self.factors, self.p = nn.ParameterList(factors), p
#+         self.keep = torch.rand(factors[0].shape[1]) >= p
#-         factors = list(self.factors)
#-         if self.training:
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+         factors = drop_cp(self.factors, self.keep, self.p) if self.training else self.factors

# %% mistake="DropoutCP" name="the other way round"
# You drop in eval mode and not in training mode.
# Look at: which of the two `self.training` stands for.
#- if self.training
#+ if not self.training

# %% mistake="DropoutCP" name="entries dropped"
# You dropped single entries of the factors, as nn.Dropout does. Tensor dropout drops whole
# components: one column, in every factor at once.
# Look at: how many random numbers you draw in one pass.
#-         factors = list(self.factors)
#-         if self.training:
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+         factors = [nn.functional.dropout(f, self.p, self.training) for f in self.factors]

# %% mistake="DropoutCP" name="not rescaled"
# You dropped and did not rescale, so that the outputs of training are smaller than those of
# eval.
# Look at: what your `drop_cp` is told about p, or what you multiply by in its place.
#- factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+ factors[0] = factors[0] * (torch.rand(factors[0].shape[1]) >= self.p)

# %% mistake="DropoutCP" name="a mask for each sample"
# Every sample of your batch has its own mask, as nn.Dropout on the (B, R) numbers would have
# it. That is a dropout too; here one mask is asked for, so that the batch shares one weight.
# Look at: how many random numbers you draw in one pass.
#-         factors = list(self.factors)
#-         if self.training:
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#-         return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T
#+         z = torch.einsum("zi,ir->zr", x.flatten(1), khatri(self.factors[:-1]))
#+         return nn.functional.dropout(z, self.p, self.training) @ self.factors[-1].T

# %% mistake="DropoutCP" name="p kept"
# You keep a component with probability p. Here p is the probability that it is dropped.
# Look at: the comparison that makes `keep`.
#- ) >= self
#+ ) < self

# %% mistake="DropoutCP" name="factors not registered"
# Your layer has no parameters: an optimizer would find nothing to train. A plain list of
# tensors is not seen by nn.Module.
# Look at: `nn.ParameterList`.
#- nn.ParameterList(factors)
#+ [nn.Parameter(f) for f in factors]

# %% mistake="DropoutCP" name="p = 1 taken"
# You take every p. At p = 1 everything is always dropped, and 1 / (1 - p) is no number.
# Look at: what `__init__` should say to p = 1, to p = 1.5 and to p = -0.1.
#-         if not 0 <= p < 1:
#-             raise ValueError("p")

# %% mistake="DropoutCP" name="nothing dropped"
# Your layer drops nothing, in training mode either. `drop_cp` returns new factors and leaves
# those that it gets as they are.
# Look at: whether what `drop_cp` returns is used, and whether that line is ever reached.
#- factors = drop_cp
#+ drop_cp

# %% mistake="DropoutCP" name="a fixed number dropped"
# You drop the same number of components in every pass and draw only which ones. Components have
# coins of their own: at times none goes, at times all.
# Look at: how many components can stay in one pass of yours.
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+             keep = torch.ones(factors[0].shape[1], dtype=torch.bool)
#+             keep[torch.randperm(len(keep))[: round(self.p * len(keep))]] = False
#+             factors = drop_cp(factors, keep, self.p)

# %% mistake="DropoutCP" name="one coin for all"
# You toss one coin for all components: they stay or go together. Each has a coin of its own.
# Look at: how many random numbers you draw in one pass.
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+             keep = (torch.rand(1) >= self.p).expand(factors[0].shape[1])
#+             factors = drop_cp(factors, keep, self.p)

# %% mistake="DropoutCP" name="modes in another order"
# You join the input factors in another order than the modes of x, so that rows meet entries of
# x that are not theirs.
# Look at: which mode of x runs fastest in `x.flatten(1)`, and which in your product.
#- factors[:
#+ factors[-2::

# %% wrong="DropoutCP" name="one left"
# Keeps a component where all would go.
#- factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+ keep = torch.rand(factors[0].shape[1]) >= self.p
#+             keep[0] |= not keep.any()
#+             factors = drop_cp(factors, keep, self.p)

# %% wrong="DropoutCP" name="one coin for all"
# All components share one coin.
#- torch.rand(factors[0].shape[1]) >= self.p,
#+ (torch.rand(1) >= self.p).expand(factors[0].shape[1]),

# %% wrong="DropoutCP" name="p = 1 taken for all"
# Only p above 1 is refused.
#- if not 0 <= p < 1
#+ if not 0 <= p <= 1

# %% wrong="DropoutCP" name="detached"
# No gradient reaches the factors.
#- factors = list(self.factors)
#+ factors = [f.data for f in self.factors[:-1]] + [self.factors[-1]]

# %% wrong="DropoutCP" name="two input modes at most"
# A third one is not thought of.
#- return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T
#+ if len(factors) == 2:
#+             return x @ factors[0] @ factors[1].T
#+         return torch.einsum("bij,ir,jr,nr->bn", x, *factors)

# %% wrong="DropoutCP" name="mask in float32"
# Seven digits of fifteen.
#- factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+ keep = torch.rand(factors[0].shape[1]) >= self.p
#+             factors[0] = factors[0] * (keep / (1 - self.p))

# %% wrong="DropoutCP" name="x in float32"
# The batch loses digits on the way.
#- x.flatten(1)
#+ x.float().to(factors[0].dtype).flatten(1)

# %% wrong="DropoutCP" name="p above 1 taken"
# Only p = 1 itself is refused.
#- not 0 <= p < 1
#+ p < 0 or p == 1

# %% wrong="DropoutCP" name="a bias"
# A parameter that is no factor.
#- self.factors, self.p = nn.ParameterList(factors), p
#+ self.factors, self.p = nn.ParameterList(factors), p
#+         self.bias = nn.Parameter(torch.zeros(len(factors[-1]), dtype=factors[-1].dtype))
#- @ factors[-1].T
#+ @ factors[-1].T + self.bias

# %% wrong="DropoutCP" name="seeded"
# The same random numbers in every pass.
#- factors = drop_cp(
#+ torch.manual_seed(0)
#+             factors = drop_cp(

# %% right="really_drops"
def really_drops(layer, x):
    before = layer.training
    layer.train()
    first = layer(x)
    found = any(not torch.equal(layer(x), first) for _ in range(100))
    layer.train(before)
    return found

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
#- train(before)
#+ training = before

# %% mistake="really_drops" name="training against eval"
# You compared training with eval mode. They may differ without any dropout: batch norm has
# other statistics there.
# Look at: what changes from one pass to the next if something is dropped.
#-     layer.train()
#-     first = layer(x)
#+     first = layer.eval()(x)
#+     layer.train()

# %% mistake="really_drops" name="hooks believed"
# You looked whether a hook is there. A hook on a module that is never called does nothing; only
# outputs tell.
# Look at: what your function does with `x`.
def really_drops(layer, x):
    return any(len(module._forward_hooks) > 0 for module in layer.modules())

# %% mistake="really_drops" name="says the opposite"
# You say True where all passes are alike.
# Look at: what your function is called.
#- found = any(not torch
#+ same = all(torch
#- found
#+ same

# %% wrong="really_drops" name="thirty passes"
# Too few for p = 0.1, though they often find it.
#- 100
#+ 30

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
#- 100
#+ 3

# %% wrong="really_drops" name="left in eval mode"
# Always eval afterwards.
#-     before = layer.training
#
#- train(before
#+ eval(

# %% right="drop_tucker"
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        factors[mode] = factors[mode] * keep / (1 - p)
    return core, factors

# %% answer="drop_tucker" name="plain zeros"
# Columns one by one.
#-         factors[mode] = factors[mode] * keep / (1 - p)
#+         old = factors[mode]
#+         columns = [
#+             old[:, r] / (1 - p) if keep[r] else torch.zeros_like(old[:, r]) for r in range(len(keep))
#+         ]
#+         factors[mode] = torch.stack(columns, 1)

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
#-         factors[mode] = factors[mode] * keep / (1 - p)
#+         index = keep.nonzero().flatten()
#+         factors[mode] = factors[mode][:, index]
#+         core = core.index_select(mode, index) / (1 - p)

# %% answer="drop_tucker" name="with drop_cp"
# One factor at a time by drop_cp.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for k, mode in enumerate(modes):
        (factors[mode],) = drop_cp([factors[mode]], keeps[k], p)
    return core, factors

# %% mistake="drop_tucker" name="not rescaled"
# You dropped and did not rescale.
# Look at: what an entry of the core is multiplied by when all its components stay.
#- keep / (1 - p)
#+ keep

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
#- , modes)
#+ , sorted(modes))

# %% mistake="drop_tucker" name="rank 1 left out"
# You left modes of rank 1 alone although `modes` names them. Whether to drop from them is decided
# by who calls; your function does what it is told.
# Look at: a mode of rank 1 in `modes` whose component goes.
#-         factors[mode] = factors[mode] * keep / (1 - p)
#+         if len(keep) > 1:
#+             factors[mode] = factors[mode] * keep / (1 - p)

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
#- for keep, mode in zip(keeps, modes):
#+ for mode, keep in enumerate(keeps):

# %% mistake="drop_tucker" name="core and factors"
# You rescaled the core and the factors: each mode's scale comes in twice.
# Look at: how many times 1 / (1 - p) comes in for one mode.
#-         factors[mode] = factors[mode] * keep / (1 - p)
#+         factors[mode] = factors[mode] * keep / (1 - p)
#+         core = core / (1 - p)

# %% mistake="drop_tucker" name="scaled by 1 / p"
# You divided by p, as if it were the probability that a component stays.
# Look at: what happens at p near 0, where hardly anything is dropped.
#- (1 - p)
#+ p

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

# %% wrong="drop_tucker" name="first modes skipped"
# Modes of size 1 are found by size.
#-     for keep, mode in zip(keeps, modes):
#+     for keep in keeps:
#+         mode = [f.shape[1] for f in factors].index(len(keep))

# %% wrong="drop_tucker" name="no mode, still scaled"
# With no mode a scale is left.
def drop_tucker(core, factors, keeps, modes, p):
    factors = list(factors)
    for keep, mode in zip(keeps, modes):
        factors[mode] = factors[mode] * keep
    return core / (1 - p) ** max(1, len(modes)), factors

# %% wrong="drop_tucker" name="in place"
# Writes into the list that it was given.
#-     factors = list(factors)

# %% right="keep_masks"
def keep_masks(rank, p):
    pairs = []
    for number in range(2**rank):
        keep = torch.tensor([bool(number >> r & 1) for r in range(rank)])
        kept = int(keep.sum())
        pairs.append((keep, (1 - p) ** kept * p ** (rank - kept)))
    return pairs

# %% answer="keep_masks" name="binary digits"
# Count and read the digits; one product for the probability.
#-         kept = int(keep.sum())
#-         pairs.append((keep, (1 - p) ** kept * p ** (rank - kept)))
#+         pairs.append((keep, (keep.double() * (1 - 2 * p) + p).prod().item()))

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

# %% mistake="keep_masks" name="p kept"
# You gave p to what stays. Here p is the probability of dropping.
# Look at: the probability of the mask in which everything stays, at p = 0.
#- (1 - p) ** kept * p
#+ p**kept * (1 - p)

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
#-         kept = int(keep.sum())
#-         pairs.append((keep, (1 - p) ** kept * p ** (rank - kept)))
#+         pairs.append((keep, (1 - p) ** int(keep.sum())))

# %% mistake="keep_masks" name="all dropped left out"
# You left out the mask in which everything is dropped. It comes with probability p ** rank, and
# a biased dropout often hides there.
# Look at: the number of masks, 2 ** rank.
#- (2
#+ (1, 2

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
#- , (1
#+ , math.comb(rank, kept) * (1

# %% mistake="keep_masks" name="impossible masks left out"
# You left out masks whose probability is 0. All 2 ** rank of them were asked for.
# Look at: p = 0.
#- return pairs
#+ return [pair for pair in pairs if pair[1] > 0]

# %% mistake="keep_masks" name="computed in float32"
# Your probabilities are right to about seven digits: they were computed in float32, the default
# of torch. A bias as small as that would be taken for one of the dropout that you judge.
# Look at: the dtype of the tensor that your probabilities come from.
#-         kept = int(keep.sum())
#-         pairs.append((keep, (1 - p) ** kept * p ** (rank - kept)))
#+         pairs.append((keep, torch.where(keep, 1 - p, p).float().prod().item()))

# %% wrong="keep_masks" name="duplicates"
# Every mask twice with half its probability.
#- pairs.append((keep, (1 - p) ** kept * p ** (rank - kept)))
#+ pairs += [(keep, 0.5 * (1 - p) ** kept * p ** (rank - kept))] * 2

# %% wrong="keep_masks" name="scaled masks"
# Numbers instead of bools.
#- keep,
#+ keep / (1 - p),

# %% right="expected_weight"
def expected_weight(dropout, rank, p):
    pairs = keep_masks(sum(rank), p)
    return torch.stack([chance * dropout(keep.split(rank), p) for keep, chance in pairs]).sum(0)

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

# %% wrong="expected_weight" name="all dropped left out"
# The mask of Falses is left out.
#- in pairs]
#+ in pairs if all(k.any() for k in keep.split(rank))]

# %% wrong="expected_weight" name="right by definition"
# Believes that every dropout is unbiased.
def expected_weight(dropout, rank, p):
    return dropout([torch.ones(r, dtype=torch.bool) for r in rank], 0.0)

# %% wrong="expected_weight" name="drawn"
# Draws masks at random.
def expected_weight(dropout, rank, p):
    draws = [dropout([torch.rand(r) >= p for r in rank], p) for _ in range(1000)]
    return sum(draws) / len(draws)

# %% right="is_unbiased"
def is_unbiased(dropout, weight, rank):
    for p in (0.03, 0.05, 0.3, 0.5, 0.85, 0.95):
        mean = expected_weight(dropout, rank, p)
        if not torch.allclose(mean, weight):
            return False
    return True

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
#- if not torch.allclose(mean, weight):
#+ if not (mean - weight).max() < 1e-8:

# %% wrong="is_unbiased" name="no abs, too large"
# Says True of what is too large.
#- if not torch.allclose(mean, weight):
#+ if not (weight - mean).max() < 1e-8:

# %% wrong="is_unbiased" name="close norms"
# Rows in other places.
#- mean, weight
#+ mean.norm(), weight.norm()

# %% wrong="is_unbiased" name="norm and sum"
# Rows in other places keep both.
#- if not torch.allclose(mean, weight):
#+ if not (torch.allclose(mean.norm(), weight.norm()) and torch.allclose(mean.sum(), weight.sum())):

# %% wrong="is_unbiased" name="off by a hundredth"
# A small bias is lost.
#- if not torch.allclose(mean, weight):
#+ if not (mean - weight).abs().max() < 1e-2:

# %% wrong="is_unbiased" name="off by a thousandth"
# A small bias is lost.
#- if not torch.allclose(mean, weight):
#+ if not (mean - weight).norm() < 1e-3 * weight.norm():

# %% wrong="is_unbiased" name="p in 0.05, 0.85"
# Nothing between 0.2 and 0.45.
#- 03, 0.05, 0.3, 0.5, 0.85, 0.95
#+ 05, 0.85

# %% wrong="is_unbiased" name="p in 0.01, 0.99"
# Nothing between 0.2 and 0.45.
#- 03, 0.05, 0.3, 0.5, 0.85, 0.95
#+ 01, 0.99

# %% wrong="is_unbiased" name="p in 0.001, 0.999"
# Nothing between 0.2 and 0.45.
#- 03, 0.05, 0.3, 0.5, 0.85, 0.95
#+ 001, 0.999

# %% wrong="is_unbiased" name="p in 0.09, 0.5, 0.81"
# Nothing between 0.2 and 0.45.
#- 03, 0.05, 0.3, 0.5, 0.85, 0.95
#+ 09, 0.5, 0.81

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

# %% right="dropout_penalty"
def dropout_penalty(x, factors, p):
    joint = factors[0]
    for f in factors[1:-1]:
        joint = (joint.unsqueeze(1) * f).flatten(0, 1)
    c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
    return p / (1 - p) * c.square().sum(2).mean()

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

# %% mistake="dropout_penalty" name="squared after the sum"
# You added up the components before you squared: that is the output, squared. Each component
# has its own coin, so it is their squares that add up.
# Look at: the order of the square and the sum over r.
#-     c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
#-     return p / (1 - p) * c.square().sum(2).mean()
#+     z = x.flatten(1) @ joint
#+     return p / (1 - p) * (z @ factors[-1].T).square().mean()

# %% mistake="dropout_penalty" name="variance not rescaled"
# Your factor is p (1 - p): the variance of a mask of zeros and ones. Yours holds 0 and 1 / (1 -
# p).
# Look at: what rescaling a number does to its variance.
#- p / (
#+ p * (

# %% mistake="dropout_penalty" name="factor forgotten"
# You left out the factor that depends on p: at p = 0 there is no penalty.
# Look at: the variance of one entry of the mask.
#- return p / (1 - p) * c
#+ return c

# %% mistake="dropout_penalty" name="summed over the batch"
# You summed over samples and outputs where the loss takes their mean.
# Look at: what `mse_loss` does with the squares.
#- (2).mean(
#+ (

# %% mistake="dropout_penalty" name="summed over the outputs"
# You took the mean over the samples and the sum over the outputs: N times too much. The loss is
# the mean over both.
# Look at: what `mse_loss` does with the squares.
#- .mean
#+ .sum(1).mean

# %% mistake="dropout_penalty" name="factor upside down"
# Your factor is (1 - p) / p. It should be 0 at p = 0 and grow with p.
# Look at: the curve of the factor above.
#- p / (1 - p)
#+ (1 - p) / p

# %% mistake="dropout_penalty" name="output factor left out"
# You left out the output factor: a component reaches output n times its entry in row n of V.
# Look at: how many indices the contribution of a component has.
#-     c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
#-     return p / (1 - p) * c.square().sum(2).mean()
#+     return p / (1 - p) * (x.flatten(1) @ joint).square().sum(1).mean() + 0 * factors[-1].sum()

# %% mistake="dropout_penalty" name="modes in another order"
# You join the input factors in another order than the modes of x.
# Look at: which mode of x runs fastest in `x.flatten(1)`, and which in your product.
#-     joint = factors[0]
#-     for f in factors[1:-1]:
#+     joint = factors[-2]
#+     for f in factors[-3::-1] if len(factors) > 2 else ():

# %% mistake="dropout_penalty" name="mean over the components"
# You took the mean over the components too. Their variances add up.
# Look at: the axes over which you take the mean.
#- .sum(2).
#+ .

# %% mistake="dropout_penalty" name="second moment"
# Your factor is 1 / (1 - p): the mean square of an entry of the mask. Its variance is that less
# the square of its mean.
# Look at: your penalty at p = 0.
#- return p /
#+ return 1 /

# %% mistake="dropout_penalty" name="weight decay"
# You squared the weight's components without the data. That is a weight decay; dropout weighs
# each component by what it contributes to the outputs.
# Look at: whether your result depends on `x`.
def dropout_penalty(x, factors, p):
    c = 1
    for f in factors:
        c = c * f.square().sum(0)
    return p / (1 - p) * c.sum()

# %% wrong="dropout_penalty" name="two input modes"
# Only the first two input factors.
def dropout_penalty(x, factors, p):
    joint = (factors[0].unsqueeze(1) * factors[1]).flatten(0, 1)
    c = (x.flatten(1) @ joint).unsqueeze(1) * factors[-1]
    return p / (1 - p) * c.square().sum(2).mean()

# %% wrong="dropout_penalty" name="detached"
# No gradient reaches the factors.
#- .square
#+ .detach().square

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
