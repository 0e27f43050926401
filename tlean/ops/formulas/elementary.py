"""Trigonometric and hyperbolic functions, their inverses, and exponentials, logarithms and roots of other bases."""

from __future__ import annotations

import math
from math import inf, nan

from ..elementwise import elementwise
from ..samples import Arr, Sample, good


def _at(*values: float) -> list[Sample]:
    return [good(Arr((len(values),), "values", data=values), smooth=False)]


def _pairs(*pairs: tuple[float, float]) -> list[Sample]:
    return [good(*(Arr((len(pairs),), "values", data=side) for side in zip(*pairs, strict=True)), smooth=False)]


elementwise(
    "tan(x)", "tan(x)", {"x": "g*(1 + y*y)"}, "Tangent of x in radians.", algebraic=False, more=lambda: _at(0.0, -0.0, 1e22, inf, nan)
)
elementwise(
    "asin(x)", "asin(x)", {"x": "g/sqrt((1 - x)*(1 + x))"}, "Arc sine, in [−π/2, π/2]; NaN where |x| > 1.",
    algebraic=False, kinds="unit", more=lambda: _at(0.0, -0.0, 1.0, -1.0, 1.5, -inf, nan),
)  # fmt: skip
elementwise(
    "acos(x)", "acos(x)", {"x": "-g/sqrt((1 - x)*(1 + x))"}, "Arc cosine, in [0, π]; NaN where |x| > 1.",
    algebraic=False, kinds="unit", more=lambda: _at(0.0, 1.0, -1.0, 1.5, inf, nan),
)  # fmt: skip
elementwise(
    "atan(x)", "atan(x)", {"x": "g/(1 + x*x)"}, "Arc tangent, in [−π/2, π/2].", algebraic=False, more=lambda: _at(0.0, -0.0, inf, -inf, nan)
)
_RADIUS = "select(hypot(a, b) == 0, 1, hypot(a, b))"
elementwise(
    "atan2(a, b)",
    "atan2(a, b)",
    {"a": f"g*(b/{_RADIUS}/{_RADIUS})", "b": f"-g*(a/{_RADIUS}/{_RADIUS})"},
    "The angle of the point (b, a), in [−π, π]; the gradient at (0, 0) is 0.",
    algebraic=False,
    kinds="away",
    more=lambda: _pairs(
        (0.0, 0.0), (-0.0, 0.0), (0.0, -0.0), (-0.0, -0.0), (1.0, 0.0), (-1.0, 0.0), (inf, inf), (-inf, -inf), (1.0, -inf), (nan, 1.0)
    ),
)
elementwise(
    "hypot(a, b)",
    "hypot(a, b)",
    {"a": "g*(a/select(y == 0, 1, y))", "b": "g*(b/select(y == 0, 1, y))"},
    "√(a² + b²) without overflow; the gradient at (0, 0) is 0.",
    algebraic=False,
    kinds="away",
    more=lambda: _pairs((0.0, 0.0), (3.0, 4.0), (1e30, 1e30), (1e-30, 1e-30), (inf, nan), (nan, 1.0)),
)
elementwise("sinh(x)", "sinh(x)", {"x": "g*cosh(x)"}, "Hyperbolic sine.", algebraic=False, more=lambda: _at(0.0, -0.0, 1e4, -inf, nan))
elementwise("cosh(x)", "cosh(x)", {"x": "g*sinh(x)"}, "Hyperbolic cosine.", algebraic=False, more=lambda: _at(0.0, 1e4, -inf, nan))
elementwise(
    "asinh(x)",
    "asinh(x)",
    {"x": "g/sqrt(1 + x*x)"},
    "Inverse hyperbolic sine.",
    algebraic=False,
    more=lambda: _at(0.0, -0.0, 1e30, -inf, nan),
)
elementwise(
    "acosh(x)", "acosh(x)", {"x": "g/sqrt((x - 1)*(x + 1))"}, "Inverse hyperbolic cosine, at least 0; NaN below 1.",
    algebraic=False, kinds="above", more=lambda: _at(1.0, 0.5, 1e30, inf, nan),
)  # fmt: skip
elementwise(
    "atanh(x)", "atanh(x)", {"x": "g/((1 - x)*(1 + x))"}, "Inverse hyperbolic tangent; ±∞ at ±1, NaN beyond.",
    algebraic=False, kinds="unit", more=lambda: _at(0.0, -0.0, 1.0, -1.0, 1.5, nan),
)  # fmt: skip

_LN2, _LN10 = repr(math.log(2)), repr(math.log(10))
elementwise("exp2(x)", "exp2(x)", {"x": f"g*({_LN2}*y)"}, "2ˣ.", algebraic=False, more=lambda: _at(0.0, 3.0, -1.0, 1e4, -inf, nan))
elementwise(
    "log2(x)", "log2(x)", {"x": f"g/({_LN2}*x)"}, "The logarithm to base 2, exact at its powers; −∞ at 0, NaN below.",
    algebraic=False, kinds="positive", more=lambda: _at(0.0, 8.0, 0.25, -1.0, inf, nan),
)  # fmt: skip
elementwise(
    "log10(x)", "log10(x)", {"x": f"g/({_LN10}*x)"}, "The logarithm to base 10, exact at its powers; −∞ at 0, NaN below.",
    algebraic=False, kinds="positive", more=lambda: _at(0.0, 1000.0, -1.0, inf, nan),
)  # fmt: skip
elementwise(
    "cbrt(x)", "cbrt(x)", {"x": "g/(3*(y*y))"}, "The cube root, of negative numbers too; the gradient at 0 is ∞.",
    algebraic=False, kinds="away", more=lambda: _at(0.0, -0.0, -27.0, 1e-40, -inf, nan),
)  # fmt: skip
# Of equal infinities no difference is taken.
_APART = "select(abs(a - b) >= 0, a - b, 0)"
elementwise(
    "logaddexp(a, b)",
    f"max(a, b) + log1p(exp(-abs({_APART})))",
    {"a": f"g*sigmoid({_APART})", "b": f"g*sigmoid(-({_APART}))"},
    "ln(eᵃ + eᵇ), without overflow.",
    algebraic=False,
    more=lambda: _pairs((1.0, 1.0), (1e4, 1e4), (-inf, -inf), (inf, inf), (inf, -inf), (-inf, 2.0), (nan, 1.0)),
)
