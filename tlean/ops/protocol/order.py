"""Order: sorts, the first in order, places in sorted arrays, medians and quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ...arguments.literals import Quantile, Side
from .ref import Ints, Ref


class OrderOps(Protocol):
    """Order."""

    def sort(self, x: Ref, axis: int | None = -1, descending: bool = False, *, name: str | None = None) -> Ref:
        """The elements in order along an axis, NaN last. Equal elements stay in their order.

        Args:
            x: `s`, of any dtype.
            axis: the axis, a negative one counting from the end; None: all elements as one.
            descending: from the greatest on, NaN first; equal elements stay in their order then too.

        Returns: `s`, or `(n,)` of all n elements, of x's dtype.
        Raises: IndexRangeError if there is no such axis.
        Derivative: each g to the element that came to its place.
        """
        ...

    def argsort(self, x: Ref, axis: int | None = -1, descending: bool = False, *, name: str | None = None) -> Ref:
        """The places of the elements in order along an axis, NaN last. Equal elements stay in their order.

        Args:
            x: `s`, of any dtype.
            axis: the axis, a negative one counting from the end; None: all elements in row-major order.
            descending: from the greatest on, NaN first; equal elements stay in their order then too.

        Returns: `s`, or `(n,)` of all n elements, int64.
        Raises: IndexRangeError if there is no such axis.
        Derivative: none.
        """
        ...

    def topk(self, x: Ref, k: int, axis: int = -1, largest: bool = True, *, name: str | None = None) -> tuple[Ref, Ref]:
        """The k greatest elements along an axis and their places, from the greatest on; of equal ones the first. NaN counts as greatest.

        Args:
            x: `s`, of any dtype.
            k: how many, at most the size of the axis.
            axis: the axis; negative ones count from the end.
            largest: False for the k least, from the least on.

        Returns: `s` with k entries along the axis, of x's dtype; and their places, int64.
        Raises: IndexRangeError if there is no such axis; OptionError if k is not between 0 and its size.
        Derivative: each g to the element that it belongs to.
        """
        ...

    def searchsorted(self, a: Ref, v: Ref, side: Side = "left", *, name: str | None = None) -> Ref:
        """Where each of v would be put into a sorted vector.

        Args:
            a: `(n,)`, in order, of any dtype; where it is not, the place is that of a search by halves.
            v: `s`.
            side: "left" before elements that are equal, "right" behind them.

        Returns: `s`, int64, between 0 and n.
        Raises: ShapeError if a is no vector; OptionError for another side.
        Derivative: none.
        """
        ...

    def median(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """The middle of the sorted elements, the mean of the two in the middle where their number is even; NaN where there is one.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice; ShapeError over nothing.
        Derivative: g to the element in the middle, g/2 to each of two.
        """
        ...

    def quantile(
        self,
        x: Ref,
        q: float | Sequence[float],
        axis: Ints | None = None,
        keepdims: bool = False,
        method: Quantile = "linear",
        *,
        name: str | None = None,
    ) -> Ref:
        """What lies at q of the way from the least to the greatest element; NaN where there is one.

        Args:
            x: `s`.
            q: a plain number between 0 and 1, or a vector of them.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.
            method: between two elements "linear", "lower", "higher", "nearest" (at the half that of even place), or "midpoint".

        Returns: `s` without the reduced axes (or with 1 there), after an axis for a vector q.
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice, q is not between 0 and 1 or there is no
            such method; ShapeError over nothing.
        Derivative: g shared between the two elements as they share the value.
        """
        ...
