"""A model's graph, recorded into a program node by node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlean.compiler.graph import Graph, GraphRef
from tlean.errors import DataError, MissingOpError, TleanError
from tlean.loops import cond, scan, while_loop

from .registry import Call, Reader, constant
from .sizes import DAMAGE, claimed, require_nodes, require_size
from .small import IN_PARTS, SAME_BITS, WIDE, Small, dtype_name, named, result_dtypes
from .support import Library, Own, array_of, known_names
from .unsigned import UNSIGNED

Values = dict[str, Any]
#: Steps of a loop that are recorded one after another at most, where shapes depend on the step.
_UNROLLED = 10_000
_ORDER = ("Shape", "Size", "EyeLike")


def _value(values: Mapping[str, Any], name: str, reader: str) -> Any:
    if name not in values:
        raise DataError(f"onnx.load: {reader} reads {name!r}, which nothing makes before it")
    return values[name]


class Run:
    """Records nodes. A value is a reference, or an array whose numbers are known.

    Args:
        library: what the nodes mean.
        ops: what they are recorded into.
    """

    def __init__(self, library: Library, ops: Any) -> None:
        self.library, self.ops, self.nodes = library, ops, 0

    def graph(self, graph: Any, values: Mapping[str, Any]) -> list[Any]:
        """The outputs of a graph for these values, inputs and what is outside by name."""
        inside: Values = dict(values)
        for tensor in graph.initializer:
            inside.setdefault(tensor.name, array_of(self.library, tensor))
        for node in graph.node:
            self.node(node, inside)
        return [_value(inside, v.name, "the graph") for v in graph.output]

    def node(self, node: Any, values: Values) -> None:
        """Record a node, and keep what it makes. Raises: DataError for one that is damaged; what reads it raises."""
        self.nodes += 1
        require_nodes(self.nodes)
        try:
            made = self._made(node, values)
        except TleanError:
            raise
        except DAMAGE as error:
            text = f"{type(error).__name__}: {error}"
            raise DataError(f"onnx.load: the node {node.op_type} {list(node.output)} cannot be read ({text})") from error
        for name, value in zip(node.output, made, strict=False):
            if name:
                require_size(node.op_type, math.prod(getattr(value, "shape", ())))
                values[name] = value

    def _made(self, node: Any, values: Values) -> Sequence[Any]:
        library = self.library
        if node.op_type == "Constant":
            return [self._constant(node)]
        if node.op_type in ("If", "Loop", "Scan") and not node.domain:
            return getattr(self, f"_{node.op_type.lower()}")(node, values)
        inputs = [_value(values, n, node.op_type) if n else None for n in node.input]
        record = library.record(node)
        # What a call keeps exists in plans only: elsewhere it is computed by the function's body.
        if record is not None and (not record.kept or isinstance(self.ops, Graph)):
            return self._record(record, inputs)
        reader = library.reader(node)
        if reader is not None:
            if all(x is None or isinstance(x, np.ndarray | np.generic) for x in inputs) and node.op_type not in _ORDER:
                return self._folded(node, inputs)
            if node.op_type not in IN_PARTS or dtype_name(inputs[0]) not in WIDE:
                return self._read(reader, node, inputs)
        library.types(zip(node.input, inputs, strict=True))
        return self._called(node, library.function(node), inputs)

    def _constant(self, node: Any) -> np.ndarray:
        ((name, value),) = self.library.attributes(node).items()
        if name not in ("value", "value_float", "value_int", "value_floats", "value_ints"):
            raise MissingOpError(f"onnx.load: Constant: of a {name.removeprefix('value_').removesuffix('_value')}")
        return np.asarray(
            value, {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}.get(name)
        )

    def _read(self, reader: Reader, node: Any, inputs: Sequence[Any]) -> Sequence[Any]:
        version = self.library.versions.get("", 1)
        given_dtypes = [dtype_name(x) for x in inputs]
        function = reader.function
        if "uint64" in given_dtypes and node.op_type not in SAME_BITS:
            if node.op_type not in UNSIGNED:
                raise MissingOpError(f"onnx.load: {node.op_type}: of uint64")
            function = UNSIGNED[node.op_type]
        attributes = self.library.attributes(node)
        call = Call(self.ops, node.op_type, attributes, version, sum(map(bool, node.output)), given_dtypes)
        given = []
        for k, x in enumerate(inputs):
            if k in reader.known and x is not None and not isinstance(x, np.ndarray | np.generic):
                raise MissingOpError(f"onnx.load: {node.op_type}: {node.input[k]} is computed from data, and a program needs its numbers")
            given.append(x if k in reader.known else constant(self.ops, x))
        made = function(call, *given)
        made = made if type(made) is tuple else (made,)
        small = any(d in WIDE for d in given_dtypes) or any(n in attributes for n in ("to", "dtype", "output_dtype"))
        if not small:
            return made
        dtypes = result_dtypes(self.library, node, given_dtypes, attributes)
        return [named(self.ops, node.op_type, v, d) for v, d in zip(made, dtypes, strict=False)]

    def _folded(self, node: Any, inputs: Sequence[Any]) -> Sequence[Any]:
        # What depends on known numbers alone is known: computed as ONNX says.
        onnx = self.library.onnx
        from onnx.reference import ReferenceEvaluator

        require_size(node.op_type, claimed(node.op_type, inputs))
        if node.domain:
            node = type(node).FromString(node.SerializeToString())
            node.domain = "" if node.domain == "ai.onnx" else node.domain
        names = [n for n in node.input if n]
        graph = onnx.helper.make_graph(
            [node],
            "known",
            [
                onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(np.asarray(x).dtype), None)
                for n, x in zip(node.input, inputs, strict=True)
                if n
            ],
            [onnx.helper.make_tensor_value_info(n, 1, None) for n in node.output if n],
        )
        opsets = [onnx.helper.make_opsetid(d, v) for d, v in self.library.versions.items()]
        model = onnx.helper.make_model(graph, opset_imports=opsets)
        made = iter(ReferenceEvaluator(model).run(None, {n: np.asarray(x) for n, x in zip(node.input, inputs, strict=True) if n in names}))
        return [np.asarray(next(made)) if n else None for n in node.output]

    def _record(self, record: Own, inputs: Sequence[Any]) -> Sequence[Any]:
        op, present, options, kept = record
        given = iter(inputs)
        operands = tuple(constant(self.ops, next(given)) if p else None for p in present)
        if kept:
            refs = [self.ops._argument(op, n, r) for n, r in zip(op.inputs, operands, strict=True)]
            made = self.ops._record(op, [None if r is None else r.id for r in refs], options)
            return [GraphRef(self.ops, v) for v in made[len(op.outputs) :]]
        made = self.ops.apply(op.name, operands, options)
        return made if isinstance(made, tuple) else (made,)

    def _called(self, node: Any, function: Any, inputs: Sequence[Any]) -> Sequence[Any]:
        # The function's nodes, whose attributes may be those of the call.
        if function is None:
            raise MissingOpError(f"onnx.load: {node.op_type} is no operator that this library has")
        inside: Values = dict(zip(function.input, [*inputs, *[None] * (len(function.input) - len(inputs))], strict=True))
        given = {a.name: a for a in (*self.library.defaults(node), *function.attribute_proto, *node.attribute)}
        outer = self.library.versions
        self.library.versions = {**outer, **{o.domain: int(o.version) for o in function.opset_import}}
        for inner in function.node:
            self.node(self._bound(inner, given), inside)
        self.library.versions = outer
        return [inside.get(n) for n in function.output]

    def _bound(self, node: Any, given: Mapping[str, Any]) -> Any:
        if not any(a.ref_attr_name for a in node.attribute) and not any(a.HasField("g") for a in node.attribute):
            return node
        bound = type(node)()
        bound.CopyFrom(node)
        del bound.attribute[:]
        for a in node.attribute:
            if a.ref_attr_name:
                if a.ref_attr_name in given:
                    made = bound.attribute.add()
                    made.CopyFrom(given[a.ref_attr_name])
                    made.name = a.name
                continue
            made = bound.attribute.add()
            made.CopyFrom(a)
            if made.HasField("g"):
                for k, inner in enumerate(a.g.node):
                    made.g.node[k].CopyFrom(self._bound(inner, given))
        return bound

    # Loops ------------------------------------------------------------------------------------------------------------------

    def _within(self, ops: Any) -> Run:
        run = Run(self.library, ops)
        run.nodes = self.nodes
        return run

    def _if(self, node: Any, values: Values) -> Sequence[Any]:
        graphs = self.library.attributes(node)
        flag = _value(values, node.input[0], "If")
        if isinstance(flag, np.ndarray | np.generic):
            return self.graph(graphs["then_branch" if bool(np.asarray(flag).item()) else "else_branch"], values)

        small: list[str | None] = []

        def branch(name: str) -> Any:
            def run(ops: Any) -> Any:
                return self._plain(ops, self._within(ops).graph(graphs[name], values), small)

            return run

        return self._named(cond(self.ops.reshape(flag, ()), branch("then_branch"), branch("else_branch")), small)

    @staticmethod
    def _plain(ops: Any, made: Sequence[Any], small: list[str | None]) -> tuple[Any, ...]:
        # What a graph inside makes as references of its program; `small` gets their dtypes.
        small[:] = [dtype_name(v) for v in made]
        return tuple(constant(ops, v) for v in made)

    @staticmethod
    def _named(refs: Sequence[Any], small: Sequence[str | None]) -> list[Any]:
        return [Small(r, d) if d in WIDE else r for r, d in zip(refs, small, strict=True)]  # type: ignore[arg-type]

    def _loop(self, node: Any, values: Values) -> Sequence[Any]:
        body = self.library.attributes(node)["body"]
        most, flag, *carries = (_value(values, n, "Loop") if n else None for n in node.input)
        number, own, *names = (v.name for v in body.input)
        count, n = None, len(carries)
        if most is not None:
            if not isinstance(most, np.ndarray | np.generic):
                raise MissingOpError("onnx.load: Loop: the most steps are computed from data")
            count = int(np.asarray(most).reshape(-1)[0])
        stacked = len(body.output) - 1 - n
        init = tuple(constant(self.ops, x) for x in carries)
        passed = body.output[0].name == own or any(
            o.op_type == "Identity" and o.input[0] == own and o.output[0] == body.output[0].name for o in body.node
        )
        always = passed and (flag is None or (isinstance(flag, np.ndarray) and bool(flag.reshape(-1)[0])))

        carried = [dtype_name(x) for x in carries]
        small: list[str | None] = []

        def turn(ops: Any, i: Any, going: Any, carry: Sequence[Any]) -> tuple[Any, ...]:
            given = dict(zip(names, self._named(carry, carried), strict=True))
            return self._plain(ops, self._within(ops).graph(body, {**values, number: i, own: going, **given}), small)

        if always and count is not None and number in known_names(self.library, body.node):
            if count > _UNROLLED:
                raise MissingOpError(f"onnx.load: Loop: {count} steps of shapes that depend on the step")
            # Shapes that depend on the step: its steps one after another.
            carry: list[Any] = list(init)
            rows: list[list[Any]] = []
            for i in range(count):
                made = turn(self.ops, np.array(i), np.array(True), carry)
                carry, rows = list(made[1 : 1 + n]), [*rows, list(made[1 + n :])]
            return self._named([*carry, *(self.ops.stack(list(ys)) for ys in zip(*rows, strict=True))], [*carried, *small[1 + n :]])
        if always and count is not None:

            def step(ops: Any, carry: Any, i: Any) -> Any:
                made = turn(ops, i, np.array(True), carry)
                return tuple(made[1 : 1 + n]), tuple(made[1 + n :])

            require_size("Loop", count, 1 << 28)
            last, ys = scan(step, init, constant(self.ops, np.arange(count)))
            return self._named([*last, *ys], [*carried, *small[1 + n :]])
        if stacked:
            raise MissingOpError("onnx.load: Loop: stacked outputs of a number of steps that depends on data")
        first = constant(self.ops, np.array(True) if flag is None else flag)
        start = (constant(self.ops, np.int64(0)), self.ops.reshape(first, ()), *init)

        def again(ops: Any, carry: Any) -> Any:
            return carry[1]

        def next_turn(ops: Any, carry: Any) -> Any:
            made = turn(ops, carry[0], carry[1], carry[2:])
            return (ops.add(carry[0], constant(ops, np.int64(1))), ops.reshape(made[0], ()), *made[1:])

        return self._named(list(while_loop(again, next_turn, start, max_steps=count))[2:], carried)

    def _scan(self, node: Any, values: Values) -> Sequence[Any]:
        attributes = self.library.attributes(node)
        if self.library.versions.get("", 9) < 9:
            raise MissingOpError("onnx.load: Scan: with a batch axis, as before opset 9")
        body, m = attributes["body"], attributes["num_scan_inputs"]
        inputs = [constant(self.ops, _value(values, n, "Scan")) for n in node.input]
        n = len(inputs) - m
        stacked = len(body.output) - n
        ways = attributes.get("scan_input_directions", [0] * m)
        back = attributes.get("scan_output_directions", [0] * stacked)
        axes = attributes.get("scan_input_axes", [0] * m)
        places = attributes.get("scan_output_axes", [0] * stacked)
        reverse = all(ways) and all(back)
        xs = [x if not a else self.ops.moveaxis(x, a, 0) for x, a in zip(inputs[n:], axes, strict=True)]
        if not reverse:
            xs = [self.ops.flip(x, 0) if w else x for x, w in zip(xs, ways, strict=True)]
        names = [v.name for v in body.input]
        kinds = [dtype_name(values[v]) for v in node.input]
        small: list[str | None] = []

        def step(ops: Any, carry: Any, x: Any) -> Any:
            given = self._named((*carry, *x), kinds)
            refs = self._plain(ops, self._within(ops).graph(body, {**values, **dict(zip(names, given, strict=True))}), small)
            return tuple(refs[:n]), tuple(refs[n:])

        last, ys = scan(step, tuple(inputs[:n]), tuple(xs), reverse=reverse)
        if not reverse:
            ys = [self.ops.flip(y, 0) if b else y for y, b in zip(ys, back, strict=True)]
        ys = [y if not a else self.ops.moveaxis(y, 0, a) for y, a in zip(ys, places, strict=True)]
        return self._named([*last, *ys], [*kinds[:n], *small[n:]])
