"""The categorical distribution: class i of k with a probability in proportion to exp(logits[i])."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tlean.functions as F

from .values import within

__all__ = ["cdf", "entropy", "logpmf", "mean", "pmf", "ppf", "rvs", "sf", "var"]


def logpmf(k: Any, logits: Any) -> Any:
    """The logarithm of the probability; -inf for a class that there is not.

    Args:
        k: `b`, integers.
        logits: `(*b, n)`; both broadcast.

    """
    scores = F.log_softmax(logits)
    classes = int(scores.shape[-1])
    shape = np.broadcast_shapes(tuple(scores.shape)[:-1], np.shape(k) if not hasattr(k, "shape") else tuple(k.shape))
    if tuple(scores.shape)[:-1] != shape:
        scores = F.broadcast_to(scores, (*shape, classes))
    # The place of each entry in the scores as one vector.
    first = np.arange(0, math.prod(shape) * classes, classes).reshape(shape)
    inside = F.logical_and(F.greater_equal(k, 0), F.less(k, classes))
    return within(inside, F.take(F.reshape(scores, (-1,)), F.where(inside, k, 0) + first))


def pmf(k: Any, logits: Any) -> Any:
    """The probability.

    Args:
        k: `b`, integers.
        logits: `(*b, n)`; both broadcast.
    """
    return F.exp(logpmf(k, logits))


def rvs(logits: Any, shape: Any = None, seed: Any = None) -> Any:
    """Random classes, without a gradient.

    Args:
        logits: `(*b, n)`.
        shape: of the result; None is `b`.
        seed: an integer or None, as in `tl.random`.
    """
    return F.random_categorical(logits, shape, seed=seed)


def cdf(k: Any, logits: Any) -> Any:
    """The probability of a class up to k.

    Args:
        k: `b`, integers.
        logits: `(*b, n)`; both broadcast.
    """
    sums = F.cumsum(F.softmax(logits), axis=-1)
    classes = int(sums.shape[-1])
    at = F.expand_dims(F.minimum(F.maximum(k, 0), classes - 1), -1)
    lead = np.broadcast_shapes(tuple(sums.shape)[:-1], tuple(at.shape)[:-1])
    value = F.squeeze(F.take_along_axis(F.broadcast_to(sums, (*lead, classes)), F.broadcast_to(at, (*lead, 1)), axis=-1), axis=-1)
    return F.where(F.less(k, 0), 0.0, F.where(F.less(k, classes - 1), value, F.ones_like(value)))


def sf(k: Any, logits: Any) -> Any:
    """The probability of a class above k.

    Args:
        k: `b`, integers.
        logits: `(*b, n)`; both broadcast.
    """
    return 1.0 - cdf(k, logits)


def ppf(q: Any, logits: Any) -> Any:
    """The least class whose `cdf` is at least q, an integer.

    Args:
        q: `b`, 0 … 1.
        logits: `(*b, n)`; both broadcast.
    """
    sums = F.cumsum(F.softmax(logits), axis=-1)[..., :-1]
    return F.sum(F.less(sums, F.expand_dims(q, -1)), axis=-1)


def entropy(logits: Any) -> Any:
    """The entropy, in natural units.

    Args:
        logits: `(*b, n)`.
    """
    logs = F.log_softmax(logits)
    shares = F.exp(logs)
    return -F.sum(F.where(F.equal(shares, 0.0), 0.0, shares * F.where(F.equal(shares, 0.0), 0.0, logs)), axis=-1)


def mean(logits: Any) -> Any:
    """The mean of the class as a number.

    Args:
        logits: `(*b, n)`.
    """
    shares = F.softmax(logits)
    return F.sum(shares * F.arange(0, int(shares.shape[-1]), dtype=str(shares.dtype)), axis=-1)


def var(logits: Any) -> Any:
    """The variance of the class as a number.

    Args:
        logits: `(*b, n)`.
    """
    shares = F.softmax(logits)
    classes = F.arange(0, int(shares.shape[-1]), dtype=str(shares.dtype))
    return F.sum(shares * F.square(classes - F.expand_dims(mean(logits), -1)), axis=-1)
