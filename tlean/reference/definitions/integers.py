"""Definitions of the ops of integers and Booleans: NumPy's, which give 0 for a quotient or a remainder by 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _whole(function: Any) -> Any:
    # Of Booleans that are computed with as integers, int64.
    def definition(a, b):
        with np.errstate(all="ignore"):
            return function(*(x.astype(np.int64) if x.dtype == bool else x for x in (a, b)))

    return definition


def _power(a: Any, b: Any) -> Any:
    # Below 0 the whole part of 1/a^−b.
    y = np.power(a, np.maximum(b, 0))
    return np.where(b < 0, np.where(a * a == 1, np.where(b % 2 == 1, a, 1), 0), y).astype(y.dtype)


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "bitwise_not": np.invert,
    "bitwise_left_shift": _whole(np.left_shift),
    "bitwise_right_shift": _whole(np.right_shift),
    "gcd": _whole(np.gcd),
    "lcm": _whole(np.lcm),
}
#: Of ops that compute in floats too.
WHOLE = {
    "floor_divide": _whole(np.floor_divide),
    "remainder": _whole(np.remainder),
    "fmod": _whole(np.fmod),
    "power": _whole(_power),
    **dict.fromkeys(("floor", "ceil", "trunc", "round"), np.copy),
}
