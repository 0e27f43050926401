"""Normalisations and losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .registry import Call, axis_of, reads
from .sizes import require_parts


def _per_channel(c: Call, v: Any, rank: int) -> Any:
    return c.ops.reshape(v, (1, *v.shape, *[1] * (rank - 2)))


@reads("BatchNormalization")
def _batch_norm(c: Call, x: Any, gamma: Any, beta: Any, mean: Any, var: Any) -> Any:
    eps, rank = c.get("epsilon", 1e-5), len(x.shape)
    results = ()
    if c.get("training_mode", 0):
        keep, axes = c.get("momentum", 0.9), (0, *range(2, rank))
        own_mean, own_var = c.ops.reduce_mean(x, axis=axes), c.ops.var(x, axis=axes)
        results = tuple(c.ops.add(c.ops.scale(a, keep), c.ops.scale(b, 1 - keep)) for a, b in ((mean, own_mean), (var, own_var)))
        mean, var = own_mean, own_var
    gamma, beta, mean, var = (_per_channel(c, v, rank) for v in (gamma, beta, mean, var))
    y = c.ops.mul(c.ops.sub(x, mean), c.ops.rsqrt(c.ops.shift(var, eps)))
    return c.ops.add(c.ops.mul(y, gamma), beta), *results


@reads("InstanceNormalization")
def _instance_norm(c: Call, x: Any, gamma: Any, beta: Any) -> Any:
    axes, rank = tuple(range(2, len(x.shape))), len(x.shape)
    y = _standard(c, x, axes, c.get("epsilon", 1e-5))[0]
    return c.ops.add(c.ops.mul(y, _per_channel(c, gamma, rank)), _per_channel(c, beta, rank))


def _standard(c: Call, x: Any, axes: tuple[int, ...], eps: float) -> tuple[Any, Any, Any]:
    mean = c.ops.reduce_mean(x, axis=axes, keepdims=True)
    centred = c.ops.sub(x, mean)
    rstd = c.ops.rsqrt(c.ops.shift(c.ops.reduce_mean(c.ops.mul(centred, centred), axis=axes, keepdims=True), eps))
    return c.ops.mul(centred, rstd), mean, rstd


@reads("LayerNormalization")
def _layer_norm(c: Call, x: Any, gamma: Any = None, beta: Any = None) -> Any:
    rank = len(x.shape)
    axis, eps = axis_of(c.get("axis", -1), rank), c.get("epsilon", 1e-5)
    last = axis == rank - 1 and (gamma is None or len(gamma.shape) == 1) and (beta is None or len(beta.shape) == 1)
    if c.outputs == 1 and last:
        return c.ops.layer_norm(x, gamma, beta, eps=eps)
    y, mean, rstd = _standard(c, x, tuple(range(axis, rank)), eps)
    y = y if gamma is None else c.ops.mul(y, gamma)
    return (y if beta is None else c.ops.add(y, beta)), mean, rstd


@reads("MeanVarianceNormalization")
def _mean_variance(c: Call, x: Any) -> Any:
    axes = tuple(axis_of(a, len(x.shape)) for a in c.get("axes", [0, 2, 3]))
    centred = c.ops.sub(x, c.ops.reduce_mean(x, axis=axes, keepdims=True))
    spread = c.ops.sqrt(c.ops.reduce_mean(c.ops.mul(centred, centred), axis=axes, keepdims=True))
    return c.ops.div(centred, c.ops.shift(spread, 1e-9))


@reads("LpNormalization")
def _lp_norm(c: Call, x: Any) -> Any:
    axis = axis_of(c.get("axis", -1), len(x.shape))
    size = c.ops.abs(x) if c.get("p", 2) == 1 else c.ops.mul(x, x)
    total = c.ops.reduce_sum(size, axis=(axis,), keepdims=True)
    total = total if c.get("p", 2) == 1 else c.ops.sqrt(total)
    zero = c.ops.equal(total, c.number(0, total))
    return c.ops.div(x, c.ops.where(zero, c.number(1, total), total))


@reads("LRN")
def _lrn(c: Call, x: Any) -> Any:
    n = c.get("size")
    require_parts("LRN", n)
    before, after = (n - 1) // 2, n - 1 - (n - 1) // 2
    wide = c.ops.pad(c.ops.mul(x, x), ((0, 0), (before, after), *[(0, 0)] * (len(x.shape) - 2)))
    part = [c.ops.slice(wide, (0, k, *[0] * (len(x.shape) - 2)), (x.shape[0], k + x.shape[1], *x.shape[2:])) for k in range(n)]
    total = part[0]
    for p in part[1:]:
        total = c.ops.add(total, p)
    scale = c.ops.shift(c.ops.scale(total, c.get("alpha", 1e-4) / n), c.get("bias", 1.0))
    return c.ops.div(x, c.ops.pow(scale, c.get("beta", 0.75)))


def _negative_log(c: Call, log_p: Any, labels: Any, weight: Any) -> Any:
    # Classes are the second axis.
    n, ignored = log_p.shape[1], c.get("ignore_index")
    at = c.cast(labels, "int64")
    at = c.ops.reshape(at, (at.shape[0], 1, *at.shape[1:]))
    places = c.ref(np.arange(n, dtype=np.int64).reshape(1, n, *[1] * (len(log_p.shape) - 2)))
    chosen = c.ops.equal(at, places)
    if ignored is not None:
        chosen = c.ops.logical_and(chosen, c.ops.not_equal(at, c.ref(np.int64(ignored))))
    rank = len(log_p.shape)
    share = c.ref(np.ones((1,) * rank, str(log_p.dtype))) if weight is None else _per_channel(c, weight, rank)
    share = c.ops.where(chosen, share, c.number(0, log_p))
    loss = c.ops.neg(c.ops.reduce_sum(c.ops.where(chosen, c.ops.mul(log_p, share), c.number(0, log_p)), axis=(1,)))
    how = c.get("reduction", "mean")
    if how == "none":
        return loss
    total = c.ops.sum(loss)
    return total if how == "sum" else c.ops.div(total, c.ops.sum(share))


@reads("NegativeLogLikelihoodLoss")
def _nll(c: Call, log_p: Any, labels: Any, weight: Any = None) -> Any:
    return _negative_log(c, log_p, labels, weight)


@reads("SoftmaxCrossEntropyLoss")
def _cross_entropy(c: Call, scores: Any, labels: Any, weight: Any = None) -> Any:
    log_p = c.ops.log_softmax(scores, axis=1)
    return _negative_log(c, log_p, labels, weight), log_p


@reads("RMSNormalization")
def _rms_norm(c: Call, x: Any, gamma: Any) -> Any:
    axes = tuple(range(axis_of(c.get("axis", -1), len(x.shape)), len(x.shape)))
    size = c.ops.shift(c.ops.reduce_mean(c.ops.mul(x, x), axis=axes, keepdims=True), c.get("epsilon", 1e-5))
    return c.ops.mul(c.ops.mul(x, c.ops.rsqrt(size)), gamma)


@reads("GroupNormalization")
def _group_norm(c: Call, x: Any, gamma: Any, beta: Any) -> Any:
    n, groups, rank = x.shape[0], c.get("num_groups"), len(x.shape)
    y = _standard(c, c.ops.reshape(x, (n, groups, math.prod(x.shape[1:]) // groups)), (2,), c.get("epsilon", 1e-5))[0]
    if c.opset >= 21:
        y = c.ops.reshape(y, tuple(x.shape))
        return c.ops.add(c.ops.mul(y, _per_channel(c, gamma, rank)), _per_channel(c, beta, rank))
    gamma, beta = (c.ops.reshape(v, (1, groups, 1)) for v in (gamma, beta))
    return c.ops.reshape(c.ops.add(c.ops.mul(y, gamma), beta), tuple(x.shape))
