"""Creation: arrays made of numbers alone, and the conversion to another dtype."""

from __future__ import annotations

from typing import Any, Protocol

from .ref import Index, Ints, Ref


class CreationOps(Protocol):
    """Arrays made of numbers alone, and other dtypes. They have no gradient, but for a conversion between floats.

    A `dtype` is a name, a dtype of NumPy's, or `float` (float64), `int`, `bool`; None is the program's float dtype unless the entry says
    otherwise. In a function that runs as a program the array belongs to the program; outside of one the result is a value, of float32 where
    nothing says otherwise.
    """

    def astype(self, x: Ref, dtype: Any, *, name: str | None = None) -> Ref:
        """The elements in another dtype: y = x where the dtype holds x; x itself where it has the dtype.

        Floats are rounded to the nearest; from floats to integers they are cut off towards 0, and what the integer cannot hold, NaN
        included, is the least one. Between integers upper bits are lost. A Boolean is whether x is not 0, and counts as 1 or 0.

        Args:
            x: `s`, of any dtype.
            dtype: float32, float64, int64, int32 or bool.

        Returns: `s`, of that dtype.
        Raises: DTypeError for another dtype.
        Derivative: g in x's dtype between floats; none from or to integers and Booleans.
        """
        ...

    def zeros(self, shape: Ints, dtype: Any = None, *, name: str | None = None) -> Ref:
        """Zeros: `zeros((2, 3))`.

        Args:
            shape: of the result; an int is one axis.
            dtype: of the result.

        Returns: `shape`.
        Derivative: none.
        """
        ...

    def ones(self, shape: Ints, dtype: Any = None, *, name: str | None = None) -> Ref:
        """Ones: `ones(3)` is [1., 1., 1.].

        Args:
            shape: of the result; an int is one axis.
            dtype: of the result.

        Returns: `shape`.
        Derivative: none.
        """
        ...

    def full(self, shape: Ints, fill_value: Any, dtype: Any = None, *, name: str | None = None) -> Ref:
        """One value everywhere: `full((2, 2), 0.5)`.

        Args:
            shape: of the result; an int is one axis.
            fill_value: a plain number, or an array or ref that broadcasts to the shape.
            dtype: of the result; None is that of the value: int64 for an int, bool for a Boolean, the program's for a float.

        Returns: `shape`.
        Raises: ShapeError for an array that does not broadcast; OptionError for an int that int32 does not hold.
        Derivative: of an array g, summed where it is stretched; of a number none.
        """
        ...

    def eye(self, n: int, m: int | None = None, k: int = 0, dtype: Any = None, *, name: str | None = None) -> Ref:
        """Ones on a diagonal, zeros elsewhere: y[i, j] = 1 where j = i + k. `eye(2)` is [[1., 0.], [0., 1.]].

        Args:
            n: the number of rows.
            m: the number of columns; None means n.
            k: which diagonal: above the main one where it is positive.
            dtype: of the result.

        Returns: `(n, m)`.
        Raises: OptionError for a negative number of rows or columns.
        Derivative: none.
        """
        ...

    def arange(self, start: float, stop: float | None = None, step: float = 1, dtype: Any = None, *, name: str | None = None) -> Ref:
        """Numbers at equal distances: y[i] = start + i·step below stop, above it for a negative step. `arange(2, 8, 3)` is [2, 5].

        Args:
            start: the first number; where it is given alone, the stop, and the first number is 0.
            stop: where the numbers end, itself left out.
            step: their distance, not 0.
            dtype: of the result; None is int64 where all numbers are ints, else the program's. `arange(5)` has ints, `arange(5.0)` floats.

        Returns: `(⌈(stop − start)/step⌉,)`.
        Raises: OptionError for a step of 0 and for what is no finite plain number; DTypeError for bool.
        Derivative: none.
        """
        ...

    def linspace(
        self, start: float, stop: float, num: int = 50, endpoint: bool = True, dtype: Any = None, *, name: str | None = None
    ) -> Ref:
        """Numbers at equal distances between two: `linspace(0, 1, 5)` is [0., 0.25, 0.5, 0.75, 1.], exactly start and stop at the ends.

        They are computed in float64 and rounded to the dtype.

        Args:
            start: the first number.
            stop: the last number; with `endpoint=False` the one after it.
            num: how many there are.
            endpoint: whether stop is among them.
            dtype: float32 or float64.

        Returns: `(num,)`.
        Raises: OptionError for a negative num and for what is no finite plain number; DTypeError for integers.
        Derivative: none.
        """
        ...

    def zeros_like(self, x: Ref, dtype: Any = None, shape: Ints | None = None, *, name: str | None = None) -> Ref:
        """Zeros of an array's shape and dtype: `zeros_like(x)`.

        Args:
            x: `s`.
            dtype: of the result; None is x's.
            shape: of the result; None is x's.

        Returns: `s`, or `shape`.
        Derivative: none.
        """
        ...

    def ones_like(self, x: Ref, dtype: Any = None, shape: Ints | None = None, *, name: str | None = None) -> Ref:
        """Ones of an array's shape and dtype: `ones_like(x, dtype=bool)`.

        Args:
            x: `s`.
            dtype: of the result; None is x's.
            shape: of the result; None is x's.

        Returns: `s`, or `shape`.
        Derivative: none.
        """
        ...

    def full_like(self, x: Ref, fill_value: Any, dtype: Any = None, shape: Ints | None = None, *, name: str | None = None) -> Ref:
        """One value everywhere, of an array's shape and dtype: `full_like(x, 0.5)`.

        Args:
            x: `s`.
            fill_value: a plain number, or an array or ref that broadcasts to the shape; it is converted to the dtype.
            dtype: of the result; None is x's.
            shape: of the result; None is x's.

        Returns: `s`, or `shape`.
        Raises: as `full`.
        Derivative: as `full`; none to x.
        """
        ...

    def one_hot(self, labels: Index, num_classes: int, axis: int = -1, dtype: Any = None, *, name: str | None = None) -> Ref:
        """1 at each label, 0 elsewhere, along a new axis: `one_hot([0, 2], 3)` is [[1., 0., 0.], [0., 0., 1.]].

        A label outside [0, num_classes) has zeros alone.

        Args:
            labels: `s`, integers.
            num_classes: the size of the new axis.
            axis: where it is in the result.
            dtype: of the result.

        Returns: `(*s, num_classes)`, or the last axis moved to `axis`.
        Raises: IndexRangeError if there is no such axis; DTypeError for labels that are no integers.
        Derivative: none.
        """
        ...
