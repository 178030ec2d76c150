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

# %% right="count_parameters"
def count_parameters(model):
    return sum(p.numel() for p in model.parameters())

# %% answer="count_parameters" name="loop"
# A loop with math.prod over the shapes.
def count_parameters(model):
    total = 0
    for name, p in model.named_parameters():
        total += math.prod(p.shape)
    return total

# %% answer="count_parameters" name="vector"
# All parameters as one vector, with a warning on the way.
def count_parameters(model):
    import warnings

    warnings.warn("this may be slow")
    return sum(len(p.flatten()) for p in model.parameters())

# %% mistake="count_parameters" name="buffers counted"
# You counted the buffers too: the running mean and variance of batch norm are part of
# the state_dict, but they are no parameters.
# Look at: the difference between model.state_dict() and model.parameters().
def count_parameters(model):
    return sum(tensor.numel() for tensor in model.state_dict().values())

# %% mistake="count_parameters" name="tensors counted"
# You counted the parameter tensors, not the numbers in them.
# Look at: what .numel() of a parameter says.
def count_parameters(model):
    return len(list(model.parameters()))

# %% mistake="count_parameters" name="trainable only"
# You left out the frozen parameters. A parameter that does not learn is stored all the same.
# Look at: where you ask for requires_grad.
def count_parameters(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)

# %% mistake="count_parameters" name="rows counted"
# You counted the rows of every parameter, not its entries.
# Look at: len(p) or p.shape[0], beside p.numel().
def count_parameters(model):
    return sum(p.shape[0] for p in model.parameters())

# %% mistake="count_parameters" name="biases left out"
# You counted the weights and left out the biases.
# Look at: which parameter names or layers your count passes over.
def count_parameters(model):
    weights = (p for name, p in model.named_parameters() if name.endswith("weight"))
    return sum(p.numel() for p in weights)

# %% mistake="count_parameters" name="counted at every level"
# You counted a layer again at every level of the network that holds it: model.modules() gives
# the outer modules as well as the inner ones, and parameters() of each looks inside too.
# Look at: whether one loop over model.parameters() is not enough.
def count_parameters(model):
    return sum(p.numel() for m in model.modules() for p in m.parameters())

# %% mistake="count_parameters" name="first parameter only"
# You return after the first parameter.
# Look at: the indentation of your `return`.
def count_parameters(model):
    total = 0
    for p in model.parameters():
        total += p.numel()
        return total

# %% mistake="count_parameters" name="last parameter only"
# You keep only the last parameter's count.
# Look at: whether your count adds up (+=) or starts again for each parameter.
def count_parameters(model):
    for p in model.parameters():
        total = p.numel()
    return total

# %% wrong="count_parameters" name="children"
# One level, and not the network itself.
def count_parameters(model):
    return sum(p.numel() for m in model.children() for p in m.parameters())

# %% right="fc_share"
def fc_share(model):
    total = sum(p.numel() for p in model.parameters())
    linear = sum(
        p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()
    )
    return total, linear, linear / total

# %% answer="fc_share" name="own count"
# Without count_parameters, weights and biases by hand.
def fc_share(model):
    linear = 0
    for m in model.modules():
        if isinstance(m, nn.Linear):
            linear += m.in_features * m.out_features
            linear += m.out_features if m.bias is not None else 0
    total = sum(p.numel() for p in model.parameters())
    return [total, linear, linear / total]

# %% answer="fc_share" name="named modules"
# By named_modules, into a list, with an int where the share is 0.
def fc_share(model):
    layers = [m for _, m in model.named_modules() if type(m) is nn.Linear]
    total = count_parameters(model)
    linear = sum(map(count_parameters, layers))
    return total, linear, linear / total if linear else 0

# %% mistake="fc_share" name="parts exchanged"
# You return the right numbers in another order.
# Look at: the order that the docstring asks for: total, linear, share.
#- total, linear
#+ linear, total

# %% mistake="fc_share" name="trainable only"
# You left out the linear layers that are frozen. They are stored all the same.
# Look at: where you ask for requires_grad.
#- for p in m.parameters()
#+ for p in m.parameters() if p.requires_grad

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
#-         p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()
#+         p.numel()
#+         for m in model.modules()
#+         if isinstance(m, (nn.Linear, nn.Conv2d))
#+         for p in m.parameters()

# %% mistake="fc_share" name="top level only"
# You looked at the layers of the top level only; networks keep their linear layers inside
# other modules.
# Look at: the difference between model.children() and model.modules().
#- modules
#+ children

# %% mistake="fc_share" name="last layer only"
# You counted only the last linear layer. All of them hang on the flattened activation.
# Look at: whether your count adds up or starts again at each layer.
#- for m in model.modules() if isinstance(m, nn.Linear) for
#+ for m in [m for m in model.modules() if isinstance(m, nn.Linear)][-1:] for

# %% mistake="fc_share" name="biases left out"
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
# You counted one bias for each component of the rank; there is one for each class.
# Look at: the shape of what the layer returns: the bias is added to that.
def cp_trl_parameters(input_shape, num_classes, rank):
    return rank * (sum(input_shape) + num_classes) + rank

# %% mistake="quiz_flatten" name="a"
# A reshape loses no number: you can undo it.
# Look at: what the layer *behind* it is told about the order of its inputs.
quiz_flatten = "a"

# %% mistake="quiz_flatten" name="c"
# Flattening has no parameters and no arithmetic; only the shape changes.
# Look at: what the layer behind it no longer knows.
quiz_flatten = "c"

# %% mistake="quiz_flatten" name="d"
# The batch keeps its own mode: flattening joins the modes of each image only.
# Look at: the first size before and after nn.Flatten().
quiz_flatten = "d"

# %% mistake="quiz_where" name="b"
# VGG-19 has more parameters there, but not the larger share.
# Look at: the last column of the table.
quiz_where = "b"

# %% mistake="quiz_where" name="c"
# ResNet-50 pools every channel to one number first, so little is left to save.
# Look at: the last column of the table.
quiz_where = "c"

# %% mistake="quiz_where" name="d"
# Depth is not what counts: ResNet-101 is the deepest of the four and has the smallest share.
# Look at: the last column of the table.
quiz_where = "d"
