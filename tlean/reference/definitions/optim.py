"""Definitions of optimiser steps: (parameter, gradient, states, hyper) -> (parameter, states).

`hyper` begins with the rate, a factor of the gradient and the weight decay; what follows is each optimiser's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .scalars import sqrt


def _gradient(p: Any, g: Any, factor: Any, weight_decay: Any) -> Any:
    return factor * g + weight_decay * p


def _mean(old: Any, new: Any, keep: Any) -> Any:
    """The running mean that keeps the share `keep` of its old value."""
    return keep * old + (1 - keep) * new


def sgd(p: Any, g: Any, hyper: Any) -> Any:
    lr, factor, weight_decay = hyper
    return p - lr * _gradient(p, g, factor, weight_decay)


def momentum(p: Any, g: Any, velocity: Any, hyper: Any) -> Any:
    lr, factor, weight_decay, keep, dampening, nesterov, step = hyper
    g = _gradient(p, g, factor, weight_decay)
    velocity = g if step == 1 else keep * velocity + (1 - dampening) * g
    return p - lr * (g + keep * velocity if nesterov else velocity), velocity


def _adam(p: Any, g: Any, m: Any, v: Any, vmax: Any, hyper: Any) -> Any:
    lr, factor, weight_decay, beta1, beta2, eps, step, decoupled = hyper
    if decoupled:
        p, g = p * (1 - lr * weight_decay), factor * g
    else:
        g = _gradient(p, g, factor, weight_decay)
    m, v = _mean(m, g, beta1), _mean(v, g * g, beta2)
    vmax = v if vmax is None else np.maximum(vmax, v)
    p = p - lr / (1 - beta1**step) * m / (sqrt(vmax) / sqrt(1 - beta2**step) + eps)
    return p, m, v, vmax


def adam(p: Any, g: Any, m: Any, v: Any, hyper: Any) -> Any:
    return _adam(p, g, m, v, None, hyper)[:3]


def amsgrad(p: Any, g: Any, m: Any, v: Any, vmax: Any, hyper: Any) -> Any:
    return _adam(p, g, m, v, vmax, hyper)


def _rmsprop(p: Any, g: Any, v: Any, mean: Any, velocity: Any, hyper: Any) -> Any:
    lr, factor, weight_decay, alpha, eps, keep = hyper
    g = _gradient(p, g, factor, weight_decay)
    v = _mean(v, g * g, alpha)
    if mean is not None:
        mean = _mean(mean, g, alpha)
    update = g / (sqrt(v if mean is None else v - mean * mean) + eps)
    if velocity is not None:
        update = velocity = keep * velocity + update
    return tuple(x for x in (p - lr * update, v, mean, velocity) if x is not None)


def rmsprop(p: Any, g: Any, v: Any, hyper: Any) -> Any:
    return _rmsprop(p, g, v, None, None, hyper)


def rmsprop_momentum(p: Any, g: Any, v: Any, velocity: Any, hyper: Any) -> Any:
    return _rmsprop(p, g, v, None, velocity, hyper)


def rmsprop_centred(p: Any, g: Any, v: Any, mean: Any, hyper: Any) -> Any:
    return _rmsprop(p, g, v, mean, None, hyper)


def rmsprop_centred_momentum(p: Any, g: Any, v: Any, mean: Any, velocity: Any, hyper: Any) -> Any:
    return _rmsprop(p, g, v, mean, velocity, hyper)


def adagrad(p: Any, g: Any, total: Any, hyper: Any) -> Any:
    lr, factor, weight_decay, lr_decay, eps, step = hyper
    g = _gradient(p, g, factor, weight_decay)
    total = total + g * g
    return p - lr / (1 + (step - 1) * lr_decay) * g / (sqrt(total) + eps), total


def adadelta(p: Any, g: Any, v: Any, d: Any, hyper: Any) -> Any:
    lr, factor, weight_decay, rho, eps = hyper
    g = _gradient(p, g, factor, weight_decay)
    v = _mean(v, g * g, rho)
    update = sqrt(d + eps) / sqrt(v + eps) * g
    return p - lr * update, v, _mean(d, update * update, rho)


_STEPS = (sgd, momentum, adam, amsgrad, rmsprop, rmsprop_momentum, rmsprop_centred, rmsprop_centred_momentum, adagrad, adadelta)
DEFINITIONS: dict[str, Callable[..., Any]] = {f"_{f.__name__}_step": f for f in _STEPS}
