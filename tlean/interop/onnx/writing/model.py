"""A recorded graph as the text of a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlean.compiler.derive import conversion, decomposition, in_parts
from tlean.compiler.graph import Graph, GraphNode
from tlean.compiler.loops.branch import Switch
from tlean.compiler.loops.scan import Scan
from tlean.compiler.loops.whiles import While
from tlean.errors import OptionError, TleanError
from tlean.ops import Spec

from ...graph_json import plain
from .kept import kept_parts
from .operands import written
from .rules import DIRECT, KEEPS, Call
from .writer import Body, Node, Writer

_Names = dict[int, str]


class ModelWriter(Writer):
    """Writes graphs.

    Args:
        opset: of ONNX's operators.
    """

    def __init__(self, opset: int) -> None:
        super().__init__(opset)
        #: The ops that no operator says, each once.
        self.missing: dict[str, None] = {}

    def graph(self, graph: Graph, names: Sequence[str]) -> list[str]:
        """Write the nodes of a graph on these inputs; returns the names of its outputs."""
        where: _Names = {v: n for v, n in zip(graph.inputs, names, strict=True) if v is not None}
        for v, value in graph.constants.items():
            where[v] = self.array(value.numpy())
        read = {i for node in graph.nodes for i in node.inputs} | set(graph.outputs)
        for node in graph.nodes:
            inputs = ["" if i is None else where.get(i, "") for i in node.inputs]
            where.update(zip(node.outputs, self._node(graph, node, inputs), strict=False))
            kept = node.outputs[len(node.record.outputs) :]
            if not read.isdisjoint(kept) and node.record.loop is None:
                made = self._kept(graph, node, inputs)
                if len(made) != len(kept):
                    self.missing.setdefault(f"{node.record.name} (what it keeps for its gradient)")
                where.update(zip(kept, made, strict=False))
        return ["" if v is None else where.get(v, "") for v in graph.outputs]

    def _node(self, graph: Graph, node: GraphNode, inputs: Sequence[str]) -> Sequence[str]:
        loop = node.record.loop
        if loop is None:
            return self._call(graph, node, inputs)
        if type(loop) is Scan:
            return self._scan(loop, inputs)
        if type(loop) is While:
            return self._while(loop, inputs)
        if type(loop) is Switch:
            return self._switch(loop, inputs)
        return self._lacking(node)

    def _lacking(self, node: GraphNode) -> list[str]:
        self.missing.setdefault(node.record.name)
        return [self.name() for _ in node.outputs]

    def _call(self, graph: Graph, node: GraphNode, inputs: Sequence[str]) -> Sequence[str]:
        record = node.record
        specs, outs = graph._specs_of(node.inputs), [graph.specs[v] for v in node.outputs]
        call = Call(record, tuple(inputs), specs, outs, node.options)
        if self.function is not None or not record.registered:
            return self._parts(graph, node, call)
        if record.name in DIRECT and self._is_plain(graph, call):
            before = len(self.nodes)
            made = written(self, call)
            if made is not None and len(self.nodes) == before + 1:
                return [made] if isinstance(made, str) else made
            del self.nodes[before:]
        return self._function(node, inputs, False, lambda x: self._parts(graph, node, call._replace(x=tuple(x))))

    def _function(self, node: GraphNode, inputs: Sequence[str], kept: bool, write: Any) -> Sequence[str]:
        # A call of a function that says which op it is, or that it is what a call of that op keeps.
        name, outputs = node.record.name, len(node.record.outputs)
        text: dict[str, Any] = {"op": name, "inputs": [bool(x) for x in inputs], "options": {k: plain(v) for k, v in node.options.items()}}
        if kept:
            name, text["kept"] = f"{name}_kept", True
        arguments = self.open(name.strip("_"), inputs, json.dumps(text))
        missing, self.missing = self.missing, {}
        made = write(arguments)
        lacking, self.missing = self.missing, missing
        if lacking:
            self.missing |= lacking
            self.abandon()
            return [self.name() for _ in node.outputs]
        return self.close(made if kept else made[:outputs], inputs)

    def _kept(self, graph: Graph, node: GraphNode, inputs: Sequence[str]) -> Sequence[str]:
        # What derivatives read beside the results.
        call = graph.call_of(node)
        rule = KEEPS.get(node.record.name)
        parts: Graph | None = None
        if call.dtypes.converted:
            whole = conversion(node.record, call.specs, node.options, graph.dtype)
            parts = None if whole is None else _kept_alone(whole, len(node.record.outputs))
        elif rule is None:
            parts = kept_parts(call)

        def write(x: Sequence[str]) -> Sequence[str]:
            if parts is not None:
                return self.graph(parts, x)
            outs = [graph.specs[v] for v in node.outputs]
            return [] if rule is None else [rule(self, Call(node.record, tuple(x), call.specs, outs, node.options))]

        if self.function is not None or (parts is None and rule is None):
            return write(inputs)
        return self._function(node, inputs, True, write)

    def _is_plain(self, graph: Graph, call: Call) -> bool:
        # Whether the op takes its operands as they are.
        dtypes = call.record.dtypes_at(call.specs, call.options, graph.dtype)
        return not dtypes.converted and not in_parts(call.record, call.specs, call.options)

    def _parts(self, graph: Graph, node: GraphNode, call: Call) -> Sequence[str]:
        # By its rule, or by what it is made of.
        record = call.record
        key = record, call.specs, call.options, graph.dtype
        if not self._is_plain(graph, call):
            inner = conversion(*key)
            return self.graph(decomposition(*key) if inner is None else inner, call.x)
        made = written(self, call)
        if made is not None:
            return [made] if isinstance(made, str) else list(made)
        if not any(s.size for s in call.outs):
            return [self.op("Expand", self.like(0, s.dtype), self.ints(*s.shape)) for s in call.outs]
        if record.rules.decompose is None:
            return self._lacking(node)
        try:
            return self.graph(decomposition(*key), call.x)
        except TleanError:
            return self._lacking(node)

    # Loops ------------------------------------------------------------------------------------------------------------------

    def _part(self, inputs: Sequence[tuple[str, Spec]], write: Any) -> Body:
        # A graph inside a node; what it returns is made in it, each value once.
        body, outer = Body(list(inputs)), self.nodes
        self.nodes = body.nodes
        for name, spec in write():
            made = {v for n in body.nodes for v in n.outputs} - {n for n, _ in body.outputs}
            body.outputs.append((name if name in made else self.op("Identity", name), spec))
        self.nodes = outer
        return body

    def _typed(self, graph: Graph, values: Sequence[int | None]) -> list[tuple[str, Spec]]:
        return [(self.name("s"), graph.specs[v]) for v in values if v is not None]

    def _returned(self, graph: Graph, names: Sequence[str]) -> list[tuple[str, Spec]]:
        return list(zip(self.graph(graph, names), (graph.specs[v] for v in graph.outputs if v is not None), strict=True))

    def _scan(self, loop: Scan, inputs: Sequence[str]) -> Sequence[str]:
        body, n, m = loop.body, loop.carries, loop.xs
        rest = list(inputs[n + m :])
        steps = list(inputs[n : n + m])
        own = self._typed(body, body.inputs[: n + m])
        given = [name for name, _ in own]
        if not m:
            # The number of steps is that of an array's rows.
            steps.append(self.op("Expand", self.like(0, "int64"), self.ints(loop.length)))
            own.append((self.name("s"), Spec((), "int64")))
        part = self._part(own, lambda: self._returned(body, [*given, *rest]))
        count = len(body.outputs)
        way = int(loop.reverse)
        names = [self.name() for _ in range(count)]
        attributes = {"body": part, "num_scan_inputs": len(steps), "scan_input_directions": [way] * len(steps)}
        if count > n:
            attributes["scan_output_directions"] = [way] * (count - n)
        self.nodes.append(Node("Scan", [*inputs[:n], *steps], names, attributes))
        return names

    def _while(self, loop: While, inputs: Sequence[str]) -> Sequence[str]:
        condition, body = loop.bodies
        n = loop.carries
        rest = list(inputs[n:])
        (first,) = self.graph(condition, inputs)
        flag = Spec((), "bool")
        own = [(self.name("s"), Spec((), "int64")), (self.name("s"), flag), *self._typed(body, body.inputs[:n])]

        def write() -> list[tuple[str, Spec]]:
            made = self._returned(body, [*(name for name, _ in own[2:]), *rest])
            (again,) = self.graph(condition, [*(name for name, _ in made), *rest])
            return [(again, flag), *made]

        part = self._part(own, write)
        most = "" if loop.most is None else self.array(loop.most, "int64")
        names = [self.name() for _ in range(n)]
        self.nodes.append(Node("Loop", [most, first, *inputs[:n]], names, {"body": part}))
        return names

    def _switch(self, loop: Switch, inputs: Sequence[str]) -> Sequence[str]:
        index, *operands = inputs
        if len(loop.bodies) == 1:
            return self.graph(loop.bodies[0], operands)

        def among(k: int) -> Sequence[str]:
            low = self.op("Less", index, self.array(k + 1, "int64"))
            branches = loop.bodies[k], loop.bodies[-1]
            first = self._part([], lambda: self._returned(branches[0], operands))
            if k == len(loop.bodies) - 2:
                last = self._part([], lambda: self._returned(branches[1], operands))
            else:
                specs = [branches[1].specs[v] for v in branches[1].outputs]  # type: ignore[index]
                last = self._part([], lambda: list(zip(among(k + 1), specs, strict=True)))
            names = [self.name() for _ in branches[0].outputs]
            self.nodes.append(Node("If", [low], names, {"then_branch": first, "else_branch": last}))
            return names

        return among(0)


def _kept_alone(graph: Graph, outputs: int) -> Graph:
    # A call without its results.
    graph = graph._copy()
    graph.outputs = graph.outputs[outputs:]
    return graph


def refuse(missing: Sequence[str]) -> None:
    """Raise OptionError for ops that no operator says, all of them."""
    if missing:
        raise OptionError(f"onnx.export: a file cannot hold {', '.join(missing)}: calls into Python, or kernels, without a decomposition")


def whole(value: Any) -> bool:
    """Whether an array may be a shape, or a part of one."""
    return isinstance(value, np.ndarray) and value.dtype == np.int64 and value.ndim <= 1
