"""From graphs to plans: kernels by name, values to places, temporaries to one block that is reused as values die."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tlean._core import plan as core
from tlean._core.table import ACCUMULATES, KERNELS
from tlean._core.tape import Instance
from tlean.errors import DeviceError
from tlean.ops import OpDef, Spec

from .derive import decomposition, vjp_graph
from .graph import Graph, GraphNode

_SIZES = {"float32": 4, "float64": 8, "int64": 8, "int32": 4, "bool": 1}
_SUFFIX = {"float32": "f32", "float64": "f64"}
_ALIGN = 64


def nbytes(spec: Spec) -> int:
    """Bytes of an array of that spec."""
    return spec.size * _SIZES[spec.dtype]


def kernel_address(record: OpDef, dtype: str) -> int | None:
    """The address of an op's kernel for programs of that float dtype, or None if the op has none of its own."""
    return KERNELS.get(f"{record.kernel}:{_SUFFIX[dtype]}")


def work_of(record: OpDef, specs: Sequence[Spec | None], outs: Sequence[Spec], options: dict[str, Any]) -> float:
    """A rough time of one kernel call on one core, in nanoseconds: memory at 10 GB/s, arithmetic at 30 GFLOP/s."""
    moved = sum(nbytes(s) for s in (*specs, *outs) if s is not None)
    flops = record.flops(*(None if s is None else s.shape for s in specs), **options) if record.flops else 0.0
    return moved / 10.0 + flops / 30.0


def expand(graph: Graph) -> Graph:
    """The same program with every op that has no kernel replaced by its decomposition."""
    if all(n.record.view or kernel_address(n.record, graph.dtype) for n in graph.nodes):
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
        if node.record.view or kernel_address(node.record, graph.dtype):
            made: Sequence[int] = out.record(node.record, inputs, node.options, node.name)
        else:
            specs = [None if i is None else graph.specs[i] for i in node.inputs]
            if node.record.rules.decompose is None:
                raise DeviceError(f"{node.record.name}: there is no CPU kernel of that name for {graph.dtype}")
            inner = expand(decomposition(node.record, specs, node.options, graph.dtype))
            refs = out.inline(inner, [None if i is None else _ref(out, i) for i in inputs])
            made = [r.id for r in refs if r is not None]
        where.update(zip(node.outputs, made, strict=False))
    out.outputs = [None if v is None else where[v] for v in graph.outputs]
    return out.prune()


def _ref(graph: Graph, value: int) -> Any:
    from .graph import GraphRef

    return GraphRef(graph, value)


@dataclass(frozen=True)
class Program:
    """What a plan does, for people and for other devices: kernel names, value ids and numbers, no addresses."""

    instructions: tuple[tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[float, ...]], ...]
    graph: Graph

    def instruction_name(self, k: int) -> str:
        """The kernel of instruction k."""
        return self.instructions[k][0].lstrip("_")

    def __str__(self) -> str:
        return "\n".join(f"{', '.join(f'%{o}' for o in outs)} = {name}({', '.join(f'%{i}' for i in ins)})" for name, outs, ins, _, _ in self.instructions)


class _Scratch:
    # One block for all temporaries: first fit among the holes that dead values left.
    def __init__(self) -> None:
        self.size = 0
        self.holes: list[tuple[int, int]] = []

    def take(self, size: int) -> int:
        size = max(_ALIGN, (size + _ALIGN - 1) // _ALIGN * _ALIGN)
        for k, (at, room) in enumerate(self.holes):
            if room >= size:
                self.holes[k : k + 1] = [(at + size, room - size)] if room > size else []
                return at
        at = self.size
        self.size += size
        return at

    def give(self, at: int, size: int) -> None:
        size = max(_ALIGN, (size + _ALIGN - 1) // _ALIGN * _ALIGN)
        merged: list[tuple[int, int]] = []
        for hole in sorted([*self.holes, (at, size)]):
            if merged and merged[-1][0] + merged[-1][1] == hole[0]:
                merged[-1] = (merged[-1][0], merged[-1][1] + hole[1])
            else:
                merged.append(hole)
        self.holes = merged


def lower(graph: Graph) -> core.Plan:
    """A plan for the CPU that computes the graph's outputs."""
    graph = expand(graph)
    nodes = graph.needed()
    root = _roots(graph, nodes)
    copies: list[tuple[int, int]] = []
    places: list[tuple[int, int]] = [(core_at("nowhere"), 0)] * len(graph.specs)
    for k, value in enumerate(graph.inputs):
        if value is not None:
            places[value] = (core_at("input"), k)
    for k, value in enumerate(graph.constants):
        places[value] = (core_at("const"), k)

    outputs: list[tuple[int, int, int]] = []
    owner: dict[int, int] = {}
    given = {v: k for k, v in enumerate(graph.inputs) if v is not None}
    for j, value in enumerate(graph.outputs):
        source = None if value is None else root[value]
        if source is None:
            outputs.append((0, 0, -1))
        elif source in given:
            outputs.append((2, given[source], -1))
        elif source in graph.constants or source in owner:
            # A value that is returned twice, or a constant that is returned: copied, since outputs own their memory.
            places.append((core_at("output"), j))
            copies.append((source, len(places) - 1))
            outputs.append((1, 0, -1))
        else:
            owner[source] = j
            places[source] = (core_at("output"), j)
            outputs.append((1, 0, -1))

    last_use: dict[int, int] = {}
    uses: dict[int, int] = {}
    running = [n for n in nodes if not n.record.view]
    for k, node in enumerate(running):
        for i in {root[i] for i in node.inputs if i is not None}:
            last_use[i] = k
            uses[i] = uses.get(i, 0) + 1
    for source, _ in copies:
        last_use[source] = len(running)
        uses[source] = uses.get(source, 0) + 1

    scratch = _Scratch()
    instructions: list[Any] = []
    names: list[Any] = []
    work = 0.0
    for k, node in enumerate(running):
        born = []
        for v in node.outputs:
            if v not in owner and v in last_use:
                places[v] = (core_at("scratch"), scratch.take(nbytes(graph.specs[v])))
            elif v not in owner:
                born.append(v)
        made = [v if v in owner or v in last_use else -1 for v in node.outputs]
        if all(m < 0 for m in made):
            continue
        specs = tuple(None if i is None else graph.specs[i] for i in node.inputs)
        ints, floats = node.record.numbers(specs, node.options)
        ins = tuple(-1 if i is None else root[i] for i in node.inputs)
        address = kernel_address(node.record, graph.dtype)
        if len(made) == 1 and made[0] in owner and uses.get(made[0], 0) == 0 and node.record.kernel in ACCUMULATES:
            j = owner[made[0]]
            outputs[j] = (1, 0, len(instructions))
        instructions.append((address, tuple(made), ins, ints, floats))
        names.append((node.record.kernel, tuple(made), ins, ints, floats))
        work += work_of(node.record, specs, [graph.specs[v] for v in node.outputs], node.options)
        for i in {root[i] for i in node.inputs if i is not None} | set(node.outputs):
            if places[i][0] == core_at("scratch") and last_use.get(i) == k:
                scratch.give(places[i][1], nbytes(graph.specs[i]))
    for source, copy in copies:
        size = (graph.specs[source].size,)
        address = KERNELS[f"accumulate:{_SUFFIX[graph.dtype]}"]
        instructions.append((address, (copy,), (source,), size, ()))
        names.append(("copy", (copy,), (source,), size, ()))
    program = Program(tuple(names), graph)
    return core.Plan(places, instructions, len(graph.inputs), outputs, scratch.size, tuple(graph.constants.values()), work, program)


def _roots(graph: Graph, nodes: Sequence[GraphNode]) -> list[int]:
    # The value whose memory a value is: itself, but for views.
    root = list(range(len(graph.specs)))
    for node in nodes:
        if node.record.view and node.inputs[0] is not None:
            root[node.outputs[0]] = root[node.inputs[0]]
    return root


def core_at(kind: str) -> int:
    """The plan's number for a kind of place."""
    return _PLACES[kind]


_PLACES = {"input": 0, "output": 1, "scratch": 2, "const": 3, "nowhere": 4}

_INSTANCES: dict[Any, Instance] = {}


def instantiate(record: OpDef, dtype: str, specs: tuple[Spec | None, ...], options: dict[str, Any]) -> Instance:
    """The interned instance of an op: output, kernel and numbers at these specs and options.

    Raises: ShapeError, OptionError, DTypeError, IndexRangeError as the op's rules say.
    """
    clean, outs = record.infer(specs, options)
    key: Any = (record.name, dtype, specs, tuple((k, repr(v) if isinstance(v, float) else v) for k, v in clean.items()))
    try:
        known = _INSTANCES.get(key)
    except TypeError:
        key, known = None, None
    if known is not None:
        return known
    outs = [o.resolved(dtype) for o in outs]
    if len(record.outputs) > 1:
        raise DeviceError(f"{record.name}: an op with several outputs has no place on a tape")
    address = kernel_address(record, dtype)
    residuals = [(o.shape, o.dtype) for o in outs[1:]]
    work = work_of(record, specs, outs, clean)
    if address or record.view:
        ints, floats = record.numbers(specs, clean)
        made = Instance(record, clean, specs, outs[0].shape, outs[0].dtype, residuals, address or 0, ints, floats, None, make_vjp, work)
    elif record.rules.decompose is not None:
        graph = decomposition(record, specs, clean, dtype)
        plan = lower(graph)
        made = Instance(record, clean, specs, outs[0].shape, outs[0].dtype, residuals, 0, (), (), plan, make_vjp, plan.work)
    else:
        raise DeviceError(f"{record.name}: there is no CPU kernel of that name for {dtype}")
    if key is not None:
        _INSTANCES[key] = made
    return made


def make_vjp(instance: Instance, mask: int) -> core.Plan:
    """The plan of an instance's vector-Jacobian product for the inputs whose bits are set (bit 63 stands for all inputs from 63 on)."""
    needs = tuple(bool(mask >> min(k, 63) & 1) for k in range(len(instance.specs)))
    dtype = instance.out_dtype
    return lower(vjp_graph(instance.record, instance.specs, instance.options, dtype, needs))
