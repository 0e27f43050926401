"""Numbers as whole numbers with a scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from .registry import Call, axis_of, dtype_of, reads
from .small import WIDE, Small
from .windows import padded, pads_of

_RANGES = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)} | {
    f"{sign}int{bits}": ((0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    for bits in (2, 4, 8, 16)
    for sign in ("u", "")
}


def _spread(c: Call, v: Any, x: Any, default: int = 1) -> Any:
    # One number, one for each place of an axis, or one for each block of an axis, in a shape that goes with x.
    if v is None or len(v.shape) == 0 or tuple(v.shape) == (1,):
        return v if v is None or not v.shape else c.ops.reshape(v, ())
    rank, block = len(x.shape), c.get("block_size", 0)
    axis = axis_of(c.get("axis", default), rank)
    if len(v.shape) == 1 and not block:
        return c.ops.reshape(v, tuple(v.shape[0] if k == axis else 1 for k in range(rank)))
    if not block or len(v.shape) != rank:
        raise c.refuse("scales of this shape")
    return c.ops.take(v, c.ref(np.arange(x.shape[axis], dtype=np.int64) // block), axis=axis)


def _bounded(c: Call, y: Any, zero: Any, dtype: str) -> Any:
    # Rounded, moved by the zero point, and held in the range of the dtype.
    low, high = _RANGES[dtype]
    y = c.ops.round(y)
    if zero is not None:
        y = c.ops.add(y, c.cast(zero, str(y.dtype)))
    return Small(c.cast(c.ops.clamp(y, float(low), float(high)), WIDE[dtype]), dtype)


@reads("QuantizeLinear")
def _quantize(c: Call, x: Any, scale: Any, zero: Any = None) -> Any:
    asked, precision = c.get("output_dtype", 0), c.get("precision", 0)
    dtype = str(c.dtypes[2]) if zero is not None else dtype_of(asked) if asked else "uint8"
    if dtype not in WIDE:
        raise c.refuse(f"to {dtype}")
    scale, zero = _spread(c, scale, x), _spread(c, zero, x)
    kind = dtype_of(precision) if precision else str(c.dtypes[1])
    own = WIDE.get(kind, kind)
    y = c.ops.div(c.cast(x, own), c.cast(scale, own))
    y = c.cast(y, kind) if kind in WIDE else y
    if dtype in _RANGES:
        return _bounded(c, y, zero, dtype)
    y = y if zero is None or dtype.startswith("float8") else c.ops.add(y, zero)
    return Small(c.cast(y, dtype, bool(c.get("saturate", 1))), dtype)


@reads("DequantizeLinear")
def _dequantize(c: Call, x: Any, scale: Any, zero: Any = None) -> Any:
    asked = c.get("output_dtype", 0)
    dtype = dtype_of(asked) if asked else str(c.dtypes[1])
    scale, zero = _spread(c, scale, x), _spread(c, zero, x)
    y = x if zero is None else c.ops.sub(x, zero)
    y = c.ops.mul(c.cast(y, "float64" if dtype == "float64" else "float32"), scale)
    return Small(c.cast(y, dtype), dtype) if dtype in WIDE else c.cast(y, dtype)


def _moved(c: Call, x: Any, zero: Any, axis: int = -1) -> Any:
    # Whole numbers less their zero point, one or one for each row.
    if zero is None:
        return c.cast(x, "int64")
    if len(zero.shape) == 1 and zero.shape[0] > 1:
        a = axis_of(axis, len(x.shape))
        zero = c.ops.reshape(zero, tuple(zero.shape[0] if k == a else 1 for k in range(len(x.shape))))
    elif len(zero.shape) == 1:
        zero = c.ops.reshape(zero, ())
    return c.ops.sub(c.cast(x, "int64"), c.cast(zero, "int64"))


def _product(c: Call, a: Any, b: Any) -> Any:
    # In float64, where sums below 2^53 are exact.
    return c.ops.matmul(c.cast(a, "float64"), c.cast(b, "float64"))


@reads("MatMulInteger")
def _matmul_integer(c: Call, a: Any, b: Any, az: Any = None, bz: Any = None) -> Any:
    return c.cast(_product(c, _moved(c, a, az, -2), _moved(c, b, bz)), "int32")


def _factor(c: Call, a: Any, b: Any, y: Any) -> Any:
    # a·b/y, each rounded where they are small floats.
    kind = str(c.dtypes[1])

    def rounded(v: Any) -> Any:
        return c.cast(v, kind) if kind in WIDE else v

    return c.cast(rounded(c.ops.div(rounded(c.ops.mul(a, b)), y)), "float64")


@reads("QLinearMatMul")
def _qlinear_matmul(c: Call, a: Any, sa: Any, za: Any, b: Any, sb: Any, zb: Any, sy: Any, zy: Any) -> Any:
    y = _product(c, _moved(c, a, za, -2), _moved(c, b, zb))
    if len(sa.shape) == 1 and sa.shape[0] > 1:
        sa = c.ops.reshape(sa, (*sa.shape, 1))
    return _bounded_at(c, c.ops.mul(y, _factor(c, sa, sb, sy)), zy, str(c.dtypes[7]))


def _bounded_at(c: Call, y: Any, zero: Any, dtype: str) -> Any:
    # The zero point is added before rounding.
    y = y if zero is None else c.ops.add(y, c.cast(zero, "float64"))
    return _bounded(c, y, None, dtype)


def _convolved(c: Call, x: Any, w: Any) -> Any:
    d = len(w.shape) - 2
    stride, dilation = (tuple(c.get(n, [1] * d)) for n in ("strides", "dilations"))
    x = padded(c, x, pads_of(c, x.shape[2:], w.shape[2:], stride, dilation), 0)
    conv = c.ops.conv2d if d == 2 else c.ops.conv
    x, w = c.cast(x, "float64"), c.cast(w, "float64")
    return conv(w, None, x, stride=stride, padding=(0,) * d, dilation=dilation, groups=c.get("group", 1))


@reads("ConvInteger")
def _conv_integer(c: Call, x: Any, w: Any, xz: Any = None, wz: Any = None) -> Any:
    return c.cast(_convolved(c, _moved(c, x, xz), _moved(c, w, wz, 0)), "int32")


@reads("QLinearConv")
def _qlinear_conv(c: Call, x: Any, sx: Any, zx: Any, w: Any, sw: Any, zw: Any, sy: Any, zy: Any, b: Any = None) -> Any:
    y, rank = _convolved(c, _moved(c, x, zx), _moved(c, w, zw, 0)), len(w.shape)

    def channels(v: Any) -> Any:
        return c.ops.reshape(v, (1, -1, *[1] * (rank - 2))) if len(v.shape) and v.shape[0] > 1 else c.ops.reshape(v, ())

    if b is not None:
        y = c.ops.add(y, c.ops.reshape(c.cast(b, "float64"), (1, b.shape[0], *[1] * (rank - 2))))
    return _bounded_at(c, c.ops.mul(y, _factor(c, sx, channels(sw), sy)), zy, str(c.dtypes[7]))
