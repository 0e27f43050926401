"""Bodies of loops: separate programs, known by their structure; and the parts that a program's derivative is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tlean._core.eager.instance import options_key
from tlean.caching import Cache
from tlean.dtypes import FLOATS, INTEGERS
from tlean.errors import DeviceError
from tlean.ops import OpDef, Spec
from tlean.ops.registry import Rules
from tlean.ops.unregistered import dynamic_op

from ..cost import cost_of
from ..graph import Graph, GraphNode, GraphRef, Origin
from ..target import WRITES, Target

#: No sum goes on from what is there.
NO_TOTALS: Mapping[int, GraphRef] = MappingProxyType({})

#: Kernels that copy a part of an array, and how large what they make may be to be made ahead of time.
MOVES = frozenset(("strided_copy", "place"))
_NEAR = 1 << 16

#: Loops that are kept, by what they are.
_LOOPS = Cache(1_024)


def part(graph: Graph, inputs: Sequence[int], outputs: Sequence[int], nodes: Sequence[GraphNode] | None = None) -> Graph:
    """A separate program with what the outputs need of a graph.

    Args:
        graph: the whole.
        inputs, outputs: values of it.
        nodes: those to take; by default all that the outputs depend on.
    """
    made = Graph(graph.dtype)
    made.specs, made.inputs, made.outputs = list(graph.specs), list(inputs), list(outputs)
    made.nodes = graph._needed(outputs, True) if nodes is None else list(nodes)
    read = {i for n in made.nodes for i in n.inputs} | set(outputs)
    made.constants = {v: c for v, c in graph.constants.items() if v in read}
    made.labels = {v: name for v, name in graph.labels.items() if v in read}
    return made


def with_states(body: Graph, carries: int) -> Graph:
    """A body whose carries are states, which a step updates in place where nothing reads the old ones afterwards."""
    return in_states(body, range(carries), body.outputs[carries:])


def in_states(body: Graph, carries: Sequence[int], outputs: Sequence[int | None]) -> Graph:
    """A body of which some carries are states.

    Args:
        body: the body.
        carries: their numbers.
        outputs: the values that it has left as outputs.
    """
    made = part(body, body.inputs, body.outputs)  # type: ignore[arg-type]
    made.states = [(f"carry {k}", body.inputs[k], body.outputs[k]) for k in carries]  # type: ignore[misc]
    made.outputs = list(outputs)
    made.nodes = _moves_first(made, _readers_first(made))
    return made


def writer_of(body: Graph, carry: int) -> GraphNode | None:
    """The node that makes a carry's new value by writing a part of the old one, if one does."""
    value = body.outputs[carry]
    node = next((n for n in body.nodes if value in n.outputs), None)
    return node if node is not None and node.record.kernel in WRITES and node.inputs[0] == body.inputs[carry] else None


def counts_up(body: Graph, carry: int) -> bool:
    """Whether a carry is an integer to which each step adds 1."""
    before, after = body.inputs[carry], body.outputs[carry]
    node = next((n for n in body.nodes if after in n.outputs), None)
    if node is None or node.record.name != "add" or node.inputs[0] != before or body.specs[before] != Spec((), "int64"):  # type: ignore[index]
        return False
    one = body.constants.get(node.inputs[1])  # type: ignore[arg-type]
    return one is not None and one.dtype == "int64" and one.shape == () and one.item() == 1


def _moves_first(body: Graph, nodes: Sequence[GraphNode]) -> list[GraphNode]:
    # Copies of parts come as soon as there is what they copy, so that what is computed of them is one group.
    readers: dict[int, list[GraphNode]] = {}
    moves = [n for n in nodes if n.record.kernel in MOVES and body.specs[n.outputs[0]].size <= _NEAR]
    ready = set(body.inputs) | set(body.constants)
    for n in moves:
        readers.setdefault(n.inputs[0], []).append(n)  # type: ignore[arg-type]
    early = {n.outputs[0] for n in moves}
    todo = [n for n in moves if n.inputs[0] in ready]
    result: list[GraphNode] = []
    for node in nodes:
        if node.outputs[0] not in early:
            todo.append(node)
        while todo:
            made = todo.pop(0)
            result.append(made)
            todo += [n for v in made.outputs for n in readers.get(v, ())]
    return result


def _readers_first(body: Graph) -> list[GraphNode]:
    # What writes a part of a state comes behind what reads the state as it was.
    writers = {n.inputs[0]: n for n in body.nodes if n.record.kernel in WRITES and n.inputs[0] in {b for _, b, _ in body.states}}
    after = {b: moving(body, body.nodes, n.outputs) for b, n in writers.items()}
    late = {v for values in after.values() for v in values}
    extra: dict[int, list[GraphNode]] = {}
    for before, node in writers.items():
        extra[node.outputs[0]] = [n for n in body.nodes if before in n.inputs and n is not node and late.isdisjoint(n.outputs)]
    return ordered(body.nodes, extra) if extra else body.nodes


def structure(graph: Graph) -> tuple[Any, ...]:
    """What a program is: the same for programs that do the same ops on the same inputs and constants, however their values are numbered."""
    number: dict[int | None, int] = {None: -1}
    for v in graph.inputs:
        number.setdefault(v, len(number))
    constants = []

    def of(value: int | None) -> int:
        if value not in number and value in graph.constants:
            constants.append((graph.specs[value], graph.constants[value].numpy().tobytes()))
        return number.setdefault(value, len(number))

    calls = tuple([(n.record, tuple(map(of, n.inputs)), tuple(map(of, n.outputs)), options_key(n.options)) for n in graph.nodes])
    specs = tuple([graph.specs[v] for v in graph.inputs])  # type: ignore[index]
    return graph.dtype, specs, calls, tuple(map(of, graph.outputs)), tuple(constants)


def _digest(key: Any) -> str:
    # Records by their names: those of loops end with a digest, those of the user's own ops with a number.
    def plain(value: Any) -> Any:
        if isinstance(value, OpDef):
            return value.name
        return tuple(map(plain, value)) if isinstance(value, tuple) and type(value) is tuple else value

    import hashlib

    return hashlib.blake2b(repr(plain(key)).encode(), digest_size=12).hexdigest()


class Loop:
    """An op with bodies; `OpDef.loop` of its record.

    Args:
        title: the op, for messages and printed programs.
        bodies: its programs.
        specs: of the inputs.
        outs: of the outputs.
    """

    specs: tuple[Spec, ...]
    outs: tuple[Spec, ...]

    def __init__(self, title: str, bodies: Sequence[Graph], specs: Sequence[Spec], outs: Sequence[Spec]) -> None:
        self.title = title
        self.bodies: tuple[Graph, ...] = tuple(bodies)
        self.specs, self.outs = tuple(specs), tuple(outs)
        #: By target: what runs (`lower`).
        self.code: dict[Any, Any] = {}
        #: Loops derived from this one, by what they are.
        self.derived: dict[Any, Any] = {}
        #: The first input whose cotangent is a sum over steps, which can go on from a total that is there; None where there is none.
        self.adds_from: int | None = None

    def programs(self, target: Target | None = None) -> list[Graph]:
        """The programs that are lowered for it, one for each body.

        Args:
            target: what runs them.
        """
        raise NotImplementedError

    def refused(self, device: str) -> DeviceError:
        """The error where a kind of device does not run it."""
        return DeviceError(f"{self.title}: loops do not run on a {device} device; use device='cpu'")

    def decompose(self, ops: Any, *inputs: Any) -> Any:
        """The loop in terms of other ops: its definition."""
        raise NotImplementedError

    def on_tape(self, ops: Any, record: OpDef, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """The outputs on a backend whose nodes have one value each: those of one dtype are packed into one node, and read out of it."""
        groups: dict[str, list[int]] = {}
        for k, out in enumerate(self.outs):
            groups.setdefault(out.dtype, []).append(k)
        made: dict[int, Any] = {}
        for places in groups.values():
            packed = self.derived.get(("packed", places[0]))
            if packed is None:
                packed = self.derived["packed", places[0]] = self._packed(record, places)
            whole = ops.apply(packed, inputs, {})
            first = 0
            for k in places:
                out, last = self.outs[k], first + self.outs[k].size
                one = whole if len(places) == 1 else ops.slice(whole, starts=(first,), stops=(last,))
                made[k] = one if len(places) == 1 else ops.reshape(one, shape=out.shape)
                first = last
        return tuple([made[k] for k in range(len(self.outs))])

    def _packed(self, record: OpDef, places: Sequence[int]) -> OpDef:
        def decompose(ops: Any, *xs: Any) -> Any:
            made = ops.apply(record, xs, {})
            if len(places) == 1:
                return made[places[0]]
            return ops.concat([ops.reshape(made[k], shape=(-1,)) for k in places], axis=0)

        graph = Graph("float32")
        graph.specs = [*self.specs, Spec((sum(self.outs[k].size for k in places),), self.outs[places[0]].dtype)]
        if len(places) == 1:
            graph.specs[-1] = self.outs[places[0]]
        graph.inputs, graph.outputs = list(range(len(self.specs))), [len(self.specs)]
        return dynamic_op(self.title, graph, decompose)

    def pulled(
        self,
        graph: Graph,
        node: GraphNode,
        gs: Sequence[GraphRef | None],
        needs: Sequence[bool],
        totals: Mapping[int, GraphRef] = NO_TOTALS,
    ) -> Sequence[GraphRef | None]:
        """Append the vector-Jacobian product of a node of this loop; the node may give way to another that makes more.

        Args:
            graph: the node's.
            gs: a cotangent for each output, or None.
            needs: which inputs' cotangents are wanted.
            totals: by input, what the sums over steps go on from (see `adds_from`).

        Returns: a cotangent for each input, or None.
        """
        raise NotImplementedError

    def pushed(self, graph: Graph, node: GraphNode, ts: Sequence[GraphRef | None]) -> Sequence[GraphRef | None]:
        """Append the Jacobian-vector product: a tangent for each output, or None, given one for each input, or None."""
        raise NotImplementedError

    def flops(self) -> float:
        """Floating-point operations of a run."""
        return sum(cost_of(b).flops for b in self.bodies)

    def calls(self) -> float:
        """About how many kernels a run calls."""
        return sum(1 if n.record.loop is None else n.record.loop.calls() for b in self.bodies for n in b.nodes)


def record_of(kind: Any, bodies: Sequence[Graph], build: Callable[[], Loop]) -> OpDef:
    """The record of a loop, made once for each structure.

    Args:
        kind: what it is beside its bodies, hashable.
        bodies: its programs.
        build: makes the loop.
    """
    key = (kind, *map(structure, bodies))
    nodes = [n for b in bodies for n in b.nodes]
    # An index may be out of range: errors name the line that recorded the op, so that another line makes another loop.
    lines = tuple([n.name.line for b in bodies for n in b.nodes if isinstance(n.name, Origin) and _indexes(b, n)])
    key = (*key, lines) if lines else key
    # One that calls an op of the user's own is kept with that op, and freed with it.
    kept = next((n.record.kept("loops", _LOOPS) for n in nodes if not n.record.registered and n.record.loop is None), _LOOPS)
    return kept.make(key, lambda: _record(build(), _digest(key)))


def _indexes(body: Graph, node: GraphNode) -> bool:
    return any(i is not None and body.specs[i].dtype in INTEGERS for i in node.inputs)


def _record(loop: Loop, digest: str) -> OpDef:
    outs = list(loop.outs)

    def shape(*xs: Any) -> Any:
        return outs if len(outs) > 1 else outs[0]

    def flops(*xs: Any) -> float:
        return loop.flops()

    rules = Rules(f"A {loop.title}.", shape=shape, decompose=loop.decompose, flops=flops)
    names = {f"x{k}": s.dtype for k, s in enumerate(loop.specs)}
    return OpDef(
        name=f"{loop.title}@{digest}",
        inputs=tuple(names),
        options_names=(),
        rules=rules,
        dtypes={n: d for n, d in names.items() if d in (*FLOATS, *INTEGERS)},
        outputs=tuple([f"y{k}" for k in range(len(outs))]),
        kernel=loop.title,
        loop=loop,
        algebraic=False,
        effects=any(n.record.effects for b in loop.bodies for n in b.nodes),
        flops=flops,
    )


def moving(graph: Graph, nodes: Iterable[GraphNode], sources: Iterable[int]) -> set[int]:
    """The values that depend on these."""
    found = set(sources)
    for node in nodes:
        if found.intersection(i for i in node.inputs if i is not None):
            found.update(node.outputs)
    return found


def split(
    graph: Graph, wanted: Sequence[int], late: Collection[int], fixed: Collection[int], own: Collection[int], again: bool = False
) -> Any:
    """The sweep back of a differentiated body, apart from the way forward.

    Args:
        graph: the body with its sweep appended.
        wanted: the values that the sweep makes.
        late: the values that depend on cotangents.
        fixed: those that are the same at each step.
        own: the inputs of the sweep.
        again: whether the sweep runs the whole way forward again.

    Returns: the nodes of the sweep, and the values of the way forward that it reads.
    """
    live = set(wanted)
    taken: list[GraphNode] = []
    for node in reversed(graph.nodes):
        if not live.intersection(node.outputs):
            continue
        # What costs next to nothing is made again: another shape, a number spread over an array, what is the same at each step.
        same = node.record.loop is None and all(i is None or i in fixed for i in node.inputs)
        if again or same or node.record.view or node.record.spreads or any(v in late for v in node.outputs):
            taken.append(node)
            live.update(i for i in node.inputs if i is not None)
    made = {v for n in taken for v in n.outputs}
    read = [v for n in reversed(taken) for v in n.inputs if v is not None] + list(wanted)
    return taken[::-1], [v for v in dict.fromkeys(read) if v not in made and v not in own and v not in graph.constants]


def replaced(graph: Graph, node: GraphNode, record: OpDef, outputs: Sequence[int]) -> GraphNode:
    """Put a node of another record, with the same inputs, in a node's place; returns it."""
    made = GraphNode(record, node.inputs, tuple(outputs), node.options, node.name)
    graph.nodes[next(k for k, n in enumerate(graph.nodes) if n is node)] = made
    graph._called = None
    return made


def ordered(nodes: Sequence[GraphNode], extra: Mapping[int, Sequence[GraphNode]] = MappingProxyType({})) -> list[GraphNode]:
    """The nodes with each behind those that it reads, else in the order that they have.

    Args:
        nodes: in any order.
        extra: by the first output of a node, others that it comes behind.
    """
    makers = {v: n for n in nodes for v in n.outputs}
    result: list[GraphNode] = []
    begun: set[int] = set()
    for first in nodes:
        todo = [first]
        while todo:
            node = todo[-1]
            before = [makers[i] for i in node.inputs if i in makers and makers[i].outputs[0] not in begun]
            before += [n for n in extra.get(node.outputs[0], ()) if n.outputs[0] not in begun]
            if node.outputs[0] in begun:
                todo.pop()
            elif before:
                todo += reversed(before)
            else:
                begun.add(node.outputs[0])
                result.append(todo.pop())
    return result


def superseded(graph: Graph, node: GraphNode, made: list[int], places: Iterable[int]) -> None:
    """Have the last node of a graph, which makes all that an earlier one does, make it in its place, so that nothing runs twice.

    Args:
        graph: of both.
        node: the earlier one. Where a sweep before has replaced it, or the last node was there before, nothing is done.
        made: the outputs of the last; those of the earlier one are put among them.
        places: where, in order.
    """
    if not any(m is node for m in graph.nodes) or graph.nodes[-1].outputs != tuple(made):
        return
    for k, v in zip(places, node.outputs, strict=True):
        made[k] = v
    joint = graph.nodes.pop()._replace(outputs=tuple(made))
    graph._known[joint.record.name, joint.inputs, options_key(joint.options)] = joint.outputs
    graph.nodes = ordered([joint if m is node else m for m in graph.nodes])


def zeros(graph: Graph, spec: Spec) -> GraphRef:
    """Zeros of that spec."""
    return graph._full(shape=spec.shape, value=0.0, dtype=spec.dtype)


def or_zeros(graph: Graph, ref: GraphRef | None, spec: Spec) -> GraphRef:
    """The reference, or zeros where there is none."""
    return zeros(graph, spec) if ref is None else ref
