"""Multi-head attention, made of projections and of attention in each head."""

from __future__ import annotations

import operator
from typing import Any

from ...errors import OptionError, ShapeError
from ...shapes import size
from ..registry import defop
from ..samples import Arr, bad, good


def _mha_samples() -> list[Any]:
    return [
        good((4, 6), (4, 6), (4, 6), (6, 4), (5, 4), num_heads=2),
        good((4, 6), (4, 6), (4, 6), (6, 4), (2, 5, 4), num_heads=3),
        good((3, 2), (3, 2), (3, 2), (2, 3), (4, 3), Arr((4, 4), "bool"), num_heads=1),
        good((4, 4), (4, 4), (4, 4), (4, 4), (2, 3, 4), Arr((3, 3), "bool"), num_heads=2),
        good((1, 1), (1, 1), (1, 1), (1, 1), (1, 1), num_heads=1),
        bad("OptionError", (4, 6), (4, 6), (4, 6), (6, 4), (5, 4), num_heads=4),
        bad("OptionError", (4, 6), (4, 6), (4, 6), (6, 4), (5, 4), num_heads=0),
        bad("ShapeError", (4, 6), (4, 5), (4, 6), (6, 4), (5, 4), num_heads=1),
        bad("ShapeError", (4, 6), (4, 6), (4, 6), (4, 6), (5, 4), num_heads=1),
        bad("ShapeError", (4, 6), (4, 6), (4, 6), (6, 4), (5, 3), num_heads=1),
        bad("ShapeError", (4, 6), (4, 6), (4, 6), (6, 4), (4,), num_heads=1),
        bad("ShapeError", (4, 6), (4, 6), (4, 6), (6, 4), (0, 4), num_heads=1),
        bad("ShapeError", (4, 6), (4, 6), (4, 6), (6, 4), (5, 4), Arr((4, 5), "bool"), num_heads=1),
    ]


@defop(
    "multi_head_attention",
    samples=_mha_samples,
    optional=("mask",),
    dtypes={"mask": "bool"},
    algebraic=False,
    source="Vaswani et al. 2017, section 3.2.2",
)
class MultiHeadAttention:
    """Multi-head self-attention without biases: attention in each block of h columns of x·wq, x·wk, x·wv, joined and multiplied by wo."""

    def options(wq, wk, wv, wo, x, mask=None, *, num_heads):
        heads = operator.index(num_heads)
        if heads < 1:
            raise OptionError("num_heads must be at least 1")
        if len(wq) == 2 and wq[1] % heads:
            raise OptionError(f"num_heads must divide the {wq[1]} columns of wq")
        return {"num_heads": heads}

    def shape(wq, wk, wv, wo, x, mask, *, num_heads):
        if len(wq) != 2 or not wq == wk == wv:
            raise ShapeError("wq, wk and wv must have one shape with two axes: (D, heads * features)")
        if wo != wq[::-1]:
            raise ShapeError(f"wo must have shape {wq[::-1]}")
        if len(x) not in (2, 3) or x[-1] != wq[0]:
            raise ShapeError(f"x must have shape (n, {wq[0]}) or (N, n, {wq[0]})")
        if min(*wq, x[-2]) < 1:
            raise ShapeError("sequences and features must have at least one element")
        if mask is not None and mask != (x[-2], x[-2]):
            raise ShapeError(f"mask must have shape ({x[-2]}, {x[-2]})")
        return x

    def decompose(ops, wq, wk, wv, wo, x, mask, *, num_heads):
        n, features = x.shape[-2], wq.shape[1] // num_heads
        batch = size(x.shape[:-2])
        rows = x if len(x.shape) == 2 else ops.reshape(x, shape=(batch * n, x.shape[-1]))

        def heads(w):
            # (N·n, D) -> (N·n, H·h) -> (N, n, H, h) -> (N, H, n, h)
            columns = ops.matmul(rows, w, transpose_a=False, transpose_b=False)
            return ops.permute(ops.reshape(columns, shape=(batch, n, num_heads, features)), axes=(0, 2, 1, 3))

        y = ops.scaled_dot_product_attention(heads(wq), heads(wk), heads(wv), mask, causal=False)
        joined = ops.reshape(ops.permute(y, axes=(0, 2, 1, 3)), shape=(batch * n, num_heads * features))
        out = ops.matmul(joined, wo, transpose_a=False, transpose_b=False)
        return out if out.shape == x.shape else ops.reshape(out, shape=x.shape)

    def flops(wq, wk, wv, wo, x, mask, *, num_heads):
        return 2.0 * size(x[:-1]) * (4.0 * size(wq) + 2.0 * x[-2] * wq[1])
