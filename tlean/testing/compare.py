"""How values are compared, and what a difference says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def numbers_of(x: Any) -> np.ndarray:
    """A result of any backend as an array of NumPy."""
    return np.asarray(x.numpy() if hasattr(x, "numpy") else x)


def largest(x: np.ndarray) -> float:
    """The largest finite size of an element; 0 if there is none."""
    finite = np.abs(x[np.isfinite(x)])
    return float(finite.max(initial=0.0))


def inner_product(xs: Sequence[Any], ys: Sequence[Any]) -> float:
    """The inner product of two lists of arrays; None is zero."""
    pairs = [(numbers_of(x), numbers_of(y)) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
    with np.errstate(invalid="ignore"):
        return float(sum(np.sum(x * y, dtype=np.longdouble) for x, y in pairs))


def norm(xs: Sequence[Any]) -> float:
    """The Euclidean norm of a list of arrays; None is zero."""
    return float(np.sqrt(sum(np.sum(np.square(x)) for x in xs if x is not None)))


def compare(found: np.ndarray, expected: np.ndarray, tol: float, noise: float, what: str, other: str) -> None:
    """Raise AssertionError unless the arrays agree up to tol of the largest element, plus noise."""
    if found.size == 0:
        return
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    scale = max(largest(found), largest(expected))
    with np.errstate(invalid="ignore"):
        off = np.abs(found - expected)
    # NaN agrees with NaN, an infinity with itself.
    off = np.where((found == expected) | (np.isnan(found) & np.isnan(expected)), 0.0, np.where(np.isnan(off), np.inf, off))
    at = np.unravel_index(int(np.argmax(off)), off.shape)
    if off[at] > tol * scale + noise:
        place = f"element {tuple(map(int, at))} of {found.shape}" if found.ndim else "it"
        raise AssertionError(
            f"{what}: {place} is {found[at]:.10g}, {other} says {expected[at]:.10g} "
            f"(off by {off[at]:.3g}, allowed {tol * scale + noise:.3g})"
        )


def same_bits(xs: Sequence[Any], ys: Sequence[Any], what: str) -> None:
    """Raise AssertionError unless two lists of arrays have the same bits."""
    for x, y in zip(xs, ys, strict=True):
        a, b = numbers_of(x), numbers_of(y)
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            raise AssertionError(f"{what} are {a.shape} {a.dtype} and {b.shape} {b.dtype}; they must be the same")
        if a.tobytes() != b.tobytes():
            off = np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0)
            raise AssertionError(f"{what} differ by up to {off:.3g}; they must have the same bits")
