"""What is watched while an answer runs: the largest tensor that it makes."""

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
