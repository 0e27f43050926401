"""Samples: what the tests call an op with. Declarations only; the tests turn them into arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Arr:
    """One array argument of a sample.

    Kinds: `normal` (N(0,1)); `positive` (0.5 … 2.5); `unit` (−0.9 … 0.9); `away` (±(0.3 … 2): away from a kink at 0); `distinct`
    (well-separated values in random order: no ties); `int` (integers low … high−1, int64); `int32` (the same, int32, as
    residuals hold positions); `bool`; or `values` (the literal `data`).
    """

    shape: tuple[int, ...] = ()
    kind: str = "normal"
    low: int = 0
    high: int = 1
    data: Any = None


@dataclass(frozen=True)
class Sample:
    """A call of an op: array arguments (`Arr`, or a shape for a normal array, or None), options, and for a bad call the error's name."""

    args: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    raises: str | None = None
    #: False where a finite difference means nothing at these arguments (a tie, a kink); forward and rules are still compared.
    smooth: bool = True


def good(*args: Any, smooth: bool = True, **options: Any) -> Sample:
    """A call that works."""
    return Sample(args, options, None, smooth)


def bad(raises: str, *args: Any, **options: Any) -> Sample:
    """A call that must raise the error of that name, with the shapes in its message."""
    return Sample(args, options, raises)
