"""A program does what its module does, and holds no number that is not counted."""

import pytest
import torch
from torch import nn

from trlkit import CPTRL, TCL, TTTRL, TuckerTRL
from trlkit.course.checking import program
from trlkit.course.checking.program import LITERALS, Program, Unfit

SHAPE = (4, 3, 3)


class Einsum(nn.Module):
    def __init__(self):
        super().__init__()
        self.factors = nn.ParameterList(torch.randn(size, 2) for size in (*SHAPE, 5))

    def forward(self, x):
        return torch.einsum("bchw,cr,hr,wr,nr->bn", x, *self.factors)


HEADS = {
    "CP": lambda: CPTRL(SHAPE, 5, 3),
    "Tucker": lambda: TuckerTRL(SHAPE, 5, (2, 2, 2, 4)),
    "TT": lambda: TTTRL(SHAPE, 5, (1, 2, 3, 2, 1)),
    "TCL": lambda: nn.Sequential(TCL(SHAPE, (2, 2, 2)), nn.Flatten(), nn.Linear(8, 5)),
    "einsum": Einsum,
    "convolution": lambda: nn.Sequential(
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 3, 2),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3, 5),
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_program_gives_what_its_module_gives(name):
    torch.manual_seed(0)
    module = HEADS[name]()
    made = Program(module, SHAPE, (6, 4))
    assert made.numbers == sum(t.numel() for t in module.state_dict().values())
    x = torch.randn(6, *SHAPE)
    for training in (True, False):
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [
            net.train(training)(own) for net, own in zip((module, made), inputs, strict=True)
        ]
        torch.testing.assert_close(outputs[1], outputs[0])
        own = [
            torch.autograd.grad(y.square().sum(), [own, *net.parameters()])
            for y, own, net in zip(outputs, inputs, (module, made), strict=True)
        ]
        torch.testing.assert_close(own[1], own[0], rtol=1e-4, atol=1e-4)
    buffers = zip(module.buffers(), made.buffers(), strict=True)
    assert all(torch.equal(one, other) for one, other in buffers)


def test_dropout_is_drawn_anew_in_training_and_absent_in_eval():
    made = Program(nn.Sequential(nn.Dropout(0.5), CPTRL(SHAPE, 5, 3, dropout=0.5)), SHAPE, (2, 2))
    x = torch.ones(2, *SHAPE)
    assert not torch.equal(made.train()(x), made(x))
    assert torch.equal(made.eval()(x), made(x))


def of(forward, **held):
    """A module with a forward pass and what it holds."""
    kind = type("Head", (nn.Module,), {"forward": forward})
    head = kind()
    for name, value in held.items():
        object.__setattr__(head, name, value)
    return head


def test_numbers_in_plain_attributes_are_counted():
    head = of(lambda self, x: x.flatten(1) @ self.mix, mix=torch.randn(36, 5))
    made = Program(head, SHAPE, (2, 2))
    assert (made.numbers, made.constants, made.strangers) == (180, 180, 0)
    head.mix.requires_grad_()
    assert Program(head, SHAPE, (2, 2)).strangers == 1


def test_what_leaves_torch_is_a_constant_and_no_answer():
    head = of(lambda self, x: torch.from_numpy(x.detach().numpy().copy()).flatten(1))
    made = Program(head, SHAPE, (2, 2)).eval()
    assert made.constants >= 72
    assert torch.equal(made(torch.zeros(2, *SHAPE)), made(torch.ones(2, *SHAPE)))


def test_numbers_written_into_the_steps_are_counted_beyond_a_few():
    def forward(self, x):
        return sum(x.flatten(1)[:, :5] * (0.1 + k) for k in range(self.count))

    few, many = (Program(of(forward, count=n), SHAPE, (2, 2)).numbers for n in (5, 60))
    assert few == 0
    assert many >= 60 - LITERALS


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: x.flatten(1) * x.sum().item(),
        lambda self, x: x.flatten(1) if x.sum() > 0 else -x.flatten(1),
        lambda self, x: (x.flatten(1), x),
        lambda self, x: x.flatten(1).sort(1).values,
        lambda self, x: torch.zeros(len(x), 30_000_000),
    ],
    ids=["item", "a question", "a tuple", "an operation not listed", "memory"],
)
def test_what_is_no_program_is_refused(forward):
    with pytest.raises(Unfit):
        Program(of(forward), SHAPE, (2, 2))


GOOD = {"steps": [["relu.default", [["x"]], {}]], "output": ["v", 0]}


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"train": {**GOOD, "output": ["v", 1]}},
        {"train": {**GOOD, "steps": [["relu.default", [["v", 0]], {}]]}},
        {"train": {**GOOD, "steps": [["relu.default", [["s", "no"]], {}]]}},
        {"train": {**GOOD, "steps": [["relu.default", [{"x": 1}], {}]]}},
        {"train": {**GOOD, "steps": [["relu.default", [["x"]], {"no": 1}]]}},
        {"train": {**GOOD, "steps": [["relu.out", [["x"]], {}]]}},
        {"train": {**GOOD, "steps": [["__class__.default", [["x"]], {}]]}},
        {"train": {**GOOD, "steps": [["from_file.default", ["/etc/passwd"], {}]]}},
        {"train": {**GOOD, "steps": [["getitem", [["x"], 0], {}]]}},
        {"train": {**GOOD, "steps": GOOD["steps"] * 501}},
        {"train": {**GOOD, "steps": [["zeros.default", [["l", 1 << 40]], {}]]}},
        {"train": {**GOOD, "steps": [["view.default", [["x"], ["l", -7, -7]], {}]]}},
    ],
)
def test_a_liars_recording_is_refused(told, monkeypatch):
    if isinstance(told, dict):
        told = {"eval": GOOD, "constants": [], "learning": [], **told}
    monkeypatch.setattr(program, "record", lambda *args: told)
    with pytest.raises(Unfit):
        Program(nn.Linear(2, 2), SHAPE, (2, 2))


def test_shuffled_factors_keep_their_products():
    factor = torch.linalg.qr(torch.randn(6, 3)).Q
    head = of(lambda self, x: x.flatten(1)[:, :6] @ self.factor)
    head.register_parameter("factor", nn.Parameter(factor))
    made = Program(head, SHAPE, (2, 2), seed=1)
    (shuffled,) = made.parameters()
    assert not torch.equal(shuffled, factor)
    torch.testing.assert_close(shuffled.T @ shuffled, torch.eye(3))
    assert sorted(shuffled.flatten().tolist()) == sorted(factor.flatten().tolist())
