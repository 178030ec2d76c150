"""What is watched of an answer: the tensors that it makes, and those its result depends on."""

from collections.abc import Iterable
from typing import ClassVar

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Largest(TorchDispatchMode):
    """Notes the most numbers that any tensor made under it holds, and all their counts.

    Where the answer runs in another process, that process is asked for both.
    """

    active: ClassVar[list["Largest"]] = []

    def __init__(self):
        super().__init__()
        self.numbers = 0
        self.counts: set[int] = set()

    def __enter__(self):
        Largest.active.append(self)
        return super().__enter__()

    def __exit__(self, *error):
        Largest.active.remove(self)
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                stored = tensor.untyped_storage().nbytes() // tensor.element_size()
                self.add(stored, [tensor.numel()])
        return result

    def add(self, numbers: int, counts: Iterable[int]) -> None:
        """Take note of tensors."""
        self.numbers = max(self.numbers, numbers)
        self.counts.update(counts)


def ends(tensors: list[Tensor]) -> set[int]:
    """The ids of the tensors that a backward pass from these would reach."""
    seen, found = set(), {id(t) for t in tensors if t.requires_grad and t.is_leaf}
    waiting = [tensor.grad_fn for tensor in tensors]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        waiting += [parent for parent, _ in node.next_functions]
    return found
