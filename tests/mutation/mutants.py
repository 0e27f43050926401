"""Mutants of a module: what its source looks like with one small fault in it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        file: the module's path from the repository's root.
        scope: the function or class that holds the fault, "" at the module's level.
        operator: the kind of fault.
        before, after: the piece of source, without and with the fault.
        number: which of the alike faults of that scope it is, from 0.
        line: its place now.
        original, place, text: the module, the bytes of it that the fault replaces, and the text in its place.
    """

    file: str
    scope: str
    operator: str
    before: str
    after: str
    number: int
    line: int
    original: str
    place: tuple[int, int]
    text: str

    @property
    def source(self) -> str:
        """The module's text with the fault."""
        raw = self.original.encode()
        begin, end = self.place
        return (raw[:begin] + self.text.encode() + raw[end:]).decode()

    @property
    def key(self) -> str:
        """What names the mutant even when lines move."""
        return f"{self.file}::{self.scope}::{self.operator}::{self.before} -> {self.after}::{self.number}"


#: What replaces a comparison: its neighbour, and its opposite.
_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "reversed": "list"}
#: Scopes that hold no logic of the compiler: text for people.
_TEXT = frozenset({"__repr__", "__str__", "_show", "instruction_name", "instruction_arguments"})


def mutants(source: str, file: str) -> list[Mutant]:
    """Every mutant of a source text, in the order of the places."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    raw = source.encode()
    count: Counter[tuple[str, ...]] = Counter()
    made = []
    for scope, operator, node, text in _faults(ast.parse(source), ""):
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[operator]
        before = " ".join(raw[begin:end].decode().split())
        alike = (scope, operator, before, text)
        made.append(Mutant(file, scope, operator, before, " ".join(text.split()), count[alike], node.lineno, source, (begin, end), text))
        count[alike] += 1
    return made


_Fault = tuple[str, str, ast.AST, str]


def _faults(node: ast.AST, scope: str) -> Iterator[_Fault]:
    # Every fault in a node and below: the scope, the operator, the node to replace and the text in its place.
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        if node.name in _TEXT:
            return
        scope = f"{scope}.{node.name}" if scope else node.name
    if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr) or _only_types(node):
        return
    if isinstance(node, ast.keyword) and node.arg == "strict":
        # zip's check that lengths agree, which they do.
        return
    make = _OPERATORS.get(type(node))
    if make is not None:
        for operator, target, text in make(node):
            yield scope, operator, target, text
    if isinstance(node, ast.FunctionDef):
        yield from _first_argument(node, scope)
    for name, field in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST):
                yield from _faults(child, scope)


def _only_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


_Change = Iterator[tuple[str, ast.AST, str]]


def _text(node: ast.AST) -> str:
    return f"({ast.unparse(node)})"


def _compare(node: ast.Compare) -> _Change:
    for k, op in enumerate(node.ops):
        for other in _COMPARISONS[type(op)]:
            ops = [*node.ops[:k], other(), *node.ops[k + 1 :]]
            yield "comparison", node, _text(ast.Compare(node.left, ops, node.comparators))


def _logic(node: ast.BoolOp) -> _Change:
    other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield "and/or", node, _text(ast.BoolOp(other, node.values))
    for k in range(len(node.values)):
        rest = [*node.values[:k], *node.values[k + 1 :]]
        yield "condition removed", node, _text(rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest))


def _unary(node: ast.UnaryOp) -> _Change:
    if isinstance(node.op, ast.Not):
        yield "not removed", node, _text(node.operand)
    elif isinstance(node.op, ast.USub):
        yield "sign removed", node, _text(node.operand)


def _arithmetic(node: ast.BinOp) -> _Change:
    other = _ARITHMETIC.get(type(node.op))
    if other is not None and not _of_types(node):
        yield "arithmetic", node, _text(ast.BinOp(node.left, other(), node.right))


def _of_types(node: ast.AST) -> bool:
    # `int | None`: an annotation in the clothes of an expression.
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return bool(names & {"None", "tuple", "list", "int", "str", "Callable"})


def _constant(node: ast.Constant) -> _Change:
    if isinstance(node.value, bool):
        yield "constant", node, str(not node.value)
    elif isinstance(node.value, int):
        yield "constant", node, str(node.value + 1)
        yield "constant", node, f"({node.value - 1})"


def _call(node: ast.Call) -> _Change:
    plain = [a for a in node.args if not isinstance(a, ast.Starred)]
    if isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        yield "function", node.func, _CALLS[node.func.id]
    if isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "zip", "getattr", "hasattr"):
        return
    # The order of what min and max compare matters to no number.
    if len(plain) == len(node.args) >= 2 and ast.unparse(node.func) not in ("min", "max"):
        for k in range(len(plain) - 1):
            args = [*plain[:k], plain[k + 1], plain[k], *plain[k + 2 :]]
            if ast.unparse(plain[k]) != ast.unparse(plain[k + 1]):
                yield "arguments swapped", node, _text(ast.Call(node.func, args, node.keywords))
    for k, word in enumerate(node.keywords):
        if word.arg in ("default", "key"):
            yield "keyword removed", node, _text(ast.Call(node.func, node.args, [*node.keywords[:k], *node.keywords[k + 1 :]]))


def _conditional(node: ast.If | ast.While) -> _Change:
    # A loop whose condition is always true only hangs.
    if isinstance(node, ast.If):
        yield "condition is true", node.test, "True"
    yield "condition is false", node.test, "False"


def _choice(node: ast.IfExp) -> _Change:
    yield "choice", node, _text(node.body)
    yield "choice", node, _text(node.orelse)


def _filters(node: ast.comprehension) -> _Change:
    for test in node.ifs:
        yield "filter removed", test, "True"


def _dropped(node: ast.stmt) -> _Change:
    if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call):
        return
    yield "statement removed", node, "pass"


def _assignment(node: ast.Assign) -> _Change:
    if any(isinstance(t, ast.Subscript | ast.Attribute) for t in node.targets):
        yield "statement removed", node, "pass"


def _augmented(node: ast.AugAssign) -> _Change:
    yield "statement removed", node, "pass"
    other = _ARITHMETIC.get(type(node.op))
    if other is not None:
        yield "arithmetic", node, ast.unparse(ast.AugAssign(node.target, other(), node.value))


def _first_argument(function: ast.FunctionDef, scope: str) -> Iterator[_Fault]:
    # A function that gives back what it was given.
    names = [a.arg for a in function.args.args if a.arg not in ("self", "cls")]
    if not names:
        return
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != names[0] and _owns(function, node):
            yield scope, "first argument returned", node, f"return {names[0]}"


def _owns(function: ast.FunctionDef, node: ast.Return) -> bool:
    inner = [n for n in ast.walk(function) if isinstance(n, ast.FunctionDef | ast.Lambda) and n is not function]
    return not any(node is n for f in inner for n in ast.walk(f))


_OPERATORS: dict[type[ast.AST], Callable[..., _Change]] = {
    ast.Compare: _compare,
    ast.BoolOp: _logic,
    ast.UnaryOp: _unary,
    ast.BinOp: _arithmetic,
    ast.Constant: _constant,
    ast.Call: _call,
    ast.If: _conditional,
    ast.While: _conditional,
    ast.IfExp: _choice,
    ast.comprehension: _filters,
    ast.Expr: _dropped,
    ast.Continue: _dropped,
    ast.Break: _dropped,
    ast.Delete: _dropped,
    ast.Assign: _assignment,
    ast.AugAssign: _augmented,
}
