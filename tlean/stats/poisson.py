"""The Poisson distribution, as `scipy.stats.poisson`: counts of mean `mu`."""

from __future__ import annotations

import math
from typing import Any

import tlean.functions as F

from ..loops import fori_loop
from .values import AT_LEAST_0, HALF_LOG_2PI, count, joint, log_share, needs, within

__all__ = ["cdf", "entropy", "isf", "logcdf", "logpmf", "logsf", "mean", "pmf", "ppf", "rvs", "sf", "var"]


@needs(mu=AT_LEAST_0)
def logpmf(k: Any, mu: Any) -> Any:
    """The logarithm of the probability; -inf for what is no count.

    Args:
        k, mu: numbers or arrays that broadcast.
    """
    k, mu = joint(k, mu)
    inside = F.logical_or(count(k), F.isnan(k))
    k = F.where(inside, k, 0.0)
    return within(inside, F.xlogy(k, mu) - F.lgamma(k + 1.0) - mu)


def pmf(k: Any, mu: Any) -> Any:
    """The probability.

    Args:
        k, mu: numbers or arrays that broadcast.
    """
    return F.exp(logpmf(k, mu))


def rvs(mu: Any, shape: Any = None, seed: Any = None) -> Any:
    """Random counts, without a gradient.

    Args:
        mu: the mean, at least 0.
        shape: of the result; None is that of `mu`.
        seed: an integer or None, as in `tl.random`.
    """
    return F.random_poisson(mu, shape, seed=seed)


@needs(mu=AT_LEAST_0)
def cdf(k: Any, mu: Any) -> Any:
    """The probability of a count up to k.

    Args:
        k, mu: numbers or arrays that broadcast.
    """
    k, mu = joint(k, mu)
    k = F.floor(k)
    below = F.less(k, 0.0)
    k = F.where(below, 0.0, k)
    return F.where(below, 0.0, F.gammaincc(k + 1.0, mu))


@needs(mu=AT_LEAST_0)
def sf(k: Any, mu: Any) -> Any:
    """The probability of a count above k, exact where it is small.

    Args:
        k, mu: numbers or arrays that broadcast.
    """
    k, mu = joint(k, mu)
    k = F.floor(k)
    below = F.less(k, 0.0)
    k = F.where(below, 0.0, k)
    return F.where(below, 1.0, F.gammainc(k + 1.0, mu))


def logcdf(k: Any, mu: Any) -> Any:
    """The logarithm of `cdf`.

    Args:
        k, mu: numbers or arrays that broadcast.
    """
    return log_share(cdf(k, mu), sf(k, mu))


def logsf(k: Any, mu: Any) -> Any:
    """The logarithm of `sf`.

    Args:
        k, mu: numbers or arrays that broadcast.
    """
    return log_share(sf(k, mu), cdf(k, mu))


@needs(mu=AT_LEAST_0)
def ppf(q: Any, mu: Any) -> Any:
    """The least count whose `cdf` is at least q, without a gradient; -1 for 0, infinite for 1, NaN outside.

    Args:
        q, mu: numbers or arrays that broadcast.
    """
    return _least(q, mu, lambda k, mu, q: F.greater_equal(cdf(k, mu), q), (-1.0, math.inf))


@needs(mu=AT_LEAST_0)
def isf(q: Any, mu: Any) -> Any:
    """The least count whose `sf` is at most q, without a gradient; infinite for 0, -1 for 1, NaN outside.

    Args:
        q, mu: numbers or arrays that broadcast.
    """
    return _least(q, mu, lambda k, mu, q: F.less_equal(sf(k, mu), q), (math.inf, -1.0))


def _least(q: Any, mu: Any, enough: Any, ends: tuple[float, float]) -> Any:
    # The least count that is enough for q; the ends are those for 0 and 1.
    q, mu = (F.detach(v) for v in joint(q, mu))
    q, mu = q + F.zeros_like(mu), mu + F.zeros_like(q)
    # By halving an interval of whole numbers up to 40 standard deviations beyond the mean, where a probability is below rounding.
    most = F.ceil(mu + 40.0 * F.sqrt(mu) + 400.0)
    inside = F.logical_and(F.greater(q, 0.0), F.less(q, 1.0))

    def halve(_: Any, ends: Any) -> Any:
        low, high = ends
        middle = F.floor(0.5 * (low + high))
        far = enough(middle, mu, q)
        return F.where(far, low, middle), F.where(far, middle, high)

    found = fori_loop(0, _HALVINGS, halve, (F.full_like(mu, -1.0), most))[1]
    outside = F.where(F.equal(q, 0.0), ends[0], F.where(F.equal(q, 1.0), ends[1], F.full_like(q, math.nan)))
    return F.where(inside, found, outside)


#: Enough for intervals up to 2⁵³, beyond which floats are no counts.
_HALVINGS = 54


@needs(mu=AT_LEAST_0)
def mean(mu: Any) -> Any:
    """The mean.

    Args:
        mu: numbers or arrays that broadcast.
    """
    return joint(mu)[0]


@needs(mu=AT_LEAST_0)
def var(mu: Any) -> Any:
    """The variance.

    Args:
        mu: numbers or arrays that broadcast.
    """
    return joint(mu)[0]


@needs(mu=AT_LEAST_0)
def entropy(mu: Any) -> Any:
    """The entropy, in natural units.

    Args:
        mu: numbers or arrays that broadcast.
    """
    (mu,) = joint(mu)
    large = F.greater(mu, 100.0)
    few, z = F.expand_dims(F.where(large, 1.0, mu), -1), 1.0 / F.where(large, mu, 1e3)
    # Up to a mean of 100 all counts whose probability counts; then the series in 1/mu.
    counts = F.arange(0, 300, dtype=str(mu.dtype))
    logs = F.xlogy(counts, few) - F.lgamma(counts + 1.0) - few
    series = z * (1.0 / 12.0 + z * (1.0 / 24.0 + z * (19.0 / 360.0 + z * (9.0 / 80.0 + z * (863.0 / 2520.0 + z * 1375.0 / 1008.0)))))
    exact = -F.sum(F.exp(logs) * F.maximum(logs, _LEAST), axis=-1)
    return F.where(large, 0.5 + HALF_LOG_2PI - 0.5 * F.log(z) - series, exact)


#: Of logarithms: below, a probability is 0.
_LEAST = -800.0
