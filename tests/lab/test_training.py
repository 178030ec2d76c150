"""Training: it learns, it goes on after a kill, it counts right, on one device and on several."""

import copy
import os
import random
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import DEVICES
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from trlkit import CPTRL
from trlkit.lab.models import ConvNeuralNet
from trlkit.lab.training import History, evaluate, features, fit, load

REPOSITORY = Path(__file__).parents[2]


def data(number=64, seed=0):
    """Two classes that a rank-1 weight can tell apart."""
    x = torch.randn(number, 4, 5, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (x.mean((1, 2)) > 0).long())


def network(dropout=0.0):
    torch.manual_seed(3)
    return CPTRL((4, 5), 2, rank=3, dropout=dropout)


def parts(model, lr=0.05):
    optimizer = torch.optim.Adam(model.parameters(), lr)
    return {
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8),
        "batch_size": 16,
        "progress": False,
        "accelerator": "cpu",
    }


def same(model, other):
    pairs = zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(one, two) for one, two in pairs)


class Killer(Dataset):
    """Data whose reading kills the process, as kill -9 does."""

    def __init__(self, inner, after):
        self.inner, self.left = inner, after

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner[index]


# What it does


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_model_learns(precision, device):
    model = network()
    history = fit(
        model, data(256), data(64, 1), 12, 16, torch.optim.Adam(model.parameters(), 0.05),
        precision=precision, accelerator=device, progress=False,
    )  # fmt: skip
    assert history.validation_accuracy[-1] > 0.9
    assert history.train_loss[-1] < history.train_loss[0]
    assert {(p.dtype, p.device.type) for p in model.parameters()} == {(torch.float32, device)}
    found = evaluate(model, data(64, 1))
    if precision == "32-true":
        assert found.loss == pytest.approx(history.validation_loss[-1], rel=1e-4)
        assert found.accuracy == history.validation_accuracy[-1]


def test_an_epoch_is_the_steps_of_a_plain_loop():
    model, plain = network(), network()
    fit(model, data(16), data(16), 2, 16, torch.optim.SGD(model.parameters(), 0.1), progress=False)
    optimizer = torch.optim.SGD(plain.parameters(), 0.1)
    x, labels = data(16).tensors  # one batch holds all: their order has no effect
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(plain(x), labels).backward()
        optimizer.step()
    for found, expected in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found.cpu(), expected)


def test_only_parameters_that_learn_are_trained():
    model = ConvNeuralNet(2, rank=2)
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    before = copy.deepcopy(model.state_dict())
    images = TensorDataset(torch.randn(8, 3, 32, 32), torch.zeros(8, dtype=torch.long))
    fit(model, images, images, 1, progress=False)
    changed = {name for name, value in model.state_dict().items()
               if not torch.equal(value.cpu(), before[name])}  # fmt: skip
    assert changed == {name for name in before if name.startswith("head.")}


def test_training_is_deterministic_with_dropout():
    first, second = network(0.4), network(0.4)
    fit(first, data(), data(), 2, **parts(first))
    torch.randn(7)  # what was drawn before has no effect
    fit(second, data(), data(), 2, **parts(second))
    assert same(first, second)


def test_patience_stops_after_epochs_that_are_no_better():
    class Still(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return x.mean((1, 2)).unsqueeze(1) * torch.tensor([-1.0, 1.0]) + 0 * self.shift

    history = fit(Still(), data(), data(), 9, patience=2, accelerator="cpu", progress=False)
    assert len(history.seconds) == 3 and history.best_epoch == 0


def test_the_schedule_is_followed_without_a_warning(tmp_path):
    model = network()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = fit(model, data(), data(), 3, folder=tmp_path, **parts(model, lr=0.1))
    assert history.learning_rate == pytest.approx([0.1, 0.08, 0.064])


def test_progress_is_on_stdout_alone(capsys):
    model = network()
    fit(model, data(), data(), 1, **{**parts(model), "progress": True})
    printed = capsys.readouterr()
    assert "epoch 1/1" in printed.out and "accuracy=" in printed.out and printed.err == ""


# Checkpoints


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(
        "import sys; sys.path[:0] = ['tests', 'tests/lab']\n"
        "from test_training import *\n"
        "model = network(0.4)\n"
        # 64 samples to train on and 64 to validate: killed in the third epoch's second batch
        "print(fit(model, Killer(data(), 64 * 2 + 20), data(), 5,"
        f" folder={str(tmp_path / 'run')!r}, **parts(model)))\n"
    )
    killed = subprocess.run(
        [sys.executable, script],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(torch.load(tmp_path / "run/last.pt")["history"]["seconds"]) == 2
    whole, resumed = network(0.4), network(0.4)
    expected = fit(whole, data(), data(), 5, folder=tmp_path / "whole", **parts(whole))
    found = fit(resumed, data(), data(), 5, folder=tmp_path / "run", **parts(resumed))
    assert same(whole, resumed)
    for name in ("train_loss", "validation_loss", "validation_accuracy", "learning_rate"):
        assert getattr(found, name) == getattr(expected, name)
    best = [load(network(), tmp_path / run / "best.pt") for run in ("whole", "run")]
    assert same(*best)


class Noisy(Dataset):
    """Data with noise of every kind, which tells which process loaded it."""

    def __init__(self, inner):
        self.inner = inner

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        x, label = self.inner[index]
        noise = torch.rand(()) + random.random() + np.random.rand()
        return torch.stack([x + noise, torch.full_like(x, os.getpid())]), label


class Watched(nn.Module):
    """A model that notes which processes loaded its batches."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.processes = inner, []

    def forward(self, x):
        self.processes.append(set(x[:, 1].unique().tolist()))
        return self.inner(x[:, 0])


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_processes_outlive_an_epoch_and_are_sown_anew_for_each(tmp_path, workers):
    def trained(name, epochs):
        model = Watched(network(0.4))
        history = fit(
            model,
            *(Noisy(data()), Noisy(data(40))),
            epochs,
            folder=tmp_path / name,
            num_workers=workers,
            **parts(model),
        )
        return model, history

    whole, expected = trained("whole", 3)
    trained("stopped", 1)
    resumed, found = trained("stopped", 3)
    assert same(whole, resumed)
    assert found.train_loss == expected.train_loss
    assert found.validation_loss == expected.validation_loss
    assert len(set(expected.train_loss)) == 3
    processes = set().union(*whole.processes)
    assert len(processes) == (4 if workers else 1)  # two for each of the two data sets


def test_a_write_that_is_cut_off_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    model = network()
    fit(model, data(), data(), 1, folder=tmp_path, **parts(model))
    before = (tmp_path / "last.pt").read_bytes()

    def cut_off(state, path):
        Path(path).write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", cut_off)
    with pytest.raises(KeyboardInterrupt):
        fit(model, data(), data(), 2, folder=tmp_path, **parts(model))
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_finished_run_is_not_trained_again(tmp_path):
    model = network()
    first = fit(model, data(), data(), 2, folder=tmp_path, **parts(model))
    trained = copy.deepcopy(model)
    assert fit(model, data(), data(), 2, folder=tmp_path, **parts(model)) == first
    assert same(model, trained)


def test_the_best_checkpoint_is_that_of_the_best_epoch(tmp_path):
    model = network()
    history = fit(model, data(), data(64, 1), 6, folder=tmp_path, **parts(model, lr=0.5))
    best = evaluate(load(network(), tmp_path / "best.pt"), data(64, 1))
    assert best.accuracy == max(history.validation_accuracy)
    assert best.loss == pytest.approx(history.validation_loss[history.best_epoch], rel=1e-5)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    model = network()
    fit(model, data(), data(), 1, folder=tmp_path, **parts(model))
    other = nn.Sequential(nn.Flatten(), nn.Linear(20, 2))
    with pytest.raises(ValueError, match="is of another network or optimizer: go on with"):
        fit(other, data(), data(), 2, folder=tmp_path, **parts(other))
    options = {**parts(model), "scheduler": None}
    with pytest.raises(ValueError, match="has .*scheduler, but this call .*precision: go on"):
        fit(model, data(), data(), 2, folder=tmp_path, **options)


# Several processes


TWO_GPUS = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs"),
]


@pytest.mark.parametrize("accelerator", ["cpu", pytest.param("cuda", marks=TWO_GPUS)])
def test_two_processes_train_as_one_with_the_batch_of_both(tmp_path, accelerator):
    script = tmp_path / "two.py"
    script.write_text(
        "import sys; sys.path[:0] = ['tests', 'tests/lab']\n"
        "from test_training import *\n"
        "model = network()\n"
        f"options = {{**parts(model), 'batch_size': 8, 'accelerator': {accelerator!r}}}\n"
        f"fit(model, data(), data(61), 3, folder={str(tmp_path / 'two')!r}, **options)\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         script],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )  # fmt: skip
    # Not its exit status: gloo's threads can abort a process that has finished and is exiting
    # (github.com/pytorch/pytorch/pull/179291).
    assert (tmp_path / "two/last.pt").exists(), run.stderr
    one = network()
    history = fit(one, data(), data(61), 3, folder=tmp_path / "one", **parts(one))
    two = torch.load(tmp_path / "two/last.pt", map_location="cpu")
    for name, expected in one.state_dict().items():
        torch.testing.assert_close(two["model"][name], expected, atol=1e-5, rtol=1e-4)
    assert two["history"]["validation_loss"] == pytest.approx(history.validation_loss, rel=1e-4)
    assert two["history"]["train_loss"] == pytest.approx(history.train_loss, rel=1e-4)


# Evaluation and features


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_a_score_is_the_mean_over_samples_at_every_batch_size(batch_size):
    model, (x, labels) = network(0.5).train(), data(50).tensors
    with torch.no_grad():
        y = copy.deepcopy(model).eval()(x)
    found = evaluate(model, data(50), batch_size)
    assert found.loss == pytest.approx(nn.functional.cross_entropy(y, labels).item(), rel=1e-5)
    assert found.accuracy == (y.argmax(1) == labels).double().mean().item()
    assert evaluate(model, DataLoader(data(50), batch_size)) == found
    assert model.training


@pytest.mark.parametrize("device", DEVICES)
def test_features_are_what_the_layer_takes(device):
    model = ConvNeuralNet(5, rank=2).to(device)
    images = TensorDataset(torch.randn(10, 3, 32, 32), torch.arange(10) % 5)
    found = features(model, images, batch_size=4)
    x = images.tensors[0].to(device)
    with torch.no_grad():
        expected = model.conv_layer2(model.max_pool1(model.conv_layer1(x))).cpu()
    assert found.tensors[0].device.type == "cpu"
    torch.testing.assert_close(found.tensors[0], expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(found.tensors[1], images.tensors[1])
    assert evaluate(model.head, found).accuracy == evaluate(model, images).accuracy


def test_features_of_a_backbone_are_its_output_and_of_a_name_its_input():
    model = ConvNeuralNet(5)
    images = TensorDataset(torch.randn(3, 3, 32, 32), torch.arange(3))
    pooled = features(model, images, at="conv_layer2").tensors[0]
    torch.testing.assert_close(pooled, model.max_pool1(model.conv_layer1(images.tensors[0])))
    backbone = nn.Sequential(model.conv_layer1, model.max_pool1)
    torch.testing.assert_close(features(backbone, images).tensors[0], pooled)
    assert not model.conv_layer2._forward_pre_hooks and not pooled.requires_grad


# What is refused


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"train": DataLoader(data())}, TypeError, "train is a DataLoader, .*loader.dataset"),
        ({"validation": data(0)}, ValueError, "validation is empty"),
        ({"epochs": 0}, ValueError, "epochs=0, but it must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"patience": 0}, ValueError, "patience=0"),
        ({"model": network().requires_grad_(False)}, ValueError, "no parameter of the model"),
    ],
)
def test_bad_input_is_named(change, error, message):
    arguments = {"model": network(), "train": data(), "validation": data(), "epochs": 1}
    with pytest.raises(error, match=message):
        fit(**{**arguments, **change}, progress=False)


def test_a_loss_that_is_not_finite_stops_before_it_is_saved(tmp_path):
    broken = data()
    broken.tensors[0][5] = float("nan")
    with pytest.raises(FloatingPointError, match="loss of epoch 1 is nan: use a lower learning"):
        fit(network(), broken, data(), 2, folder=tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_features_of_an_unknown_layer_are_refused():
    with pytest.raises(ValueError, match="at='fc', but the network has no such module"):
        features(ConvNeuralNet(5), data(), at="fc")
    two = nn.Sequential(CPTRL((4, 5), (4, 5), 2), CPTRL((4, 5), 2, 2))
    with pytest.raises(ValueError, match="2 tensor regression layers: name one of 0, 1 as at"):
        features(two, data())


def test_without_lightning_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(ImportError, match="needs lightning-fabric and tqdm: pip install"):
        fit(network(), data(), data(), 1)


def test_the_best_of_equal_epochs_has_the_lowest_loss():
    history = History(validation_loss=[3, 1, 2], validation_accuracy=[0.5, 0.5, 0.5])
    assert history.best_epoch == 1
