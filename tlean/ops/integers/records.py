"""The ops of integers and Booleans: bits and shifts."""

from __future__ import annotations

from typing import Any

from ...shapes import Shape, broadcast_shapes, size
from ..registry import OpDef, defop, no_gradient, no_tangent
from ..samples import Arr, Sample, bad, good
from .forms import INTEGER_FORMULAS

#: Operands and shifts with all corners: 0, −1, the least and the greatest of both widths.
_CORNERS = (0, 1, -1, 2, -2, 7, -7, 63, 64, -64, 2**31 - 1, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63))


def _samples(count: int) -> list[Sample]:
    if count == 1:
        draws = [good(Arr(s, "int", -9, 10), smooth=False) for s in ((3, 5), (), (2, 0, 3), (40_000,))]
        return [*draws, good(Arr((15,), "values", data=_CORNERS), smooth=False), good(Arr((4,), "bool"), smooth=False)]
    pairs = [((3, 5), (3, 5)), ((), ()), ((3, 5), (5,)), ((4, 1), (1, 6)), ((2, 0, 3), (3,)), ((3,), (2, 5, 1, 3)), ((200, 200), (200, 1))]
    draws = [good(Arr(a, "int", -9, 10), Arr(b, "int", -9, 10), smooth=False) for a, b in pairs]
    corners = good(Arr((15, 1), "values", data=[[c] for c in _CORNERS]), Arr((15,), "values", data=_CORNERS), smooth=False)
    mixed = good(Arr((4, 3), "bool"), Arr((3,), "int", 0, 3), smooth=False)
    wrong = [bad("ShapeError", Arr((2, 3), "int", 0, 9), Arr((2,), "int", 0, 9)), bad("DTypeError", (3,), Arr((3,), "int", 0, 9))]
    return [*draws, corners, mixed, good(Arr((4,), "bool"), Arr((2, 4), "bool"), smooth=False), *wrong]


def _integer_op(name: str, doc: str) -> OpDef:
    formula = INTEGER_FORMULAS[name]

    def shape_of(shapes: dict[str, Shape]) -> Shape:
        return broadcast_shapes(tuple(shapes), tuple(shapes.values()))

    class Unary:
        def shape(x: Shape) -> Shape:
            return x

        def kernel_params(x: Shape) -> tuple[tuple[int, ...], tuple[()]]:
            return (size(x),), ()

    class Binary:
        def shape(a: Shape, b: Shape) -> Shape:
            return shape_of({"a": a, "b": b})

        def kernel_params(a: Shape, b: Shape) -> tuple[tuple[int, ...], tuple[()]]:
            return (size(shape_of({"a": a, "b": b})),), ()

    rules: Any = Unary if len(formula.inputs) == 1 else Binary
    rules.__doc__ = doc
    rules.vjp, rules.jvp = no_gradient, no_tangent
    return defop(
        name,
        out_dtype="int64",
        integers=formula.form,
        broadcasts=len(formula.inputs) > 1,
        samples=lambda: _samples(len(formula.inputs)),
        differentiable=False,
    )(rules)


_integer_op("bitwise_and", "The bits that a and b both have.")
_integer_op("bitwise_or", "The bits that a or b has.")
_integer_op("bitwise_xor", "The bits in which a and b differ.")
_integer_op("bitwise_not", "All bits inverted: −1 − x; of a Boolean its negation.")
_integer_op("bitwise_left_shift", "a·2ᵇ without the bits that are shifted out; 0 where b is not in 0 … bits − 1.")
_integer_op("bitwise_right_shift", "⌊a/2ᵇ⌋; where b is not in 0 … bits − 1, 0 for a ≥ 0 and −1 for a < 0.")
_integer_op("gcd", "The greatest number that divides a and b; of 0 and b that is |b|.")
_integer_op("lcm", "The least number from 1 on that a and b divide; 0 where one of them is 0.")
