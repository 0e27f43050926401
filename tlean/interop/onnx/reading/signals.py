"""Fourier transforms, those of signals in float64: complex numbers are two real ones along the last axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from .registry import Call, axis_of, reads


def _number(value: Any, default: int) -> int:
    return default if value is None else int(np.asarray(value).reshape(-1)[0])


def _part(c: Call, x: Any, axis: int, size: int) -> Any:
    return c.ops.slice(x, (0,) * len(x.shape), tuple(size if k == axis else n for k, n in enumerate(x.shape)))


def _transformed(c: Call, x: Any, n: int, axis: int, onesided: bool) -> Any:
    if x.shape[-1] == 2:
        y = c.ops.fft_fft(x, n, axis)
        return _part(c, y, axis, n // 2 + 1) if onesided else y
    x = c.ops.reshape(x, x.shape[:-1])
    if onesided:
        return c.ops.fft_rfft(x, n, axis)
    return c.ops.fft_fft(c.ops.stack([x, c.ops.scale(x, 0.0)], axis=-1), n, axis)


@reads("DFT", known=(1, 2))
def _dft(c: Call, x: Any, length: Any = None, axis: Any = None) -> Any:
    along = _number(axis, c.get("axis", 1 if c.opset < 20 else -2))
    a, inverse, onesided = axis_of(along, len(x.shape)), bool(c.get("inverse", 0)), bool(c.get("onesided", 0))
    if a == len(x.shape) - 1 or x.shape[-1] not in (1, 2):
        raise c.refuse("the last axis must be of a real part, or of a real and an imaginary one, and is not transformed")
    n, dtype = _number(length, 2 * (x.shape[a] - 1) if inverse and onesided else x.shape[a]), str(x.dtype)
    if not inverse:
        y = _transformed(c, c.cast(x, "float64"), n, a, onesided)
    else:
        x = c.ops.concat([x, c.ops.scale(x, 0.0)], axis=-1) if x.shape[-1] == 1 else x
        y = c.ops.fft_irfft(x, n, a) if onesided else c.ops.fft_ifft(x, n, a)
        y = c.ops.reshape(y, (*y.shape, 1)) if onesided else y
    return c.cast(y, dtype)


@reads("STFT", known=(1, 3))
def _stft(c: Call, x: Any, step: Any, window: Any = None, length: Any = None) -> Any:
    n = _number(length, x.shape[-2] if window is None else window.shape[0])
    count = 1 + (x.shape[1] - n) // _number(step, 1)
    starts = np.arange(count)[:, None] * _number(step, 1)
    frames = c.ops.take(x, c.ref((starts + np.arange(n)).astype(np.int64)), axis=1)
    if window is not None:
        frames = c.ops.mul(frames, c.ops.reshape(window, (1, 1, n, 1)))
    return c.cast(_transformed(c, c.cast(frames, "float64"), n, 2, bool(c.get("onesided", 1))), str(x.dtype))
