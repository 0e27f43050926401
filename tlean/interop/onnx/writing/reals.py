"""Arithmetic that writes operators of float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .writer import Writer


class Real:
    """A value of float64, or a condition, by its name.

    Args:
        w: the writer.
        name: of the value.
    """

    def __init__(self, w: Writer, name: str) -> None:
        self.w, self.name = w, name

    def _of(self, other: Any) -> str:
        return other.name if isinstance(other, Real) else self.w.like(other, "float64")

    def _op(self, kind: str, *others: Any) -> Real:
        return Real(self.w, self.w.op(kind, self.name, *map(self._of, others)))

    def __add__(self, other: Any) -> Real:
        return self._op("Add", other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Real:
        return self._op("Sub", other)

    def __rsub__(self, other: Any) -> Real:
        return Real(self.w, self.w.op("Sub", self._of(other), self.name))

    def __mul__(self, other: Any) -> Real:
        return self._op("Mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Real:
        return self._op("Div", other)

    def __rtruediv__(self, other: Any) -> Real:
        return Real(self.w, self.w.op("Div", self._of(other), self.name))

    def __neg__(self) -> Real:
        return self._op("Neg")

    def __abs__(self) -> Real:
        return self._op("Abs")

    def __lt__(self, other: Any) -> Real:
        return self._op("Less", other)

    def __gt__(self, other: Any) -> Real:
        return self._op("Greater", other)

    def __eq__(self, other: Any) -> Real:  # type: ignore[override]
        return self._op("Equal", other)

    __hash__ = object.__hash__

    def __or__(self, other: Real) -> Real:
        return self._op("Or", other)

    def exp(self) -> Real:
        """e to it."""
        return self._op("Exp")

    def log(self) -> Real:
        """Its natural logarithm."""
        return self._op("Log")

    def log1p(self) -> Real:
        """That of 1 more: ln u·x/(u − 1), u = 1 + x, in which the rounding of u cancels."""
        u = self + 1.0
        return where(u == 1.0, self, u.log() * self / where(u == 1.0, 1.0, u - 1.0))

    def sqrt(self) -> Real:
        """Its square root."""
        return self._op("Sqrt")

    def sin(self) -> Real:
        """Its sine."""
        return self._op("Sin")

    def cos(self) -> Real:
        """Its cosine."""
        return self._op("Cos")

    def floor(self) -> Real:
        """The whole number below."""
        return self._op("Floor")

    def round(self) -> Real:
        """The nearest whole number."""
        return self._op("Round")

    def inverse(self) -> Real:
        """1 over it."""
        return self._op("Reciprocal")

    def power(self, exponent: float) -> Real:
        """A power of it."""
        return self._op("Pow", exponent)


def where(condition: Real, a: Any, b: Any) -> Real:
    """The one or the other, numbers or reals."""
    w = condition.w
    return Real(w, w.op("Where", condition.name, condition._of(a), condition._of(b)))


def minimum(x: Real, bound: float) -> Real:
    """The smaller one, NaN where x is."""
    return where(x > bound, bound, x)


def horner(x: Real, powers: Sequence[float]) -> Real:
    """A polynomial, from the highest power on."""
    total = x * powers[0] + powers[1]
    for number in powers[2:]:
        total = total * x + number
    return total
