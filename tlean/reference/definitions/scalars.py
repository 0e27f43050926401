"""The numbers that definitions are written over: NumPy's floats of any width, and fractions of integers.

A definition takes and returns arrays. With exact numbers they are object arrays of `fractions.Fraction`; the functions here are what a
definition needs beyond `+ - * /`, comparisons and NumPy's handling of axes, which work for both.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np


class NotExactError(Exception):
    """The value asked for is no rational number, or is none that could be named."""


def is_exact(x: np.ndarray) -> bool:
    """Whether the array holds Fractions."""
    return x.dtype == object


def number(value: Any, like: np.ndarray) -> Any:
    """A plain number as one of the numbers of `like`; a float becomes the fraction that it is exactly."""
    return fraction(value) if is_exact(like) else like.dtype.type(value)


def fraction(value: Any) -> Fraction:
    """The number as a Fraction. Raises: NotExactError for a NaN or an infinity."""
    try:
        return value if isinstance(value, Fraction) else Fraction(value.item() if isinstance(value, np.generic) else value)
    except (OverflowError, ValueError):
        raise NotExactError(f"{value!r} is not a rational number") from None


def fractions(values: Any) -> np.ndarray:
    """An object array of Fractions, from numbers of any kind."""
    array = np.asarray(values)
    out = np.empty(array.shape, dtype=object)
    for i in np.ndindex(array.shape):
        out[i] = fraction(array[i])
    return out


def zeros(shape: tuple[int, ...], like: np.ndarray) -> np.ndarray:
    """Zeros of the kind that `like` holds."""
    return np.full(shape, number(0, like), dtype=like.dtype)


def filled(shape: tuple[int, ...], value: Any, like: np.ndarray) -> np.ndarray:
    """An array with one number everywhere, of the kind that `like` holds."""
    return np.full(shape, number(value, like), dtype=like.dtype)


def _real(function: Callable[[Any], Any]) -> Callable[[np.ndarray], np.ndarray]:
    def applied(x: Any) -> np.ndarray:
        if isinstance(x, Fraction) or np.asarray(x).dtype == object:
            raise NotExactError(f"{function.__name__} is not a rational function")
        return function(x)

    return applied


exp: Callable[[np.ndarray], np.ndarray] = _real(np.exp)
log: Callable[[np.ndarray], np.ndarray] = _real(np.log)
sqrt: Callable[[np.ndarray], np.ndarray] = _real(np.sqrt)
log1p: Callable[[np.ndarray], np.ndarray] = _real(np.log1p)
expm1: Callable[[np.ndarray], np.ndarray] = _real(np.expm1)
tanh: Callable[[np.ndarray], np.ndarray] = _real(np.tanh)
sin: Callable[[np.ndarray], np.ndarray] = _real(np.sin)
cos: Callable[[np.ndarray], np.ndarray] = _real(np.cos)


def erf(x: Any) -> np.ndarray:
    """The error function, by 2x/√π · e^(−x²) · Σ (2x²)ⁿ/(1·3·…·(2n+1)); no terms cancel.

    Source: Abramowitz & Stegun 1964, equation 7.1.6.
    """
    array = np.asarray(x)
    if array.dtype == object:
        raise NotExactError("erf is not a rational function")
    # Beyond 7 the result is ±1 in every float format up to 80 bits. The sum is taken in the widest format there is.
    t: Any = np.clip(array.astype(np.longdouble), -7, 7)
    term: Any = np.ones_like(t)
    total: Any = term
    for n in range(1, 400):
        term = term * (2 * t * t) / (2 * n + 1)
        total = total + term
    pi = np.longdouble("3.14159265358979323846264338327950288")
    return np.where(np.isnan(array), np.nan, 2 * t / np.sqrt(pi) * np.exp(-t * t) * total).astype(array.dtype)


def sigmoid(x: Any) -> np.ndarray:
    """1/(1 + e^(−x)), without overflow."""
    e = exp(-np.abs(x))
    return np.where(np.isnan(x), x, np.where(np.asarray(x) >= 0, 1, e) / (1 + e))
