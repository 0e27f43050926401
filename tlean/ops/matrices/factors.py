"""Cholesky factors, triangular systems, LU factors and what is made of them.

`_linalg_solve`, `_linalg_det` and their kin take the factors of `a` beside `a` itself, as words that only their kernels read: integers,
through which no derivative goes. That of `a` is written with the op itself and the same factors, so matrices are factored once, for all
orders of derivatives. Without factors the kernels make their own, which is faster for the smallest matrices.
"""

from __future__ import annotations

from typing import Any

from ...arguments import truth
from ...errors import ShapeError
from ...shapes import Shape, size
from ..linalg import summed_to
from ..registry import defop, no_gradient, no_tangent
from ..samples import Arr, bad, good
from .cofactors import by_matrix, cofactors, inner
from .shapes import batch_numbers, batch_of, need_matrices, need_square, spread, transposed

#: What a kernel reads from factors, by its code.
PARTS = ("packed", "sign", "logarithm", "determinant", "rows")


def numbers(
    a: Shape, b: Shape | None = None, lower: bool = False, transpose: bool = False, unit: bool = False, part: str = "packed"
) -> Any:
    """The numbers of kernels of factors.

    (matrices, n, right-hand sides, lower, transpose, unit diagonal, part, axes, sizes…, steps of a…, steps of b…).
    """
    lead = a[:-2] if b is None else batch_of(a, b)
    k = 0 if b is None else b[-1]
    return (size(lead), a[-1], k, lower, transpose, unit, PARTS.index(part), *batch_numbers(lead, (a, a if b is None else b))), ()


# Cholesky ------------------------------------------------------------------------------------------------------------------


def _cholesky_samples() -> list[Any]:
    return [
        good(Arr((3, 3), "definite")), good(Arr((2, 3, 4, 4), "definite")), good(Arr((1, 1), "definite")),
        good(Arr((33, 33), "definite"), smooth=False),
        good((0, 0)), good((2, 0, 0)), good((0, 3, 3)), good(Arr((19, 2, 2), "definite")), good(Arr((2, 8, 8), "definite")),
        good(Arr((2, 2), "values", data=((4.0, 2.0), (2.0, 10.0)))),
        bad("ShapeError", (3,)), bad("ShapeError", (2, 3)),
    ]  # fmt: skip


def symmetric_part(ops: Any, x: Any) -> Any:
    """(x + xᵀ)/2."""
    return ops.scale(ops.add(x, transposed(ops, x)), 0.5)


@defop("_linalg_cholesky", kernel="cholesky", samples=_cholesky_samples, algebraic=False)
class Cholesky:
    """The lower triangular L with L Lᵀ = (x + xᵀ)/2."""

    def shape(x):
        return need_square(x)

    def kernel_params(x):
        return numbers(x)

    def vjp(ops, g, y, x):
        # With P the lower triangle of Lᵀ G, its diagonal halved: L⁻ᵀ (P + Pᵀ) L⁻¹ / 2.
        p = ops.matmul(y, g, transpose_a=True)
        p = ops.add(ops.tril(p), transposed(ops, ops.tril(p, k=-1)))
        half = _solved(ops, y, p, True, True)
        return (ops.scale(_solved(ops, y, transposed(ops, half), True, True), 0.5),)

    def jvp(ops, t, y, x):
        # L times the lower triangle of L⁻¹ T L⁻ᵀ, its diagonal halved.
        if t[0] is None:
            return None
        half = _solved(ops, y, symmetric_part(ops, t[0]), True, False)
        z = _solved(ops, y, transposed(ops, half), True, False)
        return ops.scale(ops.matmul(y, ops.add(ops.tril(z), ops.tril(z, k=-1))), 0.5)


# Triangular systems --------------------------------------------------------------------------------------------------------


def _solved(ops: Any, a: Any, b: Any, lower: bool, transpose: bool, unit_diagonal: bool = False) -> Any:
    return ops._linalg_solve_triangular(a, b, lower=lower, transpose=transpose, unit_diagonal=unit_diagonal)


def _triangle(ops: Any, x: Any, lower: bool, unit_diagonal: bool) -> Any:
    # The entries that a triangular solve reads.
    return ops.tril(x, k=-int(unit_diagonal)) if lower else ops.triu(x, k=int(unit_diagonal))


def _triangular_samples() -> list[Any]:
    flags = [(low, tr, unit) for low in (False, True) for tr in (False, True) for unit in (False, True)]
    every = [
        good(Arr((3, 3), "triangular"), (3, 2), lower=low, transpose=tr, unit_diagonal=unit) for low, tr, unit in flags
    ]  # fmt: skip
    return [
        *every, good(Arr((2, 4, 4), "triangular"), (2, 4, 1), lower=True), good(Arr((1, 1), "triangular"), (1, 5)), good((0, 0), (0, 2)),
        good(Arr((3, 3), "triangular"), (2, 2, 3, 2), transpose=True), good(Arr((2, 1, 3, 3), "triangular"), (5, 3, 2), lower=True),
        good(Arr((33, 33), "triangular"), (33, 3), smooth=False, lower=True),
        good(Arr((33, 33), "triangular"), (33, 1), smooth=False, transpose=True),
        good(Arr((3, 3), "triangular"), (3, 40), smooth=False), good(Arr((2, 2), "triangular"), (2, 0)), good((0, 2, 2), (2, 1)),
        bad("ShapeError", (3, 2), (3, 1)), bad("ShapeError", (3, 3), (2, 1)), bad("ShapeError", (2, 3, 3), (3, 3, 1)),

    ]  # fmt: skip


def _need_sides(a: Shape, b: Shape) -> Shape:
    need_square(a, "a")
    if need_matrices(b, "b")[-2] != a[-1]:
        raise ShapeError(f"b must have {a[-1]} rows, as a has")
    return (*batch_of(a, b), *b[-2:])


@defop("_linalg_solve_triangular", kernel="solve_triangular", samples=_triangular_samples)
class SolveTriangular:
    """y with T y = b, for the upper or lower triangle T of a, or its transpose; where asked its diagonal counts as ones."""

    def options(a, b, *, lower=False, transpose=False, unit_diagonal=False):
        return {
            "lower": truth("lower", lower),
            "transpose": truth("transpose", transpose),
            "unit_diagonal": truth("unit_diagonal", unit_diagonal),
        }

    def shape(a, b, *, lower, transpose, unit_diagonal):
        return _need_sides(a, b)

    def kernel_params(a, b, *, lower, transpose, unit_diagonal):
        return numbers(a, b, lower, transpose, unit_diagonal)

    def vjp(ops, g, y, a, b, *, lower, transpose, unit_diagonal):
        db = _solved(ops, a, g, lower, not transpose, unit_diagonal)
        outer = ops.matmul(y, db, transpose_b=True) if transpose else ops.matmul(db, y, transpose_b=True)
        da = ops.neg(_triangle(ops, outer, lower, unit_diagonal))
        return summed_to(ops, da, a.shape), summed_to(ops, db, b.shape)

    def jvp(ops, t, y, a, b, *, lower, transpose, unit_diagonal):
        moved = None if t[0] is None else ops.matmul(_triangle(ops, t[0], lower, unit_diagonal), y, transpose_a=transpose)
        side = _difference(ops, t[1], moved)
        return None if side is None else spread(ops, _solved(ops, a, side, lower, transpose, unit_diagonal), tuple(y.shape[:-2]))


def _difference(ops: Any, plus: Any, minus: Any) -> Any:
    if minus is None:
        return plus
    return ops.neg(minus) if plus is None else ops.sub(plus, minus)


# LU ------------------------------------------------------------------------------------------------------------------------


@defop("_linalg_factors", kernel="lu_factors", out_dtype="int64", differentiable=False, algebraic=False)
class Factors:
    """LU factors of square matrices by partial pivoting, as words that only kernels of factors read; its definition is zeros."""

    def shape(a):
        need_square(a, "a")
        return (*a[:-1], a[-1] + 1)

    def kernel_params(a):
        return numbers(a)

    vjp = no_gradient
    jvp = no_tangent


#: Up to so many rows a kernel makes its own factors: that takes less time than to write and read them.
_OWN_FACTORS = 16


def factors_of(ops: Any, a: Any, own: int = _OWN_FACTORS) -> Any:
    """The factors of matrices; None where kernels had better make their own."""
    return ops._linalg_factors(ops.detach(a)) if a.shape[-1] > own else None


def _need_factors(a: Shape, factors: Shape | None) -> None:
    if factors is not None and factors != (*a[:-1], a[-1] + 1):
        raise ShapeError(f"factors must be those of a, of shape {(*a[:-1], a[-1] + 1)}")


def _solve_samples() -> list[Any]:
    return [
        good(Arr((3, 3), "regular"), (3, 2), None), good(Arr((3, 3), "regular"), (3, 2), None, transpose=True),
        good(Arr((2, 4, 4), "regular"), (2, 4, 1), None), good(Arr((1, 1), "regular"), (1, 5), None), good((0, 0), (0, 2), None),
        good(Arr((3, 3), "regular"), (2, 2, 3, 2), None, transpose=True), good(Arr((2, 1, 3, 3), "regular"), (5, 3, 2), None),
        good(Arr((33, 33), "regular"), (33, 3), None, smooth=False),
        good(Arr((33, 33), "regular"), (33, 1), None, smooth=False, transpose=True),
        good(Arr((3, 3), "regular"), (3, 40), None, smooth=False),
        good(Arr((2, 2), "regular"), (2, 0), None), good((0, 2, 2), (2, 1), None),
        bad("ShapeError", (3, 2), (3, 1), None), bad("ShapeError", (3, 3), (2, 1), None), bad("ShapeError", (2, 3, 3), (3, 3, 1), None),

    ]  # fmt: skip


@defop("_linalg_solve", kernel="lu_solve", dtypes={"factors": "int64"}, optional=("factors",), samples=_solve_samples)
class Solve:
    """y with A y = b, for square matrices a or their transposes."""

    def options(a, b, factors, *, transpose=False):
        return {"transpose": truth("transpose", transpose)}

    def shape(a, b, factors, *, transpose):
        out = _need_sides(a, b)
        _need_factors(a, factors)
        return out

    def kernel_params(a, b, factors, *, transpose):
        return numbers(a, b, transpose=transpose)

    def vjp(ops, g, y, a, b, factors, *, transpose):
        db = ops._linalg_solve(a, g, factors, transpose=not transpose)
        da = ops.neg(ops.matmul(y, db, transpose_b=True) if transpose else ops.matmul(db, y, transpose_b=True))
        return summed_to(ops, da, a.shape), summed_to(ops, db, b.shape), None

    def jvp(ops, t, y, a, b, factors, *, transpose):
        moved = None if t[0] is None else ops.matmul(t[0], y, transpose_a=transpose)
        side = _difference(ops, t[1], moved)
        return None if side is None else spread(ops, ops._linalg_solve(a, side, factors, transpose=transpose), tuple(y.shape[:-2]))


def identity(ops: Any, a: Any) -> Any:
    """The identity of a's size and float dtype."""
    return ops.eye(a.shape[-1], dtype=a.dtype if a.dtype in ("float32", "float64") else None)


def _inverse(ops: Any, a: Any, factors: Any, transpose: bool = False) -> Any:
    return ops._linalg_solve(a, identity(ops, a), factors, transpose=transpose)


def _determinant_samples() -> list[Any]:
    return [
        good(Arr((3, 3), "regular"), None), good(Arr((2, 3, 4, 4), "regular"), None), good(Arr((1, 1), "regular"), None),
        good((0, 0), None), good((2, 0, 0), None), good((0, 3, 3), None),
        good(Arr((33, 33), "regular"), None, smooth=False), good(Arr((19, 2, 2), "regular"), None),
        bad("ShapeError", (3,), None), bad("ShapeError", (2, 3), None),
    ]  # fmt: skip


class _Determinant:
    def shape(a, factors):
        need_square(a, "a")
        _need_factors(a, factors)
        return a[:-2]


def _cofactors(ops: Any, g: Any, y: Any, a: Any, factors: Any) -> Any:
    return cofactors(ops, a, y, _inverse(ops, ops.detach(a), factors, transpose=True), g)


def _det_pull(ops: Any, g: Any, y: Any, a: Any, factors: Any) -> Any:
    return _cofactors(ops, g, y, a, factors), None


def _det_push(ops: Any, t: Any, y: Any, a: Any, factors: Any) -> Any:
    return None if t[0] is None else inner(ops, t[0], _cofactors(ops, ops._full(shape=tuple(y.shape), value=1.0), y, a, factors))


def _log_pull(ops: Any, g: Any, y: Any, a: Any, factors: Any) -> Any:
    return ops.mul(by_matrix(ops, g), _inverse(ops, a, factors, transpose=True)), None


def _log_push(ops: Any, t: Any, y: Any, a: Any, factors: Any) -> Any:
    return None if t[0] is None else inner(ops, t[0], _inverse(ops, a, factors, transpose=True))


def _determinant_op(name: str, part: str, text: str, pull: Any = no_gradient, push: Any = no_tangent, **options: Any) -> None:
    class Determinant(_Determinant):
        vjp = pull
        jvp = push

        def kernel_params(a, factors):
            return numbers(a, part=part)

    Determinant.__doc__ = text
    defop(
        name, kernel="lu_read", dtypes={"factors": "int64"}, optional=("factors",), samples=_determinant_samples, **options
    )(Determinant)  # fmt: skip


_determinant_op("_linalg_det", "determinant", "The determinant of square matrices.", _det_pull, _det_push)
_determinant_op("_linalg_logabsdet", "logarithm", "The logarithm of the determinant's size; −∞ where it is 0.", _log_pull, _log_push,
                algebraic=False)  # fmt: skip
_determinant_op("_linalg_sign", "sign", "The sign of the determinant: 1, −1 or 0.", differentiable=False)


# L and U themselves ----------------------------------------------------------------------------------------------------------


def _lu_samples() -> list[Any]:
    return [
        good(Arr((3, 3), "regular"), None), good(Arr((2, 3, 4, 4), "regular"), None), good(Arr((1, 1), "regular"), None),
        good((0, 0), None), good((0, 3, 3), None),
        good(Arr((33, 33), "regular"), None, smooth=False), good(Arr((19, 2, 2), "regular"), None),
        bad("ShapeError", (3,), None), bad("ShapeError", (2, 3), None),
    ]  # fmt: skip


def _reordered(ops: Any, x: Any, rows: Any) -> Any:
    # The rows of matrices in the order of `rows`, one order for each matrix.
    n, lead = x.shape[-2], tuple(x.shape[:-2])
    return ops.take_along_axis(x, ops.broadcast_to(ops.reshape(rows, (*lead, n, 1)), tuple(x.shape)), axis=-2)


@defop("_linalg_lu", kernel="lu_read", dtypes={"factors": "int64"}, optional=("factors",), samples=_lu_samples)
class Lu:
    """L below its diagonal of ones and U of the matrices whose rows partial pivoting has put in order, in one array."""

    def shape(a, factors):
        need_square(a, "a")
        _need_factors(a, factors)
        return a

    def kernel_params(a, factors):
        return numbers(a)

    def vjp(ops, g, y, a, factors):
        # L⁻ᵀ (the strict lower triangle of Lᵀ G + the upper one of G Uᵀ) U⁻ᵀ, its rows where they were.
        low, up = ops.add(ops.tril(y, k=-1), identity(ops, y)), ops.triu(y)
        inner = ops.add(
            ops.tril(ops.matmul(low, ops.tril(g, k=-1), transpose_a=True), k=-1), ops.triu(ops.matmul(ops.triu(g), up, transpose_b=True))
        )
        half = _solved(ops, y, transposed(ops, inner), False, False)
        moved = _solved(ops, y, transposed(ops, half), True, True, True)
        return _reordered(ops, moved, ops.argsort(ops._linalg_rows(a, factors))), None

    def jvp(ops, t, y, a, factors):
        if t[0] is None:
            return None
        moved = _solved(ops, y, _reordered(ops, t[0], ops._linalg_rows(a, factors)), True, False, True)
        f = transposed(ops, _solved(ops, y, transposed(ops, moved), False, True))
        low, up = ops.add(ops.tril(y, k=-1), identity(ops, y)), ops.triu(y)
        return ops.add(ops.matmul(low, ops.tril(f, k=-1)), ops.matmul(ops.triu(f), up))


@defop(
    "_linalg_rows", kernel="lu_rows", dtypes={"factors": "int64"}, optional=("factors",), out_dtype="int64", differentiable=False,
    samples=_lu_samples,
)  # fmt: skip
class Rows:
    """Which row of a each row of L U was."""

    def shape(a, factors):
        need_square(a, "a")
        _need_factors(a, factors)
        return a[:-1]

    def kernel_params(a, factors):
        return numbers(a, part="rows")

    vjp = no_gradient
    jvp = no_tangent
