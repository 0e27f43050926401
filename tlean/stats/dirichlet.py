"""The Dirichlet distribution, as `scipy.stats.dirichlet`, with the components along the last axis and any batch before it."""

from __future__ import annotations

from typing import Any

from .. import functions as F
from .values import floats

__all__ = ["logpdf", "pdf", "rvs"]


def logpdf(x: Any, alpha: Any) -> Any:
    """The logarithm of the density at points whose components are shares: at least 0, with the sum 1, which is not checked.

    Args:
        x: `(*b, k)`. SciPy has the components of several points along the first axis.
        alpha: `(*b, k)`, above 0.
    """
    x, alpha = floats(x, alpha)
    constant = F.lgamma(F.sum(alpha, axis=-1)) - F.sum(F.lgamma(alpha), axis=-1)
    return F.sum(F.xlogy(alpha - 1.0, x), axis=-1) + constant


def pdf(x: Any, alpha: Any) -> Any:
    """The density.

    Args:
        x, alpha: `(*b, k)`.
    """
    return F.exp(logpdf(x, alpha))


def rvs(alpha: Any, shape: Any = None, seed: Any = None, dtype: str | None = None) -> Any:
    """Random points; their gradient goes to `alpha`.

    Args:
        alpha: `(*b, k)`, above 0.
        shape: of the batch; None is that of `alpha`.
        seed: an integer or None, as in `tl.random`.
        dtype: of the result; None is that of `alpha`.
    """
    return F.random_dirichlet(alpha, shape, seed=seed, dtype=dtype)
