"""Products of a sparse matrix with vectors and matrices, made of a gather and sums of segments."""

from __future__ import annotations

from typing import Any

import tlean.functions as F
from tlean.errors import ShapeError

from .checks import matrix, operand
from .pattern import Pattern


def product(pattern: Pattern, data: Any, x: Any) -> Any:
    """A sparse matrix times a vector or a matrix.

    Args:
        pattern: of the matrix.
        data: its entries.
        x: `(columns,)` or `(columns, k)`.
    """
    if len(x.shape) not in (1, 2) or x.shape[0] != pattern.shape[1]:
        raise ShapeError(f"a sparse matrix of shape {pattern.shape} needs {pattern.shape[1]} rows at its right, got shape {tuple(x.shape)}")
    taken = F.take(x, pattern.indices, axis=0)
    terms = data * taken if len(x.shape) == 1 else F.expand_dims(data, -1) * taken
    return F.segment_sum(terms, pattern.rows, pattern.shape[0])


def spmv(a: Any, x: Any) -> Any:
    """A sparse matrix times a vector; the derivative goes to both.

    Args:
        a: a `CSR` matrix of shape `(m, n)`.
        x: `(n,)`.

    Returns: `(m,)`.
    Raises: ShapeError where x has another shape, OptionError and DTypeError for what is no matrix and no array.

    Example:
        >>> tl.sparse.spmv(tl.sparse.from_dense([[0.0, 2.0], [3.0, 0.0]]), np.array([1.0, 10.0])).tolist()
        [20.0, 3.0]
    """
    a, x = matrix("spmv", a), operand("spmv: x", x)
    if len(x.shape) != 1:
        raise ShapeError(f"spmv: x must be a vector, got shape {tuple(x.shape)}")
    return a @ x


def spmm(a: Any, x: Any) -> Any:
    """A sparse matrix times a dense one; the derivative goes to both.

    Args:
        a: a `CSR` matrix of shape `(m, n)`.
        x: `(n, k)`.

    Returns: `(m, k)`.
    Raises: ShapeError where x has another shape, OptionError and DTypeError for what is no matrix and no array.
    """
    a, x = matrix("spmm", a), operand("spmm: x", x)
    if len(x.shape) != 2:
        raise ShapeError(f"spmm: x must be a matrix, got shape {tuple(x.shape)}")
    return a @ x
