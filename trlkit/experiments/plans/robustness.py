"""Noise and attack on the small CNN, over the probability of dropping.

On paper, on one H100: 1.4 s of training, 1.5 s of noise and attack on 2,000 test pictures a
run. 21 heads, 5 seeds: 105 final runs and 63 trials: about 400 s one after the other, 150 s
eight at a time.
"""

from trlkit.experiments.heads import Head
from trlkit.experiments.plan import Expected, Plan, Training

DROPS = tuple(k / 10 for k in range(1, 8))

PLAN = Plan(
    name="robustness",
    question="Does tensor dropout make a network bear more noise and attack?",
    expected=(
        Expected(
            "Tensor dropout costs clean accuracy from p = 0.5 on.",
            *(("all", f"CP, p = {p}", "=", "CP") for p in DROPS if p < 0.5),
            *(("all", f"CP, p = {p}", "<", "CP") for p in DROPS if p >= 0.5),
        ),
        Expected(
            "Under Gaussian noise it gains a few points; ordinary dropout of the FC gains as much.",
            *(("all", f"CP, p = {p}", ">", "CP", "noise_0.1") for p in (0.2, 0.4)),
            *(("all", f"FC, dropout {p}", ">", "FC", "noise_0.1") for p in (0.2, 0.4)),
        ),
        Expected(
            "FGSM and PGD at 2/255 and more break every head, with dropout or without.",
            ("all", "CP, p = 0.7", "=", "CP", "pgd_2"),
            ("all", "FC, dropout 0.7", "=", "FC", "pgd_2"),
        ),
        Expected(
            "Dropout makes the FC better calibrated; CP at its size has nothing to mend.",
            ("all", "FC, dropout 0.5", "<", "FC", "ece"),
            ("all", "CP, p = 0.4", "=", "CP", "ece"),
        ),
    ),
    backbone="cnn",
    heads=(
        Head("CP", "cp"),
        *(Head(f"CP, p = {p}", "cp", p=p) for p in DROPS),
        Head("FC", "fc"),
        *(Head(f"FC, dropout {p}", "fc", p=p) for p in DROPS),
        Head("Linear", "linear"),
        Head("GAP + Linear", "gap"),
        Head("bottleneck", "bottleneck"),
        Head("1x1 conv + Linear", "conv1x1"),
        Head("pooled map + Linear", "pooled"),
    ),
    training=Training(epochs=8, batch=256, tries=((1e-3, 0.05), (3e-3, 0.05), (3e-3, 0.5))),
    budget_s=250,
    attacks=True,
)
