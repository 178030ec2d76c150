"""An answer that names nobody: its code without comments, texts and names of its author's own."""

import ast
import builtins
import itertools
import keyword
import re
import warnings
from functools import cache
from typing import Any

from trlkit.course.chapters import bank
from trlkit.course.checking.mistake import KINDS
from trlkit.course.teacher.markup import text

LONGEST = 4000  # characters of an answer that is read
DIGITS = 6  # of a number that stays: an enrollment number has more
WORD = re.compile(r"[A-Za-z_]\w*")
EQUATION = re.compile(r"[A-Za-z.,\s]+->[A-Za-z.\s]*")
COMMON = (
    "torch nn math np numpy functional F optim trlkit self cls linalg args kwargs super".split()
)


def anonymous(source: str) -> str:
    """The code of an answer without anything that can name a person; "" where it is no Python.

    It is written anew from what Python reads in it: comments and the texts in quotes are gone,
    but for those that the course's own answers hold. Names stay where the course, Python or torch
    use them too; others become ``name_1``, ``name_2``, the letters of an einsum equation
    ``a``, ``b``, ``c``, and large numbers 0.

    Parameters
    ----------
    source : str
        Read, never run.

    Examples
    --------
    >>> print(anonymous("def unfold(x, mode):  # Ada\\n    ada = x.reshape(-1)\\n    return ada"))
    def unfold(x, mode):
        name_1 = x.reshape(-1)
        return name_1
    """
    if len(source) > LONGEST:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text(source))
        tree = _Anonymous().visit(tree)
        return ast.unparse(ast.fix_missing_locations(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""


@cache
def _words() -> frozenset[str]:
    """The names that the course's own answers use, and those of Python and torch."""
    import torch

    spoken = {
        word for kind in KINDS for item in bank.answers(kind) for word in _spoken(item.source)
    }
    modules = (torch, torch.Tensor, torch.nn, torch.nn.functional, torch.nn.Module, torch.linalg)
    offered = {word for module in modules for word in dir(module)}
    return frozenset({*spoken, *offered, *dir(builtins), *keyword.kwlist, *COMMON})


@cache
def _texts() -> frozenset[str]:
    """The texts in quotes of the course's own answers."""
    trees = (ast.parse(item.source) for kind in KINDS for item in bank.answers(kind))
    constants = (node for tree in trees for node in ast.walk(tree))
    return frozenset(
        node.value
        for node in constants
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 60
    )


def _spoken(source: str) -> list[str]:
    return WORD.findall("\n".join(line.split("#")[0] for line in source.split("\n")))


class _Anonymous(ast.NodeTransformer):
    """Rewrites names and constants, wherever a node of Python's grammar holds one."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for key, value in ast.iter_fields(node):  # what a node holds as a str is a name
            if isinstance(value, str):
                setattr(node, key, self._named(value))
            elif isinstance(value, list) and value and isinstance(value[0], str):
                setattr(node, key, [self._named(name) for name in value])
        node = super().generic_visit(node)
        if hasattr(node, "body") and isinstance(node.body, list):
            node.body = [part for part in node.body if not _text(part)] or [ast.Pass()]
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.copy_location(ast.Constant(_constant(node.value)), node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        for part in node.values:
            if isinstance(part, ast.Constant) and not _bare(part.value):
                return ast.copy_location(ast.Constant("..."), node)
        fields = [part for part in node.values if isinstance(part, ast.FormattedValue)]
        for part in fields:
            part.value = self.visit(part.value)
            part.format_spec = None
        return node

    def _named(self, dotted: str) -> str:
        return ".".join(map(self._word, dotted.split(".")))

    def _word(self, word: str) -> str:
        if word in _words() or word == "*":
            return word
        return self.names.setdefault(word, f"name_{len(self.names) + 1}")


def _text(node: ast.AST) -> bool:
    """Whether a statement is a text alone, as a docstring is."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str | bytes)
    )


def _bare(value: str) -> bool:
    """Whether a text is signs with a letter or a digit at most."""
    return value.isascii() and len(re.findall(r"[^\W_]", value)) < 2


def _constant(value: Any) -> Any:
    if isinstance(value, str):
        if value in _texts() or _bare(value):
            return value
        return _lettered(value) if EQUATION.fullmatch(value) and len(value) < 80 else "..."
    if isinstance(value, bytes):
        return b"..."
    if isinstance(value, int | float | complex) and not isinstance(value, bool):
        return value if len(re.sub(r"\D", "", repr(value))) <= DIGITS else 0
    return value


def _lettered(equation: str) -> str:
    """An einsum equation in other letters: a, b, c in the order in which they come.

    Examples
    --------
    >>> _lettered("ada,dk->ak")
    'aba,bc->ac'
    """
    fresh = itertools.chain("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    letters: dict[str, str] = {}
    return "".join(
        letters.setdefault(sign, next(fresh) if sign not in letters else "")
        if sign.isalpha()
        else sign
        for sign in "".join(equation.split())
    )
