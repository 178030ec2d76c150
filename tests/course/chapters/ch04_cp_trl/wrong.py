"""Wrong answers that only the rarer cases catch."""

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


# %% wrong="cp_forward_by_modes" name="rebuilt by einsum"
# Input factors first, in an einsum that is told the order.
def cp_forward_by_modes(x, factors, bias):
    letters = "abcdefgh"[: x.ndim - 1]
    operands = ",".join(letter + "r" for letter in letters)
    product = torch.einsum(f"{operands}->{letters}r", *factors[:-1])
    return torch.tensordot(x, product, x.ndim - 1) @ factors[-1].T + bias


# %% wrong="cp_forward_by_modes" name="two more modes at most"
# From the fourth input mode on, modes are left.
def cp_forward_by_modes(x, factors, bias):
    z = torch.einsum("bi...,ir->b...r", x, factors[0])
    for factor in factors[1:3][: len(factors) - 2]:
        z = torch.einsum("bi...r,ir->b...r", z, factor)
    return z @ factors[-1].T + bias


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


# %% wrong="cp_factor_std" name="three input modes"
# The root of (512, 7, 7) for every shape.
def cp_factor_std(input_shape, rank):
    return (3 * math.prod(input_shape) * rank) ** -0.125


# %% wrong="CPTRL" name="float32 only"
# Casts to float32.
class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        std = cp_factor_std(input_shape, rank)
        sizes = (*input_shape, num_classes)
        self.factors = nn.ParameterList([std * torch.randn(n, rank) for n in sizes])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return cp_forward_by_modes(x.float(), [f.float() for f in self.factors], self.bias.float())


# %% wrong="CPTRL" name="bias in training only"
# Eval mode drops the bias.
class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        std = cp_factor_std(input_shape, rank)
        sizes = (*input_shape, num_classes)
        self.factors = nn.ParameterList([std * torch.randn(n, rank) for n in sizes])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        y = cp_forward_by_modes(x, list(self.factors), self.bias)
        return y if self.training else y - self.bias


# %% wrong="CPTRL" name="a weight beside the factors"
# Saves the full weight as well.
class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        std = cp_factor_std(input_shape, rank)
        sizes = (*input_shape, num_classes)
        self.factors = nn.ParameterList([std * torch.randn(n, rank) for n in sizes])
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.register_buffer("weight", torch.zeros(sizes))

    def forward(self, x):
        return cp_forward_by_modes(x, list(self.factors), self.bias)


# %% wrong="CPTRL" name="x in place"
# Changes the batch.
class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        std = cp_factor_std(input_shape, rank)
        sizes = (*input_shape, num_classes)
        self.factors = nn.ParameterList([std * torch.randn(n, rank) for n in sizes])
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        y = cp_forward_by_modes(x, list(self.factors), self.bias)
        x.zero_()
        return y


# %% wrong="CPTRL" name="batch remembered"
# The size of the first batch is kept for all.
class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        std = cp_factor_std(input_shape, rank)
        sizes = (*input_shape, num_classes)
        self.factors = nn.ParameterList([std * torch.randn(n, rank) for n in sizes])
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.size = None

    def forward(self, x):
        self.size = self.size or len(x)
        return cp_forward_by_modes(x, list(self.factors), self.bias)[: self.size].reshape(
            self.size, -1
        )


# %% wrong="train_cptrl_digits" name="one factor learns"
# The optimizer holds the rows alone.
def train_cptrl_digits(images, labels, rank):
    layer = CPTRL((8, 8), 10, rank)
    optimizer = torch.optim.Adam([layer.factors[0]], lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(layer(images), labels).backward()
        optimizer.step()
    return layer


# %% wrong="train_cptrl_digits" name="another layer returned"
# A new layer comes back.
def train_cptrl_digits(images, labels, rank):
    layer = CPTRL((8, 8), 10, rank)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(10):
        optimizer.zero_grad()
        nn.functional.cross_entropy(layer(images), labels).backward()
        optimizer.step()
    return CPTRL((8, 8), 10, rank)


# %% wrong="train_cptrl_digits" name="a linear layer"
# Reads the digits, and is no CP TRL.
def train_cptrl_digits(images, labels, rank):
    layer = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(layer(images), labels).backward()
        optimizer.step()
    return layer


# %% wrong="cp_flops" name="three input modes"
# Every shape is taken for three modes.
def cp_flops(batch_size, input_shape, num_classes, rank):
    a, b, c = (*input_shape, 1, 1)[:3]
    p = math.prod(input_shape)
    by_modes = 2 * batch_size * rank * (a * b * c + b * c + c + num_classes)
    return 2 * p * num_classes * (batch_size + rank), by_modes


# %% wrong="cp_flops" name="floats"
# Float division.
def cp_flops(batch_size, input_shape, num_classes, rank):
    p = math.prod(input_shape)
    by_modes, left = 0, p
    for size in input_shape:
        by_modes += 2 * batch_size * rank * left
        left = left / size
    return 2 * p * num_classes * (batch_size + rank), by_modes + 2 * batch_size * rank * num_classes


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


# %% wrong="cp_saving_rank" name="rounded to the nearest"
# round() in place of rounding down.
def cp_saving_rank(input_shape, num_classes, baseline):
    return max(round((baseline - num_classes - 1) / (sum(input_shape) + num_classes)), 0)


# %% wrong="cp_forward_rebuild" name="mode by mode"
# The other way, which never builds the weight.
def cp_forward_rebuild(x, factors, bias):
    z = torch.einsum("bi...,ir->b...r", x, factors[0])
    for factor in factors[1:-1]:
        z = torch.einsum("bi...r,ir->b...r", z, factor)
    return z @ factors[-1].T + bias


# %% wrong="CPTRL" name="all positive"
# The right mean square, and no entry below 0.
class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        sizes = (*input_shape, num_classes)
        std = (3 * math.prod(input_shape)) ** (-0.5 / len(sizes)) / rank ** (1 / len(sizes))
        self.factors = nn.ParameterList(
            [std * (math.pi / 2) ** 0.5 * torch.randn(n, rank).abs() for n in sizes]
        )
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return cp_forward_by_modes(x, list(self.factors), self.bias)


# %% wrong="CPTRL" name="stale until trained again"
# The kept weight is thrown away in train() alone.
class CPTRL(nn.Module):
    def __init__(self, input_shape, num_classes, rank):
        super().__init__()
        std = cp_factor_std(input_shape, rank)
        sizes = (*input_shape, num_classes)
        self.factors = nn.ParameterList([std * torch.randn(n, rank) for n in sizes])
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.kept = None

    def train(self, mode=True):
        if mode:
            self.kept = None
        return super().train(mode)

    def forward(self, x):
        if self.training:
            return cp_forward_by_modes(x, list(self.factors), self.bias)
        if self.kept is None:
            self.kept = [factor.detach().clone() for factor in self.factors]
        kept = [factor.to(x.dtype) for factor in self.kept]
        return cp_forward_by_modes(x, kept, self.bias)


# %% wrong="crossover_classes" name="up to 1000"
# Gives up at 1000 classes.
def crossover_classes(batch_size, input_shape, rank):
    for n in range(1, 1000):
        rebuild, by_modes = cp_flops(batch_size, input_shape, n, rank)
        if by_modes < rebuild:
            return n
    return 1000


# %% wrong="cp_saving_rank" name="capped at the inputs"
# No rank above the number of inputs.
def cp_saving_rank(input_shape, num_classes, baseline):
    rank = max((baseline - num_classes - 1) // (sum(input_shape) + num_classes), 0)
    return min(rank, math.prod(input_shape))
