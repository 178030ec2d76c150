"""What a plan is: the question, what is expected, the runs and the seconds they may take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module

from trlkit.experiments.found import Difference, Row, difference
from trlkit.experiments.heads import Head

NAMES = ("heads", "samples", "robustness", "transfer", "pays")
TRIAL_SEED = 1000  # of the tries; none of the seeds that are reported


@dataclass(frozen=True)
class Case:
    """What is learned.

    Attributes
    ----------
    name : str
    data : {"pictures", "placed", "permuted", "tensors"}
        CIFAR-10; one of its pictures, made 8 x 8, in a corner that belongs to the class; its
        pixels in one random order; or random activations labeled by a teacher's weight.
    fraction : float
        Of the training pictures.
    samples : int
        How many training pictures instead; 0 for the fraction.
    shape : tuple of int
        Of the activations of "tensors".
    classes : int
    weight : {"rough", "smooth", "uniform", "low-rank"}
        The teacher's of "tensors", as it varies over the map.
    """

    name: str
    data: str = "pictures"
    fraction: float = 1.0
    samples: int = 0
    shape: tuple[int, int, int] = (32, 8, 8)
    classes: int = 10
    weight: str = "rough"


@dataclass(frozen=True)
class Training:
    """How every head of a plan is trained.

    AdamW on all that learns, its rate up to the peak in the first fifth of the steps and
    down to 0 at the end. The pairs of ``tries`` are the same for every head: the one
    with the best validation accuracy after ``trial_share`` of the steps is taken.
    """

    epochs: int
    batch: int
    tries: tuple[tuple[float, float], ...]  # (learning rate, weight decay)
    least_steps: int = 0
    trial_share: float = 0.4
    augment: bool = True


@dataclass(frozen=True)
class Claim:
    """A difference that speaks to what was expected.

    Attributes
    ----------
    case, head : str
    relation : {">", "<", "=", "<="}
        Of the head to the other: more, less, equal within a point, not more.
    other : str
    column : str
        Of the table.
    """

    case: str
    head: str
    relation: str
    other: str
    column: str = "accuracy"

    def __str__(self) -> str:
        told = [] if self.case == "all" else [self.case]
        told += [] if self.column == "accuracy" else [self.column]
        return f"{self.head} minus {self.other}" + (f" ({', '.join(told)})" if told else "")

    def found(self, rows: Sequence[Row]) -> Difference | None:
        """What the rows say; None where they are missing."""
        return difference(rows, self.case, self.head, self.other, self.column)

    def holds(self, found: Difference) -> bool | None:
        """Whether it came so; None where the interval does not decide."""
        verdict = found.verdict
        if verdict == "open":
            return None
        if self.relation == "=":
            return found.equal
        if self.relation == "<=":
            return verdict != "more"
        return verdict == {">": "more", "<": "less"}[self.relation]


class Expected(str):
    """A sentence from before the run, with the claims that test it."""

    claims: tuple[Claim, ...]

    def __new__(cls, text: str, *claims: Claim | tuple) -> "Expected":
        made = super().__new__(cls, text)
        made.claims = tuple(one if isinstance(one, Claim) else Claim(*one) for one in claims)
        return made


@dataclass(frozen=True)
class Plan:
    """One question, with all the runs that answer it.

    Attributes
    ----------
    name, question : str
    expected : tuple of Expected
        Written before the run; the report sets it beside what came.
    backbone : {"vgg16", "cnn", "frozen", "none"}
        Torchvision's VGG16 with batch norm; the small CNN of the course; a VGG16 trained
        on eight of the classes and kept as it is; none, so that the head alone learns.
    heads : tuple of Head
    cases : tuple of Case
    seeds : int
        0, 1, ...: of the weights, the order of the pictures and how they are cut, shared
        by all heads.
    training : Training
    budget_s : int
        The seconds that the whole plan was laid out for, on one H100.
    attacks : bool
        Whether noise and attacks are measured.
    speed : bool
        Whether latency, memory and the head's share of a step are measured.
    control : tuple of str
        The heads that are trained once more in float32.
    processes : int
        Runs at a time on one GPU.
    small : bool
        Use a few pictures alone, for a test of the machinery.
    """

    name: str
    question: str
    expected: tuple[Expected, ...]
    backbone: str
    heads: tuple[Head, ...]
    training: Training
    cases: tuple[Case, ...] = (Case("all"),)
    seeds: int = 5
    budget_s: int = 500
    attacks: bool = False
    speed: bool = False
    control: tuple[str, ...] = ()
    processes: int = 8
    small: bool = False

    def head(self, name: str) -> Head:
        """Give the head of a name."""
        return next(head for head in self.heads if head.name == name)

    def backbone_of(self, case: Case) -> str:
        """Give the backbone of a case: activations need none."""
        return "none" if case.data == "tensors" else self.backbone


@dataclass(frozen=True)
class Run:
    """One row to be: its ``key`` tells it from all others of its plan.

    ``stage`` is "trial" (validation alone), "final" (the test set, once), "control" (final,
    in float32) or "speed". A final run's rate and decay are None until its trials are done.
    """

    plan: str
    stage: str
    case: str
    head: str
    seed: int
    rate: float | None = None
    decay: float | None = None

    @property
    def key(self) -> tuple:
        """What names the row in the table."""
        chosen = (self.rate, self.decay) if self.stage == "trial" else ()
        return (self.plan, self.stage, self.case, self.head, self.seed, *chosen)


def load(name: str, smoke: bool = False) -> Plan:
    """Load a plan by its name.

    Parameters
    ----------
    name : str
    smoke : bool
        Cut it down to what two cores do in a minute; its rows say "smoke-NAME".

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> plan = load("heads")
    >>> plan.backbone, plan.seeds
    ('vgg16', 5)
    """
    if name not in NAMES:
        raise ValueError(f"plan={name!r}, but the plans are {', '.join(NAMES)}")
    plan = import_module(f"trlkit.experiments.plans.{name}").PLAN
    return _smoke(plan) if smoke else plan


def runs(plan: Plan) -> Iterator[Run]:
    """List the runs of a plan in their order: all trials, then seed after seed, all heads each."""
    for case in plan.cases:
        for head in plan.heads:
            for rate, decay in plan.training.tries:
                yield Run(plan.name, "trial", case.name, head.name, TRIAL_SEED, rate, decay)
    for seed in range(plan.seeds):
        for case in plan.cases:
            for head in plan.heads:
                yield Run(plan.name, "final", case.name, head.name, seed)
    for seed in range(min(plan.seeds, 3)):
        for name in plan.control:
            yield Run(plan.name, "control", plan.cases[0].name, name, seed)
    for head in plan.heads if plan.speed else ():
        yield Run(plan.name, "speed", plan.cases[0].name, head.name, 0)


def _smoke(plan: Plan) -> Plan:
    """The same plan with a trained step or two of three heads, two seeds and two cases."""
    kinds = {head.kind: head for head in reversed(plan.heads)}
    heads = tuple(kinds[kind] for kind in ("cp", "conv1x1", "gap") if kind in kinds)
    training = replace(plan.training, epochs=1, batch=32, least_steps=1, tries=((1e-3, 0.01),))
    cases = tuple(replace(c, samples=min(c.samples, 64)) for c in plan.cases[:: len(plan.cases)])
    if len(plan.cases) > 1:
        cases += (replace(plan.cases[-1], samples=64),)
    return replace(
        plan,
        name=f"smoke-{plan.name}",
        heads=heads,
        training=training,
        cases=cases,
        seeds=2,
        control=plan.control[:0],
        processes=1,
        small=True,
    )
