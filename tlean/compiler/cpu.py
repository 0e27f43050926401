"""The CPU as a target: kernels by address, fused groups for the block interpreter, plans of the compiled core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tlean._core import lapack
from tlean._core.array import as_argument, as_input, as_tensor
from tlean._core.eager.accum import install_kernels
from tlean._core.plan import plan as core
from tlean._core.plan.callback import ADDRESS as HOST
from tlean._core.plan.callback import call_number
from tlean._core.plan.callback import numbers as host_numbers
from tlean._core.plan.chain import ADDRESS
from tlean._core.table import ACCUMULATES, INNER, KERNELS, MODULES, ONCE, PRODUCERS, STEPS
from tlean.dtypes import SIZES, SUFFIX
from tlean.errors import LinAlgError
from tlean.ops import OpDef, Spec
from tlean.ops.matrices import lapack as lapack_kernels

from .by_definition import by_definition
from .chain_code import BYTES, COLUMN, OUTPUT, REPEATED, SCALAR, SIZED, SLOT, STRETCH, SUM, ChainCode, Header, Op, Stretched, Sum
from .graph import Graph
from .loop_code import LoopCode, loop_step
from .passes.alike import like_before
from .passes.bands import row_bands
from .passes.chain_runs import Runs, in_chains, is_step
from .passes.channel_blocks import channel_blocks
from .passes.deviations import deviations
from .passes.epilogues import epilogues
from .passes.outer_updates import outer_updates
from .passes.row_updates import row_updates
from .passes.stretch_kinds import filled_box, is_written, placed, stretched_inputs
from .passes.tails import part_of_sum, row_numbers, tail_kernel, tail_of
from .passes.windows import windows
from .target import WRITES, Arrangement, Bound, Step, Target, group_dtype
from .unshared import without_unshared

if TYPE_CHECKING:
    from .checks.plan_check import PlanCheck


def _require(outs: Any, ins: Any, options: Any) -> None:
    try:
        lapack.FUNCTIONS["require"](outs, ins, options)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(str(error)) from None


# What the records and the core are given before anything runs.
lapack_kernels.install({**lapack.FUNCTIONS, "require": _require})
install_kernels(KERNELS["accumulate:f32"], KERNELS["accumulate:f64"])

#: Bytes of a block's slots and operands together. Twice an L1 cache: a call of a loop costs more than operands that come from L2.
_BLOCK_BYTES = 96 * 1024
#: The same where operands come from beyond the caches: a block ahead of what is fetched for it.
_FAR_BLOCK_BYTES = 24 * 1024
#: The most elements of a block, and of one of a group that reads ranges: it has fewer arrays than inputs.
_LONG_BLOCK, _LONGEST_BLOCK = 2048, 4096
#: A group's arrays of so many bytes in all are fetched ahead: half a second-level cache.
_FAR_BYTES = 512 * 1024
#: Inputs that an output of a group may choose from when it takes over memory.
_HEIRS = 8


def kernel_address(record: OpDef, dtype: str) -> int | None:
    """The address of an op's kernel that works in that dtype, or None if the op has none."""
    return HOST if record.host is not None else KERNELS.get(f"{record.kernel}:{SUFFIX[dtype]}")


def kernel_numbers(
    record: OpDef, specs: Sequence[Spec | None], outs: Sequence[Spec], options: dict[str, Any]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """What the kernel of a call needs to know: the op's own numbers, or for a host call the callable and the operands."""
    if record.host is None:
        return record.kernel_params(tuple(specs), options)
    made, given = [(s.shape, s.dtype) for s in outs], [None if s is None else (s.shape, s.dtype) for s in specs]
    return host_numbers(call_number(record, options), made, given), ()


class Cpu(Target):
    """The processor that Python runs on."""

    title = "CPU"
    family: ClassVar[str] = "CPU"
    alignment = 64
    most_in_group = 1 << 30
    small = 1024
    counts = True
    shifts = True
    skips_unread = True
    stretches = True
    sums_rows = True

    def program(self, graph: Graph) -> Graph:
        return row_updates(graph)

    def finished(self, graph: Graph) -> Graph:
        return windows(without_unshared(graph), self)

    def has_kernel(self, record: OpDef, dtype: str) -> bool:
        return record.loop is not None or kernel_address(record, dtype) is not None

    def fuses(self, record: OpDef, dtype: str) -> bool:
        return record.host is None and f"{record.kernel}:{SUFFIX[dtype]}" in INNER

    def instruction(self, graph: Graph, op: Bound, outputs: tuple[int, ...]) -> Step:
        node, record = op.node, op.record
        if record.loop is not None:
            return loop_step(record.loop, record.loop.code[self], op, outputs)
        if record.host is not None:
            ints, floats = kernel_numbers(record, op.specs, [graph.specs[v] for v in node.outputs], node.options)
            alone = getattr(record.host, "in_place", False) and op.reads[0] not in op.reads[1:]
            return Step(record.kernel, op.reads, outputs, (node,), ints, floats, HOST, in_place={0: op.reads[:1]} if alone else {})
        first: Step | None = op.call.memo.get("instruction")
        if first is None:
            first = op.call.memo["instruction"] = _instruction(op, outputs)
        in_place = {}
        if first.accumulates:
            in_place = {0: op.reads if -1 not in op.reads else tuple([i for i in op.reads if i >= 0])}
        if record.kernel in WRITES and op.reads[0] not in op.reads[1:]:
            in_place = {0: op.reads[:1]}
        return first.like(op.reads, outputs, (node,), in_place)

    def loop(self, loop: Any, plans: Sequence[core.Plan]) -> LoopCode:
        return LoopCode(loop, plans, self)

    def fused(self, graph: Graph, ops: Sequence[Bound], visible: Sequence[int], sums: Sequence[Bound]) -> Step:
        return deviations(graph, ops, visible, sums) or like_before(graph, ops, visible, sums, _fused)

    def copy(self, graph: Graph, source: int, target: int) -> Step:
        spec = graph.specs[source]
        return Step("copy", (source,), (target,), (), (spec.size,), (), KERNELS[f"copy:{SUFFIX[spec.dtype]}"])

    def rewrite(self, graph: Graph, steps: list[Step], kept: set[int]) -> list[Step]:
        steps = epilogues(graph, channel_blocks(graph, outer_updates(graph, steps, kept), kept, self), kept, self)
        steps = row_bands(graph, steps, kept)
        for part in [part for step in steps for part in (step, *step.parts)]:
            if part.chain is not None:
                part.ints, part.chain = (*part.ints, *(part.encoded or part.chain.encode())), None
        return steps

    def check(self, check: PlanCheck, step: Step, shared: Mapping[int, int]) -> None:
        from .checks.kernel_check import check_instruction

        check_instruction(check, step, shared)

    def plan(self, arrangement: Arrangement) -> core.Plan:
        a = arrangement
        # Temporaries that a kernel needs while it runs are its last outputs.
        rooms = [at for taken in a.temporaries for at in taken]
        places = [*a.places, *((core.AT_SCRATCH, at) for at in rooms)]
        number = count(len(a.places))
        instructions = [
            (s.code, (*s.outputs, *(next(number) for _ in taken)), s.inputs, s.ints, s.floats)
            for s, taken in zip(a.program.steps, a.temporaries, strict=True)
        ]
        graph = a.program.graph
        specs = [None if v is None else (graph.specs[v].shape, graph.specs[v].dtype) for v in graph.inputs]
        update = next((k for k, s in enumerate(a.program.steps) if any(n.record.updates for n in s.nodes)), -1)
        return core.Plan(places, instructions, a.inputs, a.outputs, a.scratch_bytes, a.constants, a.work, a.program, specs, update)

    # The core's own function: no line of Python is between a run and what its caller does with it.
    step: staticmethod[..., Any]
    run: staticmethod[..., Any]
    run = step = staticmethod(core.run)  # type: ignore[assignment]

    def array(self, value: Any, dtype: str | None = None) -> Any:
        return as_tensor(value) if dtype is None else as_input(value, dtype)

    argument: Callable[..., Any] = staticmethod(as_argument)  # type: ignore[assignment]


class Defined(Cpu):
    """The same processor, every op by its reference definition: `Options(fast_kernels=False)`."""

    def program(self, graph: Graph) -> Graph:
        return by_definition(graph)

    def finished(self, graph: Graph) -> Graph:
        return graph


def _instruction(op: Bound, outputs: tuple[int, ...]) -> Step:
    # The instruction of an op, whatever values it reads.
    record, (ints, floats) = op.record, op.kernel_params()
    address = kernel_address(record, op.call.dtypes.works) or 0
    accumulates = len(outputs) == 1 and record.kernel in ACCUMULATES
    reports = f"{record.kernel}:{SUFFIX[op.call.dtypes.works]}" in PRODUCERS
    return Step(record.kernel, op.reads, outputs, (op.node,), ints, floats, address, (), accumulates, reports=reports)


CPU = Cpu()
DEFINED = Defined()


def _loop(op: Bound, suffix: str) -> tuple[int, tuple[float, ...]]:
    # The loop of an op of a group, and its numbers.
    if op.record.spreads:
        return (0 if op.spreads else STRETCH), ()
    if op.shift >= 0 or op.fills or op.ranges:
        return STRETCH, ()
    if op.converts:
        return INNER[f"{op.record.kernel}:{SUFFIX[op.specs[0].dtype]}"], ()  # type: ignore[union-attr]
    return INNER[f"{op.record.kernel}:{suffix}"], op.kernel_params()[1]


def _strip(dtype: str) -> int:
    # The elements of a strip.
    return MODULES["elementwise"].STRIP_BYTES // SIZES[dtype]


def _header(dtype: str, elements: int, slots: int, streams: int, far: bool, most: int, rows: tuple[int, ...]) -> Header:
    # What a group begins with; zeros for what `encode` counts and for the room.
    suffix, item, strip = SUFFIX[dtype], SIZES[dtype], _strip(dtype)
    block = (_FAR_BLOCK_BYTES if far else _BLOCK_BYTES) // (streams * item) // strip * strip
    block = max(256, min(most, block))
    segment, reduce_sum = MODULES["reduce"].SEGMENT_LENGTH, KERNELS[f"reduce_sum:{suffix}"]
    machine, stretcher = STEPS[f"run:{suffix}"], STEPS[f"stretch:{suffix}"]
    rows = (*rows, part_of_sum(dtype), KERNELS[f"sum_part:{suffix}"])
    return Header(elements, item, block, 0, slots, 0, segment, reduce_sum, 0, 0, 0, machine, strip, 0, 0, 0, stretcher, *rows)


def _sized(graph: Graph, group: Sequence[Bound], dtype: str) -> dict[int, int]:
    # What operands of other dtypes are counted from: arrays that are converted, and Booleans that are made.
    values = [v for op in group if op.converts for v in (*op.reads, op.made) if graph.specs[v].dtype != dtype]
    return {v: SIZED + BYTES * SIZES[graph.specs[v].dtype] for v in values}


def _in_order(group: Sequence[Bound], stretched: Mapping[int, Stretched], suffix: str) -> list[Bound]:
    # What is no step first: between two steps it would end a run; what has been written to boxes last.
    ahead = {v for v, s in stretched.items() if s.kind != COLUMN}
    steps = in_chains([op for op in group if op.made not in ahead and not op.fills], suffix)
    return [*(op for op in group if op.made in ahead), *steps, *(op for op in group if op.fills)]


def _dying(graph: Graph, group: Sequence[Bound], inputs: Sequence[int], elements: int, last_read: Mapping[int, int]) -> list[int]:
    # The inputs that outputs may be written onto, those that are read last first; one that is read elsewhere than it is written is none.
    shifted = {op.reads[0] for op in group if op.shift >= 0}
    return sorted((v for v in inputs if graph.specs[v].size == elements and v not in shifted), key=lambda v: -last_read[v])


def _boxes(group: Sequence[Bound], visible: Sequence[int], inputs: Sequence[int], first: int) -> tuple[list[Stretched], dict[int, int]]:
    # The boxes that a group fills, and what represents them, by the values that they are; they are counted on from `first`.
    filled = [op for op in group if op.fills]
    ranges = [filled_box(op, visible.index(op.made), inputs) for op in filled]
    return ranges, {op.made: REPEATED + first + j for j, op in enumerate(filled)}


def _fused(graph: Graph, group: Sequence[Bound], visible: Sequence[int], sums: Sequence[Bound]) -> Step:
    dtype = group_dtype(graph, group[-1])
    suffix = SUFFIX[dtype]
    sized = _sized(graph, group, dtype)
    elements = graph.specs[next(op for op in reversed(group) if not op.fills).made].size
    summed = {v: t for t, v in enumerate(dict.fromkeys(op.reads[0] for op in sums))}
    stretched = stretched_inputs(group, elements, {*visible, *summed})
    group = _in_order(group, stretched, suffix)
    own = {op.made for op in group}
    inputs: dict[int, None] = {}
    last_read: dict[int, int] = {}
    for k, op in enumerate(group):
        last_read |= dict.fromkeys(op.reads, k)
        inputs |= dict.fromkeys(v for v in op.reads if v not in own and v >= 0)
    scalars = {op.reads[0] for op in group if op.record.spreads}
    place = {v: k + sized.get(v, SCALAR if v in scalars and elements > 1 else 0) for k, v in enumerate(inputs)}
    repeated = {v: REPEATED + j for j, v in enumerate(stretched)}
    place |= {v: code for v, code in repeated.items() if not is_written(stretched[v])}
    place |= {v: OUTPUT + j + sized.get(v, 0) for j, v in enumerate(visible)} | {v: SUM + t for v, t in summed.items()}
    ranges, boxes = _boxes(group, visible, list(inputs), len(stretched))
    place |= {op.reads[0]: boxes[op.made] for op in group if op.fills}
    free: list[int] = []
    slots = 0
    code: list[Op] = []
    floats: list[float] = []
    runs = Runs(suffix, place, {*visible, *summed}, repeated)
    item = SIZES[dtype]
    in_place: dict[int, tuple[int, ...]] = {}
    number = {v: j for j, v in enumerate(visible)}
    dying = _dying(graph, group, [v for v in inputs if v not in sized], elements, last_read)
    heirs: list[int] = []
    for k, op in enumerate(group):
        while dying and last_read[dying[-1]] <= k:
            heirs.append(dying.pop())
        if op.fills:
            code.append(Op(STRETCH, len(floats), boxes[op.made], (boxes[op.made],)))
            runs.add(op, k, len(floats), None, True)
            continue
        operands = (repeated[op.made],) if op.made in repeated else tuple([place[v] for v in op.reads])
        for v in dict.fromkeys(op.reads):
            if last_read[v] == k and SLOT <= place[v] < SUM:
                free.append(place[v] - SLOT)
        made = op.made
        if made not in place:
            if free:
                slot = free.pop()
            else:
                slot, slots = slots, slots + 1
            place[made] = SLOT + slot
            if made not in last_read:
                free.append(slot)
        elif made in number and made not in sized:
            in_place[number[made]] = tuple(heirs[-_HEIRS:])
        inner, numbers = _loop(op, suffix)
        following = group[k + 1].reads if k + 1 < len(group) and is_step(group[k + 1], suffix) else None
        runs.add(op, k, len(floats), following, last_read.get(made, k) <= k + 1)
        code.append(Op(inner, len(floats), place[made], operands))
        floats += numbers
    tails: list[Sum] = []
    shapes = [tail for op in sums if (tail := tail_of(graph, op, elements))]
    for t, (op, tail) in enumerate(zip(sums, shapes, strict=True)):
        tails.append(Sum(len(visible) + t, len(floats), summed[op.reads[0]], tail.kind, tail_kernel(tail.kind, dtype)))
        floats += op.kernel_params()[1]
    streams = slots + len(inputs) + len(visible) + len(summed)
    program = runs.finish() if elements >= _strip(dtype) else ()
    far = tuple([place[v] for v in (*inputs, *visible) if graph.specs[v].size == elements and v not in sized])
    # Stretched inputs come from nearer caches, and would wait behind what is fetched ahead.
    if not program or stretched or ranges or elements * item * len(far) < _FAR_BYTES:
        far = ()
    most = _LONGEST_BLOCK if any(op.shift >= 0 for op in group) else _LONG_BLOCK
    header = _header(dtype, elements, slots, streams, bool(far), most, row_numbers(shapes, len(summed), dtype))
    rows, room = placed(stretched, list(inputs), header.block, elements, group)
    chain = ChainCode(header._replace(room=room), tuple(tails), (*rows, *ranges), tuple(code), far, program)
    nodes = tuple(op.node for op in (*group, *sums))
    name = "fused(" + " ".join(n.record.name.lstrip("_") for n in nodes) + ")"
    outputs = (*visible, *(total.made for total in sums))
    # Adding into the only output is right when the chain does not read it again.
    accumulates = len(outputs) == 1 and not sums and not ranges and visible[0] not in last_read and visible[0] not in sized
    accumulates = accumulates and not any(op.made == visible[0] and op.record.kernel in ONCE for op in group)
    return Step(name, tuple(inputs), outputs, nodes, (), tuple(floats), ADDRESS, (), accumulates, in_place, chain=chain)
