"""Elementwise functions: each is the op of its name, or of the name that it has in tlean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tlean.errors import DTypeError

from .calls import by_value, is_number, is_whole, pair, required, run


def _unary(name: str, op: str, whole: bool = False) -> Callable[[Any], Any]:
    # The function of one array that is an op; with `whole` integers are their own result.
    def function(x: Any, /) -> Any:
        return x if whole and is_whole(x) else run(lambda ops, x: getattr(ops, op)(x), x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The op `{op}` of each element."
    return function


def _binary(name: str, op: str) -> Callable[[Any, Any], Any]:
    # The function of two arrays, of which one may be a number, that is an op.
    def function(x1: Any, x2: Any, /) -> Any:
        return pair(lambda ops, a, b: getattr(ops, op)(a, b), x1, x2)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The op `{op}` of each two elements."
    return function


abs: Callable[[Any], Any] = _unary("abs", "abs")
acos: Callable[[Any], Any] = _unary("acos", "acos")
acosh: Callable[[Any], Any] = _unary("acosh", "acosh")
add: Callable[[Any, Any], Any] = _binary("add", "add")
asin: Callable[[Any], Any] = _unary("asin", "asin")
asinh: Callable[[Any], Any] = _unary("asinh", "asinh")
atan: Callable[[Any], Any] = _unary("atan", "atan")
atan2: Callable[[Any, Any], Any] = _binary("atan2", "atan2")
atanh: Callable[[Any], Any] = _unary("atanh", "atanh")
bitwise_and: Callable[[Any, Any], Any] = _binary("bitwise_and", "bitwise_and")
bitwise_invert: Callable[[Any], Any] = _unary("bitwise_invert", "bitwise_not")
bitwise_left_shift: Callable[[Any, Any], Any] = _binary("bitwise_left_shift", "bitwise_left_shift")
bitwise_or: Callable[[Any, Any], Any] = _binary("bitwise_or", "bitwise_or")
bitwise_right_shift: Callable[[Any, Any], Any] = _binary("bitwise_right_shift", "bitwise_right_shift")
bitwise_xor: Callable[[Any, Any], Any] = _binary("bitwise_xor", "bitwise_xor")
ceil: Callable[[Any], Any] = _unary("ceil", "ceil", whole=True)
copysign: Callable[[Any, Any], Any] = _binary("copysign", "copysign")
cos: Callable[[Any], Any] = _unary("cos", "cos")
cosh: Callable[[Any], Any] = _unary("cosh", "cosh")
divide: Callable[[Any, Any], Any] = _binary("divide", "div")
equal: Callable[[Any, Any], Any] = _binary("equal", "equal")
exp: Callable[[Any], Any] = _unary("exp", "exp")
expm1: Callable[[Any], Any] = _unary("expm1", "expm1")
floor: Callable[[Any], Any] = _unary("floor", "floor", whole=True)
floor_divide: Callable[[Any, Any], Any] = _binary("floor_divide", "floor_divide")
greater: Callable[[Any, Any], Any] = _binary("greater", "greater")
greater_equal: Callable[[Any, Any], Any] = _binary("greater_equal", "greater_equal")
hypot: Callable[[Any, Any], Any] = _binary("hypot", "hypot")
isfinite: Callable[[Any], Any] = _unary("isfinite", "isfinite")
isinf: Callable[[Any], Any] = _unary("isinf", "isinf")
isnan: Callable[[Any], Any] = _unary("isnan", "isnan")
less: Callable[[Any, Any], Any] = _binary("less", "less")
less_equal: Callable[[Any, Any], Any] = _binary("less_equal", "less_equal")
log: Callable[[Any], Any] = _unary("log", "log")
log10: Callable[[Any], Any] = _unary("log10", "log10")
log1p: Callable[[Any], Any] = _unary("log1p", "log1p")
log2: Callable[[Any], Any] = _unary("log2", "log2")
logaddexp: Callable[[Any, Any], Any] = _binary("logaddexp", "logaddexp")
logical_and: Callable[[Any, Any], Any] = _binary("logical_and", "logical_and")
logical_not: Callable[[Any], Any] = _unary("logical_not", "logical_not")
logical_or: Callable[[Any, Any], Any] = _binary("logical_or", "logical_or")
logical_xor: Callable[[Any, Any], Any] = _binary("logical_xor", "logical_xor")
maximum: Callable[[Any, Any], Any] = _binary("maximum", "max")
minimum: Callable[[Any, Any], Any] = _binary("minimum", "min")
multiply: Callable[[Any, Any], Any] = _binary("multiply", "mul")
negative: Callable[[Any], Any] = _unary("negative", "neg")
not_equal: Callable[[Any, Any], Any] = _binary("not_equal", "not_equal")
reciprocal: Callable[[Any], Any] = _unary("reciprocal", "inv")
remainder: Callable[[Any, Any], Any] = _binary("remainder", "remainder")
round: Callable[[Any], Any] = _unary("round", "round", whole=True)
sign: Callable[[Any], Any] = _unary("sign", "sign")
sin: Callable[[Any], Any] = _unary("sin", "sin")
sinh: Callable[[Any], Any] = _unary("sinh", "sinh")
sqrt: Callable[[Any], Any] = _unary("sqrt", "sqrt")
square: Callable[[Any], Any] = _unary("square", "square")
subtract: Callable[[Any, Any], Any] = _binary("subtract", "sub")
tan: Callable[[Any], Any] = _unary("tan", "tan")
tanh: Callable[[Any], Any] = _unary("tanh", "tanh")
trunc: Callable[[Any], Any] = _unary("trunc", "trunc", whole=True)


def positive(x: Any, /) -> Any:
    """The array itself."""
    return x


def conj(x: Any, /) -> Any:
    """The array itself: there are no complex numbers."""
    return x


def real(x: Any, /) -> Any:
    """The array itself: there are no complex numbers."""
    return x


def imag(x: Any, /) -> Any:
    """Zeros: there are no complex numbers."""
    return run(lambda ops, x: ops.zeros_like(x), x)


def signbit(x: Any, /) -> Any:
    """Whether the sign of a float is set, that of −0 and of NaN too."""
    if is_whole(x):
        raise DTypeError(f"signbit: floats are expected, got {x.dtype}")
    return run(lambda ops, x: ops.less(ops.copysign(ops.ones_like(x), x), ops.zeros_like(x)), x)


def pow(x1: Any, x2: Any, /) -> Any:
    """x1 to the power of x2. Of integers an exponent below 0 leaves the whole part: 0, 1 or −1."""
    return pair(lambda ops, a, b: ops.power(a, b), x1, x2)


def nextafter(x1: Any, x2: Any, /) -> Any:
    """The next float after x1 towards x2, where values are known: it has no gradient, and no op."""
    if is_whole(x1) or is_whole(x2):
        raise DTypeError("nextafter: floats are expected, got integers")
    return by_value("nextafter", np.nextafter, x1, x2)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """x, at least min and at most max, which are numbers or arrays of x's kind; the result has x's dtype."""
    x = required(x)
    for op, bound in (("max", min), ("min", max)):
        if bound is None:
            continue
        if is_number(bound) and is_whole(x) and isinstance(bound, float):
            raise DTypeError(f"clip: a bound of integers must be an int, got {bound!r}")
        bounded = pair(lambda ops, a, b, op=op: getattr(ops, op)(a, b), x, bound)
        x = bounded if bounded.dtype == x.dtype else run(lambda ops, y, dtype=str(x.dtype): ops.astype(y, dtype), bounded)
    return x
