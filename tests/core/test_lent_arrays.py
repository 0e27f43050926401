"""Arrays of NumPy's that compiled calls read where they lie: at any address, never kept, never returned."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from support.op_calls import GOOD, case

import tlean as tl
from tlean._core.array import as_argument, lend_from
from tlean.ops import get

CALLS = [(name, k) for name, k in GOOD if not get(name).updates]


@pytest.fixture
def every_size():
    before = lend_from(0)
    yield
    lend_from(before)


def displaced(x):
    """The array at an address that is a multiple of its elements' size and of nothing more."""
    room = np.empty(x.nbytes + 128, np.uint8)
    offset = -room.ctypes.data % 64 + x.itemsize
    there = room[offset : offset + x.nbytes].view(x.dtype).reshape(x.shape)
    there[...] = x
    return there


@pytest.mark.usefixtures("every_size")
@pytest.mark.parametrize(("name", "k"), CALLS)
def test_every_kernel_reads_arrays_at_any_address(name, k):
    arrays, options, _ = case(name, k)
    for dtype in ("float32", "float64"):
        given = [None if a is None else a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
        present = [a for a in given if a is not None]

        def program(ops, *xs, given=given):
            rest = iter(xs)
            made = ops.apply(name, tuple(None if a is None else next(rest) for a in given), options)
            return list(made) if isinstance(made, tuple) else [made]

        # Random ops draw the same numbers in both.
        lent, copied = (tl.jit(program, seed=0)(*map(way, present)) for way in (displaced, tl.AnyTensor))
        for y, same in zip(lent, copied, strict=True):
            assert y.dtype == same.dtype and y.numpy().tobytes() == same.numpy().tobytes()


@pytest.mark.usefixtures("every_size")
@pytest.mark.parametrize(
    "back", [lambda ops, x: x, lambda ops, x: ops.reshape(x, (2, 2)), lambda ops, x: (ops.detach(x), ops.scale(x, 2.0))]
)
def test_what_a_call_returns_is_not_the_callers_memory(back):
    x = np.arange(4.0)
    for f in (tl.jit(back), tl.compile_out(back, [(4,)], dtype="float64")):
        for y in tl.tree.flatten(f(x))[0]:
            before = y.tolist()
            x[:] = -1.0
            assert y.tolist() == before
            x[:] = np.arange(4.0)


def test_a_large_array_stays_where_it_is():
    x = np.ones(5000)
    assert np.shares_memory(as_argument(x).numpy(), x)
    assert np.shares_memory(as_argument(x, "float64").numpy(), x)
    # What must be cast, or lies in other ways, is copied.
    for other, dtype in ((x, "float32"), (x[::2], None), (np.ones((80, 70)).T, None), (np.ones(10), None)):
        assert not np.shares_memory(as_argument(other, dtype).numpy(), other)


def test_an_array_goes_when_the_call_ends():
    x = np.ones(5000)
    f = tl.jit(lambda ops, x: ops.sum(x))
    f(x)
    before = sys.getrefcount(x)
    y = f(x)
    assert y.item() == 5000.0 and sys.getrefcount(x) == before
