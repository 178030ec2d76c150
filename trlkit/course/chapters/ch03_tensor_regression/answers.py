"""Known answers of chapter 03."""

# %% right="cp_response"
def cp_response(x, factors, bias):
    import trlkit

    return (x.flatten(1) @ trlkit.khatri_rao(factors)).sum(dim=1) + bias

# %% answer="cp_response" name="weight built"
# Building the weight is right too.
def cp_response(x, factors, bias):
    weight = 0
    for r in range(factors[0].shape[1]):
        term = factors[0][:, r]
        for factor in factors[1:]:
            term = term[..., None] * factor[:, r]
        weight = weight + term
    return (x * weight).flatten(1).sum(1) + bias

# %% answer="cp_response" name="component by component"
# From the last mode, one component at a time.
def cp_response(x, factors, bias):
    total = bias
    for r in range(factors[0].shape[1]):
        term = x
        for factor in reversed(factors):
            term = term @ factor[:, r]
        total = total + term
    return total

# %% answer="cp_response" name="einsum interleaved"
# torch.einsum with numbers for letters.
def cp_response(x, factors, bias):
    n = len(factors)
    operands = [x, [n, *range(n)]]
    for k, factor in enumerate(factors):
        operands += [factor, [k, n + 1]]
    return torch.einsum(*operands, [n]) + bias

# %% answer="cp_response" name="khatri rao"
# The Khatri-Rao product on the flattened batch.
def cp_response(x, factors, bias):
    import trlkit

    return (x.flatten(1) @ trlkit.khatri_rao(factors)).sum(dim=1) + bias

# %% mistake="cp_response" name="rank summed too early"
# You combined every column with every column (a Kronecker product, or a sum of each factor over
# its columns first). That multiplies column 0 of one factor with column 1 of another; column r
# belongs with column r alone.
# Look at: where the sum over r stands in the formula: outside all the products.
def cp_response(x, factors, bias):
    for factor in reversed(factors):
        x = x @ factor.sum(1)
    return x + bias

# %% mistake="cp_response" name="bias for each component"
# You added the bias before the sum over the components, so it counts R times.
# Look at: the order of the last two steps.
def cp_response(x, factors, bias):
    y = 0
    for r in range(factors[0].shape[1]):
        term = x
        for factor in reversed(factors):
            term = term @ factor[:, r]
        y = y + term + bias
    return y

# %% mistake="cp_response" name="first component"
# You used column 0 of every factor only: a weight of rank 1.
# Look at: whether every column of the factors has a part in your result.
def cp_response(x, factors, bias):
    for factor in reversed(factors):
        x = x @ factor[:, 0]
    return x + bias

# %% mistake="cp_response" name="components averaged"
# You averaged over the components where the formula sums.
# Look at: what you do with the mode of size R at the end.
def cp_response(x, factors, bias):
    y = x.unsqueeze(-1) * factors[0].reshape(-1, *[1] * (len(factors) - 1), factors[0].shape[1])
    for k, factor in enumerate(factors[1:], 1):
        shape = [1] * len(factors) + [factor.shape[1]]
        shape[k] = factor.shape[0]
        y = y * factor.reshape(shape)
    return y.flatten(1, -2).sum(1).mean(1) + bias

# %% mistake="cp_response" name="bias forgotten"
# Your response has no bias.
# Look at: the last term of the formula.
def cp_response(x, factors, bias):
    y = 0
    for r in range(factors[0].shape[1]):
        term = x
        for factor in reversed(factors):
            term = term @ factor[:, r]
        y = y + term
    return y

# %% mistake="cp_response" name="bias taken away"
# Your response has the bias with a minus.
# Look at: the sign of the last term of the formula.
#- + bias
#+ - bias

# %% mistake="cp_response" name="squeezed"
# Your result has lost a mode: with a batch of one it is () where (1,) is asked for.
# Look at: `squeeze` without a dim removes *every* mode of size 1.
#- dim=1
#+ 1).squeeze(

# %% mistake="cp_response" name="factors reversed"
# Where all modes have one size, your response is that of the factors in the opposite order: the
# first factor meets the last mode of x.
# Look at: which mode of x each factor meets. In a product of flattened things: which index runs
# fastest in x.flatten(1), and which in yours?
#- )).sum(dim=
#+ [::-1])).sum(

# %% mistake="cp_response" name="last mode first"
# Where all modes have one size, your response is that of the factors in the opposite order: the
# first factor meets the last mode of x.
# Look at: which mode of x each factor meets. In a product of flattened things: which index runs
# fastest in x.flatten(1), and which in yours?
def cp_response(x, factors, bias):
    total = bias
    for r in range(factors[0].shape[1]):
        term = x
        for factor in factors:
            term = term @ factor[:, r]
        total = total + term
    return total

# %% mistake="cp_response" name="modes apart"
# You summed x over all modes but one, met each factor with what was left, and multiplied the
# results. A rank-1 weight has to meet x entry by entry, all modes at once.
# Look at: contract x with the first vector and *go on with what comes out*, not with x.
def cp_response(x, factors, bias):
    y = 1
    for k, factor in enumerate(factors):
        others = tuple(m + 1 for m in range(len(factors)) if m != k)
        y = y * ((x.sum(others) if others else x) @ factor)
    return y.sum(1) + bias

# %% wrong="cp_response" name="two modes"
# Pictures only.
def cp_response(x, factors, bias):
    return torch.einsum("bij,ir,jr->b", x, *factors) + bias

# %% wrong="cp_response" name="view"
# Needs the entries side by side in memory.
#- x.flatten(1)
#+ x.view(len(x), -1)

# %% wrong="cp_response" name="float32 result"
# A new tensor in float32, whatever comes.
def cp_response(x, factors, bias):
    y = torch.zeros(len(x))
    for r in range(factors[0].shape[1]):
        term = x
        for factor in reversed(factors):
            term = term @ factor[:, r]
        y = y + term
    return y + bias

# %% wrong="cp_response" name="float64 on the way"
# Computed in float64 and given back so.
#- x.flatten(1)
#+ x.flatten(1).double()

# %% wrong="cp_response" name="letters for five"
# No letter for the sixth mode.
def cp_response(x, factors, bias):
    letters = "ijklm"[: len(factors)]
    terms = ",".join(f"{letter}r" for letter in letters)
    return torch.einsum(f"b{letters},{terms}->b", x, *factors) + bias

# %% wrong="cp_response" name="all squeezed modes"
# Modes of size 1 are taken out of x, the factors still stand for them.
#- x.flatten(1)
#+ x.squeeze().flatten(1)

# %% wrong="cp_response" name="detached bias"
# No gradient reaches the bias.
#- + bias
#+ + bias.item()

# %% wrong="cp_response" name="detached factors"
# No gradient reaches the factors.
#- khatri_rao(factors)
#+ khatri_rao([factor.detach() for factor in factors])

# %% wrong="cp_response" name="reversed factors"
# The first factor meets the last mode: right where the sizes are equal and nothing else is.
def cp_response(x, factors, bias):
    y = 0
    for r in range(factors[0].shape[1]):
        term = x
        for factor in factors:
            term = term @ factor[:, r] if term.shape[-1] == len(factor) else term.mT @ factor[:, r]
        y = y + term
    return y + bias

# %% right="block_features"
def block_features(x, factors, mode):
    letters = "ijklmno"[: len(factors)]
    others = [k for k in range(len(factors)) if k != mode]
    terms = "".join(f",{letters[k]}r" for k in others)
    equation = f"z{letters}{terms}->z{letters[mode]}r"
    return torch.einsum(equation, x, *(factors[k] for k in others))

# %% answer="block_features" name="khatri rao"
# Unfolding and Khatri-Rao product.
def block_features(x, factors, mode):
    import trlkit

    others = [factor for k, factor in enumerate(factors) if k != mode]
    rows = x.movedim(mode + 1, 1).flatten(2)
    return rows @ trlkit.khatri_rao(others)

# %% answer="block_features" name="component by component"
# For each component all other modes contracted.
def block_features(x, factors, mode):
    parts = []
    for r in range(factors[mode].shape[1]):
        part = x.movedim(mode + 1, 1)
        for k in reversed(range(len(factors))):
            if k != mode:
                part = part @ factors[k][:, r]
        parts.append(part)
    return torch.stack(parts, dim=-1)

# %% answer="block_features" name="broadcast"
# Everything multiplied out, then summed.
def block_features(x, factors, mode):
    y = x.movedim(mode + 1, 1).unsqueeze(-1)
    others = [f for k, f in enumerate(factors) if k != mode]
    for n, factor in enumerate(others):
        shape = [1] * (len(others) + 3)
        shape[2 + n], shape[-1] = factor.shape
        y = y * factor.reshape(shape)
    return y.sum(dim=tuple(range(2, y.ndim - 1)))

# %% mistake="block_features" name="own factor used"
# You multiplied with the factor of the mode itself too. It is the unknown: the features are all
# that it will be multiplied with.
# Look at: which factors take part for mode k: all but factors[k].
def block_features(x, factors, mode):
    letters = "ijkl"[: len(factors)]
    terms = ",".join(f"{letter}r" for letter in letters)
    return torch.einsum(f"b{letters},{terms}->b{letters[mode]}r", x, *factors)

# %% mistake="block_features" name="index of the mode summed"
# You summed over the index of the mode as well. Each of its entries is a feature of its own.
# Look at: which indices are still there in your result: b, i and r.
def block_features(x, factors, mode):
    letters = "ijkl"[: len(factors)]
    others = [k for k in range(len(factors)) if k != mode]
    terms = ",".join(f"{letters[k]}r" for k in others)
    return torch.einsum(f"b{letters},{terms}->br", x, *[factors[k] for k in others])

# %% mistake="block_features" name="components summed"
# You summed over the components. Column r of the factor meets only component r, so each r
# keeps a feature of its own.
# Look at: which indices are still there in your result: b, i and r.
#-     terms = "".join(f",{letters[k]}r" for k in others)
#-     equation = f"z{letters}{terms}->z{letters[mode]}r"
#+     terms = ",".join(f"{letters[k]}r" for k in others)
#+     equation = f"b{letters},{terms}->b{letters[mode]}"

# %% mistake="block_features" name="rank before mode"
# Your features are in the order (B, R, I). They are to match the factor, which is (I, R).
# Look at: the last two modes of your result.
#-     terms = "".join(f",{letters[k]}r" for k in others)
#-     equation = f"z{letters}{terms}->z{letters[mode]}r"
#+     terms = ",".join(f"{letters[k]}r" for k in others)
#+     equation = f"b{letters},{terms}->br{letters[mode]}"

# %% mistake="block_features" name="mode 0 always"
# You gave the features of factors[0] whatever `mode` is.
# Look at: whether your result depends on `mode`.
def block_features(x, factors, mode):
    letters = "ijkl"[: len(factors)]
    terms = ",".join(f"{letter}r" for letter in letters[1:])
    return torch.einsum(f"b{letters},{terms}->b{letters[0]}r", x, *factors[1:])

# %% mistake="block_features" name="others reversed"
# With two modes all is right. Where more modes have one size, your features are those of the
# other factors in the opposite order: the first of them meets the last of the other modes.
# Look at: which mode of x each factor meets. In a product of flattened things: which index runs
# fastest in the flattened modes, and which in yours?
def block_features(x, factors, mode):
    import trlkit

    others = [factor for k, factor in enumerate(factors) if k != mode][::-1]
    return x.movedim(mode + 1, 1).flatten(2) @ trlkit.khatri_rao(others)

# %% mistake="block_features" name="last mode first"
# With two modes all is right. Where more modes have one size, your features are those of the
# other factors in the opposite order: the first of them meets the last of the other modes.
# Look at: which mode of x each factor meets. In a product of flattened things: which index runs
# fastest in the flattened modes, and which in yours?
def block_features(x, factors, mode):
    parts = []
    for r in range(factors[mode].shape[1]):
        part = x.movedim(mode + 1, 1)
        for k in range(len(factors)):
            if k != mode:
                part = part @ factors[k][:, r]
        parts.append(part)
    return torch.stack(parts, dim=-1)

# %% mistake="block_features" name="modes swapped"
# With mode 2 of three, the others meet their factors in the wrong order; with two modes all is
# right. Did you swap the mode with the first one? Then the two others change places.
# Look at: the order of the modes of x after your swap: (0, 1, 2) becomes (2, 1, 0).
def block_features(x, factors, mode):
    import trlkit

    others = [factor for k, factor in enumerate(factors) if k != mode]
    return x.swapaxes(mode + 1, 1).flatten(2) @ trlkit.khatri_rao(others)

# %% mistake="block_features" name="batch not counted"
# Your result is what comes of moving mode `mode` of the whole batch, in which the samples are
# mode 0: mode k of a sample is mode k + 1 of x.
# Look at: which mode of x it is that you move.
def block_features(x, factors, mode):
    import trlkit

    others = [factor for k, factor in enumerate(factors) if k != mode]
    return x.movedim(mode, 1).flatten(2) @ trlkit.khatri_rao(others)

# %% mistake="block_features" name="rank summed too early"
# You summed the other factors over their columns, so all components have the same features.
# Column r of the features is made of column r of the other factors alone.
# Look at: how your result depends on r.
def block_features(x, factors, mode):
    letters = "ijkl"[: len(factors)]
    others = [k for k in range(len(factors)) if k != mode]
    terms = ",".join(letters[k] for k in others)
    sums = [factors[k].sum(1) for k in others]
    meets = torch.einsum(f"b{letters},{terms}->b{letters[mode]}", x, *sums)
    return meets[:, :, None].expand(-1, -1, factors[mode].shape[1])

# %% mistake="block_features" name="only the last other factor"
# You contracted one of the other factors only and just summed x over the remaining modes: with
# two modes it looks right, with three it is not.
# Look at: how many factors meet x when there are three modes.
def block_features(x, factors, mode):
    others = [k for k in range(len(factors)) if k != mode]
    letters = "ijkl"[: len(factors)]
    last = letters[others[-1]]
    return torch.einsum(f"b{letters},{last}r->b{letters[mode]}r", x, factors[others[-1]])

# %% wrong="block_features" name="two modes"
# Pictures only.
def block_features(x, factors, mode):
    if mode == 0:
        return torch.einsum("bij,jr->bir", x, factors[1])
    return torch.einsum("bij,ir->bjr", x, factors[0])

# %% wrong="block_features" name="cyclic order"
# The other modes start behind the mode, the factors do not.
def block_features(x, factors, mode):
    import trlkit

    n = len(factors)
    others = [factors[(mode + 1 + k) % n] for k in range(n - 1)]
    return x.movedim(mode + 1, 1).flatten(2) @ trlkit.khatri_rao(others)

# %% wrong="block_features" name="derivative"
# The derivative of the response, through which no gradient gets.
def block_features(x, factors, mode):
    own = torch.zeros_like(factors[mode]).requires_grad_()
    moved = [own if k == mode else factor for k, factor in enumerate(factors)]
    y = cp_response(x, moved, x.new_zeros(()))
    return torch.stack([torch.autograd.grad(one, own, retain_graph=True)[0] for one in y])

# %% answer="block_features" name="derivative kept"
# The derivative of the response, with its own graph.
def block_features(x, factors, mode):
    own = torch.zeros_like(factors[mode]).requires_grad_()
    moved = [own if k == mode else factor for k, factor in enumerate(factors)]
    weight = moved[0]
    for factor in moved[1:]:
        weight = weight.unsqueeze(-2) * factor
    y = x.flatten(1) @ weight.sum(-1).flatten()
    each = torch.eye(len(y), dtype=y.dtype)
    return torch.autograd.grad(y, own, each, create_graph=True, is_grads_batched=True)[0]

# %% wrong="block_features" name="three modes"
# No letter for the fourth mode.
#- ijklmno
#+ ijk

# %% wrong="block_features" name="view"
# Needs the entries side by side in memory.
def block_features(x, factors, mode):
    import trlkit

    others = [factor for k, factor in enumerate(factors) if k != mode]
    moved = x.movedim(mode + 1, 1)
    return moved.view(*moved.shape[:2], -1) @ trlkit.khatri_rao(others)

# %% wrong="block_features" name="without gradients"
# As if the features were data alone.
@torch.no_grad()
def block_features(x, factors, mode):
    import trlkit

    others = [factor for k, factor in enumerate(factors) if k != mode]
    return x.movedim(mode + 1, 1).flatten(2) @ trlkit.khatri_rao(others)

# %% wrong="block_features" name="float32 result"
# A new tensor in float32, whatever comes.
def block_features(x, factors, mode):
    size, rank = factors[mode].shape
    found = torch.zeros(len(x), size, rank)
    for r in range(rank):
        part = x.movedim(mode + 1, 1)
        for k in reversed(range(len(factors))):
            if k != mode:
                part = part @ factors[k][:, r]
        found[:, :, r] = part
    return found

# %% wrong="block_features" name="divided"
# Divided by the own factor, which may be 0.
def block_features(x, factors, mode):
    letters = "ijklmn"[: len(factors)]
    terms = "".join(f",{letter}r" for letter in letters)
    return torch.einsum(f"z{letters}{terms}->z{letters[mode]}r", x, *factors) / factors[mode]

# %% right="balance_factors"
def balance_factors(factors):
    norms = torch.stack([factor.norm(dim=0) for factor in factors])
    common = norms.prod(dim=0) ** (1 / len(factors))
    scales = torch.where(norms > 0, common / norms, 0)
    return [factor * scale for factor, scale in zip(factors, scales)]

# %% answer="balance_factors" name="logarithms"
# Norms by logarithms; the logarithm of 0 is minus infinity.
def balance_factors(factors):
    logs = torch.stack([factor.norm(dim=0).log() for factor in factors])
    scales = (logs.mean(0) - logs).exp().nan_to_num(0.0)
    return [f * scale for f, scale in zip(factors, scales)]

# %% answer="balance_factors" name="columns"
# Column by column.
def balance_factors(factors):
    found = [torch.zeros_like(f) for f in factors]
    for r in range(factors[0].shape[1]):
        norms = [torch.linalg.vector_norm(f[:, r]) for f in factors]
        if all(norm > 0 for norm in norms):
            for place, f, norm in zip(found, factors, norms):
                place[:, r] = f[:, r] * math.prod(norms) ** (1 / len(norms)) / norm
    return tuple(found)

# %% answer="balance_factors" name="unit columns"
# Directions of length 1, the rest apart.
def balance_factors(factors):
    tiny = torch.finfo(factors[0].dtype).tiny
    length = math.prod(f.norm(dim=0) for f in factors) ** (1 / len(factors))
    return [length * f / f.norm(dim=0).clamp_min(tiny) for f in factors]

# %% mistake="balance_factors" name="norms set to 1"
# Every column came out with norm 1: whatever scale a term had, it is lost, so the factors stand
# for another weight.
# Look at: the product of the norms of one component, before and after.
def balance_factors(factors):
    return [factor / factor.norm(dim=0) for factor in factors]

# %% mistake="balance_factors" name="all norms in the first factor"
# The weight is unchanged, but one factor carries all of the scale, which costs more than sharing
# it.
# Look at: the sum of squares for two columns of norms 1 and 9, and for two of norm 3.
def balance_factors(factors):
    units = [factor / factor.norm(dim=0) for factor in factors]
    norms = math.prod(factor.norm(dim=0) for factor in factors)
    return [units[0] * norms, *units[1:]]

# %% mistake="balance_factors" name="all norms in the last factor"
# The weight is unchanged, but one factor carries all of the scale, which costs more than sharing
# it.
# Look at: the sum of squares for two columns of norms 1 and 9, and for two of norm 3.
def balance_factors(factors):
    units = [factor / factor.norm(dim=0) for factor in factors]
    norms = math.prod(factor.norm(dim=0) for factor in factors)
    return [*units[:-1], units[-1] * norms]

# %% mistake="balance_factors" name="whole factors"
# Your factors as wholes have equal norms, their columns have not. Each component has a scale of
# its own that can be moved.
# Look at: what may be multiplied by what without changing the weight: a factor, or a column of
# it?
#- factor.norm(dim=0)
#+ factor.norm()

# %% mistake="balance_factors" name="square root always"
# With two factors all is right; with three, your columns have the square root of the product of
# the norms for their norm, and the weight has changed.
# Look at: the product of your new norms, for three factors.
#- ** (1 / len(factors))
#+ ** (1 / 2)

# %% mistake="balance_factors" name="arithmetic mean"
# Your columns have the average of the old norms. Norms multiply in the weight, so it is their
# product that has to stay, not their sum.
# Look at: two columns of norms 1 and 9: which equal norms have the same product?
#- norms.prod(dim=0) ** (1 / len(factors))
#+ norms.mean(dim=0)

# %% mistake="balance_factors" name="zero over zero"
# Only where a column is 0 something is wrong: it came out as NaN. Is its norm divided by, or is the
# logarithm of it taken? A term with a column of zeros is 0, whatever its other columns are: how
# small may they be?
# Look at: the last lines of the docstring.
#- torch.where(norms > 0, common / norms, 0)
#+ common / norms

# %% mistake="balance_factors" name="logarithm of zero"
# Only where a column is 0 something is wrong: it came out as NaN. Is its norm divided by, or is the
# logarithm of it taken? A term with a column of zeros is 0, whatever its other columns are: how
# small may they be?
# Look at: the last lines of the docstring.
def balance_factors(factors):
    logs = torch.stack([factor.norm(dim=0).log() for factor in factors])
    scales = (logs.mean(0) - logs).exp()
    return [factor * scale for factor, scale in zip(factors, scales)]

# %% mistake="balance_factors" name="zero column left alone"
# Only where a column is 0 something is wrong: there you left the other columns as they were.
# Their term is 0, whatever they are: how small may they be?
# Look at: the sum of squares that is to be as small as it can be.
#- common / norms, 0)
#+ common / norms, 1) * (norms > 0) + ~(norms > 0).all(0) * (norms > 0)

# %% mistake="balance_factors" name="small terms dropped"
# Only a term that is very small and not 0 is wrong: its columns came out as 0, so the weight has
# changed.
# Look at: what you compare with, to tell a column of zeros.
#- torch.where(norms > 0, common / norms, 0)
#+ torch.where(common > 1e-6, common / norms, 0)

# %% mistake="balance_factors" name="small products dropped"
# Only a term that is very small and not 0 is wrong: its columns came out as 0, so the weight has
# changed.
# Look at: what you compare with, to tell a column of zeros.
#- torch.where(norms > 0, common / norms, 0)
#+ torch.where(norms.prod(dim=0) > 1e-12, common / norms, 0)

# %% wrong="balance_factors" name="clamped norms"
# The other columns of a term that is 0 keep a little.
#-     common = norms.prod(dim=0) ** (1 / len(factors))
#+     norms = norms.clamp_min(1e-12)
#+     common = norms.prod(dim=0) ** (1 / len(factors))

# %% wrong="balance_factors" name="root of the mean square"
# Right where all factors have as many rows.
#- factor.norm(dim=0)
#+ factor.square().mean(0).sqrt()

# %% wrong="balance_factors" name="neighbors once"
# Each factor is made even with the next one, one after the other.
def balance_factors(factors):
    found = list(factors)
    for k in range(len(found) - 1):
        ratio = (found[k + 1].norm(dim=0) / found[k].norm(dim=0)).sqrt()
        found[k], found[k + 1] = found[k] * ratio, found[k + 1] / ratio
    return found

# %% wrong="balance_factors" name="two factors"
# The third one is left as it is.
def balance_factors(factors):
    first, second, *rest = factors
    ratio = (second.norm(dim=0) / first.norm(dim=0)).sqrt()
    return [first * ratio, second / ratio, *rest]

# %% wrong="balance_factors" name="rows"
# Rows in place of columns; it runs where the factors are square.
def balance_factors(factors):
    norms = [factor.norm(dim=1, keepdim=True) for factor in factors]
    common = math.prod(norms) ** (1 / len(factors))
    return [factor / norm * common for factor, norm in zip(factors, norms)]

# %% wrong="balance_factors" name="in place"
# The factors that came are changed.
#-     return [factor * scale for factor, scale in zip(factors, scales)]
#+     for factor, scale in zip(factors, scales):
#+         factor *= scale
#+     return factors

# %% wrong="balance_factors" name="epsilon"
# A small number under every division, which shows in float64.
#- torch.where(norms > 0, common / norms, 0)
#+ common / (norms + 1e-6)

# %% right="is_best_update"
def is_best_update(update):
    generator = torch.Generator().manual_seed(1)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    for shape in ((3, 5), (4, 2), (2, 3, 4)):
        for mode in range(len(shape)):
            for ridge in (0.0, 0.7, 5.0):
                x, y = random(60, *shape), random(60) + 3
                factors = [random(size, 2) for size in shape]
                found = update(x, y, factors, mode, ridge)
                factor, bias = (tensor.clone().requires_grad_() for tensor in found)
                factors[mode] = factor
                loss = (cp_response(x, factors, bias) - y).square().sum()
                loss = loss + ridge * factor.square().sum()
                slopes = torch.autograd.grad(loss, [factor, bias])
                if any((slope.abs() > 1e-6).any() for slope in slopes):
                    return False
    return True

# %% answer="is_best_update" name="an update of its own"
# Least squares by another way, compared.
def is_best_update(update):
    for shape in ((3, 4), (2, 4, 3)):
        for mode in range(len(shape)):
            for ridge in (0.0, 0.5, 4.0):
                torch.manual_seed(mode)
                x = torch.randn(80, *shape, dtype=torch.float64)
                y = torch.randn(80, dtype=torch.float64) + 2
                factors = [torch.randn(size, 3, dtype=torch.float64) for size in shape]
                features = block_features(x, factors, mode).flatten(1)
                rows = torch.cat([features, torch.ones(80, 1).double()], 1)
                gram = rows.T @ rows + ridge * torch.eye(rows.shape[1]).double()
                gram[-1, -1] -= ridge
                best = torch.linalg.solve(gram, rows.T @ y)
                factor, bias = update(x, y, factors, mode, ridge)
                if not torch.allclose(torch.cat([factor.flatten(), bias[None]]), best):
                    return False
    return True

# %% answer="is_best_update" name="no step helps"
# The loss at points around what came: none is lower.
def is_best_update(update):
    torch.manual_seed(0)
    for shape in ((3, 4), (2, 2, 3)):
        for mode in range(len(shape)):
            for ridge in (0.0, 0.5, 3.0):
                x = torch.randn(60, *shape, dtype=torch.float64)
                y = torch.randn(60, dtype=torch.float64) - 4
                factors = [torch.randn(size, 2, dtype=torch.float64) for size in shape]
                factor, bias = update(x, y, factors, mode, ridge)

                def loss(factor, bias):
                    own = [*factors[:mode], factor, *factors[mode + 1 :]]
                    return ((cp_response(x, own, bias) - y) ** 2).sum() + ridge * (factor**2).sum()

                least = loss(factor, bias) - 1e-9
                for place in range(factor.numel() + 1):
                    step = torch.zeros(factor.numel() + 1, dtype=torch.float64)
                    for step[place] in (1e-4, -1e-4):
                        moved = factor + step[:-1].reshape(factor.shape)
                        if loss(moved, bias + step[-1]) < least:
                            return False
    return True

# %% mistake="is_best_update" name="without a penalty"
# Updates pass that are wrong where there is a penalty. Did you try a `ridge` above 0? Two
# different ones, and one of them below 1, tell more than one.
# Look at: the values of `ridge` that you call the update with.
#- (0.0, 0.7, 5.0)
#+ (0.0,)

# %% mistake="is_best_update" name="always a penalty"
# One update passes that is wrong where the penalty is 0, and right wherever there is one.
# Look at: the values of `ridge` that you call the update with.
#- (0.0, 0.7, 5.0)
#+ (0.7, 5.0)

# %% mistake="is_best_update" name="one penalty, 1"
# Only updates pass that are wrong where the penalty is neither 0 nor 1.
# Look at: the values of `ridge` that you call the update with.
#- (0.0, 0.7, 5.0)
#+ (0.0, 1.0)

# %% mistake="is_best_update" name="two modes alone"
# Only updates pass that are right for two modes and wrong for three.
# Look at: the shapes of the samples that you try.
#- ((3, 5), (4, 2), (2, 3, 4))
#+ ((3, 5), (4, 2))

# %% mistake="is_best_update" name="mode 0 alone"
# Only updates pass that are right for mode 0 and wrong for others.
# Look at: the modes that you call the update with.
#- in range(len(shape))
#+ in (0,)

# %% mistake="is_best_update" name="mode 0 never"
# Only an update passes that is wrong for mode 0 and right for the others.
# Look at: the modes that you call the update with.
#- in range(len(shape))
#+ in range(1, len(shape))

# %% mistake="is_best_update" name="last mode never"
# Only updates pass that are right for all modes but the last one, or but those from 2 on.
# Look at: the modes that you call the update with.
#- in range(len(shape))
#+ in range(len(shape) - 1)

# %% mistake="is_best_update" name="modes 0 and 1"
# Only an update passes that is right for the modes 0 and 1 and wrong from mode 2 on.
# Look at: the modes that you call the update with.
#- in range(len(shape))
#+ in (0, 1)

# %% mistake="is_best_update" name="small penalties alone"
# Only an update passes that is right where the penalty is at most 1.
# Look at: the values of `ridge` that you call the update with.
#- (0.0, 0.7, 5.0)
#+ (0.0, 0.3, 0.7)

# %% mistake="is_best_update" name="whole penalties alone"
# Only an update passes that is right where the penalty is a whole number.
# Look at: the values of `ridge` that you call the update with.
#- (0.0, 0.7, 5.0)
#+ (0.0, 2.0, 5.0)

# %% mistake="is_best_update" name="slopes added up"
# Only an update passes whose slopes add up to 0 and are not 0 themselves: the best of the factors
# whose numbers are all alike.
# Look at: how many numbers you make of the gradient.
#- (slope.abs() > 1e-6).any()
#+ slope.sum().abs() > 1e-6

# %% mistake="is_best_update" name="all numbers moved at once"
# Only an update passes whose slopes add up to 0 and are not 0 themselves: the best of the factors
# whose numbers are all alike.
# Look at: how many numbers you make of the gradient.
def is_best_update(update):
    torch.manual_seed(0)
    for shape in ((3, 4), (2, 2, 3)):
        for mode in range(len(shape)):
            for ridge in (0.0, 0.5, 3.0):
                x = torch.randn(60, *shape, dtype=torch.float64)
                y = torch.randn(60, dtype=torch.float64) - 4
                factors = [torch.randn(size, 2, dtype=torch.float64) for size in shape]
                factor, bias = update(x, y, factors, mode, ridge)

                def loss(factor, bias):
                    own = [*factors[:mode], factor, *factors[mode + 1 :]]
                    return ((cp_response(x, own, bias) - y) ** 2).sum() + ridge * (factor**2).sum()

                least = loss(factor, bias) - 1e-9
                for step in (1e-4, -1e-4):
                    if min(loss(factor + step, bias), loss(factor, bias + step)) < least:
                        return False
    return True

# %% mistake="is_best_update" name="slopes below 0 pass"
# Only an update passes whose slopes are all below 0: about -0.08.
# Look at: how you compare a slope with 0: it has a sign.
#- (slope.abs() > 1e-6)
#+ (slope > 1e-6)

# %% mistake="is_best_update" name="factor alone"
# Updates pass whose factor suits the bias that they return, while the bias is not the best.
# Look at: both things that an update returns.
#- [factor, bias])
#+ [factor])

# %% mistake="is_best_update" name="bias alone"
# Updates pass whose bias suits the factor that they return, while the factor is not the best.
# Look at: both things that an update returns.
#- [factor, bias])
#+ [bias])

# %% mistake="is_best_update" name="exactly zero"
# You accuse right updates. They agree to nine digits, not to the last one; they make the loss of
# the text least, not 0; and they agree only where the best factor is unique.
# Look at: how you compare; your loss: which numbers have a penalty, and is the bias in it? With
# ridge=0, has your problem one solution?
#- > 1e-6
#+ > 0

# %% mistake="is_best_update" name="float32 inputs"
# You accuse right updates, and what you call them with is not all in float64. The nine digits to
# which right updates agree are those of float64.
# Look at: the dtype of x, of y and of the factors that you draw.
#- dtype=torch.float64
#+ dtype=torch.float32

# %% mistake="is_best_update" name="generous"
# An update passes that is 0.1 percent short, or 0.001 off. In float64 right ones agree to nine
# digits.
# Look at: the tolerance of your test.
#- > 1e-6
#+ > 20

# %% mistake="is_best_update" name="better than before"
# Updates pass that lower the loss and are not the best. Lower than at the start is not lowest.
# Look at: what tells the lowest place from a low one: the loss around it, or its slope.
def is_best_update(update):
    torch.manual_seed(0)
    for shape in ((3, 5), (2, 3, 4)):
        for mode in range(len(shape)):
            for ridge in (0.0, 0.7, 5.0):
                x = torch.randn(60, *shape, dtype=torch.float64)
                y = torch.randn(60, dtype=torch.float64)
                factors = [torch.randn(size, 2, dtype=torch.float64) for size in shape]
                zero = torch.zeros((), dtype=torch.float64)
                before = (cp_response(x, factors, zero) - y).square().sum()
                factors[mode], bias = update(x, y, factors, mode, ridge)
                if (cp_response(x, factors, bias) - y).square().sum() > before:
                    return False
    return True

# %% wrong="is_best_update" name="a loss that is small"
# A best update need not make the loss small.
#-                 if any((slope.abs() > 1e-6).any() for slope in slopes):
#+                 if loss > 0.5 * (y - y.mean()).square().sum():

# %% wrong="is_best_update" name="slopes below 1"
# Any slope below 1 passes.
#- > 1e-6
#+ > 1

# %% wrong="is_best_update" name="always right"
# Lets everything through.
def is_best_update(update):
    return True

# %% wrong="is_best_update" name="always wrong"
# Accuses everything.
def is_best_update(update):
    return False

# %% wrong="is_best_update" name="rank 1"
# One component alone.
#- random(size, 2)
#+ random(size, 1)

# %% wrong="is_best_update" name="a tensor"
# Returns no Python bool.
#- return True
#+ return torch.tensor(True)

# %% right="update_block"
def update_block(x, y, factors, mode, ridge=0.0):
    features = block_features(x, factors, mode).flatten(1)
    mean = features.mean(0)
    centered = features - mean
    gram = centered.T @ centered + ridge * torch.eye(len(mean), dtype=x.dtype)
    found = torch.linalg.solve(gram, centered.T @ (y - y.mean()))
    return found.reshape(factors[mode].shape), y.mean() - mean @ found

# %% answer="update_block" name="more rows"
# The penalty as more samples, whose responses are 0.
def update_block(x, y, factors, mode, ridge=0.0):
    features = block_features(x, factors, mode).flatten(1)
    count = features.shape[1]
    table = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    more = ridge**0.5 * torch.eye(count, count + 1, dtype=x.dtype)
    responses = torch.cat([y, torch.zeros(count, dtype=x.dtype)])[:, None]
    found = torch.linalg.lstsq(torch.cat([table, more]), responses).solution[:, 0]
    return found[:-1].reshape(factors[mode].shape), found[-1]

# %% answer="update_block" name="normal equations"
# The normal equations, the bias first.
def update_block(x, y, factors, mode, ridge=0.0):
    features = block_features(x, factors, mode)
    table = torch.cat([torch.ones(len(x), 1, dtype=x.dtype), features.flatten(1)], dim=1)
    penalty = ridge * torch.eye(table.shape[1], dtype=x.dtype)
    penalty[0, 0] = 0
    bias, *entries = torch.linalg.solve(table.T @ table + penalty, table.T @ y)
    return torch.stack(entries).view_as(factors[mode]), bias

# %% answer="update_block" name="Cholesky"
# The normal equations by a Cholesky factor.
def update_block(x, y, factors, mode, ridge=0.0):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    weights = torch.full((table.shape[1],), ridge, dtype=x.dtype)
    weights[-1] = 0
    lower = torch.linalg.cholesky(table.T @ table + weights.diag())
    found = torch.cholesky_solve((table.T @ y)[:, None], lower)[:, 0]
    return found[:-1].reshape(factors[mode].shape), found[-1]

# %% mistake="update_block" name="bias penalized"
# Without a penalty all is right; with one, your bias is too near 0, and the factor makes up for
# it: the bias has been penalized too.
# Look at: the entry of your penalty that stands for the bias.
def update_block(x, y, factors, mode, ridge=0.0):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    gram = table.T @ table + ridge * torch.eye(table.shape[1], dtype=x.dtype)
    found = torch.linalg.solve(gram, table.T @ y)
    return found[:-1].reshape(factors[mode].shape), found[-1]

# %% mistake="update_block" name="penalty left out"
# Without a penalty all is right; `ridge` changes nothing.
# Look at: where `ridge` stands in your code.
def update_block(x, y, factors, mode, ridge=0.0):
    features = block_features(x, factors, mode).flatten(1)
    mean = features.mean(0)
    found = torch.linalg.pinv(features - mean) @ (y - y.mean())
    return found.reshape(factors[mode].shape), y.mean() - mean @ found

# %% mistake="update_block" name="penalty left out, bias as a column"
# Without a penalty all is right; `ridge` changes nothing.
# Look at: where `ridge` stands in your code.
def update_block(x, y, factors, mode, ridge=0.0):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    found = torch.linalg.pinv(table) @ y
    return found[:-1].reshape(factors[mode].shape), found[-1]

# %% mistake="update_block" name="penalty times samples"
# Without a penalty all is right; with one, you shrink as if it were B times as large. The errors
# are summed here, not averaged.
# Look at: the formula of what is to be least.
#- + ridge *
#+ + len(x) * ridge *

# %% mistake="update_block" name="penalty over samples"
# Without a penalty all is right; with one, you shrink as if it were B times smaller. The errors
# are summed here, not averaged.
# Look at: the formula of what is to be least.
#- + ridge *
#+ + ridge / len(x) *

# %% mistake="update_block" name="penalty squared"
# Without a penalty all is right; with one, you shrink as by `ridge` squared. A row of the table
# is squared in the sum, and its number with it.
# Look at: which number, squared, is `ridge`.
#- + ridge *
#+ + ridge**2 *

# %% mistake="update_block" name="no bias column"
# Your factor was fitted without a bias, and the bias taken afterwards from what was left. Both
# have to be found at once: the best factor depends on the bias.
# Look at: the number of unknowns of your least squares: I_mode * R, and one more.
#- features - mean
#+ features
#- (y - y.mean())
#+ y

# %% mistake="update_block" name="mean first"
# Your bias is the mean of y, and the factor fits the rest. The features have a mean too, so the
# bias that goes with the best factor is another.
# Look at: whether the bias is among the unknowns of your least squares.
#- features - mean
#+ features
#- y.mean() - mean @ found
#+ y.mean()

# %% mistake="update_block" name="bias zero"
# Your bias is 0 and your factor the best for that.
# Look at: the unknown that is the same for every sample.
#- features - mean
#+ features
#- (y - y.mean())
#+ y
#- y.mean() - mean @ found
#+ y.new_zeros(())

# %% mistake="update_block" name="reshaped the wrong way"
# The numbers are right, their places are not: the flattened features run over i first and over r
# fastest, and the solution has the same order.
# Look at: the shape that you give to reshape; it is not (R, I_mode), transposed.
#- found.reshape(factors[mode].shape)
#+ found.reshape(factors[mode].shape[::-1]).T

# %% mistake="update_block" name="features transposed"
# Right numbers in the wrong places: they stand in the order (R, I_mode) and were given the shape
# (I_mode, R). The solution has the order in which the features were flattened.
# Look at: the order of the last two modes before you flatten, and what you do with the solution.
#- .flatten
#+ .transpose(1, 2).flatten

# %% mistake="update_block" name="solution transposed"
# Right numbers in the wrong places: they stand in the order (R, I_mode) and were given the shape
# (I_mode, R). The solution has the order in which the features were flattened.
# Look at: the order of the last two modes before you flatten, and what you do with the solution.
#- found.reshape(factors[mode].shape)
#+ found.reshape(factors[mode].shape).T.reshape(factors[mode].shape)

# %% mistake="update_block" name="ones first, bias last"
# What you return as the bias is one of the factor's numbers, and the bias stands among those: as
# if the column of ones were at the other end.
# Look at: which entry of the solution belongs to the column of ones.
#- return found.reshape(factors[mode].shape), y.mean() - mean @ found
#+ found = torch.cat([(y.mean() - mean @ found)[None], found])
#+     return found[:-1].reshape(factors[mode].shape), found[-1]

# %% mistake="update_block" name="only y centered"
# y was centered, the features were not, and the bias is what was left. Center both, or make the
# bias one of the unknowns.
# Look at: what the factor is fitted to, and with which columns.
#- features - mean
#+ features

# %% mistake="update_block" name="always a penalty"
# Your factor is shrunk where `ridge` is 0, too.
# Look at: what you solve: with ridge=0 nothing is added.
#- + ridge *
#+ + (1 + ridge) *

# %% mistake="update_block" name="start added"
# You added the old factor to the solution. Least squares gives the new factor itself; it is no
# step from the old one.
# Look at: what you do with the solution.
#- return found
#+ return factors[mode] + found

# %% wrong="update_block" name="in place"
# The list that came is changed.
#- return found.reshape(factors[mode].shape),
#+ return factors[mode].copy_(found.reshape(factors[mode].shape)),

# %% wrong="update_block" name="component by component"
# Each component fitted to y on its own.
def update_block(x, y, factors, mode, ridge=0.0):
    columns = []
    for r in range(factors[mode].shape[1]):
        features = block_features(x, factors, mode)[:, :, r]
        table = torch.cat([features, torch.ones_like(features[:, :1])], 1)
        found = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]
        columns.append(found[:-1])
    return torch.stack(columns, 1), found[-1]

# %% wrong="update_block" name="float32"
# The numbers are computed in float32.
#- torch.linalg.solve(gram, centered.T @ (y - y.mean()))
#+ torch.linalg.solve(gram.float(), (centered.T @ (y - y.mean())).float()).double()

# %% wrong="update_block" name="float64"
# Whatever comes, float64 goes.
#- torch.linalg.solve(gram, centered.T @ (y - y.mean()))
#+ torch.linalg.solve(gram, centered.T @ (y - y.mean())).double()

# %% wrong="update_block" name="many samples alone"
# Least squares first, shrunk afterward: no penalty at all with too few samples.
def update_block(x, y, factors, mode, ridge=0.0):
    features = block_features(x, factors, mode).flatten(1)
    table = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    found = torch.linalg.pinv(table) @ y
    return found[:-1].reshape(factors[mode].shape) / (1 + ridge / len(x)), found[-1]

# %% right="fit_cp_regression"
def fit_cp_regression(x, y, rank, ridge=0.0, sweeps=30):
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], bias = update_block(x, y, factors, mode, ridge)
    return factors, bias

# %% answer="fit_cp_regression" name="adam"
# Gradient descent with Adam.
def fit_cp_regression(x, y, rank, ridge=0.0, sweeps=30):
    sizes = x.shape[1:]
    factors = [nn.Parameter(0.3 * torch.randn(n, rank, dtype=x.dtype)) for n in sizes]
    bias = nn.Parameter(y.mean())
    optimizer = torch.optim.Adam([*factors, bias], lr=0.03)
    for _ in range(20 * sweeps):
        loss = ((cp_response(x, factors, bias) - y) ** 2).mean()
        loss = loss + ridge * sum((factor**2).sum() for factor in factors) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return factors, bias

# %% answer="fit_cp_regression" name="balanced"
# Last mode first, uniform numbers, balanced after each sweep.
def fit_cp_regression(x, y, rank, ridge=0.0, sweeps=30):
    factors = [torch.rand(size, rank).to(x) - 0.5 for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in reversed(range(len(factors))):
            factors[mode], bias = update_block(x, y, factors, mode, ridge)
        factors = balance_factors(factors)
    return factors, bias.item()

# %% answer="fit_cp_regression" name="random starts"
# The best of three starts.
def fit_cp_regression(x, y, rank, ridge=0.0, sweeps=30):
    best = None
    for _ in range(3):
        factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
        for _ in range(sweeps):
            for mode in range(len(factors)):
                factors[mode], bias = update_block(x, y, factors, mode, ridge)
        loss = ((cp_response(x, factors, bias) - y) ** 2).mean()
        if best is None or loss < best[0]:
            best = loss, factors, bias
    return best[1], best[2]

# %% mistake="fit_cp_regression" name="zeros at the start"
# Your factors came out as 0. Where all factors start at 0, all features are 0, and no update
# ever sees the data.
# Look at: the numbers that you start from.
#- randn
#+ zeros

# %% wrong="fit_cp_regression" name="ones at the start"
# Equal columns: where they go depends on the solver.
#- randn
#+ ones

# %% mistake="fit_cp_regression" name="one sweep"
# After the first round more sweeps change nothing: you return inside the loop, or `sweeps` is not
# used, or one factor is updated many times in a row (a second update of the same one does
# nothing).
# Look at: how far your `return` is indented, and which of the two loops is the inner one.
#-     return factors, bias
#+         return factors, bias

# %% mistake="fit_cp_regression" name="first factor only"
# You learned the first factor only; the others are still what you started from.
# Look at: the modes that your inner loop runs over.
#-         for mode in range(len(factors)):
#-             factors[mode], bias = update_block(x, y, factors, mode, ridge)
#+         factors[0], bias = update_block(x, y, factors, 0)

# %% mistake="fit_cp_regression" name="last factor never"
# With other responses the last factor comes out the same: it is still what you started from.
# Look at: the modes that your inner loop runs over; the last one has the number N.
#- range(len(factors))
#+ range(len(factors) - 1)

# %% mistake="fit_cp_regression" name="first factor never"
# With other responses the first factor comes out the same: it is still what you started from.
# Look at: the modes that your inner loop runs over; the first one has the number 0.
#- range(len(factors))
#+ range(1, len(factors))

# %% mistake="fit_cp_regression" name="updates not kept"
# None of your factors has learned anything: you compute the new factors but return the ones that
# you started from.
# Look at: where the result of an update goes.
#- factors[mode]
#+ factor

# %% mistake="fit_cp_regression" name="bias not returned"
# Your weight is right and your bias is not: it came out of the last update, together with the
# factor, or it is the mean error of the response without a bias.
# Look at: which bias you return.
#-             factors[mode], bias = update_block(x, y, factors, mode, ridge)
#-     return factors, bias
#+             factors[mode], _ = update_block(x, y, factors, mode, ridge)
#+     return factors, torch.zeros((), dtype=x.dtype)

# %% mistake="fit_cp_regression" name="all from the old factors"
# From one sweep to the next your error on the samples goes up and down. An exact update of one
# factor, the others as they are now, cannot raise it; updates that all start from the old factors
# can, and so can steps that are too long.
# Look at: whether the update of the second factor already uses the new first one.
#-         for mode in range(len(factors)):
#-             factors[mode], bias = update_block(x, y, factors, mode, ridge)
#+         found = [update_block(x, y, factors, mode, ridge) for mode in range(len(factors))]
#+         factors, bias = [factor for factor, _ in found], found[-1][1]

# %% mistake="fit_cp_regression" name="rank 1"
# Your factors have one column, whatever `rank` is.
# Look at: the shapes of the factors that you start from.
#- size, rank, dtype
#+ size, 1, dtype

# %% mistake="fit_cp_regression" name="ridge not passed on"
# With many samples all is right; with few, `ridge` has no effect on what you return.
# Look at: what you hand to `update_block`.
#- , mode, ridge)
#+ , mode)

# %% wrong="fit_cp_regression" name="ridge for one factor"
# The penalty is on the first factor alone.
#- , mode, ridge)
#+ , mode, ridge if mode == 0 else 0.0)

# %% mistake="fit_cp_regression" name="ridge in the last sweep"
# Where there is a penalty, the penalized loss of what you return is too large; the rest is right.
# Look at: which penalty each of your updates has.
#-     for _ in range(sweeps):
#+     for sweep in range(sweeps):
#- , mode, ridge)
#+ , mode, ridge if sweep == sweeps - 1 else 0.0)

# %% mistake="fit_cp_regression" name="a tenth of the ridge"
# Where there is a penalty, the penalized loss of what you return is too large; the rest is right.
# Look at: which penalty each of your updates has.
#- , mode, ridge)
#+ , mode, ridge / 10)

# %% mistake="fit_cp_regression" name="ridge over samples"
# Where there is a penalty, the penalized loss of what you return is too large; the rest is right.
# Look at: which penalty each of your updates has.
#- , mode, ridge)
#+ , mode, ridge / len(x))

# %% wrong="fit_cp_regression" name="ridge times samples"
# As if the errors were averaged.
#- , mode, ridge)
#+ , mode, ridge * len(x))

# %% wrong="fit_cp_regression" name="one sweep too few"
# With one sweep asked for there is none, and no bias.
#- range(sweeps)
#+ range(1, sweeps)

# %% wrong="fit_cp_regression" name="in place"
# The responses that came are changed.
def fit_cp_regression(x, y, rank, ridge=0.0, sweeps=30):
    mean = y.mean()
    y -= mean
    factors = [torch.randn(size, rank, dtype=x.dtype) for size in x.shape[1:]]
    for _ in range(sweeps):
        for mode in range(len(factors)):
            factors[mode], bias = update_block(x, y, factors, mode, ridge)
    return factors, bias + mean

# %% wrong="fit_cp_regression" name="view"
# Needs the entries of the samples side by side in memory.
#-     factors = [
#+     x = x.view(len(x), -1).reshape(x.shape)
#+     factors = [

# %% wrong="fit_cp_regression" name="float32 bias"
# The bias has another dtype than the factors.
#- factors, bias
#+ factors, bias.float()

# %% wrong="fit_cp_regression" name="loops swapped"
# One factor many times in a row.
#-     for _ in range(sweeps):
#-         for mode in range(len(factors)):
#+     for mode in range(len(factors)):
#+         for _ in range(sweeps):

# %% wrong="fit_cp_regression" name="dense"
# The least-norm weight, cut to the rank: far fewer samples than pixels do not determine it.
def fit_cp_regression(x, y, rank, ridge=0.0, sweeps=30):
    table = torch.cat([x.flatten(1), torch.ones_like(y)[:, None]], 1)
    found = torch.linalg.lstsq(table, y[:, None], driver="gelsd").solution[:, 0]
    u, s, v = torch.linalg.svd(found[:-1].reshape(x.shape[1:]), full_matrices=False)
    return [u[:, :rank] * s[:rank], v[:rank].T], found[-1]

# %% wrong="fit_cp_regression" name="slow descent"
# Far too few steps.
def fit_cp_regression(x, y, rank, ridge=0.0, sweeps=30):
    factors = [nn.Parameter(0.3 * torch.randn(n, rank, dtype=x.dtype)) for n in x.shape[1:]]
    optimizer = torch.optim.SGD(factors, lr=0.001)
    for _ in range(sweeps):
        loss = ((cp_response(x, factors, y.mean()) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [factor.detach() for factor in factors], y.mean()

# %% wrong="fit_cp_regression" name="explodes"
# A step size at which gradient descent runs away.
def fit_cp_regression(x, y, rank, ridge=0.0, sweeps=30):
    factors = [nn.Parameter(10 * torch.randn(n, rank, dtype=x.dtype)) for n in x.shape[1:]]
    optimizer = torch.optim.SGD(factors, lr=0.5)
    for _ in range(sweeps):
        loss = ((cp_response(x, factors, y.mean()) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [factor.detach() for factor in factors], y.mean()

# %% wrong="fit_cp_regression" name="one tensor"
# The weight in place of its factors.
def fit_cp_regression(x, y, rank, ridge=0.0, sweeps=30):
    return torch.zeros(x.shape[1:], dtype=x.dtype), y.mean()

# %% right="expected_losses"
def expected_losses(noise, samples, unknowns):
    share = min(unknowns / samples, 1)
    return noise**2 * (1 - share), noise**2 * (1 + share)

# %% answer="expected_losses" name="they sum to twice the noise"
# What the fit takes away here it adds there.
def expected_losses(noise, samples, unknowns):
    training = noise * noise * max(samples - unknowns, 0) / samples
    return training, 2 * noise * noise - training

# %% answer="expected_losses" name="by a projection"
# The trace of a projection, computed.
def expected_losses(noise, samples, unknowns):
    if not unknowns:
        return float(noise**2), float(noise**2)
    table = torch.randn(samples, unknowns, dtype=torch.float64)
    taken = (table @ torch.linalg.pinv(table)).trace().item() / samples
    return noise**2 * (1 - taken), noise**2 * (1 + taken)

# %% mistake="expected_losses" name="the noise alone"
# You say that both losses are the noise's variance. That is the loss of the *true* weight; the
# fitted one was chosen to suit these samples.
# Look at: as many unknowns as samples: what is the training loss then?
def expected_losses(noise, samples, unknowns):
    return noise**2, noise**2

# %% mistake="expected_losses" name="training right, fresh noise alone"
# The training loss is right. On fresh noise you expect the noise alone, but the fitted weight has
# taken in some of the old noise, and that is an error now.
# Look at: fitted minus true response, whose noise is it, and how much of it?
#- noise**2 * (1 + share)
#+ noise**2

# %% mistake="expected_losses" name="below zero"
# With at least as many samples as unknowns all is right. With fewer, your training loss is below
# 0, which no mean of squares can be.
# Look at: how many responses can be fitted exactly at most.
#- min(unknowns / samples, 1)
#+ unknowns / samples

# %% mistake="expected_losses" name="not squared"
# You are wrong by a power of the noise: a mean *squared* error grows with the square of it.
# Look at: the losses for noise=2 and for noise=1.
#- noise**2 * (1 - share), noise**2 * (1 + share)
#+ noise * (1 - share), noise * (1 + share)

# %% mistake="expected_losses" name="divided the other way"
# Your training loss is above the noise. An n / (n - p) makes an estimate of the noise out of a
# training loss; here the way goes back.
# Look at: does fitting make the training loss smaller or larger?
#- noise**2 * (1 - share)
#+ noise**2 * samples / max(samples - unknowns, 1)

# %% mistake="expected_losses" name="in the other order"
# Your training loss is above the noise, and your loss on new noise below it: each of the two
# numbers is right in the place of the other.
# Look at: does fitting make the training loss smaller or larger?
def expected_losses(noise, samples, unknowns):
    share = min(unknowns / samples, 1)
    return noise**2 * (1 + share), noise**2 * (1 - share)

# %% mistake="expected_losses" name="fresh loss without end"
# Your training loss is right. With fewer samples than unknowns your loss on new noise goes on
# growing with the unknowns.
# Look at: how much of the old noise the fit can keep at most.
#- return noise**2 * (1 - share), noise**2 * (1 + share)
#+ return noise**2 * (1 - share), noise**2 * (1 + unknowns / samples)

# %% mistake="expected_losses" name="squared share"
# The training loss is right; on fresh noise you are between the noise and the right answer. What
# was fitted of the old noise has the share p / n of its squared length.
# Look at: the squared length of a random vector, projected on p of n directions.
#- (1 + share)
#+ (1 + share**2)

# %% wrong="expected_losses" name="a tensor"
# Returns tensors, not numbers.
#- return noise**2 * (1 - share)
#+ return torch.tensor(noise**2 * (1 - share))

# %% wrong="expected_losses" name="fresh samples"
# The error on new inputs, which is larger.
def expected_losses(noise, samples, unknowns):
    share = min(unknowns / samples, 1)
    more = unknowns / max(samples - unknowns - 1, 1)
    return noise**2 * (1 - share), noise**2 * (1 + more)

# %% right="what_decides"
def what_decides(error):
    def needed(*setting):
        low, high = 5.0, 4000.0
        for _ in range(9):
            middle = math.sqrt(low * high)
            found = sum(error(*setting, round(middle), seed) < 0.5 for seed in range(9))
            low, high = (low, middle) if found >= 5 else (middle, high)
        return math.sqrt(low * high)

    needs = {setting: needed(*setting) for setting in ((8, 8, 1), (24, 24, 1), (24, 24, 3), (8, 24, 2))}
    units = {
        "pixels": lambda rows, columns, rank: rows * columns,
        "freedom": lambda rows, columns, rank: rank * (rows + columns - rank),
        "sides": lambda rows, columns, rank: rows + columns,
        "rank": lambda rows, columns, rank: rank,
    }

    def ratios(name):
        return sorted(count / units[name](*setting) for setting, count in needs.items())

    best = min(units, key=lambda name: ratios(name)[-1] / ratios(name)[0])
    center = math.sqrt(ratios(best)[0] * ratios(best)[-1])
    return best, center / 1.4, center * 1.4

# %% answer="what_decides" name="spread of logarithms"
# Halved ranges, eleven seeds; the unit whose ratios spread the least.
def what_decides(error):
    def needed(*setting):
        low, high = 5, 3000
        for _ in range(10):
            middle = round((low * high) ** 0.5)
            many = sum(error(*setting, middle, seed) < 0.5 for seed in range(11)) > 5
            low, high = (low, middle) if many else (middle, high)
        return (low * high) ** 0.5

    units = {"pixels": lambda r, c, k: r * c, "freedom": lambda r, c, k: k * (r + c - k)}
    units |= {"sides": lambda r, c, k: r + c, "rank": lambda r, c, k: k}
    needs = {s: needed(*s) for s in ((10, 10, 1), (30, 30, 1), (30, 30, 3))}
    spread = {}
    for name, unit in units.items():
        logs = torch.tensor([math.log(count / unit(*s)) for s, count in needs.items()])
        spread[name] = logs.std().item(), logs.mean().exp().item()
    name = min(spread, key=spread.get)
    return name, spread[name][1] * 0.71, spread[name][1] * 1.41

# %% answer="what_decides" name="two questions"
# Does the size matter? Does the rank? And how much?
def what_decides(error):
    def half(*setting):
        low, high = 4, 4000
        while high > 1.1 * low:
            middle = round((low * high) ** 0.5)
            many = sum(error(*setting, middle, 100 + seed) < 0.4 for seed in range(11)) > 5
            low, high = (low, middle) if many else (middle, high)
        return (low * high) ** 0.5

    small, large, high = half(10, 10, 1), half(30, 30, 1), half(30, 30, 3)
    pairs = {
        "freedom": [(small, 19), (large, 59), (high, 171)],
        "rank": [(small, 1), (large, 1), (high, 3)],
        "pixels": [(small, 100), (large, 900), (high, 900)],
        "sides": [(small, 20), (large, 60), (high, 60)],
    }
    if high > 1.8 * large:
        name = "freedom" if large > 1.8 * small else "rank"
    else:
        name = "pixels" if large > 5 * small else "sides"
    values = [half / unit for half, unit in pairs[name]]
    return name, 0.71 * max(values) ** 0.5 * min(values) ** 0.5, 1.41 * (max(values) * min(values)) ** 0.5

# %% mistake="what_decides" name="not from the experiment"
# You conclude "freedom" in every world, also where something else decides. What the text says is
# true of one world; an experiment has to be able to say no.
# Look at: which of your measurements could make you conclude "pixels".
def what_decides(error):
    error(16, 16, 2, 100, 0)
    return "freedom", 1.0, 2.0

# %% mistake="what_decides" name="rank never changed"
# Worlds that differ in what the rank does are told as one. Did you measure weights of one size
# and different ranks?
# Look at: the weights that you tried: what do they have in common?
#- (24, 24, 1), (24, 24, 3), (8, 24, 2))
#+ (24, 24, 1), (8, 24, 1), (16, 16, 1))

# %% mistake="what_decides" name="size never changed"
# Worlds that differ in what the size does are told as one. Did you measure weights of one rank
# and different sizes?
# Look at: the weights that you tried: what do they have in common?
#- ((8, 8, 1), (24, 24, 1), (24, 24, 3), (8, 24, 2))
#+ ((24, 24, 1), (24, 24, 3), (24, 24, 2))

# %% mistake="what_decides" name="interval of one number"
# What you conclude is right, your interval is not: the place where half of the seeds succeed is
# known only as well as your steps and your luck allow.
# Look at: how far apart the ratios of your different weights are.
#- return best, center / 1.4, center * 1.4
#+ return best, center, center

# %% mistake="what_decides" name="lowest count that ever worked"
# Your interval lies below the right number. Is it the first count at which *any* seed succeeds?
# Asked is where half of them do.
# Look at: how many seeds you try, and how many have to succeed.
#- found >= 5
#+ found >= 1

# %% mistake="what_decides" name="all must succeed"
# Your numbers are too large, in some worlds you conclude wrongly, too. Do you ask *every* seed to
# succeed? Some have bad luck at any number of samples.
# Look at: how many of your seeds have to succeed.
#- found >= 5
#+ found >= 9

# %% wrong="what_decides" name="far too many"
# More experiments than are allowed.
#- range(9))
#+ range(99))

# %% wrong="what_decides" name="one seed"
# Luck decides.
#- range(9))
#+ range(1))
#- found >= 5
#+ found >= 1

# %% wrong="what_decides" name="one seed for all"
# One and the same seed: if it is a bad one, no weight is ever found.
#- middle), seed) < 0.5 for seed in range(9))
#+ middle), 0) < 0.5 for seed in range(9))

# %% wrong="what_decides" name="one seed for each weight"
# Each weight has a luck of its own, and one alone.
#- middle), seed) < 0.5 for seed in range(9))
#+ middle), sum(setting)) < 0.5 for seed in range(9))

# %% wrong="what_decides" name="mean of the needs"
# The need of each seed, then the mean: a bad seed's has no end.
def what_decides(error):
    def needed(*setting):
        needs = []
        for seed in range(9):
            low, high = 5.0, 4000.0
            for _ in range(9):
                middle = math.sqrt(low * high)
                found = error(*setting, round(middle), seed) < 0.5
                low, high = (low, middle) if found else (middle, high)
            needs.append(high)
        return sum(needs) / len(needs)

    needs = {setting: needed(*setting) for setting in ((8, 8, 1), (24, 24, 1), (24, 24, 3), (8, 24, 2))}
    units = {
        "pixels": lambda rows, columns, rank: rows * columns,
        "freedom": lambda rows, columns, rank: rank * (rows + columns - rank),
        "sides": lambda rows, columns, rank: rows + columns,
        "rank": lambda rows, columns, rank: rank,
    }

    def ratios(name):
        return sorted(count / units[name](*setting) for setting, count in needs.items())

    best = min(units, key=lambda name: ratios(name)[-1] / ratios(name)[0])
    center = math.sqrt(ratios(best)[0] * ratios(best)[-1])
    return best, center / 1.4, center * 1.4

# %% wrong="what_decides" name="bound too high"
# An error below 1 is not yet a weight that was found.
#- < 0.5
#+ < 1

# %% wrong="what_decides" name="bound hardly too high"
# Above 0.6 it was not found.
#- < 0.5
#+ < 0.65

# %% wrong="what_decides" name="bound too low"
# Below 0.3 it was found.
#- < 0.5
#+ < 0.2

# %% wrong="what_decides" name="rank 1 alone"
# Sides and freedom are nearly one at rank 1.
#- (24, 24, 1), (24, 24, 3), (8, 24, 2))
#+ (24, 24, 1))

# %% wrong="what_decides" name="wide"
# An interval that says nothing.
#- center / 1.4, center * 1.4
#+ center / 10, center * 10

# %% right="best_weight"
def best_weight(x, y):
    def smooth(x, y):
        place = torch.arange(x.shape[1], dtype=x.dtype)
        blur = torch.exp(-((place[:, None] - place) ** 2) / 4.5)
        mean = x.mean(0)
        z = blur @ (x - mean) @ blur
        gram = z.flatten(1) @ (x - mean).flatten(1).T + 3 * torch.eye(len(x), dtype=x.dtype)
        return torch.tensordot(torch.linalg.solve(gram, y - y.mean()), z, dims=1)

    def low(x, y):
        (u, v), _ = fit_cp_regression(x, y, 2, 3.0, sweeps=15)
        return u @ v.T

    def missed(method):
        left = y[80:] - (x[80:] * method(x[:80], y[:80])).sum((1, 2))
        return left.var().item()

    return min((smooth, low), key=missed)(x, y)

# %% answer="best_weight" name="the mean of two"
# Half of a low-rank and half of a smooth weight.
def best_weight(x, y):
    place = torch.arange(x.shape[1], dtype=x.dtype)
    blur = torch.exp(-((place[:, None] - place) ** 2) / 3)
    centered = x - x.mean(0)
    z = blur @ centered @ blur
    gram = z.flatten(1) @ centered.flatten(1).T + 2 * torch.eye(len(x), dtype=x.dtype)
    smooth = torch.tensordot(torch.linalg.solve(gram, y - y.mean()), z, dims=1)
    (u, v), _ = fit_cp_regression(x, y, 3, 6.0, sweeps=15)
    return (smooth + u @ v.T) / 2

# %% answer="best_weight" name="what is left, smoothed"
# A smooth weight, and a low-rank one for what it leaves.
def best_weight(x, y):
    def smooth(x, y):
        place = torch.arange(x.shape[1], dtype=x.dtype)
        blur = torch.exp(-((place[:, None] - place) ** 2) / 3)
        centered = x - x.mean(0)
        z = blur @ centered @ blur
        gram = z.flatten(1) @ centered.flatten(1).T + 4 * torch.eye(len(x), dtype=x.dtype)
        return torch.tensordot(torch.linalg.solve(gram, y - y.mean()), z, dims=1)

    weight = torch.zeros_like(x[0])
    for _ in range(3):
        (u, v), _ = fit_cp_regression(x, y - (x * weight).sum((1, 2)), 2, 8.0, sweeps=10)
        weight = smooth(x, y - (x * (u @ v.T)).sum((1, 2)))
    return u @ v.T + weight

# %% mistake="best_weight" name="a regression on pixels"
# Your mean error is not below that of the chapter's fit. On which drawings is it largest? What have
# all of them in common that your fit does not know of?
# Look at: your weights as pictures, beside the true ones.
def best_weight(x, y):
    flat = (x - x.mean(0)).flatten(1)
    gram = flat @ flat.T + 30 * torch.eye(len(x), dtype=x.dtype)
    return (flat.T @ torch.linalg.solve(gram, y - y.mean())).reshape(x.shape[1:])

# %% mistake="best_weight" name="the chapter's fit without a penalty"
# Your mean error is not below that of the chapter's fit. On which drawings is it largest? What have
# all of them in common that your fit does not know of?
# Look at: your weights as pictures, beside the true ones.
def best_weight(x, y):
    (u, v), _ = fit_cp_regression(x, y, 2)
    return u @ v.T

# %% mistake="best_weight" name="all zeros"
# Your mean error is 1, which is that of a weight of zeros.
# Look at: the largest number of the weight that you return.
def best_weight(x, y):
    return torch.zeros_like(x[0])

# %% mistake="best_weight" name="the mean of x times y"
# Your mean error is above 1: a weight of zeros is nearer. Is it an average of the samples, each
# times its response, or a fit with more unknowns than samples and no penalty?
# Look at: how much your weight changes when you leave out one sample.
def best_weight(x, y):
    return torch.tensordot(y - y.mean(), x, dims=1) / len(x)

# %% wrong="best_weight" name="the chapter's fit"
# The method to be beaten, with another start.
def best_weight(x, y):
    (u, v), _ = fit_cp_regression(x, y, 8, 10.0)
    return u @ v.T

# %% wrong="best_weight" name="rank 1"
# Less than the chapter's fit.
def best_weight(x, y):
    (u, v), _ = fit_cp_regression(x, y, 1, 3.0)
    return u @ v.T

# %% wrong="best_weight" name="float32"
# The right weight, in another dtype.
#- return min((smooth, low), key=missed)(x, y)
#+ return min((smooth, low), key=missed)(x, y).float()

# %% wrong="best_weight" name="view"
# The right weight, where the entries of the samples lie side by side in memory.
#-     return min((smooth, low), key=missed)(x, y)
#+     x = x.view(len(x), -1).reshape(x.shape)
#+     return min((smooth, low), key=missed)(x, y)

# %% wrong="best_weight" name="flat"
# No picture.
def best_weight(x, y):
    return torch.linalg.lstsq(x.flatten(1), y[:, None]).solution[:, 0]
