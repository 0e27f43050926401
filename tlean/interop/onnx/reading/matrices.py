"""Products of matrices, and Fourier transforms, whose complex numbers are two real ones along the last axis."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from .registry import Call, axis_of, reads


@reads("MatMul")
def _matmul(c: Call, a: Any, b: Any) -> Any:
    return c.ops.matmul(a, b)


@reads("Gemm")
def _gemm(c: Call, a: Any, b: Any, more: Any = None) -> Any:
    alpha, beta = c.get("alpha", 1.0), c.get("beta", 1.0)
    n = b.shape[0] if c.get("transB", 0) else b.shape[1]
    simple = alpha == 1.0 and not c.get("transA", 0) and c.get("transB", 0)
    if simple and (more is None or (tuple(more.shape) == (n,) and beta == 1.0)):
        return c.ops.linear(b, more, a)
    if c.get("transA", 0):
        a = c.ops.transpose2d(a)
    if c.get("transB", 0):
        b = c.ops.transpose2d(b)
    y = c.ops.matmul(a, b)
    y = y if alpha == 1.0 else c.ops.scale(y, alpha)
    return y if more is None else c.ops.add(y, more if beta == 1.0 else c.ops.scale(more, beta))


@reads("Einsum")
def _einsum(c: Call, *xs: Any) -> Any:
    spec = c.get("equation").replace(" ", "")
    if "..." in spec:
        spec = _without_dots(spec, [len(x.shape) for x in xs])
    if "->" not in spec:
        letters = spec.replace(",", "")
        spec += "->" + "".join(sorted(s for s in set(letters) if letters.count(s) == 1))
    return c.ops.einsum(spec, *xs)


def _without_dots(spec: str, ranks: list[int]) -> str:
    left, arrow, right = spec.partition("->")
    free = [s for s in string.ascii_uppercase if s not in spec]
    parts = left.split(",")
    counts = [rank - len(p.replace("...", "")) for p, rank in zip(parts, ranks, strict=True)]
    names = "".join(free[: max(n for p, n in zip(parts, counts, strict=True) if "..." in p)])
    parts = [p.replace("...", names[len(names) - n :]) for p, n in zip(parts, counts, strict=True)]
    letters = "".join(parts)
    if not arrow:
        right = "..." + "".join(sorted(s for s in set(letters) - set(names) if letters.count(s) == 1))
    return ",".join(parts) + "->" + right.replace("...", names)


@reads("Det")
def _det(c: Call, x: Any) -> Any:
    return c.ops.linalg_det(x)


@reads("Softmax", "LogSoftmax")
def _softmax(c: Call, x: Any) -> Any:
    made = c.ops.softmax if c.kind == "Softmax" else c.ops.log_softmax
    if c.opset >= 13:
        return made(x, axis=axis_of(c.get("axis", -1), len(x.shape)))
    # All axes from that one on are one.
    axis = axis_of(c.get("axis", 1), len(x.shape))
    rows = int(np.prod(x.shape[:axis]))
    return c.ops.reshape(made(c.ops.reshape(x, (rows, int(np.prod(x.shape[axis:])))), axis=1), tuple(x.shape))


# Fourier transforms; those of signals are computed in float64 ------------------------------------------------------------------


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
