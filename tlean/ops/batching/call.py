"""A call in every lane of a batch, as one call: what a batching rule gets, and how a rule is declared.

A rule is a function `rule(call)`. It records, on `call.ops`, what the op makes of the inputs of all lanes, and returns the outputs, then
the residuals, each with the lanes as its first axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import OptionError
from ...shapes import Shape, Spec
from ..registry import OpDef, get

Rule = Callable[["Call"], Any]


class Call:
    """One call of an op, made in every lane.

    Args:
        ops: the graph that it is recorded into.
        record: of the op.
        size: how many lanes there are.
        inputs: references, None for an absent input; those that differ between lanes have the lanes as their first axis.
        batched: which inputs these are.
        options: in canonical form, those of one lane.
        outs: the specs of outputs, then residuals, in one lane.
        name: of the node.
        draws: whether each lane draws its own random numbers; else a seed means the numbers that it means in one lane.
        otherwise: records the call without a rule: `otherwise(call, loop)`, lane by lane where `loop` is true.
        through: makes a graph one of all lanes.
    """

    batched: tuple[bool, ...]
    draws: bool
    inputs: tuple[Any, ...]
    name: str | None
    ops: Any
    options: dict[str, Any]
    outs: tuple[Spec, ...]
    record: OpDef
    size: int

    __slots__ = ("_otherwise", "_through", "batched", "draws", "inputs", "name", "ops", "options", "outs", "record", "size")

    def __init__(
        self,
        ops: Any,
        record: OpDef,
        size: int,
        inputs: Sequence[Any],
        batched: Sequence[bool],
        options: dict[str, Any],
        outs: Sequence[Spec],
        name: str | None,
        draws: bool,
        otherwise: Callable[[Call, bool], Sequence[Any]],
        through: Callable[[Any, Sequence[bool], int], Any],
    ) -> None:
        self.ops, self.record, self.size = ops, record, size
        self.inputs, self.batched, self.options, self.outs = tuple(inputs), tuple(batched), options, tuple(outs)
        self.name, self.draws, self._otherwise, self._through = name, draws, otherwise, through

    @property
    def out(self) -> Shape:
        """The shape of the first output in one lane."""
        return self.outs[0].shape

    def lane(self, k: int) -> Shape:
        """The shape of an input in one lane."""
        shape = tuple(self.inputs[k].shape)
        return shape[1:] if self.batched[k] else shape

    def spread(self, k: int) -> Any:
        """An input with the lanes as its first axis, repeated where it is the same in each; None for an absent one."""
        x = self.inputs[k]
        if x is None or self.batched[k]:
            return x
        return self.ops.broadcast_to(x, (self.size, *x.shape))

    def aligned(self, k: int, rank: int) -> Any:
        """An input that broadcasts against lanes of so many axes: one that differs between them with axes of size 1 after the first."""
        x = self.inputs[k]
        if x is None or not self.batched[k] or len(x.shape) > rank:
            return x
        lane = self.lane(k)
        return shaped(self.ops, x, (self.size, *(1,) * (rank - len(lane)), *lane))

    def run(self, *inputs: Any, **options: Any) -> tuple[Any, ...]:
        """The op itself on these inputs: outputs, then residuals. Options that are not given are those of one lane."""
        ids = [None if x is None else x.id for x in inputs]
        made = self.ops._record(self.record, ids, {**self.options, **options}, self.name)
        return tuple(type(next(x for x in inputs if x is not None))(self.ops, v) for v in made)

    def through(self, graph: Any, batched: Sequence[bool]) -> tuple[Any, tuple[bool, ...]]:
        """A program that the op has, such as a loop's body, as one of all lanes, and which of its outputs differ between them.

        Args:
            graph: the program.
            batched: which of its inputs differ between lanes; they have these as their first axis.
        """
        return self._through(graph, batched, self.size)  # type: ignore[no-any-return]

    def parts(self) -> Sequence[Any]:
        """The call by the op's decomposition, or lane by lane where it has none."""
        return self._otherwise(self, False)

    def loop(self) -> Sequence[Any]:
        """The call made once for each lane, with the results stacked."""
        return self._otherwise(self, True)


def batching(*names: str) -> Callable[[Rule], Rule]:
    """Declare the batching rule of records. Raises: OptionError for one that has a rule."""

    def declare(rule: Rule) -> Rule:
        for name in names:
            rules = get(name).rules
            if rules.batch is not None:
                raise OptionError(f"batching: {name} has a rule")
            rules.batch = rule
        return rule

    return declare


def shaped(ops: Any, x: Any, shape: Shape) -> Any:
    """x in that shape, as it is where it has it."""
    return x if tuple(x.shape) == shape else ops.reshape(x, shape)


def lanes_first(ops: Any, x: Any, axis: int) -> Any:
    """The axis of the lanes moved to the front."""
    if axis == 0:
        return x
    rest = [k for k in range(len(x.shape)) if k != axis]
    return ops.permute(x, (axis, *rest))


def lanes_into(ops: Any, x: Any, axis: int) -> Any:
    """(B, *lane) as an array of a lane's rank whose `axis` has the lanes one after another: its size there is B times as large."""
    lanes, lane = x.shape[0], tuple(x.shape[1:])
    if any(n != 1 for n in lane[:axis]):
        x = ops.permute(x, (*range(1, axis + 1), 0, *range(axis + 1, len(x.shape))))
    return shaped(ops, x, (*lane[:axis], lanes * lane[axis], *lane[axis + 1 :]))


def lanes_out(ops: Any, y: Any, axis: int, lanes: int) -> Any:
    """What undoes `lanes_into`: (B, *lane) of an array whose `axis` has the lanes one after another."""
    shape = tuple(y.shape)
    parts = (lanes, shape[axis] // lanes) if lanes else (0, 0)
    apart = (*shape[:axis], *parts, *shape[axis + 1 :])
    if all(n == 1 for n in shape[:axis]):
        return shaped(ops, y, (parts[0], *shape[:axis], parts[1], *shape[axis + 1 :]))
    return lanes_first(ops, shaped(ops, y, apart), axis)


def own_positions(ops: Any, at: Any, count: int) -> Any:
    """(B, …) of positions in an array of all lanes as positions in each lane's own of so many elements; -1 stays."""
    along = (-count, *(0 for _ in at.shape[1:]))
    return ops._locate(at, None, shape=tuple(at.shape), size=max(at.shape[0] * count, 1), step=1, along=along, mode="drop")
