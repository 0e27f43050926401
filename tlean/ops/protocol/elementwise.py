"""Arithmetic, element by element. Arguments broadcast as NumPy's do; those of a `Tape` have one shape."""

from __future__ import annotations

from typing import Protocol

from .ref import Ints, Ref


class ElementwiseOps(Protocol):
    """Elementwise arithmetic."""

    def add(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Sum: y = a + b.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        """
        ...

    def sub(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Difference: y = a − b.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        """
        ...

    def mul(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Elementwise product: y = a·b.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        """
        ...

    def div(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Quotient: y = a / b, IEEE: x/0 is ±inf, 0/0 is NaN.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        Derivative: g/b to a, −g·a/b² to b, IEEE where b = 0.
        """
        ...

    def scale(self, x: Ref, c: float, *, name: str | None = None) -> Ref:
        """Product with a plain number: y = c·x.

        Args:
            x: `s`.
            c: a plain number, fixed when the op is recorded; it has no gradient. With an array it is `power`.

        Returns: `s`.
        """
        ...

    def shift(self, x: Ref, c: float, *, name: str | None = None) -> Ref:
        """Sum with a plain number: y = x + c.

        Args:
            x: `s`.
            c: a plain number, fixed when the op is recorded; it has no gradient. With an array it is `power`.

        Returns: `s`.
        """
        ...

    def neg(self, x: Ref, *, name: str | None = None) -> Ref:
        """Negation: y = −x.

        Args:
            x: `s`.

        Returns: `s`.
        """
        ...

    def square(self, x: Ref, *, name: str | None = None) -> Ref:
        """Square: y = x².

        Args:
            x: `s`.

        Returns: `s`.
        """
        ...

    def pow(self, x: Ref, c: float | Ref, *, name: str | None = None) -> Ref:
        """Power with a plain number as exponent: y = xᶜ, IEEE: NaN for x < 0 unless c is whole. c = 0.5 is `sqrt`.

        Args:
            x: `s`.
            c: a plain number, fixed when the op is recorded; it has no gradient. With an array it is `power`.

        Returns: `s`.
        Derivative: c·xᶜ⁻¹·g; exactly 0 where c = 0, whatever x is, and for c = 0.5 where x ≤ 0.
        """
        ...

    def abs(self, x: Ref, *, name: str | None = None) -> Ref:
        """Absolute value: y = |x|.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: sign(x)·g, so 0 at x = 0.
        """
        ...

    def sign(self, x: Ref, *, name: str | None = None) -> Ref:
        """Sign: y = −1, 0 or 1; NaN where x is NaN.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: none.
        """
        ...

    def bitwise_and(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """The bits that both have; of Booleans whether both are True.

        Args:
            a, b: arrays of integers or Booleans that broadcast to a shape `s`.

        Returns: `s`, of the wider dtype of both.
        Raises: DTypeError for floats; ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def bitwise_or(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """The bits that one of both has; of Booleans whether one is True.

        Args:
            a, b: arrays of integers or Booleans that broadcast to a shape `s`.

        Returns: `s`, of the wider dtype of both.
        Raises: DTypeError for floats; ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def bitwise_xor(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """The bits in which both differ; of Booleans whether they differ.

        Args:
            a, b: arrays of integers or Booleans that broadcast to a shape `s`.

        Returns: `s`, of the wider dtype of both.
        Raises: DTypeError for floats; ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def bitwise_not(self, x: Ref, *, name: str | None = None) -> Ref:
        """All bits inverted: y = −1 − x; of Booleans their negation.

        Args:
            x: `s`, integers or Booleans.

        Returns: `s`, of x's dtype.
        Raises: DTypeError for floats.
        Derivative: none.
        """
        ...

    def bitwise_left_shift(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Shift to the left: y = a·2ᵇ, without the bits that leave it; 0 where b is negative or not below the number of bits.

        Args:
            a, b: arrays of integers or Booleans that broadcast to a shape `s`.

        Returns: `s`, of the wider dtype of both.
        Raises: DTypeError for floats; ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def bitwise_right_shift(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Shift to the right: y = ⌊a / 2ᵇ⌋; where b is negative or not below the number of bits, −1 for a < 0, else 0.

        Args:
            a, b: arrays of integers or Booleans that broadcast to a shape `s`.

        Returns: `s`, of the wider dtype of both.
        Raises: DTypeError for floats; ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def gcd(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Greatest common divisor: the greatest number that divides a and b; of 0 and b it is |b|.

        Args:
            a, b: arrays of integers or Booleans that broadcast to a shape `s`.

        Returns: `s`, of the wider dtype of both, int64 of Booleans, at least 0.
        Raises: DTypeError for floats; ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def lcm(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Least common multiple: the least number from 1 on that a and b divide; 0 where one of them is 0.

        Args:
            a, b: arrays of integers or Booleans that broadcast to a shape `s`.

        Returns: `s`, of the wider dtype of both, int64 of Booleans, at least 0 where it fits.
        Raises: DTypeError for floats; ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def clamp(self, x: Ref, lo: float | None = None, hi: float | None = None, *, name: str | None = None) -> Ref:
        """Limit to an interval: y = min(max(x, lo), hi); NaN stays NaN.

        Args:
            x: `s`.
            lo, hi: plain numbers, lo ≤ hi; None for no bound.

        Returns: `s`.
        Raises: OptionError if lo > hi.
        Derivative: g where lo < x < hi strictly, 0 elsewhere: 0 at both bounds.
        """
        ...

    def max(self, a: Ref, b: Ref | Ints | None = None, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """The maximum of two arrays, element by element, or of one over axes; NaN where an element is NaN.

        Args:
            a, b: arrays that broadcast to a shape `s`. With an int, a tuple or None for b it is the axis, as in `max(x, 0)`.
            axis: of one array: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s`; of one array its shape without the reduced axes (or with 1 there).
        Raises: ShapeError if the arrays do not broadcast, or for a maximum of nothing; IndexRangeError if there is no such axis;
            OptionError for axes of two arrays.
        Derivative: of two arrays, g to the larger, g/2 to each where they are equal; over axes, g to the first that is greatest.
        """
        ...

    def min(self, a: Ref, b: Ref | Ints | None = None, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """The minimum of two arrays, element by element, or of one over axes; NaN where an element is NaN.

        Args:
            a, b: arrays that broadcast to a shape `s`. With an int, a tuple or None for b it is the axis, as in `min(x, 0)`.
            axis: of one array: an axis or a tuple of distinct axes, negative ones counting from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s`; of one array its shape without the reduced axes (or with 1 there).
        Raises: ShapeError if the arrays do not broadcast, or for a minimum of nothing; IndexRangeError if there is no such axis;
            OptionError for axes of two arrays.
        Derivative: of two arrays, g to the smaller, g/2 to each where they are equal; over axes, g to the first that is least.
        """
        ...

    def maximum(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Alias of `max`.

        Args:
            a, b: arrays that broadcast.
        """
        ...

    def minimum(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Alias of `min`.

        Args:
            a, b: arrays that broadcast.
        """
        ...

    def sqrt(self, x: Ref, *, name: str | None = None) -> Ref:
        """Square root: y = √x; NaN where x < 0, on every device.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: g/(2√x) where x > 0, and 0 elsewhere: at 0 and below it.
        """
        ...

    def exp(self, x: Ref, *, name: str | None = None) -> Ref:
        """Exponential: y = eˣ.

        Args:
            x: `s`.

        Returns: `s`.
        """
        ...

    def expm1(self, x: Ref, *, name: str | None = None) -> Ref:
        """Exponential minus one: y = eˣ − 1, accurate near 0.

        Args:
            x: `s`.

        Returns: `s`.
        """
        ...

    def log(self, x: Ref, *, name: str | None = None) -> Ref:
        """Natural logarithm: y = ln x, IEEE: −inf at 0, NaN below it.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: g/x, IEEE.
        """
        ...

    def log1p(self, x: Ref, *, name: str | None = None) -> Ref:
        """Logarithm of one plus x: y = ln(1 + x), accurate near 0; −inf at −1, NaN below it.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: g/(1 + x), IEEE.
        """
        ...

    def safe_log(self, x: Ref, eps: float = 1e-6, *, name: str | None = None) -> Ref:
        """Logarithm that is finite for every finite x (given ε > 0): y = ln(max(x, 0) + ε).

        Args:
            x: `s`.
            eps: ε, added inside the logarithm.

        Returns: `s`.
        Derivative: g/(x + ε) where x ≥ 0, and 0 where x < 0.
        """
        ...

    def inv(self, x: Ref, *, name: str | None = None) -> Ref:
        """Reciprocal: y = 1/x; ±inf at ±0.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: −g/x², IEEE.
        """
        ...

    def sin(self, x: Ref, *, name: str | None = None) -> Ref:
        """Sine: y = sin x.

        Args:
            x: `s`, in radians.

        Returns: `s`.
        """
        ...

    def cos(self, x: Ref, *, name: str | None = None) -> Ref:
        """Cosine: y = cos x.

        Args:
            x: `s`, in radians.

        Returns: `s`.
        """
        ...

    def erf(self, x: Ref, *, name: str | None = None) -> Ref:
        """Error function: y = 2/√π · ∫₀ˣ e^(−t²) dt.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: 2/√π · e^(−x²)·g.
        Source: Abramowitz & Stegun 1964, equation 7.1.1.
        """
        ...
