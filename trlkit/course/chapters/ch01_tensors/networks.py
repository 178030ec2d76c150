"""Lists that hold one tensor several times: made where the answer runs, they stay so."""

import torch
from torch import Tensor


def one_twice(shape: tuple[int, ...], places: tuple[int, ...], seed: int) -> list[Tensor]:
    """A list of tensors of one shape; where ``places`` has a number again, the same tensor."""
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in set(places)]
    return [made[place] for place in places]
