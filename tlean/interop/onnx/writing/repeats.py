"""Loops of a rule's own, and the functions of whole numbers that take as many steps as the numbers need."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tlean.ops import Spec

from .model import ModelWriter
from .rules import Call, rule
from .writer import Node

_FLAG, _COUNT = Spec((), "bool"), Spec((), "int64")


def repeated(
    w: ModelWriter,
    states: Sequence[tuple[str, Spec]],
    step: Callable[..., Sequence[str]],
    count: int | None = None,
    again: Callable[..., str] | None = None,
) -> list[str]:
    """What becomes of arrays, step by step.

    Args:
        w: the writer.
        states: the arrays before the first step.
        step: (the number of the step, the arrays) -> the arrays after it.
        count: how many steps, or
        again: (the arrays) -> whether there is a next step.
    """
    number, flag, *names = (w.name() for _ in range(len(states) + 2))

    def write() -> list[tuple[str, Spec]]:
        made = step(number, *names)
        goes_on = w.op("Identity", flag) if again is None else again(*made)
        return [(goes_on, _FLAG), *((m, spec) for m, (_, spec) in zip(made, states, strict=True))]

    first = "" if again is None else again(*(name for name, _ in states))
    part = w._part([(number, _COUNT), (flag, _FLAG), *zip(names, (spec for _, spec in states), strict=True)], write)
    most = "" if count is None else w.ints(count)
    made = [w.name() for _ in states]
    most = most and w.squeeze(most, 0)
    w.nodes.append(Node("Loop", [most, first, *(name for name, _ in states)], made, {"body": part}))
    return made


def _any(w: ModelWriter, flags: str) -> str:
    return w.cast(w.op("ReduceMax", w.cast(flags, "int32"), keepdims=0), "bool")


def _greatest_divisor(w: ModelWriter, a: str, b: str, spec: Spec) -> str:
    # By Euclid's algorithm, until every second number is 0.
    zero = w.like(0, spec.dtype)

    def rest(b: str) -> str:
        return str(w.op("Not", w.op("Equal", b, zero)))

    def step(_: str, a: str, b: str) -> list[str]:
        left, one = rest(b), w.like(1, spec.dtype)
        after = w.op("Where", left, w.op("Mod", a, w.op("Where", left, b, one)), zero)
        return [w.op("Where", left, b, a), after]

    made, _ = repeated(w, [(a, spec), (b, spec)], step, again=lambda _, b: _any(w, rest(b)))
    # The smallest number of all has no absolute value, and its rests are below 0.
    return str(w.op("Abs", made))


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
