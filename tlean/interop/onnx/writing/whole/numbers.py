"""Whole numbers and Booleans where ONNX's operator, or onnxruntime's, is for floats, or has not all bits; quotients by 0 are 0."""

from __future__ import annotations

import math
from typing import Any

from tlean.ops import Spec

from ..model import ModelWriter
from ..places import apart
from ..repeats import repeated
from ..rules import WHOLE, Call
from ..special.reals import Real, where
from ..writer import Writer

#: The bits of an exponent, one in each step.
_BITS = 63


def _whole(*names: str) -> Any:
    def register(function: Any) -> Any:
        WHOLE.update(dict.fromkeys(names, function))
        return function

    return register


def _operands(w: Writer, c: Call) -> list[Real]:
    return [Real(w, x, s.dtype) for x, s in zip(c.x, c.specs, strict=True) if s is not None]


@_whole("floor", "ceil", "trunc", "round", "abs", "relu")
def _itself(w: Writer, c: Call) -> Any:
    if c.dtype == "bool" or c.record.name not in ("abs", "relu"):
        return w.op("Identity", c.x[0])
    (x,) = _operands(w, c)
    return abs(x).name if c.record.name == "abs" else w.op("Max", x.name, x.of(0))


def _quotient(a: Real, b: Real) -> tuple[Real, Real]:
    # Rounded to 0, and the rest of it, which has the sign of a; divisors of 0 and −1 are 1.
    b = where((b == 0) | (b == -1), 1, b)
    y = a / b
    return y, a - y * b


@_whole("floor_divide")
def _floor_divide(w: Writer, c: Call) -> Any:
    a, b = _operands(w, c)
    y, rest = _quotient(a, b)
    y = where(~(rest == 0) & ~(_below(rest) == _below(b)), y - 1, y)
    return where(b == 0, 0, where(b == -1, -a, y)).name


def _below(x: Real) -> Real:
    return (x < 0).cast("int32")


@_whole("fmod", "remainder")
def _remainder(w: Writer, c: Call) -> Any:
    a, b = _operands(w, c)
    rest = _quotient(a, b)[1]
    if c.record.name == "remainder":
        rest = where(~(rest == 0) & ~(_below(rest) == _below(b)), rest + b, rest)
    return where((b == 0) | (b == -1), 0, rest).name


def _power(w: ModelWriter, c: Call, x: Real, exponent: Real) -> str:
    # By squares; onnxruntime computes powers in float64.
    spec, zero = c.out, exponent - exponent
    x = x + zero
    exponent = exponent + (x - x)
    odd = _bit(exponent)

    def step(_: str, *names: str) -> list[str]:
        y, base, left = (Real(w, n, spec.dtype) for n in names)
        after = where(_bit(left), y * base, y)
        return [v.name for v in (after, base * base, left / 2)]

    left = where(exponent < 0, 0, exponent)
    start = [(v.name, spec) for v in (x - x + 1, x, left)]
    y = Real(w, repeated(w, start, step, _BITS, lambda _y, _b, left: (Real(w, left, spec.dtype) > 0).any().name)[0], spec.dtype)
    inverse = where(x == 1, 1, where(x == -1, where(odd, x, 1), 0))
    return where(exponent < 0, inverse, y).name


def _bit(x: Real) -> Real:
    # Whether a number is odd; of those below 0 too.
    return ~(x - x / 2 * 2 == 0)


@_whole("power")
def _power_of(w: ModelWriter, c: Call) -> Any:
    return _power(w, c, *_operands(w, c))


@_whole("pow")
def _power_by_number(w: ModelWriter, c: Call) -> Any:
    if c.out.dtype not in ("int32", "int64") or c.dtype != c.out.dtype:
        return None
    return _power(w, c, Real(w, c.x[0], c.dtype), Real(w, w.like(int(c.options["c"]), c.dtype), c.dtype))


def _rows(w: Writer, c: Call) -> tuple[str, tuple[int, ...], int]:
    # The numbers of each total along the last axis, the axes before it, and how many numbers.
    shape, axes = c.shape(), c.options.get("axis")
    order, others, count = apart(shape, list(range(len(shape)) if axes is None else axes))
    x = w.cast(c.x[0], c.out.dtype)
    return w.reshape(w.op("Transpose", x, perm=order) if shape else x, (*others, count)), others, count


@_whole("sum", "reduce_sum")
def _sum(w: Writer, c: Call) -> Any:
    # By a product with ones: onnxruntime sums in float64.
    if not math.prod(c.shape()):
        return w.filled(c.out)
    rows, _, count = _rows(w, c)
    ones = w.op("Expand", w.like(1, c.out.dtype), w.ints(count))
    return w.reshape(w.op("MatMul", rows, ones), c.out.shape)


@_whole("prod")
def _product(w: ModelWriter, c: Call) -> Any:
    # One by one, as onnxruntime multiplies in float64.
    if not math.prod(c.shape()):
        return w.filled(c.out, 1)
    rows, others, count = _rows(w, c)
    spec = Spec(others, c.out.dtype)

    def step(k: str, y: str) -> list[str]:
        return [w.op("Mul", y, w.op("Gather", rows, k, axis=len(others)))]

    return w.reshape(repeated(w, [(w.filled(spec, 1), spec)], step, count)[0], c.out.shape)
