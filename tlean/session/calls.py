"""What a compiled session keeps of the calls that it has seen (`tlean._core.plan.calls`): the programs that it ran last."""

from __future__ import annotations

from collections.abc import Sequence

from tlean._core.plan.calls import Call, Program
from tlean.caching import Cache
from tlean.compiler.graph import Graph

#: Programs that a session keeps; a session that alternates between training and evaluation needs two.
_MOST_PROGRAMS = 16


def graph_to(program: Program, to: Call, outputs: Sequence[int] = ()) -> Graph:
    """The calls of a step up to this one, as a separate graph with these outputs that rules may be appended to."""
    graph = Graph(program.dtype, merge=False)
    for call in program.calls[: to.number]:
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
        self.start: Call = Call(None, None, (), None)
        #: The programs: their last call, and all of them. The one that ran last is last.
        self.programs: Cache = Cache(_MOST_PROGRAMS)
        self.last: Call | None = None

    def keep(self, program: Program) -> None:
        """Keep the program of a step that has ended, and forget the one that was not run for the longest time."""
        end = program.at
        if end is self.start:
            return
        for path in self.programs.keep(end, self.programs.get(end) or program.calls[: end.number]):
            self.forget(path, 0)
        self.last = end

    def forget(self, path: Sequence[Call], kept: int) -> None:
        """Forget the calls of a path after the first `kept` where nothing else goes on from them."""
        for k in range(len(path) - 1, kept - 1, -1):
            call, before = path[k], path[k - 1] if k else self.start
            if call.next or call in self.programs:
                return
            before.drop(call)
