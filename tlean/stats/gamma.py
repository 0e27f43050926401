"""The gamma distribution, as `scipy.stats.gamma`: shape `a`, moved by `loc` and stretched by `scale`, the inverse of the rate."""

from __future__ import annotations

from typing import Any

import tlean.functions as F

from ..arguments.literals import FloatName
from .values import AT_LEAST_0, KNOWN, POSITIVE, gamma_entropy, joint, log_share, needs, within

__all__ = ["cdf", "entropy", "isf", "logcdf", "logpdf", "logsf", "mean", "pdf", "ppf", "rvs", "sf", "var"]


@needs(a=POSITIVE, scale=POSITIVE, loc=KNOWN)
def logpdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density; -inf below `loc`.

    Args:
        x, a, loc, scale: numbers or arrays that broadcast.
    """
    x, a, loc, scale = joint(x, a, loc, scale)
    z = (x - loc) / scale
    inside = F.logical_not(F.less(z, 0.0))
    z = F.where(inside, z, 1.0)
    return within(inside, F.xlogy(a - 1.0, z) - z - F.lgamma(a) - F.log(scale))


def pdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density.

    Args:
        x, a, loc, scale: numbers or arrays that broadcast.
    """
    return F.exp(logpdf(x, a, loc, scale))


@needs(scale=AT_LEAST_0)
def rvs(a: Any, loc: Any = 0.0, scale: Any = 1.0, shape: Any = None, seed: Any = None, dtype: FloatName | None = None) -> Any:
    """Random numbers; their gradient goes to every parameter.

    Args:
        a, loc, scale: numbers or arrays that broadcast; NaN where a scale is below 0.
        shape: of the result; None is that to which the parameters broadcast.
        seed: an integer or None, as in `tl.random`.
        dtype: of the result; None is the parameters'.
    """
    a, loc, scale = joint(a, loc, scale)
    if shape is None:
        shape = tuple((a + loc + scale).shape)
    return loc + F.random_gamma(a, shape, scale, seed=seed, dtype=dtype)


@needs(a=POSITIVE, scale=POSITIVE, loc=KNOWN)
def cdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The probability of a number up to x.

    Args:
        x, a, loc, scale: numbers or arrays that broadcast.
    """
    x, a, loc, scale = joint(x, a, loc, scale)
    z = F.maximum((x - loc) / scale, 0.0)
    return F.gammainc(a, z)


@needs(a=POSITIVE, scale=POSITIVE, loc=KNOWN)
def sf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The probability of a number above x, exact where it is small.

    Args:
        x, a, loc, scale: numbers or arrays that broadcast.
    """
    x, a, loc, scale = joint(x, a, loc, scale)
    z = F.maximum((x - loc) / scale, 0.0)
    return F.gammaincc(a, z)


def logcdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of `cdf`.

    Args:
        x, a, loc, scale: numbers or arrays that broadcast.
    """
    return log_share(cdf(x, a, loc, scale), sf(x, a, loc, scale))


def logsf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of `sf`.

    Args:
        x, a, loc, scale: numbers or arrays that broadcast.
    """
    return log_share(sf(x, a, loc, scale), cdf(x, a, loc, scale))


@needs(a=POSITIVE, scale=POSITIVE, loc=KNOWN)
def ppf(q: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The quantile: the inverse of `cdf`.

    Args:
        q, a, loc, scale: numbers or arrays that broadcast.
    """
    q, a, loc, scale = joint(q, a, loc, scale)
    return loc + scale * F.gammaincinv(a, q)


@needs(a=POSITIVE, scale=POSITIVE, loc=KNOWN)
def isf(q: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The number whose `sf` is q.

    Args:
        q, a, loc, scale: numbers or arrays that broadcast.
    """
    q, a, loc, scale = joint(q, a, loc, scale)
    return loc + scale * F.gammainccinv(a, q)


@needs(a=POSITIVE, scale=POSITIVE, loc=KNOWN)
def entropy(a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The differential entropy.

    Args:
        a, loc, scale: numbers or arrays that broadcast.
    """
    a, loc, scale = joint(a, loc, scale)
    return gamma_entropy(a) + F.log(scale) + F.zeros_like(loc)


@needs(a=POSITIVE, scale=POSITIVE, loc=KNOWN)
def mean(a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The mean.

    Args:
        a, loc, scale: numbers or arrays that broadcast.
    """
    a, loc, scale = joint(a, loc, scale)
    return loc + a * scale


@needs(a=POSITIVE, scale=POSITIVE, loc=KNOWN)
def var(a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The variance.

    Args:
        a, loc, scale: numbers or arrays that broadcast.
    """
    a, loc, scale = joint(a, loc, scale)
    return a * F.square(scale) + F.zeros_like(loc)
