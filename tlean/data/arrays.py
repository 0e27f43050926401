"""What is taken for an array of data."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlean._core.array import read_array
from tlean.errors import DTypeError, ShapeError


def as_array(what: str, value: Any, numbers: bool = False) -> np.ndarray:
    """An array of NumPy with the memory of this one where it has any.

    Args:
        what: it is for, in messages.
        numbers: whether it must hold numbers or Booleans.

    Raises: DTypeError for a masked array, what is no array, unsigned numbers above the range of int64, which ops compute in, or, with
        `numbers`, for other elements; ShapeError where rows differ in length.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise DTypeError(f"{what} must be an array without a mask, got a masked array: fill it, or leave the masked samples out")
    try:
        found = read_array(value)
    except (ShapeError, DTypeError) as error:
        raise type(error)(f"{what}: {error}") from None
    if found.dtype == np.uint64 and found.size and found.max() >> np.uint64(63):
        raise DTypeError(f"{what} holds {found.max()}, and ops compute with int64: up to {(1 << 63) - 1}")
    if numbers and found.dtype.kind not in "biuf":
        raise DTypeError(f"{what} must be an array of numbers or Booleans, got {found.dtype} of shape {found.shape}")
    return found
