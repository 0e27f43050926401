"""Definitions of attention, one query at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .linalg import matmul
from .scalars import exp, number, sqrt, zeros


def _allowed(mask: Any, shape: Any, causal: bool, bias: Any = None) -> Any:
    """Whether query i may attend to key j, for an array of scores (…, n, m)."""
    allowed = np.ones(shape, dtype=bool)
    if mask is not None:
        allowed &= mask.astype(bool)
    if bias is not None:
        allowed &= bias != -np.inf
    if causal:
        allowed &= np.tri(*shape[-2:], dtype=np.bool_)
    return allowed


def attention_allowed(dtype: Any, mask: Any, bias: Any, *, shape: Any, causal: bool) -> Any:
    like = np.empty((), dtype=dtype)
    return np.where(_allowed(mask, shape, causal, bias), number(1, like), number(0, like))


def attention(q: Any, k: Any, v: Any, mask: Any, bias: Any, *, causal: bool, scale: Any) -> Any:
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (q, k, v))
    y = zeros((*q.shape[:-1], v.shape[-1]), q)
    shape = (*q.shape[:-1], k.shape[-2])
    allowed = _allowed(mask, shape, causal, bias)
    more = None if bias is None else np.broadcast_to(bias, shape)
    for *batch, i in np.ndindex(q.shape[:-1]):
        b = tuple(batch)
        keys = np.flatnonzero(allowed[(*b, i)])
        if len(keys) == 0:
            continue
        scores = np.sum(q[(*b, i)] * k[b][keys], axis=-1) * scale
        if more is not None:
            scores = scores + more[(*b, i)][keys]
        weights = exp(scores - np.max(scores))
        y[(*b, i)] = np.sum((weights / np.sum(weights))[:, np.newaxis] * v[b][keys], axis=0)
    return y


def scaled_dot_product_attention(q: Any, k: Any, v: Any, mask: Any = None, *, causal: bool = False) -> Any:
    return attention(q, k, v, mask, None, causal=causal, scale=1 / sqrt(number(q.shape[-1], q)))


def multi_head_attention(wq: Any, wk: Any, wv: Any, wo: Any, x: Any, mask: Any = None, *, num_heads: Any) -> Any:
    h = wq.shape[1] // num_heads
    heads = []
    for i in range(num_heads):
        head = slice(i * h, (i + 1) * h)
        # (…, n, D) · (D, h): the head's columns of each projection.
        q, k, v = (_project(x, w[:, head]) for w in (wq, wk, wv))
        heads.append(scaled_dot_product_attention(q, k, v, mask))
    return _project(np.concatenate(heads, axis=-1), wo)


def _project(x: Any, w: Any) -> Any:
    rows = matmul(x.reshape(-1, x.shape[-1]), w)
    return rows.reshape(*x.shape[:-1], w.shape[1])


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "_attention": attention,
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "multi_head_attention": multi_head_attention,
}
