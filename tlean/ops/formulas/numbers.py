"""Rounding, remainders, signs and powers."""

from __future__ import annotations

from math import inf, nan

from ..elementwise import elementwise
from ..samples import Arr, Sample, good

_CORNERS = (0.0, -0.0, 0.5, -0.5, 1.5, -2.5, 2.0, 4503599627370497.5, inf, -inf, nan)


def _corners() -> list[Sample]:
    return [good(Arr((len(_CORNERS),), "values", data=_CORNERS), smooth=False)]


elementwise("floor(x)", "floor(x)", None, "The greatest whole number that is at most x; no gradient.", kinds="away", more=_corners)
elementwise("ceil(x)", "ceil(x)", None, "The smallest whole number that is at least x; no gradient.", kinds="away", more=_corners)
elementwise("trunc(x)", "trunc(x)", None, "x without its fraction; no gradient.", kinds="away", more=_corners)
elementwise("round(x)", "round(x)", None, "The nearest whole number, the even one of two; no gradient.", kinds="away", more=_corners)


def _pairs(*pairs: tuple[float, float]) -> list[Sample]:
    return [good(*(Arr((len(pairs),), "values", data=side) for side in zip(*pairs, strict=True)), smooth=False)]


_SIGNED = ((2.0, -3.0), (-2.0, 0.0), (2.0, -0.0), (0.0, -1.0), (-0.0, 1.0), (inf, -1.0), (nan, 1.0))
elementwise(
    "copysign(a, b)",
    "copysign(a, b)",
    {"a": "g*(sign(a)*copysign(1, b))"},
    "|a| with the sign of b; no gradient to b.",
    kinds="away",
    more=lambda: _pairs(*_SIGNED),
)

# What is taken from a is a whole multiple of b; its number is what b's gradient is made of.
_WHOLE = "round((a - fmod(a, b))/b)"
_OTHER_SIGN = "copysign(1, fmod(a, b))*b < 0"
_SIGNED_QUOTIENTS = (
    (5.5, 2.0), (-5.5, 2.0), (5.5, -2.0), (-5.5, -2.0), (6.0, 2.0), (-6.0, 2.0), (6.0, -2.0), (-0.0, 3.0), (0.0, -3.0), (1e30, 3.0),
    (1.0, 0.0), (0.0, 0.0), (3.0, inf), (-3.0, inf), (inf, 2.0), (nan, 2.0), (2.0, nan), (1e-310, 3e-311),
)  # fmt: skip
elementwise(
    "fmod(a, b)",
    "fmod(a, b)",
    {"a": "g", "b": f"-g*{_WHOLE}"},
    "The remainder of a/b with the sign of a, exactly; NaN where b is 0.",
    kinds="away",
    more=lambda: _pairs(*_SIGNED_QUOTIENTS),
)
elementwise(
    "remainder(a, b)",
    f"select(fmod(a, b) == 0, copysign(0, b), select({_OTHER_SIGN}, fmod(a, b) + b, fmod(a, b)))",
    {"a": "g", "b": f"-g*select(fmod(a, b) == 0, {_WHOLE}, select({_OTHER_SIGN}, {_WHOLE} - 1, {_WHOLE}))"},
    "The remainder of a/b with the sign of b, as Python's %; NaN where b is 0.",
    kinds="away",
    more=lambda: _pairs(*_SIGNED_QUOTIENTS),
)
elementwise(
    "floor_divide(a, b)",
    f"select(b == 0, a/b, select(fmod(a, b) == 0, copysign({_WHOLE}, a/b), select({_OTHER_SIGN}, {_WHOLE} - 1, abs({_WHOLE}))))",
    None,
    "⌊a/b⌋, as Python's //; IEEE where b is 0; no gradient.",
    kinds="away",
    more=lambda: _pairs(*_SIGNED_QUOTIENTS),
)

# The base and the exponent where the rule of a number would be an infinity times zero.
_BASE, _LOGARITHM = "select(b == 0, 1, a)", "log(select(a == 0, 1, a))"
elementwise(
    "power(a, b)",
    "power(a, b)",
    {
        "a": f"select(b == 0, 0, g*(b*power({_BASE}, b - 1)))",
        "b": f"select(a == 0, select(b >= 0, 0, -g*power(a, b)), g*(power(a, b)*{_LOGARITHM}))",
    },
    "a to the power of b, both arrays: 1 where b is 0; NaN where a < 0 and b is not whole.",
    algebraic=False,
    kinds="positive",
    more=lambda: _pairs(
        (0.0, 0.0), (0.0, 2.0), (-0.0, 3.0), (0.0, -1.0), (-2.0, 3.0), (-2.0, 0.5), (nan, 0.0), (1.0, nan), (inf, -1.0), (4.0, 0.5)
    ),
)
elementwise(
    "rsqrt(x)",
    "1/sqrt(x)",
    {"x": "-0.5*g*(y*y*y)"},
    "1/√x; ∞ at 0, NaN below.",
    kinds="positive",
    algebraic=False,
    more=lambda: [good(Arr((4,), "values", data=(0.0, 4.0, -1.0, inf)), smooth=False)],
)
