"""Ops of the user's own, written on arrays: `custom_op`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlean._core.array import as_tensor
from tlean._core.refs import RefBase

from .backends.reference import Reference
from .errors import OptionError, ShapeError
from .ops.registry import OpDef, host_op

_numbers = itertools.count()


class CustomOp:
    """An op of the user's own: call it with references of any backend, `y = op(x, …)`, or with plain arrays for the value alone."""

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any], jvp: Callable[..., Any] | None, name: str) -> None:
        self.forward = forward
        self.backward = backward
        self.jvp = jvp
        self.name = name
        self._records: dict[Any, OpDef] = {}

    def __call__(self, *xs: Any) -> Any:
        ops = next((x.ops for x in xs if isinstance(x, RefBase)), None)
        if ops is None:
            return as_tensor(self.forward(*[as_tensor(x).numpy() for x in xs]))
        refs = [x if isinstance(x, RefBase) else ops.const(x) for x in xs]
        if isinstance(ops, Reference):
            return ops.leaf(self.forward(*[r.value for r in refs]))
        return ops.apply(self._record(tuple((tuple(r.shape), r.dtype) for r in refs)), tuple(refs), {})

    def _record(self, specs: tuple[tuple[tuple[int, ...], str], ...]) -> OpDef:
        # The record for inputs of these shapes: what the op makes is learned by calling it once on zeros.
        if specs not in self._records:
            probe = np.asarray(self.forward(*[np.zeros(shape, dtype) for shape, dtype in specs]))
            self._records[specs] = self._make(specs, probe.shape)
        return self._records[specs]

    def _make(self, specs: Sequence[tuple[tuple[int, ...], str]], shape: tuple[int, ...]) -> OpDef:
        count = len(specs)
        shapes = [s for s, _ in specs]

        def forward(outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
            outs[0][...] = self._checked(self.forward(*ins), shape, "forward")

        def pull(outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
            g, y, *xs = ins
            found = self.backward(*xs, y, g)
            found = found if isinstance(found, tuple | list) else (found,)
            if len(found) != count:
                raise ShapeError(f"{self.name}: backward gives one cotangent for each of the {count} inputs, got {len(found)}")
            for target, value, wanted in zip(outs, found, shapes, strict=True):
                if target is not None:
                    target[...] = 0.0 if value is None else self._checked(value, wanted, "backward")

        def push(outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
            assert self.jvp is not None
            outs[0][...] = self._checked(self.jvp(*ins[:count], *ins[count:]), shape, "jvp")

        number = next(_numbers)
        again = self._second_order
        pulled = host_op(f"{self.name} vjp #{number}", pull, [shape, shape, *shapes], shapes, again, again)
        pushed = host_op(f"{self.name} jvp #{number}", push, [*shapes, *shapes], [shape], again, again)

        def vjp(ops: Any, g: Any, y: Any, *xs: Any) -> Any:
            made = ops.apply(pulled, (g, y, *xs), {})
            return made if isinstance(made, tuple) else (made,)

        def jvp(ops: Any, t: Any, y: Any, *xs: Any) -> Any:
            if self.jvp is None:
                raise OptionError(f"{self.name}: a directional derivative needs the op's jvp; pass jvp= to custom_op")
            moved = [ops._full(shape=x.shape, value=0.0) if d is None else d for x, d in zip(xs, t, strict=True)]
            return ops.apply(pushed, (*xs, *moved), {})

        return host_op(f"{self.name} #{number}", forward, shapes, [shape], vjp, jvp)

    def _second_order(self, ops: Any, *refs: Any, **options: Any) -> Any:
        raise OptionError(f"{self.name}: a custom op has first derivatives only; write it with defop for more")

    def _checked(self, value: Any, shape: tuple[int, ...], what: str) -> Any:
        value = np.asarray(value)
        if value.shape != shape:
            raise ShapeError(f"{self.name}: {what} gives an array of shape {value.shape}, expected {shape}")
        return value

    def __repr__(self) -> str:
        return f"<custom op {self.name}>"


def custom_op(
    forward: Callable[..., Any], backward: Callable[..., Any], jvp: Callable[..., Any] | None = None, name: str | None = None
) -> CustomOp:
    """An op of the user's own, written on NumPy arrays; it works on every backend as a call back into Python.

    Args:
        forward: `forward(*xs)` gives the value. Its shape depends on the inputs' shapes alone; it is called once on zeros to learn it.
        backward: `backward(*xs, y, g)` gives one cotangent per input (a tuple; a single array for one input; None = no gradient).
        jvp: `jvp(*xs, *ts)` gives the tangent of the value. Without it a forward-mode derivative raises and names the op, and so does any
            second derivative.
        name: shown on tapes.

    Returns: a callable on references and arrays.
    """
    return CustomOp(forward, backward, jvp, name or str(getattr(forward, "__name__", "custom")))


__all__ = ["CustomOp", "custom_op"]
