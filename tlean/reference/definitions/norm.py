"""Definitions of normalisation."""

from __future__ import annotations

import numpy as np

from .scalars import number, sqrt


def _moments(x, axes):
    n = number(np.prod([x.shape[a] for a in axes], dtype=int), x)
    mean = np.sum(x, axis=axes, keepdims=True) / n
    deviation = x - mean
    return mean, np.sum(deviation * deviation, axis=axes, keepdims=True) / n


def layer_norm(x, gamma=None, beta=None, *, eps=1e-5):
    mean, var = _moments(x, (x.ndim - 1,))
    y = (x - mean) / sqrt(var + number(eps, x))
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def _channel_axis(x):
    # Three axes are one image (C, H, W); more, or two, have a batch axis in front.
    return 0 if x.ndim == 3 else 1


def _per_channel(v, x):
    channel = _channel_axis(x)
    return v.reshape(tuple(n if a == channel else 1 for a, n in enumerate(x.shape)))


def batch_stats(x):
    channel = _channel_axis(x)
    mean, var = _moments(x, tuple(a for a in range(x.ndim) if a != channel))
    return mean.reshape(-1), var.reshape(-1)


def batchnorm_channel_first(x, gamma, beta, *, eps=1e-5):
    mean, var = batch_stats(x)
    return batchnorm_channel_first_eval(x, gamma, beta, mean, var, eps=eps)


def batchnorm_channel_first_eval(x, gamma, beta, mean, var, *, eps=1e-5):
    normal = (x - _per_channel(mean, x)) / sqrt(_per_channel(var, x) + number(eps, x))
    return _per_channel(gamma, x) * normal + _per_channel(beta, x)


DEFINITIONS = {
    "layer_norm": layer_norm,
    "batch_stats": batch_stats,
    "batchnorm_channel_first": batchnorm_channel_first,
    "batchnorm_channel_first_eval": batchnorm_channel_first_eval,
}
