"""What CPU kernels get, checked before a plan may run (`plan_check`): the operands and the numbers of their record, no more and no fewer.

A fused group's numbers are a program. It is followed op by op, with a note of what each slot and each output holds: every op
reads what its node reads, and what the group is to make is where it should be at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tlean._core.plan import band, callback, chain, epilogue, outer_update
from tlean._core.table import ACCUMULATES, INNER, KERNELS, MODULES, PRODUCERS, STEPS
from tlean.dtypes import SIZES, SUFFIX

from ..band_code import band_step, layout_of
from ..chain_code import (
    ChainCode,
    EpilogueHeader,
    OuterUpdate,
)
from ..passes.bands import part_of
from ..passes.channel_blocks import blocked_ints
from ..passes.deviations import DEVIATIONS
from ..target import WRITES, Step, works_in
from .group_check import Group
from .plan_check import PlanCheck

#: The address of a step of the register machine -> its name.
_STEP_NAMES = {address: name.split(":") for name, address in STEPS.items()}
_SEGMENT, _STRIP = MODULES["reduce"].SEGMENT_LENGTH, MODULES["elementwise"].STRIP_BYTES
#: How many floats a loop takes, by the record's name.
_FLOATS: dict[str, int] = {}
#: Kernels that move elements: in a group they have no loop, and no floats.
_PLACED = ("strided_copy", "_in_range")


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
        Group(check, step, shared).check()
    elif step.code == epilogue.ADDRESS:
        _epilogue(check, step, shared)
    elif step.code == band.ADDRESS:
        _band(check, step, shared)
    elif step.kernel == DEVIATIONS:
        _deviations(check, step)
    elif step.code == outer_update.ADDRESS:
        _outer(check, step)
    elif len(step.nodes) != 1:
        check.fault("an instruction of several ops is a group", f"it is of {len(step.nodes)}")
    else:
        _kernel(check, step, KERNELS)
        updates = step.nodes[0].record.updates
        writes = step.kernel in WRITES or getattr(step.nodes[0].record.host, "in_place", False)
        onto = writes and not step.accumulates and shared == {0: step.inputs[0]}
        if (step.accumulates or (shared and not updates and not onto)) and (
            step.kernel not in ACCUMULATES or step.code == callback.ADDRESS
        ):
            check.fault("a kernel that adds into its output, or writes onto an input, goes element by element", f"{step.kernel} does not")


def _copy(check: PlanCheck, step: Step) -> None:
    spec = check.spec_of(step.inputs[0])
    if step.code != KERNELS[f"copy:{SUFFIX[spec.dtype]}"] or step.ints != (spec.size,) or step.floats:
        check.fault("a copy is of the whole value", f"it has the numbers {step.ints} for {spec}")


def _kernel(check: PlanCheck, step: Step, table: Mapping[str, int]) -> None:
    # One op by its own kernel; in `table` are the addresses.
    (node,), ints, floats = step.nodes, step.ints, step.floats
    record, specs = node.record, check.graph._specs_of(node.inputs)
    if record.loop is not None:
        fault = record.loop.code[check.target].fault(record.loop, specs, check.graph._specs_of(node.outputs), step)
        if fault:
            check.fault("a loop has the operands and numbers of its bodies", fault)
        return
    if record.host is not None:
        wanted = callback.numbers(ints[0], _pairs(check.graph._specs_of(node.outputs)), _pairs(specs))
        if step.code != callback.ADDRESS or ints != wanted or floats:
            check.fault("a call into Python gets the numbers of its operands", f"{record.name} has {ints} for {wanted}")
        return
    dtypes = record.dtypes_at(specs, node.options, check.graph.dtype)
    if dtypes.converted:
        check.fault("a kernel's operands have the dtypes of its record", f"{record.name} gets {[s and s.dtype for s in specs]}")
    own_ints, own_floats = record.kernel_params(specs, node.options)
    name = record.kernel
    if step.blocked and step.kernel == f"{name}_blocked":
        operands = (*node.outputs, *(None if i is None else check.root[i] for i in node.inputs))
        own_ints, name = blocked_ints(name, own_ints, operands, step.blocked), step.kernel
    if step.kernel != name or step.code != table.get(f"{name}:{SUFFIX[dtypes.works]}"):
        check.fault("a node runs by its record's kernel", f"{record.name} runs by {step.kernel}")
    if ints != own_ints or len(floats) != len(own_floats) or any(a != b and a == a for a, b in zip(floats, own_floats, strict=True)):
        check.fault("a kernel gets its record's numbers", f"{record.name} gets {ints}, {floats} for {own_ints}, {own_floats}")


def _pairs(specs: Sequence[Any]) -> list[Any]:
    return [None if s is None else (s.shape, s.dtype) for s in specs]


def _epilogue(check: PlanCheck, step: Step, shared: Mapping[int, int]) -> None:
    # A kernel and the group that runs over each part of its result: the group writes nothing that the kernel still reads.
    node, width = step.nodes[0], len(EpilogueHeader._fields)
    entry, n_out, n_in, n_ints, n_floats = EpilogueHeader(*step.ints[:width])
    ints, operands = step.ints[width : width + n_ints], step.inputs[:n_in]
    suffix = SUFFIX[works_in(check.graph, node)]
    name = f"{node.record.kernel}:{suffix}"
    blocked = f"{node.record.kernel}_blocked:{suffix}"
    kernel = node.record.kernel if entry == PRODUCERS.get(name) else f"{node.record.kernel}_blocked"
    if entry not in (PRODUCERS.get(name), PRODUCERS.get(blocked)) or node.record.host is not None:
        check.fault("a kernel with an epilogue reports its parts", f"{node.record.name} does not")
    if min(n_out, n_in, n_ints, n_floats) < 0 or len(step.floats) < n_floats:
        check.fault("a kernel gets its record's numbers", f"{node.record.name} gets {step.ints[:width]}")
    producer = replace(step, nodes=(node,), kernel=kernel, code=entry, ints=ints, floats=step.floats[:n_floats])
    _kernel(check, producer, PRODUCERS)
    wanted = tuple([-1 if i is None else check.root[i] for i in node.inputs])
    if operands != wanted or len(node.outputs) != n_out or step.outputs[0] != node.outputs[0]:
        check.fault("an instruction has its node's operands", f"{node.record.name} has {operands} for {wanted}")
    result, inputs, outputs = node.outputs[0], step.inputs[n_in:], step.outputs[n_out:]
    if any(v in outputs or v in node.outputs[1:] for v in step.inputs) or result in operands:
        check.fault("an epilogue reads its kernel's result and what others made", f"it reads {inputs}")
    inside: dict[int, int] = {}
    for j, v in shared.items():
        if j < n_out or v in wanted or v not in inputs:
            check.fault("an epilogue writes onto nothing that its kernel reads", f"%{step.outputs[j]} lies on %{v}")
        inside[j - n_out] = v
    for v, other in step.shares.items():
        if v != result or other not in outputs or result not in inputs:
            check.fault("only a result that its epilogue alone reads lives in the epilogue's output", f"%{v} lives in %{other}")
        inside[outputs.index(other)] = v
    ints, floats = step.ints[width + n_ints :], step.floats[n_floats:]
    Group(check, replace(step, nodes=step.nodes[1:], inputs=inputs, outputs=outputs, ints=ints, floats=floats), inside).check()


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
    shape, dtype = graph.specs[gradient].shape, graph.specs[gradient].dtype
    suffix = SUFFIX[dtype]
    kernel, scale = KERNELS[f"{node.record.kernel}:{suffix}"], INNER[f"scale:{suffix}"]
    wanted = OuterUpdate._make((kernel, scale, *shape, SIZES[dtype], len(node.outputs) - 1))
    sizes = (graph.specs[u].size, graph.specs[v].size)
    if step.inputs != (parameter, u, v, *others) or step.outputs != node.outputs or step.ints != wanted or step.floats or sizes != shape:
        check.fault("the step of an outer product has its operands and numbers", f"it has {step.inputs}, {step.ints} for {wanted}")


def _deviations(check: PlanCheck, step: Step) -> None:
    # The sums of squared deviations of rows from numbers, in place of the group and the sum of its rows.
    stretch, minus, square, total = step.nodes
    x, m = step.inputs
    graph, root = check.graph, check.root
    ints, floats = total.record.kernel_params(graph._specs_of(total.inputs), total.options)
    kernels = [n.record.kernel for n in (minus, square, total)]
    axes = stretch.record.kernel_params(graph._specs_of(stretch.inputs), stretch.options)[0][1:]
    reads = [[root[i] for i in n.inputs] for n in step.nodes]  # type: ignore[index]
    right = kernels == ["sub", "square", "reduce_sum"] and stretch.record.spreads and axes == (2, *ints[2:], 1, 0)
    right &= reads == [[m], [x, stretch.outputs[0]], [minus.outputs[0]], [square.outputs[0]]] and step.outputs == total.outputs
    right &= step.code == KERNELS[f"{DEVIATIONS}:{SUFFIX[works_in(graph, total)]}"] and ints[:2] == (2, 0)
    if (
        not right
        or (step.ints, step.floats) != (ints, floats)
        or graph.specs[x].size != ints[2] * ints[3]
        or graph.specs[m].size != ints[2]
    ):
        check.fault("deviations are of rows from a number each", f"it is {kernels} of {reads} by {step.ints}, {step.floats}")


def _band(check: PlanCheck, step: Step, shared: Mapping[int, int]) -> None:
    # Every part on all rows; then the numbers for bands of them, and that nothing but the band's outputs leaves it.
    rows, height = step.ints[:2]
    parts = []
    for one in step.parts:
        _check(check, one, {})
        whole = replace(one, ints=(), chain=ChainCode.decode(one.ints)) if one.code == chain.ADDRESS else one
        parts.append(part_of(check.graph, whole, rows))
    if None in parts or shared or not 0 < height <= rows or tuple(n for one in step.parts for n in one.nodes) != step.nodes:
        check.fault("the parts of a band go by its rows", f"it is of {rows} rows, {height} at a time, and writes onto {shared}")
    wanted = band_step(parts, check.graph, rows, layout_of(parts, check.graph, rows, height, set(step.outputs)))  # type: ignore[arg-type]
    numbers = (step.inputs, step.outputs, step.ints, step.floats, step.scratch)
    if numbers != (wanted.inputs, wanted.outputs, wanted.ints, wanted.floats, wanted.scratch):
        check.fault("a band has the operands and numbers of its parts", f"it has {numbers} for {wanted}")
