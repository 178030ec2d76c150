"""Other right answers of chapter 04."""

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
