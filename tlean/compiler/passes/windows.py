"""Windows of arrays, read and written where they are.

Stencils work on windows: boxes of one array that are shifted against each other. From its first element to its last a box is a range of the
array, with a few elements between its rows that are not in it. So elementwise ops on windows are ops on ranges, which fused groups read
where they are: what they compute between the rows is not used. Where the result is put into an array of the same rows (`_set_box`,
`_place`), the group writes it there, and what lies between the rows is put back (`IN_BOX`). Nothing is copied, and no bit changes.

The adjoint of a window puts a value into zeros. Where one value is put there at several places, it is put into larger zeros once, of which
each is a range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tlean.dtypes import FLOATS, SIZES
from tlean.ops import OpDef, Spec, get
from tlean.ops.layout import row_strides
from tlean.shapes import Shape, size

from ..graph import Graph, GraphNode
from ..target import IN_BOX, IN_RANGE, OF_RANGE, Target
from .fuse import SHORTEST_SHIFT

#: Of a range at most this part more than the box is computed.
_MOST_WASTE = 0.25


def windows(graph: Graph, target: Target) -> Graph:
    """The same program with ops on windows as ops on ranges."""
    if not any(n.record.kernel in ("place", "set_box") for n in graph.nodes):
        return graph
    graph = _placed_once(graph)
    boxes = boxes_of(graph, target)
    return _in_ranges(graph, boxes) if boxes else graph


# Values that are put into zeros at several places ----------------------------------------------------------------------------------


def _placed_once(graph: Graph) -> Graph:
    places: dict[int | None, list[GraphNode]] = {}
    for node in graph.nodes:
        if _places(graph, node):
            places.setdefault(node.inputs[0], []).append(node)
    several = {
        id(node): nodes for nodes in places.values() if len(nodes) > 1 and len({n.options["shape"] for n in nodes}) == 1 for node in nodes
    }
    if not several:
        return graph
    out = _Rewritten(graph)
    wholes: dict[int, tuple[int, int]] = {}
    for node in graph.nodes:
        nodes = several.get(id(node))
        if nodes is None:
            out.nodes.append(node)
            continue
        rows, width = shape = node.options["shape"]
        first = max(_start(n) for n in nodes)
        if id(nodes) not in wholes:
            # One array of zeros and the value, from which each range begins as far before the value as its place is from the first.
            more = -(-(first - min(_start(n) for n in nodes)) // width)
            options = {"shape": (rows + more, width), "starts": divmod(first, width), "steps": (1, 1)}
            whole = out.add("_place", node.inputs, options)
            wholes[id(nodes)] = out.add("reshape", (whole,), {"shape": (size(options["shape"]),)}), first
        flat, first = wholes[id(nodes)]
        at = first - _start(node)
        taken = out.add("slice", (flat,), {"starts": (at,), "stops": (at + size(shape),)})
        out.add("reshape", (taken,), {"shape": shape}, node.outputs)
    return out.graph


def _places(graph: Graph, node: GraphNode) -> bool:
    # Whether it puts a window of two axes into zeros.
    spec = graph.specs[node.outputs[0]]
    large = len(spec.shape) == 2 and spec.size >= SHORTEST_SHIFT and spec.dtype in FLOATS
    return large and node.record.name == "_place" and set(node.options["steps"]) == {1} and graph.specs[node.inputs[0]].size > 0  # type: ignore[index]


def _start(node: GraphNode) -> int:
    row, column = node.options["starts"]
    return int(row * node.options["shape"][1] + column)


# Elementwise ops on windows --------------------------------------------------------------------------------------------------------


class Box(NamedTuple):
    """A value of windows that is put into a larger array: its strides there, the elements of its range, and the nodes that make it."""

    value: int
    strides: Shape
    reach: int
    nodes: tuple[GraphNode, ...]
    #: Arrays of the box's shape that they read.
    whole: tuple[int, ...]

    @property
    def layout(self) -> tuple[Shape, int]:
        """What boxes have in common that one group makes."""
        return self.strides, self.reach


def boxes_of(graph: Graph, target: Target) -> dict[int, Box]:
    """The boxes that groups write where they are, by the value of the op that puts them there.

    Args:
        graph: the program.
        target: what fuses.
    """
    makers = {v: n for n in graph.nodes for v in n.outputs}
    reads = Counter(v for n in graph.nodes for v in n.inputs)
    reads.update([*graph.outputs, *(after for _, _, after in graph.states)])
    found = {n.outputs[0]: box for n in graph.nodes if (box := _box(graph, n, makers, target)) is not None}
    # What is written to its place is nowhere else.
    found = {k: box for k, box in found.items() if reads[box.value] == 1}
    while found:
        layouts: dict[int, set[Any]] = {}
        for box in found.values():
            for n in box.nodes:
                layouts.setdefault(n.outputs[0], set()).add(box.layout)
        strange = {v for v, several in layouts.items() if len(several) > 1}
        taken = _taken(graph, found)
        left = {k: b for k, b in found.items() if not any(n.outputs[0] in strange for n in b.nodes) and _pays(b, taken, makers)}
        if len(left) == len(found):
            break
        found = left
    return found


def _taken(graph: Graph, boxes: Mapping[int, Box]) -> set[int]:
    # What is made in ranges, and read by others than ops on ranges.
    inner = {id(n) for box in boxes.values() for n in box.nodes}
    values = {v for box in boxes.values() for n in box.nodes for v in n.outputs}
    read = {v for v in (*graph.outputs, *(after for _, _, after in graph.states)) if v is not None}
    read.update(v for n in graph.nodes if id(n) not in inner and n.outputs[0] not in boxes for v in n.inputs if v is not None)
    return values & read


def _pays(box: Box, taken: set[int], makers: Mapping[int, GraphNode]) -> bool:
    # Whether fewer boxes are copied than else.
    windows = {i for n in box.nodes for i in n.inputs if i in makers and makers[i].record.name == "slice"}  # type: ignore[index]
    return len(box.whole) <= 2 * len(windows) and sum(n.outputs[0] in taken for n in box.nodes) <= len(windows)


def _box(graph: Graph, node: GraphNode, makers: Mapping[int, GraphNode], target: Target) -> Box | None:
    if node.record.name == "_place":
        value, shape = node.inputs[0], node.options["shape"]
    elif node.record.name == "_set_box" and node.inputs[2] is None:
        value, shape = node.inputs[1], graph.specs[node.outputs[0]].shape
        given = {v for v in graph.inputs if v is not None} - {before for _, before, _ in graph.states}
        if node.inputs[0] not in given:
            return None
    else:
        return None
    spec = graph.specs[value]  # type: ignore[index]
    if spec.dtype not in FLOATS or set(node.options["steps"]) != {1} or not spec.size:
        return None
    strides = row_strides(shape)
    reach = 1 + sum((n - 1) * s for n, s in zip(spec.shape, strides, strict=True))
    if reach < SHORTEST_SHIFT or reach > (1.0 + _MOST_WASTE) * spec.size or reach == size(shape):
        return None
    parts = _made_of_windows(graph, value, spec, strides, makers, target)  # type: ignore[arg-type]
    return None if parts is None else Box(value, strides, reach, *parts)  # type: ignore[arg-type]


def _made_of_windows(
    graph: Graph, value: int, spec: Spec, strides: Shape, makers: Mapping[int, GraphNode], target: Target
) -> tuple[tuple[GraphNode, ...], tuple[int, ...]] | None:
    # The elementwise ops that make a value of windows, numbers and arrays of its shape, and these arrays; None for another value.
    nodes: dict[int, GraphNode] = {}
    whole: dict[int, None] = {}
    todo, shifted = [value], False
    fits = len(spec.shape) == 2 and strides[0] <= 2 * spec.shape[1]
    while todo:
        v = todo.pop()
        node = makers.get(v)
        if v in nodes or v in whole:
            continue
        if graph.specs[v] != spec:
            return None
        if node is not None and _window(graph, node, strides):
            shifted = True
        elif node is not None and node.record.spreads and len(node.inputs) == 1 and graph.specs[node.inputs[0]].size == 1:  # type: ignore[index]
            continue
        elif node is not None and _elementwise(node, spec, target):
            nodes[v] = node
            todo += node.inputs  # type: ignore[arg-type]
        elif fits:
            whole[v] = None
        else:
            return None
    return (tuple(nodes.values()), tuple(whole)) if shifted and value in nodes else None


def _elementwise(node: GraphNode, spec: Spec, target: Target) -> bool:
    plain = len(node.outputs) == 1 and not node.record.view and len(node.inputs) > 0 and None not in node.inputs
    return plain and target.fuses(node.record, spec.dtype)


def _window(graph: Graph, node: GraphNode, strides: Shape) -> bool:
    # Whether a node takes a window of an array of these strides.
    if node.record.name != "slice" or set(node.options["steps"]) != {1}:
        return False
    return row_strides(graph.specs[node.inputs[0]].shape) == strides  # type: ignore[index]


def _leads(graph: Graph, boxes: Mapping[int, Box], makers: Mapping[int, GraphNode]) -> dict[Any, int]:
    # By layout: how many elements before its box a range begins, so that what is written begins with a line of the cache.
    leads: dict[Any, int] = {}
    least: dict[Any, int] = {}
    for node in graph.nodes:
        box = boxes.get(node.outputs[0])
        if box is None:
            continue
        taken = [makers[i] for n in box.nodes for i in n.inputs if i in makers and makers[i].record.name == "slice"]  # type: ignore[index]
        firsts = [_first(n, box) for n in (node, *taken)]
        lead = firsts[0] % (64 // SIZES[graph.specs[box.value].dtype])
        leads.setdefault(box.layout, lead)
        # A range is shorter than what it is written to.
        short = leads[box.layout] + box.reach < graph.specs[node.outputs[0]].size
        least[box.layout] = min(least.get(box.layout, firsts[0]), *firsts) if short and not box.whole else 0
    return {layout: lead if lead <= least[layout] else 0 for layout, lead in leads.items()}


def _first(node: GraphNode, box: Box) -> int:
    # Where a window, or what is put into an array, begins there.
    return int(sum(a * s for a, s in zip(node.options["starts"], box.strides, strict=True)))


def _in_ranges(graph: Graph, boxes: Mapping[int, Box]) -> Graph:
    out = _Rewritten(graph)
    makers = {v: n for n in graph.nodes for v in n.outputs}
    leads = _leads(graph, boxes, makers)
    ranges: dict[Any, int] = {}
    inner = {id(n) for box in boxes.values() for n in box.nodes}

    def ranged(v: int, box: Box) -> int:
        # The range of a window, or a number spread over one.
        key = v, box.layout
        if key not in ranges:
            if v in box.whole:
                ranges[key] = out.add(IN_RANGE, (v,), {"width": box.strides[0]})
                return ranges[key]
            node = makers[v]
            source = node.inputs[0]
            if node.record.name == "slice":
                flat = out.add("reshape", (source,), {"shape": (graph.specs[source].size,)})  # type: ignore[index]
                at = _first(node, box) - leads[box.layout]
                ranges[key] = out.add("slice", (flat,), {"starts": (at,), "stops": (at + leads[box.layout] + box.reach,)})
            else:
                shape = (leads[box.layout] + box.reach,)
                ranges[key] = out.add("broadcast_to", (out.number(source),), {"shape": shape})  # type: ignore[arg-type]
        return ranges[key]

    owner = {id(n): box for box in boxes.values() for n in box.nodes}
    taken = _taken(graph, boxes)
    for node in graph.nodes:
        box = boxes.get(node.outputs[0])
        if id(node) in inner:
            own = owner[id(node)]
            inputs = [ranges[i, own.layout] if (i, own.layout) in ranges else ranged(i, own) for i in node.inputs]  # type: ignore[arg-type]
            made = ranges[node.outputs[0], own.layout] = out.add(node.record, inputs, node.options, name=node.name)
            if node.outputs[0] in taken:
                options = {"lead": leads[own.layout], "sizes": graph.specs[node.outputs[0]].shape, "strides": own.strides}
                out.nodes.append(GraphNode(OF_RANGE, (made,), node.outputs, options))
        elif box is not None:
            whole = graph.specs[node.outputs[0]].shape
            sizes = graph.specs[box.value].shape
            offset, lead = _first(node, box), leads[box.layout]
            base = node.inputs[0] if node.record.name == "_set_box" else None
            options = {"shape": whole, "offset": offset, "lead": lead, "sizes": sizes, "strides": box.strides}
            out.nodes.append(GraphNode(IN_BOX, (ranges[box.value, box.layout], base), node.outputs, options, node.name))
        else:
            out.nodes.append(node)
    return out.graph.prune()


class _Rewritten:
    # A graph that is written again: values keep their numbers, and new ones are added.
    def __init__(self, graph: Graph) -> None:
        self.graph = out = Graph(graph.dtype)
        out.specs, out.inputs, out.outputs = list(graph.specs), graph.inputs, graph.outputs
        out.labels, out.constants, out.states = graph.labels, graph.constants, graph.states
        self.nodes = out.nodes

    def add(
        self,
        op: str | OpDef,
        inputs: Sequence[int | None],
        options: Mapping[str, Any],
        outputs: Sequence[int] = (),
        name: str | None = None,
    ) -> int:
        """Append an op; returns its value."""
        out, record = self.graph, get(op) if isinstance(op, str) else op
        clean, specs = record.infer(out._specs_of(inputs), dict(options), out.dtype)
        made = tuple(outputs) or tuple([out._value(s).id for s in specs])
        out.nodes.append(GraphNode(record, tuple(inputs), made, clean, name))
        return made[0]

    def number(self, value: int) -> int:
        """A value of one element, under the shape ()."""
        return value if not self.graph.specs[value].shape else self.add("reshape", (value,), {"shape": ()})
