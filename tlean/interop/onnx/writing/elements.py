"""Ops on each element."""

from __future__ import annotations

import math
from typing import Any

from .rules import Call, rule
from .writer import Writer

#: Records that are one operator of the same inputs.
SAME = {
    "abs": "Abs", "acos": "Acos", "acosh": "Acosh", "add": "Add", "asin": "Asin", "asinh": "Asinh", "atan": "Atan", "atanh": "Atanh",
    "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh", "div": "Div", "equal": "Equal", "erf": "Erf", "exp": "Exp", "floor": "Floor",
    "greater": "Greater", "greater_equal": "GreaterOrEqual", "inv": "Reciprocal", "isnan": "IsNaN", "less": "Less",
    "less_equal": "LessOrEqual", "log": "Log", "logical_and": "And", "logical_not": "Not", "logical_or": "Or", "logical_xor": "Xor",
    "max": "Max", "min": "Min", "mul": "Mul", "neg": "Neg", "power": "Pow", "relu": "Relu", "round": "Round", "sigmoid": "Sigmoid",
    "sign": "Sign", "sin": "Sin", "sinh": "Sinh", "softplus": "Softplus", "softsign": "Softsign", "sqrt": "Sqrt", "sub": "Sub",
    "tan": "Tan", "tanh": "Tanh", "where": "Where",
}  # fmt: skip


def _same(w: Writer, c: Call) -> Any:
    return w.op(SAME[c.record.name], *c.x)


rule(*SAME, direct=True)(_same)


@rule("_identity", "detach", "_variable")
def _identity(w: Writer, c: Call) -> Any:
    return w.op("Identity", c.x[0])


@rule("not_equal")
def _not_equal(w: Writer, c: Call) -> Any:
    return w.op("Not", w.op("Equal", *c.x))


@rule("_as_bool", "_as_float32", "_as_float64", "_as_int32", "_as_int64")
def _convert(w: Writer, c: Call) -> Any:
    return w.cast(c.x[0], c.out.dtype)


@rule("scale", "shift", "pow")
def _by_number(w: Writer, c: Call) -> Any:
    kind = {"scale": "Mul", "shift": "Add", "pow": "Pow"}[c.record.name]
    return w.op(kind, c.x[0], w.like(c.options["c"], c.out.dtype))


@rule("clamp")
def _clamp(w: Writer, c: Call) -> Any:
    y = c.x[0]
    for kind, bound in (("Max", c.options["lo"]), ("Min", c.options["hi"])):
        if bound is not None and math.isfinite(bound):
            y = w.op(kind, y, w.like(bound, c.out.dtype))
    return y if y != c.x[0] else w.op("Identity", y)


@rule("square")
def _square(w: Writer, c: Call) -> Any:
    return w.op("Mul", c.x[0], c.x[0])


@rule("rsqrt")
def _rsqrt(w: Writer, c: Call) -> Any:
    return w.op("Reciprocal", w.op("Sqrt", c.x[0]))


@rule("exp2")
def _exp2(w: Writer, c: Call) -> Any:
    return w.op("Pow", w.like(2, c.dtype), c.x[0])


@rule("expm1")
def _expm1(w: Writer, c: Call) -> Any:
    # tanh(x/2) (e^x + 1) keeps the digits near 0; where e^x is large the difference does.
    one = w.like(1, c.dtype)
    e = w.op("Exp", c.x[0])
    near = w.op("Mul", w.op("Tanh", w.op("Mul", c.x[0], w.like(0.5, c.dtype))), w.op("Add", e, one))
    small = w.op("Less", w.op("Abs", c.x[0]), one)
    return w.op("Where", small, near, w.op("Sub", e, one))


@rule("log1p")
def _log1p(w: Writer, c: Call) -> Any:
    # 2 atanh(x/(2 + x)) keeps the digits near 0.
    near = w.op("Atanh", w.op("Div", c.x[0], w.op("Add", c.x[0], w.like(2, c.dtype))))
    small = w.op("Less", w.op("Abs", c.x[0]), w.like(0.25, c.dtype))
    far = w.op("Log", w.op("Add", c.x[0], w.like(1, c.dtype)))
    return w.op("Where", small, w.op("Mul", near, w.like(2, c.dtype)), far)


@rule("log2", "log10")
def _log_base(w: Writer, c: Call) -> Any:
    return w.op("Mul", w.op("Log", c.x[0]), w.like(1 / math.log(int(c.record.name[3:])), c.dtype))


@rule("cbrt")
def _cbrt(w: Writer, c: Call) -> Any:
    return w.op("Mul", w.op("Sign", c.x[0]), w.op("Pow", w.op("Abs", c.x[0]), w.like(1 / 3, c.dtype)))


@rule("hypot")
def _hypot(w: Writer, c: Call) -> Any:
    return w.op("Sqrt", w.op("Add", *(w.op("Mul", x, x) for x in c.x)))


@rule("erfc")
def _erfc(w: Writer, c: Call) -> Any:
    return w.op("Sub", w.like(1, c.dtype), w.op("Erf", c.x[0]))


@rule("ndtr")
def _ndtr(w: Writer, c: Call) -> Any:
    e = w.op("Erf", w.op("Mul", c.x[0], w.like(math.sqrt(0.5), c.dtype)))
    return w.op("Mul", w.op("Add", e, w.like(1, c.dtype)), w.like(0.5, c.dtype))


@rule("trunc")
def _trunc(w: Writer, c: Call) -> Any:
    return w.op("Mul", w.op("Sign", c.x[0]), w.op("Floor", w.op("Abs", c.x[0])))


@rule("fmod")
def _fmod(w: Writer, c: Call) -> Any:
    return w.op("Mod", *c.x, fmod=1)


@rule("copysign")
def _copysign(w: Writer, c: Call) -> Any:
    # The sign of a zero shows in its reciprocal.
    zero, size = w.like(0, c.dtype), w.op("Abs", c.x[0])
    negative = w.op("Or", w.op("Less", c.x[1], zero), w.op("Less", w.op("Reciprocal", c.x[1]), zero))
    return w.op("Where", negative, w.op("Neg", size), size)


@rule("atan2")
def _atan2(w: Writer, c: Call) -> Any:
    y, x = c.x
    zero, pi = w.like(0, c.dtype), w.like(math.pi, c.dtype)
    base = w.op("Atan", w.op("Div", y, x))
    turn = w.op("Where", w.op("Less", y, zero), w.op("Neg", pi), pi)
    left = w.op("Where", w.op("Less", x, zero), w.op("Add", base, turn), base)
    # On the axis: half a turn up or down; at the origin 0.
    up = w.op("Mul", w.op("Sign", y), w.like(math.pi / 2, c.dtype))
    return w.op("Where", w.op("Equal", x, zero), up, left)


@rule("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")
def _bits(w: Writer, c: Call) -> Any:
    if w.opset < 18:
        return None
    return w.op({"and": "BitwiseAnd", "or": "BitwiseOr", "xor": "BitwiseXor", "not": "BitwiseNot"}[c.record.name[8:]], *c.x)


@rule("elu", "celu", "leaky_relu", "hardswish", "mish", "selu")
def _activation(w: Writer, c: Call) -> Any:
    name = c.record.name
    if name == "mish" and w.opset < 18:
        return None
    kinds = {"elu": "Elu", "celu": "Celu", "leaky_relu": "LeakyRelu", "hardswish": "HardSwish", "mish": "Mish", "selu": "Selu"}
    if name == "celu" and c.dtype != "float32":
        return None
    return w.op(kinds[name], c.x[0], alpha=c.options.get("alpha", c.options.get("slope")))
