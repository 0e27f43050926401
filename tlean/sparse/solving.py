"""Linear systems with a sparse matrix, by SciPy's SuperLU."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

import tlean.functions as F
from tlean.custom import custom_op, custom_vjp
from tlean.errors import LinAlgError, ShapeError

from .checks import matrix, operand
from .host import scipy
from .pattern import Pattern
from .products import product


def sparse_solve(a: Any, b: Any) -> Any:
    """x with A x = b, by a sparse LU factorisation of SciPy, on the host; the derivative solves with Aᵀ.

    Args:
        a: a square `CSR` matrix of shape `(n, n)`.
        b: `(n,)` or `(n, k)`.

    Returns: as b.
    Raises: ShapeError for shapes that do not fit, LinAlgError for a singular matrix, OptionError for what is no such
        matrix and where SciPy is not installed, DTypeError for what holds no numbers.

    Example:
        >>> tl.sparse.sparse_solve(tl.sparse.from_dense([[2.0, 0.0], [1.0, 4.0]]), np.array([2.0, 9.0])).tolist()
        [1.0, 2.0]
    """
    a, b = matrix("sparse_solve", a), operand("sparse_solve: b", b)
    if a.shape[0] != a.shape[1]:
        raise ShapeError(f"sparse_solve: a must be square, got shape {a.shape}")
    if len(b.shape) not in (1, 2) or b.shape[0] != a.shape[0]:
        raise ShapeError(f"sparse_solve: b must have {a.shape[0]} rows, got shape {tuple(b.shape)}")
    scipy("sparse.linalg")
    return _solution(a.pattern, a.data, b)


@lru_cache(maxsize=256)
def _host(pattern: Pattern) -> Any:
    # The solution as an op that calls Python; its derivatives are rules of `_solution`.
    def forward(data: np.ndarray, b: np.ndarray) -> np.ndarray:
        matrix = scipy("sparse").csc_array(
            (np.asarray(data, dtype=np.float64), _int32(order.indices), _int32(order.indptr)), shape=pattern.shape
        )
        try:
            factor = scipy("sparse.linalg").splu(matrix)
        except RuntimeError:
            raise LinAlgError(f"sparse_solve: the matrix must not be singular, got {pattern}") from None
        return factor.solve(np.asarray(b, dtype=np.float64)).astype(b.dtype)

    def no_rule(*_: Any) -> Any:
        raise AssertionError("derivatives of the solution are rules of the function around it")

    # SuperLU takes columns: those of the matrix are the rows of its transpose.
    order = pattern.transposed
    return custom_op(forward, no_rule, name="sparse_solve", shape=lambda data, b: b)


def _int32(x: np.ndarray) -> np.ndarray:
    return x.astype(np.int32)


def _value(pattern: Pattern, data: Any, b: Any) -> Any:
    return _host(pattern)(F.take(data, pattern.order), b)


_solution = custom_vjp(_value, nondiff_argnums=0)


def _forth(pattern: Pattern, data: Any, b: Any) -> Any:
    x = _solution(pattern, data, b)
    return x, (data, x)


def _back(pattern: Pattern, residuals: Any, g: Any) -> Any:
    data, x = residuals
    u = _solution(pattern.transposed, F.take(data, pattern.order), g)
    terms = F.take(u, pattern.rows, axis=0) * F.take(x, pattern.indices, axis=0)
    return -terms if len(g.shape) == 1 else -F.sum(terms, axis=1), u


def _tangent(pattern: Pattern, primals: Any, tangents: Any) -> Any:
    (data, b), (moved, shifted) = primals, tangents
    x = _solution(pattern, data, b)
    return x, _solution(pattern, data, shifted - product(pattern, moved, x))


_solution.defvjp(_forth, _back)
_solution.defjvp(_tangent)
