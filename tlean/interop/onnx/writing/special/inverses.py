"""Inverses of the incomplete gamma and beta functions, and of Student's distribution: Newton's method, between bounds, for the logarithm
of the smaller tail by u, which is ln x for the gamma function and ln(x/(1 − x)) for the beta function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..model import ModelWriter
from ..rules import Call
from .functions import quantile
from .incomplete import MANY, Tails, beta_tails, gamma_tails, log_gamma_small, log_gamma_step
from .reals import Real, by_call, looped, maximum, minimum, where

#: Steps; most values take less than ten.
_MOST = 200
#: The longest step.
_FARTHEST = 8.0
#: Below e to this, a quantile is that of the first term of the series.
_TINY = -600.0


def _solved(w: ModelWriter, c: Call, tails: Callable[[Real], Tails], start: Real, lower: Real, upper: Real, known: Real) -> Real:
    # u with these tails, from a first value on; where it is known, that value.
    low = lower <= upper
    target = where(low, lower, upper).log()
    none = start * 0.0

    def step(_: Real, u: Real, least: Real, most: Real, done: Real) -> list[Real]:
        t = tails(u)
        log_tail = where(low, t.log_lower, t.log_upper)
        gap = where(low, log_tail - target, target - log_tail)
        move = gap / where(low, t.rate_lower, t.rate_upper)
        close, above = abs(move) < 2.0**-32, gap > 0.0
        most, least = where(above, u, most), where(above, least, u)
        new = u - where(move > _FARTHEST, _FARTHEST, maximum(move, -_FARTHEST))
        inside = (new > least) & (new < most) & new.finite()
        other = where(least == -math.inf, u - 16.0, where(most == math.inf, u + 16.0, (least + most) * 0.5))
        new = where(close | inside, new, other)
        ended = close | (abs(new - u) <= (abs(u) + 1.0) * 2.0**-52)
        return [where(done, u, new), least, most, done | ended]

    bounds = [(none - math.inf, c.out.shape), (none + math.inf, c.out.shape)]
    return looped(w, [(start, c.out.shape), *bounds, (known, c.out.shape)], step, _MOST, lambda *s: (~s[3]).any())[0]


def _parts(p: Real, upper: bool) -> tuple[Real, Real]:
    return (1.0 - p, p) if upper else (p, 1.0 - p)


def _rough_quantile(p: Real) -> Real:
    # The normal number that the smaller part p < ½ lies above, to three digits.
    w = (p.log() * -2.0).sqrt()
    return w - (w * (w * 0.010328 + 0.802853) + 2.515517) / (w * (w * (w * 0.001308 + 0.189269) + 1.432788) + 1.0)


@by_call("_gammaincinv")
def _gammaincinv(w: ModelWriter, c: Call, a: Real, p: Real) -> Real:
    upper = c.options["upper"]
    known, ends = (a > 0.0) & (a < math.inf) & (p >= 0.0) & (p <= 1.0), (p == 0.0) | (p == 1.0)
    usual = known & ~ends
    a, inner = where(usual, a, 1.0), where(usual, p, 0.5)
    lower, other = _parts(inner, upper)
    few = minimum(a, 1.0)
    small = (lower.log() + log_gamma_small(few)) / few
    # Wilson & Hilferty: the cube root is almost normal.
    less, spread = lower < other, 1.0 / (a * 9.0)
    z = _rough_quantile(where(less, lower, other))
    root = 1.0 - spread + where(less, -z, z) * spread.sqrt()
    far = (lower.log() + a.log()) / a + a.log() - 1.0
    large = where(root > 0.1, a.log() + maximum(root, 0.1).log() * 3.0, far)
    start = where(a < 1.0, where(small > 0.0, (1.0 - other.log()).log(), small), large)
    tiny = (a < 1.0) & (small < _TINY)
    u = _solved(w, c, lambda u: gamma_tails(a, u.exp()), start, lower, other, tiny | ~usual)
    inside = where(ends, where(p == 1.0, *((0.0, math.inf) if upper else (math.inf, 0.0))), u.exp())
    return where(known, inside, math.nan)


def _beta_quantile(w: ModelWriter, c: Call, a: Real, b: Real, lower: Real, upper: Real, usual: Real) -> Real:
    # ln(x/(1 − x)).
    def tiny(a: Real, b: Real, p: Real) -> Real:
        # ln x where p = x^a/(a B(a, b)); of a above 1 it is not as small.
        few = minimum(a, 1.0)
        return where(a > 1.0, 0.0, (p.log() + log_gamma_small(few) - log_gamma_step(b, few)) / few)

    first, last = tiny(a, b, lower), tiny(b, a, upper)
    start = where(first < _TINY, first, where(last < _TINY, -last, a.log() - b.log()))

    def tails(u: Real) -> Tails:
        return beta_tails(a, b, 1.0 / ((-u).exp() + 1.0), 1.0 / (u.exp() + 1.0))

    return _solved(w, c, tails, start, lower, upper, (first < _TINY) | (last < _TINY) | ~usual)


@by_call("_betaincinv")
def _betaincinv(w: ModelWriter, c: Call, a: Real, b: Real, p: Real) -> Real:
    upper = c.options["upper"]
    known = (a > 0.0) & (b > 0.0) & (a < math.inf) & (b < math.inf) & (p >= 0.0) & (p <= 1.0)
    ends = (p == 0.0) | (p == 1.0)
    usual = known & ~ends
    lower, other = _parts(where(usual, p, 0.5), upper)
    u = _beta_quantile(w, c, where(usual, a, 1.0), where(usual, b, 1.0), lower, other, usual)
    inside = where(ends, 1.0 - p if upper else p, 1.0 / ((-u).exp() + 1.0))
    return where(known, inside, math.nan)


@by_call("_student_inverse")
def _student_inverse(w: ModelWriter, c: Call, v: Real, p: Real) -> Any:
    known, plain = (v > 0.0) & (p >= 0.0) & (p <= 1.0), (p == 0.0) | (p == 1.0) | (p == 0.5)
    usual = known & ~plain
    inner = where(usual, p, 0.25)
    low = inner < 0.5
    lower = where(low, inner, 1.0 - inner) * 2.0
    other = where(low, 1.0 - inner * 2.0, inner * 2.0 - 1.0)
    most = where(usual & (v < math.inf), v, 1.0)
    few = minimum(most, MANY)
    u = _beta_quantile(w, c, few * 0.5, few * 0.0 + 0.5, lower, other, usual & (v <= MANY))
    near = few.sqrt() * (u * -0.5).exp()
    normal = quantile(other * 0.5, lower * 0.5)
    far = where(v < math.inf, normal * ((normal * normal + 1.0) / (most * 4.0) + 1.0), normal)
    z = where(v > MANY, far, near)
    z = where(low, -z, z)
    z = where(p == 0.5, 0.0, where(p == 0.0, -math.inf, where(p == 1.0, math.inf, z)))
    return where(known, -z if c.options["upper"] else z, math.nan)
