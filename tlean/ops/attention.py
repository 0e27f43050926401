"""Attention: softmax(Q Kᵀ/√h) V with a mask, and multi-head self-attention made of it.

The kernels keep memory linear in the sequence length; the decompositions below, from which second derivatives come, hold the n × m scores.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from ..errors import OptionError, ShapeError
from ..shapes import Shape, size
from .registry import Spec, defop
from .samples import Arr, bad, good

#: Replaces the maximum of a row with every score blocked: finite in both dtypes, so that nothing computed from it is NaN.
_LOW = -3e38


def _check(q: Shape, k: Shape, v: Shape, mask: Shape | None) -> None:
    if not len(q) == len(k) == len(v) >= 2:
        raise ShapeError("q, k and v must have equally many axes, at least two")
    if not q[:-2] == k[:-2] == v[:-2]:
        raise ShapeError("q, k and v must have the same leading axes")
    if q[-1] != k[-1]:
        raise ShapeError(f"q and k must have the same number of features, not {q[-1]} and {k[-1]}")
    if k[-2] != v[-2]:
        raise ShapeError(f"k and v must have the same length, not {k[-2]} and {v[-2]}")
    if min(q[-2], k[-2], q[-1], v[-1]) < 1:
        raise ShapeError("sequences and features must have at least one element")
    scores = (*q[:-1], k[-2])
    if mask is not None and mask not in (scores[-2:], scores):
        raise ShapeError(f"mask must have shape {scores[-2:]}" + (f" or {scores}" if len(scores) > 2 else ""))


def _params(q: Shape, k: Shape, v: Shape, mask: Shape | None, causal: bool) -> tuple[tuple, tuple]:
    """Ints: batch, n, m, features of q and k, features of v, whether each batch item has its own mask, causal."""
    own = mask is not None and len(mask) > 2
    return (size(q[:-2]), q[-2], k[-2], q[-1], v[-1], own, causal), ()


class _Weights:
    # The attention weights by primitives. Blocked scores are selected away before the exponential and after it, never multiplied away.
    def __init__(self, ops: Any, q: Any, k: Any, mask: Any, causal: bool) -> None:
        self.ops = ops
        self.factor = 1.0 / math.sqrt(q.shape[-1])
        scores = ops.scale(ops.matmul(q, k, transpose_a=False, transpose_b=True), self.factor)
        self.shape = scores.shape
        self.allowed = None
        if mask is not None or causal:
            self.allowed = ops._attention_allowed(mask, shape=self.shape, causal=causal)
        top = ops.detach(self.along(ops.reduce_max, self.select(scores, _LOW)))
        e = self.select(ops.exp(self.select(ops.sub(scores, top), 0.0)), 0.0)
        total = self.along(ops.reduce_sum, e)
        if self.allowed is not None:
            # A row with every score blocked: 0/1 rather than 0/0.
            total = ops.where(total, total, ops._full(shape=self.shape, value=1.0))
        self.p = ops.div(e, total)

    def select(self, x: Any, otherwise: float) -> Any:
        if self.allowed is None:
            return x
        return self.ops.where(self.allowed, x, self.ops._full(shape=self.shape, value=otherwise))

    def along(self, reduction: Any, x: Any) -> Any:
        """A reduction over each row, spread over it again."""
        return self.ops.broadcast_to(reduction(x, axis=(-1,), keepdims=True), shape=self.shape)


def _mask_samples() -> list:
    return [
        good(Arr((3, 4), "bool"), shape=(3, 4), causal=False),
        good(Arr((3, 4), "bool"), shape=(2, 3, 4), causal=True),
        good(Arr((2, 3, 4), "bool"), shape=(2, 3, 4), causal=False),
        good(None, shape=(2, 5, 3), causal=True),
        good(None, shape=(2, 3), causal=False),
    ]


@defop("_attention_allowed", samples=_mask_samples, optional=("mask",), dtypes={"mask": "bool"}, differentiable=False)
class AttentionAllowed:
    """1 where a query (row) may attend to a key (column), else 0."""

    def options(mask, *, shape, causal, dtype=None):
        return {"shape": shape, "causal": causal, "dtype": dtype}

    def shape(mask, *, shape, causal, dtype):
        return shape

    def kernel_params(mask, *, shape, causal, dtype):
        """Ints: batch, n, m, whether each batch item has its own mask, causal."""
        return (size(shape[:-2]), *shape[-2:], mask is not None and len(mask) > 2, causal), ()


def _sdpa_samples() -> list:
    return [
        good((3, 4), (5, 4), (5, 2)),
        good((2, 3, 4), (2, 3, 4), (2, 3, 4), causal=True),
        good((2, 3, 5), (2, 4, 5), (2, 4, 3), Arr((3, 4), "bool")),
        good((3, 5), (4, 5), (4, 3), Arr((3, 4), "values", data=((True, False, True, True), (False,) * 4, (False, True, False, False)))),
        good((2, 2, 3, 4), (2, 2, 4, 4), (2, 2, 4, 1), Arr((2, 2, 3, 4), "bool"), causal=True),
        good((17, 3), (33, 3), (33, 5), causal=True),
        good((1, 1), (1, 1), (1, 1)),
        good((0, 3, 4), (0, 3, 4), (0, 3, 4)),
        bad("ShapeError", (3, 4), (5, 3), (5, 2)),
        bad("ShapeError", (3, 4), (5, 4), (6, 2)),
        bad("ShapeError", (2, 3, 4), (5, 4), (5, 2)),
        bad("ShapeError", (2, 3, 4), (3, 5, 4), (3, 5, 2)),
        bad("ShapeError", (4,), (4,), (4,)),
        bad("ShapeError", (0, 4), (5, 4), (5, 2)),
        bad("ShapeError", (3, 4), (0, 4), (0, 2)),
        bad("ShapeError", (3, 0), (5, 0), (5, 2)),
        bad("ShapeError", (3, 4), (5, 4), (5, 2), Arr((5, 3), "bool")),
    ]


@defop(
    "scaled_dot_product_attention",
    samples=_sdpa_samples,
    optional=("mask",),
    dtypes={"mask": "bool"},
    residuals=("lse",),
    algebraic=False,
    source="Vaswani et al. 2017, equation 1; tiles: Dao et al. 2022",
)
class ScaledDotProductAttention:
    """Scaled dot-product attention: y = softmax(Q Kᵀ/√h) V, the softmax along each row, blocked scores excluded."""

    def options(q, k, v, mask=None, *, causal=False):
        return {"causal": bool(causal)}

    def shape(q, k, v, mask, *, causal):
        _check(q, k, v, mask)
        return (*q[:-1], v[-1])

    def residual_specs(q, k, v, mask, *, causal):
        return [Spec(q[:-1])]

    def kernel_params(q, k, v, mask, *, causal):
        return _params(q, k, v, mask, causal)

    def vjp(ops, g, y, q, k, v, mask, *, causal, lse):
        return (*ops._sdpa_grad(g, y, lse, q, k, v, mask, causal=causal), None)

    def decompose(ops, q, k, v, mask, *, causal):
        return ops.matmul(_Weights(ops, q, k, mask, causal).p, v, transpose_a=False, transpose_b=False)

    def flops(q, k, v, mask, *, causal):
        return 2.0 * size(q[:-1]) * k[-2] * (q[-1] + v[-1]) * (0.5 if causal else 1.0)


@defop(
    "_sdpa_grad",
    optional=("mask",),
    dtypes={"mask": "bool"},
    outputs=("dq", "dk", "dv"),
    algebraic=False,
    source="Dao et al. 2022, algorithm 4",
)
class SdpaGrad:
    """The gradients of scaled dot-product attention to q, k and v; y and lse are hints.

    With weights P: dV = Pᵀ g, dP = g Vᵀ, dS = P (dP − row sums of P dP)/√h, dQ = dS K, dK = dSᵀ Q.
    """

    def options(g, y, lse, q, k, v, mask=None, *, causal=False):
        return {"causal": bool(causal)}

    def shape(g, y, lse, q, k, v, mask, *, causal):
        _check(q, k, v, mask)
        return [q, k, v]

    def kernel_params(g, y, lse, q, k, v, mask, *, causal):
        return _params(q, k, v, mask, causal)

    def decompose(ops, g, y, lse, q, k, v, mask, *, causal):
        weights = _Weights(ops, q, k, mask, causal)
        p = weights.p
        dp = ops.matmul(g, v, transpose_a=False, transpose_b=True)
        ds = ops.mul(p, ops.sub(dp, weights.along(ops.reduce_sum, ops.mul(p, dp))))
        ds = ops.scale(ds, weights.factor)
        dq = ops.matmul(ds, k, transpose_a=False, transpose_b=False)
        dk = ops.matmul(ds, q, transpose_a=True, transpose_b=False)
        return dq, dk, ops.matmul(p, g, transpose_a=True, transpose_b=False)

    def flops(g, y, lse, q, k, v, mask, *, causal):
        return 2.0 * size(q[:-1]) * k[-2] * (3 * q[-1] + 2 * v[-1]) * (0.5 if causal else 1.0)


def _mha_samples() -> list:
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
