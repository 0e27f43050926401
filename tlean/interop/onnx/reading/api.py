"""`tl.onnx.load`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlean._core.array import as_tensor
from tlean.caching import Cache
from tlean.errors import DataError, OptionError, ShapeError, TleanError
from tlean.files import readable
from tlean.nn.module import Module
from tlean.ops import Spec
from tlean.param import Param
from tlean.programs.inline import program_of
from tlean.programs.jit import jit
from tlean.programs.running import backend_itself

from ..package import package
from .registry import constant, dtype_of
from .run import Run
from .sizes import DAMAGE
from .small import WIDE, Small, widened
from .support import Library, array_of, check, known_names, require_ends

#: Initialisers of these are parameters.
_LEARNED = ("float32", "float64", "float16", "bfloat16")
#: Programs that are kept of a file, each for other numbers of the inputs that are shapes, axes or counts.
_MOST_PROGRAMS = 64


class OnnxProgram(Module):
    """A program that was read from an ONNX file: a model whose parameters are the file's initialisers of floats.

    It is called with arrays, or with references inside a program: it is differentiated, compiled, batched, fine-tuned like any `nn.Module`.
    Inputs that are shapes, axes or counts must be arrays, whose numbers the program is compiled for; the latest 64 programs are kept.
    Inputs, parameters and results of small dtypes (float16, int8, …) are float32 and int64 inside programs; called with arrays, it returns
    NumPy's of the small dtype.

    Args:
        model: the file's message.
    """

    __tlean_own__ = True

    def __init__(self, model: Any) -> None:
        graph = model.graph
        try:
            self._library = Library(package(), model)
            check(self._library, graph)
            known = known_names(self._library, graph.node)
        except TleanError:
            raise
        except DAMAGE as error:
            raise DataError(f"onnx.load: a damaged model ({type(error).__name__}: {error})") from error
        self._graph, self._name = graph, graph.name or "onnx"
        #: The names of what it takes, and of what it returns.
        held = {t.name for t in graph.initializer}
        self.inputs = tuple(v.name for v in graph.input if v.name not in held)
        self.outputs = tuple(v.name for v in graph.output)
        self._types = {v.name: self._type(v) for v in graph.input if v.name not in held}
        self._results = tuple(dtype_of(v.type.tensor_type.elem_type) for v in graph.output)
        self._known = tuple(n for n in self.inputs if n in known)
        self._constants: dict[str, np.ndarray] = {}
        state: dict[str, Param] = {}
        self._small: dict[str, str] = {}
        for tensor in graph.initializer:
            value = array_of(self._library, tensor)
            if tensor.name in known or str(value.dtype) not in _LEARNED:
                self._constants[tensor.name] = value
            else:
                state[tensor.name] = Param(as_tensor(widened(value)), name=tensor.name)
                if str(value.dtype) in WIDE:
                    self._small[tensor.name] = str(value.dtype)
        self._order = tuple(state)
        self._programs = Cache(_MOST_PROGRAMS)
        # Under the names that the file has, dots and all.
        vars(self).update(state)

    def _type(self, value: Any) -> tuple[str, int | None]:
        kind = value.type.tensor_type
        return dtype_of(kind.elem_type), len(kind.shape.dim) if kind.HasField("shape") else None

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The result, or a tuple of results.

        Args:
            args: arrays, or references of a program, whose backend may come first.
            options: none.

        Raises: ShapeError, DTypeError for arguments that do not fit; OptionError for an input that must be an array and is none.
        """
        program, inputs = program_of(args, options)
        if program is not None:
            return super().__call__(program, *inputs)
        if len(inputs) != len(self.inputs):
            raise ShapeError(f"{self._name}: the arguments must be {', '.join(self.inputs) or 'none'}, got {len(inputs)}")
        known = {n: self._numbers(n, x) for n, x in zip(self.inputs, inputs, strict=True) if n in self._known}
        key = tuple((n, a.shape, a.dtype.str, a.tobytes()) for n, a in known.items())
        compiled = self._programs.make(key, lambda: jit(self._program(known)))
        rest = [self._array(n, x) for n, x in zip(self.inputs, inputs, strict=True) if n not in known]
        made = compiled(*rest)
        if WIDE.keys().isdisjoint(self._results):
            return made
        each = made if isinstance(made, tuple) else (made,)
        results = tuple(v.numpy().astype(d) if d in WIDE else v for v, d in zip(each, self._results, strict=True))
        return results[0] if len(results) == 1 else results

    def _array(self, name: str, x: Any) -> Any:
        # What the compiled program takes for an argument.
        dtype = self._types[name][0]
        x = x if hasattr(x, "dtype") else np.asarray(x, dtype)
        return widened(x) if str(x.dtype) == dtype and dtype in WIDE else x

    def _numbers(self, name: str, x: Any) -> np.ndarray:
        # The array whose numbers the program is compiled for.
        x = x if isinstance(x, np.ndarray | np.generic) else as_tensor(x).numpy()
        return np.asarray(x).astype(self._types[name][0])

    def _program(self, known: dict[str, np.ndarray]) -> Any:
        # The program for these numbers.
        def program(ops: Any, *rest: Any) -> Any:
            others = iter(rest)
            return Module.__call__(self, ops, *(known[n] if n in known else next(others) for n in self.inputs))

        return program

    def forward(self, ops: Any, *inputs: Any) -> Any:
        """The result for these arguments.

        Args:
            ops: a backend.
            inputs: references, and arrays where a number must be known.

        Raises: ShapeError, DTypeError, OptionError.
        """
        if len(inputs) != len(self.inputs):
            raise ShapeError(f"{self._name}: the arguments must be {', '.join(self.inputs) or 'none'}, got {len(inputs)}")
        backend = backend_itself(ops)
        values: dict[str, Any] = dict(self._constants)
        for name, x in zip(self.inputs, inputs, strict=True):
            values[name] = self._argument(backend, name, x)
        for name in self._order:
            ref = ops.value(vars(self)[name])
            values[name] = Small(ref, self._small[name]) if name in self._small else ref
        made = Run(self._library, backend).graph(self._graph, values)
        results = tuple(constant(backend, v) for v in made)
        return results[0] if len(results) == 1 else results

    def _argument(self, backend: Any, name: str, x: Any) -> Any:
        dtype, rank = self._types[name]
        if name in self._known:
            x = x if not hasattr(x, "ops") else getattr(x, "value", None)
            if x is None:
                raise OptionError(f"{self._name}: {name} must be an array: the program is compiled for its numbers")
            return self._numbers(name, x)
        ref = x if hasattr(x, "ops") else constant(backend, as_tensor(self._array(name, x)))
        wide = WIDE.get(dtype, dtype)
        if str(ref.dtype) != wide or (rank is not None and len(ref.shape) != rank):
            raise ShapeError(f"{self._name}: {name} must be of {wide} with {rank} axes, got {Spec(tuple(ref.shape), str(ref.dtype))}")
        return Small(ref, dtype) if dtype in WIDE else ref

    def __repr__(self) -> str:
        return f"<onnx {self._name}: {len(self._graph.node)} nodes, {len(self.inputs)} arguments, {len(self._order)} arrays>"

    def __reduce__(self) -> Any:
        raise OptionError(f"{self._name}: a program that was read from a file is copied by reading the file again")


def load(path: str | os.PathLike[str]) -> OnnxProgram:
    """Read an ONNX model as a program over `Ops`.

        net = tl.onnx.load("resnet.onnx")
        y = net(images)

    Args:
        path: of the file.

    Returns: the program, a model; its parameters are the file's initialisers of floats.
    Raises: MissingOpError for a model with operators that this library does not have, all of which it names; DTypeError for arrays of
        texts or complex numbers; DataError for a file that is damaged, or needs far too
        much memory; FileNotFoundError; ImportError without onnx.

    Example:
        >>> import tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "f.onnx")
        >>> _ = tl.onnx.export(lambda x: x * x, path, tl.Spec((3,)))
        >>> f = tl.onnx.load(path)
        >>> tl.grad(lambda x: tl.sum(f(x)))(np.array([1, 2, 3], np.float32)).tolist()
        [2.0, 4.0, 6.0]
    """
    onnx = package()
    place = readable("onnx.load: the file", path)
    try:
        model = onnx.load_model(os.fspath(place))
        require_ends(model)
        onnx.checker.check_model(model)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{place}: no ONNX model, or a damaged one ({error})") from None
    return OnnxProgram(model)


def read(model: Any) -> OnnxProgram:
    """The program of a model's message. Raises: as `load`."""
    return OnnxProgram(model)


__all__: Sequence[str] = ("OnnxProgram", "load", "read")
