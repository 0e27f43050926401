"""Loops and choices: `scan` and `while_loop` as C's loops, with small carries in variables; `cond` and `switch` as its `if`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlean.compiler.graph import Graph
from tlean.compiler.loops.branch import Switch
from tlean.compiler.loops.scan import Scan

from .bodies import write_program
from .values import C_TYPES, Value
from .writer import LOOP, Call, Writer, emits, prepared


@emits(LOOP)
def _loop(writer: Writer, call: Call) -> list[Value]:
    loop = call.node.record.loop
    if isinstance(loop, Scan):
        return _scan(writer, loop, call.inputs)
    return _switch(writer, loop, call.inputs) if isinstance(loop, Switch) else _while(writer, loop, call.inputs)


def _changing(writer: Writer, first: Value | None, dtype: str, size: int) -> Value:
    # A value that statements change: variables, or memory.
    if size <= writer.most:
        if first is not None:
            return writer.variables(dtype, first.all(), constant=False)
        name = writer.name()
        elements = tuple([f"{name}_{k}" for k in range(size)])
        writer.add(*(f"{C_TYPES[dtype]} {e} = 0;" for e in elements))
        return Value(dtype, size, elements)
    made = writer.room(dtype, size)
    if first is not None:
        writer.copy(made, first)
    return made


def assigned(writer: Writer, targets: Sequence[Value], values: Sequence[Value]) -> None:
    """Values into places, all at once: what is read of a place is what was there before."""
    memory = {t.array for t in targets if t.elements is None}
    jobs = []
    for target, value in zip(targets, values, strict=True):
        if target == value:
            continue
        if target.elements is not None:
            value = writer.variables(value.dtype, value.all())
        elif value.elements is None and value.array in memory:
            kept = writer.room(value.dtype, value.size)
            writer.copy(kept, value)
            value = kept
        elif value.elements is not None and len(value.elements) > 1:
            value = writer.variables(value.dtype, value.all())
        jobs.append((target, value))
    for target, value in jobs:
        if target.elements is None:
            writer.copy(target, value)
        else:
            writer.add(*(f"{t} = {v};" for t, v in zip(target.all(), value.all(), strict=True)))


def _scan(writer: Writer, loop: Scan, inputs: Sequence[Value]) -> list[Value]:
    body: Graph = prepared(loop.body)
    n, m, length = loop.carries, loop.xs, loop.length
    carries = [_changing(writer, x, x.dtype, x.size) for x in inputs[:n]]
    stacks = [writer.dense(x) for x in inputs[n : n + m]]
    outs = [writer.room(o.dtype, o.size) for o in loop.outs[n:]]
    if not length:
        return [*carries, *outs]
    i = writer.name("i")
    with writer.block(f"for (int64_t {i} = 0; {i} < {length}; {i}++)"):
        t = i
        if loop.reverse:
            t = writer.name("i")
            writer.add(f"const int64_t {t} = {length - 1} - {i};")
        steps = [_step(writer, x, t, length) for x in stacks]
        made = write_program(writer, body, [*carries, *steps, *inputs[n + m :]])
        for out, y in zip(outs, made[n:], strict=True):
            if y.size:
                name = writer.name("p")
                writer.add(f"{C_TYPES[out.dtype]} *{name} = {out.array} + {t} * {y.size};")
                writer.copy(Value(out.dtype, y.size, None, name, 0, ((y.size, 1),)), y)
        assigned(writer, carries, made[:n])
    return [*carries, *outs]


def _step(writer: Writer, x: Value, t: str, length: int) -> Value:
    # A step of a stacked input.
    size = x.size // length
    name = writer.name("p")
    writer.add(f"const {C_TYPES[x.dtype]} *{name} = {x.pointer} + {t} * {size};")
    step = Value(x.dtype, size, None, name, 0, ((size, 1),))
    return writer.variables(x.dtype, step.all()) if size <= writer.most else step


def _while(writer: Writer, loop: Any, inputs: Sequence[Value]) -> list[Value]:
    condition, body = map(prepared, loop.bodies)
    n = loop.carries
    carries = [_changing(writer, x, x.dtype, x.size) for x in inputs[:n]]
    i = writer.name("i")
    most = "" if loop.most is None else f"{i} < {loop.most}"
    with writer.block(f"for (int64_t {i} = 0; {most}; {i}++)"):
        (flag,) = write_program(writer, condition, [*carries, *inputs[n:]])
        writer.add(f"if (!{flag.at(0)}) break;")
        assigned(writer, carries, write_program(writer, body, [*carries, *inputs[n:]])[:n])
    return carries


def _switch(writer: Writer, loop: Switch, inputs: Sequence[Value]) -> list[Value]:
    bodies = [prepared(b) for b in loop.bodies]
    number, *rest = inputs
    if len(bodies) == 1:
        return write_program(writer, bodies[0], rest)
    outs = [_changing(writer, None, o.dtype, o.size) for o in loop.outs]
    for k, body in enumerate(bodies):
        first, last = k == 0, k == len(bodies) - 1
        head = "else" if last else f"{'' if first else 'else '}if ({number.at(0)} {'<=' if first else '=='} {k})"
        with writer.block(head):
            assigned(writer, outs, write_program(writer, body, rest))
    return outs
