"""A program recorded as a graph inside a program of any other backend: there it is one op."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tlean import tree
from tlean._core.array import AnyTensor, as_tensor
from tlean._core.eager.eager import EagerCore, ParamBase
from tlean._core.eager.instance import options_key
from tlean._core.refs import RefBase
from tlean._generated.methods import OpsMethods
from tlean.caching import Cache
from tlean.compiler.graph import Graph, GraphNode, GraphRef, replay
from tlean.dtypes import holds_integers
from tlean.ops import OpDef, Spec
from tlean.ops.unregistered import dynamic_op

from .calls import Form
from .executable import signed_seed
from .running import Wrapped, backend_itself, innermost_among, run_in


def is_backend(value: Any) -> bool:
    """Whether a value is an `Ops` backend (and not an argument of a program)."""
    return isinstance(value, _BACKENDS)


def has_ops(value: Any) -> bool:
    """Whether a value has the methods of a backend, whatever its class, and is no reference, which has them too."""
    return not isinstance(value, RefBase) and callable(getattr(value, "linear", None)) and callable(getattr(value, "const", None))


_BACKENDS = (OpsMethods, EagerCore, Wrapped)


def program_of(args: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[Any, tuple[Any, ...]]:
    """The backend that a call with these arguments records into, None for a call on arrays, and the arguments after it.

    The backend is the first argument; or else the innermost of the running program and those that references among the arguments belong to.
    """
    if args and is_backend(args[0]):
        return args[0], args[1:]
    return innermost_among((args, keywords) if keywords else args), args


def trace_into(ops: Any, record: Callable[..., Any], xs: Sequence[Any], form: Form) -> Any:
    """Record a graph-level program into the program of any backend; returns its results as that backend's references.

    Args:
        ops: the backend.
        record: `record(graph, *args, **keywords)`.
        xs: the arrays and references of the call.
        form: its arguments without them.
    """
    program, ops = ops, backend_itself(ops)
    if isinstance(ops, Graph):
        args, keywords = form.build([ops.ref(x) for x in xs])
        return record(ops, *args, **keywords) if program is ops else run_in(program, record, (ops, *args), keywords, first=False)
    refs = [x if isinstance(x, RefBase) else _leaf(ops, x) for x in xs]
    graph = _Capturing(ops, program if isinstance(program, Wrapped) else None)
    args, keywords = form.build([graph.arg(Spec(tuple(r.shape), r.dtype)) for r in refs])
    out, out_structure = tree.flatten(record(graph, *args, **keywords))
    made = []
    for r in out:
        graph.outputs = [graph.ref(r).id]  # type: ignore[union-attr]
        called, used = _called(graph)
        given = [*refs, *graph.captured]
        made.append(ops.apply(called, tuple(given[k] for k in used), {}))
    graph.forget()
    return tree.unflatten(out_structure, made)


def _leaf(ops: Any, x: Any) -> Any:
    # An array of integers keeps its dtype, as it does in a graph; plain numbers are the program's floats.
    return ops._own_constant(x) if holds_integers(x) else ops.const(x)


class _Capturing(Graph):
    # A graph inside another backend's program: references of that program, constants and seeds become further inputs.
    def __init__(self, outer: Any, layer: Wrapped | None) -> None:
        super().__init__(outer.dtype, merge=False)
        self._outer = outer
        # What says which values parameters have, inside a layer.
        self._layer = layer
        self.captured: list[Any] = []
        self._seen: dict[int, GraphRef] = {}
        if hasattr(outer, "next_seed"):
            self.next_seed = lambda: self._capture(as_tensor(signed_seed(outer.next_seed()), "int64"))
        if layer is not None:
            self.use = lambda p: self.ref(layer.value(p))
        elif hasattr(outer, "use"):
            # A parameter is a leaf of the program outside, so gradients reach it there.
            self.use = lambda p: self.ref(outer.use(p))

    def ref(self, value: Any, dtype: str | None = None) -> GraphRef | None:
        if isinstance(value, RefBase) and not isinstance(value, GraphRef) and value.ops is self._outer:
            if id(value) not in self._seen:
                self._seen[id(value)] = self._capture(value)
            return self._seen[id(value)]
        if self._layer is not None and isinstance(value, ParamBase):
            return self.ref(self._layer.value(value))
        return super().ref(value, dtype)

    def const(self, value: Any, name: str | None = None) -> GraphRef:
        if self._layer is not None and isinstance(value, ParamBase):
            return self.ref(self._layer.value(value))  # type: ignore[return-value]
        return super().const(value, name)

    leaf = const

    def _own_constant(self, value: Any) -> GraphRef:
        if self._layer is not None and isinstance(value, ParamBase):
            return self.ref(self._layer.value(value))  # type: ignore[return-value]
        return super()._own_constant(value)

    def _constant(self, tensor: AnyTensor) -> GraphRef:
        ref = super()._constant(tensor)
        return self._capture(self.constants.pop(ref.id))

    def forget(self) -> None:
        """Let go of what was captured: a graph and its references hold each other, so its own memory may stay for a while."""
        self.captured, self._seen, self.next_seed, self._layer = [], {}, None, None
        self.__dict__.pop("use", None)

    def _capture(self, value: Any) -> GraphRef:
        self.captured.append(value)
        return self.arg(Spec(tuple(value.shape), value.dtype))  # type: ignore[return-value]


_PROGRAMS = Cache(1024)


def _called(graph: Graph) -> tuple[OpDef, list[int]]:
    # The graph as one op, and which of its inputs that op takes. A graph that was met before is the same op, so that its plans are kept.
    nodes = graph._needed(effects=True)
    read = {i for n in nodes for i in n.inputs} | set(graph.outputs)
    used = [k for k, v in enumerate(graph.inputs) if v in read]
    number: dict[int | None, int] = {None: -1}
    for k in used:
        number[graph.inputs[k]] = len(number) - 1
    calls = []
    for n in nodes:
        number |= {v: len(number) - 1 + j for j, v in enumerate(n.outputs)}
        calls.append((n.record, tuple(number[i] for i in n.inputs), len(n.outputs), options_key(n.options)))
    specs = tuple(graph.specs[graph.inputs[k]] for k in used)  # type: ignore[index]
    key = (graph.dtype, specs, tuple(calls), number[graph.outputs[0]])
    # A program that calls an op of the user's own is kept with that op, and freed with it.
    programs = next((n.record.kept("programs", _PROGRAMS) for n in nodes if not n.record.registered), _PROGRAMS)
    return programs.make(key, lambda: _op(graph, nodes, used)), used


def _op(graph: Graph, nodes: list[GraphNode], used: Sequence[int]) -> OpDef:
    copy = Graph(graph.dtype)
    copy.specs, copy.nodes, copy.outputs = list(graph.specs), nodes, list(graph.outputs)
    copy.inputs = [graph.inputs[k] for k in used]

    def decompose(ops: Any, *xs: Any) -> Any:
        return (ops._inline(copy, xs) if isinstance(ops, Graph) else replay(copy, ops, xs))[0]

    return dynamic_op("call", copy, decompose)
