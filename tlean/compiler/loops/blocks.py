"""Loops in blocks: the sweep back has what each block began with, and runs its steps again, so that it stores no more than one block."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from tlean.errors import OptionError
from tlean.ops import OpDef, Spec

from ..graph import Graph
from .bodies import part
from .scan import AGAIN, TOTALS, scan_record

#: Below so many steps a second level of blocks saves nothing that counts.
_FEW = 64


def block_lengths(name: str, checkpoint: Any, steps: int) -> tuple[int, ...]:
    """How many blocks a loop has, of how many blocks each, and so on; last come the steps of an innermost block.

    Args:
        name: of the loop, for messages.
        checkpoint: None, the steps of a block, "sqrt" or "optimal".
        steps: of the loop; those that the product of the lengths leaves over come after all blocks.

    Raises: OptionError for another `checkpoint`.
    """
    if checkpoint is None:
        return (steps,)
    if isinstance(checkpoint, str) and checkpoint == "sqrt":
        return _least(steps, 2)
    if isinstance(checkpoint, str) and checkpoint == "optimal":
        return _least(steps, 3 if steps >= _FEW else 2)
    try:
        k = 0 if isinstance(checkpoint, bool | str) else operator.index(checkpoint)
    except TypeError:
        k = 0
    if k < 1:
        raise OptionError(f'{name}: checkpoint must be None, an int of at least 1, "sqrt" or "optimal", got {checkpoint!r}')
    return (steps // k, k) if k < steps else (steps,)


def _least(steps: int, levels: int) -> tuple[int, ...]:
    # The lengths of so many levels whose sum is least; steps left over count, since they are stored, and a quarter for the copies that
    # they bring.
    best: tuple[float, tuple[int, ...]] = (steps, (steps,))
    most = 3 * math.ceil(steps ** (1 / levels)) + 1
    inner: list[tuple[int, ...]] = [()]
    for _ in range(levels - 1):
        inner = [(k, *lengths) for lengths in inner for k in range(2, most + 1) if k * math.prod(lengths) * 2 <= steps]
    for lengths in inner:
        count, over = divmod(steps, math.prod(lengths))
        stored = count + sum(lengths) + max(0, over - lengths[-1])
        best = min(best, (stored if over == 0 else 1.25 * stored, (count, *lengths)))
    return best[1]


class Blocks:
    """A scan in blocks, as the record that runs it and how its stacks are given and taken.

    Args:
        body: the program of a step.
        carries, xs: how many of the body's inputs are carries, and how many steps of stacked inputs.
        steps: of the loop.
        reverse: from the last step to the first.
        lengths: see `block_lengths`.
        unroll: how many steps a turn of an innermost loop has.
    """

    carries: int
    xs: int
    steps: int
    unroll: int

    def __init__(self, body: Graph, carries: int, xs: int, steps: int, reverse: bool, lengths: tuple[int, ...], unroll: int = 1) -> None:
        self.carries, self.xs, self.steps, self.unroll = carries, xs, steps, unroll
        over = steps - math.prod(lengths)
        self.shape: Any = (1, steps) if over else lengths
        if over:
            whole = _in_turn(body, carries, xs, steps, reverse, lengths, unroll)
            self.record: OpDef = scan_record(whole, carries, xs, 1, reverse, TOTALS)
        else:
            self.record = _nested(body, carries, xs, reverse, lengths, unroll)

    def applied(self, ops: Any, inputs: Sequence[Any]) -> list[Any]:
        """The loop's outputs on a backend.

        Args:
            ops: the backend.
            inputs: the first carries, the stacked inputs, the invariants.
        """
        n, m = self.carries, self.xs
        given = [_reshaped(ops, x, self.shape, 1) if n <= k < n + m else x for k, x in enumerate(inputs)]
        made = ops.apply(self.record, tuple(given), {})
        made = made if isinstance(made, tuple) else (made,)
        return [*made[:n], *(_reshaped(ops, y, (self.steps,), len(self.shape)) for y in made[n:])]


def _reshaped(ops: Any, x: Any, leading: tuple[int, ...], old: int) -> Any:
    # With other leading axes in place of so many.
    shape = (*leading, *tuple(x.shape)[old:])
    return x if shape == tuple(x.shape) else ops.reshape(x, shape=shape)


def _nested(body: Graph, carries: int, xs: int, reverse: bool, lengths: tuple[int, ...], unroll: int) -> OpDef:
    # The record of a loop over blocks, whose body is a loop over the blocks in it.
    if len(lengths) == 1:
        return scan_record(body, carries, xs, lengths[0], reverse, unroll=unroll)
    inner = _nested(body, carries, xs, reverse, lengths[1:], unroll)
    graph = Graph(body.dtype, merge=False)
    refs = [graph.arg(s) for s in inner.loop.specs]
    graph.outputs = list(graph._record(inner, [r.id for r in refs], {}))  # type: ignore[union-attr]
    return scan_record(part(graph, graph.inputs, graph.outputs), carries, xs, lengths[0], reverse, AGAIN)  # type: ignore[arg-type]


def _in_turn(body: Graph, carries: int, xs: int, steps: int, reverse: bool, lengths: tuple[int, ...], unroll: int) -> Graph:
    # The whole loop as a program: all blocks, then the steps that are left over.
    count = math.prod(lengths)
    over = steps - count
    ranges = ((over, steps), (0, over)) if reverse else ((0, count), (count, steps))
    graph = Graph(body.dtype, merge=False)
    specs = [body.specs[v] for v in body.inputs]  # type: ignore[index]
    refs: list[Any] = [graph.arg(Spec((steps, *s.shape), s.dtype) if carries <= k < carries + xs else s) for k, s in enumerate(specs)]
    carry, stacks, rest = refs[:carries], refs[carries : carries + xs], refs[carries + xs :]
    pieces = []
    for (first, last), shape in zip(ranges, (lengths, (over,)), strict=True):
        taken = [graph.slice(x, starts=(first, *(0 for _ in x.shape[1:])), stops=(last, *x.shape[1:])) for x in stacks]
        made = Blocks(body, carries, xs, last - first, reverse, shape, unroll).applied(graph, [*carry, *taken, *rest])
        carry = made[:carries]
        pieces.append(made[carries:])
    order = pieces[::-1] if reverse else pieces
    ys = [graph.concat(list(both), axis=0) for both in zip(*order, strict=True)]
    return part(graph, graph.inputs, [r.id for r in (*carry, *ys)])  # type: ignore[arg-type]
