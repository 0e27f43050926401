"""Eager and compiled training are the same bits: losses and parameters of whole runs, on one thread and on two."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean._core.arena import memory_stats, reset_peak

STEPS = 200


def mlp(ops, w1, b1, w2, b2, x, y):
    return ops.cross_entropy(ops.linear(w2, b2, ops.relu(ops.linear(w1, b1, x))), y)


def cnn(ops, w1, b1, w2, b2, w3, b3, x, y):
    h = ops.max_pool2d(ops.relu(ops.conv2d(w1, b1, x, padding=1)), 2)
    h = ops.relu(ops.conv2d(w2, b2, h, stride=2))
    h = ops.dropout(ops.reshape(h, (x.shape[0], -1)), 0.25)
    return ops.cross_entropy(ops.linear(w3, b3, h), y)


def block(ops, wq, wk, wv, wo, g1, c1, w1, b1, w2, b2, g2, c2, x, y):
    h = ops.add(x, ops.multi_head_attention(wq, wk, wv, wo, ops.layer_norm(x, g1, c1), 2))
    h = ops.add(h, ops.linear(w2, b2, ops.gelu(ops.linear(w1, b1, ops.layer_norm(h, g2, c2)))))
    return ops.cross_entropy(h, y)


# The first sizes are above the threshold where work is shared between threads.
MODELS = {
    "mlp": (mlp, [(96, 200), (96,), (10, 96), (10,)], (32, 200), (32,), 10),
    "cnn": (cnn, [(8, 1, 3, 3), (8,), (8, 8, 3, 3), (8,), (4, 72), (4,)], (6, 1, 16, 16), (6,), 4),
    "block": (block, [(16, 16)] * 4 + [(16,)] * 2 + [(32, 16), (32,), (16, 32), (16,)] + [(16,)] * 2, (3, 12, 16), (3, 12), 16),
}


def losses_and_parameters(name, backend, optimizer, steps=STEPS):
    f, shapes, x_shape, y_shape, classes = MODELS[name]
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(s) / max(s[-1], 4) ** 0.5 for s in shapes]
    trainer = tl.ScalarTrainer(tl.Options(backend=backend, seed=5), values, [x_shape, tl.Spec(y_shape, "int64")], f)
    losses = []
    for _ in range(steps):
        x, y = rng.standard_normal(x_shape), rng.integers(0, classes, y_shape)
        if optimizer == "sgd":
            losses.append(trainer.step(0.05, x, y).item())
        else:
            losses.append(trainer.adamw_step(1e-2, 0.9, 0.999, 1e-8, 1e-2, x, y).item())
    return np.array(losses), [np.array(p) for p in trainer.get_params()]


@pytest.fixture
def threads():
    before = tl.get_num_threads()
    yield tl.set_num_threads
    tl.set_num_threads(before)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", list(MODELS))
def test_eager_is_compiled_for_whole_runs(name, optimizer, threads):
    runs = {}
    for count in (1, 2):
        threads(count)
        for backend in ("eager", "compiled"):
            runs[backend, count] = losses_and_parameters(name, backend, optimizer)
    losses, parameters = runs["eager", 1]
    assert np.isfinite(losses).all() and len(set(losses.tolist())) == STEPS
    for key, (other_losses, other_parameters) in runs.items():
        np.testing.assert_array_equal(other_losses, losses, err_msg=str(key))
        for k, (found, expected) in enumerate(zip(other_parameters, parameters, strict=True)):
            np.testing.assert_array_equal(found, expected, err_msg=f"{key}, parameter {k}")


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_no_memory_grows_with_the_steps(backend):
    f, shapes, x_shape, y_shape, classes = MODELS["cnn"]
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(s) for s in shapes]
    trainer = tl.ScalarTrainer(tl.Options(backend=backend), values, [x_shape, tl.Spec(y_shape, "int64")], f)
    x, y = rng.standard_normal(x_shape), rng.integers(0, classes, y_shape)
    trainer.adam_step(1e-3, 0.9, 0.999, 1e-8, x, y)
    blocks = set()
    for _ in range(20):
        trainer.adam_step(1e-3, 0.9, 0.999, 1e-8, x, y)
        blocks.add(memory_stats()["blocks"])
    assert len(blocks) == 1


def test_a_compiled_step_needs_less_memory_at_once():
    f, shapes, x_shape, y_shape, _ = MODELS["cnn"]
    values = [np.zeros(s) for s in shapes]
    peaks = {}
    for backend in ("eager", "compiled"):
        trainer = tl.ScalarTrainer(tl.Options(backend=backend), values, [x_shape, tl.Spec(y_shape, "int64")], f)
        x, y = np.zeros(x_shape), np.zeros(y_shape, np.int64)
        trainer.step(0.0, x, y)
        reset_peak()
        before = memory_stats()["live"]
        trainer.step(0.0, x, y)
        peaks[backend] = memory_stats()["peak"] - before
    assert 0 < peaks["compiled"] < peaks["eager"]
