"""Where the head of a network begins: the activation, its flatten, the linear layers after it.

The forward pass is traced with :mod:`torch.fx`, from its output backwards, and
only as deep as the way leads: everything else stays one opaque call.
"""

import copy
import inspect
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest

import torch
from torch import Tensor, fx, nn

from trlkit.regression import TRL

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
DROPOUTS = (nn.modules.dropout._DropoutNd,)
# Average poolings as they appear in a graph; those of a mode to size 1 a TRL can learn.
POOLINGS = (
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
)
POOLING_NAMES = {"mean", *(f"{a}avg_pool{n}d" for a in ("", "adaptive_") for n in (1, 2, 3))}


@dataclass
class Head:
    """The end of a forward pass, from the activation to the last linear layer.

    Attributes
    ----------
    owner : Module
        The innermost module whose forward pass holds all of it.
    path : str
        The owner's name in the network; "" for the network itself.
    graph : torch.fx.Graph
        The owner's forward pass.
    activation : torch.fx.Node
        What the tensor regression layer will take.
    shape : tuple of int
        The activation's, without the batch.
    chain : list of torch.fx.Node
        What comes after it, up to the last linear layer.
    flatten : torch.fx.Node
        The one in the chain that makes a matrix.
    pooling : torch.fx.Node, optional
        The global average pooling in the chain.
    kept : list of torch.fx.Node
        Normalizations in the chain between the pooling and the flatten, which stay.
    """

    owner: nn.Module
    path: str
    graph: fx.Graph
    activation: fx.Node
    shape: tuple[int, ...]
    chain: list[fx.Node]
    flatten: fx.Node
    pooling: fx.Node | None = None
    kept: list[fx.Node] = field(default_factory=list)

    @property
    def region(self) -> list[fx.Node]:
        """What a tensor regression layer replaces, from first to last."""
        return [node for node in self.chain if node not in self.kept]

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls."""
        return self.owner.get_submodule(node.target) if node.op == "call_module" else None


class TwoWays(ValueError):
    """Raised where a forward pass goes one way in training and another in evaluation."""


def find_head(model: nn.Module, example: Tensor, both: bool = True) -> Head:
    """Find the activation before the flatten, and the linear layers after it.

    Parameters
    ----------
    model : Module
        Left as it is. It maps a batch to (B, N).
    example : Tensor of shape (2, *input_size)
        Of the model's dtype, on its device. Two samples tell a batch from a mode of size 1.
    both : bool
        Whether the graph must hold in training and in evaluation, not in evaluation alone.

    Returns
    -------
    Head

    Raises
    ------
    ValueError
        Where the way back from the output cannot be followed: what was found, and
        how to name the place by hand.

    Notes
    -----
    An average pooling to size 1 belongs to the head: the tensor regression layer
    learns it. Where no linear layer follows the flatten, a 1x1 convolution before a
    global pooling is the linear layer, as in SqueezeNet.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
    >>> find_head(net, torch.zeros(2, 3, 8, 8)).shape
    (8, 6, 6)
    """
    try:
        return _found(model, example, both)
    except ValueError as error:
        names = _places(model, example)
        said = ", ".join(f'"{name}"' for name in names)
        said = f"({said})" if len(names) > 1 else said
        tip = f"; name the place by hand, as at={said}" if names else ""
        raise type(error)(f"{error}{tip}") from error


def _places(model: nn.Module, example: Tensor) -> list[str]:
    """The network's last children from one that may become the layer on: what at may name.

    That one takes an activation, and has no numbers that belong to the features: it makes a
    matrix of it, or has none at all.
    """
    calls: list[tuple[str, int, int]] = []
    hooks = [
        child.register_forward_hook(
            lambda _, taken, given, name=name: calls.append((name, _ndim(taken), _ndim(given)))
        )
        for name, child in model.named_children()
    ]
    try:
        with probing(model):
            output = model(example)
    except Exception:
        return []
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(output, Tensor):
        return []
    children = dict(model.named_children())
    for place, (name, taken, given) in reversed([*enumerate(calls)]):
        if taken > 2:
            bare = not any(True for _ in children[name].parameters())
            names = [name for name, *_ in calls[place:]]
            fits = (given == 2 or bare) and len(set(names)) == len(names)
            return names if fits else []
    return []


def _ndim(value: object) -> int:
    """The modes of a tensor, alone or the first of a tuple; 0 for anything else."""
    value = value[0] if isinstance(value, tuple) and value else value
    return value.ndim if isinstance(value, Tensor) else 0


def _found(model: nn.Module, example: Tensor, both: bool) -> Head:
    owner, path, inputs, opened = model, "", (example,), frozenset()
    while True:
        trace = _Trace(owner, path, inputs, opened, both)
        try:
            return trace.head()
        except _Closed as closed:
            node, followed = closed.node, closed.followed
        if trace.ndim(node) == 2 and trace.holds_flatten(node) and not followed:
            module = owner.get_submodule(node.target)
            inputs = _inputs_of(owner, module, inputs)
            owner, path, opened = module, f"{path}.{node.target}".lstrip("."), frozenset()
        else:
            opened |= {node.target}


@contextmanager
def evaluating(model: nn.Module, training: bool = False) -> Iterator[None]:
    """Put a model in eval mode, or training mode, without gradients; then back, module by module.

    Examples
    --------
    >>> net = nn.Dropout()
    >>> with evaluating(net):
    ...     print(net.training)
    False
    >>> net.training
    True
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        # Not model.eval(): a module may do more there than set the flag.
        for module, _ in modes:
            module.training = training
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def probing(model: nn.Module, training: bool = False) -> Iterator[None]:
    """As :func:`evaluating`, and whatever the passes write into modules is undone.

    Examples
    --------
    >>> net = nn.BatchNorm1d(2)
    >>> with probing(net, training=True):
    ...     net(torch.ones(4, 2)), setattr(net, "seen", True)
    (tensor([[0., 0.],
            [0., 0.],
            [0., 0.],
            [0., 0.]]), None)
    >>> net.running_mean, hasattr(net, "seen")
    (tensor([0., 0.]), False)
    """
    inside = ("_parameters", "_buffers", "_modules")
    plain = [
        (module, {key: value for key, value in vars(module).items() if key not in inside})
        for module in model.modules()
    ]
    filled = [
        (v, copy.copy(v)) for _, own in plain for v in own.values() if type(v) in (list, dict)
    ]
    tensors = [(tensor, tensor.detach().clone()) for tensor in {*model.buffers()}]
    try:
        with evaluating(model, training):
            yield
    finally:
        with torch.no_grad():
            for tensor, before in tensors:
                if not tensor.is_meta and not torch.equal(tensor, before):
                    tensor.copy_(before)
        for module, own in plain:
            for key in [key for key in vars(module) if key not in own and key not in inside]:
                del vars(module)[key]
            vars(module).update(own)
        for value, before in filled:
            value.clear()
            value.extend(before) if isinstance(value, list) else value.update(before)


class _Closed(Exception):
    """Raised where the way leads through a module that is to be looked into first.

    A linear layer that followed it takes its output.
    """

    def __init__(self, node: fx.Node, followed: bool) -> None:
        super().__init__(node)
        self.node, self.followed = node, followed


class _Tracer(fx.Tracer):
    """Records calls of modules whole, but for those opened.

    With ``plain`` the forward pass is that of one tensor, all else at its default.
    """

    def __init__(self, opened: Iterable[str], plain: bool = False) -> None:
        super().__init__()
        self.opened, self.plain = frozenset(opened), plain

    def create_args_for_root(self, root_fn, is_module, concrete_args=None):
        if not self.plain:
            return super().create_args_for_root(root_fn, is_module, concrete_args)

        def forward(self, x):
            return root_fn(self, x)

        return super().create_args_for_root(forward, is_module, concrete_args)

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return name not in self.opened


class _Shapes(fx.Interpreter):
    """Runs a graph and notes the shape of every tensor."""

    def __init__(self, owner: nn.Module, graph: fx.Graph) -> None:
        super().__init__(owner, graph=graph)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, node: fx.Node):
        value = super().run_node(node)
        if isinstance(value, Tensor):
            self.shapes[node] = tuple(value.shape)
        return value


def _shaped(
    owner: nn.Module, opened: frozenset[str], both: bool, inputs: tuple, plain: bool = False
) -> tuple[fx.Graph, dict[fx.Node, tuple[int, ...]]]:
    """The graph of a module's forward pass, and the shapes in it."""
    graph = _traced(owner, opened, both, plain)
    interpreter = _Shapes(owner, graph)
    with probing(owner):
        interpreter.run(*inputs)
    return graph, interpreter.shapes


class _Trace:
    """The forward pass of one module, to be followed backwards from its output."""

    def __init__(
        self, owner: nn.Module, path: str, inputs: tuple, opened: frozenset[str], both: bool
    ) -> None:
        self.owner, self.path = owner, path
        try:
            self.graph, self.shapes = _shaped(owner, opened, both, inputs)
        except TypeError:  # an optional argument, which a trace takes for given
            self.graph, self.shapes = _shaped(owner, opened, both, inputs, plain=True)
        self.roles: dict[fx.Node, str] = {}
        self.followed = False

    def head(self) -> Head:
        """The head; _Closed where a module hides it."""
        flatten, after = self.flatten()
        again = isinstance(self.module(flatten), TRL)
        pooling, chain, kept = (None, [flatten], []) if again else self.pooling(flatten)
        linear = [n for n in after if isinstance(self.module(n), nn.Linear)]
        if linear:
            chain += after[: after.index(linear[-1]) + 1]
        elif pooling is None and not again:
            raise self.refusal("which no linear layer follows", flatten)
        elif not again:
            chain, kept = self.convolution(chain[0]) + chain, []
        activation = self.before(chain[0])
        shape = self.shapes[activation][1:]
        return Head(
            self.owner, self.path, self.graph, activation, shape, chain, flatten, pooling, kept
        )

    def flatten(self) -> tuple[fx.Node, list[fx.Node]]:
        """The node that makes the activation a matrix, and what comes after it."""
        node = next(node for node in self.graph.nodes if node.op == "output").args[0]
        if not isinstance(node, fx.Node):
            raise ValueError(several(self.owner, node))
        if self.ndim(node) != 2:
            raise self.refusal("where one tensor of shape (B, classes) is needed", node)
        after = []
        while self.ndim(node) == 2:
            self.look_into(node)
            self.followed |= isinstance(self.module(node), nn.Linear)
            after.insert(0, node)
            node = self.before(node)
            if node is None:
                raise self.refusal("but there is no activation with modes to keep", after[0])
        flatten, *after = after
        if isinstance(self.module(flatten), TRL) or self.role(flatten):
            return flatten, after
        if self.size(flatten) != self.size(node) and not self.is_global_pooling(flatten):
            raise self.refusal("which neither flattens an activation nor takes its mean", flatten)
        return flatten, after

    def pooling(self, flatten: fx.Node) -> tuple[fx.Node | None, list[fx.Node], list[fx.Node]]:
        """A global average pooling, the chain from it to the flatten, the norms in the chain."""
        chain, kept, node = [flatten], [], flatten
        while not self.is_global_pooling(node):
            node = self.before(node)
            if self.is_flat(node):
                self.look_into(node)
            if isinstance(self.module(node), NORMS) and self.is_flat(node):
                kept.append(node)
            elif not self.is_global_pooling(node) and not isinstance(self.module(node), DROPOUTS):
                # No pooling: what was passed belongs to the features.
                return None, [flatten], []
            chain.insert(0, node)
        return node, chain, kept

    def convolution(self, pooling: fx.Node) -> list[fx.Node]:
        """The chain from a 1x1 convolution, and the dropouts before it, to a global pooling."""
        chain, node = [], self.before(pooling)
        while True:
            self.look_into(node)
            module = self.module(node)
            chain.insert(0, node)
            if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) == module.stride:
                break
            if not isinstance(module, (nn.ReLU, nn.ReLU6, nn.Identity, *DROPOUTS)):
                raise self.refusal("after which come a pooling and no linear layer", node)
            node = self.before(node)
        while isinstance(self.module(self.before(chain[0])), DROPOUTS):
            chain.insert(0, self.before(chain[0]))
        return chain

    def holds_flatten(self, node: fx.Node) -> bool:
        """Whether a module takes the activation as it is, and not what was pooled of it."""
        before = self.before(node)
        return self.ndim(before) > 2 and not self.is_flat(before)

    def is_flat(self, node: fx.Node) -> bool:
        """Whether all modes but the batch's and the channels' have size 1."""
        return self.size(node) == self.shapes[node][1]

    def before(self, node: fx.Node) -> fx.Node | None:
        """The one tensor that a node takes; None at the network's input."""
        if node.op == "placeholder":
            return None
        inputs = [n for n in node.all_input_nodes if n in self.shapes]
        if len(inputs) != 1:
            raise self.refusal(f"it takes {len(inputs)} tensors, so the way back forks", node)
        return inputs[0]

    def ndim(self, node: fx.Node | None) -> int | None:
        return len(self.shapes[node]) if node in self.shapes else None

    def size(self, node: fx.Node) -> int:
        """The number of features of a sample."""
        return math.prod(self.shapes[node][1:])

    def module(self, node: fx.Node) -> nn.Module | None:
        return self.owner.get_submodule(node.target) if node.op == "call_module" else None

    def look_into(self, node: fx.Node) -> None:
        """Raise _Closed if a node calls a module made of others, or one of the user's own."""
        module = self.module(node)
        if module is None or isinstance(module, (nn.Linear, TRL, *NORMS)) or self.role(node):
            return
        if isinstance(module, nn.Sequential) or not type(module).__module__.startswith("torch."):
            raise _Closed(node, self.followed)

    def role(self, node: fx.Node) -> str:
        """What a module of the user's own does, seen from outside: "flatten", "mean" or ""."""
        if node not in self.roles:
            module = self.module(node)
            own = module is not None and not type(module).__module__.startswith("torch.")
            self.roles[node] = _role(module, self.shapes[self.before(node)]) if own else ""
        return self.roles[node]

    def is_global_pooling(self, node: fx.Node) -> bool:
        """Whether a node is the mean over all modes but the batch's and the channels'."""
        target = node.target if isinstance(node.target, str) else node.target.__name__
        pooling = isinstance(self.module(node), POOLINGS) or self.role(node) == "mean"
        if not pooling and (node.op == "call_module" or target not in POOLING_NAMES):
            return False
        return self.shapes[node][:2] == self.shapes[self.before(node)][:2] and self.is_flat(node)

    def refusal(self, why: str, node: object) -> ValueError:
        shape = f" of shape {self.shapes[node]}" if node in self.shapes else ""
        name = f"{type(self.owner).__name__}{f' ({self.path})' if self.path else ''}"
        return ValueError(
            f"cannot see the head of {name}: going back from its output there is "
            f"{_described(node)}{shape}, {why}"
        )


def _writes(graph: fx.Graph) -> list[fx.Node]:
    """The calls that change a tensor of the module's own in place."""
    return [
        node
        for node in graph.nodes
        if node.op == "call_method"
        and node.target.endswith("_")
        and not node.target.endswith("__")
        and isinstance(node.args[0], fx.Node)
        and node.args[0].op == "get_attr"
    ]


def graph_of(owner: nn.Module, opened: frozenset[str], plain: bool = False) -> fx.Graph:
    """The forward pass in the mode that the owner is in; of one tensor, if ``plain``.

    Examples
    --------
    >>> [node.op for node in graph_of(nn.Sequential(nn.ReLU()), frozenset()).nodes]
    ['placeholder', 'call_module', 'output']
    """
    try:
        return _Tracer(opened, plain).trace(owner)
    except Exception:
        # It may decide by an argument that has a default, as timm's heads do, or compute with it.
        first, *others = inspect.signature(owner.forward).parameters.values()
        if not others or any(other.default is other.empty for other in others):
            raise
        return _Tracer(opened, plain=True).trace(owner)


def _traced(owner: nn.Module, opened: frozenset[str], both: bool, plain: bool = False) -> fx.Graph:
    """The graph of the forward pass, with ``training`` where the flag is an argument."""
    graphs = []
    for training in (False, True) if both else (False,):
        try:
            with probing(owner, training):
                versions = {name: buffer._version for name, buffer in owner.named_buffers()}
                graphs.append(graph_of(owner, opened, plain))
                now = {name: buffer._version for name, buffer in owner.named_buffers()}
        except fx.proxy.TraceError as error:
            raise ValueError(
                f"cannot see through the forward pass of {type(owner).__name__}: it decides by "
                f"what comes in. Take the if or assert on a tensor out of forward, or give the "
                f"head a module of its own, as nn.Sequential(nn.Flatten(), nn.Linear(...))"
            ) from error
        except Exception as error:
            raise ValueError(
                f"cannot see through the forward pass of {type(owner).__name__}: {error}"
            ) from error
        written = [name for name in now if now[name] != versions.get(name)]
        written += [str(node.args[0].target) for node in _writes(graphs[-1])]
        if written:
            raise ValueError(
                f"the forward pass of {type(owner).__name__} writes into {', '.join(written)}, "
                f"which a forward pass that is written anew would not do. Give the head a module "
                f"of its own, as nn.Sequential(nn.Flatten(), nn.Linear(...))"
            )
    graph, other = graphs[0], graphs[-1]
    flag = None
    for node, twin in zip_longest(list(graph.nodes), other.nodes):
        if None in (node, twin) or (node.op, node.target) != (twin.op, twin.target):
            raise _two_ways(owner, node or twin)
        node.type = None
        arguments = [*enumerate(node.args), *node.kwargs.items()]
        others = [*enumerate(twin.args), *twin.kwargs.items()]
        for (key, value), (_, trained) in zip(arguments, others, strict=True):
            if (value, trained) == (False, True):
                if flag is None:
                    with graph.inserting_before(next(iter(graph.nodes))):
                        flag = graph.create_node("get_attr", "training")
                update = node.update_arg if isinstance(key, int) else node.update_kwarg
                update(key, flag)
            elif repr(value) != repr(trained):
                raise _two_ways(owner, node)
    return graph


def _role(module: nn.Module, shape: tuple[int, ...]) -> str:
    """Whether a module without values of its own flattens (B, C, ...), or takes the mean of it."""
    if len(shape) < 3 or [*module.parameters(), *module.buffers()]:
        return ""
    x = torch.linspace(0, 1, math.prod(shape)).square().reshape(shape)  # no mean is its middle
    try:
        with probing(module):
            y = module(x)
        rows = y.reshape(len(x), -1)
    except Exception:
        return ""  # it is looked into
    if y.ndim == 2 and torch.equal(rows, x.flatten(1)):
        return "flatten"
    mean = x.flatten(2).mean(2)
    return "mean" if rows.shape == mean.shape and torch.allclose(rows, mean, atol=1e-6) else ""


def _two_ways(owner: nn.Module, node: fx.Node) -> TwoWays:
    return TwoWays(
        f"the forward pass of {type(owner).__name__} goes one way in training and another in "
        f"evaluation, from {_described(node)} on"
    )


def _inputs_of(owner: nn.Module, module: nn.Module, inputs: tuple) -> tuple:
    """What a module is called with when its owner runs."""
    calls = []
    hook = module.register_forward_pre_hook(lambda _, arguments: calls.append(arguments))
    try:
        with probing(owner):
            owner(*inputs)
    finally:
        hook.remove()
    return calls[-1]


def several(owner: nn.Module, output: object) -> str:
    """What is wrong with a network whose output is no tensor, and the mend.

    Examples
    --------
    >>> several(nn.Identity(), (1, 2))[:50]
    'Identity gives a tuple, where one tensor of shape '
    """
    return (
        f"{type(owner).__name__} gives a {type(output).__name__}, where one tensor of shape "
        f"(B, classes) is needed: replace inside of it, "
        f"replace_classifier(model.head, ..., input_size=...) with the module of that head and "
        f"the size of what it takes, without the batch"
    )


def _described(node: object) -> str:
    if node.op == "call_module":
        return f"module {node.target!r}"
    name = node.target if isinstance(node.target, str) else node.target.__name__
    return {"placeholder": f"the input {name!r}"}.get(node.op, f"{name}()")
