"""What a network keeps beside its head that must follow: auxiliary heads, counts, methods."""

import inspect

from torch import nn

from trlkit.regression import TRL
from trlkit.surgery.forwards import put

POOLED = (nn.Flatten, nn.Identity, nn.modules.dropout._DropoutNd)


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
        if not any(module.children()) and not isinstance(module, POOLED)
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
