"""Broadcasting: every elementwise op of several inputs on shapes that NumPy broadcasts, against the same op on stretched copies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tlean as tl
from tlean._core.array import as_tensor
from tlean.interpreters.dual import Dual
from tlean.interpreters.eager import EagerOps
from tlean.ops import all_ops
from tlean.reference.interpreter import Reference

OPS = {r.name: len(r.inputs) for r in all_ops(internal=False) if r.broadcasts}
few = settings(max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def shapes(draw, count):
    """So many shapes that broadcast: 0 to 5 axes, sizes 0 to 4, and now and then one that fills several blocks."""
    whole = draw(st.lists(st.sampled_from([0, 1, 2, 3, 3, 4]), max_size=5))
    if whole and draw(st.integers(0, 4)) == 0:
        whole[draw(st.integers(0, len(whole) - 1))] = draw(st.sampled_from([33, 300, 2100]))
    result = []
    for _ in range(count):
        kept = whole[draw(st.integers(0, len(whole))) :]
        result.append(tuple(1 if draw(st.integers(0, 2)) == 0 else n for n in kept))
    return result


@st.composite
def calls(draw):
    name = draw(st.sampled_from(sorted(OPS)))
    return name, draw(shapes(OPS[name])), draw(st.sampled_from(["float32", "float64"])), draw(st.integers(0, 2**32 - 1))


def arrays_of(name, declared, dtype, seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.choice([-1.5, -0.5, 0.25, 0.75, 2.0, 3.0], s) + 0.1 * rng.random(s) for s in declared]
    if name in ("power", "xlogy", "xlog1py", "betaln"):
        arrays = [np.abs(a) for a in arrays]
    if name == "where":
        arrays[0] = rng.integers(0, 2, declared[0])
    return [a.astype(dtype) for a in arrays]


def bits(x):
    x = np.asarray(x)
    return x.shape, x.dtype, x.tobytes()


def eagerly(name, arrays, g, dtype):
    """The value of a call, and the gradient of each input for the cotangent g."""
    m = tl.TapeM(dtype=dtype)
    refs = [m.leaf(a) for a in arrays]
    y = getattr(m, name)(*refs)
    # One node, and its parents are the operands.
    assert y.id == len(arrays) and m.tape.get_node(y.id).parents == tuple(r.id for r in refs)
    grads = m.backward(y, g) if g is not None else {}
    return y, [grads.get(r.id) for r in refs]


@few
@given(calls())
def test_an_op_that_broadcasts_is_the_op_on_copies(call):
    name, declared, dtype, seed = call
    arrays = arrays_of(name, declared, dtype, seed)
    shape = np.broadcast_shapes(*declared)
    g = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    y, grads = eagerly(name, arrays, g, dtype)
    copies = [np.array(np.broadcast_to(a, shape)) for a in arrays]
    whole, parts = eagerly(name, copies, g, dtype)
    assert bits(y.numpy()) == bits(whole.numpy())
    summing = EagerOps(dtype)
    for a, gradient, part in zip(arrays, grads, parts, strict=True):
        assert (gradient is None) == (part is None)
        if gradient is None:
            continue
        missing = len(shape) - a.ndim
        axes = tuple(k for k in range(len(shape)) if k < missing or a.shape[k - missing] != shape[k])
        expected = summing.reduce_sum(summing.leaf(part), axes).numpy().reshape(a.shape) if axes else part
        assert bits(gradient) == bits(expected)

    # Compiled: the same bits.
    program = tl.compile_out(lambda ops, *xs: getattr(ops, name)(*xs), [a.shape for a in arrays], dtype)
    assert bits(program.forward(*arrays)) == bits(y.numpy())
    found = program.vjp_with_seed(arrays, g)
    assert [bits(v) for v in found] == [bits(np.zeros_like(a) if e is None else e) for a, e in zip(arrays, grads, strict=True)]
    # By the definition.
    exact = Reference("longdouble").apply(name, tuple(a.astype(np.longdouble) for a in arrays), {}).value
    np.testing.assert_allclose(y.numpy(), exact.astype(dtype), rtol=3e-7 if dtype == "float32" else 1e-15)


@few
@given(calls())
def test_tangents_and_gradients_of_broadcast_inputs(call):
    name, declared, _, seed = call
    arrays = arrays_of(name, declared, "float64", seed)
    rng = np.random.default_rng(seed + 1)
    tangents = [rng.standard_normal(a.shape) for a in arrays]
    if name == "where":
        tangents[0] = np.zeros_like(tangents[0])
    shape = np.broadcast_shapes(*declared)
    g = rng.standard_normal(shape)
    _, grads = eagerly(name, arrays, g, "float64")
    step = np.longdouble(1e-5)

    def moved(by):
        inputs = tuple(a.astype(np.longdouble) + by * t for a, t in zip(arrays, tangents, strict=True))
        return Reference("longdouble").apply(name, inputs, {}).value

    slope = (moved(step) - moved(-step)) / (2 * step)
    back = sum(float(np.vdot(v, t)) for v, t in zip(grads, tangents, strict=True) if v is not None)
    assert back == pytest.approx(float(np.sum(slope * g)), abs=1e-7 * max(1, math.prod(shape)))
    # Every subset of the inputs may move.
    inner = EagerOps("float64")
    dual = Dual(inner)
    refs = [dual.lift(inner.leaf(a), inner.leaf(t)) for a, t in zip(arrays, tangents, strict=True)]
    y = getattr(dual, name)(*refs)
    if y.tangent is not None:
        assert y.tangent.shape == shape
        np.testing.assert_allclose(y.tangent.numpy(), slope.astype("f8"), rtol=1e-6, atol=1e-8)
    for k in range(len(arrays)):
        y = getattr(dual, name)(*[r if j == k else dual.lift(r.primal) for j, r in enumerate(refs)])
        assert y.tangent is None or y.tangent.shape == shape


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("a", [(700, 900), (700, 1), (900,), (), (1, 900), (7, 100, 1), (350, 2, 900)])
def test_every_number_of_threads_gives_the_same_bits(a, dtype):
    rng = np.random.default_rng(0)
    b = (7, 100, 900) if len(a) == 3 and a[0] == 7 else (350, 2, 900) if len(a) == 3 else (700, 900)
    arrays = [rng.standard_normal(s).astype(dtype) for s in (a, b, b[-1:])]

    def f(ops, x, y, z):
        return ops.sum(ops.tanh(ops.sub(ops.mul(x, y), z)))

    m = tl.TapeM(dtype=dtype)
    refs = [m.leaf(v) for v in arrays]
    grads = m.backward_scalar(f(m, *refs))
    expected = [bits(grads[r.id]) for r in refs]
    program = tl.compile_scalar(f, [v.shape for v in arrays], dtype)
    before = tl.get_num_threads()
    try:
        for threads in (1, 2, 3):
            tl.set_num_threads(threads)
            assert [bits(v) for v in program.value_and_grad(*arrays)[1]] == expected
            m = tl.TapeM(dtype=dtype)
            refs = [m.leaf(v) for v in arrays]
            grads = m.backward_scalar(f(m, *refs))
            assert [bits(grads[r.id]) for r in refs] == expected
    finally:
        tl.set_num_threads(before)


def test_second_derivatives():
    rng = np.random.default_rng(3)
    x, y, t = rng.standard_normal((5, 1)), 2 + rng.random(4), rng.standard_normal((5, 1))

    def f(ops, a, b):
        return ops.sum(ops.square(ops.div(ops.max(a, b), ops.add(b, ops.mul(a, a)))))

    found = tl.hvp(f, (x, y), (t, np.zeros(4)))
    step, slopes = 1e-5, tl.grad(f, (0, 1))
    up, down = (slopes(x + by * t, y) for by in (step, -step))
    for v, a, b in zip(found, up, down, strict=True):
        np.testing.assert_allclose(v, (np.asarray(a) - np.asarray(b)) / (2 * step), rtol=1e-6, atol=1e-8)


def test_a_stretched_operand_is_never_in_memory():
    """One instruction, no temporaries: stretched operands of arithmetic and of functions, and what others made."""

    def f(ops, x, row, column, number):
        small = ops.mul(column, number)
        return ops.mul(ops.exp(ops.sub(x, row)), ops.add(small, ops.broadcast_to(row, x.shape)))

    program = tl.jit(f)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype("f4") for s in ((2, 300, 400), (400,), (300, 1), ())]
    value = np.asarray(program(*arrays))
    m = tl.TapeM()
    assert bits(value) == bits(f(m, *map(m.leaf, arrays)).numpy())
    # The small product is made before.
    assert len(program.plan) == 2 and program.plan.scratch_bytes < 4096


def test_a_tape_takes_equal_shapes_only():
    tape = tl.Tape()
    tape, x = tape.leaf(np.ones((2, 3)))
    tape, y = tape.leaf(np.ones(3))
    for name in ("add", "where"):
        with pytest.raises(tl.ShapeError, match=rf"^{name}: .* must have the same shape .*broadcast_to.*, got .*\(2, 3\)"):
            getattr(tape, name)(*[x] * (OPS[name] - 1), y)
    assert len(tape) == 2
    # A threaded tape that goes on from it broadcasts.
    m = tl.TapeM(tape)
    assert m.add(m.ref_of(x), m.ref_of(y)).shape == (2, 3)


@pytest.mark.parametrize("make", [lambda: tl.TapeM(), lambda: tl.Session(), lambda: tl.Session(backend="compiled"), lambda: tl.GraphM()])
def test_shapes_that_clash_are_told(make):
    ops = make()
    x, y = (ops.arg(k, s) if isinstance(ops, tl.GraphM) else ops.leaf(np.ones(s)) for k, s in enumerate([(2, 3, 4), (5, 1)]))
    with pytest.raises(tl.ShapeError, match=r"^mul: a and b must broadcast: along axis -2 each size must be the same or 1, not 3 for a, 5"):
        _ = x * y
    with pytest.raises(tl.ShapeError, match=r"^where: c and a and b must broadcast: along axis -1 "):
        ops.where(x, np.ones(4), np.ones((1, 2)))


def test_definitions_broadcast():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 1, 2)), rng.standard_normal((4, 1))
    s = tl.Session(tl.Options(fast_kernels=False, dtype="float64"))
    x, y = s.input(a), s.input(b)
    loss = s.sum(s.max(x, y))
    grads = s.backward_scalar_dense_all(loss)
    np.testing.assert_allclose(s.max(x, y).numpy(), np.maximum(a, b))
    np.testing.assert_allclose(grads[y.id], np.sum(b > a, axis=(0, 2)).reshape(4, 1))
    assert as_tensor(grads[x.id]).shape == a.shape


def test_strict_shapes():
    """An option of everything that records: then a shape is stretched by `broadcast_to` alone."""
    x, y = np.ones((2, 3)), np.ones(3)

    def f(ops, a, b):
        return ops.sum(ops.square(ops.sub(a, b)))

    def trained(backend, strict):
        options = tl.Options(backend=backend, strict_shapes=strict)
        trainer = tl.ScalarTrainer(options, [y], [(2, 3)], lambda ops, p, a: f(ops, a, p))
        return trainer.step(0.1, x).item()

    def session(backend, strict):
        s = tl.Session(backend=backend, strict_shapes=strict)
        return f(s, s.input(x), s.input(y)).item()

    faces = [lambda strict, b=b: session(b, strict) for b in ("eager", "compiled")]
    faces += [lambda strict, b=b: trained(b, strict) for b in ("eager", "compiled")]
    faces += [lambda strict: tl.compile_scalar(f, [(2, 3), (3,)], strict_shapes=strict).forward(x, y).item()]
    faces += [lambda strict: (lambda m: f(m, m.leaf(x), m.leaf(y)).item())(tl.TapeM(strict_shapes=strict))]
    for face in faces:
        assert face(False) == 0.0
        with pytest.raises(tl.ShapeError, match=r"^sub: a and b must have the same shape .*, got a: \(2, 3\).*, b: \(3,\)"):
            face(True)
    # Rules stretch what they need all the same.
    m = tl.TapeM(strict_shapes=True)
    a = m.leaf(x)
    assert m.backward_scalar(m.sum(m.mul(a, m.broadcast_to(m.leaf(y), (2, 3)))))[a.id].tolist() == x.tolist()


SHAPES = [
    ((700, 900), (900,)), ((700, 900), (700, 1)), ((7, 100, 900), (7, 1, 900)), ((7, 100, 900), (100, 1)), ((7, 100, 900), (7, 1, 1)),
    ((9, 70001), (70001,)), ((9, 70001), (9, 1)), ((30000, 7), (30000, 1)), ((300, 129, 5), (300, 1, 5)), ((500, 129), (500, 1)),
    ((2, 3, 4, 5, 6, 7, 8), (3, 1, 5, 1, 7, 1)), ((3, 4097), (4097,)), ((1500, 127), (1500, 1)), ((1500, 64), (1500, 1)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("whole", "small"), SHAPES, ids=str)
def test_each_way_of_reading_a_stretched_input(whole, small, dtype):
    """By arithmetic in registers, by a loop, and in both, at sizes where blocks, strips, runs and chunks of threads end."""
    rng = np.random.default_rng(len(whole))
    x, y = rng.standard_normal(whole).astype(dtype), rng.standard_normal(small).astype(dtype)
    copy = np.array(np.broadcast_to(y, whole))

    def f(ops, a, b):
        return ops.sub(ops.exp(ops.mul(a, b)), b), ops.div(b, a), ops.exp(ops.add(b, ops.scale(a, 0.0)))

    program, plain = (tl.compile_out(f, [whole, s], dtype) for s in (small, whole))
    assert [bits(v) for v in program.forward(x, y)] == [bits(v) for v in plain.forward(x, copy)]
    np.testing.assert_array_equal(np.asarray(program.forward(x, y)[1]), y / x)
