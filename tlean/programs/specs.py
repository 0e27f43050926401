"""What users give for the shape and dtype of an argument."""

from __future__ import annotations

from typing import Any

from tlean.dtypes import SIZES
from tlean.errors import DTypeError
from tlean.ops import FLOAT, Spec
from tlean.shapes import as_shape

_DTYPES = frozenset((FLOAT, *SIZES))


def as_spec(value: Any) -> Spec:
    """A spec from a spec (its dtype may be NumPy's) or a shape (then of the program's float dtype). Raises: ShapeError, DTypeError."""
    shape, dtype = (value.shape, value.dtype) if isinstance(value, Spec) else (value, FLOAT)
    if not isinstance(dtype, str):
        # A NumPy dtype, or one of its scalar types.
        dtype = getattr(dtype, "name", None) or getattr(dtype, "__name__", dtype)
        dtype = "bool" if dtype == "bool_" else dtype
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise DTypeError(f"Spec: dtype must be one of {', '.join(sorted(_DTYPES))}, got {value.dtype!r}")
    if isinstance(value, Spec) and dtype is value.dtype and type(shape) is tuple:
        return value
    return Spec(as_shape(shape), dtype)
