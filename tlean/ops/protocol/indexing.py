"""Reading and adding at indices. Indices count from 0, are integers, and never have a gradient."""

from __future__ import annotations

from typing import Protocol

from .ref import Index, Ref


class IndexingOps(Protocol):
    """Reading and adding at indices."""

    def take(self, x: Ref, indices: Index, axis: int | None = None, mode: str = "raise", *, name: str | None = None) -> Ref:
        """Entries along an axis by number, or of the whole array in row-major order where it is None: y[…, j, …] = x[…, indices[j], …].

        Args:
            x: `s`.
            indices: `k`, integer; negative ones count from the end.
            axis: the axis; negative ones count from the end.
            mode: what an index out of range does. "raise"; "clip" takes the nearest entry, the first for every negative one, as in NumPy;
                "fill" takes zeros. "strict" and "drop" are "raise" and "fill" without counting from the end.

        Returns: `s` with the shape `k` in the place of the axis; `k` where the axis is None.
        Raises: IndexRangeError if an index is out of range (where it is a run-time input: when the program runs); OptionError for
            another mode.
        Derivative: at each entry the sum of the g[j] over the j that name it, in their order: repeated indices add up.
        """
        ...

    def gather_scalar(self, x: Ref, i: Index, *, name: str | None = None) -> Ref:
        """One element of a vector: y = x[i].

        Args:
            x: `(n,)`.
            i: `()`, integer, 0 ≤ i < n.

        Returns: `()`.
        Raises: IndexRangeError if i is negative or ≥ n (where i is a run-time input: when the program runs).
        Derivative: g at i, 0 elsewhere.
        """
        ...

    def gather_row(self, x: Ref, i: Index, *, name: str | None = None) -> Ref:
        """One row of a matrix: y = x[i, :].

        Args:
            x: `(r, c)`.
            i: `()`, integer, 0 ≤ i < r.

        Returns: `(c,)`.
        Raises: IndexRangeError if i is negative or ≥ r (where i is a run-time input: when the program runs).
        Derivative: g at row i, 0 elsewhere.
        """
        ...

    def gather_scalar_nat(self, x: Ref, i: Index, *, name: str | None = None) -> Ref:
        """One element of a vector, or 0: y = x[i] where 0 ≤ i < n, else 0.

        Args:
            x: `(n,)`.
            i: `()`, integer, any value.

        Returns: `()`.
        Derivative: g at i, 0 elsewhere; nothing where i is out of range.
        """
        ...

    def gather_vec_nat(self, x: Ref, idx: Index, *, name: str | None = None) -> Ref:
        """Elements of a vector, 0 for indices out of range: y[j] = x[idx[j]] where 0 ≤ idx[j] < n, else 0.

        Args:
            x: `(n,)`.
            idx: `(k,)`, integer, any values.

        Returns: `(k,)`.
        Derivative: dx[i] is the sum of g[j] over the j with idx[j] = i: repeated indices add up.
        """
        ...

    def gather_rows_nat(self, x: Ref, idx: Index, *, name: str | None = None) -> Ref:
        """Rows of a matrix, zero rows for indices out of range: y[j, :] = x[idx[j], :] where 0 ≤ idx[j] < r, else 0. An embedding.

        Args:
            x: `(r, c)`.
            idx: `(k,)`, integer, any values.

        Returns: `(k, c)`.
        Derivative: dx[i, :] is the sum of g[j, :] over the j with idx[j] = i: repeated indices add up.
        """
        ...

    def gather_scalar_ref(self, x: Ref, i: Index, *, name: str | None = None) -> Ref:
        """`gather_scalar_nat` with the index held by a session's `NatRef`.

        The index's value is the one it has where the op is recorded; a compiled plan takes it as a run-time input.

        Args:
            x: `(n,)`.
            i: a `NatRef`.

        Returns: `()`.
        """
        ...

    def gather_row_ref(self, x: Ref, i: Index, *, name: str | None = None) -> Ref:
        """One row of a matrix with the index held by a session's `NatRef`: a zero row where it is out of range.

        The index's value is the one it has where the op is recorded; a compiled plan takes it as a run-time input.

        Args:
            x: `(r, c)`.
            i: a `NatRef`.

        Returns: `(c,)`.
        Derivative: g at row i, 0 elsewhere; nothing where i is out of range.
        """
        ...

    def gather_vec_ref(self, x: Ref, idx: Index, *, name: str | None = None) -> Ref:
        """`gather_vec_nat` with the indices held by a session's `NatVecRef`.

        The indices' values are those they have where the op is recorded; a compiled plan takes them as a run-time input.

        Args:
            x: `(n,)`.
            idx: a `NatVecRef` of k indices.

        Returns: `(k,)`.
        """
        ...

    def gather_rows_ref(self, x: Ref, idx: Index, *, name: str | None = None) -> Ref:
        """`gather_rows_nat` with the indices held by a session's `NatVecRef`.

        The indices' values are those they have where the op is recorded; a compiled plan takes them as a run-time input.

        Args:
            x: `(r, c)`.
            idx: a `NatVecRef` of k indices.

        Returns: `(k, c)`.
        """
        ...

    def scatter_add_vec(self, x: Ref, v: Ref, i: Index, *, name: str | None = None) -> Ref:
        """A copy of a vector with one element increased: y = x, then y[i] += v.

        Args:
            x: `(n,)`.
            v: `()`.
            i: `()`, integer, 0 ≤ i < n.

        Returns: `(n,)`.
        Raises: IndexRangeError if i is negative or ≥ n (where i is a run-time input: when the program runs).
        Derivative: g to x, g[i] to v.
        """
        ...

    def scatter_add_row(self, x: Ref, v: Ref, i: Index, *, name: str | None = None) -> Ref:
        """A copy of a matrix with one row increased: y = x, then y[i, :] += v.

        Args:
            x: `(r, c)`.
            v: `(c,)`.
            i: `()`, integer, 0 ≤ i < r.

        Returns: `(r, c)`.
        Raises: IndexRangeError if i is negative or ≥ r (where i is a run-time input: when the program runs).
        Derivative: g to x, g[i, :] to v.
        """
        ...
