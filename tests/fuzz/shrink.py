"""The smallest program that still fails in the same way: steps, outputs, inputs, checks, sizes and options are taken away in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tlean.errors import TleanError
from tlean.ops.registry import composites, get
from tlean.reference.interpreter import Reference

from .own import OWN
from .program import Input, Program, needed, run


def shrink(program: Program, fails: Callable[[Program], bool], seconds: float = 20.0) -> Program:
    """Take away what the failure does not need, until nothing more can go or the time is over.

    Args:
        fails: whether a program still fails in the same way; a program that is none has been left out before.
    """
    end = time.monotonic() + seconds
    changed = True
    while changed and time.monotonic() < end:
        changed = False
        for candidates in (_fewer_outputs, _fewer_steps, _fewer_calls, _fewer_checks, _fewer_inputs, _plainer):
            at = 0
            # Candidates of the program as it is now: after a success the list is made again, and goes on where it was.
            while time.monotonic() < end:
                rest = list(candidates(program))[at:]
                if not rest:
                    break
                for candidate in rest:
                    at += 1
                    if time.monotonic() >= end:
                        break
                    if candidate != program and valid(candidate) and fails(candidate):
                        program, changed = candidate, True
                        at = max(0, at - 1)
                        break
                else:
                    break
    return program


def valid(program: Program) -> bool:
    """Whether the reference runs it."""
    ops = Reference("float64")
    try:
        outs = run(program, ops, {i.key: ops.const(i.array("float64")) for i in program.arguments})
    except (TleanError, AttributeError, IndexError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return False
    return bool(outs)


def cleaned(program: Program) -> Program:
    """Without steps that no output needs and inputs that nothing takes."""
    steps = needed(program, program.outputs)
    used = {a for s in steps for a in s.args} | set(program.outputs)
    inputs = tuple(i for i in program.inputs if i.key in used)
    return replace(program, steps=steps, inputs=inputs)


def _fewer_outputs(program: Program) -> Iterator[Program]:
    count = len(program.outputs)
    if count > 1:
        for k in range(count):
            yield replace(program, outputs=(program.outputs[k],))
        for k in range(count):
            yield replace(program, outputs=program.outputs[:k] + program.outputs[k + 1 :])
    yield cleaned(program)
    # A value on the way as the output.
    for s in program.steps[:-1]:
        yield cleaned(replace(program, outputs=(s.key,)))


def _replaced(program: Program, old: int, new: int | None) -> Program:
    steps = tuple(replace(s, args=tuple(new if a == old else a for a in s.args)) for s in program.steps if s.key != old)
    return replace(program, steps=steps, outputs=tuple(new if k == old else k for k in program.outputs))  # type: ignore[misc]


def _fewer_steps(program: Program) -> Iterator[Program]:
    shapes = _shapes(program)
    for s in reversed(program.steps):
        # The step's value from one of its inputs, or from a new input.
        for a in s.args:
            if a is not None and shapes.get(a) == shapes.get(s.key):
                yield cleaned(_replaced(program, s.key, a))
        if shapes.get(s.key) is not None and shapes[s.key][1]:
            key = max([i.key for i in program.inputs] + [t.key for t in program.steps]) + 1
            made = Input(key, shapes[s.key][0], seed=key)
            yield cleaned(replace(_replaced(program, s.key, key), inputs=(*program.inputs, made)))
        if len(s.args) > 2 and s.op not in composites() and s.op not in OWN and get(s.op).variadic:
            for n in (len(s.args) // 2, len(s.args) - 1):
                yield cleaned(_with_step(program, s, args=s.args[:n]))
                yield cleaned(_with_step(program, s, args=s.args[-n:]))


def _with_step(program: Program, step: Any, **changes: Any) -> Program:
    return replace(program, steps=tuple(replace(s, **changes) if s is step else s for s in program.steps))


def _shapes(program: Program) -> dict[int, tuple[tuple[int, ...], bool]]:
    # Every value's shape, and whether it is floating-point.
    ops = Reference("float64")
    keys = tuple(s.key for s in program.steps)
    found = {i.key: (i.shape, i.is_float) for i in program.inputs}
    try:
        outs = run(replace(program, outputs=keys), ops, {i.key: ops.const(i.array("float64")) for i in program.arguments})
    except (TleanError, AttributeError, IndexError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return found
    return found | {k: (tuple(y.shape), str(y.dtype).startswith("float")) for k, y in zip(keys, outs, strict=True)}


def _fewer_calls(program: Program) -> Iterator[Program]:
    for name in ("calls", "steps"):
        given = tuple(program.extra.get(name, ()))
        for k in range(len(given)):
            if len(given) > 1:
                yield program.with_extra(**{name: given[:k] + given[k + 1 :]})
    params = tuple(program.extra.get("params", ()))
    for k in range(len(params)):
        if len(params) > 1:
            yield program.with_extra(params=params[:k] + params[k + 1 :])
    if program.extra.get("update", {}).get("how", "sgd") != "sgd":
        yield program.with_extra(update={**program.extra["update"], "how": "sgd"})
    for name in ("aux", "save"):
        if program.extra.get(name):
            yield program.with_extra(**{name: False})
    plain = {"scale": 1.0, "before": False, "no_grad": False, "set": False, "back": "dense", "read": 0, "update": False, "index": False}
    for k, step in enumerate(program.extra.get("steps", ())):
        for name, value in plain.items():
            if step[name] != value:
                steps = [dict(s) for s in program.extra["steps"]]
                steps[k][name] = value
                yield program.with_extra(steps=tuple(steps))


def _fewer_checks(program: Program) -> Iterator[Program]:
    if program.checks:
        yield replace(program, checks=())
    for c in program.checks:
        yield replace(program, checks=(c,))
    if program.loss != "sum":
        yield replace(program, loss="sum")
    if program.dtype != "float32" and program.kind != "doors":
        yield replace(program, dtype="float32")


def _fewer_inputs(program: Program) -> Iterator[Program]:
    floats = [i for i in program.inputs if i.is_float]
    for i in floats:
        for j in floats:
            if j.key < i.key and j.shape == i.shape and j.grad == i.grad and j.const == i.const:
                yield cleaned(_replaced(program, i.key, j.key))
    for i in program.inputs:
        if i.key not in {a for s in program.steps for a in s.args} | set(program.outputs):
            yield replace(program, inputs=tuple(k for k in program.inputs if k is not i))
        if i.is_float and i.const:
            yield _with_input(program, i, const=False)


def _with_input(program: Program, one: Input, **changes: Any) -> Program:
    return replace(program, inputs=tuple(replace(i, **changes) if i is one else i for i in program.inputs))


def _plainer(program: Program) -> Iterator[Program]:
    # Smaller sizes: one size everywhere at once, in inputs and options.
    sizes = sorted({d for i in program.inputs for d in i.shape if d > 1}, reverse=True)
    for d in sizes:
        for smaller in dict.fromkeys((1, 2, 3, d // 2)):
            if smaller < d:
                yield _resized(program, d, smaller)
    for i in program.inputs:
        for k, d in enumerate(i.shape):
            if d > 1 and i.data is None:
                yield _with_input(program, i, shape=(*i.shape[:k], 1, *i.shape[k + 1 :]))
        if i.is_float and i.kind != "ones":
            yield _with_input(program, i, kind="ones", data=None)
        if i.is_float and not i.grad:
            yield _with_input(program, i, grad=True)
    for s in program.steps:
        for name, value in s.options.items():
            if isinstance(value, bool) and value:
                yield _with_step(program, s, options={**s.options, name: False})
            elif isinstance(value, float) and value not in (0.0, 1.0, 0.5):
                yield _with_step(program, s, options={**s.options, name: 1.0})
        for name in s.options:
            yield _with_step(program, s, options={k: v for k, v in s.options.items() if k != name})


def _resized(program: Program, old: int, new: int) -> Program:
    def mapped(value: Any) -> Any:
        if isinstance(value, bool):
            return value
        if isinstance(value, tuple | list):
            return tuple(mapped(v) for v in value)
        return new if isinstance(value, int) and value == old else value

    inputs = tuple(replace(i, shape=mapped(i.shape)) if i.data is None else i for i in program.inputs)
    steps = tuple(
        replace(s, options={k: mapped(v) if "shape" in k or k == "length" else v for k, v in s.options.items()}) for s in program.steps
    )
    return replace(program, inputs=inputs, steps=steps)
