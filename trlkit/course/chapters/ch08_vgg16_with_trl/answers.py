"""Usual mistakes of chapter 08."""

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
def freeze_network(model):
    for p in model.parameters():
        p.requires_grad = False
    return model


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


# %% mistake="freeze_network" name="copy"
# You froze a copy. The network that came in goes on learning.
# Look at: `in place` in the docstring.
def freeze_network(model):
    import copy

    model = copy.deepcopy(model)
    model.requires_grad_(False)
    return model.eval()


# %% mistake="freeze_network" name="top level only"
# You went through modules of the top level only. Layers lie in blocks, and blocks in blocks.
# Look at: `recurse=False`, `children()`, and what `model.parameters()` gives by itself.
def freeze_network(model):
    for layer in model.children():
        for p in layer.parameters(recurse=False):
            p.requires_grad = False
    return model.eval()


# %% mistake="vgg_with_trl" name="new layer frozen too"
# You froze everything after the new layer was in, so it is frozen too: nothing learns, and
# training changes nothing, without an error.
# Look at: the order of your lines.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    with torch.no_grad():
        shape = model.eval().features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential()
    for p in model.parameters():
        p.requires_grad = False
    return model


# %% mistake="vgg_with_trl" name="old classifier left"
# The old classifier still stands behind your layer: it gets (B, num_classes), and expects the
# flattened activation.
# Look at: what `model.classifier` must become so that what comes in goes out.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    return model


# %% mistake="vgg_with_trl" name="last layer of the classifier removed"
# You took the last layer off the classifier; the others still stand behind yours.
# Look at: what print(model.classifier) shows after your function. It should be empty.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential(*list(model.classifier.children())[:-1])
    return model


# %% mistake="vgg_with_trl" name="classifier None"
# You set the classifier to None. `forward` calls it all the same.
# Look at: a module that gives back what it gets, such as an empty nn.Sequential.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = None
    return model


# %% mistake="vgg_with_trl" name="layer in the classifier"
# You put the new layer into the classifier, behind the pooling and the flatten: there is no
# grid left for it to see.
# Look at: which part comes first behind `features`.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
    model.classifier = nn.Sequential(CPTRL(tuple(shape), num_classes, rank, dropout=dropout))
    return model


# %% mistake="vgg_with_trl" name="pooling kept in front"
# You kept the average pooling in front of the new layer: it blurs the activation, or copies its
# pixels, before the layer sees them.
# Look at: what `avgpool` must be, alone.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.avgpool(model.features(torch.zeros(1, 3, size, size))).shape[1:]
    trl = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.avgpool = nn.Sequential(model.avgpool, trl)
    model.classifier = nn.Sequential()
    return model


# %% mistake="vgg_with_trl" name="shape behind the pooling"
# You measured the shape behind the old `avgpool`, which makes one fixed grid of every
# activation. Your layer takes its place, so it gets what `features` give.
# Look at: the module whose output you measure.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.avgpool(model.features(torch.zeros(1, 3, size, size))).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential()
    return model


# %% mistake="vgg_with_trl" name="shape by heart"
# You wrote the shape down: (512, 7, 7) is the activation of the large VGG16 for images of
# 224 x 224 alone.
# Look at: how to get it from `features`, for the network and the size that come in.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    model.avgpool = CPTRL((512, 7, 7), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential()
    return model


# %% mistake="vgg_with_trl" name="dropout left out"
# Your layer has no tensor dropout.
# Look at: whether every argument of your function is used.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank)
    model.classifier = nn.Sequential()
    return model


# %% mistake="vgg_with_trl" name="probability of keeping"
# You passed 1 - dropout. `dropout` is already the probability of *dropping* a component, here
# and in CPTRL.
# Look at: what happens to the number on its way.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=min(1 - dropout, 0.99))
    model.classifier = nn.Sequential()
    return model


# %% mistake="vgg_with_trl" name="dropout for the bias"
# You passed the dropout by its position. The fourth argument of CPTRL is `bias`: your number
# became its truth value, and nothing is dropped.
# Look at: the call as the text above the cell writes it.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout)
    model.classifier = nn.Sequential()
    return model


# %% mistake="vgg_with_trl" name="batch in the shape"
# Your layer's input shape has the batch in it. A layer is made for one sample.
# Look at: the first size of the activation's shape.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.features(torch.zeros(1, 3, size, size)).shape
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential()
    return model


# %% mistake="vgg_with_trl" name="training mode"
# No parameter of the features learns, and they are still in training mode: a network with batch
# normalization or dropout in it would not give the same twice.
# Look at: the two halves of "frozen" in 8.3, and the mode at the end of your function.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential()
    return model.train()


# %% mistake="vgg_with_trl" name="nothing frozen"
# You froze nothing: all parameters learn, and the first steps of a random head spoil what the
# features know.
# Look at: `freeze_network`, and when to call it.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    with torch.no_grad():
        shape = model.eval().features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential()
    return model


# %% mistake="vgg_with_trl" name="returns nothing"
# The surgery is done, but your function returns nothing.
# Look at: the `Returns` lines of the docstring; a `return` at the end.
def vgg_with_trl(model, num_classes, rank, dropout, size):
    from trlkit import CPTRL

    model.requires_grad_(False).eval()
    shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential()


# %% mistake="head_costs" name="classifier sees the activation"
# You let VGG16's classifier take the activation. Its first layer stands behind `avgpool`, which
# makes 7 x 7 of every grid, so its size doesn't depend on H and W.
# Look at: the rows of the first of the three linear layers.
def head_costs(input_shape, num_classes, rank):
    c, h, w = input_shape
    sizes = (c, h, w, num_classes)
    own = [(c * h * w, 4096), (4096, 4096), (4096, num_classes)]
    return {
        "TRL": rank * sum(sizes) + num_classes,
        "classifier": sum(i * o + o for i, o in own),
        "Linear": c * h * w * num_classes + num_classes,
        "pooled": c * num_classes + num_classes,
        "enough": math.prod(sizes) // max(sizes) * sum(sizes) + num_classes,
    }


# %% mistake="head_costs" name="ImageNet's classifier"
# You counted the classifier with its 1000 classes of ImageNet (that is the 123.6 million). Its
# last layer has num_classes outputs here, as the other heads.
# Look at: the last of the three linear layers.
def head_costs(input_shape, num_classes, rank):
    c, h, w = input_shape
    sizes = (c, h, w, num_classes)
    own = [(c * 49, 4096), (4096, 4096), (4096, 1000)]
    return {
        "TRL": rank * sum(sizes) + num_classes,
        "classifier": sum(i * o + o for i, o in own),
        "Linear": c * h * w * num_classes + num_classes,
        "pooled": c * num_classes + num_classes,
        "enough": math.prod(sizes) // max(sizes) * sum(sizes) + num_classes,
    }


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
def head_costs(input_shape, num_classes, rank):
    c, h, w = input_shape
    sizes = (c, h, w, num_classes)
    own = [(c * 49, 4096), (4096, 4096), (4096, num_classes)]
    return {
        "TRL": rank * sum(input_shape) + num_classes,
        "classifier": sum(i * o + o for i, o in own),
        "Linear": c * h * w * num_classes + num_classes,
        "pooled": c * num_classes + num_classes,
        "enough": math.prod(sizes) // max(sizes) * sum(input_shape) + num_classes,
    }


# %% mistake="head_costs" name="channels taken for the largest"
# For the rank that is enough you always left out the channels. The mode to leave out is the
# largest of the four, and that can be the classes.
# Look at: the case with more classes than channels.
def head_costs(input_shape, num_classes, rank):
    c, h, w = input_shape
    sizes = (c, h, w, num_classes)
    own = [(c * 49, 4096), (4096, 4096), (4096, num_classes)]
    return {
        "TRL": rank * sum(sizes) + num_classes,
        "classifier": sum(i * o + o for i, o in own),
        "Linear": c * h * w * num_classes + num_classes,
        "pooled": c * num_classes + num_classes,
        "enough": h * w * num_classes * sum(sizes) + num_classes,
    }


# %% mistake="head_costs" name="classes not compared"
# For the rank that is enough you left out the largest of C, H and W. The classes are a mode of
# the weight too, and they can be the largest.
# Look at: the case with more classes than channels.
def head_costs(input_shape, num_classes, rank):
    c, h, w = input_shape
    sizes = (c, h, w, num_classes)
    own = [(c * 49, 4096), (4096, 4096), (4096, num_classes)]
    return {
        "TRL": rank * sum(sizes) + num_classes,
        "classifier": sum(i * o + o for i, o in own),
        "Linear": c * h * w * num_classes + num_classes,
        "pooled": c * num_classes + num_classes,
        "enough": math.prod(sizes) // max(input_shape) * sum(sizes) + num_classes,
    }


# %% mistake="head_costs" name="rank for its parameters"
# Under "enough" you give the rank. What is asked is the number of parameters of a CP TRL of that
# rank.
# Look at: what you did with the rank under "TRL".
def head_costs(input_shape, num_classes, rank):
    c, h, w = input_shape
    sizes = (c, h, w, num_classes)
    own = [(c * 49, 4096), (4096, 4096), (4096, num_classes)]
    return {
        "TRL": rank * sum(sizes) + num_classes,
        "classifier": sum(i * o + o for i, o in own),
        "Linear": c * h * w * num_classes + num_classes,
        "pooled": c * num_classes + num_classes,
        "enough": math.prod(sizes) // max(sizes),
    }


# %% mistake="head_costs" name="two linear layers"
# You counted two linear layers in VGG16's classifier. There are three.
# Look at: the table, or print(models.vgg16().classifier) of a network on the meta device.
def head_costs(input_shape, num_classes, rank):
    c, h, w = input_shape
    sizes = (c, h, w, num_classes)
    own = [(c * 49, 4096), (4096, num_classes)]
    return {
        "TRL": rank * sum(sizes) + num_classes,
        "classifier": sum(i * o + o for i, o in own),
        "Linear": c * h * w * num_classes + num_classes,
        "pooled": c * num_classes + num_classes,
        "enough": math.prod(sizes) // max(sizes) * sum(sizes) + num_classes,
    }


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


# %% mistake="cached_features" name="training mode"
# You left the backbone in training mode: dropout is on, and batch normalization takes the
# statistics of each batch and moves its own.
# Look at: the mode of the backbone before your loop.
def cached_features(backbone, batches):
    features, labels = [], []
    with torch.no_grad():
        for x, y in batches:
            features.append(backbone(x))
            labels.append(y)
    return torch.cat(features), torch.cat(labels)


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
def cached_features(backbone, batches):
    backbone.eval()
    features, labels = [], []
    with torch.no_grad():
        for x, y in batches:
            features.append(backbone(x))
            labels.append(y)
    return features, labels


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
def cached_features(backbone, batches):
    backbone.eval()
    features, labels = [], []
    with torch.no_grad():
        for x, y in batches:
            features.append(backbone(x).flatten(1))
            labels.append(y)
    return torch.cat(features), torch.cat(labels)


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
def cached_features(backbone, batches):
    backbone.eval()
    features, labels = [], []
    with torch.no_grad():
        for x, y in batches:
            features.append(backbone(x).cpu())
            labels.append(y.cpu())
    return torch.cat(labels), torch.cat(features)


# %% mistake="cached_features" name="inference mode"
# What torch.inference_mode() makes is no plain tensor: autograd refuses it, so no head can be
# trained on your features.
# Look at: torch.no_grad().
@torch.inference_mode()
def cached_features(backbone, batches):
    backbone.eval()
    features, labels = [], []
    for x, y in batches:
        features.append(backbone(x).cpu())
        labels.append(y.cpu())
    return torch.cat(features), torch.cat(labels)


# %% mistake="cached_features" name="gradients off for good"
# You switched gradients off and left them off, in the whole notebook: no cell below can train.
# Look at: `with torch.no_grad():`, which puts them back at the end of its block.
def cached_features(backbone, batches):
    torch.set_grad_enabled(False)
    backbone.eval()
    features, labels = [], []
    for x, y in batches:
        features.append(backbone(x).cpu())
        labels.append(y.cpu())
    return torch.cat(features), torch.cat(labels)


# %% mistake="cached_features" name="left on the GPU"
# Features or labels stay on the device of their batches. On a GPU they would fill its memory.
# Look at: the method of a tensor that takes it to the CPU, for both.
def cached_features(backbone, batches):
    backbone.eval()
    features, labels = [], []
    with torch.no_grad():
        for x, y in batches:
            features.append(backbone(x))
            labels.append(y)
    return torch.cat(features), torch.cat(labels)


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
# You asked the tensors of the state_dict whether they learn. They are detached already: none of
# them requires a gradient, so nothing is saved.
# Look at: where the Parameters themselves can be had with their names.
def head_state(model):
    return {n: t.clone() for n, t in model.state_dict().items() if t.requires_grad}


# %% mistake="head_state" name="not copied"
# Your tensors share their memory with the parameters. When training goes on, what you saved
# moves too.
# Look at: what `.detach()`, `.data` and `state_dict()` copy, and what they don't.
def head_state(model):
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}


# %% mistake="head_state" name="not detached"
# Your copies still hang on the graph of the parameters.
# Look at: what stands before `.clone()`.
def head_state(model):
    return {n: p.clone() for n, p in model.named_parameters() if p.requires_grad}


# %% mistake="head_state" name="Parameters themselves"
# You put the Parameters themselves into the dict. They still require a gradient, and go on
# learning in there.
# Look at: how to get a tensor of its own memory, without a graph.
def head_state(model):
    return {n: p for n, p in model.named_parameters() if p.requires_grad}


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
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys() or any(own[n].shape != state[n].shape for n in own):
        raise ValueError("the state does not fit")
    for name, tensor in state.items():
        path, _, last = name.rpartition(".")
        setattr(model.get_submodule(path), last, nn.Parameter(tensor.clone()))
    return model


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
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys() or any(own[n].numel() != state[n].numel() for n in own):
        raise ValueError("the state does not fit")
    for name, p in own.items():
        p.data.copy_(state[name].reshape(p.shape))
    return model


# %% mistake="restore_head" name="names in order"
# You compare the names in their order. A dict may have any.
# Look at: what compares names without their order, such as sets, or keys().
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if list(own) != list(state) or any(own[n].shape != state[n].shape for n in own):
        raise ValueError("the state does not fit")
    model.load_state_dict(state, strict=False)
    return model


# %% mistake="restore_head" name="shared"
# You made the state's tensors those of the parameters. They share their memory now, and the
# saved state moves with the next training.
# Look at: what copies numbers, and what only gives a tensor another name.
def restore_head(model, state):
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys() or any(own[n].shape != state[n].shape for n in own):
        raise ValueError("the state does not fit")
    for name, p in own.items():
        p.data = state[name]
    return model


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
def pooled_head(channels, num_classes):
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(channels, num_classes)

        def forward(self, x):
            return self.fc(self.pool(x).squeeze())

    return Head()


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
def pooled_head(channels, num_classes):
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(channels, num_classes)

        def forward(self, x):
            return self.fc(x.sum(dim=(2, 3)))

    return Head()


# %% mistake="FrozenBackbone" name="eval once"
# The network inside wakes up with the next .train() of whoever holds it: eval mode at the start
# doesn't last, and the wrapper's own mode is not that of its children.
# Look at: the method of nn.Module that is called then, and that you can override.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, x):
        return self.network(x)


# %% mistake="FrozenBackbone" name="parameters learn"
# It stays in eval mode, but its parameters learn: eval mode has no say in that, and
# torch.no_grad() in `forward` doesn't tell the optimizer either.
# Look at: `requires_grad` of the network's parameters.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network.eval()

    def train(self, mode=True):
        return super().train(False)

    def forward(self, x):
        with torch.no_grad():
            return self.network(x)


# %% mistake="FrozenBackbone" name="train without return"
# Your `train` returns nothing. nn.Module's returns the module, so that calls can be chained.
# Look at: the end of your `train`.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode=True):
        super().train(False)

    def forward(self, x):
        return self.network(x)


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
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        for m in self.network.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.eval()
        return self

    def forward(self, x):
        return self.network(x)


# %% mistake="FrozenBackbone" name="asleep from the first train"
# Your module puts the network to sleep when .train() comes. Until then it is as awake as it came.
# Look at: what your __init__ does to the network.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network.requires_grad_(False)

    def train(self, mode=True):
        return super().train(False)

    def forward(self, x):
        return self.network(x)


# %% mistake="FrozenBackbone" name="frozen later"
# Your module freezes the network when .train() or the first batch comes. An optimizer made before
# has taken its parameters.
# Look at: what your __init__ does to the network.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def train(self, mode=True):
        self.network.requires_grad_(False)
        return super().train(False)

    def forward(self, x):
        return self.network(x)


# %% mistake="FrozenBackbone" name="copy"
# You keep a copy. The network that came in goes on learning, and takes its memory twice.
# Look at: the first lines of the docstring: *it* becomes a part of this module.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        import copy

        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    def train(self, mode=True):
        return super().train(False)

    def forward(self, x):
        return self.network(x)


# %% mistake="FrozenBackbone" name="train returns the network"
# Your `train` returns the network inside. nn.Module's returns the module itself, so that calls can
# be chained.
# Look at: the end of your `train`.
class FrozenBackbone(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        return self.network.eval()

    def forward(self, x):
        return self.network(x)
