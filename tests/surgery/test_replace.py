"""Surgery: what is found in a network, what is put there, what is refused."""

import copy
import pickle

import pytest
import torch
import torchvision
from oracles import DEVICES, close
from torch import nn
from torch.nn import functional as F

from trlkit import CPTRL, TTTRL, TuckerTRL, replace_classifier
from trlkit.surgery.heads import find_head

# name, size of the input, the activation at that size
FAMILIES = [
    ("alexnet", 224, (256, 6, 6)),
    ("vgg11", 224, (512, 7, 7)),
    ("vgg13_bn", 224, (512, 7, 7)),
    ("vgg16", 224, (512, 7, 7)),
    ("vgg19", 224, (512, 7, 7)),
    ("vgg19_bn", 224, (512, 7, 7)),
    ("squeezenet1_0", 224, (512, 13, 13)),
    ("squeezenet1_1", 224, (512, 13, 13)),
    ("resnet18", 224, (512, 7, 7)),
    ("resnet50", 224, (2048, 7, 7)),
    ("resnet152", 224, (2048, 7, 7)),
    ("densenet121", 224, (1024, 7, 7)),
    ("mobilenet_v2", 224, (1280, 7, 7)),
    ("mobilenet_v3_small", 224, (576, 7, 7)),
    ("mobilenet_v3_large", 224, (960, 7, 7)),
    ("efficientnet_b0", 224, (1280, 7, 7)),
    ("efficientnet_v2_s", 224, (1280, 7, 7)),
    ("convnext_tiny", 224, (768, 7, 7)),
]
# One of each family runs for real, where the networks are smallest.
RUNNING = [
    ("alexnet", 64, (256, 6, 6)),
    ("vgg11_bn", 32, (512, 7, 7)),
    ("squeezenet1_1", 64, (512, 3, 3)),
    ("resnet18", 64, (512, 2, 2)),
    ("densenet121", 64, (1024, 2, 2)),
    ("mobilenet_v2", 64, (1280, 2, 2)),
    ("mobilenet_v3_small", 64, (576, 2, 2)),
    ("efficientnet_b0", 64, (1280, 2, 2)),
    ("convnext_tiny", 64, (768, 2, 2)),
]
POOLED = ["resnet18", "densenet121", "mobilenet_v2", "efficientnet_b0"]


class Functional(nn.Module):
    """A network as tutorials write it: functional, one pooling used twice, a view."""

    def __init__(self, view="sample"):
        super().__init__()
        self.view = view
        self.pool = nn.MaxPool2d(2)
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def flat(self, x):
        if self.view == "sample":
            return x.view(x.size(0), -1)
        if self.view == "features":
            return x.view(-1, 16 * 5 * 5)
        if self.view == "reshape":
            return x.reshape(x.shape[0], -1)
        return torch.flatten(x, 1)

    def forward(self, x):
        x = F.dropout(self.pool(F.relu(self.conv1(x))), 0.5, training=self.training)
        x = self.flat(self.pool(F.relu(self.conv2(x))))
        x = F.relu(self.fc2(F.relu(self.fc1(x))))
        return F.log_softmax(self.fc3(x), dim=1)


class Wrapped(nn.Module):
    """A network inside another, whose output passes through more."""

    def __init__(self):
        super().__init__()
        self.net = Functional()

    def forward(self, x):
        return self.net(2 * x) / 3


class GlobalMean(nn.Module):
    def __init__(self, squeeze=False):
        super().__init__()
        self.squeeze = squeeze
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def forward(self, x):
        x = self.conv(x)
        x = F.adaptive_avg_pool2d(x, 1).squeeze() if self.squeeze else x.mean((2, 3))
        return self.fc(x)


class Branching(nn.Module):
    """A network that goes by the values, which no trace can follow."""

    def __init__(self, flattens=True):
        super().__init__()
        self.flattens = flattens
        linear = nn.Linear(8 * 36, 5)
        self.conv, self.head = nn.Conv2d(3, 8, 3), linear
        if not flattens:
            self.head = nn.Sequential(nn.Flatten(), linear)

    def forward(self, x):
        x = self.conv(x)
        if x.sum() > 0:
            x = -x
        return self.head(x.flatten(1) if self.flattens else x)


def sequential():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Sequential(nn.Linear(144, 9), nn.ReLU()),
        nn.Linear(9, 5),
    )


def torchvision_network(name, device="cpu"):
    with torch.device(device):
        return torchvision.models.get_model(name)


def outputs(model, x):
    """What a model gives in eval mode, leaving it in its mode."""
    training = model.training
    try:
        with torch.no_grad():
            return model.eval()(x)
    finally:
        model.train(training)


def snapshot(model):
    return repr(model), type(model), [(n, p.requires_grad) for n, p in model.named_parameters()]


# What is found


@pytest.mark.parametrize("name, size, shape", FAMILIES)
def test_the_activation_of_every_torchvision_family_is_found(name, size, shape):
    model = torchvision_network(name, "meta")
    report = replace_classifier(model, 10, rank=4, input_size=(3, size, size))
    assert report.activation_shape == shape == report.trl.input_shape
    assert report.model is model
    assert model(torch.zeros(3, 3, size, size, device="meta")).shape == (3, 10)
    # Nothing of the old head is left: features, the new layer, and no other linear one.
    sizes = [getattr(module, "weight", torch.empty(0)).shape[:1] for module in model.modules()]
    assert (1000,) not in sizes


@pytest.mark.parametrize("name, size, shape", RUNNING)
def test_every_torchvision_family_runs_and_learns(name, size, shape):
    model = torchvision_network(name)
    report = replace_classifier(model, 7, rank=4, input_size=(3, size, size))
    assert report.trl.input_shape == shape
    y = model(torch.randn(2, 3, size, size))
    assert y.shape == (2, 7)
    y.sum().backward()
    learning = {id(p) for p in model.parameters() if p.grad is not None}
    assert learning == {id(p) for p in report.trl.parameters()}


@pytest.mark.parametrize("view", ["sample", "features", "reshape", "flatten"])
def test_the_features_of_a_functional_network_reach_the_layer(view):
    model = Functional(view)
    untouched = copy.deepcopy(model).eval()
    report = replace_classifier(model, 7, rank=3, input_size=(3, 32, 32))
    assert report.activation_shape == (16, 5, 5)
    assert report.name == "fc3" and not hasattr(model, "fc1") and not hasattr(model, "fc2")
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        features = F.max_pool2d(F.relu(untouched.conv1(x)), 2)
        features = F.max_pool2d(F.relu(untouched.conv2(features)), 2)
        expected = F.log_softmax(report.trl.eval()(features), dim=1)
    torch.testing.assert_close(outputs(model, x), expected)


def test_a_functional_dropout_still_follows_the_mode():
    model = Functional()
    replace_classifier(model, 7, rank=3, input_size=(3, 32, 32))
    x = torch.randn(2, 3, 32, 32)
    assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


def test_a_sequential_keeps_its_class_and_order():
    model = sequential()
    features = model[:2]
    report = replace_classifier(model, 7, rank=3, input_size=(3, 8, 8))
    assert type(model) is nn.Sequential
    assert [type(module) for module in model] == [nn.Conv2d, nn.ReLU, CPTRL]
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(model(x), report.trl(features(x)))


def test_a_network_inside_another_is_changed_where_it_is():
    model = Wrapped()
    report = replace_classifier(model, 7, rank=3, input_size=(3, 32, 32))
    assert type(model) is Wrapped and report.name == "net.fc3"
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(outputs(model, x), outputs(model.net, 2 * x) / 3)


def test_a_module_shared_with_the_features_stays():
    relu = nn.ReLU()
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), relu, nn.Flatten(), nn.Linear(144, 9), relu, nn.Linear(9, 5)
    )
    conv = model[0]
    report = replace_classifier(model, 7, rank=3, input_size=(3, 8, 8))
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(model(x), report.trl(conv(x).relu()))


def test_a_linear_layer_shared_with_the_features_stays():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 5)

        def forward(self, x):
            return self.fc(self.fc(x).flatten(1))

    model = Shared()
    report = replace_classifier(model, 3, rank=2, input_size=(1, 5))
    assert report.name == "trl"
    x = torch.randn(2, 1, 5)
    torch.testing.assert_close(model(x), report.trl(model.fc(x)))


def test_one_dimensional_and_volumetric_networks_are_seen():
    signal = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Flatten(), nn.Linear(32, 5))
    assert replace_classifier(signal, 3, rank=2, input_size=(2, 10)).activation_shape == (4, 8)
    volume = nn.Sequential(
        nn.Conv3d(1, 4, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 5)
    )
    report = replace_classifier(volume, 5, "tucker", init="pretrained", input_size=(1, 5, 6, 7))
    assert report.activation_shape == (4, 3, 4, 5)


def test_an_example_batch_is_taken_in_place_of_a_size():
    model = sequential()
    report = replace_classifier(model, 7, rank=3, input_size=torch.randn(1, 3, 8, 8))
    assert report.activation_shape == (4, 6, 6)


def test_the_normalization_after_a_pooling_stays_in_convnext():
    model = torchvision_network("convnext_tiny")
    norm = model.classifier[0]
    report = replace_classifier(model, 7, rank=3, input_size=(3, 64, 64))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = report.trl.eval()(norm(model.eval().features(x)))
    torch.testing.assert_close(outputs(model, x), expected)


# What it starts as


@pytest.mark.parametrize("factorization", ["cp", "tucker", "tt"])
@pytest.mark.parametrize("name", POOLED)
def test_a_pretrained_start_gives_the_outputs_of_pooling_and_linear(name, factorization):
    model = torchvision.models.get_model(name, num_classes=20).eval()
    x = torch.randn(2, 3, 64, 64)
    before = outputs(model, x)
    report = replace_classifier(model, 20, factorization, init="pretrained", input_size=(3, 64, 64))
    assert report.error < 1e-5
    scale = max(1.0, before.abs().max().item())
    assert (outputs(model, x) - before).abs().max() < 1e-5 * scale


@pytest.mark.parametrize("model", [GlobalMean(), GlobalMean(squeeze=True)])
def test_a_functional_pooling_is_learned_too(model):
    x = torch.randn(4, 3, 8, 8)
    before = model(x).detach()
    report = replace_classifier(model, 5, init="pretrained", input_size=(3, 8, 8))
    assert report.activation_shape == (8, 6, 6)
    torch.testing.assert_close(model(x), before, atol=1e-5, rtol=0)


def test_a_single_linear_layer_after_a_flatten_is_a_start_too():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5))
    x = torch.randn(2, 3, 8, 8)
    before = model(x).detach()
    report = replace_classifier(model, 5, "tt", init="pretrained", input_size=(3, 8, 8))
    assert report.error < 1e-5
    torch.testing.assert_close(model(x), before, atol=1e-5, rtol=0)


def test_a_low_rank_start_reports_its_error():
    model = torchvision_network("resnet18")
    report = replace_classifier(model, 1000, rank=8, init="pretrained", input_size=(3, 32, 32))
    assert 0.1 < report.error < 1 and "Relative error" in repr(report)


# What is kept


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_and_device_are_those_of_the_network(dtype, device):
    model = Functional().to(device, dtype)
    report = replace_classifier(model, 7, rank=3, input_size=(3, 32, 32))
    assert {(p.dtype, p.device.type) for p in report.trl.parameters()} == {(dtype, device)}
    assert model(torch.randn(2, 3, 32, 32, dtype=dtype, device=device)).shape == (2, 7)


@pytest.mark.parametrize("training", [True, False])
def test_every_module_keeps_its_mode(training):
    model = torchvision_network("resnet18", "meta").train(training)
    model.layer1.train(not training)
    report = replace_classifier(model, 7, rank=3)
    assert model.training is report.trl.training is model.layer2[0].bn1.training is training
    assert model.layer1[0].bn1.training is not training


def test_running_statistics_are_left_alone():
    model = torchvision_network("resnet18").train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    replace_classifier(model, 7, rank=3, input_size=(3, 64, 64))
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name])


def test_freeze_false_lets_everything_learn():
    model = sequential()
    replace_classifier(model, 7, rank=3, freeze=False, input_size=(3, 8, 8))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_changed_network_is_copied_pickled_saved_compiled_and_exported(tmp_path):
    model = Functional()
    replace_classifier(model, 7, rank=3, input_size=(3, 32, 32))
    assert isinstance(model, Functional)
    x = torch.randn(2, 3, 32, 32)
    expected = outputs(model, x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert isinstance(other, Functional)
        torch.testing.assert_close(outputs(other, x), expected)
        assert other.fc3 is not model.fc3
    torch.save(model.state_dict(), tmp_path / "net.pt")
    again = Functional()
    replace_classifier(again, 7, rank=3, input_size=(3, 32, 32))
    again.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    torch.testing.assert_close(outputs(again, x), expected)
    compiled = torch.compile(model.eval(), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), expected)
    exported = torch.export.export(model.eval(), (x,)).module()
    torch.testing.assert_close(exported(x), expected)


def test_a_network_is_changed_a_second_time():
    model = Functional()
    replace_classifier(model, 7, rank=3, input_size=(3, 32, 32))
    report = replace_classifier(model, 4, "tt", rank=2, input_size=(3, 32, 32), at="fc3")
    assert isinstance(report.trl, TTTRL)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 4)
    assert pickle.loads(pickle.dumps(model))(torch.randn(2, 3, 32, 32)).shape == (2, 4)


# The report


def test_the_report_counts_what_a_hand_counts():
    model = torchvision_network("vgg16", "meta")
    report = replace_classifier(model, 10, rank=100, dropout=0.4)
    assert report.parameters == {
        "features": (14_714_688, 14_714_688),
        "classifier": (123_642_856, 100 * (512 + 7 + 7 + 10) + 10),
    }
    text = repr(report)
    for expected in ("(512, 7, 7)", "138,357,544", "53,610", "250,890", "rank 100"):
        assert expected in text


def test_the_report_counts_operations_of_convolutions_and_linear_layers():
    model = sequential()
    report = replace_classifier(model, 7, rank=3, input_size=(3, 8, 8))
    convolution = 2 * 36 * 4 * 27
    assert report.flops[0] == convolution + 2 * 144 * 9 + 2 * 9 * 5
    plan = report.trl._plan(1, training=False, kept=False)
    chosen = next(cost.flops for cost in plan.costs if cost.path == plan.path)
    assert report.flops[1] == convolution + chosen


def test_a_smaller_layer_is_reported_with_tensor_dropout_in_force():
    report = replace_classifier(sequential(), 7, "tucker", 2, dropout=0.4, input_size=(3, 8, 8))
    assert isinstance(report.trl, TuckerTRL) and report.trl.dropout.p == 0.4


# By hand


def test_the_place_named_by_hand_is_the_seeds_way():
    model = torchvision_network("vgg11", "meta")
    report = replace_classifier(model, 10, rank=5, at=("avgpool", "classifier"))
    assert model.avgpool is report.trl and isinstance(model.classifier, nn.Identity)
    assert type(model) is torchvision.models.VGG


def test_a_network_that_cannot_be_traced_is_changed_by_hand():
    model = Branching(flattens=False)
    report = replace_classifier(model, 7, rank=3, input_size=(3, 8, 8), at="head")
    assert report.activation_shape == (8, 6, 6)
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 7)


# What is refused, and that nothing was changed


def small(**options):
    return {"num_classes": 5, "rank": 3, "input_size": (3, 8, 8), **options}


@pytest.mark.parametrize(
    "model, options, message",
    [
        (
            Branching(),
            small(),
            "cannot see through the forward pass of Branching: .*if or assert .*Sequential",
        ),
        (Branching(), small(at="head"), "takes a matrix .*before it is flattened"),
        (Branching(), small(at="fc"), "no such module; its children are conv, head"),
        (sequential(), small(input_size=(4, 8, 8)), r"not run on an input of shape \(2, 4, 8, 8\)"),
        (sequential(), small(num_classes=0), "num_classes=0, but it must be an int of at least 1"),
        (sequential(), small(num_classes=True), "num_classes=True"),
        (sequential(), small(factorization="svd"), "factorization='svd'"),
        (sequential(), small(init="zeros"), "init='zeros', but it must be \"random\" or"),
        (sequential(), small(rank=0), "rank=0"),
        (sequential(), small(rank=None), "rank=None, but a new layer needs one: above"),
        (sequential(), small(dropout=1.0), "p=1.0"),
        (sequential(), small(init="pretrained"), "goes through 3.0, 3.1 too"),
        (sequential(), small(init="pretrained", at="2"), "leave at out"),
        (GlobalMean(), small(init="pretrained", num_classes=4), "num_classes=4.*5 outputs"),
        (sequential(), small(at="2"), "does not run, because what follows takes no"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(192, 5)),
            small(num_classes=4, at=("1",)),
            "takes a matrix",
        ),
        (nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 5)), small(input_size=(8,)), "no activation"),
        (nn.Conv2d(3, 4, 3), small(), "one tensor of shape"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), small(), "which no linear layer follows"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            small(),
            "no linear layer",
        ),
    ],
)
def test_bad_input_is_named_and_changes_nothing(model, options, message):
    before = snapshot(model)
    with pytest.raises(ValueError, match=message):
        replace_classifier(model, **options)
    assert snapshot(model) == before


def test_a_meta_network_has_no_values_to_start_from():
    with pytest.raises(ValueError, match="it is on the meta device: load the weights first"):
        replace_classifier(torchvision_network("resnet18", "meta"), 1000, init="pretrained")


def test_a_network_with_two_ways_is_refused():
    model = torchvision.models.googlenet(init_weights=False, aux_logits=True)
    with pytest.raises(ValueError, match="one way in training and another in evaluation"):
        find_head(model, torch.zeros(2, 3, 64, 64))


def test_a_transformers_token_is_not_an_activation():
    model = torchvision_network("vit_b_16", "meta")
    with pytest.raises(ValueError, match=r"getitem\(\) of shape \(2, 768\), which neither"):
        replace_classifier(model, 5, rank=3)


def test_a_sum_of_two_ways_is_refused():
    class Forked(GlobalMean):
        def forward(self, x):
            x = self.conv(x).mean((2, 3))
            return self.fc(x) + self.fc(-x)

    with pytest.raises(ValueError, match=r"add\(\).*it takes 2 tensors, so the way back forks"):
        replace_classifier(Forked(), **small())


def test_an_exact_start_that_does_not_pay_says_so_and_offers_a_rank():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 10))
    with pytest.warns(UserWarning, match=r"does not pay.*1,440.*Up to rank=55") as caught:
        replace_classifier(net, 10, "cp", init="pretrained", input_size=(3, 8, 8))
    assert caught[0].filename == __file__


# Modules of the user's own, networks that are inside something, what follows the head


class Viewed(nn.Module):
    def forward(self, x):
        return x.view(x.size(0), -1)


class Averaged(nn.Module):
    def __init__(self, keepdim=False):
        super().__init__()
        self.keepdim = keepdim

    def forward(self, x):
        return x.mean((2, 3), keepdim=self.keepdim)


class Untraceable(nn.Module):
    def forward(self, x):
        return torch.cat([sample.reshape(1, -1) for sample in x])


class Selected(nn.Module):
    """timm's SelectAdaptivePool2d, in short."""

    def __init__(self):
        super().__init__()
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten(1)

    def forward(self, x):
        return self.flatten(self.pool(x))


class Largest(nn.Module):
    def forward(self, x):
        return x.amax((2, 3))


class Named(nn.Module):
    """As timm writes its networks: a pooling, a linear layer, their count and methods."""

    def __init__(self, pool, features=8):
        super().__init__()
        self.num_classes = 10
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
        self.global_pool, self.fc = pool, nn.Linear(features, 10)

    def forward_head(self, x):
        return self.fc(self.global_pool(x))

    def forward(self, x):
        return self.fc(self.global_pool(self.body(x)))


OWN = [
    (Viewed(), 288),
    (Untraceable(), 288),
    (Averaged(), 8),
    (Selected(), 8),
    (nn.Sequential(Averaged(keepdim=True), Viewed()), 8),
]


@pytest.mark.parametrize("pool, features", OWN, ids=lambda own: type(own).__name__)
def test_modules_that_flatten_or_pool_are_seen_whatever_they_are_called(pool, features):
    x = torch.randn(2, 3, 8, 8)
    for model in (
        Named(pool, features),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), pool, nn.Linear(features, 10)),
    ):
        expected = model(x)
        report = replace_classifier(
            copy.deepcopy(model), 10, "tucker", init="pretrained", input_size=(3, 8, 8)
        )
        assert report.activation_shape == (8, 6, 6)
        torch.testing.assert_close(report.model(x), expected, rtol=1e-4, atol=1e-5)


def test_another_pooling_is_not_taken_for_a_mean():
    with pytest.raises(ValueError, match=r"neither flattens an activation nor takes its mean"):
        replace_classifier(Named(Largest()), 7, rank=3, input_size=(3, 8, 8))
    # "fc" alone would take a matrix.
    with pytest.raises(ValueError, match=r'as at=\("global_pool", "fc"\)$'):
        replace_classifier(Named(Largest()), 7, rank=3, input_size=(3, 8, 8))
    named = {"rank": 3, "input_size": (3, 8, 8), "at": ("global_pool", "fc")}
    assert replace_classifier(Named(Largest()), 7, **named).name == "global_pool"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Named(Viewed(), 288),
        lambda: Named(Selected()),
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 10)),
        Functional,
    ],
)
def test_the_new_layer_is_found_and_replaced_again(make):
    model, size = make(), 32 if make is Functional else 8
    replace_classifier(model, 7, rank=3, input_size=(3, size, size))
    first = replace_classifier(model, 5, "tt", rank=2, input_size=(3, size, size))
    assert [m for m in model.modules() if isinstance(m, (CPTRL, TTTRL))] == [first.trl]
    assert model(torch.randn(2, 3, size, size)).shape == (2, 5)
    again = pickle.loads(pickle.dumps(model))
    assert again(torch.randn(2, 3, size, size)).shape == (2, 5)


@pytest.mark.parametrize("name, size", [("googlenet", 224), ("inception_v3", 299)])
def test_auxiliary_heads_get_the_new_classes(name, size):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, init_weights=False)
    report = replace_classifier(model, 7, rank=3, input_size=(3, size, size))
    heads = [m for n, m in model.named_modules() if "aux" in n.lower() and hasattr(m, "fc2")]
    ends = [head.fc2 for head in heads] or [model.AuxLogits.fc]
    assert all(end.out_features == 7 and end.weight.requires_grad for end in ends)
    assert str(report).count("auxiliary head") == len(ends)
    outputs = model.train()(torch.zeros(2, 3, size, size, device="meta"))
    assert {tuple(output.shape) for output in outputs} == {(2, 7)}


def test_the_report_says_what_is_no_more_as_it_was():
    model = Named(Selected())
    model.fc.register_forward_hook(lambda *_: None)
    model.global_pool.register_forward_hook(lambda *_: None)
    report = replace_classifier(model, 7, rank=3, input_size=(3, 8, 8))
    assert model.num_classes == 7
    said = " ".join(str(report).split())
    assert "num_classes is 7, was 10" in said
    assert "forward_head() uses global_pool, which is gone" in said
    assert "Hooks went with global_pool, fc: put them on again" in said
    layers = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(8), nn.Tanh()]
    model = nn.Sequential(nn.Conv2d(3, 8, 3), *layers, nn.Linear(8, 10))
    report = replace_classifier(model, 7, rank=3, input_size=(3, 8, 8))
    said = " ".join(str(report).split())
    assert "3 (BatchNorm1d), 4 (Tanh), 5 (Linear)" in said


def test_an_activation_without_a_map_is_said_to_be_one():
    layers = [nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 16, 1), nn.Hardswish(), nn.Flatten()]
    model = nn.Sequential(nn.Conv2d(3, 8, 3), *layers, nn.Linear(16, 10))
    with pytest.warns(UserWarning, match=r"\(16, 1, 1\) has no mode beside its channels") as caught:
        replace_classifier(model, 7, rank=3, input_size=(3, 8, 8))
    assert caught[0].filename == __file__


def test_a_network_inside_something_or_not_whole_is_refused():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 10))
    lazy = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.LazyLinear(10))
    for model, message in (
        (torch.compile(net, backend="eager"), "give what is inside, model._orig_mod"),
        (nn.DataParallel(net), "give what is inside, model.module"),
        (lazy, "2.weight has no shape yet: run the network once"),
    ):
        with pytest.raises(ValueError, match=message):
            replace_classifier(model, 7, rank=3, input_size=(3, 8, 8))


def test_features_are_extracted_from_a_changed_network():
    extraction = pytest.importorskip("torchvision.models.feature_extraction")
    model = torchvision.models.resnet18()
    trl = replace_classifier(model, 7, rank=3, dropout=0.4, input_size=(3, 64, 64)).trl
    extractor = extraction.create_feature_extractor(model, ["layer4", "fc"])
    x = torch.randn(2, 3, 64, 64)
    found = extractor.eval()(x)
    close(found["fc"], trl.eval()(found["layer4"]), torch.float32)
    torch.testing.assert_close(torch.fx.symbolic_trace(model.eval())(x), model(x))


class Optional(nn.Module):
    """As timm writes a head: an argument decides."""

    def __init__(self):
        super().__init__()
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 10)

    def forward(self, x, pre_logits: bool = False):
        x = torch.flatten(self.pool(x), 1)
        if pre_logits:
            return x
        return self.fc(x)


def test_an_argument_with_a_default_does_not_hide_the_head():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), Optional())
    x = torch.randn(2, 3, 8, 8)
    expected = model(x)
    report = replace_classifier(model, 10, "tucker", init="pretrained", input_size=(3, 8, 8))
    assert report.activation_shape == (8, 6, 6)
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def tiny():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 6))


class Own(nn.Module):
    """A network whose forward pass has habits of its own."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(144, 6)
        self.register_buffer("mean", torch.ones(1))
        self.scale, self.steps, self.seen = 2.0, 0, []


class Follows(Own):
    def forward(self, x):
        self.mean.mul_(0.9).add_(0.1 * x.mean())
        return self.fc(self.conv(x - self.mean).flatten(1))


class Adds(Own):
    def forward(self, x):
        self.mean.add_(x.mean())
        return self.fc(self.conv(x - self.mean).flatten(1))


class Counts(Own):
    def forward(self, x, mask=None):
        self.steps += 1
        self.seen.append(len(x) if isinstance(x, torch.Tensor) else 0)
        x = self.conv(x) * self.scale
        if mask is not None:
            x = x * mask
        return self.fc(nn.functional.relu(x.flatten(1)) * 0.5)


@pytest.mark.parametrize("kind", [Follows, Adds])
def test_a_forward_pass_that_writes_into_a_buffer_is_refused_and_nothing_is_written(kind):
    model = kind()
    with pytest.raises(ValueError, match="writes into mean, .*a module of its own"):
        replace_classifier(model, 7, rank=3, input_size=(1, 8, 8))
    assert model.mean.item() == 1 and type(model) is kind


def test_what_a_new_forward_no_longer_does_is_told():
    model = Counts()
    with pytest.raises(ValueError, match="rank"):
        replace_classifier(model, 7, rank="x", input_size=(1, 8, 8))
    assert (model.steps, model.seen) == (0, [])
    report = replace_classifier(model, 7, rank=3, input_size=(1, 8, 8))
    assert (model.steps, model.seen) == (0, [])
    told = " ".join(report.notes)
    assert "has seen, scale as they were" in told and "no longer sets steps" in told
    assert "no longer takes mask" in told
    assert "Gone with the head too: relu(), mul()" in told


def test_what_follows_a_layer_put_by_hand_is_told():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pool = nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(2)
            self.fc1, self.fc2 = nn.Linear(16, 8), nn.Linear(8, 6)

        def forward(self, x):
            x = self.pool(self.conv(x)).flatten(1)
            return self.fc2(nn.functional.relu(self.fc1(x)))

    options = {"rank": 4, "input_size": (1, 8, 8)}
    report = replace_classifier(Functional(), 6, at=("pool", "fc1", "fc2"), **options)
    assert any("After the new layer come relu()" in note for note in report.notes)
    report = replace_classifier(tiny(), 6, rank=4, input_size=(3, 8, 8), at=("1", "2"))
    assert not any("After" in note for note in report.notes)


def test_no_place_is_named_that_would_take_features_along():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.block = nn.Identity(), nn.Linear(6, 6)
            self.drop, self.head = nn.Dropout(), nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.drop(self.block(self.before(x))[:, 0]))

    with pytest.raises(ValueError, match="cannot see the head") as caught:
        replace_classifier(Tokens(), 5, rank=2, input_size=(4, 6))
    assert "at=" not in str(caught.value)


@pytest.mark.parametrize("at", [None, "cls"])
def test_a_network_with_several_outputs_is_told_how(at):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.cls, self.reg = nn.Sequential(nn.Flatten(), nn.Linear(144, 6)), nn.Linear(4, 1)

        def forward(self, x):
            x = self.conv(x)
            return self.cls(x), self.reg(x.mean((2, 3)))

    model = Two()
    with pytest.raises(ValueError, match=r"gives a tuple, .*replace_classifier\(model.head"):
        replace_classifier(model, 6, rank=3, input_size=(1, 8, 8), at=at)
    replace_classifier(model.cls, 6, rank=3, input_size=(4, 6, 6))
    assert [part.shape for part in model(torch.zeros(2, 1, 8, 8))] == [(2, 6), (2, 1)]


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (None, {}, "is NoneType, but it must be a torch.nn.Module"),
        (nn.ReLU, {}, "is the class ReLU"),
        (tiny(), {"at": ()}, "must be the name of a module"),
        (tiny(), {"at": 3}, "must be the name of a module"),
        (tiny(), {"input_size": torch.zeros(0, 3, 8, 8)}, "at least one sample"),
    ],
)
def test_what_is_no_network_or_no_name_is_told(model, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        replace_classifier(model, 6, **{"rank": 3, "input_size": (3, 8, 8), **options})


def test_a_network_that_was_compiled_is_told():
    traced = torch.jit.trace(tiny(), torch.zeros(2, 3, 8, 8))
    with pytest.raises(TypeError, match="trace or script that again"):
        replace_classifier(traced, 6, rank=3, input_size=(3, 8, 8))
