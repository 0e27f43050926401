"""What CPU kernels get, checked before a plan may run (`plan_check`): the operands and the numbers of their record, no more and no fewer.

A fused group's numbers are a program. It is followed op by op, with a note of what each slot and each output holds: every op
reads what its node reads, and what the group is to make is where it should be at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tlean._core.plan import callback, chain, epilogue, outer_update
from tlean._core.table import ACCUMULATES, INNER, KERNELS, MODULES, PRODUCERS, STEPS
from tlean.dtypes import SIZES, SUFFIX, WORDS

from .graph import GraphNode
from .passes.channel_blocks import CONVOLUTIONS
from .plan_check import PlanCheck
from .target import Step

#: Operands of a group; see fused.pyx.
_OUTPUT, _SLOT, _SUM, _SCALAR = 1 << 20, 1 << 21, 1 << 22, 1 << 23
_HEADER = 13
#: The same of an instruction with an epilogue; see epilogue.pyx.
_EPILOGUE_HEADER = 5
#: The address of a step of the register machine -> its name.
_STEP_NAMES = {address: name.split(":") for name, address in STEPS.items()}
_SEGMENT, _STRIP = MODULES["reduce"].SEGMENT_LENGTH, MODULES["elementwise"].STRIP_BYTES
#: How many floats a loop takes, by the record's name.
_FLOATS: dict[str, int] = {}


def check_instruction(check: PlanCheck, step: Step, shared: Mapping[int, int]) -> None:
    """Check one instruction. `shared` are the inputs that outputs are written onto. Raises: PlanError."""
    try:
        _check(check, step, shared)
    except (IndexError, KeyError, ValueError) as error:
        check.fault("an instruction has numbers that can be followed", f"following {step.ints} ends in {error!r}")


def _check(check: PlanCheck, step: Step, shared: Mapping[int, int]) -> None:
    if step.code != epilogue.ADDRESS and not set(step.inputs).isdisjoint(v for v in step.outputs if v >= 0):
        check.fault("an instruction reads what others made", f"it reads {step.inputs} and makes {step.outputs}")
    if not step.nodes:
        _copy(check, step)
    elif step.code == chain.ADDRESS:
        _Group(check, step.inputs, step.outputs, step.nodes, step.ints, step.floats, shared).check(step.accumulates)
    elif step.code == epilogue.ADDRESS:
        _epilogue(check, step, shared)
    elif step.code == outer_update.ADDRESS:
        _outer(check, step)
    elif len(step.nodes) != 1:
        check.fault("an instruction of several ops is a group", f"it is of {len(step.nodes)}")
    else:
        _kernel(check, step.nodes[0], step.kernel, step.code, step.ints, step.floats, KERNELS, step.blocked)
        updates = step.nodes[0].record.updates
        if (step.accumulates or (shared and not updates)) and (step.kernel not in ACCUMULATES or step.code == callback.ADDRESS):
            check.fault("a kernel that adds into its output, or writes onto an input, goes element by element", f"{step.kernel} does not")


def _copy(check: PlanCheck, step: Step) -> None:
    spec = check.spec_of(step.inputs[0])
    if step.code != KERNELS[f"copy:{WORDS.get(spec.dtype, '')}"] or step.ints != (spec.size,) or step.floats:
        check.fault("a copy is of the whole value", f"it has the numbers {step.ints} for {spec}")


def _kernel(
    check: PlanCheck,
    node: GraphNode,
    kernel: str,
    code: int,
    ints: tuple[int, ...],
    floats: tuple[float, ...],
    table: Mapping[str, int],
    blocked: tuple[int, ...] = (),
) -> None:
    # One op by its own kernel; in `table` are the addresses.
    record, suffix = node.record, SUFFIX[check.graph.dtype]
    specs = tuple([None if i is None else check.graph.specs[i] for i in node.inputs])
    if record.host is not None:
        wanted = callback.numbers(ints[0], _pairs([check.graph.specs[v] for v in node.outputs]), _pairs(specs))
        if code != callback.ADDRESS or ints != wanted or floats:
            check.fault("a call into Python gets the numbers of its operands", f"{record.name} has {ints} for {wanted}")
        return
    own_ints, own_floats = record.kernel_params(specs, node.options)
    name = record.kernel
    if blocked and kernel == f"{name}_blocked":
        # The kernel for blocks takes the same numbers and which operands are in blocks; a sum to channels (images, channels, positions).
        name = kernel
        operands = (*node.outputs, *(None if i is None else check.root[i] for i in node.inputs))
        _, places = CONVOLUTIONS.get(record.kernel, (False, ()))
        which = sum(1 << bit for bit, (k, _) in enumerate(places) if operands[k] in blocked)
        own_ints = (*own_ints, which) if places else (1, *own_ints[2:])[-3:]
    if kernel != name or code != table.get(f"{name}:{suffix}"):
        check.fault("a node runs by its record's kernel", f"{record.name} runs by {kernel}")
    if ints != own_ints or len(floats) != len(own_floats) or any(a != b and a == a for a, b in zip(floats, own_floats, strict=True)):
        check.fault("a kernel gets its record's numbers", f"{record.name} gets {ints}, {floats} for {own_ints}, {own_floats}")


def _pairs(specs: Sequence) -> list:
    return [None if s is None else (s.shape, s.dtype) for s in specs]


def _epilogue(check: PlanCheck, step: Step, shared: Mapping[int, int]) -> None:
    # A kernel and the group that runs over each part of its result: the group writes nothing that the kernel still reads.
    node, *rest = step.nodes
    entry, n_out, n_in, n_ints, n_floats = step.ints[:_EPILOGUE_HEADER]
    ints = step.ints[_EPILOGUE_HEADER : _EPILOGUE_HEADER + n_ints]
    name = f"{node.record.kernel}:{SUFFIX[check.graph.dtype]}"
    blocked = f"{node.record.kernel}_blocked:{SUFFIX[check.graph.dtype]}"
    kernel = node.record.kernel if entry == PRODUCERS.get(name) else f"{node.record.kernel}_blocked"
    if entry not in (PRODUCERS.get(name), PRODUCERS.get(blocked)) or node.record.host is not None:
        check.fault("a kernel with an epilogue reports its parts", f"{node.record.name} does not")
    if min(n_out, n_in, n_ints, n_floats) < 0 or len(step.floats) < n_floats:
        check.fault("a kernel gets its record's numbers", f"{node.record.name} gets {step.ints[:_EPILOGUE_HEADER]}")
    _kernel(check, node, kernel, entry, ints, step.floats[:n_floats], PRODUCERS, step.blocked)
    wanted = tuple([-1 if i is None else check.root[i] for i in node.inputs])
    if step.inputs[:n_in] != wanted or len(node.outputs) != n_out or step.outputs[0] != node.outputs[0]:
        check.fault("an instruction has its node's operands", f"{node.record.name} has {step.inputs[:n_in]} for {wanted}")
    result = node.outputs[0]
    outputs = step.outputs[n_out:]
    if any(v in outputs or v in node.outputs[1:] for v in step.inputs) or result in step.inputs[:n_in]:
        check.fault("an epilogue reads its kernel's result and what others made", f"it reads {step.inputs[n_in:]}")
    first_group_input = {v: k for k, v in reversed(list(enumerate(step.inputs[n_in:])))}
    inside: dict[int, int] = {}
    for j, v in shared.items():
        if j < n_out or v in wanted or v not in first_group_input:
            check.fault("an epilogue writes onto nothing that its kernel reads", f"%{step.outputs[j]} lies on %{v}")
        inside[j - n_out] = v
    for v, other in step.shares.items():
        if v != result or other not in outputs or result not in first_group_input:
            check.fault("only a result that its epilogue alone reads lives in the epilogue's output", f"%{v} lives in %{other}")
        inside[outputs.index(other)] = v
    numbers = step.ints[_EPILOGUE_HEADER + n_ints :]
    _Group(check, step.inputs[n_in:], outputs, rest, numbers, step.floats[n_floats:], inside).check(False)


def _outer(check: PlanCheck, step: Step) -> None:
    # The step of an optimiser whose gradient u vᵀ is a product that no instruction makes.
    node, graph, root = step.nodes[0], check.graph, check.root
    parameter, gradient, *others = [root[i] for i in node.inputs]  # type: ignore[index]
    product = check.maker.get(gradient)
    if len(step.nodes) != 1 or not node.record.updates or product is None or product.record.kernel != "matmul":
        check.fault(
            "the step of an outer product is an optimiser's, its gradient a product", f"it is {[n.record.name for n in step.nodes]}"
        )
    u, v = [root[i] for i in product.inputs[:2]]
    shape, suffix = graph.specs[gradient].shape, SUFFIX[graph.dtype]
    wanted = (KERNELS[f"{node.record.kernel}:{suffix}"], INNER[f"scale:{suffix}"], *shape, SIZES[graph.dtype], len(node.outputs) - 1)
    sizes = (graph.specs[u].size, graph.specs[v].size)
    if step.inputs != (parameter, u, v, *others) or step.outputs != node.outputs or step.ints != wanted or step.floats or sizes != shape:
        check.fault("the step of an outer product has its operands and numbers", f"it has {step.inputs}, {step.ints} for {wanted}")


class _Group:
    # The program of a fused group.
    def __init__(
        self,
        check: PlanCheck,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        nodes: Sequence[GraphNode],
        ints: tuple[int, ...],
        floats: tuple[float, ...],
        shared: Mapping[int, int],
    ) -> None:
        self.plan = check
        self.inputs = inputs
        self.outputs = outputs
        self._slots = 0
        self.ints = ints
        self.floats = floats
        self.suffix = SUFFIX[check.graph.dtype]
        self.count = ints[3] if len(ints) >= _HEADER else 0
        self.nodes, self.sums = nodes[: self.count], nodes[self.count :]
        self.visible = len(outputs) - len(self.sums)
        if len(ints) < _HEADER or ints[5] != len(self.sums) or len(self.nodes) != self.count or not self.nodes:
            self.fault(f"{self.count} ops and {ints[5:6]} sums for {len(nodes)} nodes")
        self.elements = check.graph.specs[self.nodes[0].outputs[0]].size
        # The operands that are written onto where an output is.
        self.lost = {_OUTPUT + j: [k for k, v in enumerate(inputs) if v == lost] for j, lost in shared.items()}
        if any(j >= self.visible for j in shared) or any(check.graph.specs[v].size != self.elements for v in shared.values()):
            self.fault(f"outputs {shared} on inputs")

    def fault(self, got: str) -> None:
        self.plan.fault("the numbers of a group do what its nodes do", got)

    def check(self, accumulates: bool) -> None:
        ints, specs, dtype = self.ints, self.plan.graph.specs, self.plan.graph.dtype
        wanted = (
            self.elements,
            SIZES[dtype],
            _SEGMENT,
            KERNELS[f"reduce_sum:{self.suffix}"],
            STEPS[f"run:{self.suffix}"],
            _STRIP // SIZES[dtype],
        )
        if (ints[0], ints[1], ints[6], ints[7], ints[11], ints[12]) != wanted or ints[2] < 1 or ints[9] < 0 or ints[10] < 0:
            self.fault(f"the header {ints[:_HEADER]} for {self.elements} elements of {dtype}")
        self.holds: dict[int, int] = {}
        for k, v in enumerate(self.inputs):
            if v < 0 or specs[v].dtype != dtype:
                self.fault(f"input {k} is %{v}")
            if specs[v].size == self.elements:
                self.holds[k] = v
            if specs[v].size == 1:
                self.holds[_SCALAR + k] = v
        blocked = self.plan.steps[self.plan.at].blocked
        if blocked:
            layouts = {v in blocked for v in (*self.inputs, *self.outputs) if specs[v].size == self.elements}
            if len(layouts) > 1 or (True in layouts and self.sums):
                self.fault("values in different layouts")
        before = dict(self.holds)
        places = self._ops(accumulates)
        self._made()
        far = ints[ints[8] : ints[8] + ints[9]]
        if len(far) != ints[9] or any(not (code in before or _OUTPUT <= code < _OUTPUT + self.visible) for code in far):
            self.fault(f"operands {far} are fetched ahead")
        if not ints[10] and len(ints) != ints[8] + ints[9]:
            self.fault(f"{len(ints)} ints")
        if ints[10]:
            self.holds = before
            self._runs(places)
            self._made()

    def _ops(self, accumulates: bool) -> list[int]:
        # The loops, one after another; returns the place of each.
        ints, floats, specs, root = self.ints, self.floats, self.plan.graph.specs, self.plan.root
        holds, suffix, used = self.holds, self.suffix, 0
        at = _HEADER + 2 * len(self.sums)
        places = []
        for node in self.nodes:
            record = node.record
            inner, first, target, count = ints[at : at + 4]
            found = [holds.get(code) for code in ints[at + 4 : at + 4 + count]]
            wanted = [root[i] for i in node.inputs]  # type: ignore[index]
            spread = record.name == "broadcast_to"
            if found != wanted and not (len(found) == 1 and self.plan.spreads(node.outputs[0], found[0])):
                self.fault(f"{record.name} reads {found} for {wanted}")
            if spread:
                right = inner == 0 and all(code >= _SCALAR or self.elements == 1 for code in ints[at + 4 : at + 4 + count])
            else:
                right = inner == INNER.get(f"{record.kernel}:{suffix}") and inner != 0 and record.host is None
            takes = _FLOATS.get(record.name, -1)
            if takes:
                own = () if spread else record.kernel_params(tuple([specs[i] for i in node.inputs]), node.options)[1]  # type: ignore[index]
                takes = _FLOATS[record.name] = len(own)
                right &= all(a == b or b != b for a, b in zip(floats[first : first + takes], own, strict=False))
            if not right or first != used or specs[node.outputs[0]].size != self.elements:
                self.fault(f"{record.name} runs by {inner} with floats from {first} on, not {used}")
            if accumulates and any(code == _OUTPUT for code in ints[at + 4 : at + 4 + count]):
                self.fault(f"{record.name} reads what the group adds to what is there")
            used += takes
            self._put(target, node.outputs[0])
            places.append(at)
            at += 4 + count
        for k, node in enumerate(self.sums):
            output, first = ints[_HEADER + 2 * k : _HEADER + 2 * k + 2]
            total = node.record.kernel_params((specs[node.inputs[0]],), node.options)  # type: ignore[index]
            if output != self.visible + k or first != used or total != ((1, 1, self.elements), floats[first : first + 1]):
                self.fault(f"sum {k} goes to output {output} with floats from {first} on")
            if self.outputs[output] != node.outputs[0] or node.record.kernel != "reduce_sum":
                self.fault(f"sum {k} is {node.record.name}, %{node.outputs[0]}")
            used += 1
        # One after another they are numbered from 0 on.
        if self._slots != ints[4]:
            self.fault(f"{self._slots} slots are used of {ints[4]}")
        if at != ints[8] or used != len(floats):
            self.fault(f"{at} ints and {used} floats for {ints[8]} and {len(floats)}")
        return places

    def _put(self, target: int, made: int) -> None:
        # A value is written: to a slot, an output, or where a sum finds it.
        high = target >= _OUTPUT
        room = (_OUTPUT, self.visible) if target < _SLOT else (_SLOT, self.ints[4]) if target < _SUM else (_SUM, len(self.sums))
        if not high or not 0 <= target - room[0] < room[1] or target >= _SCALAR:
            self.fault(f"%{made} goes to operand {target}")
        if room[0] == _SLOT:
            self._slots = max(self._slots, target - _SLOT + 1)
        for code in self.lost.get(target, ()):
            self.holds.pop(code, None)
        self.holds[target] = made

    def _made(self) -> None:
        # What the group is to make is where others find it, and what it sums is where the sums find it.
        for j, v in enumerate(self.outputs[: self.visible]):
            if self.holds.get(_OUTPUT + j) != v:
                self.fault(f"output {j} holds %{self.holds.get(_OUTPUT + j)}, not %{v}")
        for k, node in enumerate(self.sums):
            if self.holds.get(_SUM + k) != self.plan.root[node.inputs[0]]:  # type: ignore[index]
                self.fault(f"sum {k} is of %{self.holds.get(_SUM + k)}")

    def _runs(self, places: list[int]) -> None:
        # The same in registers: a run hands the value of a step to the next.
        ints = self.ints
        at = ints[8] + ints[9]
        k = 0
        for _ in range(ints[10]):
            steps = ints[at]
            at += 1
            if steps == 0:
                if k >= self.count or ints[at] != places[k]:
                    self.fault(f"the op at {ints[at]} runs for number {k}")
                place = places[k]
                found = [self.holds.get(code) for code in ints[place + 4 : place + 4 + ints[place + 3]]]
                self._same(self.nodes[k], found)
                self._put(ints[place + 2], self.nodes[k].outputs[0])
                at, k = at + 1, k + 1
                continue
            held = None
            for n in range(steps):
                name = _STEP_NAMES.get(ints[at], ("",))
                first, count = ints[at + 1], ints[at + 2]
                operands = ints[at + 3 : at + 3 + count]
                at += 3 + count
                if n == steps - 1:
                    if name != ["stop", self.suffix] or first or count:
                        self.fault(f"a run ends with {name}")
                    break
                if k >= self.count:
                    self.fault("a run has more steps than there are ops")
                held = self._register(self.nodes[k], name, operands, held, first == ints[places[k] + 1])
                k += 1
        if k != self.count or at != len(ints):
            self.fault(f"the runs make {k} of {self.count} ops, of {at} ints of {len(ints)}")

    def _register(self, node: GraphNode, name: Sequence[str], operands: tuple[int, ...], held: int | None, floats: bool) -> int:
        # One step of a run; returns the value that it leaves in the registers.
        spread = node.record.name == "broadcast_to"
        if spread:
            stores, right, at = name[0] == "spread_s", name[0] in ("spread", "spread_s"), "m"
        else:
            how = name[2] if len(name) == 3 else ""
            stores, right, at = how[-1:] == "s", name[0] == node.record.kernel, how[:1]
        reads = [self.holds.get(code) for code in (operands[:-1] if stores else operands)]
        if at != "m":
            reads.insert(int(at or 0), held)
        if not right or not floats or name[1] != self.suffix:
            self.fault(f"{node.record.name} runs by {':'.join(name)}")
        self._same(node, reads)
        if stores:
            self._put(operands[-1], node.outputs[0])
        return node.outputs[0]

    def _same(self, node: GraphNode, found: Sequence[int | None]) -> None:
        wanted = [self.plan.root[i] for i in node.inputs]  # type: ignore[index]
        if list(found) != wanted and not (len(found) == 1 and self.plan.spreads(node.outputs[0], found[0])):
            self.fault(f"{node.record.name} reads {list(found)} for {wanted} in registers")
