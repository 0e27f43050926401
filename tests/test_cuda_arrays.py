"""Device arrays, memory counts, the compiler's cache and interchange, on a device or on the emulation that `.ci/cuda` builds."""

from __future__ import annotations

import ctypes
import gc

import numpy as np
import pytest

import tlean as tl

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "bool"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3, 4)])
def test_there_and_back(dtype, shape):
    x = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 5).astype(dtype)
    found = tl.cuda.to_device(x)
    assert found.shape == shape and found.dtype == dtype and found.nbytes == x.nbytes
    np.testing.assert_array_equal(found.numpy(), x)
    assert tl.cuda.to_device(found) is found
    tl.cuda.synchronize()


def test_dense_copies_of_strided_arrays():
    x = np.arange(12, dtype="float32").reshape(3, 4)
    np.testing.assert_array_equal(tl.cuda.to_device(x.T).numpy(), x.T)
    np.testing.assert_array_equal(tl.cuda.to_device(x[:, ::2]).numpy(), x[:, ::2])


def test_reshape_shares_memory():
    x = tl.cuda.to_device(np.arange(6, dtype="float32"))
    y = x.reshape((2, 3))
    assert y.address == x.address
    del x
    assert y.numpy().tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(tl.ShapeError, match="as many elements"):
        y.reshape((5,))


def test_refusals():
    with pytest.raises(tl.DTypeError, match="not complex128"):
        tl.cuda.to_device(1j)
    with pytest.raises(tl.DeviceError, match="there is no device 7"):
        tl.cuda.to_device(1.0, device=7)


def test_memory_is_counted_and_kept_for_reuse():
    gc.collect()
    before = tl.cuda.memory_stats()
    held = tl.cuda.to_device(np.zeros(1 << 18, "float32"))
    during = tl.cuda.memory_stats()
    assert during["live"] == before["live"] + (1 << 20) and during["peak"] >= during["live"]
    del held
    after = tl.cuda.memory_stats()
    assert after["live"] == before["live"] and after["cached"] >= 1 << 20 and after["peak"] == during["peak"]
    tl.cuda.empty_cache()
    # What other tests left alive fills its blocks but for a rest.
    assert tl.cuda.memory_stats()["cached"] < 1 << 20


def test_memory_is_flat_over_many_calls():
    ops = tl.cuda.ops()
    x = ops.leaf(np.ones((8, 8), "float32"))
    live = set()
    for _ in range(50):
        x = ops.scale(ops.matmul(x, x), c=0.125)
        live.add(tl.cuda.memory_stats()["live"])
    assert len(live) == 1
    np.testing.assert_array_equal(x.numpy(), np.ones((8, 8)))


def test_out_of_memory_is_named():
    with pytest.raises(tl.DeviceError, match="bytes left"):
        tl.cuda.ops().context.allocate(1 << 50)
    assert tl.cuda.to_device(np.ones(3)).numpy().sum() == 3


class Foreign:
    """Somebody else's array: nothing but the interface."""

    def __init__(self, array, **change):
        self.array = array
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, **change}


def test_memory_of_others_is_used_in_place():
    x = tl.cuda.to_device(np.arange(6, dtype="float32").reshape(2, 3))
    y = tl.cuda.to_device(Foreign(x))
    assert y.address == x.address and y.shape == (2, 3)
    del x
    gc.collect()
    assert tl.cuda.ops().sum(y).numpy() == 15
    with pytest.raises(tl.ShapeError, match="dense row-major"):
        tl.cuda.to_device(Foreign(y, strides=(4, 8)))
    with pytest.raises(tl.DTypeError, match="not float16"):
        tl.cuda.to_device(Foreign(y, typestr="<f2"))


def test_dlpack_capsules():
    from tlean.cuda import array

    x = tl.cuda.to_device(np.arange(6, dtype="float32").reshape(2, 3))
    assert x.__dlpack_device__() == (2, 0)
    exported = len(array._exported)
    capsule = x.__dlpack__(stream=1)
    address = ctypes.pythonapi.PyCapsule_GetPointer(ctypes.py_object(capsule), b"dltensor")
    found = array._Managed.from_address(address)
    tensor = found.tensor
    assert (tensor.data, tensor.device_type, tensor.ndim, tensor.code, tensor.bits, tensor.lanes) == (x.address, 2, 2, 2, 32, 1)
    assert [tensor.shape[k] for k in range(2)] == [2, 3] and not tensor.strides
    assert len(array._exported) == exported + 1
    # Nobody took it: the capsule's end is the tensor's.
    del capsule
    assert len(array._exported) == exported
    # Somebody did: renamed, and deleted when they are done.
    capsule = x.__dlpack__()
    address = ctypes.pythonapi.PyCapsule_GetPointer(ctypes.py_object(capsule), b"dltensor")
    ctypes.pythonapi.PyCapsule_SetName(ctypes.py_object(capsule), b"used_dltensor")
    del capsule
    assert len(array._exported) == exported + 1
    array._DELETER(array._Managed.from_address(address).deleter)(address)
    assert len(array._exported) == exported


def test_a_damaged_cache_entry_is_compiled_again(monkeypatch, tmp_path):
    from tlean.cuda.compile import compile_family, read_entry
    from tlean.cuda.kernels.random import FAMILY

    monkeypatch.setenv("TLEAN_CACHE_DIR", str(tmp_path))
    arch = tl.cuda.ops().context.arch
    cubin = compile_family(FAMILY, arch)
    (entry,) = tmp_path.iterdir()
    assert read_entry(entry) == cubin
    entry.write_bytes(entry.read_bytes()[:-1])
    again = compile_family(FAMILY, arch)
    assert read_entry(entry) == again and len(again) == len(cubin)


def test_compiler_errors_are_named(monkeypatch, tmp_path):
    from tlean.cuda.compile import compile_family
    from tlean.cuda.kernels.plan import Family

    monkeypatch.setenv("TLEAN_CACHE_DIR", str(tmp_path))
    with pytest.raises(tl.DeviceError, match="cannot compile the kernels 'wrong'"):
        compile_family(Family("wrong", "this is not CUDA C", {}), tl.cuda.ops().context.arch)
    assert list(tmp_path.iterdir()) == []
