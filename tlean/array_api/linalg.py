"""The standard's `linalg`."""

from __future__ import annotations

from typing import Any, NamedTuple

from tlean.errors import OptionError, ShapeError
from tlean.shapes import normalize_axis

from .calls import required, run
from .reductions import _in_dtype, matmul, matrix_transpose, tensordot, vecdot

__all__ = [
    "cholesky", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "matmul", "matrix_norm", "matrix_power", "matrix_rank",
    "matrix_transpose", "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "vecdot", "vector_norm",
]  # fmt: skip


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and the eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    """Orthonormal columns, and the upper triangle."""

    Q: Any
    R: Any


class SlogdetResult(NamedTuple):
    """The sign of a determinant, and the logarithm of its size."""

    sign: Any
    logabsdet: Any


class SVDResult(NamedTuple):
    """Left singular vectors as columns, singular values, right singular vectors as rows."""

    U: Any
    S: Any
    Vh: Any


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
    """A norm of the matrices of the last two axes: "fro", "nuc", 1, -1, 2, -2, inf or -inf."""

    def call(ops: Any, x: Any) -> Any:
        y = ops.linalg_matrix_norm(x, ord)
        return ops.expand_dims(y, (-2, -1)) if keepdims else y

    return run(call, x)


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """A norm over axes."""
    return run(lambda ops, x: ops.norm(x, ord, axis, keepdims), x)


def matrix_power(x: Any, n: int, /) -> Any:
    """Square matrices to an integer power; a negative one is a power of the inverse."""
    return run(lambda ops, x: ops.linalg_matrix_power(x, n), required(x))


# Decompositions ---------------------------------------------------------------------------------------------------------------


def _of(name: str, x: Any, *options: Any) -> Any:
    return run(lambda ops, x: getattr(ops, f"linalg_{name}")(x, *options), required(x))


def cholesky(x: Any, /, *, upper: bool = False) -> Any:
    """The Cholesky factor of positive definite matrices, the lower one or its transpose."""
    factor = _of("cholesky", x)
    return matrix_transpose(factor) if upper else factor


def det(x: Any, /) -> Any:
    """The determinants of square matrices."""
    return _of("det", x)


def eigh(x: Any, /) -> EighResult:
    """Eigenvalues and eigenvectors of symmetric matrices."""
    return EighResult(*_of("eigh", x))


def eigvalsh(x: Any, /) -> Any:
    """Eigenvalues of symmetric matrices, in ascending order."""
    return _of("eigvalsh", x)


def inv(x: Any, /) -> Any:
    """The inverses of square matrices."""
    return _of("inv", x)


def matrix_rank(x: Any, /, *, rtol: Any = None) -> Any:
    """How many singular values are above rtol, a number or one for each matrix, times the largest."""
    if not hasattr(rtol, "shape"):
        return _of("matrix_rank", x, rtol)

    def call(ops: Any, s: Any, r: Any) -> Any:
        return ops.sum(ops.greater(s, ops.expand_dims(ops.mul(ops.max(s, None, -1), r), -1)), -1)

    return run(call, svdvals(x), rtol)


def pinv(x: Any, /, *, rtol: Any = None) -> Any:
    """The pseudoinverses of matrices; singular values up to rtol, a number or one for each matrix, times the largest count as 0."""
    if rtol is None:
        return _of("pinv", x)

    def call(ops: Any, x: Any, r: Any) -> Any:
        u, s, vh = ops.linalg_svd(x)
        least = ops.max(s, None, -1)
        least = ops.scale(least, float(rtol)) if r is None else ops.mul(least, r)
        small = ops.less_equal(s, ops.expand_dims(least, -1))
        one = ops.ones_like(s)
        inverses = ops.where(small, ops.zeros_like(s), ops.div(one, ops.where(small, one, s)))
        return ops.matmul(ops.mul(ops.swapaxes(vh, -2, -1), ops.expand_dims(inverses, -2)), u, transpose_b=True)

    return run(call, required(x), rtol if hasattr(rtol, "shape") else None)


def qr(x: Any, /, *, mode: str = "reduced") -> QRResult:
    """Q and R; of as many columns of Q as the shorter side has, or as there are rows for "complete"."""
    if mode not in ("reduced", "complete"):
        raise OptionError(f"qr: mode must be 'reduced' or 'complete', got {mode!r}")
    return QRResult(*_of("qr", x, mode))


def slogdet(x: Any, /) -> SlogdetResult:
    """The sign of the determinants of square matrices, and the logarithm of their size."""
    return SlogdetResult(*_of("slogdet", x))


def solve(x1: Any, x2: Any, /) -> Any:
    """The y with x1 y = x2, of a vector or of matrices."""
    return run(lambda ops, a, b: ops.linalg_solve(a, b), required(x1), required(x2))


def svd(x: Any, /, *, full_matrices: bool = True) -> SVDResult:
    """Singular values and vectors.

    Args:
        x: matrices.
        full_matrices: whether there are as many vectors as rows, and as columns; those beyond the shorter side are arbitrary.
    """
    return SVDResult(*_of("svd", x, bool(full_matrices)))


def svdvals(x: Any, /) -> Any:
    """Singular values, in descending order."""
    return _of("svdvals", x)
