"""The normal distribution of vectors, as `scipy.stats.multivariate_normal`, with any batch before the last axes."""

from __future__ import annotations

from typing import Any

import tlean.functions as F

from ..arguments import shape as checked_shape
from ..errors import ShapeError
from .values import HALF_LOG_2PI, broadcast, float_of, floats, spread

__all__ = ["cov", "entropy", "logpdf", "mean", "pdf", "rvs", "var"]


def _vectors(*values: Any) -> list[Any]:
    # Vectors, then the covariance, in one float dtype. Raises: ShapeError.
    *vectors, cov = floats(*values)
    if len(cov.shape) < 2 or cov.shape[-1] != cov.shape[-2]:
        raise ShapeError(f"multivariate_normal: cov must be (*b, d, d), got shape {tuple(cov.shape)}")
    broadcast(tuple(cov.shape)[:-1], *(tuple(v.shape) for v in vectors))
    if any(v.shape and v.shape[-1] != cov.shape[-1] for v in vectors):
        got = " and ".join(str(tuple(v.shape)) for v in vectors)
        raise ShapeError(f"multivariate_normal: vectors must have the {cov.shape[-1]} components of cov, got {got}")
    return [*vectors, cov]


def logpdf(x: Any, mean: Any, cov: Any) -> Any:
    """The logarithm of the density, by the Cholesky factor of the covariance.

    Args:
        x: `(*b, d)`.
        mean: `(*b, d)`, or a number.
        cov: `(*b, d, d)`, positive definite; all three broadcast over their batches.

    Raises: LinAlgError where an eager covariance is not positive definite; compiled programs give NaN.
    """
    x, mean, cov = _vectors(x, mean, cov)
    factor = F.linalg_cholesky(cov)
    white = F.linalg_solve_triangular(factor, F.expand_dims(x - mean, -1), lower=True)
    spread = F.sum(F.log(F.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)
    return -0.5 * F.sum(F.square(white), axis=(-2, -1)) - spread - HALF_LOG_2PI * cov.shape[-1]


def pdf(x: Any, mean: Any, cov: Any) -> Any:
    """The density.

    Args:
        x, mean: `(*b, d)`.
        cov: `(*b, d, d)`.
    """
    return F.exp(logpdf(x, mean, cov))


def rvs(mean: Any, cov: Any, shape: Any = (), seed: Any = None) -> Any:
    """Random vectors: the mean and a Cholesky factor times standard normal numbers; their gradient goes to both parameters.

    Args:
        mean: `(*b, d)`.
        cov: `(*b, d, d)`.
        shape: of what comes before the parameters' batch: the result is `(*shape, *b, d)`.
        seed: an integer or None, as in `tl.random`.
    """
    mean, cov = _vectors(mean, cov)
    shape = checked_shape("multivariate_normal.rvs", (shape,) if isinstance(shape, int) else shape)
    batch = tuple(F.expand_dims(mean, -1).shape) if len(mean.shape) >= len(cov.shape) else tuple(cov.shape)
    noise = F.random_normal((*shape, *batch[:-2], cov.shape[-1], 1), seed=seed, dtype=float_of(cov))
    return mean + F.squeeze(F.matmul(F.linalg_cholesky(cov), noise), axis=-1)


def entropy(mean: Any, cov: Any) -> Any:
    """The differential entropy.

    Args:
        mean: `(*b, d)`, or a number.
        cov: `(*b, d, d)`, positive definite.
    """
    mean, cov = _vectors(mean, cov)
    factor = F.linalg_cholesky(cov)
    logs = F.sum(F.log(F.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)
    return logs + (0.5 + HALF_LOG_2PI) * cov.shape[-1]


def mean(mean: Any, cov: Any) -> Any:
    """The mean.

    Args:
        mean: `(*b, d)`, or a number.
        cov: `(*b, d, d)`.
    """
    mean, cov = _vectors(mean, cov)
    return spread(mean, F.diagonal(cov, axis1=-2, axis2=-1))


def var(mean: Any, cov: Any) -> Any:
    """The variance of each component.

    Args:
        mean: `(*b, d)`, or a number.
        cov: `(*b, d, d)`.
    """
    mean, cov = _vectors(mean, cov)
    return spread(F.diagonal(cov, axis1=-2, axis2=-1), mean)


def cov(mean: Any, cov: Any) -> Any:
    """The covariance, over the batch of both.

    Args:
        mean: `(*b, d)`, or a number.
        cov: `(*b, d, d)`.
    """
    mean, cov = _vectors(mean, cov)
    return spread(cov, F.expand_dims(mean, -1)) if len(mean.shape) else cov
