"""Arrays arranged, repeated, cut and multiplied out, by NumPy's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ...arguments.literals import Padding
from .ref import Ints, Ref


class ArrangingOps(Protocol):
    """Arrays arranged, repeated, cut and multiplied out."""

    def expand_dims(self, x: Ref, axis: Ints, *, name: str | None = None) -> Ref:
        """Axes of size 1 at these places of the result; a composite.

        Args:
            x: `s`, of any dtype.
            axis: a place or several, each in the result; negative ones count from its end.

        Returns: `s` with the new axes.
        Raises: IndexRangeError if there is no such place; OptionError for one named twice.
        Example: `expand_dims([1, 2], 0)` is `[[1, 2]]`.
        """
        ...

    def squeeze(self, x: Ref, axis: Ints | None = None, *, name: str | None = None) -> Ref:
        """Without axes of size 1; a composite.

        Args:
            x: `s`, of any dtype.
            axis: an axis or several of size 1; None for all of them.

        Returns: `s` without the axes.
        Raises: ShapeError for an axis of another size; IndexRangeError if there is no such axis.
        Example: `squeeze([[1, 2]])` is `[1, 2]`.
        """
        ...

    def moveaxis(self, x: Ref, source: Ints, destination: Ints, *, name: str | None = None) -> Ref:
        """Some axes moved to other places, the rest in the order that they have; a composite.

        Args:
            x: `s`, of any dtype.
            source: an axis or several.
            destination: the place of each in the result.

        Returns: the sizes of `s`, reordered.
        Raises: IndexRangeError if there is no such axis; OptionError for one named twice.
        Example: `moveaxis(x, 0, -1)` of x `(2, 3, 4)` is `(3, 4, 2)`.
        """
        ...

    def swapaxes(self, x: Ref, axis1: int, axis2: int, *, name: str | None = None) -> Ref:
        """Two axes exchanged; a composite.

        Args:
            x: `s`, of any dtype.
            axis1, axis2: the axes; negative ones count from the end.

        Returns: `s` with two sizes exchanged.
        Raises: IndexRangeError if there is no such axis.
        Example: `swapaxes([[1, 2], [3, 4]], 0, 1)` is `[[1, 3], [2, 4]]`.
        """
        ...

    def flip(self, x: Ref, axis: Ints | None = None, *, name: str | None = None) -> Ref:
        """The entries along these axes in the opposite order; a composite.

        Args:
            x: `s`, of any dtype.
            axis: an axis or several; None for all.

        Returns: `s`.
        Raises: IndexRangeError if there is no such axis.
        Derivative: g, flipped.
        Example: `flip([1, 2, 3])` is `[3, 2, 1]`.
        """
        ...

    def roll(self, x: Ref, shift: Ints, axis: Ints | None = None, *, name: str | None = None) -> Ref:
        """The entries moved along axes; those that leave at one end enter at the other; a composite.

        Args:
            x: `s`, of any dtype.
            shift: by how many places, towards the end; one for all axes, or one for each.
            axis: an axis or several; None for that of all elements in row-major order.

        Returns: `s`.
        Raises: IndexRangeError if there is no such axis.
        Derivative: g, moved back.
        Example: `roll([1, 2, 3], 1)` is `[3, 1, 2]`.
        """
        ...

    def tile(self, x: Ref, reps: Ints, *, name: str | None = None) -> Ref:
        """The array laid side by side so many times along each axis; a composite.

        Args:
            x: `s`, of any dtype.
            reps: how often along each axis, aligned at the right as in NumPy.

        Returns: the sizes of `s`, each times its number.
        Raises: OptionError for a negative number.
        Derivative: the sum of g over the copies.
        Example: `tile([1, 2], 2)` is `[1, 2, 1, 2]`.
        """
        ...

    def repeat(self, x: Ref, repeats: Ints, axis: int | None = None, *, name: str | None = None) -> Ref:
        """Each entry of an axis so many times in a row; a composite.

        Args:
            x: `s`, of any dtype.
            repeats: how often, an int for all entries or one for each.
            axis: the axis; None for that of all elements in row-major order.

        Returns: `s` with the axis as long as the entries are together.
        Raises: IndexRangeError if there is no such axis; ShapeError for another number of ints; OptionError for a negative one.
        Derivative: the sum of g over the copies of each entry.
        Example: `repeat([1, 2], 2)` is `[1, 1, 2, 2]`.
        """
        ...

    def meshgrid(self, *xs: Ref, indexing: str = "xy", sparse: bool = False, name: str | None = None) -> tuple[Ref, ...]:
        """The coordinates of a grid, from those along each of its axes; a composite.

        Args:
            xs: for each axis `(n,)` or a scalar, of any dtype.
            indexing: "ij", or "xy", which exchanges the first two axes of the results.
            sparse: whether each result has size 1 along the axes of the others.

        Returns: a tuple of as many arrays of one shape.
        Raises: OptionError for another `indexing`; ShapeError for more than one axis.
        Derivative: the sum of g along the other axes.
        Example: `meshgrid([1, 2], [3, 4])` is `[[1, 2], [1, 2]]` and `[[3, 3], [4, 4]]`.
        """
        ...

    def pad_by(self, x: Ref, widths: Sequence[tuple[int, int]], mode: Padding = "reflect", *, name: str | None = None) -> Ref:
        """An array with copies of its entries around it; a composite. `pad` adds a number.

        Args:
            x: `s`, of any dtype.
            widths: for each axis (how many before, how many after), both at least 0.
            mode: `"reflect"`: mirrored at the first and the last entry; `"symmetric"`: mirrored beside them; `"edge"` or `"replicate"`:
                these entries themselves; `"wrap"` or `"circular"`: those of the other end.

        Returns: along axis i, s[i] + widths[i][0] + widths[i][1].
        Raises: OptionError for another mode, or if there is not one pair for each axis; ShapeError for an empty axis.
        Derivative: the sum of g over the places of each entry.
        Example: `pad_by([1, 2, 3], [(2, 1)])` is `[3, 2, 1, 2, 3, 2]`.
        """
        ...

    def unfold(
        self, x: Ref, kernel: Sequence[int], stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, *, name: str | None = None
    ) -> Ref:
        """The windows of an image as columns (im2col); a composite.

        Args:
            x: `(*k, C, *spatial)`, with as many spatial axes as the kernel has.
            kernel: the cells of a window along each spatial axis.
            stride: the distance of windows.
            padding: zeros at both ends of each spatial axis.
            dilation: the distance of a window's cells.

        Returns: `(*k, C·cells, windows)`, channels and then cells in row-major order.
        Raises: ShapeError for a kernel that does not fit.
        Derivative: each element the sum of g over the windows that it is in.
        Example: `unfold([[1, 2, 3]], (2,))` is `[[1, 2], [2, 3]]`.
        """
        ...

    def split(self, x: Ref, parts: Ints, axis: int = 0, *, name: str | None = None) -> tuple[Ref, ...]:
        """An array cut along an axis; a composite.

        Args:
            x: `s`, of any dtype.
            parts: how many equal parts, or the indices at which to cut.
            axis: the axis; negative ones count from the end.

        Returns: a tuple of the parts.
        Raises: ShapeError if the parts are not equal; IndexRangeError if there is no such axis.
        Derivative: g at the entries of the part, 0 elsewhere.
        Example: `split([1, 2, 3], [1])` is `[1]` and `[2, 3]`.
        """
        ...

    def chunk(self, x: Ref, chunks: int, axis: int = 0, *, name: str | None = None) -> tuple[Ref, ...]:
        """An array cut along an axis into at most so many parts of one size; the last one may be smaller; a composite.

        Args:
            x: `s`, of any dtype, n entries along the axis.
            chunks: how many parts, each of ⌈n / chunks⌉ entries.
            axis: the axis; negative ones count from the end.

        Returns: a tuple of the parts.
        Raises: OptionError for less than 1; IndexRangeError if there is no such axis.
        Derivative: g at the entries of the part, 0 elsewhere.
        Example: `chunk([1, 2, 3], 2)` is `[1, 2]` and `[3]`.
        """
        ...

    def diagonal(self, x: Ref, offset: int = 0, axis1: int = 0, axis2: int = 1, *, name: str | None = None) -> Ref:
        """The diagonal of the matrices that two axes make; a composite.

        Args:
            x: `s`, two axes or more, of any dtype.
            offset: above the main diagonal if positive, below if negative.
            axis1, axis2: the axes of rows and of columns.

        Returns: `s` without the two axes, and the diagonal as the last.
        Raises: ShapeError for fewer than two axes; IndexRangeError if there is no such axis.
        Derivative: g on the diagonal, 0 elsewhere.
        Example: `diagonal([[1, 2], [3, 4]])` is `[1, 4]`.
        """
        ...

    def diag(self, x: Ref, k: int = 0, *, name: str | None = None) -> Ref:
        """The matrix with a vector as its diagonal, or the diagonal of a matrix; a composite.

        Args:
            x: `(n,)` or `(m, n)`, of any dtype.
            k: above the main diagonal if positive, below if negative.

        Returns: `(n + |k|, n + |k|)` of a vector; of a matrix its diagonal.
        Raises: ShapeError for another number of axes.
        Derivative: the diagonal of g; of a matrix, g on the diagonal.
        Example: `diag([1, 2])` is `[[1, 0], [0, 2]]`.
        """
        ...

    def trace(self, x: Ref, offset: int = 0, axis1: int = 0, axis2: int = 1, *, name: str | None = None) -> Ref:
        """The sum of a diagonal; a composite.

        Args:
            x: `s`, two axes or more.
            offset: above the main diagonal if positive, below if negative.
            axis1, axis2: the axes of rows and of columns.

        Returns: `s` without the two axes.
        Raises: as `diagonal`.
        Derivative: g on the diagonal, 0 elsewhere.
        Example: `trace([[1, 2], [3, 4]])` is `5`.
        """
        ...

    def tril(self, x: Ref, k: int = 0, *, name: str | None = None) -> Ref:
        """The lower triangle of matrices: x[…, i, j] where j − i ≤ k, else 0.

        Args:
            x: `(*k, m, n)`, of any dtype.
            k: the last diagonal that is kept.

        Returns: `(*k, m, n)`.
        Raises: ShapeError for fewer than two axes.
        Derivative: the lower triangle of g.
        Example: `tril([[1, 2], [3, 4]])` is `[[1, 0], [3, 4]]`.
        """
        ...

    def triu(self, x: Ref, k: int = 0, *, name: str | None = None) -> Ref:
        """The upper triangle of matrices: x[…, i, j] where j − i ≥ k, else 0.

        Args:
            x: `(*k, m, n)`, of any dtype.
            k: the first diagonal that is kept.

        Returns: `(*k, m, n)`.
        Raises: ShapeError for fewer than two axes.
        Derivative: the upper triangle of g.
        Example: `triu([[1, 2], [3, 4]])` is `[[1, 2], [0, 4]]`.
        """
        ...

    def outer(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """The product of every element of one array with every one of another; a composite.

        Args:
            a, b: arrays of any shape, n and m elements.

        Returns: `(n, m)`.
        Derivative: the sums of g times b over its columns, of g times a over its rows.
        Example: `outer([1, 2], [3, 4])` is `[[3, 4], [6, 8]]`.
        """
        ...

    def kron(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Kronecker product: b in place of every element of a, times it; a composite.

        Args:
            a, b: arrays; the one with fewer axes gets axes of size 1 in front.

        Returns: the product of the sizes along each axis.
        Derivative: as that of `outer`, whose elements it has.
        Example: `kron([1, 2], [1, 1])` is `[1, 1, 2, 2]`.
        """
        ...

    def tensordot(self, a: Ref, b: Ref, axes: int | Sequence[Ints] = 2, *, name: str | None = None) -> Ref:
        """Sum of products over pairs of axes, by one matrix product; a composite.

        Args:
            a, b: arrays.
            axes: how many of a's last axes are paired with b's first, or the axes of a and those of b.

        Returns: the other sizes of a, then those of b.
        Raises: ShapeError if paired axes differ in size; OptionError, IndexRangeError for axes that there are not.
        Derivative: as `matmul`.
        Example: `tensordot(a, b, 1)` of matrices is their product.
        """
        ...
