"""What the distributions share: arguments of one float dtype, and values outside of the support."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tlean.functions as F

from ..arguments import is_reference
from ..arguments.literals import FloatName
from ..dispatch import Values, backend_of

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def floats(*values: Any) -> list[Any]:
    """The values as arrays of one float dtype: float64 where one of them is, else float32 where one is, else the program's.

    Args:
        values: numbers, arrays, references. Plain numbers take the dtype of the others; integers and Booleans become floats.
    """
    held = [v if is_reference(v) or hasattr(v, "dtype") or not isinstance(v, list | tuple) else np.asarray(v) for v in values]
    types = {str(v.dtype) for v in held if hasattr(v, "dtype")}
    dtype = next((d for d in ("float64", "float32") if d in types), None)
    if dtype is None:
        ops = backend_of(*held)
        dtype = "float32" if isinstance(ops, Values) else ops.dtype
    return [_float(v, dtype) for v in held]


def float_of(x: Any) -> FloatName:
    """The dtype of an array of floats, by name.

    Args:
        x: the array.
    """
    return "float64" if str(x.dtype) == "float64" else "float32"


def _float(value: Any, dtype: str) -> Any:
    if not hasattr(value, "dtype"):
        return F.full((), float(value), dtype=dtype)
    return value if str(value.dtype) == dtype else F.astype(value, dtype)


def within(inside: Any, value: Any) -> Any:
    """A log density: the value where a condition holds, else -inf.

    Args:
        inside: Booleans.
        value: floats; those outside may be anything but NaN in their gradient, so compute them at a point of the support.
    """
    return F.where(inside, value, -math.inf)


def count(k: Any) -> Any:
    """Whether numbers are 0, 1, 2, …

    Args:
        k: floats.
    """
    return F.logical_and(F.greater_equal(k, 0.0), F.equal(k, F.floor(k)))


def spread(value: Any, *others: Any) -> Any:
    """The value in the shape to which it and the others broadcast.

    Args:
        value, others: arrays.
    """
    shape = np.broadcast_shapes(*(tuple(v.shape) for v in (value, *others)))
    return value if tuple(value.shape) == shape else F.broadcast_to(value, shape)


def log_share(share: Any, rest: Any) -> Any:
    """The logarithm of a probability, which keeps its digits near 1; -inf at 0, with a gradient of 0.

    Args:
        share: the probability.
        rest: 1 less it.
    """
    small = F.less(share, 0.5)
    low = F.where(F.logical_and(small, F.greater(share, 0.0)), share, 1.0)
    value = F.where(small, F.log(low), F.log1p(-F.where(small, 0.0, rest)))
    return F.where(F.equal(share, 0.0), -math.inf, value)
