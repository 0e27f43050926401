"""Products of matrices that leave a loop: those of a stacked input by an invariant run before it, for all steps at once, and those of which
nothing but a stacked output comes run after it.

A step's product has few rows. Every row that tiles make (`gemm.pyx`) is summed in one way, however many there are, so that no bit changes.
Where a product transposes the invariant, that is done once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tlean.dtypes import FLOATS
from tlean.ops import OpDef, Spec, get
from tlean.shapes import size

from ..graph import Graph, GraphNode
from ..target import nbytes
from .bodies import part

#: A product of more rows is as fast in the loop.
_MOST_ROWS = 64
#: Up to so many rows, and so few for their length, are multiplied by a transposed matrix by dots, as in `gemm.pyx`.
_DOT_ROWS = 64
#: Tiles sum so many terms at a time.
_BLOCK = 512
#: Elements of the smallest matrix for which it pays.
_SMALLEST = 256
#: How many times as many elements as before may be stacked for it, and how many bytes: more would leave the caches between two steps.
_MOST_GROWTH, _MOST_BYTES = 8, 1 << 24


class _Product(NamedTuple):
    # A product of `rows` of a body by an invariant matrix, which is (columns, terms) where it is turned; and what is added to each row.
    rows: int
    matrix: int
    turned: bool
    bias: int | None
    made: int


class Apart:
    """A loop without such products.

    Args:
        graph: that the loop is to be part of.
        loop: the scan.
        body: its program.
        inputs: of the loop, in that graph.
        outputs: likewise.
    """

    xs: Any
    body: Graph

    graph: Graph
    length: Any
    carries: Any
    inputs: list[int]
    outputs: list[int]

    def __init__(self, graph: Graph, loop: Any, body: Graph, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        self.graph, self.length, self.carries, self.xs = graph, loop.length, loop.carries, loop.xs
        self.body, self.inputs, self.outputs = body, list(inputs), list(outputs)
        self._after: list[tuple[_Product, int, int]] = []
        if not self.length:
            return
        self._before_it()
        self._turned_once()
        self._behind_it()

    def _products(self, steady: set[Any]) -> list[_Product]:
        found = [_product(self.body, node, steady) for node in self.body.nodes]
        return [p for p in found if p is not None]

    def _steady(self) -> set[Any]:
        return {*self.body.inputs[self.carries + self.xs :], *self.body.constants}

    def _outer(self, value: int) -> int:
        # An invariant, in the graph around.
        if value in self.body.constants:
            return self.graph._constant(self.body.constants[value]).id
        return self.inputs[self.body.inputs.index(value)]

    def _all_rows(self, p: _Product, stack: int) -> int:
        # The product for the rows of all steps.
        graph, spec = self.graph, self.body.specs[p.rows]
        made = self.body.specs[p.made].shape
        rows = _record(graph, "reshape", [stack], {"shape": (self.length * size(spec.shape[:-1]), spec.shape[-1])})
        matrix = self._outer(p.matrix)
        if p.turned:
            matrix = _record(graph, "permute", [matrix], {"axes": (1, 0)})
        total = _record(graph, "matmul", [rows, matrix], {})
        if p.bias is not None:
            total = _record(graph, "add", [total, self._outer(p.bias)], {})
        return _record(graph, "reshape", [total], {"shape": (self.length, *made)})

    def _fits(self, stacked: int, before: int) -> bool:
        # Whether a value may be stacked in place of another.
        specs = self.body.specs
        return specs[stacked].size <= _MOST_GROWTH * specs[before].size and self.length * nbytes(specs[stacked]) <= _MOST_BYTES

    def _before_it(self) -> None:
        n, m, body = self.carries, self.xs, self.body
        given = body.inputs[n : n + m]
        products = [p for p in self._products(self._steady()) if p.rows in given]
        products = [p for p in products if self._fits(p.made, p.rows)]
        if not products:
            return
        stacks = [self._all_rows(p, self.inputs[body.inputs.index(p.rows)]) for p in products]
        made = [p.made for p in products]
        ins = [*body.inputs[: n + m], *made, *body.inputs[n + m :]]
        inputs = [*self.inputs[: n + m], *stacks, *self.inputs[n + m :]]
        body = part(body, ins, body.outputs, [v for v in body.nodes if v.outputs[0] not in made])  # type: ignore[arg-type]
        # What nothing else reads is no input any more.
        read = {i for node in body.prune().nodes for i in node.inputs} | set(body.outputs)
        dropped = {k for k in range(n, n + m) if ins[k] not in read and ins[k] in {p.rows for p in products}}
        body.inputs = [v for k, v in enumerate(ins) if k not in dropped]
        self.body, self.inputs = body, [v for k, v in enumerate(inputs) if k not in dropped]
        self.xs = m + len(made) - len(dropped)

    def _turned_once(self) -> None:
        # What the loop multiplies by an invariant that it would turn at each step it multiplies by the turned one.
        body = self.body
        turned = {p.made: p for p in self._products(self._steady()) if p.turned}
        if not turned:
            return
        out = part(body, body.inputs, body.outputs, [])  # type: ignore[arg-type]
        out.constants, out.nodes = body.constants, []
        matrices: dict[int, int] = {}
        for node in body.nodes:
            p = turned.get(node.outputs[0])
            if p is None:
                out.nodes.append(node)
                continue
            if p.matrix not in matrices:
                matrices[p.matrix] = out.arg(Spec(body.specs[p.matrix].shape[::-1], body.specs[p.matrix].dtype)).id  # type: ignore[union-attr]
                self.inputs.append(_record(self.graph, "permute", [self._outer(p.matrix)], {"axes": (1, 0)}))
            operands = [("matmul", (p.rows, matrices[p.matrix])), *([("add", p.bias)] if p.bias is not None else [])]
            for k, (op, inputs) in enumerate(operands):
                given = inputs if op == "matmul" else (out.nodes[-1].outputs[0], inputs)
                last = k == len(operands) - 1
                made = p.made if last else out._value(body.specs[p.made]).id
                options = get(op).infer(out._specs_of(given), {}, out.dtype)[0]  # type: ignore[arg-type]
                out.nodes.append(GraphNode(get(op), given, (made,), options, node.name))  # type: ignore[arg-type]
        self.body = out.prune()

    def _behind_it(self) -> None:
        n, body = self.carries, self.body
        read = {i for node in body.nodes for i in node.inputs}
        outs: list[Any] = list(body.outputs)
        for p in self._products(self._steady()):
            alone = outs.count(p.made) == 1 and p.made in outs[n:] and p.made not in read
            fits = p.rows in outs[n:] or self._fits(p.rows, p.made)
            if not alone or not fits or p.rows in body.inputs:
                continue
            at = outs.index(p.made)
            value = self.outputs[at]
            if p.rows in outs[n:]:
                del outs[at], self.outputs[at]
            else:
                outs[at] = p.rows
                spec = body.specs[p.rows]
                self.outputs[at] = self.graph._value(Spec((self.length, *spec.shape), spec.dtype)).id
            self._after.append((p, self.outputs[outs.index(p.rows, n)], value))
        if self._after:
            self.body = part(body, body.inputs, outs)  # type: ignore[arg-type]

    def finish(self) -> None:
        """Append what comes after the loop."""
        for p, stack, value in self._after:
            made = self._all_rows(p, stack)
            last = self.graph.nodes.pop()
            if last.outputs != (made,):
                raise AssertionError("the last op of a product is the one that gives it its shape")
            self.graph.nodes.append(last._replace(outputs=(value,)))


def _product(body: Graph, node: GraphNode, steady: set[Any]) -> _Product | None:
    name = node.record.name
    if name == "linear":
        (matrix, bias, rows), turned = node.inputs, True
    elif name == "matmul" and not node.options["transpose_a"]:
        (rows, matrix), bias, turned = node.inputs, None, node.options["transpose_b"]
    else:
        return None
    if matrix not in steady or rows in steady or (bias is not None and bias not in steady):
        return None
    specs = [body.specs[v] for v in (rows, matrix, node.outputs[0])]  # type: ignore[index]
    if len({s.dtype for s in specs}) != 1 or specs[0].dtype not in FLOATS or len(specs[1].shape) != 2 or specs[1].size < _SMALLEST:
        return None
    if len(specs[0].shape) != 2 or not 0 < specs[0].shape[0] <= _MOST_ROWS or specs[2].shape[-1] == 1:
        return None
    rows_of, terms = specs[0].shape
    if (turned and rows_of <= _DOT_ROWS and 10 * rows_of <= terms + 16) or (rows_of == 1 and terms > _BLOCK):
        # Dots, and single rows of many terms, are summed in another way.
        return None
    return _Product(rows, matrix, turned, bias, node.outputs[0])  # type: ignore[arg-type]


def _record(graph: Graph, op: str, inputs: Sequence[int], options: dict[str, Any]) -> int:
    record: OpDef = get(op)
    return graph._record(record, inputs, record.infer(graph._specs_of(inputs), options, graph.dtype)[0])[0]
