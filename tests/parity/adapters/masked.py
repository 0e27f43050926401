"""torch.masked: reductions over the elements that a mask names, by `where` with the neutral element."""

from __future__ import annotations

import math
from typing import Any

import tlean as tl

from ..samples import Skip
from .common import axes_of, cast, dtype_of, is_bool, is_float


def _whole(x: Any, mask: Any) -> Any:
    return tl.ones_like(x, dtype=bool) if mask is None else tl.broadcast_to(mask, x.shape)


def _over(f: Any, neutral: float) -> Any:
    def call(x: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
        x = cast(x, dtype)
        if not is_float(x) and math.isinf(neutral):
            raise Skip("integers without an infinity")
        if mask is not None:
            x = tl.where(tl.broadcast_to(mask, x.shape), x, neutral if is_float(x) else bool(neutral) if is_bool(x) else int(neutral))
        return f(x, axes_of(dim), keepdim)

    return call


def _running(f: Any, neutral: float) -> Any:
    def call(x: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
        x = cast(x, dtype)
        return f(x if mask is None else tl.where(tl.broadcast_to(mask, x.shape), x, neutral if is_float(x) else int(neutral)), dim)

    return call


def _soft(f: Any, sign: float, neutral: float) -> Any:
    def call(x: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
        x = cast(x, dtype) * sign
        return f(x if mask is None else tl.where(tl.broadcast_to(mask, x.shape), x, neutral), dim)

    return call


def _arg(f: Any, neutral: float) -> Any:
    def call(x: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
        if not is_float(x) and mask is not None:
            raise Skip("integers without an infinity")
        place = f(x if mask is None else tl.where(tl.broadcast_to(mask, x.shape), x, neutral), dim, keepdim)
        return tl.astype(place, str(x.dtype) if dtype is None else dtype_of(dtype))

    return call


def _mean(x: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    x = cast(x, dtype)
    kept = _whole(x, mask)
    return tl.sum(tl.where(kept, x, 0), axes_of(dim), keepdim) / tl.sum(kept, axes_of(dim), keepdim)


def _var(root: bool) -> Any:
    def call(
        x: Any, dim: Any = None, unbiased: Any = None, *, correction: Any = None, keepdim: bool = False, dtype: Any = None, mask: Any = None
    ) -> Any:
        x = cast(x, dtype)
        correction = (0 if unbiased is False else 1) if correction is None else correction
        kept, axis = _whole(x, mask), axes_of(dim)
        count = tl.sum(kept, axis, True)
        centred = tl.where(kept, x - tl.sum(tl.where(kept, x, 0), axis, True) / count, 0.0)
        y = tl.sum(tl.square(centred), axis, keepdim) / tl.maximum((count if keepdim else tl.sum(kept, axis)) - correction, 0)
        return tl.sqrt(y) if root else y

    return call


def _norm(x: Any, ord: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    x = cast(x, dtype)
    neutral = math.inf if ord < 0 else 0.0
    x = x if mask is None else tl.where(tl.broadcast_to(mask, x.shape), x, neutral)
    return tl.norm(x, ord, axes_of(dim), keepdim)


def _normalize(x: Any, ord: Any, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Any = None) -> Any:
    x = cast(x, dtype)
    kept = x if mask is None else tl.where(tl.broadcast_to(mask, x.shape), x, 0.0)
    return kept / tl.maximum(_norm(x, ord, dim, keepdim=True, mask=mask), eps)


def _logaddexp(a: Any, b: Any, *, dtype: Any = None, input_mask: Any = None, other_mask: Any = None) -> Any:
    parts = [v if m is None else tl.where(m, v, -math.inf) for v, m in ((cast(a, dtype), input_mask), (cast(b, dtype), other_mask))]
    return tl.logaddexp(*parts)


ADAPTERS = {
    "masked.sum": _over(tl.sum, 0.0),
    "masked.prod": _over(tl.prod, 1.0),
    "masked.amax": _over(lambda x, axis, keep: tl.max(x, axis=axis, keepdims=keep), -math.inf),
    "masked.amin": _over(lambda x, axis, keep: tl.min(x, axis=axis, keepdims=keep), math.inf),
    "masked.logsumexp": _over(tl.logsumexp, -math.inf),
    "masked.cumsum": _running(tl.cumsum, 0.0),
    "masked.cumprod": _running(tl.cumprod, 1.0),
    "masked.argmax": _arg(tl.argmax, -math.inf),
    "masked.argmin": _arg(tl.argmin, math.inf),
    "masked.mean": _mean,
    "masked.var": _var(False),
    "masked.std": _var(True),
    "masked.norm": _norm,
    "masked.normalize": _normalize,
    "masked.softmax": _soft(tl.softmax, 1.0, -math.inf),
    "masked.log_softmax": _soft(tl.log_softmax, 1.0, -math.inf),
    "masked.softmin": _soft(tl.softmax, -1.0, -math.inf),
    "masked.logaddexp": _logaddexp,
}
