"""Kernels with several outputs skip those that are never read: whichever is asked for alone has the bits it has among all."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import draw

from tlean._core.array import as_tensor
from tlean._core.plan.plan import run
from tlean.compiler.derive import reverse
from tlean.compiler.graph import Graph, GraphRef
from tlean.compiler.lower import lower
from tlean.ops import Spec, all_ops, get

SAMPLED = [(r, k) for r in all_ops() if r.samples for k, s in enumerate(r.samples()) if not s.raises]
SEVERAL = [(r.name, k) for r, k in SAMPLED if len(r.outputs) + len(r.residuals) > 1]
FUSED = [(r.name, k) for r, k in SAMPLED if r.residuals or (len(r.inputs) > 1 and r.differentiable and not r.variadic)]


class Call:
    """A sample's arrays and the graph that records it, in one dtype."""

    def __init__(self, name, k, dtype):
        record, sample = get(name), get(name).samples()[k]
        rng = np.random.default_rng(k)
        arrays = [draw(a, rng) for a in sample.args]
        arrays += [None] * (0 if record.variadic else len(record.inputs) - len(arrays))
        if record.random:
            arrays = [np.array(3) if n == "seed" else a for n, a in zip(record.inputs, arrays, strict=True)]
        self.dtype = dtype
        self.tensors = [None if a is None else as_tensor(a, dtype if n not in record.integer else None)
                        for n, a in zip(record.input_names(len(arrays)), arrays, strict=True)]  # fmt: skip
        self.graph = Graph(dtype)
        self.refs = [self.graph.arg(None if t is None else Spec(t.shape, t.dtype)) for t in self.tensors]
        self.made = self.graph._record(record, [None if r is None else r.id for r in self.refs], sample.options)
        self.count = len(record.outputs)

    def run(self, values, more=()):
        """What a plan with exactly these outputs gives."""
        self.graph.outputs = list(values)
        specs = [self.graph.specs[v] for v in values]
        return [t.numpy() for t in run(lower(self.graph), [*self.tensors, *more], [(s.shape, s.dtype) for s in specs])]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "k"), SEVERAL)
def test_each_output_alone(name, k, dtype):
    call = Call(name, k, dtype)
    for value, expected in zip(call.made, call.run(call.made), strict=True):
        np.testing.assert_array_equal(call.run([value])[0], expected)


@pytest.mark.parametrize(("name", "k"), [c for c in SEVERAL if len(get(c[0]).outputs) > 1])
def test_only_what_is_read_of_several_outputs_has_memory(name, k):
    call = Call(name, k, "float32")
    for value in call.made:
        call.graph.outputs = [value]
        for step in lower(call.graph).program.steps:
            assert value not in step.outputs or [v for v in step.outputs if v >= 0] == [value]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "k"), FUSED)
def test_each_gradient_alone(name, k, dtype):
    """With the forward value unread and one gradient asked for: the plan has forward and gradient kernels in one."""
    call = Call(name, k, dtype)
    graph, rng = call.graph, np.random.default_rng(5)
    outs = [graph.specs[v] for v in call.made[: call.count]]
    if any(s.dtype != dtype for s in outs):
        return
    seeds = [(GraphRef(graph, v), graph.arg(s)) for v, s in zip(call.made, outs, strict=False)]
    cotangents = [as_tensor(rng.standard_normal(s.shape), dtype) for s in outs]
    wrt = [r if r is not None and t.dtype == dtype else None for r, t in zip(call.refs, call.tensors, strict=True)]
    found = [r.id for r in reverse(graph, seeds, wrt) if r is not None]
    if not found:
        return
    together = call.run([*call.made[: call.count], *found], cotangents)[call.count :]
    for value, expected in zip(found, together, strict=True):
        np.testing.assert_array_equal(call.run([value], cotangents)[0], expected)
