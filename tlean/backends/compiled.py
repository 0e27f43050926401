"""The compiled backend: a program is recorded once as a graph, lowered to a plan, and run by one call from then on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean._core.array import AnyTensor, as_tensor
from tlean._core.eager import EagerCore
from tlean._core.plan import run
from tlean._core.refs import RefBase
from tlean._faces.methods import OpsMethods
from tlean.errors import NodeError, OptionError
from tlean.ops import FLOAT, OpDef, Spec
from tlean.ops.registry import dynamic_op

from .graph import Graph, GraphRef
from .lower import lower


def is_backend(value: Any) -> bool:
    """Whether a value is an `Ops` backend (and not an argument of a program)."""
    return isinstance(value, OpsMethods | EagerCore)


def specs_of(leaves: Sequence[Any]) -> tuple[list[AnyTensor], list[Spec], str]:
    """Arrays, specs and float dtype of the arguments of a functional call.

    The float dtype is float64 if any array is float64, else float32; Python numbers are weak; integers and Booleans keep their dtype.
    """
    raw = [x if isinstance(x, AnyTensor) else as_tensor(x) for x in leaves]
    strong = [t for t, x in zip(raw, leaves, strict=True) if hasattr(x, "dtype")]
    dtype = "float64" if any(t.dtype == "float64" for t in strong) else "float32"
    tensors = []
    for t, x in zip(raw, leaves, strict=True):
        integral = t.dtype in ("int64", "int32", "bool") and hasattr(x, "dtype")
        tensors.append(as_tensor(t, "int64") if integral and t.dtype == "int32" else t if integral else as_tensor(t, dtype))
    return tensors, [Spec(t.shape, t.dtype) for t in tensors], dtype


class Compiled:
    """A program compiled per structure, shapes and dtypes of its arguments, and kept.

    Args:
        record: `record(graph, *args)` records the program and returns a tree of references.
    """

    def __init__(self, record: Callable[..., Any]) -> None:
        self._record = record
        self._known: dict[Any, tuple[Any, Any, list[Any]]] = {}

    def __call__(self, *args: Any, keep: bool = True) -> Any:
        leaves, structure = tree.flatten(args)
        tensors, specs, dtype = specs_of(leaves)
        key = (structure, tuple(specs), dtype)
        known = self._known.get(key)
        if known is None:
            known = self._build(structure, specs, dtype)
            if keep:
                self._known[key] = known
        plan, out_structure, out_specs = known
        return tree.unflatten(out_structure, run(plan, tensors, out_specs))

    def _build(self, structure: Any, specs: Sequence[Spec], dtype: str) -> tuple[Any, Any, list[Any]]:
        graph = Graph(dtype)
        refs = [graph.arg(s) for s in specs]
        out, out_structure = tree.flatten(self._record(graph, *tree.unflatten(structure, refs)))
        graph.outputs = [graph.ref(r).id for r in out]
        return lower(graph), out_structure, [(graph.specs[v].shape, graph.specs[v].dtype) for v in graph.outputs]


def trace_into(ops: Any, record: Callable[..., Any], args: Sequence[Any]) -> Any:
    """Record a graph-level program into the program of any backend; returns its results as that backend's references."""
    if isinstance(ops, Graph):
        return record(ops, *tree.map(ops.ref, args))
    leaves, structure = tree.flatten(tuple(args))
    refs = [x if isinstance(x, RefBase) else ops.const(x) for x in leaves]
    graph = _Capturing(ops)
    mine = [graph.arg(Spec(tuple(r.shape), r.dtype)) for r in refs]
    out, out_structure = tree.flatten(record(graph, *tree.unflatten(structure, mine)))
    made = []
    for r in out:
        graph.outputs = [graph.ref(r).id]
        one = dynamic_op("call", _frozen(graph))
        made.append(ops.apply(one, (*refs, *graph.captured), {}))
    return tree.unflatten(out_structure, made)


class _Capturing(Graph):
    # A graph inside another backend's program: a reference of that program becomes a further input.
    def __init__(self, outer: Any) -> None:
        super().__init__(outer.dtype)
        self._outer = outer
        self.captured: list[Any] = []
        self._seen: dict[int, GraphRef] = {}

    def ref(self, value: Any, integer: bool = False) -> GraphRef | None:
        if isinstance(value, RefBase) and not isinstance(value, GraphRef) and value.ops is self._outer:
            if id(value) not in self._seen:
                self.captured.append(value)
                self._seen[id(value)] = self.arg(Spec(tuple(value.shape), value.dtype))
            return self._seen[id(value)]
        return super().ref(value, integer)


def _frozen(graph: Graph) -> Graph:
    copy = Graph(graph.dtype)
    copy.specs, copy.nodes, copy.constants = list(graph.specs), list(graph.nodes), dict(graph.constants)
    copy.inputs, copy.outputs = list(graph.inputs), list(graph.outputs)
    return copy.prune()


def as_spec(value: Any) -> Spec:
    """A spec from a spec or a shape (then of the program's float dtype)."""
    return value if isinstance(value, Spec) else Spec(tuple(value), FLOAT)


__all__ = ["Compiled", "NodeError", "OpDef", "OptionError", "as_spec", "is_backend", "specs_of", "trace_into"]
