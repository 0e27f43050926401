"""Arrays that are made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

import tlean as tl

from ..samples import Skip
from .common import cast, dtype_of


def _dtype(x: Any, dtype: Any) -> str:
    return str(x.dtype) if dtype is None else dtype_of(dtype)


def _typed(dtype: Any) -> Any:
    return None if dtype is None else dtype_of(dtype)


def _linspace(start: Any, end: Any, steps: int, *, dtype: Any = None, **_: Any) -> Any:
    if dtype is torch.int64:
        raise Skip("integers, between which PyTorch steps by a whole number")
    if isinstance(start, int | float) and isinstance(end, int | float):
        return cast(tl.linspace(start, end, steps, dtype="float64"), dtype)
    part = np.linspace(0, 1, steps) if steps > 1 else np.zeros(steps)
    return cast(tl.where(part < 0.5, start + part * (end - start), end - (1 - part) * (end - start)), dtype)


def _logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None, **_: Any) -> Any:
    return cast(tl.power(float(base), _linspace(start, end, steps, dtype=torch.int64 if dtype is torch.int64 else None)), dtype)


def _full(shape: Any, value: Any, *, dtype: Any = None, **_: Any) -> Any:
    return tl.full(tuple(shape) if not isinstance(shape, int) else (shape,), value, dtype=_typed(dtype))


def _shape(sizes: Any) -> tuple[int, ...]:
    return tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else tuple(sizes)


def _cosines(*weights: float) -> Any:
    def window(m: int, *, sym: bool = True, dtype: Any = None, **_: Any) -> Any:
        return _window(lambda k, n: sum((-1) ** j * a * tl.cos(2 * math.pi * j * k / n) for j, a in enumerate(weights)), m, sym, dtype)

    return window


def _window(f: Any, m: int, sym: bool, dtype: Any) -> Any:
    if m == 1:
        return cast(tl.ones((1,), dtype="float64"), dtype)
    k = tl.arange(m) * 1.0
    y = f(k, max(m - 1 if sym else m, 1)) if m else tl.zeros((0,), dtype="float64")
    return cast(y + 0.0 * k, dtype)


def _gaussian(m: int, *, std: float = 1.0, sym: bool = True, dtype: Any = None, **_: Any) -> Any:
    return _window(lambda k, n: tl.exp(-0.5 * tl.square((k - n / 2) / std)), m, sym, dtype)


def _exponential(m: int, *, center: Any = None, tau: float = 1.0, sym: bool = True, dtype: Any = None, **_: Any) -> Any:
    return _window(lambda k, n: tl.exp(-abs(k - (n / 2 if center is None else center)) / tau), m, sym, dtype)


def _bartlett(m: int, *, sym: bool = True, dtype: Any = None, **_: Any) -> Any:
    return _window(lambda k, n: 1 - abs(2 * k / n - 1), m, sym, dtype)


def _cosine(m: int, *, sym: bool = True, dtype: Any = None, **_: Any) -> Any:
    return _window(lambda k, n: tl.sin(math.pi / (n + 1) * (k + 0.5)), m, sym, dtype)


def _general_cosine(m: int, *, a: Any, sym: bool = True, dtype: Any = None, **_: Any) -> Any:
    return _cosines(*a)(m, sym=sym, dtype=dtype)


def _general_hamming(m: int, *, alpha: float = 0.54, sym: bool = True, dtype: Any = None, **_: Any) -> Any:
    return _cosines(alpha, 1 - alpha)(m, sym=sym, dtype=dtype)


def _arange(*numbers: Any, end: Any = None, step: Any = None, dtype: Any = None, **_: Any) -> Any:
    if dtype is torch.int64 and any(isinstance(n, float) for n in (*numbers, end, step)):
        raise Skip("integers between fractions, which PyTorch cuts off first")
    return cast(tl.arange(*numbers, *(n for n in (end, step) if n is not None)), dtype)


ADAPTERS = {
    "arange": _arange,
    "eye": lambda n, m=None, *, dtype=None, **_: tl.eye(n, m, dtype=_typed(dtype)),
    "fill": lambda x, value: (
        tl.full_like(x, value) if isinstance(value, int | float | bool) else tl.broadcast_to(tl.astype(value, str(x.dtype)), x.shape)
    ),
    "full": _full,
    "full_like": lambda x, value, *, dtype=None, **_: tl.full_like(x, value, dtype=_dtype(x, dtype)),
    "linspace": _linspace,
    "linspace.tensor_overload": _linspace,
    "logspace": _logspace,
    "logspace.tensor_overload": _logspace,
    "new_full": lambda x, shape, value, *, dtype=None, **_: tl.full(tuple(shape), value, dtype=_dtype(x, dtype)),
    "new_ones": lambda x, shape, *, dtype=None, **_: tl.ones(tuple(shape), dtype=_dtype(x, dtype)),
    "new_zeros": lambda x, shape, *, dtype=None, **_: tl.zeros(tuple(shape), dtype=_dtype(x, dtype)),
    "ones": lambda *shape, dtype=None, **_: tl.ones(_shape(shape), dtype=_typed(dtype)),
    "ones_like": lambda x, *, dtype=None, **_: tl.ones_like(x, dtype=_dtype(x, dtype)),
    "scalar_tensor": lambda value, *, dtype=None, **_: tl.full((), value, dtype=_typed(dtype)),
    "zeros": lambda *shape, dtype=None, **_: tl.zeros(_shape(shape), dtype=_typed(dtype)),
    "zeros_like": lambda x, *, dtype=None, **_: tl.zeros_like(x, dtype=_dtype(x, dtype)),
    "zero_": lambda x: tl.zeros_like(x),
    "signal.windows.bartlett": _bartlett,
    "signal.windows.blackman": _cosines(0.42, 0.5, 0.08),
    "signal.windows.cosine": _cosine,
    "signal.windows.exponential": _exponential,
    "signal.windows.gaussian": _gaussian,
    "signal.windows.general_cosine": _general_cosine,
    "signal.windows.general_hamming": _general_hamming,
    "signal.windows.hamming": _cosines(0.54, 0.46),
    "signal.windows.hann": _cosines(0.5, 0.5),
    "signal.windows.nuttall": _cosines(0.3635819, 0.4891775, 0.1365995, 0.0106411),
}
