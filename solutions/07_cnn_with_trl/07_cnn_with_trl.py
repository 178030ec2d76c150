# %% [markdown]
# # 7. A CNN with a TRL { minutes: 75, difficulty: 3 }
#
# Now a whole network. A small CNN, two convolutions and a pooling, ends the usual way: flatten, a linear layer of
# 128, a linear layer for the classes. You find out what shape its activation has, put a TRL where the flatten was,
# train both on real handwritten digits, and compare them without fooling yourself.
#
# **After this chapter you can**
#
# - compute the shape of an activation by hand, layer by layer, and check it against a summary;
# - replace the flatten and the linear layers of a network of your own by a TRL;
# - say why a summary may print 0 for a layer that has thousands of parameters;
# - write a training step and a measurement without the three classic slips;
# - compare two networks by accuracy, parameters and time, and say what the numbers do *not* show.
#
# **You need** chapter 0, and to know what a CP TRL is (chapter 4); its code comes from `trlkit` here. Everything
# runs on a CPU: the longest cell trains for about ten seconds.

# %% lock="imports_07"
import math
import sys

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

import trlkit
from trlkit.lab import data, models, plotting, training
from trlkit.course import check, reveal

# %% [markdown]
# ## 7.1 How many places a window has { minutes: 6, difficulty: 1 }
#
# A TRL must be told the shape of what it takes. For a linear layer one number was enough, and people find it by
# trial: run, read the error, copy the number. Here you compute it.
#
# A convolution and a pooling do the same along each axis: a window of `kernel_size` pixels starts at the left edge
# and moves by `stride` pixels as long as it fits. **One output pixel for each place of the window.** With `padding`,
# that many empty pixels stand on *each* side first. Here are the places on a row of 8 pixels (`.` is a
# pixel, `o` padding, `#` what the window covers):

# %%
for kernel_size, stride, padding in ((3, 1, 0), (2, 2, 0), (3, 2, 0), (3, 2, 1)):
    row = "o" * padding + "." * 8 + "o" * padding
    print(f"kernel_size={kernel_size}, stride={stride}, padding={padding}")
    start = 0
    while start + kernel_size <= len(row):
        print("   ", row[:start] + "#" * kernel_size + row[start + kernel_size :])
        start += stride

# %% [markdown]
# In the third picture the last pixel is never seen: the window would have to stand half outside, and then it is not
# counted. Write how many places there are, as a formula.
#
# Example: `conv_output_size(8, 3, 2, 0)` is `3`, as drawn above.

# %% solve="conv_output_size"
def conv_output_size(size, kernel_size, stride, padding):
    """The size of what a convolution or a pooling gives, along one axis.

    size: int, pixels along that axis.   kernel_size, stride: int, at least 1.
    padding: int, empty pixels on each side. The window fits at least once.
    Returns an int.

    >>> conv_output_size(32, 3, 1, 0)
    30
    """
    ### BEGIN SOLUTION
    return (size + 2 * padding - kernel_size) // stride + 1
    ### END SOLUTION

# %% check="conv_output_size" points=1
check("conv_output_size", conv_output_size)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# How far can the first pixel of the window move to the right, in pixels? And how many steps of <code>stride</code>
# fit into that?
# </details>
#
# <details><summary>Hint: I am off by one</summary>
# The number of steps is not the number of places: with no step at all the window already stands in one place.
# </details>

# %% [markdown]
# ## 7.2 The activation's shape { minutes: 8, difficulty: 2 }
#
# This is the network of the chapter, in the usual form:

# %%
class CNNWithFC(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv_layer1 = nn.Conv2d(3, 32, kernel_size=3)
        self.max_pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
        self.fc1 = nn.Linear(64 * 13 * 13, 128)
        self.relu1 = nn.ReLU()
        self.fc2 = nn.Linear(128, num_classes)

    def forward(self, x):  # (B, 3, 32, 32)
        x = self.conv_layer2(self.max_pool1(self.conv_layer1(x)))
        x = x.reshape(x.shape[0], -1)  # the flatten
        return self.fc2(self.relu1(self.fc1(x)))

# %% [markdown]
# Somebody has written `64 * 13 * 13`, and for images of another size it is wrong. A convolution decides the number
# of channels and trims the edges; a max pooling shrinks height and width, and leaves the channels alone.
#
# **Predict before you run.** The images are 32 x 32. Which width comes out of `conv_layer1`, of `max_pool1` and of
# `conv_layer2`? (The height is the same: one number for each of the three layers.)

# %% predict="three_widths"
### BEGIN SOLUTION
#~ prediction = (..., ..., ...)
prediction = (30, 15, 13)
### END SOLUTION

# %%
def widths():
    network, x, found = CNNWithFC(10), torch.zeros(1, 3, 32, 32), []
    for layer in (network.conv_layer1, network.max_pool1, network.conv_layer2):
        x = layer(x)
        found.append(x.shape[-1])
    return tuple(found)


reveal(prediction, widths)

# %% [markdown]
# Now for any such network, and for images that need not be square. A layer is written as a tuple here:
#
# - `("conv", out_channels, kernel_size, stride, padding)`
# - `("pool", kernel_size, stride)`: a max pooling, without padding

# %% solve="activation_shape"
def activation_shape(layers, input_shape):
    """The shape of what a chain of convolutions and poolings gives.

    layers: list of tuples, ("conv", out_channels, kernel_size, stride, padding) or
      ("pool", kernel_size, stride), in the order in which the image passes them; may be empty.
    input_shape: (channels, height, width) of one image.
    Returns a tuple of three int: (channels, height, width).

    >>> activation_shape([("conv", 32, 3, 1, 0), ("pool", 2, 2)], (3, 32, 32))
    (32, 15, 15)
    """
    ### BEGIN SOLUTION
    channels, height, width = input_shape
    for kind, *numbers in layers:
        if kind == "conv":
            channels, kernel_size, stride, padding = numbers
        else:
            (kernel_size, stride), padding = numbers, 0
        height = conv_output_size(height, kernel_size, stride, padding)
        width = conv_output_size(width, kernel_size, stride, padding)
    return channels, height, width
    ### END SOLUTION

# %% check="activation_shape" points=2
check("activation_shape", activation_shape)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Keep three variables, channels, height and width, and go through the layers. Which of them does a pooling change,
# and which a convolution?
# </details>
#
# <details><summary>Hint: my channels are wrong after a pooling</summary>
# The second entry of a convolution's tuple is its channels. What is the second entry of a pooling's?
# </details>
#
# The other way to the same shape is a **summary**: it sends one image through and writes down what comes out of each
# layer.

# %%
print(trlkit.summary(CNNWithFC(10), (3, 32, 32)))

# %% [markdown]
# ## 7.3 What the head costs { minutes: 7, difficulty: 2 }
#
# The part behind the activation is called the **head**. The one above flattens, has a linear layer to `hidden`
# numbers, and one from there to the classes; both have a bias. A CP TRL of rank $R$ in its place has a factor with $R$
# columns for each mode, classes included, and a bias.
#
# **Predict before you run.** Without looking at the table again: which share of its 1,405,258 parameters is in the two
# *convolutions*? Is it nearest to 1, 10, 30 or 50 percent?

# %% predict="conv_parameters"
### BEGIN SOLUTION
#~ prediction = ...  # 1, 10, 30 or 50
prediction = 1
### END SOLUTION

# %%
def convolution_share():
    network = CNNWithFC(10)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    count = sum(p.numel() for m in convolutions for p in m.parameters())
    percent = 100 * count / sum(p.numel() for p in network.parameters())
    print(f"{count:,} parameters are in the convolutions: {percent:.1f} percent")
    return min((1, 10, 30, 50), key=lambda share: abs(share - percent))


reveal(prediction, convolution_share)

# %% solve="head_parameters"
def head_parameters(input_shape, hidden, num_classes, rank):
    """The parameters of two heads for the same activation.

    input_shape: tuple of int, the activation without the batch; any number of modes.
    hidden: int, between the two linear layers.   num_classes, rank: int.
    Returns a tuple of two int:
      flatten and two linear layers with biases: input_shape -> hidden -> num_classes;
      a CP TRL of that rank with a bias: input_shape -> num_classes.

    >>> head_parameters((2, 3), 4, 5, 1)
    (53, 15)
    """
    ### BEGIN SOLUTION
    linear = math.prod(input_shape) * hidden + hidden + hidden * num_classes + num_classes
    trl = rank * (sum(input_shape) + num_classes) + num_classes
    return linear, trl
    ### END SOLUTION

# %% check="head_parameters" points=2
check("head_parameters", head_parameters)

# %% [markdown]
# <details><summary>Hint: the example by hand</summary>
# Flattened, (2, 3) are 6 numbers: 6 x 4 weights and 4 biases, then 4 x 5 weights and 5 biases. The TRL has factors of
# 2, 3 and 5 rows with one column each, and 5 biases.
# </details>
#
# <details><summary>Hint: my second number is far too large</summary>
# The sizes of one big weight multiply. Factors lie beside each other: their sizes add up.
# </details>
#
# With your function, for this network and 10 classes: the heads in numbers, the whole networks as bars. The second of
# them is a rival that is often forgotten: one linear layer straight to the classes.

# %%
convolutions, two_linear = 896 + 18_496, head_parameters((64, 13, 13), 128, 10, 16)[0]
heads = {"two linear layers": two_linear, "one linear layer": 64 * 13 * 13 * 10 + 10} | {
    f"CP TRL, rank {rank}": head_parameters((64, 13, 13), 128, 10, rank)[1] for rank in (16, 64)
}
for name, head in heads.items():
    print(f"{name:18s} {head:10,d}")

plotting.parameter_bars({name: {"convolutions": convolutions, "head": head} for name, head in heads.items()})

# %% [markdown]
# ## 7.4 Replace the head { minutes: 13, difficulty: 3 }
#
# Build the same network with a TRL. The convolutions and the pooling stay as they are in `CNNWithFC`, under the same
# names (they are there already); flatten, `fc1`, `relu1` and `fc2` are gone, and one layer called `trl` comes:
# `trlkit.CPTRL(input_shape, num_classes, rank)`, with its bias. Two things to keep in mind:
#
# - **The shape belongs to the image size.** `CNNWithTRL(7, 16, image_size=48)` must work as well; you have
#   `activation_shape`.
# - **What comes out are logits**, one unbounded number for each class, as in `CNNWithFC`. No softmax.

# %% solve="CNNWithTRL"
class CNNWithTRL(nn.Module):
    """Two convolutions with a pooling between, and a CP tensor regression layer.

    num_classes: int.   rank: int, of the TRL.
    image_size: int, height and width of the images.
    Its children: conv_layer1, max_pool1, conv_layer2 as in CNNWithFC, and trl, a trlkit.CPTRL.

    forward(x): x of shape (B, 3, image_size, image_size) -> logits (B, num_classes).

    >>> CNNWithTRL(10, rank=16, image_size=32)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, num_classes, rank, image_size=32):
        super().__init__()
        self.conv_layer1 = nn.Conv2d(3, 32, kernel_size=3)
        self.max_pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.conv_layer2 = nn.Conv2d(32, 64, kernel_size=3)
        ### BEGIN SOLUTION
        layers = [("conv", 32, 3, 1, 0), ("pool", 2, 2), ("conv", 64, 3, 1, 0)]
        activation = activation_shape(layers, (3, image_size, image_size))
        self.trl = trlkit.CPTRL(activation, num_classes, rank)
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        x = self.conv_layer1(x)  # (B, 32, H - 2, W - 2)
        x = self.max_pool1(x)
        x = self.conv_layer2(x)  # (B, 64, ...)
        return self.trl(x)  # (B, num_classes)
        ### END SOLUTION

# %% check="CNNWithTRL" points=3
check("CNNWithTRL", CNNWithTRL)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Compare with <code>CNNWithFC</code>. In <code>__init__</code> three lines are gone already, and one must come. In
# <code>forward</code> the line with the reshape goes, too: the TRL takes the activation as it is.
# </details>
#
# <details><summary>Hint: it complains about the shape of x</summary>
# Compare what you gave <code>CPTRL</code> as <code>input_shape</code> with what <code>conv_layer2</code> gives. Did you
# count the pooling, and the second convolution after it?
# </details>
#
# <details><summary>Hint: right for 32 pixels only</summary>
# Write the three layers as tuples, as in 7.2, and let <code>activation_shape</code> compute the rest from
# <code>image_size</code>.
# </details>
#
# That is the whole surgery for a network that you wrote yourself. For one that you didn't, `trlkit` finds the place. It
# keeps the name of the last linear layer for the TRL, takes `fc1` and `relu1` out, and gives the network a `forward`
# without them and without the flatten. The network that you hand over is itself changed; `freeze=False` says that its
# convolutions go on learning.

# %%
print(trlkit.replace_classifier(CNNWithFC(10), 10, rank=16, freeze=False, input_size=(3, 32, 32)))

# %% [markdown]
# ## 7.5 A table that misses parameters { minutes: 9, difficulty: 3 }
#
# Many people look at their networks with another package, `torchsummary`. Let it look at a TRL network whose layer has
# no bias, for 7 classes.

# %%
network = models.ConvNeuralNet(7, rank=100)  # trlkit's form of the network above; its last layer is called head
network.head = trlkit.CPTRL((64, 13, 13), 7, rank=100, bias=False)
print(f"{sum(p.numel() for p in network.parameters()):,} parameters in all")

# %% [markdown]
# **Predict before you run.** The convolutions have 19,392 of them and the TRL 9,700. How many does torchsummary print for
# the TRL, and how many in all?

# %% predict="torchsummary_lines"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # for the TRL, and in all
prediction = (0, 19_392)
### END SOLUTION

# %%
import torchsummary

torchsummary.summary(network, (3, 32, 32), device="cpu")
reveal(prediction, (0, 896 + 18_496))

# %% [markdown]
# 9,700 parameters are missing. torchsummary adds up, for every layer that the image passes, the entries of the attribute
# called **exactly `weight`** and of the one called **exactly `bias`**, if they are there. A TRL has no `weight`: it has
# `factors` (and a Tucker TRL a `core`), so it counts as 0, or as its bias alone. Nothing is lost in the network: the
# optimizer sees all of it. Only the table is wrong. `trlkit.summary` asks for all parameters:

# %%
print(trlkit.summary(network, (3, 32, 32)))

# %% [markdown]
# Write the difference as a function. `module.named_parameters(recurse=False)` gives the parameters of one module *itself*,
# with their names, without those of the modules inside it; `model.modules()` runs over all modules at every depth.
#
# (torchsummary never looks at the network *itself*, only at the layers inside it that the image passes. In the networks
# of the check every parameter belongs to such a layer, so that the name alone decides.)

# %% solve="torchsummary_misses"
def torchsummary_misses(model):
    """What torchsummary counts of a network, and what it misses.

    model: an nn.Module.
    Returns a tuple of two int:
      seen: entries of all parameters that their own module calls exactly "weight" or "bias";
      missed: entries of all other parameters. Frozen parameters count like any others.

    >>> torchsummary_misses(nn.Sequential(nn.Linear(3, 2), trlkit.CPTRL((2,), 4, rank=5)))
    (12, 30)
    """
    ### BEGIN SOLUTION
    seen = missed = 0
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name in ("weight", "bias"):
                seen += parameter.numel()
            else:
                missed += parameter.numel()
    return seen, missed
    ### END SOLUTION

# %% check="torchsummary_misses" points=2
check("torchsummary_misses", torchsummary_misses)

# %% [markdown]
# <details><summary>Hint: the example by hand</summary>
# The linear layer has 6 + 2, all seen. The TRL has factors of 2 x 5 and 4 x 5, missed, and 4 biases, seen.
# </details>
#
# <details><summary>Hint: I count too much as seen</summary>
# <code>"in_weight"</code> contains "weight", and ends with it. Is it called <i>exactly</i> so? And running averages of
# a batch norm are buffers: no parameters.
# </details>
#
# <details><summary>Hint: with the names of model.named_parameters()</summary>
# They are paths such as <code>head.factors.0</code>. The last part of the path is the module's own name for it.
# </details>

# %% [markdown]
# ## 7.6 One step of training { minutes: 10, difficulty: 2 }
#
# A training step has five parts: training mode, forward, loss, backward, step; and the gradients of the last batch must be
# gone before new ones are added. The loss for classes is cross entropy,
#
# $$\ell(z, c) = -\log \frac{e^{z_c}}{\sum_k e^{z_k}}, \qquad z: \text{the logits},\; c: \text{the label},$$
#
# averaged over the batch: `F.cross_entropy(logits, labels)`. **The softmax is inside it.** Whoever puts another one in
# front trains on the softmax of a softmax.
#
# **Predict before you run.** Ten classes. A network is certain and right: its probabilities are 1 for the right class
# and 0 for the others. It hands these *probabilities* to `F.cross_entropy`. Which loss comes out, to one decimal?

# %% predict="softmax_twice"
### BEGIN SOLUTION
#~ prediction = ...  # 0.0, or 1.5, or 2.3
prediction = 1.5
### END SOLUTION

# %%
certain = F.one_hot(torch.tensor([3]), 10).float()  # (1, 10), as a softmax could give
reveal(prediction, lambda: round(F.cross_entropy(certain, torch.tensor([3])).item(), 1))

# %% [markdown]
# That would be the best loss that this network can ever report, and the gradients on the way there are small. Nothing
# crashes; it just learns worse.
#
# Now write the step. It takes the model in whatever mode it comes (a validation may just have put it in eval mode) and
# leaves it in training mode.

# %% solve="train_on_batch"
def train_on_batch(model, optimizer, x, labels):
    """One step of training with cross entropy.

    model: an nn.Module that gives logits (B, classes).   optimizer: of the model's parameters.
    x: Tensor (B, ...).   labels: int64 Tensor (B,), classes from 0.
    Puts the model in training mode, forgets all gradients that are there before the call
    (of earlier batches, say), and steps once.
    Returns a float: the mean cross entropy of this batch, before the step.

    >>> model = nn.Linear(4, 2)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> train_on_batch(model, optimizer, torch.zeros(3, 4), torch.tensor([0, 1, 1])) > 0
    True
    """
    ### BEGIN SOLUTION
    model.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), labels)
    loss.backward()
    optimizer.step()
    return loss.item()
    ### END SOLUTION

# %% check="train_on_batch" points=3
check("train_on_batch", train_on_batch)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Each of the parts is one short call, on the model, the optimizer or the loss. Put them in order: what must be there
# before <code>backward()</code>, what must be gone before it, and what needs the gradients that it makes?
# </details>
#
# <details><summary>Hint: the first call is right and the second is not</summary>
# <code>backward()</code> <i>adds</i> to what is in <code>.grad</code>. Whose numbers are still in there? The optimizer has
# a method that clears them.
# </details>
#
# <details><summary>Hint: it should return a float</summary>
# A loss is a tensor of one entry that remembers the whole forward pass. <code>.item()</code> is its number.
# </details>
#
# What a softmax too many does: one linear layer on the small 8 x 8 digits, 100 of your steps on all training images, with
# and without a softmax at its end.

# %%
images, labels = data.digits(size=8).train.tensors
lines = {}
for name, end in {"logits": nn.Identity(), "softmax first": nn.Softmax(dim=1)}.items():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 10), end)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    wrong = []
    for _ in range(100):
        wrong.append(100 * (model(images).argmax(1) != labels).double().mean().item())
        train_on_batch(model, optimizer, images, labels)
    lines[name] = (range(0, 100, 5), wrong[::5])

plotting.curves(lines, "steps", "training images read wrong, in percent", log="y")

# %% [markdown]
# ### Once through real digits
#
# The 1,797 handwritten digits of scikit-learn, 8 x 8 pixels, enlarged to 32 x 32 and with three equal channels. They come
# in three parts: to train on, to compare with (validation), and a test set for the very last look.

# %%
digits = data.digits(size=32)
print(*(f"{name} {len(part)}" for name, part in zip(digits._fields, digits)), sep=", ")
shown = {int(label): image for image, label in (digits.train[k] for k in range(60))}
plotting.images({f"a {label}": shown[label] for label in sorted(shown)}, rows=2)

# %%
images, labels = digits.train.tensors
torch.manual_seed(0)
network = CNNWithTRL(10, rank=16, image_size=32)
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
losses = []
for batch in tqdm(torch.randperm(len(images)).split(64), file=sys.stdout, unit="batch"):
    losses.append(train_on_batch(network, optimizer, images[batch], labels[batch]))

plotting.curves({"loss": (range(len(losses)), losses)}, "batches of 64 images", "cross entropy")

# %% [markdown]
# ## 7.7 Measure it { minutes: 8, difficulty: 2 }
#
# The accuracy is the share of samples whose greatest logit is at the right class. Two modes matter when you measure:
#
# - **eval mode**: dropout (tensor dropout as well) stops drawing, and batch norm uses its running averages instead of
#   the batch's. In training mode you would measure another network each time, and *change* the running averages.
# - **no gradients**: a measurement needs none, and storing for a backward pass what will never come costs memory.
#
# What you find you leave: a measurement in the middle of training must not leave the model in eval mode, nor one of a
# finished model put it in training mode; and gradients are recorded again afterwards, for everybody.

# %% solve="accuracy_of"
def accuracy_of(model, x, labels):
    """The share of samples that a model classifies right.

    model: an nn.Module that gives logits (B, classes), as a whole in training or in eval mode.
    x: Tensor (B, ...).   labels: int64 Tensor (B,).
    Measures in eval mode and without recording gradients. Leaves everything as it was: the
    model's mode, its parameters and their gradients, and whether gradients are recorded.
    Returns a float from 0 to 1, not rounded.

    >>> accuracy_of(nn.Identity(), torch.eye(4), torch.tensor([0, 1, 2, 2]))
    0.75
    """
    ### BEGIN SOLUTION
    was = model.training
    model.eval()
    with torch.no_grad():
        right = model(x).argmax(dim=1) == labels
    model.train(was)
    return right.double().mean().item()
    ### END SOLUTION

# %% check="accuracy_of" points=2
check("accuracy_of", accuracy_of)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# <code>model(x)</code> has shape (B, classes). Along which dimension is the greatest to be found, and what is to be
# compared with the labels?
# </details>
#
# <details><summary>Hint: the mode afterwards is not right</summary>
# Every module has an attribute <code>training</code>, and <code>model.train(False)</code> is <code>model.eval()</code>.
# What must you remember before you change it?
# </details>
#
# Your network after its one epoch, on images that it has not seen:

# %%
print(f"accuracy on the validation set: {accuracy_of(network, *digits.validation.tensors):.3f}")

# %% [markdown]
# ## 7.8 Both networks, compared { minutes: 8, difficulty: 3 }
#
# From here on `trlkit` does the steps: `training.fit` is your step in a loop, with a progress bar, a validation after each
# epoch, and the seconds; it uses a GPU if there is one. `models.ConvNeuralNet(10)` is `CNNWithFC`, `ConvNeuralNet(10, rank=16)`
# is `CNNWithTRL`. Three epochs each, by Adam, at first with PyTorch's default learning rate of 0.001.

# %%
def trained(model, dataset, learning_rate, epochs=3):
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    return training.fit(model, dataset.train, dataset.validation, epochs, optimizer=optimizer)


histories = {}
torch.manual_seed(0)
fc_network = models.ConvNeuralNet(10)
histories["flatten + FC, rate 0.001"] = trained(fc_network, digits, 0.001)

torch.manual_seed(0)
histories["TRL of rank 16, rate 0.001"] = trained(models.ConvNeuralNet(10, rank=16), digits, 0.001)

# %%
def accuracy_curves(histories):
    picture = plotting.curves(
        {n: (range(1, 1 + len(h.seconds)), h.validation_accuracy) for n, h in histories.items()},
        "epoch",
        "accuracy on the validation set",
    )
    picture.axes[0].set_xticks((1, 2, 3))
    return picture


accuracy_curves(histories)

# %% [markdown]
# Is the TRL that much worse, or does the rate not suit it? Each entry of its weight is a sum of *products* of four
# numbers. **A fair comparison gives each network the rate that suits it**, chosen on the validation set.
#
# **Predict before you run.** The same TRL at rate 0.01. Does the gap to the flatten + FC network at least halve?

# %% predict="better_rate"
### BEGIN SOLUTION
#~ prediction = ...  # True or False
prediction = True
### END SOLUTION

# %%
torch.manual_seed(0)
trl_network = models.ConvNeuralNet(10, rank=16)
histories["TRL of rank 16, rate 0.01"] = trained(trl_network, digits, 0.01)

fc, slow, fast = (history.validation_accuracy[-1] for history in histories.values())
reveal(prediction, fc - fast < (fc - slow) / 2)
accuracy_curves(histories)

# %% [markdown]
# The others deserve the same care. With the rate changed in their cells to 0.003 and 0.01, flatten + FC ends at 0.981 and
# 0.937, and one linear layer (below) at 0.963 and 0.933; the TRL of rank 16 with 0.003 and 0.02 at 0.881 and 0.944.
#
# ### Accuracy against parameters
#
# Two more ranks, and the forgotten rival, one linear layer on the flattened activation.

# %%
def one_linear():
    network = models.ConvNeuralNet(10)
    network.head = nn.Sequential(nn.Flatten(), nn.Linear(64 * 13 * 13, 10))
    return network


networks = {"flatten + FC": fc_network, "TRL, rank 16": trl_network}
runs = {
    "flatten + FC": histories["flatten + FC, rate 0.001"],
    "TRL, rank 16": histories["TRL of rank 16, rate 0.01"],
}
makers = {
    "flatten + one linear": (one_linear, 0.001),
    "TRL, rank 4": (lambda: models.ConvNeuralNet(10, rank=4), 0.01),
    "TRL, rank 64": (lambda: models.ConvNeuralNet(10, rank=64), 0.01),
}
for name, (make, rate) in makers.items():
    torch.manual_seed(0)
    networks[name] = make()
    runs[name] = trained(networks[name], digits, rate)

# %%
def size(network):
    return sum(p.numel() for p in network.parameters())


print(f"{'':22s} {'network':>11s} {'head alone':>11s} {'validation':>11s} {'s / epoch':>10s}")
for name, network in sorted(networks.items(), key=lambda item: -size(item[1])):
    last, seconds = runs[name].validation_accuracy[-1], min(runs[name].seconds)
    head = size(network.head)
    print(f"{name:22s} {size(network):11,d} {head:11,d} {last:11.3f} {seconds:10.2f}")

points = {n: (size(networks[n].head), runs[n].validation_accuracy[-1]) for n in networks}
ranks = ["TRL, rank 4", "TRL, rank 16", "TRL, rank 64"]
lines = {name: ([x], [y]) for name, (x, y) in sorted(points.items(), key=lambda item: item[1])}
plotting.curves(lines, "parameters of the head", "accuracy on the validation set", log="x")

# %% [markdown]
# Read the table line by line, and mind three things.
#
# - **Against which baseline?** Next to two linear layers a TRL saves nearly everything, but so does *one* linear layer, and
#   it reads as well as they do, as far as these numbers tell. The TRL is much smaller still; that is its honest saving.
#   It has no activation function either (the ReLU went with the old head), so that flatten + FC differs from it in two
#   things, and one linear layer in one: the rank.
# - **Where the time goes.** The report in 7.4 counts 10.56 MFLOP for an image before and 8.15 after (2 FLOP for each
#   "mult-add" of the summaries, which count them in millions under a wrong unit): nearly all parameters
#   are gone and less than a quarter of the work, because most of the work is in the convolutions.
# - **How sure is this?** One start, one split, 270 images. If a network is right on a share $p$ of $n$ images, the
#   share is uncertain by about $\sqrt{p (1 - p) / n}$.
#
# The last look, at the test set, once: for flatten + FC, and for the rank that the validation set likes best.

# %%
best = max(ranks, key=lambda name: runs[name].validation_accuracy[-1])
for name in ("flatten + FC", best):
    share = training.evaluate(networks[name], digits.test).accuracy
    error = math.sqrt(share * (1 - share) / len(digits.test))
    print(f"{name:15s} {share:.1%} of {len(digits.test)} test images, give or take {error:.1%}")

# %% [markdown]
# Both may read less well here than on the validation set: these are other images, and the best of several networks on a
# validation set is flattered by it. A difference of one or two such errors proves nothing. What *is* shown: a network
# with about a fiftieth of the parameters comes close on these digits, if it gets its own learning rate; and with too low
# a rank it does not. Whether a TRL is *better* anywhere is a question for harder data, and the papers disagree: see the
# end of this page.

# %% [markdown]
# ## 7.9 The same code on other data { minutes: 2, difficulty: 2 }
#
# CIFAR-10 (10 kinds of things), FER2013 (faces, 7 emotions), or photographs of your own, in one folder for each class. Set a
# folder below, and the same `trained` runs on it. They are larger: expect minutes for an epoch of CIFAR-10 on a CPU,
# and try other ranks and rates (64 and 0.003 are a start, tuned on none of them), a ReLU behind each convolution, tensor
# dropout (chapter 6).

# %%
CIFAR10 = None  # the folder that holds cifar-10-batches-py
FER2013 = None  # the folder that holds fer2013/icml_face_data.csv or fer2013/fer2013.csv
IMAGES = None  # your own: a folder that holds a folder of images for each class
IMAGE_CLASSES = 2  # how many those are

# %%
sources = {
    "CIFAR-10": (data.cifar10, CIFAR10, 10),
    "FER2013": (data.fer2013, FER2013, 7),
    "your own images": (data.image_folder, IMAGES, IMAGE_CLASSES),
}
for name, (load, folder, classes) in sources.items():
    if folder is None:
        print(f"{name}: skipped, no folder is set")
        continue
    dataset = load(folder, size=32)
    model = models.ConvNeuralNet(classes, rank=64)
    history = trained(model, dataset, 0.003, epochs=1)
    print(f"{name}: accuracy {history.validation_accuracy[-1]:.3f} on {len(dataset.validation)} images")

# %% [markdown]
# ## 7.10 Quiz: larger faces { minutes: 2, difficulty: 2 }
#
# **FER2013's faces are 48 x 48. Which activation does `conv_layer2` of this chapter's network give for them?**
#
# - **a** (64, 13, 13)
# - **b** (64, 44, 44)
# - **c** (64, 21, 21)
# - **d** (64, 22, 22)

# %% solve="quiz_faces_shape"
### BEGIN SOLUTION
#~ quiz_faces_shape = ...  # "a", "b", "c" or "d"
quiz_faces_shape = "c"
### END SOLUTION

# %% check="quiz_faces_shape" points=1
check("quiz_faces_shape", quiz_faces_shape)
### HASHED AUTOTEST quiz_faces_shape

# %% [markdown]
# ## 7.11 Quiz: the same image twice { minutes: 1, difficulty: 2 }
#
# **A trained network with dropout gives the same image to two different classes, a moment apart. What was forgotten?**
#
# - **a** `torch.no_grad()`
# - **b** `model.eval()`
# - **c** the softmax
# - **d** `optimizer.zero_grad()`

# %% solve="quiz_without_eval"
### BEGIN SOLUTION
#~ quiz_without_eval = ...  # "a", "b", "c" or "d"
quiz_without_eval = "b"
### END SOLUTION

# %% check="quiz_without_eval" points=1
check("quiz_without_eval", quiz_without_eval)
### HASHED AUTOTEST quiz_without_eval

# %% [markdown]
# ## 7.12 Quiz: what bends { minutes: 1, difficulty: 3 }
#
# **Which part of `CNNWithTRL` is *not* linear in its input (up to a constant)?**
#
# - **a** `conv_layer1` and `conv_layer2`
# - **b** `trl`
# - **c** only `max_pool1`
# - **d** nothing: the whole network is linear

# %% solve="quiz_nonlinear"
### BEGIN SOLUTION
#~ quiz_nonlinear = ...  # "a", "b", "c" or "d"
quiz_nonlinear = "c"
### END SOLUTION

# %% check="quiz_nonlinear" points=1
check("quiz_nonlinear", quiz_nonlinear)
### HASHED AUTOTEST quiz_nonlinear

# %% [markdown]
# ## What to take away
#
# - Windows decide an activation's shape: (size + 2 padding - kernel) // stride + 1 along each axis.
# - Replacing flatten and linear layers by a TRL takes one line in `__init__` and takes one away in `forward`.
# - A summary counts what it looks for. `sum(p.numel() for p in model.parameters())` counts what is there.
# - Logits go into cross entropy. Measure in eval mode, without gradients, and put the mode back.
# - Compare networks each at its own learning rate, on the validation set; name the baseline and the uncertainty; the
#   test set comes last.
#
# ## To go further
#
# - Kossaifi, Lipton, Kolbeinsson, Khanna, Furlanello, Anandkumar: *Tensor Regression Networks*, JMLR 21 (2020). The method,
#   on ImageNet.
# - Cao, Rabusseau: *Tensor Regression Networks with various Low-Rank Tensor Approximations*, arXiv 1712.09520. On CIFAR-10
#   global average pooling beats a TRL in a deep CNN; a TRL with dropout wins in a shallow one with few samples.
# - Dumoulin, Visin: *A guide to convolution arithmetic for deep learning*, arXiv 1603.07285. The formula of 7.1 in pictures.
#
# **Next:** chapter 8, *VGG16 with a TRL*: the same replacement in a network that somebody else has trained.
