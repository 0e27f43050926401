"""What a row asks of the machine, read from tlean's own record of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from rows.base import BOTH, FORWARD, RECORDED, Row, StepRow, Work


def work_of(row: Row | StepRow) -> dict[str, Work]:
    """What each mode of a row asks of the machine; modes that nothing is known of are left out."""
    if isinstance(row, StepRow):
        return {row.modes[0]: row.work()} if row.work else {}
    import tlean as tl

    arrays = row.arrays(np.random.default_rng(0))
    specs = [tl.Spec(a.shape, "int64") if a.dtype.kind == "i" else a.shape for a in arrays]
    program = tl.compile_out(row.ours, specs)
    frozen = {i for i, a in enumerate(arrays) if i in row.frozen or a.dtype.kind == "i"}
    forward = _traffic(program.graph)
    found = {FORWARD: forward, RECORDED: forward}
    if BOTH in row.modes:
        graph = program._vjp_graph()
        results = len(graph.outputs) - len(arrays)
        graph.outputs = [None if k - results in frozen else value for k, value in enumerate(graph.outputs)]
        found[BOTH] = _traffic(graph)
    return {mode: work for mode, work in found.items() if mode in row.modes}


def _traffic(graph: Any) -> Work:
    """A graph's operations; the bytes of its inputs that some op reads and of the results that some op makes. Views move nothing."""
    from tlean.compiler.cost import cost_of

    needed = graph._needed()
    view_of = {node.outputs[0]: node.inputs[0] for node in needed if node.record.view}

    def origin(value: int) -> int:
        while value in view_of:
            value = view_of[value]
        return value

    working = [node for node in needed if not node.record.view]
    read = {origin(i) for node in working for i in node.inputs if i is not None}
    made = {value for node in working for value in node.outputs}
    given = {i for i in graph.inputs if i is not None} | set(graph.constants)
    results = {origin(value) for value in graph.outputs if value is not None}

    def size(values: set[int]) -> float:
        return float(sum(graph.specs[v].size * np.dtype(graph.specs[v].dtype).itemsize for v in values))

    return Work(cost_of(graph).flops, size(read & given), size(results & made))
