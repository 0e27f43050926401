"""Factors of matrices that one op alone reads are not made: the op makes its own, which takes less time than to write and read them."""

from __future__ import annotations

from collections import Counter

from .graph import Graph


def without_unshared(graph: Graph) -> Graph:
    """The same program with an absent input in place of factors that are read once; the bits are the same."""
    readers = Counter(i for n in graph.nodes for i in n.inputs)
    readers.update([*graph.outputs, *(after for _, _, after in graph.states)])
    lone = {n.outputs[0] for n in graph.nodes if n.record.name == "_linalg_factors" and readers[n.outputs[0]] == 1}
    if not lone:
        return graph
    result = graph._copy()
    result.nodes = [
        n if lone.isdisjoint(n.inputs) else n.on(tuple([None if i in lone else i for i in n.inputs]), None)
        for n in graph.nodes
        if n.outputs[0] not in lone
    ]
    return result
