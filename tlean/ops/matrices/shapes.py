"""Stacks of matrices: the last two axes are a matrix, those before are a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import ShapeError
from ...shapes import Shape, broadcast_shapes, size


def need_matrices(x: Shape, name: str = "x") -> Shape:
    """A shape of matrices. Raises: ShapeError."""
    if len(x) < 2:
        raise ShapeError(f"{name} must have at least two axes: (*k, rows, columns)")
    return x


def need_square(x: Shape, name: str = "x") -> Shape:
    """A shape of square matrices. Raises: ShapeError."""
    if need_matrices(x, name)[-1] != x[-2]:
        raise ShapeError(f"{name} must hold square matrices, not {x[-2]} x {x[-1]}")
    return x


def batch_of(a: Shape, b: Shape) -> Shape:
    """The leading axes of a call with matrices of these shapes. Raises: ShapeError."""
    try:
        return broadcast_shapes(("a", "b"), (a[:-2], b[:-2]))
    except ShapeError:
        raise ShapeError(f"the leading axes of a and b must broadcast, but are {a[:-2]} and {b[:-2]}") from None


def _steps(lead: Shape, x: Shape) -> list[int]:
    # Elements between neighbours along each axis of the batch: 0 where the array is stretched.
    steps, step = [], size(x[-2:])
    for d in reversed((1,) * (len(lead) - len(x) + 2) + x[:-2]):
        steps.append(0 if d == 1 else step)
        step *= d
    return steps[::-1]


def batch_numbers(lead: Shape, arrays: Sequence[Shape]) -> tuple[int, ...]:
    """How a kernel finds the matrices of arrays: (axes, sizes…, steps of each array…), with as few axes as describe the same."""
    axes: list[list[int]] = []
    for d, *steps in zip(lead, *(_steps(lead, x) for x in arrays), strict=True):
        if d == 1:
            continue
        if axes and axes[-1][1:] == [d * s for s in steps]:
            axes[-1] = [axes[-1][0] * d, *steps]
        else:
            axes.append([d, *steps])
    return (len(axes), *(axis[i] for i in range(1 + len(arrays)) for axis in axes))


def transposed(ops: Any, x: Any) -> Any:
    """The matrices with rows and columns exchanged."""
    n = len(x.shape)
    return ops.permute(x, (*range(n - 2), n - 1, n - 2))


def spread(ops: Any, x: Any, lead: Shape) -> Any:
    """The matrices as a batch of that shape."""
    return x if tuple(x.shape[:-2]) == lead else ops.broadcast_to(x, (*lead, *x.shape[-2:]))


def summed(ops: Any, parts: Sequence[Any]) -> Any:
    """The sum of those that are there; None where none is."""
    total = None
    for part in parts:
        if part is not None:
            total = part if total is None else ops.add(total, part)
    return total
