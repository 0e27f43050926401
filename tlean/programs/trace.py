"""The one way from a program to what runs it: recorded as a graph, made executable, kept by key, checked for what it captured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlean import tree
from tlean.caching import Cache
from tlean.compiler.cpu import CPU
from tlean.compiler.graph import Graph
from tlean.compiler.target import Target
from tlean.locks import Lock

from .captured import Captured, changed, same_program
from .executable import Executable

#: Programs that are kept for arguments of different shapes, and executables of one of them.
MOST_KEPT = 1024


class Executables(Cache):
    """What is compiled of one program, by key: of itself, and of what is derived from it.

    Args:
        target: where it runs.
        seeds: how many of its last inputs are seeds of random ops.
        captured: what gives the inputs before them.
    """

    captured: Captured | None
    seeds: int
    target: Target

    __slots__ = ("_lock", "captured", "seeds", "target")

    def __init__(self, target: Target, seeds: int = 0, captured: Captured | None = None) -> None:
        super().__init__(MOST_KEPT)
        self.target, self.seeds, self.captured = target, seeds, captured
        self._lock = Lock()

    def executable(self, key: Any, derive: Callable[[], Graph]) -> Executable:
        """The executable of a key, made once of the graph that `derive` makes."""
        made = self.get(key)
        if made is None:
            with self._lock:
                made = self.make(key, lambda: Executable(derive(), self.seeds, self.target, self.captured))
        return made


class Trace:
    """A program recorded as a graph, with the executables made of it by key: its own, and those of its derivatives.

    Args:
        graph: what it was recorded into, a `GraphM`.
        out: its result, a tree of references.
        target: where it runs.
        more: what its recorder keeps with it.
    """

    __slots__ = ("_run", "build", "captured", "executables", "graph", "more", "structure")

    def __init__(self, graph: Any, out: Any, target: Target = CPU, more: Any = None) -> None:
        #: The structure of the result.
        self.structure: Any = graph.finish(out)
        #: Puts the result together, of the arrays of a run.
        self.build: Callable[[Any], Any] = tree.builder(self.structure)
        self.graph: Graph = graph.prune()
        self.captured: Any = graph.captured
        self.more: Any = more
        self.executables: Executables = Executables(target, len(graph._seeds), graph.captured)
        self._run: Executable | None = None

    @property
    def run(self) -> Executable:
        """The program itself."""
        made = self._run
        if made is None:
            made = self._run = self.executable("forward")
        return made

    def executable(self, key: Any, derive: Callable[[], Graph] | None = None) -> Executable:
        """The executable of a key, made once; of the program itself, or of the graph that `derive` makes of it."""
        return self.executables.executable(key, derive or (lambda: self.graph))

    def check(self, name: str, record: Callable[[], Trace]) -> None:
        """Record the program once more. Raises: OptionError if it is another by now (`TLEAN_CHECK_CAPTURE`)."""
        again = record()
        if self.structure != again.structure or not same_program(self.graph, again.graph):
            raise changed(name)
