"""`x[key]` as ops: a slice for the basic part of the key, `take` for the advanced part, of permuted axes where that is needed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tlean._core.refs import RefBase
from tlean.errors import DTypeError

from .key import Key, Shape, parse


def read(x: Any, key: Any, mode: str = "raise") -> Any:
    """The entries of a reference that a key names, as NumPy takes them.

    Args:
        x: a reference.
        key: what is between the brackets.
        mode: what an index out of range does, as `take` has it.

    Raises: IndexRangeError, OptionError, DTypeError, ShapeError as `parse` says; DTypeError for a mask that is known at run time only.
    """
    shape = tuple(x.shape)
    plain = _plain(key)
    if plain is not None and mode == "raise":
        box, result = _basic(shape, plain)
        y = x if box is None else x.ops.slice(x, *box)
        return y if result is None else x.ops.reshape(y, result)
    parsed = parse(key, shape, mode)
    if parsed.mask is not None:
        raise DTypeError(
            "x[mask]: the shape must be known while a program is recorded, and this mask is known at run time only;"
            " use where(mask, a, b) or x.at[mask].set(v)"
        )
    y = x if parsed.whole(shape) else x.ops.slice(x, parsed.starts, parsed.stops, parsed.steps)
    if parsed.advanced:
        rows = Rows(parsed, mode, x.ops)
        y = x.ops.take(rows.arranged(y), rows.indices, axis=rows.axis, mode=rows.mode)
    return y if tuple(y.shape) == parsed.shape and y is not x else x.ops.reshape(y, parsed.shape)


def _plain(key: Any) -> tuple[Any, ...] | None:
    # A key of ints, slices of ints, None and Ellipsis as something that a cache takes; None for any other.
    parts: list[Any] = []
    for k in key if type(key) is tuple else (key,):
        if type(k) is slice:
            run = (k.start, k.stop, k.step)
            if not all(v is None or type(v) is int for v in run):
                return None
            parts.append(run)
        elif type(k) is int or k is None or k is Ellipsis:
            parts.append(k)
        else:
            return None
    return tuple(parts)


@lru_cache(maxsize=4096)
def _basic(shape: Shape, plain: tuple[Any, ...]) -> tuple[tuple[Shape, Shape, Shape] | None, Shape | None]:
    # The box of a basic key, None for the whole array, and the shape to give it, None for its own.
    key = parse(tuple(slice(*k) if type(k) is tuple else k for k in plain), shape)
    whole = key.whole(shape)
    box = None if whole else (key.starts, key.stops, key.steps)
    return box, None if key.box == key.shape and not whole else key.shape


class Rows:
    """The advanced part of a key as rows of an array: its advanced axes side by side as one, and the number of a row for each index.

    Args:
        key: with an advanced part.
        mode: what an index out of range does.
        ops: the backend that works out what depends on references.

    Attributes:
        axis: of the arranged array, along which the rows lie.
        indices: which rows, an array or a reference of the shape that the indices have together.
        mode: what an index out of range does from here on.
    """

    indices: Any
    mode: str

    def __init__(self, key: Key, mode: str, ops: Any) -> None:
        self.box: Shape = key.box
        self.advanced: tuple[int, ...] = tuple(a for a in key.axes if a >= 0)
        self.axis: int = key.front
        # Where the rows are to be, the advanced axes may be already.
        first = self.advanced[0] if self.advanced else key.front
        there = self.advanced == tuple(range(first, first + len(self.advanced))) and first == key.front
        rest = [a for a in range(len(self.box)) if a not in self.advanced]
        self.order: tuple[int, ...] | None = None if there else (*rest[: key.front], *self.advanced, *rest[key.front :])
        moved = [self.box[a] for a in self.order or range(len(self.box))]
        self.sizes: tuple[int, ...] = tuple(self.box[a] for a in self.advanced)
        self.merged: tuple[int, ...] = (*moved[: key.front], int(np.prod(self.sizes, dtype=int)), *moved[key.front + len(self.sizes) :])
        self.batch: Shape = key.batch or ()
        self.indices, self.mode = self._positions(key, mode, ops)

    def arranged(self, y: Any) -> Any:
        """The array with its advanced axes as the one axis of rows; `y` has the shape of the key's box."""
        if self.order is not None:
            y = y.ops.permute(y, self.order)
        return y if tuple(y.shape) == self.merged else y.ops.reshape(y, self.merged)

    def back(self, y: Any) -> Any:
        """The opposite: an arranged array in the shape of the box."""
        order = self.order
        if order is None:
            return y if tuple(y.shape) == self.box else y.ops.reshape(y, self.box)
        y = y.ops.reshape(y, tuple(self.box[a] for a in order))
        return y.ops.permute(y, tuple(sorted(range(len(order)), key=order.__getitem__)))

    def _positions(self, key: Key, mode: str, ops: Any) -> tuple[Any, str]:
        steps = [int(np.prod(self.sizes[k + 1 :], dtype=int)) for k in range(len(self.sizes))]
        parts = [(i, *self._of(a, steps)) for i, a in zip(key.indices, key.axes, strict=True)]
        refs = [p for p in parts if isinstance(p[0], RefBase)]
        if len(refs) == 1 and len(parts) == 1:
            return refs[0][0], mode
        if not refs and len(parts) == 1 and parts[0][1] == 1 and np.shape(parts[0][0]) == self.batch:
            return np.ascontiguousarray(parts[0][0]), "drop" if mode == "fill" else "strict"
        constants = [p for p in parts if not isinstance(p[0], RefBase)]
        known = np.zeros(np.broadcast_shapes(*(np.shape(p[0]) for p in constants)) if refs else self.batch, np.int64)
        for i, step, _ in constants:
            known = np.where((known < 0) | (i < 0), -1, known + step * i)
        if not refs:
            return np.ascontiguousarray(known), "drop" if mode == "fill" else "strict"
        total: Any = known
        for i, step, n in refs:
            shape = np.broadcast_shapes(tuple(i.shape), tuple(total.shape))
            total = ops._locate(i, total, shape=shape, size=n, step=step, mode=mode)
        return total, "drop" if mode == "fill" else "strict"

    def _of(self, axis: int, steps: list[int]) -> tuple[int, int]:
        # The step of an index in the number of a row, and what it counts.
        if axis < 0:
            return 0, 1
        k = self.advanced.index(axis)
        return steps[k], self.sizes[k]
