"""Sums, means, maxima and running sums along axes."""

from __future__ import annotations

from typing import Protocol

from .ref import Ints, Ref


class ReduceOps(Protocol):
    """Reductions."""

    def reduce_sum(self, x: Ref, axis: Ints, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """Sum over one axis or several; 0 over nothing.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes; negative ones count from the end.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice.
        Derivative: g repeated along the reduced axes.
        """
        ...

    def reduce_mean(self, x: Ref, axis: Ints, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """Mean over one axis or several.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes; negative ones count from the end.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice; ShapeError for a mean over nothing.
        Derivative: g/n repeated along the reduced axes, n the number of elements averaged.
        """
        ...

    def reduce_max(self, x: Ref, axis: Ints, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """Maximum over one axis or several; NaN where an element is NaN.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes; negative ones count from the end.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice; ShapeError for a maximum over nothing.
        Derivative: g to the first maximum in row-major order (the first NaN, where there is one), 0 elsewhere.
        """
        ...

    def sum(self, x: Ref, *, name: str | None = None) -> Ref:
        """Sum of all elements; 0 for an array with none.

        Args:
            x: `s`.

        Returns: `()`.
        """
        ...

    def mean(self, x: Ref, *, name: str | None = None) -> Ref:
        """Mean of all elements.

        Args:
            x: `s`.

        Returns: `()`.
        Raises: ShapeError for an array with no elements.
        """
        ...

    def argmax(self, x: Ref, axis: int = -1, *, name: str | None = None) -> Ref:
        """Index of the first maximum along an axis (of the first NaN, where there is one).

        Args:
            x: `s`.
            axis: the axis; negative ones count from the end.

        Returns: `s` without the axis, int64.
        Raises: IndexRangeError if there is no such axis; ShapeError if it is empty.
        Derivative: none.
        """
        ...

    def cumsum(self, x: Ref, axis: int, *, name: str | None = None) -> Ref:
        """Running sum along an axis: y[j] = x[0] + … + x[j].

        Args:
            x: `s`.
            axis: the axis; negative ones count from the end.

        Returns: `s`.
        Raises: IndexRangeError if there is no such axis.
        Derivative: the running sum of g from the end.
        """
        ...
