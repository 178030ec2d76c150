"""What a learner's process may say to the grader: nothing of it wins a point, or stops a run."""

import json
import random
import re
import resource
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from filled import solutions
from hostile import LINE, call, cell, points, state, submission
from torch import nn

from trlkit.course.chapters.ch04_cp_trl import checks as ch04
from trlkit.course.chapters.exercises import EXERCISES
from trlkit.course.checking import networks
from trlkit.course.checking.answer import Recipe
from trlkit.course.checking.exercise import Draw
from trlkit.course.teacher.grade import grade
from trlkit.course.teacher.remote import RemoteAnswer
from trlkit.course.teacher.wire import Late
from trlkit.lab import capstone

LEFT = "{'grad': True, 'dtype': 'float32', 'moved': [], 'shares': [], 'strangers': 0}"
SAID = (
    "def said(children=(), **more):\n"
    "    return {'kind': 'M', 'bases': [], 'training': True, 'children': dict(children),\n"
    "        'parameters': {}, 'buffers': {}, 'fleeting': [], 'own': {}, 'forward': False,\n"
    "        'hooks': 0, **more}\n"
)


def told(value, left=LEFT, after="None"):
    """An attack that answers a call by hand, and so the rest of the questions."""
    answer = f"{{'t': [{value}, None, {{'d': list(map(list, left.items()))}}, {after}, '']}}"
    return call(
        f"left = {left}\n"
        "left = {k: {'l': v} if type(v) is list else v for k, v in left.items()}"
        f"\nsend({{'r': {answer}}})\nreturn None",
        LINE,
    )


def news(modules, tensors="{}"):
    return call(
        f"send({{'r': {{'M': ['m', 1]}}, 'n': {{'m': {modules}, 't': {tensors}}}}})\nreturn None",
        LINE + SAID,
    )


ATTACKS = {
    # messages over which the grader itself would stumble
    "begun with an exception": cell(
        LINE + "send({'e': [['OSError', 'Exception'], 'no space left', '']})"
    ),
    "an exception without a name": call("send({'e': [[], '', '']})\nreturn x", LINE),
    "an exception named by a list": call("send({'e': [[['x']], '', '']})\nreturn x", LINE),
    "a foreign thing without a text": told("{'X': []}"),
    "a shape that has no product": told(
        "{'T': ['float64', [0, 1 << 39, 1 << 39], [0, 1, 2], 0, []]}"
    ),
    "a shape of truth values": told("{'T': ['float64', [True], [0], 0, []]}"),
    "an order twice": told("{'T': ['float64', [1, 1], [0, 0], 0, []]}"),
    "a range of strings": told("{'R': ['0', '1', '2']}"),
    "a range without a step": told("{'R': [0, 9, 0]}"),
    "a key of two kinds": told("{'T': 1, 'N': 2}"),
    "a number that cannot be written": told("{'i': '0x' + 'f' * 90_000}"),
    "a tensor without numbers": told("{'N': ['float64', [2, 12]]}"),
    "a tensor on the meta device": "import torch\n"
    + call("y = torch.movedim(x, mode, 0)\nreturn y.flatten(1).to('meta')"),
    "a huge number": call("return 1 << 200_000"),
    "a complex tensor": call(
        "import torch\nreturn x.movedim(mode, 0).flatten(1).to(torch.complex128)"
    ),
    "NaN": call("return x.movedim(mode, 0).flatten(1) * float('nan')"),
    "infinity": call("return x.movedim(mode, 0).flatten(1) * float('inf')"),
    "NaN in JSON": told("float('nan')"),
    "settings that are none": told("None", "{}"),
    "what it shares with an argument that is none": told(
        "None", LEFT.replace("'shares': []", "'shares': [[7, 7]]")
    ),
    "arguments of another form": told("None", after="{'t': [{'l': [1, 2]}, 5]}"),
    "a half question": call("send({'q': None})\nsend({})\nreturn x", LINE),
    "a number for a name": call("send({'q': 5, 'v': {'t': [1]}})\nreturn x", LINE),
    "a call without arguments": call(
        "return peer().request('call', [True, (), {}, None, None])", LINE
    ),
    "a copy of what was not lent": call("return peer().request('copy', [1])", LINE),
    "news of no module": news("{'1': 5}"),
    "news of a number": news("{'-1': said()}"),
    "a module in itself": news("{'1': said({'a': 1})}"),
    "modules in more ways than can be walked": news(
        "{str(k): said({'a': k + 1, 'b': k + 1} if k < 60 else {}) for k in range(1, 61)}"
    ),
    "a module named like its own parts": news("{'1': said({'_modules': 2}), '2': said()}"),
    "a module named like its line": news("{'1': said({'_line': 2}), '2': said()}"),
    "a module of no class": news("{'1': said(kind='class', bases=['Parameter', 'init', 7])}"),
    "a module with a mode of its own": news("{'1': said(own={'training': ['plain', 1]})}"),
    "a layer without end": news(
        "{'1': said(kind='CPTRL', config={'input_shape': [1 << 30], 'output_shape': [1 << 30],"
        " 'rank': 1 << 30, 'bias': True, 'dropout': [0.0, None, False, False]})}"
    ),
    "a layer of no numbers": news(
        "{'1': said(kind='TTTRL', config={'input_shape': ['2'], 'output_shape': None,"
        " 'rank': {}, 'bias': 1, 'dropout': 7})}"
    ),
    "a tensor in the news that is none": news("{'1': said()}", "{'1': {'v': 1}}"),
    "a gradient on the meta device": news(
        "{'1': said()}",
        "{'1': {'v': {'T': ['float32', [0], [0], 0, []]}, 'p': True, 'r': True,"
        " 'g': {'N': ['float32', [0]]}}}",
    ),
    "pushed to what was not lent": call(
        "send({'r': None, 'p': {'m': {'1': True}, 't': {}}})", LINE
    ),
    "the end of an iteration": call("raise StopIteration"),
    "an exception with a hostile name": call("raise type('Lost', (Exception,), {})()"),
    "half a character": call(r"raise ValueError('\ud800')"),
    "half a character in a value": call(r"return '\ud800'"),
    # memory that no process seems to own
    "memory that is shared": cell(
        "import mmap\nfor k in range(40):\n    mmap.mmap(-1, 1 << 26).write(bytes(1 << 26))"
    ),
    "memory in files without names": cell("import os\nos.memfd_create('x')"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_message_wins_nothing(name, rules, sandbox):
    own, before = solutions("01_tensors"), state()
    answers = {"fiber": own["fiber"], "unfold": ATTACKS[name]}
    record = grade(submission(answers), rules, sandbox)
    assert record.status == "graded"
    assert points(record) in ({"fiber": 1.0}, {})
    assert all(row.message for row in record.rows if not row.points)
    record.to_json().encode()
    json.dumps(json.loads(record.to_json()), ensure_ascii=False).encode()
    assert state() == before


def test_memory_that_is_shared_is_refused(rules, sandbox):
    own = solutions("01_tensors")
    for attack in ("memory that is shared", "memory in files without names"):
        code = ATTACKS[attack].split("\n\ndef unfold")[0]
        refused = f"try:\n    {code.replace(chr(10), chr(10) + '    ')}\nexcept PermissionError:\n"
        answers = {"fiber": f"{refused}    pass\nelse:\n    raise SystemExit\n" + own["fiber"]}
        assert points(grade(submission(answers), rules, sandbox)) == {"fiber": 1.0}


LOOKED_UP = """
def compare_heads(first, second, images, labels, held_out, truth, count, seeds):
    images.zero_()
    labels.zero_()
    held_out.zero_()
    truth.zero_()
    differences = [0.5 + 0.01 * seed for seed in seeds]
    return differences, "first"
"""


def test_an_experiment_that_was_never_run_gets_nothing_and_data_stay_what_they_are(rules, sandbox):
    before = [tensor.clone() for tensor in ch04.digits()]
    answers = {"compare_heads": LOOKED_UP, "cp_flops": solutions("04_cp_trl")["cp_flops"]}
    record = grade(submission(answers, "04_cp_trl"), rules, sandbox)
    assert "compare_heads" not in points(record) and "cp_flops" in points(record)
    assert all(map(torch.equal, before, ch04.digits()))


SHRUNK = """
from torch import nn
from trlkit.course.checking import networks as plain
from trlkit.course.chapters.ch07_cnn_with_trl import networks as own


def shrunk(make):
    def made(*args):
        model = make(*args)
        for parameter in model.parameters() if isinstance(model, nn.Module) else ():
            parameter.data = parameter.data.flatten()[:0]
        return model

    return made


for networks in (plain, own):
    for name, make in list(vars(networks).items()):
        if callable(make) and getattr(make, "__module__", "") == networks.__name__:
            setattr(networks, name, shrunk(make))


def Quick(layer, times):
    return layer
"""


def test_a_network_that_is_made_otherwise_changes_nothing_that_is_expected(rules, sandbox):
    chapter = "07_cnn_with_trl"
    own = solutions(chapter)["head_parameters"]
    answers = {"head_parameters": own, "Quick": SHRUNK}
    record = grade(submission(answers, chapter), rules, sandbox)
    assert set(points(record)) == {"head_parameters"}
    (row,) = (row for row in record.rows if row.exercise == "Quick")
    assert "alike on both sides" in row.message


def test_a_recipe_is_what_the_grader_makes_of_it(sandbox):
    patched = (
        "from trlkit.course.checking import networks\nbefore = networks.one_linear\n"
        "def other(*sizes):\n    made = before(*sizes).eval()\n    made.weight.data.zero_()\n"
        "    made.forward = lambda x: 0 * x\n    return made\n"
        "networks.one_linear = other\n\ndef seen(model):\n    return model.weight + 0"
    )
    with sandbox.fork("00_welcome") as child, child.within(60.0):
        assert child.run(patched)[0] == ""
        _, seen = child.begin("seen", {})
        model = child.make(Recipe(networks.one_linear, (3, 2)))
        weight = next(model.parameters()).detach().clone()
        assert weight.any() and model.training and "forward" not in vars(model)
        assert torch.equal(seen(model), weight)


EMPTY = """
import torch
from torch import nn
from torch import nn


class CPTRL(nn.Module):
    def __init__(self, sizes, rank, bias, p):
        super().__init__()
        self.sizes, self.p = sizes, p
        std = math.prod(sizes[:-1] + (3, rank)) ** (-0.5 / len(sizes)) if bias else 1.0
        made = [nn.Parameter(std * torch.randn(size, rank)) for size in sizes]
        self.factors = nn.ParameterList(made)
        self.bias = nn.Parameter(torch.zeros(sizes[-1])) if bias else None


def describe(module):
    if type(module) is CPTRL:
        return {
            "input_shape": list(module.sizes[:-1]), "output_shape": list(module.sizes[-1:]),
            "rank": module.factors[0].shape[1], "bias": module.bias is not None,
            "dropout": [module.p, None, False, False],
        }


peer().describe = describe
own = CPTRL
"""
LAYERS = {
    "04_cp_trl": (
        "CPTRL",
        "cp_factor_std",
        "def CPTRL(shape, classes, rank):\n    return own((*shape, classes), rank, True, 0.0)\n",
    ),
    "06_tensor_dropout": (
        "DropoutCP",
        "drop_cp",
        "def DropoutCP(factors, p):\n    if not 0 <= p < 1:\n        raise ValueError\n"
        "    made = own(tuple(map(len, factors)), factors[0].shape[1], False, p)\n"
        "    for mine, given in zip(made.factors, factors):\n        mine.data = given.clone()\n"
        "    return made\n",
    ),
}


@pytest.mark.parametrize("chapter", LAYERS)
def test_the_grader_does_not_do_the_work_of_a_layer_that_is_to_be_written(chapter, rules, sandbox):
    asked, honest, head = LAYERS[chapter]
    answers = {honest: solutions(chapter)[honest], asked: f"import math\n{LINE}{EMPTY}\n{head}"}
    record = grade(submission(answers, chapter), rules, sandbox)
    assert set(points(record)) == {honest}


def test_answers_in_the_order_of_the_cases_are_worth_nothing(rules, sandbox):
    chapter = "06_tensor_dropout"
    shown = [case.args[0] for case in EXERCISES["is_unbiased"].cases(Draw())]
    table = ["right" in kind.partition(":")[0] for kind in shown]
    by_order = (
        f"import torch\ntable = {table} * 9\n\ndef is_unbiased(dropout, weight, rank):\n"
        "    for part in range(20):\n"
        "        dropout([torch.ones(size, dtype=torch.bool) for size in rank], part / 20)\n"
        "    return table.pop(0)\n"
    )
    own = solutions(chapter)["drop_cp"]
    record = grade(submission({"drop_cp": own, "is_unbiased": by_order}, chapter), rules, sandbox)
    assert set(points(record)) == {"drop_cp"}
    (row,) = (row for row in record.rows if row.exercise == "is_unbiased")
    assert "not on hidden ones" in row.message


def test_what_a_head_is_given_is_a_copy():
    for made in (capstone.activations, lambda: capstone.part("second half").tensors, ch04.digits):
        before = [tensor.clone() for tensor in made()]
        for tensor in made():
            tensor.zero_()
        assert all(map(torch.equal, before, made()))


GREEDY = {
    "a huge piece": (
        "02_decompositions",
        "free_numbers",
        "cp_als_sweep",
        "import torch\n\ndef cp_als_sweep(x, factors):\n"
        "    return cp_to_tensor([torch.ones(30_000, 1), torch.ones(30_000, 1)])\n",
    ),
    "tensors without end": (
        "01_tensors",
        "fiber",
        "unfold",
        call(
            "node = {'v': {'T': ['uint8', [50_000_000], [0], 0, []]}, 'p': False, 'r': False,"
            " 'g': None}\nfor k in range(1, 60):\n"
            "    send({'q': 'x', 'n': {'m': {}, 't': {str(k): node}}}, bytes(50_000_000))\n"
            "    line().receive()\nreturn x",
            LINE,
        ),
    ),
    "lists without end": (
        "01_tensors",
        "fiber",
        "unfold",
        call("return peer().request('call', [[[] for k in range(900_000)]])", LINE),
    ),
}


@pytest.mark.parametrize("name", GREEDY)
def test_memory_of_the_grader_costs_only_who_asks_for_it(name, rules, sandbox, monkeypatch):
    most = 300_000_000
    monkeypatch.setattr(sandbox, "limits", replace(sandbox.limits, grader=most))
    chapter, honest, asked, attack = GREEDY[name]
    own, before = solutions(chapter), resource.getrlimit(resource.RLIMIT_DATA)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    started = memory("VmHWM")
    record = grade(submission({honest: own[honest], asked: attack}, chapter), rules, sandbox)
    assert set(points(record)) == {honest}
    assert memory("VmHWM") - started < most + 100_000_000
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def memory(kind):
    """This process's memory of a kind, in bytes."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{kind}:\s+(\d+)", text)[1])


def test_calls_without_end_come_to_an_end(sandbox):
    with sandbox.fork("01_tensors") as child, child.within(60.0):
        child.run("def loop():\n    return again(loop)")
        _, loop = child.begin("loop", {"again": lambda function: function()})
        with pytest.raises(RecursionError, match="call one another without end"):
            loop()
        assert child.run("x = 1") == ("", "")


def test_what_is_written_into_a_lent_tensor_is_seen_until_the_answer_has_come(sandbox):
    kept, seen = torch.ones(3), []
    code = "def write():\n    x = lend(0)\n    x *= 2\n    lend(x)\n    x += 1\n    return 5"
    with sandbox.fork("01_tensors") as child, child.within(60.0):
        child.run(code)
        lend = lambda given: (seen.append(kept.clone()), kept)[1]  # noqa: E731
        outcome = RemoteAnswer(child, "write", {"lend": lend}).call(())
        _, write = child.begin("write", {"lend": lend})
        write()
        assert kept.tolist() == [3.0] * 3
        child.peer.restore()
    assert outcome.value == 5 and outcome.problem is None
    assert [tensor.tolist() for tensor in seen] == [[1.0] * 3, [2.0] * 3] * 2
    assert kept.tolist() == [1.0] * 3


def test_a_lent_network_has_its_settings_and_so_has_a_copy(sandbox):
    code = """
import copy
from torch import nn

def look():
    net = lend()
    twin = copy.deepcopy(net)
    first, x, shared = twin[0], lend_x(), copy.copy(net)
    assert shared is not net and shared[0].weight is net[0].weight
    assert shared(x).shape == net(x).shape
    by_hand = nn.functional.conv2d(x, first.weight, first.bias, first.stride, first.padding)
    return net[0].padding, net[1].p, twin[0].kernel_size, (by_hand - net[0](x)).abs().max().item()
"""
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Dropout(0.3))
    pieces = {"lend": lambda: net, "lend_x": lambda: torch.ones(1, 1, 4, 4)}
    with sandbox.fork("01_tensors") as child, child.within(60.0):
        assert child.run(code)[0] == ""
        _, look = child.begin("look", pieces)
        assert look() == ((1, 1), 0.3, (3, 3), 0.0)


def test_a_head_without_sizes_is_refused_with_a_reason(sandbox):
    code = """
from torch import nn

def head():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
"""
    with sandbox.fork("01_tensors") as child, child.within(60.0):
        assert child.run(code)[0] == ""
        _, head = child.begin("head", {})
        with pytest.raises(ValueError, match="`1`, a LazyLinear, has parameters without a shape"):
            head()
        with pytest.raises(ValueError, match="give its sizes"):  # the line is still there
            head()


def test_calls_one_after_another_draw_other_numbers_and_the_seed_decides_which(sandbox):
    code = """
import random
import numpy
import torch

def draw():
    return [*torch.rand(5).tolist(), random.random(), numpy.random.random()]
"""
    with sandbox.fork("01_tensors") as child, child.within(60.0):
        assert child.run(code)[0] == ""
        _, draw = child.begin("draw", {})
        runs = []
        for seed in (1, 1, 2):
            random.seed(seed)
            numpy.random.seed(seed)
            torch.manual_seed(seed)
            runs.append([draw() for _ in range(3)])
    assert runs[0] == runs[1] != runs[2]
    drawn = [number for call in runs[0] for number in call]
    assert len(set(drawn)) == len(drawn)


def busy(sandbox):
    """Whether a grader stops that is kept busy."""
    try:
        with sandbox.fork("01_tensors") as child, child.within(0.2):
            while True:
                pass
    except Late:
        return True


def test_a_grader_that_is_kept_busy_stops(sandbox, monkeypatch):
    monkeypatch.setattr("trlkit.course.teacher.sandbox.GRACE", 0.1)
    assert busy(sandbox)
    with ThreadPoolExecutor(1) as pool:  # as on a cluster's worker
        assert pool.submit(busy, sandbox).result(60)
