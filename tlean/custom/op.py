"""Ops of the user's own, written on arrays: `custom_op`."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlean._core.array import as_tensor, read_array
from tlean._core.eager.instance import options_key
from tlean._core.refs import RefBase
from tlean.compiler.graph import Graph, GraphRef
from tlean.compiler.loops.bodies import Loop
from tlean.dtypes import FLOAT, FLOATS, INTEGERS, promoted
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.interpreters.dual import DualRef
from tlean.ops import Spec
from tlean.ops.batching import Call
from tlean.ops.registry import OpDef
from tlean.ops.unregistered import host_op
from tlean.programs.recorder import Recorder
from tlean.programs.running import backend_itself, innermost_among, run_outside
from tlean.reference.interpreter import Reference

_numbers = itertools.count()

Shape = tuple[int, ...]
_Specs = tuple[tuple[Shape, str], ...]
_METHODS = ("sequential", "broadcast_all")


class CustomOp:
    """An op of the user's own: call it with references of any backend, `y = op(x, …)`, or with plain arrays for the value alone.

    `custom_op` makes it and says what its arguments are.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        jvp: Callable[..., Any] | None,
        name: str,
        shape: Any = None,
        dtype: Any = None,
        programs: bool = False,
        vmap_method: str = "sequential",
    ) -> None:
        for what, function in (("forward", forward), ("backward", backward), ("jvp", jvp)):
            if not callable(function) and not (what == "jvp" and function is None):
                raise OptionError(f"custom_op: {what} must be a function, got {type(function).__name__}")
        if not isinstance(name, str):
            raise OptionError(f"custom_op: name must be a string, got {type(name).__name__}")
        if vmap_method not in _METHODS:
            raise OptionError(f"custom_op: vmap_method must be one of {', '.join(_METHODS)}, got {vmap_method!r}")
        for d in dtype if isinstance(dtype, tuple | list) else (dtype,):
            if d is not None and d not in (FLOAT, *INTEGERS):
                raise OptionError(f"custom_op: dtype must be 'float', for the program's, or one of {', '.join(INTEGERS)}, got {d!r}")
        self.forward, self.backward, self.jvp = forward, backward, jvp
        # They compute on arrays, whatever program is running.
        self._forward = functools.partial(_outside, forward)
        self._backward = Recorder(f"{name}: backward", backward) if programs else functools.partial(_outside, backward)
        self._jvp: Any = None
        if jvp is not None:
            self._jvp = Recorder(f"{name}: jvp", jvp) if programs else functools.partial(_outside, jvp)
        self.name, self.shape, self.dtype = name, shape, dtype
        self.programs, self.vmap_method = bool(programs), vmap_method
        self._calls: dict[Any, _Call] = {}
        # What `forward` gave when the shape was learned from it, for the op that is about to ask for that very value.
        self._learned = threading.local()

    def __call__(self, *xs: Any, **options: Any) -> Any:
        ops = backend_itself(innermost_among(xs))
        if ops is None:
            made, many = self._computed([as_tensor(x).numpy() for x in xs], options, None)
            results = [as_tensor(v) for v in made]
            return tuple(results) if many else results[0]
        if isinstance(ops, Reference):
            made, many = self._computed([(x if isinstance(x, RefBase) else ops.const(x)).value for x in xs], options, ops.dtype)
            refs = [ops.const(v) if v.dtype.kind in "iub" else ops.leaf(v) for v in made]
            return tuple(refs) if many else refs[0]
        arguments = [x if isinstance(x, RefBase) else self._array(x, ops.dtype) for x in xs]
        specs = tuple((tuple(a.shape), a.dtype) for a in arguments)
        try:
            shapes, many = self._shapes(specs, arguments, options)
            call = self._call(specs, shapes, options)
            # An array is handed on as it is, so that a kept program sees when it changes.
            refs = call.applied(ops, [x if isinstance(x, np.ndarray) else a for x, a in zip(xs, arguments, strict=True)])
            return tuple(refs) if many else refs[0]
        finally:
            self._learned.value = None

    def _computed(self, arrays: Sequence[np.ndarray], options: dict[str, Any], dtype: str | None) -> tuple[list[np.ndarray], bool]:
        # What `forward` gives for arrays: of the shapes and dtypes that a recorded call has, and whether there are several.
        made, many = self._values(self._forward(*arrays, **options))
        if self.shape is not None:
            shapes, many = self._shapes(tuple((a.shape, str(a.dtype)) for a in arrays), arrays, options)
            made = [self._checked(v, s, "forward") for v, s in zip(self._several(made, len(shapes)), shapes, strict=True)]
        floats = [str(a.dtype) for a in arrays if str(a.dtype) in FLOATS]
        own = dtype or (promoted(floats) if floats else "float32")
        kinds = self._kinds(len(made))
        return [self._cast(v, own if kind == FLOAT else kind) for v, kind in zip(made, kinds, strict=True)], many

    def _several(self, value: Any, count: int) -> list[Any]:
        """What `forward` gave, as so many arrays.

        Args:
            value: it.
            count: how many are needed.
        """
        return self._parts(value, count, f"forward must give {count} arrays")

    def _cast(self, array: np.ndarray, dtype: Any) -> np.ndarray:
        """What `forward` gave, in the dtype that it was to have.

        Args:
            array: it.
            dtype: of the output.

        Raises: DTypeError for floats where integers, or numbers where Booleans were promised.
        """
        if not np.can_cast(array.dtype, dtype, "same_kind"):
            raise DTypeError(f"{self.name}: forward must give {np.dtype(dtype)}, as dtype= says, got {array.dtype}")
        return array.astype(dtype, copy=False)

    def _array(self, x: Any, dtype: str) -> Any:
        # An argument that is no reference: integers and Booleans keep their kind, floats take the program's dtype.
        tensor = as_tensor(x)
        return tensor if tensor.dtype in ("int64", "bool") else as_tensor(x, "int64" if tensor.dtype == "int32" else dtype)

    def _shapes(self, specs: _Specs, arguments: Sequence[Any], options: dict[str, Any]) -> tuple[list[Shape], bool]:
        # The values' shapes, and whether there are several: as `shape=` says, else those of the values themselves where the arguments have
        # values, else the inputs' common shape.
        shapes = [s for s, _ in specs]
        if self.shape is not None:
            made = self.shape(*shapes, **options) if callable(self.shape) else self.shape
            many = isinstance(made, list) or (isinstance(made, tuple) and any(isinstance(s, tuple | list) for s in made))
            try:
                return [tuple(int(n) for n in s) for s in (made if many else [made])], many
            except (TypeError, ValueError) as error:
                raise OptionError(
                    f"{self.name}: shape= must give a tuple of integers, or a list of them, for inputs of shapes {shapes} ({error})"
                ) from error
        values = [_value_of(a) if isinstance(a, RefBase) else as_tensor(a) for a in arguments]
        if all(v is not None for v in values):
            found, many = self._values(self._forward(*[v.numpy() for v in values], **options))
            self._learned.value = found
            return [v.shape for v in found], many
        try:
            return [np.broadcast_shapes(*shapes)], False
        except ValueError:
            raise ShapeError(f"{self.name}: inputs of shapes {shapes} have no common shape; pass shape= to custom_op") from None

    def _record_for(self, specs: _Specs, arrays: Sequence[np.ndarray], options: dict[str, Any]) -> OpDef:
        """The record of a call on these arrays.

        Args:
            specs: the shape and dtype of each.
            arrays: the inputs.
            options: of the call.
        """
        try:
            return self._call(specs, self._shapes(specs, arrays, options)[0], options).record
        finally:
            self._learned.value = None

    def _call(self, specs: _Specs, shapes: Sequence[Shape], options: dict[str, Any]) -> _Call:
        """The calls of these inputs, as an op.

        Args:
            specs: the shape and dtype of every input.
            shapes: of the outputs.
            options: of the call, hashable.

        Raises: OptionError for options that are not.
        """
        key = (specs, tuple(shapes), options_key(options))
        try:
            known = self._calls.get(key)
        except TypeError:
            raise OptionError(f"{self.name}: options must be hashable, got {options!r}") from None
        if known is None:
            known = self._calls[key] = _Call(self, specs, shapes, options)
        return known

    def _kinds(self, count: int) -> list[str]:
        """The dtypes of so many outputs, "float" for the program's.

        Args:
            count: of the outputs.

        Raises: OptionError where `dtype=` names another number.
        """
        given = list(self.dtype) if isinstance(self.dtype, tuple | list) else [self.dtype] * count
        if len(given) != count:
            raise OptionError(f"{self.name}: dtype= must name a dtype for each of the {count} outputs, got {len(given)}")
        return [FLOAT if d is None else d for d in given]

    def _read(self, value: Any) -> np.ndarray:
        try:
            return read_array(value)
        except (ShapeError, DTypeError) as error:
            raise type(error)(f"{self.name}: {error}") from None

    def _values(self, value: Any) -> tuple[list[np.ndarray], bool]:
        # What `forward` gave, as arrays of real numbers, and whether there are several.
        many = isinstance(value, tuple)
        made = []
        for one in value if many else (value,):
            array = self._read(one)
            if array.dtype.kind not in "fiub":
                kind = type(one).__name__
                raise DTypeError(f"{self.name}: forward must give an array of real numbers, got {kind} of dtype {array.dtype}")
            made.append(array)
        return made, many

    def _checked(self, value: Any, shape: Shape, what: str) -> np.ndarray:
        """What one of the functions gave, as an array.

        Args:
            value: it.
            shape: what its shape must be.
            what: the function's name.

        Raises: ShapeError for another shape, DTypeError for something else than real numbers.
        """
        array = self._read(value)
        if array.shape != shape:
            hint = "; pass shape= to custom_op where it differs from the inputs'" if what == "forward" and self.shape is None else ""
            raise ShapeError(f"{self.name}: {what} gives an array of shape {array.shape}, expected {shape}{hint}")
        if array.dtype.kind not in "fiub":
            raise DTypeError(f"{self.name}: {what} must give an array of real numbers, got {type(value).__name__} of dtype {array.dtype}")
        return array

    def _parts(self, value: Any, count: int, what: str) -> list[Any]:
        """What one of the functions gave for so many arrays, one by one.

        Args:
            value: a tuple or list, or one array.
            count: how many are needed.
            what: the function's name, and what it gives.

        Raises: ShapeError for another number.
        """
        found = list(value) if isinstance(value, tuple | list) else [value]
        if len(found) != count:
            raise ShapeError(f"{self.name}: {what}, got {len(found)}")
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        # The functions alone: records are made for each call's shapes.
        given = (self.forward, self.backward, self.jvp, self.name, self.shape, self.dtype, self.programs, self.vmap_method)
        return CustomOp, given

    def __repr__(self) -> str:
        return f"<custom op {self.name}>"


class _Call:
    """Calls of a custom op with inputs of the same shapes and dtypes, as records.

    Args:
        op: the op.
        specs: the shape and dtype of every input.
        shapes: of the outputs.
        options: of the call.
    """

    def __init__(self, op: CustomOp, specs: _Specs, shapes: Sequence[Shape], options: dict[str, Any]) -> None:
        self.op, self.specs, self.shapes, self.options = op, specs, list(shapes), options
        self.floats = [k for k, (_, dtype) in enumerate(specs) if dtype.startswith(FLOAT)]
        self.outs = list(zip(self.shapes, op._kinds(len(shapes)), strict=True))
        #: The outputs that have derivatives.
        self.moving = [k for k, (_, dtype) in enumerate(self.outs) if dtype == FLOAT]
        self.many = len(self.shapes) > 1
        number = next(_numbers)
        moving, floats = [self.outs[k] for k in self.moving], [specs[k] for k in self.floats]
        pulled, pushed = [s for s, _ in floats], [s for s, _ in moving]
        again = self._second_order
        vjp, jvp = (self._vjp_program, self._jvp_program) if op.programs else (self._vjp, self._jvp)
        if not op.programs and moving and floats:
            lanes = self._lanes(lambda wide: wide.pulled, (*moving, *self.outs, *specs))
            self.pulled = host_op(f"{op.name} vjp #{number}", self._pull, [*moving, *self.outs, *specs], pulled, again, again, lanes)
            lanes = self._lanes(lambda wide: wide.pushed, (*specs, *floats))
            self.pushed = host_op(f"{op.name} jvp #{number}", self._push, [*specs, *floats], pushed, again, again, lanes)
        lanes = self._lanes(lambda wide: wide.record, specs)
        self.record = host_op(f"{op.name} #{number}", self._run, specs, [Spec(s, d) for s, d in self.outs], vjp, jvp, lanes)
        self._tapes: dict[str, Loop] = {}

    def applied(self, ops: Any, inputs: Sequence[Any]) -> list[Any]:
        """The outputs on any backend."""
        if not self.many or isinstance(ops, Graph):
            made = ops.apply(self.record, tuple(inputs), {})
            return list(made) if self.many else [made]
        tape = self._tapes.get(ops.dtype)
        if tape is None:
            # A node of a tape has one value: several are packed into one.
            specs, outs = ([Spec(s, d if d in INTEGERS else ops.dtype) for s, d in given] for given in (self.specs, self.outs))
            tape = self._tapes[ops.dtype] = Loop(self.op.name, (), specs, outs)
        return list(tape.on_tape(ops, self.record, tuple(inputs)))

    def _lanes(self, record: Callable[[_Call], OpDef], specs: Sequence[tuple[Shape, str]]) -> Callable[[Call], Any] | None:
        # The batching rule: the same functions on arrays with the lanes as their first axis.
        if self.op.vmap_method == "sequential":
            return None

        def batch(call: Call) -> Sequence[GraphRef]:
            inputs = tuple(((call.size, *s), d) for s, d in self.specs)
            wide = self.op._call(inputs, [(call.size, *s) for s in self.shapes], self.options)
            ids = [call.spread(k).id for k in range(len(call.inputs))]
            return [GraphRef(call.ops, v) for v in call.ops._record(record(wide), ids, {}, call.name)]

        return batch

    # On arrays --------------------------------------------------------------------------------------------------------------

    def _run(self, outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
        learned, self.op._learned.value = getattr(self.op._learned, "value", None), None
        if learned is None:
            value = self.op._forward(*ins, **self.options)
            learned = self.op._several(value, len(outs)) if self.many else [value]
        for target, value, shape in zip(outs, learned, self.shapes, strict=True):
            if target is not None:
                target[...] = self.op._cast(self.op._checked(value, shape, "forward"), target.dtype)

    def _pull(self, outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
        n, m = len(self.moving), len(self.outs)
        gs: list[Any] = [None] * m
        for k, g in zip(self.moving, ins[:n], strict=True):
            gs[k] = g
        ys, xs = ins[n : n + m], ins[n + m :]
        made = self.op._backward(*xs, tuple(ys) if self.many else ys[0], tuple(gs) if self.many else gs[0], **self.options)
        found = self._cotangents(made)
        for target, k in zip(outs, self.floats, strict=True):
            if target is not None:
                target[...] = 0.0 if found[k] is None else self.op._checked(found[k], self.specs[k][0], "backward")

    def _push(self, outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
        count = len(self.specs)
        tangents = [np.zeros(s, d) for s, d in self.specs]
        for k, t in zip(self.floats, ins[count:], strict=True):
            tangents[k] = t
        found = self._tangents(self.op._jvp(*ins[:count], *tangents, **self.options))
        for target, k in zip(outs, self.moving, strict=True):
            if target is not None:
                target[...] = 0.0 if found[k] is None else self.op._checked(found[k], self.shapes[k], "jvp")

    def _cotangents(self, made: Any) -> list[Any]:
        return self.op._parts(made, len(self.specs), f"backward gives one cotangent for each of the {len(self.specs)} inputs")

    def _tangents(self, made: Any) -> list[Any]:
        return (
            self.op._parts(made, len(self.outs), f"jvp gives a tangent for each of the {len(self.outs)} outputs") if self.many else [made]
        )

    # Derivatives ------------------------------------------------------------------------------------------------------------

    def _vjp(self, ops: Any, g: Any, y: Any, *xs: Any) -> Any:
        if not self.floats:
            return (None,) * len(xs)
        gs, ys = self._both(ops, g, y)
        made = ops.apply(self.pulled, (*(gs[k] for k in self.moving), *ys, *xs), {})
        cotangents = iter(made if isinstance(made, tuple) else (made,))
        return tuple(next(cotangents) if k in self.floats else None for k in range(len(xs)))

    def _vjp_program(self, ops: Any, g: Any, y: Any, *xs: Any) -> Any:
        gs, ys = self._both(ops, g, y)
        made = self.op._backward(ops, *xs, tuple(ys) if self.many else ys[0], tuple(gs) if self.many else gs[0], **self.options)
        return tuple(
            self._own(ops, c, x, "backward") if k in self.floats else None
            for k, (c, x) in enumerate(zip(self._cotangents(made), xs, strict=True))
        )

    def _both(self, ops: Any, g: Any, y: Any) -> tuple[list[Any], list[Any]]:
        ys = list(y) if self.many else [y]
        gs = list(g) if self.many else [g]
        for k in self.moving:
            if gs[k] is None:
                gs[k] = ops._full(shape=tuple(ys[k].shape), value=0.0, dtype=ys[k].dtype)
        return gs, ys

    def _jvp(self, ops: Any, t: Any, y: Any, *xs: Any) -> Any:
        moved = self._moved(ops, t, xs)
        made = ops.apply(self.pushed, (*xs, *(moved[k] for k in self.floats)), {})
        tangents = iter(made if isinstance(made, tuple) else (made,))
        found = [next(tangents) if k in self.moving else None for k in range(len(self.outs))]
        return found if self.many else found[0]

    def _jvp_program(self, ops: Any, t: Any, y: Any, *xs: Any) -> Any:
        made = self._tangents(self.op._jvp(ops, *xs, *self._moved(ops, t, xs), **self.options))
        ys = y if self.many else (y,)
        found = [self._own(ops, d, ys[k], "jvp") if k in self.moving else None for k, d in enumerate(made)]
        return found if self.many else found[0]

    def _moved(self, ops: Any, t: Any, xs: Sequence[Any]) -> list[Any]:
        # A tangent for each input, zeros where there is none.
        if self.op.jvp is None:
            raise OptionError(f"{self.op.name}: a directional derivative needs the op's jvp; pass jvp= to custom_op")
        return [ops._full(shape=tuple(x.shape), value=0.0, dtype=x.dtype) if d is None else d for d, x in zip(t, xs, strict=True)]

    def _own(self, ops: Any, value: Any, like: Any, what: str) -> Any:
        # What a program gave, as a reference of the backend.
        if value is None:
            return None
        ref = value if isinstance(value, RefBase) else ops.const(value)
        if tuple(ref.shape) != tuple(like.shape):
            raise ShapeError(f"{self.op.name}: {what} gives an array of shape {tuple(ref.shape)}, expected {tuple(like.shape)}")
        if str(ref.dtype) not in FLOATS:
            raise DTypeError(f"{self.op.name}: {what} must give floating-point numbers, got {ref.dtype}")
        return ref

    def _second_order(self, ops: Any, *refs: Any, **options: Any) -> Any:
        raise OptionError(
            f"{self.op.name}: a custom op on arrays has first derivatives only; for more pass programs=True with a backward and a jvp that"
            " are programs, or write it with defop"
        )


def _outside(function: Callable[..., Any], *xs: Any, **options: Any) -> Any:
    return run_outside(functools.partial(function, **options) if options else function, *xs)


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
    shape: Any = None,
    dtype: str | Sequence[str] | None = None,
    programs: bool = False,
    vmap_method: str = "sequential",
) -> CustomOp:
    """An op of the user's own, written on NumPy arrays; it works on every backend as a call back into Python.

    The functions are called with read-only arrays that are theirs to keep, never with made-up numbers. Exceptions that they raise reach the
    caller of the op. Keyword arguments of a call are options: numbers, strings or tuples, which all functions get by keyword.

    Args:
        forward: `forward(*xs)` gives the value, one array of floating-point numbers, or a tuple of arrays. Inputs may be integers or
            Booleans too.
        backward: `backward(*xs, y, g)` gives one cotangent per input (a tuple; a single array for one input; None = no gradient). Those of
            integer and Boolean inputs are not read. Of an op with several outputs y and g are tuples.
        jvp: `jvp(*xs, *ts)` gives the tangent of the value, with one tangent per input (zeros for integers). Without it a forward-mode
            derivative raises an OptionError that names the op.
        name: shown on tapes and in errors; by default the name of `forward`.
        shape: the shape of the value, or a list with that of each output; or a function `shape(*input_shapes)` that gives it. Without it an
            op that runs eagerly takes the shape of its value, and one in a recorded program must give one array of the common (broadcast)
            shape of its inputs.
        dtype: of the value, or a sequence with that of each output: "float", the program's, which is the default, or an integer dtype or
            "bool", whose outputs have no derivative.
        programs: whether `backward` and `jvp` are programs, of tlean's ops and custom ops: then derivatives have any order.
        vmap_method: what `vmap` does, as in JAX's `pure_callback`: "sequential" calls the functions once for each example;
            "broadcast_all" once, with arrays that all have the examples as a further first axis.

    Returns: a callable on references and arrays.

    Without `programs` derivatives are of first order: a second derivative through the op raises an OptionError, since `backward` and `jvp`
    are functions of arrays that cannot be differentiated.

    Raises: OptionError if a function is not callable; when called, ShapeError or DTypeError for a result of another shape or kind.

    Example:
        >>> cube = tl.custom_op(lambda x: x**3, lambda x, y, g: 3 * x**2 * g)
        >>> tl.grad(lambda x: tl.sum(cube(x)))(np.array([1.0, 2.0])).tolist()
        [3.0, 12.0]
    """
    named = str(getattr(forward, "__name__", "custom")) if name is None else name
    return CustomOp(forward, backward, jvp, named, shape, dtype, programs, vmap_method)


__all__ = ["CustomOp", "custom_op"]
