"""Cells of images moved: between channels and places, and from windows back to where they were."""

from __future__ import annotations

from typing import Any

from ...errors import OptionError, ShapeError, completing
from ...shapes import as_shape, conv_out, per_axis, size
from ..registry import array, composite, whole


def _factor(option: str, value: Any) -> int:
    factor = whole(option, value)
    if factor < 1:
        raise OptionError(f"{option} must be at least 1")
    return factor


@composite
def pixel_shuffle(ops: Any, x: Any, factor: int, *, name: str | None = None) -> Any:
    """Channels to places: (*k, C·r², H, W) to (*k, C, H·r, W·r)."""
    x = array(ops, x, "pixel_shuffle: x")
    with completing("pixel_shuffle", x=x, factor=factor):
        r = _factor("factor", factor)
        if len(x.shape) < 3 or x.shape[-3] % (r * r):
            raise ShapeError("x must have three axes or more, and factor squared must divide its channels")
        *lead, c, h, w = x.shape
        k = len(lead)
        apart = ops.reshape(x, (*lead, c // (r * r), r, r, h, w))
        moved = ops.permute(apart, (*range(k), k, k + 3, k + 1, k + 4, k + 2))
        return ops.reshape(moved, (*lead, c // (r * r), h * r, w * r), name=name)


@composite
def pixel_unshuffle(ops: Any, x: Any, factor: int, *, name: str | None = None) -> Any:
    """Places to channels: (*k, C, H·r, W·r) to (*k, C·r², H, W)."""
    x = array(ops, x, "pixel_unshuffle: x")
    with completing("pixel_unshuffle", x=x, factor=factor):
        r = _factor("factor", factor)
        if len(x.shape) < 3 or x.shape[-2] % r or x.shape[-1] % r:
            raise ShapeError("x must have three axes or more, and factor must divide its last two")
        *lead, c, h, w = x.shape
        k = len(lead)
        apart = ops.reshape(x, (*lead, c, h // r, r, w // r, r))
        moved = ops.permute(apart, (*range(k), k, k + 2, k + 4, k + 1, k + 3))
        return ops.reshape(moved, (*lead, c * r * r, h // r, w // r), name=name)


@composite
def channel_shuffle(ops: Any, x: Any, groups: int, *, name: str | None = None) -> Any:
    """Channels of so many groups dealt out in turn: (N, g·c, …) as (N, c·g, …)."""
    x = array(ops, x, "channel_shuffle: x")
    with completing("channel_shuffle", x=x, groups=groups):
        g = _factor("groups", groups)
        if len(x.shape) < 2 or x.shape[1] % g:
            raise ShapeError("x must have the shape (N, C, ...), and groups must divide its channels")
        n, c, *rest = x.shape
        moved = ops.permute(ops.reshape(x, (n, g, c // g, size(rest))), (0, 2, 1, 3))
        return ops.reshape(moved, tuple(x.shape), name=name)


@composite
def fold(
    ops: Any,
    x: Any,
    size: Any,
    kernel: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    *,
    name: str | None = None,
) -> Any:
    """Windows as columns added up to an image, the adjoint of `unfold`."""
    x = array(ops, x, "fold: x")
    with completing("fold", x=x, size=size, kernel=kernel, stride=stride, padding=padding, dilation=dilation):
        return _folded(ops, x, as_shape(size), tuple(whole("kernel", k) for k in kernel), (stride, padding, dilation), name)


def _folded(ops: Any, x: Any, sizes: Any, cells: Any, window: Any, name: str | None) -> Any:
    d = len(cells)
    if not 1 <= d <= 3 or len(sizes) != d or len(x.shape) < 2:
        raise ShapeError("kernel and size must have 1, 2 or 3 numbers, and x two axes or more")
    steps, pads, gaps = (per_axis(v, d, what) for v, what in zip(window, ("stride", "padding", "dilation"), strict=True))
    outs = tuple(conv_out(n, *rest) for n, *rest in zip(sizes, cells, steps, pads, gaps, strict=True))
    *lead, rows, columns = x.shape
    if columns != size(outs) or rows % size(cells):
        raise ShapeError(f"x must have the shape (*k, C * {size(cells)}, {size(outs)}): a row for each cell, a column for each window")
    channels, wide = rows // size(cells), tuple(n + 2 * p for n, p in zip(sizes, pads, strict=True))
    images = ops.reshape(x, (size(lead), channels, size(cells), *outs))
    if set(gaps) == {1}:
        y = ops._windows_adjoint(images, in_sizes=wide, kernel=cells, stride=steps, padding=(0,) * d)
    else:
        places = [0]
        for counts, starts in ((cells, gaps), (outs, steps)):
            for n, step, along in zip(counts, starts, (size(wide[k + 1 :]) for k in range(d)), strict=True):
                places = [p + i * step * along for p in places for i in range(n)]
        zeros = ops.apply("_full", (), {"shape": (size(lead), channels, size(wide)), "value": 0, "dtype": x.dtype})
        flat = ops.reshape(images, (size(lead), channels, len(places)))
        y = ops.put_along_axis(zeros, ops.reshape(ops._own_constant(places), (1, 1, len(places))), flat, -1, "add")
        y = ops.reshape(y, (size(lead), channels, *wide))
    ends = tuple(p + n for p, n in zip(pads, sizes, strict=True))
    inner = ops.slice(y, (0, 0, *pads), (size(lead), channels, *ends)) if any(pads) else y
    return ops.reshape(inner, (*lead, channels, *sizes), name=name)
