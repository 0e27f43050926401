"""What a model's operators are: read here, functions of the model, or functions that ONNX itself gives;
and which values a program must know the numbers of while it is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tlean.errors import DataError, MissingOpError, TleanError
from tlean.ops import OpDef, get

from ...graph_json import parsed
from ..package import DOMAIN, DTYPES, SMALL
from .registry import READERS, Reader, dtype_of, operators
from .sizes import require_nodes

#: Operators with graphs inside, and what makes arrays of nothing.
LOOPS = frozenset(("If", "Loop", "Scan"))
_PLAIN = frozenset(("", "ai.onnx"))
#: Calls of functions inside each other at most.
_DEEPEST = 64
_READ = _PLAIN | {"ai.onnx.ml", "ai.onnx.preview.training"}
#: Their values do not depend on the numbers of what they read.
_SHAPES = frozenset(("Shape", "Size"))


class Own(NamedTuple):
    """A call of an op of this library: which of its inputs are there, its options, and whether it is what the call keeps for gradients."""

    op: OpDef
    present: list[bool]
    options: dict[str, Any]
    kept: bool


class Library:
    """What the nodes of a model mean.

    Args:
        onnx: the package.
        model: the message.
    """

    def __init__(self, onnx: Any, model: Any) -> None:
        operators()
        require_ends(model)
        self.onnx, self.dtypes = onnx, {**DTYPES, **SMALL}
        self.versions = {"" if o.domain in _PLAIN else o.domain: int(o.version) for o in model.opset_import}
        self._functions = {(f.domain, f.name): f for f in model.functions}
        self._records = {key: self._record(f) for key, f in self._functions.items()}
        self._types = self._inferred(model)
        self._bodies: dict[Any, Any] = {}

    def _inferred(self, model: Any) -> dict[str, Any]:
        # The types of values, which some of ONNX's functions depend on.
        try:
            graph = self.onnx.shape_inference.infer_shapes(model).graph
        except Exception:
            graph = model.graph
        types = {v.name: v.type for v in (*graph.input, *graph.value_info, *graph.output)}
        for t in graph.initializer:
            types[t.name] = self.onnx.helper.make_tensor_type_proto(t.data_type, list(t.dims))
        return types

    def _record(self, function: Any) -> Own | None:
        # The op of this library that a function of a file says it is.
        if function.domain != DOMAIN or not function.doc_string:
            return None
        try:
            text = json.loads(function.doc_string)
            record = get(str(text["op"]))
            options = {str(k): parsed(v) for k, v in text["options"].items()}
            return Own(record, list(map(bool, text["inputs"])), options, bool(text.get("kept", False)))
        except (TleanError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def reader(self, node: Any) -> Reader | None:
        """What reads a node by itself."""
        return READERS.get(node.op_type) if node.domain in _READ else None

    def record(self, node: Any) -> Own | None:
        """The op of this library that a node is."""
        return self._records.get((node.domain, node.op_type))

    def function(self, node: Any) -> Any:
        """The function that a node calls, of the model or of ONNX; None where there is none."""
        own = self._functions.get((node.domain, node.op_type))
        if own is not None:
            return own
        key = node.SerializeToString()
        if key not in self._bodies:
            self._bodies[key] = self._given(node)
        return self._bodies[key]

    def _given(self, node: Any) -> Any:
        # What ONNX says that the operator is.
        schema = self.schema(node)
        if schema is None:
            return None
        if schema.has_function:
            return schema.function_body
        if not schema.has_context_dependent_function:
            return None
        types = [self._types[n].SerializeToString() if n in self._types else b"" for n in node.input]
        try:
            text = schema.get_context_dependent_function(node.SerializeToString(), types)
        except Exception:
            return None
        body = self.onnx.FunctionProto()
        body.ParseFromString(text)
        return body if body.node else None

    def schema(self, node: Any) -> Any:
        """What ONNX says of an operator's inputs and results; None where it says nothing."""
        defs = self.onnx.defs
        domain = "" if node.domain in _PLAIN else node.domain
        version = self.versions.get(domain, defs.onnx_opset_version())
        try:
            return defs.get_schema(node.op_type, version, domain)
        except defs.SchemaError:
            return None

    def defaults(self, node: Any) -> list[Any]:
        """The attributes that an operator of ONNX has where a node says none."""
        domain = "" if node.domain in _PLAIN else node.domain
        if (node.domain, node.op_type) in self._functions:
            return []
        schema = self.onnx.defs.get_schema(node.op_type, self.versions.get(domain, self.onnx.defs.onnx_opset_version()), domain)
        return [a.default_value for a in schema.attributes.values() if a.default_value.name]

    def types(self, names: Iterable[tuple[str, Any]]) -> None:
        """Say the dtypes of values, by references and arrays: ONNX's functions depend on them."""
        for name, value in names:
            if name and name not in self._types and value is not None:
                number = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(str(value.dtype)))
                self._types[name] = self.onnx.helper.make_tensor_type_proto(number, list(value.shape))

    def attributes(self, node: Any) -> dict[str, Any]:
        """The attributes of a node; arrays are NumPy's, texts are texts."""
        result = {}
        for a in node.attribute:
            value = self.onnx.helper.get_attribute_value(a)
            if isinstance(value, bytes):
                value = value.decode()
            elif isinstance(value, self.onnx.TensorProto):
                value = array_of(self, value)
            elif isinstance(value, list) and value and isinstance(value[0], bytes):
                value = [v.decode() for v in value]
            result[a.name] = value
        return result


def array_of(library: Library, tensor: Any) -> np.ndarray:
    """The numbers of a tensor."""
    try:
        return np.asarray(library.onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError, LookupError, MemoryError, RuntimeError) as error:
        raise DataError(f"onnx.load: the array {tensor.name!r} cannot be read ({error})") from None


def require_ends(model: Any) -> None:
    """Refuse functions that call themselves, one inside the other too deep, or far too many. Raises: DataError."""
    bodies = {(f.domain, f.name): [(n.domain, n.op_type) for n in _nodes(f.node)] for f in model.functions}
    counts: dict[tuple[str, str], int] = {}
    for _ in range(_DEEPEST):
        left = bodies.keys() - counts.keys()
        ready = [k for k in left if all(c in counts for c in bodies[k] if c in bodies)]
        if left and not ready:
            raise DataError(f"onnx.load: the function {min(left)[1]} calls itself")
        counts.update({k: sum(counts.get(c, 1) for c in bodies[k]) for k in ready})
    if bodies.keys() - counts.keys():
        raise DataError(f"onnx.load: functions call each other more than {_DEEPEST} deep")
    require_nodes(max(counts.values(), default=0))


def _nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        yield node
        for graph in graphs_of(node):
            yield from _nodes(graph.node)


def graphs_of(node: Any) -> Iterator[Any]:
    """The graphs inside a node."""
    for a in node.attribute:
        if a.HasField("g"):
            yield a.g
        yield from a.graphs


def check(library: Library, graph: Any) -> None:
    """Refuse a model with operators that nothing says, all of them. Raises: MissingOpError, DTypeError."""
    missing: dict[str, None] = {}
    seen: set[tuple[str, str]] = set()

    def walk(nodes: Iterable[Any]) -> None:
        for node in nodes:
            for inside in graphs_of(node):
                walk(inside.node)
            if library.reader(node) or library.record(node) or node.op_type in LOOPS or node.op_type == "Constant":
                continue
            function = library.function(node)
            if function is None:
                missing.setdefault(node.op_type if node.domain in _PLAIN else f"{node.domain}.{node.op_type}")
            elif (node.domain, node.op_type) not in seen:
                seen.add((node.domain, node.op_type))
                walk(function.node)

    walk(graph.node)
    if missing:
        raise MissingOpError(f"onnx.load: the model has operators that this library does not have: {', '.join(sorted(missing))}")
    for value in (*graph.input, *graph.output):
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            raise MissingOpError(f"onnx.load: {value.name} is no array, but a {str(kind).removesuffix('_type')}")
        dtype_of(value.type.tensor_type.elem_type)


def known_names(library: Library, nodes: Iterable[Any], needed: Iterable[str] = ()) -> set[str]:
    """The names whose numbers are needed: of shapes, axes, counts, and of all that these are computed from.

    Args:
        library: what the nodes mean.
        nodes: of a graph, in order.
        needed: names that are needed besides.
    """
    names = set(needed)
    for node in reversed(list(nodes)):
        wanted = not names.isdisjoint(node.output)
        if wanted and node.op_type not in _SHAPES:
            names.update(n for n in node.input if n)
        reader = library.reader(node)
        if reader is not None:
            names.update(node.input[k] for k in reader.known if k < len(node.input) and node.input[k])
        elif library.record(node) is None:
            function = library.function(node) if node.op_type not in ("If", "Loop", "Scan", "Constant") else None
            if function is not None:
                inside = known_names(library, function.node)
                names.update(n for n, f in zip(node.input, function.input, strict=False) if n and f in inside)
        if node.op_type == "Loop":
            # Its most steps; and whether it goes on, where each step stacks a part of a result.
            (body,) = graphs_of(node)
            names.update(n for n in node.input[: 2 if len(body.output) > len(node.input) - 1 else 1] if n)
        for graph in graphs_of(node):
            own = {v for n in graph.node for v in n.output} | {v.name for v in graph.input} | {t.name for t in graph.initializer}
            names |= known_names(library, graph.node, [o.name for o in graph.output] if wanted else ()) - own
    return names
