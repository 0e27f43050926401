"""Ops of the user's own, written on arrays: `custom_op`."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlean._core.array import as_tensor, read_array
from tlean._core.refs import RefBase
from tlean.compiler.graph import GraphRef
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.interpreters.dual import DualRef
from tlean.ops.registry import OpDef
from tlean.ops.unregistered import host_op
from tlean.programs.running import backend_itself, innermost_among, run_outside
from tlean.reference.interpreter import Reference

_numbers = itertools.count()

Shape = tuple[int, ...]
_Specs = tuple[tuple[Shape, str], ...]


class CustomOp:
    """An op of the user's own: call it with references of any backend, `y = op(x, …)`, or with plain arrays for the value alone."""

    def __init__(
        self, forward: Callable[..., Any], backward: Callable[..., Any], jvp: Callable[..., Any] | None, name: str, shape: Any = None
    ) -> None:
        for what, function in (("forward", forward), ("backward", backward), ("jvp", jvp)):
            if not callable(function) and not (what == "jvp" and function is None):
                raise OptionError(f"custom_op: {what} must be a function, got {type(function).__name__}")
        if not isinstance(name, str):
            raise OptionError(f"custom_op: name must be a string, got {type(name).__name__}")
        self.forward = forward
        self.backward = backward
        self.jvp = jvp
        # They compute on arrays, whatever program is running.
        self._forward = functools.partial(run_outside, forward)
        self._backward = functools.partial(run_outside, backward)
        self._jvp = None if jvp is None else functools.partial(run_outside, jvp)
        self.name = name
        self.shape = shape
        self._records: dict[tuple[_Specs, Shape], OpDef] = {}
        # What `forward` gave when the shape was learned from it, for the op that is about to ask for that very value.
        self._learned = threading.local()

    def __call__(self, *xs: Any) -> Any:
        ops = backend_itself(innermost_among(xs))
        if ops is None:
            return as_tensor(self._value(self._forward(*[as_tensor(x).numpy() for x in xs])))
        if isinstance(ops, Reference):
            return ops.leaf(self._value(self._forward(*[(x if isinstance(x, RefBase) else ops.const(x)).value for x in xs])))
        arguments = [x if isinstance(x, RefBase) else self._array(x, ops.dtype) for x in xs]
        specs = tuple((tuple(a.shape), a.dtype) for a in arguments)
        try:
            shape = self._shape(specs, arguments)
            # An array is handed on as it is, so that a kept program sees when it changes.
            given = [x if isinstance(x, np.ndarray) else a for x, a in zip(xs, arguments, strict=True)]
            return ops.apply(self._record(specs, shape), tuple(given), {})
        finally:
            self._learned.value = None

    def _array(self, x: Any, dtype: str) -> Any:
        # An argument that is no reference: integers and Booleans keep their kind, floats take the program's dtype.
        tensor = as_tensor(x)
        return tensor if tensor.dtype in ("int64", "bool") else as_tensor(x, "int64" if tensor.dtype == "int32" else dtype)

    def _shape(self, specs: _Specs, arguments: Sequence[Any]) -> Shape:
        # The value's shape: as `shape=` says, else that of the value itself where the arguments have values, else the inputs' common shape.
        shapes = [s for s, _ in specs]
        if self.shape is not None:
            try:
                return tuple(int(n) for n in (self.shape(*shapes) if callable(self.shape) else self.shape))
            except (TypeError, ValueError) as error:
                raise OptionError(f"{self.name}: shape= must give a tuple of integers for inputs of shapes {shapes} ({error})") from error
        values = [a if not isinstance(a, RefBase) else _value_of(a) for a in arguments]
        if all(v is not None for v in values):
            self._learned.value = value = self._value(self._forward(*[v.numpy() for v in values]))
            return value.shape
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            raise ShapeError(f"{self.name}: inputs of shapes {shapes} have no common shape; pass shape= to custom_op") from None

    def _record(self, specs: _Specs, shape: Shape) -> OpDef:
        key = (specs, shape)
        if key not in self._records:
            self._records[key] = self._make(specs, shape)
        return self._records[key]

    def _make(self, specs: _Specs, shape: Shape) -> OpDef:
        count = len(specs)
        floats = [k for k, (_, dtype) in enumerate(specs) if dtype.startswith("float")]
        moving = [specs[k] for k in floats]
        result = (shape, "float")

        def forward(outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
            learned, self._learned.value = getattr(self._learned, "value", None), None
            outs[0][...] = self._checked(self._forward(*ins) if learned is None else learned, shape, "forward")

        def pull(outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
            g, y, *xs = ins
            found = self._backward(*xs, y, g)
            found = found if isinstance(found, tuple | list) else (found,)
            if len(found) != count:
                raise ShapeError(f"{self.name}: backward gives one cotangent for each of the {count} inputs, got {len(found)}")
            for target, k in zip(outs, floats, strict=True):
                if target is not None:
                    target[...] = 0.0 if found[k] is None else self._checked(found[k], specs[k][0], "backward")

        def push(outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
            tangents = [np.zeros(s, d) for s, d in specs]
            for k, t in zip(floats, ins[count:], strict=True):
                tangents[k] = t
            assert self._jvp is not None
            outs[0][...] = self._checked(self._jvp(*ins[:count], *tangents), shape, "jvp")

        number = next(_numbers)
        again = self._second_order
        pulled = host_op(f"{self.name} vjp #{number}", pull, [result, result, *specs], [s for s, _ in moving], again, again)
        pushed = host_op(f"{self.name} jvp #{number}", push, [*specs, *moving], [shape], again, again)

        def vjp(ops: Any, g: Any, y: Any, *xs: Any) -> Any:
            if not floats:
                return (None,) * count
            made = ops.apply(pulled, (g, y, *xs), {})
            cotangents = iter(made if isinstance(made, tuple) else (made,))
            return tuple(next(cotangents) if k in floats else None for k in range(count))

        def jvp(ops: Any, t: Any, y: Any, *xs: Any) -> Any:
            if self.jvp is None:
                raise OptionError(f"{self.name}: a directional derivative needs the op's jvp; pass jvp= to custom_op")
            moved = [ops._full(shape=xs[k].shape, value=0.0, dtype=xs[k].dtype) if t[k] is None else t[k] for k in floats]
            return ops.apply(pushed, (*xs, *moved), {})

        return host_op(f"{self.name} #{number}", forward, list(specs), [shape], vjp, jvp)

    def _second_order(self, ops: Any, *refs: Any, **options: Any) -> Any:
        raise OptionError(f"{self.name}: a custom op has first derivatives only; write it with defop for more")

    def _read(self, value: Any) -> np.ndarray:
        try:
            return read_array(value)
        except (ShapeError, DTypeError) as error:
            raise type(error)(f"{self.name}: {error}") from None

    def _value(self, value: Any) -> np.ndarray:
        # What `forward` gave, as an array of real numbers.
        array = self._read(value)
        if array.dtype.kind not in "fiub":
            raise DTypeError(f"{self.name}: forward must give an array of real numbers, got {type(value).__name__} of dtype {array.dtype}")
        return array

    def _checked(self, value: Any, shape: Shape, what: str) -> np.ndarray:
        array = self._read(value)
        if array.shape != shape:
            hint = "; pass shape= to custom_op where it differs from the inputs'" if what == "forward" and self.shape is None else ""
            raise ShapeError(f"{self.name}: {what} gives an array of shape {array.shape}, expected {shape}{hint}")
        if array.dtype.kind not in "fiub":
            raise DTypeError(f"{self.name}: {what} must give an array of real numbers, got {type(value).__name__} of dtype {array.dtype}")
        return array

    def __reduce__(self) -> tuple[Any, ...]:
        # The functions alone: records are made for each call's shapes.
        return CustomOp, (self.forward, self.backward, self.jvp, self.name, self.shape)

    def __repr__(self) -> str:
        return f"<custom op {self.name}>"


def _value_of(ref: RefBase) -> Any:
    # The value of a reference that was computed already; None where a program is only recorded.
    if isinstance(ref, DualRef):
        return _value_of(ref.primal)
    recorded = isinstance(ref, GraphRef) or getattr(getattr(ref.ops, "options", None), "backend", "") == "compiled"
    return None if recorded else getattr(ref, "value", None)


def custom_op(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    jvp: Callable[..., Any] | None = None,
    name: str | None = None,
    shape: Shape | Callable[..., Shape] | None = None,
) -> CustomOp:
    """An op of the user's own, written on NumPy arrays; it works on every backend as a call back into Python.

    The functions are called with read-only arrays that are theirs to keep, never with made-up numbers. Exceptions that they raise reach the
    caller of the op.

    Args:
        forward: `forward(*xs)` gives the value, one array of floating-point numbers. Inputs may be integers or Booleans too.
        backward: `backward(*xs, y, g)` gives one cotangent per input (a tuple; a single array for one input; None = no gradient). Those of
            integer and Boolean inputs are not read.
        jvp: `jvp(*xs, *ts)` gives the tangent of the value, with one tangent per input (zeros for integers). Without it a forward-mode
            derivative raises an OptionError that names the op.
        name: shown on tapes and in errors; by default the name of `forward`.
        shape: the shape of the value, a tuple or a function `shape(*input_shapes)`. Without it an op that runs eagerly takes the shape of
            its value, and one in a recorded program must give the common (broadcast) shape of its inputs.

    Returns: a callable on references and arrays.

    Derivatives are of first order: a second derivative through the op raises an OptionError, since `backward` and `jvp` are functions of
    arrays that cannot be differentiated. `tl.defop` writes ops with derivatives of any order.

    Raises: OptionError if a function is not callable; when called, ShapeError or DTypeError for a result of another shape or kind.

    Example:
        >>> cube = tl.custom_op(lambda x: x**3, lambda x, y, g: 3 * x**2 * g)
        >>> tl.grad(lambda x: tl.sum(cube(x)))(np.array([1.0, 2.0])).tolist()
        [3.0, 12.0]
    """
    return CustomOp(forward, backward, jvp, str(getattr(forward, "__name__", "custom")) if name is None else name, shape)


__all__ = ["CustomOp", "custom_op"]
