"""Bands: instructions on the same rows of large arrays, some rows at a time, have the bits of the ops one by one."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean.compiler.passes import bands


@pytest.fixture(autouse=True)
def small(monkeypatch):
    # Bands of arrays that a test has time for.
    monkeypatch.setattr(bands, "_FAR_BYTES", 1)


def layer_norm(ops, x, w, b):
    d = ops.sub(x, ops.reduce_mean(x, -1, keepdims=True))
    spread = ops.sqrt(ops.shift(ops.reduce_mean(ops.square(d), -1, keepdims=True), 1e-5))
    return ops.add(ops.mul(ops.div(d, spread), w), b)


def softmax(ops, x, w, b):
    e = ops.exp(ops.sub(x, ops.reduce_max(x, -1, keepdims=True)))
    return ops.mul(ops.div(e, ops.reduce_sum(e, -1, keepdims=True)), w)


def rms(ops, x, w, b):
    return ops.mul(ops.div(x, ops.norm(x, axis=-1, keepdims=True)), ops.add(w, b))


def three_axes(ops, x, w, b):
    y = ops.reshape(x, (2, x.shape[0] // 2, x.shape[1]))
    return ops.reshape(layer_norm(ops, y, w, b), x.shape)


def by_columns(ops, x, w, b):
    # A column that no row sums up, and a value that is returned beside what is made of it.
    y = ops.add(x, ops.reduce_sum(ops.tanh(x), -1, keepdims=True))
    return ops.sub(y, ops.logsumexp(ops.mul(y, w), axis=-1, keepdims=True))


PROGRAMS = [layer_norm, softmax, rms, three_axes, by_columns]
#: Rows and columns: a rest of rows and of a vector; whole segments; rows shorter than a vector.
SHAPES = [(70, 1000), (96, 1024), (34, 4096), (4500, 8), (1030, 33)]


def operands(shape, dtype):
    rng = np.random.default_rng(sum(shape))
    return [rng.standard_normal(s).astype(dtype) for s in (shape, shape[1:], shape[1:])]


#: What a drawn program is made of: u and v are values, y one of the whole shape, w and b rows.
STEPS = [
    lambda ops, u, v, y, w, b: ops.tanh(ops.add(u, v)),
    lambda ops, u, v, y, w, b: ops.reduce_sum(ops.mul(y, v), -1, keepdims=True),
    lambda ops, u, v, y, w, b: ops.reduce_max(y, -1, keepdims=True),
    lambda ops, u, v, y, w, b: ops.logsumexp(ops.tanh(y), axis=-1, keepdims=True),
    lambda ops, u, v, y, w, b: ops.div(ops.sub(y, v), ops.shift(ops.square(u), 1.0)),
    lambda ops, u, v, y, w, b: ops.add(ops.mul(u, w), b),
]


def drawn(rng):
    """A program of twelve ops: elementwise, of rows, and of what rows and columns are together."""
    choices = rng.integers(0, len(STEPS), 12).tolist()
    picks = rng.integers(0, 1 << 30, (12, 2)).tolist()

    def program(ops, x, w, b):
        values = [x, ops.mul(x, w), ops.reduce_mean(x, -1, keepdims=True)]
        for choice, (i, k) in zip(choices, picks, strict=True):
            u, v = values[i % len(values)], values[k % len(values)]
            values.append(STEPS[choice](ops, u, v, u if u.shape == x.shape else x, w, b))
        return values[-1], values[-2], ops.mean(ops.tanh(ops.add(values[-1], ops.add(values[-3], x))))

    return program


def run(program, arrays, dtype):
    """The results eager and compiled with 1 and 2 threads, as bytes, and the names of the plan's instructions."""
    s = tl.Session(dtype=dtype)
    eager = [r.value.numpy().tobytes() for r in tl.tree.flatten(program(s, *[s.const(a) for a in arrays]))[0]]
    compiled = tl.compile_out(program, [a.shape for a in arrays], dtype)
    before, found = tl.get_num_threads(), []
    try:
        for threads in (1, 2):
            tl.set_num_threads(threads)
            found.append([t.numpy().tobytes() for t in tl.tree.flatten(compiled(*arrays))[0]])
    finally:
        tl.set_num_threads(before)
    return eager, found, [step.kernel for step in compiled.plan.program.steps]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_of_the_ops(program, dtype):
    for shape in SHAPES:
        arrays = operands(shape, dtype)

        def total(ops, *xs):
            return ops.mean(ops.square(program(ops, *xs)))

        for whole in (program, total):
            eager, found, kernels = run(whole, arrays, dtype)
            assert found == [eager, eager], (shape, whole is total)
            assert any(k.startswith("band(") for k in kernels), (shape, kernels)


def test_one_pass():
    # All that is large is inside: a normalisation of rows, and the mean of its squares, are one instruction.
    kernels = run(lambda ops, *xs: ops.mean(ops.square(layer_norm(ops, *xs))), operands((96, 1024), "float32"), "float32")[2]
    assert len(kernels) == 1, kernels


@pytest.mark.parametrize("seed", [*range(10), 106, 113, 178])
def test_programs_that_are_drawn(seed):
    rng = np.random.default_rng(seed)
    program, dtype = drawn(rng), ("float32", "float64")[seed % 2]
    arrays = operands(SHAPES[seed % len(SHAPES)], dtype)
    eager, found, _ = run(program, arrays, dtype)
    assert found == [eager, eager]


@pytest.mark.parametrize("program", PROGRAMS)
def test_gradients(program):
    arrays = operands((130, 256), "float32")

    def loss(*xs):
        return tl.mean(tl.square(program(tl, *xs)))

    gradient = tl.grad(loss, argnums=(0, 1, 2))
    for eager, compiled in zip(gradient(*map(tl.AnyTensor, arrays)), tl.jit(gradient)(*arrays), strict=True):
        assert eager.numpy().tobytes() == compiled.numpy().tobytes()


def test_small_arrays_are_left_alone(monkeypatch):
    monkeypatch.undo()
    kernels = run(layer_norm, operands((96, 1024), "float32"), "float32")[2]
    assert not any(k.startswith("band(") for k in kernels), kernels
