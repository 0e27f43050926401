"""The graph backend: records a program as nodes over numbered values instead of running it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tlean._core.array import AnyTensor, as_tensor, named_dtype, whole_numbers
from tlean._core.eager.eager import body_among
from tlean._core.eager.instance import options_key
from tlean._core.plan.callback import user_line
from tlean._core.refs import RefBase
from tlean._generated.methods import OpsMethods
from tlean.arguments import label
from tlean.display import preformatted
from tlean.dtypes import ANY, FLOAT, FLOATS, keeps
from tlean.errors import DTypeError, NodeError, OptionError, ShapeError
from tlean.ops import OpDef, Spec, get

from .signature import Signature, signature


class GraphNode(NamedTuple):
    """One op: the ids of the values that it reads (None for an absent input) and of those that it makes (outputs, then residuals).

    Nodes of one call share its options, which never change, and its `call`, what is known of it. A pass that gives a node other inputs
    leaves `call` out where their specs are others; `Graph.call_of` finds it again.
    """

    record: OpDef
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]
    name: str | None = None
    call: Signature | None = None

    def on(self, inputs: tuple[int | None, ...], call: Signature | None) -> GraphNode:
        """The same node on other inputs, with what is known of that call."""
        return tuple.__new__(GraphNode, (self.record, inputs, self.outputs, self.options, self.name, call))

    def key(self, call: Signature) -> Any:
        """What tells it from other nodes, given its `call`: the same op on the same values has the same."""
        return self.record.name, self.inputs, call.key


class Origin(str):
    """A node's name, "" where it has none, with the line of the user's program that recorded it: `line`, a file and a number."""

    line: tuple[str, int]

    @classmethod
    def here(cls, name: str | None) -> str | None:
        """The name, with the line of the user's program that is being run, if one is."""
        line = user_line()
        if line is None:
            return name
        made = cls(name or "")
        made.line = line
        return made

    @staticmethod
    def of(name: str | None) -> Origin | None:
        """The line that a node of that name was recorded at, for nodes that come of it."""
        if not isinstance(name, Origin):
            return None
        return name.unnamed if name else name

    @property
    def unnamed(self) -> Origin:
        made = Origin()
        made.line = self.line
        return made


def argument_dtype(record: OpDef, name: str, value: Any, float_dtype: str) -> str | None:
    """The dtype that an array becomes a constant of where an op takes it; None where it is taken as it is: a condition, a mask, and
    integers that are moved."""
    kind = record.dtypes.get(name.partition("[")[0], FLOAT)
    return None if kind == "bool" or keeps(kind, value) else float_dtype if kind in (FLOAT, ANY) else kind


def integers_of(
    record: OpDef, inputs: Sequence[Any], leaf: Callable[[AnyTensor], Any], held: Callable[[Any], Any] | None = None
) -> Sequence[Any]:
    """The inputs of a call that computes with integers alone, or moves them, with leaves in place of what is no reference; those of another
    call as they are.

    Args:
        record: of the op.
        inputs: references, arrays and numbers.
        leaf: makes one of an array.
        held: the same of what is no plain number, as it was given: a program may read it again.

    Raises: DTypeError for an integer that the dtype of the others does not hold.
    """
    places = [k for k, n in enumerate(record.input_names(len(inputs))) if n.partition("[")[0] in record.alike]
    if all(isinstance(inputs[k], RefBase) for k in places):
        return inputs
    arrays = whole_numbers([inputs[k] for k in places])
    if arrays is None:
        return inputs
    result = list(inputs)
    for k, x in zip(places, arrays, strict=True):
        if x is None or isinstance(x, RefBase):
            continue
        result[k] = leaf(x) if held is None or isinstance(inputs[k], int | np.integer) else held(inputs[k])
    return result


class GraphRef(RefBase):
    """A value of a graph."""

    __slots__ = ("id", "ops")

    def __init__(self, ops: Graph, id: int) -> None:
        self.ops: Graph = ops
        self.id: int = id

    @property
    def spec(self) -> Spec:
        return self.ops.specs[self.id]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.ops.specs[self.id].shape

    @property
    def dtype(self) -> str:
        return named_dtype(self.ops.specs[self.id].dtype)

    def __repr__(self) -> str:
        made = next((f" = {n.record.name}" for n in reversed(self.ops.nodes) if self.id in n.outputs), "")
        return f"<%{self.id}{made}: {self.shape} {self.dtype}>"


class Graph(OpsMethods):
    """A program as data.

    Values are numbered in the order they appear; a node reads and makes values.

    Args:
        dtype: of Python numbers and of what is given without a dtype; arguments have their own, and ops that of their operands.
        merge: record the same call on the same values once (ops are pure, so the bits are the same). Programs that are still to be
            differentiated keep repeated calls apart: their contributions to a gradient are added one by one, as on the eager tape.
    """

    def __init__(self, dtype: str = "float32", merge: bool = True) -> None:
        self.dtype = dtype
        self.merge = merge
        #: Whether the inputs of an elementwise op that is recorded must have equal shapes; else they broadcast.
        self.strict_shapes = False
        self.specs: list[Spec] = []
        self.nodes: list[GraphNode] = []
        self.inputs: list[int | None] = []
        self.outputs: list[int | None] = []
        self.constants: dict[int, AnyTensor] = {}
        self.labels: dict[int, str] = {}
        #: State slots, updated in place by every run: (name, the input that holds it, its new value).
        self.states: list[tuple[str, int, int]] = []
        self._known: dict[Any, tuple[int, ...]] = {}
        #: The calls of these nodes, of which there were so many.
        self._called: tuple[list[GraphNode], int, set[Signature]] | None = None
        #: Set by code that compiles programs that draw random numbers: returns a ref of the next seed.
        self.next_seed: Callable[[], GraphRef] | None = None

    # Building -----------------------------------------------------------------------------------------------------------

    def _value(self, spec: Spec) -> GraphRef:
        """A new value that no node makes yet."""
        self.specs.append(spec.resolved(self.dtype))
        return GraphRef(self, len(self.specs) - 1)

    def arg(self, spec: Spec | None, name: str | None = None) -> GraphRef | None:
        """The next input of the program; None declares an input that is absent.

        Args:
            spec: its shape and dtype.
            name: shown in printed graphs.
        """
        if spec is None:
            self.inputs.append(None)
            return None
        ref = self._value(spec)
        self.inputs.append(ref.id)
        if name:
            self.labels[ref.id] = name
        return ref

    def const(self, value: Any, name: str | None = None) -> GraphRef:
        """A constant; floating-point ones take the program's dtype, integers and Booleans keep theirs.

        Args:
            value: anything array-like.
            name: shown in printed graphs.
        """
        tensor = as_tensor(value)
        return self._constant(as_tensor(value, self.dtype) if tensor.dtype in FLOATS else tensor)

    def _own_constant(self, value: Any) -> GraphRef:
        """A constant of the value's own dtype, from anything array-like: every backend has this for arrays that are not to be cast."""
        return self._constant(as_tensor(value))

    def _constant(self, tensor: AnyTensor) -> GraphRef:
        """A constant of the array's own dtype."""
        ref = self._value(Spec(tuple(tensor.shape), tensor.dtype))
        self.constants[ref.id] = tensor
        return ref

    leaf = const

    def ref(self, value: Any, dtype: str | None = None) -> GraphRef | None:
        """The value as a reference of this graph: a reference as it is, anything array-like as a constant, of the dtype that is given.

        Args:
            value: a reference or anything array-like.
            dtype: of a constant.

        Raises: NodeError for a reference of another graph or backend.
        """
        if value is None:
            return None
        if isinstance(value, GraphRef):
            if value.ops is not self:
                raise NodeError("a reference belongs to another graph")
            return value
        if isinstance(value, RefBase):
            raise NodeError("a reference belongs to another backend")
        return self.const(value if dtype is None else as_tensor(value, dtype))

    def _argument(self, record: OpDef, name: str, value: Any) -> GraphRef | None:
        # An op's argument as a reference, of the dtype that it has when the op runs eagerly; what cannot be one is reported with its name.
        try:
            return self.ref(value, argument_dtype(record, name, value, self.dtype))
        except (DTypeError, ShapeError, NodeError) as error:
            raise type(error)(f"{record.name}: {name}: {error}") from None
        except OverflowError:
            raise DTypeError(f"{record.name}: {name} does not fit 64 bits") from None

    def apply(self, op: str, inputs: Sequence[Any], options: dict[str, Any], name: str | None = None) -> Any:
        """Record one op; returns its reference, or a tuple of them for an op with several outputs.

        Args:
            op: its name.
            inputs: references or arrays; None for an absent one.
            options: of the op.
            name: shown in printed graphs.

        Raises: OptionError for a random op without a seed; what the op raises.
        """
        record = get(op)
        if name is not None:
            label(record.name, name)
        if not self.strict_shapes and inputs and False not in [type(x) is GraphRef and x.ops is self for x in inputs]:
            # References of this graph alone, as in most calls.
            return self._results(record, self._record(record, [x.id for x in inputs], options, self._origin(name)))
        inside = body_among(self, inputs)
        if inside is not None:
            return inside.apply(op, inputs, options, name)
        if record.random and inputs[record.inputs.index("seed")] is None:
            if self.next_seed is None:
                raise OptionError(f"{op}: a recorded program needs an explicit seed")
            inputs = tuple(self.next_seed() if n == "seed" else x for n, x in zip(record.inputs, inputs, strict=True))
        inputs = integers_of(record, inputs, self._constant, self.const)
        refs = [self._argument(record, n, x) for n, x in zip(record.input_names(len(inputs)), inputs, strict=True)]
        if self.strict_shapes:
            record.require_equal_shapes([None if r is None else r.spec for r in refs])
        return self._results(record, self._record(record, [None if r is None else r.id for r in refs], options, self._origin(name)))

    def _results(self, record: OpDef, made: Sequence[int]) -> Any:
        if len(record.outputs) == 1:
            return GraphRef(self, made[0])
        return tuple([GraphRef(self, v) for v in made[: len(record.outputs)]])

    def _origin(self, name: str | None) -> str | None:
        """The name that a node is recorded with."""
        return name

    def encloses(self, other: Graph) -> bool:
        """Whether this is the body of a loop inside another program.

        Args:
            other: that program.
        """
        return False

    def _record(
        self, record: OpDef, inputs: Sequence[int | None], options: dict[str, Any], name: str | None = None, inlined: bool = False
    ) -> tuple[int, ...]:
        """Record one op on value ids; returns the ids of outputs and residuals. `inlined`: in a rule, where repetition is merged."""
        ids = tuple(inputs)
        written: Any = options_key(options) if options else ()
        key: Any = (record.name, ids, written)
        try:
            known = self._known.get(key)
        except (TypeError, ValueError):
            key = known = None
        if known is not None and (self.merge or inlined):
            return known
        return self._append(signature(record, self._specs_of(ids), options, self.dtype, written), ids, name, key)

    def _append(self, call: Signature, ids: tuple[int | None, ...], name: str | None, key: Any) -> tuple[int, ...]:
        # A node of that call, which is found again by the key.
        specs = self.specs
        first = len(specs)
        specs += call.outs
        made = (first,) if len(specs) == first + 1 else tuple(range(first, len(specs)))
        self.nodes.append(tuple.__new__(GraphNode, (call.record, ids, made, call.options, name, call)))
        if key is not None:
            self._known[key] = made
        return made

    def call_of(self, node: GraphNode) -> Signature:
        """What is known of a node's call.

        Args:
            node: of this graph.
        """
        call = node.call
        if call is None or call.dtype != self.dtype:
            call = signature(node.record, self._specs_of(node.inputs), node.options, self.dtype)
        return call

    def calls(self) -> set[Signature]:
        """The calls of its nodes, each once."""
        nodes, known = self.nodes, self._called
        if known is None or known[0] is not nodes or known[1] != len(nodes):
            found: Any = {node.call for node in nodes}
            if None in found or any(call.dtype != self.dtype for call in found):
                found = {self.call_of(node) for node in nodes}
            known = self._called = nodes, len(nodes), found
        return known[2]

    def is_settled(self) -> bool:
        """Whether every node has its `call`, of this graph's dtype."""
        found = {node.call for node in self.nodes}
        return None not in found and not any(call.dtype != self.dtype for call in found)  # type: ignore[union-attr]

    def _variable(self, ref: GraphRef) -> GraphRef:
        """The same value under its own id, whatever the graph merges: what a differentiation takes as its variable."""
        record = get("_identity")
        made = self._value(ref.spec)
        self.nodes.append(GraphNode(record, (ref.id,), (made.id,), {}))
        return made

    def _inline(
        self, graph: Graph, inputs: Sequence[GraphRef | None], merge: bool = True, name: str | None = None
    ) -> list[GraphRef | None]:
        """Record the nodes of another graph on these inputs, unnamed ones by that name; returns references of its outputs."""
        where: dict[int, int] = {}
        for mine, theirs in zip(inputs, graph.inputs, strict=True):
            if theirs is not None and mine is not None:
                where[theirs] = mine.id
        for theirs, constant in graph.constants.items():
            where[theirs] = self._inlined(constant).id
        for node in graph.nodes:
            ids = [None if i is None else where[i] for i in node.inputs]
            made = self._record(node.record, ids, node.options, node.name or name, merge)
            where.update(zip(node.outputs, made, strict=True))
        return [None if v is None else GraphRef(self, where[v]) for v in graph.outputs]

    def _inlined(self, constant: AnyTensor) -> GraphRef:
        # A constant of a graph that is recorded into this one, in the dtype that it has there.
        return (self._constant if constant.dtype in FLOATS and constant.dtype != self.dtype else self.const)(constant)

    def _specs_of(self, values: Iterable[int | None]) -> tuple[Any, ...]:
        """The specs of values; None for an absent one."""
        return tuple([None if v is None else self.specs[v] for v in values])

    # Reading ------------------------------------------------------------------------------------------------------------

    def _needed(self, outputs: Iterable[int | None] | None = None, effects: bool | None = False) -> list[GraphNode]:
        """The nodes that the outputs depend on, in order; with `effects` also those that have one beside their value, with None the checks
        among these, which may run twice.
        """
        live = set(self.outputs if outputs is None else outputs)
        apart, read, kept = live.isdisjoint, live.update, []
        for node in reversed(self.nodes):
            if not apart(node.outputs) or (effects is not False and node.record.effects and (effects or _checks(node.record))):
                kept.append(node)
                read(node.inputs)
        kept.reverse()
        return kept

    def prune(self, effects: bool = True) -> Graph:
        """Drop the nodes that no output depends on; returns the graph itself.

        Args:
            effects: whether all nodes with an effect beside their value stay; otherwise checks alone, which may run twice.
        """
        self.nodes = self._needed([*self.outputs, *(after for _, _, after in self.states)], effects or None)
        self._known = {}
        return self

    def _copy(self) -> Graph:
        """A copy to append to, in which rules find the calls that are there already."""
        copy = Graph(self.dtype, self.merge)
        copy.specs, copy.nodes, copy.inputs, copy.outputs = list(self.specs), list(self.nodes), list(self.inputs), list(self.outputs)
        copy.constants, copy.labels, copy.states = dict(self.constants), dict(self.labels), list(self.states)
        for node in self.nodes:
            with contextlib.suppress(TypeError, ValueError):
                copy._known[node.key(self.call_of(node))] = node.outputs
        return copy

    def check(self) -> None:
        """Validate ids, arities and shapes. Raises: NodeError, ShapeError."""
        ready = {i for i in self.inputs if i is not None} | set(self.constants)
        for node in self.nodes:
            for i in node.inputs:
                if i is not None and i not in ready:
                    raise NodeError(f"{node.record.name} reads %{i} before it is made")
            _, outs = node.record.infer(self._specs_of(node.inputs), node.options, self.dtype)
            for made, spec in zip(node.outputs, outs, strict=True):
                if self.specs[made] != spec.resolved(self.dtype):
                    raise NodeError(f"{node.record.name} makes %{made} of {spec}, recorded as {self.specs[made]}")
                if made in ready:
                    raise NodeError(f"%{made} is made twice")
                ready.add(made)
        for out in self.outputs:
            if out is not None and out not in ready:
                raise NodeError(f"output %{out} is never made")

    def __reduce__(self) -> Any:
        raise OptionError(
            "a recorded program cannot be pickled or copied: its values belong to the recording; pickle what compile_scalar,"
            " compile_out or jit made of a function, or the text str(graph)"
        )

    def __len__(self) -> int:
        return len(self.nodes)

    def _repr_html_(self) -> str:
        return preformatted(str(self))

    def __str__(self) -> str:
        lines = []
        for k, i in enumerate(self.inputs):
            if i is not None:
                lines.append(f"%{i} = arg {k}{' ' + self.labels[i] if i in self.labels else ''}: {self._show(i)}")
        lines += [f"%{i} = const: {self._show(i)}" for i in self.constants]
        for node in self.nodes:
            options = "".join(f", {k}={v!r}" for k, v in node.options.items())
            arguments = ", ".join("None" if i is None else f"%{i}" for i in node.inputs)
            made = ", ".join(f"%{v}" for v in node.outputs)
            specs = ", ".join(self._show(v) for v in node.outputs)
            called = f'  "{node.name}"' if node.name else ""
            lines.append(f"{made} = {node.record.name}({arguments}{options}): {specs}{called}")
        lines.append("return " + ", ".join("None" if v is None else f"%{v}" for v in self.outputs))
        return "\n".join(lines)

    def _show(self, value: int) -> str:
        spec = self.specs[value]
        return f"{spec.dtype}[{', '.join(map(str, spec.shape))}]"


def _checks(record: OpDef) -> bool:
    # Whether its effect is at most an error; calls of `tl.debug`, which are not registered, do more.
    inner = () if record.loop is None else [n.record for b in record.loop.bodies for n in b.nodes if n.record.effects]
    return record.registered if record.loop is None else all(map(_checks, inner))


def replay(graph: Graph, ops: Any, inputs: Sequence[Any]) -> list[Any]:
    """Run a graph's nodes on any backend; returns its outputs there (None where there is none)."""
    where: dict[int, Any] = {}
    for given, value in zip(inputs, graph.inputs, strict=True):
        if value is not None:
            where[value] = given
    for value, constant in graph.constants.items():
        where[value] = ops._own_constant(constant)
    for node in graph.nodes:
        if not all(i is None or i in where for i in node.inputs):
            raise OptionError(f"{node.record.name}: it reads a residual, and residuals exist in plans only")
        made = ops.apply(
            node.record.name if node.record.registered else node.record,
            tuple(None if i is None else where[i] for i in node.inputs),
            node.options,
        )
        where.update(zip(node.outputs, made if len(node.record.outputs) > 1 else (made,), strict=False))
    return [None if v is None else where[v] for v in graph.outputs]
