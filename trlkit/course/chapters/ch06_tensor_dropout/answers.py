"""Known answers of chapter 06."""

# %% right="really_drops"
def really_drops(layer, x):
    from copy import deepcopy

    layer = deepcopy(layer).train()
    first = layer(x)
    return any(not torch.equal(layer(x), first) for _ in range(100))

# %% answer="really_drops" name="list of outputs"
# All outputs of a copy stacked; 66 passes.
def really_drops(layer, x):
    import copy

    asked = copy.deepcopy(layer)
    asked.train()
    with torch.no_grad():
        outputs = torch.stack([asked(x) for _ in range(66)])
    return bool((outputs != outputs[0]).any())

# %% answer="really_drops" name="put back"
# The layer itself is asked; its mode and its buffers are put back.
def really_drops(layer, x):
    modes = {module: module.training for module in layer.modules()}
    buffers = [buffer.clone() for buffer in layer.buffers()]
    layer.train()
    with torch.no_grad():
        last, found = layer(x), False
        for _ in range(80):
            now = layer(x)
            if (now != last).any():
                found = True
                break
            last = now
        for buffer, before in zip(layer.buffers(), buffers):
            buffer.copy_(before)
    for module, mode in modes.items():
        module.training = mode
    return found

# %% mistake="really_drops" name="two passes only"
# You compared too few passes. With p = 0.1 some masks running are often alike, and you say that
# nothing is dropped.
# Look at: the probability that rank 1 with p = 0.1 drops nothing in all of your passes.
#-     first = layer(x)
#-     return any(not torch.equal(layer(x), first) for _ in range(100))
#+     return not torch.equal(layer(x), layer(x))

# %% mistake="really_drops" name="not set to training mode"
# A layer that comes in eval mode drops in training mode, and you say that it does not.
# Look at: the mode of the layer, and of all modules inside it, while you call it.
#- (layer).train()
#+ (layer)

# %% mistake="really_drops" name="left in training mode"
# You leave the layer in training mode. Whoever goes on in eval mode now gets random outputs.
# Look at: whether you ask the layer that you were given, or a copy of it.
#- deepcopy(layer).train()
#+ layer.train()

# %% mistake="really_drops" name="modules inside left in training mode"
# The layer is in the mode in which it came, but modules inside it are still in training mode,
# and go on dropping. `layer.train()` changes them all.
# Look at: `layer.train(mode)` against `layer.training = mode`, and what a shallow copy shares.
#-     from copy import deepcopy
#-
#-     layer = deepcopy(layer).train()
#+     before = layer.training
#+     layer.train()
#-     return any(not torch.equal(layer(x), first) for _ in range(100))
#+     found = any(not torch.equal(layer(x), first) for _ in range(100))
#+     layer.training = before
#+     return found

# %% mistake="really_drops" name="batch norm moved"
# You put the mode back, but each pass in training mode moves the running statistics of a batch
# norm, so that the layer answers otherwise in eval mode than before your test.
# Look at: what a pass in training mode changes beside the mode.
def really_drops(layer, x):
    before = layer.training
    layer.train()
    first = layer(x)
    found = any(not torch.equal(layer(x), first) for _ in range(100))
    layer.train(before)
    return found

# %% mistake="really_drops" name="training against eval"
# You compared training with eval mode. They may differ without any dropout: batch norm has
# other statistics there.
# Look at: what changes from one pass to the next if something is dropped.
#-     first = layer(x)
#+     first = layer.eval()(x)
#+     layer.train()

# %% mistake="really_drops" name="hooks believed"
# You never ran the layer, you only looked at what is attached to it. A hook on a module that is
# never called does nothing, and a dropout may have no hook; only outputs tell.
# Look at: what your function does with `x`.
def really_drops(layer, x):
    return any(len(module._forward_hooks) > 0 for module in layer.modules())

# %% mistake="really_drops" name="says the opposite"
# You say True where all passes are alike.
# Look at: what your function is called.
#- any(not
#+ all(

# %% mistake="really_drops" name="tolerance"
# Outputs of about 1e-12 change from pass to pass, and you say that nothing is dropped. A tolerance
# that does not know how large the outputs are, such as that of `torch.allclose`, does that.
# Look at: whether two passes with the same mask differ at all.
#- torch.equal(layer
#+ torch.allclose(layer

# %% mistake="really_drops" name="outputs added up"
# Where each output comes with both signs, you say that nothing is dropped. All of them add up to 0
# there, whatever the mask.
# Look at: what you compare, one number or all outputs.
#- torch.equal(layer(x), first)
#+ torch.equal(layer(x).sum(), first.sum())

# %% mistake="really_drops" name="one output"
# Where the first outputs stay and the others change, you say that nothing is dropped.
# Look at: which outputs of a pass you compare, and whether all of them must change.
#- torch.equal(layer(x), first)
#+ torch.equal(layer(x)[0, 0], first[0, 0])

# %% mistake="really_drops" name="one sample"
# Where all samples but the last are 0, only the outputs of the last can change, and you say that
# nothing is dropped.
# Look at: which outputs of a pass you compare.
#- torch.equal(layer(x), first)
#+ torch.equal(layer(x)[0], first[0])

# %% mistake="really_drops" name="norms compared"
# Where two outputs change places from pass to pass, you say that nothing is dropped. Their norm
# and their sum stay as they are.
# Look at: what you compare, one number or all outputs.
#- torch.equal(layer(x), first)
#+ torch.equal(layer(x).norm(), first.norm())

# %% mistake="really_drops" name="relative tolerance"
# Where the outputs change by less than one part in a million, you say that nothing is dropped.
# Look at: how small a change you take for none, and whether it need be a change of the class.
#- torch.equal(layer(x), first)
#+ torch.allclose(layer(x), first, atol=0)

# %% mistake="really_drops" name="class"
# Where the outputs change by less than one part in a million, you say that nothing is dropped.
# Look at: how small a change you take for none, and whether it need be a change of the class.
#- torch.equal(layer(x), first)
#+ torch.equal(layer(x).argmax(1), first.argmax(1))

# %% wrong="really_drops" name="two samples"
# The others are not looked at.
#-     first = layer(x)
#+     x = x[:2]
#+     first = layer(x)

# %% wrong="really_drops" name="as text"
# Four digits of each output.
#-     first = layer(x)
#-     return any(not torch.equal(layer(x), first) for _ in range(100))
#+     return len({str(layer(x)) for _ in range(100)}) > 1

# %% wrong="really_drops" name="an output that is 0"
# Takes every 0 for a dropped one, and needs one.
#-     first = layer(x)
#-     return any(not torch.equal(layer(x), first) for _ in range(100))
#+     return any((layer(x) == 0).any().item() for _ in range(100))

# %% wrong="really_drops" name="thirty passes"
# Too few for p = 0.1, though they often find it.
#- 100
#+ 30

# %% wrong="really_drops" name="one too few"
# 65 passes in all.
#- 100
#+ 64

# %% wrong="really_drops" name="training set by hand"
# The layer alone is put in training mode; what is inside stays in eval mode.
#- deepcopy(layer).train()
#+ deepcopy(layer)
#+     layer.training = True

# %% wrong="really_drops" name="woken up"
# A frozen layer learns afterwards.
def really_drops(layer, x):
    from copy import deepcopy

    asked = deepcopy(layer).train()
    layer.requires_grad_(False)
    first = asked(x)
    found = any(not torch.equal(asked(x), first) for _ in range(100))
    layer.requires_grad_(True)
    return found

# %% wrong="really_drops" name="a counter moved"
# Statistics are put back, but not how many batches a batch norm has seen.
def really_drops(layer, x):
    before = layer.training
    buffers = {b: b.clone() for b in layer.buffers() if b.is_floating_point()}
    layer.train()
    with torch.no_grad():
        first = layer(x)
        found = any(not torch.equal(layer(x), first) for _ in range(100))
        for buffer, held in buffers.items():
            buffer.copy_(held)
    layer.train(before)
    return found

# %% wrong="really_drops" name="left in eval mode"
# Always eval afterwards.
#-     return any(not torch.equal(layer(x), first) for _ in range(100))
#+     found = any(not torch.equal(layer(x), first) for _ in range(100))
#+     given.eval()
#+     return found
#-     layer = deepcopy
#+     given, layer = layer, deepcopy

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
# A component of yours is rescaled once for each factor, as where every factor is rescaled: it is
# their product. A mask of zeros and ones may be multiplied in several times; a scale may not.
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
# Your mask has the default dtype, float32: a bool tensor divided by a number has it, and so has
# `keep.float()`. Your float64 factors then lose digits, and with bfloat16 factors the result would
# no longer be bfloat16.
# Look at: the dtype of your mask, before it meets a factor.
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

# %% wrong="drop_cp" name="nothing goes at p = 0"
# What `keep` says is not looked at there.
def drop_cp(factors, keep, p):
    if p == 0:
        return list(factors)
    return [factors[0] * keep / (1 - p), *factors[1:]]

# %% wrong="drop_cp" name="in place"
# Changes the factor that it got.
def drop_cp(factors, keep, p):
    with torch.no_grad():
        factors[0][:, ~keep] = 0
    return [factors[0] / (1 - p), *factors[1:]]

# %% wrong="drop_cp" name="scale in the second factor"
# Raises where there is only one.
def drop_cp(factors, keep, p):
    return [factors[0] * keep, factors[1] / (1 - p), *factors[2:]]

# %% wrong="drop_cp" name="always float64"
# The mask is float64 whatever the factors are.
def drop_cp(factors, keep, p):
    return [factors[0] * (keep.double() / (1 - p)), *factors[1:]]

# %% wrong="drop_cp" name="viewed"
# Raises where a factor is not contiguous.
def drop_cp(factors, keep, p):
    mask = keep.to(factors[0].dtype) / (1 - p)
    return [(factors[0].view(-1) * mask.repeat(len(factors[0]))).view(-1, len(keep)), *factors[1:]]

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
# Your layer has one mask in all passes of training, as if it were drawn once and kept, or
# `forward` set a seed. What it drops does not learn, and the others never have to do without one
# another.
# Look at: how often new random numbers are drawn.
#-         self.factors, self.p = nn.ParameterList(factors), p
#+         self.factors, self.p = nn.ParameterList(factors), p
#+         self.keep = torch.rand(factors[0].shape[1]) >= p
#-         factors = list(self.factors)
#-         if self.training:
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+         factors = drop_cp(self.factors, self.keep, self.p) if self.training else self.factors

# %% mistake="DropoutCP" name="one mask until eval"
# Your layer has one mask in all passes of training, as if it were drawn once and kept, or
# `forward` set a seed. What it drops does not learn, and the others never have to do without one
# another.
# Look at: how often new random numbers are drawn.
#-         factors = list(self.factors)
#-         if self.training:
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+         factors = list(self.factors)
#+         if not self.training:
#+             self.keep = None
#+         elif getattr(self, "keep", None) is None:
#+             self.keep = torch.rand(factors[0].shape[1]) >= self.p
#+         if self.training:
#+             factors = drop_cp(factors, self.keep, self.p)

# %% mistake="DropoutCP" name="the other way round"
# You drop in eval mode and not in training mode.
# Look at: which of the two `self.training` stands for.
#- if self.training
#+ if not self.training

# %% mistake="DropoutCP" name="entries dropped"
# Some of your outputs belong to no mask of whole components. `nn.Dropout` on the factors, on x
# or on the outputs does that: it drops single entries. Here one column goes, in every factor at
# once.
# Look at: how many random numbers you draw in one pass, and what they are multiplied with.
#-         factors = list(self.factors)
#-         if self.training:
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+         factors = [nn.functional.dropout(f, self.p, self.training) for f in self.factors]

# %% mistake="DropoutCP" name="outputs dropped"
# Some of your outputs belong to no mask of whole components. `nn.Dropout` on the factors, on x
# or on the outputs does that: it drops single entries. Here one column goes, in every factor at
# once.
# Look at: how many random numbers you draw in one pass, and what they are multiplied with.
#-         if self.training:
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#-         return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T
#+         y = torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T
#+         return nn.functional.dropout(y, self.p, self.training)

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
# Your layer has no parameters: an optimizer would find nothing to train. nn.Module does not look
# into a plain list, and takes neither a plain tensor nor a buffer for a parameter.
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

# %% mistake="DropoutCP" name="weight kept"
# Your layer answers in eval mode with factors that it no longer has: they have changed, as in
# training, and its output has not. A weight that is computed once and kept does that.
# Look at: what `forward` computes anew in eval mode.
#-         factors = list(self.factors)
#-         if self.training:
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#-         return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T
#+         factors = list(self.factors)
#+         if self.training:
#+             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+             return x.flatten(1) @ khatri(factors[:-1]) @ factors[-1].T
#+         if not hasattr(self, "weight"):
#+             self.weight = khatri(factors[:-1]) @ factors[-1].T
#+         return x.flatten(1) @ self.weight

# %% wrong="DropoutCP" name="always float64"
# Whatever the factors are.
#- x.flatten(1), khatri(factors[:-1])) @ factors[-1].T
#+ x.flatten(1), khatri(factors[:-1])).double() @ factors[-1].double().T

# %% wrong="DropoutCP" name="float64 in training mode"
# The mask is float64 whatever the factors are.
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#-         return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T
#+             keep = torch.rand(factors[0].shape[1]) >= self.p
#+             z = x.flatten(1) @ khatri(factors[:-1]) * keep.double() / (1 - self.p)
#+             return z @ factors[-1].to(z.dtype).T
#+         return torch.einsum("zi,ir->zr", x.flatten(1), khatri(factors[:-1])) @ factors[-1].T

# %% wrong="DropoutCP" name="cut from what comes before"
# No gradient reaches x.
#- x.flatten(1)
#+ x.detach().flatten(1)

# %% wrong="DropoutCP" name="cut in eval mode"
# An attack on the trained network finds no gradient.
#- x.flatten(1)
#+ (x if self.training else x.data).flatten(1)

# %% wrong="DropoutCP" name="detached in eval mode"
# What eval mode gives has no gradient.
#- khatri(factors[:-1])) @ factors[-1].T
#+ khatri(factors[:-1])) @ (factors[-1] if self.training else factors[-1].detach()).T

# %% mistake="DropoutCP" name="parameters overwritten"
# A pass in training mode changes your parameters: what is dropped is then gone from the layer for
# good, and what stays is rescaled again in each pass.
# Look at: what you write the dropped factors into.
#- factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+ keep = torch.rand(factors[0].shape[1]) >= self.p
#+             factors[0].data = drop_cp(factors, keep, self.p)[0].data

# %% mistake="DropoutCP" name="put in eval mode"
# After some passes in training mode your layer is in eval mode, and drops nothing until `train()`
# is called again. Which mode it is in is decided by who trains.
# Look at: whether `forward` changes the mode.
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+             self.eval()

# %% wrong="DropoutCP" name="a mask for two passes"
# New coins in every second pass.
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+             self.passes = getattr(self, "passes", 0) + 1
#+             if self.passes % 2:
#+                 self.keep = torch.rand(factors[0].shape[1]) >= self.p
#+             factors = drop_cp(factors, self.keep, self.p)

# %% wrong="DropoutCP" name="two share a coin"
# The first component and the last one.
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+             keep = torch.rand(factors[0].shape[1]) >= self.p
#+             keep[-1] = keep[0]
#+             factors = drop_cp(factors, keep, self.p)

# %% wrong="DropoutCP" name="normal numbers"
# They are above p more or less often than 1 - p.
#- torch.rand(
#+ torch.randn(

# %% wrong="DropoutCP" name="entries of x dropped"
# No component is.
#-         if self.training:
#-             factors = drop_cp(factors, torch.rand(factors[0].shape[1]) >= self.p, self.p)
#+         x = nn.functional.dropout(x, self.p, self.training)

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

# %% mistake="DropoutCP" name="0 is dropped"
# At p = 0 your layer can drop: `torch.rand` draws from [0, 1), 0 itself included, and your
# comparison takes that for a component that goes.
# Look at: `>` and `>=`.
#- ) >= self
#+ ) > self

# %% wrong="DropoutCP" name="viewed"
# Raises where x is not contiguous.
#- x.flatten(1)
#+ x.view(len(x), -1)

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
# Only the last of the modes in `modes` is dropped from. A product that starts again from the
# factors that you were given undoes the one before it.
# Look at: what becomes of the factor that you changed first, if you change it.
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

# %% wrong="drop_tucker" name="nothing goes at p = 0"
# What `keeps` say is not looked at there.
#-     factors = list(factors)
#+     if p == 0:
#+         return core, factors
#+     factors = list(factors)

# %% wrong="drop_tucker" name="in place"
# Writes into the list that it was given.
#-     factors = list(factors)

# %% wrong="drop_tucker" name="always float64"
# The masks are float64 whatever the pieces are.
#- * keep
#+ * keep.double()

# %% right="expected_weight"
def expected_weight(dropout, rank, p):
    import itertools

    total = 0
    for coins in itertools.product([False, True], repeat=sum(rank)):
        chance = math.prod(1 - p if stays else p for stays in coins)
        total = total + chance * dropout(list(torch.tensor(coins).split(list(rank))), p)
    return total

# %% answer="expected_weight" name="mode by mode"
# Recursion over the modes, counting for the masks of one.
def expected_weight(dropout, rank, p):
    def mean(keeps):
        if len(keeps) == len(rank):
            return dropout(keeps, p)
        size, total = rank[len(keeps)], 0
        for number in range(2**size):
            keep = torch.tensor([bool(number >> r & 1) for r in range(size)])
            kept = int(keep.sum())
            total = total + (1 - p) ** kept * p ** (size - kept) * mean([*keeps, keep])
        return total

    return mean([])

# %% answer="expected_weight" name="stacked"
# Probabilities in one float64 tensor.
def expected_weight(dropout, rank, p):
    masks = torch.cartesian_prod(*[torch.tensor([False, True])] * sum(rank)).reshape(-1, sum(rank))
    chances = (masks.double() * (1 - 2 * p) + p).prod(dim=1)
    weights = torch.stack([dropout(list(mask.split(rank)), p) for mask in masks])
    return torch.tensordot(chances.to(weights.dtype), weights, dims=1)

# %% mistake="expected_weight" name="plain mean"
# You gave every mask the same weight. At p = 0.1 the mask that keeps everything comes far
# more often than the one that drops everything.
# Look at: the probability of one mask.
#- 1 - p if stays else p for
#+ 0.5 for

# %% mistake="expected_weight" name="sum without probabilities"
# You summed the weights of all masks without their probabilities.
# Look at: how large your result is for a dropout that drops nothing.
#- chance * dropout
#+ dropout

# %% mistake="expected_weight" name="p kept"
# You gave p to what stays. Here p is the probability of dropping.
# Look at: the probability of the mask in which everything stays, at p = 0.
#- 1 - p if stays else p
#+ p if stays else 1 - p

# %% mistake="expected_weight" name="dropped ones forgotten"
# Your probabilities count what stays and forget what goes: they add up to more than 1.
# Look at: the sum of your probabilities.
#- 1 - p if stays else p
#+ 1 - p if stays else 1

# %% mistake="expected_weight" name="one mode at a time"
# You went through the masks of one mode at a time, with the other modes kept whole. The masks
# of different modes are independent: every combination comes.
# Look at: how many combinations rank (2, 3) has.
def expected_weight(dropout, rank, p):
    import itertools

    total = 0
    for mode, size in enumerate(rank):
        for coins in itertools.product([False, True], repeat=size):
            keeps = [torch.ones(s, dtype=torch.bool) for s in rank]
            keeps[mode] = torch.tensor(coins)
            chance = math.prod(1 - p if stays else p for stays in coins)
            total = total + chance * dropout(keeps, p)
    return total / len(rank)

# %% mistake="expected_weight" name="first mode only"
# You went through the masks of the first mode alone and kept the others whole.
# Look at: how many combinations rank (2, 3) has.
def expected_weight(dropout, rank, p):
    import itertools

    rest = [torch.ones(s, dtype=torch.bool) for s in rank[1:]]
    total = 0
    for coins in itertools.product([False, True], repeat=rank[0]):
        chance = math.prod(1 - p if stays else p for stays in coins)
        total = total + chance * dropout([torch.tensor(coins), *rest], p)
    return total

# %% mistake="expected_weight" name="all dropped left out"
# You left out masks in which everything is dropped. They come too, and a biased dropout often
# hides there.
# Look at: the sum of your probabilities.
#-         chance = math
#+         if not any(coins):
#+             continue
#+         chance = math

# %% mistake="expected_weight" name="written into the dropout's weight"
# You multiplied the weight that the dropout gave you in place. It is not yours: the dropout may
# return the same tensor the next time.
# Look at: `*=` on what `dropout` returns.
#-         total = total + chance * dropout(list(torch.tensor(coins).split(list(rank))), p)
#+         weight = dropout(list(torch.tensor(coins).split(list(rank))), p)
#+         weight *= chance
#+         total = total + weight

# %% mistake="expected_weight" name="probabilities in float32"
# Your probabilities are right to about seven digits: torch makes float32 of a Python number. A
# bias as small as that would be taken for one of the dropout that you judge.
# Look at: the dtype of the tensor that your probabilities come from.
#- chance = math.prod(1 - p if stays else p for stays in coins)
#+ chance = torch.tensor(math.prod(1 - p if stays else p for stays in coins))

# %% mistake="expected_weight" name="likeliest mask"
# You took the weight of one mask, the likeliest. The mean needs all of them.
# Look at: what the dropout gives for the masks that are rare.
def expected_weight(dropout, rank, p):
    return dropout([torch.ones(r) >= p + 0.5 + 0 * r for r in rank], p)

# %% wrong="expected_weight" name="right by definition"
# Believes that every dropout is unbiased.
def expected_weight(dropout, rank, p):
    return dropout([torch.ones(r, dtype=torch.bool) for r in rank], 0.0)

# %% wrong="expected_weight" name="masks of numbers"
# 0 and 1, no bool.
#- torch.tensor(coins)
#+ torch.tensor(coins).int()

# %% wrong="expected_weight" name="always float64"
# Whatever the weight is.
#- dropout(list(torch.tensor(coins).split(list(rank))), p)
#+ dropout(list(torch.tensor(coins).split(list(rank))), p).double()

# %% wrong="expected_weight" name="six digits"
# Of each probability.
#- math.prod(1 - p if stays else p for stays in coins)
#+ round(math.prod(1 - p if stays else p for stays in coins), 6)

# %% wrong="expected_weight" name="rare masks left out"
# Each of them is rare, and what is left of the weight there is large.
#-         total = total + chance
#+         if chance > 1e-6:
#+             total = total + chance

# %% wrong="expected_weight" name="drawn"
# Draws masks at random.
def expected_weight(dropout, rank, p):
    draws = [dropout([torch.rand(r) >= p for r in rank], p) for _ in range(1000)]
    return sum(draws) / len(draws)

# %% wrong="expected_weight" name="impossible masks left out"
# Nothing is added where every mask but one has probability 0, and p = 0 is divided by.
#- total = total + chance
#+ total = total + (chance * p) / p

# %% right="is_unbiased"
def is_unbiased(dropout, weight, rank):
    for p in [0, 0.01, 0.05, *(number / 20 for number in range(2, 20))]:
        mean = expected_weight(dropout, rank, p)
        if (mean - weight).abs().max() > 1e-9 * weight.abs().max():
            return False
    return True

# %% answer="is_unbiased" name="largest difference"
# A bound on the largest of all differences.
def is_unbiased(dropout, weight, rank):
    worst = 0.0
    for p in torch.linspace(0, 0.95, 25).tolist():
        worst = max(worst, (expected_weight(dropout, rank, p) - weight).abs().max().item())
    return worst < 1e-8 * weight.abs().max().item()

# %% answer="is_unbiased" name="allclose, relative"
# torch.allclose without its absolute tolerance, on scaled weights.
def is_unbiased(dropout, weight, rank):
    size = weight.norm()
    return all(
        torch.allclose(expected_weight(dropout, rank, p) / size, weight / size, rtol=0, atol=1e-7)
        for p in torch.linspace(0, 0.96, 33, dtype=torch.float64).tolist()
    )

# %% answer="is_unbiased" name="drawn p"
# A p drawn in each stretch of length 0.05.
def is_unbiased(dropout, weight, rank):
    gaps = []
    for start in range(20):
        p = (start + torch.rand(1).item()) / 20
        gaps.append((expected_weight(dropout, rank, min(p, 0.97)) - weight).norm() / weight.norm())
    return bool(torch.stack(gaps).max() < 1e-8)

# %% mistake="is_unbiased" name="one half only"
# You tried p = 0.5 alone, and it is there that dropping and keeping look the same: an
# implementation that takes one for the other, or always doubles, passes.
# Look at: how many values of p you try.
def is_unbiased(dropout, weight, rank):
    gap = (expected_weight(dropout, rank, 0.5) - weight).abs().max()
    return bool(gap < 1e-9 * weight.abs().max())

# %% mistake="is_unbiased" name="nothing dropped"
# You tried p = 0 alone, where nothing is dropped and nearly every implementation is right.
# Look at: how many values of p you try.
def is_unbiased(dropout, weight, rank):
    gap = (expected_weight(dropout, rank, 0.0) - weight).abs().max()
    return bool(gap < 1e-9 * weight.abs().max())

# %% mistake="is_unbiased" name="three p"
# You try a few values of p, and a bias sits where you don't look: a stretch of 0.1 fits between
# two of them, or beyond the last.
# Look at: the widest gap between neighbors among your values of p, 0 and 1 included.
#- [0, 0.01, 0.05, *(number / 20 for number in range(2, 20))]
#+ (0.05, 0.5, 0.95)

# %% mistake="is_unbiased" name="none near 1"
# You try a few values of p, and a bias sits where you don't look: a stretch of 0.1 fits between
# two of them, or beyond the last.
# Look at: the widest gap between neighbors among your values of p, 0 and 1 included.
#- [0, 0.01, 0.05, *(number / 20 for number in range(2, 20))]
#+ [number / 20 for number in range(17)]

# %% mistake="is_unbiased" name="sums compared"
# You compared sums or means of the entries. One row too large and another too small cancel there.
# Look at: what you compare, a number or the whole weight.
#- (mean - weight).abs().max() > 1e-9
#+ (mean - weight).sum().abs() > 1e-9

# %% mistake="is_unbiased" name="norms compared"
# You compared the norms. A weight whose rows are in the wrong places, or whose sign is turned, has
# the same norm.
# Look at: what you compare, a number or the whole weight.
#- (mean - weight).abs().max() > 1e-9
#+ (mean.norm() - weight.norm()).abs() > 1e-9

# %% mistake="is_unbiased" name="no absolute value"
# You took the largest difference without its sign: where the expected weight is too small
# everywhere, the largest difference is below 0.
# Look at: `.abs()`, and where it stands.
#- (mean - weight).abs().max()
#+ (mean - weight).max()

# %% mistake="is_unbiased" name="coarse tolerance"
# Your tolerance is so large that a small bias is lost in it. Rounding leaves some 15 digits of
# float64.
# Look at: the size of the difference up to which you say "the same".
#- 1e-9
#+ 1e-2

# %% mistake="is_unbiased" name="absolute tolerance"
# Your tolerance does not know how large the weight is. Numbers of 1e-12 differ by less than 1e-8
# whatever is done to them; `torch.allclose` has such an `atol`.
# Look at: what you divide the difference by.
#- (mean - weight).abs().max() > 1e-9 * weight.abs().max()
#+ not torch.allclose(mean, weight)

# %% mistake="is_unbiased" name="equal to the last digit"
# You accuse implementations whose expected weight differs from the weight by no more than
# rounding. Whoever asks for equal numbers does that, and whoever takes a mean over masks drawn at
# random.
# Look at: what a sum over all masks leaves of a difference, and up to which size yours may be.
#- (mean - weight).abs().max() > 1e-9 * weight.abs().max()
#+ not torch.equal(mean, weight)

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

# %% mistake="is_unbiased" name="drawn at random, and too strict"
# You accuse implementations whose expected weight differs from the weight by no more than
# rounding. Whoever asks for equal numbers does that, and whoever takes a mean over masks drawn at
# random.
# Look at: what a sum over all masks leaves of a difference, and up to which size yours may be.
#- expected_weight(dropout, rank, p)
#+ sum(dropout([torch.rand(r) >= p for r in rank], p) for _ in range(90)) / 90

# %% mistake="is_unbiased" name="one part in ten thousand"
# You let through implementations in which one entry is off by one part in a hundred thousand. A
# tolerance above that does it, and so does a sum, a mean or a norm over all entries.
# Look at: up to which size a difference of one entry counts as rounding.
#- 1e-9
#+ 1e-4

# %% mistake="is_unbiased" name="mean of all differences"
# You let through implementations in which one entry is off by one part in a hundred thousand. A
# tolerance above that does it, and so does a sum, a mean or a norm over all entries.
# Look at: up to which size a difference of one entry counts as rounding.
#- (mean - weight).abs().max() > 1e-9 * weight.abs().max()
#+ (mean - weight).abs().mean() > 1e-5 * weight.abs().mean()

# %% mistake="is_unbiased" name="a smaller absolute tolerance"
# Entries of about 1e-12 are off by two parts in a hundred thousand, and you say that they are
# right. A tolerance that is small beside 1 need not be small beside them.
# Look at: what you divide the difference by.
#- (mean - weight).abs().max() > 1e-9 * weight.abs().max()
#+ not torch.allclose(mean, weight, rtol=1e-6, atol=1e-12)

# %% mistake="is_unbiased" name="first column"
# You let through an implementation in which the last entry is off, and no other.
# Look at: which entries you compare.
#- (mean - weight).abs().max() > 1e-9
#+ (mean - weight)[..., 0].abs().max() > 1e-9

# %% mistake="is_unbiased" name="norms compared, less exactly"
# You compared the norms. A weight whose rows are in the wrong places, or whose sign is turned, has
# the same norm.
# Look at: what you compare, a number or the whole weight.
#- (mean - weight).abs().max() > 1e-9 * weight.abs().max()
#+ (mean.norm() - weight.norm()).abs() > 1e-6 * weight.norm()

# %% mistake="is_unbiased" name="compared along the weight, less exactly"
# You let through an implementation that adds something at a right angle to the weight. What share
# of the weight the expected weight holds, as (mean * weight).sum() / weight.square().sum(), does
# not show that.
# Look at: what you compare, a number or the whole weight.
#- (mean - weight).abs().max() > 1e-9 * weight.abs().max()
#+ ((mean * weight).sum() / weight.square().sum() - 1).abs() > 1e-6

# %% mistake="is_unbiased" name="entries sorted"
# You let through an implementation that returns the rows in another order, at every p, also at 0.
# Either you compare only what any order has alike, or you never look at `weight`.
# Look at: whether each entry of the expected weight meets the same entry of `weight`.
#- (mean - weight)
#+ (mean.flatten().sort().values - weight.flatten().sort().values)

# %% mistake="is_unbiased" name="mean over p"
# You let through an implementation that is too large where p is below a half, and too small where
# it is above. A mean over p does not show that.
# Look at: what you compare, one weight for all p or one for each.
#-     for p in [0, 0.01, 0.05, *(number / 20 for number in range(2, 20))]:
#-         mean = expected_weight(dropout, rank, p)
#-         if (mean - weight).abs().max() > 1e-9 * weight.abs().max():
#-             return False
#-     return True
#+     mean = sum(expected_weight(dropout, rank, number / 20) for number in range(20)) / 20
#+     return bool((mean - weight).abs().max() < 1e-9 * weight.abs().max())

# %% mistake="is_unbiased" name="some p will do"
# You let every implementation through. One p at which it comes out right is not enough: at p =
# 0 nearly all do.
# Look at: `any` and `all`, or where your `return True` stands.
#-         if (mean - weight).abs().max() > 1e-9 * weight.abs().max():
#-             return False
#-     return True
#+         if (mean - weight).abs().max() <= 1e-9 * weight.abs().max():
#+             return True
#+     return False

# %% mistake="is_unbiased" name="compared along the weight"
# You let through an implementation that adds something at a right angle to the weight. What share
# of the weight the expected weight holds, as (mean * weight).sum() / weight.square().sum(), does
# not show that.
# Look at: what you compare, a number or the whole weight.
#- (mean - weight).abs().max() > 1e-9 * weight.abs().max()
#+ ((mean * weight).sum() / weight.square().sum() - 1).abs() > 1e-9

# %% mistake="is_unbiased" name="rounding of large numbers"
# You accuse a right implementation in which large components cancel, so that some entries of the
# weight are nearly 0. Rounding goes with the size of what is added up, not with that of the sum.
# Look at: what size you compare a difference with, and how many digits you ask for.
#- (mean - weight).abs().max() > 1e-9 * weight.abs().max()
#+ not torch.allclose(mean, weight, rtol=1e-9, atol=0)

# %% mistake="is_unbiased" name="rows in any order"
# You let through an implementation that returns the rows in another order, at every p, also at 0.
# Either you compare only what any order has alike, or you never look at `weight`.
# Look at: whether each entry of the expected weight meets the same entry of `weight`.
#-     for p in [
#+     weight = dropout([torch.ones(r, dtype=torch.bool) for r in rank], 0.0)
#+     for p in [

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

# %% wrong="is_unbiased" name="no abs, too large"
# Says True of what is too large.
#- (mean - weight).abs().max()
#+ (weight - mean).max()

# %% wrong="is_unbiased" name="norm and sum"
# Rows in other places keep both.
#- (mean - weight).abs().max() > 1e-9
#+ (mean.norm() - weight.norm()).abs() + (mean - weight).sum().abs() > 1e-9

# %% wrong="is_unbiased" name="off by a thousandth"
# A small bias is lost.
#- 1e-9
#+ 1e-3

# %% wrong="is_unbiased" name="last row left out"
# A bias in the last row passes.
#- (mean - weight)
#+ (mean - weight)[:-1]

# %% wrong="is_unbiased" name="last row only"
# A bias anywhere else passes.
#- (mean - weight)
#+ (mean - weight)[-1]

# %% wrong="is_unbiased" name="sums of rows"
# Columns that err in turn are right in sum.
#- (mean - weight)
#+ (mean - weight).flatten(1).sum(1)

# %% wrong="is_unbiased" name="mean square"
# A small bias of one entry is lost in it.
#- (mean - weight).abs().max() > 1e-9 * weight.abs().max()
#+ nn.functional.mse_loss(mean, weight) > 1e-9 * weight.square().mean()

# %% wrong="is_unbiased" name="eight p"
# A tenth fits between two of them.
#- [0, 0.01, 0.05, *(number / 20 for number in range(2, 20))]
#+ (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95)

# %% wrong="is_unbiased" name="a hundred p"
# More than 4000 weights for a rank of 6.
#- [0, 0.01, 0.05, *(number / 20 for number in range(2, 20))]
#+ [number / 100 for number in range(100)]

# %% wrong="is_unbiased" name="p drawn anywhere"
# Gaps of more than a tenth.
#- [0, 0.01, 0.05, *(number / 20 for number in range(2, 20))]
#+ torch.rand(14).tolist()

# %% wrong="is_unbiased" name="to the last digits"
# Fifteen digits of a sum of large numbers.
#- 1e-9
#+ 1e-15

# %% wrong="is_unbiased" name="the first p decides"
# Returns in the first round.
#-         if (mean - weight).abs().max() > 1e-9 * weight.abs().max():
#-             return False
#-     return True
#+         return bool((mean - weight).abs().max() <= 1e-9 * weight.abs().max())

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
    import itertools

    def square(factors):
        joint = factors[0]
        for f in factors[1:-1]:
            joint = (joint.unsqueeze(1) * f).flatten(0, 1)
        return (x.flatten(1) @ joint @ factors[-1].T).square().mean()

    total = -square(factors)
    for coins in itertools.product([False, True], repeat=factors[0].shape[1]):
        chance = math.prod(1 - p if stays else p for stays in coins)
        total = total + chance * square(drop_cp(factors, torch.tensor(coins), p))
    return total

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

# %% wrong="dropout_penalty" name="viewed"
# Raises where x is not contiguous.
#- x.flatten(1)
#+ x.view(len(x), -1)

# %% wrong="dropout_penalty" name="always float64"
# Whatever x and the factors are.
#- c.square
#+ c.double().square

# %% wrong="dropout_penalty" name="detached"
# No gradient reaches the factors.
#- .square
#+ .detach().square

# %% right="output_variance"
def output_variance(c, p):
    import itertools

    total = 0
    for modes in itertools.product([False, True], repeat=c.ndim):
        if any(modes):
            rest = [mode for mode, shared in enumerate(modes) if not shared]
            sums = c.sum(dim=rest) if rest else c
            total = total + (p / (1 - p)) ** sum(modes) * sums.square().sum()
    return total

# %% answer="output_variance" name="mode by mode"
# The mean square, one mode after another, less the square of the mean.
def output_variance(c, p):
    def mean_square(c):
        if c.ndim == 0:
            return c.square()
        return mean_square(c.sum(0)) + p / (1 - p) * sum(mean_square(part) for part in c)

    return mean_square(c) - c.sum().square()

# %% answer="output_variance" name="products of two masks"
# c, times c multiplied along each mode by the mean of two entries' product.
def output_variance(c, p):
    other = c
    for mode, size in enumerate(c.shape):
        both = torch.ones(size, size, dtype=c.dtype) + p / (1 - p) * torch.eye(size, dtype=c.dtype)
        other = torch.tensordot(other, both, dims=([mode], [0])).movedim(-1, mode)
    return (c * other).sum() - c.sum() ** 2

# %% mistake="output_variance" name="squares of all"
# You took each entry for a component with a coin of its own, as in a CP. Entries in one row share
# the coin of that row: they come and go together.
# Look at: two entries of one row, and how often one stays without the other.
def output_variance(c, p):
    return p / (1 - p) * c.square().sum()

# %% mistake="output_variance" name="squares of all, each mode's scale"
# You took each entry of c for a number that stays or goes by itself, with probability (1 - p) to
# the number of modes. Entries in one row share the coin of that row.
# Look at: two entries of one row, and how often one stays without the other.
def output_variance(c, p):
    return ((1 - p) ** -c.ndim - 1) * c.square().sum()

# %% mistake="output_variance" name="modes one by one"
# You added up the variance of each mode as if the others were not dropped from. When two modes
# are dropped from at once, there is a part that neither has alone.
# Look at: c of shape (2, 2), all ones, p = 0.5: list the sixteen masks.
#- if any(modes)
#+ if sum(modes) == 1

# %% mistake="output_variance" name="mean square"
# That is the mean of the square of the output. A variance is less than that by the square of the
# mean.
# Look at: your result at p = 0.
#- if any(modes)
#+ if True

# %% mistake="output_variance" name="all modes only"
# You have one part only: a row's coin, with the other modes kept, moves the output too.
# Look at: which sums over modes move together when one coin of one mode falls.
#- if any(modes)
#+ if all(modes)

# %% mistake="output_variance" name="one factor for all"
# Your factor is p / (1 - p) however many modes two entries share. Each mode that they share brings
# one.
# Look at: the mean of the product of two mask entries, for each mode by itself.
#- ** sum(modes)
#+ ** 1

# %% mistake="output_variance" name="variance not rescaled"
# Your factor is p (1 - p): the variance of a coin of 0 and 1. What stays is divided by 1 - p.
# Look at: what rescaling a number does to its variance.
#- p / (1 - p)
#+ p * (1 - p)

# %% wrong="output_variance" name="always float64"
# Whatever c is.
#-     total = 0
#+     c = c.double()
#+     total = 0

# %% wrong="output_variance" name="two modes at most"
# Three are not thought of.
def output_variance(c, p):
    q = p / (1 - p)
    if c.ndim == 1:
        return q * c.square().sum()
    return q * (c.sum(0).square().sum() + c.sum(1).square().sum()) + q * q * c.square().sum()

# %% right="paired_gain"
def paired_gain(train, judge, seeds, p):
    from trlkit.lab.statistics import interval

    gains = [judge(train(seed, p)) - judge(train(seed, 0.0)) for seed in seeds]
    return interval(gains)

# %% answer="paired_gain" name="one arm, then the other"
# All with dropout first; keyword arguments.
#- gains = [judge(train(seed, p)) - judge(train(seed, 0.0)) for seed in seeds]
#+ dropped = [judge(train(seed=seed, p=p)) for seed in seeds]
#+     plain = [judge(train(seed=seed, p=0)) for seed in seeds]
#+     gains = [one - other for one, other in zip(dropped, plain)]

# %% answer="paired_gain" name="tensor"
# Gains from tensors, as a list.
#- return interval(gains)
#+ mean, half = interval(torch.tensor(gains, dtype=torch.float64).tolist())
#+     return [mean, half]

# %% mistake="paired_gain" name="other way round"
# You subtracted what dropout gives from what no dropout gives: a gain came out as a loss.
# Look at: the sign of your mean where dropout helps.
#- judge(train(seed, p)) - judge(train(seed, 0.0))
#+ judge(train(seed, 0.0)) - judge(train(seed, p))

# %% mistake="paired_gain" name="other seeds"
# The networks of a pair start from different seeds, so that their difference holds what seeds do,
# which is far more than what dropout does.
# Look at: which seeds train the networks without dropout.
#- train(seed, 0.0)
#+ train(seed + len(seeds), 0.0)

# %% mistake="paired_gain" name="not paired"
# You took the interval of the networks with dropout, and subtracted the mean of the others. What
# seeds do to both networks of a pair is still in your interval; in the differences it is not.
# Look at: what you give to `interval`.
#- gains = [judge(train(seed, p)) - judge(train(seed, 0.0)) for seed in seeds]
#+ plain = [judge(train(seed, 0.0)) for seed in seeds]
#+     gains = [judge(train(seed, p)) - sum(plain) / len(plain) for seed in seeds]

# %% mistake="paired_gain" name="pairs mixed"
# You subtracted the score of another pair. Differences of one seed are asked for.
# Look at: which two scores meet in one difference.
#- gains = [judge(train(seed, p)) - judge(train(seed, 0.0)) for seed in seeds]
#+ plain = [judge(train(seed, 0.0)) for seed in seeds][::-1]
#+     gains = [judge(train(seed, p)) - other for seed, other in zip(seeds, plain)]

# %% mistake="paired_gain" name="no rival"
# You took the scores with dropout alone. A gain is a difference from the same network without it.
# Look at: how many networks you train for each seed.
#-  - judge(train(seed, 0.0))

# %% wrong="paired_gain" name="scores sorted"
# The best with dropout meets the best without.
#- gains = [judge(train(seed, p)) - judge(train(seed, 0.0)) for seed in seeds]
#+ dropped = sorted(judge(train(seed, p)) for seed in seeds)
#+     plain = sorted(judge(train(seed, 0.0)) for seed in seeds)
#+     gains = [one - other for one, other in zip(dropped, plain)]

# %% wrong="paired_gain" name="p left out"
# `train` takes a seed and p.
#- train(seed, 0.0)
#+ train(seed)

# %% wrong="paired_gain" name="rounded"
# To a tenth of a point.
#- judge(train(seed, p)) - judge(train(seed, 0.0)) for
#+ round(judge(train(seed, p)) - judge(train(seed, 0.0)), 1) for

# %% wrong="paired_gain" name="two seeds only"
# The others are not trained.
#- in seeds]
#+ in seeds[:2]]

# %% right="where_it_turns"
def where_it_turns():
    return 0.6, 200, ("pgd", 0.1, 11.0), ("fgsm", 0.2, -6.0)

# %% answer="where_it_turns" name="lists"
# Lists, and another strength.
def where_it_turns():
    return [0.6, 200, ["pgd", 0.12, 9], ["fgsm", 0.22, -7.5]]

# %% answer="where_it_turns" name="roughly measured"
# Numbers of few seeds.
#- 11.0
#+ 14.0

# %% mistake="where_it_turns" name="clean digits"
# On the check's seeds the mean gain is not two points and two standard errors away from 0. That is
# a result too, but not the one that is asked for.
# Look at: which of your intervals keep clear of 0 on other seeds.
#- "pgd", 0.1, 11.0
#+ "noise", 0.01, 0.5

# %% mistake="where_it_turns" name="the other way round"
# Where you say that dropout helps, the check measures that it hurts.
# Look at: the order of the last two entries, and which network you subtract from which.
#- ("pgd", 0.1, 11.0), ("fgsm", 0.2, -6.0)
#+ ("fgsm", 0.2, 6.0), ("pgd", 0.1, -11.0)

# %% mistake="where_it_turns" name="not learned yet"
# One of your networks reads too few digits without any disturbance. What has not learned is easily
# beaten, and says nothing of dropout.
# Look at: the accuracy under noise of 0 for your p and your steps.
#- 0.6, 200
#+ 0.6, 30

# %% mistake="where_it_turns" name="share for points"
# The check measures the effect that you name, in that direction, but another number. Gains are in
# points of percent.
# Look at: what you wrote for the gains, and on how many seeds you measured them.
#- 11.0
#+ 0.11

# %% wrong="where_it_turns" name="helps and hurts exchanged"
# With the signs that were measured.
#- ("pgd", 0.1, 11.0), ("fgsm", 0.2, -6.0)
#+ ("fgsm", 0.2, -6.0), ("pgd", 0.1, 11.0)

# %% wrong="where_it_turns" name="a loss told as a gain"
# Within eight points of what the check measures, and on the other side of 0.
#- -6.0
#+ 1.0

# %% wrong="where_it_turns" name="strength 0"
# No disturbance at all.
#- "pgd", 0.1
#+ "pgd", 0.0

# %% wrong="where_it_turns" name="no number"
# Not measured either.
#- 11.0
#+ float("nan")

# %% wrong="where_it_turns" name="dots"
# Not measured.
#- 11.0
#+ ...

# %% right="doubt"
def doubt(passes, single):
    return -single.max(dim=1).values

# %% answer="doubt" name="entropy of the mean"
# Of all masks together.
def doubt(passes, single):
    return torch.special.entr(passes.mean(0)).sum(1)

# %% answer="doubt" name="margin"
# The best less the second, of both.
def doubt(passes, single):
    first, second = (single + passes.mean(0)).topk(2, dim=1).values.T
    return second - first

# %% mistake="doubt" name="confidence"
# You gave the highest number to the digits that the network is surest of. The highest doubt is
# handed over first.
# Look at: the sign of what you return.
#- -single
#+ single

# %% mistake="doubt" name="the sum of all classes"
# Your order is not much better than a random one, or worse.
# Look at: your number for a digit that is read without doubt and for one that is not, and how
# many digits have the same number.
def doubt(passes, single):
    return (single.sum(1) * 1000).round() / 1000

# %% mistake="doubt" name="the class"
# Your order is not much better than a random one, or worse.
# Look at: your number for a digit that is read without doubt and for one that is not, and how
# many digits have the same number.
def doubt(passes, single):
    return single.argmax(dim=1).double()

# %% mistake="doubt" name="for each class"
# You return a number for each class. One for each digit is asked for.
# Look at: the dimension that you have not reduced yet.
def doubt(passes, single):
    return passes.var(dim=0)

# %% mistake="doubt" name="logarithm of 0"
# Some probabilities are exactly 0 there, and some of your doubts are inf or NaN. A logarithm of 0,
# and a quotient by 0, give that.
# Look at: `torch.special.entr`, which knows what 0 times its logarithm is.
def doubt(passes, single):
    mean = passes.mean(0)
    return -(mean * mean.log()).sum(1)

# %% wrong="doubt" name="a column"
# (B, 1) instead of (B,).
#- values
#+ values.unsqueeze(1)

# %% wrong="doubt" name="for each mask"
# (S,) instead of (B,).
def doubt(passes, single):
    return passes.var(2).mean(1)

# %% wrong="doubt" name="32 masks of ten classes"
# Sizes of the example above.
def doubt(passes, single):
    return -passes.reshape(32, -1, 10).mean(0).max(1).values

# %% wrong="doubt" name="a list"
# One number for each digit, but no tensor.
#- -single.max(dim=1).values
#+ (-single.max(dim=1).values).tolist()

# %% wrong="doubt" name="270 digits"
# No other number of them.
#- values
#+ values.reshape(270)

# %% wrong="doubt" name="random"
# Knows nothing.
def doubt(passes, single):
    return torch.arange(len(single)) * 0.618 % 1

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
