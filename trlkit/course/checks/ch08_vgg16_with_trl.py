"""Chapter 08: VGG16 with a tensor regression layer, on networks of its make and a small size."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from trlkit import CPTRL
from trlkit.course.answer import RIGHT, Recipe, Verdict
from trlkit.course.exercise import Case, Draw, Exercise, Quiz


class SmallVGG(nn.Module):
    """Features, a pooling to a fixed grid, a flatten, a classifier: a VGG made small."""

    def __init__(self, features: nn.Module, channels: int, num_classes: int = 6):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((3, 3))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 9, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def small_vgg(channels: int, halvings: int = 2) -> nn.Module:
    """As VGG16: convolutions, and a pooling that halves the image a few times."""
    torch.manual_seed(0)
    layers, before = [], 3
    for _ in range(halvings):
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        before = channels
    return SmallVGG(nn.Sequential(*layers), channels)


def small_vgg_bn(channels: int) -> nn.Module:
    """As VGG16 with batch normalization; its scales and shifts already learned, and moved."""
    torch.manual_seed(0)
    network = SmallVGG(small_backbone(channels), channels)
    network.features[-1].weight.requires_grad = False
    return network


def small_backbone(channels: int) -> nn.Module:
    """Convolution, batch normalization, dropout, one nested block, in training mode."""
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.5),
        block,
        nn.BatchNorm2d(channels),
    )


def half_frozen_backbone(channels: int) -> nn.Module:
    """The backbone with a few layers in eval mode already, and a few frozen."""
    backbone = small_backbone(channels)
    backbone[0].requires_grad_(False)
    backbone[1].eval()
    return backbone


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
    return [name for name in names if not torch.equal(state[name], before[name])]


def _same_network(result: Any, network: nn.Module) -> Verdict:
    if result is network:
        return RIGHT
    what = "a copy of the network" if isinstance(result, nn.Module) else f"{result!r}"
    return Verdict(
        "another", f"expected the network that came in, changed in place; got {what[:60]}"
    )


def freeze_network(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        parameter.requires_grad = False
    for module in model.modules():
        module.training = False
    return model


def freezing(answer: Callable, model: nn.Module) -> dict:
    before = _state(model)
    result = answer(model)
    moved = _moved(model, before, before)
    return {
        "parameters that still learn": _learning(model),
        "modules still in training mode": _training(model),
        "weights": Verdict("moved", f"{moved[0]} has other numbers than before")
        if moved
        else RIGHT,
        "returned": _same_network(result, model),
    }


def freeze_cases(draw: Draw) -> Iterator[Case]:
    (channels,) = draw.sizes(4)
    yield Case((Recipe(small_vgg, (channels,)),))
    yield Case((Recipe(small_vgg_bn, (channels,)),), "with batch normalization")
    yield Case((Recipe(half_frozen_backbone, (channels,)),), "partly frozen before")


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
        text = f"`model.avgpool` is a {type(layer).__name__}, expected a CPTRL in its place"
        kind = f"avgpool is a {type(layer).__name__}"
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
    moved = _moved(features, before, before) if model.features is features else ["features"]
    told["features"] = (
        Verdict("moved", f"{moved[0]} of the features has changed") if moved else RIGHT
    )
    torch.manual_seed(1)
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
    rank = draw.choice(10000, (100, 1000, 467))
    yield Case(((512, 7, 7), 10, rank), "the seed's")
    yield Case(((512, 2, 2), *draw.sizes(10, 40)), "images of 64 x 64")
    yield Case(((64, 3, 2), 100, *draw.sizes(20)), "more classes than channels")
    yield Case(((16, 1, 1), *draw.sizes(7, 3)), "a single pixel")


def image_batches(samples: int, batch_size: int) -> DataLoader:
    """Small random images and their labels, batch by batch; the last batch may be smaller."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(samples, 3, 8, 6, generator=generator)
    labels = torch.randint(10, (samples,), generator=generator)
    return DataLoader(TensorDataset(images, labels), batch_size)


def batches_once(samples: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches, one after the other, without a length: they can be gone through once."""
    yield from image_batches(samples, batch_size)


def cached_features(
    backbone: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    backbone.eval()
    activations, labels = [], []
    for x, y in batches:
        for image, label in zip(x, y, strict=True):
            with torch.no_grad():
                activations.append(backbone(image[None])[0])
            labels.append(label)
    return torch.stack(activations), torch.stack(labels)


CACHE = ("returned", "features", "labels", "graph", "backbone")


def caching(answer: Callable, backbone: nn.Module, batches: Iterable) -> dict:
    torch.manual_seed(0)
    before = _state(backbone)
    result = answer(backbone, batches)
    if not isinstance(result, tuple | list) or len(result) != 2:
        kind = type(result).__name__
        verdict = Verdict(f"a {kind}", f"expected (features, labels), got a {kind}")
        return _told({"returned": verdict}, *CACHE)
    features, labels = result
    graph = isinstance(features, Tensor) and features.requires_grad
    moved = _moved(backbone, before, before)
    return {
        "returned": RIGHT,
        "features": features,
        "labels": labels,
        "graph": Verdict(
            "graph", "the features require a gradient: the graph of every batch stays in memory"
        )
        if graph
        else RIGHT,
        "backbone": Verdict("moved", f"{moved[0]} of the backbone has moved on the way")
        if moved
        else RIGHT,
    }


def cached_features_cases(draw: Draw) -> Iterator[Case]:
    channels, more, batch = draw.sizes(4, 2, 3)
    backbone = Recipe(small_backbone, (channels,))
    samples = 2 * batch + 1
    yield Case((backbone, Recipe(image_batches, (samples, batch))), "a last batch of one")
    yield Case((backbone, Recipe(image_batches, (more * batch, batch))), "batches of one size")
    yield Case((backbone, Recipe(batches_once, (samples, batch))), "batches without a length")


def trl_network(channels: int, classes: int = 5) -> nn.Module:
    """A frozen small VGG with a CP regression layer for its pooling."""
    return vgg_with_trl(small_vgg_bn(channels), classes, 3, 0.4, 8)


def two_learning_parts(channels: int, classes: int = 5) -> nn.Module:
    """A network that learns in its last layer and in one batch normalization."""
    network = nn.ModuleDict({"body": small_backbone(channels), "fc": nn.Linear(channels, classes)})
    network.requires_grad_(False)
    network["fc"].requires_grad_(True)
    network["body"][1].requires_grad_(True)
    return network


def head_state(model: nn.Module) -> dict[str, Tensor]:
    state = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            state[name] = parameter.detach().clone()
    return state


SAVED = ("returned", "names", "graph", "later", "tensors")


def saving_head(answer: Callable, model: nn.Module) -> dict:
    result = answer(model)
    if not isinstance(result, dict):
        kind = type(result).__name__
        verdict = Verdict(f"a {kind}", f"expected a dict of tensors, got a {kind}")
        return _told({"returned": verdict}, *SAVED)
    before = _state(model)
    graph = [k for k, v in result.items() if isinstance(v, Tensor) and v.requires_grad]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(-2.0)
    shared = [
        k
        for k, v in result.items()
        if k in before and isinstance(v, Tensor) and not torch.equal(v, before[k])
    ]
    told = {
        "returned": RIGHT,
        "names": ", ".join(map(str, sorted(result, key=str))),
        "graph": Verdict("graph", f"{graph[0]} still requires a gradient: detach it")
        if graph
        else RIGHT,
        "later": Verdict(
            "shared", f"when the network was trained on, the saved {shared[0]} moved with it"
        )
        if shared
        else RIGHT,
    }
    if not (graph or shared):
        told["tensors"] = dict(result)
    return _told(told, *SAVED)


def head_state_cases(draw: Draw) -> Iterator[Case]:
    channels, classes = draw.sizes(4, 5)
    yield Case((Recipe(trl_network, (channels, classes)),))
    yield Case((Recipe(two_learning_parts, (channels, classes)),), "another head")


SOUND = "what another one saved"
FAULTS = (
    "a name is missing",
    "a name is unknown",
    "a frozen one in it",
    "a name exchanged",
    "one row instead of all",
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
    elif fault == "a name exchanged":
        frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
        del state[next(iter(state))]
        state[frozen[0]] = torch.zeros_like(model.get_parameter(frozen[0]))
    elif fault == "one row instead of all":
        name = next(name for name, tensor in state.items() if tensor.ndim == 2)
        state[name] = state[name][:1]
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


def restoring(answer: Callable, model: nn.Module, fault: str) -> dict:
    state = saved(model, fault)
    if fault != SOUND:
        return {"refused": _refusal(answer, model, state)}
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    before, given = _state(model), {n: t.clone() for n, t in state.items()}
    result = answer(model, state)
    now = dict(model.named_parameters())
    wrong = [n for n in given if not torch.equal(now[n], given[n])]
    others = _moved(model, before, before.keys() - given.keys())
    changed = [n for n in own if now[n] is not own[n]]
    return {
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
    }


def _refusal(answer: Callable, model: nn.Module, state: dict[str, Tensor]) -> Verdict:
    try:
        answer(model, state)
    except NotImplementedError:
        raise
    except (ValueError, KeyError, RuntimeError, AssertionError):
        return RIGHT
    return Verdict("taken", "this state does not fit: expected a ValueError, it was taken silently")


def restore_head_cases(draw: Draw) -> Iterator[Case]:
    channels, classes = draw.sizes(4, 5)
    yield Case((Recipe(trl_network, (channels, classes)), SOUND))
    yield Case((Recipe(two_learning_parts, (channels, classes)), SOUND), "another head")
    for fault in FAULTS:
        yield Case((Recipe(trl_network, (channels, classes)), fault), "refused")


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


def pooled_head(channels: int, num_classes: int) -> nn.Module:
    return PooledHead(channels, num_classes)


POOLED = ("returned", "number of parameters", "runs", "output")


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
    x = 2 + torch.randn(*shape, generator=generator, dtype=torch.float64)
    own = {tuple(s for s in p.shape if s > 1): p for p in head.parameters()}
    with torch.no_grad():
        for size in ((num_classes, channels), (num_classes,)):
            values = torch.randn(size, generator=generator, dtype=torch.float64)
            if size in own:
                own[size].copy_(values.reshape(own[size].shape))
        try:
            told["output"] = head(x)
        except Exception as error:
            text = f"on x {shape} the head raises {type(error).__name__}: {str(error)[:200]}"
            told["runs"] = Verdict("raises", text)
    return _told(told, *POOLED)


def pooled_head_cases(draw: Draw) -> Iterator[Case]:
    channels, classes, height, width = draw.sizes(8, 5, 3, 4)
    yield Case((channels, classes, (2, channels, height, width)), "two samples")
    yield Case((channels, classes, (1, channels, height, width)), "one sample")
    yield Case((channels, classes, (3, channels, 1, 1)), "a single pixel")


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
    "in training",
    ".train()",
    "the rest",
)


def freezing_for_good(answer: Callable, network: nn.Module) -> dict:
    reference, before = copy.deepcopy(network).eval(), _state(network)
    total = sum(p.numel() for p in network.parameters())
    torch.manual_seed(0)
    x = torch.randn(4, 3, 6, 6)
    wrapped = answer(network)
    if not isinstance(wrapped, nn.Module):
        text = f"expected an nn.Module, got {type(wrapped).__name__}"
        return _told({"made": Verdict("no module", text)}, *ASLEEP)
    model = nn.Sequential(wrapped, nn.Flatten(), nn.Dropout(0.5))
    model.train()
    back = wrapped.train()
    with torch.no_grad():
        expected, got = reference(x), wrapped(x)
    told = {
        "made": RIGHT,
        "parameters that it holds": sum(p.numel() for p in wrapped.parameters()),
        "parameters that learn": _learning(network),
    }
    if told["parameters that it holds"] != total:
        return _told(told, *ASLEEP)
    woken = _training(network) if any(m.training for m in network.modules()) else ""
    moved = _moved(network, before, before)
    if woken or moved or not torch.allclose(got, expected, atol=1e-6):
        text = "after .train() it no longer gives what the network gives in eval mode"
        text += f"; in training mode: {woken}" if woken else ""
        text += f"; moved by one batch: {_listed(moved)}" if moved else ""
        told["in training"] = Verdict(f"awake: {woken}; {_listed(moved)}", text)
        return _told(told, *ASLEEP)
    told["in training"] = RIGHT
    told[".train()"] = (
        RIGHT
        if back is wrapped
        else Verdict("no self", f"wrapped.train() returns {back!r:.40}, expected wrapped itself")
    )
    told["the rest"] = (
        RIGHT if model[2].training else Verdict("asleep", "the layers beside it are not training")
    )
    return _told(told, *ASLEEP)


def freezing_for_good_cases(draw: Draw) -> Iterator[Case]:
    (channels,) = draw.sizes(4)
    yield Case((Recipe(small_backbone, (channels,)),))
    yield Case((Recipe(half_frozen_backbone, (channels + 1,)),), "partly frozen before")


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
        name="pooled_head",
        signature=("channels", "num_classes", "the shape of x"),
        oracle=pooled_head,
        cases=pooled_head_cases,
        probe=pooling_head,
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
