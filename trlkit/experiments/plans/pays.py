"""Where a TRL wins against every rival of its size.

The first ten cases give the head random activations whose classes come from a weight that is
known: what it looks like is varied, one thing at a time. The others are pictures on the small
CNN. On paper, on one H100: 400 steps of 0.4 ms (head alone) to 1 ms, 0.4 s around them.
8 heads, 15 cases: 600 final runs and 360 trials: about 550 s one after the other, 250 s eight
at a time.
"""

from trlkit.experiments.heads import Head
from trlkit.experiments.plan import Case, Expected, Plan, Training

THREE = ("bottleneck", "1x1 conv + Linear", "pooled map + Linear")
PICTURES = ("pictures, 1,000", "pictures, 10,000")
PICTURES += ("placed pictures, 1,000", "placed pictures, 10,000")

PLAN = Plan(
    name="pays",
    question="Where does a TRL win against every rival of its size, and by how much?",
    expected=(
        Expected(
            "Where the weight is of low rank, CP wins clearly over all three rivals.",
            *(("low-rank weight", "CP", ">", rival) for rival in THREE),
        ),
        Expected(
            "Where it is smooth over the map, the pooled map + Linear wins; where it is uniform, "
            "GAP.",
            ("smooth weight", "pooled map + Linear", ">", "CP"),
            ("uniform weight", "GAP + Linear", ">", "CP"),
        ),
        Expected(
            "Where it is rough, nothing of that size learns much, and the 1x1 convolution is "
            "ahead.",
            ("rough weight", "1x1 conv + Linear", ">", "CP"),
        ),
        Expected(
            "On pictures no region is the TRL's: the 1x1 convolution + Linear equals it.",
            *((case, "1x1 conv + Linear", "=", "CP") for case in PICTURES),
        ),
        Expected(
            "Where the corner tells the class, GAP + Linear is blind and every other head is not.",
            *((case, "CP", ">", "GAP + Linear") for case in PICTURES if "placed" in case),
        ),
        Expected(
            "Permuted pixels take the gain of all heads that trust in place.",
            ("permuted pixels, 10,000", "CP", "<=", "Linear"),
            ("permuted pixels, 10,000", "pooled map + Linear", "<=", "CP"),
        ),
    ),
    backbone="cnn",
    heads=(
        Head("Linear", "linear"),
        Head("GAP + Linear", "gap"),
        Head("bottleneck", "bottleneck"),
        Head("1x1 conv + Linear", "conv1x1"),
        Head("pooled map + Linear", "pooled"),
        Head("CP", "cp"),
        Head("CP, p = 0.4", "cp", p=0.4),
        Head("Tucker", "tucker"),
    ),
    cases=(
        Case("rough weight", "tensors", samples=2000),
        Case("smooth weight", "tensors", samples=2000, weight="smooth"),
        Case("uniform weight", "tensors", samples=2000, weight="uniform"),
        Case("low-rank weight", "tensors", samples=2000, weight="low-rank"),
        Case("low-rank, 500 samples", "tensors", samples=500, weight="low-rank"),
        Case("low-rank, 10,000 samples", "tensors", samples=10_000, weight="low-rank"),
        Case("low-rank, map 4 x 4", "tensors", samples=2000, shape=(32, 4, 4), weight="low-rank"),
        Case(
            "low-rank, map 12 x 12", "tensors", samples=2000, shape=(32, 12, 12), weight="low-rank"
        ),
        Case("low-rank, 2 classes", "tensors", samples=2000, classes=2, weight="low-rank"),
        Case("low-rank, 40 classes", "tensors", samples=2000, classes=40, weight="low-rank"),
        Case("pictures, 1,000", samples=1000),
        Case("pictures, 10,000", samples=10_000),
        Case("placed pictures, 1,000", "placed", samples=1000, classes=8),
        Case("placed pictures, 10,000", "placed", samples=10_000, classes=8),
        Case("permuted pixels, 10,000", "permuted", samples=10_000),
    ),
    training=Training(
        epochs=8,
        batch=256,
        tries=((1e-3, 0.05), (3e-3, 0.05), (1e-2, 0.5)),
        least_steps=400,
        augment=False,
    ),
    budget_s=400,
)
