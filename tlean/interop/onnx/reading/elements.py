"""Operators on each element."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .registry import READERS, Call, Reader, dtype_of, reads
from .small import wrapped

#: Operators that are a record of the same inputs.
SAME = {
    "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Add": "add", "And": "logical_and", "Asin": "asin", "Asinh": "asinh", "Atan": "atan",
    "Atanh": "atanh", "BitwiseAnd": "bitwise_and", "BitwiseNot": "bitwise_not", "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor",
    "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh", "Equal": "equal", "Erf": "erf", "Exp": "exp", "Floor": "floor",
    "Greater": "greater", "GreaterOrEqual": "greater_equal", "IsNaN": "isnan", "Less": "less",
    "LessOrEqual": "less_equal", "Log": "log", "Mul": "mul", "Neg": "neg", "Not": "logical_not", "Or": "logical_or",
    "PRelu": "prelu", "Reciprocal": "inv", "Relu": "relu", "Round": "round", "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin",
    "Sinh": "sinh", "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt", "Sub": "sub", "Tan": "tan", "Tanh": "tanh",
    "Where": "where", "Xor": "logical_xor", "Mish": "mish", "HardSwish": "hardswish",
}  # fmt: skip


def _same(name: str, c: Call, *xs: Any) -> Any:
    return getattr(c.ops, name)(*xs)


READERS |= {kind: Reader(functools.partial(_same, name), ()) for kind, name in SAME.items()}


@reads("Identity")
def _identity(c: Call, x: Any) -> Any:
    return x


@reads("Div")
def _div(c: Call, a: Any, b: Any) -> Any:
    if not a.dtype.startswith("int"):
        return c.ops.div(a, b)
    # Towards zero.
    q = c.ops.floor_divide(c.ops.abs(a), c.ops.abs(b))
    return c.ops.mul(q, c.ops.mul(c.ops.sign(a), c.ops.sign(b)))


@reads("Mod")
def _mod(c: Call, a: Any, b: Any) -> Any:
    return c.ops.fmod(a, b) if c.get("fmod", 0) else c.ops.remainder(a, b)


@reads("Pow")
def _pow(c: Call, a: Any, b: Any) -> Any:
    if a.dtype.startswith("int"):
        wide = c.ops.power(c.cast(a, "float64"), c.cast(b, "float64"))
        return c.cast(wide, str(a.dtype))
    return c.ops.power(a, c.cast(b, str(a.dtype)))


@reads("Max", "Min", "Sum", "Mean")
def _several(c: Call, *xs: Any) -> Any:
    op = {"Max": c.ops.max, "Min": c.ops.min}.get(c.kind, c.ops.add)
    y = functools.reduce(op, xs)
    return c.ops.scale(y, 1.0 / len(xs)) if c.kind == "Mean" else y


@reads("Clip")
def _clip(c: Call, x: Any, lo: Any = None, hi: Any = None) -> Any:
    lo, hi = (c.number(c.get(n), x) if c.get(n) is not None else v for n, v in (("min", lo), ("max", hi)))
    y = x if lo is None else c.ops.max(x, lo)
    return y if hi is None else c.ops.min(y, hi)


@reads("Cast")
def _cast(c: Call, x: Any) -> Any:
    return c.cast(x, dtype_of(c.get("to")), bool(c.get("saturate", 1)))


@reads("CastLike")
def _cast_like(c: Call, x: Any, like: Any) -> Any:
    return c.cast(x, str(c.dtypes[1]), bool(c.get("saturate", 1)))


@reads("BitCast")
def _bit_cast(c: Call, x: Any) -> Any:
    kinds = [str(c.dtypes[0]), dtype_of(c.get("to"))]
    bits = [8 if k == "bool" else int("".join(d for d in k if d.isdigit())[-2:]) for k in kinds]
    if any("float" in k for k in kinds) and kinds[0] != kinds[1]:
        raise c.refuse("between floats and whole numbers")
    if bits[0] != bits[1] or kinds[1] == "bool":
        raise c.refuse(f"of {kinds[0]} as {kinds[1]}")
    if kinds[1] in ("int32", "int64") and kinds[0] != kinds[1]:
        return c.cast(wrapped(c.ops, c.cast(x, "int64"), kinds[1]), kinds[1])
    return c.cast(x, kinds[1])


@reads("Elu")
def _elu(c: Call, x: Any) -> Any:
    return c.ops.elu(x, c.get("alpha", 1.0))


@reads("Celu")
def _celu(c: Call, x: Any) -> Any:
    return c.ops.celu(x, c.get("alpha", 1.0))


@reads("LeakyRelu")
def _leaky_relu(c: Call, x: Any) -> Any:
    return c.ops.leaky_relu(x, c.get("alpha", 0.01))


@reads("Selu")
def _selu(c: Call, x: Any) -> Any:
    alpha, gamma = c.get("alpha", 1.6732631921768188), c.get("gamma", 1.0507010221481323)
    negative = c.ops.scale(c.ops.expm1(c.ops.min(x, c.number(0, x))), alpha * gamma)
    return c.ops.where(c.ops.greater(x, c.number(0, x)), c.ops.scale(x, gamma), negative)


@reads("ThresholdedRelu")
def _thresholded(c: Call, x: Any) -> Any:
    return c.ops.threshold(x, c.get("alpha", 1.0), 0.0)


@reads("HardSigmoid")
def _hard_sigmoid(c: Call, x: Any) -> Any:
    return c.ops.clamp(c.ops.shift(c.ops.scale(x, c.get("alpha", 0.2)), c.get("beta", 0.5)), 0.0, 1.0)


@reads("Gelu")
def _gelu(c: Call, x: Any) -> Any:
    return c.ops.gelu(x, approximate=c.get("approximate", "none"))


@reads("Swish")
def _swish(c: Call, x: Any) -> Any:
    return c.ops.mul(x, c.ops.sigmoid(c.ops.scale(x, c.get("alpha", 1.0))))


@reads("Shrink")
def _shrink(c: Call, x: Any) -> Any:
    bound, bias = c.get("lambd", 0.5), c.get("bias", 0.0)
    zero = c.number(0, x)
    low = c.ops.where(c.ops.less(x, c.number(-bound, x)), c.ops.add(x, c.number(bias, x)), zero)
    return c.ops.where(c.ops.greater(x, c.number(bound, x)), c.ops.sub(x, c.number(bias, x)), low)


@reads("IsInf")
def _is_inf(c: Call, x: Any) -> Any:
    y = c.ops.isinf(x)
    if not c.get("detect_positive", 1):
        y = c.ops.logical_and(y, c.ops.less(x, c.number(0, x)))
    if not c.get("detect_negative", 1):
        y = c.ops.logical_and(y, c.ops.greater(x, c.number(0, x)))
    return y


@reads("BitShift")
def _bit_shift(c: Call, a: Any, b: Any) -> Any:
    return c.ops.bitwise_left_shift(a, b) if c.get("direction") == "LEFT" else c.ops.bitwise_right_shift(a, b)


@reads("Binarizer")
def _binarizer(c: Call, x: Any) -> Any:
    return c.cast(c.ops.greater(x, c.number(c.get("threshold", 0.0), x)), str(x.dtype))


@reads("Dropout", known=(1, 2))
def _dropout(c: Call, x: Any, ratio: Any = None, training: Any = None) -> Any:
    if training is not None and bool(np.asarray(training)) and (ratio is None or float(np.asarray(ratio)) != 0.0):
        raise c.refuse("an inference graph drops nothing")
    ones = c.ref(np.ones(tuple(x.shape), bool)) if c.outputs > 1 else None
    return (x, ones)
