"""Expressions of NumPy's evaluated on values of the library, and their results beside NumPy's."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

import tlean as tl
from tlean._core.refs import RefBase


def evaluated(expression: str, values: dict[str, Any]) -> Any:
    """The value of an expression, which may follow statements; these change no array of NumPy's that is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"np": np, "math": math, **values}
        *statements, last = expression.split("; ")
        if statements:
            names |= {k: v.copy() for k, v in values.items() if isinstance(v, np.ndarray)}
            exec("\n".join(statements), names)
        return eval(last, names)


def plain(result: Any) -> Any:
    """A result with arrays of NumPy in place of the library's."""
    if isinstance(result, dict):
        return {k: plain(v) for k, v in result.items()}
    if isinstance(result, RefBase | tl.AnyTensor):
        return np.asarray(result)
    return [plain(r) for r in result] if isinstance(result, list | tuple) else result


def contains_reference(result: Any) -> bool:
    """Whether there is a reference in a result."""
    result = list(result.values()) if isinstance(result, dict) else result
    return isinstance(result, RefBase) or (isinstance(result, list | tuple) and any(map(contains_reference, result)))


def same(result: Any, expected: Any) -> bool:
    """Whether a result is that of NumPy, to rounding."""
    if isinstance(expected, list | tuple):
        return isinstance(result, list | tuple) and len(result) == len(expected) and all(map(same, result, expected))
    if isinstance(expected, dict):
        return isinstance(result, dict) and result.keys() == expected.keys() and all(same(result[k], v) for k, v in expected.items())
    if isinstance(expected, str | bytes | type | np.dtype | None):
        return bool(result == expected)
    if not isinstance(result, np.ndarray | np.generic | int | float | complex | bool):
        return False
    single = getattr(expected, "dtype", None) == np.float32
    rtol, atol = (1e-6, 1e-7) if single else (1e-12, 1e-14)
    return np.shape(result) == np.shape(expected) and np.allclose(result, expected, rtol=rtol, atol=atol, equal_nan=True)
