# %% [markdown]
# # 0. Welcome: what flattening costs { minutes: 50, difficulty: 2 }
#
# A convolutional network turns an image into a block of numbers: channels, height, width. Then most networks throw
# that block into one long vector and multiply it by a huge matrix. This course replaces these two steps, *flatten*
# and *fully connected*, by one **tensor regression layer** (TRL): a regression on the block as it is.
#
# **The question of this chapter.** Below are five digits, and the same five with their 64 places exchanged, for all in
# the same way. Does a layer notice? And what does it tell about *flattening*?

# %% lock="imports_00"
import math
from functools import partial

import torch
from torch import nn
from torchvision import models

import trlkit
from trlkit.lab.statistics import interval
from trlkit.lab import capstone, data, plotting, shuffles
from trlkit.course import check, explore, progress, reveal

# %%
images, labels = data.digits(8).train.tensors
digits = {f"a {label}": images[labels == label][0, 0] for label in range(5)}
mixed = {f"{name}, shuffled": shuffles.shuffled(image, "all places") for name, image in digits.items()}
plotting.images(digits | mixed, rows=2)

# %% [markdown]
# **After this chapter you can**
#
# - write an answer, check it, read what the check says, and mend it;
# - say where a network keeps its parameters, and how many a TRL would need in their place;
# - measure whether a difference is one: the same seeds on both sides, and an interval;
# - say which order a TRL sees, and which it cannot see.
#
# **You need** Python, and to have seen `nn.Linear` and `nn.Conv2d`. Nothing has to be downloaded.

# %% [markdown]
# ## 0.1 A tensor regression layer, now { minutes: 4, difficulty: 1 }
#
# Sixteen fixed filters, of edges and lines, turn digits of 32 x 32 pixels into activations of 16 x 16 x 16 numbers. On
# these sits either `nn.Flatten` and one `nn.Linear`, or a TRL that is told the shape of what comes in. Both learn
# from the same 600 activations, and are then asked about 657 others.
#
# **Predict before you run.** The linear layer has 40,970 parameters. The TRL below has 58 times fewer. What share
# of the new digits does it read right if the linear layer reads about 0.95? Write a number from 0 to 1.

# %% predict="first_trl"
### BEGIN SOLUTION
#~ prediction = ...  # from 0 to 1
prediction = 0.94
### END SOLUTION

# %%
pictures, labels = data.digits(32).train.tensors
block = capstone.backbone()(pictures[:, :1])

heads = {
    "flatten, one Linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16 * 16 * 16, 10)),
    "a TRL": lambda: trlkit.CPTRL((16, 16, 16), 10, rank=12),
}
right = {}
for name, make in heads.items():
    right[name] = shuffles.share_right(make, block, labels)
    print(f"{name:20s} {sum(p.numel() for p in make().parameters()):7,d} parameters, {right[name]:.1%} right")

reveal(prediction, lambda: round(right["a TRL"], 3))

# %% [markdown]
# <details><summary>I said something like 0.6, or 0.2</summary>
# As if each number of a weight carried its share of what was learned. But rows, columns and channels repeat themselves:
# most of the 40,970 numbers can be told from the others. Chapter 2 is about how many cannot.
# </details>
#
# That is one seed on small images: a reason to go on, no result yet. The rest of the chapter asks what was saved,
# against what, and what it has to do with the shuffled digits.

# %% [markdown]
# ## 0.2 How an exercise works { minutes: 2, difficulty: 1 }
#
# Every exercise of this course has the same three parts: a cell in which **you write**, a cell with
# `check(...)` that tells you **at once** whether it is right, and **hints** that stay folded until you open them.
# A cell runs with <kbd>Shift</kbd> + <kbd>Enter</kbd>. You can check as often as you like; nothing is counted
# but the last time.
#
# Here is a first one, and it is already written: wrongly. Flattening turns an activation of `channels` x
# `height` x `width` numbers into one vector. **How long is that vector?** Run both cells, read what the check
# says, and mend the function.

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

# %% [markdown]
# ## 0.3 Where a network keeps its parameters { minutes: 6, difficulty: 2 }
#
# To have a network at hand without downloading or even storing it, we build it on the **meta device**: there tensors
# have shapes and no numbers. VGG16 has thirteen convolutions, which do the seeing, and three linear layers.
#
# **Predict before you run.** Which share of its parameters is in the three linear layers? A number between 0 and 1.

# %% predict="vgg_share"
### BEGIN SOLUTION
#~ prediction = ...  # between 0 and 1
prediction = 0.9
### END SOLUTION

# %%
with torch.device("meta"):
    vgg16 = models.vgg16()

total = sum(p.numel() for p in vgg16.parameters())
linear = sum(p.numel() for p in vgg16.classifier.parameters())
reveal(prediction, lambda: round(linear / total, 2))
plotting.parameters_by_layer(vgg16)

# %% [markdown]
# <details><summary>I said about 3 / 16, or less</summary>
# Three of sixteen layers. But a convolution uses its few numbers at every place, and a linear layer has one for each
# pair of an input and an output: the first of the three meets 25,088 inputs with 4,096 outputs.
# </details>
#
# Now for any network. `model.parameters()` runs over the tensors that a network learns or has learned, frozen ones
# included, each once; `p.numel()` is how many numbers one holds. Networks nest modules in modules:
# `model.children()` runs over the top level, `model.modules()` over every depth.

# %% solve="fc_share"
def fc_share(model):
    """How much of a network sits in its fully connected layers.

    model: an nn.Module with at least one parameter.
    Returns (total, linear, share):
      total, an int: how many numbers all its parameters hold, frozen or not;
      linear, an int: how many of these are in nn.Linear layers, weights and biases;
      share, a float between 0 and 1: linear / total.
    A parameter that two layers share is stored once, and counts once.

    >>> fc_share(nn.Sequential(nn.Conv2d(1, 2, 1), nn.Linear(4, 3)))
    (19, 15, 0.7894736842105263)
    """
    ### BEGIN SOLUTION
    total = sum(p.numel() for p in model.parameters())
    weights = {p for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()}
    linear = sum(p.numel() for p in weights)
    return total, linear, linear / total
    ### END SOLUTION

# %% check="fc_share" points=1
check("fc_share", fc_share)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# A linear layer is a module too, and has parameters of its own. How would you find all of them, at any depth?
# </details>
#
# <details><summary>Hint: my share is 0 for a network that has linear layers</summary>
# They are inside another module. Which of <code>children()</code> and <code>modules()</code> looks inside?
# </details>
#
# <details><summary>Hint: my share is above 1</summary>
# Two layers can hold one and the same tensor. How would you notice that you have met it before? Tensors of equal
# numbers are not the same tensor.
# </details>

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
# ## 0.4 What a TRL needs { minutes: 5, difficulty: 2 }
#
# The activation of VGG16 is a block of 512 x 7 x 7 numbers. A linear layer from it to 10 classes has a weight
# with four **modes**: channel, row, column, class, of sizes 512, 7, 7 and 10. A **CP** layer (CP for *canonical
# polyadic*) of **rank** $R$ does not store that weight. It stores one thin matrix for each mode, a **factor**, with one
# row for each entry of the mode and $R$ columns; and a **bias**, one number for each class.

# %%
plotting.flatten_against_trl((512, 7, 7), 10, 100)

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

# %% check="cp_trl_parameters" points=1
check("cp_trl_parameters", cp_trl_parameters)

# %% [markdown]
# <details><summary>Hint: my number is far too large</summary>
# What do the sizes of matrices that lie beside each other do: multiply, or add up?
# </details>
#
# <details><summary>Hint: I am a little below</summary>
# Which of the modes have a factor? And what does the layer have besides its factors?
# </details>
#
# **Predict before you run.** The size of the layer grows with the rank. From which rank on has it *more* parameters
# than the one linear layer, which has 250,890? A tenth up or down will do.

# %% predict="crossover"
### BEGIN SOLUTION
#~ prediction = ...  # a rank
prediction = 469
### END SOLUTION

# %%
shape = (512, 7, 7)
linear = math.prod(shape) * 10 + 10
crossover = next(rank for rank in range(1, 1000) if cp_trl_parameters(shape, 10, rank) > linear)
reveal(prediction, lambda: crossover)

ranks = [1, 3, 10, 30, 100, 200, 300, 490]
with torch.device("meta"):
    own = sum(p.numel() for p in models.vgg16(num_classes=10).classifier.parameters())
lines = {
    "CP layer": (ranks, [cp_trl_parameters(shape, 10, rank) for rank in ranks]),
    "VGG16's own three linear layers": ([1, 490], [own, own]),
    "one linear layer": ([1, 490], [linear, linear]),
    "mean of each channel, one linear layer": ([1, 490], [512 * 10 + 10] * 2),
}
marks = {f"larger than one linear layer, from rank {crossover} on": crossover}
plotting.curves(lines, "rank", "parameters, for 10 classes", log="y", marks=marks)

# %% [markdown]
# <details><summary>I said about 25,088</summary>
# That is the length of the flattened activation. But a component costs 512 + 7 + 7 + 10 = 536 numbers, and the weight has
# no more than 250,880.
# </details>
#
# The axis ends at 490 = 7 * 7 * 10, since no weight of this shape needs a higher rank (chapter 2): whoever takes a
# larger one pays for nothing. And look at the lowest line: at rank 10 and above the TRL is *larger* than averaging each
# channel. **A saving is always against something; say against what.**

# %% [markdown]
# ## 0.5 Catch the wrong counters { minutes: 8, difficulty: 4 }
#
# Fourteen people have written `cp_trl_parameters`, and fourteen are wrong. One forgets the bias. One counts a single
# bias for all classes. One only looks at the first three modes. One puts the sizes into a set, and loses those that
# come twice. One leaves out modes of size 1, one takes a layer with *one class* for a layer without a class mode, and
# one has a special case for activations with a *single mode*. The other seven you don't know.
#
# Write **at most two tests** that catch them all. A test is a call and what must come of it. A counter is caught when
# it gives anything else in one of them, or an error. There is nothing to compute here but two numbers; which two calls
# is the puzzle.

# %% solve="counter_tests"
def counter_tests():
    """At most two tests that no wrong counter passes.

    Returns a list of one or two tuples (input_shape, num_classes, rank, parameters):
      the arguments of a call of cp_trl_parameters, each size from 1 to 1000, at most 9 modes,
      and the number of parameters, an int.

    For example, [((512, 7, 7), 10, 1, 546)] is one test, and lets many of them through.
    """
    ### BEGIN SOLUTION
    calls = [((3, 1, 4, 3, 2, 5), 1, 7), ((6,), 4, 3)]
    return [(*call, cp_trl_parameters(*call)) for call in calls]
    ### END SOLUTION

# %% check="counter_tests" points=1
check("counter_tests", counter_tests)

# %% [markdown]
# <details><summary>Hint: what makes a good test?</summary>
# Take one wrong counter. For which calls does it give the right number by luck? Avoid all of these, for as many
# counters at once as you can.
# </details>
#
# <details><summary>Hint: two tests are too few</summary>
# Which pairs of counters can no single call catch together? Only those force a second test.
# </details>

# %% [markdown]
# ## 0.6 What a shuffle costs: your first experiment { minutes: 10, difficulty: 3 }
#
# Back to the shuffled digits. Two layers learn to read 8 x 8 digits: `nn.Linear` on the 64 pixels, and a TRL that keeps
# rows and columns apart (a Tucker layer, chapter 5: it looks at a picture through four patterns of rows and four
# patterns of columns). Both learn again from pictures that were shuffled, all in the same way. There are three shuffles:
#
# - `"rows and columns"`: the rows are put into another order, and the columns too;
# - `"transposed"`: rows become columns;
# - `"all places"`: every pixel goes anywhere.
#
# **Predict before you run.** Which of the three make the *linear layer* worse, and which make the *TRL* worse? Write
# the names, or `"none"`.

# %% predict="shuffles"
### BEGIN SOLUTION
#~ linear_loses = ...
#~ trl_loses = ...
linear_loses = "none"
trl_loses = "all places"
### END SOLUTION

# %% [markdown]
# A score moves with the start of the layer, by more than a shuffle may cost. So compare **pairs**: for each seed the
# score without a shuffle, minus the score with it, from the *same* seed. The mean of these differences is the loss;
# an interval around it says how far to trust that.

# %% solve="shuffle_study"
def shuffle_study(score, interval, names, seeds):
    """How much each shuffle costs, and what may be concluded.

    score: function; score(name, seed) is the share of new digits, 0 to 1, that a layer reads right when it starts
      from that seed and learns from pictures with that shuffle; the name "none" leaves the pictures as they are.
    interval: function; interval(differences) takes a list of floats and returns (mean, half), two floats:
      the true mean is between mean - half and mean + half, 95 % sure.
    names: list of str, the shuffles to try.   seeds: list of at least two ints.
    Returns a dict: for each name (loss, half, conclusion):
      loss and half, floats: the interval of the paired losses, positive where the shuffle makes a layer worse;
      conclusion, a str: "worse" if the whole interval is above 0, "better" if it is all below 0,
      "can't tell" if 0 is in it or on its border.
    """
    ### BEGIN SOLUTION
    plain = {seed: score("none", seed) for seed in seeds}
    found = {}
    for name in names:
        loss, half = interval([plain[seed] - score(name, seed) for seed in seeds])
        conclusion = "worse" if loss - half > 0 else "better" if loss + half < 0 else "can't tell"
        found[name] = (loss, half, conclusion)
    return found
    ### END SOLUTION

# %% [markdown]
# The check gives your function made-up scores, of which it knows the truth.

# %% check="shuffle_study" points=1
check("shuffle_study", shuffle_study)

# %% [markdown]
# <details><summary>Hint: I find nothing where the check finds a loss</summary>
# Which two numbers do you subtract? In what may they differ besides the shuffle?
# </details>
#
# <details><summary>Hint: I don't know what to give to <code>interval</code></summary>
# How many differences are there for one shuffle? It wants all of them, and is called once for each shuffle.
# </details>
#
# Now the real layers: choose your seeds, the more the narrower the interval. With eight it takes about ten seconds.

# %%
seeds = list(range(8))
layers = {
    "nn.Linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
    "TRL": lambda: trlkit.TuckerTRL((8, 8), 10, rank=(4, 4, 10)),
}
for layer, make in layers.items():
    score = partial(shuffles.digits_right, make)
    found = shuffle_study(score, interval, list(shuffles.SHUFFLES), seeds)
    for name, (loss, half, conclusion) in found.items():
        print(f"{layer:10s} {name:17s} loses {100 * loss:5.1f} +- {100 * half:.1f} points of 100: {conclusion}")
    lost = " and ".join(name for name, row in found.items() if row[2] == "worse") or "none"
    reveal({"nn.Linear": linear_loses, "TRL": trl_loses}[layer], lost)

# %% [markdown]
# <details><summary>I said that the linear layer loses by "all places"</summary>
# <i>You</i> could not read those digits. The layer could never see them as pictures: it has a number for each of 64 inputs,
# and a shuffle only gives these another order. What it had learned, it learns again, elsewhere.
# </details>
#
# <details><summary>I said that the TRL loses by every shuffle</summary>
# Then it would know that row 3 lies beside row 4. It does not: nothing in the layer says so. It knows which pixels are in
# <i>one</i> row, and no more.
# </details>
#
# So this is what flattening costs besides parameters: the linear layer cannot tell a picture from a list. And this is
# what a TRL gets for its few parameters: it sees which numbers share a row, a column, a channel. It pays for that when
# there are no rows.

# %% [markdown]
# ## 0.7 What a TRL cannot see { minutes: 10, difficulty: 4 }
#
# Find the rule. A TRL of rank 1 on a grid weighs the place (row i, column j) by $a_i\, b_j$; a TRL of rank $R$ is a sum
# of $R$ such weights. Now the places are shuffled. Some shuffles it cannot notice: for *every* $a$ and $b$ there
# are others, $a'$ and $b'$, that give each pixel the weight it had, at its new place. All that could be learned before can
# be learned after, with as many numbers.
#
# Which shuffles are these, of all that there are? On a grid of 2 x 2, 24 are possible. On 3 x 3 there are 362,880. The
# check tries your rule on all shuffles of some small grids, and on many of larger ones.

# %% solve="unnoticed"
def unnoticed(order):
    """Whether a TRL of any rank can do after a shuffle exactly what it could do before.

    order: Tensor of shape (H, W) and dtype int64, the numbers 0 to H * W - 1, each once: the place (i, j) of the
      shuffled picture shows the pixel that was at the place number order[i, j], counted row by row
      (place number k is row k // W, column k % W).
    Returns a bool.

    >>> unnoticed(torch.tensor([[3, 4, 5], [0, 1, 2]]))   # the two rows exchanged
    True
    >>> unnoticed(torch.tensor([[1, 0, 2], [3, 4, 5]]))   # two pixels exchanged
    False
    """
    ### BEGIN SOLUTION
    rows, columns = order // order.shape[1], order % order.shape[1]

    def grid(down, across):
        return bool((down == down[:, :1]).all() and (across == across[:1]).all())

    line = 1 in order.shape
    return line or grid(rows, columns) or grid(columns, rows)
    ### END SOLUTION

# %% check="unnoticed" points=2
check("unnoticed", unnoticed)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Look at the table of your experiment: which shuffles did the layer not notice? Do these have something in common that
# you can see in <code>order // W</code> and <code>order % W</code>?
# </details>
#
# <details><summary>Hint: it is right but for a few grids</summary>
# Which role do rows and columns have for the layer: could they be exchanged? On which grids? And what is a row of a
# picture that has only one?
# </details>
#
# <details><summary>Hint: is there a test without a rule?</summary>
# The weights of rank 1 are the matrices of rank 1. What would <code>torch.linalg.matrix_rank</code> say of a shuffled
# one, and does it matter which one you take?
# </details>

# %% [markdown]
# ## 0.8 Challenge: the fewest numbers { minutes: 5, difficulty: 3 }
#
# `nn.Linear` reads these digits with 650 numbers. A CP layer of rank 10 on the 8 x 8 grid needs 270. How far down can
# you get and still read **90 %** of the new digits, as a mean over three seeds? There are two things to choose:
#
# - the **shape** in which the layer sees the 64 pixels: (8, 8), or (4, 2, 8), or whatever has 64 entries;
# - the **rank**: a number makes a CP layer, a tuple with a rank for each mode and for the classes a Tucker layer.
#
# The point is yours at 250 numbers. The figure is the reward: no bound is known, and we did not try everything either.

# %%
tries = {}  # what you have tried, best kept at the end

def attempt(shape, rank, seeds=(0, 1, 2)):
    """Print and keep how many numbers a layer has, and the share of new digits it reads right."""
    kind = trlkit.CPTRL if isinstance(rank, int) else trlkit.TuckerTRL

    def make():
        return nn.Sequential(nn.Flatten(), nn.Unflatten(1, shape), kind(shape, 10, rank=rank))

    share = sum(shuffles.digits_right(make, seed=seed) for seed in seeds) / len(seeds)
    size = sum(p.numel() for p in make().parameters())
    tries[f"{shape}, rank {rank}"] = (size, share)
    print(f"{shape}, rank {rank}: {size} numbers, {share:.1%} right")

attempt((8, 8), 10)
attempt((64,), 5)

# %% solve="tiny_head"
def tiny_head():
    """The layer with the fewest numbers that reads 90 % of new digits.

    Returns (shape, rank): shape, a tuple of at most 6 ints whose product is 64;
      rank, an int (a CP layer) or a tuple of ints, one for each size of the shape and one for the 10 classes (Tucker).

    For example, ((8, 8), 10), with 270 numbers.
    """
    ### BEGIN SOLUTION
    return (8, 8), 8
    ### END SOLUTION

# %% check="tiny_head" points=1
check("tiny_head", tiny_head)

# %%
attempt(*tiny_head())
sizes, shares = zip(*sorted(tries.values()))
lines = {"your tries": (sizes, shares), "nn.Linear": ([650], [shuffles.digits_right(layers["nn.Linear"])])}
plotting.curves(lines, "numbers", "share of new digits read right", log="x", marks={"the point": 250})

# %% [markdown]
# ### Turn it: where a network's numbers sit
#
# **Predict before you turn.**
# ResNet-50 averages its activation of (2048, 7, 7), and little of it is in its head. If it flattened instead, into one linear
# layer for 1000 classes, which share of its parameters would that layer hold? Write a number down, then choose `resnet50` and
# `flatten + Linear`. And what does a TRL in that place leave of it?

# %%
explore("where a network's numbers sit")

# %% [markdown]
# ## What you know now that users of `nn.Linear` don't
#
# - Flattening has no parameters; the layer behind it pays, with a number for each pair of an input and an output.
#   A TRL has one factor for each mode: sizes **add**, times the rank.
# - A linear layer reads a picture and its shuffled pixels alike. A TRL does not, and that is where its savings come
#   from: it takes for granted that rows are rows and columns are columns. What it does *not* know is which row lies
#   beside which.
# - A difference between two scores is a fact about seeds until pairs and an interval say more.
# - A saving needs a baseline: against three linear layers, one, or an average?
#
# And on real photographs? A VGG16 was trained on CIFAR-10 with one head after the other, five seeds each. In points of accuracy, a CP TRL of rank 10
# (<!--fact heads; all; CP, rank 10; parameters-->5,310<!--/fact--> parameters) came out at <!--fact heads; all; CP, rank 10; minus FC-->+2.0 ± 0.2<!--/fact--> against VGG16's own three layers (<!--fact heads; all; CP, rank 10; times FC-->9,488<!--/fact--> times as many), at
# <!--fact heads; all; CP, rank 10; minus Linear-->+2.1 ± 0.3<!--/fact--> against one linear layer and at <!--fact heads; all; CP, rank 10; minus GAP + Linear-->+1.3 ± 0.4<!--/fact--> against the average. Behind a small network the three layers' kind won, by
# <!--fact samples; 100 %; FC; minus CP-->+10.2 ± 0.5<!--/fact-->. The rest of the course says why, and `docs/results/experiments.md` has all the numbers.
#
# ## To go further
#
# - Kossaifi, Lipton, Kolbeinsson, Khanna, Furlanello, Anandkumar: *Tensor Regression Networks*, JMLR 21 (2020).
#   Where the table of fully connected layers leads to.
# - Simonyan, Zisserman: *Very Deep Convolutional Networks for Large-Scale Image Recognition*, ICLR 2015. VGG.
# - Try 0.6 on the activations of 0.1, with 16 channels. Does the TRL still notice? What has changed?
# - `trlkit doctor` in a terminal says whether your environment is as the course was tested, and
#   `trlkit progress` how far you are.
#
# **Next:** chapter 1, *Tensors*: the few operations that everything else is made of.

# %%
progress()
