"""The derivative rules alone, with no kernel: run on the reference definitions in long double, where a central difference has ten digits.

For every op and sample: the VJP against the central difference, the JVP against the VJP to rounding, and the same once more for the
gradient of the gradient. Forward values come from the definitions, so a rule that is wrong cannot hide behind a kernel that agrees with it.
"""

from __future__ import annotations

import numpy as np
import pytest
from oracles import draw

from tlean.compiler.derive import jvp_graph, reverse, vjp_graph
from tlean.compiler.graph import Graph
from tlean.ops import Spec, all_ops, get
from tlean.reference.interpreter import Reference

STEP = np.longdouble(1e-6)
CASES = [
    (r.name, k)
    for r in all_ops()
    if r.samples and r.differentiable and r.out_dtype == "float"
    for k, s in enumerate(r.samples())
    if s.smooth and not s.raises
]


class Case:
    """One call: arrays, a direction for each float input, and a cotangent for each output."""

    def __init__(self, name, k):
        self.record, sample = get(name), get(name).samples()[k]
        rng = np.random.default_rng(k)
        arrays = [draw(a, rng) for a in sample.args]
        arrays += [None] * (0 if self.record.variadic else len(self.record.inputs) - len(arrays))
        names = self.record.input_names(len(arrays))
        if self.record.random:
            arrays = [np.array(7) if n == "seed" else a for n, a in zip(names, arrays, strict=True)]
        whole = self.record.whole_inputs
        self.floats = [a is not None and a.dtype != bool and n.partition("[")[0] not in whole for n, a in zip(names, arrays, strict=True)]
        self.arrays = [a.astype(np.longdouble) if f else a for a, f in zip(arrays, self.floats, strict=True)]
        self.specs = tuple(
            None if a is None else Spec(a.shape, "float64" if f else a.dtype.name) for a, f in zip(self.arrays, self.floats, strict=True)
        )
        self.options, outs = self.record.infer(self.specs, sample.options)
        self.outs = outs[: len(self.record.outputs)]
        self.ops = Reference("longdouble")
        self.directions = [self.random(a.shape, rng) if f else None for a, f in zip(self.arrays, self.floats, strict=True)]
        self.cotangents = [self.ops.leaf(self.random(o.shape, rng)) for o in self.outs]
        self.weights = [self.random(a.shape, rng) if f else None for a, f in zip(self.arrays, self.floats, strict=True)]

    @staticmethod
    def random(shape, rng):
        return rng.standard_normal(shape).astype(np.longdouble)

    def inputs(self, step=0):
        """The inputs as refs, moved by `step` along the direction."""
        moved = [a if t is None else a + step * t for a, t in zip(self.arrays, self.directions, strict=True)]
        return [None if a is None else self.ops.leaf(a) if f else self.ops.const(a) for a, f in zip(moved, self.floats, strict=True)]

    def forward(self, inputs):
        return self.call(self.record, inputs, self.options)

    def call(self, record, inputs, options):
        made = self.ops.apply(record.name, tuple(inputs), options)
        return list(made) if isinstance(made, tuple) else [made]

    def residuals(self, record, inputs, options, outs):
        """Stand-ins for residuals: those that are hints are wrong on purpose, so that a rule that trusts one is found."""
        places = {"reduce_max": "_max_index", "cummax": "_cummax_index", "sort": "argsort"}.get(record.name)
        if places is not None:
            return [self.ops.apply(places, inputs, options)]
        return [
            self.ops.leaf(np.full(o.shape, 0.3)) if o.dtype.startswith("float") else self.ops.const(np.zeros(o.shape, int)) for o in outs
        ]

    def replay(self, graph, given):
        """Run a graph on the reference; returns its outputs there."""
        where = {v: x for v, x in zip(graph.inputs, given, strict=True) if v is not None}
        where |= {v: self.ops.const(np.asarray(c)) for v, c in graph.constants.items()}
        for node in graph.nodes:
            inputs = tuple(None if i is None else where[i] for i in node.inputs)
            made = self.call(node.record, inputs, node.options)
            made += self.residuals(node.record, inputs, node.options, [graph.specs[v] for v in node.outputs[len(made) :]])
            where |= dict(zip(node.outputs, made, strict=True))
        return [None if v is None else where[v] for v in graph.outputs]


def dot(xs, ys):
    """Σ ⟨x, y⟩ over the pairs that are both there; refs or arrays."""
    pairs = [(getattr(x, "value", x), getattr(y, "value", y)) for x, y in zip(xs, ys, strict=True)]
    return sum((np.sum(x * y) for x, y in pairs if x is not None and y is not None), np.longdouble(0))


def central_difference(function):
    return (function(STEP) - function(-STEP)) / (2 * STEP)


def close(found, expected, tolerance):
    assert abs(found - expected) <= tolerance * (1 + abs(expected)), (float(found), float(expected))


@pytest.mark.parametrize(("name", "k"), CASES)
def test_first_derivatives(name, k):
    c = Case(name, k)
    xs, ys = c.inputs(), c.forward(c.inputs())
    _, outs = c.record.infer(c.specs, c.options)
    pull = vjp_graph(c.record, c.specs, c.options, "float64", tuple(c.floats), (True,) * len(ys))
    rest = c.residuals(c.record, tuple(xs), c.options, outs[len(ys) :])
    gradient = dot(c.replay(pull, [*c.cotangents, *ys, *rest, *xs]), c.directions)
    push = jvp_graph(c.record, c.specs, c.options, "float64", tuple(c.floats))
    tangents = c.replay(push, [*(None if t is None else c.ops.leaf(t) for t in c.directions), *ys, *xs])
    close(gradient, central_difference(lambda h: dot(c.forward(c.inputs(h)), c.cotangents)), 1e-8)
    close(dot(tangents, c.cotangents), gradient, 1e-14)


@pytest.mark.parametrize(("name", "k"), CASES)
def test_second_derivatives(name, k):
    c = Case(name, k)
    graph = Graph("float64")
    xs = [graph.arg(s) for s in c.specs]
    gs = [graph.arg(Spec(o.shape, "float64")) for o in c.outs]
    ws = [graph.arg(s) if f else None for s, f in zip(c.specs, c.floats, strict=True)]
    made = graph.apply(name, tuple(xs), c.options)
    ys = made if isinstance(made, tuple) else (made,)
    wrt = [x if f else None for x, f in zip(xs, c.floats, strict=True)]
    first = reverse(graph, list(zip(ys, gs, strict=True)), wrt)
    terms = [graph.sum(graph.mul(d, w)) for d, w in zip(first, ws, strict=True) if d is not None and w is not None]
    if not terms:
        return
    total = terms[0]
    for term in terms[1:]:
        total = graph.add(total, term)
    # φ(x) = Σ ⟨w, gradient(x)⟩; its gradient by the rules against its central difference.
    second = reverse(graph, [(total, graph.const(np.ones(())))], wrt)
    graph.outputs = [None if r is None else r.id for r in (total, *second)]
    graph.prune()
    known = [*c.cotangents, *(c.ops.leaf(w) for w in c.weights if w is not None)]

    def run(step):
        return c.replay(graph, [*c.inputs(step), *known])

    gradient = dot(run(0)[1:], c.directions)
    close(gradient, central_difference(lambda h: run(h)[0].value), 1e-7)
