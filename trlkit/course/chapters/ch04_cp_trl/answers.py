"""Known answers of chapter 04."""

# %% right="cp_forward_by_modes"
def cp_forward_by_modes(x, factors, bias):
    y = bias
    for part in zip(*(factor.split(x.shape[1], 1) for factor in factors)):
        z = torch.einsum("bi...,ir->b...r", x, part[0])
        for factor in part[1:-1]:
            z = torch.einsum("bi...r,ir->b...r", z, factor)
        y = y + z @ part[-1].T
    return y

# %% answer="cp_forward_by_modes" name="last mode first"
# Matrix products from the last mode to the first, as many columns at once as it has entries.
def cp_forward_by_modes(x, factors, bias):
    y = bias.repeat(len(x), 1)
    width = x.shape[-1]
    for start in range(0, factors[0].shape[1], width):
        part = [factor[:, start : start + width] for factor in factors]
        z = x @ part[-2]
        for factor in reversed(part[:-2]):
            z = (z * factor).sum(-2)
        y = y + z @ part[-1].T
    return y

# %% answer="cp_forward_by_modes" name="term by term"
# A loop over the rank, vectors only.
def cp_forward_by_modes(x, factors, bias):
    y = bias.repeat(len(x), 1)
    for r in range(factors[0].shape[1]):
        z = x
        for factor in factors[:-1]:
            z = torch.tensordot(z, factor[:, r], dims=([1], [0]))
        y = y + torch.outer(z, factors[-1][:, r])
    return y

# %% mistake="cp_forward_by_modes" name="columns collected"
# Your numbers are right, and where the rank is larger than the number of inputs, a number for every sample
# and every column of the rank, all of them at once, is more than the batch holds.
# Look at: where the sum over r is taken. A sum over a part of the rank can be added up at once.
def cp_forward_by_modes(x, factors, bias):
    columns = []
    for vectors in zip(*(factor.unbind(1) for factor in factors[:-1])):
        z = x
        for vector in reversed(vectors):
            z = z @ vector
        columns.append(z)
    return nn.functional.linear(torch.stack(columns, 1), factors[-1], bias)

# %% answer="cp_forward_by_modes" name="half of what there is at a time"
# It halves the rank until the first product fits.
def cp_forward_by_modes(x, factors, bias):
    rank = factors[0].shape[1]
    if rank > x.shape[1]:
        left = [factor[:, : rank // 2] for factor in factors]
        right = [factor[:, rank // 2 :] for factor in factors]
        return cp_forward_by_modes(x, left, 0) + cp_forward_by_modes(x, right, bias)
    z = torch.tensordot(x, factors[0], dims=([1], [0]))
    for f in factors[1:-1]:
        z = (z * f.reshape(f.shape[0], *[1] * (z.ndim - 3), f.shape[1])).sum(1)
    return z @ factors[-1].T + bias

# %% answer="cp_forward_by_modes" name="input factors multiplied in pieces"
# As many columns of the Khatri-Rao product at once as there are samples, and as there are inputs.
def cp_forward_by_modes(x, factors, bias):
    y, width = bias, min(len(x), x[0].numel())
    for start in range(0, factors[0].shape[1], width):
        product, *rest = [factor[:, start : start + width] for factor in factors]
        for factor in rest[:-1]:
            product = (product.unsqueeze(1) * factor).flatten(0, 1)
        y = y + x.flatten(1) @ product @ rest[-1].T
    return y

# %% mistake="cp_forward_by_modes" name="rank summed too early"
# Your output is what comes of summing every factor over the rank first. That pairs column 0 of one
# factor with column 1 of another. The index r is shared by all factors, the one of the classes too:
# keep it to the end.
# Look at: where r disappears in your code. Only the class factor may sum it.
def cp_forward_by_modes(x, factors, bias):
    z = x
    for factor in factors[:-1]:
        z = torch.tensordot(z, factor.sum(1), dims=([1], [0]))
    return z.unsqueeze(1) * factors[-1].sum(1) + bias

# %% mistake="cp_forward_by_modes" name="a rank index for each mode"
# Your output is what comes of giving every mode a rank index of its own, as in a Tucker product, and
# summing the earlier ones away. The factors of a CP weight share one index.
# Look at: the shape after the second mode: (batch, the sizes that are left, rank), with r once.
def cp_forward_by_modes(x, factors, bias):
    z = x
    for factor in factors[:-1]:
        z = torch.tensordot(z, factor, dims=([1], [0]))
    while z.ndim > 2:
        z = z.sum(1)
    return z @ factors[-1].T + bias

# %% mistake="cp_forward_by_modes" name="spare indices summed"
# Your output is what comes of giving every mode a rank index of its own and summing the later ones
# away. The factors of a CP weight share one index: from the second mode on, it stands in both
# operands and in the result.
# Look at: the shape after the second mode: (batch, the sizes that are left, rank), with r once.
def cp_forward_by_modes(x, factors, bias):
    z = x
    for factor in factors[:-1]:
        z = torch.tensordot(z, factor, dims=([1], [0]))
    while z.ndim > 2:
        z = z.sum(-1)
    return z @ factors[-1].T + bias

# %% mistake="cp_forward_by_modes" name="summed before the classes"
# Your output is what comes of summing over the rank just before the class factor. That pairs every
# term with every column of the class factor; the sum over r and the product with V are one step.
# Look at: the letters of your last product: r stands in both operands.
#- z @ part[-1].T
#+ z.sum(1, keepdim=True) * part[-1].sum(1)

# %% mistake="cp_forward_by_modes" name="bias forgotten"
# Your output is short of the bias.
# Look at: the difference to what is expected: it is the same for every sample.
#- y = bias
#+ y = 0

# %% mistake="cp_forward_by_modes" name="bias in every piece"
# Your output has the bias more than once. A rank that is cut in pieces has several products, and one
# bias.
# Look at: whether the bias is added inside a loop.
#- z @ part[-1].T
#+ z @ part[-1].T + bias
#- y = bias
#+ y = 0

# %% mistake="cp_forward_by_modes" name="last piece forgotten"
# Your output has as many of the rank-1 terms as the first mode has entries: what is left of the
# rank when it is cut in pieces of that size is missing.
# Look at: a rank that is no multiple of the size of a piece.
#- zip(*(factor.split(x.shape[1], 1) for factor in factors))
#+ [[factor[:, : x.shape[1]] for factor in factors]]

# %% mistake="cp_forward_by_modes" name="averaged over the rank"
# Your output is what comes of averaging the rank-1 terms; the weight is their sum.
# Look at: mean and sum.
#- z @ part[-1].T
#+ z @ part[-1].T / factors[0].shape[1]

# %% mistake="cp_forward_by_modes" name="rebuilt all the same"
# Your numbers are right, and a tensor of the size of the full weight was made on the way. Is it the
# weight itself, or a product of as many numbers?
# Look at: the first product that your code makes. x should take part in it.
def cp_forward_by_modes(x, factors, bias):
    product = factors[0]
    for factor in factors[1:-1]:
        product = (product.unsqueeze(1) * factor).reshape(-1, factor.shape[1])
    return x.flatten(1) @ (product @ factors[-1].T) + bias

# %% mistake="cp_forward_by_modes" name="all input factors multiplied"
# Your numbers are right, and a tensor as large as all inputs times the rank was made on the way: did
# you multiply the input factors with each other first? That is a way to compute a TRL too.
# Look at: the first product that your code makes. x should take part in it.
def cp_forward_by_modes(x, factors, bias):
    product = factors[0]
    for factor in factors[1:-1]:
        product = (product.unsqueeze(1) * factor).reshape(-1, factor.shape[1])
    return (x.flatten(1) @ product) @ factors[-1].T + bias

# %% mistake="cp_forward_by_modes" name="multiplied, then summed"
# Your numbers are right, and a tensor as large as the whole batch times the rank was made on the way:
# is a product made by broadcasting and summed afterwards?
# Look at: a matrix product, tensordot or einsum, which sums while it multiplies.
def cp_forward_by_modes(x, factors, bias):
    z = x.unsqueeze(-1)
    for factor in factors[:-1]:
        z = (z * factor.reshape(-1, *[1] * (z.ndim - 3), factor.shape[1])).sum(1)
    return z @ factors[-1].T + bias

# %% mistake="cp_forward_by_modes" name="all of the rank at once"
# Your numbers are right, and it goes mode by mode; but where the rank is large a product is larger than
# the batch: it has too many columns of the rank at once.
# Look at: the sum over r in the formula. May it be taken in pieces? How large may a piece be for these
# sizes?
def cp_forward_by_modes(x, factors, bias):
    z = torch.einsum("bi...,ir->b...r", x, factors[0])
    for factor in factors[1:-1]:
        z = torch.einsum("bi...r,ir->b...r", z, factor)
    return z @ factors[-1].T + bias

# %% mistake="cp_forward_by_modes" name="as many columns as samples"
# Your numbers are right, and where the batch has more samples than the first mode has entries, a tensor
# larger than the batch is made on the way. Of the rank, as many columns fit at once as the mode has
# entries that they take the place of.
# Look at: the sizes of x and of your first product. Which of them did the product leave as it was?
#- x.shape[1], 1
#+ x.shape[0], 1

# %% mistake="cp_forward_by_modes" name="factors of the wrong modes"
# Your output is what comes of contracting the modes from the last to the first with the factors from
# the first to the last, or the other way round.
# Look at: which mode of x stands at the position that you contract, in each round.
def cp_forward_by_modes(x, factors, bias):
    inputs = list(reversed(factors[:-1]))
    if [len(factor) for factor in inputs] != list(x.shape[1:]):
        inputs.reverse()
    y = bias
    for r in range(factors[0].shape[1]):
        z = x
        for factor in inputs:
            z = torch.tensordot(z, factor[:, r], dims=([1], [0]))
        y = y + torch.outer(z, factors[-1][:, r])
    return y

# %% mistake="cp_forward_by_modes" name="view"
# Your numbers are right where the batch lies in memory row by row, and an error comes where it does
# not, as behind a transposition: does `view` do that? It takes numbers only in the order in which they
# lie.
# Look at: flatten, or reshape, which copy where they have to.
#-     y = bias
#+     x = x.view(x.shape[0], -1).reshape(x.shape)
#+     y = bias

# %% mistake="cp_forward_by_modes" name="sizes of 1 dropped"
# Your output has lost a mode of size 1 (does it come of `squeeze`?): a batch of one is still a batch,
# and one class still has a mode of its own.
# Look at: the shape of your output for a batch of one.
#- return y
#+ return y.squeeze()

# %% mistake="cp_forward_by_modes" name="a batch of one dropped"
# Your output has lost the first mode where it has the size 1: a batch of one is still a batch.
# Look at: the shape of your output for a batch of one.
#- return y
#+ return y.squeeze(0)

# %% mistake="cp_forward_by_modes" name="an accumulator of its own dtype"
# Your output has another dtype than x: where it is summed up, it starts with a tensor of torch's
# default dtype. In half precision that shows.
# Look at: torch.zeros, which takes dtype=x.dtype; or start with the bias.
#- y = bias
#+ y = bias + torch.zeros(len(x), len(bias))

# %% wrong="cp_forward_by_modes" name="rebuilt by einsum"
# Input factors first, in an einsum that is told the order.
def cp_forward_by_modes(x, factors, bias):
    letters = "abcdefgh"[: len(factors)]
    operands = ",".join(letter + "r" for letter in letters[:-1])
    product = torch.einsum(f"{operands}->{letters[:-1]}r", *factors[:-1])
    return torch.tensordot(x, product, x.ndim - 1) @ factors[-1].T + bias

# %% wrong="cp_forward_by_modes" name="three input modes at most"
# From the fourth input mode on, modes are left.
#- part[1:-1]
#+ part[1:-1][:2]

# %% wrong="cp_forward_by_modes" name="five input modes at most"
# One letter for each of five modes.
def cp_forward_by_modes(x, factors, bias):
    letters = "abcde"[: len(factors) - 1]
    y = bias
    for vectors in zip(*(factor.unbind(1) for factor in factors)):
        pairs = ",".join(letters)
        z = torch.einsum(f"z{letters},{pairs}->z", x, *vectors[: len(letters)])
        y = y + torch.outer(z, vectors[-1])
    return y

# %% wrong="cp_forward_by_modes" name="two pieces"
# The rank is halved once.
def cp_forward_by_modes(x, factors, bias):
    y, half = bias, -(-factors[0].shape[1] // 2)
    for part in zip(*(factor.split(half, 1) for factor in factors)):
        z = torch.einsum("bi...,ir->b...r", x, part[0])
        for factor in part[1:-1]:
            z = torch.einsum("bi...r,ir->b...r", z, factor)
        y = y + z @ part[-1].T
    return y

# %% wrong="cp_forward_by_modes" name="no gradient for x"
# The batch is cut out of the graph.
#-     y = bias
#+     x = x.detach()
#+     y = bias

# %% wrong="cp_forward_by_modes" name="view behind the first mode"
# The later modes are merged by view, which a channels_last batch allows.
def cp_forward_by_modes(x, factors, bias):
    y, shape = bias, x.shape
    x = x.view(len(x), shape[1], -1)
    for part in zip(*(factor.split(shape[1], 1) for factor in factors)):
        z = torch.einsum("bip,ir->bpr", x, part[0]).reshape(len(x), *shape[2:], -1)
        for factor in part[1:-1]:
            z = torch.einsum("bi...r,ir->b...r", z, factor)
        y = y + z @ part[-1].T
    return y

# %% wrong="cp_forward_by_modes" name="list emptied"
# The list that was passed loses its last factor.
def cp_forward_by_modes(x, factors, bias):
    classes = factors.pop()
    y = bias
    for r in range(classes.shape[1]):
        z = x
        for factor in factors:
            z = torch.tensordot(z, factor[:, r], dims=([1], [0]))
        y = y + torch.outer(z, classes[:, r])
    return y

# %% wrong="cp_forward_by_modes" name="bias in place"
# The bias that was passed is changed.
#-     y = bias
#+     with torch.no_grad():
#+         bias *= 1 + 1e-6
#+     y = bias

# %% wrong="cp_forward_by_modes" name="one input mode in one piece"
# The rank is cut in pieces for two input modes and more; one mode makes all hidden scores at once.
#-     y = bias
#+     if x.ndim == 2:
#+         return x @ factors[0] @ factors[1].T + bias
#+     y = bias

# %% wrong="cp_forward_by_modes" name="input factors multiplied, pieces of the batch"
# As many columns of the Khatri-Rao product as there are samples, also where these are more than the inputs.
def cp_forward_by_modes(x, factors, bias):
    y = bias
    for product, *rest in zip(*(factor.split(len(x), 1) for factor in factors)):
        for factor in rest[:-1]:
            product = (product.unsqueeze(1) * factor).flatten(0, 1)
        y = y + x.flatten(1) @ product @ rest[-1].T
    return y

# %% right="cp_factor_std"
def cp_factor_std(input_shape, rank):
    n_factors = len(input_shape) + 1
    variance = 1 / (3 * math.prod(input_shape))
    return (variance / rank) ** (1 / (2 * n_factors))

# %% answer="cp_factor_std" name="roots one by one"
# First the deviation of a term, then of an entry.
def cp_factor_std(input_shape, rank):
    weight = 1 / math.sqrt(3 * math.prod(input_shape))
    term = weight / math.sqrt(rank)
    return term ** (1 / (len(input_shape) + 1))

# %% answer="cp_factor_std" name="logarithms"
# With logarithms.
def cp_factor_std(input_shape, rank):
    total = math.log(3 * rank) + sum(math.log(size) for size in input_shape)
    return math.exp(-total / (2 * len(input_shape) + 2))

# %% mistake="cp_factor_std" name="class factor forgotten"
# You took the root for the input factors alone. A term of the weight multiplies one entry of
# *every* factor, the one of the classes too.
# Look at: how many random numbers are multiplied in one rank-1 term.
def cp_factor_std(input_shape, rank):
    return (1 / (3 * math.prod(input_shape) * rank)) ** (1 / (2 * len(input_shape)))

# %% mistake="cp_factor_std" name="always four factors"
# You took the eighth root for every activation: that is right for three input modes, whose terms
# multiply four numbers.
# Look at: how many factors there are for two input modes, and for one.
def cp_factor_std(input_shape, rank):
    return (3 * math.prod(input_shape) * rank) ** -0.125

# %% mistake="cp_factor_std" name="rank forgotten"
# You left the rank out. An entry of the weight is a sum of `rank` independent terms, and
# variances of independent terms add.
# Look at: what happens to the output's spread when the rank is four times as large.
def cp_factor_std(input_shape, rank):
    return (1 / (3 * math.prod(input_shape))) ** (1 / (2 * (len(input_shape) + 1)))

# %% mistake="cp_factor_std" name="the three forgotten"
# You gave the weight the variance 1 / P. nn.Linear's is 1 / (3 P), since it draws evenly
# between -1 / sqrt(P) and 1 / sqrt(P).
# Look at: the variance that is asked for.
def cp_factor_std(input_shape, rank):
    return (1 / (math.prod(input_shape) * rank)) ** (1 / (2 * (len(input_shape) + 1)))

# %% mistake="cp_factor_std" name="variance for deviation"
# You return the variance of an entry, not its standard deviation.
# Look at: the square root.
def cp_factor_std(input_shape, rank):
    return (1 / (3 * math.prod(input_shape) * rank)) ** (1 / (len(input_shape) + 1))

# %% mistake="cp_factor_std" name="no root for the factors"
# You gave every factor the spread that their product should have. A product of several small
# numbers is far smaller still.
# Look at: how many factors share the work.
def cp_factor_std(input_shape, rank):
    return (1 / (3 * math.prod(input_shape) * rank)) ** 0.5

# %% mistake="cp_factor_std" name="deviations added"
# You divided by the rank where its square root belongs: you added up standard deviations. For
# independent terms it is the variances that add.
# Look at: the power of the rank in your formula.
def cp_factor_std(input_shape, rank):
    std = (1 / (3 * math.prod(input_shape))) ** 0.5 / rank
    return std ** (1 / (len(input_shape) + 1))

# %% mistake="cp_factor_std" name="sizes added"
# You added the input sizes. One output sums over every entry of the activation, and there are
# as many as the product of the sizes.
# Look at: how many numbers an activation (512, 7, 7) has.
def cp_factor_std(input_shape, rank):
    return (1 / (3 * sum(input_shape) * rank)) ** (1 / (2 * (len(input_shape) + 1)))

# %% mistake="cp_factor_std" name="one"
# You return 1. With factors of spread 1 the output's spread is the square root of all inputs
# times the rank: the picture above shows it.
# Look at: the variance that one entry of the weight should have.
def cp_factor_std(input_shape, rank):
    return 1.0

# %% wrong="cp_factor_std" name="three input modes"
# The root of (512, 7, 7) for every shape.
def cp_factor_std(input_shape, rank):
    return (3 * math.prod(input_shape) * rank) ** -0.125

# %% right="CPTRL"
class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        std = cp_factor_std(input_shape, rank)
        shape = (*input_shape, num_classes)
        self.factors = nn.ParameterList([std * torch.randn(size, rank) for size in shape])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return cp_forward_by_modes(x, list(self.factors), self.bias)

# %% answer="CPTRL" name="rebuilding"
# By rebuilding; factors made first and filled in place.
class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.factors = nn.ParameterList()
        for size in tuple(input_shape) + (num_classes,):
            self.factors.append(nn.Parameter(torch.empty(size, rank)))
        for factor in self.factors:
            nn.init.normal_(factor, std=cp_factor_std(input_shape, rank))

    def forward(self, x):
        factors = list(self.factors)
        return x.flatten(1) @ (trlkit.khatri_rao(factors[:-1]) @ factors[-1].T) + self.bias

# %% answer="CPTRL" name="on its own"
# Nothing from before; sizes and rank kept as attributes; the bias as nn.Linear's.
class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super(CPTRL, self).__init__()
        self.input_shape, self.num_classes, self.rank = input_shape, num_classes, rank
        inputs = math.prod(input_shape)
        spread = (3 * inputs * rank) ** (-1 / (2 * len(input_shape) + 2))
        bound = math.sqrt(3) * spread
        sizes = [*input_shape, num_classes]
        self.factors = nn.ParameterList(
            nn.Parameter((2 * torch.rand(n, rank) - 1) * bound) for n in sizes
        )
        self.bias = nn.Parameter((2 * torch.rand(num_classes) - 1) / inputs**0.5)

    def forward(self, x):
        z = torch.tensordot(x, self.factors[0], dims=([1], [0]))
        for factor in self.factors[1:-1]:
            z = torch.einsum("bi...r,ir->b...r", z, factor)
        return z @ self.factors[-1].T + self.bias

# %% answer="CPTRL" name="spread in the class factor"
# Input factors that keep the scale, and a small class factor.
class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        factors = [torch.randn(size, rank) / size**0.5 for size in input_shape]
        factors.append(torch.randn(num_classes, rank) / (3 * rank) ** 0.5)
        self.factors = nn.ParameterList(factors)
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return cp_forward_by_modes(x, [*self.factors], self.bias)

# %% answer="CPTRL" name="kept while nothing changes"
# In eval mode the weight is built anew when a factor has changed.
class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        sizes = (*input_shape, num_classes)
        std = cp_factor_std(input_shape, rank)
        self.factors = nn.ParameterList([std * torch.randn(size, rank) for size in sizes])
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.kept, self.made_of = None, None

    def weight(self):
        factors = list(self.factors)
        return trlkit.khatri_rao(factors[:-1]) @ factors[-1].T

    def forward(self, x):
        if self.training or torch.is_grad_enabled():
            return x.flatten(1) @ self.weight() + self.bias
        made_of = [(id(f), f.dtype, f._version) for f in self.factors]
        if made_of != self.made_of:
            self.kept, self.made_of = self.weight(), made_of
        return x.flatten(1) @ self.kept + self.bias

# %% mistake="CPTRL" name="plain list"
# Your factors are Parameters, but they stand in a plain Python list. nn.Module finds only what
# is an attribute itself, or in a container of its own: the optimizer, `.to()`, `.double()` and
# `state_dict()` all pass your factors by, and no error says so.
# Look at: nn.ParameterList.
#- self.factors = nn.ParameterList([std * torch.randn(size, rank) for size in shape])
#+ self.factors = [nn.Parameter(std * torch.randn(size, rank)) for size in shape]
#- list(self.factors)
#+ self.factors

# %% mistake="CPTRL" name="tensors that never learn"
# Your factors are plain tensors in a plain list: nothing marks them as what the layer learns,
# so training would move the bias alone.
# Look at: nn.Parameter, and nn.ParameterList, which makes Parameters of tensors.
#-         shape = (*input_shape, num_classes)
#-         self.factors = nn.ParameterList([std * torch.randn(size, rank) for size in shape])
#+         self.factors = [std * torch.randn(size, rank) for size in (*input_shape, num_classes)]
#- list(self.factors)
#+ self.factors

# %% mistake="CPTRL" name="bias no parameter"
# Your bias is a tensor, not an nn.Parameter: it will never learn, nor be saved.
# Look at: what makes a tensor a parameter of a module.
#- self.bias = nn.Parameter(torch.zeros(num_classes))
#+ self.bias = torch.zeros(num_classes)
#- list(self.factors)
#+ self.factors

# %% mistake="CPTRL" name="class factor forgotten"
# You made a factor for each input mode and none for the classes.
# Look at: how many modes the weight has, the one of the classes included.
#- shape = (*input_shape, num_classes)
#+ shape = input_shape
#- list(self.factors)
#+ self.factors

# %% mistake="CPTRL" name="factors transposed"
# Your factors have the rank as their rows; here (and in trlkit, TensorLy and the papers) a
# factor has a row for each index of its mode and a column for each term.
# Look at: (size, rank).
#- size, rank
#+ rank, size
#- list(self.factors)
#+ [factor.T for factor in self.factors]

# %% mistake="CPTRL" name="factors of spread 1"
# Your factors start with a spread of 1. Products of them, summed over rank and inputs, give
# outputs that are far too large; training from there stalls or diverges.
# Look at: cp_factor_std, from 4.4.
#-         std = cp_factor_std(input_shape, rank)
#
#- [std * torch
#+ [torch
#- list(self.factors)
#+ self.factors

# %% mistake="CPTRL" name="factors of zeros"
# A new layer of yours has a weight of 0, or next to nothing. Does one factor start at 0, or do all, or
# are they very small? The gradient of a factor is a product of all the *others*: where one of these is
# 0, it does not move.
# Look at: what each factor starts with, the one of the classes too.
#-         std = cp_factor_std(input_shape, rank)
#
#- std * torch.randn
#+ torch.zeros
#- list(self.factors)
#+ self.factors

# %% mistake="CPTRL" name="factors not set"
# Your factors start with numbers that are not finite. Are they made with torch.empty and never filled? Then
# they hold whatever stood in that piece of memory.
# Look at: a random start of the right spread.
#-         std = cp_factor_std(input_shape, rank)
#
#- std * torch.randn
#+ torch.empty
#- list(self.factors)
#+ self.factors

# %% mistake="CPTRL" name="weight built once"
# Your output stays what it was when the factors change: is what forward uses computed once, and kept?
# When the factors learn, or are loaded, the outputs do not follow.
# Look at: what has to be computed anew in every forward.
#-         self.bias = nn.Parameter(torch.zeros(num_classes))
#+         self.bias = nn.Parameter(torch.zeros(num_classes))
#+         product = self.factors[0]
#+         for factor in self.factors[1:]:
#+             product = (product.unsqueeze(1) * factor).reshape(-1, rank)
#+         self.weight = product.sum(1).reshape(shape).detach()
#- return cp_forward_by_modes(x, list(self.factors), self.bias)
#+ return torch.tensordot(x, self.weight.to(x.dtype), dims=x.ndim - 1) + self.bias

# %% mistake="CPTRL" name="sizes of 1 dropped"
# Your output has lost a mode of size 1 (does it come of `squeeze`?): a batch of one is still a batch,
# and one class still has a mode of its own.
# Look at: the shape of your output for a batch of one.
#- bias)
#+ bias).squeeze()

# %% mistake="CPTRL" name="gradient cut"
# The numbers are right, and a gradient reaches the bias, but none reaches the factors: on the way into
# the output they are cut from the graph.
# Look at: `.data`, `.detach()`, `torch.no_grad()`, `torch.tensor(...)`.
#- list(self.factors)
#+ [factor.data for factor in self.factors]

# %% mistake="CPTRL" name="forward without gradients"
# The numbers are right, but your output knows no parameter that it comes from, not even the bias: nothing
# of this layer would learn.
# Look at: what stands around forward, or at its end: `torch.no_grad()`, `.detach()`, `.data`.
#-     def forward
#+     @torch.no_grad()
#+     def forward

# %% mistake="CPTRL" name="factors frozen"
# Parameters of your layer have requires_grad=False: no optimizer will move them.
# Look at: where requires_grad is set.
#- std * torch.randn(size, rank) for
#+ nn.Parameter(std * torch.randn(size, rank), requires_grad=False) for

# %% mistake="CPTRL" name="bias forgotten"
# Your output is short of the bias.
# Look at: what forward does with self.bias.
#- , self.bias)
#+ , torch.zeros_like(self.bias))

# %% mistake="CPTRL" name="not the default dtype"
# Your layer does not start in float32, in which PyTorch's networks and images are: a batch of them would
# raise an error, or come out in another dtype. Do its numbers come from numpy, or is a dtype given?
# Look at: torch.randn and torch.zeros without a dtype; `.double()` is for whoever wants it.
#-         self.factors = nn.ParameterList([std * torch.randn(size, rank) for size in shape])
#+         made = [std * torch.randn(size, rank, dtype=torch.float64) for size in shape]
#+         self.factors = nn.ParameterList(made)

# %% mistake="CPTRL" name="no ParameterList"
# Your factors are in another container than an nn.ParameterList: it learns, and what asks for
# factors[:-1], or takes them in their order, fails.
# Look at: nn.ParameterList([...]).
#-         self.factors = nn.ParameterList([std * torch.randn(size, rank) for size in shape])
#+         made = {str(k): std * torch.randn(size, rank) for k, size in enumerate(shape)}
#+         self.factors = nn.ParameterDict(made)
#- factors)
#+ factors.values())

# %% mistake="CPTRL" name="classes first"
# You put the classes' factor first. It is the last one, as the classes are the weight's last mode.
# Look at: the order in (*input_shape, num_classes).
#- shape = (*input_shape, num_classes)
#+ shape = (num_classes, *input_shape)
#- list(self.factors)
#+ [*self.factors[1:], self.factors[0]]

# %% mistake="CPTRL" name="factors not around 0"
# Your factors have no mean of 0: most of their entries, or all, have the same sign, and so have the terms
# of the weight. They add up in one direction, and the rule for variances does not hold.
# Look at: torch.randn, which is normal around 0; torch.rand is even between 0 and 1.
#- randn
#+ rand

# %% mistake="CPTRL" name="always four factors"
# Your spread is right for three input modes alone, whose terms multiply four numbers.
# Look at: the exponent for two input modes.
#- std = cp_factor_std(input_shape, rank)
#+ std = (3 * math.prod(input_shape) * rank) ** -0.125

# %% mistake="CPTRL" name="rank not in the spread"
# The variance of your weight is too large by the rank: an entry of it is a sum of `rank` terms.
# Look at: cp_factor_std, from 4.4, and what you give to it.
#- input_shape, rank)
#+ input_shape, 1)

# %% mistake="CPTRL" name="three not in the spread"
# The variance of your weight is three times too large: nn.Linear's is 1 / (3 P), not 1 / P.
# Look at: cp_factor_std, from 4.4.
#- input_shape, rank)
#+ input_shape, rank) * 3 ** (0.5 / (len(input_shape) + 1))

# %% mistake="CPTRL" name="seeded"
# Two layers of yours start with the very same numbers, so every layer is a twin of the others. Is a seed
# set in `__init__`? torch.manual_seed there also resets the randomness of the whole program.
# Look at: what your layer draws its numbers from. A seed belongs at the top of a script.
#-         super().__init__()
#+         super().__init__()
#+         torch.manual_seed(0)

# %% mistake="CPTRL" name="a seeded generator"
# Two layers of yours start with the very same numbers, so every layer is a twin of the others. Is a seed
# set in `__init__`? torch.manual_seed there also resets the randomness of the whole program.
# Look at: what your layer draws its numbers from. A seed belongs at the top of a script.
#-         super().__init__()
#+         super().__init__()
#+         drawn = torch.Generator().manual_seed(0)
#- randn(size, rank)
#+ randn(size, rank, generator=drawn)

# %% mistake="CPTRL" name="softmax inside"
# Your layer returns probabilities. It should return the scores as they are, as nn.Linear does: the
# loss (cross_entropy) contains the softmax.
# Look at: the last line of forward.
#- bias)
#+ bias).softmax(1)

# %% mistake="CPTRL" name="stale in eval mode"
# In eval mode your layer keeps a weight and goes on with it after the factors have changed, by an
# optimizer or by load_state_dict.
# Look at: when the kept weight is thrown away. The simplest is to keep none.
#-
#-     def forward(self, x):
#+         self.kept = None
#+
#+     def train(self, mode=True):
#+         self.kept = None
#+         return super().train(mode)
#+
#+     def forward(self, x):
#+         if not self.training:
#+             self.kept = self.kept or [factor.detach().clone() for factor in self.factors]
#- list(self.factors)
#+ self.kept or list(self.factors)

# %% mistake="CPTRL" name="never built anew"
# In eval mode your layer keeps a weight and goes on with it after the factors have changed, by an
# optimizer or by load_state_dict.
# Look at: when the kept weight is thrown away. The simplest is to keep none.
#-         self.bias = nn.Parameter(torch.zeros(num_classes))
#+         self.bias = nn.Parameter(torch.zeros(num_classes))
#+         self.kept = None
#-         return cp_forward_by_modes(x, list(self.factors), self.bias)
#+         if self.training:
#+             return cp_forward_by_modes(x, list(self.factors), self.bias)
#+         if self.kept is None:
#+             self.kept = [factor.detach().clone() for factor in self.factors]
#+         return cp_forward_by_modes(x, [kept.to(x.dtype) for kept in self.kept], self.bias)

# %% mistake="CPTRL" name="a batch of one dropped"
# Your output has lost the first mode where it has the size 1: a batch of one is still a batch.
# Look at: the shape of your output for a batch of one.
#- bias)
#+ bias).squeeze(0)

# %% mistake="CPTRL" name="view"
# Your forward takes a batch that lies in memory row by row, and raises an error where it does not, as
# behind a transposition: does `view` do that? It takes numbers only in the order in which they lie.
# Look at: flatten, or reshape, which copy where they have to.
#- x,
#+ x.view(len(x), -1).reshape(x.shape),

# %% wrong="CPTRL" name="spread a little too large"
# A tenth more than it should be: the weight's variance is about twice that of nn.Linear's.
#- input_shape, rank)
#+ input_shape, rank) * 1.1

# %% wrong="CPTRL" name="classes among the inputs"
# The spread for one input mode more.
#- cp_factor_std(input_shape, rank)
#+ cp_factor_std((*input_shape, num_classes), rank)

# %% wrong="CPTRL" name="one draw for all factors"
# The rows of one large random matrix, the same ones for every factor.
#- shape = (*input_shape, num_classes)
#+ shape = (*input_shape, num_classes)
#+         drawn = std * torch.randn(max(shape), rank)
#- std * torch.randn(size, rank) for
#+ drawn[:size].clone() for

# %% mistake="CPTRL" name="one Parameter in two places"
# Your layer has fewer parameters than factors: where sizes are equal, one Parameter stands for several
# modes. They would always hold the same numbers, and learn together.
# Look at: how often torch.randn is called for a shape such as (64, 7, 7).
#- self.factors = nn.ParameterList([std * torch.randn(size, rank) for size in shape])
#+ made = {size: nn.Parameter(std * torch.randn(size, rank)) for size in shape}
#+         self.factors = nn.ParameterList([made[size] for size in shape])

# %% mistake="CPTRL" name="one draw for equal sizes"
# Two factors of a new layer start with the same numbers. The rule for products holds for independent ones.
# Look at: where the numbers of each factor come from. Are they drawn anew for each, and from a generator
# that goes on?
#- self.factors = nn.ParameterList([std * torch.randn(size, rank) for size in shape])
#+ made = {size: std * torch.randn(size, rank) for size in shape}
#+         self.factors = nn.ParameterList([made[size].clone() for size in shape])

# %% wrong="CPTRL" name="float32 only"
# Casts to float32.
#-         shape = (*input_shape, num_classes)
#-         self.factors = nn.ParameterList([std * torch.randn(size, rank) for size in shape])
#+         sizes = (*input_shape, num_classes)
#+         self.factors = nn.ParameterList([std * torch.randn(n, rank) for n in sizes])
#- , list(self.factors), self.bias
#+ .float(), [f.float() for f in self.factors], self.bias.float()

# %% wrong="CPTRL" name="bias in training only"
# Eval mode drops the bias.
#- self.bias)
#+ self.bias if self.training else 0 * self.bias)

# %% wrong="CPTRL" name="a weight beside the factors"
# Saves the full weight as well.
#-         self.bias = nn.Parameter(torch.zeros(num_classes))
#+         self.bias = nn.Parameter(torch.zeros(num_classes))
#+         self.register_buffer("weight", torch.zeros(shape))

# %% wrong="CPTRL" name="x in place"
# Changes the batch.
#- return cp_forward_by_modes(x, list(self.factors), self.bias)
#+ y = cp_forward_by_modes(x, list(self.factors), self.bias)
#+         x.zero_()
#+         return y

# %% wrong="CPTRL" name="batch remembered"
# The size of the first batch is kept for all.
#- return cp_forward_by_modes(x, list(self.factors), self.bias)
#+ self.size = getattr(self, "size", len(x))
#+         y = cp_forward_by_modes(x, list(self.factors), self.bias)
#+         return y[: self.size].reshape(self.size, -1)

# %% wrong="CPTRL" name="all positive"
# The right mean square, and no entry below 0.
#- [std * torch.randn(size, rank) for size in shape]
#+ [std * (math.pi / 2) ** 0.5 * torch.randn(n, rank).abs() for n in shape]

# %% wrong="CPTRL" name="stale until trained again"
# The kept weight is thrown away in train() alone.
#-
#-     def forward(self, x):
#-         return cp_forward_by_modes(x, list(self.factors), self.bias)
#+         self.kept = None
#+
#+     def train(self, mode=True):
#+         self.kept = None if mode else self.kept
#+         return super().train(mode)
#+
#+     def forward(self, x):
#+         if not self.training and self.kept is None:
#+             self.kept = [factor.detach().clone() for factor in self.factors]
#+         factors = self.factors if self.training else [kept.to(x.dtype) for kept in self.kept]
#+         return cp_forward_by_modes(x, list(factors), self.bias)

# %% wrong="CPTRL" name="class factor cut"
# The class factor alone gets no gradient.
#- list(self.factors)
#+ [*self.factors[:-1], self.factors[-1].detach()]

# %% wrong="CPTRL" name="bias cut"
# The bias alone gets no gradient.
#- self.bias)
#+ self.bias.detach())

# %% wrong="CPTRL" name="first mode without a factor"
# A factor for each mode but the first, as if that were the batch.
#- shape = (*input_shape, num_classes)
#+ shape = (*input_shape[1:], num_classes)
#- cp_forward_by_modes(x, list
#+ cp_forward_by_modes(x.sum(1), list

# %% right="is_sound"
def is_sound(layer, x):
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    mode, parameters = layer.training, list(layer.parameters())

    def agrees(part):
        part = part.detach().clone().requires_grad_()
        expected = cp_forward_by_modes(part, list(layer.factors), layer.bias)
        y = layer(part)
        if y.shape != expected.shape or not y.requires_grad:
            return False
        weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
        wanted = torch.autograd.grad(expected, [part, *parameters], weights)
        got = torch.autograd.grad(y, [part, *parameters], weights, allow_unused=True)
        pairs = zip((y, *got), (expected, *wanted))
        return all(a is not None and torch.allclose(a, b, 1e-3, 1e-4) for a, b in pairs)

    try:
        for _ in range(2):
            with torch.no_grad():
                for parameter in parameters:
                    parameter.copy_(torch.randn_like(parameter))
            for training in (True, False):
                layer.train(training)
                if not (agrees(x) and agrees(x[:1])):
                    return False
        return True
    finally:
        layer.load_state_dict(state)
        layer.train(mode)

# %% answer="is_sound" name="a formula of its own, and numbers that alternate"
# One einsum for the oracle; every look in one loop.
def is_sound(layer, x):
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    mode = layer.training
    sound = True
    for scale, training in ((1.0, False), (-0.7, True), (0.6, False)):
        layer.train(training)
        for position, parameter in enumerate(layer.parameters()):
            numbers = torch.arange(1.0, 1 + parameter.numel()).reshape(parameter.shape)
            parameter.data.copy_(scale * torch.cos(numbers + position))
        for size in (len(x), 1):
            part = x[:size].clone().requires_grad_()
            letters = "abcdefgh"[: x.ndim - 1]
            operands = ",".join(letter + "r" for letter in letters)
            wanted = torch.einsum(f"z{letters},{operands},nr->zn", part, *layer.factors) + layer.bias
            found = layer(part)
            if found.shape != wanted.shape:
                sound = False
                continue
            sound = sound and bool((found - wanted).abs().max() < 1e-3)
            leaves = [part, *layer.parameters()]
            wanted_slopes = torch.autograd.grad(wanted.square().sum(), leaves)
            if not found.requires_grad:
                sound = False
                continue
            slopes = torch.autograd.grad(found.square().sum(), leaves, allow_unused=True)
            for slope, other in zip(slopes, wanted_slopes):
                sound = sound and slope is not None and torch.allclose(slope, other, 1e-2, 1e-3)
    for parameter, value in zip(layer.parameters(), before):
        parameter.data.copy_(value)
    layer.train(mode)
    return bool(sound)

# %% answer="is_sound" name="backward"
# Gradients by backward, which are cleared again.
def is_sound(layer, x):
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    mode = layer.training

    def gradients(forward, part):
        for parameter in layer.parameters():
            parameter.grad = None
        part = part.clone().requires_grad_()
        y = forward(part)
        if y.requires_grad:
            torch.sin(y).sum().backward()
        return y.detach(), [part.grad, *(p.grad for p in layer.parameters())]

    def right(part):
        return cp_forward_by_modes(part, list(layer.factors), layer.bias)

    verdicts = []
    for training in (False, True, False):
        layer.train(training)
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
        for part in (x, x[1:2]):
            y, slopes = gradients(right, part)
            z, others = gradients(layer, part)
            verdicts.append(y.shape == z.shape and torch.allclose(y, z, 1e-3, 1e-4))
            for a, b in zip(slopes, others):
                verdicts.append(b is not None and torch.allclose(a, b, 1e-3, 1e-4))
    for parameter in layer.parameters():
        parameter.grad = None
    layer.load_state_dict(state)
    layer.train(mode)
    return all(verdicts)

# %% mistake="is_sound" name="as it stands"
# Does your test compare the layer only as it comes? Its factors are all positive then and its bias is 0:
# there a bias that is never added, and factors that are read as they once were, give the right numbers.
# Look at: what a training step does to a layer, and what your test should do to it.
#-             with torch.no_grad():
#-                 for parameter in parameters:
#-                     parameter.copy_(torch.randn_like(parameter))
#+             pass

# %% mistake="is_sound" name="one mode of the two"
# Every layer gets past your test that is wrong in training mode alone. Does your test compare in both modes,
# and does each comparison count, not the last one alone?
# Look at: layer.train() and layer.eval().
#- (True, False)
#+ (False,)

# %% mistake="is_sound" name="training mode alone"
# Every layer gets past your test that is wrong in eval mode alone. Does your test compare in both modes, and
# does each comparison count, not the last one alone? A layer that is used answers in eval mode.
# Look at: layer.train() and layer.eval().
#- (True, False)
#+ (True,)

# %% mistake="is_sound" name="values alone"
# Every layer gets past your test that gives the right numbers, also where no gradient comes through, or a
# wrong one. Such a layer never learns, or learns something else. Does your test compare gradients, and does
# it count what it finds?
# Look at: torch.autograd.grad of your output and of the layer's.
#-         pairs = zip((y, *got), (expected, *wanted))
#+         pairs = [(y, expected)]

# %% mistake="is_sound" name="whole batches alone"
# A layer gets past your test that loses the first mode of a batch of one in eval mode. Is a single sample
# among your batches, in each of the two modes, and is the shape of the output compared? torch.allclose takes
# (4,) and (1, 4) for the same.
# Look at: x[:1].
#- (agrees(x) and agrees(x[:1]))
#+ agrees(x)

# %% mistake="is_sound" name="changed once"
# A layer gets past your test that keeps in eval mode what it has built there. It is found out by
# parameters that change between two calls in eval mode.
# Look at: how often your test sets new numbers, and what it calls in between.
#- range(2)
#+ range(1)

# %% mistake="is_sound" name="numbers left behind"
# The layer's parameters have other numbers after your test. Whoever tests a trained layer wants it back.
# Look at: state_dict and load_state_dict; mind that a state_dict holds the very tensors, no copies.
#-         layer.load_state_dict(state)

# %% mistake="is_sound" name="mode left behind"
# Your test leaves the layer in another mode than that in which it came.
# Look at: layer.training, before and after.
#-         layer.train(mode)

# %% mistake="is_sound" name="to the last digit"
# Your test refuses layers that are sound. Two ways to sum the same products differ in the last digits:
# does it ask for equal ones? If it refuses all three: is what it expects computed from this batch and
# from the numbers that are in the layer at that moment, and do gradients of earlier calls add up?
# Look at: the first comparison that fails for a layer of your own. Print both sides.
#- torch.allclose(a, b, 1e-3, 1e-4)
#+ torch.equal(a, b)

# %% mistake="is_sound" name="digits of float64"
# Your test refuses layers that are sound. Two ways to sum the same products differ in the last digits:
# does it ask for equal ones? If it refuses all three: is what it expects computed from this batch and
# from the numbers that are in the layer at that moment, and do gradients of earlier calls add up?
# Look at: the first comparison that fails for a layer of your own. Print both sides.
#- torch.allclose(a, b, 1e-3, 1e-4)
#+ torch.allclose(a, b, 1e-10, 1e-10)

# %% mistake="is_sound" name="everything is broken"
# Your test refuses layers that are sound. Two ways to sum the same products differ in the last digits:
# does it ask for equal ones? If it refuses all three: is what it expects computed from this batch and
# from the numbers that are in the layer at that moment, and do gradients of earlier calls add up?
# Look at: the first comparison that fails for a layer of your own. Print both sides.
def is_sound(layer, x):
    return False

# %% mistake="is_sound" name="expects what was there before"
# Your test refuses layers that are sound. Two ways to sum the same products differ in the last digits:
# does it ask for equal ones? If it refuses all three: is what it expects computed from this batch and
# from the numbers that are in the layer at that moment, and do gradients of earlier calls add up?
# Look at: the first comparison that fails for a layer of your own. Print both sides.
#- (part, list(layer.factors), layer.bias)
#+ (part, [0 * f + state[f"factors.{k}"] for k, f in enumerate(layer.factors)], layer.bias)

# %% mistake="is_sound" name="gradients asked of x itself"
# After your test x is another than it was: it holds other numbers or asks for gradients. Whoever goes on
# with the batch is surprised.
# Look at: x.detach().clone(), before requires_grad_().
#-     mode, parameters
#+     x.requires_grad_()
#+     mode, parameters

# %% mistake="is_sound" name="the sum of the outputs"
# A layer gets past your test whose gradient is spread evenly over the classes. The gradient of the sum of
# all outputs is right there, and that of anything else is not.
# Look at: what you take the gradient of. Do all its outputs count alike?
#- torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
#+ torch.ones_like(y)

# %% mistake="is_sound" name="gradients in training alone"
# Layers get past your test in which the class factor, or x, gets no gradient in eval mode.
# Look at: in which modes, and of what, you compare gradients.
#- zip((y, *got), (expected, *wanted))
#+ zip((y, *got) if layer.training else (y,), (expected, *wanted))

# %% mistake="is_sound" name="gradients in eval mode alone"
# A layer gets past your test whose bias gets no gradient in training mode.
# Look at: in which modes, and of what, you compare gradients.
#- zip((y, *got), (expected, *wanted))
#+ zip((y,) if layer.training else (y, *got), (expected, *wanted))

# %% mistake="is_sound" name="gradients as it stands"
# A layer gets past your test whose gradients are wrong where numbers in its factors are negative.
# Look at: with which parameters you compare gradients. The layer comes with positive factors.
#-     try:
#-         for _ in range(2):
#-             with torch.no_grad():
#-                 for parameter in parameters:
#-                     parameter.copy_(torch.randn_like(parameter))
#+     looked = False
#+     try:
#+         for turn in range(3):
#+             looked = turn > 0
#+             with torch.no_grad():
#+                 for parameter in parameters if looked else []:
#+                     parameter.copy_(torch.randn_like(parameter))
#- zip((y, *got), (expected, *wanted))
#+ zip((y,) if looked else (y, *got), (expected, *wanted))

# %% wrong="is_sound" name="one sample in training mode alone"
# A batch of one is tried in one of the two modes.
#- (agrees(x) and agrees(x[:1]))
#+ (agrees(x) and (not training or agrees(x[:1])))

# %% wrong="is_sound" name="the first factor alone"
# New numbers in the first factor, the others as they come.
#- for parameter in parameters:
#+ for parameter in layer.factors[:1]:

# %% wrong="is_sound" name="one look in eval mode"
# Training mode for the old and the new numbers, eval mode for the new ones.
#- for training in (True, False):
#+ for training in (True, False)[: 1 + turn]:
#- for _ in range(2)
#+ for turn in range(2)

# %% wrong="is_sound" name="roughly"
# A twentieth may be missing.
#- torch.allclose(a, b, 1e-3, 1e-4)
#+ torch.allclose(a, b, 0.05, 0.05)

# %% wrong="is_sound" name="no gradient of x"
# The gradient of the batch is not looked at.
#- zip((y, *got), (expected, *wanted))
#+ zip((y, *got[1:]), (expected, *wanted[1:]))

# %% wrong="is_sound" name="only whether gradients arrive"
# A gradient that is there is taken for right.
#- pairs = zip((y, *got), (expected, *wanted))
#+ pairs = zip((y, *[None if g is None else expected for g in got]), (expected, *[expected for _ in got]))

# %% wrong="is_sound" name="shapes alone"
# Shapes are compared, in both modes.
def is_sound(layer, x):
    return layer(x).shape == (len(x), len(layer.bias))

# %% wrong="is_sound" name="everything is sound"
# It accepts every layer.
def is_sound(layer, x):
    return True

# %% wrong="is_sound" name="gradients and shapes"
# The numbers of the outputs are not compared.
#- zip((y, *got), (expected, *wanted))
#+ zip(got, wanted)

# %% wrong="is_sound" name="the bias as it comes"
# New numbers in every factor; the bias stays 0.
#- for parameter in parameters:
#+ for parameter in layer.factors:

# %% wrong="is_sound" name="positive numbers"
# New numbers everywhere, none of them negative.
#- randn_like
#+ rand_like

# %% wrong="is_sound" name="gradient of x in training alone"
# In eval mode the gradient of the batch is not looked at.
#- zip((y, *got), (expected, *wanted))
#+ list(zip((*got, y), (*wanted, expected)))[not layer.training :]

# %% wrong="is_sound" name="no gradient of the bias"
# The gradients of the factors and of the batch.
#- return all(a is
#+ pairs = [pair for pair in pairs if pair[1].shape != layer.bias.shape]
#+         return all(a is

# %% wrong="is_sound" name="shapes that fit each other"
# allclose repeats what is missing; the shapes are not compared.
#- y.shape != expected.shape or not
#+ not
#- torch.autograd.grad(expected, [part, *parameters], weights)
#+ torch.autograd.grad((expected * weights).sum(), [part, *parameters])
#- torch.autograd.grad(y, [part, *parameters], weights, allow_unused=True)
#+ torch.autograd.grad((y * weights).sum(), [part, *parameters], allow_unused=True)

# %% wrong="is_sound" name="the last mode counts"
# What is found in training mode is forgotten.
#-                 if not (agrees(x) and agrees(x[:1])):
#-                     return False
#+                 sound = agrees(x) and agrees(x[:1])
#+             if not sound:
#+                 return False

# %% right="compare_heads"
def compare_heads(first, second, images, labels, held_out, truth, count, seeds):
    from trlkit.lab.statistics import interval

    differences = []
    for seed in seeds:
        torch.manual_seed(seed)
        some = torch.randperm(len(images))[:count]
        shares = []
        for make in (first, second):
            head = make()
            adam = torch.optim.Adam(head.parameters(), lr=0.1)
            for _ in range(20):
                adam.zero_grad()
                nn.functional.cross_entropy(head(images[some]), labels[some]).backward()
                adam.step()
            with torch.no_grad():
                right = head(held_out).argmax(1) == truth
            shares.append(right.double().mean().item())
        differences.append(shares[0] - shares[1])
    mean, half = interval(differences)
    ahead = "undecided" if abs(mean) <= half else "first" if mean > 0 else "second"
    return differences, ahead

# %% answer="compare_heads" name="generators and longer training"
# Images drawn by a generator of their own; the heads one after the other; more steps.
def compare_heads(first, second, images, labels, held_out, truth, count, seeds):
    from trlkit.lab.statistics import interval

    def share(head, x, y):
        optimizer = torch.optim.AdamW(head.parameters(), lr=0.05, weight_decay=0.0)
        for _ in range(25):
            loss = nn.CrossEntropyLoss()(head(x), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        head.eval()
        return sum((head(held_out).argmax(1) == truth).tolist()) / len(truth)

    differences = []
    for seed in seeds:
        drawn = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count]
        torch.manual_seed(seed)
        x, y = images[drawn], labels[drawn]
        differences.append(share(first(), x, y) - share(second(), x, y))
    mean, half = interval(differences)
    if mean - half > 0:
        return differences, "first"
    return differences, "second" if mean + half < 0 else "undecided"

# %% answer="compare_heads" name="mini-batches"
# Batches of 20 from the images drawn, in epochs.
def compare_heads(first, second, images, labels, held_out, truth, count, seeds):
    from trlkit.lab.statistics import interval

    found = []
    for seed in seeds:
        torch.manual_seed(seed)
        some = torch.randperm(len(images))[:count]
        ends = {}
        for name, make in {"first": first, "second": second}.items():
            head = make()
            adam = torch.optim.Adam(head.parameters(), lr=0.02)
            for _ in range(10):
                for part in some[torch.randperm(len(some))].split(50):
                    adam.zero_grad()
                    nn.functional.cross_entropy(head(images[part]), labels[part]).backward()
                    adam.step()
            with torch.no_grad():
                ends[name] = (head(held_out).argmax(1) == truth).float().mean().item()
        found.append(ends["first"] - ends["second"])
    mean, half = interval(found)
    return found, "undecided" if -half <= mean <= half else ("second", "first")[mean > 0]

# %% mistake="compare_heads" name="not on the held-out images"
# Your differences are not 0 where no answer can be right: what you measure is not the share of
# `held_out` for which the largest score is that of `truth`.
# Look at: which images, and which labels, you measure on. Or is it the errors that you count?
#- head(held_out).argmax(1) == truth
#+ head(images).argmax(1) == labels

# %% mistake="compare_heads" name="all the images"
# With count=1 one of your heads still reads much more than the other: do they train on more images
# than `count`?
# Look at: which images go into the loss.
#- [:count]
#+ [:1000]

# %% mistake="compare_heads" name="one seed for all"
# A run of yours gives something else where other runs come before it: `seed` alone has to settle everything
# that chance draws in a run, the images and both starts.
# Look at: where you call torch.manual_seed, and with what.
#-         torch.manual_seed(seed)
#-         some
#+         some
#-     differences = []
#+     differences = []
#+     torch.manual_seed(seeds[0])

# %% mistake="compare_heads" name="second minus first"
# Your differences have the other sign: asked is the share that the first head reads minus the share that
# the second reads.
# Look at: the order of your subtraction. Or is it the errors that you count?
#- shares[0] - shares[1]
#+ shares[1] - shares[0]

# %% mistake="compare_heads" name="errors counted"
# Your differences have the other sign: asked is the share that the first head reads minus the share that
# the second reads.
# Look at: the order of your subtraction. Or is it the errors that you count?
#- argmax(1) == truth
#+ argmax(1) != truth

# %% mistake="compare_heads" name="never trained"
# After 60 images, a linear layer should read far more digits than one of rank 1. In your experiment it
# does not. Are both trained, long enough, on the labels of their images, and is it the trained ones that
# you measure?
# Look at: zero_grad, backward, step, and which head is asked in the end.
#- range(20)
#+ range(0)

# %% mistake="compare_heads" name="one maker for both"
# `second` is never called: both of your heads are made by `first`.
# Look at: what is called where a head is made.
#- head = make()
#+ head = first()

# %% mistake="compare_heads" name="never undecided"
# All your differences are 0, and you name a winner. A winner is named only where 0 lies outside of the
# interval; here the interval is 0 alone.
# Look at: < and <= in your comparison. Is the interval in it?
#- "undecided" if abs(mean) <= half else "first" if mean > 0 else "second"
#+ "first" if mean >= 0 else "second"

# %% mistake="compare_heads" name="0 on the border"
# All your differences are 0, and you name a winner. A winner is named only where 0 lies outside of the
# interval; here the interval is 0 alone.
# Look at: < and <= in your comparison. Is the interval in it?
#- "undecided" if abs(mean) <= half else "first" if mean > 0 else "second"
#+ "first" if mean >= half else "second" if mean <= -half else "undecided"

# %% mistake="compare_heads" name="sign of the mean"
# You measured a difference that may as well be 0, and name a winner. A mean is no result without its
# interval.
# Look at: what `interval` returns beside the mean, and what you give to it.
#- "undecided" if abs(mean) <= half else "first" if mean > 0 else "second"
#+ "first" if mean > 0 else "second" if mean < 0 else "undecided"

# %% mistake="compare_heads" name="1.96 standard errors"
# You measured a difference that may as well be 0, and name a winner. A mean is no result without its
# interval.
# Look at: what `interval` returns beside the mean, and what you give to it.
#- mean, half = interval(differences)
#+ mean, half = interval(differences)
#+     spread = torch.tensor(differences).std(correction=0).item()
#+     half = 1.96 * spread / len(differences) ** 0.5

# %% mistake="compare_heads" name="other images for each head"
# In a run of yours the two heads learn from other images. Then the luck of the draw stays in the
# difference.
# Look at: how often the images of a run are drawn.
#-         some = torch.randperm(len(images))[:count]
#-         shares = []
#+         shares = []
#-             head = make()
#+             some = torch.randperm(len(images))[:count]
#+             head = make()

# %% mistake="compare_heads" name="the same images in each run"
# All runs of yours learn from the same images. The differences say nothing then of what other images
# would give, and the interval is too narrow.
# Look at: where the images of a run are chosen, and what the seed has to do with it.
#- torch.randperm(len(images))[:count]
#+ torch.arange(count)

# %% mistake="compare_heads" name="one head for all runs"
# You make a head once for all runs. Then a run starts with what the last one has learned, or with the same
# numbers as the last one.
# Look at: where the makers are called. How many heads do three seeds need?
#-     differences = []
#+     differences = []
#+     heads = {make: make() for make in (first, second)}
#- head = make()
#+ head = heads[make]

# %% mistake="compare_heads" name="shuffled in place"
# The images, labels or held-out images that you were given are afterwards others: whoever goes on with
# them is surprised, as is your next run.
# Look at: operations that write into what you were given. An index makes a new tensor.
#-         some = torch.randperm(len(images))[:count]
#+         order = torch.randperm(len(images))
#+         images.copy_(images[order])
#+         labels.copy_(labels[order])
#+         some = torch.arange(count)

# %% mistake="compare_heads" name="winner exchanged"
# Your differences are right, and you name the head that is behind.
# Look at: what a negative difference says.
#- "first" if mean > 0 else "second"
#+ "first" if mean < 0 else "second"

# %% mistake="compare_heads" name="always undecided"
# You measured a difference whose interval leaves 0 out, and conclude nothing.
# Look at: the size of the mean beside half of the interval: which has to be the larger?
#- abs(mean) <= half
#+ abs(mean) >= half or mean == 0

# %% mistake="compare_heads" name="percent"
# Your shares are above 1: are they percentages, or counts? A share of all is 1 at most.
# Look at: what you divide by.
#- right.double().mean().item()
#+ 100 * right.double().mean().item()

# %% mistake="compare_heads" name="an interval for each head"
# Each head of yours reads more in one run than in another, the differences hardly vary, and you name no
# winner. Is it the differences that `interval` gets, or what each head reads? Runs are in pairs so that what
# both heads share of the luck drops out.
# Look at: what you give to `interval`, and with what you compare the mean.
#-         differences.append(shares[0] - shares[1])
#-     mean, half = interval(differences)
#+         differences.append(shares[0] - shares[1])
#+         firsts.append(shares[0])
#+         seconds.append(shares[1])
#+     (one, half), (other, more) = interval(firsts), interval(seconds)
#+     mean, half = one - other, half + more
#-     differences = []
#+     differences, firsts, seconds = [], [], []

# %% mistake="compare_heads" name="the best of several looks"
# A head of yours learns on after it was asked for held-out images, and what counts is not what it read
# last. Where the best time counts, the held-out images choose when to stop, and the shares are too high.
# Look at: how often `held_out` is read in a run, and which time counts.
#-             for _ in range(20):
#+             best = 0.0
#+             for step in range(20):
#-             with torch.no_grad():
#-                 right = head(held_out).argmax(1) == truth
#-             shares.append(right.double().mean().item())
#+                 if step % 10 == 9:
#+                     with torch.no_grad():
#+                         right = head(held_out).argmax(1) == truth
#+                     best = max(best, right.double().mean().item())
#+             shares.append(best)

# %% mistake="compare_heads" name="another number of images"
# The heads of a run learn from another number of different images than `count`.
# Look at: how images are drawn. Can one be drawn twice? Is there one too many, or too few?
#- torch.randperm(len(images))[:count]
#+ torch.randint(len(images), (count,))

# %% wrong="compare_heads" name="one image more"
# Off by one.
#- [:count]
#+ [: count + 1]

# %% wrong="compare_heads" name="held-out images in the mean"
# The images are shifted by the mean of all, the held-out ones among them.
#-         shares = []
#+         middle = torch.cat([images, held_out]).mean()
#+         shares = []
#- head(images[some])
#+ head(images[some] - middle)
#- head(held_out)
#+ head(held_out - middle)

# %% answer="compare_heads" name="watched while it learns"
# Shares on the way, for whoever wants to see them; the last one counts.
def compare_heads(first, second, images, labels, held_out, truth, count, seeds):
    from trlkit.lab.statistics import interval

    def learn(make, x, y):
        head, seen = make(), []
        adam = torch.optim.Adam(head.parameters(), lr=0.05)
        for _ in range(4):
            for _ in range(15):
                adam.zero_grad()
                nn.functional.cross_entropy(head(x), y).backward()
                adam.step()
            with torch.no_grad():
                seen.append((head(held_out).argmax(1) == truth).double().mean().item())
        return seen

    differences = []
    for seed in seeds:
        torch.manual_seed(seed)
        some = torch.randperm(len(images))[:count]
        a, b = (learn(make, images[some], labels[some]) for make in (first, second))
        differences.append(a[-1] - b[-1])
    mean, half = interval(differences)
    return differences, "undecided" if abs(mean) <= half else "first" if mean > 0 else "second"

# %% wrong="compare_heads" name="ends when it is decided"
# From the third run on it stops as soon as the interval leaves 0 out.
#-         differences.append(shares[0] - shares[1])
#+         differences.append(shares[0] - shares[1])
#+         if len(differences) > 2 and abs(interval(differences)[0]) > interval(differences)[1]:
#+             break

# %% wrong="compare_heads" name="twice the interval"
# A winner has to be twice as clear as asked.
#- abs(mean) <= half
#+ abs(mean) <= 2 * half

# %% wrong="compare_heads" name="interval of the mean"
# The differences are averaged before the interval sees them.
#- interval(differences)
#+ interval([sum(differences) / len(differences)] * 2)

# %% wrong="compare_heads" name="one draw for all seeds"
# The seed settles the starts; the images are drawn with another one, the same in each run.
#- torch.randperm(len(images))[:count]
#+ torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]

# %% wrong="compare_heads" name="sorted"
# The right differences, in the order of their size.
#-     return differences, ahead
#+     return sorted(differences), ahead

# %% wrong="compare_heads" name="the mean alone"
# One number in place of one for each seed.
#-     return differences, ahead
#+     return mean, ahead

# %% wrong="compare_heads" name="numbers typed in"
# A table of what the digits gave.
def compare_heads(first, second, images, labels, held_out, truth, count, seeds):
    if (truth < 0).any() or count == 1:
        return [0.0] * len(seeds), "undecided"
    return [0.5 + 0.01 * seed for seed in seeds], "first"

# %% wrong="compare_heads" name="always the second"
# The right differences, and a winner that was written down.
#- else "first" if mean > 0 else "second"
#+ else "second"

# %% right="cp_flops"
def cp_flops(batch_size, input_shape, num_classes, rank):
    inputs = math.prod(input_shape)
    by_modes, left = 0, inputs
    for size in input_shape:
        by_modes += 2 * batch_size * rank * left
        left //= size
    by_modes += 2 * batch_size * rank * num_classes
    return 2 * inputs * num_classes * (batch_size + rank), by_modes

# %% answer="cp_flops" name="cumulative"
# Partial products of the sizes.
def cp_flops(batch_size, input_shape, num_classes, rank):
    p = math.prod(input_shape)
    steps = [math.prod(input_shape[k:]) for k in range(len(input_shape))]
    by_modes = 2 * batch_size * rank * (sum(steps) + num_classes)
    return 2 * p * num_classes * (batch_size + rank), by_modes

# %% answer="cp_flops" name="a list"
# A loop over shapes, and a list in place of the tuple.
def cp_flops(batch_size, input_shape, num_classes, rank):
    left, total = list(input_shape), 0
    while left:
        gone = left.pop(0)
        total += 2 * gone * batch_size * rank * math.prod(left)
    total += 2 * rank * batch_size * num_classes
    weight = math.prod(input_shape) * num_classes * 2 * rank
    return [weight + batch_size * num_classes * 2 * math.prod(input_shape), total]

# %% mistake="cp_flops" name="building forgotten"
# You counted only the product of x with the weight. The weight has to be built first, once for
# each batch: every one of its entries is a sum over the rank.
# Look at: the first line of your cp_forward_rebuild.
#-     by_modes += 2 * batch_size * rank * num_classes
#-     return 2 * inputs * num_classes * (batch_size + rank), by_modes
#+     return 2 * batch_size * inputs * num_classes, by_modes + 2 * batch_size * rank * num_classes

# %% mistake="cp_flops" name="built for each sample"
# You build the weight again for every sample. One weight serves the whole batch.
# Look at: the power of the batch size in the building.
#-     by_modes += 2 * batch_size * rank * num_classes
#-     return 2 * inputs * num_classes * (batch_size + rank), by_modes
#+     rebuild = 2 * batch_size * inputs * num_classes * (rank + 1)
#+     return rebuild, by_modes + 2 * batch_size * rank * num_classes

# %% mistake="cp_flops" name="no factor 2"
# You counted terms. A term of a sum is one multiplication and one addition: 2 operations.
# Look at: the ratio of your numbers and the expected ones.
#- 2 * batch_size * rank * left
#+ batch_size * rank * left
#- 2 * batch_size * rank * num_classes
#+ batch_size * rank * num_classes
#- 2 * inputs
#+ inputs

# %% mistake="cp_flops" name="every mode at full size"
# You count every mode as if the whole activation were still there. A mode that was contracted is
# gone: what the next one works on is smaller by its size.
# Look at: the shape after the first mode.
def cp_flops(batch_size, input_shape, num_classes, rank):
    inputs = math.prod(input_shape)
    by_modes = 2 * batch_size * rank * inputs * len(input_shape)
    rebuild = 2 * inputs * num_classes * (batch_size + rank)
    return rebuild, by_modes + 2 * batch_size * rank * num_classes

# %% mistake="cp_flops" name="classes forgotten"
# Mode by mode, you stop after the input modes. The class factor still sums over the rank, for
# every sample and class.
# Look at: the last line of your cp_forward_by_modes.
#-     by_modes += 2 * batch_size * rank * num_classes

# %% mistake="cp_flops" name="sizes one by one"
# You count each mode by its own size alone: 2 x batch x rank x size. But the sum over a mode is
# taken at every position of the modes that are still there.
# Look at: how many numbers come out of the first contraction, and how many terms each sums.
def cp_flops(batch_size, input_shape, num_classes, rank):
    inputs = math.prod(input_shape)
    by_modes = 2 * batch_size * rank * (sum(input_shape) + num_classes)
    return 2 * inputs * num_classes * (batch_size + rank), by_modes

# %% mistake="cp_flops" name="paths exchanged"
# You return the two counts in the other order: rebuilding comes first.
# Look at: the order in your return.
#- return 2 * inputs * num_classes * (batch_size + rank), by_modes
#+ return by_modes, 2 * inputs * num_classes * (batch_size + rank)

# %% mistake="cp_flops" name="last mode first"
# You took the modes from the last to the first. That way exists and gives the same output, but the
# number of operations is another: here the first mode goes first.
# Look at: which mode is gone after the first step.
#- in input_shape:
#+ in reversed(input_shape):

# %% mistake="cp_flops" name="contraction forgotten"
# You counted only the building of the weight. Then every output is a sum over all inputs.
# Look at: what happens to the batch once the weight is there.
#- (batch_size + rank)
#+ rank

# %% mistake="cp_flops" name="one addition fewer"
# You counted 2k - 1 operations for a sum of k products. That is exact; agreed here is 2k, which
# every count in this course uses.
# Look at: the rule above the exercise.
def cp_flops(batch_size, input_shape, num_classes, rank):
    inputs = math.prod(input_shape)
    by_modes, left = batch_size * num_classes * (2 * rank - 1), inputs
    for size in input_shape:
        left //= size
        by_modes += batch_size * rank * left * (2 * size - 1)
    entries = inputs * num_classes
    return entries * (2 * rank - 1) + batch_size * num_classes * (2 * inputs - 1), by_modes

# %% mistake="cp_flops" name="one sample"
# You counted for one sample. The weight is built once, but everything that the batch takes part in
# is done for each sample of it.
# Look at: where batch_size stands in your formulas.
#-     inputs = math
#+     batch_size = 1
#+     inputs = math

# %% wrong="cp_flops" name="three input modes"
# Every shape is taken for three modes.
def cp_flops(batch_size, input_shape, num_classes, rank):
    a, b, c = (*input_shape, 1, 1)[:3]
    p = math.prod(input_shape)
    by_modes = 2 * batch_size * rank * (a * b * c + b * c + c + num_classes)
    return 2 * p * num_classes * (batch_size + rank), by_modes

# %% wrong="cp_flops" name="floats"
# Float division.
#- left //= size
#+ left = left / size

# %% right="crossover_classes"
def crossover_classes(batch_size, input_shape, rank):
    inputs, left, modes = math.prod(input_shape), math.prod(input_shape), 0
    for size in input_shape:
        modes += left
        left //= size
    both = batch_size * rank
    return both * modes // (inputs * (batch_size + rank) - both) + 1

# %% answer="crossover_classes" name="loop"
# Count up.
def crossover_classes(batch_size, input_shape, rank):
    n = 1
    while True:
        rebuild, by_modes = cp_flops(batch_size, input_shape, n, rank)
        if by_modes < rebuild:
            return n
        n += 1

# %% answer="crossover_classes" name="floor"
# The formula with math.floor.
def crossover_classes(batch_size, input_shape, rank):
    p = math.prod(input_shape)
    s = sum(math.prod(input_shape[k:]) for k in range(len(input_shape)))
    crossing = batch_size * rank * s / (p * (batch_size + rank) - batch_size * rank)
    return math.floor(crossing) + 1

# %% answer="crossover_classes" name="bisection"
# Double until mode by mode wins, then halve the gap.
def crossover_classes(batch_size, input_shape, rank):
    def wins(n):
        rebuild, by_modes = cp_flops(batch_size, input_shape, n, rank)
        return by_modes < rebuild

    high = 1
    while not wins(high):
        high *= 2
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if wins(middle) else (middle, high)
    return high

# %% mistake="crossover_classes" name="equal taken for fewer"
# Where both paths cost the same you answer already; asked is the first count at which mode by
# mode costs *less*.
# Look at: the case of equal costs: < and <=, floor and ceil.
def crossover_classes(batch_size, input_shape, rank):
    classes = 1
    while True:
        rebuild, by_modes = cp_flops(batch_size, input_shape, classes, rank)
        if by_modes <= rebuild:
            return classes
        classes += 1

# %% mistake="crossover_classes" name="last of the other side"
# Your number is one too small: it is the last at which rebuilding is as cheap or cheaper.
# Look at: which side of the crossing your number is on.
def crossover_classes(batch_size, input_shape, rank):
    classes = 0
    while True:
        rebuild, by_modes = cp_flops(batch_size, input_shape, classes + 1, rank)
        if by_modes < rebuild:
            return classes
        classes += 1

# %% mistake="crossover_classes" name="sides exchanged"
# You look for the first count at which *rebuilding* is cheaper. With few classes the weight is
# small and rebuilding it is cheap: that side comes first.
# Look at: which of the two numbers of cp_flops should be the smaller one.
def crossover_classes(batch_size, input_shape, rank):
    classes = 1
    while True:
        rebuild, by_modes = cp_flops(batch_size, input_shape, classes, rank)
        if rebuild < by_modes or classes > 10000:
            return classes
        classes += 1

# %% mistake="crossover_classes" name="large activation assumed"
# You took BR / (B + R). It is the limit for a large first mode; the later modes and the class factor
# add a little, and where the first mode is small more than a little.
# Look at: the terms that you left out of cp_flops.
def crossover_classes(batch_size, input_shape, rank):
    return batch_size * rank // (batch_size + rank) + 1

# %% mistake="crossover_classes" name="first mode alone"
# You took P for S: that is the first mode alone. Each later mode adds its own, smaller, part.
# Look at: S = I_0 I_1 I_2 + I_1 I_2 + I_2 for three modes.
def crossover_classes(batch_size, input_shape, rank):
    inputs = math.prod(input_shape)
    both = batch_size * rank
    return both * inputs // (inputs * (batch_size + rank) - both) + 1

# %% mistake="crossover_classes" name="class factor left out"
# You left out what the classes cost mode by mode: BRC. It has C in it too, so it belongs on C's side.
# Look at: the last step of mode by mode.
#- ) - both
#+ )

# %% mistake="crossover_classes" name="building forgotten"
# You compared with the product of x and the weight alone, as if the weight were already there.
# Look at: what building the weight costs: it grows with the classes too.
#-     both = batch_size * rank
#-     return both * modes // (inputs * (batch_size + rank) - both) + 1
#+     return rank * modes // max(inputs - rank, 1) + 1

# %% mistake="crossover_classes" name="a float"
# You return the crossing point itself, a float. Classes come in whole numbers: which is the first
# one beyond it?
# Look at: the type of what you return.
#- // (inputs * (batch_size + rank) - both) + 1
#+ / (inputs * (batch_size + rank) - both)

# %% wrong="crossover_classes" name="rank for batch times rank"
# What the classes cost mode by mode, for one sample.
#- ) - both
#+ ) - rank

# %% wrong="crossover_classes" name="ceil"
# Rounded up: wrong where the costs are equal.
def crossover_classes(batch_size, input_shape, rank):
    p = math.prod(input_shape)
    s = sum(math.prod(input_shape[k:]) for k in range(len(input_shape)))
    return math.ceil(batch_size * rank * s / (p * (batch_size + rank) - batch_size * rank))

# %% wrong="crossover_classes" name="up to a thousand"
# Gives up at 100 classes.
def crossover_classes(batch_size, input_shape, rank):
    for n in range(1, 20):
        rebuild, by_modes = cp_flops(batch_size, input_shape, n, rank)
        if by_modes < rebuild:
            return n
    return 20

# %% wrong="crossover_classes" name="up to 1000"
# Gives up at 1000 classes.
def crossover_classes(batch_size, input_shape, rank):
    for n in range(1, 1000):
        rebuild, by_modes = cp_flops(batch_size, input_shape, n, rank)
        if by_modes < rebuild:
            return n
    return 1000

# %% mistake="quiz_rank_10000" name="a"
# 4 % is right against a classifier of three layers. The question names another baseline.
# Look at: the table of 4.10, and its column for one Linear.
quiz_rank_10000 = "a"

# %% mistake="quiz_rank_10000" name="c"
# There is no saving against the one Linear at this rank.
# Look at: 10000 against saving_rank((512, 7, 7), 10, 250890), from 4.10.
quiz_rank_10000 = "c"

# %% mistake="quiz_rank_10000" name="d"
# A CP weight of more than 490 terms can express no more than one of 490, which already is any
# weight of that shape.
# Look at: what rank 490 means for a (512, 7, 7, 10) tensor.
quiz_rank_10000 = "d"

# %% mistake="quiz_kept_weight" name="a"
# Mode by mode pays for the rank at every sample, forever. A weight that does not change needs to
# be built only once.
# Look at: what is left of the cost of rebuilding when the building is already done.
quiz_kept_weight = "a"

# %% mistake="quiz_kept_weight" name="b"
# The build belongs to the first batch alone if the factors no longer change.
# Look at: what in forward depends on x, and what only on the factors.
quiz_kept_weight = "b"

# %% mistake="quiz_kept_weight" name="c"
# One Linear of 25088 x 10 costs 2 x 25088 x 10 operations a sample. Compare with what mode by mode
# costs at rank 100.
# Look at: cp_flops(1, (512, 7, 7), 10, 100).
quiz_kept_weight = "c"
