"""Circular and hyperbolic functions and `erf` of float64, by operators that onnxruntime has in that dtype."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .functions import erf
from .reals import Real, horner, minimum, where

#: Points up to 1 whose arctangents are known.
_POINTS = np.arange(9) / 8
#: Up to 1/16 an arctangent has all digits by so many terms.
_TERMS = [(-1) ** k / (2 * k + 1) for k in range(8, -1, -1)]
_LARGE = 2.0**54


def _odd(function: Callable[[Real], Real]) -> Callable[[Real], Real]:
    # Of a function of sizes; zeros keep their sign.
    def whole(x: Real) -> Real:
        y = function(abs(x))
        return where(x == 0.0, x, where(x < 0.0, -y, y))

    return whole


def _tan(x: Real) -> Real:
    return x.sin() / x.cos()


@_odd
def _atan(a: Real) -> Real:
    w, above = a.w, a > 1.0
    x = where(above, 1.0 / where(above, a, 1.0), a)
    place = where(x == x, (x * 8.0).round(), 0.0).cast("int64")
    c = place.cast("float64") * 0.125
    r = (x - c) / (x * c + 1.0)
    known = Real(w, w.op("Gather", w.array(np.arctan(_POINTS)), place.name))
    y = known + r * horner(r * r, _TERMS)
    return where(above, math.pi / 2 - y, y)


def _asin(x: Real) -> Real:
    return _atan(x / ((1.0 - x) * (x + 1.0)).sqrt())


def _acos(x: Real) -> Real:
    return _atan(((1.0 - x) / (x + 1.0)).sqrt()) * 2.0


def _halves(a: Real) -> Real:
    # The root of e to a size, whose square may leave the range where half of it does not.
    return (a * 0.5).exp()


@_odd
def _sinh(a: Real) -> Real:
    e = minimum(a, 22.0).expm1()
    return where(a < 22.0, (e + e / (e + 1.0)) * 0.5, _halves(a) * 0.5 * _halves(a))


def _cosh(x: Real) -> Real:
    a = abs(x)
    e = minimum(a, 22.0).exp()
    return where(a < 22.0, (e + 1.0 / e) * 0.5, _halves(a) * 0.5 * _halves(a))


@_odd
def _asinh(a: Real) -> Real:
    x = minimum(a, _LARGE)
    near = (x + x * x / ((x * x + 1.0).sqrt() + 1.0)).log1p()
    return where(a < _LARGE, near, a.log() + math.log(2))


def _acosh(x: Real) -> Real:
    t = minimum(x, _LARGE) - 1.0
    return where(x < _LARGE, (t + (t * 2.0 + t * t).sqrt()).log1p(), x.log() + math.log(2))


@_odd
def _atanh(a: Real) -> Real:
    inside = where(a == 1.0, 0.0, a)
    return where(a == 1.0, math.inf, (inside * 2.0 / (1.0 - inside)).log1p() * 0.5)


#: The record's name -> the function.
WIDE: dict[str, Callable[[Real], Real]] = {
    "acos": _acos, "acosh": _acosh, "asin": _asin, "asinh": _asinh, "atan": _atan, "atanh": _atanh, "cosh": _cosh, "erf": erf,
    "sinh": _sinh, "tan": _tan,
}  # fmt: skip
