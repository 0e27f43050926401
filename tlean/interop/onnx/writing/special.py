"""Special functions, by the formulas of the kernels: computed in float64, of which those of float32 are roundings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import coefficients as table
from .rules import Call, rule
from .writer import Writer

# Arithmetic that writes operators -----------------------------------------------------------------------------------------


class Real:
    """A value of float64, or a condition, by its name.

    Args:
        w: the writer.
        name: of the value.
    """

    def __init__(self, w: Writer, name: str) -> None:
        self.w, self.name = w, name

    def _of(self, other: Any) -> str:
        return other.name if isinstance(other, Real) else self.w.like(other, "float64")

    def _op(self, kind: str, *others: Any) -> Real:
        return Real(self.w, self.w.op(kind, self.name, *map(self._of, others)))

    def __add__(self, other: Any) -> Real:
        return self._op("Add", other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Real:
        return self._op("Sub", other)

    def __rsub__(self, other: Any) -> Real:
        return Real(self.w, self.w.op("Sub", self._of(other), self.name))

    def __mul__(self, other: Any) -> Real:
        return self._op("Mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Real:
        return self._op("Div", other)

    def __rtruediv__(self, other: Any) -> Real:
        return Real(self.w, self.w.op("Div", self._of(other), self.name))

    def __neg__(self) -> Real:
        return self._op("Neg")

    def __abs__(self) -> Real:
        return self._op("Abs")

    def __lt__(self, other: Any) -> Real:
        return self._op("Less", other)

    def __gt__(self, other: Any) -> Real:
        return self._op("Greater", other)

    def __eq__(self, other: Any) -> Real:  # type: ignore[override]
        return self._op("Equal", other)

    __hash__ = object.__hash__

    def __or__(self, other: Real) -> Real:
        return self._op("Or", other)

    def __and__(self, other: Real) -> Real:
        return self._op("And", other)

    def exp(self) -> Real:
        """e to it."""
        return self._op("Exp")

    def log(self) -> Real:
        """Its natural logarithm."""
        return self._op("Log")

    def log1p(self) -> Real:
        """That of 1 more: ln u·x/(u − 1), u = 1 + x, in which the rounding of u cancels."""
        u = self + 1.0
        return where(u == 1.0, self, u.log() * self / where(u == 1.0, 1.0, u - 1.0))

    def sqrt(self) -> Real:
        """Its square root."""
        return self._op("Sqrt")

    def sin(self) -> Real:
        """Its sine."""
        return self._op("Sin")

    def cos(self) -> Real:
        """Its cosine."""
        return self._op("Cos")

    def floor(self) -> Real:
        """The whole number below."""
        return self._op("Floor")

    def round(self) -> Real:
        """The nearest whole number."""
        return self._op("Round")

    def inverse(self) -> Real:
        """1 over it."""
        return self._op("Reciprocal")

    def power(self, exponent: float) -> Real:
        """A power of it."""
        return self._op("Pow", exponent)


def where(condition: Real, a: Any, b: Any) -> Real:
    """The one or the other, numbers or reals."""
    w = condition.w
    return Real(w, w.op("Where", condition.name, condition._of(a), condition._of(b)))


def minimum(x: Real, bound: float) -> Real:
    """The smaller one, NaN where x is."""
    return where(x > bound, bound, x)


def horner(x: Real, powers: Sequence[float]) -> Real:
    """A polynomial, from the highest power on."""
    total = x * powers[0] + powers[1]
    for number in powers[2:]:
        total = total * x + number
    return total


_HALF_ROOT = math.sqrt(0.5)
_LAST_ORDER = 60


def _by_double(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    # A rule of functions of reals.
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        def write(w: Writer, c: Call) -> Any:
            if c.dtype not in ("float32", "float64"):
                return None
            made = function(*(Real(w, x if c.dtype == "float64" else w.cast(x, "float64")) for x in c.x), **c.options)
            return None if made is None else made.name if c.dtype == "float64" else w.cast(made.name, "float32")

        rule(*names)(write)
        return function

    return register


# Of the normal distribution -----------------------------------------------------------------------------------------------


def _scaled_tail(a: Real) -> Real:
    # e^(a²)·erfc a for a ≥ 0.
    near = minimum(a, 1e18)
    return horner((near - 4.0) / (near + 4.0), table.ERFCX) / (a * 2.0 + 1.0)


def _near(x: Real) -> Real:
    return x + x * horner(x * x, table.ERF_NEAR)


@_by_double("erfcx")
def _erfcx(x: Real) -> Real:
    a = abs(x)
    tail = _scaled_tail(a)
    power = (a * a).exp()
    return where(a < 0.7, power * (1.0 - _near(x)), where(x < 0.0, power * 2.0 - tail, tail))


@_by_double("erfc")
def _erfc(x: Real) -> Real:
    a = minimum(abs(x), 40.0)
    tail = (-(a * a)).exp() * _scaled_tail(a)
    return where(a < 0.7, 1.0 - _near(x), where(x < 0.0, 2.0 - tail, tail))


@_by_double("ndtr")
def _ndtr(x: Real) -> Real:
    return _erfc(x * -_HALF_ROOT) * 0.5


@_by_double("log_ndtr")
def _log_ndtr(x: Real) -> Real:
    low = (_scaled_tail(abs(x) * _HALF_ROOT) * 0.5).log() - x * x * 0.5
    middle = _ndtr(x).log()
    return where(x > 0.0, (-(_ndtr(-x))).log1p(), where(x < -0.7, low, middle))


def _quantile(q: Real, p: Real) -> Real:
    # x ≥ 0 with Φ(x) = ½ + q, where p = ½ − q.
    v = 0.180625 - q * q
    inner = q * (horner(v, table.QUANTILE_N0) / horner(v, table.QUANTILE_D0) * q * q + math.sqrt(2 * math.pi))
    r = (-(p.log())).sqrt()
    s, t = r - 1.6, r.sqrt() - 2.23606797749979
    near = horner(s, table.QUANTILE_N1) / horner(s, table.QUANTILE_D1)
    far = horner(t, table.QUANTILE_N2) / horner(t, table.QUANTILE_D2)
    outer = where(p == 0.0, math.inf, r * math.sqrt(2) - where(r < 5.0, near, far))
    return where(abs(q) < 0.425, inner, outer)


@_by_double("ndtri")
def _ndtri(x: Real) -> Real:
    q = x - 0.5
    a = abs(q)
    y = _quantile(a, where(q < 0.0, x, 1.0 - x))
    return where(q < 0.0, -y, y)


@_by_double("erfinv")
def _erfinv(x: Real) -> Real:
    a = abs(x)
    y = _quantile(a * 0.5, (1.0 - a) * 0.5) * _HALF_ROOT
    # A product with 0 keeps the sign of a zero.
    return where(x < 0.0, -y, where(a == 0.0, x, y))


# Of Γ ---------------------------------------------------------------------------------------------------------------------


def _log_gamma(x: Real) -> Real:
    # For x > 0.
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


@_by_double("lgamma")
def _lgamma(x: Real) -> Real:
    up = x > 0.0
    y = _log_gamma(where(up, x, 1.0 - x))
    low = (math.pi / abs(_apart(x).sin())).log() - y
    return where(up, y, where(x < -1e300, math.inf, low))


@_by_double("betaln")
def _betaln(a: Real, b: Real) -> Real:
    return _lgamma(a) + _lgamma(b) - _lgamma(a + b)


@_by_double("digamma")
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
    total = q.power(-s)
    for k in range(1, count):
        total = total + (q + float(k)).power(-s)
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


@_by_double("polygamma")
def _polygamma(x: Real, n: float) -> Real | None:
    if n > _LAST_ORDER:
        return None
    order, sign, factor = int(n), 1.0 if n % 2 else -1.0, float(math.factorial(int(n)))
    up = x > 0.0
    zeta = _hurwitz(n + 1.0, where(up, x, 1.0 - x)) * factor
    turn = _apart(x)
    slopes = horner(turn.cos() / turn.sin(), _cotangents(order)) * math.pi ** (order + 1)
    low = where(x == x.floor(), math.inf if sign > 0 else math.nan, slopes * sign - zeta)
    return where(up, zeta * sign, low)


# Incomplete integrals -----------------------------------------------------------------------------------------------------
# Each side of a point over both, by a trapezoidal sum that converges exponentially, u = exp(τ − exp(−τ)) (Takahasi & Mori 1974).
_TAU = np.arange(-128, 512) / 32
_U = np.exp(_TAU - np.exp(-_TAU))
_WEIGHTS = _U * (1 + np.exp(-_TAU)) / 32
_FALL = -np.expm1(-_U)
with np.errstate(over="ignore"):
    _RISE = np.minimum(np.expm1(_U), 1e300)


def _wide(x: Real) -> Real:
    return Real(x.w, x.w.unsqueeze(x.name, -1))


def _summed(values: Real) -> Real:
    return Real(values.w, values.w.reduce("ReduceSum", (values * _WEIGHTS).name, (-1,), False))


def _share(below: Real, above: Real, upper: bool, ends: tuple[Real, Real], known: Real) -> Real:
    # 0 and 1 at the ends, NaN outside.
    part, (first, last) = (above if upper else below) / (below + above), ends
    inside = where(first, float(upper), where(last, float(not upper), part))
    return where(known, inside, math.nan)


def _within(x: Real) -> Real:
    return (x > 0.0) | (x == 0.0)


@_by_double("_gammainc")
def _gammainc(a: Real, x: Real, upper: bool) -> Real:
    p, t = _wide(a), _wide(x)
    below, above = _summed((p * -_U + t * _FALL).exp()), _summed((p * _U - t * _RISE).exp())
    return _share(below, above, upper, (x == 0.0, x == math.inf), (a > 0.0) & _within(x))


@_by_double("_betainc")
def _betainc(a: Real, b: Real, x: Real, upper: bool) -> Real:
    y = 1.0 - x
    p, q, ratio = _wide(a), _wide(b), _wide(x / y)
    below = _summed((p * -_U + (q - 1.0) * (ratio * _FALL).log1p()).exp()) / y
    above = _summed((q * -_U + (p - 1.0) * ((1.0 / ratio) * _FALL).log1p()).exp()) / x
    return _share(below, above, upper, (x == 0.0, y == 0.0), (a > 0.0) & (b > 0.0) & _within(x) & _within(y))
