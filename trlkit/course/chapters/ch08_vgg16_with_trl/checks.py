"""Chapter 08: VGG16 with a tensor regression layer, on networks of its make and a small size."""

import copy
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trlkit import CPTRL
from trlkit.course.chapters.ch08_vgg16_with_trl.networks import (
    Far,
    FarBatches,
    batches_once,
    double_backbone,
    double_batches,
    double_network,
    dropping,
    far_batches,
    half_frozen_backbone,
    image_batches,
    is_tensor,
    one_bias,
    pooled_backbone,
    scaled_trl,
    small_backbone,
    small_vgg,
    small_vgg_bn,
    trl_network,
    two_learning_parts,
)
from trlkit.course.checking import heads
from trlkit.course.checking.answer import RIGHT, Recipe, Verdict, plain
from trlkit.course.checking.compare import describe
from trlkit.course.checking.exercise import Case, Draw, Exercise, Quiz
from trlkit.course.checking.networks import one_linear
from trlkit.lab import halves
from trlkit.lab.statistics import interval


def _told(found: dict, *keys: str) -> dict:
    """What a probe found, under all the keys that it has; None where it stopped before."""
    return {key: found.get(key) for key in keys}


def _learning(network: nn.Module) -> str:
    names = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    return _listed(names)


def _training(network: nn.Module) -> str:
    names = [name or "the network" for name, m in network.named_modules() if m.training]
    return _listed(names)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4] or ["none"]) + (
        f" and {len(names) - 4} more" if len(names) > 4 else ""
    )


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _moved(network: nn.Module, before: dict[str, Tensor], names: Iterable[str]) -> list[str]:
    """Which of the named tensors are no longer what they were."""
    state = network.state_dict()
    return [n for n in names if n not in state or not torch.equal(state[n], before[n])]


def _same_network(result: Any, network: nn.Module) -> Verdict:
    if result is network:
        return RIGHT
    what = f"{result!r}"
    if isinstance(result, nn.Module):
        what = f"another object, a {type(result).__name__}"
    text = f"expected the network that came in, changed in place; got {what[:60]}"
    return Verdict(f"returned: {what[:60]}", text)


def freeze_network(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        parameter.requires_grad = False
    for module in model.modules():
        module.training = False
    return model


FROZEN = (
    "returned",
    "parameters that still learn",
    "modules still in training mode",
    "weights",
)


def freezing(answer: Callable, model: nn.Module) -> dict:
    before = _state(model)
    result = answer(model)
    same = _same_network(result, model)
    if same != RIGHT and isinstance(result, nn.Module):  # the rest is asked of the one that came in
        return _told({"returned": same}, *FROZEN)
    moved = _moved(model, before, before)
    return {
        "returned": same,
        "parameters that still learn": _learning(model),
        "modules still in training mode": _training(model),
        "weights": Verdict("moved", f"{moved[0]} is gone, or has other numbers than before")
        if moved
        else RIGHT,
    }


def freeze_cases(draw: Draw) -> Iterator[Case]:
    (channels,) = draw.sizes(4)
    yield Case((Recipe(small_vgg, (channels,)),))
    yield Case((Recipe(small_vgg_bn, (channels,)),), "with batch normalization")
    yield Case((Recipe(half_frozen_backbone, (channels,)),), "partly frozen before")
    yield Case((Recipe(one_linear, (channels, 2)),), "a single layer")
    yield Case((Recipe(scaled_trl, (channels,)),), "a TRL, and a parameter in no layer")


def vgg_with_trl(
    model: nn.Module, num_classes: int, rank: int, dropout: float, size: int
) -> nn.Module:
    freeze_network(model)
    shape = tuple(model.features(torch.zeros(1, 3, size, size)).shape[1:])
    model.classifier = nn.Sequential()
    model.avgpool = CPTRL(shape, num_classes, rank, dropout=dropout)
    return model


SURGERY = (
    "network",
    "what the layer takes",
    "what the layer gives",
    "its rank",
    "its dropout",
    "parameters left in the classifier",
    "parameters that learn",
    "features",
    "output",
)


def surgery(
    answer: Callable, model: nn.Module, num_classes: int, rank: int, dropout: float, size: int
) -> dict:
    features, before = model.features, _state(model.features)
    result = answer(model, num_classes, rank, dropout, size)
    same = _same_network(result, model)
    if same != RIGHT:
        return _told({"network": same}, *SURGERY)
    layer = model.avgpool
    if not isinstance(layer, CPTRL):
        kind = " of ".join(filter(None, (type(layer).__name__, _parts(layer))))
        places = [f"`model.{name}`" for name, m in model.named_modules() if isinstance(m, CPTRL)]
        kind += f"; a CPTRL is {' and '.join(places)}" if places else "; no CPTRL is in the network"
        text = f"`model.avgpool` is now: {kind}; expected a CPTRL in its place"
        return _told({"network": Verdict(kind, text)}, *SURGERY)
    left = sum(p.numel() for m in _classifier(model) for p in m.parameters())
    told = {
        "network": RIGHT,
        "what the layer takes": tuple(layer.input_shape),
        "what the layer gives": tuple(layer.output_shape),
        "its rank": layer.rank,
        "its dropout": float(layer.dropout.p),
        "parameters left in the classifier": left,
        "parameters that learn": _learning(model),
    }
    if told["parameters that learn"] == _listed([]):
        return _told(told, *SURGERY)
    moved = _moved(features, before, before) if model.features is features else ["features"]
    told["features"] = RIGHT
    if moved:
        told["features"] = Verdict("moved", f"{moved[0]} of the features has changed")
    elif any(module.training for module in features.modules()):
        text = "the features are in training mode: dropout and batch normalization are awake"
        told["features"] = Verdict("awake", text)
    torch.default_generator.manual_seed(1)
    x = torch.randn(2, 3, size, size)
    try:
        with torch.no_grad():
            told["output"] = _given(model.eval()(x), layer(model.features(x)))
    except Exception as error:
        text = f"the network no longer runs on a batch of images: {str(error)[:200]}"
        told["output"] = Verdict("raises", text)
    return _told(told, *SURGERY)


def _classifier(model: nn.Module) -> list[nn.Module]:
    return [model.classifier] if isinstance(model.classifier, nn.Module) else []


def _parts(layer: Any) -> str:
    """The modules in one, by their types."""
    parts = layer.children() if isinstance(layer, nn.Module) else ()
    return ", ".join(type(part).__name__ for part in parts)


def _given(output: Tensor, expected: Tensor) -> Verdict:
    if output.shape != expected.shape:
        shapes = f"{tuple(output.shape)}, expected {tuple(expected.shape)}"
        return Verdict("shape", f"for two images the network gives shape {shapes}")
    if not torch.allclose(output, expected, atol=1e-5):
        return Verdict("values", "the network gives something other than its layer: what follows?")
    return RIGHT


def surgery_cases(draw: Draw) -> Iterator[Case]:
    channels, classes, rank = draw.sizes(8, 5, 6)
    yield Case((Recipe(small_vgg, (channels,)), classes, rank, 0.4, 32), "images of 32 x 32")
    yield Case((Recipe(small_vgg, (channels,)), classes, rank, 0.25, 12), "images of 12 x 12")
    yield Case((Recipe(small_vgg, (channels, 3)), classes, rank + 1, 0.0, 40), "halved 3 times")
    yield Case((Recipe(small_vgg_bn, (channels,)), classes, rank, 0.1, 10), "batch normalization")


def head_costs(input_shape: tuple[int, ...], num_classes: int, rank: int) -> dict[str, int]:
    channels = input_shape[0]
    inputs = math.prod(input_shape)
    enough = inputs * num_classes // max(*input_shape, num_classes)
    modes = sum(input_shape) + num_classes
    own = [(channels * 49, 4096), (4096, 4096), (4096, num_classes)]
    return {
        "TRL": rank * modes + num_classes,
        "classifier": sum(rows * columns + columns for rows, columns in own),
        "Linear": inputs * num_classes + num_classes,
        "pooled": channels * num_classes + num_classes,
        "enough": enough * modes + num_classes,
    }


def head_costs_cases(draw: Draw) -> Iterator[Case]:
    rank = draw.choice(10000, range(100, 5000))
    yield Case(((512, 7, 7), 10, rank), "the seed's")
    yield Case(((512, 2, 2), *draw.sizes(10, 40)), "images of 64 x 64")
    yield Case(((64, 3, 2), 100, *draw.sizes(20)), "more classes than channels")
    yield Case(((10, 3, 2), 10, *draw.sizes(6)), "as many classes as channels")
    yield Case(((4, 9, 2), *draw.sizes(5, 3)), "more rows than channels")
    yield Case(((16, 1, 1), *draw.sizes(7, 3)), "a single pixel")
    yield Case(((8, 9, 14), *draw.sizes(6, 5)), "more places than 7 x 7")


def cached_features(
    backbone: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    backbone.eval()
    activations, labels = [], []
    for x, y in batches:
        for image, label in zip(x, y, strict=True):
            with torch.no_grad():
                activations.append(backbone(image[None])[0].cpu())
            labels.append(label.cpu())
    return torch.stack(activations), torch.stack(labels)


CACHE = ("returned", "features", "labels", "graph", "grad mode", "backbone", "CPU")


def caching(answer: Callable, backbone: nn.Module, batches: Iterable) -> dict:
    torch.default_generator.manual_seed(0)
    before = _state(backbone)
    result = answer(backbone, batches)
    off = not torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    if not isinstance(result, tuple | list) or len(result) != 2:
        kind = type(result).__name__
        verdict = Verdict(f"a {kind}", f"expected (features, labels), got a {kind}")
        return _told({"returned": verdict}, *CACHE)
    features, labels = result
    tensors = [item for item in result if is_tensor(item)]
    moved = _moved(backbone, before, before)
    told = {
        "returned": RIGHT,
        "features": features,
        "labels": labels,
        "graph": RIGHT,
        "grad mode": Verdict(
            "off",
            "after your function gradients are off in the whole notebook, and nothing learns any "
            "more: `with torch.no_grad():` puts them back",
        )
        if off
        else RIGHT,
        "backbone": Verdict("moved", f"{moved[0]} of the backbone has moved on the way")
        if moved
        else RIGHT,
    }
    if is_tensor(labels) and labels.dtype != torch.int64:
        text = f"the labels came as torch.int64 and are {labels.dtype} now"
        told["labels"] = Verdict(str(labels.dtype), text)
    if any(tensor.requires_grad for tensor in tensors):
        text = "the features require a gradient: the graph of every batch stays in memory"
        told["graph"] = Verdict("graph", text)
    elif any(tensor.is_inference() for tensor in tensors):
        text = "inference tensors cannot be trained on: torch.no_grad() makes plain ones"
        told["graph"] = Verdict("inference", text)
    elif isinstance(here := getattr(batches, "here", batches), FarBatches):
        told["CPU"] = _at_home(backbone, here.near, result)
    return _told(told, *CACHE)


def _at_home(backbone: nn.Module, batches: Iterable, result: Iterable) -> Verdict:
    """Whether results of batches on a GPU, where both are right, lie on the CPU."""
    far = None
    for name, got, expected in zip(
        ("features", "labels"), result, cached_features(backbone, batches), strict=True
    ):
        right = is_tensor(got) and got.shape == expected.shape
        if not right or not torch.allclose(got, expected, atol=1e-5):
            return RIGHT
        if isinstance(got, Far):
            far = far or name
    text = f"with batches on a GPU the {far} stay there, not on the CPU"
    return Verdict("far", text) if far else RIGHT


def cached_features_cases(draw: Draw) -> Iterator[Case]:
    channels, more, batch = draw.sizes(4, 2, 3)
    backbone = Recipe(small_backbone, (channels,))
    samples = 2 * batch + 1
    yield Case((backbone, Recipe(image_batches, (samples, batch))), "a last batch of one")
    yield Case((backbone, Recipe(image_batches, (more * batch, batch))), "batches of one size")
    yield Case((backbone, Recipe(batches_once, (samples, batch))), "batches without a length")
    yield Case((backbone, Recipe(far_batches, (samples, batch))), "batches as if on a GPU")
    pooled = Recipe(pooled_backbone, (channels,)), Recipe(image_batches, (samples, batch))
    yield Case(pooled, "a single place in each channel")
    double = Recipe(double_backbone, (channels,)), Recipe(double_batches, (samples, batch))
    yield Case(double, "a backbone in float64")
    own = Recipe(dropping, (channels,)), Recipe(image_batches, (samples, batch))
    yield Case(own, "a backbone that asks for its own mode")


def head_state(model: nn.Module) -> dict[str, Tensor]:
    state = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            state[name] = parameter.detach().clone()
    return state


SAVED = ("returned", "names", "network", "graph", "later", "tensors")


def saving_head(answer: Callable, model: nn.Module) -> dict:
    learning = _all(n for n, p in model.named_parameters() if p.requires_grad)
    result = answer(model)
    if not isinstance(result, dict):
        kind = type(result).__name__
        verdict = Verdict(f"a {kind}", f"expected a dict of tensors, got a {kind}")
        return _told({"returned": verdict}, *SAVED)
    told = {"returned": RIGHT, "names": _all(result)}
    if told["names"] != learning:
        return _told(told, *SAVED)
    graph = [k for k, v in result.items() if is_tensor(v) and v.requires_grad]
    own = [k for k in graph if result[k].grad_fn is None]
    frozen = [k for k, p in model.named_parameters() if k in result and not p.requires_grad]
    before = {k: v.detach().clone() for k, v in result.items() if is_tensor(v)}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(-2.0)
    shared = [k for k in before if not torch.equal(result[k], before[k])]
    told["network"] = told["graph"] = told["later"] = RIGHT
    if frozen:
        text = f"afterwards {frozen[0]} of the network no longer requires a gradient"
        told["network"] = Verdict("frozen", text)
    if graph:
        what = "a Parameter" if own else "a tensor in a graph"
        text = f"{graph[0]} is {what}, and requires a gradient"
        told["graph"] = Verdict(what, text)
    if shared:
        text = f"when the network was trained on, the saved {shared[0]} moved with it"
        told["later"] = Verdict("shared", text)
    if not (graph or shared):
        told["tensors"] = dict(result)
    return _told(told, *SAVED)


def _all(names: Iterable) -> str:
    return ", ".join(sorted(map(str, names)))


def head_state_cases(draw: Draw) -> Iterator[Case]:
    channels, classes = draw.sizes(4, 5)
    yield Case((Recipe(trl_network, (channels, classes)),))
    yield Case((Recipe(two_learning_parts, (channels, classes)),), "another head")
    yield Case((Recipe(double_network, (channels, classes)),), "a network in float64")
    yield Case((Recipe(one_bias, (channels, classes)),), "a scale and a bias learn")


SOUND = "what another one saved"
FAULTS = (
    "a name is missing",
    "a name is unknown",
    "a frozen one in it",
    "a buffer in it",
    "a name exchanged",
    "one row instead of all",
    "one column instead of all",
    "a factor transposed",
)


def saved(model: nn.Module, fault: str) -> dict[str, Tensor]:
    """What another network of the same make saved, in another order; with a fault or none."""
    generator = torch.Generator().manual_seed(7)
    state = {
        name: torch.randn(tensor.shape, generator=generator)
        for name, tensor in reversed(head_state(model).items())
    }
    if fault == "a name is missing":
        del state[next(iter(state))]
    elif fault == "a name is unknown":
        state["head.weight"] = torch.ones(2)
    elif fault == "a frozen one in it":
        name = next(name for name, p in model.named_parameters() if not p.requires_grad)
        state[name] = torch.zeros_like(model.get_parameter(name))
    elif fault == "a buffer in it":
        name, buffer = next(iter(model.named_buffers()))
        state[name] = torch.zeros_like(buffer)
    elif fault == "a name exchanged":
        frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
        del state[next(iter(state))]
        state[frozen[0]] = torch.zeros_like(model.get_parameter(frozen[0]))
    elif fault == "one row instead of all":
        name = next(name for name, tensor in state.items() if tensor.ndim == 2)
        state[name] = state[name][:1]
    elif fault == "one column instead of all":
        name = next(name for name, tensor in state.items() if tensor.ndim == 2)
        state[name] = state[name][:, :1]
    elif fault == "a factor transposed":
        name = next(n for n, t in state.items() if t.ndim == 2 and t.shape != t.T.shape)
        state[name] = state[name].T.clone()
    return state


def restore_head(model: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    expected = {n: p.shape for n, p in model.named_parameters() if p.requires_grad}
    given = {n: t.shape for n, t in state.items()}
    if expected != given:
        raise ValueError(f"the network learns {expected}, the state holds {given}")
    for name, parameter in model.named_parameters():
        if name in state:
            parameter.data.copy_(state[name])
    return model


RESTORED = (
    "network",
    "values",
    "the rest",
    "parameters",
    "parameters that learn",
    "the state",
)


def restoring(answer: Callable, model: nn.Module, fault: str) -> dict:
    state = saved(model, fault)
    if fault != SOUND:
        return {"refused": _refusal(answer, model, state)}
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    before, given = _state(model), {n: t.clone() for n, t in state.items()}
    ordered = copy.deepcopy(model), head_state(model)
    try:
        result = answer(model, state)
    except (ValueError, RuntimeError, AssertionError) as error:
        if isinstance(error, RuntimeError) and "loading state_dict" not in str(error):
            raise
        return _told({"network": _refused(answer, ordered, error)}, *RESTORED)
    kept = _kept(state, given)
    now = dict(model.named_parameters())
    wrong = [n for n in given if not torch.equal(now[n], given[n])]
    others = _moved(model, before, before.keys() - given.keys())
    changed = [n for n in own if now[n] is not own[n]]
    told = {
        "network": _same_network(result, model),
        "values": Verdict(
            "wrong", f"afterwards {wrong[0]} is not what was saved, and {len(wrong)} are so"
        )
        if wrong
        else RIGHT,
        "the rest": Verdict("moved", f"{others[0]} has changed, and was not in the state")
        if others
        else RIGHT,
        "parameters": Verdict(
            "other objects",
            f"{changed[0]} is another Parameter object now: an optimizer made before goes on "
            f"with the old one",
        )
        if changed
        else RIGHT,
        "parameters that learn": _learning(model),
        "the state": kept,
    }
    with torch.no_grad():
        for parameter in now.values():
            parameter.mul_(-2.0)
    if kept == RIGHT and _kept(state, given) != RIGHT:
        text = "when the network is trained on, the state moves with it: they share their memory"
        told["the state"] = Verdict("shared", text)
    return told


def _kept(state: dict[str, Tensor], given: dict[str, Tensor]) -> Verdict:
    """Whether a state is still what was handed over."""
    if state.keys() != given.keys():
        return Verdict("other names", "your function takes tensors out of the state that it gets")
    if any(not torch.equal(state[name], given[name]) for name in given):
        return Verdict("other values", "your function changes the tensors of the state")
    return RIGHT


def _refused(answer: Callable, ordered: tuple, error: Exception) -> Verdict:
    """What is said of an answer that refused a sound state in another order than its own."""
    try:
        answer(*ordered)
    except (ValueError, RuntimeError, AssertionError):
        text = f"this state fits and is refused: {type(error).__name__}: {str(error)[:200]}"
        return Verdict("refused", text)
    text = "this state fits and is refused because its names come in another order: any will do"
    return Verdict("refused for the order", text)


def _refusal(answer: Callable, model: nn.Module, state: dict[str, Tensor]) -> Verdict:
    try:
        answer(model, state)
    except NotImplementedError:
        raise
    except ValueError:
        return RIGHT
    except (KeyError, RuntimeError, AssertionError) as error:
        kind = type(error).__name__
        text = f"this state does not fit, and your function raises {kind}: asked is ValueError"
        return Verdict(kind, text)
    return Verdict("taken", "this state does not fit: expected a ValueError, it was taken silently")


def restore_head_cases(draw: Draw) -> Iterator[Case]:
    channels, classes = draw.sizes(4, 5)
    yield Case((Recipe(trl_network, (channels, classes)), SOUND))
    yield Case((Recipe(two_learning_parts, (channels, classes)), SOUND), "another head")
    for fault in FAULTS:
        yield Case((Recipe(trl_network, (channels, classes)), fault), "refused")
    last = "one row instead of all"  # a TRL refuses that by itself, a Linear otherwise
    yield Case((Recipe(two_learning_parts, (channels, classes)), last), "refused, another head")


class PooledHead(nn.Module):
    """Global average pooling and one linear layer."""

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_classes, channels, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(num_classes, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        rows = []
        for sample in x:
            means = torch.stack([channel.sum() / channel.numel() for channel in sample])
            rows.append(self.weight @ means + self.bias)
        return torch.stack(rows)


def equal_rivals(input_shape: tuple[int, ...], num_classes: int, budget: int) -> dict[str, int]:
    channels, height, width = input_shape
    inputs = channels * height * width

    def cp(rank: int) -> int:
        return sum(size * rank for size in (*input_shape, num_classes)) + num_classes

    def mixing(k: int) -> int:
        convolution = k * channels + k
        return convolution + k * height * width * num_classes + num_classes

    def bottleneck(k: int) -> int:
        return inputs * k + k + k * num_classes + num_classes

    found = {}
    for name, count in (("TRL", cp), ("mixing", mixing), ("bottleneck", bottleneck)):
        found[name] = 0
        while count(found[name] + 1) <= budget:
            found[name] += 1
    return found


def equal_rivals_cases(draw: Draw) -> Iterator[Case]:
    yield Case(((512, 2, 2), 10, draw.choice(5300, range(3000, 9000))), "images of 64 x 64")
    shape, classes = draw.sizes(4, 3, 2), draw.choice(5, (6, 7))
    each = sum(shape) + classes, shape[0] + 1 + shape[1] * shape[2] * classes
    each += (math.prod(shape) + 1 + classes,)
    for name, numbers in zip(("the TRL", "mixing", "the bottleneck"), each, strict=True):
        yield Case((shape, classes, 7 * numbers + classes), f"{name} fits exactly")
        yield Case((shape, classes, 7 * numbers + classes - 1), f"{name}, one number less")
    yield Case((shape, classes, 150 * each[0] + classes), "a large budget")
    yield Case((shape, classes, classes), "nothing but biases fits")
    yield Case((shape, classes, 0), "nothing fits")
    yield Case(((3, 1, 1), 100, 1000), "a single pixel, many classes")


def pooled_head(channels: int, num_classes: int) -> nn.Module:
    return PooledHead(channels, num_classes)


POOLED = (
    "returned",
    "number of parameters",
    "runs",
    "output",
    "gradient",
    "another order in memory",
    "another one",
)


def pooling_head(answer: Callable, channels: int, num_classes: int, shape: tuple) -> dict:
    head = answer(channels, num_classes)
    if not isinstance(head, nn.Module):
        text = f"expected an nn.Module, got {type(head).__name__}"
        return _told({"returned": Verdict("no module", text)}, *POOLED)
    head = head.double()
    told = {
        "returned": RIGHT,
        "number of parameters": sum(p.numel() for p in head.parameters()),
        "runs": RIGHT,
    }
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    x[:, ::2] += 2
    x[:, 1::2] -= 2  # there are negative means
    weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((num_classes, channels), (num_classes,))
    )
    given = {tuple(values.shape): values for values in (weight.T, weight, bias)}
    with torch.no_grad():
        for parameter in head.parameters():
            values = given.get(tuple(size for size in parameter.shape if size > 1))
            if values is None:  # no parameter of this head is left to chance
                values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(values.reshape(parameter.shape))
        try:
            told["output"] = head(x)
            told |= {"gradient": RIGHT, "another order in memory": RIGHT, "another one": RIGHT}
        except Exception as error:
            text = f"on x {shape} the head raises {type(error).__name__}: {str(error)[:200]}"
            told["runs"] = Verdict(f"raises {str(error)[:200]}", text)
            return _told(told, *POOLED)
    try:
        with torch.no_grad():
            head(x.mT.contiguous().mT)
    except Exception as error:
        text = f"on x {shape} of another order in memory, such as of transposed images, the head "
        text += f"raises {type(error).__name__}: {str(error)[:200]}"
        told["another order in memory"] = Verdict("raises", text)
    x.requires_grad_()
    output = head(x)
    if (
        not output.requires_grad
        or torch.autograd.grad(output.sum(), x, allow_unused=True)[0] is None
    ):
        text = "no gradient reaches what comes in: nothing before this head could learn"
        told["gradient"] = Verdict("no gradient", text)
    if {id(p) for p in head.parameters()} & {
        id(p) for p in answer(channels, num_classes).parameters()
    }:
        text = "a second head of this size has the same Parameter objects"
        told["another one"] = Verdict("shared", text)
    return _told(told, *POOLED)


def pooled_head_cases(draw: Draw) -> Iterator[Case]:
    channels, classes, height, width = draw.sizes(8, 5, 3, 4)
    yield Case((channels, classes, (2, channels, height, width)), "two samples")
    yield Case((channels, classes, (1, channels, height, width)), "one sample")
    yield Case((channels, classes, (3, channels, 1, 1)), "a single pixel")


# ---- what the places are worth --------------------------------------------------------------

UNSEEN = 40  # photographs of a made-up world to measure on, as many as there are to learn from
KINDS = 4


def worth_of_places(
    split: Callable, learn: Callable, shuffle: Callable, seeds: Sequence[int]
) -> tuple:
    def right(head: nn.Module, shown: Tensor, truth: Tensor) -> float:
        with torch.no_grad():
            read = head(shown).argmax(1).tolist()
        hits = sum(one == other for one, other in zip(read, truth.tolist(), strict=True))
        return 100 * hits / len(truth)

    used, needed = [], []
    for seed in seeds:
        x, labels, unseen, truth = split(seed)
        usual, without = learn(x, labels, seed), learn(shuffle(x, seed), labels, seed)
        mixed = shuffle(unseen, seed)
        as_it_is = right(usual, unseen, truth)
        used.append(as_it_is - right(usual, mixed, truth))
        needed.append(as_it_is - right(without, mixed, truth))
    used, needed = interval(used), interval(needed)
    return used, needed, in_a_word(used, needed)


def in_a_word(used: tuple[float, float], needed: tuple[float, float]) -> str:
    """What two intervals, each a mean and half of its width, say of the places."""
    if abs(needed[0]) > needed[1]:
        return "needed" if needed[0] > 0 else "in the way"
    return "used" if used[0] > used[1] else "not shown"


# Of 40 photographs: how many a head reads fewer for the shuffling, and how much luck is in that;
# first of a head that has learned with the places, then of one that has learned without.
WORLDS = {
    "used and needed": ((10, 1), (4, 1)),
    "used, not needed": ((8, 1), (0, 2)),
    "in the way": ((3, 1), (-4, 1)),
    "as much luck as loss": ((2, 5), (2, 5)),
    "blind to places": ((0, 0), (0, 0)),
    "better for a shuffling": ((-5, 1), (0, 2)),
}


class World:
    """Made-up photographs, and heads of which it is known how many of them they read.

    No head is trained here: a head reads what it has learned from, and of the others as many as
    the world has drawn for the seed, for what it has learned from, and for what it is shown.
    """

    def __init__(self, name: str, number: int, seeds: Sequence[int]):
        self.effects, self.number, self.most = WORLDS[name], number, 6 * len(seeds)
        self.faults: list[Verdict] = []
        self.splits: dict[int, tuple[Tensor, ...]] = {}
        self.learned: list[tuple[int, int, bool]] = []  # whose photographs, which start, shuffled
        self.orders: dict[tuple, list[tuple[int, ...]]] = {}  # of places, where shuffled
        self.shuffles: list[int] = []  # their seeds

    def drawn(self, *of: int) -> torch.Generator:
        seed = self.number
        for part in of:
            seed = (1_000_003 * seed + int(part) + 17) % 2**31
        return torch.Generator().manual_seed(seed)

    def split(self, seed: int) -> tuple[Tensor, ...]:
        seed = int(seed)
        if len(self.splits) > self.most:
            raise RuntimeError("far more splits than there are seeds")
        if seed not in self.splits:
            generator = self.drawn(seed)
            x = torch.randn(2 * UNSEEN, 3, 2, 2, generator=generator)
            labels = torch.randint(KINDS, (2 * UNSEEN,), generator=generator)
            self.splits[seed] = x[:UNSEEN], labels[:UNSEEN], x[UNSEEN:], labels[UNSEEN:]
        return tuple(tensor.clone() for tensor in self.splits[seed])

    def shuffle(self, x: Tensor, seed: int) -> Tensor:
        self.shuffles.append(int(seed))
        generator = self.drawn(3, seed)
        turned = torch.randint(1, 4, (len(x), 1), generator=generator)  # no photograph stays
        places = (torch.arange(4) + turned) % 4
        flat = x.flatten(2)
        return flat.gather(2, places[:, None].expand_as(flat)).reshape(x.shape)

    def known(self, x: Tensor, by: Any = None) -> list[tuple[int, int, bool]] | None:
        """Of each photograph: its split, its place there, and whether its places are shuffled."""
        if x.ndim != 4 or x.shape[1:] != (3, 2, 2) or not len(x) or not self.splits:
            return None
        seeds = list(self.splits)
        every = torch.cat([split[k] for split in self.splits.values() for k in (0, 2)])
        gaps = (x.to(every).sum((2, 3))[:, None] - every.sum((2, 3))).abs().amax(2)
        nearest, places = gaps.min(1)
        if nearest.max() > 1e-3:
            return None
        moved = ~torch.isclose(every[places], x.to(every)).flatten(1).all(1)
        both = 2 * UNSEEN
        came = (
            x.to(every)[:, 0].flatten(1)[:, :, None] - every[places, 0].flatten(1)[:, None]
        ).abs()
        for k, one, order in zip(places.tolist(), moved, came.argmin(2).tolist(), strict=True):
            if one:
                part = seeds[k // both], k % both >= UNSEEN, by
                self.orders.setdefault(part, []).append(tuple(order))
        return [
            (seeds[k // both], k % both, one)
            for k, one in zip(places.tolist(), moved.tolist(), strict=True)
        ]

    def learn(self, x: Tensor, labels: Tensor, seed: int) -> nn.Module:
        if len(self.learned) > self.most:
            raise RuntimeError("far more trainings than the question needs")
        known = self.known(x)
        if not known:
            text = "learn is given something else than photographs of `split`, shuffled or not"
            self.faults.append(Verdict("other photographs", text))
            return Planned(self, 0, int(seed), False).eval()
        of = known[0][0]
        if any(k >= UNSEEN for _, k, _ in known):
            text = "learn is given photographs of `unseen`, which are there to measure on"
            self.faults.append(Verdict("learned from unseen", text))
        elif len({k for _, k, _ in known}) < UNSEEN or len({where for where, _, _ in known}) > 1:
            text = f"learn is given {len({k for _, k, _ in known})} of the {UNSEEN} photographs"
            self.faults.append(Verdict("some photographs", text))
        elif len({moved for _, _, moved in known}) > 1:
            text = "learn is given photographs of which some are shuffled and others are not"
            self.faults.append(Verdict("half shuffled", text))
        elif [int(label) for label in labels] != [int(self.splits[of][1][k]) for _, k, _ in known]:
            text = "learn is given labels that are not those of its photographs"
            self.faults.append(Verdict("other labels", text))
        self.learned.append((of, int(seed), known[0][2]))
        return Planned(self, of, int(seed), known[0][2]).eval()

    def alike(self) -> bool:
        """Whether there are photographs that were all shuffled in one and the same way."""
        return any(len(orders) > 9 and len(set(orders)) == 1 for orders in self.orders.values())

    def reads(self, of: int, start: int, shuffled: bool, moved: bool) -> int:
        """How many of the unseen photographs of a split a head reads."""

        def luck(most: int, *of: int) -> int:
            return int(torch.randint(-most, most + 1, (), generator=self.drawn(*of)))

        (used, used_luck), (needed, needed_luck) = self.effects
        right = 22 + luck(6, 5, of) + luck(3, 6, start)
        if shuffled:
            right -= needed + luck(needed_luck, 8, of)
            return right if moved else right - 6
        return right - used - luck(used_luck, 7, of) if moved else right


class Planned(nn.Module):
    """A head of a world."""

    def __init__(self, world: World, of: int, start: int, shuffled: bool):
        super().__init__()
        self.world, self.told = world, (of, start, shuffled)

    def forward(self, x: Tensor) -> Tensor:
        world, (of, start, shuffled) = self.world, self.told
        if self.training:
            text = "a head is measured in training mode; `learn` gives it in eval mode"
            world.faults.append(Verdict("training mode", text))
        known = world.known(x.detach(), self.told)
        if known is None:
            text = "a head is shown something else than photographs of `split`, shuffled or not"
            world.faults.append(Verdict("other photographs shown", text))
            return torch.zeros(len(x), KINDS)
        scores = torch.zeros(len(x), KINDS)
        order = torch.randperm(UNSEEN, generator=world.drawn(9, of)).tolist()
        reads = {moved: world.reads(of, start, shuffled, moved) for moved in (False, True)}
        for row, (seed, k, moved) in enumerate(known):
            _, labels, _, truth = world.splits[seed]
            label = int(labels[k] if k < UNSEEN else truth[k - UNSEEN])
            # It reads what it has learned from; and half of another split is such.
            right = k < UNSEEN or seed != of or order[k - UNSEEN] < reads[moved]
            scores[row, label if right else (label + 1) % KINDS] = 1
        return scores


WORTH = ("the form", "the photographs", "the seeds", "used", "needed", "what it says")


def worth_probe(answer: Callable, name: str, number: int, seeds: Sequence[int]) -> dict:
    world = World(name, number, seeds)
    found = answer(world.split, world.learn, world.shuffle, list(seeds))
    used, needed, said = _three(found)
    if said is None:
        text = "must return (used, needed, says): two pairs (mean, half), and a word; got "
        return _told({"the form": Verdict("form", text + describe(plain(found)))}, *WORTH)
    told = {"the form": RIGHT, "the photographs": RIGHT, "the seeds": RIGHT}
    if not world.faults and world.alike():
        text = "photographs are all shuffled in one and the same way: each has an order of its own"
        world.faults.append(Verdict("one order", text))
    if world.faults:
        return _told(told | {"the photographs": world.faults[0]}, *WORTH)
    told["the seeds"] = _seeds(world, list(seeds))
    if told["the seeds"] == RIGHT and world.shuffles:
        told["the seeds"] = _shuffles(answer, world, name, list(seeds))
    told["used"] = tuple(round(part, 3) for part in used)
    told["needed"] = tuple(round(part, 3) for part in needed)
    told["what it says"] = RIGHT
    if said != in_a_word(used, needed):
        text = f"you measured used {used[0]:+.1f} +- {used[1]:.1f} and needed {needed[0]:+.1f} +- "
        text += f"{needed[1]:.1f} points, and conclude {said!r}"
        told["what it says"] = Verdict(f"{said} for {in_a_word(used, needed)}", text)
    return _told(told, *WORTH)


def _three(found: Any) -> tuple:
    """Two pairs of floats and a text, or three times None."""
    try:
        used, needed, said = found
        pairs = [tuple(float(part) for part in pair) for pair in (used, needed)]
    except (TypeError, ValueError):
        return None, None, None
    if not isinstance(said, str) or any(len(pair) != 2 for pair in pairs):
        return None, None, None
    return (*pairs, str(said))


def _seeds(world: World, seeds: list[int]) -> Verdict:
    """Whether each seed was used, for the split and for both starts."""
    if sorted(world.splits) != sorted(seeds):
        text = f"with seeds={seeds}, split was asked for the seeds {sorted(world.splits)}"
        return Verdict(f"splits {sorted(world.splits)}", text)
    for of, start, shuffled in world.learned:
        if of != start:
            what = "shuffled photographs" if shuffled else "photographs as they are"
            text = f"learn was given the {what} of split({of}) with the seed {start}"
            return Verdict(f"start {start} for {of}, {shuffled}", text)
    for seed in seeds:
        for shuffled, what in ((False, "as they are"), (True, "with shuffled places")):
            if (seed, seed, shuffled) not in world.learned:
                text = f"learn was never given the photographs of split({seed}) {what}"
                return Verdict(f"never learned {seed} {shuffled}", text)
    return RIGHT


def _shuffles(answer: Callable, world: World, name: str, seeds: list[int]) -> Verdict:
    """Whether what is shuffled follows from the seed of its pair, and is drawn anew with it."""
    if len(set(world.shuffles)) == 1:
        text = f"with seeds={seeds}, shuffle was given the seed {world.shuffles[0]} each time"
        return Verdict("one seed to shuffle by", text)
    if name != next(iter(WORLDS)):  # once is enough
        return RIGHT
    again = World(name, world.number, seeds)
    answer(again.split, again.learn, again.shuffle, list(seeds))
    if sorted(again.shuffles) != sorted(world.shuffles):
        text = "run twice with the same seeds, it shuffles by other seeds the second time"
        return Verdict("seeds of its own to shuffle by", text)
    return RIGHT


def worth_cases(draw: Draw) -> Iterator[Case]:
    for k, (name, (number, *others)) in enumerate(NUMBERS.items()):
        first, *more = SEEDS[k % 3 :] + SEEDS[: k % 3]  # not of one length for all worlds
        seeds = draw.choice(first, more)
        yield Case((name, draw.choice(number, others), seeds), name)


# Worlds of these numbers are what their names say, for each list of seeds.
SEEDS = ([3, 0, 6, 2, 9, 4], [4, 9, 2, 7, 5], [3, 11, 8, 6, 12, 1, 10])
NUMBERS = {
    "used and needed": (2, 4, 7, 8),
    "used, not needed": (5, 1, 3, 6),
    "in the way": (11, 10, 13, 16),
    "as much luck as loss": (27, 10, 28, 45),
    "blind to places": (9, 19, 20),
    "better for a shuffling": (14, 12, 17, 18),
}


# ---- a head of at most 100 numbers ----------------------------------------------------------

BUDGET, AHEAD = 100, 1.0
JUDGED = (0, 1, 2, 3, 4), (10, 11, 12, 13, 14), (20, 21, 22, 23, 24)


@functools.cache
def _rival(seed: int) -> float:
    x, labels, unseen, truth = halves.drawn(seed, mixed=True)
    return halves.accuracy(halves.trained(halves.NineChannels, x, labels, seed), unseen, truth)


def hundred_numbers(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return Signs(input_shape[0], num_classes)


class Signs(nn.Module):
    """Nine sums of the channels' means under signs that are drawn once for all, and a Linear."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        drawn = torch.randn(channels, 9, generator=torch.Generator().manual_seed(0))
        self.signs = 3 * drawn.sign() / channels**0.5
        self.linear = nn.Linear(9, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean((2, 3)) @ self.signs)


def hundred_probe(answer: Callable, shape: tuple, classes: int, seeds: tuple) -> Verdict:
    form = heads.form(answer, shape, classes, BUDGET if seeds else None)
    if form != RIGHT:
        return form
    if not seeds:
        return _alone(answer(shape, classes).eval(), shape)
    gains, shares = [], []
    for seed in seeds:
        x, labels, unseen, truth = halves.drawn(seed, mixed=True)
        head = halves.trained(lambda: answer(shape, classes), x, labels, seed)
        if not shares and (verdict := _all_of_it(head, answer(shape, classes), unseen)) != RIGHT:
            return verdict
        shares.append(halves.accuracy(head, unseen, truth))
        gains.append(shares[-1] - _rival(seed))
    mean, half = interval(gains)
    if mean >= AHEAD:
        return RIGHT
    read = sum(shares) / len(shares)
    text = f"{heads.size(head)} numbers read {read:.1f} % of photographs not learned from; "
    text += f"against nine channels and a Linear, pair by pair: {mean:+.1f} +- {half:.1f} points. "
    text += f"At least {AHEAD:+.1f} is asked"
    return Verdict("not ahead", text)


def _alone(head: nn.Module, shape: tuple) -> Verdict:
    """Whether a head says the same of a photograph alone and among others."""
    x = torch.rand(5, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        among, alone = head(x), torch.cat([head(one[None]) for one in x])
    if torch.allclose(among, alone, rtol=1e-3, atol=1e-3):
        return RIGHT
    text = (
        "in eval mode it gives other logits for a photograph alone than for the same among others"
    )
    text += "\nwhat it says of one may not depend on the others"
    return Verdict("depends on the others", text)


def _all_of_it(head: nn.Module, fresh: nn.Module, x: Tensor) -> Verdict:
    """Whether what a head has learned is in its parameters and buffers."""
    fresh.eval()
    with torch.no_grad():
        for new, old in zip(heads.held(fresh), heads.held(head), strict=True):
            new.copy_(old)
        if torch.allclose(fresh(x), head(x), rtol=1e-3, atol=1e-3):
            return RIGHT
    text = "a trained head and a new one with its parameters and buffers give different outputs\n"
    text += "so it has learned other numbers too, which count and are kept nowhere"
    return Verdict("learned beside its numbers", text)


def hundred_cases(draw: Draw) -> Iterator[Case]:
    yield Case(((24, 4, 3), 4, ()), "another activation, not trained")
    seeds = draw.choice(JUDGED[0], JUDGED[1:])
    yield Case((halves.SHAPE, halves.CLASSES, seeds))


class FrozenBackbone(nn.Module):
    """A network that learns nothing and behaves in training as in evaluation."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = freeze_network(network)

    def train(self, mode: bool = True) -> nn.Module:
        for module in self.modules():
            module.training = False
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


ASLEEP = (
    "made",
    "parameters that it holds",
    "parameters that learn",
    "before .train()",
    "a layer behind it",
    "in training",
    ".train()",
    "the rest",
)


def freezing_for_good(answer: Callable, network: nn.Module) -> dict:
    reference, before = copy.deepcopy(network).eval(), _state(network)
    total = sum(p.numel() for p in network.parameters())
    torch.default_generator.manual_seed(0)
    x = torch.randn(4, 3, 6, 6, dtype=next(network.parameters()).dtype)
    wrapped = answer(network)
    if not isinstance(wrapped, nn.Module):
        text = f"expected an nn.Module, got {type(wrapped).__name__}"
        return _told({"made": Verdict("no module", text)}, *ASLEEP)
    held, own = list(wrapped.parameters()), {id(p) for p in network.parameters()}
    told = {
        "made": RIGHT,
        "parameters that it holds": sum(p.numel() for p in held),
        "parameters that learn": _learning(network),
    }
    if held and not any(id(p) in own for p in held):
        text = "it holds a copy: the network that came in is to become a part of it"
        return _told({"made": Verdict("copy", text)}, *ASLEEP)
    if told["parameters that it holds"] != total:
        return _told(told, *ASLEEP)
    told["before .train()"] = RIGHT
    with torch.no_grad():
        expected, got = reference(x), wrapped(x)
    if got.dtype != expected.dtype:
        text = f"of a network in {expected.dtype} it gives {got.dtype}"
        told["before .train()"] = Verdict(f"gives {got.dtype}", text)
        return _told(told, *ASLEEP)
    if _moved(network, before, before) or not torch.allclose(got, expected, atol=1e-6):
        text = "made and used at once, it does not give what the network gives in eval mode"
        told["before .train()"] = Verdict("awake", text)
    if got.is_inference():
        text = "what it gives is an inference tensor: no layer behind it can be trained on that"
        return _told(told | {"a layer behind it": Verdict("inference", text)}, *ASLEEP)
    told["a layer behind it"] = RIGHT
    model = nn.Sequential(wrapped, nn.Flatten(), nn.Dropout(0.5))
    for who, train in (("the .train() of a network that holds it", model.train),) + (
        ("its .eval()", wrapped.eval),
        ("its .train()", wrapped.train),
        ("its .train(True)", lambda: wrapped.train(True)),
    ):
        network.load_state_dict(before)
        try:
            back = train()
        except NotImplementedError:
            raise
        except Exception as error:
            text = f"{who} raises {type(error).__name__}: {str(error)[:200]}"
            told["in training"] = Verdict(f"{who} raises {type(error).__name__}", text)
            return _told(told, *ASLEEP)
        with torch.no_grad():
            got = wrapped(x)
        woken = _training(network) if any(m.training for m in network.modules()) else ""
        moved = _moved(network, before, before)
        if moved or not torch.allclose(got, expected, atol=1e-6):
            text = f"after {who}, what it gives is no longer what the network gives in eval mode"
            text += f"; in training mode: {woken}" if woken else ""
            text += f"; moved by one batch: {_listed(moved)}" if moved else ""
            told["in training"] = Verdict(f"awake: {who} {woken}; {_listed(moved)}", text)
            return _told(told, *ASLEEP)
    told["in training"] = RIGHT
    told[".train()"] = (
        RIGHT
        if back is wrapped
        else Verdict(
            f"returns a {type(back).__name__}",
            f"wrapped.train() returns a {type(back).__name__}, expected wrapped itself",
        )
    )
    told["the rest"] = (
        RIGHT if model[2].training else Verdict("asleep", "the layers beside it are not training")
    )
    return _told(told, *ASLEEP)


def freezing_for_good_cases(draw: Draw) -> Iterator[Case]:
    (channels,) = draw.sizes(4)
    yield Case((Recipe(small_backbone, (channels,)),))
    yield Case((Recipe(half_frozen_backbone, (channels + 1,)),), "partly frozen before")
    yield Case((Recipe(dropping, (channels,)),), "a network that asks for its own mode")
    yield Case((Recipe(double_backbone, (channels,)),), "a network in float64")


EXERCISES = (
    Quiz("quiz_flatten_after", "abcd"),
    Exercise(
        name="freeze_network",
        signature=("model",),
        oracle=freeze_network,
        cases=freeze_cases,
        probe=freezing,
        gradients=False,
    ),
    Exercise(
        name="vgg_with_trl",
        signature=("model", "num_classes", "rank", "dropout", "size"),
        oracle=vgg_with_trl,
        cases=surgery_cases,
        probe=surgery,
        uses=("freeze_network",),
        gradients=False,
    ),
    Exercise(
        name="head_costs",
        signature=("input_shape", "num_classes", "rank"),
        oracle=head_costs,
        cases=head_costs_cases,
        gradients=False,
    ),
    Quiz("quiz_ten_thousand", "abcd"),
    Exercise(
        name="cached_features",
        signature=("backbone", "batches"),
        oracle=cached_features,
        cases=cached_features_cases,
        probe=caching,
        gradients=False,
    ),
    Quiz("quiz_cache", "abcd"),
    Exercise(
        name="head_state",
        signature=("model",),
        oracle=head_state,
        cases=head_state_cases,
        probe=saving_head,
        gradients=False,
    ),
    Exercise(
        name="restore_head",
        signature=("model", "state"),
        oracle=restore_head,
        cases=restore_head_cases,
        probe=restoring,
        uses=("head_state",),
        gradients=False,
    ),
    Exercise(
        name="equal_rivals",
        signature=("input_shape", "num_classes", "budget"),
        oracle=equal_rivals,
        cases=equal_rivals_cases,
        gradients=False,
    ),
    Exercise(
        name="pooled_head",
        signature=("channels", "num_classes", "the shape of x"),
        oracle=pooled_head,
        cases=pooled_head_cases,
        probe=pooling_head,
        gradients=False,
    ),
    Exercise(
        name="worth_of_places",
        signature=("world", "number", "seeds"),
        oracle=worth_of_places,
        cases=worth_cases,
        probe=worth_probe,
        gradients=False,
    ),
    Exercise(
        name="hundred_numbers",
        signature=("input_shape", "num_classes", "trained_from_seeds"),
        oracle=hundred_numbers,
        cases=hundred_cases,
        probe=hundred_probe,
        gradients=False,
    ),
    Exercise(
        name="FrozenBackbone",
        signature=("network",),
        oracle=FrozenBackbone,
        cases=freezing_for_good_cases,
        probe=freezing_for_good,
        uses=("freeze_network",),
        gradients=False,
    ),
)
