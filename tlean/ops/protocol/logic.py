"""Comparisons, Booleans, and the choice between values."""

from __future__ import annotations

from typing import Protocol

from .ref import Ints, Mask, Ref


class LogicOps(Protocol):
    """What is true and false. A condition is a Boolean array; of numbers, what is not 0 is true, NaN too."""

    def greater(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Comparison: whether a > b; not where either is NaN.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`, bool.
        Raises: ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def greater_equal(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Comparison: whether a ≥ b; not where either is NaN.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`, bool.
        Raises: ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def less(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Comparison: whether a < b; not where either is NaN.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`, bool.
        Raises: ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def less_equal(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Comparison: whether a ≤ b; not where either is NaN.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`, bool.
        Raises: ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def equal(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Comparison: whether a = b; not where either is NaN.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`, bool.
        Raises: ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def not_equal(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Comparison: whether a ≠ b; so it is where either is NaN.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`, bool.
        Raises: ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def isnan(self, x: Ref, *, name: str | None = None) -> Ref:
        """Whether x is NaN.

        Args:
            x: `s`.

        Returns: `s`, bool.
        Derivative: none.
        """
        ...

    def isinf(self, x: Ref, *, name: str | None = None) -> Ref:
        """Whether x is an infinity.

        Args:
            x: `s`.

        Returns: `s`, bool.
        Derivative: none.
        """
        ...

    def isfinite(self, x: Ref, *, name: str | None = None) -> Ref:
        """Whether x is neither NaN nor an infinity.

        Args:
            x: `s`.

        Returns: `s`, bool.
        Derivative: none.
        """
        ...

    def isclose(self, a: Ref, b: Ref, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False, *, name: str | None = None) -> Ref:
        """Whether |a − b| ≤ atol + rtol·|b|; equal infinities are close.

        Args:
            a, b: arrays that broadcast to a shape `s`.
            rtol, atol: plain numbers, at least 0.
            equal_nan: whether two NaNs are close.

        Returns: `s`, bool.
        Raises: ShapeError if they do not broadcast; OptionError for a bad number.
        Derivative: none.
        """
        ...

    def logical_and(self, a: Mask, b: Mask, *, name: str | None = None) -> Ref:
        """Whether both a and b are true.

        Args:
            a, b: conditions that broadcast to a shape `s`.

        Returns: `s`, bool.
        Raises: ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def logical_or(self, a: Mask, b: Mask, *, name: str | None = None) -> Ref:
        """Whether a or b is true, or both.

        Args:
            a, b: conditions that broadcast to a shape `s`.

        Returns: `s`, bool.
        Raises: ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def logical_xor(self, a: Mask, b: Mask, *, name: str | None = None) -> Ref:
        """Whether exactly one of a and b is true.

        Args:
            a, b: conditions that broadcast to a shape `s`.

        Returns: `s`, bool.
        Raises: ShapeError if they do not broadcast.
        Derivative: none.
        """
        ...

    def logical_not(self, x: Mask, *, name: str | None = None) -> Ref:
        """Whether x is not true.

        Args:
            x: a condition, `s`.

        Returns: `s`, bool.
        Derivative: none.
        """
        ...

    def any(self, x: Mask, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """Whether an element is true along one axis or several; of nothing, no.

        Args:
            x: a condition, `s`.
            axis: an axis or a tuple of distinct axes, negative ones counted from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there), bool.
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice.
        Derivative: none.
        """
        ...

    def all(self, x: Mask, axis: Ints | None = None, keepdims: bool = False, *, name: str | None = None) -> Ref:
        """Whether every element is true along one axis or several; of nothing, yes.

        Args:
            x: a condition, `s`.
            axis: an axis or a tuple of distinct axes, negative ones counted from the end; None for all.
            keepdims: keep the reduced axes with size 1.

        Returns: `s` without the reduced axes (or with 1 there), bool.
        Raises: IndexRangeError if there is no such axis; OptionError if an axis is named twice.
        Derivative: none.
        """
        ...

    def where(self, c: Mask, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Selection: y = a where c is true, else b.

        Args:
            c: the condition; it has no gradient.
            a, b: arrays; with c they broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        Derivative: g to the branch taken; the other gets an exact 0, even where its value is NaN or infinite.
        """
        ...
