"""How an answer's value differs from the expected one, in words."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trlkit.course.checking.answer import Foreign, Verdict

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}


@dataclass(frozen=True)
class Difference:
    """The first layer in which two values differ: "type", "shape", "dtype" or "values"."""

    layer: str
    text: str
    hint: str = ""


def describe(value: Any) -> str:
    """What ``value`` is, in a few words.

    Examples
    --------
    >>> describe((torch.ones(2, 3), 5))
    'a tuple of a tensor of shape (2, 3) and 5'
    """
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, Foreign):
        return f"a {value.type}"
    if isinstance(value, tuple | list) and any(isinstance(i, Tensor | Foreign) for i in value):
        items = [describe(item) for item in value[:3]] + ["..."] * (len(value) > 3)
        return f"a {type(value).__name__} of " + " and ".join(items)
    return repr(value)


def preview(tensor: Tensor, most: int = 4) -> str:
    """The first entries of a tensor on one line.

    Examples
    --------
    >>> preview(torch.arange(12.0).reshape(2, 6))
    '[[0, 1, 2, 3, ...], ...]'
    """
    if tensor.ndim == 0:
        return f"{tensor.item():.6g}"
    shown = tensor[:most] if tensor.ndim == 1 else tensor[:1]
    more = ", ..." if len(tensor) > len(shown) else ""
    return f"[{', '.join(preview(item, most) for item in shown)}{more}]"


def difference(expected: Any, got: Any) -> Difference | None:
    """The first layer in which ``got`` differs from ``expected``, or None.

    A list may stand for a tuple and the other way round; an int may stand for a float.
    In a dict the first key whose values differ is named. A verdict speaks for itself.
    """
    if isinstance(got, Verdict):
        return (
            None
            if got == expected
            else Difference("verdict", got.text or f"a verdict, {got.kind!r}, is no answer")
        )
    if isinstance(expected, Tensor):
        return _tensor_difference(expected, got)
    if isinstance(expected, Verdict):
        return _type("a verdict", got)
    if isinstance(expected, Foreign):
        same = isinstance(got, Foreign) and got.type == expected.type
        return None if same else _type(describe(expected), got)
    if isinstance(expected, tuple | list):
        if not isinstance(got, tuple | list):
            return _type(f"a tuple of {len(expected)}", got)
        if len(got) != len(expected):
            text = f"has {len(got)} entries, expected {len(expected)}: got {describe(got)}"
            return Difference("shape", text)
        for position, (one, other) in enumerate(zip(expected, got, strict=True)):
            found = difference(one, other)
            if found:
                entry = f"entry {position} of your result"
                hint = found.hint.replace("Every entry of your result", f"All of {entry}")
                hint = hint.replace(" in your result", f" in {entry}")
                hint = hint.replace("Your result", entry.capitalize())
                return Difference(found.layer, f"entry {position}: {found.text}", hint)
        return None
    if isinstance(expected, dict):
        if not isinstance(got, dict) or got.keys() != expected.keys():
            return _type(f"a dict with the keys {', '.join(map(repr, expected))}", got)
        for key, one in expected.items():
            found = difference(one, got[key])
            if found:
                text = found.text if found.layer == "verdict" else f"{key}: {found.text}"
                return Difference(found.layer, text, found.hint)
        return None
    if isinstance(expected, bool | str | None):
        if type(got) is not type(expected):
            return _type(f"a {type(expected).__name__}", got)
        return None if got == expected else _values(repr(expected), repr(got))
    if isinstance(expected, int):
        if type(got) is not int:
            return _type("a Python int", got)
        return None if got == expected else _values(f"{expected:,}", f"{got:,}")
    if type(got) not in (int, float):
        return _type("a Python float", got)
    got = got if abs(got) < 1e308 or type(got) is float else math.inf  # Python's have no end
    if got == expected or (math.isnan(got) and math.isnan(expected)):
        return None
    if math.isfinite(expected) and abs(got - expected) <= 1e-6 * max(1.0, abs(expected)):
        return None
    return _values(f"{expected:.6g}", f"{got:.6g}")


def agrees(one: Any, other: Any) -> bool:
    """Whether two values are of the same kind and as good as equal."""
    return type(one) is type(other) and difference(one, other) is None


def _tensor_difference(expected: Tensor, got: Any) -> Difference | None:
    if not isinstance(got, Tensor):
        return _type(f"a tensor of shape {tuple(expected.shape)}", got)
    if got.shape != expected.shape:
        text = f"has shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
        hint = ""
        if got.ndim == expected.ndim == 2 and torch.equal(got.mT, expected):
            hint = "Your result is the transpose of what is asked."
        elif got.numel() == expected.numel():
            hint = "The number of entries is right; the shape is not."
        return Difference("shape", text, hint)
    if got.dtype != expected.dtype:
        hint = "Keep the dtype of the input; a new tensor takes dtype=x.dtype."
        return Difference("dtype", f"has dtype {got.dtype}, expected {expected.dtype}", hint)
    gap = (got.double() - expected.double()).abs()
    alike = (got == expected) | (got.isnan() & expected.isnan())
    gap = torch.where(alike, 0.0, torch.where(gap.isnan(), torch.inf, gap))
    scale = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
    if not gap.numel() or gap.max() <= TOLERANCE.get(expected.dtype, 0.0) * scale:
        return None
    wrong = gap > TOLERANCE.get(expected.dtype, 0.0) * scale
    where = tuple(wrong.nonzero()[0].tolist())
    shown = preview(expected), preview(got)
    text = "expected {}, got {}\n".format(*shown) if shown[0] != shown[1] else ""
    text += (
        f"first at {list(where)}: expected {expected[where].item():.6g}, got "
        f"{got[where].item():.6g}; largest difference {gap.max().item():.4g} ({got.dtype})"
    )
    return Difference("values", text, _pattern(expected.double(), got.double()))


def _pattern(expected: Tensor, got: Tensor) -> str:
    """A plain relation between two tensors of one shape that differ, if there is one."""

    def close(one: Tensor, other: Tensor) -> bool:
        return torch.allclose(one, other, rtol=1e-5, atol=1e-8)

    if got.isnan().any():
        return "There are NaN values in your result."
    if not got.any():
        return "Every entry of your result is 0."
    if (got - expected).abs().max() <= 1e-4 * expected.abs().max():
        return (
            "Nearly right: is a float32 on the way (`.float()`, torch.zeros without a dtype), "
            "or a small number that you add, such as an epsilon or a penalty?"
        )
    if expected.numel() == 1:
        return ""
    if expected.ndim == 2 and close(expected.T.reshape(-1), got.reshape(-1)):
        return "Read row by row, your numbers are those of the transpose: move, then reshape."
    if close(expected.flatten().sort().values, got.flatten().sort().values):
        return "These are the right numbers, in the wrong places."
    factor = (expected * got).sum() / (expected * expected).sum().clamp_min(1e-300)
    if close(factor * expected, got):
        return f"Your result is {factor.item():.4g} times the expected one."
    return ""


def _type(expected: str, got: Any) -> Difference:
    hints = {
        "NoneType": "Is there a `return` on every way through your function?",
        "numpy.ndarray": "Stay in torch: a numpy array has no gradient and lives on the CPU.",
        "numpy.int64": "`int(...)` makes a Python int of it.",
        "numpy.float64": "`float(...)` makes a Python float of it.",
        "list": "`torch.stack` or `torch.cat` makes one tensor of a list of tensors.",
    }
    kind = got.type if isinstance(got, Foreign) else type(got).__name__
    hint = hints.get(kind, "")
    if kind == "list" and not any(isinstance(item, Tensor) for item in got):
        hint = ""
    if isinstance(got, Tensor) and got.numel() == 1:
        hint = "`.item()` makes a Python number of a tensor with one entry."
    return Difference("type", f"expected {expected}, got {describe(got)}", hint)


def _values(expected: str, got: str) -> Difference:
    return Difference("values", f"expected {expected}, got {got}")
