"""What a learner's process may say to the grader: nothing of it wins a point, or stops a run."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from filled import ROOT, filled, solutions
from hostile import LINE, call, cell
from nbformat import writes

from trlkit.course.chapters.ch04_cp_trl import checks as ch04
from trlkit.course.teacher.grade import Rules, grade
from trlkit.course.teacher.letters import letters
from trlkit.course.teacher.sandbox import Limits, NoSandbox, Sandbox, probe
from trlkit.course.teacher.submissions import Submission
from trlkit.course.teacher.wire import Late
from trlkit.lab import capstone

LIMITS = Limits(memory=400_000_000, disk=32_000_000, seconds=60)
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


@pytest.fixture(scope="module")
def rules():
    rules = Rules("a secret of this test", letters(ROOT / "solutions"), LIMITS)
    return replace(rules, cell_seconds=6.0, exercise_seconds=6.0, submission_seconds=120.0)


@pytest.fixture(scope="module")
def sandbox():
    try:
        probe()
    except NoSandbox as error:
        pytest.skip(str(error))
    with Sandbox(LIMITS) as made:
        yield made


def submission(answers, chapter="01_tensors"):
    return Submission("mallory", chapter, writes(filled(chapter, answers)).encode())


def state():
    return (
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(),
        random.getstate(),
        str(np.random.get_state()),
    )


def points(record):
    return {row.exercise: row.points for row in record.rows if row.points}


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


def test_what_a_head_is_given_is_a_copy():
    for made in (capstone.activations, lambda: capstone.part("second half").tensors, ch04.digits):
        before = [tensor.clone() for tensor in made()]
        for tensor in made():
            tensor.zero_()
        assert all(map(torch.equal, before, made()))


def test_a_grader_that_is_kept_busy_stops(sandbox, monkeypatch):
    monkeypatch.setattr("trlkit.course.teacher.sandbox.GRACE", 0.1)
    with sandbox.fork("01_tensors") as child, pytest.raises(Late), child.within(0.2):
        while True:
            pass
