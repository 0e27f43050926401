"""Ops element by element: unrolled for small arrays; for large ones, neighbours are one loop."""

from __future__ import annotations

import re
from typing import Any

from tlean.compiler.graph import Graph, GraphNode
from tlean.compiler.target import works_in
from tlean.dtypes import FLOATS, SUFFIX
from tlean.ops import expression as ex
from tlean.ops.elementwise import FORMULAS
from tlean.ops.formulas.vocabulary import VOCABULARY
from tlean.ops.integers import c_text
from tlean.ops.integers.forms import INTEGER_FORMULAS
from tlean.ops.layout import row_strides
from tlean.shapes import size

from .values import C_TYPES, Value, literal
from .writer import EMITTERS, Call, Writer, converts, emits, emitter_name, of_integers

#: Functions whose vector forms do not take every argument, and `wide` ones do.
_RANGED = {"sin", "cos", *(name for name, f in VOCABULARY.items() if f.narrow)}


def _widened(tree: ex.Tree) -> ex.Tree:
    if not isinstance(tree, ex.Call):
        return tree
    return ex.Call(f"wide_{tree.function}" if tree.function in _RANGED else tree.function, tuple(map(_widened, tree.args)))


def elementwise(graph: Graph, node: GraphNode) -> bool:
    """Whether a node is computed element by element."""
    record = node.record
    if record.loop is not None or record.view or record.host is not None:
        return False
    if converts(record):
        return True
    if emitter_name(record) in EMITTERS:
        return False
    return of_integers(record, works_in(graph, node)) or record.kernel in FORMULAS


class Formula:
    """What a node computes of one element: statements and an expression, of the expressions of its operands."""

    def __init__(self, graph: Graph, node: GraphNode) -> None:
        record = node.record
        self.made = graph.specs[node.outputs[0]].dtype
        self.works = works_in(graph, node)
        self.options, self.form, self.name = node.options, None, record.name
        self.source = graph.specs[node.inputs[0]].dtype if node.inputs and node.inputs[0] is not None else self.works
        self.converts = converts(record)
        if self.converts:
            return
        if not of_integers(record, self.works):
            self.form = FORMULAS[record.kernel]
            values = self.form.values(node.options)
            self.parameters = {p: literal(values[p], self.works) for p in self.form.parameters}
        else:
            self.whole = INTEGER_FORMULAS[record.name]

    def text(self, operands: list[str]) -> tuple[list[str], str]:
        """Statements before it, and the expression."""
        if self.converts:
            return [], self._converted(operands[0])
        if self.form is not None:
            names = {**dict(zip(self.form.inputs, operands, strict=True)), **self.parameters}
            tree = _widened(self.form.tree)
            if isinstance(tree, ex.Variable):
                return [], names[tree.name]
            lines, value = ex.to_c(tree, names, "f64" if self.works == "float64" else "f32")
            return lines, value
        suffix = SUFFIX[self.works]
        types = {"i64": "int64_t", "i32": "int32_t", "b8": "uint8_t"}
        own = c_text.operand_types(self.whole, suffix)
        lines = [f"const {types[t]} {x} = {o};" for t, x, o in zip(own, self.whole.inputs, operands, strict=True)]
        lines += [f"const {types[suffix]} {p} = {literal(self.options[p], self.works)};" for p in self.whole.parameters]
        value = c_text.to_c(self.whole, suffix)
        return lines, f"({C_TYPES[self.made]}){value}"

    def _converted(self, x: str) -> str:
        if self.made == self.source:
            return x
        if self.made == "bool":
            return f"({x} != 0)"
        return f"({C_TYPES[self.made]}){x}"


class Groups:
    """The elementwise ops of a program: small ones are written at once, large ones wait until what they make is read by another op."""

    def __init__(self, writer: Writer, graph: Graph, values: dict[int, Value]) -> None:
        self.writer, self.graph, self.values = writer, graph, values
        #: Waiting nodes, and what they make.
        self.nodes: list[GraphNode] = []
        self.made: set[int] = set()
        self.size = 0
        self.shape: tuple[int, ...] = ()
        self.readers: dict[int, int] = {}
        for node in graph.nodes:
            for v in node.inputs:
                if v is not None:
                    self.readers[v] = self.readers.get(v, 0) + 1
        for v in graph.outputs:
            if v is not None:
                self.readers[v] = self.readers.get(v, 0) + 1

    def takes(self, node: GraphNode) -> bool:
        """Write a node, or let it wait; whether it is elementwise."""
        if not elementwise(self.graph, node):
            return False
        spec = self.graph.specs[node.outputs[0]]
        if spec.size <= self.writer.most or node.record.kernel == "_full":
            for v in node.inputs:
                self.value(v)  # type: ignore[arg-type]
            self._unrolled(node, spec)
            return True
        if self.nodes and self.shape != spec.shape:
            self.flush()
        for v in node.inputs:
            if v not in self.made:
                self.value(v)  # type: ignore[arg-type]
        self.size, self.shape = spec.size, spec.shape
        self.nodes.append(node)
        self.made.add(node.outputs[0])
        return True

    def value(self, v: int) -> Value:
        """The value of a number."""
        if v in self.made:
            self.flush()
        return self.values[v]

    def _operand(self, v: int, shape: tuple[int, ...]) -> Value:
        # A value as it is read for a result of that shape: kernels of integers stretch what they read themselves.
        value, own = self.values[v], self.graph.specs[v].shape
        if own == shape or value.size == size(shape):
            return value
        if value.single:
            return Value(value.dtype, size(shape), (value.at(0),))
        value = self.writer.dense(value)
        steps = (0,) * (len(shape) - len(own)) + tuple(s if n > 1 else 0 for n, s in zip(own, row_strides(own), strict=True))
        return Value(value.dtype, size(shape), None, value.array, value.offset, tuple(zip(shape, steps, strict=True)))

    def _unrolled(self, node: GraphNode, spec: Any) -> None:
        writer, dtype = self.writer, spec.dtype
        if node.record.kernel == "_full":
            self.values[node.outputs[0]] = Value(dtype, spec.size, (literal(node.options["value"], dtype),))
            return
        formula = Formula(self.graph, node)
        given = [self._operand(v, spec.shape) for v in node.inputs]  # type: ignore[arg-type]
        count = 1 if spec.size and all(x.single for x in given) else spec.size
        name = writer.name()
        elements = tuple([f"{name}_{k}" if count > 1 else name for k in range(count)])
        for k, variable in enumerate(elements):
            lines, value = formula.text([x.at(k) for x in given])
            if lines:
                writer.add(f"{C_TYPES[dtype]} {variable}; {{ {' '.join(lines)} {variable} = {_bare(value)}; }}")
            else:
                writer.add(f"const {C_TYPES[dtype]} {variable} = {_bare(value)};")
        self.values[node.outputs[0]] = Value(dtype, spec.size, elements)

    def flush(self) -> None:
        """Write the waiting ops as one loop."""
        nodes, made = self.nodes, self.made
        self.nodes, self.made = [], set()
        if not nodes:
            return
        writer, size = self.writer, self.size
        inside: dict[int, int] = {}
        for node in nodes:
            for v in node.inputs:
                inside[v] = inside.get(v, 0) + 1  # type: ignore[index, arg-type]
        outside = list(dict.fromkeys(v for node in nodes for v in node.inputs if v not in made))
        kept = [node.outputs[0] for node in nodes if self.readers.get(node.outputs[0], 0) > inside.get(node.outputs[0], 0)]
        rooms = {v: writer.room(self.graph.specs[v].dtype, size) for v in kept}

        def body(at: list[str]) -> list[str]:
            where = dict(zip([*outside, *kept], at, strict=True))
            names = {v: where[v] for v in outside}
            lines = []
            for node in nodes:
                v = node.outputs[0]
                formula = Formula(self.graph, node)
                before, value = formula.text([names[i] for i in node.inputs])  # type: ignore[index]
                names[v] = name = writer.name()
                ctype = C_TYPES[formula.made]
                if before:
                    lines.append(f"{ctype} {name}; {{ {' '.join(before)} {name} = {_bare(value)}; }}")
                else:
                    lines.append(f"const {ctype} {name} = {_bare(value)};")
                if v in rooms:
                    lines.append(f"{where[v]} = {name};")
            return lines

        operands = [self._operand(v, self.graph.specs[nodes[0].outputs[0]].shape) for v in outside]  # type: ignore[arg-type]
        writer.each([*operands, *(rooms[v] for v in kept)], size, body)
        self.values.update(rooms)


def _bare(text: str) -> str:
    # An expression without the parentheses around all of it.
    if not text.startswith("(") or not text.endswith(")") or re.match(r"\(\w+\)", text):
        return text
    depth = 0
    for k, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0 and k < len(text) - 1:
            return text
    return text[1:-1]


@emits("iota")
def _iota(writer: Writer, call: Call) -> tuple[Value]:
    (out,) = call.outs
    made = writer.room(out.dtype, out.size)
    if call.dtype in FLOATS:
        first, step, last = (literal(x, "float64") for x in call.floats)
        text = f"({C_TYPES[out.dtype]})({first} + (double)i * {step})"
        writer.add(f"for (int64_t i = 0; i < {out.size}; i++) {made.array}[i] = {text};")
        if call.ints[1] and out.size:
            writer.add(f"{made.at(out.size - 1)} = {last};")
    else:
        _, start, by = call.ints
        writer.add(f"for (int64_t i = 0; i < {out.size}; i++) {made.array}[i] = ({C_TYPES[out.dtype]})({start} + i * {by});")
    return (made,)
