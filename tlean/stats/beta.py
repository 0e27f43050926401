"""The beta distribution, as `scipy.stats.beta`: shapes `a` and `b`, moved by `loc` and stretched by `scale`."""

from __future__ import annotations

from typing import Any

from .. import functions as F
from .values import floats, within

__all__ = ["logpdf", "pdf", "rvs"]


def logpdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The logarithm of the density; -inf outside of `loc` to `loc + scale`.

    Args:
        x, a, b, loc, scale: numbers or arrays that broadcast.
    """
    x, a, b, loc, scale = floats(x, a, b, loc, scale)
    z = (x - loc) / scale
    inside = F.logical_and(F.greater_equal(z, 0.0), F.less_equal(z, 1.0))
    z = F.where(inside, z, 0.5)
    return within(inside, F.xlogy(a - 1.0, z) + F.xlog1py(b - 1.0, -z) - F.betaln(a, b) - F.log(scale))


def pdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The density.

    Args:
        x, a, b, loc, scale: numbers or arrays that broadcast.
    """
    return F.exp(logpdf(x, a, b, loc, scale))


def rvs(a: Any, b: Any, shape: Any = None, seed: Any = None, dtype: str | None = None) -> Any:
    """Random numbers from 0 to 1; their gradient goes to both parameters.

    Args:
        a, b: numbers or arrays that broadcast.
        shape: of the result; None is that to which the parameters broadcast.
        seed: an integer or None, as in `tl.random`.
        dtype: of the result; None is the parameters'.
    """
    return F.random_beta(a, b, shape, seed=seed, dtype=dtype)
