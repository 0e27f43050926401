"""Public forms of factors and solves, made of the records of `factors`."""

from __future__ import annotations

from typing import Any

from ...arguments import is_reference
from ...dtypes import FLOATS, INTEGERS, promoted
from ...errors import completing
from ..registry import array, composite
from . import factors as of
from .rectangles import lu_rectangular
from .shapes import need_matrices, need_square
from .spectra import entries
from .spectra import rows as rows_of


def as_sides(ops: Any, b: Any) -> tuple[Any, Any]:
    """Right-hand sides as matrices, and how a result gets b's axes: a vector is one column."""
    if len(b.shape) != 1:
        return b, lambda y, name: y
    column = ops.reshape(b, (*b.shape, 1))
    return column, lambda y, name: ops.reshape(y, tuple(y.shape[:-1]), name=name)


def _operands(ops: Any, op: str, **values: Any) -> list[Any]:
    # Operands in one float dtype, by a separate op: a step inside another has no way to say that a matrix is singular.
    operands = [array(ops, x, f"{op}: {n}") for n, x in values.items()]
    dtypes = [str(x.dtype) for x in operands if is_reference(x)]
    own = promoted([d for d in dtypes if d in FLOATS] or [str(ops.dtype)])
    other = {*FLOATS, *INTEGERS} - {own} if own in FLOATS else ()
    return [ops.astype(x, own) if is_reference(x) and str(x.dtype) in other else x for x in operands]


@composite
def linalg_cholesky(ops: Any, x: Any, *, name: str | None = None) -> Any:
    """The Cholesky factor."""
    return ops.apply("_linalg_cholesky", tuple(_operands(ops, "linalg_cholesky", x=x)), {}, name)


@composite
def linalg_solve_triangular(
    ops: Any, a: Any, b: Any, lower: bool = False, transpose: bool = False, unit_diagonal: bool = False, *, name: str | None = None
) -> Any:
    """The solution of triangular systems."""
    a, b = _operands(ops, "linalg_solve_triangular", a=a, b=b)
    sides, back = as_sides(ops, b)
    options = {"lower": lower, "transpose": transpose, "unit_diagonal": unit_diagonal}
    return back(ops.apply("_linalg_solve_triangular", (a, sides), options, None if sides is not b else name), name)


@composite
def linalg_cholesky_solve(ops: Any, b: Any, factor: Any, *, name: str | None = None) -> Any:
    """The solution of L Lᵀ y = b."""
    b, factor = array(ops, b, "linalg_cholesky_solve: b"), array(ops, factor, "linalg_cholesky_solve: factor")
    half = ops.linalg_solve_triangular(factor, b, True)
    return ops.linalg_solve_triangular(factor, half, True, True, name=name)


@composite
def linalg_solve(ops: Any, a: Any, b: Any, *, name: str | None = None) -> Any:
    """The solution of A y = b."""
    a, b = _operands(ops, "linalg_solve", a=a, b=b)
    with completing("linalg_solve", a=a):
        need_square(tuple(a.shape), "a")
    sides, back = as_sides(ops, b)
    y = ops.apply("_linalg_solve", (a, sides, of.factors_of(ops, a)), {}, None if sides is not b else name)
    return back(y, name)


@composite
def linalg_inv(ops: Any, a: Any, *, name: str | None = None) -> Any:
    """The inverse."""
    (a,) = _operands(ops, "linalg_inv", a=a)
    with completing("linalg_inv", a=a):
        need_square(tuple(a.shape), "a")
    return ops.apply("_linalg_solve", (a, of.identity(ops, a), of.factors_of(ops, a)), {}, name)


@composite
def linalg_det(ops: Any, a: Any, *, name: str | None = None) -> Any:
    """The determinant."""
    a = array(ops, a, "linalg_det: a")
    with completing("linalg_det", a=a):
        need_square(tuple(a.shape), "a")
    return ops.apply("_linalg_det", (a, of.factors_of(ops, a)), {}, name)


@composite
def linalg_slogdet(ops: Any, a: Any, *, name: str | None = None) -> Any:
    """The sign of the determinant and the logarithm of its size."""
    a = array(ops, a, "linalg_slogdet: a")
    with completing("linalg_slogdet", a=a):
        need_square(tuple(a.shape), "a")
    known = of.factors_of(ops, a)
    return ops._linalg_sign(a, known), ops.apply("_linalg_logabsdet", (a, known), {}, name)


@composite
def linalg_logdet(ops: Any, a: Any, *, name: str | None = None) -> Any:
    """The logarithm of the determinant."""
    sign, size = ops.linalg_slogdet(a)
    return ops.add(size, ops.log(sign), name=name)


@composite
def linalg_lu(ops: Any, a: Any, *, name: str | None = None) -> Any:
    """P, L and U with a = P L U."""
    packed, rows = ops.linalg_lu_factor(a)
    m, n = packed.shape[-2:]
    k, dtype = min(m, n), str(packed.dtype) if str(packed.dtype) in FLOATS else None
    left, up = entries(ops, packed, 0, k), rows_of(ops, packed, 0, k)
    lower = ops.add(ops.tril(left, k=-1), ops._eye(rows=m, columns=k, offset=0, dtype=dtype))
    # Row i of L U was row rows[i] of a: row j of P has its one in the column that says where j went.
    one = ops._eye(rows=m, columns=m, offset=0, dtype=dtype)
    return ops.take(one, ops.argsort(rows), axis=0), lower, ops.triu(up, name=name)


@composite
def linalg_lu_factor(ops: Any, a: Any, *, name: str | None = None) -> Any:
    """L and U in one array, and which row of a each of its rows was."""
    a = array(ops, a, "linalg_lu_factor: a")
    with completing("linalg_lu_factor", a=a):
        m, n = need_matrices(tuple(a.shape), "a")[-2:]
    if m != n:
        packed, order = lu_rectangular(ops, a)
        return packed if name is None else ops.reshape(packed, tuple(packed.shape), name=name), order
    # Two ops read them.
    known = of.factors_of(ops, a, own=6)
    return ops.apply("_linalg_lu", (a, known), {}, name), ops._linalg_rows(a, known)
