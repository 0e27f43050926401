"""Reductions that leave out NaN, counts and order."""

from __future__ import annotations

from typing import Protocol

from ..ref import Ints, Ref


class PresentOps(Protocol):
    """Reductions that leave out NaN, counts and order."""

    def nansum(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """The sum of what is not NaN; 0 over nothing.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Derivative: g to every element that is not NaN.
        Example: `nansum([1.0, nan, 3.0])` is `4`.
        """
        ...

    def nanprod(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """The product of what is not NaN; 1 over nothing.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Derivative: that of `prod` to every element that is not NaN.
        Example: `nanprod([2.0, nan, 3.0])` is `6`.
        """
        ...

    def nanmax(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """The greatest of what is not NaN; NaN where all are.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: ShapeError for a maximum over nothing.
        Derivative: g to the first maximum that is not NaN.
        Example: `nanmax([1.0, nan, 3.0])` is `3`.
        """
        ...

    def nanmin(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """The least of what is not NaN; NaN where all are.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: ShapeError for a minimum over nothing.
        Derivative: g to the first minimum that is not NaN.
        Example: `nanmin([1.0, nan, 3.0])` is `1`.
        """
        ...

    def nanmean(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """The mean of what is not NaN; NaN where all are.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Derivative: g/n to each of the n elements that are not NaN.
        Example: `nanmean([1.0, nan, 3.0])` is `2`.
        """
        ...

    def nanvar(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, correction: float = 0.0, *, name: str | None = None) -> Ref:
        """The variance of what is not NaN: Σ (x − mean)² / (n − correction); NaN where that is not above 0.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.
            correction: a plain number; 1 for the unbiased estimate of samples.

        Returns: `s` without the reduced axes (or with 1 there).
        Derivative: 2·(x − mean)·g/(n − correction) to each of the n elements that are not NaN.
        Example: `nanvar([1.0, nan, 3.0])` is `1`.
        """
        ...

    def nanstd(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, correction: float = 0.0, *, name: str | None = None) -> Ref:
        """The root of the variance of what is not NaN.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.
            correction: as for `nanvar`.

        Returns: `s` without the reduced axes (or with 1 there).
        Derivative: (x − mean)·g/((n − correction)·y) to each of the n elements that are not NaN; 0 where y is 0.
        Example: `nanstd([1.0, nan, 3.0])` is `1`.
        """
        ...

    def nanmedian(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """The middle of what is not NaN, the mean of the two in the middle where their number is even; NaN where all are.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: ShapeError over nothing.
        Derivative: g to the element in the middle, g/2 to each of two.
        Example: `nanmedian([3.0, nan, 1.0])` is `2`.
        """
        ...

    def nanquantile(self, x: Ref, q: float, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """What lies at q of the way from the least to the greatest of what is not NaN, between two of them linearly; NaN where all are.

        Args:
            x: `s`.
            q: a plain number between 0 and 1.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: OptionError if q is not between 0 and 1; ShapeError over nothing.
        Derivative: g shared between the two elements as they share the value.
        Example: `nanquantile([3.0, nan, 1.0], 0.25)` is `1.5`.
        """
        ...

    def count_nonzero(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """How many elements are not 0; NaN is not.

        Args:
            x: `s`, of any dtype.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there), int64.
        Derivative: none.
        Example: `count_nonzero([0, 3, 2])` is `2`.
        """
        ...

    def cummin(self, x: Ref, axis: int | None, *, name: str | None = None) -> Ref:
        """The running minimum along an axis: y[j] = min(x[0], …, x[j]); NaN from the first NaN on.

        Args:
            x: `s`.
            axis: the axis, negative ones counting from the end; None runs over all elements in row-major order.

        Returns: `s`; `(n,)` where the axis is None.
        Raises: IndexRangeError if there is no such axis.
        Derivative: as of `cummax`.
        Example: `cummin([3.0, 1.0, 2.0], 0)` is `[3, 1, 1]`.
        """
        ...

    def kthvalue(self, x: Ref, k: int, axis: int = -1, keepdims: bool = False, *, name: str | None = None) -> tuple[Ref, Ref]:
        """The k-th of the elements in order along an axis, NaN last, and its place.

        Args:
            x: `s`, of any dtype.
            k: from 1, the least, to the size of the axis.
            axis: the axis; negative ones count from the end.
            keepdims: keep the axis with size 1.

        Returns: `s` without the axis (or with 1 there), twice: the element, of x's dtype; its place, int64.
        Raises: IndexRangeError if there is no such axis; OptionError for another k.
        Derivative: g to the element.
        Example: `kthvalue([3.0, 1.0, 2.0], 2)[0]` is `2`.
        """
        ...
