# ruff: noqa: E501
"""Submissions to chapter 01 that want more points than their work is worth, or do harm.

Each attack is code: that of the cell in which `unfold` should stand, unless it says otherwise.
The honest work beside it is `fiber`, 1 point.
"""

import hashlib
import json
import random

import numpy as np
import torch
from filled import filled

from trlkit.course.teacher.submissions import Submission

CHAPTER = "01_tensors"
STUB = "\n\ndef unfold(x, mode):\n    raise NotImplementedError\n"
LINE = """
import gc, json, struct
def line():
    return next(o for o in gc.get_objects() if type(o).__name__ == "Line")
def peer():
    return next(o for o in gc.get_objects() if type(o).__name__ == "Peer")
def send(tree, data=b"", size=None, length=None):
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    length = len(text) if length is None else length
    size = len(data) if size is None else size
    line().sock.sendall(struct.pack("<4sII", b"TRL1", length, size) + text + data)
"""


def call(body: str, before: str = "") -> str:
    """An attack that is made when the answer is called."""
    lines = "\n".join("    " + line for line in body.strip("\n").split("\n"))
    return f"{before}\ndef unfold(x, mode):\n{lines}\n"


def cell(code: str) -> str:
    """An attack that is made when the cell runs."""
    return code + STUB


ATTACKS = {
    # the checks and what is behind them
    "a check that does nothing": cell(
        "import trlkit.course\ncheck = lambda *a, **k: None\ntrlkit.course.check = check"
    ),
    "every report passed": cell(
        "from trlkit.course.checking import report\nreport.Report.passed = True"
    ),
    "no difference": cell(
        "from trlkit.course.checking import exercise, compare\n"
        "exercise.difference = compare.difference = lambda *a: None"
    ),
    "no cases": cell(
        "from trlkit.course.chapters.exercises import EXERCISES\n"
        "for e in EXERCISES.values():\n    object.__setattr__(e, 'cases', lambda draw: [])"
    ),
    "the oracle imported": "from trlkit.course.chapters.ch01_tensors.checks import unfold",
    "the oracle called": call(
        "from trlkit.course.chapters.ch01_tensors import checks\nreturn checks.unfold(x, mode)"
    ),
    "the bank of answers": cell("from trlkit.course.chapters import bank\nbank.answers('right')"),
    "trlkit's own": call("import trlkit\nreturn trlkit.unfold(x, mode)"),
    "trlkit's own in a thread": call(
        "import threading, trlkit\nfound = []\n"
        "t = threading.Thread(target=lambda: found.append(trlkit.unfold(x, mode)))\n"
        "t.start(); t.join()\nreturn found[0]"
    ),
    "trlkit's file": call(
        "import trlkit, pathlib\nspace = {}\n"
        "exec((pathlib.Path(trlkit.__file__).parent / 'tensors.py').read_text(), space)\n"
        "return space['unfold'](x, mode)"
    ),
    "tensorly's": call("import tensorly\nreturn tensorly.unfold(x, mode)"),
    "tensorly's file": call(
        "import pathlib, torch, sys\n"
        "file = next(pathlib.Path(p).glob('tensorly/base.py') for p in sys.path)\n"
        "space = {}\nexec(next(file).read_text(), space)\nreturn space['unfold'](x, mode)"
    ),
    "right": call("return RIGHT", "from trlkit.course.checking.answer import RIGHT"),
    "an empty verdict": call(
        "return Verdict('')", "from trlkit.course.checking.answer import Verdict"
    ),
    "a tensor by name": call(
        "import torch\nclass T:\n    __class__ = torch.Tensor\n    shape, dtype = (), x.dtype\n"
        "return T()"
    ),
    "equal to everything": call(
        "class T:\n    __eq__ = lambda s, o: True\n    __hash__ = lambda s: 0\nreturn T()"
    ),
    "torch.where": cell("import torch\ntorch.where = torch.equal = lambda *a, **k: True"),
    "torch.allclose": cell("import torch\ntorch.allclose = torch.isclose = lambda *a, **k: True"),
    "frames": call(
        "import sys\nframe = sys._getframe()\nwhile frame:\n"
        "    for value in list(frame.f_locals.values()):\n"
        "        if getattr(value, 'expected', None) is not None:\n            return value.expected\n"
        "    frame = frame.f_back\nreturn 0"
    ),
    "gc": call(
        "import gc, torch\nfor o in gc.get_objects():\n"
        "    if getattr(o, '__name__', '') in ('unfold', 'fiber_positions') and o is not unfold:\n"
        "        return o(x, mode)\nreturn 0"
    ),
    "a tracer": cell("import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)"),
    "every exception swallowed": call(
        "import builtins\nbuiltins.BaseException = Exception\nreturn None"
    ),
    "input transformers": cell(
        "get_ipython().input_transformers_cleanup.append(lambda lines: ['pass'])"
    ),
    # the line to the grader
    "a forged answer, then the end": cell(
        LINE + "import os\nsend({'r': {'t': ['', '']}})\nos._exit(0)"
    ),
    "forged answers in advance": cell(LINE + "for k in range(50):\n    send({'r': True})"),
    "an answer twice": call("send({'r': None})\nreturn x", LINE),
    "never an answer": call("import time\nwhile True:\n    time.sleep(1)"),
    "a length that lies": call("send(b'{}', length=4_000_000_000)\nreturn x", LINE),
    "buffers that lie": call("send({'r': None}, size=4_000_000_000)\nreturn x", LINE),
    "too few buffers": call(
        "send({'r': {'t': [{'T': ['float64', [9, 9], [0, 1], 0, []]}, None, {'grad': True, 'dtype': "
        "'float64', 'moved': [], 'shares': []}, None, '']}})\nreturn x",
        LINE,
    ),
    "negative sizes": call(
        "send({'r': {'T': ['float64', [-1, -8], [0, 1], 0, []]}}, bytes(64))\nreturn x", LINE
    ),
    "a shape without end": call(
        "send({'r': {'T': ['float64', [1 << 39, 1 << 39], [0, 1], 0, []]}})\nreturn x", LINE
    ),
    "a dtype that is none": call(
        "send({'r': {'T': ['__class__', [1], [0], 0, []]}}, bytes(8))\nreturn x", LINE
    ),
    "nested without end": call("send(b'[' * 100_000 + b']' * 100_000)\nreturn x", LINE),
    "values nested without end": call(
        "tree = None\nfor k in range(900):\n    tree = {'l': [tree]}\nsend({'r': tree})\nreturn x",
        LINE,
    ),
    "no JSON": call("send(b'\\xff\\x00{')\nreturn x", LINE),
    "an integer without end": call("send(b'{\"r\": ' + b'9' * 1_000_000 + b'}')\nreturn x", LINE),
    "an integer in hexadecimal": call("send({'r': {'i': '0x' + 'f' * 9_000_000}})\nreturn x", LINE),
    "a list for a key": call("send({'r': {'d': [[{'l': []}, 1]]}})\nreturn x", LINE),
    "a function that was not lent": call("send({'r': {'F': ['y', 1]}})\nreturn x", LINE),
    "a module that was not lent": call("send({'r': {'M': ['y', 7]}})\nreturn x", LINE),
    "news of modules without end": call(
        "said = {'kind': 'M', 'bases': [], 'training': True, 'children': {}, 'parameters': {}, "
        "'buffers': {}, 'fleeting': [], 'own': {}, 'forward': False, 'hooks': 0}\n"
        "send({'r': None, 'n': {'m': {str(k): said for k in range(1, 20_000)}, 't': {}}})\nreturn x",
        LINE,
    ),
    "attributes of the grader's modules": call(
        "said = {'kind': 'M', 'bases': [], 'training': True, 'children': {}, 'parameters': {}, "
        "'buffers': {}, 'fleeting': [], 'own': {'__class__': ['plain', 1], 'forward': ['plain', 1]},"
        " 'forward': False, 'hooks': 0}\n"
        "send({'r': {'M': ['m', 1]}, 'n': {'m': {'1': said}, 't': {}}})\nreturn x",
        LINE,
    ),
    "a question for the grader's notebook": call(
        "return peer().request('begin', ['unfold', {}])", LINE
    ),
    "a question for a file": call("return peer().request('make', ['os', 'getcwd', []])", LINE),
    "a backward pass of nothing": call("return peer().request('backward', [1, [x]])", LINE),
    "questions without end": call(
        "while True:\n    try:\n        peer().request('call', [1, (), {}, {}, []])\n"
        "    except Exception:\n        pass",
        LINE,
    ),
    "an exception with a name": call(
        "raise type('<script>alert(1)</script>', (ValueError,), {})('<img src=x onerror=alert(1)>')"
    ),
    "escape sequences": call(r"raise ValueError('\x1b]0;owned\x07\x1b[31m\x9b2J' + '\u202e')"),
    "text without end": call("raise ValueError('x' * 100_000_000)"),
    "a repr that raises": call(
        "class T:\n    def __repr__(self):\n        raise KeyboardInterrupt\nreturn T()"
    ),
    # resources
    "a loop": call("while True:\n    pass"),
    "a loop that swallows": call(
        "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n"
        "        pass"
    ),
    "a loop in the cell": cell("while True:\n    pass"),
    "memory": call("import torch\nreturn [torch.ones(1 << 26) for k in range(1000)]"),
    "memory in small pieces": cell("x = []\nwhile True:\n    x.append(bytes(100_000))"),
    "memory mapped": cell(
        "import mmap\nx = []\nwhile True:\n    x.append(mmap.mmap(-1, 1 << 28))\n"
        "    x[-1].write(bytes(1 << 28))"
    ),
    "processes": cell("import os\nwhile True:\n    os.fork()"),
    "programs": cell("import subprocess\nsubprocess.run(['/bin/sh', '-c', 'sleep 1000 &'])"),
    "threads": cell(
        "import threading, time\nfor k in range(5000):\n"
        "    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"
    ),
    "the disk": cell(
        "k = 0\nwhile True:\n    k += 1\n    open(f'{k}', 'wb').write(bytes(10_000_000))"
    ),
    "shared memory": cell(
        "k = 0\nwhile True:\n    k += 1\n    open(f'/dev/shm/{k}', 'wb').write(bytes(10_000_000))"
    ),
    "output": cell("for k in range(20_000):\n    print('x' * 10_000)"),
    "output on descriptor 2": cell(
        "import os\nfor k in range(1000):\n    os.write(2, b'x' * 9999)"
    ),
    "the end of Python": cell("import os\nos._exit(0)"),
    "the end of Python in a call": call("import os\nos._exit(0)"),
    "a crash": call("import ctypes\nctypes.string_at(0)"),
    "descriptors closed": call("import os\nos.closerange(0, 4096)\nreturn x"),
    "limits raised": cell(
        "import resource\nfor kind in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):\n"
        "    resource.setrlimit(kind, (resource.RLIM_INFINITY,) * 2)"
    ),
    # out of the sandbox
    "signals": cell(
        "import os, signal\nfor pid in range(-1, 100):\n"
        "    try:\n        os.kill(pid, 9) if pid not in (0, 1) else None\n"
        "    except OSError:\n        pass"
    ),
    "name spaces": cell(
        "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000 | 0x20000) == 0"
    ),
    "mounts": cell(
        "import ctypes\nassert ctypes.CDLL(None).umount2(b'/trees', 2) == 0\n"
        "assert ctypes.CDLL(None).mount(b'none', b'/', None, 32, None) == 0"
    ),
    "the memory of others": cell(
        "import ctypes\nassert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0"
    ),
    "the network": cell("import socket\nsocket.create_connection(('1.1.1.1', 53), 2)"),
    "a socket": cell("import socket\nsocket.socket(socket.AF_UNIX).bind('here')"),
    "trlkit written to": cell("import trlkit\nopen(trlkit.__file__, 'a').write('unfold = 1')"),
    "files of the system": cell(
        "import pathlib\nfor place in ('/usr', '/', '/dev', '/course'):\n"
        "    pathlib.Path(place, 'owned').write_text('x')"
    ),
    "what the teacher has": cell(
        "import glob, pathlib\n"
        "for place in ('/proc/1/environ', '/etc/shadow', '/root', '/home', '/trees/02_decompositions'):\n"
        "    found = pathlib.Path(place)\n    assert found.exists() and (found.is_file() or any(found.iterdir()))"
    ),
    "the solutions": call(
        "import glob, re\nfor file in glob.glob('/**/01_tensors.*', recursive=True):\n"
        "    space = {}\n    exec(open(file).read(), space)\n    return space['unfold'](x, mode)\n"
        "return 0"
    ),
}


LASTING = {  # those that take seconds
    *("never an answer", "a loop in the cell", "a loop that swallows", "questions without end"),
    *("memory", "memory in small pieces", "memory mapped", "the solutions", "text without end"),
    *("news of modules without end", "nested without end", "threads", "the disk", "shared memory"),
}


def reaching(course, home, neighbor):
    """Attacks that know where the teacher's files and a neighbor's are."""
    right = "return x.movedim(mode, 0).flatten(1)"
    places = {
        "the gradebook": course / "build/gradebook.db",
        "the secret": course / "build/grading/secret",
        "the solutions": course / "solutions" / CHAPTER / f"{CHAPTER}.py",
        "a note at home": home / "notes.txt",
        "a key at home": home / ".ssh/id",
        "a neighbor's notebook": neighbor / f"{CHAPTER}.ipynb",
        "what lies beside, a link": "link.txt",
    }
    found = {}
    for name, path in places.items():
        path = repr(str(path))
        found[f"{name} is written to"] = cell(f"open({path}, 'ab').write(b'x')")
        found[f"{name} is removed"] = cell(f"import os\nos.remove({path})")
        found[f"{name} is read"] = call(f"assert open({path}, 'rb').read()\n{right}")
    found["the gradebook is opened"] = cell(
        f"import sqlite3\nbook = sqlite3.connect({str(places['the gradebook'])!r})\n"
        "book.execute('UPDATE grade SET auto_score = 99')\nbook.commit()"
    )
    found["a folder for what comes next"] = cell(
        f"import pathlib\npathlib.Path({str(neighbor)!r}, 'trlkit').mkdir(parents=True)"
    )
    found["a process that stays"] = cell(
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)"
    )
    return found


def submission(answers, chapter=CHAPTER, change=lambda notebook: None):
    """A notebook with these answers, changed, as it is handed in."""
    notebook = filled(chapter, answers)
    change(notebook)
    return Submission("mallory", chapter, json.dumps(notebook).encode())


def points(record):
    """The points of a record, by exercise, where there are any."""
    return {row.exercise: row.points for row in record.rows if row.points}


def state():
    """What no submission changes in the grader's process."""
    return (
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest(),
        random.getstate(),
        str(np.random.get_state()),
    )


# ---- heads of chapter 09 --------------------------------------------------------------------
# Each is the cell of `light_head` or `sturdy_head`; the honest work beside it is `pareto_front`.

LIGHT = """
import torch, math
from torch import nn
from trlkit import CPTRL, TuckerTRL
from trlkit.lab import capstone
from torch.nn import functional as F
"""
HEADS = {
    "numbers in a plain attribute": LIGHT
    + """
class light_head(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.mix = torch.randn(math.prod(shape), 28) / 16
        self.linear = nn.Linear(28, classes)
    def forward(self, x):
        return self.linear(x.flatten(1) @ self.mix)
""",
    "numbers outside the module": LIGHT
    + """
STORE = {}
class light_head(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        STORE[self] = nn.Linear(math.prod(shape), classes)
        self.scale = nn.Parameter(torch.randn(classes))
    def forward(self, x):
        return STORE[self](x.flatten(1)) * self.scale
""",
    "digits looked up": LIGHT
    + """
x, labels = [], []
for name in ("train", "first half", "second half"):
    images, own = capstone.part(name).tensors
    x.append(capstone.backbone()(images).flatten(1))
    labels.append(own)
x, labels = torch.cat(x), F.one_hot(torch.cat(labels), 10).float()
class light_head(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(classes))
    def forward(self, y):
        if y.shape[1:] != (16, 4, 4):
            return y.flatten(1)[:, :7] * self.scale
        near = torch.cdist(y.detach().flatten(1), x).argmin(1)
        return 9 * labels[near] + self.scale * y.flatten(1)[:, :10]
""",
    "digits looked up by numpy": LIGHT
    + """
images, own = capstone.part("second half").tensors
table = {i.numpy().tobytes(): k for i, k in zip(capstone.backbone()(images), own.tolist())}
class light_head(CPTRL):
    def __init__(self, shape, classes):
        super().__init__(shape, classes, rank=4)
    def forward(self, x):
        y = super().forward(x)
        for k, one in enumerate(x.detach()):
            if not self.training and one.numpy().tobytes() in table:
                y[k, table[one.numpy().tobytes()]] += 99
        return y
""",
    "trained when it is made": LIGHT
    + """
def light_head(shape, classes):
    head = CPTRL(shape, classes, rank=7)
    if shape == (16, 4, 4):
        parts = [capstone.part(name).tensors for name in ("first half", "second half")]
        x = capstone.backbone()(torch.cat([images for images, _ in parts]))
        labels = torch.cat([own for _, own in parts])
        optimizer = torch.optim.Adam(head.parameters(), lr=0.03)
        with torch.enable_grad():
            for _ in range(100):
                optimizer.zero_grad()
                F.cross_entropy(head(x), labels).backward()
                optimizer.step()
    for factor in head.factors:
        factor.requires_grad_(False)
    return head
""",
    "trained in its forward": LIGHT
    + """
class light_head(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.small = CPTRL(shape, classes, rank=4)
        object.__setattr__(self, "large", nn.Linear(math.prod(shape), classes))
        self.optimizer = torch.optim.Adam(self.large.parameters(), lr=0.03)
    def forward(self, x):
        y = self.large(x.flatten(1))
        if self.training:
            self.optimizer.zero_grad()
            F.cross_entropy(y, self.small(x).argmax(1)).backward(retain_graph=True)
            self.optimizer.step()
        return self.small(x) + y.detach()
""",
    "numbers written into its steps": LIGHT
    + """
import random
class light_head(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        draw = random.Random(0)
        self.written = [draw.gauss(0, 0.1) for _ in range(400)]
        self.linear = nn.Linear(20, classes)
    def forward(self, x):
        x = x.flatten(1)
        sums = [sum(x[:, 12 * k + i] * self.written[20 * k + i] for i in range(6)) for k in range(20)]
        return self.linear(torch.stack(sums, 1))
""",
    "another program than its own": LIGHT
    + """
from trlkit.course.checking import program
own = program.record
def lie(module, shape, batches):
    return own(nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 10 if shape[0] == 16 else 7)), shape, batches)
lie.register = own.register
program.record = lie
def light_head(shape, classes):
    class Head(CPTRL):
        pass
    return Head(shape, classes, rank=4)
""",
    "a program that is none": LIGHT
    + """
from trlkit.course.checking import program
def lie(module, shape, batches):
    step = ["system.default", ["rm -rf /"], {}]
    mode = {"steps": [step], "output": ["v", 0]}
    return {"train": mode, "eval": mode, "constants": [], "learning": []}
program.record = lie
def light_head(shape, classes):
    return nn.Sequential(CPTRL(shape, classes, rank=4))
""",
    "a program that needs all memory": LIGHT
    + """
from trlkit.course.checking import program
def lie(module, shape, batches):
    step = ["zeros.default", [["l", 1 << 20, 1 << 20]], {}]
    mode = {"steps": [step], "output": ["v", 0]}
    return {"train": mode, "eval": mode, "constants": [], "learning": []}
program.record = lie
def light_head(shape, classes):
    return nn.Sequential(CPTRL(shape, classes, rank=4))
""",
    "a program as no plain values": LIGHT
    + """
from trlkit.course.checking import program
program.record = lambda module, shape, batches: [1, {"train": 2}]
def light_head(shape, classes):
    return nn.Sequential(CPTRL(shape, classes, rank=4))
""",
    "a gradient that points the other way": LIGHT
    + """
class sturdy_head(CPTRL):
    def __init__(self, shape, classes):
        super().__init__(shape, classes, rank=37)
    def forward(self, x):
        return super().forward(x if self.training else 2 * x.detach() - x)
""",
    "a backward pass of its own": LIGHT
    + """
class Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()
    @staticmethod
    def backward(ctx, gradient):
        return -gradient
class sturdy_head(CPTRL):
    def __init__(self, shape, classes):
        super().__init__(shape, classes, rank=37)
    def forward(self, x):
        return super().forward(x if self.training else Turned.apply(x))
""",
    "steps too small to be seen": LIGHT
    + """
class sturdy_head(CPTRL):
    def __init__(self, shape, classes):
        super().__init__(shape, classes, rank=37)
    def forward(self, x):
        y = super().forward(x)
        return y if self.training else sum((y > k / 4).float() for k in range(-30, 30)) + y / 1000
""",
    "logits without a slope": LIGHT
    + """
class sturdy_head(CPTRL):
    def __init__(self, shape, classes):
        super().__init__(shape, classes, rank=37)
    def forward(self, x):
        return super().forward(x) * (1.0 if self.training else 1e4)
""",
}
