"""What a fused group gets, checked: its numbers are a program, followed op by op with a note of what each slot and output holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from tlean._core.table import INNER, KERNELS, MODULES, STEPS
from tlean.dtypes import FLOATS, SIZES, SUFFIX
from tlean.ops.layout import CONVERSIONS, conversion_op

from ..chain_code import (
    BLOCK,
    BYTES,
    COLUMN,
    COLUMNS,
    LOGSUMEXP,
    OFFSET,
    OUTPUT,
    POINTER,
    RANGE,
    REPEATED,
    ROW,
    ROWS,
    SCALAR,
    SIZED,
    SLOT,
    STRETCH,
    SUM,
    TOTAL,
    ChainCode,
    Op,
    RunStep,
    Stretched,
    Sum,
)
from ..graph import GraphNode
from ..passes.tails import part_of_sum, tail_kernel, tile_rows
from ..target import IN_BOX, IN_RANGE, Step, works_in
from .plan_check import PlanCheck

#: The address of a step of the register machine -> its name.
_STEP_NAMES = {address: name.split(":") for name, address in STEPS.items()}
_SEGMENT, _STRIP = MODULES["reduce"].SEGMENT_LENGTH, MODULES["elementwise"].STRIP_BYTES
#: How many floats a loop takes, by the record's name.
_FLOATS: dict[str, int] = {}
#: Kernels that move elements: in a group they have no loop, and no floats.
_PLACED = ("strided_copy", "_in_range")


class Group:
    """The program of a fused group.

    Args:
        check: of the plan.
        step: the instruction.
        shared: values that live in the memory of others.
    """

    nodes: tuple[GraphNode, ...]
    sums: tuple[GraphNode, ...]

    def __init__(self, check: PlanCheck, step: Step, shared: Mapping[int, int]) -> None:
        self.plan = check
        self.step = step
        self.code: ChainCode = ChainCode.decode(step.ints)
        count = len(self.code.ops)
        self.nodes, self.sums = step.nodes[:count], step.nodes[count:]
        self.visible: int = len(step.outputs) - len(self.sums)
        if len(self.code.sums) != len(self.sums) or len(self.nodes) != count or not self.nodes:
            self.fault(f"{count} ops and {len(self.code.sums)} sums for {len(step.nodes)} nodes")
        self.elements: int = check.graph.specs[self.nodes[0].outputs[0]].size
        #: What fills a box of an output, by the number of that among the outputs.
        self.boxes: dict[int, GraphNode] = {step.outputs.index(n.outputs[0]): n for n in self.nodes if n.record is IN_BOX}
        #: A group computes in one dtype: that of a value, unless it is a Boolean made of one.
        node = self.nodes[0]
        made = check.graph.specs[node.outputs[0]].dtype
        self.dtype: str = made if made in FLOATS else check.graph.specs[node.inputs[0]].dtype  # type: ignore[index]
        self.suffix: str = SUFFIX[self.dtype]
        #: The values of other dtypes, which conversions read, and the Booleans that they make.
        self.sized: dict[int, int] = {
            v: SIZED + BYTES * SIZES[check.graph.specs[v].dtype]
            for n in self.nodes
            if n.record.name in CONVERSIONS
            for v in (check.root[n.inputs[0]], n.outputs[0])  # type: ignore[index]
            if check.graph.specs[v].dtype != self.dtype
        }
        # The values by operand, and how many slots hold some.
        self.holds: dict[int, int] = {}
        self.slots: int = 0
        # The operands that are written onto where an output is.
        self.lost: dict[int, list[int]] = {OUTPUT + j: [k for k, v in enumerate(step.inputs) if v == lost] for j, lost in shared.items()}
        parts = {check.root[n.inputs[0]] for n in self.nodes if n.record.kernel == "strided_copy" and not n.record.spreads}  # type: ignore[index]
        if (
            not parts.isdisjoint(shared.values())
            or any(j >= self.visible for j in shared)
            or any(check.graph.specs[v].size != self.elements for v in shared.values())
        ):
            self.fault(f"outputs {shared} on inputs")

    def fault(self, got: str) -> NoReturn:
        self.plan.fault("the numbers of a group do what its nodes do", got)

    def check(self) -> None:
        self._header()
        specs = self.plan.graph.specs
        for k, v in enumerate((*self.step.inputs, *(n.outputs[0] for n in self.step.nodes))):
            if v < 0 or (specs[v].dtype != self.dtype and v not in self.sized):
                self.fault(f"input {k} is %{v}")
        for k, v in enumerate(self.step.inputs):
            if specs[v].size == self.elements:
                self.holds[self.sized.get(v, 0) + k] = v
            if specs[v].size == 1 and v not in self.sized:
                self.holds[SCALAR + k] = v
        if self.step.blocked:
            layouts = {v in self.step.blocked for v in (*self.step.inputs, *self.step.outputs) if specs[v].size == self.elements}
            if len(layouts) > 1 or (True in layouts and self.sums):
                self.fault("values in different layouts")
        self._inputs_that_repeat()
        self._rows()
        before = dict(self.holds)
        self._ops()
        self._made()
        if any(not (code in before or OUTPUT <= code < OUTPUT + self.visible) for code in self.code.fetched):
            self.fault(f"operands {self.code.fetched} are fetched ahead")
        if self.code.runs:
            self.holds = before
            self._runs()
            self._made()

    def _inputs_that_repeat(self) -> None:
        # Stretched inputs are inputs, and the rows lie apart behind the slots.
        end, block = 0, min(self.code.header.block, self.elements)
        for j, s in enumerate(self.code.stretched):
            if s.kind == RANGE:
                self._box(s)
                continue
            if not 0 <= s.input < len(self.step.inputs) or (s.room != (end if s.kind == ROW else 0) and s.kind != OFFSET):
                self.fault(f"stretched input {j} is {s}")
            self.holds[REPEATED + j] = self.step.inputs[s.input]
            end += (s.length + block + 15) // 16 * 16 if s.kind == ROW else 0
        if end != self.code.header.room:
            self.fault(f"rows end at {end} of {self.code.header.room}")

    def _box(self, s: Stretched) -> None:
        # A box is that of its node, lies in its output, and has what is not in it from where the node has that.
        node = self.boxes.get(s.input)
        if node is None or self.sums or self.step.in_place.get(s.input):
            self.fault(f"a box {s} of no output")
        base = node.inputs[1]
        offset, *axes = node.record.kernel_params(self.plan.graph._specs_of(node.inputs), node.options)[0]
        count, lead = len(axes) // 2, axes[0]
        sizes, strides = axes[1:count], axes[count + 1 :]
        reach = lead + 1 + sum((n - 1) * k for n, k in zip(sizes, strides, strict=True))
        fits = (
            strides[-1] == 1
            and lead >= 0
            and reach == self.elements
            and offset >= 0
            and offset + reach <= self.plan.graph.specs[node.outputs[0]].size
        )
        apart = all(a >= b * n for a, b, n in zip(strides, strides[1:], sizes[1:], strict=False))
        filled = s.length == 0 if base is None else self.step.inputs[s.length - 1 :][:1] == (self.plan.root[base],) and s.length > 0
        if not (fits and apart and filled) or (s.room, s.axes) != (offset, tuple(axes)):
            self.fault(f"a box {s} for {offset}, {axes}")

    def _fills(self, node: GraphNode, op: Op) -> None:
        # An op that fills a box: what it puts there has been written there.
        wrong = op.loop != STRETCH or op.operands != (op.target,) or not REPEATED <= op.target < REPEATED + len(self.code.stretched)
        if wrong or self.holds.get(op.target) != self.plan.root[node.inputs[0]]:  # type: ignore[index]
            self.fault(f"{node.record.name} is {op}")
        box = self.code.stretched[op.target - REPEATED]
        if box.kind != RANGE or self.boxes.get(box.input) is not node:
            self.fault(f"{node.record.name} fills {box}")
        self.holds[OUTPUT + box.input] = node.outputs[0]

    def _header(self) -> None:
        header, item = self.code.header, SIZES[self.dtype]
        reduce_sum, machine = KERNELS[f"reduce_sum:{self.suffix}"], STEPS[f"run:{self.suffix}"]
        wanted = header._replace(elements=self.elements, itemsize=item, segment=_SEGMENT, strip=_STRIP // item)
        wanted = wanted._replace(stretcher=STEPS[f"stretch:{self.suffix}"])
        wanted = wanted._replace(part=part_of_sum(self.dtype), sum_part=KERNELS[f"sum_part:{self.suffix}"])
        if header != wanted._replace(reduce_sum=reduce_sum, machine=machine) or header.block < 1:
            self.fault(f"the header {header} for {wanted}")

    def _ops(self) -> None:
        # The loops, one after another.
        specs, used = self.plan.graph.specs, 0
        for node, op in zip(self.nodes, self.code.ops, strict=True):
            record = node.record
            if record is IN_BOX:
                self._fills(node, op)
                continue
            stretches = self._stretches(node)
            self._same(node, self._read(op))
            if stretches:
                right = self._repeats(node, op)
            elif record.kernel in _PLACED and not record.spreads:
                right = op.loop == STRETCH and self._ranges(node, op)
            elif record.spreads:
                right = op.loop == 0 and all(code >= SCALAR or self.elements == 1 for code in op.operands)
            else:
                suffix = SUFFIX[works_in(self.plan.graph, node)]
                right = op.loop == INNER.get(f"{record.kernel}:{suffix}") and op.loop != 0 and record.host is None
            takes = _FLOATS.get(record.name, -1)
            if takes:
                moves = record.spreads or record.kernel in _PLACED
                own = () if moves else record.kernel_params(self.plan.graph._specs_of(node.inputs), node.options)[1]
                takes = _FLOATS[record.name] = len(own)
                right &= all(a == b or b != b for a, b in zip(self.step.floats[op.floats : op.floats + takes], own, strict=False))
            if not right or op.floats != used or specs[node.outputs[0]].size != self.elements:
                self.fault(f"{record.name} runs by {op.loop} with floats from {op.floats} on, not {used}")
            if self.step.accumulates and OUTPUT in op.operands:
                self.fault(f"{record.name} reads what the group adds to what is there")
            used += takes
            self._put(op.target, node.outputs[0])
        for k, (node, tail) in enumerate(zip(self.sums, self.code.sums, strict=True)):
            own = self._tail(node, tail)
            if tail.output != self.visible + k or tail.floats != used or self.step.floats[used : used + len(own)] != own:
                self.fault(f"sum {k} goes to output {tail.output} with floats from {tail.floats} on")
            if self.step.outputs[tail.output] != node.outputs[0]:
                self.fault(f"sum {k} is {node.record.name}, %{node.outputs[0]}")
            used += len(own)
        # One after another they are numbered from 0 on.
        if self.slots != self.code.header.slots or used != len(self.step.floats):
            self.fault(f"{self.slots} slots and {used} floats for {self.code.header.slots} and {len(self.step.floats)}")

    def _read(self, op: Op) -> list[int | None]:
        # The values that a loop reads.
        return [self.holds.get(code) for code in op.operands]

    def _stretches(self, node: GraphNode) -> bool:
        return node.record.spreads and self.plan.graph.specs[node.inputs[0]].size > 1  # type: ignore[index]

    def _repeats(self, node: GraphNode, op: Op) -> bool:
        # Whether the op of a group stretches its input as the node does.
        s = self.code.stretched[op.operands[0] - REPEATED]
        count, *axes = node.record.kernel_params(self.plan.graph._specs_of(node.inputs), node.options)[0][1:]
        if s.axes != tuple(axes) or (op.target >= REPEATED and op.target != op.operands[0]):
            return False
        in_place = op.target >= REPEATED
        if s.kind == ROW:
            return in_place and axes[count] == 0 and s.length == self.elements // axes[0] and op.loop == STRETCH
        if s.kind == POINTER:
            return in_place and axes[-1] == 1 and s.length == axes[count - 1] and op.loop == STRETCH
        fits = s.length == 0 if s.kind == BLOCK else axes[-1] == 0 and s.length == axes[count - 1] >= self.code.header.strip
        return fits and s.kind in (BLOCK, COLUMN) and not in_place and op.loop == STRETCH

    def _ranges(self, node: GraphNode, op: Op) -> bool:
        # Whether the op of a group takes the elements that the node does, and none that its input has not.
        s = self.code.stretched[op.operands[0] - REPEATED]
        offset, *axes = node.record.kernel_params(self.plan.graph._specs_of(node.inputs), node.options)[0]
        if node.record is not IN_RANGE:
            return (s.kind, s.room, axes) == (OFFSET, offset, [1, self.elements, 1]) and op.target == op.operands[0]
        rows, pitch, width, _ = axes
        inside = self.elements == (rows - 1) * pitch + width and width <= pitch <= 2 * width
        return inside and (s.kind, s.room, s.length, s.axes) == (BLOCK, 0, 0, tuple(axes)) and op.target < REPEATED

    def _tail(self, node: GraphNode, tail: Sum) -> tuple[float, ...]:
        # The floats of a sum, which is what its node's kernel computes of whole rows.
        ints, floats = node.record.kernel_params(self.plan.graph._specs_of(node.inputs), node.options)
        header, dtype = self.code.header, self.dtype
        width, narrow = header.width, MODULES["reduce"].NARROW_ROWS
        rows = self.elements // width if width else 0
        wanted = {
            TOTAL: ("reduce_sum", (1, 1, self.elements)),
            ROWS: ("reduce_sum", (2, 0, rows, width)),
            COLUMNS: ("reduce_sum", (2, 1, rows, width)),
            LOGSUMEXP: ("logsumexp", (rows, width, 1)),
        }.get(tail.kind)
        right = (
            (node.record.kernel, ints) == wanted and (tail.kind == TOTAL) == (width == 0) and tail.kernel == tail_kernel(tail.kind, dtype)
        )
        if not right or not 0 <= tail.value < header.values or (tail.kind == COLUMNS and width < narrow):
            self.fault(f"{node.record.name} of {ints} is {tail} of {header}")
        return floats

    def _rows(self) -> None:
        # Rows that are summed are whole, lie in a tile, and none is in two blocks of 64 or in two segments of a sum.
        header = self.code.header
        numbers = header.width, header.tile, header.share, header.values, header.add_rows
        values = len({self.plan.root[node.inputs[0]] for node in self.sums})  # type: ignore[index]
        right = numbers[3:] == (values, tail_kernel(COLUMNS, self.dtype))
        if header.width:
            right &= self.elements % header.width == 0 and header.tile in (8, 16, 32, 64) and self.code.sums != ()
            right &= header.share == MODULES["reduce"].segment_rows(header.width) and header.width <= _SEGMENT
            right &= header.tile == tile_rows(header.width, header.itemsize, values)
        else:
            right &= header.tile == header.share == 0
        if not right:
            self.fault(f"rows of {numbers}")

    def _put(self, target: int, made: int) -> None:
        # A value is written: to a slot, an output, or where a sum finds it.
        rooms = (
            (OUTPUT, self.visible),
            (SLOT, self.code.header.slots),
            (SUM, self.code.header.values),
            (REPEATED, len(self.code.stretched)),
        )
        target -= self.sized.get(made, 0)
        if not any(first <= target < first + count for first, count in rooms[: 1 if made in self.sized else None]):
            self.fault(f"%{made} goes to operand {target}")
        if SLOT <= target < SUM:
            self.slots = max(self.slots, target - SLOT + 1)
        for code in self.lost.get(target, ()):
            self.holds.pop(code, None)
        self.holds[self.sized.get(made, 0) + target] = made

    def _made(self) -> None:
        # What the group is to make is where others find it, and what it sums is where the sums find it.
        for j, v in enumerate(self.step.outputs[: self.visible]):
            code = OUTPUT + j + self.sized.get(v, 0)
            if self.holds.get(code) != v:
                self.fault(f"output {j} holds %{self.holds.get(code)}, not %{v}")
        for k, (node, tail) in enumerate(zip(self.sums, self.code.sums, strict=True)):
            if self.holds.get(SUM + tail.value) != self.plan.root[node.inputs[0]]:  # type: ignore[index]
                self.fault(f"sum {k} is of %{self.holds.get(SUM + tail.value)}")

    def _runs(self) -> None:
        # The same in registers: a run hands the value of a step to the next.
        k = 0
        for run in self.code.runs:
            if isinstance(run, int):
                if run != k:
                    self.fault(f"op {run} runs for number {k}")
                if self.nodes[k].record is IN_BOX:
                    self._fills(self.nodes[k], self.code.ops[k])
                else:
                    self._same(self.nodes[k], self._read(self.code.ops[k]))
                    self._put(self.code.ops[k].target, self.nodes[k].outputs[0])
                k += 1
                continue
            held = None
            for step in run[:-1]:
                if k >= len(self.nodes):
                    self.fault("a run has more steps than there are ops")
                held = self._register(self.nodes[k], self.code.ops[k].floats, step, held)
                k += 1
            if _STEP_NAMES.get(run[-1].address) != ["stop", self.suffix] or run[-1].floats or run[-1].operands:
                self.fault(f"a run ends with {run[-1]}")
        if k != len(self.nodes):
            self.fault(f"the runs make {k} of {len(self.nodes)} ops")

    def _register(self, node: GraphNode, floats: int, step: RunStep, held: int | None) -> int:
        # One step of a run; returns the value that it leaves in the registers.
        name = _STEP_NAMES.get(step.address, [""])
        left = node.outputs[0]
        if node.record.spreads:
            way = "spread" if self.plan.graph.specs[node.inputs[0]].size == 1 else "column"  # type: ignore[index]
            stores, right, at = name[0] == f"{way}_s", name[0] in (way, f"{way}_s"), "m"
            right &= way == "spread" or self.code.stretched[step.operands[0] - REPEATED].kind == COLUMN
        elif node.record.name == conversion_op("bool"):
            # Its Booleans are stored, and the registers stay as they are.
            stores, right, at = True, name[0] in ("truth_0", "truth_m"), name[0][-1:]
            left = self.plan.root[node.inputs[0]]  # type: ignore[index]
        elif node.record.name in CONVERSIONS:
            stores, right, at = name[0] == "bytes_s", name[0] in ("bytes", "bytes_s") and self._of_bytes(node), "m"
        else:
            how = name[2] if len(name) == 3 else ""
            stores, right, at = how[-1:] == "s", name[0] == node.record.kernel, how[:1]
        reads = [self.holds.get(code) for code in (step.operands[:-1] if stores else step.operands)]
        if at != "m":
            reads.insert(int(at or 0), held)
        if not right or step.floats != floats or name[1] != self.suffix:
            self.fault(f"{node.record.name} runs by {':'.join(name)}")
        self._same(node, reads)
        if stores:
            self._put(step.operands[-1], node.outputs[0])
        # Booleans of numbers that were in memory leave these in the registers.
        return left

    def _of_bytes(self, node: GraphNode) -> bool:
        return self.plan.graph.specs[node.inputs[0]].dtype == "bool"  # type: ignore[index]

    def _same(self, node: GraphNode, values: Sequence[int | None]) -> None:
        wanted = [self.plan.root[i] for i in node.inputs]  # type: ignore[index]
        if list(values) != wanted and not (len(values) == 1 and self.plan.spreads(node.outputs[0], values[0])):
            self.fault(f"{node.record.name} reads {list(values)} for {wanted}")
