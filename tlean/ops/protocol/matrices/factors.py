"""Linear algebra: factors of matrices, and what is solved and read with them. Free functions are in `tl.linalg`."""

from __future__ import annotations

from typing import Protocol

from ..ref import Ref


class MatrixOps(Protocol):
    """Factors of matrices, and what is solved and read with them.

    Matrices are the last two axes; those before are a batch, along which two arguments broadcast. A matrix that is singular, or not
    positive definite, raises LinAlgError where the op runs at once, and gives NaN in compiled programs.
    """

    def linalg_cholesky(self, x: Ref, *, name: str | None = None) -> Ref:
        """Cholesky factor: the lower triangular L with L Lᵀ = (x + xᵀ)/2, with a positive diagonal.

        Args:
            x: `(*k, n, n)`, whose symmetric part is positive definite.

        Returns: `(*k, n, n)`, zeros above the diagonal.
        Raises: LinAlgError where a matrix is not positive definite.
        Derivative: that of the symmetric part: L⁻ᵀ (P + Pᵀ) L⁻¹ / 2 with P the lower triangle of Lᵀ g, its diagonal halved.
        Example: `linalg_cholesky([[4, 2], [2, 10]])` is `[[2, 0], [1, 3]]`.
        """
        ...

    def linalg_solve_triangular(
        self, a: Ref, b: Ref, lower: bool = False, transpose: bool = False, unit_diagonal: bool = False, *, name: str | None = None
    ) -> Ref:
        """Triangular systems: y with T y = b, for the upper triangle T of a, or the lower one.

        Args:
            a: `(*k, n, n)`; its other triangle is not read.
            b: `(n,)` or `(*l, n, m)`.
            lower: T is the lower triangle.
            transpose: solve Tᵀ y = b.
            unit_diagonal: T's diagonal counts as ones.

        Returns: `(*k, n)` for a vector b, else `(*k, n, m)`.
        Raises: LinAlgError where T has a 0 on its diagonal.
        Derivative: db = T⁻ᵀ g; da = −db yᵀ, of T's entries.
        Example: `linalg_solve_triangular([[2, 1], [0, 4]], [4, 8])` is `[1, 2]`.
        """
        ...

    def linalg_cholesky_solve(self, b: Ref, factor: Ref, *, name: str | None = None) -> Ref:
        """Systems with a known Cholesky factor L: y with L Lᵀ y = b; a composite of two triangular solves.

        Args:
            b: `(n,)` or `(*l, n, m)`.
            factor: `(*k, n, n)`, lower triangular, as `linalg_cholesky` gives it.

        Returns: `(*k, n)` for a vector b, else `(*k, n, m)`.
        """
        ...

    def linalg_solve(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Linear systems: y with A y = b, by LU factors with partial pivoting. Derivatives use the same factors.

        Args:
            a: `(*k, n, n)`.
            b: `(n,)` or `(*l, n, m)`.

        Returns: `(*k, n)` for a vector b, else `(*k, n, m)`.
        Raises: LinAlgError where a matrix is singular.
        Derivative: db = A⁻ᵀ g; da = −db yᵀ.
        Example: `linalg_solve([[0, 2], [4, 0]], [4, 4])` is `[1, 2]`.
        """
        ...

    def linalg_inv(self, a: Ref, *, name: str | None = None) -> Ref:
        """Inverse matrices; `linalg_solve` is faster and more accurate where the inverse is only multiplied by something.

        Args:
            a: `(*k, n, n)`.

        Returns: `(*k, n, n)`.
        Raises: LinAlgError where a matrix is singular.
        Derivative: −A⁻ᵀ g A⁻ᵀ.
        """
        ...

    def linalg_det(self, a: Ref, *, name: str | None = None) -> Ref:
        """Determinants.

        Args:
            a: `(*k, n, n)`.

        Returns: `k`.
        Derivative: g det(A) A⁻ᵀ; NaN where A is singular.
        Example: `linalg_det([[1, 2], [3, 4]])` is `-2`.
        """
        ...

    def linalg_slogdet(self, a: Ref, *, name: str | None = None) -> tuple[Ref, Ref]:
        """The sign of determinants, and the logarithm of their size, which does not overflow.

        Args:
            a: `(*k, n, n)`.

        Returns: the signs `k`: 1, −1 or 0; the logarithms `k`: −∞ for a determinant of 0.
        Derivative: of the logarithm g A⁻ᵀ; of the sign none.
        """
        ...

    def linalg_logdet(self, a: Ref, *, name: str | None = None) -> Ref:
        """The logarithm of determinants above 0; NaN for those below.

        Args:
            a: `(*k, n, n)`.

        Returns: `k`.
        Derivative: g A⁻ᵀ.
        """
        ...

    def linalg_lu(self, a: Ref, *, name: str | None = None) -> tuple[Ref, Ref, Ref]:
        """LU factors by partial pivoting: a = P L U.

        Args:
            a: `(*k, m, n)`; r is the smaller of m and n.

        Returns: P `(*k, m, m)`, a permutation; L `(*k, m, r)`, lower triangular with ones on its diagonal; U `(*k, r, n)`, upper
            triangular.
        """
        ...

    def linalg_lu_factor(self, a: Ref, *, name: str | None = None) -> tuple[Ref, Ref]:
        """The same in the form in which it is computed.

        Args:
            a: `(*k, m, n)`.

        Returns: L without its diagonal and U, in one array `(*k, m, n)`; the row of a that each of its rows was, int64 `(*k, m)`.
        """
        ...
