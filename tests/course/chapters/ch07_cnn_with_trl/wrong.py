"""Wrong answers that only the rarer cases catch."""

# %% wrong="conv_output_size" name="a stride as large as the kernel at most"
# The window is taken for as wide as its stride.
def conv_output_size(size, kernel_size, stride, padding):
    return (size + 2 * padding - max(kernel_size, stride)) // stride + 1


# %% wrong="activation_shape" name="three by three"
# Convolutions take off two pixels, always.
def activation_shape(layers, input_shape):
    channels, height, width = input_shape
    for kind, *numbers in layers:
        if kind == "conv":
            channels, height, width = numbers[0], height - 2, width - 2
        else:
            height, width = (conv_output_size(size, *numbers, 0) for size in (height, width))
    return channels, height, width


# %% wrong="activation_shape" name="nothing for no layer"
# Without a layer nothing comes back.
def activation_shape(layers, input_shape):
    for kind, *numbers in layers:
        channels = numbers[0] if kind == "conv" else input_shape[0]
        window = numbers[1:] if kind == "conv" else (*numbers, 0)
        input_shape = (channels, *(conv_output_size(size, *window) for size in input_shape[1:]))
        result = input_shape
    return result if layers else None


# %% wrong="CNNWithTRL" name="super forgotten"
# nn.Module is never set up.
class CNNWithTRL(nn.Module):
    def __init__(self, num_classes, rank, image_size=32):
        self.conv_layer1 = nn.Conv2d(3, 32, kernel_size=3)


# %% wrong="CNNWithTRL" name="ceil"
# Right for images of an even size.
class CNNWithTRL(nn.Module):
    def __init__(self, num_classes, rank, image_size=32):
        import trlkit

        super().__init__()
        self.conv_layer1 = nn.Conv2d(3, 32, kernel_size=3)
        self.max_pool1 = nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True)
        self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
        size = (image_size - 1) // 2 - 2
        self.trl = trlkit.CPTRL((64, size, size), num_classes, rank)

    def forward(self, x):
        return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))


# %% wrong="CNNWithTRL" name="features cut off"
# The convolutions never learn.
class CNNWithTRL(nn.Module):
    def __init__(self, num_classes, rank, image_size=32):
        import trlkit

        super().__init__()
        self.conv_layer1 = nn.Conv2d(3, 32, kernel_size=3)
        self.max_pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
        size = (image_size - 2) // 2 - 2
        self.trl = trlkit.CPTRL((64, size, size), num_classes, rank)

    def forward(self, x):
        with torch.no_grad():
            x = self.conv_layer2(self.max_pool1(self.conv_layer1(x)))
        return self.trl(x)


# %% wrong="CNNWithTRL" name="squeezed"
# A batch of one loses its batch mode.
class CNNWithTRL(nn.Module):
    def __init__(self, num_classes, rank, image_size=32):
        import trlkit

        super().__init__()
        self.conv_layer1 = nn.Conv2d(3, 32, kernel_size=3)
        self.max_pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
        size = (image_size - 2) // 2 - 2
        self.trl = trlkit.CPTRL((64, size, size), num_classes, rank)

    def forward(self, x):
        return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x)))).squeeze()


# %% wrong="CNNWithTRL" name="other names"
# The layers have other names than the text asks for.
class CNNWithTRL(nn.Module):
    def __init__(self, num_classes, rank, image_size=32):
        import trlkit

        super().__init__()
        size = (image_size - 2) // 2 - 2
        trl = trlkit.CPTRL((64, size, size), num_classes, rank)
        self.layers = nn.Sequential(nn.Conv2d(3, 32, 3), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), trl)

    def forward(self, x):
        return self.layers(x)


# %% wrong="CNNWithTRL" name="no module"
# A function that builds the layers.
def CNNWithTRL(num_classes, rank, image_size=32):
    return [nn.Conv2d(3, 32, 3), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3)]


# %% wrong="torchsummary_misses" name="TRLs only"
# Everything in a TRL is missed, its bias too.
def torchsummary_misses(model):
    import trlkit

    missed = sum(
        p.numel() for m in model.modules() if isinstance(m, trlkit.TRL) for p in m.parameters()
    )
    return sum(p.numel() for p in model.parameters()) - missed, missed


# %% wrong="torchsummary_misses" name="layers with a weight"
# A layer that has a weight counts whole.
def torchsummary_misses(model):
    seen = sum(
        p.numel() for m in model.modules() if hasattr(m, "weight") for p in m.parameters()
    )
    return seen, sum(p.numel() for p in model.parameters()) - seen


# %% wrong="train_on_batch" name="its own optimizer"
# A plain gradient step, whatever optimizer comes.
def train_on_batch(model, optimizer, x, labels):
    model.train()
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), labels)
    loss.backward()
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.1 * p.grad
    return loss.item()


# %% wrong="train_on_batch" name="back to eval"
# The model is put back into the mode it came in.
def train_on_batch(model, optimizer, x, labels):
    was = model.training
    model.train()
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), labels)
    loss.backward()
    optimizer.step()
    model.train(was)
    return loss.item()


# %% wrong="accuracy_of" name="classes along the batch"
# The greatest along the batch.
def accuracy_of(model, x, labels):
    was = model.training
    model.eval()
    with torch.no_grad():
        share = (model(x).argmax(dim=0) == labels).double().mean().item()
    model.train(was)
    return share


# %% wrong="accuracy_of" name="detached"
# The gradients are recorded and then thrown away.
def accuracy_of(model, x, labels):
    was = model.training
    share = (model.eval()(x).detach().argmax(dim=1) == labels).double().mean().item()
    model.train(was)
    return share


# %% wrong="accuracy_of" name="mode of the root alone"
# Only the outermost module gets its mode back.
def accuracy_of(model, x, labels):
    was = model.training
    model.eval()
    with torch.no_grad():
        share = (model(x).argmax(dim=1) == labels).double().mean().item()
    model.training = was
    return share


# %% wrong="CNNWithTRL" name="the old activation function left in"
# relu1 is still a child; nothing calls it.
class CNNWithTRL(nn.Module):
    def __init__(self, num_classes, rank, image_size=32):
        import trlkit

        super().__init__()
        self.conv_layer1 = nn.Conv2d(3, 32, kernel_size=3)
        self.max_pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
        self.relu1 = nn.ReLU()
        size = (image_size - 2) // 2 - 2
        self.trl = trlkit.CPTRL((64, size, size), num_classes, rank)

    def forward(self, x):
        return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))


# %% wrong="torchsummary_misses" name="frozen on the way"
# Right numbers, and a network that no longer learns.
def torchsummary_misses(model):
    model.requires_grad_(False)
    counts = {True: 0, False: 0}
    for path, parameter in model.named_parameters():
        counts[path.rpartition(".")[2] in ("weight", "bias")] += parameter.numel()
    return counts[True], counts[False]


# %% wrong="torchsummary_misses" name="in eval mode on the way"
# Right numbers, and a network in another mode.
def torchsummary_misses(model):
    counts = {True: 0, False: 0}
    for path, parameter in model.eval().named_parameters():
        counts[path.rpartition(".")[2] in ("weight", "bias")] += parameter.numel()
    return counts[True], counts[False]


# %% wrong="train_on_batch" name="flattened on the way"
# The batch is made a matrix: a convolution takes no matrix.
def train_on_batch(model, optimizer, x, labels):
    model.train()
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x.flatten(1)), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


# %% wrong="accuracy_of" name="flattened on the way"
# The batch is made a matrix: a convolution takes no matrix.
def accuracy_of(model, x, labels):
    was = model.training
    model.eval()
    with torch.no_grad():
        share = (model(x.flatten(1)).argmax(dim=1) == labels).double().mean().item()
    model.train(was)
    return share


# %% wrong="accuracy_of" name="two decimals"
# Rounded: 0.756 would be 0.76.
def accuracy_of(model, x, labels):
    was = model.training
    model.eval()
    with torch.no_grad():
        share = (model(x).argmax(dim=1) == labels).double().mean().item()
    model.train(was)
    return round(share, 2)


# %% wrong="accuracy_of" name="gradients thrown away"
# What waits for an optimizer's step is gone.
def accuracy_of(model, x, labels):
    was = model.training
    model.eval()
    model.zero_grad()
    with torch.no_grad():
        share = (model(x).argmax(dim=1) == labels).double().mean().item()
    model.train(was)
    return share
