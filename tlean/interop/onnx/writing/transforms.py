"""Fourier transforms, products of complex numbers, the masks of attention, and the gradients of convolutions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tlean.ops.fourier.transforms import factor

from .planes import convolved_back, slope_of_weights
from .rules import Call, rule
from .writer import Writer


def _dft(w: Writer, x: str, axis: int, **options: int) -> str:
    if w.opset < 20:
        return str(w.op("DFT", x, axis=axis, **options))
    return str(w.op("DFT", x, "", w.array(axis, "int64"), **options))


def _times(w: Writer, x: str, number: float, dtype: str) -> str:
    return x if number == 1.0 else str(w.op("Mul", x, w.like(number, dtype)))


def _conjugate(w: Writer, x: str, rank: int, dtype: str) -> str:
    return str(w.op("Mul", x, w.array(np.array([1.0, -1.0]).reshape([1] * (rank - 1) + [2]), dtype)))


@rule("_fft")
def _fft(w: Writer, c: Call) -> Any:
    o, axis = c.options, c.options["axis"]
    n, inverse = c.shape()[axis], o["inverse"]
    if not math.prod(c.shape()):
        return None
    # It wants a batch axis. The inverse is that of the conjugate numbers, conjugate: onnxruntime divides its inverse by n in float32.
    x = _conjugate(w, c.x[0], len(c.shape()), c.dtype) if inverse else c.x[0]
    y = _times(w, w.squeeze(_dft(w, w.unsqueeze(x, 0), axis + 1), 0), factor(n, inverse, o["norm"]), c.dtype)
    return _conjugate(w, y, len(c.shape()), c.dtype) if inverse else y


def _weights(w: Writer, n: int, axis: int, rank: int, others: float, dtype: str) -> str:
    # 1 for the frequencies that are their own negative, and a number for the others.
    values = np.full(n // 2 + 1, others)
    values[0] = 1.0
    if n % 2 == 0:
        values[-1] = 1.0
    return w.array(values.reshape([-1 if k == axis else 1 for k in range(rank)]), dtype)


@rule("_rfft")
def _rfft(w: Writer, c: Call) -> Any:
    o, axis, shape = c.options, c.options["axis"], c.shape()
    if not math.prod(shape):
        return None
    y = w.squeeze(_dft(w, w.unsqueeze(c.x[0], 0, len(shape) + 1), axis + 1, onesided=1), 0)
    y = _times(w, y, factor(shape[axis], False, o["norm"]), c.dtype)
    return w.op("Mul", y, _weights(w, shape[axis], axis, len(shape) + 1, 2.0, c.dtype)) if o["doubled"] else y


@rule("_irfft")
def _irfft(w: Writer, c: Call) -> Any:
    o, axis, n, rank = c.options, c.options["axis"], c.options["n"], len(c.shape())
    if not math.prod(c.shape()):
        return None
    # The other frequencies are those conjugate, from the last to the first.
    x = c.x[0] if o["doubled"] else w.op("Mul", c.x[0], _weights(w, n, axis, rank, 0.5, c.dtype))
    count = (n - 1) // 2
    if count:
        back = w.slice(x, [count], [0], [axis], [-1])
        x = w.op("Concat", x, _conjugate(w, back, rank, c.dtype), axis=axis)
    # The real parts, which are those of the transform of the conjugate numbers.
    y = w.squeeze(_dft(w, w.unsqueeze(_conjugate(w, x, rank, c.dtype), 0), axis + 1), 0)
    y = _times(w, y, factor(n, True, o["norm"]), c.dtype)
    return w.squeeze(w.slice(y, [0], [1], [rank - 1]), rank - 1)


@rule("_complex_mul")
def _complex_mul(w: Writer, c: Call) -> Any:
    last = len(c.shape()) - 1
    a, b, p, q = (w.slice(x, [k], [k + 1], [last]) for x in c.x for k in (0, 1))
    q = w.op("Neg", q) if c.options["conjugate"] else q
    real = w.op("Sub", w.op("Mul", a, p), w.op("Mul", b, q))
    return w.op("Concat", real, w.op("Add", w.op("Mul", a, q), w.op("Mul", b, p)), axis=last)


@rule("_attention_allowed")
def _allowed(w: Writer, c: Call) -> Any:
    shape = c.options["shape"]
    mask, bias = c.x
    kept = w.array(np.tril(np.ones(shape[-2:], bool)) if c.options["causal"] else np.ones(shape[-2:], bool))
    if mask:
        kept = w.op("And", kept, mask)
    if bias:
        spec = c.specs[1]
        kept = w.op("And", kept, w.op("Not", w.op("Equal", bias, w.like(-math.inf, spec.dtype if spec else "float32"))))
    return w.op("Expand", w.cast(kept, c.out.dtype), w.ints(*shape))


@rule("_conv_grad_x")
def _conv_grad_x(w: Writer, c: Call) -> Any:
    o, kernel, g = c.options, c.shape(0)[2:], c.shape(1)
    d = len(kernel)
    sizes = zip(o["in_shape"], g[-d:], o["stride"], kernel, o["dilation"], o["padding"], strict=True)
    extra = [n - ((m - 1) * s + (k - 1) * r + 1 - 2 * p) for n, m, s, k, r, p in sizes]
    if not math.prod(g):
        return w.filled(c.out)
    if c.out.dtype == "float64":
        return convolved_back(w, c, c.x[1], g)
    if any(not 0 <= e < s for e, s in zip(extra, o["stride"], strict=True)):
        return None
    x = c.x[1] if len(g) == d + 2 else w.unsqueeze(c.x[1], 0)
    y = w.op(
        "ConvTranspose", x, c.x[0], kernel_shape=list(kernel), strides=list(o["stride"]), pads=list(o["padding"]) * 2,
        output_padding=extra, dilations=list(o["dilation"]), group=o["groups"],
    )  # fmt: skip
    return y if len(g) == d + 2 else w.squeeze(y, 0)


@rule("_conv_grad_w")
def _conv_grad_w(w: Writer, c: Call) -> Any:
    o, kernel, d = c.options, c.options["kernel"], len(c.options["kernel"])
    groups = o["groups"]
    if not math.prod(c.shape()) or not math.prod(c.shape(1)):
        return w.filled(c.out)
    if c.out.dtype == "float64":
        return slope_of_weights(w, c)
    # A convolution of x with g as its kernel: images are the channels of each group, stride and dilation are exchanged.
    g, x = c.x
    (*n, channels), inside = c.shape(1)[:-d], c.shape(1)[-d:]
    images = n[0] if n else 1
    if groups == 1 and n:
        x = w.op("Transpose", x, perm=[1, 0, *range(2, d + 2)])
    else:
        turned = [2, 1, 0, *range(3, d + 3)]
        x = w.op("Transpose", w.reshape(x, (images, groups, channels // groups, *inside)), perm=turned)
        x = w.reshape(x, (channels // groups, groups * images, *inside))
    g = w.op("Transpose", g if n else w.unsqueeze(g, 0), perm=[1, 0, *range(2, d + 2)])
    strides, dilations = list(o["dilation"]), list(o["stride"])
    y = w.op("Conv", x, g, strides=strides, dilations=dilations, pads=list(o["padding"]) * 2, group=groups)
    y = w.slice(y, [0] * d, list(kernel), list(range(2, d + 2)))
    return w.op("Transpose", y, perm=[1, 0, *range(2, d + 2)])
