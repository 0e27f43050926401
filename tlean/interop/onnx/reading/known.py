"""Which values a program must know the numbers of while it is recorded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .support import Library, graphs_of

#: Their values do not depend on the numbers of what they read.
_SHAPES = frozenset(("Shape", "Size"))


def known_names(library: Library, nodes: Iterable[Any], needed: Iterable[str] = ()) -> set[str]:
    """The names whose numbers are needed: of shapes, axes, counts, and of all that these are computed from.

    Args:
        library: what the nodes mean.
        nodes: of a graph, in order.
        needed: names that are needed besides.
    """
    names = set(needed)
    for node in reversed(list(nodes)):
        wanted = not names.isdisjoint(node.output)
        if wanted and node.op_type not in _SHAPES:
            names.update(n for n in node.input if n)
        reader = library.reader(node)
        if reader is not None:
            names.update(node.input[k] for k in reader.known if k < len(node.input) and node.input[k])
        elif library.record(node) is None:
            function = library.function(node) if node.op_type not in ("If", "Loop", "Scan", "Constant") else None
            if function is not None:
                inside = known_names(library, function.node)
                names.update(n for n, f in zip(node.input, function.input, strict=False) if n and f in inside)
        if node.op_type == "Loop":
            # Its most steps; and whether it goes on, where each step stacks a part of a result.
            (body,) = graphs_of(node)
            names.update(n for n in node.input[: 2 if len(body.output) > len(node.input) - 1 else 1] if n)
        for graph in graphs_of(node):
            own = {v for n in graph.node for v in n.output} | {v.name for v in graph.input} | {t.name for t in graph.initializer}
            names |= known_names(library, graph.node, [o.name for o in graph.output] if wanted else ()) - own
    return names
