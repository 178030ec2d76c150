# %% [markdown]
# # 0. Welcome: what flattening costs { minutes: 25, difficulty: 1 }
#
# A convolutional network ends with a block of numbers: channels, height, width. Then most networks throw that
# block into one long vector and multiply it by a huge matrix. This course replaces these two steps, *flatten*
# and *fully connected*, by one **tensor regression layer** (TRL): a regression on the block as it is, with a
# weight that is put together from few small pieces (its *rank* says how many; chapter 2). It has far fewer
# parameters, and rows stay rows and columns stay columns.
#
# **After this chapter you can**
#
# - write an answer, check it, read what the check says, and mend it;
# - count the parameters of a network and say which share of them is in its fully connected layers;
# - say how many parameters a TRL would need in their place, and against what that is a saving.
#
# **You need** Python, and to have seen `nn.Linear` and `nn.Conv2d`. Nothing has to be downloaded.

# %% lock="imports_00"
import math

import torch
from torch import nn
from torchvision import models

from trlkit.lab import plotting
from trlkit.course import check, reveal

# %% [markdown]
# ## 0.1 How an exercise works { minutes: 3, difficulty: 1 }
#
# Every exercise of this course has the same three parts: a cell in which **you write**, a cell with
# `check(...)` that tells you **at once** whether it is right, and **hints** that stay folded until you open them.
# A cell runs with <kbd>Shift</kbd> + <kbd>Enter</kbd>. You can check as often as you like; nothing is counted
# but the last time.
#
# Here is a first one, and it is already written: wrongly. Flattening turns an activation of `channels` x
# `height` x `width` numbers into one vector. **How long is that vector?** Run both cells, read what the check
# says, and mend the function.
#
# Example: `flat_features(3, 2, 2)` is `12`.

# %% solve="flat_features"
def flat_features(channels, height, width):
    """The length of an activation once it is flattened.

    channels, height, width: int, the sizes of the activation.
    Returns an int.

    >>> flat_features(3, 2, 2)
    12
    """
    ### BEGIN SOLUTION
    #~ return channels + height + width
    return channels * height * width
    ### END SOLUTION

# %% check="flat_features" points=1
check("flat_features", flat_features)

# %% [markdown]
# <details><summary>Hint: what is the check telling me?</summary>
# The line with <b>no</b> shows the call it tried, what it expected and what your function returned. Under it
# stands what it thinks has happened, and where to look.
# </details>
#
# <details><summary>Hint: I don't see what is wrong</summary>
# One channel is a grid of height x width numbers. How many such grids are there?
# </details>

# %% [markdown]
# ## 0.2 Count the parameters of a network { minutes: 5, difficulty: 1 }
#
# A network in PyTorch knows its own parameters: `model.parameters()` runs over the tensors that the network
# learns, and `p.numel()` is how many numbers one of them holds. To have a model at hand without downloading or
# even storing it, we build it on the **meta device**: there its tensors have shapes and no numbers.

# %%
with torch.device("meta"):
    vgg16 = models.vgg16()
    alexnet = models.alexnet()

print(vgg16.classifier)

# %% [markdown]
# **Predict before you run.** The first of these linear layers takes 25088 numbers and gives 4096. Without a
# computer: about how many parameters does it alone have, weight and bias? A power of ten will do; write it as a
# number, such as `1_000`.

# %% predict="first_layer"
### BEGIN SOLUTION
#~ prediction = ...  # a power of ten
prediction = 100_000_000
### END SOLUTION

# %%
reveal(prediction, lambda: sum(p.numel() for p in vgg16.classifier[0].parameters()))

# %% [markdown]
# Now count for a whole network. Count *all* its parameters, whether they learn or are frozen: all of them are
# stored.

# %% solve="count_parameters"
def count_parameters(model):
    """The number of parameters of a network.

    model: an nn.Module.
    Returns an int: how many numbers all its parameters hold together.

    >>> count_parameters(nn.Linear(3, 2))
    8
    """
    ### BEGIN SOLUTION
    return sum(p.numel() for p in model.parameters())
    ### END SOLUTION

# %% check="count_parameters" points=1
check("count_parameters", count_parameters)

# %% [markdown]
# <details><summary>Hint: my number is too small</summary>
# Does every round of your loop add to what was there? Does the function return only after the last round?
# </details>
#
# <details><summary>Hint: my number is too large</summary>
# If you loop over modules: each contains the parameters of the modules inside it, so some are counted twice.
# And batch norm also stores a running mean and a running variance. They are <i>buffers</i>: no parameters, though
# they stand in <code>state_dict()</code>.
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# One line: <code>sum(</code> <i>something</i> <code>for p in model.parameters())</code>.
# </details>

# %% [markdown]
# ## 0.3 The share of the fully connected layers { minutes: 7, difficulty: 2 }
#
# Where do a network's parameters sit? Look at VGG16, layer by layer.

# %%
plotting.parameters_by_layer(vgg16)

# %% [markdown]
# Thirteen convolutions do the seeing, three fully connected layers hold nearly everything. Put a number on it:
# which share of a network's parameters is in its `nn.Linear` layers?
#
# A network nests modules in modules: `model.modules()` runs over all of them at every depth,
# `model.children()` over the top level only. `isinstance(m, nn.Linear)` tells a linear layer.

# %% solve="fc_share"
def fc_share(model):
    """How much of a network sits in its fully connected layers.

    model: an nn.Module.
    Returns (total, linear, share):
      total, an int: the number of all parameters;
      linear, an int: the number in nn.Linear layers, weights and biases;
      share, a float between 0 and 1: linear / total.

    >>> fc_share(nn.Sequential(nn.Conv2d(1, 2, 1), nn.Linear(4, 3)))
    (19, 15, 0.7894736842105263)
    """
    ### BEGIN SOLUTION
    total = count_parameters(model)
    linear = sum(count_parameters(m) for m in model.modules() if isinstance(m, nn.Linear))
    return total, linear, linear / total
    ### END SOLUTION

# %% check="fc_share" points=2
check("fc_share", fc_share)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# You have <code>count_parameters</code>, and a linear layer is a module too.
# </details>
#
# <details><summary>Hint: my share is 0 for a network that has linear layers</summary>
# They are inside another module. Which of <code>children()</code> and <code>modules()</code> looks inside?
# </details>
#
# <details><summary>Hint: a skeleton</summary>
# Three lines: the total; the sum over the modules that are linear; the tuple.
# </details>

# %% [markdown]
# ### What it says about four well-known networks
#
# This is the table that started the whole idea, made by your function.

# %%
with torch.device("meta"):
    networks = {
        "AlexNet": models.alexnet(),
        "VGG-19": models.vgg19(),
        "ResNet-50": models.resnet50(),
        "ResNet-101": models.resnet101(),
    }

counts = {}
print(f"{'network':12s} {'parameters':>13s} {'in FC layers':>13s} {'share':>7s}")
for name, network in networks.items():
    total, linear, share = fc_share(network)
    counts[name] = {"convolutions and the rest": total - linear, "fully connected": linear}
    print(f"{name:12s} {total:13,d} {linear:13,d} {share:7.1%}")

plotting.parameter_bars(counts)

# %% [markdown]
# Two kinds of network: AlexNet and VGG *flatten* what their convolutions give, and pay for it. The ResNets
# average every channel to a single number first, and have little left to save. Keep that in mind: a TRL saves
# most where something is flattened, and the honest rival everywhere else is that average (chapter 8).

# %% [markdown]
# ## 0.4 What a TRL would need { minutes: 7, difficulty: 2 }
#
# The activation of VGG16 is a block of 512 x 7 x 7 numbers. A linear layer from it to 10 classes has a weight
# with four **modes**: channel, row, column, class, of sizes 512, 7, 7 and 10.
#
# A **CP** tensor regression layer (CP for *canonical polyadic*, the decomposition behind it) of **rank** $R$ does
# not store that weight. It stores one thin matrix for each mode, a **factor**, with one row for each entry of the
# mode and $R$ columns:
#
# | factor | rows | columns |
# |---|---|---|
# | of the channels | 512 | $R$ |
# | of the rows | 7 | $R$ |
# | of the columns | 7 | $R$ |
# | of the classes | 10 | $R$ |
#
# and a **bias**, one number for each class. How the factors make a weight is chapter 2, how they make a layer
# chapter 4. You can already count them.
#
# **Predict before you run.** With rank 100 and 10 classes: how many numbers are that? Within a tenth will do.

# %% predict="cp_size"
### BEGIN SOLUTION
#~ prediction = ...  # a number
prediction = 50_000
### END SOLUTION

# %%
reveal(prediction, lambda: sum(rows * 100 for rows in (512, 7, 7, 10)) + 10)

# %% solve="cp_trl_parameters"
def cp_trl_parameters(input_shape, num_classes, rank):
    """The number of parameters of a CP tensor regression layer with a bias.

    input_shape: tuple of int, the sizes of the activation without the batch; any number of them.
    num_classes: int.   rank: int.
    Returns an int: the entries of all factors, and the bias.

    >>> cp_trl_parameters((512, 7, 7), 10, 1)
    546
    """
    ### BEGIN SOLUTION
    return rank * (sum(input_shape) + num_classes) + num_classes
    ### END SOLUTION

# %% check="cp_trl_parameters" points=2
check("cp_trl_parameters", cp_trl_parameters)

# %% [markdown]
# <details><summary>Hint: my number is far too large</summary>
# The sizes of a <i>weight</i> multiply. The sizes of matrices that lie beside each other add up.
# </details>
#
# <details><summary>Hint: I am a little below</summary>
# The classes have a factor, and besides it the layer has a bias.
# </details>
#
# ### VGG16 before and after
#
# Take VGG16 for 10 classes, and five heads for it: (1) its own classifier of three linear layers; (2) one plain
# `nn.Linear` on the flattened activation; (3) to (5) CP layers of three ranks.

# %%
features = sum(p.numel() for p in vgg16.features.parameters())
with torch.device("meta"):
    ten_classes = models.vgg16(num_classes=10)
    linear = nn.Linear(512 * 7 * 7, 10)
heads = {
    "its own classifier": sum(p.numel() for p in ten_classes.classifier.parameters()),
    "one Linear": sum(p.numel() for p in linear.parameters()),
} | {f"CP TRL, rank {rank}": cp_trl_parameters((512, 7, 7), 10, rank) for rank in (100, 1000, 10000)}

for name, head in heads.items():
    print(f"{name:20s} {head:12,d}")

plotting.parameter_bars({name: {"convolutions": features, "head": head} for name, head in heads.items()})

# %% [markdown]
# Look twice at the last line of numbers. Rank 10000 is a small part of VGG16's own classifier, and more than
# twenty times *one* linear layer that does the same job. **A saving is always against something; say against what.**

# %% [markdown]
# ## 0.5 Quiz: what flattening loses { minutes: 1, difficulty: 1 }
#
# **What is lost when an activation is flattened?** (The lines with `sha1` under the check compare your letter with
# the right one without showing it. You need not read them.)
#
# - **a** some of its numbers
# - **b** which numbers were neighbors, and which belonged to one channel: the layer behind it sees a plain list
# - **c** nothing is lost, but it costs many multiplications
# - **d** which numbers belonged to which image of the batch

# %% solve="quiz_flatten"
### BEGIN SOLUTION
#~ quiz_flatten = ...  # "a", "b", "c" or "d"
quiz_flatten = "b"
### END SOLUTION

# %% check="quiz_flatten" points=1
check("quiz_flatten", quiz_flatten)
### HASHED AUTOTEST quiz_flatten

# %% [markdown]
# ## 0.6 Quiz: where a TRL saves most { minutes: 1, difficulty: 1 }
#
# **In which of the four networks of the table can a TRL save the largest share of the parameters?**
#
# - **a** AlexNet
# - **b** VGG-19
# - **c** ResNet-50
# - **d** ResNet-101

# %% solve="quiz_where"
### BEGIN SOLUTION
#~ quiz_where = ...  # "a", "b", "c" or "d"
quiz_where = "a"
### END SOLUTION

# %% check="quiz_where" points=1
check("quiz_where", quiz_where)
### HASHED AUTOTEST quiz_where

# %% [markdown]
# ## What to take away
#
# - Flattening costs no parameters itself; the fully connected layer behind it does: its weight has as many
#   entries as the product of all sizes.
# - A tensor regression layer stores one factor for each mode: its size grows with the *sum* of the sizes, times
#   the rank.
# - Buffers are no parameters, frozen parameters are, and a saving needs a baseline.
#
# ## To go further
#
# - Kossaifi, Lipton, Kolbeinsson, Khanna, Furlanello, Anandkumar: *Tensor Regression Networks*, JMLR 21 (2020).
#   Where the table of fully connected layers leads to.
# - Simonyan, Zisserman: *Very Deep Convolutional Networks for Large-Scale Image Recognition*, ICLR 2015. VGG.
# - `trlkit doctor` in a terminal says whether your environment is as the course was tested, and
#   `trlkit progress` how far you are.
#
# **Next:** chapter 1, *Tensors*: the few operations that everything else is made of.
