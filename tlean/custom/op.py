"""Ops of the user's own, written on arrays: `custom_op`."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from tlean._core.array import as_tensor, read_array
from tlean._core.eager.instance import options_key
from tlean._core.refs import RefBase
from tlean.arguments import flag
from tlean.compiler.graph import GraphRef
from tlean.devices import context_at, cuda
from tlean.dtypes import FLOAT, FLOATS, INTEGERS, promoted
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.interpreters.dual import DualRef
from tlean.interpreters.eager import no_grad
from tlean.ops.registry import OpDef
from tlean.programs.recorder import Recorder
from tlean.programs.running import backend_itself, innermost_among, run_outside
from tlean.reference.interpreter import Reference

from .call import OpCall

_numbers = itertools.count()

Shape = tuple[int, ...]
_Specs = tuple[tuple[Shape, str], ...]
_METHODS = ("sequential", "broadcast_all")


class CustomOp:
    """An op of the user's own: call it with references of any backend, `y = op(x, …)`, or with plain arrays for the value alone.

    `custom_op` makes it and says what its arguments are.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    jvp: Callable[..., Any] | None
    name: str
    shape: Any
    dtype: Any
    programs: bool

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        jvp: Callable[..., Any] | None,
        name: str,
        shape: Any = None,
        dtype: Any = None,
        programs: bool = False,
        vmap_method: Literal["sequential", "broadcast_all"] = "sequential",
        cuda: Any = None,
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
        if cuda is not None and not callable(getattr(cuda, "code_of", None)):
            kind = type(cuda).__name__
            raise OptionError(f"custom_op: cuda must be made by tl.cuda.elementwise or tl.cuda.kernel, got {kind}")
        self.cuda = cuda
        self.forward, self.backward, self.jvp = forward, backward, jvp
        # They compute on arrays, whatever program is running.
        self._forward = functools.partial(_outside, forward)
        self.programs = flag("custom_op", "programs", programs)
        self._backward = Recorder(f"{name}: backward", backward) if self.programs else functools.partial(_outside, backward)
        self._jvp: Any = None
        if jvp is not None:
            self._jvp = Recorder(f"{name}: jvp", jvp) if self.programs else functools.partial(_outside, jvp)
        self.name, self.shape, self.dtype = name, shape, dtype
        self.vmap_method = vmap_method
        self._calls: dict[Any, OpCall] = {}
        # What `forward` gave when the shape was learned from it, for the op that is about to ask for that very value.
        self._learned = threading.local()

    def __call__(self, *xs: Any, **options: Any) -> Any:
        ops = backend_itself(innermost_among(xs))
        where = None if self.cuda is None or ops is not None else next(filter(None, map(context_at, xs)), None)
        if where is not None:
            ops = cuda().CudaEager(where)
            with no_grad():
                refs = self(*[x if isinstance(x, RefBase) else ops.add_leaf(x) for x in xs], **options)
            return tuple(r.value for r in refs) if isinstance(refs, tuple) else refs.value
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
        # What has code for a device is not computed here to learn its shape.
        known = self.cuda is None
        values = [_value_of(a) if isinstance(a, RefBase) else as_tensor(a) for a in arguments]
        if known and all(v is not None for v in values):
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

    def _call(self, specs: _Specs, shapes: Sequence[Shape], options: dict[str, Any]) -> OpCall:
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
            known = self._calls[key] = OpCall(self, specs, shapes, options)
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
        given = (self.forward, self.backward, self.jvp, self.name, self.shape, self.dtype, self.programs, self.vmap_method, self.cuda)
        return CustomOp, given

    def __repr__(self) -> str:
        return f"<custom op {self.name}>"


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
    vmap_method: Literal["sequential", "broadcast_all"] = "sequential",
    cuda: Any = None,
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
        cuda: CUDA C that computes the same on a device, `tl.cuda.elementwise(…)` or `tl.cuda.kernel(…)`. The op then has the shape that
            `shape` says, or its inputs' common one. What it has no code for is computed by the functions above.

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
    return CustomOp(forward, backward, jvp, named, shape, dtype, programs, vmap_method, cuda)


__all__ = ["CustomOp", "custom_op"]
