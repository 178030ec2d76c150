"""Known answers of chapter 07."""

# %% right="conv_output_size"
def conv_output_size(size, kernel_size, stride, padding):
    return (size + 2 * padding - kernel_size) // stride + 1

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

# %% mistake="conv_output_size" name="steps counted"
# You counted the steps of the window, not its places: before the first step it already stands
# in one.
# Look at: your result for a window as large as the row.
def conv_output_size(size, kernel_size, stride, padding):
    return (size + 2 * padding - kernel_size) // stride

# %% mistake="conv_output_size" name="padding on one side"
# You added the padding once. It stands on both sides of the row.
# Look at: how long the row of "o" and "." is in the last picture.
def conv_output_size(size, kernel_size, stride, padding):
    return (size + padding - kernel_size) // stride + 1

# %% mistake="conv_output_size" name="padding left out"
# You left the padding out, so the row is too short wherever there is some.
# Look at: how long the row of "o" and "." is in the last picture.
def conv_output_size(size, kernel_size, stride, padding):
    return (size - kernel_size) // stride + 1

# %% mistake="conv_output_size" name="rounded up"
# You rounded up: that counts a window that stands half outside. It is left out.
# Look at: the third picture, where the last pixel is never seen.
def conv_output_size(size, kernel_size, stride, padding):
    return math.ceil((size + 2 * padding - kernel_size) / stride) + 1

# %% mistake="conv_output_size" name="a float"
# You divided with `/`, which gives a float, and not a whole one where the last window does
# not fit.
# Look at: `//`.
def conv_output_size(size, kernel_size, stride, padding):
    return (size + 2 * padding - kernel_size) / stride + 1

# %% mistake="conv_output_size" name="stride left out"
# You left the stride out: your window moves by one pixel whatever it is.
# Look at: the second picture, where it moves by two.
def conv_output_size(size, kernel_size, stride, padding):
    return size + 2 * padding - kernel_size + 1

# %% mistake="conv_output_size" name="divided by the stride alone"
# You divided the length by the stride. That forgets that the window itself takes up space; it
# is right only where kernel and stride fit together, as in a 2 x 2 pooling.
# Look at: the first picture, 8 pixels and fewer places.
def conv_output_size(size, kernel_size, stride, padding):
    return (size + 2 * padding) // stride

# %% mistake="conv_output_size" name="kernel taken off last"
# You divided first and took the kernel off afterwards. The kernel is measured in pixels, so it
# goes off before pixels are turned into steps.
# Look at: the order of the subtraction and the division.
def conv_output_size(size, kernel_size, stride, padding):
    return (size + 2 * padding) // stride - kernel_size + 1

# %% mistake="conv_output_size" name="rounded to the nearest"
# You rounded to the nearest whole number: that sometimes counts a window that stands half
# outside. It is left out.
# Look at: the third picture, where the last pixel is never seen.
def conv_output_size(size, kernel_size, stride, padding):
    return round((size + 2 * padding - kernel_size) / stride) + 1

# %% wrong="conv_output_size" name="a stride as large as the kernel at most"
# The window is taken for as wide as its stride.
def conv_output_size(size, kernel_size, stride, padding):
    return (size + 2 * padding - max(kernel_size, stride)) // stride + 1

# %% right="activation_shape"
def activation_shape(layers, input_shape):
    channels, height, width = input_shape
    for kind, *numbers in layers:
        if kind == "conv":
            channels, kernel_size, stride, padding = numbers
        else:
            (kernel_size, stride), padding = numbers, 0
        height = (height + 2 * padding - kernel_size) // stride + 1
        width = (width + 2 * padding - kernel_size) // stride + 1
    return channels, height, width

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

# %% mistake="activation_shape" name="pooling left out"
# Your poolings change nothing, so height and width come out too large.
# Look at: what happens in your code to a layer that is no "conv".
def activation_shape(layers, input_shape):
    channels, height, width = input_shape
    for kind, *numbers in layers:
        if kind == "conv":
            channels, kernel_size, stride, padding = numbers
            height = (height + 2 * padding - kernel_size) // stride + 1
            width = (width + 2 * padding - kernel_size) // stride + 1
    return channels, height, width

# %% mistake="activation_shape" name="pooling always halves"
# Your poolings halve, whatever their window and stride are. That is right for 2 and 2 only.
# Look at: ("pool", kernel_size, stride), and the formula of 7.1.
def activation_shape(layers, input_shape):
    channels, height, width = input_shape
    for kind, *numbers in layers:
        if kind == "conv":
            channels, kernel_size, stride, padding = numbers
            height = (height + 2 * padding - kernel_size) // stride + 1
            width = (width + 2 * padding - kernel_size) // stride + 1
        else:
            height, width = height // 2, width // 2
    return channels, height, width

# %% mistake="activation_shape" name="poolings move by one"
# Your poolings move by one pixel: you left their stride out.
# Look at: the third entry of a pooling's tuple.
#- (kernel_size, stride), padding = numbers, 0
#+ kernel_size, stride, padding = numbers[0], 1, 0

# %% mistake="activation_shape" name="channels of the image"
# You return the channels of the image. Every convolution makes its own number of them.
# Look at: the second entry of a convolution's tuple.
#- channels, kernel_size
#+ _, kernel_size

# %% mistake="activation_shape" name="channels multiplied"
# You multiply the channels. A convolution sums over the channels that come in: what goes out
# is out_channels, however many there were.
# Look at: what your code does with the channels it had.
#-             channels, kernel_size, stride, padding = numbers
#+             more, kernel_size, stride, padding = numbers
#+             channels = channels * more

# %% mistake="activation_shape" name="pooling read as a convolution"
# You take the second entry of every layer for its channels. A pooling's is its kernel size: it
# has no channels of its own and leaves them as they are.
# Look at: the tuple of a pooling, entry by entry.
def activation_shape(layers, input_shape):
    channels, height, width = input_shape
    for layer in layers:
        channels = layer[1]
        if layer[0] == "conv":
            _, _, kernel_size, stride, padding = layer
        else:
            (_, kernel_size, stride), padding = layer, 0
        height = (height + 2 * padding - kernel_size) // stride + 1
        width = (width + 2 * padding - kernel_size) // stride + 1
    return channels, height, width

# %% mistake="activation_shape" name="square images"
# You compute one size and return it twice. Images need not be square.
# Look at: where your code uses the width of the image.
def activation_shape(layers, input_shape):
    channels, size, _ = input_shape
    for kind, *numbers in layers:
        if kind == "conv":
            channels, kernel_size, stride, padding = numbers
        else:
            (kernel_size, stride), padding = numbers, 0
        size = (size + 2 * padding - kernel_size) // stride + 1
    return channels, size, size

# %% mistake="activation_shape" name="padding left out"
# You left the padding of the convolutions out, so yours always trim the edges.
# Look at: the last entry of a convolution's tuple.
#-         height = (height + 2 * padding - kernel_size) // stride + 1
#-         width = (width + 2 * padding - kernel_size) // stride + 1
#+         height = (height - kernel_size) // stride + 1
#+         width = (width - kernel_size) // stride + 1

# %% mistake="activation_shape" name="height and width exchanged"
# You exchanged height and width: the height comes first, in the image and in the result.
# Look at: (channels, height, width), where you read it and where you return it.
#- return channels, height, width
#+ return channels, width, height

# %% mistake="activation_shape" name="padding of the last convolution"
# Your poolings take the padding of the convolution before them. A pooling has none here.
# Look at: which value `padding` has in your code when a pooling's turn comes.
#-     channels, height, width = input_shape
#+     channels, height, width = input_shape
#+     padding = 0
#- (kernel_size, stride), padding = numbers, 0
#+ kernel_size, stride = numbers

# %% mistake="activation_shape" name="poolings move by their kernel size"
# Your poolings move by their kernel size. That is torch's default; here the stride is given.
# Look at: the third entry of a pooling's tuple.
#- (kernel_size, stride), padding = numbers, 0
#+ kernel_size, stride, padding = numbers[0], numbers[0], 0

# %% mistake="activation_shape" name="width from the height"
# You compute the width from the height that you have just changed.
# Look at: what your line for the width starts from.
#- (width
#+ (height

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

# %% right="head_parameters"
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = math.prod(input_shape) * hidden + hidden + hidden * num_classes + num_classes
    trl = rank * (sum(input_shape) + num_classes) + num_classes
    return linear, trl

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

# %% mistake="head_parameters" name="no biases in the linear layers"
# You left the biases of the linear layers out: one for each output of each of them.
# Look at: the example: 6 x 4 and 4 x 5 weights are 44, and 53 are asked for.
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = math.prod(input_shape) * hidden + hidden * num_classes
    return linear, rank * (sum(input_shape) + num_classes) + num_classes

# %% mistake="head_parameters" name="no second linear layer"
# Your first number ends at the hidden layer. A second linear layer leads from there to the
# classes.
# Look at: fc2 in CNNWithFC.
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = math.prod(input_shape) * hidden + hidden
    return linear, rank * (sum(input_shape) + num_classes) + num_classes

# %% mistake="head_parameters" name="sizes of the flatten added"
# You added the sizes of the activation for the linear layer. Flattened, it is as long as the
# *product* of its sizes.
# Look at: 64 * 13 * 13 in CNNWithFC.
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = sum(input_shape) * hidden + hidden + hidden * num_classes + num_classes
    return linear, rank * (sum(input_shape) + num_classes) + num_classes

# %% mistake="head_parameters" name="sizes of the factors multiplied"
# You multiplied the sizes for the TRL: that is the full weight, `rank` times over. The factors
# lie beside each other, each with `rank` columns.
# Look at: the rows of the four factors, and how many numbers they hold together.
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = math.prod(input_shape) * hidden + hidden + hidden * num_classes + num_classes
    return linear, rank * math.prod(input_shape) * num_classes + num_classes

# %% mistake="head_parameters" name="no factor for the classes"
# You left out one factor of the TRL: the classes are a mode of the weight too.
# Look at: how many modes the weight has.
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = math.prod(input_shape) * hidden + hidden + hidden * num_classes + num_classes
    return linear, rank * sum(input_shape) + num_classes

# %% mistake="head_parameters" name="no bias in the TRL"
# Your TRL has no bias: it takes one number more for each class.
# Look at: the example, where the factors hold 10 numbers and 15 are asked for.
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = math.prod(input_shape) * hidden + hidden + hidden * num_classes + num_classes
    return linear, rank * (sum(input_shape) + num_classes)

# %% mistake="head_parameters" name="exchanged"
# You return the two numbers in the other order: the linear layers come first.
# Look at: the order of what is returned.
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = math.prod(input_shape) * hidden + hidden + hidden * num_classes + num_classes
    return rank * (sum(input_shape) + num_classes) + num_classes, linear

# %% mistake="head_parameters" name="no bias on the hidden layer"
# You left out the bias of the first linear layer: one for each of its `hidden` outputs.
# Look at: the example: 6 x 4 weights, and how many biases beside them?
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = math.prod(input_shape) * hidden + hidden * num_classes + num_classes
    return linear, rank * (sum(input_shape) + num_classes) + num_classes

# %% mistake="head_parameters" name="no bias on the last layer"
# You left out the bias of the second linear layer: one for each class.
# Look at: the example: 4 x 5 weights, and how many biases beside them?
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = math.prod(input_shape) * hidden + hidden + hidden * num_classes
    return linear, rank * (sum(input_shape) + num_classes) + num_classes

# %% mistake="head_parameters" name="one linear layer"
# Your first number is that of one linear layer straight to the classes. There are two, with
# `hidden` numbers between them.
# Look at: fc1 and fc2 in CNNWithFC.
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = math.prod(input_shape) * num_classes + num_classes
    return linear, rank * (sum(input_shape) + num_classes) + num_classes

# %% mistake="head_parameters" name="a weight for each component"
# You count `rank` numbers more for the TRL. Some CP decompositions have a weight for each
# component; the layer here has its factors and its bias alone.
# Look at: the example, where the factors hold 10 numbers and the bias 5.
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = math.prod(input_shape) * hidden + hidden + hidden * num_classes + num_classes
    return linear, rank * (sum(input_shape) + num_classes) + rank + num_classes

# %% mistake="head_parameters" name="three modes"
# Your code takes an activation of three modes apart. The text says: any number of modes.
# Look at: `math.prod(...)` and `sum(...)`, which take a tuple as it is.
def head_parameters(input_shape, hidden, num_classes, rank):
    c, h, w = input_shape
    linear = (c * h * w + 1) * hidden + (hidden + 1) * num_classes
    return linear, rank * (c + h + w + num_classes) + num_classes

# %% right="CNNWithTRL"
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
        return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))

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

# %% mistake="CNNWithTRL" name="no pooling in the shape"
# You gave the TRL a shape without the pooling: height and width are halved between the two
# convolutions.
# Look at: the layers that you counted, and the order in which the image passes them.
#- size = (image_size - 2) // 2 - 2
#+ size = image_size - 4

# %% mistake="CNNWithTRL" name="shape before the second convolution"
# You gave the TRL height and width as they are after the pooling. The second convolution
# trims the edges once more.
# Look at: which layer hands its result to the TRL.
#- 2 - 2
#+ 2

# %% mistake="CNNWithTRL" name="one image size"
# Your TRL takes (64, 13, 13) whatever the image size is: right for 32 pixels only.
# Look at: where your code uses `image_size`.
#-         size = (image_size - 2) // 2 - 2
#-         self.trl = trlkit.CPTRL((64, size, size), num_classes, rank)
#+         self.trl = trlkit.CPTRL((64, 13, 13), num_classes, rank)

# %% mistake="CNNWithTRL" name="still flattened"
# You still flatten, and the TRL has one long mode. Then nothing is left of rows and columns,
# and its first factor is as tall as the flattened activation.
# Look at: what comes between conv_layer2 and trl.
#- (64, size, size)
#+ 64 * size * size
#-         return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))
#+         x = self.conv_layer2(self.max_pool1(self.conv_layer1(x)))
#+         return self.trl(x.reshape(x.shape[0], -1))

# %% mistake="CNNWithTRL" name="old layers left in"
# The old linear layers are still in the network. Even if `forward` never calls them, they are
# stored, saved and counted.
# Look at: `fc1` and `fc2` in `__init__`.
#-         size = (image_size - 2) // 2 - 2
#+         size = (image_size - 2) // 2 - 2
#+         self.fc1 = nn.Linear(64 * size * size, 128)
#+         self.relu1 = nn.ReLU()
#+         self.fc2 = nn.Linear(128, num_classes)

# %% mistake="CNNWithTRL" name="a linear layer kept"
# Your TRL replaces the first linear layer only. It can give the classes itself, so nothing has
# to follow it.
# Look at: what CPTRL's second argument says.
#-         self.trl = trlkit.CPTRL((64, size, size), num_classes, rank)
#+         self.trl = trlkit.CPTRL((64, size, size), 128, rank)
#+         self.relu1 = nn.ReLU()
#+         self.fc2 = nn.Linear(128, num_classes)
#-         return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))
#+         x = self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))
#+         return self.fc2(self.relu1(x))

# %% mistake="CNNWithTRL" name="probabilities"
# You return probabilities. Logits are asked for: the loss does the softmax itself, and the
# greatest logit is the greatest probability anyway.
# Look at: the last line of `forward`.
#-         return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))
#+         x = self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))
#+         return torch.softmax(x, dim=1)

# %% mistake="CNNWithTRL" name="a ReLU more"
# You put a ReLU in front of the TRL. That may well help (try it later), but CNNWithFC has none
# there, and the head is what is to be compared.
# Look at: what stands between conv_layer2 and the flatten in CNNWithFC.
#- return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))
#+ return self.trl(torch.relu(self.conv_layer2(self.max_pool1(self.conv_layer1(x)))))

# %% mistake="CNNWithTRL" name="a ReLU behind each convolution"
# You put a ReLU behind each convolution. That may well help (try it later), but CNNWithFC has
# none there, and the head is what is to be compared.
# Look at: what stands between the layers in the forward of CNNWithFC.
#-         return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))
#+         x = self.max_pool1(torch.relu(self.conv_layer1(x)))
#+         return self.trl(torch.relu(self.conv_layer2(x)))

# %% mistake="CNNWithTRL" name="a ReLU behind the first convolution"
# You put a ReLU behind the first convolution. That may well help (try it later), but CNNWithFC
# has none there, and the head is what is to be compared.
# Look at: what stands between the layers in the forward of CNNWithFC.
#-         return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))
#+         x = self.max_pool1(torch.relu(self.conv_layer1(x)))
#+         return self.trl(self.conv_layer2(x))

# %% mistake="CNNWithTRL" name="logarithms of probabilities"
# You return logarithms of probabilities. Logits are asked for, the numbers of the TRL as they
# are: the loss does the log softmax itself.
# Look at: the last line of `forward`.
#-         return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))
#+         x = self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))
#+         return torch.log_softmax(x, dim=1)

# %% mistake="CNNWithTRL" name="rank and classes exchanged"
# You exchanged the classes and the rank: CPTRL takes the classes first.
# Look at: the order of the arguments that you give CPTRL.
#- , num_classes, rank)
#+ , rank, num_classes)

# %% mistake="CNNWithTRL" name="no bias"
# Your TRL has no bias. CPTRL makes one unless it is told not to.
# Look at: the arguments that you give CPTRL.
#- rank)
#+ rank, bias=False)

# %% wrong="CNNWithTRL" name="super forgotten"
# nn.Module is never set up.
class CNNWithTRL(nn.Module):
    def __init__(self, num_classes, rank, image_size=32):
        self.conv_layer1 = nn.Conv2d(3, 32, kernel_size=3)

# %% wrong="CNNWithTRL" name="ceil"
# Right for images of an even size.
#- =2)
#+ =2, ceil_mode=True)
#- - 2)
#+ - 1)

# %% wrong="CNNWithTRL" name="features cut off"
# The convolutions never learn.
#-         return self.trl(self.conv_layer2(self.max_pool1(self.conv_layer1(x))))
#+         with torch.no_grad():
#+             x = self.conv_layer2(self.max_pool1(self.conv_layer1(x)))
#+         return self.trl(x)

# %% wrong="CNNWithTRL" name="squeezed"
# A batch of one loses its batch mode.
#- x))))
#+ x)))).squeeze()

# %% wrong="CNNWithTRL" name="other names"
# The layers have other names than the text asks for.
#-         self.conv_layer1 = nn.Conv2d(3, 32, kernel_size=3)
#-         self.max_pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
#-         self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
#
#-         self.trl = trlkit.CPTRL((64, size, size), num_classes, rank)
#+         trl = trlkit.CPTRL((64, size, size), num_classes, rank)
#+         self.layers = nn.Sequential(nn.Conv2d(3, 32, 3), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), trl)

# %% wrong="CNNWithTRL" name="no module"
# A function that builds the layers.
def CNNWithTRL(num_classes, rank, image_size=32):
    return [nn.Conv2d(3, 32, 3), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3)]

# %% wrong="CNNWithTRL" name="the old activation function left in"
# relu1 is still a child; nothing calls it.
#-         self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
#+         self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
#+         self.relu1 = nn.ReLU()

# %% right="torchsummary_misses"
def torchsummary_misses(model):
    seen = missed = 0
    for name, parameter in model.named_parameters():
        if name.split(".")[-1] in ("weight", "bias"):
            seen += parameter.numel()
        else:
            missed += parameter.numel()
    return seen, missed

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

# %% mistake="torchsummary_misses" name="names that contain the word"
# You asked whether the name ends with "weight" or "bias". `in_weight` does, and torchsummary
# does not look at it.
# Look at: how you compare the name.
#- if name.split(".")[-1] in ("weight", "bias"):
#+ if name.endswith(("weight", "bias")):

# %% mistake="torchsummary_misses" name="the word anywhere"
# You asked whether "weight" or "bias" stands anywhere in the name. `weight_ih_l0` and
# `bias_scale` contain them, and torchsummary looks at neither.
# Look at: how you compare the name.
#- if name.split(".")[-1] in ("weight", "bias"):
#+ if "weight" in name or "bias" in name:

# %% mistake="torchsummary_misses" name="regression layers alone"
# You count as missed what belongs to a TRL, and all else as seen. What decides is the name that
# a parameter has in its own module: `weight_ih_l0` of a recurrent layer is missed as well.
# Look at: what torchsummary asks a layer for, whatever kind of layer it is.
def torchsummary_misses(model):
    seen = missed = 0
    for name, parameter in model.named_parameters():
        if "factors" in name or "core" in name:
            missed += parameter.numel()
        else:
            seen += parameter.numel()
    return seen, missed

# %% mistake="torchsummary_misses" name="counted at every depth"
# You count parameters more than once: `modules()` runs over every depth already, and each module
# gives you those of the modules inside it, too.
# Look at: `recurse`.
def torchsummary_misses(model):
    seen = missed = 0
    for module in model.modules():
        for name, parameter in module.named_parameters():
            if name in ("weight", "bias"):
                seen += parameter.numel()
            else:
                missed += parameter.numel()
    return seen, missed

# %% mistake="torchsummary_misses" name="every depth, last part of the path"
# You count parameters more than once: `modules()` runs over every depth already, and each module
# gives you those of the modules inside it, too.
# Look at: `recurse`.
def torchsummary_misses(model):
    seen = missed = 0
    for module in model.modules():
        for name, parameter in module.named_parameters():
            if name.split(".")[-1] in ("weight", "bias"):
                seen += parameter.numel()
            else:
                missed += parameter.numel()
    return seen, missed

# %% mistake="torchsummary_misses" name="the whole path"
# You compare the whole path: `0.weight` is not "weight". The name that a module itself gives its
# parameter is the last part.
# Look at: the names that you compare; print them once.
#- name.split(".")[-1]
#+ name

# %% mistake="torchsummary_misses" name="the total second"
# Your second number is the total. What is missed is asked for.
# Look at: the example, where 12 are seen and 30 are missed.
def torchsummary_misses(model):
    total = sum(p.numel() for p in model.parameters())
    paths = model.named_parameters()
    return sum(p.numel() for n, p in paths if n.split(".")[-1] in ("weight", "bias")), total

# %% mistake="torchsummary_misses" name="top level only"
# You looked at the top level of the network only. Where layers lie deeper, all of theirs counts
# as missed.
# Look at: `children()` and `modules()`.
def torchsummary_misses(model):
    total = sum(p.numel() for p in model.parameters())
    seen = 0
    for child in model.children():
        for name, parameter in child.named_parameters(recurse=False):
            if name in ("weight", "bias"):
                seen += parameter.numel()
    return seen, total - seen

# %% mistake="torchsummary_misses" name="biases missed"
# You count biases as missed. torchsummary looks at `weight` and at `bias`.
# Look at: the names that you compare with.
#- in ("weight", "bias")
#+ == "weight"

# %% mistake="torchsummary_misses" name="buffers counted"
# You count what stands in `state_dict()`. The running averages of a batch norm stand there too,
# and they are buffers, no parameters.
# Look at: what you loop over.
def torchsummary_misses(model):
    seen = missed = 0
    for name, value in model.state_dict().items():
        if name.split(".")[-1] in ("weight", "bias"):
            seen += value.numel()
        else:
            missed += value.numel()
    return seen, missed

# %% mistake="torchsummary_misses" name="frozen left out"
# You left the frozen parameters out. They are stored like the others, and torchsummary counts
# them.
# Look at: `requires_grad`.
#- if name
#+ if parameter.requires_grad and name
#- else:
#+ elif parameter.requires_grad:

# %% mistake="torchsummary_misses" name="parameter lists only"
# You count as missed what lies in a ParameterList. A parameter of any other name is missed as
# well: the core of a Tucker TRL, say.
# Look at: what decides whether torchsummary sees a parameter.
def torchsummary_misses(model):
    total = sum(p.numel() for p in model.parameters())
    missed = 0
    for module in model.modules():
        if isinstance(module, nn.ParameterList):
            missed += sum(p.numel() for p in module)
    return total - missed, missed

# %% mistake="torchsummary_misses" name="exchanged"
# You return the two numbers in the other order: what is seen comes first.
# Look at: the order of what is returned.
#- seen, missed
#+ missed, seen

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

# %% right="train_on_batch"
def train_on_batch(model, optimizer, x, labels):
    model.train()
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), labels)
    loss.backward()
    optimizer.step()
    return loss.item()

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

# %% mistake="train_on_batch" name="softmax first"
# You put a softmax in front of the cross entropy, which has one inside. The loss cannot come
# near 0 then, and the gradients are small.
# Look at: what you give the loss.
#- model(x
#+ torch.softmax(model(x), dim=1

# %% mistake="train_on_batch" name="gradients pile up"
# You never clear the gradients, so each step uses the sum of all batches so far. The first call
# is right and the next ones are not.
# Look at: what `backward()` does with what is in `.grad` already.
#-     optimizer.zero_grad()

# %% mistake="train_on_batch" name="cleared too late"
# You clear the gradients after the step. If there are some before your first call (from a cell
# that only looked at a gradient, or was interrupted), that step uses them, too.
# Look at: where `zero_grad` stands.
def train_on_batch(model, optimizer, x, labels):
    model.train()
    loss = nn.functional.cross_entropy(model(x), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()

# %% mistake="train_on_batch" name="nothing learned"
# No parameter has changed. Either `backward()` or `step()` is missing, or the gradients are
# cleared between the two.
# Look at: the order of `zero_grad`, `backward` and `step`.
#-     loss.backward()
#+     loss.backward()
#+     optimizer.zero_grad()

# %% mistake="train_on_batch" name="step too early"
# You step before the gradients of this batch are there: every step is one batch late.
# Look at: the order of `backward` and `step`.
def train_on_batch(model, optimizer, x, labels):
    model.train()
    loss = nn.functional.cross_entropy(model(x), labels)
    optimizer.step()
    optimizer.zero_grad()
    loss.backward()
    return loss.item()

# %% mistake="train_on_batch" name="not in training mode"
# You leave the model in the mode it came in. In eval mode a batch norm goes on with its old
# averages, and dropout does nothing.
# Look at: what a validation before this step may have done, and what undoes it.
#-     model.train()

# %% mistake="train_on_batch" name="training mode too late"
# You put the model in training mode after the step. The forward pass of this step must run in it
# already.
# Look at: where `model.train()` stands.
def train_on_batch(model, optimizer, x, labels):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), labels)
    loss.backward()
    optimizer.step()
    model.train()
    return loss.item()

# %% mistake="train_on_batch" name="no log softmax"
# You give `nll_loss` the logits. It takes logarithms of probabilities, and can fall without end
# on anything else; `cross_entropy` does both.
# Look at: the loss that the text names.
#- cross_entropy
#+ nll_loss

# %% mistake="train_on_batch" name="a tensor"
# You return the loss as a tensor. It holds on to the whole forward pass, and a list of them
# fills the memory.
# Look at: `.item()`.
#- loss.item()
#+ loss

# %% mistake="train_on_batch" name="loss after the step"
# You return the loss after the step. The one before it is asked for, which you have already
# computed.
# Look at: how often you call the model.
#-     return loss.item()
#+     with torch.no_grad():
#+         return nn.functional.cross_entropy(model(x), labels).item()

# %% mistake="train_on_batch" name="summed"
# You sum the loss over the batch. The mean is asked for: with a sum, a larger batch takes
# larger steps.
# Look at: `reduction`.
#- ), labels)
#+ ), labels, reduction="sum")

# %% wrong="train_on_batch" name="its own optimizer"
# A plain gradient step, whatever optimizer comes.
#-     optimizer.step()
#+     with torch.no_grad():
#+         for p in model.parameters():
#+             p -= 0.1 * p.grad

# %% wrong="train_on_batch" name="back to eval"
# The model is put back into the mode it came in.
#- def train_on_batch(model, optimizer, x, labels):
#+ def train_on_batch(model, optimizer, x, labels):
#+     was = model.training
#-     optimizer.step()
#+     optimizer.step()
#+     model.train(was)

# %% wrong="train_on_batch" name="flattened on the way"
# The batch is made a matrix: a convolution takes no matrix.
#- x)
#+ x.flatten(1))

# %% right="accuracy_of"
def accuracy_of(model, x, labels):
    was = model.training
    model.eval()
    with torch.no_grad():
        share = (model(x).argmax(dim=1) == labels).double().mean().item()
    model.train(was)
    return share

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

# %% mistake="accuracy_of" name="eval forgotten"
# You measure in training mode: dropout draws, so you measure another network each time, and a
# batch norm moves its running averages on your validation images.
# Look at: `model.eval()`.
def accuracy_of(model, x, labels):
    with torch.no_grad():
        return (model(x).argmax(dim=1) == labels).double().mean().item()

# %% mistake="accuracy_of" name="measured as it comes"
# You measure the model as it comes: in training mode if it is in training mode, and with
# gradients on.
# Look at: the two modes in the text above, one after the other.
def accuracy_of(model, x, labels):
    return (model(x).argmax(dim=1) == labels).double().mean().item()

# %% mistake="accuracy_of" name="left in eval mode"
# You leave the model in eval mode. The training that goes on after your measurement then has
# no dropout and a frozen batch norm.
# Look at: what `model.training` was before you changed it.
def accuracy_of(model, x, labels):
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(dim=1) == labels).double().mean().item()

# %% mistake="accuracy_of" name="always back to training"
# You always put the model in training mode at the end, a finished model in eval mode as well.
# Look at: what `model.training` was before you changed it.
#- (was
#+ (

# %% mistake="accuracy_of" name="gradients recorded"
# You measure with gradients on. The numbers are right, but everything on the way is kept for a
# backward pass that never comes. (eval mode doesn't switch that off.)
# Look at: `torch.no_grad()`.
#-     with torch.no_grad():
#-         share = (model(x).argmax(dim=1) == labels).double().mean().item()
#+     share = (model(x).argmax(dim=1) == labels).double().mean().item()

# %% mistake="accuracy_of" name="switched off for everybody"
# You switch gradients off and leave them off: whatever trains after your measurement, anywhere in
# the notebook, fails.
# Look at: `with torch.no_grad():`, which ends where its block ends.
#-     with torch.no_grad():
#-         share = (model(x).argmax(dim=1) == labels).double().mean().item()
#+     torch.set_grad_enabled(False)
#+     share = (model(x).argmax(dim=1) == labels).double().mean().item()

# %% mistake="accuracy_of" name="frozen"
# You freeze the model with `requires_grad_`, and it stays frozen: a training that goes on after
# your measurement learns nothing any more.
# Look at: `torch.no_grad()`, which changes no parameter.
def accuracy_of(model, x, labels):
    was = model.training
    model.eval().requires_grad_(False)
    share = (model(x).argmax(dim=1) == labels).double().mean().item()
    model.train(was)
    return share

# %% mistake="accuracy_of" name="no dimension"
# Your `argmax` has no dimension, so it finds one place in the whole batch instead of one class
# for each sample.
# Look at: the shape of what `argmax` gives.
#- (dim=1
#+ (

# %% mistake="accuracy_of" name="the greatest logits"
# Your share is 0 everywhere. That comes of comparing logits with labels: `max(dim=1)` gives both
# the greatest logits and their places, and the places are the classes.
# Look at: what stands on each side of your `==`.
#- argmax(dim=1)
#+ max(dim=1).values

# %% mistake="accuracy_of" name="a number of samples"
# You return how many are right. Their share is asked for.
# Look at: what you divide by.
#- share = (model(x).argmax(dim=1) == labels).double().mean().item()
#+ right = (model(x).argmax(dim=1) == labels).sum().item()
#- share
#+ float(right)

# %% mistake="accuracy_of" name="percent"
# You return percent. A share from 0 to 1 is asked for.
# Look at: the example, which gives 0.75.
#- return share
#+ return 100 * share

# %% mistake="accuracy_of" name="a tensor"
# You return a tensor. A Python float is asked for.
# Look at: `.item()`.
#- ).item()
#+ )

# %% wrong="accuracy_of" name="classes along the batch"
# The greatest along the batch.
#- =1
#+ =0

# %% wrong="accuracy_of" name="detached"
# The gradients are recorded and then thrown away.
def accuracy_of(model, x, labels):
    was = model.training
    share = (model.eval()(x).detach().argmax(dim=1) == labels).double().mean().item()
    model.train(was)
    return share

# %% wrong="accuracy_of" name="mode of the root alone"
# Only the outermost module gets its mode back.
#- train(was)
#+ training = was

# %% wrong="accuracy_of" name="flattened on the way"
# The batch is made a matrix: a convolution takes no matrix.
#- x)
#+ x.flatten(1))

# %% wrong="accuracy_of" name="two decimals"
# Rounded: 0.756 would be 0.76.
#- return share
#+ return round(share, 2)

# %% wrong="accuracy_of" name="gradients thrown away"
# What waits for an optimizer's step is gone.
#-     model.eval()
#+     model.eval()
#+     model.zero_grad()

# %% mistake="quiz_faces_shape" name="a"
# (64, 13, 13) belongs to images of 32 pixels.
# Look at: `activation_shape`, or the three layers by hand, starting at 48.
quiz_faces_shape = "a"

# %% mistake="quiz_faces_shape" name="b"
# You went from 48 to 46 to 44: there is a pooling between the two convolutions.
# Look at: the order of the three layers.
quiz_faces_shape = "b"

# %% mistake="quiz_faces_shape" name="d"
# You halved 48 first and then took off 2. The first convolution comes before the pooling.
# Look at: the order of the three layers.
quiz_faces_shape = "d"

# %% mistake="quiz_without_eval" name="a"
# Without `no_grad` the same numbers come out; they only cost more memory.
# Look at: what in the network draws random numbers, and when.
quiz_without_eval = "a"

# %% mistake="quiz_without_eval" name="c"
# A softmax never changes which class is the greatest, and it draws nothing.
# Look at: what in the network draws random numbers, and when.
quiz_without_eval = "c"

# %% mistake="quiz_without_eval" name="d"
# Gradients are used by an optimizer's step, and nobody takes one here.
# Look at: what in the network draws random numbers, and when.
quiz_without_eval = "d"

# %% mistake="quiz_nonlinear" name="a"
# A convolution is a weighted sum of pixels plus a constant: twice the image, twice the sum.
# Look at: which layer picks one number and drops the others.
quiz_nonlinear = "a"

# %% mistake="quiz_nonlinear" name="b"
# A TRL is a product of factors as a function of its *weights*; of its input it is a weighted sum
# plus the bias.
# Look at: which layer picks one number and drops the others.
quiz_nonlinear = "b"

# %% mistake="quiz_nonlinear" name="d"
# One layer takes the greatest of four numbers. The greatest of a sum is not the sum of the
# greatest.
# Look at: the three layers once more.
quiz_nonlinear = "d"
