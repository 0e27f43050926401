"""Diagonals and triangles of matrices."""

from __future__ import annotations

from typing import Any

from ...dtypes import ANY
from ...errors import OptionError, ShapeError, completing
from ...shapes import Shape, normalize_axis, size
from ..layout import MOVED
from ..registry import OpDef, array, composite, defop, linear_jvp, whole
from ..samples import bad, good

# Diagonals -------------------------------------------------------------------------------------------------------------------


def _run(rows: int, columns: int, offset: int) -> tuple[int, int]:
    # Where a diagonal begins in the rows of a matrix laid end to end, and its length; its entries are columns + 1 apart.
    start = offset if offset >= 0 else -offset * columns
    return start, max(0, min(rows + min(offset, 0), columns - max(offset, 0)))


@composite
def diagonal(ops: Any, x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, *, name: str | None = None) -> Any:
    """The diagonal of the matrices that two axes make, as a last axis."""
    x = array(ops, x, "diagonal: x")
    with completing("diagonal", x=x, offset=offset, axis1=axis1, axis2=axis2):
        n, k = len(x.shape), whole("offset", offset)
        if n < 2:
            raise ShapeError("x must have at least two axes")
        a, b = normalize_axis(axis1, n), normalize_axis(axis2, n)
        if a == b:
            raise OptionError("axis1 and axis2 must be two axes")
        if a > b:
            # Of the transposed matrix it is the diagonal on the other side.
            a, b, k = b, a, -k
        if b != a + 1:
            x = ops.permute(x, (*range(a + 1), b, *range(a + 1, b), *range(b + 1, n)))
        shape = tuple(x.shape)
        rows, columns = shape[a : a + 2]
        start, length = _run(rows, columns, k)
        flat = (*shape[:a], rows * columns, *shape[a + 2 :])
        first, last = (start, start + (length - 1) * (columns + 1) + 1) if length else (0, 0)
        y = ops.slice(
            ops.reshape(x, flat),
            tuple(first if i == a else 0 for i in range(n - 1)),
            tuple(last if i == a else d for i, d in enumerate(flat)),
            tuple(columns + 1 if i == a else 1 for i in range(n - 1)),
            name=name if a == n - 2 else None,
        )
        return y if a == n - 2 else ops.permute(y, (*(i for i in range(n - 1) if i != a), a), name=name)


@composite
def diag(ops: Any, x: Any, k: int = 0, *, name: str | None = None) -> Any:
    """The matrix with this vector as its diagonal, or the diagonal of this matrix."""
    x = array(ops, x, "diag: x")
    with completing("diag", x=x, k=k):
        if len(x.shape) == 2:
            return ops.diagonal(x, k, name=name)
        if len(x.shape) != 1:
            raise ShapeError("x must be a vector or a matrix")
        n, offset = x.shape[0], whole("k", k)
        width = n + abs(offset)
        start, _ = _run(width, width, offset)
        flat = ops._place(x, shape=(width * width,), starts=(start if n else 0,), steps=(width + 1,))
        return ops.reshape(flat, (width, width), name=name)


@composite
def trace(ops: Any, x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, *, name: str | None = None) -> Any:
    """The sum of a diagonal."""
    x = array(ops, x, "trace: x")
    with completing("trace", x=x, offset=offset, axis1=axis1, axis2=axis2):
        return ops.reduce_sum(ops.diagonal(x, offset, axis1, axis2), -1, name=name)


# Triangles -------------------------------------------------------------------------------------------------------------------


def _triangle_samples() -> list[Any]:
    return [
        good((4, 4)), good((3, 5), k=1), good((5, 3), k=-2), good((2, 3, 4), k=9), good((2, 3, 4), k=-9), good((1, 1)), good((0, 3)),
        good((2, 0, 0)), good((300, 170), k=3),
        bad("ShapeError", (3,)), bad("ShapeError", ()), bad("OptionError", (3, 3), k=0.5),
    ]  # fmt: skip


def _triangle(name: str, upper: bool, text: str) -> OpDef:
    class Triangle:
        def options(x: Shape, *, k: int = 0) -> dict[str, Any]:
            return {"k": whole("k", k)}

        def shape(x: Shape, *, k: int) -> Shape:
            if len(x) < 2:
                raise ShapeError("x must have at least two axes")
            return x

        def kernel_params(x: Shape, *, k: int) -> tuple[tuple[int, ...], tuple[()]]:
            """Ints: matrices, rows, columns, k, is it the upper triangle?"""
            return (size(x[:-2]), *x[-2:], k, upper), ()

        def vjp(ops: Any, g: Any, y: Any, x: Any, *, k: int) -> tuple[Any]:
            return (ops.apply(name, (g,), {"k": k}),)

        jvp = linear_jvp(name)

    Triangle.__doc__ = text
    return defop(name, kernel="triangle", dtypes=MOVED, out_dtype=ANY, samples=_triangle_samples)(Triangle)


_triangle("tril", False, "The lower triangle of matrices: their entries (i, j) with j - i ≤ k, zeros elsewhere.")
_triangle("triu", True, "The upper triangle of matrices: their entries (i, j) with j - i ≥ k, zeros elsewhere.")
