"""The normal distribution, as `scipy.stats.norm`: `loc` is the mean, `scale` the standard deviation."""

from __future__ import annotations

from typing import Any

import tlean.functions as F

from ..arguments.literals import FloatName
from .values import AT_LEAST_0, HALF_LOG_2PI, KNOWN, POSITIVE, joint, needs, spread

__all__ = ["cdf", "entropy", "isf", "logcdf", "logpdf", "logsf", "mean", "pdf", "ppf", "rvs", "sf", "var"]


@needs(scale=POSITIVE, loc=KNOWN)
def logpdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density.

    Args:
        x, loc, scale: numbers or arrays that broadcast.

    Example:
        >>> round(tl.stats.norm.logpdf(1.0, 0.0, 2.0).item(), 4)
        -1.7371
    """
    x, loc, scale = joint(x, loc, scale)
    return -0.5 * F.square((x - loc) / scale) - F.log(scale) - HALF_LOG_2PI


def pdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density.

    Args:
        x, loc, scale: numbers or arrays that broadcast.
    """
    return F.exp(logpdf(x, loc, scale))


def _standard(x: Any, loc: Any, scale: Any) -> Any:
    x, loc, scale = joint(x, loc, scale)
    return (x - loc) / scale


@needs(scale=POSITIVE, loc=KNOWN)
def cdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The probability of a number up to x.

    Args:
        x, loc, scale: numbers or arrays that broadcast.
    """
    return F.ndtr(_standard(x, loc, scale))


@needs(scale=POSITIVE, loc=KNOWN)
def logcdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of `cdf`, without the loss of small probabilities.

    Args:
        x, loc, scale: numbers or arrays that broadcast.
    """
    return F.log_ndtr(_standard(x, loc, scale))


@needs(scale=POSITIVE, loc=KNOWN)
def sf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The probability of a number above x.

    Args:
        x, loc, scale: numbers or arrays that broadcast.
    """
    return F.ndtr(-_standard(x, loc, scale))


@needs(scale=POSITIVE, loc=KNOWN)
def logsf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of `sf`, without the loss of small probabilities.

    Args:
        x, loc, scale: numbers or arrays that broadcast.
    """
    return F.log_ndtr(-_standard(x, loc, scale))


@needs(scale=POSITIVE, loc=KNOWN)
def ppf(q: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The quantile: the inverse of `cdf`.

    Args:
        q: probabilities.
        loc, scale: numbers or arrays that broadcast.
    """
    q, loc, scale = joint(q, loc, scale)
    return loc + scale * F.ndtri(q)


@needs(scale=AT_LEAST_0)
def rvs(loc: Any = 0.0, scale: Any = 1.0, shape: Any = None, seed: Any = None, dtype: FloatName | None = None) -> Any:
    """Random numbers; their gradient goes to `loc` and `scale`.

    Args:
        loc, scale: numbers or arrays that broadcast; NaN where a scale is below 0.
        shape: of the result; None is that to which the parameters broadcast.
        seed: an integer or None, as in `tl.random`.
        dtype: of the result; None is the parameters'.
    """
    return F.random_normal(shape, loc, scale, seed=seed, dtype=dtype)


@needs(scale=POSITIVE, loc=KNOWN)
def isf(q: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The number whose `sf` is q.

    Args:
        q, loc, scale: numbers or arrays that broadcast.
    """
    q, loc, scale = joint(q, loc, scale)
    return loc - scale * F.ndtri(q)


@needs(scale=POSITIVE, loc=KNOWN)
def entropy(loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The differential entropy.

    Args:
        loc, scale: numbers or arrays that broadcast.
    """
    loc, scale = joint(loc, scale)
    return 0.5 + HALF_LOG_2PI + F.log(scale) + F.zeros_like(loc)


@needs(scale=POSITIVE, loc=KNOWN)
def mean(loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The mean.

    Args:
        loc, scale: numbers or arrays that broadcast.
    """
    return spread(*joint(loc, scale))


@needs(scale=POSITIVE, loc=KNOWN)
def var(loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The variance.

    Args:
        loc, scale: numbers or arrays that broadcast.
    """
    loc, scale = joint(loc, scale)
    return spread(F.square(scale), loc)
