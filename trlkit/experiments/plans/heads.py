"""Twelve heads on VGG16, trained whole on CIFAR-10.

On paper, on one H100 in bf16: an epoch of 45,000 pictures 0.9 s. 12 heads, 5 seeds, 8 epochs:
430 s; 12 heads, 3 tries, 2.4 epochs: 80 s; the float32 control 3 x 20 s; speed 12 x 1 s: 580 s
one after the other. Three at a time fill the gaps between kernels: about 450 s.
"""

from trlkit.experiments.heads import Head
from trlkit.experiments.plan import Expected, Plan, Training

PLAN = Plan(
    name="heads",
    question="What does the head of a deep network cost and bring, when all else is alike?",
    expected=(
        Expected(
            "No two heads are further apart than what a seed does: a deep backbone brings its "
            "classes to where any head can tell them, so that the intervals of nearly all pairs "
            "hold 0.",
            *(("all", head, "=", "CP") for head in ("FC", "Linear", "bottleneck", "Tucker", "TT")),
        ),
        Expected(
            "GAP + Linear, the smallest of all, is as good as any TRL.",
            *(("all", "GAP + Linear", "=", head) for head in ("CP", "CP, rank 10", "Tucker", "TT")),
        ),
        Expected(
            "The original classifier has over a thousand times the parameters and no better "
            "accuracy.",
            ("all", "FC", "<=", "CP"),
            ("all", "FC, dropout 0.5", "<=", "CP"),
        ),
        Expected(
            "Tensor dropout changes nothing: eight epochs do not overfit 15,910 numbers.",
            ("all", "CP, p = 0.4", "=", "CP"),
        ),
    ),
    backbone="vgg16",
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
        Head("CP, rank 10", "cp", rank=10),
        Head("Tucker", "tucker"),
        Head("TT", "tt"),
    ),
    training=Training(
        epochs=8, batch=512, tries=((1e-3, 0.05), (3e-3, 0.05), (3e-3, 0.5)), trial_share=0.3
    ),
    budget_s=500,
    speed=True,
    control=("CP",),
    processes=3,
)
