"""Attention never stores its n × n scores: memory is linear in n, forward and backward."""

from __future__ import annotations

import numpy as np

import tlean as tl
from tlean._core.arena import memory_stats, reset_peak


def test_peak_at_4096():
    """n = 4096, one head of 64, float32: the scores alone would take 64 MB."""
    n, d = 4096, 64
    rng = np.random.default_rng(0)
    s = tl.Session()
    q, k, v = (s.input(rng.normal(size=(n, d))) for _ in range(3))
    g = rng.normal(size=(n, d)).astype(np.float32)
    reset_peak()
    before = memory_stats()["live"]
    y = s.scaled_dot_product_attention(q, k, v)
    grads = s.backward_dense_all(y, g)
    found = [grads[r] for r in (q, k, v)]
    own = (1 + 3 + 1) * n * d * 4  # y, the three gradients, the cotangent
    assert memory_stats()["peak"] - before - own < 20e6
    assert all(np.isfinite(x.numpy()).all() for x in found)
