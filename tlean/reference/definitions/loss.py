"""Definitions of softmax and losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tlean.errors import IndexRangeError

from .scalars import exp, log, log1p, number, zeros


def logsumexp(x: Any, *, axis: Any = -1) -> Any:
    if x.ndim == 0:
        return x
    top = np.max(x, axis=axis, keepdims=True)
    # An infinite maximum is the result itself: there is nothing to take out.
    shift = np.where(np.isinf(top), 0, top) if x.dtype != object else top
    return np.squeeze(shift + log(np.sum(exp(x - shift), axis=axis, keepdims=True)), axis=axis)


def softmax(x: Any, *, axis: Any = -1) -> Any:
    if x.ndim == 0:
        return x - x + number(1, x)
    e = exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def log_softmax(x: Any, *, axis: Any = -1, eps: Any = None) -> Any:
    if x.ndim == 0:
        return x - x
    z = x - np.max(x, axis=axis, keepdims=True)
    return z - log(np.sum(exp(z), axis=axis, keepdims=True))


def _reduce(losses: Any, reduction: str) -> Any:
    losses = np.asarray(losses)  # arithmetic makes a number of an array without axes
    if reduction == "none":
        return losses
    total = np.sum(losses)
    return total / number(losses.size, losses) if reduction == "mean" else total


def mse_loss(yhat: Any, target: Any, *, reduction: str = "mean") -> Any:
    return _reduce((yhat - target) * (yhat - target), reduction)


def l1_loss(yhat: Any, target: Any, *, reduction: str = "mean") -> Any:
    return _reduce(np.abs(yhat - target), reduction)


def huber_loss(yhat: Any, target: Any, *, reduction: str = "mean", delta: float = 1.0) -> Any:
    difference = np.abs(yhat - target)
    d, half = number(delta, yhat), number(0.5, yhat)
    return _reduce(np.where(difference <= d, half * difference * difference, d * (difference - half * d)), reduction)


def bce_with_logits(logits: Any, target: Any, weight: Any = None, pos_weight: Any = None, *, reduction: str = "mean") -> Any:
    if pos_weight is None:
        losses = np.maximum(logits, 0) - logits * target + log1p(exp(-np.abs(logits)))
    else:
        # -ln of the probability of 0, and of 1.
        of_0, of_1 = (np.maximum(x, 0) + log1p(exp(-np.abs(x))) for x in (logits, -logits))
        losses = (number(1, logits) - target) * of_0 + pos_weight * target * of_1
    return _reduce(losses if weight is None else losses * weight, reduction)


def nll_loss(log_probs: Any, labels: Any, weight: Any = None, *, ignore_index: Any = None, reduction: str = "mean") -> Any:
    return _labelled(log_probs, labels, weight, 0.0, ignore_index, reduction)


def cross_entropy(
    logits: Any, labels: Any, weight: Any = None, *, label_smoothing: float = 0.0, ignore_index: Any = None, reduction: str = "mean"
) -> Any:
    return _labelled(log_softmax(logits), labels, weight, label_smoothing, ignore_index, reduction)


# Labels ----------------------------------------------------------------------------------------------------------------------


def _counted(labels: Any, classes: Any, ignore_index: Any, strict: bool = True) -> Iterator[Any]:
    """The position and value of every label that is not ignored. One that is no class raises IndexRangeError, or is left out."""
    for i in np.ndindex(labels.shape):
        label = int(labels[i])
        if label == ignore_index:
            continue
        if 0 <= label < classes:
            yield i, label
        elif strict:
            raise IndexRangeError(f"labels must be at least 0 and less than {classes}, not {label}")


def one_hot(dtype: Any, labels: Any, *, depth: int, ignore_index: Any = None, strict: bool = False) -> Any:
    """1 at the label along a new last axis, 0 elsewhere."""
    y = zeros((*labels.shape, depth), np.empty((), dtype=dtype))
    for i, label in _counted(labels, depth, ignore_index, strict):
        y[(*i, label)] += 1
    return y


def pick(x: Any, labels: Any, *, depth: int, ignore_index: Any) -> Any:
    y = zeros(labels.shape, x)
    for i, label in _counted(labels, depth, ignore_index):
        y[i] = x[(*i, label)]
    return y


def unpick(x: Any, labels: Any, *, depth: int, ignore_index: Any) -> Any:
    y = zeros((*labels.shape, depth), x)
    for i, label in _counted(labels, depth, ignore_index):
        y[(*i, label)] = x[i]
    return y


def _labelled(log_p: Any, labels: Any, weight: Any, smoothing: Any, ignore_index: Any, reduction: str) -> Any:
    classes = log_p.shape[-1]
    w = zeros((classes,), log_p) + number(1, log_p) if weight is None else weight
    e = number(smoothing, log_p)
    losses, total_weight = zeros(labels.shape, log_p), number(0, log_p)
    for i, label in _counted(labels, classes, ignore_index):
        losses[i] = -(1 - e) * w[label] * log_p[i][label]
        if e:
            losses[i] -= e / number(classes, log_p) * np.sum(w * log_p[i])
        total_weight += w[label]
    if reduction == "none":
        return losses
    return np.sum(losses) / total_weight if reduction == "mean" else np.sum(losses)


_LOSSES = (mse_loss, l1_loss, huber_loss, bce_with_logits, nll_loss, cross_entropy)
DEFINITIONS: dict[str, Callable[..., Any]] = {f.__name__: f for f in (logsumexp, softmax, log_softmax, *_LOSSES)} | {
    "_pick": pick,
    "_unpick": unpick,
}
