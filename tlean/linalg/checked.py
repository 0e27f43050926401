"""The functions that a matrix may be unfit for, with `check=True` for programs that are to stop there."""

from __future__ import annotations

from typing import Any

import tlean.functions as F

from ..arguments import truth
from ..dispatch import Values, backend_of
from ..ops.registry import array

__all__ = ["cholesky", "inv", "solve", "solve_triangular"]


def _required(op: str, need: str, y: Any, a: Any, b: Any, name: str | None) -> Any:
    # Where no program is recorded the op has raised already.
    ops = backend_of(y)
    if isinstance(ops, Values):
        return y
    a, b = array(ops, a), array(ops, b)
    vectors = b is not None and len(b.shape) == 1
    shape = tuple(y.shape)
    if vectors:
        y, b = ops.reshape(y, (*shape, 1)), ops.reshape(b, (*b.shape, 1))
    made = ops.apply("_linalg_require", (y, a, b), {"op": op, "need": need}, None if vectors else name)
    return ops.reshape(made, shape, name=name) if vectors else made


def cholesky(x: Any, *, check: bool = False, name: str | None = None) -> Any:
    """The lower triangular L with L Lᵀ = (x + xᵀ)/2.

    Args:
        x: `(*k, n, n)`, positive definite.
        check: whether a compiled program raises, too, and goes on with NaN otherwise.
        name: of the node.

    Raises: LinAlgError where a matrix is not positive definite: where the call runs at once, and in programs with `check`, which name
        the first such matrix, and the iteration where it is in a loop.

    Example:
        >>> tl.jit(lambda x: tl.linalg.cholesky(x, check=True))(np.array([[1.0, 2.0], [2.0, 1.0]]))
        Traceback (most recent call last):
        tlean.errors.LinAlgError: linalg_cholesky: the matrix must be positive definite
    """
    if not truth("cholesky: check", check):
        return F.linalg_cholesky(x, name=name)
    return _required("linalg_cholesky", "positive definite", F.linalg_cholesky(x), x, None, name)


def solve(a: Any, b: Any, *, check: bool = False, name: str | None = None) -> Any:
    """y with A y = b.

    Args:
        a: `(*k, n, n)`.
        b: `(n,)`, or `(*l, n, m)`; leading axes broadcast.
        check: as of `cholesky`.
        name: of the node.

    Raises: LinAlgError where a matrix is singular, as `cholesky` does.
    """
    if not truth("solve: check", check):
        return F.linalg_solve(a, b, name=name)
    return _required("linalg_solve", "invertible", F.linalg_solve(a, b), a, b, name)


def inv(a: Any, *, check: bool = False, name: str | None = None) -> Any:
    """The inverses of square matrices.

    Args:
        a: `(*k, n, n)`.
        check: as of `cholesky`.
        name: of the node.

    Raises: LinAlgError where a matrix is singular, as `cholesky` does.
    """
    if not truth("inv: check", check):
        return F.linalg_inv(a, name=name)
    return _required("linalg_inv", "invertible", F.linalg_inv(a), a, None, name)


def solve_triangular(
    a: Any,
    b: Any,
    lower: bool = False,
    transpose: bool = False,
    unit_diagonal: bool = False,
    *,
    check: bool = False,
    name: str | None = None,
) -> Any:
    """y with T y = b, for the upper or lower triangle T of a.

    Args:
        a: `(*k, n, n)`; its other triangle is not read.
        b: `(n,)`, or `(*l, n, m)`; leading axes broadcast.
        lower: whether T is the lower triangle.
        transpose: whether Tᵀ y = b is solved.
        unit_diagonal: whether T's diagonal counts as ones.
        check: as of `cholesky`.
        name: of the node.

    Raises: LinAlgError where T has a 0 on its diagonal, as `cholesky` does.
    """
    if not truth("solve_triangular: check", check):
        return F.linalg_solve_triangular(a, b, lower, transpose, unit_diagonal, name=name)
    y = F.linalg_solve_triangular(a, b, lower, transpose, unit_diagonal)
    return _required("linalg_solve_triangular", "invertible", y, a, b, name)
