"""Wrong answers that only the rarer cases catch."""

# %% wrong="count_parameters" name="children"
# One level, and not the network itself.
def count_parameters(model):
    return sum(p.numel() for m in model.children() for p in m.parameters())


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
