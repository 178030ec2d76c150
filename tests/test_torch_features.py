import copy
import io
import os
import pickle
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from oracles import DEVICES, EVERY_PATH, LAYERS, close, dense_output
from torch import nn

from trlkit import TCL, TRL, TensorDropout

SHAPE = (8, 3, 3)


def tcl(**options):
    return TCL(SHAPE, (4, 2, 2), **options)


def trl(factorization, **options):
    return LAYERS[factorization](SHAPE, (5, 2), 3, **options)


MAKERS = [pytest.param(tcl, id="tcl")] + [
    pytest.param(lambda factorization=name, **options: trl(factorization, **options), id=name)
    for name in LAYERS
]
each_layer = pytest.mark.parametrize("make", MAKERS)
each_factorization = pytest.mark.parametrize("factorization", sorted(LAYERS))
each_device = pytest.mark.parametrize("device", DEVICES)


def batch(size=6, **options):
    return torch.randn(size, *SHAPE, **options)


def same(layer, other, x):
    torch.testing.assert_close(layer(x), other(x), rtol=0, atol=0)


@each_device
@each_layer
def test_state_dict_round_trip(make, device):
    layer, other = make(device=device), make(device=device)
    assert other.load_state_dict(layer.state_dict()) == ([], [])
    same(layer, other, batch(device=device))


@each_device
@each_layer
def test_copies_and_files_keep_the_outputs(make, device):
    layer, x = make(device=device).eval(), batch(device=device)
    with torch.no_grad():
        layer(x)  # whatever is kept between batches must not travel
    same(layer, copy.deepcopy(layer), x)
    same(layer, pickle.loads(pickle.dumps(layer)), x)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = make(device=device)
    other.load_state_dict(torch.load(file, weights_only=True))
    same(layer, other, x)


@each_layer
def test_a_copy_does_not_share_parameters(make):
    layer = make()
    other = copy.deepcopy(layer)
    shared = {p.data_ptr() for p in layer.parameters()} & {p.data_ptr() for p in other.parameters()}
    assert not shared


@each_device
@each_layer
def test_compiles_whole_with_gradients_for_every_batch_size(make, device):
    torch._dynamo.reset()
    layer = make(device=device)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for size in (6, 1, 200, 7):
        x = batch(size, device=device, requires_grad=True)
        expected = torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])
        found = torch.autograd.grad(compiled(x).square().sum(), [x, *layer.parameters()])
        for gradient, right in zip(found, expected, strict=True):
            torch.testing.assert_close(gradient, right, rtol=1e-3, atol=1e-3)


# Shapes in which a plan has something to choose: several modes, none, and one output mode.
CAPTURED = [(12, 5, 5), (6,), (7, 7, 9)]
OUTPUTS = [(), (7,), (3, 4)]
each_shape = pytest.mark.parametrize("inputs", CAPTURED, ids=str)
each_output = pytest.mark.parametrize("outputs", OUTPUTS, ids=str)


def captured(factorization, inputs, outputs, **options):
    if factorization == "tcl":
        return TCL(inputs, 3, **options)
    return LAYERS[factorization](inputs, outputs, 3, **options)


@each_shape
@each_output
@pytest.mark.parametrize("name", [*LAYERS, "tcl"])
def test_compiles_whole_with_every_size_dynamic(name, inputs, outputs):
    torch._dynamo.reset()
    layer = captured(name, inputs, outputs)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="eager")
    for size in (3, 40):
        x = torch.randn(size, *inputs)
        torch.testing.assert_close(compiled(x), layer(x))


@each_shape
@each_output
@pytest.mark.parametrize("name", [*LAYERS, "tcl"])
@pytest.mark.parametrize("training", [True, False])
def test_a_trace_takes_every_batch_size_without_a_warning(name, inputs, outputs, training):
    layer = captured(name, inputs, outputs).train(training)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(layer, torch.randn(3, *inputs))
    for size in (1, 3, 40):
        x = torch.randn(size, *inputs)
        close(traced(x), layer(x), torch.float32)
    traced(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


@each_shape
@each_output
@pytest.mark.parametrize("name", [*LAYERS, "tcl"])
def test_fx_records_a_layer_in_a_network_and_the_contraction_of_a_layer_alone(
    name, inputs, outputs
):
    layer = captured(name, inputs, outputs)
    network = nn.Sequential(nn.ReLU(), layer)
    inside, alone = torch.fx.symbolic_trace(network), torch.fx.symbolic_trace(layer)
    assert inside.get_submodule("1") is layer
    for size in (1, 40):
        x = torch.randn(size, *inputs)
        close(inside(x), network(x), torch.float32)
        close(alone(x), layer(x), torch.float32)
    own = list(layer.parameters())
    expected = torch.autograd.grad(layer(x).square().sum(), own)
    for gradient, right in zip(
        torch.autograd.grad(alone(x).square().sum(), own), expected, strict=True
    ):
        close(gradient, right, torch.float32)


@each_factorization
def test_fx_does_not_draw_masks_once_for_all(factorization):
    layer = trl(factorization, dropout=0.5)
    with pytest.raises(TypeError, match="masks of tensor dropout once"):
        torch.fx.symbolic_trace(layer)
    traced = torch.fx.symbolic_trace(nn.Sequential(layer))
    x = batch()
    assert len(torch.stack([traced(x) for _ in range(20)]).unique(dim=0)) > 1


@each_shape
@each_output
@pytest.mark.parametrize("name", [*LAYERS, "tcl"])
def test_the_onnx_exporter_that_traces_knows_every_step(name, inputs, outputs):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    layer, file = captured(name, inputs, outputs).eval(), io.BytesIO()
    axes = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(layer, (torch.randn(3, *inputs),), file, dynamo=False, **axes)
    session = onnxruntime.InferenceSession(file.getvalue())
    for size in (1, 11):
        x = torch.randn(size, *inputs)
        (y,) = session.run(None, {"x": x.numpy()})
        close(torch.from_numpy(y), layer(x), torch.float32)


@each_layer
def test_script_is_refused_in_one_sentence(make):
    for module in (make(), nn.Sequential(nn.ReLU(), make())):
        with warnings.catch_warnings(), pytest.raises(TypeError, match="use torch.jit.trace"):
            warnings.simplefilter("ignore")
            torch.jit.script(module)


@each_device
@pytest.mark.parametrize(("factorization", "path"), EVERY_PATH)
def test_every_path_compiles_whole(factorization, path, device):
    torch._dynamo.reset()
    layer = trl(factorization, contraction=path, device=device)
    x = batch(device=device)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    close(compiled(x), dense_output(layer, x), torch.float32)


@each_device
@pytest.mark.parametrize("per_sample", [False, True])
@each_factorization
def test_tensor_dropout_compiles_whole(factorization, per_sample, device):
    torch._dynamo.reset()
    dropout = TensorDropout(0.5, per_sample=per_sample)
    layer = trl(factorization, dropout=dropout, device=device)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = batch(device=device)
    assert len(torch.stack([compiled(x) for _ in range(20)]).unique(dim=0)) > 1
    close(compiled.eval()(x), dense_output(layer, x), torch.float32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@each_factorization
def test_a_cuda_graph_replays_the_layer(factorization):
    layer, x = trl(factorization, device="cuda", dropout=0.5).eval(), batch(device="cuda")
    with torch.no_grad():
        layer(x)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = layer(x)
        x.normal_()
        graph.replay()
    close(y, dense_output(layer, x), torch.float32)


def test_the_default_backend_compiles_a_layer():
    torch._dynamo.reset()
    layer, x = trl("cp", dropout=0.5).eval(), batch()
    try:
        y = torch.compile(layer, fullgraph=True)(x)
    except torch._inductor.exc.InductorError as error:
        if "compiler" in str(error):
            pytest.skip("no C++ compiler here")
        raise
    close(y, dense_output(layer, x), torch.float32)


@each_device
@pytest.mark.parametrize("strict", [False, True])
@each_layer
def test_exports_for_every_batch_size(make, strict, device):
    layer = make(device=device).eval()
    dynamic = ({0: torch.export.Dim("batch", min=1, max=4096)},)
    with torch.no_grad():
        program = torch.export.export(
            layer, (batch(device=device),), dynamic_shapes=dynamic, strict=strict
        )
        for size in (2, 50):
            x = batch(size, device=device)
            torch.testing.assert_close(program.module()(x), layer(x), rtol=1e-4, atol=1e-4)


@each_layer
def test_onnxruntime_runs_the_exported_layer(make):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    layer, file = make().eval(), io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            layer,
            (batch(),),
            dynamo=True,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
        )
    program.save(file)
    session = onnxruntime.InferenceSession(file.getvalue())
    x = batch(11)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), layer(x), rtol=1e-4, atol=1e-4)


@each_device
@each_layer
def test_vmap_over_samples_and_over_models(make, device):
    models = [make(device=device).eval() for _ in range(3)]
    x = batch(device=device)
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            one = torch.vmap(lambda sample: models[0](sample.unsqueeze(0)).squeeze(0))
            torch.testing.assert_close(one(x), models[0](x), rtol=1e-4, atol=1e-5)
            stacked, _ = torch.func.stack_module_state(models)
            y = torch.vmap(lambda state: torch.func.functional_call(models[0], state, (x,)))(
                stacked
            )
            for found, model in zip(y, models, strict=True):
                torch.testing.assert_close(found, model(x), rtol=1e-4, atol=1e-5)


@each_factorization
def test_vmap_draws_masks_as_its_randomness_says(factorization):
    layer = trl(factorization, dropout=0.5, bias=False)
    x = batch(1).expand(64, *SHAPE)
    draw = torch.vmap(lambda sample: layer(sample.unsqueeze(0)).squeeze(0), randomness="different")
    assert len(draw(x).unique(dim=0)) > 1
    draw = torch.vmap(lambda sample: layer(sample.unsqueeze(0)).squeeze(0), randomness="same")
    assert draw(x).std(0).max() < 1e-6


@each_factorization
def test_gradients_of_each_sample_through_functional_call(factorization):
    layer, x = trl(factorization), batch()
    state = dict(layer.named_parameters())

    def loss(state, sample):
        return torch.func.functional_call(layer, state, (sample.unsqueeze(0),)).square().sum()

    each = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(state, x)
    layer(x).square().sum().backward()
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(each[name].sum(0), parameter.grad, rtol=1e-3, atol=1e-4)


@each_factorization
def test_functional_call_does_not_see_a_kept_weight(factorization):
    layer, other = trl(factorization).eval(), trl(factorization).eval()
    layer.contraction = "rebuild"
    x = batch()
    with torch.no_grad():
        layer(x)
        found = torch.func.functional_call(layer, dict(other.named_parameters()), (x,))
        close(found, dense_output(other, x), torch.float32)
        close(layer(x), dense_output(layer, x), torch.float32)


@each_device
@each_layer
def test_autocast_gives_the_outputs_and_float32_gradients(make, device):
    layer, x = make(device=device), batch(device=device)
    with torch.autocast(device, dtype=torch.bfloat16):
        y = layer(x)
        half = layer(x.bfloat16())
    close(y, layer(x), torch.bfloat16)
    close(half, layer(x), torch.bfloat16)
    y.float().square().sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in layer.parameters())


PATHS_AND_CHOICE = [
    *[(name, path) for name, path in EVERY_PATH],
    *[(name, "auto") for name in [*LAYERS, "tcl"]],
]


@each_device
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outputs", [(), (7,), (3, 4)], ids=str)
@pytest.mark.parametrize(("name", "path"), PATHS_AND_CHOICE)
def test_the_output_has_the_dtype_of_a_linear_layer_on_every_path(
    name, path, outputs, bias, dtype, device
):
    options = {} if name == "tcl" else {"contraction": path}
    layer = captured(name, (12, 5, 5), outputs, bias=bias, device=device, **options)
    linear = nn.Linear(300, 7, bias, device=device)
    for own in (torch.float32, torch.bfloat16, torch.float64):
        layer, linear = layer.to(own), linear.to(own)
        for size in (0, 1, 4, 300):
            x = torch.randn(size, 12, 5, 5, device=device, dtype=own)
            for training in (True, False):
                layer.train(training)
                with torch.set_grad_enabled(training):
                    assert layer(x).dtype == linear(x.flatten(1)).dtype == own
                    with torch.autocast(device, dtype=dtype):
                        assert layer(x).dtype == linear(x.flatten(1)).dtype


@each_layer
def test_autocast_mixes_float64_with_nothing_as_in_a_linear_layer(make):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for layer, x in (
            (make(), batch(dtype=torch.float64)),
            (make(dtype=torch.float64), batch()),
        ):
            with pytest.raises(TypeError, match="x is torch.float"):
                layer(x)


@each_device
@each_layer
def test_autocast_holds_in_eval_mode_too(make, device):
    layer, x = make(device=device).eval(), batch(device=device)
    with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16):
        found = layer(x)
    close(found, layer(x), torch.bfloat16)


@each_device
@pytest.mark.parametrize(("factorization", "path"), EVERY_PATH)
def test_gradcheck(factorization, path, device):
    options = {"dtype": torch.float64, "device": device}
    layer = LAYERS[factorization]((3, 2), 2, 2, contraction=path, **options)
    x = torch.randn(2, 3, 2, requires_grad=True, **options)
    names = [name for name, _ in layer.named_parameters()]

    def run(x, *tensors):
        return torch.func.functional_call(layer, dict(zip(names, tensors, strict=True)), (x,))

    inputs = (x, *(parameter.detach().requires_grad_() for parameter in layer.parameters()))
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@each_layer
def test_the_meta_device_gives_shapes_and_materializes(make):
    layer = make(device="meta")
    assert layer(batch(device="meta")).device.type == "meta"
    layer = layer.to_empty(device="cpu")
    layer.reset_parameters()
    assert layer(batch()).isfinite().all()


@each_layer
def test_moving_to_another_dtype_moves_everything(make):
    layer = make().eval()
    with torch.no_grad():
        layer(batch())
        layer.double()
        assert layer(batch(dtype=torch.float64)).dtype == torch.float64


def test_torch_modules_treat_a_layer_as_one_of_theirs():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), trl("cp"), nn.Flatten())
    assert isinstance(network[2], TRL)
    assert network(torch.randn(2, 3, 5, 5)).shape == (2, 10)
    assert "rank=3" in repr(network)


TWO_GPUS = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs"),
]
WORKER = """
import os, sys
sys.path.insert(0, os.environ["TESTS"])
import torch
import torch.distributed as dist
from oracles import LAYERS

device = sys.argv[1]
dist.init_process_group("gloo" if device == "cpu" else "nccl")
rank = dist.get_rank()
if device == "cuda":
    torch.cuda.set_device(rank)
    torch.backends.cuda.matmul.allow_tf32 = False
for name, make in LAYERS.items():
    torch.manual_seed(0)
    layer = make((8, 3, 3), (5, 2), 3).to(device)
    x = torch.randn(6, 8, 3, 3).to(device)
    layer(x).square().mean().backward()
    expected = [parameter.grad.clone() for parameter in layer.parameters()]
    layer.zero_grad()
    parallel = torch.nn.parallel.DistributedDataParallel(layer)
    parallel(x[3 * rank : 3 * rank + 3]).square().mean().backward()
    for parameter, right in zip(layer.parameters(), expected):
        torch.testing.assert_close(parameter.grad, right, rtol=1e-4, atol=1e-5)
dist.destroy_process_group()
os._exit(0)  # torch 2.14 with gloo sometimes aborts while Python ends, after all is done
"""


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=TWO_GPUS)])
def test_two_processes_average_the_gradients_of_the_whole_batch(device):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tests = Path(__file__).parent
    environment = {
        "TESTS": str(tests),
        "PYTHONPATH": str(tests.parent),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, device],
            env={**os.environ, **environment, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("name", LAYERS)
def test_data_parallel_on_two_gpus_gives_the_values_and_gradients_of_one(name):
    torch.manual_seed(0)
    layer = LAYERS[name]((8, 3, 3), (5, 2), 3).cuda()
    x = torch.randn(6, 8, 3, 3, device="cuda")
    expected = layer(x)
    expected.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in layer.parameters()]
    layer.zero_grad()
    y = nn.DataParallel(layer)(x)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    y.square().sum().backward()
    for parameter, right in zip(layer.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, right, rtol=1e-4, atol=1e-5)


def test_importing_trlkit_needs_torch_alone():
    code = (
        "import sys, torch; before = set(sys.modules); import trlkit; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - {'trlkit'})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert set(found.stdout.split()) <= sys.stdlib_module_names
