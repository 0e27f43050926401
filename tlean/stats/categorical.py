"""The categorical distribution: class i of k with a probability in proportion to exp(logits[i])."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tlean.functions as F

from ..errors import ShapeError
from .values import within

__all__ = ["cdf", "entropy", "isf", "logcdf", "logpmf", "logsf", "mean", "pmf", "ppf", "rvs", "sf", "var"]


def _scores(logits: Any) -> Any:
    # Raises: ShapeError for a number.
    logits = logits if hasattr(logits, "shape") else np.asarray(logits)
    if not logits.shape:
        raise ShapeError("categorical: logits must have an axis of classes, got a number")
    return logits


def logpmf(k: Any, logits: Any) -> Any:
    """The logarithm of the probability; -inf for a class that there is not.

    Args:
        k: `b`, integers.
        logits: `(*b, n)`; both broadcast.

    """
    scores = F.log_softmax(_scores(logits))
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


def _at(values: Any, k: Any, low: float, high: float) -> Any:
    # The value of class k; `low` below the first class, `high` from the last one on.
    classes = int(values.shape[-1])
    at = F.expand_dims(F.minimum(F.maximum(k, 0), classes - 1), -1)
    lead = np.broadcast_shapes(tuple(values.shape)[:-1], tuple(at.shape)[:-1])
    value = F.squeeze(F.take_along_axis(F.broadcast_to(values, (*lead, classes)), F.broadcast_to(at, (*lead, 1)), axis=-1), axis=-1)
    return F.where(F.less(k, 0), low, F.where(F.less(k, classes - 1), value, F.full_like(value, high)))


def _beyond(values: Any, sums: Any) -> Any:
    # For each class what `sums` makes of those after it; for the last one what it makes of the last one, which is not read.
    from_end = F.flip(sums(F.flip(values, axis=-1)), axis=-1)
    return F.concat([from_end[..., 1:], from_end[..., -1:]], axis=-1)


def cdf(k: Any, logits: Any) -> Any:
    """The probability of a class up to k.

    Args:
        k: `b`, integers.
        logits: `(*b, n)`; both broadcast.
    """
    return _at(F.cumsum(F.softmax(_scores(logits)), axis=-1), k, 0.0, 1.0)


def sf(k: Any, logits: Any) -> Any:
    """The probability of a class above k, exact where it is small.

    Args:
        k: `b`, integers.
        logits: `(*b, n)`; both broadcast.
    """
    return _at(_beyond(F.softmax(_scores(logits)), lambda p: F.cumsum(p, axis=-1)), k, 1.0, 0.0)


def logcdf(k: Any, logits: Any) -> Any:
    """The logarithm of `cdf`, without the loss of small probabilities.

    Args:
        k: `b`, integers.
        logits: `(*b, n)`; both broadcast.
    """
    return _at(F.cumlogsumexp(F.log_softmax(_scores(logits)), axis=-1), k, -math.inf, 0.0)


def logsf(k: Any, logits: Any) -> Any:
    """The logarithm of `sf`, without the loss of small probabilities.

    Args:
        k: `b`, integers.
        logits: `(*b, n)`; both broadcast.
    """
    return _at(_beyond(F.log_softmax(_scores(logits)), lambda p: F.cumlogsumexp(p, axis=-1)), k, 0.0, -math.inf)


def ppf(q: Any, logits: Any) -> Any:
    """The least class whose `cdf` is at least q, an integer.

    Args:
        q: `b`, 0 … 1.
        logits: `(*b, n)`; both broadcast.
    """
    sums = F.cumsum(F.softmax(_scores(logits)), axis=-1)[..., :-1]
    return F.sum(F.less(sums, F.expand_dims(q, -1)), axis=-1)


def isf(q: Any, logits: Any) -> Any:
    """The least class whose `sf` is at most q, an integer.

    Args:
        q: `b`, 0 … 1.
        logits: `(*b, n)`; both broadcast.
    """
    beyond = _beyond(F.softmax(_scores(logits)), lambda p: F.cumsum(p, axis=-1))[..., :-1]
    return F.sum(F.greater(beyond, F.expand_dims(q, -1)), axis=-1)


def entropy(logits: Any) -> Any:
    """The entropy, in natural units.

    Args:
        logits: `(*b, n)`.
    """
    logs = F.log_softmax(_scores(logits))
    shares = F.exp(logs)
    return -F.sum(F.where(F.equal(shares, 0.0), 0.0, shares * F.where(F.equal(shares, 0.0), 0.0, logs)), axis=-1)


def mean(logits: Any) -> Any:
    """The mean of the class as a number.

    Args:
        logits: `(*b, n)`.
    """
    shares = F.softmax(_scores(logits))
    return F.sum(shares * F.arange(0, int(shares.shape[-1]), dtype=str(shares.dtype)), axis=-1)


def var(logits: Any) -> Any:
    """The variance of the class as a number.

    Args:
        logits: `(*b, n)`.
    """
    shares = F.softmax(_scores(logits))
    classes = F.arange(0, int(shares.shape[-1]), dtype=str(shares.dtype))
    return F.sum(shares * F.square(classes - F.expand_dims(mean(logits), -1)), axis=-1)
