"""The Dirichlet distribution, as `scipy.stats.dirichlet`, with the components along the last axis and any batch before it."""

from __future__ import annotations

from typing import Any

import tlean.functions as F

from ..arguments.literals import FloatName
from .values import joint, undefined

__all__ = ["cov", "entropy", "logpdf", "mean", "pdf", "rvs", "var"]


def _known(alpha: Any) -> Any:
    # NaN in place of parameters of which one is not above 0, so that all is NaN that they are part of, gradients too.
    fits = F.all(F.greater(alpha, 0.0), axis=-1, keepdims=True)
    return F.where(fits, alpha, undefined(fits, alpha, [alpha]))


def logpdf(x: Any, alpha: Any) -> Any:
    """The logarithm of the density at points whose components are shares: at least 0, with the sum 1, which is not checked.

    Args:
        x: `(*b, k)`. SciPy has the components of several points along the first axis.
        alpha: `(*b, k)`, above 0.
    """
    x, alpha = joint(x, alpha)
    alpha = _known(alpha)
    constant = F.lgamma(F.sum(alpha, axis=-1)) - F.sum(F.lgamma(alpha), axis=-1)
    return F.sum(F.xlogy(alpha - 1.0, x), axis=-1) + constant


def pdf(x: Any, alpha: Any) -> Any:
    """The density.

    Args:
        x, alpha: `(*b, k)`.
    """
    return F.exp(logpdf(x, alpha))


def rvs(alpha: Any, shape: Any = None, seed: Any = None, dtype: FloatName | None = None) -> Any:
    """Random points; their gradient goes to `alpha`.

    Args:
        alpha: `(*b, k)`, above 0.
        shape: of the batch; None is that of `alpha`.
        seed: an integer or None, as in `tl.random`.
        dtype: of the result; None is that of `alpha`.
    """
    return F.random_dirichlet(alpha, shape, seed=seed, dtype=dtype)


def entropy(alpha: Any) -> Any:
    """The differential entropy.

    Args:
        alpha: `(*b, k)`, above 0.
    """
    alpha = _known(joint(alpha)[0])
    total = F.sum(alpha, axis=-1)
    constant = F.sum(F.lgamma(alpha), axis=-1) - F.lgamma(total)
    return constant + (total - alpha.shape[-1]) * F.digamma(total) - F.sum((alpha - 1.0) * F.digamma(alpha), axis=-1)


def mean(alpha: Any) -> Any:
    """The mean of each component.

    Args:
        alpha: `(*b, k)`, above 0.
    """
    alpha = _known(joint(alpha)[0])
    return alpha / F.sum(alpha, axis=-1, keepdims=True)


def var(alpha: Any) -> Any:
    """The variance of each component.

    Args:
        alpha: `(*b, k)`, above 0.
    """
    alpha = _known(joint(alpha)[0])
    total = F.sum(alpha, axis=-1, keepdims=True)
    share = alpha / total
    return share * (1.0 - share) / (total + 1.0)


def cov(alpha: Any) -> Any:
    """The covariance of the components.

    Args:
        alpha: `(*b, k)`, above 0.

    Returns: `(*b, k, k)`.
    """
    alpha = _known(joint(alpha)[0])
    total = F.sum(alpha, axis=-1, keepdims=True)
    share = alpha / total
    outer = F.expand_dims(share, -1) * F.expand_dims(share, -2)
    return (F.expand_dims(share, -1) * F.eye(int(alpha.shape[-1]), dtype=str(alpha.dtype)) - outer) / F.expand_dims(total + 1.0, -1)
