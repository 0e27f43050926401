"""The Bernoulli distribution, as `scipy.stats.bernoulli`: 1 with probability `p`, else 0."""

from __future__ import annotations

import math
from typing import Any

import tlean.functions as F

from .values import SHARE, joint, needs, within

__all__ = ["cdf", "entropy", "isf", "logcdf", "logpmf", "logsf", "mean", "pmf", "ppf", "rvs", "sf", "var"]


@needs(p=SHARE)
def logpmf(k: Any, p: Any) -> Any:
    """The logarithm of the probability; -inf for all but 0 and 1.

    Args:
        k, p: numbers or arrays that broadcast.
    """
    k, p = joint(k, p)
    inside = F.logical_or(F.logical_or(F.equal(k, 0.0), F.equal(k, 1.0)), F.isnan(k))
    k = F.where(inside, k, 0.0)
    return within(inside, F.xlogy(k, p) + F.xlog1py(1.0 - k, -p))


def pmf(k: Any, p: Any) -> Any:
    """The probability.

    Args:
        k, p: numbers or arrays that broadcast.
    """
    return F.exp(logpmf(k, p))


def rvs(p: Any, shape: Any = None, seed: Any = None) -> Any:
    """Random Booleans, without a gradient.

    Args:
        p: the probability of True.
        shape: of the result; None is that of `p`.
        seed: an integer or None, as in `tl.random`.
    """
    return F.random_bernoulli(p, shape, seed=seed)


@needs(p=SHARE)
def cdf(k: Any, p: Any) -> Any:
    """The probability of a number up to k.

    Args:
        k, p: numbers or arrays that broadcast.
    """
    k, p = joint(k, p)
    return F.where(F.less(k, 0.0), 0.0, F.where(F.less(k, 1.0), 1.0 - p, F.where(F.isnan(k), k, 1.0)))


@needs(p=SHARE)
def sf(k: Any, p: Any) -> Any:
    """The probability of a number above k.

    Args:
        k, p: numbers or arrays that broadcast.
    """
    k, p = joint(k, p)
    return F.where(F.less(k, 0.0), 1.0, F.where(F.less(k, 1.0), p, F.where(F.isnan(k), k, 0.0)))


@needs(p=SHARE)
def logcdf(k: Any, p: Any) -> Any:
    """The logarithm of `cdf`.

    Args:
        k, p: numbers or arrays that broadcast.
    """
    k, p = joint(k, p)
    return F.where(F.less(k, 0.0), -math.inf, F.where(F.less(k, 1.0), F.log1p(-p), F.where(F.isnan(k), k, 0.0)))


@needs(p=SHARE)
def logsf(k: Any, p: Any) -> Any:
    """The logarithm of `sf`.

    Args:
        k, p: numbers or arrays that broadcast.
    """
    k, p = joint(k, p)
    return F.where(F.less(k, 0.0), 0.0, F.where(F.less(k, 1.0), F.log(p), F.where(F.isnan(k), k, -math.inf)))


@needs(p=SHARE)
def ppf(q: Any, p: Any) -> Any:
    """The least number whose `cdf` is at least q; -1 for 0, NaN outside of 0 to 1.

    Args:
        q, p: numbers or arrays that broadcast.
    """
    q, p = joint(q, p)
    value = F.where(F.equal(q, 0.0), -1.0, F.where(F.less_equal(q, 1.0 - p), 0.0, F.ones_like(q)))
    return F.where(F.logical_and(F.greater_equal(q, 0.0), F.less_equal(q, 1.0)), value, math.nan)


@needs(p=SHARE)
def isf(q: Any, p: Any) -> Any:
    """The least number whose `sf` is at most q; 1 for 0, -1 for 1, NaN outside.

    Args:
        q, p: numbers or arrays that broadcast.
    """
    q, p = joint(q, p)
    value = F.where(F.equal(q, 1.0), -1.0, F.where(F.greater_equal(q, p), 0.0, F.ones_like(q)))
    value = F.where(F.equal(q, 0.0), F.ones_like(q), value)
    return F.where(F.logical_and(F.greater_equal(q, 0.0), F.less_equal(q, 1.0)), value, math.nan)


@needs(p=SHARE)
def entropy(p: Any) -> Any:
    """The entropy, in natural units.

    Args:
        p: numbers or arrays that broadcast.
    """
    (p,) = joint(p)
    return -(F.xlogy(p, p) + F.xlog1py(1.0 - p, -p))


@needs(p=SHARE)
def mean(p: Any) -> Any:
    """The mean.

    Args:
        p: numbers or arrays that broadcast.
    """
    return joint(p)[0]


@needs(p=SHARE)
def var(p: Any) -> Any:
    """The variance.

    Args:
        p: numbers or arrays that broadcast.
    """
    (p,) = joint(p)
    return p * (1.0 - p)
