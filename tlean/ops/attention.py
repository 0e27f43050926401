"""Attention: softmax(Q Kᵀ/√h) V with a mask.

The kernels keep memory linear in the sequence length; the decompositions below, from which second derivatives come, hold the n × m scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..arguments import truth
from ..errors import ShapeError
from ..shapes import Shape, broadcast_shapes, size
from .registry import Spec, defop
from .samples import Arr, bad, good

#: Replaces the maximum of a row with every score blocked: finite in both dtypes, so that nothing computed from it is NaN.
_LOW = -3e38


def checked(q: Shape, k: Shape, v: Shape, mask: Shape | None, bias: Shape | None = None) -> Shape:
    """The shape of the scores. Raises: ShapeError for shapes that do not go together."""
    if not len(q) == len(k) == len(v) >= 2:
        raise ShapeError("q, k and v must have equally many axes, at least two")
    lead = broadcast_shapes(("q", "k", "v"), (q[:-2], k[:-2], v[:-2]))
    if q[-1] != k[-1]:
        raise ShapeError(f"q and k must have the same number of features, not {q[-1]} and {k[-1]}")
    if k[-2] != v[-2]:
        raise ShapeError(f"k and v must have the same length, not {k[-2]} and {v[-2]}")
    if min(q[-2], k[-2], q[-1], v[-1]) < 1:
        raise ShapeError("sequences and features must have at least one element")
    scores = (*lead, q[-2], k[-2])
    for name, part in (("mask", mask), ("bias", bias)):
        if part is not None and (len(part) > len(scores) or any(d not in (1, n) for d, n in zip(part[::-1], scores[::-1], strict=False))):
            raise ShapeError(f"{name} must broadcast to the shape of the scores, {scores}")
    return scores


def _even(q: Shape, k: Shape, v: Shape, mask: Shape | None) -> bool:
    # Whether nothing broadcasts but a mask that all batch items share.
    return q[:-2] == k[:-2] == v[:-2] and (mask is None or (mask[-2:] == (q[-2], k[-2]) and mask[:-2] in ((), q[:-2])))


def runs(lead: Shape, part: Shape) -> tuple[int, int] | None:
    """Which part of a mask or bias with leading axes `part` a batch item has: part (item // each) % parts. None if it cannot be said so."""
    own = [k for k, d in enumerate(part) if d != 1]
    if not own:
        return 1, 1
    first, last = own[0], own[-1] + 1
    return None if part[first:last] != lead[first:last] else (size(lead[last:]), size(part))


def place(lead: Shape, scores: Shape, part: Shape | None) -> Shape:
    """Where batch items have their parts of a mask or bias: (each, parts, elements of a part, elements from one row to the next)."""
    if part is None:
        return 1, 1, 0, 0
    each, parts = runs(lead, part[:-2]) or (1, 1)
    return each, parts, part[-2] * part[-1], 0 if part[-2] == 1 else part[-1]


def whole_part(ops: Any, part: Any, scores: Shape) -> Any:
    """A mask or bias as the kernels take it: with all axes, whole rows, and leading axes of which a run of neighbours is its own."""
    if part is None:
        return None
    shape = (1,) * (len(scores) - len(part.shape)) + tuple(part.shape)
    wanted = (*(shape[:-2] if runs(scores[:-2], shape[:-2]) else scores[:-2]), shape[-2], scores[-1])
    part = part if shape == tuple(part.shape) else ops.reshape(part, shape=shape)
    return part if shape == wanted else ops.broadcast_to(part, shape=wanted)


def attend(ops: Any, q: Any, k: Any, v: Any, mask: Any, bias: Any, causal: bool, scale: float) -> Any:
    """Attention of arrays that broadcast, with a scale and a bias.

    Args:
        ops: the backend.
        q, k, v: arrays of equally many axes.
        mask, bias: what broadcasts to the scores; or None.
        causal, scale: options.
    """
    scores = checked(*(tuple(x.shape) for x in (q, k, v)), *(None if x is None else tuple(x.shape) for x in (mask, bias)))
    lead = scores[:-2]
    q, k, v = (x if tuple(x.shape[:-2]) == lead else ops.broadcast_to(x, shape=(*lead, *x.shape[-2:])) for x in (q, k, v))
    return ops._attention(q, k, v, whole_part(ops, mask, scores), whole_part(ops, bias, scores), causal=causal, scale=scale)


def _params(q: Shape, k: Shape, v: Shape, mask: Shape | None, causal: bool) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Ints: batch, n, m, features of q and k, features of v, whether each batch item has its own mask, causal."""
    own = mask is not None and len(mask) > 2
    return (size(q[:-2]), q[-2], k[-2], q[-1], v[-1], own, causal), ()


class Weights:
    """The attention weights by primitives. Blocked scores are selected away before the exponential and after it, never multiplied away."""

    def __init__(self, ops: Any, q: Any, k: Any, mask: Any, causal: bool, bias: Any = None, scale: float | None = None) -> None:
        self.ops = ops
        self.factor: float = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
        scores = ops.scale(ops.matmul(q, k, transpose_a=False, transpose_b=True), self.factor)
        self.shape: Any = scores.shape
        if bias is not None:
            scores = ops.add(scores, ops.broadcast_to(bias, shape=self.shape))
        self.allowed: Any = None
        if mask is not None or causal or bias is not None:
            self.allowed = ops._attention_allowed(mask, bias, shape=self.shape, causal=causal)
        top = ops.detach(self.along(ops.reduce_max, self.select(scores, _LOW)))
        e = self.select(ops.exp(self.select(ops.sub(scores, top), 0.0)), 0.0)
        total = self.along(ops.reduce_sum, e)
        if self.allowed is not None:
            # A row with every score blocked: 0/1 rather than 0/0.
            total = ops.where(total, total, ops._full(shape=self.shape, value=1.0))
        self.p: Any = ops.div(e, total)
        #: Of each score's row: its maximum, and the sum of e^(score − maximum).
        self.top, self.total = top, total

    def select(self, x: Any, otherwise: float) -> Any:
        if self.allowed is None:
            return x
        return self.ops.where(self.allowed, x, self.ops._full(shape=self.shape, value=otherwise))

    def along(self, reduction: Callable[..., Any], x: Any) -> Any:
        """A reduction over each row, spread over it again."""
        return self.ops.broadcast_to(reduction(x, axis=(-1,), keepdims=True), shape=self.shape)


def _mask_samples() -> list[Any]:
    low = Arr((1, 4), "values", data=((0.0, -math.inf, 1.0, -3.0),))
    return [
        good(Arr((3, 4), "bool"), None, shape=(3, 4), causal=False),
        good(Arr((3, 4), "bool"), None, shape=(2, 3, 4), causal=True),
        good(Arr((2, 3, 4), "bool"), None, shape=(2, 3, 4), causal=False),
        good(Arr((2, 1, 1, 4), "bool"), low, shape=(2, 3, 3, 4), causal=True, smooth=False),
        good(None, low, shape=(3, 4), causal=False, smooth=False),
        good(None, None, shape=(2, 5, 3), causal=True),
        good(None, None, shape=(2, 3), causal=False),
    ]


def _axes(part: Shape | None, shape: Shape) -> Shape | None:
    return None if part is None else (1,) * (len(shape) - len(part)) + part


@defop("_attention_allowed", samples=_mask_samples, optional=("mask", "bias"), dtypes={"mask": "bool"}, differentiable=False)
class AttentionAllowed:
    """1 where a query (row) may attend to a key (column), else 0: where the mask is True and the bias not −∞."""

    def options(mask, bias, *, shape, causal, dtype=None):
        return {"shape": shape, "causal": causal, "dtype": dtype}

    def shape(mask, bias, *, shape, causal, dtype):
        return shape

    def kernel_params(mask, bias, *, shape, causal, dtype):
        """Ints: batch, n, m, causal, then the places of mask and bias."""
        places = (place(shape[:-2], shape, _axes(part, shape)) for part in (mask, bias))
        return (size(shape[:-2]), *shape[-2:], causal, *(n for p in places for n in p)), ()


def _sdpa_samples() -> list[Any]:
    return [
        good((3, 4), (5, 4), (5, 2)),
        good((2, 3, 4), (2, 3, 4), (2, 3, 4), causal=True),
        good((2, 3, 5), (2, 4, 5), (2, 4, 3), Arr((3, 4), "bool")),
        good((3, 5), (4, 5), (4, 3), Arr((3, 4), "values", data=((True, False, True, True), (False,) * 4, (False, True, False, False)))),
        good((2, 2, 3, 4), (2, 2, 4, 4), (2, 2, 4, 1), Arr((2, 2, 3, 4), "bool"), causal=True),
        good((17, 3), (33, 3), (33, 5), causal=True),
        good((1, 1), (1, 1), (1, 1)),
        good((0, 3, 4), (0, 3, 4), (0, 3, 4)),
        good((2, 3, 3, 4), (1, 3, 5, 4), (2, 1, 5, 2), Arr((2, 1, 1, 5), "bool"), causal=True),
        good((2, 3, 4), (2, 5, 4), (2, 5, 2), Arr((3, 1), "bool")),
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
        return {"causal": truth("causal", causal)}

    def shape(q, k, v, mask, *, causal):
        return (*checked(q, k, v, mask)[:-1], v[-1])

    def in_parts(q, k, v, mask, *, causal):
        return not _even(q, k, v, mask)

    def residual_specs(q, k, v, mask, *, causal):
        return [Spec(q[:-1])] if _even(q, k, v, mask) else []

    def kernel_params(q, k, v, mask, *, causal):
        return _params(q, k, v, mask, causal)

    def vjp(ops, g, y, q, k, v, mask, *, causal, lse):
        return (*ops._sdpa_grad(g, y, lse, q, k, v, mask, causal=causal), None)

    def decompose(ops, q, k, v, mask, *, causal):
        if not _even(*(tuple(x.shape) for x in (q, k, v)), None if mask is None else tuple(mask.shape)):
            return attend(ops, q, k, v, mask, None, causal, 1.0 / math.sqrt(q.shape[-1]))
        return ops.matmul(Weights(ops, q, k, mask, causal).p, v, transpose_a=False, transpose_b=False)

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
        return {"causal": truth("causal", causal)}

    def shape(g, y, lse, q, k, v, mask, *, causal):
        checked(q, k, v, mask)
        return [q, k, v]

    def kernel_params(g, y, lse, q, k, v, mask, *, causal):
        return _params(q, k, v, mask, causal)

    def decompose(ops, g, y, lse, q, k, v, mask, *, causal):
        weights = Weights(ops, q, k, mask, causal)
        p = weights.p
        dp = ops.matmul(g, v, transpose_a=False, transpose_b=True)
        ds = ops.mul(p, ops.sub(dp, weights.along(ops.reduce_sum, ops.mul(p, dp))))
        ds = ops.scale(ds, weights.factor)
        dq = ops.matmul(ds, k, transpose_a=False, transpose_b=False)
        dk = ops.matmul(ds, q, transpose_a=True, transpose_b=False)
        return dq, dk, ops.matmul(p, g, transpose_a=True, transpose_b=False)

    def flops(g, y, lse, q, k, v, mask, *, causal):
        return 2.0 * size(q[:-1]) * k[-2] * (3 * q[-1] + 2 * v[-1]) * (0.5 if causal else 1.0)
