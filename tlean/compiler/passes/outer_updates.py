"""Weight updates whose gradient is an outer product: the product and the optimiser's step become one instruction."""

from __future__ import annotations

from collections.abc import Sequence

from tlean._core.plan.outer_update import ADDRESS
from tlean._core.table import INNER
from tlean.dtypes import SIZES, SUFFIX

from ..chain_code import MOST_STATES, OuterUpdate
from ..graph import Graph
from ..target import Step


def outer_updates(graph: Graph, steps: Sequence[Step], kept: set[int]) -> list[Step]:
    """The same instructions with `step(p, u vᵀ, …)` for a gradient that nothing else reads in place of the product and the step."""
    makers = {s.outputs[0]: k for k, s in enumerate(steps) if s.kernel == "matmul" and _is_outer(graph, s)}
    readers: dict[int, list[int]] = {}
    for k, step in enumerate(steps):
        for v in step.inputs:
            if v in makers:
                readers.setdefault(v, []).append(k)
    out: list[Step | None] = list(steps)
    for gradient, maker in makers.items():
        if gradient in kept or len(readers.get(gradient, ())) != 1:
            continue
        at = readers[gradient][0]
        update = steps[at]
        states = len(update.outputs) - 1
        if len(update.nodes) != 1 or not update.nodes[0].record.updates or update.inputs[1] != gradient or states > MOST_STATES:
            continue
        u, v = steps[maker].inputs[:2]
        (rows, columns), dtype = graph.specs[gradient].shape, graph.specs[gradient].dtype
        ints = OuterUpdate(update.code, INNER[f"scale:{SUFFIX[dtype]}"], rows, columns, SIZES[dtype], states)
        inputs = (update.inputs[0], u, v, *update.inputs[2:])
        out[maker] = None
        out[at] = Step(f"{update.kernel} of an outer product", inputs, update.outputs, update.nodes, ints, (), ADDRESS)
    return [s for s in out if s is not None]


def _is_outer(graph: Graph, step: Step) -> bool:
    # u has as many elements as the result has rows, v as many as it has columns: one term in every sum.
    a, b, y = graph.specs[step.inputs[0]], graph.specs[step.inputs[1]], graph.specs[step.outputs[0]]
    return len(y.shape) == 2 and a.size == y.shape[0] and b.size == y.shape[1] and len(step.nodes) == 1 and y.size > 0
