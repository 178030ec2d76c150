"""Other right answers of chapter 05."""

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


# %% answer="TCL" name="parameters one by one"
# Each factor a Parameter, appended; drawn by nn.init.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        self.factors = nn.ParameterList()
        for i, r in zip(input_shape, rank):
            self.factors.append(nn.Parameter(nn.init.normal_(torch.empty(i, r), std=i**-0.5)))
        self.bias = nn.Parameter(torch.randn(*rank) * 0.01)

    def forward(self, x):
        for k in range(len(self.factors)):
            x = torch.tensordot(x, self.factors[k], dims=([1], [0]))
        return self.bias + x


# %% answer="TCL" name="orthogonal"
# Orthonormal columns, where there is room; its own attributes beside the parameters; prints.
class TCL(nn.Module):
    def __init__(self, input_shape, rank, device=None):
        super(TCL, self).__init__()
        self.input_shape, self.rank = tuple(input_shape), tuple(rank)
        drawn = [nn.init.orthogonal_(torch.empty(i, r)) for i, r in zip(input_shape, rank)]
        self.factors = nn.ParameterList(drawn)
        self.bias = nn.Parameter(torch.zeros(self.rank))
        print("made a TCL", self.rank)

    def forward(self, x):
        letters, new = "cdefg"[: len(self.rank)], "stuvw"[: len(self.rank)]
        operands = ",".join(a + r for a, r in zip(letters, new))
        x = torch.einsum(f"b{letters},{operands}->b{new}", x, *self.factors)
        x += self.bias
        return x


# %% answer="TCL" name="uniform"
# Uniform entries of the right variance.
class TCL(nn.Module):
    def __init__(self, input_shape, rank):
        super().__init__()
        sizes = zip(input_shape, rank)
        drawn = [(torch.rand(i, r) * 2 - 1) * math.sqrt(3 / i) for i, r in sizes]
        self.factors = nn.ParameterList([nn.Parameter(d) for d in drawn])
        self.bias = nn.Parameter(torch.zeros(*rank))

    def forward(self, x):
        return project_input(x, [f for f in self.factors]) + self.bias.unsqueeze(0)


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


# %% answer="best_order" name="all orders tried"
# By trial.
def best_order(input_shape, rank):
    from itertools import permutations

    orders = permutations(range(len(rank)))
    return min(orders, key=lambda order: projection_flops(input_shape, rank, order))


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


# %% answer="pooled_linear_as_tucker" name="the average in the core"
# Ones in the factors, one division in the core.
def pooled_linear_as_tucker(weight, input_shape):
    n, c = weight.shape
    core = weight.T / math.prod(input_shape[1:])
    for _ in input_shape[1:]:
        core = core.unsqueeze(1)
    ones = [torch.ones(size, 1, dtype=weight.dtype) for size in input_shape[1:]]
    eyes = [torch.eye(k, dtype=weight.dtype) for k in (c, n)]
    return core, [eyes[0], *ones, eyes[1]]


# %% answer="pooled_linear_as_tucker" name="rotated"
# A rotation of the channels in the factor, and back in the core; a tuple.
def pooled_linear_as_tucker(weight, input_shape):
    n, c = weight.shape
    turn = torch.linalg.qr(torch.randn(c, c, dtype=weight.dtype)).Q
    core = (turn.T @ weight.T).reshape(c, *[1] * (len(input_shape) - 1), n)
    means = [-torch.ones(size, 1).to(weight) / size for size in input_shape[1:]]
    sign = (-1) ** len(means)
    return sign * core, (turn, *means, torch.eye(n).to(weight))


# %% answer="learn_pooling" name="losses kept"
# Gradients cleared by set_to_none at the end of the step; keeps the losses.
def learn_pooling(trl, x, labels, steps=300):
    trl.train()
    optimizer, losses = torch.optim.Adam(list(trl.parameters()), lr=0.03), []
    while len(losses) < steps:
        loss = nn.functional.cross_entropy(trl(x), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    return trl


# %% answer="learn_pooling" name="closure"
# The optimizer calls the loss itself.
def learn_pooling(trl, x, labels, steps=300):
    optimizer = torch.optim.Adam(trl.parameters(), lr=0.03)
    criterion = nn.CrossEntropyLoss()

    def closure():
        optimizer.zero_grad()
        loss = criterion(trl(x), labels)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return trl


# %% answer="learn_pooling" name="autograd.grad"
# Gradients asked for one by one; the cross entropy in two steps; one batch of all samples.
def learn_pooling(trl, x, labels, steps=300):
    parameters = [p for p in trl.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam([{"params": parameters}], lr=3e-2)
    everything = torch.randperm(len(x))
    for _ in range(steps):
        scores = trl(x[everything]).log_softmax(dim=1)
        loss = nn.functional.nll_loss(scores, labels[everything])
        for p, grad in zip(parameters, torch.autograd.grad(loss, parameters)):
            p.grad = grad
        optimizer.step()
    return trl


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
