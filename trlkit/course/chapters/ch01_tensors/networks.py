"""Lists that hold one tensor several times: made where the answer runs, they stay so."""

import torch
from torch import Tensor


class Kept(list):
    """A list that is never copied: what can be called is lent to the check, and handed back.

    A list's tensors would cross one by one, and what is one tensor twice would become two.
    """

    def __call__(self) -> None:
        raise TypeError("a list cannot be called")


def one_twice(shape: tuple[int, ...], places: tuple[int, ...], seed: int) -> list[Tensor]:
    """A list of tensors of one shape; where ``places`` has a number again, the same tensor."""
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in set(places)]
    return Kept(made[place] for place in places)
