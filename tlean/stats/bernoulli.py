"""The Bernoulli distribution, as `scipy.stats.bernoulli`: 1 with probability `p`, else 0."""

from __future__ import annotations

from typing import Any

from .. import functions as F
from .values import floats, within

__all__ = ["logpmf", "pmf", "rvs"]


def logpmf(k: Any, p: Any) -> Any:
    """The logarithm of the probability; -inf for all but 0 and 1.

    Args:
        k, p: numbers or arrays that broadcast.
    """
    k, p = floats(k, p)
    inside = F.logical_or(F.equal(k, 0.0), F.equal(k, 1.0))
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
