"""Elementwise formulas: one Python expression in a string, read once, used as kernel text, as rule and as definition.

A formula such as ``"g*(1 - y*y)"`` or ``"select(x > 0, x, slope*x)"`` is made of names, numbers, ``+ - * /``, one comparison at a time,
``&`` and ``|`` of comparisons, and calls of the functions of `FUNCTIONS`. `parse` turns it into a small tree; the tree is then

* computed with any kind of number (`evaluate`, with a vocabulary that says what each function means: floats, Fractions, arrays),
* replayed as calls of primitive ops (`to_ops`), which makes it a rule or a decomposition,
* written as C or CUDA C (`to_c`), which makes it a kernel.

Every formula is evaluated in the order in which it is written and without contraction, so all of these agree to the last bit wherever
the functions do.
"""

from __future__ import annotations

import ast
import functools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import DTypeError
from .formulas.scalar import is_fraction
from .formulas.vocabulary import VOCABULARY, cuda_functions


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float | int

    variables: ClassVar[frozenset[str]] = frozenset()


@dataclass(frozen=True)
class Variable:
    """An input, a parameter, or (in a gradient) the cotangent `g` or the output `y`."""

    name: str

    @property
    def variables(self) -> frozenset[str]:
        return frozenset((self.name,))


class Call:
    """A function of the vocabulary, applied; operators are functions too (`add`, `greater`, …). It never changes."""

    # Hundreds are made when the library is imported, and looked up by value: this is quicker than a frozen dataclass.
    __slots__ = ("_hash", "args", "function", "variables")
    __match_args__ = ("function", "args")

    def __init__(self, function: str, args: tuple[Tree, ...]) -> None:
        self.function, self.args = function, args
        self.variables: frozenset[str] = frozenset().union(*[a.variables for a in args])
        self._hash = hash((function, args))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        same = type(other) is Call and self._hash == other._hash
        return same and self.function == other.function and self.args == other.args  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Call(function={self.function!r}, args={self.args!r})"


Tree = Number | Variable | Call

_BINARY = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.BitAnd: "logical_and", ast.BitOr: "logical_or"}
_COMPARE = {
    ast.Gt: "greater", ast.GtE: "greater_equal", ast.Lt: "less", ast.LtE: "less_equal", ast.Eq: "equal", ast.NotEq: "not_equal",
}  # fmt: skip
_CONDITIONS = {*_COMPARE.values(), "logical_and", "logical_or"}
#: Comparisons as C writes them.
COMPARISONS = {"greater": ">", "greater_equal": ">=", "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!="}
_C_OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/", **COMPARISONS, "logical_and": "&", "logical_or": "|"}

#: Functions that a formula may call -> (number of arguments, rough cost in multiplications).
FUNCTIONS = {
    "select": (3, 1), "max": (2, 2), "min": (2, 2), "abs": (1, 1), "sign": (1, 3), "sqrt": (1, 6),
    "exp": (1, 14), "log": (1, 16), "log1p": (1, 18), "expm1": (1, 18), "sigmoid": (1, 24), "tanh": (1, 28), "erf": (1, 36),
    "sin": (1, 24), "cos": (1, 24), "pow": (2, 60), "power": (2, 60), "bounded": (2, 3), "sigmoid2": (1, 22), "normal_cdf": (1, 22),
    "exp_shifted": (1, 12), **{name: (f.arity, f.cost) for name, f in VOCABULARY.items()},
}  # fmt: skip
_COSTS = {"div": 6, **{name: cost for name, (_, cost) in FUNCTIONS.items()}}


#: Functions that are formulas of others: (their variables, the formula). Kernels have them in one piece, which is faster; all other code
#: computes the formula.
DERIVED: dict[str, tuple[tuple[str, ...], str]] = {
    "bounded": (("x", "c"), "max(min(x, c), -c)"),
    "sigmoid2": (("x",), f"sigmoid({math.log(2)!r}*x)"),
    # Where x ≤ 0, as after a maximum was taken out: what would be subnormal may be 0.
    "exp_shifted": (("x",), "exp(x)"),
    "normal_cdf": (("x",), f"(1 + erf({math.sqrt(0.5)!r}*x))/2"),
    **{name: f.formula for name, f in VOCABULARY.items() if f.formula},
}


# Reading ----------------------------------------------------------------------------------------------------------------


@functools.cache
def parse(text: str) -> Tree:
    """The tree of a formula. Raises: ValueError where the text is outside the language."""
    return _convert(ast.parse(text, mode="eval").body, text)


def _convert(node: ast.expr, text: str) -> Tree:
    kind = type(node)
    if kind is ast.Name:
        return Variable(node.id)  # type: ignore[attr-defined]
    match node:
        case ast.BinOp() if type(node.op) in _BINARY:
            return Call(_BINARY[type(node.op)], (_convert(node.left, text), _convert(node.right, text)))
        case ast.Constant(value=int() | float() as value):
            return Number(value)
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS and len(node.args) == FUNCTIONS[name][0]:
            return Call(name, tuple([_convert(a, text) for a in node.args]))
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return Number(-value)
        case ast.UnaryOp(op=ast.USub()):
            return Call("neg", (_convert(node.operand, text),))
        case ast.Compare(ops=[op]) if type(op) in _COMPARE:
            return Call(_COMPARE[type(op)], (_convert(node.left, text), _convert(node.comparators[0], text)))
    raise ValueError(f"{ast.unparse(node)!r} is not part of the formula language, in {text!r}")


@functools.cache
def expanded(tree: Tree) -> Tree:
    """The tree with the formula of every derived function in its place."""
    if not isinstance(tree, Call):
        return tree
    args = tuple(map(expanded, tree.args))
    if tree.function in DERIVED:
        names, text = DERIVED[tree.function]
        return _substituted(parse(text), dict(zip(names, args, strict=True)))
    return Call(tree.function, args)


def _substituted(tree: Tree, values: Mapping[str, Tree]) -> Tree:
    if isinstance(tree, Call):
        return Call(tree.function, tuple(_substituted(a, values) for a in tree.args))
    return values[tree.name] if isinstance(tree, Variable) else tree


def subtrees(tree: Tree) -> Iterator[Tree]:
    """The tree and everything below it, parents first."""
    yield tree
    if isinstance(tree, Call):
        for arg in tree.args:
            yield from subtrees(arg)


def variables(tree: Tree) -> frozenset[str]:
    """The names of the variables in the tree."""
    return tree.variables


def is_condition(tree: Tree) -> bool:
    """Whether the formula is true or false: a comparison, or several of them joined."""
    return isinstance(tree, Call) and tree.function in _CONDITIONS


def smooth_variables(tree: Tree) -> set[str]:
    """The variables on which the value depends other than through the condition of a `select`: only these have a derivative."""
    if isinstance(tree, Variable):
        return {tree.name}
    if isinstance(tree, Number):
        return set()
    args = tree.args[1:] if tree.function == "select" else tree.args
    return set().union(*(smooth_variables(a) for a in args))


def cost(tree: Tree) -> int:
    """The work per element, roughly, in multiplications; a part that occurs twice counts once."""
    return sum(_COSTS.get(t.function, 1) for t in set(subtrees(tree)) if isinstance(t, Call))


@functools.cache
def calls(tree: Tree) -> int:
    """The number of functions applied; a part that occurs twice counts once."""
    return sum(isinstance(t, Call) for t in set(subtrees(tree)))


def split_uniform(tree: Tree, uniform: set[str]) -> tuple[Tree, Tree, Tree] | None:
    """(condition, tree where it holds, tree where it does not) for a `select` whose condition has no variable outside `uniform`.

    Such a condition is the same for every element, so that a kernel decides it once, outside its loop. None if there is no such select.
    """
    for part in subtrees(tree):
        if isinstance(part, Call) and part.function == "select" and variables(part.args[0]) <= uniform:
            condition, yes, no = part.args
            return condition, _replace(tree, part, yes), _replace(tree, part, no)
    return None


def _replace(tree: Tree, old: Tree, new: Tree) -> Tree:
    if tree == old:
        return new
    if isinstance(tree, Call):
        return Call(tree.function, tuple(_replace(a, old, new) for a in tree.args))
    return tree


# Computing --------------------------------------------------------------------------------------------------------------


def evaluate(tree: Tree, env: Mapping[str, Any], vocabulary: Mapping[str, Callable[..., Any]] | None = None) -> Any:
    """The value of the formula.

    Args:
        tree: what `parse` returned.
        env: the value of every variable.
        vocabulary: what each function means for these values (arrays, say); `SCALAR` by default.

    Where a `select`'s condition is a plain bool, the branch not taken is not evaluated, so that exact numbers need not survive it.
    """
    meaning = SCALAR if vocabulary is None else vocabulary

    def call(t: Call, value: Callable[[Tree], Any]) -> Any:
        if t.function == "select":
            condition = value(t.args[0])
            if isinstance(condition, bool):
                return value(t.args[1] if condition else t.args[2])
        return meaning[t.function](*(value(a) for a in t.args))

    return _walked(tree, env, call)


def _walked(tree: Tree, env: Mapping[str, Any], call: Callable[[Call, Callable[[Tree], Any]], Any]) -> Any:
    # The value of the formula; `call(t, value)` computes that of a call, once, and `value` those of its parts.
    return _part(env, call, {}, expanded(tree))


def _part(env: Mapping[str, Any], call: Callable[[Call, Callable[[Tree], Any]], Any], done: dict[Tree, Any], t: Tree) -> Any:
    if isinstance(t, Number):
        return t.value
    if isinstance(t, Variable):
        return env[t.name]
    if t not in done:
        done[t] = call(t, functools.partial(_part, env, call, done))
    return done[t]


def _divide(a: Any, b: Any) -> Any:
    # Python raises where IEEE has an infinity or a NaN. Exact numbers have neither, so for them the exception remains.
    if b == 0 and (isinstance(a, float) or isinstance(b, float)):
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)
    # int/int would round; a power of two or a Fraction divides exactly either way.
    return a / b


def _ieee(function: Callable[..., Any], at_zero: float = math.nan) -> Callable[..., Any]:
    # math's functions raise outside their domain (IEEE: NaN, or `at_zero` at the pole) and on overflow (IEEE: +inf).
    def wrapped(x: Any) -> float:
        try:
            return function(x)
        except OverflowError:
            return math.inf
        except ValueError:
            return at_zero if x == (-1 if function is math.log1p else 0) else math.nan

    return wrapped


def _power(x: Any, c: Any) -> Any:
    if math.isfinite(c) and c == int(c):
        exponent = int(c)
        if isinstance(x, float) and x == 0 and exponent < 0:
            return math.copysign(math.inf, x) if exponent % 2 else math.inf
        try:
            return x**exponent
        except OverflowError:
            return math.copysign(math.inf, x) if exponent % 2 else math.inf
    if is_fraction(x):
        raise DTypeError("a power of a fraction has a whole exponent")
    try:
        return math.pow(x, c)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.inf if x == 0 else math.nan


def _sigmoid(x: float) -> float:
    e = math.exp(-abs(x))
    return (1.0 if x >= 0 else e) / (1.0 + e) if x == x else x


#: The functions on plain numbers. `+ - * /`, comparisons, `select`, `max`, `min`, `abs`, `sign` and whole powers are exact on Fractions.
SCALAR: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": _divide,
    "neg": operator.neg,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "less": operator.lt,
    "less_equal": operator.le,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "logical_and": operator.and_,
    "logical_or": operator.or_,
    "select": lambda c, a, b: a if c else b,
    "max": lambda a, b: a if a > b or a != a else b,
    "min": lambda a, b: a if a < b or a != a else b,
    "abs": abs,
    "sign": lambda x: 1 if x > 0 else -1 if x < 0 else 0 if x == 0 else x,
    "sqrt": _ieee(math.sqrt),
    "exp": _ieee(math.exp),
    "log": _ieee(math.log, -math.inf),
    "log1p": _ieee(math.log1p, -math.inf),
    "expm1": _ieee(math.expm1),
    "sigmoid": _sigmoid,
    "tanh": math.tanh,
    "erf": math.erf,
    "sin": _ieee(math.sin),
    "cos": _ieee(math.cos),
    "pow": _power,
    "power": _power,
    **{name: f.scalar for name, f in VOCABULARY.items()},
}


# Replaying as ops -------------------------------------------------------------------------------------------------------


def to_ops(tree: Tree, ops: Any, env: Mapping[str, Any]) -> Any:
    """Compute the formula by primitive ops.

    Args:
        tree: what `parse` returned.
        ops: the backend.
        env: for every variable a ref of `ops`, or a plain number (an option). Numbers are folded; at least one variable is a ref.

    Returns: a ref.
    """
    shape = next(v.shape for v in env.values() if not _is_number(v))

    def ref(value: Any) -> Any:
        return ops._full(shape=shape, value=float(value)) if _is_number(value) else value

    def call(t: Call, value: Callable[[Tree], Any]) -> Any:
        if t.function == "select":
            condition = value(t.args[0])
            if _is_number(condition):
                return value(t.args[1] if condition else t.args[2])
            return ops.where(condition, ref(value(t.args[1])), ref(value(t.args[2])))
        args = [value(a) for a in t.args]
        if all(map(_is_number, args)):
            return SCALAR[t.function](*args)
        if t.function in _WITH_NUMBER and any(map(_is_number, args)):
            direct = _WITH_NUMBER[t.function](ops, *args)
            if direct is not None:
                return direct
        return getattr(ops, t.function)(*map(ref, args))

    return ref(_walked(tree, env, call))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _add_number(ops: Any, a: Any, b: Any) -> Any:
    return ops.shift(b, c=float(a)) if _is_number(a) else ops.shift(a, c=float(b))


def _subtract_number(ops: Any, a: Any, b: Any) -> Any:
    # c − x has the bits of −x + c.
    return ops.shift(ops.neg(b), c=float(a)) if _is_number(a) else ops.shift(a, c=-float(b))


def _multiply_number(ops: Any, a: Any, b: Any) -> Any:
    return ops.scale(b, c=float(a)) if _is_number(a) else ops.scale(a, c=float(b))


def _divide_number(ops: Any, a: Any, b: Any) -> Any:
    if _is_number(a):
        return ops.inv(b) if a == 1 else None
    # A power of two has an exact reciprocal.
    return ops.scale(a, c=1 / b) if abs(math.frexp(b)[0]) == 0.5 else None


def _by_option(name: str, option: str) -> Callable[..., Any]:
    # The op takes the number as an option; with an array in its place (or with a number to the power of one) it is another op.
    def call(ops: Any, x: Any, c: Any) -> Any:
        return getattr(ops, name)(x, **{option: float(c)}) if _is_number(c) else None

    return call


# The ops that take a number as an option; None where the number has to become an array.
_WITH_NUMBER = {
    "add": _add_number,
    "sub": _subtract_number,
    "mul": _multiply_number,
    "div": _divide_number,
    "pow": _by_option("pow", "c"),
    **{name: _by_option(name, f.option) for name, f in VOCABULARY.items() if f.option},
}


# Writing C --------------------------------------------------------------------------------------------------------------


def to_c(tree: Tree, names: Mapping[str, str], dtype: str, lanes: bool = False) -> tuple[list[str], str]:
    """The formula in C or CUDA C: (declarations of what occurs more than once, the expression).

    Args:
        tree: what `parse` returned.
        names: the C expression of every variable.
        dtype: `"f32"` or `"f64"`; functions are called as `tl_expf` and `tl_exp`: `vmath.h` has them for the CPU, `CUDA_PRELUDE` for CUDA.
        lanes: the variables are vectors (`plan/chain_machine.h`); arithmetic, comparisons and `select` alone are there for them.
    """
    ctype, suffix = ("float", "f") if dtype == "f32" else ("double", "")
    if lanes:
        ctype = f"tl_lanes_{dtype}"
    counts: dict[Tree, int] = {}

    def count(t: Tree) -> None:
        counts[t] = counts.get(t, 0) + 1
        if isinstance(t, Call) and counts[t] == 1:
            for a in t.args:
                count(a)

    count(tree)
    lines: list[str] = []
    done: dict[Tree, str] = {}

    def text(t: Tree) -> str:
        if isinstance(t, Number):
            return f"tl_splat_{dtype}({_literal(t.value, dtype)})" if lanes else _literal(t.value, dtype)
        if isinstance(t, Variable):
            return names[t.name]
        if t not in done:
            args = [text(a) for a in t.args]
            if t.function in _C_OPERATORS:
                done[t] = f"({args[0]} {_C_OPERATORS[t.function]} {args[1]})"
            elif t.function == "neg":
                done[t] = f"(-{args[0]})"
            elif t.function == "select":
                done[t] = f"tl_pick_{dtype}({', '.join(args)})" if lanes else f"({args[0]} ? {args[1]} : {args[2]})"
            else:
                done[t] = f"tl_{t.function}{suffix}({', '.join(args)})"
            if counts[t] > 1 and t.function not in _CONDITIONS:
                lines.append(f"const {ctype} t{len(lines)} = {done[t]};")
                done[t] = f"t{len(lines) - 1}"
        return done[t]

    result = text(tree)
    return lines, result


def _literal(value: float, dtype: str) -> str:
    if value != value or math.isinf(value):
        return "NAN" if value != value else "INFINITY" if value > 0 else "(-INFINITY)"
    digits = repr(float(value)) + ("f" if dtype == "f32" else "")
    return f"({digits})" if value < 0 else digits


def to_cuda(tree: Tree, names: Mapping[str, str], dtype: str = "f32") -> tuple[list[str], str]:
    """The formula in CUDA C, as `to_c`; the translation unit includes `CUDA_PRELUDE` and is compiled with `-fmad=false`."""
    return to_c(tree, names, dtype)


def _cuda_prelude() -> str:
    lines = ["/* The functions of elementwise formulas, by CUDA's own math library. */"]
    for real, f in (("float", "f"), ("double", "")):
        define = f"__device__ __forceinline__ {real} tl_"
        one = f"1.0{f}"
        for name in ("exp", "log", "log1p", "expm1", "tanh", "erf", "sin", "cos", "sqrt"):
            lines.append(f"{define}{name}{f}({real} x) {{ return {name}{f}(x); }}")
        lines += [
            f"{define}abs{f}({real} x) {{ return fabs{f}(x); }}",
            *(f"{define}{name}{f}({real} x, {real} c) {{ return pow{f}(x, c); }}" for name in ("pow", "power")),
            f"{define}max{f}({real} a, {real} b) {{ return a > b || a != a ? a : b; }}",
            f"{define}min{f}({real} a, {real} b) {{ return a < b || a != a ? a : b; }}",
            f"{define}sign{f}({real} x) {{ return x > 0 ? {one} : x < 0 ? -{one} : x == 0 ? 0 : x; }}",
            f"{define}bounded{f}({real} x, {real} c) {{ return fabs{f}(x) > c ? copysign{f}(c, x) : x; }}",
            f"{define}exp_shifted{f}({real} x) {{ return exp{f}(x); }}",
            f"{define}normal_cdf{f}({real} x) {{ return 0.5{f} * erfc{f}(-{math.sqrt(0.5)!r}{f} * x); }}",
            f"{define}sigmoid2{f}({real} x) {{ {real} e = exp2{f}(-fabs{f}(x)); return (x < 0 ? e : {one}) / ({one} + e); }}",
            f"{define}sigmoid{f}({real} x) {{ {real} e = exp{f}(-fabs{f}(x)); return (x < 0 ? e : {one}) / ({one} + e); }}",
        ]
    return "\n".join([*lines, *cuda_functions()]) + "\n"


#: Definitions that CUDA kernels made of `to_cuda` need before them.
CUDA_PRELUDE = _cuda_prelude()
