"""A program recorded for a file: its graph, with the parameters that it uses by name. What else it captures is constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tlean import tree
from tlean._core.array import AnyTensor, as_tensor
from tlean.compiler.graph import Graph
from tlean.nn.module import Buffer, Module
from tlean.ops import FLOAT, Spec
from tlean.param import Param
from tlean.programs.captured import Captured
from tlean.programs.compiled import Traced
from tlean.programs.recorder import Recorder
from tlean.programs.specs import as_spec
from tlean.programs.trace import Trace


class State(NamedTuple):
    """A parameter that a program uses: its name, its value now, whether it is a parameter or a buffer, and whether it is frozen."""

    name: str
    value: AnyTensor
    trained: bool
    frozen: bool


class Recorded(NamedTuple):
    """A program as a file holds it.

    The inputs of its graph are the arguments' leaves, then those of `state`, then the seeds of random ops.
    """

    graph: Graph
    arguments: Any
    result: Any
    state: list[State]


def recorded(name: str, f: Any, examples: Sequence[Any]) -> Recorded:
    """Record a program for arguments like these.

    Args:
        name: of the caller, for messages.
        f: a program, `f(*args)` or `f(ops, *args)`, or a model.
        examples: for each argument an array, a `Spec`, a shape, or a tree of arrays and Specs.

    Raises: what the program's ops raise.
    """
    leaves, structure = tree.flatten(tuple(spec_tree(x) for x in examples))
    dtype = "float64" if any(s.dtype == "float64" for s in leaves) else "float32"
    leaves = [s.resolved(dtype) for s in leaves]
    graph = Traced(dtype, Captured(f, frozen=True, own=True))
    refs = [graph.arg(k, s) for k, s in enumerate(leaves)]
    trace = Trace(graph, Recorder(name, f)(graph, *tree.unflatten(structure, refs)))
    names = {id(p): n for n, p in f.named_state().items()} if isinstance(f, Module) else {}
    state: list[State] = []
    taken: set[str] = set()
    for number, (value, kind) in zip(trace.graph.inputs[len(leaves) :], list(trace.captured.given), strict=False):
        if not isinstance(value, Param):
            trace.graph.inputs.remove(number)
            trace.graph.constants[number] = as_tensor(value, kind)  # type: ignore[index]
            continue
        label = names.get(id(value)) or value.name or f"parameter.{len(state)}"
        if label in taken:
            label = f"parameter.{len(state)}"
        taken.add(label)
        trained = not isinstance(value, Buffer)
        state.append(State(label, as_tensor(value._tensor, kind), trained, trained and value.requires_grad is False))
    trace.captured.settle()
    return Recorded(trace.graph, structure, trace.structure, state)


def spec_tree(value: Any) -> Any:
    """An argument, a tree of arrays and Specs, as a tree of Specs. A tuple of integers is a shape."""
    if isinstance(value, Spec) or (isinstance(value, tuple) and all(type(n) is int for n in value)):
        return as_spec(value).resolved("float32")
    leaves, structure = tree.flatten(value)
    specs = []
    for x in leaves:
        if isinstance(x, Spec):
            specs.append(as_spec(x).resolved("float32"))
        elif type(x) is float:
            # As exact as what it meets.
            specs.append(Spec((), FLOAT))
        else:
            tensor = as_tensor(x)
            specs.append(Spec(tuple(tensor.shape), tensor.dtype))
    return tree.unflatten(structure, specs)
