"""Distances and angles between vectors along an axis, and the losses made of them."""

from __future__ import annotations

import math
from typing import Any

from ...arguments import truth
from ...errors import completing
from ...shapes import Shape, normalize_axis
from ..registry import array, composite
from .reductions import number, reduced


def _distance(ops: Any, a: Any, b: Any, p: float, eps: float, keepdims: bool = False) -> Any:
    # The p-norm of a − b + eps along the last axis.
    d = ops.abs(ops.shift(ops.sub(a, b), eps))
    if p == math.inf:
        return ops.reduce_max(d, (-1,), keepdims)
    if p == 1.0:
        return ops.reduce_sum(d, (-1,), keepdims)
    if p == 2.0:
        return ops.sqrt(ops.reduce_sum(ops.square(d), (-1,), keepdims))
    return ops.pow(ops.reduce_sum(ops.pow(d, p), (-1,), keepdims), 1.0 / p)


@composite
def pairwise_distance(
    ops: Any, a: Any, b: Any, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False, *, name: str | None = None
) -> Any:
    """The p-norm of a − b + eps along the last axis."""
    a, b = array(ops, a, "pairwise_distance: a"), array(ops, b, "pairwise_distance: b")
    with completing("pairwise_distance", a=a, b=b, p=p, eps=eps, keepdims=keepdims):
        d = _distance(ops, a, b, number("p", p, 1.0), number("eps", eps), truth("keepdims", keepdims))
        return reduced(ops, d, "none", name)


@composite
def cosine_similarity(ops: Any, a: Any, b: Any, axis: int = -1, eps: float = 1e-8, *, name: str | None = None) -> Any:
    """The cosine of the angle between vectors: their product over that of their lengths, each at least eps."""
    a, b = array(ops, a, "cosine_similarity: a"), array(ops, b, "cosine_similarity: b")
    with completing("cosine_similarity", a=a, b=b, axis=axis, eps=eps):
        products = ops.mul(a, b)
        shape, least = tuple(products.shape), number("eps", eps, 0.0)
        k = normalize_axis(axis, len(shape))

        def length(x: Any) -> Any:
            return ops.clamp(ops.sqrt(ops.reduce_sum(ops.square(_whole(ops, x, shape, k)), k)), least, math.inf)

        return ops.div(ops.reduce_sum(products, k), ops.mul(length(a), length(b)), name=name)


def _whole(ops: Any, x: Any, shape: Shape, axis: int) -> Any:
    # x with as many axes as the shape, and as long along that one.
    own = (1,) * (len(shape) - len(x.shape)) + tuple(x.shape)
    x = x if len(own) == len(x.shape) else ops.reshape(x, own)
    return x if own[axis] == shape[axis] else ops.broadcast_to(x, (*own[:axis], shape[axis], *own[axis + 1 :]))


@composite
def cosine_embedding_loss(
    ops: Any, a: Any, b: Any, target: Any, reduction: str = "mean", margin: float = 0.0, *, name: str | None = None
) -> Any:
    """1 − cos where the target is 1, max(0, cos − margin) where it is −1, for the angle between vectors along the last axis."""
    a, b = array(ops, a, "cosine_embedding_loss: a"), array(ops, b, "cosine_embedding_loss: b")
    target = array(ops, target, "cosine_embedding_loss: target")
    with completing("cosine_embedding_loss", a=a, b=b, target=target, reduction=reduction, margin=margin):
        products = ops.mul(a, b)
        shape, k = tuple(products.shape), normalize_axis(-1, len(products.shape))
        squares = (ops.shift(ops.reduce_sum(ops.square(_whole(ops, x, shape, k)), k), 1e-12) for x in (a, b))
        cos = ops.div(ops.reduce_sum(products, k), ops.sqrt(ops.mul(*squares)))
        share = ops.scale(ops.shift(target, 1.0), 0.5)
        alike = ops.mul(share, ops.shift(ops.neg(cos), 1.0))
        apart = ops.mul(ops.shift(ops.neg(share), 1.0), ops.relu(ops.shift(cos, -number("margin", margin))))
        return reduced(ops, ops.add(alike, apart), reduction, name)


@composite
def triplet_margin_loss(
    ops: Any,
    anchor: Any,
    positive: Any,
    negative: Any,
    reduction: str = "mean",
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    name: str | None = None,
) -> Any:
    """max(0, margin + d(anchor, positive) − d(anchor, negative)), d the distance along the last axis."""
    arrays = {"anchor": anchor, "positive": positive, "negative": negative}
    first, near, far = (array(ops, x, f"triplet_margin_loss: {n}") for n, x in arrays.items())
    with completing("triplet_margin_loss", **arrays, reduction=reduction, margin=margin, p=p, eps=eps, swap=swap):
        order, small = number("p", p, 1.0), number("eps", eps)
        wrong = _distance(ops, first, far, order, small)
        if swap:
            wrong = ops.min(wrong, _distance(ops, near, far, order, small))
        losses = ops.relu(ops.shift(ops.sub(_distance(ops, first, near, order, small), wrong), number("margin", margin, 0.0)))
        return reduced(ops, losses, reduction, name)
