"""An op of another project: y = a·tanh(b·x), with kernels in Cython."""

from math import prod

import tlean as tl
from tlean.testing import Arr, Sample

from . import kernels

tl.register_kernels(kernels.KERNELS, loops=kernels.LOOPS, abi=kernels.ABI)


def samples(inputs=1):
    """The calls that `tl.testing.check_op` makes."""
    shapes = [(), (5,), (3, 4), (0, 2), (40_000,)]
    return [Sample((Arr(s),) * inputs, {"a": a, "b": b}) for s in shapes for a, b in ((1.5, 0.5), (-2.0, 1.0))]


@tl.defop("scaled_tanh", samples=samples)
class ScaledTanh:
    """y = a·tanh(b·x)."""

    def shape(x, *, a, b):
        return x

    def kernel_params(x, *, a, b):
        return (prod(x),), (a, b)

    def vjp(ops, g, y, x, *, a, b):
        return (ops.apply(ScaledTanhSlope, (g, x), {"a": a, "b": b}),)

    def jvp(ops, t, y, x, *, a, b):
        return None if t[0] is None else ops.apply(ScaledTanhSlope, (t[0], x), {"a": a, "b": b})

    def decompose(ops, x, *, a, b):
        return ops.scale(ops.tanh(ops.scale(x, b)), a)

    def batch(call):
        return call.run(call.spread(0), **call.options)


@tl.defop("scaled_tanh_slope", samples=lambda: samples(2))
class ScaledTanhSlope:
    """g·a·b·(1 − tanh²(b·x)): the cotangent, and the tangent, of `scaled_tanh`."""

    def shape(g, x, *, a, b):
        if g != x:
            raise tl.ShapeError("g has the shape of x")
        return x

    def kernel_params(g, x, *, a, b):
        return (prod(x),), (a, b)

    def vjp(ops, c, y, g, x, *, a, b):
        slope, bend = _derivatives(ops, g, x, a, b)
        return ops.mul(c, slope), ops.mul(c, bend)

    def jvp(ops, t, y, g, x, *, a, b):
        slope, bend = _derivatives(ops, g, x, a, b)
        parts = [ops.mul(part, by) for part, by in zip(t, (slope, bend), strict=True) if part is not None]
        return parts[0] if len(parts) == 1 else ops.add(*parts) if parts else None

    def decompose(ops, g, x, *, a, b):
        t = ops.tanh(ops.scale(x, b))
        return ops.mul(g, ops.scale(ops.shift(ops.neg(ops.square(t)), 1.0), a * b))

    def batch(call):
        return call.run(call.spread(0), call.spread(1), **call.options)


def _derivatives(ops, g, x, a, b):
    # Of the slope by g and by x. Rules call nothing but `ops`, so that they have derivatives too.
    by_g = ops.apply(ScaledTanhSlope, (ops.ones_like(g), x), {"a": a, "b": b})
    t = ops.apply(ScaledTanh, (x,), {"a": 1.0, "b": b})
    by_x = ops.scale(ops.mul(t, ops.apply(ScaledTanhSlope, (g, x), {"a": a, "b": b})), -2 * b)
    return by_g, by_x


def scaled_tanh(x, a=1.0, b=1.0):
    """a·tanh(b·x) of a reference, in a program or on a tape."""
    return ScaledTanh(x, a=float(a), b=float(b))
