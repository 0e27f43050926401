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

    def sum(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """Sum of all elements, or over one axis or several; 0 over nothing.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice.
        Derivative: g repeated along the reduced axes.
        """
        ...

    def mean(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """Mean of all elements, or over one axis or several.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice; ShapeError for a mean over nothing.
        Derivative: g/n repeated along the reduced axes, n the number of elements averaged.
        """
        ...

    def argmax(self, x: Ref, axis: Ints | None = -1, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """Index of the first maximum (of the first NaN, where there is one).

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all, the free function's default.
                Over several the index counts along them in row-major order.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there), int64.
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice; ShapeError for a maximum over nothing.
        Derivative: none.
        """
        ...

    def argmin(self, x: Ref, axis: Ints | None = -1, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """Index of the first minimum (of the first NaN, where there is one).

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all, the free function's default.
                Over several the index counts along them in row-major order.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there), int64.
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice; ShapeError for a minimum over nothing.
        Derivative: none.
        """
        ...

    def prod(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """Product of all elements, or over one axis or several; 1 over nothing.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice.
        Derivative: g times the product of the others of the run, which is also right where elements are 0.
        """
        ...

    def var(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, correction: float = 0.0, *, name: str | None = None) -> Ref:
        """Variance: the squared distances from the mean, summed, over n − correction for n elements.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.
            correction: 1 for the estimate without bias; NaN or infinity where it leaves no divisor, as in NumPy.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice; ShapeError for a variance of nothing.
        Derivative: 2g (x − mean)/(n − correction).
        """
        ...

    def std(self, x: Ref, axis: Ints | None = None, keepdims: bool = False, correction: float = 0.0, *, name: str | None = None) -> Ref:
        """Standard deviation: the square root of `var`.

        Args:
            x: `s`.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.
            correction: 1 for the square root of the estimate without bias.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice; ShapeError for a deviation of nothing.
        Derivative: g (x − mean)/((n − correction) y); 0 where y = 0.
        """
        ...

    def norm(self, x: Ref, ord: float | str = 2, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """Norm of the vectors along axes: (Σ |x|ᵖ)^(1/p) for p = ord.

        Args:
            x: `s`.
            ord: a number: 2 is the Euclidean norm (of a matrix's elements "fro"), 1 the sum of the sizes, 0 how many are not 0; inf the
                greatest size, -inf the least.
            axis: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there).
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice or ord is no number; ShapeError for the
            greatest or least of nothing.
        Derivative: g·x/y of the Euclidean norm, 0 where y = 0; of inf and -inf to the first that is greatest or least.
        """
        ...

    def cumsum(self, x: Ref, axis: int | None, *, name: str | None = None) -> Ref:
        """Running sum along an axis: y[j] = x[0] + … + x[j].

        Args:
            x: `s`.
            axis: the axis, a negative one counting from the end; None: all elements in row-major order.

        Returns: `s`, or `(n,)` of all n elements.
        Raises: IndexRangeError if there is no such axis.
        Derivative: the running sum of g from the end.
        """
        ...

    def cumprod(self, x: Ref, axis: int | None, *, name: str | None = None) -> Ref:
        """Running product along an axis: y[j] = x[0]·…·x[j].

        Args:
            x: `s`.
            axis: the axis, a negative one counting from the end; None: all elements in row-major order.

        Returns: `s`, or `(n,)` of all n elements.
        Raises: IndexRangeError if there is no such axis.
        Derivative: a linear recurrence of g from the end, which is also right where elements are 0.
        """
        ...

    def cummax(self, x: Ref, axis: int | None, *, name: str | None = None) -> Ref:
        """Running maximum along an axis: y[j] = max(x[0], …, x[j]); NaN from the first NaN on.

        Args:
            x: `s`, of any dtype.
            axis: the axis, a negative one counting from the end; None: all elements in row-major order.

        Returns: `s`, or `(n,)` of all n elements, of x's dtype.
        Raises: IndexRangeError if there is no such axis.
        Derivative: each g to the greatest element so far, of equal ones to the first.
        """
        ...

    def cumlogsumexp(self, x: Ref, axis: int | None, *, name: str | None = None) -> Ref:
        """Running logarithm of the sum of exponentials along an axis: y[j] = ln(e^x[0] + … + e^x[j]), without overflow.

        Args:
            x: `s`.
            axis: the axis, a negative one counting from the end; None: all elements in row-major order.

        Returns: `s`, or `(n,)` of all n elements.
        Raises: IndexRangeError if there is no such axis.
        Derivative: Σ g[k]·e^(x[j] − y[k]) over the results k from j on.
        """
        ...

    def diff(
        self,
        x: Ref,
        n: int = 1,
        axis: int = -1,
        prepend: Ref | float | None = None,
        append: Ref | float | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Differences of neighbours along an axis: y[j] = x[j + 1] − x[j], n times over.

        Args:
            x: `s`.
            n: how often differences are taken.
            axis: the axis; negative ones count from the end.
            prepend, append: joined to x along the axis before: an array, or a number for one entry.

        Returns: `s` with n entries less along the axis, none where there are no more.
        Raises: IndexRangeError if there is no such axis; OptionError if n is below 0 or x has no axis.
        """
        ...
