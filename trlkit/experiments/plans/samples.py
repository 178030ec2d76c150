"""Heads on the small CNN, with 1 to 100 % of CIFAR-10's training pictures.

On paper, on one H100: 176 steps an epoch of about 1 ms, 8 epochs 1.4 s, 600 steps at least
0.6 s, 0.5 s around them. 10 heads, 5 shares: 250 final runs and 150 trials of 0.4 times as
long: about 480 s one after the other, 200 s eight at a time.
"""

from trlkit.experiments.heads import Head
from trlkit.experiments.plan import Case, Expected, Plan, Training

SHARES = {f"{percent} %": percent for percent in (1, 3, 10, 30, 100)}

PLAN = Plan(
    name="samples",
    question="With how many pictures does a small head pay?",
    expected=(
        Expected(
            "With 1 and 3 % of the pictures the TRLs beat the FC and the Linear head, which "
            "overfit.",
            *((case, "CP", ">", other) for case in ("1 %", "3 %") for other in ("FC", "Linear")),
        ),
        Expected(
            "With all of them the FC wins, for it has a nonlinearity and a hundred times the "
            "numbers.",
            ("100 %", "FC", ">", "CP"),
        ),
        Expected(
            "Tensor dropout helps most where pictures are few.",
            ("1 %", "CP, p = 0.4", ">", "CP"),
            ("100 %", "CP, p = 0.4", "<=", "CP"),
        ),
        Expected(
            "The 1x1 convolution + Linear keeps up with CP at every share.",
            *((case, "1x1 conv + Linear", "=", "CP") for case in SHARES),
        ),
    ),
    backbone="cnn",
    heads=(
        Head("FC", "fc"),
        Head("FC, dropout 0.5", "fc", p=0.5),
        Head("Linear", "linear"),
        Head("GAP + Linear", "gap"),
        Head("bottleneck", "bottleneck"),
        Head("1x1 conv + Linear", "conv1x1"),
        Head("pooled map + Linear", "pooled"),
        Head("CP", "cp"),
        Head("CP, p = 0.4", "cp", p=0.4),
        Head("Tucker", "tucker"),
    ),
    training=Training(
        epochs=8,
        batch=256,
        tries=((1e-3, 0.05), (3e-3, 0.05), (3e-3, 0.5)),
        least_steps=600,
    ),
    cases=tuple(Case(name, fraction=percent / 100) for name, percent in SHARES.items()),
    budget_s=300,
)
