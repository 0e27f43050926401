"""Device arrays, memory counts, the compiler's cache and interchange, on a device or on the emulation that `.ci/cuda` builds."""

from __future__ import annotations

import ctypes
import gc

import numpy as np
import pytest

import tlean as tl
from tlean.cuda.runtime import dlpack

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
    with pytest.raises(
        tl.DeviceError, match=r"out of memory: \d+ bytes asked for, and the device has none left \(\d+ live, \d+ peak, \d+ cached\)"
    ):
        tl.cuda.ops().context.allocate(1 << 50)
    assert tl.cuda.to_device(np.ones(3)).numpy().sum() == 3


class Foreign:
    """Another library's array: nothing but the interface."""

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


def test_streams_of_others_are_waited_for():
    x = tl.cuda.to_device(np.arange(6, dtype="float32"))
    assert x.__cuda_array_interface__["stream"] == x.context.stream.handle
    for stream in (None, 1, 2, x.context.stream.handle):
        assert tl.cuda.to_device(Foreign(x, stream=stream)).numpy().sum() == 15
    assert tl.cuda.to_device(Foreign(x, version=2)).numpy().sum() == 15


class Exporter:
    """As PyTorch's tensors: DLPack and nothing else; an `old` one knows no versions."""

    def __init__(self, array, old=False):
        self.array, self.old, self.streams = array, old, []

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, stream=None, **more):
        if self.old and more:
            raise TypeError("an unexpected keyword argument 'max_version'")
        self.streams.append(stream)
        return self.array.__dlpack__(stream=stream, **more)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "bool"])
def test_memory_of_dlpack_is_used_in_place(dtype, old):
    x = tl.cuda.to_device(np.ones((2, 3), dtype))
    address, exported = x.address, len(dlpack.exported)
    given = Exporter(x, old)
    y = tl.cuda.to_device(given)
    assert given.streams == [x.context.stream.handle]
    assert (y.address, y.shape, y.dtype) == (address, (2, 3), dtype)
    del x, given
    gc.collect()
    # The memory is the exporter's, and it lives as long as it is referred to.
    assert len(dlpack.exported) == exported + 1
    np.testing.assert_array_equal(y.numpy(), np.ones((2, 3), dtype))
    del y
    gc.collect()
    assert len(dlpack.exported) == exported


@pytest.mark.parametrize("version", [None, (1, 0), (1, 3)])
def test_dlpack_capsules(version):
    x = tl.cuda.to_device(np.arange(6, dtype="float32").reshape(2, 3))
    assert x.__dlpack_device__() == (2, 0)
    exported = len(dlpack.exported)
    capsule = x.__dlpack__(stream=1, max_version=version)
    assert repr(capsule).split('"')[1] == ("dltensor_versioned" if version else "dltensor")
    assert len(dlpack.exported) == exported + 1
    # It was not taken: the capsule's end is the tensor's.
    del capsule
    assert len(dlpack.exported) == exported
    # It was taken: the tensor ends with the array that has its memory, and a capsule is taken once.
    capsule = x.__dlpack__(max_version=version)
    y = tl.cuda.to_device(capsule)
    assert y.address == x.address and repr(capsule).split('"')[1].startswith("used_dltensor")
    with pytest.raises(tl.DTypeError):
        tl.cuda.to_device(capsule)
    del capsule
    assert len(dlpack.exported) == exported + 1
    del y
    assert len(dlpack.exported) == exported


def test_dlpack_requests():
    x = tl.cuda.to_device(np.arange(6, dtype="float32"))
    own = tl.cuda.to_device(x.__dlpack__(copy=True))
    assert own.address != x.address and own.numpy().tolist() == x.numpy().tolist()
    assert tl.cuda.to_device(x.__dlpack__(dl_device=(2, 0), copy=False, stream=-1)).address == x.address

    class OnHost:
        def __dlpack_device__(self):
            return (1, 0)

        def __dlpack__(self, **given):
            return x.__dlpack__(dl_device=(1, 0), max_version=(1, 0))

    assert np.from_dlpack(OnHost()).tolist() == x.numpy().tolist()
    for wrong in ({"dl_device": (2, 5)}, {"dl_device": (1, 0), "copy": False}, {"stream": 0}, {"stream": -2}):
        with pytest.raises(BufferError):
            x.__dlpack__(**wrong)


def test_dlpack_refusals():
    x = tl.cuda.to_device(np.arange(6, dtype="float32").reshape(2, 3))
    exported = len(dlpack.exported)

    def changed(**fields):
        capsule = x.__dlpack__()
        address = dlpack._pointer(capsule, b"dltensor")
        tensor = dlpack._Plain.from_address(address).tensor
        for name, value in fields.items():
            setattr(tensor, name, value)
        return capsule

    steps = (ctypes.c_int64 * 2)(1, 2)
    for error, text, fields in (
        (tl.ShapeError, "dense row-major", {"strides": ctypes.cast(steps, ctypes.POINTER(ctypes.c_int64))}),
        (tl.DTypeError, "16 bits", {"bits": 16}),
        (tl.DTypeError, "not DLPack's type", {"lanes": 4}),
        (tl.DeviceError, "device type 10", {"device_type": 10}),
        (tl.DeviceError, "on device 3", {"device_id": 3}),
    ):
        with pytest.raises(error, match=text):
            tl.cuda.to_device(changed(**fields))
    gc.collect()
    assert len(dlpack.exported) == exported, "what is refused is given back"


def test_memory_limit():
    stats = tl.cuda.memory_stats()
    assert stats["limit"] is None
    tl.cuda.empty_cache()
    held = tl.cuda.to_device(np.zeros(1 << 16, "float32"))
    try:
        tl.cuda.set_memory_limit(tl.cuda.memory_stats()["live"] + (1 << 20))
        with pytest.raises(tl.DeviceError, match=r"out of memory: 2097152 bytes asked for, and the limit of \d+ bytes leaves none"):
            tl.cuda.to_device(np.zeros(1 << 19, "float32"))
        # What the pool keeps makes room.
        for n in (100_000, 150_000, 200_000):
            tl.cuda.to_device(np.zeros(n, "float32"))
        with pytest.raises(tl.OptionError, match="a number of bytes or None"):
            tl.cuda.set_memory_limit(-1)
    finally:
        tl.cuda.set_memory_limit(None)
    assert tl.cuda.to_device(np.zeros(1 << 19, "float32")).nbytes == 1 << 21 and held.numpy().sum() == 0


def test_memory_limit_of_the_environment(monkeypatch):
    from tlean.cuda.runtime.context import _limit_from_environment

    for text, limit in (("", None), ("4096", 4096)):
        monkeypatch.setenv("TLEAN_CUDA_MEMORY_LIMIT", text)
        assert _limit_from_environment() == limit
    monkeypatch.setenv("TLEAN_CUDA_MEMORY_LIMIT", "4 GB")
    with pytest.raises(tl.DeviceError, match="a number of bytes, not '4 GB'"):
        _limit_from_environment()


def test_a_damaged_cache_entry_is_compiled_again(monkeypatch, tmp_path):
    from tlean.cuda.kernels.random import FAMILY
    from tlean.cuda.runtime.nvcc import compile_family, read_entry

    monkeypatch.setenv("TLEAN_CACHE_DIR", str(tmp_path))
    arch = tl.cuda.ops().context.arch
    cubin = compile_family(FAMILY, arch)
    (entry,) = tmp_path.iterdir()
    assert read_entry(entry) == cubin
    entry.write_bytes(entry.read_bytes()[:-1])
    again = compile_family(FAMILY, arch)
    assert read_entry(entry) == again and len(again) == len(cubin)


def test_compiler_errors_are_named(monkeypatch, tmp_path):
    from tlean.cuda.kernels.plan import Family
    from tlean.cuda.runtime.nvcc import compile_family

    monkeypatch.setenv("TLEAN_CACHE_DIR", str(tmp_path))
    with pytest.raises(tl.DeviceError, match="cannot compile the kernels 'wrong'"):
        compile_family(Family("wrong", "this is not CUDA C", {}), tl.cuda.ops().context.arch)
    assert list(tmp_path.iterdir()) == []
