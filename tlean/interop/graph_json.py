"""Recorded programs as JSON: ops by name, values by number, loops with their bodies. Arrays are kept apart, by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tlean._core.array import AnyTensor
from tlean.compiler.graph import Graph, GraphNode
from tlean.compiler.loops.branch import Switch, switch_record
from tlean.compiler.loops.scan import Scan, scan_record
from tlean.compiler.loops.whiles import While, while_record
from tlean.dtypes import SIZES
from tlean.errors import DataError, OptionError
from tlean.ops import OpDef, Spec, get
from tlean.shapes import as_shape

#: What JSON has no numbers for, and Python's tuples, are objects of one key.
_FLOAT, _TUPLE = "$float", "$tuple"


def written(graph: Graph, arrays: dict[str, AnyTensor], prefix: str = "constants") -> dict[str, Any]:
    """A program as JSON.

    Args:
        graph: the program. Its inputs are numbered first, then its constants, then what its nodes make.
        arrays: gets the constants, by names that begin with `prefix`.
        prefix: see `arrays`.

    Raises: OptionError for an op that exists in this process alone: a function of Python.
    """
    number: dict[int | None, int | None] = {None: None}
    for v in graph.inputs:
        if v is not None:
            number.setdefault(v, len(number) - 1)
    constants: list[str] = []
    for v, value in graph.constants.items():
        name = f"{prefix}.{len(constants)}"
        arrays[name] = value
        constants.append(name)
        number[v] = len(number) - 1
    nodes: list[dict[str, Any]] = []
    for node in graph.nodes:
        call: dict[str, Any] = {"op": node.record.name} if node.record.registered else _loop(node, arrays, f"{prefix}.{len(nodes)}")
        call["inputs"] = [number[i] for i in node.inputs]
        if node.options:
            call["options"] = {k: plain(v) for k, v in node.options.items()}
        if node.name:
            call["name"] = str(node.name)
        for v in node.outputs:
            number[v] = len(number) - 1
        call["makes"] = len(node.outputs)
        nodes.append(call)
    inputs = [None if v is None else _spec(graph.specs[v]) for v in graph.inputs]
    return {
        "dtype": graph.dtype,
        "inputs": inputs,
        "constants": constants,
        "nodes": nodes,
        "outputs": [number[v] for v in graph.outputs],
    }


def read(value: Mapping[str, Any], arrays: Mapping[str, AnyTensor]) -> Graph:
    """The program that `written` made this of. Raises: DataError, or KeyError, TypeError and kin, for what it did not make."""
    graph = Graph(_dtype(value["dtype"]), merge=False)
    values: list[int] = []
    for spec in value["inputs"]:
        ref = graph.arg(None if spec is None else Spec(as_shape(spec[0]), _dtype(spec[1])))
        if ref is not None:
            values.append(ref.id)
    values += [graph._constant(arrays[name]).id for name in value["constants"]]
    for call in value["nodes"]:
        ids = [None if k is None else values[_index(k, values)] for k in call["inputs"]]
        options = {str(k): parsed(v) for k, v in call.get("options", {}).items()}
        made = graph._record(_record(call, arrays), ids, options, call.get("name"))
        if len(made) != call["makes"]:
            raise DataError(
                f"{call.get('op')} makes {len(made)} values in this version, and {call['makes']} in the one that wrote the file"
            )
        values += made
    graph.outputs = [None if k is None else values[_index(k, values)] for k in value["outputs"]]
    return graph


def _loop(node: GraphNode, arrays: dict[str, AnyTensor], prefix: str) -> dict[str, Any]:
    loop = node.record.loop
    what: dict[str, Any]
    if type(loop) is Scan:
        what = {"op": "scan", "carries": loop.carries, "xs": loop.xs, "length": loop.length, "reverse": loop.reverse}
        what |= {"sweep": loop.sweep, "unroll": loop.unroll}
    elif type(loop) is While:
        what = {"op": "while_loop", "carries": loop.carries, "most": loop.most, "lengths": list(loop.lengths)}
    elif type(loop) is Switch:
        what = {"op": "switch", "title": loop.title}
    else:
        raise OptionError(f"save_program: {node.record.name} is a function of this process, which no file can hold; use ops alone")
    what["bodies"] = [written(b, arrays, f"{prefix}.{k}") for k, b in enumerate(loop.bodies)]
    return what


def _record(call: Mapping[str, Any], arrays: Mapping[str, AnyTensor]) -> OpDef:
    name = call["op"]
    if "bodies" not in call:
        return get(name)
    bodies = [read(b, arrays) for b in call["bodies"]]
    if name == "scan":
        (body,) = bodies
        _within(body, call["carries"], call["xs"])
        return scan_record(
            body, call["carries"], call["xs"], _count(call["length"]), _truth(call["reverse"]), call["sweep"], call["unroll"]
        )
    if name == "while_loop":
        condition, body = bodies
        _within(body, call["carries"])
        most = call["most"]
        return while_record(condition, body, call["carries"], None if most is None else _count(most), tuple(map(_count, call["lengths"])))
    if name == "switch":
        return switch_record(bodies, str(call["title"]))
    raise DataError(f"a loop {name!r} is not known to this version")


def _within(body: Graph, *counts: Any) -> None:
    if sum(map(_count, counts)) > len(body.inputs) or counts[0] > len(body.outputs):
        raise DataError(f"a loop of {counts} carries and stacks has a body of {len(body.inputs)} inputs")


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise DataError(f"a count must be an integer of at least 0, got {value!r}")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise DataError(f"a direction must be true or false, got {value!r}")
    return value


def _index(k: Any, values: list[int]) -> int:
    if type(k) is not int or not 0 <= k < len(values):
        raise DataError(f"value {k!r} is read before it is made")
    return k


def _spec(spec: Spec) -> list[Any]:
    return [list(spec.shape), spec.dtype]


def _dtype(name: Any) -> str:
    if name not in SIZES:
        raise DataError(f"a dtype must be one of {', '.join(sorted(SIZES))}, got {name!r}")
    return str(name)


def plain(value: Any) -> Any:
    """An option as JSON. Raises: OptionError for what cannot be written."""
    if isinstance(value, tuple):
        return {_TUPLE: [plain(v) for v in value]}
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise OptionError(f"save_program: an option of {type(value).__name__} cannot be written: {value!r}")


def parsed(value: Any) -> Any:
    """The option that `plain` made this of. Raises: DataError."""
    if isinstance(value, dict):
        ((kind, inside),) = value.items()
        if kind == _TUPLE:
            return tuple(map(parsed, inside))
        if kind == _FLOAT and inside in ("nan", "inf", "-inf"):
            return float(inside)
        raise DataError(f"an option must be a number, a text, None or a tuple of them, got {value!r}")
    if isinstance(value, list):
        raise DataError(f"an option must be a number, a text, None or a tuple of them, got {value!r}")
    return value
