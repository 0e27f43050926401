"""Which numbers of a result depend on which of an argument: the pattern of a Jacobian, from the program alone.

A set of numbers is a row of bits; each value of the graph has one for each of its numbers. What an op does to them follows from what kind
of op it is: element by element, along axes, a product of matrices. What moves numbers about is run on their numbers; another op that is
linear is run on each unit array; of the rest every number of the output depends on all of the inputs.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlean.compiler.derive import decomposition, jvp_graph
from tlean.compiler.graph import Graph, GraphNode, GraphRef
from tlean.dtypes import FLOATS, INTEGERS
from tlean.errors import TleanError
from tlean.interpreters.eager import EagerOps, no_grad
from tlean.ops.batching.elements import elementwise

#: Ops whose outputs depend on all numbers along axes, which are gone or of size 1 then.
_REDUCTIONS = frozenset(("reduce_sum", "reduce_mean", "reduce_max", "sum", "mean", "prod", "var", "_norm", "logsumexp"))
#: Ops whose outputs depend on all numbers along an axis, which stays.
_ALONG = frozenset(("softmax", "log_softmax", "_softmax_grad", "_log_softmax_grad", "sort"))
_RUNNING = {"cumsum": False, "cumprod": False, "cumlogsumexp": False, "_reverse_cumsum": True}
_PRODUCTS = frozenset(("matmul", "bmm"))
#: An op with more numbers is not run on each unit array.
_MOST_PROBED = 4_096


class Reads:
    """The numbers that each value of a graph depends on.

    Args:
        graph: the program.
        x: the argument.
    """

    def __init__(self, graph: Graph, x: GraphRef) -> None:
        self.graph = graph
        n = x.spec.size
        bits = np.packbits(np.eye(n, dtype=bool), axis=1) if n else np.zeros((0, 0), np.uint8)
        self.columns = n
        self.bits: dict[int, np.ndarray] = {x.id: bits.reshape(*x.shape, bits.shape[1])}
        self._known: dict[int, np.ndarray | None] = {}
        self._ops: Any = EagerOps("float64")

    def of(self, y: GraphRef) -> tuple[np.ndarray, np.ndarray]:
        """The rows and the columns of the numbers of the Jacobian of y that may differ from 0, row by row."""
        for node in self.graph._needed([y.id]):
            if any(i in self.bits for i in node.inputs):
                self._walk(node)
        bits = self.bits.get(y.id)
        if bits is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        rows = bits.reshape(y.spec.size, bits.shape[-1])
        parts = [np.nonzero(np.unpackbits(rows[k : k + 1024], axis=1, count=self.columns)) for k in range(0, len(rows), 1024)]
        return (
            np.concatenate([r + 1024 * k for k, (r, _) in enumerate(parts)] or [np.zeros(0, np.int64)]),
            np.concatenate([c for _, c in parts] or [np.zeros(0, np.int64)]),
        )

    def _walk(self, node: GraphNode) -> None:
        graph, record = self.graph, node.record
        specs, n = graph._specs_of(node.inputs), len(record.outputs)
        ins = [None if i is None else self.bits.get(i) for i in node.inputs]
        moving = tuple([b is not None for b in ins])
        rule = jvp_graph(record, specs, node.options, graph.dtype, moving)
        floats = [k for k, v in enumerate(node.outputs) if graph.specs[v].dtype in FLOATS and (k >= n or rule.outputs[k] is not None)]
        if not record.differentiable or not floats:
            return
        made = self._by_kind(node, ins) if n == 1 else None
        if made is None and n == 1 and _is_linear(rule, moving, len(specs)):
            made = self._by_running(node, ins)
        if made is None and record.loop is None and record.rules.vjp is None and record.rules.decompose is not None:
            made = self._in_parts(node, ins)
        for k in floats:
            v = node.outputs[k]
            self.bits[v] = made if k == 0 and made is not None else self._all(ins, graph.specs[v].shape)

    def _by_kind(self, node: GraphNode, ins: Sequence[np.ndarray | None]) -> np.ndarray | None:
        name, shape = node.record.name, self.graph.specs[node.outputs[0]].shape
        if node.record.rules.batch is elementwise:
            return self._union(ins, shape)
        first = ins[0]
        if name in _REDUCTIONS and first is not None:
            return _reduced(first, _axes(node.options.get("axis"), first.ndim - 1)).reshape(*shape, first.shape[-1])
        if name in _ALONG:
            return np.broadcast_to(_reduced(self._union(ins, shape), _axes(node.options["axis"], len(shape))), (*shape, self._width)).copy()
        if name in _RUNNING and first is not None:
            return _running(first, operator.index(node.options["axis"]) % len(shape), _RUNNING[name])
        if name in _PRODUCTS:
            return self._product(node, ins, shape)
        return None

    @property
    def _width(self) -> int:
        return (self.columns + 7) // 8

    def _union(self, ins: Sequence[np.ndarray | None], shape: tuple[int, ...]) -> np.ndarray:
        total = np.zeros((*shape, self._width), np.uint8)
        for b in ins:
            if b is not None:
                # The axis of the bits is the last; those of the array broadcast from the right.
                total |= b.reshape((1,) * (total.ndim - b.ndim) + b.shape)
        return total

    def _all(self, ins: Sequence[np.ndarray | None], shape: tuple[int, ...]) -> np.ndarray:
        union = np.zeros(self._width, np.uint8)
        for b in ins:
            if b is not None:
                union |= np.bitwise_or.reduce(b.reshape(-1, self._width), axis=0)
        return np.broadcast_to(union, (*shape, self._width)).copy()

    def _product(self, node: GraphNode, ins: Sequence[np.ndarray | None], shape: tuple[int, ...]) -> np.ndarray | None:
        ranks = [len(s.shape) for s in self.graph._specs_of(node.inputs)]
        if min(ranks) < 2 or node.options:
            return None
        total = np.zeros((*shape, self._width), np.uint8)
        for b, axis in zip(ins, (-2, -3), strict=True):
            if b is not None:
                # Rows of the first, columns of the second.
                total |= np.bitwise_or.reduce(b, axis=axis, keepdims=True)
        return total

    # Running an op ----------------------------------------------------------------------------------------------------------

    def _value(self, value: int) -> np.ndarray | None:
        # The integers that a value is, whatever the arguments are; None where it depends on them.
        if value not in self._known:
            self._known[value] = None
            if self.graph.specs[value].dtype in INTEGERS:
                self._known[value] = self._computed(value)
        return self._known[value]

    def _computed(self, value: int) -> np.ndarray | None:
        constant = self.graph.constants.get(value)
        if constant is not None:
            captured = getattr(self.graph, "captured", None)
            if captured is not None:
                # A change of these numbers is another pattern.
                captured.computed_with(value)
            return constant.numpy()
        node = next((n for n in self.graph.nodes if value in n.outputs), None)
        if node is None or node.record.random or node.record.host is not None or len(node.outputs) > 1:
            return None
        inputs = [None if i is None else self._value(i) for i in node.inputs]
        if any(x is None and i is not None for x, i in zip(inputs, node.inputs, strict=True)):
            return None
        return self._run(node, inputs)

    def _run(self, node: GraphNode, inputs: Sequence[Any]) -> np.ndarray:
        with no_grad():
            refs = [None if x is None else self._ops._own_constant(x) for x in inputs]
            return np.asarray(self._ops.apply(node.record, tuple(refs), node.options).value)

    def _by_running(self, node: GraphNode, ins: Sequence[np.ndarray | None]) -> np.ndarray | None:
        specs = self.graph._specs_of(node.inputs)
        rest: list[Any] = []
        for i, s, b in zip(node.inputs, specs, ins, strict=True):
            known = None if i is None or b is not None or s.dtype in FLOATS else self._value(i)
            if i is not None and b is None and s.dtype not in FLOATS and known is None:
                return None
            rest.append(known)
        flat = [None if b is None else b.reshape(-1, self._width) for b in ins]
        rows = np.concatenate([b for b in flat if b is not None])
        count, shape = len(rows), self.graph.specs[node.outputs[0]].shape

        def run(numbers: np.ndarray) -> np.ndarray:
            # With these in place of all numbers that move, and any in place of the others.
            rng, given, first = np.random.default_rng(0), [], 0
            for s, b, known in zip(specs, flat, rest, strict=True):
                if b is not None:
                    given.append(numbers[first : first + len(b)].reshape(s.shape))
                    first += len(b)
                else:
                    given.append(known if s is None or known is not None else rng.uniform(1.0, 2.0, s.shape))
            return self._run(node, given)

        try:
            base = run(np.zeros(count))
            where = run(np.arange(1.0, count + 1.0)) - base
            places = where.astype(np.int64)
            if (places == where).all() and (places >= 0).all() and (places <= count).all():
                numbers = np.random.default_rng(1).integers(1, 1 << 20, count).astype(np.float64)
                if np.array_equal(run(numbers) - base, np.concatenate([[0.0], numbers])[places]):
                    bits = np.concatenate([np.zeros((1, self._width), np.uint8), rows])
                    return bits[places].reshape(*shape, self._width)
            if count > _MOST_PROBED:
                return None
            total = np.zeros((base.size, self._width), np.uint8)
            unit = np.zeros(count)
            for k in range(count):
                unit[k] = 1.0
                total[(run(unit) != base).reshape(-1)] |= rows[k]
                unit[k] = 0.0
            return total.reshape(*shape, self._width)
        except TleanError:
            return None

    def _in_parts(self, node: GraphNode, ins: Sequence[np.ndarray | None]) -> np.ndarray | None:
        parts = decomposition(node.record, self.graph._specs_of(node.inputs), node.options, self.graph.dtype)
        inner = Reads.__new__(Reads)
        inner.graph, inner.columns, inner._ops = parts, self.columns, self._ops
        inner.bits, inner._known = {}, {}
        for i, v, b in zip(node.inputs, parts.inputs, ins, strict=True):
            if v is not None and b is not None:
                inner.bits[v] = b
            elif v is not None and i is not None:
                inner._known[v] = self._value(i)
        for part in parts.nodes:
            if any(i in inner.bits for i in part.inputs):
                inner._walk(part)
        out = parts.outputs[0]
        return None if out is None else inner.bits.get(out, np.zeros((*parts.specs[out].shape, self._width), np.uint8))


def _is_linear(rule: Graph, moving: Sequence[bool], count: int) -> bool:
    # Whether the tangent depends neither on the values that move nor on the result.
    read = {i for n in rule.nodes for i in n.inputs} | set(rule.outputs)
    points = rule.inputs[len(rule.inputs) - count :]
    moved = [*rule.inputs[count : len(rule.inputs) - count], *(v for v, m in zip(points, moving, strict=True) if m)]
    return not read.intersection(v for v in moved if v is not None)


def _axes(axis: Any, rank: int) -> tuple[int, ...]:
    given = range(rank) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    return tuple([operator.index(a) % rank for a in given]) if rank else ()


def _reduced(bits: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    for a in axes:
        bits = np.bitwise_or.reduce(bits, axis=a, keepdims=True)
    return bits


def _running(bits: np.ndarray, axis: int, backward: bool) -> np.ndarray:
    bits = np.flip(bits, axis) if backward else bits
    bits = np.bitwise_or.accumulate(bits, axis=axis)
    return np.flip(bits, axis) if backward else bits
