"""The registry's calls as programs for a device: forward, and the products with vectors; and one module of the groups of all of them."""

from __future__ import annotations

import functools
from collections import defaultdict

from op_calls import GOOD, case, cast, clean, random_like, specs_of
from op_calls import forward as forward_on_cpu

from tlean._core.array import as_tensor
from tlean.compiler.arrange import arrange
from tlean.compiler.derive import jvp_graph, vjp_graph
from tlean.compiler.graph import Graph
from tlean.compiler.passes.expand import expand
from tlean.compiler.passes.merge import merged
from tlean.cuda.calls import table
from tlean.cuda.fused import module_of
from tlean.cuda.target import Cuda
from tlean.ops import get
from tlean.ops.elementwise import FORMULAS, LANES

KINDS = ("forward", "vjp", "jvp")


def tensors_of(name, k, dtype):
    """The arrays of a sample, rounded to float32, in a dtype."""
    return [t if t is None or t.dtype != "float32" else as_tensor(t, dtype) for t in cast(case(name, k)[0], "float32")]


def program(name, k, kind, dtype):
    """(graph, inputs) of a sample; outputs of the graph that do not exist are None."""
    record, tensors, options = get(name), tensors_of(name, k, dtype), case(name, k)[1]
    if kind == "forward":
        graph = Graph(dtype)
        refs = [graph.arg(s) for s in specs_of(tensors)]
        graph.outputs = list(graph._record(record, [None if r is None else r.id for r in refs], options))
        return graph, tensors
    made, n = forward_on_cpu(name, tensors, options, dtype), len(record.outputs)
    options = clean(name, tensors, options)
    if kind == "vjp":
        gs = [as_tensor(g.numpy().astype("float32"), dtype) if g is not None else None for g in random_like(made[:n], 5, dtype)]
        needs = tuple(t is not None and t.dtype.startswith("float") for t in tensors)
        return vjp_graph(record, specs_of(tensors), options, dtype, needs, tuple(g is not None for g in gs)), [*gs, *made, *tensors]
    ts = [as_tensor(t.numpy().astype("float32"), dtype) if t is not None else None for t in random_like(tensors, 6, dtype)]
    return jvp_graph(record, specs_of(tensors), options, dtype, tuple(t is not None for t in ts)), [*ts, *made[:n], *tensors]


def out_specs(graph):
    return [((), graph.dtype) if v is None else (graph.specs[v].shape, graph.specs[v].dtype) for v in graph.outputs]


def differentiated(name, kind):
    return kind == "forward" or (get(name).differentiable and get(name).out_dtype == "float")


def on_device(name):
    """Whether the device has the op: a kernel, alone or in a group, or its parts. It has no float64."""
    record = get(name)
    known = record.kernel in table.KERNELS or record.rules.decompose is not None or record.kernel in LANES
    return record.out_dtype != "float64" and record.host is None and (record.view or known)


def chosen():
    """The samples to run. Of an elementwise op one that broadcasts, each time another: all read stretched operands by one mechanism."""
    stretched = defaultdict(list)
    for name, k in GOOD:
        if on_device(name):
            if name in FORMULAS and len({None if t is None else t.shape for t in case(name, k)[0]}) > 1:
                stretched[name].append(k)
            else:
                yield name, k
    for turn, (name, ks) in enumerate(stretched.items()):
        yield name, ks[turn % len(ks)]


CASES = [(name, k, kind) for name, k in chosen() for kind in KINDS if differentiated(name, kind)]


@functools.cache
def sources():
    """The text of the kernel of every group in these programs. Constants are not folded here, as that takes a device."""
    found = set()
    for name, k, kind in CASES:
        target = Cuda()
        graph, _ = program(name, k, kind, "float32")
        steps = arrange(merged(expand(graph, target)), target).program.steps
        found.update(s.code.source for s in steps if s.code.source)
    return tuple(sorted(found))


def modules(size=64):
    """Families that hold these kernels, so many in each."""
    found = sources()
    return [module_of(found[i : i + size]) for i in range(0, len(found), size)]
