# %% [markdown]
# # 8. VGG16 with a TRL { minutes: 126, difficulty: 4 }
#
# Nobody trains VGG16 for ten classes from nothing. One takes it as others have trained it, keeps what it sees,
# and puts a new head on. Here the new head is a tensor regression layer with tensor dropout. The surgery takes four
# lines; two of them can go wrong without any error message. And when it is done: **is the new head any better than the plainest rival of its size?**
#
# **After this chapter you can**
#
# - freeze a network for good, and put a CP TRL in the place of VGG16's pooling and classifier;
# - say what rank 10000 costs, and against which baseline it is a saving;
# - run a frozen backbone once, not once an epoch, and say when that is not allowed;
# - save and load the few numbers that were trained, and notice a file that does not fit;
# - name the rivals of a TRL's size, and compare with them seed by seed;
# - find out by experiment what a head leans on, and what it needs.
#
# **You need** chapter 4 (`CPTRL`), chapter 6 (tensor dropout), and a training loop, such as chapter 7's. No GPU, and no
# network: without ImageNet's weights the chapter runs on random features, and says so.

# %% lock="imports_08"
import io
import math
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import models

import trlkit
from trlkit import CPTRL
from trlkit.lab import data, halves, plotting
from trlkit.course import check, explore, progress, reveal
from trlkit.lab.statistics import interval
from trlkit.lab.training import evaluate, fit

device = "cuda" if torch.cuda.is_available() else "cpu"

# %% [markdown]
# ## 8.1 Three parts { minutes: 7, difficulty: 1 }
#
# torchvision's VGG16 has three parts. `features` are thirteen convolutions and five poolings that halve height and
# width each time. `avgpool` averages whatever grid comes to 7 x 7. `classifier` is what chapter 0 counted: three linear
# layers with 123.6 million parameters. Its `forward` is
#
# ```python
# x = self.features(x)
# x = self.avgpool(x)
# x = torch.flatten(x, 1)
# x = self.classifier(x)
# ```
#
# **Predict before you run.** Images of 64 x 64 come in, not the usual 224 x 224. What is the shape of one image's
# activation behind `features`, and what behind `avgpool`?

# %% predict="vgg_shapes"
### BEGIN SOLUTION
#~ prediction = ((..., ..., ...), (..., ..., ...))  # behind features, behind avgpool
prediction = ((512, 2, 2), (512, 7, 7))
### END SOLUTION

# %%
with torch.device("meta"):
    net, images = models.vgg16(), torch.empty(1, 3, 64, 64)
activation = net.features(images)
reveal(prediction, lambda: (tuple(activation.shape[1:]), tuple(net.avgpool(activation).shape[1:])))

# %% [markdown]
# From 2 x 2 pixels a pooling to 7 x 7 makes copies and a few averages, and the classifier pays for each of them. A TRL
# takes the activation as it is. It replaces `avgpool`, the first module behind `features`, and the classifier is emptied:
#
# ```python
# model.avgpool = CPTRL(...)            # (B, 512, 2, 2) -> (B, classes)
# model.classifier = nn.Sequential()    # nothing: what comes in goes out
# ```
#
# `forward` stays as it is, and still has a `flatten` in it.
#
# **Why does `torch.flatten(x, 1)` do no harm there?**
#
# - **a** it is skipped in eval mode
# - **b** the empty classifier undoes it
# - **c** the TRL gives (B, classes), and that is flat already
# - **d** it does harm: it must be removed from `forward`

# %% solve="quiz_flatten_after"
### BEGIN SOLUTION
#~ quiz_flatten_after = ...  # "a", "b", "c" or "d"
quiz_flatten_after = "c"
### END SOLUTION

# %% check="quiz_flatten_after" points=1
check("quiz_flatten_after", quiz_flatten_after)
### HASHED AUTOTEST quiz_flatten_after

# %% [markdown]
# ## 8.2 The weights { minutes: 6, difficulty: 2 }
#
# ImageNet's weights are a file of 528 MB, downloaded once. We need its features alone, so the network is made on the
# meta device (shapes without numbers) and only `features` get memory; the classifier goes anyhow.
#
# Set `WEIGHTS = None` if you don't want the download.

# %%
WEIGHTS = "IMAGENET1K_V1"

with torch.device("meta"):
    vgg = models.vgg16()
vgg.features.to_empty(device="cpu")

pretrained, why = False, "as you asked"
try:
    if WEIGHTS is not None:
        state = models.VGG16_Weights[WEIGHTS].get_state_dict(progress=True, check_hash=True)
        kept = {name: w for name, w in state.items() if name.startswith("features.")}
        vgg.load_state_dict(kept, strict=False)  # not strict: the classifier stays without numbers
        pretrained = True
        del state, kept
except (OSError, RuntimeError) as error:  # no network, or a broken file
    why = f"ImageNet's cannot be had: {error}"
print("The features are ImageNet's." if pretrained else f"The features are random ({why}).")

# %% [markdown]
# The images: some of scikit-learn's handwritten digits, enlarged to 64 x 64, with the mean and the spread that
# ImageNet's networks expect. Few, because thirteen convolutions take their time on a CPU.

# %%
SIZE, CLASSES = 64, 10
mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (data.MEAN, data.STD))


def some(dataset, count):
    """The first images of a data set, normalized."""
    x, labels = dataset[:count]
    return TensorDataset((x - mean) / std, labels)


digits = data.digits(SIZE)
train, held_out = some(digits.train, 200), some(digits.validation, 100)
print(len(train), "to train on,", len(held_out), "held out, each", tuple(train[0][0].shape))

# %% [markdown]
# Random features are not useless, if they stay *alive*: thirteen random convolutions with PyTorch's
# default start flatten every image to nearly the same numbers. So where there are no weights, each convolution is drawn
# anew and scaled so that on a few images each of its channels has mean 0 and spread 1 (Krähenbühl and others, 2016).

# %%
@torch.no_grad()
def wake(features, x):
    """Draw random convolutions whose channels have mean 0 and spread 1 on the images x."""
    torch.manual_seed(0)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            y = layer(x)
            center, spread = y.mean((0, 2, 3)), y.std((0, 2, 3))
            layer.weight /= spread.reshape(-1, 1, 1, 1)
            layer.bias -= center / spread
        x = layer(x)


if not pretrained:
    wake(vgg.features, train[:16][0])

# %% [markdown]
# This is what the TRL sees: a photograph of 224 x 224 pixels, and nine of the 512 channels that come out, 7 x 7
# numbers each. Even random features keep *where* something is. A Linear on the flattened map learns each
# place for itself, with nothing shared along a row or a column; a TRL has factors for the rows and the columns.

# %%
photo = data.photographs()["china"].permute(2, 0, 1)[:, :, 100:527]
photo = nn.functional.interpolate(photo[None], size=(224, 224), mode="bilinear", antialias=True)[0]
maps = vgg.features(((photo - mean) / std)[None])[0].detach()  # (512, 7, 7)
widest = maps.std((1, 2)).topk(9).indices.tolist()
pictures = {"the photograph": photo} | {f"channel {c}": maps[c] for c in widest}
plotting.images(pictures, rows=2)

# %% [markdown]
# ## 8.3 Freeze { minutes: 7, difficulty: 2 }
#
# A frozen network has two halves, and one is often forgotten:
#
# - **its parameters don't learn**: `requires_grad` is `False` for each of them, so that autograd keeps nothing for them
#   and no optimizer moves them;
# - **it behaves the same each time**: dropout is off, and batch normalization uses the statistics it has instead of
#   those of the batch. That is what *eval mode* does, and `requires_grad` has no say in it: the running mean and
#   variance are buffers.
#
# Write the function that does both, to the network that comes in.

# %% solve="freeze_network"
def freeze_network(model):
    """Freeze a network in place: no parameter learns, and every module is in eval mode.

    model: an nn.Module, in any mode.
    Returns the same network. Its weights and buffers keep their values.

    >>> layer = freeze_network(nn.Linear(3, 2))
    >>> layer.weight.requires_grad, layer.training
    (False, False)
    """
    ### BEGIN SOLUTION
    for parameter in model.parameters():
        parameter.requires_grad = False
    return model.eval()
    ### END SOLUTION

# %% check="freeze_network" points=1
check("freeze_network", freeze_network)

# %% [markdown]
# <details><summary>Hint: I set requires_grad, and everything still learns</summary>
# On what did you set it? <code>model.requires_grad = False</code> gives the <i>module</i> an attribute that nobody
# reads. It belongs on each parameter.
# </details>
#
# <details><summary>Hint: the parameters are right, a module is still in training mode</summary>
# One method of <code>nn.Module</code> does that for all modules in it.
# </details>

# %% [markdown]
# ## 8.4 The surgery { minutes: 12, difficulty: 3 }
#
# Now all of it: freeze, empty the classifier, put a CP TRL with tensor dropout where the pooling was. Three traps are
# in these few lines:
#
# - **the order**: what freezes *everything* must not come after the new layer, or that learns nothing;
# - **the shape**: the layer's input shape depends on the size of the images. Don't guess it, ask `features`:
#   run them on an image of zeros;
# - **p**: the probability of *dropping* a component, as in chapter 6. Pass it as it is.
#
# `trlkit.CPTRL(input_shape, output_shape, rank, dropout=...)` is there; `output_shape` is the number of classes. The check uses
# small networks with the three parts of VGG16, on the CPU.

# %% solve="vgg_with_trl"
def vgg_with_trl(model, num_classes, rank, dropout, size):
    """Freeze a VGG and put a CP regression layer in the place of its pooling and classifier.

    model: a network like torchvision's VGG, with the parts features, avgpool and classifier;
    num_classes, rank: int; dropout: float, the probability of dropping a component;
    size: int, images have the shape (3, size, size).
    Returns the same network. Its avgpool is a trlkit.CPTRL for the activation of such images, in
    either mode; its classifier has no layers. Only the parameters of avgpool learn, and the
    features are frozen as in 8.3: in eval mode too.

    With VGG16 and size=224, avgpool takes (512, 7, 7).
    """
    ### BEGIN SOLUTION
    model = freeze_network(model)
    shape = model.features(torch.zeros(1, 3, size, size)).shape[1:]
    model.avgpool = CPTRL(tuple(shape), num_classes, rank, dropout=dropout)
    model.classifier = nn.Sequential()
    return model
    ### END SOLUTION

# %% check="vgg_with_trl" points=3
check("vgg_with_trl", vgg_with_trl)

# %% [markdown]
# <details><summary>Hint: the new layer doesn't learn</summary>
# A layer that is made after the freezing is not frozen: new parameters learn.
# </details>
#
# <details><summary>Hint: how do I get the shape?</summary>
# <code>model.features(torch.zeros(1, 3, size, size))</code> is an activation with a batch of one. Its shape without
# the first size is what the layer wants. Freeze first: batch normalization in training mode would take those zeros into its
# statistics.
# </details>
#
# <details><summary>Hint: it runs no longer: shapes cannot be multiplied</summary>
# What stands behind the new layer? It gets (B, num_classes).
# </details>
#
# Put it into VGG16, with rank 40 and a tensor dropout of 0.4:

# %%
torch.manual_seed(0)
vgg.features.cpu()  # where the zeros are: on a GPU this cell may run a second time
net = vgg_with_trl(vgg, CLASSES, rank=40, dropout=0.4, size=SIZE).to(device)
print(net.avgpool)
print(net.classifier)
learning = sum(p.numel() for p in net.parameters() if p.requires_grad)
print(f"{learning:,} of {sum(p.numel() for p in net.parameters()):,} parameters learn")

# %% [markdown]
# ## 8.5 What rank 10000 costs { minutes: 12, difficulty: 2 }
#
# One tutorial on this surgery takes rank 10000 for ten classes and (512, 7, 7), and gives as the reason for a TRL that it
# saves parameters. Does this one?
#
# **Predict before you run.** How many parameters has that CP TRL, bias included? Within a tenth will do.

# %% predict="rank_10000"
### BEGIN SOLUTION
#~ prediction = ...  # a number
prediction = 5_000_000
### END SOLUTION

# %%
with torch.device("meta"):
    large = CPTRL((512, 7, 7), 10, rank=10_000)
reveal(prediction, lambda: sum(p.numel() for p in large.parameters()))

# %% [markdown]
# Whether that is little depends on what it stands beside. The TRL itself and four baselines, for an activation of
# shape $(C, H, W)$ and $N$ classes:
#
# | name | what it is |
# |---|---|
# | `"TRL"` | the CP TRL of the rank in question: a factor for each of the four modes, and a bias |
# | `"classifier"` | VGG16's own: Linear to 4096, Linear 4096 to 4096, Linear to $N$. Behind VGG's `avgpool` it takes $C \cdot 7 \cdot 7$ numbers, *whatever $H$ and $W$ are* |
# | `"Linear"` | the activation flattened, and one Linear to $N$ |
# | `"pooled"` | the mean of each channel, and one Linear from $C$ to $N$ |
# | `"enough"` | a CP TRL of the rank that is enough for *every* weight of shape $(C, H, W, N)$: the product of all four sizes but the largest |
#
# Why is that rank enough? Cut the weight into its fibers along the largest mode. Each fiber, with a one at its place in the
# other modes, is one rank-1 term, and there are as many fibers as that product says.
#
# Count them, biases included everywhere.

# %% solve="head_costs"
def head_costs(input_shape, num_classes, rank):
    """The parameters of a CP TRL and of what it can be compared with, biases included.

    input_shape: tuple of three int (C, H, W), the activation; num_classes, rank: int.
    Returns a dict of int with the keys "TRL", "classifier", "Linear", "pooled" and "enough".

    >>> costs = head_costs((512, 7, 7), 10, 100)
    >>> costs["TRL"], costs["Linear"], costs["pooled"]
    (53610, 250890, 5130)
    """
    ### BEGIN SOLUTION
    channels, height, width = input_shape
    sizes = (*input_shape, num_classes)

    def linear(inputs, outputs):
        return inputs * outputs + outputs

    return {
        "TRL": rank * sum(sizes) + num_classes,
        "classifier": linear(channels * 49, 4096) + linear(4096, 4096) + linear(4096, num_classes),
        "Linear": linear(channels * height * width, num_classes),
        "pooled": linear(channels, num_classes),
        "enough": math.prod(sizes) // max(sizes) * sum(sizes) + num_classes,
    }
    ### END SOLUTION

# %% check="head_costs" points=1
check("head_costs", head_costs)

# %% [markdown]
# <details><summary>Hint: the classifier is right for 7 x 7 and wrong for 2 x 2</summary>
# Its first layer doesn't see the activation. What does <code>avgpool</code> do first?
# </details>
#
# <details><summary>Hint: "enough" is too large</summary>
# Which size is the largest? With many classes it isn't the channels.
# </details>
#
# And now the same 5.4 million against each of them. In the picture there is also the *break-even rank*: the last
# whose factors are no larger than the Linear's weight.

# %%
costs = head_costs((512, 7, 7), 10, rank=10_000)
for name, baseline in costs.items():
    print(f"{name:12s}{baseline:13,d}   the TRL is {costs['TRL'] / baseline:8.2f} times as large")

ranks = 100, trlkit.break_even_rank((512, 7, 7), 10, "cp"), 10_000
bars = {f"TRL, rank {r}": head_costs((512, 7, 7), 10, r)["TRL"] for r in ranks}
bars |= {name: costs[name] for name in ("Linear", "pooled", "enough")}
plotting.parameter_bars({name: {"biases included": count} for name, count in bars.items()})

# %% [markdown]
# ## 8.6 Quiz: rank 10000 { minutes: 2, difficulty: 2 }
#
# **What is true of the CP TRL of rank 10000 from (512, 7, 7) to 10 classes?**
#
# - **a** it saves over 95 % of the parameters of any head that sees the whole activation
# - **b** such a high rank holds weights that no lower rank can hold
# - **c** it is about as large as one Linear on the flattened activation
# - **d** it holds nothing that rank 490 cannot hold

# %% solve="quiz_ten_thousand"
### BEGIN SOLUTION
#~ quiz_ten_thousand = ...  # "a", "b", "c" or "d"
quiz_ten_thousand = "d"
### END SOLUTION

# %% check="quiz_ten_thousand" points=1
check("quiz_ten_thousand", quiz_ten_thousand)
### HASHED AUTOTEST quiz_ten_thousand

# %% [markdown]
# A high rank is not *wrong*: more terms than needed can make training easier, and dropout has more to drop. It is only
# no saving. Even the rank that is enough for everything costs more than one Linear, which holds everything too.

# %% [markdown]
# ### Turn it: where VGG16's numbers go
#
# **Predict before you turn.**
# Adam keeps two averages of every number that learns. Which saves more of what training VGG16 keeps: a CP TRL of rank 100 in place
# of the classifier, or convolutions that are frozen? And what is left of the difference once both are done? Write it down, then turn.

# %%
explore("where VGG16's numbers go")

# %% [markdown]
# ## 8.7 The features, once { minutes: 10, difficulty: 2 }
#
# In every epoch the frozen part makes the same activations of the same images. Make them once, keep them, and train the
# head on them as if they were the data. What is kept is (samples, 512, 2, 2): less than the images here.
#
# The backbone must be in eval mode, the order stays that of the batches, and the last batch may be smaller. No graph may
# hang on what you keep, and a head must be able to train on it: what `torch.inference_mode()` makes would not do. The
# results belong on the CPU (a GPU has better use for its memory); the batches come on the device of the backbone.

# %% solve="cached_features"
def cached_features(backbone, batches):
    """What a frozen backbone makes of every sample, computed once.

    backbone: an nn.Module, perhaps in training mode. No tensor of it may change, nor may x.
    batches: an iterable of pairs (x, labels), x of shape (B, ...), labels of shape (B,);
      it may have no length, and can be gone through once.
    Returns (features, labels), two tensors on the CPU with all samples in their order;
      features as the backbone gives them in eval mode, without a graph.

    For batches of 3, 3 and 1 images (3, 8, 6) and a backbone that gives (B, 4, 4, 3) the
    features have the shape (7, 4, 4, 3).
    """
    ### BEGIN SOLUTION
    backbone.eval()
    features, labels = [], []
    with torch.no_grad():
        for x, y in batches:
            features.append(backbone(x).cpu())
            labels.append(y.cpu())
    return torch.cat(features), torch.cat(labels)
    ### END SOLUTION

# %% check="cached_features" points=1
check("cached_features", cached_features)

# %% [markdown]
# <details><summary>Hint: the shape is right and the numbers are not</summary>
# Dropout and batch normalization behave differently in training mode.
# </details>
#
# <details><summary>Hint: it fails with batches of different sizes</summary>
# <code>torch.stack</code> wants equal shapes; <code>torch.cat</code> joins along the first mode.
# </details>
#
# **Guess before you run.** You will train for 40 epochs. The backbone takes nearly all the time of an epoch. How many
# times as fast is it all with the features computed once: about 4, 40, or 400 times? See then what
# your machine says; both times are measured here.

# %%
def on_device(dataset, batch_size=40):
    for x, labels in DataLoader(dataset, batch_size):
        yield x.to(device), labels.to(device)


began = time.perf_counter()
train_cache = TensorDataset(*cached_features(net.features, on_device(train)))
backbone_seconds = time.perf_counter() - began
held_out_cache = TensorDataset(*cached_features(net.features, on_device(held_out)))
print(f"{len(train)} images through the backbone: {backbone_seconds:.1f} s")
print("kept:", tuple(train_cache.tensors[0].shape))

# %%
EPOCHS = 40


def train_head(head):
    """Train one head on the cached features; what each epoch gave."""
    optimizer = torch.optim.Adam(head.parameters(), lr=5e-3)
    options = {"batch_size": 50, "optimizer": optimizer, "accelerator": device}
    return fit(head, train_cache, held_out_cache, EPOCHS, **options)


history = train_head(net.avgpool)
head_seconds = sum(history.seconds)
print(f"{EPOCHS} epochs of the head alone: {head_seconds:.1f} s")
through = EPOCHS * backbone_seconds + head_seconds
once = backbone_seconds + head_seconds
print(f"with the backbone in every epoch it would be {through:.0f} s: {through / once:.0f} times as long")

# %% [markdown]
# More than 40 it cannot be: of 40 passes through the backbone one is left, and the head still trains.
#
# The layer that was trained *is* `net.avgpool`, so the whole network has learned, and on images it says what the head
# says on their features:

# %%
few, few_cached = (TensorDataset(*part[:40]) for part in (held_out, held_out_cache))
print(f"40 held-out images by the whole network: {evaluate(net, few).accuracy:.1%}")
print(f"their features by the head alone:        {evaluate(net.avgpool, few_cached).accuracy:.1%}")

epochs = range(1, EPOCHS + 1)
lines = {"training": (epochs, history.train_loss), "held out": (epochs, history.validation_loss)}
plotting.curves(lines, "epoch", "cross entropy")

# %% [markdown]
# ## 8.8 Quiz: what the cache forbids { minutes: 1, difficulty: 2 }
#
# **With the features computed once, what can you no longer do while the head trains?**
#
# - **a** tensor dropout in the TRL
# - **b** a random crop and flip of each image in each epoch
# - **c** shuffle the samples in each epoch
# - **d** lower the learning rate as training goes on

# %% solve="quiz_cache"
### BEGIN SOLUTION
#~ quiz_cache = ...  # "a", "b", "c" or "d"
quiz_cache = "b"
### END SOLUTION

# %% check="quiz_cache" points=1
check("quiz_cache", quiz_cache)
### HASHED AUTOTEST quiz_cache

# %% [markdown]
# ## 8.9 Save what was trained { minutes: 7, difficulty: 2 }
#
# `torch.save(net.state_dict(), path)` writes nearly fifteen million numbers that everybody can download, to keep the
# twenty thousand that you trained. Save those that learn, under the names that they have in the whole network.
#
# A state is a *snapshot*: training on must not change it. Parameters that you put into a dict as they are go on
# learning in there, and a graph may hang on them. (`state_dict()` detaches, and shares the memory all the same.)

# %% solve="head_state"
def head_state(model):
    """A snapshot of the parameters of a network that learn.

    model: an nn.Module, of which some parameters learn, anywhere in it.
    Returns a dict from the name, as in model.named_parameters(), to a tensor of its own memory
    that requires no gradient. Frozen parameters and buffers are not in it.

    >>> model = nn.Sequential(nn.Linear(3, 2).requires_grad_(False), nn.Linear(2, 1))
    >>> list(head_state(model))
    ['1.weight', '1.bias']
    """
    ### BEGIN SOLUTION
    return {
        name: parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    ### END SOLUTION

# %% check="head_state" points=1
check("head_state", head_state)

# %% [markdown]
# <details><summary>Hint: the names are too short</summary>
# <code>model.avgpool.state_dict()</code> knows nothing of the network around it. Ask the network. And the next network's head
# isn't called <code>avgpool</code>.
# </details>
#
# <details><summary>Hint: "the saved ... moved with it"</summary>
# Your tensor and the parameter share their memory. Which method makes a copy?
# </details>
#
# Two files in memory, the whole network's and yours:

# %%
def megabytes(state):
    file = io.BytesIO()
    torch.save(state, file)
    return len(file.getvalue()) / 1e6


print(f"whole network {megabytes(net.state_dict()):6.2f} MB,  head {megabytes(head_state(net)):6.2f} MB")

# %% [markdown]
# ## 8.10 Load it, or refuse { minutes: 9, difficulty: 3 }
#
# The other way round. `model.load_state_dict(state)` is *strict*: it refuses a state that lacks the backbone. With
# `strict=False` it takes any names: a state in which the new layer has another name loads *nothing*, without a word,
# and you evaluate a random head. So write your own rule: **the state holds exactly the parameters that learn**, each
# of its shape, or there is a `ValueError` (no `RuntimeError`, and no `assert`).
#
# And write the numbers *into* the parameters that are there. With new `Parameter` objects in their place an optimizer
# that exists already would go on with the old ones.

# %% solve="restore_head"
def restore_head(model, state):
    """Give a network the trained parameters that head_state saved of another one like it.

    model: an nn.Module, frozen but for its head; state: dict of name to Tensor, in any order.
    Returns the same network; the parameters that learn have the values of the state.
    The state stays as it is, and shares no memory with them.
    Raises ValueError if a name is missing or not one of those that learn, or a shape differs;
      the network may be half loaded then.

    >>> model = nn.Sequential(nn.Linear(3, 2).requires_grad_(False), nn.Linear(2, 1))
    >>> restore_head(model, {"1.weight": torch.ones(1, 2)})
    Traceback (most recent call last):
    ValueError: ...
    """
    ### BEGIN SOLUTION
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys():
        raise ValueError(f"the network learns {sorted(own)}, the state holds {sorted(state)}")
    for name, parameter in own.items():
        if parameter.shape != state[name].shape:
            raise ValueError(f"{name}: {tuple(state[name].shape)} for {tuple(parameter.shape)}")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[name])
    return model
    ### END SOLUTION

# %% check="restore_head" points=3
check("restore_head", restore_head)

# %% [markdown]
# <details><summary>Hint: a right state is refused</summary>
# A strict <code>load_state_dict</code> wants the backbone too. Which names do <i>you</i> ask for?
# </details>
#
# <details><summary>Hint: a wrong state is taken</summary>
# Two sets of names must be equal: those that learn, and those of the state. And <code>copy_</code> spreads a tensor of shape (1, R)
# over (N, R): compare the shapes yourself.
# </details>
#
# A fresh TRL behind the same features, wrong in nine of ten cases, and right after the loading:

# %%
saved = head_state(net)
net.avgpool = CPTRL(net.avgpool.input_shape, CLASSES, rank=40, dropout=0.4).to(device)
print(f"fresh:  {evaluate(net.avgpool, held_out_cache).accuracy:.1%}")
restore_head(net, saved)
print(f"loaded: {evaluate(net.avgpool, held_out_cache).accuracy:.1%}")

# %% [markdown]
# ## 8.11 The honest rivals { minutes: 16, difficulty: 4 }
#
# ResNets have no grid left to flatten. They take the mean of each channel, **global average pooling**, and one small
# Linear. It has fewer parameters than most TRLs of use, and Cao and Rabusseau (2017) found that behind a deep network
# on CIFAR-10 it was also *better* than a TRL; TRLs with dropout won for shallow networks with few samples. A saving
# against VGG16's classifier says nothing about that rival. So write it.

# %% solve="pooled_head"
def pooled_head(channels, num_classes):
    """A head: the mean of every channel, then one linear layer with a bias.

    channels, num_classes: int.
    Returns an nn.Module. It takes (B, channels, H, W), for any H and W, and gives
    (B, num_classes). Its parameters: a weight with num_classes * channels entries, either
    mode first, and a bias.

    >>> pooled_head(512, 10)(torch.ones(2, 512, 7, 7)).shape
    torch.Size([2, 10])
    """
    ### BEGIN SOLUTION
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
    ### END SOLUTION

# %% check="pooled_head" points=1
check("pooled_head", pooled_head)

# %% [markdown]
# <details><summary>Hint: it fails behind the pooling</summary>
# <code>nn.AdaptiveAvgPool2d(1)</code> gives (B, C, 1, 1), and a Linear wants (B, C).
# </details>
#
# <details><summary>Hint: it fails for one sample</summary>
# <code>squeeze()</code> takes away <i>every</i> size 1, the batch's too. Say which modes to join.
# </details>
#
# It is not the only one. Whoever wants few numbers may also mix the channels at each place and keep the places, or squeeze everything through a narrow layer.
# A comparison is fair when all may spend the same. **How wide may each rival be?** Derive it; the check builds every width until the budget is broken.

# %% solve="equal_rivals"
def equal_rivals(input_shape, num_classes, budget):
    """The largest heads of three kinds with at most `budget` parameters, biases included.

    input_shape: tuple of three int (C, H, W); num_classes, budget: int.
    Returns a dict of int, 0 where not even 1 fits:
      "TRL": the rank of CPTRL(input_shape, num_classes, rank);
      "mixing": the K of nn.Conv2d(C, K, 1), nn.Flatten(), nn.Linear(K * H * W, num_classes);
      "bottleneck": the K of nn.Flatten(), nn.Linear(C * H * W, K), nn.Linear(K, num_classes).

    >>> equal_rivals((512, 2, 2), 10, 5300)
    {'TRL': 10, 'mixing': 9, 'bottleneck': 2}
    """
    ### BEGIN SOLUTION
    channels, height, width = input_shape
    left = budget - num_classes  # every kind ends with a bias for each class
    each = {
        "TRL": sum(input_shape) + num_classes,
        "mixing": channels + 1 + height * width * num_classes,
        "bottleneck": channels * height * width + 1 + num_classes,
    }
    return {name: max(0, left // numbers) for name, numbers in each.items()}
    ### END SOLUTION

# %% check="equal_rivals" points=2
check("equal_rivals", equal_rivals)

# %% [markdown]
# <details><summary>Hint: where do I begin?</summary>
# By how many parameters does each kind grow when its rank, or K, grows by one? And what does it have at 0 already?
# </details>
#
# <details><summary>Hint: one too many, or one too few, in some cases</summary>
# Which biases are there in "mixing", and how often? Try a budget that fits exactly.
# </details>
#
# Now the experiment, and on *real* features. `data.cifar10_features()` holds what a VGG16 sees in 460 photographs of CIFAR-10, half of them to learn from: airplanes,
# cats, trucks. It learned from 36,000 others, of the first eight of the ten classes; ships and trucks it has never seen. Its map is 4 x 4, so that there are places to keep.
# All heads get the same epochs and the same learning rate, none tuned. One run decides nothing: each of 230 photographs is half a point, and the luck of a start is
# several. So every kind starts from five seeds, and what counts is the difference to the pooled head *of the same seed*, which saw the same batches.
#
# The bottleneck stays out: on this map not even a width of 1 fits, as your function says.
#
# **Predict before you run.** At about 5,400 parameters, which of "TRL", "mixing" and "pooled" has the highest mean?

# %% predict="vgg_rivals"
### BEGIN SOLUTION
#~ prediction = ...  # one of the three
prediction = "mixing"
### END SOLUTION

# %%
photographs, unseen = data.cifar10_features()
shape = tuple(photographs.tensors[0].shape[1:])
widths = equal_rivals(shape, CLASSES, 5400)
print(widths)
places = math.prod(shape[1:])
kinds = {
    "pooled": lambda: pooled_head(shape[0], CLASSES),
    "TRL": lambda: CPTRL(shape, CLASSES, widths["TRL"]),
    "mixing": lambda: nn.Sequential(
        nn.Conv2d(shape[0], widths["mixing"], 1), nn.Flatten(), nn.Linear(widths["mixing"] * places, CLASSES)
    ),
    "one Linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), CLASSES)),
}
SEEDS, scores, sizes = range(5), {}, {}
x, y = (tensor.to(device) for tensor in photographs.tensors)
for name, make in kinds.items():
    scores[name] = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        head = make().to(device)
        optimizer = torch.optim.Adam(head.parameters(), lr=5e-3)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(x), generator=generator).split(50):
                optimizer.zero_grad()
                nn.functional.cross_entropy(head(x[batch]), y[batch]).backward()
                optimizer.step()
        scores[name].append(evaluate(head, unseen).accuracy)
    sizes[name] = sum(p.numel() for p in head.parameters())
    print(f"{name}: {len(scores[name])} trainings done")

# %%
print(f"{'head':12s}{'parameters':>11s}{'held out':>10s}   against pooled, seed by seed")
for name, own in scores.items():
    mean, half = interval([100 * (one - other) for one, other in zip(own, scores["pooled"])])
    told = "" if name == "pooled" else f"{mean:+5.1f} +- {half:.1f} points" + ": not shown" * (abs(mean) <= half)
    print(f"{name:12s}{sizes[name]:11,d}{100 * sum(own) / len(own):9.1f} %   {told}")
equals = {name: sum(own) for name, own in scores.items() if name != "one Linear"}
reveal(prediction, max(equals, key=equals.get))

# %% [markdown]
# How to read it:
#
# - The +- is half of the 95 % interval over the starts. A difference within it was **not shown**, whichever sign it has; the highest mean of three may well be luck.
# - All heads see the same 230 photographs. Others would move all of them by a few points, and more starts don't help against that.
# - **one Linear** costs fifteen times as much here. Where that fits, a TRL has to be better to be worth the trouble.
#
# With a GPU, all 45,000 photographs, tuned rates and twenty seeds, the same question was answered with narrow intervals (`docs/results/experiments.md`, plan *transfer*;
# points against a CP TRL of 15,910 parameters):
#
# | head | 450 photographs | 45,000 photographs |
# |---|---:|---:|
# | average + Linear, 5,130 parameters | <!--fact transfer; 1 %; GAP + Linear; minus CP-->+0.7 ± 0.2<!--/fact--> | <!--fact transfer; 100 %; GAP + Linear; minus CP-->-0.4 ± 0.1<!--/fact--> |
# | mixing, of its size | <!--fact transfer; 1 %; 1x1 conv + Linear; minus CP-->-0.6 ± 0.1<!--/fact--> | <!--fact transfer; 100 %; 1x1 conv + Linear; minus CP-->-0.0 ± 0.1<!--/fact--> |
# | bottleneck, of its size | <!--fact transfer; 1 %; bottleneck; minus CP-->-6.6 ± 0.5<!--/fact--> | <!--fact transfer; 100 %; bottleneck; minus CP-->-6.3 ± 0.3<!--/fact--> |
# | one Linear, 81,930 | <!--fact transfer; 1 %; Linear; minus CP-->-1.4 ± 0.2<!--/fact--> | <!--fact transfer; 100 %; Linear; minus CP-->+0.6 ± 0.1<!--/fact--> |
# | CP of rank 10000, <!--fact transfer; 100 %; CP, rank 10000; parameters-->5,300,010<!--/fact--> | <!--fact transfer; 1 %; CP, rank 10000; minus CP-->-2.1 ± 0.3<!--/fact--> | <!--fact transfer; 100 %; CP, rank 10000; minus CP-->+0.7 ± 0.1<!--/fact--> |
# | the same with p = 0.4 | <!--fact transfer; 1 %; CP, rank 10000, p = 0.4; minus CP-->-1.3 ± 0.2<!--/fact--> | <!--fact transfer; 100 %; CP, rank 10000, p = 0.4; minus CP-->-0.3 ± 0.2<!--/fact--> |
#
# Read it twice. Few photographs: the average wins, and whoever has more numbers loses. Many: what is larger gains a little, and rank 10000 buys over one Linear
# <!--fact transfer; 100 %; CP, rank 10000; minus Linear-->+0.1 ± 0.1<!--/fact--> points for 65 times its parameters. Whoever predicted "TRL" since it keeps the places: so does "mixing", at the same price.
# And where a TRL is trained *with* the network, not after it, the picture is another one: behind a VGG16 that learned together with its head, CP of rank 10 was at
# <!--fact heads; all; CP, rank 10; minus GAP + Linear-->+1.3 ± 0.4<!--/fact--> against average + Linear and at <!--fact heads; all; CP, rank 10; minus Linear-->+2.1 ± 0.3<!--/fact--> against one Linear.

# %% [markdown]
# ### An experiment: what are the places worth? { minutes: 18, difficulty: 4 }
#
# A TRL keeps the places, and the average throws them away. Is what it keeps worth anything behind this network? Two questions
# are easily taken for one:
#
# - what a head **uses**: train it, then show it the unseen photographs with their places *shuffled*. The points that it loses;
# - what it **needs**: train it again, from the same start, on shuffled photographs, and show it shuffled ones. The points that
#   it is still behind the head that saw the places. For whatever else could take their place, it has had its chance.
#
# To shuffle is to put the 4 x 4 places in another order, all 512 channels alike, and each photograph in an order of its own. An average of the channels cannot
# tell: it is the control.
#
# **Predict before you write.** Which loses more when the places are shuffled after the training: the TRL, where each
# component has one profile of the rows and one of the columns, or one Linear, which has a number for each place, channel and
# class? And what is the word (in the table below) for a TRL that starts as an average, all rows alike and all columns alike, and then learns?

# %% predict="places"
### BEGIN SOLUTION
#~ prediction = (..., ...)  # "TRL" or "one Linear"; one of the four words
prediction = ("TRL", "not shown")
### END SOLUTION

# %% [markdown]
# Write the experiment. Every seed draws anew which photographs are there to learn from, and how a head starts. Both heads of a pair get the same
# photographs and the same start, so that what counts is the difference *within* a seed. `interval(differences)` is there. The conclusion is one word:
#
# | says | when |
# |---|---|
# | `"needed"` | the interval of what is needed lies above 0 |
# | `"in the way"` | it lies below 0 |
# | `"used"` | it holds 0, and the interval of what is used lies above 0 |
# | `"not shown"` | in all other cases |
#
# The check runs it in made-up worlds, where it is known how many photographs each head reads, and compares your word with what **you** measured.

# %% solve="worth_of_places"
def worth_of_places(split, learn, shuffle, seeds):
    """Find out by experiment whether a head uses, and whether it needs, the places.

    split: function; split(seed) gives (x, labels, unseen, truth): photographs (B, C, H, W) and their labels
    to learn from, and others to measure on.
    learn: function; learn(x, labels, seed) gives a head that starts by the seed, trained; an nn.Module
    that takes photographs to class scores.
    shuffle: function; shuffle(x, seed) gives photographs with their places shuffled, and leaves x as it is.
    seeds: list of int; two heads for each. split and learn get this seed, and shuffle the same or others that
    follow from it.
    Returns (used, needed, says): two pairs of float (mean, half), over the seeds, in points (percent of the
    unseen photographs); and "needed", "in the way", "used" or "not shown".
    """
    ### BEGIN SOLUTION
    def right(head, photographs, truth):
        with torch.no_grad():
            return 100 * (head(photographs).argmax(1) == truth).double().mean().item()

    used, needed = [], []
    for seed in seeds:
        x, labels, unseen, truth = split(seed)
        mixed = shuffle(unseen, seed)
        head = learn(x, labels, seed)
        without = learn(shuffle(x, seed), labels, seed)
        as_they_are = right(head, unseen, truth)
        used.append(as_they_are - right(head, mixed, truth))
        needed.append(as_they_are - right(without, mixed, truth))
    used, needed = interval(used), interval(needed)
    if abs(needed[0]) > needed[1]:
        return used, needed, "needed" if needed[0] > 0 else "in the way"
    return used, needed, "used" if used[0] > used[1] else "not shown"
    ### END SOLUTION

# %% check="worth_of_places" points=3
check("worth_of_places", worth_of_places)

# %% [markdown]
# <details><summary>Hint: how many trainings, and how many measurements?</summary>
# Two heads for each seed. One of them is measured twice.
# </details>
#
# <details><summary>Hint: the mean is right and the half is not</summary>
# For each seed there is one difference. They go into <code>interval</code>, all at once.
# </details>
#
# Now the real thing. `halves.drawn(seed)` draws half of the 460 photographs of every class to learn from:

# %%
def average_start():
    """The TRL of the same rank; all rows start alike, and all columns."""
    layer = CPTRL(shape, CLASSES, widths["TRL"])
    for factor in (layer.factors[1], layer.factors[2]):
        nn.init.constant_(factor, factor.std().item())
    return layer


def learner(make):
    return lambda x, labels, seed: halves.trained(make, x, labels, seed)


judged = {"average + Linear": kinds["pooled"], "one Linear": kinds["one Linear"]}
judged |= {"TRL": kinds["TRL"], "TRL, average start": average_start}
worth = {}
for name, make in judged.items():
    worth[name] = worth_of_places(halves.drawn, learner(make), halves.shuffled, list(range(6)))
    used, needed, says = worth[name]
    told = f"used {used[0]:+5.1f} +- {used[1]:.1f}, needed {needed[0]:+5.1f} +- {needed[1]:.1f} points"
    print(f"{name:20s}{told}: {says}")
most = max(("TRL", "one Linear"), key=lambda name: worth[name][0][0])
reveal(prediction, (most, worth["TRL, average start"][2]))

# %%
lost = {name: {"used": used, "needed": needed} for name, (used, needed, _) in worth.items()}
plotting.intervals(lost, "points lost for the shuffled places")

# %% [markdown]
# Look at the two TRLs. They have the same numbers, the same photographs and the same batches; one of them falls when the places are shuffled, and the other
# does not feel it. What the first one leaned on was not in the photographs: it was its own start. Each component begins with a random profile of rows and columns, and its channels
# learn to fit *that*.
#
# So the usual test, to spoil an input and see what is lost, says what *this* head leans on. It does not say what the input is worth. To train again without it is
# nearer to that, and it still speaks of a head *and its start*: whoever stops at the first TRL says of TRLs what holds of a random start. Does the average start cost
# anything? The picture of the challenge has it beside the others: is either TRL ahead of the average + Linear, which keeps no
# place, and does the picture decide it?
#
# Two limits. The halves of different seeds share photographs, so for *other* photographs these intervals are somewhat too narrow. And the backbone was trained
# for classes like these, and each of its 4 x 4 places can see the whole image: in chapter 7, behind two convolutions, the places decided.
#
# An experiment can fool you without any error message. Below, the photographs of both halves come sorted by class, and nothing else is changed. **What will it say of one Linear now?**

# %%
def in_order(seed):
    x, labels, others, truth = halves.drawn(seed)
    one, other = labels.argsort(), truth.argsort()
    return x[one], labels[one], others[other], truth[other]


used, needed, says = worth_of_places(in_order, learner(kinds["one Linear"]), halves.shuffled, list(range(6)))
print(f"one Linear, sorted: used {used[0]:+.1f} +- {used[1]:.1f}, needed {needed[0]:+.1f} +- {needed[1]:.1f} points: {says}")

# %% [markdown]
# <details><summary>If that differs from above: why?</summary>
# If you shuffle both halves by the same seed, the photographs at one place of both lists get the same order of their places. Sorted, they are of the same class: the shuffling itself tells the class, and the
# head learns to read it. (With a seed of its own for each shuffling nothing happens.)
# </details>

# %% [markdown]
# ### Open challenge: a hundred numbers { minutes: 10, difficulty: 4 }
#
# **Guess before you run.** The average + Linear has 5,130 numbers here. How many points are lost with 100?
#
# Write a head with **at most 100 numbers** in parameters and buffers together. What a head computes without having learned it, the same for every head, costs nothing:
# a sum, a sign, a reshape, a random matrix of a fixed seed. It is trained as above. The order of the 512 channels is drawn anew with the photographs, so there is nothing to be known of
# channel 17.
#
# The rival has 100 as well: the means of the first nine channels, and a Linear. The point is yours at one point above it, in the mean of five seeds, pair by pair. What counts beyond
# that is your mark in the picture. Nobody knows the bound.

# %% solve="hundred_numbers"
def hundred_numbers(input_shape, num_classes):
    """A head of few numbers.

    input_shape: (channels, height, width) of an activation; num_classes: int.
    Returns an nn.Module that takes (B, *input_shape) and gives logits (B, num_classes); in eval mode
    those of one photograph don't depend on the others. For (512, 4, 4) and 10 classes it has at
    most 100 numbers.
    """
    ### BEGIN SOLUTION
    class Signs(nn.Linear):
        """Nine sums of all channels, each under random signs of its own, then a Linear."""

        def forward(self, x):
            drawn = torch.randn(x.shape[1], 9, generator=torch.Generator().manual_seed(0))
            signs = 3 * drawn.sign() / math.sqrt(x.shape[1])
            return super().forward(x.mean((2, 3)) @ signs)

    return Signs(9, num_classes)
    ### END SOLUTION

# %% check="hundred_numbers" points=1
check("hundred_numbers", hundred_numbers)

# %% [markdown]
# <details><summary>Hint: nine channels are few, and more of them don't fit</summary>
# Who says that one of your nine inputs must be <i>one</i> channel?
# </details>
#
# <details><summary>Hint: my nine inputs hold everything, and it reads less</summary>
# Means of many channels are all nearly alike. What tells them apart? And how large are they: does 0.005 get them far in 200 steps?
# </details>

# %%
note = ""  # a name for this try; then it is kept in tries_08.txt, beside the notebook
marks = {"yours": lambda: hundred_numbers(halves.SHAPE, CLASSES), "nine channels": halves.NineChannels}
marks |= {"TRL of rank 1": lambda: CPTRL(shape, CLASSES, 1)} | judged
del marks["one Linear"]
points = {}
for name, make in marks.items():
    shares = []
    for seed in range(3):
        x, y, others, truth = halves.drawn(seed, mixed=True)
        shares.append(halves.accuracy(halves.trained(make, x, y, seed), others, truth))
    made = make()
    size, share = sum(t.numel() for t in (*made.parameters(), *made.buffers())), sum(shares) / 3
    points[f"{name}: {size:,} numbers, {share:.1f} %"] = ([size], [share])
    if note and name == "yours":
        with Path("tries_08.txt").open("a") as file:
            file.write(f"{size} {share:.2f} {note}\n")
if Path("tries_08.txt").exists():
    rows = [line.split(maxsplit=2) for line in Path("tries_08.txt").read_text().splitlines()]
    points["your tries"] = zip(*sorted((int(size), float(share)) for size, share, _ in rows))
    print("\n".join(f"{name}: {size} numbers, {share} %" for size, share, name in rows))
plotting.curves(points, "numbers of the head", "right, in percent, mean of three seeds", log="x", marks={"the budget": 100})

# %% [markdown]
# The TRL of rank 1 has five times the numbers and loses: it sees the 512 channels through *one* sum, whatever its other factors do. A rank counts how many such sums there are: try 2, 3 and 4.
# And before you praise a head for how little it needs: much of it was done by who made the features.

# %% [markdown]
# ## 8.12 ResNet-50, and frozen for good { minutes: 7, difficulty: 3 }
#
# A network that averages already has nothing to save. But its average is a TRL, with fixed equal weights for rows and columns,
# and a TRL may *start* there and learn better ones. `trlkit.replace_classifier` does the surgery on
# any network; with `init="pretrained"` the TRL starts as exactly what it replaces.

# %%
torch.manual_seed(0)
resnet = models.resnet50(num_classes=10).eval()  # weights="IMAGENET1K_V2" where you have them
x = torch.randn(2, 3, SIZE, SIZE)
before = resnet(x).detach()
report = trlkit.replace_classifier(resnet, 10, init="pretrained", input_size=(3, SIZE, SIZE))
change = (resnet(x) - before).detach().abs().max() / before.abs().max()
print(report, f"\n\nthe output has changed by {change:.0e} of its size")

# %% [markdown]
# Not one parameter saved: a few more. What it buys is a pooling that learns.
#
# ResNet-50 also shows where `freeze_network` is not enough. A training loop calls `model.train()` at the start of every epoch,
# and that wakes all modules, the frozen ones too. VGG16 has no batch normalization, ResNet-50 has 53: in training
# mode each normalizes by the batch, and moves its running statistics. So the "frozen" network drifts, though no parameter learns.
#
# Write a wrapper that stays asleep. `nn.Module.train(mode)` sets `self.training`, calls `train(mode)` of every
# child, and returns `self`; `eval()` is `train(False)`. What must yours do?

# %% solve="FrozenBackbone"
class FrozenBackbone(nn.Module):
    """A network that learns nothing, and behaves in training mode as in eval mode.

    network: an nn.Module; it becomes a part of this one, so that .to(device) moves it too.
    No parameter of it learns. From the start, and after .train() of this module or of one that
    holds it, it gives what the network gives in eval mode, and its buffers keep their values.
    .train() returns the module itself, as always. Gradients need not go through to x, but a layer
    behind this one can train on what it gives.

    >>> frozen = FrozenBackbone(nn.Dropout(0.5))
    >>> frozen.train()(torch.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, network):
        super().__init__()
        ### BEGIN SOLUTION
        #~ raise NotImplementedError
        self.network = freeze_network(network)
        ### END SOLUTION

    ### BEGIN SOLUTION
    #~ # and what else?
    def train(self, mode=True):
        return super().train(False)

    def forward(self, x):
        return self.network(x)
    ### END SOLUTION

# %% check="FrozenBackbone" points=1
check("FrozenBackbone", FrozenBackbone)

# %% [markdown]
# <details><summary>Hint: I don't know where to begin</summary>
# Three methods: <code>__init__</code> keeps the network, frozen; <code>forward</code> calls it; <code>train</code> is
# the one to override.
# </details>
#
# <details><summary>Hint: it wakes up after .train()</summary>
# Whoever holds your module calls <code>train(True)</code> on it, and what you inherit hands that on to the children.
# Which <code>mode</code> should arrive there?
# </details>

# %% [markdown]
# ## 8.13 A GPU, and a compiler { minutes: 2, difficulty: 1 }
#
# `device`, in the first cell, is the one place that knows where this notebook runs; the features are kept on the CPU, and `fit`
# takes a GPU by itself. A TRL is a handful of small kernels, and a GPU spends more time to start them than to run them:
# `torch.compile` makes fewer and larger ones of them. It needs a C++ compiler and up to a minute the first time, so it is off here:

# %%
COMPILE = False

head = CPTRL(shape, CLASSES, rank=40).to(device).eval()
fast = torch.compile(head, fullgraph=True) if COMPILE else head
x = unseen.tensors[0].to(device)
assert torch.allclose(fast(x), head(x), atol=1e-4)
print("compiled, and the same numbers" if COMPILE else "not compiled: set COMPILE = True to try")

# %% [markdown]
# ## What to take away
#
# - Freeze first, operate after. Frozen means: no gradient *and* eval mode, even when somebody calls `train()`.
# - The layer's input shape is what `features` give for *your* image size. Ask them.
# - Rank 10000 is 4 % of VGG16's classifier and 21 times one Linear. Above rank 490 nothing new can be held.
# - Compute frozen features once, unless the images change from epoch to epoch.
# - Save what learned, and let a state that does not fit fail loudly.
# - The rivals are the global average, and whatever has as many parameters: seed by seed, with an error, or it was not shown.
# - What a head loses for a spoiled input says what it leans on, not what the input is worth. Train again without it, and from another start.
#
# `trlkit.lab.models.vgg16_trl` makes the network of this chapter, `trlkit.lab.training.features` computes the cache, and
# `trlkit.replace_classifier` operates on any network.
#
# ## To go further
#
# - Simonyan, Zisserman: *Very Deep Convolutional Networks for Large-Scale Image Recognition*, ICLR 2015. VGG.
# - Kossaifi, Lipton, Kolbeinsson, Khanna, Furlanello, Anandkumar: *Tensor Regression Networks*, JMLR 21 (2020).
# - Cao, Rabusseau: *Tensor Regression Networks with various Low-Rank Tensor Approximations*, arXiv 1712.09520 (2017). The
#   comparison with global average pooling.
# - Lin, Chen, Yan: *Network In Network*, ICLR 2014. Where global average pooling comes from.
# - Krähenbühl, Doersch, Donahue, Darrell: *Data-dependent Initializations of Convolutional Neural Networks*, ICLR 2016.
#
# **Next:** chapter 9, *Capstone*: you choose rank and dropout under a budget, and defend the choice.

# %%
progress()
