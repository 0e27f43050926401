"""Definitions of normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .scalars import number, sqrt


def _moments(x: Any, axes: Any) -> Any:
    n = number(np.prod([x.shape[a] for a in axes], dtype=int), x)
    mean = np.sum(x, axis=axes, keepdims=True) / n
    deviation = x - mean
    return mean, np.sum(deviation * deviation, axis=axes, keepdims=True) / n


def layer_norm(x: Any, gamma: Any = None, beta: Any = None, *, eps: float = 1e-5) -> Any:
    mean, var = _moments(x, (x.ndim - 1,))
    y = (x - mean) / sqrt(var + number(eps, x))
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def _channel_axis(x: Any) -> Any:
    # Three axes are one image (C, H, W); more, or two, have a batch axis in front.
    return 0 if x.ndim == 3 else 1


def _per_channel(v: Any, x: Any) -> Any:
    channel = _channel_axis(x)
    return v.reshape(tuple(n if a == channel else 1 for a, n in enumerate(x.shape)))


def batch_stats(x: Any) -> Any:
    channel = _channel_axis(x)
    mean, var = _moments(x, tuple(a for a in range(x.ndim) if a != channel))
    return mean.reshape(-1), var.reshape(-1)


def batchnorm_channel_first(x: Any, gamma: Any, beta: Any, *, eps: float = 1e-5) -> Any:
    mean, var = batch_stats(x)
    return batchnorm_channel_first_eval(x, gamma, beta, mean, var, eps=eps)


def batchnorm_channel_first_eval(x: Any, gamma: Any, beta: Any, mean: Any, var: Any, *, eps: float = 1e-5) -> Any:
    normal = (x - _per_channel(mean, x)) / sqrt(_per_channel(var, x) + number(eps, x))
    return _per_channel(gamma, x) * normal + _per_channel(beta, x)


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "layer_norm": layer_norm,
    "batch_stats": batch_stats,
    "batchnorm_channel_first": batchnorm_channel_first,
    "batchnorm_channel_first_eval": batchnorm_channel_first_eval,
}
