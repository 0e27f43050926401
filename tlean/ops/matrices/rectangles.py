"""What rectangular matrices need beyond square ones: their LU factors, and columns that make an orthonormal basis whole."""

from __future__ import annotations

from typing import Any

from ...errors import ShapeError
from ..registry import defop
from ..samples import Arr, bad, good
from .factors import identity
from .lapack import Lapack
from .shapes import need_matrices, transposed
from .spectra import entries, rows

# LU of tall matrices --------------------------------------------------------------------------------------------------------


def _tall_samples() -> list[Any]:
    return [
        good(Arr((4, 2), "tall")), good(Arr((2, 5, 3), "tall")), good(Arr((3, 3), "regular")), good(Arr((2, 1), "tall")), good((3, 0)),
        good((0, 0)), good((0, 3, 2)), good(Arr((70, 40), "tall"), smooth=False),
        bad("ShapeError", (3,)), bad("ShapeError", (2, 3)),
    ]  # fmt: skip


@defop("_linalg_lu_tall", kernel=Lapack("lu_tall"), samples=_tall_samples)
class LuTall:
    """LU factors of matrices with no fewer rows than columns, by partial pivoting: L below its diagonal of ones, and U, in one array.

    A last column says which row of x each of its rows was.
    """

    def shape(x):
        m, n = need_matrices(x)[-2:]
        if m < n:
            raise ShapeError("x must have no fewer rows than columns")
        return (*x[:-2], m, n + 1)

    def vjp(ops, g, y, x):
        # With L = (L₁; L₂) and P dA = (A₁; A₂): the cotangent of A₂ is G₂ U⁻ᵀ, which U's loses L₂ᵀ times; A₁'s is that of a square matrix.
        low, rest, up, order = _parts(ops, y)
        n = up.shape[-1]
        g = entries(ops, g, 0, n)
        top = rows(ops, g, 0, n)
        below = _over(ops, rows(ops, g, n, x.shape[-2]), up, transpose=True)
        gu = ops.sub(ops.triu(top), ops.triu(ops.matmul(rest, below, transpose_a=True)))
        inner = ops.tril(ops.matmul(low, ops.tril(top, k=-1), transpose_a=True), k=-1)
        inner = ops.add(inner, ops.triu(ops.matmul(gu, up, transpose_b=True)))
        first = ops._linalg_solve_triangular(low, _over(ops, inner, up, transpose=True), lower=True, transpose=True, unit_diagonal=True)
        return (_placed(ops, ops.concat([first, below], axis=-2), ops.argsort(order)),)

    def jvp(ops, t, y, x):
        if t[0] is None:
            return None
        low, rest, up, order = _parts(ops, y)
        n = up.shape[-1]
        moved = _placed(ops, t[0], order)
        first, below = rows(ops, moved, 0, n), rows(ops, moved, n, x.shape[-2])
        f = _over(ops, ops._linalg_solve_triangular(low, first, lower=True, unit_diagonal=True), up, transpose=False)
        du = ops.matmul(ops.triu(f), up)
        top = ops.add(ops.matmul(low, ops.tril(f, k=-1)), du)
        below = _over(ops, ops.sub(below, ops.matmul(rest, du)), up, transpose=False)
        none = ops._full(shape=(*x.shape[:-1], 1), value=0.0)
        return ops.concat([ops.concat([top, below], axis=-2), none], axis=-1)


def _parts(ops: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    # L's square, what is below it, U, and the order of the rows.
    m, n = y.shape[-2], y.shape[-1] - 1
    packed, order = entries(ops, y, 0, n), entries(ops, y, n, n + 1)
    top = rows(ops, packed, 0, n)
    low = ops.add(ops.tril(top, k=-1), identity(ops, top))
    order = ops.astype(ops.detach(ops.reshape(order, tuple(y.shape[:-1]))), "int64")
    return low, rows(ops, packed, n, m), ops.triu(top), order


def _over(ops: Any, x: Any, up: Any, transpose: bool) -> Any:
    # x U⁻¹, or x U⁻ᵀ.
    return transposed(ops, ops._linalg_solve_triangular(up, transposed(ops, x), lower=False, transpose=not transpose))


def _placed(ops: Any, x: Any, order: Any) -> Any:
    # The rows of matrices in an order, one for each matrix.
    m, lead = x.shape[-2], tuple(x.shape[:-2])
    return ops.take_along_axis(x, ops.broadcast_to(ops.reshape(order, (*lead, m, 1)), tuple(x.shape)), axis=-2)


def lu_rectangular(ops: Any, a: Any) -> tuple[Any, Any]:
    """L and U in one array, and the order of the rows, of matrices that are not square."""
    m, n = a.shape[-2:]
    if m > n:
        y = ops._linalg_lu_tall(a)
        return entries(ops, y, 0, n), _parts(ops, y)[3]
    # The pivots are those of the first columns; the others are what L makes of them.
    square = entries(ops, a, 0, m)
    packed, order = ops.linalg_lu_factor(square)
    rest = ops._linalg_solve_triangular(packed, _placed(ops, entries(ops, a, m, n), order), lower=True, unit_diagonal=True)
    return ops.concat([packed, rest], axis=-1), order


# Whole bases ----------------------------------------------------------------------------------------------------------------


def _basis_samples() -> list[Any]:
    half = 0.5**0.5
    return [
        good(Arr((3, 1), "values", data=((half,), (0.0,), (half,))), smooth=False), good((3, 0)), good((0, 3, 2)),
        good(Arr((2, 2), "values", data=((1.0, 0.0), (0.0, 1.0)))), bad("ShapeError", (3,)), bad("ShapeError", (2, 3)),
    ]  # fmt: skip


@defop("_linalg_complement", kernel=Lapack("complement"), samples=_basis_samples, algebraic=False)
class Complement:
    """Orthonormal columns C that make those of u a whole basis.

    The choice is free up to a rotation, of which the derivative has none: it is right for what does not depend on the choice, such as C Cᵀ.
    """

    def shape(u):
        m, k = need_matrices(u, "u")[-2:]
        if m < k:
            raise ShapeError("u must have no more columns than rows")
        return (*u[:-1], m - k)

    def vjp(ops, g, y, u):
        # dC = −U dUᵀ C.
        return (ops.neg(ops.matmul(y, ops.matmul(g, u, transpose_a=True))),)

    def jvp(ops, t, y, u):
        return None if t[0] is None else ops.neg(ops.matmul(u, ops.matmul(t[0], y, transpose_a=True)))


def whole_basis(ops: Any, u: Any) -> Any:
    """Orthonormal columns and those that complete them; the columns themselves where there are as many as rows."""
    return u if u.shape[-2] == u.shape[-1] else ops.concat([u, ops._linalg_complement(u)], axis=-1)
