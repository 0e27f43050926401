"""Products with an empty dimension: sums of no terms are 0, and what has no elements takes no time, however long its other axes are."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

HUGE = 1 << 40


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_sums_of_no_terms(backend):
    s = tl.Session(backend=backend)
    a, b = s.input(np.ones((300, 0))), s.input(np.ones((0, 200)))
    assert not s.matmul(a, b).numpy().any()
    assert not s.relu(s.matmul(a, b)).numpy().any()
    batch = s.bmm(s.input(np.ones((3, 20, 0))), s.input(np.ones((3, 0, 30))))
    assert batch.shape == (3, 20, 30) and not batch.numpy().any()
    bias = np.arange(5.0)
    assert s.linear(s.input(np.ones((5, 0))), s.input(bias), s.input(np.ones((2, 0)))).numpy().tolist() == [[*bias], [*bias]]


@pytest.mark.parametrize("a,b", [((HUGE, 0, 0), (HUGE, 0, 0)), ((HUGE, 3, 0), (HUGE, 0, 0)), ((HUGE, 0, 3), (HUGE, 3, 0))])
def test_no_elements_take_no_time(a, b):
    """Each took minutes: the batch was walked through product by product."""
    s = tl.Session(tl.Options(dtype="float32"))
    assert s.bmm(s.input(np.zeros(a, "f4")), s.input(np.zeros(b, "f4"))).shape == (HUGE, a[1], b[2])


def test_more_than_any_memory():
    for call in (tl.matmul, lambda a, b: tl.jit(lambda o, a, b: o.sum(o.matmul(a, b)))(a, b)):
        with pytest.raises(tl.ShapeError, match=r"matmul: a result must have at most 2\^48 elements"):
            call(np.zeros((1 << 31, 0), "f4"), np.zeros((0, 1 << 31), "f4"))
        with pytest.raises(MemoryError, match="bytes for an array"):
            call(np.zeros((1 << 23, 0), "f4"), np.zeros((0, 1 << 23), "f4"))
