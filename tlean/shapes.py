"""Geometry of broadcasting, reductions, convolutions and pools: pure functions on tuples of ints; and shapes with their dtypes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, ClassVar

from .dtypes import FLOAT
from .errors import IndexRangeError, OptionError, ShapeError

Shape = tuple[int, ...]


def size(shape: Sequence[int]) -> int:
    """The number of elements of an array of that shape (1 for a scalar)."""
    n = 1
    for d in shape:
        n *= d
    return n


#: Axes of an array at most; NumPy's limit, of which the core takes fewer.
_MOST_AXES = 64


#: What can be iterated over, and is no shape all the same.
NO_SEQUENCES = (str, bytes, bytearray, dict, set, frozenset)


def as_shape(value: object) -> Shape:
    """A shape from an int or a sequence of ints. Raises: ShapeError on anything else and on negative sizes."""
    try:
        if isinstance(value, NO_SEQUENCES):
            raise TypeError
        dims = (int(value),) if isinstance(value, int) else tuple(_exact_int(d) for d in value)  # type: ignore[attr-defined]
    except (TypeError, NotImplementedError):
        # A memoryview of several axes cannot be iterated over.
        raise ShapeError(f"a shape must be a sequence of ints, not {value!r}") from None
    if len(dims) > _MOST_AXES:
        raise ShapeError(f"an array must have at most {_MOST_AXES} axes, not {len(dims)}")
    if any(d < 0 for d in dims):
        raise ShapeError(f"a size must be at least 0, not {dims}")
    return dims


def _exact_int(value: object) -> int:
    return operator.index(value)  # type: ignore[arg-type]


def normalize_axis(axis: int, ndim: int) -> int:
    """The axis counted from 0. Raises: OptionError unless it is an int, IndexRangeError if there is no such axis."""
    try:
        if isinstance(axis, bool):
            raise TypeError
        k = _exact_int(axis)
    except TypeError:
        raise OptionError(f"axis must be an int, not {axis!r}") from None
    if not -ndim <= k < ndim:
        raise IndexRangeError(f"axis {axis} is out of range for {ndim} axes")
    return k + ndim if k < 0 else k


def normalize_axes(axis: int | Sequence[int] | None, ndim: int) -> Shape:
    """The axes counted from 0, ascending; None means all. Raises: IndexRangeError out of range, OptionError on an axis named twice."""
    if axis is None:
        return tuple(range(ndim))
    try:
        if isinstance(axis, NO_SEQUENCES):
            raise TypeError
        axes: Sequence[int] = tuple(axis) if isinstance(axis, Iterable) else (axis,)
    except (TypeError, NotImplementedError):
        # An array without axes, or a memoryview of several, cannot be iterated over.
        raise OptionError(f"axis must be an int or a sequence of ints, not {axis!r}") from None
    found = sorted(normalize_axis(a, ndim) for a in axes)
    if len(set(found)) != len(found):
        raise OptionError(f"axis names an axis twice: {axis}")
    return tuple(found)


def reduced(shape: Shape, axes: Shape, keepdims: bool) -> Shape:
    """The shape after reducing over `axes`."""
    if keepdims:
        return tuple(1 if i in axes else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def resolve_reshape(shape: Shape, target: Sequence[int]) -> Shape:
    """The target with its one −1 filled in. Raises: ShapeError if the sizes differ."""
    dims = [_exact_int(d) for d in ((target,) if isinstance(target, int) else target)]
    holes = [i for i, d in enumerate(dims) if d == -1]
    if len(holes) > 1 or any(d < -1 for d in dims):
        raise ShapeError(f"a target shape takes sizes of at least 0 and at most one -1, not {tuple(dims)}")
    total = size(shape)
    if holes:
        rest = size([d for d in dims if d != -1])
        if rest == 0 or total % rest:
            raise ShapeError(f"{total} elements do not fill {tuple(dims)}")
        dims[holes[0]] = total // rest
    if size(dims) != total:
        raise ShapeError(f"{total} elements do not make {tuple(dims)}")
    return tuple(dims)


def broadcast_axes(shape: Shape, target: Shape, axis_map: Sequence[int] | None = None) -> tuple[Shape, Shape]:
    """How `shape` stretches to `target`: (the output axis of each input axis, the output axes that are expanded).

    By default axes are aligned at the right, as NumPy does. Raises: ShapeError, OptionError if it does not fit.
    """
    if axis_map is None:
        if len(shape) > len(target):
            raise ShapeError(f"{len(shape)} axes do not broadcast to {len(target)}")
        where = tuple(range(len(target) - len(shape), len(target)))
    else:
        where = tuple(_exact_int(a) for a in axis_map)
        if len(where) != len(shape) or len(set(where)) != len(where) or any(not 0 <= a < len(target) for a in where):
            raise OptionError(f"axis_map names one distinct axis of the output for each of the {len(shape)} input axes, not {where}")
    expanded = set(range(len(target))) - set(where)
    for d, a in zip(shape, where, strict=True):
        if d == target[a]:
            continue
        if d != 1:
            raise ShapeError(f"{shape} does not broadcast to {target}: axis of size {d} against {target[a]}")
        expanded.add(a)
    return where, tuple(sorted(expanded))


def broadcast_shapes(names: Sequence[str], shapes: Sequence[Shape]) -> Shape:
    """The shape to which these broadcast by NumPy's rule: axes are aligned at the right, an axis of size 1 or that is not there stretches.

    Args:
        names: of the arrays, for the message.
        shapes: theirs.

    Raises: ShapeError that names the axis and the sizes that clash.
    """
    first = shapes[0]
    if all(s == first for s in shapes):
        return first
    result = []
    for axis in range(-max(map(len, shapes)), 0):
        sizes = {name: s[axis] for name, s in zip(names, shapes, strict=True) if -axis <= len(s) and s[axis] != 1}
        if len(set(sizes.values())) > 1:
            found = ", ".join(f"{n} for {name}" for name, n in sizes.items())
            raise ShapeError(f"{' and '.join(names)} must broadcast: along axis {axis} each size must be the same or 1, not {found}")
        result.append(next(iter(sizes.values()), 1))
    return tuple(result)


def per_axis(value: int | Sequence[int], d: int, name: str) -> Shape:
    """One int per spatial axis, from an int or a sequence of d ints. Raises: OptionError."""
    if isinstance(value, int) or hasattr(value, "__index__"):
        values: Shape = (_exact_int(value),) * d
    else:
        values = tuple(_exact_int(v) for v in value)
    if len(values) != d:
        raise OptionError(f"{name} must be an int or {d} ints, not {values}")
    # Positions along an axis are computed in 64 bits.
    if any(abs(v) >= 1 << 31 for v in values):
        raise ShapeError(f"{name} must be below 2^31, not {values}")
    return values


def conv_out(size_in: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Output size of a convolution or pool along one axis: ⌊(in + 2p − dil(k−1) − 1)/s⌋ + 1 (Dumoulin & Visin 2016, relation 15).

    Raises: ShapeError for a stride or dilation < 1, a zero kernel, or a kernel larger than the padded input.
    """
    if stride < 1 or dilation < 1:
        raise ShapeError(f"stride and dilation must be at least 1, not {stride} and {dilation}")
    if kernel < 1:
        raise ShapeError(f"a kernel must have at least one cell along each axis, not {kernel}")
    if padding < 0:
        raise ShapeError(f"padding must be at least 0, not {padding}")
    span = dilation * (kernel - 1) + 1
    if span > size_in + 2 * padding:
        raise ShapeError(f"a kernel that spans {span} does not fit an input of {size_in} padded to {size_in + 2 * padding}")
    return (size_in + 2 * padding - span) // stride + 1


def conv_transpose_out(size_in: int, kernel: int, stride: int, padding: int, output_padding: int, dilation: int) -> int:
    """Size of a transposed convolution along one axis: (in−1)s − 2p + dil(k−1) + output_padding + 1 (Dumoulin & Visin 2016, ch. 4)."""
    return (size_in - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1


# Shapes with their dtypes -----------------------------------------------------------------------------------------------


class _Size:
    # Computed once for each spec. `functools.cached_property` has a lock in Python 3.11, which a forked child may find taken.
    def __get__(self, spec: Spec, owner: type[Any]) -> int:
        n = spec.__dict__["size"] = math.prod(spec.shape)
        return n


#: Specs by shape and dtype: equal ones are one object, so that tables look them up by identity.
_SPECS: dict[tuple[Shape, str], Spec] = {}
_MOST_SPECS = 65536


@dataclass(frozen=True, eq=False, init=False)
class Spec:
    """A shape and a dtype: what is known of an array before it exists.

    `dtype` is `"float32"`, `"float64"`, `"int64"`, `"int32"`, `"bool"`, or `"float"` for the float dtype of the program.
    """

    shape: Shape
    dtype: str = FLOAT

    #: The number of elements.
    size: ClassVar[_Size] = _Size()

    def __new__(cls, shape: Shape, dtype: str = FLOAT) -> Spec:
        # Of an array's dtype, which is a text of another type, the name alone: the core takes it.
        if type(dtype) is not str and isinstance(dtype, str):
            dtype = str(dtype)
        plain = type(shape) is tuple and type(dtype) is str and False not in [type(n) is int for n in shape]
        spec = _SPECS.get((shape, dtype)) if plain else None
        if spec is None:
            spec = object.__new__(cls)
            spec.__dict__.update(shape=shape, dtype=dtype)
            if plain:
                if len(_SPECS) >= _MOST_SPECS:
                    _SPECS.clear()
                spec = _SPECS.setdefault((shape, dtype), spec)
        return spec

    def __eq__(self, other: object) -> bool:
        # One object, but for those that are written in another way and those that were dropped from the table meanwhile.
        return self is other or (type(other) is Spec and self.shape == other.shape and self.dtype == other.dtype)

    __hash__: ClassVar[Callable[[Spec], int]] = object.__hash__

    def __reduce__(self) -> Any:
        return Spec, (self.shape, self.dtype)

    def resolved(self, float_dtype: str) -> Spec:
        """The same with `"float"` replaced by the program's float dtype.

        Args:
            float_dtype: "float32" or "float64".
        """
        return known_spec(self.shape, float_dtype) if self.dtype == FLOAT else self


@lru_cache(maxsize=65536)
def known_spec(shape: Shape, dtype: str) -> Spec:
    """One object for equal specs: a program of many nodes has few of them."""
    return Spec(shape, dtype)


def as_spec(out: Any, dtype: str) -> Spec:
    """What a shape rule gave: a spec as it is, a shape of that dtype."""
    return out if isinstance(out, Spec) else known_spec(tuple(out), dtype)


def stretching(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of `ops` that chooses its shapes: what it calls broadcasts, also in a program of equal shapes.

    Args:
        function: what checks its arguments' shapes itself.
    """

    @wraps(function)
    def run(ops: Any, *args: Any, **options: Any) -> Any:
        if not getattr(ops, "strict_shapes", False):
            return function(ops, *args, **options)
        ops.strict_shapes = False
        try:
            return function(ops, *args, **options)
        finally:
            ops.strict_shapes = True

    return run
