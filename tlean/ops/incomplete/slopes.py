"""How incomplete functions change with their parameters: integrals, summed by a quadrature that is made of ops.

The derivative of a distribution function by a parameter is an integral of the density times how its logarithm changes, less the mean of
that; over the tail on the side where the difference has one sign, so that nothing cancels. Distances from the end of the tail are u = s·v
with v = exp(τ − exp(−τ)), for which the trapezoidal sum converges exponentially (Takahasi & Mori 1974). Being made of ops, a slope has
derivatives of any order by everything.
"""

from __future__ import annotations

from typing import Any

from ..distributions.records import log_gamma_slope

_STEP = 1.0 / 12.0
_FIRST = -3.75
_NODES = 100


def filled(ops: Any, like: Any, value: float) -> Any:
    """An array like another one, of one number."""
    return ops._full(shape=tuple(like.shape), value=value, dtype=like.dtype)


def _above(ops: Any, x: Any, bound: float) -> Any:
    return ops.greater(x, filled(ops, x, bound))


def _each(ops: Any, x: Any) -> Any:
    return ops.reshape(x, (*x.shape, 1))


def _summed(ops: Any, speed: Any, height: Any) -> Any:
    # ∫₀^∞ height(u) du, for one that falls like exp(−speed·u). The scale is the quadrature's: it has no part in a derivative.
    tau = ops.apply("_iota", (), {"length": _NODES, "start": _FIRST, "step": _STEP, "dtype": speed.dtype})
    fall = ops.exp(ops.neg(tau))
    v = ops.exp(ops.sub(tau, fall))
    weight = ops.scale(ops.mul(v, ops.shift(fall, 1.0)), _STEP)
    length = ops.detach(ops.inv(speed))
    u = ops.mul(_each(ops, length), v)
    return ops.mul(length, ops.reduce_sum(ops.mul(height(u), weight), axis=(len(speed.shape),)))


def gamma_density(ops: Any, a: Any, x: Any) -> Any:
    """∂P(a, x)/∂x."""
    return ops.exp(ops.sub(ops.sub(ops.xlogy(ops.shift(a, -1.0), x), x), ops.lgamma(a)))


def gamma_slope(ops: Any, a: Any, x: Any) -> Any:
    """∂P(a, x)/∂a: minus the slope of a gamma number for a ≥ 1; below by P(a, x) = P(a + 1, x) + x^a e^(−x)/Γ(a + 1)."""
    inside = ops.logical_and(_above(ops, x, 0.0), ops.isfinite(x))
    x = ops.where(inside, x, filled(ops, x, 1.0))
    small = ops.logical_not(ops.greater_equal(a, filled(ops, a, 1.0)))
    more = ops.shift(a, 1.0)
    large = ops.where(small, more, a)
    log_x, none = ops.log(x), filled(ops, x, 0.0)
    mass = ops.exp(ops.sub(ops.sub(ops.mul(large, log_x), x), ops.lgamma(large)))
    slope = ops.neg(ops.mul(mass, log_gamma_slope(ops, large, log_x)))
    step = ops.exp(ops.sub(ops.sub(ops.mul(a, log_x), x), ops.lgamma(more)))
    moved = ops.mul(step, ops.sub(log_x, ops.digamma(more)))
    return ops.where(inside, ops.add(slope, ops.where(small, moved, none)), none)


def beta_density(ops: Any, a: Any, b: Any, x: Any) -> Any:
    """∂I(a, b, x)/∂x."""
    logs = ops.add(ops.xlogy(ops.shift(a, -1.0), x), ops.xlog1py(ops.shift(b, -1.0), ops.neg(x)))
    return ops.exp(ops.sub(logs, ops.betaln(a, b)))


def beta_slope(ops: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """∂I(a, b, x)/∂a for y = 1 − x. Parameters below 1 are raised by it, by the recurrences of I."""
    one, none = filled(ops, x, 1.0), filled(ops, x, 0.0)
    inside = ops.logical_and(_above(ops, x, 0.0), _above(ops, y, 0.0))
    half = filled(ops, x, 0.5)
    x, y = ops.where(inside, x, half), ops.where(inside, y, half)
    log_x = ops.log(x)
    log_y = ops.where(ops.less(x, y), ops.log1p(ops.neg(x)), ops.log(y))
    small_a, small_b = (ops.logical_not(ops.greater_equal(p, one)) for p in (a, b))
    large_a, large_b = ops.where(small_a, ops.shift(a, 1.0), a), ops.where(small_b, ops.shift(b, 1.0), b)

    def step(a: Any, over: Any) -> Any:
        # x^a y^b/B(a, b)/over.
        return ops.div(ops.exp(ops.sub(ops.add(ops.mul(a, log_x), ops.mul(b, log_y)), ops.betaln(a, b))), over)

    total = _raised_slope(ops, large_a, large_b, (x, y), (log_x, log_y))
    more = ops.shift(a, 1.0)
    by_a = ops.mul(step(a, a), ops.add(ops.sub(log_x, ops.digamma(more)), ops.digamma(ops.add(a, b))))
    by_b = ops.mul(step(large_a, b), ops.add(ops.sub(log_x, ops.digamma(large_a)), ops.digamma(ops.add(large_a, b))))
    total = ops.sub(ops.add(total, ops.where(small_a, by_a, none)), ops.where(small_b, by_b, none))
    return ops.where(inside, total, none)


def _raised_slope(ops: Any, a: Any, b: Any, at: tuple[Any, Any], logs: tuple[Any, Any]) -> Any:
    # For a, b ≥ 1. With m the mean of ln t, and t = x e^(−u) below x, 1 − t = y e^(−u) above it:
    #   below  −F/y ∫ (u + m − ln x) exp(−a u + (b − 1) ln((1 − x e^(−u))/y)) du,   F = x^a y^b/B(a, b),
    #   above  −F/x ∫ (ln(1 − y e^(−u)) − m) exp(−b u + (a − 1) ln((1 − y e^(−u))/x)) du.
    (x, y), (log_x, log_y) = at, logs
    m = ops.sub(ops.digamma(a), ops.digamma(ops.add(a, b)))
    below = ops.less_equal(log_x, m)
    p, q = ops.where(below, x, y), ops.where(below, y, x)
    fall, rise = ops.where(below, a, b), ops.shift(ops.where(below, b, a), -1.0)
    ratio = ops.div(p, q)
    speed = ops.add(ops.abs(ops.sub(fall, ops.mul(rise, ratio))), ops.sqrt(ops.div(ops.mul(rise, ratio), q)))

    def height(u: Any) -> Any:
        lift = ops.log1p(ops.mul(ops.neg(_each(ops, ratio)), ops.expm1(ops.neg(u))))
        weight = ops.exp(ops.sub(ops.mul(_each(ops, rise), lift), ops.mul(_each(ops, fall), u)))
        near = ops.add(u, _each(ops, ops.sub(m, log_x)))
        far = ops.sub(ops.log1p(ops.neg(ops.mul(_each(ops, p), ops.exp(ops.neg(u))))), _each(ops, m))
        return ops.mul(ops.where(_each(ops, below), near, far), weight)

    factor = ops.exp(ops.sub(ops.add(ops.mul(a, log_x), ops.mul(b, log_y)), ops.betaln(a, b)))
    return ops.neg(ops.mul(ops.div(factor, q), _summed(ops, speed, height)))


def student_density(ops: Any, df: Any, z: Any) -> Any:
    """The density of Student's distribution."""
    half = ops.scale(df, 0.5)
    power = ops.mul(ops.shift(half, 0.5), ops.log1p(ops.div(ops.square(z), df)))
    constant = ops.add(ops.betaln(filled(ops, df, 0.5), half), ops.scale(ops.log(df), 0.5))
    return ops.exp(ops.neg(ops.add(power, constant)))


def student_slope(ops: Any, df: Any, z: Any) -> Any:
    """The derivative of Student's distribution function by its degrees of freedom n.

    With z = √n sinh w the function is C ∫ cosh(t)^(−n) dt up to w, C = 1/B(½, n/2). Its derivative is that of w, times the density by w,
    and an integral of C cosh(t)^(−n) (−ln cosh t − m), m the derivative of ln B; beyond 0 it is taken over the other tail, with its sign.
    """
    inside = ops.isfinite(z)
    z = ops.where(inside, z, filled(ops, z, 1.0))
    one, none = filled(ops, z, 1.0), filled(ops, z, 0.0)
    root = ops.sqrt(df)
    scaled = ops.div(z, root)
    w = ops.asinh(scaled)
    half = ops.scale(df, 0.5)
    m = ops.scale(ops.sub(ops.digamma(half), ops.digamma(ops.shift(half, 0.5))), 0.5)
    constant = ops.neg(ops.betaln(filled(ops, df, 0.5), half))
    side = ops.where(_above(ops, z, 0.0), ops.neg(one), one)
    flat = ops.tanh(ops.abs(w))
    speed = ops.add(ops.mul(df, flat), ops.minimum(root, df))
    # ln cosh w, which is ½ ln(1 + sinh² w) near 0.
    far = _above(ops, ops.abs(scaled), 1.0)
    size = ops.abs(w)
    outer = ops.shift(ops.add(size, ops.log1p(ops.exp(ops.scale(size, -2.0)))), -0.6931471805599453)
    inner = ops.scale(ops.log1p(ops.square(ops.where(far, none, scaled))), 0.5)
    log_cosh = ops.where(far, outer, inner)

    def height(u: Any) -> Any:
        # cosh(w − σu) = cosh w (cosh u − σ sinh u tanh w).
        turn = _each(ops, ops.mul(side, ops.tanh(w)))
        less = ops.scale(ops.expm1(ops.scale(u, -2.0)), 0.5)
        grown = ops.add(u, ops.log1p(ops.add(less, ops.mul(turn, less))))
        total = ops.add(_each(ops, log_cosh), grown)
        weight = ops.exp(ops.neg(ops.mul(_each(ops, df), grown)))
        return ops.mul(ops.neg(ops.add(total, _each(ops, m))), weight)

    mass = ops.exp(ops.sub(constant, ops.mul(df, log_cosh)))
    moved = ops.scale(ops.div(ops.tanh(w), df), -0.5)
    integral = ops.mul(side, _summed(ops, speed, height))
    return ops.where(inside, ops.mul(mass, ops.add(integral, moved)), none)
