"""Ops of more inputs than a machine word has bits: which of them need a gradient, and which are integers."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

FLAGS = {
    "all": lambda k, n: True,
    "all but number 63": lambda k, n: k != 63,
    "all but number 64": lambda k, n: k != 64,
    "the last": lambda k, n: k == n - 1,
    "the first": lambda k, n: k == 0,
    "from 63 on": lambda k, n: k >= 63,
    "up to 63": lambda k, n: k < 63,
    "every third": lambda k, n: k % 3 == 0,
    "none": lambda k, n: False,
}


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("n", [63, 64, 65, 66, 128, 129, 200])
@pytest.mark.parametrize("op", ["concat", "stack"])
def test_gradients_of_many_inputs(op, n, flags):
    """65 and more, from number 63 on not all needing a gradient: ended the process."""
    needs = [FLAGS[flags](k, n) for k in range(n)]
    s = tl.Session()
    xs = [s.input(np.full(3, float(k)), requires_grad=f) for k, f in enumerate(needs)]
    y = getattr(s, op)(xs)
    weights = np.arange(3.0 * n).reshape(y.shape)
    grads = s.backward_scalar_dense_all(s.sum(s.mul(y, s.const(weights))))
    for k, (x, f) in enumerate(zip(xs, needs, strict=True)):
        np.testing.assert_array_equal(grads[x].numpy(), (weights.reshape(n, 3) if op == "concat" else weights)[k] if f else np.zeros(3))


def test_the_same_value_many_times():
    s = tl.Session()
    x, c = s.input(np.ones(2)), s.const(np.ones(2))
    y = s.concat([x if k % 5 else c for k in range(150)])
    grads = s.backward_scalar_dense_all(s.sum(y))
    np.testing.assert_array_equal(grads[x].numpy(), np.full(2, 120.0))


def test_a_recorded_program_of_many_inputs_on_a_tape():
    """Which of a program's inputs are integers is known beyond the 64th, too."""
    n = 80

    def program(ops, *xs):
        total = ops.sum(ops.gather_rows_nat(xs[0], np.array([1, 1, 0])))
        for x in xs:
            total = ops.add(total, ops.sum(ops.square(x)))
        return ops.add(total, ops.sum(ops.gather_rows_nat(xs[1], np.array([1]))))

    s = tl.Session()
    xs = [s.input(np.full((2, 3), float(k))) for k in range(n)]
    grads = tl.grad(program, argnums=(0, 1, n - 1))(*xs)
    assert [g.numpy().tolist() for g in grads] == [[[1.0] * 3, [2.0] * 3], [[2.0] * 3, [3.0] * 3], [[2.0 * (n - 1)] * 3] * 2]
