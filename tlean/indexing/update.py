"""`x.at[key]`: copies of an array with the entries that a key names set, increased, multiplied, or replaced by the greater or smaller."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlean._core.refs import RefBase
from tlean.dtypes import INTEGERS, SIZES
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.ops.rows.write import full_like, written

from .key import Key, Shape, parse
from .read import Rows, read


class At:
    """What `x.at` is: `x.at[key]` names entries of x.

    Args:
        x: a reference.
    """

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = x

    def __getitem__(self, key: Any) -> Entries:
        return Entries(self._x, key)

    def __repr__(self) -> str:
        return f"<at of {self._x!r}>"


class Entries:
    """The entries of an array that a key names; each method gives a new array, x stays as it is.

    A value is a reference, anything array-like or a number, and broadcasts to the shape of `x[key]`. What is no reference takes the dtype
    of x if it is of that kind or a lower one (Boolean, integer, float). Integers and Booleans stay what they are. In every method `mode`
    says what an index out of range does: "raise", "clip" (the nearest entry) or "fill" (nothing is written, 0 is read).

    Args:
        x: a reference.
        key: as in `x[key]`.
    """

    __slots__ = ("_key", "_x")

    def __init__(self, x: Any, key: Any) -> None:
        self._x, self._key = x, key

    def get(self, mode: str = "raise") -> Any:
        """The entries.

        Args:
            mode: what an index out of range does.

        Raises: as `x[key]` does.
        """
        return read(self._x, self._key, mode)

    def set(self, v: Any, mode: str = "raise") -> Any:
        """x with the value there; the last one where an index is repeated, which has the gradient then.

        Args:
            v: the value.
            mode: what an index out of range does.

        Raises: as `x[key]` does; ShapeError for a value that does not broadcast.
        """
        return self._updated(v, "set", mode)

    def add(self, v: Any, mode: str = "raise") -> Any:
        """x with the value added there, in the order of the indices.

        Args:
            v: the value.
            mode: what an index out of range does.

        Raises: as `set` does.
        """
        return self._updated(v, "add", mode)

    def mul(self, v: Any, mode: str = "raise") -> Any:
        """x multiplied by the value there, in the order of the indices.

        Args:
            v: the value.
            mode: what an index out of range does.

        Raises: as `set` does.
        """
        return self._updated(v, "mul", mode)

    def max(self, v: Any, mode: str = "raise") -> Any:
        """The greater of x and the value there; those that are equal share the gradient.

        Args:
            v: the value.
            mode: what an index out of range does.

        Raises: as `set` does.
        """
        return self._updated(v, "max", mode)

    def min(self, v: Any, mode: str = "raise") -> Any:
        """The smaller of x and the value there; those that are equal share the gradient.

        Args:
            v: the value.
            mode: what an index out of range does.

        Raises: as `set` does.
        """
        return self._updated(v, "min", mode)

    def __repr__(self) -> str:
        return f"<entries {self._key!r} of {self._x!r}>"

    def _updated(self, v: Any, what: str, mode: str) -> Any:
        x, key = self._x, self._key
        shape, ops = tuple(x.shape), x.ops
        v = _value(x, v)
        mask = key[0] if isinstance(key, tuple) and len(key) == 1 else key
        if isinstance(mask, RefBase) and str(mask.dtype) == "bool" and _fits(v, shape[len(mask.shape) :]):
            return _where(x, mask, v, what)
        parsed = parse(key, shape, mode)
        if parsed.mask is not None:
            raise ShapeError(
                f"x.at[mask].{what}: a mask known at run time only takes a value that broadcasts to {shape[len(mask.shape) :]},"
                f" one for each of its places, got {None if v is None else tuple(getattr(v, 'shape', ()))}"
            )
        if not parsed.advanced:
            return _boxed(x, parsed, v, what)
        if parsed.whole(shape):
            return _rows(x, parsed, v, what, mode)
        inner = ops.slice(x, parsed.starts, parsed.stops, parsed.steps)
        return ops._set_box(x, _rows(inner, parsed, v, what, mode), None, starts=parsed.starts, steps=parsed.steps)


def _value(x: Any, v: Any) -> Any:
    # A number that is weak, or a reference.
    if isinstance(v, RefBase):
        return v
    if v is None:
        raise OptionError("x.at[...]: a value must be an array or a number, got None")
    dtype = str(x.dtype)
    if type(v) is float or (type(v) is int and dtype not in INTEGERS):
        return v
    if type(v) is int and dtype in ("int32", "int64") and not -1 <= v >> (8 * SIZES[dtype] - 1) <= 0:
        raise DTypeError(f"x.at[...]: an integer beside {dtype} must fit {dtype}, got {v}")
    array = np.asarray(v)
    return x.ops._own_constant(array.astype(dtype) if dtype in SIZES and np.can_cast(array.dtype, dtype, "same_kind") else array)


def _fits(v: Any, shape: Shape) -> bool:
    try:
        return np.broadcast_shapes(tuple(getattr(v, "shape", ())), shape) == shape
    except ValueError:
        return False


def _spread(x: Any, v: Any, shape: Shape) -> Any:
    # A value for x in a shape that it broadcasts to; axes of size 1 in front are dropped, as NumPy's assignments do.
    ops = x.ops
    if not isinstance(v, RefBase):
        return full_like(ops, x, shape, v)
    own = tuple(v.shape)
    if own == shape:
        return v
    while len(own) > len(shape) and own[0] == 1:
        own = own[1:]
    if not _fits(np.empty(own, bool) if 0 not in own else np.empty(own), shape):
        raise ShapeError(f"x.at[...]: a value must broadcast to the shape {shape} of x[...], got {tuple(v.shape)}")
    v = v if tuple(v.shape) == own else ops.reshape(v, own)
    return v if own == shape else ops.broadcast_to(v, shape)


_OPS = {"add": "add", "mul": "mul", "max": "max", "min": "min"}


def _combined(old: Any, v: Any, what: str) -> Any:
    return v if what == "set" else old.ops.apply(_OPS[what], (old, v), {})


def _where(x: Any, mask: Any, v: Any, what: str) -> Any:
    ops, shape = x.ops, tuple(x.shape)
    if tuple(mask.shape) != shape[: len(mask.shape)]:
        raise ShapeError(f"x.at[mask]: a mask must have the shape of the axes that it covers, got mask: {mask.shape}, x: {shape}")
    if tuple(mask.shape) != shape:
        mask = ops.broadcast_to(ops.reshape(mask, (*mask.shape, *(1,) * (len(shape) - len(mask.shape)))), shape)
    return ops.where(mask, _combined(x, _spread(x, v, shape), what), x)


def _boxed(x: Any, key: Key, v: Any, what: str) -> Any:
    ops = x.ops
    v = _spread(x, v, key.shape)
    v = v if tuple(v.shape) == key.box else ops.reshape(v, key.box)
    old = None if what == "set" else ops.slice(x, key.starts, key.stops, key.steps)
    return ops._set_box(x, _combined(old, v, what), None, starts=key.starts, steps=key.steps)


def _rows(x: Any, key: Key, v: Any, what: str, mode: str) -> Any:
    # x has the shape of the key's box.
    ops = x.ops
    rows = Rows(key, mode, ops)
    base = rows.arranged(x)
    named = (*rows.merged[: rows.axis], *rows.batch, *rows.merged[rows.axis + 1 :])
    v = _spread(x, v, key.shape)
    v = v if tuple(v.shape) == named else ops.reshape(v, named)
    if what == "mul":
        y = _multiplied(base, v, rows)
    else:
        y = written(ops, base, v, rows.indices, rows.axis, rows.mode, what)
    return rows.back(y)


def _multiplied(x: Any, v: Any, rows: Rows) -> Any:
    # Each index that names an entry again goes on from the product before; the last one has the whole.
    ops, axis, size = x.ops, rows.axis, rows.merged[rows.axis]
    count = int(np.prod(rows.batch, dtype=int))
    v = ops.reshape(v, (*rows.merged[:axis], count, *rows.merged[axis + 1 :]))
    first, start, previous, last = (ops._neighbours(rows.indices, size=size, which=w, mode=rows.mode) for w in _LINKS)
    begun = ops.mul(ops.take(v, start, axis=axis, mode="drop"), ops.take(x, first, axis=axis, mode="drop"))
    product = ops._chain(v, begun, previous, axis=axis)
    return ops._set_rows(x, product, last, axis=axis, mode="drop")


_LINKS = ("first", "start", "previous", "last")
