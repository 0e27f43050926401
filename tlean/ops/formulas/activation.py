"""More activation functions."""

from __future__ import annotations

from math import inf
from numbers import Integral
from typing import Any

from ...errors import OptionError, ShapeError, TleanError, complete, describe
from ...shapes import normalize_axis
from ..elementwise import elementwise, number
from ..registry import array, composite
from ..samples import Arr, bad, good

elementwise(
    "softsign(x)",
    "x/(1 + abs(x))",
    {"x": "g/((1 + abs(x))*(1 + abs(x)))"},
    "x/(1 + |x|), in (−1, 1).",
    kinds="away",
    source="Turian, Bergstra & Bengio 2009",
)
elementwise("log_sigmoid(x)", "min(x, 0) - log1p(exp(-abs(x)))", {"x": "g*sigmoid(-x)"}, "ln σ(x), without overflow.", algebraic=False)
elementwise(
    "hardswish(x)",
    "x*(min(max(x + 3, 0), 6)/6)",
    {"x": "select(x > -3, select(x < 3, g*(x/3 + 0.5), g), 0)"},
    "x·min(max(x + 3, 0), 6)/6; the gradient is 0 at −3 and 1 at 3.",
    kinds="away",
    more=lambda: [good(Arr((4,), "values", data=(-4.0, -3.0, 3.0, 5.0)), smooth=False)],
    source="Howard et al. 2019",
)

# tanh(softplus x) by powers of e^(−|x|) alone.
_E = "exp(-abs(x))"
_GATE = f"select(x > 0, (1 + 2*{_E})/(1 + 2*{_E} + 2*({_E}*{_E})), {_E}*({_E} + 2)/({_E}*({_E} + 2) + 2))"
elementwise(
    "mish(x)",
    f"x*{_GATE}",
    {"x": f"g*({_GATE} + x*((1 - {_GATE})*(1 + {_GATE}))*sigmoid(x))"},
    "x·tanh(ln(1 + eˣ)).",
    algebraic=False,
    kinds="away",
    source="Misra 2019",
)
_SCALE, _SCALE_ALPHA = "1.0507009873554805", repr(1.0507009873554805 * 1.6732632423543772)
elementwise(
    "selu(x)",
    f"select(x > 0, {_SCALE}*x, {_SCALE_ALPHA}*expm1(min(x, 0)))",
    {"x": f"select(x > 0, {_SCALE}*g, {_SCALE_ALPHA}*exp(min(x, 0))*g)"},
    "λx where x > 0, else λα(eˣ − 1), with λ and α that keep mean 0 and variance 1.",
    kinds="away",
    algebraic=False,
    source="Klambauer et al. 2017",
)


def _check_celu(options: dict[str, Any]) -> None:
    if options["alpha"] == 0:
        raise OptionError("alpha must not be 0")


elementwise(
    "celu(x, *, alpha=1.0)",
    "select(x > 0, x, alpha*expm1(min(x, 0)/alpha))",
    {"x": "select(x > 0, g, exp(min(x, 0)/alpha)*g)"},
    "x where x > 0, else alpha·(e^(x/alpha) − 1).",
    check=_check_celu,
    kinds="away",
    calls=({}, {"alpha": 0.5}),
    more=lambda: [bad("OptionError", (3,), alpha=0)],
    algebraic=False,
    source="Barron 2017",
)
elementwise(
    "prelu(x, slope)",
    "select(x > 0, x, slope*x)",
    {"x": "select(x > 0, g, slope*g)", "slope": "select(x > 0, 0, x*g)"},
    "x where x > 0, else slope·x, slope an array that is trained.",
    kinds="away",
    source="He et al. 2015",
)


def _check_logit(options: dict[str, Any]) -> None:
    if options["eps"] is not None:
        options["eps"] = number(options["eps"], "eps")
        if not 0 <= options["eps"] <= 0.5:
            raise OptionError("eps must be between 0 and 0.5")


def _logit_bounds(options: Any) -> dict[str, float]:
    eps = options["eps"]
    return {"lo": -inf, "hi": inf} if eps is None else {"lo": eps, "hi": 1 - eps}


# Near ½, where the logarithm is near 0, by log1p of what x is away from it.
_P = "min(max(x, lo), hi)"
elementwise(
    "logit(x, *, eps=None)",
    f"select(abs({_P} - 0.5) < 0.2, log1p(2*({_P} - 0.5)/(1 - {_P})), log({_P}/(1 - {_P})))",
    {"x": "select(x < lo, 0, select(x > hi, 0, g/(x*(1 - x))))"},
    "ln(x/(1 − x)), with x moved into [eps, 1 − eps] where eps is given; NaN outside [0, 1].",
    check=_check_logit,
    values=_logit_bounds,
    kinds="fraction",
    calls=({}, {"eps": 0.25}),
    more=lambda: [
        good(Arr((5,), "values", data=(0.0, 1.0, 0.5, -0.5, 1.5)), smooth=False),
        good(Arr((5,), "values", data=(0.0, 1.0, 0.5, -0.5, 1.5)), eps=0.125, smooth=False),
        bad("OptionError", (3,), eps=0.75),
    ],
    algebraic=False,
)


# Made of others -----------------------------------------------------------------------------------------------------------


@composite
def hardtanh(ops: Any, x: Any, lo: float = -1.0, hi: float = 1.0, name: str | None = None) -> Any:
    """min(max(x, lo), hi)."""
    return ops.clamp(x, lo, hi, name=name)


@composite
def relu6(ops: Any, x: Any, name: str | None = None) -> Any:
    """min(max(x, 0), 6)."""
    return ops.clamp(x, 0.0, 6.0, name=name)


@composite
def glu(ops: Any, x: Any, axis: int = -1, name: str | None = None) -> Any:
    """The first half along an axis times σ of the second."""
    x = array(ops, x, "glu: x")
    shape = tuple(x.shape)
    try:
        if not isinstance(axis, Integral) or isinstance(axis, bool):
            raise OptionError("axis must be an int")
        k = normalize_axis(int(axis), len(shape))
        if shape[k] % 2:
            raise ShapeError("the axis must have an even size")
    except TleanError as error:
        raise complete(error, "glu", [describe("x", shape, x.dtype), f"axis={axis!r}"]) from None
    half = shape[k] // 2
    starts = [tuple(half * part if j == k else 0 for j in range(len(shape))) for part in (0, 1)]
    stops = [tuple(half * (part + 1) if j == k else n for j, n in enumerate(shape)) for part in (0, 1)]
    first, second = (ops.slice(x, starts=start, stops=stop) for start, stop in zip(starts, stops, strict=True))
    return ops.mul(first, ops.sigmoid(second), name=name)
