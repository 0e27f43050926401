"""What a compiled session has seen: its calls as a tree, in which steps that begin alike share their beginning.

A call is made whole and then hung onto the one before it; a step moves on to it by one assignment. So whatever interrupts a session leaves
it before a call or after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tlean.caching import Cache
from tlean.compiler.graph import Graph, GraphNode
from tlean.ops import Spec

if TYPE_CHECKING:
    from tlean._core.array import AnyTensor
    from tlean.param import Param
    from tlean.programs.trace import Executables

#: Programs that a session keeps; a session that alternates between training and evaluation needs two.
_MOST_PROGRAMS = 16


class Call:
    """A leaf or an op of a step, with what it makes: one object for all steps whose calls are the same up to here.

    Args:
        before: the call before it; None for the beginning of every step.
        entry: what tells it apart from other calls there.
        specs: of the values that it makes (an op's output, then its residuals). They are numbered in the order of the calls.
        node: the op; None for a leaf.
        flows: whether gradients flow to its value.
        kept: whether it is a node of the tape; False under no_grad.
    """

    __slots__ = ("entry", "flows", "id", "inputs", "next", "node", "nodes", "number", "plans", "specs", "value", "values")

    def __init__(
        self, before: Call | None, entry: Any, specs: tuple[Spec, ...], node: GraphNode | None, flows: bool = False, kept: bool = False
    ) -> None:
        self.entry = entry
        self.specs = specs
        self.node = node
        self.flows = flows and kept
        #: Its value's number, and how many calls, values, inputs and nodes there are up to it.
        self.value = self.number = self.values = self.inputs = self.nodes = 0
        if before is not None:
            self.value = before.values
            self.number = before.number + 1
            self.values = before.values + len(specs)
            self.inputs = before.inputs + (node is None)
            self.nodes = before.nodes + kept
        self.id = self.nodes - 1 if kept else None
        #: The calls that were made after it, by their entry.
        self.next: dict[Any, Call] = {}
        #: What was compiled of the calls up to it.
        self.plans: Executables | None = None

    @property
    def spec(self) -> Spec:
        """Of its value."""
        return self.specs[0]


class Program:
    """The calls of a step so far. `at` is the last one; what the lists hold beyond it was left by a call that failed."""

    __slots__ = ("at", "calls", "computed", "dtype", "generation", "nodes", "pending", "tensors", "uses")

    def __init__(self, start: Call, dtype: str, generation: int) -> None:
        self.at = start
        self.dtype = dtype
        self.generation = generation
        self.calls: list[Call] = []
        #: The calls that are nodes of the tape, by id.
        self.nodes: list[Call] = []
        #: The leaves' arrays.
        self.tensors: list[AnyTensor | None] = []
        #: By node id: the parameter that it read, and its version then.
        self.uses: dict[int, tuple[Param, int]] = {}
        self.computed: dict[Call, AnyTensor] = {}
        #: Gradients that were asked for and not computed yet.
        self.pending: Any = None

    def add(self, call: Call, tensor: AnyTensor | None = None) -> None:
        """Go on to this call, which comes after the last one."""
        at = self.at
        self.calls[at.number :] = (call,)
        if call.node is None:
            self.tensors[at.inputs :] = (tensor,)
        if call.id is not None:
            self.nodes[at.nodes :] = (call,)
        self.at = call

    def graph_to(self, to: Call, outputs: Sequence[int] = ()) -> Graph:
        """The calls up to this one, as a separate graph with these outputs that rules may be appended to."""
        graph = Graph(self.dtype, merge=False)
        for call in self.calls[: to.number]:
            graph.specs += call.specs
            if call.node is None:
                graph.inputs.append(call.value)
            else:
                graph.nodes.append(call.node)
        graph.outputs += outputs
        return graph


class Calls:
    """The tree of the calls of a session, cut down to the programs that it ran last."""

    def __init__(self) -> None:
        self.start = Call(None, None, (), None)
        #: The programs: their last call, and all of them. The one that ran last is last.
        self.programs = Cache(_MOST_PROGRAMS)

    def keep(self, program: Program) -> None:
        """Keep the program of a step that has ended, and forget the one that was not run for the longest time."""
        end = program.at
        if end is self.start:
            return
        for path in self.programs.keep(end, self.programs.get(end) or program.calls[: end.number]):
            self.forget(path, 0)

    def forget(self, path: Sequence[Call], kept: int) -> None:
        """Forget the calls of a path after the first `kept` where nothing else goes on from them."""
        for k in range(len(path) - 1, kept - 1, -1):
            call, before = path[k], path[k - 1] if k else self.start
            if call.next or call in self.programs:
                return
            if before.next.get(call.entry) is call:
                del before.next[call.entry]
