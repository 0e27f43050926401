"""Rounding, remainders, powers, logarithms, and trigonometric and hyperbolic functions, element by element."""

from __future__ import annotations

from typing import Protocol

from .ref import Ref


class FunctionOps(Protocol):
    """Functions of the elements."""

    def floor(self, x: Ref, *, name: str | None = None) -> Ref:
        """Round down: y = ⌊x⌋, the greatest whole number that is at most x.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: none.
        """
        ...

    def ceil(self, x: Ref, *, name: str | None = None) -> Ref:
        """Round up: y = ⌈x⌉, the smallest whole number that is at least x.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: none.
        """
        ...

    def trunc(self, x: Ref, *, name: str | None = None) -> Ref:
        """Round towards zero: x without its fraction.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: none.
        """
        ...

    def round(self, x: Ref, *, name: str | None = None) -> Ref:
        """Round to the nearest whole number, to the even one where two are as near: 2.5 and 1.5 become 2.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: none.
        """
        ...

    def copysign(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Magnitude and sign: y = |a| with the sign of b; a zero has a sign too.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        Derivative: g with the sign of y/a to a, 0 where a = 0; none to b.
        """
        ...

    def fmod(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Remainder with the sign of a: y = a − b·trunc(a/b), exactly; NaN where b = 0.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        Derivative: g to a, −g·trunc(a/b) to b.
        """
        ...

    def remainder(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Remainder with the sign of b, as Python's `a % b`: y = a − b·⌊a/b⌋; NaN where b = 0, of integers 0.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`; of integers alone an integer.
        Raises: ShapeError if they do not broadcast.
        Derivative: g to a, −g·⌊a/b⌋ to b.
        """
        ...

    def floor_divide(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Quotient rounded down, as Python's `a // b`: y = ⌊a/b⌋; a/b where b = 0, of integers 0.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`; of integers alone an integer.
        Raises: ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def power(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Power with an array as exponent: y = aᵇ; 1 where b = 0, NaN where a < 0 unless b is whole. For a plain number see `pow`.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        Derivative: b·aᵇ⁻¹·g to a, 0 where b = 0; ln a·y·g to b, 0 where a = 0 and b ≥ 0.
        """
        ...

    def rsqrt(self, x: Ref, *, name: str | None = None) -> Ref:
        """Reciprocal square root: y = 1/√x; inf at 0, NaN below it.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: −½y³·g, IEEE.
        """
        ...

    def reciprocal(self, x: Ref, *, name: str | None = None) -> Ref:
        """Alias of `inv`.

        Args:
            x: `s`.

        Returns: `s`.
        """
        ...

    def cbrt(self, x: Ref, *, name: str | None = None) -> Ref:
        """Cube root: y = ∛x, of negative x too.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: g/(3y²): inf at 0.
        """
        ...

    def hypot(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Length of the hypotenuse: y = √(a² + b²), without overflow or underflow in between.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        Derivative: g·a/y to a, g·b/y to b; 0 where both are 0.
        """
        ...

    def exp2(self, x: Ref, *, name: str | None = None) -> Ref:
        """Power of two: y = 2ˣ.

        Args:
            x: `s`.

        Returns: `s`.
        """
        ...

    def log2(self, x: Ref, *, name: str | None = None) -> Ref:
        """Logarithm to base 2: y = log₂ x, exact where x is a power of 2; −inf at 0, NaN below it.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: g/(x ln 2), IEEE.
        """
        ...

    def log10(self, x: Ref, *, name: str | None = None) -> Ref:
        """Logarithm to base 10: y = log₁₀ x, exact where x is a power of 10; −inf at 0, NaN below it.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: g/(x ln 10), IEEE.
        """
        ...

    def logaddexp(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Logarithm of a sum of exponentials: y = ln(eᵃ + eᵇ), without overflow.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        Derivative: σ(a − b)·g to a, σ(b − a)·g to b with the logistic function σ; half each where both are the same infinity.
        """
        ...

    def tan(self, x: Ref, *, name: str | None = None) -> Ref:
        """Tangent: y = tan x.

        Args:
            x: `s`, in radians.

        Returns: `s`.
        Derivative: (1 + y²)·g.
        """
        ...

    def asin(self, x: Ref, *, name: str | None = None) -> Ref:
        """Arc sine: y = arcsin x; NaN where |x| > 1.

        Args:
            x: `s`.

        Returns: `s`, in [−π/2, π/2].
        Derivative: g/√(1 − x²): inf at ±1.
        """
        ...

    def acos(self, x: Ref, *, name: str | None = None) -> Ref:
        """Arc cosine: y = arccos x; NaN where |x| > 1.

        Args:
            x: `s`.

        Returns: `s`, in [0, π].
        Derivative: −g/√(1 − x²): −inf at ±1.
        """
        ...

    def atan(self, x: Ref, *, name: str | None = None) -> Ref:
        """Arc tangent: y = arctan x.

        Args:
            x: `s`.

        Returns: `s`, in [−π/2, π/2].
        Derivative: g/(1 + x²).
        """
        ...

    def atan2(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Angle of the point (b, a) from the first axis: arctan(a/b) in the right quadrant, with the signs of zeros as in C.

        Args:
            a, b: arrays that broadcast to a shape `s`: the second coordinate, then the first.

        Returns: `s`, in [−π, π].
        Raises: ShapeError if they do not broadcast.
        Derivative: g·b/(a² + b²) to a, −g·a/(a² + b²) to b; 0 at the origin.
        """
        ...

    def sinh(self, x: Ref, *, name: str | None = None) -> Ref:
        """Hyperbolic sine: y = (eˣ − e⁻ˣ)/2.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: cosh x·g.
        """
        ...

    def cosh(self, x: Ref, *, name: str | None = None) -> Ref:
        """Hyperbolic cosine: y = (eˣ + e⁻ˣ)/2.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: sinh x·g.
        """
        ...

    def asinh(self, x: Ref, *, name: str | None = None) -> Ref:
        """Inverse hyperbolic sine: y = ln(x + √(x² + 1)).

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: g/√(x² + 1).
        """
        ...

    def acosh(self, x: Ref, *, name: str | None = None) -> Ref:
        """Inverse hyperbolic cosine: y = ln(x + √(x² − 1)); NaN where x < 1.

        Args:
            x: `s`.

        Returns: `s`, at least 0.
        Derivative: g/√(x² − 1): inf at 1.
        """
        ...

    def atanh(self, x: Ref, *, name: str | None = None) -> Ref:
        """Inverse hyperbolic tangent: y = ½ ln((1 + x)/(1 − x)); ±inf at ±1, NaN beyond.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: g/(1 − x²).
        """
        ...
