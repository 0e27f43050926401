"""Functions of whole numbers that take as many steps as the numbers need."""

from __future__ import annotations

import math
from typing import Any

from tlean.ops import Spec

from .model import ModelWriter
from .rules import Call, rule
from .writer import Node


def _any(w: ModelWriter, flags: str) -> str:
    return w.cast(w.op("ReduceMax", w.cast(flags, "int32"), keepdims=0), "bool")


def _greatest_divisor(w: ModelWriter, a: str, b: str, spec: Spec) -> str:
    # By Euclid's algorithm, until every second number is 0.
    zero = w.like(0, spec.dtype)

    def rest(b: str) -> str:
        return str(w.op("Not", w.op("Equal", b, zero)))

    flag = Spec((), "bool")
    names = [w.name() for _ in range(4)]

    def write() -> list[tuple[str, Spec]]:
        _, _, a, b = names
        left, one = rest(b), w.like(1, spec.dtype)
        after = w.op("Where", left, w.op("Mod", a, w.op("Where", left, b, one)), zero)
        return [(_any(w, rest(after)), flag), (w.op("Where", left, b, a), spec), (after, spec)]

    first = _any(w, rest(b))
    part = w._part(list(zip(names, (Spec((), "int64"), flag, spec, spec), strict=True)), write)
    made = [w.name(), w.name()]
    w.nodes.append(Node("Loop", ["", first, a, b], made, {"body": part}))
    # The smallest number of all has no absolute value, and its rests are below 0.
    return str(w.op("Abs", made[0]))


@rule("gcd", "lcm")
def _divisors(w: ModelWriter, c: Call) -> Any:
    spec = c.out
    if not math.prod(spec.shape):
        return None
    a, b = (w.op("Expand", w.op("Abs", x), w.ints(*spec.shape)) for x in c.x)
    divisor = _greatest_divisor(w, a, b, spec)
    if c.record.name == "gcd":
        return divisor
    zero, one = w.like(0, spec.dtype), w.like(1, spec.dtype)
    part = w.op("Div", a, w.op("Where", w.op("Equal", divisor, zero), one, divisor))
    return w.op("Mul", part, b)
