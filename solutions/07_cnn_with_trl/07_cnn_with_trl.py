# %% [markdown]
# # 7. A CNN with a TRL { minutes: 100, difficulty: 4 }
#
# Two heads learn digits from the same activations, with the same batches, by Adam with PyTorch's default rate of 0.001. Look at the picture.
# **Is the TRL that bad, or is the race unfair? And why should a TRL need another learning rate at all?** You will put a TRL into a
# network, find the answer in one line of algebra, mend the start of the layer so that it needs none, and then compare heads without
# fooling yourself.
#
# **You need** chapter 0, and to know what a CP TRL is (chapter 4); its code comes from `trlkit` here. As in all chapters, checks try dtypes, gradients,
# inputs that are not contiguous, and whether what you are given stays as it was.

# %% lock="imports_07"
import copy
import math
import sys

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

import trlkit
from trlkit.lab import data, features, models, plotting, training
from trlkit.lab.statistics import interval
from trlkit.course import check, explore, progress, reveal

# %%
def linear_head():
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(features.SHAPE), features.CLASSES))


def trl_head():
    return trlkit.CPTRL(features.SHAPE, features.CLASSES, rank=16)


def smooth(losses):
    return [sum(losses[max(0, k - 4) : k + 1]) / len(losses[max(0, k - 4) : k + 1]) for k in range(len(losses))]


race = {"flatten and one linear layer": linear_head, "TRL of rank 16": trl_head}
lines = {}
for name, make in tqdm(race.items(), file=sys.stdout):
    trained_head, losses = features.train_head(make, seed=0, rate=0.001)
    numbers = sum(p.numel() for p in trained_head.parameters())
    label = f"{name}: {numbers:,} numbers, {features.accuracy(trained_head):.0f} % read right"
    lines[label] = (range(0, 60, 2), smooth(losses)[::2])
plotting.curves(lines, "step", "loss, mean of five batches")

# %% [markdown]
# The activations are those of an untrained convolution, (64, 5, 5) for each digit, so that only the head learns and a
# race takes a second. `features.train_head(make, seed, rate)` makes a head and trains it 60 steps; start and batches depend on the seed alone.
#
# **Predict before you run.** With which rate is the TRL's curve after 60 steps about where the linear layer's is at 0.001? 0.002, 0.005, or 0.02?

# %% predict="suited_rate"
### BEGIN SOLUTION
#~ prediction = ...  # 0.002, 0.005 or 0.02
prediction = 0.005
### END SOLUTION

# %%
def last_loss(make, rate):
    return sum(features.train_head(make, 0, rate)[1][-5:]) / 5


def nearest_rate():
    goal = last_loss(linear_head, 0.001)
    return min((0.002, 0.005, 0.02), key=lambda rate: abs(last_loss(trl_head, rate) - goal))


reveal(prediction, nearest_rate)

# %% [markdown]
# <details><summary>If you predicted 0.002</summary>
# It is more than a little tuning. Where that comes from you find out in 7.6.
# </details>
#
# <details><summary>If you predicted 0.02</summary>
# There it is ahead by far. The first step alone would ask for that much; 7.6 shows why the later ones don't.
# </details>

# %% [markdown]
# ## 7.1 The activation's shape { minutes: 9, difficulty: 2 }
#
# First the layer has to get into a network, and a TRL must be told the shape of what it takes.
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
# <details><summary>If you predicted 32, 16, 16 or 30, 15, 15</summary>
# A window of 3 pixels that must stand inside the image has fewer places than there are pixels, in the second convolution as in the first.
# </details>
#
# A convolution and a pooling do the same along each axis: a window of `kernel_size` pixels starts at the left edge
# and moves by `stride` pixels as long as it fits, with `padding` empty pixels on *each* side: **one output pixel for each place of the window**.
# Write the shape for any such network, and for images that need not be square. A layer is written as a tuple here:
#
# - `("conv", out_channels, kernel_size, stride, padding)`
# - `("pool", kernel_size, stride)`: a max pooling, without padding

# %% solve="activation_shape"
def activation_shape(layers, input_shape):
    """The shape of what a chain of convolutions and poolings gives.

    layers: list of tuples, ("conv", out_channels, kernel_size, stride, padding) or
      ("pool", kernel_size, stride), in the order in which the image passes them; may be empty.
      Each window fits at least once.
    input_shape: (channels, height, width) of one image.
    Returns a tuple of three int: (channels, height, width).

    >>> activation_shape([("conv", 32, 3, 1, 0), ("pool", 2, 2)], (3, 32, 32))
    (32, 15, 15)
    """
    ### BEGIN SOLUTION
    channels, *sizes = input_shape
    for kind, *numbers in layers:
        if kind == "conv":
            channels, kernel_size, stride, padding = numbers
        else:
            (kernel_size, stride), padding = numbers, 0
        sizes = [(size + 2 * padding - kernel_size) // stride + 1 for size in sizes]
    return channels, *sizes
    ### END SOLUTION

# %% check="activation_shape" points=1
check("activation_shape", activation_shape)

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
# ## 7.2 What the head costs { minutes: 6, difficulty: 2 }
#
# The part behind the activation is called the **head**. The one above flattens, has a linear layer to `hidden`
# numbers, and one from there to the classes; both have a bias. A CP TRL of rank $R$ in its place has a factor with $R$
# columns for each mode, classes included, and a bias.
#
# **Predict before you run.** Which share of its 1,405,258 parameters is in the two
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

# %% [markdown]
# <details><summary>If you predicted 10 or more</summary>
# A window's numbers are used at every place again. How often is a number of the linear layer used?
# </details>

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

# %% check="head_parameters" points=1
check("head_parameters", head_parameters)

# %% [markdown]
# <details><summary>Hint: the example by hand</summary>
# Draw the two weights and the two biases for (2, 3), hidden 4 and 5 classes. Then one factor for each mode.
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
# ## 7.3 Replace the head { minutes: 12, difficulty: 3 }
#
# Build the same network with a TRL. The convolutions and the pooling stay as they are in `CNNWithFC`, under the same
# names (they are there already); flatten, `fc1`, `relu1` and `fc2` are gone, and one layer called `trl` comes:
# `trlkit.CPTRL(input_shape, output_shape, rank)`, whose output is the classes, with its bias. Two things to keep in mind:
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

# %% check="CNNWithTRL" points=2
check("CNNWithTRL", CNNWithTRL)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Compare with <code>CNNWithFC</code>. What is gone already in <code>__init__</code>, what must come, and which line of
# <code>forward</code> has become needless?
# </details>
#
# <details><summary>Hint: it complains about the shape of x</summary>
# Compare what you gave <code>CPTRL</code> as <code>input_shape</code> with what <code>conv_layer2</code> gives. Did you
# count the pooling, and the second convolution after it?
# </details>
#
# <details><summary>Hint: right for 32 pixels only</summary>
# Write the three layers as tuples, as in 7.1, and let <code>activation_shape</code> compute the rest from
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
# ### A table that misses parameters
#
# Many people look at their networks with another package, `torchsummary`. **Predict before you run.** The convolutions of this network have 19,392
# parameters and its TRL, without a bias, 9,700. How many does torchsummary print for the TRL, and how many in all?

# %% predict="torchsummary_lines"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # for the TRL, and in all
prediction = (0, 19_392)
### END SOLUTION

# %%
import torchsummary

network = models.ConvNeuralNet(7, rank=100)  # trlkit's form of the network above; its last layer is called head
network.head = trlkit.CPTRL((64, 13, 13), 7, rank=100, bias=False)
torchsummary.summary(network, (3, 32, 32), device="cpu")
reveal(prediction, (0, 896 + 18_496))

# %% [markdown]
# torchsummary adds up, for every layer that the image passes, the entries of the attributes called **exactly `weight`** and **exactly `bias`**.
# A TRL has `factors` (and a Tucker TRL a `core`), so it counts as 0. Nothing is lost in the network: the
# optimizer sees all of it. Only the table is wrong. `trlkit.summary` asks for all parameters:

# %%
print(trlkit.summary(network, (3, 32, 32)))

# %% [markdown]
# ## 7.4 One step of training { minutes: 8, difficulty: 2 }
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
# <details><summary>If you predicted 0.0</summary>
# That is the loss of a network that is certain. But cross entropy takes the 1 for a logit, and a logit of 1 against nine of 0 is hardly an opinion.
# </details>
#
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
    (of earlier batches, say), and steps once. What is frozen stays frozen.
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

# %% check="train_on_batch" points=1
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
# ## 7.5 Measure it { minutes: 7, difficulty: 2 }
#
# The accuracy is the share of samples whose greatest logit is at the right class. Two modes matter when you measure:
#
# - **eval mode**: dropout (tensor dropout as well) stops drawing, and batch norm uses its running averages instead of
#   the batch's. In training mode you would measure another network each time, and *change* the running averages.
# - **no gradients**: a measurement needs none, and storing for a backward pass what will never come costs memory.
#
# What you find you leave: a measurement in the middle of training must not leave the model in eval mode, nor one of a
# finished model put it in training mode; and gradients are recorded afterwards as they were before, for everybody.

# %% solve="accuracy_of"
def accuracy_of(model, x, labels):
    """The share of samples that a model classifies right.

    model: an nn.Module that gives logits (B, classes), as a whole in training or in eval mode.
    x: Tensor (B, ...).   labels: int64 Tensor (B,).
    Measures in eval mode and without recording gradients. Leaves everything as it was: the
    model's mode, its parameters, their gradients, which of them learn, and whether gradients are
    recorded.
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

# %% check="accuracy_of" points=1
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
# ## 7.6 What one step does { minutes: 12, difficulty: 4 }
#
# Back to the race. The usual suspicion is that the TRL's gradients are too small. Measure them: the norm of the gradient, over all numbers of a
# head, on one batch at the start.

# %%
def gradients_of(make, seed=0, count=128):
    torch.manual_seed(seed)
    head = make()
    images, labels = features.activations()["train"].tensors
    loss = F.cross_entropy(head(images[:count]), labels[:count])
    return [gradient.double() for gradient in torch.autograd.grad(loss, list(head.parameters()))]


for name, make in race.items():
    flat = torch.cat([gradient.flatten() for gradient in gradients_of(make)])
    print(f"{name:30s} norm of the gradient {flat.norm():.2f}, of {len(flat):,} numbers")

# %% [markdown]
# Five times smaller, and five times the rate was enough: is that the reason? Ask what counts: by how much does the **first step** of an optimizer change the loss? To first order, by the gradient times the step,
# $\sum_i g_i\, \Delta\theta_i$. Plain gradient descent steps by $-\text{rate} \cdot g_i$. Adam divides a running mean of each number's gradients by the root of a running mean of
# their squares, both made right for their start at 0. Before the first step each has seen one gradient. Derive what is left of the step (its tiny `eps`
# left aside), and write the change of the loss. The check lets `torch.optim` make the step.

# %% solve="first_step"
def first_step(gradients, rate, optimizer):
    """The change of the loss in an optimizer's first step, to first order.

    gradients: list of float64 Tensors, of one parameter each.   rate: float.
    optimizer: "sgd" (without momentum) or "adam", torch's, fresh, without weight decay.
    Returns a float: negative, as far as the loss goes down.

    >>> first_step([torch.tensor([1.0, 0.0], dtype=torch.float64)], 0.5, "sgd")
    -0.5
    """
    ### BEGIN SOLUTION
    if optimizer == "sgd":
        return -rate * sum(gradient.square().sum().item() for gradient in gradients)
    return -rate * sum(gradient.abs().sum().item() for gradient in gradients)
    ### END SOLUTION

# %% check="first_step" points=3
check("first_step", first_step)

# %% [markdown]
# <details><summary>Hint: what is left of Adam's step?</summary>
# A number divided by the root of its own square: which values can that have, and does the size of the gradient matter?
# </details>
#
# With your function, the heads of this chapter at a rate of 0.001. The last column divides by the linear layer's.

# %%
heads = race | {
    "flatten + FC of 128": lambda: nn.Sequential(nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 10)),
    "average pooling + linear": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    "1x1 convolution to 5 + linear": lambda: nn.Sequential(nn.Conv2d(64, 5, 1), nn.Flatten(), nn.Linear(125, 10)),
}
reference = first_step(gradients_of(linear_head), 0.001, "adam")
for name, make in heads.items():
    gradients = gradients_of(make)
    changes = [first_step(gradients, 0.001, optimizer) for optimizer in ("sgd", "adam")]
    numbers = sum(gradient.numel() for gradient in gradients)
    print(f"{name:30s} {numbers:9,d} numbers   SGD {changes[0]:.5f}   Adam {changes[1]:.4f}   {changes[1] / reference:.3f}")

# %% [markdown]
# That is the answer. **Adam moves every number by the rate, whatever its gradient. A layer with few numbers moves little**, and needs a larger rate to
# change as much; that has nothing to do with tensors, as the 1x1 convolution shows, nor with the norm of the gradient, which Adam divides out. Whoever compares a small layer and a large one at one rate of Adam compares their sizes.
#
# The first step of the TRL does a twentieth, but five times the rate was enough. The same measure, as training goes on:

# %%
def step_size(make, rate, steps):
    head, _ = features.train_head(make, 0, rate, steps)
    images, labels = features.activations()["train"].tensors
    loss = F.cross_entropy(head(images[:128]), labels[:128])
    gradients = torch.autograd.grad(loss, list(head.parameters()))
    return -first_step([gradient.double() for gradient in gradients], rate, "adam")


runs = {"linear layer, rate 0.001": (linear_head, 0.001), "TRL, rate 0.001": (trl_head, 0.001)}
runs |= {"TRL, rate 0.005": (trl_head, 0.005)}
stops = range(0, 61, 10)
lines = {
    name: (stops, [step_size(*run, steps) for steps in stops])
    for name, run in tqdm(runs.items(), file=sys.stdout)
}
plotting.curves(lines, "step", "what one step can change in the loss", log="y")

# %% [markdown]
# The linear layer slows down and the TRL speeds up: its weight is a *product*, and as one factor grows, so do the gradients of the others.

# %% [markdown]
# ## 7.7 The same layer, as quick as you like { minutes: 14, difficulty: 5 }
#
# So one can raise the rate. A puzzle: leave Adam's rate as it is, and mend the *layer*. Write a module that computes what a given layer computes, has as many parameters,
# and in every step of Adam at some rate goes where the layer would go at `times` that rate. Not nearly: exactly.

# %% solve="Quick"
class Quick(nn.Module):
    """A layer that learns by Adam as if its rate were larger.

    Quick(layer, times): layer is any nn.Module for one Tensor, without buffers and without a parameter
    that stands in two places; it is left as it is.
    times: float above 1. The numbers in its parameters are as many as those of the layer; what is
    frozen there is frozen here, and quick.eval() and quick.train() do what they do to the layer.

    quick(x) at first equals layer(x), and after any number of steps of Adam at some rate it equals
    the layer after as many steps at times * rate (but for Adam's eps).

    >>> layer = nn.Linear(2, 1)
    >>> torch.allclose(Quick(layer, 10.0)(torch.ones(1, 2)), layer(torch.ones(1, 2)))
    True
    """

    def __init__(self, layer, times):
        super().__init__()
        ### BEGIN SOLUTION
        self.layer, self.times = copy.deepcopy(layer), times
        with torch.no_grad():
            for parameter in self.layer.parameters():
                parameter.div_(times)
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        larger = {name: self.times * parameter for name, parameter in self.layer.named_parameters()}
        return torch.func.functional_call(self.layer, larger, (x,))
        ### END SOLUTION

# %% check="Quick" points=4
check("Quick", Quick)

# %% [markdown]
# <details><summary>Hint: larger gradients change nothing</summary>
# Right: Adam's step knows no sizes. The step of a number is fixed. What else decides how much a step <i>means</i> for that number?
# </details>
#
# <details><summary>Hint: how do I call a layer with other numbers than its own?</summary>
# <code>torch.func.functional_call</code> takes a module, a dict of tensors by name, and the arguments.
# </details>

# %%
lines = {}
for name, make, rate in (
    ("linear layer, rate 0.001", linear_head, 0.001),
    ("TRL, rate 0.001", trl_head, 0.001),
    ("TRL, rate 0.005", trl_head, 0.005),
    ("Quick(TRL, 5), rate 0.001", lambda: Quick(trl_head(), 5.0), 0.001),
):
    lines[name] = (range(0, 60, 2), smooth(features.train_head(make, 0, rate)[1])[::2])
plotting.curves(lines, "step", "loss, mean of five batches")

# %% [markdown]
# The last two lie on each other, and the gap of the first picture is closed, at the default rate. How a layer is *parametrized* decides how it learns, even if nothing changes in
# what it can compute.
#
# ### What it has learned
#
# A trained TRL can be read. Each component has a profile over the rows, one over the columns, and a number for each class; the product of the first two is where it looks:

# %%
trained_head, _ = features.train_head(trl_head, 0, 0.02, steps=200)
channels, rows, columns, classes = (factor.detach() for factor in trained_head.factors)
strength = channels.norm(dim=0) * rows.norm(dim=0) * columns.norm(dim=0) * classes.norm(dim=0)
shown = {}
for place, r in enumerate(strength.argsort(descending=True)[:8].tolist(), 1):
    likes = classes[:, r] / classes[:, r].abs().max()
    most, least = likes.argmax().item(), likes.argmin().item()
    look = torch.outer(rows[:, r], columns[:, r])
    shown[f"{place}: {most} against {least}"] = look / look.abs().max()
plotting.images(shown, rows=2, signed=True)

# %% [markdown]
# ## 7.8 A fair comparison { minutes: 16, difficulty: 4 }
#
# Now compare heads as it should be done, by an experiment of your own. Each head gets **the rate that suits it**, chosen on some seeds. Then both are
# trained at their rates from *other* seeds, and compared pair by pair: who chooses and judges on the same seeds flatters whoever had more to choose from. `interval(differences)`
# gives the mean of a few numbers and half of its 95 % interval; the conclusion is one word.

# %% solve="fair_comparison"
def fair_comparison(score, rates, choosing, judging):
    """Compare two heads, each at its own learning rate.

    score: function; score(head, rate, seed), head "first" or "second", trains a head from a seed
    and returns its accuracy in percent.
    rates: list of float; choosing, judging: lists of int, the seeds for each purpose.
    Returns (rate_first, rate_second, mean, half, says): the rate with the highest mean score on
    the seeds of the choice, for each; the gain of the first head over the second, on the other
    seeds, and half of its interval; and "first" or "second", whichever is shown to be better, or "not
    shown" where the interval holds 0.
    """
    ### BEGIN SOLUTION
    def best(head):
        return max(rates, key=lambda rate: sum(score(head, rate, seed) for seed in choosing))

    first, second = best("first"), best("second")
    gains = [score("first", first, seed) - score("second", second, seed) for seed in judging]
    mean, half = interval(gains)
    says = "first" if mean > half else "second" if mean < -half else "not shown"
    return first, second, mean, half, says
    ### END SOLUTION

# %% check="fair_comparison" points=3
check("fair_comparison", fair_comparison)

# %% [markdown]
# <details><summary>Hint: the interval is too wide</summary>
# What do two heads of one seed share, and where does it cancel?
# </details>
#
# **Predict before you run.** Three rivals of the TRL of rank 16. Average pooling throws away where something is, and leaves 650 numbers. The 1x1 convolution
# keeps the places and mixes the channels to five. The linear layer has a dozen times as many numbers. Who beats whom?

# %% predict="who_wins"
### BEGIN SOLUTION
#~ prediction = (..., ..., ...)  # against pooling, 1x1 convolution, linear: "first" is the TRL; "second"; "not shown"
prediction = ("first", "not shown", "not shown")
### END SOLUTION

# %%
rivals = {name: heads[name] for name in list(heads)[3:]} | {"flatten + one linear": linear_head}


def scorer(rival):
    def score(head, rate, seed):
        trained_head, _ = features.train_head(trl_head if head == "first" else rival, seed, rate)
        return features.accuracy(trained_head)

    return score


rates, choosing, judging = [0.003, 0.01, 0.03, 0.1], [0, 1], [10, 11, 12, 13]
found = [
    fair_comparison(scorer(rival), rates, choosing, judging) for rival in tqdm(rivals.values(), file=sys.stdout)
]
for name, (first, second, mean, half, says) in zip(rivals, found):
    print(f"TRL at {first} against {name} at {second}: {mean:+.1f} +- {half:.1f} points: {says}")
reveal(prediction, tuple(row[-1] for row in found))

# %% [markdown]
# <details><summary>If you expected average pooling to do better</summary>
# It is a fine head where the last convolution sees most of the image, and what is seen is the same everywhere. Here a stroke at the top and one at the bottom
# are different digits. **Keeping the modes pays where place matters.**
# </details>
#
# <details><summary>If you expected the TRL to beat the 1x1 convolution</summary>
# A 1x1 convolution and a linear layer are a tensor regression too: a Tucker weight of which the channels alone are compressed. Chapter 9 comes back to that.
# </details>
#
# <details><summary>If you expected the linear layer to win</summary>
# Look at its mean, and at the interval: with four seeds, a difference of that size is not shown. Would it be with ten?
# </details>
#
# One rival chose the last rate of the list: put 0.3 behind it, and see whether the list was long enough.
#
# And the conclusion must not be larger than the experiment: untrained convolutions, digits, 60 steps. Does the whole network tell the same? Chapter 8 asks it of real features.

# %% [markdown]
# ## 7.9 Open challenge: two thousand numbers { minutes: 10, difficulty: 3 }
#
# Any head for (64, 5, 5) and ten classes, with **at most 2,000 numbers** in parameters and buffers, and no others in it: two heads with the same numbers give the same. It is trained as above at a rate of 0.03. `Quick` is allowed: is 0.03 the rate that suits yours?
# The point is yours at 85 percent on digits not seen before; what counts beyond it is your mark in the picture. Nobody knows the bound; the linear layer with
# its 16,010 numbers is the mark to reach.

# %% solve="small_head"
def small_head(input_shape, num_classes):
    """A head of few numbers.

    input_shape: (channels, height, width) of an activation; num_classes: int.
    Returns an nn.Module that takes (B, *input_shape) and gives logits (B, num_classes). For (64, 5, 5)
    and 10 classes it has at most 2,000 numbers.
    """
    ### BEGIN SOLUTION
    return trlkit.TuckerTRL(input_shape, num_classes, rank=(8, 3, 3, num_classes))
    ### END SOLUTION

# %% check="small_head" points=1
check("small_head", small_head)

# %%
marks = {"yours": lambda: small_head(features.SHAPE, features.CLASSES)}
marks |= {"TRL, rank 4": lambda: trlkit.CPTRL(features.SHAPE, 10, rank=4)} | dict(list(heads.items())[1:2])
marks |= dict(list(heads.items())[3:]) | {"one linear layer": linear_head}
points = {}
for name, make in tqdm(marks.items(), file=sys.stdout):
    runs = [features.train_head(make, seed, 0.03)[0] for seed in (0, 1, 2)]
    shares = [features.accuracy(run) for run in runs]
    size = sum(t.numel() for t in (*runs[0].parameters(), *runs[0].buffers()))
    points[f"{name}: {size:,} numbers, {sum(shares) / 3:.1f} %"] = ([size], [sum(shares) / 3])
plotting.curves(points, "numbers of the head", "accuracy in percent, mean of three seeds", log="x", marks={"the budget": 2000})

# %% [markdown]
# ## 7.10 The same code on other data { minutes: 2, difficulty: 2 }
#
# CIFAR-10 (10 kinds of things), FER2013 (faces, 7 emotions), or photographs of your own, in one folder for each class. Set a
# folder below, and `trained`, your step in a loop with a progress bar, runs on it. They are larger: expect minutes for an epoch of CIFAR-10 on a CPU,
# and try other ranks and rates (64 and 0.003 are a start, tuned on none of them), a ReLU behind each convolution, tensor
# dropout (chapter 6).

# %%
def trained(model, dataset, learning_rate, epochs):
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    return training.fit(model, dataset.train, dataset.validation, epochs, optimizer=optimizer)


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
# ### Turn it: factors while they learn
#
# **Predict before you turn.**
# Nine components, each a profile of rows times one of columns, learn to read digits. Which gets further: ten steps at a learning
# rate of 0.1, or a hundred at 0.001? And will the components look like strokes? Write it down, then turn.

# %%
explore("factors while they learn")

# %% [markdown]
# ## 7.11 Quiz: what bends { minutes: 1, difficulty: 3 }
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
# What you know now that users of `nn.Linear` mostly don't:
#
# - Adam moves every number by its rate. The loss changes by the rate times the **sum of the absolute gradients**, so small layers need larger rates.
# - How a layer is parametrized decides how it learns: dividing its numbers is multiplying its rate.
# - Replacing flatten and linear layers by a TRL takes one line in `__init__` and takes one away in `forward`; it must be told the shape.
# - A summary counts what it looks for. `sum(p.numel() for p in model.parameters())` counts what is there.
# - Compare heads each at its own rate, chosen on some seeds and judged on others, pair by pair, with a rival of the same size.
# - Keeping the modes pays where place matters; average pooling is blind to it.
# - On CIFAR-10, five seeds, this small CNN: against a CP TRL of <!--fact samples; 100 %; CP; parameters-->10,510<!--/fact--> parameters, average pooling + Linear is at <!--fact samples; 100 %; GAP + Linear; minus CP-->-16.2 ± 0.7<!--/fact--> points, a 1x1 convolution + Linear of its size at
#   <!--fact samples; 100 %; 1x1 conv + Linear; minus CP-->-3.0 ± 0.7<!--/fact-->, one Linear (<!--fact samples; 100 %; CP; times Linear-->10<!--/fact--> times as many) at <!--fact samples; 100 %; Linear; minus CP-->+0.4 ± 0.3<!--/fact-->, and the old head with a hidden layer (<!--fact samples; 100 %; CP; times FC-->132<!--/fact--> times as many) at <!--fact samples; 100 %; FC; minus CP-->+10.2 ± 0.5<!--/fact-->.
#   With 1 % of the photographs the same four are at <!--fact samples; 1 %; GAP + Linear; minus CP-->-8.5 ± 1.4<!--/fact-->, <!--fact samples; 1 %; 1x1 conv + Linear; minus CP-->-1.6 ± 0.9<!--/fact-->, <!--fact samples; 1 %; Linear; minus CP-->+1.9 ± 1.2<!--/fact--> and <!--fact samples; 1 %; FC; minus CP-->-5.8 ± 0.7<!--/fact-->.
#
# ## To go further
#
# - Kossaifi, Lipton, Kolbeinsson, Khanna, Furlanello, Anandkumar: *Tensor Regression Networks*, JMLR 21 (2020). The method,
#   on ImageNet.
# - Cao, Rabusseau: *Tensor Regression Networks with various Low-Rank Tensor Approximations*, arXiv 1712.09520. On CIFAR-10
#   global average pooling beats a TRL in a deep CNN; a TRL with dropout wins in a shallow one with few samples.
# - Kingma, Ba: *Adam: A Method for Stochastic Optimization*, arXiv 1412.6980. Section 2.1 bounds the step by the rate.
# - Dumoulin, Visin: *A guide to convolution arithmetic for deep learning*, arXiv 1603.07285. The windows of 7.1 in pictures.
#
# **Next:** chapter 8, *VGG16 with a TRL*: the same replacement in a network that somebody else has trained.

# %%
progress()
