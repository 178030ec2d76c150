"""Right answers of chapter 00 that are not the course's own."""

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
