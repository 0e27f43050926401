"""`tl.save_program` and `tl.load_program`: a program and its parameters in one file, which any reader of safetensors opens.

The graph is JSON in the header; parameters and constants are the file's arrays. Reading runs no code of the file: it names
ops of this library, and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlean import tree
from tlean._core.array import AnyTensor, as_tensor
from tlean.compiler.graph import Graph, replay
from tlean.errors import DataError, OptionError, ShapeError, TleanError
from tlean.files import readable, replacing
from tlean.loops.bodies import drawn_seed, leaf
from tlean.nn.module import Buffer, Module
from tlean.ops import Spec
from tlean.param import Param
from tlean.programs.inline import program_of
from tlean.programs.jit import jit
from tlean.programs.recorder import name_of
from tlean.programs.running import backend_itself
from tlean.train.checkpoint import package, read_arrays

from .graph_json import read, written
from .tracing import recorded

_KEY, _FORMAT = "tlean.program", 1
_KINDS = {"list": list, "tuple": tuple, "dict": dict}


class SavedProgram(Module):
    """A program that was read from a file: a model, with the parameters that it was saved with.

    It is called with arrays, or with references inside a program, as what was saved was: it is differentiated, compiled, batched,
    fine-tuned like any `nn.Module`. Its shapes are those that it was saved for.

    Args:
        graph: the program. Its inputs are the arguments', then those of `state`, then seeds.
        name: of the function that was saved.
        arguments, result: the structures of the arguments and of the result.
        state: the parameters and buffers by name.
    """

    __tlean_own__ = True

    def __init__(self, graph: Graph, name: str, arguments: Any, result: Any, state: Mapping[str, Param]) -> None:
        self._graph, self._name = graph, name
        self._arguments, self._result = arguments, result
        self._order = tuple(state)
        count = tree.count(arguments)
        #: What it takes and returns: a `Spec` for each leaf.
        self.inputs: tuple[Any, ...] = tuple(graph.specs[v] for v in graph.inputs[:count])  # type: ignore[index]
        self.outputs: tuple[Any, ...] = tuple(graph.specs[v] for v in graph.outputs)  # type: ignore[index]
        self._seeds = len(graph.inputs) - count - len(state)
        # Under their paths, dots and all, as the model that they come of had them.
        vars(self).update(state)
        self._compiled = jit(self._as_program)

    @property
    def title(self) -> str:
        """The name of what was saved."""
        return self._name

    @property
    def specs(self) -> Any:
        """For each argument its `Spec`, or a list, tuple or dict of them."""
        return tree.unflatten(self._arguments, list(self.inputs))

    def _as_program(self, ops: Any, *args: Any) -> Any:
        return Module.__call__(self, ops, *args)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The result.

        Args:
            args: arrays, or references of a program, whose backend may come first.
            options: none.

        Returns: what the function that was saved returned.
        Raises: OptionError for a keyword argument; ShapeError for arguments of other shapes or another structure.
        """
        program, inputs = program_of(args, options)
        if options:
            raise OptionError(f"{self._name}: a program of a file takes no keyword arguments, got {', '.join(options)}")
        inputs = self._numbers(inputs)
        return self._compiled(*inputs) if program is None else super().__call__(program, *inputs)

    def _numbers(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        # Numbers of Python have the dtypes that they were saved with; a fraction is no integer.
        leaves, structure = tree.flatten(tuple(inputs))
        if structure != self._arguments:
            return tuple(inputs)
        kinds = {"bool": (bool,), "int64": (bool, int)}
        for k, (x, spec) in enumerate(zip(leaves, self.inputs, strict=True)):
            if not spec.shape and type(x) in kinds.get(spec.dtype, (bool, int, float)):
                leaves[k] = as_tensor(x, spec.dtype)
        made: tuple[Any, ...] = tree.unflatten(structure, leaves)
        return made

    def forward(self, ops: Any, *inputs: Any) -> Any:
        """The result for these arguments.

        Args:
            ops: a backend.
            inputs: references.

        Raises: ShapeError.
        """
        leaves, structure = tree.flatten(self._numbers(inputs))
        if structure != self._arguments:
            raise ShapeError(f"{self._name}: the arguments must be {tree.describe(self._arguments)}, got {tree.describe(structure)}")
        state = vars(self)
        backend = backend_itself(ops)
        refs = [leaf(backend, x) for x in leaves]
        for k, (r, spec) in enumerate(zip(refs, self.inputs, strict=True)):
            if tuple(r.shape) != spec.shape or str(r.dtype) != spec.dtype:
                raise ShapeError(f"{self._name}: argument {k} must be {spec.shape} {spec.dtype}, got {tuple(r.shape)} {r.dtype}")
        refs += [ops.value(state[n]) for n in self._order]
        refs += [drawn_seed(backend) for _ in range(self._seeds)]
        made = backend._inline(self._graph, refs, False) if isinstance(backend, Graph) else replay(self._graph, backend, refs)
        return tree.unflatten(self._result, made)

    def __repr__(self) -> str:
        return f"<program {self._name}: {len(self._graph)} nodes, {len(self.inputs)} arguments, {len(self._order)} arrays>"

    def __reduce__(self) -> Any:
        raise OptionError(f"{self._name}: a program that was read from a file is copied by reading the file again")


def save_program(path: str | os.PathLike[str], f: Any, *examples: Any) -> None:
    """Write a program and the parameters that it uses into one file, whole or not there.

        tl.save_program("net.safetensors", net.eval(), tl.Spec((32, 784)))

    Args:
        path: usually ends in `.safetensors`; its folder exists.
        f: a program, `f(*args)` or `f(ops, *args)`, or a model. Parameters that it captures are saved as they are now, and are those of
            what `load_program` returns; all else that it captures becomes part of the program.
        examples: for each argument an array, a `Spec`, a shape, or a list, tuple or dict of arrays and Specs.

    Raises: OptionError for a program that calls functions of Python (`custom_op`, callbacks), for containers of other kinds, or a path
        that cannot be written; OSError, ImportError without safetensors; what the program's ops raise.

    Example:
        >>> import tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "f.safetensors")
        >>> tl.save_program(path, lambda x: tl.sum(x * x), tl.Spec((3,)))
        >>> f = tl.load_program(path)
        >>> tl.grad(f)(np.array([1, 2, 3], np.float32)).tolist()
        [2.0, 4.0, 6.0]
    """
    safetensors = package()
    graph, arguments, result, kept = recorded("save_program", f, examples)
    arrays: dict[str, AnyTensor] = {entry.name: entry.value for entry in kept}
    state = [{"name": entry.name, "parameter": entry.trained, "frozen": entry.frozen} for entry in kept]
    header = {
        "format": _FORMAT,
        "name": name_of(f),
        "arguments": _structure(arguments),
        "result": _structure(result),
        "state": state,
        "program": written(graph, arrays),
    }
    with replacing("save_program: the target", path) as partial:
        text = json.dumps(header, separators=(",", ":"), allow_nan=False)
        safetensors.numpy.save_file({n: np.array(a.numpy()) for n, a in arrays.items()}, partial, metadata={_KEY: text})


def load_program(path: str | os.PathLike[str]) -> SavedProgram:
    """Read a program that `save_program` wrote. Nothing in the file is run but ops of this library.

    Args:
        path: of the file.

    Returns: the program, a model whose parameters are those of the file.
    Raises: DataError for a file that is damaged or no program, or that names an op that this version lacks; FileNotFoundError;
        ImportError without safetensors.
    """
    place = readable("load_program: the file", path)
    header, _, arrays = read_arrays(place)
    if _KEY not in header:
        raise DataError(f"{place}: no program of tl.save_program; tl.load reads checkpoints and weights")
    try:
        found = json.loads(header[_KEY])
        if found["format"] != _FORMAT:
            raise DataError(f"a program of format {found['format']}, this version reads {_FORMAT}")
        tensors = {n: as_tensor(a) for n, a in arrays.items()}
        graph = read(found["program"], tensors)
        state = {str(entry["name"]): _stored(entry, tensors) for entry in found["state"]}
        arguments, result = (_container(found[k]) for k in ("arguments", "result"))
        _check(graph, arguments, result, list(state.values()))
        return SavedProgram(graph, str(found["name"]), arguments, result, state)
    except (TleanError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, OverflowError) as error:
        what = str(error) if isinstance(error, TleanError) else f"{type(error).__name__}: {error}"
        raise DataError(f"{place}: damaged, or not for this version ({what})") from None


def _structure(value: Any) -> Any:
    # A tree's structure as JSON.
    if value is None or value == "*":
        return value
    kind, data, children = value
    if kind not in _KINDS.values() or (kind is dict and not all(isinstance(k, str) for k in data)):
        raise OptionError(f"save_program: arguments and results must be lists, tuples and dicts with texts as keys, got {kind.__name__}")
    return {"kind": kind.__name__, "keys": list(data) if kind is dict else len(children), "items": [_structure(c) for c in children]}


def _container(value: Any) -> Any:
    # The structure that `_structure` made this of.
    if value is None or value == "*":
        return value
    items = tuple(_container(v) for v in value["items"])
    if value["kind"] != "dict":
        return _KINDS[value["kind"]], len(items), items
    keys = tuple(map(str, value["keys"]))
    if len(keys) != len(items) or list(keys) != sorted(set(value["keys"])):
        raise DataError(f"a dict of {len(items)} entries has the keys {value['keys']}")
    return dict, keys, items


def _stored(entry: Mapping[str, Any], arrays: Mapping[str, AnyTensor]) -> Param:
    array = arrays[entry["name"]]
    if not entry["parameter"]:
        return Buffer(array, name=entry["name"])
    return Param(array, name=entry["name"], requires_grad=False if entry["frozen"] else None)


def _check(graph: Graph, arguments: Any, result: Any, state: Sequence[Param]) -> None:
    graph.check()
    count = tree.count(arguments)
    seeds = graph.inputs[count + len(state) :]
    specs = [graph.specs[v] for v in graph.inputs[count : count + len(state)]]  # type: ignore[index]
    fits = len(specs) == len(state) and all(s == Spec(p.shape, p.dtype) for s, p in zip(specs, state, strict=True))
    if not fits or tree.count(result) != len(graph.outputs) or any(graph.specs[v] != Spec((), "int64") for v in seeds):  # type: ignore[index]
        raise DataError("the arrays or structures do not fit the program")
