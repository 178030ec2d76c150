"""Known answers of chapter 01."""

# %% right="fiber"
def fiber(x, mode, index):
    return x[(*index[:mode], slice(None), *index[mode:])]

# %% answer="fiber" name="movedim"
# Bring the mode to the end, index the rest.
def fiber(x, mode, index):
    return x.movedim(mode, -1)[tuple(index)]

# %% answer="fiber" name="select"
# One select after the other.
def fiber(x, mode, index):
    index = list(index)
    for k in reversed(range(x.ndim)):
        if k != mode:
            x = x.select(k, index.pop())
    return x

# %% mistake="fiber" name="slice in front"
# Your free index always stands in front, so you return a mode-0 fiber whatever `mode` is.
# Look at: where the `:` belongs among the other indices.
def fiber(x, mode, index):
    return x[(slice(None), *index)]

# %% mistake="fiber" name="slice at the end"
# Your free index always stands at the end, so you return a fiber of the last mode whatever
# `mode` is.
# Look at: where the `:` belongs among the other indices.
def fiber(x, mode, index):
    return x[(*index, slice(None))]

# %% mistake="fiber" name="slice one place too far"
# Your free index stands one place too far behind: what you return is a fiber of the next mode.
# Look at: how many entries of `index` belong in front of the `:` when `mode` is 0.
def fiber(x, mode, index):
    return x[(*index[: mode + 1], slice(None), *index[mode + 1 :])]

# %% mistake="fiber" name="one index fixed"
# You fixed one index only, so you return a slice. A fiber has every index fixed but one.
# Look at: how many entries of `index` your code uses.
def fiber(x, mode, index):
    return x.movedim(mode, 0)[:, index[0]]

# %% mistake="fiber" name="indices exchanged"
# You took the entries of `index` in the reverse order.
# Look at: which mode each entry of `index` belongs to: the modes that remain, in their own order.
def fiber(x, mode, index):
    full = list(reversed(index))
    full.insert(mode, slice(None))
    return x[tuple(full)]

# %% mistake="fiber" name="index shifted"
# You left out one entry of `index` behind the free mode: `index` has no entry for the mode
# itself, so what follows it starts at index[mode], not at index[mode + 1].
# Look at: how many entries `index` has for a tensor of order 3.
def fiber(x, mode, index):
    return x[(*index[:mode], slice(None), *index[mode + 1 :])]

# %% mistake="fiber" name="exchanged modes"
# You exchanged the mode with the last one; the other modes then no longer stand in their own
# order, and your indices meet the wrong ones.
# Look at: the difference between exchanging two modes and moving one.
def fiber(x, mode, index):
    return x.transpose(mode, -1)[tuple(index)]

# %% wrong="fiber" name="modes 0 to 2"
# Every mode above 1 is taken for mode 2.
#- return
#+ mode = min(mode, 2)
#+     return

# %% wrong="fiber" name="sizes of 1 dropped"
# A fiber along a mode of size 1 becomes a number.
def fiber(x, mode, index):
    full = [slice(i, i + 1) for i in index]
    full.insert(mode, slice(None))
    return x[tuple(full)].squeeze()

# %% wrong="fiber" name="found in one row of numbers"
# A view of all numbers, which only contiguous tensors have.
def fiber(x, mode, index):
    step = math.prod(x.shape[mode + 1 :])
    place = 0
    for size, i in zip(x.shape, (*index[:mode], 0, *index[mode:])):
        place = place * size + i
    return x.view(-1)[place :: step][: x.shape[mode]]

# %% wrong="fiber" name="float64"
# Whatever the dtype of x.
#- return x[
#+ return x.double()[

# %% right="unfold"
def unfold(x, mode):
    return x.movedim(mode, 0).reshape(x.shape[mode], -1)

# %% answer="unfold" name="permute"
# A full permutation.
def unfold(x, mode):
    order = [mode] + [k for k in range(x.ndim) if k != mode]
    return x.permute(order).reshape(x.shape[mode], -1)

# %% answer="unfold" name="slices"
# The slices, flattened and stacked.
def unfold(x, mode):
    return torch.stack([x.select(mode, i).flatten() for i in range(x.shape[mode])])

# %% mistake="unfold" name="exchanged modes"
# You exchanged mode 0 with the mode that you unfold. That puts mode 0 where the other mode
# was, so the remaining modes come in the wrong order; for mode 0 and 1 it looks right.
# Look at: the difference between exchanging two modes and moving one to the front.
def unfold(x, mode):
    return x.transpose(0, mode).reshape(x.shape[mode], -1)

# %% mistake="unfold" name="reshape alone"
# You only reshaped. A reshape never moves an entry in memory, so its rows are fibers of no
# mode, unless the mode is already the first.
# Look at: which mode must stand in front before you reshape.
def unfold(x, mode):
    return x.reshape(x.shape[mode], -1)

# %% mistake="unfold" name="column-major"
# Your columns are right but in another order: you let the first remaining mode run fastest
# (column-major, as in Kolda and Bader's paper, MATLAB and Fortran). Here the last one does.
# Look at: the order in which the remaining modes stand when you reshape.
def unfold(x, mode):
    rest = [k for k in range(x.ndim) if k != mode]
    return x.permute(mode, *reversed(rest)).reshape(x.shape[mode], -1)

# %% mistake="unfold" name="transposed"
# You return the transpose: your fibers are the rows. They should be the columns.
# Look at: which of the two sizes of the result is I_mode.
def unfold(x, mode):
    return x.movedim(mode, 0).reshape(x.shape[mode], -1).T

# %% mistake="unfold" name="mode at the end"
# You moved the mode to the end and then reshaped it to the front: after the reshape the rows
# are no fibers.
# Look at: where the mode stands at the moment of the reshape.
def unfold(x, mode):
    return x.movedim(mode, -1).reshape(x.shape[mode], -1)

# %% mistake="unfold" name="rows and columns exchanged"
# You gave `reshape` the two sizes in the other order: that cuts the fibers into pieces.
# Look at: which of the two sizes of the result is I_mode.
def unfold(x, mode):
    return x.movedim(mode, 0).reshape(-1, x.shape[mode])

# %% mistake="unfold" name="cut gradient"
# The numbers are right, but no gradient comes through: your result has forgotten where it came
# from.
# Look at: `torch.no_grad()`, `.detach()`, `.data`, `torch.tensor(...)`, `.numpy()`.
def unfold(x, mode):
    return x.detach().movedim(mode, 0).reshape(x.shape[mode], -1)

# %% mistake="unfold" name="the first mode of that size"
# Where two modes have the same size, you unfold along the first of them, whatever `mode` is.
# Look at: whether you find the mode by its place or by its size.
def unfold(x, mode):
    return x.movedim(list(x.shape).index(x.shape[mode]), 0).reshape(x.shape[mode], -1)

# %% wrong="unfold" name="modes told by size"
# Two modes of one size are taken for one.
def unfold(x, mode):
    rest = [i for i, s in enumerate(x.shape) if s != x.shape[mode]]
    return x.permute(mode, *rest).reshape(x.shape[mode], -1)

# %% wrong="unfold" name="three modes"
# Every mode above 1 is taken for mode 2.
def unfold(x, mode):
    return x.movedim(min(mode, 2), 0).reshape(x.shape[mode], -1)

# %% right="is_unfold"
def is_unfold(candidate):
    every = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
    for shape in [(4,), (2, 3), (3, 1, 3), (2, 3, 4, 5), (2, 3, 2, 2, 3, 2)]:
        back = tuple(reversed(range(len(shape))))
        for mode in range(len(shape)):
            for dtype in every if len(shape) == 2 else every[:1]:
                x = torch.randn(shape, dtype=torch.float64)
                turned = torch.randn(shape[::-1], dtype=torch.float64).permute(back)
                for x in (x, turned):
                    x = x.to(dtype).detach().requires_grad_()
                    before = x.detach().clone()
                    try:
                        y = candidate(x, mode)
                    except Exception:
                        return False
                    right = unfold(before, mode)
                    if y.shape != right.shape or y.dtype != x.dtype or not torch.equal(y, right):
                        return False
                    if not torch.equal(x, before) or not y.requires_grad:
                        return False
                    y.backward(right)
                    if not torch.equal(x.grad, before):
                        return False
    return True

# %% answer="is_unfold" name="by its entries"
# Entry by entry, at random places; the gradient by a backward pass.
def is_unfold(candidate):
    def trusted(x, mode):
        before = x.detach().clone()
        y = candidate(x, mode)
        rows = [before.select(mode, i).flatten() for i in range(x.shape[mode])]
        if y.dtype != x.dtype or not torch.equal(torch.stack(rows), y.detach()):
            return False
        if not torch.equal(before, x):
            return False
        y.sum().backward()
        return torch.equal(x.grad, torch.ones_like(x))

    dtypes = [torch.float64, torch.float32, torch.bfloat16]
    try:
        for shape in [(3,), (3, 1), (2, 3, 3), (4, 3, 2, 2), (2, 1, 2, 3, 2, 2)]:
            for k in range(6):
                for mode in range(len(shape)):
                    x = torch.randn(shape).to(dtypes[k % 3])
                    if k > 2:
                        x = x.mT.contiguous().mT if x.ndim > 1 else x
                    if not trusted(x.requires_grad_(), mode):
                        return False
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
        return False
    return True

# %% answer="is_unfold" name="many random shapes"
# A few hundred tensors at random.
def is_unfold(candidate):
    import random

    draw = random.Random(0)
    for number in range(400):
        shape = [draw.choice([1, 2, 2, 3, 4]) for _ in range(draw.randint(1, 6))]
        order = list(range(len(shape)))
        draw.shuffle(order)
        dtype = draw.choice([torch.float16, torch.float32, torch.float64])
        x = torch.randn(shape, dtype=dtype).permute(order).requires_grad_()
        copy, mode = x.detach().clone(), draw.randrange(len(shape))
        wanted = copy.movedim(mode, 0).flatten(1) if len(shape) > 1 else copy[:, None]
        try:
            y = candidate(x, mode)
            same = y.dtype == dtype and y.shape == wanted.shape and bool((y == wanted).all())
            gradient = torch.autograd.grad(y, x, wanted)[0]
        except Exception:
            return False
        if not same or not torch.equal(gradient, copy) or not torch.equal(copy, x):
            return False
    return True

# %% mistake="is_unfold" name="shapes alone"
# You look at the shape of what comes, and at nothing in it.
# Look at: what a reshape without any move would pass.
def is_unfold(candidate):
    for shape in [(4,), (2, 3), (3, 1, 3), (2, 3, 4, 5), (2, 3, 2, 2, 3, 2)]:
        for mode in range(len(shape)):
            x = torch.randn(shape, dtype=torch.float64)
            try:
                y = candidate(x, mode)
            except Exception:
                return False
            if tuple(y.shape) != (shape[mode], x.numel() // shape[mode]):
                return False
    return True

# %% mistake="is_unfold" name="one tensor alone"
# The numbers of one tensor with three modes tell you enough: that is what your test behaves like.
# Look at: what was promised for any order, any sizes, any dtype and any strides.
def is_unfold(candidate):
    x = torch.arange(1.0, 25.0).reshape(2, 3, 4)
    for mode in range(3):
        y = candidate(x, mode)
        if y.shape != unfold(x, mode).shape or not torch.equal(y, unfold(x, mode)):
            return False
    return True

# %% mistake="is_unfold" name="every one trusted"
# You say True to all of them.
# Look at: what you compare, and where your `return False` stands.
def is_unfold(candidate):
    return True

# %% mistake="is_unfold" name="none trusted"
# You say False to all of them, also to the right ones.
# Look at: whether your own comparison holds for your own unfold, and whether an error of your test
# is taken for one of the candidate.
def is_unfold(candidate):
    return False

# %% wrong="is_unfold" name="one dtype"
# float32 alone.
def is_unfold(candidate):
    for shape in [(4,), (2, 3), (3, 1, 3), (2, 3, 4, 5), (2, 3, 2, 2, 3, 2)]:
        back = tuple(reversed(range(len(shape))))
        for mode in range(len(shape)):
            for x in (torch.randn(shape), torch.randn(shape), torch.randn(shape[::-1]).permute(back)):
                x.requires_grad_()
                before = x.detach().clone()
                try:
                    y = candidate(x, mode)
                except Exception:
                    return False
                if y.shape != unfold(before, mode).shape or not torch.equal(y, unfold(before, mode)):
                    return False
                if not torch.equal(x, before) or not y.requires_grad:
                    return False
    return True

# %% wrong="is_unfold" name="positive numbers"
# torch.rand has no sign.
#- x = torch.randn(shape, dtype=torch.float64)
#-                 turned = torch.randn(
#+ x = 0.1 + torch.rand(shape, dtype=torch.float64)
#+                 turned = 0.1 + torch.rand(

# %% wrong="is_unfold" name="the gradient not looked at"
# A result that has forgotten where it came from.
#- if not torch.equal(x, before) or not y.requires_grad:
#-                         return False
#-                     y.backward(right)
#-                     if not torch.equal(x.grad, before):
#+ if not torch.equal(x, before):

# %% wrong="is_unfold" name="a gradient from one entry"
# That some gradient comes does not say that all of it does.
#-                     y.backward(right)
#-                     if not torch.equal(x.grad, before):
#-                         return False

# %% wrong="is_unfold" name="x not looked at"
# Something may have been written into it.
#- if not torch.equal(x, before) or not y.requires_grad:
#+ if not y.requires_grad:
#- (x.grad, before)
#+ (x.grad, x.grad)

# %% wrong="is_unfold" name="contiguous tensors"
# Those of real networks are not.
#- for x in (x, turned):
#+ for x in (x, x + 1):

# %% wrong="is_unfold" name="float64 alone"
# Something that always gives float64 gets through.
#- torch.float64, torch.float32, torch.bfloat16, torch.float16
#+ torch.float64, torch.float64

# %% wrong="is_unfold" name="no half precision"
# Something that gives back float32 for it gets through.
#- torch.float64, torch.float32, torch.bfloat16, torch.float16
#+ torch.float64, torch.float32

# %% wrong="is_unfold" name="five modes at most"
# The sixth is promised too.
#- (2, 3, 2, 2, 3, 2)
#+ (2, 3, 2, 2, 3)

# %% wrong="is_unfold" name="no vector"
# A vector is the smallest tensor that was promised.
#- (4,), (2, 3), (3, 1, 3)
#+ (2, 3), (3, 1, 3)

# %% wrong="is_unfold" name="the shape not looked at"
# torch.allclose broadcasts: a mode too many in front goes unseen.
#-                     try:
#-                         y = candidate(x, mode)
#-                     except Exception:
#-                         return False
#-                     right = unfold(before, mode)
#-                     if y.shape != right.shape or y.dtype != x.dtype or not torch.equal(y, right):
#+                     right = unfold(before, mode)
#+                     try:
#+                         y = candidate(x, mode)
#+                         same = torch.allclose(y, right)
#+                     except Exception:
#+                         return False
#+                     if y.dtype != x.dtype or not same:
#
#- y.backward(right)
#+ y.backward(right.reshape(y.shape))

# %% wrong="is_unfold" name="the first and the last mode"
# One in the middle is another matter.
#- mode in range(len(shape)):
#+ mode in {0, len(shape) - 1}:

# %% wrong="is_unfold" name="the last mode"
# The others are promised, too.
#- mode in range(len(shape)):
#+ mode in (len(shape) - 1,):

# %% wrong="is_unfold" name="nearly equal"
# Nothing is to be rounded on the way.
#- not torch.equal(y, right)
#+ not torch.allclose(y, right)
#- torch.equal(x.grad, before)
#+ torch.allclose(x.grad, before)

# %% wrong="is_unfold" name="more calls than allowed"
# An error comes back, which is taken for one of the candidate.
#-     for shape in [
#+     for _ in range(2000):
#+         candidate(torch.ones(1, 1), 0)
#+     for shape in [

# %% right="fold"
def fold(matrix, mode, shape):
    rest = [size for k, size in enumerate(shape) if k != mode]
    return matrix.reshape(shape[mode], *rest).movedim(0, mode)

# %% answer="fold" name="permute"
# Undo a full permutation.
def fold(matrix, mode, shape):
    order = [mode] + [k for k in range(len(shape)) if k != mode]
    back = [order.index(k) for k in range(len(shape))]
    return matrix.reshape([shape[k] for k in order]).permute(back)

# %% answer="fold" name="stack"
# Every row is a slice.
#- return matrix.reshape(shape[mode], *rest).movedim(0, mode)
#+ return torch.stack([row.reshape(rest) for row in matrix], dim=mode)

# %% answer="fold" name="view"
# A view only parts the columns here, which it can whatever the strides of the matrix.
#- matrix.reshape(
#+ matrix.view(

# %% mistake="fold" name="reshape alone"
# You reshaped straight to `shape`. In the unfolding the mode stands in front; a reshape cannot
# bring it back to its own place.
# Look at: the shape that the tensor has just before `unfold` reshapes it.
def fold(matrix, mode, shape):
    return matrix.reshape(shape)

# %% mistake="fold" name="mode left in front"
# You reshaped and stopped: the mode still stands in front and has to go to its own place.
# Look at: the shape of what you return.
#- ).movedim(0, mode)
#+ )

# %% mistake="fold" name="sizes told by their value"
# You told the mode by its size. Where two modes have the same size, that takes out both, or
# the wrong one.
# Look at: how you find the sizes of the other modes: by position, not by value.
#- k, size in enumerate(shape) if k != mode
#+ size in shape if size != shape[mode]

# %% mistake="fold" name="exchanged modes"
# You brought the mode back by exchanging it with mode 0; the modes between them end up in the
# wrong places.
# Look at: the difference between exchanging two modes and moving one.
def fold(matrix, mode, shape):
    rest = [size for k, size in enumerate(shape) if k != mode]
    exchanged = list(shape)
    exchanged[0], exchanged[mode] = exchanged[mode], exchanged[0]
    return matrix.reshape(exchanged).transpose(0, mode)

# %% mistake="fold" name="column-major"
# You let the first remaining mode run fastest, as in Kolda and Bader's paper; the unfolding
# of this course lets the last one run fastest.
# Look at: the order of the remaining sizes in your reshape.
def fold(matrix, mode, shape):
    rest = [k for k in range(len(shape)) if k != mode]
    x = matrix.reshape(shape[mode], *[shape[k] for k in reversed(rest)])
    order = [mode, *reversed(rest)]
    return x.permute([order.index(k) for k in range(len(shape))])

# %% mistake="fold" name="moved the wrong way"
# You moved the modes the way `unfold` does, once more; folding needs the way back.
# Look at: which move undoes that one: movedim with its arguments exchanged, permute with the
# inverse order.
#- 0, mode
#+ mode, 0

# %% wrong="fold" name="first of that size removed"
# list.remove takes out the first equal size.
def fold(matrix, mode, shape):
    rest = list(shape)
    rest.remove(shape[mode])
    return matrix.reshape(shape[mode], *rest).movedim(0, mode)

# %% right="mode_dot"
def mode_dot(x, matrix, mode):
    shape = list(x.shape)
    shape[mode] = matrix.shape[0]
    return fold(matrix @ unfold(x, mode), mode, shape)

# %% answer="mode_dot" name="tensordot"
# tensordot, then the new mode to its place.
def mode_dot(x, matrix, mode):
    return torch.tensordot(x, matrix, dims=([mode], [1])).movedim(-1, mode)

# %% answer="mode_dot" name="einsum"
# einsum on the mode moved to the end.
def mode_dot(x, matrix, mode):
    return torch.einsum("...i,ji->...j", x.movedim(mode, -1), matrix).movedim(-1, mode)

# %% answer="mode_dot" name="loop"
# A sum over slices.
def mode_dot(x, matrix, mode):
    rows = []
    for row in matrix:
        rows.append(sum(row[i] * x.select(mode, i) for i in range(x.shape[mode])))
    return torch.stack(rows, dim=mode)

# %% mistake="mode_dot" name="folded along mode 0"
# You folded the product along mode 0 instead of the mode that you multiplied. (A reshape gives
# every shape that you ask for: it does not know which mode is which.)
# Look at: which mode you give to `fold`, or where the new mode goes back to.
#- return fold(matrix @ unfold(x, mode), mode, shape)
#+ return (matrix @ unfold(x, mode)).reshape(shape)

# %% mistake="mode_dot" name="folded to the old shape"
# You fold to the shape of x. The mode that you multiplied has J entries now, the number of
# rows of the matrix.
# Look at: the shape that you give to `fold`.
def mode_dot(x, matrix, mode):
    rest = [size for k, size in enumerate(x.shape) if k != mode]
    return (matrix @ unfold(x, mode)).reshape(x.shape[mode], *rest).movedim(0, mode)

# %% mistake="mode_dot" name="folded to the old shape, by fold"
# You fold to the shape of x. The mode that you multiplied has J entries now, the number of
# rows of the matrix.
# Look at: the shape that you give to `fold`.
def mode_dot(x, matrix, mode):
    return fold(matrix @ unfold(x, mode), mode, x.shape)

# %% mistake="mode_dot" name="not folded"
# You return the product of the unfoldings: a matrix. It has to be folded to a tensor again.
# Look at: the number of modes of what you return.
def mode_dot(x, matrix, mode):
    return matrix @ unfold(x, mode)

# %% mistake="mode_dot" name="last but one mode"
# `matrix @ x` multiplies the last but one mode, whatever `mode` is.
# Look at: whether your result depends on `mode`.
def mode_dot(x, matrix, mode):
    return matrix @ x

# %% mistake="mode_dot" name="mode left at the end"
# You left the new mode at the end: torch.tensordot puts what remains of x first and what
# remains of the matrix last.
# Look at: the shape that tensordot (or your einsum) returns, against the one that is asked.
def mode_dot(x, matrix, mode):
    return torch.tensordot(x, matrix, dims=([mode], [1]))

# %% mistake="mode_dot" name="mode left in front"
# You left the new mode in front: the product of the unfoldings still has to be folded back.
# Look at: the mode to which the rows of the product belong.
def mode_dot(x, matrix, mode):
    rest = [size for k, size in enumerate(x.shape) if k != mode]
    return (matrix @ unfold(x, mode)).reshape(len(matrix), *rest)

# %% mistake="mode_dot" name="transposed where square"
# You multiply by the transpose of the matrix wherever the sizes allow it: you contract its first
# index. The second index of the matrix runs along the fiber.
# Look at: which index of `matrix` you sum over.
def mode_dot(x, matrix, mode):
    if matrix.shape[0] == x.shape[mode]:
        matrix = matrix.T
    return torch.tensordot(x, matrix, dims=([mode], [1])).movedim(-1, mode)

# %% mistake="mode_dot" name="last mode always"
# You multiply the last mode whatever `mode` is: `x @ matrix.T` knows no other.
# Look at: whether your result depends on `mode`.
def mode_dot(x, matrix, mode):
    return x @ matrix.T

# %% wrong="mode_dot" name="viewed as three modes"
# What stands before and behind the mode is joined by a view, which only contiguous tensors have.
def mode_dot(x, matrix, mode):
    front, behind = x.shape[:mode], x.shape[mode + 1 :]
    y = matrix @ x.view(math.prod(front), x.shape[mode], math.prod(behind))
    return y.view(*front, len(matrix), *behind)

# %% wrong="mode_dot" name="a view for the last mode"
# Only contiguous tensors have it.
def mode_dot(x, matrix, mode):
    if mode == x.ndim - 1:
        return (x.view(-1, x.shape[-1]) @ matrix.T).reshape(*x.shape[:-1], len(matrix))
    return torch.tensordot(x, matrix, dims=([mode], [1])).movedim(-1, mode)

# %% wrong="mode_dot" name="a view for mode 0"
# Only contiguous tensors have it.
def mode_dot(x, matrix, mode):
    if mode == 0:
        return (matrix @ x.view(len(x), -1)).reshape(len(matrix), *x.shape[1:])
    return torch.tensordot(x, matrix, dims=([mode], [1])).movedim(-1, mode)

# %% wrong="mode_dot" name="accumulated in the default dtype"
# bfloat16 comes back as float32.
def mode_dot(x, matrix, mode):
    rows = []
    for row in matrix:
        total = torch.zeros(x.select(mode, 0).shape, dtype=torch.promote_types(x.dtype, torch.float32))
        for i in range(x.shape[mode]):
            total = total + row[i] * x.select(mode, i)
        rows.append(total)
    return torch.stack(rows, dim=mode)

# %% wrong="mode_dot" name="mode found by size"
# The mode is ignored.
def mode_dot(x, matrix, mode):
    k = list(x.shape).index(matrix.shape[1])
    return (x.movedim(k, -1) @ matrix.T).movedim(-1, k)

# %% wrong="mode_dot" name="every mode of that size"
# The shape changes wherever the size is that of the mode.
def mode_dot(x, matrix, mode):
    shape = [matrix.shape[0] if n == x.shape[mode] else n for n in x.shape]
    return fold(matrix @ unfold(x, mode), mode, shape)

# %% wrong="mode_dot" name="three modes"
# Every mode above 1 is taken for mode 2.
def mode_dot(x, matrix, mode):
    mode = min(mode, 2)
    return torch.tensordot(x, matrix, dims=([mode], [1])).movedim(-1, mode)

# %% right="multi_mode_dot"
def multi_mode_dot(x, matrices, modes):
    for matrix, mode in zip(matrices, modes):
        x = mode_dot(x, matrix, mode)
    return x

# %% answer="multi_mode_dot" name="any order"
# The last matrix first: the order does not matter.
def multi_mode_dot(x, matrices, modes):
    for k in reversed(range(len(modes))):
        x = mode_dot(x, matrices[k], modes[k])
    return x

# %% answer="multi_mode_dot" name="einsum"
# One einsum for all.
def multi_mode_dot(x, matrices, modes):
    letters = "abcdefgh"[: x.ndim]
    new = dict(zip(modes, "stuvwxyz"))
    operands = ",".join(new[mode] + letters[mode] for mode in modes)
    out = "".join(new.get(k, letter) for k, letter in enumerate(letters))
    return torch.einsum(f"{letters},{operands}->{out}", x, *matrices)

# %% mistake="multi_mode_dot" name="modes ignored"
# You multiplied the modes 0, 1, 2, ... in turn and did not look at `modes`.
# Look at: which mode each matrix is meant for.
#- for matrix, mode in zip(matrices, modes):
#+ for mode, matrix in enumerate(matrices):

# %% mistake="multi_mode_dot" name="matrices counted by modes"
# You take matrices[mode] for each mode: matrices[k] belongs to modes[k], and there may be fewer
# matrices than modes of x.
# Look at: which matrix belongs to mode 2 when modes is (0, 2).
#-     for matrix, mode in zip(matrices, modes):
#-         x = mode_dot(x, matrix, mode)
#+     for mode in modes:
#+         x = mode_dot(x, matrices[mode], mode)

# %% mistake="multi_mode_dot" name="started again from x"
# Each of your products starts again from the original x, so only the last one is left.
# Look at: what the next product multiplies.
def multi_mode_dot(x, matrices, modes):
    for matrix, mode in zip(matrices, modes):
        result = mode_dot(x, matrix, mode)
    return result

# %% mistake="multi_mode_dot" name="results thrown away"
# You compute the products and throw them away: x is still what it was.
# Look at: what becomes of the value that `mode_dot` returns.
#- x = mode_dot
#+ mode_dot

# %% mistake="multi_mode_dot" name="first only"
# You multiplied by the first matrix and returned.
# Look at: the indentation of your `return`.
def multi_mode_dot(x, matrices, modes):
    for matrix, mode in zip(matrices, modes):
        return mode_dot(x, matrix, mode)

# %% mistake="multi_mode_dot" name="sorted modes"
# You sorted the modes and left the matrices as they were: each matrix now meets the mode of
# another.
# Look at: what still ties matrices[k] to modes[k].
#- (matrices, modes):
#+ (matrices, sorted(modes)):

# %% mistake="multi_mode_dot" name="matrices reversed"
# You took the matrices from the last to the first, and the modes from the first to the last: each
# matrix meets the mode of another.
# Look at: what still ties matrices[k] to modes[k].
#- (matrices, modes):
#+ (matrices[::-1], modes):

# %% mistake="multi_mode_dot" name="transposed where square"
# You multiply by the transpose of a matrix wherever the sizes allow it.
# Look at: which index of the matrix runs along the fiber.
#-     for matrix, mode in zip(matrices, modes):
#+     for matrix, mode in zip(matrices, modes):
#+         if matrix.shape[0] == matrix.shape[1]:
#+             matrix = matrix.T

# %% wrong="multi_mode_dot" name="three modes"
# Only modes 0 to 2 are looked at.
def multi_mode_dot(x, matrices, modes):
    for k in range(3):
        if k in modes:
            x = mode_dot(x, matrices[list(modes).index(k)], k)
    return x

# %% wrong="multi_mode_dot" name="sizes of 1 dropped"
# A matrix of one row leaves a mode of size 1.
#- return x
#+ return x.squeeze()

# %% wrong="multi_mode_dot" name="a mode for each matrix object"
# One matrix may multiply two modes.
#- in zip(matrices, modes):
#+ in dict(zip(matrices, modes)).items():

# %% wrong="multi_mode_dot" name="three matrices at most"
# The fourth stays out.
#- in zip(matrices, modes):
#+ in list(zip(matrices, modes))[:3]:

# %% wrong="multi_mode_dot" name="view"
# Modes are joined by a view, which only contiguous tensors have.
def multi_mode_dot(x, matrices, modes):
    shape = list(x.shape)
    for matrix, mode in zip(matrices, modes):
        x = matrix @ x.view(math.prod(shape[:mode]), shape[mode], -1)
        shape[mode] = len(matrix)
    return x.view(shape)

# %% wrong="multi_mode_dot" name="float64 on the way"
# And in the result, whatever came.
#- x = mode_dot(x, matrix, mode)
#+ x = mode_dot(x.double(), matrix.double(), mode)

# %% right="faster"
def faster(first, second, interval):
    def best(way):
        return min(way() for _ in range(5))

    ratios = []
    for turn in range(16):
        if turn % 2:
            late, early = best(second), best(first)
        else:
            early, late = best(first), best(second)
        ratios.append(late / early)
    mean, half = interval(ratios[1:])
    low, high = mean - half, mean + half
    return low, high, "first" if low > 1 else "second" if high < 1 else "can't tell"

# %% answer="faster" name="medians of pairs"
# Warm up, take turns call by call, throw away what lies far from the median pair.
def faster(first, second, interval):
    for _ in range(5):
        first(), second()
    ratios = []
    for turn in range(60):
        if turn % 2 == 0:
            a, b = first(), second()
        else:
            b, a = second(), first()
        ratios.append(b / a)
    middle = sorted(ratios)[len(ratios) // 2]
    mean, half = interval([ratio for ratio in ratios if abs(ratio / middle - 1) < 0.2])
    half = max(half, 0.01 * mean)
    said = "can't tell"
    if mean - half > 1:
        said = "first"
    elif mean + half < 1:
        said = "second"
    return mean - half, mean + half, said

# %% answer="faster" name="logarithms"
# The interval of the logarithms; ten rounds of the best of eight.
def faster(first, second, interval):
    first(), second(), first(), second()
    logs = []
    for turn in range(10):
        times = {}
        for name, way in [("a", first), ("b", second)][:: 1 - 2 * (turn % 2)]:
            times[name] = min(way() for _ in range(8))
        logs.append(math.log(times["b"] / times["a"]))
    mean, half = interval(logs)
    low, high = math.exp(mean - half), math.exp(mean + half)
    return [low, high, "first" if low > 1 else ("second" if high < 1 else "can't tell")]

# %% mistake="faster" name="ratio the other way round"
# Your ratio is that of the first to the second; what is asked is the second by the first.
# Look at: which of the two stands above the line.
#- ratios.append(late / early)
#+ ratios.append(early / late)

# %% mistake="faster" name="one after the other"
# Where the machine slows down while you measure, the second way comes out slower than it is.
# Look at: how many calls of the first way come before those of the second with which you compare
# them.
def faster(first, second, interval):
    def best(way):
        return min(way() for _ in range(5))

    early = [best(first) for _ in range(16)]
    late = [best(second) for _ in range(16)]
    mean, half = interval([b / a for a, b in zip(early, late)][1:])
    low, high = mean - half, mean + half
    return low, high, "first" if low > 1 else "second" if high < 1 else "can't tell"

# %% mistake="faster" name="every call taken as it is"
# Single calls that took many times as long stand in your ratios as they are: the first ones, and
# those while another program had the machine.
# Look at: what of several calls one slow call does not move.
#- min(way() for _ in range(5))
#+ way()

# %% mistake="faster" name="the mean alone concludes"
# Your conclusion does not follow from your interval: with 1 inside of it there is none.
# Look at: which two numbers the conclusion is drawn from.
#- "first" if low > 1 else "second" if high < 1 else "can't tell"
#+ "first" if mean > 1 else "second"

# %% mistake="faster" name="near 1 always"
# Your ratio is near 1 whatever the machine.
# Look at: whether both ways are called, and whose seconds you compare: each call returns its own.
#- min(way() for _ in range(5))
#+ min(first() for _ in range(5))

# %% mistake="faster" name="a word for no conclusion"
# Where your interval has 1 inside of it, you return another conclusion than "can't tell".
# Look at: the word, letter by letter.
#- "can't tell"
#+ "cannot tell"

# %% wrong="faster" name="five percent do not count"
# The conclusion follows from the interval, not from what matters to somebody.
#- "first" if low > 1 else "second" if high < 1 else
#+ "first" if low > 1.05 else "second" if high < 0.95 else

# %% wrong="faster" name="half as wide"
# That is not 95 % sure.
#- mean - half, mean + half
#+ mean - half / 2, mean + half / 2

# %% wrong="faster" name="twenty of the one, then twenty of the other"
# The second way always meets the slower machine.
def faster(first, second, interval):
    ratios = []
    for turn in range(20):
        a, b = [first() for _ in range(20)], [second() for _ in range(20)]
        ratios.append(sorted(b)[10] / sorted(a)[10])
    mean, half = interval(ratios)
    low, high = mean - half, mean + half
    return low, high, "first" if low > 1 else "second" if high < 1 else "can't tell"

# %% wrong="faster" name="an interval without width"
# One number, as if it were sure.
def faster(first, second, interval):
    ratios = sorted(second() / first() for _ in range(400))
    low = high = ratios[200]
    return low, high, "first" if low > 1 else "second" if high < 1 else "can't tell"

# %% wrong="faster" name="a thousandth on both sides"
# The width does not come from what was measured.
def faster(first, second, interval):
    middle = sorted(second() / first() for _ in range(400))[200]
    low, high = 0.999 * middle, 1.001 * middle
    return low, high, "first" if low > 1 else "second" if high < 1 else "can't tell"

# %% wrong="faster" name="not warmed up"
# The first calls are slow.
def faster(first, second, interval):
    ratios = []
    for turn in range(3):
        a, b = first(), second()
        ratios.append(b / a)
    mean, half = interval(ratios)
    low, high = mean - half, mean + half
    return low, high, "first" if low > 1 else "second" if high < 1 else "can't tell"

# %% wrong="faster" name="as wide as a barn"
# Nothing is said that could be wrong.
def faster(first, second, interval):
    return 0.001, 1000.0, "can't tell"

# %% right="inner"
def inner(x, y, n_modes):
    left, right = x.shape[: x.ndim - n_modes], y.shape[n_modes:]
    size = math.prod(y.shape[:n_modes])
    return (x.reshape(-1, size) @ y.reshape(size, -1)).reshape((*left, *right))

# %% answer="inner" name="tensordot"
# tensordot with an int.
def inner(x, y, n_modes):
    return torch.tensordot(x, y, dims=n_modes)

# %% answer="inner" name="broadcast"
# Multiply everything and sum the shared modes.
def inner(x, y, n_modes):
    left, right = x.ndim - n_modes, y.ndim - n_modes
    product = x.reshape(*x.shape, *[1] * right) * y.reshape(*[1] * left, *y.shape)
    return product.sum(dim=tuple(range(left, left + n_modes))) if n_modes else product

# %% mistake="inner" name="first modes of both"
# You contracted the first modes of both tensors. Of x it is the *last* ones: the batch, which
# stands in front, must stay.
# Look at: the indices of x that you sum over.
def inner(x, y, n_modes):
    modes = list(range(n_modes))
    return torch.tensordot(x, y, dims=(modes, modes))

# %% mistake="inner" name="not reshaped back"
# You return the matrix product itself: what was left of both tensors is still joined to one mode
# each.
# Look at: the modes that were left of x and of y.
#- return (x.reshape(-1, size) @ y.reshape(size, -1)).reshape((*left, *right))
#+ return x.reshape(-1, size) @ y.reshape(size, -1)

# %% mistake="inner" name="one mode only"
# You contracted a single mode, as a matrix product does.
# Look at: how many pairs of modes `n_modes` asks for.
def inner(x, y, n_modes):
    return torch.tensordot(x, y, dims=1)

# %% mistake="inner" name="modes reversed"
# You paired the modes in the reverse order: the last one of x with the first one of y. The
# modes keep their order on both sides.
# Look at: which index of x stands for the height, and which of y.
def inner(x, y, n_modes):
    last = [x.ndim - 1 - k for k in range(n_modes)]
    return torch.tensordot(x, y, dims=(last, list(range(n_modes))))

# %% mistake="inner" name="averaged"
# You averaged over the contracted entries where they are to be summed.
# Look at: mean and sum.
#- return (x.reshape(-1, size) @ y.reshape(size, -1)).reshape((*left, *right))
#+ return torch.tensordot(x, y, dims=n_modes) / size

# %% mistake="inner" name="one-element tensor"
# When every mode is contracted the result is a number: a tensor of shape (), not (1, 1).
# Look at: the sizes that are left when nothing is left.
def inner(x, y, n_modes):
    size = math.prod(y.shape[:n_modes])
    left = x.reshape(-1, size) @ y.reshape(size, -1)
    rest = [*x.shape[: x.ndim - n_modes], *y.shape[n_modes:]]
    return left.reshape(rest) if rest else left

# %% mistake="inner" name="sizes of 1 dropped"
# You drop every mode of size 1 (`squeeze`), also those that belong there: a batch of one is
# still a batch.
# Look at: when the result has no mode at all, and when it has one of size 1.
def inner(x, y, n_modes):
    return torch.tensordot(x, y, dims=n_modes).squeeze()

# %% wrong="inner" name="view"
# A batch of a real network is not contiguous.
#- x.reshape(-1, size) @ y.reshape(size, -1)
#+ x.view(-1, size) @ y.view(size, -1)

# %% wrong="inner" name="a view of the weight"
# A weight need not be contiguous either.
#- y.reshape(size, -1)
#+ y.view(size, -1)

# %% wrong="inner" name="one mode left"
# All that is left of x is flattened to one mode.
def inner(x, y, n_modes):
    if x.ndim == n_modes:
        return (x * y).sum()
    return torch.tensordot(x.flatten(1), y.flatten(0, n_modes - 1), 1)

# %% right="outer"
def outer(vectors):
    x = vectors[0]
    for v in vectors[1:]:
        x = torch.tensordot(x, v, dims=0)
    return x

# %% answer="outer" name="einsum"
# One einsum, a letter for each vector.
def outer(vectors):
    letters = "abcdefgh"[: len(vectors)]
    return torch.einsum(",".join(letters) + "->" + letters, *vectors)

# %% answer="outer" name="tensordot"
# tensordot over no mode.
def outer(vectors):
    x = vectors[0]
    for v in vectors[1:]:
        x = torch.tensordot(x, v, dims=0)
    return x

# %% mistake="outer" name="sums"
# Your entries are sums: an outer product multiplies one entry of each vector.
# Look at: the operator between the vectors.
#- x = torch.tensordot(x, v, dims=0)
#+ x = x.unsqueeze(-1) + v

# %% mistake="outer" name="first two only"
# You used only the first two vectors.
# Look at: how often your product is repeated.
def outer(vectors):
    if len(vectors) == 1:
        return vectors[0]
    return vectors[0][:, None] * vectors[1][None, :]

# %% mistake="outer" name="first vector twice"
# You begin with the first vector and then multiply by it once more.
# Look at: which vectors your loop runs over.
#- vectors[1:]
#+ vectors

# %% mistake="outer" name="flattened"
# Your numbers are right and all in one vector: that is the Kronecker product of the vectors.
# Look at: the shape, one mode for each vector.
#- tensordot(x, v, dims=0
#+ kron(x, v

# %% mistake="outer" name="modes reversed"
# Your modes come in the reverse order: the first vector must run along mode 0.
# Look at: on which side you add the new mode.
#- x = torch.tensordot(x, v, dims=0)
#+ x = v.reshape(-1, *[1] * x.ndim) * x

# %% wrong="outer" name="the first vector left out everywhere"
# A vector may come again.
def outer(vectors):
    x = vectors[0]
    for v in vectors:
        if v is not vectors[0]:
            x = torch.tensordot(x, v, dims=0)
    return x

# %% wrong="outer" name="starts with a float"
# Whole numbers become floats.
def outer(vectors):
    x = torch.ones((), dtype=torch.float64)
    for v in vectors:
        x = x.unsqueeze(-1) * v
    return x

# %% right="complex_product"
def complex_product():
    return [([1, 0], [1, 0], [1, -1]), ([0, 1], [0, 1], [-1, -1]), ([1, 1], [1, 1], [0, 1])]

# %% answer="complex_product" name="other products"
# Gauss': y0 (x0 + x1), x0 (y1 - y0), x1 (y0 + y1).
def complex_product():
    return [([1, 1], [1, 0], [1, 1]), ([1, 0], [-1, 1], [0, 1]), ([0, 1], [1, 1], [-1, 0])]

# %% answer="complex_product" name="tensors and halves"
# Vectors as tensors; the sum and the difference of both.
def complex_product():
    half = torch.tensor([0.5, 0.5])
    one = (torch.tensor([1.0, 1.0]), torch.tensor([1.0, 1.0]), half)
    two = (torch.tensor([1.0, -1.0]), torch.tensor([1.0, -1.0]), -half + torch.tensor([1.0, 0.0]))
    three = [[0, 1], [0, 1], [-2, 0]]
    return (one, (two[0], two[1], [0.5, -0.5]), three)

# %% mistake="complex_product" name="four products"
# All is right, with the four products of school.
# Look at: the two products of the imaginary part: which single product has both in it?
def complex_product():
    return [
        ([1, 0], [1, 0], [1, 0]),
        ([0, 1], [0, 1], [-1, 0]),
        ([1, 0], [0, 1], [0, 1]),
        ([0, 1], [1, 0], [0, 1]),
    ]

# %% wrong="complex_product" name="four, one of them nothing"
# Right, and one too many.
#- ([1, 1], [1, 1], [0, 1])]
#+ ([1, 1], [1, 1], [0, 1]), ([0, 0], [0, 0], [0, 0])]

# %% mistake="complex_product" name="plus for minus"
# x1 * y1 goes into the real part with the sign of a plus: i times i is -1.
# Look at: the sign of x1 * y1.
#- [-1, -1]
#+ [1, -1]

# %% mistake="complex_product" name="too much in the imaginary part"
# In the imaginary part x0 * y0 and x1 * y1 are left over: the product of the two sums brings them
# along.
# Look at: what the other two products could take away again.
#- [1, 0], [1, -1]), ([0, 1], [0, 1], [-1, -1])
#+ [1, 0], [1, 0]), ([0, 1], [0, 1], [-1, 0])

# %% wrong="complex_product" name="rounded"
# Nearly right.
#- [1, 0], [1, 0], [1, -1]
#+ [1.4142, 0], [1.4142, 0], [0.5, -0.5]

# %% wrong="complex_product" name="no number"
# NaN.
#- [-1, -1]
#+ [-1, float("nan")]

# %% wrong="complex_product" name="nothing"
# The empty sum.
def complex_product():
    return []

# %% right="khatri_rao"
def khatri_rao(matrices):
    x = matrices[0]
    for m in matrices[1:]:
        x = torch.einsum("ir,jr->ijr", x, m).reshape(-1, m.shape[1])
    return x

# %% answer="khatri_rao" name="columns"
# Column by column with torch.kron.
def khatri_rao(matrices):
    columns = []
    for r in range(matrices[0].shape[1]):
        column = matrices[0][:, r]
        for m in matrices[1:]:
            column = torch.kron(column, m[:, r])
        columns.append(column)
    return torch.stack(columns, dim=1)

# %% answer="khatri_rao" name="einsum"
# einsum, then join the rows.
def khatri_rao(matrices):
    x = matrices[0]
    for m in matrices[1:]:
        x = torch.einsum("ir,jr->ijr", x, m).reshape(-1, m.shape[1])
    return x

# %% mistake="khatri_rao" name="transposed"
# You return the transpose: what should be column r, made of the columns r of all matrices, is row
# r of your result.
# Look at: along which mode your columns are put together.
def khatri_rao(matrices):
    x = matrices[0].T
    for m in matrices[1:]:
        x = (x.unsqueeze(2) * m.T.unsqueeze(1)).reshape(x.shape[0], -1)
    return x

# %% mistake="khatri_rao" name="by rows"
# You paired row with row. The Khatri-Rao product pairs column with column: column r comes from the
# columns r of all matrices.
# Look at: which index the two matrices share.
def khatri_rao(matrices):
    x = matrices[0]
    for m in matrices[1:]:
        x = torch.stack([torch.kron(row, other) for row, other in zip(x, m)])
    return x

# %% mistake="khatri_rao" name="first matrix twice"
# You begin with the first matrix and then multiply by it once more.
# Look at: which matrices your loop runs over.
#- matrices[1:]
#+ matrices

# %% mistake="khatri_rao" name="kronecker"
# That is the Kronecker product: it also multiplies columns that do not belong together.
# Look at: the number of columns, which must stay R.
#- x = torch.einsum("ir,jr->ijr", x, m).reshape(-1, m.shape[1])
#+ x = torch.kron(x, m)

# %% mistake="khatri_rao" name="reversed"
# Your rows come in another order: you let the first matrix run fastest, as Kolda and Bader's
# unfolding would need. With this course's unfolding the last one does.
# Look at: which row index changes from one row to the next.
def khatri_rao(matrices):
    x = matrices[-1]
    for m in reversed(matrices[:-1]):
        x = (x.unsqueeze(1) * m.unsqueeze(0)).reshape(-1, x.shape[1])
    return x

# %% mistake="khatri_rao" name="first two only"
# You used only the first two matrices.
# Look at: how often your product is repeated.
def khatri_rao(matrices):
    if len(matrices) == 1:
        return matrices[0]
    x, m = matrices[:2]
    return (x.unsqueeze(1) * m.unsqueeze(0)).reshape(-1, x.shape[1])

# %% wrong="khatri_rao" name="every matrix object once"
# A matrix may come again.
#- matrices[1:]
#+ list(dict.fromkeys(matrices))[1:]

# %% wrong="khatri_rao" name="three at most"
# The equations are written out.
def khatri_rao(matrices):
    if len(matrices) == 1:
        return matrices[0]
    equation = {2: "ir,jr->ijr", 3: "ir,jr,kr->ijkr"}[len(matrices)]
    return torch.einsum(equation, *matrices).reshape(-1, matrices[0].shape[1])

# %% wrong="khatri_rao" name="float32 on the way"
# Half numbers become whole ones.
def khatri_rao(matrices):
    x = matrices[0].float()
    for m in matrices[1:]:
        x = torch.einsum("ir,jr->ijr", x, m.float()).reshape(-1, m.shape[1])
    return x.to(torch.float64) if matrices[0].dtype == torch.float64 else x.to(matrices[0].dtype)

# %% wrong="khatri_rao" name="starts with a float"
# Whole numbers become floats.
def khatri_rao(matrices):
    x = torch.ones(1, matrices[0].shape[1], dtype=torch.float64)
    for m in matrices:
        x = (x.unsqueeze(1) * m.unsqueeze(0)).reshape(-1, m.shape[1])
    return x

# %% right="other_factors"
def other_factors(factors, mode):
    others = [factor.contiguous() for k, factor in enumerate(factors) if k != mode]
    product = others[0]
    for factor in others[1:]:
        product = torch.kron(product, factor)
    return product

# %% answer="other_factors" name="reduce"
# functools.reduce over torch.kron.
def other_factors(factors, mode):
    from functools import reduce

    others = [*factors[:mode], *factors[mode + 1 :]]
    return reduce(torch.kron, [factor.contiguous() for factor in others])

# %% answer="other_factors" name="broadcast"
# Four modes, joined two by two; starts from a one of the factors' dtype.
def other_factors(factors, mode):
    big = factors[0].new_ones(1, 1)
    for k, u in enumerate(factors):
        if k != mode:
            (a, b), (c, d) = big.shape, u.shape
            big = (big[:, None, :, None] * u[None, :, None, :]).reshape(a * c, b * d)
    return big

# %% mistake="other_factors" name="reversed"
# Your product runs through the factors from the last to the first. That goes with unfoldings in
# which the first index runs fastest; in ours the last one does.
# Look at: which of the other indices changes from one column of the unfolding to the next.
#- enumerate(factors) if k != mode]
#+ enumerate(factors) if k != mode][::-1]

# %% mistake="other_factors" name="cyclic order"
# Your product starts behind the mode and comes round to the front. Ours takes the other factors in
# their own order, whatever the mode.
# Look at: the first factor of your product when `mode` is 1.
#- for k, factor in enumerate(factors) if k != mode]
#+ for factor in [*factors[mode + 1 :], *factors[:mode]]]

# %% mistake="other_factors" name="every factor"
# Your product holds the mode's own factor too; that one stands at the left of the unfolded core.
# Look at: the number of columns of the unfolded core.
#-  if k != mode]
#+ ]

# %% mistake="other_factors" name="transposed"
# You return the transpose of K.
# Look at: where the T stands in the formula.
#- return product
#+ return product.T

# %% mistake="other_factors" name="mode 0 left out"
# You leave out the first factor whatever `mode` is.
# Look at: whether your product depends on `mode`.
#- != mode
#+ != 0

# %% mistake="other_factors" name="khatri-rao"
# You paired the columns, as the Khatri-Rao product does. A core has an entry for every combination
# of columns.
# Look at: how many columns the unfolded core has.
def other_factors(factors, mode):
    others = [factor for k, factor in enumerate(factors) if k != mode]
    product = others[0]
    for factor in others[1:]:
        product = torch.einsum("ir,jr->ijr", product, factor).flatten(0, 1)
    return product

# %% wrong="other_factors" name="starts with a float32"
# Whatever the factors are.
#- product = others[0]
#-     for factor in others[1:]:
#+ product = torch.ones(1, 1)
#+     for factor in others:

# %% wrong="other_factors" name="contiguous factors"
# torch.kron takes no transposed matrix beside one that is not.
#- factor.contiguous()
#+ factor

# %% wrong="other_factors" name="told by the object"
# One factor may belong to two modes.
#- for k, factor in enumerate(factors) if k != mode]
#+ for factor in factors if factor is not factors[mode]]

# %% wrong="other_factors" name="two others"
# The third one is left out.
#- others[1:]:
#+ others[1:2]:

# %% right="kron_dot"
def kron_dot(matrices, x):
    y = x.reshape(*[matrix.shape[1] for matrix in matrices], x.shape[1])
    y = multi_mode_dot(y, matrices, range(len(matrices)))
    return y.reshape(-1, x.shape[1])

# %% answer="kron_dot" name="from the front"
# Each matrix meets the front mode, and its rows go to the back.
def kron_dot(matrices, x):
    y = x.T
    for matrix in matrices:
        y = y.reshape(x.shape[1], matrix.shape[1], -1)
        y = (matrix @ y).transpose(1, 2)
    return y.reshape(x.shape[1], -1).T

# %% answer="kron_dot" name="tensordot"
# The last mode first.
def kron_dot(matrices, x):
    y = x.reshape([matrix.shape[1] for matrix in matrices] + [-1])
    for k in reversed(range(len(matrices))):
        y = torch.tensordot(y, matrices[k], dims=([k], [1])).movedim(-1, k)
    return y.reshape(-1, x.shape[1])

# %% answer="kron_dot" name="view"
# A view only parts the rows of x, which it can whatever the strides of x.
#- x.reshape(*[
#+ x.view(*[

# %% mistake="kron_dot" name="kronecker built"
# The numbers are right, and a tensor larger than any that is needed was made, such as the big
# matrix itself. (torch.einsum with several operands may make it too: it goes from left to right.)
# Look at: which indices of x each of the small matrices sums over.
def kron_dot(matrices, x):
    big = matrices[0]
    for matrix in matrices[1:]:
        big = torch.kron(big.contiguous(), matrix.contiguous())
    return big @ x

# %% mistake="kron_dot" name="modes reversed"
# You gave the last matrix the first of the modes. In a Kronecker product the last matrix has the
# index that runs fastest.
# Look at: the order of the sizes to which you reshape x.
def kron_dot(matrices, x):
    y = x.reshape(*[matrix.shape[1] for matrix in reversed(matrices)], x.shape[1])
    y = multi_mode_dot(y, matrices[::-1], range(len(matrices)))
    return y.reshape(-1, x.shape[1])

# %% mistake="kron_dot" name="transposed where square"
# You multiply by the transpose of a matrix wherever the sizes allow it.
# Look at: which index of the matrix is summed over.
#- y = multi_mode_dot(y, matrices, range(len(matrices)))
#+ turned = [m.T if m.shape[0] == m.shape[1] else m for m in matrices]
#+     y = multi_mode_dot(y, turned, range(len(matrices)))

# %% mistake="kron_dot" name="first matrix alone"
# You multiplied by the first matrix and returned.
# Look at: how many of the matrices have been used.
#- y, matrices, range(len(matrices))
#+ y, matrices[:1], range(1)

# %% wrong="kron_dot" name="float64 on the way"
# And in the result, whatever came.
#- multi_mode_dot(y, matrices,
#+ multi_mode_dot(y.double(), [matrix.double() for matrix in matrices],

# %% mistake="kron_dot" name="list emptied"
# Your function takes the matrices out of the list that it was given: afterwards the caller's list
# is empty.
# Look at: `pop`, `remove` or `del` on an argument.
def kron_dot(matrices, x):
    y, k = x.reshape(*[matrix.shape[1] for matrix in matrices], x.shape[1]), 0
    while matrices:
        y, k = mode_dot(y, matrices.pop(0), k), k + 1
    return y.reshape(-1, x.shape[1])

# %% wrong="kron_dot" name="sizes of 1 dropped"
# A matrix of one column has an index, too.
#- matrices], x.shape[1])
#+ matrices], x.shape[1]).squeeze()

# %% wrong="kron_dot" name="one column"
# x is taken for a vector.
def kron_dot(matrices, x):
    y = x[:, 0].reshape([matrix.shape[1] for matrix in matrices])
    return multi_mode_dot(y, matrices, range(len(matrices))).reshape(-1, 1)

# %% wrong="kron_dot" name="two matrices"
# The third stays out.
def kron_dot(matrices, x):
    a = matrices[0]
    b = matrices[1] if len(matrices) > 1 else torch.ones(1, 1, dtype=a.dtype)
    y = x.reshape(a.shape[1], b.shape[1], -1)
    return torch.einsum("ai,bj,ijs->abs", a, b, y).reshape(-1, x.shape[1])

# %% wrong="kron_dot" name="half of it built"
# The first half of the matrices as one: too large with four.
def kron_dot(matrices, x):
    half = (len(matrices) + 1) // 2
    parts = []
    for part in (matrices[:half], matrices[half:]):
        big = torch.ones(1, 1, dtype=x.dtype)
        for matrix in part:
            big = torch.kron(big, matrix.contiguous())
        parts.append(big)
    y = x.reshape(parts[0].shape[1], parts[1].shape[1], -1)
    return torch.einsum("ai,bj,ijs->abs", *parts, y).reshape(-1, x.shape[1])

# %% right="mode_dot_equation"
def mode_dot_equation(order, mode):
    letters = "abcdefghij"[:order]
    return f"{letters},z{letters[mode]}->{letters.replace(letters[mode], 'z')}"

# %% answer="mode_dot_equation" name="other letters"
# Capital letters, as torch.einsum takes them too.
def mode_dot_equation(order, mode):
    letters = [chr(ord("A") + k) for k in range(order)]
    out = list(letters)
    out[mode] = "x"
    return "".join(letters) + ", x" + letters[mode] + " -> " + "".join(out)

# %% answer="mode_dot_equation" name="ellipsis"
# An ellipsis for the modes in front.
def mode_dot_equation(order, mode):
    behind = "abcdefghij"[: order - 1 - mode]
    return f"...y{behind},zy->...z{behind}"

# %% mistake="mode_dot_equation" name="operands exchanged"
# Your equation has the letters of the matrix first. torch.einsum gets the tensor first, and then
# the matrix.
# Look at: which letters stand in front of the comma.
def mode_dot_equation(order, mode):
    a = "abcdefghijklm"[:order]
    return f"z{a[mode]},{a}->{a[:mode]}z{a[mode + 1:]}"

# %% mistake="mode_dot_equation" name="new letter at the end"
# The new mode comes at the end of the result: it goes where the old one was.
# Look at: the letters on the right of the arrow, and whether there is an arrow. Without one,
# torch.einsum takes the letters in the order of the alphabet.
def mode_dot_equation(order, mode):
    a = "abcdefghijklm"[:order]
    return f"{a},z{a[mode]}->{a[:mode]}{a[mode + 1:]}z"

# %% mistake="mode_dot_equation" name="new letter in front"
# Your new letter stands in front of the result: the new mode goes where the old one was.
# Look at: the order of the letters of the result.
def mode_dot_equation(order, mode):
    a = "abcdefghijklm"[:order]
    return f"{a},z{a[mode]}->z{a[:mode]}{a[mode + 1:]}"

# %% mistake="mode_dot_equation" name="letter of the matrix exchanged"
# You contract the first index of the matrix; the second one runs along the fiber.
# Look at: the two letters of the matrix.
def mode_dot_equation(order, mode):
    a = "abcdefghijklm"[:order]
    return f"{a},{a[mode]}z->{a[:mode]}z{a[mode + 1:]}"

# %% mistake="mode_dot_equation" name="nothing summed"
# The letter of the old mode is still in the result, so nothing is summed over it.
# Look at: which letters stand on the left of the arrow and not on the right.
def mode_dot_equation(order, mode):
    a = "abcdefghijklm"[:order]
    return f"{a},z{a[mode]}->z{a}"

# %% mistake="mode_dot_equation" name="mode 0 always"
# You contract mode 0 whatever `mode` is.
# Look at: whether your letters depend on `mode`.
def mode_dot_equation(order, mode):
    a = "abcdefghijklm"[:order]
    return f"{a},z{a[0]}->z{a[1:]}"

# %% wrong="mode_dot_equation" name="five letters"
# Orders above 5 have no letters.
def mode_dot_equation(order, mode):
    a = "abcde"[:order]
    return f"{a},z{a[mode]}->{a[:mode]}z{a[mode + 1:]}"

# %% wrong="mode_dot_equation" name="letter taken"
# At order 10 the new letter is one of the old ones.
def mode_dot_equation(order, mode):
    a = "abcdefghij"[:order]
    return f"{a},j{a[mode]}->{a[:mode]}j{a[mode + 1:]}"

# %% right="matrix_product"
def matrix_product():
    return [
        ([1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 1]),
        ([0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 1, -1]),
        ([1, 0, 0, 0], [0, 1, 0, -1], [0, 1, 0, 1]),
        ([0, 0, 0, 1], [-1, 0, 1, 0], [1, 0, 1, 0]),
        ([1, 1, 0, 0], [0, 0, 0, 1], [-1, 1, 0, 0]),
        ([-1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]),
        ([0, 1, 0, -1], [0, 0, 1, 1], [1, 0, 0, 0]),
    ]

# %% answer="matrix_product" name="other signs"
# Two vectors of each triple turned round; lists.
def matrix_product():
    first = [[1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 1]]
    rest = [
        [[0, 0, -1, -1], [1, 0, 0, 0], [0, 0, -1, 1]],
        [[-1, 0, 0, 0], [0, -1, 0, 1], [0, 1, 0, 1]],
        [[0, 0, 0, 2], [-0.5, 0, 0.5, 0], [1, 0, 1, 0]],
        [[1, 1, 0, 0], [0, 0, 0, 1], [-1, 1, 0, 0]],
        [[-1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]],
        [[0, 1, 0, -1], [0, 0, 1, 1], [1, 0, 0, 0]],
    ]
    return rest + [first]

# %% answer="matrix_product" name="transposed"
# (Y^T X^T)^T: what is known of one side holds for the other; as tensors.
def matrix_product():
    def turned(v):
        return torch.tensor(v, dtype=torch.float64).reshape(2, 2).T.flatten()

    known = [
        ([1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 1]),
        ([0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 1, -1]),
        ([1, 0, 0, 0], [0, 1, 0, -1], [0, 1, 0, 1]),
        ([0, 0, 0, 1], [-1, 0, 1, 0], [1, 0, 1, 0]),
        ([1, 1, 0, 0], [0, 0, 0, 1], [-1, 1, 0, 0]),
        ([-1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]),
        ([0, 1, 0, -1], [0, 0, 1, 1], [1, 0, 0, 0]),
    ]
    return [(turned(b), turned(a), turned(c)) for a, b, c in known]

# %% mistake="matrix_product" name="eight products"
# All is right, with more than seven products.
# Look at: sums of entries as factors, as in the product of complex numbers.
def matrix_product():
    unit = torch.eye(4).tolist()
    return [
        (unit[2 * i + k], unit[2 * k + j], unit[2 * i + j])
        for i in range(2)
        for j in range(2)
        for k in range(2)
    ]

# %% mistake="matrix_product" name="entries of one place"
# You multiplied the entries of X and of Y that stand at the same place. A product of matrices sums
# over the column of X and the row of Y.
# Look at: which entries of X and Y meet in Z[0, 1].
def matrix_product():
    unit = torch.eye(4).tolist()
    return [(e, e, e) for e in unit]

# %% mistake="matrix_product" name="nothing yet"
# You return no product at all.
# Look at: the example: what it stands for.
def matrix_product():
    return []

# %% wrong="matrix_product" name="rounded"
# Nearly right, as a search leaves it.
#- [0, 1, 0, -1], [0, 0, 1, 1], [1, 0, 0, 0]
#+ [0, 1.4142, 0, -1.4142], [0, 0, 0.7071, 0.7071], [1, 0, 0, 0]

# %% wrong="matrix_product" name="one sign"
# The last of Strassen's with a plus.
#- [0, 1, 0, -1], [0, 0
#+ [0, 1, 0, 1], [0, 0

# %% mistake="quiz_order" name="a"
# 4 is the size of the last mode.
# Look at: how many numbers you need to point at one entry.
quiz_order = "a"

# %% mistake="quiz_order" name="b"
# You gave the rank. It is 1, since the tensor is an outer product, but the order counts modes.
# Look at: how many numbers you need to point at one entry.
quiz_order = "b"

# %% mistake="quiz_order" name="d"
# 24 is the number of entries.
# Look at: how many numbers you need to point at one entry.
quiz_order = "d"
