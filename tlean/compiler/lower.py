"""From graphs to plans: the passes in their order, then the places of values, the check, and the target's plan."""

from __future__ import annotations

from typing import Any

from .arrange import arrange
from .checks.plan_check import checked
from .cpu import CPU
from .graph import Graph
from .loops.hoist import hoisted
from .passes.expand import expand
from .passes.fold import fold
from .passes.joins import joined
from .passes.merge import merged
from .target import Target


def lower(graph: Graph, target: Target = CPU) -> Any:
    """A plan that computes the graph's outputs and updates its states in place."""
    ready = fold(merged(expand(target.program(hoisted(graph)), target)), target)
    for node in ready.nodes:
        if node.record.loop is not None and target not in node.record.loop.code:
            # Bodies first: an instruction runs their plans.
            loop = node.record.loop
            loop.code[target] = target.loop(loop, [lower(joined(body), target) for body in loop.programs(target)])
    return target.plan(checked(arrange(target.finished(ready), target), target))
