"""Calls of the ops by their samples, for tests that hold another backend against the plans of the CPU."""

from __future__ import annotations

import functools
import zlib

import numpy as np
from oracles import draw

from tlean._core.array import as_tensor
from tlean._core.plan.plan import run
from tlean.compiler.graph import Graph
from tlean.compiler.lower import lower
from tlean.ops import Spec, all_ops, get

RECORDS = [r for r in all_ops() if r.samples]
GOOD = [(r.name, k) for r in RECORDS for k, s in enumerate(r.samples()) if not s.raises]
BAD = [(r.name, k) for r in RECORDS for k, s in enumerate(r.samples()) if s.raises]


@functools.cache
def case(name, k):
    """The arrays (float64, integers as they are), options and sample of one call."""
    record, sample = get(name), get(name).samples()[k]
    rng = np.random.default_rng(zlib.crc32(f"{name}{k}".encode()))
    arrays = [draw(a, rng, "float64") for a in sample.args]
    arrays += [None] * (0 if record.variadic else len(record.inputs) - len(arrays))
    whole = [n in record.whole_inputs for n in record.input_names(len(arrays))]
    arrays = [a if w or a is None or a.dtype == bool else a.astype("float64") for a, w in zip(arrays, whole, strict=True)]
    return arrays, sample.options, sample


def cast(arrays, dtype):
    """The same arrays as AnyTensors of a program of that float dtype."""
    return [None if a is None else as_tensor(a, dtype if np.asarray(a).dtype.kind == "f" else None) for a in arrays]


def specs_of(tensors):
    return tuple(None if t is None else Spec(t.shape, t.dtype) for t in tensors)


def forward(name, tensors, options, dtype):
    """Outputs, then residuals, by the plan of the op alone."""
    graph = Graph(dtype)
    refs = [graph.arg(s) for s in specs_of(tensors)]
    graph.outputs = list(graph._record(get(name), [None if r is None else r.id for r in refs], options))
    return run(lower(graph), tensors, [(graph.specs[v].shape, graph.specs[v].dtype) for v in graph.outputs])


def clean(name, tensors, options):
    return get(name).infer(specs_of(tensors), options)[0]


def random_like(tensors, seed, dtype):
    rng = np.random.default_rng(seed)
    return [as_tensor(rng.normal(size=t.shape), dtype) if t is not None and t.dtype.startswith("float") else None for t in tensors]


def assert_close(actual, expected, rtol, what):
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, what
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite], err_msg=what)
    if finite.any():
        scale = max(1.0, float(np.abs(expected[finite]).max()))
        worst = float(np.abs(actual[finite] - expected[finite]).max())
        assert worst <= rtol * scale, f"{what}: off by {worst:.3g} where values reach {scale:.3g}"
