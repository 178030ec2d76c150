"""What of trlkit lies in the sandbox: for each chapter what its answers may use, no more.

What a chapter asks for, its oracles, mistakes, checks and letters are not there. Whatever else
of trlkit a notebook names is found as something absent, which says so when it is called.
"""

import shutil
from pathlib import Path

import trlkit

PACKAGE = Path(trlkit.__file__).parent
BASE = (  # what the process in the sandbox is made of
    "course/checking/answer.py",
    "course/checking/networks.py",
    "course/checking/program.py",
    "course/checking/watch.py",
    "course/teacher/child.py",
    "course/teacher/peer.py",
    "course/teacher/wire.py",
    "lab/data.py",
    "lab/statistics.py",
)
LAYERS = ("tensors.py", "ranks.py", "dropout.py", "regression.py", "layers.py")
LAYERS += ("contraction", "weights")
ALLOWED = {
    "00_welcome": (),
    "01_tensors": (),
    "02_decompositions": ("tensors.py",),
    "03_tensor_regression": ("tensors.py",),
    "04_cp_trl": ("tensors.py",),
    "05_tucker_trl": ("tensors.py", "ranks.py"),
    "06_tensor_dropout": ("tensors.py", "ranks.py"),
    "07_cnn_with_trl": LAYERS,
    "08_vgg16_with_trl": (*LAYERS, "lab/cifar10_features.npz"),
    "09_capstone": (*LAYERS, "lab/capstone.py", "lab/robustness.py", "lab/training.py"),
}
INIT = '''"""trlkit, as far as the answers to this chapter may use it."""

import importlib

__version__ = {version!r}
_PLACES = {places!r}


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    return importlib.import_module("trlkit." + name)
'''
COURSE = '''"""Where points count, checks, reveals and explorables of a notebook do nothing."""


class CheckFailed(AssertionError):
    pass


def check(name, answer=None, **options):
    """Does nothing here: the answer is judged from outside."""


def reveal(prediction=None, truth=None, usual=None):
    """Does nothing here."""


def explore(name=None, **own):
    """Does nothing here."""


def progress():
    """Does nothing here."""
'''


def plant(folder: Path) -> None:
    """Write a tree for each chapter, and ``base``, into a folder."""
    for name, allowed in {"base": (), **ALLOWED}.items():
        root = folder / name / "trlkit"
        for part in (*BASE, *allowed):
            source, target = PACKAGE / part, root / part
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, target, ignore=ignored)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        for recipes in (PACKAGE / "course" / "chapters").glob(f"ch{name[:2]}_*/networks.py"):
            target = root / recipes.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(recipes, target)
        for inner in [root, *(path for path in root.rglob("*") if path.is_dir())]:
            (inner / "__init__.py").touch()
        places = {name: getattr(trlkit, name).__module__ for name in trlkit.__all__}
        text = INIT.format(version=trlkit.__version__, places=places)
        (root / "__init__.py").write_text(text, encoding="utf-8")
        (root / "course" / "__init__.py").write_text(COURSE, encoding="utf-8")
