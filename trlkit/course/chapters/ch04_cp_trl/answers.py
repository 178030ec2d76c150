"""Known answers of chapter 04."""

# %% right="cp_forward_rebuild"
def cp_forward_rebuild(x, factors, bias):
    product = factors[0]
    for factor in factors[1:-1]:
        product = (product.unsqueeze(1) * factor).reshape(-1, factor.shape[1])
    return x.flatten(1) @ (product @ factors[-1].T) + bias

# %% answer="cp_forward_rebuild" name="einsum"
# One einsum for the weight, inner for the batch.
def cp_forward_rebuild(x, factors, bias):
    letters = "abcdefgh"[: len(factors)]
    operands = ",".join(letter + "r" for letter in letters)
    weight = torch.einsum(f"{operands}->{letters}", *factors)
    return trlkit.inner(x, weight, x.ndim - 1) + bias

# %% answer="cp_forward_rebuild" name="outer products"
# A sum of outer products in a loop over the rank.
def cp_forward_rebuild(x, factors, bias):
    weight = sum(trlkit.outer([f[:, r] for f in factors]) for r in range(factors[0].shape[1]))
    return torch.tensordot(x, weight, x.ndim - 1) + bias

# %% answer="cp_forward_rebuild" name="as a linear layer"
# nn.functional.linear with rows for the classes.
def cp_forward_rebuild(x, factors, bias):
    weight = trlkit.khatri_rao([factors[-1], *factors[:-1]]).sum(1)
    return nn.functional.linear(x.reshape(len(x), -1), weight.reshape(len(bias), -1), bias)

# %% answer="cp_forward_rebuild" name="term by term"
# The weight as a sum that grows by one term in each round.
def cp_forward_rebuild(x, factors, bias):
    weight = torch.zeros([len(factor) for factor in factors], dtype=x.dtype)
    for r in range(factors[0].shape[1]):
        term = factors[0][:, r]
        for factor in factors[1:]:
            term = torch.tensordot(term, factor[:, r], dims=0)
        weight = weight + term
    return x.flatten(1) @ weight.flatten(0, -2) + bias

# %% mistake="cp_forward_rebuild" name="rank summed too early"
# You summed every factor over the rank and then multiplied. That also pairs column 0 of one
# factor with column 1 of another; a CP weight pairs column r with column r alone.
# Look at: the place of the sum over r: it comes after the product over the modes.
def cp_forward_rebuild(x, factors, bias):
    weight = factors[0].sum(1)
    for factor in factors[1:]:
        weight = weight.unsqueeze(-1) * factor.sum(1)
    return torch.tensordot(x, weight, dims=x.ndim - 1) + bias

# %% mistake="cp_forward_rebuild" name="bias forgotten"
# You left out the bias.
# Look at: the difference between what you return and what is expected: it is the same for
# every sample.
#- (product @ factors[-1].T) + bias
#+ product @ factors[-1].T

# %% mistake="cp_forward_rebuild" name="first term only"
# Your weight is the first of the rank-1 terms and no sum of them.
# Look at: how often your loop over the rank adds, and where it returns.
def cp_forward_rebuild(x, factors, bias):
    weight = factors[0][:, 0]
    for factor in factors[1:]:
        weight = weight.unsqueeze(-1) * factor[:, 0]
    return torch.tensordot(x, weight, dims=x.ndim - 1) + bias

# %% mistake="cp_forward_rebuild" name="averaged over the rank"
# You averaged the rank-1 terms; the weight is their sum.
# Look at: mean and sum.
def cp_forward_rebuild(x, factors, bias):
    product = factors[0]
    for factor in factors[1:]:
        product = (product.unsqueeze(-2) * factor.T.unsqueeze(-1).mT).reshape(-1, factor.shape[1])
    weight = product.mean(1).reshape([len(factor) for factor in factors])
    return torch.tensordot(x, weight, dims=x.ndim - 1) + bias

# %% mistake="cp_forward_rebuild" name="bias in the weight"
# You added the bias to the weight. There it is multiplied by every input and summed with them.
# Look at: <x, W> + b: what stands inside the brackets.
def cp_forward_rebuild(x, factors, bias):
    product = factors[0]
    for factor in factors[1:]:
        product = (product.unsqueeze(1) * factor).reshape(-1, factor.shape[1])
    weight = product.sum(1).reshape([len(factor) for factor in factors]) + bias
    return torch.tensordot(x, weight, dims=x.ndim - 1)

# %% mistake="cp_forward_rebuild" name="classes in front"
# You reshaped the weight to (classes, inputs), as nn.Linear has it. In your product the classes
# are the last mode: a reshape does not bring them to the front.
# Look at: which index of your weight runs fastest.
def cp_forward_rebuild(x, factors, bias):
    product = factors[0]
    for factor in factors[1:]:
        product = (product.unsqueeze(1) * factor).reshape(-1, factor.shape[1])
    return x.flatten(1) @ product.sum(1).reshape(len(factors[-1]), -1).T + bias

# %% mistake="cp_forward_rebuild" name="input factors reversed"
# You took the Khatri-Rao product of the input factors in the reverse order. Its rows then
# meet the wrong entries of the flattened x, whose last mode runs fastest.
# Look at: the order of the factors in your product.
def cp_forward_rebuild(x, factors, bias):
    inputs = list(reversed(factors[:-1]))
    product = inputs[0]
    for factor in inputs[1:]:
        product = (product.unsqueeze(1) * factor).reshape(-1, factor.shape[1])
    return x.flatten(1) @ (product @ factors[-1].T) + bias

# %% mistake="cp_forward_rebuild" name="summed over the batch"
# You summed over the batch too: every sample gets the same output.
# Look at: which mode of x has no partner in the weight.
#-     return x.flatten(1) @ (product @ factors[-1].T) + bias
#+     y = x.flatten(1).sum(0, keepdim=True) @ product @ factors[-1].T + bias
#+     return y.expand(len(x), -1)

# %% mistake="cp_forward_rebuild" name="never built"
# You have the right numbers, but you never built the weight. Without brackets, Python multiplies from
# left to right: the batch meets the input factors first, and no tensor ever holds the weight.
# Look at: which product should be made first; put brackets around the product of the factors.
#- (product @ factors[-1].T)
#+ product @ factors[-1].T

# %% mistake="cp_forward_rebuild" name="view"
# You used view, which only works where the numbers already lie in the order asked for. A transposed
# batch does not.
# Look at: flatten, or reshape, which copy where they have to.
#- flatten(
#+ view(x.shape[0], -

# %% mistake="cp_forward_rebuild" name="factors copied"
# The numbers are right, but no gradient reaches the factors: you work on copies of them. A layer made
# by trlkit.CPTRL.from_tensorly holds such copies, and so do `.detach()` and `.data`.
# Look at: khatri_rao, outer, mode_dot or einsum, on the factors themselves.
#- def cp_forward_rebuild(x, factors, bias):
#+ def cp_forward_rebuild(x, factors, bias):
#+     factors = [factor.detach() for factor in factors]

# %% mistake="cp_forward_rebuild" name="bias subtracted"
# You subtracted the bias; it is added.
# Look at: the sign in your last line.
#- ) + bias
#+ ) - bias

# %% mistake="cp_forward_rebuild" name="reshaped for transposed"
# You reshaped the class factor from (C, R) to (R, C). That keeps the numbers in their order and
# gives them other rows and columns.
# Look at: `.T`, which exchanges the two.
#- .T
#+ .reshape(product.shape[1], -1)

# %% mistake="cp_forward_rebuild" name="sizes of 1 dropped"
# You drop every mode of size 1 (`squeeze`), also those that belong there: a batch of one is
# still a batch, and one class still has a mode of its own.
# Look at: the shape of your output for a batch of one.
#- return x.flatten(1) @ (product @ factors[-1].T) + bias
#+ return (x.flatten(1) @ (product @ factors[-1].T) + bias).squeeze()

# %% mistake="cp_forward_rebuild" name="a batch of one dropped"
# You drop the first mode where it has the size 1 (`squeeze(0)`): a batch of one is still a batch.
# Look at: the shape of your output for a batch of one.
#- return x.flatten(1) @ (product @ factors[-1].T) + bias
#+ return (x.flatten(1) @ (product @ factors[-1].T) + bias).squeeze(0)

# %% wrong="cp_forward_rebuild" name="three input modes"
# Exactly three input modes.
def cp_forward_rebuild(x, factors, bias):
    return torch.einsum("bchw,cr,hr,wr,nr->bn", x, *factors) + bias

# %% wrong="cp_forward_rebuild" name="squeezed"
# A batch of one loses its mode.
def cp_forward_rebuild(x, factors, bias):
    from trlkit import khatri_rao

    inputs = khatri_rao(list(factors[:-1]))
    return (x.flatten(1) @ inputs @ factors[-1].T).squeeze() + bias

# %% wrong="cp_forward_rebuild" name="bias in place"
# The bias that was passed is changed.
def cp_forward_rebuild(x, factors, bias):
    from trlkit import khatri_rao

    inputs = khatri_rao(list(factors[:-1]))
    with torch.no_grad():
        bias *= 1 + 1e-6
    return x.flatten(1) @ inputs @ factors[-1].T + bias

# %% wrong="cp_forward_rebuild" name="mode by mode"
# The other way, which never builds the weight.
def cp_forward_rebuild(x, factors, bias):
    z = torch.einsum("bi...,ir->b...r", x, factors[0])
    for factor in factors[1:-1]:
        z = torch.einsum("bi...r,ir->b...r", z, factor)
    return z @ factors[-1].T + bias

# %% right="cp_forward_by_modes"
def cp_forward_by_modes(x, factors, bias):
    z = torch.einsum("bi...,ir->b...r", x, factors[0])
    for factor in factors[1:-1]:
        z = torch.einsum("bi...r,ir->b...r", z, factor)
    return z @ factors[-1].T + bias

# %% answer="cp_forward_by_modes" name="last mode first"
# Matrix products from the last mode to the first.
def cp_forward_by_modes(x, factors, bias):
    z = x @ factors[-2]
    for factor in reversed(factors[:-2]):
        z = (z * factor).sum(-2)
    return z @ factors[-1].T + bias

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

# %% answer="cp_forward_by_modes" name="tensordot and broadcasting"
# The first mode by tensordot, the others by a product and a sum.
def cp_forward_by_modes(x, factors, bias):
    z = torch.tensordot(x, factors[0], dims=([1], [0]))
    for f in factors[1:-1]:
        z = (z * f.reshape(f.shape[0], *[1] * (z.ndim - 3), f.shape[1])).sum(1)
    return nn.functional.linear(z, factors[-1], bias)

# %% answer="cp_forward_by_modes" name="as trlkit does it"
# The first mode, then the Khatri-Rao product of the others.
def cp_forward_by_modes(x, factors, bias):
    z = torch.einsum("bis,ir->brs", x.reshape(*x.shape[:2], -1), factors[0])
    if x.ndim > 2:
        z = z * trlkit.khatri_rao(factors[1:-1]).T
    return z.sum(2) @ factors[-1].T + bias

# %% answer="cp_forward_by_modes" name="one einsum"
# Everything in one einsum, which finds its own order.
def cp_forward_by_modes(x, factors, bias):
    letters = "abcdefgh"[: x.ndim - 1]
    operands = ",".join(letter + "r" for letter in letters)
    return torch.einsum(f"z{letters},{operands},nr->zn", x, *factors) + bias

# %% mistake="cp_forward_by_modes" name="rank summed too early"
# You summed over the rank before all modes were contracted. That pairs column 0 of one factor
# with column 1 of another. The index r is shared by all factors, the one of the classes too:
# keep it to the end.
# Look at: where r disappears in your code. Only the class factor may sum it.
def cp_forward_by_modes(x, factors, bias):
    z = x
    for factor in factors[:-1]:
        z = torch.tensordot(z, factor.sum(1), dims=([1], [0]))
    return z.unsqueeze(1) * factors[-1].sum(1) + bias

# %% mistake="cp_forward_by_modes" name="a rank index for each mode"
# You gave every mode a rank index of its own, as in a Tucker product. The factors of a CP
# weight share one: from the second mode on, r stands in both operands and stays, unsummed.
# Look at: the shape after the second mode: (batch, the sizes that are left, rank), with r once.
def cp_forward_by_modes(x, factors, bias):
    z = x
    for factor in factors[:-1]:
        z = torch.tensordot(z, factor, dims=([1], [0]))
    while z.ndim > 2:
        z = z.sum(1)
    return z @ factors[-1].T + bias

# %% mistake="cp_forward_by_modes" name="bias forgotten"
# You left out the bias.
# Look at: the difference between what you return and what is expected: it is the same for
# every sample.
def cp_forward_by_modes(x, factors, bias):
    z = torch.tensordot(x, factors[0], dims=([1], [0]))
    for factor in factors[1:-1]:
        z = (z * factor.reshape(-1, *[1] * (z.ndim - 3), factor.shape[1])).sum(1)
    return z @ factors[-1].T

# %% mistake="cp_forward_by_modes" name="rebuilt all the same"
# Your numbers are right, but you built the full weight on the way: that is the first path.
# Look at: the first product that your code makes. x should take part in it.
def cp_forward_by_modes(x, factors, bias):
    product = factors[0]
    for factor in factors[1:-1]:
        product = (product.unsqueeze(1) * factor).reshape(-1, factor.shape[1])
    return x.flatten(1) @ (product @ factors[-1].T) + bias

# %% mistake="cp_forward_by_modes" name="all input factors multiplied"
# Your numbers are right, but you multiplied all the input factors with each other first. That
# is a way to compute a TRL too, with a tensor as large as all inputs times the rank.
# Look at: the first product that your code makes. x should take part in it.
def cp_forward_by_modes(x, factors, bias):
    product = factors[0]
    for factor in factors[1:-1]:
        product = (product.unsqueeze(1) * factor).reshape(-1, factor.shape[1])
    return (x.flatten(1) @ product) @ factors[-1].T + bias

# %% mistake="cp_forward_by_modes" name="multiplied, then summed"
# Your numbers are right, but the first mode is multiplied by broadcasting and summed
# afterwards. The broadcast product has the whole batch times the rank in it.
# Look at: a matrix product, tensordot or einsum, which sums while it multiplies.
def cp_forward_by_modes(x, factors, bias):
    z = x.unsqueeze(-1)
    for factor in factors[:-1]:
        z = (z * factor.reshape(-1, *[1] * (z.ndim - 3), factor.shape[1])).sum(1)
    return z @ factors[-1].T + bias

# %% mistake="cp_forward_by_modes" name="factors of the wrong modes"
# You contracted the modes from the last to the first and took the factors from the first to
# the last.
# Look at: which mode of x stands at the position that you contract, in each round.
def cp_forward_by_modes(x, factors, bias):
    inputs = list(reversed(factors[:-1]))
    if [len(factor) for factor in inputs] != list(x.shape[1:]):
        inputs.reverse()
    z = torch.tensordot(x, inputs[0], dims=([1], [0]))
    for factor in inputs[1:]:
        z = (z * factor.reshape(-1, *[1] * (z.ndim - 3), factor.shape[1])).sum(1)
    return z @ factors[-1].T + bias

# %% mistake="cp_forward_by_modes" name="spare indices summed"
# You gave every mode a rank index of its own and then summed the spare ones away. That pairs column
# 0 of one factor with column 1 of another. The index r is shared: from the second mode on, it
# stands in both operands and in the result.
# Look at: the shape after the second mode: (batch, the sizes that are left, rank), with r once.
def cp_forward_by_modes(x, factors, bias):
    z = x
    for factor in factors[:-1]:
        z = torch.tensordot(z, factor, dims=([1], [0]))
    while z.ndim > 2:
        z = z.sum(-1)
    return z @ factors[-1].T + bias

# %% mistake="cp_forward_by_modes" name="summed before the classes"
# You summed over the rank just before the class factor came. That pairs every term with every column
# of the class factor; the sum over r and the product with V are one step, a matrix product.
# Look at: the letters of your last product: r stands in both operands.
#- z @ factors[-1].T
#+ z.sum(1, keepdim=True) * factors[-1].sum(1)

# %% mistake="cp_forward_by_modes" name="view"
# You used view, which only works where the numbers already lie in the order asked for. A transposed
# batch does not.
# Look at: flatten, or reshape, which copy where they have to.
#-     z = torch.einsum("bi...,ir->b...r", x, factors[0])
#+     z = x.view(x.shape[0], -1).reshape(x.shape)
#+     z = torch.einsum("bi...,ir->b...r", z, factors[0])

# %% mistake="cp_forward_by_modes" name="sizes of 1 dropped"
# You drop every mode of size 1 (`squeeze`), also those that belong there: a batch of one is
# still a batch, and one class still has a mode of its own.
# Look at: the shape of your output for a batch of one.
#- return z @ factors[-1].T + bias
#+ return (z @ factors[-1].T + bias).squeeze()

# %% mistake="cp_forward_by_modes" name="a batch of one dropped"
# You drop the first mode where it has the size 1 (`squeeze(0)`): a batch of one is still a batch.
# Look at: the shape of your output for a batch of one.
#- return z @ factors[-1].T + bias
#+ return (z @ factors[-1].T + bias).squeeze(0)

# %% wrong="cp_forward_by_modes" name="rebuilt by einsum"
# Input factors first, in an einsum that is told the order.
def cp_forward_by_modes(x, factors, bias):
    letters = "abcdefgh"[: x.ndim - 1]
    operands = ",".join(letter + "r" for letter in letters)
    product = torch.einsum(f"{operands}->{letters}r", *factors[:-1])
    return torch.tensordot(x, product, x.ndim - 1) @ factors[-1].T + bias

# %% wrong="cp_forward_by_modes" name="two more modes at most"
# From the fourth input mode on, modes are left.
#- :-1
#+ :3][: len(factors) - 2

# %% wrong="cp_forward_by_modes" name="sample by sample"
# Right, with a product of x and all factors before any sum.
def cp_forward_by_modes(x, factors, bias):
    shape = [1] * (x.ndim - 1)
    z = x.unsqueeze(-1)
    for mode, factor in enumerate(factors[:-1]):
        own = list(shape)
        own[mode] = factor.shape[0]
        z = z * factor.reshape(*own, -1)
    return z.flatten(1, -2).sum(1) @ factors[-1].T + bias

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
        return cp_forward_rebuild(x, self.factors, self.bias)

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
# Your factors start at 0, or so small that the weight is next to nothing. The gradient of each
# factor is a product of all the *others*: where these are 0, nothing ever moves.
# Look at: what the factors start with.
#-         std = cp_factor_std(input_shape, rank)
#
#- std * torch.randn
#+ torch.zeros
#- list(self.factors)
#+ self.factors

# %% mistake="CPTRL" name="factors not set"
# You made your factors with torch.empty and never filled them: they hold whatever stood in that
# piece of memory.
# Look at: a random start of the right spread.
#-         std = cp_factor_std(input_shape, rank)
#
#- std * torch.randn
#+ torch.empty
#- list(self.factors)
#+ self.factors

# %% mistake="CPTRL" name="weight built once"
# You built the weight once, when the layer is made, and use that one ever after. When the
# factors learn, or are loaded, the outputs do not follow.
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
# You drop every mode of size 1 (`squeeze`), also those that belong there: a batch of one is
# still a batch, and one class still has a mode of its own.
# Look at: the shape of your output for a batch of one.
#- bias)
#+ bias).squeeze()

# %% mistake="CPTRL" name="gradient cut"
# The numbers are right, but no gradient reaches the factors: somewhere you work on copies that
# have forgotten where they came from.
# Look at: `.data`, `.detach()`, `torch.no_grad()`, `torch.tensor(...)`.
#- list(self.factors)
#+ [factor.data for factor in self.factors]

# %% mistake="CPTRL" name="bias forgotten"
# Your layer has a bias and never adds it.
# Look at: what forward does with self.bias.
#- , self.bias)
#+ , torch.zeros_like(self.bias))

# %% mistake="CPTRL" name="not the default dtype"
# Your layer starts in float64 (numpy's numbers, or dtype=torch.float64), and PyTorch's networks and
# images are float32: the first batch would raise an error.
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
# Your factors have no mean of 0: all their entries, or most, are positive, and so is the whole weight.
# Its terms then add up in one direction, and the rule for variances does not hold.
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
# Two layers of yours start with the very same numbers: a seed is set in `__init__`. That makes every
# layer a twin of the others and resets the randomness of the whole program with each of them.
# Look at: torch.manual_seed: it belongs at the top of a script.
#-         super().__init__()
#+         super().__init__()
#+         torch.manual_seed(0)

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
# You drop the first mode where it has the size 1 (`squeeze(0)`): a batch of one is still a batch.
# Look at: the shape of your output for a batch of one.
#- bias)
#+ bias).squeeze(0)

# %% mistake="CPTRL" name="view"
# You used view, which only works where the numbers already lie in the order asked for. A transposed
# batch does not.
# Look at: flatten, or reshape, which copy where they have to.
#- x,
#+ x.view(len(x), -1).reshape(x.shape),

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

# %% right="train_cptrl_digits"
def train_cptrl_digits(images, labels, rank):
    layer = CPTRL((8, 8), 10, rank)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(layer(images), labels).backward()
        optimizer.step()
    return layer

# %% answer="train_cptrl_digits" name="mini-batches"
# Adam on mini-batches, with weight decay.
def train_cptrl_digits(images, labels, rank):
    layer = CPTRL((8, 8), 10, rank)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.02)
    for epoch in range(12):
        for part in torch.randperm(len(images)).split(64):
            optimizer.zero_grad(set_to_none=True)
            loss = nn.CrossEntropyLoss()(layer(images[part]), labels[part])
            loss.backward()
            optimizer.step()
        if epoch % 5 == 0:
            print(epoch, loss.item())
    layer.eval()
    return layer

# %% answer="train_cptrl_digits" name="lbfgs"
# LBFGS with a closure.
def train_cptrl_digits(images, labels, rank):
    layer = CPTRL(tuple(images.shape[1:]), 10, rank=rank)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=30, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(layer(images), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return layer

# %% answer="train_cptrl_digits" name="longer"
# More steps, smaller ones.
def train_cptrl_digits(images, labels, rank):
    layer = CPTRL((8, 8), 10, rank)
    layer.train()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    for _ in range(200):
        scores = layer(images)
        loss = -torch.log_softmax(scores, 1)[torch.arange(len(labels)), labels].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return layer

# %% mistake="train_cptrl_digits" name="never stepped"
# The layer answers as one that was never trained: it reads about one digit in ten, as guessing
# would. Its parameters have not moved to anything useful.
# Look at: the three lines of a step (zero_grad, backward, step), whether the optimizer holds
# *this* layer's parameters, and whether this layer is the one that you return.
def train_cptrl_digits(images, labels, rank):
    layer = CPTRL((8, 8), 10, rank)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(60):
        nn.functional.cross_entropy(layer(images), labels).backward()
        optimizer.zero_grad()
        optimizer.step()
    return layer

# %% mistake="train_cptrl_digits" name="uphill"
# Your layer is far worse than guessing: it is sure of itself and wrong. The steps led away from
# the goal: uphill, or much too far, or by gradients to which all the earlier ones were added. Or it
# was trained on other images: it gets them as they are, so what changes them must be inside it.
# Look at: the sign of your loss, zero_grad in every step, the learning rate, and what you train on.
#-         nn.functional.cross_entropy(layer(images), labels).backward()
#+         loss = -nn.functional.cross_entropy(layer(images), labels)
#+         loss.backward()

# %% mistake="train_cptrl_digits" name="rank ignored"
# What you return is no CPTRL of the rank that is asked for: it has another number of parameters.
# Look at: what you do with the argument `rank`, and which layer you make.
#- 10, rank)
#+ 10, 5)

# %% mistake="train_cptrl_digits" name="returns the loss"
# You return a tensor: the last loss, or the outputs. The trained layer is what is asked for.
# Look at: the return at the end.
#-         nn.functional.cross_entropy(layer(images), labels).backward()
#+         loss = nn.functional.cross_entropy(layer(images), labels)
#+         loss.backward()
#- return layer
#+ return loss

# %% mistake="train_cptrl_digits" name="stopped early"
# Your layer learned something and not enough: better than guessing, and below the margin. Too
# few steps, steps that are too small, or not every factor takes part. Or you changed the images
# before the training: the layer gets them as they are, so that must be inside it.
# Look at: the loss over the steps: does it still fall when you stop? And what you gave to the
# optimizer, and to the layer.
#- 60
#+ 12

# %% mistake="train_cptrl_digits" name="diverged"
# The outputs of your layer are no numbers any more: the steps were too large, and products of
# factors grow fast.
# Look at: the learning rate.
#- Adam(layer.parameters(), lr=0.05
#+ SGD(layer.parameters(), lr=1e6

# %% mistake="train_cptrl_digits" name="rank written out"
# What you return is no CPTRL of the rank that is asked for: it has another number of parameters.
# Look at: what you do with the argument `rank`, and which layer you make.
#- 10, rank)
#+ 10, 10)
#-         nn.functional.cross_entropy(layer(images), labels).backward()
#+         loss = nn.functional.cross_entropy(layer(images), labels)
#+         loss.backward()

# %% mistake="train_cptrl_digits" name="returns a pair"
# You return more than the layer. The trained layer alone is what is asked for.
# Look at: the return at the end.
#-         nn.functional.cross_entropy(layer(images), labels).backward()
#+         loss = nn.functional.cross_entropy(layer(images), labels)
#+         loss.backward()
#- return layer
#+ return layer, loss.item()

# %% mistake="train_cptrl_digits" name="trained on transposed images"
# Your layer reads transposed images: rows and columns were exchanged before the training. It gets
# the images as they are, so what changes them must be inside it.
# Look at: what you do with the images before the loop.
#- def train_cptrl_digits(images, labels, rank):
#+ def train_cptrl_digits(images, labels, rank):
#+     images = images.transpose(1, 2)
#-         nn.functional.cross_entropy(layer(images), labels).backward()
#+         loss = nn.functional.cross_entropy(layer(images), labels)
#+         loss.backward()

# %% mistake="train_cptrl_digits" name="trained on normalized images"
# Your layer reads normalized images: you shifted and scaled them before the training. It gets
# the images as they are, so what changes them must be inside it.
# Look at: what you do with the images before the loop.
#- def train_cptrl_digits(images, labels, rank):
#+ def train_cptrl_digits(images, labels, rank):
#+     images = (images - images.mean()) / images.std()
#-         nn.functional.cross_entropy(layer(images), labels).backward()
#+         loss = nn.functional.cross_entropy(layer(images), labels)
#+         loss.backward()

# %% wrong="train_cptrl_digits" name="one factor learns"
# The optimizer holds the rows alone.
#-     optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
#-     for _ in range(60):
#+     optimizer = torch.optim.Adam([layer.factors[0]], lr=0.02)
#+     for _ in range(30):

# %% wrong="train_cptrl_digits" name="another layer returned"
# A new layer comes back.
#- 60
#+ 10
#- return layer
#+ return CPTRL((8, 8), 10, rank)

# %% wrong="train_cptrl_digits" name="a linear layer"
# Reads the digits, and is no CP TRL.
#- layer = CPTRL((8, 8), 10, rank)
#+ layer = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

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

# %% right="cp_saving_rank"
def cp_saving_rank(input_shape, num_classes, baseline):
    for_terms = baseline - 1 - num_classes
    return max(for_terms // (sum(input_shape) + num_classes), 0)

# %% answer="cp_saving_rank" name="loop"
# Count up.
def cp_saving_rank(input_shape, num_classes, baseline):
    rank = 0
    while (rank + 1) * (sum(input_shape) + num_classes) + num_classes < baseline:
        rank += 1
    return rank

# %% answer="cp_saving_rank" name="ceil"
# Round up and take one off.
def cp_saving_rank(input_shape, num_classes, baseline):
    each = sum(input_shape) + num_classes
    return max(0, math.ceil((baseline - num_classes) / each) - 1)

# %% mistake="cp_saving_rank" name="bias forgotten"
# You left out the bias of the layer: a parameter for each class, at every rank.
# Look at: what the layer holds besides its factors.
def cp_saving_rank(input_shape, num_classes, baseline):
    return max((baseline - 1) // (sum(input_shape) + num_classes), 0)

# %% mistake="cp_saving_rank" name="equal counts as saving"
# You also allow as many parameters as the baseline has. As many are no saving: fewer are asked.
# Look at: the case in which the counts are equal.
def cp_saving_rank(input_shape, num_classes, baseline):
    return max((baseline - num_classes) // (sum(input_shape) + num_classes), 0)

# %% mistake="cp_saving_rank" name="class factor forgotten"
# You counted the input factors alone. The classes have a factor too.
# Look at: the modes of the weight.
def cp_saving_rank(input_shape, num_classes, baseline):
    return max((baseline - num_classes - 1) // sum(input_shape), 0)

# %% mistake="cp_saving_rank" name="sizes multiplied"
# You multiplied the sizes: that many entries the full weight has. Of the CP weight, each
# rank-1 term is stored as one column of each factor.
# Look at: how many numbers one more term costs.
def cp_saving_rank(input_shape, num_classes, baseline):
    return max((baseline - num_classes - 1) // (math.prod(input_shape) * num_classes), 0)

# %% mistake="cp_saving_rank" name="capped"
# Your rank stops at a rank from which on the layer can be any weight. That is true and another
# question: asked is how many parameters the layer has beside the baseline.
# Look at: the case with the largest baseline.
def cp_saving_rank(input_shape, num_classes, baseline):
    shape = (*input_shape, num_classes)
    rank = max((baseline - num_classes - 1) // sum(shape), 0)
    return min(rank, math.prod(shape) // max(shape))

# %% mistake="cp_saving_rank" name="break_even_rank"
# You took trlkit.break_even_rank. It compares with the dense weight of the same shape, allows as many
# numbers as that has, and leaves out the bias; here the baseline is an argument.
# Look at: what you do with `baseline`.
def cp_saving_rank(input_shape, num_classes, baseline):
    return math.prod(input_shape) * num_classes // (sum(input_shape) + num_classes)

# %% mistake="cp_saving_rank" name="inputs multiplied"
# You multiplied the input sizes: that is the number of inputs, not what one more term costs. Each
# rank-1 term is stored as one column of each factor.
# Look at: how many numbers the columns of one term have together.
def cp_saving_rank(input_shape, num_classes, baseline):
    return max((baseline - num_classes - 1) // (math.prod(input_shape) + num_classes), 0)

# %% mistake="cp_saving_rank" name="one too many"
# Your rank is one too large: the first at which nothing is saved.
# Look at: rounding up and rounding down.
def cp_saving_rank(input_shape, num_classes, baseline):
    rank, each = 0, sum(input_shape) + num_classes
    while rank * each + num_classes < baseline:
        rank += 1
    return rank

# %% mistake="cp_saving_rank" name="below zero"
# Your rank is below zero where nothing can be saved; then the answer is 0.
# Look at: a baseline that is smaller than the bias alone.
def cp_saving_rank(input_shape, num_classes, baseline):
    return (baseline - num_classes - 1) // (sum(input_shape) + num_classes)

# %% wrong="cp_saving_rank" name="rounded to the nearest"
# round() in place of rounding down.
def cp_saving_rank(input_shape, num_classes, baseline):
    return max(round((baseline - num_classes - 1) / (sum(input_shape) + num_classes)), 0)

# %% wrong="cp_saving_rank" name="capped at the inputs"
# No rank above the number of inputs.
def cp_saving_rank(input_shape, num_classes, baseline):
    rank = max((baseline - num_classes - 1) // (sum(input_shape) + num_classes), 0)
    return min(rank, math.prod(input_shape))

# %% mistake="quiz_rank_index" name="a"
# Counting the operations: early or late, a sum over r costs about the same. What differs is the
# result.
# Look at: (a1 + a2)(b1 + b2) against a1 b1 + a2 b2.
quiz_rank_index = "a"

# %% mistake="quiz_rank_index" name="b"
# The bias does not depend on r at all; it is added once, after everything.
# Look at: which factors have the index r.
quiz_rank_index = "b"

# %% mistake="quiz_rank_index" name="d"
# It does matter: summed early, column 0 of one factor also meets column 1 of another.
# Look at: (a1 + a2)(b1 + b2) against a1 b1 + a2 b2.
quiz_rank_index = "d"

# %% mistake="quiz_rank_10000" name="a"
# 4 % is right against a classifier of three layers. The question names another baseline.
# Look at: the table above, and its first column.
quiz_rank_10000 = "a"

# %% mistake="quiz_rank_10000" name="c"
# There is no saving against the one Linear at this rank: see the break-even rank.
# Look at: 10000 against cp_saving_rank((512, 7, 7), 10, 250890).
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
