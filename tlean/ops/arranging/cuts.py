"""Parts of an array along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ...errors import OptionError, ShapeError, completing
from ...shapes import normalize_axis
from ..registry import array, composite, whole
from .axes import ints, is_sequence


def _parts(ops: Any, x: Any, axis: int, edges: Sequence[int], name: str | None) -> tuple[Any, ...]:
    # What lies between neighbouring edges; an edge before the last one begins an empty part.
    parts = []
    for low, high in pairwise(edges):
        starts = tuple(low if k == axis else 0 for k in range(len(x.shape)))
        stops = tuple(max(low, high) if k == axis else d for k, d in enumerate(x.shape))
        parts.append(ops.slice(x, starts, stops, name=name))
    return tuple(parts)


@composite
def split(ops: Any, x: Any, parts: Any, axis: int = 0, *, name: str | None = None) -> tuple[Any, ...]:
    """x cut along an axis into so many equal parts, or at these indices."""
    x = array(ops, x, "split: x")
    with completing("split", x=x, parts=parts, axis=axis):
        axis = normalize_axis(axis, len(x.shape))
        n = x.shape[axis]
        if is_sequence(parts):
            # As `x[low:high]` reads them.
            edges = [0, *(slice(i).indices(n)[1] for i in ints(parts)), n]
        else:
            count = whole("parts", parts)
            if count < 1:
                raise OptionError("parts must be at least 1")
            if n % count:
                raise ShapeError(f"parts must divide the size of the axis, {n}; chunk makes a smaller last one")
            edges = [k * (n // count) for k in range(count + 1)]
        return _parts(ops, x, axis, edges, name)


@composite
def chunk(ops: Any, x: Any, chunks: int, axis: int = 0, *, name: str | None = None) -> tuple[Any, ...]:
    """x cut along an axis into at most so many parts of one size; the last one may be smaller."""
    x = array(ops, x, "chunk: x")
    with completing("chunk", x=x, chunks=chunks, axis=axis):
        axis, count = normalize_axis(axis, len(x.shape)), whole("chunks", chunks)
        if count < 1:
            raise OptionError("chunks must be at least 1")
        n = x.shape[axis]
        each = -(-n // count)
        # Of nothing there are as many parts as were asked for.
        edges = [*range(0, n, each), n] if n else [0] * (count + 1)
        return _parts(ops, x, axis, edges, name)
