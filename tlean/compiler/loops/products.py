"""Gradients of invariants as one product: a sum of products over the steps is the product of what is stacked along them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from tlean.shapes import Shape

from ..graph import Graph, GraphNode, GraphRef


class Product(NamedTuple):
    """The sum over the steps of aᵀb: `left` of shape (k, m) and `right` of shape (k, n) at each step, whatever their axes."""

    left: int
    right: int
    m: int
    n: int

    def applied(self, graph: Graph, stack: Callable[[int], Any], shape: Shape) -> GraphRef:
        """Append the product.

        Args:
            graph: where.
            stack: gives the stack of a value of the body.
            shape: of the result.
        """
        left = graph.reshape(stack(self.left), shape=(-1, self.m))
        right = graph.reshape(stack(self.right), shape=(-1, self.n))
        total = graph.matmul(left, right, transpose_a=True)
        return total if total.shape == shape else graph.reshape(total, shape=shape)


def gradient_terms(graph: Graph, ref: GraphRef | None, variable: Collection[int]) -> tuple[GraphRef | None, list[Product]]:
    """One step's contribution to the gradient of an invariant: what each step adds, and the products that the stacks make.

    Args:
        graph: the body with its sweep.
        ref: the contribution; None for none.
        variable: the values that may be stacked: those that differ from step to step.
    """
    if ref is None:
        return None, []
    makers = {v: n for n in graph.nodes for v in n.outputs}
    products: list[Product] = []
    rest: GraphRef | None = None
    todo = [ref.id]
    while todo:
        v = todo.pop()
        node = makers.get(_seen(makers, v))
        if node is not None and node.record.name == "add" and all(graph.specs[i].shape == ref.shape for i in node.inputs):  # type: ignore[index]
            todo += reversed(node.inputs)  # type: ignore[arg-type]
            continue
        product = _product(graph, makers, node) if node is not None else None
        if product is not None and product.left in variable and product.right in variable and graph.specs[v].shape == ref.shape:
            products.append(product)
        else:
            rest = GraphRef(graph, v) if rest is None else graph.add(rest, GraphRef(graph, v))
    return rest, products


def _seen(makers: dict[int, GraphNode], value: int) -> int:
    # The value whose memory a value is.
    while value in makers and makers[value].record.view:
        value = makers[value].inputs[0]  # type: ignore[assignment]
    return value


def _product(graph: Graph, makers: dict[int, GraphNode], node: GraphNode) -> Product | None:
    # A product of matrices as aᵀb with one row of both for each k: rows are what stacks add to.
    if node.record.name != "matmul" or any(len(graph.specs[i].shape) != 2 for i in node.inputs):  # type: ignore[index]
        return None
    first, second = (graph.specs[i].shape for i in node.inputs)  # type: ignore[index]
    by_columns, by_rows = node.options["transpose_a"], node.options["transpose_b"]
    k = first[0] if by_columns else first[1]
    if not (by_columns or k == 1) or (by_rows and k != 1):
        return None
    m, n = (first[1] if by_columns else first[0]), (second[0] if by_rows else second[1])
    if not m or not n:
        # Of rows without entries nothing says how many there are.
        return None
    left, right = (_seen(makers, i) for i in node.inputs)  # type: ignore[arg-type]
    return Product(left, right, m, n)
