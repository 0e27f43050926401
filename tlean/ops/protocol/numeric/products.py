"""Products of matrices added to an array, distances between rows, and arrangements of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..ref import Ref


class ProductOps(Protocol):
    """Products of matrices, distances between rows, and arrangements of matrices."""

    def addmm(self, x: Ref, a: Ref, b: Ref, beta: float = 1, alpha: float = 1, *, name: str | None = None) -> Ref:
        """A product of matrices added: beta·x + alpha·a b.

        Args:
            x: an array that broadcasts to `(n, m)`.
            a: `(n, k)`.
            b: `(k, m)`.
            beta, alpha: plain numbers; for a beta of 0 the values of x do not count, were they NaN.

        Returns: `(n, m)`.
        Derivative: beta·g, alpha·g bᵀ, alpha·aᵀ g.
        Example: `addmm([[1.0]], [[1.0, 2.0]], [[3.0], [4.0]])` is `[[12]]`.
        """
        ...

    def addmv(self, x: Ref, a: Ref, b: Ref, beta: float = 1, alpha: float = 1, *, name: str | None = None) -> Ref:
        """A product of a matrix and a vector added: beta·x + alpha·a b.

        Args:
            x: an array that broadcasts to `(n,)`.
            a: `(n, k)`.
            b: `(k,)`.
            beta, alpha: as for `addmm`.

        Returns: `(n,)`.
        """
        ...

    def baddbmm(self, x: Ref, a: Ref, b: Ref, beta: float = 1, alpha: float = 1, *, name: str | None = None) -> Ref:
        """Products of a batch of matrices added: beta·x + alpha·a b.

        Args:
            x: an array that broadcasts to `(l, n, m)`.
            a: `(l, n, k)`.
            b: `(l, k, m)`.
            beta, alpha: as for `addmm`.

        Returns: `(l, n, m)`.
        """
        ...

    def addbmm(self, x: Ref, a: Ref, b: Ref, beta: float = 1, alpha: float = 1, *, name: str | None = None) -> Ref:
        """The sum of the products of a batch of matrices added: beta·x + alpha·Σ a b.

        Args:
            x: an array that broadcasts to `(n, m)`.
            a: `(l, n, k)`.
            b: `(l, k, m)`.
            beta, alpha: as for `addmm`.

        Returns: `(n, m)`.
        """
        ...

    def addr(self, x: Ref, a: Ref, b: Ref, beta: float = 1, alpha: float = 1, *, name: str | None = None) -> Ref:
        """An outer product added: beta·x + alpha·a bᵀ.

        Args:
            x: an array that broadcasts to `(n, m)`.
            a: `(n,)`.
            b: `(m,)`.
            beta, alpha: as for `addmm`.

        Returns: `(n, m)`.
        """
        ...

    def cdist(self, a: Ref, b: Ref, p: float = 2.0, *, name: str | None = None) -> Ref:
        """The distance of each row of a from each of b: the p-norm of their difference.

        Args:
            a: `(*k, n, d)`.
            b: `(*k, m, d)`.
            p: at least 0; as for `norm`.

        Returns: `(*k, n, m)`.
        Raises: ShapeError unless both have as many columns; OptionError for another p.
        Derivative: 0 where a distance is 0.
        Example: `cdist([[0.0, 0.0]], [[3.0, 4.0]])` is `[[5]]`.
        """
        ...

    def pdist(self, x: Ref, p: float = 2.0, *, name: str | None = None) -> Ref:
        """The distance of each two rows, the first from those behind it first.

        Args:
            x: `(n, d)`.
            p: as for `cdist`.

        Returns: `(n(n − 1)/2,)`.
        Raises: ShapeError unless x is a matrix; OptionError for another p.
        Derivative: 0 where a distance is 0.
        Example: `pdist([[0.0], [1.0], [3.0]])` is `[1, 3, 2]`.
        """
        ...

    def normalize(self, x: Ref, p: float = 2.0, axis: int = 1, eps: float = 1e-12, *, name: str | None = None) -> Ref:
        """Vectors of length 1: x over its p-norm along an axis.

        Args:
            x: `s`.
            p: as for `norm`.
            axis: the axis; negative ones count from the end.
            eps: what a norm counts as at least.

        Returns: `s`.
        Raises: IndexRangeError if there is no such axis.
        Example: `normalize([[3.0, 4.0]])` is `[[0.6, 0.8]]`.
        """
        ...

    def rot90(self, x: Ref, k: int = 1, axes: Sequence[int] = (0, 1), *, name: str | None = None) -> Ref:
        """x turned by quarters of a circle, from the first of two axes to the second.

        Args:
            x: an array of two axes or more.
            k: how many quarters; negative ones turn back.
            axes: the two axes.

        Returns: x's shape, with the two axes exchanged for an odd k.
        Raises: IndexRangeError if there is no such axis; OptionError if they are one.
        Example: `rot90([[1, 2], [3, 4]])` is `[[2, 4], [1, 3]]`.
        """
        ...

    def block_diag(self, *xs: Ref, name: str | None = None) -> Ref:
        """The matrix with these along its diagonal and zeros elsewhere.

        Args:
            xs: matrices; a vector is one row, a number one entry.

        Returns: `(the sum of rows, the sum of columns)`.
        Raises: ShapeError for none of them, or for more than two axes.
        Example: `block_diag([[1, 2]], [[3]])` is `[[1, 2, 0], [0, 0, 3]]`.
        """
        ...

    def cartesian_prod(self, *xs: Ref, name: str | None = None) -> Ref:
        """Every choice of one entry of each vector, a row each, the last vector's entries changing first.

        Args:
            xs: vectors.

        Returns: `(the product of their lengths, their number)`.
        Raises: ShapeError for none of them, or for another number of axes.
        Example: `cartesian_prod([1, 2], [3, 4])` is `[[1, 3], [1, 4], [2, 3], [2, 4]]`.
        """
        ...

    def diag_embed(self, x: Ref, offset: int = 0, *, name: str | None = None) -> Ref:
        """Matrices with the vectors of the last axis as diagonals, zeros elsewhere.

        Args:
            x: `(*k, n)`.
            offset: which diagonal: above the main one, or below for a negative number.

        Returns: `(*k, m, m)`, m = n + |offset|.
        Raises: ShapeError for x without an axis.
        Example: `diag_embed([1, 2])` is `[[1, 0], [0, 2]]`.
        """
        ...

    def linalg_multi_dot(self, xs: Sequence[Ref], *, name: str | None = None) -> Ref:
        """The product of several matrices, in the order that takes the fewest multiplications.

        Args:
            xs: two matrices or more; the first and the last may be vectors.

        Returns: `(n, m)`, without the axis of a vector.
        Raises: ShapeError for fewer than two, or for sizes that do not go together.
        Example: `linalg_multi_dot([[[1, 2]], [[1], [1]], [[3]]])` is `[[9]]`.
        """
        ...
