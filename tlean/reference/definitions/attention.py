"""Definitions of attention, one query at a time."""

from __future__ import annotations

import numpy as np

from .linalg import matmul
from .scalars import exp, number, sqrt, zeros


def _allowed(mask, shape, causal):
    """Whether query i may attend to key j, for an array of scores (…, n, m)."""
    allowed = np.ones(shape, dtype=bool)
    if mask is not None:
        allowed &= mask.astype(bool)
    if causal:
        allowed &= np.tri(*shape[-2:], dtype=bool)
    return allowed


def attention_allowed(dtype, mask, *, shape, causal):
    like = np.empty((), dtype=dtype)
    return np.where(_allowed(mask, shape, causal), number(1, like), number(0, like))


def scaled_dot_product_attention(q, k, v, mask=None, *, causal=False):
    h = q.shape[-1]
    y = zeros((*q.shape[:-1], v.shape[-1]), q)
    allowed = _allowed(mask, (*q.shape[:-1], k.shape[-2]), causal)
    for *batch, i in np.ndindex(q.shape[:-1]):
        b = tuple(batch)
        keys = np.flatnonzero(allowed[(*b, i)])
        if len(keys) == 0:
            continue
        scores = np.sum(q[(*b, i)] * k[b][keys], axis=-1) / sqrt(number(h, q))
        weights = exp(scores - np.max(scores))
        y[(*b, i)] = np.sum((weights / np.sum(weights))[:, np.newaxis] * v[b][keys], axis=0)
    return y


def multi_head_attention(wq, wk, wv, wo, x, mask=None, *, num_heads):
    h = wq.shape[1] // num_heads
    heads = []
    for i in range(num_heads):
        head = slice(i * h, (i + 1) * h)
        # (…, n, D) · (D, h): the head's columns of each projection.
        q, k, v = (_project(x, w[:, head]) for w in (wq, wk, wv))
        heads.append(scaled_dot_product_attention(q, k, v, mask))
    return _project(np.concatenate(heads, axis=-1), wo)


def _project(x, w):
    rows = matmul(x.reshape(-1, x.shape[-1]), w)
    return rows.reshape(*x.shape[:-1], w.shape[1])


DEFINITIONS = {
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "multi_head_attention": multi_head_attention,
}
