"""Tensor regression layers and tensor dropout in PyTorch.

``import trlkit`` needs torch alone. The classroom (checks, notebooks, grading)
is :mod:`trlkit.course`; it needs the extra ``trlkit[course]``.
"""

import os
import sys

if sys.argv[:1] == ["-m"] and "trlkit.cli" in sys.orig_argv and sys.path[0] == os.getcwd():
    del sys.path[0]  # a torch.py beside a notebook must not stand in for torch in its checker

from trlkit.dropout import TensorDropout, remove_tensor_dropout, tensor_dropout
from trlkit.graphs import graphed
from trlkit.layers import CPTRL, TCL, TTTRL, TuckerTRL, rank_penalty
from trlkit.ranks import break_even_rank, rank_for_budget
from trlkit.regression import TRL
from trlkit.summary import summary
from trlkit.surgery.replace import replace_classifier
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
    "CPTRL",
    "TCL",
    "TRL",
    "TTTRL",
    "TensorDropout",
    "TuckerTRL",
    "break_even_rank",
    "fold",
    "graphed",
    "inner",
    "khatri_rao",
    "kronecker",
    "mode_dot",
    "multi_mode_dot",
    "outer",
    "rank_for_budget",
    "rank_penalty",
    "remove_tensor_dropout",
    "replace_classifier",
    "summary",
    "tensor_dropout",
    "unfold",
]
