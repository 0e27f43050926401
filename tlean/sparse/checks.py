"""What the functions for sparse matrices take: matrices, operands, arrays of integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tlean.arguments import is_reference, no_references
from tlean.arguments import shape as checked_shape
from tlean.errors import DTypeError, OptionError, ShapeError

if TYPE_CHECKING:
    from .matrix import CSR


def matrix(who: str, a: Any) -> CSR:
    """A sparse matrix. Raises: OptionError."""
    if not hasattr(a, "pattern") or not hasattr(a, "data"):
        raise OptionError(f"{who}: a must be a CSR matrix, got {type(a).__name__}")
    return a  # type: ignore[no-any-return]


def operand(who: str, x: Any) -> Any:
    """An array or a reference. Raises: DTypeError for what holds no numbers."""
    if is_reference(x):
        return x
    try:
        held = x if hasattr(x, "shape") and hasattr(x, "dtype") else np.asarray(no_references(x))
        kind = "" if hasattr(x, "pattern") else np.dtype(str(held.dtype)).kind
    except (TypeError, ValueError):
        kind = ""
    if kind not in {"b", "i", "u", "f"}:
        raise DTypeError(f"{who} must be an array of numbers, got {type(x).__name__}")
    return held


def number(who: str, x: Any) -> Any:
    """A number, or an array of no axes. Raises: DTypeError, ShapeError: a vector would go along the entries."""
    if isinstance(x, bool | int | float):
        return x
    held = operand(who, x)
    if tuple(held.shape):
        raise ShapeError(f"{who} must be a number, got shape {tuple(held.shape)}")
    return held


def integers(who: str, x: Any) -> np.ndarray:
    """A copy as int64. Raises: DTypeError for what is no vector of integers."""
    try:
        array = np.asarray(x)
    except ValueError:
        array = np.asarray(None)
    if (array.dtype.kind not in "iu" and array.size) or array.ndim != 1:
        raise DTypeError(f"{who} must be a vector of integers, got {type(x).__name__} of {array.dtype}, shape {array.shape}")
    return array.astype(np.int64)


def sides(who: str, shape: Any) -> tuple[int, int]:
    """Rows and columns. Raises: ShapeError."""
    found = checked_shape(who, shape)
    if len(found) != 2 or min(found) < 0:
        raise ShapeError(f"{who}: a matrix must have two sides of 0 or more, got {found}")
    return found[0], found[1]
