"""Reading and adding at indices. Indices count from 0, are integers, and never have a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ...arguments.literals import Bag, OutOfRange, Write
from .ref import Index, Ref


class IndexingOps(Protocol):
    """Reading and adding at indices."""

    def take(self, x: Ref, indices: Index, axis: int | None = None, mode: OutOfRange = "raise", *, name: str | None = None) -> Ref:
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

    def take_along_axis(self, x: Ref, indices: Index, axis: int = -1, mode: OutOfRange = "raise", *, name: str | None = None) -> Ref:
        """Entries along an axis, chosen at each place along the others: for axis 0, y[i, j, …] = x[indices[i, j, …], j, …].

        Args:
            x: `s`.
            indices: integer, of as many axes; it and x broadcast along all axes but this one.
            axis: the axis; negative ones count from the end.
            mode: what an index out of range does: see `take`.

        Returns: the shape of x and indices together, with the size of indices along the axis.
        Raises: IndexRangeError if an index is out of range (where it is a run-time input: when the program runs).
        Derivative: at each entry the sum of g over the places that read it.
        """
        ...

    def put_along_axis(
        self,
        x: Ref,
        indices: Index,
        values: Ref,
        axis: int = -1,
        how: Write = "set",
        mode: OutOfRange = "raise",
        *,
        name: str | None = None,
    ) -> Ref:
        """A copy of x with values written along an axis: for axis 0, y[indices[i, j, …], j, …] = values[i, j, …].

        Args:
            x: `s`.
            indices: integer, of as many axes; it and x broadcast along all axes but this one.
            values: an array that broadcasts to the shape of the places, or a number.
            axis: the axis; negative ones count from the end.
            how: "set", where the last one stays; "add", "max" or "min" with what is there.
            mode: what an index out of range does: see `take`.

        Returns: `s`.
        Raises: IndexRangeError if an index is out of range (where it is a run-time input: when the program runs).
        Derivative: of each kind as of `x.at[…]`.
        """
        ...

    def gather_nd(self, x: Ref, indices: Index, mode: OutOfRange = "raise", *, name: str | None = None) -> Ref:
        """The parts of x that tuples of indices name: y[…] = x[indices[…, 0], …, indices[…, k − 1]].

        Args:
            x: `(n1, …, nk, *s)`.
            indices: `(*b, k)`, integer; negative ones count from the end.
            mode: what an index out of range does: see `take`.

        Returns: `(*b, *s)`.
        Raises: IndexRangeError if an index is out of range (where it is a run-time input: when the program runs).
        Derivative: at each part the sum of g over the tuples that name it, in their order.
        """
        ...

    def scatter_nd(self, updates: Ref, indices: Index, shape: Sequence[int], mode: OutOfRange = "raise", *, name: str | None = None) -> Ref:
        """Zeros with updates added at the parts that tuples of indices name, in their order: the adjoint of `gather_nd`.

        Args:
            updates: `(*b, *s)`.
            indices: `(*b, k)`, integer; negative ones count from the end.
            shape: `(n1, …, nk, *s)`.
            mode: what an index out of range does: see `take`.

        Returns: `(n1, …, nk, *s)`; int64 of integers and Booleans.
        Raises: IndexRangeError if an index is out of range (where it is a run-time input: when the program runs).
        Derivative: g at the parts named.
        """
        ...

    def segment_sum(self, x: Ref, ids: Index, count: int, mode: OutOfRange = "strict", *, name: str | None = None) -> Ref:
        """The sum of the rows of each segment, in their order: y[i] is the sum of the x[j] with ids[j] = i, 0 if there is none.

        Args:
            x: `(*k, *s)`.
            ids: `k`, integer, 0 ≤ id < count: the segment of each row, in any order.
            count: the number of segments.
            mode: "strict" refuses a number out of range, negative ones too; "drop" leaves its row out.

        Returns: `(count, *s)`; int64 of integers and Booleans.
        Raises: IndexRangeError if an index is out of range (where it is a run-time input: when the program runs).
        Derivative: dx[j] = g[ids[j]].
        """
        ...

    def segment_mean(self, x: Ref, ids: Index, count: int, mode: OutOfRange = "strict", *, name: str | None = None) -> Ref:
        """The mean of the rows of each segment, 0 if there is none.

        Args:
            x: `(*k, *s)`.
            ids: `k`, integer, 0 ≤ id < count: the segment of each row, in any order.
            count: the number of segments.
            mode: "strict" refuses a number out of range, negative ones too; "drop" leaves its row out.

        Returns: `(count, *s)`.
        Raises: IndexRangeError if an index is out of range (where it is a run-time input: when the program runs).
        Derivative: dx[j] = g[ids[j]] divided by the rows of the segment.
        """
        ...

    def segment_max(self, x: Ref, ids: Index, count: int, mode: OutOfRange = "strict", *, name: str | None = None) -> Ref:
        """The greatest of the rows of each segment, element by element; −∞, or the least integer, if there is none.

        Args:
            x: `(*k, *s)`.
            ids: `k`, integer, 0 ≤ id < count: the segment of each row, in any order.
            count: the number of segments.
            mode: "strict" refuses a number out of range, negative ones too; "drop" leaves its row out.

        Returns: `(count, *s)`.
        Raises: IndexRangeError if an index is out of range (where it is a run-time input: when the program runs).
        Derivative: g to the greatest; those that are equal share it.
        """
        ...

    def segment_min(self, x: Ref, ids: Index, count: int, mode: OutOfRange = "strict", *, name: str | None = None) -> Ref:
        """The smallest of the rows of each segment, element by element; ∞, or the greatest integer, if there is none.

        Args:
            x: `(*k, *s)`.
            ids: `k`, integer, 0 ≤ id < count: the segment of each row, in any order.
            count: the number of segments.
            mode: "strict" refuses a number out of range, negative ones too; "drop" leaves its row out.

        Returns: `(count, *s)`.
        Raises: IndexRangeError if an index is out of range (where it is a run-time input: when the program runs).
        Derivative: g to the smallest; those that are equal share it.
        """
        ...

    def dynamic_slice(self, x: Ref, starts: Index, sizes: Sequence[int], mode: OutOfRange = "raise", *, name: str | None = None) -> Ref:
        """A box of fixed sizes whose place is known at run time: y[i, …] = x[starts[0] + i, …].

        Args:
            x: `s`.
            starts: one integer for each axis: a vector, or a sequence of numbers and references; negative ones count from the end.
            sizes: of the box.
            mode: what a box that is not inside x does. "raise"; "clip" moves it to the nearest place inside, and a negative start to 0;
                "fill" takes zeros alone.

        Returns: `sizes`.
        Raises: IndexRangeError if the box is not inside x (where a start is a run-time input: when the program runs).
        Derivative: g in the box, 0 elsewhere.
        """
        ...

    def dynamic_update_slice(self, x: Ref, v: Ref, starts: Index, mode: OutOfRange = "raise", *, name: str | None = None) -> Ref:
        """A copy of x with v written to a box whose place is known at run time: y[starts[0] + i, …] = v[i, …].

        Args:
            x: `s`.
            v: of as many axes, none longer than those of x.
            starts: as for `dynamic_slice`.
            mode: what a box that is not inside x does: as for `dynamic_slice`; "fill" writes nothing.

        Returns: `s`.
        Raises: IndexRangeError if the box is not inside x (where a start is a run-time input: when the program runs).
        Derivative: g in the box to v, elsewhere to x.
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

    def embedding_bag(
        self,
        table: Ref,
        indices: Index,
        offsets: Index | None = None,
        mode: Bag = "mean",
        weights: Ref | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """The rows of a table that each bag of indices names, as one: their sum, mean or maximum; a composite.

        Args:
            table: `(count, size)`.
            indices: integer, `(N, n)`: a bag each row; with offsets `(n,)`, one bag after another.
            offsets: integer, `(N,)`: where each bag begins, the first at 0, ascending; or None.
            mode: "sum", "mean" or "max".
            weights: of each index, its shape, with "sum"; or None.

        Returns: `(N, size)`; zeros for an empty bag.
        Raises: IndexRangeError for an index out of range; OptionError for another mode; ShapeError if the shapes do not go together.
        Derivative: at each row of the table the sum of g over the bags that name it.
        """
        ...
