"""Convolutions of integers and Booleans: windows that are laid out, then a product of matrices, or a product that is added at windows.

Modulo 2 to the power of the bits, so no order of the sums differs from another; of Booleans whether any pair is true.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

from ...shapes import Shape, conv_out


def _cells(wide: Shape, kernel: Shape, count: Shape, stride: Shape, dilation: Shape) -> list[list[int]]:
    # The row-major positions in an array of sizes `wide`: one row for each cell of the kernel, with that of every window in it.
    steps = [prod(wide[k + 1 :]) for k in range(len(wide))]

    def places(sizes: Shape, by: Shape) -> list[int]:
        return [sum(i * f * s for i, f, s in zip(at, by, steps, strict=True)) for at in product(*map(range, sizes))]

    windows = places(count, stride)
    return [[first + window for window in windows] for first in places(kernel, dilation)]


def _images(x: Any, d: int) -> tuple[int, Shape]:
    # The number of images, and the axes before the channels.
    return (x.shape[0] if len(x.shape) == d + 2 else 1), tuple(x.shape[: -d - 1])


def _with_bias(ops: Any, y: Any, b: Any, d: int) -> Any:
    return y if b is None else ops.add(y, ops.broadcast_to(b, shape=y.shape, axis_map=(len(y.shape) - d - 1,)))


def convolved(ops: Any, w: Any, b: Any, x: Any, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> Any:
    """`conv` of integers alone."""
    kernel, d = tuple(w.shape[2:]), len(w.shape) - 2
    n, lead = _images(x, d)
    x = ops.pad(x, widths=((0, 0),) * (len(lead) + 1) + tuple((p, p) for p in padding))
    wide, cells = tuple(x.shape[-d:]), prod(kernel)
    out = tuple(map(conv_out, wide, kernel, stride, (0,) * d, dilation))
    x = ops.take(ops.reshape(x, (n, w.shape[1] * groups, prod(wide))), _cells(wide, kernel, out, stride, dilation), axis=2)
    x = ops.reshape(x, (n, groups, w.shape[1] * cells, prod(out)))
    w = ops.reshape(w, (groups, w.shape[0] // groups, w.shape[1] * cells))
    y = ops.matmul(w, x, transpose_a=False, transpose_b=False)
    return _with_bias(ops, ops.reshape(y, (*lead, w.shape[0] * w.shape[1], *out)), b, d)


def spread(ops: Any, w: Any, b: Any, x: Any, stride: Shape, padding: Shape, output_padding: Shape, dilation: Shape, groups: int) -> Any:
    """`conv_transpose` of integers alone."""
    kernel, d = tuple(w.shape[2:]), len(w.shape) - 2
    (n, lead), count, channels = _images(x, d), tuple(x.shape[-d:]), w.shape[1] * groups
    # With the padding, which is cut off at the end.
    grown = zip(count, kernel, stride, dilation, output_padding, strict=True)
    wide = tuple((i - 1) * s + r * (k - 1) + 1 + o for i, k, s, r, o in grown)
    cells, places = prod(kernel), _cells(wide, kernel, count, stride, dilation)
    x = ops.reshape(x, (n, groups, w.shape[0] // groups, prod(count)))
    w = ops.reshape(w, (groups, w.shape[0] // groups, w.shape[1] * cells))
    parts = ops.reshape(ops.matmul(w, x, transpose_a=True, transpose_b=False), (n, channels, cells, prod(count)))
    y = ops.reshape(ops._scatter_rows(parts, places, shape=(n, channels, prod(wide)), axis=2), (*lead, channels, *wide))
    starts = (0,) * (len(lead) + 1) + padding
    stops = (*lead, channels, *(n - p for n, p in zip(wide, padding, strict=True)))
    return _with_bias(ops, ops.slice(y, starts=starts, stops=stops), b, d)
