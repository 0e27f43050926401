"""Convolutions and pools."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .registry import Call, reads
from .sizes import require_parts


def pads_of(c: Call, sizes: Any, kernel: Any, strides: Any, dilations: Any) -> list[tuple[int, int]]:
    """The pads before and after each spatial axis."""
    d = len(kernel)
    how = c.get("auto_pad", "NOTSET")
    if how == "VALID":
        return [(0, 0)] * d
    if how == "NOTSET":
        pads = list(c.get("pads", [0] * 2 * d))
        return list(zip(pads[:d], pads[d:], strict=True))
    result = []
    for n, k, s, r in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * r + 1 - n, 0)
        small = total // 2
        result.append((small, total - small) if how == "SAME_UPPER" else (total - small, small))
    return result


def padded(c: Call, x: Any, pads: list[tuple[int, int]], value: float = 0.0) -> Any:
    """The array with these pads around its spatial axes."""
    if not any(map(any, pads)):
        return x
    return c.ops.pad(x, (*[(0, 0)] * (len(x.shape) - len(pads)), *pads), value=value)


def _even(pads: list[tuple[int, int]]) -> tuple[int, ...] | None:
    return tuple(a for a, _ in pads) if all(a == b for a, b in pads) else None


def _plain(pads: list[tuple[int, int]], kernel: Any, dilations: Any) -> tuple[int, ...] | None:
    # The padding of a pool of this library that is the same; None where none is.
    even = _even(pads)
    return even if even is not None and set(dilations) == {1} and all(2 * p <= k for p, k in zip(even, kernel, strict=True)) else None


def _pooled(c: Call, name: str, x: Any, kernel: Any, strides: Any, padding: tuple[int, ...]) -> Any:
    if len(kernel) != 2:
        return getattr(c.ops, name)(x, kernel, stride=strides, padding=padding)
    if any(padding):
        return getattr(c.ops, f"{name}2d_pad")(x, kernel, stride=strides, padding=padding)
    return getattr(c.ops, f"{name}2d")(x, kernel, stride=strides)


@reads("Conv")
def _conv(c: Call, x: Any, w: Any, b: Any = None) -> Any:
    d = len(w.shape) - 2
    stride, dilation = (tuple(c.get(n, [1] * d)) for n in ("strides", "dilations"))
    pads = pads_of(c, x.shape[2:], w.shape[2:], stride, dilation)
    even = _even(pads)
    if even is None:
        x, even = padded(c, x, pads), (0,) * d
    conv = c.ops.conv2d if d == 2 else c.ops.conv
    return conv(w, b, x, stride=stride, padding=even, dilation=dilation, groups=c.get("group", 1))


@reads("ConvTranspose")
def _conv_transpose(c: Call, x: Any, w: Any, b: Any = None) -> Any:
    d = len(w.shape) - 2
    stride, dilation = (tuple(c.get(n, [1] * d)) for n in ("strides", "dilations"))
    extra = tuple(c.get("output_padding", [0] * d))
    whole = [(n - 1) * s + (k - 1) * r + 1 + e for n, s, k, r, e in zip(x.shape[2:], stride, w.shape[2:], dilation, extra, strict=True)]
    how, target = c.get("auto_pad", "NOTSET"), c.get("output_shape")
    if target is None and how in ("SAME_UPPER", "SAME_LOWER"):
        target = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
    if target is not None:
        pads = []
        for n, t in zip(whole, target[-d:], strict=True):
            total = max(n - t, 0)
            small = total // 2
            pads.append((small, total - small) if how == "SAME_UPPER" else (total - small, small))
        extra = tuple(e + max(t - n, 0) for e, n, t in zip(extra, whole, target[-d:], strict=True))
    else:
        pads = pads_of(c, x.shape[2:], w.shape[2:], stride, dilation)
    groups = c.get("group", 1)
    even = _even(pads)
    transpose = c.ops.conv_transpose2d if d == 2 else c.ops.conv_transpose
    small_extra = all(e < max(s, r) for e, s, r in zip(extra, stride, dilation, strict=True))
    if even is not None and small_extra:
        return transpose(w, b, x, stride=stride, padding=even, output_padding=extra, dilation=dilation, groups=groups)
    y = transpose(w, None, x, stride=stride, padding=0, output_padding=extra if small_extra else 0, dilation=dilation, groups=groups)
    if not small_extra:
        y = padded(c, y, [(0, e) for e in extra])
    y = c.ops.slice(y, (0, 0, *(a for a, _ in pads)), (*y.shape[:2], *(n - e for n, (_, e) in zip(y.shape[2:], pads, strict=True))))
    return y if b is None else c.ops.add(y, c.ops.reshape(b, (1, *b.shape, *[1] * d)))


def _ceiled(c: Call, sizes: Any, kernel: Any, strides: Any, dilations: Any, pads: list[tuple[int, int]]) -> list[tuple[int, int]]:
    # With ceil_mode the last window may hang over the end, if it begins inside.
    if not c.get("ceil_mode", 0) or c.get("auto_pad", "NOTSET") != "NOTSET":
        return pads
    result = []
    for n, k, s, r, (a, b) in zip(sizes, kernel, strides, dilations, pads, strict=True):
        reach = (k - 1) * r + 1
        count = -(-(n + a + b - reach) // s) + 1
        if (count - 1) * s >= n + a:
            count -= 1
        result.append((a, max(b, (count - 1) * s + reach - n - a)))
    return result


def _windows(c: Call, x: Any, kernel: Any, strides: Any, dilations: Any) -> Any:
    # The cells of each window along a new axis before the spatial ones of the result: a slice for each cell.
    require_parts(c.kind, math.prod(kernel))
    places = [tuple(int(v) for v in p) for p in np.ndindex(*kernel)]
    out = [(n - (k - 1) * r - 1) // s + 1 for n, k, s, r in zip(x.shape[2:], kernel, strides, dilations, strict=True)]
    cells = []
    for p in places:
        first = [i * r for i, r in zip(p, dilations, strict=True)]
        last = [f + (n - 1) * s + 1 for f, n, s in zip(first, out, strides, strict=True)]
        cells.append(c.ops.slice(x, (0, 0, *first), (*x.shape[:2], *last), (1, 1, *strides)))
    return c.ops.stack(cells, axis=2)


def _window(c: Call, x: Any) -> tuple[Any, ...]:
    kernel = tuple(c.get("kernel_shape"))
    d = len(kernel)
    strides, dilations = (tuple(c.get(n, [1] * d)) for n in ("strides", "dilations"))
    given = pads_of(c, x.shape[2:], kernel, strides, dilations)
    return kernel, strides, dilations, given, _ceiled(c, x.shape[2:], kernel, strides, dilations, given)


@reads("MaxPool")
def _max_pool(c: Call, x: Any) -> Any:
    kernel, strides, dilations, _, pads = _window(c, x)
    plain, d = _plain(pads, kernel, dilations), len(kernel)
    floats = x.dtype.startswith("float")
    if c.outputs == 1 and plain is not None and floats:
        return _pooled(c, "max_pool", x, kernel, strides, plain)
    cells = _windows(c, padded(c, x, pads, -math.inf if floats else -(2**31)), kernel, strides, dilations)
    y = c.ops.reduce_max(cells, axis=2)
    if c.outputs == 1:
        return y
    # The places of all cells in x, row by row or column by column.
    own: Any = np.reshape(np.arange(math.prod(x.shape[2:])), x.shape[2:], order="F" if c.get("storage_order", 0) else "C")
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * d) * own.size
    numbers = padded(c, c.ref((planes + own).astype(np.int64)), pads, -1)
    chosen = c.ops.argmax(cells, axis=2, keepdims=True)
    return y, c.ops.reshape(c.ops.take_along_axis(_windows(c, numbers, kernel, strides, dilations), chosen, axis=2), tuple(y.shape))


@reads("AveragePool", "LpPool")
def _mean_pool(c: Call, x: Any) -> Any:
    kernel, strides, dilations, given, pads = _window(c, x)
    counted, mean = bool(c.get("count_include_pad", 0)), c.kind == "AveragePool"
    plain = _plain(pads, kernel, dilations) if pads == given else None
    if mean and plain is not None and (counted or not any(plain)):
        return _pooled(c, "avg_pool", x, kernel, strides, plain)
    power = c.get("p", 2)
    y = x if mean else c.ops.pow(c.ops.abs(x), float(power))
    total = c.ops.reduce_sum(_windows(c, padded(c, y, pads), kernel, strides, dilations), axis=2)
    if not mean:
        return c.ops.pow(total, 1.0 / power)
    # What a window has of the array, and of its pads where these count.
    ones = np.pad(np.ones(x.shape[2:]), given, constant_values=float(counted))
    ones = np.pad(ones, [(0, b - g) for (_, b), (_, g) in zip(pads, given, strict=True)])
    out = total.shape[2:]
    counts = np.zeros(out)
    for p in np.ndindex(*kernel):
        counts += ones[tuple(slice(i * r, i * r + (n - 1) * s + 1, s) for i, r, n, s in zip(p, dilations, out, strides, strict=True))]
    return c.ops.div(total, c.ref(counts.astype(str(x.dtype))))


@reads("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global_pool(c: Call, x: Any) -> Any:
    axes = tuple(range(2, len(x.shape)))
    if c.kind == "GlobalMaxPool":
        return c.ops.reduce_max(x, axis=axes, keepdims=True)
    if c.kind == "GlobalAveragePool":
        return c.ops.reduce_mean(x, axis=axes, keepdims=True)
    p = float(c.get("p", 2))
    return c.ops.pow(c.ops.reduce_sum(c.ops.pow(c.ops.abs(x), p), axis=axes, keepdims=True), 1.0 / p)
