"""A training step of one rank as one plan: the sums of the gradients begin inside it.

The plan is the single process's up to the gradients. Each is a sum over this rank's rows; they are put into buckets, a bucket's sum over
all ranks is begun by an instruction right behind the last one that computes into it, and waited for by another in front of what reads it.
In between the backward pass goes on. The buckets depend on the parameters alone, so they are the same on every rank, whatever its rows
are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tlean import tree
from tlean._core.array import AnyTensor
from tlean._core.plan.commit import Commit
from tlean.compiler.derive import reverse
from tlean.compiler.target import nbytes
from tlean.errors import OptionError
from tlean.ops import Spec
from tlean.ops.registry import no_gradient, no_tangent
from tlean.ops.unregistered import host_op
from tlean.optim.param_list import ParamList
from tlean.optim.updates import Update
from tlean.options import Options
from tlean.programs.executable import Stream
from tlean.programs.trace import Trace
from tlean.shapes import size
from tlean.train.steps import CompiledSteps, _scalar

from .blocks import cut, pairwise
from .sums import ASKED, HEAD, LOSS, ROWS, Begin, End, Exchange, Poll, grouped
from .world import World

#: How often in a backward pass MPI gets time for sums that are under way, beside at buckets: a few microseconds each.
_POLLS = 8


class How(NamedTuple):
    """How the ranks compute together."""

    #: The ranks.
    world: World
    #: Blocks of rows that each rank sums one by one.
    blocks: int
    #: Whether sums over ranks are made in rank order.
    in_order: bool
    #: Bytes of a bucket.
    bucket_bytes: int


class RankStream(Stream):
    """The random stream of all ranks: each draws its own part of the seeds of a step.

    Args:
        seed: the same on every rank.
        world: the ranks.
    """

    def __init__(self, seed: int, world: World) -> None:
        super().__init__(seed)
        self.world = world

    def next(self, count: int) -> list[AnyTensor]:
        """This rank's seeds of a run.

        Args:
            count: how many.
        """
        return self._seeds(self.position + self.world.rank * count, count)


class Block(NamedTuple):
    """What is recorded of one block of rows: sums over its rows, and the leaves of `aux`."""

    rows: int
    loss: Any
    grads: dict[int, Any]
    value: Any
    leaves: list[Any]
    structure: Any


class RankTrace(Trace):
    """A step's graph with its buckets."""

    __slots__ = ("exchange",)

    exchange: Exchange | None


class RankSteps(CompiledSteps):
    """The whole step of a rank in one plan. The last input is not the loss's: 1 where this rank requests an end.

    `aux` becomes (how many ranks asked, the loss's aux of each block that has rows, what is stored). Without any rows it is that of rows of
    zeros: so it has its form, and the means.

    Args:
        options, params, loss: of the trainer.
        how: how the ranks compute together.
    """

    def __init__(self, options: Options, params: ParamList, loss: Callable[..., Any], how: How) -> None:
        super().__init__(options, params, loss)
        self.how = how
        self.stream: RankStream = RankStream(self.stream.seed, how.world)

    def _record(
        self,
        kind: str,
        inputs: Sequence[AnyTensor],
        kernels: Sequence[str | None],
        update: Update | None,
        clip_norm: float | None,
        finite: bool,
    ) -> Trace:
        graph, params, (*xs, asked) = self._started(inputs)
        wrt = None if kind == "forward" else [None if k is None else r for r, k in zip(params, kernels, strict=True)]
        parts = parted([x.shape for x in xs], self.how.blocks)
        blocks = [self._block(graph, params, xs, part, wrt) for part in parts]
        first = blocks[0]
        pairs = [(p, k) for p, k in self.stored(tree.unflatten(first.structure, range(len(first.leaves)))) if k is not None]
        loss, flag, means, kept, exchange = self._summed(graph, blocks, asked, [k for _, k in pairs])
        new = dict(zip((k for _, k in pairs), kept, strict=True))
        shown = [
            tree.unflatten(b.structure, [loss if x is b.value else new.get(k, x) for k, x in enumerate(b.leaves)])
            for b in [b for b in blocks if b.rows] or blocks[:1]
        ]
        leaves, structure = tree.flatten((flag, shown, kept))
        outputs = [loss, *map(graph.ref, leaves)]
        more = [] if wrt is None else self._moves(graph, params, loss, means, kernels, update, clip_norm, finite)
        at = len(outputs) - len(pairs)
        stored = [(p, at + j) for j, (p, _) in enumerate(pairs)] if update is not None else []
        trace = RankTrace(graph, outputs + more, self._target, (structure, list(means), stored))
        trace.exchange = exchange
        return trace

    def _block(self, graph: Any, params: Sequence[Any], xs: Sequence[Any], part: slice, wrt: Sequence[Any] | None) -> Block:
        # The loss and the gradients of some rows, as sums over them.
        rows = part.stop - part.start
        inputs = list(xs)
        if rows == 0:
            # The program of two rows shows the shapes of the results; its numbers are not used.
            inputs = [graph.zeros((2, *x.shape[1:]), dtype=x.dtype) for x in xs]
        elif rows != xs[0].shape[0]:
            inputs = [graph.slice_range0(x, part.start, rows) for x in xs]
        begun = len(graph.nodes)
        value, aux = _scalar(self.recorder(graph, *params, *inputs))
        if not rows and any(n.record.effects for n in graph.nodes[begun:]):
            raise OptionError("distributed: a program with collectives needs a row for each rank, got a batch with fewer rows")
        leaves, structure = tree.flatten(aux)
        leaves = [graph.ref(x) for x in leaves]
        weight = float(max(rows, 1))
        grads: dict[int, Any] = {}
        if wrt is not None:
            seed = graph._full(shape=(), value=weight, dtype=value.dtype)
            grads = {k: g for k, g in enumerate(reverse(graph, [(value, seed)], wrt)) if g is not None}
        loss = value if weight == 1.0 else graph.scale(value, weight)
        if rows == 0:
            loss, grads = graph.zeros((), dtype=value.dtype), {k: graph.zeros(g.shape, dtype=g.dtype) for k, g in grads.items()}
        return Block(rows, loss, grads, value, leaves, structure)

    def _summed(
        self, graph: Any, blocks: Sequence[Block], asked: Any, stored: Sequence[int]
    ) -> tuple[Any, Any, dict[int, Any], list[Any], Exchange | None]:
        # Over all blocks of all ranks: the mean loss, how many ranks asked, the mean gradients and the mean of what is stored.
        first, begun = blocks[0], len(graph.nodes)

        def total(parts: Sequence[Any]) -> Any:
            return pairwise(parts, graph.add)

        sums = {k: total([b.grads[k] for b in blocks]) for k in first.grads}
        kept = [total([graph.scale(b.leaves[k], float(b.rows)) for b in blocks]) for k in stored]
        loss = total([b.loss for b in blocks])
        count = graph.const(np.array([sum(b.rows for b in blocks)], self.options.dtype))
        none = graph.const(np.zeros(HEAD - 3, self.options.dtype))
        head = graph.concat([graph.reshape(loss, (1,)), count, graph.reshape(asked, (1,)), none])
        moved = list(sums)
        buckets = [[moved[k] for k in b] for b in grouped([nbytes(sums[k].spec) for k in moved], self.how.bucket_bytes)]
        lists = [[sums[k] for k in b] for b in buckets]
        if not lists or nbytes(lists[-1][0].spec) >= self.how.bucket_bytes:
            # A large gradient is summed where it is.
            buckets.append([])
            lists.append([])
        lists[-1] = [head, *kept, *lists[-1]]
        exchange, lists = self._exchanged(graph, lists, begun)
        (head, *others), (*whole, _) = lists[-1], lists
        kept, lists = others[: len(kept)], [*whole, others[len(kept) :]]
        rows = _entry(graph, head, ROWS)

        def mean(x: Any) -> Any:
            return graph.div(x, rows if x.shape == () else graph.broadcast_to(rows, x.shape))

        made = {k: mean(x) for b, values in zip(buckets, lists, strict=True) for k, x in zip(b, values, strict=True)}
        means = {k: made[k] for k in moved}
        return mean(_entry(graph, head, LOSS)), _entry(graph, head, ASKED), means, [mean(x) for x in kept], exchange

    def _exchanged(self, graph: Any, lists: Sequence[Sequence[Any]], begun: int) -> tuple[Exchange | None, list[list[Any]]]:
        # The values of each bucket, summed over all ranks. What was recorded since `begun` leads to the buckets alone.
        world, dtype = self.how.world, self.options.dtype
        if world.size == 1:
            return None, [list(values) for values in lists]
        lengths = [sum(size(x.shape) for x in values) for values in lists]
        exchange = Exchange(world, lengths, dtype, self.how.in_order)
        flats = []
        for number, values in enumerate(lists):
            parts = [graph.reshape(x, (size(x.shape),)) for x in values]
            flat = parts[0] if len(parts) == 1 else graph.concat(parts)
            flats.append(_call(graph, f"begin bucket {number}", Begin(exchange, number), flat))
        move_up(graph, begun)
        add_polls(graph, exchange)
        result = []
        for number, (values, flat) in enumerate(zip(lists, flats, strict=True)):
            whole = _call(graph, f"end bucket {number}", End(exchange, number), flat)
            at = 0
            made = []
            for x in values:
                n = size(x.shape)
                part = whole if n == lengths[number] else graph.slice_range0(whole, at, n)
                made.append(graph.reshape(part, x.shape))
                at += n
            result.append(made)
        return exchange, result

    def _run(self, trace: Trace, tensors: Sequence[Any], changes: Commit) -> list[Any]:
        exchange, before = trace.exchange, self.stream.position  # type: ignore[attr-defined]
        if exchange is not None:
            exchange.start()
        try:
            made = super()._run(trace, tensors, changes)
        except BaseException:
            if exchange is not None:
                exchange.fail()
            raise
        self.stream.position = before + self.how.world.size * (self.stream.position - before)
        return made


def parted(shapes: Sequence[tuple[int, ...]], blocks: int) -> list[slice]:
    """The rows of each block of a rank's inputs.

    Args:
        shapes: of the inputs.
        blocks: how many.

    Raises: OptionError where the inputs have no common first axis to be cut.
    """
    rows = {s[0] if s else None for s in shapes}
    if len(rows) != 1 or None in rows:
        raise OptionError(f"distributed: inputs must have one length, as their rows are shared out, got shapes {list(shapes)}")
    return cut(int(rows.pop() or 0), blocks)


def move_up(graph: Any, begun: int) -> None:
    """Put each node recorded since `begun` right behind what it reads.

    Args:
        graph: the graph.
        begun: the number of nodes before.
    """
    place = {v: i for i, node in enumerate(graph.nodes[:begun]) for v in node.outputs}
    keys = [(i, 0, i) for i in range(begun)]
    for i, node in enumerate(graph.nodes[begun:], begun):
        at = max((place.get(v, -1) for v in node.inputs if v is not None), default=-1)
        place.update(dict.fromkeys(node.outputs, at))
        keys.append((at, 1, i))
    graph.nodes = [node for _, node in sorted(zip(keys, graph.nodes, strict=True), key=lambda pair: pair[0])]


def add_polls(graph: Any, exchange: Exchange) -> None:
    """Let sums that are under way go on between the instructions behind the first bucket.

    Args:
        graph: the graph, in the order of its instructions.
        exchange: of the program.
    """
    begins = [i for i, node in enumerate(graph.nodes) if isinstance(node.record.host, Begin)]
    apart = max(-(-(begins[-1] - begins[0]) // (_POLLS + 1)), 1)
    places = [i for i in range(begins[0] + apart, begins[-1], apart) if i not in begins]
    for number, i in enumerate(reversed(places)):
        record = host_op(f"poll {number}", Poll(exchange), [], [Spec((), "int64")], no_gradient, no_tangent, effects=True)
        graph._record(record, [], {})
        graph.nodes.insert(i, graph.nodes.pop())


def _call(graph: Any, name: str, host: Any, flat: Any) -> Any:
    # A call into Python with a bucket, whose result is that bucket.
    spec = (tuple(flat.shape), graph.dtype)
    record = host_op(name, host, [spec], [Spec(*spec)], no_gradient, no_tangent)
    return graph.apply(record, (flat,), {})


def _entry(graph: Any, head: Any, number: int) -> Any:
    return graph.reshape(graph.slice_range0(head, number, 1), ())
