"""What tests of captured values share."""

from __future__ import annotations

import numpy as np
import pytest

ONES = np.ones(3)


def both(test):
    """Run a test on the compiled and on the eager path of a transformation."""
    return pytest.mark.parametrize("backend", ["compiled", "eager"])(test)


def slope(g):
    """The gradient of a program that is linear in x, as a number."""
    found = np.unique(np.asarray(g(ONES)))
    assert found.shape == (1,)
    return found[0]


def traces(g):
    """How many traces a transformation has kept."""
    return sum(len(t) for t in g._known.values())


class Model:
    """A loss over attributes of every kind."""

    rate = 2.0

    def __init__(self):
        self.w = np.ones(3)
        self.parts = {"a": [1.0]}
        self.calls = 0

    def scale(self, ops, x):
        return ops.scale(x, self.rate)

    @property
    def bias(self):
        return self.parts["a"][0]

    def loss(self, ops, x):
        return ops.sum(ops.mul(ops.scale(self.scale(ops, x), self.bias), self.w))
