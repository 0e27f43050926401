"""Conversions between dtypes: what puts the operands of one call into one dtype. One op for each dtype that is converted to."""

from __future__ import annotations

from typing import Any

from ..dtypes import ANY, FLOATS, SIZES
from ..shapes import Shape, size
from .registry import OpDef, defop
from .samples import Arr, good


def conversion_op(dtype: str) -> str:
    """The name of the op that converts to a dtype."""
    return f"_as_{dtype}"


def converted(ops: Any, x: Any, dtype: str | None) -> Any:
    """A reference in a dtype: itself where it has it, and where one of both is None."""
    return x if x is None or dtype is None or x.dtype == dtype else ops.apply(conversion_op(dtype), (x,), {})


def _conversion(dtype: str) -> OpDef:
    class Conversion:
        def shape(x: Shape) -> Shape:
            return x

        def kernel_params(x: Shape) -> tuple[tuple[int, ...], tuple[()]]:
            """Ints: elements."""
            return (size(x),), ()

        def vjp(ops: Any, g: Any, y: Any, x: Any) -> tuple[Any]:
            return (converted(ops, g, x.dtype) if x.dtype in FLOATS else None,)

        def jvp(ops: Any, t: Any, y: Any, x: Any) -> Any:
            return None if t[0] is None else converted(ops, t[0], dtype)

    Conversion.__doc__ = (
        f"The elements as {dtype}: rounded to the nearest where it is a float dtype, towards 0 from floats to integers; True where not 0."
    )
    return defop(
        conversion_op(dtype),
        dtypes={"x": ANY},
        out_dtype=dtype,
        kernel=f"as_{dtype}",
        algebraic=False,
        differentiable=dtype in FLOATS,
        samples=lambda: [good(Arr(s), smooth=False) for s in ((3, 5), (), (0, 2), (70_001,))],
    )(Conversion)


for _dtype in SIZES:
    _conversion(_dtype)
