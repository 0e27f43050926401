"""Captured arrays keep their dtype, as arguments do: a program is what NumPy would compute."""

import numpy as np
import pytest

import tlean as tl

WIDE, NARROW = np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.2, 0.3], "float32")


@pytest.mark.parametrize("captured", [WIDE, NARROW], ids=["float64", "float32"])
@pytest.mark.parametrize("argument", [WIDE, NARROW, np.arange(3), None], ids=["float64", "float32", "int64", "none"])
def test_products_with_what_is_captured(captured, argument):
    if argument is None:
        found, wanted = tl.jit(lambda: tl.sin(captured) * 2.0)(), np.sin(captured) * np.float32(2.0)
    else:
        # Of integers and float32 comes float32.
        narrow = captured.dtype == argument.dtype == "float32" or (captured is NARROW and argument.dtype == "int64")
        found, wanted = tl.jit(lambda x: x * captured)(argument), (argument * captured).astype("float32" if narrow else "float64")
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6 if wanted.dtype == "float32" else 1e-15)


def test_derivatives_and_loops():
    """A gradient has its argument's dtype; what is captured loses no digit on the way."""
    x = NARROW
    assert tl.grad(lambda x: tl.sum(x * WIDE))(x).dtype == "float32"
    assert tl.vmap(lambda x: x * WIDE)(np.stack([x, x])).dtype == "float64"
    for made in (
        tl.cond(True, lambda: tl.mul(WIDE, 3.0), lambda: WIDE),
        tl.fori_loop(0, 3, lambda i, c: c + WIDE, np.zeros(3)),
        tl.scan(lambda c, _: (c + tl.sum(WIDE), WIDE), 0.0, length=3)[1][0] * 3.0,
    ):
        np.testing.assert_allclose(made.numpy(), 3.0 * WIDE, rtol=1e-15)
    weight = np.array([0.1, 0.2])
    program = tl.jit(lambda x: tl.sum(tl.mul(x, weight)))
    first = program(np.ones(2, "float32")).item()
    weight += 1e-12
    assert program(np.ones(2, "float32")).item() != first
