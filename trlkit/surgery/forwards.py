"""Networks with another module in the place of their head: Sequentials, and forward passes."""

from types import ModuleType

from torch import fx, nn

from trlkit.regression import TRL
from trlkit.surgery.heads import Head


def replace_head(head: Head, layer: nn.Module) -> None:
    """Put a layer in the place of a head: among a Sequential's modules, or in ``forward``.

    Parameters
    ----------
    head : Head
        Its owner is changed in place, its graph used up.
    layer : Module
        It takes the activation and what is kept of the chain has made of it.

    Examples
    --------
    >>> import torch
    >>> from trlkit.surgery.heads import find_head
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 5))
    >>> replace_head(find_head(net, torch.zeros(2, 3, 8, 8)), nn.AvgPool2d(6))
    >>> net(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 8, 1, 1])
    """
    owner = head.owner
    if is_sequential(head):
        first, *others = [node.target for node in head.region]
        put(owner, first, layer)
        for name in others:
            _remove(owner, name)
        return
    graph, previous = head.graph, head.activation
    last, unused = head.chain[-1], {node for node in graph.nodes if not node.users}
    name = linear_node(head).target
    before = head.activation
    for node in head.chain:
        if node in head.kept:
            node.replace_input_with(before, previous)
            previous = node
        before = node
    with graph.inserting_before(last):
        call = graph.call_module(name, (previous,))
    last.replace_all_uses_with(call)
    for node in reversed(graph.nodes):
        if not node.users and node not in unused:
            graph.erase_node(node)
    called = {node.target for node in graph.nodes if node.op == "call_module" and node is not call}
    dead = {node.target for node in head.region if node.op == "call_module"} - called
    call.target = name = _topmost(owner, name, dead) if name in dead else "trl"
    put(owner, name, layer)
    for other in dead:
        if not f"{other}.".startswith(f"{name}."):
            _remove(owner, other)
    owner.__class__ = _rewritten(_base(type(owner)), _source(graph))


def is_sequential(head: Head) -> bool:
    """Whether the head is modules in Sequentials, each called once, and nothing else.

    Examples
    --------
    >>> import torch
    >>> from trlkit.surgery.heads import find_head
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 5))
    >>> is_sequential(find_head(net, torch.zeros(2, 3, 8, 8)))
    True
    """
    calls = [node.target for node in head.graph.nodes if node.op == "call_module"]
    if any(node.op != "call_module" or calls.count(node.target) > 1 for node in head.chain):
        return False
    parents = {""}
    for node in head.region:
        names = node.target.split(".")
        parents.update(".".join(names[:depth]) for depth in range(len(names)))
    modules = [head.owner.get_submodule(parent) for parent in parents]
    return all(type(module).forward is nn.Sequential.forward for module in modules)


def _topmost(owner: nn.Module, name: str, dead: set[str]) -> str:
    """The outermost module around ``name`` in which every module is dead."""
    while parent := name.rpartition(".")[0]:
        leaves = [
            f"{parent}.{child}"
            for child, module in owner.get_submodule(parent).named_modules()
            if not any(module.children())
        ]
        if not dead.issuperset(leaves):
            break
        name = parent
    return name


def put(owner: nn.Module, name: str, module: nn.Module) -> None:
    """Set the module of a dotted name, at whatever depth; it keeps its place among its siblings.

    Examples
    --------
    >>> net = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
    >>> put(net, "0.0", nn.Identity())
    >>> net[0]
    Sequential(
      (0): Identity()
    )
    """
    parent, _, child = name.rpartition(".")
    owner.get_submodule(parent).add_module(child, module)


def _remove(owner: nn.Module, name: str) -> None:
    """Remove a module, and those around it that are then empty."""
    parent, _, child = name.rpartition(".")
    module = owner.get_submodule(parent)
    delattr(module, child)
    if parent and not any(module.children()):
        _remove(owner, parent)


def linear_node(head: Head) -> fx.Node:
    """Find the call of the last linear layer, or of the convolution or TRL that stands for one.

    Examples
    --------
    >>> import torch
    >>> from trlkit.surgery.heads import find_head
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 5))
    >>> linear_node(find_head(net, torch.zeros(2, 3, 8, 8))).target
    '2'
    """
    kinds = (nn.Linear, nn.Conv2d, TRL)
    return [node for node in head.region if isinstance(head.module(node), kinds)][-1]


def _source(graph: fx.Graph) -> str:
    """The graph as a ``forward``, with the imports that it needs."""
    code = graph.python_code("self")
    imports = []
    for name, value in code.globals.items():
        if isinstance(value, ModuleType):
            imports.append(f"import {value.__name__} as {name}")
        elif hasattr(value, "__qualname__") and f" {name}(" in code.src:
            imports.append(f"from {value.__module__} import {value.__qualname__} as {name}")
    return "\n".join([*imports, code.src.strip()])


def _base(kind: type[nn.Module]) -> type[nn.Module]:
    """The class that a network was written as."""
    return kind.__mro__[1] if "_source" in vars(kind) else kind


def _rewritten(kind: type[nn.Module], source: str) -> type[nn.Module]:
    """A subclass with another ``forward``, of the same name."""
    scope: dict = {}
    exec(compile(source, f"<forward of {kind.__name__}>", "exec"), scope)
    body = {
        "forward": scope["forward"],
        "_source": source,
        "__module__": kind.__module__,
        "__doc__": kind.__doc__,
        "__reduce_ex__": lambda self, protocol: (_made, (kind, source), self.__getstate__()),
    }
    return type(kind.__name__, (kind,), body)


def _made(kind: type[nn.Module], source: str) -> nn.Module:
    """An empty network of a rewritten class, for copy and pickle to fill."""
    rewritten = _rewritten(kind, source)
    return rewritten.__new__(rewritten)
