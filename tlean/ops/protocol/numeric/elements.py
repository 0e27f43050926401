"""Functions of an element, made of other ops."""

from __future__ import annotations

from typing import Protocol

from ..ref import Ref


class NumericOps(Protocol):
    """Functions of an element, made of other ops."""

    def nan_to_num(
        self, x: Ref, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None, *, name: str | None = None
    ) -> Ref:
        """Finite numbers in place of NaN and infinities.

        Args:
            x: `s`.
            nan: what replaces NaN.
            posinf, neginf: what replaces ∞ and −∞; None means the largest finite number of x's dtype, and the least.

        Returns: `s`, of x's dtype.
        Derivative: g where x is finite, 0 elsewhere.
        Example: `nan_to_num([1.0, nan], 5.0)` is `[1, 5]`.
        """
        ...

    def lerp(self, a: Ref, b: Ref, weight: Ref | float, *, name: str | None = None) -> Ref:
        """What lies at a part of the way from a to b: a + weight·(b − a).

        Args:
            a, b: arrays that broadcast.
            weight: a plain number, or an array that broadcasts with them.

        Returns: the shape to which they broadcast.
        Derivative: (1 − weight)·g, weight·g, (b − a)·g.
        Example: `lerp([0.0, 2.0], [4.0, 2.0], 0.25)` is `[1, 2]`.
        """
        ...

    def addcmul(self, x: Ref, a: Ref, b: Ref, value: float = 1.0, *, name: str | None = None) -> Ref:
        """A product added: x + value·a·b.

        Args:
            x, a, b: arrays that broadcast.
            value: a plain number.

        Returns: the shape to which they broadcast.
        Derivative: g, value·b·g, value·a·g.
        Example: `addcmul([1.0], [2.0], [3.0], 0.5)` is `[4]`.
        """
        ...

    def addcdiv(self, x: Ref, a: Ref, b: Ref, value: float = 1.0, *, name: str | None = None) -> Ref:
        """A quotient added: x + value·a/b.

        Args:
            x, a, b: arrays that broadcast.
            value: a plain number.

        Returns: the shape to which they broadcast.
        Derivative: g, value·g/b, −value·a·g/b².
        Example: `addcdiv([1.0], [2.0], [4.0])` is `[1.5]`.
        """
        ...

    def fmax(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """The greater of two; of a number and NaN the number.

        Args:
            a, b: arrays that broadcast.

        Returns: the shape to which they broadcast.
        Derivative: that of `maximum`, or g to the number.
        Example: `fmax([1.0, nan], [2.0, 3.0])` is `[2, 3]`.
        """
        ...

    def fmin(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """The lesser of two; of a number and NaN the number.

        Args:
            a, b: arrays that broadcast.

        Returns: the shape to which they broadcast.
        Derivative: that of `minimum`, or g to the number.
        Example: `fmin([1.0, nan], [2.0, 3.0])` is `[1, 3]`.
        """
        ...

    def heaviside(self, x: Ref, at_zero: Ref, *, name: str | None = None) -> Ref:
        """The unit step: 0 below 0, 1 above, at_zero at 0; NaN for NaN.

        Args:
            x: an array.
            at_zero: an array that broadcasts with it.

        Returns: the shape to which they broadcast.
        Derivative: 0; of at_zero g where x is 0.
        Example: `heaviside([-2.0, 0.0, 2.0], 0.5)` is `[0, 0.5, 1]`.
        """
        ...

    def sinc(self, x: Ref, *, name: str | None = None) -> Ref:
        """The normalised cardinal sine: y = sin πx / (πx), 1 at 0.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: (cos πx − y)·g/x, 0 at 0.
        Example: `sinc([0.0, 0.5])` is `[1, 0.63661977]`.
        """
        ...

    def frac(self, x: Ref, *, name: str | None = None) -> Ref:
        """What is behind the point, with x's sign: y = x − trunc x.

        Args:
            x: `s`, of floats.

        Returns: `s`.
        Raises: DTypeError for integers.
        Derivative: g.
        Example: `frac([1.5, -1.25])` is `[0.5, -0.25]`.
        """
        ...

    def deg2rad(self, x: Ref, *, name: str | None = None) -> Ref:
        """Degrees as radians: y = x·π/180.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: g·π/180.
        """
        ...

    def rad2deg(self, x: Ref, *, name: str | None = None) -> Ref:
        """Radians as degrees: y = x·180/π.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: g·180/π.
        """
        ...

    def hardsigmoid(self, x: Ref, *, name: str | None = None) -> Ref:
        """The sigmoid in three straight pieces: y = min(max(x/6 + 1/2, 0), 1).

        Args:
            x: `s`.

        Returns: `s`, in [0, 1].
        Derivative: g/6 where |x| < 3, 0 elsewhere.
        Source: Courbariaux, Bengio & David 2015.
        Example: `hardsigmoid([-4.0, 0.0, 3.0])` is `[0, 0.5, 1]`.
        """
        ...

    def hardshrink(self, x: Ref, threshold: float = 0.5, *, name: str | None = None) -> Ref:
        """x where |x| is above a threshold, 0 elsewhere.

        Args:
            x: `s`.
            threshold: a plain number.

        Returns: `s`.
        Derivative: g where |x| is above the threshold, 0 elsewhere.
        Example: `hardshrink([-1.0, 0.25, 2.0])` is `[-1, 0, 2]`.
        """
        ...

    def softshrink(self, x: Ref, threshold: float = 0.5, *, name: str | None = None) -> Ref:
        """x moved towards 0 by a threshold, and 0 where it would cross it.

        Args:
            x: `s`.
            threshold: a plain number.

        Returns: `s`.
        Derivative: g where |x| is above the threshold, 0 elsewhere.
        Example: `softshrink([-1.0, 0.25, 2.0])` is `[-0.5, 0, 1.5]`.
        """
        ...

    def tanhshrink(self, x: Ref, *, name: str | None = None) -> Ref:
        """What tanh takes away: y = x − tanh x.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: tanh² x · g.
        """
        ...

    def threshold(self, x: Ref, threshold: float, value: float, *, name: str | None = None) -> Ref:
        """x where it is above a threshold, a value elsewhere.

        Args:
            x: `s`.
            threshold, value: plain numbers.

        Returns: `s`.
        Derivative: g where x is above the threshold, 0 elsewhere.
        Example: `threshold([1.0, 3.0], 2.0, -1.0)` is `[-1, 3]`.
        """
        ...
