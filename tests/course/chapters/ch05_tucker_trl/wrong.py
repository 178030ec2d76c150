"""Wrong answers that only the rarer cases catch."""

# %% wrong="project_input" name="mode found by size"
# The mode is looked for by its size.
def project_input(x, factors):
    for factor in factors:
        k = list(x.shape).index(factor.shape[0], 1)
        x = torch.tensordot(x, factor, dims=([k], [0])).movedim(-1, k)
    return x


# %% wrong="project_input" name="squeezed"
# Modes of rank 1 are lost.
def project_input(x, factors):
    for factor in factors:
        x = torch.tensordot(x, factor, dims=([1], [0]))
    return x.squeeze()


# %% wrong="project_input" name="two modes"
# Written for two modes.
def project_input(x, factors):
    return torch.einsum("bij,ir,js->brs", x, factors[0], factors[1])


# %% wrong="project_input" name="graph cut"
# Right numbers, no gradient.
def project_input(x, factors):
    for factor in factors:
        x = torch.tensordot(x, factor.detach(), dims=([1], [0]))
    return x


# %% wrong="TCL" name="four modes"
# Written for three input modes.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        sizes = zip(input_shape, rank)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in sizes)
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return torch.einsum("bcde,cr,ds,et->brst", x, *self.factors) + self.bias


# %% wrong="TCL" name="other names"
# The parameters have other names.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        sizes = zip(input_shape, rank)
        self.matrices = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in sizes)
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return project_input(x, list(self.matrices)) + self.bias


# %% wrong="TCL" name="one more parameter"
# A parameter that nobody asked for.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        sizes = zip(input_shape, rank)
        self.factors = nn.ParameterList(torch.randn(i, r) / i**0.5 for i, r in sizes)
        self.bias = nn.Parameter(torch.zeros(rank))
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scale * project_input(x, list(self.factors)) + self.bias


# %% wrong="TCL" name="buffers"
# Factors that never learn.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        self.factors = nn.ParameterList(
            nn.Parameter(torch.randn(i, r) / i**0.5, requires_grad=False)
            for i, r in zip(input_shape, rank)
        )
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return project_input(x, list(self.factors)) + self.bias


# %% wrong="TCL" name="no module"
# A function in place of a class.
def TCL(input_shape, rank):
    factors = [torch.randn(i, r) for i, r in zip(input_shape, rank)]
    return lambda x: project_input(x, factors)


# %% wrong="TCL" name="factors as they were"
# The list that forward uses is made once.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        self.drawn = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        self.factors = nn.ParameterList(factor.clone() for factor in self.drawn)
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, x):
        return project_input(x, [f.to(x) for f in self.drawn]) + self.bias


# %% wrong="tucker_forward" name="batch of one squeezed"
# A batch of one loses its mode.
def tucker_forward(x, core, factors, bias):
    z = project_input(x, factors[:-1])
    return (torch.tensordot(z, core, dims=core.ndim - 1) @ factors[-1].T).squeeze() + bias


# %% wrong="tucker_forward" name="two input modes"
# Written for two input modes.
def tucker_forward(x, core, factors, bias):
    return torch.einsum("bij,rst,ir,js,nt->bn", x, core, *factors) + bias


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
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        sizes = [torch.randn(i, r) / r**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), self.bias)


# %% wrong="TuckerTRL" name="scaled by the classes"
# The last factor is scaled by the number of classes.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1]) / num_classes**0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), self.bias)


# %% wrong="TuckerTRL" name="scaled by all ranks"
# The core is scaled by R_out too.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank) ** 0.5)
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), self.bias)


# %% wrong="TuckerTRL" name="seeded"
# Every layer starts alike.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        torch.manual_seed(0)
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return tucker_forward(x, self.core, list(self.factors), self.bias)


# %% wrong="TuckerTRL" name="kept"
# The weight of the first call is kept in eval mode.
class TuckerTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        self.core = nn.Parameter(torch.randn(rank) / math.prod(rank[:-1]) ** 0.5)
        sizes = [torch.randn(i, r) / i**0.5 for i, r in zip(input_shape, rank)]
        last = torch.randn(num_classes, rank[-1]) / rank[-1] ** 0.5
        self.factors = nn.ParameterList([*sizes, last])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        if self.training:
            return tucker_forward(x, self.core, list(self.factors), self.bias)
        if not hasattr(self, "weight"):
            self.weight = self.core.detach()
            for factor in self.factors:
                self.weight = torch.tensordot(self.weight, factor.detach(), dims=([0], [1]))
        return torch.tensordot(x, self.weight, dims=x.ndim - 1) + self.bias


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
def projection_flops(input_shape, rank, order):
    sizes, flops = list(input_shape), 0
    for mode in order:
        flops += 2 * math.prod(sizes) * rank[mode] * (sizes[mode] > 1)
        sizes[mode] = rank[mode]
    return flops


# %% wrong="projection_flops" name="float32"
# Large numbers lose their last digits.
def projection_flops(input_shape, rank, order):
    sizes, flops = torch.tensor(input_shape).float(), torch.tensor(0.0)
    for mode in order:
        flops += 2 * sizes.prod() * rank[mode]
        sizes[mode] = rank[mode]
    return int(flops)


# %% wrong="best_order" name="rounded"
# Two digits only.
def best_order(input_shape, rank):
    keys = [round(1 / i - 1 / r, 2) for i, r in zip(input_shape, rank)]
    return tuple(sorted(range(len(rank)), key=keys.__getitem__))


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
def best_order(input_shape, rank):
    modes = [k for k in range(len(rank)) if rank[k] < input_shape[k]]
    return tuple(sorted(modes, key=lambda k: 1 / input_shape[k] - 1 / rank[k]))


# %% wrong="pooled_linear_as_tucker" name="float32 always"
# New tensors are float32 whatever the weight is.
def pooled_linear_as_tucker(weight, input_shape):
    n, c = weight.shape
    core = weight.T.reshape(c, *[1] * (len(input_shape) - 1), n)
    return core, [torch.eye(c), *[torch.ones(s, 1) / s for s in input_shape[1:]], torch.eye(n)]


# %% wrong="pooled_linear_as_tucker" name="square pictures"
# Two pooled modes of one size.
def pooled_linear_as_tucker(weight, input_shape):
    n, c = weight.shape
    mean = torch.full((input_shape[1], 1), 1 / input_shape[1]).to(weight)
    core = weight.T.reshape(c, 1, 1, n)
    return core, [torch.eye(c).to(weight), mean, mean, torch.eye(n).to(weight)]


# %% wrong="learn_pooling" name="a few samples"
# Only the first ten samples are looked at.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x[:10]), labels[:10])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% wrong="learn_pooling" name="blown up"
# A rate a thousand times too large.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.SGD(trl.parameters(), lr=100.0)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% wrong="learn_pooling" name="a linear layer instead"
# Another layer altogether is returned.
def learn_pooling(trl, x, labels, steps=300):
    return nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 3))


# %% wrong="learn_pooling" name="a smaller rate"
# Another learning rate.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.01)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% wrong="learn_pooling" name="AdamW"
# Adam with its weight decay.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.AdamW(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% wrong="learn_pooling" name="decay"
# A little weight decay.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03, weight_decay=1e-4)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% wrong="learn_pooling" name="SGD"
# Plain gradient descent.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.SGD(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% wrong="learn_pooling" name="mse"
# Squared errors.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.mse_loss(trl(x), nn.functional.one_hot(labels, 3).to(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% wrong="learn_pooling" name="summed"
# The sum over the samples.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels, reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% wrong="learn_pooling" name="clipped"
# Gradients clipped.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trl.parameters(), 1.0)
        optimizer.step()
    return trl


# %% wrong="learn_pooling" name="normalized"
# Features brought to variance 1.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    x = (x - x.mean()) / x.std()
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trl


# %% wrong="learn_pooling" name="eval at the end"
# The layer is left in another mode.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trl.eval()
    return trl


# %% wrong="learn_pooling" name="frozen at the end"
# Nothing can learn any more.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(trl(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trl.requires_grad_(False)
    return trl


# %% wrong="learn_pooling" name="batches"
# Random batches.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    for _ in range(steps):
        batch = torch.randperm(len(x))[:40]
        optimizer.zero_grad()
        nn.functional.cross_entropy(trl(x[batch]), labels[batch]).backward()
        optimizer.step()
    return trl


# %% wrong="tt_forward" name="two input modes"
# Written for two input modes.
def tt_forward(x, cores):
    return torch.einsum("bij,air,rjs,snc->bn", x, *cores)


# %% wrong="tt_forward" name="squeezed"
# All modes of size 1 are lost.
def tt_forward(x, cores):
    z = x.unsqueeze(1)
    for core in cores[:-1]:
        z = torch.einsum("bri...,ris->bs...", z, core)
    return torch.einsum("br,rco->bco", z, cores[-1]).squeeze()
