"""The Poisson distribution, as `scipy.stats.poisson`: counts of mean `mu`."""

from __future__ import annotations

import math
from typing import Any

import tlean.functions as F

from ..loops import fori_loop
from .values import count, floats, log_share, within

__all__ = ["cdf", "logcdf", "logpmf", "logsf", "mean", "pmf", "ppf", "rvs", "sf", "var"]


def logpmf(k: Any, mu: Any) -> Any:
    """The logarithm of the probability; -inf for what is no count.

    Args:
        k, mu: numbers or arrays that broadcast.
    """
    k, mu = floats(k, mu)
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


def cdf(k: Any, mu: Any) -> Any:
    """The probability of a count up to k.

    Args:
        k, mu: numbers or arrays that broadcast.
    """
    k, mu = floats(k, mu)
    k = F.floor(k)
    below = F.less(k, 0.0)
    k = F.where(below, 0.0, k)
    return F.where(below, 0.0, F.gammaincc(k + 1.0, mu))


def sf(k: Any, mu: Any) -> Any:
    """The probability of a count above k, exact where it is small.

    Args:
        k, mu: numbers or arrays that broadcast.
    """
    k, mu = floats(k, mu)
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


def ppf(q: Any, mu: Any) -> Any:
    """The least count whose `cdf` is at least q, without a gradient; -1 for 0, infinite for 1, NaN outside.

    Args:
        q, mu: numbers or arrays that broadcast.
    """
    q, mu = (F.detach(v) for v in floats(q, mu))
    q, mu = q + F.zeros_like(mu), mu + F.zeros_like(q)
    # By halving an interval of whole numbers up to 40 standard deviations beyond the mean, where a probability is below rounding.
    most = F.ceil(mu + 40.0 * F.sqrt(mu) + 400.0)
    inside = F.logical_and(F.greater(q, 0.0), F.less(q, 1.0))

    def halve(_: Any, ends: Any) -> Any:
        low, high = ends
        middle = F.floor(0.5 * (low + high))
        enough = F.greater_equal(cdf(middle, mu), q)
        return F.where(enough, low, middle), F.where(enough, middle, high)

    found = fori_loop(0, _HALVINGS, halve, (F.full_like(mu, -1.0), most))[1]
    ends = F.where(F.equal(q, 0.0), -1.0, F.where(F.equal(q, 1.0), math.inf, F.full_like(q, math.nan)))
    return F.where(inside, found, ends)


#: Enough for intervals up to 2⁵³, beyond which floats are no counts.
_HALVINGS = 54


def mean(mu: Any) -> Any:
    """The mean.

    Args:
        mu: numbers or arrays that broadcast.
    """
    return floats(mu)[0]


def var(mu: Any) -> Any:
    """The variance.

    Args:
        mu: numbers or arrays that broadcast.
    """
    return floats(mu)[0]
