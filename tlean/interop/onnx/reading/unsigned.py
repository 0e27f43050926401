"""Unsigned numbers of 64 bits, held as the signed ones with their bits: operators that mean something else of those."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .registry import Call, dtype_of

_TOP = np.int64(-(2**63))


def _flipped(c: Call, x: Any) -> Any:
    # In the order of signed numbers.
    return c.ops.bitwise_xor(x, c.ref(_TOP))


def _negative(c: Call, x: Any) -> Any:
    return c.ops.less(x, c.ref(np.int64(0)))


def _compared(c: Call, a: Any, b: Any) -> Any:
    op = {"Greater": "greater", "GreaterOrEqual": "greater_equal", "Less": "less", "LessOrEqual": "less_equal"}[c.kind]
    return getattr(c.ops, op)(_flipped(c, a), _flipped(c, b))


def _largest(c: Call, *xs: Any) -> Any:
    op = c.ops.max if c.kind == "Max" else c.ops.min
    return _flipped(c, functools.reduce(op, (_flipped(c, x) for x in xs)))


def _halved(c: Call, x: Any) -> Any:
    # x >> 1, which is no negative number.
    return c.ops.bitwise_and(c.ops.bitwise_right_shift(x, c.ref(np.int64(1))), c.ref(np.int64(2**63 - 1)))


def _shifted(c: Call, a: Any, b: Any) -> Any:
    one, zero = c.ref(np.int64(1)), c.ref(np.int64(0))
    if c.get("direction") == "LEFT":
        return c.ops.bitwise_left_shift(a, b)
    less = c.ops.max(c.ops.sub(b, one), zero)
    return c.ops.where(c.ops.equal(b, zero), a, c.ops.bitwise_right_shift(_halved(c, a), less))


def _divided(c: Call, a: Any, b: Any) -> tuple[Any, Any]:
    # Quotient and rest (Warren, Hacker's Delight, 9-3): half of a is divided, the double corrected by 1.
    one, zero = c.ref(np.int64(1)), c.ref(np.int64(0))
    large = _negative(c, b)
    safe = c.ops.where(large, one, b)
    q = c.ops.bitwise_left_shift(c.ops.floor_divide(_halved(c, a), safe), one)
    rest = c.ops.sub(a, c.ops.mul(q, b))
    more = c.ops.greater_equal(_flipped(c, rest), _flipped(c, b))
    q = c.ops.where(more, c.ops.add(q, one), q)
    fits = c.ops.greater_equal(_flipped(c, a), _flipped(c, b))
    q = c.ops.where(large, c.ops.where(fits, one, zero), q)
    return q, c.ops.sub(a, c.ops.mul(q, b))


def _floats(c: Call, x: Any, dtype: str) -> Any:
    # Half of a large one, with what that drops as its last bit, and doubled.
    half = c.ops.bitwise_or(_halved(c, x), c.ops.bitwise_and(x, c.ref(np.int64(1))))
    return c.ops.where(_negative(c, x), c.ops.scale(c.cast(half, dtype), 2.0), c.cast(x, dtype))


def _pow(c: Call, a: Any, b: Any) -> Any:
    if c.dtypes[0] == "uint64":
        raise c.refuse("of uint64")
    kind = str(a.dtype) if str(a.dtype).startswith("float") else "float64"
    return c.cast(c.ops.power(c.cast(a, kind), _floats(c, b, kind)), str(a.dtype))


def _cast(c: Call, x: Any, like: Any = None) -> Any:
    dtype = dtype_of(c.get("to")) if like is None else str(c.dtypes[1])
    saturate = bool(c.get("saturate", 1))
    if "float" in dtype and c.dtypes[0] == "uint64":
        x = _floats(c, x, "float32" if dtype == "float32" else "float64")
    return c.cast(x, dtype, saturate)


def _top_k(c: Call, x: Any, k: Any) -> Any:
    axis, count = c.get("axis", -1), int(np.asarray(k).reshape(-1)[0])
    values, places = c.ops.topk(_flipped(c, x), count, axis=axis % len(x.shape), largest=bool(c.get("largest", 1)))
    return _flipped(c, values), c.cast(places, "int64")


UNSIGNED: dict[str, Callable[..., Any]] = {
    "BitShift": _shifted,
    "Cast": _cast,
    "CastLike": _cast,
    "Div": lambda c, a, b: _divided(c, a, b)[0],
    "Greater": _compared,
    "GreaterOrEqual": _compared,
    "Less": _compared,
    "LessOrEqual": _compared,
    "Max": _largest,
    "Min": _largest,
    "Mod": lambda c, a, b: _divided(c, a, b)[1],
    "Pow": _pow,
    "TopK": _top_k,
}
