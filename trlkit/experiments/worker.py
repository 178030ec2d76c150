"""One run after the other, in one process on one device."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from trlkit.bench.results import environment
from trlkit.experiments import data as source
from trlkit.experiments import measure
from trlkit.experiments.heads import Head, parameters
from trlkit.experiments.networks import activation, network
from trlkit.experiments.plan import Case, Plan, Run
from trlkit.experiments.train import autocast, deterministic, fit

KEPT_CLASSES = 8  # of the ten, what the frozen backbone is trained on
BACKBONE_SEED = 0
BACKBONE_RATE, BACKBONE_DECAY, BACKBONE_EPOCHS = 3e-3, 0.05, 8


@dataclass(frozen=True)
class Setting:
    """What all runs of a command share.

    Attributes
    ----------
    plan : Plan
    decoded : Path
        Of :func:`trlkit.experiments.data.read`.
    revision : str
    graph, compiled : bool
    """

    plan: Plan
    decoded: Path
    revision: str
    graph: bool = True
    compiled: bool = False


class Worker:
    """Keeps the pictures on its device, and runs what it is given.

    Parameters
    ----------
    setting : Setting
    device : torch.device
    """

    def __init__(self, setting: Setting, device: torch.device) -> None:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        deterministic()
        if device.type == "cuda":
            torch.cuda.set_device(device)
        self.setting, self.device = setting, device
        self.plan = setting.plan
        self._pictures: source.Data | None = None
        self._features: source.Data | None = None
        self._data: tuple[tuple, source.Data] | None = None
        self.hardware, self.versions = environment(device.type).split("; ")

    @property
    def frozen(self) -> Path:
        """Where the frozen backbone's weights are kept."""
        size = "small" if self.plan.small else "whole"
        return self.setting.decoded.with_name(f"{self.setting.decoded.stem}-backbone-{size}.pt")

    def run(self, run: Run) -> dict[str, object]:
        """Do one run; the row is returned."""
        started = time.perf_counter()
        case = next(case for case in self.plan.cases if case.name == run.case)
        data, head = self.data(case, run.seed), self.plan.head(run.head)
        precision = "bf16" if self.device.type == "cuda" else "float32"
        precision = "float32" if run.stage == "control" else precision
        backbone = self.plan.backbone_of(case)
        bare = backbone in ("frozen", "none")
        shape = tuple(data.train.x.shape[1:]) if bare else activation(backbone)
        net = network(backbone, head, shape, data.classes, run.seed).to(self.device)
        if not bare:
            net.body.to(memory_format=torch.channels_last)  # cores of a TRL stay as they are
        row = {
            **{name: getattr(run, name) for name in ("plan", "stage", "case", "head", "seed")},
            **{"rate": run.rate, "decay": run.decay, "backbone": backbone, "kind": head.kind},
            **{"p": head.p, "parameters": parameters(net.head), "precision": precision},
            **{"samples": len(data.train.labels), "hardware": self.hardware},
            **{"versions": self.versions, "revision": self.setting.revision},
        }
        if run.stage == "speed":
            x = data.train.take(torch.arange(min(self.plan.training.batch, 512))).x
            row |= measure.speed(net, source.as_input(x), precision)
        else:
            row |= self._trained(net, run, data, precision)
        row["seconds"] = time.perf_counter() - started
        return row

    def _trained(self, net, run: Run, data: source.Data, precision: str) -> dict[str, object]:
        rows = self.schedule(data, run.seed)
        if run.stage == "trial":
            rows = self.schedule(data, run.seed, self.plan.training.trial_share)
        graphed = fit(
            net,
            data.train,
            rows,
            run.rate,
            run.decay,
            run.seed,
            precision,
            self.setting.graph,
            self.setting.compiled,
        )
        validation = measure.predict(net, data.validation, precision)
        found = {"steps": len(rows), "graphed": int(graphed)}
        found["validation"] = measure.accuracy(validation, data.validation.labels)
        if run.stage != "trial":
            found |= measure.final(net, data.test, precision)
            if self.plan.attacks:
                found |= measure.attacked(net, data.test, precision)
        return found

    def schedule(self, data: source.Data, seed: int, share: float = 1.0) -> Tensor:
        """Which samples each step of a training sees."""
        training, count = self.plan.training, len(data.train.labels)
        steps = max(training.epochs * (count // min(training.batch, count)), training.least_steps)
        steps = max(round(share * steps), 1)
        augment = training.augment and data.pictures
        return source.schedule(count, training.batch, steps, augment, seed)

    def data(self, case: Case, seed: int) -> source.Data:
        """What a run learns from; the last one is kept."""
        key = (case, seed)
        if self._data is None or self._data[0] != key:
            self._data = None
            backbone = self.plan.backbone_of(case)
            pictures = {"none": lambda: None, "frozen": self.features}.get(backbone, self.pictures)
            made = source.of_case(case, pictures(), seed, self.device, self.plan.small)
            self._data = key, made
        return self._data[1]

    def pictures(self) -> source.Data:
        """The pictures, read once."""
        if self._pictures is None:
            decoded, small = self.setting.decoded, self.plan.small
            self._pictures = source.load(decoded, self.device, small)
        return self._pictures

    def features(self) -> source.Data:
        """The frozen backbone's activations of all pictures, made once."""
        if self._features is None:
            pictures = self.pictures()
            state = torch.load(self.frozen, map_location="cpu", weights_only=True)
            net = network("vgg16", Head("GAP", "gap"), activation("vgg16"), KEPT_CLASSES, 0)
            net.body.load_state_dict(state)
            net = net.to(self.device, memory_format=torch.channels_last).eval()
            parts = [self._activations(net, getattr(pictures, name)) for name in _PARTS]
            self._features = source.Data(*parts, classes=pictures.classes)
        return self._features

    def _activations(self, net, part: source.Part) -> source.Part:
        precision = "bf16" if self.device.type == "cuda" else "float32"
        with torch.no_grad(), autocast(self.device, precision):
            found = [
                net.body((source.as_input(x) - net.mean) / net.std).contiguous()
                for x in part.x.split(1000)
            ]
        return source.Part(torch.cat(found), part.labels)

    def prepare(self) -> None:
        """Train the backbone that the plan freezes, where no earlier run has."""
        if self.plan.backbone != "frozen" or self.frozen.exists():
            return
        pictures = self.pictures()
        known = source.Part(*pictures.train).take(
            (pictures.train.labels < KEPT_CLASSES).nonzero().flatten()
        )
        epochs = 1 if self.plan.small else BACKBONE_EPOCHS
        steps = epochs * max(len(known.labels) // 512, 1)
        net = network("vgg16", Head("GAP", "gap"), activation("vgg16"), KEPT_CLASSES, BACKBONE_SEED)
        net = net.to(self.device, memory_format=torch.channels_last)
        rows = source.schedule(len(known.labels), 512, steps, True, BACKBONE_SEED)
        precision = "bf16" if self.device.type == "cuda" else "float32"
        rate, decay = BACKBONE_RATE, BACKBONE_DECAY
        fit(net, known, rows, rate, decay, BACKBONE_SEED, precision, self.setting.graph)
        aside = self.frozen.with_suffix(".part")
        torch.save({k: v.cpu() for k, v in net.body.state_dict().items()}, aside)
        aside.replace(self.frozen)


_PARTS = ("train", "validation", "test")


def chosen(run: Run, trials: list[dict[str, str]], tries: int) -> Run | None:
    """Give a run the rate and the decay that did best in its trials; None while some are open.

    Parameters
    ----------
    run : Run
    trials : list of dict
        Rows of the plan's trials.
    tries : int
        How many each head has.

    Returns
    -------
    Run or None
    """
    own = [row for row in trials if (row["case"], row["head"]) == (run.case, run.head)]
    if len(own) < tries:
        return None
    best = max(own, key=lambda row: (float(row["validation"]), -float(row["rate"])))
    return replace(run, rate=float(best["rate"]), decay=float(best["decay"]))
