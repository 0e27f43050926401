"""The functions that formulas call beyond the first ones of `expression`: what each costs, what it is on a plain number, and in CUDA C.

`simd/vmath_exact.h`, `vmath_trig.h` and `vmath_special.h` have them for the CPU. Each is an op as well, of this one function:
decompositions end at those without a formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import scalar
from .scalar import ieee, rounding


@dataclass(frozen=True)
class Function:
    """A function of formulas.

    `cost` is in multiplications, roughly; `cuda` is its name in CUDA's library for float64 (float32's has an f at the end), or the body of
    a function of `x`, or `a` and `b`, in which `@` is that f. `narrow` is the condition, in the same form, under which the kernels of the
    CPU leave their vector loop; `option` the name that the second argument has as an option of the op; `formula` what it is in terms of
    others, (variables, text), where decompositions go on to those.
    """

    arity: int
    cost: int
    scalar: Callable[..., Any]
    cuda: str
    narrow: str = ""
    option: str = ""
    formula: tuple[tuple[str, ...], str] | None = None


#: Where the fast sine and cosine end.
LARGE_ANGLE = "!(tl_abs@({x}) <= TL_TRIG_LIMIT^)"
_DIGAMMA = """
    if (x <= 0) {
        if (x == 0) return -copysign@(INFINITY, x);
        if (x == floor@(x)) return NAN;
    }
    const real at = x < 0 ? 1 - x : x;
    real sum = 0, q = at;
    for (; q < 12; q += 1) sum -= 1 / q;
    const real z = 1 / (q * q);
    sum += log@(q) - (real)0.5 / q - z * ((real)(1 / 12.0) - z * ((real)(1 / 120.0) - z * ((real)(1 / 252.0) - z * (real)(1 / 240.0))));
    return x < 0 ? sum - (real)3.141592653589793 / tan@((real)3.141592653589793 * (x - rint@(x))) : sum;"""
_POLYGAMMA = """
    const real sign = floor@(b / 2) * 2 == b ? -1 : 1, s = b + 1;
    if (a <= 0 && a == floor@(a)) return sign > 0 ? INFINITY : NAN;
    if (fabs@(a) == INFINITY) return a > 0 ? 0 : NAN;
    real sum = 0, q = a, factor = 1;
    for (real k = 2; k <= b; k += 1) factor *= k;
    for (; q < 12 + b; q += 1) sum += pow@(q, -s);
    const real power = pow@(q, -s);
    sum += power * q / b + (real)0.5 * power;
    const real next = (s + 1) * (s + 2) / (q * q) * ((real)(1 / 720.0) - (s + 3) * (s + 4) / (q * q) * (real)(1 / 30240.0));
    sum += power * s / q * ((real)(1 / 12.0) - next);
    return sign * factor * sum;"""
_LOG_NDTR = """
    if (x > 0) return log1p@(-normcdf@(-x));
    return log@((real)0.5 * erfcx@((real)-0.7071067811865476 * x)) - (real)0.5 * x * x;"""

#: Name -> function.
VOCABULARY: dict[str, Function] = {
    "floor": Function(1, 2, rounding(math.floor), "floor"),
    "ceil": Function(1, 2, rounding(math.ceil), "ceil"),
    "trunc": Function(1, 2, rounding(math.trunc), "trunc"),
    "round": Function(1, 2, rounding(round), "rint"),
    "copysign": Function(2, 1, scalar.copysign, "copysign"),
    "fmod": Function(2, 20, scalar.fmod, "fmod", narrow="tl_fmod_is_wide({a}, {b})"),
    "hypot": Function(2, 14, math.hypot, "hypot"),
    "cbrt": Function(1, 40, math.cbrt, "cbrt"),
    "exp2": Function(1, 20, ieee(math.exp2), "exp2"),
    "log2": Function(1, 24, ieee(math.log2, {0: -math.inf}), "log2"),
    "log10": Function(1, 24, ieee(math.log10, {0: -math.inf}), "log10"),
    "tan": Function(1, 40, ieee(math.tan), "tan", narrow=LARGE_ANGLE),
    "asin": Function(1, 40, ieee(math.asin), "asin"),
    "acos": Function(1, 40, ieee(math.acos), "acos"),
    "atan": Function(1, 30, math.atan, "atan"),
    "atan2": Function(2, 36, math.atan2, "atan2"),
    "sinh": Function(1, 36, ieee(math.sinh, odd=True), "sinh"),
    "cosh": Function(1, 30, ieee(math.cosh), "cosh"),
    "asinh": Function(1, 40, math.asinh, "asinh"),
    "acosh": Function(1, 40, ieee(math.acosh), "acosh"),
    "atanh": Function(1, 36, ieee(math.atanh, {1: math.inf, -1: -math.inf}), "atanh"),
    "erfc": Function(1, 80, math.erfc, "erfc"),
    "erfcx": Function(1, 80, scalar.erfcx, "erfcx"),
    "erfinv": Function(1, 140, scalar.erfinv, "erfinv"),
    "ndtr": Function(1, 80, scalar.ndtr, "normcdf"),
    "log_ndtr": Function(1, 110, scalar.log_ndtr, _LOG_NDTR),
    "ndtri": Function(1, 140, scalar.ndtri, "normcdfinv"),
    "lgamma": Function(1, 120, ieee(math.lgamma, outside=math.inf), "lgamma", narrow="!({x} > 0)"),
    "digamma": Function(1, 90, scalar.digamma, _DIGAMMA, narrow="!({x} > 0)"),
    "polygamma": Function(2, 2000, scalar.polygamma, _POLYGAMMA, option="n"),
    "betaln": Function(
        *(2, 400, scalar.betaln, "return lgamma@(a) + lgamma@(b) - lgamma@(a + b);"),
        narrow="!({a} > 0) | !({b} > 0)",
        formula=(("a", "b"), "lgamma(a) + lgamma(b) - lgamma(a + b)"),
    ),
}


def cuda_functions() -> list[str]:
    """The definitions of all of them in CUDA C, for both float types."""
    lines = []
    for real, f in (("float", "f"), ("double", "")):
        for name, function in VOCABULARY.items():
            arguments = ("x",) if function.arity == 1 else ("a", "b")
            body = function.cuda if "return" in function.cuda else f" return {function.cuda}@({', '.join(arguments)});"
            head = f"__device__ __forceinline__ {real} tl_{name}{f}({', '.join(f'{real} {x}' for x in arguments)})"
            named = f" typedef {real} real;" if "real" in body else ""
            lines.append(f"{head} {{{named}{body.replace('@', f)} }}")
    return lines
