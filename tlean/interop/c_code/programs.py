"""Programs that are exported: traced, differentiated, and with their updates; what each argument of the C function is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tlean import tree
from tlean._core.array import AnyTensor, as_tensor
from tlean.compiler.derive import pulled_back
from tlean.compiler.graph import Graph, GraphRef
from tlean.dtypes import FLOATS
from tlean.errors import OptionError, ShapeError
from tlean.nn.module import Buffer, Module
from tlean.ops import Spec, get
from tlean.optim.optimizer import Optimizer
from tlean.param import Param
from tlean.programs.captured import Captured
from tlean.programs.compiled import Traced
from tlean.programs.recorder import Recorder
from tlean.programs.trace import Trace

from ..tracing import spec_tree
from .steps import STEP_AT


@dataclass
class Port:
    """An argument of the C function: its C name, what it is of the program, and its spec."""

    name: str
    what: str
    spec: Spec


@dataclass
class State:
    """An array that a step changes: its member of the structure, where it begins."""

    name: str
    what: str
    spec: Spec
    begins: AnyTensor


@dataclass
class Exported:
    """A program to be written.

    Attributes:
        graph: its inputs are those of `inputs`, then the states, then the numbers of the updates; its outputs those of `outputs`, then the
            states.
        inputs, outputs: the arguments of the function.
        states: what it keeps from call to call.
        updates: for each update its numbers and the place of the step in them.
        seeds: of its random ops, the last inputs of the graph.
    """

    graph: Graph
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    updates: list[tuple[tuple[float, ...], int | None]] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)


def _specs(specs: Any) -> tuple[Any, ...]:
    # For each argument a tree of Specs; a tuple of integers is a shape.
    if isinstance(specs, Spec) or not isinstance(specs, list | tuple) or all(type(n) is int for n in specs):
        specs = () if isinstance(specs, tuple) and not specs else (specs,)
    return tuple(spec_tree(x) for x in specs)


def exported(f: Any, specs: Any, what: str, wrt: Any, parameters: str, optimizer: Any) -> Exported:
    """The program, traced and differentiated."""
    trees = _specs(specs)
    leaves, structure = tree.flatten(trees)
    dtype = "float64" if any(s.dtype == "float64" for s in leaves) else "float32"
    graph = Traced(dtype, Captured(f, frozen=True, own=True))
    refs = [graph.arg(k, s) for k, s in enumerate(leaves)]
    trace = Trace(graph, Recorder("export_c", f)(graph, *tree.unflatten(structure, refs)))
    names = {id(p): name for name, p in f.named_state().items()} if isinstance(f, Module) else {}
    result = Exported(trace.graph._copy())
    g = result.graph
    g.merge = False
    result.inputs = [Port(f"in{k}", f"argument {_path(trees, k)}", s) for k, s in enumerate(leaves)]
    count = len(g.inputs) - len(graph._seeds)
    given = list(zip(g.inputs[len(leaves) : count], list(trace.captured.given), strict=True))
    result.seeds = g.inputs[count:]  # type: ignore[assignment]
    g.inputs = g.inputs[: len(leaves)]
    held: list[tuple[int, Param]] = []
    for number, (value, kind) in given:
        trained = isinstance(value, Param) and not isinstance(value, Buffer) and value.requires_grad is not False
        if isinstance(value, Param) and (parameters == "arguments" or (what == "step" and trained)):
            held.append((number, value))  # type: ignore[arg-type]
        else:
            g.constants[number] = as_tensor(value._tensor if isinstance(value, Param) else value, kind)  # type: ignore[index]
    trace.captured.settle()
    trained_params = [(v, p) for v, p in held if not isinstance(p, Buffer) and p.requires_grad is not False]
    outputs = [GraphRef(g, v) for v in g.outputs]  # type: ignore[arg-type]
    if what == "step":
        _step(result, trained_params, [p for p in held if p not in trained_params], names, outputs, optimizer)
        return _seeded(result)
    g.inputs += [v for v, _ in held]
    result.inputs += [Port(f"p{k}", _called(p, names, k), g.specs[v]) for k, (v, p) in enumerate(held)]
    result.outputs = [Port(f"out{k}", "result" if len(outputs) == 1 else f"result {k}", r.spec) for k, r in enumerate(outputs)]
    if what == "value_and_grad":
        _gradient(result, leaves, trees, wrt, held, trained_params, outputs)
    return _seeded(result)


def _seeded(result: Exported) -> Exported:
    # Random ops take their seeds from an array, one each.
    if result.seeds:
        result.graph.inputs += result.seeds
        result.inputs.append(Port("seeds", "a seed for each random op", Spec((len(result.seeds),), "int64")))
    return result


def _path(trees: Sequence[Any], leaf: int) -> str:
    # The number of the argument that a leaf is of, and of the leaf in it.
    for k, x in enumerate(trees):
        count = tree.count(tree.flatten(x)[1])
        if leaf < count:
            return str(k) if count == 1 else f"{k}, array {leaf}"
        leaf -= count
    raise AssertionError


def _called(p: Param, names: dict[int, str], k: int) -> str:
    return f"parameter {names.get(id(p)) or p.name or k}"


def _scalar(outputs: Sequence[GraphRef]) -> GraphRef:
    if len(outputs) != 1 or outputs[0].shape != () or outputs[0].dtype not in FLOATS:
        shapes = ", ".join(f"{tuple(r.shape)} {r.dtype}" for r in outputs)
        raise ShapeError(f"export_c: a program that is differentiated must return one float of shape (), got {shapes}")
    return outputs[0]


def _gradient(
    result: Exported, leaves: Sequence[Spec], trees: Sequence[Any], wrt: Any, held: Any, trained: Any, outputs: Sequence[GraphRef]
) -> None:
    g, y = result.graph, _scalar(outputs)
    inputs = [GraphRef(g, v) for v in g.inputs]  # type: ignore[arg-type]
    if wrt is None and trained:
        chosen = [len(leaves) + k for k, each in enumerate(held) if each in trained]
    elif wrt is None:
        chosen = [k for k, s in enumerate(leaves) if s.dtype in FLOATS]
    else:
        wanted = list(wrt) if isinstance(wrt, tuple | list | set | frozenset) else [wrt]
        owner = [k for k, x in enumerate(trees) for _ in range(tree.count(tree.flatten(x)[1]))]
        if any(type(k) is not int or not 0 <= k < len(trees) for k in wanted):
            raise OptionError(f"export_c: wrt must be numbers of arguments from 0 to {len(trees) - 1}, got {wrt!r}")
        chosen = [k for k, s in enumerate(leaves) if owner[k] in wanted and s.dtype in FLOATS]
    xs = [inputs[k] for k in chosen]
    grads = pulled_back(g, [y], [g._full(shape=(), value=1.0, dtype=y.dtype)], xs)
    g.outputs = [y.id, *(r.id for r in grads)]
    ports = [result.inputs[k] for k in chosen]
    result.outputs += [Port(f"grad_{p.name}", f"gradient of {p.what}", p.spec) for p in ports]


def _step(
    result: Exported, trained: Sequence[tuple[int, Param]], fixed: Any, names: dict[int, str], outputs: Sequence[GraphRef], optimizer: Any
) -> None:
    g, y = result.graph, _scalar(outputs)
    if not isinstance(optimizer, Optimizer) or not trained:
        raise OptionError("export_c: a step takes an optimizer=, and a program with parameters that are trained")
    for number, p in fixed:
        g.constants[number] = as_tensor(p._tensor, g.specs[number].dtype)
    xs = [GraphRef(g, v) for v, _ in trained]
    grads = pulled_back(g, [y], [g._full(shape=(), value=1.0, dtype=y.dtype)], xs)
    g.outputs = [y.id]
    after: list[int] = []
    hypers: list[GraphRef] = []
    result.outputs = [Port("loss", "the value before the update", y.spec)]
    for k, ((v, p), x, grad) in enumerate(zip(trained, xs, grads, strict=True)):
        kernel = optimizer.kernel(p)
        if kernel is None:
            g.constants[v] = as_tensor(p._tensor, x.dtype)
            continue
        if kernel not in STEP_AT:
            raise OptionError(f"export_c: no C is written for {kernel.strip('_')}; SGD, with or without momentum, Adam and AdamW have it")
        numbers, second, at = optimizer.hyper(p, 1), optimizer.hyper(p, 2), STEP_AT[kernel]
        if any(a != b for i, (a, b) in enumerate(zip(numbers, second, strict=True)) if i != at):
            raise OptionError("export_c: the rates of a step must be constants, got a schedule")
        record = get(kernel)
        g.inputs.append(v)
        called = _called(p, names, k)
        result.states.append(State(f"p{k}", called, x.spec, as_tensor(p._tensor, x.dtype)))
        slots: list[Any] = []
        for name in record.outputs[1:]:
            slots.append(g.arg(x.spec))
            start = as_tensor([optimizer.initial(p)] * x.spec.size, x.dtype)
            result.states.append(State(f"p{k}_{name.rstrip('1')}", f"{name.rstrip('1')} of {called}", x.spec, start))
        hypers.append(g._value(Spec((len(numbers),), "float64")))
        result.updates.append((tuple(numbers), at))
        after += g._record(record, [x.id, grad.id, *(r.id for r in slots), hypers[-1].id], {})
    if not result.states:
        raise OptionError("export_c: a step takes an optimizer of parameters that the program has, got one of others")
    g.inputs += [r.id for r in hypers]
    g.outputs += after
