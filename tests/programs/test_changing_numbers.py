"""Numbers that change at every call: what the library remembers of calls stays bounded, and stays right."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from faults.inject import forget

import tlean as tl
from tlean.compiler import derive

X = np.array([1.0, -2.0])


@pytest.fixture(autouse=True)
def _empty_caches():
    # What other tests left in them is none of what is counted here.
    forget()


def test_eager_calls_remember_the_latest():
    """Twice the number of instances that are kept, and what is in use is kept through them."""
    held = []
    tracemalloc.start()
    try:
        for k in range(13_000):
            assert tl.scale(X, float(k)).tolist() == [k, -2.0 * k]
            if k in (5_000, 12_999):
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] < 1.5 * held[0]
    assert tl.scale(X, 3.0).tolist() == [3.0, -6.0]


def test_rules_of_changed_numbers_are_let_go(monkeypatch):
    monkeypatch.setattr(derive._CACHE, "most", 20)
    rate = 1.0
    g = tl.grad(lambda ops, x: ops.sum(ops.scale(ops.square(x), rate)))
    for k in range(60):
        rate = float(k)
        assert g(X).tolist() == [2.0 * k, -4.0 * k]
        assert len(derive._CACHE) <= 20
