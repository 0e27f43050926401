"""Student's t distribution, as `scipy.stats.t`: `df` degrees of freedom, moved by `loc` and stretched by `scale`."""

from __future__ import annotations

import math
from typing import Any

import tlean.functions as F

from ..arguments.literals import FloatName
from .values import float_of, floats, log_share, spread

__all__ = ["cdf", "entropy", "isf", "logcdf", "logpdf", "logsf", "mean", "pdf", "ppf", "rvs", "sf", "var"]


def logpdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density.

    Args:
        x, df, loc, scale: numbers or arrays that broadcast.
    """
    x, df, loc, scale = floats(x, df, loc, scale)
    z = (x - loc) / scale
    # log Γ((df + 1)/2) − log Γ(df/2) − log √π, without the difference of two large numbers.
    constant = -F.betaln(0.5 * F.ones_like(df), 0.5 * df) - 0.5 * F.log(df) - F.log(scale)
    return constant - 0.5 * (df + 1.0) * F.log1p(F.square(z) / df)


def pdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density.

    Args:
        x, df, loc, scale: numbers or arrays that broadcast.
    """
    return F.exp(logpdf(x, df, loc, scale))


def rvs(df: Any, loc: Any = 0.0, scale: Any = 1.0, shape: Any = None, seed: Any = None, dtype: FloatName | None = None) -> Any:
    """Random numbers: a normal number over the root of a gamma number of mean 1; their gradient goes to every parameter.

    Args:
        df, loc, scale: numbers or arrays that broadcast.
        shape: of the result; None is that to which the parameters broadcast.
        seed: an integer or None, as in `tl.random`.
        dtype: of the result; None is the parameters'.
    """
    df, loc, scale = floats(df, loc, scale)
    if dtype is not None:
        df, loc, scale = (F.astype(v, dtype) for v in (df, loc, scale))
    if shape is None:
        shape = tuple((df + loc + scale).shape)
    half = 0.5 * df
    chi = F.random_gamma(half, shape, seed=seed) / half
    # Its own stream: two ops of one seed would draw the same words.
    normal = F.random_normal(shape, seed=None if seed is None else seed + _STREAM, dtype=float_of(df))
    return loc + scale * normal * F.rsqrt(chi)


_STREAM = 0x5851F42D4C957F2D


def cdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The probability of a number up to x.

    Args:
        x, df, loc, scale: numbers or arrays that broadcast.
    """
    x, df, loc, scale = floats(x, df, loc, scale)
    return F.stdtr(df, (x - loc) / scale)


def sf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The probability of a number above x, exact where it is small.

    Args:
        x, df, loc, scale: numbers or arrays that broadcast.
    """
    x, df, loc, scale = floats(x, df, loc, scale)
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


def ppf(q: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The quantile: the inverse of `cdf`.

    Args:
        q, df, loc, scale: numbers or arrays that broadcast.
    """
    q, df, loc, scale = floats(q, df, loc, scale)
    return loc + scale * F.stdtrit(df, q)


def isf(q: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The number whose `sf` is q.

    Args:
        q, df, loc, scale: numbers or arrays that broadcast.
    """
    q, df, loc, scale = floats(q, df, loc, scale)
    return loc - scale * F.stdtrit(df, q)


def entropy(df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The differential entropy.

    Args:
        df, loc, scale: numbers or arrays that broadcast.
    """
    df, loc, scale = floats(df, loc, scale)
    half = 0.5 * df
    more = half + 0.5
    value = more * (F.digamma(more) - F.digamma(half)) + 0.5 * F.log(df) + F.betaln(half, 0.5 * F.ones_like(half))
    return value + F.log(scale) + F.zeros_like(loc)


def mean(df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The mean; infinite for up to one degree of freedom.

    Args:
        df, loc, scale: numbers or arrays that broadcast.
    """
    df, loc, scale = floats(df, loc, scale)
    return F.where(F.greater(df, 1.0), spread(loc, df, scale), math.inf)


def var(df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The variance; infinite for up to two degrees of freedom, NaN for up to one.

    Args:
        df, loc, scale: numbers or arrays that broadcast.
    """
    df, loc, scale = floats(df, loc, scale)
    finite = F.greater(df, 2.0)
    value = F.square(scale) * df / (F.where(finite, df, 3.0) - 2.0) + F.zeros_like(loc)
    return F.where(finite, value, F.where(F.greater(df, 1.0), math.inf, F.full_like(df, math.nan)))
