"""Samples: what the tests call an op with. Declarations only; the tests turn them into arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Arr:
    """One array argument of a sample.

    Kinds: `normal` (N(0,1)); `positive` (0.5 … 2.5); `unit` (−0.9 … 0.9); `above` (1.25 … 3);
    `fraction` (0.05 … 0.95); `away` (±(0.3 … 2): away from a kink at 0); `distinct`
    (well-separated values in random order: no ties); `int` (integers low … high−1, int64); `int32` (the same, int32, as
    residuals hold positions); `bool`; or `values` (the literal `data`). Of square matrices, well conditioned, of multiples of 1/16:
    `definite` (symmetric, positive definite), `regular` (far from the identity's order of rows), `triangular` (both triangles are usable);
    of full rank `tall` and `wide`.
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


# Shapes that broadcast: rows, columns, numbers, both at once, inner axes, more axes than the others, size 0.
_STRETCHED: list[tuple[tuple[int, ...], ...]] = [
    ((), (3, 5), (5,)), ((3, 5), (3, 1), (3, 5)), ((1,), (), (7, 3)), ((1, 1), (4, 1), (1, 6)), ((3,), (2, 5, 1, 3), (2, 1, 4, 1)),
    ((2, 0, 3), (1, 1, 1), (0, 1)), ((40, 50), (50,), (40, 1)),
]  # fmt: skip


def elementwise_samples(kinds: tuple[str, ...], calls: tuple[dict[str, Any], ...], option: str | None, more: list[Sample]) -> list[Sample]:
    """The calls of an elementwise op with inputs of these kinds, `more` before those that broadcast; an `option` must be a number."""
    shapes: list[tuple[int, ...]] = [(3, 5), (), (37,), (2, 0, 3), (1, 1)]
    samples = [good(*(Arr(s, kind) for kind in kinds), **calls[0]) for s in shapes]
    samples += [good(*(Arr((4, 3), kind) for kind in kinds), **call) for call in calls[1:]]
    if len(kinds) > 1:
        samples.append(bad("ShapeError", *[(2, 3)] * (len(kinds) - 1), (3, 2), **calls[0]))
        samples.append(bad("ShapeError", *[(2, 3)] * (len(kinds) - 1), (2,), **calls[0]))
    if option:
        samples.append(bad("OptionError", *(Arr((2,), kind) for kind in kinds), **{**calls[0], option: "one"}))
    if len(kinds) > 1:
        # Of more than three inputs the first ones have one shape.
        every = [(s[0],) * (len(kinds) - 3) + s[-len(kinds) :] for s in _STRETCHED]
        more = more + [good(*map(Arr, stretched, kinds), **calls[0]) for stretched in every]
    return samples + more
