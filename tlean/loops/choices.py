"""Choices among programs, of which one runs: `cond` and `switch`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean._core.array import as_tensor
from tlean.compiler.graph import GraphRef
from tlean.compiler.loops.bodies import part
from tlean.compiler.loops.branch import switch_record
from tlean.dtypes import INTEGERS
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.ops.layout import converted
from tlean.programs.recorder import Recorder
from tlean.programs.running import backend_itself

from .bodies import NUMBERS, BodyGraph, called, leaf, spec_of


def cond(pred: Any, true_f: Callable[..., Any], false_f: Callable[..., Any], *operands: Any) -> Any:
    """`true_f(*operands)` where `pred` holds, else `false_f(*operands)`: one of the two runs.

    Args:
        pred: a Boolean of shape `()`; a number holds unless it is 0.
        true_f, false_f: `f(*operands)`, or `f(ops, *operands)`; their results have one structure, and the same shapes and dtypes.
        operands: trees of arrays. What the functions capture needs not be among them.

    Returns: the result; its gradient is that of the function which ran, exact zeros for what only the other reads.
    Raises: ShapeError, DTypeError for results that differ, or a `pred` that has axes.

    Example:
        >>> tl.cond(True, lambda x: x * 2.0, lambda x: x + 1.0, 5.0).item()
        10.0
    """
    recorders = [Recorder("cond", f) for f in (false_f, true_f)]

    def record(program: Any, pred: Any, operands: Any) -> Any:
        ops = backend_itself(program)
        flag = leaf(ops, pred)
        if tuple(flag.shape) != ():
            raise ShapeError(f"cond: pred must be of shape (), got {tuple(flag.shape)}; where(c, a, b) chooses for each element")
        number = converted(ops, converted(ops, flag, "bool"), "int64")
        return recorded("cond", recorders, program, number, operands)

    return called("cond", (true_f, false_f), record, pred, operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`branches[index](*operands)`; an index out of range means the nearest.

    Args:
        index: an integer of shape `()`.
        branches: functions, as for `cond`.
        operands: trees of arrays.

    Raises: OptionError without branches; as `cond` does.

    Example:
        >>> tl.switch(1, [lambda x: x, lambda x: x * x, lambda x: x * x * x], 3.0).item()
        9.0
    """
    if not isinstance(branches, tuple | list) or not branches:
        raise OptionError(f"switch: branches must be a sequence of functions, got {branches!r}")
    recorders = [Recorder("switch", f) for f in branches]

    def record(program: Any, index: Any, operands: Any) -> Any:
        ops = backend_itself(program)
        number = leaf(ops, index)
        if str(number.dtype) not in INTEGERS or tuple(number.shape) != ():
            raise DTypeError(f"switch: index must be an integer of shape (), got {tuple(number.shape)} {number.dtype}")
        return recorded("switch", recorders, program, converted(ops, number, "int64"), operands)

    return called("switch", branches, record, index, operands)


def recorded(name: str, functions: Sequence[Callable[..., Any]], program: Any, index: Any, operands: tuple[Any, ...]) -> Any:
    """Record a choice into a program; returns the result.

    Args:
        name: of the choice, for messages.
        functions: `function(graph, *operands)` records a branch.
        program: a backend, or what is wrapped around one.
        index: the number of the branch that runs.
        operands: trees.
    """
    ops = backend_itself(program)
    leaves, structure = tree.flatten(operands)
    refs = [leaf(ops, x) for x in leaves]
    graphs: list[BodyGraph] = []
    results: list[tuple[list[Any], Any]] = []
    for f in functions:
        graph = graphs[-1].beside() if graphs else BodyGraph(name, program)
        args = tree.unflatten(structure, [graph.arg(spec_of(r)) for r in refs])
        results.append(tree.flatten(f(graph, *args)))
        graphs.append(graph)
    outputs = _agreed(name, graphs, results)
    made_structure = results[0][1]
    if not outputs[0]:
        return tree.unflatten(made_structure, [])
    for graph in graphs:
        if graph.step is not None:
            # There is one step.
            graph.constants[graph.step.id] = as_tensor(0, "int64")
    inputs, bodies = together(graphs, outputs, refs)
    record = switch_record(bodies, "checkpoint" if name == "checkpoint" else "switch")
    made = ops.apply(record, (index, *inputs), {})
    return tree.unflatten(made_structure, list(made) if isinstance(made, tuple) else [made])


def _agreed(name: str, graphs: Sequence[BodyGraph], results: Sequence[tuple[list[Any], Any]]) -> list[list[GraphRef]]:
    # The results as references, of the same dtypes: a plain number has that of the other branches.
    structure = results[0][1]
    for _, other in results[1:]:
        if other != structure:
            wanted, got = tree.describe(structure), tree.describe(other)
            raise ShapeError(f"{name}: the branches must return one structure, got {wanted} and {got}")
    outputs: list[list[Any]] = [[] for _ in graphs]
    for k in range(len(results[0][0])):
        values = [found[k] for found, _ in results]
        refs = [None if type(v) in NUMBERS else g.ref(v) for g, v in zip(graphs, values, strict=True)]
        dtype = next((r.dtype for r in refs if r is not None), None)
        for j, (g, v) in enumerate(zip(graphs, values, strict=True)):
            if refs[j] is None:
                refs[j] = g.const(v) if dtype is None else g._constant(as_tensor(v, str(dtype)))
            outputs[j].append(refs[j])
        first = refs[0].spec  # type: ignore[union-attr]
        for r in refs[1:]:
            if r.spec != first:  # type: ignore[union-attr]
                kind = ShapeError if r.shape != first.shape else DTypeError  # type: ignore[union-attr]
                got = f"{first.shape} {first.dtype} and {r.shape} {r.dtype}"  # type: ignore[union-attr]
                raise kind(f"{name}: the branches must return the same shapes and dtypes, got {got} for leaf {k}")
    return outputs


def together(
    graphs: Sequence[BodyGraph], outputs: Sequence[Sequence[GraphRef]], refs: Sequence[Any], kept: int = 0
) -> tuple[list[Any], list[Any]]:
    """Bodies that all take what any of them reads, and these inputs.

    Args:
        graphs: the bodies as they were recorded, with an argument for each of `refs`.
        outputs: of each.
        refs: what they are given, before what they capture.
        kept: how many of the first inputs stay, whether they are read or not.
    """
    n = len(refs)
    captured: dict[Any, Any] = {}
    own: list[dict[Any, int]] = []
    for graph in graphs:
        own.append({})
        for value, outer in zip(graph.inputs[n:], graph.captured, strict=True):
            key = outer.id if isinstance(outer, GraphRef) else id(outer)
            captured.setdefault(key, outer)
            own[-1][key] = value  # type: ignore[assignment]
    bodies = []
    for graph, outs, mine in zip(graphs, outputs, own, strict=True):
        more = [mine[key] if key in mine else graph._value(spec_of(outer)).id for key, outer in captured.items()]
        bodies.append(part(graph, [*graph.inputs[:n], *more], [r.id for r in outs]))  # type: ignore[list-item]
    read = [{i for node in b.nodes for i in node.inputs} | set(b.outputs) for b in bodies]
    used = [k for k in range(n + len(captured)) if k < kept or any(b.inputs[k] in r for b, r in zip(bodies, read, strict=True))]
    for body in bodies:
        body.inputs = [body.inputs[k] for k in used]
    inputs = [*refs, *captured.values()]
    for graph in graphs:
        graph.forget()
    return [inputs[k] for k in used], bodies
