"""Objects of one process, used in another: functions to call, modules to read, run and train.

Two peers talk over one line, and each may lend the other what it has. A function that is lent
can be called; a module that is lent appears as an :class:`torch.nn.Module` whose parameters and
buffers are copies that are kept alike, whose forward and backward run where it was made. What
a peer hears is facts of another process, and claims: which class a module has, whether an
argument was changed in place. A judge takes points for facts alone; see ``teacher/remote.py``.
"""

import builtins
import contextlib
import copy
import ctypes
import io
import random
import types
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import _disable_current_modes

from trlkit.course.checking import program
from trlkit.course.checking.answer import Elsewhere, Foreign, Lost, described, tensors_in
from trlkit.course.checking.watch import Largest, ends
from trlkit.course.teacher.wire import NAMES, Broken, Line, Reader, Writer

MOST_OBJECTS = 5000  # modules, tensors, functions that one side lends the other
MOST_DEEP = 40  # questions that wait while others are served
MOST_GIVEN = 500  # returned tensors in which writing is noticed
MOST_GRAPHS = 2000  # calls whose graphs are kept for a backward pass
PRINTED = 2000
MT19937_BYTES = 4 * 624 + 4  # its words, and the place among them
OWN = {*vars(nn.Module()), *vars(nn.Module), "_line"}  # what no part of a module is named
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
# Containers without a forward, which are made of the real thing: code goes through their entries.
CONTAINERS = (nn.ParameterList, nn.ParameterDict, nn.ModuleList, nn.ModuleDict)
ERRORS = {  # those that can be made of a text
    name: error
    for name, error in vars(builtins).items()
    if isinstance(error, type) and issubclass(error, Exception) and "Group" not in name
    # The last two would end a loop here, as if it had come to its end.
    if not issubclass(error, UnicodeError | StopIteration | StopAsyncIteration)
}


@contextlib.contextmanager
def checked() -> Iterator[None]:
    """What fails here over a message of the other side is a fault of that message."""
    try:
        yield
    except Exception as error:
        raise Broken(f"no message that can be read: {type(error).__name__}") from error


class RemoteError(Exception):
    """Mixed into the exceptions that stand for one of the other process."""

    where = ""


class Opaque(Elsewhere):
    """An object of the other process that can only be handed back."""


class RemoteFunction(Elsewhere):
    """A function or a class of the other process."""

    def __init__(self, peer: "Peer", number: int, type: str, text: str):
        self.peer, self.number, self.type, self.text = peer, number, type, text
        self.__name__ = text.split("(")[0][:60] or "function"

    def __repr__(self) -> str:
        return f"<{self.type} {self.text}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.peer.call("call", self.number, args, kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)


class RemoteModule(nn.Module):
    """A module of the other process; what it holds is kept like its original."""

    def __init__(self):
        super().__init__()
        object.__setattr__(self, "_line", None)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        peer, number = self._line
        return peer.call("forward", number, args, kwargs, inputs=_learning(self))

    def train(self, mode: bool = True) -> nn.Module:
        peer, number = self._line
        return peer.request("train", [number, bool(mode)])

    def eval(self) -> nn.Module:
        peer, number = self._line
        return peer.request("eval", [number])

    def __deepcopy__(self, memo: dict) -> nn.Module:
        peer, number = self._line
        return peer.request("copy", [number])

    def __copy__(self) -> nn.Module:
        peer, number = self._line
        return peer.request("shallow", [number])

    def __reduce__(self):
        raise TypeError("a module of another process cannot be pickled")


@program.record.register
def _record(module: RemoteModule, shape: Sequence[int], batches: Sequence[int]) -> Any:
    peer, number = module._line
    return peer.request("record", [number, list(shape), list(batches)])


def _learning(module: nn.Module) -> list[Tensor]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


class Crossing(torch.autograd.Function):
    """Outputs that the other process computed, whose backward pass runs there too."""

    @staticmethod
    def forward(ctx, peer: "Peer", call: int, count: int, *tensors: Tensor):
        ctx.peer, ctx.call = peer, call
        ctx.inputs = [(tensor.shape, tensor.dtype) for tensor in tensors[count:]]
        ctx.set_materialize_grads(True)
        return tuple(tensor.detach().clone() for tensor in tensors[:count])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *cotangents: Tensor):
        found = ctx.peer.request("backward", [ctx.call, list(cotangents)])
        if not isinstance(found, list) or len(found) != len(ctx.inputs):
            raise Broken("a backward pass gave another number of gradients")
        grads = []
        for grad, (shape, dtype) in zip(found, ctx.inputs, strict=True):
            if grad is not None and (not isinstance(grad, Tensor) or grad.shape != shape):
                raise Broken("a backward pass gave a gradient of another shape")
            grads.append(None if grad is None else grad.detach().to(dtype))
        count = len(cotangents)
        return (None, None, None, *[None] * count, *grads)


class Peer:
    """One side of a line.

    Parameters
    ----------
    line : Line
    trusting : bool
        Whether the other side may do more than use what it was lent: set random numbers and
        torch's settings, and ask for what ``serve`` offers.
    serve : callable
        Answers further requests: ``serve(name, value)``.
    build : callable
        Makes a module of a known kind from what the other side says of it, or gives None.
    refresh : callable
        Takes over what a description says anew of a module that is here already.
    describe : callable
        Says of a module what the other side's ``build`` needs, or gives None.
    where : callable
        Says where an exception was raised.
    """

    def __init__(
        self,
        line: Line,
        trusting: bool,
        serve: Callable[[str, Any], Any] | None = None,
        build: Callable[[str, dict], nn.Module | None] = lambda kind, config: None,
        describe: Callable[[nn.Module], dict | None] = lambda module: None,
        refresh: Callable[[nn.Module, dict], None] = lambda module, config: None,
        where: Callable[[BaseException], str] = lambda error: "",
    ):
        self.line, self.trusting, self.serve = line, trusting, serve
        self.build, self.describe, self.refresh = build, describe, refresh
        self.where = where
        self._twin: nn.Module | None = None
        self._making = False
        self._deep = 0
        self.forget()

    def forget(self) -> None:
        """Drop all that was lent and borrowed."""
        self.given: dict[int, Tensor] = {}  # what functions here returned, by number
        self.watched: dict[int, tuple[Tensor, int]] = {}  # the same there, with its version
        self.written: list[tuple[Tensor, Tensor]] = []  # with what was there before
        self.lent: dict[int, Any] = {}  # functions and opaque objects, by number
        self.modules = Numbered()
        self.tensors = Numbered()
        self.borrowed_modules = Numbered()
        self.borrowed_tensors = Numbered()
        self.borrowed: dict[int, Any] = {}
        self.graphs: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        self.told_modules: dict[int, str] = {}
        self.told_tensors: dict[int, tuple] = {}
        self.seen_modes: dict[int, bool] = {}
        self.seen_tensors: dict[int, tuple] = {}
        self.calls = self.numbers = 0

    # ---- requests ---------------------------------------------------------------------------

    def call(
        self, kind: str, number: int, args: tuple, kwargs: dict, inputs: Sequence[Tensor] = ()
    ) -> Any:
        """Call a function or a module of the other side, as if it were here."""
        args = tuple(_unrolled(args))
        given = [*tensors_in(args), *tensors_in(kwargs)]
        asked = {id(tensor): tensor for tensor in given if tensor.requires_grad}
        own = [t for t in asked.values() if not self.borrowed_tensors.number(t)]
        inputs = [
            *inputs,
            *(p for arg in args if isinstance(arg, nn.Module) for p in _learning(arg)),
            *(tensor for tensor in asked.values() if tensor.is_leaf),
        ]
        inputs = list({id(t): t for t in inputs if self.borrowed_tensors.number(t)}.values())
        needs = [*own, *inputs] if torch.is_grad_enabled() else []
        numbers = [self.borrowed_tensors.number(tensor) for tensor in inputs] if needs else []
        # Who trusts is not trusted: the other side takes over no setting but this one.
        settings = {"grad": torch.is_grad_enabled()} if self.trusting else _settings()
        sent = [number, args, kwargs, settings, numbers]
        found = self.request(kind, sent)
        if not isinstance(found, tuple) or len(found) != 5:
            raise Broken("a call gave no result")
        value, call, left, after, printed = found
        if isinstance(printed, str) and printed:
            print(printed[:PRINTED], end="")
        with checked():
            _adopt((args, kwargs), after)
            strangers = [] if self.trusting else self._settle(left, given)
        if self.trusting and kind == "call":
            self._watch(left.get("given"), value)
        graphs = [t for t in tensors_in(value) if t.requires_grad and t.is_leaf]
        graphs = [
            t for t in graphs if not (self.borrowed_tensors.number(t) or self.tensors.number(t))
        ]
        if type(call) is int and graphs and needs:
            ends = [end.detach() for end in graphs]
            crossed = Crossing.apply(self, call, len(ends), *ends, *needs, *strangers)
            table = {id(old): new for old, new in zip(graphs, crossed, strict=True)}
            value = _swapped(value, table)
        return value

    def _settle(self, left: Any, given: list[Tensor]) -> list[Tensor]:
        """Leave here what a call left there: nobody can win by that, only lose.

        Gives a stand-in for each further tensor that the result depends on, as is told.
        """
        if not isinstance(left, dict):
            raise Broken("no settings")
        if type(left.get("grad")) is bool:
            torch.set_grad_enabled(left["grad"])
        for dtype in FLOATS:
            if left.get("dtype") == NAMES[dtype]:
                torch.set_default_dtype(dtype)
        moved, shares = left.get("moved"), left.get("shares")
        if not isinstance(moved, list) or not isinstance(shares, list):
            raise Broken("no settings")
        generator = torch.default_generator
        for name, draw in (
            # A new stream: from a state one number further the next call drew nearly the same.
            ("torch", lambda: generator.manual_seed(torch.randint(2**62, ()).item())),
            ("Python", random.random),
            ("numpy", np.random.random),
        ):
            if name in moved:
                draw()
        for pair in shares if given else ():
            if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) is not int:
                raise Broken("no settings")
            tensor, own = self.borrowed_tensors.get(pair[1]), given[pair[0] % len(given)]
            if own.shape == tensor.shape and own.dtype == tensor.dtype:
                tensor.data = own.detach()
                self.seen_tensors[pair[1]] = _snapshot(tensor)
        watched, others = left.get("watched"), left.get("strangers")
        if Largest.active and isinstance(watched, list) and len(watched) == 2:
            numbers, counts = watched
            if type(numbers) is int and isinstance(counts, list) and len(counts) < 100_000:
                for largest in Largest.active:
                    largest.add(numbers, [count for count in counts if type(count) is int])
        count = others if type(others) is int and 0 <= others < 1000 else 0
        return [torch.zeros((), requires_grad=True) for _ in range(count)]

    def make(self, value: Any, local: Any) -> Any:
        """Have a recipe's object made there, which was made here too.

        A module here is the master: the other side's gets its numbers and modes, and no word of
        the other side changes it while things are made. Of anything else comes what stands for it.
        """
        self._twin = local if isinstance(local, nn.Module) else None
        self._making = True
        try:
            found = self.request("make", value)
        finally:
            self._twin, self._making = None, False
        if isinstance(local, nn.Module) and found is not local:
            raise Broken("what was to be made alike on both sides is not")
        return found

    def _bind(self, tree: Any, news: Any, reader: Reader) -> None:
        """Give the modules and tensors of the twin the numbers of those on the other side."""
        waiting = [(_number(tree["M"][1]), self._twin)]
        modules, numbers = _parts(news)
        unlike = Broken("what was to be made alike on both sides is not")
        while waiting:
            number, module = waiting.pop()
            said = modules.get(str(number))
            if not isinstance(said, dict):
                raise unlike
            if not self.borrowed_modules.has(number):
                self.borrowed_modules.put(number, module)
            self.seen_modes[number] = said.get("training") is True
            for part, own in (
                ("children", module._modules),
                ("parameters", module._parameters),
                ("buffers", module._buffers),
            ):
                told = said.get(part)
                if not isinstance(told, dict) or list(told) != list(own):
                    raise unlike
                for name, mine in own.items():
                    if (mine is None) != (told[name] is None):
                        raise unlike
                    if mine is None:
                        continue
                    key = _number(told[name])
                    if part == "children":
                        waiting.append((key, mine))
                    elif not self.borrowed_tensors.has(key):
                        value, grad = _numbers(numbers.get(str(key)), reader)
                        if (value.shape, value.dtype) != (mine.shape, mine.dtype):
                            raise unlike
                        self.borrowed_tensors.put(key, mine)
                        requires = numbers[str(key)]["r"] is True
                        self.seen_tensors[key] = value, requires, grad

    def _give(self, result: Any) -> int:
        """Keep the tensors that a function here returned, in order; the first one's number."""
        first = self.numbers + 1
        for tensor in tensors_in(result):
            self.numbers += 1
            if _writable(tensor):
                _keep_last(self.given, self.numbers, tensor)
        return first

    def _watch(self, first: int, result: Any) -> None:
        """Look from now on whether something is written into what the other side returned."""
        for number, tensor in enumerate(tensors_in(result), first):
            if _writable(tensor):
                _keep_last(self.watched, number, (tensor, tensor._version))

    def restore(self) -> None:
        """Take back what the other side wrote into tensors that functions here returned."""
        with torch.no_grad():
            for tensor, before in reversed(self.written):
                tensor.copy_(before)
        self.written.clear()

    def _changed(self, writer: Writer) -> dict:
        """What was written here into tensors that functions of the other side returned."""
        found = {}
        for number, (tensor, version) in self.watched.items():
            if tensor._version != version:
                self.watched[number] = tensor, tensor._version
                found[str(number)] = _bare(tensor, writer)
        return found

    def _take_changed(self, changed: Any, reader: Reader) -> None:
        if not isinstance(changed, dict):
            raise Broken("nothing that was written")
        for key, node in changed.items():
            tensor, value = self.given.get(_number(key)), reader.value(node)
            if tensor is None or not isinstance(value, Tensor):
                raise Broken("written into what was not given")
            if (tensor.shape, tensor.dtype) == (value.shape, value.dtype):
                self.written.append((tensor, tensor.detach().clone()))
                with torch.no_grad():
                    tensor.copy_(value)

    def request(self, kind: str, value: Any, fresh: bool = False) -> Any:
        """Ask the other side, serve what it asks meanwhile, and give back what it answers.

        With ``fresh`` both sides first drop all that was lent and borrowed.
        """
        if fresh:
            self.forget()
        with _unwatched(), self._deeper():
            self._send({"q": kind, "fresh": True} if fresh else {"q": kind}, value)
            while True:
                tree, reader = self._receive()
                if "q" in tree:
                    self._serve(tree, reader)
                elif "e" in tree:
                    with checked():
                        error = _raised(tree["e"])
                    raise error
                elif "r" in tree:
                    with checked():
                        return reader.value(tree["r"])
                else:
                    raise Broken("neither a question nor an answer")

    @contextlib.contextmanager
    def _deeper(self) -> Iterator[None]:
        if self._deep >= MOST_DEEP:
            raise RecursionError("functions of two processes call one another without end")
        self._deep += 1
        try:
            yield
        finally:
            self._deep -= 1

    def listen(self) -> None:
        """Serve requests until the line is closed."""
        while True:
            tree, reader = self._receive()
            if "q" not in tree:
                raise Broken("an answer that nobody asked for")
            self._serve(tree, reader)

    # ---- serving ----------------------------------------------------------------------------

    def _serve(self, tree: dict, reader: Reader) -> None:
        kind = tree["q"]
        try:
            value = reader.value(tree.get("v"))
            answer = self._answer(kind, value)
        except Lost:
            raise
        except BaseException as error:
            names = [base.__name__ for base in type(error).__mro__][:8]
            text = _text(error)
            self._send({"e": [names, text, self.where(error)[:2000]]}, None)
            return
        self._send({}, answer)

    def _answer(self, kind: Any, value: Any) -> Any:
        if kind in ("call", "forward") and isinstance(value, tuple | list) and len(value) == 5:
            return self._called(kind, *value)
        if kind == "backward" and isinstance(value, list) and len(value) == 2:
            return self._backward(*value)
        if kind in ("train", "eval", "copy", "shallow") and isinstance(value, list) and value:
            module = self.modules.get(value[0])
            if kind == "train":
                return module.train(value[1] is True)
            if kind == "eval":
                return module.eval()
            return copy.deepcopy(module) if kind == "copy" else copy.copy(module)
        if kind == "record" and self.trusting:
            number, *how = value
            return program.record(self.modules.get(number), *how)
        if self.serve is not None and self.trusting:
            return self.serve(kind, value)
        raise Broken(f"a question that is not answered here: {str(kind)[:40]}")

    def _called(
        self, kind: str, number: int, args: tuple, kwargs: dict, settings: Any, inputs: Any
    ) -> tuple:
        function = self.modules.get(number) if kind == "forward" else self._function(number)
        if not isinstance(args, tuple) or not isinstance(kwargs, dict):
            raise Broken("no arguments")
        if not isinstance(inputs, list):
            raise Broken("no inputs")
        leaves = [t for t in (*tensors_in(args), *tensors_in(kwargs)) if t.requires_grad]
        leaves = list({id(t): t for t in leaves if not self.tensors.number(t)}.values())
        leaves += [self.tensors.get(n) for n in inputs]
        before = _kept((args, kwargs))
        printed = io.StringIO()
        with contextlib.ExitStack() as stack:
            left = stack.enter_context(_under(settings, self.trusting))
            if self.trusting:
                stack.enter_context(contextlib.redirect_stdout(printed))
                stack.enter_context(contextlib.redirect_stderr(printed))
            watched = Largest() if settings.get("watch") and self.trusting else None
            with watched or contextlib.nullcontext():
                result = function(*args, **kwargs)
            if self.trusting:
                _sized(result)
            left.update(_left(settings))
            if watched:
                left["watched"] = [watched.numbers, sorted(watched.counts)[:99_999]]
            if self.trusting:
                left["strangers"] = len(ends(tensors_in(result)) - {id(leaf) for leaf in leaves})
                left["shares"] = [
                    [k, number]
                    for k, tensor in enumerate((*tensors_in(args), *tensors_in(kwargs)))
                    if not self.tensors.number(tensor) and (number := self.tensors.sharing(tensor))
                ]
            elif kind == "call":
                left["given"] = self._give(result)
        self.calls += 1
        graphs = self._graphs(result)
        if graphs:
            if len(self.graphs) >= MOST_GRAPHS:
                self.graphs.pop(next(iter(self.graphs)))
            self.graphs[self.calls] = graphs, leaves
        after = None if _alike(before, (args, kwargs)) else (args, kwargs)
        return result, self.calls if graphs else None, left, after, printed.getvalue()[:PRINTED]

    def _graphs(self, result: Any) -> list[Tensor]:
        """The tensors of a result that the other side will get as ends of a graph."""
        return [
            t
            for t in tensors_in(result)
            if t.requires_grad
            and t.dtype in NAMES
            and t.layout == torch.strided
            and t.device.type != "meta"
            and self._lend_tensor(t) is None
        ]

    def _backward(self, call: int, cotangents: Sequence[Tensor]) -> list:
        if type(call) is not int or call not in self.graphs:
            raise Broken("a backward pass of no call")
        outputs, inputs = self.graphs[call]
        if len(cotangents) != len(outputs) or not all(
            isinstance(c, Tensor) and c.shape == out.shape
            for c, out in zip(cotangents, outputs, strict=True)
        ):
            raise Broken("cotangents that do not fit")
        if not inputs:
            return []
        cotangents = [c.to(out.dtype) for c, out in zip(cotangents, outputs, strict=True)]
        grads = torch.autograd.grad(
            outputs, inputs, cotangents, retain_graph=True, allow_unused=True
        )
        return [None if grad is None else grad.detach() for grad in grads]

    def _function(self, number: Any) -> Callable:
        found = self.lent.get(number) if type(number) is int else None
        if not callable(found):
            raise Broken("a function that was not lent")
        return found

    # ---- messages ---------------------------------------------------------------------------

    def _send(self, tree: dict, value: Any) -> None:
        writer = self._writer()
        key = "v" if "q" in tree else "r"
        if "e" not in tree:
            tree[key] = writer.tree(value)
        pushed = self._pushed(writer)  # before the news: what is pushed is no news of ours
        news = self._news(writer)
        if self.trusting and (changed := self._changed(writer)):
            tree["w"] = changed
        if pushed:
            tree["p"] = pushed
        if news:
            tree["n"] = news
        self.line.send(tree, writer.buffers)

    def _receive(self) -> tuple[dict, Reader]:
        tree, buffers = self.line.receive()
        if not isinstance(tree, dict):
            raise Broken("no message")
        if self.trusting and tree.get("fresh") is True:
            self.forget()
        reader = Reader(buffers, self._special)
        with checked():
            if self._making:
                if self._twin is not None and isinstance(tree.get("r"), dict) and "M" in tree["r"]:
                    self._bind(tree["r"], tree.get("n"), reader)
                return tree, reader
            if "w" in tree and not self.trusting:
                self._take_changed(tree["w"], reader)
            if "p" in tree:
                self._take_pushed(tree["p"], reader)
            if "n" in tree:
                self._take_news(tree["n"], reader)
        return tree, reader

    def _writer(self) -> Writer:
        return Writer(self._lend)

    def _lend(self, value: Any) -> dict | None:
        """How a value that is not plain crosses."""
        if isinstance(value, Tensor):
            return self._lend_tensor(value)
        if isinstance(value, nn.Module):
            number = self.borrowed_modules.number(value)
            if number:
                return {"M": ["y", number]}
            return {"M": ["m", self.modules.add(value)]}
        if isinstance(value, RemoteFunction | Opaque):
            if getattr(value, "peer", None) is self:
                return {"O": ["y", value.number]}
            return None
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType) or (
            callable(value) and not isinstance(value, torch.dtype)
        ):
            number = self._lent(value)
            return {"F": ["m", number, *_described(value)]}
        if isinstance(value, bool | int | float | str | tuple | list | dict | range | torch.dtype):
            return None
        if self.trusting:  # the learner's side: what a grader may want to hand back
            return {"O": ["m", self._lent(value), *described(value)]}
        return None

    def _lend_tensor(self, tensor: Tensor) -> dict | None:
        number = self.borrowed_tensors.number(tensor)
        if number:
            return {"P": ["y", number]}
        number = self.tensors.number(tensor)
        if number:
            return {"P": ["m", number]}
        original = self.tensors.sharing(tensor)
        if original and not tensor.requires_grad:
            return {"P": ["a", original]}
        return None

    def _lent(self, value: Any) -> int:
        for number, other in self.lent.items():
            if other is value:
                return number
        if len(self.lent) >= MOST_OBJECTS:
            raise Broken("too many objects are lent")
        number = len(self.lent) + 1
        self.lent[number] = value
        return number

    def _special(self, key: str, held: Any) -> Any:
        """What a special node stands for."""
        if key == "X":
            if not isinstance(held, list) or not all(isinstance(x, str) for x in held):
                raise Broken("no description")
            return Foreign(held[0][:200], held[1][:2000])
        if not isinstance(held, list) or len(held) < 2 or type(held[1]) is not int:
            raise Broken(f"no value: {key[:10]}")
        whose, number = held[:2]
        if key == "P":
            if whose == "y":
                return self.tensors.get(number)
            tensor = self.borrowed_tensors.get(number)
            return tensor if whose == "m" else tensor.detach()
        if key == "M":
            return self.modules.get(number) if whose == "y" else self.borrowed_modules.get(number)
        if key in ("F", "O"):
            if whose == "y":
                if number not in self.lent:
                    raise Broken("an object that was not lent")
                return self.lent[number]
            if number not in self.borrowed:
                if len(self.borrowed) >= MOST_OBJECTS or len(held) != 4:
                    raise Broken("too many objects")
                kind, text = (_word(x) for x in held[2:])
                if key == "F":
                    self.borrowed[number] = RemoteFunction(self, number, kind, text)
                else:
                    opaque = Opaque(kind, text)
                    opaque.peer, opaque.number = self, number
                    self.borrowed[number] = opaque
            return self.borrowed[number]
        raise Broken(f"no value: {key[:10]}")

    # ---- keeping alike ----------------------------------------------------------------------

    def _news(self, writer: Writer) -> dict:
        """What is new in the modules that were lent, since the other side was last told."""
        modules, tensors = {}, {}
        waiting = list(self.modules.items())
        known = {number for number, _ in waiting}
        while waiting:
            number, module = waiting.pop()
            said, more, held = self._said(module)
            for child in more:
                if child not in known:
                    known.add(child)
                    waiting.append((child, self.modules.get(child)))
            text = repr(said)
            if self.told_modules.get(number) != text:
                self.told_modules[number] = text
                modules[str(number)] = said
            for key in held:
                node = self._tensor_news(key, writer)
                if node is not None:
                    tensors[str(key)] = node
        return {"m": modules, "t": tensors} if modules or tensors else {}

    def _said(self, module: nn.Module) -> tuple[dict, list[int], list[int]]:
        """What is told of one module; the numbers of the modules and tensors in it."""
        children = {
            name: None if child is None else self.modules.add(child)
            for name, child in module._modules.items()
        }
        held = {}
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            held[name] = None if tensor is None else self.tensors.add(tensor)
        told = self.trusting or _is_torchs(module)
        said = {
            "kind": self._kind(module),
            "bases": [base.__name__ for base in type(module).__mro__[:8]] if told else [],
            "training": bool(module.training),
            "children": children,
            "parameters": {n: held[n] for n in module._parameters},
            "buffers": {n: held[n] for n in module._buffers},
            "fleeting": sorted(module._non_persistent_buffers_set),
            "own": _plain_attributes(module) if told else {},
            "forward": "forward" in vars(module),
            "hooks": len(module._forward_hooks),
        }
        config = self.describe(module)
        if config is not None:
            said["config"] = config
        numbers = [number for number in held.values() if number is not None]
        return said, [child for child in children.values() if child is not None], numbers

    def _kind(self, module: nn.Module) -> str:
        """The name of a module's class; a grader names none that is its own."""
        kind = type(module)
        known = self.trusting or _is_torchs(module)
        return kind.__name__ if known else "Module"

    def _tensor_news(self, number: int, writer: Writer) -> dict | None:
        tensor = self.tensors.get(number)
        now = _snapshot(tensor)
        if _same(self.told_tensors.get(number), now):
            return None
        self.told_tensors[number] = now
        return self._written(tensor, writer)

    def _written(self, tensor: Tensor, writer: Writer) -> dict:
        return {
            "v": _bare(tensor, writer),
            "p": isinstance(tensor, nn.Parameter),
            "r": bool(tensor.requires_grad),
            "g": None if tensor.grad is None else _bare(tensor.grad, writer),
        }

    def _take_news(self, news: Any, reader: Reader) -> None:
        modules, tensors = _parts(news)
        for key, node in tensors.items():
            self._take_tensor(_number(key), node, reader)
        fresh = []
        for key, said in modules.items():
            number = _number(key)
            if not self.borrowed_modules.has(number):
                self.borrowed_modules.put(number, self._made(number, said))
            fresh.append((number, said))
        for number, said in fresh:
            self._fill(number, said)
        if fresh:
            _count_paths([self.borrowed_modules.get(number) for number, _ in fresh])

    def _take_tensor(self, number: int, node: Any, reader: Reader) -> None:
        value, _ = told = _numbers(node, reader)
        if not self.borrowed_tensors.has(number):
            made = nn.Parameter(value, False) if node["p"] is True else value
            self.borrowed_tensors.put(number, made)
        tensor = self.borrowed_tensors.get(number)
        _overwrite(tensor, node["r"] is True, *told)
        self.seen_tensors[number] = _snapshot(tensor)

    def _made(self, number: int, said: Any) -> nn.Module:
        if not isinstance(said, dict):
            raise Broken("no module in the news")
        kind = _word(said.get("kind"))
        bases = [_word(base) for base in said.get("bases") or [] if isinstance(base, str)]
        config = said.get("config")
        made = self.build(kind, config) if isinstance(config, dict) else None
        if made is not None:
            return made
        for container in CONTAINERS:
            if kind == container.__name__:
                return container()
        known = (getattr(nn, base, None) for base in bases)
        base = next((b for b in known if isinstance(b, type) and b is not nn.Module), None)
        parents = (RemoteModule,) if base is None else (RemoteModule, base)
        name = kind if kind.isidentifier() else "Module"
        try:
            cls = type(name, parents, {"__module__": "__main__"})
        except TypeError:
            cls = type(name, (RemoteModule,), {"__module__": "__main__"})
        module = cls.__new__(cls)
        nn.Module.__init__(module)
        object.__setattr__(module, "_line", (self, number))
        return module

    def _fill(self, number: int, said: Any) -> None:
        """Make a borrowed module hold what the other side says that it holds."""
        module = self.borrowed_modules.get(number)
        children, fleeting = said.get("children"), said.get("fleeting")
        for part in ("children", "parameters", "buffers", "own"):
            if not isinstance(said.get(part), dict) or not isinstance(fleeting, list):
                raise Broken("no module in the news")
        module._modules.clear()
        for name, child in children.items():
            _name(name)
            found = None if child is None else self.borrowed_modules.get(_number(child))
            vars(module).pop(name, None)
            module._modules[name] = found
        for part, table in (
            (said["parameters"], module._parameters),
            (said["buffers"], module._buffers),
        ):
            table.clear()
            for name, tensor in part.items():
                _name(name)
                found = None if tensor is None else self.borrowed_tensors.get(_number(tensor))
                if found is not None and table is module._parameters:
                    if not isinstance(found, nn.Parameter):
                        raise Broken("a parameter that is none")
                vars(module).pop(name, None)
                table[name] = found
        module._non_persistent_buffers_set = {_name(name) for name in fleeting}
        if isinstance(module, nn.ParameterList):
            module._size = len(module._parameters)
        if isinstance(module, nn.ParameterDict):
            module._keys = dict.fromkeys(module._parameters)
        if isinstance(said.get("config"), dict):
            self.refresh(module, said["config"])
        module.training = said.get("training") is True
        self.seen_modes[number] = module.training
        if isinstance(module, RemoteModule) and type(said.get("hooks")) is int:
            hooks = {k: _no_hook for k in range(min(said["hooks"], 100))}
            module._forward_hooks = OrderedDict(hooks)
        if said.get("forward") is True and not isinstance(module, RemoteModule):
            module.forward = lambda *args, **kwargs: self.call(
                "forward", number, args, kwargs, _learning(module)
            )
        for name, value in ({} if "config" in said else _attributes(said["own"])).items():
            if name not in module._modules and name not in module._parameters:
                vars(module)[name] = value

    def _pushed(self, writer: Writer) -> dict:
        """What was changed here in the modules of the other side."""
        modes, tensors = {}, {}
        for number, module in self.borrowed_modules.items():
            if self.seen_modes.get(number) != module.training:
                self.seen_modes[number] = modes[str(number)] = bool(module.training)
        for number, tensor in self.borrowed_tensors.items():
            now = _snapshot(tensor)
            if not _same(self.seen_tensors.get(number), now):
                self.seen_tensors[number] = now
                tensors[str(number)] = self._written(tensor, writer)
        return {"m": modes, "t": tensors} if modes or tensors else {}

    def _take_pushed(self, pushed: Any, reader: Reader) -> None:
        modes, tensors = _parts(pushed)
        for key, mode in modes.items():
            module = self.modules.get(_number(key))
            module.training = mode is True
            text = self.told_modules.get(_number(key))
            if text is not None:  # the other side knows, since it said so
                self.told_modules[_number(key)] = repr(self._said(module)[0])
        for key, node in tensors.items():
            number = _number(key)
            tensor = self.tensors.get(number)
            told = _numbers(node, reader)
            if told[0].shape != tensor.shape:
                raise Broken("a tensor of another shape")
            _overwrite(tensor, node["r"] is True, *told)
            self.told_tensors[number] = _snapshot(tensor)


def _count_paths(modules: Sequence[nn.Module]) -> None:
    """Refuse modules that lie in themselves, or in one another in more ways than can be walked."""
    ways: dict[int, int] = {}
    open_now: set[int] = set()

    def count(module: nn.Module) -> int:
        if id(module) in open_now:
            raise Broken("a module that lies in itself")
        if id(module) not in ways:
            open_now.add(id(module))
            inner = [child for child in module._modules.values() if child is not None]
            ways[id(module)] = 1 + sum(map(count, inner))
            open_now.discard(id(module))
        return ways[id(module)]

    if max(map(count, modules)) > MOST_OBJECTS:
        raise Broken("too many modules")


def _no_hook(*args: Any) -> None:
    """Stands for a hook of the other side, which runs there."""


class Numbered:
    """Objects, by numbers that both sides know."""

    def __init__(self):
        self._by_number: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}

    def add(self, thing: Any) -> int:
        """The number of an object, a new one where it has none."""
        if id(thing) not in self._numbers:
            self.put(len(self._by_number) + 1, thing)
        return self._numbers[id(thing)]

    def put(self, number: int, thing: Any) -> None:
        """Give an object the number that it has on the other side."""
        if len(self._by_number) >= MOST_OBJECTS:
            raise Broken("too many objects")
        self._by_number[number], self._numbers[id(thing)] = thing, number

    def has(self, number: int) -> bool:
        """Whether an object has this number."""
        return number in self._by_number

    def number(self, thing: Any) -> int:
        """The number of an object, 0 where it has none."""
        return self._numbers.get(id(thing), 0)

    def get(self, number: Any) -> Any:
        """The object of a number, or :class:`Broken`."""
        found = self._by_number.get(number) if type(number) is int else None
        if found is None:
            raise Broken("an object that was not lent")
        return found

    def items(self) -> list[tuple[int, Any]]:
        return list(self._by_number.items())

    def sharing(self, tensor: Tensor) -> int:
        """The number of a tensor that has this one's memory, 0 where none has."""
        if not tensor.numel() or tensor.layout != torch.strided or tensor.device.type != "cpu":
            return 0
        for number, other in self._by_number.items():
            if (
                other.device.type == "cpu"
                and other.data_ptr() == tensor.data_ptr()
                and other.shape == tensor.shape
                and other.stride() == tensor.stride()
            ):
                return number
        return 0


# ---- settings of torch ----------------------------------------------------------------------


def _unwatched() -> contextlib.AbstractContextManager:
    """Keep what crossing makes out of what is watched."""
    return _disable_current_modes() if Largest.active else contextlib.nullcontext()


def _settings() -> dict:
    with _unwatched():
        state = torch.get_rng_state()
    return {
        "grad": torch.is_grad_enabled(),
        "dtype": NAMES[torch.get_default_dtype()],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "watch": bool(Largest.active),
        "torch": state,
        "Python": hash(random.getstate()[1]) & 0xFFFFFFFF,
        "numpy": zlib.crc32(_numpy_state()),
    }


@contextlib.contextmanager
def _under(settings: Any, trusting: bool) -> Iterator[dict]:
    """Settings of the other side, for the time of a call; gives what they are after it."""
    if not isinstance(settings, dict):
        raise Broken("no settings")
    left: dict = {}
    with torch.set_grad_enabled(settings.get("grad") is not False):
        if not trusting:
            yield left
            return
        dtype = torch.get_default_dtype()
        deterministic = torch.are_deterministic_algorithms_enabled()
        try:
            torch.set_default_dtype(getattr(torch, settings["dtype"]))
            torch.use_deterministic_algorithms(settings["deterministic"])
            torch.set_rng_state(settings["torch"])
            random.seed(settings["Python"])
            np.random.seed(settings["numpy"])
            settings["before"] = _generators()
            yield left
        finally:
            torch.set_default_dtype(dtype)
            torch.use_deterministic_algorithms(deterministic)


def _left(settings: dict) -> dict:
    """What a call left of the settings, and which generators it moved."""
    if "before" not in settings:
        return {}
    now = _generators()
    return {
        "grad": torch.is_grad_enabled(),
        "dtype": NAMES.get(torch.get_default_dtype(), "float32"),
        "moved": [name for name, state in settings.pop("before").items() if state != now[name]],
    }


def _generators() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "Python": random.getstate()[1],
        "numpy": _numpy_state(),
    }


def _numpy_state() -> bytes:
    bits = np.random.mtrand._rand._bit_generator
    if type(bits) is np.random.MT19937:  # read where it lies: get_state takes 30 times as long
        return ctypes.string_at(bits.ctypes.state_address, MT19937_BYTES)
    return repr(bits.state).encode()


# ---- values ---------------------------------------------------------------------------------


def _unrolled(args: tuple) -> Iterator[Any]:
    """Arguments, with iterators and lists of parameters as plain lists."""
    for arg in args:
        once = hasattr(type(arg), "__next__") or isinstance(arg, nn.ParameterList)
        yield list(arg) if once else arg


def _sized(value: Any) -> None:
    """Refuse modules with parameters that have no shape yet: nobody could say what they hold."""
    if isinstance(value, nn.Module):
        for name, module in value.named_modules():
            for part in (*module._parameters.values(), *module._buffers.values()):
                if part is not None and is_lazy(part):
                    where = f"`{name}`, a {type(module).__name__}," if name else "it"
                    raise ValueError(
                        f"{where} has parameters without a shape as yet: give its sizes, or call "
                        f"the module once before you return it"
                    )
    elif isinstance(value, tuple | list):
        for item in value:
            _sized(item)


def _swapped(value: Any, table: dict[int, Tensor]) -> Any:
    if isinstance(value, Tensor):
        return table.get(id(value), value)
    if isinstance(value, tuple | list):
        items = [_swapped(item, table) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {key: _swapped(item, table) for key, item in value.items()}
    return value


def _kept(value: Any) -> Any:
    """A copy of plain values with which they can be compared later."""
    if isinstance(value, Tensor):
        return value.detach().clone(), value.requires_grad
    if isinstance(value, tuple | list):
        return [_kept(item) for item in value]
    if isinstance(value, dict):
        return {key: _kept(item) for key, item in value.items()}
    return value


def _alike(before: Any, value: Any) -> bool:
    if isinstance(value, Tensor):
        was, required = before
        if not isinstance(was, Tensor) or required != value.requires_grad:
            return False
        return was.dtype == value.dtype and _equal_bits(was, value.detach())
    if isinstance(value, tuple | list):
        return (
            isinstance(before, list)
            and len(before) == len(value)
            and all(map(_alike, before, value))
        )
    if isinstance(value, dict):
        return (
            isinstance(before, dict)
            and list(before) == list(value)
            and all(_alike(before[key], value[key]) for key in value)
        )
    return before is value or (isinstance(value, str | int | float) and before == value)


def _adopt(old: Any, new: Any) -> None:
    """Make arguments what a call has made of them."""
    if new is None:
        return
    if isinstance(old, Tensor) and isinstance(new, Tensor):
        if old.shape == new.shape and old.dtype == new.dtype:
            with torch.no_grad():
                if not _equal_bits(old.detach(), new.detach()):
                    old.data.copy_(new.detach())
            if old.is_leaf and new.requires_grad and not old.requires_grad:
                old.requires_grad_()
        return
    if isinstance(old, list) and isinstance(new, list):
        if len(old) == len(new):
            for k, (one, other) in enumerate(zip(old, new, strict=True)):
                if isinstance(one, Tensor | list | dict | tuple):
                    _adopt(one, other)
                else:
                    old[k] = other
        else:
            old[:] = new
    elif isinstance(old, dict) and isinstance(new, dict):
        kept = {key: old[key] for key in new if key in old}
        for key, one in kept.items():
            _adopt(one, new[key])
        if list(old) != list(new):
            old.clear()
            old.update({key: kept.get(key, value) for key, value in new.items()})
    elif isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
        for one, other in zip(old, new, strict=True):
            _adopt(one, other)


def _writable(tensor: Tensor) -> bool:
    return not (tensor.requires_grad or tensor.is_inference() or tensor.device.type == "meta")


def _keep_last(table: dict, key: int, value: Any) -> None:
    """Put a value into a table, which forgets its first where it has many."""
    if len(table) >= MOST_GIVEN:
        del table[next(iter(table))]
    table[key] = value


def _bare(tensor: Tensor, writer: Writer) -> dict:
    """A tensor's numbers alone; by the writer it could become the number of one that is lent."""
    bare = Writer()
    bare.buffers, bare.size = writer.buffers, writer.size
    node = bare.tree(tensor.detach().as_subclass(Tensor))
    writer.size = bare.size
    return node


def _snapshot(tensor: Tensor) -> tuple:
    grad = None if tensor.grad is None else tensor.grad.detach().clone()
    return tensor.detach().as_subclass(Tensor).clone(), tensor.requires_grad, grad


def _numbers(node: Any, reader: Reader) -> tuple[Tensor, Tensor | None]:
    """The numbers of a tensor that the other side tells of, and its gradient."""
    if not isinstance(node, dict) or node.keys() != {"v", "p", "r", "g"}:
        raise Broken("no tensor in the news")
    value = reader.value(node["v"])
    grad = None if node["g"] is None else reader.value(node["g"])
    if not isinstance(value, Tensor) or not (grad is None or isinstance(grad, Tensor)):
        raise Broken("no tensor in the news")
    return value.detach(), grad


@torch.no_grad()
def _overwrite(tensor: Tensor, requires: bool, value: Tensor, grad: Tensor | None) -> None:
    """Give a tensor the numbers, the gradient and the wish for one of another."""
    if tensor.shape != value.shape or tensor.dtype != value.dtype:
        tensor.data = value
    elif not _equal_bits(tensor.detach(), value):
        tensor.copy_(value)
    requires = requires and (value.is_floating_point() or value.is_complex())
    if tensor.is_leaf and tensor.requires_grad != requires:
        tensor.requires_grad_(requires)
    if grad is None or grad.shape != tensor.shape or grad.dtype != tensor.dtype:
        tensor.grad = None
    elif tensor.grad is None or not _equal_bits(tensor.grad, grad):
        tensor.grad = grad.detach()


def _same(one: tuple | None, other: tuple) -> bool:
    if one is None or one[1] != other[1] or (one[2] is None) != (other[2] is None):
        return False
    pairs = [(one[0], other[0])] + ([(one[2], other[2])] if one[2] is not None else [])
    return all(a.dtype == b.dtype and a.shape == b.shape and _equal_bits(a, b) for a, b in pairs)


def _equal_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers, NaN and all."""
    if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
        return False
    if one.device.type == "meta" or torch.equal(one, other):
        return True
    return (
        one.is_floating_point()
        and torch.equal(one.nan_to_num(nan=0.0), other.nan_to_num(nan=0.0))
        and torch.equal(one.isnan(), other.isnan())
    )


def _described(value: Callable) -> tuple[str, str]:
    """The name of a function's type, and its own."""
    kind, text = described(value)
    with contextlib.suppress(Exception):  # of a hostile __getattr__
        text = str.__str__(value.__name__)[:PRINTED]
    return kind, text


def _is_torchs(module: nn.Module) -> bool:
    """Whether a module is one of torch's own, whose settings are no secret of a grader."""
    return type(module).__module__.startswith("torch.nn.")


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    """What a module holds beside parameters, buffers and modules, where it can be told."""
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name.startswith("_") or name in ("training", "forward"):
            continue
        if isinstance(value, Tensor):
            found[name] = ["tensor", list(value.shape)]
        elif (
            isinstance(value, list | tuple)
            and value
            and all(isinstance(item, Tensor) for item in value)
        ):
            kind = "list" if isinstance(value, list) else "tuple"
            shapes = [[list(item.shape), isinstance(item, nn.Parameter)] for item in value]
            found[name] = [kind, shapes]
        elif value is None or type(value) in (bool, int, float, str):
            found[name] = ["plain", value if type(value) is not str else value[:200]]
        elif type(value) is tuple and len(value) < 20 and all(type(v) in (int, str) for v in value):
            found[name] = ["sizes", [v if type(v) is int else v[:200] for v in value]]
    return dict(list(found.items())[:50])


def _attributes(own: dict) -> dict[str, Any]:
    """The attributes that the other side tells of; a tensor stands there by its shape alone."""
    found: dict[str, Any] = {}
    for name, told in own.items():
        if not isinstance(told, list) or len(told) != 2 or not _name(name):
            raise Broken("no attribute")
        if name.startswith("_") or hasattr(nn.Module, name):
            raise Broken("an attribute that is not its own")
        kind, held = told
        if kind == "plain" and (held is None or type(held) in (bool, int, float, str)):
            found[name] = held
        elif kind == "sizes" and isinstance(held, list) and len(held) < 20:
            if not all(type(item) in (int, str) for item in held):
                raise Broken("no attribute")
            found[name] = tuple(held)
        elif kind == "tensor":
            found[name] = _stand_in(held)
        elif kind in ("list", "tuple") and isinstance(held, list) and len(held) < 100:
            items = []
            for pair in held:
                if not isinstance(pair, list) or len(pair) != 2:
                    raise Broken("no attribute")
                tensor = _stand_in(pair[0])
                items.append(nn.Parameter(tensor) if pair[1] is True else tensor)
            found[name] = items if kind == "list" else tuple(items)
    return found


def _stand_in(shape: Any) -> Tensor:
    if (
        not isinstance(shape, list)
        or len(shape) > 20
        or not all(type(size) is int and 0 <= size < 1 << 31 for size in shape)
    ):
        raise Broken("no shape")
    return torch.empty(shape, device="meta")


def _parts(told: Any) -> tuple[dict, dict]:
    if not isinstance(told, dict) or told.keys() != {"m", "t"}:
        raise Broken("no news")
    modules, tensors = told["m"], told["t"]
    if not isinstance(modules, dict) or not isinstance(tensors, dict):
        raise Broken("no news")
    return modules, tensors


def _number(key: Any) -> int:
    if isinstance(key, str) and key.isdecimal() and len(key) < 9:
        return int(key)
    if type(key) is int and 0 < key < 1 << 31:
        return key
    raise Broken("no number")


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name or len(name) > 200 or name.startswith("__"):
        raise Broken("no name")
    if name in OWN:
        raise Broken("a name of the module's own")
    return name


def _word(text: Any) -> str:
    return text[:PRINTED] if isinstance(text, str) else "object"


def _text(error: BaseException) -> str:
    try:
        return str(error)[:PRINTED]
    except Exception as other:
        return f"<its text raises {type(other).__name__}>"


def _raised(told: Any) -> Exception:
    """An exception that stands for one of the other process."""
    if not isinstance(told, list) or len(told) != 3:
        raise Broken("no exception")
    names, text, where = told
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise Broken("no exception")
    base = next((ERRORS[name] for name in names if name in ERRORS), Exception)
    name = names[0] if names[0].isidentifier() else "Exception"
    text = _word(text)
    kind = type(name, (RemoteError, base), {"__str__": lambda self: text, "where": _word(where)})
    return kind(text)
