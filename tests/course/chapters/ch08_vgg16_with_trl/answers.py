"""Right answers of chapter 08 that are not the course's own."""

# %% answer="freeze_network" name="module methods"
# Two methods of nn.Module, with a print left in.
def freeze_network(model):
    print("freezing", type(model).__name__)
    model.requires_grad_(False)
    model.train(False)
    return model


# %% answer="freeze_network" name="module by module"
# A loop over all modules and their own parameters.
def freeze_network(model):
    for module in model.modules():
        module.eval()
        for p in module.parameters(recurse=False):
            p.requires_grad_(False)
    return model


# %% answer="vgg_with_trl" name="identity"
# Nothing but the features is frozen, the rest goes; Identity for the classifier.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    freeze_network(model.features)
    with torch.no_grad():
        activation = model.features(torch.randn(1, 3, size, size))
    model.classifier = nn.Identity()
    model.avgpool = CPTRL(activation.shape[1:], (num_classes,), rank, dropout=dropout)
    return model


# %% answer="vgg_with_trl" name="hook and unfreeze"
# The shape from a hook; everything frozen last, then the layer unfrozen; dropout put on later.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    seen = []
    hook = model.avgpool.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    freeze_network(model)(torch.zeros(2, 3, size, size))
    hook.remove()
    _, channels, height, width = seen[0].shape
    model.classifier = nn.Sequential(*list(model.classifier.children())[:0])
    model.avgpool = CPTRL((channels, height, width), num_classes, rank)
    trlkit.tensor_dropout(model.avgpool, dropout)
    for p in model.parameters():
        p.requires_grad = False
    for p in model.avgpool.parameters():
        p.requires_grad = True
    return model


# %% answer="vgg_with_trl" name="all asleep"
# Frozen, rebuilt, and the whole network in eval mode at the end.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    model.features.requires_grad_(False).eval()
    c, h, w = model.features(torch.zeros(1, 3, size, size))[0].shape
    model.avgpool, model.classifier = CPTRL((c, h, w), num_classes, rank, dropout=dropout), nn.Flatten()
    return model.eval()


# %% answer="head_costs" name="real layers"
# Build every head on the meta device and count.
def head_costs(input_shape, num_classes, rank):
    def count(module):
        return sum(p.numel() for p in module.parameters())

    channels, height, width = input_shape
    sizes = sorted([channels, height, width, num_classes])
    with torch.device("meta"):
        own = [nn.Linear(channels * 7 * 7, 4096), nn.Linear(4096, 4096)]
        return {
            "pooled": count(nn.Linear(channels, num_classes)),
            "Linear": count(nn.Linear(channels * height * width, num_classes)),
            "classifier": count(nn.Sequential(*own, nn.Linear(4096, num_classes))),
            "TRL": count(CPTRL(input_shape, num_classes, rank)),
            "enough": count(CPTRL(input_shape, num_classes, math.prod(sizes[:-1]))),
        }


# %% answer="head_costs" name="full rank"
# With trlkit's own counts.
def head_costs(input_shape, num_classes, rank):
    from trlkit.ranks import cp_parameters, full_rank

    sizes = (*input_shape, num_classes)
    costs = dict(TRL=cp_parameters(sizes, rank), enough=0, classifier=0, Linear=0, pooled=0)
    costs["TRL"] += num_classes
    costs["enough"] = cp_parameters(sizes, full_rank(sizes, "cp")) + num_classes
    before = input_shape[0] * 49
    for after in (4096, 4096, num_classes):
        costs["classifier"] += (before + 1) * after
        before = after
    costs["Linear"] = (input_shape[0] * input_shape[1] * input_shape[2] + 1) * num_classes
    costs["pooled"] = (input_shape[0] + 1) * num_classes
    return costs


# %% answer="cached_features" name="detached"
# Detached batch by batch, joined as it goes, the mode put back.
def cached_features(backbone, batches):
    features = labels = None
    mode = backbone.training
    backbone.train(False)
    for x, y in batches:
        new = backbone(x).detach().to("cpu")
        features = new if features is None else torch.cat([features, new])
        labels = y if labels is None else torch.cat([labels, y])
    backbone.train(mode)
    return features, labels.to(device="cpu")


# %% answer="cached_features" name="inference mode"
# Inference mode and a list as the result; sample by sample.
def cached_features(backbone, batches):
    freeze_network(backbone)
    pairs = []
    with torch.inference_mode():
        for x, y in batches:
            pairs += [(backbone(one[None]), label) for one, label in zip(x, y)]
        features = torch.cat([one for one, _ in pairs])
    return [features.clone().cpu(), torch.stack([label for _, label in pairs]).cpu()]


# %% answer="cached_features" name="numpy and lists"
# By way of numpy for the features and of numbers for the labels.
def cached_features(backbone, batches):
    freeze_network(backbone)
    features, labels = [], []
    for x, y in batches:
        features += [torch.from_numpy(one.cpu().numpy()) for one in backbone(x)]
        labels += y.tolist()
    return torch.stack(features), torch.tensor(labels)


# %% answer="head_state" name="loop"
# A loop, by way of numbers.
def head_state(model):
    state = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        state[name] = torch.empty_like(p, requires_grad=False)
        state[name].copy_(p.data)
    return state


# %% answer="head_state" name="filtered state_dict"
# The state_dict, filtered by names.
def head_state(model):
    import copy
    from collections import OrderedDict

    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    state = OrderedDict((n, t) for n, t in model.state_dict().items() if n in learning)
    return copy.deepcopy(state)


# %% answer="restore_head" name="load_state_dict"
# The whole state with the new part in it, loaded strictly.
def restore_head(model, state):
    learning = [n for n, p in model.named_parameters() if p.requires_grad]
    if sorted(learning) != sorted(state):
        raise ValueError("names differ")
    try:
        model.load_state_dict({**model.state_dict(), **state})
    except RuntimeError as error:
        raise ValueError("shapes differ") from error
    return model


# %% answer="restore_head" name="by head_state"
# Compare with a snapshot of what is there; .data in place of copy_.
def restore_head(model, state):
    def kind(tensors):
        return {name: tuple(t.shape) for name, t in tensors.items()}

    if kind(head_state(model)) != kind(state):
        raise ValueError(f"expected {kind(head_state(model))}, got {kind(state)}")
    for name, tensor in state.items():
        model.get_parameter(name).data = tensor.clone()
    return model


# %% answer="pooled_head" name="convolution"
# A 1 x 1 convolution first, then the mean: a linear map and a mean can change places.
def pooled_head(channels, num_classes):
    convolution = nn.Conv2d(channels, num_classes, kernel_size=1)
    return nn.Sequential(convolution, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(1))


# %% answer="pooled_head" name="weight of channels and classes"
# A weight with the channels first.
def pooled_head(channels, num_classes):
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(num_classes))
            self.weight = nn.Parameter(torch.randn(channels, num_classes))

        def forward(self, x):
            sums = torch.einsum("bchw,cn->bn", x, self.weight)
            return sums / (x.shape[2] * x.shape[3]) + self.bias

    return Head()


# %% answer="pooled_head" name="own module"
# A module with the mean in its forward.
def pooled_head(channels, num_classes):
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(channels, num_classes)

        def forward(self, x):
            return self.fc(x.mean(dim=(-2, -1)))

    return Head()


# %% answer="FrozenBackbone" name="no grad"
# Own loop, no_grad in forward, train that does nothing but return.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.body = network
        self.body.eval()
        for p in self.body.parameters():
            p.requires_grad = False

    def train(self, mode=True):
        return self

    @torch.no_grad()
    def forward(self, x):
        return self.body(x)


# %% answer="FrozenBackbone" name="children asleep"
# The wrapper follows the mode, the network doesn't.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.net = freeze_network(network)

    def forward(self, images):
        return self.net(images)

    def train(self, mode=True):
        super().train(mode)
        self.net.eval()
        return self
