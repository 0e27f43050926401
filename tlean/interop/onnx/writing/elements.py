"""Ops on each element."""

from __future__ import annotations

import math
from typing import Any

from ..package import ELEMENTS
from .rules import Call, rule
from .special.circular import WIDE
from .special.reals import Real, where
from .whole.bits import UNSIGNED, bitwise, complement
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
    if c.dtype == "float64" and c.record.name in WIDE:
        return WIDE[c.record.name](Real(w, c.x[0])).name
    if c.dtype == "float64" and c.record.name in ("softplus", "softsign"):
        return None
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
    # ln u·x/(u − 1) with u = 1 + x, in which the rounding of u cancels.
    x, one = c.x[0], w.like(1, c.dtype)
    u = w.op("Add", x, one)
    log, rest = w.op("Log", u), w.op("Sub", u, one)
    near = w.op("Where", w.op("Equal", u, one), x, w.op("Div", w.op("Mul", log, x), rest))
    return w.op("Where", w.op("Equal", rest, x), w.op("Where", w.op("Equal", u, one), x, log), near)


@rule("log2", "log10")
def _log_base(w: Writer, c: Call) -> Any:
    return w.op("Mul", w.op("Log", c.x[0]), w.like(1 / math.log(int(c.record.name[3:])), c.dtype))


@rule("cbrt")
def _cbrt(w: Writer, c: Call) -> Any:
    return w.op("Mul", w.op("Sign", c.x[0]), w.op("Pow", w.op("Abs", c.x[0]), w.like(1 / 3, c.dtype)))


@rule("hypot")
def _hypot(w: Writer, c: Call) -> Any:
    # Squares of the part that the smaller is of the larger do not overflow.
    one, a, b = w.like(1, c.dtype), *(w.op("Abs", x) for x in c.x)
    large, small = w.op("Max", a, b), w.op("Min", a, b)
    none = w.op("Or", w.op("Equal", large, w.like(0, c.dtype)), w.op("Equal", large, w.like(math.inf, c.dtype)))
    part = w.op("Div", small, w.op("Where", none, one, large))
    y = w.op("Where", none, large, w.op("Mul", large, w.op("Sqrt", w.op("Add", w.op("Mul", part, part), one))))
    # An infinity beside NaN.
    far = w.op("Or", *(w.op("Equal", v, w.like(math.inf, c.dtype)) for v in (a, b)))
    return w.op("Where", far, w.like(math.inf, c.dtype), y)


@rule("trunc")
def _trunc(w: Writer, c: Call) -> Any:
    return w.op("Mul", w.op("Sign", c.x[0]), w.op("Floor", w.op("Abs", c.x[0])))


@rule("fmod")
def _fmod(w: Writer, c: Call) -> Any:
    return w.op("Mod", *c.x, fmod=1)


def _negative(w: Writer, x: str, zero: str) -> str:
    # The sign of a zero shows in its reciprocal.
    return str(w.op("Or", w.op("Less", x, zero), w.op("Less", w.op("Reciprocal", x), zero)))


@rule("copysign")
def _copysign(w: Writer, c: Call) -> Any:
    size = w.op("Abs", c.x[0])
    return w.op("Where", _negative(w, c.x[1], w.like(0, c.dtype)), w.op("Neg", size), size)


@rule("atan2")
def _atan2(w: Writer, c: Call) -> Any:
    y, x = c.x
    zero, pi = w.like(0, c.dtype), w.like(math.pi, c.dtype)
    flat = w.op("Equal", y, zero)
    # Of two infinities the signs alone count.
    most = w.like(math.inf, c.dtype)
    both = w.op("And", *(w.op("Equal", w.op("Abs", v), most) for v in c.x))
    ratio = w.op("Where", both, w.op("Mul", *(w.op("Sign", v) for v in c.x)), w.op("Div", y, x))
    angle = WIDE["atan"](Real(w, ratio)).name if c.dtype == "float64" else w.op("Atan", ratio)
    base = w.op("Where", flat, y, angle)
    turn = w.op("Where", _negative(w, y, zero), w.op("Neg", pi), pi)
    left = w.op("Where", _negative(w, x, zero), w.op("Add", base, turn), base)
    # On the axis: a quarter of a turn up or down.
    up = w.op("Mul", w.op("Sign", y), w.like(math.pi / 2, c.dtype))
    return w.op("Where", w.op("And", w.op("Equal", x, zero), w.op("Not", flat)), up, left)


@rule("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")
def _bits(w: Writer, c: Call) -> Any:
    if c.out.dtype == "bool":
        return w.op({"and": "And", "or": "Or", "xor": "Xor", "not": "Not"}[c.record.name[8:]], *c.x)
    kind = c.record.name[8:].title()
    if kind == "Not":
        return complement(w, c.x[0], c.dtype)
    if w.opset >= 18:
        return w.op(f"Bitwise{kind}", *c.x)
    a, b = (w.op("Cast", x, to=UNSIGNED) for x in c.x)
    return w.cast(bitwise(w, kind, a, b, 64), c.out.dtype)


@rule("bitwise_left_shift", "bitwise_right_shift")
def _shift_bits(w: Writer, c: Call) -> Any:
    # ONNX shifts unsigned numbers alone; a negative one is shifted to the right as its complement. Beyond the bits that there are nothing
    # is left.
    if c.out.dtype == "bool":
        return None
    way, bits = ("LEFT" if c.record.name == "bitwise_left_shift" else "RIGHT"), 64 if c.out.dtype == "int64" else 32
    by = Real(w, c.x[1], c.dtype)
    within = (by >= 0) & (by < bits)
    amount = w.op("Cast", where(within, by, bits - 1).name, to=UNSIGNED)

    def shifted(x: str) -> str:
        return str(w.op("Cast", w.op("BitShift", w.op("Cast", x, to=UNSIGNED), amount, direction=way), to=ELEMENTS[c.out.dtype]))

    if way == "LEFT":
        return where(within, Real(w, shifted(c.x[0]), c.out.dtype), 0).name
    negative = w.op("Less", c.x[0], w.like(0, c.dtype))
    y = shifted(w.op("Where", negative, complement(w, c.x[0], c.dtype), c.x[0]))
    return w.op("Where", negative, complement(w, y, c.out.dtype), y)


@rule("elu", "celu", "leaky_relu", "hardswish", "mish", "selu")
def _activation(w: Writer, c: Call) -> Any:
    # ONNX has their numbers in float32, and onnxruntime has none of them in float64.
    name = c.record.name
    if c.dtype != "float32" or (name == "mish" and w.opset < 18):
        return None
    kinds = {"elu": "Elu", "celu": "Celu", "leaky_relu": "LeakyRelu", "hardswish": "HardSwish", "mish": "Mish", "selu": "Selu"}
    return w.op(kinds[name], c.x[0], alpha=c.options.get("alpha", c.options.get("slope")))
