"""Known answers of chapter 05."""

# %% right="project_input"
def project_input(x, factors):
    for factor in factors:
        x = torch.tensordot(x, factor, dims=([1], [0]))
    return x

# %% answer="project_input" name="einsum"
# One einsum for all modes.
def project_input(x, factors):
    modes, new = "cdefgh"[: len(factors)], "stuvwx"[: len(factors)]
    operands = ",".join(m + n for m, n in zip(modes, new))
    return torch.einsum(f"b{modes},{operands}->b{new}", x, *factors)

# %% answer="project_input" name="tensordot in turn"
# Mode 1 is contracted each time, and its result goes to the end.
def project_input(x, factors):
    for factor in factors:
        x = torch.tensordot(x, factor, dims=([1], [0]))
    return x

# %% answer="project_input" name="last mode first"
# From the last mode, each moved to the end and back.
def project_input(x, factors):
    for k in range(len(factors), 0, -1):
        x = (x.movedim(k, -1) @ factors[k - 1]).movedim(-1, k)
    return x

# %% answer="project_input" name="Kronecker"
# One Kronecker product of all factors.
def project_input(x, factors):
    product = factors[0]
    for factor in factors[1:]:
        product = torch.kron(product, factor)
    return (x.reshape(len(x), -1) @ product).reshape(len(x), *[f.shape[1] for f in factors])

# %% answer="project_input" name="multi_mode_dot"
# trlkit's products of several modes.
def project_input(x, factors):
    import trlkit

    modes = range(1, len(factors) + 1)
    return trlkit.multi_mode_dot(x, [factor.mT for factor in factors], modes)

# %% mistake="project_input" name="transposed where square"
# You take a factor the wrong way round: you sum over its columns. A factor (I_k, R_k) has the
# mode as its rows, and mode_dot wants the mode as the columns of its matrix. Where a factor is
# square, no shape tells you.
# Look at: which index of the factor belongs to the mode of x.
def project_input(x, factors):
    for k, factor in enumerate(factors):
        matrix = factor if factor.shape[1] == x.shape[k + 1] else factor.T
        x = torch.tensordot(x, matrix, dims=([k + 1], [1])).movedim(-1, k + 1)
    return x

# %% mistake="project_input" name="transposed"
# You take a factor the wrong way round: you sum over its columns. A factor (I_k, R_k) has the
# mode as its rows, and mode_dot wants the mode as the columns of its matrix. Where a factor is
# square, no shape tells you.
# Look at: which index of the factor belongs to the mode of x.
def project_input(x, factors):
    for k, factor in enumerate(factors):
        x = torch.tensordot(x, factor, dims=([k + 1], [1])).movedim(-1, k + 1)
    return x

# %% mistake="project_input" name="batch projected"
# You count the modes of x from the batch on, so factors[0] meets the batch. Where the batch and all
# modes are of one size, no shape tells you.
# Look at: the shape of x: which of its modes is mode 0 of a sample?
def project_input(x, factors):
    for k, factor in enumerate(factors):
        x = torch.tensordot(x, factor, dims=([k], [0])).movedim(-1, k)
    return x

# %% mistake="project_input" name="modes left in the wrong place"
# Your products leave each new mode in front of the batch or of the modes before it. The new mode
# belongs where the old one was.
# Look at: where einsum or tensordot puts the new mode, after each product.
def project_input(x, factors):
    for factor in reversed(factors):
        x = torch.tensordot(x, factor, dims=([-1], [0])).movedim(-1, 0)
    return x.movedim(-1, 0).movedim(0, -1) if x.ndim == 2 else x

# %% mistake="project_input" name="flattened"
# You return a matrix: the projected modes are joined to one. The numbers may be right; what is
# asked keeps the modes, (B, R_0, ..., R_N).
# Look at: your last reshape or flatten.
def project_input(x, factors):
    product = factors[0]
    for factor in factors[1:]:
        product = torch.kron(product, factor)
    return x.flatten(1) @ product

# %% mistake="project_input" name="last factor only"
# Your result is x projected along its last mode alone. That is what is left where each product
# starts again from the original x.
# Look at: what the next product multiplies.
def project_input(x, factors):
    for k, factor in enumerate(factors):
        z = torch.tensordot(x, factor, dims=([k + 1], [0])).movedim(-1, k + 1)
    return z

# %% mistake="project_input" name="first factor only"
# Your result is x projected along its first mode alone.
# Look at: whether your loop comes to its end (the indentation of `return`).
def project_input(x, factors):
    for k, factor in enumerate(factors):
        return torch.tensordot(x, factor, dims=([k + 1], [0])).movedim(-1, k + 1)

# %% mistake="project_input" name="mean taken"
# You divide by the sizes of the modes as well: that averages. A projection is a plain sum of
# products; whoever wants the average puts 1 / size into the factor.
# Look at: what you divide by, or where you use mean.
def project_input(x, factors):
    for k, factor in enumerate(factors):
        x = torch.tensordot(x, factor / len(factor), dims=([k + 1], [0])).movedim(-1, k + 1)
    return x

# %% wrong="project_input" name="mode found by size"
# The mode is looked for by its size.
#-         x = torch.tensordot(x, factor, dims=([1], [0]))
#+         k = list(x.shape).index(factor.shape[0], 1)
#+         x = torch.tensordot(x, factor, dims=([k], [0])).movedim(-1, k)

# %% wrong="project_input" name="squeezed"
# Modes of rank 1 are lost.
#- return x
#+ return x.squeeze()

# %% wrong="project_input" name="two modes"
# Written for two modes.
def project_input(x, factors):
    return torch.einsum("bij,ir,js->brs", x, factors[0], factors[1])

# %% wrong="project_input" name="graph cut"
# Right numbers, no gradient.
#- factor,
#+ factor.detach(),

# %% right="tucker_forward"
def tucker_forward(x, core, factors, bias):
    weight = core
    for k, factor in enumerate(factors):
        weight = torch.tensordot(weight, factor, dims=([0], [1]))
    return torch.tensordot(x, weight, dims=x.ndim - 1) + bias

# %% answer="tucker_forward" name="rebuild"
# The full weight, then one inner product.
def tucker_forward(x, core, factors, bias):
    weight = core
    for k, factor in enumerate(factors):
        weight = torch.tensordot(weight, factor, dims=([0], [1]))
    return torch.tensordot(x, weight, dims=x.ndim - 1) + bias

# %% answer="tucker_forward" name="einsum"
# One einsum for all.
def tucker_forward(x, core, factors, bias):
    n = x.ndim - 1
    modes, new = "cdefgh"[:n], "stuvwx"[:n]
    operands = ",".join(m + r for m, r in zip(modes, new))
    return torch.einsum(f"b{modes},{new}z,{operands},yz->by", x, core, *factors) + bias

# %% answer="tucker_forward" name="classes folded into the core"
# The core times the factor of the classes first.
def tucker_forward(x, core, factors, bias):
    *inputs, last = factors
    core = core @ last.T
    z = project_input(x, inputs)
    return torch.addmm(bias, z.flatten(1), core.flatten(0, -2))

# %% mistake="tucker_forward" name="bias left out"
# Your scores are those without the bias.
# Look at: where the bias comes in, and whether you return the sum.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1])
    return torch.tensordot(z, core, dims=core.ndim - 1) @ factors[-1].T

# %% mistake="tucker_forward" name="bias before the classes"
# You add the bias before the factor of the classes, so it is mixed among them. It belongs to the
# class scores themselves. Where R_out is the number of classes, no shape tells you.
# Look at: the order of your last two steps.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1])
    return (torch.tensordot(z, core, dims=core.ndim - 1) + bias) @ factors[-1].T

# %% mistake="tucker_forward" name="bias along the batch"
# You add the bias along the batch: a number for each sample. It has one for each class. Where
# there are as many samples as classes, no shape tells you.
# Look at: which mode of your scores the bias belongs to.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1])
    return (factors[-1] @ torch.tensordot(z, core, dims=core.ndim - 1).T + bias).T

# %% mistake="tucker_forward" name="class factor transposed"
# You multiply by the factor of the classes the wrong way round. It is (C, R_out): what comes out
# of the core is summed over its columns.
# Look at: the product with factors[-1] and the shapes on both sides of it.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1])
    return torch.tensordot(z, core, dims=core.ndim - 1) @ factors[-1] + bias

# %% mistake="tucker_forward" name="input factors transposed"
# You project the modes of the input by the factors the wrong way round: you sum over the columns
# of the (I_k, R_k). The shapes notice it only where a factor is not square.
# Look at: which index of a factor belongs to the mode of x.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, [factor.T for factor in factors[:-1]])
    return torch.tensordot(z, core, dims=core.ndim - 1) @ factors[-1].T + bias

# %% mistake="tucker_forward" name="weight from transposed factors"
# You build the weight with the factors the wrong way round: the core's mode k, of size R_k, is
# summed over the columns of factors[k]. The shapes notice it only where a factor is not square.
# Look at: which index of a factor belongs to the core.
#- , dims=([0], [1])
#+ .T, dims=([k], [1])).movedim(-1, k

# %% mistake="tucker_forward" name="classes left out"
# You stop behind the core: what you return has R_out numbers a sample and not C.
# Look at: what becomes of the last factor.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1])
    z = torch.tensordot(z, core, dims=core.ndim - 1)
    return z + bias if z.shape[1] == bias.shape[0] else z

# %% mistake="tucker_forward" name="core's modes reversed"
# You contract the core with its input modes in the reverse order.
# Look at: which mode of the core meets which mode of the projected input.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1])
    n = core.ndim - 1
    z = torch.tensordot(z, core, dims=(list(range(1, n + 1)), list(range(n))[::-1]))
    return z @ factors[-1].T + bias

# %% mistake="tucker_forward" name="core transposed in a reshape"
# You reshape the core to (R_out, ...), and a reshape moves no number: the classes are its last
# mode, not its first.
# Look at: how you make a matrix of the core.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1]).flatten(1)
    return z @ core.reshape(core.shape[-1], -1).T @ factors[-1].T + bias

# %% mistake="tucker_forward" name="summed over the batch"
# You sum over the batch: all samples get the same scores.
# Look at: what is summed in your einsum or .sum(...): the batch must come out.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1]).sum(0, keepdim=True).expand(len(x), *core.shape[:-1])
    return torch.tensordot(z, core, dims=core.ndim - 1) @ factors[-1].T + bias

# %% wrong="tucker_forward" name="batch of one squeezed"
# A batch of one loses its mode.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1])
    return (torch.tensordot(z, core, dims=core.ndim - 1) @ factors[-1].T).squeeze() + bias

# %% wrong="tucker_forward" name="two input modes"
# Written for two input modes.
def tucker_forward(x, core, factors, bias):
    return torch.einsum("bij,rst,ir,js,nt->bn", x, core, *factors) + bias

# %% wrong="tucker_forward" name="one class squeezed"
# A class alone loses its mode.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1])
    return (torch.tensordot(z, core, dims=core.ndim - 1) @ factors[-1].T).squeeze(1) + bias

# %% right="TuckerTRL"
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), self.bias)

# %% answer="TuckerTRL" name="rebuild"
# The weight is built in every forward pass.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        shape = (*input_shape, num_classes)
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.factors = nn.ParameterList(
            nn.Parameter(torch.randn(i, r) / math.sqrt(r)) for i, r in zip(shape, rank)
        )
        self.core = nn.Parameter(torch.randn(rank) / math.sqrt(math.prod(input_shape)))

    def forward(self, x):
        weight = self.core
        for factor in self.factors:
            weight = torch.tensordot(weight, factor, dims=([0], [1]))
        return x.flatten(1) @ weight.flatten(0, -2) + self.bias

# %% answer="TuckerTRL" name="best order"
# Projects in the best order; drawn by nn.init.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.n = len(input_shape)
        shape = (*input_shape, num_classes)
        pairs = [torch.empty(i, r) for i, r in zip(shape, rank)]
        sums = (*input_shape, rank[-1])
        self.factors = nn.ParameterList([nn.init.normal_(p, std=n**-0.5) for p, n in zip(pairs, sums)])
        core = torch.randn(*rank) / math.prod(rank[:-1]) ** 0.5
        self.core = nn.Parameter(core)
        self.bias = nn.Parameter(torch.zeros(num_classes))
        keys = [1 / i - 1 / r for i, r in zip(input_shape, rank)]
        self.order = sorted(range(self.n), key=keys.__getitem__)

    def forward(self, x):
        for k in self.order:
            x = (x.transpose(k + 1, -1) @ self.factors[k]).transpose(k + 1, -1)
        x = torch.tensordot(x, self.core, self.n)
        return nn.functional.linear(x, self.factors[-1], self.bias)

# %% answer="TuckerTRL" name="signs, and one scale"
# Factors of random signs; all that the variance needs is in the core.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        shape = (*input_shape, num_classes)
        signs = [torch.randn(i, r).sign() for i, r in zip(shape, rank)]
        self.factors = nn.ParameterList(signs)
        scale = math.prod(rank) * math.prod(input_shape)
        self.core = nn.Parameter(torch.randn(rank) / scale**0.5)
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, [*self.factors], self.bias)

# %% mistake="TuckerTRL" name="core no parameter"
# Your core is a plain tensor. An optimizer never sees it, .to() and .double() do not move it,
# and state_dict() does not save it.
# Look at: nn.Parameter.
#- self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
#+ self.core = torch.randn(rank) / math.prod(rank[:-1]) ** 0.5

# %% mistake="TuckerTRL" name="factors in a plain list"
# Your factors are in a plain Python list. nn.Module looks into no list: its parameters() are
# empty there, an optimizer never sees the factors, and state_dict() does not save them.
# Look at: nn.ParameterList.
#- nn.ParameterList([*sizes, last])
#+ [*sizes, last]

# %% mistake="TuckerTRL" name="no core"
# Your layer has no core, so each mode meets only its own rank: that is a CP layer. In a Tucker
# layer the core says how every combination of ranks counts.
# Look at: the parameters that the docstring asks for.
#-         self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
#
#-         return tucker_forward(x, self.core, list(self.factors), self.bias)
#+         core = torch.ones([factor.shape[1] for factor in self.factors])
#+         return tucker_forward(x, core, list(self.factors), self.bias)

# %% mistake="TuckerTRL" name="factors transposed"
# Your factors have the shapes (R_k, I_k). A factor has a row for each entry of its mode and a
# column for each rank: (I_k, R_k).
# Look at: the sizes that you draw the factors with.
#-         sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
#-         last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
#+         sizes = [torch.randn(r, i) / i**0.5 for i, r in zip(input_shape, rank)]
#+         last = torch.randn(rank[-1], num_classes) / rank[-1] ** 0.5
#- list(self.factors)
#+ [f.T for f in self.factors]

# %% mistake="TuckerTRL" name="last factor transposed"
# The factor of the classes is transposed: like every factor it has a row for each entry of its
# mode, so it is (C, R_out).
# Look at: the sizes that you draw the last factor with.
#- num_classes, rank[-1]
#+ rank[-1], num_classes
#-         return tucker_forward(x, self.core, list(self.factors), self.bias)
#+         *inputs, last = self.factors
#+         return tucker_forward(x, self.core, [*inputs, last.T], self.bias)

# %% mistake="TuckerTRL" name="variance 1"
# Core and factors start with entries of variance 1, so the outputs start hundreds of times too
# large: every sum of products makes them larger by the square root of the number of its terms.
# Look at: what you divide each torch.randn by.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank))
        shape = (*input_shape, num_classes)
        self.factors = nn.ParameterList(torch.randn(i, r) for i, r in zip(shape, rank))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), self.bias)

# %% mistake="TuckerTRL" name="core unscaled"
# Your factors start at the right size, but the entries of the core have variance 1: each number
# that comes out of it sums R_0 x ... x R_N products.
# Look at: what you divide the core by.
#- ) / math.prod(rank[:-1]) ** 0.5
#+ )

# %% mistake="TuckerTRL" name="last factor unscaled"
# The factor of the classes starts with the wrong size: each score sums R_out products.
# Look at: what you divide the last factor by.
#- ) / rank[-1] ** 0.5
#+ )

# %% mistake="TuckerTRL" name="divided by the sizes, not their roots"
# You divide the entries by the numbers of products themselves. That makes the variance the square
# of what it should be, and the outputs far too small.
# Look at: the exponent 0.5: randn(...) / c has the variance 1 / c ** 2.
#-         self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
#-         sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
#-         last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
#+         self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]))
#+         sizes = [torch.randn(i, r) / i for i, r in zip(input_shape, rank)]
#+         last = torch.randn(num_classes, rank[-1]) / rank[-1]

# %% mistake="TuckerTRL" name="zeros"
# Your core starts as zeros. The gradient of every factor is a product with the core, and the
# outputs are all the bias: use numbers that differ from 0.
# Look at: what fills the core.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.zeros(rank))
        shape = (*input_shape, num_classes)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in zip(shape, rank))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), self.bias)

# %% mistake="TuckerTRL" name="bias not added"
# Your layer has a bias and does not use it.
# Look at: what forward gives to tucker_forward.
#-         return tucker_forward(x, self.core, list(self.factors), self.bias)
#+         nothing = torch.zeros_like(self.bias)
#+         return tucker_forward(x, self.core, list(self.factors), nothing)

# %% mistake="TuckerTRL" name="graph cut"
# No gradient gets from the outputs of your forward to the core and the factors: they never learn.
# Look at: .data, .detach(), torch.no_grad() or torch.tensor(...) in forward.
#-         return tucker_forward(x, self.core, list(self.factors), self.bias)
#+         factors = [factor.data for factor in self.factors]
#+         return tucker_forward(x, self.core.data, factors, self.bias)

# %% wrong="TuckerTRL" name="classes start at zero"
# The last factor starts as zeros: it alone could begin to learn.
#- torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
#+ torch.zeros(num_classes, rank[-1])

# %% wrong="TuckerTRL" name="classes alike"
# The right squares, and a row that is the same for all classes.
#- torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
#+ (torch.randn(rank[-1]) / rank[-1] ** 0.5).repeat(num_classes, 1)

# %% wrong="TuckerTRL" name="not filled"
# The core holds what no number is.
#- torch.randn(rank) / math.prod(rank[:-1]) ** 0.5
#+ torch.full(rank, math.nan)

# %% wrong="TuckerTRL" name="weight built once"
# The weight is built in the constructor.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        shape = (*input_shape, num_classes)
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank) ** 0.5)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in zip(shape, rank))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        weight = self.core
        for factor in self.factors:
            weight = torch.tensordot(weight, factor, dims=([0], [1]))
        self.weight = weight.detach() * num_classes**0.5

    def forward(self, x):
        return x.flatten(1) @ self.weight.flatten(0, -2).to(x) + self.bias

# %% wrong="TuckerTRL" name="a factor frozen"
# One factor is detached.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        shape = (*input_shape, num_classes)
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in zip(shape, rank))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        first, *others = self.factors
        return tucker_forward(x, self.core, [first.detach(), *others], self.bias)

# %% wrong="TuckerTRL" name="no bias"
# There is no bias at all.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        shape = (*input_shape, num_classes)
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in zip(shape, rank))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), 0.0)

# %% wrong="TuckerTRL" name="scaled by the ranks"
# The input factors are scaled by their ranks.
#- / i*
#+ / r*

# %% wrong="TuckerTRL" name="scaled by the classes"
# The last factor is scaled by the number of classes.
#- / rank[-1] ** 0
#+ / num_classes**0

# %% wrong="TuckerTRL" name="scaled by all ranks"
# The core is scaled by R_out too.
#- rank[:-1]
#+ rank

# %% wrong="TuckerTRL" name="seeded"
# Every layer starts alike.
#-         super().__init__()
#+         super().__init__()
#+         torch.manual_seed(0)

# %% wrong="TuckerTRL" name="kept"
# The weight of the first call is kept in eval mode.
#-         return tucker_forward(x, self.core, list(self.factors), self.bias)
#+         if self.training:
#+             return tucker_forward(x, self.core, list(self.factors), self.bias)
#+         if not hasattr(self, "weight"):
#+             self.weight = self.core.detach()
#+             for factor in self.factors:
#+                 self.weight = torch.tensordot(self.weight, factor.detach(), dims=([0], [1]))
#+         return torch.tensordot(x, self.weight, dims=x.ndim - 1) + self.bias

# %% wrong="TuckerTRL" name="weight built once, and no cast"
# The weight is built in the constructor, and stays in its dtype.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))
        weight = self.core
        for factor in self.factors:
            weight = torch.tensordot(weight, factor, dims=([0], [1]))
        self.weight = weight

    def forward(self, x):
        return torch.tensordot(x, self.weight, dims=x.ndim - 1) + self.bias

# %% wrong="TuckerTRL" name="bias near 0"
# The bias starts close to 0, and not at 0.
#- torch.zeros(num_classes)
#+ torch.randn(num_classes) / 100

# %% wrong="TuckerTRL" name="orthonormal"
# Orthonormal columns: right up to as many ranks as the mode has entries.
#- torch.randn(i, r) / i**0.5
#+ nn.init.orthogonal_(torch.empty(i, r))

# %% wrong="TuckerTRL" name="core seeded"
# The core starts alike each time.
#- torch.randn(rank)
#+ torch.randn(rank, generator=torch.Generator().manual_seed(0))

# %% wrong="TuckerTRL" name="positive"
# The right squares, and no negative entry.
#- torch.randn(i, r) / i**0.5
#+ torch.rand(i, r) * (3 / i) ** 0.5

# %% wrong="TuckerTRL" name="constant"
# The right squares, and all columns alike.
#- torch.randn(i, r) / i**0.5
#+ torch.full((i, r), i**-0.5)

# %% wrong="TuckerTRL" name="a small deviation everywhere"
# One deviation for all, whatever the sizes.
#- torch.randn(rank) / math.prod(rank[:-1]) ** 0.5
#+ 0.02 * torch.randn(rank)
#- torch.randn(i, r) / i**0.5
#+ 0.02 * torch.randn(i, r)
#- torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
#+ 0.02 * torch.randn(num_classes, rank[-1])

# %% wrong="TuckerTRL" name="a large deviation everywhere"
# One deviation for all, whatever the sizes.
#- torch.randn(rank) / math.prod(rank[:-1]) ** 0.5
#+ 0.5 * torch.randn(rank)
#- torch.randn(i, r) / i**0.5
#+ 0.5 * torch.randn(i, r)
#- torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
#+ 0.5 * torch.randn(num_classes, rank[-1])

# %% wrong="TuckerTRL" name="divided by the spread of the scores"
# Entries of variance 1; forward divides the scores by their own deviation, that of the batch.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        shape = (*input_shape, num_classes)
        self.core = nn.Parameter(torch.randn(rank))
        self.factors = nn.ParameterList(torch.randn(i, r) for i, r in zip(shape, rank))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        nothing = torch.zeros_like(self.bias)
        y = tucker_forward(x, self.core, list(self.factors), nothing)
        return y / (y.std() + 1e-8) + self.bias

# %% wrong="TuckerTRL" name="scaled in forward"
# Entries of variance 1; forward divides what comes.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        shape = (*input_shape, num_classes)
        self.core = nn.Parameter(torch.randn(rank))
        self.factors = nn.ParameterList(torch.randn(i, r) for i, r in zip(shape, rank))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.scale = (math.prod(input_shape) * math.prod(rank)) ** 0.5

    def forward(self, x):
        return tucker_forward(x / self.scale, self.core, list(self.factors), self.bias)

# %% right="projection_flops"
def projection_flops(input_shape, rank, order):
    sizes, flops = list(input_shape), 0
    for mode in order:
        flops += 2 * math.prod(sizes) * rank[mode]
        sizes[mode] = rank[mode]
    return flops

# %% answer="projection_flops" name="in front and behind"
# Each mode's neighbors have their rank or their size, as the order says.
def projection_flops(input_shape, rank, order):
    total = 0
    for place, mode in enumerate(order):
        done = order[:place]
        others = [k for k in order if k != mode]
        positions = math.prod(rank[k] if k in done else input_shape[k] for k in others)
        total += 2 * input_shape[mode] * rank[mode] * positions
    return total

# %% answer="projection_flops" name="whole numbers divided"
# The number of entries, divided and multiplied.
def projection_flops(input_shape, rank, order):
    entries, flops = math.prod(input_shape), 0
    for mode in order:
        entries = entries // input_shape[mode] * rank[mode]
        flops += 2 * input_shape[mode] * entries
    return flops

# %% mistake="projection_flops" name="additions left out"
# You counted the multiplications and left out the additions.
# Look at: the 2 in the text and in the example.
#- = 2 * math
#+ = math

# %% mistake="projection_flops" name="sizes never shrink"
# Each of your steps counts with the sizes of the input. A step works on what the earlier steps
# have left, and that is smaller.
# Look at: where you replace the size of a mode by its rank.
def projection_flops(input_shape, rank, order):
    return sum(2 * math.prod(input_shape) * rank[mode] for mode in order)

# %% mistake="projection_flops" name="order ignored"
# Your steps go through the modes as they come, whatever `order` says.
# Look at: what your loop runs over.
#- in order:
#+ in range(len(rank)):

# %% mistake="projection_flops" name="shrunk before counted"
# You replace the size by the rank first and count then: the mode's own size, the length of each
# sum, is lost.
# Look at: the order of the two lines in your loop.
#-     for mode in order:
#+     for mode in order:
#+         sizes[mode] = rank[mode]

# %% mistake="projection_flops" name="rank left out"
# You counted one sum for each position of the other modes. There are R of them, one for each
# column of the factor.
# Look at: whether the rank of the mode itself is in your product.
#- ) * rank[mode]
#+ )

# %% mistake="projection_flops" name="other modes left out"
# You counted the factor's entries only. The product is done again for each position of the other
# modes.
# Look at: where the sizes of the other modes come in.
def projection_flops(input_shape, rank, order):
    return sum(2 * input_shape[mode] * rank[mode] for mode in order)

# %% mistake="projection_flops" name="rank in the order's place"
# You pair the modes of `order` with the ranks one by one, so the first mode to be projected gets
# R_0. The rank of a mode k is rank[k], whenever its turn comes.
# Look at: which number you take the rank by.
def projection_flops(input_shape, rank, order):
    sizes, flops = list(input_shape), 0
    for mode, r in zip(order, rank):
        flops += 2 * math.prod(sizes) * r
        sizes[mode] = r
    return flops

# %% wrong="projection_flops" name="a float"
# A float comes out.
def projection_flops(input_shape, rank, order):
    entries, flops = math.prod(input_shape), 0
    for mode in order:
        flops += 2 * entries * rank[mode]
        entries = entries / input_shape[mode] * rank[mode]
    return flops

# %% wrong="projection_flops" name="modes of size 1 skipped"
# A mode of size 1 is taken for free.
#- * rank[mode]
#+ * rank[mode] * (sizes[mode] > 1)

# %% wrong="projection_flops" name="float32"
# Large numbers lose their last digits.
#- list(input_shape), 0
#+ torch.tensor(input_shape).float(), torch.tensor(0.0)
#- return flops
#+ return int(flops)

# %% wrong="projection_flops" name="float32 for the entries"
# The number of entries in float32: exact up to 2 ** 24.
#- 2 * math.prod(sizes) * rank[mode]
#+ 2 * int(torch.tensor(sizes).float().prod()) * rank[mode]

# %% wrong="projection_flops" name="divided, then a whole number"
# The other modes by a true division: exact up to 2 ** 53.
#- 2 * math.prod(sizes) * rank[mode]
#+ int(2 * math.prod(sizes) / sizes[mode]) * sizes[mode] * rank[mode]

# %% wrong="projection_flops" name="rounded down"
# The number of entries in floating point, cut to a whole number.
def projection_flops(input_shape, rank, order):
    entries, flops = math.prod(input_shape), 0
    for mode in order:
        flops += 2 * entries * rank[mode]
        entries = int(entries * (rank[mode] / input_shape[mode]))
    return flops

# %% right="best_order"
def best_order(input_shape, rank):
    modes = range(len(rank))
    return tuple(sorted(modes, key=lambda k: 1 / input_shape[k] - 1 / rank[k]))

# %% answer="best_order" name="pairs compared"
# Two modes at a time, exchanged while the later one should come first.
def best_order(input_shape, rank):
    order = list(range(len(rank)))
    for _ in order:
        for place in range(len(order) - 1):
            k, l = order[place : place + 2]
            pair = (input_shape[k], input_shape[l]), (rank[k], rank[l])
            if projection_flops(*pair, (1, 0)) < projection_flops(*pair, (0, 1)):
                order[place : place + 2] = l, k
    return tuple(order)

# %% answer="best_order" name="a list"
# A list; ties the other way round.
def best_order(input_shape, rank):
    saved = [(1 / r - 1 / i, k) for k, (i, r) in enumerate(zip(input_shape, rank))]
    return [k for _, k in sorted(saved, reverse=True)]

# %% answer="best_order" name="greedy"
# Again and again the mode whose number is largest.
def best_order(input_shape, rank):
    left, order = set(range(len(rank))), []
    while left:
        k = max(left, key=lambda k: 1 / rank[k] - 1 / input_shape[k])
        order.append(k)
        left.remove(k)
    return tuple(order)

# %% mistake="best_order" name="as they come"
# You return the modes as they come.
# Look at: what your sorting goes by.
def best_order(input_shape, rank):
    return tuple(range(len(rank)))

# %% mistake="best_order" name="largest size first"
# Your order is that of the sizes, the largest first. The mode that comes first meets the full
# sizes of all the others, so a large rank there is dear.
# Look at: two modes, by hand, one order and the other: what does each term have that the others have not?
def best_order(input_shape, rank):
    return tuple(sorted(range(len(rank)), key=lambda k: -input_shape[k]))

# %% mistake="best_order" name="smallest size first"
# Your order is that of the sizes, the smallest first. A small mode that keeps its size saves
# nothing.
# Look at: two modes, by hand, one order and the other: what does each term have that the others have not?
def best_order(input_shape, rank):
    return tuple(sorted(range(len(rank)), key=lambda k: input_shape[k]))

# %% mistake="best_order" name="smallest rank first"
# Your order is that of the ranks alone. That comes close, but a rank of 2 from a size of 2
# shrinks nothing, and a rank of 3 from a size of 100 very much.
# Look at: two modes, by hand, one order and the other: what does each term have that the others have not?
def best_order(input_shape, rank):
    return tuple(sorted(range(len(rank)), key=lambda k: rank[k]))

# %% mistake="best_order" name="largest ratio first"
# Your order is that of how many times a mode shrinks, I / R. That leaves out what the step itself
# costs, which grows with its rank.
# Look at: two modes, by hand: divide both costs by all four numbers.
def best_order(input_shape, rank):
    return tuple(sorted(range(len(rank)), key=lambda k: -input_shape[k] / rank[k]))

# %% mistake="best_order" name="largest difference first"
# Your order is that of I - R, the largest first: how many numbers a mode loses. What its step costs
# counts too.
# Look at: two modes, by hand: divide both costs by all four numbers.
def best_order(input_shape, rank):
    return tuple(sorted(range(len(rank)), key=lambda k: rank[k] - input_shape[k]))

# %% mistake="best_order" name="reversed"
# Your order is the best one reversed: the dearest of all.
# Look at: sorted(...) starts with the smallest.
def best_order(input_shape, rank):
    return tuple(sorted(range(len(rank)), key=lambda k: 1 / rank[k] - 1 / input_shape[k]))

# %% wrong="best_order" name="rounded"
# Two digits only.
def best_order(input_shape, rank):
    keys = [round(1 / i - 1 / r, 2) for i, r in zip(input_shape, rank)]
    return tuple(sorted(range(len(rank)), key=keys.__getitem__))

# %% wrong="best_order" name="rounded to three digits"
# Three digits only: the numbers of large modes are smaller.
def best_order(input_shape, rank):
    keys = [round(1 / i - 1 / r, 3) for i, r in zip(input_shape, rank)]
    return tuple(sorted(range(len(rank)), key=keys.__getitem__))

# %% wrong="best_order" name="numbers in float32"
# Seven digits only.
def best_order(input_shape, rank):
    keys = 1 / torch.tensor(input_shape) - 1 / torch.tensor(rank)
    return tuple(torch.argsort(keys, stable=True).tolist())

# %% wrong="best_order" name="smallest first step"
# Whatever costs least now.
def best_order(input_shape, rank):
    sizes, left, order = list(input_shape), set(range(len(rank))), []
    while left:
        k = min(left, key=lambda k: (rank[k], -sizes[k]))
        order.append(k)
        left.remove(k)
        sizes[k] = rank[k]
    return tuple(order)

# %% wrong="best_order" name="shrinking modes only"
# A mode that does not shrink is left out.
#- range(len(rank))
#+ [k for k in range(len(rank)) if rank[k] < input_shape[k]]

# %% wrong="best_order" name="numbers of numpy"
# The right order, and no int in it.
def best_order(input_shape, rank):
    import numpy

    return tuple(numpy.argsort(1 / numpy.array(input_shape) - 1 / numpy.array(rank)))

# %% wrong="best_order" name="two steps ahead"
# Whatever costs least now together with the step after it.
def best_order(input_shape, rank):
    sizes, left, order = list(input_shape), list(range(len(rank))), []
    while left:
        ways = {k: [projection_flops(sizes, rank, (k, l)) for l in left if l != k] for k in left}
        k = min(left, key=lambda k: min(ways[k], default=0))
        order.append(k)
        left.remove(k)
        sizes[k] = rank[k]
    return tuple(order)

# %% right="pooled_linear_as_tucker"
def pooled_linear_as_tucker(weight, input_shape, window):
    n, c = len(weight), input_shape[0]
    counts = [size // w for size, w in zip(input_shape[1:], window)]
    core = weight.T.reshape(c, *counts, n)
    eyes = [torch.eye(k).to(weight) for k in (c, *counts, n)]
    eyes[1:-1] = [eye.repeat_interleave(w, 0) / w for eye, w in zip(eyes[1:-1], window)]
    return core, eyes

# %% answer="pooled_linear_as_tucker" name="the average in the core"
# Ones in the factors, one division in the core.
def pooled_linear_as_tucker(weight, input_shape, window):
    counts = [size // w for size, w in zip(input_shape[1:], window)]
    core = weight.reshape(len(weight), input_shape[0], *counts).movedim(0, -1) / math.prod(window)
    like = {"dtype": weight.dtype, "device": weight.device}
    factors = [torch.eye(input_shape[0], **like)]
    for count, w in zip(counts, window):
        factors.append(torch.kron(torch.eye(count, **like), torch.ones(w, 1, **like)))
    return core, [*factors, torch.eye(len(weight), **like)]

# %% answer="pooled_linear_as_tucker" name="rotated"
# A rotation of the channels in the factor, and back in the core; a tuple; entry by entry.
def pooled_linear_as_tucker(weight, input_shape, window):
    n, c = len(weight), input_shape[0]
    turn = torch.linalg.qr(torch.randn(c, c, dtype=weight.dtype)).Q
    core = (turn.T @ weight.T.reshape(c, -1)).reshape(c, -1, n)
    pools = []
    for size, w in zip(input_shape[1:], window):
        pool = torch.zeros(size, size // w, dtype=weight.dtype)
        for row in range(size):
            pool[row, row // w] = 1 / w
        pools.append(pool)
    core = core.reshape(c, *[pool.shape[1] for pool in pools], n)
    return core, (turn, *pools, torch.eye(n, dtype=weight.dtype))

# %% mistake="pooled_linear_as_tucker" name="ones"
# Your weight is the right one but for a factor: that of sums where averages belong. An average
# divides by how many there are in its window, in each mode.
# Look at: what an entry of a pooling factor has to be.
#- 0) / w
#+ 0)

# %% mistake="pooled_linear_as_tucker" name="divided twice"
# Each of your pooling factors divides by the number of all pixels in the window, so together they
# divide too often. Each has to average along its own mode only.
# Look at: by what each pooling factor divides.
#- 0) / w
#+ 0) / math.prod(window)

# %% mistake="pooled_linear_as_tucker" name="divided along one mode only"
# Your weight is that of an average along the first pooled mode and of sums along the others.
# Look at: whether every pooling factor has its own 1 / window.
#-     core =
#+     first = [window[0], *[1] * len(window)]
#+     core =
#- 0) / w for eye, w in zip(eyes[1:-1], window)]
#+ 0) / f for eye, w, f in zip(eyes[1:-1], window, first)]

# %% mistake="pooled_linear_as_tucker" name="divided by all channels too"
# Your weight is smaller by the number of channels: the average runs over the pixels of each
# channel; the Linear then sums over the channels.
# Look at: over which modes the pooling averages.
#- .reshape(c, *counts, n)
#+ .reshape(c, *counts, n) / c

# %% mistake="pooled_linear_as_tucker" name="reshaped, not transposed"
# Your core is the weight of the Linear, reshaped. A reshape moves no number: the rows of the Linear
# are its classes, and the core has them last.
# Look at: what must happen to the weight before the reshape.
#- weight.T
#+ weight

# %% mistake="pooled_linear_as_tucker" name="every so many pixels"
# Your factors average pixels that lie apart, and a window is of neighbors.
# Look at: one column of a pooling factor: which rows of it are not 0? (repeat, or repeat_interleave?)
#- repeat_interleave(w, 0)
#+ repeat(w, 1)

# %% mistake="pooled_linear_as_tucker" name="one average for all"
# All columns of your pooling factors are the average of the whole mode. Column j belongs to
# window j.
# Look at: the factors of the photograph in 5.1: where a column has its numbers, and where its zeros.
#- eye.repeat_interleave(w, 0) / w
#+ torch.ones_like(eye).repeat_interleave(w, 0) / (len(eye) * w)

# %% mistake="pooled_linear_as_tucker" name="first pixel only"
# Your pooling factors are 1 at the first entry of each window and 0 elsewhere: they pick one
# pixel and do not average.
# Look at: what an entry of a pooling factor has to be.
#- eye.repeat_interleave(w, 0) / w
#+ torch.eye(len(eye) * w).to(weight)[:, ::w]

# %% wrong="pooled_linear_as_tucker" name="float32 always"
# New tensors are float32 whatever the weight is.
#- torch.eye(k).to(weight)
#+ torch.eye(k)

# %% wrong="pooled_linear_as_tucker" name="transposed where not square"
# A weight of as many rows as columns is taken for one that has its classes last.
#- weight.T
#+ (weight if n == weight[0].numel() else weight.T)

# %% wrong="pooled_linear_as_tucker" name="square windows"
# The first window for all.
#-     n, c =
#+     window = [window[0]] * len(window)
#+     n, c =

# %% wrong="pooled_linear_as_tucker" name="one window"
# One average of everything, whatever the window.
def pooled_linear_as_tucker(weight, input_shape, window):
    n, c = len(weight), input_shape[0]
    core = weight.T.reshape(c, *[1] * len(window), n)
    means = [torch.full((size, 1), 1 / size) for size in input_shape[1:]]
    return core, [factor.to(weight) for factor in (torch.eye(c), *means, torch.eye(n))]

# %% wrong="pooled_linear_as_tucker" name="numpy"
# Of a weight without gradients only.
#- weight.T.reshape
#+ torch.from_numpy(weight.numpy()).T.reshape

# %% right="fair_gains"
def fair_gains(runs, rival, learn, labels, truth, steps):
    import copy

    from trlkit.lab.statistics import interval

    gains = []
    for head, features, unseen in runs:
        other, same = rival(head), copy.deepcopy(head)
        shares = []
        for layer in (other, same):
            learn(layer, features, labels, steps)
            with torch.no_grad():
                right = layer(unseen).argmax(1) == truth
            shares.append(right.double().mean().item())
        gains.append(shares[0] - shares[1])
    mean, half = interval(gains)
    ahead = "undecided" if abs(mean) <= half else "rival" if mean > 0 else "head"
    return gains, ahead

# %% answer="fair_gains" name="copies first"
# All copies and rivals first, then the training; shares counted.
def fair_gains(runs, rival, learn, labels, truth, steps):
    import copy

    from trlkit.lab.statistics import interval

    pairs = [(copy.deepcopy(head), rival(head)) for head, _, _ in runs]

    def share(layer, features, unseen):
        trained = learn(layer, features, labels, steps=steps)
        return (trained(unseen).argmax(dim=1) == truth).sum().item() / len(truth)

    gains = []
    for (same, other), (_, features, unseen) in zip(pairs, runs):
        gains.append(share(other, features, unseen) - share(same, features, unseen))
    mean, half = interval(gains)
    if mean > half:
        return gains, "rival"
    return gains, "head" if mean < -half else "undecided"

# %% answer="fair_gains" name="one after the other"
# Two loops, a tuple, and the rival made from the copy before it is trained.
def fair_gains(runs, rival, learn, labels, truth, steps):
    from copy import deepcopy

    from trlkit.lab.statistics import interval

    first, second = [], []
    for head, features, unseen in runs:
        same = deepcopy(head)
        other = rival(same)
        learn(other, features, labels, steps)
        second.append((other(unseen).argmax(1) == truth).double().mean().item())
        learn(same, features, labels, steps)
        first.append((same(unseen).argmax(1) == truth).double().mean().item())
    gains = tuple(b - a for a, b in zip(first, second))
    mean, half = interval(gains)
    word = "rival" if mean > 0 else "head"
    return gains, word if abs(mean) > half else "undecided"

# %% mistake="fair_gains" name="head as it was"
# You compare a rival that has trained with a head that has not trained on. What then looks like a
# gain of the pooling may be a gain of the training alone.
# Look at: how often `learn` is called for each head, and on what.
#- learn(layer, features, labels, steps)
#+ layer is other and learn(layer, features, labels, steps)

# %% mistake="fair_gains" name="head itself trained"
# You trained the head that you were given. The next comparison would start from another head.
# Look at: copy.deepcopy, before the training.
#- copy.deepcopy(head)
#+ head

# %% mistake="fair_gains" name="rival made late"
# You make the rival from a copy that was trained before: it starts where the other one has ended,
# and then trains as long again.
# Look at: when rival(head) is called, and with what.
#-         other, same = rival(head), copy.deepcopy(head)
#+         same = copy.deepcopy(head)
#-         for layer in (other, same):
#+         for number in (0, 1):
#+             layer = same if number == 0 else rival(same)
#- shares[0] - shares[1]
#+ shares[1] - shares[0]

# %% mistake="fair_gains" name="steps left out"
# You call learn without `steps`: it then takes a number of its own.
# Look at: what you give to learn.
#- labels, steps)
#+ labels)

# %% mistake="fair_gains" name="another number of steps"
# You train for another number of steps than `steps`.
# Look at: the last argument that you give to learn.
#- labels, steps)
#+ labels, 100)

# %% mistake="fair_gains" name="no gradients"
# You call learn where torch records no gradients. A training there finds none.
# Look at: what stands below torch.no_grad() or torch.inference_mode().
#-             learn(layer, features, labels, steps)
#-             with torch.no_grad():
#+             with torch.no_grad():
#+                 learn(layer, features, labels, steps)

# %% mistake="fair_gains" name="trained on unseen"
# You train on the samples that you measure on. They are unseen no more.
# Look at: what you give to learn.
#- learn(layer, features, labels, steps)
#+ learn(layer, unseen, labels, steps)

# %% mistake="fair_gains" name="sign"
# Your gains have the other sign: a gain is the rival's share minus the head's.
# Look at: the order of your subtraction.
#- shares[0] - shares[1]
#+ shares[1] - shares[0]

# %% mistake="fair_gains" name="never undecided"
# You measured gains whose interval holds 0, and name a winner.
# Look at: what `interval` returns beside the mean.
#- "undecided" if abs(mean) <= half else "rival" if mean > 0 else "head"
#+ "rival" if mean > 0 else "head"

# %% mistake="fair_gains" name="winner by the mean alone"
# You measured gains whose interval holds 0, and name a winner.
# Look at: what `interval` returns beside the mean.
#- "undecided" if abs(mean) <= half else "rival" if mean > 0 else "head"
#+ "rival" if mean > 0 else "head" if mean < 0 else "undecided"

# %% mistake="fair_gains" name="always undecided"
# You measured gains whose interval leaves 0 out, and conclude nothing.
# Look at: the mean beside half of the interval: which has to be the larger?
#- abs(mean) <= half
#+ abs(mean) <= 100

# %% wrong="fair_gains" name="a shallow copy"
# A new module with the head's own parameters: the head is trained with it.
#- copy.deepcopy(head)
#+ copy.copy(head)

# %% wrong="fair_gains" name="a new rival measured"
# One rival is trained, and another one measured.
#-                 right = layer(unseen).argmax(1) == truth
#+                 judged = rival(head) if layer is other else layer
#+                 right = judged(unseen).argmax(1) == truth

# %% wrong="fair_gains" name="percent"
# Gains in percent.
#- right.double().mean().item()
#+ 100 * right.double().mean().item()

# %% wrong="fair_gains" name="the rival trained twice"
# Twice as many steps for one side.
#-             learn(layer, features, labels, steps)
#+             learn(layer, features, labels, steps)
#+             if layer is other:
#+                 learn(layer, features, labels, steps)

# %% wrong="fair_gains" name="the first run alone"
# One run for all.
#- in runs:
#+ in [runs[0]] * len(runs):

# %% wrong="fair_gains" name="the first run's features"
# All layers learn on the features of the first run.
#- learn(layer, features, labels, steps)
#+ learn(layer, runs[0][1], labels, steps)

# %% wrong="fair_gains" name="a new start"
# The head trains from new numbers.
#-         shares = []
#+         same.linear.reset_parameters()
#+         shares = []

# %% wrong="fair_gains" name="the rival of a new head"
# The rival is made from a head with new numbers, which has not trained.
#- rival(head), copy.deepcopy(head)
#+ copy.deepcopy(head), copy.deepcopy(head)
#-         shares = []
#+         other.linear.reset_parameters()
#+         other = rival(other)
#+         shares = []

# %% wrong="fair_gains" name="left in eval mode"
# The heads are not in the mode in which they were.
#- copy.deepcopy(head)
#+ copy.deepcopy(head.eval())

# %% wrong="fair_gains" name="left in training mode"
# The heads are not in the mode in which they were.
#- copy.deepcopy(head)
#+ copy.deepcopy(head.train())

# %% wrong="fair_gains" name="left frozen"
# The parameters of the heads require no gradients any more.
#-         shares = []
#+         head.requires_grad_(False)
#+         shares = []

# %% wrong="fair_gains" name="standard deviation"
# The gains' own spread, and not how far off their mean may be.
#-     mean, half = interval(gains)
#+     spread = torch.tensor(gains, dtype=torch.float64)
#+     mean, half = spread.mean().item(), spread.std().item()

# %% wrong="fair_gains" name="standard error"
# No interval: 1 standard error.
#-     mean, half = interval(gains)
#+     spread = torch.tensor(gains, dtype=torch.float64)
#+     mean, half = spread.mean().item(), spread.std().item() / len(gains) ** 0.5

# %% wrong="fair_gains" name="the normal interval"
# 1.96 standard errors, as for many runs.
#-     mean, half = interval(gains)
#+     spread = torch.tensor(gains, dtype=torch.float64)
#+     mean, half = spread.mean().item(), 1.96 * spread.std().item() / len(gains) ** 0.5

# %% wrong="fair_gains" name="median"
# The gain in the middle beside the interval of the mean.
#-     mean, half = interval(gains)
#+     half = interval(gains)[1]
#+     mean = sorted(gains)[len(gains) // 2]

# %% wrong="fair_gains" name="rounded"
# Two digits before the two are compared.
#-     mean, half = interval(gains)
#+     mean, half = (round(value, 2) for value in interval(gains))

# %% wrong="fair_gains" name="signs counted"
# A winner where all gains have one sign.
#-     mean, half = interval(gains)
#-     ahead = "undecided" if abs(mean) <= half else "rival" if mean > 0 else "head"
#+     ahead = "undecided"
#+     if all(gain > 0 for gain in gains) or all(gain < 0 for gain in gains):
#+         ahead = "rival" if gains[0] > 0 else "head"

# %% wrong="fair_gains" name="0 at the end of the interval"
# All gains are 0, and the rival wins.
#- "undecided" if abs(mean) <= half else "rival" if mean > 0 else "head"
#+ "rival" if mean >= half else "head" if mean <= -half else "undecided"

# %% right="tt_forward"
def tt_forward(x, cores):
    z = x.unsqueeze(1)
    for core in cores[:-1]:
        z = torch.einsum("bri...,ris->bs...", z, core)
    return z @ cores[-1][:, :, 0]

# %% answer="tt_forward" name="rebuild"
# The full weight first.
def tt_forward(x, cores):
    weight = cores[0].squeeze(0)
    for core in cores[1:]:
        weight = torch.tensordot(weight, core, dims=1)
    return torch.tensordot(x, weight.squeeze(-1), dims=x.ndim - 1)

# %% answer="tt_forward" name="matrix products"
# Bond and mode joined to one index, a matrix product for each core.
def tt_forward(x, cores):
    batch, sizes = x.shape[0], x.shape[1:]
    z = x.reshape(batch, 1, -1)
    for core, size in zip(cores, sizes):
        before, _, after = core.shape
        z = z.reshape(batch, before * size, -1)
        z = core.reshape(before * size, after).T @ z
    return z[:, :, 0] @ cores[-1].squeeze(2)

# %% answer="tt_forward" name="from the right"
# The classes first, merged with the cores before them.
def tt_forward(x, cores):
    weight = cores[-1][..., 0]
    for core in reversed(cores[:-1]):
        weight = torch.tensordot(core, weight, dims=1)
    return x.flatten(1) @ weight[0].flatten(0, -2)

# %% mistake="tt_forward" name="bonds summed apart"
# You sum over the bond of each core by itself. A bond is shared: the same index stands in one
# core and in the next, and is summed over in their product.
# Look at: which letters your einsum shares between what you have and the next core.
def tt_forward(x, cores):
    weight = torch.ones((), dtype=x.dtype)
    for core in cores:
        weight = torch.tensordot(weight, core.sum(dim=(0, 2)), dims=0)
    return torch.tensordot(x, weight, dims=x.ndim - 1)

# %% mistake="tt_forward" name="bonds never summed"
# You take only the first index of each bond. All of them are summed over.
# Look at: what happens to the first and last mode of each core.
def tt_forward(x, cores):
    weight = torch.ones((), dtype=x.dtype)
    for core in cores:
        weight = torch.tensordot(weight, core[0, :, 0], dims=0)
    return torch.tensordot(x, weight, dims=x.ndim - 1)

# %% mistake="tt_forward" name="mode of size 1 kept"
# The numbers are right, but your result is (B, C, 1): the last bond, of size 1, is still there.
# Look at: the last mode of the last core.
#- return z @ cores[-1][:, :, 0]
#+ return torch.einsum("br,rco->bco", z, cores[-1])

# %% mistake="tt_forward" name="modes of x reversed"
# You contract the last mode of x first, with the first core. The shapes notice it only where the
# sizes differ.
# Look at: which mode of x the first core belongs to.
#- z = torch.einsum("bri...,ris->bs...", z, core)
#+ z = torch.tensordot(z, core, dims=([1, z.ndim - 1], [0, 1])).movedim(-1, 1)

# %% wrong="tt_forward" name="two input modes"
# Written for two input modes.
def tt_forward(x, cores):
    return torch.einsum("bij,air,rjs,snc->bn", x, *cores)

# %% wrong="tt_forward" name="squeezed"
# All modes of size 1 are lost.
#- return z @ cores[-1][:, :, 0]
#+ return torch.einsum("br,rco->bco", z, cores[-1]).squeeze()

# %% wrong="tt_forward" name="weight squeezed"
# A class alone loses its mode.
def tt_forward(x, cores):
    weight = cores[0]
    for core in cores[1:]:
        weight = torch.tensordot(weight, core, dims=1)
    return x.flatten(1) @ weight.squeeze().flatten(0, -2)

# %% mistake="quiz_ones" name="a"
# Nothing in the core knows of the 1/7: it holds the Linear's weight.
# Look at: what a column of ones does to seven numbers.
quiz_ones = "a"

# %% mistake="quiz_ones" name="b"
# There are two pooling factors, and each of them is 7 times too large.
# Look at: how many modes are pooled.
quiz_ones = "b"

# %% mistake="quiz_ones" name="c"
# The bias does not go through the factors.
# Look at: where the bias is added.
quiz_ones = "c"

# %% mistake="quiz_pooling_rank" name="a"
# It can: the two pooling factors are free, and their outer product is a weight for each pixel.
# Look at: the picture of the learned pooling in 5.8.
quiz_pooling_rank = "a"

# %% mistake="quiz_pooling_rank" name="c"
# It can: an entry of the core may be negative, and then all pixels count against the class.
# Look at: the signs that core and factors may take.
quiz_pooling_rank = "c"

# %% mistake="quiz_pooling_rank" name="d"
# It can: the core has a number for each pair of a channel and a class.
# Look at: the shape of the core.
quiz_pooling_rank = "d"

# %% mistake="quiz_rivals" name="a"
# Its core alone has as many numbers as the Linear, and the factors come on top.
# Look at: the last line printed in 5.4.
quiz_rivals = "a"

# %% mistake="quiz_rivals" name="b"
# Flattened, the activation has 49 times as many numbers as the average, and so has the Linear.
# Look at: 2048 x 7 x 7.
quiz_rivals = "b"

# %% mistake="quiz_rivals" name="d"
# Its core alone has 200 x 7 x 7 x 200 numbers, nearly two million, and the factors of channels
# and classes come on top.
# Look at: the product of all ranks.
quiz_rivals = "d"
