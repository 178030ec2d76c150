"""Usual mistakes of chapter 05."""

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
# You count the modes of x from the batch on, so factors[0] meets the batch. The shapes notice it
# only where the batch is not as large as the mode.
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
# Each of your products starts again from the original x, so only the last one is left.
# Look at: what the next product multiplies.
def project_input(x, factors):
    for k, factor in enumerate(factors):
        z = torch.tensordot(x, factor, dims=([k + 1], [0])).movedim(-1, k + 1)
    return z


# %% mistake="project_input" name="first factor only"
# You return after the first factor.
# Look at: the indentation of your `return`.
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


# %% mistake="TCL" name="factors in a plain list"
# Your factors are in a plain Python list. nn.Module looks into no list: its parameters() are
# empty there, an optimizer never sees the factors, and state_dict() does not save them.
# Look at: nn.ParameterList.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        sizes = zip(input_shape, rank)
        self.factors = [nn.Parameter(torch.randn(i, r) / i**0.5) for i, r in sizes]
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return project_input(x, self.factors) + self.bias


# %% mistake="TCL" name="factors transposed"
# Your factors have the shapes (R_k, I_k). A factor has a row for each entry of its mode and a
# column for each thing it is projected to: (I_k, R_k).
# Look at: the sizes that you draw the factors with.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        sizes = zip(input_shape, rank)
        self.factors = nn.ParameterList(torch.randn(r, i) / i**0.5 for i, r in sizes)
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return project_input(x, [factor.T for factor in self.factors]) + self.bias


# %% mistake="TCL" name="variance 1"
# Your factors start with entries of variance 1. Each output number sums I_0 x ... x I_N
# products, so it starts with the square root of that many times the input's size.
# Look at: what you divide torch.randn by.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        self.factors = nn.ParameterList(torch.randn(i, r) for i, r in zip(input_shape, rank))
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return project_input(x, self.factors) + self.bias


# %% mistake="TCL" name="divided by the size, not its root"
# You divide the entries by I_k. That makes their variance 1 / I_k ** 2, and the outputs far too
# small.
# Look at: the exponent 0.5 in the text: randn(...) / c has the variance 1 / c ** 2.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        sizes = zip(input_shape, rank)
        self.factors = nn.ParameterList(torch.randn(i, r) / i for i, r in sizes)
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return project_input(x, self.factors) + self.bias


# %% mistake="TCL" name="zeros"
# Your factors start as zeros, or as numbers that nobody has written (torch.empty). The gradient
# of one factor is a product with all the others: with zeros there nothing ever learns.
# Look at: what fills the factors.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        self.factors = nn.ParameterList(torch.zeros(i, r) for i, r in zip(input_shape, rank))
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return project_input(x, self.factors) + self.bias


# %% mistake="TCL" name="all columns alike"
# Your factors start with columns that are all alike. Then all outputs are equal, so are their
# gradients, and they stay equal for ever.
# Look at: what fills the factors: something must tell their columns apart.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        sizes = zip(input_shape, rank)
        self.factors = nn.ParameterList(torch.ones(i, r) / i**0.5 for i, r in sizes)
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return project_input(x, self.factors) + self.bias


# %% mistake="TCL" name="bias not added"
# Your layer has a bias and does not use it.
# Look at: the last line of forward.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        sizes = zip(input_shape, rank)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in sizes)
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return project_input(x, self.factors)


# %% mistake="TCL" name="no bias"
# Your layer has no bias, or it has one that is no nn.Parameter. It is one number for each number
# of the output.
# Look at: `self.bias`.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        sizes = zip(input_shape, rank)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in sizes)

    def forward(self, x):
        return project_input(x, self.factors)


# %% mistake="TCL" name="nonlinear"
# Your layer cuts off negative outputs. A contraction is linear; an activation function is a
# layer of its own.
# Look at: what forward does after the projection.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        sizes = zip(input_shape, rank)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in sizes)
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return torch.relu(project_input(x, self.factors) + self.bias)


# %% mistake="TCL" name="graph cut"
# Your factors are parameters, but forward works on copies that have no gradient: nothing learns.
# Look at: .data, .detach(), torch.no_grad() or torch.tensor(...) in forward.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        sizes = zip(input_shape, rank)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in sizes)
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return project_input(x, [factor.data for factor in self.factors]) + self.bias


# %% mistake="tucker_forward" name="bias left out"
# You left out the bias.
# Look at: whether every argument is used.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1])
    return torch.tensordot(z, core, dims=core.ndim - 1) @ factors[-1].T


# %% mistake="tucker_forward" name="bias before the classes"
# You add the bias before the factor of the classes, so it is mixed among them. It belongs to the
# class scores themselves. The shapes allow it only where R_out is the number of classes.
# Look at: the order of your last two steps.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1])
    return (torch.tensordot(z, core, dims=core.ndim - 1) + bias) @ factors[-1].T


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
def tucker_forward(x, core, factors, bias):
    weight = core
    for k, factor in enumerate(factors):
        weight = torch.tensordot(weight, factor.T, dims=([k], [1])).movedim(-1, k)
    return torch.tensordot(x, weight, dims=x.ndim - 1) + bias


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


# %% mistake="TuckerTRL" name="core no parameter"
# Your core is a plain tensor. An optimizer never sees it, .to() and .double() do not move it,
# and state_dict() does not save it.
# Look at: nn.Parameter.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = torch.randn(rank) / math.prod(rank[:-1]) ** 0.5
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), self.bias)


# %% mistake="TuckerTRL" name="factors in a plain list"
# Your factors are in a plain Python list. nn.Module looks into no list: its parameters() are
# empty there, an optimizer never sees the factors, and state_dict() does not save them.
# Look at: nn.ParameterList.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        sizes = [nn.Parameter(torch.randn(i, r) / i**0.5) for i, r in zip(input_shape, rank)]
        last = nn.Parameter(torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5)
        self.factors = [*sizes, last]
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, self.factors, self.bias)


# %% mistake="TuckerTRL" name="no core"
# Your layer has no core, so each mode meets only its own rank: that is a CP layer. In a Tucker
# layer the core says how every combination of ranks counts.
# Look at: the parameters that the docstring asks for.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        core = torch.ones([factor.shape[1] for factor in self.factors])
        return tucker_forward(x, core, list(self.factors), self.bias)


# %% mistake="TuckerTRL" name="factors transposed"
# Your factors have the shapes (R_k, I_k). A factor has a row for each entry of its mode and a
# column for each rank: (I_k, R_k).
# Look at: the sizes that you draw the factors with.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        sizes = [torch.randn(r, i) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(rank[-1], num_classes) / rank[-1] ** 0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, [f.T for f in self.factors], self.bias)


# %% mistake="TuckerTRL" name="last factor transposed"
# The factor of the classes is transposed: like every factor it has a row for each entry of its
# mode, so it is (C, R_out).
# Look at: the sizes that you draw the last factor with.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(rank[-1], num_classes) / rank[-1] ** 0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        *inputs, last = self.factors
        return tucker_forward(x, self.core, [*inputs, last.T], self.bias)


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
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank))
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), self.bias)


# %% mistake="TuckerTRL" name="last factor unscaled"
# The factor of the classes starts with the wrong size: each score sums R_out products.
# Look at: what you divide the last factor by.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1])
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), self.bias)


# %% mistake="TuckerTRL" name="divided by the sizes, not their roots"
# You divide the entries by the numbers of products themselves. That makes the variance the square
# of what it should be, and the outputs far too small.
# Look at: the exponent 0.5: randn(...) / c has the variance 1 / c ** 2.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]))
        sizes = [torch.randn(i, r) / i for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1]) / rank[-1]
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), self.bias)


# %% mistake="TuckerTRL" name="zeros"
# Your core starts as zeros. The gradient of every factor is a product with the core, and the
# outputs are all the bias: use numbers that differ from 0.
# Look at: what fills the core.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.zeros(rank))
        shape = (*input_shape, num_classes)
        self.factors = nn.ParameterList(torch.randn(i, r) for i, r in zip(shape, rank))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), self.bias)


# %% mistake="TuckerTRL" name="bias not added"
# Your layer has a bias and does not use it.
# Look at: what forward gives to tucker_forward.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        nothing = torch.zeros_like(self.bias)
        return tucker_forward(x, self.core, list(self.factors), nothing)


# %% mistake="TuckerTRL" name="graph cut"
# Your forward works on copies of the parameters that have no gradient: nothing learns.
# Look at: .data, .detach(), torch.no_grad() or torch.tensor(...) in forward.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        factors = [factor.data for factor in self.factors]
        return tucker_forward(x, self.core.data, factors, self.bias)


# %% mistake="projection_flops" name="additions left out"
# You counted the multiplications and left out the additions.
# Look at: the 2 in the text and in the example.
def projection_flops(input_shape, rank, order):
    sizes, flops = list(input_shape), 0
    for mode in order:
        flops += math.prod(sizes) * rank[mode]
        sizes[mode] = rank[mode]
    return flops


# %% mistake="projection_flops" name="sizes never shrink"
# Each of your steps counts with the sizes of the input. A step works on what the earlier steps
# have left, and that is smaller.
# Look at: where you replace the size of a mode by its rank.
def projection_flops(input_shape, rank, order):
    return sum(2 * math.prod(input_shape) * rank[mode] for mode in order)


# %% mistake="projection_flops" name="order ignored"
# Your steps go through the modes as they come, whatever `order` says.
# Look at: what your loop runs over.
def projection_flops(input_shape, rank, order):
    sizes, flops = list(input_shape), 0
    for mode in range(len(rank)):
        flops += 2 * math.prod(sizes) * rank[mode]
        sizes[mode] = rank[mode]
    return flops


# %% mistake="projection_flops" name="shrunk before counted"
# You replace the size by the rank first and count then: the mode's own size, the length of each
# sum, is lost.
# Look at: the order of the two lines in your loop.
def projection_flops(input_shape, rank, order):
    sizes, flops = list(input_shape), 0
    for mode in order:
        sizes[mode] = rank[mode]
        flops += 2 * math.prod(sizes) * rank[mode]
    return flops


# %% mistake="projection_flops" name="rank left out"
# You counted one sum for each position of the other modes. There are R of them, one for each
# column of the factor.
# Look at: whether the rank of the mode itself is in your product.
def projection_flops(input_shape, rank, order):
    sizes, flops = list(input_shape), 0
    for mode in order:
        flops += 2 * math.prod(sizes)
        sizes[mode] = rank[mode]
    return flops


# %% mistake="projection_flops" name="other modes left out"
# You counted the factor's entries only. The product is done again for each position of the other
# modes.
# Look at: where the sizes of the other modes come in.
def projection_flops(input_shape, rank, order):
    return sum(2 * input_shape[mode] * rank[mode] for mode in order)


# %% mistake="projection_flops" name="rank in the order's place"
# You pair the modes of `order` with the ranks one by one, so the first mode to be projected gets
# R_0. The rank of a mode k is rank[k], whenever its turn comes.
# Look at: zip(order, rank).
def projection_flops(input_shape, rank, order):
    sizes, flops = list(input_shape), 0
    for mode, r in zip(order, rank):
        flops += 2 * math.prod(sizes) * r
        sizes[mode] = r
    return flops


# %% mistake="best_order" name="as they come"
# You return the modes as they come.
# Look at: what your sorting goes by.
def best_order(input_shape, rank):
    return tuple(range(len(rank)))


# %% mistake="best_order" name="largest size first"
# You sorted by size, the largest first. The mode that comes first meets the full sizes of all
# the others, so a large rank there is dear.
# Look at: the rule: it weighs rank against size.
def best_order(input_shape, rank):
    return tuple(sorted(range(len(rank)), key=lambda k: -input_shape[k]))


# %% mistake="best_order" name="smallest size first"
# You sorted by size, the smallest first. A small mode that keeps its size saves nothing.
# Look at: the rule: it weighs rank against size.
def best_order(input_shape, rank):
    return tuple(sorted(range(len(rank)), key=lambda k: input_shape[k]))


# %% mistake="best_order" name="smallest rank first"
# You sorted by rank alone. That comes close, but a rank of 2 from a size of 2 shrinks nothing,
# and a rank of 3 from a size of 100 very much.
# Look at: the rule: it weighs rank against size.
def best_order(input_shape, rank):
    return tuple(sorted(range(len(rank)), key=lambda k: rank[k]))


# %% mistake="best_order" name="largest ratio first"
# You sorted by how many times a mode shrinks, I / R. That leaves out what the step itself costs,
# which grows with its rank.
# Look at: the rule: it has a difference and not a ratio.
def best_order(input_shape, rank):
    return tuple(sorted(range(len(rank)), key=lambda k: -input_shape[k] / rank[k]))


# %% mistake="best_order" name="largest difference first"
# You sorted by I - R. The rule has the difference of 1/R and 1/I.
# Look at: the two fractions.
def best_order(input_shape, rank):
    return tuple(sorted(range(len(rank)), key=lambda k: rank[k] - input_shape[k]))


# %% mistake="best_order" name="reversed"
# Your order is the best one reversed: the dearest of all.
# Look at: sorted(...) starts with the smallest.
def best_order(input_shape, rank):
    return tuple(sorted(range(len(rank)), key=lambda k: 1 / rank[k] - 1 / input_shape[k]))


# %% mistake="pooled_linear_as_tucker" name="ones"
# Your pooling factors are 1 everywhere: they sum the pixels. An average also divides by how many
# there are, in each mode by its size.
# Look at: what an entry of a pooling factor has to be.
def pooled_linear_as_tucker(weight, input_shape):
    n, c = weight.shape
    core = weight.T.reshape(c, *[1] * (len(input_shape) - 1), n)
    ones = [torch.ones(size, 1).to(weight) for size in input_shape[1:]]
    return core, [torch.eye(c).to(weight), *ones, torch.eye(n).to(weight)]


# %% mistake="pooled_linear_as_tucker" name="divided twice"
# Each of your pooling factors divides by the number of all pixels, so together they divide too
# often. Each has to average its own mode only.
# Look at: by what each pooling factor divides.
def pooled_linear_as_tucker(weight, input_shape):
    n, c = weight.shape
    core = weight.T.reshape(c, *[1] * (len(input_shape) - 1), n)
    share = 1 / math.prod(input_shape[1:])
    means = [torch.full((size, 1), share).to(weight) for size in input_shape[1:]]
    return core, [torch.eye(c).to(weight), *means, torch.eye(n).to(weight)]


# %% mistake="pooled_linear_as_tucker" name="divided by one size only"
# You divide by the size of the first pooled mode only; the other modes are summed.
# Look at: whether every pooling factor has its own 1 / size.
def pooled_linear_as_tucker(weight, input_shape):
    n, c = weight.shape
    core = weight.T.reshape(c, *[1] * (len(input_shape) - 1), n)
    means = [torch.ones(size, 1).to(weight) for size in input_shape[1:]]
    means[0] = means[0] / len(means[0])
    return core, [torch.eye(c).to(weight), *means, torch.eye(n).to(weight)]


# %% mistake="pooled_linear_as_tucker" name="divided by all channels too"
# You divide by the number of channels as well. The average runs over the pixels of each channel;
# the Linear then sums over the channels.
# Look at: over which modes the pooling averages.
def pooled_linear_as_tucker(weight, input_shape):
    n, c = weight.shape
    core = weight.T.reshape(c, *[1] * (len(input_shape) - 1), n) / c
    means = [torch.full((size, 1), 1 / size).to(weight) for size in input_shape[1:]]
    return core, [torch.eye(c).to(weight), *means, torch.eye(n).to(weight)]


# %% mistake="pooled_linear_as_tucker" name="reshaped, not transposed"
# You reshaped the weight (N, C) to (C, ..., N). A reshape moves no number: the rows of the Linear
# are its classes, and the core has the channels first.
# Look at: what must happen to the weight before the reshape.
def pooled_linear_as_tucker(weight, input_shape):
    n, c = weight.shape
    core = weight.reshape(c, *[1] * (len(input_shape) - 1), n)
    means = [torch.full((size, 1), 1 / size).to(weight) for size in input_shape[1:]]
    return core, [torch.eye(c).to(weight), *means, torch.eye(n).to(weight)]


# %% mistake="pooled_linear_as_tucker" name="weight twice"
# The weight of the Linear is in your core and in a factor too, so it counts twice.
# Look at: where the weight stands: it has to be in one place only.
def pooled_linear_as_tucker(weight, input_shape):
    n, c = weight.shape
    core = weight.T.reshape(c, *[1] * (len(input_shape) - 1), n)
    means = [torch.full((size, 1), 1 / size).to(weight) for size in input_shape[1:]]
    return core, [torch.eye(c).to(weight), *means, weight @ weight.T]


# %% mistake="pooled_linear_as_tucker" name="first pixel only"
# Your pooling factors are 1 at the first entry and 0 elsewhere: they pick one pixel and do not
# average.
# Look at: what an entry of a pooling factor has to be.
def pooled_linear_as_tucker(weight, input_shape):
    n, c = weight.shape
    core = weight.T.reshape(c, *[1] * (len(input_shape) - 1), n)
    picks = [torch.eye(size, 1).to(weight) for size in input_shape[1:]]
    return core, [torch.eye(c).to(weight), *picks, torch.eye(n).to(weight)]


# %% mistake="learn_pooling" name="no step"
# No parameter has moved: you compute gradients, or not even those, and never use them.
# Look at: loss.backward() and optimizer.step(), both in the loop.
def learn_pooling(trl, x, labels, steps=300):
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        loss.backward()
    return trl


# %% mistake="learn_pooling" name="one step"
# You return after the first step.
# Look at: the indentation of your `return`.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return trl


# %% mistake="learn_pooling" name="gradients pile up"
# You never clear the gradients. backward() adds to what is there, so every step still
# follows all the old ones.
# Look at: optimizer.zero_grad().
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        loss.backward()
        optimizer.step()
    return trl


# %% mistake="learn_pooling" name="pooling frozen"
# You gave the optimizer the core and the bias only: the factors, and with them the pooling, stay
# as they were.
# Look at: which parameters the optimizer is made with.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam([trl.core, trl.bias], lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% mistake="learn_pooling" name="uphill"
# You minimize the negative cross entropy: every step makes the layer worse.
# Look at: the sign of the loss.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = -nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% mistake="learn_pooling" name="a copy trained"
# You trained a copy. The layer that was given has not moved.
# Look at: copy.deepcopy, or another layer that you make.
def learn_pooling(trl, x, labels, steps=300):
    import copy

    trl = copy.deepcopy(trl)
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% mistake="learn_pooling" name="nothing returned"
# You train the layer and return something else, or nothing.
# Look at: the last line: return trl.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


# %% mistake="learn_pooling" name="softmax first"
# You give the cross entropy probabilities. It takes the scores and does the softmax itself: done
# twice, the gradients nearly vanish.
# Look at: what goes into F.cross_entropy.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x).softmax(1), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% mistake="learn_pooling" name="a new optimizer each step"
# You make a new optimizer in each step. Adam remembers the earlier gradients, and a new one has
# forgotten them: it takes every step as its first.
# Look at: which lines stand inside the loop.
def learn_pooling(trl, x, labels, steps=300):
    for _ in range(steps):
        optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% mistake="learn_pooling" name="steps ignored"
# Your loop has a number of its own: `steps` is not used.
# Look at: what your loop runs over.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(300):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% mistake="learn_pooling" name="one step less"
# You train for one step less than asked: range(a, b) and range(steps - 1) stop early.
# Look at: what your loop runs over.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(max(steps - 1, 1)):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


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
def tt_forward(x, cores):
    z = x.unsqueeze(1)
    for core in cores[:-1]:
        z = torch.einsum("bri...,ris->bs...", z, core)
    return torch.einsum("br,rco->bco", z, cores[-1])


# %% mistake="tt_forward" name="modes of x reversed"
# You contract the last mode of x first, with the first core. The shapes notice it only where the
# sizes differ.
# Look at: which mode of x the first core belongs to.
def tt_forward(x, cores):
    z = x.unsqueeze(1)
    for core in cores[:-1]:
        z = torch.tensordot(z, core, dims=([1, z.ndim - 1], [0, 1])).movedim(-1, 1)
    return z @ cores[-1][:, :, 0]


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
