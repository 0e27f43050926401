"""The check of every plan before it may run.

A kernel trusts its pointers and numbers, so a plan that is wrong reads memory that was never written, or writes what is still needed. The
passes that arrange a plan are checked here by other means than their own: the program is walked once, with a note of which value the bytes
of every buffer hold.

- An operand lies inside a buffer that exists, has as many bytes, and holds its dtype.
- A reader of a value finds it there: it was written before, all of it, and nothing has been written over it since. So two values share
  memory only if their lifetimes are apart. An instruction writes onto its own inputs only where it says that it may.
- An instruction reads what its nodes read, and makes what they make; values are compared by the memory they are, so that views of a value
  count as that value.
- Outputs and states end up with the values that the program returns.
- The numbers that a kernel gets are those of its record (`Target.check`), and what passes know of a call is of its operands.

All but the last are checked whenever a plan is made, which takes about a twelfth of what making it takes. The numbers take up to a third
more, and are checked where the environment has TLEAN_CHECK_PLANS=1, as it has in the tests.

A violation is a PlanError. It is a fault of tlean's, never of a user's program.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from tlean.dtypes import SIZES
from tlean.errors import PlanError
from tlean.ops import Spec

from ..target import COMPUTED, CONST, INPUT, IS_INPUT, NONE, NOWHERE, OUTPUT, SCRATCH, Arrangement, Step, Target

if TYPE_CHECKING:
    from .graph import Graph


#: Whether the numbers of kernels are checked too.
NUMBERS = os.environ.get("TLEAN_CHECK_PLANS", "0") not in ("", "0")

_SPACES = {INPUT: "input", OUTPUT: "output", CONST: "constant"}


def checked(arrangement: Arrangement, target: Target) -> Arrangement:
    """The arrangement itself, if it is right. Raises: PlanError that names the instruction and the operand."""
    PlanCheck(arrangement, target, NUMBERS).run()
    return arrangement


class PlanCheck:
    """A walk through an arrangement. `Target.check` gets it, to look into its own instructions.

    Args:
        numbers: whether the numbers of kernels are checked too.
    """

    def __init__(self, arrangement: Arrangement, target: Target, numbers: bool = True) -> None:
        self.numbers = numbers
        self.arrangement = arrangement
        self.target = target
        self.graph: Graph = arrangement.program.graph
        self.steps: tuple[Step, ...] = arrangement.program.steps
        #: The number of the instruction that is being checked.
        self.at: int = 0
        self.specs: list[Spec] = list(self.graph.specs)
        #: The value that a value is: itself, or for a view the value whose memory it is.
        self.root: list[int] = list(range(len(self.specs)))
        #: For a number spread over an array, the number; values that are the same number, element by element.
        self.number: dict[int, int] = {}
        #: The node that makes a value.
        self.maker: dict[int, Any] = {}
        self._resolve()
        # What a value's memory is called, where it begins and where it ends, once it is known to be right.
        self._known: dict[int, tuple[Any, int, int]] = {}
        #: The values that are in memory now.
        self._intact: set[int] = set()
        self._scratch = _Intervals()
        self._others: dict[Any, int] = {}
        #: The value that a place beyond the graph's is a copy of.
        self._copied: dict[int, int] = {}
        self._temporaries: dict[int, int] = {}
        self._blocked: set[int] = set()
        self._states = {before for _, before, _ in self.graph.states}

    def _resolve(self) -> None:
        root, specs, maker = self.root, self.specs, self.maker
        for node in self.graph.nodes:
            made, record = node.outputs, node.record
            if record.view:
                above = root[made[0]] = root[node.inputs[0]]  # type: ignore[index]
                own, whole = specs[made[0]], specs[above]
                if own.size != whole.size or own.dtype != whole.dtype:
                    raise PlanError(f"a view has the bytes of its value, but %{made[0]} is {own}, a view of {whole}")
            if self.numbers and node.call is not None:
                self._called(node)
            if record.view:
                continue
            for v in made:
                maker[v] = node
            if record.spreads and specs[node.inputs[0]].size == 1:  # type: ignore[index]
                source = root[node.inputs[0]]  # type: ignore[index]
                self.number[made[0]] = self.number.get(source, source)

    def _called(self, node: Any) -> None:
        # What passes know of a call is of that op and of these operands.
        call, specs = node.call, self.specs
        reads = [None if i is None else specs[i] for i in node.inputs]
        if call.record is not node.record or list(call.specs) != reads or call.outs != [specs[v] for v in node.outputs]:
            raise PlanError(f"a node's call is of its operands, but %{node.outputs[0]} of {reads} has that of {call.specs}")

    def run(self) -> None:
        """Walk through the whole program. Raises: PlanError."""
        a = self.arrangement
        for k, v in enumerate(self.graph.inputs):
            if v is not None:
                self._given(v, INPUT, k)
        for k, v in enumerate(self.graph.constants):
            constant = a.constants[k]
            if constant.dtype != self.specs[v].dtype or constant.size != self.specs[v].size:
                raise PlanError(f"constant {k} is {self.specs[v]}, but the array is {constant.shape} {constant.dtype}")
            self._given(v, CONST, k)
        for k, step in enumerate(self.steps):
            self.at = k
            self._step(step, a.temporaries[self.at] if self.at < len(a.temporaries) else ())
        self._end()

    def fault(self, requirement: str, got: str) -> NoReturn:
        """Raise a PlanError of the instruction that is being checked."""
        step = self.steps[self.at]
        raise PlanError(f"instruction {self.at} ({step.kernel}): {requirement}, but {got}. This is a fault of tlean: please report it")

    def _given(self, v: int, kind: int, n: int) -> None:
        if self.arrangement.places[v] != (kind, n):
            raise PlanError(f"{_SPACES[kind]} {n} is where it was given, but %{v} is at {self.arrangement.places[v]}")
        self._others[self.extent(v)[0]] = v
        self._intact.add(v)

    # Where values are ---------------------------------------------------------------------------------------------------

    def extent(self, v: int) -> tuple[Any, int, int]:
        """The memory of a value: which buffer (None: that of the temporaries), its first byte there and its end. Raises: PlanError."""
        found = self._known.get(v)
        if found is None:
            found = self._known[v] = self._extent(v)
        return found

    def spec_of(self, v: int) -> Spec:
        """The spec of a value, or of what is copied to a place beyond the graph's."""
        return self.specs[self._copied.get(v, v)]

    def _extent(self, v: int) -> tuple[Any, int, int]:
        kind, n = self.arrangement.places[v]
        spec = self.specs[v] if v < len(self.specs) else self.spec_of(v)
        size = spec.size * SIZES[spec.dtype]
        if kind == SCRATCH:
            if n < 0 or n + size > self.arrangement.scratch_bytes or n % self.target.alignment:
                found = f"bytes {n} to {n + size} of {self.arrangement.scratch_bytes}"
                self.fault("a temporary lies inside the block of temporaries, aligned", f"%{v} has {found}")
            return None, n, n + size
        if kind == NOWHERE:
            self.fault("an operand has memory", f"%{v} has none")
        if kind == CONST:
            return (kind, n), 0, size
        owner = (self.graph.inputs if kind == INPUT else self.graph.outputs)[n]
        room = None if owner is None else self.specs[owner]
        if room is None or room.dtype != spec.dtype or room.size != spec.size:
            self.fault("a value has the size and dtype of its buffer", f"%{v} is {spec}, {_SPACES[kind]} {n} is {room}")
        return (kind, n), 0, size

    def _write(self, v: int, space: Any, first: int, end: int) -> Sequence[int]:
        # A value, which is there, is in memory from now on; returns those that it was written over.
        if space is None:
            lost = self._scratch.put(first, end, v)
        else:
            before = self._others.get(space)
            lost = [] if before is None else [before]
            self._others[space] = v
        if lost:
            self._intact.difference_update(lost)
        self._intact.add(v)
        return lost

    # One instruction ----------------------------------------------------------------------------------------------------

    def _step(self, step: Step, temporaries: Sequence[int]) -> None:
        known, intact = self._known, self._intact
        for v in step.inputs:
            if v < 0:
                continue
            if v not in known and (v < len(self.specs) or v in self._copied):
                self.extent(v)
            if v not in intact and v not in step.outputs:
                self.fault("a value is written before it is read, and not written over until then", f"%{v} is not in memory")
        if step.blocked or self._blocked:
            self._layouts(step)
        if not step.nodes:
            self._copy(step)
        shared = self._outputs(step)
        if step.scratch or temporaries:
            for size, first in zip(step.scratch, temporaries, strict=True):
                self._temporary(step, first, size)
        if step.nodes:
            self._reads(step)
        if self.numbers:
            self.target.check(self, step, shared)

    def _outputs(self, step: Step) -> dict[int, int]:
        # Which input an output is written onto, by the output's place among the instruction's outputs.
        shared: dict[int, int] = {}
        for j, v in enumerate(step.outputs):
            if v < 0:
                continue
            space, first, end = self._known.get(v) or self.extent(v)
            if space is not None and (space[0] == CONST or (space[0] == INPUT and self.graph.inputs[space[1]] not in self._states)):
                self.fault("an instruction writes to outputs, states and temporaries", f"%{v} is {_SPACES[space[0]]} {space[1]}")
            for lost in self._write(v, space, first, end):
                if lost < 0:
                    # Another kernel's temporaries; -1 among the outputs is one that is never read.
                    continue
                if lost in step.outputs and step.shares.get(lost) != v:
                    self.fault("the results of an instruction lie apart", f"%{v} lies on %{lost}")
                if lost in step.outputs or lost not in step.inputs:
                    continue
                if self._known[lost] != (space, first, end) or not (lost in step.in_place.get(j, ()) or self._updates(step, v, lost)):
                    self.fault("an instruction writes onto an input only where it may", f"%{v} lies on %{lost}")
                shared[j] = lost
        return shared

    def _updates(self, step: Step, made: int, before: int) -> bool:
        # Whether an optimiser's step writes its result k onto its input k; the gradient is between the parameter and the states.
        for node in step.nodes:
            if node.record.updates and made in node.outputs:
                k = node.outputs.index(made)
                return self.root[node.inputs[k + (k > 0)]] == before  # type: ignore[index]
        return False

    def _temporary(self, step: Step, first: int, size: int) -> None:
        if first < 0 or first + size > self.arrangement.scratch_bytes or first % self.target.alignment:
            self.fault("a kernel's temporaries lie inside the block of temporaries", f"bytes {first} to {first + size}")
        lost = self._scratch.put(first, first + size, -1 - first)
        self._intact.difference_update(lost)
        for v in lost:
            if self.at == self._temporaries.get(v) if v < 0 else v in step.inputs or v in step.outputs:
                self.fault("a kernel's temporaries lie apart from its operands", f"bytes {first} to {first + size} are those of %{v}")
        self._temporaries[-1 - first] = self.at

    def _layouts(self, step: Step) -> None:
        # Channels in blocks (`blocked`): a reader of a value counts on the layout that it was written in.
        for v in step.inputs:
            if v >= 0 and (v in step.blocked) != (v in self._blocked) and v not in step.outputs:
                self.fault("a value is read in the layout that it was written in", f"%{v} is read in another")
        self._blocked.update(v for v in step.outputs if v in step.blocked)

    def _copy(self, step: Step) -> None:
        (source,), (made,) = step.inputs, step.outputs
        if made < len(self.specs) or source in self._blocked:
            self.fault("a copy is of a value to a separate place", f"it is of %{source} to %{made}")
        self._copied[made] = self._copied.get(source, source)

    def spreads(self, made: int, number: int | None) -> bool:
        """Whether a value is that number, spread over an array: whatever it was spread over on the way is the same number."""
        if made not in self.number or number is None or number < 0 or self.specs[number].size != 1:
            return False
        return self.number.get(number, number) == self.number[made]

    def _reads(self, step: Step) -> None:
        # A single op's instruction has exactly its node's operands; others have them all.
        root = self.root
        if len(step.nodes) == 1 and len(step.inputs) == len(step.nodes[0].inputs):
            node = step.nodes[0]
            wanted = tuple([-1 if i is None else root[i] for i in node.inputs])
            same = step.inputs == wanted or (len(wanted) == 1 and self.spreads(node.outputs[0], step.inputs[0]))
            made = step.outputs == node.outputs or all(v in (-1, w) for v, w in zip(step.outputs, node.outputs, strict=True))
            if not (same and made):
                self.fault("an instruction has its node's operands", f"it has {step.outputs}, {step.inputs} for {node.outputs}, {wanted}")
            return
        found = set(step.inputs)
        for node in step.nodes:
            for i in node.inputs:
                if i is None or root[i] in found or any(self.spreads(node.outputs[0], v) for v in found):
                    continue
                # What an outer product is made of represents it.
                maker = self.maker.get(root[i])
                if maker is None or not node.record.updates or not found.issuperset(root[f] for f in maker.inputs if f is not None):
                    self.fault("an instruction reads what its nodes read", f"%{root[i]} is not among its inputs")
            found.update(node.outputs)
        for v in step.outputs:
            if v >= 0 and v not in found:
                self.fault("an instruction makes what its nodes make", f"%{v} is not among that")

    # The end ------------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        graph = self.graph
        for name, before, after in graph.states:
            found = self._holds((INPUT, graph.inputs.index(before)))
            if found != self.root[after]:
                raise PlanError(f"state {name!r} ends as %{self.root[after]}, but its memory holds %{found}")
        for j, (value, (kind, n, writer)) in enumerate(zip(graph.outputs, self.arrangement.outputs, strict=True)):
            found = None if kind == NONE else graph.inputs[n] if kind == IS_INPUT else self._holds((OUTPUT, j))
            wanted = None if value is None else self.root[value]
            if found != wanted or (kind == NONE) != (value is None) or (kind == IS_INPUT and found in self._states):
                raise PlanError(f"output {j} is %{wanted}, but its memory holds %{found}")
            if writer >= 0:
                self._added_to(j, writer, kind)

    def _holds(self, space: Any) -> int | None:
        found = self._others.get(space)
        return None if found is None else self._copied.get(found, found)

    def _added_to(self, j: int, writer: int, kind: int) -> None:
        # An instruction that may add into an output: what is there before is the caller's, so nothing else reads or writes it.
        if writer >= len(self.steps):
            raise PlanError(f"instruction {writer} adds into output {j}, but there are {len(self.steps)}")
        self.at = writer
        step = self.steps[writer]
        made = step.outputs[0]
        alone = sum(made in s.inputs for s in self.steps) == 0 and sum(made in s.outputs for s in self.steps) == 1
        if kind != COMPUTED or not step.accumulates or len(step.outputs) != 1 or self.extent(made)[0] != (OUTPUT, j) or not alone:
            self.fault("an instruction that adds into an output is the only one to touch it", f"output {j} is %{made}")


class _Intervals:
    # Which value holds which bytes. The intervals are apart, in order.
    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._entries: list[tuple[int, int]] = []

    def put(self, first: int, end: int, value: int) -> Sequence[int]:
        """From now on bytes first … end − 1 hold that value; returns the values that held some of them."""
        if first == end:
            return ()
        firsts, entries = self._firsts, self._entries
        low = bisect_left(firsts, first)
        if low < len(firsts) and firsts[low] == first and entries[low][0] == end and (low == 0 or entries[low - 1][0] <= first):
            # The very bytes of another value, as mostly.
            lost = (entries[low][1],)
            entries[low] = end, value
            return lost
        if low and entries[low - 1][0] > first:
            low -= 1
        high = low
        while high < len(firsts) and firsts[high] < end:
            high += 1
        over = [v for _, v in entries[low:high]]
        firsts[low:high] = [first]
        entries[low:high] = [(end, value)]
        return over
