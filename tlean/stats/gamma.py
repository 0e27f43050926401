"""The gamma distribution, as `scipy.stats.gamma`: shape `a`, moved by `loc` and stretched by `scale`, the inverse of the rate."""

from __future__ import annotations

from typing import Any

from .. import functions as F
from .values import floats, within

__all__ = ["logpdf", "pdf", "rvs"]


def logpdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density; -inf below `loc`.

    Args:
        x, a, loc, scale: numbers or arrays that broadcast.
    """
    x, a, loc, scale = floats(x, a, loc, scale)
    z = (x - loc) / scale
    inside = F.greater_equal(z, 0.0)
    z = F.where(inside, z, 1.0)
    return within(inside, F.xlogy(a - 1.0, z) - z - F.lgamma(a) - F.log(scale))


def pdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density.

    Args:
        x, a, loc, scale: numbers or arrays that broadcast.
    """
    return F.exp(logpdf(x, a, loc, scale))


def rvs(a: Any, loc: Any = 0.0, scale: Any = 1.0, shape: Any = None, seed: Any = None, dtype: str | None = None) -> Any:
    """Random numbers; their gradient goes to every parameter.

    Args:
        a, loc, scale: numbers or arrays that broadcast.
        shape: of the result; None is that to which the parameters broadcast.
        seed: an integer or None, as in `tl.random`.
        dtype: of the result; None is the parameters'.
    """
    a, loc, scale = floats(a, loc, scale)
    if shape is None:
        shape = tuple((a + loc + scale).shape)
    return loc + F.random_gamma(a, shape, scale, seed=seed, dtype=dtype)
