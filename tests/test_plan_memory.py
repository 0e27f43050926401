"""Places of temporaries: buffers in use at the same step never overlap, and memory is reused."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean._core.arena import memory_stats, reset_peak
from tlean.backends.memory import Buffers


@pytest.mark.parametrize("count", [1, 40, 700])
def test_no_overlap(count):
    """Packed (the largest) and streamed (the rest) buffers alike."""
    rng = np.random.default_rng(count)
    buffers = Buffers(64)
    for first in np.sort(rng.integers(0, 2 * count, count)):
        buffer = buffers.take(int(rng.integers(1, 5000)), int(first))
        buffer.last = buffer.first + int(rng.integers(0, 12))
    total = buffers.assign()
    for i, a in enumerate(buffers.all):
        assert a.at % 64 == 0 and a.at + a.size <= total
        for b in buffers.all[i + 1 :]:
            if a.first <= b.last and b.first <= a.last:
                assert a.at + a.size <= b.at or b.at + b.size <= a.at
    if count > 1:
        assert total < sum(b.size for b in buffers.all)


def cnn(ops, w1, b1, w2, b2, w3, b3, w4, b4, x, y):
    h = ops.max_pool2d(ops.relu(ops.conv2d(w1, b1, x, padding=1)), 2)
    h = ops.max_pool2d(ops.relu(ops.conv2d(w2, b2, h, padding=1)), 2)
    h = ops.relu(ops.linear(w3, b3, ops.reshape(h, (h.shape[0], -1))))
    return ops.cross_entropy(ops.linear(w4, b4, h), y)


def test_a_compiled_step_takes_half_the_memory_of_eager():
    rng = np.random.default_rng(0)
    shapes = [(16, 1, 3, 3), (16,), (32, 16, 3, 3), (32,), (128, 32 * 7 * 7), (128,), (10, 128), (10,)]
    params = [rng.normal(size=s) * 0.1 for s in shapes]
    x, y = rng.normal(size=(128, 1, 28, 28)), rng.integers(0, 10, 128)
    peak = {}
    for backend in ("eager", "compiled"):
        trainer = tl.ScalarTrainer(tl.Options(backend=backend), params, [x.shape, tl.Spec((128,), "int64")], cnn)
        trainer.step(0.01, x, y)
        before = memory_stats()
        reset_peak()
        trainer.step(0.01, x, y)
        after = memory_stats()
        peak[backend] = after["peak"] - before["live"]
        if backend == "compiled":
            assert after["blocks"] == before["blocks"]
    assert peak["compiled"] <= 0.5 * peak["eager"]
