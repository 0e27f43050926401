"""Functions of formulas beyond the first ones, for arrays of floats of any width: NumPy's where it has them, and series."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor, trunc
from statistics import NormalDist
from typing import Any

import numpy as np

from . import scalars

_PI = np.longdouble("3.14159265358979323846264338327950288")
#: B₂, B₄, …: the Bernoulli numbers.
_BERNOULLI = [Fraction(*f) for f in ((1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510), (43867, 798))]


def _wide(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    # Computes in the widest format there is; the result has the argument's.
    def applied(x: Any, *options: Any) -> np.ndarray:
        array = np.asarray(x)
        return function(array.astype(np.longdouble), *options).astype(array.dtype)

    return applied


def _long(value: Fraction) -> Any:
    return np.longdouble(value.numerator) / np.longdouble(value.denominator)


def _scaled_tail(x: Any) -> Any:
    # e^(x²)·erfc x for x ≥ 2, by its continued fraction from the inside: x + (1/2)/(x + (2/2)/(x + …)).
    total = x
    for k in range(120, 0, -1):
        total = x + np.longdouble(k) / 2 / total
    return 1 / (total * np.sqrt(_PI))


@_wide
def erfcx(x: Any) -> Any:
    """e^(x²)·erfc x. Source: Abramowitz & Stegun 1964, equation 7.1.14."""
    near = np.minimum(x, 2)
    return np.where(x > 2, _scaled_tail(np.maximum(x, 2)), np.exp(near * near) * (1 - scalars.erf(near)))


@_wide
def erfc(x: Any) -> Any:
    """1 − erf x."""
    far = np.maximum(x, 2)
    return np.where(x > 2, np.exp(-far * far) * _scaled_tail(far), 1 - scalars.erf(x))


@_wide
def ndtr(x: Any) -> Any:
    """The normal distribution function."""
    return erfc(-x / np.sqrt(np.longdouble(2))) / 2


@_wide
def log_ndtr(x: Any) -> Any:
    """The logarithm of the normal distribution function."""
    low, high = np.minimum(x, 0), np.maximum(x, 0)
    return np.where(x > 0, np.log1p(-ndtr(-high)), np.log(erfcx(-low / np.sqrt(np.longdouble(2))) / 2) - low * low / 2)


@_wide
def ndtri(p: Any) -> Any:
    """The inverse of the normal distribution function: Newton's method on the logarithm of the smaller tail."""
    tail = np.where(p < 0.5, p, 1 - p)
    inside = (tail > 0) & (tail <= 0.5)
    tail = np.where(inside, tail, 0.25)
    x = np.vectorize(NormalDist().inv_cdf, otypes=[np.longdouble])(tail.astype(np.float64))
    for _ in range(3):
        hazard = np.exp(-x * x / 2 - log_ndtr(x)) / np.sqrt(2 * _PI)
        x = x - (log_ndtr(x) - np.log(tail)) / hazard
    ends = np.where(p == 0, -np.inf, np.where(p == 1, np.inf, np.nan))
    return np.where(inside, np.where(p < 0.5, x, -x), ends)


@_wide
def erfinv(x: Any) -> Any:
    """The inverse of the error function: that of the normal distribution, then Newton's method where that has lost its last places."""
    far = ndtri((1 - np.abs(x)) / 2) / -np.sqrt(np.longdouble(2))
    near = np.where(np.abs(x) < 0.5, np.abs(x), 0)
    y = near * np.sqrt(_PI) / 2
    for _ in range(8):
        y = y - (scalars.erf(y) - near) * np.sqrt(_PI) / 2 * np.exp(y * y)
    return np.copysign(np.where(np.abs(x) < 0.5, y, far), x)


def _moved(x: Any, least: float) -> tuple[Any, Any, Any]:
    # (x moved up by whole numbers to at least `least`, one step at a time: each step's x in turn, and whether it was taken).
    steps, taken = [], []
    while np.any(x < least):
        steps.append(x)
        taken.append(x < least)
        x = np.where(x < least, x + 1, x)
    return x, steps, taken


@_wide
def lgamma(x: Any) -> Any:
    """ln |Γ(x)|, by recurrence to large x and Stirling's series there; below 0 by reflection."""
    positive = np.where(x > 0, x, 1 - x)
    large, steps, taken = _moved(np.where(np.isfinite(positive), positive, 1), 20)
    product = np.ones_like(large)
    for step, used in zip(steps, taken, strict=True):
        product = np.where(used, product * step, product)
    series = sum(_long(b / (2 * k * (2 * k - 1))) / large ** (2 * k - 1) for k, b in enumerate(_BERNOULLI, 1))
    value = (large - np.longdouble(0.5)) * np.log(large) - large + np.log(2 * _PI) / 2 + series - np.log(product)
    value = np.where(np.isfinite(positive), value, np.where(np.isnan(x), x, np.inf))
    reflected = np.log(_PI / np.abs(np.sin(_PI * (x - np.round(x))))) - value
    poles = (x <= 0) & ((x == np.floor(x)) | np.isinf(x))
    return np.where(poles, np.inf, np.where(x > 0, value, reflected))


@_wide
def digamma(x: Any) -> Any:
    """The derivative of ln Γ(x), by recurrence to large x and its asymptotic series there; below 0 by reflection."""
    positive = np.where(x > 0, x, 1 - x)
    large, steps, taken = _moved(np.where(np.isfinite(positive), positive, 1), 20)
    value = np.log(large) - 1 / (2 * large) - sum(_long(b / (2 * k)) / large ** (2 * k) for k, b in enumerate(_BERNOULLI, 1))
    for step, used in zip(steps, taken, strict=True):
        value = value - np.where(used, 1 / step, 0)
    value = np.where(np.isfinite(positive), value, np.where(np.isnan(x), x, np.inf))
    reflected = value - _PI / np.tan(_PI * (x - np.round(x)))
    poles = np.where(x == 0, np.copysign(np.inf, -x), np.nan)
    return np.where(x > 0, value, np.where((x == np.floor(x)) | np.isinf(x), poles, reflected))


@_wide
def polygamma(x: Any, n: float) -> Any:
    """The derivative of order n of digamma: a sum of powers, upwards from x, and the Euler-Maclaurin formula for its rest."""
    poles = (x <= 0) & ((x == np.floor(x)) | np.isinf(x))
    inside = np.isfinite(x) & ~poles
    large, steps, taken = _moved(np.where(inside, x, 1), 20 + n)
    total = large**-n / n + large ** -(n + 1) / 2
    factor = np.longdouble(n + 1)
    for k, b in enumerate(_BERNOULLI, 1):
        total = total + _long(b) / _factorial(2 * k) * factor * large ** -(n + 2 * k)
        factor = factor * (n + 2 * k) * (n + 2 * k + 1)
    for step, used in zip(steps, taken, strict=True):
        total = total + np.where(used, step ** -int(n + 1), 0)
    value = (1 if n % 2 else -1) * _factorial(int(n)) * total
    at_poles = np.inf if n % 2 else np.nan
    return np.where(inside, value, np.where(poles, at_poles, np.where(np.isnan(x), x, 0)))


def _factorial(n: int) -> Any:
    return np.prod(np.arange(1, n + 1, dtype=np.longdouble))


def _real(name: str, function: Any) -> Callable[..., Any]:
    def applied(*args: Any) -> Any:
        if any(np.asarray(a).dtype == object for a in args):
            raise scalars.NotExactError(f"{name} is not a rational function")
        return function(*args)

    return applied


#: What each means for arrays of floats.
ARRAYS: dict[str, Callable[..., Any]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.rint,
    "copysign": np.copysign,
    "fmod": np.fmod,
    "power": np.power,
    **{
        name: _real(name, function)  # type: ignore[arg-type]
        for name, function in {
            "hypot": np.hypot, "cbrt": np.cbrt, "exp2": np.exp2, "log2": np.log2, "log10": np.log10,
            "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
            "sinh": np.sinh, "cosh": np.cosh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
            "erfc": erfc, "erfcx": erfcx, "erfinv": erfinv, "ndtr": ndtr, "log_ndtr": log_ndtr, "ndtri": ndtri,
            "lgamma": lgamma, "digamma": digamma, "polygamma": polygamma,
        }.items()
    },
}  # fmt: skip

#: What those that are rational functions, piece by piece, mean for fractions.
FRACTIONS: dict[str, Callable[..., Any]] = {
    "floor": floor,
    "ceil": ceil,
    "trunc": trunc,
    "round": round,
    "copysign": lambda a, b: abs(a) if b >= 0 else -abs(a),
    "fmod": lambda a, b: a - b * trunc(a / b),
}
