"""From graphs to plans: kernels by name, values to places, temporaries to one block that is reused as values die."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tlean._core import plan as core
from tlean._core.array import as_tensor
from tlean._core.instance import Instance, options_key
from tlean.errors import DeviceError, OptionError
from tlean.ops import OpDef, Spec

from .cpu import CPU, DEFINED, kernel_address, kernel_numbers
from .derive import decomposition, vjp_graph
from .fuse import steps_of
from .graph import Graph, GraphNode, GraphRef
from .memory import Buffer, Buffers
from .plan_check import checked
from .target import COMPUTED, CONST, INPUT, IS_INPUT, NONE, NOWHERE, OUTPUT, SCRATCH, Arrangement, Bound, Program, Step, Target, nbytes


def work_of(record: OpDef, specs: Sequence[Spec | None], outs: Sequence[Spec], options: dict[str, Any]) -> float:
    """A rough time of one kernel call on one core, in nanoseconds: memory at 10 GB/s, arithmetic at 30 GFLOP/s."""
    moved = sum(nbytes(s) for s in (*specs, *outs) if s is not None)
    flops = record.flops(*(None if s is None else s.shape for s in specs), **options) if record.flops else 0.0
    return moved / 10.0 + flops / 30.0


def expand(graph: Graph, target: Target = CPU) -> Graph:
    """The same program with every op that has no kernel on the target replaced by its decomposition. Raises: DeviceError if it has none."""
    if all(n.record.view or target.has_kernel(n.record, graph.dtype) for n in graph.nodes):
        return graph
    out = Graph(graph.dtype)
    where: dict[int, int] = {}
    for value in graph.inputs:
        ref = out.arg(None if value is None else graph.specs[value], graph.labels.get(value) if value is not None else None)
        if value is not None and ref is not None:
            where[value] = ref.id
    for value, constant in graph.constants.items():
        where[value] = out.const(constant).id
    for node in graph.nodes:
        inputs = [None if i is None else where[i] for i in node.inputs]
        if node.record.view or target.has_kernel(node.record, graph.dtype):
            made: Sequence[int] = out._record(node.record, inputs, node.options, node.name)
        else:
            specs = [None if i is None else graph.specs[i] for i in node.inputs]
            if node.record.rules.decompose is None:
                raise DeviceError(f"{node.record.name}: there is no {target.title} kernel of that name for {graph.dtype}")
            inner = expand(decomposition(node.record, specs, node.options, graph.dtype), target)
            refs = out._inline(inner, [None if i is None else GraphRef(out, i) for i in inputs])
            made = [r.id for r in refs if r is not None]
        where.update(zip(node.outputs, made, strict=False))
    out.outputs = [None if v is None else where[v] for v in graph.outputs]
    out.states = [(name, where[before], where[after]) for name, before, after in graph.states]
    return out.prune()


def merged(graph: Graph) -> Graph:
    """The same program with every repeated call made once; the same kernel on the same values gives the same bits."""
    same: dict[int, int] = {}
    known: dict[object, GraphNode] = {}
    nodes = []
    for node in graph.nodes:
        inputs = tuple(None if i is None else same.get(i, i) for i in node.inputs)
        key = (node.record.name, inputs, options_key(node.options))
        if key in known:
            same.update(zip(node.outputs, known[key].outputs, strict=True))
            continue
        known[key] = GraphNode(node.record, inputs, node.outputs, node.options, node.name)
        nodes.append(known[key])
    if not same:
        return graph
    out = Graph(graph.dtype)
    out.specs, out.inputs, out.labels, out.constants = graph.specs, graph.inputs, graph.labels, graph.constants
    out.outputs = [None if v is None else same.get(v, v) for v in graph.outputs]
    out.states = [(name, before, same.get(after, after)) for name, before, after in graph.states]
    out.nodes = nodes
    return out


#: Constants up to this many elements are computed when the plan is made.
_FOLD_LIMIT = 4096


def fold(graph: Graph, target: Target = CPU) -> Graph:
    """The same program with what depends on constants alone computed once, by the same kernels."""
    constant = set(graph.constants)
    folded, rest = [], []
    for node in graph.nodes:
        small = all(graph.specs[v].size <= _FOLD_LIMIT for v in node.outputs)
        if small and not node.record.random and node.record.host is None and all(i is None or i in constant for i in node.inputs):
            folded.append(node)
            constant.update(node.outputs)
        else:
            rest.append(node)
    if not folded:
        return graph
    read = {i for n in rest for i in n.inputs} | set(graph.outputs) | {after for _, _, after in graph.states}
    wanted = [v for n in folded for v in n.outputs if v in read]
    inner = Graph(graph.dtype)
    inner.specs, inner.constants, inner.nodes, inner.outputs = graph.specs, graph.constants, folded, list(wanted)
    once = target.single
    values = once.run(once.plan(checked(arrange(inner, once), once)), [], [(graph.specs[v].shape, graph.specs[v].dtype) for v in wanted])
    out = Graph(graph.dtype)
    out.specs, out.inputs, out.outputs, out.labels, out.states = graph.specs, graph.inputs, graph.outputs, graph.labels, graph.states
    out.nodes = rest
    out.constants = {**graph.constants, **{v: as_tensor(t.numpy()) for v, t in zip(wanted, values, strict=True)}}
    return out


def target_of(device: str, precision: str = "fp32", deterministic: bool = True, fast_kernels: bool = True) -> Target:
    """The target of a device, "cpu", "cuda" or "cuda:<number>", with the mode of a GPU's kernels.

    Args:
        fast_kernels: False runs reference definitions on the processor, and on a GPU the ops that make up fused ones.

    Raises: OptionError for another device; DeviceError that says what is missing for CUDA.
    """
    if isinstance(device, str) and device == "cpu":
        return CPU if fast_kernels else DEFINED
    found = re.fullmatch(r"cuda(?::(\d+))?", device) if isinstance(device, str) else None
    if found is None:
        raise OptionError(f"device is 'cpu', 'cuda' or 'cuda:<number>', got {device!r}")
    from tlean.cuda.context import context
    from tlean.cuda.kernels.plan import Mode
    from tlean.cuda.target import target

    return target(context(int(found[1] or 0)).device, Mode(precision, deterministic), fast_kernels)


def device_of(arrays: Sequence[Any]) -> str:
    """The device of the first device array among these, "cuda:<number>"; "cpu" where there is none."""
    module = sys.modules.get("tlean.cuda.array")
    if module is None:
        return "cpu"
    return next((x.device for x in arrays if isinstance(x, module.DeviceArray)), "cpu")


def lower(graph: Graph, target: Target = CPU) -> Any:
    """A plan that computes the graph's outputs and updates its states in place."""
    ready = fold(merged(expand(target.program(graph), target)), target)
    return target.plan(checked(arrange(ready, target), target))


def arrange(graph: Graph, target: Target) -> Arrangement:
    """The graph's instructions in order, and a place for every value."""
    nodes = graph._needed([*graph.outputs, *(after for _, _, after in graph.states)])
    root = _roots(graph, nodes)
    places: list[tuple[int, int]] = [(NOWHERE, 0)] * len(graph.specs)
    given = {v: k for k, v in enumerate(graph.inputs) if v is not None}
    for value, k in given.items():
        places[value] = (INPUT, k)
    for k, value in enumerate(graph.constants):
        places[value] = (CONST, k)

    held = {before for _, before, _ in graph.states}
    outputs, owner, copies = _outputs(graph, places, root, given, held)
    ops = [_bound(graph, n, root) for n in nodes if not n.record.view]
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
    for k, step in enumerate(steps):
        for i in step.inputs:
            if i in home:
                home[i].last = k
        dying = {i for i in step.inputs if i in home and last_use[i] == k}
        for j, v in enumerate(step.outputs):
            if v < 0 or places[v][0] != NOWHERE or v in step.shares:
                continue
            size = nbytes(graph.specs[kept_aside.get(v, v)])
            heir = next((i for i in step.in_place.get(j, ()) if i in dying and nbytes(graph.specs[i]) == size), None)
            if heir is not None:
                dying.discard(heir)
            home[v] = home[heir] if heir is not None else buffers.take(size, k)
        temporaries.append([buffers.take(size, k) for size in step.scratch])
        if step.accumulates and len(step.outputs) == 1 and step.outputs[0] in owner and step.outputs[0] not in last_use:
            outputs[owner[step.outputs[0]]] = (COMPUTED, 0, k)
        for node in step.nodes:
            specs = [None if i is None else graph.specs[i] for i in node.inputs]
            work += work_of(node.record, specs, [graph.specs[v] for v in node.outputs], node.options)
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
        if any(n.record.updates for n in step.nodes) or not made.isdisjoint(step.inputs):
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
    # Gives the new values of states their places: in the state's memory where nobody needs the old value any more; else they are copied
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
        # The gradient stands between the parameter and the states.
        return root[node.inputs[k + (k > 0)]] == before  # type: ignore[index]
    return before in step.in_place.get(step.outputs.index(made), ())


def _roots(graph: Graph, nodes: Sequence[GraphNode]) -> list[int]:
    # The value whose memory a value is: itself, but for views.
    root = list(range(len(graph.specs)))
    for node in nodes:
        if node.record.view and node.inputs[0] is not None:
            root[node.outputs[0]] = root[node.inputs[0]]
    return root


def _bound(graph: Graph, node: GraphNode, root: Sequence[int]) -> Bound:
    reads = tuple([-1 if i is None else root[i] for i in node.inputs])
    return Bound(node, reads, tuple([None if i is None else graph.specs[i] for i in node.inputs]))


_INSTANCES: dict[Any, Instance] = {}
#: Instances kept for reuse; a program whose options change with every call fills the table, which then starts over.
_MOST_INSTANCES = 4_096


def instantiate(record: OpDef, dtype: str, specs: tuple[Spec | None, ...], options: dict[str, Any], reference: bool) -> Instance:
    """The interned instance of an op: output, kernel and numbers at these specs and options; with `reference`, the definitions instead.

    Raises: ShapeError, OptionError, DTypeError, IndexRangeError as the op's rules say.
    """
    clean, outs = record.infer(specs, options)
    instances = record.kept("instances", _INSTANCES)
    key: Any = (record.name, dtype, specs, reference, options_key(clean))
    try:
        known = instances.get(key)
    except (TypeError, ValueError):
        key, known = None, None
    if known is not None:
        return known
    outs = [o.resolved(dtype) for o in outs]
    if len(record.outputs) > 1:
        raise DeviceError(f"{record.name}: an op with several outputs has no place on a tape")
    address = kernel_address(record, dtype)
    residuals = [(o.shape, o.dtype) for o in outs[1:]]
    work = work_of(record, specs, outs, clean)
    if reference and not record.view:
        graph = Graph(dtype)
        refs = [graph.arg(s) for s in specs]
        graph.outputs = list(graph._record(record, [None if r is None else r.id for r in refs], clean))
        plan = lower(graph, DEFINED)
        made = Instance(
            record, clean, specs, outs[0].shape, outs[0].dtype, residuals, 0, (), (), plan, lambda i, m: make_vjp(i, m, True), plan.work
        )
    elif address or record.view:
        ints, floats = kernel_numbers(record, specs, outs, clean)
        made = Instance(record, clean, specs, outs[0].shape, outs[0].dtype, residuals, address or 0, ints, floats, None, make_vjp, work)
    elif record.rules.decompose is not None:
        plan = lower(decomposition(record, specs, clean, dtype))
        made = Instance(record, clean, specs, outs[0].shape, outs[0].dtype, residuals, 0, (), (), plan, make_vjp, plan.work)
    else:
        raise DeviceError(f"{record.name}: there is no CPU kernel of that name for {dtype}")
    if key is not None:
        if len(instances) >= _MOST_INSTANCES:
            instances.clear()
        instances[key] = made
    return made


def make_vjp(instance: Instance, mask: int, reference: bool = False) -> core.Plan:
    """The plan of an instance's vector-Jacobian product for the inputs whose bits are set."""
    needs = tuple(bool(mask >> k & 1) for k in range(len(instance.specs)))
    graph = vjp_graph(instance.record, instance.specs, instance.options, instance.out_dtype, needs)
    return lower(graph, DEFINED if reference else CPU)
