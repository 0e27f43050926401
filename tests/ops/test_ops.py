"""The registry, walked: every op's kernel and rules against the reference, finite differences and each other, on both dtypes.

One function for each property; the ops and their samples come from the registry, so a new op needs no new test.
"""

from __future__ import annotations

import functools
import zlib

import numpy as np
import pytest
from oracles import draw

import tlean as tl
from tlean import errors
from tlean._core.array import as_tensor
from tlean._core.plan.plan import run
from tlean._core.threads import get_num_threads, set_num_threads
from tlean.compiler.cpu import kernel_address
from tlean.compiler.derive import decomposition, jvp_graph, vjp_graph
from tlean.compiler.graph import Graph, GraphRef
from tlean.compiler.lower import lower
from tlean.interpreters.dual import Dual
from tlean.interpreters.eager import EagerOps
from tlean.ops import Spec, all_ops, get
from tlean.reference.interpreter import Reference

RECORDS = [r for r in all_ops() if r.samples]
GOOD = [(r.name, k) for r in RECORDS for k, s in enumerate(r.samples()) if not s.raises]
BAD = [(r.name, k) for r in RECORDS for k, s in enumerate(r.samples()) if s.raises]
DTYPES = ("float32", "float64")
#: Relative tolerance of a kernel against the reference, in units of the largest value.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


@functools.cache
def case(name, k):
    """The arrays (float64, integers as they are), options and sample of one call."""
    record, sample = get(name), get(name).samples()[k]
    rng = np.random.default_rng(zlib.crc32(f"{name}{k}".encode()))
    arrays = [draw(a, rng, "float64") for a in sample.args]
    arrays += [None] * (0 if record.variadic else len(record.inputs) - len(arrays))
    whole = [n in record.integer for n in record.input_names(len(arrays))]
    arrays = [a if w or a is None else a.astype("float64") for a, w in zip(arrays, whole, strict=True)]
    return arrays, sample.options, sample


def cast(arrays, dtype):
    """The same arrays as AnyTensors of a program of that float dtype."""
    return [None if a is None else as_tensor(a, dtype if np.asarray(a).dtype.kind == "f" else None) for a in arrays]


def specs_of(tensors):
    return tuple(None if t is None else Spec(t.shape, t.dtype) for t in tensors)


def plan_of(name, tensors, options, dtype):
    """(plan, output specs) of the op alone: outputs, then residuals."""
    record = get(name)
    graph = Graph(dtype)
    refs = [graph.arg(s) for s in specs_of(tensors)]
    made = graph._record(record, [None if r is None else r.id for r in refs], options)
    graph.outputs = list(made)
    return lower(graph), [(graph.specs[v].shape, graph.specs[v].dtype) for v in made]


def forward(name, tensors, options, dtype):
    plan, outs = plan_of(name, tensors, options, dtype)
    return run(plan, tensors, outs)


def clean(name, tensors, options):
    return get(name).infer(specs_of(tensors), options)[0]


def pull(name, tensors, made, gs, options, dtype):
    """The op's vector-Jacobian product, by the plan that the eager tape runs: one cotangent or None for each input."""
    record, specs = get(name), specs_of(tensors)
    needs = tuple(t is not None and t.dtype.startswith("float") for t in tensors)
    graph = vjp_graph(record, specs, clean(name, tensors, options), dtype, needs, tuple(g is not None for g in gs))
    outs = [(s.shape, s.dtype) if s is not None else ((), dtype) for s in specs]
    return run(lower(graph), [*gs, *made, *tensors], outs)


def push(name, tensors, made, ts, options, dtype):
    """The op's Jacobian-vector product: one tangent or None for each output."""
    record, specs = get(name), specs_of(tensors)
    graph = jvp_graph(record, specs, clean(name, tensors, options), dtype, tuple(t is not None for t in ts))
    n = len(record.outputs)
    return run(lower(graph), [*ts, *made[:n], *tensors], [(m.shape, m.dtype) for m in made[:n]])


def random_like(tensors, seed, dtype):
    rng = np.random.default_rng(seed)
    return [as_tensor(rng.normal(size=t.shape), dtype) if t is not None and t.dtype.startswith("float") else None for t in tensors]


def dot(a, b):
    """⟨a, b⟩ over the entries that both have, in long double."""
    total = np.longdouble(0)
    for x, y in zip(a, b, strict=True):
        if x is not None and y is not None:
            total += np.sum(x.numpy().astype(np.longdouble) * y.numpy().astype(np.longdouble))
    return float(total)


def norm(a):
    return sum(float(np.abs(x.numpy().astype(np.float64)).sum()) for x in a if x is not None)


def assert_close(actual, expected, rtol, what):
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, what
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite], err_msg=what)
    if finite.any():
        scale = max(1.0, float(np.abs(expected[finite]).max()))
        worst = float(np.abs(actual[finite] - expected[finite]).max())
        assert worst <= rtol * scale, f"{what}: off by {worst:.3g} where values reach {scale:.3g}"


def same_bits(a, b, what):
    for x, y in zip(a, b, strict=True):
        assert (x is None) == (y is None), what
        if x is not None:
            assert x.dtype == y.dtype and x.numpy().tobytes() == y.numpy().tobytes(), what


def is_random(name):
    return get(name).random


# Forward ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "k"), GOOD)
def test_forward(name, k, dtype):
    """The shape rule, the kernel against the reference, and the kernel against the decomposition."""
    arrays, options, _ = case(name, k)
    tensors = cast(arrays, dtype)
    record = get(name)
    made = forward(name, tensors, options, dtype)
    _, outs = record.infer(specs_of(tensors), options)
    for m, spec in zip(made, outs, strict=True):
        assert m.shape == spec.shape and m.dtype == spec.resolved(dtype).dtype
    reference = Reference("float64" if not is_random(name) else dtype)
    seen = [None if t is None else t.numpy() for t in tensors]
    expected = reference.apply(name, tuple(seen), options)
    n = len(record.outputs)
    for m, e in zip(made[:n], expected if n > 1 else (expected,), strict=True):
        assert_close(m.numpy(), np.asarray(e.value), TOLERANCE[dtype], f"{name} against the reference")
    if record.rules.decompose is not None and kernel_address(record, dtype):
        graph = decomposition(record, specs_of(tensors), clean(name, tensors, options), dtype)
        parts = run(lower(graph), tensors, [(m.shape, m.dtype) for m in made[:n]])
        for m, p in zip(made[:n], parts, strict=True):
            assert_close(m.numpy(), p.numpy(), TOLERANCE[dtype], f"{name} against its decomposition")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "k"), [c for c in GOOD if len(get(c[0]).outputs) == 1])
def test_eager_is_compiled(name, k, dtype):
    """The eager tape and the plan give the same bits, forward and backward; so do 1 and 2 threads."""
    arrays, options, _ = case(name, k)
    tensors = cast(arrays, dtype)
    made = forward(name, tensors, options, dtype)
    ops = EagerOps(dtype)
    refs = [None if t is None else ops.add_leaf(t, True) for t in tensors]
    y = ops.apply(name, tuple(refs), clean(name, tensors, options))
    same_bits([y.value], made[:1], f"{name}: eager and compiled forward")
    if not y.dtype.startswith("float"):
        return
    (g,) = random_like([y.value], 5, dtype)
    found = ops.store.backward(y.id, g)
    pulled = pull(name, tensors, made, [g], options, dtype)
    eager = [None if r is None else found[r.id] for r in refs]
    for e, p in zip(eager, pulled, strict=True):
        if p is not None and e is not None:
            same_bits([e], [p], f"{name}: eager and compiled backward")
        else:
            assert (p is None) == (e is None) or not y.requires_grad, f"{name}: one of eager and compiled has no gradient"
    before = get_num_threads()
    try:
        set_num_threads(2 if before == 1 else 1)
        same_bits(forward(name, tensors, options, dtype), made, f"{name}: thread counts, forward")
        same_bits(pull(name, tensors, made, [g], options, dtype), pulled, f"{name}: thread counts, backward")
    finally:
        set_num_threads(before)


# Derivatives ------------------------------------------------------------------------------------------------------------

SMOOTH = [(n, k) for n, k in GOOD if case(n, k)[2].smooth and get(n).differentiable]


@pytest.mark.parametrize(("name", "k"), SMOOTH)
def test_finite_differences(name, k):
    """The Jacobian-vector product is the central difference along a random direction (float64)."""
    arrays, options, _ = case(name, k)
    tensors = cast(arrays, "float64")
    made = forward(name, tensors, options, "float64")[: len(get(name).outputs)]
    ts = random_like(tensors, 7, "float64")
    if all(t is None for t in ts):
        return
    moved = push(name, tensors, made, ts, options, "float64")
    h = 1e-6
    ends = []
    for sign in (1, -1):
        at = [t if v is None else as_tensor(t.numpy() + sign * h * v.numpy()) for t, v in zip(tensors, ts, strict=True)]
        ends.append(forward(name, at, options, "float64"))
    for j, m in enumerate(moved):
        if not made[j].dtype.startswith("float"):
            continue
        difference = (ends[0][j].numpy() - ends[1][j].numpy()) / (2 * h)
        given = np.zeros(made[j].shape) if m is None else m.numpy()
        # The difference of two rounded values of size |y|, divided by 2h.
        rounding = 4 * np.finfo(np.float64).eps * np.abs(made[j].numpy(), where=np.isfinite(made[j].numpy()), out=np.zeros(made[j].shape))
        noise = float(rounding.max(initial=0.0)) / h
        assert_close(given, difference, 2e-7 + noise, f"{name}: jvp against finite differences")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "k"), [c for c in GOOD if get(c[0]).differentiable])
def test_transpose(name, k, dtype):
    """⟨jvp(t), g⟩ = ⟨t, vjp(g)⟩: the two rules are each other's transposes."""
    arrays, options, _ = case(name, k)
    tensors = cast(arrays, dtype)
    made = forward(name, tensors, options, dtype)
    n = len(get(name).outputs)
    ts, gs = random_like(tensors, 8, dtype), random_like(made[:n], 9, dtype)
    if all(t is None for t in ts) or all(g is None for g in gs):
        return
    moved = push(name, tensors, made, ts, options, dtype)
    pulled = pull(name, tensors, made, gs, options, dtype)
    left, right = dot(moved, gs), dot(ts, pulled)
    if not np.isfinite(left) and not np.isfinite(right):
        return
    size = norm(moved) + norm(pulled) + 1.0
    assert abs(left - right) <= 10 * TOLERANCE[dtype] * size, f"{name}: ⟨jvp t, g⟩ = {left}, ⟨t, vjp g⟩ = {right}"


@pytest.mark.parametrize(("name", "k"), SMOOTH)
def test_second_order(name, k):
    """The derivative of the vector-Jacobian product, by forward mode over its graph, is its central difference (float64)."""
    arrays, options, _ = case(name, k)
    tensors = cast(arrays, "float64")
    record, specs = get(name), specs_of(tensors)
    made = forward(name, tensors, options, "float64")
    gs = random_like(made[: len(record.outputs)], 10, "float64")
    ts = random_like(tensors, 11, "float64")
    if all(t is None for t in ts) or all(g is None for g in gs):
        return

    graph = Graph("float64")
    xs = [graph.arg(s) for s in specs]
    vs = [graph.arg(None if t is None else Spec(t.shape, t.dtype)) for t in ts]
    cs = [None if g is None else graph.const(g) for g in gs]
    values = graph._record(record, [None if x is None else x.id for x in xs], options)
    known = [GraphRef(graph, v) for v in values]
    needs = tuple(t is not None for t in ts)
    rule = vjp_graph(record, specs, clean(name, tensors, options), "float64", needs, tuple(g is not None for g in gs))
    pulled = graph._inline(rule, [*cs, *known, *xs])
    from tlean.compiler.derive import forward as push_graph

    moved = push_graph(graph, [(x, v) for x, v in zip(xs, vs, strict=True) if x is not None and v is not None], pulled)
    graph.outputs = [None if m is None else m.id for m in moved]
    graph.check()
    outs = [((), "float64") if s is None else (s.shape, s.dtype) for s in specs]
    second = run(lower(graph), [*tensors, *ts], outs)

    h = 1e-6
    ends = []
    for sign in (1, -1):
        at = [t if v is None else as_tensor(t.numpy() + sign * h * v.numpy()) for t, v in zip(tensors, ts, strict=True)]
        there = forward(name, at, options, "float64")
        ends.append(pull(name, at, there, gs, options, "float64"))
    for a, b, s in zip(*ends, second, strict=True):
        if a is None:
            continue
        difference = (a.numpy() - b.numpy()) / (2 * h)
        given = np.zeros(a.shape) if s is None else s.numpy()
        assert_close(given, difference, 1e-6, f"{name}: second order against finite differences")


@pytest.mark.parametrize(("name", "k"), [c for c in SMOOTH if len(get(c[0]).outputs) == 1])
def test_dual(name, k):
    """The dual backend over eager gives the value and the tangent that the plans give."""
    arrays, options, _ = case(name, k)
    tensors = cast(arrays, "float64")
    made = forward(name, tensors, options, "float64")
    ts = random_like(tensors, 12, "float64")
    if all(t is None for t in ts):
        return
    inner = EagerOps("float64")
    ops = Dual(inner)
    duals = [
        None if x is None else inner.add_leaf(x, False) if t is None else ops.lift(inner.add_leaf(x, False), inner.add_leaf(t, False))
        for x, t in zip(tensors, ts, strict=True)
    ]
    y = ops.apply(name, tuple(duals), options)
    same_bits([y.primal.value], made[:1], f"{name}: dual primal")
    (moved,) = push(name, tensors, made, ts, options, "float64")[:1]
    if moved is None:
        assert y.tangent is None or not np.any(y.tangent.numpy())
    else:
        assert_close(y.tangent.numpy(), moved.numpy(), 1e-13, f"{name}: dual tangent")


# Errors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "k"), BAD)
def test_bad_calls(name, k):
    """A bad call raises the error that the sample names, with the op and the shapes in its text, and leaves the tape as it was."""
    arrays, options, sample = case(name, k)
    ops = EagerOps("float32")
    tensors = cast(arrays, "float32")
    record = get(name)
    refs = [None if t is None else t if n in record.integer else ops.add_leaf(t, True)
            for t, n in zip(tensors, record.input_names(len(tensors)), strict=True)]  # fmt: skip
    size = len(ops.store)
    with pytest.raises(getattr(errors, sample.raises)) as caught:
        ops.apply(name, tuple(refs), options)
    text = str(caught.value)
    assert name.lstrip("_") in text, text
    for t in tensors:
        assert t is None or str(t.shape) in text, text
    assert len(ops.store) == size


def test_every_public_op_is_sampled():
    assert [r.name for r in all_ops(internal=False) if not r.samples] == []


def test_free_functions_compute():
    assert tl.relu([-1.0, 2.0]).tolist() == [0.0, 2.0]
