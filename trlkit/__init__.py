"""Tensor regression layers and tensor dropout in PyTorch.

``import trlkit`` needs torch alone. The classroom (checks, notebooks, grading)
is :mod:`trlkit.course`; it needs the extra ``trlkit[course]``.
"""

from trlkit.tensors import (
    fold,
    inner,
    khatri_rao,
    kronecker,
    mode_dot,
    multi_mode_dot,
    outer,
    unfold,
)

__version__ = "0.1.0"

__all__ = [
    "fold",
    "inner",
    "khatri_rao",
    "kronecker",
    "mode_dot",
    "multi_mode_dot",
    "outer",
    "unfold",
]
