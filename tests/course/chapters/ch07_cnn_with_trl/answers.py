"""Right answers of other kinds than the solution's."""

# %% answer="conv_output_size" name="counted"
# The places themselves.
def conv_output_size(size, kernel_size, stride, padding):
    return len(range(0, size + 2 * padding - kernel_size + 1, stride))


# %% answer="conv_output_size" name="torch"
# Whatever torch makes of it.
def conv_output_size(size, kernel_size, stride, padding):
    layer = nn.Conv1d(1, 1, kernel_size, stride, padding)
    return layer(torch.zeros(1, 1, size)).shape[-1]


# %% answer="conv_output_size" name="floor"
# math.floor of a float.
def conv_output_size(size, kernel_size, stride, padding):
    return math.floor((size + 2 * padding - kernel_size) / stride + 1)


# %% answer="activation_shape" name="layers run"
# The layers themselves, on zeros.
def activation_shape(layers, input_shape):
    x = torch.zeros(1, *input_shape)
    for layer in layers:
        if layer[0] == "conv":
            x = nn.Conv2d(x.shape[1], layer[1], layer[2], layer[3], layer[4])(x)
        else:
            x = nn.MaxPool2d(layer[1], layer[2])(x)
    return tuple(x.shape[1:])


# %% answer="activation_shape" name="recursion and a list"
# The first layer, then the rest; a list for the result.
def activation_shape(layers, input_shape):
    if not layers:
        return list(input_shape)
    first, *rest = layers
    channels = first[1] if first[0] == "conv" else input_shape[0]
    window = first[2:] if first[0] == "conv" else (*first[1:], 0)
    sizes = [conv_output_size(size, *window) for size in input_shape[1:]]
    return activation_shape(rest, (channels, *sizes))


# %% answer="activation_shape" name="torch.Size"
# The shape as torch gives it, on the meta device.
def activation_shape(layers, input_shape):
    made, channels = [], input_shape[0]
    for kind, *numbers in layers:
        if kind == "conv":
            made.append(nn.Conv2d(channels, *numbers))
            channels = numbers[0]
        else:
            made.append(nn.MaxPool2d(*numbers))
    return nn.Sequential(*made)(torch.zeros(2, *input_shape))[0].shape


# %% answer="head_parameters" name="layers built"
# The layers themselves, counted.
def head_parameters(input_shape, hidden, num_classes, rank):
    import trlkit

    fc = nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(input_shape), hidden),
        nn.ReLU(),
        nn.Linear(hidden, num_classes),
    )
    trl = trlkit.CPTRL(input_shape, num_classes, rank)
    return tuple(sum(p.numel() for p in layer.parameters()) for layer in (fc, trl))


# %% answer="head_parameters" name="loops"
# Sums and products by hand, and a list.
def head_parameters(input_shape, hidden, num_classes, rank):
    flat, factors = 1, num_classes * rank
    for size in input_shape:
        flat *= size
        factors += size * rank
    return [(flat + 1) * hidden + (hidden + 1) * num_classes, factors + num_classes]


# %% answer="CNNWithTRL" name="another order"
# Layers in another order, sizes by a dry run, the functional pooling beside an unused module.
class CNNWithTRL(nn.Module):
    def __init__(self, num_classes, rank, image_size=32):
        import trlkit

        super().__init__()
        self.max_pool1 = nn.MaxPool2d(2)
        self.conv_layer2 = nn.Conv2d(32, 64, 3)
        self.conv_layer1 = nn.Conv2d(3, 32, 3)
        with torch.no_grad():
            shape = self.features(torch.zeros(1, 3, image_size, image_size)).shape[1:]
        self.trl = trlkit.CPTRL(shape, (num_classes,), rank)

    def features(self, x):
        return self.conv_layer2(nn.functional.max_pool2d(self.conv_layer1(x), 2))

    def forward(self, x):
        return self.trl(self.features(x))


# %% answer="CNNWithTRL" name="by mode"
# The formula by hand; prints on the way; another path of contraction.
class CNNWithTRL(nn.Module):
    def __init__(self, num_classes, rank, image_size=32):
        from trlkit import CPTRL

        super(CNNWithTRL, self).__init__()
        self.num_classes = num_classes
        self.conv_layer1 = nn.Conv2d(in_channels=3, out_channels=32, kernel_size=3)
        self.max_pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.conv_layer2 = nn.Conv2d(in_channels=32, out_channels=64, kernel_size=3)
        size = (image_size - 2) // 2 - 2
        print("the activation is", (64, size, size))
        self.trl = CPTRL((64, size, size), num_classes, rank, contraction="mode_by_mode")

    def forward(self, x):
        out = self.conv_layer1(x)
        out = self.max_pool1(out)
        out = self.conv_layer2(out)
        out = self.trl(out)
        return out


# %% answer="CNNWithTRL" name="surgery"
# The old layers made first and taken out again.
class CNNWithTRL(nn.Module):
    def __init__(self, num_classes, rank, image_size=32):
        import trlkit

        super().__init__()
        self.conv_layer1 = nn.Conv2d(3, 32, kernel_size=3)
        self.max_pool1 = nn.MaxPool2d(2, 2)
        self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
        self.fc1 = nn.Linear(4, 128)
        del self.fc1
        layers = [("conv", 32, 3, 1, 0), ("pool", 2, 2), ("conv", 64, 3, 1, 0)]
        shape = activation_shape(layers, (3, image_size, image_size))
        self.trl = trlkit.CPTRL(input_shape=shape, output_shape=num_classes, rank=rank)

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x


# %% answer="torchsummary_misses" name="attributes"
# As torchsummary does it: by attribute.
def torchsummary_misses(model):
    seen = 0
    for module in model.modules():
        for name in ("weight", "bias"):
            value = getattr(module, name, None)
            if isinstance(value, nn.Parameter):
                seen += value.numel()
    return seen, sum(p.numel() for p in model.parameters()) - seen


# %% answer="torchsummary_misses" name="paths"
# The last part of each path.
def torchsummary_misses(model):
    counts = {True: 0, False: 0}
    for path, parameter in model.named_parameters():
        counts[path.rpartition(".")[2] in {"weight", "bias"}] += parameter.numel()
    return [counts[True], counts[False]]


# %% answer="train_on_batch" name="cleared by the model"
# Gradients set to None on the model, before and after; nll of log softmax.
def train_on_batch(model, optimizer, x, labels):
    model = model.train()
    model.zero_grad()
    loss = nn.functional.nll_loss(torch.log_softmax(model(x), 1), labels)
    loss.backward()
    optimizer.step()
    model.zero_grad(set_to_none=True)
    return float(loss)


# %% answer="train_on_batch" name="closure"
# The optimizer calls a closure.
def train_on_batch(model, optimizer, x, labels):
    model.train()

    def closure():
        optimizer.zero_grad(set_to_none=False)
        loss = nn.CrossEntropyLoss()(model(x), labels)
        loss.backward()
        return loss

    return optimizer.step(closure).item()


# %% answer="train_on_batch" name="log softmax first"
# A log softmax in front changes nothing: its own log softmax is itself.
def train_on_batch(model, optimizer, x, labels):
    optimizer.zero_grad()
    model.train()
    loss = nn.functional.cross_entropy(model(x).log_softmax(dim=-1), labels)
    loss.backward()
    optimizer.step()
    return loss.detach().item()


# %% answer="accuracy_of" name="softmax does no harm"
# The order of the classes is the same after a softmax.
@torch.no_grad()
def accuracy_of(model, x, labels):
    was = model.training
    try:
        chosen = torch.softmax(model.eval()(x), dim=1).max(dim=1).indices
        return (chosen == labels).float().mean().item()
    finally:
        model.train(was)


# %% answer="accuracy_of" name="inference mode and a loop"
# inference_mode, one sample at a time.
def accuracy_of(model, x, labels):
    training = model.training
    model.train(False)
    right = 0
    with torch.inference_mode():
        for sample, label in zip(x, labels):
            right += int(model(sample[None]).argmax() == label)
    if training:
        model.train()
    return right / len(labels)


# %% answer="accuracy_of" name="every module's mode"
# Each module gets its own mode back.
def accuracy_of(model, x, labels):
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with torch.set_grad_enabled(False):
        right = sum((model(part).argmax(-1) == y).sum() for part, y in zip(x.split(7), labels.split(7)))
    for module, mode in modes.items():
        module.training = mode
    return float(right / labels.numel())


# %% answer="accuracy_of" name="switched off and on again"
# Without a `with`: gradients are recorded again afterwards.
def accuracy_of(model, x, labels):
    was, recorded = model.training, torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    model.eval()
    right = (model(x).argmax(dim=1) == labels).sum().item()
    torch.set_grad_enabled(recorded)
    model.train(was)
    return right / len(labels)
