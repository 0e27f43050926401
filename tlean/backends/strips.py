"""The register machine's programs: a group of elementwise ops as loops over blocks and runs of steps whose values stay in registers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tlean._core.table import STEPS

from .graph import GraphNode

#: Steps in one run at most, the last one included.
_MOST_STEPS = 64


def in_chains(nodes: Sequence[GraphNode], suffix: str) -> list[GraphNode]:
    """The same nodes in an order in which, where it can be, each reads what the one before made."""
    made = {n.outputs[0] for n in nodes}
    missing = {id(n): {i for i in n.inputs if i in made} for n in nodes}
    readers: dict[int, list[GraphNode]] = {}
    for n in nodes:
        for i in missing[id(n)]:
            readers.setdefault(i, []).append(n)  # type: ignore[arg-type]
    out: list[GraphNode] = []
    done: set[int] = set()
    at = 0
    while len(out) < len(nodes):
        last = out[-1].outputs[0] if out else -1
        follower = next((n for n in readers.get(last, ()) if not missing[id(n)] and id(n) not in done and is_step(n, suffix)), None)
        if follower is None:
            while id(nodes[at]) in done:
                at += 1
            follower = nodes[at]
        out.append(follower)
        done.add(id(follower))
        for n in readers.get(follower.outputs[0], ()):
            missing[id(n)].discard(follower.outputs[0])
    return out


def is_step(node: GraphNode, suffix: str) -> bool:
    """Whether an op runs in registers; the others are loops over a block."""
    return node.record.name == "broadcast_to" or f"{node.record.kernel}:{suffix}:0" in STEPS


class Runs:
    """The program of a group as numbers: (0, place of an op in the group's ints) for a loop, or a count of steps and the steps.

    A step is (address, first float, number of operands, operands). Values that only the next step reads are not stored.

    Args:
        suffix: of the dtype in the names of kernels.
        operands: for every value what stands for its memory in the group's ints.
        kept: the values that are read in memory after the group.
    """

    def __init__(self, suffix: str, operands: Mapping[int, int], kept: Collection[int]) -> None:
        self.suffix = suffix
        self.operands = operands
        self.kept = kept
        self.numbers: list[int] = []
        self.count = 0
        self._open: list[int] = []
        self._steps = 0
        self._held = -1
        self._any = False

    def add(self, node: GraphNode, reads: Sequence[int], place: int, first: int, following: Sequence[int] | None, last: bool) -> None:
        """The next op.

        Args:
            reads: the values that it reads.
            place: where it stands in the group's ints; its numbers are the floats from `first` on.
            following: what the next op reads; None if that is no step.
            last: whether nobody reads the value after the next op.
        """
        if not is_step(node, self.suffix):
            self.close()
            self.numbers += [0, place]
            self.count += 1
            return
        if self._steps == _MOST_STEPS - 1:
            self.close()
        made = node.outputs[0]
        passed_on = following is not None and list(following).count(made) == 1 and self._steps < _MOST_STEPS - 2
        stores = not passed_on or not last or made in self.kept
        operands = list(reads)
        if node.record.name == "broadcast_to":
            name = f"spread_s:{self.suffix}" if stores else f"spread:{self.suffix}"
        else:
            held = "m"
            if self._held in operands:
                held = str(operands.index(self._held))
                operands.remove(self._held)
            name = f"{node.record.kernel}:{self.suffix}:{held}{'s' if stores else ''}"
        self._step(name, first, [*operands, made] if stores else operands)
        self._held = made if passed_on else -1

    def finish(self) -> list[int]:
        """The numbers of the whole program; none if it has no steps."""
        self.close()
        return self.numbers if self._any else []

    def close(self) -> None:
        """End the run of steps that is open."""
        if self._steps:
            self._step(f"stop:{self.suffix}", 0, ())
            self.numbers += [self._steps, *self._open]
            self.count += 1
            self._any = True
        self._open, self._steps, self._held = [], 0, -1

    def _step(self, name: str, first: int, operands: Sequence[int]) -> None:
        self._open += [STEPS[name], first, len(operands), *(self.operands[v] for v in operands)]
        self._steps += 1
