"""Decompositions and functions of matrices."""

from __future__ import annotations

from typing import Protocol

from ....arguments.literals import Columns
from ..ref import Ref


class DecompositionOps(Protocol):
    """Decompositions and functions of matrices.

    `eigh`, `svd`, `qr`, `pinv` and `expm` are LAPACK's, which may give other last digits on another machine. A matrix with NaN gives NaN.
    In derivatives 1/(λᵢ − λⱼ) counts as 0 where |λᵢ − λⱼ| ≤ 10 n u ‖A‖, so equal eigenvalues and singular values have finite ones.
    """

    def linalg_eigh(self, x: Ref, *, name: str | None = None) -> tuple[Ref, Ref]:
        """Eigenvalues and eigenvectors of symmetric matrices: (x + xᵀ)/2 = V diag(w) Vᵀ.

        Args:
            x: `(*k, n, n)`.

        Returns: w in ascending order, `(*k, n)`; the orthonormal columns V, `(*k, n, n)`, the first component of each positive where it is
            not 0.
        Derivative: V (diag(gw) + F ∘ Vᵀ gV) Vᵀ, its symmetric part, with F[i, j] = 1/(w[j] − w[i]).
        """
        ...

    def linalg_eigvalsh(self, x: Ref, *, name: str | None = None) -> Ref:
        """Eigenvalues of symmetric matrices, (x + xᵀ)/2.

        Args:
            x: `(*k, n, n)`.

        Returns: `(*k, n)` in ascending order.
        Derivative: V diag(g) Vᵀ.
        Example: `linalg_eigvalsh([[2, 1], [1, 2]])` is `[1, 3]`.
        """
        ...

    def linalg_svd(self, x: Ref, full_matrices: bool = False, *, name: str | None = None) -> tuple[Ref, Ref, Ref]:
        """Singular values and vectors: x = U diag(s) Vᵀ, with as many of each as the shorter side has unless all vectors are asked for.

        Args:
            x: `(*l, m, n)`; k is the smaller of m and n.
            full_matrices: whether U and Vᵀ are square. The vectors beyond k are any that complete the basis; derivatives through them are
                right for what does not depend on the choice.

        Returns: U `(*l, m, k)`, the first component of each column positive where it is not 0; s in descending order, `(*l, k)`; Vᵀ
            `(*l, k, n)`. With `full_matrices` U is `(*l, m, m)` and Vᵀ `(*l, n, n)`.
        """
        ...

    def linalg_svdvals(self, x: Ref, *, name: str | None = None) -> Ref:
        """Singular values.

        Args:
            x: `(*l, m, n)`; k is the smaller of m and n.

        Returns: `(*l, k)` in descending order.
        Derivative: U diag(g) Vᵀ.
        """
        ...

    def linalg_qr(self, x: Ref, mode: Columns = "reduced", *, name: str | None = None) -> tuple[Ref, Ref] | Ref:
        """Q and R: x = Q R.

        Args:
            x: `(*l, m, n)`; k is the smaller of m and n. The derivative needs its first k columns to be independent.
            mode: "reduced"; "complete" for a square Q, of which the columns beyond k are any that complete the basis, and rows of zeros
                below R; "r" for R alone.

        Returns: Q, of orthonormal columns, `(*l, m, k)`; R, upper triangular, with no negative number on its diagonal, `(*l, k, n)`.
        Raises: OptionError for another mode.
        """
        ...

    def linalg_pinv(self, x: Ref, *, name: str | None = None) -> Ref:
        """The pseudoinverse P of matrices; singular values up to max(m, n) eps of the largest count as 0.

        Args:
            x: `(*l, m, n)`.

        Returns: `(*l, n, m)`.
        Derivative: −Pᵀ g Pᵀ + (I − A P) gᵀ P Pᵀ + Pᵀ P gᵀ (I − P A), where the rank does not change.
        """
        ...

    def linalg_lstsq(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Least squares: the shortest of the y with the smallest ‖A y − b‖; a composite of `linalg_pinv` and `matmul`.

        Args:
            a: `(*k, m, n)`.
            b: `(m,)` or `(*k, m, p)`.

        Returns: `(*k, n)` for a vector b, else `(*k, n, p)`. NumPy's residuals, rank and singular values are not part of it.
        Example: `linalg_lstsq([[1], [1]], [1, 3])` is `[2]`.
        """
        ...

    def linalg_matrix_norm(self, x: Ref, ord: object = "fro", *, name: str | None = None) -> Ref:
        """A norm of matrices.

        Args:
            x: `(*l, m, n)`.
            ord: "fro", "nuc" (the sum of singular values), 2, -2 (the largest, the smallest of them), 1, -1 (of the columns' sums of
                sizes), inf, -inf (of the rows').

        Returns: `l`.
        Raises: OptionError for another order.
        """
        ...

    def linalg_cond(self, x: Ref, p: object = 2, *, name: str | None = None) -> Ref:
        """The condition of matrices: the norm of order p, times that of the inverse.

        Args:
            x: `(*l, m, n)`; square unless p is 2 or -2.
            p: an order of `linalg_matrix_norm`.

        Returns: `l`.
        Raises: OptionError for another order; LinAlgError where an inverse is needed and there is none.
        """
        ...

    def linalg_matrix_rank(self, x: Ref, rtol: float | None = None, *, name: str | None = None) -> Ref:
        """The rank of matrices: how many singular values are above rtol times the largest.

        Args:
            x: `(*l, m, n)`.
            rtol: a plain number; None means max(m, n)·eps of the dtype.

        Returns: `l`, int64.
        Derivative: none.
        Example: `linalg_matrix_rank([[1, 2], [2, 4]])` is `1`.
        """
        ...

    def linalg_matrix_power(self, x: Ref, n: int, *, name: str | None = None) -> Ref:
        """An integer power of matrices, by repeated squaring; a composite of `matmul` and `linalg_inv`.

        Args:
            x: `(*k, m, m)`.
            n: the power; below 0 one of the inverse, 0 gives the identity.

        Returns: `(*k, m, m)`.
        Raises: OptionError unless n is an int; LinAlgError for a negative power of a singular matrix.
        """
        ...

    def linalg_expm(self, x: Ref, *, name: str | None = None) -> Ref:
        """The exponential of matrices, Σ xᵏ/k!, by scaling, squaring and a Padé approximant of degree 13.

        Args:
            x: `(*k, n, n)`.

        Returns: `(*k, n, n)`.
        Derivative: the upper right block of the exponential of (xᵀ g; 0 xᵀ).
        Source: Higham 2005.
        """
        ...

    def linalg_cross(self, a: Ref, b: Ref, axis: int = -1, *, name: str | None = None) -> Ref:
        """The vector product of vectors of three components.

        Args:
            a, b: arrays that broadcast, with 3 entries along the axis.
            axis: the axis; negative ones count from the end.

        Returns: the shape to which they broadcast.
        Example: `linalg_cross([1, 0, 0], [0, 1, 0])` is `[0, 0, 1]`.
        """
        ...

    def linalg_vecdot(self, a: Ref, b: Ref, axis: int = -1, *, name: str | None = None) -> Ref:
        """The inner product of vectors: Σ a b along an axis.

        Args:
            a, b: arrays that broadcast.
            axis: the axis, counted from the end where they have different numbers of axes.

        Returns: the shape to which they broadcast, without the axis.
        """
        ...
