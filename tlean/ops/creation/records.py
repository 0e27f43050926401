"""The records behind creation: a constant, numbers at equal distances, ones on a diagonal. No input, an option `dtype`, no gradient."""

from __future__ import annotations

from typing import Any

from ...dtypes import INTEGERS, dtype_option
from ...errors import OptionError
from ...shapes import Shape, as_shape, size
from .. import expression as ex
from ..elementwise import FORMULAS, Formula, number
from ..registry import defop, no_gradient, no_tangent, whole
from ..samples import bad, good


def number_of(value: Any, name: str, dtype: str | None) -> float:
    """A plain number as an array of that dtype holds it: an int where it holds integers. Raises: OptionError."""
    plain = number(value, name)
    if dtype == "bool":
        return int(plain != 0)
    return int(value) if dtype in INTEGERS else plain


class _Made:
    # What these records share.
    vjp = no_gradient
    jvp = no_tangent


FORMULAS["_full"] = Formula("_full", (), ("value",), ex.Variable("value"), dict)


def _full_samples() -> list[Any]:
    return [
        good(shape=(2, 3), value=1.5), good(shape=(), value=0), good(shape=(0, 2), value=1),
        good(shape=(3,), value=(1 << 53) + 1, dtype="int64"), good(shape=(2, 2), value=-7, dtype="int32"),
        good(shape=(70_001,), value=True, dtype="bool"),
        good(shape=(4,), value=0.25, dtype="float32"),
        bad("ShapeError", shape=(-1,), value=0), bad("OptionError", shape=(1,), value="one"),
    ]  # fmt: skip


@defop("_full", samples=_full_samples, differentiable=False)
class Full(_Made):
    """A constant array: every element is `value`."""

    def options(*, shape: Any, value: Any, dtype: Any = None) -> dict[str, Any]:
        dtype = dtype_option(dtype)
        value = number_of(value, "value", dtype)
        if dtype == "int32" and not -(1 << 31) <= value < 1 << 31:
            raise OptionError("value must fit int32")
        return {"shape": as_shape(shape), "value": value, "dtype": dtype}

    def shape(*, shape: Shape, value: float, dtype: str | None) -> Shape:
        return shape

    def kernel_params(*, shape: Shape, value: float, dtype: str | None) -> tuple[tuple[int, ...], tuple[float, ...]]:
        # ints = (elements,); floats = (value,). Of integers: ints = (elements, value).
        return ((size(shape), int(value)), ()) if dtype in INTEGERS else ((size(shape),), (value,))


def _iota_samples() -> list[Any]:
    return [
        good(length=5, start=0, step=1, dtype="int64"), good(length=3, start=(1 << 53) + 1, step=-(1 << 40), dtype="int64"),
        good(length=4, start=7, step=-3, dtype="int32"), good(length=0, start=0.5, step=0.25), good(length=1, start=-2.0, step=0.0),
        good(length=7, start=0.5, step=0.25), good(length=6, start=-1.0, step=0.4, last=1.0), good(length=70_001, start=3.0, step=-0.5),
        good(length=5, start=0.5, step=0.25, dtype="float32"),
        good(length=70_001, start=-9, step=2, dtype="int64"), good(length=2, start=-1.0, step=2.0, last=1.0),
        bad("OptionError", length=-1, start=0, step=1), bad("OptionError", length=2, start=None, step=1),
    ]  # fmt: skip


@defop("_iota", kernel="iota", samples=_iota_samples, differentiable=False)
class Iota(_Made):
    """Numbers at equal distances: y[i] = start + i·step in float64, rounded to the dtype; of integers exact. The last is `last`, if any."""

    def options(*, length: Any, start: Any, step: Any, last: Any = None, dtype: Any = None) -> dict[str, Any]:
        dtype, length = dtype_option(dtype), whole("length", length)
        if length < 0:
            raise OptionError("length must be at least 0")
        start, step = number_of(start, "start", dtype), number_of(step, "step", dtype)
        last = None if last is None else number_of(last, "last", dtype)
        return {"length": length, "start": start, "step": step, "last": last, "dtype": dtype}

    def shape(*, length: int, start: float, step: float, last: float | None, dtype: str | None) -> Shape:
        return (length,)

    def kernel_params(
        *, length: int, start: float, step: float, last: float | None, dtype: str | None
    ) -> tuple[tuple[int, ...], tuple[float, ...]]:
        # ints = (elements, whether the last is given); floats = (start, step, last). Of integers: ints = (elements, start, step).
        if dtype in INTEGERS:
            return (length, int(start), int(step)), ()
        return (length, last is not None), (start, step, 0.0 if last is None else last)


def _eye_samples() -> list[Any]:
    return [
        good(rows=3, columns=3, offset=0), good(rows=2, columns=5, offset=1), good(rows=5, columns=2, offset=-2),
        good(rows=0, columns=3, offset=0), good(rows=3, columns=0, offset=0), good(rows=3, columns=3, offset=7),
        good(rows=4, columns=4, offset=-1, dtype="int64"), good(rows=2, columns=3, offset=0, dtype="bool"),
        good(rows=3, columns=2, offset=0, dtype="int32"), good(rows=300, columns=301, offset=2),
        bad("OptionError", rows=-1, columns=2, offset=0), bad("OptionError", rows=2, columns=2, offset=0.5),
    ]  # fmt: skip


@defop("_eye", kernel="eye", samples=_eye_samples, differentiable=False)
class Eye(_Made):
    """Ones on a diagonal, zeros elsewhere: y[i, j] = 1 where j = i + offset."""

    def options(*, rows: Any, columns: Any, offset: Any, dtype: Any = None) -> dict[str, Any]:
        rows, columns = whole("the number of rows", rows), whole("the number of columns", columns)
        if rows < 0 or columns < 0:
            raise OptionError("there must be at least 0 rows and columns")
        return {"rows": rows, "columns": columns, "offset": whole("the diagonal", offset), "dtype": dtype_option(dtype)}

    def shape(*, rows: int, columns: int, offset: int, dtype: str | None) -> Shape:
        return (rows, columns)

    def kernel_params(*, rows: int, columns: int, offset: int, dtype: str | None) -> tuple[tuple[int, ...], tuple[()]]:
        """Ints: rows, columns, offset."""
        return (rows, columns, offset), ()
