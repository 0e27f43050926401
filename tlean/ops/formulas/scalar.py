"""Functions of plain numbers that Python's `math` lacks, or that raise there where IEEE has an infinity or a NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Rational
from typing import Any


def ieee(
    function: Callable[..., float], poles: dict[float, float] | None = None, outside: float = math.nan, odd: bool = False
) -> Callable[..., float]:
    """A function of `math` with IEEE's results in place of its exceptions.

    Args:
        function: the function.
        poles: its infinities, by argument.
        outside: its value elsewhere outside its domain.
        odd: whether what overflows has the sign of the argument.
    """

    def wrapped(*args: float) -> float:
        try:
            return function(*args)
        except OverflowError:
            return math.copysign(math.inf, args[0]) if odd else math.inf
        except ValueError:
            return (poles or {}).get(args[0], outside)

    return wrapped


def is_fraction(x: Any) -> bool:
    """Whether a number is an exact one that may lie between the integers. Such a number comes with its class: none is imported here."""
    return isinstance(x, Rational) and not isinstance(x, Integral)


def rounding(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of `math` that rounds, on floats (infinities, NaN and the sign of zero are kept) and on Fractions."""

    def wrapped(x: Any) -> Any:
        if is_fraction(x):
            return type(x)(function(x))
        return math.copysign(float(function(x)), x) if math.isfinite(x) else x

    return wrapped


def fmod(a: Any, b: Any) -> Any:
    """The remainder of a/b with the sign of a."""
    if is_fraction(a) or is_fraction(b):
        return a - b * math.trunc(a / b)
    return math.nan if b == 0 or math.isinf(a) else math.fmod(a, b)


def copysign(a: Any, b: Any) -> Any:
    """|a| with the sign of b."""
    if is_fraction(a) or is_fraction(b):
        return abs(a) if b >= 0 else -abs(a)
    return math.copysign(a, b)


def erfcx(x: float) -> float:
    """e^(x²)·erfc x: below 20 by its factors, beyond by the asymptotic series."""
    if not x > 20:
        return x if x != x else math.exp(x * x) * math.erfc(x) if x > -26.6 else math.inf
    total = term = 1.0
    for k in range(1, 12):
        term *= -(2 * k - 1) / (2 * x * x)
        total += term
    return total / (x * math.sqrt(math.pi))


def ndtr(x: float) -> float:
    """The normal distribution function."""
    return 0.5 * math.erfc(-math.sqrt(0.5) * x)


def log_ndtr(x: float) -> float:
    """Its logarithm."""
    if x > 0:
        return math.log1p(-ndtr(-x))
    return x if x != x else -math.inf if x == -math.inf else math.log(0.5 * erfcx(-math.sqrt(0.5) * x)) - 0.5 * x * x


def ndtri(p: float) -> float:
    """The argument whose normal distribution function is p."""
    if not 0 < p < 1:
        return -math.inf if p == 0 else math.inf if p == 1 else math.nan
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)


def erfinv(x: float) -> float:
    """The argument whose error function is x: by the normal distribution, then one step of Newton's method."""
    if abs(x) < 0.5:
        y = math.sqrt(math.pi) / 2 * x if abs(x) < 1e-8 else math.sqrt(0.5) * ndtri(0.5 + 0.5 * x)
        return y - (math.erf(y) - x) * (math.sqrt(math.pi) / 2 * math.exp(y * y))
    return math.copysign(math.sqrt(0.5) * ndtri(0.5 * (1 - abs(x))), x) if x == x else x


#: B₂ₖ, the Bernoulli numbers.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def digamma(x: float) -> float:
    """ψ(x), the derivative of ln Γ: by recurrence to large x and the asymptotic series there; reflected below 0."""
    if x <= 0:
        if x == 0:
            return math.copysign(math.inf, -math.copysign(1.0, x))
        return math.nan if x == math.floor(x) or x == -math.inf else digamma(1 - x) - math.pi / math.tan(math.pi * (x - round(x)))
    if not math.isfinite(x):
        return x
    total = 0.0
    while x < 12:
        total -= 1 / x
        x += 1
    series = sum(b / (2 * k * x ** (2 * k)) for k, b in enumerate(_BERNOULLI, 1))
    return total + math.log(x) - 0.5 / x - series


def polygamma(x: float, n: float) -> float:
    """The derivative of order n ≥ 1 of ψ, by recurrence upwards and the Euler-Maclaurin formula."""
    if x <= 0 and x == math.floor(x):
        return math.inf if n % 2 else math.nan
    if not math.isfinite(x):
        return 0.0 if x > 0 else math.nan
    s, total = n + 1, 0.0
    while x < 12 + n:
        total += x**-s
        x += 1
    total += x**-n / n + 0.5 * x**-s
    factor = s
    for k, b in enumerate(_BERNOULLI, 1):
        total += b / math.factorial(2 * k) * factor * x ** -(s + 2 * k - 1)
        factor *= (s + 2 * k - 1) * (s + 2 * k)
    return (1 if n % 2 else -1) * math.gamma(n + 1) * total


def betaln(a: float, b: float) -> float:
    """ln |B(a, b)|."""
    gamma = ieee(math.lgamma, outside=math.inf)
    return gamma(a) + gamma(b) - gamma(a + b)
