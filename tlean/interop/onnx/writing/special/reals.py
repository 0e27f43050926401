"""Arithmetic that writes operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean.ops import Spec

from ..model import ModelWriter
from ..repeats import repeated
from ..rules import Call, rule
from ..writer import Writer

_NOTHING = object()


class Real:
    """A value by its name: of float64, or of another dtype that is named.

    Args:
        w: the writer.
        name: of the value.
        dtype: of the value; conditions are of bool.
    """

    def __init__(self, w: Writer, name: str, dtype: str = "float64") -> None:
        self.w, self.name, self.dtype = w, name, dtype

    def of(self, other: Any) -> str:
        """The name of a value, or of a number of this dtype."""
        return other.name if isinstance(other, Real) else self.w.like(other, self.dtype)

    def _op(self, kind: str, other: Any = _NOTHING, dtype: str | None = None, **attributes: Any) -> Real:
        names = [self.name] if other is _NOTHING else [self.name, self.of(other)]
        return Real(self.w, self.w.op(kind, *names, **attributes), dtype or self.dtype)

    def __add__(self, other: Any) -> Real:
        return self._op("Add", other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Real:
        return self._op("Sub", other)

    def __rsub__(self, other: Any) -> Real:
        return Real(self.w, self.w.op("Sub", self.of(other), self.name), self.dtype)

    def __mul__(self, other: Any) -> Real:
        return self._op("Mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Real:
        return self._op("Div", other)

    def __rtruediv__(self, other: Any) -> Real:
        return Real(self.w, self.w.op("Div", self.of(other), self.name), self.dtype)

    def __matmul__(self, other: Real) -> Real:
        return self._op("MatMul", other)

    def __neg__(self) -> Real:
        return self._op("Neg")

    def __abs__(self) -> Real:
        return self._op("Abs")

    def __lt__(self, other: Any) -> Real:
        return self._op("Less", other, "bool")

    def __gt__(self, other: Any) -> Real:
        return self._op("Greater", other, "bool")

    def __le__(self, other: Any) -> Real:
        return self._op("LessOrEqual", other, "bool")

    def __ge__(self, other: Any) -> Real:
        return self._op("GreaterOrEqual", other, "bool")

    def __eq__(self, other: Any) -> Real:  # type: ignore[override]
        return self._op("Equal", other, "bool")

    __hash__ = object.__hash__

    def __or__(self, other: Real) -> Real:
        return self._op("Or", other)

    def __and__(self, other: Real) -> Real:
        return self._op("And", other)

    def __invert__(self) -> Real:
        return self._op("Not")

    def exp(self) -> Real:
        """e to it."""
        return self._op("Exp")

    def exp2(self) -> Real:
        """2 to it."""
        return Real(self.w, self.w.op("Pow", self.of(2.0), self.name), self.dtype)

    def expm1(self) -> Real:
        """1 less than that, with its digits near 0."""
        e = self.exp()
        return where(abs(self) < 1.0, self._op("Mul", 0.5)._op("Tanh") * (e + 1.0), e - 1.0)

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

    def power(self, exponent: Any) -> Real:
        """A power of it."""
        return self._op("Pow", exponent)

    def cast(self, dtype: str) -> Real:
        """It in another dtype."""
        return self if dtype == self.dtype else Real(self.w, self.w.cast(self.name, dtype), dtype)

    def finite(self) -> Real:
        """Whether it is a number."""
        return (self - self) == 0.0

    def wide(self, *axes: int) -> Real:
        """It with axes of size 1, by default one behind the last."""
        return Real(self.w, self.w.unsqueeze(self.name, *(axes or (-1,))), self.dtype)

    def sum(self, *axes: int, keep: bool = False) -> Real:
        """The sum over axes."""
        return Real(self.w, self.w.reduce("ReduceSum", self.name, axes, keep), self.dtype)

    def top(self, *axes: int, keep: bool = False) -> Real:
        """The largest over axes."""
        return Real(self.w, self.w.reduce("ReduceMax", self.name, axes, keep), self.dtype)

    def any(self, *axes: int, keep: bool = False) -> Real:
        """Whether a condition holds somewhere along axes, by default of all."""
        names = self.cast("int32").name
        return Real(self.w, self.w.reduce("ReduceMax", names, axes or None, keep), "int32").cast("bool")


def where(condition: Real, a: Any, b: Any) -> Real:
    """The one or the other, numbers or values."""
    w = condition.w
    like = next((v for v in (a, b) if isinstance(v, Real)), Real(w, ""))
    return Real(w, w.op("Where", condition.name, like.of(a), like.of(b)), like.dtype)


def minimum(x: Real, bound: float) -> Real:
    """The smaller one, NaN where x is."""
    return where(x > bound, bound, x)


def maximum(x: Real, bound: float) -> Real:
    """The larger one, NaN where x is."""
    return where(x < bound, bound, x)


def horner(x: Real, powers: Sequence[float]) -> Real:
    """A polynomial, from the highest power on."""
    total = x * powers[0] + powers[1]
    for number in powers[2:]:
        total = total * x + number
    return total


def looped(
    w: ModelWriter,
    states: Sequence[tuple[Real, Sequence[int]]],
    step: Callable[..., Sequence[Real]],
    count: int,
    again: Callable[..., Real] | None = None,
) -> list[Real]:
    """What becomes of values, step by step; see `repeated`.

    Args:
        w: the writer.
        states: the values before the first step, and their shapes.
        step: (the number of the step, the values) -> the values after it.
        count: how many steps at most.
        again: (the values) -> whether there is a next step.
    """
    dtypes = [s.dtype for s, _ in states]

    def values(names: Sequence[str]) -> list[Real]:
        return [Real(w, n, d) for n, d in zip(names, dtypes, strict=True)]

    made = repeated(
        w,
        [(s.name, Spec(tuple(shape), s.dtype)) for s, shape in states],
        lambda k, *names: [r.name for r in step(Real(w, k, "int64"), *values(names))],
        count,
        None if again is None else lambda *names: again(*values(names)).name,
    )
    return values(made)


def by_double(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A rule of functions of reals."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        def write(w: Writer, c: Call) -> Any:
            if c.dtype not in ("float32", "float64"):
                return None
            made = function(*(Real(w, x, c.dtype).cast("float64") for x in c.x), **c.options)
            return None if made is None else made.cast(c.dtype).name

        rule(*names)(write)
        return function

    return register


def by_call(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A rule of functions of a writer, a call, and its operands in float64; what they return becomes the results' dtypes."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        def write(w: ModelWriter, c: Call) -> Any:
            operands = [
                Real(w, x, s.dtype if s else c.dtype).cast("float64") if s and s.dtype.startswith("float") else x
                for x, s in zip(c.x, c.specs, strict=True)
            ]
            made = function(w, c, *operands)
            return None if made is None else made.cast(c.out.dtype).name

        rule(*names)(write)
        return function

    return register
