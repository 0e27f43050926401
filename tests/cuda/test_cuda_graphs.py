"""CUDA graphs of plans, on a device or on the host emulation that `.ci/cuda` builds: the same bits as launch by launch."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import tlean as tl
from tlean.cuda.runtime import graphs as capture

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

RNG = np.random.default_rng(0)
PARAMS = [RNG.standard_normal(s).astype("float32") / 3 for s in ((16, 12), (16,), (5, 16), (5,))]
X, Y = RNG.standard_normal((8, 8, 12)).astype("float32"), RNG.integers(0, 5, (8, 8))


def loss(ops, w1, b1, w2, b2, x, y):
    z = ops.linear(w2, b2, ops.dropout(ops.tanh(ops.linear(w1, b1, x)), 0.1))
    return ops.cross_entropy(z, y), ops.argmax(z, axis=1)


def trained(steps, place=lambda x: x, between=lambda t, k: None):
    """The losses and parameters of some steps, and whether the last was a graph."""
    t = tl.ScalarTrainer(tl.Options(backend="compiled", device="cuda", seed=0), PARAMS, [(8, 12), tl.Spec((8,), "int64")], loss)
    losses = []
    for k in range(steps):
        losses.append(t.adam_step(0.01, 0.9, 0.999, 1e-8, place(X[k % 8]), place(Y[k % 8])))
        between(t, k)
    (plan,) = (trace.run for trace in t._steps._made.values())
    return [x.item() for x in losses], [p.numpy() for p in t.get_params()], plan.plan._replay.captured


def same_bits(a, b):
    assert a[0] == b[0]
    assert all(p.tobytes() == q.tobytes() for p, q in zip(a[1], b[1], strict=True))


@pytest.fixture
def plain(monkeypatch):
    """The same training with graphs turned off."""

    def run(*args, **options):
        with monkeypatch.context() as patch:
            patch.setenv("TLEAN_CUDA_GRAPHS", "0")
            found = trained(*args, **options)
        assert not found[2]
        return found

    return run


def test_a_training_step_is_a_graph(plain):
    found = trained(20)
    assert found[2]
    same_bits(found, plain(20))


def test_inputs_that_come_from_ever_other_places(plain):
    held = []

    def place(x):
        held.append(tl.cuda.to_device(x))
        return held[-1]

    found = trained(20, place)
    assert found[2], "inputs that move are copied to one place"
    same_bits(found, plain(20))


def test_a_parameter_that_moves(plain):
    """Values that are set are in other memory: the graph is made again."""

    def between(t, k):
        if k == 10:
            t.params[0].set(PARAMS[0])

    found = trained(20, between=between)
    assert found[2]
    same_bits(found, plain(20, between=between))


def test_a_driver_that_refuses(plain, monkeypatch):
    monkeypatch.setattr(capture, "capture", lambda where, queue: None)
    found = trained(20)
    assert not found[2]
    same_bits(found, plain(20))


def test_what_cannot_be_recorded():
    where = tl.cuda.ops().context
    x = tl.cuda.to_device(np.arange(4, dtype="float32"))
    with where.current():
        assert capture.capture(where, where.stream.synchronize) is None
    np.testing.assert_array_equal(x.numpy(), np.arange(4))


def test_recording_runs_nothing():
    where = tl.cuda.ops().context
    a, b = tl.cuda.to_device(np.ones(4, "float32")), tl.cuda.to_device(np.zeros(4, "float32"))
    with where.current() as driver:
        graph = capture.capture(where, lambda: driver.memcpy_dtod_async(b.address, a.address, 16, where.stream))
        assert b.numpy().sum() == 0
        assert graph.launch()
        assert b.numpy().sum() == 4
        graph.free()
        graph.free()


def test_programs_with_large_outputs_are_not_graphs():
    f = tl.compile_out(lambda ops, x: ops.exp(x), [(40000,)], device="cuda")
    for _ in range(4):
        f(np.zeros(40000, "float32"))
    assert f.plan._replay is None


def test_results_are_arrays_of_their_own():
    f = tl.compile_out(lambda ops, x: ops.scale(ops.tanh(x), 2.0), [(5,)], device="cuda")
    inputs = RNG.standard_normal((6, 5)).astype("float32")
    found = [f(x) for x in inputs]
    assert f.plan._replay.captured
    for y, x in zip(found, inputs, strict=True):
        np.testing.assert_allclose(y.numpy(), 2 * np.tanh(x), rtol=1e-5)


def test_graphs_and_their_memory_go_with_the_plan():
    tl.cuda.synchronize()
    gc.collect()
    before = tl.cuda.memory_stats()["live"]
    trained(5)
    tl.cuda.synchronize()
    gc.collect()
    assert tl.cuda.memory_stats()["live"] == before
