"""Definitions of convolutions: every output cell is a sum over its window of the padded input.

Inside, x is (N, C, *in), w is (O, C/groups, *kernel), y is (N, O, *out); one image is a batch of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .scalars import zeros


def _batched(x: Any, d: Any) -> Any:
    return x if x.ndim == d + 2 else x[np.newaxis]


def _unbatched(y: Any, x: Any) -> Any:
    # The result with a batch axis only if x has one.
    return y if y.ndim == x.ndim else y[0]


def _pad(x: Any, padding: Any) -> Any:
    xp = zeros((*x.shape[:2], *(n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True))), x)
    xp[_inside(x.shape[2:], padding)] = x
    return xp


def _inside(sizes: Any, padding: Any) -> Any:
    # Where an array of these spatial sizes lies inside its padded form.
    return (slice(None), slice(None), *(slice(p, p + n) for n, p in zip(sizes, padding, strict=True)))


def _window(i: Any, kernel: Any, stride: Any, dilation: Any) -> Any:
    # The cells of the padded input that window i covers: s·i + dil·k for k < kernel.
    return tuple(slice(s * j, s * j + dil * (k - 1) + 1, dil) for j, k, s, dil in zip(i, kernel, stride, dilation, strict=True))


def _group(channel: Any, channels: Any, groups: Any, size: Any) -> Any:
    # The `size` channels on the other side that belong to the group of `channel`.
    g = channel // (channels // groups)
    return slice(g * size, (g + 1) * size)


def conv(w: Any, b: Any, x: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    d = w.ndim - 2
    kernel = w.shape[2:]
    xs = _batched(x, d)
    xp = _pad(xs, padding)
    out = tuple((n - dil * (k - 1) - 1) // s + 1 for n, k, s, dil in zip(xp.shape[2:], kernel, stride, dilation, strict=True))
    y = zeros((xs.shape[0], w.shape[0], *out), x)
    for n, o, *i in np.ndindex(y.shape):
        channels = _group(o, w.shape[0], groups, w.shape[1])
        y[(n, o, *i)] = np.sum(w[o] * xp[(n, channels, *_window(i, kernel, stride, dilation))])
        if b is not None:
            y[(n, o, *i)] += b[o]
    return _unbatched(y, x)


def conv_transpose(w: Any, b: Any, x: Any, *, stride: Any, padding: Any, output_padding: Any, dilation: Any, groups: Any) -> Any:
    d = w.ndim - 2
    kernel = w.shape[2:]
    xs = _batched(x, d)
    # Everything that the windows write, and output_padding cells behind it; then `padding` cells are cut off at both ends.
    sizes = zip(xs.shape[2:], kernel, stride, dilation, output_padding, strict=True)
    yp = zeros((xs.shape[0], w.shape[1] * groups, *((n - 1) * s + dil * (k - 1) + 1 + more for n, k, s, dil, more in sizes)), x)
    for n, c, *i in np.ndindex(xs.shape):
        channels = _group(c, w.shape[0], groups, w.shape[1])
        yp[(n, channels, *_window(i, kernel, stride, dilation))] += w[c] * xs[(n, c, *i)]
    y = yp[_inside([n - 2 * p for n, p in zip(yp.shape[2:], padding, strict=True)], padding)]
    if b is not None:
        y = y + b.reshape(-1, *(1,) * d)
    return _unbatched(y, x)


def conv_grad_x(w: Any, g: Any, *, in_shape: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    d = w.ndim - 2
    gs = _batched(g, d)
    # The padded input's gradient; the padding's own share is dropped.
    dxp = zeros((gs.shape[0], w.shape[1] * groups, *(n + 2 * p for n, p in zip(in_shape, padding, strict=True))), g)
    for n, o, *i in np.ndindex(gs.shape):
        channels = _group(o, w.shape[0], groups, w.shape[1])
        dxp[(n, channels, *_window(i, w.shape[2:], stride, dilation))] += w[o] * gs[(n, o, *i)]
    return _unbatched(dxp[_inside(in_shape, padding)], g)


def conv_grad_w(g: Any, x: Any, *, kernel: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    d = len(kernel)
    gs, xp = _batched(g, d), _pad(_batched(x, d), padding)
    dw = zeros((gs.shape[1], xp.shape[1] // groups, *kernel), g)
    for n, o, *i in np.ndindex(gs.shape):
        channels = _group(o, dw.shape[0], groups, dw.shape[1])
        dw[o] += gs[(n, o, *i)] * xp[(n, channels, *_window(i, kernel, stride, dilation))]
    return dw


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "conv": conv,
    "conv2d": conv,
    "conv_transpose": conv_transpose,
    "conv_transpose2d": conv_transpose,
    "_conv_grad_x": conv_grad_x,
    "_conv_grad_w": conv_grad_w,
}
