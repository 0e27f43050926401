"""The beta distribution, as `scipy.stats.beta`: shapes `a` and `b`, moved by `loc` and stretched by `scale`."""

from __future__ import annotations

from typing import Any

import tlean.functions as F

from ..arguments.literals import FloatName
from .values import KNOWN, POSITIVE, gamma_entropy, joint, log_share, needs, within

__all__ = ["cdf", "entropy", "isf", "logcdf", "logpdf", "logsf", "mean", "pdf", "ppf", "rvs", "sf", "var"]


@needs(a=POSITIVE, b=POSITIVE, scale=POSITIVE, loc=KNOWN)
def logpdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density; -inf outside of `loc` to `loc + scale`.

    Args:
        x, a, b, loc, scale: numbers or arrays that broadcast.
    """
    x, a, b, loc, scale = joint(x, a, b, loc, scale)
    z = (x - loc) / scale
    inside = F.logical_not(F.logical_or(F.less(z, 0.0), F.greater(z, 1.0)))
    z = F.where(inside, z, 0.5)
    return within(inside, F.xlogy(a - 1.0, z) + F.xlog1py(b - 1.0, -z) - F.betaln(a, b) - F.log(scale))


def pdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density.

    Args:
        x, a, b, loc, scale: numbers or arrays that broadcast.
    """
    return F.exp(logpdf(x, a, b, loc, scale))


def rvs(a: Any, b: Any, shape: Any = None, seed: Any = None, dtype: FloatName | None = None) -> Any:
    """Random numbers from 0 to 1; their gradient goes to both parameters.

    Args:
        a, b: numbers or arrays that broadcast.
        shape: of the result; None is that to which the parameters broadcast.
        seed: an integer or None, as in `tl.random`.
        dtype: of the result; None is the parameters'.
    """
    return F.random_beta(a, b, shape, seed=seed, dtype=dtype)


@needs(a=POSITIVE, b=POSITIVE, scale=POSITIVE, loc=KNOWN)
def cdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The probability of a number up to x.

    Args:
        x, a, b, loc, scale: numbers or arrays that broadcast.
    """
    x, a, b, loc, scale = joint(x, a, b, loc, scale)
    z = F.minimum(F.maximum((x - loc) / scale, 0.0), 1.0)
    return F.betainc(a, b, z)


@needs(a=POSITIVE, b=POSITIVE, scale=POSITIVE, loc=KNOWN)
def sf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The probability of a number above x, exact where it is small.

    Args:
        x, a, b, loc, scale: numbers or arrays that broadcast.
    """
    x, a, b, loc, scale = joint(x, a, b, loc, scale)
    z = F.minimum(F.maximum((x - loc) / scale, 0.0), 1.0)
    return F.betaincc(a, b, z)


def logcdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of `cdf`.

    Args:
        x, a, b, loc, scale: numbers or arrays that broadcast.
    """
    return log_share(cdf(x, a, b, loc, scale), sf(x, a, b, loc, scale))


def logsf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of `sf`.

    Args:
        x, a, b, loc, scale: numbers or arrays that broadcast.
    """
    return log_share(sf(x, a, b, loc, scale), cdf(x, a, b, loc, scale))


@needs(a=POSITIVE, b=POSITIVE, scale=POSITIVE, loc=KNOWN)
def ppf(q: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The quantile: the inverse of `cdf`.

    Args:
        q, a, b, loc, scale: numbers or arrays that broadcast.
    """
    q, a, b, loc, scale = joint(q, a, b, loc, scale)
    return loc + scale * F.betaincinv(a, b, q)


@needs(a=POSITIVE, b=POSITIVE, scale=POSITIVE, loc=KNOWN)
def isf(q: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The number whose `sf` is q.

    Args:
        q, a, b, loc, scale: numbers or arrays that broadcast.
    """
    q, a, b, loc, scale = joint(q, a, b, loc, scale)
    return loc + scale * F.betainccinv(a, b, q)


@needs(a=POSITIVE, b=POSITIVE, scale=POSITIVE, loc=KNOWN)
def entropy(a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The differential entropy.

    Args:
        a, b, loc, scale: numbers or arrays that broadcast.
    """
    a, b, loc, scale = joint(a, b, loc, scale)
    value = gamma_entropy(a) + gamma_entropy(b) - gamma_entropy(a + b) - F.digamma(a + b)
    return value + F.log(scale) + F.zeros_like(loc)


@needs(a=POSITIVE, b=POSITIVE, scale=POSITIVE, loc=KNOWN)
def mean(a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The mean.

    Args:
        a, b, loc, scale: numbers or arrays that broadcast.
    """
    a, b, loc, scale = joint(a, b, loc, scale)
    return loc + scale * a / (a + b)


@needs(a=POSITIVE, b=POSITIVE, scale=POSITIVE, loc=KNOWN)
def var(a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The variance.

    Args:
        a, b, loc, scale: numbers or arrays that broadcast.
    """
    a, b, loc, scale = joint(a, b, loc, scale)
    return a * b * F.square(scale / (a + b)) / (a + b + 1.0) + F.zeros_like(loc)
