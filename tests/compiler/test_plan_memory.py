"""Places of temporaries: buffers in use at the same step never overlap, and memory is reused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tlean as tl
from tlean._core.arena import memory_stats, reset_peak
from tlean.compiler.memory import Buffers, _Holes


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


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_holes_that_meet_become_one(order: tuple[int, ...]):
    holes = _Holes(0)
    places = [holes.take(64) for _ in range(4)]
    for k in order:
        holes.give(places[k], 64)
    assert holes.take(3 * 64) == places[0]
    assert holes.size == 4 * 64


def test_the_smallest_hole_that_is_large_enough_is_taken_and_what_is_left_of_it_stays():
    holes = _Holes(128)
    places = [holes.take(64 * n) for n in (4, 1, 2, 1)]
    assert places == [128, 384, 448, 576]
    holes.give(places[0], 256)
    holes.give(places[2], 128)
    assert [holes.take(128), holes.take(64), holes.take(192), holes.take(64)] == [448, 128, 192, 640]
    assert holes.size == 704


def test_packing_takes_no_more_than_what_is_in_use_at_once():
    """Each of a chain of buffers overlaps the next: two of them at a time, the largest two together."""
    for sizes in ([640, 64, 640, 64, 640], [64, 128, 256, 512, 1024], [1024, 512, 256, 128, 64]):
        buffers = Buffers(64)
        for k, size in enumerate(sizes):
            buffers.take(size, k).last = k + 1
        assert buffers.assign() == max(a + b for a, b in itertools.pairwise(sizes))


def test_buffers_that_are_placed_one_after_another_use_memory_again():
    """Those beyond the largest come above them; in use one at a time, they need the room of one. Many small ones are all placed so."""
    for size, places in ((640, 2), (64, 1)):
        buffers = Buffers(64)
        for k in range(1000):
            buffers.take(size, k)
        assert buffers.assign() == places * size


def test_the_largest_buffers_are_placed_first():
    """Small ones below would leave the large one no room but above them all."""
    buffers = Buffers(64)
    for k in range(4):
        buffers.take(64, k)
    for k in range(2):
        buffers.take(640, 4 * k).last = 4 * k + 3
    buffers.all[3].last = 7
    assert buffers.assign() == 704


def test_one_long_use_does_not_keep_what_is_placed_after_it():
    """Beyond the largest: memory is free again as soon as its own use ends."""
    buffers = Buffers(64)
    for _ in range(256):
        buffers.take(640, 0)
    buffers.take(64, 0).last = 1000
    for k in range(1000):
        buffers.take(64, k)
    assert buffers.assign() == 256 * 640 + 2 * 64
