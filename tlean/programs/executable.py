"""A graph with its plan, as a function of arrays; and the streams of seeds that random ops draw from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlean._core.array import AnyTensor, as_tensor
from tlean._core.plan.commit import Commit
from tlean.compiler.cpu import CPU
from tlean.compiler.graph import Graph
from tlean.compiler.lower import lower
from tlean.compiler.target import Target
from tlean.locks import Lock
from tlean.rng import checked_seed, op_seed, program_seed

from .captured import Captured


class Stream:
    """The seeds that random ops without their own seed draw: number n of the stream that a seed starts.

    Without a seed the stream is the next program's (`tlean.seed`).
    """

    position: int

    def __init__(self, seed: int | None = None) -> None:
        self.seed: int = program_seed() if seed is None else checked_seed("seed", seed)
        self.position = 0
        self._lock = Lock()

    def take(self, count: int) -> list[AnyTensor]:
        """The next `count` seeds, as the integer inputs of a plan."""
        with self._lock:
            first, self.position = self.position, self.position + count
        return self._seeds(first, count)

    def next(self, count: int) -> list[AnyTensor]:
        """The same seeds, of a run that moves the position when it succeeds."""
        return self._seeds(self.position, count)

    def _seeds(self, first: int, count: int) -> list[AnyTensor]:
        return [as_tensor(signed_seed(op_seed(self.seed, first + k)), "int64") for k in range(count)]


def signed_seed(seed: int) -> int:
    """A seed of 64 bits as the signed integer that integer inputs hold."""
    return seed - (1 << 64) if seed >= 1 << 63 else seed


class FixedStream(Stream):
    """A stream whose every reader gets the same seeds, from the first on: the runs that belong to one drawing of random numbers."""

    def take(self, count: int) -> list[AnyTensor]:
        """The first `count` seeds."""
        return [as_tensor(signed_seed(op_seed(self.seed, k)), "int64") for k in range(count)]


class Executable:
    """A graph with its plan: arrays in, arrays out. Calls from several threads at once are right: a plan keeps nothing between runs.

    Args:
        graph: with `outputs` set; the seeds of its random ops are its last inputs.
        seeds: how many of them.
        target: the device that it runs on; results are arrays of that device.
        captured: what gives the inputs between the caller's and the seeds: the arrays that the program captures.
    """

    def __init__(self, graph: Graph, seeds: int = 0, target: Target = CPU, captured: Captured | None = None) -> None:
        self.graph: Graph = graph.prune()
        self.seeds = seeds
        self._captured = captured if captured is not None and captured.takes_inputs else None
        #: name → value of what the program took of its surroundings for good.
        self.frozen: Mapping[str, Any] = {} if captured is None else captured.frozen
        self.plan: Any = lower(graph, target)
        self._run, self._step = target.run, target.step
        self.out_specs: Any = [((), graph.dtype) if v is None else (graph.specs[v].shape, graph.specs[v].dtype) for v in graph.outputs]

    def __call__(
        self, tensors: Sequence[AnyTensor | None], stream: Stream, captured: Sequence[AnyTensor] | None = None
    ) -> list[AnyTensor | None]:
        if self._captured is not None:
            tensors = [*tensors, *(self._captured.guard.read() if captured is None else captured)]
        return self._run(self.plan, [*tensors, *stream.take(self.seeds)] if self.seeds else tensors, self.out_specs)

    def step(self, tensors: Sequence[AnyTensor | None], stream: Stream, changes: Commit) -> list[AnyTensor | None]:
        """A run with the `changes` that belong to it, the stream's position among them: everything, or an exception and nothing."""
        if self._captured is not None:
            tensors = [*tensors, *self._captured.guard.read()]
        if self.seeds:
            tensors = [*tensors, *stream.next(self.seeds)]
            changes.set(stream, "position", stream.position + self.seeds)
        return self._step(self.plan, tensors, self.out_specs, changes)

    def run(self, tensors: Sequence[AnyTensor | None]) -> list[AnyTensor | None]:
        """The outputs for all inputs, seeds among them."""
        return self._run(self.plan, tensors, self.out_specs)
