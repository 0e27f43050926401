"""The standard's `linalg`, as far as ops go."""

from __future__ import annotations

from typing import Any

from tlean.errors import OptionError, ShapeError
from tlean.shapes import normalize_axis

from .calls import required, run
from .reductions import _in_dtype, matmul, matrix_transpose, tensordot, vecdot

__all__ = [
    "cross", "diagonal", "matmul", "matrix_norm", "matrix_power", "matrix_transpose", "outer", "tensordot", "trace", "vecdot",
    "vector_norm",
]  # fmt: skip


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The cross product of vectors of three elements along an axis."""
    x1, x2 = required(x1), required(x2)
    if any(x.shape[normalize_axis(axis, len(x.shape))] != 3 for x in (x1, x2)):
        raise ShapeError(f"cross: the axis must have 3 elements, got {tuple(x1.shape)} and {tuple(x2.shape)}")

    def call(ops: Any, a: Any, b: Any) -> Any:
        def turned(x: Any, by: int) -> Any:
            return ops.roll(x, by, axis)

        return ops.sub(ops.mul(turned(a, -1), turned(b, 1)), ops.mul(turned(a, 1), turned(b, -1)))

    return run(call, x1, x2)


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """A diagonal of the last two axes."""
    return run(lambda ops, x: ops.diagonal(x, offset, -2, -1), x)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum of a diagonal of the last two axes."""
    return _in_dtype(run(lambda ops, x: ops.sum(ops.diagonal(x, offset, -2, -1), -1), _in_dtype(x, dtype)), dtype)


def outer(x1: Any, x2: Any, /) -> Any:
    """The products of the elements of two vectors."""
    return run(lambda ops, a, b: ops.outer(a, b), x1, x2)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The Frobenius norm of the last two axes, or the greatest (least) sum of magnitudes of a column (1, -1) or row (inf, -inf)."""
    if isinstance(ord, str) and ord == "fro":
        return run(lambda ops, x: ops.norm(x, 2, (-2, -1), keepdims), x)
    sums = {1: -2, -1: -2, float("inf"): -1, -float("inf"): -1}
    if not isinstance(ord, int | float) or ord not in sums:
        raise OptionError(f"matrix_norm: ord must be 'fro', 1, -1, inf or -inf, got {ord!r}")

    def call(ops: Any, x: Any) -> Any:
        total = ops.sum(ops.abs(x), sums[ord], True)
        total = (ops.max if ord > 0 else ops.min)(total, None, (-2, -1), True)
        return total if keepdims else ops.squeeze(total, (-2, -1))

    return run(call, x)


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """A norm over axes."""
    return run(lambda ops, x: ops.norm(x, ord, axis, keepdims), x)


def matrix_power(x: Any, n: int, /) -> Any:
    """A square matrix to the power of n, at least 0."""
    if not isinstance(n, int) or n < 0:
        raise OptionError(f"matrix_power: the power must be an int of at least 0, got {n!r}")
    if len(required(x).shape) < 2:
        raise ShapeError(f"matrix_power: a matrix is required, got shape {tuple(x.shape)}")
    result = run(lambda ops, x: ops.broadcast_to(ops.eye(x.shape[-1], None, 0, str(x.dtype)), tuple(x.shape)), x)
    while n:
        result = matmul(result, x) if n & 1 else result
        x, n = matmul(x, x) if n > 1 else x, n >> 1
    return result
