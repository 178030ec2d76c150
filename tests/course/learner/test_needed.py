"""Which cells an answer needs: never one too few."""

import pytest

from trlkit.course.learner.needed import makes, needed

CHANGES = {  # what comes before the answer, and must run, though it does not make its names
    "an entry": ["layers = [0]", "layers[0] = 1"],
    "a method": ["layers = []", "layers.append(1)"],
    "an augmented assignment": ["layers = []", "layers += [1]"],
    "an attribute": ["import torch as layers", "layers.rank = 3"],
    "an argument": ["layers = []", "def grow(x):\n    x.append(1)", "grow(layers)"],
    "a deletion": ["layers = [1]", "del layers[0]"],
    "a function that changes it": ["layers = []", "def grow():\n    layers.append(1)", "grow()"],
    "through two functions": [
        "layers = []",
        "def grow():\n    layers.append(1)",
        "def both():\n    grow()",
        "both()",
    ],
    "a global": ["def set_up():\n    global layers\n    layers = [1]", "set_up()"],
    "a class that changes it": [
        "layers = []",
        "class Grow:\n    def __init__(self):\n        layers.append(1)",
        "Grow()",
    ],
    "a decorator": ["layers = []", "def keep(f):\n    layers.append(f)", "@keep\ndef g(): pass"],
    "a lambda": ["layers = []", "grow = lambda: layers.append(1)", "grow()"],
    "a lambda called at once": ["layers = []", "(lambda: layers.append(1))()"],
    "another name": ["layers = []", "same = layers", "same.append(1)"],
    "a part of it": ["layers = [[]]", "first = layers[0]", "first.append(1)"],
    "a loop over it": ["layers = [[]]", "for one, _ in zip(layers, range(1)):\n    one.append(1)"],
    "a comprehension": ["layers = [[]]", "[one.append(1) for one in layers]"],
    "a condition": ["import sys", "if sys.argv:\n    layers = [1]\nelse:\n    layers = [2]"],
    "a walrus": ["print(layers := [1])"],
    "a star": ["from math import *", "layers = pi"],
    "magics": ["%matplotlib inline\nlayers = 1", "lines = !ls\nlayers = lines"],
    "a timed cell": ["%%time\nlayers = [1]"],
    "a timed line": ["%time layers = [1]"],
    "a captured cell": ["%%capture out\nlayers = [1]"],
    "another file's run": ["%run helpers.py"],
    "the shell's names": ["get_ipython().user_ns['layers'] = 1"],
    "the module's names": ["import sys", "sys.modules['__main__'].layers = 1"],
    "exec by another name": ["import builtins as b", "b.exec('layers = 1')"],
    "exec in a function": ["def make():\n    exec('layers = 1', globals())", "make()"],
    "globals in a function": ["def make():\n    globals()['layers'] = 1", "make()"],
    "a loop's name": ["for layers in range(3): pass"],
    "a with's name": ["with open('x') as layers: pass"],
    "an except's name": ["try:\n    1 / 0\nexcept Exception as e:\n    layers = e"],
    "a try": ["try:\n    import fast as layers\nexcept ImportError:\n    layers = None"],
    "a match": ["match [1]:\n    case [*layers]: pass"],
    "a loop over attributes": ["layers = make", "for layers.rank in range(3): pass"],
    "a class's body": ["layers = []", "class Grow:\n    layers.append(1)"],
    "a method of a class": [
        "layers = []",
        "class Grow:\n    def go(self):\n        layers.append(1)",
        "grow = Grow()",
        "grow.go()",
    ],
    "a patch in a function": ["import torch as layers", "def p():\n    layers.relu = None", "p()"],
    "a setting in a function": [
        "import torch",
        "def double():\n    torch.set_default_dtype(torch.float64)",
        "double()",
        "layers = torch.ones(3)",
    ],
    "a setting by its own name": [
        "from torch import set_default_device",
        "set_default_device('meta')",
        "layers = 1",
    ],
    "a partial": [
        "from functools import partial",
        "layers = []",
        "grow = partial(layers.append, 1)",
        "grow()",
    ],
    "a bound method": ["layers = []", "grow = layers.append", "grow(1)"],
    "an entry elsewhere": ["layers = []", "kept = {'a': layers}", "kept['a'].append(1)"],
    "a lambda elsewhere": ["layers = []", "t = {'g': lambda: layers.append(1)}", "t['g']()"],
    "a default": ["layers = []", "def grow(x=layers):\n    x.append(1)", "grow()"],
    "a backward pass": ["layers = weights()", "loss = layers.sum()", "loss.backward()"],
    "an optimizer": ["layers = net()", "steps = optim.SGD(layers.parameters())", "steps.step()"],
    "twice": ["layers = 1", "layers = 2"],
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_cell_that_changes_what_an_answer_uses_runs(what):
    cells = [*CHANGES[what], "def answer(x):\n    return layers"]
    assert needed(cells, ["answer"]) == set(range(len(cells)))


@pytest.mark.parametrize(
    "cell",
    [
        "import torch\ntorch.manual_seed(0)",
        "torch.set_default_dtype(torch.float64)",
        "exec(text)",
        "from helpers import *",
    ],
)
def test_a_cell_that_changes_what_nobody_names_runs(cell):
    assert needed([cell, "def answer(x):\n    return x"], ["answer"]) == {0, 1}


@pytest.mark.parametrize(
    "cell",
    ["%%time\nhistory = train()", "%timeit answer(3)", "!ls", "%%bash\nls", "%matplotlib inline"],
)
def test_a_magic_that_changes_nothing_is_no_reason_to_run(cell):
    assert needed([cell, "def answer(x):\n    return x"], ["answer"]) == {1}


def test_a_method_makes_no_name_of_the_notebook():
    assert makes("class Layer:\n    import math\n    def forward(self): pass") == {"Layer"}


def test_what_is_defined_later_or_used_as_a_default_or_base_runs():
    cells = ["size = 3", "def answer(x, n=size):\n    return helper(x)", "class Base: pass",
             "class helper(Base):\n    pass"]  # fmt: skip
    assert needed(cells, ["answer"]) == {0, 1, 2, 3}


def test_cells_that_explore_and_train_do_not_run():
    cells = [
        "import torch",
        "images = load()",
        "def answer(x):\n    rows = [row for row in x]\n    return torch.stack(rows)",
        "def train(data):\n    for step in range(1000):\n        answer(data)",
        "torch.manual_seed(0)\nhistory = train(images)",
        "print(answer(images))",
        "rows = 3",
    ]
    assert needed(cells, ["answer"]) == {0, 2}


def test_a_cell_that_does_not_parse_is_needed_for_the_name_that_it_starts_to_define():
    cells = ["def answer(x:\n    return x", "this is no python", "def other(:\n    pass"]
    assert needed(cells, ["answer"]) == {0}


def test_a_cell_that_does_too_much_runs():
    helper = "def helper(x):\n    return x\nhistory = train(helper)"
    cells = [helper, "def answer(x):\n    return helper(x)"]
    assert needed(cells, ["answer"]) == {0, 1}
