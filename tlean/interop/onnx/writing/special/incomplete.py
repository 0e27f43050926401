"""The incomplete gamma and beta functions, both tails of each: the one up to the mean as a density times an integral, or as a series.

The integral is that of the tail over the density at its end, by u, the logarithm of how far a point is from there: a trapezoidal sum by
the logarithm of u, whose error falls exponentially with its step. Sources: DiDonato & Morris 1986 and 1992.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from . import coefficients as table
from .functions import erfc, log_gamma
from .reals import Real, by_double, horner, maximum, minimum, where

_U = np.exp(np.arange(-432, 360) / 12)
#: The first one is those of all points before it, where the integral's function is 1.
_WEIGHTS = _U / 12
_WEIGHTS[0] /= -math.expm1(-1 / 12)
_FALL = -np.expm1(-_U)
#: u − 1 + e^(−u) and e^u − 1 − u, where u is small by their series.
_SERIES = np.array([np.sum([s**k * _U**k / math.factorial(k) for k in range(2, 14)], axis=0) for s in (-1.0, 1.0)])
with np.errstate(over="ignore", invalid="ignore"):
    _FALL_LESS = np.where(_U < 0.5, _SERIES[0], _U - _FALL)
    _RISE_MORE = np.minimum(np.where(_U < 0.5, _SERIES[1], np.expm1(_U) - _U), 1e300)
_LOG_ROOT = 0.5 * math.log(2 * math.pi)
#: Terms of a series in powers of what is at most 1.1, with factorials below.
_K = np.arange(1.0, 31.0)
#: From here on Stirling's series has all digits.
_FAR = 24
_STIRLING = (-1 / 156, 691 / 360360, -1 / 1188, 1 / 1680, -1 / 1260, 1 / 360, -1 / 12)


class Tails(NamedTuple):
    """Of a distribution at a point: both tails, their logarithms, and the density by the logarithm of the point over each tail."""

    lower: Real
    upper: Real
    log_lower: Real
    log_upper: Real
    rate_lower: Real
    rate_upper: Real


def log_gamma_small(z: Real) -> Real:
    """ln Γ(1 + z) for 0 ≤ z ≤ 1, with its digits near 0."""
    low = z <= 0.5
    at = where(low, z, z - 1.0)
    return at * horner(at, table.LGAMMA) - where(low, z, 0.0).log1p()


def _log_star(a: Real) -> Real:
    # ln of Γ(a)·e^a·a^(½ − a)/√(2π) for a ≥ 1.
    near = minimum(a, _FAR)
    close = log_gamma(near) + near - _LOG_ROOT - (near - 0.5) * near.log()
    inverse = 1.0 / a
    return where(a < _FAR, close, -horner(inverse * inverse, _STIRLING) * inverse)


def _log1p_less(d: Real, whole: Real) -> Real:
    # d − ln(1 + d) for d > −1, where `whole` is 1 + d with the bits that d lacks near −1.
    r = d / (d + 2.0)
    z = r * r
    near = r * (d - z * 2.0 * horner(z, [1 / k for k in range(33, 1, -2)]))
    return where((d > 0.4) | (d < -0.3), d - whole.log(), near)


def _integral(powers: Real) -> Real:
    return (powers.exp() * _WEIGHTS).sum(-1)


class _Side(NamedTuple):
    # A tail, its logarithm, the density over it, and where it is the lower one.
    tail: Real
    log: Real
    rate: Real
    below: Real

    def with_rest(self, density: Real, rest: Real | None = None) -> Tails:
        # The density by its logarithm; the other tail where it is known.
        small = minimum(self.tail, 1.0)
        rest = 1.0 - small if rest is None else rest
        pairs = [(small, rest), (self.log, where(small < 0.5, (-small).log1p(), rest.log())), (self.rate, density.exp() / rest)]
        return Tails(*(where(self.below, *sides) for a, b in pairs for sides in ((a, b), (b, a))))


# Gamma ----------------------------------------------------------------------------------------------------------------------


def _gamma_density(a: Real, x: Real) -> Real:
    # ln of x^a e^(−x)/Γ(a).
    few = minimum(a, 1.0)
    low = few.log() + few * x.log() - x - log_gamma_small(few)
    many = maximum(a, 1.0)
    high = many.log() * 0.5 - many * _log1p_less((x - many) / many, x / many) - _LOG_ROOT - _log_star(many)
    return where(a < 1.0, low, high)


def gamma_tails(a: Real, x: Real) -> Tails:
    """P(a, x) and Q(a, x) for a and x above 0, neither of them infinite."""
    below, density = x <= a, _gamma_density(a, x)
    p, t = a.wide(), x.wide()
    integral = _integral((t - p) * where(below.wide(), _U, -_U) - t * where(below.wide(), _FALL_LESS, _RISE_MORE))
    log_small = density + integral.log()
    usual = _Side(log_small.exp(), log_small, 1.0 / integral, below).with_rest(density)
    # Γ(1 + a) P = x^a (1 + a Σ (−x)^k/(k! (a + k))); Q is 1 less that, each part by itself.
    few, near = minimum(a, 0.75), minimum(x, 1.1)
    power = few * near.log() - log_gamma_small(few)
    factorials = np.array([math.factorial(int(k)) for k in _K])
    terms = near.wide().power(_K) * ((-1.0) ** _K / factorials) / (few.wide() + _K)
    series = few * terms.sum(-1)
    upper = -(power.expm1() + power.exp() * series)
    log_lower = power + series.log1p()
    lower, rise = log_lower.exp(), density.exp()
    direct = Tails(lower, upper, log_lower, upper.log(), (density - log_lower).exp(), rise / upper)
    chosen = (x < 1.1) & (a < 0.75)
    return Tails(*(where(chosen, d, u) for d, u in zip(direct, usual, strict=True)))


@by_double("_gammainc")
def _gammainc(a: Real, x: Real, upper: bool) -> Real:
    unknown = ~((a >= 0.0) & (x >= 0.0)) | ((a == 0.0) & (x == 0.0)) | ((a == math.inf) & (x == math.inf))
    first, last = (x == 0.0) | (a == math.inf), (a == 0.0) | (x == math.inf)
    plain = first | last | unknown
    tails = gamma_tails(where(plain, 1.0, a), where(plain, 1.0, x))
    inside = where(first, float(upper), where(last, float(not upper), tails.upper if upper else tails.lower))
    return where(unknown, math.nan, inside)


# Beta -----------------------------------------------------------------------------------------------------------------------


def _log_share(x: Real, y: Real) -> Real:
    # ln x for x = 1 − y.
    return where(x < 0.5, x.log(), (-y).log1p())


def _beta_density(a: Real, b: Real, x: Real, y: Real, excess: Real) -> Real:
    # ln of x^a y^b/B(a, b), where the excess is b·x − a·y.
    p, q = maximum(a, 1.0), maximum(b, 1.0)
    s = p + q
    exponent = p * _log1p_less(excess / p, x * s / p) + q * _log1p_less(-excess / q, y * s / q)
    both = (p / s * q).log() * 0.5 - exponent - _LOG_ROOT + _log_star(s) - _log_star(p) - _log_star(q)
    # The smaller one m: Γ(m) = Γ(1 + m)/m, and Γ(s)/Γ(M) with the powers taken apart.
    first = a < b
    m, most, s = minimum(where(first, a, b), 1.0), where(first, b, a), a + b
    log_x, log_y = _log_share(x, y), _log_share(y, x)
    by_m, by_most = where(first, log_x, log_y), where(first, log_y, log_x)
    few, near = minimum(most, 1.0), minimum(s, 2.0)
    total = where(near <= 1.0, log_gamma_small(minimum(near, 1.0)) - near.log(), log_gamma_small(maximum(near - 1.0, 0.0)))
    low = m.log() + few.log() + m * by_m + few * by_most - log_gamma_small(m) + total - log_gamma_small(few)
    many = maximum(most, 1.0)
    s = m + many
    high = m.log() + m * (by_m + s.log() - 1.0) + many * (by_most + (m / many).log1p()) - log_gamma_small(m)
    high = high + (many / s).log() * 0.5 + _log_star(s) - _log_star(many)
    return where((a >= 1.0) & (b >= 1.0), both, where(most < 1.0, low, high))


def log_gamma_step(a: Real, m: Real) -> Real:
    """ln Γ(a + m) − ln Γ(a) for a, m > 0, each part of the order of m."""
    places = a.wide() + np.arange(float(_FAR))
    less = where(places < float(_FAR), (m.wide() / places).log1p(), 0.0).sum(-1)
    a = a + maximum(-(a - float(_FAR)).floor(), 0.0)
    total = less * 0.0
    # (a + m)^−k − a^−k is (1/(a + m) − 1/a) times a sum of powers.
    p, q = 1.0 / (a + m), 1.0 / a
    powers, last = total + 1.0, total + 1.0
    for number in _STIRLING[::-1]:
        total = total - powers * number
        for _ in range(2):
            last = last * q
            powers = powers * p + last
    return (a - 0.5) * (m / a).log1p() + m * ((a + m).log() - 1.0) - m * p * q * total - less


def _near_one(a: Real, b: Real, y: Real) -> Real:
    # 1 less y^b (1 + b Σ (1 − a)(2 − a)…(k − a) y^k/(k! (b + k)))/(b B(a, b)) for small y and a y < 0.7, b < 1, each part by itself.
    term = y * 0.0 + 1.0
    series, power = y * 0.0, b * y.log() - log_gamma_small(b) + log_gamma_step(a, b)
    for k in range(1, 60):
        term = term * y * ((k - a) / k)
        series = series + term / (b + float(k))
    return -(power.expm1() + power.exp() * b * series)


def beta_excess(a: Real, b: Real, x: Real) -> Real:
    """b·x − a·(1 − x), the product and the sum as pairs: what the difference takes away has its bits."""
    s = a + b
    v = s - a
    low, parts = (a - (s - v)) + (b - v), []
    for z in (x, s):
        far = z * 134217729.0
        high = far - (far - z)
        parts += [high, z - high]
    p = x * s
    rest = ((parts[0] * parts[2] - p) + parts[0] * parts[3] + parts[1] * parts[2]) + parts[1] * parts[3]
    exact = (p - a) + (rest + x * low)
    return where(s < 1e150, exact, x * b - (1.0 - x) * a)


def beta_tails(a: Real, b: Real, x: Real, y: Real, excess: Real | None = None) -> Tails:
    """I(a, b, x) and 1 less it for y = 1 − x, all above 0 and finite."""
    huge = (a > 1e200) & (b > 1e200)
    scale = where(huge, 2.0**-200, 1.0)
    a, b = a * scale, b * scale
    excess = x * b - y * a if excess is None else excess * scale
    below = excess <= 0.0
    p, q, s, t = where(below, a, b), where(below, b, a), where(below, x, y), where(below, y, x)
    over = where(below, excess, -excess)
    density = _beta_density(p, q, s, t, over)
    # Near the mean of large parameters in parts that do not cancel.
    ratio, less = (s / t).wide(), (q - 1.0).wide()
    fall = ratio * _FALL
    apart = ((over - s) / t).wide() * _U - less * (ratio * _FALL_LESS + _log1p_less(fall, fall + 1.0))
    integral = _integral(where((q < 2.0).wide(), p.wide() * -_U + less * fall.log1p(), apart)) / t
    log_small = density + integral.log()
    close = (t < 1e-3) & (p * t < 0.7) & (q < 1.0)
    one, some = minimum(q, 1.0), where(close, t, 1e-4)
    near = _near_one(where(close, p, 1.0), one, some)
    small = where(close, near, log_small.exp())
    # The other tail by itself where this one is most of it.
    other = (small > 0.5) & (p < 0.7) & (s <= 0.5) & (q * s < 0.7)
    few = where(other, p, 0.5)
    rest = where(other, _near_one(where(other, q, 1.0), few, where(other, s, 0.25)), 1.0 - small)
    log_small = where(close, near.log(), log_small)
    return _Side(small, log_small, where(close, density.exp() / small, 1.0 / integral), below).with_rest(density, rest)


@by_double("_betainc")
def _betainc(a: Real, b: Real, x: Real, upper: bool) -> Real:
    y = 1.0 - x
    known = (a >= 0.0) & (b >= 0.0) & (x >= 0.0) & (y >= 0.0)
    unknown = ~known | ((a == 0.0) & (b == 0.0)) | ((a == math.inf) & (b == math.inf))
    # All of it is at 0 where a = 0 or b = ∞, at 1 where b = 0 or a = ∞.
    at_zero, at_one = (a == 0.0) | (b == math.inf), (b == 0.0) | (a == math.inf)
    last = (y == 0.0) | ((x > 0.0) & at_zero)
    first = (x == 0.0) | at_one
    plain = first | last | unknown
    a, b, x = where(plain, 1.0, a), where(plain, 1.0, b), where(plain, 0.5, x)
    tails = beta_tails(a, b, x, 1.0 - x, beta_excess(a, b, x))
    inside = where(last, float(not upper), where(first, float(upper), tails.upper if upper else tails.lower))
    return where(unknown, math.nan, inside)


# Student --------------------------------------------------------------------------------------------------------------------

#: From so many degrees of freedom on it is the normal distribution's, with a correction.
MANY = 1e10


@by_double("_student")
def _student(v: Real, z: Real, upper: bool) -> Real:
    known = (v > 0.0) & (z == z)
    z = where(known, -z if upper else z, 1.0)
    v = where(known, v, 1.0)
    # The normal distribution, of a number with the first correction.
    most = where(v == math.inf, 1e300, v)
    scaled = z * (1.0 - 0.25 / most) / (z / most * z * 0.5 + 1.0).sqrt()
    normal = erfc(where((v == math.inf) | (abs(z) > 1e100), z, scaled) * -math.sqrt(0.5)) * 0.5
    few, far = minimum(v, MANY), (abs(z) == math.inf) | (z == 0.0)
    at = where(far, 1.0, z)
    q, r = 1.0 / (at / few * at + 1.0), 1.0 / (few / at / at + 1.0)
    ends = (q == 0.0) | (r == 0.0)
    inner = beta_tails(few * 0.5, few * 0.0 + 0.5, where(ends, 0.5, q), where(ends, 0.5, r)).lower
    half = where(q == 0.0, 0.0, where(r == 0.0, 1.0, inner)) * 0.5
    half = where(z == 0.0, 0.5, where(abs(z) == math.inf, 0.0, half))
    t = where(v > MANY, normal, where(z > 0.0, 1.0 - half, half))
    return where(known, t, math.nan)
