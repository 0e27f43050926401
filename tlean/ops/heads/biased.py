"""Attention with any scale, and with a mask and a bias of broadcast shapes: three ops, each with its kernel.

The bias is added to the scaled scores; where it is -inf it blocks, as a mask does where it is False.
"""

from __future__ import annotations

from typing import Any

from ...arguments import truth
from ...errors import ShapeError
from ...shapes import Shape, size
from ..attention import Weights, checked, place
from ..registry import Spec, defop
from ..samples import Arr, bad, good


def _params(
    q: Shape, k: Shape, v: Shape, mask: Shape | None, bias: Shape | None, causal: bool, scale: float
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Ints: batch, n, m, features of q and k, features of v, causal, then the places of mask and bias. Floats: the scale."""
    scores = (*q[:-1], k[-2])
    places = (place(q[:-2], scores, part) for part in (mask, bias))
    return (size(q[:-2]), q[-2], k[-2], q[-1], v[-1], causal, *(n for p in places for n in p)), (scale,)


def _check(q: Shape, k: Shape, v: Shape, mask: Shape | None, bias: Shape | None) -> None:
    scores = checked(q, k, v, mask, bias)
    if not q[:-2] == k[:-2] == v[:-2]:
        raise ShapeError("q, k and v must have the same leading axes")
    for name, part in (("mask", mask), ("bias", bias)):
        if part is not None and (len(part) != len(scores) or part[-1] != scores[-1]):
            raise ShapeError(f"{name} must have as many axes as the scores, and whole rows")


def _flops(q: Shape, k: Shape, v: Shape, causal: bool, products: int) -> float:
    return 1.0 * products * size(q[:-1]) * k[-2] * (q[-1] + v[-1]) * (0.5 if causal else 1.0)


def _calls() -> list[tuple[list[Any], dict[str, Any]]]:
    low = Arr((1, 3, 5), "values", data=[[[0.5, -1.0, 2.0, 0.0, 0.25], [0.0, float("-inf"), 1.0, 1.0, 0.0], [float("-inf")] * 5]])
    return [
        ([(3, 4), (5, 4), (5, 2), None, None], {"causal": False, "scale": 0.3}),
        ([(2, 3, 4), (2, 5, 4), (2, 5, 2), Arr((2, 1, 5), "bool"), (1, 3, 5)], {"causal": False, "scale": 0.5}),
        ([(2, 3, 2, 4), (2, 3, 5, 4), (2, 3, 5, 3), Arr((2, 1, 2, 5), "bool"), (1, 3, 1, 5)], {"causal": True, "scale": -0.7}),
        ([(2, 17, 3), (2, 33, 3), (2, 33, 5), None, (2, 17, 33)], {"causal": True, "scale": 1.0}),
        ([(2, 3, 4), (2, 5, 4), (2, 5, 2), None, low], {"causal": False, "scale": 0.5}),
        ([(0, 3, 4), (0, 3, 4), (0, 3, 4), None, (1, 1, 3)], {"causal": False, "scale": 0.5}),
    ]


def _samples() -> list[Any]:
    return [
        *(good(*arrays, smooth=k != 4, **options) for k, (arrays, options) in enumerate(_calls())),
        bad("ShapeError", (2, 3, 4), (2, 5, 4), (2, 5, 2), None, (3, 5), causal=False, scale=0.5),
        bad("ShapeError", (2, 3, 4), (2, 5, 4), (2, 5, 2), None, (2, 3, 1), causal=False, scale=0.5),
    ]


@defop(
    "_attention",
    samples=_samples,
    optional=("mask", "bias"),
    dtypes={"mask": "bool"},
    residuals=("lse",),
    algebraic=False,
    source="Vaswani et al. 2017, equation 1; tiles: Dao et al. 2022",
)
class Attention:
    """Attention: y = softmax(scale Q Kᵀ + bias) V, the softmax along each row, blocked scores excluded."""

    def options(q, k, v, mask, bias, *, causal, scale):
        return {"causal": truth("causal", causal), "scale": float(scale)}

    def shape(q, k, v, mask, bias, *, causal, scale):
        _check(q, k, v, mask, bias)
        return (*q[:-1], v[-1])

    def residual_specs(q, k, v, mask, bias, *, causal, scale):
        return [Spec(q[:-1])]

    def kernel_params(q, k, v, mask, bias, *, causal, scale):
        return _params(q, k, v, mask, bias, causal, scale)

    def vjp(ops, g, y, q, k, v, mask, bias, *, causal, scale, lse):
        options = {"causal": causal, "scale": scale}
        to_bias = None if bias is None else ops._attention_bias_grad(g, y, lse, q, k, v, mask, bias, **options)
        return (*ops._attention_grad(g, y, lse, q, k, v, mask, bias, **options), None, to_bias)

    def decompose(ops, q, k, v, mask, bias, *, causal, scale):
        return ops.matmul(Weights(ops, q, k, mask, causal, bias, scale).p, v, transpose_a=False, transpose_b=False)

    def flops(q, k, v, mask, bias, *, causal, scale):
        return _flops(q, k, v, causal, 2)


def _score_grads(ops: Any, weights: Weights, g: Any, v: Any) -> Any:
    # dS = P (dP - row sums of P dP), before the scale.
    p, dp = weights.p, ops.matmul(g, v, transpose_a=False, transpose_b=True)
    return ops.mul(p, ops.sub(dp, weights.along(ops.reduce_sum, ops.mul(p, dp))))


@defop(
    "_attention_grad",
    optional=("mask", "bias"),
    dtypes={"mask": "bool"},
    outputs=("dq", "dk", "dv"),
    algebraic=False,
    source="Dao et al. 2022, algorithm 4",
)
class AttentionGrad:
    """The gradients of `_attention` to q, k and v; y and lse are hints."""

    def options(g, y, lse, q, k, v, mask, bias, *, causal, scale):
        return {"causal": truth("causal", causal), "scale": float(scale)}

    def shape(g, y, lse, q, k, v, mask, bias, *, causal, scale):
        _check(q, k, v, mask, bias)
        return [q, k, v]

    def kernel_params(g, y, lse, q, k, v, mask, bias, *, causal, scale):
        return _params(q, k, v, mask, bias, causal, scale)

    def decompose(ops, g, y, lse, q, k, v, mask, bias, *, causal, scale):
        weights = Weights(ops, q, k, mask, causal, bias, scale)
        ds = ops.scale(_score_grads(ops, weights, g, v), scale)
        dq = ops.matmul(ds, k, transpose_a=False, transpose_b=False)
        dk = ops.matmul(ds, q, transpose_a=True, transpose_b=False)
        return dq, dk, ops.matmul(weights.p, g, transpose_a=True, transpose_b=False)

    def flops(g, y, lse, q, k, v, mask, bias, *, causal, scale):
        return _flops(q, k, v, causal, 5)


@defop("_attention_bias_grad", optional=("mask",), dtypes={"mask": "bool"}, algebraic=False)
class AttentionBiasGrad:
    """The gradient of `_attention` to its bias: that of the scores, summed where the bias broadcasts; y and lse are hints."""

    def options(g, y, lse, q, k, v, mask, bias, *, causal, scale):
        return {"causal": truth("causal", causal), "scale": float(scale)}

    def shape(g, y, lse, q, k, v, mask, bias, *, causal, scale):
        _check(q, k, v, mask, bias)
        return bias

    def kernel_params(g, y, lse, q, k, v, mask, bias, *, causal, scale):
        return _params(q, k, v, mask, bias, causal, scale)

    def decompose(ops, g, y, lse, q, k, v, mask, bias, *, causal, scale):
        ds = _score_grads(ops, Weights(ops, q, k, mask, causal, bias, scale), g, v)
        axes = tuple(a for a, (d, n) in enumerate(zip(bias.shape, ds.shape, strict=True)) if d != n)
        return ops.reduce_sum(ds, axis=axes, keepdims=True) if axes else ds

    def flops(g, y, lse, q, k, v, mask, bias, *, causal, scale):
        return _flops(q, k, v, causal, 3)
