"""Student's t distribution, as `scipy.stats.t`: `df` degrees of freedom, moved by `loc` and stretched by `scale`."""

from __future__ import annotations

import math
from typing import Any

import tlean.functions as F

from ..arguments.literals import FloatName
from .values import AT_LEAST_0, HALF_LOG_2PI, KNOWN, POSITIVE, float_of, joint, log_share, needs, spread

__all__ = ["cdf", "entropy", "isf", "logcdf", "logpdf", "logsf", "mean", "pdf", "ppf", "rvs", "sf", "var"]


@needs(df=POSITIVE, scale=POSITIVE, loc=KNOWN)
def logpdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density.

    Args:
        x, df, loc, scale: numbers or arrays that broadcast.
    """
    x, df, loc, scale = joint(x, df, loc, scale)
    z = (x - loc) / scale
    normal = F.equal(df, math.inf)
    df = F.where(normal, 1.0, df)
    # log Γ((df + 1)/2) − log Γ(df/2) − log √π, without the difference of two large numbers.
    constant = -F.betaln(0.5 * F.ones_like(df), 0.5 * df) - 0.5 * F.log(df) - F.log(scale)
    value = constant - 0.5 * (df + 1.0) * F.log1p(F.square(z) / df)
    return F.where(normal, -0.5 * F.square(z) - F.log(scale) - HALF_LOG_2PI, value)


def pdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density.

    Args:
        x, df, loc, scale: numbers or arrays that broadcast.
    """
    return F.exp(logpdf(x, df, loc, scale))


@needs(scale=AT_LEAST_0)
def rvs(df: Any, loc: Any = 0.0, scale: Any = 1.0, shape: Any = None, seed: Any = None, dtype: FloatName | None = None) -> Any:
    """Random numbers: a normal number over the root of a gamma number of mean 1; their gradient goes to every parameter.

    Args:
        df, loc, scale: numbers or arrays that broadcast; NaN where a scale is below 0.
        shape: of the result; None is that to which the parameters broadcast.
        seed: an integer or None, as in `tl.random`.
        dtype: of the result; None is the parameters'.
    """
    df, loc, scale = joint(df, loc, scale)
    if dtype is not None:
        df, loc, scale = (F.astype(v, dtype) for v in (df, loc, scale))
    if shape is None:
        shape = tuple((df + loc + scale).shape)
    # An op, eagerly too: a NumPy scalar would divide by its reciprocal.
    half = F.scale(df, 0.5)
    chi = F.random_gamma(half, shape, seed=seed) / half
    # Its own stream: two ops of one seed would draw the same words.
    normal = F.random_normal(shape, seed=None if seed is None else seed + _STREAM, dtype=float_of(df))
    return loc + scale * normal * F.rsqrt(chi)


_STREAM = 0x5851F42D4C957F2D


@needs(df=POSITIVE, scale=POSITIVE, loc=KNOWN)
def cdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The probability of a number up to x.

    Args:
        x, df, loc, scale: numbers or arrays that broadcast.
    """
    x, df, loc, scale = joint(x, df, loc, scale)
    return F.stdtr(df, (x - loc) / scale)


@needs(df=POSITIVE, scale=POSITIVE, loc=KNOWN)
def sf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The probability of a number above x, exact where it is small.

    Args:
        x, df, loc, scale: numbers or arrays that broadcast.
    """
    x, df, loc, scale = joint(x, df, loc, scale)
    return F.stdtr(df, (loc - x) / scale)


def logcdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of `cdf`.

    Args:
        x, df, loc, scale: numbers or arrays that broadcast.
    """
    return log_share(cdf(x, df, loc, scale), sf(x, df, loc, scale))


def logsf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of `sf`.

    Args:
        x, df, loc, scale: numbers or arrays that broadcast.
    """
    return log_share(sf(x, df, loc, scale), cdf(x, df, loc, scale))


@needs(df=POSITIVE, scale=POSITIVE, loc=KNOWN)
def ppf(q: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The quantile: the inverse of `cdf`.

    Args:
        q, df, loc, scale: numbers or arrays that broadcast.
    """
    q, df, loc, scale = joint(q, df, loc, scale)
    return loc + scale * F.stdtrit(df, q)


@needs(df=POSITIVE, scale=POSITIVE, loc=KNOWN)
def isf(q: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The number whose `sf` is q.

    Args:
        q, df, loc, scale: numbers or arrays that broadcast.
    """
    q, df, loc, scale = joint(q, df, loc, scale)
    return loc - scale * F.stdtrit(df, q)


@needs(df=POSITIVE, scale=POSITIVE, loc=KNOWN)
def entropy(df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The differential entropy.

    Args:
        df, loc, scale: numbers or arrays that broadcast.
    """
    df, loc, scale = joint(df, loc, scale)
    large = F.greater(df, 200.0)
    half, z = 0.5 * F.where(large, 1.0, df), 1.0 / F.where(large, df, 1e3)
    more = half + 0.5
    value = more * (F.digamma(more) - F.digamma(half)) + 0.5 * F.log(2.0 * half) + F.betaln(half, 0.5 * F.ones_like(half))
    # Near the normal distribution the two parts are large.
    series = 0.5 + HALF_LOG_2PI + z * (1.0 + z * (0.25 + z * (-1.0 / 6.0 + z * (-0.125 + z * (0.3 + z * 0.25)))))
    return F.where(large, series, value) + F.log(scale) + F.zeros_like(loc)


@needs(df=POSITIVE, scale=POSITIVE, loc=KNOWN)
def mean(df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The mean; infinite for up to one degree of freedom.

    Args:
        df, loc, scale: numbers or arrays that broadcast.
    """
    df, loc, scale = joint(df, loc, scale)
    return F.where(F.greater(df, 1.0), spread(loc, df, scale), math.inf)


@needs(df=POSITIVE, scale=POSITIVE, loc=KNOWN)
def var(df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The variance; infinite for up to two degrees of freedom, NaN for up to one.

    Args:
        df, loc, scale: numbers or arrays that broadcast.
    """
    df, loc, scale = joint(df, loc, scale)
    finite = F.greater(df, 2.0)
    # Of infinite degrees of freedom the ratio is 1.
    df = F.where(F.equal(df, math.inf), 1e300 if str(df.dtype) == "float64" else 1e30, df)
    value = F.square(scale) * df / (F.where(finite, df, 3.0) - 2.0) + F.zeros_like(loc)
    return F.where(finite, value, F.where(F.greater(df, 1.0), math.inf, F.full_like(df, math.nan)))
