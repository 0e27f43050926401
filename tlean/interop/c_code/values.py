"""Values of a program as C has them: expressions of single elements, or an array in memory that is read along axes that are part of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: The C type of each dtype.
C_TYPES = {"float32": "float", "float64": "double", "int64": "int64_t", "int32": "int32_t", "bool": "uint8_t"}

#: (size, elements between neighbours) of each axis, the last one innermost.
Axes = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Value:
    """A value of `size` elements.

    Attributes:
        dtype: of an element.
        size: how many there are.
        elements: the C expression of each, where these are what it is, or the one of all of them; else it is in memory.
        array: the C expression of a pointer.
        offset: of its first element.
        axes: how its elements lie from there on.
    """

    dtype: str
    size: int
    elements: tuple[str, ...] | None = None
    array: str = ""
    offset: int = 0
    axes: Axes = ()

    @property
    def dense(self) -> bool:
        """Whether its elements lie one after the other."""
        return self.elements is None and self.axes == ((self.size, 1),)

    @property
    def single(self) -> bool:
        """Whether all elements are one."""
        return self.size > 0 and (len(self.elements) == 1 if self.elements is not None else all(s == 0 for _, s in self.axes))

    @property
    def pointer(self) -> str:
        """Where its first element is."""
        return f"({self.array} + {self.offset})" if self.offset else self.array

    def at(self, index: int) -> str:
        """The expression of an element.

        Args:
            index: its number in row-major order.
        """
        if self.elements is not None:
            return self.elements[index % len(self.elements)]
        place = self.offset
        for n, step in reversed(self.axes):
            place += index % n * step
            index //= n
        return f"{self.array}[{place}]"

    def all(self) -> tuple[str, ...]:
        """The expressions of all elements."""
        return tuple(self.at(k) for k in range(self.size))


def in_memory(dtype: str, size: int, array: str) -> Value:
    """An array of elements one after the other."""
    return Value(dtype, size, None, array, 0, ((size, 1),))


def common_axes(values: Sequence[Axes], size: int) -> tuple[list[int], list[list[int]]] | None:
    """The sizes of loops that step through all of these at once, and the steps of each; None where no nest of loops does."""
    rest = [[list(a) for a in axes if a[0] != 1] or [[1, 0]] for axes in values]
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in values]
    left = size
    while left > 1:
        inner = min(axes[-1][0] for axes in rest)
        if any(axes[-1][0] % inner for axes in rest):
            return None
        sizes.insert(0, inner)
        left //= inner
        for axes, own in zip(rest, steps, strict=True):
            n, step = axes[-1]
            own.insert(0, step)
            if n == inner:
                axes.pop()
            else:
                axes[-1] = [n // inner, step * inner]
    return (sizes, steps) if sizes else ([1], [[0] for _ in values])


def literal(value: object, dtype: str) -> str:
    """A number as a constant of C."""
    if dtype == "bool":
        return "1" if value else "0"
    if dtype == "int32":
        return f"(-{-int(value) - 1} - 1)" if int(value) < 0 else str(int(value))  # type: ignore[call-overload]
    if dtype == "int64":
        n = int(value)  # type: ignore[call-overload]
        return f"(-INT64_C({-n - 1}) - 1)" if n < 0 else f"INT64_C({n})"
    x = float(value)  # type: ignore[arg-type]
    if math.isnan(x):
        return "NAN" if dtype == "float32" else "((double)NAN)"
    with np.errstate(over="ignore"):
        x = float(np.float32(x)) if dtype == "float32" else x
    if math.isinf(x):
        return "INFINITY" if x > 0 else "(-INFINITY)"
    digits = str(np.float32(x)) if dtype == "float32" else repr(x)
    digits = digits if any(c in digits for c in ".e") else f"{digits}.0"
    digits += "f" if dtype == "float32" else ""
    return f"({digits})" if math.copysign(1.0, x) < 0 else digits
