"""Programs that broadcast and reduce again: a layer norm written by hand, distances of all pairs."""

from __future__ import annotations

from typing import Any


def norm_ours(ops: Any, x: Any, w: Any, b: Any) -> Any:
    d = ops.sub(x, ops.reduce_mean(x, -1, keepdims=True))
    spread = ops.sqrt(ops.shift(ops.reduce_mean(ops.square(d), -1, keepdims=True), 1e-5))
    return ops.mean(ops.square(ops.add(ops.mul(ops.div(d, spread), w), b)))


def norm_theirs(library: Any, x: Any, w: Any, b: Any) -> Any:
    # The same for PyTorch and for jax.numpy.
    keep = {"keepdims": True}
    d = x - library.mean(x, -1, **keep)
    return library.mean((d / library.sqrt(library.mean(d * d, -1, **keep) + 1e-5) * w + b) ** 2)


def norm_jax(x: Any, w: Any, b: Any) -> Any:
    import jax.numpy as jnp

    return norm_theirs(jnp, x, w, b)


def pairs_sum_ours(ops: Any, x: Any, y: Any) -> Any:
    return ops.mean(ops.square(ops.reduce_sum(ops.square(ops.sub(x, y)), 1)))


def pairs_sum_jax(x: Any, y: Any) -> Any:
    return (((x - y) ** 2).sum(1) ** 2).mean()


def pairs_logsumexp_ours(ops: Any, x: Any, y: Any) -> Any:
    return ops.mean(ops.logsumexp(ops.neg(ops.square(ops.sub(x, y)))))


def pairs_logsumexp_jax(x: Any, y: Any) -> Any:
    import jax

    return jax.scipy.special.logsumexp(-((x - y) ** 2), axis=1).mean()
