"""Special functions: of the normal distribution, and of Γ."""

from __future__ import annotations

import math
from math import inf, nan
from typing import Any

from ...errors import OptionError
from ..elementwise import elementwise, number
from ..samples import Arr, Sample, bad, good


def _at(*values: float) -> list[Sample]:
    return [good(Arr((len(values),), "values", data=values), smooth=False)]


_TWO_OVER_ROOT_PI = repr(2 / math.sqrt(math.pi))
_PDF = f"{1 / math.sqrt(2 * math.pi)!r}*exp(-0.5*(x*x))"
elementwise(
    "erfc(x)", "erfc(x)", {"x": f"-g*({_TWO_OVER_ROOT_PI}*exp(-x*x))"}, "1 − erf x, exact for large x too.",
    algebraic=False, more=lambda: _at(0.0, 10.0, -10.0, 30.0, -inf, nan),
)  # fmt: skip
elementwise(
    "erfcx(x)", "erfcx(x)", {"x": f"g*(2*x*y - {_TWO_OVER_ROOT_PI})"}, "e^(x²)·erfc x, without underflow.",
    algebraic=False, more=lambda: _at(0.0, 30.0, 1e10, -30.0, inf, nan),
)  # fmt: skip
elementwise(
    "erfinv(x)", "erfinv(x)", {"x": f"g*({math.sqrt(math.pi) / 2!r}*exp(y*y))"}, "The inverse of erf; ±∞ at ±1, NaN beyond.",
    algebraic=False, kinds="unit", more=lambda: _at(0.0, -0.0, 1.0, -1.0, 0.999, 1.5, nan),
)  # fmt: skip
elementwise(
    "ndtr(x)", "ndtr(x)", {"x": f"g*({_PDF})"}, "The normal distribution function, exact far into its lower tail.",
    algebraic=False, more=lambda: _at(0.0, -30.0, 10.0, -inf, nan),
)  # fmt: skip
# φ/Φ: above 0 by e^(−x²/2 − y), below by erfcx, where both would vanish.
_UPPER = f"{1 / math.sqrt(2 * math.pi)!r}*exp(-0.5*(x*x) - select(x > 0, y, 0))"
_LOWER = f"{math.sqrt(2 / math.pi)!r}/erfcx({-math.sqrt(0.5)!r}*min(x, 0))"
elementwise(
    "log_ndtr(x)", "log_ndtr(x)", {"x": f"g*select(x > 0, {_UPPER}, {_LOWER})"}, "The logarithm of the normal distribution function.",
    algebraic=False, more=lambda: _at(0.0, -40.0, -1e4, 10.0, inf, -inf, nan),
)  # fmt: skip
elementwise(
    "ndtri(x)", "ndtri(x)", {"x": f"g*({math.sqrt(2 * math.pi)!r}*exp(0.5*(y*y)))"},
    "The inverse of the normal distribution function; ∓∞ at 0 and 1, NaN outside.",
    algebraic=False, kinds="fraction", more=lambda: _at(0.0, 1.0, 0.5, 1e-30, -0.5, 1.5, nan),
)  # fmt: skip

# 0·log is 0 and has the gradient 0 there, whatever the logarithm; where only the first factor is 0, its gradient is the logarithm.
_XLOG_SAMPLES = ((0.0, 0.0), (0.0, 2.0), (0.0, -3.0), (0.0, nan), (1.0, 0.0), (2.0, -3.0), (nan, 1.0))


def _xlog(name: str, function: str, edge: str, doc: str) -> None:
    inside = f"select(a == 0, select(b > {edge}, b, {1 + int(edge)}), b)"
    denominator = f"select(a == 0, select(b == {edge}, {1 + int(edge)}, b), b)"
    shifted = denominator if edge == "0" else f"(1 + {denominator})"
    elementwise(
        f"{name}(a, b)",
        f"select(a == 0, select(b == b, 0, b), a*{function}({inside}))",
        {"a": f"g*{function}({inside})", "b": f"g*(a/{shifted})"},
        doc,
        algebraic=False,
        kinds="positive",
        more=lambda: [good(*(Arr((7,), "values", data=side) for side in zip(*_XLOG_SAMPLES, strict=True)), smooth=False)],
    )


_xlog("xlogy", "log", "0", "a·ln b, and 0 where a is 0 and b is not NaN.")
_xlog("xlog1py", "log1p", "-1", "a·ln(1 + b), and 0 where a is 0 and b is not NaN.")

elementwise(
    "lgamma(x)", "lgamma(x)", {"x": "g*digamma(x)"}, "ln |Γ(x)|; ∞ at 0 and at whole numbers below.",
    algebraic=False, kinds="positive", more=lambda: _at(1.0, 2.0, 0.0, -0.0, -1.0, -2.5, 1e30, 1e-30, inf, -inf, nan),
)  # fmt: skip
elementwise(
    "digamma(x)", "digamma(x)", {"x": "g*polygamma(x, 1)"}, "ψ(x), the derivative of ln Γ; ∓∞ at ±0, NaN at whole numbers below.",
    algebraic=False, kinds="positive", more=lambda: _at(1.0, 0.0, -0.0, -1.0, -2.5, 1e30, 1e-15, inf, nan),
)  # fmt: skip


def _check_order(options: dict[str, Any]) -> None:
    options["n"] = number(options["n"], "n")
    if not (options["n"] >= 1 and options["n"] == int(options["n"])):
        raise OptionError("n must be a whole number of at least 1")


elementwise(
    "polygamma(x, *, n)", "polygamma(x, order)", {"x": "g*polygamma(x, order + 1)"}, "The derivative of order n of ψ.",
    check=_check_order, values=lambda options: {"order": options["n"]}, algebraic=False, kinds="positive",
    calls=({"n": 1}, {"n": 2}, {"n": 3}), sampled=2.0,
    more=lambda: [
        *(good(Arr((5,), "values", data=(0.0, -1.0, -2.5, 30.0, inf)), n=n, smooth=False) for n in (1, 2)),
        bad("OptionError", (3,), n=0), bad("OptionError", (3,), n=1.5),
    ],
)  # fmt: skip
elementwise(
    "betaln(a, b)", "betaln(a, b)", {"a": "g*(digamma(a) - digamma(a + b))", "b": "g*(digamma(b) - digamma(a + b))"},
    "ln |B(a, b)|, B(a, b) = Γ(a)Γ(b)/Γ(a + b).", algebraic=False, kinds="positive",
    more=lambda: [good(*(Arr((4,), "values", data=side) for side in ((1.0, 50.0, 1e3, 0.5), (2.0, 60.0, 3.0, 7.0))), smooth=False)],
)  # fmt: skip
