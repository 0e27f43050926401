"""Booleans in lanes: where elementwise ops make and read Booleans, these are numbers, 1 and 0, of the dtype that the ops compute in.

A comparison becomes its form on lanes, and where its bytes are read too, these are made of the lanes; what reads Booleans reads lanes.
So in `where(x > 0, a, b)` or `mul(x > 0, g)` no bytes are between the ops, and a fused group has numbers of one dtype in its vectors: bytes
are read and written at its border (`bytes` and `truth` of `plan/chain_machine.h`). A group that is one op alone is that op again, whose
kernel has the bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tlean.dtypes import FLOAT, FLOATS
from tlean.ops import OpDef, Spec, get
from tlean.ops.elementwise import FORMULAS, Formula
from tlean.ops.layout import conversion_op

from ..graph import Graph, GraphNode
from ..signature import signature
from ..target import Bound


def in_lanes(graph: Graph) -> Graph:
    """The same program with the Booleans of elementwise ops in lanes."""
    if not any(_form(call.record) for call in graph.calls()):
        return graph
    return _Lanes(graph).run()


def as_one_op(graph: Graph, group: Sequence[Bound], visible: Sequence[int]) -> Bound | None:
    """The op on bytes that a group is: one op on lanes, and conversions of its Booleans. None for any other group."""
    inner = [op for op in group if not op.converts]
    if len(inner) != 1 or len(visible) != 1 or not inner[0].record.kernel.endswith("_lanes"):
        return None
    (op,) = inner
    made = {op.made: op for op in group}
    record = get(op.record.name)
    formula = FORMULAS[record.kernel]
    last = made[visible[0]]
    if (last is op) == formula.condition or (formula.condition and last.reads != (op.made,)):
        return None
    # Its Booleans are bytes that are read as lanes here, and nothing else is made here.
    loads = [made.get(v) for v in op.reads]
    for name, load in zip(formula.inputs, loads, strict=True):
        if (load is not None) != (name in formula.booleans) or (load is not None and load.specs[0].dtype != "bool"):  # type: ignore[union-attr]
            return None
    if {id(op), id(last), *(id(load) for load in loads if load is not None)} != set(map(id, group)):
        return None
    inputs = tuple([i if load is None else load.node.inputs[0] for i, load in zip(op.node.inputs, loads, strict=True)])
    reads = tuple([v if load is None else load.reads[0] for v, load in zip(op.reads, loads, strict=True)])
    specs = tuple([s if load is None else load.specs[0] for s, load in zip(op.specs, loads, strict=True)])
    call = signature(record, specs, op.node.options, graph.dtype)
    return Bound.of(GraphNode(record, inputs, (visible[0],), op.node.options, op.node.name, call), reads, call)


def _form(record: OpDef) -> Formula | None:
    # The form on lanes of what a record computes; None for what has no Booleans.
    formula = FORMULAS.get(record.kernel) if record.host is None else None
    return None if formula is None else formula.lanes


def _on_lanes(record: OpDef, form: Formula) -> OpDef:
    # The same op, with its name, on lanes.
    if "lanes" not in record.memo:
        made = record.memo["lanes"] = dataclasses.replace(record, kernel=form.name, dtypes={}, out_dtype=FLOAT, integers=None)
        if record.registered:
            made.memo["lasting"] = True
    return record.memo["lanes"]


class _Lanes:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.out = out = Graph(graph.dtype)
        out.specs, out.inputs, out.labels, out.constants = list(graph.specs), graph.inputs, graph.labels, graph.constants
        #: Numbers that are Booleans already in the dtype that is asked for.
        self.same: dict[int, int] = {}
        # By Boolean and dtype: 1 or 0, and what is true where it is not 0.
        self.lanes: dict[tuple[int, str], int] = {}
        self.truths: dict[tuple[int, str], int] = {}
        #: What makes a Boolean of another by moving it.
        self.moves: dict[int, GraphNode] = {}

    def run(self) -> Graph:
        graph, out = self.graph, self.out
        for node in graph.nodes:
            if self.same and not self.same.keys().isdisjoint(node.inputs):
                node = node.on(tuple([None if i is None else self.same.get(i, i) for i in node.inputs]), node.call)
            self.add(node)
        out.outputs = [None if v is None else self.same.get(v, v) for v in graph.outputs]
        out.states = [(name, before, self.same.get(after, after)) for name, before, after in graph.states]
        return out.prune()

    def add(self, node: GraphNode) -> None:
        """The next node of the program."""
        record, made, out = node.record, node.outputs[0], self.out
        # What is computed of integers alone has kernels on bytes.
        form = None if record.whole(out._specs_of(node.inputs), node.options) else _form(record)
        if form is not None and self.as_lanes(node, form):
            return
        source = node.inputs[0] if len(node.inputs) == 1 else None
        if source is not None and record.host is None:
            spec = out.specs[source]
            if (
                spec.dtype == "bool"
                and record.name == conversion_op(out.specs[made].dtype)
                and self.has(source, out.specs[made].dtype, True)
            ):
                self.same[made] = self.of(source, out.specs[made].dtype, True)
                return
            if record.name == conversion_op("bool") and spec.dtype in FLOATS:
                self.truths[made, spec.dtype] = source
            elif (record.view or record.spreads) and spec.dtype == "bool":
                self.moves[made] = node
        out.nodes.append(node)

    def as_lanes(self, node: GraphNode, form: Formula) -> bool:
        """Record a node in its form on lanes; False for one of Booleans alone of which none is in lanes."""
        out, record = self.out, node.record
        formula = FORMULAS[record.kernel]
        dtype = record.dtypes_at(out._specs_of(node.inputs), node.options, out.dtype).works
        if dtype == "bool":
            near = [d for i in node.inputs for d in FLOATS if self.has(i, d, False)]  # type: ignore[arg-type]
            if not near:
                return False
            dtype = near[0]
        inputs = [
            self.of(i, dtype, False) if name in formula.booleans else i  # type: ignore[arg-type]
            for name, i in zip(formula.inputs, node.inputs, strict=True)
        ]
        (made,) = node.outputs
        value = out._value(Spec(out.specs[made].shape, dtype)).id if formula.condition else made
        out.nodes.append(GraphNode(_on_lanes(record, form), tuple(inputs), (value,), node.options, node.name))
        if formula.condition:
            self.lanes[made, dtype] = value
            out.nodes.append(GraphNode(get(conversion_op("bool")), (value,), (made,), {}))
        return True

    def has(self, value: int, dtype: str, exact: bool) -> bool:
        """Whether a Boolean is in lanes of that dtype; `exact`: as 1 and 0."""
        if (value, dtype) in self.lanes or (not exact and (value, dtype) in self.truths):
            return True
        move = self.moves.get(value)
        return move is not None and self.has(move.inputs[0], dtype, exact)  # type: ignore[arg-type]

    def of(self, value: int, dtype: str, exact: bool) -> int:
        """The lanes of a Boolean, which are made of its bytes where there are none."""
        known = self.lanes.get((value, dtype))
        if known is None and not exact:
            known = self.truths.get((value, dtype))
        if known is not None:
            return known
        out = self.out
        made = out._value(Spec(out.specs[value].shape, dtype)).id
        move = self.moves.get(value)
        if move is not None and self.has(move.inputs[0], dtype, exact):  # type: ignore[arg-type]
            source = self.of(move.inputs[0], dtype, exact)  # type: ignore[arg-type]
            out.nodes.append(GraphNode(move.record, (source,), (made,), move.options))
        else:
            exact = True
            out.nodes.append(GraphNode(get(conversion_op(dtype)), (value,), (made,), {}))
        (self.lanes if exact else self.truths)[value, dtype] = made
        return made
