"""Known answers of chapter 08."""

# %% mistake="quiz_flatten_after" name="a"
# `flatten` is a function call in `forward`: it runs in every mode.
# Look at: the shape of what the TRL gives, and what flatten(x, 1) makes of such a shape.
quiz_flatten_after = "a"

# %% mistake="quiz_flatten_after" name="b"
# An empty nn.Sequential undoes nothing: what comes in goes out.
# Look at: the shape of what the TRL gives, and what flatten(x, 1) makes of such a shape.
quiz_flatten_after = "b"

# %% mistake="quiz_flatten_after" name="d"
# It may stay. The TRL has already contracted channels, rows and columns.
# Look at: how many modes are left behind the TRL for flatten(x, 1) to join.
quiz_flatten_after = "d"

# %% right="freeze_network"
def freeze_network(model):
    for parameter in model.parameters():
        parameter.requires_grad = False
    return model.eval()

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

# %% mistake="freeze_network" name="attribute of the module"
# You set an attribute `requires_grad` on the module. Nobody reads it there: every parameter
# goes on learning.
# Look at: on which objects `requires_grad` means something.
def freeze_network(model):
    model.requires_grad = False
    return model

# %% mistake="freeze_network" name="eval only"
# Eval mode changes what dropout and batch normalization do. The parameters learn in it as before.
# Look at: `requires_grad` of the parameters after your function; `requires_grad = False` on a
# module, or under torch.no_grad(), changes none of them.
def freeze_network(model):
    return model.eval()

# %% mistake="freeze_network" name="training mode"
# No parameter learns, and the network is still in training mode: dropout drops, and batch
# normalization moves its running statistics, which are buffers and need no gradient.
# Look at: the second half of what "frozen" means.
#- model.eval()
#+ model

# %% mistake="freeze_network" name="weights only"
# You froze the weights and left the biases (and the shifts of batch normalization) learning.
# Look at: which names your loop passes over.
def freeze_network(model):
    for name, p in model.named_parameters():
        if "weight" in name:
            p.requires_grad = False
    return model.eval()

# %% mistake="freeze_network" name="features only"
# You froze one part of the network by its name. What is asked is the whole network, whatever
# its parts are called.
# Look at: whose parameters your loop goes through.
def freeze_network(model):
    part = getattr(model, "features", model)
    for p in part.parameters():
        p.requires_grad = False
    return model.eval()

# %% mistake="freeze_network" name="returns nothing"
# The network is frozen, but your function returns nothing.
# Look at: the `Returns` line of the docstring; a `return` at the end.
def freeze_network(model):
    model.requires_grad_(False)
    model.eval()

# %% mistake="freeze_network" name="top level only"
# You went through modules of the top level only. Layers lie in blocks, and blocks in blocks.
# Look at: `recurse=False`, `children()`, and what `model.parameters()` gives by itself.
def freeze_network(model):
    for layer in model.children():
        for p in layer.parameters(recurse=False):
            p.requires_grad = False
    return model.eval()

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

# %% wrong="freeze_network" name="statistics thrown away"
# Batch normalization takes those of the batch then, in eval mode too.
def freeze_network(model):
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean = m.running_var = None
    return model.requires_grad_(False).eval()

# %% wrong="freeze_network" name="a frozen copy"
# The network that came in stays as it was.
#-     for parameter
#+     import copy
#+
#+     model = copy.deepcopy(model)
#+     for parameter

# %% wrong="freeze_network" name="a copy of the frozen one"
# Both are frozen, and another one is returned.
#- return model.eval()
#+ import copy
#+
#+     return copy.deepcopy(model.eval())

# %% right="vgg_with_trl"
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential()
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

# %% answer="vgg_with_trl" name="classifier first"
# The classifier is emptied first; the shape is asked for in inference mode.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    model.classifier = nn.Sequential()
    model = model.requires_grad_(False).eval()
    with torch.inference_mode():
        _, *shape = model.features(torch.zeros(1, 3, size, size)).shape
    layer = trlkit.CPTRL(tuple(shape), output_shape=num_classes, rank=rank, dropout=dropout)
    setattr(model, "avgpool", layer)
    return model

# %% mistake="vgg_with_trl" name="new layer frozen too"
# The new layer is frozen too: nothing learns, and training changes nothing, without an error.
# Look at: the order of your lines, and what each of them freezes.
#-     model.classifier = nn.Sequential()
#+     model.classifier = nn.Sequential()
#+     for p in model.parameters():
#+         p.requires_grad = False

# %% mistake="vgg_with_trl" name="old classifier left"
# The old classifier still stands behind your layer: it gets (B, num_classes), and expects the
# flattened activation.
# Look at: what `model.classifier` must become so that what comes in goes out.
#-     model.classifier = nn.Sequential()

# %% mistake="vgg_with_trl" name="last layer of the classifier removed"
# You took the last layer off the classifier; the others still stand behind yours.
# Look at: what print(model.classifier) shows after your function. It should be empty.
#- Sequential()
#+ Sequential(*list(model.classifier.children())[:-1])

# %% mistake="vgg_with_trl" name="classifier None"
# You set the classifier to None. `forward` calls it all the same.
# Look at: a module that gives back what it gets, such as an empty nn.Sequential.
#- nn.Sequential()
#+ None

# %% mistake="vgg_with_trl" name="layer in the classifier"
# You put the new layer into the classifier, behind the pooling and the flatten: there is no
# grid left for it to see.
# Look at: which part comes first behind `features`.
#-     model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
#-     model.classifier = nn.Sequential()
#+     model.classifier = nn.Sequential(CPTRL(tuple(shape), num_classes, rank, dropout=dropout))

# %% mistake="vgg_with_trl" name="pooling kept in front"
# You kept the average pooling in front of the new layer: it blurs the activation, or copies its
# pixels, before the layer sees them.
# Look at: what `avgpool` must be, alone.
#-     shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
#-     model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
#+     shape = model.avgpool(model.features(torch.zeros(1, 3, size, size))).shape[1:]
#+     trl = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
#+     model.avgpool = nn.Sequential(model.avgpool, trl)

# %% mistake="vgg_with_trl" name="shape behind the pooling"
# You measured the shape behind the old `avgpool`, which makes one fixed grid of every
# activation. Your layer takes its place, so it gets what `features` give.
# Look at: the module whose output you measure.
#- features(torch.zeros(1, 3, size, size
#+ avgpool(model.features(torch.zeros(1, 3, size, size)

# %% mistake="vgg_with_trl" name="shape by heart"
# You wrote the shape down: (512, 7, 7) is the activation of the large VGG16 for images of
# 224 x 224 alone.
# Look at: how to get it from `features`, for the network and the size that come in.
#-     shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
#-     model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
#+     model.avgpool = CPTRL((512, 7, 7), num_classes, rank, dropout=dropout)

# %% mistake="vgg_with_trl" name="dropout left out"
# Your layer has no tensor dropout.
# Look at: which of your arguments reach CPTRL.
#- rank, dropout=dropout
#+ rank

# %% mistake="vgg_with_trl" name="probability of keeping"
# You passed 1 - dropout. `dropout` is already the probability of *dropping* a component, here
# and in CPTRL.
# Look at: what happens to the number on its way.
#- =dropout
#+ =min(1 - dropout, 0.99)

# %% mistake="vgg_with_trl" name="dropout for the bias"
# You passed the dropout by its position. The fourth argument of CPTRL is `bias`: your number
# became its truth value, and nothing is dropped.
# Look at: the call as the text above the cell writes it.
#- dropout=dropout
#+ dropout

# %% mistake="vgg_with_trl" name="batch in the shape"
# Your layer's input shape has the batch in it. A layer is made for one sample.
# Look at: the first size of the activation's shape.
#- shape[1:]
#+ shape

# %% mistake="vgg_with_trl" name="training mode"
# No parameter of the features learns, and they are still in training mode: a network with batch
# normalization or dropout in it would not give the same twice.
# Look at: the two halves of "frozen" in 8.3, and the mode at the end of your function.
#- return model
#+ return model.train()

# %% mistake="vgg_with_trl" name="nothing frozen"
# You froze nothing: all parameters learn, and the first steps of a random head spoil what the
# features know.
# Look at: `freeze_network`, and when to call it.
#-     model.requires_grad_(False).eval()
#-     shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
#+     with torch.no_grad():
#+         shape = model.eval().features(torch.zeros(1, 3, size, size)).shape[1:]

# %% mistake="vgg_with_trl" name="returns nothing"
# The surgery is done, but your function returns nothing.
# Look at: the `Returns` lines of the docstring; a `return` at the end.
#-     return model

# %% mistake="vgg_with_trl" name="a new network"
# You put the parts into a new network. What is asked is the one that came in, with two of its parts
# replaced.
# Look at: `Returns` in the docstring: *the same* network.
#- return model
#+ return nn.Sequential(model.features, model.avgpool)

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

# %% wrong="vgg_with_trl" name="a copy"
# The surgery is done to another network.
#-     model.requires_grad_
#+     import copy
#+
#+     model = copy.deepcopy(model)
#+     model.requires_grad_

# %% wrong="vgg_with_trl" name="a quarter of the size"
# The number of halvings is taken for known.
#-     shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
#-     model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
#+     channels = [m for m in model.features if isinstance(m, nn.Conv2d)][-1].out_channels
#+     model.avgpool = CPTRL((channels, size // 4, size // 4), num_classes, rank, dropout=dropout)

# %% wrong="vgg_with_trl" name="statistics moved"
# The shape is measured in training mode.
#-     model.requires_grad_(False).eval()
#+     shape = model.features(torch.zeros(2, 3, size, size)).shape[1:]
#+     model.requires_grad_(False).eval()

# %% wrong="vgg_with_trl" name="a softmax behind"
# Something follows the layer.
#- Sequential()
#+ Sequential(nn.Softmax(1))

# %% right="head_costs"
def head_costs(input_shape, num_classes, rank):
    c, h, w = input_shape
    sizes = (c, h, w, num_classes)
    own = [(c * 49, 4096), (4096, 4096), (4096, num_classes)]
    return {
        "TRL": rank * sum(sizes) + num_classes,
        "classifier": sum(i * o + o for i, o in own),
        "Linear": c * h * w * num_classes + num_classes,
        "pooled": c * num_classes + num_classes,
        "enough": math.prod(sizes) // max(sizes) * sum(sizes) + num_classes,
    }

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

# %% mistake="head_costs" name="classifier sees the activation"
# You let VGG16's classifier take the activation. Its first layer stands behind `avgpool`, which
# makes 7 x 7 of every grid, so its size doesn't depend on H and W.
# Look at: the rows of the first of the three linear layers.
#- 49
#+ h * w

# %% mistake="head_costs" name="ImageNet's classifier"
# You counted the classifier with its 1000 classes of ImageNet (that is the 123.6 million). Its
# last layer has num_classes outputs here, as the other heads.
# Look at: the last of the three linear layers.
#- , num_classes)]
#+ , 1000)]

# %% mistake="head_costs" name="biases left out"
# You left out the biases: one number for each output, in the TRL and in every linear layer.
# Look at: what is added after each product.
def head_costs(input_shape, num_classes, rank):
    c, h, w = input_shape
    sizes = (c, h, w, num_classes)
    return {
        "TRL": rank * sum(sizes),
        "classifier": c * 49 * 4096 + 4096 * 4096 + 4096 * num_classes,
        "Linear": c * h * w * num_classes,
        "pooled": c * num_classes,
        "enough": math.prod(sizes) // max(sizes) * sum(sizes),
    }

# %% mistake="head_costs" name="classes left out of the factors"
# Your TRL has no factor for the classes. The output is a mode of its weight like the others.
# Look at: how many factors a weight of shape (C, H, W, N) has.
#- "TRL": rank * sum(sizes) + num_classes,
#+ "TRL": rank * sum(input_shape) + num_classes,
#- sum(sizes)
#+ sum(input_shape)

# %% mistake="head_costs" name="channels taken for the largest"
# For the rank that is enough you always left out the channels. The mode to leave out is the
# largest of the four, and that can be the classes.
# Look at: the case with more classes than channels.
#- math.prod(sizes) // max(sizes)
#+ h * w * num_classes

# %% mistake="head_costs" name="classes not compared"
# For the rank that is enough you left out the largest of C, H and W. The classes are a mode of
# the weight too, and they can be the largest.
# Look at: the case with more classes than channels.
#- max(sizes)
#+ max(input_shape)

# %% mistake="head_costs" name="rank for its parameters"
# Under "enough" you give the rank. What is asked is the number of parameters of a CP TRL of that
# rank.
# Look at: what you did with the rank under "TRL".
#- ) * sum(sizes) + num_classes
#+ )

# %% mistake="head_costs" name="two linear layers"
# You counted two linear layers in VGG16's classifier. There are three.
# Look at: the table, or print(models.vgg16().classifier) of a network on the meta device.
#- , 4096), (4096, num_classes
#+ , num_classes

# %% wrong="head_costs" name="floats"
# A rank by division with /.
#- ) // max
#+ ) / max

# %% wrong="head_costs" name="every largest left out"
# Where two sizes are the largest, both are left out.
#- sizes) // max(sizes
#+ s for s in sizes if s != max(sizes)

# %% wrong="head_costs" name="at least 7 x 7"
# The pooling makes a larger grid smaller, too.
#- 49
#+ max(49, h * w)

# %% mistake="quiz_ten_thousand" name="a"
# It saves that much against VGG16's three layers. One Linear sees the whole activation too.
# Look at: the line "Linear" of the table.
quiz_ten_thousand = "a"

# %% mistake="quiz_ten_thousand" name="b"
# From some rank on every weight of that shape can be held exactly, and 10000 is far above it.
# Look at: what the line "enough" of the table counts, and the rank behind it.
quiz_ten_thousand = "b"

# %% mistake="quiz_ten_thousand" name="c"
# One Linear has 250,890 parameters, and this TRL over five million.
# Look at: the line "Linear" of the table.
quiz_ten_thousand = "c"

# %% right="cached_features"
def cached_features(backbone, batches):
    backbone.eval()
    features, labels = [], []
    with torch.no_grad():
        for x, y in batches:
            features.append(backbone(x).cpu())
            labels.append(y.cpu())
    return torch.cat(features), torch.cat(labels)

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

# %% answer="cached_features" name="to the backbone's device"
# The images are brought to where the backbone is.
#- backbone(x).cpu()
#+ backbone(x.to(next(backbone.parameters()).device)).cpu()

# %% mistake="cached_features" name="training mode"
# You left the backbone in training mode: dropout is on, and batch normalization takes the
# statistics of each batch and moves its own.
# Look at: the mode of the backbone before your loop.
#-     backbone.eval()
#
#- y.cpu()
#+ y

# %% mistake="cached_features" name="graph kept"
# The numbers are right, but each batch keeps its graph, and with it every activation of the
# backbone: the memory grows with each batch.
# Look at: what tells autograd to record nothing.
def cached_features(backbone, batches):
    backbone.eval()
    features, labels = [], []
    for x, y in batches:
        features.append(backbone(x))
        labels.append(y)
    return torch.cat(features), torch.cat(labels)

# %% mistake="cached_features" name="last batch only"
# You return the last batch alone: each round of your loop overwrites the one before.
# Look at: where the batches are collected.
def cached_features(backbone, batches):
    backbone.eval()
    with torch.no_grad():
        for x, y in batches:
            features, labels = backbone(x), y
    return features, labels

# %% mistake="cached_features" name="first batch only"
# You return after the first batch.
# Look at: the indentation of your `return`.
def cached_features(backbone, batches):
    backbone.eval()
    for x, y in batches:
        with torch.no_grad():
            return backbone(x), y

# %% mistake="cached_features" name="lists of batches"
# You return lists of batches. What is asked are two tensors with all samples.
# Look at: what joins tensors along their first mode.
#- return torch.cat(features), torch.cat(labels)
#+ return features, labels

# %% mistake="cached_features" name="features alone"
# You return the features alone. Without their labels nobody can train on them.
# Look at: the `Returns` lines of the docstring.
def cached_features(backbone, batches):
    backbone.eval()
    with torch.no_grad():
        return torch.cat([backbone(x) for x, y in batches])

# %% mistake="cached_features" name="flattened"
# You flattened the features. Then the TRL has no rows and columns left.
# Look at: the shape that the backbone gives.
#-             features.append(backbone(x).cpu())
#-             labels.append(y.cpu())
#+             features.append(backbone(x).flatten(1))
#+             labels.append(y)

# %% mistake="cached_features" name="images kept"
# You kept the images instead of what the backbone makes of them.
# Look at: what you append to your list.
def cached_features(backbone, batches):
    backbone.eval()
    pairs = list(batches)
    return torch.cat([x for x, y in pairs]), torch.cat([y for x, y in pairs])

# %% mistake="cached_features" name="labels first"
# You return the labels first. What is asked is (features, labels).
# Look at: the order in your `return`.
#- features), torch.cat(labels
#+ labels), torch.cat(features

# %% mistake="cached_features" name="inference mode"
# What torch.inference_mode() makes is no plain tensor: autograd refuses it, so no head can be
# trained on your features.
# Look at: torch.no_grad().
#- def cached_features(backbone, batches):
#+ @torch.inference_mode()
#+ def cached_features(backbone, batches):

# %% mistake="cached_features" name="gradients off for good"
# You switched gradients off and left them off, in the whole notebook: no cell below can train.
# Look at: `with torch.no_grad():`, which puts them back at the end of its block.
#- def cached_features(backbone, batches):
#+ def cached_features(backbone, batches):
#+     torch.set_grad_enabled(False)

# %% mistake="cached_features" name="left on the GPU"
# Features or labels stay on the device of their batches. On a GPU they would fill its memory.
# Look at: the method of a tensor that takes it to the CPU, for both.
#-             features.append(backbone(x).cpu())
#-             labels.append(y.cpu())
#+             features.append(backbone(x))
#+             labels.append(y)

# %% wrong="cached_features" name="images spoiled"
# The batch is overwritten when it is used up.
#-             labels.append(y.cpu())
#+             labels.append(y.cpu())
#+             x.zero_()

# %% wrong="cached_features" name="labels left"
# The features come to the CPU, the labels stay.
#- y.cpu()
#+ y

# %% wrong="cached_features" name="labels as floats"
# Cross entropy wants integers.
#- y.cpu())
#+ y.cpu().float())

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

# %% wrong="cached_features" name="float32"
# A backbone in float64 gives features in float32.
#- backbone(x).cpu()
#+ backbone(x).float().cpu()

# %% wrong="cached_features" name="lists of numbers"
# By way of Python's numbers: float32, whatever the backbone gives.
def cached_features(backbone, batches):
    backbone.eval()
    features, labels = [], []
    with torch.no_grad():
        for x, y in batches:
            features += backbone(x).tolist()
            labels += y.tolist()
    return torch.tensor(features), torch.tensor(labels)

# %% wrong="cached_features" name="one level down"
# A dropout in a block of a block stays awake.
#- backbone.eval()
#+ for module in (backbone, *backbone.children()):
#+         module.training = False

# %% wrong="cached_features" name="children alone"
# The backbone's own mode is left; it may ask for it.
#- backbone.eval()
#+ for child in backbone.children():
#+         child.eval()

# %% wrong="cached_features" name="squeezed"
# One image at a time, and every size 1 is lost with the batch's.
def cached_features(backbone, batches):
    backbone.eval()
    features, labels = [], []
    with torch.no_grad():
        for x, y in batches:
            features += [backbone(one[None]).squeeze().cpu() for one in x]
            labels += list(y.cpu())
    return torch.stack(features), torch.stack(labels)

# %% mistake="quiz_cache" name="a"
# Tensor dropout works on the weight of the TRL, which runs in every epoch as before.
# Look at: what is computed *before* the place of the cache.
quiz_cache = "a"

# %% mistake="quiz_cache" name="c"
# The cache is a data set like any other: its samples can come in any order.
# Look at: what is computed *before* the place of the cache.
quiz_cache = "c"

# %% mistake="quiz_cache" name="d"
# The learning rate belongs to the optimizer of the head, which runs in every epoch as before.
# Look at: what is computed *before* the place of the cache.
quiz_cache = "d"

# %% right="head_state"
def head_state(model):
    return {
        name: parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }

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

# %% mistake="head_state" name="everything"
# You saved the whole network, with the frozen parameters and the buffers.
# Look at: what tells a parameter that learns.
def head_state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}

# %% mistake="head_state" name="frozen ones"
# You saved the frozen parameters and left out those that learn.
# Look at: the condition in your loop.
def head_state(model):
    return {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}

# %% mistake="head_state" name="filtered state_dict"
# Nothing is saved: no tensor that you asked passes your condition. Those of a state_dict are detached, and none of
# them requires a gradient; and `grad` is there after a backward pass only.
# Look at: what your condition asks of the Parameters.
def head_state(model):
    return {n: t.clone() for n, t in model.state_dict().items() if t.requires_grad}

# %% mistake="head_state" name="not copied"
# Your tensors share their memory with the parameters. When training goes on, what you saved
# moves too.
# Look at: what `.detach()`, `.data` and `state_dict()` copy, and what they don't.
def head_state(model):
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}

# %% mistake="head_state" name="not detached"
# Your copies still require a gradient: they hang on the graph of the parameters, or are Parameters.
# Look at: what stands before `.clone()`, and what `copy.deepcopy` keeps.
def head_state(model):
    return {n: p.clone() for n, p in model.named_parameters() if p.requires_grad}

# %% mistake="head_state" name="Parameters themselves"
# You put the Parameters themselves into the dict. They still require a gradient, and go on
# learning in there.
# Look at: how to get a tensor of its own memory, without a graph.
def head_state(model):
    return {n: p for n, p in model.named_parameters() if p.requires_grad}

# %% mistake="head_state" name="network frozen"
# After your function the parameters of the network learn no longer.
# Look at: the methods with an underscore at the end: they change the parameter itself.
def head_state(model):
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    return {n: p.requires_grad_(False).clone() for n, p in learning.items()}

# %% mistake="head_state" name="list without names"
# You return the tensors without their names. Nobody can tell then whether they fit.
# Look at: the `Returns` line of the docstring; named_parameters().
def head_state(model):
    return [p.detach().clone() for p in model.parameters() if p.requires_grad]

# %% mistake="head_state" name="names without the way"
# Your names lack the way to the parameter: "bias" is the last part of "avgpool.bias", and two
# layers may both have one.
# Look at: the names that model.named_parameters() gives.
def head_state(model):
    return {
        n.split(".")[-1]: p.detach().clone()
        for n, p in model.named_parameters()
        if p.requires_grad
    }

# %% mistake="head_state" name="the head's own names"
# You asked the head itself for its tensors. It doesn't know where in the network it is, so the
# names lack the beginning; and the head of another network isn't called avgpool.
# Look at: who is asked for the names.
def head_state(model):
    return {n: t.clone() for n, t in model.avgpool.state_dict().items()}

# %% wrong="head_state" name="children alone"
# A parameter of the network itself is in no child.
def head_state(model):
    return {
        f"{child}.{n}": p.detach().clone()
        for child, module in model.named_children()
        for n, p in module.named_parameters()
        if p.requires_grad
    }

# %% wrong="head_state" name="whole layers"
# A layer of which the bias alone learns is saved with its weight.
def head_state(model):
    names = {n.rpartition(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    return {
        n: p.detach().clone()
        for n, p in model.named_parameters()
        if n.rpartition(".")[0] in names
    }

# %% wrong="head_state" name="float32"
# A network in float64 is saved in float32.
def head_state(model):
    learning = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return {n: p.detach().clone().float() for n, p in learning}

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

# %% right="restore_head"
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys() or any(own[n].shape != state[n].shape for n in own):
        raise ValueError("the state does not fit")
    for name, p in own.items():
        p.data.copy_(state[name].reshape(p.shape))
    return model

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

# %% mistake="restore_head" name="strict alone"
# You refuse a right state. A strict load_state_dict, for one, wants every tensor of the network,
# the frozen ones too.
# Look at: which names must be there, and which need not.
def restore_head(model, state):
    model.load_state_dict(state)
    return model

# %% mistake="restore_head" name="strict"
# You refuse a right state. A strict load_state_dict, for one, wants every tensor of the network,
# the frozen ones too.
# Look at: which names must be there, and which need not.
def restore_head(model, state):
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(str(error))
    return model

# %% mistake="restore_head" name="not strict"
# With strict=False nothing but a wrong shape is refused: where a name is missing or unknown,
# that parameter silently stays as it was.
# Look at: what load_state_dict returns, or compare the names yourself.
def restore_head(model, state):
    model.load_state_dict(state, strict=False)
    return model

# %% mistake="restore_head" name="missing names taken"
# You notice a name that nobody knows, but not one that is missing: that parameter stays random.
# Look at: both directions of the comparison.
def restore_head(model, state):
    own = {n for n, p in model.named_parameters() if p.requires_grad}
    if set(state) - own:
        raise ValueError("unknown names")
    model.load_state_dict(state, strict=False)
    return model

# %% mistake="restore_head" name="unknown names taken"
# You notice a name that is missing, but not one that doesn't belong there.
# Look at: both directions of the comparison.
def restore_head(model, state):
    own = {n for n, p in model.named_parameters() if p.requires_grad}
    if own - set(state):
        raise ValueError("names are missing")
    model.load_state_dict(state, strict=False)
    return model

# %% mistake="restore_head" name="frozen ones taken"
# You compare with the names of the whole network. A state with a frozen parameter in it would
# change the backbone.
# Look at: which parameters the state may hold.
def restore_head(model, state):
    own = {n for n, p in model.named_parameters() if p.requires_grad}
    if own - set(state) or set(state) - set(model.state_dict()):
        raise ValueError("names differ")
    model.load_state_dict(state, strict=False)
    return model

# %% mistake="restore_head" name="by position"
# You take the tensors in the order of the dict. A dict may have any order; its names say what
# belongs where.
# Look at: how each parameter finds its tensor.
def restore_head(model, state):
    own = [p for p in model.parameters() if p.requires_grad]
    if len(own) != len(state):
        raise ValueError("another number of tensors")
    for p, t in zip(own, state.values()):
        p.data = t.clone()
    return model

# %% mistake="restore_head" name="new parameters"
# You put new Parameter objects in the place of the old ones. An optimizer that was made before
# goes on with the old ones.
# Look at: how to write numbers into a tensor that is there.
#-     for name, p in own.items():
#-         p.data.copy_(state[name].reshape(p.shape))
#+     for name, tensor in state.items():
#+         path, _, last = name.rpartition(".")
#+         setattr(model.get_submodule(path), last, nn.Parameter(tensor.clone()))

# %% mistake="restore_head" name="shapes not compared"
# `copy_` broadcasts: a tensor of shape (1, R) fills every row of (N, R) without a word.
# Look at: the shapes, before you copy.
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys():
        raise ValueError("the names differ")
    with torch.no_grad():
        for name, p in own.items():
            p.copy_(state[name])
    return model

# %% mistake="restore_head" name="entries counted"
# You compare the numbers of entries, or the sizes in any order, and not the shapes: a factor
# that comes transposed has as many, in other places.
# Look at: what `.shape` says of both.
#- shape != state[n].shape
#+ numel() != state[n].numel()

# %% mistake="restore_head" name="names in order"
# A right state is refused when its names come in another order. A dict may have any.
# Look at: does your function compare the names in their order, or hand out the tensors in theirs? Sets, or keys(),
# compare names without their order, and a parameter finds its tensor by its name.
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if list(own) != list(state) or any(own[n].shape != state[n].shape for n in own):
        raise ValueError("the state does not fit")
    model.load_state_dict(state, strict=False)
    return model

# %% mistake="restore_head" name="tensors in order"
# A right state is refused when its names come in another order. A dict may have any.
# Look at: does your function compare the names in their order, or hand out the tensors in theirs? Sets, or keys(),
# compare names without their order, and a parameter finds its tensor by its name.
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys():
        raise ValueError("the names differ")
    for p, tensor in zip(own.values(), state.values()):
        if p.shape != tensor.shape:
            raise ValueError("the shapes differ")
        p.data.copy_(tensor)
    return model

# %% mistake="restore_head" name="shared"
# You made the state's tensors those of the parameters. They share their memory now, and the
# saved state moves with the next training.
# Look at: what copies numbers, and what only gives a tensor another name.
#- p.data.copy_(state[name].reshape(p.shape))
#+ p.data = state[name]

# %% mistake="restore_head" name="assert"
# You refuse with an AssertionError (an assert). What is asked is a ValueError, and
# `except ValueError` would miss yours.
# Look at: `raise`.
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert own.keys() == state.keys()
    assert all(own[n].shape == state[n].shape for n in own)
    model.load_state_dict(state, strict=False)
    return model

# %% mistake="restore_head" name="RuntimeError for the shape"
# A wrong name is refused with a ValueError, a wrong shape with the RuntimeError of
# load_state_dict or copy_.
# Look at: the `Raises` line of the docstring; the shapes, before you load.
def restore_head(model, state):
    own = {n for n, p in model.named_parameters() if p.requires_grad}
    if own != set(state):
        raise ValueError("the names differ")
    model.load_state_dict(state, strict=False)
    return model

# %% mistake="restore_head" name="returns nothing"
# The state is loaded, but your function returns nothing.
# Look at: the `Returns` line of the docstring; a `return` at the end.
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys():
        raise ValueError("the names differ")
    model.load_state_dict(state, strict=False)

# %% wrong="restore_head" name="a copy"
# The network that came in stays as it was.
#-     own =
#+     import copy
#+
#+     model = copy.deepcopy(model)
#+     own =

# %% wrong="restore_head" name="as many rows"
# The first size is compared alone; one column fills the others.
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys() or any(len(own[n]) != len(state[n]) for n in own):
        raise ValueError("the state does not fit")
    try:
        for name, p in own.items():
            p.data.copy_(state[name])
    except RuntimeError as error:
        raise ValueError("the state does not fit") from error
    return model

# %% wrong="restore_head" name="emptied"
# The state is used up.
#- raise ValueError("the state does not fit")
#+ raise ValueError
#- [name].reshape(p.shape
#+ .pop(name

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

# %% wrong="restore_head" name="buffers taken"
# A frozen parameter is refused, a buffer is not.
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    known = own.keys() | {n for n, _ in model.named_buffers()}
    if own.keys() - state.keys() or state.keys() - known:
        raise ValueError
    if any(own[n].shape != state[n].shape for n in own):
        raise ValueError
    model.load_state_dict(state, strict=False)
    return model

# %% right="equal_rivals"
def equal_rivals(input_shape, num_classes, budget):
    channels, height, width = input_shape
    left = budget - num_classes
    trl = sum(input_shape) + num_classes
    mixing = channels + 1 + height * width * num_classes
    bottleneck = channels * height * width + 1 + num_classes
    found = {
        "TRL": left // trl,
        "mixing": left // mixing,
        "bottleneck": left // bottleneck,
    }
    return {name: max(0, k) for name, k in found.items()}

# %% answer="equal_rivals" name="counted layers"
# Real layers on the meta device, wider and wider.
def equal_rivals(input_shape, num_classes, budget):
    channels, height, width = input_shape
    places = height * width

    def mixing(k):
        return nn.Conv2d(channels, k, 1), nn.Linear(k * places, num_classes)

    def bottleneck(k):
        return nn.Linear(channels * places, k), nn.Linear(k, num_classes)

    def size(layers):
        return sum(p.numel() for layer in layers for p in layer.parameters())

    found = {"TRL": max(0, (budget - num_classes) // (sum(input_shape) + num_classes))}
    with torch.device("meta"):
        for name, make in (("mixing", mixing), ("bottleneck", bottleneck)):
            found[name] = 0
            while size(make(found[name] + 1)) <= budget:
                found[name] += 1
    return found

# %% answer="equal_rivals" name="by halves"
# The largest width by bisection.
def equal_rivals(input_shape, num_classes, budget):
    channels, places = input_shape[0], math.prod(input_shape[1:])
    costs = {
        "TRL": lambda k: k * (sum(input_shape) + num_classes) + num_classes,
        "mixing": lambda k: k * channels + k + k * places * num_classes + num_classes,
        "bottleneck": lambda k: channels * places * k + k + k * num_classes + num_classes,
    }
    found = {}
    for name, cost in costs.items():
        low, high = 0, budget + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if cost(middle) <= budget else (low, middle)
        found[name] = low
    return found

# %% mistake="equal_rivals" name="biases of the classes forgotten"
# You spend the whole budget on what grows with the width. Each kind also has a bias for each class,
# whatever its width is: where a head fits exactly, yours is one too wide.
# Look at: what a head of width 0 would have.
#- budget - num_classes
#+ budget

# %% mistake="equal_rivals" name="bias of the convolution forgotten"
# Your "mixing" is too wide at times: the convolution has a bias for each of its K channels.
# Look at: the parameters of nn.Conv2d(C, K, 1).
#- channels + 1 + height
#+ channels + height

# %% mistake="equal_rivals" name="bias of the narrow layer forgotten"
# Your "bottleneck" is too wide at times: its first layer has a bias for each of its K outputs.
# Look at: the parameters of nn.Linear(C * H * W, K).
#- width + 1 + num_classes
#+ width + num_classes

# %% mistake="equal_rivals" name="classes at one place"
# Your "mixing" counts the linear layer as if it saw the mean over the places. It has weights for
# each place.
# Look at: what `nn.Flatten` makes of (K, H, W).
#- height * width * num_classes
#+ num_classes

# %% mistake="equal_rivals" name="below nothing"
# Where the budget is smaller than the biases, your widths are negative.
# Look at: the case in which nothing fits.
#- max(0, k)
#+ k

# %% mistake="equal_rivals" name="rounded"
# You round to the nearest width. Half of the time that is one more than the budget allows.
# Look at: `/` and `round`, and what "at most" asks for.
#- left // trl
#+ round(left / trl)
#- left // mixing
#+ round(left / mixing)
#- left // bottleneck
#+ round(left / bottleneck)

# %% wrong="equal_rivals" name="below a hundred"
# A loop with an end of its own.
def equal_rivals(input_shape, num_classes, budget):
    channels, height, width = input_shape
    each = {
        "TRL": sum(input_shape) + num_classes,
        "mixing": channels + 1 + height * width * num_classes,
        "bottleneck": channels * height * width + 1 + num_classes,
    }
    return {
        name: max(k for k in range(100) if k == 0 or k * numbers + num_classes <= budget)
        for name, numbers in each.items()
    }

# %% wrong="equal_rivals" name="at least one"
# A head of width 1 where nothing fits.
#- max(0, k)
#+ max(1, k)

# %% wrong="equal_rivals" name="the factor of the classes left out"
# The TRL's last factor is not counted.
#- sum(input_shape) + num_classes
#+ sum(input_shape)

# %% right="pooled_head"
def pooled_head(channels, num_classes):
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(channels, num_classes)

        def forward(self, x):
            return self.fc(x.mean(dim=(-2, -1)))

    return Head()

# %% answer="pooled_head" name="convolution"
# A 1 x 1 convolution first, then the mean: a linear map and a mean can change places.
def pooled_head(channels, num_classes):
    convolution = nn.Conv2d(channels, num_classes, kernel_size=1)
    return nn.Sequential(convolution, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(1))

# %% answer="pooled_head" name="weight of channels and classes"
# A weight with the channels first.
#-             self.pool = nn.AdaptiveAvgPool2d(1)
#-             self.fc = nn.Linear(channels, num_classes)
#+             self.bias = nn.Parameter(torch.zeros(num_classes))
#+             self.weight = nn.Parameter(torch.randn(channels, num_classes))
#-             return self.fc(x.mean(dim=(-2, -1)))
#+             sums = torch.einsum("bchw,cn->bn", x, self.weight)
#+             return sums / (x.shape[2] * x.shape[3]) + self.bias

# %% answer="pooled_head" name="own module"
# A module with the mean in its forward.
#-             self.pool = nn.AdaptiveAvgPool2d(1)

# %% mistake="pooled_head" name="largest instead of mean"
# You take the largest number of each channel. What is asked is the mean.
# Look at: the kind of pooling.
def pooled_head(channels, num_classes):
    pool = nn.AdaptiveMaxPool2d(1)
    return nn.Sequential(pool, nn.Flatten(), nn.Linear(channels, num_classes))

# %% mistake="pooled_head" name="not flattened"
# Behind the pooling there are still two modes of size 1, and the linear layer takes the last
# mode for the features.
# Look at: the shape between the pooling and the linear layer.
def pooled_head(channels, num_classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Linear(channels, num_classes))

# %% mistake="pooled_head" name="squeezed"
# `squeeze()` removes every mode of size 1: for a batch of one sample the batch too.
# Look at: which modes to join or to remove, by their numbers.
#- x.mean(dim=(-2, -1)
#+ self.pool(x).squeeze(

# %% mistake="pooled_head" name="no bias"
# Your linear layer has no bias.
# Look at: the last line of the docstring.
def pooled_head(channels, num_classes):
    fc = nn.Linear(channels, num_classes, bias=False)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), fc)

# %% mistake="pooled_head" name="softmax at the end"
# You end with a softmax. The loss of a classifier takes its own; a head gives plain scores.
# Look at: what stands behind your linear layer.
def pooled_head(channels, num_classes):
    fc = nn.Linear(channels, num_classes)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), fc, nn.Softmax(dim=1))

# %% mistake="pooled_head" name="pooled to 7 x 7"
# You pool to 7 x 7, as VGG16 does, and flatten that: the linear layer would need 49 times the
# weights. *Global* pooling leaves one number for each channel.
# Look at: the size that the pooling makes.
def pooled_head(channels, num_classes):
    fc = nn.Linear(channels * 49, num_classes)
    return nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten(), fc)

# %% mistake="pooled_head" name="summed"
# You sum each channel. The mean divides by the number of pixels.
# Look at: what H * W does to your numbers.
#- mean(dim=(-2, -1
#+ sum(dim=(2, 3

# %% wrong="pooled_head" name="viewed"
# The places of transposed images cannot be joined without a copy.
#- x.mean(dim=(-2, -1))
#+ x.view(x.shape[0], x.shape[1], -1).mean(-1)

# %% wrong="pooled_head" name="detached"
# What stands before the head could not learn with it.
#- x.mean(dim=(-2, -1))
#+ x.mean(dim=(-2, -1)).detach()

# %% wrong="pooled_head" name="one head for all"
# Two heads of one size share their weights.
MADE = {}


def pooled_head(channels, num_classes):
    if (channels, num_classes) not in MADE:
        layers = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)
        MADE[channels, num_classes] = nn.Sequential(*layers)
    return MADE[channels, num_classes]

# %% wrong="pooled_head" name="mean of the rows"
# One of the two modes is left.
#- (-2, -1))
#+ -1)[..., 0]

# %% wrong="pooled_head" name="two layers"
# More parameters than asked.
def pooled_head(channels, num_classes):
    layers = nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, num_classes)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers)

# %% wrong="pooled_head" name="a ReLU behind the mean"
# Negative means are lost.
#- self.fc(x.mean(dim=(-2, -1)))
#+ self.fc(x.mean(dim=(-2, -1)).relu())

# %% right="worth_of_places"
def worth_of_places(split, learn, shuffle, seeds):
    from trlkit.lab.statistics import interval

    def right(head, photographs, truth):
        with torch.no_grad():
            return 100 * (head(photographs).argmax(1) == truth).double().mean().item()

    used, needed = [], []
    for seed in seeds:
        x, labels, unseen, truth = split(seed)
        mixed = shuffle(unseen, seed)
        head = learn(x, labels, seed)
        without = learn(shuffle(x, seed), labels, seed)
        plain = right(head, unseen, truth)
        used.append(plain - right(head, mixed, truth))
        needed.append(plain - right(without, mixed, truth))
    used, needed = interval(used), interval(needed)
    if abs(needed[0]) > needed[1]:
        return used, needed, "needed" if needed[0] > 0 else "in the way"
    return used, needed, "used" if used[0] > used[1] else "not shown"

# %% answer="worth_of_places" name="tables"
# All scores first, other seeds for the shuffling, counts for means, lists.
def worth_of_places(split, learn, shuffle, seeds):
    from trlkit.lab.statistics import interval

    scores = {"plain": [], "shown shuffled": [], "learned shuffled": []}
    for seed in seeds:
        x, labels, unseen, truth = split(seed)
        usual = learn(x, labels, seed).eval()
        other = learn(shuffle(x, seed + 100), labels, seed).eval()
        mixed = shuffle(unseen, seed + 200)
        tried = ((usual, unseen), (usual, mixed), (other, mixed))
        for name, (head, shown) in zip(scores, tried):
            hits = (head(shown).argmax(dim=1) == truth).sum()
            scores[name].append(100 * hits.item() / len(truth))
    plain, shown, learned = scores.values()
    used = interval([a - b for a, b in zip(plain, shown)])
    needed = interval([a - b for a, b in zip(plain, learned)])
    says = "not shown"
    if used[0] > used[1]:
        says = "used"
    if needed[0] > needed[1]:
        says = "needed"
    if needed[0] < -needed[1]:
        says = "in the way"
    return [list(used), list(needed), says]

# %% answer="worth_of_places" name="batches and float32"
# One photograph at a time, means in float32, both heads trained first, arrays for intervals.
def worth_of_places(split, learn, shuffle, seeds):
    import numpy

    from trlkit.lab.statistics import interval

    def share(head, shown, truth):
        read = torch.cat([head(one[None]) for one in shown]).argmax(1)
        return (read == truth).float().mean() * 100

    rows = []
    for seed in seeds:
        x, labels, unseen, truth = split(seed)
        heads = [learn(data, labels, seed) for data in (shuffle(x, seed), x)]
        mixed = shuffle(unseen, seed)
        rows.append(
            [share(h, s, truth).item() for h, s in ((heads[1], unseen), (heads[1], mixed), (heads[0], mixed))]
        )
    plain, used, needed = numpy.array(rows).T
    used, needed = interval(plain - used), interval(plain - needed)
    low, high = needed[0] - needed[1], needed[0] + needed[1]
    if low > 0 or high < 0:
        return used, needed, "needed" if low > 0 else "in the way"
    return used, needed, "used" if used[0] - used[1] > 0 else "not shown"

# %% mistake="worth_of_places" name="one head for both"
# You never train on shuffled photographs. What a head loses that has learned *with* the places is what
# it uses; whether it could do without them it was not asked.
# Look at: how many heads you train for a seed, and on what.
#- learn(shuffle(x, seed), labels, seed)
#+ head

# %% mistake="worth_of_places" name="shown with their places"
# Your second head learned from shuffled photographs, and you show it unseen ones with their places in order.
# Look at: what it is measured on.
#- right(without, mixed, truth)
#+ right(without, unseen, truth)

# %% mistake="worth_of_places" name="another start"
# The two heads of a pair start by different seeds. The luck of the start does not cancel then.
# Look at: the last argument of both calls of `learn`.
#- labels, seed)
#-         plain
#+ labels, seed + 1)
#+         plain

# %% mistake="worth_of_places" name="one split for all"
# You draw the photographs once, and all seeds share them. The interval then knows nothing of the luck of the photographs.
# Look at: which seed `split` gets.
#- split(seed)
#+ split(seeds[0])

# %% mistake="worth_of_places" name="two splits"
# The second head learns from another half than the first, and what that one learned from may be what this one is
# measured on.
# Look at: how often you call `split` for a seed, and with what.
#-         without = learn(shuffle(x, seed), labels, seed)
#+         other, others, _, _ = split(seed + 1)
#+         without = learn(shuffle(other, seed), others, seed)

# %% mistake="worth_of_places" name="measured on what was learned from"
# You measure on the photographs that the heads have learned from.
# Look at: which of the four that `split` gives you go into the measurement.
#- x, labels, unseen, truth = split(seed)
#+ x, labels, _, _ = split(seed)
#+         unseen, truth = x, labels

# %% mistake="worth_of_places" name="learned from unseen"
# You train on the photographs that are there to measure on.
# Look at: what you give to `learn`.
#- learn(x, labels, seed)
#+ learn(torch.cat([x, unseen]), torch.cat([labels, truth]), seed)

# %% mistake="worth_of_places" name="sign"
# Your differences have the other sign. Points *lost* are those of the head that saw the places, minus the others.
# Look at: the order of both subtractions, and whether you count what is read right or what is read wrong.
#- plain - right(head, mixed, truth)
#+ right(head, mixed, truth) - plain
#- plain - right(without, mixed, truth)
#+ right(without, mixed, truth) - plain

# %% mistake="worth_of_places" name="standard deviation"
# Your half is the standard deviation of the differences: how far *one* pair lies from the mean. The mean of all is
# known better than that.
# Look at: what `interval` divides by, and what it multiplies with.
#-     used, needed = interval(used), interval(needed)
#+     from statistics import fmean, stdev
#+
#+     used, needed = (fmean(used), stdev(used)), (fmean(needed), stdev(needed))

# %% mistake="worth_of_places" name="not paired"
# Your interval is that of the second measurement, set against the *mean* of the first: the luck of each seed is still
# in it.
# Look at: what you subtract from what, before it goes into `interval`.
#-     used, needed = [], []
#+     used, needed, plains = [], [], []
#- used.append(plain - right(head, mixed, truth))
#+ plains.append(plain)
#+         used.append(right(head, mixed, truth))
#- needed.append(plain - right(without, mixed, truth))
#+ needed.append(right(without, mixed, truth))
#-     used, needed = interval(used), interval(needed)
#+     mean = sum(plains) / len(plains)
#+     used = interval([mean - share for share in used])
#+     needed = interval([mean - share for share in needed])

# %% mistake="worth_of_places" name="one seed"
# You ran one seed. One pair has no interval: the half is infinite, and nothing can be shown.
# Look at: what your loop runs over.
#- in seeds:
#+ in seeds[:1]:

# %% mistake="worth_of_places" name="shares"
# You counted shares between 0 and 1. Points are asked for: percent.
# Look at: a factor of a hundred.
#- return 100 * (
#+ return (

# %% mistake="worth_of_places" name="the mean decides"
# Your word follows the mean alone. An interval that holds 0 shows nothing.
# Look at: both ends of the interval of what is needed.
#-     if abs(needed[0]) > needed[1]:
#-         return used, needed, "needed" if needed[0] > 0 else "in the way"
#-     return used, needed, "used" if used[0] > used[1] else "not shown"
#+     if needed[0]:
#+         return used, needed, "needed" if needed[0] > 0 else "in the way"
#+     return used, needed, "used" if used[0] > 0 else "not shown"

# %% mistake="worth_of_places" name="used is needed"
# You say "needed" where a head uses the places and does as well without.
# Look at: which of the two intervals the word "needed" speaks of.
#-     if abs(needed[0]) > needed[1]:
#-         return used, needed, "needed" if needed[0] > 0 else "in the way"
#-     return used, needed, "used" if used[0] > used[1] else "not shown"
#+     if needed[0] < -needed[1]:
#+         return used, needed, "in the way"
#+     return used, needed, "needed" if used[0] > used[1] else "not shown"

# %% mistake="worth_of_places" name="never in the way"
# Where the whole interval of what is needed lies below 0, you say something else than "in the way".
# Look at: the table of words, the sign of the mean, and which row you ask first.
#-     if abs(needed[0]) > needed[1]:
#-         return used, needed, "needed" if needed[0] > 0 else "in the way"
#+     if needed[0] > needed[1]:
#+         return used, needed, "needed"

# %% mistake="worth_of_places" name="used below 0"
# You say "used" where the heads read *more* of shuffled photographs: the interval lies below 0, and it is asked to
# lie above.
# Look at: `abs`.
#- used[0] > used[1]
#+ abs(used[0]) > used[1]

# %% mistake="worth_of_places" name="an end at 0"
# You find something where the interval ends at 0, as that of heads that are blind to places does: mean and half are 0.
# It holds 0.
# Look at: `<` and `<=`.
#- abs(needed[0]) > needed[1]
#+ abs(needed[0]) >= needed[1]

# %% wrong="worth_of_places" name="own seeds"
# As many seeds as were given, but others.
#- in seeds:
#+ in range(len(seeds)):

# %% wrong="worth_of_places" name="a start for all"
# The same start for every seed.
#- head = learn(x, labels, seed)
#+ head = learn(x, labels, 0)
#- learn(shuffle(x, seed), labels, seed)
#+ learn(shuffle(x, seed), labels, 0)

# %% wrong="worth_of_places" name="both kinds in one training"
# The second head learns from shuffled photographs and from those that are not.
#- learn(shuffle(x, seed), labels, seed)
#+ learn(torch.cat([x, shuffle(x, seed)]), torch.cat([labels, labels]), seed)

# %% wrong="worth_of_places" name="needed against the shuffled measurement"
# The gain by the second training, in place of what is still missing.
#- needed.append(plain - right(without, mixed, truth))
#+ needed.append(right(without, mixed, truth) - right(head, mixed, truth))

# %% mistake="worth_of_places" name="training mode"
# You measure in training mode: a head that has dropout drops while it is measured.
# Look at: the mode that `learn` gives a head in, and what you do to it.
#- head(photographs)
#+ head.train()(photographs)

# %% mistake="worth_of_places" name="shuffled by one seed"
# Every pair is shuffled by the same seed. The interval then knows nothing of the luck of the shuffling.
# Look at: the last argument of `shuffle`, and what the docstring says of `seeds`.
#- mixed = shuffle(unseen, seed)
#+ mixed = shuffle(unseen, 0)
#- learn(shuffle(x, seed), labels, seed)
#+ learn(shuffle(x, 0), labels, seed)

# %% wrong="worth_of_places" name="seeds of its own to shuffle by"
# Another result in each run.
#- mixed = shuffle(unseen, seed)
#+ mixed = shuffle(unseen, int(torch.randint(10**6, ())))

# %% wrong="worth_of_places" name="one order for all photographs"
# A shuffling of its own, alike for all photographs.
#- mixed = shuffle(unseen, seed)
#+ order = torch.randperm(unseen[0, 0].numel(), generator=torch.Generator().manual_seed(seed))
#+         if order.equal(order.sort().values):
#+             order = order.flip(0)
#+         mixed = unseen.flatten(2)[:, :, order].reshape(unseen.shape)

# %% wrong="worth_of_places" name="mirrored"
# Left and right exchanged, in place of a shuffling.
#- mixed = shuffle(unseen, seed)
#+ mixed = unseen.flip(3)

# %% wrong="worth_of_places" name="mirrored once"
# What is used is measured on mirrored photographs, what is needed on shuffled ones.
#- right(head, mixed, truth)
#+ right(head, unseen.flip(3), truth)

# %% wrong="worth_of_places" name="six seeds"
# The number of seeds written down.
#-     used, needed = interval(used), interval(needed)
#+     used, needed = (sum(used) / 6, interval(used)[1]), (sum(needed) / 6, interval(needed)[1])

# %% wrong="worth_of_places" name="used before in the way"
# The rows of the table in another order.
#-     if abs(needed[0]) > needed[1]:
#-         return used, needed, "needed" if needed[0] > 0 else "in the way"
#-     return used, needed, "used" if used[0] > used[1] else "not shown"
#+     if needed[0] > needed[1]:
#+         return used, needed, "needed"
#+     if used[0] > used[1]:
#+         return used, needed, "used"
#+     return used, needed, "in the way" if needed[0] < -needed[1] else "not shown"

# %% right="hundred_numbers"
def hundred_numbers(input_shape, num_classes):
    class Signs(nn.Module):
        def __init__(self, channels):
            super().__init__()
            drawn = torch.randn(channels, 9, generator=torch.Generator().manual_seed(0))
            self.signs = 3 * drawn.sign() / math.sqrt(channels)
            self.linear = nn.Linear(9, num_classes)

        def forward(self, x):
            return self.linear(x.mean((2, 3)) @ self.signs)

    return Signs(input_shape[0])

# %% answer="hundred_numbers" name="dealt out"
# Channels dealt to nine sums with alternating signs, by a reshape.
def hundred_numbers(input_shape, num_classes):
    class Dealt(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(9, num_classes)

        def forward(self, x):
            z = x.mean((2, 3))
            rows = -(-z.shape[1] // 9)
            z = nn.functional.pad(z, (0, 9 * rows - z.shape[1])).reshape(len(x), rows, 9)
            signs = 1.0 - 2 * (torch.arange(rows) % 2)
            return self.linear(5 * torch.einsum("bkj,k->bj", z, signs) / rows**0.5)

    return Dealt()

# %% answer="hundred_numbers" name="cosines"
# Nine waves along the channels.
def hundred_numbers(input_shape, num_classes):
    class Waves(nn.Module):
        def __init__(self, channels):
            super().__init__()
            place, wave = torch.arange(channels)[:, None] + 0.5, 7 * torch.arange(1, 10)
            self.waves = 3 * torch.cos(math.pi / channels * place * wave) * (2 / channels) ** 0.5
            self.linear = nn.Linear(9, num_classes)

        def forward(self, x):
            return self.linear(x.mean((2, 3)) @ self.waves)

    return Waves(input_shape[0])

# %% mistake="hundred_numbers" name="average pooling"
# The means of all channels and a linear layer are what 5,130 numbers are for.
# Look at: your parameters, added up.
def hundred_numbers(input_shape, num_classes):
    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*pooled, nn.Linear(input_shape[0], num_classes))

# %% mistake="hundred_numbers" name="a TRL of rank 1"
# Even a TRL of rank 1 has a number for each of the 512 channels.
# Look at: the first of its factors.
def hundred_numbers(input_shape, num_classes):
    return CPTRL(input_shape, num_classes, rank=1)

# %% mistake="hundred_numbers" name="signs in a buffer"
# Your fixed matrix is a buffer, and buffers count: they are kept with the head.
# Look at: what follows from a seed, and need not be kept.
#- self.signs = 3 * drawn.sign() / math.sqrt(channels)
#+ self.register_buffer("signs", 3 * drawn.sign() / math.sqrt(channels))

# %% mistake="hundred_numbers" name="drawn anew for each head"
# Your head draws numbers, other ones in each head, which are in no parameter and no buffer: saved and loaded it gives
# something else.
# Look at: the generator that they are drawn with.
#- torch.randn(channels, 9, generator=torch.Generator().manual_seed(0))
#+ torch.randn(channels, 9)

# %% mistake="hundred_numbers" name="nine channels"
# For (512, 4, 4) your head fits, and isn't ahead of the rival by a point.
# Look at: how many of the 512 channels reach it, how different its inputs are from one another, and how large.
#- x.mean((2, 3)) @ self.signs
#+ x[:, :9].mean((2, 3))

# %% wrong="hundred_numbers" name="plain groups"
# Nine groups of channels, averaged: all nearly alike.
#- drawn.sign()
#+ (torch.arange(channels)[:, None] % 9 == torch.arange(9)).float()

# %% wrong="hundred_numbers" name="one number too many"
# 101 numbers.
#- self.linear = nn.Linear(9, num_classes)
#+ self.linear = nn.Linear(9, num_classes)
#+             self.scale = nn.Parameter(torch.ones(()))
#- return self.linear(
#+ return self.scale * self.linear(

# %% wrong="hundred_numbers" name="probabilities"
# A softmax at the end.
#- return self.linear(x.mean((2, 3)) @ self.signs)
#+ return self.linear(x.mean((2, 3)) @ self.signs).softmax(1)

# %% wrong="hundred_numbers" name="for 512 channels"
# Sizes written down.
#- Signs(input_shape[0])
#+ Signs(512)

# %% wrong="hundred_numbers" name="squeezed"
# A batch of one loses its batch mode.
#- return self.linear(x.mean((2, 3)) @ self.signs)
#+ return self.linear(x.mean((2, 3)) @ self.signs).squeeze()

# %% wrong="hundred_numbers" name="measured by the batch"
# The logits of a photograph depend on the others; alone it has no spread.
#- return self.linear(x.mean((2, 3)) @ self.signs)
#+ z = x.mean((2, 3)) @ self.signs
#+             return self.linear((z - z.mean(0)) / z.std(0, correction=0))

# %% wrong="hundred_numbers" name="drawn in each call"
# The same photograph gets other logits each time.
#- x.mean((2, 3)) @ self.signs
#+ x.mean((2, 3)) @ torch.randn_like(self.signs).sign()

# %% wrong="hundred_numbers" name="dropout that is never off"
# The function drops in eval mode too, unless it is told not to.
#- x.mean((2, 3)) @ self.signs
#+ nn.functional.dropout(x.mean((2, 3)), 0.1) @ self.signs

# %% wrong="hundred_numbers" name="a running mean beside"
# 512 learned numbers in an attribute that is neither parameter nor buffer.
#- return self.linear(x.mean((2, 3)) @ self.signs)
#+ z = x.mean((2, 3))
#+             new = z.detach().mean(0)
#+             if not hasattr(self, "mean"):
#+                 self.mean = new
#+             elif self.training:
#+                 self.mean = 0.9 * self.mean + 0.1 * new
#+             return self.linear((z - self.mean) @ self.signs)

# %% right="FrozenBackbone"
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode=True):
        return super().train(False)

    def forward(self, x):
        return self.network(x)

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

# %% answer="FrozenBackbone" name="eval for each batch"
# The mode is set for each batch and put back.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network.requires_grad_(False)

    def forward(self, x):
        was = {m: m.training for m in self.network.modules()}
        result = self.network.eval()(x)
        for m, mode in was.items():
            m.training = mode
        return result

# %% answer="FrozenBackbone" name="only down"
# A train that hands on nothing but eval.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network.requires_grad_(False).eval()

    def forward(self, x):
        return self.network(x)

    def train(self, mode=True):
        if not mode:
            super().train(False)
        return self

# %% answer="FrozenBackbone" name="to the network's device"
# The images are brought to where the network is.
#- return self.network(x)
#+ return self.network(x.to(next(self.network.parameters()).device))

# %% mistake="FrozenBackbone" name="eval once"
# The network inside wakes up with the next .train() of whoever holds it: eval mode at the start
# doesn't last, and the wrapper's own mode is not that of its children.
# Look at: the method of nn.Module that is called then, and that you can override.
#-     def train(self, mode=True):
#-         return super().train(False)
#-

# %% mistake="FrozenBackbone" name="parameters learn"
# It stays in eval mode, but its parameters learn: eval mode has no say in that, and
# torch.no_grad() in `forward` doesn't tell the optimizer either.
# Look at: `requires_grad` of the network's parameters.
#- ).requires_grad_(False)
#+ )

# %% mistake="FrozenBackbone" name="train without return"
# Your `train` returns nothing. nn.Module's returns the module, so that calls can be chained.
# Look at: the end of your `train`.
#- return super
#+ super

# %% mistake="FrozenBackbone" name="hidden in a list"
# You hide the network, in a list or past nn.Module's own way. It stays asleep so, but it is no part
# of your module: .to(device) doesn't move it, and parameters() doesn't know it.
# Look at: what nn.Module registers: modules that are attributes themselves.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.hidden = [network.eval().requires_grad_(False)]

    def forward(self, x):
        return self.hidden[0](x)

# %% mistake="FrozenBackbone" name="batch norm only"
# You put the batch normalizations to sleep and left the dropouts awake.
# Look at: which other modules behave differently in training mode.
#- .eval().
#+ .
#-         return super().train(False)
#+         super().train(mode)
#+         for m in self.network.modules():
#+             if isinstance(m, nn.BatchNorm2d):
#+                 m.eval()
#+         return self

# %% mistake="FrozenBackbone" name="asleep from the first train"
# Your module puts the network to sleep when .train() comes. Until then it is as awake as it came.
# Look at: what your __init__ does to the network.
#- .eval().
#+ .

# %% mistake="FrozenBackbone" name="frozen later"
# When your module has just been made, the network in it learns. An optimizer that is made then takes its parameters.
# Look at: what your __init__ does to the network.
#- self.network = network.eval().requires_grad_(False)
#+ self.network = network

# %% mistake="FrozenBackbone" name="copy"
# You keep a copy. The network that came in goes on learning, and takes its memory twice.
# Look at: the first lines of the docstring: *it* becomes a part of this module.
#-         self.network = network.eval().requires_grad_(False)
#+         import copy
#+
#+         self.network = copy.deepcopy(network).eval().requires_grad_(False)

# %% mistake="FrozenBackbone" name="train returns the network"
# Your `train` returns the network inside. nn.Module's returns the module itself, so that calls can
# be chained.
# Look at: the end of your `train`.
#-         return super().train(False)
#+         super().train(mode)
#+         return self.network.eval()

# %% wrong="FrozenBackbone" name="another default"
# Eval mode is the default; whoever holds the module says `train(True)` to it.
#-     def train(self, mode=True):
#-         return super().train(False)
#+     def train(self, mode=False):
#+         return super().train(mode)

# %% mistake="FrozenBackbone" name="inference mode"
# What torch.inference_mode() makes is no plain tensor: autograd refuses it, so no layer behind your
# module can be trained.
# Look at: what the frozen parameters do by themselves, or torch.no_grad().
#-         return self.network(x)
#+         with torch.inference_mode():
#+             return self.network(x)

# %% wrong="FrozenBackbone" name="children alone"
# The network's own mode is left; it may ask for it.
#-         return super().train(False)
#+         super().train(mode)
#+         for child in self.network.children():
#+             child.eval()
#+         return self

# %% wrong="FrozenBackbone" name="one level down"
# A dropout in a block of a block wakes up.
#-         return super().train(False)
#+         super().train(mode)
#+         self.network.training = False
#+         for child in self.network.children():
#+             child.training = False
#+         return self

# %% wrong="FrozenBackbone" name="train without a mode"
# Whoever holds the module hands a mode on to it.
#- def train(self, mode=True):
#+ def train(self):

# %% wrong="FrozenBackbone" name="train by eval"
# eval() calls train(False).
#- return super().train(False)
#+ return self.eval()

# %% wrong="FrozenBackbone" name="float32"
# A network in float64 gives float32.
#- return self.network(x)
#+ return self.network(x).float()

# %% wrong="FrozenBackbone" name="frozen by the first batch"
# Before the first batch its parameters learn.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network.requires_grad_(False).eval()(x)

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

# %% wrong="FrozenBackbone" name="awake in eval mode"
# The network gets the other mode.
#- return super().train(False)
#+ super().train(mode)
#+         self.network.train(not mode)
#+         return self
