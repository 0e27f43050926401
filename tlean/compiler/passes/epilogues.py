"""Epilogues: an elementwise group becomes one instruction with the kernel whose result it reads, and runs part by part of that result."""

from __future__ import annotations

from collections.abc import Sequence

from tlean._core.plan.epilogue import ADDRESS
from tlean._core.table import PRODUCERS
from tlean.dtypes import FLOATS, SUFFIX

from ..chain_code import OUTPUT, RANGE, ChainCode, EpilogueHeader
from ..graph import Graph
from ..target import Bound, Step, Target, works_in


def epilogues(graph: Graph, steps: Sequence[Step], kept: set[int], target: Target) -> list[Step]:
    """The same instructions with every group that can follow a producer of one of its inputs joined to it.

    Where the producer makes the last of the group's inputs, the group runs with it; else it waits for the group, if nothing else is waiting
    for it. `kept` are values that others than instructions read.
    """
    reporting = {s.outputs[0] for s in steps if len(s.nodes) == 1 and _reports(graph, s)}
    if not reporting:
        return list(steps)
    out: list[Step | None] = list(steps)
    made_at = {v: k for k, s in enumerate(steps) for v in s.outputs if v >= 0}
    readers: dict[int, list[int]] = {}
    for k, step in enumerate(steps):
        for v in step.inputs:
            readers.setdefault(v, []).append(k)
    for k, step in enumerate(steps):
        # Without a producer whose result it reads there is nothing to join.
        if reporting.isdisjoint(step.inputs):
            continue
        makers = sorted({made_at[v] for v in step.inputs if v in made_at}, reverse=True)
        group = _chain(graph, step, target) if any(_reports(graph, out[at]) for at in makers) else None
        if group is None:
            continue
        for at in makers:
            producer = out[at]
            if producer is None or not _reports(graph, producer) or not _reads_result(graph, producer, group):
                continue
            if at != makers[0] and not _may_wait(steps, readers, producer, at, k):
                continue
            result = producer.outputs[0]
            hidden = set(readers[result]) == {k} and result not in kept
            place = at if at == makers[0] else k
            out[at] = out[k] = None
            out[place] = _joined(graph, (producer, step), group, hidden)
            made_at |= dict.fromkeys((*producer.outputs, *step.outputs), place)
            break
    return [s for s in out if s is not None]


def elementwise(graph: Graph, step: Step, target: Target) -> bool:
    """Whether the step is a fused group without sums, or a single elementwise op that could be one."""
    if step.chain is not None:
        return not step.chain.sums and all(s.kind != RANGE for s in step.chain.stretched)
    if len(step.nodes) != 1 or min(step.inputs, default=-1) < 0:
        return False
    made = graph.specs[step.outputs[0]]
    if made.dtype not in FLOATS or not target.fuses(step.nodes[0].record, made.dtype):
        return False
    return made.size > 0 and all(graph.specs[v].size == made.size and graph.specs[v].dtype == made.dtype for v in step.inputs)


def _chain(graph: Graph, step: Step, target: Target) -> Step | None:
    # The step as a fused group, a single elementwise op as a group of one; None if it is neither.
    if not elementwise(graph, step, target):
        return None
    if step.chain is not None:
        return step
    node = step.nodes[0]
    return target.fused(graph, [Bound.of(node, step.inputs, graph.call_of(node))], step.outputs, ())


def _may_wait(steps: Sequence[Step], readers: dict[int, list[int]], producer: Step, at: int, k: int) -> bool:
    # Whether the producer may run at place k: nothing reads what it makes before, or overwrites what it reads.
    early = any(r < k for v in producer.outputs for r in readers.get(v, ()))
    return not early and not any(n.record.updates for s in steps[at:k] for n in s.nodes)


def _reports(graph: Graph, step: Step | None) -> bool:
    if step is None or len(step.nodes) != 1:
        return False
    reports = step.reports
    if reports is None:
        reports = step.reports = f"{step.kernel}:{_suffix(graph, step)}" in PRODUCERS
    return reports


def _suffix(graph: Graph, producer: Step) -> str:
    return SUFFIX[works_in(graph, producer.nodes[0])]


def _reads_result(graph: Graph, producer: Step, group: Step) -> bool:
    # Whether the group reads the producer's result, and nothing else that it makes, element by element.
    result, *others = producer.outputs
    spec = graph.specs[result]
    whole = graph.specs[group.outputs[0]]
    same = (spec.dtype, spec.size) == (whole.dtype, whole.size)
    return same and result in group.inputs and not any(v in group.inputs for v in others)


def _joined(graph: Graph, parts: tuple[Step, Step], group: Step, hidden: bool) -> Step:
    # `group` is parts[1] as a chain.
    producer = parts[0]
    result = producer.outputs[0]
    # While the producer runs nothing that it reads may be written; nor, once it has, a part of its result that is still to be read.
    taken = {*producer.inputs, result}
    in_place = {j + len(producer.outputs): tuple(v for v in heirs if v not in taken) for j, heirs in group.in_place.items()}
    shares: dict[int, int] = {}
    # A result that only the group reads lives where that output of the group will which may be written over it.
    heir = next((j for j, heirs in group.in_place.items() if hidden and result in heirs), None)
    if heir is not None:
        shares[result] = group.outputs[heir]
        del in_place[heir + len(producer.outputs)]
    entry = PRODUCERS[f"{producer.kernel}:{_suffix(graph, producer)}"]
    head = EpilogueHeader(entry, len(producer.outputs), len(producer.inputs), len(producer.ints), len(producer.floats))
    # The result, and what the group makes of it, is in a cache anyway.
    chain: ChainCode = group.chain  # type: ignore[assignment]
    fetched = tuple([k for k in chain.fetched if k < OUTPUT and group.inputs[k] != result])
    return Step(
        " + ".join((p.nodes[0].record.name if len(p.nodes) == 1 else p.kernel).lstrip("_") for p in parts),
        (*producer.inputs, *group.inputs),
        (*producer.outputs, *group.outputs),
        (*producer.nodes, *group.nodes),
        (*head, *producer.ints),
        (*producer.floats, *group.floats),
        ADDRESS,
        in_place=in_place,
        chain=chain._replace(fetched=fetched) if fetched != chain.fetched else chain,
        encoded=group.encoded if fetched == chain.fetched else None,
        shares=shares,
        blocked=tuple(dict.fromkeys((*producer.blocked, *parts[1].blocked))),
    )
