"""Heads for ten classes on the features of a VGG16 that was trained on eight.

On paper, on one H100: the backbone once, 8 epochs of 36,000 pictures 6 s; its features of all
pictures 1 s a process. A head alone: 704 steps of 0.4 ms, rank 10000 of 1 ms, 0.5 s around them.
10 heads, 20 seeds, 2 shares: 400 final runs and 60 trials: 370 s one after the other, 150 s
six at a time.
"""

from trlkit.experiments.heads import Head
from trlkit.experiments.plan import Case, Expected, Plan, Training

PLAN = Plan(
    name="transfer",
    question="Which head for a frozen backbone?",
    expected=(
        Expected(
            "CP of rank 10000, over sixty times one Linear's parameters, is no better than it.",
            *((case, "CP, rank 10000", "<=", "Linear") for case in ("100 %", "1 %")),
        ),
        Expected(
            "With 1 % of the pictures the small heads beat the Linear and the FC.",
            *(
                ("1 %", head, ">", other)
                for head in ("CP", "GAP + Linear", "pooled map + Linear")
                for other in ("Linear", "FC, dropout 0.5")
            ),
        ),
        Expected(
            "GAP + Linear wins with 1 %: the features of a deep backbone say the same everywhere.",
            *(("1 %", "GAP + Linear", ">", head) for head in ("CP", "CP, p = 0.4", "Linear")),
        ),
        Expected(
            "Dropout p = 0.4 helps rank 10000 and hurts the CP of the rivals' size.",
            *(
                (case, f"{head}, p = 0.4", relation, head)
                for case in ("100 %", "1 %")
                for head, relation in (("CP, rank 10000", ">"), ("CP", "<"))
            ),
        ),
    ),
    backbone="frozen",
    heads=(
        Head("FC, dropout 0.5", "fc", p=0.5),
        Head("Linear", "linear"),
        Head("GAP + Linear", "gap"),
        Head("bottleneck", "bottleneck"),
        Head("1x1 conv + Linear", "conv1x1"),
        Head("pooled map + Linear", "pooled"),
        Head("CP", "cp"),
        Head("CP, p = 0.4", "cp", p=0.4),
        Head("CP, rank 10000", "cp", rank=10000),
        Head("CP, rank 10000, p = 0.4", "cp", rank=10000, p=0.4),
    ),
    cases=(Case("100 %"), Case("1 %", fraction=0.01)),
    seeds=20,
    training=Training(
        epochs=4,
        batch=512,
        tries=((1e-3, 0.05), (3e-3, 0.05), (1e-2, 0.5)),
        least_steps=300,
        augment=False,
    ),
    budget_s=300,
    processes=6,
)
