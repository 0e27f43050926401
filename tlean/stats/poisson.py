"""The Poisson distribution, as `scipy.stats.poisson`: counts of mean `mu`."""

from __future__ import annotations

from typing import Any

from .. import functions as F
from .values import count, floats, within

__all__ = ["logpmf", "pmf", "rvs"]


def logpmf(k: Any, mu: Any) -> Any:
    """The logarithm of the probability; -inf for what is no count.

    Args:
        k, mu: numbers or arrays that broadcast.
    """
    k, mu = floats(k, mu)
    inside = count(k)
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
