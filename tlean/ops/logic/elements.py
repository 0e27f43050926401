"""Comparisons, logic and `where`: formulas whose values or conditions are Booleans."""

from __future__ import annotations

from typing import Any

from ...errors import OptionError
from ..elementwise import elementwise
from ..samples import Arr, Sample, good

NAN, INF = float("nan"), float("inf")
_VALUES = (1.0, 2.0, 3.0, -0.0, NAN, 1.0, INF, -INF), (2.0, 2.0, 1.0, 0.0, 1.0, NAN, INF, INF)


def _compared() -> list[Sample]:
    return [good(*(Arr((8,), "values", data=v) for v in _VALUES), smooth=False)]


elementwise("greater(a, b)", "a > b", None, "Whether a > b; no gradient.", more=_compared)
elementwise("greater_equal(a, b)", "a >= b", None, "Whether a ≥ b; no gradient.", more=_compared)
elementwise("less(a, b)", "a < b", None, "Whether a < b; no gradient.", more=_compared)
elementwise("less_equal(a, b)", "a <= b", None, "Whether a ≤ b; no gradient.", more=_compared)
elementwise("equal(a, b)", "a == b", None, "Whether a = b; no gradient.", more=_compared)
elementwise("not_equal(a, b)", "a != b", None, "Whether a ≠ b, as a NaN is unequal to all; no gradient.", more=_compared)


def _looked_at() -> list[Sample]:
    return [good(Arr((5,), "values", data=(0.0, NAN, INF, -INF, 1.0)), smooth=False)]


elementwise("isnan(x)", "x != x", None, "Whether x is NaN.", more=_looked_at)
elementwise("isinf(x)", "(x == x) & (x - x != 0)", None, "Whether x is an infinity.", more=_looked_at)
elementwise("isfinite(x)", "x - x == 0", None, "Whether x is neither NaN nor an infinity.", more=_looked_at)


def _check_close(options: dict[str, Any]) -> None:
    for name in ("rtol", "atol"):
        if not (isinstance(options[name], int | float) and options[name] >= 0):
            raise OptionError(f"{name} must be a plain number, at least 0")
    if not isinstance(options["equal_nan"], bool):
        raise OptionError("equal_nan must be True or False")


elementwise(
    "isclose(a, b, *, rtol=1e-5, atol=1e-8, equal_nan=False)",
    "((a == b) | ((b - b == 0) & (abs(a - b) <= atol + rtol*abs(b)))) | ((equal_nan == 1) & ((a != a) & (b != b)))",
    None,
    "Whether |a − b| ≤ atol + rtol·|b|; equal infinities are close, NaNs only with `equal_nan`.",
    check=_check_close,
    values=lambda options: {name: float(options[name]) for name in ("rtol", "atol", "equal_nan")},
    calls=({}, {"rtol": 0.0, "atol": 0.5}, {"equal_nan": True}),
    more=lambda: [good(*(Arr((8,), "values", data=v) for v in _VALUES), smooth=False, **options) for options in ({}, {"equal_nan": True})],
)

_PAIR = ("a", "b")
elementwise("logical_and(a, b)", "(a != 0) & (b != 0)", None, "Whether both are true.", booleans=_PAIR)
elementwise("logical_or(a, b)", "(a != 0) | (b != 0)", None, "Whether one is true.", booleans=_PAIR)
elementwise("logical_xor(a, b)", "(a != 0) != (b != 0)", None, "Whether exactly one is true.", booleans=_PAIR)
elementwise("logical_not(x)", "x == 0", None, "Whether x is not true.", booleans=("x",))

elementwise(
    "where(c, a, b)",
    "select(c == 0, b, a)",
    {"a": "select(c == 0, 0, g)", "b": "select(c == 0, g, 0)"},
    "a where c, else b; the branch not taken gets an exact zero, even where it is NaN.",
    booleans=("c",),
    more=lambda: [good(Arr((5,), "values", data=(0.0, 1.0, 0.0, -2.0, 1.0)), (5,), (5,), smooth=False)],
)
