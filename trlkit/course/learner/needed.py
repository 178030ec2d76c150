"""Which cells of a notebook must run so that its answers exist: the others only explore."""

import ast
import builtins
import re
import symtable
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

SURE = {
    *("exec", "eval", "globals", "locals", "setattr", "vars", "delattr", "__import__"),
    *("builtins", "__builtins__", "__main__"),
}
WILD = {"exec", "globals"}  # in a function: who calls it may make any name
SETTINGS = {  # calls that change what runs after them, whatever they are made on
    *("set_default_dtype", "set_default_device", "set_grad_enabled", "set_num_threads"),
    *("use_deterministic_algorithms", "setrecursionlimit", "exec"),
}
TIMED = re.compile(r"^%%(?:time|capture)\b.*|^([ \t]*)%time\b", re.MULTILINE)  # around plain code
PASSIVE = {  # magics that give the notebook no name and no setting
    *("matplotlib", "timeit", "config", "pip", "conda", "load_ext", "pwd", "ls", "who", "whos"),
    *("bash", "sh", "script", "html", "HTML", "javascript", "js", "latex", "markdown", "svg"),
    *("writefile", "file"),
}


@dataclass
class _Cell:
    """What a cell makes, changes and reads, by name."""

    makes: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)
    plain: set[str] = field(default_factory=set)  # made by def, class or import
    sets: set[str] = field(default_factory=set)  # an attribute or an entry of it
    uses: set[str] = field(default_factory=set)  # outside of functions
    aliases: set[tuple[str, str]] = field(default_factory=set)  # (a, b): a may be part of b
    inner: set[str] = field(default_factory=set)  # changed or called in a function
    patched: set[str] = field(default_factory=set)  # an attribute or an entry of it, in a function
    lambdas: set[str] = field(default_factory=set)
    effects: dict[str, set[str]] = field(default_factory=dict)  # what a function may reach
    wild: bool = False  # a function of it changes what no name tells
    always: bool = False


def needed(sources: Sequence[str], names: Collection[str]) -> set[int]:
    """The positions of the cells that names depend on.

    Parameters
    ----------
    sources : sequence of str
        The code cells, in order, as the notebook holds them.
    names : collection of str
        What must exist in the end: functions, classes and values of the exercises.

    Returns
    -------
    set of int
        Each cell that makes one of the names, or what these read, at any distance; each that
        may change such a thing, by another name or through a function too; and those that
        nobody can tell. Rather one too many. That a cell draws random numbers is no reason to
        run it; a cell that does nothing but set seeds is run.

    Examples
    --------
    >>> sorted(needed(["import math", "y = slow()", "def f(x):\\n    return math.pi * x"], ["f"]))
    [0, 2]
    """
    cells = [_read(source) for source in sources]
    plain = {name for cell in cells for name in cell.plain}
    plain -= {name for cell in cells for name in (cell.makes - cell.plain) | cell.patched}
    tools = plain | (set(dir(builtins)) - {name for cell in cells for name in cell.makes})
    aliases = {(a, b) for cell in cells for a, b in cell.aliases if b not in tools}
    effects = _effects(cells)
    for cell in cells:
        reached = {name for used in cell.uses for name in effects.get(used, ())}
        cell.always |= not reached.isdisjoint(WILD)
        cell.changes |= reached - tools
    wanted, found = set(names), {k for k, cell in enumerate(cells) if cell.always}
    for k in found:
        wanted |= cells[k].reads
    while True:
        touched = _reached(wanted, aliases)
        more = {
            k
            for k, cell in enumerate(cells)
            if k not in found
            and (wanted & cell.makes or touched & (cell.sets | (cell.changes - tools)))
        }
        if not more:
            return found
        found |= more
        wanted |= {name for k in more for name in cells[k].reads}


def makes(source: str) -> set[str]:
    """The names that a cell gives a value, a function or a class."""
    return set(_read(source).makes)


def reads(source: str) -> set[str]:
    """The names that a cell uses."""
    return set(_read(source).reads)


def _effects(cells: Sequence[_Cell]) -> dict[str, set[str]]:
    """What a call of each function of the notebook may reach, by calls of others too."""
    found: dict[str, set[str]] = {}
    for cell in cells:
        for name, reached in cell.effects.items():
            found.setdefault(name, set()).update(reached)
    # a call of what is made from a function or a class may call that
    made = {(name, whole) for cell in cells for name, whole in cell.aliases}
    growing = True
    while growing:
        growing = False
        for name, whole in made:
            more = found.get(whole, set()) - found.get(name, set())
            if more:
                found.setdefault(name, set()).update(more)
                growing = True
        for reached in found.values():
            more = {name for other in reached for name in found.get(other, ())} - reached
            reached |= more
            growing = growing or bool(more)
    return found


def _reached(wanted: set[str], aliases: set[tuple[str, str]]) -> set[str]:
    """The names, and those by which parts of the same objects are known."""
    found = set(wanted)
    while more := {a for a, b in aliases if b in found} - found:
        found |= more
    return found


@lru_cache(maxsize=4096)  # a class's notebooks have most of their cells in common
def _read(source: str) -> _Cell:
    found = _Cell()
    try:
        code = _transform()(TIMED.sub(r"\1", source))
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        words = re.findall(r"^\s*(?:def|class)\s+(\w+)|^(\w+)\s*=", source, re.MULTILINE)
        found.makes = {name for pair in words for name in pair if name}
        return found
    try:
        _Names(found).visit(tree)
        found.always |= bool(tree.body) and all(map(_seeds, tree.body))
        table = symtable.symtable(code, "<cell>", "exec")
        _scopes(table, found, top=True)
        for inner in table.get_children():
            outside = _Cell()
            _scopes(inner, outside)
            reached = outside.makes | (outside.reads & found.inner)
            name = inner.get_name()
            if name in found.makes:
                found.effects.setdefault(name, set()).update(reached)
            elif name == "lambda":
                for name in found.lambdas:
                    found.effects.setdefault(name, set()).update(reached)
        if found.wild:
            for name in found.plain | found.lambdas:
                found.effects.setdefault(name, set()).update(WILD)
    except (RecursionError, SyntaxError, ValueError):
        found.always = True
    return found


def _scopes(table: symtable.SymbolTable, found: _Cell, top: bool = False) -> None:
    """The notebook's own names that a scope, and those in it, read and make."""
    for symbol in table.get_symbols():
        if not (top or symbol.is_global()):
            continue
        if symbol.is_referenced():
            found.reads.add(symbol.get_name())
        if symbol.is_assigned() or symbol.is_imported():
            found.makes.add(symbol.get_name())
    for inner in table.get_children():
        _scopes(inner, found)


@cache
def _transform():
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell


class _Names(ast.NodeVisitor):
    """Collects what a cell makes, changes and reads."""

    def __init__(self, found: _Cell):
        self.found = found
        self.depth = 0  # of functions
        self.classes = 0
        self.lambdas = 0

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.found.always |= node.id in SURE and self.depth == 0
            if self.depth == 0:
                self.found.uses.add(node.id)
        elif isinstance(node.ctx, ast.Del) and self.depth == 0:
            self.found.changes.add(node.id)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.found.always = True
            else:
                self._make(alias.asname or alias.name.split(".")[0])

    visit_ImportFrom = visit_Import

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        self._make(node.name)
        for part in node.decorator_list:
            self.visit(part)
        if isinstance(node, ast.ClassDef):
            for part in (*node.bases, *node.keywords):
                self.visit(part)
        else:
            self.visit(node.args)
            if node.returns is not None:
                self.visit(node.returns)
            if self.depth == 0:
                kept = self.found.effects.setdefault(node.name, set())
                for part in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                    kept |= _names(part)
        function = not isinstance(node, ast.ClassDef)  # a class's body runs at once
        self.depth += function
        self.classes += not function
        for part in node.body:
            self.visit(part)
        self.depth -= function
        self.classes -= not function

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._alias(target, node.value)
            if isinstance(node.value, ast.Lambda) and self.depth == 0:
                self.found.lambdas |= _bases(target)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr | ast.AnnAssign) -> None:
        if node.value is not None:
            self._alias(node.target, node.value)
        self.generic_visit(node)

    visit_AnnAssign = visit_NamedExpr

    def visit_For(self, node: ast.For | ast.comprehension) -> None:
        self._alias(node.target, node.iter)
        self.generic_visit(node)

    visit_AsyncFor = visit_comprehension = visit_For

    def visit_withitem(self, node: ast.withitem) -> None:
        if node.optional_vars is not None:
            self._alias(node.optional_vars, node.context_expr)
        self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.lambdas += 1
        self.generic_visit(node)
        self.lambdas -= 1

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if self.depth == 0:
            self.found.changes |= _bases(node.target)
            self.found.sets |= _bases(node.target)
        self.found.inner |= _bases(node.target)
        self._alias(node.target, node.value)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute | ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._change(_bases(node))
        elif isinstance(node, ast.Attribute) and (node.attr, _bases(node)) == ("modules", {"sys"}):
            self.found.always = True
        self.generic_visit(node)

    visit_Subscript = visit_Attribute

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        for part in (function, *node.args, *(keyword.value for keyword in node.keywords)):
            self.found.inner |= _bases(part)
        if self.depth == 0:
            if not self.lambdas:
                for part in (*node.args, *(keyword.value for keyword in node.keywords)):
                    self.found.changes |= _bases(part)
            self.found.changes |= _bases(function)
        called = function.attr if isinstance(function, ast.Attribute) else _bases(function)
        if called in SETTINGS if isinstance(called, str) else called & SETTINGS:
            self._set()
        if isinstance(function, ast.Name) and function.id == "get_ipython":
            self._set()
        if _magic(node):
            return
        self.generic_visit(node)

    def _set(self) -> None:
        """Something that no name tells is changed, at once or when a function here is called."""
        if self.depth == 0:
            self.found.always = True
        self.found.wild |= self.depth > 0

    def _make(self, name: str) -> None:
        if self.depth == self.classes == 0:
            self.found.makes.add(name)
            self.found.plain.add(name)

    def _change(self, names: set[str]) -> None:
        """An attribute or an entry is set: that changes functions and modules too."""
        if self.depth == 0:
            self.found.makes |= names
            self.found.sets |= names
        else:
            self.found.patched |= names
        self.found.inner |= names

    def _alias(self, target: ast.AST, value: ast.AST) -> None:
        if self.depth == 0:
            self.found.aliases |= {(a, b) for a in _bases(target) for b in _names(value) if a != b}


def _seeds(node: ast.stmt) -> bool:
    """Whether a statement only imports, or calls something for its effect with plain values."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    call = node.value if isinstance(node, ast.Expr) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and "seed" in call.func.attr
    )


def _magic(node: ast.Call) -> bool:
    """Whether a call is a magic of those that change nothing, or a shell's command."""
    function = node.func
    if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Call)):
        return False
    if _bases(function.value.func) != {"get_ipython"}:
        return False
    if function.attr in ("system", "getoutput"):
        return True
    first = node.args[0] if node.args else None
    name = first.value if isinstance(first, ast.Constant) else None
    return function.attr in ("run_line_magic", "run_cell_magic") and name in PASSIVE


def _names(node: ast.AST) -> set[str]:
    """The names in an expression: what it gives may hold a part of each."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _bases(node: ast.AST) -> set[str]:
    """The names that an expression starts from."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    if isinstance(node, ast.Tuple | ast.List):
        return {name for item in node.elts for name in _bases(item)}
    return {node.id} if isinstance(node, ast.Name) else set()
