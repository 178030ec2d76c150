"""Known answers of chapter 00."""

# %% right="flat_features"
def flat_features(channels, height, width):
    return channels * height * width

# %% answer="flat_features" name="loop"
# A loop over a tuple.
def flat_features(channels, height, width):
    features = 1
    for size in (channels, height, width):
        features *= size
    return features

# %% answer="flat_features" name="torch"
# Flatten a tensor and look, with a print left in.
def flat_features(channels, height, width):
    print("flattening", channels, height, width)
    return len(torch.zeros(channels, height, width).flatten())

# %% mistake="flat_features" name="added sizes"
# You added the three sizes. Every channel has a whole grid of height x width entries,
# so the sizes multiply.
# Look at: how many numbers one channel holds, and how many channels there are.
def flat_features(channels, height, width):
    return channels + height + width

# %% mistake="flat_features" name="channels left out"
# You counted the entries of one channel only.
# Look at: what flattening does to the channels.
def flat_features(channels, height, width):
    return height * width

# %% mistake="flat_features" name="width left out"
# Your result does not depend on the width.
# Look at: whether every argument is used.
def flat_features(channels, height, width):
    return channels * height

# %% mistake="flat_features" name="product and sum mixed"
# One of your sizes is added where it should multiply.
# Look at: the operators between the three sizes.
def flat_features(channels, height, width):
    return channels * height + width

# %% wrong="flat_features" name="in float32"
# Not every whole number above 2**24 is one of float32.
def flat_features(channels, height, width):
    return int(torch.prod(torch.Tensor([channels, height, width])))

# %% right="fc_share"
def fc_share(model):
    total = sum(p.numel() for p in model.parameters())
    linear = {p for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()}
    linear = sum(p.numel() for p in linear)
    return total, linear, linear / total

# %% answer="fc_share" name="by identity"
# Weights and biases by hand, those seen before passed over; a list.
def fc_share(model):
    linear, seen = 0, []
    for m in model.modules():
        if isinstance(m, nn.Linear):
            for p in [m.weight] + ([m.bias] if m.bias is not None else []):
                if not any(p is other for other in seen):
                    seen.append(p)
                    linear += math.prod(p.shape)
    total = sum(len(p.flatten()) for p in model.parameters())
    return [total, linear, linear / total]

# %% answer="fc_share" name="a list of layers"
# parameters() of a ModuleList gives each once; an int where the share is 0; a print left in.
def fc_share(model):
    layers = nn.ModuleList(m for _, m in model.named_modules() if type(m) is nn.Linear)
    print("layers", len(layers))
    total = sum(p.numel() for p in model.parameters())
    linear = sum(p.numel() for p in layers.parameters())
    return total, linear, linear / total if linear else 0

# %% mistake="fc_share" name="parts exchanged"
# You return the right numbers in another order.
# Look at: the order that the docstring asks for: total, linear, share.
#- return total, linear
#+ return linear, total

# %% mistake="fc_share" name="trainable only"
# You left out the linear layers that are frozen. They are stored all the same.
# Look at: where you ask for requires_grad.
#- for p in m.parameters()
#+ for p in m.parameters() if p.requires_grad

# %% mistake="fc_share" name="trainable only, in all"
# Your total leaves out the frozen parameters. They are stored all the same.
# Look at: where you ask for requires_grad.
#- for p in model.parameters()
#+ for p in model.parameters() if p.requires_grad

# %% mistake="fc_share" name="a bias taken for granted"
# Your code stops at a linear layer without a bias: there `layer.bias` is None.
# Look at: what `nn.Linear(2, 3, bias=False).bias` is.
def fc_share(model):
    total = sum(p.numel() for p in model.parameters())
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    linear = sum(m.weight.numel() + m.bias.numel() for m in layers)
    return total, linear, linear / total

# %% mistake="fc_share" name="a bias taken for granted, shared weights once"
# Your code stops at a linear layer without a bias: there `layer.bias` is None.
# Look at: what `nn.Linear(2, 3, bias=False).bias` is.
def fc_share(model):
    total = sum(p.numel() for p in model.parameters())
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    linear = sum(p.numel() for p in {p for m in layers for p in (m.weight, m.bias)})
    return total, linear, linear / total

# %% mistake="fc_share" name="shared weights counted twice"
# You counted a weight once for each layer that holds it. Two layers can hold the same tensor; it
# is stored once.
# Look at: how you could notice that you have met a parameter before.
def fc_share(model):
    total = sum(p.numel() for p in model.parameters())
    linear = sum(
        p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()
    )
    return total, linear, linear / total

# %% mistake="fc_share" name="shared biases counted twice"
# You counted a bias once for each layer that holds it. Two layers can hold the same bias; it is
# stored once.
# Look at: which of the parameters you have asked whether you have met them before.
def fc_share(model):
    total = sum(p.numel() for p in model.parameters())
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    linear = sum(p.numel() for p in {m.weight for m in layers})
    linear += sum(m.bias.numel() for m in layers if m.bias is not None)
    return total, linear, linear / total

# %% mistake="fc_share" name="tensors counted"
# You counted the tensors and not the numbers that they hold.
# Look at: what .numel() of a parameter says.
def fc_share(model):
    linear = {p for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()}
    total = len(list(model.parameters()))
    return total, len(linear), len(linear) / total

# %% mistake="fc_share" name="counted at every level"
# You counted a parameter again at every level of the network that holds it: model.modules() gives
# the outer modules as well as the inner ones, and parameters() of each looks inside too.
# Look at: whether your total needs a loop over modules.
#- p.numel() for p in model.parameters()
#+ p.numel() for m in model.modules() for p in m.parameters()

# %% mistake="fc_share" name="share alone"
# You return the share alone. What is asked are three things: the total, the number in linear
# layers, and the share.
# Look at: the `Returns` lines of the docstring.
#- return total, linear, linear / total
#+ return linear / total

# %% mistake="fc_share" name="buffers counted"
# Your total counts the buffers of batch norm too; they are no parameters.
# Look at: the difference between model.state_dict() and model.parameters().
#- p.numel() for p in model.parameters
#+ tensor.numel() for tensor in model.state_dict().values

# %% mistake="fc_share" name="convolutions counted"
# You counted the convolutions among the fully connected layers.
# Look at: the type that you test for: a convolution has a weight too, but only nn.Linear is
# fully connected.
#- isinstance(m, nn.Linear)
#+ isinstance(m, (nn.Linear, nn.Conv2d))

# %% mistake="fc_share" name="top level only"
# You looked at the layers of the top level only; networks keep their linear layers inside
# other modules.
# Look at: the difference between model.children() and model.modules().
#- model.modules()
#+ model.children()

# %% mistake="fc_share" name="top level only, shared weights twice"
# You looked at the layers of the top level only; networks keep their linear layers inside
# other modules.
# Look at: the difference between model.children() and model.modules().
def fc_share(model):
    total = sum(p.numel() for p in model.parameters())
    linear = sum(
        p.numel() for m in model.children() if isinstance(m, nn.Linear) for p in m.parameters()
    )
    return total, linear, linear / total

# %% mistake="fc_share" name="last layer only"
# You counted only the last linear layer. All of them are asked for.
# Look at: whether your count adds up or starts again at each layer.
#- for m in model.modules() if isinstance(m, nn.Linear) for
#+ for m in [m for m in model.modules() if isinstance(m, nn.Linear)][-1:] for

# %% mistake="fc_share" name="biases left out"
# You left out the biases of the linear layers.
# Look at: which parameters nn.Linear has besides its weight.
def fc_share(model):
    total = sum(p.numel() for p in model.parameters())
    linear = {m.weight for m in model.modules() if isinstance(m, nn.Linear)}
    linear = sum(p.numel() for p in linear)
    return total, linear, linear / total

# %% mistake="fc_share" name="biases left out, shared weights twice"
# You left out the biases of the linear layers.
# Look at: which parameters nn.Linear has besides its weight.
def fc_share(model):
    total = sum(p.numel() for p in model.parameters())
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear))
    return total, linear, linear / total

# %% mistake="fc_share" name="percent"
# Your share is a percentage; what is asked is a fraction between 0 and 1.
# Look at: the factor 100.
#- linear, linear /
#+ linear, 100 * linear /

# %% wrong="fc_share" name="equal tensors taken for one"
# Two biases of zeros are two tensors.
def fc_share(model):
    total = sum(p.numel() for p in model.parameters())
    found = []
    for m in model.modules():
        if isinstance(m, nn.Linear):
            for p in m.parameters():
                if not any(p.shape == q.shape and (p.is_meta or torch.equal(p, q)) for q in found):
                    found.append(p)
    linear = sum(p.numel() for p in found)
    return total, linear, linear / total

# %% wrong="fc_share" name="layers' parameters alone"
# What belongs to no layer is left out of the total.
def fc_share(model):
    layers = [m for m in model.modules() if not list(m.children()) and list(m.parameters())]
    total = sum(p.numel() for p in {p for m in layers for p in m.parameters()})
    linear = {p for m in layers if isinstance(m, nn.Linear) for p in m.parameters()}
    linear = sum(p.numel() for p in linear)
    return total, linear, linear / total

# %% wrong="fc_share" name="two levels"
# Children and their children.
def fc_share(model):
    layers = [*model.children(), *(inner for m in model.children() for inner in m.children())]
    total = sum(p.numel() for p in model.parameters())
    linear = sum(p.numel() for m in layers if isinstance(m, nn.Linear) for p in m.parameters())
    return total, linear, linear / total

# %% wrong="fc_share" name="without the network itself"
# The first of modules() is the network.
def fc_share(model):
    layers = list(model.modules())[1:]
    total = sum(p.numel() for p in model.parameters())
    linear = sum(p.numel() for m in layers if isinstance(m, nn.Linear) for p in m.parameters())
    return total, linear, linear / total

# %% wrong="fc_share" name="by the first name"
# A weight that an embedding holds too has its name, and is left out.
def fc_share(model):
    layers = {name for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    total = sum(p.numel() for p in model.parameters())
    named = model.named_parameters()
    linear = sum(p.numel() for name, p in named if name.rpartition(".")[0] in layers)
    return total, linear, linear / total

# %% wrong="fc_share" name="all less the others"
# A weight that an embedding holds too is taken away.
def fc_share(model):
    others = [m for m in model.modules() if not isinstance(m, nn.Linear)]
    others = {p for m in others for p in m.parameters(recurse=False)}
    total = sum(p.numel() for p in model.parameters())
    linear = total - sum(p.numel() for p in others)
    return total, linear, linear / total

# %% wrong="fc_share" name="names that begin alike"
# Place 10 begins with a 1, too; a layer that is the network has no name.
def fc_share(model):
    layers = [name for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    total = sum(p.numel() for p in model.parameters())
    named = list(model.named_parameters(remove_duplicate=False))
    linear = {p for name, p in named if any(name.startswith(layer) for layer in layers)}
    linear = sum(p.numel() for p in linear)
    return total, linear, linear / total

# %% wrong="fc_share" name="the word in the type's name"
# A bilinear layer has it too.
#- isinstance(m, nn.Linear)
#+ "linear" in type(m).__name__.lower()

# %% wrong="fc_share" name="the end of the type's name"
# Other types end alike.
#- isinstance(m, nn.Linear)
#+ type(m).__name__.endswith("Linear")

# %% wrong="fc_share" name="features asked for"
# Other types have features in and out.
#- isinstance(m, nn.Linear)
#+ hasattr(m, "in_features")

# %% wrong="fc_share" name="a layer passed over for its bias"
# Layers that share their bias have weights of their own.
def fc_share(model):
    total = sum(p.numel() for p in model.parameters())
    linear, seen = 0, set()
    for m in model.modules():
        if isinstance(m, nn.Linear):
            weight = 0 if id(m.weight) in seen else m.weight.numel()
            if m.bias is not None and id(m.bias) in seen:
                continue
            bias = 0 if m.bias is None else m.bias.numel()
            seen |= {id(m.weight)} | ({id(m.bias)} if m.bias is not None else set())
            linear += weight + bias
    return total, linear, linear / total

# %% wrong="fc_share" name="compared with the layer before alone"
# Layers that share a tensor need not stand beside each other.
def fc_share(model):
    total = sum(p.numel() for p in model.parameters())
    linear, before = 0, []
    for m in model.modules():
        if isinstance(m, nn.Linear):
            linear += sum(p.numel() for p in m.parameters() if not any(p is b for b in before))
            before = list(m.parameters())
    return total, linear, linear / total

# %% wrong="fc_share" name="seen before, in an earlier call"
# The default is made once, and keeps what it has met.
def fc_share(model, seen=set()):
    total = sum(p.numel() for p in model.parameters())
    linear = 0
    for m in model.modules():
        if isinstance(m, nn.Linear):
            for p in m.parameters():
                if p not in seen:
                    seen.add(p)
                    linear += p.numel()
    return total, linear, linear / total

# %% right="cp_trl_parameters"
def cp_trl_parameters(input_shape, num_classes, rank):
    return rank * (sum(input_shape) + num_classes) + num_classes

# %% answer="cp_trl_parameters" name="each factor"
# Factor by factor.
def cp_trl_parameters(input_shape, num_classes, rank):
    total = num_classes
    for size in list(input_shape) + [num_classes]:
        total += size * rank
    return total

# %% answer="cp_trl_parameters" name="real factors"
# Build the factors on the meta device and count them.
def cp_trl_parameters(input_shape, num_classes, rank):
    factors = [torch.empty(size, rank, device="meta") for size in (*input_shape, num_classes)]
    return sum(f.numel() for f in factors) + torch.empty(num_classes, device="meta").numel()

# %% mistake="cp_trl_parameters" name="full weight"
# You counted the full weight, which is what the layer avoids. A CP layer keeps one thin matrix
# for each mode, and matrices beside each other add up.
# Look at: the table of the factors: rows and columns of each.
def cp_trl_parameters(input_shape, num_classes, rank):
    return math.prod(input_shape) * num_classes + num_classes

# %% mistake="cp_trl_parameters" name="sizes multiplied"
# You multiplied the sizes of the modes with each other. A CP layer keeps one thin matrix for
# each mode, and matrices beside each other add up.
# Look at: the table of the factors: rows and columns of each.
def cp_trl_parameters(input_shape, num_classes, rank):
    return rank * math.prod(input_shape) * num_classes + num_classes

# %% mistake="cp_trl_parameters" name="one bias"
# You counted the bias as a single number; there is one for each class.
# Look at: the shape of what the layer returns: the bias is added to that.
def cp_trl_parameters(input_shape, num_classes, rank):
    return rank * (sum(input_shape) + num_classes) + 1

# %% mistake="cp_trl_parameters" name="classes left out"
# You left out the factor of the classes: the output is a mode of the weight like the others.
# Look at: how many factors a weight with three input modes and one output mode has.
def cp_trl_parameters(input_shape, num_classes, rank):
    return rank * sum(input_shape) + num_classes

# %% mistake="cp_trl_parameters" name="bias left out"
# You left out the bias: one number for each class.
# Look at: what a linear layer adds after the product.
def cp_trl_parameters(input_shape, num_classes, rank):
    return rank * (sum(input_shape) + num_classes)

# %% mistake="cp_trl_parameters" name="one bias for each component"
# Besides the factors you count one number for each component of the rank. What there is besides
# them is the bias: one number for each class.
# Look at: the shape of what the layer returns: the bias is added to that.
def cp_trl_parameters(input_shape, num_classes, rank):
    return rank * (sum(input_shape) + num_classes) + rank

# %% wrong="cp_trl_parameters" name="first three modes"
# Any number of modes may come.
def cp_trl_parameters(input_shape, num_classes, rank):
    return rank * (sum(input_shape[:3]) + num_classes) + num_classes

# %% wrong="cp_trl_parameters" name="equal sizes once"
# Modes of one size are modes all the same.
def cp_trl_parameters(input_shape, num_classes, rank):
    return rank * (sum(set(input_shape)) + num_classes) + num_classes

# %% wrong="cp_trl_parameters" name="three names"
# Three modes are unpacked.
def cp_trl_parameters(input_shape, num_classes, rank):
    channels, height, width = input_shape
    return rank * (channels + height + width + num_classes) + num_classes

# %% wrong="cp_trl_parameters" name="in float32"
# Not every whole number above 2**24 is one of float32.
def cp_trl_parameters(input_shape, num_classes, rank):
    sizes = torch.Tensor(input_shape).sum() + num_classes
    return int(rank * sizes + num_classes)

# %% right="counter_tests"
def counter_tests():
    calls = [((3, 1, 4, 3, 2, 5), 1, 7), ((6,), 4, 3)]
    return [(*call, cp_trl_parameters(*call)) for call in calls]

# %% answer="counter_tests" name="one class with the single mode"
# The other way round, numbers worked out by hand.
def counter_tests():
    return [((5,), 1, 2, 13), ((2, 2, 1, 3, 4), 4, 9, 148)]

# %% answer="counter_tests" name="tuples"
# Large sizes, in a tuple of lists.
def counter_tests():
    first = [(9, 9, 9, 1), 9, 50]
    return ([*first, cp_trl_parameters(*first)], [[100], 1, 3, 304])

# %% mistake="counter_tests" name="sizes all different"
# The counter that puts the sizes into a set gets through, and no other: in none of your calls do
# two modes have one size.
# Look at: which sizes a set would lose.
#- (3, 1, 4, 3, 2, 5)
#+ (3, 1, 4, 7, 2, 5)

# %% mistake="counter_tests" name="no single mode"
# The counter with a special case for a single mode gets through, and no other: where it differs
# you have not looked.
# Look at: how many modes the activations of your calls have.
#- (6,)
#+ (6, 6)

# %% mistake="counter_tests" name="never one class"
# The counter that takes one class for none gets through, and no other: in none of your calls is
# there exactly one class.
# Look at: what happens for one class.
#- 5), 1, 7)
#+ 5), 2, 7)

# %% mistake="counter_tests" name="always one class"
# The counter with a single bias gets through, and no other: with one class it is right.
# Look at: the number of classes in your two calls.
#- (6,), 4, 3
#+ (6,), 1, 3

# %% mistake="counter_tests" name="a test for each"
# You wrote more than two tests.
# Look at: which wrong counters one call could catch together.
#- ((6,), 4, 3)
#+ ((6,), 4, 3), ((2, 3), 4, 5)

# %% mistake="counter_tests" name="no test"
# Your list is empty.
# Look at: what `return` gives back.
def counter_tests():
    return []

# %% mistake="counter_tests" name="a test without a list"
# You return one test; a list of tests is asked, also where it holds one.
# Look at: the brackets of the docstring's example.
def counter_tests():
    return (512, 7, 7), 10, 1, 546

# %% mistake="counter_tests" name="without the bias"
# One of your tests asks for another number than the right one, so it refuses right counters.
# Look at: what a CP layer has besides its factors, and whether you take the number from your
# own `cp_trl_parameters`.
#- cp_trl_parameters(*call)
#+ cp_trl_parameters(*call) - call[1]

# %% wrong="counter_tests" name="the example"
# The docstring's.
def counter_tests():
    return [((512, 7, 7), 10, 1, 546)]

# %% wrong="counter_tests" name="rank below every size"
# Nobody has to lower the rank.
def counter_tests():
    calls = [((3, 2, 4, 3, 2, 5), 1, 2), ((6,), 4, 3)]
    return [(*call, cp_trl_parameters(*call)) for call in calls]

# %% wrong="counter_tests" name="three modes"
# Whoever looks at three modes sees all.
def counter_tests():
    calls = [((3, 3, 1), 1, 7), ((6,), 4, 3)]
    return [(*call, cp_trl_parameters(*call)) for call in calls]

# %% right="shuffle_study"
def shuffle_study(score, interval, names, seeds):
    found = {}
    for name in names:
        loss, half = interval([score("none", seed) - score(name, seed) for seed in seeds])
        conclusion = "worse" if loss - half > 0 else "better" if loss + half < 0 else "can't tell"
        found[name] = (loss, half, conclusion)
    return found

# %% answer="shuffle_study" name="scores once"
# Each score is asked for once; the values are lists.
def shuffle_study(score, interval, names, seeds):
    scores = {name: [score(name, seed) for seed in seeds] for name in ["none", *names]}
    words = {1: "worse", -1: "better", 0: "can't tell"}
    found = {}
    for name in names:
        mean, half = interval([a - b for a, b in zip(scores["none"], scores[name])])
        found[name] = [mean, half, words[(mean > half) - (mean < -half)]]
    return found

# %% answer="shuffle_study" name="torch"
# Tensors on the way, floats at the end.
def shuffle_study(score, interval, names, seeds):
    plain = torch.tensor([score("none", seed) for seed in seeds], dtype=torch.float64)
    found = dict()
    for name in reversed(list(names)):
        other = torch.tensor([score(name, seed) for seed in seeds], dtype=torch.float64)
        loss, half = interval((plain - other).tolist())
        if abs(loss) <= half:
            said = "can't tell"
        else:
            said = "worse" if loss > 0 else "better"
        found[name] = (loss, half, said)
    return found

# %% mistake="shuffle_study" name="subtracted the other way"
# Your losses have the other sign: a positive one is to say that the shuffle makes the layer worse.
# Look at: which score you subtract from which.
#- score("none", seed) - score(name, seed)
#+ score(name, seed) - score("none", seed)

# %% mistake="shuffle_study" name="one start for all"
# You compare every shuffled score with the plain score of one seed. Then the difference holds what
# the two starts do, besides what the shuffle does.
# Look at: which seed each of the two scores of a pair has.
#- score("none", seed)
#+ score("none", seeds[0])

# %% mistake="shuffle_study" name="mean alone decides"
# You conclude from the mean alone: whatever is above 0 is called worse. The interval says whether
# that could be chance.
# Look at: what has to lie above 0 for "worse".
#- "worse" if loss - half > 0 else "better" if loss + half < 0 else "can't tell"
#+ "worse" if loss > 0 else "better" if loss < 0 else "can't tell"

# %% mistake="shuffle_study" name="never better"
# You call a whole interval below 0 "can't tell": also a gain is a result.
# Look at: how many conclusions there are, and when each is drawn.
#- "worse" if loss - half > 0 else "better" if loss + half < 0 else "can't tell"
#+ "worse" if loss - half > 0 else "can't tell"

# %% mistake="shuffle_study" name="border taken for a result"
# Where the interval ends exactly at 0, you draw a conclusion; 0 on the border is still in it.
# Look at: `>` and `>=`.
#- "worse" if loss - half > 0 else
#+ "worse" if loss - half >= 0 else

# %% mistake="shuffle_study" name="unpaired"
# You took the interval of the scores with the shuffle and compared it with the mean without: that
# is no interval of paired differences, and the starts' own scatter is in it.
# Look at: what you give to `interval`.
def shuffle_study(score, interval, names, seeds):
    plain = sum(score("none", seed) for seed in seeds) / len(seeds)
    found = {}
    for name in names:
        loss, half = interval([plain - score(name, seed) for seed in seeds])
        conclusion = "worse" if loss - half > 0 else "better" if loss + half < 0 else "can't tell"
        found[name] = (loss, half, conclusion)
    return found

# %% mistake="shuffle_study" name="border below 0 taken for a result"
# Where the interval ends exactly at 0, you draw a conclusion; 0 on the border is still in it.
# Look at: `<` and `<=`.
#- loss + half < 0
#+ loss + half <= 0 and loss < 0

# %% wrong="shuffle_study" name="border at a mean of 0 alone"
# A border has 0 also where the mean is something else.
#- "worse" if loss - half > 0 else "better" if loss + half < 0 else "can't tell"
#+ "can't tell" if loss == 0 or abs(loss) < half else "worse" if loss > 0 else "better"

# %% wrong="shuffle_study" name="all seeds agree"
# The signs of the differences, not the interval, decide.
def shuffle_study(score, interval, names, seeds):
    found = {}
    for name in names:
        losses = [score("none", seed) - score(name, seed) for seed in seeds]
        conclusion = "worse" if min(losses) > 0 else "better" if max(losses) < 0 else "can't tell"
        found[name] = (*interval(losses), conclusion)
    return found

# %% wrong="shuffle_study" name="the course's interval"
# The interval is the one that is given.
#- found = {}
#+ from trlkit.lab.statistics import interval as own
#+
#+     found = {}
#- loss, half = interval(
#+ loss, half = own(

# %% wrong="shuffle_study" name="seeds counted from 0"
# The seeds are those that are given.
#- for seed in seeds
#+ for seed in range(len(seeds))

# %% wrong="shuffle_study" name="the sizes alone compared"
# A gain is called a loss.
#- "worse" if loss - half > 0 else "better" if loss + half < 0 else "can't tell"
#+ "worse" if abs(loss) > half else "can't tell"

# %% wrong="shuffle_study" name="ends rounded"
# A small loss is one, too.
#- "worse" if loss - half > 0 else "better" if loss + half < 0 else "can't tell"
#+ "can't tell"
#+     if round(loss - half, 3) > 0:
#+         conclusion = "worse"
#+     if round(loss + half, 3) < 0:
#+         conclusion = "better"

# %% wrong="shuffle_study" name="nothing from an interval without width"
# Where all seeds lose the same, the interval is one number.
#- "worse" if loss - half > 0 else
#+ "can't tell" if half == 0 else "worse" if loss - half > 0 else

# %% right="unnoticed"
def unnoticed(order):
    width = order.shape[1]
    rows, columns = order // width, order % width

    def grid(down, across):
        return bool((down == down[:, :1]).all() and (across == across[:1]).all())

    return 1 in order.shape or grid(rows, columns) or grid(columns, rows)

# %% answer="unnoticed" name="the rank of one weight"
# A shuffled weight of rank 1, drawn at random.
def unnoticed(order):
    a = torch.rand(order.shape[0], dtype=torch.float64) + 0.5
    b = torch.rand(order.shape[1], dtype=torch.float64) + 0.5
    weight = torch.outer(a, b).flatten()[order]
    return torch.linalg.matrix_rank(weight).item() == 1

# %% answer="unnoticed" name="sets"
# Each row comes of one row, each column of one column, or all of them the other way round.
def unnoticed(order):
    grid = order.tolist()
    width = len(grid[0])
    if width == 1 or len(grid) == 1:
        return True
    row = lambda place: place // width
    column = lambda place: place % width
    turned = list(zip(*grid))
    for one, other in ((row, column), (column, row)):
        good = all(len(set(map(one, line))) == 1 for line in grid)
        if good and all(len(set(map(other, line))) == 1 for line in turned):
            return True
    return False

# %% mistake="unnoticed" name="rows for columns not thought of"
# You let rows change places with rows and columns with columns. That is right, and there is
# more: on some grids you say False where the layer notices nothing.
# Look at: whether a weight of rank 1 is still one when the picture is transposed.
#- grid(rows, columns) or grid(columns, rows)
#+ grid(rows, columns)

# %% mistake="unnoticed" name="rows alone"
# You asked only whether each row stays together. Within a row the pixels may not go anywhere: what
# happens in one row must happen in all.
# Look at: what a shuffle inside a single row does to the columns.
#- return bool((down == down[:, :1]).all() and (across == across[:1]).all())
#+ return bool((down == down[:, :1]).all())

# %% mistake="unnoticed" name="single lines"
# On a grid of a single row or a single column you say False to some shuffles. There every weight
# is of rank 1.
# Look at: what b can be when there is one row only.
#- 1 in order.shape or grid
#+ min(order.shape) > 1 and grid

# %% mistake="unnoticed" name="nothing moved"
# You say True only where no pixel has moved.
# Look at: the table of your experiment: which shuffles cost the layer nothing?
def unnoticed(order):
    return torch.equal(order.flatten(), torch.arange(order.numel()))

# %% mistake="unnoticed" name="every shuffle"
# You say True to every shuffle.
# Look at: the table of your experiment: which shuffle does the layer notice?
def unnoticed(order):
    return True

# %% wrong="unnoticed" name="transposed alone of the turned"
# Rows for columns, but then nothing else.
def unnoticed(order):
    width = order.shape[1]
    rows, columns = order // width, order % width
    if 1 in order.shape:
        return True
    if (rows == rows[:, :1]).all() and (columns == columns[:1]).all():
        return True
    places = torch.arange(order.numel()).reshape(order.shape)
    return order.shape[0] == width and torch.equal(order, places.T)

# %% wrong="unnoticed" name="first row and column"
# The rest of the grid is not looked at.
def unnoticed(order):
    width = order.shape[1]
    rows, columns = order // width, order % width
    straight = len(set(rows[0].tolist())) == 1 and len(set(columns[:, 0].tolist())) == 1
    turned = len(set(columns[0].tolist())) == 1 and len(set(rows[:, 0].tolist())) == 1
    return 1 in order.shape or straight or turned

# %% wrong="unnoticed" name="first two rows"
# Columns are compared in the first two rows, and the third is not looked at.
#- (across == across[:1]).all()
#+ (across[0] == across[1]).all()

# %% wrong="unnoticed" name="first two columns"
# Rows are compared in the first two columns, and the third is not looked at.
#- (down == down[:, :1]).all()
#+ (down[:, 0] == down[:, 1]).all()

# %% wrong="unnoticed" name="by view"
# A tensor need not be contiguous.
def unnoticed(order):
    a, b = torch.rand(order.shape[0]).double() + 0.5, torch.rand(order.shape[1]).double() + 0.5
    weight = torch.outer(a, b).flatten()[order.view(-1)].view(order.shape)
    return torch.linalg.matrix_rank(weight).item() == 1

# %% wrong="unnoticed" name="numpy's bool"
# It is no Python bool.
def unnoticed(order):
    grid = order.numpy()
    rows, columns = grid // grid.shape[1], grid % grid.shape[1]
    straight = (rows == rows[:, :1]).all() and (columns == columns[:1]).all()
    turned = (columns == columns[:, :1]).all() and (rows == rows[:1]).all()
    return straight or turned

# %% right="tiny_head"
def tiny_head():
    return (8, 8), 8

# %% answer="tiny_head" name="Tucker"
# A rank for each mode and the classes, in lists.
def tiny_head():
    return [[8, 8], [4, 4, 6]]

# %% answer="tiny_head" name="cut finer"
# Four modes.
def tiny_head():
    return (2, 4, 2, 4), 10

# %% mistake="tiny_head" name="over the budget"
# Your layer has more than 250 numbers.
# Look at: what one more of the rank costs, and whether other shapes make it cheaper.
def tiny_head():
    return (8, 8), 10

# %% mistake="tiny_head" name="reads too few"
# Your layer is small enough, and reads too few of the new digits.
# Look at: what you could spend the numbers on that are left, or a shape in which they do more.
def tiny_head():
    return (8, 8), 4

# %% mistake="tiny_head" name="no rank for the classes"
# Your rank has another number of entries than the weight has modes: each mode of the shape, and
# the classes.
# Look at: the `Returns` lines of the docstring.
def tiny_head():
    return (8, 8), (4, 4)

# %% mistake="tiny_head" name="other shape"
# Your shape does not have 64 entries.
# Look at: the product of its sizes.
def tiny_head():
    return (8, 4), 8

# %% mistake="tiny_head" name="too many modes"
# Your shape has more than 6 modes.
# Look at: how many sizes it has, those of size 1 included.
def tiny_head():
    return (2, 2, 2, 2, 2, 2, 1), 8

# %% wrong="tiny_head" name="flattened"
# The places in one line: a matrix of rank 3.
def tiny_head():
    return (64,), 3
