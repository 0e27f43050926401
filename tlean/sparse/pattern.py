"""Where the entries of a sparse matrix are: rows, columns, and the order of the transpose."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from tlean.errors import OptionError, ShapeError

from .checks import integers, sides


class Pattern:
    """The places of the entries of a matrix, row by row; equal where the places are.

    Args:
        indices: the column of each entry.
        indptr: where each row begins among them, and where the last one ends.
        shape: rows and columns.

    Raises: ShapeError, DTypeError, OptionError for arrays that describe no such matrix.
    """

    def __init__(self, indices: Any, indptr: Any, shape: tuple[int, int]) -> None:
        self.shape: tuple[int, int] = sides("CSR", shape)
        self.indices: np.ndarray = integers("CSR: indices", indices)
        self.indptr: np.ndarray = integers("CSR: indptr", indptr)
        self.indices.flags.writeable = self.indptr.flags.writeable = False
        if self.indptr.shape != (self.shape[0] + 1,):
            raise ShapeError(f"CSR: indptr must have {self.shape[0] + 1} entries for {self.shape[0]} rows, got shape {self.indptr.shape}")
        ends = self.indptr[0] == 0 and self.indptr[-1] == self.indices.size and bool((np.diff(self.indptr) >= 0).all())
        if not ends:
            raise OptionError(f"CSR: indptr must go up from 0 to the number of entries, {self.indices.size}")
        if self.indices.size and not (self.indices.min() >= 0 and self.indices.max() < self.shape[1]):
            raise OptionError(f"CSR: columns must be from 0 to {self.shape[1] - 1}, got {self.indices.min()} to {self.indices.max()}")
        self._rows: np.ndarray | None = None
        self._order: np.ndarray | None = None
        self._transposed: Pattern | None = None
        self._key = hashlib.sha256(self.indptr.tobytes() + self.indices.tobytes()).digest(), self.shape

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Pattern({self.shape[0]} × {self.shape[1]}, {self.count} entries)"

    @property
    def count(self) -> int:
        """How many entries there are."""
        return int(self.indices.size)

    # Each computed when it is first needed. `functools.cached_property` has a lock in Python 3.11, which a forked child may find taken.

    @property
    def rows(self) -> np.ndarray:
        """The row of each entry."""
        if self._rows is None:
            rows = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
            rows.flags.writeable = False
            self._rows = rows
        return self._rows

    @property
    def order(self) -> np.ndarray:
        """The entries in the order of the transpose."""
        if self._order is None:
            order = np.lexsort((self.rows, self.indices))
            order.flags.writeable = False
            self._order = order
        return self._order

    @property
    def transposed(self) -> Pattern:
        """The pattern of the transpose."""
        if self._transposed is None:
            starts = np.zeros(self.shape[1] + 1, dtype=np.int64)
            np.cumsum(np.bincount(self.indices, minlength=self.shape[1]), out=starts[1:])
            self._transposed = Pattern(self.rows[self.order], starts, (self.shape[1], self.shape[0]))
        return self._transposed
