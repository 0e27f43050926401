"""Special functions, by the formulas of the kernels: computed in float64, of which those of float32 are roundings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from . import coefficients as table
from .reals import Real, by_double, horner, minimum, where

_HALF_ROOT = math.sqrt(0.5)
_LAST_ORDER, _LAST_FACTORIAL = 60, 170


# Of the normal distribution -----------------------------------------------------------------------------------------------


def _scaled_tail(a: Real) -> Real:
    # e^(a²)·erfc a for a ≥ 0.
    near = minimum(a, 1e18)
    return horner((near - 4.0) / (near + 4.0), table.ERFCX) / (a * 2.0 + 1.0)


def _near(x: Real) -> Real:
    return x + x * horner(x * x, table.ERF_NEAR)


@by_double("erfcx")
def _erfcx(x: Real) -> Real:
    a = abs(x)
    tail = _scaled_tail(a)
    power = (a * a).exp()
    return where(a < 0.7, power * (1.0 - _near(x)), where(x < 0.0, power * 2.0 - tail, tail))


@by_double("erfc")
def erfc(x: Real) -> Real:
    """The complement of the error function."""
    a = minimum(abs(x), 40.0)
    tail = (-(a * a)).exp() * _scaled_tail(a)
    return where(a < 0.7, 1.0 - _near(x), where(x < 0.0, 2.0 - tail, tail))


def erf(x: Real) -> Real:
    """The error function."""
    a = abs(x)
    near = minimum(a, 1.0)
    y = where(a < 0.7, _near(near), 1.0 - erfc(a))
    return where(x == 0.0, x, where(x < 0.0, -y, y))


@by_double("ndtr")
def _ndtr(x: Real) -> Real:
    return erfc(x * -_HALF_ROOT) * 0.5


@by_double("log_ndtr")
def _log_ndtr(x: Real) -> Real:
    low = (_scaled_tail(abs(x) * _HALF_ROOT) * 0.5).log() - x * x * 0.5
    middle = _ndtr(x).log()
    return where(x > 0.0, (-(_ndtr(-x))).log1p(), where(x < -0.7, low, middle))


def quantile(q: Real, p: Real) -> Real:
    """x ≥ 0 with Φ(x) = ½ + q, where p = ½ − q."""
    v = 0.180625 - q * q
    inner = q * (horner(v, table.QUANTILE_N0) / horner(v, table.QUANTILE_D0) * q * q + math.sqrt(2 * math.pi))
    r = (-(p.log())).sqrt()
    s, t = r - 1.6, r.sqrt() - 2.23606797749979
    near = horner(s, table.QUANTILE_N1) / horner(s, table.QUANTILE_D1)
    far = horner(t, table.QUANTILE_N2) / horner(t, table.QUANTILE_D2)
    outer = where(p == 0.0, math.inf, r * math.sqrt(2) - where(r < 5.0, near, far))
    return where(abs(q) < 0.425, inner, outer)


@by_double("ndtri")
def _ndtri(x: Real) -> Real:
    q = x - 0.5
    a = abs(q)
    y = quantile(a, where(q < 0.0, x, 1.0 - x))
    return where(q < 0.0, -y, y)


@by_double("erfinv")
def _erfinv(x: Real) -> Real:
    a = abs(x)
    y = quantile(a * 0.5, (1.0 - a) * 0.5) * _HALF_ROOT
    # A product with 0 keeps the sign of a zero.
    return where(x < 0.0, -y, where(a == 0.0, x, y))


# Of Γ ---------------------------------------------------------------------------------------------------------------------


def log_gamma(x: Real) -> Real:
    """ln Γ(x) for x > 0."""
    z = where(x < 0.5, x, where(x < 1.35, x - 1.0, where(x < 2.5, x - 2.0, x - 3.0)))
    v = where(x < 0.5, x * (x + 1.0), where(x < 1.35, x, where(x < 2.5, 1.0, where(x < 3.5, x - 1.0, x))))
    c = where(x < 1.35, -1.0, where(x < 2.5, 0.0, where(x < 3.5, 1.0, x - 0.5)))
    inverse, log = x.inverse(), v.log()
    far = (horner(inverse * inverse, table.STIRLING) * inverse + 0.9189385332046728) - x
    y = log * c + where(x < 3.5, z * horner(z, table.LGAMMA), far)
    return where(x < 1e300, y, x * (log - 1.0))


def _apart(x: Real) -> Real:
    # What lies between x and the nearest whole number, times π.
    return (x - x.round()) * math.pi


@by_double("lgamma")
def _lgamma(x: Real) -> Real:
    up = x > 0.0
    y = log_gamma(where(up, x, 1.0 - x))
    low = (math.pi / abs(_apart(x).sin())).log() - y
    return where(up, y, where(x < -1e300, math.inf, low))


@by_double("betaln")
def _betaln(a: Real, b: Real) -> Real:
    # Where Stirling's series holds for the larger one, its large terms are taken apart; once more where it holds for both.
    most, m = where(a > b, a, b), where(a > b, b, a)
    s, up = most + m, m > 0.0
    high, low = where(up & (most > 3.5), most, 4.0), where(up, m, 4.0)
    total = high + low
    log1, logs = (high - 0.5) * (low / high).log1p(), total.log()
    rest = _stirling(high) - _stirling(total)
    mid = log_gamma(low) + ((low - log1) - low * logs) + rest
    far = ((low - 0.5) * (low / total).log() - log1) - 0.5 * logs + (_stirling(low) + rest + 0.9189385332046728)
    near = _lgamma(a) + _lgamma(b) - _lgamma(s)
    usual = where(up & (most > 3.5), where(low < 3.5, mid, far), near)
    return where(up & (most == math.inf), -most, usual)


def _stirling(x: Real) -> Real:
    inverse = x.inverse()
    return horner(inverse * inverse, table.STIRLING) * inverse


@by_double("digamma")
def _digamma(x: Real) -> Real:
    up = x > 0.0
    at = where(up, x, 1.0 - x)
    near = where(at < 1.0, at + 1.0, where(at < 2.25, at, at - 1.0))
    step = where(at < 1.0, -1.0 / at, where(at < 2.25, 0.0, 1.0 / near))
    close = ((near - 1.4616321449683622) - 9.549995429965697e-17) * horner(near - 1.5, table.DIGAMMA) + step
    inverse = at.inverse()
    z = inverse * inverse
    y = where(at < 3.0, close, at.log() - (z * horner(z, table.DIGAMMA_FAR) + inverse * 0.5))
    turn = _apart(x)
    low = where((x == x.floor()) | (x < -4503599627370496.0), math.nan, y - turn.cos() / turn.sin() * math.pi)
    return where(up, y, where(x == 0.0, -(x.inverse()), low))


def _hurwitz(s: float, q: Real) -> Real:
    # Σ (q + k)^−s for q > 0: its first terms, then the Euler-Maclaurin formula.
    count = int(10 + s)
    total = (q.wide() + np.arange(float(count))).power(-s).sum(-1)
    q = q + float(count)
    power = q.power(-s)
    total = total + q.power(1.0 - s) / (s - 1.0) + power * 0.5
    square, factor = q * q, s / q
    for k, b in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510), 1):
        total = total + power * factor * (b / math.factorial(2 * k))
        factor = factor * ((s + 2 * k - 1) * (s + 2 * k)) / square
    return total


def _cotangents(n: int) -> Sequence[float]:
    # (−1)ⁿ times the derivative of order n of π cot(πx): a polynomial of the cotangent, from the highest power on.
    powers = [0.0, 1.0]
    for _ in range(n):
        after = [0.0] * (len(powers) + 1)
        for j, value in enumerate(powers):
            if j:
                after[j - 1] += j * value
                after[j + 1] += j * value
        powers = after
    return powers[::-1]


@by_double("polygamma")
def _polygamma(x: Real, n: float) -> Real:
    order, sign = int(n), 1.0 if n % 2 else -1.0
    factor = float(math.factorial(order)) if order <= _LAST_FACTORIAL else math.inf
    up = x > 0.0
    zeta = _hurwitz(n + 1.0, where(up, x, 1.0 - x)) * factor
    if n > _LAST_ORDER:
        # Below 0 the kernels have no formula either.
        return where(up, zeta * sign, where(x == x.floor(), math.inf if sign > 0 else math.nan, math.nan))
    turn = _apart(x)
    slopes = horner(turn.cos() / turn.sin(), _cotangents(order)) * math.pi ** (order + 1)
    low = where(x == x.floor(), math.inf if sign > 0 else math.nan, slopes * sign - zeta)
    return where(up, zeta * sign, low)
