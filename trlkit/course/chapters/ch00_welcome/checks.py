"""Chapter 00: what flattening costs."""

from collections.abc import Iterator

from torch import nn

from trlkit.course.checking import networks
from trlkit.course.checking.answer import Recipe
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz


def flat_features(channels: int, height: int, width: int) -> int:
    return sum(1 for _ in range(channels) for _ in range(height) for _ in range(width))


def flat_features_cases(draw: Draw) -> Iterator[Case]:
    yield Case(draw.sizes(2, 3, 4))
    yield Case(draw.sizes(5, 1, 3))
    yield Case((512, 7, 7), "VGG16")
    yield Case((1, 1, 1))


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def fc_share(model: nn.Module) -> tuple[int, int, float]:
    total = count_parameters(model)
    linear = sum(count_parameters(m) for m in model.modules() if isinstance(m, nn.Linear))
    return total, linear, linear / total


def network_cases(draw: Draw) -> Iterator[Case]:
    for builder in (networks.small_cnn, networks.nested_cnn, networks.frozen_cnn):
        yield Case((Recipe(builder, draw.sizes(4, 3)),))
    yield Case((Recipe(networks.one_linear, draw.sizes(3, 2)),), "one layer alone")
    yield Case((Recipe(networks.without_bias, draw.sizes(6, 3)),))
    yield Case((Recipe(networks.convolutions_only, draw.sizes(4, 3)),), "no linear layer")
    yield Case((Recipe(networks.meta_cnn, draw.sizes(5, 7)),), "on the meta device")


def cp_trl_parameters(input_shape: tuple[int, ...], num_classes: int, rank: int) -> int:
    factors = [size * rank for size in (*input_shape, num_classes)]
    return sum(factors) + num_classes


def cp_trl_cases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.sizes(2, 3, 4), *draw.sizes(5, 6)))
    yield Case((draw.sizes(8, 1, 1), *draw.sizes(3, 2)))
    yield Case((draw.sizes(2, 3), *draw.sizes(4, 1)), "two input modes")
    yield Case(((512, 7, 7), 1000, draw.choice(100, (50, 200))), "VGG16's activation")


EXERCISES = (
    Exercise(
        name="flat_features",
        signature=("channels", "height", "width"),
        oracle=flat_features,
        cases=flat_features_cases,
        gradients=False,
    ),
    Exercise(
        name="count_parameters",
        signature=("model",),
        oracle=count_parameters,
        cases=network_cases,
        gradients=False,
    ),
    Exercise(
        name="fc_share",
        signature=("model",),
        oracle=fc_share,
        cases=network_cases,
        uses=("count_parameters",),
        gradients=False,
    ),
    Exercise(
        name="cp_trl_parameters",
        signature=("input_shape", "num_classes", "rank"),
        oracle=cp_trl_parameters,
        cases=cp_trl_cases,
        gradients=False,
    ),
    Quiz("quiz_flatten", "abcd"),
    Quiz("quiz_where", "abcd"),
)
