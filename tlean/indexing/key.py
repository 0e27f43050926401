"""Keys of `x[key]` and `x.at[key]`: one canonical form of everything that NumPy takes between the brackets.

A key has a basic part, which is a box (slices of any step, and integers where nothing else is an array), and an advanced part: an integer,
an array of integers, or a reference of integers for each of some axes. Boolean arrays are the arrays of their `nonzero`. The result has the
axes that slices keep, those that None adds, and the broadcast shape of the advanced part: in the place of the advanced axes where these
are next to each other in the key, in front otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor
from tlean._core.refs import RefBase
from tlean.errors import DTypeError, IndexRangeError, OptionError, ShapeError

Shape = tuple[int, ...]

#: How an index out of range is taken.
MODES = ("raise", "clip", "fill")


@dataclass(frozen=True)
class Key:
    """A key for one shape.

    Attributes:
        starts: of the box, an entry for each axis of x; an advanced axis is whole.
        stops: of the box.
        steps: of the box.
        axes: the advanced axes, ascending; one may be missing for an index that takes no axis (a Boolean of no axes).
        indices: for each advanced axis an int64 array or a reference of integers; constants are wrapped and in range (-1: out of range).
        mask: a reference of Booleans that is the whole advanced part, known at run time only; then `axes` are those that it covers.
        batch: the shape that the indices have together.
        front: the number of the result's axes before those of `batch`, those that None adds left out.
        shape: of the result.
    """

    starts: Shape
    stops: Shape
    steps: Shape
    axes: Shape = ()
    indices: tuple[Any, ...] = ()
    batch: Shape | None = None
    front: int = 0
    shape: Shape = ()
    mask: Any = None

    @property
    def advanced(self) -> bool:
        """Whether there is an advanced part."""
        return self.batch is not None

    @property
    def box(self) -> Shape:
        """The sizes of the box."""
        return tuple(len(range(a, b, s)) for a, b, s in zip(self.starts, self.stops, self.steps, strict=True))

    def whole(self, shape: Shape) -> bool:
        """Whether the box is all of an array of that shape, in its order."""
        return self.box == shape and all(s == 1 for s in self.steps)


def parse(key: Any, shape: Shape, mode: str = "raise") -> Key:
    """The canonical form of a key for an array of that shape.

    Args:
        key: what is between the brackets.
        shape: of the array.
        mode: "raise", or how a constant index out of range is taken: "clip" (the nearest entry; negative ones are 0) or "fill" (none).

    Raises: IndexRangeError for too many indices and for an index out of range, OptionError for a bad slice, DTypeError for what is no
        index, ShapeError for indices that do not broadcast and a mask of another shape.
    """
    if mode not in MODES:
        raise OptionError(f"x[...]: mode must be one of {', '.join(MODES)}, got {mode!r}")
    return _Parser(key if isinstance(key, tuple) else (key,), tuple(shape), mode).key()


class _Parser:
    def __init__(self, keys: tuple[Any, ...], shape: Shape, mode: str) -> None:
        self.shape, self.mode = shape, mode
        self.parts = [p for k in keys for p in self.read(k)]
        ellipses = sum(p is Ellipsis for p in self.parts)
        if ellipses > 1:
            raise IndexRangeError(f"x[...]: a key must have at most one Ellipsis, got {ellipses}")
        taken = sum(_axes_of(p) for p in self.parts)
        if taken > len(shape):
            raise IndexRangeError(f"x[...]: {taken} indices for {len(shape)} axes, got x: {shape}")
        if not ellipses:
            self.parts.append(Ellipsis)
        self.rest = len(shape) - taken

    def read(self, k: Any) -> list[Any]:
        # One entry of the key as parts: None, Ellipsis, a slice, an int, or a _Index; a Boolean array is several.
        if k is None or k is Ellipsis or isinstance(k, slice):
            return [k]
        if isinstance(k, RefBase):
            return self.read_ref(k)
        if type(k) is int:
            return [k]
        array = _array(k)
        if array.ndim == 0 and array.dtype.kind in "iu":
            return [int(array)]
        if array.dtype.kind == "b":
            return [_Mask(array) if array.ndim else _Index(np.zeros(int(array), np.int64), False)]
        if array.dtype.kind not in "iu" and array.size:
            raise DTypeError(f"x[...]: an index must be an int, a slice or an array of integers or Booleans, got {_told(k)}")
        # An array of the library never changes.
        return [_Index(array.astype(np.int64, copy=type(k) is not AnyTensor))]

    def read_ref(self, k: RefBase) -> list[Any]:
        dtype = str(k.dtype)
        if dtype == "bool":
            value = value_now(k)
            if value is None:
                return [_Mask(k)]
            return self.read(value)
        if not dtype.startswith("int"):
            raise DTypeError(f"x[...]: an index must hold integers or Booleans, got a reference of {dtype}")
        return [_Index(k)]

    def key(self) -> Key:
        advanced = any(isinstance(p, _Index | _Mask) for p in self.parts)
        box: list[tuple[int, int, int]] = []  # a start, stop and step for each axis of x
        axes: list[int] = []
        indices: list[Any] = []
        masks: list[Any] = []
        shape: list[int] = []  # of the result, without the advanced part
        places: list[tuple[int, int]] = []  # where in it an advanced part is, and how many of the axes before are x's own
        kept = 0
        apart = ended = False
        for p in self.parts:
            if isinstance(p, _Index | _Mask) or (advanced and isinstance(p, int)):
                apart = apart or ended
                places.append((len(shape), kept))
                for index, n in self.indices_at(p, len(box), masks):
                    indices.append(index)
                    axes.append(-1 if n is None else len(box))
                    if n is not None:
                        box.append((0, n, 1))
                continue
            ended = ended or bool(places)
            if p is None:
                shape.append(1)
            elif isinstance(p, int):
                start = self.entry(p, len(box))
                box.append((start, start + 1, 1))
            else:
                for whole in [slice(None)] * self.rest if p is Ellipsis else [p]:
                    box.append(_bounds(whole, self.shape[len(box)]))
                    shape.append(len(range(*box[-1])))
                    kept += 1
        starts, stops, steps = (tuple(b[k] for b in box) for k in range(3))
        if not advanced:
            return Key(starts, stops, steps, shape=tuple(shape))
        if masks and (len(masks) > 1 or len(places) > 1):
            raise DTypeError("x[...]: a mask known at run time only must be the only array of its key")
        batch = _together([tuple(i.shape) for i in indices])
        place, front = (0, 0) if apart else places[0]
        result = (*shape[:place], *batch, *shape[place:])
        return Key(starts, stops, steps, tuple(axes), tuple(indices), batch, front, result, masks[0] if masks else None)

    def indices_at(self, p: Any, axis: int, masks: list[Any]) -> list[tuple[Any, int | None]]:
        # The indices of one advanced part with the sizes of the axes that they take, from `axis` on.
        if isinstance(p, int):
            return [(np.asarray(self.entry(p, axis)), self.shape[axis])]
        if isinstance(p, _Mask):
            covered = self.shape[axis : axis + len(p.shape)]
            if covered != p.shape:
                raise ShapeError(f"x[...]: a mask must have the shape {covered} of the axes that it covers, got {p.shape}")
            if not isinstance(p.value, np.ndarray):
                masks.append(p.value)
                return [(_Hidden(), n) for n in covered]
            return list(zip((i.astype(np.int64) for i in np.nonzero(p.value)), covered, strict=True))
        if not p.takes:
            return [(p.value, None)]
        n = self.shape[axis]
        return [(self.entries(p.value, axis, n) if isinstance(p.value, np.ndarray) else p.value, n)]

    def entry(self, i: int, axis: int) -> int:
        return int(self.entries(np.asarray(i, np.int64) if -(1 << 63) <= i < 1 << 63 else np.asarray(1 << 62), axis, self.shape[axis], i))

    def entries(self, index: np.ndarray, axis: int, n: int, told: int | None = None) -> np.ndarray:
        if index.size and index.min() >= 0 and index.max() < n:
            # Nearly always so, and large arrays of indices are read twice instead of written five times.
            return index
        if self.mode == "clip":
            if not n:
                raise IndexRangeError(f"x[...]: axis {axis} must have an entry to clip an index to, got x: {self.shape}")
            return np.clip(index, 0, n - 1)
        outside = (index < -n) | (index >= n)
        if outside.any() and self.mode == "raise":
            wrong = index[outside].flat[0] if told is None else told
            raise IndexRangeError(f"x[...]: index {wrong} is out of range on axis {axis}, got x: {self.shape}")
        return np.where(outside, -1, np.where(index < 0, index + n, index))


class _Index:
    # An array or a reference of integers; `takes` is False for a Boolean of no axes, which takes no axis.
    def __init__(self, value: Any, takes: bool = True) -> None:
        self.value, self.takes = value, takes


class _Mask:
    # An array or a reference of Booleans.
    def __init__(self, value: Any) -> None:
        self.value, self.shape = value, tuple(value.shape)


class _Hidden:
    # The index of a mask that is known at run time only.
    shape = ()


def _axes_of(part: Any) -> int:
    if isinstance(part, _Mask):
        return len(part.shape)
    if isinstance(part, _Index):
        return int(part.takes)
    return int(isinstance(part, int | slice))


def _bounds(k: slice, n: int) -> tuple[int, int, int]:
    if any(isinstance(v, RefBase) for v in (k.start, k.stop, k.step)):
        raise DTypeError("x[...]: a slice must hold ints or nothing, got a reference; use dynamic_slice for a start known at run time only")
    try:
        start, stop, step = k.indices(n)
    except (TypeError, ValueError) as error:
        raise OptionError(f"x[...]: a slice must hold ints or nothing, and a step other than 0, got {k} ({error})") from None
    return (start, stop, step) if len(range(start, stop, step)) else (0, 0, 1)


def _array(k: Any) -> np.ndarray:
    try:
        return np.asarray(k)
    except (TypeError, ValueError):
        raise DTypeError(f"x[...]: an index must be an int, a slice or an array of integers or Booleans, got {_told(k)}") from None


def _told(k: Any) -> str:
    dtype = getattr(k, "dtype", None)
    return type(k).__name__ if dtype is None else f"{type(k).__name__} of {dtype}"


def _together(shapes: Sequence[Shape]) -> Shape:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"x[...]: index arrays must broadcast to one shape, got {', '.join(map(str, shapes))}") from None


def value_now(ref: Any) -> np.ndarray | None:
    """The value of a reference that is computed already; None for one of a program that is only recorded."""
    while hasattr(ref, "primal"):
        ref = ref.primal
    if hasattr(ref, "numpy"):
        return np.asarray(ref.numpy())
    return getattr(ref, "value", None)
