"""The optimisers of ONNX's training operators: for n arrays the new arrays, then each part of their state."""

from __future__ import annotations

from typing import Any

from .registry import Call, reads


def _lists(xs: tuple[Any, ...], count: int) -> list[tuple[Any, ...]]:
    n = len(xs) // count
    return [xs[k * n : (k + 1) * n] for k in range(count)]


def _regularised(c: Call, x: Any, g: Any) -> Any:
    return c.ops.add(c.ops.scale(x, c.get("norm_coefficient", 0.0)), g)


def _per_array(made: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(v for part in zip(*made, strict=True) for v in part)


@reads("Adagrad")
def _adagrad(c: Call, rate: Any, turn: Any, *xs: Any) -> Any:
    ops, made = c.ops, []
    rate = ops.div(rate, ops.shift(ops.scale(c.cast(turn, str(rate.dtype)), c.get("decay_factor", 0.0)), 1.0))
    for x, g, h in zip(*_lists(xs, 3), strict=True):
        g = _regularised(c, x, g)
        h = ops.add(h, ops.mul(g, g))
        step = ops.div(ops.mul(g, rate), ops.shift(ops.sqrt(h), c.get("epsilon", 1e-6)))
        made.append((ops.sub(x, step), h))
    return _per_array(made)


@reads("Adam")
def _adam(c: Call, rate: Any, turn: Any, *xs: Any) -> Any:
    ops, alpha, beta = c.ops, c.get("alpha", 0.9), c.get("beta", 0.999)
    t, one = c.cast(turn, str(rate.dtype)), c.number(1, rate)
    # No correction at turn 0.
    first = ops.greater(t, c.number(0, t))
    wide, long = (ops.sub(one, ops.where(first, ops.power(c.number(v, rate), t), c.number(0, t))) for v in (beta, alpha))
    rate = ops.div(ops.mul(rate, ops.sqrt(wide)), long)
    made = []
    for x, g, v, h in zip(*_lists(xs, 4), strict=True):
        g = _regularised(c, x, g)
        v = ops.add(ops.scale(v, alpha), ops.scale(g, 1 - alpha))
        h = ops.add(ops.scale(h, beta), ops.scale(ops.mul(g, g), 1 - beta))
        x = ops.sub(x, ops.mul(ops.div(v, ops.shift(ops.sqrt(h), c.get("epsilon", 1e-6))), rate))
        made.append((ops.scale(x, 1 - c.get("norm_coefficient_post", 0.0)), v, h))
    return _per_array(made)


@reads("Momentum")
def _momentum(c: Call, rate: Any, turn: Any, *xs: Any) -> Any:
    ops, alpha, beta = c.ops, c.get("alpha"), c.get("beta")
    first = ops.greater(turn, c.number(0, turn))
    share = ops.where(first, c.number(beta, rate), c.number(1, rate))
    made = []
    for x, g, v in zip(*_lists(xs, 3), strict=True):
        g = _regularised(c, x, g)
        v = ops.add(ops.scale(v, alpha), ops.mul(g, share))
        step = v if c.get("mode") == "standard" else ops.add(g, ops.scale(v, alpha))
        made.append((ops.sub(x, ops.mul(step, rate)), v))
    return _per_array(made)
