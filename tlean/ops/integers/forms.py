"""What elementwise ops compute of integers alone: formulas for integers and for Booleans, of which kernels are made.

Arithmetic is modulo 2 to the power of the bits; what has no result there is what NumPy gives: a // 0 and a % 0 are 0.
A power with an exponent below 0, which NumPy refuses, is the whole part of the quotient: 0 but for the bases 1 and −1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...dtypes import IntegerForm
from ...shapes import broadcast_shapes
from .. import expression as ex

Shape = tuple[int, ...]


@dataclass(frozen=True)
class IntegerFormula:
    """What a kernel computes for each element.

    Attributes:
        inputs, parameters: the variables of the formulas; parameters are options.
        of_integers, of_booleans: the formulas as text, or as trees of functions that floats have not.
        form: what the record says of it.
    """

    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    of_integers: str | ex.Tree
    of_booleans: str | ex.Tree | None
    form: IntegerForm

    @property
    def integers(self) -> ex.Tree:
        """The formula for int64 and int32."""
        return _tree(self.of_integers)

    @property
    def booleans(self) -> ex.Tree | None:
        """That for Booleans, 0 or 1; None where they are computed with as integers, or not at all."""
        return None if self.of_booleans is None else _tree(self.of_booleans)

    def suffixes(self) -> tuple[str, ...]:
        """The endings of the names of its kernels."""
        return ("i64", "i32") if self.of_booleans is None else ("i64", "i32", "b8")


#: By the name of the op.
INTEGER_FORMULAS: dict[str, IntegerFormula] = {}


def strided_operands(shapes: Sequence[Shape]) -> tuple[int, ...]:
    """How operands are read that broadcast: (axes, sizes…, strides of the first…, of the second…), with as few axes as say it.

    A stride is 0 along an axis that is stretched, so nothing is copied. Neighbouring axes are one where every operand steps over them so.
    """
    shape = broadcast_shapes([""] * len(shapes), shapes)
    strides = []
    for own in shapes:
        step, steps = 1, []
        for axis in range(1, len(shape) + 1):
            n = own[-axis] if axis <= len(own) else 1
            steps.append(step if n > 1 else 0)
            step *= n
        strides.append(steps[::-1])
    axes: list[list[int]] = []
    for n, *steps in zip(shape, *strides, strict=True):
        if n == 1:
            continue
        if axes and all(before == n * after for before, after in zip(axes[-1][1:], steps, strict=True)):
            axes[-1] = [axes[-1][0] * n, *steps]
        else:
            axes.append([n, *steps])
    if not axes or 0 in shape:
        axes = [[int(0 not in shape), *[1] * len(shapes)]]
    return len(axes), *(number for column in zip(*axes, strict=True) for number in column)


def _form(signature: str, integers: str | ex.Tree, booleans: str | ex.Tree | None = None, **form: Any) -> None:
    # "clamp(x, *, lo, hi)", with its formulas.
    name, _, rest = signature.rstrip(")").partition("(")
    inputs, _, options = rest.partition(", *, ")
    operands, parameters = tuple(inputs.split(", ")), tuple(options.split(", ")) if options else ()

    def kernel_params(shapes: Sequence[Shape], values: Mapping[str, Any]) -> tuple[int, ...]:
        # (parameters…, axes, sizes…, strides of each input…)
        return (*(values[p] for p in parameters), *strided_operands(shapes))

    alone = form.pop("alone", "bool" if booleans is not None else "int64")
    made = IntegerForm(alone=alone, parameters=parameters, kernel_params=kernel_params, **form)
    INTEGER_FORMULAS[name] = IntegerFormula(operands, parameters, integers, booleans, made)


def _tree(formula: str | ex.Tree) -> ex.Tree:
    return ex.parse(formula) if isinstance(formula, str) else formula


def _call(function: str, *names: str) -> ex.Tree:
    return ex.Call(function, tuple(map(ex.Variable, names)))


_form("add(a, b)", "a + b", "max(a, b)")
_form("sub(a, b)", "a - b", alone=None, instead="logical_xor is their difference")
_form("mul(a, b)", "a*b", "min(a, b)")
_form("neg(x)", "-x", alone=None, instead="logical_not negates them")
_form("abs(x)", "abs(x)", "x")
_form("sign(x)", "sign(x)", alone=None, instead="a Boolean has no sign")
_form("square(x)", "x*x")
_form("relu(x)", "max(x, 0)", "x")
_form("max(a, b)", "max(a, b)", "max(a, b)")
_form("min(a, b)", "min(a, b)", "min(a, b)")
_form("scale(x, *, c)", "c*x")
_form("shift(x, *, c)", "x + c")
_form("pow(x, *, c)", _call("pow", "x", "c"), least=0)
_form("clamp(x, *, lo, hi)", "min(max(x, lo), hi)", bounds=True)
_form("where(c, a, b)", "select(c == 0, b, a)", "select(c == 0, b, a)", others={"c": "bool"})
_COMPARED = {"greater": ">", "greater_equal": ">=", "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!="}
for _name, _sign in _COMPARED.items():
    _form(f"{_name}(a, b)", f"select(a {_sign} b, 1, 0)", f"select(a {_sign} b, 1, 0)", result="bool")
_form("floor_divide(a, b)", _call("floor_divide", "a", "b"))
_form("power(a, b)", _call("pow", "a", "b"))
_form("remainder(a, b)", _call("remainder", "a", "b"))
_form("fmod(a, b)", _call("fmod", "a", "b"))
for _name in ("floor", "ceil", "trunc", "round"):
    _form(f"{_name}(x)", "x", "x")
_form("bitwise_and(a, b)", _call("bitwise_and", "a", "b"), "min(a, b)", only=True)
_form("bitwise_or(a, b)", _call("bitwise_or", "a", "b"), "max(a, b)", only=True)
_form("bitwise_xor(a, b)", _call("bitwise_xor", "a", "b"), "select(a == b, 0, 1)", only=True)
_form("bitwise_not(x)", _call("bitwise_not", "x"), "select(x == 0, 1, 0)", only=True)
_form("bitwise_left_shift(a, b)", _call("left_shift", "a", "b"), only=True)
_form("bitwise_right_shift(a, b)", _call("right_shift", "a", "b"), only=True)
for _name in ("gcd", "lcm"):
    _form(f"{_name}(a, b)", _call(_name, "a", "b"), only=True)


def integer_form(name: str) -> IntegerForm | None:
    """What the record of an op says of integers."""
    formula = INTEGER_FORMULAS.get(name)
    return None if formula is None else formula.form
