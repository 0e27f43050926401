"""`CSR`: a sparse matrix by rows, whose entries are an array of any backend."""

from __future__ import annotations

from typing import Any

import numpy as np

import tlean.functions as F
from tlean import tree
from tlean._core.array import as_tensor
from tlean.errors import ShapeError

from .checks import number, operand
from .host import scipy
from .pattern import Pattern
from .products import product


class CSR:
    """A sparse matrix in compressed rows. `A @ x` is a product with a vector or a matrix, `A.T` the transpose, `2.0 * A` a multiple.

    It is a tree with one leaf, `data`: programs take it as an argument, and a gradient with respect to it is a matrix of the same places.

    Args:
        data: `(nnz,)`, the entries row by row: an array or a reference.
        indices: `(nnz,)`, the column of each.
        indptr: `(rows + 1,)`, where each row begins.
        shape: rows and columns.

    Raises: ShapeError, DTypeError, OptionError for arrays that describe no such matrix.

    Example:
        >>> a = tl.sparse.CSR(np.array([2.0, 3.0]), [1, 0], [0, 1, 2], (2, 2))
        >>> (a @ np.array([1.0, 10.0])).tolist(), tl.grad(lambda a: tl.sum(a @ np.array([1.0, 10.0])))(a).data.tolist()
        ([20.0, 3.0], [10.0, 1.0])
    """

    # NumPy leaves `array @ matrix` to this class.
    __array_ufunc__ = None

    def __init__(self, data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> None:
        self.pattern: Pattern = Pattern(indices, indptr, shape)
        self.data: Any = operand("CSR: data", data)
        if tuple(self.data.shape) != (self.pattern.count,):
            raise ShapeError(f"CSR: data must have one number for each of {self.pattern.count} columns, got shape {tuple(self.data.shape)}")

    @classmethod
    def of(cls, pattern: Pattern, data: Any) -> CSR:
        """A matrix of a known pattern.

        Args:
            pattern: of another matrix.
            data: the entries.
        """
        made = object.__new__(cls)
        made.pattern, made.data = pattern, data
        return made

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pattern.shape

    @property
    def dtype(self) -> Any:
        """Of the entries."""
        return self.data.dtype

    @property
    def nnz(self) -> int:
        """How many entries there are."""
        return self.pattern.count

    @property
    def indices(self) -> np.ndarray:
        """The column of each entry."""
        return self.pattern.indices

    @property
    def indptr(self) -> np.ndarray:
        """Where each row begins among the entries, and where the last one ends."""
        return self.pattern.indptr

    @property
    def T(self) -> CSR:
        """The transpose."""
        return CSR.of(self.pattern.transposed, F.take(self.data, self.pattern.order))

    def __matmul__(self, x: Any) -> Any:
        return product(self.pattern, self.data, operand("a sparse matrix's operand", x))

    def __rmatmul__(self, x: Any) -> Any:
        x = operand("a sparse matrix's operand", x)
        return self.T @ x if len(x.shape) == 1 else F.swapaxes(self.T @ F.swapaxes(x, 0, 1), 0, 1)

    def __mul__(self, factor: Any) -> CSR:
        return CSR.of(self.pattern, self.data * number("a multiple of a sparse matrix: the factor", factor))

    __rmul__ = __mul__

    def __truediv__(self, factor: Any) -> CSR:
        return CSR.of(self.pattern, self.data / number("a quotient of a sparse matrix: the divisor", factor))

    def __neg__(self) -> CSR:
        return CSR.of(self.pattern, -self.data)

    def diagonal(self) -> Any:
        """The entries on the diagonal, 0 where there is none."""
        at = np.flatnonzero(self.pattern.rows == self.pattern.indices)
        return F.segment_sum(F.take(self.data, at), self.pattern.rows[at], min(self.shape))

    def todense(self) -> Any:
        """The matrix with all its zeros."""
        rows, columns = self.shape
        flat = F.segment_sum(self.data, self.pattern.rows * columns + self.pattern.indices, rows * columns)
        return F.reshape(flat, self.shape)

    def to_scipy(self) -> Any:
        """The matrix as SciPy's `csr_array`, which needs SciPy. Raises: OptionError where it is not installed."""
        return scipy("sparse").csr_array((np.array(self.data), self.indices.copy(), self.indptr.copy()), shape=self.shape)

    def __repr__(self) -> str:
        return f"CSR({self.shape[0]} × {self.shape[1]}, {self.nnz} entries, {self.dtype})"


def from_scipy(matrix: Any) -> CSR:
    """A sparse matrix of SciPy, of any format; entries at one place are summed.

    Args:
        matrix: a sparse array or matrix.

    Raises: ShapeError for what is none.
    """
    if not hasattr(matrix, "tocsr"):
        raise ShapeError(f"from_scipy: matrix must be a sparse matrix of SciPy, got {type(matrix).__name__}")
    rows = matrix.tocsr().copy()
    rows.sum_duplicates()
    return CSR(as_tensor(rows.data), rows.indices, rows.indptr, rows.shape)


def from_dense(matrix: Any) -> CSR:
    """The entries of a matrix that are not zero.

    Args:
        matrix: an array with two axes.

    Raises: ShapeError for another number of axes, DTypeError for what holds no numbers.
    """
    array = np.asarray(operand("from_dense: matrix", matrix))
    if array.ndim != 2:
        raise ShapeError(f"from_dense: matrix must have two axes, got shape {array.shape}")
    rows, columns = np.nonzero(array)
    starts = np.zeros(array.shape[0] + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=array.shape[0]), out=starts[1:])
    return CSR(as_tensor(np.ascontiguousarray(array[rows, columns])), columns, starts, array.shape)


tree.register(CSR, lambda a: ([a.data], a.pattern), lambda pattern, leaves: CSR.of(pattern, leaves[0]))
