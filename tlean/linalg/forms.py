"""Further functions of NumPy's `linalg`, of PyTorch's and of SciPy's, made of ops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tlean.functions as F

from ..arguments import is_reference, truth, whole
from ..dtypes import FLOATS
from ..errors import OptionError, ShapeError
from ..ops.arranging.axes import named_axes

__all__ = ["cholesky_inverse", "lu_solve", "matrix_transpose", "norm", "tensorinv", "tensorsolve", "vector_norm"]


def _array(x: Any) -> Any:
    return x if is_reference(x) or hasattr(x, "shape") else np.asarray(x)


def matrix_transpose(x: Any) -> Any:
    """The matrices with rows and columns exchanged.

    Args:
        x: `(*k, m, n)`.

    Raises: ShapeError for fewer axes than two.
    """
    x = _array(x)
    if len(x.shape) < 2:
        raise ShapeError(f"matrix_transpose: x must have at least two axes, got shape {tuple(x.shape)}")
    return F.swapaxes(x, -1, -2)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """A norm of vectors or matrices, as `np.linalg.norm`.

    Args:
        x: an array.
        ord: of a matrix "fro", "nuc", 2, -2, 1, -1, inf or -inf; of a vector a number; None is the root of the sum of squares.
        axis: one axis, of vectors; two, of matrices; None: all of a vector or a matrix, and of any array where ord is None.
        keepdims: whether the axes stay, with size 1.

    Raises: OptionError for another ord, and for an axis that is neither; ShapeError where x is no vector or matrix and ord says which norm.
    """
    x, keepdims = _array(x), truth("norm: keepdims", keepdims)
    if axis is None and ord is None:
        found = F.norm(F.reshape(x, (-1,)))
        return F.reshape(found, (1,) * len(x.shape)) if keepdims else found
    if axis is None:
        if len(x.shape) not in (1, 2):
            raise ShapeError(f"norm: x must be a vector or a matrix where ord is given without axis, got shape {tuple(x.shape)}")
        axis = tuple(range(len(x.shape)))
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    if len(axes) == 1:
        return vector_norm(x, 2 if ord is None else ord, axes[0], keepdims)
    if len(axes) != 2:
        raise OptionError(f"norm: axis must be one axis or two, got {axis!r}")
    first, second = named_axes(axes, len(x.shape))
    found = F.linalg_matrix_norm(F.moveaxis(x, (first, second), (-2, -1)), "fro" if ord is None else ord)
    for a in sorted((first, second)) if keepdims else ():
        found = F.expand_dims(found, a)
    return found


def vector_norm(x: Any, ord: Any = 2, axis: Any = None, keepdims: bool = False) -> Any:
    """A norm of vectors: (Σ |x|^ord)^(1/ord), the largest or smallest size for ±inf, and how many are not 0 for 0.

    Args:
        x: an array.
        ord: a number.
        axis: one axis or several; None is all.
        keepdims: whether the axes stay, with size 1.

    Raises: OptionError where ord is no number.
    """
    x = _array(x)
    if isinstance(ord, bool) or not isinstance(ord, int | float) or ord != ord:
        raise OptionError(f"vector_norm: ord must be a number, got {ord!r}")
    if ord == 2:
        return F.norm(x, axis=axis, keepdims=keepdims)
    if math.isinf(ord):
        return (F.max if ord > 0 else F.min)(F.abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        return F.sum(F.where(F.equal(x, 0.0), 0.0 * F.abs(x), 1.0), axis=axis, keepdims=keepdims)
    if ord == 1:
        return F.sum(F.abs(x), axis=axis, keepdims=keepdims)
    return F.pow(F.sum(F.pow(F.abs(x), float(ord)), axis=axis, keepdims=keepdims), 1.0 / ord)


def lu_solve(factors: tuple[Any, Any], b: Any) -> Any:
    """y with A y = b, from what `lu_factor(A)` returned: `(packed, rows)`.

    Args:
        factors: the pair.
        b: `(n,)` or `(*k, n, m)`.

    Raises: ShapeError for sizes that do not fit; LinAlgError where U has a 0 on its diagonal and the call runs at once.

    Example:
        >>> tl.linalg.lu_solve(tl.linalg.lu_factor([[2.0, 1.0], [4.0, 0.0]]), [3.0, 4.0]).tolist()
        [1.0, 1.0]
    """
    if not isinstance(factors, tuple | list) or len(factors) != 2 or any(not hasattr(f, "shape") for f in factors):
        raise OptionError(f"lu_solve: factors must be the pair that lu_factor returns, got {type(factors).__name__}")
    packed, rows = factors
    b = _array(b)
    if not b.shape or len(packed.shape) < 2:
        raise ShapeError(f"lu_solve: packed must be (*k, n, n) and b (n,) or (*k, n, m), got {tuple(packed.shape)} and {tuple(b.shape)}")
    sides = F.expand_dims(b, -1) if len(b.shape) == 1 else b
    lead = np.broadcast_shapes(tuple(packed.shape)[:-2], tuple(sides.shape)[:-2])
    n, m = sides.shape[-2:]
    if n != packed.shape[-1] or n != packed.shape[-2]:
        raise ShapeError(f"lu_solve: b must have a row for each of the factors' {packed.shape[-1]}, got shape {tuple(b.shape)}")
    order = F.broadcast_to(F.expand_dims(rows, -1), (*lead, n, m))
    moved = F.take_along_axis(F.broadcast_to(sides, (*lead, n, m)), order, axis=-2)
    half = F.linalg_solve_triangular(packed, moved, lower=True, unit_diagonal=True)
    y = F.linalg_solve_triangular(packed, half)
    return F.squeeze(y, axis=-1) if len(b.shape) == 1 else y


def cholesky_inverse(factor: Any) -> Any:
    """The inverse of L Lᵀ.

    Args:
        factor: L, `(*k, n, n)`, lower triangular.
    """
    factor = _array(factor)
    if len(factor.shape) < 2 or factor.shape[-1] != factor.shape[-2]:
        raise ShapeError(f"cholesky_inverse: factor must be (*k, n, n), got shape {tuple(factor.shape)}")
    if str(factor.dtype) not in FLOATS:
        factor = F.astype(factor, F.zeros(()).dtype)
    return F.linalg_cholesky_solve(F.eye(int(factor.shape[-1]), dtype=str(factor.dtype)), factor)


def tensorsolve(a: Any, b: Any) -> Any:
    """y with tensordot(a, y, y.ndim) = b, as `np.linalg.tensorsolve`.

    Args:
        a: `(*b.shape, *q)` with as many numbers in q as in b.
        b: any shape.

    Returns: `q`.
    Raises: ShapeError where the sizes do not fit.
    """
    a, b = _array(a), _array(b)
    shape, n = tuple(a.shape), math.prod(b.shape)
    rest = shape[len(b.shape) :]
    if shape[: len(b.shape)] != tuple(b.shape) or math.prod(rest) != n:
        raise ShapeError(f"tensorsolve: a must have b's shape {tuple(b.shape)} and then as many numbers, got shape {shape}")
    return F.reshape(F.linalg_solve(F.reshape(a, (n, n)), F.reshape(b, (n,))), rest)


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of what tensordot(a, ·, ind) does, as `np.linalg.tensorinv`.

    Args:
        a: an array whose first `ind` axes have as many numbers as the others.
        ind: how many axes come first.

    Returns: the other axes, then the first ones.
    Raises: ShapeError where the numbers differ; OptionError unless ind is a whole number above 0.
    """
    a = _array(a)
    ind = whole("tensorinv: ind", ind, 1)
    first, rest = tuple(a.shape)[:ind], tuple(a.shape)[ind:]
    if math.prod(first) != math.prod(rest):
        raise ShapeError(f"tensorinv: the first {ind} axes must have as many numbers as the others, got shape {tuple(a.shape)}")
    n = math.prod(first)
    return F.reshape(F.linalg_inv(F.reshape(a, (n, n))), (*rest, *first))
