"""Eigenvalues, singular values, QR, pseudoinverses and exponentials, by LAPACK: outside the promises of bits across machines.

An op has one output here, with the parts of a decomposition next to each other; `decompositions` cuts it. In derivatives, 1/(λᵢ − λⱼ)
counts as 0 where the difference is within rounding: |λᵢ − λⱼ| ≤ 10 n u ‖A‖, with u half a unit of the last place.
"""

from __future__ import annotations

from typing import Any

from ...errors import ShapeError
from ...shapes import size
from ..registry import defop
from ..samples import Arr, bad, good
from .factors import identity, symmetric_part
from .lapack import Lapack
from .shapes import need_matrices, need_square, transposed


def rows(ops: Any, x: Any, first: int, last: int) -> Any:
    """Rows of matrices."""
    lead = len(x.shape) - 2
    return ops.slice(x, (0,) * lead + (first, 0), (*x.shape[:lead], last, x.shape[-1]))


def entries(ops: Any, x: Any, first: int, last: int) -> Any:
    """Entries along the last axis."""
    lead = len(x.shape) - 1
    return ops.slice(x, (0,) * lead + (first,), (*x.shape[:lead], last))


def _nothing(ops: Any, x: Any) -> Any:
    return ops._full(shape=tuple(x.shape), value=0.0)


def _columns(ops: Any, w: Any) -> Any:
    # One number for each column of matrices.
    return ops.reshape(w, (*w.shape[:-1], 1, w.shape[-1]))


def _rows_of(ops: Any, w: Any) -> Any:
    return ops.reshape(w, (*w.shape, 1))


def _inverse_where(ops: Any, d: Any, bound: Any) -> Any:
    # 1/d, 0 where |d| is at most the bound.
    small = ops.less_equal(ops.abs(d), bound)
    zero, one = ops._full(shape=(), value=0.0), ops._full(shape=(), value=1.0)
    return ops.where(small, zero, ops.inv(ops.where(small, one, d)))


def _rounding(ops: Any, w: Any, n: int) -> Any:
    # 10 n u times the largest of w's sizes, for each matrix.
    unit = 2.0**-24 if w.dtype == "float32" else 2.0**-53
    return ops.scale(ops.reduce_max(ops.abs(ops.detach(w)), axis=(-1,), keepdims=True), 10.0 * n * unit)


def _symmetric(kind: str) -> list[Any]:
    return [
        good(Arr((3, 3), kind)), good(Arr((2, 2, 4, 4), kind)), good(Arr((1, 1), kind)), good((0, 0)), good((2, 0, 0)), good((0, 3, 3)),
        good(Arr((12, 12), kind), smooth=False), bad("ShapeError", (3,)), bad("ShapeError", (2, 3)),
    ]  # fmt: skip


@defop("_linalg_eigh", kernel=Lapack("eigh"), samples=lambda: _symmetric("definite"), algebraic=False)
class Eigh:
    """Eigenvalues of (x + xᵀ)/2 in ascending order as a first row, and below it the eigenvectors as columns.

    The first component of an eigenvector that is not 0 is positive.
    """

    def shape(x):
        need_square(x)
        return (*x[:-2], x[-1] + 1, x[-1])

    def vjp(ops, g, y, x):
        n = x.shape[-1]
        if not size(x.shape):
            return (_nothing(ops, x),)
        w, v = _eigen(ops, y)
        gw, gv = rows(ops, g, 0, 1), rows(ops, g, 1, n + 1)
        inner = ops.add(ops.mul(_gaps(ops, w, n), ops.matmul(v, gv, transpose_a=True)), ops.mul(gw, identity(ops, x)))
        return (symmetric_part(ops, ops.matmul(ops.matmul(v, inner), v, transpose_b=True)),)

    def jvp(ops, t, y, x):
        n = x.shape[-1]
        if t[0] is None or not size(x.shape):
            return None
        w, v = _eigen(ops, y)
        moved = ops.matmul(ops.matmul(v, symmetric_part(ops, t[0]), transpose_a=True), v)
        dw = ops.reduce_sum(ops.mul(moved, identity(ops, x)), axis=(-2,), keepdims=True)
        return ops.concat([dw, ops.matmul(v, ops.mul(_gaps(ops, w, n), moved))], axis=-2)


def _eigen(ops: Any, y: Any) -> tuple[Any, Any]:
    n = y.shape[-1]
    return ops.reshape(rows(ops, y, 0, 1), (*y.shape[:-2], n)), rows(ops, y, 1, n + 1)


def _gaps(ops: Any, w: Any, n: int) -> Any:
    # 1/(w_j − w_i) at (i, j).
    return _inverse_where(ops, ops.sub(_columns(ops, w), _rows_of(ops, w)), _rows_of(ops, _rounding(ops, w, n)))


def _rectangles() -> list[Any]:
    return [
        good(Arr((3, 3), "regular")), good(Arr((2, 5, 3), "tall")), good(Arr((3, 5), "wide")), good(Arr((1, 1), "regular")), good((0, 0)),
        good((0, 3)), good((3, 0)), good((0, 2, 3)), good(Arr((12, 9), "tall"), smooth=False), bad("ShapeError", (3,)),
    ]  # fmt: skip


@defop("_linalg_svd", kernel=Lapack("svd"), samples=_rectangles, algebraic=False)
class Svd:
    """U, the singular values in descending order, and Vᵀ with x = U diag(s) Vᵀ, row-major and end to end.

    The first component of a column of U that is not 0 is positive.
    """

    def shape(x):
        m, n = need_matrices(x)[-2:]
        k = min(m, n)
        return (*x[:-2], m * k + k + k * n)

    def vjp(ops, g, y, x):
        m, n = x.shape[-2:]
        k = min(m, n)
        if not size(x.shape):
            return (_nothing(ops, x),)
        u, s, vh = svd_parts(ops, y, m, n)
        gu, gs, gvh = svd_parts(ops, g, m, n)
        f, inverse = _svd_weights(ops, s, m, n)
        j, p = ops.mul(f, ops.matmul(u, gu, transpose_a=True)), ops.mul(f, ops.matmul(vh, gvh, transpose_b=True))
        core = ops.mul(_columns(ops, gs), _one(ops, x, k))
        core = ops.add(core, ops.mul(ops.add(j, transposed(ops, j)), _columns(ops, s)))
        core = ops.add(core, ops.mul(ops.add(p, transposed(ops, p)), _rows_of(ops, s)))
        d = ops.matmul(ops.matmul(u, core), vh)
        if m > k:
            left = ops.sub(gu, ops.matmul(u, ops.matmul(u, gu, transpose_a=True)))
            d = ops.add(d, ops.matmul(ops.mul(left, _columns(ops, inverse)), vh))
        if n > k:
            right = ops.sub(gvh, ops.matmul(ops.matmul(gvh, vh, transpose_b=True), vh))
            d = ops.add(d, ops.matmul(u, ops.mul(right, _rows_of(ops, inverse))))
        return (d,)

    def jvp(ops, t, y, x):
        m, n = x.shape[-2:]
        k = min(m, n)
        if t[0] is None or not size(x.shape):
            return None
        u, s, vh = svd_parts(ops, y, m, n)
        f, inverse = _svd_weights(ops, s, m, n)
        inner = ops.matmul(ops.matmul(u, t[0], transpose_a=True), vh, transpose_b=True)
        ds = ops.reduce_sum(ops.mul(inner, _one(ops, x, k)), axis=(-2,), keepdims=False)
        by_column, by_row = ops.mul(inner, _columns(ops, s)), ops.mul(inner, _rows_of(ops, s))
        du = ops.matmul(u, ops.mul(f, ops.add(by_column, transposed(ops, by_column))))
        dvh = ops.neg(ops.matmul(ops.mul(f, ops.add(by_row, transposed(ops, by_row))), vh))
        if m > k:
            side = ops.matmul(t[0], vh, transpose_b=True)
            side = ops.sub(side, ops.matmul(u, ops.matmul(u, side, transpose_a=True)))
            du = ops.add(du, ops.mul(side, _columns(ops, inverse)))
        if n > k:
            side = ops.matmul(u, t[0], transpose_a=True)
            side = ops.sub(side, ops.matmul(ops.matmul(side, vh, transpose_b=True), vh))
            dvh = ops.add(dvh, ops.mul(side, _rows_of(ops, inverse)))
        lead = tuple(x.shape[:-2])
        return ops.concat([ops.reshape(du, (*lead, m * k)), ds, ops.reshape(dvh, (*lead, k * n))], axis=-1)


def svd_parts(ops: Any, y: Any, m: int, n: int) -> tuple[Any, Any, Any]:
    """U, s and Vᵀ of their one array."""
    lead, k = tuple(y.shape[:-1]), min(m, n)
    u, vh = entries(ops, y, 0, m * k), entries(ops, y, m * k + k, m * k + k + k * n)
    return ops.reshape(u, (*lead, m, k)), entries(ops, y, m * k, m * k + k), ops.reshape(vh, (*lead, k, n))


def _one(ops: Any, x: Any, k: int) -> Any:
    return ops._eye(rows=k, columns=k, offset=0, dtype=None)


def _svd_weights(ops: Any, s: Any, m: int, n: int) -> tuple[Any, Any]:
    # 1/(s_j² − s_i²) at (i, j), and 1/s.
    bound = _rounding(ops, s, max(m, n))
    gaps = _inverse_where(ops, ops.sub(_columns(ops, s), _rows_of(ops, s)), _rows_of(ops, bound))
    sums = _inverse_where(ops, ops.add(_columns(ops, s), _rows_of(ops, s)), _rows_of(ops, bound))
    return ops.mul(gaps, sums), _inverse_where(ops, s, bound)


def _tall() -> list[Any]:
    return [
        good(Arr((3, 3), "regular")), good(Arr((2, 5, 3), "tall")), good(Arr((1, 1), "regular")), good((0, 0)), good((3, 0)),
        good((0, 3, 2)), good(Arr((12, 9), "tall"), smooth=False), bad("ShapeError", (3,)), bad("ShapeError", (2, 3)),
    ]  # fmt: skip


@defop("_linalg_qr", kernel=Lapack("qr"), samples=_tall, algebraic=False)
class Qr:
    """Q, of orthonormal columns, and below it the upper triangular R with x = Q R and no negative number on R's diagonal.

    x has no more columns than rows.
    """

    def shape(x):
        m, n = need_matrices(x)[-2:]
        if m < n:
            raise ShapeError("x must have no more columns than rows")
        return (*x[:-2], m + n, n)

    def vjp(ops, g, y, x):
        # (Gq + Q M) R⁻ᵀ, with M the symmetric matrix that has the lower triangle of R Grᵀ − Gqᵀ Q.
        m, n = x.shape[-2:]
        q, r = rows(ops, y, 0, m), rows(ops, y, m, m + n)
        gq, gr = rows(ops, g, 0, m), ops.triu(rows(ops, g, m, m + n))
        inner = ops.sub(ops.matmul(r, gr, transpose_b=True), ops.matmul(gq, q, transpose_a=True))
        inner = ops.add(ops.tril(inner), transposed(ops, ops.tril(inner, k=-1)))
        return (_over(ops, ops.add(gq, ops.matmul(q, inner)), r, transpose=False),)

    def jvp(ops, t, y, x):
        m, n = x.shape[-2:]
        if t[0] is None:
            return None
        q, r = rows(ops, y, 0, m), rows(ops, y, m, m + n)
        side = _over(ops, t[0], r, transpose=True)
        inner = ops.matmul(q, side, transpose_a=True)
        low = ops.tril(inner, k=-1)
        up = ops.sub(inner, ops.sub(low, transposed(ops, low)))
        return ops.concat([ops.sub(side, ops.matmul(q, up)), ops.triu(ops.matmul(up, r))], axis=-2)


def _over(ops: Any, x: Any, r: Any, transpose: bool) -> Any:
    # x R⁻¹ for an upper triangular R; x R⁻ᵀ where not `transpose`.
    return transposed(ops, ops._linalg_solve_triangular(r, transposed(ops, x), lower=False, transpose=transpose))


@defop("_linalg_pinv", kernel=Lapack("pinv"), samples=_rectangles, algebraic=False)
class Pinv:
    """The pseudoinverse; singular values up to max(m, n) units of the last place of the largest one count as 0."""

    def shape(x):
        m, n = need_matrices(x)[-2:]
        return (*x[:-2], n, m)

    def vjp(ops, g, y, x):
        # −Pᵀ G Pᵀ + (I − A P) Gᵀ P Pᵀ + Pᵀ P Gᵀ (I − P A).
        first = ops.neg(ops.matmul(ops.matmul(y, g, transpose_a=True), y, transpose_b=True))
        a = ops.matmul(transposed(ops, g), ops.matmul(y, y, transpose_b=True))
        b = ops.matmul(ops.matmul(y, y, transpose_a=True), g, transpose_b=True)
        a = _of_rest(ops, ops.sub(a, ops.matmul(x, ops.matmul(y, a))), x, y, x.shape[-2])
        b = _of_rest(ops, ops.sub(b, ops.matmul(ops.matmul(b, y), x)), x, y, x.shape[-1])
        return (ops.add(first, ops.add(a, b)),)

    def jvp(ops, t, y, x):
        # −P T P + P Pᵀ Tᵀ (I − A P) + (I − P A) Tᵀ Pᵀ P.
        if t[0] is None:
            return None
        first = ops.neg(ops.matmul(ops.matmul(y, t[0]), y))
        a = ops.matmul(ops.matmul(y, y, transpose_b=True), t[0], transpose_b=True)
        b = ops.matmul(transposed(ops, t[0]), ops.matmul(y, y, transpose_a=True))
        a = _of_rest(ops, ops.sub(a, ops.matmul(ops.matmul(a, x), y)), x, y, x.shape[-2])
        b = _of_rest(ops, ops.sub(b, ops.matmul(y, ops.matmul(x, b))), x, y, x.shape[-1])
        return ops.add(first, ops.add(a, b))


def _of_rest(ops: Any, term: Any, x: Any, y: Any, side: int) -> Any:
    # What the projector to the rest of a space of so many dimensions made: 0 where x has that rank, the trace of P A. The projector is
    # then 0 but for rounding, which the products with P in second derivatives would take to 1/σ⁴ times the last place.
    rank = ops.sum(ops.mul(transposed(ops, y), x), axis=(-2, -1), keepdims=True)
    return ops.where(ops.greater(rank, ops._full(shape=(), value=side - 0.5)), ops._full(shape=(), value=0.0), term)


@defop("_linalg_expm", kernel=Lapack("expm"), samples=lambda: _symmetric("regular"), algebraic=False, source="Higham 2005")
class Expm:
    """The exponential of matrices, by scaling, squaring and a Padé approximant."""

    def shape(x):
        return need_square(x)

    def vjp(ops, g, y, x):
        return (_moved(ops, transposed(ops, x), g),)

    def jvp(ops, t, y, x):
        return None if t[0] is None else _moved(ops, x, t[0])


def _moved(ops: Any, x: Any, t: Any) -> Any:
    # How the exponential moves with x by t: the upper right block of the exponential of (x t; 0 x).
    n, lead = x.shape[-1], len(x.shape) - 2
    below = ops.concat([_nothing(ops, x), x], axis=-1)
    y = ops._linalg_expm(ops.concat([ops.concat([x, t], axis=-1), below], axis=-2))
    return ops.slice(y, (0,) * lead + (0, n), (*y.shape[:lead], n, 2 * n))
