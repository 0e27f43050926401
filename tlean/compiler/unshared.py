"""Factors of matrices that one op alone reads are not made: the op makes its own, which takes less time than to write and read them."""

from __future__ import annotations

from collections import Counter

from .graph import Graph, GraphNode

#: Matrices of up to so many rows are factored in the lanes of vectors, but not by a solve with more right-hand sides than that, whose own
#: factors would have other bits.
_IN_LANES = 32


def without_unshared(graph: Graph) -> Graph:
    """The same program with an absent input in place of factors that are read once; the bits are the same."""
    readers = Counter(i for n in graph.nodes for i in n.inputs)
    readers.update([*graph.outputs, *(after for _, _, after in graph.states)])
    lone = {n.outputs[0] for n in graph.nodes if n.record.name == "_linalg_factors" and readers[n.outputs[0]] == 1}
    lone &= {i for n in graph.nodes for i in n.inputs if i is not None and i in lone and _makes_its_own(graph, n)}
    if not lone:
        return graph
    result = graph._copy()
    result.nodes = [
        n if lone.isdisjoint(n.inputs) else n.on(tuple([None if i in lone else i for i in n.inputs]), None)
        for n in graph.nodes
        if n.outputs[0] not in lone
    ]
    return result


def _makes_its_own(graph: Graph, node: GraphNode) -> bool:
    # Whether a reader of factors makes the same ones, each once: not a loop, nor a solve that reads those of a matrix again and again.
    if "factors" not in node.record.optional:
        return False
    if node.record.name != "_linalg_solve":
        return True
    a, y = graph.specs[node.inputs[0]], graph.specs[node.outputs[0]]  # type: ignore[index]
    return a.shape[:-2] == y.shape[:-2] and (a.shape[-1] > _IN_LANES or y.shape[-1] <= _IN_LANES)
