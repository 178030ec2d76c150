"""What a network keeps beside its head that must follow: auxiliary heads, counts, methods."""

import dis
import inspect
from collections.abc import Iterator

from torch import fx, nn

from trlkit.regression import TRL
from trlkit.surgery.forwards import is_sequential, put
from trlkit.surgery.heads import DROPOUTS, POOLING_NAMES, Head, graph_of

POOLED = (nn.Flatten, nn.Identity)
# What a graph calls to flatten, to take a mean, and to find sizes: nothing that is missed.
SHAPING = {"flatten", "view", "reshape", "size", "dim", "squeeze", "getattr", "getitem"}


def adapt(
    model: nn.Module,
    before: dict[str, nn.Module],
    trl: TRL,
    classes: int,
    num_classes: int,
) -> tuple[list[nn.Module], list[str]]:
    """Bring a changed network in line with its new head, and say what is no more as it was.

    Parameters
    ----------
    model : Module
        With the new layer in its place. Changed in place.
    before : dict of str to Module
        Its modules before, by name.
    trl : TRL
    classes, num_classes : int
        Before and after.

    Returns
    -------
    (list of Module, list of str)
        The auxiliary heads that are new, and a sentence for each thing to know.

    Notes
    -----
    Auxiliary heads are known by "aux" in their name, as torchvision's googlenet and inception_v3
    have them; ``num_classes`` is timm's and torchvision's name for the count.
    """
    new, notes = [], []
    now = {module for module in model.modules()}
    gone = {name: module for name, module in before.items() if module not in now}
    leaves = [
        f"{name} ({type(module).__name__})"
        for name, module in gone.items()
        if not any(module.children())
        and not isinstance(module, POOLED)
        and not any(isinstance(before.get(part), TRL) for part in _around(name))
    ]
    if leaves:
        notes.append(f"Gone with the head: {', '.join(leaves)}.")
    for name, module in list(model.named_modules()):
        old = isinstance(module, nn.Linear) and module.out_features == classes != num_classes
        if old and "aux" in name.lower():
            like = module.weight
            options = {"device": like.device, "dtype": like.dtype}
            linear = nn.Linear(
                module.in_features, num_classes, module.bias is not None, **options
            ).train(module.training)
            put(model, name, linear)
            new.append(linear)
            notes.append(
                f"The auxiliary head {name} is a new linear layer of {num_classes} classes."
            )
    for name, module in model.named_modules():
        if getattr(module, "num_classes", None) == classes != num_classes and module is not trl:
            module.num_classes = num_classes
            notes.append(
                f"{f'{name}.' if name else ''}num_classes is {num_classes}, was {classes}."
            )
    hooked = [name for name, module in gone.items() if _hooks(module)]
    if hooked:
        notes.append(f"Hooks went with {', '.join(hooked)}: put them on again.")
    children = {name for name in gone if "." not in name and name not in model._modules}
    for method, used in _users(type(model), children):
        notes.append(f"{method}() uses {', '.join(sorted(used))}, which is gone.")
    return new, notes


def gone(head: Head) -> list[str]:
    """A sentence on the functions that go with a head, beside those that flatten or pool.

    Parameters
    ----------
    head : Head
        Before it is replaced.
    """
    names = [_name(node) for node in head.region if node.op in ("call_function", "call_method")]
    missed = [f"{n}()" for n in dict.fromkeys(names) if n not in SHAPING | POOLING_NAMES]
    return [f"Gone with the head too: {', '.join(missed)}."] if missed else []


def fixed(head: Head) -> list[str]:
    """Sentences on what a forward pass that is written anew no longer does.

    Parameters
    ----------
    head : Head
        Before it is replaced.
    """
    owner = head.owner
    if is_sequential(head):
        return []
    code, plain = getattr(inspect.unwrap(type(owner).forward), "__code__", None), vars(owner)
    if code is None:  # not written in Python
        return []
    inside = {*vars(nn.Module()), "_parameters", "_buffers", "_modules"}
    stored = [i.argval for i in dis.get_instructions(code) if i.opname == "STORE_ATTR"]
    read = [n for n in code.co_names if n in plain and n not in {*inside, *stored}]
    others = [*inspect.signature(owner.forward).parameters][1:]
    taken = {node.target for node in head.graph.nodes if node.op == "placeholder"}
    notes = []
    if read:
        notes.append(
            f"The new forward has {', '.join(dict.fromkeys(read))} as they were: to set them later "
            f"changes nothing."
        )
    if stored:
        notes.append(f"The new forward no longer sets {', '.join(dict.fromkeys(stored))}.")
    if left := [name for name in others if name not in taken]:
        notes.append(f"The new forward no longer takes {', '.join(left)}.")
    return notes


def follows(model: nn.Module, trl: TRL) -> list[str]:
    """A sentence on what works on the output of a layer that was put somewhere by hand.

    Parameters
    ----------
    model : Module
        With the layer in its place.
    trl : TRL
    """
    name = next(name for name, module in model.named_modules() if module is trl)
    try:
        graph = graph_of(model, frozenset(_around(name)))
    except Exception:
        return []  # nothing can be said of it
    waiting = [node for node in graph.nodes if node.op == "call_module" and node.target == name]
    later = []
    for node in waiting:
        users = [user for user in node.users if user not in waiting]
        waiting += users
        later += [user for user in users if user.op != "output"]
    modules = dict(model.named_modules())
    found = [
        f"module {node.target!r}" if node.op == "call_module" else f"{_name(node)}()"
        for node in later
        if not isinstance(modules.get(node.target), (nn.Identity, nn.Flatten, *DROPOUTS))
        and (node.op == "call_module" or _name(node) not in SHAPING)
    ]
    if not found:
        return []
    return [f"After the new layer come {', '.join(dict.fromkeys(found))}, on its output now."]


def _around(name: str) -> Iterator[str]:
    """The names of the modules around one."""
    while name := name.rpartition(".")[0]:
        yield name


def _name(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else node.target.__name__


def _hooks(module: nn.Module) -> bool:
    kinds = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    return any(kinds)


def _users(kind: type[nn.Module], names: set[str]) -> list[tuple[str, set[str]]]:
    """The methods that the network's own class gives it, and which of the names they use."""
    found = []
    for method, function in inspect.getmembers(kind, inspect.isfunction):
        own = not (function.__module__ or "").startswith("torch.nn")
        used = names & {*function.__code__.co_names} if own else set()
        if used and method not in ("__init__", "forward"):
            found.append((method, used))
    return found
