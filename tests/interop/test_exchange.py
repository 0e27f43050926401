"""Arrays to and from NumPy and JAX: the same memory where that was asked for, a copy elsewhere. PyTorch is in test_exchange_torch.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlean as tl


def address(x: Any) -> int:
    return np.asarray(x).ctypes.data


def aligned(count: int) -> np.ndarray:
    """float32 at an address that is a multiple of 64."""
    block = np.zeros(4 * count + 64, np.uint8)
    begin = -block.ctypes.data % 64
    return block[begin : begin + 4 * count].view(np.float32)


def test_numpy_shares_memory_where_asked() -> None:
    a = aligned(16)
    a[:] = np.arange(16)
    x = tl.from_dlpack(a, copy=False)
    assert address(x) == a.ctypes.data != address(tl.from_dlpack(a))
    # Out: a view by NumPy's protocol; by DLPack a copy, which may be written to, unless that is declined.
    assert np.from_dlpack(x).ctypes.data != a.ctypes.data
    for view in (x.numpy(), np.from_dlpack(tl.to_dlpack(x))):
        assert view.ctypes.data == a.ctypes.data and not view.flags.writeable
    copy = np.from_dlpack(x)
    copy[:] = 0
    assert x.tolist() == list(range(16))


@pytest.mark.parametrize("versioned", [False, True])
def test_memory_outlives_its_array(versioned: bool) -> None:
    x = tl.AnyTensor(np.arange(1000.0))
    shared = tl.to_dlpack(x)
    capsule, device = shared.__dlpack__(max_version=(1, 0)) if versioned else shared.__dlpack__(), shared.__dlpack_device__()
    assert ("versioned" in repr(capsule)) == versioned

    class Held:
        def __dlpack__(self, **options: Any) -> Any:
            return capsule

        def __dlpack_device__(self) -> tuple[int, int]:
            return device

    view = np.from_dlpack(Held())
    at = address(x)
    x.release()
    del x, shared
    tl.AnyTensor(np.full(1000, -1.0))
    assert view.ctypes.data == at and view.tolist() == list(range(1000))


def test_what_has_no_memory_here_is_refused() -> None:
    with pytest.raises(tl.DTypeError, match="to_dlpack: an AnyTensor is needed, got list"):
        tl.to_dlpack([1.0])
    with pytest.raises(BufferError, match="on the CPU"):
        tl.to_dlpack(tl.AnyTensor([1.0])).__dlpack__(dl_device=(2, 0), max_version=(1, 0))


def test_jax_shares_memory_both_ways() -> None:
    jax = pytest.importorskip("jax", reason="needs JAX")
    theirs = jax.numpy.arange(64, dtype="float32")
    ours = tl.from_dlpack(theirs, copy=False)
    assert address(ours) == theirs.unsafe_buffer_pointer()
    x = tl.AnyTensor(np.arange(64.0, dtype=np.float32))
    assert jax.dlpack.from_dlpack(tl.to_dlpack(x)).unsafe_buffer_pointer() == address(x)
    assert jax.dlpack.from_dlpack(x).unsafe_buffer_pointer() != address(x)
    assert (jax.numpy.asarray(x) == theirs).all() and np.result_type(x, "f8") == np.float64


def once(capsule):
    np.from_dlpack(type("Once", (), {"__dlpack__": lambda self, **_: capsule, "__dlpack_device__": lambda self: (1, 0)})())
    return capsule


@pytest.mark.parametrize(
    ("device", "capsule"),
    [
        (lambda self: (1, 0), lambda self, **_: 5),
        (lambda self: (1, 0), lambda self, **_: once(np.ones(3).__dlpack__())),
        (lambda self: "cpu", lambda self, **_: np.ones(3).__dlpack__()),
        (None, lambda self, **_: np.ones(3).__dlpack__()),
    ],
    ids=["no capsule", "a used one", "no device", "no device at all"],
)
def test_arrays_that_break_the_protocol(device, capsule):
    broken = type("Broken", (), {"__dlpack__": capsule} | ({} if device is None else {"__dlpack_device__": device}))
    with pytest.raises(tl.DTypeError, match="from_dlpack: "):
        tl.from_dlpack(broken())
