"""A user's program with the types that mypy must find in it: it is among the files that mypy checks, and a test runs it."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np

import tlean as tl


def loss(ops: tl.Ops, x: tl.Ref, y: tl.Ref) -> tl.Ref:
    """Methods, operators and ops of references."""
    z = (x - 0.5 * y) ** 2 / 2 + abs(x)
    assert_type(z.ndim, int)
    assert_type(z.shape, tuple[int, ...])
    return ops.mean(z.reshape(-1).sum(axis=0, keepdims=True)) + ops.sum(x @ y.T)


def conversions(x: tl.TensorRef) -> tuple[float, int, str]:
    """Numbers of a value of one element."""
    total = x.sum()
    assert_type(total, tl.TensorRef)
    assert_type(total.item(), Any)
    return float(total), int(total), f"{total:.3f}"


def step() -> tl.AnyTensor:
    """A session, a tape, gradients by reference, and arithmetic on results."""
    session = tl.Session()
    assert_type(session, tl.Session)
    session.reset_tape()
    y = session.exp(session.input(np.ones(3)))
    m = tl.TapeM()
    x = m.leaf([[1.0, 2.0]])
    assert_type(x.relu(), tl.TensorRef)
    assert_type(x + 1.0, tl.TensorRef)
    assert_type(x.T.max(1), tl.TensorRef)
    conversions(x)
    g = m.backward_scalar((x * x).sum())[x]
    assert_type(g, tl.AnyTensor)
    result: tl.AnyTensor = x.value - 0.1 * g
    return result.sum(axis=0) + float(y[0])
