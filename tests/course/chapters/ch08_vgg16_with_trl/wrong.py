"""Wrong answers that only the rarer cases catch."""

# %% wrong="freeze_network" name="eval of the top level"
# The mode of the children is not touched.
def freeze_network(model):
    model.requires_grad_(False)
    model.training = False
    return model


# %% wrong="freeze_network" name="toggled"
# What was frozen before learns again.
def freeze_network(model):
    for p in model.parameters():
        p.requires_grad = not p.requires_grad
    return model.eval()


# %% wrong="freeze_network" name="zeroed"
# The weights are lost on the way.
def freeze_network(model):
    for p in model.parameters():
        p.data.zero_()
    return model.requires_grad_(False).eval()


# %% wrong="freeze_network" name="statistics of a fresh one"
# The buffers lose their values.
def freeze_network(model):
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.reset_running_stats()
    return model.requires_grad_(False).eval()


# %% wrong="freeze_network" name="children alone"
# A parameter of the network itself learns on.
def freeze_network(model):
    for child in model.children():
        child.requires_grad_(False)
    return model.eval()


# %% wrong="freeze_network" name="weights and biases by name"
# The factors of a TRL have other names.
def freeze_network(model):
    for name, p in model.named_parameters():
        if name.endswith(("weight", "bias")):
            p.requires_grad_(False)
    return model.eval()


# %% wrong="vgg_with_trl" name="never in eval mode"
# The shape is measured on a copy, and the features stay in training mode.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    import copy

    from trlkit import CPTRL

    model.requires_grad_(False)
    shape = copy.deepcopy(model.features)(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential()
    return model


# %% wrong="vgg_with_trl" name="a quarter of the size"
# The number of halvings is taken for known.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    channels = [m for m in model.features if isinstance(m, nn.Conv2d)][-1].out_channels
    model.avgpool = CPTRL((channels, size // 4, size // 4), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential()
    return model


# %% wrong="vgg_with_trl" name="statistics moved"
# The shape is measured in training mode.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    shape = model.features(torch.zeros(2, 3, size, size)).shape[1:]
    model.requires_grad_(False).eval()
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential()
    return model


# %% wrong="vgg_with_trl" name="a softmax behind"
# Something follows the layer.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential(nn.Softmax(1))
    return model


# %% wrong="head_costs" name="floats"
# A rank by division with /.
def head_costs(input_shape, num_classes, rank):
    c, h, w = input_shape
    sizes = (c, h, w, num_classes)
    own = [(c * 49, 4096), (4096, 4096), (4096, num_classes)]
    return {
        "TRL": rank * sum(sizes) + num_classes,
        "classifier": sum(i * o + o for i, o in own),
        "Linear": c * h * w * num_classes + num_classes,
        "pooled": c * num_classes + num_classes,
        "enough": math.prod(sizes) / max(sizes) * sum(sizes) + num_classes,
    }


# %% wrong="head_costs" name="every largest left out"
# Where two sizes are the largest, both are left out.
def head_costs(input_shape, num_classes, rank):
    c, h, w = input_shape
    sizes = (c, h, w, num_classes)
    own = [(c * 49, 4096), (4096, 4096), (4096, num_classes)]
    return {
        "TRL": rank * sum(sizes) + num_classes,
        "classifier": sum(i * o + o for i, o in own),
        "Linear": c * h * w * num_classes + num_classes,
        "pooled": c * num_classes + num_classes,
        "enough": math.prod(s for s in sizes if s != max(sizes)) * sum(sizes) + num_classes,
    }


# %% wrong="cached_features" name="images spoiled"
# The batch is overwritten when it is used up.
def cached_features(backbone, batches):
    backbone.eval()
    features, labels = [], []
    with torch.no_grad():
        for x, y in batches:
            features.append(backbone(x).cpu())
            labels.append(y.cpu())
            x.zero_()
    return torch.cat(features), torch.cat(labels)


# %% wrong="cached_features" name="labels left"
# The features come to the CPU, the labels stay.
def cached_features(backbone, batches):
    backbone.eval()
    features, labels = [], []
    with torch.no_grad():
        for x, y in batches:
            features.append(backbone(x).cpu())
            labels.append(y)
    return torch.cat(features), torch.cat(labels)


# %% wrong="cached_features" name="labels as floats"
# Cross entropy wants integers.
def cached_features(backbone, batches):
    backbone.eval()
    features, labels = [], []
    with torch.no_grad():
        for x, y in batches:
            features.append(backbone(x).cpu())
            labels.append(y.cpu().float())
    return torch.cat(features), torch.cat(labels)


# %% wrong="head_state" name="float32"
# A network in float64 is saved in float32.
def head_state(model):
    learning = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return {n: p.detach().clone().float() for n, p in learning}


# %% wrong="restore_head" name="emptied"
# The state is used up.
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys() or any(own[n].shape != state[n].shape for n in own):
        raise ValueError
    for name, p in own.items():
        p.data.copy_(state.pop(name))
    return model


# %% wrong="restore_head" name="transposed where it fits"
# Sizes are compared in any order.
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys():
        raise ValueError
    for name, p in own.items():
        if sorted(p.shape) != sorted(state[name].shape):
            raise ValueError
        p.data.copy_(state[name] if p.shape == state[name].shape else state[name].T)
    return model


# %% wrong="restore_head" name="KeyError"
# An unknown name is a KeyError.
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    for name in state:
        if name not in own:
            raise KeyError(name)
    if len(own) != len(state) or any(own[n].shape != state[n].shape for n in own):
        raise ValueError
    model.load_state_dict(state, strict=False)
    return model


# %% wrong="FrozenBackbone" name="frozen by the first batch"
# Before the first batch its parameters learn.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network.requires_grad_(False).eval()(x)


# %% wrong="cached_features" name="full batches only"
# Only batches of the first one's size are kept.
def cached_features(backbone, batches):
    backbone.eval()
    with torch.no_grad():
        pairs = [(backbone(x), y) for x, y in batches]
    pairs = [(x, y) for x, y in pairs if len(x) == len(pairs[0][0])]
    return torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])


# %% wrong="cached_features" name="two passes"
# The batches are gone through twice.
def cached_features(backbone, batches):
    backbone.eval()
    with torch.no_grad():
        features = torch.cat([backbone(x) for x, _ in batches])
    return features, torch.cat([y for _, y in batches])


# %% wrong="cached_features" name="stacked"
# torch.stack and reshape: batches of one size only.
def cached_features(backbone, batches):
    backbone.eval()
    with torch.no_grad():
        pairs = [(backbone(x), y) for x, y in batches]
    return torch.stack([x for x, _ in pairs]).flatten(0, 1), torch.stack(
        [y for _, y in pairs]
    ).flatten()


# %% wrong="head_state" name="avgpool by name"
# Another network's head has another name.
def head_state(model):
    return {f"avgpool.{n}": t.clone() for n, t in model.avgpool.state_dict().items()}


# %% wrong="head_state" name="layers that learn, with their buffers"
# A batch normalization that learns brings its running statistics.
def head_state(model):
    names = {n.rpartition(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    return {
        n: t.clone() for n, t in model.state_dict().items() if n.rpartition(".")[0] in names
    }


# %% wrong="restore_head" name="avgpool by name"
# Another network's head has another name.
def restore_head(model, state):
    model.avgpool.load_state_dict({n.removeprefix("avgpool."): t for n, t in state.items()})
    return model


# %% wrong="restore_head" name="number of tensors"
# As many tensors as parameters that learn, whatever their names.
def restore_head(model, state):
    learning = [n for n, p in model.named_parameters() if p.requires_grad]
    unknown = set(state) - set(model.state_dict())
    if len(learning) != len(state) or unknown:
        raise ValueError
    for name, tensor in state.items():
        p = model.get_parameter(name)
        p.data = tensor.clone()
    return model


# %% wrong="pooled_head" name="mean of the rows"
# One of the two modes is left.
def pooled_head(channels, num_classes):
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(channels, num_classes)

        def forward(self, x):
            return self.fc(x.mean(dim=-1)[..., 0])

    return Head()


# %% wrong="pooled_head" name="two layers"
# More parameters than asked.
def pooled_head(channels, num_classes):
    layers = nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, num_classes)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers)


# %% wrong="FrozenBackbone" name="a copy"
# The network that came in is left as it was, and learns.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def train(self, mode=True):
        return super().train(False)

    def forward(self, x):
        return self.network(x).detach()


# %% wrong="FrozenBackbone" name="flags of today"
# Only what is in training mode when it is made is put to sleep, once more before each pass.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network.requires_grad_(False)
        self.awake = [m for m in network.modules() if m.training]

    def forward(self, x):
        for m in self.awake:
            m.training = False
        return self.network(x)
