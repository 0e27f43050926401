"""Arrangement: the order of a plan's instructions, and a place in memory for every value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tlean.dtypes import SIZES

from .cost import work_at
from .graph import Graph, GraphNode
from .memory import Buffer, Buffers
from .passes.fuse import steps_of
from .target import COMPUTED, CONST, INPUT, IS_INPUT, NONE, NOWHERE, OUTPUT, SCRATCH, Arrangement, Bound, Program, Step, Target, nbytes


def arrange(graph: Graph, target: Target) -> Arrangement:
    """The graph's instructions in order, and a place for every value."""
    nodes = graph._needed([*graph.outputs, *(after for _, _, after in graph.states)], True)
    root = _roots(graph, nodes)
    places: list[tuple[int, int]] = [(NOWHERE, 0)] * len(graph.specs)
    given = {v: k for k, v in enumerate(graph.inputs) if v is not None}
    for value, k in given.items():
        places[value] = (INPUT, k)
    for k, value in enumerate(graph.constants):
        places[value] = (CONST, k)

    held = {before for _, before, _ in graph.states}
    outputs, owner, copies = _outputs(graph, places, root, given, held)
    ops = []
    for n in nodes:
        call = n.call or graph.call_of(n)
        if not call.view:
            ops.append(Bound.of(n, tuple([-1 if i is None else root[i] for i in n.inputs]), call))
    kept = set(owner) | {root[after] for _, _, after in graph.states} | {source for source, _ in copies}
    steps = target.rewrite(graph, steps_of(graph, ops, kept, target), kept)
    # Copies of values that states overwrite come before everything else, the others at the end.
    early = [target.copy(graph, *c) for c in copies if c[0] in given]
    # So do those of old values that become another state's new one: each is kept aside until that state is written.
    aside: dict[int, int] = {}
    for _, before, after in graph.states:
        source = root[after]
        if source in held and source != before and source not in aside:
            places.append((NOWHERE, 0))
            aside[source] = len(places) - 1
            early.append(target.copy(graph, source, aside[source]))
    steps = [*early, *_updates_last(steps), *[target.copy(graph, *c) for c in copies if c[0] not in given]]

    late, last_use = _states(graph, target, steps, places, root, set(owner), aside)
    steps += late

    kept_aside = {place: source for source, place in aside.items()}
    buffers = Buffers(target.alignment)
    home: dict[int, Buffer] = {}
    temporaries: list[list[Buffer]] = []
    work = 0.0
    specs = graph.specs
    for k, step in enumerate(steps):
        for i in step.inputs:
            if i in home:
                home[i].last = k
        heirs, taken = step.in_place, []
        for j, v in enumerate(step.outputs):
            if v < 0 or places[v][0] != NOWHERE or v in step.shares:
                continue
            spec = specs[kept_aside.get(v, v)]
            size = spec.size * SIZES[spec.dtype]
            for i in heirs.get(j, ()) if heirs else ():
                # A value that is read here for the last time, whose memory no other output takes over.
                if i in home and last_use[i] == k and i not in taken and nbytes(specs[i]) == size:
                    taken.append(i)
                    home[v] = home[i]
                    break
            else:
                home[v] = buffers.take(size, k)
        temporaries.append([buffers.take(size, k) for size in step.scratch] if step.scratch else [])
        if step.accumulates and len(step.outputs) == 1 and step.outputs[0] in owner and step.outputs[0] not in last_use:
            outputs[owner[step.outputs[0]]] = (COMPUTED, 0, k)
        for node in step.nodes:
            work += work_at(node.call or graph.call_of(node))
    scratch_bytes = buffers.assign()
    for v, buffer in home.items():
        places[v] = (SCRATCH, buffer.at)
    for step in steps:
        for v, other in step.shares.items():
            places[v] = places[other]
    return Arrangement(
        places,
        [tuple(b.at for b in taken) for taken in temporaries],
        len(graph.inputs),
        outputs,
        scratch_bytes,
        tuple(graph.constants.values()),
        work,
        Program(tuple(steps), graph),
    )


def _updates_last(steps: Sequence[Step]) -> list[Step]:
    # Updates of parameters, and what reads what they made, behind everything else: what may fail has run before a parameter changes.
    ahead: list[Step] = []
    behind: list[Step] = []
    made: set[int] = set()
    for step in steps:
        if not made.isdisjoint(step.inputs) or True in [n.record.updates for n in step.nodes]:
            behind.append(step)
            made.update(v for v in step.outputs if v >= 0)
        else:
            ahead.append(step)
    return [*ahead, *behind]


def _outputs(
    graph: Graph, places: list[tuple[int, int]], root: Sequence[int], given: dict[int, int], held: set[int]
) -> tuple[list[tuple[int, int, int]], dict[int, int], list[tuple[int, int]]]:
    # How every output comes about, the output that a value is computed into, and the copies to make of others.
    copies: list[tuple[int, int]] = []
    outputs: list[tuple[int, int, int]] = []
    owner: dict[int, int] = {}
    for j, output in enumerate(graph.outputs):
        source = None if output is None else root[output]
        if source is None:
            outputs.append((NONE, 0, -1))
        elif source in given and source not in held:
            outputs.append((IS_INPUT, given[source], -1))
        elif source in given or source in graph.constants or source in owner:
            # A value that is returned twice, a constant, or a state's old value: copied, since outputs own their memory.
            places.append((OUTPUT, j))
            copies.append((source, len(places) - 1))
            outputs.append((COMPUTED, 0, -1))
        else:
            owner[source] = j
            places[source] = (OUTPUT, j)
            outputs.append((COMPUTED, 0, -1))
    return outputs, owner, copies


def _states(
    graph: Graph,
    target: Target,
    steps: Sequence[Step],
    places: list[tuple[int, int]],
    root: Sequence[int],
    returned: set[int],
    aside: dict[int, int],
) -> tuple[list[Step], dict[int, int]]:
    # Gives the new values of states their places: in the state's memory where the old value is no longer needed; else they are copied
    # there at the end. Returns those copies, and for every value the last instruction that reads it.
    given = {v: k for k, v in enumerate(graph.inputs) if v is not None}
    last_use = {i: k for k, step in enumerate(steps) for i in step.inputs if i >= 0}
    writers = {v: n for n, s in reversed(list(enumerate(steps))) for v in s.outputs}
    late = []
    for _, before, after in graph.states:
        source, k = root[after], given[before]
        writer = writers.get(source, -1)
        free = source not in given and source not in returned and places[source][0] == NOWHERE
        direct = free and writer >= 0 and last_use.get(before, -1) <= writer
        if direct and (last_use.get(before, -1) < writer or _takes_over(steps[writer], source, before, root)):
            places[source] = (INPUT, k)
        elif source != before:
            places.append((INPUT, k))
            copy = target.copy(graph, source, len(places) - 1)
            late.append(replace(copy, inputs=(aside.get(source, source),)))
    for step in late:
        last_use[step.inputs[0]] = len(steps) + len(late)
    return late, last_use


def _takes_over(step: Step, made: int, before: int, root: Sequence[int]) -> bool:
    # Whether the step may write `made` onto the memory of its input `before`: an optimiser's step writes each result onto the old value.
    # A device's step may hold the updates of several parameters.
    node = next((n for n in step.nodes if made in n.outputs), None)
    if node is not None and node.record.updates:
        k = node.outputs.index(made)
        # The gradient is between the parameter and the states.
        return root[node.inputs[k + (k > 0)]] == before  # type: ignore[index]
    return before in step.in_place.get(step.outputs.index(made), ())


def _roots(graph: Graph, nodes: Sequence[GraphNode]) -> list[int]:
    # The value whose memory a value is: itself, but for views.
    root = list(range(len(graph.specs)))
    for node in nodes:
        if node.record.view and node.inputs[0] is not None:
            root[node.outputs[0]] = root[node.inputs[0]]
    return root
