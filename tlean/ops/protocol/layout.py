"""Shapes, axes and joins: the same numbers in another arrangement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .ref import Ints, Ref


class LayoutOps(Protocol):
    """Shapes, axes and joins."""

    def detach(self, x: Ref, *, name: str | None = None) -> Ref:
        """Identity that stops the gradient: y = x.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: none, by definition.
        """
        ...

    def stop_gradient(self, x: Ref, *, name: str | None = None) -> Ref:
        """Alias of `detach`.

        Args:
            x: an array of any shape.
        """
        ...

    def flatten(self, x: Ref, *, name: str | None = None) -> Ref:
        """All elements in row-major order as one axis.

        Args:
            x: `s` with n elements (a scalar has one).

        Returns: `(n,)`.
        """
        ...

    def reshape(self, x: Ref, shape: Ints, *, name: str | None = None) -> Ref:
        """The same elements in row-major order under another shape.

        Args:
            x: `s`.
            shape: the new shape; one entry may be −1, which means what is left.

        Returns: `shape`.
        Raises: ShapeError if the sizes differ or the −1 is not determined.
        """
        ...

    def transpose2d(self, x: Ref, *, name: str | None = None) -> Ref:
        """Transpose of a matrix: y[j, i] = x[i, j].

        Args:
            x: `(m, n)`.

        Returns: `(n, m)`.
        """
        ...

    def transpose3d_first_to_last(self, x: Ref, *, name: str | None = None) -> Ref:
        """Move the first of three axes to the end: y[j, k, i] = x[i, j, k].

        Args:
            x: `(a, b, c)`.

        Returns: `(b, c, a)`.
        """
        ...

    def transpose3d_last_to_first(self, x: Ref, *, name: str | None = None) -> Ref:
        """Move the last of three axes to the front: y[k, i, j] = x[i, j, k].

        Args:
            x: `(a, b, c)`.

        Returns: `(c, a, b)`.
        """
        ...

    def transpose3d_last_two(self, x: Ref, *, name: str | None = None) -> Ref:
        """Swap the last two of three axes: y[i, k, j] = x[i, j, k].

        Args:
            x: `(a, b, c)`.

        Returns: `(a, c, b)`.
        """
        ...

    def swap_adjacent_at_depth(self, x: Ref, depth: int, *, name: str | None = None) -> Ref:
        """Swap axes `depth` and `depth + 1`; a depth with no such pair leaves x unchanged.

        Args:
            x: `s`.
            depth: the first of the two axes, counted from 0.

        Returns: `s` with two adjacent sizes swapped, or `s`.
        """
        ...

    def permute(self, x: Ref, axes: Sequence[int], *, name: str | None = None) -> Ref:
        """Reorder the axes: axis i of the result is axis `axes[i]` of x.

        Args:
            x: `s`, any rank.
            axes: a permutation of x's axes; negative ones count from the end.

        Returns: `(s[axes[0]], s[axes[1]], …)`.
        Raises: OptionError if `axes` is not a permutation.
        """
        ...

    def broadcast_to(self, x: Ref, shape: Ints, axis_map: Sequence[int] | None = None, *, name: str | None = None) -> Ref:
        """Repeat x along new axes and along axes of size 1.

        Args:
            x: `s`.
            shape: the shape of the result.
            axis_map: `axis_map[i]` is the axis of the result that axis i of x becomes; by default the axes are aligned at the right, as
                NumPy does. A broadcast aligned at the left needs it.

        Returns: `shape`.
        Raises: ShapeError if x does not stretch to `shape`; OptionError if `axis_map` does not name one distinct axis for each of x's.
        Derivative: the sum of g over the axes that were expanded.
        """
        ...

    def concat_vectors(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """One vector after another.

        Args:
            a: `(n,)`.
            b: `(m,)`.

        Returns: `(n + m,)`.
        """
        ...

    def concat_dim0(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Join two arrays along their first axis.

        Args:
            a: `(n, *k)`.
            b: `(m, *k)`.

        Returns: `(n + m, *k)`.
        Raises: ShapeError if the other axes differ.
        """
        ...

    def concat(self, xs: Sequence[Ref], axis: int = 0, *, name: str | None = None) -> Ref:
        """Join arrays along an axis that they have.

        Args:
            xs: one array or more, equal in shape except along `axis`.
            axis: the axis to join along; negative ones count from the end.

        Returns: the common shape, with the sum of the sizes along `axis`.
        Raises: ShapeError if the other axes differ or there is no array; IndexRangeError if there is no such axis.
        """
        ...

    def stack(self, xs: Sequence[Ref], axis: int = 0, *, name: str | None = None) -> Ref:
        """Join arrays of one shape along a new axis.

        Args:
            xs: n ≥ 1 arrays of one shape `s`.
            axis: the position of the new axis in the result; negative ones count from its end.

        Returns: `s` with n inserted at `axis`.
        Raises: ShapeError if the shapes differ or there is no array; IndexRangeError if there is no such axis.
        """
        ...

    def slice_range0(self, x: Ref, start: int, length: int, *, name: str | None = None) -> Ref:
        """A run of entries along the first axis: y = x[start : start + length].

        Args:
            x: `(n, *k)`.
            start, length: 0 ≤ start, 0 ≤ length, start + length ≤ n.

        Returns: `(length, *k)`.
        Raises: IndexRangeError if the run does not lie within the axis.
        Derivative: g at the entries taken, 0 elsewhere.
        """
        ...

    def slice(
        self, x: Ref, starts: Sequence[int], stops: Sequence[int], steps: Sequence[int] | None = None, *, name: str | None = None
    ) -> Ref:
        """A box of entries: y = x[starts[0]:stops[0]:steps[0], starts[1]:stops[1]:steps[1], …].

        Args:
            x: `s`.
            starts, stops: for each axis, 0 ≤ start ≤ stop ≤ size.
            steps: for each axis ≥ 1; all 1 by default.

        Returns: along axis i, ⌈(stops[i] − starts[i]) / steps[i]⌉.
        Raises: IndexRangeError if a start or stop does not lie within its axis; OptionError if there is not one for each axis, or a step
            is < 1.
        Derivative: g at the entries taken, 0 elsewhere.
        """
        ...

    def pad(self, x: Ref, widths: Sequence[tuple[int, int]], value: float = 0.0, *, name: str | None = None) -> Ref:
        """Add entries around an array.

        Args:
            x: `s`.
            widths: for each axis (how many before, how many after), both ≥ 0.
            value: what the new entries hold, a plain number.

        Returns: along axis i, s[i] + widths[i][0] + widths[i][1].
        Raises: OptionError if there is not one pair for each axis or a width is negative.
        Derivative: g at x's own entries.
        """
        ...
