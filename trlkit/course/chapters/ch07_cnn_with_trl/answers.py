"""Known answers of chapter 07."""

# %% right="activation_shape"
def activation_shape(layers, input_shape):
    channels, *sizes = input_shape
    for kind, *numbers in layers:
        if kind == "conv":
            channels, kernel_size, stride, padding = numbers
        else:
            kernel_size, stride, padding = *numbers, 0
        sizes = [(size + 2 * padding - kernel_size) // stride + 1 for size in sizes]
    return (channels, *sizes)

# %% answer="activation_shape" name="layers run"
# torch's own layers, on an image of zeros.
def activation_shape(layers, input_shape):
    x = torch.zeros(1, *input_shape)
    for layer in layers:
        if layer[0] == "conv":
            x = nn.Conv2d(x.shape[1], *layer[1:])(x)
        else:
            x = nn.functional.max_pool2d(x, layer[1], layer[2])
    return tuple(x.shape[1:])

# %% answer="activation_shape" name="windows counted"
# Counts the places; returns a torch.Size.
#-         sizes = [(size + 2 * padding - kernel_size) // stride + 1 for size in sizes]
#-     return (channels, *sizes)
#+         last = [size + padding - kernel_size for size in sizes]
#+         sizes = [len(range(-padding, most + 1, stride)) for most in last]
#+     return torch.Size((channels, *sizes))

# %% mistake="activation_shape" name="steps counted"
# You counted the steps of the window and not its places: where no step fits, it still stands in
# one place.
# Look at: a window as large as the image.
#- stride + 1 for
#+ stride for

# %% mistake="activation_shape" name="padding on one side"
# You put the padding on one side. It stands on both.
# Look at: how long a row is with its padding.
#- 2 * padding
#+ padding

# %% mistake="activation_shape" name="padding left out"
# You left out the padding of the convolutions.
# Look at: how long a row is with its padding.
#- size + 2 * padding
#+ size

# %% mistake="activation_shape" name="rounded up"
# You counted a last place in which the window stands half outside. It is not counted.
# Look at: `//`, and what it does to what is left over.
#- (size + 2 * padding - kernel_size) // stride
#+ -(-(size + 2 * padding - kernel_size) // stride)

# %% mistake="activation_shape" name="off by one inside"
# You added the 1 before you divided by the stride. It stands for the first place and does not step.
# Look at: a window as large as the image, with a stride of 2.
#- kernel_size) // stride + 1
#+ kernel_size + 1) // stride

# %% mistake="activation_shape" name="pooling left out"
# You left height and width as they are at a pooling. It moves a window too.
# Look at: what (3, 32, 32) becomes behind ("pool", 2, 2).
#-             kernel_size, stride, padding = *numbers, 0
#+             continue

# %% mistake="activation_shape" name="pooling always halves"
# You halve height and width at every pooling. Its window and its stride decide.
# Look at: ("pool", 3, 2) on a row of 9 pixels.
#- *numbers, 0
#+ 2, 2, 0

# %% mistake="activation_shape" name="divided by the stride"
# You divide by the stride of a pooling and forget its window, which must fit.
# Look at: ("pool", 3, 2) on a row of 10 pixels.
#- *numbers, 0
#+ numbers[1], numbers[1], 0

# %% mistake="activation_shape" name="poolings move by their kernel size"
# You move the window of a pooling by its size. The third entry of its tuple is the stride.
# Look at: ("pool", 3, 2).
#- *numbers, 0
#+ numbers[0], numbers[0], 0

# %% mistake="activation_shape" name="channels of the image"
# You return the channels of the image. Each convolution makes its own number of them.
# Look at: the second entry of ("conv", 32, 3, 1, 0).
#- channels, kernel_size, stride, padding = numbers
#+ _, kernel_size, stride, padding = numbers

# %% mistake="activation_shape" name="square images"
# You compute one size and take it for height and width. Images need not be square.
# Look at: an image of 28 x 40.
#- (channels, *sizes)
#+ (channels, sizes[0], sizes[0])

# %% mistake="activation_shape" name="height and width exchanged"
# You return the width before the height.
# Look at: the order in `input_shape`.
#- (channels, *sizes)
#+ (channels, *sizes[::-1])

# %% wrong="activation_shape" name="nothing for no layer"
# Without a layer there is no result.
#-     return (channels, *sizes)
#+         found = (channels, *sizes)
#+     return found

# %% wrong="activation_shape" name="padding of the last convolution"
# A pooling gets the padding of the convolution in front.
#- kernel_size, stride, padding = *numbers, 0
#+ kernel_size, stride = numbers

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

# %% wrong="head_parameters" name="three modes at most"
# A fourth and a fifth are left out.
def head_parameters(input_shape, hidden, num_classes, rank):
    linear = math.prod(input_shape) * hidden + hidden + hidden * num_classes + num_classes
    return linear, rank * (sum(input_shape[:3]) + num_classes) + num_classes

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
# Your TRL takes a shape without the pooling. In CNNWithFC height and width are halved between the
# two convolutions.
# Look at: the layers that you counted, and the order in which the image passes them.
#- size = (image_size - 2) // 2 - 2
#+ size = image_size - 4

# %% mistake="CNNWithTRL" name="shape before the second convolution"
# Your TRL takes height and width as they are after the pooling. In CNNWithFC the second convolution
# has no padding and trims the edges once more.
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

# %% wrong="CNNWithTRL" name="a padding more"
# The second convolution trims nothing, and the TRL is told so.
#- self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
#+ self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3, padding=1)
#- size = (image_size - 2) // 2 - 2
#+ size = (image_size - 2) // 2

# %% wrong="CNNWithTRL" name="no pooling at all"
# Neither in the shape nor in the forward pass.
#- size = (image_size - 2) // 2 - 2
#+ size = image_size - 4
#- self.max_pool1(self.conv_layer1(x))
#+ self.conv_layer1(x)

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
# No parameter has changed. `backward()` or `step()` is missing, or the gradients are cleared
# between the two, or the graph is cut between the parameters and the loss (`.detach()`).
# Look at: the order of `zero_grad`, `backward` and `step`, and what you take the loss of.
#-     loss.backward()
#+     loss.backward()
#+     optimizer.zero_grad()

# %% mistake="train_on_batch" name="graph cut"
# No parameter has changed. `backward()` or `step()` is missing, or the gradients are cleared
# between the two, or the graph is cut between the parameters and the loss (`.detach()`).
# Look at: the order of `zero_grad`, `backward` and `step`, and what you take the loss of.
#- model(x)
#+ model(x).detach().requires_grad_()

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
# You put the model in training mode after the forward pass. That pass must run in it already.
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
# You return the loss as a tensor. A float is asked for: a tensor may hold on to the graph that made it,
# and a list of them to all those graphs.
# Look at: `.item()`.
#- loss.item()
#+ loss

# %% mistake="train_on_batch" name="a detached tensor"
# You return the loss as a tensor. A float is asked for: a tensor may hold on to the graph that made it,
# and a list of them to all those graphs.
# Look at: `.item()`.
#- loss.item()
#+ loss.detach()

# %% mistake="train_on_batch" name="logarithm of a softmax"
# Your loss is infinite where the logits are large, some thousands. On the way stands an exponential
# that is 0 or infinite as a number; `cross_entropy` takes the logarithm without it.
# Look at: the logarithm of `torch.softmax(torch.tensor([0.0, 1000.0]), dim=0)`.
#- loss = nn.functional.cross_entropy(model(x), labels)
#+ chosen = torch.softmax(model(x), dim=1)[torch.arange(len(labels)), labels]
#+     loss = -torch.log(chosen).mean()

# %% mistake="train_on_batch" name="exponentials added"
# Your loss is infinite where the logits are large, some thousands. On the way stands an exponential
# that is 0 or infinite as a number; `cross_entropy` takes the logarithm without it.
# Look at: the logarithm of `torch.softmax(torch.tensor([0.0, 1000.0]), dim=0)`.
#- loss = nn.functional.cross_entropy(model(x), labels)
#+ z = model(x)
#+     loss = (z.exp().sum(dim=1).log() - z[torch.arange(len(labels)), labels]).mean()

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

# %% wrong="train_on_batch" name="training mode behind the forward pass"
# Set before the step, and too late all the same.
#-     model.train()
#
#-     loss.backward()
#+     model.train()
#+     loss.backward()

# %% wrong="train_on_batch" name="its own optimizer"
# A plain gradient step, whatever optimizer comes.
#-     optimizer.step()
#+     with torch.no_grad():
#+         for p in model.parameters():
#+             p -= 0.1 * p.grad

# %% wrong="train_on_batch" name="old gradients of what is frozen"
# Cleared is what learns: an old gradient moves what is frozen.
#-     optimizer.zero_grad()
#+     for parameter in model.parameters():
#+         if parameter.requires_grad:
#+             parameter.grad = None

# %% wrong="train_on_batch" name="classes counted in the labels"
# A batch that lacks the last class has a column too few.
#- loss = nn.functional.cross_entropy(model(x), labels)
#+ hot = nn.functional.one_hot(labels).float()
#+     loss = -(hot * torch.log_softmax(model(x), dim=1)).sum(dim=1).mean()

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

# %% wrong="train_on_batch" name="wakes what was frozen"
# Everything learns afterwards.
#- model.train()
#+ model.train().requires_grad_(True)

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
# The model, or a part of it, is in training mode as you measure: dropout draws, so you measure
# another network each time, and a batch norm moves its running averages on your validation images.
# Look at: `model.eval()`, and which modules it reaches.
def accuracy_of(model, x, labels):
    with torch.no_grad():
        return (model(x).argmax(dim=1) == labels).double().mean().item()

# %% mistake="accuracy_of" name="the root alone in eval mode"
# The model, or a part of it, is in training mode as you measure: dropout draws, so you measure
# another network each time, and a batch norm moves its running averages on your validation images.
# Look at: `model.eval()`, and which modules it reaches.
#- model.eval()
#+ model.training = False
#- model.train(was)
#+ model.training = was

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

# %% mistake="accuracy_of" name="switched on for everybody"
# You always switch gradients on at the end, also where they were off: whoever measures within a
# `with torch.no_grad():` of their own records from there on.
# Look at: `with torch.no_grad():`, which puts back what it found.
#-     with torch.no_grad():
#-         share = (model(x).argmax(dim=1) == labels).double().mean().item()
#+     torch.set_grad_enabled(False)
#+     share = (model(x).argmax(dim=1) == labels).double().mean().item()
#+     torch.set_grad_enabled(True)

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

# %% mistake="accuracy_of" name="squashed"
# Your share is another where the logits are large. On the way to the greatest, two logits that
# differ become one number, and the first of them wins.
# Look at: what the logits 1000 and 2000 are when your `argmax` sees them.
#- model(x)
#+ torch.sigmoid(model(x))

# %% wrong="accuracy_of" name="classes counted in the labels"
# Labels that lack the last class have a column too few.
#- (model(x).argmax(dim=1) == labels).double()
#+ (nn.functional.one_hot(model(x).argmax(dim=1)) == nn.functional.one_hot(labels)).all(dim=1).double()

# %% wrong="accuracy_of" name="classes along the batch"
# The greatest along the batch.
#- =1
#+ =0

# %% wrong="accuracy_of" name="the smallest logit"
# The class that is least likely.
#- argmax
#+ argmin

# %% wrong="accuracy_of" name="among the first two"
# Right is also whose label has the second logit.
#- (model(x).argmax(dim=1) == labels)
#+ (model(x).topk(2).indices == labels[:, None]).any(dim=1)

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

# %% wrong="accuracy_of" name="wakes what was frozen"
# Freezes all, and lets all learn afterwards.
def accuracy_of(model, x, labels):
    was = model.training
    model.eval().requires_grad_(False)
    right = model(x).argmax(dim=1) == labels
    model.train(was).requires_grad_(True)
    return right.double().mean().item()

# %% mistake="accuracy_of" name="error rate"
# That is the share of samples that are classified wrong.
# Look at: `==` and `!=`.
def accuracy_of(model, x, labels):
    was = model.training
    model.eval()
    with torch.no_grad():
        wrong = model(x).argmax(dim=1) != labels
    model.train(was)
    return wrong.double().mean().item()

# %% right="first_step"
def first_step(gradients, rate, optimizer):
    if optimizer == "sgd":
        return -rate * sum(g.square().sum().item() for g in gradients)
    return -rate * sum(g.abs().sum().item() for g in gradients)

# %% answer="first_step" name="signs"
# The step, and its inner product with the gradient.
def first_step(gradients, rate, optimizer):
    change = 0.0
    for gradient in gradients:
        step = gradient if optimizer == "sgd" else gradient.sign()
        change -= rate * (gradient * step).sum().item()
    return change

# %% answer="first_step" name="norms"
# Norms of one long vector.
def first_step(gradients, rate, optimizer):
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    if optimizer == "adam":
        return -rate * float(flat.norm(p=1))
    return -rate * float(flat.norm()) ** 2

# %% mistake="first_step" name="positive"
# You tell how far the loss goes down as a positive number. A change that makes it smaller is
# negative.
# Look at: the sign.
#- return -rate * sum(g.square
#+ return rate * sum(g.square
#- return -rate * sum(g.abs
#+ return rate * sum(g.abs

# %% mistake="first_step" name="Adam as SGD"
# You let Adam step as SGD does. Adam divides each step by how large the gradients of that number
# have been, and before the first step there was only this one.
# Look at: the step of a number whose gradient is 3, and of one whose gradient is 300.
#-     if optimizer == "sgd":
#-         return -rate * sum(g.square().sum().item() for g in gradients)
#-     return -rate * sum(g.abs().sum().item() for g in gradients)
#+     return -rate * sum(g.square().sum().item() for g in gradients)

# %% mistake="first_step" name="numbers counted"
# You counted the parameters. A number moves by the rate, and the loss changes by its slope times
# that.
# Look at: what a number does to the loss whose gradient is 0.
#- g.abs().sum().item()
#+ g.numel()

# %% mistake="first_step" name="means not made right"
# Your change by Adam is 3.16 times the right one. So large it is as long as the two means are not
# made right for their start at 0: a tenth of the gradient, by the root of a thousandth of its
# square.
# Look at: what each mean is divided by before the first step.
#- return -rate * sum(g.abs()
#+ return -rate * 0.1 / 0.001**0.5 * sum(g.abs()

# %% mistake="first_step" name="0 by 0"
# Your change is NaN as soon as one gradient is 0: its step is 0 divided by 0. Such a number stays
# where it is, and changes nothing.
# Look at: a parameter without influence on the loss.
#- g.abs()
#+ (g * g / g.square().sqrt())

# %% wrong="first_step" name="float32 on the way"
# The square of 1e20 is no float32.
#- g.square()
#+ g.float().square()

# %% mistake="first_step" name="SGD by the norm"
# You took the norm of the gradient for SGD. It steps by the rate times the gradient, and the loss
# changes by the gradient times that step.
# Look at: how often the gradient comes into the change.
#- -rate * sum(g.square().sum().item() for g in gradients)
#+ -rate * sum(g.square().sum().item() for g in gradients) ** 0.5

# %% mistake="first_step" name="means"
# You took means over the entries. Each entry brings its own change, and they add up.
# Look at: two parameters of 1 and of 1000 numbers.
#- g.square().sum()
#+ g.square().mean()
#- g.abs().sum()
#+ g.abs().mean()

# %% mistake="first_step" name="no absolute value"
# You added gradients up with their signs. Adam moves every number downhill, whichever way that is.
# Look at: two numbers with the gradients 3 and -4.
#- g.abs().sum()
#+ g.sum()

# %% right="Quick"
class Quick(nn.Module):
    def __init__(self, layer, times):
        super().__init__()
        import copy

        self.layer, self.times = copy.deepcopy(layer), times
        with torch.no_grad():
            for parameter in self.layer.parameters():
                parameter.div_(times)

    def forward(self, x):
        larger = {name: self.times * p for name, p in self.layer.named_parameters()}
        return torch.func.functional_call(self.layer, larger, (x,))

# %% answer="Quick" name="own parameters"
# Small ones beside a copy that is none of its children, and is told the mode.
class Quick(nn.Module):
    def __init__(self, layer, times):
        super().__init__()
        import copy

        self.whole, self.times = [copy.deepcopy(layer)], times
        self.names = [name for name, _ in layer.named_parameters()]
        small = [nn.Parameter(p.detach() / times, p.requires_grad) for p in layer.parameters()]
        self.small = nn.ParameterList(small)

    def train(self, mode=True):
        self.whole[0].train(mode)
        return super().train(mode)

    def forward(self, x):
        larger = {name: p * self.times for name, p in zip(self.names, self.small)}
        return torch.func.functional_call(self.whole[0], larger, (x,))

# %% answer="Quick" name="parametrized"
# torch's own parametrizations: what is stored is small, what the layer sees is not.
class Quick(nn.Module):
    def __init__(self, layer, times):
        super().__init__()
        import copy

        from torch.nn.utils import parametrize

        class Times(nn.Module):
            def forward(self, small):
                return times * small

            def right_inverse(self, whole):
                return whole / times

        self.layer = copy.deepcopy(layer)
        for module in list(self.layer.modules()):
            for name in [name for name, _ in module.named_parameters(recurse=False)]:
                parametrize.register_parametrization(module, name, Times())

    def forward(self, x):
        return self.layer(x)

# %% answer="Quick" name="from the start"
# Parameters of the same size as the layer's; their way from the start counts `times` as much.
class Quick(nn.Module):
    def __init__(self, layer, times):
        super().__init__()
        import copy

        self.layer, self.times = copy.deepcopy(layer), times
        self.start = {name: p.detach().clone() for name, p in layer.named_parameters()}

    def forward(self, x):
        now = dict(self.layer.named_parameters())
        further = {name: s + self.times * (now[name] - s) for name, s in self.start.items()}
        return torch.func.functional_call(self.layer, further, x)

# %% answer="Quick" name="divided by a reciprocal"
# The same numbers, written otherwise.
#- parameter.div_(times)
#+ parameter.copy_(parameter / times)
#- self.times * p
#+ p / (1 / self.times)

# %% mistake="Quick" name="larger gradients"
# After five steps your module is where the layer is at the plain rate: `times` has no effect. Does it
# only make the gradients larger? Adam divides their size out. Or does the start that you keep move
# along with the parameter, so that nothing is left of the difference? `detach()` copies nothing.
# Look at: by how much Adam moves a number in its first step, and how large that number is.
class Quick(nn.Module):
    def __init__(self, layer, times):
        super().__init__()
        import copy

        self.layer = copy.deepcopy(layer)
        for parameter in self.layer.parameters():
            parameter.register_hook(lambda gradient: times * gradient)

    def forward(self, x):
        return self.layer(x)

# %% mistake="Quick" name="the layer as it is"
# After five steps your module is where the layer is at the plain rate: `times` has no effect. Does it
# only make the gradients larger? Adam divides their size out. Or does the start that you keep move
# along with the parameter, so that nothing is left of the difference? `detach()` copies nothing.
# Look at: by how much Adam moves a number in its first step, and how large that number is.
class Quick(nn.Module):
    def __init__(self, layer, times):
        super().__init__()
        import copy

        self.layer = copy.deepcopy(layer)

    def forward(self, x):
        return self.layer(x)

# %% mistake="Quick" name="smaller only"
# Your parameters are smaller, and nothing makes up for it: the layer computes something else.
# Look at: your output before any step.
#- self.times * p
#+ p

# %% mistake="Quick" name="made up for at the end"
# You make up for the smaller parameters in the output. Where factors are multiplied, or layers follow
# each other, the output shrinks by more than each of them does.
# Look at: by how much the output of a product of four factors shrinks.
#-         larger = {name: self.times * p for name, p in self.layer.named_parameters()}
#-         return torch.func.functional_call(self.layer, larger, (x,))
#+         return self.times * self.layer(x)

# %% mistake="Quick" name="the given layer changed"
# You changed the parameters of the layer that you were given.
# Look at: whose parameters you divide.
#- copy.deepcopy(layer)
#+ layer

# %% mistake="Quick" name="the given layer trained"
# At first the layer that you were given is as before. After five steps of your module its parameters
# have moved too: you train the layer's own numbers and not copies of them.
# Look at: whether the layer inside and the given layer are the same object.
class Quick(nn.Module):
    def __init__(self, layer, times):
        super().__init__()
        self.layer, self.times = layer, times
        self.start = {name: p.detach().clone() for name, p in layer.named_parameters()}

    def forward(self, x):
        larger = {
            name: self.start[name] + self.times * (p - self.start[name])
            for name, p in self.layer.named_parameters()
        }
        return torch.func.functional_call(self.layer, larger, (x,))

# %% mistake="Quick" name="mode does not arrive"
# After `quick.eval()` the dropout of the layer inside draws on: the mode does not arrive there. It is
# handed to the children of a module, and what stands in a list is none.
# Look at: which modules `quick.children()` gives.
class Quick(nn.Module):
    def __init__(self, layer, times):
        super().__init__()
        self.whole, self.times = [layer], times
        self.names = [name for name, _ in layer.named_parameters()]
        small = [nn.Parameter(p.detach() / times, p.requires_grad) for p in layer.parameters()]
        self.small = nn.ParameterList(small)

    def forward(self, x):
        larger = {name: p * self.times for name, p in zip(self.names, self.small)}
        return torch.func.functional_call(self.whole[0], larger, (x,))

# %% mistake="Quick" name="wakes what was frozen"
# What is frozen in the layer learns in your module.
# Look at: `requires_grad` of the parameters that you make.
#- parameter.div_(times)
#+ parameter.div_(times).requires_grad_(True)

# %% mistake="Quick" name="written over during the call"
# The gradient that reaches x is not that of the layer. During the call the parameters are large, and
# the backward pass, which comes later, takes them as they are then: small again.
# Look at: which numbers of the parameters a backward pass needs, and when.
#-         larger = {name: self.times * p for name, p in self.layer.named_parameters()}
#-         return torch.func.functional_call(self.layer, larger, (x,))
#+         for parameter in self.layer.parameters():
#+             parameter.data *= self.times
#+         found = self.layer(x)
#+         for parameter in self.layer.parameters():
#+             parameter.data /= self.times
#+         return found

# %% mistake="Quick" name="mode of the outer module"
# The layer came in eval mode, and yours drops numbers out before anybody has called `quick.train()`.
# A new module is in training mode, whatever mode the layer inside has.
# Look at: the mode of the layer inside, behind `__init__` and during the call.
#- larger = {
#+ self.layer.train(self.training)
#+         larger = {

# %% wrong="Quick" name="no gradient"
# What is multiplied has forgotten the parameters.
#- self.times * p
#+ self.times * p.detach()

# %% wrong="Quick" name="mode of the given layer"
# The layer that was given is run, and its mode is changed on the way.
class Quick(nn.Module):
    def __init__(self, layer, times):
        super().__init__()
        self.whole, self.times = [layer], times
        self.names = [name for name, _ in layer.named_parameters()]
        small = [nn.Parameter(p.detach() / times, p.requires_grad) for p in layer.parameters()]
        self.small = nn.ParameterList(small)
        self.training = layer.training

    def forward(self, x):
        larger = {name: p * self.times for name, p in zip(self.names, self.small)}
        self.whole[0].train(self.training)
        return torch.func.functional_call(self.whole[0], larger, (x,))

# %% wrong="Quick" name="comes in eval mode"
# Its dropout does nothing before somebody calls `quick.train()`.
#- copy.deepcopy(layer), times
#+ copy.deepcopy(layer).eval(), times

# %% wrong="Quick" name="put in training mode"
# The layer that was given is in another mode afterwards.
#- self.layer, self.times
#+ layer.train()
#+         self.layer, self.times

# %% wrong="Quick" name="a whole number"
# Right for 10, and not for 2.5.
#- copy.deepcopy(layer), times
#+ copy.deepcopy(layer), int(times)
#- div_(times)
#+ div_(int(times))

# %% wrong="Quick" name="underscores for dots"
# The names get their dots back, and dots for underscores that were there before.
class Quick(nn.Module):
    def __init__(self, layer, times):
        super().__init__()
        import copy

        self.whole, self.times = [copy.deepcopy(layer)], times
        self.small = nn.ParameterDict()
        for name, p in layer.named_parameters():
            small = nn.Parameter(p.detach() / times, p.requires_grad)
            self.small[name.replace(".", "_")] = small

    def train(self, mode=True):
        self.whole[0].train(mode)
        return super().train(mode)

    def forward(self, x):
        larger = {name.replace("_", "."): self.times * p for name, p in self.small.items()}
        return torch.func.functional_call(self.whole[0], larger, (x,))

# %% wrong="Quick" name="own parameters, mode and freezing lost"
# A list hides the layer from `eval()`; nn.ParameterList makes parameters that learn.
class Quick(nn.Module):
    def __init__(self, layer, times):
        super().__init__()
        self.whole, self.times = [layer], times
        self.names = [name for name, _ in layer.named_parameters()]
        self.small = nn.ParameterList(p.detach() / times for p in layer.parameters())

    def forward(self, x):
        larger = {name: p * self.times for name, p in zip(self.names, self.small)}
        return torch.func.functional_call(self.whole[0], larger, (x,))

# %% wrong="Quick" name="always in training mode"
# `eval()` is kept from the layer.
#-     def forward(self, x):
#+     def train(self, mode=True):
#+         return super().train(True)
#+
#+     def forward(self, x):

# %% wrong="Quick" name="biases left out"
# Parameters of one mode go on at the old rate.
#- parameter.div_(times)
#+ parameter.div_(times if parameter.ndim > 1 else 1)
#- self.times * p for
#+ (self.times if p.ndim > 1 else 1) * p for

# %% wrong="Quick" name="times learned"
# A parameter more.
#- copy.deepcopy(layer), times
#+ copy.deepcopy(layer), nn.Parameter(torch.tensor(float(times)))

# %% wrong="Quick" name="the other way round"
# Ten times as slow.
#- parameter.div_(times)
#+ parameter.mul_(times)
#- self.times * p
#+ p / self.times

# %% right="fair_comparison"
def fair_comparison(score, rates, choosing, judging):
    from trlkit.lab.statistics import interval

    def best(head):
        return max(rates, key=lambda rate: sum(score(head, rate, seed) for seed in choosing))

    first, second = best("first"), best("second")
    gains = [score("first", first, seed) - score("second", second, seed) for seed in judging]
    mean, half = interval(gains)
    if abs(mean) <= half:
        return first, second, mean, half, "not shown"
    return first, second, mean, half, "first" if mean > 0 else "second"

# %% answer="fair_comparison" name="tables"
# All scores first; a list.
def fair_comparison(score, rates, choosing, judging):
    from trlkit.lab.statistics import interval

    chosen = {}
    for head in ("first", "second"):
        means = [sum(score(head, rate, seed) for seed in choosing) / len(choosing) for rate in rates]
        chosen[head] = rates[means.index(max(means))]
    ones = [score("first", chosen["first"], seed) for seed in judging]
    others = [score("second", chosen["second"], seed) for seed in judging]
    mean, half = interval([one - other for one, other in zip(ones, others)])
    says = "first" if mean > half else "second" if mean < -half else "not shown"
    return [*chosen.values(), mean, half, says]

# %% answer="fair_comparison" name="strict loops"
# A search by hand.
#-         return max(rates, key=lambda rate: sum(score(head, rate, seed) for seed in choosing))
#+         top, found = -1.0, None
#+         for rate in rates:
#+             mean = sum(score(head, rate, seed) for seed in choosing) / len(choosing)
#+             if mean > top:
#+                 top, found = mean, rate
#+         return found

# %% mistake="fair_comparison" name="one rate for both"
# You gave both heads the rate that suits the first. Each needs its own.
# Look at: the second of the rates that you return.
#- first, second = best("first"), best("second")
#+ first = second = best("first")

# %% mistake="fair_comparison" name="judged on the seeds of the choice"
# You judge on the seeds that you have chosen by. What was chosen for its luck on them looks better
# there than it is.
# Look at: which seeds come into the interval.
#- for seed in judging
#+ for seed in choosing

# %% mistake="fair_comparison" name="chosen on the seeds of the judgment"
# You chose the rates by the seeds that are there to judge. Those must be fresh.
# Look at: which seeds decide on a rate.
#- in choosing))
#+ in judging))

# %% mistake="fair_comparison" name="one seed decides"
# One seed decides on your rates. It has luck of its own; the mean over all seeds of the choice is
# asked for.
# Look at: how many trainings stand behind the rate that you choose.
#- in choosing))
#+ in choosing[:1]))

# %% mistake="fair_comparison" name="not paired"
# Your interval is that of the first head, less the mean of the second: the luck of the seeds is
# still in it.
# Look at: what you give to `interval`.
#-     gains = [score("first", first, seed) - score("second", second, seed) for seed in judging]
#+     others = [score("second", second, seed) for seed in judging]
#+     gains = [score("first", first, seed) - sum(others) / len(others) for seed in judging]

# %% mistake="fair_comparison" name="the mean decides"
# You name a winner by the mean alone. An interval that holds 0 shows none.
# Look at: the two ends of the interval.
#-     if abs(mean) <= half:
#-         return first, second, mean, half, "not shown"

# %% mistake="fair_comparison" name="second never named"
# You say "not shown" where the whole interval lies below 0. There the second is shown to be better.
# Look at: both ends of the interval, one after the other.
#- "first" if mean > 0 else "second"
#+ "first" if mean > 0 else "not shown"

# %% mistake="fair_comparison" name="first for both"
# You say "first" where the whole interval lies below 0. There the second is shown to be better.
# Look at: the sign of the mean, once the interval is known not to hold 0.
#- "first" if mean > 0 else "second"
#+ "first"

# %% mistake="fair_comparison" name="never shown"
# You say "not shown" everywhere, also where the interval does not hold 0.
# Look at: the two ends of the interval.
#-     if abs(mean) <= half:
#-         return first, second, mean, half, "not shown"
#-     return first, second, mean, half, "first" if mean > 0 else "second"
#+     return first, second, mean, half, "not shown"

# %% mistake="fair_comparison" name="an end at 0"
# You name a winner where the interval ends at 0, as that of the same head twice does: mean and half
# are 0. It holds 0.
# Look at: `<` and `<=`.
#-     if abs(mean) <= half:
#-         return first, second, mean, half, "not shown"
#-     return first, second, mean, half, "first" if mean > 0 else "second"
#+     says = "first" if mean >= half else "second" if mean <= -half else "not shown"
#+     return first, second, mean, half, says

# %% wrong="fair_comparison" name="the first peak"
# Climbs the rates and stops at the first fall.
#-         return max(rates, key=lambda rate: sum(score(head, rate, seed) for seed in choosing))
#+         found, top = None, -1.0
#+         for rate in sorted(rates):
#+             mean = sum(score(head, rate, seed) for seed in choosing) / len(choosing)
#+             if mean < top:
#+                 break
#+             found, top = rate, mean
#+         return found

# %% mistake="fair_comparison" name="twice the half"
# You say "not shown" where the mean lies between `half` and twice `half`. The interval, from
# mean - half to mean + half, does not hold 0 there.
# Look at: a mean of 1.5 with a half of 1.
#-     if abs(mean) <= half:
#+     if abs(mean) <= 2 * half:

# %% wrong="fair_comparison" name="twice the half below 0"
# Right where the first head wins.
#-     if abs(mean) <= half:
#+     if -2 * half <= mean <= half:

# %% wrong="fair_comparison" name="rates in order"
# The list of the caller is sorted.
#-     def best(head):
#+     rates.sort()
#+
#+     def best(head):

# %% wrong="fair_comparison" name="as many seeds as there are to judge"
# A seed of the choice is lost where there are more of them.
#- for seed in choosing)
#+ for seed, _ in zip(choosing, judging))

# %% wrong="fair_comparison" name="rates sorted"
# The list of the caller is in another order afterwards.
#-     first, second = best("first"), best("second")
#+     first, second = best("first"), best("second")
#+     rates.sort(key=lambda rate: sum(score("first", rate, seed) for seed in choosing))

# %% answer="fair_comparison" name="an array"
# numpy's differences go into the interval as they are.
#-     gains = [score("first", first, seed) - score("second", second, seed) for seed in judging]
#-     mean, half = interval(gains)
#+     import numpy
#+
#+     ones = numpy.array([score("first", first, seed) for seed in judging])
#+     others = numpy.array([score("second", second, seed) for seed in judging])
#+     mean, half = interval(ones - others)

# %% mistake="fair_comparison" name="other way round"
# You subtracted the first from the second: a positive mean says that the second is better.
# Look at: the order of the difference.
#- score("first", first, seed) - score("second", second, seed)
#+ score("second", second, seed) - score("first", first, seed)

# %% right="small_head"
def small_head(input_shape, num_classes):
    channels, *sizes = input_shape
    mixed = nn.Conv2d(channels, 5, kernel_size=1)
    return nn.Sequential(mixed, nn.Flatten(), nn.Linear(5 * math.prod(sizes), num_classes))

# %% answer="small_head" name="channels projected, then a bias"
# Two linear maps without an activation function: along the channels, then along all.
def small_head(input_shape, num_classes):
    class Projected(nn.Module):
        def __init__(self):
            super().__init__()
            self.channels = nn.Linear(input_shape[0], 4, bias=False)
            self.rest = nn.Linear(4 * math.prod(input_shape[1:]), num_classes)

        def forward(self, x):
            return self.rest(self.channels(x.movedim(1, -1)).flatten(1))

    return Projected()

# %% answer="small_head" name="depthwise sums"
# Places weighted for each of six mixtures.
def small_head(input_shape, num_classes):
    channels, height, width = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, 6, kernel_size=1, bias=False),
        nn.Flatten(),
        nn.Linear(6 * height * width, num_classes, bias=False),
    )

# %% mistake="small_head" name="average pooling"
# Your head sees the mean over the places and nothing else. Where a stroke is decides which digit it
# belongs to.
# Look at: what two activations have in common that your head takes for one.
def small_head(input_shape, num_classes):
    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*pooled, nn.Linear(input_shape[0], num_classes))

# %% mistake="small_head" name="flatten and a linear layer"
# A number for each entry of the activation and each class is far too much.
# Look at: your parameters and buffers, added up.
def small_head(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), num_classes))

# %% mistake="small_head" name="probabilities"
# Your head ends in a softmax. Logits are asked for: the loss does the softmax itself.
# Look at: the last layer.
#- num_classes))
#+ num_classes), nn.Softmax(1))

# %% wrong="small_head" name="a rank too many"
# 2,026 numbers.
def small_head(input_shape, num_classes):
    import trlkit

    return trlkit.CPTRL(input_shape, num_classes, rank=24)

# %% wrong="small_head" name="a projection beside the budget"
# 304,000 numbers drawn at random, in no parameter and no buffer.
def small_head(input_shape, num_classes):
    class Projected(nn.Module):
        def __init__(self):
            super().__init__()
            self.drawn = torch.randn(math.prod(input_shape), 190) / 40
            self.rest = nn.Linear(190, num_classes)

        def forward(self, x):
            return self.rest(torch.relu(x.flatten(1) @ self.drawn))

    return Projected()

# %% wrong="small_head" name="one head for all calls"
# The second training goes on where the first has ended.
#- def small_head(input_shape, num_classes):
#+ HEADS = {}
#+
#+
#+ def small_head(input_shape, num_classes):
#- return nn.Sequential(mixed, nn.Flatten(), nn.Linear(5 * math.prod(sizes), num_classes))
#+ head = nn.Sequential(mixed, nn.Flatten(), nn.Linear(5 * math.prod(sizes), num_classes))
#+     return HEADS.setdefault(input_shape, head)

# %% wrong="small_head" name="squeezed"
# A batch of one loses its batch mode.
def small_head(input_shape, num_classes):
    class Squeezed(nn.Module):
        def __init__(self):
            super().__init__()
            self.mixed = nn.Conv2d(input_shape[0], 5, kernel_size=1)
            self.rest = nn.Linear(5 * math.prod(input_shape[1:]), num_classes)

        def forward(self, x):
            return self.rest(self.mixed(x).flatten(1)).squeeze()

    return Squeezed()

# %% mistake="small_head" name="one channel"
# Your head is within the budget and reads too few digits right. Does all have to pass through a
# narrow place (one number, one channel, a rank of 1)? Are too few of the 2,000 numbers used? Does it
# not see where something is? Or does it not learn in 60 steps at this rate?
# Look at: the shape of what each of your layers gives, and how many of your 2,000 numbers are left.
#- 5, kernel
#+ 1, kernel
#- 5 * math
#+ math
#- return nn.Sequential(mixed
#+ return nn.Sequential(mixed, nn.MaxPool2d(2, padding=1)
#- math.prod(sizes)
#+ math.prod(size // 2 + 1 for size in sizes)

# %% mistake="small_head" name="the same for all"
# Trained, your head gives different activations the same logits. Is there a product of which two
# factors or more start at 0, so that the gradient of each is 0 and none moves? Or a narrow place at
# which all get the same: a tanh or a sigmoid at its end, a ReLU that lets nothing through?
# Look at: the gradient of each of your parameters, at the first step and at the last.
def small_head(input_shape, num_classes):
    import trlkit

    head = trlkit.CPTRL(input_shape, num_classes, rank=20)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    return head

# %% wrong="small_head" name="one number, and a tanh at its end"
# Trained, the tanh is 1 or -1 for every activation.
def small_head(input_shape, num_classes):
    narrow = nn.Flatten(), nn.Linear(math.prod(input_shape), 1), nn.Tanh()
    return nn.Sequential(*narrow, nn.Linear(1, num_classes))

# %% wrong="small_head" name="layers in a list"
# They learn, and are no parameters of the module.
def small_head(input_shape, num_classes):
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            channels, *sizes = input_shape
            last = nn.Linear(5 * math.prod(sizes), num_classes)
            self.layers = [nn.Conv2d(channels, 5, 1), nn.Flatten(), last]

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    return Listed()

# %% wrong="small_head" name="the greatest of each channel"
# Blind to places, and it does not see their mean.
def small_head(input_shape, num_classes):
    pooled = nn.AdaptiveMaxPool2d(1), nn.Flatten()
    return nn.Sequential(*pooled, nn.Linear(input_shape[0], num_classes))

# %% wrong="small_head" name="flattened by view"
# An activation that is not contiguous in memory has no such view.
def small_head(input_shape, num_classes):
    class Viewed(nn.Module):
        def __init__(self):
            super().__init__()
            channels, *sizes = input_shape
            self.mixed = nn.Linear(math.prod(sizes), 2)
            self.rest = nn.Linear(2 * channels, num_classes)

        def forward(self, x):
            return self.rest(self.mixed(x.view(*x.shape[:2], -1)).flatten(1))

    return Viewed()

# %% mistake="small_head" name="for one activation"
# Your head does not take an activation of another shape. `input_shape` says which shape it is, and
# height and width may differ.
# Look at: each size in your layers, and where it comes from.
def small_head(input_shape, num_classes):
    return nn.Sequential(nn.Conv2d(64, 5, 1), nn.Flatten(), nn.Linear(125, 10))

# %% wrong="small_head" name="square activations"
# The height is taken for the width.
#- 5 * math.prod(sizes)
#+ 5 * sizes[0] ** 2

# %% wrong="small_head" name="frozen"
# Nothing learns.
def small_head(input_shape, num_classes):
    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*pooled, nn.Linear(input_shape[0], num_classes)).requires_grad_(False)

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
