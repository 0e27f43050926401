"""Public forms of decompositions, made of the records of `spectra`, and functions of matrices made of other ops."""

from __future__ import annotations

from typing import Any

from ...arguments import truth
from ...errors import OptionError, ShapeError, completing
from ...shapes import normalize_axis
from ..elementwise import number
from ..registry import array, composite, whole
from . import factors as of
from . import spectra
from .rectangles import whole_basis
from .shapes import need_matrices, need_square, spread, transposed


@composite
def linalg_eigh(ops: Any, x: Any, *, name: str | None = None) -> Any:
    """Eigenvalues and eigenvectors of symmetric matrices."""
    y = ops._linalg_eigh(array(ops, x, "linalg_eigh: x"))
    n = y.shape[-1]
    return ops.reshape(spectra.rows(ops, y, 0, 1), (*y.shape[:-2], n), name=name), spectra.rows(ops, y, 1, n + 1)


@composite
def linalg_eigvalsh(ops: Any, x: Any, *, name: str | None = None) -> Any:
    """Eigenvalues of symmetric matrices."""
    return ops.linalg_eigh(x, name=name)[0]


@composite
def linalg_svd(ops: Any, x: Any, full_matrices: bool = False, *, name: str | None = None) -> Any:
    """Singular values and vectors."""
    whole_ones = truth("linalg_svd: full_matrices", full_matrices)
    x = array(ops, x, "linalg_svd: x")
    y = ops._linalg_svd(x)
    m, n = x.shape[-2:]
    u, s, vh = spectra.svd_parts(ops, y, m, n)
    if whole_ones:
        u, vh = whole_basis(ops, u), transposed(ops, whole_basis(ops, transposed(ops, vh))) if n > m else vh
    return u, s if name is None else ops.reshape(s, tuple(s.shape), name=name), vh


@composite
def linalg_svdvals(ops: Any, x: Any, *, name: str | None = None) -> Any:
    """Singular values."""
    return ops.linalg_svd(x, name=name)[1]


@composite
def linalg_qr(ops: Any, x: Any, mode: str = "reduced", *, name: str | None = None) -> Any:
    """Q and R of matrices."""
    x = array(ops, x, "linalg_qr: x")
    with completing("linalg_qr", x=x, mode=mode):
        m, n = need_matrices(tuple(x.shape))[-2:]
        if not isinstance(mode, str) or mode not in ("reduced", "complete", "r"):
            raise OptionError('mode must be "reduced", "complete" or "r"')
    k = min(m, n)
    y = ops._linalg_qr(x if k == n else spectra.entries(ops, x, 0, k))
    q, r = spectra.rows(ops, y, 0, m), spectra.rows(ops, y, m, m + k)
    if k < n:
        # The columns beyond a square are what Q makes of them.
        r = ops.concat([r, ops.matmul(q, spectra.entries(ops, x, k, n), transpose_a=True)], axis=-1)
    if mode == "complete" and m > k:
        q, none = whole_basis(ops, q), ops._full(shape=(*x.shape[:-2], m - k, n), value=0.0, dtype=str(r.dtype))
        r = ops.concat([r, none], axis=-2)
    r = r if name is None else ops.reshape(r, tuple(r.shape), name=name)
    return r if mode == "r" else (q, r)


@composite
def linalg_pinv(ops: Any, x: Any, *, name: str | None = None) -> Any:
    """The pseudoinverse."""
    return ops.apply("_linalg_pinv", (array(ops, x, "linalg_pinv: x"),), {}, name)


@composite
def linalg_expm(ops: Any, x: Any, *, name: str | None = None) -> Any:
    """The exponential of matrices."""
    return ops.apply("_linalg_expm", (array(ops, x, "linalg_expm: x"),), {}, name)


@composite
def linalg_lstsq(ops: Any, a: Any, b: Any, *, name: str | None = None) -> Any:
    """The least-squares solution."""
    a, b = array(ops, a, "linalg_lstsq: a"), array(ops, b, "linalg_lstsq: b")
    with completing("linalg_lstsq", a=a, b=b):
        rows = need_matrices(tuple(a.shape), "a")[-2]
        if not b.shape or b.shape[-2 if len(b.shape) > 1 else 0] != rows:
            raise ShapeError(f"b must have {rows} rows, as a has")
    return ops.matmul(ops._linalg_pinv(a), b, name=name)


# Norms ---------------------------------------------------------------------------------------------------------------------

_ORDERS = ("fro", "nuc", 2, -2, 1, -1, float("inf"), float("-inf"))


def _order(order: Any) -> Any:
    if isinstance(order, bool) or order not in _ORDERS:
        raise OptionError('ord must be "fro", "nuc", 2, -2, 1, -1, inf or -inf')
    return order


@composite
def linalg_matrix_norm(ops: Any, x: Any, ord: Any = "fro", *, name: str | None = None) -> Any:
    """A norm of matrices."""
    x = array(ops, x, "linalg_matrix_norm: x")
    with completing("linalg_matrix_norm", x=x, ord=ord):
        need_matrices(tuple(x.shape))
        order = _order(ord)
    if order == "fro":
        return ops.norm(ops.reshape(x, (*x.shape[:-2], x.shape[-2] * x.shape[-1])), axis=-1, name=name)
    if order == "nuc":
        return ops.reduce_sum(ops.linalg_svdvals(x), axis=-1, name=name)
    greatest = ops.max if order > 0 else ops.min
    if abs(order) == 2:
        return greatest(ops.linalg_svdvals(x), axis=-1, name=name)
    sums = ops.reduce_sum(ops.abs(x), axis=-2 if abs(order) == 1 else -1)
    return greatest(sums, axis=-1, name=name)


@composite
def linalg_cond(ops: Any, x: Any, p: Any = 2, *, name: str | None = None) -> Any:
    """The condition of matrices."""
    x = array(ops, x, "linalg_cond: x")
    with completing("linalg_cond", x=x, p=p):
        need_matrices(tuple(x.shape))
        order = _order(p)
        if not isinstance(order, str) and abs(order) == 2:
            large, small = (ops.linalg_matrix_norm(x, o) for o in (order, -order))
            return ops.div(large, small, name=name)
        need_square(tuple(x.shape))
    return ops.mul(ops.linalg_matrix_norm(x, order), ops.linalg_matrix_norm(ops.linalg_inv(x), order), name=name)


# Powers and products -------------------------------------------------------------------------------------------------------


@composite
def linalg_matrix_rank(ops: Any, x: Any, rtol: float | None = None, *, name: str | None = None) -> Any:
    """How many singular values are above rtol times the largest."""
    x = array(ops, x, "linalg_matrix_rank: x")
    with completing("linalg_matrix_rank", x=x, rtol=rtol):
        *lead, m, n = need_matrices(tuple(x.shape))
        if rtol is not None:
            number(rtol, "rtol")
    s = ops.linalg_svdvals(x)
    if not min(m, n):
        return ops.zeros(tuple(lead), dtype="int64", name=name)
    bound = max(m, n) * (2.0**-23 if str(s.dtype) == "float32" else 2.0**-52) if rtol is None else float(rtol)
    least = ops.scale(ops.reduce_max(s, -1, True), bound)
    return ops.sum(ops.greater(s, ops.broadcast_to(least, tuple(s.shape))), -1, name=name)


@composite
def linalg_matrix_power(ops: Any, x: Any, n: int, *, name: str | None = None) -> Any:
    """An integer power of matrices."""
    x = array(ops, x, "linalg_matrix_power: x")
    with completing("linalg_matrix_power", x=x, n=n):
        need_square(tuple(x.shape))
        power = whole("n", n)
    if power < 0:
        x, power = ops.linalg_inv(x), -power
    total, first = None, x
    while power:
        if power % 2:
            total = x if total is None else ops.matmul(total, x)
        power //= 2
        x = ops.matmul(x, x) if power else x
    total = spread(ops, of.identity(ops, x), tuple(x.shape[:-2])) if total is None else total
    # A power of 1 makes no new value.
    return total if name is None and total is not first else ops.reshape(total, tuple(total.shape), name=name)


@composite
def linalg_cross(ops: Any, a: Any, b: Any, axis: int = -1, *, name: str | None = None) -> Any:
    """The vector product of vectors of three components."""
    a, b = array(ops, a, "linalg_cross: a"), array(ops, b, "linalg_cross: b")
    with completing("linalg_cross", a=a, b=b, axis=axis):
        for x, what in ((a, "a"), (b, "b")):
            if x.shape[normalize_axis(axis, len(x.shape))] != 3:
                raise ShapeError(f"{what} must have 3 entries along the axis")
    one = ops.mul(ops.roll(a, -1, axis=axis), ops.roll(b, -2, axis=axis))
    return ops.sub(one, ops.mul(ops.roll(a, -2, axis=axis), ops.roll(b, -1, axis=axis)), name=name)


@composite
def linalg_vecdot(ops: Any, a: Any, b: Any, axis: int = -1, *, name: str | None = None) -> Any:
    """The inner product of vectors."""
    a, b = array(ops, a, "linalg_vecdot: a"), array(ops, b, "linalg_vecdot: b")
    return ops.reduce_sum(ops.mul(a, b), axis=axis, name=name)
