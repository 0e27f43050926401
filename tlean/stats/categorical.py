"""The categorical distribution: class i of k with a probability in proportion to exp(logits[i])."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import functions as F
from .values import within

__all__ = ["logpmf", "pmf", "rvs"]


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
