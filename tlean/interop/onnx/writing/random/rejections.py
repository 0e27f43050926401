"""Gamma and Poisson numbers, with the library's bits: what was drawn is accepted or drawn again, by the counter's next attempt."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..model import ModelWriter
from ..rules import Call
from ..special.reals import Real, by_call, horner, looped, where
from ..whole.bits import UNSIGNED, right, word
from .draws import bits53, counted, halves, low32, philox, possible

#: Attempts, as in the kernels.
_ATTEMPTS = 4095
#: Terms of the sum that small rates take.
_TERMS = 200
#: Of Stirling's series, from the highest power on.
_STIRLING = (1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)


class _Attempts:
    # Words for each element: of the seed, the element and the number of the attempt.
    def __init__(self, w: ModelWriter, c: Call) -> None:
        self.w, self.shape = w, c.out.shape
        index = w.reshape(counted(w, math.prod(self.shape)), self.shape)
        self.index, self.key = (low32(w, index), right(w, index, 32)), halves(w, c.x[1])

    def words(self, number: Real) -> Sequence[str]:
        """Those of an attempt, counted from 0."""
        attempt = self.w.op("Cast", (number + 1).name, to=UNSIGNED)
        return philox(self.w, [*self.index, attempt, word(self.w, 0)], self.key)

    def real(self, bits: str) -> Real:
        """Bits as a number."""
        return Real(self.w, self.w.cast(bits, "float64"))

    def uniform(self, high: str, low: str) -> Real:
        """A number in [0, 1) of two words."""
        return self.real(bits53(self.w, high, low)) * 2.0**-53


@by_call("_rand_log_gamma")
def _log_gamma(w: ModelWriter, c: Call, a: Real, seed: str) -> Real | None:
    # Marsaglia & Tsang 2000: d·v with v = (1 + cz)³ for a normal z, taken with the probability that makes it one.
    if not possible(c, 1):
        return None
    drawn, known = _Attempts(w, c), (a >= 1.0) & (a < math.inf)
    d = where(known, a, 1.0) - 1.0 / 3.0
    factor, log_d = 1.0 / (d * 9.0).sqrt(), d.log()

    def step(k: Real, y: Real, done: Real) -> list[Real]:
        w0, w1, w2, w3 = drawn.words(k)
        r = (((drawn.real(w0) + 0.5) * 2.0**-32).log() * -2.0).sqrt()
        z = r * (drawn.real(w1) * (2 * math.pi * 2.0**-32)).cos()
        root = factor * z + 1.0
        log_v = where(root > 0.0, root, 1.0).log() * 3.0
        v = root * root * root
        fits = drawn.uniform(w2, w3).log() < z * 0.5 * z + d - d * v + d * log_v
        taken = (root > 0.0) & fits & ~done
        return [where(taken, log_d + log_v, y), done | taken]

    y, _ = looped(w, [(log_d, c.out.shape), (~known, c.out.shape)], step, _ATTEMPTS, lambda _, done: (~done).any())
    return where(known, y, where(a == math.inf, a, math.nan))


def _log_factorial(k: Real) -> Real:
    # ln k! of whole numbers from 0 on: those below 10 from a table, then by Stirling's series.
    w = k.w
    few = where(k < 10.0, k, 0.0).cast("int64")
    table = w.array([math.log(math.factorial(j)) for j in range(10)], "float64")
    x = where(k < 10.0, 10.0, k) + 1.0
    far = (x - 0.5) * x.log() - x + 0.9189385332046727 + horner(1.0 / (x * x), _STIRLING) / x
    return where(k < 10.0, Real(w, w.op("Gather", table, few.name)), far)


def _by_sum(w: ModelWriter, c: Call, rate: Real, drawn: _Attempts) -> Real:
    # Probabilities are added up until they exceed a uniform number.
    w0, w1, *_ = drawn.words(Real(w, w.array(0, "int64"), "int64"))
    u, p, none = drawn.uniform(w0, w1), (-rate).exp(), rate * 0.0

    def step(_: Real, k: Real, p: Real, total: Real) -> list[Real]:
        below = u >= total
        count = k + 1.0
        more = where(below, p * (rate / count), p)
        return [where(below, count, k), more, where(below, total + more, total)]

    return looped(w, [(x, c.out.shape) for x in (none, p, p)], step, _TERMS, lambda k, p, total: (u >= total).any())[0]


def _by_rejection(w: ModelWriter, c: Call, rate: Real, many: Real, drawn: _Attempts) -> Real:
    # Hörmann 1993, algorithm PTRS, of rates from 10 on.
    b = rate.sqrt() * 2.53 + 0.931
    a = b * 0.02483 - 0.059
    hat, sure = 1.1328 / (b - 3.4) + 1.1239, 0.9277 - 3.6224 / (b - 2.0)
    log_rate = rate.log()

    def step(number: Real, y: Real, done: Real) -> list[Real]:
        w0, w1, w2, w3 = drawn.words(number)
        u, v = drawn.uniform(w0, w1) - 0.5, drawn.uniform(w2, w3)
        s = 0.5 - abs(u)
        k = ((a * 2.0 / s + b) * u + rate + 0.43).floor()
        at_once = (s >= 0.07) & (v <= sure)
        possibly = ~((k < 0.0) | (s < 1e-300) | ((s < 0.013) & (v > s)))
        count = where(possibly, k, 0.0)
        fits = (v * hat / (a / (s * s) + b)).log() <= count * log_rate - rate - _log_factorial(count)
        taken = (at_once | (possibly & fits)) & ~done
        return [where(taken, k, y), done | taken]

    return looped(w, [(rate.floor(), c.out.shape), (~many, c.out.shape)], step, _ATTEMPTS, lambda _, done: (~done).any())[0]


@by_call("_rand_poisson")
def _poisson(w: ModelWriter, c: Call, rate: Real, seed: str) -> Real | None:
    if not possible(c, 1):
        return None
    drawn = _Attempts(w, c)
    # Beyond 2⁵³ counts are no longer whole numbers of float64.
    known, few = (rate >= 0.0) & (rate <= 2.0**53), rate < 10.0
    small = _by_sum(w, c, where(known & few, rate, 0.0), drawn)
    large = _by_rejection(w, c, where(known & ~few, rate, 10.0), known & ~few, drawn)
    return where(known, where(few, small, large), -1.0).cast("int64")
