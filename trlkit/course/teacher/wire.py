"""Messages between the grader and a learner's process: plain values and buffers, never code.

A message is a header, a JSON tree, and the bytes of the tensors in it, one after the other.
Whatever comes in is taken for hostile: every length, dtype, shape and nesting is checked before
it is used, and what breaks a rule is a :class:`Broken` message. Nothing is unpickled.
"""

import json
import math
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trlkit.course.checking.answer import MARKED, Lost, described

MAGIC = b"TRL1"
HEADER = struct.Struct("<4sII")  # magic, bytes of JSON, bytes of buffers
MOST_TEXT = 4_000_000  # bytes of JSON in one message
MOST_BYTES = 64_000_000  # bytes of buffers in one message
DEEPEST = 40
LONGEST_INT = 3_000  # hexadecimal digits: Python writes no number of 4,300 in decimals
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
        *(torch.complex64, torch.complex128),
    )
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Broken(Lost):
    """A message that breaks the rules, or a line that is closed."""


class Greedy(Lost):
    """What the other side sends or asks for takes more memory here than it is given."""


class Late(Lost):
    """The other side took longer than it was given."""


class Writer:
    """Turns values into a tree for JSON and collects the bytes of the tensors.

    ``special`` is asked first for every value that is not plain; it gives a dict with one key of
    its own, or None.
    """

    def __init__(self, special: Callable[[Any], dict | None] = lambda value: None):
        self.special = special
        self.buffers: list[bytes] = []
        self.size = 0

    def tree(self, value: Any, depth: int = 0) -> Any:
        """A tree of JSON for a value; what it cannot say is told by its type and text."""
        if depth > DEEPEST:
            return told(value)
        if value is None or type(value) in (bool, str, float):
            return value
        if type(value) is int:
            return value if abs(value) < 1 << 63 else {"i": hex(value)}
        special = self.special(value)
        if special is not None:
            return special
        kind = type(value)
        if issubclass(kind, Tensor):
            return self._tensor(value)
        if issubclass(kind, tuple):
            return {"t": [self.tree(item, depth + 1) for item in value]}
        if issubclass(kind, list):
            return {"l": [self.tree(item, depth + 1) for item in value]}
        if issubclass(kind, dict):
            pairs = [[self.tree(k, depth + 1), self.tree(v, depth + 1)] for k, v in value.items()]
            return {"d": pairs}
        if isinstance(value, torch.dtype) and value in NAMES:
            return {"D": NAMES[value]}
        if kind is range and max(map(abs, (value.start, value.stop, value.step))) < 1 << 31:
            return {"R": [value.start, value.stop, value.step]}
        for plain in (int, float, str):  # subclasses, such as numpy's float64
            if issubclass(kind, plain):
                return self.tree(getattr(plain, f"__{plain.__name__}__")(value), depth)
        return told(value)

    def _tensor(self, given: Tensor) -> dict:
        tensor, requires_grad = given.detach().as_subclass(Tensor), given.requires_grad
        if tensor.dtype not in NAMES or tensor.layout != torch.strided or tensor.is_quantized:
            return told(tensor)
        if tensor.device.type != "cpu":
            if tensor.device.type == "meta":
                return {"N": [NAMES[tensor.dtype], list(tensor.shape)]}
            tensor = tensor.cpu()
        tensor = tensor.resolve_conj().resolve_neg()
        order = sorted(range(tensor.ndim), key=lambda mode: -tensor.stride(mode))
        lying = tensor.permute(order)
        if not lying.is_contiguous():
            order, lying = list(range(tensor.ndim)), tensor.contiguous()
        flat = lying.as_strided((lying.numel(),), (1,))  # sizes of 1 may have any stride
        data = flat.view(torch.uint8).numpy().tobytes() if lying.numel() else b""
        marks = ["grad"] * requires_grad + ["inference"] * given.is_inference()
        marks += [name for name, kind in MARKED.items() if type(given) is kind]
        node = {"T": [NAMES[tensor.dtype], list(tensor.shape), order, self.size, marks]}
        self.buffers.append(data)
        self.size += len(data)
        return node


class Reader:
    """Turns a tree of JSON and its buffers into values again, and trusts nothing."""

    def __init__(self, buffers: memoryview, special: Callable[[str, Any], Any]):
        self.buffers = buffers
        self.special = special

    def value(self, tree: Any, depth: int = 0) -> Any:
        """The value that a tree stands for, or :class:`Broken`."""
        if depth > DEEPEST + 2:
            raise Broken("nested too deeply")
        if tree is None or isinstance(tree, bool | int | float | str):
            return tree
        if not isinstance(tree, dict) or len(tree) != 1:
            raise Broken(f"no value: {str(tree)[:80]}")
        ((key, held),) = tree.items()
        if key in ("t", "l"):
            items = [self.value(item, depth + 1) for item in _list(held)]
            return tuple(items) if key == "t" else items
        if key == "d":
            return self._dict(held, depth)
        if key == "i":
            return self._integer(held)
        if key == "D":
            return self._dtype(held)
        if key == "R":
            return self._range(held)
        if key == "T":
            return self._tensor(held)
        if key == "N":
            return self._meta(held)
        return self.special(key, held)

    def _dict(self, pairs: Any, depth: int) -> dict:
        made = {}
        for pair in _list(pairs):
            if not isinstance(pair, list) or len(pair) != 2:
                raise Broken("no pair in a dict")
            key = self.value(pair[0], depth + 1)
            try:
                made[key] = self.value(pair[1], depth + 1)
            except TypeError:
                raise Broken(f"a {type(key).__name__} as a key of a dict") from None
        return made

    def _integer(self, text: Any) -> int:
        if not isinstance(text, str) or len(text) > LONGEST_INT:
            raise Broken("no integer")
        try:
            return int(text, 16)
        except ValueError:
            raise Broken("no integer") from None

    def _range(self, held: Any) -> range:
        if not isinstance(held, list) or len(held) != 3 or not held[-1]:
            raise Broken("no range")
        if not all(type(n) is int and abs(n) < 1 << 31 for n in held):
            raise Broken("no range")
        return range(*held)

    def _dtype(self, name: Any) -> torch.dtype:
        if not isinstance(name, str) or name not in DTYPES:
            raise Broken(f"no dtype: {str(name)[:40]}")
        return DTYPES[name]

    def _meta(self, held: Any) -> Tensor:
        if not isinstance(held, list) or len(held) != 2:
            raise Broken("no tensor")
        dtype, shape = self._dtype(held[0]), _sizes(held[1])
        if math.prod(shape) >= 1 << 60:
            raise Broken("no shape of a tensor")
        return torch.empty(shape, dtype=dtype, device="meta")

    def _tensor(self, held: Any) -> Tensor:
        if not isinstance(held, list) or len(held) != 5:
            raise Broken("no tensor")
        name, shape, order, start, marks = held
        dtype = self._dtype(name)
        if sorted(_sizes(order)) != list(range(len(_sizes(shape)))):
            raise Broken("no order of modes")
        size = math.prod(shape) * dtype.itemsize
        if type(start) is not int or not 0 <= start <= len(self.buffers) - size:
            raise Broken("a tensor's numbers are not there")
        lying = [shape[mode] for mode in order]
        if size:
            data = bytearray(self.buffers[start : start + size])
            if dtype is torch.bool and max(data) > 1:
                raise Broken("a truth value that is none")
            flat = torch.frombuffer(data, dtype=dtype)
        else:
            flat = torch.empty(0, dtype=dtype)
        back = [order.index(mode) for mode in range(len(order))]
        tensor = flat.reshape(lying).permute(back)
        if not isinstance(marks, list):
            raise Broken("no tensor")
        if "inference" in marks:
            with torch.inference_mode():
                tensor = tensor.clone()
        for kind in (MARKED[mark] for mark in marks if isinstance(mark, str) and mark in MARKED):
            tensor = tensor.as_subclass(kind)
        if "grad" in marks and (dtype.is_floating_point or dtype.is_complex):
            tensor.requires_grad_()
        return tensor


def told(value: Any) -> dict:
    """A node for a value that is not plain: its type and the start of its text."""
    return {"X": list(described(value))}


def _sizes(held: Any) -> list[int]:
    if not isinstance(held, list) or len(held) > 25:
        raise Broken("no shape of a tensor")
    if not all(type(size) is int and 0 <= size < 1 << 40 for size in held):
        raise Broken("no shape of a tensor")
    return held


def _list(held: Any) -> list:
    if not isinstance(held, list):
        raise Broken("no list")
    return held


class Line:
    """One end of a socket on which messages come and go."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.until: float | None = None  # a time of time.monotonic(), or no limit

    def send(self, tree: Any, buffers: list[bytes]) -> None:
        """Send one message."""
        text = json.dumps(tree, ensure_ascii=True, separators=(",", ":")).encode()
        size = sum(map(len, buffers))
        if len(text) > MOST_TEXT or size > MOST_BYTES:
            raise Broken(f"a message of {len(text) + size:,} bytes is too large")
        self._wait()
        try:
            self.sock.sendall(b"".join([HEADER.pack(MAGIC, len(text), size), text, *buffers]))
        except TimeoutError:
            raise Late from None
        except OSError as error:
            raise Broken(f"the line is closed ({error.strerror})") from None

    def receive(self) -> tuple[Any, memoryview]:
        """The next message: its tree, and its buffers in one piece."""
        magic, length, size = HEADER.unpack(self._exactly(HEADER.size))
        if magic != MAGIC or length > MOST_TEXT or size > MOST_BYTES:
            raise Broken("no message")
        text, buffers = self._exactly(length), self._exactly(size)
        try:
            return json.loads(bytes(text)), buffers
        except (ValueError, RecursionError) as error:
            raise Broken(f"no JSON: {str(error)[:80]}") from None

    def _exactly(self, count: int) -> memoryview:
        data = bytearray(count)
        view, got = memoryview(data), 0
        while got < count:
            self._wait()
            try:
                more = self.sock.recv_into(view[got:], min(count - got, 1 << 20))
            except TimeoutError:
                raise Late from None
            except OSError as error:
                raise Broken(f"the line is closed ({error.strerror})") from None
            if not more:
                raise Broken("the line is closed")
            got += more
        return view

    def _wait(self) -> None:
        if self.until is None:
            self.sock.settimeout(None)
            return
        left = self.until - time.monotonic()
        if left <= 0:
            raise Late
        self.sock.settimeout(left)
