"""Functions along a line: integrals, interpolation, phases, polynomials, convolutions."""

from __future__ import annotations

import math
from typing import Protocol

from ....arguments.literals import Part
from ..ref import Ref


class LineOps(Protocol):
    """Functions along a line."""

    def trapezoid(self, y: Ref, x: Ref | None = None, dx: float = 1.0, axis: int = -1, *, name: str | None = None) -> Ref:
        """The integral along an axis by the trapezoidal rule: Σ (x[j+1] − x[j])·(y[j] + y[j+1])/2.

        Args:
            y: `s`, the values.
            x: where they are, `s` or a vector along the axis; None for places dx apart.
            dx: a plain number.
            axis: the axis; negative ones count from the end.

        Returns: `s` without the axis; 0 for fewer than two values.
        Raises: IndexRangeError if there is no such axis; ShapeError if x and y do not go together.
        Derivative: of y[j] half the width of its two neighbouring pieces, times g.
        Example: `trapezoid([0.0, 2.0, 2.0])` is `3`.
        """
        ...

    def cumulative_trapezoid(self, y: Ref, x: Ref | None = None, dx: float = 1.0, axis: int = -1, *, name: str | None = None) -> Ref:
        """The integral from the first place up to each other one, by the trapezoidal rule.

        Args:
            y, x, dx, axis: as for `trapezoid`.

        Returns: `s` with one entry fewer along the axis.
        Raises: as `trapezoid`.
        Example: `cumulative_trapezoid([0.0, 2.0, 2.0])` is `[1, 3]`.
        """
        ...

    def interp(
        self, x: Ref, xp: Ref, fp: Ref, left: Ref | float | None = None, right: Ref | float | None = None, *, name: str | None = None
    ) -> Ref:
        """The straight lines through points, at x.

        Args:
            x: `s`.
            xp: `(n,)`, where the points are, in order.
            fp: `(n,)`, their values.
            left, right: the value before the first point and behind the last one; None means that of the point.

        Returns: `s`.
        Raises: ShapeError unless xp and fp are vectors of one length above 0.
        Derivative: to x the slope of the line; to fp the share of each of two points, times g.
        Example: `interp([1.5], [1.0, 2.0], [10.0, 20.0])` is `[15]`.
        """
        ...

    def unwrap(self, x: Ref, discont: float | None = None, axis: int = -1, period: float = 2 * math.pi, *, name: str | None = None) -> Ref:
        """Phases without jumps: whole periods are added so that no two neighbours are more than half a period apart.

        Args:
            x: `s`.
            discont: steps below it stay; None, and less than half a period, mean half a period.
            axis: the axis; negative ones count from the end.
            period: a plain number above 0.

        Returns: `s`.
        Raises: IndexRangeError if there is no such axis; OptionError for a period that is not above 0.
        Derivative: g.
        Example: `unwrap([0.0, 3.0, 6.0, 1.0], period=6.0)` is `[0, 3, 6, 7]`.
        """
        ...

    def ediff1d(self, x: Ref, to_end: Ref | None = None, to_begin: Ref | None = None, *, name: str | None = None) -> Ref:
        """The differences of neighbours in row-major order.

        Args:
            x: `s`, of n elements.
            to_end, to_begin: numbers or arrays that come after the differences, and before them.

        Returns: `(n − 1 + what is added,)`.
        Example: `ediff1d([1, 4, 9], to_begin=0)` is `[0, 3, 5]`.
        """
        ...

    def vander(self, x: Ref, n: int | None = None, increasing: bool = False, *, name: str | None = None) -> Ref:
        """The powers of each element: a Vandermonde matrix.

        Args:
            x: `(*k, m)`.
            n: how many powers; None means m.
            increasing: from the power 0 up; else down to it.

        Returns: `(*k, m, n)`.
        Raises: ShapeError for x without an axis; OptionError for a negative n.
        Example: `vander([2, 3], 3)` is `[[4, 2, 1], [9, 3, 1]]`.
        """
        ...

    def polyval(self, p: Ref, x: Ref, *, name: str | None = None) -> Ref:
        """A polynomial by Horner's rule: Σ p[j]·x^(n − 1 − j).

        Args:
            p: `(n,)`, its coefficients, that of the highest power first.
            x: `s`.

        Returns: `s`.
        Raises: ShapeError unless p is a vector.
        Example: `polyval([1.0, 0.0, 2.0], [3.0])` is `[11]`.
        """
        ...

    def convolve(self, a: Ref, v: Ref, mode: Part = "full", *, name: str | None = None) -> Ref:
        """The convolution of two vectors: y[k] = Σ a[j]·v[k − j].

        Args:
            a: `(n,)`.
            v: `(m,)`.
            mode: "full"; "same", its middle, as long as the longer of the two; "valid", where both overlap throughout.

        Returns: `(n + m − 1,)`, `(max(n, m),)` or `(max(n, m) − min(n, m) + 1,)`.
        Raises: ShapeError unless both are vectors that are not empty; OptionError for another mode.
        Derivative: to a the correlation of g with v, and the other way about.
        Example: `convolve([1.0, 2.0], [1.0, 3.0])` is `[1, 5, 6]`.
        """
        ...

    def correlate(self, a: Ref, v: Ref, mode: Part = "valid", *, name: str | None = None) -> Ref:
        """The products of a vector with another one that slides along it: y[k] = Σ a[j + k]·v[j].

        Args:
            a: `(n,)`.
            v: `(m,)`.
            mode: as for `convolve`.

        Returns: as `convolve`.
        Raises: as `convolve`.
        Example: `correlate([1.0, 2.0, 3.0], [1.0, 1.0])` is `[3, 5]`.
        """
        ...
