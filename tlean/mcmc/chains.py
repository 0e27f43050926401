"""How good chains are: their effective sample size and whether they agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlean.errors import DTypeError, ShapeError


def _numbers(name: str, x: Any) -> np.ndarray:
    try:
        array = np.asarray(x)
        if array.dtype.kind not in "biuf":
            raise TypeError
    except (TypeError, ValueError):
        raise DTypeError(f"{name}: x must be an array of numbers, got {type(x).__name__}") from None
    return array.astype(np.float64)


def _halves(name: str, x: Any) -> np.ndarray:
    array = _numbers(name, x)
    if array.ndim < 2 or array.shape[1] < 4:
        raise ShapeError(f"{name}: x must be (chains, draws, ...) with 4 draws or more, got shape {array.shape}")
    half = array.shape[1] // 2
    return np.concatenate([array[:, :half], array[:, -half:]])


def split_rhat(x: Any) -> np.ndarray:
    """The split R̂ of each number: near 1 where chains, and the halves of each, agree.

    Args:
        x: `(chains, draws, ...)`.

    Raises: ShapeError for fewer axes or draws.
    """
    halves = _halves("split_rhat", x)
    n = halves.shape[1]
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = halves.mean(axis=1).var(axis=0, ddof=1)
    return np.sqrt((n - 1) / n + between / within)


def effective_sample_size(x: Any) -> np.ndarray:
    """How many independent draws have the variance of the chains' mean, for each number.

    By autocorrelations, which are summed as long as sums of neighbours are positive and fall (Geyer 1992; Gelman et al., "Bayesian Data
    Analysis", 11.5).

    Args:
        x: `(chains, draws, ...)`.

    Raises: ShapeError for fewer axes or draws.
    """
    array = _numbers("effective_sample_size", x)
    _halves("effective_sample_size", array)
    chains, n = array.shape[:2]
    centered = array - array.mean(axis=1, keepdims=True)
    size = 2 ** int(np.ceil(np.log2(2 * n)))
    spectrum = np.fft.rfft(centered, size, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, size, axis=1)[:, :n] / n
    within = covariance[:, 0].mean(axis=0) * n / (n - 1.0)
    total = within * (n - 1.0) / n
    if chains > 1:
        total = total + array.mean(axis=1).var(axis=0, ddof=1)
    correlation = 1.0 - (within - covariance.mean(axis=0) * n / (n - 1.0)) / total
    correlation[0] = 1.0
    even = n - n % 2
    pairs = correlation[0:even:2] + correlation[1:even:2]
    # As long as they are positive, and then never more than the one before.
    positive = np.cumprod(pairs > 0.0, axis=0).astype(bool)
    pairs = np.minimum.accumulate(np.where(positive, pairs, 0.0), axis=0)
    return chains * n / (2.0 * pairs.sum(axis=0) - 1.0)
